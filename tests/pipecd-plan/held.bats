load plan.bash
setup() { plan_setup; }
fill() { for i in $(seq "$2"); do echo "$i" >"$D/web/$1/file$i"; done; }

@test "an application that loses more than pruneLimit is held, not deployed" {
	app one
	fill one 9
	commit first
	deployed
	rm "$D/web/one"/file{1..4}
	commit second
	run -0 --separate-stderr plan_head
	[ -z "$(planned <<<"$output")" ]
	h=$(jq -c 'select(.kind=="held")' <<<"$output")
	[ "$(jq -c .objects <<<"$h")" = '["one/file1","one/file2","one/file3","one/file4"]' ]
	[[ "$(jq -r .reason <<<"$h")" == *"leaves 6 of 10 files of one"*"30% and at least 3"* ]]
	[[ "$(jq -r .confirm <<<"$h")" == *"spec.confirm: true in one/app.pipecd.yaml"* ]]
}

@test "what stays within pruneLimit deploys" {
	app one
	fill one 9
	commit first
	deployed
	rm "$D/web/one"/file{1..3}
	commit second
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | deployments)" = "one PLANNED" ]
}

@test "an application whose files are all gone is held, however few they were" {
	app one
	commit first
	deployed
	rm "$D/web/one/index.html"
	commit second
	run -0 --separate-stderr plan_head
	[ -z "$(planned <<<"$output")" ]
	[ "$(jq -c 'select(.kind=="held").objects' <<<"$output")" = '["one/index.html"]' ]
}

@test "spec.confirm lets it through" {
	app one
	fill one 9
	commit first
	deployed
	rm "$D/web/one"/file*
	sed -i 's/^  name: one/  name: one\n  confirm: true/' "$D/web/one/app.pipecd.yaml"
	commit second
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | deployments)" = "one PLANNED" ]
}

@test "pruneLimit of the Piped config decides" {
	plugin host web-1 | piped 'pruneLimit: {percent: 90, min: 3}'
	app one
	fill one 9
	commit first
	deployed
	rm "$D/web/one"/file{1..8}
	commit second
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | deployments)" = "one PLANNED" ]
}

@test "files that are renamed are not lost" {
	app one
	fill one 9
	commit first
	deployed
	for f in "$D/web/one"/file*; do mv "$f" "$f.new"; done
	commit second
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | deployments)" = "one PLANNED" ]
}

@test "a sync command confirms what is held" {
	app one
	fill one 9
	commit first
	deployed
	rm "$D/web/one"/file*
	commit second
	id=$(jq -r .application_id "$D/state/journal/apps.ndjson")
	run -0 --separate-stderr bash -c "{ $(declare -f frame head_frame); head_frame $(git -C "$D/web" rev-parse HEAD)
		frame command '\"command\":{\"id\":\"c1\",\"piped_id\":\"p\",\"application_id\":\"$id\",\"commander\":\"ann\",\"type\":\"SYNC_APPLICATION\",\"sync_application\":{\"application_id\":\"$id\"},\"created_at\":1,\"updated_at\":1}'; } |
		pipecd-plan -f $D/piped.yaml"
	[ "$(jq -r 'select(.kind=="held").kind' <<<"$output")" = held ]
	[ "$(planned <<<"$output" | deployments)" = "one PLANNED" ]
	[ "$(planned <<<"$output" | jq -r .deployment.trigger.commander)" = ann ]
}

# A platform that says which key of its config selects files.
selecting() {
	sed -i 's/"votes":false}/"votes":false,"files_key":"files"}/' "$D/host.sh"
	plugin host web-1 | piped
	app one
	sed -i "s/input: {}/input: {files: $1}/" "$D/web/one/app.pipecd.yaml"
	fill one 9
}

@test "files that the platform does not deploy do not count" {
	selecting '[index.html]'
	commit first
	deployed
	rm "$D/web/one"/file*
	commit second
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | deployments)" = "one PLANNED" ]
}

@test "of deployed files alone the share is taken, and they are named" {
	selecting '["file?"]'
	for i in $(seq 50); do echo "$i" >"$D/web/one/doc$i"; done
	commit first
	deployed
	rm "$D/web/one"/file{1..4}
	commit second
	run -0 --separate-stderr plan_head
	[ -z "$(planned <<<"$output")" ]
	[[ "$(jq -r 'select(.kind=="held").reason' <<<"$output")" == *"leaves 5 of 9 files of one"* ]]
	[ "$(jq -c 'select(.kind=="held").objects|length' <<<"$output")" = 4 ]
}

@test "a commit that stops deploying its files is held, though they are all there" {
	selecting '["file?"]'
	commit first
	deployed
	sed -i 's/file?/index.html/' "$D/web/one/app.pipecd.yaml"
	commit second
	run -0 --separate-stderr plan_head
	[[ "$(jq -r 'select(.kind=="held").reason' <<<"$output")" == *"leaves 1 of 9 files of one"* ]]
}
