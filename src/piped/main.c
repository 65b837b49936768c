/*
 * NAME
 *	piped - run the agent: start, confine, restart and stop its programs
 * SYNOPSIS
 *	piped [-nstv] [-a prefix] [-f config] [-g seconds] [--json]
 * DESCRIPTION
 *	Reads the Piped config once and starts pipecd-plan, pipecd-drift,
 *	pipecd-exec and pipecd-gitwatch, each with only those keys of the
 *	config that it needs, on a descriptor of its own.  They are started in
 *	an order in which the first frames find their readers, and each says
 *	when it is ready.  Platforms, checkout and scripts are started when
 *	plan, drift or exec ask for them, with the credentials that those do
 *	not have.  pipecd-report is started where the config names a control
 *	plane (spec.apiAddress), or with -t, to say on stdout what happens.
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
 *
 *	As root, where these users and groups exist, each program runs as its
 *	own: _piped-git (gitwatch), _piped-checkout, _piped-plan, _piped-exec,
 *	_piped-drift and _piped-report, each with a group of its name, and the
 *	groups _piped, _piped-mirror, _piped-journal and _piped-approve.  Where
 *	one is missing all programs run as root, and which is missing is said.
 *	A platform NAME runs as _piped-NAME and scripts as _piped-script where
 *	that user exists, else as root: who makes the user decides.  It must be
 *	able to write its deploy targets and to read what its entry of the
 *	config names.  Key files that the agent itself uses (spec.git,
 *	spec.secretManagement, pipedKeyFile) are read by piped, as root.
 *	The state directory is made so that each program reads and writes its
 *	part only, and taken over from one user, or to one; the directories
 *	above it must let others pass.  People in the group _piped-approve
 *	approve, cancel and sync; those in _piped-journal read journals.
 * OPTIONS
 *	-a prefix	of accounts, instead of _piped: for a second agent
 *	-f config	the Piped config, /etc/pipecd/piped.yaml
 *	-g seconds	how long exec may take to end, 30
 *	-n	check the config, and whether the plugins that it names are
 *		there and pinned, print it as it is understood, and who would
 *		run as whom, and end
 *	-s	print the state and the user of every program, and end
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
 *	<stateDir>/run/bus/TO.FROM/	where program TO takes what FROM says
 *	../libexec/pipecd/	platforms that are not built in, relative to
 *		the directory of piped
 * ENVIRONMENT
 *	NOTIFY_SOCKET and WATCHDOG_USEC are those of systemd.
 *	Programs get PATH, HOME, LANG, TZ and TMPDIR; pipecd-exec-terraform
 *	also TF_*, AWS_*, GOOGLE_*, ARM_* and the like, gitwatch SSH_AUTH_SOCK
 *	and proxies.  Platforms that are not built in get their config only.
 *	Who runs as another user gets that one's HOME, USER and LOGNAME, and
 *	nothing of XDG_RUNTIME_DIR, DBUS_SESSION_BUS_ADDRESS, SSH_AUTH_SOCK.
 * PRIVILEGES
 *	Reads the whole config, secrets included, and passes each program its
 *	part.  No network.  Speaks to nobody but its children and systemd, and
 *	parses nothing but its config and its own status file.  Not root, all
 *	programs run as its user: give it one of its own.
 * BUGS
 *	A platform without an account is root, though all others have theirs.
 *	The file system of the state directory, and /dev/shm, must have ACLs.
 * SEE ALSO
 *	pipecd-gitwatch(1), pipecd-plan(1), pipecd-exec(1), pipecd-drift(1)
 */
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "piped.h"

#define SYNOPSIS "piped [-nstv] [-a prefix] [-f config] [-g seconds] [--json]"

/* --- what piped is among supervisors ---------------------------------------
 */

static const struct piped *
piped_of(const struct super *p)
{
	return (const struct piped *)p;
}

static int
parse(void *conf, const char *name, const char *text, size_t n, struct arena *a,
    struct conf_report *r, struct err *e)
{
	return conf_piped_read(conf, name, text, n, a, r, e);
}

static void *
how_read(struct super *p, const char **state_dir, bool *refused,
    struct arena *a, struct err *e)
{
	struct agent *g = arena_new_of(a, struct agent);

	if (super_read(p->path, parse, &g->conf, refused, a, e) == -1 ||
	    who_open((struct piped *)p, g, a, e) == -1)
		return NULL;
	*state_dir = g->conf.state_dir;
	return g;
}

static const struct agent *
agent_of(const void *conf)
{
	return conf;
}

static void
how_print(struct buf *out, const void *conf)
{
	conf_piped_print(out, &agent_of(conf)->conf, WHO_ALL, NULL);
	who_print(out, conf);
}

static void
how_slice(struct buf *out, const struct program *p, const void *conf)
{
	const struct agent *g = conf;

	program_slice(out, p, &g->conf);
	/* Who shares files with platforms starts anew when their users change. */
	if (g->accounts.on &&
	    (p->row->who == WHO_DRIFT || p->row->who == WHO_CHECKOUT))
		buf_printf(out, "# %s\n", g->accounts.passed);
}

static const struct accounts *
how_accounts(const void *conf)
{
	return &agent_of(conf)->accounts;
}

static int
how_places(struct super *p, struct err *e)
{
	return super_accounts(p) != NULL ? places_make(p, p->conf, e)
					 : places_unmake(p, e);
}

static void
how_before(struct super *p, const char *program)
{
	places_empty(p, p->conf, program);
}

static unsigned
how_count(const struct super *p, const struct service *row)
{
	const struct conf_piped *c = &agent_of(p->conf)->conf;

	return row->run == RUN_DAEMON || c->api_address != NULL ||
	       piped_of(p)->text;
}

static int
how_args(struct super *p, const struct proc *pr, struct start *s,
    const char *args[8], struct arena *a, struct err *e)
{
	size_t n = 0;

	(void)e;
	args[n++] = "-b";
	args[n++] = arena_printf(a, "%s/run/bus", p->state_dir);
	if (p->verbose)
		args[n++] = "-v";
	if (piped_of(p)->text && pr->program.row->run == RUN_CONTROL) {
		args[n++] = "-t";
		s->out = STDOUT_FILENO;
	}
	return 0;
}

static int
how_find(struct program *out, const void *conf, const char *name, struct err *e)
{
	return program_get(out, &agent_of(conf)->conf, name, e);
}

/*
 * Whether each plugin could be started: what is pinned is what lies there, and
 * what has no url is built in or on the libexec path.  All are looked at.
 */
static int
how_check(struct super *p, const void *conf, struct err *e)
{
	const struct conf_piped *c = &agent_of(conf)->conf;
	char path[PATH_MAX];
	struct program k;
	struct err why;
	size_t i, bad = 0;
	int fd;

	for (i = 0; i < c->n_plugins; i++) {
		if (program_get(&k, c, c->plugins[i].name, &why) == 0 &&
		    program_open(&k, path, &fd, &why) == 0) {
			if (fd != -1)
				close(fd);
			continue;
		}
		/* PipeCD's own, which a config may name before we have it. */
		if (c->plugins[i].url == NULL &&
		    conf_plugin_known(c->plugins[i].name)) {
			log_warn("-",
			    "%s: plugin %s: this build has no such platform "
			    "yet: its applications are refused when they are "
			    "planned",
			    p->path, c->plugins[i].name);
			continue;
		}
		if (bad++ > 0) /* the last one is for who asked */
			log_error("-", "%s", e->text);
		err_set(e, RC_PERM, "%s: plugin %s: %s", p->path,
		    c->plugins[i].name, why.text);
	}
	return bad > 0 ? -1 : 0;
}

static int
how_prepare(struct super *p, void *conf, struct arena *a, struct err *e)
{
	(void)a;
	if (how_check(p, conf, e) == -1)
		return -1;
	if (conf != p->conf) { /* a reload */
		if (agent_of(conf)->accounts.on != (super_accounts(p) != NULL))
			return err_set(e, RC_PERM,
			    "the accounts of programs %s: restart piped",
			    super_accounts(p) == NULL ? "are there now"
						      : "are gone");
		if (agent_of(conf)->accounts.on &&
		    places_make(p, conf, e) == -1)
			return -1;
	}
	who_say(piped_of(p), conf);
	return 0;
}

static const char *const dirs[] = { "run", "run/bus", "run/lock", NULL };

static const struct super_how how = {
	.name = "piped",
	.what = "agent",
	.services = services,
	.dirs = dirs,
	.grace_order = 2,
	.read = how_read,
	.print = how_print,
	.slice = how_slice,
	.count = how_count,
	.args = how_args,
	.prepare = how_prepare,
	.check = how_check,
	.accounts = how_accounts,
	.places = how_places,
	.before = how_before,
	.find = how_find,
};

/* --- options ---------------------------------------------------------------
 */

static enum super_mode
options(struct piped *p, int argc, char *argv[])
{
	static const struct option longs[] = {
		{ "json", no_argument, NULL, 'j' }, { NULL, 0, NULL, 0 }
	};
	enum super_mode mode = SUPER_RUN;
	bool json = false;
	int c;

	p->super.how = &how;
	p->prefix = "_piped";
	p->super.path = "/etc/pipecd/piped.yaml";
	p->super.grace_ms = GRACE_S * 1000;
	while ((c = getopt_long(argc, argv, "a:f:g:nstv", longs, NULL)) != -1)
		switch (c) {
		case 'a':
			p->prefix = optarg;
			break;
		case 'f':
			p->super.how = &how;
			p->super.path = optarg;
			break;
		case 'g':
			p->super.grace_ms =
			    super_seconds(optarg, SYNOPSIS) * 1000;
			break;
		case 'n':
			mode = SUPER_CHECK;
			break;
		case 's':
			mode = SUPER_STATUS;
			break;
		case 't':
			p->text = true;
			break;
		case 'v':
			p->super.verbose = true;
			break;
		case 'j':
			json = true;
			break;
		default:
			usage(SYNOPSIS);
		}
	if (optind != argc || (json && mode != SUPER_STATUS))
		usage(SYNOPSIS);
	p->mode = mode;
	return json ? SUPER_STATUS_JSON : mode;
}

int
main(int argc, char *argv[])
{
	static struct piped p;
	enum super_mode mode;

	log_open("piped", LOG_INFO);
	mode = options(&p, argc, argv);
	return super_main(&p.super, mode);
}
