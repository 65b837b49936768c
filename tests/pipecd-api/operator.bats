load ../lib/common
load ../lib/api

D=$BATS_FILE_TMPDIR/cp
setup_file() { api_setup "$D"; }
teardown_file() { api_end "$D"; }
setup() { api_again "$D"; }

COMMIT='{"hash":"c0ffee","message":"m","author":"a","branch":"main","created_at":1700000000}'
GIT='{"repo":{"id":"r"},"path":"web","config_filename":"web.pipecd.yaml"}'
STAGES='[{"id":"w","name":"WAIT","created_at":1,"updated_at":1},{"id":"a","name":"WAIT_APPROVAL","metadata":{"Approvers":"alice,api-key:rw"},"created_at":1,"updated_at":1},{"id":"b","name":"WAIT_APPROVAL","authorized_operators":["alice"],"created_at":1,"updated_at":1},{"id":"n","name":"ANALYSIS","created_at":1,"updated_at":1}]'

meta() { call '{"m":"piped/ReportPipedMeta","auth":"'"$1"'","req":{"version":"v1","repositories":[{"id":"r","remote":"git@github.com:o/r.git","branch":"main"}]'"${2:-}"'}}' >/dev/null; }
# deployed APP DEPLOYMENT: planned, with four stages; the application's id
deployed() {
	meta a
	a=$(call '{"m":"api/AddApplication","auth":"rw","req":{"name":"'"$1"'","piped_id":"ours-piped-a","git_path":'"$GIT"'}}' | jq -r .res.application_id)
	calls >/dev/null <<-X
	{"m":"piped/CreateDeployment","auth":"a","req":{"deployment":{"id":"$2","application_id":"$a","application_name":"$1","piped_id":"ours-piped-a","project_id":"ours","git_path":$GIT,"trigger":{"commit":$COMMIT,"timestamp":1},"created_at":1}}}
	{"m":"piped/ReportDeploymentPlanned","auth":"a","req":{"deployment_id":"$2","stages":$STAGES}}
	X
	echo "$a"
}

@test "operator: cancel, approve and skip become commands for the agent, or are refused with the reason" {
	deployed op op1
	run -0 calls <<-X
	{"m":"operator/ApproveStage","auth":"rw","req":{"deployment_id":"op1","stage_id":"a"}}
	{"m":"operator/ApproveStage","auth":"rw","req":{"deployment_id":"op1","stage_id":"b"}}
	{"m":"operator/ApproveStage","auth":"rw","req":{"deployment_id":"op1","stage_id":"none"}}
	{"m":"operator/SkipStage","auth":"rw","req":{"deployment_id":"op1","stage_id":"n"}}
	{"m":"operator/SkipStage","auth":"rw","req":{"deployment_id":"op1","stage_id":"w"}}
	{"m":"operator/CancelDeployment","auth":"rw","req":{"deployment_id":"op1","force_rollback":true}}
	{"m":"piped/ListUnhandledCommands","auth":"a"}
	{"m":"operator/RollbackDeployment","auth":"rw","req":{"deployment_id":"op1"}}
	{"m":"piped/ReportDeploymentCompleted","auth":"a","req":{"deployment_id":"op1","status":"DEPLOYMENT_SUCCESS","completed_at":9}}
	{"m":"operator/CancelDeployment","auth":"rw","req":{"deployment_id":"op1"}}
	{"m":"operator/ApproveStage","auth":"rw","req":{"deployment_id":"op1","stage_id":"a"}}
	{"m":"operator/RollbackDeployment","auth":"rw","req":{"deployment_id":"op1"}}
	X
	[ "$(jq -rs 'map(.code) | join(" ")' <<<"$output")" = "OK PERMISSION_DENIED NOT_FOUND OK FAILED_PRECONDITION OK OK FAILED_PRECONDITION OK FAILED_PRECONDITION FAILED_PRECONDITION OK" ]
	jq -e '[.res.commands[] | select(.deployment_id == "op1") | [.type, .stage_id, .commander]] | sort ==
	    [["APPROVE_STAGE","a","api-key:rw"],["CANCEL_DEPLOYMENT",null,"api-key:rw"],["SKIP_STAGE","n","api-key:rw"]]' <<<"${lines[6]}"
	jq -e '[.res.commands[] | select(.type == "CANCEL_DEPLOYMENT")][0].cancel_deployment.force_rollback' <<<"${lines[6]}"
	id=$(jq -r .res.command_id <<<"${lines[11]}")
	call '{"m":"api/GetCommand","auth":"ro","req":{"command_id":"'"$id"'"}}' |
	    jq -e '.res.command | .type == "ROLLBACK_DEPLOYMENT" and .rollback_deployment.commit_hash == "c0ffee" and .rollback_deployment.config_filename == "web.pipecd.yaml"'
}

@test "operator: a sync says its strategy, and agents are listed with whether they are there" {
	a=$(deployed sync sync1)
	id=$(call '{"m":"operator/SyncApplication","auth":"rw","req":{"application_id":"'"$a"'","sync_strategy":"QUICK_SYNC"}}' | jq -r .res.command_id)
	call '{"m":"api/GetCommand","auth":"ro","req":{"command_id":"'"$id"'"}}' | jq -e '.res.command.sync_application.sync_strategy == "QUICK_SYNC"'
	call '{"m":"piped/ReportStat","auth":"a"}' >/dev/null
	call '{"m":"operator/ListPipeds","auth":"ro","req":{"with_status":true}}' >"$BATS_TEST_TMPDIR/p"
	jq -e '.res.pipeds | map({(.id): .status}) | add | .["ours-piped-a"] == "ONLINE" and .["ours-piped-b"] != "ONLINE" and (keys | length) == 3' "$BATS_TEST_TMPDIR/p"
	! grep -q theirs "$BATS_TEST_TMPDIR/p"
	! grep -q hash "$BATS_TEST_TMPDIR/p"
	[ "$(call '{"m":"operator/ListPipeds","auth":"ro","req":{"options":{"enabled":false}}}' | jq -r '.res.pipeds | map(.id) | join(" ")')" = ours-piped-off ]
}

@test "operator: lists filter by all that is asked for, page by page, and say when there is no more" {
	for i in 1 2 3 4 5; do deployed list "list$i" >/dev/null; done
	call '{"m":"piped/ReportDeploymentCompleted","auth":"a","req":{"deployment_id":"list2","status":"DEPLOYMENT_FAILURE","completed_at":9}}' >/dev/null
	list() { call '{"m":"api/ListDeployments","auth":"ro","req":{"application_name":"list","limit":2'"$1"'}}'; }
	ids= cursor=
	for _ in 1 2 3 4; do
		r=$(list "${cursor:+,\"cursor\":\"$cursor\"}")
		ids="$ids $(jq -r '[.res.deployments[]?.id] | join(" ")' <<<"$r")"
		cursor=$(jq -r '.res.cursor // ""' <<<"$r")
		[ -n "$cursor" ] || break
	done
	[ "$(tr ' ' '\n' <<<"$ids" | grep . | sort | tr '\n' ' ')" = "list1 list2 list3 list4 list5 " ]
	[ "$(list ',"statuses":["DEPLOYMENT_FAILURE","SUCCESS"]' | jq -r '[.res.deployments[].id] | join(" ")')" = list2 ]
	[ "$(list ',"statuses":["NONSENSE"]' | jq -r '.code + " " + .message')" = 'INVALID_ARGUMENT statuses[0]: "NONSENSE" is no model.DeploymentStatus' ]
	[ "$(list ',"cursor":"nonsense"' | jq -r .code)" = INVALID_ARGUMENT ]
}

@test "operator: a plan preview asks each agent of the repository, and says what they found" {
	meta a
	meta b ',"version":"v2"'
	call '{"m":"piped/ReportStat","auth":"a"}' >/dev/null
	run -0 call '{"m":"api/RequestPlanPreview","auth":"rw","req":{"repo_remote_url":"https://github.com/o/r","head_branch":"h","head_commit":"c","base_branch":"main"}}'
	ids=$(jq -c .res.commands <<<"$output")
	[ "$(jq length <<<"$ids")" -eq 2 ]
	[ "$(call '{"m":"api/RequestPlanPreview","auth":"rw","req":{"repo_remote_url":"https://github.com/o/r","head_branch":"h","head_commit":"c","base_branch":"dev"}}' | jq -c .res)" = '{}' ]
	results() { call '{"m":"api/GetPlanPreviewResults","auth":"rw","req":{"commands":'"$ids"'}}'; }
	results | jq -e '.code == "NOT_FOUND" and (.message | contains("Waiting for the result"))'
	mine=$(call '{"m":"piped/ListUnhandledCommands","auth":"a"}' | jq -r '[.res.commands[] | select(.type == "BUILD_PLAN_PREVIEW")][0].id')
	out=$(printf '{"command_id":"x","results":[{"application_id":"app1","application_name":"n","sync_strategy":2,"plan_summary":"aGk=","created_at":5}]}' | base64 -w0)
	call '{"m":"piped/ReportCommandHandled","auth":"a","req":{"command_id":"'"$mine"'","status":"COMMAND_SUCCEEDED","handled_at":5,"output":"'"$out"'"}}' >/dev/null
	# The other agent has never said that it is there.
	results >"$BATS_TEST_TMPDIR/r"
	jq -e --arg id "$mine" '.res.results | map(select(.command_id == $id))[0] | .piped_name == "a" and
	    .results[0].application_url == "https://pipecd.example/applications/app1" and .results[0].sync_strategy == "PIPELINE" and .results[0].plan_summary == "aGk="' "$BATS_TEST_TMPDIR/r"
	jq -e --arg id "$mine" '.res.results | map(select(.command_id != $id))[0] | .error | contains("offline")' "$BATS_TEST_TMPDIR/r"
}

@test "operator: what is encrypted for an agent opens with its key" {
	cd "$BATS_TEST_TMPDIR"
	openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out key 2>/dev/null
	openssl pkey -in key -pubout -out pub
	[ "$(call '{"m":"api/Encrypt","auth":"ro","req":{"plaintext":"secret","piped_id":"ours-piped-b"}}' | jq -r .code)" = FAILED_PRECONDITION ]
	meta a ',"secret_encryption":{"type":"KEY_PAIR","public_key":'"$(jq -Rs . pub)"'}'
	text=$(call '{"m":"api/Encrypt","auth":"ro","req":{"plaintext":"hello","piped_id":"ours-piped-a"}}' | jq -r .res.ciphertext)
	[ "${#text}" -eq 372 ]
	# Two bytes of length, the sealed key, AES-256-GCM with a nonce of zeros.
	base64 -d <<<"$text" >sealed
	n=$((16#$(head -c 2 sealed | xxd -p)))
	[ "$n" -eq 256 ]
	tail -c +3 sealed | head -c "$n" | openssl pkeyutl -decrypt -inkey key -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 -out aes
	[ "$(stat -c %s aes)" -eq 32 ]
	[ "$(call '{"m":"api/Encrypt","auth":"their ro","req":{"plaintext":"x","piped_id":"ours-piped-a"}}' | jq -r .code)" = NOT_FOUND ]
}

@test "operator: applications are updated, renamed, given targets and deleted" {
	a=$(deployed life life1) b=$(deployed life life2)
	run -0 calls <<-X
	{"m":"api/UpdateApplication","auth":"rw","req":{"application_id":"$a","piped_id":"ours-piped-b","git_path":${GIT/\"r\"/\"none\"}}}
	{"m":"piped/ReportPipedMeta","auth":"b","req":{"version":"v1","repositories":[{"id":"r","remote":"https://gitlab.com/o/r.git","branch":"main"}]}}
	{"m":"api/UpdateApplication","auth":"rw","req":{"application_id":"$a","piped_id":"ours-piped-b","git_path":$GIT}}
	{"m":"api/RenameApplicationConfigFile","auth":"rw","req":{"application_ids":["$a","$b"],"new_filename":"new.pipecd.yaml"}}
	{"m":"api/RenameApplicationConfigFile","auth":"rw","req":{"application_ids":["$a","$a"],"new_filename":"new.pipecd.yaml"}}
	{"m":"api/RenameApplicationConfigFile","auth":"rw","req":{"application_ids":["$a","nope"],"new_filename":"other.pipecd.yaml"}}
	{"m":"api/UpdateApplicationDeployTargets","auth":"rw","req":{"application_id":"$a","deploy_targets_by_plugin":{"kubernetes":{"deploy_targets":["dev"]}}}}
	{"m":"piped/ReportApplicationDeployingStatus","auth":"a","req":{"application_id":"$a","deploying":true}}
	{"m":"api/GetApplication","auth":"ro","req":{"application_id":"$a"}}
	{"m":"api/DeleteApplication","auth":"rw","req":{"application_id":"$b"}}
	{"m":"api/GetApplication","auth":"ro","req":{"application_id":"$b"}}
	{"m":"api/DeleteApplication","auth":"rw","req":{"application_id":"$b"}}
	X
	[ "$(jq -rs 'map(.code) | join(" ")' <<<"$output")" = "INVALID_ARGUMENT OK OK OK INVALID_ARGUMENT NOT_FOUND OK PERMISSION_DENIED OK OK NOT_FOUND NOT_FOUND" ]
	jq -e '.res.application | .piped_id == "ours-piped-b" and .git_path.config_filename == "new.pipecd.yaml" and
	    .git_path.url == "https://gitlab.com/o/r/tree/main/web" and .deploy_targets_by_plugin.kubernetes.deploy_targets == ["dev"]' <<<"${lines[8]}"
	[ "$(call '{"m":"api/ListApplications","auth":"ro","req":{"name":"life"}}' | jq '[.res.applications[].id] | length')" -eq 1 ]
}
