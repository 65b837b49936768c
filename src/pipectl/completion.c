#include <stdio.h>

#include "ctl.h"

/* Scripts that ask `pipectl __complete` what could come next. */

int
completion_bash(struct ctl *c, struct err *e)
{
	(void)c, (void)e;
	puts("_pipectl() {\n"
	     "\tlocal IFS=$'\\n'\n"
	     "\tCOMPREPLY=($(pipectl __complete "
	     "\"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null))\n"
	     "}\n"
	     "complete -o default -F _pipectl pipectl");
	return RC_OK;
}

int
completion_zsh(struct ctl *c, struct err *e)
{
	(void)c, (void)e;
	puts("#compdef pipectl\n"
	     "_pipectl() {\n"
	     "\tlocal -a found\n"
	     "\tfound=(${(f)\"$(pipectl __complete "
	     "\"${words[@]:1:$((CURRENT-1))}\" 2>/dev/null)\"})\n"
	     "\tif (( $#found )); then compadd -a found; else _files; fi\n"
	     "}\n"
	     "compdef _pipectl pipectl");
	return RC_OK;
}

int
completion_fish(struct ctl *c, struct err *e)
{
	(void)c, (void)e;
	puts("complete -c pipectl -a '(pipectl __complete "
	     "(commandline -opc)[2..] (commandline -ct) 2>/dev/null)'");
	return RC_OK;
}
