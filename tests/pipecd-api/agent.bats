load ../lib/common
load ../lib/api

D=$BATS_FILE_TMPDIR/cp
setup_file() { api_setup "$D"; }
teardown_file() { api_end "$D"; }
setup() { api_again "$D"; }

REPO='"repositories":[{"id":"r","remote":"git@github.com:o/r.git","branch":"main"}]'
COMMIT='{"hash":"c0ffee","message":"m","author":"a","branch":"main","created_at":1700000000}'
GIT='{"repo":{"id":"r"},"path":"web","config_filename":"app.pipecd.yaml"}'

# app NAME [PIPED]: registered, its id
app() {
	call '{"m":"piped/ReportPipedMeta","auth":"'"${2:-a}"'","req":{"version":"v1",'"$REPO"'}}' >/dev/null
	call '{"m":"api/AddApplication","auth":"rw","req":{"name":"'"$1"'","piped_id":"ours-piped-'"${2:-a}"'","git_path":'"$GIT"',"labels":{"app":"'"$1"'"}}}' | jq -r .res.application_id
}
deployment() { # ID APP [MORE]
	echo '{"id":"'"$1"'","application_id":"'"$2"'","application_name":"x","piped_id":"ours-piped-a","project_id":"ours","git_path":'"$GIT"',"trigger":{"commit":'"$COMMIT"',"timestamp":1700000000},"created_at":1700000000'"${3:-}"'}'
}
STAGES='[{"id":"s1","name":"WAIT","created_at":1,"updated_at":1},{"id":"s2","name":"WAIT_APPROVAL","metadata":{"Approvers":"alice"},"created_at":1,"updated_at":1}]'

@test "agent: a deployment goes its way, and never back" {
	a=$(app way)
	run -0 calls <<-X
	{"m":"piped/CreateDeployment","auth":"a","req":{"deployment":$(deployment way1 "$a")}}
	{"m":"piped/CreateDeployment","auth":"a","req":{"deployment":$(deployment way1 "$a")}}
	{"m":"piped/ListNotCompletedDeployments","auth":"a"}
	{"m":"piped/ReportDeploymentPlanned","auth":"a","req":{"deployment_id":"way1","summary":"sum","running_commit_hash":"old","stages":$STAGES,"versions":[{"version":"v1","name":"n"}],"sync_strategy":"PIPELINE"}}
	{"m":"piped/ReportDeploymentStatusChanged","auth":"a","req":{"deployment_id":"way1","status":"DEPLOYMENT_RUNNING"}}
	{"m":"piped/ReportDeploymentPlanned","auth":"a","req":{"deployment_id":"way1","summary":"again"}}
	{"m":"piped/ReportDeploymentStatusChanged","auth":"a","req":{"deployment_id":"way1","status":"DEPLOYMENT_SUCCESS"}}
	{"m":"piped/ReportStageStatusChanged","auth":"a","req":{"deployment_id":"way1","stage_id":"s1","status":"STAGE_SUCCESS","visible":true,"completed_at":1700000001,"requires":["x"]}}
	{"m":"piped/ReportStageStatusChanged","auth":"a","req":{"deployment_id":"way1","stage_id":"none","status":"STAGE_SUCCESS","completed_at":1}}
	{"m":"piped/ReportDeploymentCompleted","auth":"a","req":{"deployment_id":"way1","status":"DEPLOYMENT_SUCCESS","status_reason":"done","completed_at":1700000009,"stage_statuses":{"s2":"STAGE_SKIPPED"}}}
	{"m":"piped/ReportDeploymentCompleted","auth":"a","req":{"deployment_id":"way1","status":"DEPLOYMENT_SUCCESS","status_reason":"done","completed_at":1700000009}}
	{"m":"piped/ReportDeploymentCompleted","auth":"a","req":{"deployment_id":"way1","status":"DEPLOYMENT_FAILURE","completed_at":1700000009}}
	{"m":"piped/ReportDeploymentStatusChanged","auth":"a","req":{"deployment_id":"way1","status":"DEPLOYMENT_RUNNING"}}
	{"m":"piped/ReportDeploymentCompleted","auth":"a","req":{"deployment_id":"way1","status":"DEPLOYMENT_RUNNING","completed_at":1}}
	X
	codes=$(jq -rs 'map(.code) | join(" ")' <<<"$output")
	[ "$codes" = "OK ALREADY_EXISTS OK OK OK FAILED_PRECONDITION INVALID_ARGUMENT OK NOT_FOUND OK OK FAILED_PRECONDITION FAILED_PRECONDITION INVALID_ARGUMENT" ]
	[ "$(jq -r '.res.deployments[0].id' <<<"${lines[2]}")" = way1 ]
	call '{"m":"api/GetDeployment","auth":"ro","req":{"deployment_id":"way1"}}' >"$BATS_TEST_TMPDIR/d"
	jq -e '.res.deployment | .status == "DEPLOYMENT_SUCCESS" and .status_reason == "done" and .summary == "sum" and
	    .running_commit_hash == "old" and .completed_at == "1700000009" and .trigger.sync_strategy == "PIPELINE" and
	    .stages[0].status == "STAGE_SUCCESS" and .stages[0].requires == ["x"] and .stages[1].status == "STAGE_SKIPPED"' "$BATS_TEST_TMPDIR/d"
	# The log says that it is finished.
	[ "$(call '{"m":"piped/ListNotCompletedDeployments","auth":"a"}' | jq '[.res.deployments[]? | select(.id == "way1")] | length')" -eq 0 ]
}

@test "agent: metadata of deployment, plugin and stage is merged, key by key" {
	a=$(app meta)
	run -0 calls <<-X
	{"m":"piped/CreateDeployment","auth":"a","req":{"deployment":$(deployment meta1 "$a")}}
	{"m":"piped/ReportDeploymentPlanned","auth":"a","req":{"deployment_id":"meta1","stages":$STAGES}}
	{"m":"piped/SaveDeploymentMetadata","auth":"a","req":{"deployment_id":"meta1","metadata":{"a":"1","b":"2"}}}
	{"m":"piped/SaveDeploymentMetadata","auth":"a","req":{"deployment_id":"meta1","metadata":{"b":"3","c":"4"}}}
	{"m":"piped/SaveDeploymentSharedMetadata","auth":"a","req":{"deployment_id":"meta1","metadata":{"k":"v"}}}
	{"m":"piped/SaveDeploymentSharedMetadata","auth":"a","req":{"deployment_id":"meta1","metadata":{"l":"w"}}}
	{"m":"piped/SaveDeploymentPluginMetadata","auth":"a","req":{"deployment_id":"meta1","plugin_name":"p","metadata":{"x":"1"}}}
	{"m":"piped/SaveDeploymentPluginMetadata","auth":"a","req":{"deployment_id":"meta1","plugin_name":"q","metadata":{"x":"2"}}}
	{"m":"piped/SaveDeploymentPluginMetadata","auth":"a","req":{"deployment_id":"meta1","plugin_name":"p","metadata":{"y":"3"}}}
	{"m":"piped/SaveStageMetadata","auth":"a","req":{"deployment_id":"meta1","stage_id":"s2","metadata":{"ApprovedBy":"bob"}}}
	{"m":"piped/GetDeployment","auth":"a","req":{"id":"meta1"}}
	X
	jq -e '.res.deployment | .metadata == {"a":"1","b":"3","c":"4"} and
	    .metadata_v2.shared.keyValues == {"k":"v","l":"w"} and
	    .metadata_v2.plugins.p.keyValues == {"x":"1","y":"3"} and .metadata_v2.plugins.q.keyValues == {"x":"2"} and
	    .stages[1].metadata == {"Approvers":"alice","ApprovedBy":"bob"}' <<<"${lines[-1]}"
}

@test "agent: lines of a stage's log come once each, and none after its end" {
	a=$(app logs)
	b() { printf '{"index":%d,"log":"line %d","created_at":1700000000}' "$1" "$1"; }
	run -0 calls <<-X
	{"m":"piped/CreateDeployment","auth":"a","req":{"deployment":$(deployment logs1 "$a")}}
	{"m":"piped/ReportDeploymentPlanned","auth":"a","req":{"deployment_id":"logs1","stages":$STAGES}}
	{"m":"piped/ReportStageLogs","auth":"a","req":{"deployment_id":"logs1","stage_id":"s1","blocks":[$(b 1),$(b 2)]}}
	{"m":"piped/ReportStageLogs","auth":"a","req":{"deployment_id":"logs1","stage_id":"s1","blocks":[$(b 2),$(b 3)]}}
	{"m":"piped/ReportStageLogsFromLastCheckpoint","auth":"a","req":{"deployment_id":"logs1","stage_id":"s1","blocks":[$(b 3),$(b 4)],"completed":true}}
	{"m":"piped/ReportStageLogs","auth":"a","req":{"deployment_id":"logs1","stage_id":"s1","blocks":[$(b 5)]}}
	{"m":"piped/ReportStageLogs","auth":"b","req":{"deployment_id":"logs1","stage_id":"s1","blocks":[$(b 5)]}}
	{"m":"piped/ReportStageLogs","auth":"a","req":{"deployment_id":"logs1","stage_id":"s2","blocks":[$(b 9)]}}
	{"m":"api/ListStageLogs","auth":"ro","req":{"deployment_id":"logs1"}}
	{"m":"operator/GetStageLog","auth":"ro","req":{"deployment_id":"logs1","stage_id":"s1","offset_index":3}}
	X
	[ "$(jq -rs 'map(.code) | join(" ")' <<<"$output")" = "OK OK OK OK OK FAILED_PRECONDITION PERMISSION_DENIED OK OK OK" ]
	jq -e '.res.stage_logs | (.s1.blocks | map(.log)) == ["line 1","line 2","line 3","line 4"] and .s1.completed and
	    (.s2.blocks | length) == 1 and (.s2.completed | not)' <<<"${lines[8]}"
	jq -e '(.res.blocks | map(.index)) == ["3","4"] and .res.completed' <<<"${lines[9]}"
}

@test "agent: what an application remembers is told back, and its state is what was reported" {
	a=$(app recent)
	ref='{"deployment_id":"d1","trigger":{"commit":'$COMMIT',"timestamp":1700000000},"started_at":1700000000}'
	run -0 calls <<-X
	{"m":"piped/GetApplicationMostRecentDeployment","auth":"a","req":{"application_id":"$a","status":"DEPLOYMENT_PENDING"}}
	{"m":"piped/ReportApplicationMostRecentDeployment","auth":"a","req":{"application_id":"$a","status":"DEPLOYMENT_PENDING","deployment":$ref}}
	{"m":"piped/ReportApplicationMostRecentDeployment","auth":"a","req":{"application_id":"$a","status":"DEPLOYMENT_SUCCESS","deployment":${ref/d1/d0}}}
	{"m":"piped/GetApplicationMostRecentDeployment","auth":"a","req":{"application_id":"$a","status":"DEPLOYMENT_PENDING"}}
	{"m":"piped/GetApplicationMostRecentDeployment","auth":"a","req":{"application_id":"$a","status":"DEPLOYMENT_SUCCESS"}}
	{"m":"piped/ReportApplicationDeployingStatus","auth":"a","req":{"application_id":"$a","deploying":true}}
	{"m":"piped/ReportApplicationSyncState","auth":"a","req":{"application_id":"$a","state":{"status":"OUT_OF_SYNC","short_reason":"r","timestamp":1700000000}}}
	{"m":"piped/UpdateApplicationConfigurations","auth":"a","req":{"applications":[{"id":"$a","name":"renamed","description":"d","labels":{"k":"v"},"repo_id":"r","path":"web","piped_id":"ours-piped-a"}]}}
	{"m":"api/GetApplication","auth":"ro","req":{"application_id":"$a"}}
	{"m":"api/ListApplications","auth":"ro","req":{"labels":{"k":"v"},"kind":"KUBERNETES"}}
	{"m":"api/ListApplications","auth":"ro","req":{"name":"recent"}}
	{"m":"api/ListApplications","auth":"ro","req":{"kind":"NONSENSE"}}
	X
	[ "$(jq -rs 'map(.code) | join(" ")' <<<"$output")" = "NOT_FOUND OK OK OK OK OK OK OK OK OK OK INVALID_ARGUMENT" ]
	[ "$(jq -r .res.deployment.deployment_id <<<"${lines[3]}") $(jq -r .res.deployment.deployment_id <<<"${lines[4]}")" = "d1 d0" ]
	jq -e '.res.application | .name == "renamed" and .description == "d" and .labels == {"k":"v"} and .deploying and
	    .sync_state.status == "OUT_OF_SYNC" and .git_path.url == "https://github.com/o/r/tree/main/web"' <<<"${lines[8]}"
	[ "$(jq '.res.applications | length' <<<"${lines[9]}")" -eq 1 ]
	[ "$(jq '.res.applications // [] | length' <<<"${lines[10]}")" -eq 0 ]
}

@test "agent: a command is offered until it was handled, and its output is kept" {
	a=$(app cmd)
	id=$(call '{"m":"api/SyncApplication","auth":"rw","req":{"application_id":"'"$a"'"}}' | jq -r .res.command_id)
	listed() { call '{"m":"piped/ListUnhandledCommands","auth":"a"}' | jq -e --arg id "$id" '[.res.commands[]? | select(.id == $id)] | length == '"$1"; }
	listed 1
	run -0 calls <<-X
	{"m":"piped/ReportCommandHandled","auth":"b","req":{"command_id":"$id","status":"COMMAND_SUCCEEDED","handled_at":5}}
	{"m":"piped/ReportCommandHandled","auth":"a","req":{"command_id":"$id","status":"COMMAND_NOT_HANDLED_YET","handled_at":5}}
	{"m":"piped/ReportCommandHandled","auth":"a","req":{"command_id":"$id","status":"COMMAND_SUCCEEDED","metadata":{"TriggeredDeploymentID":"d9"},"handled_at":5,"output":"e30="}}
	{"m":"piped/ReportCommandHandled","auth":"a","req":{"command_id":"$id","status":"COMMAND_FAILED","handled_at":6}}
	{"m":"api/GetCommand","auth":"ro","req":{"command_id":"$id"}}
	X
	[ "$(jq -rs 'map(.code) | join(" ")' <<<"$output")" = "PERMISSION_DENIED INVALID_ARGUMENT OK OK OK" ]
	jq -e '.res.command | .status == "COMMAND_SUCCEEDED" and .metadata.TriggeredDeploymentID == "d9" and .type == null and
	    .sync_application.application_id == .application_id and .commander == "api-key:rw"' <<<"${lines[4]}"
	listed 0
	call '{"m":"api/DisableApplication","auth":"rw","req":{"application_id":"'"$a"'"}}'
	[ "$(call '{"m":"api/SyncApplication","auth":"rw","req":{"application_id":"'"$a"'"}}' | jq -r .code)" = FAILED_PRECONDITION ]
	[ "$(call '{"m":"piped/ListApplications","auth":"a"}' | jq --arg a "$a" '[.res.applications[]? | select(.id == $a)] | length')" -eq 0 ]
}

@test "agent: events are keyed by name and labels, listed by time, and told what became of them" {
	run -0 calls <<-X
	{"m":"piped/GetLatestEvent","auth":"a","req":{"name":"image","labels":{"env":"dev","app":"x"}}}
	{"m":"api/RegisterEvent","auth":"rw","req":{"name":"image","data":"v1","labels":{"app":"x","env":"dev"},"contexts":{"a-b":"c"}}}
	{"m":"api/RegisterEvent","auth":"rw","req":{"name":"image","data":"v0","labels":{"app":"y"}}}
	{"m":"piped/GetLatestEvent","auth":"a","req":{"name":"image","labels":{"env":"dev","app":"x"}}}
	{"m":"piped/ListEvents","auth":"b","req":{"status":"NOT_HANDLED","order":"ASC"}}
	{"m":"api/RegisterEvent","auth":"rw","req":{"name":"t","data":"d","commit_hash":"c","commit_url":"u","commit_title":"title"}}
	X
	[ "$(jq -rs 'map(.code) | join(" ")' <<<"$output")" = "NOT_FOUND OK OK OK OK OK" ]
	id=$(jq -r .res.event_id <<<"${lines[1]}")
	jq -e --arg id "$id" '.res.event.id == $id and .res.event.data == "v1"' <<<"${lines[3]}"
	[ "$(jq -r .res.event.event_key <<<"${lines[3]}")" = "$(printf 'image/app:x/env:dev' | sha256sum | cut -d' ' -f1)" ]
	[ "$(jq '.res.events | length' <<<"${lines[4]}")" -ge 2 ]
	run -0 calls <<-X
	{"m":"piped/ReportEventStatuses","auth":"a","req":{"events":[{"id":"$id","status":"EVENT_OUTDATED","status_description":"old"}]}}
	{"m":"piped/ReportEventStatuses","auth":"a","req":{"events":[{"id":"nothere","status":"EVENT_OUTDATED","status_description":"old"}]}}
	{"m":"piped/ListEvents","auth":"a","req":{"status":"OUTDATED"}}
	X
	[ "$(jq -rs 'map(.code) | join(" ")' <<<"$output")" = "OK NOT_FOUND OK" ]
	jq -e --arg id "$id" '.res.events | length == 1 and .[0].id == $id and .[0].status_description == "old"' <<<"${lines[2]}"
}

@test "agent: a chain is made at once with all its commands, and lets each block go in its turn" {
	a=$(app first) b=$(app second b)
	run -0 calls <<-X
	{"m":"piped/CreateDeploymentChain","auth":"a","req":{"first_deployment":$(deployment chain1 "$a"),"matchers":[{"name":"second"},{"name":"first"}]}}
	{"m":"piped/CreateDeploymentChain","auth":"a","req":{"first_deployment":$(deployment chain1 "$a"),"matchers":[]}}
	{"m":"piped/CreateDeploymentChain","auth":"a","req":{"first_deployment":$(deployment chain2 "$a"),"matchers":[{"kind":"WHAT"}]}}
	{"m":"piped/GetDeployment","auth":"a","req":{"id":"chain1"}}
	{"m":"piped/ListUnhandledCommands","auth":"b"}
	X
	[ "$(jq -rs 'map(.code) | join(" ")' <<<"$output")" = "OK ALREADY_EXISTS INVALID_ARGUMENT OK OK" ]
	chain=$(jq -r .res.deployment.deployment_chain_id <<<"${lines[3]}")
	jq -e --arg h "$chain" --arg b "$b" '[.res.commands[] | select(.chain_sync_application.deployment_chain_id == $h)] |
	    length == 1 and .[0].type == "CHAIN_SYNC_APPLICATION" and .[0].application_id == $b and .[0].chain_sync_application.block_index == 1' <<<"${lines[4]}"
	second=$(deployment chain3 "$b" ',"deployment_chain_id":"'"$chain"'","deployment_chain_block_index":1')
	second=${second/ours-piped-a/ours-piped-b}
	ask='{"m":"piped/InChainDeploymentPlannable","auth":"b","req":{"deployment_id":"chain3","deployment_chain_id":"'$chain'","deployment_chain_block_index":1}}'
	run -0 calls <<-X
	{"m":"piped/CreateDeployment","auth":"b","req":{"deployment":$second}}
	$ask
	{"m":"piped/ReportDeploymentPlanned","auth":"a","req":{"deployment_id":"chain1","deployment_chain_id":"$chain","stages":$STAGES}}
	{"m":"piped/ReportDeploymentStatusChanged","auth":"a","req":{"deployment_id":"chain1","status":"DEPLOYMENT_RUNNING","deployment_chain_id":"$chain"}}
	$ask
	{"m":"piped/ReportDeploymentCompleted","auth":"a","req":{"deployment_id":"chain1","status":"DEPLOYMENT_SUCCESS","completed_at":5,"deployment_chain_id":"$chain"}}
	$ask
	{"m":"piped/ReportDeploymentCompleted","auth":"b","req":{"deployment_id":"chain3","status":"DEPLOYMENT_FAILURE","completed_at":6,"deployment_chain_id":"$chain","deployment_chain_block_index":1}}
	$ask
	{"m":"piped/InChainDeploymentPlannable","auth":"a","req":{"deployment_id":"chain1","deployment_chain_id":"$chain","deployment_chain_block_index":2}}
	{"m":"piped/InChainDeploymentPlannable","auth":"a","req":{"deployment_id":"chain1","deployment_chain_id":"$chain","deployment_chain_block_index":3}}
	X
	[ "$(jq -rs 'map(.code) | join(" ")' <<<"$output")" = "OK OK OK OK OK OK OK OK OK OK INVALID_ARGUMENT" ]
	[ "$(jq -c .res <<<"${lines[1]}") $(jq -c .res <<<"${lines[4]}")" = "{} {}" ] # wait
	jq -e '.res.plannable' <<<"${lines[6]}"
	jq -e '.res.cancel and (.res.cancel_reason | contains("FAILURE"))' <<<"${lines[8]}"
	jq -e '.res.cancel and (.res.cancel_reason | contains("FAILURE"))' <<<"${lines[9]}"
}

@test "agent: live states, analyses and shared objects are kept for each application" {
	a=$(app live)
	res() { printf '{"id":"%s","name":"n","api_version":"v1","kind":"%s","created_at":1,"updated_at":1}' "$1" "$2"; }
	ev() { printf '{"id":"%s","application_id":"%s","type":"%s","state":%s,"snapshot_version":{"timestamp":7,"index":%d},"created_at":1}' "$1" "$2" "$3" "$4" "$5"; }
	run -0 calls <<-X
	{"m":"piped/ReportApplicationLiveState","auth":"a","req":{"snapshot":{"application_id":"$a","piped_id":"ours-piped-a","project_id":"ours","kubernetes":{"resources":[$(res 1 Pod)]},"version":{"timestamp":7}}}}
	{"m":"piped/ReportApplicationLiveStateEvents","auth":"a","req":{"kubernetes_events":[$(ev e1 "$a" ADD_OR_UPDATED "$(res 2 Service)" 1),$(ev e2 "$a" DELETED "$(res 1 Pod)" 2),$(ev e3 nobody DELETED "$(res 1 Pod)" 2)]}}
	{"m":"piped/PutLatestAnalysisResult","auth":"a","req":{"application_id":"$a","analysis_result":{"start_time":77}}}
	{"m":"piped/GetLatestAnalysisResult","auth":"a","req":{"application_id":"$a"}}
	{"m":"piped/PutApplicationSharedObject","auth":"a","req":{"application_id":"$a","plugin_name":"../p","key":"a/b c","object":"aGk="}}
	{"m":"piped/GetApplicationSharedObject","auth":"a","req":{"application_id":"$a","plugin_name":"../p","key":"a/b c"}}
	{"m":"piped/GetApplicationSharedObject","auth":"a","req":{"application_id":"$a","plugin_name":"p","key":"x"}}
	{"m":"piped/ReportUnregisteredApplicationConfigurations","auth":"a","req":{"applications":[{"name":"n","repo_id":"r","path":"pp","piped_id":"x"}]}}
	X
	[ "$(jq -rs 'map(.code) | join(" ")' <<<"$output")" = "OK OK OK OK OK OK NOT_FOUND OK" ]
	[ "$(jq -c .res.failed_ids <<<"${lines[1]}")" = '["e3"]' ]
	[ "$(jq -r .res.analysis_result.start_time <<<"${lines[3]}")" = 77 ]
	[ "$(jq -r .res.object <<<"${lines[5]}")" = aGk= ]
	"$PEER" - "$D/state" "$a" <<-'PY'
	import os, sys
	sys.path.insert(0, os.environ["ROOT"] + "/tests/pipecd-api")
	import ask, model.application_live_state_pb2 as l
	r = ask.Store(sys.argv[1]).ask(object_get=ask.s.ObjectGet(key="application-live-state/%s.pb" % sys.argv[2]))
	m = l.ApplicationLiveStateSnapshot.FromString(r.data)
	assert [x.id for x in m.kubernetes.resources] == ["2"], m
	assert m.version.index == 2, m
	PY
}

@test "agent: a request that breaks a value rule is refused with the field's name" {
	run -0 calls <<-X
	{"m":"piped/GetDeployment","auth":"a","req":{}}
	{"m":"piped/CreateDeployment","auth":"a","req":{"deployment":$(deployment bad x ',"stages":[{"id":"s","name":""}]')}}
	{"m":"api/RegisterEvent","auth":"rw","req":{"name":"n","data":"d","contexts":{"a--b":"c"}}}
	{"m":"api/GetDeployment","auth":"rw","req":{}}
	X
	[ "$(jq -rs 'map(.code) | unique | join(" ")' <<<"$output")" = INVALID_ARGUMENT ]
	[ "$(jq -r .message <<<"${lines[0]}")" = "id: must not be empty" ]
	[ "$(jq -r .message <<<"${lines[1]}")" = "deployment.stages[0].name: must not be empty" ]
	[[ "$(jq -r .message <<<"${lines[2]}")" == 'contexts["a--b"]: '* ]]
}
