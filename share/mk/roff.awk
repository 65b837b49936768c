# roff.awk - text as man(7) takes it; used with man.awk and mdman.awk.
function esc(s)
{
	gsub(/\\/, "\\e", s)
	gsub(/-/, "\\-", s)
	gsub(/\t+/, "  ", s)
	sub(/^[.']/, "\\\\\\&&", s)
	return s
}
