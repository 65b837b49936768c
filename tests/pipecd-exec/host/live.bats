load ../../lib/common
load ../../lib/platform

setup() {
	host_new "$BATS_TEST_TMPDIR" 2
	host_stage HOST_SYNC $C1
	[ "$STATUS" = SUCCESS ]
}

@test "live says SYNCED and healthy after a sync" {
	host_live $C1
	[ "$status" -eq 0 ]
	[ "$STATUS" = SYNCED ]
	live=$(jq -c 'select(.kind=="live").application_live_state' <<<"$output")
	[ "$(jq -r .health_status <<<"$live")" = HEALTHY ]
	[ "$(jq '.resources|length' <<<"$live")" -eq 2 ]
	[ "$(jq -r '.resources[1].deploy_target' <<<"$live")" = web-2 ]
	[ "$(jq -r 'select(.kind=="ok").re' <<<"$output")" = live-1 ]
}

@test "edited, missing and extra files are named, with the lines that differ" {
	echo hacked >>"$ROOTS/web-1/web/current/index.html"
	rm "$ROOTS/web-2/web/current/bin/run"
	echo x >"$ROOTS/web-2/web/current/new.php"
	host_live $C1
	[ "$STATUS" = OUT_OF_SYNC ]
	[ "$SHORT" = "There are 3 files not synced (1 adds, 1 deletes, 1 changes)" ]
	[[ "$REASON" == *"# 1. web-1: index.html"*"-hacked"* ]]
	[[ "$REASON" == *"+ 2. web-2: bin/run"* ]]
	[[ "$REASON" == *"- 3. web-2: new.php"* ]]
	[ "$(jq -c '.changed|sort' <<<"$APP_STATE")" = '["bin/run","index.html","new.php"]' ]
}

@test "an edit is found though size and mtime are put back" {
	# The first look fills the cache; the file is old enough for it then.
	sleep 0.1
	host_live $C1
	[ "$STATUS" = SYNCED ]
	[ -s "$ROOTS/web-1/web/.pipecd/stat" ]
	f=$ROOTS/web-1/web/current/index.html
	touch -r "$f" "$D/then"
	sed -i 's/page/PAGE/' "$f"
	touch -r "$D/then" "$f"
	host_live $C1
	[ "$STATUS" = OUT_OF_SYNC ]
	[[ "$REASON" == *"-PAGE of"*"+page of"* ]]
}

@test "a hash is read from the cache while size, times and inode stay" {
	sleep 0.1
	host_live $C1
	sed -i 's/^\(.\)\(.*index.html\)$/x\2/; s/^x/f/' "$ROOTS/web-1/web/.pipecd/stat"
	host_live $C1
	[ "$STATUS" = OUT_OF_SYNC ]
}

@test "the content of a file with opened secrets is never shown" {
	printf 'apiVersion: pipecd.dev/v1beta1\nkind: Application\nspec:\n  name: web\n  encryption:\n    encryptedSecrets: {pw: AAAA}\n    decryptionTargets: [index.html]\n' >"$D/src/$C1/app.pipecd.yaml"
	echo "password=canary-1" >"$ROOTS/web-1/web/current/index.html"
	host_live $C1
	[ "$STATUS" = OUT_OF_SYNC ]
	[[ "$REASON" == *"index.html changed (content hidden)"* ]]
	[[ "$output" != *canary-1* ]]
	[[ "$output" != *"page of"* ]]
}

@test "another mode is a change" {
	chmod -x "$ROOTS/web-1/web/current/bin/run"
	host_live $C1
	[ "$SHORT" = "There are 1 files not synced (0 adds, 0 deletes, 1 changes)" ]
	[[ "$REASON" == *"bin/run (mode 0644, expected 0755)"* ]]
}

@test "another commit under current is OUT_OF_SYNC by its files, not by its name" {
	host_live $C2
	[ "$STATUS" = OUT_OF_SYNC ]
	rm -r "$D/src/$C2" && cp -r "$D/src/$C1" "$D/src/$C2"
	host_live $C2
	[ "$STATUS" = SYNCED ]
}

@test "a target without the application, without its root, or with a foreign current is OUT_OF_SYNC, saying so" {
	mv "$ROOTS/web-2/web" "$ROOTS/web-2/web.old"
	host_live $C1
	[ "$STATUS" = OUT_OF_SYNC ]
	[[ "$REASON" == *"web-2: nothing is deployed"* ]]
	rm -r "$ROOTS/web-2"
	host_live $C1
	[[ "$REASON" == *"root $ROOTS/web-2 is not there"* ]]
	ln -sfn /tmp "$ROOTS/web-1/web/current"
	host_live $C1
	[[ "$REASON" == *"web-1: current leads to /tmp"* ]]
	ln -sfn releases/$C3 "$ROOTS/web-1/web/current"
	host_live $C1
	[[ "$REASON" == *"web-1: current leads to releases/$C3, which is gone"* ]]
}

@test "an unknown target is UNKNOWN, with the reason" {
	TARGETS='"web-1","nope"' host_live $C1
	[ "$STATUS" = UNKNOWN ]
	[[ "$REASON" == *"deploy target nope"* ]]
}

@test "what activate makes in the release is no drift, what comes later is" {
	INPUT='{"activate":"mkdir -p node_modules/a; echo x >node_modules/a/b; echo y >pid"}' DEP=x host_stage HOST_SYNC $C1
	host_live $C1
	[ "$STATUS" = SYNCED ]
	echo more >"$ROOTS/web-1/web/current/node_modules/c"
	host_live $C1
	[ "$STATUS" = SYNCED ]
	echo x >"$ROOTS/web-1/web/current/other"
	host_live $C1
	[ "$STATUS" = OUT_OF_SYNC ]
}

@test "live compares with object frames from render as with a checkout" {
	jq -c '.kind="render_start" | .out_dir="/nonexistent"' <(live_frame $C1) | pipecd-exec-host -f "$CONF" render >"$D/objects"
	[ "$(jq -r 'select(.kind=="object").key' "$D/objects" | tr '\n' ' ')" = "bin/run index.html " ]
	host_live $C1 "del(.dir) | .objects=\"$D/objects\""
	[ "$STATUS" = SYNCED ]
	echo no >"$ROOTS/web-1/web/current/index.html"
	host_live $C1 "del(.dir) | .objects=\"$D/objects\""
	[ "$STATUS" = OUT_OF_SYNC ]
	[[ "$REASON" == *"# 1. web-1: index.html"*"contents differ"* ]]
}

@test "one process answers many live_start lines, each by its id" {
	for i in $(seq 20); do live_frame $C1 ".id=\"l$i\""; done >"$D/many"
	run --separate-stderr pipecd-exec-host -f "$CONF" live <"$D/many"
	[ "$(jq -r 'select(.kind=="app_state" and .sync_state.status=="SYNCED").re' <<<"$output" | sort -u | wc -l)" -eq 20 ]
}

@test "preview says per target what a sync would change" {
	jq -cn --arg d "$D/src/$C2" "$(cat <<'J'
{v:1,kind:"plan_start",application:{id:"a",name:"web",git_path:{repo:{id:"r"},path:"web",config_filename:"app.pipecd.yaml"},created_at:1,updated_at:1},
 commit:"2222222",app_config:{},target_dir:$d,targets:["web-1","web-2"]}
J
	)" >"$D/plan"
	run --separate-stderr pipecd-exec-host -f "$CONF" preview <"$D/plan"
	[ "$status" -eq 0 ]
	[ "$(jq -r 'select(.target=="web-2").summary' <<<"$output")" = "0 files to add, 0 to delete, 1 to change" ]
	[[ "$(jq -r 'select(.target=="web-1").text' <<<"$output")" == *"-page of $C1"*"+page of $C2"* ]]
}
