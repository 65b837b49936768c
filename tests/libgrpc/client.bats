# The client of libgrpc with our own server: names, keys, failures, and what it
# does when the server goes.
load ../lib/common
load ../lib/grpc

teardown() { grpc_server_stop; }

@test "a client connects to addresses, names and unix sockets" {
	grpc_server -a "unix:$BATS_TEST_TMPDIR/sock" -a "[::1]:0"
	run -0 grpc_client "localhost:${A##*:}" Get a b c
	[[ "$output" == *"message a b c"*OK* ]]
	run -0 grpc_client "unix:$BATS_TEST_TMPDIR/sock" Get a b c
	[[ "$output" == *"message a b c"*OK* ]]
	local six
	six=$(sed -n 's/^a \(\[.*\)/\1/p' "$OUT")
	run -0 grpc_client "$six" Get a b c
	[ "$(stat -c %a "$BATS_TEST_TMPDIR/sock")" = 700 ]
	run -0 grpc_client -t -C "$CERTS/cert.pem" "localhost:${T##*:}" Get a b c
	[[ "$output" == *"message a b c"*OK* ]]
}

@test "what cannot be connected to is UNAVAILABLE, and says why" {
	grpc_server
	run -1 grpc_client 127.0.0.1:1 Get
	[[ "$output" == *"UNAVAILABLE 127.0.0.1:1: Connection refused (unsent)" ]]
	run -1 grpc_client "unix:$BATS_TEST_TMPDIR/none" Get
	[[ "$output" == *"UNAVAILABLE"*"No such file or directory (unsent)" ]]
	run -1 grpc_client -t -C "$CERTS/cert.pem" -E example.com "$T" Get
	[[ "$output" == *"UNAVAILABLE"*"certificate: hostname mismatch (unsent)" ]]
	run -1 grpc_client -t "$T" Get
	[[ "$output" == *"UNAVAILABLE"*"certificate: self-signed certificate (unsent)" ]]
	run -1 grpc_client -t -C "$CERTS/cert.pem" "$A" Get
	[[ "$output" == *"UNAVAILABLE"*"TLS: "*"(unsent)" ]]
	for bad in nowhere a:x 1:2:3 "[::1" unix: 127.0.0.1:99999; do
		run -100 grpc_client "$bad" Get
		[[ "$output" == *"error: - $bad: "* ]]
	done
}

@test "a call that waits for a connection has it as soon as there is one" {
	grpc_server
	local port=${A##*:}
	grpc_server_stop
	timeout 30 "$TESTBIN/libgrpc/client" -w -d 20000 "127.0.0.1:$port" Get a b c >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	local client=$!
	until_true 10 grep -q ^down "$BATS_TEST_TMPDIR/out"
	grpc_server -a "127.0.0.1:$port"
	wait "$client"
	grep -qx OK "$BATS_TEST_TMPDIR/out"
	run -1 grpc_client -w -d 300 127.0.0.1:1 Get
	[[ "$output" == *"DEADLINE_EXCEEDED the deadline has passed (unsent)" ]]
}

@test "a server that goes while a call is at it makes the call UNAVAILABLE, not unsent" {
	grpc_server
	timeout 30 "$TESTBIN/libgrpc/client" "$A" Slow a 20000 >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	local client=$!
	until_true 10 eval 'curl -s "http://$A/stat" | grep -q "calls 1"'
	kill -9 "$SERVER"; wait "$SERVER" || true
	SERVER=
	wait "$client" || true
	grep -q "^UNAVAILABLE .*" "$BATS_TEST_TMPDIR/out"
	run -1 grep -q unsent "$BATS_TEST_TMPDIR/out"
}

@test "a draining server finishes calls, ends streams, takes no new ones, and ends" {
	grpc_server
	"$TESTBIN/libgrpc/client" "$A" Slow a 1500 >"$BATS_TEST_TMPDIR/slow" 2>&1 3>&- &
	local slow=$!
	"$TESTBIN/libgrpc/client" -s "$A" Tick a >"$BATS_TEST_TMPDIR/tick" 2>&1 3>&- &
	local tick=$!
	until_true 10 grep -q ^message "$BATS_TEST_TMPDIR/tick"
	until_true 10 eval 'curl -s "http://$A/stat" | grep -q "calls 2"'
	kill "$SERVER"
	wait "$tick" || true
	grep -q "^UNAVAILABLE the server is going" "$BATS_TEST_TMPDIR/tick"
	run -1 grpc_client "$A" Get
	[[ "$output" == *"Connection refused"* ]]
	wait "$slow"
	grep -qx OK "$BATS_TEST_TMPDIR/slow"
	wait "$SERVER"
	SERVER=
	said drained
}

@test "a drain that takes too long is cut" {
	grpc_server -L drain_ms=300
	"$TESTBIN/libgrpc/client" "$A" Slow a 20000 >"$BATS_TEST_TMPDIR/slow" 2>&1 3>&- &
	local slow=$!
	until_true 10 eval 'curl -s "http://$A/stat" | grep -q "calls 1"'
	kill "$SERVER"
	wait "$SERVER"
	SERVER=
	said "gone Slow"
	wait "$slow" || true
	grep -q ^UNAVAILABLE "$BATS_TEST_TMPDIR/slow"
}

@test "a connection whose other end is silent is noticed from either side" {
	# A stopped process answers no ping, though its kernel takes the bytes.
	grpc_server -L ping_ms=300 -L pong_ms=300
	"$TESTBIN/libgrpc/client" -s "$A" Tick a >"$BATS_TEST_TMPDIR/tick" 2>&1 3>&- &
	local client=$!
	until_true 10 grep -q ^message "$BATS_TEST_TMPDIR/tick"
	kill -STOP "$client"
	until_true 10 said "gone Tick at 1"
	kill -CONT "$client"
	wait "$client" || true
	PING=300 PONG=300 "$TESTBIN/libgrpc/client" -s "$A" Tick a >"$BATS_TEST_TMPDIR/tick" 2>&1 3>&- &
	client=$!
	until_true 10 grep -q ^message "$BATS_TEST_TMPDIR/tick"
	kill -STOP "$SERVER"
	until_true 10 grep -q "the server does not answer" "$BATS_TEST_TMPDIR/tick"
	kill -CONT "$SERVER"
	wait "$client" || true
}

@test "a server that wants certificates of its clients takes no others" {
	grpc_certs "$BATS_TEST_TMPDIR/ca"
	cat "$BATS_TEST_TMPDIR/ca/cert.pem" "$BATS_TEST_TMPDIR/ca/key.pem" >"$BATS_TEST_TMPDIR/client.pem"
	grpc_server -C "$BATS_TEST_TMPDIR/ca/cert.pem"
	run -0 grpc_client -t -C "$CERTS/cert.pem" -c "$BATS_TEST_TMPDIR/client.pem" "$T" Get a b c
	[[ "$output" == *"message a b c"*OK* ]]
	run -1 grpc_client -t -C "$CERTS/cert.pem" "$T" Get a b c
	[[ "$output" == *UNAVAILABLE* ]]
}

@test "two servers share a port" {
	grpc_server
	local first=$OUT
	"$TESTBIN/libgrpc/server" -a "$A" >"$BATS_TEST_TMPDIR/two" 2>&1 3>&- &
	local two=$!
	until_true 10 grep -q ^a "$BATS_TEST_TMPDIR/two"
	local i
	for i in $(seq 40); do
		grpc_client "$A" Get a >/dev/null 2>&1
	done
	grep -q "^call Get" "$first"
	grep -q "^call Get" "$BATS_TEST_TMPDIR/two"
	kill -INT "$two"; wait "$two"
}
