load ../lib/common
load ../lib/piped

setup() { piped_setup; }
teardown() { piped_teardown; }

@test "each program has the listed descriptors and no other" {
	for p in plan drift exec gitwatch; do
		printf '#!/bin/sh\nls -l /proc/self/fd | sed -n "s/.* \\([0-9]*\\) -> .*/\\1/p" | sort -n | tr "\\n" " " >"$TMPDIR/fds.${0##*/}"\n[ -n "$PIPECD_READY" ] && echo >&4\nexec sleep 1000\n' >"$A/bin/pipecd-$p"
	done
	exec 77</dev/null
	piped_start; piped_ready
	exec 77<&-
	# ls itself opens one more, the lowest that is free.
	[ "$(cat "$A/fds.pipecd-plan")" = "0 1 2 3 4 5 6 " ]
	[ "$(cat "$A/fds.pipecd-exec")" = "0 1 2 3 4 5 6 " ]
	[ "$(cat "$A/fds.pipecd-gitwatch")" = "0 1 2 3 4 5 " ]
}

@test "a secret is in the memory file and environment of its program alone" {
	cat >"$A/piped.yaml" <<-EOF
	apiVersion: pipecd.dev/v1beta1
	kind: Piped
	spec:
	  stateDir: $S
	  git: {username: dev, password: Q0FOQVJZLWdpdA==}
	  secretManagement:
	    type: KEY_PAIR
	    config: {privateKeyData: Q0FOQVJZLXNlYWw=, publicKeyData: cHVibGlj}
	  plugins:
	  - name: host
	    config: {token: CANARY-host}
	  - name: terraform
	    config: {token: CANARY-terraform}
	EOF
	canaries='Q0FOQVJZ|CANARY'
	CANARY_ENV=CANARY-env TF_VAR_token=CANARY-tf piped_start; piped_ready
	for p in plan drift exec gitwatch; do
		pid=$(pid_of $p)
		run eval "cat /proc/$pid/fd/3; tr '\\0' '\\n' </proc/$pid/environ"
		case $p in
		gitwatch) [ "$(grep -oE "$canaries[A-Za-z0-9=-]*" <<<"$output" | sort -u)" = Q0FOQVJZ ] &&
			[[ "$output" == *Q0FOQVJZLWdpdA* && "$output" != *Q0FOQVJZLXNlYWw* ]] ;;
		*) [[ ! "$output" =~ $canaries ]] ;;
		esac
	done
	run ! grep -rqE "$canaries" "$S" "$A/err"
}

@test "the config descriptor is sealed" {
	piped_start; piped_ready
	run -0 python3 - "$(pid_of plan)" <<-'EOF'
	import fcntl, os, sys
	path = f"/proc/{sys.argv[1]}/fd/3"
	print(fcntl.fcntl(os.open(path, os.O_RDONLY), 1034) & 15)  # F_GET_SEALS
	for flags in (os.O_RDWR, os.O_RDONLY | os.O_TRUNC):
	    try:
	        os.write(os.open(path, flags), b"x")
	    except OSError as e:
	        print(type(e).__name__)
	EOF
	# All of them: seal, shrink, grow, write.
	[ "$output" = $'15\nPermissionError\nPermissionError' ]
}

@test "a program's environment is what services.def says, and no more" {
	SECRET=1 AWS_SECRET_ACCESS_KEY=2 SSH_AUTH_SOCK=/agent XDG_RUNTIME_DIR=/xdg piped_start; piped_ready
	names=$(tr '\0' '\n' <"/proc/$(pid_of plan)/environ" | cut -d= -f1 | grep -vE 'SAN_OPTIONS$|^SSL_CERT' | sort | tr '\n' ' ')
	[ "$names" = "HOME LANG PATH PIPECD_CONF PIPECD_READY PIPECD_SUPER TMPDIR TZ " ]
	names=$(tr '\0' '\n' <"/proc/$(pid_of gitwatch)/environ" | cut -d= -f1 | grep -vE 'SAN_OPTIONS$|^SSL_CERT' | sort | tr '\n' ' ')
	[ "$names" = "HOME LANG PATH PIPECD_CONF PIPECD_READY SSH_AUTH_SOCK TMPDIR TZ " ]
}
