# pipecd-drift -b, on a bus with a plan and a report that are made up.
load ../lib/common
load setup

setup() {
	drift_setup 1s
	mkdir -m 700 "$t/bus"
	: >"$t/out"
	"$TESTBIN/libbus/bus" hear report "$t/bus" 100000 >"$t/out" 2>"$t/hear" 3>&- &
	hear=$!
	inbox "$t/bus" report plan exec drift
	"$t/bin/pipecd-drift" -b "$t/bus" -f "$t/piped.yaml" 2>"$t/err" 3>&- &
	drift=$!
	inbox "$t/bus" drift plan exec gitwatch
}
teardown() {
	kill "$drift" "$hear" 2>/dev/null || true
	wait "$drift" "$hear" 2>/dev/null || true
}

tell() { "$TESTBIN/libbus/bus" say "$1" "$t/bus"; }
looks() { grep -c "^live $1 " "$t/bin/log" 2>/dev/null; }
looked() { [ "$(looks "$1")" -ge "$2" ]; }
is_state() { [ "$(state "$1" | tail -n 1)" = "$2" ]; }

@test "drift -b: a state is said when it is news, however often it is looked at" {
	{ app ok-1; app drift-2; } | tell plan
	until_true 30 is_state ok-1 SYNCED
	until_true 30 is_state drift-2 OUT_OF_SYNC
	until_true 30 looked ok-1 4
	[ "$(state ok-1 | wc -l)" -eq 1 ]
	[ "$(state drift-2 | wc -l)" -eq 1 ]
	[ "$(jq -s 'map(select(.kind=="live"))|length' "$t/out")" -eq 2 ]
	[ "$(grep -c '^render' "$t/bin/log")" -eq 2 ]
	kill -0 "$drift"
}

@test "drift -b: what plan is to correct is said at every look" {
	app drift-1 '' ',"auto_sync":true' | tell plan
	until_true 30 looked drift-1 3
	until_true 20 eval '[ "$(state drift-1 | wc -l)" -ge 2 ]'
}

@test "drift -b: DEPLOYING while it runs, and a look as soon as it has ended" {
	app ok-1 | tell plan
	until_true 30 is_state ok-1 SYNCED
	past ok-1 RUNNING | tell exec
	until_true 20 is_state ok-1 DEPLOYING
	n=$(looks ok-1)
	past ok-1 SUCCESS | tell exec
	until_true 30 looked ok-1 $((n + 1))
	until_true 30 is_state ok-1 SYNCED
	[ "$(jq -r 'select(.kind=="app_state")|.sync_state.head_deployment_id' "$t/out" | tail -n 1)" = dep-ok-1 ]
}

@test "drift -b: a platform that hangs is killed, its application UNKNOWN, the others go on" {
	{ app hang-1; for i in 1 2 3 4 5; do app "ok-$i"; done; } | tell plan
	until_true 40 is_state hang-1 UNKNOWN
	[[ "$(brief hang-1 | head -n 1)" == "fake live: no answer for "*s ]]
	for i in 1 2 3 4 5; do until_true 30 is_state ok-$i SYNCED; done
}

@test "drift -b: it leaves no process behind and ends with 0 on SIGTERM" {
	{ app hang-1; app ok-2; } | tell plan
	until_true 30 looked hang-1 1
	pids=$(sed -n 's/^start [a-z]* //p' "$t/bin/log")
	kill "$drift"
	wait "$drift"
	for p in $pids; do run ! kill -0 "$p"; done
	[ -z "$(ls "$t/state/work/drift" 2>/dev/null)" ]
}

@test "drift -b: no process of a platform or checkout stays between two looks" {
	teardown
	sed -i 's/syncInterval: 1s/syncInterval: 30s/' "$t/piped.yaml"
	rm -rf "$t/bus"/*
	setup_again
	for i in $(seq 5); do app "ok-$i"; done | tell plan
	for i in $(seq 5); do until_true 30 is_state ok-$i SYNCED; done
	for p in $(sed -n 's/^start [a-z]* //p' "$t/bin/log"); do until_true 20 eval "! kill -0 $p 2>/dev/null"; done
	kill -0 "$drift"
}

setup_again() {
	"$TESTBIN/libbus/bus" hear report "$t/bus" 100000 >"$t/out" 2>"$t/hear" 3>&- &
	hear=$!
	inbox "$t/bus" report plan exec drift
	"$t/bin/pipecd-drift" -b "$t/bus" -f "$t/piped.yaml" 2>"$t/err" 3>&- &
	drift=$!
	inbox "$t/bus" drift plan exec gitwatch
}
