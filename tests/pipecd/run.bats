load ../lib/common
load ../lib/pipecd

setup() { pipecd_setup; }
teardown() { pipecd_teardown; }

@test "on an empty directory store starts first, then api and ops, and all is ready" {
	pipecd_start; pipecd_ready
	[ "$(head -n 1 "$A/log")" = "start pipecd-store -v" ]
	[ "$(sort "$A/log")" = "$(printf 'start pipecd-%s -v\n' api ops store)" ]
	[ "$(cat "$S/format")" = 1 ]
	[ "$(stat -c %a "$S" "$S/run" | tr '\n' ' ')" = "700 700 " ]
	run -0 "$A/bin/pipecd" -s -f "$A/control-plane.yaml"
	[[ "$output" == "pipecd pid $PIPECD: ready, up "*"listens: main=127.0.0.1:"*"listens: admin=127.0.0.1:"*"store      ready"* ]]
	[[ $(get main) == *" main" ]]
	[[ $(get admin) == *" admin" ]]
}

@test "api is not started before store is ready" {
	cat >"$A/bin/pipecd-store" <<-'EOF'
	#!/bin/sh
	trap 'exit 0' TERM
	echo "start pipecd-store" >>"$TMPDIR/log"
	while [ ! -e "$TMPDIR/go" ]; do sleep 0.02; done
	echo >&4
	while :; do sleep 1000 & wait $!; done
	EOF
	pipecd_start
	until_true 5 started store 1
	run ! grep -q pipecd-api "$A/log"
	touch "$A/go"
	pipecd_ready
}

@test "each program gets its part of the configuration, and no more" {
	H='$2a$10$ye96mUqUqTnjUqgwQJbJzel/LJibRhUnmzyypACkvrTSnQpVFZ7qK'
	control_write "  stateKey: hush
  webhooks: [{type: GITHUB, secretData: aGFsbG8=}]
  projects: [{id: demo, staticAdmin: {username: u, passwordHash: '$H'}}]"
	pipecd_start; pipecd_ready
	grep -q '^slice: api' "$A/slice.pipecd-api"
	grep -q aGFsbG8= "$A/slice.pipecd-api"
	run ! grep -q 'hush\|passwordHash' "$A/slice.pipecd-api"
	grep -q "stateDir: " "$A/slice.pipecd-store"
	run ! grep -q 'hush\|passwordHash\|aGFsbG8\|address' "$A/slice.pipecd-store"
	grep -qF "$H" "$A/slice.pipecd-ops"
	run ! grep -q 'hush\|aGFsbG8' "$A/slice.pipecd-ops"
}

@test "each program that is killed is started again, and the others are not touched" {
	pipecd_start; pipecd_ready
	for p in store api ops; do
		kill -9 "$(pid_of $p)"
		until_true 5 started $p 2
		until_true 5 is_state ready
	done
	[ "$(starts store)$(starts api)$(starts ops)" = 222 ]
	[[ $(get main) == *" main" ]]
}

@test "who connects while api is started again waits, and is answered by the next one" {
	pipecd_start; pipecd_ready
	old=$(pid_of api)
	touch "$A/hold.api"
	at=$(address_of main)
	kill -9 "$old"
	until_true 5 started api 2
	for i in 1 2 3 4 5; do
		http_get "$at" >"$A/answer.$i" 3>&- &
		pids+=($!)
	done
	# Connected, and nobody has taken them yet.
	until_true 5 eval '[ "$(connected "${at##*:}")" -ge 5 ]'
	[ "$(cat "$A"/answer.* | wc -l)" = 0 ]
	rm "$A/hold.api"
	wait "${pids[@]}"
	[ "$(grep -c ' main$' <(cat "$A"/answer.*))" = 5 ]
	run ! grep -q "^$old " "$A"/answer.*
}

@test "several api share the sockets" {
	pipecd_start -a 3; pipecd_ready
	[ "$(starts api)" = 3 ]
	[ "$(status | jq -c '[.programs[].name]')" = '["store","api","api-2","api-3","ops"]' ]
	[[ $(get main) == *" main" ]]
	kill -9 "$(pid_of api-2)" "$(pid_of api)"
	[[ $(get main) == *" main" ]]
	until_true 5 started api 5
}

@test "PipeCD's ports answer too, on the host of address" {
	free() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }
	a=$(free) b=$(free)
	pipecd_start --piped-api-port "$a" --web-api-port 0 --api-port 0 --http-port 0 --admin-port "$b"; pipecd_ready
	[ "$(address_of piped-api)" = "127.0.0.1:$a" ]
	[ "$(address_of admin)" = "127.0.0.1:$b" ]
	for n in main admin piped-api web-api api http; do [[ $(get $n) == *" $n" ]]; done
}

@test "draining ends api and ops first, and store when they have ended" {
	pipecd_start; pipecd_ready
	kill "$PIPECD"; rc=0; wait "$PIPECD" || rc=$?
	PIPECD=
	[ "$rc" = 0 ]
	[ "$(grep -c ^term "$A/log")" = 3 ]
	[ "$(tail -n 1 "$A/log")" = "term pipecd-store" ]
	run -111 "$A/bin/pipecd" -s -f "$A/control-plane.yaml"
	[[ "$output" == *"pipecd does not run"* ]]
}

@test "api has the grace period to finish, and no more" {
	touch "$A/deaf.pipecd-api"
	pipecd_start -g 1; pipecd_ready
	api=$(pid_of api)
	kill "$PIPECD"; rc=0; wait "$PIPECD" || rc=$?
	PIPECD=
	[ "$rc" = 0 ]
	grep -q 'api: did not end in time: killed' "$A/err"
	gone "$api"
	[ "$(tail -n 1 "$A/log")" = "term pipecd-store" ]
}

@test "after kill -9 of pipecd its programs end, and the next has the address again" {
	ADDRESS=127.0.0.1:$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])') control_write
	pipecd_start; pipecd_ready
	pids="$(pid_of store) $(pid_of api) $(pid_of ops)"
	kill -9 "$PIPECD"; wait "$PIPECD" || :
	for p in $pids; do until_true 5 gone "$p"; done
	: >"$A/err"
	pipecd_start; pipecd_ready
	[[ $(get main) == *" main" ]]
}

@test "a second pipecd on the state directory is refused, and an address that is taken is said" {
	pipecd_start; pipecd_ready
	run -111 "$A/bin/pipecd" -f "$A/control-plane.yaml"
	[[ "$output" == *"pipecd already runs there, pid $PIPECD"* ]]
	S=$A/other ADDRESS=$(address_of main) control_write
	run -111 "$A/bin/pipecd" -f "$A/control-plane.yaml"
	[[ "$output" == *"listen on 127.0.0.1:"*"Address already in use"* ]]
}

@test "a program that ends with 100 at the start ends pipecd with 100" {
	echo 100 >"$A/crash.pipecd-api"
	pipecd_start; rc=0; wait "$PIPECD" || rc=$?
	PIPECD=
	[ "$rc" = 100 ]
	grep -q 'api ended: exit 100' "$A/err"
	grep -q 'term pipecd-store' "$A/log"
}

@test "a newer format of the state directory is refused" {
	mkdir -m 700 "$S"; echo 2 >"$S/format"
	run -100 "$A/bin/pipecd" -f "$A/control-plane.yaml"
	[[ "$output" == *"format 2"*"newer than this build"* ]]
}
