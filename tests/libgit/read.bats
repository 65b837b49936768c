load ../lib/common

setup() {
	L=$TESTBIN/libgit/look R=$BATS_TEST_TMPDIR/repo
	repo_new "$R"
	mkdir -p "$R/apps/web/deep" "$R/apps/db"
	echo 'kind: Application' >"$R/apps/web/app.pipecd.yaml"
	echo deep >"$R/apps/web/deep/x.pipecd.yaml"
	echo db >"$R/apps/db/readme"
	ln -s ../db/readme "$R/apps/web/link"
	C1=$(repo_commit "$R" 'first
with a body')
}

@test "libgit: a branch's head, or 0 when there is none" {
	run -0 "$L" head "$R" main
	[ "${lines[0]}" = "$C1" ] && [ "${lines[1]}" = "= 1" ]
	run -0 "$L" head "$R" other
	[ "$output" = "= 0" ]
}

@test "libgit: a repository that is not there is no error" {
	run -0 "$L" head "$BATS_TEST_TMPDIR/nothing" main
	[ "$output" = "absent" ]
}

@test "libgit: an empty repository has no head" {
	repo_new "$BATS_TEST_TMPDIR/empty"
	run -0 "$L" head "$BATS_TEST_TMPDIR/empty" main
	[ "$output" = "= 0" ]
}

@test "libgit: a name that is no branch name is an error" {
	run -100 "$L" head "$R" 'a..b'
	[[ "$output" == *"is no branch name"* ]]
}

@test "libgit: a commit has message, author and time" {
	run -0 "$L" commit "$R" "$C1"
	[[ "${lines[0]}" == "$C1 dev "[0-9]*" first" ]]
	[ "${lines[1]}" = "with a body" ]
	run -0 "$L" commit "$R" 1111111111111111111111111111111111111111
	[ "$output" = "= 0" ]
	run -100 "$L" commit "$R" xyz
	[[ "$output" == *"no object id"* ]]
}

@test "libgit: the ids of paths are git's own" {
	run -0 "$L" id "$R" "$C1" apps/web
	[ "${lines[0]}" = "$(git -C "$R" rev-parse "$C1:apps/web")" ]
	run -0 "$L" id "$R" "$C1" .
	[ "${lines[0]}" = "$(git -C "$R" rev-parse "$C1^{tree}")" ]
	run -0 "$L" id "$R" "$C1" apps/nope
	[ "$output" = "= 0" ]
}

@test "libgit: a file is read at a commit, a link is not followed, a large one refused" {
	run -0 "$L" file "$R" "$C1" apps/web/app.pipecd.yaml
	[ "${lines[0]}" = "kind: Application" ]
	run -0 "$L" file "$R" "$C1" apps/web/none
	[ "$output" = "= 0" ]
	run -100 "$L" file "$R" "$C1" apps/web/link
	[[ "$output" == *"apps/web/link: is a symbolic link"* ]]
	run -100 "$L" file "$R" "$C1" apps
	[[ "$output" == *"apps: is no file"* ]]
	head -c 1001 /dev/zero >"$R/big"
	c=$(repo_commit "$R" big)
	run -100 "$L" file "$R" "$c" big
	[[ "$output" == *"big: 1001 bytes, more than 1000 allowed"* ]]
}

@test "libgit: the diff of two commits names old and new paths" {
	git -C "$R" mv apps/db/readme apps/db/README
	echo more >>"$R/apps/web/app.pipecd.yaml"
	c=$(repo_commit "$R" second)
	run -0 "$L" changed "$R" "$C1" "$c"
	[ "$(sort <<<"${output%$'\n'*}")" = $'apps/db/README\napps/db/readme\napps/web/app.pipecd.yaml' ]
	run -111 "$L" changed "$R" 1111111111111111111111111111111111111111 "$c"
	[[ "$output" == *"commit 11111111 is not in the mirror"*"history rewritten?"* ]]
}

@test "libgit: walk finds files by their base name, below a directory too, and stops when told" {
	run -0 "$L" walk "$R" "$C1" .
	[ "${lines[0]%% *}" = apps/web/app.pipecd.yaml ]
	[ "${lines[1]%% *}" = apps/web/deep/x.pipecd.yaml ]
	[ "${lines[2]}" = "= 0" ]
	run -0 "$L" walk "$R" "$C1" apps/web/deep
	[ "${lines[0]%% *}" = apps/web/deep/x.pipecd.yaml ] && [ "${#lines[@]}" -eq 2 ]
	run -0 "$L" all "$R" "$C1" apps/db
	[ "${lines[0]%% *}" = apps/db/readme ]
	run -0 "$L" walk "$R" "$C1" nowhere
	[ "$output" = "= 0" ]
	run -1 "$L" walk "$R" "$C1" . 1
	[[ "$output" == *enough* ]]
}

@test "libgit: ancestors" {
	c=$(repo_commit "$R" second)
	run -0 "$L" ancestor "$R" "$C1" "$c"; [ "$output" = "= 1" ]
	run -0 "$L" ancestor "$R" "$c" "$C1"; [ "$output" = "= 0" ]
	run -0 "$L" ancestor "$R" "$c" "$c"; [ "$output" = "= 1" ]
	run -0 "$L" ancestor "$R" 1111111111111111111111111111111111111111 "$c"; [ "$output" = "= 0" ]
}
