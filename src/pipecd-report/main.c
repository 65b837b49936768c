/*
 * NAME
 *	pipecd-report - show what happens to deployments
 * SYNOPSIS
 *	pipecd-report -t [-f config]
 * DESCRIPTION
 *	With -t, a filter: reads frames and writes them as text for people.  It
 *	ends with its input, and then sums up:
 *		3 deployments: 2 SUCCESS, 1 FAILURE
 *
 *	Everything that others wrote (names, commit messages, logs) is made
 *	harmless first: escape sequences, control characters, direction
 *	overrides and invisible characters are shown as \x1b or \u202e;
 *	colours are left out.
 * OPTIONS
 *	-f config	the Piped configuration; -t only quotes it in hints
 *	-t	frames on stdin to text on stdout
 *	-v	more on stderr
 * INPUT
 *	head, app, app_invalid, app_state, deployment, stage_start, stage_log,
 *	stage_meta, stage_done, held, command, command_done, err; other kinds
 *	say nothing to people and are skipped.  A line that is no frame is an
 *	error that names it.
 * OUTPUT
 *	Where stdout is no terminal, one event per line:
 *		time application deployment what happened
 *	Time is UTC, as the frames have it ("-" while none has named one); the
 *	application's name is one word (blanks become _); the deployment is the
 *	first 8 characters of its id, "-" where there is none.  Logs of stages,
 *	and what belongs to the line above, are indented by two more blanks.
 *	A status is said once, however often its frame is repeated.
 *
 *	On a terminal a deployment that runs has one line, drawn again in place,
 *	with its stages, the one that runs, how long, and the last line of its
 *	log; below them is a line that sums up.  What has ended, what is held,
 *	drift and wrong configurations scroll up and stay, a failure with the
 *	last lines of its log.  Colours are used only there, and not when
 *	NO_COLOR is set and not empty.  TERM=dumb has plain lines.
 * EXIT STATUS
 *	0	the input was read to its end, whatever it said
 *	100	usage; a line that is no frame
 *	111	the input was cut off; stdout is gone
 * PRIVILEGES
 *	-t reads stdin and nothing else.  No network, no secrets.
 * BUGS
 *	Characters that a terminal draws wider than wcwidth(3) says can make a
 *	line wrap.
 * SEE ALSO
 *	pipecd-exec(1), pipecd-report-summary(1)
 */
#include <string.h>
#include <unistd.h>

#include "report.h"

static const char synopsis[] = "pipecd-report -t [-f config]";

int
main(int argc, char *argv[])
{
	struct err e = { 0 };
	const char *config = NULL;
	bool text = false, verbose = false;
	int c;

	log_open("pipecd-report", LOG_INFO);
	while ((c = getopt(argc, argv, "f:tv")) != -1) {
		switch (c) {
		case 'f':
			config = optarg;
			break;
		case 't':
			text = true;
			break;
		case 'v':
			verbose = true;
			break;
		default:
			usage(synopsis);
		}
	}
	if (verbose)
		log_open("pipecd-report", LOG_DEBUG);
	if (!text || optind < argc)
		usage(synopsis);
	if (report_text(STDIN_FILENO, config, &e) == -1)
		die(&e);
	return RC_OK;
}
