# The first thing that anybody sees, on a machine that has no terraform.
setup() { load ../lib/common; }

@test "demo: it tells its story where there is no terraform, and leaves nothing behind" {
	[[ $BIN != */san/* ]] || return 0 # its story has a pace
	mkdir "$BATS_TEST_TMPDIR/bin" "$BATS_TEST_TMPDIR/tmp"
	for f in /usr/local/bin/* /usr/sbin/* /usr/bin/*; do
		case ${f##*/} in terraform | tofu) ;; *) ln -sf "$f" "$BATS_TEST_TMPDIR/bin/" ;; esac
	done
	ONCE=1 PATH=$BATS_TEST_TMPDIR/bin TMPDIR=$BATS_TEST_TMPDIR/tmp run -0 timeout 200 "$ROOT/share/demo/run"
	[[ "$output" == *"its application is left out"* ]]
	[[ "$output" == *" deployments: "*"1 FAILURE"* ]]
	[ -z "$(ls "$BATS_TEST_TMPDIR/tmp")" ]
}
