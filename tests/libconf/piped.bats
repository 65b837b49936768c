setup() {
	load ../lib/common
	conf=$TESTBIN/libconf/conf
	golden=$BATS_TEST_DIRNAME/golden
	cd "$BATS_TEST_TMPDIR"
}

@test "piped: the effective config, read again, prints the same" {
	for f in "$golden"/piped-v1.in "$golden"/piped-v0.in "$golden"/piped-standalone.in; do
		$conf piped "$f" >one.yaml 2>/dev/null
		$conf piped one.yaml >two.yaml 2>/dev/null
		diff one.yaml two.yaml
	done
}

@test "piped: every slice, read again, prints the same" {
	for f in "$golden"/piped-v1.in "$golden"/piped-v0.in; do
		for who in gitwatch checkout push plan exec drift report platform script; do
			$conf slice $who "" "$f" >one.yaml 2>/dev/null
			grep -q "^slice: $who$" one.yaml
			$conf slice $who "" one.yaml >two.yaml
			diff one.yaml two.yaml
		done
	done
}

@test "piped: secrets are in the slice of who needs them and in no other" {
	has() { $conf slice "$1" "$2" "$golden/$3.in" 2>/dev/null | grep -o 'canary[a-z-]*' | sort | tr '\n' ' '; }
	[ "$(has gitwatch "" piped-v1)" = "canary-ssh-key canary-url " ]
	[ "$(has push "" piped-v1)" = "canary-ssh-key canary-url " ]
	[ "$(has checkout "" piped-v1)" = "canary-private-key " ]
	[ "$(has report "" piped-v1)" = "canary-piped-key " ]
	[ "$(has platform terraform piped-v1)" = "canary-terraform-config canary-terraform-var " ]
	[ "$(has platform acme piped-v1)" = "canary-acme " ]
	[ "$(has platform host piped-v1)" = "" ]
	for who in plan exec drift script all; do [ "$(has $who "" piped-v1)" = "" ]; done
	[ "$(has gitwatch "" piped-v0)" = "canary-password " ]
	[ "$(has platform terraform piped-v0)" = "canary-chart canary-registry canary-var " ]
	for who in plan exec drift script checkout report; do [ "$(has $who "" piped-v0)" = "" ]; done
	[ "$(has all "" piped-v0)" = "" ]
	for f in piped-v0 piped-v1; do [ "$(has gitwatch-shown "" $f)" = "" ]; done
}

@test "piped: mistakes quote no secret" {
	run -1 $conf piped "$golden/piped-mistakes.in"
	[[ "$output" != *canary* ]]
	printf 'apiVersion: pipecd.dev/v1beta1\nkind: Piped\nspec: {pipedKeyData: 123456789, git: {password: [canary], username: x}}\n' >t.yaml
	run -1 $conf piped t.yaml
	[[ "$output" != *123456789* && "$output" != *canary* ]]
}

@test "piped: names of targets are everywhere, their config only at the platform" {
	for who in plan exec drift; do
		$conf slice $who "" "$golden/piped-v1.in" >s.yaml
		grep -q 'name: web-2' s.yaml; grep -q 'zone' s.yaml
		run ! grep -q 'root' s.yaml
	done
	$conf slice platform host "$golden/piped-v1.in" >s.yaml
	grep -q '/srv/web-2' s.yaml
	run ! grep -q 'terraform$\|acme' <(grep 'name:' s.yaml)
}

@test "piped: a slice on descriptor 3 can be read twice, and must be there" {
	$conf slice plan "" "$golden/piped-v1.in" >s.yaml
	PIPECD_CONF=1 run -0 --separate-stderr bash -c "$conf open && $conf open" 3<s.yaml
	[ "$(grep -c '^kind: Piped$' <<<"$output")" = 2 ]
	run -1 $conf open 3<&-
	[[ "$output" == *"no configuration: give -f piped.yaml"* ]]
}

@test "piped: maxConcurrentDeployments is twice the processors, at least 4" {
	printf 'apiVersion: pipecd.dev/v1beta1\nkind: Piped\n' >t.yaml
	n=$(getconf _NPROCESSORS_ONLN); n=$((n * 2 < 4 ? 4 : n * 2))
	$conf piped t.yaml | grep -q "^  maxConcurrentDeployments: $n$"
}

@test "piped: a secret's file that others may read is warned about" {
	echo x >key; chmod 644 key
	printf 'apiVersion: pipecd.dev/v1beta1\nkind: Piped\nspec: {git: {sshKeyFile: %s/key}}\n' "$PWD" >t.yaml
	run -0 $conf check t.yaml
	[[ "$output" == *"git.sshKeyFile: "*"/key: others may read it (mode 0644); chmod 600 it" ]]
	chmod 600 key
	run -0 $conf check t.yaml
	[ -z "$output" ]
}

@test "piped: what would be ambiguous or out of place later is refused when it is read" {
	printf 'apiVersion: pipecd.dev/v1beta1\nkind: Piped\nspec:\n  repositories:\n' >t.yaml
	for id in web web ../web; do echo "    - {repoId: $id, remote: /x, branch: main}" >>t.yaml; done
	printf '  plugins:\n    - {name: host, deployTargets: [{name: a, config: {root: srv}}, {name: a, config: {root: /srv}}]}\n' >>t.yaml
	run -1 $conf piped t.yaml
	[[ "$output" == *"t.yaml:6:16: repositories[1].repoId: web is there twice"* ]]
	[[ "$output" == *'repositories[2].repoId: "../web" cannot name a directory'* ]]
	[[ "$output" == *'plugins[0].deployTargets[0].config.root: "srv" is not an absolute path'* ]]
	[[ "$output" == *"plugins[0].deployTargets[1].name: a is there twice"* ]]
}

@test "check: exit 0 all good, 1 some refused, 100 when one cannot be read; all mistakes, by line" {
	run -0 $conf check "$golden/app-host.in" "$golden/piped-v1.in"
	run -1 $conf check "$golden/app-host.in" "$golden/app-mistakes.in" "$golden/piped-v1.in"
	[ "$(grep -o 'in:[0-9]*:' <<<"$output" | sort -t: -k2 -n -c && echo sorted)" = sorted ]
	[[ "$output" == *"app-mistakes.in: 12 mistakes"* ]] || { echo "$output"; false; }
	run -100 $conf check "$golden/app-host.in" nothing.yaml
	[[ "$output" == *"nothing.yaml: no such file"* ]]
	mkdir d; run -100 $conf check d
}

@test "json: platforms read their part by the same rows" {
	run -0 $conf read host_app '{"files":["a","b"],"health":{"http":"http://x","timeout":"5s"}}'
	[[ "$output" == *"interval 1000 timeout 5000 success 1 keep 5"* ]]
	run -0 $conf read host_canary '{}'; [ "$output" = "targets: 1" ]
	run -0 $conf read host_canary '{"targets":"25%"}'; [ "$output" = "targets: 25%" ]
	run -0 $conf read wait '{}'; [ "$output" = "duration 60000" ]
	run -1 $conf read wait '{"duration":"x"}'; [ "$output" = 'wait.duration: "x" is not a duration, such as 90s or 5m' ]
	run -1 $conf read host_target '{}'; [[ "$output" == "host_target.root: missing"* ]]
	run -1 $conf read host_app '{"health":'; [[ "$output" == "host_app: byte "* ]]
	run -0 $conf read terraform_app '{"workspace":"w","vars":["a=b"],"commandFlags":{"shared":["-x"]},"unknown":1}'
	[ "$output" = "$(printf 'workspace: w\nvar: a=b\nshared flag: -x')" ]
}
