# man.awk - the first comment of a main.c, as a man(7) page.  A line behind one
# tab is text, or "term TAB what it is"; a line behind two goes on with the
# term above, or is shown as it is, or is a list inside the text.
BEGIN {
	printf ".TH %s 1 %s PipeCD\n", toupper(prog), date
}
# End what is open; text behind it begins a paragraph.
function leave()
{
	if (mode == "show")
		print ".RE\n.fi"
	if (mode == "list")
		print ".RE"
	if (mode != "")
		para = 1
	mode = ""
}
function term(s,	at)
{
	at = match(s, /\t+/)
	printf ".TP\n.B %s\n", esc(at ? substr(s, 1, at - 1) : s)
	if (at)
		print esc(substr(s, at + RLENGTH))
	para = 0
}
/^ \*\//		{ leave(); exit }
/^ \* [A-Z][A-Z ]+$/	{ leave(); section = substr($0, 4); print ".SH " section; para = 0; next }
/^ \*$/			{ leave(); para = 1; next }
/^ \*\t\t/ {
	sub(/^ \*\t\t/, "")
	if (mode == "term" || (mode == "list" && /^\t/)) {
		sub(/^\t+/, "")
		print esc($0)
	} else if (mode == "list" || /[^\t]\t/) {
		if (mode != "list") { leave(); print ".RS 4" }
		mode = "list"
		term($0)
	} else {
		if (mode != "show") { leave(); print ".PP\n.nf\n.RS 4" }
		mode = "show"
		print esc($0)
	}
	next
}
/^ \*\t/ {
	sub(/^ \*\t/, "")
	if (/[^\t]\t/ || (section == "OPTIONS" && /^-/) ||
	    (section == "FILES" && /^[^ ]*\/[^ ]*(, [^ ]*\/[^ ]*)*$/)) {
		leave()
		mode = "term"
		term($0)
		next
	}
	leave()
	if (para)
		print ".PP"
	para = 0
	print esc($0)
}
