setup() {
	load ../lib/common
	conf=$TESTBIN/libconf/conf
	here=$BATS_TEST_DIRNAME
	cd "$BATS_TEST_TMPDIR"
	kinds=(Piped Application KubernetesApp TerraformApp CloudRunApp LambdaApp ECSApp AnalysisTemplate EventWatcher ControlPlane)
	for k in "${kinds[@]}"; do $conf schema "$k" >"$k.json"; done
}

# fits FILE: by the schema of its kind
fits() {
	local kind
	kind=$($conf json "$1" | jq -r .kind)
	$conf json "$1" | python3 "$here/schema.py" "$kind.json"
}

@test "schema: each is sound JSON Schema of the words we use" {
	python3 "$here/schema.py" -s ./*.json
	for k in "${kinds[@]}"; do
		[ "$(jq -r '."$schema"' "$k.json")" = https://json-schema.org/draft/2020-12/schema ]
		[ "$(jq -r .properties.kind.const "$k.json")" = "$k" ]
	done
}

@test "schema: every golden file that we take fits its schema" {
	n=0
	for f in "$here"/golden/*.in; do
		$conf check "$f" 2>/dev/null || continue
		run fits "$f"; [ "$status" -eq 0 ] || { echo "$f: $output"; return 1; }
		n=$((n + 1))
	done
	[ "$n" -ge 10 ]
}

@test "schema: it refuses what we refuse: types, choices, ranges, unknown keys" {
	no() { printf 'apiVersion: pipecd.dev/v1beta1\nkind: %s\nspec: %s\n' "$1" "$2" >t.yaml; run -1 fits t.yaml; [[ "$output" == *"$3"* ]] || { echo "$output"; return 1; }; run -1 $conf check t.yaml; }
	no KubernetesApp '{name: 1}' '.spec.name: 1 is no string'
	no KubernetesApp '{foo: 1}' '.spec.foo: no such key'
	no TerraformApp '{input: {foo: 1}}' '.spec.input.foo: no such key'
	no ECSApp '{input: {accessType: x}}' "accessType: 'x' is not"
	no KubernetesApp '{timeout: 1d}' ".spec.timeout: '1d' does not match"
	no KubernetesApp '{pipeline: {stages: [{name: FOO}]}}' "name: 'FOO' is not"
	no KubernetesApp '{pipeline: {stages: [{}]}}' 'stages[0].name: missing'
	no Application '{pipeline: {stages: [{name: WAIT, with: {duration: x}}]}}' "duration: 'x' does not match"
	no Application '{plugins: {host: {input: {keepReleases: 0}}}}' 'keepReleases: 0 is less than 1'
	no Piped '{platformProviders: [{name: a, type: FOO}]}' "type: 'FOO' is not"
	no Piped '{planPreview: {workerNum: -1}}' 'workerNum: -1 is less than 0'
}

@test "schema: manual pages are clean and name every key" {
	for p in piped.yaml app.pipecd.yaml control-plane.yaml; do
		$conf man $p >$p.5
		run mandoc -T lint -W warning $p.5
		[ -z "$(grep -v 'missing date' <<<"$output")" ]
	done
	for k in syncInterval platformProviders plugins sha256 pruneLimit knownHostsFile; do grep -q "^.B $k$" piped.yaml.5; done
	for k in deployTargets keepReleases successCount minWindow onRollback workspace resourceRoutes accessType deviation; do grep -q "^.B $k$" app.pipecd.yaml.5; done
}
