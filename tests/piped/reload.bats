load ../lib/common
load ../lib/piped

setup() { piped_setup; }
teardown() { piped_teardown; }

@test "SIGHUP starts again only the programs whose keys have changed" {
	piped_start; piped_ready
	conf_write b3RoZXI=
	kill -HUP "$PIPED"
	until_true 5 started gitwatch 2
	until_true 5 grep -q 'reloaded' "$A/err"
	[ "$(starts plan)$(starts exec)$(starts drift)" = 111 ]
	grep -q 'gitwatch restart: its configuration changed' "$A/err"
}

@test "SIGHUP without a change touches nothing" {
	piped_start; piped_ready
	kill -HUP "$PIPED"
	until_true 5 grep -q 'reloaded' "$A/err"
	[ "$(wc -l <"$A/log")" = 4 ]
}

@test "a reload of a wrong config is refused, and the old one stays" {
	piped_start; piped_ready
	echo 'spec: [' >"$A/piped.yaml"
	kill -HUP "$PIPED"
	until_true 5 grep -q 'reload refused, the old config stays' "$A/err"
	[ "$(wc -l <"$A/log")" = 4 ]
	conf_write b3RoZXI=
	kill -HUP "$PIPED"
	until_true 5 started gitwatch 2
}

@test "the state directory cannot change in a running agent" {
	piped_start; piped_ready
	S=$A/other conf_write
	kill -HUP "$PIPED"
	until_true 5 grep -q 'stateDir cannot change' "$A/err"
	[ "$(wc -l <"$A/log")" = 4 ]
}
