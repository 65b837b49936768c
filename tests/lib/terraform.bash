# Stages of a Terraform application by hand; needs platform.bash.

# terraform_new DIR: a config and two commits of an application with a module
terraform_new() {
	TF=$("$ROOT/share/mk/terraform-peer" -n) || skip "no terraform (share/mk/terraform-peer)"
	D=$1 CONF=$1/piped.yaml STATE=$1/state APP=infra TARGETS='"prod"'
	mkdir -p "$STATE"
	{
		printf 'apiVersion: pipecd.dev/v1beta1\nkind: Piped\nspec:\n  stateDir: %s\n' "$STATE"
		printf '  tools: {%s: {path: %s}}\n' "$(case $TF in *tofu) echo tofu ;; *) echo terraform ;; esac)" "$TF"
		printf '  plugins:\n    - name: terraform\n      deployTargets:\n        - {name: prod, config: {vars: ["zone=a", "who=target"]}}\n'
	} >"$CONF"
	for c in "$C1" "$C2" "$C3"; do terraform_commit "$c" "v${c:0:1}"; done
}

# terraform_commit COMMIT VALUE [more HCL]: the files of one commit
terraform_commit() {
	local dir=$D/src/$1/apps/infra
	mkdir -p "$dir" "$D/src/$1/modules/box"
	cat >"$dir/main.tf" <<HCL
variable "zone" { type = string }
variable "who" { default = "nobody" }
variable "tags" {
	type    = list(string)
	default = []
}
variable "password" {
	type      = string
	default   = "none"
	sensitive = true
}
module "box" {
	source = "../../modules/box" # beside the application
	value  = "$2"
}
resource "terraform_data" "app" {
	input = { value = "$2", zone = var.zone, who = var.who, tags = var.tags, password = var.password }
}
${3:-}
HCL
	cat >"$D/src/$1/modules/box/main.tf" <<'HCL'
variable "value" { type = string }
resource "terraform_data" "inner" { input = var.value }
HCL
	printf 'apiVersion: pipecd.dev/v1beta1\nkind: Application\nspec:\n  name: infra\n  plugins:\n    terraform: {}\n' >"$dir/app.pipecd.yaml"
}

# tf_stage STAGE COMMIT [RUNNING] [jq filter]: as host_stage; META is carried over
tf_stage() {
	start_frame "$1" "$2" "${3:-}" '
		.target_dir = .target_root + "/apps/infra"
		| if .running_root then .running_dir = .running_root + "/apps/infra" else . end
		| .deployment.metadata_v2 = {shared: {keyValues: '"${META:-{\}}"'}}
		| '"${4:-.}" >"$D/start.json"
	run --separate-stderr pipecd-exec-terraform -f "$CONF" stage <"$D/start.json"
	DONE=$(jq -rc 'select(.kind=="stage_done")' <<<"$output")
	STATUS=$(jq -r .status <<<"$DONE") REASON=$(jq -r '.reason // ""' <<<"$DONE")
	META=$(jq -sc --argjson m "${META:-{\}}" '$m + ([.[]|select(.kind=="stage_meta")|{(.key):.value}]|add // {})' <<<"$output")
	LOG=$(jq -r 'select(.kind=="stage_log").text' <<<"$output")
}

# tf_state JQ: of the state that was kept
tf_state() { jq -r "$1" "$STATE/terraform/app-infra/terraform.tfstate"; }
tf_value() { tf_state '.resources[]|select(.name=="app")|.instances[0].attributes.input.value'"${1:-.value}"; }
