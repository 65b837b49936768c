load plan.bash
setup() { plan_setup; }

sync_frame() { # COMMAND-ID APPLICATION-ID [STRATEGY]
	frame command "\"command\":{\"id\":\"$1\",\"piped_id\":\"p\",\"application_id\":\"$2\",\"commander\":\"ann\",\"type\":\"SYNC_APPLICATION\",\"sync_application\":{\"application_id\":\"$2\",\"sync_strategy\":\"${3:-AUTO}\"},\"created_at\":1,\"updated_at\":1}"
}
chain_frame() { # COMMAND-ID APPLICATION-ID
	frame command "\"command\":{\"id\":\"$1\",\"piped_id\":\"p\",\"application_id\":\"$2\",\"commander\":\"chain-1\",\"type\":\"CHAIN_SYNC_APPLICATION\",\"chain_sync_application\":{\"deployment_chain_id\":\"chain-1\",\"block_index\":2,\"application_id\":\"$2\"},\"created_at\":1,\"updated_at\":1}"
}
app_id() { jq -r --arg n "$1" 'select(.name==$n).application_id' "$D/state/journal/apps.ndjson" | tail -n 1; }
PIPE='pipeline: {stages: [{name: HOST_CANARY_ROLLOUT}, {name: HOST_PRIMARY_ROLLOUT}]}'

@test "a sync command deploys the head again and is answered" {
	app one
	commit first
	deployed
	run -0 --separate-stderr pipecd-plan -f "$D/piped.yaml" < <(head_frame; sync_frame c1 "$(app_id one)")
	[ "$(planned <<<"$output" | deployments)" = "one PLANNED" ]
	[ "$(planned <<<"$output" | jq -r .deployment.trigger.commander)" = ann ]
	[ "$(planned <<<"$output" | jq -r .plan.trigger_id)" = c1 ]
	id=$(planned <<<"$output" | jq -r .deployment.id)
	[ "$(jq -c 'select(.kind=="command_done") | [.command_id,.status,.metadata.TriggeredDeploymentID]' <<<"$output")" = "[\"c1\",\"SUCCEEDED\",\"$id\"]" ]
	[ "$id" != "$(jq -r .deployment_id "$D/state/journal/apps.ndjson")" ]
}

@test "a command that comes twice deploys once and is answered twice" {
	app one
	commit first
	deployed
	run -0 --separate-stderr pipecd-plan -f "$D/piped.yaml" < <(head_frame; sync_frame c1 "$(app_id one)"; sync_frame c1 "$(app_id one)")
	[ "$(planned <<<"$output" | wc -l)" -eq 1 ]
	[ "$(jq -c 'select(.kind=="command_done")' <<<"$output" | wc -l)" -eq 2 ]
}

@test "a command's strategy is what is done" {
	app one "$PIPE"
	commit first
	deployed
	run -0 --separate-stderr pipecd-plan -f "$D/piped.yaml" < <(head_frame; sync_frame c1 "$(app_id one)" QUICK_SYNC; sync_frame c2 "$(app_id one)" PIPELINE)
	[ "$(planned <<<"$output" | jq -c '[.deployment.stages[0].name, .deployment.trigger.sync_strategy]')" = '["HOST_SYNC","QUICK_SYNC"]
["HOST_CANARY_ROLLOUT","PIPELINE"]' ]
}

@test "a pipeline that is asked for and not configured fails the planning" {
	app one
	commit first
	deployed
	run -0 --separate-stderr pipecd-plan -f "$D/piped.yaml" < <(head_frame; sync_frame c1 "$(app_id one)" PIPELINE)
	[ "$(planned <<<"$output" | deployments)" = "one FAILURE" ]
	[[ "$(planned <<<"$output" | jq -r .deployment.status_reason)" == *"spec.pipeline: missing"* ]]
}

@test "commitMatcher does not look at what a command deploys" {
	app one "$PIPE" 'commitMatcher: {quickSync: "."}'
	commit first
	deployed
	run -0 --separate-stderr pipecd-plan -f "$D/piped.yaml" < <(head_frame; sync_frame c1 "$(app_id one)")
	[ "$(planned <<<"$output" | jq -r '.deployment.stages[0].name')" = HOST_CANARY_ROLLOUT ]
}

@test "a command whose trigger is disabled fails, saying so" {
	app one 'trigger: {onCommand: {disabled: true}}'
	commit first
	deployed
	run -0 --separate-stderr pipecd-plan -f "$D/piped.yaml" < <(head_frame; sync_frame c1 "$(app_id one)")
	[ -z "$(planned <<<"$output")" ]
	[ "$(jq -r 'select(.kind=="command_done") | "\(.status) \(.reason)"' <<<"$output")" = "FAILED spec.trigger.onCommand is disabled" ]
}

@test "a command for an application that is not ours is left to others" {
	app one
	commit first
	deployed
	run -0 --separate-stderr pipecd-plan -f "$D/piped.yaml" < <(head_frame; sync_frame c1 11111111-1111-5111-8111-111111111111)
	[ -z "$(planned <<<"$output")" ]
	[ -z "$(jq -c 'select(.kind=="command_done")' <<<"$output")" ]
	[[ "$stderr" == *"c1 command application=11111111-1111-5111-8111-111111111111 is not one of ours"* ]]
}

@test "onChain is off unless it is configured, and then deploys with its chain" {
	app one
	app two 'trigger: {onChain: {disabled: false}}'
	commit first
	deployed
	run -0 --separate-stderr pipecd-plan -f "$D/piped.yaml" < <(head_frame; chain_frame c1 "$(app_id one)"; chain_frame c2 "$(app_id two)")
	[ "$(planned <<<"$output" | deployments)" = "two PLANNED" ]
	[ "$(planned <<<"$output" | jq -c '[.deployment.deployment_chain_id,.deployment.deployment_chain_block_index,.plan.trigger_id]')" = '["chain-1",2,"chain-1/2"]' ]
	[ "$(jq -r 'select(.kind=="command_done" and .command_id=="c1") | "\(.status) \(.reason)"' <<<"$output")" = "FAILED spec.trigger.onChain is disabled" ]
}

state_frame() { # APPLICATION-ID [TIMESTAMP]
	frame app_state "\"application_id\":\"$1\",\"sync_state\":{\"status\":\"OUT_OF_SYNC\",\"short_reason\":\"edited\",\"timestamp\":${2:-$(date +%s)}}"
}

@test "onOutOfSync is off unless it is configured" {
	app one
	app two 'trigger: {onOutOfSync: {disabled: false}}'
	commit first
	deployed
	run -0 --separate-stderr pipecd-plan -f "$D/piped.yaml" < <(head_frame; state_frame "$(app_id one)"; state_frame "$(app_id two)")
	[ "$(planned <<<"$output" | deployments)" = "two PLANNED" ]
	[ "$(planned <<<"$output" | jq -r .plan.trigger_id)" = "$(git -C "$D/web" rev-parse HEAD)/out-of-sync/1700000100" ]
}

@test "onOutOfSync waits for minWindow after the last deployment" {
	app one 'trigger: {onOutOfSync: {disabled: false, minWindow: 1h}}'
	commit first
	deployed
	id=$(app_id one)
	sed -i "s/\"completed_at\":1700000100/\"completed_at\":$(($(date +%s) - 600))/" "$D/state/journal/apps.ndjson"
	run -0 --separate-stderr pipecd-plan -f "$D/piped.yaml" < <(head_frame; state_frame "$id")
	[ -z "$(planned <<<"$output")" ]
	sed -i "s/\"completed_at\":[0-9]*/\"completed_at\":$(($(date +%s) - 3700))/" "$D/state/journal/apps.ndjson"
	run -0 --separate-stderr pipecd-plan -f "$D/piped.yaml" < <(head_frame; state_frame "$id")
	[ "$(planned <<<"$output" | deployments)" = "one PLANNED" ]
}

@test "onOutOfSync does not act while a deployment is unfinished, nor on what was seen before its end" {
	app one 'trigger: {onOutOfSync: {disabled: false, minWindow: 1s}}'
	commit first
	deployed RUNNING
	id=$(app_id one)
	run -0 --separate-stderr pipecd-plan -f "$D/piped.yaml" < <(head_frame; state_frame "$id")
	[ -z "$(planned <<<"$output")" ]
	deployed SUCCESS
	plan_head >"$D/said"
	rm "$D/state/journal/apps.ndjson"
	deployed SUCCESS
	run -0 --separate-stderr pipecd-plan -f "$D/piped.yaml" < <(head_frame; state_frame "$id" 1700000050)
	[ -z "$(planned <<<"$output")" ]
}

rollback_frame() { # COMMAND-ID APPLICATION-ID DEPLOYMENT-ID COMMIT [FILE]
	frame command "\"command\":{\"id\":\"$1\",\"piped_id\":\"p\",\"application_id\":\"$2\",\"commander\":\"ann\",\"type\":\"ROLLBACK_DEPLOYMENT\",\"rollback_deployment\":{\"application_id\":\"$2\",\"deployment_id\":\"$3\",\"commit_hash\":\"$4\",\"config_filename\":\"${5-app.pipecd.yaml}\"},\"created_at\":1,\"updated_at\":1}"
}

@test "a rollback deploys the earlier commit by its configuration, and says whose it was" {
	app one
	first=$(commit first)
	deployed
	app one "$PIPE"
	commit second
	run -0 --separate-stderr pipecd-plan -f "$D/piped.yaml" < <(head_frame; rollback_frame c1 "$(app_id one)" D1 "$first")
	back=$(planned <<<"$output" | jq -c "select(.deployment.trigger.commit.hash==\"$first\")")
	[ "$(jq -r '.deployment.stages[0].name' <<<"$back")" = HOST_SYNC ]
	[ "$(jq -r '.deployment.metadata_v2.shared.keyValues["rollback-to"]' <<<"$back")" = D1 ]
	[ "$(jq -r .deployment.trigger.strategy_summary <<<"$back")" = "back to what deployment D1 deployed, asked for by ann" ]
	[ "$(jq -r 'select(.kind=="command_done").status' <<<"$output")" = SUCCEEDED ]
}

@test "a rollback to a commit that is gone, or to a file of another name, is answered with why" {
	app one
	first=$(commit first)
	deployed
	run -0 --separate-stderr pipecd-plan -f "$D/piped.yaml" < <(head_frame
		rollback_frame c1 "$(app_id one)" D1 0123456789012345678901234567890123456789
		rollback_frame c2 "$(app_id one)" D1 "$first" old.pipecd.yaml
		rollback_frame c3 "$(app_id one)" D1 HEAD)
	[ "$(jq -r 'select(.kind=="command_done") | "\(.command_id) \(.status) \(.reason)"' <<<"$output")" = "c1 FAILED its commit is not in the repository any more
c2 FAILED the application's configuration file had another name then
c3 FAILED rollback_deployment.commit_hash: not a commit" ]
}
