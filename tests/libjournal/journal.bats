# The files themselves: the chain, its verification, apps.ndjson.
setup() {
	load ../lib/common
	J=$TESTBIN/libjournal/journal
	D=$BATS_TEST_TMPDIR/journal
	mkdir -p "$D"
	log() { frame stage_log '"deployment_id":"d","stage_id":"s","text":"'"$1"'"'; }
	past() { frame past '"application_id":"'"$1"'","repo":"r","path":"p","config_filename":"f","triggered_commit":"'"$2"'"'; }
}

@test "a line is the frame as it came, with seq and prev behind" {
	printf '{ "kind":"stage_log", "v":1,"unknown":[1, 2],"deployment_id":"d","stage_id":"s","text":"x" } \n' | "$J" add "$D" d
	log two | "$J" add "$D" d
	[ "$(head -n 1 "$D/d.ndjson")" = '{ "kind":"stage_log", "v":1,"unknown":[1, 2],"deployment_id":"d","stage_id":"s","text":"x" ,"seq":1,"prev":"'"$(printf '0%.0s' {1..64})"'"}' ]
	[ "$(sed -n 2p "$D/d.ndjson" | jq -r .prev)" = "$(head -n 1 "$D/d.ndjson" | tr -d '\n' | sha256sum | cut -d' ' -f1)" ]
	run -0 pipecd-exec -V "$D/d.ndjson"
	[[ "$output" == *"ok, 2 records"* ]]
}

@test "every byte of a journal counts: any one changed is found" {
	for i in 1 2 3; do log "line $i"; done | "$J" add "$D" d
	python3 - "$D/d.ndjson" "$D" <<'P'
import subprocess, sys
whole = open(sys.argv[1], "rb").read()
end = whole.rindex(b"\n", 0, len(whole) - 1) + 1
files = []
for at in range(0, end, 3):  # the last line's own text is nobody's prev
    name = f"{sys.argv[2]}/x{at}.ndjson"
    changed = bytearray(whole)
    changed[at] ^= 1
    open(name, "wb").write(changed)
    files.append(name)
r = subprocess.run(["pipecd-exec", "-V", *files], capture_output=True, text=True)
found = [l for l in r.stderr.splitlines() if "/x" in l]
assert r.returncode == 1 and len(found) == len(files), (len(found), len(files), r.stdout)
P
}

@test "a line taken out, doubled or exchanged is named" {
	for i in 1 2 3 4; do log "line $i"; done | "$J" add "$D" d
	sed 2d "$D/d.ndjson" >"$D/out.ndjson"
	sed 2p "$D/d.ndjson" >"$D/twice.ndjson"
	for i in 1 3 2 4; do sed -n "${i}p" "$D/d.ndjson"; done >"$D/order.ndjson"
	run -1 pipecd-exec -V "$D/out.ndjson" "$D/twice.ndjson" "$D/order.ndjson"
	[[ "$output" == *"out.ndjson:2: chain broken: seq is 3, and should be 2"* ]]
	[[ "$output" == *"twice.ndjson:3: chain broken"* ]]
	[[ "$output" == *"order.ndjson:2: chain broken"* ]]
}

@test "a torn last line is cut off by who goes on writing" {
	log one | "$J" add "$D" d
	printf '{"v":1,"kind":"sta' >>"$D/d.ndjson"
	log two | "$J" add "$D" d
	run -0 pipecd-exec -V "$D/d.ndjson"
	[[ "$output" == *"ok, 2 records"* ]]
}

@test "a journal that lost its end under a writer is refused, not padded" {
	log one | "$J" add "$D" d
	for i in 2 3; do log "line $i"; done | "$J" lose "$D" d
	run -0 pipecd-exec -V "$D/d.ndjson"
	[[ "$output" == *"ok, 3 records"* ]]
	[ ! -e "$D/d.ndjson.tmp" ]
}

@test "an id that is no file name is refused" {
	for id in ../x .hidden a/b "$(printf 'x%.0s' {1..64})"; do
		run -100 "$J" add "$D" "$id" </dev/null
	done
}

@test "the last line of an application counts, and old ones are compacted away" {
	for i in $(seq 1200); do past a "$i"; done | "$J" apps "$BATS_TEST_TMPDIR" >"$D/out"
	[ "$(jq -r .triggered_commit "$D/out")" = 1200 ]
	[ "$(wc -l <"$D/apps.ndjson")" -lt 1100 ]
	past b 7 | "$J" apps "$BATS_TEST_TMPDIR" >"$D/out"
	[ "$(jq -r '.application_id+.triggered_commit' "$D/out" | sort | tr '\n' ' ')" = "a1200 b7 " ]
}

@test "a torn or wrong line of apps.ndjson costs nothing but itself" {
	{ past a 1; past b 1; } | "$J" apps "$BATS_TEST_TMPDIR" >/dev/null
	echo 'not a frame' >>"$D/apps.ndjson"
	past a 2 >>"$D/apps.ndjson"
	printf '{"v":1,"kind":"past","appl' >>"$D/apps.ndjson"
	past c 1 | "$J" apps "$BATS_TEST_TMPDIR" >"$D/out" 2>"$D/err"
	[ "$(jq -r '.application_id+.triggered_commit' "$D/out" | sort | tr '\n' ' ')" = "a2 b1 c1 " ]
	grep -q "apps.ndjson:3: left out" "$D/err"
	tail -n 1 "$D/apps.ndjson" | jq -e '.application_id=="c"'
}

@test "-r says what is unfinished, and exits 1 for it" {
	frame deployment '"deployment":{"id":"d","application_id":"a","application_name":"shop","git_path":{"repo":{"id":"r"},"path":"p"},"trigger":{"commit":{"hash":"abcdef0123","message":"m\u001b[31m\n2"}},"status":"RUNNING","stages":[{"id":"s","name":"HOST_SYNC"}]}' | "$J" add "$D" d
	run -1 pipecd-exec -r "$D/d.ndjson"
	[[ "$output" == *"status    RUNNING (unfinished)"* ]]
	[[ "$output" != *$'\e'* ]]
	run -100 pipecd-exec -r "$D/none.ndjson"
}
