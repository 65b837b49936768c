# A pipecd-store for tests.  Sets STATE, CONF, STORE_PID.

# store_conf [YAML-LINES]: its config, more lines below spec
store_conf() {
	STATE=${STATE:-$BATS_TEST_TMPDIR/cp}
	CONF=$BATS_TEST_TMPDIR/control-plane.yaml
	{
		printf 'apiVersion: pipecd.dev/v1beta1\nkind: ControlPlane\nspec:\n'
		printf '  stateDir: %s\n' "$STATE"
		[ $# -eq 0 ] || printf '%s\n' "$@"
	} >"$CONF"
}

# store_start: until it is ready
store_start() {
	local fifo=$BATS_TEST_TMPDIR/ready.$RANDOM
	[ -n "${CONF:-}" ] || store_conf
	mkfifo "$fifo"
	PIPECD_READY=1 pipecd-store -f "$CONF" 2>>"$BATS_TEST_TMPDIR/store.log" 3>&- 4>"$fifo" &
	STORE_PID=$!
	read -r -t 30 <"$fifo" || { rm -f "$fifo"; cat "$BATS_TEST_TMPDIR/store.log"; return 1; }
	rm -f "$fifo"
}

# store_stop: and how it ended
store_stop() {
	local rv=0
	[ -n "${STORE_PID:-}" ] || return 0
	kill -TERM "$STORE_PID" 2>/dev/null
	wait "$STORE_PID" || rv=$?
	STORE_PID=
	return "$rv"
}

# ask LINE...: each is a line of tests/libstore/ask
ask() { printf '%s\n' "$@" | timeout 60 "$TESTBIN/libstore/ask" "$STATE"; }
