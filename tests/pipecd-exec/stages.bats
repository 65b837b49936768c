# The state machine: stages in order, results, timeouts, rollback.
setup() {
	load ../lib/common
	load exec
	exec_new
	stages
}

runs() {
	local rc=0
	timeout 60 "$EXEC" -f "$CONF" <"$T/in1" >"$T/out" 2>"$T/err" || rc=$?
	[ "$rc" -eq "$1" ] || { echo "exit $rc, not $1"; cat "$T/err"; return 1; }
}

@test "stages run in order, and all SUCCESS is SUCCESS and exit 0" {
	stage a HOST_SYNC '{"do":"ok"}'
	stage b SCRIPT_RUN '{"do":"ok"}'
	stage rb HOST_ROLLBACK '{"do":"ok"}'
	deployment d-1 app >"$T/in1"
	runs 0
	[ "$(statuses d-1)" = "PLANNED RUNNING SUCCESS " ]
	[ "$(cat "$T/count")" = $'d-1 a\nd-1 b' ]
	pipecd-exec -V "$STATE/journal/d-1.ndjson"
	run -0 pipecd-exec -r "$STATE/journal/d-1.ndjson"
	[[ "$output" == *"status    SUCCESS"* ]]
}

@test "the same input a second time deploys nothing, and exits 0" {
	stage a HOST_SYNC '{"do":"ok"}'
	deployment d-1 app >"$T/in1"
	runs 0
	runs 0
	[ "$(counted d-1 a)" = 1 ]
}

@test "what is for others passes through, and what others read too is handed on" {
	stage a HOST_SYNC '{"do":"ok"}'
	{ frame head '"repo":"r","branch":"main","commit":"c","seen_at":1'; echo '{"v":1,"kind":"unheard","x":[1,2]}'
	  deployment d-1 app
	  frame app '"application":{"id":"app","name":"app","git_path":{"repo":{"id":"web"},"path":"app"}}'; } >"$T/in1"
	runs 0
	grep -qxF '{"v":1,"kind":"unheard","x":[1,2]}' "$T/out"
	said head
	said app
	said past '.status=="SUCCESS" and .running_commit=="'$COMMIT'"'
}

@test "EXITED ends the deployment as SUCCESS with the rest untouched" {
	stage a HOST_SYNC '{"do":"exited"}'
	stage b HOST_SYNC '{"do":"ok"}'
	deployment d-1 app >"$T/in1"
	runs 0
	[ "$(status d-1)" = SUCCESS ]
	[ "$(counted d-1 b)" = 0 ]
}

@test "a skip of the plan is SKIPPED and the next stage runs" {
	stage a HOST_SYNC '{"do":"fail"}' '"skip":"skipOn: only docs changed"'
	stage b HOST_SYNC '{"do":"ok"}'
	deployment d-1 app >"$T/in1"
	runs 0
	[ "$(stage_status d-1 a)" = SKIPPED ]
	[ "$(stage_reason d-1 a)" = "skipOn: only docs changed" ]
}

@test "a failure rolls back, ends FAILURE with the stage's own words, and exits 1" {
	stage a HOST_SYNC '{"do":"fail"}'
	stage b HOST_SYNC '{"do":"ok"}'
	stage rb HOST_ROLLBACK '{"do":"ok"}'
	deployment d-1 app >"$T/in1"
	runs 1
	[ "$(statuses d-1)" = "PLANNED RUNNING ROLLING_BACK FAILURE " ]
	[ "$(reason d-1)" = "stage HOST_SYNC failed: it is broken" ]
	[ "$(counted d-1 b)" = 0 ]
	[ "$(counted d-1 rb)" = 1 ]
	said past '.status=="FAILURE" and .running_commit==null'
	run -1 pipecd-exec -r "$STATE/journal/d-1.ndjson"
}

@test "what a platform keeps between stages is gone when the deployment ends, or at the next start" {
	stage a HOST_SYNC '{"do":"ok"}'
	stage b HOST_SYNC '{"do":"fail"}'
	deployment d-1 app >"$T/in1"
	mkdir -p "$STATE/work/host/d-1/x" "$STATE/work/host/live-1"
	chmod 700 "$STATE"
	runs 1
	[ "$(ls "$STATE/work/host")" = live-1 ]
	mkdir "$STATE/work/host/d-1"
	: >"$T/in1"
	runs 0
	[ "$(ls "$STATE/work/host")" = live-1 ]
}

@test "a script's rollback runs only if its stage ran" {
	stage a SCRIPT_RUN '{"do":"ok"}'
	stage b HOST_SYNC '{"do":"fail"}'
	stage c SCRIPT_RUN '{"do":"ok"}'
	stage rb HOST_ROLLBACK '{"do":"ok"}'
	stage ra SCRIPT_RUN_ROLLBACK '{"do":"ok"}' '"base_stage":"a"'
	stage rc SCRIPT_RUN_ROLLBACK '{"do":"ok"}' '"base_stage":"c"'
	deployment d-1 app >"$T/in1"
	runs 1
	[ "$(counted d-1 ra)" = 1 ]
	[ "$(counted d-1 rc)" = 0 ]
	[ "$(stage_status d-1 rc)" = SKIPPED ]
}

@test "a deployment that fails before it changed anything is not rolled back, and asks for nobody" {
	stage a WAIT '{"duration":"10ms"}'
	stage b HOST_SYNC '{"do":"untouched"}'
	stage rb HOST_ROLLBACK '{"do":"ok"}'
	D_RUNNING='' deployment d-1 app >"$T/in1"
	deployment d-2 other >>"$T/in1"
	runs 1
	for d in d-1 d-2; do
		[ "$(statuses $d)" = "PLANNED RUNNING FAILURE " ]
		[ "$(reason $d)" = "stage HOST_SYNC failed: refused" ]
		[ "$(counted $d rb)" = 0 ]
	done
	! said stage_done '.needs_human'
}

@test "what changed something in an earlier stage is rolled back, whatever the last one says" {
	stage a HOST_SYNC '{"do":"ok"}'
	stage b HOST_SYNC '{"do":"untouched"}'
	stage rb HOST_ROLLBACK '{"do":"ok"}'
	deployment d-1 app >"$T/in1"
	runs 1
	[ "$(counted d-1 rb)" = 1 ]
}

@test "a first deployment that fails has nothing to roll back to, says so, and ends" {
	stage a HOST_SYNC '{"do":"fail"}'
	stage rb HOST_ROLLBACK '{"do":"ok"}'
	D_RUNNING='' deployment d-1 app >"$T/in1"
	runs 1
	[ "$(status d-1)" = FAILURE ]
	[ "$(counted d-1 rb)" = 0 ]
	[[ "$(stage_reason d-1 rb)" == "nothing to roll back to"* ]]
	[[ "$(reason d-1)" == *"a person is needed"* ]]
}

@test "a rollback that fails ends as FAILURE that asks for a person, naming the journal" {
	stage a HOST_SYNC '{"do":"fail"}'
	stage rb HOST_ROLLBACK '{"do":"fail"}'
	deployment d-1 app >"$T/in1"
	runs 1
	[ "$(status d-1)" = FAILURE ]
	[[ "$(reason d-1)" == *"a person is needed: see $STATE/journal/d-1.ndjson"* ]]
	[[ "$(reason d-1)" == *"it breaks"* ]]
	said stage_done '.stage_id=="rb" and .needs_human==true'
}

@test "a rollback that hangs and ignores SIGTERM is killed at spec.rollbackTimeout" {
	exec_new '  rollbackTimeout: 1s'
	stage a HOST_SYNC '{"do":"fail"}'
	stage rb HOST_ROLLBACK '{"do":"deaf"}'
	deployment d-1 app >"$T/in1"
	runs 1
	[ "$(status d-1)" = FAILURE ]
	[[ "$(stage_reason d-1 rb)" == "timed out after"* ]]
	[[ "$(reason d-1)" == *"a person is needed"* ]]
}

@test "a stage over its timeout is asked to end, and is a FAILURE whatever it says then" {
	stage a HOST_SYNC '{"do":"hold"}' '"timeout_ms":2500'
	stage rb HOST_ROLLBACK '{"do":"ok"}'
	deployment d-1 app >"$T/in1"
	runs 1
	[ "$(stage_status d-1 a)" = FAILURE ]
	[[ "$(stage_reason d-1 a)" == "timed out after"* ]]
	[ "$(counted d-1 rb)" = 1 ]
}

@test "the deployment's timeout is over all forward stages, and the rollback has its own" {
	stage a HOST_SYNC '{"do":"ok"}'
	stage b HOST_SYNC '{"do":"hold"}'
	stage rb HOST_ROLLBACK '{"do":"ok"}'
	deployment d-1 app PLANNED '' '"timeout_ms":3000' >"$T/in1"
	runs 1
	[[ "$(stage_reason d-1 b)" == *"limit of the whole deployment"* ]]
	[ "$(stage_status d-1 rb)" = SUCCESS ]
}

@test "WAIT is a timer: it takes its time and no process" {
	stage a WAIT '{"duration":"1s"}'
	deployment d-1 app >"$T/in1"
	runs 0
	jq -se 'map(select(.kind=="stage_done"))[0].took_ms | . >= 1000 and . < 3000' "$T/out"
	[ ! -s "$T/count" ]
}

@test "hundreds of WAITs run beside each other whatever the number of slots" {
	exec_new '  maxConcurrentDeployments: 1'
	stage a WAIT '{"duration":"1s"}'
	for i in $(seq 300); do deployment "d-$i" "app$i"; done >"$T/in1"
	SECONDS=0
	runs 0
	[ "$SECONDS" -lt 10 ]
	[ "$(grep -c '"status":"SUCCESS"' <(jq -c 'select(.kind=="stage_done")' "$T/out"))" = 300 ]
}

@test "one application runs one deployment at a time, in the order they came" {
	stage a HOST_SYNC '{"do":"ok"}'
	for i in 1 2 3 4 5; do D_TRIGGER=cmd-$i deployment "d-$i" app; done >"$T/in1"
	runs 0
	[ "$(cat "$T/count")" = "$(printf 'd-%d a\n' 1 2 3 4 5)" ]
	# no RUNNING between another's RUNNING and its end
	jq -r 'select(.kind=="deployment")|.deployment|select(.status!="PLANNED")|.status' "$T/out" | paste - - | sort -u >"$T/pairs"
	[ "$(cat "$T/pairs")" = $'RUNNING\tSUCCESS' ]
}

@test "applications take turns: one with many deployments does not keep others waiting" {
	exec_new '  maxConcurrentDeployments: 1'
	stage a HOST_SYNC '{"do":"ok"}'
	{ for i in 1 2 3; do D_TRIGGER=cmd-$i deployment "d-a$i" busy; done; deployment d-b other; } >"$T/in1"
	runs 0
	[ "$(sed -n 2p "$T/count")" = "d-b a" ]
}

@test "a stage that dies silently is a FAILURE with its exit code and its last words" {
	stage a HOST_SYNC '{"do":"silent"}'
	deployment d-1 app >"$T/in1"
	runs 1
	[ "$(stage_reason d-1 a)" = "host ended without a result: exit 3: secret of the death" ]
	said stage_log '.text=="secret of the death"'
}

@test "garbage, foreign ids and a second result are left out, and that is said once" {
	stage a HOST_SYNC '{"do":"garbage"}'
	stage b HOST_SYNC '{"do":"wrong"}'
	stage c HOST_SYNC '{"do":"long"}'
	deployment d-1 app >"$T/in1"
	runs 0
	[ "$(jq -c 'select(.kind=="stage_log" and .stage_id=="a")' "$T/out" | wc -l)" = 1 ]
	[ "$(jq -c 'select(.kind=="stage_log" and .stage_id=="b")' "$T/out" | wc -l)" = 1 ]
	said stage_log '.stage_id=="c" and (.text|contains("more than 1 MiB"))'
	pipecd-exec -V "$STATE/journal/d-1.ndjson"
}

@test "a log of more than 4 MiB is cut off, and the stage goes on" {
	stage a HOST_SYNC '{"do":"chatty"}'
	deployment d-1 app >"$T/in1"
	runs 0
	said stage_log '.text|contains("cut off")'
	[ "$(stat -c %s "$STATE/journal/d-1.ndjson")" -lt 6000000 ]
}

@test "a stage that floods its output is ended" {
	stage a HOST_SYNC '{"do":"flood"}'
	deployment d-1 app >"$T/in1"
	runs 1
	[[ "$(stage_reason d-1 a)" == *"MiB of output"* ]]
	[ "$(stat -c %s "$STATE/journal/d-1.ndjson")" -lt 6000000 ]
}

@test "a stage that does not end after its result is killed, and the result counts" {
	stage a HOST_SYNC '{"do":"linger"}'
	deployment d-1 app >"$T/in1"
	runs 0
	[ "$(stage_status d-1 a)" = SUCCESS ]
}

@test "what a stage leaves behind in a session of its own is ended with it" {
	stage a HOST_SYNC '{"do":"daemon"}'
	stage b HOST_SYNC '{"do":"ok"}'
	deployment d-1 app >"$T/in1"
	runs 0
	! kill -0 "$(cat "$T/daemon.pid")" 2>/dev/null
	said stage_log '.text|contains("outlived")'
}

@test "values that a stage keeps are in the model and given to later stages" {
	stage a HOST_SYNC '{"do":"meta"}'
	stage b HOST_SYNC '{"do":"ok"}'
	deployment d-1 app >"$T/in1"
	runs 0
	grep -q '"color":"blue"' "$T/start.d-1.b"
}

@test "a running commit that cannot be laid out costs the stage that directory, not the deployment" {
	stage a HOST_SYNC '{"do":"ok"}'
	D_RUNNING=cccccccccccccccccccccccccccccccccccccccc deployment d-1 app >"$T/in1"
	runs 0
	said stage_log '.text|contains("commit is gone")'
	! grep -q running_dir "$T/start.d-1.a"
}

@test "a target commit that cannot be laid out is a FAILURE that touches nothing" {
	stage a HOST_SYNC '{"do":"ok"}'
	stage rb HOST_ROLLBACK '{"do":"ok"}'
	D_COMMIT=cccccccccccccccccccccccccccccccccccccccc deployment d-1 app >"$T/in1"
	runs 1
	[ "$(stage_reason d-1 a)" = "checkout: commit is gone" ]
	[ "$(counted d-1 rb)" = 0 ]
}

@test "a program that is not there is a FAILURE naming it" {
	rm "$T/bin/pipecd-exec-script"
	stage a SCRIPT_RUN '{"do":"ok"}'
	deployment d-1 app >"$T/in1"
	runs 1
	[[ "$(stage_reason d-1 a)" == "cannot start script:"* ]]
}

@test "the stage is told what plan and checkout found, and gets its deadline" {
	stage a HOST_SYNC '{"do":"ok"}' '"timeout_ms":60000'
	deployment d-1 app >"$T/in1"
	runs 0
	jq -e '.target_dir=="/tmp" and .running_dir=="/tmp" and .targets==["web-1"] and .config.do=="ok" and .config_filename=="app.pipecd.yaml" and (.deadline_ms/1000 - now | . > 30 and . < 61)' "$T/start.d-1.a"
}

@test "the running commit that plan took is corrected when it is no longer true" {
	stage a HOST_SYNC '{"do":"ok"}'
	{ D_TRIGGER=c1 D_COMMIT=dddddddddddddddddddddddddddddddddddddddd deployment d-1 app
	  D_TRIGGER=c2 deployment d-2 app; } >"$T/in1"
	runs 0
	jq -e '.deployment.running_commit_hash=="dddddddddddddddddddddddddddddddddddddddd"' "$T/start.d-2.a"
}

@test "a newer commit supersedes what has not started, and commands are never superseded" {
	exec_new '  maxConcurrentDeployments: 1'
	stage a HOST_SYNC '{"do":"ok"}'
	stages2() { STAGES=; PLANS=; stage a HOST_SYNC '{"do":"hold"}'; }
	exec_bg
	{ stages2; deployment d-0 blocker; } >&"$IN"
	until_true 10 grep -q d-0 "$T/count"
	{ stages; stage a HOST_SYNC '{"do":"ok"}'
	  deployment d-1 app
	  D_TRIGGER=cmd D_COMMIT=eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee deployment d-2 app
	  D_COMMIT=dddddddddddddddddddddddddddddddddddddddd deployment d-3 app; } >&"$IN"
	until_true 10 said deployment '.deployment.id=="d-1" and .deployment.status=="CANCELLED"'
	[ "$(reason d-1)" = "superseded by deployment d-3 (commit ddddddd)" ]
	touch "$T/go"
	exec_end
	[ "$(status d-2)" = SUCCESS ]
	[ "$(status d-3)" = SUCCESS ]
	[ "$(counted d-1 a)" = 0 ]
}

@test "a deployment that plan refused is FAILURE with plan's reason, and exit 1" {
	deployment d-1 app FAILURE '"status_reason":"no such stage FOO"' >"$T/in1"
	runs 1
	[ "$(reason d-1)" = "no such stage FOO" ]
	said past '.status=="FAILURE" and .triggered_commit=="'$COMMIT'"'
}

@test "a PENDING deployment that nobody plans is said, and exits 1" {
	deployment d-1 app PENDING >"$T/in1"
	runs 1
	grep -q "d-1 deployment left PENDING" "$T/err"
	! grep -q triggered_commit "$STATE/journal/apps.ndjson"
	# and the next run plans it
	stage a HOST_SYNC '{"do":"ok"}'
	deployment d-1 app >"$T/in1"
	runs 0
	[ "$(status d-1)" = SUCCESS ]
}

@test "a second exec on the same state directory is refused with 111" {
	stage a HOST_SYNC '{"do":"hold"}'
	exec_bg
	deployment d-1 app >&"$IN"
	until_true 10 grep -q d-1 "$T/count"
	run -111 "$EXEC" -f "$CONF" </dev/null
	[[ "$output" == *"in use by another pipecd-exec"* ]]
	touch "$T/go"
	exec_end
}

@test "a state directory of a newer format is refused" {
	mkdir -p "$STATE"
	echo 2 >"$STATE/format"
	run -100 "$EXEC" -f "$CONF" </dev/null
	[[ "$output" == *"newer build"* ]]
	[ ! -e "$STATE/journal" ]
}

@test "bad input is named, what came before it is run to its end, and the exit says what it was" {
	stage a HOST_SYNC '{"do":"ok"}'
	{ deployment d-1 app; echo 'no frame'; deployment d-2 app2; } >"$T/in1"
	runs 100
	[ "$(status d-1)" = SUCCESS ]
	[ "$(counted d-2 a)" = 0 ]
	grep -q 'stdin:2:' "$T/err"
	deployment d-3 app3 | head -c 100 >"$T/in1"
	runs 111
}

@test "a PLANNED deployment without what it needs is left out, named, and exits 1" {
	stages
	stage a HOST_SYNC '{"do":"ok"}'
	deployment d-1 app | jq -c 'del(.plan)' >"$T/in1"
	deployment ../../x app >>"$T/in1"
	deployment d-2 ../../x >>"$T/in1"
	stage a HOST_SYNC '{"do":"ok"}'
	deployment d-3 app >>"$T/in1"
	runs 1
	grep -q 'deployment d-1: PLANNED without a plan' "$T/err"
	grep -q 'deployment id "../../x" cannot be a file name' "$T/err"
	grep -q 'application_id "../../x" cannot be a file name' "$T/err"
	grep -q 'two stages have the id a' "$T/err"
	[ "$(find "$BATS_TEST_TMPDIR" -name 'x*' | wc -l)" = 0 ]
}

@test "no process to be had just now is waited for, not a failure" {
	stage a HOST_SYNC '{"do":"ok"}'
	deployment d-1 app >"$T/in1"
	strace -qq -o /dev/null true 2>/dev/null || skip "strace may not trace here"
	ASAN_OPTIONS=detect_leaks=0 strace -qq -o /dev/null -e trace=vfork -e inject=vfork:error=EAGAIN:when=2..3 \
		"$EXEC" -f "$CONF" <"$T/in1" >"$T/out" 2>"$T/err" 3>&-
	[ "$(status d-1)" = SUCCESS ]
	grep -q "again in 1s" "$T/err"
}

@test "a stage process that somebody kills runs again; one that always is ends as FAILURE" {
	stage a HOST_SYNC '{"do":"suicide"}'
	deployment d-1 app >"$T/in1"
	runs 1
	[ "$(counted d-1 a)" = 4 ]
	[[ "$(stage_reason d-1 a)" == "host ended without a result: signal 9"* ]]
	stages
	stage a HOST_SYNC '{"do":"once"}'
	deployment d-2 app >"$T/in1"
	runs 0
	[ "$(counted d-2 a)" = 2 ]
}

@test "a rollback changes what runs, and not what was last triggered by a commit" {
	stage a HOST_SYNC '{"do":"ok"}'
	deployment d-1 app >"$T/in1"
	D_COMMIT=$RUNNING D_TRIGGER=c1 deployment d-2 app PLANNED '"metadata_v2":{"shared":{"keyValues":{"rollback-to":"d-0"}}}' >>"$T/in1"
	runs 0
	past=$(tail -n 1 "$STATE/journal/apps.ndjson")
	[ "$(jq -r '"\(.triggered_commit) \(.running_commit) \(.deployment_id)"' <<<"$past")" = "$COMMIT $RUNNING d-2" ]
}
