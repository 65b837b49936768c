# The power fails: the disk of the state directory and of the deploy targets as
# it was anywhere in a deployment (powercut.py says how).
setup() {
	load ../lib/common
	[ -c /dev/fuse ] && [ -e /dev/loop-control ] && [ "$(id -u)" -eq 0 ] || skip "no root, /dev/fuse and loop devices here"
	mkdir "$BATS_TEST_TMPDIR/cut"
}
teardown() {
	local d=$BATS_TEST_TMPDIR/cut l
	umount "$d/disk" 2>/dev/null || true
	for l in $(losetup -n -O NAME,BACK-FILE | awk -v d="$d/" 'index($2, d) == 1 { print $1 }'); do losetup -d "$l"; done
	umount "$d/device" 2>/dev/null || true
}

@test "power cut: what was said is on the disk, and a canary that goes through ends as it would have" {
	timeout 200 python3 "$BATS_TEST_DIRNAME/powercut.py" "$BATS_TEST_TMPDIR/cut" good 24
}

@test "power cut: the same of a canary that fails and rolls back" {
	timeout 200 python3 "$BATS_TEST_DIRNAME/powercut.py" "$BATS_TEST_TMPDIR/cut" bad 16
}
