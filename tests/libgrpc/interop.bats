# libgrpc with grpc-go (tests/peers/grpcgo), both ways.
load ../lib/common
load ../lib/grpc

setup() { grpc_peer; }

teardown() {
	[ -z "${GO:-}" ] || { kill "$GO" 2>/dev/null; wait "$GO" || true; }
	grpc_server_stop
}

# go_server [OPTION...]: grpc-go's server, its address in $G
go_server() {
	"$PEER" server "$@" >"$BATS_TEST_TMPDIR/go.out" 2>&1 3>&- &
	GO=$!
	until_true 20 grep -q '^g ' "$BATS_TEST_TMPDIR/go.out"
	G=$(sed -n 's/^g //p' "$BATS_TEST_TMPDIR/go.out")
}

@test "grpc-go's client gets right answers from our server" {
	grpc_server
	run -0 timeout 300 "$PEER" client "$A"
	[ "${#lines[@]}" -ge 20 ]
	# Who cancels, and who goes away, is noticed.
	until_true 10 said "gone Slow"
	until_true 10 grep -q "^gone Count at" "$OUT"
	run -0 curl -s "http://$A/stat"
	[[ "$output" == *"calls 0 "*"buffered 0" ]]
}

@test "grpc-go's client gets the same answers over TLS" {
	grpc_server
	run -0 timeout 300 "$PEER" client -ca "$CERTS/cert.pem" "$T"
}

@test "grpc-go's client stays served while our servers come and go" {
	grpc_server
	local first=$SERVER port=${A##*:} out=$BATS_TEST_TMPDIR/hold
	mkfifo "$BATS_TEST_TMPDIR/in"
	"$PEER" client -hold "$A" <"$BATS_TEST_TMPDIR/in" >"$out" 2>&1 3>&- &
	local client=$!
	exec 8>"$BATS_TEST_TMPDIR/in"
	until_true 10 grep -q ^OK "$out"
	# A second server on the same port, then the first one goes.
	"$TESTBIN/libgrpc/server" -a "127.0.0.1:$port" >"$BATS_TEST_TMPDIR/two" 2>&1 3>&- 8>&- &
	SERVER=$!
	until_true 10 grep -q "^a " "$BATS_TEST_TMPDIR/two"
	kill "$first"
	wait "$first"
	grep -qx drained "$OUT"
	until_true 10 grep -q "^call Slow" "$BATS_TEST_TMPDIR/two"
	exec 8>&-
	wait "$client"
	# One line, OK, and none about a failure.
	run -0 cat "$out"
	[[ "${lines[0]}" == OK* && "${lines[1]}" == calls* ]]
}

@test "our client gets right answers from grpc-go's server" {
	go_server
	run -0 grpc_client "$G" Get a b c
	[[ "$output" == *"message a b c"*OK* ]]
	run -0 grpc_client -H "x-mine=value 1" "$G" Header a x-mine
	[[ "$output" == *"message a value 1"*"trailer x-echo value 1"*OK* ]]
	run -0 grpc_client -k "Bearer key" "$G" Header a authorization
	[[ "$output" == *"message a Bearer key"* ]]
	run -1 grpc_client "$G" Fail a 5 "gibt's nicht: ü 漢 100%"
	[[ "$output" == *"NOT_FOUND gibt's nicht: ü 漢 100%"* ]]
	run -1 grpc_client "$G" Nope
	[[ "$output" == *UNIMPLEMENTED* ]]
	run -0 grpc_client -n 300 "$G" Slow a 50
	[ "$(grep -c ^OK <<<"$output")" -eq 300 ]
}

@test "our client ends calls of grpc-go's server by deadline and by cancelling" {
	go_server
	run -1 grpc_client -d 1000 "$G" Slow a 30000
	[[ "$output" == *"DEADLINE_EXCEEDED"* ]]
	run -0 grpc_client -x 1000 "$G" Slow a 30000
	[[ "$output" == *cancelled* ]]
	until_true 10 eval '[ "$(grep -c "gone Slow" "$BATS_TEST_TMPDIR/go.out")" -eq 2 ]'
}

@test "our client takes large, compressed and streamed answers of grpc-go's server" {
	go_server
	run -0 grpc_client "$G" Big a 3145728
	[[ "$output" == *"3145728 bytes"* ]]
	run -1 grpc_client "$G" Big a 5000000
	[[ "$output" == *"RESOURCE_EXHAUSTED a message of 50000"* ]]
	run -1 grpc_client -G 5000000 "$G" Echo
	[[ "$output" == *"RESOURCE_EXHAUSTED"* ]]
	run -0 grpc_client -s "$G" Count a 10000
	[ "$(grep -c ^message <<<"$output")" -eq 10000 ]
	run -1 grpc_client -s "$G" CountFail a 3
	[ "$(grep -c ^message <<<"$output")" -eq 3 ]
	[[ "$output" == *"FAILED_PRECONDITION counted to 3"* ]]
	kill "$GO"; wait "$GO" || true
	go_server -gzip
	run -0 grpc_client "$G" Big a 3000000
	[[ "$output" == *"3000000 bytes"* ]]
	run -1 grpc_client "$G" Big a 67108864
	[[ "$output" == *"RESOURCE_EXHAUSTED a message inflates to more"* ]]
}

@test "our client believes grpc-go's server only under the name in its certificate" {
	grpc_certs "$BATS_TEST_TMPDIR"
	go_server -cert "$BATS_TEST_TMPDIR/cert.pem" -key "$BATS_TEST_TMPDIR/key.pem"
	run -0 grpc_client -t -C "$BATS_TEST_TMPDIR/cert.pem" "$G" Get a b c
	[[ "$output" == *"message a b c"*OK* ]]
	run -0 grpc_client -t -C "$BATS_TEST_TMPDIR/cert.pem" -s "$G" Count a 10000
	run -1 grpc_client -t -C "$BATS_TEST_TMPDIR/cert.pem" -E example.com "$G" Get
	[[ "$output" == *"UNAVAILABLE"*"hostname mismatch"* ]]
	run -1 grpc_client -t "$G" Get
	[[ "$output" == *"UNAVAILABLE"*"certificate"* ]]
	run -1 grpc_client "$G" Get
	[[ "$output" == *"UNAVAILABLE"* ]]
}

@test "our client follows the GOAWAY of grpc-go's server, and no call fails" {
	go_server -age 200ms
	run -0 grpc_client -n 60 -p 20 "$G" Slow a 30
	[ "$(grep -c ^OK <<<"$output")" -eq 60 ]
	# It went over more than one connection.
	[ "$(grep -c ^up <<<"$output")" -ge 2 ]
}

@test "our client comes back when grpc-go's server does" {
	go_server
	local port=${G##*:}
	timeout 60 "$TESTBIN/libgrpc/client" -w -d 20000 -n 20 -p 100 "$G" Get a b c >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	local client=$!
	until_true 10 grep -q ^OK "$BATS_TEST_TMPDIR/out"
	kill -9 "$GO"; wait "$GO" || true
	until_true 10 grep -q ^down "$BATS_TEST_TMPDIR/out"
	go_server -listen "127.0.0.1:$port"
	wait "$client"
	[ "$(grep -c ^OK "$BATS_TEST_TMPDIR/out")" -eq 20 ]
	[ "$(grep -c ^up "$BATS_TEST_TMPDIR/out")" -eq 2 ]
}
