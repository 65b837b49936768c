# What the tests of exec share: exec in a directory of its own, with fakes of
# checkout and of the host platform beside it.  The fake stage does what its
# config says ({"do":"ok"}) and appends to $T/count, the oracle outside exec.

# exec_new ["more spec lines"]: sets T, STATE, CONF, EXEC
exec_new() {
	T=$BATS_TEST_TMPDIR/t STATE=$BATS_TEST_TMPDIR/t/state CONF=$BATS_TEST_TMPDIR/t/piped.yaml
	EXEC=$T/bin/pipecd-exec
	mkdir -p "$T/bin"
	cp "$BIN/pipecd-exec" "$T/bin/"
	cp "$BATS_TEST_DIRNAME/fake-stage" "$T/bin/pipecd-exec-host"
	cp "$BATS_TEST_DIRNAME/fake-stage" "$T/bin/pipecd-exec-script"
	cp "$BATS_TEST_DIRNAME/fake-checkout" "$T/bin/pipecd-gitwatch-checkout"
	chmod 755 "$T/bin"/*
	: >"$T/count"
	printf 'apiVersion: pipecd.dev/v1beta1\nkind: Piped\nspec:\n  stateDir: %s\n  repositories:\n    - {repoId: web, remote: /nonexistent, branch: main}\n  plugins:\n    - {name: host, deployTargets: [{name: web-1, config: {root: %s/root}}]}\n%s\n' \
		"$STATE" "$T" "${1:-}" >"$CONF"
}

COMMIT=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
RUNNING=bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb

# stage ID NAME CONFIG ['"more":"of the plan"']: adds one to $STAGES, $PLANS
stages() { STAGES='' PLANS=''; }
stage() {
	local program=host rb=
	case $2 in
	WAIT*) program='exec' ;;
	SCRIPT*) program=script ;;
	esac
	case $2 in *ROLLBACK) rb=',"rollback":true' ;; esac
	STAGES+="${STAGES:+,}{\"id\":\"$1\",\"name\":\"$2\"$rb}"
	PLANS+="${PLANS:+,}{\"id\":\"$1\",\"program\":\"$program\",\"config\":$3${4:+,$4}}"
}

# deployment ID APP [STATUS] ['"more":of the model'] ['"more":of the plan'] : one line
deployment() {
	local commit=${D_COMMIT:-$COMMIT} running=
	[ -z "${D_RUNNING-$RUNNING}" ] || running=",\"running_commit_hash\":\"${D_RUNNING-$RUNNING}\""
	printf '{"v":1,"kind":"deployment","deployment":{"id":"%s","application_id":"%s","application_name":"%s","git_path":{"repo":{"id":"web"},"path":"%s","config_filename":"app.pipecd.yaml"},"trigger":{"commit":{"hash":"%s","message":"m","author":"a","branch":"main","created_at":1700000000},"timestamp":%s}%s,"status":"%s","stages":[%s]%s}' \
		"$1" "$2" "$2" "$2" "$commit" "${D_AT:-1700000001}" "$running" "${3:-PLANNED}" "$STAGES" "${4:+,$4}"
	[ "${3:-PLANNED}" = PENDING ] || printf ',"plan":{"plugins":[{"plugin":"host","config":{},"targets":["web-1"]}],"stages":[%s],"trigger_id":"%s"%s}' "$PLANS" "${D_TRIGGER:-$commit}" "${5:+,$5}"
	printf '}\n'
}

# status ID: the final status in the output file $T/out
status() { jq -r --arg d "$1" 'select(.kind=="deployment" and .deployment.id==$d)|.deployment.status' "$T/out" | tail -n 1; }
reason() { jq -r --arg d "$1" 'select(.kind=="deployment" and .deployment.id==$d)|.deployment.status_reason // ""' "$T/out" | tail -n 1; }
statuses() { jq -r --arg d "$1" 'select(.kind=="deployment" and .deployment.id==$d)|.deployment.status' "$T/out" | tr '\n' ' '; }
# stage_status ID STAGE
stage_status() { jq -r --arg d "$1" --arg s "$2" 'select(.kind=="stage_done" and .deployment_id==$d and .stage_id==$s)|.status' "$T/out" | tail -n 1; }
stage_reason() { jq -r --arg d "$1" --arg s "$2" 'select(.kind=="stage_done" and .deployment_id==$d and .stage_id==$s)|.reason' "$T/out" | tail -n 1; }
# counted DEPLOYMENT STAGE: how often the fake ran it
counted() { grep -c "^$1 $2\$" "$T/count" || true; }

# exec_bg: exec in the background, its stdin a fifo held open as fd $IN
exec_bg() {
	rm -f "$T/in"
	mkfifo "$T/in"
	"$EXEC" -f "$CONF" <"$T/in" >>"$T/out" 2>>"$T/err" 3>&- &
	PID=$!
	exec {IN}>"$T/in"
}
exec_end() { exec {IN}>&-; wait "$PID"; }

# said KIND [jq condition]: whether exec said such a frame
said() { [ -n "$(jq -c --arg k "$1" "select(.kind==\$k and (${2:-true}))" "$T/out" 2>/dev/null)" ]; }

# ask USER-COMMAND JSON: one command over the socket; prints the answer
ask() { python3 "$BATS_TEST_DIRNAME/ask" "$STATE/run/exec.sock" "$1"; }
command_frame() { printf '{"v":1,"kind":"command","id":"q1","command":{"id":"x","type":"%s","deployment_id":"%s","commander":"mallory"%s}}' "$1" "$2" "${3:+,\"stage_id\":\"$3\"}"; }
