# pipecd-report -c, -l and -b.  exec is made up: it writes down what it was
# asked, and answers what the test wants.
load ../lib/common

setup() {
	state=$BATS_TEST_TMPDIR/state
	mkdir -p "$state/run/exec" "$state/journal"
	conf=$BATS_TEST_TMPDIR/piped.yaml
	cat >"$conf" <<-E
	apiVersion: pipecd.dev/v1beta1
	kind: Piped
	spec:
	  stateDir: $state
	  repositories: [{repoId: web, remote: file:///nowhere, branch: main}]
	E
}
teardown() { [ -z "${exec_pid:-}" ] || { kill "$exec_pid" 2>/dev/null || true; wait "$exec_pid" 2>/dev/null || true; }; }

# fake_exec ANSWER: one connection, one line
fake_exec() {
	mkdir -p "$state/run/exec"
	python3 - "$state/run/exec" "$1" >"$BATS_TEST_TMPDIR/asked" 3>&- <<-'E' &
	import os, socket, sys
	os.chdir(sys.argv[1])
	s = socket.socket(socket.AF_UNIX)
	s.bind("exec.sock")
	s.listen(1)
	c, _ = s.accept()
	line = c.makefile().readline()
	print(line, end="", flush=True)
	c.sendall(sys.argv[2].encode())
	E
	exec_pid=$!
	until_true 20 test -S "$state/run/exec/exec.sock"
}
asked() { jq -c "$1" "$BATS_TEST_TMPDIR/asked"; }

@test "report -c: a command goes to exec as one frame, its answer to stdout" {
	fake_exec '{"v":1,"kind":"ok","text":"approved by dev (1 of 2)"}'$'\n'
	run -0 --separate-stderr pipecd-report -c approve -f "$conf" 3f9c2a7e WAIT_APPROVAL
	[ "$output" = "approved by dev (1 of 2)" ]
	[ -z "$stderr" ]
	[ "$(asked '[.kind,.command.type,.command.deployment_id,.command.stage_id]')" = '["command","APPROVE_STAGE","3f9c2a7e","WAIT_APPROVAL"]' ]
}

@test "report -c: what exec refuses exits 1, with its words on stderr" {
	fake_exec '{"v":1,"kind":"err","text":"no unfinished deployment \"x\" here","exit":100}'$'\n'
	run -1 --separate-stderr pipecd-report -c cancel -f "$conf" x
	[[ "$stderr" == *'no unfinished deployment "x" here'* ]]
	[ -z "$output" ]
	[ "$(asked '.command|[.type,.deployment_id,.cancel_deployment.deployment_id]')" = '["CANCEL_DEPLOYMENT","x","x"]' ]
}

@test "report -c: sync names an application; options may come last" {
	fake_exec '{"v":1,"kind":"ok"}'$'\n'
	run -0 pipecd-report -c sync site -f "$conf"
	[ "$output" = done ]
	# The type of a sync is the default, and is not written.
	[ "$(asked '.command|[.type,.application_id,.sync_application.application_id,.deployment_id]')" = '[null,"site","site",null]' ]
}

@test "report -c: nobody there is 111 and says so, with or without a stale socket" {
	run -111 --separate-stderr pipecd-report -c approve -f "$conf" x
	[[ "$stderr" == *"nobody is there"* ]]
	fake_exec ''
	kill "$exec_pid"; wait "$exec_pid" || true
	run -111 --separate-stderr pipecd-report -c approve -f "$conf" x
	[[ "$stderr" == *"nobody is there"* ]]
	rm -r "$state"
	run -111 --separate-stderr pipecd-report -c approve -f "$conf" x
	[[ "$stderr" == *"$state/run"* ]]
}

@test "report -c: an exec that hangs up is 111, and what is not known is said" {
	fake_exec ''
	run -111 --separate-stderr pipecd-report -c approve -f "$conf" x
	[[ "$stderr" == *"whether it heard is not known"* ]]
}

@test "report -c: a state directory with a path longer than a socket address works" {
	long=$BATS_TEST_TMPDIR/$(printf 'x%.0s' $(seq 120))
	mkdir "$long"
	mv "$state" "$long/s"
	state=$long/s
	sed -i "s,stateDir: .*,stateDir: $state," "$conf"
	fake_exec '{"v":1,"kind":"ok","text":"yes"}'$'\n'
	run -0 pipecd-report -c skip -f "$conf" x
	[ "$output" = yes ]
}

@test "report -c: a wrong order or count of words is refused with what it wants" {
	run -100 --separate-stderr pipecd-report -c pause -f "$conf" x
	[[ "$stderr" == *"none of approve, cancel, skip, sync"* ]]
	run -100 --separate-stderr pipecd-report -c approve -f "$conf"
	[[ "$stderr" == *"a deployment's id"* ]]
	run -100 pipecd-report -c cancel -f "$conf" a b
	run -100 pipecd-report -c cancel -t -f "$conf" a
}

@test "report -b: without a control plane there is nothing to report to" {
	run -100 --separate-stderr pipecd-report -b "$BATS_TEST_TMPDIR" -f "$conf"
	[[ "$stderr" == *"no control plane to report to"* ]]
	run -100 --separate-stderr pipecd-report -1 -f "$conf"
	[[ "$stderr" == *"no control plane to report to"* ]]
}

@test "report -l: lists what has not ended, and the command for what waits" {
	python3 "$BATS_TEST_DIRNAME/mkjournal.py" "$state/journal" <<-'E'
	aaaaaaaa-1 site SUCCESS 2026-11-02T10:00:00Z c1 2026-11-02T09:50:00Z
	bbbbbbbb-2 api RUNNING 2026-11-02T10:00:00Z c0ffee12 2026-11-02T09:50:00Z
	cccccccc-3 db WAITING 2026-11-02T10:00:00Z c0ffee12 2026-11-02T09:50:00Z
	E
	run -0 --separate-stderr pipecd-report -l -f "$conf"
	[ -z "$stderr" ]
	[[ "${lines[0]}" == "bbbbbbbb api RUNNING since "*", commit c0ffee1 \"m\"" ]]
	[[ "${lines[1]}" == "cccccccc db RUNNING since "*", stage WAIT_APPROVAL (2 of 2), commit "* ]]
	[ "${lines[2]}" = "  waits for approval, approved so far by alice: pipecd-report -c approve cccccccc -f $conf" ]
	[ "${#lines[@]}" -eq 3 ]
}

@test "report -l: a damaged journal is named, the others are listed; none is said too" {
	run -0 pipecd-report -l -f "$conf"
	[ "$output" = "no deployment is under way" ]
	python3 "$BATS_TEST_DIRNAME/mkjournal.py" "$state/journal" <<-'E'
	aaaaaaaa-1 site RUNNING 2026-11-02T10:00:00Z c1 2026-11-02T09:50:00Z
	bbbbbbbb-2 api RUNNING 2026-11-02T10:00:00Z c0ffee12 2026-11-02T09:50:00Z
	E
	sed -i '2s/PLANNED/PLANNER/' "$state/journal/aaaaaaaa-1.ndjson"
	run -0 --separate-stderr pipecd-report -l -f "$conf"
	[[ "$stderr" == *aaaaaaaa-1* ]]
	[[ "$output" == "bbbbbbbb api RUNNING"* ]]
}
