load plan.bash
setup() {
	plan_setup
	fake_platform terraform '{"name":"TERRAFORM_SYNC","quick":true},{"name":"TERRAFORM_PLAN"},{"name":"TERRAFORM_APPLY"},{"name":"ROLLBACK","rollback":true}'
	fake_platform kubernetes '{"name":"K8S_SYNC","quick":true},{"name":"K8S_CANARY_ROLLOUT"},{"name":"K8S_PRIMARY_ROLLOUT"},{"name":"ROLLBACK","rollback":true}'
	fake_platform acme '{"name":"ACME_SYNC","quick":true},{"name":"ACME_TWIST"},{"name":"ACME_ROLLBACK","rollback":true}'
	fake_platform cloudrun '{"name":"CLOUDRUN_SYNC","quick":true},{"name":"CLOUDRUN_PROMOTE"},{"name":"ROLLBACK","rollback":true}'
	{ plugin terraform t1; plugin kubernetes k1; plugin cloudrun c1; plugin acme a1; } | piped
}
v0() { # DIR KIND [SPEC-LINES...]
	local dir=$1 kind=$2; shift 2
	mkdir -p "$D/web/$dir"
	{
		printf 'apiVersion: pipecd.dev/v1beta1\nkind: %s\nspec:\n  name: %s\n' "$kind" "$dir"
		[ $# -eq 0 ] || printf '  %s\n' "$@"
	} >"$D/web/$dir/app.pipecd.yaml"
	echo "$RANDOM" >"$D/web/$dir/main.txt"
}
stages() { planned | jq -r '[.deployment.stages[].id] | join(" ")'; }
TF='pipeline: {stages: [{name: TERRAFORM_PLAN}, {name: WAIT_APPROVAL}, {name: TERRAFORM_APPLY}]}'
K8S='pipeline: {stages: [{name: K8S_CANARY_ROLLOUT}, {name: K8S_PRIMARY_ROLLOUT}]}'

@test "TerraformApp: quick without pipeline, no rollback unless input.autoRollback" {
	v0 one TerraformApp
	v0 two TerraformApp 'input: {autoRollback: true}'
	commit first
	run -0 --separate-stderr plan_head
	[ "$(stages <<<"$output" | sort)" = "TerraformSync
TerraformSync Rollback" ]
	[ "$(planned <<<"$output" | jq -r '.deployment.kind' | sort -u)" = TERRAFORM ]
}

@test "TerraformApp: a pipeline is taken at the first deployment too, and commitMatcher is not read" {
	v0 one TerraformApp "$TF" 'commitMatcher: {quickSync: ".*"}'
	commit first
	run -0 --separate-stderr plan_head
	[ "$(stages <<<"$output")" = "stage-0 stage-1 stage-2" ]
	[ "$(planned <<<"$output" | jq -c '.deployment.stages[1].authorized_operators // []')" = '[]' ]
}

@test "what has no platform in this build yet is refused by its name" {
	v0 one KubernetesApp "$K8S"
	v0 two CloudRunApp
	commit first
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | deployments | sort)" = "one FAILURE
two FAILURE" ]
	[[ "$(planned <<<"$output" | jq -r 'select(.deployment.application_name=="one").deployment.status_reason')" == "one/app.pipecd.yaml:"*"does not deploy to Kubernetes yet"* ]]
	[[ "$(planned <<<"$output" | jq -r 'select(.deployment.application_name=="two").deployment.status_reason')" == "two/app.pipecd.yaml:"*"Cloud Run"* ]]
}

@test "a v0 application's stages are its own platform's" {
	v0 one TerraformApp 'pipeline: {stages: [{name: LAMBDA_PROMOTE, with: {percent: 1}}]}'
	commit first
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | deployments)" = "one FAILURE" ]
	[[ "$(planned <<<"$output" | jq -r .deployment.status_reason)" == *LAMBDA_PROMOTE* ]]
}

@test "skipOn of a v0 stage is in its with, and a first deployment skips nothing" {
	v0 one TerraformApp 'pipeline: {stages: [{name: WAIT, with: {duration: 1s, skipOn: {commitMessagePrefixes: [skip]}}}, {name: TERRAFORM_APPLY}]}'
	commit 'skip first'
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | jq -r '.plan.stages[0].skip')" = null ]
	deployed
	echo a >"$D/web/one/main.txt"
	commit 'skip second'
	run -0 --separate-stderr plan_head
	[[ "$(planned <<<"$output" | jq -r '.plan.stages[0].skip')" == "skipOn: the commit message begins"* ]]
}

@test "CUSTOM_SYNC is rolled back by the CUSTOM_SYNC of what runs" {
	v0 one TerraformApp 'input: {autoRollback: true}' 'pipeline: {stages: [{name: CUSTOM_SYNC, with: {run: "echo one"}}]}'
	commit first
	deployed
	sed -i 's/echo one/echo two/' "$D/web/one/app.pipecd.yaml"
	commit second
	run -0 --separate-stderr plan_head
	[ "$(stages <<<"$output")" = "stage-0 CustomSyncRollback" ]
	[ "$(planned <<<"$output" | jq -c '[.plan.stages[].config.run]')" = '["echo two","echo one"]' ]
}

@test "an Application may use the stages of a platform it does not name" {
	app one 'planner: {alwaysUsePipeline: true}' 'pipeline: {stages: [{name: TERRAFORM_PLAN}, {name: ACME_TWIST}]}'
	sed -i 's/host:/terraform:/; s/input: {}/workspace: x/' "$D/web/one/app.pipecd.yaml"
	commit first
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | jq -c '[.plan.stages[].program]')" = '["terraform","acme","terraform","acme"]' ]
	[ "$(stages <<<"$output")" = "stage-0 stage-1 Rollback Rollback-acme" ]
}
