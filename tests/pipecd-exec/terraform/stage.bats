load ../../lib/common
load ../../lib/platform
load ../../lib/terraform

setup() { terraform_new "$BATS_TEST_TMPDIR"; }

@test "TERRAFORM_SYNC applies, with modules beside the application and its state kept" {
	tf_stage TERRAFORM_SYNC $C1
	[ "$STATUS" = SUCCESS ]
	[ "$REASON" = "applied: 2 to add, 0 to change, 0 to destroy" ]
	[ "$(tf_value)" = v1 ]
	[[ "$LOG" == *"the state is kept in $STATE/terraform/app-infra"* ]]
	# Nothing was written into the checkout, and no work is left.
	[ "$(ls -A "$D/src/$C1/apps/infra" | tr '\n' ' ')" = "app.pipecd.yaml main.tf " ]
	[ -z "$(ls -A "$STATE/work/terraform")" ]
	# A second time there is nothing to do.
	DEP=again tf_stage TERRAFORM_SYNC $C1
	[ "$STATUS" = SUCCESS ]
	[ "$REASON" = "no changes: nothing to apply" ]
}

@test "vars: the application's rank over the target's, expressions are expressions, and none is in argv" {
	INPUT='{"vars":["who=app","tags=[\"x\",\"y\"]","password=canary-7 ${not} \"q\""]}'
	mkdir "$D/bin"
	printf '#!/bin/sh\necho "$@" >>%s/argv\nexec %s "$@"\n' "$D" "$TF" >"$D/bin/terraform"
	chmod 755 "$D/bin/terraform"
	sed -i '/tools:/d' "$CONF"
	PATH="$D/bin:$PATH" tf_stage TERRAFORM_SYNC $C1
	[ "$STATUS" = SUCCESS ]
	[ "$(tf_value .zone)" = a ]
	[ "$(tf_value .who)" = app ]
	[ "$(tf_value '.tags|join("")')" = xy ]
	[ "$(tf_value .password)" = 'canary-7 ${not} "q"' ]
	! grep canary "$D/argv"
	# Sensitive values are in no log either.
	[[ "$output$stderr" != *canary-7* ]]
}

@test "a secret variable is in no log of the commit that removes it, and in no file after a stage" {
	sed -i 's/"who=target"/"who=target", "password=canary-8"/' "$CONF"
	tf_stage TERRAFORM_SYNC $C1
	[ "$STATUS" = SUCCESS ]
	sed -i '/^variable "password"/,/^}/d; s/, password = var.password//' "$D/src/$C2/apps/infra/main.tf"
	DEP=two tf_stage TERRAFORM_PLAN $C2
	[ "$STATUS" = SUCCESS ]
	[[ "$LOG" == *"***"* ]]
	[[ "$output$stderr" != *canary-8* ]]
	! grep -r canary-8 "$STATE/work"
}

@test "varFiles, commandFlags and commandEnvs reach terraform" {
	echo 'who = "file"' >"$D/src/$C1/apps/infra/prod.tfvars"
	INPUT='{"varFiles":["prod.tfvars"],"commandFlags":{"shared":[],"plan":["-parallelism=1"]},"commandEnvs":{"shared":["TF_VAR_password=env"],"apply":["X=1"]}}'
	tf_stage TERRAFORM_SYNC $C1
	[ "$STATUS" = SUCCESS ]
	[ "$(tf_value .who)" = file ]
	[ "$(tf_value .password)" = env ]
	INPUT='{"commandFlags":{"plan":["-nosuchflag"]}}' tf_stage TERRAFORM_SYNC $C1
	[ "$STATUS" = FAILURE ]
	[[ "$REASON" == *"plan failed"*nosuchflag* ]]
}

@test "TERRAFORM_APPLY applies the very plan that TERRAFORM_PLAN showed" {
	tf_stage TERRAFORM_PLAN $C1
	[ "$STATUS" = SUCCESS ]
	[ "$REASON" = "2 to add, 0 to change, 0 to destroy" ]
	[ ! -e "$STATE/terraform/app-infra/terraform.tfstate" ]
	plan=$STATE/work/terraform/dep-$C1/plan
	[ "$(stat -c %a "$plan")" = 600 ]
	[ "$(stat -c %a "${plan%/plan}")" = 700 ]
	# What the files say now no longer counts.
	sed -i 's/v1/changed/' "$D/src/$C1/apps/infra/main.tf"
	tf_stage TERRAFORM_APPLY $C1
	[ "$STATUS" = SUCCESS ]
	[ "$(tf_value)" = v1 ]
	[ ! -e "$plan" ]
}

@test "TERRAFORM_APPLY without its saved plan plans again, and applies what is the same" {
	tf_stage TERRAFORM_PLAN $C1
	rm -rf "$STATE/work"
	tf_stage TERRAFORM_APPLY $C1
	[ "$STATUS" = SUCCESS ]
	[[ "$LOG" == *"the saved plan is gone: planning again"*"it is the plan that was shown"* ]]
	[ "$(tf_value)" = v1 ]
}

@test "TERRAFORM_APPLY refuses what is not what was shown" {
	tf_stage TERRAFORM_PLAN $C1
	rm -rf "$STATE/work"
	sed -i 's/v1/changed/' "$D/src/$C1/apps/infra/main.tf"
	tf_stage TERRAFORM_APPLY $C1
	[ "$STATUS" = FAILURE ]
	[[ "$REASON" == *"is not what was shown (2 to add, 0 to change, 0 to destroy): nothing was applied"* ]]
	[ ! -e "$STATE/terraform/app-infra/terraform.tfstate" ]
}

@test "a plan that the state has overtaken is not applied" {
	tf_stage TERRAFORM_SYNC $C1
	META=
	DEP=two tf_stage TERRAFORM_PLAN $C2 $C1
	shown=$META
	META=
	DEP=three tf_stage TERRAFORM_SYNC $C3 $C1
	META=$shown
	DEP=two tf_stage TERRAFORM_APPLY $C2 $C1
	[ "$STATUS" = FAILURE ]
	[[ "$REASON" == *"the state changed since the plan, and what would be done now"* ]]
	[ "$(tf_value)" = v3 ]
}

@test "exitOnNoChanges ends the deployment when there is nothing to do" {
	tf_stage TERRAFORM_SYNC $C1
	WITH='{"exitOnNoChanges":true}' DEP=two tf_stage TERRAFORM_PLAN $C1
	[ "$STATUS" = EXITED ]
	DEP=three tf_stage TERRAFORM_PLAN $C1
	[ "$STATUS" = SUCCESS ]
	[ "$REASON" = "no changes" ]
}

@test "TERRAFORM_ROLLBACK applies the running commit, if anything was applied" {
	DEP=one tf_stage TERRAFORM_SYNC $C1
	META=
	DEP=two tf_stage TERRAFORM_ROLLBACK $C2 $C1
	[ "$STATUS" = SUCCESS ]
	[ "$REASON" = "nothing was applied: nothing to roll back" ]
	META=
	DEP=two tf_stage TERRAFORM_SYNC $C2 $C1
	[ "$(tf_value)" = v2 ]
	DEP=two tf_stage TERRAFORM_ROLLBACK $C2 $C1
	[ "$STATUS" = SUCCESS ]
	[ "$(tf_value)" = v1 ]
}

@test "a workspace that does not exist is a failure, and is not created" {
	INPUT='{"workspace":"staging"}' tf_stage TERRAFORM_SYNC $C1
	[ "$STATUS" = FAILURE ]
	[[ "$REASON" == *"workspace staging (it is never created here)"* ]]
	[ ! -e "$STATE/terraform/app-infra/workspaces/staging" ]
}

@test "a configuration that is wrong fails with terraform's own words" {
	echo 'resource "nope" {' >>"$D/src/$C1/apps/infra/main.tf"
	tf_stage TERRAFORM_SYNC $C1
	[ "$STATUS" = FAILURE ]
	[[ "$REASON" == *"failed, exit 1: Error:"* ]]
}

@test "a plan that destroys too much is held, with the list, until spec.confirm" {
	more=$(for i in 1 2 3 4 5 6; do printf 'resource "terraform_data" "x%d" {}\n' $i; done)
	terraform_commit $C1 v1 "$more"
	DEP=one tf_stage TERRAFORM_SYNC $C1
	META=
	DEP=two tf_stage TERRAFORM_SYNC $C2 $C1
	[ "$STATUS" = FAILURE ]
	[[ "$REASON" == "held: the plan destroys 6 of 8 resources (limit 30 %)"* ]]
	[ "$(jq -r 'select(.kind=="held").objects|length' <<<"$output")" -eq 6 ]
	[ "$(tf_state '.resources|length')" -eq 8 ]
	[[ "$META" != *applied* ]]
}

@test "a configured backend is left as it is" {
	terraform_commit $C1 v1 "terraform {
	backend \"local\" { path = \"$D/own.tfstate\" }
}"
	tf_stage TERRAFORM_SYNC $C1
	[ "$STATUS" = SUCCESS ]
	[ -e "$D/own.tfstate" ]
	[ ! -e "$STATE/terraform" ]
}

@test "no terraform, another hash, or another version is refused by name" {
	sed -i 's/path: [^}]*/path: \/nonexistent/' "$CONF"
	tf_stage TERRAFORM_SYNC $C1
	[ "$STATUS" = FAILURE ]
	[[ "$REASON" == *"path: /nonexistent: No such file"* ]]
	sed -i "s|path: [^}]*|path: $TF, sha256: \"$(printf '0%.0s' {1..64})\"|" "$CONF"
	tf_stage TERRAFORM_SYNC $C1
	[[ "$REASON" == *"$TF has SHA-256"*"not the configured 0000"* ]]
	sum=$(sha256sum <"$TF" | cut -d' ' -f1)
	sed -i "s|sha256: \"0*\"|sha256: \"$sum\"|" "$CONF"
	INPUT='{"terraformVersion":"0.13.0"}' tf_stage TERRAFORM_SYNC $C1
	[[ "$REASON" == *"terraformVersion 0.13.0 is asked for"* ]]
	tf_stage TERRAFORM_SYNC $C1
	[ "$STATUS" = SUCCESS ]
	sed -i '/tools:/d' "$CONF"
	PATH=$BIN:/usr/sbin:/usr/bin:/bin tf_stage TERRAFORM_SYNC $C1
	command -v terraform | grep -q '^/usr/bin' || [[ "$REASON" == *"neither terraform nor tofu is on PATH"* ]]
}

@test "SIGTERM lets terraform end in order, and the stage is CANCELLED" {
	terraform_commit $C1 v1 'resource "terraform_data" "slow" {
	provisioner "local-exec" { command = "echo $$ >'"$D"'/pid; exec sleep 60" }
}'
	start_frame TERRAFORM_SYNC $C1 "" '.target_dir = .target_root + "/apps/infra"' >"$D/start.json"
	pipecd-exec-terraform -f "$CONF" stage <"$D/start.json" >"$D/out" 2>/dev/null 3>&- &
	pid=$!
	until_true 20 test -s "$D/pid"
	kill "$pid"
	! wait "$pid"
	[ "$(jq -r 'select(.kind=="stage_done").status' "$D/out")" = CANCELLED ]
	! kill -0 "$(cat "$D/pid")" 2>/dev/null
	# The state was written and its lock given back.
	[ "$(tf_state '.resources|length')" -ge 1 ]
	[ ! -e "$STATE/terraform/app-infra/.terraform.tfstate.lock.info" ]
}

@test "killed with SIGKILL, terraform ends in order by itself and holds the lock until then" {
	terraform_commit $C1 v1 'resource "terraform_data" "slow" {
	provisioner "local-exec" { command = "echo $$ >'"$D"'/pid; trap \"\" INT; sleep 2; echo end >'"$D"'/end" }
}'
	start_frame TERRAFORM_SYNC $C1 "" '.target_dir = .target_root + "/apps/infra"' >"$D/start.json"
	: >"$D/lock"
	bash -c 'exec 6>"$1/lock"; flock 6; exec pipecd-exec-terraform -f "$2" stage' sh "$D" "$CONF" <"$D/start.json" >"$D/out" 2>/dev/null 3>&- &
	pid=$!
	until_true 20 test -s "$D/pid"
	! flock -n "$D/lock" true
	kill -9 "$pid"
	wait "$pid" || true
	# Whoever waits for the lock waits for terraform.
	flock -w 30 "$D/lock" true
	[ ! -e "$STATE/terraform/app-infra/.terraform.tfstate.lock.info" ]
	tf_stage TERRAFORM_SYNC $C2
	[ "$STATUS" = SUCCESS ]
}
