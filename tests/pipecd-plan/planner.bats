load plan.bash
setup() { plan_setup; }

PIPE='pipeline: {stages: [{name: HOST_CANARY_ROLLOUT, with: {targets: 25%}}, {name: WAIT, with: {duration: 10s}}, {name: HOST_PRIMARY_ROLLOUT}]}'
stage_names() { planned | jq -r '[.deployment.stages[] | select(.rollback|not) | .name] | join(" ")'; }

# again DIR: deploy what is there, then change it
again() {
	commit first
	deployed
	echo "$RANDOM" >>"$D/web/$1/index.html"
	commit "${2:-second}"
}

@test "without a pipeline it is a quick sync with the predefined ids, and a rollback" {
	app one
	commit first
	run -0 --separate-stderr plan_head
	d=$(planned <<<"$output")
	[ "$(jq -c '[.deployment.stages[] | [.id,.name,.rollback//false,.visible//false]]' <<<"$d")" = \
		'[["HostSync","HOST_SYNC",false,true],["Rollback","HOST_ROLLBACK",true,false]]' ]
	[ "$(jq -c '[.plan.stages[] | [.id,.program]]' <<<"$d")" = '[["HostSync","host"],["Rollback","host"]]' ]
	[[ "$(jq -r .deployment.summary <<<"$d")" == "Quick sync: no pipeline is configured" ]]
	[ "$(jq -c .deployment.versions <<<"$d")" = "[{\"kind\":\"GIT_SOURCE\",\"version\":\"$(git -C "$D/web" rev-parse --short=7 HEAD)\",\"name\":\"one\"}]" ]
}

@test "planner.autoRollback false leaves the rollback out" {
	app one 'planner: {autoRollback: false}'
	commit first
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | jq '.deployment.stages | length')" -eq 1 ]
}

@test "the first deployment is a quick sync, the next takes the pipeline" {
	app one "$PIPE"
	commit first
	run -0 --separate-stderr plan_head
	[ "$(stage_names <<<"$output")" = HOST_SYNC ]
	again one
	run -0 --separate-stderr plan_head
	[ "$(stage_names <<<"$output")" = "HOST_CANARY_ROLLOUT WAIT HOST_PRIMARY_ROLLOUT" ]
}

@test "alwaysUsePipeline takes the pipeline at the first deployment too" {
	app one 'planner: {alwaysUsePipeline: true}' "$PIPE"
	commit first
	run -0 --separate-stderr plan_head
	d=$(planned <<<"$output")
	[ "$(jq -c '[.deployment.stages[] | [.id,.index//0,.requires//[]]]' <<<"$d")" = \
		'[["stage-0",0,[]],["stage-1",1,["stage-0"]],["stage-2",2,["stage-1"]],["Rollback",3,[]]]' ]
	[ "$(jq -c '[.plan.stages[] | .program]' <<<"$d")" = '["host","exec","host","host"]' ]
	[ "$(jq -c '.plan.stages[0].config.targets' <<<"$d")" = '"25%"' ]
	[ "$(jq -c '.plan.stages[0].timeout_ms' <<<"$d")" = 21600000 ]
	[ "$(jq -c '.plan.timeout_ms' <<<"$d")" = 21600000 ]
}

@test "commitMatcher.pipeline and quickSync decide by the commit's message" {
	app one 'commitMatcher: {quickSync: "^(?i)hotfix\\b", pipeline: "\\bcareful$"}' "$PIPE"
	again one 'HotFix the page'
	run -0 --separate-stderr plan_head
	[ "$(stage_names <<<"$output")" = HOST_SYNC ]
	again one 'hotfix, but careful'
	run -0 --separate-stderr plan_head
	[ "$(stage_names <<<"$output")" = "HOST_CANARY_ROLLOUT WAIT HOST_PRIMARY_ROLLOUT" ]
	[[ "$(planned <<<"$output" | jq -r .deployment.summary)" == *"commitMatcher.pipeline"* ]]
}

@test "a commit's message is its subject, as in PipeCD" {
	app one 'commitMatcher: {quickSync: "^two lines$"}' "$PIPE"
	again one $'two\nlines\n\nand a body'
	run -0 --separate-stderr plan_head
	[ "$(stage_names <<<"$output")" = HOST_SYNC ]
	[ "$(planned <<<"$output" | jq -r .deployment.trigger.commit.message)" = "two lines" ]
}

@test "what is no expression is passed over in an Application" {
	app one 'commitMatcher: {quickSync: "("}' "$PIPE"
	again one
	run -0 --separate-stderr plan_head
	[ "$(stage_names <<<"$output")" = "HOST_CANARY_ROLLOUT WAIT HOST_PRIMARY_ROLLOUT" ]
	[[ "$stderr" == *"commitMatcher.quickSync is not used"* ]]
}

@test "an expression that would take for ever is cut short" {
	app one 'commitMatcher: {quickSync: "(a+)+$"}' "$PIPE"
	again one "$(printf 'a%.0s' {1..60})b"
	run -0 --separate-stderr timeout 10 pipecd-plan -f "$D/piped.yaml" < <(head_frame)
	[[ "$stderr" == *"commitMatcher.quickSync is not used"*"limit"* ]]
}

@test "a stage id that is there twice fails the planning and names the line" {
	app one 'planner: {alwaysUsePipeline: true}' 'pipeline: {stages: [{id: a, name: WAIT, with: {duration: 1s}}, {id: a, name: HOST_PRIMARY_ROLLOUT}]}'
	commit first
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | deployments)" = "one FAILURE" ]
	[[ "$(planned <<<"$output" | jq -r .deployment.status_reason)" == "one/app.pipecd.yaml:"*"stages[1]: id a is taken by an earlier stage" ]]
}

@test "a stage nobody has fails the planning, with what there is" {
	app one 'planner: {alwaysUsePipeline: true}' 'pipeline: {stages: [{name: HOST_PRIMARY}]}'
	commit first
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | deployments)" = "one FAILURE" ]
	r=$(planned <<<"$output" | jq -r .deployment.status_reason)
	[[ "$r" == "one/app.pipecd.yaml:"*"stages[0]: HOST_PRIMARY: no such stage; there are HOST_SYNC, HOST_CANARY_ROLLOUT, HOST_PRIMARY_ROLLOUT, WAIT, "* ]]
}

@test "what is not supported yet fails the planning by its name" {
	app one 'planner: {alwaysUsePipeline: true}' 'pipeline: {stages: [{name: WAIT, with: {duration: 1s}}, {name: ANALYSIS, with: {duration: 1m}}]}'
	commit first
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | deployments)" = "one FAILURE" ]
	[[ "$(planned <<<"$output" | jq -r .deployment.status_reason)" == *"pipeline.stages[1]:"*ANALYSIS** ]]
}

@test "WAIT_APPROVAL says its approvers" {
	app one 'planner: {alwaysUsePipeline: true}' 'pipeline: {stages: [{name: WAIT_APPROVAL, with: {approvers: [ann, bob]}}]}'
	commit first
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | jq -c '.deployment.stages[0] | [.metadata.Approvers,.authorized_operators]')" = '["ann,bob",["ann","bob"]]' ]
}

@test "a SCRIPT_RUN with onRollback is rolled back by a stage of its own" {
	app one 'planner: {alwaysUsePipeline: true}' 'pipeline: {stages: [{id: notify, name: SCRIPT_RUN, with: {run: "true", onRollback: "echo back"}}, {name: SCRIPT_RUN, with: {run: "true"}}]}'
	commit first
	run -0 --separate-stderr plan_head
	d=$(planned <<<"$output")
	[ "$(jq -c '[.deployment.stages[].name]' <<<"$d")" = '["SCRIPT_RUN","SCRIPT_RUN","HOST_ROLLBACK","SCRIPT_RUN_ROLLBACK"]' ]
	[ "$(jq -c '.plan.stages[3] | [.program,.base_stage,.config.onRollback]' <<<"$d")" = '["script","notify","echo back"]' ]
}

@test "skipOn skips by message, or when all changed files match" {
	app one 'planner: {alwaysUsePipeline: true}' \
		'pipeline: {stages: [{name: WAIT, with: {duration: 1s}, skipOn: {commitMessagePrefixes: ["[skip]"], paths: ["**/*.html"]}}]}'
	commit first
	deployed
	echo a >"$D/web/one/index.html"
	commit second
	run -0 --separate-stderr plan_head
	[[ "$(planned <<<"$output" | jq -r '.plan.stages[0].skip')" == "skipOn: all changed files"* ]]
	echo b >"$D/web/one/index.css"
	commit third
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | jq -r '.plan.stages[0].skip')" = null ]
	echo c >"$D/web/one/index.css"
	commit '[skip] fourth'
	run -0 --separate-stderr plan_head
	[[ "$(planned <<<"$output" | jq -r '.plan.stages[0].skip')" == "skipOn: the commit message begins"* ]]
}

@test "the plan has the configuration at both commits and the targets" {
	app one
	sed -i 's/input: {}/input: {keepReleases: 2}/' "$D/web/one/app.pipecd.yaml"
	commit first
	a=$(git -C "$D/web" rev-parse HEAD)
	deployed
	sed -i 's/keepReleases: 2/keepReleases: 3/' "$D/web/one/app.pipecd.yaml"
	commit second
	run -0 --separate-stderr plan_head
	d=$(planned <<<"$output")
	[ "$(jq -c '.plan.plugins[0] | [.plugin,.targets]' <<<"$d")" = '["host",["web-1"]]' ]
	[ "$(jq -c '.plan.plugins[0].config.keepReleases' <<<"$d")" = 3 ]
	[ "$(jq -c '.plan.plugins[0].running_config.keepReleases' <<<"$d")" = 2 ]
	[ "$(jq -r '.deployment.running_commit_hash' <<<"$d")" = "$a" ]
	[ "$(jq -c '.deployment.deploy_targets_by_plugin' <<<"$d")" = '{"host":{"deploy_targets":["web-1"]}}' ]
}

@test "postSync.chain is in the plan" {
	app one 'postSync: {chain: {applications: [{name: two}, {kind: TerraformApp, labels: {env: x}}]}}'
	commit first
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | jq -c .plan.chain)" = '[{"name":"two"},{"app_kind":"TerraformApp","labels":{"env":"x"}}]' ]
}

@test "a platform is asked to describe itself once for all applications" {
	app one
	app two
	app three
	commit first
	run -0 --separate-stderr plan_head
	[ "$(wc -l <"$D/host.asked")" -eq 1 ]
}

@test "a platform that cannot be asked fails the planning of its applications, with the reason" {
	fake_platform broken '{}'
	printf '#!/bin/sh\nexit 3\n' >"$D/broken.sh"
	{ plugin host web-1; plugin broken; } | piped
	app one
	app two
	sed -i 's/host:/broken:/' "$D/web/two/app.pipecd.yaml"
	commit first
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | deployments | sort)" = "one PLANNED
two FAILURE" ]
	[[ "$(planned <<<"$output" | jq -r 'select(.deployment.application_name=="two").deployment.status_reason')" == *"plugin broken cannot be asked what it does: exit 3" ]]
}
