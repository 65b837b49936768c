# The whole agent under piped, on real input.
setup() {
	load ../lib/common
	load ../lib/agent
	SYNC=1s agent_new "$BATS_TEST_TMPDIR/agent" 2
}
teardown() { agent_stop; }

deployed() {	# APP CONTENT: on every target
	local t
	for t in "$ROOTS"/web-*; do
		[ "$(cat "$t/$1/current/index.html" 2>/dev/null)" = "$2" ] || return 1
	done
}
ended() { [ "$(journals_with "$1")" = "$2" ]; }
listed() { pipecd-report -l -f "$CONF" | grep -q "$1"; }	# COMMIT, or what else a line of it says
stage_running() { pipecd-report -l -f "$CONF" | grep -q " $1 .* stage $2 "; }	# APP STAGE

@test "agent: a push is deployed without a poll" {
	sed -i 's/syncInterval: 1s/syncInterval: 1h/' "$CONF"
	agent_app site
	repo_commit "$REPO" one
	agent_start
	until_true 10 deployed site site
	echo two >"$REPO/site/index.html"
	repo_commit "$REPO" two
	until_true 5 deployed site two
}

@test "agent: killed -9 with all its children in the middle of a deployment, it ends it after a restart" {
	agent_app site "" 'pipeline:
  stages:
    - {name: HOST_CANARY_ROLLOUT, with: {targets: 1}}
    - {name: WAIT, with: {duration: 2s}}
    - {name: HOST_PRIMARY_ROLLOUT}'
	repo_commit "$REPO" one
	agent_start
	until_true 10 deployed site site
	echo two >"$REPO/site/index.html"
	repo_commit "$REPO" two
	until_true 10 stage_running site WAIT
	pids=$(piped -s -f "$CONF" --json | jq -r '.. | .pid? // empty')
	kill -9 "$PIPED" $pids 2>/dev/null || true
	wait "$PIPED" || true
	agent_start
	until_true 20 deployed site two
	until_true 10 ended SUCCESS 2
	run -0 pipecd-exec -V "$STATE"/journal/*-*.ndjson
}

@test "agent: somebody approves over the socket, and is named" {
	agent_app site "" "planner: {alwaysUsePipeline: true}
pipeline:
  stages:
    - {name: WAIT_APPROVAL, timeout: 1m, with: {approvers: [$(id -un)]}}
    - {name: HOST_PRIMARY_ROLLOUT}"
	repo_commit "$REPO" one
	agent_start
	until_true 10 stage_running site WAIT_APPROVAL
	d=$(deployment_of site)
	run -1 pipecd-report -c approve no-such-deployment -f "$CONF"
	run -0 pipecd-report -c approve "${d:0:8}" -f "$CONF"
	until_true 10 deployed site site
	grep -q "\"ApprovedBy\"[^}]*$(id -un)" "$STATE/journal/$d.ndjson"
}

@test "agent: a cancel rolls back and ends as CANCELLED" {
	agent_app site "" 'pipeline:
  stages:
    - {name: HOST_CANARY_ROLLOUT, with: {targets: 1}}
    - {name: WAIT, with: {duration: 10m}}
    - {name: HOST_PRIMARY_ROLLOUT}'
	repo_commit "$REPO" one
	agent_start
	until_true 10 deployed site site
	echo two >"$REPO/site/index.html"
	repo_commit "$REPO" two
	until_true 10 stage_running site WAIT
	run -0 pipecd-report -c cancel "$(deployment_of site)" -f "$CONF"
	until_true 10 ended CANCELLED 1
	deployed site site
}

@test "agent: a newer commit supersedes one that has not started" {
	agent_app site "" 'planner: {alwaysUsePipeline: true}
pipeline:
  stages:
    - {name: WAIT, with: {duration: 2s}}
    - {name: HOST_PRIMARY_ROLLOUT}'
	repo_commit "$REPO" one
	agent_start
	until_true 10 stage_running site WAIT
	echo two >"$REPO/site/index.html"
	repo_commit "$REPO" two
	until_true 10 listed "$(git -C "$REPO" rev-parse --short=7 HEAD)"
	echo three >"$REPO/site/index.html"
	repo_commit "$REPO" three
	until_true 20 deployed site three
	[ "$(journals_with FAILURE)" = 0 ]
}

@test "agent: a hand edit is found and corrected" {
	agent_app site "" 'trigger: {onOutOfSync: {disabled: false, minWindow: 1s}}'
	repo_commit "$REPO" one
	agent_start
	until_true 10 deployed site site
	echo hacked >"$ROOTS/web-2/site/current/index.html"
	until_true 15 deployed site site
	until_true 10 ended SUCCESS 2
}

@test "agent: a chain goes on to the next application when the first succeeds" {
	agent_app first "" 'postSync: {chain: {applications: [{name: second}]}}'
	agent_app second "" 'trigger: {onCommit: {disabled: true}, onChain: {disabled: false}}'
	repo_commit "$REPO" one
	agent_start
	until_true 10 deployed first first
	until_true 10 deployed second second
}

@test "agent: sync by hand deploys again" {
	agent_app site
	repo_commit "$REPO" one
	agent_start
	until_true 10 ended SUCCESS 1
	run -0 pipecd-report -c sync site -f "$CONF"
	until_true 10 ended SUCCESS 2
}

@test "agent: SIGTERM ends every program, and nothing is left in run/" {
	agent_app site
	repo_commit "$REPO" one
	agent_start
	until_true 10 deployed site site
	pids=$(piped -s -f "$CONF" --json | jq -r '.. | .pid? // empty')
	kill "$PIPED"; wait "$PIPED"; PIPED=
	for p in $pids; do run ! kill -0 "$p"; done
	run -111 piped -s -f "$CONF"
}
