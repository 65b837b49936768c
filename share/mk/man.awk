# man.awk - the first comment of a main.c, as a man(7) page.
BEGIN		{ printf ".TH %s 1\n", toupper(prog) }
/^ \*\//	{ exit }
/^ \* [A-Z][A-Z ]+$/ { sub(/^ \* /, ""); printf ".SH %s\n", $0; next }
/^ \*\t\t/	{ sub(/^ \*\t\t/, ""); gsub(/\\/, "\\e"); gsub(/-/, "\\-"); print ".br\n" $0; next }
/^ \*\t-[^\t]+\t/ { sub(/^ \*\t/, ""); split($0, a, /\t+/); gsub(/-/, "\\-", a[1]); gsub(/-/, "\\-", a[2]); printf ".TP\n.B %s\n%s\n", a[1], a[2]; next }
/^ \*\t/	{ sub(/^ \*[ \t]+/, ""); gsub(/\\/, "\\e"); gsub(/-/, "\\-"); sub(/^\./, "\\\\\\&."); print; next }
/^ \*$/		{ print ".PP" }
