load ../lib/common
load ../lib/api

D=$BATS_FILE_TMPDIR/cp
setup_file() { api_setup "$D"; }
teardown_file() { api_end "$D"; }
setup() { api_again "$D"; }

key() { jq -r ".$1" "$D/keys.json"; }
json() { curl -sS -H content-type:application/json ${KEY:+-H "authorization: $KEY"} -d "$2" "http://$API/grpc.service.apiservice.APIService/$1"; }

@test "http: health, readiness, version and metrics are where they are looked for" {
	for at in "$API" "$ADMIN"; do
		[ "$(curl -fsS "http://$at/healthz")" = ok ]
		[ "$(curl -fsS "http://$at/readyz")" = ok ]
		[ -n "$(curl -fsS "http://$at/version")" ]
	done
	[ "$(curl -s -o /dev/null -w '%{http_code}' "http://$API/metrics")" = 404 ]
	[ "$(curl -s -o /dev/null -w '%{http_code}' -X PUT "http://$ADMIN/healthz")" = 405 ]
	KEY=$(key ours.key_ro) json ListDeployments '{}' >/dev/null
	curl -fsS "http://$ADMIN/metrics" >"$BATS_TEST_TMPDIR/m"
	grep -q '^grpc_server_handled_total{grpc_code="OK",grpc_method="ListDeployments",grpc_service="grpc.service.apiservice.APIService",grpc_type="unary",pipecd_component="server"} 1$' "$BATS_TEST_TMPDIR/m"
	grep -q '^grpc_server_handling_seconds_count{grpc_method="ListDeployments",.*} 1$' "$BATS_TEST_TMPDIR/m"
	grep -q '^http_requests_total{code="200",method="GET",path="/healthz",pipecd_component="server"} 2$' "$BATS_TEST_TMPDIR/m"
	grep -q '^pipecd_api_store_up{pipecd_component="server"} 1$' "$BATS_TEST_TMPDIR/m"
	grep -q '^pipecd_store{name="records.piped"} [0-9]' "$BATS_TEST_TMPDIR/m"
	# Each line is one of Prometheus' text form, each name has one TYPE.
	! grep -vE '^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? [0-9.e+-]+)$' "$BATS_TEST_TMPDIR/m"
	[ -z "$(grep '^# TYPE' "$BATS_TEST_TMPDIR/m" | cut -d' ' -f3 | sort | uniq -d)" ]
}

@test "http: the same methods are JSON over POST, with camelCase and words for codes" {
	KEY=$(key ours.key_rw)
	id=$(json RegisterPiped '{"name":"json"}' | jq -r .id)
	json GetPiped '{"pipedId":"'"$id"'"}' | jq -e '.piped | .projectId == "ours" and .name == "json" and (.createdAt | tonumber) > 1600000000'
	[ "$(json GetPiped '{"pipedId":"none"}' | jq -r .code)" = not_found ]
	[ "$(json GetPiped '{}' | jq -r '.code + ": " + .message')" = "invalid_argument: piped_id: must not be empty" ]
	KEY=$(key ours.key_ro)
	[ "$(json RegisterPiped '{"name":"json"}' | jq -r .code)" = permission_denied ]
	KEY=
	[ "$(json GetPiped '{"pipedId":"x"}' | jq -r .code)" = unauthenticated ]
}

@test "http: PipeCD's older prefix is answered too" {
	curl -fsS -H content-type:application/json -H "authorization: $(key ours.key_ro)" -d '{}' "http://$API/pipe.api.service.apiservice.APIService/ListApplications" | jq -e type
}

@test "http: a key made, rotated or disabled counts from that moment on" {
	[ "$(call '{"m":"api/ListApplications","auth":"off"}' | jq -r '.code + ": " + .message')" = "PERMISSION_DENIED: The API key is disabled" ]
	a=$(key ours.piped_b)
	new=$(call '{"m":"operator/RecreatePipedKey","auth":"rw","req":{"id":"ours-piped-b"}}' | jq -r .res.key)
	# Two keys are good, then the newer one, and a third is one too many.
	run -0 calls <<-X
	{"m":"piped/ReportStat","auth":"$a"}
	{"m":"piped/ReportStat","auth":"PIPED-TOKEN ours,ours-piped-b,$new"}
	{"m":"operator/RecreatePipedKey","auth":"rw","req":{"id":"ours-piped-b"}}
	{"m":"operator/DeleteOldPipedKeys","auth":"rw","req":{"piped_id":"ours-piped-b"}}
	{"m":"piped/ReportStat","auth":"$a"}
	{"m":"piped/ReportStat","auth":"PIPED-TOKEN ours,ours-piped-b,$new"}
	X
	[ "$(jq -rs 'map(.code) | join(" ")' <<<"$output")" = "OK OK FAILED_PRECONDITION OK UNAUTHENTICATED OK" ]
}

@test "http: while the store is away calls are UNAVAILABLE, and then go on" {
	[ "$(call '{"m":"api/ListApplications","auth":"ro"}' | jq -r .code)" = OK ]
	kill -STOP "$(cat "$D/store.pid")"
	one_end "$D/store.pid" -KILL
	[ "$(curl -s -o /dev/null -w '%{http_code}' "http://$ADMIN/readyz")" = 503 ]
	[ "$(curl -s -o /dev/null -w '%{http_code}' "http://$ADMIN/healthz")" = 200 ]
	[ "$(call '{"m":"api/RegisterPiped","auth":"rw","req":{"name":"x"},"timeout":3}' | jq -r .code)" != OK ]
	store_start "$D"
	until_true 10 curl -fs -o "$BATS_TEST_TMPDIR/r" "http://$ADMIN/readyz"
	[ "$(call '{"m":"api/ListApplications","auth":"ro"}' | jq -r .code)" = OK ]
}

@test "http: what is asked while the store is started again is answered by the next one" {
	one_end "$D/store.pid" -KILL
	call '{"m":"api/ListApplications","auth":"ro"}' >"$BATS_TEST_TMPDIR/out" 3>&- &
	pid=$!
	until_true 10 eval '[ "$(curl -s "http://$ADMIN/metrics" | sed -n "s/^pipecd_api_calls{.*} //p")" -ge 1 ]'
	store_start "$D"
	wait $pid
	[ "$(jq -r .code "$BATS_TEST_TMPDIR/out")" = OK ]
}

@test "http: with a certificate everything is TLS, and SIGHUP reads it again" {
	T=$BATS_TEST_TMPDIR/tls
	mkdir "$T"
	cert() { openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=$1" -addext subjectAltName=IP:127.0.0.1 -keyout "$T/key" -out "$T/cert" 2>/dev/null; }
	cert one
	api_files "$T/cp" "$(printf 'tls:\n  certFile: %s\n  keyFile: %s' "$T/cert" "$T/key")"
	store_start "$T/cp"
	saved="$API $ADMIN"
	api_start "$T/cp"
	[ "$(curl -fsS --cacert "$T/cert" "https://$API/healthz")" = ok ]
	subject() { openssl s_client -connect "$API" </dev/null 2>/dev/null | openssl x509 -noout -subject; }
	[ "$(subject)" = "subject=CN = one" ]
	cert two
	kill -HUP "$(cat "$T/cp/api.pid")"
	until_true 10 eval '[ "$(subject)" = "subject=CN = two" ]'
	echo nonsense >"$T/cert"
	kill -HUP "$(cat "$T/cp/api.pid")"
	until_true 10 grep -q 'certificate kept' "$T/cp/api.log"
	[ "$(subject)" = "subject=CN = two" ]
	api_end "$T/cp"
	read -r API ADMIN <<<"$saved"
}

@test "http: the configuration is checked with -n, and methods are listed with -l" {
	run -0 pipecd-api -n -f "$D/control.yaml"
	sed 's/kind: ControlPlane/kind: Piped/' "$D/control.yaml" >"$BATS_TEST_TMPDIR/bad.yaml"
	run -1 pipecd-api -n -f "$BATS_TEST_TMPDIR/bad.yaml"
	[ "$(pipecd-api -l | wc -l)" -eq "$(grep -c '^METHOD' "$ROOT/src/pipecd-api/methods.def")" ]
	run -100 pipecd-api -x
}
