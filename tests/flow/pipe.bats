# The main job, on real input: from a git commit to a finished deployment.
setup() {
	load ../lib/common
	load ../lib/agent
	agent_new "$BATS_TEST_TMPDIR/agent" 2
}

@test "pipe: a commit becomes files on every target" {
	agent_app site
	c=$(repo_commit "$REPO" "first")
	run -0 agent_pipe
	for t in web-1 web-2; do
		[ "$(cat "$ROOTS/$t/site/current/index.html")" = site ]
		[ "$(readlink "$ROOTS/$t/site/current")" = "releases/$c" ]
	done
	[ "$(journals_with SUCCESS)" = 1 ]
	run -0 pipecd-exec -V "$STATE"/journal/*-*.ndjson
	run -0 pipecd-exec -r "$STATE"/journal/*-*.ndjson
}

@test "pipe: run again with nothing new, it deploys nothing" {
	agent_app site
	repo_commit "$REPO" "first"
	run -0 agent_pipe
	run -0 agent_pipe
	[ "$(journals_with SUCCESS)" = 1 ]
	echo more >"$REPO/README"
	repo_commit "$REPO" "touches no application"
	run -0 agent_pipe
	[ "$(journals_with SUCCESS)" = 1 ]
}

@test "pipe: jq between plan and exec sees the deployment" {
	agent_app site
	c=$(repo_commit "$REPO" "first")
	run -0 bash -c "pipecd-gitwatch -1 -f '$CONF' | pipecd-plan -f '$CONF' | jq -c 'select(.kind==\"deployment\")'"
	[ "$(jq -r .deployment.trigger.commit.hash <<<"${lines[-1]}")" = "$c" ]
	[ "$(jq -r .deployment.status <<<"${lines[-1]}")" = PLANNED ]
	[ ! -e "$STATE/journal/apps.ndjson" ]
}

@test "pipe: a health check that fails rolls back by itself, and the pipe says 1" {
	agent_app site 'health: {command: "grep -q good index.html", interval: 100ms, timeout: 1s}'
	echo good >"$REPO/site/index.html"
	good=$(repo_commit "$REPO" "good")
	run -0 agent_pipe
	echo bad >"$REPO/site/index.html"
	repo_commit "$REPO" "bad"
	run -1 agent_pipe
	[ "$(readlink "$ROOTS/web-1/site/current")" = "releases/$good" ]
	[ "$(cat "$ROOTS/web-2/site/current/index.html")" = good ]
	[ "$(journals_with FAILURE)" = 1 ]
	[[ "$output" == *FAILURE* ]]
}

@test "pipe: one broken application holds up no other" {
	agent_app good
	agent_app bad
	echo 'spec: [' >"$REPO/bad/app.pipecd.yaml"
	repo_commit "$REPO" "one of each"
	run -0 agent_pipe
	[ "$(cat "$ROOTS/web-1/good/current/index.html")" = good ]
	[ ! -e "$ROOTS/web-1/bad" ]
	[[ "$output" == *"bad/app.pipecd.yaml:"* ]]
}

@test "pipe: canary first, then the rest" {
	agent_new "$BATS_TEST_TMPDIR/four" 4
	agent_app site "" 'pipeline:
  stages:
    - {name: HOST_CANARY_ROLLOUT, with: {targets: 25%}}
    - {name: WAIT, with: {duration: 10ms}}
    - {name: HOST_PRIMARY_ROLLOUT}'
	repo_commit "$REPO" one
	run -0 agent_pipe	# the first is a quick sync
	echo two >"$REPO/site/index.html"
	repo_commit "$REPO" two
	run -0 agent_pipe
	[ "$(cat "$ROOTS"/web-*/site/current/index.html | sort -u)" = two ]
	d=$(deployment_of site)
	[ "$(jq -rs '[.[]|select(.kind=="stage_done")|.status]|join(" ")' "$STATE/journal/$d.ndjson")" = "SUCCESS SUCCESS SUCCESS" ]
}

@test "pipe: what ended last is what runs, also for an exec that has only the journals" {
	agent_app site
	repo_commit "$REPO" one
	run -0 agent_pipe
	echo two >"$REPO/site/index.html"
	repo_commit "$REPO" two
	run -0 agent_pipe
	git -C "$REPO" revert --no-edit HEAD >/dev/null
	last=$(git -C "$REPO" rev-parse HEAD)
	run -0 agent_pipe
	# As if it had been killed before it wrote down what it knew.
	chmod u+w "$STATE"/journal/*.ndjson
	: >"$STATE/journal/apps.ndjson"
	pipecd-exec -f "$CONF" </dev/null >/dev/null
	[ "$(jq -rs 'last|.running_commit' "$STATE/journal/apps.ndjson")" = "$last" ]
}

@test "pipe: a branch that is forced back to what was deployed before deploys it again, each time once" {
	agent_app site
	repo_commit "$REPO" A
	agent_pipe
	echo two >"$REPO/site/index.html"
	repo_commit "$REPO" B
	agent_pipe
	for back in 'HEAD~1' 'HEAD@{1}' 'HEAD~1'; do
		git -C "$REPO" reset -q --hard "$back"
		run -0 agent_pipe
		[[ "$output" == *"1 deployment: 1 SUCCESS"* ]]
		cmp "$REPO/site/index.html" "$ROOTS/web-1/site/current/index.html"
		run -0 agent_pipe
		[[ "$output" == *"0 deployments"* ]]
	done
}
