load ../lib/common

# is TEMPLATE OUTPUT: with .x=1 .s=hello .e=""
is() {
	local got
	got=$(printf '%s' "$1" | "$TESTBIN/libtmpl/render" x=1 s=hello e= && echo .) || { echo "failed: $1"; return 1; }
	[ "$got" = "$2." ] || { echo "$1: got ${got%.}, want $2"; return 1; }
}
# bad TEMPLATE MESSAGE
bad() {
	run -100 --separate-stderr "$TESTBIN/libtmpl/render" x=1 s=hello e= < <(printf '%s' "$1")
	[ "$stderr" = "t:$2" ] || { echo "$1: $stderr"; return 1; }
	[ -z "$output" ]
}

@test "libtmpl: text, fields, and nothing in braces is touched" {
	is 'a {{ .s }} b' 'a hello b'
	is '{{.m.a}}-{{ $.s }}' 'two-hello'
	is 'no { braces } } here {' 'no { braces } } here {'
	is '' ''
	is '{{ .m }} {{ .l }}' 'map[a:two x:1] [p q r]'
}

@test "libtmpl: trim markers and comments" {
	is $'a \n {{- .x -}} \n b' 'a1b'
	is $'a {{/* no */}} b' 'a  b'
	is $'a {{- /* no */ -}} b' 'ab'
	is '{{-1}}' '-1'
	is '{{ 3 -}} x' '3x'
}

@test "libtmpl: literals as Go writes them" {
	is '{{ "a\n\t\"\x41é\101" }}' $'a\n\t"A\xc3\xa9A'
	is '{{ `raw\n` }}' 'raw\n'
	is '{{ 0x1F }} {{ -5 }} {{ true }} {{ 1_000 }}' '31 -5 true 1000'
	is '{{ "a b" | len }}' '3'
}

@test "libtmpl: pipelines and parentheses" {
	is '{{ .s | upper | printf "%s-%s" "x" }}' 'x-HELLO'
	is '{{ (index .m "a") | quote }}' '"two"'
	is '{{ printf "%05d|%-4s|%x|%q|%v|%t|%%" 42 "a" "hi" "q" .l true }}' '00042|a   |6869|"q"|[p q r]|true|%'
}

@test "libtmpl: if, else if, with, range, variables" {
	is '{{ if .e }}a{{ else if eq .x "1" }}b{{ else }}c{{ end }}' b
	is '{{ with .m }}{{ .a }}{{ end }}{{ with .e }}x{{ else }}none{{ end }}' twonone
	is '{{ range .l }}<{{ . }}>{{ end }}' '<p><q><r>'
	is '{{ range $i, $v := .l }}{{ $i }}={{ $v }} {{ end }}' '0=p 1=q 2=r '
	is '{{ range $k, $v := .m }}{{ $k }}={{ $v }} {{ end }}' 'a=two x=1 '
	is '{{ range list }}x{{ else }}none{{ end }}' none
	is '{{ $a := 1 }}{{ if true }}{{ $a = 2 }}{{ end }}{{ $a }}' 2
	is '{{ if and .x (not .e) }}y{{ end }}{{ or .e "d" }}' yd
}

@test "libtmpl: comparison" {
	is '{{ eq 1 1 }}{{ ne .s "x" }}{{ lt 1 2 }}{{ ge "b" "a" }}{{ eq .s "a" "hello" }}' truetruetruetruetrue
	bad '{{ eq 1 "1" }}' '1:4: cannot compare int with string'
}

@test "libtmpl: the string functions of sprig" {
	is '{{ "hi" | b64enc }} {{ "aGk=" | b64dec }}' 'aGk= hi'
	is '{{ trim "  a " }}|{{ trimAll "$" "$5$" }}|{{ trimPrefix "a" "ab" }}|{{ trimSuffix "b" "ab" }}' 'a|5|b|a'
	is '{{ upper "a" }}{{ lower "B" }}{{ title "hello world" }}{{ nospace "a b" }}' 'AbHello Worldab'
	is '{{ indent 2 "a\nb" }}|{{ nindent 2 "a" }}' $'  a\n  b|\n  a'
	is '{{ default "d" .e }}{{ .s | default "d" }}{{ coalesce .e "c" }}{{ ternary "y" "n" true }}' 'dhellocy'
	is '{{ contains "ell" .s }}{{ hasPrefix "he" .s }}{{ hasSuffix "x" .s }}' truetruefalse
	is '{{ replace "l" "L" .s }} {{ repeat 3 "ab" }} {{ substr 1 3 .s }} {{ trunc 2 .s }} {{ trunc -2 .s }}' 'heLLo ababab el he lo'
	is '{{ quote "a\"b" 1 }} {{ squote "a" }} {{ cat "a" 1 }}' "\"a\\\"b\" \"1\" 'a' a 1"
	is '{{ join "-" .l }} {{ splitList "," "a,b" }} {{ (split "," "a,b")._1 }} {{ first .l }}{{ last .l }}{{ rest .l }}' 'p-q-r [a b] b pr[q r]'
	is '{{ sha256sum "a" }}' ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb
	is '{{ add 1 2 3 }} {{ sub 5 2 }} {{ mul 2 3 }} {{ div 7 2 }} {{ mod 7 2 }} {{ max 1 3 2 }} {{ add1 "4" }} {{ int "12" }}' '6 3 6 3 1 3 5 12'
	is '{{ toString 5 | len }} {{ empty .e }} {{ hasKey .m "a" }} {{ index .l 1 }}' '1 true true q'
}

@test "libtmpl: every function in the table is found by its name" {
	while read -r f; do
		! "$TESTBIN/libtmpl/render" <<<"{{ $f }}" 2>&1 | grep "not supported"
	done < <(sed -n 's/^FUNC("\([^"]*\)".*/\1/p' "$ROOT/src/libtmpl/funcs.def")
}

@test "libtmpl: a missing key is an error, by its name" {
	bad $'a\n {{ .nope }}' '2:5: there is no entry for key nope'
	bad '{{ .m.nope }}' '1:4: there is no entry for key nope'
	bad '{{ index .m "nope" }}' '1:4: index: there is no entry for key nope'
	bad '{{ .s.x }}' '1:4: field x of a value of type string'
}

@test "libtmpl: what is not supported is named with its place" {
	bad 'x {{ env "HOME" }}' '1:6: function env is not supported'
	bad '{{ "x" | html }}' '1:10: function html is not supported'
	bad '{{ template "x" }}' '1:1: template is not supported'
	bad '{{ 1.5 }}' '1:4: only whole numbers are supported'
	bad '{{ range .s }}{{ end }}' '1:10: range over a value of type string'
}

@test "libtmpl: mistakes are told with line and column" {
	bad '{{ .x' '1:1: action is not closed'
	bad '{{ if .x }}a' '1:1: end is missing'
	bad 'a{{ end }}' '1:2: end without if, range or with'
	bad '{{ "a }}' '1:4: string is not closed'
	bad '{{ .x "a" }}' '1:4: is no function, but has arguments'
	bad '{{ }}' '1:1: empty action'
	bad '{{ upper }}' '1:4: upper: wrong number of arguments: 0'
	bad '{{ $y }}' '1:4: undefined variable $y'
	bad '{{ (.x }}' '1:5: parenthesis is not closed'
	bad '{{/* x' '1:1: comment is not closed'
	bad '{{ if .x }}{{ else }}{{ else }}{{ end }}' '1:22: second else'
}

@test "libtmpl: a bomb is stopped" {
	bad '{{ repeat 99999999 "aaaaaaaa" }}' '1:4: repeat: 99999999 times'
	bad '{{ $x := "aaaaaaaaaaaaaaaa" }}{{ $x = repeat 9000 $x }}{{ $x = repeat 9000 $x }}' '1:64: repeat: 9000 times'
	t='{{ $l := list 1 2 3 4 5 6 7 8 9 10 }}'
	for i in 1 2 3 4 5 6; do t+="{{ range \$l }}"; done
	t+='{{ $x := 1 }}'
	for i in 1 2 3 4 5 6; do t+='{{ end }}'; done
	run -100 "$TESTBIN/libtmpl/render" <<<"$t"
	[[ "$output" == *"takes more than 200000 steps" ]]
	t='{{ $l := list 1 }}'
	for i in $(seq 40); do t+='{{ $l = list $l $l }}'; done
	run -100 "$TESTBIN/libtmpl/render" <<<"$t{{ \$l }}"
	[[ "$output" == *"makes more than 8388608 bytes" ]]
	run -100 "$TESTBIN/libtmpl/render" < <(printf '{{ '; printf '(%.0s' $(seq 5000))
	[[ "$output" == *"nested too deeply" ]]
	run -100 "$TESTBIN/libtmpl/render" < <(printf '{{ if 1 }}%.0s' $(seq 5000))
	[[ "$output" == *"nested too deeply" ]]
}

@test "libtmpl: %q writes bytes that are no UTF-8 as Go does" {
	is '{{ printf "%q" "\xed\xa0\x80 \xc0\x80 é" }}' '"\xed\xa0\x80 \xc0\x80 é"'
}
