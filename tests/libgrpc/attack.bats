# Hostile clients of libgrpc (tests/libgrpc/attack.py): each takes little memory
# and a connection of its own, and others are served.
load ../lib/common
load ../lib/grpc

MIB=1024 # of rss

setup() {
	grpc_server -L handshake_ms=2000 -L request_ms=4000
	"$TESTBIN/libgrpc/client" -n 100000 -p 10 -d 30000 "$A" Get a b c >"$BATS_TEST_TMPDIR/neighbour" 2>&1 3>&- &
	NEIGHBOUR=$!
	until_true 30 grep -q ^OK "$BATS_TEST_TMPDIR/neighbour"
}

teardown() {
	kill "$NEIGHBOUR" 2>/dev/null || true
	wait "$NEIGHBOUR" || true
	grpc_server_stop
}

# attack NAME MIB: it is over, the server grew by less than that, the neighbour
# had its answers throughout; what the attacker saw is in $output
attack() {
	local before after served
	before=$(peak)
	run -0 timeout 60 python3 "$ROOT/tests/libgrpc/attack.py" "$A" "$1"
	echo "# $1: $output"
	after=$(peak)
	[ -n "${ASAN:-}" ] || [ $((after - before)) -lt $(($2 * MIB)) ] || { echo "$1: $before kB, then $after kB"; false; }
	served=$(wc -l <"$BATS_TEST_TMPDIR/neighbour")
	until_true 30 eval '[ "$(wc -l <"$BATS_TEST_TMPDIR/neighbour")" -gt $((served + 4)) ]'
	run -1 grep -vE '^(up|OK|message a b c)$' "$BATS_TEST_TMPDIR/neighbour"
	kill -0 "$SERVER"
}
peak() { awk '/^VmHWM:/ { print $2 }' "/proc/$SERVER/status"; }
attacker() { python3 "$ROOT/tests/libgrpc/attack.py" "$A" "$1"; }

# What a sanitizer adds to memory is not the server's.
if grep -q san <<<"$TESTBIN"; then ASAN=1; fi

calls_gone() { curl -s "http://$A/stat" | grep -Eq 'calls [01] .*buffered [0-9]{1,3}$'; }

@test "streams that are opened and reset at once end the connection" {
	attack rapid_reset 6
	until_true 30 calls_gone
}

@test "more streams than there may be are refused" {
	attack rapid_open 12
	until_true 30 calls_gone
}

@test "floods of PING, SETTINGS, PRIORITY and empty DATA end the connection" {
	local flood
	for flood in ping_flood settings_flood priority_flood empty_data_flood; do
		run -0 attacker "$flood"
		[[ "$output" == *"goaway 11" || "$output" == *"without a word" ]] || { echo "$flood: $output"; false; }
	done
	attack ping_flood 4
	attack unknown_flood 4
}

@test "header blocks without end, and those that grow when read, take no memory" {
	attack continuation_flood 4
	attack hpack_bomb 6
}

@test "connections that say nothing, or half of it, are closed in time" {
	attack loris 10
	run -0 attacker loris
	[ "$output" = "0 of 200 still open" ]
}

@test "half messages are parked in bounded memory, and for a bounded time" {
	attack parked 40
	until_true 30 calls_gone
}

@test "answers that nobody reads are kept in bounded memory" {
	attack unread 40
	until_true 30 calls_gone
}

@test "what would grow when it is decoded is refused by what it takes" {
	attack amplification 48
	until_true 5 said "call Meta grpc INVALID_ARGUMENT"
}

@test "a body that trickles for ever is cut" {
	attack one_byte_chunks 4
}

@test "a call over its connection's share is refused, others go on" {
	grpc_server_stop
	kill "$NEIGHBOUR"; wait "$NEIGHBOUR" || true
	grpc_server -L conn_bytes=1000000 -L conns=3
	run -1 grpc_client -G 2000000 "$A" Echo
	[[ "$output" == *"RESOURCE_EXHAUSTED too many bytes are under way"* ]]
	run -0 grpc_client -G 400000 "$A" Echo
	# Three connections there may be; the fourth is not kept.
	local fd=()
	for _ in 1 2 3; do
		exec {n}<>"/dev/tcp/${A%:*}/${A##*:}"
		fd+=("$n")
		echo -n "GET /" >&"$n"
	done
	run -1 grpc_client "$A" Get
	[[ "$output" == *UNAVAILABLE* ]]
	for n in "${fd[@]}"; do exec {n}>&-; done
	until_true 10 grpc_client "$A" Get
}
