# A platform that stays up: one process, many stages by id.
setup() {
	load ../lib/common
	load exec
	exec_new '  maxConcurrentDeployments: 8'
	cp "$BATS_TEST_DIRNAME/../fake/pipecd-exec-resident" "$T/bin/pipecd-exec-host"
	chmod 755 "$T/bin/pipecd-exec-host"
	stages
}

teardown() {
	[ -z "${IN:-}" ] || exec {IN}>&- || true
	[ -z "${PID:-}" ] || kill "$PID" 2>/dev/null || true
}

pids() { jq -r 'select(.kind=="stage_process" and .pid>0)|.pid' "$T/out" | sort -u; }

@test "a resident takes the stages of all deployments in one process" {
	stage a SLOW_SYNC '{"ms":200}' '"resident":true'
	for i in 1 2 3 4 5 6; do deployment "d-$i" "app$i"; done >"$T/in1"
	timeout 30 "$EXEC" -f "$CONF" <"$T/in1" >"$T/out" 2>"$T/err"
	[ "$(pids | wc -l)" = 1 ]
	for i in 1 2 3 4 5 6; do [ "$(status d-$i)" = SUCCESS ]; done
	pipecd-exec -V "$STATE"/journal/d-*.ndjson
}

@test "a failure of one stage is its own, and rolls back in the same process" {
	stage a SLOW_SYNC '{"fail":true}' '"resident":true'
	stage rb SLOW_ROLLBACK '{}' '"resident":true'
	deployment d-1 app1 >"$T/in1"
	stages
	stage a SLOW_SYNC '{}' '"resident":true'
	deployment d-2 app2 >>"$T/in1"
	run -1 timeout 30 "$EXEC" -f "$CONF" <"$T/in1"
	printf '%s\n' "$output" | grep '^{' >"$T/out"
	[ "$(reason d-1)" = "stage SLOW_SYNC failed: asked to fail" ]
	[ "$(stage_status d-1 rb)" = SUCCESS ]
	[ "$(status d-2)" = SUCCESS ]
	[ "$(pids | wc -l)" = 1 ]
}

@test "a cancel is said to the resident for that stage alone" {
	stage a SLOW_SYNC '{"ms":2000}' '"resident":true'
	{ deployment one app1; deployment two app2; } >"$T/in1"
	exec_bg
	cat "$T/in1" >&"$IN"
	until_true 10 said stage_log '.deployment_id=="two"'
	until_true 10 said stage_log '.deployment_id=="one"'
	ask "$(command_frame CANCEL_DEPLOYMENT one)"
	exec {IN}>&-
	wait "$PID" || true
	[ "$(status one)" = CANCELLED ]
	[ "$(status two)" = SUCCESS ]
}

@test "a resident that is killed is started again, and its stages begin again in it" {
	stage a SLOW_SYNC '{"ms":1500}' '"resident":true'
	deployment d-1 app1 >"$T/in1"
	exec_bg
	cat "$T/in1" >&"$IN"
	until_true 10 said stage_log
	kill -9 "$(pids)"
	exec_end
	[ "$(status d-1)" = SUCCESS ]
	[ "$(pids | wc -l)" = 2 ]
	said stage_process '.attempt==1'
	pipecd-exec -V "$STATE/journal/d-1.ndjson"
}

@test "a resident that always dies is a FAILURE after four attempts" {
	printf '#!/bin/sh\nread -r line\nexit 7\n' >"$T/bin/pipecd-exec-host"
	stage a SLOW_SYNC '{}' '"resident":true'
	deployment d-1 app1 >"$T/in1"
	run -1 timeout 30 "$EXEC" -f "$CONF" <"$T/in1"
	[[ "$output" == *"host ended under it 4 times: exit 7"* ]]
}

@test "the resident of a killed exec is ended before the next one takes its stages" {
	stage a SLOW_SYNC '{"ms":700}' '"resident":true'
	deployment d-1 app1 >"$T/in1"
	exec_bg
	cat "$T/in1" >&"$IN"
	until_true 10 said stage_log
	old=$(pids)
	kill -STOP "$old" # it would end by itself at the end of its input
	kill -9 "$PID"
	wait "$PID" || true
	exec {IN}>&-
	timeout 30 "$EXEC" -f "$CONF" </dev/null >>"$T/out" 2>>"$T/err"
	! kill -0 "$old" 2>/dev/null
	[ "$(status d-1)" = SUCCESS ]
}
