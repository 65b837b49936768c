load plan.bash
setup() { plan_setup; }

@test "a frame with a field missing is refused: line, frame and field, exit 100" {
	app one
	commit first
	run -100 --separate-stderr pipecd-plan -f "$D/piped.yaml" <<<'{"v":1,"kind":"head","repo":"web"}'
	[[ "$stderr" == *"stdin:1: head: "*"branch"* ]]
	[ -z "$output" ]
}

@test "a commit that is no object id is refused" {
	app one
	commit first
	run -100 --separate-stderr pipecd-plan -f "$D/piped.yaml" < <(head_frame ../../etc/passwd)
	[[ "$stderr" == *"head: field commit: \"../../etc/passwd\" is not a commit id"* ]]
}

@test "a last frame without its newline is cut off: exit 111" {
	app one
	commit first
	printf '%s' "$(head_frame)" >"$D/in"
	run -111 --separate-stderr pipecd-plan -f "$D/piped.yaml" <"$D/in"
	[ -z "$output" ]
}

@test "what is not for it goes through byte for byte" {
	printf '%s\n' '{"v":1,"kind":"stage_log",  "deployment_id":"d","stage_id":"s","text":"x"}' \
		'{"v":1,"kind":"of-tomorrow","a":[1,2,{"b":null}]}' >"$D/in"
	run -0 --separate-stderr pipecd-plan -f "$D/piped.yaml" <"$D/in"
	[ "$output" = "$(cat "$D/in")" ]
}

@test "a head of a repository or branch that is not configured says nothing" {
	app one
	c=$(commit first)
	run -0 --separate-stderr pipecd-plan -f "$D/piped.yaml" < <(
		frame head "\"repo\":\"other\",\"branch\":\"main\",\"commit\":\"$c\",\"seen_at\":1"
		frame head "\"repo\":\"web\",\"branch\":\"old\",\"commit\":\"$c\",\"seen_at\":1")
	[ -z "$output" ]
}

@test "a mirror or commit that is not there is temporary" {
	run -111 --separate-stderr pipecd-plan -f "$D/piped.yaml" < <(head_frame 0123456789012345678901234567890123456789)
	[[ "$stderr" == *"mirror/web.git is not there"* ]]
	app one
	commit first
	run -111 --separate-stderr pipecd-plan -f "$D/piped.yaml" < <(head_frame 0123456789012345678901234567890123456789)
	[[ "$stderr" == *"repo web commit 01234567"* ]]
}

@test "what cannot be written is temporary" {
	app one
	commit first
	head_frame >"$D/in"
	run -111 --separate-stderr bash -c "pipecd-plan -f '$D/piped.yaml' <'$D/in' >/dev/full"
	[[ "$stderr" == *"No space left"* ]]
}

@test "a reader that has gone is temporary" {
	app one
	commit first
	head_frame >"$D/in"
	run -0 python3 -c 'import os, subprocess, sys
r, w = os.pipe()
os.close(r)
print(subprocess.run(["pipecd-plan", "-f", sys.argv[1]], stdin=open(sys.argv[2]), stdout=w, stderr=subprocess.DEVNULL).returncode)' "$D/piped.yaml" "$D/in"
	[ "$output" = 111 ]
}

@test "-n checks files: 0 good, 1 refused" {
	app one
	run -0 pipecd-plan -n "$D/web/one/app.pipecd.yaml"
	echo '  nonsense: [' >>"$D/web/one/app.pipecd.yaml"
	run -1 pipecd-plan -n "$D/web/one/app.pipecd.yaml"
}

@test "usage is the synopsis" {
	run -100 pipecd-plan -x
	[[ "$output" == *"usage: pipecd-plan [-v] [-b dir] [-f config]"* ]]
	run -100 pipecd-plan surplus
	run -100 pipecd-plan -n
}

@test "a deployment that exec left PENDING is planned again" {
	app one
	commit first
	deployed PENDING
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | deployments)" = "one PLANNED" ]
}

@test "a torn last line of apps.ndjson is not minded" {
	app one
	commit first
	deployed
	printf '{"v":1,"kind":"past","appl' >>"$D/state/journal/apps.ndjson"
	run -0 --separate-stderr plan_head
	[ -z "$(planned <<<"$output")" ]
}

@test "commands that exec left are taken when the input has ended, but for a torn last line" {
	app one
	commit first
	deployed
	id=$(jq -r .application_id "$D/state/journal/apps.ndjson")
	sync() { frame command "\"command\":{\"id\":\"$1\",\"piped_id\":\"p\",\"application_id\":\"$id\",\"commander\":\"ann\",\"type\":\"SYNC_APPLICATION\",\"sync_application\":{\"application_id\":\"$id\"},\"created_at\":1,\"updated_at\":1}"; }
	{ sync c1; sync c2 | head -c 60; } >"$D/state/commands.ndjson"
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | jq -r .deployment.trigger.commander)" = ann ]
	[ "$(jq -c 'select(.kind=="command_done").id' <<<"$output" | wc -l)" -eq 1 ]
}
