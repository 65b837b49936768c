setup() {
	load ../lib/common
	conf=$TESTBIN/libconf/conf
	cd "$BATS_TEST_TMPDIR"
}

# is YAML JSON: what a text is
is() {
	local got
	printf '%b' "$1" >t.yaml
	got=$($conf json t.yaml 2>&1) || true
	[ "$got" = "$2" ] || { echo "$1: $got, not $2"; return 1; }
}

# bad YAML MESSAGE: refused, and how
bad() {
	printf '%b' "$1" >t.yaml
	run -1 $conf json t.yaml
	[[ "$output" == "t.yaml:"$2* ]] || { echo "$1: $output, not $2"; return 1; }
}

@test "yaml: booleans are those of YAML 1.1, and only in their three spellings" {
	for w in y Y yes Yes YES true True TRUE on On ON; do is "$w" true; done
	for w in n N no No NO false False FALSE off Off OFF; do is "$w" false; done
	is tRUE '"tRUE"'; is yEs '"yEs"'; is oN '"oN"'; is yess '"yess"'
}

@test "yaml: null is empty, a tilde or the word" {
	for w in '' '~' null Null NULL; do is "a: $w" '{"a":null}'; done
	is 'a: nUll' '{"a":"nUll"}'
	is '' null
	is '# nothing' null
}

@test "yaml: integers in every base are decimal, and 64 bits stay exact" {
	is 12 12; is -7 -7; is +7 7; is 0 0; is -0 0
	is 017 15; is 0o17 15; is 0O17 15; is -017 -15
	is 0x1F 31; is 0XfF 255; is -0x10 -16; is 0b101 5; is -0b11 -3
	is 1_000 1000; is 1__0_ 10; is 0x_ff 255
	is 12345678901234567890 12345678901234567890
	is 9223372036854775807 9223372036854775807
	is -9223372036854775808 -9223372036854775808
	is 18446744073709551616 18446744073709552000
	is 0x '"0x"'; is 0o8 '"0o8"'; is 08 8; is 089.5 89.5; is 1a '"1a"'; is _1 '"_1"'; is - '[null]'; is + '"+"'
}

@test "yaml: floats print as the shortest decimal, whole ones as integers" {
	is 1e3 1000; is 1.0 1; is 1.50 1.5; is .5 0.5; is -.5 -0.5; is 5. 5; is 1E-3 0.001
	is 0.1 0.1; is 1e20 100000000000000000000; is 1e21 1e+21; is 1.25e-7 1.25e-7; is 1_0.5 10.5
	is 123456.789 123456.789; is 1e-6 0.000001; is 3.141592653589793 3.141592653589793
	is 1e400 '"1e400"'; is 1.2.3 '"1.2.3"'; is .5_0 '".5_0"'; is . '"."'; is .e5 '".e5"'
	is 1e-400 0
}

@test "yaml: what JSON has no number for is an error that says so" {
	bad 'a: .inf' '1:4: .inf: not a number'
	bad 'a: -.Inf' '1:4: -.Inf: not a number'
	bad 'a: .NaN' '1:4: .NaN: not a number'
	is "'.inf'" '".inf"'
}

@test "yaml: dates and base 60 are text" {
	is 2001-01-01 '"2001-01-01"'; is '2001-12-14t21:59:43.10-05:00' '"2001-12-14t21:59:43.10-05:00"'
	is 190:20:30 '"190:20:30"'; is 22:22 '"22:22"'
}

@test "yaml: quoted scalars and block scalars are text" {
	is '"yes"' '"yes"'; is "'12'" '"12"'; is '"null"' '"null"'; is '""' '""'
	is 'a: |\n  12\n' '{"a":"12\n"}'; is 'a: >-\n  yes\n' '{"a":"yes"}'
}

@test "yaml: tags decide, and a wrong one is an error" {
	is '!!str 12' '"12"'; is '!!int 12' 12; is '!!float 1' 1; is '!!bool yes' true; is '!!null ~' null
	is '!!int "12"' 12
	is '!!binary aGVsbG8=' '"hello"'; is '!!binary aMk=' $'"h\xef\xbf\xbd"'; is '!!binary "aGVs\\nbG8="' '"hello"'
	is '!!python/object:os.system ls' '"ls"'; is '!mine 12' '"12"'; is '!mine {a: 1}' '{"a":1}'
	bad '!!int x' '1:1: !!int: "x" is not one'
	bad '!!bool 3' '1:1: !!bool: "3" is not one'
	bad '!!binary x' '1:1: !!binary: this is not base64'
}

@test "yaml: keys become text" {
	is '{n: 1, 12: 2, 0x10: 3, 1.50: 4, "a b": 5}' '{"false":1,"12":2,"16":3,"1.5":4,"a b":5}'
	bad '? [a]\n: 1\n' '1:3: a key must be text; this one is a list'
	bad '? {a: b}\n: 1\n' '1:3: a key must be text; this one is a map'
	bad '~: 1' '1:1: a key must be text; this one is null'
}

@test "yaml: of a key given twice the last one counts" {
	is 'a: 1\nb: 2\na: 3' '{"a":3,"b":2}'
	is 'yes: 1\n"true": 2' '{"true":2}'
	{ for i in $(seq 40); do echo "k$i: $i"; done; echo 'k7: x'; } >big.yaml
	[ "$($conf json big.yaml | jq -c '[length, .k7, .k40]')" = '[40,"x",40]' ]
}

@test "yaml: << merges maps; what comes later wins, of a list what comes first" {
	is 'a: &a {x: 1, z: 2}\nb:\n  <<: *a\n  z: 3\n' '{"a":{"x":1,"z":2},"b":{"x":1,"z":3}}'
	is 'b:\n  <<: [{x: 1}, {x: 2, z: 3}]\n' '{"b":{"x":1,"z":3}}'
	is 'b:\n  z: 3\n  <<: {z: 2}\n' '{"b":{"z":2}}'
	is '"<<": 1' '{"<<":1}'
	bad '<<: 3' '1:5: <<: takes a map, or a list of maps'
	bad '<<: [1]' '1:6: <<: takes a map, or a list of maps'
}

@test "yaml: aliases share what they name; one without an anchor, or in itself, is refused" {
	is 'a: &x [1, 2]\nb: *x\nc: *x' '{"a":[1,2],"b":[1,2],"c":[1,2]}'
	is 'a: &x 1\nb: &x 2\nc: *x' '{"a":1,"b":2,"c":2}'
	bad 'a: *x' '1:4: *x: there is no anchor &x before it'
	bad 'a: &x [*x]' '1:8: *x: anchor &x would contain itself'
	bad '&x a: &y {b: *y}' '1:14: *y: anchor &y would contain itself'
}

@test "yaml: an alias bomb is refused at once, in little memory" {
	{ echo 'a0: &a0 [x, x, x, x, x, x, x, x, x, x]'
	  for i in $(seq 9); do echo "a$i: &a$i [*a$((i-1)), *a$((i-1)), *a$((i-1)), *a$((i-1)), *a$((i-1)), *a$((i-1)), *a$((i-1)), *a$((i-1)), *a$((i-1)), *a$((i-1))]"; done; } >bomb.yaml
	[[ "$TESTBIN" == *san* ]] && kb=unlimited || kb=400000
	run -1 bash -c "ulimit -v $kb; exec timeout 5 $conf json bomb.yaml"
	[[ "$output" == bomb.yaml:*"aliases make this file too big: "*" values and more" ]]
	{ printf 'a: &a "%s"\nb: [' "$(head -c 100000 /dev/zero | tr '\0' x)"; for i in $(seq 1000); do printf '*a, '; done; echo ']'; } >fat.yaml
	run -1 timeout 5 $conf json fat.yaml
	[[ "$output" == fat.yaml:2:*"aliases make this file too big: "*" bytes and more" ]]
	{ echo 'a: &a'; for i in $(seq 1000); do echo "  k$i: 1"; done; printf 'b: {<<: ['; for i in $(seq 1000); do printf '*a,'; done; echo ']}'; } >merge.yaml
	run -1 timeout 5 $conf json merge.yaml
	[[ "$output" == merge.yaml:*"aliases make this file too big"* ]]
}

@test "yaml: what is nested too deep is refused before the rest is read" {
	head -c 64 /dev/zero | tr '\0' '[' >d64.yaml; head -c 64 /dev/zero | tr '\0' ']' >>d64.yaml
	$conf json d64.yaml
	head -c 100000 /dev/zero | tr '\0' '[' >deep.yaml
	run -1 timeout 2 $conf json deep.yaml
	[ "$output" = "deep.yaml:1:65: nested more than 64 deep" ]
	{ echo 'a0: &a0 [x]'; for i in $(seq 70); do echo "a$i: &a$i [*a$((i-1))]"; done; } >chain.yaml
	run -1 $conf json chain.yaml
	[[ "$output" == "chain.yaml:"*": nested more than 64 deep" ]]
}

@test "yaml: only the first document is read" {
	is 'a: 1\n---\nb: [' '{"a":1}'
	is '--- \na: 1\n...\n%%%' '{"a":1}'
	is '---\n---\na: 1\n' null
	{ for i in $(seq 100000); do printf -- '---\nx\n'; done; } >many.yaml
	[ "$(timeout 2 $conf json many.yaml)" = '"x"' ]
}

@test "yaml: BOM, CRLF and UTF-16 are read" {
	is '\xef\xbb\xbfa: 1\n' '{"a":1}'
	is 'a: 1\r\nb: x\r\n' '{"a":1,"b":"x"}'
	printf 'a: \xc3\xa9' | iconv -f UTF-8 -t UTF-16 >u.yaml
	[ "$($conf json u.yaml)" = '{"a":"é"}' ]
}

@test "yaml: bytes that are no text are refused with their place" {
	bad 'a: b\nc: \0d' '2:4: a NUL byte: this is not text'
	bad 'a: \xffb' '1:4: '
	bad 'a: b\n\xc3\x28' '2:2: '
	bad 'a: \x01' '1:4: control characters are not allowed'
	bad 'a: "x\\0y"' '1:4: a NUL inside a text'
	bad 'a: "\\ud83d"' '1:'
}

@test "yaml: a tab that indents is called so" {
	bad 'a:\n\tb: 1' '2:1: a tab cannot indent in YAML; use spaces'
	is 'a:\t1' '{"a":1}'
}

@test "yaml: what is no YAML is refused with line, column and context" {
	bad 'a: [1, 2' '2:1: not YAML: did not find expected'
	bad 'a: b: c' '1:5: not YAML: mapping values are not allowed in this context'
	bad 'a: 1\n b: 2' '2:3: not YAML: '
	bad '{a: "x' '1:'
	bad '%YAML 9.9\n---\n' '1:1: not YAML: found incompatible YAML document'
}

@test "yaml: text comes out as JSON that YAML reads back the same" {
	is '"a\\"b\\\\c\\n\\t\\u0007\\x7f\\u0085\\u2028\\ufeff é 😀"' '"a\"b\\c\n\t\u0007\u007f\u0085\u2028\ufeff é 😀"'
	$conf json t.yaml >again.yaml
	[ "$($conf json again.yaml)" = "$(cat again.yaml)" ]
}

@test "yaml: a manifest of 50 MB takes at most five times its size" {
	"$TESTBIN/libconf/bench" manifest 50 >big.yaml
	run -0 "$TESTBIN/libconf/bench" yaml big.yaml
	echo "$output"
	[[ "$TESTBIN" == *san* ]] || [ "$(echo "$output" | sed -E 's/([0-9]+) bytes.*process ([0-9]+).*/\2 \1/' | awk '{print ($1 <= 5 * $2)}')" = 1 ]
}
