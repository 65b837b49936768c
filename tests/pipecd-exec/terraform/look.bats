load ../../lib/common
load ../../lib/platform
load ../../lib/terraform

setup() { terraform_new "$BATS_TEST_TMPDIR"; }

live() { # COMMIT
	live_frame "$1" '.dir = .root + "/apps/infra"' >"$D/live.json"
	run --separate-stderr pipecd-exec-terraform -f "$CONF" live <"$D/live.json"
	STATE_FRAME=$(jq -c 'select(.kind=="app_state").sync_state' <<<"$output")
	STATUS=$(jq -r '.status // "UNKNOWN"' <<<"$STATE_FRAME")
	REASON=$(jq -r '.reason // ""' <<<"$STATE_FRAME")
}

@test "describe names stages, votes, and that live wants the source" {
	run pipecd-exec-terraform describe
	[ "$(jq -r '.stages|map(.name)|join(" ")' <<<"$output")" = "TERRAFORM_SYNC TERRAFORM_PLAN TERRAFORM_APPLY TERRAFORM_ROLLBACK" ]
	[ "$(jq '.votes' <<<"$output")" = true ]
	[ "$(jq '.live_source' <<<"$output")" = true ]
}

@test "live is SYNCED after a sync, and OUT_OF_SYNC with the diff when git says otherwise" {
	INPUT='{"vars":["password=canary-9"]}'
	tf_stage TERRAFORM_SYNC $C1
	live $C1
	[ "$STATUS" = SYNCED ]
	[ "$(jq -r 'select(.kind=="live").application_live_state.resources|map(.name)|sort|join(" ")' <<<"$output")" = "module.box.terraform_data.inner terraform_data.app" ]
	live $C2
	[ "$STATUS" = OUT_OF_SYNC ]
	[[ "$(jq -r .short_reason <<<"$STATE_FRAME")" == "Plan: 0 to add, 2 to change, 0 to destroy" ]]
	[[ "$REASON" == *'"v1" -> "v2"'* ]]
	[[ "$output$stderr" != *canary-9* ]]
	# The state's lock is not taken: somebody's apply is not in the way.
	[ ! -e "$STATE/terraform/app-infra/.terraform.tfstate.lock.info" ]
}

@test "live is UNKNOWN with terraform's own words when it cannot look" {
	echo 'resource "nope" {' >>"$D/src/$C1/apps/infra/main.tf"
	live $C1
	[ "$STATUS" = UNKNOWN ]
	[[ "$REASON" == *"failed, exit 1: Error:"* ]]
}

@test "preview says what would be done, as text" {
	tf_stage TERRAFORM_SYNC $C1
	plan_frame $C2 >"$D/plan.json"
	run --separate-stderr pipecd-exec-terraform -f "$CONF" preview <"$D/plan.json"
	[ "$(jq -r 'select(.kind=="preview").summary' <<<"$output")" = "0 to add, 2 to change, 0 to destroy" ]
	[[ "$(jq -r 'select(.kind=="preview").text' <<<"$output")" == *"terraform_data.app"* ]]
	plan_frame $C1 >"$D/plan.json"
	run --separate-stderr pipecd-exec-terraform -f "$CONF" preview <"$D/plan.json"
	[ "$(jq -r 'select(.kind=="preview").no_change' <<<"$output")" = true ]
}

plan_frame() {
	live_frame "$1" '.kind="plan_start" | .target_root=.root | .target_dir=.root+"/apps/infra" | del(.root,.dir,.config_filename)'
}

@test "plan reports the versions of modules, wherever braces and quotes stand" {
	cat >>"$D/src/$C1/apps/infra/main.tf" <<'HCL'
/* module "no" { source = "x" } */
module "vpc" {
	providers = { aws = aws.east }
	source    = "terraform-aws-modules/vpc/aws" // the registry
	version   = "5.1.0"
	text      = <<-EOT
		module "neither" { source = "y" }
	EOT
	name = "a ${ { b = "}" }["b"] } c"
}
module "git" { source = "git::https://example.com/m.git?ref=v1.2" }
HCL
	plan_frame $C1 >"$D/plan.json"
	run --separate-stderr pipecd-exec-terraform -f "$CONF" plan <"$D/plan.json"
	[ "$status" -eq 0 ]
	[ "$(jq -r 'select(.kind=="vote").strategy' <<<"$output")" = PIPELINE ]
	[ "$(jq -c 'select(.kind=="vote").versions|map([.name,.version,.url])' <<<"$output")" = \
		'[["vpc","5.1.0","terraform-aws-modules/vpc/aws"],["git","v1.2","git::https://example.com/m.git?ref=v1.2"]]' ]
}
