setup() { load ../lib/common; hash=$TESTBIN/libhash/hash; }

@test "hash: SHA-256 is the one that sha256sum makes" {
	head -c 200000 /dev/zero >"$BATS_TEST_TMPDIR/f"
	run -0 $hash sha256 <"$BATS_TEST_TMPDIR/f"
	[ "${lines[0]}" = "$(sha256sum <"$BATS_TEST_TMPDIR/f" | cut -d' ' -f1)" ]
	[ "${lines[1]}" = "$(printf abc | sha256sum | cut -d' ' -f1)" ]
}

@test "hash: a UUID is version 5 below pipecd.dev, as another implementation makes it" {
	want=$(python3 -c 'import uuid; n=uuid.uuid5(uuid.NAMESPACE_DNS,"pipecd.dev"); print(uuid.uuid5(n,"application\0web\0site\0app.pipecd.yaml"))')
	[ "$($hash uuid application web site app.pipecd.yaml)" = "$want" ]
	[ "$($hash uuid ab c)" != "$($hash uuid a bc)" ]
}

@test "hash: HMAC-SHA256 is the one that another implementation makes" {
	for key in '' k "$(printf '%064d' 1)" "$(printf '%065d' 1)" "$(printf '%200d' 1)"; do
		want=$(python3 -c 'import hmac,sys; print(hmac.new(sys.argv[1].encode(), b"some text", "sha256").hexdigest())' "$key")
		[ "$($hash hmac "$key" 'some text')" = "$want" ]
	done
}
