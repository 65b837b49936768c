# make demo, as a script runs it.
setup() { load ../lib/common; }

@test "demo: the story is told to its end, and leaves nothing behind" {
	export TMPDIR=$BATS_TEST_TMPDIR
	run env ONCE=1 BIN="$BIN" "$ROOT/share/demo/run" 3>&-
	[ "$status" -eq 0 ] || { echo "$output"; return 1; }
	[[ "${lines[*]}" == *"demo: done in "* ]]
	# A machine that does other things too; alone it is a third of that.
	[[ "$output" =~ demo:\ done\ in\ ([0-9]+)\ s ]]
	[ "${BASH_REMATCH[1]}" -lt 60 ]
	[ -z "$(ls "$TMPDIR")" ]
	run ! pgrep -f "$TMPDIR/pipecd-demo"
}
