# The server and client of tests/libgrpc, for their tests.

# grpc_certs DIR: DIR/cert.pem and key.pem for localhost, good for a month
grpc_certs() {
	mkdir -p "$1"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
		-keyout "$1/key.pem" -out "$1/cert.pem" -subj "/CN=${2:-localhost}" \
		-addext "subjectAltName=DNS:localhost,IP:127.0.0.1" 2>/dev/null
}

# grpc_server [OPTION...]: start the test server on a plain port, $A, and one
# with TLS, $T; its lines are in $OUT, its pid is $SERVER
grpc_server() {
	: "${CERTS:=$BATS_FILE_TMPDIR/certs}"
	[ -f "$CERTS/cert.pem" ] || grpc_certs "$CERTS"
	OUT=$BATS_TEST_TMPDIR/server.out ERR=$BATS_TEST_TMPDIR/server.err
	rm -f "$OUT" # its lines are of another
	"$TESTBIN/libgrpc/server" -a 127.0.0.1:0 -t 127.0.0.1:0 \
		-c "$CERTS/cert.pem" -k "$CERTS/key.pem" "$@" >"$OUT" 2>"$ERR" 3>&- &
	SERVER=$!
	until_true 20 grep -q '^t ' "$OUT"
	A=$(sed -n 's/^a //p' "$OUT" | head -n 1) T=$(sed -n 's/^t //p' "$OUT" | head -n 1)
}

# grpc_client ...: one or more calls of it
grpc_client() { timeout 60 "$TESTBIN/libgrpc/client" "$@"; }

# grpc_server_stop: it ends well, and said nothing that a sanitizer says
grpc_server_stop() {
	[ -n "${SERVER:-}" ] || return 0
	kill -INT "$SERVER" 2>/dev/null || true
	wait "$SERVER" || { echo "the server ended with $?"; cat "$ERR"; return 1; }
	SERVER=
	! grep -E 'ERROR: |runtime error' "$ERR"
}

# grpc_peer: the path of grpc-go's side, or a skip
grpc_peer() {
	PEER=$("$ROOT/share/mk/grpcgo-peer" -n) || skip "no grpc-go: share/mk/grpcgo-peer builds it"
}

# said LINE: the server has said this line
said() { grep -qxF -- "$1" "$OUT"; }

# rss PID: its memory in kB
rss() { awk '/^VmRSS:/ { print $2 }' "/proc/$1/status"; }
