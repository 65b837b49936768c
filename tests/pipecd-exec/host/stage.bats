load ../../lib/common
load ../../lib/platform

setup() { host_new "$BATS_TEST_TMPDIR" 2; }

@test "HOST_SYNC lays the files out and switches current on every target" {
	host_stage HOST_SYNC $C1
	[ "$status" -eq 0 ]
	[ "$STATUS" = SUCCESS ]
	for t in web-1 web-2; do
		[ "$(current $t)" = releases/$C1 ]
		[ "$(cat "$ROOTS/$t/web/current/index.html")" = "page of $C1" ]
		[ -x "$ROOTS/$t/web/current/bin/run" ]
		[ ! -e "$ROOTS/$t/web/current/app.pipecd.yaml" ]
	done
	[ "$(jq -r .re <<<"$DONE")" = ask-1 ]
}

@test "files takes patterns, and leaves out what an exclusion names" {
	echo no >"$D/src/$C1/secret.key"
	INPUT='{"files":["**","!**/*.key"]}' host_stage HOST_SYNC $C1
	[ "$STATUS" = SUCCESS ]
	[ -e "$ROOTS/web-1/web/current/bin/run" ]
	[ ! -e "$ROOTS/web-1/web/current/secret.key" ]
	[ ! -e "$ROOTS/web-1/web/current/app.pipecd.yaml" ]
}

@test "activate runs in the release with its environment, and its output is logged" {
	INPUT='{"activate":"echo $PIPECD_APPLICATION $PIPECD_COMMIT $PIPECD_TARGET $PIPECD_ROOT; cat index.html; pwd -P"}' host_stage HOST_SYNC $C1
	[ "$STATUS" = SUCCESS ]
	logs=$(jq -r 'select(.kind=="stage_log").text' <<<"$output")
	[[ "$logs" == *"web $C1 web-1 $ROOTS/web-1"* ]]
	[[ "$logs" == *"page of $C1"* ]]
	[[ "$logs" == *"$ROOTS/web-2/web/releases/$C1"* ]]
}

@test "a failing activate fails the stage, quoting what it said last" {
	INPUT='{"activate":"echo fine; echo no such port >&2; exit 3"}' host_stage HOST_SYNC $C1
	[ "$status" -eq 1 ]
	[ "$STATUS" = FAILURE ]
	[[ "$REASON" == *"web-1: activate failed, exit 3"*"no such port"* ]]
}

@test "a failing health command fails the stage, quoting it, after its timeout" {
	INPUT='{"health":{"command":"echo not ready; false","interval":"50ms","timeout":"200ms"}}' host_stage HOST_SYNC $C1
	[ "$STATUS" = FAILURE ]
	[[ "$REASON" == *"web-1: not healthy after 200 ms"*"not ready"* ]]
}

@test "health wants successCount successes in a row" {
	INPUT=$(jq -cn --arg f "$D/n" '{health:{command:"echo x >>\($f); n=$(wc -l <\($f)); [ $n -ne 2 ]",interval:"10ms",successCount:3}}')
	TARGETS='"web-1"' host_stage HOST_SYNC $C1
	[ "$STATUS" = SUCCESS ]
	[ "$(wc -l <"$D/n")" -eq 5 ]
}

@test "rollback brings the running commit back where the deployment was" {
	DEP=d1 host_stage HOST_SYNC $C1
	[ "$STATUS" = SUCCESS ]
	# The second commit works on web-1 alone.
	INPUT='{"activate":"echo $PIPECD_COMMIT $PIPECD_ROLLBACK >>$PIPECD_ROOT/log; [ $PIPECD_TARGET = web-1 ] || [ $PIPECD_ROLLBACK = true ]"}'
	DEP=d2 host_stage HOST_SYNC $C2 $C1
	[ "$STATUS" = FAILURE ]
	[ "$(current web-1)" = releases/$C2 ]
	DEP=d2 host_stage HOST_ROLLBACK $C2 $C1
	[ "$STATUS" = SUCCESS ]
	[ "$(current web-1)" = releases/$C1 ]
	[ "$(current web-2)" = releases/$C1 ]
	[ "$(cat "$ROOTS/web-1/log")" = "$C2 false
$C1 true" ]
}

@test "rollback leaves alone what the deployment did not touch" {
	DEP=d1 host_stage HOST_SYNC $C1
	TARGETS='"web-1"' DEP=d2 host_stage HOST_SYNC $C2 $C1
	ln -sfn releases/elsewhere "$ROOTS/web-2/web/current"
	DEP=d2 host_stage HOST_ROLLBACK $C2 $C1
	[ "$STATUS" = SUCCESS ]
	[ "$(current web-1)" = releases/$C1 ]
	[ "$(current web-2)" = releases/elsewhere ]
}

@test "rollback lays the running commit out again when its release is gone" {
	DEP=d1 host_stage HOST_SYNC $C1
	DEP=d2 host_stage HOST_SYNC $C2 $C1
	rm -rf "$ROOTS/web-1/web/releases/$C1"
	DEP=d2 host_stage HOST_ROLLBACK $C2 $C1
	[ "$STATUS" = SUCCESS ]
	[ "$(cat "$ROOTS/web-1/web/current/index.html")" = "page of $C1" ]
}

@test "rollback of a first deployment says that a person is needed" {
	INPUT='{"activate":"false"}' host_stage HOST_SYNC $C1
	host_stage HOST_ROLLBACK $C1
	[ "$STATUS" = FAILURE ]
	[ "$(jq .needs_human <<<"$DONE")" = true ]
	[[ "$REASON" == *"first deployment"* ]]
}

@test "rollback of a deployment that touched nothing is done at once" {
	host_stage HOST_ROLLBACK $C1
	[ "$STATUS" = SUCCESS ]
}

@test "the same stage again does not activate again" {
	INPUT='{"activate":"echo x >>$PIPECD_ROOT/log"}'
	host_stage HOST_SYNC $C1
	host_stage HOST_SYNC $C1
	[ "$STATUS" = SUCCESS ]
	[ "$(wc -l <"$ROOTS/web-1/log")" -eq 1 ]
	# Another deployment of the same commit does.
	DEP=other host_stage HOST_SYNC $C1
	[ "$(wc -l <"$ROOTS/web-1/log")" -eq 2 ]
}

@test "a hand-edited release is replaced, also under current" {
	host_stage HOST_SYNC $C1
	echo edited >"$ROOTS/web-1/web/current/index.html"
	DEP=again host_stage HOST_SYNC $C1
	[ "$STATUS" = SUCCESS ]
	[ "$(cat "$ROOTS/web-1/web/current/index.html")" = "page of $C1" ]
	[ -z "$(ls -A "$ROOTS/web-1/web/releases" | grep tmp)" ]
}

@test "keepReleases old ones stay, and never fewer than current and running" {
	for i in 4 5 6 7; do
		c=$(printf "%040d" $i)
		cp -r "$D/src/$C1" "$D/src/$c"
		INPUT='{"keepReleases":1}' DEP=d$i host_stage HOST_SYNC "$c" "${last:-}"
		[ "$STATUS" = SUCCESS ]
		last=$c
	done
	ls "$ROOTS/web-1/web/releases" >"$D/ls"
	[ "$(cat "$D/ls")" = "$(printf '%040d\n%040d\n%040d' 5 6 7)" ]
}

@test "SIGTERM cancels a stage, and ends what it runs" {
	INPUT='{"activate":"echo $$ >$PIPECD_ROOT/pid; sleep 60 & sleep 60"}' start_frame HOST_SYNC $C1 >"$D/start.json"
	pipecd-exec-host -f "$CONF" stage <"$D/start.json" >"$D/out" 3>&- &
	pid=$!
	until_true 5 test -s "$ROOTS/web-1/pid"
	kill "$pid"
	! wait "$pid"
	[ "$(jq -r 'select(.kind=="stage_done").status' "$D/out")" = CANCELLED ]
	! kill -0 "$(cat "$ROOTS/web-1/pid")" 2>/dev/null
}
