# Records: found by id and by lists, changed as a whole, and what is refused.
setup() {
	load ../lib/common
	load ../lib/store
	store_start
}
teardown() { store_stop; }

# d ID STATUS [JSON]: a deployment
d() { printf 'create deployment {"id":"%s","application_id":"a1","application_name":"web","piped_id":"e1","project_id":"p1","status":"%s"%s}' "$1" "$2" "${3:+,$3}"; }
ids() { grep -o ' [^ @]*@' <<<"$1" | tr -d ' @\n'; }

@test "a record is there when it is answered, with its times, a version, and an id where it had none" {
	run -0 ask 'create application {"name":"web","piped_id":"e1","project_id":"p1"}'
	[[ $output =~ ^OK\ ([0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})@1\  ]]
	id=${BASH_REMATCH[1]}
	[[ $output = *'"created_at":'*'"updated_at":'* ]]
	store_stop
	store_start
	run -0 ask "get application $id"
	[[ $output = "OK $id@1 "* ]]
}

@test "what is not there, or is deleted, is not found, unless one asks for what is deleted" {
	run -0 ask "$(d x PENDING)" 'delete deployment x' 'get deployment x' 'get deployment x deleted' 'list deployment project_id=p1' \
		'list deployment project_id=p1 deleted' "$(d x PENDING)" 'purge deployment x' 'get deployment x deleted' 'delete deployment x'
	[[ ${lines[2]} = NOT_FOUND* ]]
	[[ ${lines[3]} = "OK x@2- "* ]]
	[ "${lines[4]}" = OK ]
	[[ ${lines[5]} = "OK x@2- "* ]]
	[[ ${lines[6]} = ALREADY_EXISTS*"deleted"* ]]
	[[ ${lines[8]} = NOT_FOUND* ]]
	[[ ${lines[9]} = NOT_FOUND* ]]
}

@test "an application that is deleted says so itself, as PipeCD's does" {
	run -0 ask 'create application {"id":"a","name":"web","project_id":"p1"}' 'delete application a' 'get application a deleted'
	[[ ${lines[2]} = *'"deleted_at":'*'"deleted":true'* ]]
}

@test "a change of what has changed meanwhile is a conflict, and shows what is there" {
	run -0 ask "$(d x PENDING)" 'update deployment {"id":"x","project_id":"p1","status":"PLANNED"} version=1' \
		'update deployment {"id":"x","project_id":"p1","status":"RUNNING"} version=1' 'get deployment x'
	[[ ${lines[1]} = "OK x@2"* ]]
	[[ ${lines[2]} = CONFLICT*"(version 2, not 1)"*" x@2 "*PLANNED* ]]
	[[ ${lines[3]} = *PLANNED* ]]
}

@test "the status of a deployment never goes back, and what has ended stays as it ended" {
	all=(PENDING PLANNED RUNNING ROLLING_BACK SUCCESS FAILURE CANCELLED)
	for from in 0 1 2 3 4 5 6; do
		for to in 0 1 2 3 4 5 6; do
			lines=("$(d "x$from$to" "${all[from]}")" "update deployment {\"id\":\"x$from$to\",\"project_id\":\"p1\",\"status\":\"${all[to]}\"}")
			printf '%s\n' "${lines[@]}"
		done
	done >"$BATS_TEST_TMPDIR/in"
	timeout 60 "$TESTBIN/libstore/ask" "$STATE" <"$BATS_TEST_TMPDIR/in" | sed -n 'n;p' | cut -d' ' -f1 >"$BATS_TEST_TMPDIR/out"
	for from in 0 1 2 3 4 5 6; do
		for to in 0 1 2 3 4 5 6; do
			if ((from == to || (from < 4 && to > from))); then echo OK; else echo FAILED_PRECONDITION; fi
		done
	done | diff - "$BATS_TEST_TMPDIR/out"
}

@test "lists: each filter alone, several values, all together, either way, page by page" {
	run -0 ask "$(d d1 PENDING '"labels":{"env":"dev","team":"a"},"created_at":10')" "$(d d2 RUNNING '"labels":{"env":"dev","team":"b"},"created_at":20')" \
		"$(d d3 RUNNING '"labels":{"env":"prod","team":"b"},"kind":"TERRAFORM","created_at":30')" \
		'list deployment project_id=p1 order=created_at' 'list deployment project_id=p1 order=created_at asc' \
		'list deployment project_id=p1 order=created_at min=20' 'list deployment project_id=p1 order=created_at max=20' \
		'list deployment project_id=p1 status=RUNNING' 'list deployment project_id=p1 labels=env=dev' \
		'list deployment project_id=p1 labels=env=dev labels=team=b' 'list deployment project_id=p1 status=PENDING,RUNNING kind=TERRAFORM' \
		'list deployment project_id=p2' 'list deployment piped_id=e1 status=0,1,2,3' 'list deployment project_id=p1 application_name=web labels=team=b kind=1'
	[ "$(ids "${lines[3]}")" = d3d2d1 ]
	[ "$(ids "${lines[4]}")" = d1d2d3 ]
	[ "$(ids "${lines[5]}")" = d3d2 ]
	[ "$(ids "${lines[6]}")" = d2d1 ]
	[ "$(ids "${lines[7]}")" = d3d2 ]
	[ "$(ids "${lines[8]}")" = d2d1 ]
	[ "$(ids "${lines[9]}")" = d2 ]
	[ "$(ids "${lines[10]}")" = d3 ]
	[ "${lines[11]}" = OK ]
	[ "$(ids "${lines[12]}")" = d3d2d1 ]
	[ "$(ids "${lines[13]}")" = d3 ]
}

@test "a cursor goes on where it was, whatever came or went, and after a restart; in another list it is refused" {
	run -0 ask "$(d d1 PENDING '"created_at":10')" "$(d d2 PENDING '"created_at":20')" "$(d d3 PENDING '"created_at":30')" \
		'list deployment project_id=p1 order=created_at limit=1'
	cursor=${lines[3]##*cursor=}
	store_stop
	store_start
	run -0 ask 'purge deployment d3' "$(d d4 PENDING '"created_at":40')" "list deployment project_id=p1 order=created_at limit=1 cursor=$cursor" \
		"list deployment project_id=p2 order=created_at limit=1 cursor=$cursor" 'list deployment project_id=p1 cursor=nonsense'
	[ "$(ids "${lines[2]}")" = d2 ]
	[[ ${lines[3]} = INVALID_ARGUMENT*"belongs to another list"* ]]
	[[ ${lines[4]} = INVALID_ARGUMENT*"belongs to another list"* ]]
}

@test "lists and tables that there is no index for, or that are nobody's business, are refused by name" {
	run -0 ask 'list deployment summary=x' 'list deployment project_id=p1 order=id' 'list nothing' 'list key' 'get key a' \
		'list application project_id=p1 kind=NONSENSE' 'list application project_id=p1 disabled=maybe'
	[[ ${lines[0]} = INVALID_ARGUMENT*"no index for a filter on summary in the order of updated_at"* ]]
	[[ ${lines[1]} = INVALID_ARGUMENT*"no index in the order of id"* ]]
	[[ ${lines[2]} = INVALID_ARGUMENT*'"nothing": no such table'* ]]
	[[ ${lines[3]} = INVALID_ARGUMENT*'"key": no such table'* ]]
	[[ ${lines[4]} = INVALID_ARGUMENT*'"key": no such table'* ]]
	[[ ${lines[5]} = INVALID_ARGUMENT*'"NONSENSE" is no value it can have'* ]]
	[[ ${lines[6]} = INVALID_ARGUMENT*'"maybe" is not true or false'* ]]
}

@test "who watches hears of every change, and of nothing else" {
	(ask 'watch 2 deployment' >"$BATS_TEST_TMPDIR/heard") 3>&- &
	until_true 5 grep -q OK "$BATS_TEST_TMPDIR/heard"
	ask "$(d x PENDING)" 'create note {"id":"n"}' 'delete deployment x' >/dev/null
	wait $!
	[ "$(cat "$BATS_TEST_TMPDIR/heard")" = $'OK\nOK change=deployment/x\nOK change=deployment/x-' ]
}

@test "who watches hears that something may be missing after the store was started anew" {
	(ask 'watch 3 deployment' >"$BATS_TEST_TMPDIR/heard") 3>&- &
	watcher=$!
	until_true 5 grep -q OK "$BATS_TEST_TMPDIR/heard"
	store_stop
	store_start
	until_true 5 grep -q lost "$BATS_TEST_TMPDIR/heard"
	wait "$watcher"
}
