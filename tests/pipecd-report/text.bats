# pipecd-report -t, plain lines.  golden/*.in are frames, golden/*.ok what they
# look like; GOLDEN=1 writes the latter anew.
load ../lib/common

golden() {	# NAME
	pipecd-report -t <"$BATS_TEST_DIRNAME/golden/$1.in" >"$BATS_TEST_TMPDIR/out"
	[ -z "${GOLDEN:-}" ] || cp "$BATS_TEST_TMPDIR/out" "$BATS_TEST_DIRNAME/golden/$1.ok"
	diff -u "$BATS_TEST_DIRNAME/golden/$1.ok" "$BATS_TEST_TMPDIR/out"
}

@test "report -t: three deployments are told line by line, each status once, and summed up" {
	golden three
	grep -qx '3 deployments: 2 SUCCESS, 1 FAILURE' "$BATS_TEST_TMPDIR/out"
	[ "$(grep -c ' SUCCESS in ' "$BATS_TEST_TMPDIR/out")" -eq 3 ]
	grep -q 'api 5b1d0001 a person is needed: ' "$BATS_TEST_TMPDIR/out"
}

@test "report -t: drift, wrong configurations, held and waiting deployments are shown, repeats are not" {
	golden notes
	grep -q 'site - OUT_OF_SYNC on web-1: 1 file differs' "$BATS_TEST_TMPDIR/out"
	[ "$(grep -c ' SYNCED' "$BATS_TEST_TMPDIR/out")" -eq 1 ]
	grep -q 'pipecd-report -c approve 3f9c2a7e ' "$BATS_TEST_TMPDIR/out"
}

@test "report -t: nothing that a stranger wrote reaches the terminal as a command" {
	golden hostile
	run ! grep -qP '[\x00-\x08\x0b-\x1f\x7f]' "$BATS_TEST_TMPDIR/out"
	run ! env LC_ALL=C.UTF-8 grep -qP '[\x{80}-\x{9f}\x{200b}-\x{200f}\x{2028}-\x{202e}\x{2066}-\x{2069}\x{feff}\x{e0000}-\x{e007f}]' "$BATS_TEST_TMPDIR/out"
	run ! grep -q '^2026' "$BATS_TEST_TMPDIR/out"
}

@test "report -t: no input is an empty story" {
	run -0 pipecd-report -t </dev/null
	[ "$output" = "0 deployments" ]
}

@test "report -t: a line that is no frame names itself and ends it with 100" {
	{ frame head '"repo":"web","branch":"main","commit":"c0ffee12","seen_at":1'; echo '{"v":1,"kind":"head"}'; } >"$BATS_TEST_TMPDIR/in"
	run -100 --separate-stderr pipecd-report -t <"$BATS_TEST_TMPDIR/in"
	[[ "$stderr" == *"stdin:2: head: "* ]]
	[[ "$output" == *"repository web branch main is at c0ffee1"* ]]
	run -100 --separate-stderr pipecd-report -t <<<'no json'
	[[ "$stderr" == *"stdin:1: "* ]]
	run -100 --separate-stderr pipecd-report -t <<<$'{"v":1,"kind":"err","exit":1,"text":"\xff\xfe"}'
	[[ "$stderr" == *"stdin:1: "* ]]
}

@test "report -t: a last line that was cut off ends it with 111" {
	run -111 --separate-stderr pipecd-report -t < <(printf '{"v":1,"kind":"head","repo":"we')
	[[ "$stderr" == *"stdin:1: "*"cut off"* ]]
}

@test "report -t: a line over 1 MiB is refused and not kept" {
	head -c 3000000 /dev/zero | tr '\0' a >"$BATS_TEST_TMPDIR/long"
	run -100 --separate-stderr pipecd-report -t <"$BATS_TEST_TMPDIR/long"
	[[ "$stderr" == *"stdin:1: a line of more than "* ]]
}

@test "report -t: what has been said is not held back until the end" {
	mkfifo "$BATS_TEST_TMPDIR/in"
	pipecd-report -t <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out" 3>&- &
	exec 5>"$BATS_TEST_TMPDIR/in"
	head -n 3 "$BATS_TEST_DIRNAME/golden/three.in" >&5
	until_true 20 grep -q 'site 3f9c2a7e PENDING' "$BATS_TEST_TMPDIR/out"
	exec 5>&-
	wait $!
}

@test "report -t: colours and redraws are not for a file, whatever TERM says" {
	TERM=xterm-256color pipecd-report -t <"$BATS_TEST_DIRNAME/golden/three.in" >"$BATS_TEST_TMPDIR/out"
	run ! grep -q $'\033' "$BATS_TEST_TMPDIR/out"
}

@test "report, summary, drift: the usage line is the manual's synopsis" {
	for who in pipecd-report pipecd-report-summary:pipecd-report/summary pipecd-drift; do
		run -100 --separate-stderr "${who%:*}" -x
		[ "${stderr_lines[-1]}" = "usage: $(sed -n '/SYNOPSIS/{n;s/^ \*	//p}' "$ROOT/src/${who#*:}/main.c")" ] || { echo "$who: $stderr"; false; }
	done
}

@test "report: without -t or with a stray argument it says how it is used" {
	run -100 --separate-stderr pipecd-report
	[[ "$stderr" == "usage: pipecd-report "* ]]
	run -100 pipecd-report -t file
}

@test "report -t: what is held is called by its application's name" {
	frame held '"application_id":"4d0c5a6e","application_name":"site","reason":"too much goes","confirm":"say so"' | pipecd-report -t >"$BATS_TEST_TMPDIR/out"
	grep -q 'site.*HELD: too much goes' "$BATS_TEST_TMPDIR/out"
}
