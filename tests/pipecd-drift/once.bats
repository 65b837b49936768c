# pipecd-drift -1, with a platform and a checkout that are made up.
load ../lib/common

load setup

setup() { drift_setup; }
drift() { "$t/bin/pipecd-drift" -1 -f "$t/piped.yaml" >"$t/out" 2>"$t/err"; }

@test "drift -1: applications on stdin come out with their state and what runs" {
	{ app ok-a; app drift-b; } | drift
	[ "$(state ok-a)" = SYNCED ]
	[ "$(state drift-b)" = OUT_OF_SYNC ]
	[ "$(brief drift-b)" = "1 file differs" ]
	[ "$(jq -r 'select(.kind=="app_state" and .application_id=="id-drift-b")|.sync_state.reason' "$t/out")" = "index.html: edited" ]
	[ "$(jq -c 'select(.kind=="app_state" and .application_id=="id-drift-b")|.changed' "$t/out")" = '["k"]' ]
	[ "$(jq -s 'map(select(.kind=="live"))|length' "$t/out")" -eq 2 ]
	[ "$(jq -s 'map(select(.kind=="app"))|length' "$t/out")" -eq 2 ]
	[ ! -s "$t/err" ]
}

@test "drift -1: one process of a platform looks at all applications, and renders once for each commit" {
	for i in $(seq 50); do app "ok-$i"; done >"$t/in"
	drift <"$t/in"
	[ "$(grep -c '"SYNCED"' "$t/out")" -eq 50 ]
	[ "$(grep -c '^start live' "$t/bin/log")" -eq 1 ]
	[ "$(grep -c '^start render' "$t/bin/log")" -le 2 ]
	[ "$(grep -c '^render' "$t/bin/log")" -eq 50 ]
	: >"$t/bin/log"
	drift <"$t/in"
	[ "$(grep -c '"SYNCED"' "$t/out")" -eq 50 ]
	run ! grep -q 'render\|checkout' "$t/bin/log"
	commit=dead$commit
	commit=${commit:0:40}
	app ok-1 | drift
	[ "$(grep -c '^render ok-1 dead' "$t/bin/log")" -eq 1 ]
}

@test "drift -1: a commit that changes nothing of an application's inputs renders it no more" {
	render() { { app one '' ',"tree":"aa"'; app wide '' ",\"tree\":\"${1:-aa}\""; app two '' ",\"tree\":\"${1:-aa}\""; app three; } | drift; }
	render
	[ "$(grep -c '^render' "$t/bin/log")" -eq 4 ]
	: >"$t/bin/log"
	commit=dead${commit:4}
	render
	# What saw more than its directory, or has no tree id, may have changed.
	[ "$(grep -o '^render [a-z]*' "$t/bin/log" | sort | xargs)" = "render three render wide" ]
	[ "$(grep -c '"SYNCED"' "$t/out")" -eq 4 ]
	: >"$t/bin/log"
	commit=beef${commit:4}
	render bb
	[ "$(grep -o '^render [a-z]*' "$t/bin/log" | sort | xargs)" = "render three render two render wide" ]
	: >"$t/bin/log"
	app one '"t-1"' ',"tree":"aa"' | drift
	[ "$(grep -c '^render one' "$t/bin/log")" -eq 1 ]
}

@test "drift -1: every checkout is given back, and nothing that was rendered stays" {
	for i in $(seq 20); do app "ok-$i"; done | drift
	[ "$(grep -c '^checkout ok' "$t/bin/log")" -eq 20 ]
	[ "$(grep -c '^checkout_done' "$t/bin/log")" -eq 20 ]
	[ -z "$(ls "$t/bin/tree")" ]
	run ! grep -rq canary-5f1e "$t/state" "$t/out" "$t/err"
	[ -z "$(ls "$t/state/work/drift" 2>/dev/null)" ]
	[ -z "$(find "$t/state/cache" -type f -perm /077)" ]
}

@test "drift -1: one that fails, crashes, vanishes or says nothing is UNKNOWN with the reason, and holds up no other" {
	{ app ok-1; app fail-2; app crash-3; app ok-4; app garbage-5; app mute-6; app nocheckout-7; app norender-8; app ok-9; } | drift
	for i in ok-1 ok-4 ok-9; do [ "$(state $i)" = SYNCED ]; done
	for i in fail-2 crash-3 garbage-5 mute-6 nocheckout-7 norender-8; do [ "$(state $i)" = UNKNOWN ] || { echo $i; cat "$t/out" "$t/err"; false; }; done
	[ "$(brief fail-2)" = "no route to host" ]
	[ "$(brief crash-3)" = "fake live: exit 3" ]
	[ "$(brief garbage-5)" = "fake live: said what is no frame" ]
	[ "$(brief mute-6)" = "the platform said nothing about it" ]
	[ "$(brief nocheckout-7)" = "checkout: commit vanished" ]
	[ "$(brief norender-8)" = "render: chart has no values" ]
}

@test "drift -1: a platform that takes one request only, or answers without ok, is asked on" {
	{ app one-1; app one-2; app one-3; } | drift
	for i in one-1 one-2 one-3; do [ "$(state $i)" = SYNCED ]; done
	[ "$(grep -c '^start live' "$t/bin/log")" -eq 3 ]
	{ app nore-1; app nore-2; } | drift
	for i in nore-1 nore-2; do [ "$(state $i)" = SYNCED ]; done
}

@test "drift -1: the worst target counts, and its reason names it" {
	app ok-1 '"t-1","t-bad"' | drift
	[ "$(state ok-1)" = OUT_OF_SYNC ]
	[ "$(brief ok-1)" = "target edited" ]
	[ "$(jq -r 'select(.kind=="app_state")|.sync_state.reason' "$t/out" | head -n 1)" = "t-bad:" ]
}

@test "drift -1: an application that is being deployed is DEPLOYING, one that was is looked at" {
	{ past ok-1 RUNNING; app ok-1; past ok-2 ROLLING_BACK; app ok-2; app ok-3; past ok-3 SUCCESS; } | drift
	[ "$(state ok-1)" = DEPLOYING ]
	[ "$(state ok-2)" = DEPLOYING ]
	[ "$(state ok-3)" = SYNCED ]
	run ! grep -q 'live ok-[12]' "$t/bin/log"
}

@test "drift -1: what exec wrote down before is known at the start" {
	mkdir "$t/state/journal"
	{ past ok-1 RUNNING; past ok-2 SUCCESS; } >"$t/state/journal/apps.ndjson"
	{ app ok-1; app ok-2; } | drift
	[ "$(state ok-1)" = DEPLOYING ]
	[ "$(state ok-2)" = SYNCED ]
}

@test "drift -1: a wrong configuration is INVALID_CONFIG with the mistakes, one that is gone is nothing" {
	{ app ok-1; frame app_invalid "\"application\":$(model ok-1),\"commit\":\"$commit\",\"reason\":\"app.pipecd.yaml:1:1: kind: missing\""
	  app ok-2; frame app "\"application\":$(model ok-2),\"gone\":true"; } | drift
	[ "$(state ok-1)" = INVALID_CONFIG ]
	[ "$(jq -r 'select(.kind=="app_state")|.sync_state.reason' "$t/out")" = "app.pipecd.yaml:1:1: kind: missing" ]
	[ -z "$(state ok-2)" ]
}

@test "drift -1: a platform that wants the source gets the checkout, and is not rendered" {
	touch "$t/bin/source"
	{ app ok-1; app drift-2; } | drift
	[ "$(state ok-1)" = SYNCED ]
	[ "$(state drift-2)" = OUT_OF_SYNC ]
	run ! grep -q render "$t/bin/log"
	[ "$(grep -c '^live .* dir$' "$t/bin/log")" -eq 2 ]
	[ -z "$(ls "$t/bin/tree")" ]
}

@test "drift -1: a platform without render looks at the source itself" {
	touch "$t/bin/no-render"
	{ app ok-1; app ok-2; } | drift
	[ "$(state ok-1)" = SYNCED ]
	[ "$(state ok-2)" = SYNCED ]
}

@test "drift -1: a platform that is not there, or cannot describe itself, makes UNKNOWN that says so" {
	touch "$t/bin/no-describe"
	{ app ok-1; app ok-2; } | drift
	[ "$(state ok-1)" = UNKNOWN ]
	[[ "$(brief ok-2)" == "pipecd-exec-fake describe gave no answer: exit 3" ]]
	rm "$t/bin/pipecd-exec-fake"
	app ok-3 | drift
	[ "$(state ok-3)" = UNKNOWN ]
	[[ "$(brief ok-3)" == *pipecd-exec-fake* ]]
}

@test "drift -1: what is for others passes as it is; a line that is no frame ends it with 100" {
	{ echo '{"v":1,"kind":"of_later", "x":[1, 2]}'; app ok-1; frame stage_process '"deployment_id":"d","stage_id":"s","pid":1,"started_at":2'; } | drift
	grep -qxF '{"v":1,"kind":"of_later", "x":[1, 2]}' "$t/out"
	grep -q '"kind":"stage_process"' "$t/out"
	run -100 "$t/bin/pipecd-drift" -1 -f "$t/piped.yaml" <<<'nonsense'
	run -100 "$t/bin/pipecd-drift" -1 -b "$t" -f "$t/piped.yaml"
	run -0 "$t/bin/pipecd-drift" -1 -f "$t/piped.yaml" </dev/null
}
