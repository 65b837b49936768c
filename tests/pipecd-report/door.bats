# The door alone: journals that are there, and a control plane that behaves as
# PipeCD documents it (tests/peers/controlplane.py), or does not.
load ../lib/common
load ../lib/control

setup() {
	cp_there || skip "no grpc-python"
	S=$BATS_TEST_TMPDIR/state CONF=$BATS_TEST_TMPDIR/piped.yaml ERR=$BATS_TEST_TMPDIR/err
	mkdir -m 0700 "$S" "$S/run" "$S/run/bus" "$S/journal"
	: >"$ERR"
}

teardown() {
	door_stop
	cp_kill
	[ -n "$BATS_TEST_COMPLETED" ] || tail -n 40 "$ERR" "$CP/out" 2>/dev/null
	[ -n "$BATS_TEST_COMPLETED" ] || jq -c '[.at,.method,.code,.text]' "$CP/calls.ndjson" | tail -n 40
}

# conf [KEY] [spec lines]
conf() {
	printf 'apiVersion: pipecd.dev/v1beta1\nkind: Piped\nspec:\n  stateDir: %s\n  repositories: [{repoId: web, remote: /nowhere, branch: main}]\n' "$S" >"$CONF"
	cp_conf "${1:-key}" >>"$CONF"
	[ $# -lt 2 ] || printf '%s\n' "$2" >>"$CONF"
}

door_start() {
	pipecd-report ${DOOR_DEBUG:-} -b "$S/run/bus" -f "$CONF" 2>>"$ERR" 3>&- &
	DOOR=$!
}

door_stop() {
	[ -n "${DOOR:-}" ] || return 0
	kill "${1:--TERM}" "$DOOR" 2>/dev/null || true
	wait "$DOOR" 2>/dev/null || true
	DOOR=
}

apps() { for ((i = 0; i < $1; i++)); do cp_app "app-$i" "app-$i" "app-$i"; done; }
journals() { python3 "$BATS_TEST_DIRNAME/journals.py" "$S/journal" "$@"; }
all_done() { [ "$(find "$S/report/cursor" -name '*.done' | wc -l)" -eq "$1" ]; }

# Everything of N deployments of A applications with L lines in each stage.
complete() {
	python3 - "$CP/db.json" "$@" <<-'E'
	import json, sys
	db, n, apps, lines = json.load(open(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
	ds = db["deployments"]
	assert len(ds) == n, len(ds)
	for d in ds.values():
	    assert d["history"] == ["DEPLOYMENT_" + x for x in ("PENDING", "PLANNED", "RUNNING", "SUCCESS")], d["history"]
	    for s in d["stages"]:
	        # A status whose answer was lost is said again.
	        h = [x for i, x in enumerate(s["history"]) if i == 0 or s["history"][i - 1] != x]
	        assert h == ["STAGE_RUNNING", "STAGE_SUCCESS"], s["history"]
	        assert s["metadata"] == {"k": "v " + s["id"]}, s
	        l = db["logs"]["%s/%s/0" % (d["id"], s["id"])]
	        assert l["completed"]
	        assert [x[1] for x in l["kept"]] == ["%s line %d" % (s["id"], i) for i in range(lines)], (len(l["kept"]), l["kept"][:3])
	for a in range(apps):
	    mine = [int(ds[i]["trigger"]["commit"]["message"][2:]) for i in db["order"] if ds[i]["applicationId"] == "app-%d" % a]
	    assert mine == sorted(mine), mine
	E
}

@test "door: journals are reported in order, each record once, and are done with" {
	cp_start -w
	apps 3
	conf
	journals 3 4 7
	pipecd-report -1 -f "$CONF" 2>"$ERR"
	complete 12 3 7
	all_done 12
	# Another run has nothing to say of them.
	before=$(cp_calls CreateDeployment)
	pipecd-report -1 -f "$CONF" 2>>"$ERR"
	[ "$(cp_calls CreateDeployment)" -eq "$before" ]
	# What a retention takes away is forgotten here, too.
	rm -f "$S"/journal/*.ndjson
	pipecd-report -1 -f "$CONF" 2>>"$ERR"
	[ -z "$(ls "$S/report/cursor")" ]
}

@test "door: log lines are numbered from the journal's start, so that a repeated one is dropped" {
	cp_start -w
	apps 1
	conf
	journals 1 1 3
	pipecd-report -1 -f "$CONF" 2>"$ERR"
	[ "$(cp_db '[.logs[].kept[][0]]|sort|join(" ")')" = "1780000000000005 1780000000000006 1780000000000007 1780000000000011 1780000000000012 1780000000000013" ]
	rm -r "$S/report"
	pipecd-report -1 -f "$CONF" 2>>"$ERR"
	complete 1 1 3
}

@test "door: PipeCD's control plane keeps the whole log, though live lines are only for the eye" {
	cp_start
	apps 1
	conf
	journals 1 2 7000
	pipecd-report -1 -f "$CONF" 2>"$ERR"
	complete 2 1 7000
	[ "$(cp_calls ReportStageLogsFromLastCheckpoint OK)" -ge 8 ]
	[ -z "$(jq 'select((.request|tostring|length)>1000000)|.method' "$CP/calls.ndjson")" ]
}

@test "door: a day's worth of journals arrives whole, whoever is killed on the way" {
	cp_start -w
	apps 10
	conf
	records=$(journals 10 "${DAY:-4}" 20)
	t0=$(date +%s%N)
	for i in 1 2 3 4 5 6; do
		door_start
		n=$(cp_db '.deployments|length')
		until_true 5 eval "[ \"\$(cp_db '.deployments|length')\" -gt $((n + 3)) ]" || break
		if [ $((i % 2)) -eq 0 ]; then
			cp_kill
			cp_start -w
		fi
		door_stop -9
	done
	pipecd-report -1 -f "$CONF" 2>>"$ERR"
	complete $((10 * ${DAY:-4})) 10 20
	all_done $((10 * ${DAY:-4}))
	echo "# $records records in $((($(date +%s%N) - t0) / 1000000)) ms, 6 kills of the door and 3 of the control plane" >&3
}

@test "door: a journal that grows is followed as it grows" {
	cp_start -w
	apps 1
	conf
	journals 1 1 50
	f=$(echo "$S"/journal/*.ndjson)
	mv "$f" "$BATS_TEST_TMPDIR/whole"
	door_start
	until_true 10 test "$(cp_calls ListApplications OK)" -ge 0
	for n in 2 3 4 20 30 54; do
		# Written by lines, and once in two pieces.
		head -n "$n" "$BATS_TEST_TMPDIR/whole" | tail -n +$(($(wc -l <"$f" 2>/dev/null || echo 0) + 1)) >"$BATS_TEST_TMPDIR/more"
		head -c 20 "$BATS_TEST_TMPDIR/more" >>"$f"
		tail -c +21 "$BATS_TEST_TMPDIR/more" >>"$f"
		[ "$n" -ne 4 ] || until_true 10 cp_is '.deployments[].stages[0].status' STAGE_RUNNING
		[ "$n" -ne 20 ] || until_true 10 cp_is '[.logs[].live[]]|length' 16
	done
	tail -n +55 "$BATS_TEST_TMPDIR/whole" >>"$f"
	until_true 10 all_done 1
	complete 1 1 50
}

@test "door: a control plane that is slow, fails now and then, or refuses one record stops nothing else" {
	cp_start -w
	apps 4
	conf
	journals 4 2 5
	cp_order '{"faults":{"delay_ms":30,"fail":{"ReportStageStatusChanged":{"code":"INTERNAL","times":4},"ReportDeploymentPlanned":{"code":"UNAVAILABLE","times":3},"SaveStageMetadata":{"code":"DEADLINE_EXCEEDED","times":2},"ReportApplicationDeployingStatus":{"code":"INVALID_ARGUMENT","times":1}}}}'
	pipecd-report -1 -f "$CONF" 2>"$ERR"
	complete 8 4 5
	[ "$(grep -c 'ReportApplicationDeployingStatus was refused: INVALID_ARGUMENT' "$ERR")" -eq 1 ]
	# It says that it is away no more often than it is.
	[ "$(grep -c 'out of reach' "$ERR")" -le 9 ]
}

@test "door: a record that nobody but it fails with is given up in the end" {
	cp_start -w
	apps 2
	conf
	journals 1 1 2
	cp_order '{"faults":{"fail":{"CreateDeployment":{"code":"UNAVAILABLE","times":3}}}}'
	door_start
	until_true 20 all_done 1
	[ "$(cp_calls CreateDeployment UNAVAILABLE)" -eq 3 ]
	[ "$(grep -c 'out of reach: CreateDeployment: UNAVAILABLE' "$ERR")" -eq 1 ]
}

@test "door: what the control plane has lost is told again from its beginning" {
	cp_start -w
	apps 1
	conf
	journals 1 1 5 -
	door_start
	until_true 10 cp_is '[.logs[].live[]]|length' 5
	door_stop
	cp_order '{"set":{"deployments":{},"order":[],"logs":{}}}'
	python3 - "$S"/journal/*.ndjson <<-'E'
	import hashlib, json, os, sys
	os.chmod(sys.argv[1], 0o600)
	lines = open(sys.argv[1]).read().splitlines()
	f = json.loads(lines[-1])
	text = json.dumps({"v": 1, "kind": "stage_done", "deployment_id": f["deployment_id"], "stage_id": "s0", "status": "SUCCESS", "at_ms": 1780000000500}, separators=(",", ":"))[:-1]
	text += ',"seq":%d,"prev":"%s"}' % (len(lines) + 1, hashlib.sha256(lines[-1].encode()).hexdigest())
	open(sys.argv[1], "a").write(text + "\n")
	E
	door_start
	until_true 10 cp_is '.deployments[].stages[0].status' STAGE_SUCCESS
	grep -q 'does not know this deployment' "$ERR"
	[ "$(cp_db '[.logs[].kept[][1]]|length')" -eq 5 ]
}

@test "door: a journal whose chain is broken is named and not sent; others are" {
	cp_start -w
	apps 2
	conf
	journals 2 1 5
	f=$(ls "$S"/journal/*.ndjson | head -n 1)
	chmod 600 "$f"
	sed -i '6s/line/LINE/' "$f"
	pipecd-report -1 -f "$CONF" 2>"$ERR" || true
	grep -q 'journal is not sent: .*chain broken' "$ERR"
	all_done 1
}

@test "door: a wrong key is said once, asked about ever less often, and a new one in its file is taken" {
	cp_start -w
	apps 1
	conf
	printf 'wrong\n' >"$BATS_TEST_TMPDIR/key"
	chmod 600 "$BATS_TEST_TMPDIR/key"
	sed -i "s|pipedKeyData: .*|pipedKeyFile: $BATS_TEST_TMPDIR/key|" "$CONF"
	journals 1 1 5
	door_start
	until_true 10 grep -q 'refuses us as piped-1 of project p: UNAUTHENTICATED' "$ERR"
	sleep 3
	[ "$(grep -c 'refuses us' "$ERR")" -eq 1 ]
	[ "$(wc -l <"$CP/calls.ndjson")" -le 6 ]
	[ "$(cp_calls CreateDeployment)" -eq 0 ]
	printf 'key\n' >"$BATS_TEST_TMPDIR/key"
	until_true 20 all_done 1
	grep -q 'our key was replaced' "$ERR"
	complete 1 1 5
}

@test "door: a key that is rotated away is replaced by the one in the file, without a restart" {
	cp_start -w
	apps 1
	conf
	printf 'key\n' >"$BATS_TEST_TMPDIR/key"
	chmod 600 "$BATS_TEST_TMPDIR/key"
	sed -i "s|pipedKeyData: .*|pipedKeyFile: $BATS_TEST_TMPDIR/key|" "$CONF"
	door_start
	until_true 10 eval '[ "$(cp_calls ReportPipedMeta OK)" -ge 1 ]'
	printf 'second\n' >"$BATS_TEST_TMPDIR/key"
	cp_order '{"set":{"keys":["second"]}}'
	journals 1 1 5
	until_true 20 all_done 1
	[ "$(grep -c 'refuses us' "$ERR")" -eq 0 ]
}

@test "door: the control plane's certificate is verified, by the system's or by our own authority" {
	cd "$BATS_TEST_TMPDIR"
	openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=ca 2>/dev/null
	openssl req -newkey rsa:2048 -nodes -keyout s.key -out s.csr -subj /CN=localhost 2>/dev/null
	openssl x509 -req -in s.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out s.pem -extfile <(printf 'subjectAltName=DNS:localhost') 2>/dev/null
	cp_start -w --key s.key --cert s.pem
	apps 1
	conf
	journals 1 1 3
	sed -i "s|127.0.0.1|localhost|; /apiInsecure/d" "$CONF"
	door_start
	until_true 15 grep -q 'out of reach: .*certificate' "$ERR"
	door_stop
	[ "$(cp_calls CreateDeployment)" -eq 0 ]
	printf '  apiCertFile: %s/ca.pem\n' "$BATS_TEST_TMPDIR" >>"$CONF"
	pipecd-report -1 -f "$CONF" 2>>"$ERR"
	complete 1 1 3
	# Another name than the certificate's is refused.
	sed -i "s|localhost|127.0.0.1|" "$CONF"
	: >"$ERR"
	door_start
	until_true 15 grep -q 'out of reach' "$ERR"
}

@test "door: facts outside of deployments survive an outage and kill -9, the newest of each" {
	cp_start -w
	apps 2
	conf
	pipecd-report -1 -f "$CONF" 2>>"$ERR"
	cp_kill
	state() { frame app_state "\"application_id\":\"$1\",\"sync_state\":{\"status\":\"$2\",\"short_reason\":\"$3\",\"timestamp\":5}"; }
	mkfifo "$BATS_TEST_TMPDIR/in"
	pipecd-report -f "$CONF" <"$BATS_TEST_TMPDIR/in" 2>>"$ERR" 3>&- &
	DOOR=$!
	exec 7>"$BATS_TEST_TMPDIR/in"
	{
		state app-0 OUT_OF_SYNC older
		state app-0 OUT_OF_SYNC newer
		state app-1 INVALID_CONFIG "a key is missing"
		state stranger SYNCED none
	} >&7
	until_true 10 grep -q 'a key is missing' "$S/report/outbox.ndjson"
	door_stop -9
	exec 7>&-
	cp_start -w
	pipecd-report -1 -f "$CONF" 2>>"$ERR"
	[ "$(cp_db '[.state["app-0"][]|.shortReason]|join(",")')" = newer ]
	[ "$(cp_db '[.state["app-1"][]|.status]|join(",")')" = INVALID_CONFIG ]
	[ "$(grep -vc '"kind":"ok"' "$S/report/outbox.ndjson" || true)" -le 2 ]
}

@test "door: its secrets are in no report, no log and no file" {
	cp_start -w
	apps 1
	conf
	cp_order '{"set":{"keys":["c4n4ry-piped-key"]}}'
	conf c4n4ry-piped-key "  git: {username: dev, password: YzRuNHJ5LWdpdA==}
  secretManagement: {type: KEY_PAIR, config: {privateKeyData: YzRuNHJ5LXByaXZhdGU=, publicKeyData: cHVibGljLWtleQ==}}"
	journals 1 1 3
	pipecd-report -v -1 -f "$CONF" 2>"$ERR"
	complete 1 1 3
	[ "$(cp_db .meta.secretEncryption.publicKey)" = public-key ]
	for s in c4n4ry "$(printf %s c4n4ry-piped-key | base64)" YzRuNHJ5; do
		! grep -r "$s" "$S" "$ERR" "$CP/calls.ndjson"
		[[ "$(cp_db '.meta.config')" != *"$s"* ]]
	done
	[[ "$(cp_db '.meta.config')" == *'******'* ]]
}

@test "door: idle it asks for nothing but what the interval wants" {
	cp_start -w
	apps 1
	conf
	door_start
	until_true 10 eval '[ "$(cp_calls ReportUnregisteredApplicationConfigurations OK)" -ge 1 ]'
	n=$(wc -l <"$CP/calls.ndjson")
	u0=$(cut -d' ' -f14,15 "/proc/$DOOR/stat")
	sleep 5
	[ "$(wc -l <"$CP/calls.ndjson")" -le $((n + 1)) ]
	u1=$(cut -d' ' -f14,15 "/proc/$DOOR/stat")
	pss=$(awk '/^Pss:/{s+=$2}END{print s}' "/proc/$DOOR/smaps_rollup")
	ticks=$((${u1% *} + ${u1#* } - ${u0% *} - ${u0#* }))
	echo "# idle door: $pss KiB, $ticks ticks of 10 ms in 5 s" >&3
	[ "$ticks" -le 5 ]
}
