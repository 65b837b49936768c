# Approve, cancel, skip, sync over the socket; the commander is the peer.
setup() {
	load ../lib/common
	load exec
	exec_new "${MORE:-}"
	stages
}

teardown() {
	[ -z "${IN:-}" ] || exec {IN}>&- || true
	[ -z "${PID:-}" ] || kill "$PID" 2>/dev/null || true
	[ -z "${OPEN:-}" ] || rm -rf "$OPEN"
}

begin() { exec_bg; cat "$T/in1" >&"$IN"; }

@test "an approval ends WAIT_APPROVAL, and is the peer's user, not the frame's" {
	stage a WAIT_APPROVAL '{"minApproverNum":1}'
	stage b HOST_SYNC '{"do":"ok"}'
	deployment dep-1 app >"$T/in1"
	begin
	until_true 10 said stage_process
	run -0 ask "$(command_frame APPROVE_STAGE dep-1)"
	[ "$(jq -r '.kind+":"+.re+":"+.text' <<<"$output")" = "ok:q1:approved: 1 of 1" ]
	exec_end
	[ "$(status dep-1)" = SUCCESS ]
	[ "$(stage_reason dep-1 a)" = "approved by $(id -un)" ]
	said stage_meta '.key=="ApprovedBy" and .value=="'"$(id -un)"'"'
	jq -se 'any(.[]; .kind=="command" and .command.commander=="'"$(id -un)"'")' "$STATE/journal/dep-1.ndjson"
}

@test "one user counts once; N distinct ones approve" {
	[ "$(id -u)" = 0 ] || skip "needs root to be others"
	OPEN=$(mktemp -d /tmp/exec-open.XXXXXX)
	chmod 711 "$OPEN"
	BATS_TEST_TMPDIR=$OPEN exec_new
	stage a WAIT_APPROVAL '{"minApproverNum":2,"approvers":["uid:54321","root"]}'
	deployment dep-1 app >"$T/in1"
	chmod 711 "$T"
	begin
	until_true 10 said stage_process
	as() { setpriv --reuid "$1" --regid 54320 --clear-groups /usr/bin/python3 "$BATS_TEST_DIRNAME/ask" "$STATE/run/exec.sock" "$2"; }
	# the socket is for the group of its directory
	run ! as 54321 "$(command_frame APPROVE_STAGE dep-1)"
	chgrp 54320 "$STATE" "$STATE/run" "$STATE/run/exec" "$STATE/run/exec.sock"
	chmod 710 "$STATE" "$STATE/run" "$STATE/run/exec"
	run -0 as 54322 "$(command_frame APPROVE_STAGE dep-1)"
	[[ "$(jq -r .text <<<"$output")" == "uid:54322 is not among those who may approve this stage: uid:54321 root" ]]
	run -0 as 54321 "$(command_frame APPROVE_STAGE dep-1)"
	[[ "$(jq -r .text <<<"$output")" == "approved: 1 of 2" ]]
	run -0 as 54321 "$(command_frame APPROVE_STAGE dep-1)"
	[[ "$(jq -r .text <<<"$output")" == "you have approved this stage already: 1 of 2" ]]
	run -0 ask "$(command_frame APPROVE_STAGE dep-1)"
	[[ "$(jq -r .text <<<"$output")" == "approved: 2 of 2" ]]
	exec_end
	[ "$(stage_reason dep-1 a)" = "approved by uid:54321,root" ]
}

@test "approvals survive a kill -9 of exec" {
	stage a WAIT_APPROVAL '{"minApproverNum":2,"approvers":["root","'"$(id -un)"'"]}'
	deployment dep-1 app >"$T/in1"
	begin
	until_true 10 said stage_process
	ask "$(command_frame APPROVE_STAGE dep-1)"
	kill -9 "$PID"
	wait "$PID" || true
	exec {IN}>&-
	exec_bg
	until_true 10 test -S "$STATE/run/exec.sock"
	until_true 10 grep -q resumed "$T/err"
	run -0 ask "$(command_frame APPROVE_STAGE dep-1)"
	[[ "$output" == *"already: 1 of 2"* ]]
}

@test "an approval that nobody gives times out as FAILURE" {
	stage a WAIT_APPROVAL '{"minApproverNum":1}' '"timeout_ms":300'
	deployment dep-1 app >"$T/in1"
	begin
	exec {IN}>&-
	wait "$PID" && rc=0 || rc=$?
	[ "$rc" = 1 ]
	[[ "$(stage_reason dep-1 a)" == "timed out after"* ]]
}

@test "a cancel ends the stage in hand, rolls back, and names who cancelled" {
	stage a HOST_SYNC '{"do":"hold"}'
	stage rb HOST_ROLLBACK '{"do":"ok"}'
	deployment dep-1 app >"$T/in1"
	begin
	until_true 10 said stage_log
	run -0 ask "$(command_frame CANCEL_DEPLOYMENT dep)"
	[[ "$output" == *'"kind":"ok"'* ]]
	exec {IN}>&-
	wait "$PID" && rc=0 || rc=$?
	[ "$rc" = 1 ]
	[ "$(status dep-1)" = CANCELLED ]
	[ "$(reason dep-1)" = "cancelled by $(id -un) during stage HOST_SYNC" ]
	[ "$(stage_status dep-1 a)" = CANCELLED ]
	[ "$(counted dep-1 rb)" = 1 ]
}

@test "a second cancel kills a stage that ignores the first" {
	stage a HOST_SYNC '{"do":"deaf"}'
	deployment dep-1 app >"$T/in1"
	begin
	until_true 10 said stage_log
	ask "$(command_frame CANCEL_DEPLOYMENT dep-1)"
	run -0 ask "$(command_frame CANCEL_DEPLOYMENT dep-1)"
	[[ "$output" == *killed* ]]
	exec {IN}>&-
	wait "$PID" || true
	[ "$(status dep-1)" = CANCELLED ]
	[[ "$(stage_reason dep-1 a)" == *"signal 9"* ]]
}

@test "a cancel before the start touches nothing" {
	exec_new '  maxConcurrentDeployments: 1'
	stage a HOST_SYNC '{"do":"hold"}'
	{ deployment blk app; deployment dep-2 other; } >"$T/in1"
	begin
	until_true 10 grep -q blk "$T/count"
	until_true 10 said deployment '.deployment.id=="dep-2"'
	run -0 ask "$(command_frame CANCEL_DEPLOYMENT dep-2)"
	until_true 10 said deployment '.deployment.id=="dep-2" and .deployment.status=="CANCELLED"'
	touch "$T/go"
	exec {IN}>&-
	wait "$PID" || true
	[ "$(counted dep-2 a)" = 0 ]
	[ "$(reason dep-2)" = "cancelled by $(id -un) before it started" ]
}

@test "WAIT is cancelled at once, and a rollback cannot be" {
	stage s HOST_SYNC '{"do":"ok"}'
	stage a WAIT '{"duration":"3600s"}'
	stage rb HOST_ROLLBACK '{"do":"hold"}'
	deployment dep-1 app >"$T/in1"
	begin
	until_true 10 said stage_process '.stage_id=="a"'
	ask "$(command_frame CANCEL_DEPLOYMENT dep-1)"
	until_true 10 grep -q 'dep-1 rb' "$T/count"
	run -0 ask "$(command_frame CANCEL_DEPLOYMENT dep-1)"
	[[ "$output" == *"rolling back, which cannot be cancelled"* ]]
	touch "$T/go"
	exec {IN}>&-
	wait "$PID" || true
	[ "$(status dep-1)" = CANCELLED ]
}

@test "what cannot be done is refused in words" {
	stage a WAIT '{"duration":"3600s"}'
	{ deployment dep-1 app1; deployment dep-2 app2; } >"$T/in1"
	begin
	until_true 10 said stage_process '.deployment_id=="dep-2"'
	text() { jq -r '.kind+": "+.text' <<<"$(ask "$1")"; }
	[[ "$(text "$(command_frame APPROVE_STAGE nope)")" == 'err: no unfinished deployment "nope" here'* ]]
	[[ "$(text "$(command_frame APPROVE_STAGE dep)")" == 'err: "dep" is the beginning of several: dep-'* ]]
	[ "$(text "$(command_frame APPROVE_STAGE dep-1)")" = "err: stage WAIT waits for no approval" ]
	[[ "$(text "$(command_frame APPROVE_STAGE dep-1 other)")" == "err: deployment dep-1 is in stage a (WAIT), not other" ]]
	[[ "$(text "$(command_frame SKIP_STAGE dep-1)")" == "err: stage WAIT cannot be skipped by hand"* ]]
	[[ "$(text '{"v":1,"kind":"command","command":{"type":"SYNC_APPLICATION","application_id":"app1"}}')" == "err: this exec is the end of a shell pipe"* ]]
	[[ "$(text '{"v":1,"kind":"command","command":{"type":"RESTART_PIPED"}}')" == "err: exec takes cancel, approve, skip and sync" ]]
	[[ "$(text 'nonsense')" == err:* ]]
	[[ "$(text '{"v":1,"kind":"nudge","repo":"r"}')" == "err: only command frames are taken here" ]]
}

@test "the socket is there under a path longer than an address holds" {
	long=$(printf 'x%.0s' $(seq 120))
	STATE=$BATS_TEST_TMPDIR/t/$long
	sed -i "s|stateDir: .*|stateDir: $STATE|" "$CONF"
	stage a WAIT_APPROVAL '{}'
	deployment dep-1 app >"$T/in1"
	begin
	until_true 10 said stage_process
	run -0 ask "$(command_frame APPROVE_STAGE dep-1)"
	[[ "$output" == *'"kind":"ok"'* ]]
	exec_end
}
