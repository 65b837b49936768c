# What the control plane knows: unfinished deployments, and applications.
setup() {
	load ../lib/common
	load exec
	exec_new
	stages
	stage a HOST_SYNC '{"do":"ok"}'
	stage b HOST_SYNC '{"do":"ok"}'
	stage rb HOST_ROLLBACK '{"do":"ok"}'
}

runs() {
	local rc=0
	timeout 60 "$EXEC" -f "$CONF" <"${2:-$T/in1}" >>"$T/out" 2>>"$T/err" 3>&- || rc=$?
	[ "$rc" -eq "$1" ] || { echo "exit $rc, not $1"; cat "$T/err"; return 1; }
}

# resume ID APP STATUS A-STATUS [B-STATUS]: what report offers, plan's plan with it
resume() {
	deployment "$1" "$2" PLANNED | jq -c --arg s "$3" --arg a "$4" --arg b "${5:-NOT_STARTED_YET}" \
		'.kind="resume" | .deployment.status=$s | .deployment.stages[0].status=$a | .deployment.stages[1].status=$b'
}
# app ID [MORE]: what report says of a registered application
app() {
	printf '{"v":1,"kind":"app","application":{"id":"%s","name":"app","git_path":{"repo":{"id":"web"},"path":"app"}%s}}\n' "$1" "${2:+,$2}"
}
# reference ID COMMIT
reference() { printf '{"deployment_id":"%s","trigger":{"commit":{"hash":"%s"},"timestamp":1700000000},"started_at":1700000000,"completed_at":1700000100}' "$1" "$2"; }
past() { jq -c --arg a "$1" 'select(.kind=="past" and .application_id==$a)' "$STATE/journal/apps.ndjson" | tail -n 1; }

@test "on an empty disk a deployment that the control plane knows goes on at the first stage not done" {
	resume d-1 app RUNNING SUCCESS RUNNING >"$T/in1"
	runs 0
	[ "$(counted d-1 a)" = 0 ]
	[ "$(counted d-1 b)" = 1 ]
	[ "$(status d-1)" = SUCCESS ]
	jq -e '.attempt==1' "$T/start.d-1.b"
	said past ".status==\"RUNNING\" and .running_commit==\"$RUNNING\""
	pipecd-exec -V "$STATE/journal/d-1.ndjson"
	pipecd-exec -r "$STATE/journal/d-1.ndjson" | grep -q SUCCESS
	[ "$(past app | jq -r .running_commit)" = "$COMMIT" ]
	! grep -q '"kind":"resume"' "$T/out"
}

@test "a deployment taken over that fails is rolled back, also over the stages that ran elsewhere" {
	stages
	stage a HOST_SYNC '{"do":"ok"}'
	stage b HOST_SYNC '{"do":"fail"}'
	stage rb HOST_ROLLBACK '{"do":"ok"}'
	resume d-1 app RUNNING SUCCESS >"$T/in1"
	runs 1
	[ "$(counted d-1 a)" = 0 ]
	[ "$(counted d-1 rb)" = 1 ]
	[ "$(status d-1)" = FAILURE ]
}

@test "one that was rolling back at the control plane goes on rolling back" {
	resume d-1 app ROLLING_BACK SUCCESS FAILURE >"$T/in1"
	runs 1
	[ "$(counted d-1 b)" = 0 ]
	[ "$(counted d-1 rb)" = 1 ]
	[ "$(status d-1)" = FAILURE ]
}

@test "one that was only planned is queued, and its later repetition is the same deployment" {
	resume d-1 app PLANNED NOT_STARTED_YET >"$T/in1"
	deployment d-1 app >>"$T/in1"
	resume d-1 app PLANNED NOT_STARTED_YET >>"$T/in1"
	runs 0
	[ "$(counted d-1 a)" = 1 ]
	[ "$(status d-1)" = SUCCESS ]
	runs 0
	[ "$(counted d-1 a)" = 1 ]
}

@test "what the journal knows already, and is not behind, is left alone" {
	stages
	stage a HOST_SYNC '{"do":"ok"}'
	stage b HOST_SYNC '{"do":"hold"}'
	stage rb HOST_ROLLBACK '{"do":"ok"}'
	deployment d-1 app >"$T/in1"
	exec_bg
	cat "$T/in1" >&"$IN"
	until_true 10 grep -q 'd-1 b' "$T/count"
	resume d-1 app RUNNING RUNNING >&"$IN"
	resume d-1 app PLANNED NOT_STARTED_YET >&"$IN"
	touch "$T/go"
	exec_end
	[ "$(counted d-1 a)" = 1 ]
	[ "$(counted d-1 b)" = 1 ]
	[ "$(status d-1)" = SUCCESS ]
	[ ! -e "$STATE/journal/d-1.ndjson.behind" ]
	resume d-1 app RUNNING SUCCESS RUNNING >"$T/in1"
	runs 0
	[ "$(counted d-1 b)" = 1 ]
}

@test "where the control plane is ahead, the journal is set aside and its stage ended" {
	stages
	stage a HOST_SYNC '{"do":"hold"}'
	stage b HOST_SYNC '{"do":"ok"}'
	stage rb HOST_ROLLBACK '{"do":"ok"}'
	deployment d-1 app >"$T/in1"
	exec_bg
	cat "$T/in1" >&"$IN"
	until_true 10 grep -q 'd-1 a' "$T/count"
	until_true 10 said stage_process
	pid=$(jq -r 'select(.kind=="stage_process" and .stage_id=="a")|.pid' "$T/out" | tail -n 1)
	resume d-1 app RUNNING SUCCESS >&"$IN"
	exec_end
	! kill -0 "$pid" 2>/dev/null
	[ "$(counted d-1 a)" = 1 ]
	[ "$(counted d-1 b)" = 1 ]
	[ "$(status d-1)" = SUCCESS ]
	[ -s "$STATE/journal/d-1.ndjson.behind" ]
	grep -q 'the control plane has seen more of this deployment' "$T/err"
	pipecd-exec -V "$STATE/journal/d-1.ndjson"
}

@test "one that ended at the control plane ends here too" {
	stages
	stage a HOST_SYNC '{"do":"hold"}'
	stage rb HOST_ROLLBACK '{"do":"ok"}'
	deployment d-1 app >"$T/in1"
	exec_bg
	cat "$T/in1" >&"$IN"
	until_true 10 grep -q 'd-1 a' "$T/count"
	deployment d-1 app | jq -c '.kind="resume" | .deployment.status="CANCELLED" | .deployment.status_reason="by the web"' >&"$IN"
	exec {IN}>&-
	wait "$PID" || true
	[ "$(status d-1)" = CANCELLED ]
	[ "$(counted d-1 rb)" = 0 ]
}

@test "killed after it took one over, exec goes on with it" {
	stages
	stage a HOST_SYNC '{"do":"ok"}'
	stage b HOST_SYNC '{"do":"hold"}'
	stage rb HOST_ROLLBACK '{"do":"ok"}'
	resume d-1 app RUNNING SUCCESS >"$T/in1"
	exec_bg
	cat "$T/in1" >&"$IN"
	until_true 10 grep -q 'd-1 b' "$T/count"
	kill -9 "$PID"
	wait "$PID" || true
	exec {IN}>&-
	touch "$T/go"
	runs 0 /dev/null
	[ "$(counted d-1 a)" = 0 ]
	[ "$(status d-1)" = SUCCESS ]
	! grep -q OVERLAP "$T/count"
}

@test "a resume whose stages are not in its plan is refused by name, and others go on" {
	resume d-1 app RUNNING SUCCESS | jq -c '.plan.stages |= map(select(.id!="b"))' >"$T/in1"
	deployment d-2 other >>"$T/in1"
	runs 1
	[ "$(status d-2)" = SUCCESS ]
	grep -q 'resume d-1: stage b is not in the plan' "$T/err"
	[ "$(counted d-1 b)" = 0 ]
}

@test "an id that a control plane gives later is adopted, and what runs is remembered" {
	own=$("$TESTBIN/libhash/hash" uuid application web app app.pipecd.yaml)
	deployment d-1 "$own" | jq -c '.deployment.git_path.path="app"' >"$T/in1"
	runs 0
	app given-1 >"$T/in1"
	runs 0
	[ "$(past given-1 | jq -r .running_commit)" = "$COMMIT" ]
	[ "$(past given-1 | jq -r '.tombstones[0]')" = "$own" ]
	app given-2 >"$T/in1"
	runs 0
	[ "$(past given-2 | jq -r .running_commit)" = "$COMMIT" ]
	[ "$(past given-2 | jq -c .tombstones)" = "[\"$own\",\"given-1\"]" ]
	# What was known under the old ids is known no more.
	: >"$T/out"
	runs 0
	! grep -q '"kind":"past"' "$T/out"
}

@test "on an empty disk the control plane's memory of an application is taken" {
	app given-1 "\"most_recently_successful_deployment\":$(reference s "$RUNNING"),\"most_recently_triggered_deployment\":$(reference t "$COMMIT")" >"$T/in1"
	runs 0
	[ "$(past given-1 | jq -r .triggered_commit)" = "$COMMIT" ]
	[ "$(past given-1 | jq -r .running_commit)" = "$RUNNING" ]
	[ "$(past given-1 | jq -r .deployment_id)" = t ]
}

@test "a stage's begin is said to report, without what only its program is to see" {
	deployment d-1 app >"$T/in1"
	runs 0
	[ "$(jq -r 'select(.kind=="stage_start")|.stage.id' "$T/out" | tr '\n' ' ')" = "a b " ]
	! jq -c 'select(.kind=="stage_start")' "$T/out" | grep -q '"config"\|target_dir\|app_config'
}

@test "a journal that is behind goes on with its own plan where none came" {
	stages
	stage a HOST_SYNC '{"do":"hold"}'
	stage b HOST_SYNC '{"do":"ok"}'
	stage rb HOST_ROLLBACK '{"do":"ok"}'
	deployment d-1 app >"$T/in1"
	exec_bg
	cat "$T/in1" >&"$IN"
	until_true 10 grep -q 'd-1 a' "$T/count"
	resume d-1 app RUNNING SUCCESS | jq -c 'del(.plan)' >&"$IN"
	exec_end
	[ "$(counted d-1 b)" = 1 ]
	[ "$(status d-1)" = SUCCESS ]
	[ -s "$STATE/journal/d-1.ndjson.behind" ]
}

@test "while a newer agent has our place nothing begins" {
	deployment d-1 app >"$T/in1"
	exec_bg
	frame fenced '"reason":"a newer agent runs"' >&"$IN"
	cat "$T/in1" >&"$IN"
	until_true 10 said past '.status=="PLANNED"'
	grep -q 'no new deployment is begun: a newer agent runs' "$T/err"
	kill "$PID"
	exec {IN}>&-
	wait "$PID" || true
	[ "$(counted d-1 a)" = 0 ]
	runs 0 /dev/null
	[ "$(status d-1)" = SUCCESS ]
}
