load ../lib/common
load ../lib/api

D=$BATS_FILE_TMPDIR/cp
setup_file() { api_setup "$D"; }
teardown_file() { api_end "$D"; }
setup() { api_again "$D"; }

@test "matrix: every method, every kind of caller, own and foreign things: only one's own is reached" {
	run bash -c 'pipecd-api -l | "$PEER" "$ROOT/tests/pipecd-api/matrix.py" "$1" "$2" "$3"' - "$API" "$D/state" "$D/keys.json"
	echo "$output"
	[ "$status" -eq 0 ]
	[[ "${lines[-1]}" == "$(grep -c '^METHOD' "$ROOT/src/pipecd-api/methods.def") methods, "*" calls, 0 wrong" ]]
}

@test "matrix: methods.def has every method of PipedService, APIService and of ours" {
	for s in pipedservice apiservice agent operator; do
		f=$ROOT/src/libmsg/service/$s.proto
		name=$(sed -n 's/^package \(.*\);/\1/p' "$f").$(sed -n 's/^service \([A-Za-z]*\).*/\1/p' "$f")
		[ "$(sed -n 's/^\trpc \([A-Za-z]*\)(.*/\1/p' "$f" | sort)" = "$(pipecd-api -l | awk -F'\t' -v s="$name" '$1 == s { print $2 }' | sort)" ]
	done
	[ "$(pipecd-api -l | grep -c 'pipedservice.PipedService')" -eq 36 ]
	[ "$(pipecd-api -l | grep -c 'apiservice.APIService')" -eq 23 ]
}
