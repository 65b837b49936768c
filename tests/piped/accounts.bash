# Accounts of their own for the programs, made for one test file and removed
# after it: the users $P-git, $P-plan ... and the groups of services.def.
# `load` after common and agent.

# root_again: where we are not root, the test is run again by sudo.  Use as
#	root_again && return
root_again() {
	[ "$(id -u)" -ne 0 ] || return 1
	sudo -n true || { echo "this test makes accounts: run it as root, or where sudo asks for no password"; exit 1; }
	sudo -n env ROOT="$ROOT" BIN="$BIN" TESTBIN="$TESTBIN" PATH="$PATH" bats -f "^$BATS_TEST_DESCRIPTION\$" "$BATS_TEST_FILENAME" || exit 1
}

ACCOUNTS="git checkout plan exec drift report"

# accounts_make: $P from now on; the programs where all may run them: $A/bin
accounts_make() {
	[ "$(id -u)" -eq 0 ] || return 0
	P=_t$$ A=$(mktemp -d /tmp/pipecd-accounts.XXXXXX)
	export P A
	chmod 755 "$A"
	mkdir "$A/bin"
	cp "$BIN"/pipe* "$A/bin/"
	local n
	for n in '' -mirror -journal -approve; do groupadd -r "$P$n"; done
	for n in $ACCOUNTS; do account_add "$n"; done
}
account_add() { useradd -r -U -M -d /nonexistent -s /usr/sbin/nologin "$P-$1"; }
account_del() { if id "$P-$1" >/dev/null 2>&1; then userdel "$P-$1"; fi; }
accounts_remove() {
	[ "$(id -u)" -eq 0 ] || return 0
	local n
	for n in $ACCOUNTS script host terraform; do account_del "$n"; done
	for n in '' -mirror -journal -approve; do groupdel "$P$n" 2>/dev/null || true; done
	rm -rf "$A"
}

# many_new [more spec lines]: an agent whose host and script have accounts
many_new() {
	PATH=$A/bin:$PATH
	M=$(mktemp -d "$A/agent.XXXXXX")
	chmod 711 "$M"
	umask 022
	agent_new "$M" 1 "${1:-}"
	chmod 600 "$CONF"
	local n
	for n in ${PLATFORMS-host script}; do id "$P-$n" >/dev/null 2>&1 || account_add "$n"; done
	if id "$P-host" >/dev/null 2>&1; then chown -R "$P-host" "$ROOTS"; fi
}
many_start() { agent_start -a "$P" "$@"; }
many_stop() { agent_stop; for n in script host terraform; do account_del "$n"; done; }

# uid NAME, pid_of NAME, stages_are STATUS N
uid() { id -u "$P-$1"; }
pid_of() { piped -s -f "$CONF" --json | jq ".programs[]|select(.name==\"$1\").pid"; }
launched() { piped -s -f "$CONF" --json | jq "[.launched[]?|select(.program==\"$1\" and (.verb//\"\")==\"${2:-}\").pid][0]"; }
ended() { [ "$(journals_with "$1")" -eq "$2" ]; }
