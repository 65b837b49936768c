# Our agent with our control plane, both whole: supervisor, api, store, ops and
# pipectl on one side, piped and its programs on the other.
load ../lib/common
load ../lib/pipecd
load ../lib/agent

setup() {
	A=$BATS_TEST_TMPDIR S=$BATS_TEST_TMPDIR/cp
	mkdir -p "$A/bin"
	ln -s "$BIN"/pipecd* "$BIN/pipectl" "$A/bin/"
	control_write "  projects: [{id: demo}]"
	pipecd_start
	pipecd_ready
	pipectl --local "$S" piped add --project demo --name web -o json >"$A/piped.json"
	pipectl --local "$S" apikey add --project demo --name ci --role READ_WRITE -o json | jq -r .key >"$A/key"
	AT=$(address_of main)
	agent_new "$A/agent" 1 "$(printf '  projectID: demo\n  pipedID: %s\n  pipedKeyData: %s\n  apiAddress: %s\n  apiInsecure: true\n' \
		"$(jq -r .id "$A/piped.json")" "$(jq -r .key "$A/piped.json" | tr -d '\n' | base64 -w0)" "$AT")"
}

teardown() {
	agent_stop
	[ -n "$BATS_TEST_COMPLETED" ] || { tail -n 30 "$STATE.err"; grep -v debug "$A/err" | tail -n 20; }
	pipecd_teardown
}

ctl() { pipectl --address "$AT" --insecure --api-key-file "$A/key" "$@"; }
app_add() {
	ctl application add --app-name "$1" --piped-id "$(jq -r .id "$A/piped.json")" --repo-id web --app-dir "$1" --deploy-target host=web-1 >/dev/null
	APP=$(ctl application list -o json | jq -r ".applications[]|select(.name==\"$1\").id")
}
# The agent is there, and has said which repositories it has.
joined() { until_true 20 grep -q 'known to the control plane' "$STATE.err"; }
has() { [ "$(ctl deployment list -o json | jq -r "[.deployments[]?|select(.applicationName==\"$1\").status]|sort|join(\",\")" | sed 's/DEPLOYMENT_//g')" = "$2" ]; }

@test "both: a commit is deployed, shows with its log, and commands of people arrive at once" {
	agent_app site '' "pipeline: {stages: [{name: WAIT_APPROVAL, with: {approvers: [ann]}}, {name: HOST_SYNC}]}"
	repo_commit "$REPO" one
	agent_start ${AGENT_DEBUG:-}
	joined
	app_add site
	until_true 30 has site SUCCESS
	d=$(ctl deployment list -o json | jq -r '.deployments[0].id')
	ctl deployment logs "$d" | grep -q .
	ctl application get "$APP" -o json | jq -e '(.application//.)|.mostRecentlySuccessfulDeployment.deploymentId' | grep -q "$d"
	# From the order to RUNNING at the control plane.
	t0=$(date +%s%N)
	ctl application sync "$APP" --strategy PIPELINE -o json >/dev/null
	until_true 20 has site RUNNING,SUCCESS
	echo "# sync asked for -> shown as RUNNING: $((($(date +%s%N) - t0) / 1000000)) ms, with the start of four pipectl" >&3
	d=$(ctl deployment list -o json | jq -r '.deployments[]|select(.status=="DEPLOYMENT_RUNNING").id')
	ctl deployment cancel "$d"
	until_true 20 has site CANCELLED,SUCCESS
}

@test "both: either side is killed at any time, and the history is whole" {
	agent_app site
	repo_commit "$REPO" one
	agent_start ${AGENT_DEBUG:-}
	joined
	app_add site
	until_true 30 has site SUCCESS
	want=SUCCESS
	for p in api store report api report store; do
		echo "$p$RANDOM" >"$REPO/site/index.html"
		repo_commit "$REPO" "$p" >/dev/null
		want=SUCCESS,$want
		case $p in
		report) kill -9 "$(piped -s --json -f "$CONF" | jq '.programs[]|select(.name=="report").pid')" ;;
		*) kill -9 "$(pid_of $p)" ;;
		esac
		until_true 40 has site "$want"
	done
	[ "$(journals_with SUCCESS)" -eq 7 ]
	# Every stage of every deployment has its end.
	ctl deployment list -o json | jq -e '[.deployments[].stages[]|select(.rollback!=true).status]|all(.=="STAGE_SUCCESS")'
}

@test "both: an agent whose disk is deleted deploys nothing anew" {
	agent_app site
	repo_commit "$REPO" one
	agent_start ${AGENT_DEBUG:-}
	joined
	app_add site
	until_true 30 has site SUCCESS
	agent_stop
	first=$(readlink "$ROOTS"/web-1/site/current)
	rm -rf "$STATE"
	agent_start ${AGENT_DEBUG:-}
	until_true 20 grep -q 'known to the control plane' "$STATE.err"
	echo two >"$REPO/site/index.html"
	repo_commit "$REPO" two
	until_true 30 has site SUCCESS,SUCCESS
	[ "$(readlink "$ROOTS"/web-1/site/current)" != "$first" ]
	[ "$(journals_with SUCCESS)" -eq 1 ]
}

@test "both: an agent whose disk is deleted while a stage waits goes on with that deployment" {
	agent_app site
	repo_commit "$REPO" one
	agent_start ${AGENT_DEBUG:-}
	joined
	app_add site
	until_true 30 has site SUCCESS
	agent_app site '' "pipeline: {stages: [{name: WAIT, with: {duration: 6s}}, {name: HOST_SYNC}]}"
	echo two >"$REPO/site/index.html"
	repo_commit "$REPO" two
	until_true 30 has site RUNNING,SUCCESS
	agent_stop
	rm -rf "$STATE"
	agent_start ${AGENT_DEBUG:-}
	until_true 60 has site SUCCESS,SUCCESS
	[ "$(ctl deployment list -o json | jq '.deployments|length')" -eq 2 ]
}
