# A control plane of fakes: pipecd copied to $A/bin, with siblings that say
# "ready", note in $A/log what happens to them and end on SIGTERM.  api answers
# HTTP on the sockets that it is handed.  $S is the state directory.
pipecd_setup() {
	A=$BATS_TEST_TMPDIR S=$BATS_TEST_TMPDIR/state
	mkdir -p "$A/bin"
	cp "$BIN/pipecd" "$A/bin/"
	cp "$ROOT/tests/fake/pipecd-api" "$A/bin/pipecd-api"
	fake_daemon pipecd-store
	fake_daemon pipecd-ops
	control_write
	export TMPDIR=$A
}

fake_daemon() {
	cat >"$A/bin/$1" <<-'EOF'
	#!/bin/sh
	n=${0##*/}
	trap 'echo "term $n" >>"$TMPDIR/log"; [ -e "$TMPDIR/deaf.$n" ] || exit 0' TERM
	echo "start $n $*" >>"$TMPDIR/log"
	cat <&3 >"$TMPDIR/slice.$n"
	[ ! -e "$TMPDIR/crash.$n" ] || exit "$(cat "$TMPDIR/crash.$n")"
	[ -z "$PIPECD_READY" ] || echo >&4
	exec 4>&-
	while :; do sleep 1000 & wait $!; done
	EOF
	chmod 755 "$A/bin/$1"
}

# control_write [spec lines]
control_write() {
	cat >"$A/control-plane.yaml" <<-EOF
	apiVersion: pipecd.dev/v1beta1
	kind: ControlPlane
	spec:
	  stateDir: $S
	  address: ${ADDRESS:-127.0.0.1:0}
	  adminAddress: ${ADMIN:-127.0.0.1:0}
	${1:-}
	EOF
}

pipecd_start() {
	"${A:-$BATS_TEST_TMPDIR}/bin/pipecd" -v -f "$A/control-plane.yaml" "$@" 2>>"$A/err" 3>&- &
	PIPECD=$!
}

pipecd_ready() { until_true 10 grep -q ' ready stateDir' "$A/err" || { cat "$A/err"; return 1; }; }
status() { "$A/bin/pipecd" -s --json -f "$A/control-plane.yaml"; }
is_state() { [ "$(status | jq -r .state)" = "$1" ]; }
pid_of() { status | jq ".programs[]|select(.name==\"$1\").pid"; }
address_of() { status | jq -r ".listen[]|select(startswith(\"$1=\"))|ltrimstr(\"$1=\")"; }
starts() { grep -c "^start pipecd-$1" "$A/log"; }
started() { [ "$(starts "$1")" -ge "$2" ]; }
get() { http_get "$(address_of "$1")"; }
# http_get HOST:PORT: what is said to GET /
http_get() {
	python3 - "$1" <<-'EOF'
	import socket, sys
	host, port = sys.argv[1].rsplit(":", 1)
	s = socket.create_connection((host.strip("[]"), int(port)), 20)
	s.sendall(b"GET / HTTP/1.0\r\n\r\n")
	print(b"".join(iter(lambda: s.recv(4096), b"")).split(b"\r\n\r\n", 1)[1].decode(), end="")
	EOF
}
# connected PORT: how many are, to there
connected() { awk -v p="$(printf ':%04X' "$1")" '$3 ~ p "$" && $4 == "01"' /proc/net/tcp | wc -l; }
gone() { [ ! -d "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status"; }

pipecd_teardown() {
	[ -z "${PIPECD:-}" ] || { kill "$PIPECD" 2>/dev/null; kill "$PIPECD" 2>/dev/null; wait "$PIPECD" 2>/dev/null; } || :
}
