# Killed anywhere: a restart goes on with the first stage that is not done.
setup() {
	load ../lib/common
	load exec
	exec_new
	stages
}

runs() {
	local rc=0
	timeout 60 "$EXEC" -f "$CONF" <"${2:-$T/in1}" >>"$T/out" 2>>"$T/err" 3>&- || rc=$?
	[ "$rc" -eq "$1" ] || { echo "exit $rc, not $1"; cat "$T/err"; return 1; }
}

# start_held: a deployment whose second stage runs; PID is exec's
start_held() {
	stage a HOST_SYNC '{"do":"ok"}'
	stage b HOST_SYNC "{\"do\":\"${1:-hold}\"}"
	stage rb HOST_ROLLBACK '{"do":"ok"}'
	deployment d-1 app >"$T/in1"
	exec_bg
	cat "$T/in1" >&"$IN"
	until_true 10 grep -q 'd-1 b' "$T/count"
}

@test "kill -9 in a stage: the process is ended, the stage runs again, done ones do not" {
	start_held deaf
	until_true 10 said stage_log '.text=="deaf"'
	old=$(jq -r 'select(.kind=="stage_process" and .stage_id=="b")|.pid' "$T/out" | tail -n 1)
	kill -9 "$PID"
	wait "$PID" || true
	exec {IN}>&-
	kill -0 "$old"
	touch "$T/go"
	: >"$T/empty"
	runs 0 "$T/empty"
	! kill -0 "$old" 2>/dev/null
	[ "$(counted d-1 a)" = 1 ]
	[ "$(counted d-1 b)" = 2 ]
	[ "$(status d-1)" = SUCCESS ]
	! grep -q OVERLAP "$T/count"
	jq -e '.attempt==1' "$T/start.d-1.b"
	pipecd-exec -V "$STATE/journal/d-1.ndjson"
}

@test "what a killed exec's stage left in a session of its own is ended before the stage resumes" {
	stage a HOST_SYNC '{"do":"orphan"}'
	deployment d-1 app >"$T/in1"
	exec_bg
	cat "$T/in1" >&"$IN"
	until_true 10 test -s "$T/daemon.pid"
	kill -9 "$PID"
	wait "$PID" || true
	exec {IN}>&-
	d=$(cat "$T/daemon.pid")
	kill -0 "$d"
	touch "$T/go"
	runs 0 /dev/null
	! kill -0 "$d" 2>/dev/null
	! grep -q OVERLAP "$T/count"
}

@test "a service that an earlier stage started for good is not ended with what is left of a later one" {
	stage a HOST_SYNC '{"do":"service"}'
	stage b HOST_SYNC '{"do":"orphan"}'
	deployment d-1 app >"$T/in1"
	exec_bg
	cat "$T/in1" >&"$IN"
	until_true 10 test -s "$T/daemon.pid"
	kill -9 "$PID"
	wait "$PID" || true
	exec {IN}>&-
	touch "$T/go"
	runs 0 /dev/null
	! kill -0 "$(cat "$T/daemon.pid")" 2>/dev/null
	kill "$(cat "$T/service.pid")"
}

@test "what a platform asked to end when its stage was killed is waited for, and signalled no more" {
	stage a HOST_SYNC '{"do":"orderly"}'
	deployment d-1 app >"$T/in1"
	exec_bg
	cat "$T/in1" >&"$IN"
	until_true 10 test -s "$T/orderly.pid"
	kill -9 "$PID"
	wait "$PID" || true
	exec {IN}>&-
	touch "$T/go"
	exec_bg
	until_true 10 said stage_log '.text|contains("Waits for the end of what an earlier stage left")'
	touch "$T/write"
	exec_end
	[ "$(cat "$T/orderly")" = written ]
	[ "$(status d-1)" = SUCCESS ]
}

@test "SIGTERM asks the stage to end, leaves it RUNNING, exits, and the next exec resumes" {
	start_held hold
	kill "$PID"
	wait "$PID" && rc=0 || rc=$?
	[ "$rc" = 1 ]
	exec {IN}>&-
	run -1 pipecd-exec -r "$STATE/journal/d-1.ndjson"
	[[ "$output" == *"status    RUNNING (unfinished)"* ]]
	touch "$T/go"
	runs 0 /dev/null
	[ "$(status d-1)" = SUCCESS ]
	[ "$(counted d-1 a)" = 1 ]
}

@test "a rollback that was cut off goes on as a rollback, and the result stays" {
	stage a HOST_SYNC '{"do":"fail"}'
	stage rb HOST_ROLLBACK '{"do":"hold"}'
	deployment d-1 app >"$T/in1"
	exec_bg
	cat "$T/in1" >&"$IN"
	until_true 10 grep -q 'd-1 rb' "$T/count"
	kill -9 "$PID"
	wait "$PID" || true
	exec {IN}>&-
	touch "$T/go"
	runs 1 /dev/null
	[ "$(status d-1)" = FAILURE ]
	[ "$(reason d-1)" = "stage HOST_SYNC failed: it is broken" ]
	[ "$(counted d-1 a)" = 1 ]
}

@test "a WAIT that was cut off waits only for what is left" {
	stage a WAIT '{"duration":"3s"}'
	deployment d-1 app >"$T/in1"
	exec_bg
	cat "$T/in1" >&"$IN"
	until_true 10 said stage_process
	sleep 1.5
	kill -9 "$PID"
	wait "$PID" || true
	exec {IN}>&-
	a=$(date +%s%N)
	runs 0 /dev/null
	[ $((($(date +%s%N) - a) / 1000000)) -lt 2300 ]
	jq -se 'map(select(.kind=="stage_done"))[0].took_ms | . >= 3000 and . < 4000' "$T/out"
}

@test "a WAIT under a clock that went back a day ends in time" {
	stage a WAIT '{"duration":"2s"}'
	deployment d-1 app >"$T/in1"
	exec_bg
	cat "$T/in1" >&"$IN"
	until_true 10 said stage_process
	kill -9 "$PID"
	wait "$PID" || true
	exec {IN}>&-
	# as if the machine had been started again with a clock a day behind
	python3 "$BATS_TEST_DIRNAME/rewrite" "$STATE/journal/d-1.ndjson" 's.get("kind")=="stage_process"' 's.update(at_ms=s["at_ms"]+86400000, boot="another")'
	SECONDS=0
	runs 0 /dev/null
	[ "$SECONDS" -lt 6 ]
}

@test "a torn last line is cut off with a note, and the deployment goes on" {
	start_held hold
	kill -9 "$PID"
	wait "$PID" || true
	exec {IN}>&-
	printf '{"v":1,"kind":"stage_do' >>"$STATE/journal/d-1.ndjson"
	run -0 pipecd-exec -V "$STATE/journal/d-1.ndjson"
	[[ "$output" == *"23 bytes of a last line that was cut off"* ]]
	touch "$T/go"
	: >"$T/err"
	runs 0 /dev/null
	grep -q "journal cut off" "$T/err"
	[ "$(status d-1)" = SUCCESS ]
	run -0 pipecd-exec -V "$STATE/journal/d-1.ndjson"
	[[ "$output" != *"cut off"* ]]
}

@test "a flipped bit is found, named, and costs that deployment alone" {
	start_held hold
	kill -9 "$PID"
	wait "$PID" || true
	exec {IN}>&-
	sed -i '2s/RUNNING/RUNNINH/' "$STATE/journal/d-1.ndjson"
	run -1 --separate-stderr pipecd-exec -V "$STATE/journal/d-1.ndjson"
	[[ "$stderr" == *"d-1.ndjson:"* ]]
	stages
	stage a HOST_SYNC '{"do":"ok"}'
	deployment d-2 other >"$T/in2"
	touch "$T/go"
	: >"$T/err"
	runs 1 "$T/in2"
	grep -q "d-1.ndjson:[23]" "$T/err"
	[ -e "$STATE/journal/d-1.ndjson.broken" ]
	[ "$(status d-2)" = SUCCESS ]
	# and its application is free again
	deployment d-3 app >"$T/in3"
	runs 0 "$T/in3"
	[ "$(status d-3)" = SUCCESS ]
}

@test "a trigger whose journal a power cut took is forgotten" {
	stage a HOST_SYNC '{"do":"ok"}'
	deployment d-1 app >"$T/in1"
	runs 0
	sed -i 's/"status":"SUCCESS","completed_at":[0-9]*/"status":"RUNNING","completed_at":0/' "$STATE/journal/apps.ndjson"
	rm -f "$STATE/journal/d-1.ndjson"
	runs 0 /dev/null
	tail -n 1 "$STATE/journal/apps.ndjson" | jq -e '.triggered_commit==null and .running_commit=="'$COMMIT'"'
}

@test "a finished journal is read-only, and is removed after the retention" {
	exec_new '  journalRetention: 1h'
	stage a HOST_SYNC '{"do":"ok"}'
	deployment d-1 app >"$T/in1"
	runs 0
	D_TRIGGER=c deployment d-2 app >"$T/in2"
	runs 0 "$T/in2"
	[ "$(stat -c %a "$STATE/journal/d-1.ndjson")" = 440 ]
	# A clock that is ahead of the newest of them costs no history.
	touch -d '9999 days ago' "$STATE"/journal/d-[12].ndjson
	runs 0 /dev/null
	[ -e "$STATE/journal/d-1.ndjson" ]
	touch -d '2 hours ago' "$STATE/journal/d-1.ndjson"
	touch "$STATE/journal/d-2.ndjson"
	runs 0 /dev/null
	[ ! -e "$STATE/journal/d-1.ndjson" ]
	[ -e "$STATE/journal/d-2.ndjson" ] # what runs
}

@test "journals that were set aside go after the retention, too" {
	exec_new '  journalRetention: 1h'
	stage a HOST_SYNC '{"do":"ok"}'
	deployment d-1 app >"$T/in1"
	runs 0
	cd "$STATE/journal"
	for f in old.ndjson.broken old.ndjson.behind new.ndjson.broken old.notes; do echo x >"$f"; done
	touch -d '2 hours ago' old.*
	runs 0 /dev/null
	[ ! -e old.ndjson.broken ]
	[ ! -e old.ndjson.behind ]
	[ -e new.ndjson.broken ]
	[ -e old.notes ]
}

# sweep SYSCALL FROM TO: exec is killed at the Nth such call, then started
# again until it ends; the end is always the same
sweep() {
	local n rc again
	stage a HOST_SYNC '{"do":"ok"}'
	stage b HOST_SYNC '{"do":"meta"}'
	stage c WAIT '{"duration":"0.05s"}'
	stage d HOST_SYNC '{"do":"fail"}'
	stage rb HOST_ROLLBACK '{"do":"ok"}'
	deployment d-1 app >"$T/in1"
	for ((n = $2; n <= $3; n++)); do
		rm -rf "$STATE" "$T"/start.* "$T/out"
		: >"$T/count"
		rc=0
		ASAN_OPTIONS=detect_leaks=0 strace -qq -o /dev/null -e trace="$1" -e inject="$1:signal=SIGKILL:when=$n" \
			"$EXEC" -f "$CONF" <"$T/in1" >"$T/out" 2>>"$T/err" 3>&- || rc=$?
		again=0
		if [ "$rc" -ne 1 ]; then
			again=1
			runs 1
		fi
		[ "$(jq -rs '[.[]|select(.kind=="deployment")]|last|.deployment|.status+":"+.status_reason' "$STATE/journal/d-1.ndjson")" = "FAILURE:stage HOST_SYNC failed: it is broken" ] ||
			{ echo "killed at $1 $n"; cat "$STATE/journal/d-1.ndjson"; return 1; }
		pipecd-exec -V "$STATE/journal/d-1.ndjson" >/dev/null
		! grep -q OVERLAP "$T/count"
		for s in a b d rb; do
			[ "$(counted d-1 $s)" -ge 1 ] && [ "$(counted d-1 $s)" -le $((1 + again)) ] ||
				{ echo "killed at $1 $n: $s ran $(counted d-1 $s) times"; cat "$T/count"; return 1; }
		done
		# only the stage in hand may have run twice
		[ "$(wc -l <"$T/count")" -le $((4 + again)) ]
		[ "$(grep -c '"kind":"stage_done"' "$STATE/journal/d-1.ndjson")" = 5 ]
	done
}

@test "killed at every write, all ends as it would have, and no stage is done twice but the one in hand" {
	strace -qq -o /dev/null true 2>/dev/null || skip "strace may not trace here"
	sweep pwrite64 1 40
}

@test "killed at every sync, the same" {
	strace -qq -o /dev/null true 2>/dev/null || skip "strace may not trace here"
	sweep fdatasync 1 14
}
