load plan.bash
setup() { plan_setup; }

@test "an application that was never triggered is deployed" {
	app one
	c=$(commit first)
	run -0 --separate-stderr plan_head
	[ "$(deployments <<<"$output")" = "one PENDING
one PLANNED" ]
	[ "$(planned <<<"$output" | jq -r .deployment.trigger.commit.hash)" = "$c" ]
}

@test "the head that was deployed deploys nothing again" {
	app one
	commit first
	deployed
	run -0 --separate-stderr plan_head
	[ -z "$(deployments <<<"$output")" ]
}

@test "a commit deploys the applications whose directory it touches, and no other" {
	app one
	app two
	commit first
	deployed
	echo new >"$D/web/two/index.html"
	commit second
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | deployments)" = "two PLANNED" ]
}

@test "a revert to what was deployed before the last time deploys" {
	app one
	commit first
	deployed
	echo new >"$D/web/one/index.html"
	commit second
	deployed
	git -C "$D/web" revert --no-edit HEAD >/dev/null
	commit third
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | deployments)" = "one PLANNED" ]
}

@test "a change below the directory touches it, a directory that begins alike does not" {
	app one
	app one-more
	commit first
	deployed
	mkdir -p "$D/web/one/deep/er"
	echo x >"$D/web/one/deep/er/file"
	commit second
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | deployments)" = "one PLANNED" ]
}

@test "onCommit.paths: a change elsewhere that matches deploys" {
	app one 'trigger: {onCommit: {paths: ["shared/**"]}}'
	app two
	commit first
	deployed
	mkdir "$D/web/shared"
	echo x >"$D/web/shared/lib"
	commit second
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | deployments)" = "one PLANNED" ]
}

@test "onCommit.ignores: one ignored file hides all other changes" {
	app one 'trigger: {onCommit: {ignores: ["**/*.md"]}}'
	commit first
	deployed
	echo x >"$D/web/one/README.md"
	echo y >"$D/web/one/index.html"
	commit second
	run -0 --separate-stderr plan_head
	[ -z "$(deployments <<<"$output")" ]
}

@test "onCommit.ignores beats paths" {
	app one 'trigger: {onCommit: {paths: [shared], ignores: [shared/doc]}}'
	commit first
	deployed
	mkdir -p "$D/web/shared/doc"
	echo x >"$D/web/shared/doc/a"
	echo x >"$D/web/shared/b"
	commit second
	run -0 --separate-stderr plan_head
	[ -z "$(deployments <<<"$output")" ]
}

@test "patterns match as PipeCD's do, from configuration to deployment" {
	i=0
	for p in a 'a/*' a/b/ ./a/b '**/c.txt' '**/b' 'a/**' '*.txt' b /a/b; do
		app "app$i" "trigger: {onCommit: {paths: [\"$p\"]}}"
		i=$((i + 1))
	done
	commit first
	deployed
	mkdir -p "$D/web/a/b"
	echo x >"$D/web/a/b/c.txt"
	commit second
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | jq -r .deployment.application_name | sort | tr '\n' ' ')" = \
		"app0 app1 app2 app3 app4 app5 app6 " ]
}

@test "a pattern with ! excludes, whatever else matches" {
	app one 'trigger: {onCommit: {paths: ["shared/**", "!shared/doc"]}}'
	commit first
	deployed
	mkdir -p "$D/web/shared/doc"
	echo x >"$D/web/shared/doc/a"
	commit second
	run -0 --separate-stderr plan_head
	[ -z "$(deployments <<<"$output")" ]
}

@test "onCommit.disabled deploys nothing, not even the first time" {
	app one 'trigger: {onCommit: {disabled: true}}'
	commit first
	run -0 --separate-stderr plan_head
	[ -z "$(deployments <<<"$output")" ]
	[ "$(jq -r 'select(.kind=="app").application.name' <<<"$output")" = one ]
}

@test "a commit that touches nothing is remembered: later ones are compared with it" {
	app one 'trigger: {onCommit: {ignores: ["**/*.md"]}}'
	commit first
	deployed
	a=$(git -C "$D/web" rev-parse HEAD)
	echo x >"$D/web/one/README.md"
	b=$(commit second)
	echo y >"$D/web/one/index.html"
	c=$(commit third)
	# In one run the second is remembered; from the first to the third it hides.
	run -0 --separate-stderr bash -c "{ $(declare -f frame head_frame); head_frame $b; head_frame $c; } | pipecd-plan -f $D/piped.yaml"
	[ "$(planned <<<"$output" | jq -r .deployment.trigger.commit.hash)" = "$c" ]
	run -0 --separate-stderr plan_head
	[ -z "$(deployments <<<"$output")" ]
}

@test "two configurations in one directory are two applications" {
	app one
	sed 's/name: one/name: other/' "$D/web/one/app.pipecd.yaml" >"$D/web/one/other.pipecd.yaml"
	commit first
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | jq -r .deployment.application_name | sort | tr '\n' ' ')" = "one other " ]
	[ "$(planned <<<"$output" | jq -r .deployment.id | sort -u | wc -l)" -eq 2 ]
}

@test "the repository's root can be an application" {
	app .
	sed -i 's/name: \./name: root/' "$D/web/app.pipecd.yaml"
	commit first
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | jq -r .deployment.git_path.path)" = . ]
}

@test "appSelector leaves out applications without those labels" {
	plugin host web-1 | piped 'appSelector: {team: a}'
	app one 'labels: {team: a, tier: web}'
	app two 'labels: {team: b}'
	app three
	commit first
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | deployments)" = "one PLANNED" ]
	[ "$(jq -r 'select(.kind=="app").application.name' <<<"$output")" = one ]
}

@test "deployment ids are the same each time, and differ by commit" {
	app one
	commit first
	a=$(plan_head 2>/dev/null | planned | jq -r .deployment.id)
	b=$(plan_head 2>/dev/null | planned | jq -r .deployment.id)
	[ "$a" = "$b" ]
	echo x >>"$D/web/one/index.html"
	commit second
	c=$(plan_head 2>/dev/null | planned | jq -r .deployment.id)
	[ "$a" != "$c" ]
}

@test "a rewritten history whose last commit has vanished is base lost: deployed, said, never held" {
	app one
	app two
	commit first
	deployed
	rm -rf "$D/state/mirror/web.git"
	git -C "$D/web" checkout -q --orphan fresh
	echo new >"$D/web/one/index.html"
	repo_commit "$D/web" rewritten
	git -C "$D/web" branch -q -M fresh main
	mirror
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | jq -r .deployment.summary | grep -c 'base lost')" -eq 2 ]
	[ "$(jq -c 'select(.kind=="held")' <<<"$output" | wc -l)" -eq 0 ]
}

@test "after a force push the commits that are still there are compared" {
	app one
	app two
	commit first
	deployed
	git -C "$D/web" checkout -q --orphan fresh
	echo new >"$D/web/one/index.html"
	repo_commit "$D/web" rewritten
	git -C "$D/web" branch -q -M fresh main
	mirror
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | deployments)" = "one PLANNED" ]
}
