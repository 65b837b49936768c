load ../lib/common
load ../lib/piped

setup() { piped_setup; }
teardown() { piped_teardown; }

@test "-s prints the state of every program as text and as JSON" {
	piped_start; piped_ready
	run -0 "$A/bin/piped" -s -f "$A/piped.yaml"
	[[ "${lines[0]}" == "piped pid $PIPED: ready, up "*", config $A/piped.yaml" ]]
	for p in plan drift exec gitwatch; do
		[[ "$output" == *$'\n'"$p "*"ready "*" pid "* ]]
	done
	run -0 "$A/bin/piped" -s -f "$A/piped.yaml" --json
	[ "$(jq -r '[.programs[]|.name]|sort|join(" ")' <<<"$output")" = "drift exec gitwatch plan" ]
	[ "$(jq -r '[.programs[]|.state]|unique|join(" ")' <<<"$output")" = ready ]
	[ "$(jq .pid <<<"$output")" = "$PIPED" ]
	[ "$(stat -c %a "$S/run/status.json")" = 600 ]
}

@test "-s says 111 where no piped runs, also after a kill -9" {
	run -111 "$A/bin/piped" -s -f "$A/piped.yaml"
	[[ "$output" == *"piped does not run"* ]]
	piped_start; piped_ready
	kill -9 "$PIPED"; wait "$PIPED" 2>/dev/null || :
	run -111 "$A/bin/piped" -s -f "$A/piped.yaml"
}

@test "-n prints what reads as the same again, and exits 0" {
	run -0 "$A/bin/piped" -n -f "$A/piped.yaml"
	[[ "$output" == *"stateDir: $S"* ]]
	echo "$output" >"$A/again.yaml"
	run -0 "$A/bin/piped" -n -f "$A/again.yaml"
	diff "$A/again.yaml" <(echo "$output")
}

@test "-n exits 1 for a config that is refused, and 100 for one it cannot read" {
	printf 'apiVersion: pipecd.dev/v1beta1\nkind: Piped\nspec:\n  syncInterval: soon\n' >"$A/bad.yaml"
	run -1 --separate-stderr "$A/bin/piped" -n -f "$A/bad.yaml"
	[ -z "$output" ]
	[[ "$stderr" == *"bad.yaml:4:"*"syncInterval"* ]]
	[ "$(grep -c 'syncInterval' <<<"$stderr")" = 1 ]
	run -100 "$A/bin/piped" -n -f "$A/absent.yaml"
	[[ "$output" == *"absent.yaml: No such file"* ]]
	run -100 "$A/bin/piped" -f "$A/bad.yaml"
}

@test "the door to a control plane is started where the config names one" {
	fake_program pipecd-report
	conf_write c2VjcmV0 "  apiAddress: pipecd.example.com:443
  projectID: p
  pipedID: i
  pipedKeyData: a2V5"
	"$A/bin/piped" -f "$A/piped.yaml" 2>"$A/err" 3>&- &
	pid=$!
	until_true 20 grep -q '^start pipecd-report -b ' "$A/log"
	kill "$pid"
	wait "$pid" || true
}

@test "options that it does not have are a usage error" {
	run -100 "$A/bin/piped" -x
	[[ "$output" == *"usage: piped"* ]]
	run -100 "$A/bin/piped" -g soon
	run -100 "$A/bin/piped" --json
}

@test "systemd is told of readiness, reload and stopping" {
	python3 -c "
import socket,sys
s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM); s.bind('$A/notify')
open('$A/bound','w')
while True:
	m=s.recv(4096).decode(); open('$A/notes','a').write(m.replace('\n',' ')+'\n')
	if 'STOPPING' in m: break
" 3>&- &
	until_true 5 test -e "$A/bound"
	NOTIFY_SOCKET=$A/notify WATCHDOG_USEC=100000 piped_start; piped_ready
	until_true 5 grep -q '^READY=1 STATUS=all programs run' "$A/notes"
	until_true 5 grep -q '^WATCHDOG=1' "$A/notes"
	kill -HUP "$PIPED"
	until_true 5 grep -q '^RELOADING=1 MONOTONIC_USEC=' "$A/notes"
	kill "$PIPED"; wait "$PIPED"; PIPED=
	until_true 5 grep -q '^STOPPING=1' "$A/notes"
	run ! grep -q NOTIFY_SOCKET "$A/err"
}

# plugins YAML: the config with these plugins and none else
plugins() { printf 'apiVersion: pipecd.dev/v1beta1\nkind: Piped\nspec:\n  stateDir: %s\n  plugins:\n%s\n' "$S" "$1" >"$A/p.yaml"; }

@test "-n refuses a plugin that is nowhere, one without a pin, and says where it looked" {
	plugins '    - {name: nowhere}
    - {name: unpinned, url: "file:///bin/true"}
    - {name: fetched, url: "https://example.com/x", sha256: "'"$(printf '0%.0s' {1..64})"'"}
    - {name: other, url: "file:///bin/true", sha256: "'"$(printf '0%.0s' {1..64})"'"}'
	run -1 --separate-stderr "$A/bin/piped" -n -f "$A/p.yaml"
	[ -z "$output" ]
	[[ "$stderr" == *"p.yaml: plugin nowhere: pipecd-exec-nowhere: not found in $A/bin, nor in $A/bin/../libexec/pipecd"* ]]
	[[ "$stderr" == *"p.yaml: plugin unpinned: url file:///bin/true: sha256 is missing"* ]]
	[[ "$stderr" == *"p.yaml: plugin fetched: "*"only file:// is supported yet"* ]]
	[[ "$stderr" == *"p.yaml: plugin other: "*"not run"* ]]
	run -100 "$A/bin/piped" -f "$A/p.yaml"
	plugins '    - {name: pinned, url: "file:///bin/true", sha256: '"$(sha256sum </bin/true | cut -d' ' -f1)"'}'
	run -0 "$A/bin/piped" -n -f "$A/p.yaml"
}

@test "-n says which of PipeCD's platforms this build does not have, and takes the rest" {
	plugins '    - {name: cloudrun}'
	run -0 --separate-stderr "$A/bin/piped" -n -f "$A/p.yaml"
	[[ "$stderr" == *"plugin cloudrun: this build has no such platform yet"* ]]
}

@test "a state directory that is no absolute path is refused" {
	sed -i 's,stateDir: .*,stateDir: here,' "$A/piped.yaml"
	run -1 "$A/bin/piped" -n -f "$A/piped.yaml"
	[[ "$output" == *'stateDir: "here" is not an absolute path'* ]]
}
