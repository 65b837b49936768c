# Stage logs: each line once, until the stage ends; then an object.
setup() {
	load ../lib/common
	load ../lib/store
	store_start
}
teardown() { store_stop; }
objects() { find "$STATE/objects" -name '*.ndjson' | wc -l; }
folded() { [ "$(objects 2>/dev/null)" = "$1" ]; }

@test "lines are there once, in their order, however often and in whatever order they are said" {
	run -0 ask 'logread d s 0 0' 'log d s 0 5 3' 'log d s 0 1 6' 'log d s 0 1 6' 'logread d s 0 0' 'logread d s 0 4 limit=2' 'logread d s 1 0'
	[[ ${lines[0]} = NOT_FOUND* ]]
	[ "${lines[4]}" = "OK 1:line-1 2:line-2 3:line-3 4:line-4 5:line-5 6:line-6 7:line-7" ]
	[ "${lines[5]}" = "OK 4:line-4 5:line-5" ]
	[[ ${lines[6]} = NOT_FOUND* ]]
}

@test "what has ended is refused any more, reads the same, and becomes one object" {
	run -0 ask 'log d s 0 1 3' 'log d s 0 4 2 end' 'log d s 0 6 1' 'logread d s 0 2'
	[[ ${lines[2]} = FAILED_PRECONDITION*"its log has ended"* ]]
	[ "${lines[3]}" = "OK 2:line-2 3:line-3 4:line-4 5:line-5 completed" ]
	until_true 5 folded 1
	run -0 ask 'logread d s 0 2' 'logread d s 0 9' 'log d s 0 6 1'
	[ "${lines[0]}" = "OK 2:line-2 3:line-3 4:line-4 5:line-5 completed" ]
	[ "${lines[1]}" = "OK completed" ]
	[[ ${lines[2]} = FAILED_PRECONDITION* ]]
	run -0 pipecd-store -f "$CONF" -V
	run -0 sh -c "cat $STATE/objects/log/*/*/0.ndjson"
	[ "$(jq -r .log <<<"${lines[0]}")" = line-1 ]
	[ "${lines[5]}" = '{"completed":true}' ]
}

@test "a log whose object could not be written is folded later, and is read all the while" {
	chmod 500 "$STATE" && rm -rf "$STATE/objects"
	[ "$(id -u)" -ne 0 ] || { chmod 700 "$STATE"; echo file >"$STATE/objects"; }
	run -0 ask 'log d s 0 1 3 end' 'logread d s 0 1'
	[ "${lines[1]}" = "OK 1:line-1 2:line-2 3:line-3 completed" ]
	chmod 700 "$STATE"
	rm -f "$STATE/objects"
	until_true 15 folded 1
	run -0 ask 'logread d s 0 1'
	[ "${lines[0]}" = "OK 1:line-1 2:line-2 3:line-3 completed" ]
}

@test "deleting a deployment's logs, or purging it, leaves no line and no object" {
	run -0 ask 'create deployment {"id":"d","project_id":"p"}' 'log d s1 0 1 3 end' 'log d s2 0 1 3' 'log e s1 0 1 3 end'
	until_true 5 folded 2
	run -0 ask 'purge deployment d' 'logread d s1 0 0' 'logread d s2 0 0' 'logread e s1 0 1'
	[[ ${lines[1]} = NOT_FOUND* ]]
	[[ ${lines[2]} = NOT_FOUND* ]]
	[[ ${lines[3]} = *completed ]]
	until_true 5 folded 1
	run -0 ask 'logdelete e' 'logread e s1 0 1'
	[[ ${lines[1]} = NOT_FOUND* ]]
	until_true 5 folded 0
}
