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

@test "a job that takes long ends when it is told to, and the lease is free" {
	{ project demo; } | load_table project
	for i in {1..20}; do for k in {1..100}; do printf '{"id":"d%d-%d","application_id":"a%d","application_name":"a","piped_id":"p1","project_id":"demo","status":"SUCCESS","completed_at":%d,"created_at":1,"updated_at":%d,"git_path":{"repo":{"id":"r"},"path":"a"},"trigger":{"commit":{"hash":"%d","message":"m","author":"a","branch":"main","created_at":1},"timestamp":1}}\n' $i $k $i $((NOW - k)) $((NOW - k)) $k; done; done | load_table deployment
	# A clock that rings each minute would do; this one is told at the start.
	ops_conf "  retention: {deployments: 1s}"; cp "$F" "$A/control-plane.yaml"
	pipecd_start; pipecd_ready
	t0=$(date +%s%N)
	kill "$PIPECD"; wait "$PIPECD"; PIPECD=
	[ $((($(date +%s%N) - t0) / 1000000)) -lt 5000 ]
	[ "$(lease .expires_at)" -lt "$NOW" ]
}
