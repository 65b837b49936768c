/*
 * NAME
 *	pipecd - run the control plane: listen, start and restart its programs
 * SYNOPSIS
 *	pipecd [-nsv] [-f config] [-g seconds] [-a number] [--option ...]
 * DESCRIPTION
 *	Reads the ControlPlane config once, listens on its addresses, and
 *	starts pipecd-store, then pipecd-api and pipecd-ops, each with only
 *	those keys of the config that it needs.  An empty state directory is
 *	all that it needs: records and files are kept there.
 *
 *	One address serves agents, pipectl and people; another, adminAddress,
 *	metrics and health.  pipecd holds the sockets: while pipecd-api is
 *	started again, who connects waits and is then answered.  Several
 *	pipecd-api (apiProcesses, -a) share them.
 *
 *	A program that ends is started again after 100 ms, doubled each time
 *	up to 30 s, and from 100 ms again when it ran for a minute.  One that
 *	ends with 100 (it would fail again) is not: at the start pipecd then
 *	ends with 100; later it stays, degraded, until a reload.  One that dies
 *	8 times within a minute makes pipecd drain and end with 111.
 *
 *	SIGTERM and SIGINT drain: pipecd-api finishes what it was asked within
 *	the grace period, and then pipecd-store ends.  A second one ends all at
 *	once.  SIGHUP reads the config anew: a wrong one is refused and changes
 *	nothing; programs whose keys have changed are started again, and
 *	pipecd-api reads its certificate anew.
 * OPTIONS
 *	-a number	so many pipecd-api, instead of apiProcesses
 *	-f config	the ControlPlane config, /etc/pipecd/control-plane.yaml
 *	-g seconds	how long pipecd-api may take to end, 30
 *	-n	check the config, print it as it is understood, and end
 *	-s	print the state of every program, and end
 *	-v	debug; the programs are started with it too
 *	--json	with -s: as one JSON object
 *	--piped-api-port port, --web-api-port port, --api-port port,
 *	--http-port port
 *		as PipeCD's: these answer too, on the host of address, and as it
 *		does
 *	--admin-port port	the port of adminAddress
 *	--tls, --cert-file file, --key-file file
 *		as tls.certFile and tls.keyFile of the config; --tls alone says
 *		that they must be there
 * INPUT
 *	None.
 * OUTPUT
 *	With -n the effective config, with -s the state.  The programs share
 *	its standard error.
 * EXIT STATUS
 *	0	told to end, and all ended; -n: good; -s: all programs ready
 *	1	-n: the config is refused; -s: not all are ready
 *	100	usage, a config that cannot be read or is refused
 *	111	another pipecd runs on this state directory, somebody else has
 *		the address, or a program cannot be kept running; -s: no pipecd
 *		runs
 * FILES
 *	/etc/pipecd/control-plane.yaml	the config
 *	<stateDir>/store/	records
 *	<stateDir>/objects/	files, with filestore DIR
 *	<stateDir>/run/status.json	what -s prints
 *	<stateDir>/run/pipecd.lock	held while pipecd runs; its pid
 *	<stateDir>/run/store.sock	where pipecd-store is asked
 * ENVIRONMENT
 *	NOTIFY_SOCKET and WATCHDOG_USEC are those of systemd.
 *	Programs get PATH, HOME, LANG, TZ and TMPDIR; pipecd-store also AWS_*
 *	keys and proxies.
 * PRIVILEGES
 *	Reads the whole config, secrets included, and passes each program its
 *	part.  Binds the addresses, and neither accepts nor reads.  Speaks to
 *	nobody but its children and systemd, and parses nothing but its config
 *	and its own status file.
 * BUGS
 *	All programs run as the user that pipecd runs as.
 * SEE ALSO
 *	control-plane.yaml(5), pipecd-store(1), pipecd-api(1), pipecd-ops(1),
 *	piped(1)
 */
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "pipecd.h"

#define SYNOPSIS \
	"pipecd [-nsv] [-f config] [-g seconds] [-a number] [--option ...]"

/* --- what pipecd is among supervisors --------------------------------------
 */

static const struct pipecd *
pipecd_of(const struct super *p)
{
	return (const struct pipecd *)p;
}

static int
parse(void *conf, const char *name, const char *text, size_t n, struct arena *a,
    struct conf_report *r, struct err *e)
{
	return conf_control_read(conf, name, text, n, a, r, e);
}

/* What options say goes before what the file says. */
static int
options_apply(const struct pipecd *p, struct conf_control *c, struct err *e)
{
	if (p->cert_file != NULL)
		c->tls.cert_file = p->cert_file;
	if (p->key_file != NULL)
		c->tls.key_file = p->key_file;
	if (p->api_processes > 0)
		c->api_processes = p->api_processes;
	if ((c->tls.cert_file == NULL) != (c->tls.key_file == NULL))
		return err_set(
		    e, RC_PERM, "--cert-file and --key-file: both or neither");
	if (p->tls && c->tls.cert_file == NULL)
		return err_set(e, RC_PERM,
		    "--tls: needs --cert-file and --key-file, or tls.certFile "
		    "and tls.keyFile in %s",
		    p->super.path);
	return 0;
}

static void *
how_read(struct super *p, const char **state_dir, bool *refused,
    struct arena *a, struct err *e)
{
	struct conf_control *c = arena_new_of(a, struct conf_control);

	if (super_read(p->path, parse, c, refused, a, e) == -1 ||
	    options_apply(pipecd_of(p), c, e) == -1)
		return NULL;
	*state_dir = c->state_dir;
	return c;
}

static void
how_print(struct buf *out, const void *conf)
{
	conf_control_print(out, conf, WHO_ALL);
}

static void
how_slice(struct buf *out, const struct program *p, const void *conf)
{
	conf_control_print(out, conf, p->row->who);
}

/* Port 0 is any: people and agents are told which it is. */
static void
web_address(const struct pipecd *p, struct conf_control *c, struct arena *a)
{
	const char *made = arena_printf(
	    a, "http%s://%s", c->tls.cert_file != NULL ? "s" : "", c->address);

	if (strcmp(made, c->web_address) == 0 && str_suffix(made, ":0"))
		c->web_address = arena_printf(a, "http%s://%s",
		    c->tls.cert_file != NULL ? "s" : "", p->super.listen_at[0]);
}

static unsigned
how_count(const struct super *p, const struct service *row)
{
	const struct conf_control *c = p->conf;

	return row->who == WHO_API ? (unsigned)c->api_processes : 1;
}

static int
how_args(struct super *p, const struct proc *pr, struct start *s,
    const char *args[8], struct arena *a, struct err *e)
{
	(void)a;
	(void)e;
	if (p->verbose)
		args[0] = "-v";
	if (pr->program.row->who == WHO_API) {
		s->listen = p->listen;
		s->n_listen = p->n_listen;
	}
	return 0;
}

static int
how_prepare(struct super *p, void *conf, struct arena *a, struct err *e)
{
	if (listen_all((struct pipecd *)p, conf, e) == -1)
		return -1;
	web_address(pipecd_of(p), conf, a);
	return 0;
}

/* A certificate may be another one under the same name. */
static void
how_reloaded(struct super *p)
{
	size_t i;

	for (i = 0; i < p->n_procs; i++)
		if (p->procs[i].program.row->who == WHO_API &&
		    p->procs[i].state == PROC_READY)
			(void)kill(p->procs[i].pid, SIGHUP);
}

static const char *const dirs[] = { "run", NULL };

static const struct super_how how = {
	.name = "pipecd",
	.what = "control plane",
	.services = control_services,
	.dirs = dirs,
	.grace_order = 1,
	.read = how_read,
	.print = how_print,
	.slice = how_slice,
	.count = how_count,
	.args = how_args,
	.prepare = how_prepare,
	.reloaded = how_reloaded,
};

/* --- options ---------------------------------------------------------------
 */

static long
number(const char *s, long min, long max)
{
	char *end;
	long n = strtol(s, &end, 10);

	if (end == s || *end != '\0' || n < min || n > max)
		usage(SYNOPSIS);
	return n;
}

enum {
	OPT_JSON = 256,
	OPT_TLS,
	OPT_CERT,
	OPT_KEY,
	OPT_PORT /* and those of the other ports */
};

static const struct option longs[] = {
	{ "json", no_argument, NULL, OPT_JSON },
	{ "tls", no_argument, NULL, OPT_TLS },
	{ "cert-file", required_argument, NULL, OPT_CERT },
	{ "key-file", required_argument, NULL, OPT_KEY },
	{ "piped-api-port", required_argument, NULL,
	    OPT_PORT + PORT_PIPED_API },
	{ "web-api-port", required_argument, NULL, OPT_PORT + PORT_WEB_API },
	{ "api-port", required_argument, NULL, OPT_PORT + PORT_API },
	{ "http-port", required_argument, NULL, OPT_PORT + PORT_HTTP },
	{ "admin-port", required_argument, NULL, OPT_PORT + PORT_ADMIN },
	{ NULL, 0, NULL, 0 },
};

static void
long_option(struct pipecd *p, int c, bool *json)
{
	switch (c) {
	case OPT_JSON:
		*json = true;
		return;
	case OPT_TLS:
		p->tls = true;
		return;
	case OPT_CERT:
		p->cert_file = optarg;
		return;
	case OPT_KEY:
		p->key_file = optarg;
		return;
	default:
		if (c < OPT_PORT || c >= OPT_PORT + PORT__N)
			usage(SYNOPSIS);
		(void)number(optarg, 0, 65535);
		p->port[c - OPT_PORT] = optarg;
	}
}

static enum super_mode
options(struct pipecd *p, int argc, char *argv[])
{
	enum super_mode mode = SUPER_RUN;
	bool json = false;
	int c;

	p->super.how = &how;
	p->super.path = "/etc/pipecd/control-plane.yaml";
	p->super.grace_ms = GRACE_S * 1000;
	while ((c = getopt_long(argc, argv, "a:f:g:nsv", longs, NULL)) != -1)
		switch (c) {
		case 'a':
			p->api_processes = number(optarg, 1, 64);
			break;
		case 'f':
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
		case 'v':
			p->super.verbose = true;
			break;
		default:
			long_option(p, c, &json);
		}
	if (optind != argc || (json && mode != SUPER_STATUS))
		usage(SYNOPSIS);
	return json ? SUPER_STATUS_JSON : mode;
}

int
main(int argc, char *argv[])
{
	static struct pipecd p;

	log_open("pipecd", LOG_INFO);
	return super_main(&p.super, options(&p, argc, argv));
}
