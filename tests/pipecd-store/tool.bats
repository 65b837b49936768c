# -d, -l, -b, -V and -1: one thing with the store, whoever serves it.
setup() {
	load ../lib/common
	load ../lib/store
	store_conf
}
teardown() { store_stop; }
store() { pipecd-store -f "$CONF" "$@"; }
some() {
	ask 'create application {"id":"a1","name":"web","project_id":"p1","labels":{"env":"dev"}}' \
		'create deployment {"id":"d1","application_id":"a1","project_id":"p1","status":"RUNNING","stages":[{"id":"s","name":"WAIT","status":"RUNNING"}]}' \
		'create deployment {"id":"d2","application_id":"a1","project_id":"p1","status":"SUCCESS","summary":"\u00e4\u0001\"x"}' 'delete deployment d2' \
		'make PIPED - {"id":"e1","name":"agent","project_id":"p1"}' 'log d1 s 0 1 3 end' 'log d1 t 0 1 3' 'oput live/a.pb state' >/dev/null
}
tables='project application deployment piped command event api_key deployment_chain deployment_trace unregistered piped_stat lease note key'

@test "a dump is JSON that jq reads as it is: names of the models, numbers, short statuses" {
	store_start
	some
	run -0 sh -c "pipecd-store -f '$CONF' -d deployment | jq -r '[.id, .status, .stages[0].status, (.created_at > 1000000)] | @csv'"
	[ "${lines[0]}" = '"d1","RUNNING","RUNNING",true' ]
	run -0 sh -c "pipecd-store -f '$CONF' -d deployment | jq -r 'select(._deleted) | .summary' | od -An -c | tr -s ' '"
	[[ $output = *'303 244 001 " x \n'* ]]
}

@test "what was dumped and loaded is dumped again byte by byte, and is found by its indexes" {
	store_start
	some
	store_stop
	for t in $tables; do store -d "$t" >"$BATS_TEST_TMPDIR/$t"; done
	[ "$(wc -l <"$BATS_TEST_TMPDIR/deployment")" -eq 2 ]
	STATE=$BATS_TEST_TMPDIR/other
	store_conf
	for t in $tables; do store -l "$t" <"$BATS_TEST_TMPDIR/$t" 2>/dev/null; done
	for t in $tables; do store -d "$t" | cmp - "$BATS_TEST_TMPDIR/$t"; done
	run -0 store -V
	store_start
	run -0 ask 'list deployment project_id=p1 status=RUNNING' 'list deployment project_id=p1 deleted'
	[[ ${lines[0]} = "OK d1@"* && ${lines[1]} = "OK d2@"* ]]
}

@test "a bad line is named, with what is wrong, and nothing of the file is loaded" {
	store_start
	good='{"id":"d1","project_id":"p1","status":"RUNNING"}'
	while IFS='|' read -r line want; do
		run -100 sh -c 'printf "%s\n%s\n" "$1" "$2" | pipecd-store -f "$3" -l deployment' - "$good" "$line" "$CONF"
		[[ $output = *"stdin:2: $want"* ]] || { echo "$line: $output"; return 1; }
	done <<-'E'
	{"id":"d2","statuss":"RUNNING"}|statuss: a deployment has no such field
	{"id":"d2","status":"NONSENSE"}|
	{"id":"d2","created_at":"x"}|
	{"status":"RUNNING"}|id: an id is empty
	{"id":"d2"|byte
	[]|
	not json|byte
	E
	run -111 sh -c 'printf "%s" "$1" | pipecd-store -f "$2" -l deployment' - "$good" "$CONF"
	[[ $output = *"stdin:1: the last line is cut off"* ]]
	[ -z "$(store -d deployment)" ]
	run -100 store -l nothing </dev/null
	[[ $output = *'"nothing": no such table; there are project, application'* ]]
}

@test "loading and dumping go on while the store serves, and what was loaded is seen at once" {
	store_start
	echo '{"id":"d9","project_id":"p1","status":"SUCCESS","updated_at":5}' | store -l deployment
	run -0 ask 'get deployment d9' 'list deployment project_id=p1' 'create deployment {"id":"d10","project_id":"p1"}'
	[[ ${lines[0]} = "OK d9@1 "* && ${lines[1]} = "OK d9@1 "* && ${lines[2]} = "OK d10@2 "* ]]
	[ "$(store -d deployment | wc -l)" -eq 2 ]
}

@test "loading more than the map holds makes it grow, in the store that serves too" {
	store_start
	for i in {1..400}; do printf '{"id":"n%d","project_id":"p1","text":"%0300000d"}\n' "$i" 0; done | store -l note
	[ "$(stat -c %s "$STATE/store/data.mdb")" -gt $((100 * 1048576)) ]
	run -0 ask 'create note {"id":"after"}' 'list note order=updated_at limit=1' stat
	[[ ${lines[0]} = OK* && ${lines[1]} = "OK after@"* ]]
	[[ ${lines[2]} = *"records.note=401"* ]]
}

@test "a backup of a store that serves is a state directory, logs and objects included" {
	store_start
	some
	run -0 store -b "$BATS_TEST_TMPDIR/backup"
	ask 'create deployment {"id":"later","project_id":"p1"}' >/dev/null
	run -100 store -b "$BATS_TEST_TMPDIR/backup"
	store_stop
	rm -r "$STATE"
	cp -r "$BATS_TEST_TMPDIR/backup" "$STATE"
	run -0 store -V
	store_start
	run -0 ask 'get deployment d1' 'get deployment later' 'logread d1 s 0 0' 'logread d1 t 0 0' 'oget live/a.pb'
	[[ ${lines[0]} = OK* && ${lines[1]} = NOT_FOUND* ]]
	[ "${lines[2]}" = "OK 1:line-1 2:line-2 3:line-3 completed" ]
	[ "${lines[3]}" = "OK 1:line-1 2:line-2 3:line-3" ]
	[ "${lines[4]}" = "OK data=state" ]
}

@test "verify says which object of a log is missing" {
	store_start
	some
	until_true 5 sh -c "ls $STATE/objects/log/*/*/0.ndjson"
	until_true 5 sh -c "pipecd-store -f $CONF -V"
	rm "$STATE"/objects/log/*/*/0.ndjson
	run -1 store -V
	[[ $output = *"log of deployment d1 stage s: its object "*" is missing"* ]]
}

@test "one directory has one store; a second one, and one without a state directory, says so" {
	store_start
	run -111 store
	[[ $output = *"another pipecd-store serves this directory"* ]]
	run -100 store -d deployment -l deployment
	STATE=$BATS_TEST_TMPDIR/none
	store_conf
	run -100 store -d deployment
	[[ $output = *"there is no store"* ]]
	mkdir -m 700 "$STATE"
	echo 2 >"$STATE/format"
	run -100 store
	[[ $output = *'"2" is a format that this build does not know'* ]]
	STATE=$BATS_TEST_TMPDIR/cp
}

@test "a command asks the store where one runs, and starts one for itself where none does" {
	STATE=$BATS_TEST_TMPDIR/local
	mkdir -m 700 "$STATE"
	local_ask() { printf '%s\n' "$@" | timeout 60 "$TESTBIN/libstore/ask" -l "$STATE" "$BIN"; }
	run -0 local_ask 'make PIPED - {"id":"e1","name":"agent","project_id":"p1"}'
	[[ $output = *"key="* ]]
	store_conf
	store_start
	run -0 local_ask 'get piped e1' 'create note {"id":"n"}'
	[[ $output = *"OK e1@"* ]]
	run -0 ask 'get note n'
	store_stop
	run -0 local_ask 'get note n'
}

@test "the config is checked and printed, and a wrong one refused" {
	run -0 store -n
	store -n >"$BATS_TEST_TMPDIR/effective.yaml"
	pipecd-store -f "$BATS_TEST_TMPDIR/effective.yaml" -n | cmp - "$BATS_TEST_TMPDIR/effective.yaml"
	echo '  filestore: {type: GCS}' >>"$CONF"
	run -1 store -n
}

@test "a flipped bit in a record is found, named, costs that record alone, and is mended from a dump" {
	store_start
	ask 'create note {"id":"n1","project_id":"p1","text":"GOOD-GOOD"}' 'create note {"id":"n2","project_id":"p1","text":"BAAD-BAAD"}' >/dev/null
	store_stop
	store -d note >"$BATS_TEST_TMPDIR/notes"
	python3 - "$STATE/store/data.mdb" <<-'E'
	import sys
	b = bytearray(open(sys.argv[1], "rb").read())
	at = b.find(b"BAAD-BAAD")
	while at != -1:
	    b[at] ^= 1
	    at = b.find(b"BAAD-BAAD")
	open(sys.argv[1], "r+b").write(b)
	E
	run -1 store -V
	[[ $output = *"note n2: a damaged record"* ]]
	run -1 store -d note
	[[ $output = *'"id":"n1"'* && $output = *"note n2: a damaged record, left out"* ]]
	store_start
	run -0 ask 'list note project_id=p1' 'get note n2' 'get note n1'
	[[ ${lines[0]} = "OK n1@"* && ${lines[0]} != *n2* ]]
	[[ ${lines[1]} = *"a damaged record"* ]]
	[[ ${lines[2]} = OK* ]]
	store -l note <"$BATS_TEST_TMPDIR/notes"
	run -0 store -V
	store -d note | cmp - "$BATS_TEST_TMPDIR/notes"
}
