/*
 * NAME
 *	piped - run the agent: start, confine, restart and stop its programs
 * SYNOPSIS
 *	piped [-nstv] [-f config] [-g seconds] [--json]
 * DESCRIPTION
 *	Reads the Piped config once and starts pipecd-plan, pipecd-drift,
 *	pipecd-exec and pipecd-gitwatch, each with only those keys of the
 *	config that it needs, on a descriptor of its own.  They are started in
 *	an order in which the first frames find their readers, and each says
 *	when it is ready.  Platforms, checkout and scripts are started when
 *	plan, drift or exec ask for them, with the credentials that those do
 *	not have.  There is no control plane to speak to in this build: a
 *	config that names one is refused, and pipecd-report is started only
 *	with -t, to say on stdout what happens.
 *
 *	A program that ends is started again after 100 ms, doubled each time
 *	up to 30 s, and from 100 ms again when it ran for a minute.  One that
 *	ends with 100 (it would fail again) is not: at the start piped then
 *	ends with 100; later it stays, degraded, until a reload.  One that dies
 *	8 times within a minute makes piped drain and end with 111.
 *
 *	SIGTERM and SIGINT drain: gitwatch, plan and drift end first, then exec
 *	within the grace period, then what still runs of what they started.  A
 *	second one ends all at once.  SIGHUP reads the config anew: a wrong one
 *	is refused and changes nothing; programs whose keys have changed are
 *	started again, others are not touched.
 *
 *	When an asker dies, what it had started without a lock (checkout,
 *	describe, render, live) is ended; a stage goes on, and the next exec
 *	decides.  When piped itself is killed its daemons die with it, and the
 *	next piped ends what is left.
 *
 *	A state directory that is removed is made anew, and all programs are
 *	started again.
 * OPTIONS
 *	-f config	the Piped config, /etc/pipecd/piped.yaml
 *	-g seconds	how long exec may take to end, 30
 *	-n	check the config, print it as it is understood, and end
 *	-s	print the state of every program, and end
 *	-t	text of what happens to deployments, on stdout
 *	-v	debug; the programs are started with it too
 *	--json	with -s: as one JSON object
 * INPUT
 *	None.
 * OUTPUT
 *	With -n the effective config, with -s the state, with -t text as
 *	pipecd-report(1) has it.  The programs share its standard error.
 * EXIT STATUS
 *	0	told to end, and all ended; -n: good; -s: all programs ready
 *	1	-n: the config is refused; -s: not all are ready
 *	100	usage, a config that cannot be read or is refused
 *	111	another piped runs on this state directory, or a program cannot
 *		be kept running; -s: no piped runs
 * FILES
 *	/etc/pipecd/piped.yaml	the config
 *	<stateDir>/run/status.json	what -s prints
 *	<stateDir>/run/piped.lock	held while piped runs; its pid
 *	<stateDir>/run/bus/	where programs take frames
 *	../libexec/pipecd/	platforms that are not built in, relative to
 *		the directory of piped
 * ENVIRONMENT
 *	NOTIFY_SOCKET and WATCHDOG_USEC are those of systemd.
 *	Programs get PATH, HOME, LANG, TZ and TMPDIR; pipecd-exec-terraform
 *	also TF_*, AWS_*, GOOGLE_*, ARM_* and the like, gitwatch SSH_AUTH_SOCK
 *	and proxies.  Platforms that are not built in get their config only.
 * PRIVILEGES
 *	Reads the whole config, secrets included, and passes each program its
 *	part.  No network.  Speaks to nobody but its children and systemd, and
 *	parses nothing but its config and its own status file.  All programs
 *	run as the user that piped runs as: give it one of its own.
 * BUGS
 *	As root its programs are root too, though all but exec and the
 *	platforms give up what makes them so; there are no accounts per program
 *	yet.
 * SEE ALSO
 *	pipecd-gitwatch(1), pipecd-plan(1), pipecd-exec(1), pipecd-drift(1)
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "piped.h"

#define SYNOPSIS "piped [-nstv] [-f config] [-g seconds] [--json]"

enum mode {
	MODE_RUN,
	MODE_CHECK,
	MODE_STATUS
};

struct options {
	enum mode mode;
	bool json;
};

static int64_t
seconds(const char *s)
{
	char *end;
	long n = strtol(s, &end, 10);

	if (end == s || *end != '\0' || n < 0 || n > 86400)
		usage(SYNOPSIS);
	return n;
}

static void
parse(struct piped *p, struct options *o, int argc, char *argv[])
{
	static const struct option longs[] = {
		{ "json", no_argument, NULL, 'j' }, { NULL, 0, NULL, 0 }
	};
	int c;

	p->path = "/etc/pipecd/piped.yaml";
	p->grace_ms = GRACE_S * 1000;
	while ((c = getopt_long(argc, argv, "f:g:nstv", longs, NULL)) != -1)
		switch (c) {
		case 'f':
			p->path = optarg;
			break;
		case 'g':
			p->grace_ms = seconds(optarg) * 1000;
			break;
		case 'n':
			o->mode = MODE_CHECK;
			break;
		case 's':
			o->mode = MODE_STATUS;
			break;
		case 't':
			p->text = true;
			break;
		case 'v':
			p->verbose = true;
			break;
		case 'j':
			o->json = true;
			break;
		default:
			usage(SYNOPSIS);
		}
	if (optind != argc || (o->json && o->mode != MODE_STATUS))
		usage(SYNOPSIS);
}

static int
run(struct piped *p, struct err *e)
{
	size_t i;
	int rv;

	umask(077);
	/* Orphans of our programs come to us, also where we are no init. */
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	/* Our memory holds every secret. */
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if ((p->signals = signals_open(e)) == -1 || state_open(p, e) == -1)
		return -1;
	if (geteuid() == 0)
		log_warn("-", "running as root: so do platforms, scripts and "
			      "what they start; a user of its own is better");
	state_leftovers(p);
	procs_init(p);
	p->watchdog_ms = p->watchdog_next_ms = notify_watchdog_ms();
	p->started_s = wall_s();
	rv = loop(p, e);
	for (i = 0; i < p->n_procs; i++) {
		if (p->procs[i].slice.cap > 0)
			explicit_bzero(
			    p->procs[i].slice.p, p->procs[i].slice.cap);
		buf_free(&p->procs[i].slice);
	}
	free(p->launched);
	return rv;
}

int
main(int argc, char *argv[])
{
	static struct piped p;
	struct options o = { .mode = MODE_RUN };
	struct err e;
	int rv;

	log_open("piped", LOG_INFO);
	parse(&p, &o, argc, argv);
	if (p.verbose)
		log_open("piped", LOG_DEBUG);
	if (o.mode == MODE_CHECK)
		return config_check(p.path, &e);
	p.arena = arena_new();
	if (config_read(&p.conf, p.path, p.arena, &e) == -1)
		die(&e);
	if (o.mode == MODE_STATUS)
		rv = status_print(p.conf.state_dir, o.json, &e);
	else if ((rv = run(&p, &e)) == -1)
		die(&e);
	arena_free(p.arena);
	return rv;
}
