# A store and an api on ports of their own, for the tests of pipecd-api.

# api_files DIR: the configuration and state of a control plane in DIR.
api_files() {
	mkdir -p "$1"
	cat >"$1/control.yaml" <<-YAML
	apiVersion: pipecd.dev/v1beta1
	kind: ControlPlane
	spec:
	  address: 127.0.0.1:0
	  adminAddress: 127.0.0.1:0
	  webAddress: https://pipecd.example
	  stateDir: $1/state
	YAML
	[ -z "${2:-}" ] || sed 's/^/  /' >>"$1/control.yaml" <<<"$2"
}

store_start() {
	pipecd-store -f "$1/control.yaml" 2>>"$1/store.log" 3>&- 7>&- &
	echo $! >"$1/store.pid"
	disown
	until_true 10 test -S "$1/state/run/store.sock"
}

# Sets API and ADMIN: where it answers.
api_start() {
	: >"$1/api.log"
	pipecd-api -f "$1/control.yaml" 2>>"$1/api.log" 3>&- 7>&- &
	echo $! >"$1/api.pid"
	disown
	until_true 10 grep -q 'listens admin=' "$1/api.log"
	API=$(sed -n 's/.*listens main=//p' "$1/api.log")
	ADMIN=$(sed -n 's/.*listens admin=//p' "$1/api.log")
	until_true 20 curl -fs -o "$1/ready" "http://$ADMIN/readyz"
}

# api_end DIR [SIGNAL]: its process and its store; what they said goes to the test's output.
one_end() {
	local pid
	[ -e "$1" ] || return 0
	pid=$(cat "$1")
	rm -f "$1"
	kill "${2:-TERM}" "$pid" 2>/dev/null || return 0
	until_true 20 not_alive "$pid"
}
not_alive() { ! kill -0 "$1" 2>/dev/null; }
api_end() {
	one_end "$1/api.pid" -TERM
	one_end "$1/store.pid" -TERM
}

# The peer: grpc-python.
peer_there() {
	PEER=$("$ROOT/share/mk/grpc-peer" -n) || return 1
	PROTO_PY=$("$ROOT/tests/lib/proto-py")
	export PEER PROTO_PY ROOT
}
ask() { "$PEER" "$ROOT/tests/pipecd-api/ask.py" "$@"; }

# api_setup DIR [MORE]: all of it, with projects and keys; api_again in a test.
api_setup() {
	peer_there || return 0
	api_files "$@"
	store_start "$1"
	api_start "$1"
	ask "$1/state" keys >"$1/keys.json"
	printf 'API=%s ADMIN=%s\n' "$API" "$ADMIN" >"$1/where"
}
api_again() {
	peer_there || skip "share/mk/grpc-peer was not run: no grpc-python"
	# shellcheck disable=SC1091
	. "$1/where"
	export PEER_KEYS=$1/keys.json
}
# calls: lines of JSON on stdin, each an answer; call: one.
calls() { "$PEER" "$ROOT/tests/pipecd-api/peer.py" "$API"; }
call() { printf '%s\n' "$1" | calls; }
