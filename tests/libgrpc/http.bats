# What else the port of libgrpc answers: JSON, gRPC-Web, pages, events; over
# HTTP/1.1 and HTTP/2, with curl, python and by hand.
load ../lib/common
load ../lib/grpc

setup() { grpc_server; }
teardown() { grpc_server_stop; }

json() { # METHOD BODY [CURL OPTION...]
	curl -s -H 'content-type: application/json' "${@:3}" -d "$2" "http://$A/grpc.service.echo.Echo/$1"
}
status() { curl -s -o /dev/null -w '%{http_code} %{http_version}' "$@"; }
# raw BYTES: what the server answers to these on its plain port
raw() {
	python3 - "$A" "$1" <<-'PY'
		import socket, sys
		host, port = sys.argv[1].rsplit(":", 1)
		s = socket.create_connection((host, int(port)), 5)
		s.sendall(sys.argv[2].encode().decode("unicode_escape").encode("latin1"))
		s.settimeout(5)
		try:
		    while True:
		        b = s.recv(65536)
		        if not b:
		            break
		        sys.stdout.write(b.decode("latin1"))
		except TimeoutError:
		    print("(still open)")
		except ConnectionError:
		    print("(reset)")
	PY
}

@test "a method is asked in JSON, over either HTTP, with TLS or without" {
	run -0 json Get '{"id":"a","remote":"ü","branch":"c","unknown":[1]}'
	[ "$output" = '{"id":"a","remote":"ü","branch":"c"}' ]
	run -0 json Get '{"id":"a"}' --http2-prior-knowledge
	[ "$output" = '{"id":"a"}' ]
	run -0 curl -s --cacert "$CERTS/cert.pem" -H 'content-type: application/json; charset=utf-8' \
		-d '{"id":"tls"}' "https://localhost:${T##*:}/grpc.service.echo.Echo/Echo"
	[ "$output" = '{"id":"tls"}' ]
	run -0 curl -s -X POST -H 'content-type: application/json' "http://$A/grpc.service.echo.Echo/Get"
	[ "$output" = '{}' ]
	run -0 curl -s -H 'content-type: application/json' -d '{"id":"old"}' "http://$A/pipe.api.service.echo.Echo/Get"
	[ "$output" = '{"id":"old"}' ]
}

@test "errors of JSON calls are Connect's, with their HTTP status" {
	run -0 json Fail '{"remote":"5","branch":"no \"such\" thing"}' -w ' %{http_code} %{content_type}'
	[ "$output" = '{"code":"not_found","message":"no \"such\" thing"} 404 application/json' ]
	run -0 json Fail '{"remote":"16","branch":"who?"}' -w ' %{http_code}' --http2-prior-knowledge
	[ "$output" = '{"code":"unauthenticated","message":"who?"} 401' ]
	run -0 json Get '{"id":' -w ' %{http_code}'
	[[ "$output" == '{"code":"invalid_argument","message":"'*byte*'"} 400' ]]
	run -0 json Get '{"id":7}'
	[[ "$output" == '{"code":"invalid_argument","message":"'*id*'"}' ]]
	run -0 json Slow '{"remote":"10000"}' -H 'connect-timeout-ms: 100' -w ' %{http_code}'
	[[ "$output" == '{"code":"deadline_exceeded"'*' 504' ]]
	run -0 json Slow '{"remote":"1"}' -H 'connect-timeout-ms: soon'
	[[ "$output" == *'the timeout is no timeout'* ]]
}

@test "a wrong way to ask for a method is explained" {
	run -0 curl -s -w ' %{http_code}' "http://$A/grpc.service.echo.Echo/Get"
	[[ "$output" == *"POST it"*405 ]]
	run -0 curl -s -w ' %{http_code}' -d x -H 'content-type: text/plain' "http://$A/grpc.service.echo.Echo/Get"
	[[ "$output" == *"content-type is none of"*415 ]]
	run -0 curl -s -w ' %{http_code}' -d x -H 'content-type: application/grpc' --http1.1 "http://$A/grpc.service.echo.Echo/Get"
	[[ "$output" == *"gRPC is spoken over HTTP/2"*415 ]]
	run -0 json Nope '{}'
	[[ "$output" == "no /grpc.service.echo.Echo/Nope here" ]]
}

@test "plain HTTP on a port with TLS is told so" {
	run -0 curl -s -w ' %{http_code}' "http://$T/healthz"
	[[ "$output" == "this port speaks TLS"*400 ]]
}

@test "a stream is server-sent events in JSON" {
	run -0 json Count '{"remote":"2"}' -N
	[ "$output" = 'data: {"id":"1","remote":"2"}

data: {"id":"2","remote":"2"}

event: end
data: {}' ]
	run -0 json CountFail '{"remote":"1"}' -N --http2-prior-knowledge
	[[ "$output" == *'event: error
data: {"code":"failed_precondition","message":"counted to 1"}'* ]]
	# Its reader goes: the handler is told.
	json Tick '{"id":"x"}' -N -m 1 >"$BATS_TEST_TMPDIR/tick" || true
	grep -q '"id":"x"' "$BATS_TEST_TMPDIR/tick"
	until_true 10 grep -q "^gone Tick" "$OUT"
}

@test "a gRPC-Web client gets messages and trailers" {
	run -0 python3 "$ROOT/tests/libgrpc/web.py" "http://$A" Get a b c
	[ "$output" = "message a b c
grpc-status: 0" ]
	run -0 python3 "$ROOT/tests/libgrpc/web.py" "http://$A" Fail a 5 "nö"
	[ "$output" = "grpc-status: 5
grpc-message: n%C3%B6" ]
	run -0 python3 "$ROOT/tests/libgrpc/web.py" "http://$A" Count a 3
	[ "${#lines[@]}" -eq 4 ]
	run -0 python3 "$ROOT/tests/libgrpc/web.py" "http://$A" Nope
	[[ "$output" == "grpc-status: 12"* ]]
	until_true 5 said "call Get web OK"
}

@test "pages are served over HTTP/1.1 and HTTP/2, plain and with TLS" {
	run -0 status "http://$A/healthz"
	[ "$output" = "200 1.1" ]
	run -0 status --http2-prior-knowledge "http://$A/healthz"
	[ "$output" = "200 2" ]
	run -0 status --cacert "$CERTS/cert.pem" "https://localhost:${T##*:}/healthz"
	[ "$output" = "200 2" ]
	run -0 status --cacert "$CERTS/cert.pem" --http1.1 "https://localhost:${T##*:}/healthz"
	[ "$output" = "200 1.1" ]
	run -0 status "http://$A/empty"
	[ "$output" = "204 1.1" ]
	run -0 status -I "http://$A/big"
	[ "$output" = "200 1.1" ]
	run -0 status -I --http2-prior-knowledge "http://$A/big"
	[ "$output" = "200 2" ]
	run -0 status "http://$A/nothing"
	[ "$output" = "404 1.1" ]
	# Two requests on one connection, and a body of chunks.
	run -0 curl -s -w '%{num_connects} ' "http://$A/healthz" "http://$A/healthz"
	[[ "$output" == *"1 "*"0 " ]]
	run -0 curl -s -H 'transfer-encoding: chunked' -d 'in chunks' "http://$A/echo?a=b"
	[ "$output" = "in chunks" ]
	run -0 curl -s -i -d x --http2-prior-knowledge "http://$A/echo?a=b"
	[[ "$output" == *"x-query: a=b"*"x-method: POST"* || "$output" == *"x-method: POST"*"x-query: a=b"* ]]
	head -c 900000 /dev/zero | tr '\0' z >"$BATS_TEST_TMPDIR/big"
	for how in --http1.1 --http2-prior-knowledge; do
		curl -s "$how" -H 'expect: 100-continue' --data-binary "@$BATS_TEST_TMPDIR/big" "http://$A/echo" >"$BATS_TEST_TMPDIR/got"
		cmp "$BATS_TEST_TMPDIR/big" "$BATS_TEST_TMPDIR/got"
	done
}

@test "requests sent in one go are answered in order" {
	run -0 raw 'GET /healthz HTTP/1.1\r\nhost: a\r\n\r\nGET /nothing HTTP/1.1\r\nhost: a\r\n\r\nGET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n'
	[[ "$output" == *"200 OK"*"404 Not Found"*"200 OK"* ]]
	[[ "$output" != *"still open"* ]]
	run -0 raw 'GET /healthz HTTP/1.0\r\n\r\n'
	[[ "$output" == *"200 OK"*"connection: close"*ok* ]]
}

@test "events come as they are sent, and their end is noticed" {
	run -0 curl -s -N "http://$A/events"
	[ "$(grep -c '^event: tick' <<<"$output")" -eq 3 ]
	[[ "$output" == *"id: 3
data: one
data: two"* ]]
	for how in --http1.1 --http2-prior-knowledge; do
		curl -s -N "$how" -m 1 "http://$A/events?stay" >"$BATS_TEST_TMPDIR/events" || true
		[ "$(grep -c '^event: tick' "$BATS_TEST_TMPDIR/events")" -eq 3 ]
	done
	until_true 10 eval '[ "$(grep -c "^gone /events" "$OUT")" -eq 2 ]'
}

@test "what is too long is refused by its size, over either HTTP" {
	head -c 1100000 /dev/zero | tr '\0' z >"$BATS_TEST_TMPDIR/big"
	for how in --http1.1 --http2-prior-knowledge; do
		run -0 curl -s -o /dev/null -w '%{http_code}' "$how" -H 'expect:' --data-binary "@$BATS_TEST_TMPDIR/big" "http://$A/echo"
		[ "$output" = 413 ]
		run -0 curl -s -o /dev/null -w '%{http_code}' "$how" -H 'expect:' -H 'transfer-encoding: chunked' --data-binary "@$BATS_TEST_TMPDIR/big" "http://$A/echo"
		[ "$output" = 413 ]
		run -0 curl -s -o /dev/null -w '%{http_code}' "$how" -H "x-big: $(head -c 20000 "$BATS_TEST_TMPDIR/big")" "http://$A/healthz"
		[ "$output" = 431 ]
	done
	head -c 5000000 /dev/zero | tr '\0' z >"$BATS_TEST_TMPDIR/big"
	run -0 curl -s -H 'expect:' -H 'content-type: application/json' --data-binary "@$BATS_TEST_TMPDIR/big" "http://$A/grpc.service.echo.Echo/Get"
	[[ "$output" == '{"code":"resource_exhausted"'* ]]
	run -0 curl -s -o /dev/null -w '%{http_code}' "http://$A/$(head -c 9000 "$BATS_TEST_TMPDIR/big")"
	[ "$output" = 414 ]
}

@test "requests that two servers might read differently are refused" {
	local bad
	for bad in 'GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\nabc' \
		'GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd' \
		'GET / HTTP/1.1\r\nhost : a\r\n\r\n' \
		'GET / HTTP/1.1\nhost: a\n\n' \
		'GET / HTTP/1.1\r\nhost: a\r\n folded: b\r\n\r\n' \
		'GET / HTTP/1.1\r\nhost: a\r\nx: \x00\r\n\r\n' \
		'GET / HTTP/1.1\r\n\r\n' \
		'GET / HTTP/3.7\r\nhost: a\r\n\r\n' \
		'CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n' \
		'POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nabc' \
		'\x16\x03\x01\x00\xa5 not for this port'; do
		run -0 raw "$bad"
		[[ "$output" == "HTTP/1.1 4"* || "$output" == "HTTP/1.1 505"* ]] || { echo "$bad: $output"; false; }
		[[ "$output" == *"connection: close"* && "$output" != *"still open"* ]] || { echo "$bad: $output"; false; }
	done
	# It is answered, and what it asks to change to is not spoken.
	run -0 raw 'GET /healthz HTTP/1.1\r\nhost: a\r\nupgrade: h2c\r\nconnection: upgrade\r\nhttp2-settings: AAMAAABk\r\n\r\nGET /nothing HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n'
	[[ "$output" == *"200 OK"*"404 Not Found"* ]]
}

@test "certificates are read again without a connection lost, bad ones are not taken" {
	CERTS=$BATS_TEST_TMPDIR/certs
	grpc_server_stop
	grpc_server
	"$TESTBIN/libgrpc/client" -t -C "$CERTS/cert.pem" -n 30 -p 50 "$T" Get a b c >"$BATS_TEST_TMPDIR/calls" 2>&1 3>&- &
	local client=$!
	until_true 10 grep -q ^OK "$BATS_TEST_TMPDIR/calls"
	mkdir "$BATS_TEST_TMPDIR/new"
	grpc_certs "$BATS_TEST_TMPDIR/new" another
	run -1 grpc_client -t -C "$BATS_TEST_TMPDIR/new/cert.pem" "$T" Get
	cp "$BATS_TEST_TMPDIR/new/"* "$CERTS"
	kill -HUP "$SERVER"
	until_true 10 said reloaded
	run -0 grpc_client -t -C "$BATS_TEST_TMPDIR/new/cert.pem" "$T" Get
	echo broken >"$CERTS/cert.pem"
	kill -HUP "$SERVER"
	until_true 10 grep -q "^reload: .*cert.pem: no certificate chain in PEM" "$OUT"
	run -0 grpc_client -t -C "$BATS_TEST_TMPDIR/new/cert.pem" "$T" Get
	wait "$client"
	[ "$(grep -c ^OK "$BATS_TEST_TMPDIR/calls")" -eq 30 ]
	[ "$(grep -c ^up "$BATS_TEST_TMPDIR/calls")" -eq 1 ]
}
