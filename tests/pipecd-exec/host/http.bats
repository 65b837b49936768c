load ../../lib/common
load ../../lib/platform

setup() {
	host_new "$BATS_TEST_TMPDIR" 1
	# Answers what the file `status` says; counts in `hits`.
	cat >"$D/server" <<'PY'
import http.server, sys, time
d = sys.argv[1]
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        open(d + "/hits", "a").write("x\n")
        n = sum(1 for _ in open(d + "/hits"))
        want = open(d + "/status").read().split()
        if want[min(n, len(want)) - 1] == "hang":
            return time.sleep(5)
        self.send_response(int(want[min(n, len(want)) - 1]))
        self.send_header("Location", "http://127.0.0.1:1/")
        self.end_headers()
        self.wfile.write(b"body")
    def log_message(self, *a): pass
s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), H)
open(d + "/port.tmp", "w").write(str(s.server_port))
import os; os.rename(d + "/port.tmp", d + "/port")
s.serve_forever()
PY
	python3 "$D/server" "$D" 3>&- &
	SERVER=$!
	until_true 10 test -e "$D/port"
	URL=http://127.0.0.1:$(cat "$D/port")/healthz
}

teardown() { kill "$SERVER"; }

health() { # [TIMEOUT]
	jq -cn --arg u "$URL" --arg t "${1:-400ms}" '{health:{http:$u,interval:"20ms",timeout:$t}}'
}

@test "health over HTTP wants a 2xx, and waits for it" {
	echo 503 500 200 >"$D/status"
	INPUT=$(health 10s) host_stage HOST_SYNC $C1
	[ "$STATUS" = SUCCESS ]
	[ "$(wc -l <"$D/hits")" -eq 3 ]
	[[ "$(jq -r 'select(.kind=="stage_log").text' <<<"$output")" == *"not healthy yet: HTTP status 503"* ]]
}

@test "a status that stays bad fails the stage, naming it, and no redirect is followed" {
	echo 302 >"$D/status"
	INPUT=$(health 1500ms) host_stage HOST_SYNC $C1
	[ "$STATUS" = FAILURE ]
	[[ "$REASON" == *"not healthy after 1500 ms: $URL: HTTP status 302"* ]]
}

@test "a server that hangs after a bad status fails the stage with both" {
	echo 503 hang >"$D/status"
	INPUT=$(health 1500ms) host_stage HOST_SYNC $C1
	[ "$STATUS" = FAILURE ]
	[[ "$REASON" == *"$URL: HTTP status 503, then "*"timed out"* ]]
}

@test "a server that is not there fails the stage with the reason" {
	URL=http://127.0.0.1:1/x
	INPUT=$(health) host_stage HOST_SYNC $C1
	[ "$STATUS" = FAILURE ]
	[[ "$REASON" == *"127.0.0.1 port 1"* ]]
}

@test "only http and https are spoken" {
	URL=file:///etc/passwd
	INPUT=$(health) host_stage HOST_SYNC $C1
	[ "$STATUS" = FAILURE ]
}
