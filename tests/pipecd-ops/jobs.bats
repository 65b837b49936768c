# Every job once, on real data, with no control plane running.
load ../lib/common
load ../lib/ops
setup() { ops_setup; }

@test "projects: those of the configuration are in the store, with their admins, and follow it" {
	H='$2a$10$ye96mUqUqTnjUqgwQJbJzel/LJibRhUnmzyypACkvrTSnQpVFZ7qK'
	ops_conf "  projects: [{id: demo, desc: first, staticAdmin: {username: u, passwordHash: '$H'}}, {id: bare}]"
	[ "$(ops projects)" = '{"job":"projects","projects":2,"added":2}' ]
	[ "$(ops projects)" = '{"job":"projects","projects":2}' ]
	[ "$(field project demo '.static_admin.username+" "+.static_admin.password_hash')" = "u $H" ]
	[ "$(field project bare .static_admin_disabled)" = true ]
	ops_conf "  projects: [{id: demo, desc: second, staticAdmin: {username: v, passwordHash: '$H'}}]"
	[ "$(ops projects)" = '{"job":"projects","projects":1,"changed":1}' ]
	[ "$(field project demo '.desc+" "+.static_admin.username')" = "second v" ]
	[ "$(ids project)" = "bare demo " ]
}

@test "project-add and project-reset-admin say a password once, which is right, and the one before no more" {
	run -0 ops project-add shop "a shop"
	first=$(jq -r .password <<<"$output")
	[ "$(jq -r '.project' <<<"$output")" = shop ]
	[ "${#first}" -ge 20 ]
	[ "$(field project shop .desc)" = "a shop" ]
	hash=$(field project shop .static_admin.password_hash)
	bcrypt() { perl -e 'exit(crypt($ARGV[0],$ARGV[1]) ne $ARGV[1])' "$1" "$2"; }
	bcrypt "$first" "$hash"
	run -0 ops project-reset-admin shop boss
	[ "$(jq -r .username <<<"$output")" = boss ]
	again=$(field project shop .static_admin.password_hash)
	bcrypt "$(jq -r .password <<<"$output")" "$again"
	run -1 bcrypt "$first" "$again"
	run -100 ops project-add shop
	run -100 ops project-reset-admin none
	run -100 ops project-add 'a b'
	ops_conf "  projects: [{id: shop}]"
	run -100 ops project-reset-admin shop
	grep -q 'project shop: it is in the configuration; change it there' "$A/err"
}

@test "stale: agents that said nothing for two minutes are offline, the others are not" {
	p() { printf '{"id":"%s","name":"%s","project_id":"demo","status":"ONLINE","created_at":1,"updated_at":%d,"keys":[{"hash":"h-%s","creator":"c","created_at":1}]}\n' "$1" "$1" "$2" "$1"; }
	s() { printf '{"piped_id":"%s","project_id":"demo","updated_at":%d}\n' "$1" "$2"; }
	{ p fresh 1; p old $NOW; p never 1; p new $NOW; p gone 1; } | load_table piped
	{ s fresh $((NOW - 30)); s old $((NOW - 200)); s gone $((NOW - 100000)); } | load_table piped_stat
	[ "$(ops stale)" = '{"job":"stale","offline":3,"forgotten":1}' ]
	for x in "fresh ONLINE" "old OFFLINE" "never OFFLINE" "new ONLINE" "gone OFFLINE"; do
		set -- $x
		[ "$(field piped $1 '.status//"UNKNOWN"')" = "$2" ] || { echo "$x"; dump piped; false; }
	done
	[ "$(field piped old '.keys[0].hash')" = h-old ]
	[ "$(ops stale)" = '{"job":"stale","offline":0,"forgotten":0}' ]
}

@test "commands: those that nobody took within a day are TIMEOUT" {
	c() { printf '{"id":"%s","piped_id":"p","project_id":"demo","status":"%s","type":"RESTART_PIPED","restart_piped":{"piped_id":"p"},"created_at":%d,"updated_at":1}\n' "$1" "$2" "$3"; }
	{ c old NOT_HANDLED_YET $((NOW - 90000)); c new NOT_HANDLED_YET $((NOW - 80000)); c done SUCCEEDED $((NOW - 90000)); } | load_table command
	[ "$(ops commands)" = '{"job":"commands","timed_out":1}' ]
	[ "$(field command old .status)" = TIMEOUT ]
	[ "$(field command old .handled_at)" -ge "$NOW" ]
	[ "$(field command new '.status//"NOT_HANDLED_YET"')" = NOT_HANDLED_YET ]
	[ "$(field command done .status)" = SUCCEEDED ]
	[ "$(ops commands)" = '{"job":"commands","timed_out":0}' ]
}

chain() { # ID STATUS BLOCKS...: applications of a block joined by commas
	local id=$1 st=$2 b= n= app; shift 2
	for blk; do
		n=
		for app in ${blk//,/ }; do n+="${n:+,}{\"application_ref\":{\"application_id\":\"$app\",\"application_name\":\"$app\"}}"; done
		b+="${b:+,}{\"nodes\":[$n]}"
	done
	printf '{"id":"%s","project_id":"demo","status":"%s","created_at":1,"updated_at":1,"blocks":[%s]}\n' "$id" "$st" "$b"
}
of() { printf ',"deployment_chain_id":"%s","deployment_chain_block_index":%d' "$1" "$2"; }
shown() { dump deployment_chain | jq -r --arg id "$1" 'select(.id==$id)|[.status//"PENDING"]+[.blocks[]|.status//"PENDING"]|join(" ")'; }

@test "chains: blocks follow their deployments, one after the other, to the end" {
	chain c PENDING a b,c | load_table deployment_chain
	deployment d1 a RUNNING x 10 "$(of c 0)" | load_table deployment
	[ "$(ops chains)" = '{"job":"chains","changed":1,"unfinished":1}' ]
	[ "$(shown c)" = "RUNNING RUNNING PENDING" ]
	[ "$(ops chains)" = '{"job":"chains","changed":0,"unfinished":1}' ]
	deployment d1 a SUCCESS x 5 "$(of c 0)" | load_table deployment
	ops chains
	[ "$(shown c)" = "RUNNING SUCCESS PENDING" ]
	{ deployment d2 b SUCCESS x 5 "$(of c 1)"; deployment d3 c PLANNED x 5 "$(of c 1)"; } | load_table deployment
	ops chains
	[ "$(shown c)" = "RUNNING SUCCESS RUNNING" ]
	deployment d3 c SUCCESS x 5 "$(of c 1)" | load_table deployment
	[ "$(ops chains)" = '{"job":"chains","changed":1,"unfinished":0}' ]
	[ "$(shown c)" = "SUCCESS SUCCESS SUCCESS" ]
	dump deployment_chain | jq -e '.completed_at > 0 and .blocks[1].started_at > 0 and .blocks[1].completed_at > 0 and .blocks[0].nodes[0].deployment_ref.deployment_id == "d1"'
}

@test "chains: a failure or a cancel ends the chain, and what is finished stays" {
	{ chain f PENDING a b; chain k PENDING a b; chain over SUCCESS a; } | load_table deployment_chain
	{ deployment f1 a FAILURE x 5 "$(of f 0)"; deployment k1 a CANCELLED x 5 "$(of k 0)"; deployment o1 a FAILURE x 5 "$(of over 0)"; deployment lost a SUCCESS x 5 "$(of f 7)"; } | load_table deployment
	[ "$(ops chains)" = '{"job":"chains","changed":2,"unfinished":0}' ]
	[ "$(shown f)" = "FAILURE FAILURE PENDING" ]
	[ "$(shown k)" = "CANCELLED CANCELLED PENDING" ]
	[ "$(shown over)" = "SUCCESS PENDING" ]
}

@test "previews: outputs of commands go after two days" {
	mkdir -p "$S/objects/command-output" && chmod 700 "$S" "$S/objects"
	echo old >"$S/objects/command-output/old"; echo new >"$S/objects/command-output/new"
	touch -d '3 days ago' "$S/objects/command-output/old"
	[ "$(ops previews)" = '{"job":"previews","removed":1,"kept":1}' ]
	[ "$(ls "$S/objects/command-output")" = new ]
}

@test "insights: each finished deployment counts once, in its month, with what it took" {
	project demo | load_table project
	{ application a; application b ',"disabled":true'; } | load_table application
	# a: a success, a failure, one that a newer commit superseded, a success that makes good, and the same again.
	{
		deployment d1 a SUCCESS c1 5000 ',"labels":{"env":"prod"}'
		deployment d2 a FAILURE c2 4000
		deployment d2b a FAILURE c2 3500
		deployment d3 a CANCELLED c3 3000 ',"status_reason":"superseded by deployment x (commit c4)"'
		deployment d4 a SUCCESS c4 2000
		deployment d5 a SUCCESS c4 1000
		deployment d6 b RUNNING c5 500
	} | load_table deployment
	[ "$(ops insights)" = '{"job":"insights","applications":2,"deployments":5}' ]
	chunks=("$S"/objects/insights/demo/completed-deployments/*/chunk_0)
	[ "${#chunks[@]}" -ge 1 ]
	records() { cat "$S"/objects/insights/demo/completed-deployments/*/chunk_* | protoc_chunk; }
	[ "$(records | sort)" = "$(printf '%s\n' 'd1 SUCCESS lead=100 restore=0' 'd2 FAILURE lead=0 restore=0' 'd2b FAILURE lead=0 restore=0' 'd4 SUCCESS lead=100 restore=2000' 'd5 SUCCESS lead=0 restore=0')" ] || { records; false; }
	# Again: the same.  Later: what is new, and what came late.
	[ "$(ops insights | jq .deployments)" = 0 ]
	sum=$(cat "${chunks[@]}" | sha256sum)
	{ deployment d7 b SUCCESS c7 4500 | sed "s/\"updated_at\":[0-9]*/\"updated_at\":$NOW/"; } | load_table deployment
	[ "$(ops insights | jq .deployments)" = 1 ]
	records | grep -q '^d7 SUCCESS'
	[ "$(records | wc -l)" = 6 ]
}
# The records of packed chunks, a line each; chunks in a row are one chunk.
protoc_chunk() {
	protoc --proto_path="$ROOT/src/libmsg" --decode=insight.Chunk insight.proto | awk '
		/^records/ { id = st = ""; lead = res = 0; on = 1 }
		on && $1 == "id:" { gsub(/"/, "", $2); id = $2 }
		on && $1 == "status:" { sub(/DEPLOYMENT_/, "", $2); st = $2 }
		on && $1 == "lead_s:" { lead = $2 }
		on && $1 == "restore_s:" { res = $2 }
		/^}/ && on { print id, st, "lead=" lead, "restore=" res; on = 0 }'
}

@test "insights: a project's chunks are as long as chunkMaxCount, and a schedule that is off collects nothing" {
	project demo | load_table project
	ops_conf "  insightCollector: {deployment: {chunkMaxCount: 3}, application: {enabled: false}}"
	for i in 1 2 3 4 5 6 7; do deployment "d$i" a SUCCESS "c$i" $((i + 10)); done | load_table deployment
	[ "$(ops insights)" = '{"job":"insights","applications":0,"deployments":7}' ]
	[ "$(ls "$S"/objects/insights/demo/completed-deployments/*/ | grep -c chunk_)" -ge 3 ]
	[ ! -e "$S/objects/insights/demo/applications" ]
	ops_conf "  insightCollector: {deployment: {enabled: false}}"
	deployment d9 a SUCCESS c9 1 | load_table deployment
	[ "$(ops insights | jq .deployments)" = 0 ]
}

@test "retention: by age, but the last deployment and the last success of an application stay" {
	ref() { printf '{"deployment_id":"%s","trigger":{"commit":{"hash":"h","message":"m","author":"a","branch":"b","created_at":1},"timestamp":1},"started_at":1}' "$1"; }
	application a ",\"most_recently_successful_deployment\":$(ref s0),\"most_recently_triggered_deployment\":$(ref f0)" | load_table application
	{ deployment s0 a SUCCESS c 900000; deployment f0 a FAILURE c 800000; deployment s1 a SUCCESS c 950000; deployment young a SUCCESS c 1000; deployment runs a RUNNING c 900000; } | load_table deployment
	[ "$(ops retention | jq .deployments)" = 0 ]
	ops_conf "  retention: {deployments: 5d}"
	[ "$(ops retention | jq .deployments)" = 1 ]
	[ "$(ids deployment)" = "f0 runs s0 young " ]
}

@test "retention: by number, for each application" {
	ops_conf "  retention: {deploymentsPerApplication: 2}"
	{ application a; application b; } | load_table application
	{ for i in 1 2 3 4; do deployment "a$i" a SUCCESS c $((i * 100)); deployment "b$i" b FAILURE c $((i * 100)); done; deployment a0 a RUNNING c 1; } | load_table deployment
	[ "$(ops retention | jq .deployments)" = 4 ]
	[ "$(ids deployment)" = "a0 a1 a2 b1 b2 " ]
}

@test "retention: commands and events that are done go, others stay" {
	ops_conf "  retention: {commands: 1d, events: 1d}"
	c() { printf '{"id":"%s","piped_id":"p","project_id":"demo","status":"%s","type":"RESTART_PIPED","restart_piped":{"piped_id":"p"},"created_at":%d,"updated_at":1}\n' "$1" "$2" "$3"; }
	e() { printf '{"id":"%s","name":"n","data":"d","project_id":"demo","event_key":"k","status":"%s","created_at":%d,"updated_at":1}\n' "$1" "$2" "$3"; }
	{ c open NOT_HANDLED_YET $((NOW - 90000)); c old SUCCEEDED $((NOW - 90000)); c new FAILED $((NOW - 80000)); } | load_table command
	{ e open NOT_HANDLED $((NOW - 90000)); e old SUCCESS $((NOW - 90000)); e new SUCCESS $((NOW - 80000)); } | load_table event
	ops retention
	[ "$(ids command)" = "new open " ]
	[ "$(ids event)" = "new open " ]
}

@test "a job that there is none of, and arguments that it does not take, are refused" {
	run -100 "$BIN/pipecd-ops" -f "$F" -1 dance
	[[ "$output" == *"project-add ID [DESC]: a new project"*"dance: no such job"* ]]
	run -100 "$BIN/pipecd-ops" -f "$F" -1 stale now
	[[ "$output" == *"stale: takes no arguments"* ]]
	run -100 "$BIN/pipecd-ops" -f "$F" -1 project-add
	[[ "$output" == *"project-add: takes ID [DESC]"* ]]
	run -100 "$BIN/pipecd-ops" -f "$F" stale
	echo 'spec: [' >"$F"
	run -1 "$BIN/pipecd-ops" -n -f "$F"
	run -100 "$BIN/pipecd-ops" -f "$F" -1 stale
}
