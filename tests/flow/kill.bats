# kill -9 at every frame boundary of a deployment: sweep.py says how.
setup() {
	load ../lib/common
	export BIN
	mkdir -p "$BATS_TEST_TMPDIR/s"
}

sweep() {
	run python3 "$BATS_TEST_DIRNAME/sweep.py" "$BATS_TEST_TMPDIR/s" "$1" "$2"
	echo "$output" | tail -n 20
	[ "$status" -eq 0 ]
}

@test "kill: exec, while a canary goes through" { sweep exec good; }
@test "kill: exec, while a canary fails and rolls back" { sweep exec bad; }
@test "kill: every stage process, while a canary goes through" { sweep stage good; }
@test "kill: every stage process, while a canary fails and rolls back" { sweep stage bad; }
@test "kill: checkout, while a canary goes through" { sweep checkout good; }
@test "kill: all at once, while a canary goes through" { sweep all good; }
@test "kill: all at once, while a canary fails and rolls back" { sweep all bad; }
@test "kill: all at once and the state directory with them: all converges again" { sweep state good; }

@test "kill: any program of a supervised agent at any moment: every commit still arrives" {
	run python3 "$BATS_TEST_DIRNAME/storm.py" "$BATS_TEST_TMPDIR/s" "${STORM_KILLS:-120}"
	echo "$output" | tail -n 20
	[ "$status" -eq 0 ]
}
