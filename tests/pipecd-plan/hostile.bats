load plan.bash
setup() { plan_setup; }
plan_bounded() { # what ASan reserves is no use of memory
	head_frame | { [[ "$BIN" == *san* ]] || ulimit -v 600000; timeout 60 pipecd-plan -f "$D/piped.yaml"; }
}

@test "a hundred thousand files cost bounded time and memory" {
	app one
	commit first
	git init -q --bare "$D/big.git"
	# One tree of 100 000 entries of one blob, made without a work tree.
	b=$(echo x | git -C "$D/web" hash-object -w --stdin)
	t=$(seq 100000 | awk -v b="$b" '{ printf "100644 blob %s\tf%06d\n", b, $1 }' | git -C "$D/web" mktree)
	{ git -C "$D/web" ls-tree HEAD; printf '040000 tree %s\tmany\n' "$t"; } >"$D/ls"
	r=$(git -C "$D/web" mktree <"$D/ls")
	c=$(git -C "$D/web" commit-tree -p HEAD -m big "$r")
	git -C "$D/web" update-ref refs/heads/main "$c"
	mirror
	run -0 --separate-stderr plan_bounded
	[ "$(planned <<<"$output" | deployments)" = "one PLANNED" ]
}

@test "very deep trees are not followed for ever" {
	app one
	commit first
	t=$(git -C "$D/web" rev-parse HEAD:one)
	for _ in $(seq 3000); do t=$(printf '040000 tree %s\td\n' "$t" | git -C "$D/web" mktree); done
	{ git -C "$D/web" ls-tree HEAD; printf '040000 tree %s\tdeep\n' "$t"; } >"$D/ls"
	r=$(git -C "$D/web" mktree <"$D/ls")
	c=$(git -C "$D/web" commit-tree -p HEAD -m deep "$r")
	git -C "$D/web" update-ref refs/heads/main "$c"
	mirror
	run -0 --separate-stderr plan_bounded
	[ "$(planned <<<"$output" | deployments)" = "one PLANNED" ]
}

@test "names that are no UTF-8 make frames that are" {
	app one
	n=$'bad\xff\xfename'
	mkdir "$D/web/$n"
	cp "$D/web/one/app.pipecd.yaml" "$D/web/$n/app.pipecd.yaml"
	sed -i 's/name: one/name: two/' "$D/web/$n/app.pipecd.yaml"
	commit first
	run -0 --separate-stderr plan_head
	iconv -f UTF-8 -t UTF-8 <<<"$output" >/dev/null
	[ "$(planned <<<"$output" | jq -r 'select(.deployment.application_name=="one").deployment.status')" = PLANNED ]
}

@test "a commit message with control characters and broken UTF-8 is carried as text" {
	app one
	repo_commit "$D/web" x >/dev/null
	git -C "$D/web" -c i18n.commitEncoding=UTF-8 commit -q --amend -m $'evil \xff\x1b]0;x\a "quote"\nmore'
	mirror
	run -0 --separate-stderr plan_head
	iconv -f UTF-8 -t UTF-8 <<<"$output" >/dev/null
	[ "$(planned <<<"$output" | deployments)" = "one PLANNED" ]
	[[ "$(planned <<<"$output" | jq -r .deployment.trigger.commit.message)" == *'"quote"'* ]]
}

@test "a configuration that is a symbolic link is refused, not followed" {
	app one
	mkdir "$D/web/two"
	ln -s /etc/passwd "$D/web/two/app.pipecd.yaml"
	ln -s ../one/app.pipecd.yaml "$D/web/two/x.pipecd.yaml"
	commit first
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | deployments)" = "one PLANNED" ]
	[[ "$output" != *root:* ]]
}

@test "a thousand stages and a huge name fit or are refused, nothing breaks" {
	app one 'planner: {alwaysUsePipeline: true}' "pipeline: {stages: [$(printf '{name: WAIT, with: {duration: 1s}}, %.0s' {1..1000})]}"
	app two
	sed -i "s/name: two/name: $(head -c 100000 /dev/zero | tr '\0' n)/" "$D/web/two/app.pipecd.yaml"
	commit first
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | jq -r 'select(.deployment.application_name=="one").deployment.stages | length')" -eq 1001 ]
}

@test "a deployment too large for a frame fails, and holds up no other" {
	app big 'planner: {alwaysUsePipeline: true}' "labels: {x: &x \"$(head -c 60000 /dev/zero | tr '\0' x)\"}" \
		"pipeline: {stages: [$(printf '{name: SCRIPT_RUN, with: {run: *x}}, %.0s' {1..30})]}"
	app one
	commit first
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | jq -r 'select(.deployment.application_name=="one").deployment.status')" = PLANNED ]
	[ "$(planned <<<"$output" | jq -r 'select(.deployment.application_name=="big").deployment.status')" = FAILURE ]
}
