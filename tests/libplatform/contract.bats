load ../lib/common
load ../lib/platform

setup() {
	host_new "$BATS_TEST_TMPDIR" 1
	PATH="$ROOT/share/examples/platforms:$ROOT/tests/fake:$PATH"
	export ECHO_FILE="$D/deployed" RESIDENT_LOG="$D/log"
}

@test "the shell example has ten lines, describes itself, deploys, looks and goes back" {
	[ "$(sed '1,/^file=/{/^file=/!d}' "$ROOT/share/examples/platforms/pipecd-exec-echo" | wc -l)" -le 10 ]
	run pipecd-exec-echo describe
	[ "$(jq -r '.stages[0].name' <<<"$output")" = ECHO_SYNC ]
	start_frame ECHO_SYNC $C2 $C1 >"$D/start.json"
	run pipecd-exec-echo stage <"$D/start.json"
	[ "$(jq -r '[.kind,.deployment_id,.stage_id,.status]|join(" ")' <<<"$output")" = "stage_done dep-$C2 stage-0 SUCCESS" ]
	[ "$(cat "$D/deployed")" = $C2 ]
	run pipecd-exec-echo live < <(live_frame $C2; live_frame $C1)
	[ "$(jq -r .sync_state.status <<<"$output" | tr '\n' ' ')" = "SYNCED OUT_OF_SYNC " ]
	start_frame ECHO_ROLLBACK $C2 $C1 >"$D/start.json"
	run pipecd-exec-echo stage <"$D/start.json"
	[ "$(cat "$D/deployed")" = $C1 ]
}

@test "what the example says are frames that our own reader takes" {
	{
		start_frame ECHO_SYNC $C2 $C1 | pipecd-exec-echo stage
		pipecd-exec-echo describe
		live_frame $C2 | pipecd-exec-echo live
	} >"$D/said"
	run -0 pipecd-report -t <"$D/said"
}

@test "a resident runs stages side by side, answers by their ids, and cancels one of them" {
	{
		DEP=d1 WITH='{"ms":300}' start_frame SLOW_SYNC $C1 "" '.id="a1"'
		DEP=d2 WITH='{"ms":10}' start_frame SLOW_SYNC $C1 "" '.id="a2"'
		DEP=d3 WITH='{"ms":60000}' start_frame SLOW_SYNC $C1 "" '.id="a3"'
		DEP=d4 WITH='{"ms":10,"fail":true}' start_frame SLOW_SYNC $C1 "" '.id="a4"'
		frame stage_cancel '"deployment_id":"d3","stage_id":"stage-0"'
	} >"$D/in"
	run bash -c 'cat "$1" | pipecd-exec-resident stage' sh "$D/in"
	[ "$status" -eq 0 ]
	[ "$(jq -r 'select(.kind=="stage_done")|[.re,.deployment_id,.status]|join(":")' <<<"$output" | sort | tr '\n' ' ')" = \
		"a1:d1:SUCCESS a2:d2:SUCCESS a3:d3:CANCELLED a4:d4:FAILURE " ]
	# One process, and the short one was not kept by the long one.
	[ "$(cut -d' ' -f1 "$D/log" | sort -u | wc -l)" -eq 1 ]
	[ "$(grep -c start "$D/log")" -eq 4 ]
	[ "$(grep SUCCESS "$D/log" | head -n 1 | cut -d' ' -f3)" = d2 ]
	[ "$(pipecd-exec-resident describe | jq .resident)" = true ]
}

@test "each built-in platform describes itself without a config" {
	for p in host terraform script; do
		run -0 pipecd-exec-$p describe
		[ "$(jq -r .name <<<"$output")" = $p ]
		[ "$(jq '[.stages[]|select(.rollback)]|length' <<<"$output")" -ge 1 ]
	done
	[ "$(pipecd-exec-host describe | jq -r '[.stages[].name]|join(" ")')" = \
		"HOST_SYNC HOST_CANARY_ROLLOUT HOST_PRIMARY_ROLLOUT HOST_CANARY_CLEAN HOST_ROLLBACK" ]
}

@test "usage is one line that equals the manual's synopsis" {
	for p in host terraform script; do
		run -100 --separate-stderr pipecd-exec-$p
		[ "$stderr" = "usage: $(sed -n '/SYNOPSIS/{n;s/^ \*	//p}' "$ROOT/src/pipecd-exec/$p/main.c")" ]
	done
}

@test "the stage's lock stays with everything that the stage runs" {
	: >"$D/lock"
	INPUT='{"activate":"[ -e /proc/self/fd/6 ] && readlink /proc/self/fd/6 >$PIPECD_ROOT/fd6"}'
	start_frame HOST_SYNC $C1 >"$D/start.json"
	pipecd-exec-host -f "$CONF" stage <"$D/start.json" 6>"$D/lock" >/dev/null
	[ "$(cat "$ROOTS/web-1/fd6")" = "$D/lock" ]
}

@test "the slice of the config comes on descriptor 3" {
	start_frame HOST_SYNC $C1 >"$D/start.json"
	run env PIPECD_CONF=1 sh -c 'exec pipecd-exec-host stage 3<"$1" <"$2"' sh "$CONF" "$D/start.json"
	[ "$(jq -r 'select(.kind=="stage_done").status' <<<"$output")" = SUCCESS ]
}

@test "when nobody reads the answers the stage stops where it is safe" {
	INPUT='{"activate":"for i in $(seq 200); do echo line $i; sleep 0.02; done; echo end >$PIPECD_ROOT/end"}'
	start_frame HOST_SYNC $C1 >"$D/start.json"
	pipecd-exec-host -f "$CONF" stage <"$D/start.json" 2>/dev/null | head -n 3 >/dev/null
	[ ! -e "$ROOTS/web-1/end" ]
	[ "$(current web-1)" = releases/$C1 ]
}

@test "what a command leaves behind is ended, but for a daemon with a session of its own" {
	INPUT='{"activate":"sleep 300 & echo $! >$PIPECD_ROOT/left; setsid sleep 300 >/dev/null 2>&1 & sleep 0.1"}'
	start_frame HOST_SYNC $C1 >"$D/start.json"
	: >"$D/lock"
	bash -c 'exec 6>"$1/lock"; flock 6; exec pipecd-exec-host -f "$2" stage' sh "$D" "$CONF" <"$D/start.json" >"$D/out"
	! kill -0 "$(cat "$ROOTS/web-1/left")" 2>/dev/null
	logs=$(jq -r 'select(.kind=="stage_log").text' "$D/out")
	[[ "$logs" == *"ended 1 process that /bin/sh left behind"* ]]
	daemon=$(sed -n 's/^process \([0-9]*\) goes on by itself.*/\1/p' <<<"$logs")
	kill -0 "$daemon"
	# It has the descriptor, and yet the next stage may begin.
	flock -n "$D/lock" true
	kill "$daemon"
}
