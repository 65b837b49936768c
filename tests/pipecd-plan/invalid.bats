load plan.bash
setup() { plan_setup; }
invalid() { jq -r 'select(.kind=="app_invalid") | .reason'; }

@test "a broken configuration is said, deploys nothing and holds up no other application" {
	app one
	app two
	echo '  nonsense: [' >>"$D/web/two/app.pipecd.yaml"
	commit first
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | deployments)" = "one PLANNED" ]
	[[ "$(invalid <<<"$output")" == "two/app.pipecd.yaml:"* ]]
}

@test "a repaired configuration deploys" {
	app one
	good=$(cat "$D/web/one/app.pipecd.yaml")
	echo '  nonsense: [' >>"$D/web/one/app.pipecd.yaml"
	a=$(commit first)
	echo "$good" >"$D/web/one/app.pipecd.yaml"
	b=$(commit second)
	run -0 --separate-stderr bash -c "{ $(declare -f frame head_frame); head_frame $a; head_frame $b; } | pipecd-plan -f $D/piped.yaml"
	[ "$(jq -r 'select(.kind|startswith("app")).kind' <<<"$output" | tr '\n' ' ')" = "app_invalid app " ]
	[ "$(planned <<<"$output" | deployments)" = "one PLANNED" ]
}

@test "a broken configuration is said once for each change" {
	app one
	echo '  nonsense: [' >>"$D/web/one/app.pipecd.yaml"
	a=$(commit first)
	run -0 --separate-stderr bash -c "{ $(declare -f frame head_frame); head_frame $a; head_frame $a; head_frame $a; } | pipecd-plan -f $D/piped.yaml"
	[ "$(invalid <<<"$output" | wc -l)" -eq 1 ]
}

@test "an unknown deploy target is an invalid configuration, with those there are" {
	plugin host web-1 web-2 | piped
	app one 'deployTargets: [web-9]'
	commit first
	run -0 --separate-stderr plan_head
	[ -z "$(deployments <<<"$output")" ]
	[[ "$(invalid <<<"$output")" == *"one/app.pipecd.yaml: spec.deployTargets: web-9: no such deploy target; this agent has web-1, web-2"* ]]
}

@test "no deploy target, where there are several, is an invalid configuration" {
	plugin host web-1 web-2 | piped
	app one
	app two 'deployTargets: [web-2]'
	commit first
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | deployments)" = "two PLANNED" ]
	[[ "$(invalid <<<"$output")" == *"deployTargets: missing"*"web-1, web-2"* ]]
}

@test "an application of another agent's plugin is ignored with one line" {
	app one
	app two
	sed -i 's/host:/kubernetes:/' "$D/web/two/app.pipecd.yaml"
	commit first
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | deployments)" = "one PLANNED" ]
	[ -z "$(invalid <<<"$output")" ]
	[ "$(grep -c 'app ignored' <<<"$stderr")" -eq 1 ]
	[[ "$stderr" == *"no plugin kubernetes in this agent"* ]]
}

@test "a configuration without a name is invalid" {
	app one
	sed -i '/  name:/d' "$D/web/one/app.pipecd.yaml"
	commit first
	run -0 --separate-stderr plan_head
	[[ "$(invalid <<<"$output")" == *"spec.name: missing"* ]]
}

@test "a configuration that is too large is refused, with its path" {
	app one
	app big
	head -c 3000000 /dev/zero | tr '\0' '#' >>"$D/web/big/app.pipecd.yaml"
	commit first
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | deployments)" = "one PLANNED" ]
	[[ "$(invalid <<<"$output")" == *"big/app.pipecd.yaml"* ]]
}

@test "an application that leaves git is said to be gone, and nothing is deleted" {
	app one
	app two
	a=$(commit first)
	git -C "$D/web" rm -rq two
	b=$(commit second)
	run -0 --separate-stderr bash -c "{ $(declare -f frame head_frame); head_frame $a; head_frame $b; head_frame $b; } | pipecd-plan -f $D/piped.yaml"
	[ "$(jq -r 'select(.kind=="app" and .gone).application.name' <<<"$output")" = two ]
	[ "$(deployments <<<"$output" | grep -c two)" -eq 2 ]
	[ "$(grep -c 'app gone' <<<"$stderr")" -eq 1 ]
}

@test "an application that left git while nobody looked is said to be gone" {
	app one
	app two
	commit first
	deployed
	git -C "$D/web" rm -rq two
	commit second
	run -0 --separate-stderr plan_head
	[ "$(jq -r 'select(.kind=="app" and .gone).application.name' <<<"$output")" = two ]
	[ -z "$(deployments <<<"$output")" ]
}

@test "the three kinds of file name are found, others are not" {
	for f in app.pipecd.yaml x.pipecd.yaml .pipe.yaml pipecd.yaml app.pipecd.yml; do
		app dir
		sed "s/name: dir/name: f-${f//[._]/-}/" "$D/web/dir/app.pipecd.yaml" >"$D/web/tmp"
		mkdir -p "$D/web/d-$f"
		mv "$D/web/tmp" "$D/web/d-$f/$f"
	done
	rm -rf "$D/web/dir"
	commit first
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | jq -r .deployment.git_path.config_filename | sort | tr '\n' ' ')" = ".pipe.yaml app.pipecd.yaml x.pipecd.yaml " ]
}

@test "a wrong or vanished application is news once; who asks again is told so" {
	app one 'nonsense: [1'
	app two
	commit first
	deployed
	rm -rf "$D/web/two"
	commit second
	plan_head >"$D/1" 2>"$D/err"
	[ "$(jq -c 'select(.kind=="app_invalid") | .again // false' "$D/1")" = true ]
	[ "$(jq -c 'select(.kind=="app" and .gone) | .again // false' "$D/1")" = false ]
	grep -q 'app gone' "$D/err"
	plan_head >"$D/2" 2>"$D/err"
	[ "$(jq -c 'select((.kind=="app" and .gone) or .kind=="app_invalid") | .again' "$D/2" | sort -u)" = true ]
	! grep -q 'app gone' "$D/err"
	pipecd-report -t <"$D/2" >"$D/text"
	! grep -q 'INVALID_CONFIG\|gone' "$D/text"
	app one 'deployTargets: [nowhere]'
	commit third
	plan_head >"$D/3"
	[ "$(jq -c 'select(.kind=="app_invalid") | .again // false' "$D/3")" = false ]
	pipecd-report -t <"$D/3" | grep -q INVALID_CONFIG
}
