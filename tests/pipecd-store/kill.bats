# C1: whatever is killed, at whatever instant: nothing that was acknowledged is
# lost, nothing is half there.  STORE_KILLS=500 for more of it.
setup() {
	load ../lib/common
	load ../lib/store
	store_conf
}
teardown() {
	store_stop || true
	[ -z "${ORACLE:-}" ] || kill "$ORACLE" 2>/dev/null || true
}

# One of the store's processes, chosen by chance: sets VICTIM and ROLE.
victim() {
	local all=("$STORE_PID" "$STORE_PID")
	mapfile -t -O 2 all < <(pgrep -P "$STORE_PID")
	VICTIM=${all[RANDOM % ${#all[@]}]}
	ROLE=$(tr '\0' ' ' <"/proc/$VICTIM/cmdline" 2>/dev/null) || ROLE=
}

@test "kill: nothing acknowledged is lost and nothing is torn, whichever process of the store is killed, and when" {
	store_start
	mkfifo "$BATS_TEST_TMPDIR/go"
	"$TESTBIN/libstore/oracle" "$STATE" 24 <"$BATS_TEST_TMPDIR/go" >"$BATS_TEST_TMPDIR/oracle" 2>&1 3>&- &
	ORACLE=$!
	exec 9>"$BATS_TEST_TMPDIR/go"
	for ((i = 0; i < ${STORE_KILLS:-40}; i++)); do
		sleep "0.0$((RANDOM % 10))$((RANDOM % 10))"
		victim
		kill -9 "$VICTIM" 2>/dev/null || true
		# The front ends with its writer; the others it starts anew.
		if [[ $ROLE != *pipecd-store-* && -n $ROLE ]]; then
			wait "$STORE_PID" || true
			store_start 9>&-
		fi
	done
	exec 9>&-
	wait "$ORACLE" || { cat "$BATS_TEST_TMPDIR/oracle"; return 1; }
	ORACLE=
	cat "$BATS_TEST_TMPDIR/oracle"
	store_stop
	run -0 pipecd-store -f "$CONF" -V
}
