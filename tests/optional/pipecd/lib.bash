# PipeCD's own programs against a control plane of ours.  $PEERS is where they
# are; make check-pipecd builds them.  Sets A, S (state directory), ADDRESS,
# PIPED_ID; $A/key is an API key that may write.
load ../../lib/common

peers_need() { # PROGRAM...
	PEERS=$("$ROOT/share/mk/pipecd-peer" -n "$@") || skip "PipeCD's $* is not built: make check-pipecd builds it"
}

# plane_start [MORE SPEC]: an empty directory becomes a control plane, with a
# project, a piped and a key
plane_start() {
	A=$BATS_TEST_TMPDIR S=$BATS_TEST_TMPDIR/state
	export HOME=$A/home
	unset PIPECTL_CONTEXT PIPECTL_API_KEY PIPECTL_API_KEY_FILE XDG_CONFIG_HOME
	mkdir -p "$HOME"
	cat >"$A/control-plane.yaml" <<-E
	apiVersion: pipecd.dev/v1beta1
	kind: ControlPlane
	spec: {stateDir: $S, address: 127.0.0.1:0, adminAddress: 127.0.0.1:0, projects: [{id: demo}]${1:-}}
	E
	plane_up
	pipectl --local "$S" piped add p1 --project demo -o json >"$A/piped.json"
	pipectl --local "$S" apikey add ci --project demo --role READ_WRITE -o json | jq -r .key >"$A/key"
	PIPED_ID=$(jq -r .id "$A/piped.json")
	KEY64=$(jq -rj .key "$A/piped.json" | base64 -w0)
}
plane_up() {
	: >"$A/plane.err"
	pipecd -v -f "$A/control-plane.yaml" 2>"$A/plane.err" 3>&- &
	PLANE=$!
	until_true 60 grep -q ' ready stateDir' "$A/plane.err" || { cat "$A/plane.err"; return 1; }
	ADDRESS=$(sed -n 's/.*listens main=//p' "$A/plane.err")
}
plane_down() {
	[ -z "${PLANE:-}" ] || { kill "$PLANE" 2>/dev/null; wait "$PLANE" 2>/dev/null; } || :
	PLANE=
}
peers_teardown() {
	[ -z "${THEIRS:-}" ] || { kill "$THEIRS" 2>/dev/null; wait "$THEIRS" 2>/dev/null; } || :
	plane_down
	[ -n "$BATS_TEST_COMPLETED" ] || for f in "$A"/*.err; do echo "==> $f"; grep -v " closed: " "$f" | tail -n 40; done
}

TLS=(--insecure)
ours() { pipectl --address "$ADDRESS" "${TLS[@]}" --api-key-file "$A/key" "$@"; }
theirs() { "$PEERS/pipectl" "$@" --address "$ADDRESS" "${TLS[@]}" --api-key-file "$A/key"; }
# plane_tls: the same anew, with TLS
plane_tls() {
	plane_down
	rm -rf "$S"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$A/tls.key" -out "$A/tls.pem" -days 2 \
		-subj /CN=here -addext 'subjectAltName=IP:127.0.0.1' 2>/dev/null
	plane_start ", tls: {certFile: $A/tls.pem, keyFile: $A/tls.key}"
	TLS=(--cert-file "$A/tls.pem")
}
# piped_says METHOD JSON: what a piped would
piped_says() {
	curl -sS -H "authorization: PIPED-TOKEN demo,$PIPED_ID,$(jq -r .key "$A/piped.json")" -H 'content-type: application/json' \
		-d "$2" "http://$ADDRESS/grpc.service.pipedservice.PipedService/$1"
}
# announce FIELDS: what the piped will say of itself, so that applications can be
# registered before it starts; a piped asks for them once a minute only
announce() {
	piped_says ReportPipedMeta "{\"version\":\"none\",\"config\":\"x\",\"repositories\":[{\"id\":\"web\",\"remote\":\"file://$REPO\",\"branch\":\"main\"}],\"startedAt\":\"1700000000\",$1}" >/dev/null
}
knows_piped() { [ "$(ours piped get "$PIPED_ID" -o json | jq -r .version)" = v0.57.0 ]; }
# nothing_refused: no call of theirs was; traces are for another server than ours
nothing_refused() {
	! grep -v 'traces export: ' "$A/theirs.err" | grep -E 'code = (Unimplemented|Internal|InvalidArgument|FailedPrecondition|PermissionDenied)'
}
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
gone() { [ ! -d "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status"; }
reported() { grep -q 'successfully collected and reported metrics' "$A/theirs.err"; }
app_is() { [ "$(ours application get "$1" -o json | jq -r "$2")" = "$3" ]; }
# newest APP-ID: its newest deployment
newest() { ours deployment list --app-id "$1" -o json | jq -r '.deployments[0].id // empty'; }
# deployed APP-ID STATUS [COMMIT]: for until_true; the commit is main without it
deployed() {
	[ "$(ours deployment list --app-id "$1" -o json | jq -r '.deployments[0]|.status+" "+.trigger.commit.hash')" = \
		"DEPLOYMENT_$2 ${3:-$(git -C "$REPO" rev-parse main)}" ]
}
