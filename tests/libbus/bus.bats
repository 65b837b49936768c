load ../lib/common

B=$TESTBIN/libbus/bus

setup() {
	D=$BATS_TEST_TMPDIR/bus
	mkdir -m 0700 "$D"
	pids=()
}

teardown() {
	local p
	for p in "${pids[@]}"; do kill -9 "$p" 2>/dev/null || true; wait "$p" 2>/dev/null || true; done
}

# start NAME ARG...: a program in the background; its output goes to NAME.out
start() {
	local name=$1; shift
	"$B" "$@" >"$BATS_TEST_TMPDIR/$name.out" 2>"$BATS_TEST_TMPDIR/$name.err" 3>&- &
	pids+=($!)
	pid=$!
}
heads() { local i; for i in $(seq "$1"); do frame head "\"repo\":\"r$i\",\"branch\":\"b\",\"commit\":\"c\",\"seen_at\":$i"; done; }
lines() { [ "$(wc -l <"$BATS_TEST_TMPDIR/$1.out")" -ge "$2" ]; }

@test "bus: a frame comes to every inbox that frame.def names, and to no other" {
	start plan hear plan "$D" 1
	start drift hear drift "$D" 1
	start exec hear exec "$D" 1
	inbox "$D" plan gitwatch; inbox "$D" drift gitwatch; inbox "$D" exec plan
	heads 1 | "$B" say gitwatch "$D"
	until_true 10 lines plan 1
	until_true 10 lines drift 1
	heads 1 | cmp - "$BATS_TEST_TMPDIR/plan.out"
	[ ! -s "$BATS_TEST_TMPDIR/exec.out" ]
}

@test "bus: a program may not say what frame.def does not let it say" {
	start plan hear plan "$D" 1
	inbox "$D" plan gitwatch exec
	heads 1 | "$B" say report "$D"
	frame past '"application_id":"a","repo":"r","path":"p","config_filename":"f"' | "$B" say exec "$D"
	until_true 10 lines plan 1
	grep -q '"kind":"past"' "$BATS_TEST_TMPDIR/plan.out"
}

@test "bus: 3000 frames in one go arrive, in order" {
	start plan hear plan "$D" 3000
	inbox "$D" plan gitwatch exec
	heads 3000 >"$BATS_TEST_TMPDIR/in"
	"$B" say gitwatch "$D" <"$BATS_TEST_TMPDIR/in"
	until_true 20 lines plan 3000
	cmp "$BATS_TEST_TMPDIR/in" "$BATS_TEST_TMPDIR/plan.out"
}

@test "bus: a peer that is not there costs nothing and is counted" {
	run --separate-stderr "$B" say gitwatch "$D" < <(heads 5)
	[ "$output" = "dropped 10" ] # plan and drift
	[ -z "$stderr" ]
}

@test "bus: a peer killed in between gets what waited for it when it is back" {
	start plan hear plan "$D" 100
	inbox "$D" plan gitwatch exec
	mkfifo "$BATS_TEST_TMPDIR/in"
	"$B" say gitwatch "$D" <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/say.out" 3>&- &
	pids+=($!)
	exec 7>"$BATS_TEST_TMPDIR/in"
	heads 1 >&7
	until_true 10 lines plan 1
	kill -9 "$pid"; wait "$pid" || true
	[ -S "$D/plan.gitwatch/tell" ] # stale
	start again hear plan "$D" 3
	# Sent into the gap or after it: at least the later ones arrive.
	for i in 1 2 3 4 5 6 7 8 9; do heads 1 >&7; done
	exec 7>&-
	until_true 10 lines again 3
}

@test "bus: an inbox has one owner; a stale one is taken over" {
	start plan hear plan "$D" 1
	inbox "$D" plan gitwatch exec
	run -111 "$B" hear plan "$D" 1
	[[ "$output" == *"bus $D/plan.gitwatch/tell: another process has this inbox"* ]]
	kill -9 "$pid"; wait "$pid" || true
	start again hear plan "$D" 1
	until_true 10 eval 'heads 1 | "$B" say gitwatch "$D" >/dev/null; lines again 1'
}

@test "bus: a socket is for one peer, whatever the umask, in a directory that is nobody else's" {
	umask 0
	start checkout answer checkout "$D" 0
	inbox "$D" checkout exec plan drift
	[ "$(find "$D" -mindepth 1 -type d -perm 0700 | wc -l)" -eq 3 ]
	[ "$(find "$D" -mindepth 1 -type d | wc -l)" -eq 3 ]
	[ "$(find "$D" -type s -perm 0770 | wc -l)" -eq 6 ]
	[ "$(find "$D" -type s | wc -l)" -eq 6 ]
	chmod 0755 "$D"
	run -100 "$B" hear plan "$D" 1
	[[ "$output" == *"bus directory $D: mode 0755 lets everybody in, chmod 0700"* ]]
	chmod 0700 "$D"
	mkdir -m 0755 "$D/plan.gitwatch"
	run -100 "$B" hear plan "$D" 1
	[[ "$output" == *"$D/plan.gitwatch: it is not ours, or others may write or enter it: remove it"* ]]
	run -100 "$B" hear plan "$D/none" 1
	[[ "$output" == *"bus directory $D/none: No such file or directory"* ]]
}

@test "bus: who is let in as one program cannot speak for another" {
	start plan hear plan "$D" 2
	inbox "$D" plan gitwatch exec
	python3 - "$D/plan.gitwatch/tell" <<-'END'
	import socket, struct, sys
	s = socket.socket(socket.AF_UNIX)
	s.connect(sys.argv[1])
	s.sendall(b"\0SP\0" + struct.pack(">HH", 5 * 16, 0)) # PUSH
	assert len(s.recv(8)) == 8
	t = b'{"v":1,"kind":"past","application_id":"a","repo":"r","path":"p","config_filename":"f"}\n'
	s.sendall(b"\x01" + struct.pack(">Q", len(t)) + t)
	END
	until_true 10 grep -q 'error: gitwatch may not say past to plan' "$BATS_TEST_TMPDIR/plan.err"
	frame past '"application_id":"a","repo":"r","path":"p","config_filename":"f"' | "$B" say exec "$D"
	until_true 10 lines plan 1
}

@test "bus: a peer that stands still blocks nobody; the oldest frames are dropped and counted" {
	start report hear report "$D" 1
	inbox "$D" report exec
	kill -STOP "$pid"
	run --separate-stderr "$B" flood exec "$D" 30 1000000
	kill -CONT "$pid"
	[ "$status" -eq 0 ]
	[ "${output#dropped }" -ge 10 ]
	[[ "$stderr" == *"warn: - bus peer=report dropped=1"* ]]
	[ "$(wc -l <<<"$stderr")" -eq 1 ]
}

@test "bus: a frame that is too long is refused where it is said" {
	run -100 "$B" flood exec "$D" 1 1048576
	[[ "$output" == *"stage_log: the frame has "*" bytes, more than 1048512"* ]]
}

@test "bus: a path of any length works" {
	D=$BATS_TEST_TMPDIR/$(printf '%0200d' 0)
	mkdir -m 0700 "$D"
	start plan hear plan "$D" 2
	inbox "$D" plan gitwatch exec
	heads 2 | "$B" say gitwatch "$D"
	until_true 10 lines plan 2
	start checkout answer checkout "$D" 0
	inbox "$D" checkout plan
	[ "$("$B" ask plan "$D" checkout 10 5 10000 2>/dev/null)" = "10 answered, 0 not, 0 wrong" ]
}

@test "bus: a bad frame is one error, and the next one comes" {
	start plan hear plan "$D" 3
	inbox "$D" plan gitwatch exec
	python3 - "$D/plan.gitwatch/tell" <<-'END'
	import socket, struct, sys
	s = socket.socket(socket.AF_UNIX)
	s.connect(sys.argv[1])
	s.sendall(b"\0SP\0" + struct.pack(">HH", 5 * 16, 0)) # PUSH
	assert len(s.recv(8)) == 8
	def say(t): s.sendall(b"\x01" + struct.pack(">Q", len(t)) + t)
	say(b"junk\n")
	say(b'{"v":1,"kind":"nudge","repo":"x"}\n') # not for plan
	say(b'{"v":1,"kind":"later"}\n')            # unknown: dropped
	say(b'{"v":1,"kind":"head","repo":"r","branch":"b","commit":"c","seen_at":1}\n')
	s.recv(1)
	END
	wait "$pid"
	grep -q 'error: gitwatch: not a frame: byte 1' "$BATS_TEST_TMPDIR/plan.err"
	grep -q 'error: gitwatch may not say nudge to plan' "$BATS_TEST_TMPDIR/plan.err"
	grep -q '"kind":"head"' "$BATS_TEST_TMPDIR/plan.out"
}

@test "bus: a message over the limit closes only its sender's connection" {
	start plan hear plan "$D" 1
	inbox "$D" plan gitwatch exec
	python3 - "$D/plan.gitwatch/tell" <<-'END'
	import socket, struct, sys
	s = socket.socket(socket.AF_UNIX)
	s.connect(sys.argv[1])
	s.sendall(b"\0SP\0" + struct.pack(">HH", 5 * 16, 0))
	assert len(s.recv(8)) == 8
	try:
	    s.sendall(b"\x01" + struct.pack(">Q", 1 << 40) + b"x" * 100)
	    assert s.recv(1) == b""
	except ConnectionError:
	    pass
	END
	heads 1 | "$B" say gitwatch "$D"
	until_true 10 lines plan 1
}

@test "ask: 64 in flight, answered late and last first, all come back once" {
	start checkout answer checkout "$D" 20
	inbox "$D" checkout exec
	[ "$("$B" ask exec "$D" checkout 2000 64 20000 2>/dev/null)" = "2000 answered, 0 not, 0 wrong" ]
}

@test "ask: several askers do not get each other's answers" {
	start checkout answer checkout "$D" 3
	inbox "$D" checkout plan
	start e ask exec "$D" checkout 500 64 20000
	start p ask plan "$D" checkout 500 64 20000
	start d ask drift "$D" checkout 500 64 20000
	for n in e p d; do
		until_true 20 lines $n 1
		[ "$(cat "$BATS_TEST_TMPDIR/$n.out")" = "500 answered, 0 not, 0 wrong" ]
	done
}

@test "ask: no answer in time is answered by err, 111" {
	run --separate-stderr "$B" ask exec "$D" checkout 3 3 200
	[ "${lines[0]}" = "err 111 checkout: no answer within 200 ms" ]
	[ "${lines[1]}" = "0 answered, 3 not, 0 wrong" ]
}

@test "ask: one who comes late, or is killed and comes again, answers all" {
	start e ask exec "$D" checkout 300 64 30000
	start checkout answer checkout "$D" 50
	inbox "$D" checkout exec
	first=$pid
	until_true 10 kill -0 "$first"
	kill -9 "$first"; wait "$first" || true
	start again answer checkout "$D" 10
	until_true 30 lines e 1
	[ "$(cat "$BATS_TEST_TMPDIR/e.out")" = "300 answered, 0 not, 0 wrong" ]
}

@test "ask: a slow answer is worked on once, though the ask is repeated" {
	start checkout answer checkout "$D" 2500
	inbox "$D" checkout exec
	[ "$("$B" ask exec "$D" checkout 5 5 20000 2>/dev/null)" = "5 answered, 0 not, 0 wrong" ]
}

@test "ask: only whom frame.def names may be asked" {
	start checkout answer checkout "$D" 0
	inbox "$D" checkout exec
	run -100 "$B" ask report "$D" checkout 1 1 1000
	[[ "$output" == *"report may not ask checkout: checkout"* ]]
}

@test "bus: children inherit no descriptor of it" {
	start checkout answer checkout "$D" 0
	inbox "$D" checkout plan
	run "$B" fds checkout2 "$D"
	[ "$output" = $'0\n1\n2' ]
}
