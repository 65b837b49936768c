# A state directory that is full or broken: intake pauses, nothing is lost.
setup() {
	load ../lib/common
	load exec
	exec_new
	stages
}

teardown() {
	[ -z "${IN:-}" ] || exec {IN}>&- || true
	[ -z "${PID:-}" ] || kill "$PID" 2>/dev/null || true
	[ -z "${MOUNTED:-}" ] || umount -l "$STATE"
}

small() {
	mkdir -p "$STATE"
	mount -t tmpfs -o size=256k,mode=700 none "$STATE" 2>/dev/null || skip "cannot mount a small tmpfs"
	MOUNTED=1
}

@test "a full disk pauses intake, says so once, and recovers with nothing lost" {
	small
	stage a HOST_SYNC '{"do":"hold"}'
	exec_bg
	deployment d-1 app >&"$IN"
	until_true 10 grep -q d-1 "$T/count"
	dd if=/dev/zero of="$STATE/fill" bs=1k 2>/dev/null || true
	stages
	stage a HOST_SYNC '{"do":"ok"}'
	for i in $(seq 40); do deployment "e-$i" "app$i"; done >&"$IN"
	until_true 10 grep -q "no new deployment is taken" "$T/err"
	touch "$T/go" # the running stage ends while the disk is full
	sleep 1.5
	[ "$(grep -c "no new deployment is taken" "$T/err")" = 1 ]
	! said stage_done
	rm "$STATE/fill"
	until_true 20 said deployment '.deployment.id=="d-1" and .deployment.status=="SUCCESS"'
	exec_end
	grep -q "works again" "$T/err"
	for i in $(seq 40); do [ "$(status "e-$i")" = SUCCESS ]; done
	[ "$(sort "$T/count" | uniq -d | wc -l)" = 0 ]
	pipecd-exec -V "$STATE"/journal/[de]-*.ndjson
}

@test "a sync that fails is not believed: the record is written anew before it is said" {
	strace -qq -o /dev/null true 2>/dev/null || skip "strace may not trace here"
	stage a HOST_SYNC '{"do":"ok"}'
	deployment d-1 app >"$T/in1"
	ASAN_OPTIONS=detect_leaks=0 strace -qq -o /dev/null -e trace=fdatasync -e inject=fdatasync:error=EIO:when=2..3 \
		"$EXEC" -f "$CONF" <"$T/in1" >"$T/out" 2>"$T/err" 3>&-
	[ "$(status d-1)" = SUCCESS ]
	[ "$(counted d-1 a)" = 1 ]
	pipecd-exec -V "$STATE/journal/d-1.ndjson"
}

@test "no sync that fails is believed, of whatever kind: every end that was said is in the journal" {
	strace -qq -o /dev/null true 2>/dev/null || skip "strace may not trace here"
	stage a HOST_SYNC '{"do":"ok"}'
	for i in $(seq 12); do deployment "d-$i" "app$i"; done >"$T/in1"
	"$EXEC" -f "$CONF" </dev/null >"$T/out" # where it cannot start it says so, and 111
	ASAN_OPTIONS=detect_leaks=0 timeout 100 strace -qq -o "$T/trace" -e trace=fdatasync,fsync,syncfs \
		-e inject=fdatasync:error=EIO:when=1+3 -e inject=fsync:error=EIO:when=2+3 -e inject=syncfs:error=EIO:when=1+3 \
		"$EXEC" -f "$CONF" <"$T/in1" >"$T/out" 2>"$T/err" 3>&-
	grep -q INJECTED "$T/trace"
	for i in $(seq 12); do
		[ "$(status "d-$i")" = SUCCESS ]
		[ "$(counted "d-$i" a)" = 1 ]
		grep '"stage_done"' "$STATE/journal/d-$i.ndjson" | grep -q SUCCESS
	done
	pipecd-exec -V "$STATE"/journal/d-*.ndjson
}

@test "a disk that never syncs again starts no stage more, and says so" {
	strace -qq -o /dev/null true 2>/dev/null || skip "strace may not trace here"
	stage a HOST_SYNC '{"do":"ok"}'
	stage b HOST_SYNC '{"do":"ok"}'
	deployment d-1 app >"$T/in1"
	"$EXEC" -f "$CONF" </dev/null >"$T/out"
	ASAN_OPTIONS=detect_leaks=0 strace -qq -o /dev/null -e trace=fdatasync,fsync,syncfs \
		-e inject=fdatasync:error=EIO:when=2+ -e inject=fsync:error=EIO:when=2+ -e inject=syncfs:error=EIO:when=1+ \
		"$EXEC" -f "$CONF" <"$T/in1" >"$T/out" 2>"$T/err" 3>&- &
	PID=$!
	until_true 10 grep -q "no new deployment is taken" "$T/err"
	sleep 1.5 # it tries again, and again
	kill -9 "$(pgrep -P "$PID")"
	wait "$PID" || true
	PID=
	[ "$(grep -c "no new deployment is taken" "$T/err")" = 1 ]
	[ "$(counted d-1 b)" = 0 ]
	! said deployment '.deployment.status=="SUCCESS"'
	# What it had said before is there, and the next one ends it.
	n=$(jq -c 'select(.kind=="stage_done")' "$T/out" | wc -l)
	[ "$(grep -c '"stage_done"' "$STATE/journal/d-1.ndjson")" -ge "$n" ]
	until_true 10 "$EXEC" -f "$CONF" </dev/null >"$T/out" 2>"$T/err"
	[ "$(counted d-1 b)" = 1 ]
	pipecd-exec -V "$STATE/journal/d-1.ndjson"
}

@test "a write that fails half way is repeated at the same place" {
	strace -qq -o /dev/null true 2>/dev/null || skip "strace may not trace here"
	stage a HOST_SYNC '{"do":"ok"}'
	deployment d-1 app >"$T/in1"
	ASAN_OPTIONS=detect_leaks=0 strace -qq -o /dev/null -e trace=pwrite64 -e inject=pwrite64:error=ENOSPC:when=3..5 \
		"$EXEC" -f "$CONF" <"$T/in1" >"$T/out" 2>"$T/err" 3>&-
	[ "$(status d-1)" = SUCCESS ]
	[ "$(counted d-1 a)" = 1 ]
	grep -q "no new deployment is taken" "$T/err"
	pipecd-exec -V "$STATE/journal/d-1.ndjson"
}

@test "a state directory that is removed ends the stages and exec with 111, and all begins anew" {
	stage a HOST_SYNC '{"do":"deaf"}'
	deployment d-1 app >"$T/in1"
	exec_bg
	cat "$T/in1" >&"$IN"
	until_true 10 said stage_log
	old=$(jq -r 'select(.kind=="stage_process")|.pid' "$T/out")
	rm -rf "$STATE"
	(trap "" PIPE; deployment d-2 app2) >&"$IN" || : # it may have ended already
	wait "$PID" && rc=0 || rc=$?
	[ "$rc" = 111 ]
	grep -q "was removed under us" "$T/err"
	! kill -0 "$old" 2>/dev/null || { sleep 0.2; ! kill -0 "$old"; }
	touch "$T/go"
	timeout 20 "$EXEC" -f "$CONF" <"$T/in1" >"$T/out" 2>"$T/err"
	[ "$(status d-1)" = SUCCESS ]
	! grep -q OVERLAP "$T/count"
}
