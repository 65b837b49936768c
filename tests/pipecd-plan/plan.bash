# What the tests of pipecd-plan share: a state directory with real mirrors, a
# platform that only describes itself, and frames.
load ../lib/common

# A platform of 20 lines: what it describes is all that planning needs of it.
fake_platform() { # NAME STAGES-JSON [VOTES]
	cat >"$D/$1.sh" <<EOF
#!/bin/sh
case \$1 in
describe)
	echo described >>'$D/$1.asked'
	echo '{"v":1,"kind":"platform","name":"$1","stages":[$2],"votes":${3:-false}}'
	;;
plan)
	cat >>'$D/$1.plan.in'
	cat '$D/$1.vote'
	;;
*)
	exit 100
	;;
esac
EOF
	chmod 755 "$D/$1.sh"
}
HOST_STAGES='{"name":"HOST_SYNC","desc":"switch all targets","quick":true},{"name":"HOST_CANARY_ROLLOUT"},{"name":"HOST_PRIMARY_ROLLOUT"},{"name":"HOST_ROLLBACK","rollback":true}'

plugin() { # NAME TARGETS...: an entry of spec.plugins
	local name=$1 t; shift
	echo "    - name: $name"
	echo "      url: file://$D/$name.sh"
	echo "      sha256: $(sha256sum <"$D/$name.sh" | cut -d' ' -f1)"
	[ $# -gt 0 ] || return 0
	echo "      deployTargets:"
	for t; do printf '        - name: %s\n          config: {root: %s/roots/%s}\n' "$t" "$D" "$t"; done
}

piped() { # EXTRA-LINES: the Piped configuration; plugins from stdin
	cat >"$D/piped.yaml" <<EOF
apiVersion: pipecd.dev/v1beta1
kind: Piped
spec:
  stateDir: $D/state
  repositories:
    - repoId: web
      remote: $D/web
      branch: main
$(printf '%s\n' "$@" | sed 's/^/  /')
  plugins:
$(cat)
EOF
}

plan_setup() {
	D=$BATS_TEST_TMPDIR
	export D
	mkdir -p "$D/state/mirror" "$D/state/journal"
	chmod 700 "$D" "$D/state"
	repo_new "$D/web"
	fake_platform host "$HOST_STAGES"
	plugin host web-1 | piped
}

# app DIR [SPEC-LINES...]: write DIR/app.pipecd.yaml and a file beside it
app() {
	local dir=$1; shift
	mkdir -p "$D/web/$dir"
	{
		printf 'apiVersion: pipecd.dev/v1beta1\nkind: Application\nspec:\n'
		printf '  name: %s\n' "${dir//\//-}"
		[ $# -eq 0 ] || printf '  %s\n' "$@"
		printf '  plugins:\n    host:\n      input: {}\n'
	} >"$D/web/$dir/app.pipecd.yaml"
	[ -e "$D/web/$dir/index.html" ] || echo "$dir" >"$D/web/$dir/index.html"
}

# commit MESSAGE: commit everything and bring it into the mirror; prints the id
commit() {
	repo_commit "$D/web" "${1:-change}"
	mirror
}
mirror() {
	local m=$D/state/mirror/web.git
	[ -d "$m" ] || git init -q --bare "$m"
	git -C "$D/web" push -q --force "$m" main 2>/dev/null
}
head_frame() { frame head "\"repo\":\"web\",\"branch\":\"main\",\"commit\":\"${1:-$(git -C "$D/web" rev-parse main)}\",\"seen_at\":1700000000"; }

# plan_head [COMMIT]: what plan says to a head
plan_head() { head_frame "$@" | pipecd-plan -f "$D/piped.yaml"; }

# done_frames <OUTPUT: what exec would write once these deployments succeeded
done_frames() { # [STATUS]
	jq -c --arg s "${1:-SUCCESS}" 'select(.kind=="deployment" and (.deployment.status//"PENDING")!="PENDING") | .deployment as $d |
	{v:1,kind:"past",application_id:$d.application_id,repo:$d.git_path.repo.id,path:$d.git_path.path,
	 config_filename:$d.git_path.config_filename,triggered_commit:$d.trigger.commit.hash,
	 deployment_id:$d.id,status:$s,completed_at:1700000100,triggered_at:1700000000,name:$d.application_name}
	+ (if $s=="SUCCESS" then {running_commit:$d.trigger.commit.hash,running_config_filename:$d.git_path.config_filename}
	   elif ($d.running_commit_hash // "")!="" then {running_commit:$d.running_commit_hash} else {} end)'
}
# deployed [STATUS]: plan the head and note all of it as deployed
deployed() { plan_head >"$D/said" && done_frames "$@" <"$D/said" >>"$D/state/journal/apps.ndjson"; }

# deployments <OUTPUT: one line each: application status
deployments() { jq -r 'select(.kind=="deployment") | .deployment | "\(.application_name) \(.status//"PENDING")"'; }
planned() { jq -c 'select(.kind=="deployment" and (.deployment.status//"PENDING")!="PENDING")'; }
