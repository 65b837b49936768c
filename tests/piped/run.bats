load ../lib/common
load ../lib/piped

setup() { piped_setup; }
teardown() { piped_teardown; }

@test "all programs are started, in an order in which readers come first" {
	piped_start; piped_ready
	run -0 awk '{print $2}' "$A/log"
	[[ "$output" =~ ^(pipecd-plan.pipecd-drift|pipecd-drift.pipecd-plan).pipecd-exec.pipecd-gitwatch$ ]]
	grep -q "start pipecd-plan -b $S/run/bus" "$A/log"
}

@test "a program that is not ready keeps those of a later order waiting" {
	touch "$A/late.pipecd-exec"
	piped_start
	until_true 5 started exec 1
	run ! grep -q 'start pipecd-gitwatch' "$A/log"
	# But not for ever: a program that hangs must not stop the agent.
	until_true 10 started gitwatch 1
}

@test "a program that dies is started again, later each time" {
	piped_start; piped_ready
	kill -9 "$(pid_of plan)"
	until_true 5 started plan 2
	grep -q 'plan ended: signal 9 (Killed) after .*; again in 100 ms' "$A/err"
	until_true 5 eval 'piped_state ready'
	kill -9 "$(pid_of plan)"
	until_true 5 started plan 3
	grep -q 'plan ended: .*; again in 200 ms' "$A/err"
	[ "$(starts exec)" = 1 ]
}
piped_state() { [ "$("$A/bin/piped" -s -f "$A/piped.yaml" --json | jq -r .state)" = "$1" ]; }

@test "a program that cannot be kept running makes piped give up with 111" {
	piped_start; piped_ready
	echo 7 >"$A/crash.pipecd-gitwatch"
	kill -9 "$(pid_of gitwatch)"
	rc=0; wait "$PIPED" || rc=$?
	[ "$rc" = 111 ]
	PIPED=
	grep -q 'gitwatch died 8 times in 60 s (exit 7): giving up' "$A/err"
	[ "$(starts gitwatch)" = 8 ]
	grep -q 'term pipecd-exec' "$A/log"
}

@test "a program that ends with 100 at the start ends piped with 100" {
	echo 100 >"$A/crash.pipecd-plan"
	piped_start
	rc=0; wait "$PIPED" || rc=$?
	PIPED=
	[ "$rc" = 100 ]
	[ "$(starts plan)" = 1 ]
}

@test "a program that ends with 100 later is not started again before a reload" {
	piped_start; piped_ready
	echo 100 >"$A/crash.pipecd-drift"
	kill -9 "$(pid_of drift)"
	until_true 5 grep -q 'drift ended: exit 100' "$A/err"
	run -1 "$A/bin/piped" -s -f "$A/piped.yaml"
	[[ "$output" == *": degraded"* ]]
	[[ "$output" == *"drift      failed"*"last ended: exit 100"* ]]
	rm "$A/crash.pipecd-drift"
	kill -HUP "$PIPED"
	until_true 5 piped_state ready
}

@test "SIGTERM ends intake first and exec last" {
	piped_start; piped_ready
	kill "$PIPED"; rc=0; wait "$PIPED" || rc=$?
	PIPED=
	[ "$rc" = 0 ]
	[ "$(grep -c ^term "$A/log")" = 4 ]
	[ "$(tail -n 1 "$A/log")" = "term pipecd-exec" ]
}

@test "exec is given the grace period, and no more" {
	touch "$A/deaf.pipecd-exec"
	piped_start -g 1; piped_ready
	pid=$(pid_of exec)
	t=$EPOCHREALTIME
	kill "$PIPED"; rc=0; wait "$PIPED" || rc=$?
	PIPED=
	[ "$rc" = 0 ]
	ms=$(((${EPOCHREALTIME/./} - ${t/./}) / 1000))
	[ "$ms" -ge 900 ] && [ "$ms" -lt 4000 ]
	gone "$pid"
}

@test "a second SIGTERM ends all at once" {
	touch "$A/deaf.pipecd-exec"
	piped_start -g 60; piped_ready
	kill "$PIPED"
	until_true 5 grep -q 'term pipecd-exec' "$A/log"
	kill "$PIPED"; rc=0; wait "$PIPED" || rc=$?
	PIPED=
	[ "$rc" = 0 ]
}

@test "a second piped on the state directory is refused, naming the first" {
	piped_start; piped_ready
	run -111 "$A/bin/piped" -f "$A/piped.yaml"
	[[ "$output" == *"stateDir $S: piped already runs there, pid $PIPED"* ]]
	[ "$(wc -l <"$A/log")" = 4 ]
}

@test "after kill -9 of piped its daemons end, and a new one starts cleanly" {
	piped_start; piped_ready
	pids=$(for p in plan drift exec gitwatch; do pid_of $p; done)
	kill -9 "$PIPED"; wait "$PIPED" 2>/dev/null || :
	for pid in $pids; do until_true 5 gone "$pid"; done
	: >"$A/err"
	piped_start; piped_ready
	[ "$(starts plan)" = 2 ]
}

@test "kill -9 while piped starts, at many instants, leaves nothing behind" {
	for i in 0 2 4 6 8 12 16 24; do
		: >"$A/err"
		piped_start
		sleep "0.0$(printf %02d $i)"
		kill -9 "$PIPED"; wait "$PIPED" 2>/dev/null || :
	done
	: >"$A/err"
	piped_start; piped_ready
	until_true 5 eval '[ "$(pgrep -f "$A/bin/pipecd-" | wc -l)" = 4 ]'
}

@test "a state directory that is removed is made anew" {
	piped_start; piped_ready
	until_true 5 rm -rf "$S" # while piped makes it anew
	until_true 10 started gitwatch 2
	until_true 10 piped_state ready
	[ -d "$S/run/bus" ]
}

@test "a state directory that others can write is refused" {
	mkdir -p "$S"; chmod 777 "$S"
	run -100 "$A/bin/piped" -f "$A/piped.yaml"
	[[ "$output" == *"stateDir $S: mode 0777 lets others write it"* ]]
}

@test "a newer format of the state directory is refused" {
	mkdir -p "$S"; echo 2 >"$S/format"
	run -100 "$A/bin/piped" -f "$A/piped.yaml"
	[[ "$output" == *"format"*"newer than this build"* ]]
}

@test "no process to be had is no reason to end" {
	# The first three forks fail; a tracer and the leak checker exclude each other.
	ASAN_OPTIONS=detect_leaks=0 strace -o /dev/null -e inject=vfork:error=EAGAIN:when=1..3 \
		"$A/bin/piped" -v -f "$A/piped.yaml" 2>>"$A/err" 3>&- &
	until_true 10 test -s "$S/run/piped.lock"
	PIPED=$(cat "$S/run/piped.lock") # the tracer does not pass signals on
	piped_ready
	[ "$(grep -c 'Resource temporarily unavailable' "$A/err")" = 3 ]
	[ "$(wc -l <"$A/log")" = 4 ]
}
