# The whole agent with a control plane: tests/peers/controlplane.py, as PipeCD's
# (polled) and, with -w, as ours (Watch).
load ../lib/common
load ../lib/agent
load ../lib/control

setup() {
	cp_there || skip "no grpc-python"
	A=$BATS_TEST_TMPDIR/a
}

teardown() {
	agent_stop
	cp_kill
	# What the agent and the control plane said, should it have failed.
	[ -n "$BATS_TEST_COMPLETED" ] || tail -n 60 "$A"/*.err "$CP/out" 2>/dev/null
	[ -n "$BATS_TEST_COMPLETED" ] || jq -c '[.at,.method,.code,.text]' "$CP/calls.ndjson" | tail -n 60
}

status() { cp_db "[.deployments[]|select(.applicationId==\"$1\").status]|join(\",\")"; }
ended() { [ "$(status "$1")" = "$2" ]; }
# What the control plane holds of a deployment that went well.
whole() {
	cp_db '.deployments[].history|join(",")' | sort -u
	cp_db '.deployments[].stages[]|select(.rollback!=true)|.history|join(",")' | sort -u
}

deployed() {
	cp_start "$@"
	cp_app app-1 site site
	agent_new "$A" 1 "$(cp_conf)"
	agent_app site
	head=$(repo_commit "$REPO" one)
	agent_start ${AGENT_DEBUG:-}
	until_true 30 ended app-1 DEPLOYMENT_SUCCESS
	until_true 10 cp_is '.apps["app-1"].deploying' false
	[ "$(cp_db '.deployments[].history|join(",")')" = DEPLOYMENT_PENDING,DEPLOYMENT_PLANNED,DEPLOYMENT_RUNNING,DEPLOYMENT_SUCCESS ]
	[ "$(cp_db '.deployments[].stages[0].history|join(",")')" = STAGE_RUNNING,STAGE_SUCCESS ]
	[ "$(cp_db '.deployments[].trigger.commit.hash')" = "$head" ]
	[ "$(cp_db '.apps["app-1"].mostRecentlySuccessfulDeployment.trigger.commit.hash')" = "$head" ]
	[ "$(cp_db '.apps["app-1"].mostRecentlyTriggeredDeployment.deploymentId')" = "$(cp_db '.deployments|keys[0]')" ]
	# Its log, kept for good, each line once, and closed.
	[ "$(cp_db '.logs[]|.completed')" = true ]
	[ "$(cp_db '.logs[]|(.kept|length)==(.kept|map(.[0])|unique|length)')" = true ]
	[ "$(jq -r 'select(.kind=="stage_log").text' "$STATE"/journal/*-*.ndjson | wc -l)" -eq "$(cp_db '.logs[].kept|length')" ]
	until_true 20 cp_is '.apps["app-1"].syncState.status' SYNCED
	until_true 20 cp_is '.live["app-1"].applicationLiveState.resources|length>0' true
	[ "$(cp_db .meta.repositories[0].id)" = web ]
	[ "$(cp_db .meta.plugins[0].name)" = host ]
	[ "$(cp_db .stats)" -ge 1 ]
}

@test "a commit that is deployed shows at PipeCD's control plane, with stages, log, drift and live state" {
	deployed
}

@test "a commit that is deployed shows at our control plane, with stages, log, drift and live state" {
	deployed -w
}

@test "only what is registered is deployed; the rest is suggested, and changes of names are told" {
	cp_start -w
	cp_app app-1 old-name site
	agent_new "$A" 1 "$(cp_conf)"
	agent_app site
	agent_app other
	repo_commit "$REPO" one
	agent_start ${AGENT_DEBUG:-}
	until_true 30 ended app-1 DEPLOYMENT_SUCCESS
	until_true 20 cp_is '[.unregistered[]?|.name]|join(",")' other
	[ "$(cp_db '.unregistered[0]|[.repoId,.path,.configFilename,.pipedId]|join(" ")')" = "web other app.pipecd.yaml piped-1" ]
	until_true 20 cp_is '.apps["app-1"].name' site
	[ ! -e "$ROOTS/web-1/other" ]
	# Registered, it is deployed; and it is no suggestion any more.
	cp_app app-2 other other
	until_true 20 ended app-2 DEPLOYMENT_SUCCESS
	until_true 20 cp_is '.unregistered|length' 0
	# Taken back, it is not.
	cp_order '{"unapp":"app-2"}' >/dev/null
	until_true 20 grep -q 'app-2 application is not registered any more' "$STATE.err"
	echo two >"$REPO/other/index.html" >"$REPO/site/index.html"
	repo_commit "$REPO" two
	until_true 20 ended app-1 DEPLOYMENT_SUCCESS,DEPLOYMENT_SUCCESS
	[ "$(status app-2)" = DEPLOYMENT_SUCCESS ]
}

@test "an id that a control plane gives is adopted without deploying again" {
	agent_new "$A" 1
	agent_app site
	repo_commit "$REPO" one
	agent_pipe
	[ "$(journals_with SUCCESS)" -eq 1 ]
	cp_start -w
	cp_app app-1 site site
	cp_conf >>"$CONF"
	agent_start ${AGENT_DEBUG:-}
	# What was deployed before is told under the id that it has now.
	until_true 30 ended app-1 DEPLOYMENT_SUCCESS
	[ "$(cp_db '.deployments[]|.pipedId+" "+.projectId')" = "piped-1 p" ]
	echo two >"$REPO/site/index.html"
	repo_commit "$REPO" two
	until_true 30 ended app-1 DEPLOYMENT_SUCCESS,DEPLOYMENT_SUCCESS
	[ "$(journals_with SUCCESS)" -eq 2 ]
}

# waits [SECONDS]: an application that is held up in a stage
agent_waits() {
	agent_app "$1" '' "pipeline: {stages: [{name: WAIT_APPROVAL, with: {approvers: [ann, bob], minApproverNum: ${2:-1}}}, {name: HOST_SYNC}]}"
}

stage_id() { cp_db ".deployments[]|select(.applicationId==\"$1\" and .status==\"DEPLOYMENT_RUNNING\").stages[0].id"; }
running() { cp_db ".deployments[]|select(.applicationId==\"$1\" and .status==\"DEPLOYMENT_RUNNING\").id"; }
handled() { cp_is ".commands[\"$1\"].status" "COMMAND_$2"; }

@test "sync, cancel and approve arrive at once at an agent of ours, and are reported" {
	cp_start -w
	cp_app app-1 site site
	agent_new "$A" 1 "$(cp_conf)"
	agent_waits site
	repo_commit "$REPO" one
	agent_start ${AGENT_DEBUG:-}
	# The first deployment is a quick one.
	until_true 30 ended app-1 DEPLOYMENT_SUCCESS
	cp_command c-sync SYNC_APPLICATION '{"applicationId":"app-1","syncApplication":{"applicationId":"app-1","syncStrategy":"PIPELINE"}}'
	until_true 10 handled c-sync SUCCEEDED
	until_true 10 test -n "$(stage_id app-1)" || until_true 10 eval '[ -n "$(stage_id app-1)" ]'
	[ "$(cp_db '.commands["c-sync"].metadata.TriggeredDeploymentID')" = "$(running app-1)" ]
	[ "$(cp_db '.deployments[]|select(.status=="DEPLOYMENT_RUNNING").trigger.commander')" = ann ]
	until_true 10 cp_is '.deployments[]|select(.status=="DEPLOYMENT_RUNNING").stages[0].status' STAGE_RUNNING
	cp_command c-app APPROVE_STAGE "$(jq -cn --arg d "$(running app-1)" --arg s "$(stage_id app-1)" '{deploymentId:$d,stageId:$s,approveStage:{deploymentId:$d,stageId:$s}}')"
	until_true 10 handled c-app SUCCEEDED || { cp_db '.commands["c-app"]'; false; }
	until_true 10 ended app-1 DEPLOYMENT_SUCCESS,DEPLOYMENT_SUCCESS
	[ "$(cp_db '[.deployments[].stages[0].metadata.ApprovedBy|select(.)]|join(",")')" = ann ]
	cp_command c-sync2 SYNC_APPLICATION '{"applicationId":"app-1","syncApplication":{"applicationId":"app-1","syncStrategy":"PIPELINE"}}'
	until_true 10 eval '[ -n "$(stage_id app-1)" ]'
	cp_command c-can CANCEL_DEPLOYMENT "$(jq -cn --arg d "$(running app-1)" '{deploymentId:$d,cancelDeployment:{deploymentId:$d}}')"
	until_true 10 handled c-can SUCCEEDED
	until_true 10 ended app-1 DEPLOYMENT_SUCCESS,DEPLOYMENT_SUCCESS,DEPLOYMENT_CANCELLED
	# One for what has ended fails, and says why.
	cp_command c-late CANCEL_DEPLOYMENT "$(jq -cn --arg d "$(cp_db '.deployments|keys[0]')" '{deploymentId:$d,cancelDeployment:{deploymentId:$d}}')"
	until_true 10 handled c-late FAILED
	[[ "$(cp_db '.commands["c-late"].metadata.Reason')" == *"no unfinished deployment"* ]]
	cp_command c-skip SKIP_STAGE '{"deploymentId":"none","skipStage":{"deploymentId":"none","stageId":"s"}}'
	until_true 10 handled c-skip FAILED
	cp_command c-prev BUILD_PLAN_PREVIEW '{"buildPlanPreview":{"repositoryId":"web","headBranch":"x","headCommit":"y","baseBranch":"main"}}'
	until_true 10 handled c-prev FAILED
	# From the order to the answer, with a disk in between.
	ms=$(cp_db '[.commands[]|select(.id=="c-skip" or .id=="c-late" or .id=="c-prev").took_ms]|min|floor')
	echo "# command and answer: $ms ms" >&3
	[ "$ms" -lt 500 ]
}

@test "commands reach an agent of ours by polling at PipeCD's control plane" {
	cp_start
	cp_app app-1 site site
	agent_new "$A" 1 "$(cp_conf)"
	agent_app site
	repo_commit "$REPO" one
	agent_start ${AGENT_DEBUG:-}
	until_true 30 ended app-1 DEPLOYMENT_SUCCESS
	cp_command c-sync SYNC_APPLICATION '{"applicationId":"app-1","syncApplication":{"applicationId":"app-1"}}'
	until_true 15 handled c-sync SUCCEEDED
	until_true 15 ended app-1 DEPLOYMENT_SUCCESS,DEPLOYMENT_SUCCESS
	[ "$(cp_calls Watch OK)" -eq 0 ]
}

@test "a chain goes on block by block, and ends with the block that fails" {
	cp_start -w
	for i in 1 2 3; do cp_app "app-$i" "app$i" "app$i"; done
	agent_new "$A" 1 "$(cp_conf)"
	agent_app app1 '' 'postSync: {chain: {applications: [{name: app2}, {name: app3}]}}'
	agent_app app2 '' 'trigger: {onCommit: {disabled: true}, onChain: {disabled: false}}'
	agent_app app3 '' 'trigger: {onCommit: {disabled: true}, onChain: {disabled: false}}'
	repo_commit "$REPO" one
	agent_start ${AGENT_DEBUG:-}
	until_true 40 ended app-3 DEPLOYMENT_SUCCESS
	[ "$(status app-1) $(status app-2)" = "DEPLOYMENT_SUCCESS DEPLOYMENT_SUCCESS" ]
	[ "$(cp_db '.chains|length')" -eq 1 ]
	[ "$(cp_db '.deployments[].deploymentChainId' | sort -u)" = "$(cp_db '.chains|keys[0]')" ]
	[ "$(cp_db '[.deployments[]|.deploymentChainBlockIndex//0]|sort|join(" ")')" = "0 1 2" ]
	[ "$(cp_db '[.commands[].status]|unique|join(" ")')" = COMMAND_SUCCEEDED ]
}

@test "a restart that is asked for ends the programs in order and starts them anew" {
	cp_start -w
	cp_app app-1 site site
	agent_new "$A" 1 "$(cp_conf)"
	agent_app site
	repo_commit "$REPO" one
	agent_start ${AGENT_DEBUG:-}
	until_true 30 ended app-1 DEPLOYMENT_SUCCESS
	before=$(piped -s --json -f "$CONF" | jq -r '.programs[]|select(.name=="exec").pid')
	cp_command c-re RESTART_PIPED '{"restartPiped":{"pipedId":"piped-1"}}'
	until_true 10 handled c-re SUCCEEDED
	other() { now=$(piped -s --json -f "$CONF" | jq -r '.programs[]|select(.name=="exec").pid') && [ -n "$now" ] && [ "$now" != null ] && [ "$now" != "$before" ]; }
	until_true 20 other
	until_true 20 piped -s -f "$CONF"
	kill -0 "$PIPED"
	echo two >"$REPO/site/index.html"
	repo_commit "$REPO" two
	until_true 20 ended app-1 DEPLOYMENT_SUCCESS,DEPLOYMENT_SUCCESS
	[ "$(cp_db '.commands|length')" -eq 1 ]
}

@test "a control plane that is away when it happens hears all of it later" {
	cp_start -w
	cp_app app-1 site site
	agent_new "$A" 1 "$(cp_conf)"
	agent_app site
	repo_commit "$REPO" one
	agent_start ${AGENT_DEBUG:-}
	until_true 30 ended app-1 DEPLOYMENT_SUCCESS
	cp_kill
	until_true 10 grep -q 'is out of reach' "$STATE.err"
	for i in 2 3 4; do
		echo "$i" >"$REPO/site/index.html"
		repo_commit "$REPO" "$i"
		until_true 20 eval "[ \"\$(journals_with SUCCESS)\" = $i ]"
	done
	cp_start -w
	until_true 40 ended app-1 DEPLOYMENT_SUCCESS,DEPLOYMENT_SUCCESS,DEPLOYMENT_SUCCESS,DEPLOYMENT_SUCCESS
	[ "$(cp_db '[.order[] as $i|.deployments[$i].trigger.commit.message]|join(" ")')" = "one 2 3 4" ]
	[ "$(whole)" = "$(printf '%s\n' DEPLOYMENT_PENDING,DEPLOYMENT_PLANNED,DEPLOYMENT_RUNNING,DEPLOYMENT_SUCCESS STAGE_RUNNING,STAGE_SUCCESS)" ]
	[ "$(grep -c 'is out of reach' "$STATE.err")" -eq 1 ]
	grep -q 'is back after_s=' "$STATE.err"
}

@test "an agent that starts without its control plane deploys what was registered when it last heard of it" {
	cp_start -w
	cp_app app-1 site site
	agent_new "$A" 1 "$(cp_conf)"
	agent_app site
	repo_commit "$REPO" one
	agent_start ${AGENT_DEBUG:-}
	until_true 30 ended app-1 DEPLOYMENT_SUCCESS
	agent_stop
	cp_kill
	echo two >"$REPO/site/index.html"
	repo_commit "$REPO" two
	agent_start ${AGENT_DEBUG:-}
	until_true 20 eval '[ "$(journals_with SUCCESS)" = 2 ]'
	cp_start -w
	until_true 40 ended app-1 DEPLOYMENT_SUCCESS,DEPLOYMENT_SUCCESS
}

@test "of two agents with one identity the older reports nothing more and begins nothing" {
	cp_start -w
	cp_app app-1 site site
	agent_new "$A" 1 "$(cp_conf)"
	agent_app site
	repo_commit "$REPO" one
	agent_start ${AGENT_DEBUG:-}
	until_true 30 ended app-1 DEPLOYMENT_SUCCESS
	first=$PIPED first_err=$STATE.err first_state=$STATE
	# Another machine with a copy of the configuration.
	sed "s|stateDir: .*|stateDir: $A/state2|" "$CONF" >"$A/piped2.yaml"
	CONF=$A/piped2.yaml STATE=$A/state2
	agent_start ${AGENT_DEBUG:-}
	until_true 20 grep -q 'fenced: ' "$first_err"
	grep -q 'another agent runs as piped-1' "$first_err"
	until_true 20 cp_is .epoch 2
	echo two >"$REPO/site/index.html"
	repo_commit "$REPO" two
	until_true 30 ended app-1 DEPLOYMENT_SUCCESS,DEPLOYMENT_SUCCESS || { cat "$first_err" "$STATE.err"; false; }
	[ "$(STATE=$first_state journals_with SUCCESS)" -eq 1 ]
	kill "$first"
	wait "$first" || true
}
