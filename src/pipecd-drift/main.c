/*
 * NAME
 *	pipecd-drift - say where what runs differs from git
 * SYNOPSIS
 *	pipecd-drift [-1v] [-b dir] [-f config]
 * DESCRIPTION
 *	Looks at every application on its clock, and after each deployment: has
 *	its platform say what should run (`render`, once for each state of its
 *	files) and compare that with what does (`live`), and says what it came
 *	to.
 *
 *	As a daemon (-b) it learns the applications from frames, and looks at
 *	each every syncInterval, or as often as its platform wants (Terraform:
 *	every 10 minutes).  Otherwise it is a filter: it reads applications
 *	until its input ends, looks at each once, and ends:
 *		pipecd-gitwatch -1 -f piped.yaml | pipecd-plan -f piped.yaml |
 *		    pipecd-drift -1 -f piped.yaml | pipecd-report -t
 *	A deployment that is only planned in such a pipe changes nothing yet.
 *
 *	Where the platform compares hashes of what render said, and finds a
 *	difference, it is asked once more beside the source, and says in which
 *	lines.  Of files into which secrets were opened it does not.
 *
 *	An application that is being deployed is DEPLOYING and is not looked at;
 *	one whose configuration is wrong is INVALID_CONFIG.  Of several
 *	platforms and deploy targets the worst counts: a difference before not
 *	knowing before none.
 *
 *	One process of a platform looks at many applications.  One that says
 *	nothing for as long as there is between two looks (and at least 10
 *	seconds) is killed: the application that it was busy with is UNKNOWN,
 *	with that reason, and the others are asked again.
 * OPTIONS
 *	-1	one look, as a filter; the default without -b
 *	-b dir	the bus directory: run as a daemon under piped
 *	-f config	the Piped configuration
 *	-v	more on stderr
 * INPUT
 *	app	an application, its commit and its platforms' configuration
 *	app_invalid	its configuration is wrong
 *	past	its latest deployment, and whether that runs
 * OUTPUT
 *	app_state	when it is news; again every 10 minutes; and after each
 *		look while it is OUT_OF_SYNC and plan is to correct it
 *	live	the resources that run, when they are others than last time
 *	As a filter app and app_invalid too, and what is for others.
 * EXIT STATUS
 *	0	every application was looked at, whatever it came to; stopped
 *	100	usage, configuration, a line that is no frame
 *	111	a program cannot be started, the input was cut off
 * FILES
 *	STATEDIR/journal/apps.ndjson	read at the start
 *	STATEDIR/cache/objects/	what render said: keys and hashes, 0600
 *	STATEDIR/work/drift/PID/	while render runs
 * PRIVILEGES
 *	Reads and writes below stateDir.  Holds no secrets: platforms and
 *	checkout have their own, and are started by piped, or here from -f.
 *	No network.
 * BUGS
 *	An application whose files mention a path above them ("../") is rendered
 *	anew at each commit, whatever the commit touched.
 * SEE ALSO
 *	pipecd-plan(1), pipecd-report(1), piped(1)
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "drift.h"
#include "journal.h"
#include "sandbox.h"

static const char synopsis[] = "pipecd-drift [-1v] [-b dir] [-f config]";

static int
drift_open(struct drift *d, const char *bus, struct err *e)
{
	struct arena *a = d->work;

	d->apps = map_new();
	d->platforms = map_new();
	TAILQ_INIT(&d->trees);
	d->due_ms = INT64_MAX;
	d->once = bus == NULL;
	d->objects_dir =
	    xstrdup(arena_printf(a, "%s/cache/objects", d->conf->state_dir));
	d->work_dir = xstrdup(arena_printf(
	    a, "%s/work/drift/%d", d->conf->state_dir, (int)getpid()));
	if (dir_make(d->objects_dir, 0700, e) == -1)
		return -1;
	if ((d->launcher = launcher_open(
		 getenv("PIPECD_CONF") == NULL ? d->conf : NULL, e)) == NULL)
		return -1;
	return (d->bus = bus_open("drift", bus, e)) == NULL ? -1 : 0;
}

/*
 * What exec knew of each application when it last wrote it down: a frame of
 * before our start is not said again, and what is being deployed now is not to
 * be called a difference.
 */
static int
read_past(struct drift *d, struct err *e)
{
	struct apps *x = apps_open(d->conf->state_dir, false, e);
	struct arena *a = arena_new();
	const char *line;
	struct frame f;
	size_t i, len;
	int rv = 0;

	if (x == NULL) {
		arena_free(a);
		return -1;
	}
	for (i = 0; rv == 0 && apps_next(x, &i, &line, &len);) {
		arena_reset(a);
		arena_reset(d->work);
		if (frame_parse(&f, line, len, a, e) == 1 &&
		    f.kind == FRAME_past)
			rv = on_past(d, f.u.past, e);
	}
	apps_close(x);
	arena_free(a);
	return rv;
}

static void
drift_close(struct drift *d)
{
	const char *id;
	struct app *a;
	size_t i, n;
	void *v;

	if (d->launcher != NULL)
		procs_stop(d);
	for (i = 0; map_next(d->apps, &i, &id, &v);) {
		a = v;
		for (n = 0; n < a->n_jobs; n++)
			job_free(d, &a->jobs[n]);
		free(a->jobs);
		free(a->lived);
		app_free(d, a);
	}
	map_free(d->apps);
	platforms_free(d);
	if (d->bus != NULL)
		bus_close(d->bus);
	if (d->launcher != NULL)
		launcher_close(d->launcher);
	(void)tree_remove(d->work_dir, &(struct err){ 0 });
	free(d->objects_dir);
	free(d->work_dir);
}

int
main(int argc, char *argv[])
{
	const char *config = NULL, *bus = NULL;
	enum log_level level = LOG_INFO;
	struct conf_piped conf;
	struct drift d = { .conf = &conf };
	struct arena *a = arena_new();
	struct err e = { 0 };
	bool once = false;
	int c, signals, rv = -1;

	log_open("pipecd-drift", LOG_INFO);
	while ((c = getopt(argc, argv, "1b:f:v")) != -1) {
		switch (c) {
		case '1':
			once = true;
			break;
		case 'b':
			bus = optarg;
			break;
		case 'f':
			config = optarg;
			break;
		case 'v':
			level = LOG_DEBUG;
			break;
		default:
			usage(synopsis);
		}
	}
	if (optind < argc || (once && bus != NULL))
		usage(synopsis);
	log_open("pipecd-drift", level);
	d.work = arena_new();
	if (conf_piped_open(&conf, config, a, &e) == -1)
		die(&e);
	if ((signals = signals_open(&e)) == -1)
		die(&e);
	if (bus != NULL && sandbox("drift", conf.state_dir, NULL, &e) == -1)
		die(&e);
	if (drift_open(&d, bus, &e) == -1)
		goto out;
	if (read_past(&d, &e) == -1)
		goto out;
	ready();
	rv = drift_loop(&d, signals, &e);
out:
	drift_close(&d);
	arena_free(d.work);
	arena_free(a);
	if (rv == -1)
		die(&e);
	return RC_OK;
}
