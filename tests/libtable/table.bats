setup() { load ../lib/common; }
table() { "$TESTBIN/libtable/table" "$BATS_TEST_TMPDIR/t" "$@"; }

@test "tables: any list by any filters, either way, page by page, is what a brute force finds" {
	for seed in 1 3 5 7; do
		run -0 table list $seed 300
		rm -r "$BATS_TEST_TMPDIR/t"
	done
}

@test "tables: the same where pages end early, because much was looked at" {
	for seed in 2 4; do
		run -0 table list $seed 200
		rm -r "$BATS_TEST_TMPDIR/t"
	done
}

@test "tables: a map that is full grows, and a second process goes on reading" {
	run -0 table grow
	[ "${lines[0]}" = "the reader sees 20010" ]
	[ "${lines[1]}" = "20010 records, 20010 verified" ]
}

@test "tables: other rows are indexed anew by who may, and said by who only reads" {
	run -0 table upgrade
	[[ ${lines[0]} = *"written by an older pipecd-store: start the control plane once"* ]]
	[ "${lines[1]}" = "500 verified" ]
}

@test "tables: a store of a newer schema is refused before anything is touched" {
	run -0 table newer
	[[ $output = "100 "*"written by a newer pipecd-store (schema 99, this one knows 1)"* ]]
}

@test "tables: the slot of a killed reader is freed, that of a living one is not" {
	run -0 table readers
	[ "$output" = "1 freed" ]
}

@test "tables: verify finds a missing index entry, and one that belongs to nobody" {
	run -0 table damage
	[[ ${lines[0]} = *"an index entry is missing" ]]
	[[ ${lines[-1]} = *"index entries that belong to no record" ]]
}
