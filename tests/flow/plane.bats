# The control plane as a whole: what is installed and started is what is asked.
load ../lib/common
load ../lib/pipecd

setup() {
	A=$BATS_TEST_TMPDIR S=$BATS_TEST_TMPDIR/state
	mkdir -p "$A/bin"
	ln -s "$BIN"/pipecd* "$BIN/pipectl" "$A/bin/"
	control_write "  projects: [{id: demo}]"
}
teardown() { pipecd_teardown; }

# key piped|api: make one
keys() {
	pipectl --local "$S" piped add --project demo --name web -o json >"$A/piped.json"
	pipectl --local "$S" apikey add --project demo --name ci --role READ_WRITE -o json >"$A/api.json"
	jq -r .key "$A/api.json" >"$A/key"
}
ask() { pipectl --address "$(address_of "${AT:-main}")" --insecure --api-key-file "$A/key" "$@"; }
# says STATUS PATH [SOCKET]: HTTP's answer
code() {
	python3 - "$(address_of "${2:-main}")" "$1" <<-'EOF'
	import http.client, sys
	c = http.client.HTTPConnection(sys.argv[1], timeout=10)
	c.request("GET", sys.argv[2])
	print(c.getresponse().status)
	EOF
}

@test "plane: an empty directory is a working control plane, on one port" {
	pipecd_start; pipecd_ready
	[ "$(code /readyz) $(code /readyz admin) $(code /healthz) $(code /metrics admin)" = "200 200 200 200" ]
	keys
	[ "$(ask piped get --piped-id "$(jq -r .id "$A/piped.json")" | jq -r .name)" = web ]
	echo wrong >"$A/key"
	run -100 ask application list
}

@test "plane: keys that are made while it does not run are good when it does" {
	pipecd-ops -f "$A/control-plane.yaml" -1 projects 2>"$A/ops.err"
	keys
	pipecd_start; pipecd_ready
	[ "$(ask piped get --piped-id "$(jq -r .id "$A/piped.json")" | jq -r .name)" = web ]
}

@test "plane: PipeCD's ports answer as the main one does" {
	pipecd_start --piped-api-port 0 --web-api-port 0 --api-port 0 --http-port 0; pipecd_ready
	keys
	for AT in main piped-api web-api api http; do
		[ "$(ask application list -o json | jq -c .)" = "{}" ]
		[ "$(code /readyz $AT)" = 200 ]
	done
}

@test "plane: a call that comes while api is started again is answered, and store's restart is not noticed" {
	pipecd_start; pipecd_ready; keys
	for p in api store; do
		for _ in 1 2 3; do
			kill -9 "$(pid_of $p)"
			[ "$(ask application list -o json | jq -c .)" = "{}" ]
		done
		until_true 10 is_state ready
	done
}

cert() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$A/key.pem.new" -out "$A/cert.pem.new" -days 2 -subj "/CN=$1" -addext 'subjectAltName=IP:127.0.0.1' 2>/dev/null; mv "$A/key.pem.new" "$A/key.pem"; mv "$A/cert.pem.new" "$A/cert.pem"; }
shown() { openssl s_client -connect "$(address_of main)" </dev/null 2>/dev/null | openssl x509 -noout -subject; }

@test "plane: with TLS, and a new certificate after SIGHUP without another process" {
	cert one
	control_write "  projects: [{id: demo}]
  tls: {certFile: $A/cert.pem, keyFile: $A/key.pem}"
	pipecd_start; pipecd_ready; keys
	ask_tls() { pipectl --address "$(address_of main)" --cert-file "$A/cert.pem" --api-key-file "$A/key" "$@"; }
	[ "$(ask_tls application list -o json | jq -c .)" = "{}" ]
	run ! ask application list
	[[ $(shown) == *one* ]]
	api=$(pid_of api)
	cert two
	kill -HUP "$PIPECD"
	until_true 5 eval '[[ $(shown) == *two* ]]'
	[ "$(pid_of api)" = "$api" ]
	[ "$(ask_tls application list -o json | jq -c .)" = "{}" ]
}

@test "plane: a backup in the place of the state directory is the same control plane" {
	pipecd_start; pipecd_ready; keys
	pipecd-store -f "$A/control-plane.yaml" -b "$A/backup" 2>"$A/backup.err"
	kill "$PIPECD"; wait "$PIPECD"; PIPECD=
	rm -rf "$S"; mv "$A/backup" "$S"
	: >"$A/err"; pipecd_start; pipecd_ready
	[ "$(ask piped get --piped-id "$(jq -r .id "$A/piped.json")" | jq -r .name)" = web ]
	kill "$PIPECD"; wait "$PIPECD"; PIPECD=
	run -0 pipecd-store -f "$A/control-plane.yaml" -V
}

@test "plane: api may write nothing and start nothing, and no program can read another's slice" {
	pipecd_start; pipecd_ready
	for p in api ops store; do
		pid=$(pid_of $p)
		grep -q '^NoNewPrivs:.1' "/proc/$pid/status" || [ $p = store ]
		grep -q '^Seccomp:.2' "/proc/$pid/status" || [ $p = store ]
	done
	# Sockets are handed to api alone.
	listening() { ls -l "/proc/$1/fd" 2>/dev/null | grep -c 'socket:' || :; }
	main=$(address_of main)
	inode=$(awk -v p="$(printf ':%04X$' "${main##*:}")" '$2 ~ p && $4 == "0A" { print $10 }' /proc/net/tcp)
	has() { ls -l "/proc/$1/fd" | grep -q "socket:\[$inode\]"; }
	has "$(pid_of api)"
	run ! has "$(pid_of ops)"
	run ! has "$(pid_of store)"
}
