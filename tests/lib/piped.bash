# An agent of fakes: piped copied to $A/bin, with siblings that say "ready",
# note in $A/log what happens to them and end on SIGTERM.  $S is its stateDir.
piped_setup() {
	A=$BATS_TEST_TMPDIR S=$BATS_TEST_TMPDIR/state
	mkdir -p "$A/bin"
	cp "$BIN/piped" "$A/bin/"
	for p in plan drift exec gitwatch gitwatch-checkout exec-script exec-host; do
		fake_program "pipecd-$p"
	done
	conf_write
	export TMPDIR=$A
}

# What a fake does: see the files it looks for.
fake_program() {
	cat >"$A/bin/$1" <<-'EOF'
	#!/bin/sh
	n=${0##*/}
	trap 'echo "term $n" >>"$TMPDIR/log"; [ -e "$TMPDIR/deaf.$n" ] || exit 0' TERM
	echo "start $n $*" >>"$TMPDIR/log"
	[ ! -e "$TMPDIR/crash.$n" ] || exit "$(cat "$TMPDIR/crash.$n")"
	[ -e "$TMPDIR/late.$n" ] || if [ -n "$PIPECD_READY" ]; then echo >&4; fi
	exec 4>&-
	[ ! -e "$TMPDIR/brief.$n" ] || exit 0
	while :; do sleep 1000 & wait $!; done
	EOF
	chmod 755 "$A/bin/$1"
}

# conf_write [password]
conf_write() {
	cat >"$A/piped.yaml" <<-EOF
	apiVersion: pipecd.dev/v1beta1
	kind: Piped
	spec:
	  stateDir: $S
	  git:
	    username: dev
	    password: ${1:-c2VjcmV0}
	  plugins:
	  - name: host
	${2:-}
	EOF
}

piped_start() {
	"$A/bin/piped" -v -f "$A/piped.yaml" "$@" 2>>"$A/err" 3>&- &
	PIPED=$!
}

piped_ready() { until_true 10 grep -q ' ready stateDir' "$A/err"; }
piped_ask() { echo "$*" >"$A/ask"; }
answer() { until_true 10 grep -q "$1" "$A/answers" || { cat "$A/answers" "$A/err"; return 1; }; }

# pid_of NAME: a daemon's, from the status file
pid_of() { "$A/bin/piped" -s -f "$A/piped.yaml" --json | jq ".programs[]|select(.name==\"$1\").pid"; }
gone() { [ ! -d "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status"; }
starts() { grep -c "^start pipecd-$1 " "$A/log"; }
started() { [ "$(starts "$1")" -ge "$2" ]; }

piped_teardown() {
	[ -z "${PIPED:-}" ] || { kill "$PIPED" 2>/dev/null; kill "$PIPED" 2>/dev/null; wait "$PIPED" 2>/dev/null; } || :
}
