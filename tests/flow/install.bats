# What `make install` lays out, used from there.
setup_file() {
	load ../lib/common
	export INSTALLED=$BATS_FILE_TMPDIR/root
	local objects=${TESTBIN#"$ROOT"/} san=
	case $objects in build/san/*) san=SAN=1 ;; esac
	# Of what this run tests, so that nothing is built twice; and with a
	# umask that must not show.
	(
		umask 077
		env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS make -s -C "$ROOT" $san O="${objects%/tests}" BIN="${BIN#"$ROOT"/}" \
			install DESTDIR="$INSTALLED" PREFIX=/usr >"$BATS_FILE_TMPDIR/log" 2>&1 3>&-
	) || { cat "$BATS_FILE_TMPDIR/log"; return 1; }
}
setup() {
	load ../lib/common
	load ../lib/agent
	PATH=$INSTALLED/usr/bin:/usr/local/bin:/usr/bin:/bin
	agent_new "$BATS_TEST_TMPDIR/agent" 1
	agent_app site
}

@test "install: what is installed brings a commit to its target" {
	[ "$(command -v pipecd-plan)" = "$INSTALLED/usr/bin/pipecd-plan" ]
	run -0 pipecd-plan -n "$REPO/site/app.pipecd.yaml"
	run -0 piped -n -f "$CONF"
	repo_commit "$REPO" first
	run -0 agent_pipe
	[ "$(cat "$ROOTS/web-1/site/current/index.html")" = site ]
}

@test "install: the installed agent starts all its programs" {
	repo_commit "$REPO" first
	agent_start
	until_true 30 test -e "$ROOTS/web-1/site/current/index.html"
	agent_stop
}

@test "install: every program and format has its page, everything can be read by all" {
	cd "$INSTALLED/usr"
	for p in bin/*; do [ -s "share/man/man1/${p#bin/}.1" ] || { echo "$p"; return 1; }; done
	for p in piped.yaml app.pipecd.yaml control-plane.yaml pipecd-frames pipecd-journal; do
		[ -s "share/man/man5/$p.5" ] || { echo "$p"; return 1; }
	done
	[ -z "$(find . ! -perm -444 ; find . -type d ! -perm -555)" ]
	[ -x share/pipecd/examples/platforms/pipecd-exec-echo ]
	run -0 pipecd -n -f share/pipecd/examples/control-plane.yaml
}

@test "install: schemas are JSON Schemas, the units start what is installed" {
	cd "$INSTALLED/usr"
	for s in share/pipecd/schema/*.json; do
		jq -e '."$schema" and .title' "$s" >/dev/null || { echo "$s"; return 1; }
	done
	[ -s share/pipecd/schema/Piped.json ]
	grep -q '^ExecStart=/usr/bin/piped ' lib/systemd/system/piped.service
	[ -s share/pipecd/schema/ControlPlane.json ]
	grep -q '^ExecStart=/usr/bin/pipecd ' lib/systemd/system/pipecd.service
	! grep -rq "$INSTALLED\|$ROOT" lib share
}
