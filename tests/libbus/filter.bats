load ../lib/common

B=$TESTBIN/libbus/bus
head='{"v":1,"kind":"head","repo":"web","branch":"main","commit":"c0ffee","seen_at":1}'
other='{ "v":1, "kind":"nudge","repo":"\u0078" }'
later='{"kind":"later","v":1 }'
input() { printf '%s\n' "$other" "$head" "$later" "$head" "$other"; }
rest() { printf '%s\n' "$other" "$later" "$other"; }

@test "filter: what is not for it goes through byte for byte, the rest is its own" {
	for way in file pipe; do
		if [ $way = file ]; then
			input >"$BATS_TEST_TMPDIR/in"
			run --separate-stderr "$B" filter plan <"$BATS_TEST_TMPDIR/in"
		else
			run --separate-stderr "$B" filter plan < <(input)
		fi
		[ "$status" -eq 0 ]
		[ "$output" = "$(rest)" ]
		[ "$stderr" = $'got head 81\ngot head 81' ]
	done
}

@test "filter: the descriptor is readable as long as a buffered line waits" {
	for i in $(seq 1000); do echo "$head"; done >"$BATS_TEST_TMPDIR/in"
	# All in one write, one frame for each poll; the pipe stays open.
	mkfifo "$BATS_TEST_TMPDIR/p"
	"$B" filter plan <"$BATS_TEST_TMPDIR/p" 2>"$BATS_TEST_TMPDIR/err" 3>&- &
	exec 7>"$BATS_TEST_TMPDIR/p"
	cat "$BATS_TEST_TMPDIR/in" >&7
	got() { [ "$(wc -l <"$BATS_TEST_TMPDIR/err")" -eq 1000 ]; }
	until_true 10 got
	exec 7>&-
	wait $!
}

@test "filter: a line in pieces is one line" {
	{ printf '%s' "${head:0:20}"; sleep 0.05; printf '%s\n%s' "${head:20}" "${other:0:5}"; sleep 0.05; printf '%s\n' "${other:5}"; } |
		"$B" filter plan >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err"
	[ "$(cat "$BATS_TEST_TMPDIR/out")" = "$other" ]
	[ "$(cat "$BATS_TEST_TMPDIR/err")" = "got head 81" ]
}

@test "filter: a last line without newline is exit 111, after the lines before it" {
	run -111 --separate-stderr "$B" filter plan < <(input; printf '{"v":1')
	[ "$output" = "$(rest)" ]
	[[ "$stderr" == *"stdin:6: the last line is cut off"* ]]
}

@test "filter: a mistake names its line, after the lines before it" {
	run -100 --separate-stderr "$B" filter plan < <(input; echo '{"v":1,"kind":"head"}'; input)
	[ "$output" = "$(rest)" ]
	[[ "$stderr" == *"stdin:6: head: field repo is missing"* ]]
	run -100 --separate-stderr "$B" filter plan < <(head -c 2000000 /dev/zero | tr '\0' x)
	[[ "$stderr" == *"stdin:1: a line of more than 1048512 bytes"* ]]
}

@test "filter: a reader that has gone is an error, not a signal" {
	run -0 bash -c 'yes "$1" | head -n 100000 | { "$2" filter plan; echo "rc $?" >&2; } 2>&1 >/dev/full' _ "$other" "$B"
	[[ "$output" == *"stdout: No space left on device"* && "$output" == *"rc 111"* ]] || { echo "$output"; false; }
}

@test "filter: 300 000 frames go through in memory that stays the same" {
	(ulimit -v $((100 * 1024)); "$B" filter plan </dev/null 2>/dev/null) && limit=$((100 * 1024)) || limit=unlimited
	n=$(yes "$other" | head -n 300000 | (ulimit -v $limit; "$B" filter plan) | wc -l)
	[ "$n" -eq 300000 ]
}
