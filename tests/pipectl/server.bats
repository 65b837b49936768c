#!/usr/bin/env bats
# pipectl against a real control plane.  The piped is played with the JSON form
# of PipedService, as far as each test needs one.
load ../lib/common

setup() {
	cd "$BATS_TEST_TMPDIR"
	export HOME=$BATS_TEST_TMPDIR
	unset PIPECTL_CONTEXT PIPECTL_API_KEY XDG_CONFIG_HOME
	S=$BATS_TEST_TMPDIR/state
	cat >control-plane.yaml <<-EOF
	apiVersion: pipecd.dev/v1beta1
	kind: ControlPlane
	spec: {stateDir: $S, address: 127.0.0.1:0, adminAddress: 127.0.0.1:0}
	EOF
	pipecd -f control-plane.yaml 2>pipecd.err 3>&- &
	PIPECD=$!
	until_true 20 grep -q ' ready stateDir' pipecd.err || { cat pipecd.err; return 1; }
	PIPECTL_ADDRESS=$(sed -n 's/.*listens main=//p' pipecd.err)
	export PIPECTL_ADDRESS
	local_ctl project add demo >project.json
	local_ctl piped add p1 --project demo -o json >piped.json
	local_ctl apikey add ci --project demo --role READ_WRITE -o json | jq -r .key >key
	PIPED=$(jq -r .id piped.json)
	export PIPECTL_API_KEY_FILE=$PWD/key
	piped ReportPipedMeta '{"version":"v1","config":"x","repositories":[{"id":"web","remote":"https://git.example/web.git","branch":"main"}],"startedAt":"1700000000","plugins":[{"name":"host","deployTargets":["web-1"]}]}' >/dev/null
}
teardown() {
	kill "$PIPECD" 2>/dev/null || true
	wait "$PIPECD" 2>/dev/null || true
}
local_ctl() { command pipectl --local "$S" "$@"; }
ctl() { command pipectl --insecure "$@"; }
# piped METHOD JSON: what the piped says
piped() {
	curl -sS -H "authorization: PIPED-TOKEN demo,$PIPED,$(jq -r .key piped.json)" -H 'content-type: application/json' \
		-d "$2" "http://$PIPECTL_ADDRESS/grpc.service.pipedservice.PipedService/$1"
}
add_app() { # NAME
	ctl application add "$1" --piped-id "$PIPED" --repo-id web --app-dir "apps/$1" --deploy-target host=web-1 --labels "env=prod,team=$1"
}
# deploy APP-ID ID STATUS: a deployment as the piped reports it
deploy() {
	piped CreateDeployment "{\"deployment\":{\"id\":\"$2\",\"applicationId\":\"$1\",\"applicationName\":\"one\",\"pipedId\":\"$PIPED\",\"projectId\":\"demo\",\"gitPath\":{\"repo\":{\"id\":\"web\"},\"path\":\"apps/one\",\"configFilename\":\"app.pipecd.yaml\"},\"trigger\":{\"commit\":{\"hash\":\"0123456789abcdef0123456789abcdef01234567\",\"message\":\"Make it blue\",\"author\":\"ann\",\"branch\":\"main\",\"createdAt\":\"1700000000\"},\"timestamp\":\"1700000001\"},\"status\":\"DEPLOYMENT_PENDING\",\"createdAt\":\"1700000001\",\"updatedAt\":\"1700000001\"}}"
	piped ReportDeploymentPlanned "{\"deploymentId\":\"$2\",\"summary\":\"quick\",\"statusReason\":\"planned\",\"stages\":[{\"id\":\"s1\",\"name\":\"HOST_SYNC\",\"createdAt\":\"1700000001\",\"updatedAt\":\"1700000001\",\"visible\":true}]}"
	piped ReportDeploymentStatusChanged "{\"deploymentId\":\"$2\",\"status\":\"DEPLOYMENT_RUNNING\",\"statusReason\":\"running\"}"
	piped ReportStageStatusChanged "{\"deploymentId\":\"$2\",\"stageId\":\"s1\",\"status\":\"STAGE_RUNNING\",\"visible\":true,\"completedAt\":\"1700000002\"}"
	piped ReportStageLogs "{\"deploymentId\":\"$2\",\"stageId\":\"s1\",\"blocks\":[{\"index\":\"1\",\"log\":\"switching web-1\",\"severity\":\"INFO\",\"createdAt\":\"1700000002\"}]}"
	[ "$3" = RUNNING ] || piped ReportDeploymentCompleted "{\"deploymentId\":\"$2\",\"status\":\"DEPLOYMENT_$3\",\"statusReason\":\"done\",\"stageStatuses\":{\"s1\":\"STAGE_SUCCESS\"},\"completedAt\":\"1700000009\"}"
} >>said
# obey STATUS JSON-METADATA: handle the next command as the piped
obey() {
	until_true 10 has_command
	piped ReportCommandHandled "{\"commandId\":\"$(jq -r '.commands[0].id' commands)\",\"status\":\"$1\",\"metadata\":$2,\"handledAt\":\"$(date +%s)\"}" >>said
}
has_command() { piped ListUnhandledCommands '{}' >commands; [ "$(jq '.commands|length' commands)" -ge 1 ]; }

@test "an application is added, listed in every form, disabled, enabled and deleted" {
	run -0 add_app one
	id=$output
	run -0 ctl application list -o table
	[[ "${lines[0]}" == "NAME  ID  "*"STATUS"*"UPDATED" ]]
	[[ "${lines[1]}" == "one   $id  "* ]]
	run -0 ctl application list -o wide
	[[ "${lines[1]}" == *"apps/one"*"env=prod,team=one"* ]]
	run -0 ctl application list -o name
	[ "$output" = "$id" ]
	run -0 ctl application list
	[ "$(jq -r '.applications[0].name' <<<"$output")" = one ]
	run -0 ctl application list -o yaml
	[[ "$output" == *"- id: "*"  name: one"* ]]
	run -0 ctl application get "$id" -o json
	[ "$(jq -r '.deployTargetsByPlugin.host.deployTargets[0]' <<<"$output")" = web-1 ]
	run -0 ctl application disable "$id"
	run -0 ctl application list -o name
	[ "$output" = "" ]
	run -0 ctl application list --disabled -o name
	[ "$output" = "$id" ]
	run -0 ctl application enable "$id"
	run -0 ctl application list --label env:prod -o name
	[ "$output" = "$id" ]
	run -0 ctl application list --label env:test -o name
	[ "$output" = "" ]
	run -0 ctl application delete "$id"
	run -1 ctl application get "$id"
}

@test "who is refused learns why, and the exit code says which kind it is" {
	run -1 ctl application get none
	run -100 ctl application add x --piped-id "$PIPED" --repo-id nowhere --app-dir apps/x --deploy-target host=web-1
	[[ "$output" == *"INVALID_ARGUMENT: "*nowhere* ]]
	echo wrong.key >badkey
	run -100 ctl --api-key-file badkey application list
	[[ "$output" == *"$PIPECTL_ADDRESS does not accept this API key"* ]]
	run -111 command pipectl --insecure --address 127.0.0.1:1 application list
	[[ "$output" == *"127.0.0.1:1: "* ]]
	run -100 ctl apikey add x --project demo
	[[ "$output" == *"--local STATEDIR"* ]]
	local_ctl apikey add reader --project demo -o json | jq -r .key >readkey
	run -100 ctl --api-key-file readkey application delete x
	[[ "$output" == *PERMISSION_DENIED* ]]
}

@test "sync waits for the piped's word, and for the deployment where it shall" {
	id=$(add_app one)
	deploy "$id" d1 SUCCESS
	ctl application sync "$id" --wait-status SUCCESS -o json >synced 3>&- &
	obey COMMAND_SUCCEEDED '{"TriggeredDeploymentID":"d1"}'
	wait $!
	[ "$(jq -r .status synced)" = DEPLOYMENT_SUCCESS ]
	ctl application sync "$id" 2>err 3>&- &
	obey COMMAND_FAILED '{"Reason":"spec.trigger.onCommand is disabled"}'
	rc=0; wait $! || rc=$?
	[ "$rc" -eq 1 ]
	grep -q 'spec.trigger.onCommand is disabled' err
	run -111 ctl application sync "$id" --timeout 1s
	[[ "$output" == *"has not answered yet"* ]]
}

@test "a deployment is shown with its stages and logs, and waited for" {
	id=$(add_app one)
	deploy "$id" d1 RUNNING
	run -0 ctl deployment list -o table
	[[ "${lines[1]}" == "d1  one          RUNNING  0123456  "* ]]
	run -0 ctl deployment list --status SUCCESS -o name
	[ "$output" = "" ]
	run -0 ctl deployment get d1 -o table
	[[ "$output" == *"HOST_SYNC  s1  RUNNING"* ]]
	run -0 ctl deployment logs d1
	[[ "$output" == "== HOST_SYNC (s1)"*"switching web-1" ]]
	ctl logs -f d1 >followed 3>&- &
	logs=$!
	ctl deployment wait-status d1 --status SUCCESS >/dev/null 3>&- &
	waits=$!
	until_true 10 grep -q switching followed
	piped ReportStageLogs '{"deploymentId":"d1","stageId":"s1","blocks":[{"index":"2","log":"web-1 is healthy","severity":"SUCCESS","createdAt":"1700000003"}],"completed":true}'
	piped ReportDeploymentCompleted '{"deploymentId":"d1","status":"DEPLOYMENT_SUCCESS","statusReason":"done","stageStatuses":{"s1":"STAGE_SUCCESS"},"completedAt":"1700000009"}'
	wait $waits
	wait $logs
	[ "$(cat followed)" = $'== HOST_SYNC (s1)\nswitching web-1\nweb-1 is healthy' ]
	run -1 ctl deployment wait-status d1 --status FAILURE
	run -0 ctl deployment list --status SUCCESS -o name
	[ "$output" = d1 ]
}

@test "cancel, approve, skip and rollback become commands, and say what came of them" {
	id=$(add_app one)
	deploy "$id" d0 SUCCESS
	deploy "$id" d1 RUNNING
	ctl deployment cancel d1 --no-rollback -o json >out 3>&- &
	obey COMMAND_SUCCEEDED '{}'
	wait $!
	[ "$(jq -r '.commands[0]|"\(.type) \(.cancelDeployment.forceNoRollback)"' commands)" = "CANCEL_DEPLOYMENT true" ]
	[ "$(jq -r .status out)" = COMMAND_SUCCEEDED ]
	ctl deployment approve d1 >out 3>&- &
	obey COMMAND_SUCCEEDED '{}'
	wait $!
	[ "$(jq -r '.commands[0]|"\(.type) \(.approveStage.stageId)"' commands)" = "APPROVE_STAGE s1" ]
	run -1 ctl deployment skip d0
	[[ "$output" == *"no stage of deployment d0 runs now"* ]]
	run -100 ctl deployment rollback d1
	[[ "$output" == *FAILED_PRECONDITION* ]]
}

@test "--watch prints what changes, and nothing twice" {
	id=$(add_app one)
	ctl application list --watch -o table >watched 3>&- &
	W=$!
	until_true 10 grep -q '^one ' watched
	add_app two
	until_true 10 grep -q '^two ' watched
	kill $W
	wait $W || true
	[ "$(grep -c '^one ' watched)" -eq 1 ]
}

@test "pipeds and keys are rotated, from the server and from its host" {
	run -0 ctl piped list -o table
	[[ "${lines[1]}" == "p1    $PIPED  "*"v1 "* ]]
	run -0 ctl piped get "$PIPED"
	run ! grep -q 'hash' <<<"$output"
	run -0 ctl piped rotate-key "$PIPED"
	new=$(jq -r .key <<<"$output")
	run -100 local_ctl piped rotate-key "$PIPED"
	[[ "$output" == *"2 keys already"* ]]
	run -0 ctl piped rotate-key "$PIPED" --finish
	[[ "$(piped ListUnhandledCommands '{}')" == *unauthenticated* ]]
	jq --arg k "$new" '.key=$k' piped.json >p && mv p piped.json
	[ "$(piped ListUnhandledCommands '{}')" = '{}' ]
	run -0 ctl piped disable "$PIPED"
	[[ "$(piped ListUnhandledCommands '{}')" != '{}' ]]
}

@test "what was backed up is registered again under new ids" {
	add_app one
	ctl application disable "$(add_app two)"
	run -0 ctl transfer backup --output-file b.json
	[ "$(jq -r '"\(.applications|length) \(.pipeds|length)"' b.json)" = "2 1" ]
	run -0 ctl transfer restore piped --input-file b.json --output-file map.json
	[ "$(jq -r '.piped_mappings[0].old_piped_id' map.json)" = "$PIPED" ]
	[ "$(stat -c %a map.json)" = 600 ]
	run -1 ctl transfer restore application --input-file b.json --piped-id-mapping-file map.json
	[[ "$output" == *"has no repository web"* ]]
}

@test "an API key that was disabled on the host does not open any more" {
	run -0 ctl application list
	run -0 local_ctl apikey list --project demo -o name
	run -0 local_ctl apikey disable "$output"
	until_true 5 refused
}
refused() { ! ctl application list >/dev/null 2>&1; }

@test "insights, events and sealing answer in their forms" {
	run -0 ctl insight --since 2d -o table
	[[ "${lines[0]}" == "DATE        DEPLOYMENT_FREQUENCY" ]]
	run -100 ctl insight --since yesterday
	[[ "$output" == *'"yesterday" is neither a span'* ]]
	run -0 ctl event register --name image --data v2 --labels app=one
	[ "${#output}" -eq 36 ]
	run -100 ctl event register --name image --data v2 --contexts a_b=c
	[[ "$output" == *"is no trailer's name"* ]]
	openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 2>/dev/null | openssl pkey -pubout >pub.pem
	piped ReportPipedMeta "$(jq -n --arg k "$(cat pub.pem)" '{version:"v1",config:"x",repositories:[{id:"web",branch:"main"}],secretEncryption:{type:"KEY_PAIR",publicKey:$k}}')" >/dev/null
	run -0 ctl encrypt "$PIPED" <<<secret
	[ "${#output}" -ge 372 ]
}
