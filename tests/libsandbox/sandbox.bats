load ../lib/common

try() { PIPECD_SUPER=5 "$TESTBIN/libsandbox/try" "$@"; }
setup() { S=$BATS_TEST_TMPDIR/state; mkdir -p "$S"; echo secret >"$BATS_TEST_TMPDIR/secret"; chmod 600 "$BATS_TEST_TMPDIR/secret"; }

@test "a profile opens only the files it names" {
	run -0 try plan "$S" "read:$BATS_TEST_TMPDIR/secret" read:/etc/shadow read:/etc/passwd \
		"write:$S/run/x" "write:$S/journal" "write:$S/mirror"
	[ "${lines[0]##*: }" = EACCES ]
	[ "${lines[1]}" = "read:/etc/shadow: EACCES" ]
	[ "${lines[2]}" = "read:/etc/passwd: ok" ]
	[ "${lines[3]##*: }" = ok ]
	[ "${lines[4]##*: }" = EACCES ]
	[ "${lines[5]##*: }" = EACCES ]
}

@test "a program without network gets no socket but a local one" {
	for p in plan drift exec checkout; do
		run -0 try $p "$S" inet packet unix
		[ "$output" = $'inet: EACCES\npacket: EACCES\nunix: ok' ]
	done
}

@test "gitwatch gets the internet, and no raw packets" {
	run -0 try gitwatch "$S" inet packet
	[ "$output" = $'inet: ok\npacket: EACCES' ]
}

@test "calls into the kernel and other processes are refused" {
	for p in plan drift exec checkout gitwatch report; do
		run -0 try $p "$S" mount unshare setuid thread
		[ "$output" = $'mount: EPERM\nunshare: EPERM\nsetuid: EPERM\nthread: ok' ]
	done
}

@test "no capability beyond those for files is left" {
	run -0 try plan "$S" capability
	[ "$output" != "capability: ok" ]
}

@test "a program whose children the supervisor starts runs none itself" {
	# A sanitizer runs a symbolizer, and its leak checker traces us.
	case $BIN in
	*/san/*) run -0 try exec "$S" run && [ "$output" = "run: ok" ] ;;
	*) run -0 try exec "$S" run ptrace && [ "$output" = $'run: EPERM\nptrace: EPERM' ] ;;
	esac
}

@test "gitwatch may run ssh, and no other process can look into it" {
	run -0 try gitwatch "$S" run dumpable
	[ "${lines[0]}" = "run: ok" ]
	[[ $BIN == */san/* || ${lines[1]} = "dumpable: 0" ]]
}

@test "without a supervisor a program that starts others is not locked down" {
	run -0 "$TESTBIN/libsandbox/try" plan "$S" run
	[ "$output" = "run: ok" ]
}

@test "paths that only the config knows can be added to a profile" {
	run -0 try checkout "$S" "read:$BATS_TEST_TMPDIR/secret"
	[ "${output##*: }" = EACCES ]
	run -0 env TRY_MORE="r:$BATS_TEST_TMPDIR/secret" PIPECD_SUPER=5 "$TESTBIN/libsandbox/try" \
		checkout "$S" "read:$BATS_TEST_TMPDIR/secret" "write:$BATS_TEST_TMPDIR/secret"
	[ "${lines[0]##*: }" = ok ]
	[ "${lines[1]##*: }" = EACCES ]
}
