# golden/NAME.in gives NAME.ok: stdout and stderr of the command that NAME
# begins with.  UPDATE=1 writes them anew.
setup() {
	load ../lib/common
	conf=$TESTBIN/libconf/conf
	cd "$BATS_TEST_DIRNAME/golden"
}

each() {
	local bad=0 f
	for f in "$1"-*.in; do
		{ $conf "$1" "$f" 2>&1; echo "exit $?"; } >"$BATS_TEST_TMPDIR/out" || true
		[ -z "${UPDATE:-}" ] || cp "$BATS_TEST_TMPDIR/out" "${f%.in}.ok"
		diff -u "${f%.in}.ok" "$BATS_TEST_TMPDIR/out" || bad=1
	done
	[ "$bad" -eq 0 ]
}

@test "golden: what applications say" { each app; }
@test "golden: what a Piped says" { each piped; }
@test "golden: what other kinds are told" { each check; }
