# T1: the wall clock is set by hours, days and years while the agent runs.
# Every program below piped, and what it starts, sees the clock of
# tests/fake/clock.c; files keep the times of the real one.
setup() {
	load ../lib/common
	load ../lib/agent
	[[ $BIN != */san/* ]] || PLAIN="a sanitizer wants to be loaded first"
	SYNC=1s agent_new "$BATS_TEST_TMPDIR/agent" 2
	C=$BATS_TEST_TMPDIR/clock
	mkdir -p -m 755 "$C"
	clock_set 0
	cc -shared -fPIC -O1 -DCLOCK_OFF='"/usr/games/off"' -o "$C/clock.so" "$ROOT/tests/fake/clock.c"
	chmod 644 "$C"/*
}
teardown() { agent_stop; }

# clock_set SECONDS: the clock is off by so much from now on
clock_set() {
	python3 -c 'import struct, sys; f = open(sys.argv[1], "r+b" if sys.argv[3] else "wb"); f.write(struct.pack("q", int(sys.argv[2])))' \
		"$C/off" "$1" "$([ -e "$C/off" ] && echo again)"
}
hour=3600 day=86400 year=31536000

# In a mount namespace of its own the agent finds the clock preloaded, however
# empty the environment of its programs is.
clock_agent_start() {
	if [ -n "${PLAIN:-}" ]; then agent_start; return; fi
	unshare -m bash -c 'set -e
		cp -a /etc "$1/etc"
		mount --bind "$1/etc" /etc
		mount --bind "$1" /usr/games
		echo /usr/games/clock.so >/etc/ld.so.preload
		exec piped -f "$2"' clock "$C" "$CONF" >"$STATE.out" 2>"$STATE.err" 3>&- &
	PIPED=$!
	until_true 30 piped -s -f "$CONF" >/dev/null 2>&1
}

deployed() {	# APP CONTENT: on every target
	local t
	for t in "$ROOTS"/web-*; do
		[ "$(cat "$t/$1/current/index.html" 2>/dev/null)" = "$2" ] || return 1
	done
}
ended() { [ "$(journals_with "$1")" = "$2" ]; }
running() { pipecd-report -l -f "$CONF" | grep -q " $1 .* stage $2 "; }	# APP STAGE
# took APP STAGE: how long the stage of its newest deployment took, in ms
took() {
	jq -rs --arg s "$2" '([.[]|select(.kind=="deployment")]|last|.deployment.stages[]|select(.name==$s).id) as $id
		| .[]|select(.kind=="stage_done" and .stage_id==$id).took_ms' "$STATE/journal/$(deployment_of "$1").ndjson"
}
said_at() { jq -rs '[.[]|select(.kind=="deployment")]|last|.deployment.completed_at' "$STATE/journal/$(deployment_of "$1").ndjson"; }

@test "clock: the agent does see the clock that is set" {
	agent_app site
	repo_commit "$REPO" one
	clock_set $((10 * year))
	clock_agent_start
	until_true 20 ended SUCCESS 1
	[ -n "${PLAIN:-}" ] || [ "$(said_at site)" -gt "$(($(date +%s) + 9 * year))" ]
}

@test "clock: a WAIT takes its time, whether the clock goes ahead or back meanwhile" {
	agent_app site "" 'planner: {alwaysUsePipeline: true}
pipeline:
  stages:
    - {name: WAIT, with: {duration: 3s}}
    - {name: HOST_PRIMARY_ROLLOUT}'
	repo_commit "$REPO" one
	clock_agent_start
	until_true 20 running site WAIT
	clock_set $day
	sleep 1
	running site WAIT
	clock_set $((-2 * day))
	until_true 20 ended SUCCESS 1
	[ "$(took site WAIT)" -ge 3000 ]
	[ "$(took site WAIT)" -lt 8000 ]
	run -0 pipecd-exec -V "$STATE"/journal/*-*.ndjson
}

@test "clock: a WAIT that is taken up again by a new agent under another clock ends in time" {
	agent_app site "" 'planner: {alwaysUsePipeline: true}
pipeline:
  stages:
    - {name: WAIT, with: {duration: 4s}}
    - {name: HOST_PRIMARY_ROLLOUT}'
	repo_commit "$REPO" one
	clock_agent_start
	until_true 20 running site WAIT
	for off in $((-day)) $year; do
		agent_stop
		clock_set "$off"
		rm -rf "$C/etc"
		clock_agent_start
		until_true 10 running site WAIT
	done
	until_true 20 ended SUCCESS 1
	[ "$(took site WAIT)" -ge 3900 ]
	[ "$(took site WAIT)" -lt 12000 ]
}

@test "clock: no timeout comes early: not a stage's, a command's, a health check's or an approval's" {
	agent_app site "activate: 'while ! test -e $BATS_TEST_TMPDIR/active; do sleep 0.05; done'
health: {command: 'test -e $BATS_TEST_TMPDIR/healthy', interval: 50ms, timeout: 30s}" "planner: {alwaysUsePipeline: true}
pipeline:
  stages:
    - {name: WAIT_APPROVAL, timeout: 1m, with: {approvers: [$(id -un)]}}
    - {name: SCRIPT_RUN, timeout: 1m, with: {run: 'while ! test -e $BATS_TEST_TMPDIR/go; do sleep 0.05; done'}}
    - {name: HOST_PRIMARY_ROLLOUT, timeout: 1m}"
	repo_commit "$REPO" one
	clock_agent_start
	until_true 20 running site WAIT_APPROVAL
	clock_set $year
	sleep 0.5
	run -0 pipecd-report -c approve "$(deployment_of site)" -f "$CONF"
	until_true 20 running site SCRIPT_RUN
	clock_set $((2 * year))
	sleep 0.5
	touch "$BATS_TEST_TMPDIR/go"
	until_true 20 running site HOST_PRIMARY_ROLLOUT
	sleep 0.3 # its command runs
	clock_set $((3 * year))
	touch "$BATS_TEST_TMPDIR/active"
	sleep 0.5 # its health check runs
	clock_set $((4 * year))
	sleep 0.3
	running site HOST_PRIMARY_ROLLOUT
	clock_set $((-year))
	touch "$BATS_TEST_TMPDIR/healthy"
	until_true 20 ended SUCCESS 1
}

@test "clock: a timeout still comes after the clock went back" {
	agent_app site "health: {command: 'false', interval: 50ms, timeout: 3s}"
	repo_commit "$REPO" one
	clock_agent_start
	until_true 20 running site HOST_SYNC
	sleep 0.3
	clock_set $((-day))
	until_true 20 ended FAILURE 1
}

@test "clock: a hand edit is found and corrected after the clock went back a day" {
	agent_app site "" 'trigger: {onOutOfSync: {disabled: false, minWindow: 1s}}'
	repo_commit "$REPO" one
	clock_agent_start
	until_true 20 ended SUCCESS 1
	clock_set $((-day))
	echo hacked >"$ROOTS/web-2/site/current/index.html"
	until_true 20 deployed site site
	until_true 20 ended SUCCESS 2
}

@test "clock: minWindow is not over because the clock went ahead" {
	agent_app site "" 'trigger: {onOutOfSync: {disabled: false, minWindow: 1h}}'
	repo_commit "$REPO" one
	clock_agent_start
	until_true 20 ended SUCCESS 1
	clock_set $year
	echo hacked >"$ROOTS/web-2/site/current/index.html"
	sleep 3 # two looks of drift
	[ "$(journals_with SUCCESS)" = 1 ]
	[ "$(cat "$ROOTS/web-2/site/current/index.html")" = hacked ]
}

@test "clock: jumps trigger nothing, commits are noticed as before, and the last one to be deployed is what runs" {
	for a in a b c; do agent_app $a; done
	repo_commit "$REPO" one
	clock_agent_start
	until_true 20 ended SUCCESS 3
	for off in $hour $((-hour)) $day $((-3 * day)) $year; do
		clock_set "$off"
		sleep 0.7
	done
	[ "$(journals_with SUCCESS)" = 3 ]
	for n in 2 3 4; do
		clock_set $(((3 - n) * day))
		echo $n >"$REPO/a/index.html"
		last=$(repo_commit "$REPO" "number $n")
		until_true 20 deployed a $n
	done
	until_true 20 ended SUCCESS 6
	agent_stop
	[ "$(jq -rs '[.[]|select(.name=="a")]|last|.running_commit' "$STATE/journal/apps.ndjson")" = "$last" ]
	# Nor does the order of what is read again depend on it.
	run -0 agent_pipe
	[[ "$output" == *"0 deployments"* ]]
	[ "$(jq -rs '[.[]|select(.name=="a")]|last|.running_commit' "$STATE/journal/apps.ndjson")" = "$last" ]
	run -0 pipecd-exec -V "$STATE"/journal/*-*.ndjson
	run -0 --separate-stderr pipecd-report-summary -f "$CONF" --since 30d --format json
	[ "$(jq -r '.total.deployments // .deployments // empty' <<<"$output")" != 0 ]
}
