# What PipeCD takes and refuses, fact by fact: each line was measured there.
setup() {
	load ../lib/common
	conf=$TESTBIN/libconf/conf
	cd "$BATS_TEST_TMPDIR"
}

# file KIND SPEC: one with this spec, in flow style or lines of it
file() { printf 'apiVersion: pipecd.dev/v1beta1\nkind: %s\nspec: %b\n' "$1" "$2" >t.yaml; }

# ok KIND SPEC [PART OF A WARNING]
ok() {
	file "$1" "$2"
	run -0 $conf check t.yaml
	[[ "$output" == *"${3-}"* ]] || { echo "$1 $2: $output, not $3"; return 1; }
}

# no KIND SPEC MESSAGE
no() {
	file "$1" "$2"
	run $conf check t.yaml
	[ "$status" -eq 1 ] || { echo "$1 $2: status $status: $output"; return 1; }
	[[ "$output" == *"$3"* ]] || { echo "$1 $2: $output, not $3"; return 1; }
}

# app KIND SPEC LINE: what is made of it
app() {
	file "$1" "$2"
	run -0 --separate-stderr $conf app t.yaml
	[[ "$output" == *"$3"* ]] || { echo "$1 $2: $output, not $3"; return 1; }
}

raw() { printf "$@" >t.yaml; run $conf check t.yaml; }

P='{apiAddress: "h:1", projectID: p, pipedID: i, pipedKeyFile: /dev/null'

@test "parity: apiVersion must be ours, kind one there is, spec may be absent" {
	raw 'kind: KubernetesApp\n'; [ "$status" -eq 1 ]; [[ "$output" == *"apiVersion: missing"* ]]
	raw 'apiVersion: v1\nkind: KubernetesApp\n'; [ "$status" -eq 1 ]; [[ "$output" == *'t.yaml:1:13: apiVersion: "v1" is not pipecd.dev/v1beta1'* ]]
	raw 'apiVersion: pipecd.dev/v1beta1\n'; [ "$status" -eq 1 ]; [[ "$output" == *"kind: missing"* ]]
	raw 'apiVersion: pipecd.dev/v1beta1\nkind: Foo\n'; [ "$status" -eq 1 ]; [[ "$output" == *'"Foo" is no kind'* ]]
	raw 'apiVersion: pipecd.dev/v1beta1\nkind: SealedSecret\n'; [ "$status" -eq 1 ]
	for k in KubernetesApp TerraformApp CloudRunApp LambdaApp ECSApp Application AnalysisTemplate EventWatcher ControlPlane Piped; do
		raw 'apiVersion: pipecd.dev/v1beta1\nkind: %s\n' $k; [ "$status" -eq 0 ]
	done
}

@test "parity: an unknown key beside spec is refused in v0 kinds, and ignored in kind Application" {
	raw 'apiVersion: pipecd.dev/v1beta1\nkind: KubernetesApp\nmetadata: {}\n'; [ "$status" -eq 1 ]; [[ "$output" == *"t.yaml:3:1: metadata: no such key"* ]]
	raw 'apiVersion: pipecd.dev/v1beta1\nkind: Application\nmetadata: {}\n'; [ "$status" -eq 0 ]; [[ "$output" == *"warning: metadata"* ]]
}

@test "parity: unknown keys of spec and of plain structs are refused in v0 kinds" {
	no KubernetesApp '{foo: 1}' 'foo: no such key'
	no KubernetesApp '{input: {foo: 1}}' 'input.foo: no such key'
	no KubernetesApp '{trigger: {foo: 1}}' 'trigger.foo: no such key'
	no KubernetesApp '{planner: {foo: 1}}' 'planner.foo: no such key'
	no KubernetesApp '{pipeline: {foo: 1}}' 'pipeline.foo: no such key'
	no TerraformApp '{input: {workspce: x}}' 'input.workspce: no such key; did you mean workspace?'
	no ControlPlane '{foo: 1}' 'foo: no such key'
}

@test "parity: unknown keys of a stage, its options, a Piped and Application are ignored, with a warning" {
	ok KubernetesApp '{pipeline: {stages: [{name: WAIT, foo: 1}]}}' 'pipeline.stages[0].foo: no such key'
	ok KubernetesApp '{pipeline: {stages: [{name: WAIT, with: {foo: 1}}]}}' 'stages[0].with.foo: no such key'
	ok Piped "$P, foo: 1}" 'warning: foo: no such key'
	ok Piped "$P, platformProviders: [{name: x, type: KUBERNETES, config: {foo: 1}}]}" 'platformProviders[0].config.foo'
	ok Application '{foo: 1}' 'warning: foo: no such key'
	ok Piped "$P, syncIntervall: 1m}" 'did you mean syncInterval?'
}

@test "parity: keys are matched without regard to case" {
	app KubernetesApp '{NAME: web, Timeout: 1h}' 'name: web'
	app KubernetesApp '{NAME: web, Timeout: 1h}' 'timeout: 3600000'
	app KubernetesApp '{name: one, NAME: two}' 'name: one'
}

@test "parity: of a key given twice the last counts" {
	app KubernetesApp '{name: one, name: two}' 'name: two'
}

@test "parity: y, on and friends are booleans, and so refused as text" {
	for w in y yes on n no off; do no KubernetesApp "{name: $w}" 'is a boolean in YAML, and this takes text; quote it'; done
	app KubernetesApp '{name: "yes"}' 'name: yes'
	no KubernetesApp '{labels: {a: 1}}' 'labels.a: 1 is a number, and this takes text; quote it'
	no KubernetesApp '{name: 1}' 'name: 1 is a number'
	no KubernetesApp '{labels: []}' 'labels: a list is not a map'
	no KubernetesApp '{input: x}' 'input: text is not a map'
	no KubernetesApp '{pipeline: {stages: {}}}' 'stages: a map is not a list'
	no KubernetesApp '{planner: {alwaysUsePipeline: "true"}}' 'is not true or false'
}

@test "parity: anchors, octal numbers and null are taken" {
	app KubernetesApp '\n  name: &n web\n  labels: {a: *n}' 'label.a: web'
	app KubernetesApp '{name: ~, labels: null, pipeline: null}' 'has_pipeline: false'
	ok ECSApp '{input: {targetGroups: {primary: {containerPort: 010}}}}'
}

@test "parity: a duration is Go's, or nanoseconds; days are refused" {
	app KubernetesApp '{timeout: 1h30m}' 'timeout: 5400000'
	app KubernetesApp '{timeout: 60000000000}' 'timeout: 60000'
	app KubernetesApp '{timeout: 1500ms}' 'timeout: 1500'
	app KubernetesApp '{timeout: 1.5h}' 'timeout: 5400000'
	no KubernetesApp '{timeout: 1d}' 'timeout: "1d" is not a duration, such as 90s or 5m'
	no KubernetesApp '{timeout: "10"}' 'timeout: "10" is not a duration'
	no KubernetesApp '{timeout: 10x}' 'timeout: "10x" is not a duration'
	no KubernetesApp '{timeout: yes}' 'timeout: true is a boolean'
	for d in -1h 0s; do ok KubernetesApp "{timeout: $d}"; done
	app KubernetesApp '{timeout: 0s}' 'timeout: 21600000'
	ok KubernetesApp '{trigger: {onOutOfSync: {minWindow: -5m}}}'
}

@test "parity: a percentage is a whole number with or without its sign, of any size" {
	for p in 10 '"10"' '"10%"' 10% 101 -1; do ok KubernetesApp "{pipeline: {stages: [{name: K8S_TRAFFIC_ROUTING, with: {canary: $p}}]}}"; done
	for p in 10.5 '"10.5%"' x '"%"' '""' '[1]'; do no KubernetesApp "{pipeline: {stages: [{name: K8S_TRAFFIC_ROUTING, with: {canary: $p}}]}}" 'is not a percentage'; done
	ok KubernetesApp '{pipeline: {stages: [{name: K8S_TRAFFIC_ROUTING, with: {canary: 60, primary: 60}}]}}'
}

@test "parity: replicas are a number or a share, over 100% too" {
	for p in 2 '"2"' 50% 150%; do ok KubernetesApp "{pipeline: {stages: [{name: K8S_CANARY_ROLLOUT, with: {replicas: $p}}]}}"; done
	no KubernetesApp '{pipeline: {stages: [{name: K8S_CANARY_ROLLOUT, with: {replicas: x}}]}}' 'is not a number or a share'
	[ "$($conf replicas 25% 10)" = 3 ]; [ "$($conf replicas 3 10)" = 3 ]; [ "$($conf replicas 0 10)" = 1 ]
	[ "$($conf replicas '' 10)" = 1 ]; [ "$($conf replicas 150% 10)" = 15 ]; [ "$($conf replicas 1% 10)" = 1 ]
}

@test "parity: stages of v0 kinds are a fixed set, and not held against the kind" {
	no KubernetesApp '{pipeline: {stages: [{name: FOO}]}}' 'pipeline.stages[0].name: "FOO" is no stage of this kind'
	no KubernetesApp '{pipeline: {stages: [{}]}}' 'pipeline.stages[0].name: missing'
	no KubernetesApp '{pipeline: {stages: [{name: K8S_SYNC}]}}' 'is no stage of this kind'
	for s in ROLLBACK CUSTOM_SYNC_ROLLBACK SCRIPT_RUN_ROLLBACK; do no KubernetesApp "{pipeline: {stages: [{name: $s}]}}" 'is no stage of this kind'; done
	ok KubernetesApp '{pipeline: {stages: [{name: LAMBDA_PROMOTE}]}}'
	ok TerraformApp '{pipeline: {stages: [{name: TERRAFORM_SYNC}]}}'
	ok KubernetesApp '{pipeline: {stages: [{name: WAIT, id: a}, {name: WAIT, id: a}]}}'
	ok Application '{pipeline: {stages: [{name: FOO, with: {a: 1}}]}}'
	ok Application '{pipeline: {stages: [{name: K8S_SYNC}]}}'
}

@test "parity: options of WAIT, WAIT_APPROVAL, ANALYSIS, SCRIPT_RUN and CUSTOM_SYNC" {
	app KubernetesApp '{pipeline: {stages: [{name: WAIT}]}}' 'with={"duration":"1m"}'
	app KubernetesApp '{pipeline: {stages: [{name: WAIT, with: {duration: 0s}}]}}' 'with={"duration":"0s"}'
	no Application '{pipeline: {stages: [{name: WAIT}]}}' 'with.duration: missing'
	app KubernetesApp '{pipeline: {stages: [{name: WAIT_APPROVAL, with: {minApproverNum: 0}}]}}' '"minApproverNum":1'
	no KubernetesApp '{pipeline: {stages: [{name: WAIT_APPROVAL, with: {minApproverNum: -1}}]}}' 'minApproverNum: -1 is negative'
	no Application '{pipeline: {stages: [{name: WAIT_APPROVAL}]}}' 'with.approvers: missing'
	no KubernetesApp '{pipeline: {stages: [{name: ANALYSIS}]}}' 'with.duration: missing'
	ok KubernetesApp '{pipeline: {stages: [{name: ANALYSIS, with: {duration: 5m}}]}}'
	ok KubernetesApp '{pipeline: {stages: [{name: SCRIPT_RUN}]}}'
	no Application '{pipeline: {stages: [{name: SCRIPT_RUN}]}}' 'with.run: missing'
	no KubernetesApp '{pipeline: {stages: [{name: CUSTOM_SYNC}]}}' 'with.run: missing'
	app KubernetesApp '{pipeline: {stages: [{name: SCRIPT_RUN, with: {run: x, env: {A: b}, onRollback: undo, timeout: 5m}}]}}' 'timeout=300000 with={"run":"x","env":{"A":"b"},"onRollback":"undo","timeout":"5m"}'
}

@test "parity: skipOn and timeout stand under with in v0, beside it in v1" {
	app KubernetesApp '{pipeline: {stages: [{name: WAIT, with: {skipOn: {paths: [a]}}}]}}' '  skip path: a'
	ok KubernetesApp '{pipeline: {stages: [{name: WAIT, skipOn: {paths: [a]}}]}}' 'in this kind it stands under with'
	app Application '{pipeline: {stages: [{name: WAIT, timeout: 5m, skipOn: {commitMessagePrefixes: [x]}, with: {duration: 1s}}]}}' 'timeout=300000'
	ok Application '{pipeline: {stages: [{name: WAIT, with: {duration: 1s, skipOn: {paths: [a]}}}]}}' 'in kind Application it stands beside with'
	no KubernetesApp '{pipeline: {stages: [{name: WAIT, with: {skipOn: {paths: a}}}]}}' 'skipOn.paths: "a" is not a list'
}

@test "parity: names, regular expressions and kinds of matchers are not looked at" {
	ok KubernetesApp '{commitMatcher: {quickSync: "("}}'
	ok KubernetesApp '{postSync: {chain: {applications: [{kind: FOO}]}}}'
	no KubernetesApp '{postSync: {chain: {applications: []}}}' 'at least one application'
	no KubernetesApp '{postSync: {chain: {}}}' 'at least one application'
	no KubernetesApp '{postSync: {chain: {applications: [{}]}}}' 'name, kind or labels: missing'
	ok KubernetesApp '{postSync: {chain: {applications: [{labels: {a: b}}]}}}'
}

@test "parity: secrets and attachments need names, values and the files that use them" {
	ok KubernetesApp '{encryption: {encryptedSecrets: {a: x}, decryptionTargets: [f]}}'
	ok KubernetesApp '{encryption: {decryptionTargets: [f]}}'
	no KubernetesApp '{encryption: {encryptedSecrets: {a: x}}}' 'decryptionTargets: missing'
	no KubernetesApp '{encryption: {encryptedSecrets: {"": x}, decryptionTargets: [f]}}' 'a name is empty'
	no KubernetesApp '{encryption: {encryptedSecrets: {a: ""}, decryptionTargets: [f]}}' 'encryptedSecrets.a: empty'
	no KubernetesApp '{attachment: {sources: {a: x}}}' 'targets: missing'
	no KubernetesApp '{attachment: {sources: {a: ""}, targets: [f]}}' 'sources.a: empty'
}

@test "parity: mentions know their events, event watchers take anything" {
	ok KubernetesApp '{notification: {mentions: [{event: "*"}, {event: DEPLOYMENT_FAILED, slackUsers: [x]}]}}'
	no KubernetesApp '{notification: {mentions: [{event: FOO}]}}' '"FOO" is no event'
	ok KubernetesApp '{eventWatcher: [{matcher: {}, handler: {type: FOO}}]}'
	ok KubernetesApp '{eventWatcher: [{handler: {type: GIT_UPDATE, config: {replacements: [{file: a}]}}}]}'
	ok KubernetesApp '{driftDetection: {ignoreFields: ["a:b:c:d#e.f"]}}'
	no KubernetesApp '{driftDetection: {ignoreFields: ["a:b:c:d"]}}' 'is not apiVersion:kind:namespace:name#field.path'
	no KubernetesApp '{driftDetection: {ignoreFields: ["a#b#c"]}}' 'is not apiVersion'
}

@test "parity: plugins in v0 kinds are ignored" {
	ok KubernetesApp '{plugins: {foo: {}}}'
	no KubernetesApp '{plugins: []}' 'plugins: a list is not a map'
}

@test "parity: autoRollback is under input in v0, under planner in v1" {
	app TerraformApp '{}' 'auto_rollback: false'
	app TerraformApp '{input: {autoRollback: true}}' 'auto_rollback: true'
	app TerraformApp '{planner: {autoRollback: true}}' 'auto_rollback: false'
	app KubernetesApp '{planner: {autoRollback: false}}' 'auto_rollback: true'
	app KubernetesApp '{input: {autoRollback: false}}' 'auto_rollback: false'
	for k in CloudRunApp LambdaApp ECSApp; do app $k '{}' 'auto_rollback: true'; done
	app Application '{planner: {autoRollback: false}}' 'auto_rollback: false'
	app Application '{}' 'auto_rollback: true'
}

@test "parity: defaults of triggers and deployments" {
	app KubernetesApp '{}' 'trigger: commit=1 command=1 out_of_sync=0 chain=0 window=300000'
	app KubernetesApp '{trigger: {onCommit: {disabled: true}, onOutOfSync: {disabled: false}, onChain: {disabled: false}}}' 'trigger: commit=0 command=1 out_of_sync=1 chain=1 window=300000'
	app KubernetesApp '{}' 'timeout: 21600000'
	app Application '{planner: {alwaysUsePipeline: true}}' 'always_use_pipeline: true'
}

@test "parity: enums of ECS; the rest of the platforms' words is not looked at" {
	no ECSApp '{input: {accessType: FOO}}' 'accessType: "FOO" is none of ELB,SERVICE_DISCOVERY'
	ok ECSApp '{input: {launchType: FOO}}'
	ok KubernetesApp '{trafficRouting: {method: foo}}'
	ok KubernetesApp '{pipeline: {stages: [{name: K8S_TRAFFIC_ROUTING, with: {all: foo}}]}}'
	ok KubernetesApp '{pipeline: {stages: [{name: K8S_CANARY_ROLLOUT, with: {patches: [{target: {kind: ConfigMap}, ops: [{op: foo}]}]}}]}}'
	ok KubernetesApp '{resourceRoutes: [{provider: {name: a}, match: {kind: ConfigMap}}]}'
}

@test "parity: metrics need provider, query and interval, unless a template has them" {
	M='{duration: 5m, metrics: '
	no KubernetesApp "{pipeline: {stages: [{name: ANALYSIS, with: $M[{query: q, interval: 1m}]}}]}}" 'metrics[0].provider: missing'
	no KubernetesApp "{pipeline: {stages: [{name: ANALYSIS, with: $M[{provider: p, interval: 1m}]}}]}}" 'metrics[0].query: missing'
	no KubernetesApp "{pipeline: {stages: [{name: ANALYSIS, with: $M[{provider: p, query: q}]}}]}}" 'metrics[0].interval: missing'
	no KubernetesApp "{pipeline: {stages: [{name: ANALYSIS, with: $M[{template: {name: ''}}]}}]}}" 'provider: missing'
	ok KubernetesApp "{pipeline: {stages: [{name: ANALYSIS, with: $M[{template: {name: t}}]}}]}}"
	ok KubernetesApp "{pipeline: {stages: [{name: ANALYSIS, with: $M[{provider: p, query: q, interval: 1m, strategy: FOO}]}}]}}"
	no KubernetesApp "{pipeline: {stages: [{name: ANALYSIS, with: $M[{provider: p, query: q, interval: 1m, deviation: FOO}]}}]}}" 'is none of EITHER,HIGH,LOW'
	ok KubernetesApp '{pipeline: {stages: [{name: ANALYSIS, with: {duration: 5m, logs: [{}], https: [{}]}}]}}'
	ok AnalysisTemplate '{metrics: {a: {}}, logs: {b: {}}, https: {c: {}}}'
}

@test "parity: the event watcher of a repository" {
	ok EventWatcher '{events: [{name: e, replacements: [{file: a, yamlField: b}]}]}'
	no EventWatcher '{events: [{replacements: [{file: a, yamlField: b}]}]}' 'events[0].name: missing'
	no EventWatcher '{events: [{name: e}]}' 'replacements: missing'
	no EventWatcher '{events: [{name: e, replacements: [{yamlField: b}]}]}' 'file: missing'
	no EventWatcher '{events: [{name: e, replacements: [{file: a}]}]}' 'yamlField, jsonField, HCLField or regex: missing'
	ok EventWatcher '{events: [{name: e, replacements: [{file: a, yamlField: b, regex: c}]}]}'
	no EventWatcher '{events: [{name: e, replacements: [{file: a, yamlField: b, regex: c, jsonField: d}]}]}' 'takes one of'
}

@test "parity: with a control plane a Piped says who it is and has one key" {
	ok Piped "$P}"
	for k in projectID pipedID; do no Piped "$(echo "$P}" | sed "s/$k: [a-z],//")" "$k: missing, with apiAddress"; done
	no Piped '{apiAddress: "h:1", projectID: p, pipedID: i}' 'pipedKeyFile or pipedKeyData: missing'
	no Piped "$P, pipedKeyData: x}" 'pipedKeyFile is there too'
	ok Piped '{}'
}

@test "parity: intervals of a Piped are not negative" {
	no Piped "$P, syncInterval: -1s}" 'syncInterval: "-1s" is negative'
	no Piped "$P, eventWatcher: {checkInterval: -1s}}" 'checkInterval: "-1s" is negative'
	no Piped "$P, planPreview: {workerNum: -1}}" 'workerNum: -1 is negative'
	file Piped "$P, syncInterval: 0s}"; [[ "$($conf piped t.yaml)" == *"syncInterval: 1m"* ]]
}

@test "parity: git of a Piped has a key or a password with a name" {
	ok Piped "$P, git: {sshKeyFile: a}}"
	no Piped "$P, git: {sshKeyFile: a, password: b, username: c}}" 'leave one out'
	no Piped "$P, git: {password: b}}" 'password: needs username'
	ok Piped "$P, git: {username: a, password: b}}"
}

@test "parity: providers of every kind; doubles and empty names are taken, other types are not" {
	ok Piped "$P, repositories: [{repoId: a, remote: b, branch: c}, {repoId: a, remote: b, branch: c}]}"
	ok Piped "$P, platformProviders: [{name: a, type: TERRAFORM}, {name: a, type: TERRAFORM}, {type: KUBERNETES}]}"
	ok Piped "$P, cloudProviders: [{name: a, type: CLOUDRUN}]}"
	no Piped "$P, platformProviders: [{name: a, type: FOO}]}" 'is none of KUBERNETES'
	no Piped "$P, chartRepositories: [{name: a}]}" 'name and address: missing'
	no Piped "$P, chartRepositories: [{type: GIT}]}" 'gitRemote: missing'
	no Piped "$P, chartRepositories: [{type: FOO}]}" 'is none of HTTP,GIT'
	no Piped "$P, chartRegistries: [{type: OCI}]}" 'address: missing'
	no Piped "$P, analysisProviders: [{name: a, type: PROMETHEUS}]}" 'config.address: missing'
	no Piped "$P, analysisProviders: [{name: a, type: FOO}]}" 'is none of'
	no Piped "$P, analysisProviders: [{name: a, type: DATADOG, config: {apiKeyFile: a}}]}" 'applicationKeyFile or applicationKeyData: missing'
	no Piped "$P, analysisProviders: [{name: a, type: DATADOG, config: {apiKeyFile: a, apiKeyData: b, applicationKeyFile: c}}]}" 'leave one out'
	ok Piped "$P, analysisProviders: [{name: a, type: STACKDRIVER, config: {serviceAccountFile: a}}]}"
}

@test "parity: receivers of notifications" {
	ok Piped "$P, notifications: {routes: [{receiver: nobody}], receivers: [{name: a, slack: {hookURL: h}}]}}"
	no Piped "$P, notifications: {receivers: [{name: a, slack: {hookURL: h, oauthTokenFile: f, channelID: c}}]}}" 'hookURL and a token'
	no Piped "$P, notifications: {receivers: [{name: a, slack: {oauthTokenFile: f}}]}}" 'channelID: missing'
	no Piped "$P, notifications: {receivers: [{name: a, slack: {oauthTokenFile: f, oauthToken: g, channelID: c}}]}}" 'takes one of'
	ok Piped "$P, notifications: {receivers: [{name: a, webhook: {url: u, signatureValue: a, signatureValueFile: b}}]}}"
}

@test "parity: keys of sealed secrets" {
	ok Piped "$P, secretManagement: {type: KEY_PAIR, config: {privateKeyFile: a, publicKeyData: b}}}"
	no Piped "$P, secretManagement: {type: KEY_PAIR, config: {publicKeyData: b}}}" 'privateKeyFile or privateKeyData: missing'
	no Piped "$P, secretManagement: {type: KEY_PAIR, config: {privateKeyFile: a, privateKeyData: c, publicKeyData: b}}}" 'leave one out'
	no Piped "$P, secretManagement: {type: KEY_PAIR}}" 'missing'
	ok Piped "$P, secretManagement: {type: GCP_KMS, config: {keyName: k}}}"
	for t in NONE AWS_KMS; do no Piped "$P, secretManagement: {type: $t}}" 'is none of KEY_PAIR,GCP_KMS'; done
}

@test "parity: the event watcher of a Piped names each repository once" {
	ok Piped "$P, eventWatcher: {gitRepos: [{repoId: a}, {repoId: b}]}}"
	no Piped "$P, eventWatcher: {gitRepos: [{repoId: a}, {repoId: a}]}}" 'repoId a is there twice'
	no Piped "$P, eventWatcher: {gitRepos: [{}]}}" 'repoId: missing'
}

@test "parity: an old Piped with plugins still reads; schemes of plugins are not held against it" {
	ok Piped "$P, plugins: [], platformProviders: 3}" 'platformProviders: not read where plugins is given'
	ok Piped "$P, plugins: [{name: a, url: 'ftp://x'}]}" 'takes file://'
}

@test "parity: a control plane of any store" {
	ok ControlPlane '{datastore: {type: FOO}}'
	ok ControlPlane '{datastore: {type: MYSQL, config: {url: u}}, filestore: {type: S3, config: {bucket: b}}}'
	no ControlPlane '{sharedSSOConfigs: [{name: a, oidc: {userinfo_endpoint: x}}]}' 'no such key'
	ok ControlPlane '{sharedSSOConfigs: [{name: a, provider: OIDC, oidc: {user_info_endpoint: x, clientId: id, client_secret: secret}}]}'
	ok ControlPlane '{projects: [{id: p, desc: d, staticAdmin: {username: a, passwordHash: h}}], cache: {ttl: 5m}}'
}
