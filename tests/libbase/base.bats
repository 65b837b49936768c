setup() {
	load ../lib/common
	base=$TESTBIN/libbase/base
	cd "$BATS_TEST_TMPDIR"
}

@test "base: a path is cleaned by its letters, and one that leaves the root is refused" {
	[ "$($base clean a/./b//c/)" = a/b/c ]
	[ "$($base clean a/../b)" = b ]
	[ "$($base clean .)" = . ]
	[ "$($base clean a/..)" = . ]
	run -1 $base clean ../a
	run -1 $base clean a/../../b
	run -1 $base clean /etc
}

@test "base: open_beneath follows no link out of its directory" {
	mkdir -p root/in; echo x >root/in/file; echo secret >outside
	ln -s ../outside root/leak; ln -s in/file root/fine; ln -s /etc/passwd root/abs
	[ "$($base beneath root in/file)" = opened ]
	[ "$($base beneath root fine)" = opened ]
	run -1 $base beneath root leak; [ "$output" = "Invalid cross-device link" ]
	run -1 $base beneath root abs
	run -1 $base beneath root ../outside
	run -1 $base beneath root fine nolinks; [ "$output" = "Too many levels of symbolic links" ]
}

@test "base: a map holds what was put, not what was deleted" {
	[ "$($base map 10000)" = "8333 8333" ]
	[ "$($base map 0)" = "0 0" ]
}

@test "base: child_run gives in, out, err and the exit code" {
	[ "$($base run 5000 100 sh -c 'cat; echo oops >&2; exit 3')" = "$(printf '3 out=to stdin\n err=oops\n')" ]
}

@test "base: child_run kills what takes too long, with its children" {
	run -0 $base run 100 100 sh -c 'sleep 300 & echo $! >pid; wait'
	[[ "$output" == *"not done after 100 ms"* ]]
	until_true 5 eval '! kill -0 $(cat pid) 2>/dev/null'
}

@test "base: child_run stops at too much output" {
	run -0 $base run 5000 1000 sh -c 'yes'
	[[ "$output" == -1*"wrote more than 1000 bytes"* ]]
}

@test "base: a program that is not there is an error of the start" {
	run -0 $base run 5000 100 ./nothing
	[[ "$output" == *"start ./nothing: No such file or directory"* ]]
}

@test "base: a child has the descriptors it was given and no other" {
	[ "$($base fds | tr '\n' ' ')" = "0 1 2 3 6 " ]	# 3 is ls reading the folder
}

@test "base: a file is replaced whole, and one larger than allowed is an error" {
	[ "$($base write f hello)" = hello ]
	run -100 $base write f 'longer than ten'
	[[ "$output" == *"larger than 10 bytes"* ]]
	[ "$(cat f)" = 'longer than ten' ]
	[ "$(ls)" = f ]
}

@test "base: a tree is removed with its links, not what they point to" {
	mkdir -p t/a/b keep; touch keep/file; ln -s ../keep t/link; chmod 000 t/a/b
	$base remove t
	[ ! -e t ]
	[ -e keep/file ]
	$base remove t
}

@test "base: a log line cannot drive a terminal" {
	run -0 $base log "$(printf 'a\033[31mb\nc')"
	[[ "$output" == *"warn: id a?[31mb?c" ]]
}
