load ../lib/common

setup() {
	A=$BATS_TEST_TMPDIR
	mkdir -p "$A/bin" "$A/libexec/pipecd"
	cp "$TESTBIN/libsuper/launch" "$A/bin/"
	platform "$A/bin/pipecd-exec-host" built-in
}

# platform FILE WORD: an executable that says WORD, its arguments and its slice
platform() { printf '#!/bin/sh\necho "%s $*"\ncat <&3\n' "$2" >"$1"; chmod 755 "$1"; }
sum() { sha256sum "$1" | cut -c 1-64; }

# launch PLUGIN-ENTRY COMMAND...: with a config of that plugin and host
launch() {
	printf 'apiVersion: pipecd.dev/v1beta1\nkind: Piped\nspec:\n  stateDir: %s\n  plugins:\n  - name: host\n    config: {token: CANARY-host}\n%b' \
		"$A/state" "$1" >"$A/piped.yaml"
	shift
	printf '%s\n' "$@" | "$A/bin/launch" "$A/piped.yaml" 2>"$A/err" 3>&-
}

@test "a plugin beside our own programs is built in, and gets its slice only" {
	run -0 launch "  - name: acme\n    config: {token: CANARY-acme}\n" "host stage x"
	[ "${lines[0]}" = "built-in stage x" ]
	[[ "$output" == *CANARY-host* ]]
	[[ "$output" != *CANARY-acme* ]]
	[ "${lines[-1]}" = "host: exit 0" ]
}

@test "a file whose hash is not the pinned one is not run" {
	platform "$A/acme" acme
	run -0 launch "  - name: acme\n    url: file://$A/acme\n    sha256: $(sum /bin/sh)\n" "acme stage"
	[[ "$output" == "error 100: acme: $A/acme: its sha256 is $(sum "$A/acme"), and the Piped config pins $(sum /bin/sh): not run" ]]
}

@test "a pinned file is run, also a script, by the descriptor that was checked" {
	platform "$A/acme" acme
	run -0 launch "  - name: acme\n    url: file://$A/acme\n    sha256: $(sum "$A/acme")\n" "acme live a b"
	[ "${lines[0]}" = "acme live a b" ]
	cp /bin/true "$A/acme"
	run -0 launch "  - name: acme\n    url: file://$A/acme\n    sha256: $(sum "$A/acme")\n" "acme live"
	[ "$output" = "acme: exit 0" ]
}

@test "a pin holds for a built-in name too" {
	run -0 launch "  - name: acme\n    sha256: $(sum /bin/sh)\n" "host stage" "acme stage"
	[[ "$output" == *"pipecd-exec-acme: not found in $A/bin, nor in $A/bin/../libexec/pipecd"* ]]
	platform "$A/bin/pipecd-exec-acme" acme
	run -0 launch "  - name: acme\n    sha256: $(sum /bin/sh)\n" "acme stage"
	[[ "$output" == *"not run" ]]
}

@test "a file outside of the libexec path that is not pinned is not run" {
	platform "$A/acme" acme
	run -0 launch "  - name: acme\n    url: file://$A/acme\n" "acme stage"
	[[ "$output" == "error 100: acme: url file://$A/acme: sha256 is missing"* ]]
}

@test "an executable on the libexec path needs no pin where nobody else can write" {
	platform "$A/libexec/pipecd/pipecd-exec-acme" libexec
	run -0 launch "  - name: acme\n" "acme plan"
	[ "${lines[0]}" = "libexec plan" ]
	chmod 777 "$A/libexec/pipecd"
	run -0 launch "  - name: acme\n" "acme plan"
	[[ "$output" == *"libexec/pipecd: mode 0777 lets others write it: not run"* ]]
	chmod 755 "$A/libexec/pipecd"; chmod 775 "$A/libexec/pipecd/pipecd-exec-acme"
	run -0 launch "  - name: acme\n" "acme plan"
	[[ "$output" == *"mode 0775 lets others write it: not run"* ]]
}

@test "a url that is not of a file is refused by name" {
	for url in https://example.com/acme http://example.com/acme oci://example.com/acme acme; do
		run -0 launch "  - name: acme\n    url: $url\n    sha256: $(sum /bin/sh)\n" "acme stage"
		[[ "$output" == *"url $url: only file:// is supported yet"* ]]
	done
}

@test "a plugin that the config does not name is not started" {
	run -0 launch "" "acme stage"
	[ "$output" = "error 100: acme: no such plugin in the Piped config" ]
}

@test "a platform gets no environment but what services.def names for it" {
	printf '#!/bin/sh\nenv\n' >"$A/bin/pipecd-exec-host"
	cp "$A/bin/pipecd-exec-host" "$A/bin/pipecd-exec-terraform"
	export AWS_SECRET_ACCESS_KEY=CANARY-aws OTHER=CANARY-other
	run -0 launch "" "host stage"
	[[ "$output" != *CANARY* ]]
	run -0 launch "  - name: terraform\n" "terraform stage"
	[[ "$output" == *AWS_SECRET_ACCESS_KEY=CANARY-aws* ]]
	[[ "$output" != *CANARY-other* ]]
}
