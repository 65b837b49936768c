# The control plane under load, its programs killed at random.  KILLS=500 for
# as many as that.
setup() { load ../lib/common; }

@test "control plane: kill -9 of api, store, ops and pipecd under load loses nothing that was acknowledged" {
	run -0 env BIN="$BIN" python3 "$BATS_TEST_DIRNAME/control_storm.py" "$BATS_TEST_TMPDIR/d" "${KILLS:-36}"
	[ "$(jq .wrong <<<"${lines[-1]}")" = 0 ]
	[ "$(jq .deployments <<<"${lines[-1]}")" -gt 10 ]
	echo "# ${lines[-1]}" >&3
}

@test "control plane: that test notices a record that went back, and one that is another" {
	run -1 env BREAK=1 BIN="$BIN" python3 "$BATS_TEST_DIRNAME/control_storm.py" "$BATS_TEST_TMPDIR/d" 2
	[ "$(jq .wrong <<<"${lines[-1]}")" = 2 ]
}
