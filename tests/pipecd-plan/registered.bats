# With a control plane: what it registered is deployed, under its ids.
load plan.bash
setup() {
	plan_setup
	printf 'secret' >"$D/key"
	chmod 600 "$D/key"
	plugin host web-1 | piped 'apiAddress: localhost:1' 'projectID: p1' 'pipedID: piped-1' "pipedKeyFile: $D/key"
	PIPED=$D/piped.yaml
}

# registered DIR ID [MORE]: what report says of an application
registered() {
	printf '{"v":1,"kind":"app","application":{"id":"%s","name":"%s","git_path":{"repo":{"id":"web"},"path":"%s","config_filename":"app.pipecd.yaml"}%s}}\n' "$2" "$1" "$1" "${3:+,$3}"
}
reference() { printf '{"deployment_id":"%s","trigger":{"commit":{"hash":"%s"},"timestamp":1700000000},"started_at":1,"completed_at":1700000100}' "$1" "$2"; }
plan() { pipecd-plan -f "$PIPED"; }

@test "what is not registered is not deployed, and is said to be unregistered" {
	app one
	app two
	commit first
	{ registered one id-1; head_frame; } | plan >"$D/out" 2>"$D/err"
	[ "$(deployments <"$D/out" | sort -u)" = $'one PENDING\none PLANNED' ]
	[ "$(jq -r 'select(.kind=="deployment").deployment.application_id' "$D/out" | sort -u)" = id-1 ]
	[ "$(jq -r 'select(.kind=="app" and .unregistered).application.name' "$D/out")" = two ]
	[ "$(jq -r 'select(.kind=="app" and .commit and (.unregistered|not)).application.id' "$D/out")" = id-1 ]
	grep -q '1 of the applications in git are not registered' "$D/err"
	# What was said of it is for others down the line, too.
	jq -c 'select(.kind=="app" and .application.id=="id-1" and (.commit|not))' "$D/out" | grep -q one
}

@test "an application registered after its head is deployed then, once" {
	app one
	commit first
	{ head_frame; registered one id-1; registered one id-1; head_frame; } | plan >"$D/out"
	[ "$(deployments <"$D/out")" = $'one PENDING\none PLANNED' ]
}

@test "an id given later is adopted without deploying again" {
	app one
	c=$(commit first)
	plugin host web-1 | piped
	deployed
	plugin host web-1 | piped 'apiAddress: localhost:1' 'projectID: p1' 'pipedID: piped-1' "pipedKeyFile: $D/key"
	{ registered one id-1; head_frame; } | plan >"$D/out"
	[ -z "$(deployments <"$D/out")" ]
	echo new >"$D/web/one/index.html"
	commit second
	{ registered one id-1; head_frame; } | plan >"$D/out"
	[ "$(jq -r 'select(.kind=="deployment").deployment.application_id' "$D/out" | sort -u)" = id-1 ]
	[ "$(planned <"$D/out" | jq -r .deployment.running_commit_hash)" = "$c" ]
}

@test "on an empty disk what the control plane remembers is not deployed anew" {
	app one
	c=$(commit first)
	{ registered one id-1 "\"most_recently_successful_deployment\":$(reference d "$c"),\"most_recently_triggered_deployment\":$(reference d "$c")"; head_frame; } | plan >"$D/out"
	[ -z "$(deployments <"$D/out")" ]
	[ "$(jq -r 'select(.kind=="app" and .commit).application.id' "$D/out")" = id-1 ]
}

@test "what is disabled or no longer registered is deployed no more" {
	app one
	app two
	commit first
	{
		registered one id-1 '"disabled":true'
		registered two id-2
		registered two id-2 | jq -c '.gone=true'
		head_frame
	} | plan >"$D/out"
	[ -z "$(deployments <"$D/out")" ]
	[ "$(jq -r 'select(.kind=="app" and .unregistered).application.name' "$D/out")" = two ]
}

@test "what is registered and not in git is said to be wrong, naming its file" {
	app one
	commit first
	{ registered nowhere id-9; head_frame; } | plan >"$D/out"
	[ "$(jq -r 'select(.kind=="app_invalid").application.id' "$D/out")" = id-9 ]
	jq -r 'select(.kind=="app_invalid").reason' "$D/out" | grep -q 'nowhere/app.pipecd.yaml: registered, and not in repository web'
}

# unfinished STATUS STAGE-STATUS: the resume of what `plan` planned
unfinished() {
	planned <"$D/said" | jq -c --arg s "$1" --arg t "$2" \
		'{v:1,kind:"resume",deployment:.deployment} | .deployment.status=$s | .deployment.stages[0].status=$t'
}

@test "an unfinished deployment of the control plane is said again with its plan, and none is made" {
	app one
	commit first
	{ registered one id-1; head_frame; } | plan >"$D/said"
	{ registered one id-1 "\"most_recently_triggered_deployment\":$(reference d "$(git -C "$D/web" rev-parse main)")"; unfinished RUNNING SUCCESS; head_frame; } | plan >"$D/out"
	[ -z "$(deployments <"$D/out")" ]
	jq -c 'select(.kind=="resume" and .plan)' "$D/out" >"$D/resume"
	[ "$(wc -l <"$D/resume")" -eq 1 ]
	[ "$(jq -r '.deployment.status, .deployment.stages[0].status' "$D/resume" | tr '\n' ' ')" = "RUNNING SUCCESS " ]
	[ "$(jq -c '.plan.stages' "$D/resume")" = "$(planned <"$D/said" | jq -c '.plan.stages')" ]
}

@test "an unfinished deployment whose stages are others now ends, asking for a person" {
	app one
	commit first
	{ registered one id-1; head_frame; } | plan >"$D/said"
	{ registered one id-1; head_frame; unfinished RUNNING SUCCESS | jq -c '.deployment.stages[0].name="OTHER"'; } | plan >"$D/out"
	jq -r 'select(.kind=="resume" and .deployment.status=="FAILURE") | .deployment.status_reason' "$D/out" | grep -q 'a person is needed'
}

@test "an unfinished deployment of an application that left git is planned from its commit" {
	app one
	commit first
	{ registered one id-1; head_frame; } | plan >"$D/said"
	git -C "$D/web" rm -qr one
	app two
	commit second
	{ unfinished RUNNING SUCCESS; head_frame; } | plan >"$D/out"
	[ "$(jq -r 'select(.kind=="resume" and .plan) | .deployment.status' "$D/out")" = RUNNING ]
}

@test "while a newer agent has our place nothing is triggered" {
	app one
	commit first
	{ registered one id-1; frame fenced '"reason":"a newer agent runs"'; head_frame; } | plan >"$D/out" 2>"$D/err"
	[ -z "$(deployments <"$D/out")" ]
	grep -q 'nothing is deployed any more: a newer agent runs' "$D/err"
}

@test "a chain is said with the first word of the deployment that begins it" {
	app one 'postSync:' '  chain:' '    applications:' '      - name: two'
	app two
	commit first
	{ registered one id-1; head_frame; } | plan >"$D/out"
	[ "$(jq -r 'select(.kind=="deployment" and (.deployment.status//"PENDING")=="PENDING") | .plan.chain[0].name' "$D/out")" = two ]
}
