# The real programs under piped: they work, and are locked down.
setup() {
	load ../lib/common
	load ../lib/agent
	agent_new "$BATS_TEST_TMPDIR/agent" 1
	agent_app site
	repo_commit "$REPO" one
	agent_start
}
teardown() { agent_stop; }

status_of() { sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status"; }
pid_of() { piped -s -f "$CONF" --json | jq ".programs[]|select(.name==\"$1\").pid"; }

@test "the programs of a running agent have no new privileges and a filter" {
	for p in plan drift exec gitwatch; do
		pid=$(pid_of $p)
		[ "$(status_of "$pid" NoNewPrivs)" = 1 ]
		[ "$(status_of "$pid" Seccomp)" = 2 ]
	done
}

@test "programs that root has started keep nothing of root but files" {
	[ "$(id -u)" = 0 ] || return 0 # there is nothing to give up
	for p in plan drift gitwatch; do
		caps=$((16#$(status_of "$(pid_of $p)" CapEff)))
		# CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, KILL
		[ $((caps & ~0x2f)) = 0 ]
	done
}

@test "a confined agent deploys" {
	until_true 20 test -e "$ROOTS/web-1/site/current/index.html"
	[ "$(cat "$ROOTS/web-1/site/current/index.html")" = site ]
}
