# A control plane to try the agent against: tests/peers/controlplane.py, which
# behaves as PipeCD documents it.  Sets CP (its directory), CP_PORT, CP_PID.

# cp_there: whether its python is there; made by `make deps`, or now
cp_there() {
	[ -n "${CP_PY:=$("$ROOT/share/mk/grpc-peer" 2>/dev/null)}" ]
}

# cp_start [-w] [...]: start it, again on the same port and with what it knew
cp_start() {
	CP=${CP:-$BATS_TEST_TMPDIR/cp}
	mkdir -p "$CP"
	rm -f "$CP/port" "$CP/ctl.sock"
	"$CP_PY" "$ROOT/tests/peers/controlplane.py" -d "$CP" -p "$ROOT/src/libmsg" \
		-a "127.0.0.1:${CP_PORT:-0}" "$@" >>"$CP/out" 2>&1 3>&- &
	CP_PID=$!
	until_true 20 test -e "$CP/port" || { cat "$CP/out"; return 1; }
	until_true 5 test -S "$CP/ctl.sock"
	CP_PORT=$(cat "$CP/port")
}

# cp_kill: at once, as a power cut
cp_kill() {
	[ -n "${CP_PID:-}" ] || return 0
	kill -9 "$CP_PID" 2>/dev/null
	wait "$CP_PID" 2>/dev/null || true
	CP_PID=
}

# cp_order JSON: an order of the test to it
cp_order() {
	"$CP_PY" - "$CP/ctl.sock" "$1" <<-'E'
	import os, socket, sys
	os.chdir(os.path.dirname(sys.argv[1]))
	s = socket.socket(socket.AF_UNIX)
	s.connect("ctl.sock")
	s.sendall(sys.argv[2].encode() + b"\n")
	a = s.makefile().readline()
	print(a, end="")
	sys.exit('"error"' in a)
	E
}

# cp_app ID NAME DIR [FILE]: register an application of repository web
cp_app() {
	cp_order "$(jq -cn --arg id "$1" --arg n "$2" --arg p "$3" --arg f "${4:-app.pipecd.yaml}" '{app:{id:$id,name:$n,
		pipedId:"piped-1",projectId:"p",gitPath:{repo:{id:"web"},path:$p,configFilename:$f},createdAt:"1",updatedAt:"1"}}')" >/dev/null
}

# cp_command ID TYPE JSON-MEMBERS
cp_command() {
	cp_order "$(jq -cn --arg id "$1" --arg t "$2" --argjson m "$3" '{command:({id:$id,type:$t,commander:"ann"}+$m)}')" >/dev/null
}

# cp_db FILTER: jq on what it knows
cp_db() { jq -r "$1" "$CP/db.json"; }

# cp_is FILTER VALUE: for until_true
cp_is() { [ "$(cp_db "$1" 2>/dev/null)" = "$2" ]; }

# cp_calls METHOD [CODE]: how many there were
cp_calls() { jq -r --arg m "$1" --arg c "${2:-}" 'select(.method==$m and ($c=="" or .code==$c))|.method' "$CP/calls.ndjson" | wc -l; }

# cp_conf: what the Piped config says of it
cp_conf() {
	printf '  projectID: p\n  pipedID: piped-1\n  pipedKeyData: %s\n  apiAddress: 127.0.0.1:%s\n  apiInsecure: true\n' \
		"$(printf '%s' "${1:-key}" | base64)" "$CP_PORT"
}
