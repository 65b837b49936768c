# pipecd-drift with the real programs around it: the plain-host platform.
load ../lib/common

setup() {
	t=$BATS_TEST_TMPDIR
	mkdir "$t/root" "$t/keys"
	openssl genrsa 2048 2>/dev/null >"$t/keys/private"
	openssl rsa -in "$t/keys/private" -pubout 2>/dev/null >"$t/keys/public"
	chmod 600 "$t/keys/private"
	repo_new "$t/repo"
	mkdir "$t/repo/site"
	sealed=$(printf canary-7d20 | pipecd-gitwatch-checkout -e -k "$t/keys/public")
	cat >"$t/repo/site/app.pipecd.yaml" <<-E
	apiVersion: pipecd.dev/v1beta1
	kind: Application
	spec:
	  name: site
	  encryption:
	    encryptedSecrets: {password: $sealed}
	    decryptionTargets: [secret.conf]
	  plugins: {host: {input: {}}}
	E
	echo 'password={{ .encryptedSecrets.password }}' >"$t/repo/site/secret.conf"
	echo hello >"$t/repo/site/index.html"
	repo_commit "$t/repo" "First" >/dev/null
	cat >"$t/piped.yaml" <<-E
	apiVersion: pipecd.dev/v1beta1
	kind: Piped
	spec:
	  stateDir: $t/state
	  repositories: [{repoId: web, remote: file://$t/repo, branch: main}]
	  plugins: [{name: host, deployTargets: [{name: web-1, config: {root: $t/root}}]}]
	  secretManagement: {type: KEY_PAIR, config: {privateKeyFile: $t/keys/private, publicKeyFile: $t/keys/public}}
	E
	heads | pipecd-plan -f "$t/piped.yaml" 2>"$t/err" | pipecd-exec -f "$t/piped.yaml" >"$t/exec" 2>>"$t/err"
	grep -q canary-7d20 "$t/root/site/current/secret.conf"
}

heads() { pipecd-gitwatch -1 -f "$t/piped.yaml"; }
drift() { heads | pipecd-plan -f "$t/piped.yaml" | pipecd-drift -1 -f "$t/piped.yaml" >"$t/out" 2>"$t/drift.err"; }
state() { jq -r 'select(.kind=="app_state")|.sync_state.status' "$t/out"; }

@test "drift, host: what was deployed is SYNCED, also when looked at from the cache" {
	drift
	[ "$(state)" = SYNCED ]
	drift
	[ "$(state)" = SYNCED ]
	[ "$(jq -s 'map(select(.kind=="live"))|length' "$t/out")" -eq 1 ]
}

@test "drift, host: a commit beside it leaves what was rendered, one that looks out of it does not" {
	drift
	before=$(ls "$t/state/cache/objects")
	[ -n "$before" ]
	repo_file() { mkdir -p "$t/repo/$(dirname "$1")"; echo "$2" >"$t/repo/$1"; repo_commit "$t/repo" "$1" >/dev/null; }
	repo_file notes/README beside
	drift
	[ "$(state)" = SYNCED ]
	[ "$(ls "$t/state/cache/objects")" = "$before" ]
	repo_file site/lib ../notes/README
	drift
	after=$(ls "$t/state/cache/objects")
	[ "$after" != "$before" ]
	repo_file notes/README again
	drift
	[ "$(ls "$t/state/cache/objects")" != "$after" ]
}

@test "drift, host: a hand edit, a file more and one less are named" {
	echo more >"$t/root/site/current/extra"
	rm "$t/root/site/current/index.html"
	echo other >"$t/root/site/current/secret.conf"
	drift
	[ "$(state)" = OUT_OF_SYNC ]
	reason=$(jq -r 'select(.kind=="app_state")|.sync_state.reason' "$t/out")
	for f in extra index.html secret.conf; do [[ "$reason" == *"$f"* ]]; done
}

@test "drift, host: an edited file is shown by its lines, one with secrets and a binary one are not" {
	printf 'a\0b' >"$t/repo/site/logo.bin"
	seq 1 9 >"$t/repo/site/numbers"
	repo_commit "$t/repo" "Second" >/dev/null
	heads | pipecd-plan -f "$t/piped.yaml" 2>"$t/err" | pipecd-exec -f "$t/piped.yaml" >"$t/exec" 2>>"$t/err"
	sed -i 's/^5$/five/' "$t/root/site/current/numbers"
	printf 'a\0c' >"$t/root/site/current/logo.bin"
	echo other >>"$t/root/site/current/secret.conf"
	drift
	[ "$(state)" = OUT_OF_SYNC ]
	reason=$(jq -r 'select(.kind=="app_state")|.sync_state.reason' "$t/out")
	[[ "$reason" == *"numbers"*$'\n 4\n-five\n+5\n 6\n'* ]]
	[[ "$reason" == *"logo.bin"*"binary"* ]]
	[[ "$reason" == *"secret.conf"*"content hidden"* ]]
	! grep -q canary-7d20 "$t/out" "$t/drift.err"
}

@test "drift, host: an opened secret is in no frame, no log and nothing that is kept" {
	drift
	echo "password=other" >"$t/root/site/current/secret.conf"
	drift
	[ "$(state)" = OUT_OF_SYNC ]
	run ! grep -rl canary-7d20 "$t/state" "$t/out" "$t/drift.err" "$t/exec" "$t/err"
	[ -z "$(ls "$t/state/work" 2>/dev/null)" ] || ! grep -rq canary-7d20 "$t/state/work"
}

@test "drift, host: the states that drift says read well in report -t" {
	echo other >"$t/root/site/current/index.html"
	drift
	pipecd-report -t <"$t/out" >"$t/text"
	grep -Eq '^[0-9TZ:-]+ site - OUT_OF_SYNC: ' "$t/text"
	grep -q 'index.html' "$t/text"
}
