# A whole agent in a temporary directory: repository, deploy targets, config.
# Sets REPO, ROOTS, STATE, CONF below DIR; an application goes to all TARGETS.

# agent_new DIR TARGETS [more spec lines]
agent_new() {
	local dir=$1 n=$2 i
	REPO=$dir/repo ROOTS=$dir/roots STATE=$dir/state CONF=$dir/piped.yaml
	TARGETS=$(seq -s ', ' -f 'web-%.0f' "$n")
	mkdir -p "$dir" "$ROOTS"
	repo_new "$REPO"
	{
		printf 'apiVersion: pipecd.dev/v1beta1\nkind: Piped\nspec:\n'
		printf '  stateDir: %s\n  syncInterval: %s\n' "$STATE" "${SYNC:-1m}"
		printf '  repositories:\n    - {repoId: web, remote: %s, branch: main}\n' "$REPO"
		printf '  plugins:\n    - name: host\n      deployTargets:\n'
		for ((i = 1; i <= n; i++)); do
			mkdir -p "$ROOTS/web-$i"
			printf '        - {name: web-%d, config: {root: %s/web-%d}}\n' "$i" "$ROOTS" "$i"
		done
		[ $# -lt 3 ] || printf '%s\n' "$3"
	} >"$CONF"
}

# agent_app NAME [lines of plugins.host.input] [more spec lines]: not committed yet
agent_app() {
	local dir=$REPO/$1
	mkdir -p "$dir"
	[ -e "$dir/index.html" ] || echo "$1" >"$dir/index.html"
	{
		printf 'apiVersion: pipecd.dev/v1beta1\nkind: Application\nspec:\n  name: %s\n' "$1"
		[[ "${3:-}" == *deployTargets* ]] || printf '  deployTargets: [%s]\n' "$TARGETS"
		printf '  plugins:\n    host:\n      input:\n        keepReleases: 3\n'
		[ $# -lt 2 ] || [ -z "$2" ] || printf '%s\n' "$2" | sed 's/^/        /'
		[ $# -lt 3 ] || printf '%s\n' "$3" | sed 's/^/  /'
	} >"$dir/app.pipecd.yaml"
}

# agent_pipe: the four programs; text in $PIPE_OUT, exec's status as ours
agent_pipe() {
	local rc
	set -o pipefail
	pipecd-gitwatch -1 -f "$CONF" | pipecd-plan -f "$CONF" |
		pipecd-exec -f "$CONF" | pipecd-report -t
	rc=("${PIPESTATUS[@]}")
	set +o pipefail
	[ "${rc[0]}" -eq 0 ] && [ "${rc[1]}" -eq 0 ] && [ "${rc[3]}" -eq 0 ] || return 99
	return "${rc[2]}"
}

# agent_start [args]: piped in the background; PIPED is its pid
agent_start() {
	piped -f "$CONF" "$@" >"$STATE.out" 2>"$STATE.err" 3>&- &
	PIPED=$!
	until_true 30 piped -s -f "$CONF" >/dev/null 2>&1
}

agent_stop() {
	[ -n "${PIPED:-}" ] || return 0
	kill "$PIPED" 2>/dev/null
	wait "$PIPED" 2>/dev/null
	PIPED=
}

# journals_with STATUS: how many deployments ended so
journals_with() {
	local n=0 f
	for f in "$STATE"/journal/*-*.ndjson; do
		[ -e "$f" ] || continue
		[ "$(jq -rs '[.[]|select(.kind=="deployment")]|last|.deployment.status' "$f" 2>/dev/null)" = "$1" ] && n=$((n + 1))
	done
	echo "$n"
}

# deployment_of NAME: id of the newest deployment of an application
deployment_of() {
	jq -rs --arg n "$1" '[.[]|select(.name==$n)]|last|.deployment_id' "$STATE/journal/apps.ndjson" 2>/dev/null
}
