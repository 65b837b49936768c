# Git servers for tests, on free ports of the loopback; `load` after common.

# http_start NAME ROOT [OTHER [CERT KEY]]: sets NAME_URL; requests go to NAME.log
http_start() {
	local port=$BATS_TEST_TMPDIR/$1.port
	python3 "$ROOT/tests/lib/githttpd.py" "$2" "$port" "$BATS_TEST_TMPDIR/$1.log" "${3:-}" "${@:4}" 3>&- &
	SERVERS="${SERVERS:-} $!"
	until_true 20 test -s "$port"
	printf -v "$1_URL" 'http://127.0.0.1:%s' "$(cat "$port")"
}

# tls_new: an authority of our own, $TLS/ca.pem
tls_new() {
	TLS=$BATS_TEST_TMPDIR/tls
	mkdir -p "$TLS"
	openssl req -x509 -newkey rsa:2048 -nodes -keyout "$TLS/ca.key" -out "$TLS/ca.pem" -subj '/CN=tests' -days 2 2>/dev/null
}

# tls_start NAME ROOT HOST [DAYS [OTHER]]: as http_start, over TLS, with a
# certificate for HOST that is good for DAYS from now
tls_start() {
	local c=$TLS/$1
	openssl req -newkey rsa:2048 -nodes -keyout "$c.key" -out "$c.csr" -subj "/CN=$3" 2>/dev/null
	openssl x509 -req -in "$c.csr" -CA "$TLS/ca.pem" -CAkey "$TLS/ca.key" -CAcreateserial -days "${4:-2}" \
		-extfile <(printf 'subjectAltName=DNS:%s' "$3") -out "$c.pem" 2>/dev/null
	http_start "$1" "$2" "${5:-}" "$c.pem" "$c.key"
	printf -v "$1_URL" 'https://localhost:%s' "$(cat "$BATS_TEST_TMPDIR/$1.port")"
}

# ssh_start ROOT: an sshd that lets our key in; sets SSH_PORT, SSH_KEY,
# SSH_HOSTS (the known_hosts file)
ssh_start() {
	local d=$BATS_TEST_TMPDIR/ssh i
	mkdir -p "$d" && chmod 700 "$d"
	ssh-keygen -q -t ed25519 -N '' -f "$d/host"
	ssh-keygen -q -t "${2:-ed25519}" -N '' -f "$d/key"
	cp "$d/key.pub" "$d/authorized"
	chmod 600 "$d/authorized"
	mkdir -p /run/sshd 2>/dev/null || true
	for i in 1 2 3 4 5 6 7 8; do
		SSH_PORT=$((20000 + (RANDOM * 7 + $$ + i) % 30000))
		"$(command -v sshd || echo /usr/sbin/sshd)" -D -e -f /dev/null -p "$SSH_PORT" \
			-o ListenAddress=127.0.0.1 -o HostKey="$d/host" -o PidFile=none -o UsePAM=no \
			-o AuthorizedKeysFile="$d/authorized" -o StrictModes=no -o PasswordAuthentication=no \
			-o PermitRootLogin=yes >"$d/log" 2>&1 3>&- &
		SSHD=$!
		if until_true 10 grep -q 'Server listening\|in use\|Cannot bind' "$d/log" &&
			grep -q 'Server listening' "$d/log"; then break; fi
		kill "$SSHD" 2>/dev/null || true
	done
	SERVERS="${SERVERS:-} $SSHD"
	SSH_KEY=$d/key SSH_HOSTS=$d/known_hosts
	printf '[127.0.0.1]:%s %s\n' "$SSH_PORT" "$(cut -d' ' -f1,2 "$d/host.pub")" >"$SSH_HOSTS"
}

servers_stop() {
	local p
	for p in ${SERVERS:-}; do kill "$p" 2>/dev/null || true; done
	for p in ${SERVERS:-}; do wait "$p" 2>/dev/null || true; done
}
