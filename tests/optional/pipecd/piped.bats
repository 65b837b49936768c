#!/usr/bin/env bats
# PipeCD's own piped, v0.57, against our control plane.  It deploys with the
# machine's terraform, from a repository on this disk.
load lib

setup() {
	peers_need piped pipectl
	TF=$("$ROOT/share/mk/terraform-peer" -n) || skip "no terraform"
	plane_start
	mkdir -p "$A/tools"
	# A file as a piped calls what it has downloaded; it does not see links.
	printf '#!/bin/sh\nexec %s "$@"\n' "$TF" >"$A/tools/terraform-0.13.0"
	chmod 755 "$A/tools/terraform-0.13.0"
	REPO=$A/repo
	repo_new "$REPO"
	announce '"platformProviders":[{"name":"tf","type":"TERRAFORM"}]'
}
teardown() { peers_teardown; }

# app NAME [more lines of spec]: an application, not committed yet
app() {
	mkdir -p "$REPO/$1"
	[ -e "$REPO/$1/main.tf" ] || printf 'resource "terraform_data" "it" { input = "one" }\n' >"$REPO/$1/main.tf"
	printf 'apiVersion: pipecd.dev/v1beta1\nkind: TerraformApp\nspec:\n  name: %s\n  input: {terraformVersion: 0.13.0}\n' "$1" >"$REPO/$1/app.pipecd.yaml"
	[ -z "${2:-}" ] || printf '%s\n' "$2" >>"$REPO/$1/app.pipecd.yaml"
}
register() { # NAME: prints its id
	ours application add --app-name "$1" --app-kind TERRAFORM --piped-id "$PIPED_ID" --platform-provider tf --repo-id web --app-dir "$1"
}
# piped_up: their piped; what it watches must be there
piped_up() {
	openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$A/key.pem" 2>/dev/null
	openssl pkey -in "$A/key.pem" -pubout -out "$A/pub.pem"
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
	  platformProviders: [{name: tf, type: TERRAFORM, config: {}}]
	  eventWatcher: {checkInterval: 5s}
	  secretManagement: {type: KEY_PAIR, config: {privateKeyFile: $A/key.pem, publicKeyFile: $A/pub.pem}}
	E
	"$PEERS/piped" piped --config-file "$A/piped.yaml" "${TLS[@]}" --admin-port "$(free_port)" --tools-dir "$A/tools" \
		--enable-default-kubernetes-cloud-provider=false >"$A/theirs.err" 2>&1 3>&- &
	THEIRS=$!
	until_true 60 knows_piped
}
stage() { # DEPLOYMENT NAME: its id, once it runs
	ours deployment get "$1" -o json | jq -r --arg n "$2" '(.deployment//.)|.stages[]?|select(.name==$n and .status=="STAGE_RUNNING").id'
}
in_stage() { local d; d=$(newest "$1") && [ -n "$d" ] && [ -n "$(stage "$d" "$2")" ]; }

@test "PipeCD's piped registers, and deploys commits of git, with stages, logs and state" {
	app one
	head=$(repo_commit "$REPO" one)
	id=$(register one)
	piped_up
	[ "$(ours piped get "$PIPED_ID" -o json | jq -r '[.version,.platformProviders[0].name]|join(" ")')" = "v0.57.0 tf" ]
	until_true 180 deployed "$id" SUCCESS "$head"
	d=$(newest "$id")
	run -0 ours deployment logs "$d"
	[[ "$output" == *TERRAFORM_SYNC*[Aa]pply* ]]
	until_true 60 app_is "$id" .mostRecentlySuccessfulDeployment.trigger.commit.hash "$head"
	until_true 60 app_is "$id" '.deploying//false' false
	# Another commit.
	printf 'resource "terraform_data" "it" { input = "two" }\n' >"$REPO/one/main.tf"
	head=$(repo_commit "$REPO" two)
	until_true 120 deployed "$id" SUCCESS "$head"
	# What is sealed for it, it can read.
	printf hunter2 >"$A/plain"
	sealed=$(ours encrypt --piped-id "$PIPED_ID" --input-file "$A/plain")
	app one "  encryption: {encryptedSecrets: {word: \"$sealed\"}, decryptionTargets: [main.tf]}"
	printf 'resource "terraform_data" "it" { input = "two" }\noutput "word" { value = "{{ .encryptedSecrets.word }} was read" }\n' >"$REPO/one/main.tf"
	head=$(repo_commit "$REPO" three)
	until_true 120 deployed "$id" SUCCESS "$head"
	run -0 ours deployment logs "$(newest "$id")"
	[[ "$output" == *"hunter2 was read"* ]]
	nothing_refused
}

@test "PipeCD's piped is told to approve, sync and cancel by our pipectl" {
	app one '  pipeline: {stages: [{name: WAIT, with: {duration: 2s}}, {name: WAIT_APPROVAL, with: {approvers: ["api-key:ci"], timeout: 30m}}, {name: TERRAFORM_APPLY}]}
  planner: {alwaysUsePipeline: true}'
	repo_commit "$REPO" one
	id=$(register one)
	piped_up
	until_true 180 in_stage "$id" WAIT_APPROVAL
	d=$(newest "$id")
	run -100 ours deployment skip "$d" --stage-id "$(stage "$d" WAIT_APPROVAL)"
	ours deployment approve "$d" --stage-id "$(stage "$d" WAIT_APPROVAL)"
	until_true 90 deployed "$id" SUCCESS
	ours application sync "$id" --strategy PIPELINE --timeout 2m
	until_true 60 in_stage "$id" WAIT_APPROVAL
	ours deployment cancel "$(newest "$id")"
	until_true 60 deployed "$id" CANCELLED
}

@test "PipeCD's piped comes back after a control plane that was away, and deploys what it missed" {
	app one
	repo_commit "$REPO" one
	id=$(register one)
	piped_up
	until_true 180 deployed "$id" SUCCESS
	PORT=${ADDRESS##*:}
	plane_down
	printf 'resource "terraform_data" "it" { input = "two" }\n' >"$REPO/one/main.tf"
	head=$(repo_commit "$REPO" two)
	sed -i "s/127.0.0.1:0,/127.0.0.1:$PORT,/" "$A/control-plane.yaml"
	plane_up
	until_true 180 deployed "$id" SUCCESS "$head"
}

@test "PipeCD's piped answers a plan preview that PipeCD's pipectl asks for" {
	app one
	repo_commit "$REPO" one
	id=$(register one)
	piped_up
	until_true 180 deployed "$id" SUCCESS
	git -C "$REPO" checkout -q -b change
	printf 'resource "terraform_data" "it" { input = "previewed" }\n' >"$REPO/one/main.tf"
	head=$(repo_commit "$REPO" two)
	git -C "$REPO" checkout -q main
	run -0 theirs plan-preview --repo-remote-url "file://$REPO" --base-branch main --head-branch change --head-commit "$head" \
		--timeout 3m --piped-handle-timeout 2m --out "$A/preview.json"
	[ "$(jq -r '[.Applications[].ApplicationName]|join(" ")' "$A/preview.json")" = one ]
	nothing_refused
}

@test "PipeCD's piped writes into git what an event says, and deploys it" {
	git -C "$REPO" config receive.denyCurrentBranch updateInstead
	app one '  eventWatcher: [{matcher: {name: image, labels: {app: one}}, handler: {type: GIT_UPDATE, config: {replacements: [{file: main.tf, regex: "input = \"(.*)\""}]}}}]'
	repo_commit "$REPO" one
	id=$(register one)
	piped_up
	until_true 180 deployed "$id" SUCCESS
	theirs event register --name image --labels app=one --data v2
	until_true 180 grep -q '"v2"' "$REPO/one/main.tf"
	until_true 120 deployed "$id" SUCCESS "$(git -C "$REPO" rev-parse main)"
	nothing_refused
}

@test "PipeCD's piped comes by TLS, stops when it is told to restart, and comes back with its second key" {
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
