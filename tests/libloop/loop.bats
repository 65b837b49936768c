load ../lib/common

loop() { timeout 20 "$TESTBIN/libloop/loop" "$@"; }

@test "loop: in a turn come events, timers, tasks, and then what is freed" {
	run -0 loop order
	[ "$output" = "event
timer
task, asked for twice
task that comes again 1
freed
task that comes again 2
task that comes again 3" ]
}

@test "loop: ten thousand timers, moved and stopped, come in order and not before their time" {
	run -0 loop timers 10000
	[ "$output" = "6667 in order, 0 not" ]
}

@test "loop: what a callback removes is not called in the same turn" {
	run -0 loop gone
	[ "$output" = "one of the two" ]
}

@test "loop: a child's end is a call with its status, and it is reaped" {
	run -0 loop child
	[ "$output" = "exit 7" ]
}

@test "loop: a signal is a call" {
	run -0 loop signal
	[ "$output" = "signal 15" ]
}
