# mdman.awk - a page of share/doc as a man(7) page: headings, paragraphs, lists,
# tables (a row is a term and what it is) and indented text.
BEGIN {
	printf ".TH %s 5 %s PipeCD\n.SH NAME\n", toupper(prog), date
}
# Text to set, by roff.awk: **bold** and `code` in bold, nothing else means anything.
function set(s,	n, p, i, out)
{
	gsub(/\*\*/, "`", s)
	n = split(s, p, "`")
	for (i = 1; i <= n; i++)
		out = out (i % 2 == 0 ? "\\fB" : "") (i == 1 ? esc(p[i]) : substr(esc("x" p[i]), 2)) (i % 2 == 0 ? "\\fR" : "")
	return out
}
function leave()
{
	if (mode == "show")
		print ".RE\n.fi"
	if (mode != "head")
		mode = ""
}
function show(s)
{
	if (mode != "show") { leave(); print (mode == "head" ? "" : ".PP\n") ".nf\n.RS 4" }
	mode = "show"
	print esc(s)
}
function entry(term, s)
{
	leave()
	printf ".TP\n%s\n%s\n", term, set(s)
	mode = "item"
}
# The row before this line: a table's head is never told, as a rule of dashes
# follows it.
function row(	n, cell, i, rest)
{
	if (head == "")
		return
	n = split(head, cell, / *\| */)
	rest = cell[3]
	for (i = 4; i < n; i++)
		if (cell[i] != "")
			rest = rest "; " cell[i]
	entry(set(cell[2]), rest)
	head = mode = ""
}
/^<!--/		{ next }
!/^\|/		{ row() }
/^# /		{ printf "%s \\- %s\n.SH DESCRIPTION\n", esc(prog), esc(about); mode = "head"; next }
/^## /		{ leave(); print ".SH " toupper(esc(substr($0, 4))); mode = "head"; next }
/^$/		{ if (mode == "show") gap = 1; else if (mode != "head") mode = ""; next }
/^(    |\t)/	{
	if (mode == "show" && gap) print ""
	gap = 0
	sub(/^(    |\t)/, "")
	show($0)
	next
}
		{ gap = 0 }
/^- /		{ entry("\\(bu", substr($0, 3)); next }
/^\|[ -]*---/	{ head = ""; mode = ""; next }
/^\|/		{ row(); head = $0; mode = ""; next }
{
	if (mode == "show")
		leave()
	if (mode == "")
		print ".PP"
	if (mode == "item")
		sub(/^ +/, "")
	else
		mode = "text"
	print set($0)
}
END { row(); leave() }
