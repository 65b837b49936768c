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
