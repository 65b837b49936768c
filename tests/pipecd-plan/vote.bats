load plan.bash
setup() { plan_setup; }

@test "a platform's vote decides, and says the versions" {
	fake_platform tf '{"name":"TF_SYNC","quick":true},{"name":"TF_APPLY"},{"name":"TF_ROLLBACK","rollback":true}' true
	plugin tf t1 | piped
	app one 'pipeline: {stages: [{name: TF_APPLY}]}'
	sed -i 's/host:/tf:/' "$D/web/one/app.pipecd.yaml"
	echo '{"v":1,"kind":"vote","strategy":"QUICK_SYNC","summary":"only replicas","versions":[{"kind":"TERRAFORM_MODULE","version":"1.2","name":"vpc"}]}' >"$D/tf.vote"
	commit first
	deployed
	echo x >>"$D/web/one/index.html"
	commit second
	run -0 --separate-stderr plan_head
	d=$(planned <<<"$output")
	[ "$(jq -r .deployment.summary <<<"$d")" = "Quick sync: only replicas" ]
	[ "$(jq -c '.deployment.versions' <<<"$d")" = '[{"kind":"TERRAFORM_MODULE","version":"1.2","name":"vpc"}]' ]
	[ -n "$(jq -r 'select(.running_dir != null).target_dir' "$D/tf.plan.in")" ]
}

@test "a vote that fails leaves the pipeline as it was written" {
	fake_platform tf '{"name":"TF_SYNC","quick":true},{"name":"TF_APPLY"},{"name":"TF_ROLLBACK","rollback":true}' true
	plugin tf t1 | piped
	app one 'pipeline: {stages: [{name: TF_APPLY}]}'
	sed -i 's/host:/tf:/' "$D/web/one/app.pipecd.yaml"
	: >"$D/tf.vote"
	commit first
	deployed
	echo x >>"$D/web/one/index.html"
	commit second
	run -0 --separate-stderr plan_head
	[ "$(planned <<<"$output" | jq -r .deployment.summary)" = "Pipeline: a pipeline is configured" ]
	[[ "$stderr" == *"plugin tf plan: it says no vote frame"* ]]
}
