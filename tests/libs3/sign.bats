setup() { load ../lib/common; }

@test "s3: Amazon's four examples have Amazon's signatures" {
	run -0 "$TESTBIN/libs3/sign"
	[ "${lines[0]}" = "get f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41" ]
	[ "${lines[1]}" = "put 98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd" ]
	[ "${lines[2]}" = "lifecycle fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543" ]
	[ "${lines[3]}" = "list 34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7" ]
}

@test "s3: paths stay as they are but for encoding, queries are sorted by encoded name, then value" {
	run -0 "$TESTBIN/libs3/sign"
	[ "${lines[4]}" = "/b/a%20b%2Bc%3Dd/../%C3%A4//~?%C3%A4=~&a=1%2B%2F%3D&a=2&a-b=1&b=x%20y" ]
}
