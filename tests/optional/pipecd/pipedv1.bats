#!/usr/bin/env bats
# PipeCD's own piped of v1 (pipedv1) against our control plane.  Its plugins come
# in no Go module, so it deploys with plugin.py.
load lib

setup() {
	peers_need pipedv1
	PY=$("$ROOT/share/mk/grpc-peer" -n) || skip "no grpc-python"
	plane_start
	REPO=$A/repo
	repo_new "$REPO"
	announce '"plugins":[{"name":"file","deployTargets":["here"]}]'
	cat >"$A/plugin" <<-E
	#!/bin/sh
	exec "$PY" "$BATS_TEST_DIRNAME/plugin.py" "$ROOT/src/libmsg" "\$@" 2>>"$A/plugin.err"
	E
	chmod 755 "$A/plugin"
}
teardown() { peers_teardown; }

piped_up() {
	cat >"$A/piped.yaml" <<-E
	apiVersion: pipecd.dev/v1beta1
	kind: Piped
	spec:
	  projectID: demo
	  pipedID: $PIPED_ID
	  pipedKeyData: $KEY64
	  apiAddress: $ADDRESS
	  syncInterval: 5s
	  appConfigSyncInterval: 5s
	  repositories: [{repoId: web, remote: "file://$REPO", branch: main}]
	  plugins:
	    - {name: file, url: "file://$A/plugin", port: $(free_port), deployTargets: [{name: here}]}
	E
	"$PEERS/pipedv1" run --config-file "$A/piped.yaml" "${TLS[@]}" --admin-port "$(free_port)" \
		--plugin-service-port "$(free_port)" --tools-dir "$A/tools" >"$A/theirs.err" 2>&1 3>&- &
	THEIRS=$!
	until_true 60 knows_piped
}
app() { # NAME [more lines of spec]
	mkdir -p "$REPO/$1"
	printf 'apiVersion: pipecd.dev/v1beta1\nkind: Application\nspec:\n  name: %s\n  plugins: {file: {}}\n' "$1" >"$REPO/$1/app.pipecd.yaml"
	[ -z "${2:-}" ] || printf '%s\n' "$2" >>"$REPO/$1/app.pipecd.yaml"
}
register() { ours application add "$1" --piped-id "$PIPED_ID" --repo-id web --app-dir "$1" --deploy-target file=here; }
stage() { ours deployment get "$1" -o json | jq -r --arg n "$2" '(.deployment//.)|.stages[]?|select(.name==$n and .status=="STAGE_RUNNING").id'; }
in_stage() { local d; d=$(newest "$1") && [ -n "$d" ] && [ -n "$(stage "$d" "$2")" ]; }

@test "PipeCD's piped of v1 registers, and deploys commits with a plugin" {
	app one
	head=$(repo_commit "$REPO" one)
	id=$(register one)
	piped_up
	[ "$(ours piped get "$PIPED_ID" -o json | jq -r '.plugins[0].name')" = file ]
	until_true 180 deployed "$id" SUCCESS "$head"
	d=$(newest "$id")
	run -0 ours deployment logs "$d"
	[[ "$output" == *"FILE_SYNC at $head"*"kept well"*"done"* ]]
	[ "$(ours deployment get "$d" -o json | jq -r '(.deployment//.)|.stages[0].metadata.commit')" = "$head" ]
	until_true 90 app_is "$id" .syncState.status SYNCED
	echo two >"$REPO/one/file"
	head=$(repo_commit "$REPO" two)
	until_true 120 deployed "$id" SUCCESS "$head"
	nothing_refused
}

@test "PipeCD's piped of v1 is told to sync, approve, skip and cancel by our pipectl" {
	app one '  pipeline: {stages: [{name: FILE_HOLD}, {name: FILE_PAUSE}, {name: FILE_SYNC}]}'
	repo_commit "$REPO" one
	id=$(register one)
	piped_up
	until_true 180 deployed "$id" SUCCESS
	ours application sync "$id" --strategy PIPELINE --timeout 2m
	until_true 60 in_stage "$id" FILE_HOLD
	d=$(newest "$id")
	ours deployment approve "$d" --stage-id "$(stage "$d" FILE_HOLD)"
	until_true 60 in_stage "$id" FILE_PAUSE
	ours deployment skip "$d" --stage-id "$(stage "$d" FILE_PAUSE)"
	until_true 90 deployed "$id" SUCCESS
	ours application sync "$id" --strategy PIPELINE --timeout 2m
	until_true 60 in_stage "$id" FILE_HOLD
	ours deployment cancel "$(newest "$id")"
	until_true 60 deployed "$id" CANCELLED
}

@test "PipeCD's piped of v1 comes by TLS, stops when it is told to restart, and comes back with its second key" {
	plane_tls
	repo_commit "$REPO" one
	piped_up
	ours piped restart "$PIPED_ID"
	until_true 60 gone "$THEIRS"
	KEY64=$(ours piped rotate-key "$PIPED_ID" -o json | jq -rj .key | base64 -w0)
	ours piped rotate-key "$PIPED_ID" --finish
	piped_up
	until_true 120 reported
	nothing_refused
}
