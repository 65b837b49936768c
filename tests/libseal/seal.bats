load ../lib/common

setup_file() {
	cd "$BATS_FILE_TMPDIR"
	openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out private.pem 2>/dev/null
	openssl pkey -in private.pem -pubout -out public.pem
	openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out other.pem 2>/dev/null
	openssl genpkey -algorithm ED25519 -out ed.pem
}
setup() { S=$TESTBIN/libseal/seal; cd "$BATS_FILE_TMPDIR"; }

@test "libseal: what is sealed is opened again, binary and empty values too" {
	for n in 0 1 5 1000 100000; do
		head -c "$n" /dev/urandom >"p$n"
		"$S" close public.pem <"p$n" >"c$n"
		"$S" open private.pem <"c$n" | cmp - "p$n"
	done
}

@test "libseal: five bytes become 372 characters, as in PipeCD" {
	[ "$(printf hello | "$S" close public.pem | wc -c)" -eq 372 ]
}

@test "libseal: openssl opens the key, and finds 32 bytes by OAEP with SHA-256" {
	printf hello | "$S" close public.pem | base64 -d >raw
	[ "$(head -c 2 raw | od -An -tx1 | tr -d ' ')" = 0100 ]
	tail -c +3 raw | head -c 256 >rsa
	openssl pkeyutl -decrypt -inkey private.pem -in rsa -pkeyopt rsa_padding_mode:oaep \
		-pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha256 -out aes
	[ "$(wc -c <aes)" -eq 32 ]
	# GCM is CTR from nonce || 2 for the first block
	key=$(od -An -tx1 -v aes | tr -d ' \n')
	tail -c +259 raw | head -c 5 | openssl enc -d -aes-256-ctr -K "$key" -iv 00000000000000000000000000000002 >plain
	[ "$(cat plain)" = hello ]
}

@test "libseal: a value that openssl sealed by the same rules is opened" {
	# The tag of GCM is computed here by hand only for what is known: seal with
	# ours, swap the RSA part for one by openssl over the same key.
	printf hello | "$S" close public.pem | base64 -d >raw
	tail -c +3 raw | head -c 256 >rsa
	openssl pkeyutl -decrypt -inkey private.pem -in rsa -pkeyopt rsa_padding_mode:oaep \
		-pkeyopt rsa_oaep_md:sha256 -out aes
	openssl pkeyutl -encrypt -pubin -inkey public.pem -in aes -pkeyopt rsa_padding_mode:oaep \
		-pkeyopt rsa_oaep_md:sha256 -out rsa2
	{ head -c 2 raw; cat rsa2; tail -c +259 raw; } | base64 >text
	run -0 "$S" open private.pem <text
	[ "$output" = hello ]
}

@test "libseal: another key, a changed byte and junk are told apart" {
	printf hello | "$S" close public.pem >c
	run -100 "$S" open other.pem <c
	[ "$output" = "was not sealed for this key" ]
	base64 -d c >raw; printf x | dd of=raw bs=1 seek=260 conv=notrunc status=none
	base64 -w0 raw >c2
	run -100 "$S" open private.pem <c2
	[ "$output" = "is damaged: its seal is broken" ]
	run -100 "$S" open private.pem <<<'not base64!'
	[ "$output" = "is not base64" ]
	run -100 "$S" open private.pem <<<'AAAA'
	[ "$output" = "is no sealed value: too short" ]
	run -100 "$S" open private.pem <<<'//8AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'
	[ "$output" = "is no sealed value: too short" ]
}

@test "libseal: a key of another kind is refused" {
	run -100 "$S" open ed.pem </dev/null
	[ "$output" = "is no RSA key of 2048 bits or more" ]
	run -100 "$S" open public.pem </dev/null
	[[ "$output" == "is no private key"* ]]
	run -100 "$S" close private.pem </dev/null
	[[ "$output" == "is no public key"* ]]
	openssl pkey -in private.pem -aes128 -passout pass:x -out enc.pem
	run -100 "$S" open enc.pem </dev/null
	[[ "$output" == *"without a passphrase"* ]]
}
