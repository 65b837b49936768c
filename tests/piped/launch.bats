load ../lib/common
load ../lib/piped

setup() {
	piped_setup
	cp "$TESTBIN/libsuper/asker" "$A/bin/pipecd-exec"
}
teardown() { piped_teardown; }

pid() { grep -o 'pid [0-9]*' "$A/answers" | tail -n 1 | cut -d ' ' -f 2; }

@test "exec has a platform started, and hears how it ended" {
	cat >"$A/bin/pipecd-exec-host" <<-'EOF'
	#!/bin/sh
	echo "I am $*"
	exit 3
	EOF
	piped_start; piped_ready
	piped_ask launch host stage one
	answer 'I am stage one'
	answer '^ended [0-9]*: exit 3'
}

@test "a program or verb that is not in services.def for the asker is refused" {
	piped_start; piped_ready
	piped_ask launch gitwatch
	answer 'error 100: exec may not have gitwatch without a verb started'
	piped_ask launch host live
	answer 'error 100: exec may not have host live started'
	piped_ask launch nope stage
	answer 'error 100: nope: no such plugin in the Piped config'
	piped_ask launch host stage -f /etc/passwd
	answer 'error 100: host: option -f may not be asked for'
	run ! grep -q 'start pipecd-exec-host' "$A/log"
}

@test "what was started is signalled through the supervisor, by who asked only" {
	piped_start; piped_ready
	piped_ask launch host stage
	answer '^pid '
	piped_ask kill "$(pid)" 9
	answer '^ok'
	answer '^ended [0-9]*: signal 9'
	piped_ask kill "$(pid_of plan)" 9
	answer 'error 100: pid [0-9]*: not started for exec'
	[ "$(starts plan)" = 1 ]
}

@test "what a stage left behind in its group ends with it" {
	cat >"$A/bin/pipecd-exec-host" <<-'EOF'
	#!/bin/sh
	sleep 1000 &
	echo "child $!"
	EOF
	piped_start; piped_ready
	piped_ask launch host stage
	answer '^ended'
	until_true 5 gone "$(sed -n 's/^child //p' "$A/answers")"
}

@test "a dead asker's stages run on, and its other programs end" {
	piped_start; piped_ready
	piped_ask launch checkout
	answer '^pid '
	checkout=$(pid)
	piped_ask stage host stage
	until_true 5 eval '[ "$(grep -c "^pid" "$A/answers")" = 2 ]'
	stage=$(pid)
	piped_ask exit 1
	until_true 5 gone "$checkout"
	until_true 5 eval '[ -n "$(pid_of exec)" ] && piped_says_ready'
	[ -d "/proc/$stage" ]
	# Its successor may end it.
	piped_ask kill "$stage" 9
	answer '^ok'
	until_true 5 gone "$stage"
}
piped_says_ready() { "$A/bin/piped" -s -f "$A/piped.yaml" >/dev/null; }

@test "a draining piped ends what still runs" {
	piped_start -g 1; piped_ready
	piped_ask stage host stage
	answer '^pid '
	stage=$(pid)
	kill "$PIPED"; wait "$PIPED"; PIPED=
	gone "$stage"
}

@test "stages left by a killed piped are ended by the next one" {
	touch "$A/deaf.pipecd-exec-host"
	piped_start; piped_ready
	piped_ask stage host stage
	answer '^pid '
	stage=$(pid)
	kill -9 "$PIPED"; wait "$PIPED" 2>/dev/null || :
	[ -d "/proc/$stage" ]
	: >"$A/err"
	piped_start; piped_ready
	gone "$stage"
	grep -q "host pid=$stage is left from an earlier piped: killed" "$A/err"
}

@test "a reload ends a resident whose keys have changed, and no stage" {
	piped_start; piped_ready
	piped_ask stage host stage
	answer '^pid '
	stage=$(pid)
	piped_ask launch host describe
	until_true 5 eval '[ "$(grep -c "^pid" "$A/answers")" = 2 ]'
	conf_write c2VjcmV0 "    config: {keep: 1}"
	kill -HUP "$PIPED"
	answer "ended $(pid): exit 0"
	[ -d "/proc/$stage" ]
}

@test "a thousand programs started and ended leak no descriptor" {
	printf '#!/bin/sh\nexit 0\n' >"$A/bin/pipecd-exec-host"
	piped_start; piped_ready
	piped_ask launch host stage
	answer '^ended'
	before=$(ls "/proc/$PIPED/fd" | wc -l)
	for i in $(seq 1000); do echo launch host stage; done >"$A/ask"
	until_true 60 eval '[ "$(grep -c ^ended "$A/answers")" = 1001 ]'
	[ "$(ls "/proc/$PIPED/fd" | wc -l)" = "$before" ]
	run -0 "$A/bin/piped" -s -f "$A/piped.yaml" --json
	[ "$(jq '.launched|length' <<<"$output")" = 0 ]
}

@test "who holds a stage's lock is found and ended by the supervisor, and nothing else is" {
	piped_start; piped_ready
	until_true 5 test -d "$S/run/lock"
	touch "$S/run/lock/app-1" "$S/run/lock/app-2"
	setsid flock -x "$S/run/lock/app-1" sh -c "echo in >$A/in; exec sleep 1000" 3>&- &
	until_true 10 test -s "$A/in"
	setsid sh -c "exec 9<$S/run/lock/app-1; echo in >$A/in2; exec sleep 1000" 3>&- & # open, not locked
	until_true 10 test -s "$A/in2"
	piped_ask holders app-1 0
	answer '^held 0 .*(sleep)'
	held=$(sed -n 's/^held 0 //p' "$A/answers" | grep -o '[0-9]*' )
	piped_ask holders app-2 9
	answer '^held 0 $'
	for p in $held; do kill -0 "$p"; done
	piped_ask holders app-1 9
	for p in $held; do until_true 10 gone "$p"; done
	kill -0 $! # it has the file open, and not the lock
	kill $!
	ln -s /etc/passwd "$S/run/lock/link"
	piped_ask holders link 9
	answer 'error 100: .*run/lock/link: is no lock'
	piped_ask holders ../piped.lock 9
	answer 'error 100: lock ../piped.lock: no such name'
	piped_ask holders app-1 1
	answer 'error 100: signal 1: not for holders'
}

@test "who starts no stages has no locks to ask for" {
	cp "$A/bin/pipecd-exec" "$A/bin/pipecd-plan"
	fake_program pipecd-exec
	piped_start; piped_ready
	piped_ask holders app-1 9
	answer 'error 100: plan has no locks'
}
