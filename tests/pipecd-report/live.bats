# pipecd-report -t on a terminal, which is tmux's.
load ../lib/common

setup() {
	sock=$BATS_TEST_TMPDIR/tmux
	mkfifo "$BATS_TEST_TMPDIR/in"
	in=$BATS_TEST_DIRNAME/golden/three.in
}
teardown() {
	exec 5>&-
	tm kill-server 2>/dev/null || true
}

tm() { tmux -S "$sock" -f /dev/null "$@" 3>&-; }
# terminal COLUMNS ROWS [VAR=VALUE...]: pipecd-report -t on one, fed through fd 5
terminal() {
	local cols=$1 rows=$2; shift 2
	tm new-session -d -x "$cols" -y "$rows" \
		"env LC_ALL=C.UTF-8 TERM=screen-256color $* pipecd-report -t <$BATS_TEST_TMPDIR/in; echo end \$?; exec sleep 60"
	exec 5>"$BATS_TEST_TMPDIR/in"
}
screen() { tm capture-pane -p "$@"; }
shows() { screen | grep -qE -- "$1"; }

@test "report -t, terminal: one line a deployment with its stages, drawn in place, and a line that sums up" {
	terminal 100 12
	head -n 12 "$in" >&5
	until_true 20 shows '^2 deployments: 1 RUNNING, 1 PENDING$'
	shows '^site 3f9c2a7e RUNNING +\[✓▶\] HOST_PRIMARY_ROLLOUT [0-9]+s +HOST_CANARY_ROLLOUT: web-1: healthy'
	shows '^api +5b1d0001 PENDING '
	sed -n '13,14p' "$in" >&5
	until_true 20 shows '^2 deployments: 2 RUNNING$'
	# Drawn again, not again and again.
	[ "$(screen | grep -c '^site ')" -eq 1 ]
	[ "$(screen | grep -c ' deployments: ')" -eq 1 ]
}

@test "report -t, terminal: what has ended stays, a failure with the last lines of its log" {
	terminal 100 30
	cat "$in" >&5
	exec 5>&-
	until_true 20 shows '^end 0$'
	shows '^api 5b1d0001 FAILURE in 39s: stage HOST_SYNC failed, and so did its rollback$'
	shows '^ +HOST_SYNC: ERROR: GET /healthz: 500$'
	shows '^site 3f9c2a7e SUCCESS in 40s$'
	shows '^3 deployments: 2 SUCCESS, 1 FAILURE$'
	[ "$(screen | grep -c ' deployments: ')" -eq 1 ]
}

@test "report -t, terminal: colours are there, and not with NO_COLOR" {
	terminal 100 30
	cat "$in" >&5
	exec 5>&-
	until_true 20 shows '^end 0$'
	screen -e | grep -q $'\033\[3[12]m'
	tm kill-server
	terminal 100 30 NO_COLOR=1
	cat "$in" >&5
	exec 5>&-
	until_true 20 shows '^end 0$'
	run ! grep -q $'\033\[3[0-9]m' <(screen -e)
}

@test "report -t, terminal: more deployments than lines are counted, and no line wraps" {
	terminal 60 8
	for i in $(seq 10 40); do
		head -n 12 "$in" | grep -F '"site"' | tail -n 1 | sed "s/3f9c2a7e/3f9c2a$i/; s/\"site\"/\"a-very-long-name-of-an-application-$i\"/"
	done >&5
	until_true 20 shows '^31 deployments: 31 RUNNING \(25 more not shown\)$'
	[ "$(screen | grep -c RUNNING)" -eq 7 ]
}

@test "report -t, terminal: it follows the terminal's size" {
	terminal 100 12
	head -n 14 "$in" >&5
	until_true 20 shows '^2 deployments: 2 RUNNING$'
	tm resize-window -x 50 -y 12
	until_true 20 shows '^site 3f9c2a7e RUNNING .*HOST_PRIMARY_ROL[A-Z]*$'
	until_true 20 eval '[ "$(screen | grep -c "^site ")" -eq 1 ]'
	tm resize-window -x 120 -y 12
	until_true 20 shows '^site 3f9c2a7e RUNNING .*web-1: healthy'
	[ "$(screen | grep -c ' deployments: ')" -eq 1 ]
}

@test "report -t, terminal: hostile names and logs change nothing on it" {
	terminal 100 30
	cat "$BATS_TEST_DIRNAME/golden/hostile.in" >&5
	exec 5>&-
	until_true 20 shows '^end 0$'
	shows '^a\\x1b\[2Jpp_name 3f9c2a7e FAILURE'
	[ "$(tm display-message -p '#{pane_title}')" != owned ]
}

@test "report -t, terminal: TERM=dumb has plain lines" {
	terminal 100 40 TERM=dumb
	cat "$in" >&5
	exec 5>&-
	until_true 20 shows '^end 0$'
	shows '^2023-11-14T22:13:23Z site 3f9c2a7e RUNNING$'
}

@test "report -t, terminal: where it has no UTF-8, marks and names are ASCII" {
	terminal 100 12 LC_ALL=C
	{ head -n 10 "$in"; sed -n 12p "$in"; } | sed 's/"site"/"caf\\u00e9"/' >&5
	until_true 20 shows '^caf\? +3f9c2a7e RUNNING +\[\+>\] '
}
