#!/usr/bin/env bats
# What pipectl understands, without a server.
load ../lib/common

setup() {
	cd "$BATS_TEST_TMPDIR"
	export HOME=$BATS_TEST_TMPDIR
	unset PIPECTL_ADDRESS PIPECTL_API_KEY PIPECTL_API_KEY_FILE PIPECTL_CONTEXT XDG_CONFIG_HOME
}

@test "pipectl: a mistyped command, verb or option is answered with what was meant" {
	run -100 pipectl aplication list
	[[ "$output" == *"did you mean \`pipectl application\`?"* ]]
	run -100 pipectl application lst
	[[ "$output" == *"did you mean \`pipectl application list\`?"* ]]
	run -100 pipectl application list --limt 3
	[[ "$output" == *"--limt: no such option; did you mean --limit?"* ]]
}

@test "pipectl: a value that cannot be is refused with what can" {
	run -100 pipectl application list --app-kind APPLE
	[[ "$output" == *'--app-kind: "APPLE" is none of: KUBERNETES TERRAFORM'* ]]
	run -100 pipectl deployment wait-status D --status SUCCESS,DONE
	[[ "$output" == *'"DONE" is none of: PENDING'* ]]
	run -100 pipectl deployment wait-status D --status SUCCESS --timeout soon
	[[ "$output" == *'--timeout: "soon" is not a duration'* ]]
	run -100 pipectl application list --limit -3
	[[ "$output" == *'is no number from 0 up'* ]]
	run -100 pipectl application list --label env
	[[ "$output" == *'"env" is not KEY=VALUE'* ]]
}

@test "pipectl: what scripts of PipeCD's pipectl say is understood" {
	run -111 pipectl --address 127.0.0.1:1 --insecure --api-key x --log-level info --log-encoding humanize --metrics=false \
		deployment wait-status --deployment-id D --status DEPLOYMENT_SUCCESS,DEPLOYMENT_FAILURE --check-interval 1s --timeout 1s
	run -111 pipectl application sync --app-id A --timeout 1s --wait-status DEPLOYMENT_SUCCESS --address 127.0.0.1:1 --insecure --api-key x
	run -111 pipectl deployment list --status DEPLOYMENT_RUNNING --app-id A --app-kind ECS --address 127.0.0.1:1 --insecure --api-key x
}

@test "pipectl: what is needed and not given is named" {
	run -100 pipectl deployment get
	[[ "$output" == *"--deployment-id is needed: the deployment's id"* ]]
	run -100 pipectl deployment get D
	[[ "$output" == *"which control plane?  --address host:port"* ]]
	run -100 pipectl --address 127.0.0.1:1 deployment get D
	[[ "$output" == *"--api-key-file is needed"* ]]
	run -100 pipectl deployment get D E
	[[ "$output" == *"E: not expected here"* ]]
	run -100 pipectl --address
	[[ "$output" == *"--address: the control plane, host:port is missing"* ]]
}

@test "pipectl: options may stand before, between and behind the words" {
	for words in "--api-key-file none --address a:1 deployment get D" \
	    "deployment --address=a:1 get --api-key-file=none D" \
	    "deployment get --deployment-id D --address a:1 --api-key-file none"; do
		run -100 pipectl $words
		[[ "$output" == *"none: no such file"* ]]
	done
}

@test "pipectl: what is not in this version is refused by name" {
	run -100 pipectl plan-preview
	[[ "$output" == *"plan-preview is not in this version"* ]]
	run -100 pipectl plugin push
	[[ "$output" == *"plugin push is not in this version"* ]]
}

@test "pipectl: a context is remembered without a key, the first is in use" {
	echo KEY >key
	run -0 pipectl context add prod --address cd.example:443 --api-key-file key
	run -0 pipectl context add test --address 127.0.0.1:1 --insecure --api-key-file key
	run -0 pipectl context list
	[[ "${lines[0]}" == "* prod "*" cd.example:443" ]]
	[[ "${lines[1]}" == "  test "*" 127.0.0.1:1 insecure" ]]
	[ "$(stat -c %a .config/pipectl/contexts.json)" = 600 ]
	run ! grep -q KEY .config/pipectl/contexts.json
	run -100 pipectl context add x --address a:1 --api-key K
	[[ "$output" == *"a context keeps no key"* ]]
	run -0 pipectl context use test
	run -0 pipectl context list
	[[ "${lines[1]}" == "* test "* ]]
	run -1 pipectl context use nowhere
	run -0 pipectl context delete test
	run -100 pipectl application list
	[[ "$output" == *"which control plane?"* ]]
	run -100 pipectl --context nowhere application list
	[[ "$output" == *"there is no nowhere"* ]]
}

@test "pipectl: a file of contexts that cannot be read is said, with where" {
	mkdir -p .config/pipectl
	echo '{"use":' >.config/pipectl/contexts.json
	run -100 pipectl application list
	[[ "$output" == *"contexts.json: byte "* ]]
}

@test "pipectl: shells complete commands, options and values" {
	run -0 pipectl __complete app
	[ "$output" = application ]
	run -0 pipectl __complete transfer restore ""
	[[ "$output" == *piped* && "$output" == *application* ]]
	run -0 pipectl __complete application list --app-kind T
	[ "$output" = TERRAFORM ]
	run -0 pipectl __complete deployment list --st
	[ "$output" = --status ]
	bash -n <(pipectl completion bash)
	PATH=$BIN:$PATH run -0 bash -c 'eval "$(pipectl completion bash)"
		COMP_WORDS=(pipectl deployment ca) COMP_CWORD=2; _pipectl; echo "${COMPREPLY[0]}"'
	[ "$output" = cancel ]
}

@test "pipectl: every command has help, and every help names its options" {
	run -0 pipectl --help
	[[ "$output" == *"application"*"deployment"*"migrate"* ]]
	run -0 pipectl deployment list --help
	[[ "$output" == *"--status A,B"*"--address TEXT"* ]]
	run -0 pipectl insight -h
	[[ "$output" == *"CHANGE_FAILURE_RATE"* ]]
}
