load ../lib/common
load ../lib/pipecd

setup() { pipecd_setup; }
teardown() { pipecd_teardown; }

@test "-n prints what is in effect, options included, and nothing secret" {
	control_write "  stateKey: hush"
	run -0 "$A/bin/pipecd" -n -f "$A/control-plane.yaml" --cert-file /c --key-file /k -a 4
	[[ "$output" == *"stateDir: $S"* && "$output" == *"certFile: /c"* && "$output" == *"apiProcesses: 4"* && "$output" != *hush* ]]
	[ ! -e "$S" ]
}

@test "a wrong configuration is refused with its place, by -n with 1 and at the start with 100" {
	control_write "  datastore: {type: MYSQL}
  projects: [{id: a}, {id: a}]"
	run -1 "$A/bin/pipecd" -n -f "$A/control-plane.yaml"
	[[ "$output" == *"control-plane.yaml:7:21: datastore.type: MYSQL: this build keeps records in stateDir only"* ]]
	[[ "$output" == *"control-plane.yaml:8:28: projects[1].id: a is there twice"* ]]
	[[ "$output" == *"2 mistakes"* ]]
	run -100 "$A/bin/pipecd" -f "$A/control-plane.yaml"
	run -100 "$A/bin/pipecd" -n -f "$A/none.yaml"
	[[ "$output" == *"none.yaml: No such file"* ]]
	[ ! -e "$S" ]
}

@test "options that make no sense are refused" {
	for o in "-a 0" "-a 65" "--api-port 65536" "--api-port x" "--json" "-g -1" more; do
		run -100 "$A/bin/pipecd" -n -f "$A/control-plane.yaml" $o
		[[ "$output" == *"usage: pipecd"* ]]
	done
	run -100 "$A/bin/pipecd" -n -f "$A/control-plane.yaml" --tls
	[[ "$output" == *"--tls: needs --cert-file and --key-file"* ]]
	run -100 "$A/bin/pipecd" -n -f "$A/control-plane.yaml" --cert-file /c
	[[ "$output" == *"both or neither"* ]]
}

@test "SIGHUP starts again only the programs whose keys have changed" {
	pipecd_start; pipecd_ready
	control_write "  retention: {logs: 7d}"
	kill -HUP "$PIPECD"
	until_true 5 started ops 2
	until_true 5 grep -q reloaded "$A/err"
	[ "$(starts api)$(starts store)" = 11 ]
	grep -q 'logs: 168h' "$A/slice.pipecd-ops"
}

@test "SIGHUP moves to another address, and keeps the one that stays" {
	pipecd_start; pipecd_ready
	admin=$(address_of admin) main=$(address_of main)
	ADDRESS=127.0.0.2:0 control_write
	kill -HUP "$PIPECD"
	until_true 5 started api 2
	until_true 5 is_state ready
	[ "$(address_of admin)" = "$admin" ]
	[[ $(address_of main) == 127.0.0.2:* ]]
	[[ $(get main) == *" main" ]]
	run ! http_get "$main"
}

@test "SIGHUP starts more api, and ends those that are too many" {
	pipecd_start; pipecd_ready
	control_write "  apiProcesses: 3"
	kill -HUP "$PIPECD"
	until_true 5 started api 3
	until_true 5 is_state ready
	control_write
	kill -HUP "$PIPECD"
	until_true 5 eval '[ "$(grep -c "term pipecd-api" "$A/log")" = 2 ]'
	until_true 5 eval '[ "$(status | jq "[.programs[].name]|length")" = 3 ]'
	[[ $(get main) == *" main" ]]
	[ "$(starts store)$(starts ops)" = 11 ]
}

@test "SIGHUP with a wrong configuration, or an address that is taken, changes nothing" {
	pipecd_start; pipecd_ready
	cp "$A/control-plane.yaml" "$A/good.yaml"
	echo 'spec: [' >"$A/control-plane.yaml"
	kill -HUP "$PIPECD"
	until_true 5 grep -q 'reload refused, the old config stays' "$A/err"
	cp "$A/good.yaml" "$A/control-plane.yaml"
	main=$(address_of main)
	ADMIN=127.0.0.1:0 ADDRESS=$(address_of admin) control_write
	kill -HUP "$PIPECD"
	until_true 5 grep -q 'reload refused, the old config stays: listen on' "$A/err"
	S=$A/other control_write
	kill -HUP "$PIPECD"
	until_true 5 grep -q 'stateDir cannot change' "$A/err"
	cp "$A/good.yaml" "$A/control-plane.yaml"
	[ "$(address_of main)" = "$main" ]
	[[ $(get main) == *" main" ]]
	[ "$(wc -l <"$A/log")" = 3 ]
}
