load ../lib/common
load ../lib/gitserver

setup() {
	T=$BATS_TEST_TMPDIR W=$T/work S=$T/state
	repo_new "$W"
	echo one >"$W/f"
	C1=$(repo_commit "$W" one)
}

teardown() { gw_stop; servers_stop; }

# conf INTERVAL GIT-LINES REPO...: piped.yaml; REPO is "id remote [branch]"
conf() {
	local interval=$1 git=$2 r; shift 2
	{
		echo 'apiVersion: pipecd.dev/v1beta1'
		echo 'kind: Piped'
		echo 'spec:'
		echo "  stateDir: $S"
		echo "  syncInterval: $interval"
		[ -z "$git" ] || printf '  git:\n%s\n' "$git"
		echo '  repositories:'
		for r; do
			set -- $r
			echo "    - {repoId: $1, remote: $2${3:+, branch: $3}}"
		done
	} >"$T/piped.yaml"
}

# gw_start: frames go to $T/out, the log to $T/log, nudges through fd $IN
gw_start() {
	mkfifo "$T/in"
	pipecd-gitwatch -v -f "$T/piped.yaml" <"$T/in" >"$T/out" 2>"$T/log" 3>&- & GW=$!
	exec {IN}>"$T/in"
}
gw_stop() {
	[ -n "${GW:-}" ] || return 0
	kill "$GW" 2>/dev/null || true
	wait "$GW" 2>/dev/null || true
	GW=
}
heads() { jq -r "select(.repo==\"$1\").commit" "$T/out" 2>/dev/null; }
said() { heads "$1" | grep -q "$2"; }

@test "gitwatch: -1 says each branch's head and exits 0" {
	git -C "$W" checkout -q -b dev; C2=$(repo_commit "$W" two)
	conf 1m '' "a $W main" "b file://$W dev"
	run -0 --separate-stderr pipecd-gitwatch -1 -f "$T/piped.yaml"
	[ "$(jq -c '[.v,.kind,.repo,.branch,.commit]' <<<"$output" | sort)" = "[1,\"head\",\"a\",\"main\",\"$C1\"]
[1,\"head\",\"b\",\"dev\",\"$C2\"]" ]
	[ -z "$stderr" ]
	git -C "$S/mirror/a.git" fsck --full --strict
	[ "$(stat -c %a "$S")" = 700 ]
}

@test "gitwatch: -1 says the good heads, logs the bad one, and exits 111" {
	repo_new "$T/empty"
	conf 1m '' "a $W main" "b $T/nowhere main" "c $W gone" "d $T/empty main"
	run -111 --separate-stderr pipecd-gitwatch -1 -f "$T/piped.yaml"
	[ "$(jq -r .repo <<<"$output")" = a ]
	[[ "$stderr" == *"repo b fetch error="*nowhere* ]]
	[[ "$stderr" == *"repo c fetch error=\"$W: has no branch gone\""* ]]
	[[ "$stderr" == *"repo d fetch error=\"$T/empty: has no branch main\""* ]]
	[[ "$stderr" == *"3 of 4 repositories failed"* ]]
}

@test "gitwatch: an id that is no name for a directory is refused, and one that is there twice" {
	for id in '../x' '.git' 'a/b' '-f'; do
		conf 1m '' "$id $W main"
		run -100 pipecd-gitwatch -1 -f "$T/piped.yaml"
		[[ "$output" == *"$id"* ]]
	done
	conf 1m '' "a $W main" "a $W dev"
	run -100 pipecd-gitwatch -1 -f "$T/piped.yaml"
	[ ! -e "$T/x.git" ]
}

@test "gitwatch: a push to a repository on this machine is said at once, however long the interval" {
	git clone -q --bare "$W" "$T/bare.git"
	conf 1h '' "a $T/bare.git main"
	gw_start
	until_true 10 said a "$C1"
	all=()
	for i in $(seq 15); do
		echo "$i" >"$W/f"; c=$(repo_commit "$W" "c$i")
		git -C "$T/bare.git" fetch -q "$W" main
		python3 - "$T/bare.git" "$c" "$T/out" <<-'P' >"$T/ms"
			import os, sys, time
			repo, commit, out = sys.argv[1:]
			size = os.path.getsize(out)
			with open(repo + "/refs/heads/main.lock", "w") as f:
			    f.write(commit + "\n")
			t = time.monotonic()
			os.rename(repo + "/refs/heads/main.lock", repo + "/refs/heads/main")
			while os.path.getsize(out) == size:
			    if time.monotonic() - t > 5: sys.exit("never said")
			    time.sleep(0.0002)
			print("%.1f" % ((time.monotonic() - t) * 1000))
		P
		all+=("$(cat "$T/ms")")
	done
	said a "$c"
	[ "${#all[@]}" -eq 15 ]
}

@test "gitwatch: packed refs, a new branch directory and a deleted branch are noticed" {
	conf 1h '' "a $W rel/v1" "b $W main"
	gw_start
	until_true 10 said b "$C1"
	until_true 10 grep -q 'repo a fetch error=.*has no branch rel/v1' "$T/log"
	git -C "$W" branch rel/v1
	until_true 10 said a "$C1"
	git -C "$W" pack-refs --all
	C2=$(repo_commit "$W" two)
	until_true 10 said b "$C2"
	git -C "$W" branch -D -q rel/v1
	until_true 10 grep -q 'repo a fetch error=.*has no branch rel/v1.*keeping=' "$T/log"
	[ "$(git -C "$S/mirror/a.git" rev-parse rel/v1)" = "$C1" ]
	git -C "$W" branch rel/v1 main
	until_true 10 said a "$C2"
	grep -q 'repo a fetch is well again' "$T/log"
}

@test "gitwatch: a forced push is said as one, and the old commit is kept" {
	C2=$(repo_commit "$W" two)
	conf 1h '' "a $W main"
	gw_start
	until_true 10 said a "$C2"
	git -C "$W" commit -q --amend --allow-empty -m three; C3=$(git -C "$W" rev-parse HEAD)
	until_true 10 said a "$C3"
	[ "$(jq -r .forced "$T/out")" = $'null\ntrue' ]
	grep -q "branch main was forced from=${C2:0:8} to=${C3:0:8}" "$T/log"
	git -C "$S/mirror/a.git" cat-file -e "$C2"
	gw_stop
	git -C "$W" commit -q --amend --allow-empty -m four
	run -0 --separate-stderr pipecd-gitwatch -1 -f "$T/piped.yaml"
	[ "$(jq -r .forced <<<"$output")" = true ] # across a restart too
}

@test "gitwatch: a head is repeated each interval" {
	conf 1s '' "a $W main"
	gw_start
	n() { [ "$(heads a | wc -l)" -ge 3 ]; }
	until_true 10 n
}

@test "gitwatch: a mirror that was thrown away comes back" {
	conf 1s '' "a $W main"
	gw_start
	until_true 10 said a "$C1"
	rm -rf "$S/mirror/a.git"
	back() { [ "$(git -C "$S/mirror/a.git" rev-parse -q --verify main 2>/dev/null)" = "$C1" ]; }
	until_true 10 back
	rm -rf "$S/mirror"
	wait "$GW" || [ "$?" -eq 111 ]
	grep -q "$S/mirror: has been replaced: to be started anew" "$T/log"
	run -0 pipecd-gitwatch -1 -f "$T/piped.yaml"
	back
}

@test "gitwatch: a repository on this machine that is made anew has it started anew" {
	conf 1s '' "a $W main" "b $T/later main"
	gw_start
	until_true 10 said a "$C1"
	until_true 10 grep -q 'repo b fetch error' "$T/log"
	git clone -q "$W" "$T/later"
	wait "$GW" || [ "$?" -eq 111 ]
	grep -q "repo b: $T/later: has been made anew: to be started anew" "$T/log"
	run -0 pipecd-gitwatch -1 -f "$T/piped.yaml"
}

@test "gitwatch: a host's name is found in the sandbox" {
	git clone -q --bare "$W" "$T/web.git"
	http_start A "$T"
	conf 1h '' "a ${A_URL/127.0.0.1/localhost}/plain/web.git main"
	run -0 pipecd-gitwatch -1 -f "$T/piped.yaml"
	[[ "$output" == *"$C1"* ]]
}

@test "gitwatch: a nudge has a remote looked at now, a storm of them once a second" {
	git clone -q --bare "$W" "$T/web.git"
	http_start A "$T"
	conf 1h '' "a $A_URL/plain/web.git main"
	gw_start
	until_true 10 said a "$C1"
	C2=$(repo_commit "$W" two); git -C "$W" push -q "$T/web.git" main
	frame nudge '"repo":"a"' >&"$IN"
	until_true 10 said a "$C2"
	n=$(wc -l <"$T/A.log")
	for i in $(seq 500); do frame nudge '"repo":"a"'; done >&"$IN"
	frame nudge '"repo":"nobody"' >&"$IN"
	until_true 10 grep -q 'nudge for no repository of ours repo=nobody' "$T/log"
	[ "$(wc -l <"$T/A.log")" -le $((n + 4)) ]
}

@test "gitwatch: a slow server delays no other, and its fetch is ended with us" {
	git clone -q --bare "$W" "$T/web.git"
	http_start A "$T"
	conf 1h '' "slow $A_URL/slow/web.git main" "a $A_URL/plain/web.git main" "b $W main"
	gw_start
	until_true 10 said a "$C1"
	until_true 10 said b "$C1"
	until_true 10 grep -q slow "$T/A.log"
	C2=$(repo_commit "$W" two)
	until_true 10 said b "$C2"
	kids=$(pgrep -P "$GW")
	[ -n "$kids" ]
	gw_stop
	for k in $kids; do ! kill -0 "$k" 2>/dev/null; done
}

@test "gitwatch: a server that says nothing, trickles or takes too long is given up, by name" {
	git clone -q --bare "$W" "$T/web.git"
	http_start A "$T"
	conf 1h $'    stallTimeout: 1s' "a $A_URL/mute/web.git main" "b $A_URL/slow/web.git main" "c $A_URL/plain/web.git main"
	run -111 --separate-stderr pipecd-gitwatch -1 -f "$T/piped.yaml"
	[ "$(jq -r .repo <<<"$output")" = c ]
	for r in mute slow; do
		[[ "$stderr" == *"$A_URL/$r/web.git: brought nothing for 1s: gave up (spec.git.stallTimeout)"* ]]
	done
	conf 1h $'    fetchTimeout: 1s' "a $A_URL/mute/web.git main" "c $A_URL/plain/web.git main"
	run -111 --separate-stderr pipecd-gitwatch -1 -f "$T/piped.yaml"
	[ "$(jq -r .repo <<<"$output")" = c ]
	[[ "$stderr" == *"$A_URL/mute/web.git: took more than 1s: gave up (spec.git.fetchTimeout)"* ]]
}

@test "gitwatch: https with an authority of one's own; one that is not trusted is said once, and spared" {
	git clone -q --bare "$W" "$T/web.git"
	tls_new
	tls_start A "$T" localhost
	conf 1s "    caFile: $TLS/ca.pem" "a $A_URL/plain/web.git main"
	run -0 --separate-stderr pipecd-gitwatch -1 -f "$T/piped.yaml"
	[ "$(jq -r .commit <<<"$output")" = "$C1" ]
	rm -rf "$S"
	conf 1s '' "a $A_URL/plain/web.git main"
	SSL_CERT_FILE=$TLS/ca.pem run -0 --separate-stderr pipecd-gitwatch -1 -f "$T/piped.yaml"
	[ "$(jq -r .commit <<<"$output")" = "$C1" ]
	gw_start
	again() { [ "$(grep -c 'debug: - repo a fetch error' "$T/log")" -ge 1 ]; }
	until_true 20 again
	[ "$(grep -c 'warn: - repo a fetch error.*certificate' "$T/log")" -eq 1 ]
}

@test "gitwatch: a failing server is said once, spared, and said once when it is well" {
	git clone -q --bare "$W" "$T/web.git"
	http_start A "$T"
	conf 1s '' "a $A_URL/plain/later.git main"
	gw_start
	again() { [ "$(grep -c 'debug: - repo a fetch error' "$T/log")" -ge 2 ]; }
	until_true 20 again
	[ "$(grep -c 'warn: - repo a fetch error' "$T/log")" -eq 1 ]
	mv "$T/web.git" "$T/later.git"
	until_true 20 said a "$C1"
	[ "$(grep -c 'repo a fetch is well again' "$T/log")" -eq 1 ]
}

@test "gitwatch: credentials come from files and from base64, and are shown nowhere" {
	git clone -q --bare "$W" "$T/web.git"
	http_start A "$T"
	echo s3cret >"$T/pw"; chmod 600 "$T/pw"
	conf 1m "    username: dev
    passwordFile: $T/pw" "a $A_URL/auth/web.git main"
	run -0 pipecd-gitwatch -1 -v -f "$T/piped.yaml"
	[[ "$output" == *"$C1"* ]] && [[ "$output" != *s3cret* ]]
	conf 1m "    username: dev
    password: $(printf s3cret | base64)" "a $A_URL/auth/web.git main"
	run -0 pipecd-gitwatch -1 -v -f "$T/piped.yaml"
	conf 1m '' "a ${A_URL/127/dev:s3cret@127}/auth/web.git main"
	run -0 pipecd-gitwatch -1 -v -f "$T/piped.yaml"
	[[ "$output" == *"$A_URL/auth/web.git"* ]] && [[ "$output" != *s3cret* ]]
	conf 1m '' "a ${A_URL/127/dev:canary1@127}/auth/web.git main"
	run -111 pipecd-gitwatch -1 -v -f "$T/piped.yaml"
	[[ "$output" == *"refuses the user name and password"* ]] && [[ "$output" != *canary1* ]]
	! grep -r s3cret "$S"
}

@test "gitwatch: ssh with the key in the config, and an unknown host refused" {
	git clone -q --bare "$W" "$T/web.git"
	ssh_start
	conf 1m "    sshKeyData: $(base64 -w0 "$SSH_KEY")
    knownHostsFile: $SSH_HOSTS" "a ssh://127.0.0.1:$SSH_PORT$T/web.git main"
	run -0 pipecd-gitwatch -1 -f "$T/piped.yaml"
	[[ "$output" == *"$C1"* ]]
	conf 1m "    sshKeyFile: $SSH_KEY
    knownHostsFile: $T/none" "a ssh://127.0.0.1:$SSH_PORT$T/web.git main"
	touch "$T/none"
	run -111 pipecd-gitwatch -1 -f "$T/piped.yaml"
	[[ "$output" == *"Host key verification failed"* ]]
}

@test "gitwatch: one fetch per repository and interval, whatever is in it" {
	git clone -q --bare "$W" "$T/web.git"
	http_start A "$T"
	conf 1h '' "a $A_URL/plain/web.git main"
	run -0 pipecd-gitwatch -1 -f "$T/piped.yaml"
	[ "$(grep -c GET "$T/A.log")" -eq 1 ]
}

@test "gitwatch: killed at any instant, the next run converges" {
	for i in $(seq 30); do head -c 2000 /dev/urandom >"$W/big$i"; done
	C2=$(repo_commit "$W" big)
	conf 1m '' "a $W main"
	for i in $(seq -w 1 40); do
		rm -rf "$S/mirror"
		timeout -s KILL "0.0$i" pipecd-gitwatch -1 -f "$T/piped.yaml" >/dev/null 2>&1 || true
		run -0 pipecd-gitwatch -1 -f "$T/piped.yaml"
		[[ "$output" == *"$C2"* ]]
		git -C "$S/mirror/a.git" fsck --full --no-progress >/dev/null
	done
}

@test "gitwatch: -n prints what counts for us, and refuses a bad file with 1" {
	conf 1m '' "a $W main"
	run -0 pipecd-gitwatch -n -f "$T/piped.yaml"
	[[ "$output" == *"repoId: "*a* ]]
	echo '  nope: [' >>"$T/piped.yaml"
	run -1 pipecd-gitwatch -n -f "$T/piped.yaml"
	run -100 pipecd-gitwatch -n -f "$T/none.yaml"
	[ ! -e "$S" ]
}

@test "gitwatch: as a daemon it is ready, sends to the bus and stops on SIGTERM" {
	conf 1h '' "a $W main"
	mkdir -m 700 "$T/bus"
	mkfifo "$T/ready"
	PIPECD_READY=1 pipecd-gitwatch -b "$T/bus" -f "$T/piped.yaml" 4>"$T/ready" 2>"$T/log" 3>&- & GW=$!
	read -r -t 10 _ <"$T/ready"
	[ -S "$T/bus/gitwatch.report/tell" ]
	kill "$GW"; wait "$GW"
	[ -e "$S/mirror/a.git/refs/heads/main" ]
	GW=
}
