# Deployment chains without a control plane, over several runs of a pipe.
setup() {
	load ../lib/common
	load exec
	exec_new
	stages
	stage a HOST_SYNC '{"do":"ok"}'
	app() { frame app '"application":{"id":"'"$1"'","name":"'"$1"'","kind":"TERRAFORM","git_path":{"repo":{"id":"web"},"path":"'"$1"'"}'"${2:-}"'}'; }
	CHAIN='"chain":[{"name":"db"},{"labels":{"tier":"front"}}]'
}

runs() {
	local rc=0
	timeout 60 "$EXEC" -f "$CONF" >"$T/out" 2>"$T/err" 3>&- || rc=$?
	[ "$rc" -eq "$1" ] || { echo "exit $rc, not $1"; cat "$T/err"; return 1; }
}
apps() { app web; app db; app shop ',"labels":{"tier":"front"}'; app shop2 ',"labels":{"tier":"front"}'; app other ',"labels":{"tier":"back"}'; }
member() { D_TRIGGER="head/$3" deployment "$1" "$2" PLANNED "\"deployment_chain_id\":\"head\",\"deployment_chain_block_index\":$3"; }
commands() { jq -r '.command.chain_sync_application|"\(.application_id) \(.block_index) \(.deployment_chain_id)"' "$STATE/commands.ndjson" | sort; }
over() { jq -e --arg s "$1" -s 'map(select(.kind=="command_done" and .command_id=="head"))[0].status==$s' "$STATE/journal/head.ndjson"; }

@test "block by block: a SUCCESS leaves the commands of the next block for the next run" {
	{ deployment head web PLANNED '' "$CHAIN"; apps; } | runs 0
	[ "$(commands)" = "db 1 head" ]
	grep -q "run the same pipe again" "$T/err"
	[ "$(stat -c %a "$STATE/journal/head.ndjson")" = 640 ]
	{ apps; member m1 db 1; } | runs 0
	[ "$(commands)" = $'shop 2 head\nshop2 2 head' ]
	{ member m2 shop 2; apps; } | runs 0
	[ "$(commands)" = "shop2 2 head" ]
	{ member m3 shop2 2; apps; } | runs 0
	[ ! -e "$STATE/commands.ndjson" ]
	over COMMAND_SUCCEEDED || over SUCCEEDED
	apps | runs 0
	[ "$(stat -c %a "$STATE/journal/head.ndjson")" = 440 ]
	pipecd-exec -V "$STATE"/journal/*-*.ndjson "$STATE/journal/head.ndjson" 2>/dev/null || pipecd-exec -V "$STATE/journal/head.ndjson"
}

@test "a block that fails ends the chain, and later blocks are never triggered" {
	{ deployment head web PLANNED '' "$CHAIN"; apps; } | runs 0
	stages
	stage a HOST_SYNC '{"do":"fail"}'
	{ apps; member m1 db 1; } | runs 1
	[ ! -e "$STATE/commands.ndjson" ]
	over COMMAND_FAILED || over FAILED
	grep -q "later blocks are not deployed" "$T/err"
}

@test "a chain whose head fails triggers nothing" {
	stages
	stage a HOST_SYNC '{"do":"fail"}'
	{ deployment head web PLANNED '' "$CHAIN"; apps; } | runs 1
	[ ! -e "$STATE/commands.ndjson" ]
}

@test "a matcher that means no application ends the chain and says so" {
	{ deployment head web PLANNED '' '"chain":[{"name":"nobody"}]'; apps; } | runs 0
	grep -q 'no known application matches block 1' "$T/err"
	[ ! -e "$STATE/commands.ndjson" ]
}
