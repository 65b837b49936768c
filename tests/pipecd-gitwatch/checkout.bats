load ../lib/common

setup_file() {
	openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$BATS_FILE_TMPDIR/private.pem" 2>/dev/null
	openssl pkey -in "$BATS_FILE_TMPDIR/private.pem" -pubout -out "$BATS_FILE_TMPDIR/public.pem"
}

setup() {
	T=$BATS_TEST_TMPDIR W=$T/work S=$T/state
	export XDG_RUNTIME_DIR=$T/run
	mkdir -m 700 "$T/run"
	repo_new "$W"
	app apps/web ''
	echo '#!/bin/sh' >"$W/apps/web/run.sh"; chmod +x "$W/apps/web/run.sh"
	ln -s run.sh "$W/apps/web/link"
	mkdir "$W/apps/web/sub"; echo deep >"$W/apps/web/sub/f"
	app apps/db ''
	echo base >"$W/base.txt"
	cat >"$T/piped.yaml" <<-Y
		apiVersion: pipecd.dev/v1beta1
		kind: Piped
		spec:
		  stateDir: $S
		  syncInterval: 1h
		  repositories:
		    - {repoId: r, remote: $W, branch: main}
		  secretManagement:
		    type: KEY_PAIR
		    config:
		      privateKeyFile: $BATS_FILE_TMPDIR/private.pem
		      publicKeyFile: $BATS_FILE_TMPDIR/public.pem
	Y
	chmod 600 "$BATS_FILE_TMPDIR/private.pem"
}

teardown() { co_stop; }

# app DIR SPEC-LINES
app() {
	mkdir -p "$W/$1"
	{
		printf 'apiVersion: pipecd.dev/v1beta1\nkind: Application\nspec:\n  name: %s\n' "${1##*/}"
		printf '%s' "$2"
	} >"$W/$1/app.pipecd.yaml"
}
# commit: and mirror it; prints the id
commit() { repo_commit "$W" change && pipecd-gitwatch -1 -f "$T/piped.yaml" >/dev/null; }

co_start() {
	[ -z "${CO:-}" ] || return 0
	mkfifo "$T/in" "$T/out"
	pipecd-gitwatch-checkout -f "$T/piped.yaml" <"$T/in" >"$T/out" 2>"$T/log" 3>&- & CO=$!
	exec {IN}>"$T/in" {OUT}<"$T/out"
}
co_stop() {
	[ -n "${CO:-}" ] || return 0
	exec {IN}>&- {OUT}<&-
	wait "$CO" 2>/dev/null || true
	CO=
}
# ask PATH COMMIT [EXTRA]: sets A (the answer), D (dir), R (root)
ask() {
	co_start
	frame checkout "\"id\":\"q1\",\"repo\":\"r\",\"commit\":\"$2\",\"path\":\"$1\",\"config_filename\":\"app.pipecd.yaml\",\"application_id\":\"a\"${3:+,$3}" >&"$IN"
	read -r -t 20 A <&"$OUT"
	D=$(jq -r .dir <<<"$A") R=$(jq -r .root <<<"$A")
	[ "$(jq -r .re <<<"$A")" = q1 ]
}
good() { ask "$@"; [ "$(jq -r .kind <<<"$A")" = ok ] || { echo "$A"; return 1; }; }
# refused TEXT PATH COMMIT [EXTRA]
refused() {
	local t=$1; shift
	ask "$@"
	[ "$(jq -r .kind <<<"$A")" = err ] && [[ "$(jq -r .text <<<"$A")" == *"$t"* ]] || { echo "$A"; return 1; }
	[ "$(jq -r .exit <<<"$A")" = "${EXIT:-100}" ]
}
seal() { printf '%s' "$1" | pipecd-gitwatch-checkout -e -k "$BATS_FILE_TMPDIR/public.pem"; }

@test "checkout: one application at one commit, with modes and links, and nothing else" {
	c=$(commit)
	good apps/web "$c"
	[ "$D" = "$R/apps/web" ]
	[ "$(cd "$R" && find . -not -type d | sort | tr '\n' ' ')" = "./apps/web/app.pipecd.yaml ./apps/web/link ./apps/web/run.sh ./apps/web/sub/f " ]
	[ "$(readlink "$D/link")" = run.sh ]
	[ "$(stat -c %a "$D/run.sh" "$D/sub/f" "$R" | tr '\n' ' ')" = "755 644 700 " ]
	cmp "$D/run.sh" "$W/apps/web/run.sh"
	echo new >"$W/apps/web/sub/f"; c2=$(commit)
	good apps/web "$c2"; [ "$(cat "$D/sub/f")" = new ]
	good apps/web "$c"; [ "$(cat "$D/sub/f")" = deep ]
}

@test "checkout: the application may be the repository's root" {
	app . ''
	c=$(commit)
	good . "$c"
	[ "$D" = "$R" ] && [ -e "$R/apps/db/app.pipecd.yaml" ]
	[ ! -e "$R/.git" ]
}

@test "checkout: a directory that is done with is removed, and all of them at the end" {
	c=$(commit)
	good apps/web "$c"; D1=$D
	good apps/web "$c"
	[ "$D1" != "$D" ]
	frame checkout_done "\"dir\":\"$D1\"" >&"$IN"
	until_true 10 test ! -e "$D1"
	[ -e "$D" ]
	co_stop
	[ ! -e "$R" ]
	[ -z "$(find "$T/run" "$S/work" -name 'c-*' 2>/dev/null)" ]
}

@test "checkout: what a killed one left is removed by the next" {
	c=$(commit)
	good apps/web "$c"; old=$R
	kill -9 "$CO"; co_stop
	[ -e "$old/apps/web/run.sh" ]
	rm -f "$T/in" "$T/out"
	good apps/web "$c"
	[ ! -e "$old" ] && [ -e "$R/apps/web/run.sh" ]
}

@test "checkout: who mentions a path above it gets the whole tree, which others share" {
	echo 'source = "../../base.txt"' >"$W/apps/web/main.tf"
	ln -s ../../base.txt "$W/apps/db/base"
	c=$(commit)
	good apps/web "$c"; R1=$R
	[ "$(cat "$D/../../base.txt")" = base ]
	good apps/db "$c"
	[ "$R" = "$R1" ] && [ "$(cat "$D/base")" = base ]
	frame checkout_done "\"dir\":\"$D\"" >&"$IN"
	good apps/db "$c"
	[ "$R" = "$R1" ] && [ -e "$D/base" ]
}

@test "checkout: sealed values are opened only when asked, and attachments placed after them" {
	app apps/web "  encryption:
    encryptedSecrets:
      password: $(seal 'hunter2
two')
    decryptionTargets: [conf.txt]
  attachment:
    sources: {banner: ../../base.txt, conf: conf.txt}
    targets: [page.txt]
"
	echo 'p={{ .encryptedSecrets.password | b64enc }}' >"$W/apps/web/conf.txt"
	echo '{{ .attachment.banner }}{{ .attachment.conf }}' >"$W/apps/web/page.txt"
	c=$(commit)
	good apps/web "$c" '"secrets":true'
	[ "$(cat "$D/conf.txt")" = "p=$(printf 'hunter2\ntwo' | base64)" ]
	[ "$(cat "$D/page.txt")" = "base
p=$(printf 'hunter2\ntwo' | base64)" ]
	S1=$D
	good apps/web "$c"
	grep -q encryptedSecrets.password "$D/conf.txt" && [ "$D" != "$S1" ]
	# and whoever shares the whole tree does not see them
	[ -z "$(grep -rl "$(printf 'hunter2\ntwo' | base64)" "$R")" ]
}

@test "checkout: mistakes with sealed values name the field, and never the value" {
	app apps/web "  encryption:
    encryptedSecrets: {password: $(seal hunter2)}
    decryptionTargets: [conf.txt]
"
	echo 'p={{ .encryptedSecrets.pasword }}' >"$W/apps/web/conf.txt"
	c=$(commit)
	refused 'encryption.decryptionTargets: conf.txt:1:6: there is no entry for key pasword' apps/web "$c" '"secrets":true'
	app apps/web "  encryption:
    encryptedSecrets: {password: AAAA}
    decryptionTargets: [conf.txt]
"
	c=$(commit)
	refused 'encryption.encryptedSecrets.password: is no sealed value' apps/web "$c" '"secrets":true'
	app apps/web "  encryption:
    encryptedSecrets: {password: $(seal hunter2)}
    decryptionTargets: [../db/app.pipecd.yaml]
"
	c=$(commit)
	refused "../db/app.pipecd.yaml: leaves the application's directory" apps/web "$c" '"secrets":true'
	app apps/web "  encryption:
    encryptedSecrets: {password: $(seal hunter2)}
    decryptionTargets: [link]
"
	c=$(commit)
	refused 'link: leaves its directory, or is a link' apps/web "$c" '"secrets":true'
	app apps/web "  attachment:
    sources: {x: ../../../etc/passwd}
    targets: [run.sh]
"
	c=$(commit)
	refused 'attachment.sources.x: ../../../etc/passwd: leaves the repository' apps/web "$c" '"secrets":true'
	! grep -r hunter2 "$T/log" "$S"
}

@test "checkout: links that are absolute, leave the repository, loop, dangle or lead into .git are refused by name" {
	good_app() { rm -f "$W/apps/web/bad"*; }
	declare -A bad=(
		[/etc/passwd]='is an absolute link: /etc/passwd'
		[../../../x]='is a link that leaves the repository'
		[bad]='is a link in a loop'
		[nothing]='is a link to nothing'
		[../../.git/config]='is a link into .git'
		[../../.GIT/config]='is a link into .GIT'
		[sub/f/x]='is a link to nothing'
		[/proc/self/environ]='is an absolute link'
	)
	for t in "${!bad[@]}"; do
		good_app; ln -s "$t" "$W/apps/web/bad"
		c=$(commit)
		refused "apps/web/bad: ${bad[$t]}" apps/web "$c"
		good apps/db "$c" # only the application with the link is refused
	done
}

@test "checkout: a link cannot climb out through another link" {
	# d is the root itself: d/../x is outside on disk, though not by its letters
	ln -s ../.. "$W/apps/web/d"
	ln -s d/../x "$W/apps/web/bad"
	echo x >"$W/apps/web/x"; echo x >"$W/x"
	c=$(commit)
	refused 'apps/web/bad: is a link that leaves the repository' apps/web "$c"
}

@test "checkout: a submodule is refused by name, one elsewhere is left out" {
	repo_commit "$W" first >/dev/null
	git -C "$W" -c protocol.file.allow=always submodule --quiet add "$W" apps/web/mod
	echo 'x ../../base.txt' >"$W/apps/db/f"
	c=$(commit)
	refused 'apps/web/mod: is a submodule: not supported' apps/web "$c"
	good apps/db "$c"
	[ -e "$R/apps/web/run.sh" ] && [ ! -e "$R/apps/web/mod" ]
}

@test "checkout: names that git would not write are refused" {
	c=$(commit)
	blob=$(echo x | git -C "$W" hash-object -w --stdin)
	for name in .git .GIT ..; do
		tree=$(printf '100644 %s\0' "$name" | { cat; printf '%s' "$blob" | xxd -r -p; } | git -C "$W" hash-object -t tree -w --literally --stdin)
		appt=$( { git -C "$W" ls-tree "$c:apps/web"; printf '040000 tree %s\tzz\n' "$tree"; } | git -C "$W" mktree)
		apps=$(printf '040000 tree %s\tweb\n' "$appt" | git -C "$W" mktree)
		top=$(printf '040000 tree %s\tapps\n' "$apps" | git -C "$W" mktree)
		bad=$(git -C "$W" commit-tree -p "$c" -m bad "$top")
		git -C "$W" update-ref refs/heads/main "$bad"
		pipecd-gitwatch -1 -f "$T/piped.yaml" >/dev/null
		refused "apps/web/zz/$name: no name for a file in git" apps/web "$bad"
	done
	[ ! -e "$T/run/.git" ]
}

@test "checkout: paths, repositories and commits that are none are refused" {
	c=$(commit)
	refused 'leaves the repository' ../x "$c"
	refused 'leaves the repository' /etc "$c"
	refused 'apps/nope: no such directory' apps/nope "$c"
	EXIT=111 refused 'is not in the mirror' apps/web 1111111111111111111111111111111111111111
	refused 'is no object id' apps/web main
}

@test "checkout: a frame that is none ends it with 100, naming line and field" {
	c=$(commit)
	run -100 pipecd-gitwatch-checkout -f "$T/piped.yaml" <<<'{"v":1,"kind":"checkout","repo":"r"}'
	[[ "$output" == *"stdin:1: checkout: field"* ]]
}

@test "checkout: once, into a directory, by a branch's name" {
	commit >/dev/null
	run -0 pipecd-gitwatch-checkout -1 -f "$T/piped.yaml" -r r -c main -p apps/web -d "$T/here"
	[ "$(jq -r .dir <<<"$output")" = "$T/here/apps/web" ]
	[ -x "$T/here/apps/web/run.sh" ]
	run -100 pipecd-gitwatch-checkout -1 -f "$T/piped.yaml" -r r -c main -p apps/web -d "$T/here"
	[[ "$output" == *"must be new or empty"* ]]
	[ -x "$T/here/apps/web/run.sh" ]
	run -100 pipecd-gitwatch-checkout -1 -f "$T/piped.yaml" -r r -c nope -p apps/web -d "$T/there"
	[[ "$output" == *"is no commit id and no branch"* ]]
}

@test "checkout: -e seals what -s opens" {
	run -0 pipecd-gitwatch-checkout -e -k "$BATS_FILE_TMPDIR/public.pem" < <(printf hello)
	[ "${#output}" -eq 372 ]
	run -100 pipecd-gitwatch-checkout -e -k "$T/none" </dev/null
	run -100 --separate-stderr pipecd-gitwatch-checkout -e </dev/null
	[ "$stderr" = "usage: $(sed -n '/SYNOPSIS/{n;s/^ \*	//p}' "$ROOT/src/pipecd-gitwatch/checkout/main.c")" ]
}

@test "checkout: a resident answers two hundred asks, each once" {
	for i in $(seq 8); do echo "$i" >"$W/apps/web/f$i"; done
	c=$(commit)
	good apps/web "$c"
	for i in $(seq 200); do
		frame checkout "\"id\":\"q1\",\"repo\":\"r\",\"commit\":\"$c\",\"path\":\"apps/web\",\"config_filename\":\"app.pipecd.yaml\",\"application_id\":\"a\""
	done >"$T/asks"
	pipecd-gitwatch-checkout -f "$T/piped.yaml" <"$T/asks" >"$T/answers"
	[ "$(grep -c '"ok"' "$T/answers")" -eq 200 ]
}
