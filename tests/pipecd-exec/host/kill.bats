load ../../lib/common
load ../../lib/platform

setup() {
	host_new "$BATS_TEST_TMPDIR" 1
	ASAN_OPTIONS=detect_leaks=0 # not under strace
}

# The oracle: current leads to a whole release of one of the two commits.
whole() {
	local to
	to=$(current web-1)
	to=${to#releases/}
	diff -r -x app.pipecd.yaml "$D/src/${to%%.*}" "$ROOTS/web-1/web/current" >/dev/null || { echo "torn: $to"; return 1; }
}

@test "killed at any system call, current leads to a whole release, and a repeat converges" {
	for i in $(seq 5); do head -c 5000 /dev/urandom >"$D/src/$C2/data$i"; done
	DEP=d1 host_stage HOST_SYNC $C1
	[ "$STATUS" = SUCCESS ]
	cp -a "$ROOTS/web-1" "$D/before"
	DEP=d2 start_frame HOST_SYNC $C2 $C1 >"$D/start.json"
	DEP=d2 start_frame HOST_ROLLBACK $C2 $C1 >"$D/back.json"
	# What the stage does to the disk, killed before each of its calls.
	calls=mkdir,mkdirat,openat,write,fchmod,fdatasync,fsync,rename,renameat2,symlink,symlinkat,unlink,unlinkat
	strace -f -o "$D/trace" -e trace=$calls pipecd-exec-host -f "$CONF" stage <"$D/start.json" >/dev/null
	kills=0
	while read -r n call; do
		for ((k = 1; k <= n; k++)); do
			rm -rf "$ROOTS/web-1" && cp -a "$D/before" "$ROOTS/web-1"
			strace -f -o /dev/null -e trace="$call" -e inject="$call:signal=KILL:when=$k" \
				pipecd-exec-host -f "$CONF" stage <"$D/start.json" >/dev/null 2>&1 || kills=$((kills + 1))
			whole || { echo "after kill at $call $k"; return 1; }
			if [ $((k % 2)) -eq 0 ]; then
				pipecd-exec-host -f "$CONF" stage <"$D/start.json" >/dev/null
				[ "$(current web-1)" = releases/$C2 ]
				# Temporaries are gone once a stage ran to its end there.
				[ -z "$(ls -A "$ROOTS/web-1/web/releases" | grep tmp)" ]
			else
				pipecd-exec-host -f "$CONF" stage <"$D/back.json" >/dev/null
				[ "$(current web-1)" = releases/$C1 ]
			fi
			whole || { echo "after repeat of $call $k"; return 1; }
		done
	done < <(sed -n 's/^[0-9]* *\([a-z0-9]*\)(.*/\1/p' "$D/trace" | sort | uniq -c)
	[ "$kills" -gt 60 ]
	echo "# $kills kills" >&3
}

@test "killed while current is repaired in place, it stays whole" {
	for i in $(seq 5); do head -c 5000 /dev/urandom >"$D/src/$C1/data$i"; done
	DEP=d1 host_stage HOST_SYNC $C1
	DEP=d2 start_frame HOST_SYNC $C1 $C1 >"$D/start.json"
	for call in renameat2 unlinkat unlink symlink rename; do
		for k in 1 2 3; do
			echo edited >"$ROOTS/web-1/web/current/index.html"
			strace -f -o /dev/null -e trace=$call -e inject=$call:signal=KILL:when=$k \
				pipecd-exec-host -f "$CONF" stage <"$D/start.json" >/dev/null 2>&1 || true
			# The edited tree or the right one, never a part of either.
			[ -x "$ROOTS/web-1/web/current/bin/run" ]
			cmp "$D/src/$C1/data5" "$ROOTS/web-1/web/current/data5"
			pipecd-exec-host -f "$CONF" stage <"$D/start.json" >/dev/null
			whole
		done
	done
}

@test "a failing system call anywhere ends in FAILURE with a reason, and current stays whole" {
	DEP=d1 host_stage HOST_SYNC $C1
	cp -a "$ROOTS/web-1" "$D/before"
	DEP=d2 start_frame HOST_SYNC $C2 $C1 >"$D/start.json"
	for call in mkdir mkdirat fchmod fdatasync fsync rename renameat2 symlink symlinkat; do
		for err in ENOSPC EIO EROFS; do
			for k in 1 2; do
				rm -rf "$ROOTS/web-1" && cp -a "$D/before" "$ROOTS/web-1"
				strace -f -o /dev/null -e trace=$call -e inject=$call:error=$err:when=$k \
					pipecd-exec-host -f "$CONF" stage <"$D/start.json" >"$D/out" 2>/dev/null || true
				whole || { echo "$call $err $k"; return 1; }
				s=$(jq -r 'select(.kind=="stage_done").status' "$D/out")
				[ "$s" = FAILURE ] || [ "$s" = SUCCESS ] || { echo "$call $err $k: $s"; return 1; }
			done
		done
	done
}
