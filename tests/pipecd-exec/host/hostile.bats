load ../../lib/common
load ../../lib/platform

setup() { host_new "$BATS_TEST_TMPDIR" 1; }

refused() { # what the reason must hold
	[ "$STATUS" = FAILURE ] || { echo "$DONE"; return 1; }
	[[ "$REASON" == *"$1"* ]] || { echo "$REASON"; return 1; }
}

@test "an application name that is no directory name is refused, saying why" {
	APP=../up host_stage HOST_SYNC $C1
	refused "begins with a dot"
	APP=a/b host_stage HOST_SYNC $C1
	refused "holds a '/'"
	APP=.hidden host_stage HOST_SYNC $C1
	refused "begins with a dot"
	APP=$(printf 'x%.0s' $(seq 201)) host_stage HOST_SYNC $C1
	refused "longer than 200 bytes"
	APP=$'a\tb' host_stage HOST_SYNC $C1
	refused "control character"
	APP= start_frame HOST_SYNC $C1 '' '.deployment.application_name=""' >"$D/start.json"
	[ -z "$(ls "$ROOTS/web-1")" ]
}

@test "a second application of the same name on a target is refused" {
	host_stage HOST_SYNC $C1
	host_stage HOST_SYNC $C1 "" '.deployment.git_path.path="elsewhere/web"'
	refused "belongs to another application of this name"
	[ "$(current web-1)" = releases/$C1 ]
}

@test "links inside the release are kept, those that leave it are refused" {
	ln -s ../index.html "$D/src/$C1/bin/home"
	ln -s nowhere "$D/src/$C1/dangling"
	host_stage HOST_SYNC $C1
	[ "$STATUS" = SUCCESS ]
	[ "$(readlink "$ROOTS/web-1/web/current/bin/home")" = ../index.html ]
	[ "$(cat "$ROOTS/web-1/web/current/bin/home")" = "page of $C1" ]
	for bad in /etc/passwd ../../../../etc/passwd ../..; do
		ln -sfn "$bad" "$D/src/$C2/bin/bad"
		host_stage HOST_SYNC $C2 $C1
		refused "leaves the release"
		[ "$(current web-1)" = releases/$C1 ]
		[ "$(ls -A "$ROOTS/web-1/web/releases")" = $C1 ]
	done
}

@test "a link that leaves the release by way of another link is refused" {
	ln -s . "$D/src/$C1/here"
	ln -s here/../../x "$D/src/$C1/out"
	host_stage HOST_SYNC $C1
	refused "leaves the release"
}

@test "what is neither file, directory nor link is refused" {
	mkfifo "$D/src/$C1/pipe"
	host_stage HOST_SYNC $C1
	refused "pipe: neither a file, a directory nor a link"
}

@test "odd but legal file names arrive as they are" {
	touch "$D/src/$C1/"$'a\nb' "$D/src/$C1/"$'caf\xe9' "$D/src/$C1/ -rf *" "$D/src/$C1/"'$(x)'
	host_stage HOST_SYNC $C1
	[ "$STATUS" = SUCCESS ]
	[ -e "$ROOTS/web-1/web/current/"$'a\nb' ] && [ -e "$ROOTS/web-1/web/current/"$'caf\xe9' ]
	host_live $C1
	[ "$STATUS" = SYNCED ]
}

@test "a current that is no symlink is left alone and refused" {
	mkdir -p "$ROOTS/web-1/web/current"
	echo mine >"$ROOTS/web-1/web/current/file"
	host_stage HOST_SYNC $C1
	refused "is not a symlink of ours"
	[ "$(cat "$ROOTS/web-1/web/current/file")" = mine ]
}

@test "a desired set that is empty, or lost more than pruneLimit, is held" {
	for i in 1 2 3 4 5 6; do echo $i >"$D/src/$C1/f$i"; done
	host_stage HOST_SYNC $C1
	[ "$STATUS" = SUCCESS ]
	host_stage HOST_SYNC $C2 $C1
	refused "held: web-1: commit 2222222 takes away 6 of 8 files"
	[ "$(jq -c 'select(.kind=="held").objects' <<<"$output")" = '["f1","f2","f3","f4","f5","f6"]' ]
	[ "$(current web-1)" = releases/$C1 ]
	rm -r "$D/src/$C2"/*
	host_stage HOST_SYNC $C2 $C1
	refused "takes away 8 of 8 files"
}

@test "patterns that match nothing at a first deployment, or leave the directory, are refused" {
	INPUT='{"files":["dist/**"]}' host_stage HOST_SYNC $C1
	refused "plugins.host.input.files: no file of commit 1111111 matches"
	[ ! -e "$ROOTS/web-1/web/current" ]
	INPUT='{"files":["../other/**"]}' host_stage HOST_SYNC $C1
	refused 'files[0]: "../other/**" leaves the application'"'s directory"
}

@test "spec.confirm in the commit's own config lets a loss through" {
	for i in 1 2 3 4 5 6; do echo $i >"$D/src/$C1/f$i"; done
	host_stage HOST_SYNC $C1
	echo '  confirm: true' >>"$D/src/$C2/app.pipecd.yaml"
	host_stage HOST_SYNC $C2 $C1
	[ "$STATUS" = SUCCESS ]
	[ ! -e "$ROOTS/web-1/web/current/f1" ]
}

@test "a full disk fails the stage, and current stays" {
	[ "$(id -u)" -eq 0 ] || skip "needs root, to mount a small tmpfs"
	unshare -m true 2>/dev/null || skip "needs mount namespaces"
	host_stage HOST_SYNC $C1
	head -c 3000000 /dev/urandom >"$D/src/$C2/big"
	start_frame HOST_SYNC $C1 >"$D/one.json"
	start_frame HOST_SYNC $C2 $C1 >"$D/two.json"
	rm -rf "$ROOTS/web-1"/*
	unshare -m sh -c '
		mount -t tmpfs -o size=1m none "$1/web-1" || exit 77
		pipecd-exec-host -f "$2" stage <"$3/one.json" >/dev/null || exit 1
		pipecd-exec-host -f "$2" stage <"$3/two.json" >"$3/out"
		readlink "$1/web-1/web/current"; cat "$1/web-1/web/current/index.html"
		ls -A "$1/web-1/web/releases"' sh "$ROOTS" "$CONF" "$D" >"$D/seen"
	[ "$(cat "$D/seen")" = "releases/$C1
page of $C1
$C1" ]
	[[ "$(jq -r 'select(.kind=="stage_done").reason' "$D/out")" == *"No space left on device"* ]]
}

@test "output that is not UTF-8, endless, or full of escapes does no harm" {
	INPUT='{"activate":"printf \"\\\\377\\\\033[31mred\\\\n\"; head -c 20000000 /dev/zero | tr \"\\\\0\" x; echo; yes | head -n 200000; exit 1"}' host_stage HOST_SYNC $C1
	refused "activate failed, exit 1"
	jq -e . <<<"$output" >/dev/null
	[ "${#output}" -lt 20000000 ]
}

@test "a stage without targets, of no name, or for an unknown target is refused" {
	TARGETS= host_stage HOST_SYNC $C1
	refused "no deploy target"
	host_stage K8S_SYNC $C1
	refused "K8S_SYNC: no stage of this platform"
	TARGETS='"web-9"' host_stage HOST_SYNC $C1
	refused "deploy target web-9 is not among"
}

@test "what is no frame, or the wrong one, ends with 100 and a line that says so" {
	run -100 --separate-stderr pipecd-exec-host -f "$CONF" stage <<<'{"v":1,"kind":"stage_start"}'
	[[ "$stderr" == *"stdin:1: stage_start"* ]]
	run -100 --separate-stderr pipecd-exec-host -f "$CONF" stage </dev/null
	[[ "$stderr" == *"no stage_start frame"* ]]
	run -100 --separate-stderr pipecd-exec-host -f "$CONF" fly </dev/null
	[[ "$stderr" == *"fly: no such verb"* ]]
}

@test "a root that is missing is refused, saying what to do, and is not made" {
	rmdir "$ROOTS/web-1"
	host_stage HOST_SYNC $C1
	refused "deploy target web-1: its root $ROOTS/web-1 does not exist: make the directory, or mount what belongs there"
	[ ! -e "$ROOTS/web-1" ]
	[ "$(jq .untouched <<<"$DONE")" = true ]
	mkdir "$ROOTS/web-1"
	host_stage HOST_SYNC $C1
	[ "$STATUS" = SUCCESS ]
	[ "$(jq '.untouched == true' <<<"$DONE")" = false ]
}
