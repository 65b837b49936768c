#!/usr/bin/env bats
# PipeCD's own pipectl against our control plane.
load lib

setup() {
	peers_need pipectl
	plane_start
	# --piped-meta: what a classic piped says of itself
	piped_says ReportPipedMeta '{"version":"v0.57.0","config":"x","repositories":[{"id":"web","remote":"https://git.example/web.git","branch":"main"}],"platformProviders":[{"name":"tf","type":"TERRAFORM"}],"startedAt":"1700000000","secretEncryption":{"type":"KEY_PAIR","publicKey":"'"$(public_key)"'"}}' >/dev/null
}
teardown() { peers_teardown; }

public_key() {
	openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$A/key.pem" 2>/dev/null
	openssl pkey -in "$A/key.pem" -pubout | base64 -w0
}
# said: the id in a line that says what was made
said() { grep -oE '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}' <<<"$1" | tail -n 1; }
add_app() {
	local out
	out=$(theirs application add --app-name "$1" --app-kind TERRAFORM --piped-id "$PIPED_ID" --platform-provider tf \
		--repo-id web --app-dir "apps/$1" --description "the $1" --labels "env=prod,team=$1" 2>&1) || { echo "$out"; return 1; }
	said "$out"
}
# deploy APP-ID ID STATUS: a deployment as a piped reports it
deploy() {
	piped_says CreateDeployment "{\"deployment\":{\"id\":\"$2\",\"applicationId\":\"$1\",\"applicationName\":\"one\",\"kind\":\"TERRAFORM\",\"platformProvider\":\"tf\",\"pipedId\":\"$PIPED_ID\",\"projectId\":\"demo\",\"gitPath\":{\"repo\":{\"id\":\"web\"},\"path\":\"apps/one\",\"configFilename\":\"app.pipecd.yaml\"},\"trigger\":{\"commit\":{\"hash\":\"0123456789abcdef0123456789abcdef01234567\",\"message\":\"Make it blue\",\"author\":\"ann\",\"branch\":\"main\",\"createdAt\":\"1700000000\"},\"timestamp\":\"1700000001\"},\"status\":\"DEPLOYMENT_PENDING\",\"createdAt\":\"1700000001\",\"updatedAt\":\"1700000001\"}}"
	piped_says ReportDeploymentPlanned "{\"deploymentId\":\"$2\",\"summary\":\"quick\",\"statusReason\":\"planned\",\"stages\":[{\"id\":\"s1\",\"name\":\"TERRAFORM_SYNC\",\"createdAt\":\"1700000001\",\"updatedAt\":\"1700000001\",\"visible\":true}]}"
	piped_says ReportDeploymentStatusChanged "{\"deploymentId\":\"$2\",\"status\":\"DEPLOYMENT_RUNNING\",\"statusReason\":\"running\"}"
	piped_says ReportStageStatusChanged "{\"deploymentId\":\"$2\",\"stageId\":\"s1\",\"status\":\"STAGE_RUNNING\",\"visible\":true,\"completedAt\":\"1700000002\"}"
	piped_says ReportStageLogs "{\"deploymentId\":\"$2\",\"stageId\":\"s1\",\"blocks\":[{\"index\":\"1\",\"log\":\"planning web-1\",\"severity\":\"INFO\",\"createdAt\":\"1700000002\"}]}"
	[ "$3" = RUNNING ] || piped_says ReportDeploymentCompleted "{\"deploymentId\":\"$2\",\"status\":\"DEPLOYMENT_$3\",\"statusReason\":\"done\",\"stageStatuses\":{\"s1\":\"STAGE_SUCCESS\"},\"completedAt\":\"1700000009\"}"
} >>"$A/said"
has_command() { piped_says ListUnhandledCommands '{}' >"$A/commands"; [ "$(jq '.commands|length' "$A/commands")" -ge 1 ]; }
obey() { # STATUS JSON-METADATA
	until_true 20 has_command
	piped_says ReportCommandHandled "{\"commandId\":\"$(jq -r '.commands[0].id' "$A/commands")\",\"status\":\"$1\",\"metadata\":$2,\"handledAt\":\"$(date +%s)\"}" >>"$A/said"
}

@test "PipeCD's pipectl adds, shows, lists, disables and deletes an application" {
	id=$(add_app one)
	[ -n "$id" ]
	[ "$(ours application get "$id" -o json | jq -r '[.name,.kind,.platformProvider,.labels.env,.gitPath.path]|join(" ")')" = "one TERRAFORM tf prod apps/one" ]
	run -0 --separate-stderr theirs application get --app-id "$id"
	[ "$(jq -r '.application.id // .id' <<<"$output")" = "$id" ]
	add_app two
	run -0 --separate-stderr theirs application list
	[ "$(jq -r '[.applications[].name]|sort|join(" ")' <<<"$output")" = "one two" ]
	run -0 --separate-stderr theirs application list --limit 1
	[ "$(jq '.applications|length' <<<"$output")" -eq 1 ]
	cursor=$(jq -r .cursor <<<"$output")
	first=$(jq -r '.applications[0].id' <<<"$output")
	run -0 --separate-stderr theirs application list --limit 1 --cursor "$cursor"
	[ "$(jq -r '.applications[0].id' <<<"$output")" != "$first" ]
	run -0 --separate-stderr theirs application list --label team:two --app-kind TERRAFORM
	[ "$(jq -r '[.applications[].name]|join(" ")' <<<"$output")" = two ]
	theirs application disable --app-id "$id"
	[ "$(ours application get "$id" -o json | jq -r .disabled)" = true ]
	run -0 --separate-stderr theirs application list --disabled
	[ "$(jq -r '[.applications[].name]|join(" ")' <<<"$output")" = one ]
	theirs application delete --app-id "$id"
	run ! theirs application get --app-id "$id"
}

@test "PipeCD's pipectl syncs, and waits for the deployment that came of it" {
	id=$(add_app one)
	deploy "$id" d1 SUCCESS
	theirs application sync --app-id "$id" --wait-status DEPLOYMENT_SUCCESS --check-interval 1s --timeout 60s >"$A/sync.err" 2>&1 3>&- &
	obey COMMAND_SUCCEEDED '{"TriggeredDeploymentID":"d1"}'
	wait $!
	[ "$(jq -r '.commands[0].syncApplication.applicationId' "$A/commands")" = "$id" ]
}

@test "PipeCD's pipectl lists deployments, waits for one and prints its log" {
	id=$(add_app one)
	deploy "$id" d0 SUCCESS
	deploy "$id" d1 RUNNING
	run -0 --separate-stderr theirs deployment list --app-id "$id"
	[ "$(jq -r '[.deployments[].id]|sort|join(" ")' <<<"$output")" = "d0 d1" ]
	run -0 --separate-stderr theirs deployment list --status DEPLOYMENT_RUNNING --app-kind TERRAFORM --app-name one
	run -0 --separate-stderr theirs deployment list --status DEPLOYMENT_RUNNING
	[ "$(jq -r '[.deployments[].id]|join(" ")' <<<"$output")" = d1 ]
	theirs deployment wait-status --deployment-id d1 --status DEPLOYMENT_SUCCESS,DEPLOYMENT_FAILURE --check-interval 1s --timeout 60s >"$A/wait.err" 2>&1 3>&- &
	piped_says ReportStageLogs '{"deploymentId":"d1","stageId":"s1","blocks":[{"index":"2","log":"applied web-1","severity":"SUCCESS","createdAt":"1700000003"}],"completed":true}'
	piped_says ReportDeploymentCompleted '{"deploymentId":"d1","status":"DEPLOYMENT_SUCCESS","statusReason":"done","stageStatuses":{"s1":"STAGE_SUCCESS"},"completedAt":"1700000009"}'
	wait $!
	run -0 theirs deployment logs --deployment-id d1
	[[ "$output" == *"planning web-1"*"applied web-1"* ]]
}

@test "PipeCD's pipectl registers an event, and enables and disables a piped" {
	run -0 theirs event register --name image-update --data v2 --labels app=one --contexts a-b=c \
		--commit-hash 0123456789abcdef0123456789abcdef01234567 --commit-url https://git.example/c --commit-title t --commit-author ann
	run -0 piped_says GetLatestEvent '{"name":"image-update","labels":{"app":"one"}}'
	[ "$(jq -r .event.data <<<"$output")" = v2 ]
	theirs piped disable --piped-id "$PIPED_ID"
	[ "$(ours piped get "$PIPED_ID" -o json | jq -r .disabled)" = true ]
	theirs piped enable --piped-id "$PIPED_ID"
	[ "$(ours piped get "$PIPED_ID" -o json | jq -r '.disabled//false')" = false ]
}

@test "PipeCD's pipectl encrypts what the piped's key can read" {
	printf hunter2 >"$A/plain"
	run -0 --separate-stderr theirs encrypt --piped-id "$PIPED_ID" --input-file "$A/plain"
	[ "${#output}" -ge 300 ]
	run -0 --separate-stderr theirs encrypt --piped-id "$PIPED_ID" --input-file "$A/plain" --use-base64-encoding
	[ "${#output}" -ge 300 ]
}

@test "PipeCD's pipectl backs up, and restores pipeds and applications" {
	add_app one
	two=$(add_app two)
	theirs application disable --app-id "$two"
	theirs transfer backup --output-file "$A/backup.json"
	[ "$(jq -r '[.applications[].name]|sort|join(" ")' "$A/backup.json")" = "one two" ]
	[ "$(jq '.pipeds|length' "$A/backup.json")" -eq 1 ]
	theirs transfer restore piped --input-file "$A/backup.json" --output-file "$A/mapping.json"
	new=$(jq -r '.piped_mappings[0].new_piped_id' "$A/mapping.json")
	[ "$new" != "$PIPED_ID" ]
	# Who restored piped starts it first, so that its repositories are known.
	curl -sS -H "authorization: PIPED-TOKEN demo,$new,$(jq -r '.piped_mappings[0].new_key' "$A/mapping.json")" -H 'content-type: application/json' \
		-d '{"version":"v0.57.0","config":"x","repositories":[{"id":"web","remote":"https://git.example/web.git","branch":"main"}],"platformProviders":[{"name":"tf","type":"TERRAFORM"}],"startedAt":"1700000000"}' \
		"http://$ADDRESS/grpc.service.pipedservice.PipedService/ReportPipedMeta"
	theirs transfer restore application --input-file "$A/backup.json" --piped-id-mapping-file "$A/mapping.json"
	run -0 ours application list --piped-id "$new" --disabled -o json
	[ "$(jq -r '[.applications[].name]|join(" ")' <<<"$output")" = two ]
}

@test "PipeCD's pipectl gives an application of v0 the deploy targets of v1" {
	id=$(add_app one)
	theirs migrate database --applications "$id"
	[ "$(ours application get "$id" -o json | jq -c .deployTargetsByPlugin)" = '{"terraform":{"deployTargets":["tf"]}}' ]
}

@test "PipeCD's pipectl comes by TLS, and trusts whom it is told to" {
	plane_tls
	theirs piped disable --piped-id "$PIPED_ID"
	run -0 --separate-stderr theirs application list
	run ! "$PEERS/pipectl" application list --address "$ADDRESS" --api-key-file "$A/key"
}

@test "PipeCD's pipectl is told what it may not do, and where nothing is" {
	run ! theirs application get --app-id none
	[[ "$output" == *NotFound* ]]
	pipectl --local "$S" apikey add reader --project demo -o json | jq -r .key >"$A/key"
	run ! theirs application delete --app-id none
	[[ "$output" == *PermissionDenied* ]]
	echo wrong.key >"$A/key"
	run ! theirs application list
	[[ "$output" == *Unauthenticated* ]]
}
