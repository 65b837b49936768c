# Stages by hand: what exec would send to a platform.

C1=1111111111111111111111111111111111111111
C2=2222222222222222222222222222222222222222
C3=3333333333333333333333333333333333333333

# host_new DIR TARGETS: roots, a config and a source with two commits' files
host_new() {
	local i sep=
	D=$1 CONF=$1/piped.yaml ROOTS=$1/roots
	mkdir -p "$ROOTS" "$D/src/$C1" "$D/src/$C2"
	{
		printf 'apiVersion: pipecd.dev/v1beta1\nkind: Piped\nspec:\n  stateDir: %s\n' "$D/state"
		printf '  plugins:\n    - name: host\n      deployTargets:\n'
		TARGETS=
		for ((i = 1; i <= $2; i++)); do
			mkdir -p "$ROOTS/web-$i"
			printf '        - {name: web-%d, config: {root: %s}}\n' "$i" "$ROOTS/web-$i"
			TARGETS+="$sep\"web-$i\"" sep=,
		done
	} >"$CONF"
	for i in "$C1" "$C2"; do
		echo "page of $i" >"$D/src/$i/index.html"
		mkdir -p "$D/src/$i/bin"
		printf '#!/bin/sh\necho run\n' >"$D/src/$i/bin/run"
		chmod 755 "$D/src/$i/bin/run"
		printf 'apiVersion: pipecd.dev/v1beta1\nkind: Application\nspec:\n  name: web\n' >"$D/src/$i/app.pipecd.yaml"
	done
}

# start_frame STAGE COMMIT [RUNNING] [jq filter over the frame]: a stage_start line
# INPUT (JSON), DEP, APP and WITH may be set.
start_frame() {
	jq -cn --arg stage "$1" --arg commit "$2" --arg running "${3:-}" --arg src "$D/src" \
		--arg dep "${DEP:-dep-$2}" --arg app "${APP:-web}" \
		--argjson input "${INPUT:-{\}}" --argjson with "${WITH:-{\}}" --argjson targets "[${TARGETS:-}]" "
	{v:1, kind:\"stage_start\", id:\"ask-1\",
	 deployment:{id:\$dep, application_id:\"app-\(\$app)\", application_name:\$app,
		git_path:{repo:{id:\"r\", remote:\"/repo\", branch:\"main\"}, path:\$app, config_filename:\"app.pipecd.yaml\"},
		trigger:{commit:{hash:\$commit, message:\"m\", author:\"a\", branch:\"main\", created_at:1700000000}, timestamp:1700000001},
		running_commit_hash:\$running, status:\"RUNNING\", created_at:1700000002, updated_at:1700000002},
	 stage:{id:\"stage-0\", name:\$stage, status:\"RUNNING\", created_at:1700000002, updated_at:1700000002},
	 config:\$with, app_config:\$input, running_config:\$input, targets:\$targets,
	 target_root:\"\(\$src)/\(\$commit)\", target_dir:\"\(\$src)/\(\$commit)\",
	 config_filename:\"app.pipecd.yaml\"}
	| if \$running != \"\" then . + {running_root:\"\(\$src)/\(\$running)\", running_dir:\"\(\$src)/\(\$running)\", running_config_filename:\"app.pipecd.yaml\"} else . end
	| ${4:-.}"
}

# host_stage STAGE COMMIT [RUNNING] [jq filter]: frames in $output, stage_done in $DONE
host_stage() {
	start_frame "$@" >"$D/start.json"
	run --separate-stderr pipecd-exec-host -f "$CONF" stage <"$D/start.json"
	DONE=$(jq -rc 'select(.kind=="stage_done")' <<<"$output")
	STATUS=$(jq -r .status <<<"$DONE") REASON=$(jq -r '.reason // ""' <<<"$DONE")
}

# live_frame COMMIT [jq filter]: a live_start line
live_frame() {
	jq -cn --arg commit "$1" --arg src "$D/src" --arg app "${APP:-web}" \
		--argjson input "${INPUT:-{\}}" --argjson targets "[${TARGETS:-}]" "
	{v:1, kind:\"live_start\", id:\"live-1\",
	 application:{id:\"app-\(\$app)\", name:\$app,
		git_path:{repo:{id:\"r\", remote:\"/repo\", branch:\"main\"}, path:\$app, config_filename:\"app.pipecd.yaml\"}, created_at:1, updated_at:1},
	 commit:\$commit, app_config:\$input, root:\"\(\$src)/\(\$commit)\", dir:\"\(\$src)/\(\$commit)\",
	 targets:\$targets, config_filename:\"app.pipecd.yaml\"} | ${2:-.}"
}

# host_live COMMIT [jq filter]: the app_state in $APP_STATE, its status in $STATUS
host_live() {
	live_frame "$@" >"$D/live.json"
	run --separate-stderr pipecd-exec-host -f "$CONF" live <"$D/live.json"
	APP_STATE=$(jq -c 'select(.kind=="app_state")' <<<"$output")
	STATUS=$(jq -r ".sync_state.status // \"UNKNOWN\"" <<<"$APP_STATE")
	REASON=$(jq -r '.sync_state.reason // ""' <<<"$APP_STATE")
	SHORT=$(jq -r '.sync_state.short_reason // ""' <<<"$APP_STATE")
}

current() { readlink "$ROOTS/$1/${APP:-web}/current"; }
