load ../../lib/common
load ../../lib/platform

setup() {
	host_new "$BATS_TEST_TMPDIR" 1
	export HOME=$D # no profile of the user who runs this
}

# script STAGE WITH [RUNNING] [jq filter]
script() {
	WITH=$2 start_frame "$1" $C2 "${3:-}" "${4:-.}" >"$D/start.json"
	run --separate-stderr pipecd-exec-script stage <"$D/start.json"
	DONE=$(jq -rc 'select(.kind=="stage_done")' <<<"$output")
	STATUS=$(jq -r .status <<<"$DONE") REASON=$(jq -r '.reason // ""' <<<"$DONE")
	LOG=$(jq -r 'select(.kind=="stage_log").text' <<<"$output")
}

@test "SCRIPT_RUN runs in the application's directory, and its lines are logged" {
	script SCRIPT_RUN '{"run":"pwd -P; cat index.html; echo oops >&2"}'
	[ "$status" -eq 0 ]
	[ "$STATUS" = SUCCESS ]
	[[ "$LOG" == *"$(cd "$D/src/$C2" && pwd -P)"* ]]
	[[ "$LOG" == *"page of $C2"* ]]
	[[ "$LOG" == *oops* ]]
}

@test "another exit code than 0 is a failure that names it and the last line" {
	script SCRIPT_RUN '{"run":"echo first; echo last words; exit 7"}'
	[ "$status" -eq 1 ]
	[ "$STATUS" = FAILURE ]
	[ "$REASON" = "the command failed, exit 7: last words" ]
}

@test "the SR_ variables are PipeCD's, and env comes after them" {
	script SCRIPT_RUN '{"run":"env | grep -E \"^(SR_|MINE)\" | sort","env":{"MINE":"a b","SR_SUMMARY":"own"}}' $C1 \
		'.deployment.labels={team:"infra"} | .deployment.summary="Quick sync" | .deployment.trigger.commander="joe"'
	[ "$(grep -E '^(SR_|MINE)' <<<"$LOG" | grep -v RAW)" = "MINE=a b
SR_APPLICATION_ID=app-web
SR_APPLICATION_NAME=web
SR_DEPLOYMENT_ID=dep-$C2
SR_IS_ROLLBACK=false
SR_LABELS_TEAM=infra
SR_REPOSITORY_URL=/repo
SR_SUMMARY=own
SR_TRIGGERED_AT=1700000001
SR_TRIGGERED_COMMANDER=joe
SR_TRIGGERED_COMMIT_HASH=$C2" ]
	raw=$(sed -n 's/^SR_CONTEXT_RAW=//p' <<<"$LOG")
	[ "$(jq -r '[.deploymentID,.applicationName,.triggeredAt,.summary,.labels.team,.isRollback]|map(tostring)|join(" ")' <<<"$raw")" = \
		"dep-$C2 web 1700000001 Quick sync infra null" ]
}

@test "SCRIPT_RUN_ROLLBACK runs onRollback, told that it is one" {
	script SCRIPT_RUN_ROLLBACK '{"run":"echo forward","onRollback":"echo back $SR_IS_ROLLBACK"}' $C1
	[ "$STATUS" = SUCCESS ]
	[[ "$LOG" == *"back true"* ]]
	[[ "$LOG" != *forward* ]]
	script SCRIPT_RUN_ROLLBACK '{"run":"echo forward"}' $C1
	[ "$STATUS" = SUCCESS ]
	[[ "$REASON" == *"nothing to do"* ]]
}

@test "CUSTOM_SYNC runs the target commit, its rollback the running one" {
	script CUSTOM_SYNC '{"run":"echo $X; cat index.html","envs":{"X":"sync"}}' $C1
	[[ "$LOG" == *"sync"*"page of $C2"* ]]
	script CUSTOM_SYNC_ROLLBACK '{"run":"cat index.html"}' $C1
	[ "$STATUS" = SUCCESS ]
	[[ "$LOG" == *"page of $C1"* ]]
}

@test "SIGTERM ends the script with all below it" {
	WITH='{"run":"echo $$ >pid; (sleep 60; :) & setsid sleep 61 & sleep 62"}' start_frame SCRIPT_RUN $C2 >"$D/start.json"
	pipecd-exec-script stage <"$D/start.json" >"$D/out" 3>&- &
	pid=$!
	until_true 5 test -s "$D/src/$C2/pid"
	sh=$(cat "$D/src/$C2/pid")
	until_true 5 sh -c "[ \$(wc -w </proc/$sh/task/$sh/children) -eq 3 ]"
	below=$(cat /proc/$sh/task/$sh/children)
	kill "$pid"
	! wait "$pid"
	[ "$(jq -r 'select(.kind=="stage_done").status' "$D/out")" = CANCELLED ]
	for p in $sh $below; do ! kill -0 "$p" 2>/dev/null; done
}

@test "the deadline ends the script, and says so" {
	script SCRIPT_RUN '{"run":"echo on; sleep 60"}' "" ".deadline_ms=$(($(date +%s%3N) + 300))"
	[ "$STATUS" = FAILURE ]
	[[ "$REASON" == *"not done by the stage's deadline"* ]]
}

@test "a script without run, or with the wrong type of it, is refused by name" {
	script CUSTOM_SYNC '{"run":[1]}'
	[ "$STATUS" = FAILURE ]
	[[ "$REASON" == *run* ]]
}
