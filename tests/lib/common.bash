# What every bats file loads.  $BIN and $TESTBIN come from tests/run.
bats_require_minimum_version 1.5.0
: "${ROOT:=$(cd "${BASH_SOURCE[0]%/*}/../.." && pwd)}"
: "${BIN:=$ROOT/bin}" "${TESTBIN:=$ROOT/build/plain/tests}"
PATH="$BIN:$PATH"
export LC_ALL=C TZ=UTC GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
export GIT_AUTHOR_NAME=dev GIT_AUTHOR_EMAIL=dev@example.com
export GIT_COMMITTER_NAME=dev GIT_COMMITTER_EMAIL=dev@example.com
export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=0}"

# frame KIND ['"k":"v",...']: one line
frame() { printf '{"v":1,"kind":"%s"%s}\n' "$1" "${2:+,$2}"; }

# repo_new DIR: an empty repository on branch main
repo_new() { git init -q -b main "${1:?}"; }

# repo_commit DIR MESSAGE: commit all that is there; prints the id
repo_commit() { git -C "${1:?}" add -A && git -C "$1" commit -q --allow-empty -m "$2" && git -C "$1" rev-parse HEAD; }

# until_true SECONDS COMMAND...: poll a condition that has no event to wait for
until_true() {
	local end=$((SECONDS + $1)); shift
	until "$@"; do [ "$SECONDS" -lt "$end" ] || { echo "never true: $*"; return 1; }; sleep 0.02; done
}

# inbox DIR TO FROM...: until TO, on the bus in DIR, takes what FROM says
inbox() { local d=$1 to=$2 f; shift 2; for f; do until_true 20 test -S "$d/$to.$f/tell"; done; }
