# A store with records, and pipecd-ops -1 on it.
ops_setup() {
	A=$BATS_TEST_TMPDIR S=$BATS_TEST_TMPDIR/state F=$BATS_TEST_TMPDIR/cp.yaml
	NOW=$(date +%s)
	ops_conf ''
}
ops_conf() {
	cat >"$F" <<-EOF
	apiVersion: pipecd.dev/v1beta1
	kind: ControlPlane
	spec:
	  stateDir: $S
	  address: 127.0.0.1:0
	  adminAddress: 127.0.0.1:0
	$1
	EOF
}
ops() { "$BIN/pipecd-ops" -f "$F" -1 "$@" 2>>"$A/err"; }
load_table() { "$BIN/pipecd-store" -f "$F" -l "$1" 2>>"$A/err" || { cat "$A/err"; return 1; }; }
dump() { "$BIN/pipecd-store" -f "$F" -d "$1" 2>>"$A/err"; }
# field TABLE ID FILTER
field() { dump "$1" | jq -r --arg id "$2" "select(.id==\$id)|$3"; }
ids() { dump "$1" | jq -r .id | sort | tr '\n' ' '; }

# deployment ID APP STATUS COMMIT COMPLETED_AGO [MORE]: completed so many seconds ago
deployment() {
	local at=$((NOW - $5)) done=$((NOW - $5))
	case $3 in SUCCESS | FAILURE | CANCELLED) ;; *) done=0 ;; esac
	printf '{"id":"%s","application_id":"%s","application_name":"%s","piped_id":"p1","project_id":"demo","status":"%s","completed_at":%d,"created_at":%d,"updated_at":%d,"git_path":{"repo":{"id":"r"},"path":"a"},"trigger":{"commit":{"hash":"%s","message":"m","author":"a","branch":"main","created_at":%d},"timestamp":%d}%s}\n' \
		"$1" "$2" "$2" "$3" "$done" "$((at - 60))" "$at" "$4" "$((at - 100))" "$((at - 60))" "${6:-}"
}
# application ID [MORE]
application() {
	printf '{"id":"%s","name":"%s","piped_id":"p1","project_id":"demo","kind":"KUBERNETES","git_path":{"repo":{"id":"r"},"path":"a"},"created_at":1,"updated_at":%d%s}\n' "$1" "$1" "$NOW" "${2:-}"
}
project() { printf '{"id":"%s","static_admin":{"username":"admin","password_hash":"%s"},"created_at":1,"updated_at":1}\n' "$1" '$2a$10$ye96mUqUqTnjUqgwQJbJzel/LJibRhUnmzyypACkvrTSnQpVFZ7qK'; }
