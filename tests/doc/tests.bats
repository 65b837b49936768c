setup() { load ../lib/common; }

@test "every test that share/doc/tests.md names is there" {
	n=0
	while read -r file name; do
		grep -qF "@test \"$name\" {" "$ROOT/$file" || { echo "$file has no \"$name\""; false; }
		n=$((n + 1))
	done < <(sed -n 's/^- \(tests[^ ]*\) `\(.*\)`$/\1 \2/p' "$ROOT/share/doc/tests.md")
	[ "$n" -gt 80 ]
}
