/*
 * NAME
 *	pipecd-ops - do the control plane's regular jobs
 * SYNOPSIS
 *	pipecd-ops [-nv] [-f config] [-1 job [argument ...]]
 * DESCRIPTION
 *	Does its jobs each on its clock, as long as it has the lease in the
 *	store: however many run, one does them.  Under pipecd it is told what
 *	it may see of the config on descriptor 3; people give -f.
 *
 *	With -1 one job is done once, now, with or without a control plane that
 *	runs: where no pipecd-store serves the state directory, one is started
 *	for it.  All jobs may be done again at any time.
 *
 *	projects	put the projects of the config, and their admins, into
 *		the store: at the start
 *	project-add ID [DESC]	a new project; says its admin's name and
 *		password, once
 *	project-reset-admin ID [USERNAME]	a new password of a project's
 *		admin; says it, once
 *	chains	deployment chains: what their deployments came to, block by
 *		block; at each change, and every 15 s
 *	stale	agents that said nothing for 2 minutes are offline: every 30 s
 *	commands	commands that no agent took within 24 hours are TIMEOUT:
 *		every 10 minutes
 *	insights	delivery figures: how often, how much of it failed, how
 *		long from commit to delivery, how long until it was made good;
 *		when insightCollector's schedules say so (UTC)
 *	previews	remove what plan previews and other commands answered
 *		48 hours ago: every hour
 *	retention	remove deployments, logs, commands and events that are
 *		older or more than retention in the config says: every hour.
 *		An application's last deployment and its last successful one
 *		stay
 *
 *	A deployment counts where it was completed; one that a newer commit
 *	superseded before it began counts nowhere.  Lead time is of the first
 *	deployment that delivered a commit with SUCCESS; time to restore is
 *	from an application's first failure to its next SUCCESS.
 * OPTIONS
 *	-1 job	do this job once, and end
 *	-f config	the ControlPlane config
 *	-n	check the config and end
 *	-v	debug
 * INPUT
 *	None.
 * OUTPUT
 *	With -1 one JSON object: what was done, {"job":"stale","offline":2}, or
 *	what a person asked for, {"project":...,"username":...,"password":...}.
 * EXIT STATUS
 *	0	told to end; -1: done; -n: good
 *	1	-n: the config is refused
 *	100	usage, config; -1: it cannot be done
 *	111	another pipecd-ops runs on this state directory; -1: the store
 *		cannot be asked now
 * FILES
 *	<stateDir>/run/store.sock	the store
 *	<stateDir>/run/ops.lock	held by the daemon
 * PRIVILEGES
 *	Sees hashes of admins' passwords that are in the config; the store
 *	shows it no others.  No network.
 * SEE ALSO
 *	pipecd(1), control-plane.yaml(5)
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "ops.h"
#include "sandbox.h"

#define SYNOPSIS "pipecd-ops [-nv] [-f config] [-1 job [argument ...]]"

const struct job jobs[] = {
#define JOB(function, name, when, every, args, doc) \
	{ job_##function, name, WHEN_##when, every, args, doc },
#include "jobs.def"
	{ .name = NULL },
};

static const struct job *
job_of(const char *name)
{
	const struct job *j;

	for (j = jobs; j->name != NULL; j++)
		if (strcmp(j->name, name) == 0)
			return j;
	for (j = jobs; j->name != NULL; j++)
		fprintf(stderr, "%s%s%s: %s\n", j->name,
		    *j->args != '\0' ? " " : "", j->args, j->doc);
	log_error("-", "%s: no such job; the jobs are above", name);
	exit(RC_PERM);
}

/* "ID [DESC]": one that must be there, one that may. */
static void
args_check(const struct job *j, int n)
{
	int least = 0, most = 0;
	const char *s;

	for (s = j->args; *s != '\0'; s += strspn(s, " ")) {
		least += *s != '[';
		most++;
		s += strcspn(s, " ");
	}
	if (n >= least && n <= most)
		return;
	log_error(
	    "-", "%s: takes %s", j->name, most > 0 ? j->args : "no arguments");
	exit(RC_PERM);
}

static void
print(const struct job *j, const struct did *d)
{
	size_t i;

	if (d->text != NULL) {
		puts(d->text);
		return;
	}
	printf("{\"job\":\"%s\"", j->name);
	for (i = 0; i < d->n; i++)
		printf(
		    ",\"%s\":%lld", d->count[i].name, (long long)d->count[i].n);
	puts("}");
}

static int
bin_dir(char dst[PATH_MAX], struct err *e)
{
	ssize_t n = readlink("/proc/self/exe", dst, PATH_MAX - 1);
	char *slash;

	if (n == -1)
		return err_sys(e, "/proc/self/exe");
	dst[n] = '\0';
	if ((slash = strrchr(dst, '/')) != NULL)
		*slash = '\0';
	return 0;
}

static int
once(struct ops *o, const char *conf, const struct job *j, char *const *args,
    struct err *e)
{
	char dir[PATH_MAX];
	struct did d = { .n = 0 };

	if (bin_dir(dir, e) == -1 ||
	    (o->store = store_open_local(o->conf->state_dir, conf, dir, e)) ==
		NULL)
		return -1;
	if (j->fn(o, args, &d, e) == -1)
		return err_wrap(e, "%s", j->name);
	print(j, &d);
	return fflush(stdout) == EOF ? err_sys(e, "stdout") : 0;
}

/* One daemon per state directory; the same after it is started again. */
static int
lock(struct ops *o, struct err *e)
{
	char path[PATH_MAX], host[64] = "";
	int fd;

	if (snprintf(path, sizeof(path), "%s/run/ops.lock",
		o->conf->state_dir) >= (int)sizeof(path))
		return err_set(e, RC_PERM, "stateDir: path too long");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd == -1)
		return err_sys(e, "%s", path);
	if (flock(fd, LOCK_EX | LOCK_NB) == -1)
		return errno == EWOULDBLOCK
			   ? err_set(e, RC_TEMP,
				 "stateDir %s: another pipecd-ops runs there",
				 o->conf->state_dir)
			   : err_sys(e, "lock %s", path);
	(void)gethostname(host, sizeof(host) - 1);
	(void)snprintf(
	    o->owner, sizeof(o->owner), "%s:%.120s", host, o->conf->state_dir);
	return 0; /* the lock is ours to our end */
}

static int
daemon_open(struct ops *o, struct err *e)
{
	o->daemon = true;
	if (lock(o, e) == -1 ||
	    sandbox("ops", o->conf->state_dir, NULL, e) == -1 ||
	    (o->store = store_open(o->conf->state_dir, e)) == NULL)
		return -1;
	return daemon_run(o, e);
}

int
main(int argc, char *argv[])
{
	struct conf_control conf;
	struct ops o = { .conf = &conf };
	const char *path = NULL;
	const struct job *job = NULL;
	bool check = false;
	struct arena *a;
	struct err e;
	int c, rv;

	log_open("pipecd-ops", LOG_INFO);
	while ((c = getopt(argc, argv, "+1:f:nv")) != -1)
		switch (c) {
		case '1':
			job = job_of(optarg);
			break;
		case 'f':
			path = optarg;
			break;
		case 'n':
			check = true;
			break;
		case 'v':
			log_open("pipecd-ops", LOG_DEBUG);
			break;
		default:
			usage(SYNOPSIS);
		}
	if (job == NULL && optind != argc)
		usage(SYNOPSIS);
	if (job != NULL)
		args_check(job, argc - optind);
	a = arena_new();
	o.arena = arena_new();
	rv = conf_control_open(&conf, path, a, &e);
	if (check && rv == -1) {
		log_error("-", "%s", e.text);
		return RC_NO;
	}
	if (rv == 0 && !check)
		rv = job != NULL ? once(&o, path, job, argv + optind, &e)
				 : daemon_open(&o, &e);
	if (rv == -1)
		die(&e);
	store_close(o.store);
	arena_free(o.arena);
	arena_free(a);
	return RC_OK;
}
