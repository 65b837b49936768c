# D1: the disk is full.  Intake pauses, nothing is cut, it recovers by itself.
setup() {
	load ../lib/common
	load ../lib/agent
	agent_new "$BATS_TEST_TMPDIR/agent" 1
	[ "$(id -u)" -eq 0 ] || skip "mounting a small file system needs root"
	mkdir -p "$STATE"
	mount -t tmpfs -o size=6m,mode=700 none "$STATE" || skip "no mount here"
}
teardown() {
	agent_stop
	umount -l "$STATE" 2>/dev/null || true
}

deployed() { [ "$(cat "$ROOTS"/web-1/"$1"/current/index.html 2>/dev/null)" = "$2" ]; }

@test "disk full: what is recorded stays whole, and deployments go on when there is room" {
	agent_app site
	repo_commit "$REPO" one
	run -0 agent_pipe
	deployed site site
	dd if=/dev/zero of="$STATE/ballast" bs=4k 2>/dev/null || true
	echo two >"$REPO/site/index.html"
	repo_commit "$REPO" two
	run timeout 20 bash -c "source '$BATS_TEST_DIRNAME/../lib/agent.bash'; CONF='$CONF' agent_pipe"
	[ "$status" -ne 0 ]
	rm "$STATE/ballast"
	run -0 pipecd-exec -V "$STATE"/journal/*-*.ndjson
	run -0 agent_pipe
	deployed site two
	run -0 pipecd-exec -V "$STATE"/journal/*-*.ndjson
}

# The whole agent under piped, on a disk that fills while it works.
fill() { dd if=/dev/zero of="$STATE/ballast" bs=4k 2>/dev/null || true; }
ended() { [ "$(journals_with "$1")" = "$2" ]; }

@test "disk full: a running deployment ends, a push is taken when there is room, and nobody has died" {
	agent_app site "" "planner: {alwaysUsePipeline: true}
pipeline:
  stages:
    - {name: SCRIPT_RUN, with: {run: 'while ! test -e $BATS_TEST_TMPDIR/go; do sleep 0.05; done'}}
    - {name: HOST_PRIMARY_ROLLOUT}"
	agent_app other
	repo_commit "$REPO" one
	sed -i 's/syncInterval: 1m/syncInterval: 1s/' "$CONF"
	agent_start
	until_true 20 deployed other other
	pids=$(piped -s -f "$CONF" --json | jq -c '[.programs[]|select(.state=="ready" or .state=="running")|{name,pid}]|sort_by(.name)')
	fill
	# gitwatch cannot copy it, says so once, and goes on trying.
	echo two >"$REPO/other/index.html"
	head -c 400000 /dev/urandom >"$REPO/other/big"
	repo_commit "$REPO" two
	until_true 20 grep -q 'repo web fetch error=.*No space left' "$STATE.err"
	touch "$BATS_TEST_TMPDIR/go"
	sleep 3
	[ "$(grep -c 'warn: - repo web fetch error' "$STATE.err")" = 1 ]
	[ "$(piped -s -f "$CONF" --json | jq -c '[.programs[]|select(.state=="ready" or .state=="running")|{name,pid}]|sort_by(.name)')" = "$pids" ]
	rm "$STATE/ballast"
	until_true 30 deployed site site
	until_true 30 deployed other two
	cmp "$REPO/other/big" "$ROOTS/web-1/other/current/big"
	until_true 20 ended SUCCESS 3
	ended FAILURE 0
	run -0 pipecd-exec -V "$STATE"/journal/*-*.ndjson
}

@test "disk full: drift looks on, and what it finds is corrected when there is room" {
	agent_app site "" 'trigger: {onOutOfSync: {disabled: false, minWindow: 1s}}'
	repo_commit "$REPO" one
	sed -i 's/syncInterval: 1m/syncInterval: 1s/' "$CONF"
	agent_start
	until_true 20 ended SUCCESS 1
	fill
	echo hacked >"$ROOTS/web-1/site/current/index.html"
	sleep 3
	rm "$STATE/ballast"
	until_true 30 deployed site site
	[ -z "$(ls "$STATE"/cache/*.tmp "$STATE"/journal/*.tmp 2>/dev/null)" ]
	# A report of a full disk is an error, and no half table.
	run ! bash -c 'pipecd-report-summary -f "$1" --format json >/dev/full' report "$CONF"
	run -0 pipecd-exec -V "$STATE"/journal/*-*.ndjson
}
