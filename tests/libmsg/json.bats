load ../lib/common

J=$TESTBIN/libmsg/json
json() { printf '%s' "$1" | "$J" "${@:2}"; }

@test "json: what is read is written again, on one line" {
	[ "$(json $' { "a" : [ 1 , -2.50e3, true,false,null,"x\\u00e9\\ud83d\\ude00\\n" ] ,"b":{}, "c":[] } \n')" = '{"a":[1,-2.50e3,true,false,null,"xé😀\n"],"b":{},"c":[]}' ]
	[ "$(json '"\"\\\/\b\f\n\r\t\u001f"')" = '"\"\\/\b\f\n\r\t\u001f"' ]
	[ "$(json '12345678901234567890.10')" = 12345678901234567890.10 ]
}

@test "json: values are read by type, unknown members skipped" {
	run json '[{"name":"ada","age":3.6e1,"height":1.5,"x":[{"y":[]}]},{},{"big":18446744073709551615,"age":-9223372036854775808}]' people
	[ "${lines[0]}" = "ada 36 1.5 0" ]
	[ "${lines[1]}" = "? 0 0 0" ]
	[ "${lines[2]}" = "? -9223372036854775808 0 18446744073709551615" ]
}

@test "json: every mistake names its byte, whether it is read or skipped" {
	while IFS='|' read -r text why; do
		for how in skip ""; do
			run -100 json "$(printf "$text")" $how
			[[ "$output" == *"$why"* ]] || { echo "$text $how: $output"; return 1; }
		done
	done <<-'END'
	{"a":1,}|byte 8: wants a string
	{"a" 1}|byte 6: wants a colon
	{"a":1 "b":2}|byte 8: wants a comma or }
	[1 2]|byte 4: wants a comma or ]
	[1,]|byte 4: wants a value
	[1|byte 3: the text ends
	{"a":|byte 6: wants a value
	01|byte 2: there is more after the value
	1 1|byte 3: there is more after the value
	-|byte 2: wants a number
	1.|byte 3: wants a digit
	1e|byte 3: wants a digit
	.5|byte 1: wants a value
	+1|byte 1: wants a value
	NaN|byte 1: wants a value
	tru|byte 1: wants true or false
	nul|byte 1: wants null
	'a'|byte 1: wants a value
	"a|byte 3: the text ends in a string
	"a\\x"|byte 3: there is no such escape
	"\\u12g4"|byte 2: \u wants four hex digits
	"\\ud800"|byte 2: a lone surrogate
	"\\ud800\\u0041"|byte 2: a lone surrogate
	"\\udc00"|byte 2: a lone surrogate
	"a\001"|byte 3: a control character in a string
	"\377"|byte 2: not UTF-8
	"\300\200"|byte 2: not UTF-8
	"\355\240\200"|byte 2: not UTF-8
	"\364\220\200\200"|byte 2: not UTF-8
	"\342\202"|byte 2: not UTF-8
	END
	run -100 json ""
	[[ "$output" == *"byte 1: "* ]]
	run -100 json '"a\u0000b"'
	[[ "$output" == *"a NUL in a string"* ]]
	json '"a\u0000b"' skip
}

@test "json: nesting is followed 128 deep and no further" {
	deep() { printf "%*s" "$1" "" | tr ' ' '['; printf "%*s" "$1" "" | tr ' ' ']'; }
	deep 128 | "$J" skip
	[ "$(deep 128 | "$J")" = "$(deep 128)" ]
	for how in skip ""; do
		deep 129 | { run -100 "$J" $how; [[ "$output" == *"byte 129: nested too deeply"* ]]; }
		printf '%1000000s' "" | tr ' ' '[' | { run -100 "$J" $how; [[ "$output" == *"nested too deeply"* ]]; }
	done
}

@test "json: numbers out of range are refused, not bent" {
	for n in 9223372036854775808 -9223372036854775809 99999999999999999999 1e19 0.5 1e400; do
		run -100 json "[{\"age\":$n}]" people
		[[ "$output" == *"byte 9: "* || "$output" == *"out of range"* ]]
	done
	run -100 json '[{"big":-1}]' people
	run -100 json '[{"height":1e999}]' people
	run -100 json '[{"name":3}]' people
	[[ "$output" == *"byte 10: wants a string"* ]]
}
