# D1: the disk is full.  Reads go on, writes are refused, it recovers by itself.
setup() {
	load ../lib/common
	load ../lib/store
	store_conf
	[ "$(id -u)" -eq 0 ] || skip "mounting a small file system needs root"
	mkdir -p "$STATE"
	mount -t tmpfs -o size=8m,mode=700 none "$STATE" || skip "no mount here"
}
teardown() {
	store_stop || true
	umount -l "$STATE" 2>/dev/null || true
}
note() { printf 'create note {"id":"%s","project_id":"p1","text":"%0200000d"}' "$1" 0; }
fill() { dd if=/dev/zero of="$STATE/ballast" bs=4k 2>/dev/null || true; }

@test "a full disk: reads go on, writes are refused and say why, and are taken again when there is room" {
	store_start
	for i in {1..5}; do note "n$i"; echo; done >"$BATS_TEST_TMPDIR/in"
	echo 'log d s 0 1 3' >>"$BATS_TEST_TMPDIR/in"
	timeout 60 "$TESTBIN/libstore/ask" "$STATE" <"$BATS_TEST_TMPDIR/in" | cut -c1-2 | sort -u >"$BATS_TEST_TMPDIR/out"
	[ "$(cat "$BATS_TEST_TMPDIR/out")" = OK ]
	fill
	for i in {6..20}; do note "n$i"; echo; done >"$BATS_TEST_TMPDIR/in"
	printf '%s\n' 'log d s 0 4 3 end' 'oput live/x some' 'list note project_id=p1 limit=1' 'logread d s 0 0' 'get note n6' >>"$BATS_TEST_TMPDIR/in"
	timeout 60 "$TESTBIN/libstore/ask" "$STATE" <"$BATS_TEST_TMPDIR/in" | cut -c1-200 >"$BATS_TEST_TMPDIR/out"
	mapfile -t lines <"$BATS_TEST_TMPDIR/out"
	grep -q '^RESOURCE_EXHAUSTED.*No space left on device' "$BATS_TEST_TMPDIR/out"
	[[ ${lines[16]} = RESOURCE_EXHAUSTED* ]]
	[[ ${lines[17]} = OK* && ${lines[18]} = "OK 1:line-1"* ]]
	# Each note is there as it was answered.
	for i in {6..20}; do
		want=${lines[i - 6]%% *}
		[ "$want" = OK ] || want=NOT_FOUND
		[[ $(ask "get note n$i" | cut -c1-20) = $want* ]]
	done
	rm "$STATE/ballast"
	run -0 ask 'create note {"id":"after"}' 'oput live/x some' 'log d s 0 4 3 end' 'logread d s 0 0'
	[[ ${lines[0]} = OK* && ${lines[1]} = OK && ${lines[2]} =~ ^(OK|FAILED) ]]
	[[ ${lines[3]} = *"6:line-6 completed" ]]
	until_true 20 sh -c "ls $STATE/objects/log/*/*/0.ndjson"
	store_stop
	run -0 pipecd-store -f "$CONF" -V
}

@test "a disk that is full when a store starts: it reads, and says why it cannot write" {
	store_start
	ask 'create note {"id":"n"}' >/dev/null
	store_stop
	fill
	store_start
	run -0 ask 'get note n'
	[[ $output = OK* ]]
	run -0 ask "$(note big)"
	[[ $output = RESOURCE_EXHAUSTED* ]]
	rm "$STATE/ballast"
	[ "$(ask "$(note big)" | cut -c1-2)" = OK ]
}

@test "loading onto a full disk loads nothing, and says so" {
	store_start
	store_stop
	fill
	for i in {1..50}; do printf '{"id":"n%d","text":"%0100000d"}\n' "$i" 0; done >"$BATS_TEST_TMPDIR/notes"
	run -111 pipecd-store -f "$CONF" -l note <"$BATS_TEST_TMPDIR/notes"
	[[ $output = *"No space left on device"* ]]
	rm "$STATE/ballast"
	[ -z "$(pipecd-store -f "$CONF" -d note)" ]
}
