load ../lib/common
load ../lib/gitserver

setup() {
	L=$TESTBIN/libgit/look T=$BATS_TEST_TMPDIR
	W=$T/work M=$T/mirror.git
	repo_new "$W"
	for i in 1 2 3; do mkdir -p "$W/d$i"; echo "$i" >"$W/d$i/f"; done
	C1=$(repo_commit "$W" one)
	mkdir "$T/root"
	git clone -q --bare "$W" "$T/root/web.git"
}

teardown() { servers_stop; }

push() { git -C "$W" push -q "$T/root/web.git" HEAD:main; }

@test "libgit: a mirror appears whole, and git finds nothing wrong with it" {
	run -0 "$L" mirror "$M" fetch "$W" main
	[ "${lines[0]}" = "main $C1" ]
	git -C "$M" fsck --full --strict
	[ "$(git -C "$M" rev-parse refs/heads/main)" = "$C1" ]
	[ "$(git -C "$M" config core.bare)" = true ]
}

@test "libgit: without a branch the remote's HEAD is followed" {
	git -C "$W" checkout -q -b release/v1
	c=$(repo_commit "$W" two)
	run -0 "$L" mirror "$M" fetch "$W" ''
	[ "${lines[0]}" = "release/v1 $c" ]
	run -0 "$L" mirror "$T/m2" copy "$W" '' 600
	[ "${lines[0]}" = "release/v1 $c" ]
	git -C "$W" checkout -q --detach
	run -100 "$L" mirror "$M" copy "$W" '' 600
	[[ "$output" == *"HEAD is on no branch: name one in \`branch\`"* ]]
}

@test "libgit: a small change of a repository on this machine is copied object by object" {
	run -0 "$L" mirror "$M" copy "$W" main 600
	echo new >"$W/d2/f"; c=$(repo_commit "$W" two)
	run -0 "$L" mirror "$M" copy "$W" main 4
	[ "${lines[0]}" = "main $c" ] && [ "${lines[1]}" = "= 1" ]
	git -C "$M" fsck --full --strict
	[ "$(git -C "$M" rev-parse main)" = "$c" ]
}

@test "libgit: too large a change is not copied, and what was begun does no harm" {
	run -0 "$L" mirror "$M" copy "$W" main 5
	[ "${lines[1]}" = "= 0" ]
	! git -C "$M" rev-parse -q --verify refs/heads/main
	run -0 "$L" mirror "$M" fetch "$W" main
	git -C "$M" fsck --full --strict
}

@test "libgit: a shallow clone is refused by name" {
	repo_commit "$W" two
	git clone -q --depth 1 "file://$W" "$T/shallow"
	run -100 "$L" mirror "$M" copy "$T/shallow" main 600
	[[ "$output" == *"is a shallow clone; run git fetch --unshallow there"* ]]
}

@test "libgit: many packs and loose objects become one pack, and nothing is lost" {
	for i in $(seq 8); do
		echo "$i" >"$W/d1/f"; c=$(repo_commit "$W" "c$i")
		run -0 "$L" mirror "$M" fetch "$W" main
	done
	echo x >"$W/d1/f"; git -C "$W" commit -q --amend -am forced; c2=$(git -C "$W" rev-parse HEAD)
	run -0 "$L" mirror "$M" copy "$W" main 600
	[ "$(find "$M/objects/pack" -name '*.pack' | wc -l)" -eq 8 ]
	run -0 "$L" mirror "$M" tidy 20 2000
	[ "$output" = "= 0" ]
	run -0 "$L" mirror "$M" tidy 5 2000
	[ "$output" = "= 1" ]
	[ "$(find "$M/objects/pack" -name '*.pack' | wc -l)" -eq 1 ]
	[ "$(find "$M/objects" -type f ! -path '*/pack/*' | wc -l)" -eq 0 ]
	git -C "$M" fsck --full --strict
	git -C "$M" cat-file -e "$c" # forced away, may still run
	git -C "$M" cat-file -e "$c2"
}

@test "libgit: what a killed writer left is removed" {
	run -0 "$L" mirror "$M" fetch "$W" main
	touch "$M/objects/pack/pack_git2_abc" "$M/objects/pack/tmp_pack_x" "$M/objects/tmp_object_git2_y" \
		"$M/refs/heads/main.lock" "$M/packed-refs.lock" "$M/config.lock"
	mkdir "$T/.mirror.git.new"
	c=$(repo_commit "$W" two)
	run -0 "$L" mirror "$M" fetch "$W" main
	[ "${lines[0]}" = "main $c" ]
	[ -z "$(find "$M" -name '*.lock' -o -name '*git2*' -o -name 'tmp_*')" ]
}

@test "libgit: a mirror that is no repository any more is made anew" {
	mkdir "$M"; echo junk >"$M/HEAD"
	run -0 "$L" mirror "$M" fetch "$W" main
	git -C "$M" fsck --full
	run -0 "$L" mirror "$M" check "$C1"; [ "$output" = "= 1" ]
	find "$M/objects/pack" -type f -delete
	run -0 "$L" mirror "$M" check "$C1"; [ "$output" = "= 0" ]
}

@test "libgit: a second writer waits for the first" {
	run -0 "$L" mirror "$M" fetch "$W" main
	exec {fd}<>"$T/.mirror.git.lock"; flock "$fd"
	c=$(repo_commit "$W" two)
	"$L" mirror "$M" fetch "$W" main >"$T/out" 3>&- &
	[ "$(git -C "$M" rev-parse main)" = "$C1" ]
	flock -u "$fd"
	wait $!
	[ "$(git -C "$M" rev-parse main)" = "$c" ]
}

@test "libgit: a killed fetch converges, wherever it was killed" {
	for i in $(seq 40); do head -c 3000 /dev/urandom >"$W/big$i"; done
	c=$(repo_commit "$W" big)
	for i in $(seq -w 1 40); do
		rm -rf "$M"
		timeout -s KILL "0.0$i" "$L" mirror "$M" fetch "$W" main >/dev/null 2>&1 || true
		"$L" mirror "$M" fetch "$W" main >/dev/null
		[ "$(git -C "$M" rev-parse main)" = "$c" ]
		git -C "$M" fsck --full --no-progress >/dev/null
	done
}

@test "libgit: http, the second time only what is new" {
	http_start A "$T/root"
	run -0 "$L" mirror "$M" fetch "$A_URL/plain/web.git" main
	[ "${lines[0]}" = "main $C1" ]
	echo new >"$W/d2/f"; c=$(repo_commit "$W" two); push
	run -0 "$L" mirror "$M" fetch "$A_URL/plain/web.git" main
	[ "${lines[0]}" = "main $c" ]
	git -C "$M" fsck --full --strict
	n=$(grep -c POST "$T/A.log")
	run -0 "$L" mirror "$M" fetch "$A_URL/plain/web.git" main
	[ "$(grep -c POST "$T/A.log")" -eq "$n" ]
}

@test "libgit: http with a password; a wrong one and none are named, not shown" {
	http_start A "$T/root"
	run -0 "$L" mirror "$M" fetch "$A_URL/auth/web.git" main user=dev password=s3cret
	[ "${lines[0]}" = "main $C1" ]
	run -111 "$L" mirror "$M" fetch "$A_URL/auth/web.git" main user=dev password=wr0ng
	[[ "$output" == *"refuses the user name and password in spec.git"* ]]
	[[ "$output" != *wr0ng* ]]
	run -111 "$L" mirror "$M" fetch "$A_URL/auth/web.git" main
	[[ "$output" == *"wants a user name and password"* ]]
}

@test "libgit: a redirect to another host never gets the password" {
	http_start B "$T/root"
	http_start A "$T/root" "${B_URL/127.0.0.1/localhost}"
	run -111 "$L" mirror "$M" fetch "$A_URL/redir/web.git" main user=dev password=s3cret
	[[ "$output" == *"redirects to another host, which must not get the credentials"* ]]
	run -111 "$L" mirror "$M" fetch "${A_URL/127/dev:s3cret@127}/redir/web.git" main
	[[ "$output" != *s3cret* ]]
	[ ! -s "$T/B.log" ]
	run -0 "$L" mirror "$M" fetch "$A_URL/redirplain/web.git" main
	! grep ' auth$' "$T/B.log"
}

@test "libgit: a server's 503, 429 and a closed port are errors that name it" {
	http_start A "$T/root"
	run -111 "$L" mirror "$M" fetch "$A_URL/500/web.git" main
	[[ "$output" == *"$A_URL/500/web.git: "*503* ]]
	run -111 "$L" mirror "$M" fetch "$A_URL/429/web.git" main
	[[ "$output" == *429* ]]
	run -111 "$L" mirror "$M" fetch "http://user:hunter2@127.0.0.1:1/web.git" main
	[[ "$output" == *"http://127.0.0.1:1/web.git: "* ]] && [[ "$output" != *hunter2* ]]
}

@test "libgit: https with an authority of one's own, by file or by the environment" {
	tls_new
	tls_start A "$T/root" localhost
	run -0 "$L" mirror "$M" fetch "$A_URL/plain/web.git" main ca="$TLS/ca.pem"
	[ "${lines[0]}" = "main $C1" ]
	git -C "$M" fsck --full --strict
	run -0 "$L" mirror "$T/m2" fetch "$A_URL/auth/web.git" main user=dev password=s3cret ca="$TLS/ca.pem"
	[ "${lines[0]}" = "main $C1" ]
	SSL_CERT_FILE=$TLS/ca.pem run -0 "$L" mirror "$T/m3" fetch "$A_URL/plain/web.git" main
	[ "${lines[0]}" = "main $C1" ]
}

@test "libgit: https to whom nobody vouches, of another name, or out of date is refused, and gets nothing" {
	tls_new
	tls_start A "$T/root" localhost
	run -111 "$L" mirror "$M" fetch "$A_URL/auth/web.git" main user=dev password=s3cret
	[[ "$output" == *"$A_URL/auth/web.git: "*certificate* ]]
	tls_start B "$T/root" git.example.com
	run -111 "$L" mirror "$M" fetch "$B_URL/auth/web.git" main user=dev password=s3cret ca="$TLS/ca.pem"
	[[ "$output" == *"$B_URL/auth/web.git: "*certificate* ]] || [[ "$output" == *"hostname"* ]]
	tls_start C "$T/root" localhost -1
	run -111 "$L" mirror "$M" fetch "$C_URL/auth/web.git" main user=dev password=s3cret ca="$TLS/ca.pem"
	[[ "$output" == *"$C_URL/auth/web.git: "*certificate* ]]
	run -111 "$L" mirror "$M" fetch "$A_URL/plain/web.git" main ca="$T/none.pem"
	[[ "$output" == *"spec.git.caFile: $T/none.pem: "* ]]
	cat "$T"/[ABC].log 2>/dev/null | grep . && return 1
	return 0
}

@test "libgit: https does not follow to another host or to http with credentials" {
	tls_new
	http_start B "$T/root"
	tls_start A "$T/root" localhost 2 "${B_URL/127.0.0.1/localhost}"
	run -111 "$L" mirror "$M" fetch "$A_URL/redir/web.git" main user=dev password=s3cret ca="$TLS/ca.pem"
	[[ "$output" == *"redirects to another host, which must not get the credentials"* ]]
	[ ! -s "$T/B.log" ]
	tls_start C "$T/root" localhost 2 "${A_URL/localhost/127.0.0.1}"
	run -111 "$L" mirror "$M" fetch "$C_URL/redir/web.git" main user=dev password=s3cret ca="$TLS/ca.pem"
	[[ "$output" == *"redirects to another host"* ]]
	! grep ' auth$' "$T/A.log" | grep -v /redir/
}

@test "libgit: ssh with an ed25519 key from a file or from memory" {
	ssh_start
	run -0 "$L" mirror "$M" fetch "ssh://127.0.0.1:$SSH_PORT$T/root/web.git" main key="$SSH_KEY" hosts="$SSH_HOSTS"
	[ "${lines[0]}" = "main $C1" ]
	echo new >"$W/d2/f"; c=$(repo_commit "$W" two); push
	run -0 "$L" mirror "$M" fetch "ssh://127.0.0.1:$SSH_PORT$T/root/web.git" main keydata="$(cat "$SSH_KEY")" hosts="$SSH_HOSTS"
	[ "${lines[0]}" = "main $c" ]
	git -C "$M" fsck --full --strict
}

@test "libgit: ssh with an RSA key, which libssh2 could not" {
	ssh_start "$T" rsa
	run -0 "$L" mirror "$M" fetch "ssh://127.0.0.1:$SSH_PORT$T/root/web.git" main key="$SSH_KEY" hosts="$SSH_HOSTS"
	[ "${lines[0]}" = "main $C1" ]
}

@test "libgit: an ssh host whose key is unknown or another is refused" {
	ssh_start
	run -111 "$L" mirror "$M" fetch "ssh://127.0.0.1:$SSH_PORT$T/root/web.git" main key="$SSH_KEY" hosts=/dev/null
	[[ "$output" == *"ssh: "*"Host key verification failed."* ]]
	ssh-keygen -q -t ed25519 -N '' -f "$T/otherkey"
	printf '[127.0.0.1]:%s %s\n' "$SSH_PORT" "$(cut -d' ' -f1,2 "$T/otherkey.pub")" >"$T/hosts"
	run -111 "$L" mirror "$M" fetch "ssh://127.0.0.1:$SSH_PORT$T/root/web.git" main key="$SSH_KEY" hosts="$T/hosts"
	[[ "$output" == *"ssh: "*"Host key verification failed."* ]]
	run -111 "$L" mirror "$M" fetch "ssh://127.0.0.1:$SSH_PORT$T/root/none.git" main key="$SSH_KEY" hosts="$SSH_HOSTS"
	[[ "$output" == *"does not appear to be a git repository"* ]]
}

@test "libgit: an ssh remote cannot smuggle an option or a command" {
	run -111 "$L" mirror "$M" fetch "ssh://-oProxyCommand=touch%20$T/pwned/x" main
	run -111 "$L" mirror "$M" fetch "-oProxyCommand=touch $T/pwned:x" main
	[ ! -e "$T/pwned" ]
	ssh_start
	run -111 "$L" mirror "$M" fetch "ssh://127.0.0.1:$SSH_PORT/x'; touch $T/pwned; '" main key="$SSH_KEY" hosts="$SSH_HOSTS"
	[ ! -e "$T/pwned" ]
}
