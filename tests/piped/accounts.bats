# A user per program: piped as root, with accounts that are made here.
load ../lib/common
load ../lib/agent
load ../lib/gitserver
load accounts

setup_file() { accounts_make; }
teardown_file() { accounts_remove; }
teardown() { [ -n "${BATS_TEST_COMPLETED:-}" ] || tail -n 15 "$STATE.err"; many_stop; }

# ids PID: uids, gids and groups of a process, numbers
ids() { awk '/^(Uid|Gid|Groups):/{sub(/^[A-Za-z]+:[ \t]*/,"");sub(/ +$/,"");gsub(/\t/," ");printf "%s%s",s,$0;s="/"}' "/proc/$1/status"; }
gone() { [ ! -d "/proc/$1" ] || grep -q "^State:.Z" "/proc/$1/status"; }
gid() { getent group "$1" | cut -d: -f3; }
# is PID NAME [GROUP...]: it is that user in all ways, in exactly these groups
is() {
	local u g want=
	u=$(uid "$2") g=$(id -g "$P-$2")
	want=$(for n in "" "${@:3}"; do gid "$P$n"; done | sort -n | xargs)
	[ "$(ids "$1")" = "$u $u $u $u/$g $g $g $g/$want" ] || { echo "$2: $(ids "$1"), not $u/$g/$want"; return 1; }
	[ "$(awk '/^CapEff|^CapPrm|^CapAmb/{print $2}' "/proc/$1/status" | sort -u)" = 0000000000000000 ]
}

app_with_script() {
	agent_app web "" "pipeline:
  stages:
    - {name: SCRIPT_RUN, with: {run: '$1'}}
    - {name: HOST_PRIMARY_ROLLOUT}
  alwaysUsePipeline: true"
	sed -i 's/^  pipeline:/  planner: {alwaysUsePipeline: true}\n  pipeline:/; /^    alwaysUsePipeline/d' "$REPO/web/app.pipecd.yaml"
	repo_commit "$REPO" "${2:-one}"
}

@test "each program is its own user, and a commit is deployed through all of them" {
	root_again && return
	many_new
	app_with_script 'id -un; id -Gn; touch /proc/self/attr 2>/dev/null; echo HOME=$HOME'
	many_start -t
	is "$(pid_of gitwatch)" git
	is "$(pid_of plan)" plan -mirror -journal
	is "$(pid_of drift)" drift -journal
	is "$(pid_of exec)" exec
	is "$(pid_of report)" report -journal
	until_true 30 ended SUCCESS 1
	is "$(launched checkout)" checkout -mirror
	# What ran left its name.
	[ "$(stat -c %U "$ROOTS/web-1/web/current/index.html")" = "$P-host" ]
	log=$(cat "$STATE"/journal/*-*.ndjson | jq -r 'select(.kind=="stage_log").text')
	grep -qx "$P-script" <<<"$log"
	grep -qx "$P-script $P" <<<"$log"
	grep -qx "HOME=/nonexistent" <<<"$log"
	grep -q SUCCESS "$STATE.out"
	run -0 piped -s -f "$CONF"
	for n in plan drift exec report; do [[ "$output" == *"$n"*" as $P-$n "* ]]; done
	[[ "$output" == *"gitwatch"*" as $P-git "* ]]
	run ! grep -E 'warn|enied' "$STATE.err"
}

@test "piped -n tells who would be whom" {
	root_again && return
	PLATFORMS=script many_new
	run -0 piped -a "$P" -n -f "$CONF"
	[[ "$output" == *"# plan runs as $P-plan, uid $(uid plan)."* ]]
	[[ "$output" == *"# script runs as $P-script, uid $(uid script)."* ]]
	[[ "$output" == *"# host runs as root."* ]]
	run -0 piped -a "$P-none" -n -f "$CONF"
	[[ "$output" == *"# All programs run as uid 0."* ]]
}

@test "where one account is missing all run as root, and it is named" {
	root_again && return
	many_new
	app_with_script 'id -un'
	userdel "$P-drift"
	many_start
	account_add drift
	[[ "$(cat "$STATE.err")" == *"running as root, and so do all programs: of the accounts these are missing: $P-drift"* ]]
	[ "$(ids "$(pid_of exec)" | cut -d/ -f1)" = "0 0 0 0" ]
	[ "$(stat -c %a "$STATE")" = 700 ]
	until_true 30 ended SUCCESS 1
	# It is there now; a reload does not mix the two.
	kill -HUP "$PIPED"
	until_true 10 grep -q 'reload refused.*accounts of programs are there now: restart piped' "$STATE.err"
}

@test "two programs with one user are refused, and so is root" {
	root_again && return
	many_new
	userdel "$P-drift"
	useradd -r -M -o -u "$(uid exec)" -g "$P-exec" "$P-drift"
	run -100 piped -a "$P" -f "$CONF"
	userdel "$P-drift" && account_add drift
	[[ "$output" == *"users $P-"*" and $P-"*": the same uid: each program needs its own"* ]]
}

@test "a platform without an account runs as root, which is said; making it and a reload change that" {
	root_again && return
	PLATFORMS= many_new
	app_with_script 'id -un'
	many_start
	until_true 30 ended SUCCESS 1
	grep -q "platform host runs as root: there is no user $P-host" "$STATE.err"
	grep -q "scripts run as root: there is no user $P-script" "$STATE.err"
	[ "$(stat -c %U "$ROOTS/web-1/web/current/index.html")" = root ]
	cat "$STATE"/journal/*-*.ndjson | jq -r 'select(.kind=="stage_log").text' | grep -qx root
	account_add host; account_add script
	chown -R "$P-host" "$ROOTS"
	kill -HUP "$PIPED"
	until_true 10 grep -q 'reloaded' "$STATE.err"
	until_true 20 piped -s -f "$CONF"
	echo two >"$REPO/web/index.html"; repo_commit "$REPO" two
	until_true 30 ended SUCCESS 2
	[ "$(stat -c %U "$ROOTS/web-1/web/current/index.html")" = "$P-host" ]
	cat "$STATE"/journal/*-*.ndjson | jq -r 'select(.kind=="stage_log").text' | grep -qx "$P-script"
}

@test "a state directory of one user becomes many users', and one's again" {
	root_again && return
	many_new
	app_with_script 'id -un'
	agent_start
	until_true 30 ended SUCCESS 1
	agent_stop
	chown -R "$P-host" "$ROOTS"
	touch "$STATE/mirror/foreign"
	ln "$STATE/mirror/foreign" "$M/other-name"
	ln -s /etc/shadow "$STATE/journal/link"
	before=$(stat -c '%u %a' /etc/shadow)
	many_start
	[[ "$(cat "$STATE.err")" == *"stateDir $STATE: taken over: mirror journal"*": now each program's own"* ]]
	[ "$(stat -c %U:%G:%a "$STATE/mirror")" = "$P-git:$P-mirror:2750" ]
	[ -z "$(find "$STATE/journal" ! -user "$P-exec")" ]
	# A file with another name may be anybody's, a link leads anywhere.
	[ "$(stat -c %U "$M/other-name")" = root ]
	[ "$(stat -c '%u %a' /etc/shadow)" = "$before" ]
	echo two >"$REPO/web/index.html"; repo_commit "$REPO" two
	until_true 30 ended SUCCESS 2
	agent_stop
	# Nothing to take over a second time.
	many_start
	run ! grep -q 'taken over' "$STATE.err"
	agent_stop
	chown -R root "$ROOTS"
	agent_start
	[[ "$(cat "$STATE.err")" == *"taken over: all of it: now root's alone"* ]]
	[ -z "$(find "$STATE" ! -user root)" ]
	[ "$(stat -c %a "$STATE")" = 700 ]
	echo three >"$REPO/web/index.html"; repo_commit "$REPO" three
	until_true 30 ended SUCCESS 3
	for j in "$STATE"/journal/*-*.ndjson; do pipecd-exec -V "$j"; done
}

@test "a state directory that others cannot reach is refused, naming what is in the way" {
	root_again && return
	many_new
	chmod 700 "$M"
	run -100 piped -a "$P" -f "$CONF"
	[[ "$output" == *"stateDir $STATE: $M has mode 0700, and our programs are other users: chmod o+x"* ]]
}

@test "exec is killed in a stage of another user: the stage is ended, and runs again alone" {
	root_again && return
	many_new
	mkdir -m 777 "$M/w"
	app_with_script "echo begin >>$M/w/log; echo \$\$ >>$M/w/pids; setsid sh -c \"echo \\\$\\\$ >>$M/w/pids; while [ ! -e $M/w/go ]; do sleep 0.1; done; echo late >>$M/w/log\"; echo end >>$M/w/log"
	many_start
	until_true 30 test -s "$M/w/pids"
	until_true 30 eval '[ "$(wc -l <"$M/w/pids")" -ge 2 ]'
	pids=$(cat "$M/w/pids")
	for p in $pids; do [ "$(stat -c %U "/proc/$p")" = "$P-script" ]; done
	kill -9 "$(pid_of exec)"
	until_true 30 eval '[ "$(grep -c begin "$M/w/log")" -ge 2 ]'
	for p in $pids; do until_true 5 gone "$p"; done
	touch "$M/w/go"
	until_true 30 ended SUCCESS 1
	[ "$(grep -c end "$M/w/log")" -eq 1 ]
}

@test "all are killed in a stage of another user: the next piped ends it, and goes on" {
	root_again && return
	many_new
	mkdir -m 777 "$M/w"
	app_with_script "echo begin >>$M/w/log; echo \$\$ >>$M/w/pids; setsid sh -c \"echo \\\$\\\$ >>$M/w/pids; while [ ! -e $M/w/go ]; do sleep 0.1; done\"; echo end >>$M/w/log"
	many_start
	until_true 30 eval '[ "$(cat "$M/w/pids" 2>/dev/null | wc -l)" -ge 2 ]'
	pids=$(cat "$M/w/pids") all=$(piped -s -f "$CONF" --json | jq '.pid,.programs[].pid')
	kill -9 $all
	wait "$PIPED" || true
	for p in $pids; do kill -0 "$p"; done # they outlived it
	many_start
	until_true 30 eval '[ "$(grep -c begin "$M/w/log")" -ge 2 ]'
	for p in $pids; do until_true 5 gone "$p"; done
	touch "$M/w/go"
	until_true 30 ended SUCCESS 1
	[ "$(grep -c end "$M/w/log")" -eq 1 ]
	for j in "$STATE"/journal/*-*.ndjson; do pipecd-exec -V "$j"; done
}

@test "who is in the group of approvers approves by exec's socket, and no program may" {
	root_again && return
	many_new
	agent_app web "" "planner: {alwaysUsePipeline: true}
pipeline:
  stages:
    - {name: WAIT_APPROVAL, with: {approvers: ['uid:54321']}}
    - {name: HOST_PRIMARY_ROLLOUT}"
	repo_commit "$REPO" one
	many_start
	until_true 30 eval 'grep -ql WAIT_APPROVAL "$STATE"/journal/*-*.ndjson'
	d=$(basename "$STATE"/journal/*-*.ndjson .ndjson)
	printf 'apiVersion: pipecd.dev/v1beta1\nkind: Piped\nspec:\n  stateDir: %s\n' "$STATE" >"$M/mine.yaml"
	as() { setpriv --reuid "$1" --regid "$2" --groups "$3" "$A/bin/pipecd-report" -c approve -f "$M/mine.yaml" "$d"; }
	for n in git plan drift report host script checkout; do
		run ! as "$(uid $n)" "$(id -g "$P-$n")" "$(gid "$P"),$(gid "$P-mirror"),$(gid "$P-journal")"
	done
	run ! as 54321 54321 54321
	[[ "$output" == *"Permission denied"* ]]
	run -0 as 54321 54321 "$(gid "$P-approve")"
	until_true 30 ended SUCCESS 1
	grep -q 'approved by uid:54321' "$STATE"/journal/*-*.ndjson
}

@test "a key that root alone can read opens sealed values, for the platform that gets them" {
	root_again && return
	many_new
	openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$M/key.pem" 2>/dev/null
	openssl pkey -in "$M/key.pem" -pubout -out "$M/pub.pem"
	chmod 600 "$M/key.pem"
	sealed=$(printf CANARY-1f | pipecd-gitwatch-checkout -e -k "$M/pub.pem")
	printf '  secretManagement:\n    type: KEY_PAIR\n    config: {privateKeyFile: %s, publicKeyFile: %s}\n' "$M/key.pem" "$M/pub.pem" >>"$CONF"
	mkdir -m 777 "$M/w"
	agent_app web "" "encryption:
  encryptedSecrets: {token: $sealed}
  decryptionTargets: [secret.env]
planner: {alwaysUsePipeline: true}
pipeline:
  stages:
    - {name: SCRIPT_RUN, with: {run: 'pwd >$M/w/dir; cat secret.env >$M/w/seen; while [ ! -e $M/w/go ]; do sleep 0.05; done'}}
    - {name: HOST_PRIMARY_ROLLOUT}"
	echo 'TOKEN={{ .encryptedSecrets.token }}' >"$REPO/web/secret.env"
	repo_commit "$REPO" one
	many_start
	until_true 30 test -s "$M/w/seen"
	[ "$(cat "$M/w/seen")" = TOKEN=CANARY-1f ]
	dir=$(cat "$M/w/dir")
	reads() { setpriv --reuid "$(uid "$1")" --regid "$(id -g "$P-$1")" --groups "$(gid "$P"),$(gid "$P-mirror"),$(gid "$P-journal")" cat "$dir/secret.env" 2>/dev/null; }
	[ "$(reads host)" = TOKEN=CANARY-1f ] # it has a stage of that application
	[ "$(reads script)" = TOKEN=CANARY-1f ]
	for n in git plan exec drift report; do run ! reads "$n"; done
	touch "$M/w/go"
	until_true 30 ended SUCCESS 1
	[ "$(cat "$ROOTS/web-1/web/current/secret.env")" = TOKEN=CANARY-1f ]
	run ! grep -rl CANARY "$STATE" "$STATE.err"
	# drift compared it, too
	until_true 30 eval 'piped -s -f "$CONF"'
}

@test "an application of the host alone is laid out for the host alone" {
	root_again && return
	many_new
	mkdir -m 777 "$M/w"
	agent_app web "activate: \"pwd -P >$M/w/cwd; ls -d /dev/shm/pipecd-$(uid checkout)-*/c-*/a* $STATE/work/checkout/c-*/a* >$M/w/seen 2>/dev/null; while [ ! -e $M/w/go ]; do sleep 0.05; done\""
	repo_commit "$REPO" one
	many_start
	until_true 30 test -e "$M/w/cwd"
	dir=$(find /dev/shm/pipecd-"$(uid checkout)"-* "$STATE/work/checkout" -maxdepth 2 -name 'a[0-9]*' 2>/dev/null | head -n 1)
	[ -d "$dir" ]
	enters() { setpriv --reuid "$(uid "$1")" --regid "$(id -g "$P-$1")" --groups "$(gid "$P"),$(gid "$P-mirror"),$(gid "$P-journal")" ls "$dir" >/dev/null 2>&1; }
	enters host
	enters checkout
	for n in script git plan exec drift report; do run ! enters "$n"; done
	touch "$M/w/go"
	until_true 30 ended SUCCESS 1
}

@test "drift compares what a platform of another user rendered and sees" {
	root_again && return
	SYNC=1s many_new
	agent_app web
	repo_commit "$REPO" one
	many_start -t
	until_true 30 ended SUCCESS 1
	until_true 30 grep -q SYNCED "$STATE.out"
	until_true 30 eval 'ls "$STATE"/cache/objects/*'
	o=$(ls "$STATE"/cache/objects/*)
	setpriv --reuid "$(uid host)" --regid "$(id -g "$P-host")" --groups "$(gid "$P")" cat "$o" >/dev/null
	run ! setpriv --reuid "$(uid script)" --regid "$(id -g "$P-script")" --groups "$(gid "$P")" cat "$o"
	echo hacked >"$ROOTS/web-1/web/current/index.html"
	until_true 30 grep -q OUT_OF_SYNC "$STATE.out"
	[ -z "$(find "$STATE/work/drift" -mindepth 2)" ]
}

@test "nobody reads or writes what is not his: every entry of the state directory, as each user" {
	root_again && return
	printf 'a key\n' >"$A/password"
	chmod 600 "$A/password"
	SYNC=1s many_new "  git: {username: bot, passwordFile: $A/password}"
	agent_app other
	repo_commit "$REPO" one
	many_start -t
	until_true 30 ended SUCCESS 1
	until_true 30 eval 'ls "$STATE"/cache/objects/*'
	mkdir -m 777 "$M/w"
	app_with_script "touch $M/w/on; while [ ! -e $M/w/go ]; do sleep 0.05; done"
	until_true 30 test -e "$M/w/on"
	run "$BATS_TEST_DIRNAME/may" "$P" "$STATE" "$PIPED" "$CONF" "$A/password"
	[ "$status" -eq 0 ] || { echo "$output"; false; }
	echo "# ${lines[-1]}" >&3
	touch "$M/w/go"
	until_true 30 ended SUCCESS 2
	# Whoever is started while another is there shares nothing with it.
	run ! grep enied "$STATE.err"
}

@test "gitwatch gets an ssh key that root alone can read, and a new one by a reload" {
	root_again && return
	SYNC=1s many_new "  git:
    sshKeyFile: $A/key
    knownHostsFile: $A/known_hosts"
	ssh_start
	trap servers_stop EXIT
	install -m 600 "$SSH_KEY" "$A/key"
	install -m 644 "$SSH_HOSTS" "$A/known_hosts"
	agent_app web
	repo_commit "$REPO" one
	sed -i "s|remote: $REPO|remote: ssh://root@127.0.0.1:$SSH_PORT$REPO|" "$CONF"
	many_start
	until_true 30 ended SUCCESS 1
	run ! grep -r "$(sed -n 2p "$A/key")" "$STATE"
	# Another key comes with a reload, and only gitwatch is started again.
	plan=$(pid_of plan) git=$(pid_of gitwatch)
	echo >>"$A/key"
	kill -HUP "$PIPED"
	until_true 10 grep -q 'gitwatch restart: its configuration changed' "$STATE.err"
	until_true 10 piped -s -f "$CONF"
	[ "$(pid_of plan)" = "$plan" ]
	[ "$(pid_of gitwatch)" != "$git" ]
	is "$(pid_of gitwatch)" git
	echo two >"$REPO/web/index.html"; repo_commit "$REPO" two
	until_true 30 ended SUCCESS 2
	servers_stop
}

@test "terraform runs as its own user, and keeps its state where no other program looks" {
	root_again && return
	TF=$("$ROOT/share/mk/terraform-peer" -n) || skip "no terraform (share/mk/terraform-peer)"
	cp "$TF" "$A/bin/"
	PLATFORMS="terraform" many_new "    - name: terraform
      deployTargets:
        - {name: prod}
  tools: {$(basename "$TF"): {path: $A/bin/$(basename "$TF")}}"
	mkdir -p "$REPO/infra"
	printf 'resource "terraform_data" "app" { input = "v1" }\n' >"$REPO/infra/main.tf"
	printf 'apiVersion: pipecd.dev/v1beta1\nkind: Application\nspec:\n  name: infra\n  deployTargets: [prod]\n  plugins:\n    terraform: {}\n' >"$REPO/infra/app.pipecd.yaml"
	repo_commit "$REPO" one
	many_start
	until_true 60 ended SUCCESS 1
	run -0 find "$STATE/terraform" -name terraform.tfstate -user "$P-terraform"
	[ -n "$output" ]
	[ "$(stat -c %U:%a "$STATE/terraform" "$STATE/cache/terraform" "$STATE/work/terraform" | sort -u)" = "$P-terraform:700" ]
}

@test "rm -r of the state directory: it is made anew, each with its own user" {
	root_again && return
	many_new
	agent_app web
	repo_commit "$REPO" one
	many_start
	until_true 30 ended SUCCESS 1
	rm -rf "$STATE"
	until_true 20 grep -q 'made anew' "$STATE.err"
	until_true 20 piped -s -f "$CONF"
	[ "$(stat -c %U "$STATE/journal")" = "$P-exec" ]
	is "$(pid_of exec)" exec
	until_true 30 test -d "$STATE/mirror/web.git"
}

@test "the capabilities that the drop-in leaves are enough, where all have accounts" {
	root_again && return
	many_new
	mkdir -m 777 "$M/w"
	app_with_script "id -u >>$M/w/log; setsid sh -c \"while [ ! -e $M/w/go ]; do sleep 0.1; done\""
	caps=$(sed -n 's/^#CapabilityBoundingSet=//p' "$ROOT/share/systemd/piped-accounts.conf" | tr 'A-Z' 'a-z' | sed 's/cap_/+/g; s/ /,/g')
	[[ "$caps" == *+setuid* ]]
	setpriv --bounding-set="-all,$caps" "$A/bin/piped" -a "$P" -f "$CONF" >"$STATE.out" 2>"$STATE.err" 3>&- &
	PIPED=$!
	until_true 30 test -s "$M/w/log"
	[ "$(stat -c %a:%G "$STATE/journal")" = "2750:$P-journal" ]
	kill -9 "$(pid_of exec)"
	until_true 30 eval '[ "$(wc -l <"$M/w/log")" -eq 2 ]'
	touch "$M/w/go"
	until_true 30 ended SUCCESS 1
}
