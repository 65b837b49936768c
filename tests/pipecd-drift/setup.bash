# A bin directory of our own with the real pipecd-drift, and a platform and a
# checkout that are made up beside it.
drift_setup() {
	t=$BATS_TEST_TMPDIR
	mkdir -m 700 "$t/bin" "$t/state"
	cp "$BIN/pipecd-drift" "$t/bin/"
	cp "$BATS_TEST_DIRNAME/fake-platform" "$t/bin/pipecd-exec-fake"
	cp "$BATS_TEST_DIRNAME/fake-checkout" "$t/bin/pipecd-gitwatch-checkout"
	chmod -R go-w "$t/bin"
	cat >"$t/piped.yaml" <<-E
	apiVersion: pipecd.dev/v1beta1
	kind: Piped
	spec:
	  stateDir: $t/state
	  syncInterval: ${1:-60s}
	  repositories: [{repoId: web, remote: file:///nowhere, branch: main}]
	  plugins: [{name: fake, deployTargets: [{name: t-1, config: {}}, {name: t-bad, config: {}}]}]
	E
	commit=c0ffee12c0ffee12c0ffee12c0ffee12c0ffee12
}

model() { printf '{"id":"id-%s","name":"%s","piped_id":"p","project_id":"p","git_path":{"repo":{"id":"web"},"path":"%s","config_filename":"app.pipecd.yaml"},"created_at":1,"updated_at":1}' "$1" "$1" "$1"; }
# app NAME [TARGETS [MORE]]: an app frame
app() { frame app "\"application\":$(model "$1"),\"commit\":\"$commit\",\"plugins\":[{\"plugin\":\"fake\",\"config\":{},\"targets\":[${2:-}]}]${3:-}"; }
past() { frame past "\"application_id\":\"id-$1\",\"repo\":\"web\",\"path\":\"$1\",\"config_filename\":\"app.pipecd.yaml\",\"deployment_id\":\"dep-$1\",\"status\":\"$2\""; }
state() { jq -r "select(.kind==\"app_state\" and .application_id==\"id-$1\")|.sync_state.status // \"UNKNOWN\"" "$t/out"; }
brief() { jq -r "select(.kind==\"app_state\" and .application_id==\"id-$1\")|.sync_state.short_reason" "$t/out"; }
