setup() {
	load common
	cd "$ROOT" || return 1
}

# section MAIN.C NAME: a section of its first comment
section() {
	awk -v want="$2" '/^ \* [A-Z][A-Z ]+$/ { on = substr($0, 4) == want; next } /^ \*\// { exit }
		on { sub(/^ \*[ \t]*/, ""); print }' "$1"
}
program() { local p=${1#src/}; p=${p%/main.c}; echo "${p//\//-}"; }

@test "manual: the usage line of every program is its SYNOPSIS, and usage exits 100" {
	for main in src/*/main.c src/*/*/main.c; do
		prog=$(program "$main")
		run -100 "$prog" '-?' </dev/null
		[ "${lines[-1]}" = "usage: $(section "$main" SYNOPSIS)" ] || { echo "$prog: $output"; return 1; }
	done
}

@test "manual: every program says what it is, takes, writes, needs and ends with" {
	for main in src/*/main.c src/*/*/main.c; do
		for name in NAME SYNOPSIS DESCRIPTION OPTIONS INPUT OUTPUT 'EXIT STATUS' PRIVILEGES 'SEE ALSO'; do
			[ -n "$(section "$main" "$name")" ] || { echo "$main: no $name"; return 1; }
		done
		[[ $(section "$main" NAME) = "$(program "$main") - "* ]] || { echo "$main: NAME"; return 1; }
	done
}

@test "manual: what SEE ALSO names is there, or another package's" {
	known=' ssh(1) jq(1) piped.yaml(5) app.pipecd.yaml(5) control-plane.yaml(5) pipecd-frames(5) pipecd-journal(5) '
	for main in src/*/main.c src/*/*/main.c; do known+="$(program "$main")(1) "; done
	for main in src/*/main.c src/*/*/main.c; do
		for page in $(section "$main" 'SEE ALSO' | tr ',' ' '); do
			[[ $known = *" $page "* ]] || { echo "$main: $page"; return 1; }
		done
	done
}

@test "manual: no line of a first comment has lost its tab" {
	run -1 awk 'FNR == 1 { on = 1 } /^ \*\// { on = 0 } on && /^ \*[^ \t]/ { print FILENAME ": " $0; bad = 1 }
		END { exit !bad }' src/*/main.c src/*/*/main.c
}
