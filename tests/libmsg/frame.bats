load ../lib/common

F=$TESTBIN/libmsg/frames
head='"repo":"web","branch":"main","commit":"c0ffee","seen_at":1700000000'
frames() { printf '%s\n' "$1" | "$F"; }

@test "frame: the envelope comes first, then the fields" {
	[ "$(frames "{$head,\"prev\":\"p\",\"seq\":7,\"re\":\"r\",\"id\":\"i\",\"kind\":\"head\",\"v\":1}")" = \
		"{\"v\":1,\"kind\":\"head\",\"id\":\"i\",\"re\":\"r\",\"seq\":7,\"prev\":\"p\",$head}" ]
	[ "$(frames "{\"v\":1,\"kind\":\"head\",$head,\"new\":{\"a\":[]}}")" = "{\"v\":1,\"kind\":\"head\",$head}" ]
}

@test "frame: a missing field is named with line, frame and field" {
	run -100 frames '{"v":1,"kind":"head","repo":"web"}'
	[[ "$output" == *"stdin:1: head: field branch is missing"* ]]
	run -100 frames '{"v":1,"kind":"deployment"}'
	[[ "$output" == *"stdin:1: deployment: field deployment is missing"* ]]
	run -100 frames '{"v":1,"kind":"deployment","deployment":{"id":"d"},"plan":{"stages":[{"id":"s"}]}}'
	[[ "$output" == *"stdin:1: deployment: field plan.stages[0].program is missing"* ]]
	run -100 frames '{"v":1,"kind":"head","repo":null,"branch":"x","commit":"c","seen_at":1}'
	[[ "$output" == *"head: field repo is missing"* ]]
}

@test "frame: a wrong type is named with field and byte" {
	run -100 frames '{"v":1,"kind":"nudge","repo":5}'
	[[ "$output" == *"stdin:1: nudge: field repo: byte 30: wants a string"* ]]
	run -100 frames '{"v":1,"kind":"nudge","repo":"x"'
	[[ "$output" == *"stdin:1: "*"byte 33: the text ends"* ]]
	run -100 frames '{"v":1,"kind":"nudge","repo":"x"} {}'
	[[ "$output" == *"stdin:1: nudge: byte 35: there is more after the value"* ]]
	run -100 frames '{"v":1,"kind":"nudge","repo":"x","re":5}'
	[[ "$output" == *"nudge: byte 39: wants a string"* ]]
}

@test "frame: v other than 1 is refused, naming it" {
	run -100 frames '{"v":2,"kind":"head"}'
	[[ "$output" == *"v is 2, and this program knows 1"* ]]
	run -100 frames '{"kind":"later","x":1,"v":7}'
	[[ "$output" == *"v is 7"* ]]
	run -100 frames '{"kind":"head"}'
	[[ "$output" == *"v is missing"* ]]
	run -100 frames '{"v":1}'
	[[ "$output" == *"kind is missing"* ]]
	run -100 frames '{"v":1,"kind":"nudge","repo":"x","kind":"nudge"}'
	[[ "$output" == *"twice"* ]]
	for line in '' '[]' 'x' '"head"' '{"v":1,"kind":null}'; do
		run -100 frames "$line"
		[[ "$output" == *"stdin:1: not a frame: "* ]]
	done
}

@test "frame: a kind not known is handed on byte for byte" {
	line='{ "kind":"later" , "v":1,"x":[1.50,"\u0041"] }'
	[ "$(frames "$line")" = "$line" ]
}

@test "frame: embedded JSON stays as it was written" {
	line='{"v":1,"kind":"app","application":{"id":"a"},"plugins":[{"plugin":"host","config":{ "b" : 1.50, "a":"\u0041\u0000", "b":[] }}]}'
	[ "$(frames "$line")" = "$line" ]
	run -100 frames "${line/1.50/1.}"
	[[ "$output" == *"app: field plugins[0].config: byte "* ]]
	[ "$(frames '{"v":1,"kind":"app","application":{"id":"a"},"plugins":[{"plugin":"host","config":null}]}')" = \
		'{"v":1,"kind":"app","application":{"id":"a"},"plugins":[{"plugin":"host","config":null}]}' ]
}

@test "frame: a last line without newline is a frame cut off, exit 111" {
	printf '{"v":1,"kind":"nudge","repo":"x"}' >"$BATS_TEST_TMPDIR/in"
	run -111 "$F" <"$BATS_TEST_TMPDIR/in"
	[[ "$output" == *"stdin:1: the last line is cut off"* ]]
}

@test "frame: a line may have 1 MiB - 64 bytes and not one more" {
	line() { printf '{"v":1,"kind":"ok","text":"%s"}\n' "$(head -c $((1048512 - 30 - $1)) /dev/zero | tr '\0' x)"; }
	line 0 >"$BATS_TEST_TMPDIR/in"
	[ "$(wc -c <"$BATS_TEST_TMPDIR/in")" -eq 1048512 ]
	"$F" <"$BATS_TEST_TMPDIR/in" | cmp - "$BATS_TEST_TMPDIR/in"
	line -1 >"$BATS_TEST_TMPDIR/in"
	run -100 "$F" <"$BATS_TEST_TMPDIR/in"
	[[ "$output" == *"stdin:1: a line of more than 1048512 bytes"* ]]
	# However long it is, memory stays bounded (a sanitizer needs terabytes).
	(ulimit -v $((200 * 1024)); "$F" </dev/null 2>/dev/null) && limit=$((200 * 1024)) || limit=unlimited
	(ulimit -v $limit; head -c 300000000 /dev/zero | tr '\0' x | "$F" 2>&1) >"$BATS_TEST_TMPDIR/out" || true
	grep -q "a line of more than\|cut off" "$BATS_TEST_TMPDIR/out"
}

@test "frame: what is skipped nests 128 deep at most" {
	deep=$(printf '%140s' "" | tr ' ' '[')
	run -100 frames "{\"v\":1,\"kind\":\"ok\",\"x\":$deep}"
	[[ "$output" == *"nested too deeply"* ]]
}

@test "frame: share/doc/frames.md lists every kind and field as they are" {
	# Where this fails: make frames.
	"$F" manual >"$BATS_TEST_TMPDIR/now"
	sed -n '/^<!-- kinds -->/,/^<!-- end -->/p' "$ROOT/share/doc/frames.md" | sed '1d;$d' >"$BATS_TEST_TMPDIR/doc"
	diff "$BATS_TEST_TMPDIR/doc" "$BATS_TEST_TMPDIR/now"
}
