load plan.bash
setup() {
	plan_setup
	mkdir -m 700 "$D/bus"
	BUS=$TESTBIN/libbus/bus
}
teardown() {
	[ -z "${PLAN:-}" ] || kill "$PLAN" 2>/dev/null || true
	[ -z "${HEAR:-}" ] || kill "$HEAR" 2>/dev/null || true
}
daemon() {
	"$BUS" hear report "$D/bus" 1000000 >"$D/heard" 2>"$D/hear.err" 3>&- &
	HEAR=$!
	inbox "$D/bus" report plan
	pipecd-plan -b "$D/bus" -f "$D/piped.yaml" 2>"$D/plan.err" 3>&- &
	PLAN=$!
	inbox "$D/bus" plan gitwatch exec drift report
}
say() { "$BUS" say "$1" "$D/bus"; } # PROGRAM <FRAMES
heard() { [ "$(planned <"$D/heard" | jq -r --arg n "$1" 'select(.deployment.application_name==$n).deployment.status' | wc -l)" -ge "${2:-1}" ]; }
pending() { [ "$(jq -c --arg n "$1" 'select(.kind=="deployment" and .deployment.application_name==$n and (.deployment.status//"PENDING")=="PENDING")' "$D/heard" | wc -l)" -ge "${2:-1}" ]; }

held() { [ "$(grep -c '"kind":"held"' "$D/heard")" -ge "$1" ]; }
said_twice() { [ "$(grep -c '"kind":"app"' "$D/heard")" -ge 2 ]; }

@test "as a daemon it says on the bus what it says in a pipe" {
	app one
	commit first
	daemon
	head_frame | say gitwatch
	until_true 5 heard one
	pending one
}

@test "a deployment is said again until past shows it" {
	app one
	commit first
	daemon
	head_frame | say gitwatch
	until_true 10 heard one 3
	planned <"$D/heard" | head -n 1 | done_frames RUNNING | say exec
	[ "$(planned <"$D/heard" | jq -r .deployment.id | sort -u | wc -l)" -eq 1 ]
	n=$(planned <"$D/heard" | grep -c '"application_name":"one"')
	app two
	commit second
	head_frame | say gitwatch
	until_true 10 heard two 3
	[ "$(planned <"$D/heard" | grep -c '"application_name":"one"')" -eq "$n" ]
}

@test "while one is unfinished the next waits, and is planned against what then runs" {
	app one
	a=$(commit first)
	plan_head >"$D/first"
	done_frames RUNNING <"$D/first" >"$D/state/journal/apps.ndjson"
	echo new >"$D/web/one/index.html"
	commit second
	daemon
	head_frame | say gitwatch
	until_true 5 pending one
	! heard one
	done_frames SUCCESS <"$D/first" | say exec
	until_true 5 heard one
	[ "$(planned <"$D/heard" | head -n 1 | jq -r .deployment.running_commit_hash)" = "$a" ]
}

@test "a newer head takes the place of a deployment that waits" {
	app one
	commit first
	plan_head >"$D/first"
	done_frames RUNNING <"$D/first" >"$D/state/journal/apps.ndjson"
	echo new >"$D/web/one/index.html"
	b=$(commit second)
	echo newer >"$D/web/one/index.html"
	c=$(commit third)
	daemon
	head_frame "$b" | say gitwatch
	until_true 5 pending one
	head_frame "$c" | say gitwatch
	until_true 5 pending one 2
	done_frames SUCCESS <"$D/first" | say exec
	until_true 5 heard one
	[ "$(planned <"$D/heard" | jq -r .deployment.trigger.commit.hash | sort -u)" = "$c" ]
}

@test "what failed a mirror once is no end: the next head is taken" {
	app one
	c=$(repo_commit "$D/web" first)
	daemon
	head_frame "$c" | say gitwatch
	until_true 5 grep -q 'is not there yet' "$D/plan.err"
	mirror
	head_frame "$c" | say gitwatch
	until_true 5 heard one
}

@test "what is held is said again, and deploys once a sync command confirms it" {
	app one
	commit first
	deployed
	rm "$D/web/one/index.html"
	commit second
	id=$(jq -r .application_id "$D/state/journal/apps.ndjson")
	daemon
	head_frame | say gitwatch
	until_true 5 held 1
	head_frame | say gitwatch
	until_true 5 held 2
	! pending one
	frame command "\"command\":{\"id\":\"c1\",\"piped_id\":\"p\",\"application_id\":\"$id\",\"commander\":\"ann\",\"type\":\"SYNC_APPLICATION\",\"sync_application\":{\"application_id\":\"$id\"},\"created_at\":1,\"updated_at\":1}" | say exec
	until_true 5 heard one
	until_true 5 grep -q '"kind":"command_done"' "$D/heard"
}

@test "applications are said again, for whom the frame was lost to" {
	app one
	commit first
	daemon
	head_frame | say gitwatch
	until_true 5 grep -q '"kind":"app"' "$D/heard"
	head_frame | say gitwatch
	until_true 5 said_twice
}

@test "when the running commit vanishes, the tree it had is remembered" {
	app one
	app two
	commit first
	plan_head >"$D/first"
	daemon
	head_frame | say gitwatch
	until_true 5 heard two
	done_frames SUCCESS <"$D/first" | say exec
	rm -rf "$D/state/mirror/web.git"
	git -C "$D/web" checkout -q --orphan fresh
	echo new >"$D/web/one/index.html"
	c=$(repo_commit "$D/web" rewritten)
	git -C "$D/web" branch -q -M fresh main
	mirror
	: >"$D/heard"
	head_frame "$c" | say gitwatch
	until_true 5 heard one
	until_true 5 grep -q '"kind":"app"' "$D/heard"
	[[ "$(planned <"$D/heard" | head -n 1 | jq -r .deployment.summary)" == *"base lost"* ]]
	! planned <"$D/heard" | grep -q '"application_name":"two"'
}

@test "SIGTERM ends it with 0" {
	daemon
	kill -TERM "$PLAN"
	rc=0
	wait "$PLAN" || rc=$?
	PLAN=
	[ "$rc" -eq 0 ]
}

@test "a platform whose vote fails is asked again before it counts as none" {
	fake_platform host "$HOST_STAGES" true
	sed -i "s|^plan)|plan) [ -e '$D/asked.once' ] \|\| { : >'$D/asked.once'; exit 1; }|" "$D/host.sh"
	plugin host web-1 | piped
	echo '{"v":1,"kind":"vote","strategy":"QUICK_SYNC","summary":"second time"}' >"$D/host.vote"
	app one
	commit first
	daemon
	head_frame | say gitwatch
	second() { [ -s "$D/host.plan.in" ] && heard one; }
	until_true 10 second
	grep -q 'again in 1s' "$D/plan.err"
}

# slow's describe hangs until "$D/go" is there.
slow_platform() {
	fake_platform slow '{"name":"SLOW_SYNC","quick":true}'
	sed -i "s,^describe),&\n\techo asked >>'$D/slow.began'; while [ ! -e '$D/go' ]; do sleep 0.05; done," "$D/slow.sh"
	{ plugin host web-1; plugin slow s1; } | piped
	app one
	sed -i 's/host:/slow:/' "$D/web/one/app.pipecd.yaml"
	app two
	sed -i 's/^  name: two/&\n  deployTargets: [web-1]/' "$D/web/two/app.pipecd.yaml"
}

@test "a platform that is slow to say what it does holds up only its own applications" {
	slow_platform
	commit first
	daemon
	head_frame | say gitwatch
	until_true 10 test -e "$D/slow.began"
	until_true 5 heard two
	pending one
	! heard one
	touch "$D/go"
	until_true 5 heard one
	[ "$(planned <"$D/heard" | jq -r 'select(.deployment.application_name=="one").deployment.status' | head -n 1)" = PLANNED ]
	[ "$(wc -l <"$D/slow.began")" -eq 1 ]
}
