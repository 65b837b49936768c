# Objects in S3: every request's signature is checked by a server of our own.
setup() {
	load ../lib/common
	load ../lib/store
	S3=$BATS_TEST_TMPDIR/s3
	mkdir "$S3"
	(umask 077; echo access-key >"$S3/access"; echo 'secret/+key' >"$S3/secret")
	python3 "$ROOT/tests/fake/s3.py" "$S3/port" access-key 'secret/+key' eu-north-1 >"$S3/log" 2>&1 3>&- &
	S3_PID=$!
	until_true 10 test -e "$S3/port"
	PORT=$(cat "$S3/port")
	unset http_proxy https_proxy all_proxy
}
teardown() {
	store_stop || true
	kill "$S3_PID" 2>/dev/null || true
}
minio() {
	store_conf '  filestore:' '    type: MINIO' '    config:' "      endpoint: http://127.0.0.1:$PORT" '      bucket: pipecd' \
		'      region: eu-north-1' "      accessKeyFile: $S3/access" "      secretKeyFile: $S3/secret" "      autoCreateBucket: ${1:-true}"
	store_start
}
order() { python3 -c "import sys, urllib.request as u; u.urlopen(u.Request(sys.argv[1], method='POST'))" "http://127.0.0.1:$PORT/$1"; }

@test "objects are put, replaced, read, listed page by page and deleted, all signed" {
	minio
	run -0 ask 'oput live/a+b.pb one' 'oput live/a-b.pb one' 'oput live/a-b.pb two' 'oget live/a-b.pb' 'oput live/b.pb x' 'oput insights/c.pb x' \
		'olist live/ limit=1' 'olist live/ cursor=live/a-b.pb' 'odel live/a-b.pb' 'oget live/a-b.pb' 'odel live/a-b.pb' 'olist '
	[[ ${lines[0]} = INVALID_ARGUMENT* ]]
	[ "${lines[3]}" = "OK data=two" ]
	[ "${lines[6]}" = "OK live/a-b.pb(3) cursor=live/a-b.pb" ]
	[ "${lines[7]}" = "OK live/b.pb(1)" ]
	[ "${lines[8]}" = OK ]
	[[ ${lines[9]} = NOT_FOUND* ]]
	[ "${lines[10]}" = OK ]
	[ "${lines[11]}" = "OK insights/c.pb(1) live/b.pb(1)" ]
}

@test "logs that have ended become objects there, and are read from there" {
	minio
	run -0 ask 'log d s 0 1 3 end'
	until_true 10 sh -c "printf 'olist log/\n' | '$TESTBIN/libstore/ask' '$STATE' | grep -q ndjson"
	run -0 ask 'logread d s 0 2' 'create deployment {"id":"d","project_id":"p"}' 'purge deployment d'
	[ "${lines[0]}" = "OK 2:line-2 3:line-3 completed" ]
	until_true 10 sh -c "! printf 'olist log/\n' | '$TESTBIN/libstore/ask' '$STATE' | grep -q ndjson"
}

@test "a server that is busy is asked again, one whose clock differs is believed" {
	minio
	order '_fail?n=2'
	run -0 ask 'oput live/x one'
	[ "$output" = OK ]
	order '_skew?s=-7200'
	run -0 ask 'oput live/x two' 'oget live/x'
	[ "${lines[1]}" = "OK data=two" ]
}

@test "a server that stays away is said, nothing is lost, and a log that has ended waits" {
	minio
	order '_fail?n=1000'
	run -0 ask 'oput live/x one' 'log d s 0 1 3 end' 'logread d s 0 0'
	[[ ${lines[0]} = RESOURCE_EXHAUSTED*"503 SlowDown"* ]]
	[ "${lines[2]}" = "OK 1:line-1 2:line-2 3:line-3 completed" ]
	order '_fail?n=0'
	until_true 20 sh -c "printf 'olist log/\n' | '$TESTBIN/libstore/ask' '$STATE' | grep -q ndjson"
}

@test "a wrong secret, and a bucket that is not there, are said by name, the secret is not" {
	minio false
	run -0 ask 'oput live/x one'
	[[ $output = *"there is no bucket pipecd"* ]]
	store_stop
	(umask 077; echo wrong-secret >"$S3/secret")
	minio false
	run -0 ask 'oput live/x one'
	[[ $output = INTERNAL*"403 SignatureDoesNotMatch"* ]]
	[[ $output != *wrong-secret* ]]
	run -1 grep -r wrong-secret "$BATS_TEST_TMPDIR/store.log" "$STATE"
}

@test "type S3 reads AWS's credentials file, by its profile" {
	(umask 077; printf '[default]\naws_access_key_id = x\naws_secret_access_key = y\n[prod]\naws_access_key_id=access-key\n aws_secret_access_key = secret/+key \n' >"$S3/credentials")
	store_conf '  filestore:' '    type: S3' '    config:' '      bucket: pipecd' '      region: eu-north-1' \
		"      credentialsFile: $S3/credentials" '      profile: prod'
	export AWS_ENDPOINT_URL_S3=http://127.0.0.1:$PORT
	store_start
	run -0 ask 'oput live/x one'
	[[ $output = *"there is no bucket pipecd"* ]]
	store_stop
	sed -i 's/prod/test/' "$S3/credentials"
	store_start
	run -0 ask 'oput live/x one'
	[[ $output = UNAVAILABLE* ]]
	grep -q 'no aws_access_key_id and aws_secret_access_key in \[prod\]' "$BATS_TEST_TMPDIR/store.log"
}
