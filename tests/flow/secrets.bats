# S1: a canary string in every place where a secret can be is found in no
# journal, frame, log or output.
setup() {
	load ../lib/common
	load ../lib/agent
	agent_new "$BATS_TEST_TMPDIR/agent" 1
}
teardown() { agent_stop; }

@test "secrets: what is sealed in git is opened on the target and seen nowhere else" {
	openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$BATS_TEST_TMPDIR/key.pem" 2>/dev/null
	openssl pkey -in "$BATS_TEST_TMPDIR/key.pem" -pubout -out "$BATS_TEST_TMPDIR/pub.pem"
	chmod 600 "$BATS_TEST_TMPDIR/key.pem"
	canary=CANARY-sealed-5f1d
	sealed=$(printf %s "$canary" | pipecd-gitwatch-checkout -e -k "$BATS_TEST_TMPDIR/pub.pem")
	cat >>"$CONF" <<END
  secretManagement:
    type: KEY_PAIR
    config: {privateKeyFile: $BATS_TEST_TMPDIR/key.pem, publicKeyFile: $BATS_TEST_TMPDIR/pub.pem}
  git: {username: bot, password: $(printf CANARY-git-77aa | base64)}
END
	agent_app site 'health: {command: "cat secret.env >&2; cat secret.env; false", interval: 50ms, timeout: 200ms}' "encryption:
  encryptedSecrets: {token: $sealed}
  decryptionTargets: [secret.env]
pipeline:
  stages:
    - {name: SCRIPT_RUN, with: {run: 'test -n \"\$PASSWORD\"', env: {PASSWORD: CANARY-script-9b2c}}}
    - {name: HOST_PRIMARY_ROLLOUT}"
	echo 'TOKEN={{ .encryptedSecrets.token }}' >"$REPO/site/secret.env"
	repo_commit "$REPO" one
	run agent_pipe	# the health check fails on purpose, and shows the file
	[ "$(cat "$ROOTS"/web-1/site/releases/*/secret.env)" = "TOKEN=$canary" ]
	[[ "$output" != *CANARY-git* ]]
	run grep -rlE 'CANARY-git|CANARY-sealed' "$STATE"
	echo "$output"
	[ -z "$output" ]
}
