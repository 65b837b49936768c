# pipecd-ops on its clocks, under pipecd, with a real store.
load ../lib/common
load ../lib/ops
load ../lib/pipecd
setup() {
	ops_setup
	mkdir -p "$A/bin"
	cp "$BIN"/pipecd "$BIN"/pipecd-store* "$BIN"/pipecd-ops "$A/bin/"
	cp "$ROOT/tests/fake/pipecd-api" "$A/bin/"
	cp "$F" "$A/control-plane.yaml"
	export TMPDIR=$A
}
teardown() { pipecd_teardown; }

lease() { dump lease | jq -r "select(.id==\"ops\")|$1"; }
project_is_there() { [ "$(ids project)" = "$1 " ]; }

@test "when pipecd is ready, the configured projects are there; a reload brings more" {
	ops_conf "  projects: [{id: demo}]"; cp "$F" "$A/control-plane.yaml"
	pipecd_start; pipecd_ready
	project_is_there demo
	ops_conf "  projects: [{id: demo}, {id: next}]"; cp "$F" "$A/control-plane.yaml"
	kill -HUP "$PIPECD"
	until_true 10 project_is_there "demo next"
}

@test "one pipecd-ops does the jobs: another on the directory is refused, another host's waits" {
	pipecd_start; pipecd_ready
	run -111 "$A/bin/pipecd-ops" -f "$F"
	[[ "$output" == *"another pipecd-ops runs there"* ]]
	[[ $(lease .owner) == "$(hostname):$S" ]]
	kill "$PIPECD"; wait "$PIPECD"; PIPECD=
	[ "$(lease .expires_at)" -lt "$NOW" ]
	# As if another host had it: nothing is done here until it is over.
	printf '{"id":"ops","owner":"other:/x","epoch":7,"expires_at":%d}\n' "$(($(date +%s) + 4))" | load_table lease
	ops_conf "  projects: [{id: demo}]"; cp "$F" "$A/control-plane.yaml"
	: >"$A/err"; pipecd_start; pipecd_ready
	[ -z "$(ids project)" ]
	[ "$(lease .owner)" = other:/x ]
	until_true 20 project_is_there demo
	[ "$(lease .epoch)" = 8 ]
}

@test "after kill -9 it goes on at once, with the lease that it had" {
	pipecd_start; pipecd_ready
	for _ in 1 2 3; do
		old=$(pid_of ops)
		kill -9 "$old"
		until_true 10 eval '[ "$(pid_of ops)" != "$old" ] && is_state ready'
	done
	[ "$(lease .epoch)" = 1 ]
	[ "$(grep -c 'lease taken' "$A/err")" = 4 ]
}

@test "without a store it waits, and does its jobs when there is one" {
	ops_conf "  projects: [{id: demo}]"; cp "$F" "$A/control-plane.yaml"
	pipecd_start; pipecd_ready
	store=$(pid_of store)
	kill -STOP "$store"
	kill -9 "$(pid_of ops)"
	until_true 10 eval '[ "$(status | jq -r ".programs[]|select(.name==\"ops\").state")" = starting ]'
	kill -CONT "$store"
	until_true 20 is_state ready
}
