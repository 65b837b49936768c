/*
 * NAME
 *	pipecd-report - tell a control plane, and people, what happens
 * SYNOPSIS
 *	pipecd-report [-1tv] [-b dir] [-f config] | -l | -c order id [stage]
 * DESCRIPTION
 *	The agent's door to a control plane that speaks PipeCD's interface, ours
 *	or PipeCD's own: the one that spec.apiAddress names.  It reads the
 *	journals that pipecd-exec writes and reports each record once, in order;
 *	how far it came stands in STATEDIR/report, so that an outage of a day on
 *	either side costs nothing but time.  Of what is told a control plane and
 *	happens outside of deployments (wrong configurations, drift, what became
 *	of a command) it keeps the newest until it was taken.
 *
 *	With -b, as piped starts it, it also brings back what the control plane
 *	wants: which applications are registered (nothing else is deployed
 *	then), commands, and deployments that are not finished, of which an
 *	agent with an empty disk knows nothing.  Our control plane says so at
 *	once; PipeCD's is asked each 5 seconds.  Ours also knows when a second
 *	agent runs with the same identity: the older one is then fenced off,
 *	reports nothing more and begins no deployment.
 *
 *	Without -b and -t it is the end of a pipe: it reads frames until their
 *	end, reports what the journals hold, and ends.  With -1 it does that
 *	without a pipe, for cron.
 *
 *	With -t, a filter: reads frames and writes them as text for people.  It
 *	ends with its input, and then sums up:
 *		3 deployments: 2 SUCCESS, 1 FAILURE
 *
 *	Everything that others wrote (names, commit messages, logs) is made
 *	harmless first: escape sequences, control characters, direction
 *	overrides and invisible characters are shown as \x1b or \u202e;
 *	colours are left out.
 *
 *	With -l, lists the deployments that have not ended, from the journals,
 *	and for one that waits for approval the command that approves it.
 *
 *	With -c, gives an order to the pipecd-exec that runs on this state
 *	directory, under piped or in a shell pipe, on behalf of who calls: the
 *	approver is the user that the kernel names.
 *		approve	the stage that waits for approval
 *		cancel	the deployment, which is then rolled back; a second
 *			time: at once
 *		skip	the stage, where it can be
 *		sync	deploy the application anew
 *	The id is a deployment's id, for sync an application's id or name; the
 *	beginning of an id is enough where it is the only one.  A stage, by id
 *	or name, has it refused unless that is the stage in hand.
 * OPTIONS
 *	-1	report what is there, and end
 *	-b dir	the bus directory: a daemon until SIGTERM.  With -t, text of
 *		what the agent says there as well (`piped -t` starts it so)
 *	-c order	approve, cancel, skip or sync
 *	-f config	the Piped configuration, for its stateDir; in -t
 *		only quoted, in hints
 *	-l	list what has not ended
 *	-t	frames to text on stdout
 *	-v	more on stderr
 * INPUT
 *	As text: head, app, app_invalid, app_state, deployment, stage_start,
 *	stage_process, stage_log, stage_meta, stage_done, held, command,
 *	command_done, err; other kinds say nothing to people and are skipped.
 *	For the control plane: the journals, and app, app_state, live, held,
 *	command_done.  A line that is no frame is an error that names it.
 * OUTPUT
 *	To the agent's other programs: app, command, resume, nudge, fenced.
 *
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
 *	0	done; -t: the input was read to its end, whatever it said
 *	1	-c: refused, and why is on stderr
 *	100	usage; configuration; a line that is no frame
 *	111	nobody is there to ask, or did not answer; the input was cut
 *		off; stdout is gone; -1 or a pipe: not all could be reported
 * FILES
 *	STATEDIR/run/exec/exec.sock	where exec listens
 *	STATEDIR/journal/	what is reported, and what -l reads
 *	STATEDIR/report/cursor/	how far each journal was reported
 *	STATEDIR/report/outbox.ndjson	facts that were not taken yet
 *	STATEDIR/report/apps.ndjson	what is registered, as last heard
 * PRIVILEGES
 *	As the door it holds the agent's key and speaks to the control plane
 *	alone; locked down, it reads the state directory and writes to
 *	STATEDIR/report.  -t alone reads stdin and nothing else.  -c and -l are
 *	for who may enter the state directory.
 * BUGS
 *	Characters that a terminal draws wider than wcwidth(3) says can make a
 *	line wrap.
 * SEE ALSO
 *	pipecd-exec(1), pipecd-report-summary(1)
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf.h"
#include "door.h"
#include "report.h"

static const char synopsis[] =
    "pipecd-report [-1tv] [-b dir] [-f config] | -l | -c order id [stage]";

struct options {
	bool text, list, once;
	const char *order, *config, *bus;
	char *const *args;
	int n_args;
};

static void
options_parse(struct options *o, int argc, char *argv[])
{
	int c;

	while ((c = getopt(argc, argv, "1b:c:f:ltv")) != -1) {
		switch (c) {
		case '1':
			o->once = true;
			break;
		case 'b':
			o->bus = optarg;
			break;
		case 'c':
			o->order = optarg;
			break;
		case 'f':
			o->config = optarg;
			break;
		case 'l':
			o->list = true;
			break;
		case 't':
			o->text = true;
			break;
		case 'v':
			log_open("pipecd-report", LOG_DEBUG);
			break;
		default:
			usage(synopsis);
		}
	}
	o->args = argv + optind;
	o->n_args = argc - optind;
	if ((o->text || o->bus != NULL || o->once) + o->list +
		    (o->order != NULL) >
		1 ||
	    (o->once && (o->text || o->bus != NULL)) ||
	    (o->order == NULL && o->n_args > 0) ||
	    (argc == 1 && getenv("PIPECD_CONF") == NULL))
		usage(synopsis);
}

/* The door, and with -t what happens as text besides. */
static int
door(struct conf_piped *c, const struct options *o, struct err *e)
{
	struct report r;
	int rv;

	if (c->api_address == NULL && o->text)
		return report_daemon(o->bus, e);
	if (c->api_address == NULL)
		return err_set(e, RC_PERM,
		    "without spec.apiAddress there is no control plane to "
		    "report to");
	if (!o->text)
		return door_main(c, o->bus, o->once, NULL, e);
	report_begin(&r, NULL);
	rv = door_main(c, o->bus, o->once, &r, e);
	return report_end(&r, rv, e);
}

int
main(int argc, char *argv[])
{
	struct options o = { 0 };
	struct arena *a = arena_new();
	struct conf_piped conf;
	struct err e = { 0 };
	int rv = -1;

	log_open("pipecd-report", LOG_INFO);
	options_parse(&o, argc, argv);
	if (o.text && o.bus == NULL)
		rv = report_text(STDIN_FILENO, o.config, &e);
	else if (o.text && o.config == NULL && getenv("PIPECD_CONF") == NULL)
		rv = report_daemon(o.bus, &e);
	else if (conf_piped_open(&conf, o.config, a, &e) == -1)
		rv = -1;
	else if (!o.list && o.order == NULL)
		rv = door(&conf, &o, &e);
	else if (o.list)
		rv = report_list(conf.state_dir,
		    o.config != NULL ? o.config : "piped.yaml", &e);
	else
		rv = report_command(o.order, o.args, conf.state_dir, &e);
	arena_free(a);
	if (rv == -1)
		die(&e);
	return rv;
}
