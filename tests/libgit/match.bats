load ../lib/common

m() { "$TESTBIN/libgit/look" match "$@"; }
no() { ! m "$@"; }

@test "libgit: patterns that match a/b/c.txt, as PipeCD measured" {
	for p in a 'a/*' a/b/ ./a/b '**/c.txt' '**/b' 'a/**'; do m a/b/c.txt "$p"; done
}

@test "libgit: patterns that do not match a/b/c.txt, as PipeCD measured" {
	for p in '*.txt' b /a/b; do no a/b/c.txt "$p"; done
}

@test "libgit: an exclusion wins wherever it stands" {
	no a/b/c.txt '!a/b' a
	no a/b/c.txt a '!**/c.txt'
	m a/b/d.txt a '!**/c.txt'
	no a/b '!x'
}

@test "libgit: a star and a question mark stop at a slash" {
	m ab '?b'; no a/b 'a?b'; no a/b 'a*b'; m a/xb 'a/*b'; m ä/b '?/b'; no äö/b '?/b'
}

@test "libgit: a double star crosses slashes, and stands for nothing too" {
	m c '**/c'; m a/b/c '**/c'; m a/x/y/c 'a/**/c'; m a/c 'a/**/c'; no ac 'a/**/c'
	m a/b/c '**'; no b/c 'a/**'
}

@test "libgit: white space around, dots and doubled slashes do not matter" {
	m a/b ' a/b '; m a/b a//b; m a/b a/./b; m a/b a/x/../b; no a/b ''; no a/b ' '
}

@test "libgit: classes and escapes" {
	m a1 'a[0-9]'; no ax 'a[0-9]'; m ax 'a[^0-9]'; m 'a*' 'a\*'; no ab 'a\*'; m 'a[' 'a['
}

@test "libgit: a pattern made to be slow is not" {
	p=$(printf 'a*%.0s' $(seq 300)) s=$(printf 'a%.0s' $(seq 3000))
	no "${s}c" "${p}b"
	p=$(printf '**/%.0s' $(seq 300)) s=$(printf 'a/%.0s' $(seq 2000))
	no "${s}c" "${p}b"
}
