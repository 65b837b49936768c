# Keys: bcrypt once, then a hash; two per agent; wrong ones lock.
setup() {
	load ../lib/common
	load ../lib/store
	store_start
}
teardown() { store_stop; }
# What the key process has been asked so far, by the processor time of the pool.
piped() { ask 'make PIPED - {"id":"e1","name":"agent","project_id":"p1"}' | sed 's/.*key=//'; }

@test "a key is said once, is PipeCD's shape, and no hash leaves the store" {
	run -0 ask 'make PIPED - {"id":"e1","name":"agent","project_id":"p1"}' 'make API_KEY - {"name":"ci","project_id":"p1","role":"READ_WRITE"}' \
		'make ADMIN - {"id":"p1"}' 'get piped e1' 'list api_key project_id=p1' 'get project p1' \
		'update piped {"id":"e1","name":"renamed","project_id":"p1"}'
	[[ ${lines[0]} =~ key=[a-z0-9]{50}$ ]]
	[[ ${lines[1]} =~ key=[0-9a-f-]{36}\.[a-z0-9]{32}$ ]]
	[[ ${lines[2]} =~ key=[a-z0-9]{30}\ username=admin$ ]]
	[[ ${lines[3]} = *'"keys":[{"creator":"tester"'* ]]
	[[ $output != *'$2a$'* ]]
	key=${lines[0]##*key=}
	# A change of the record does not touch its keys.
	run -0 ask "check PIPED p1 e1 $key"
	[[ $output = "OK e1@"* ]]
	[[ $(pipecd-store -f "$CONF" -d piped) = *'"hash":"$2a$10$'* ]]
}

@test "right, wrong, another project's, unknown, disabled" {
	key=$(piped)
	run -0 ask "check PIPED p1 e1 $key" "check PIPED p1 e1 ${key}x" "check PIPED p2 e1 $key" "check PIPED p1 e2 $key" \
		'check API_KEY - - nonsense' "check PIPED p1 e1 $(printf 'x%.0s' {1..73})" \
		'update piped {"id":"e1","name":"agent","project_id":"p1","disabled":true}' "check PIPED p1 e1 $key" "check PIPED p1 e1 ${key}x"
	[[ ${lines[0]} = "OK e1@"* ]]
	for i in 1 2 3 4 5 8; do [ "${lines[i]}" = 'UNAUTHENTICATED "no such key"' ]; done
	[[ ${lines[7]} = PERMISSION_DENIED*"piped/e1 is disabled"* ]]
}

@test "an agent has two keys at most; the old one goes when it is told to, and its proof with it" {
	old=$(piped)
	new=$(ask 'make PIPED e1' | sed 's/.*key=//')
	run -0 ask 'make PIPED e1' "check PIPED p1 e1 $old" "check PIPED p1 e1 $new" 'drop e1' "check PIPED p1 e1 $old" "check PIPED p1 e1 $new" 'make PIPED e1'
	[[ ${lines[0]} = FAILED_PRECONDITION*"2 keys already"* ]]
	[[ ${lines[1]} = OK* && ${lines[2]} = OK* && ${lines[3]} = OK* ]]
	[[ ${lines[4]} = UNAUTHENTICATED* ]]
	[[ ${lines[5]} = OK* && ${lines[6]} = OK* ]]
}

@test "a key that PipeCD hashed is right, with bcrypt once and never again" {
	# A $2a$10$ hash of "pipecd-key-of-an-agent", as Go's bcrypt writes them.
	hash=$(python3 -c 'import ctypes, ctypes.util as u
c = ctypes.CDLL(u.find_library("crypt") or "libcrypt.so.1"); c.crypt.restype = ctypes.c_char_p
print(c.crypt(b"pipecd-key-of-an-agent", b"$2a$10$abcdefghijklmnopqrstuu").decode())')
	ask 'make PIPED - {"id":"e1","name":"agent","project_id":"p1"}' >/dev/null
	store_stop
	pipecd-store -f "$CONF" -d piped | jq -c --arg h "$hash" '.keys[0].hash=$h' >"$BATS_TEST_TMPDIR/piped"
	pipecd-store -f "$CONF" -l piped <"$BATS_TEST_TMPDIR/piped"
	store_start
	run -0 ask 'check PIPED p1 e1 pipecd-key-of-an-agent'
	[[ $output = OK* ]]
	until_true 5 sh -c "pipecd-store -f $CONF -d key | grep -q sha256"
	# No process that compares keys is there after a restart, nor needed.
	store_stop
	store_start
	run -0 ask 'check PIPED p1 e1 pipecd-key-of-an-agent'
	[[ $output = OK* ]]
	[ -z "$(pgrep -P "$STORE_PID" -f pipecd-store-key)" ]
}

@test "ten wrong keys lock the next ones out, restarts or not; the right one still passes" {
	key=$(piped)
	for i in {1..10}; do echo "check PIPED p1 e1 wrong$i"; done >"$BATS_TEST_TMPDIR/in"
	timeout 60 "$TESTBIN/libstore/ask" "$STATE" <"$BATS_TEST_TMPDIR/in" >/dev/null
	run -0 ask 'check PIPED p1 e1 wrong' "check PIPED p1 e1 $key"
	[[ ${lines[0]} = RESOURCE_EXHAUSTED*"too many wrong keys"* ]]
	[[ ${lines[1]} = OK* ]]
	store_stop
	store_start
	run -0 ask 'check PIPED p1 e1 wrong' "check PIPED p1 e1 $key"
	[[ ${lines[0]} = RESOURCE_EXHAUSTED* ]]
	[[ ${lines[1]} = OK* ]]
}

@test "a password has no plain hash beside it, and its owner a name" {
	run -0 ask 'make ADMIN - {"id":"p1"} user=root secret=hunter22' 'check ADMIN p1 root hunter22' 'check ADMIN p1 admin hunter22' \
		'make ADMIN p1 secret=other123' 'check ADMIN p1 root hunter22' 'check ADMIN p1 root other123'
	[[ ${lines[1]} = OK* ]]
	[[ ${lines[2]} = UNAUTHENTICATED* ]]
	[[ ${lines[4]} = UNAUTHENTICATED* ]]
	[[ ${lines[5]} = OK* ]]
	[[ $(pipecd-store -f "$CONF" -d key) != *sha256* ]]
}

@test "the key of a stranger is never in a message about it" {
	piped >/dev/null
	ask 'check PIPED p1 e1 top-secret-text' 'make API_KEY - {"name":"x","project_id":"p"} secret=top-secret-text' >"$BATS_TEST_TMPDIR/out"
	store_stop
	run -1 grep -r top-secret-text "$BATS_TEST_TMPDIR" --include='*' -a
}
