/*
 * NAME
 *	pipecd-gitwatch - mirror git repositories and say their branches' heads
 * SYNOPSIS
 *	pipecd-gitwatch [-1nv] [-b bus] [-f config]
 * DESCRIPTION
 *	Keeps a bare mirror of each repository in the Piped config, and says a
 *	head frame for its branch: when it changes, and again each
 *	syncInterval, so that a lost frame is only a delay.  One fetch serves
 *	all applications of a repository.
 *
 *	A repository on this machine (a path or file://) is watched: a push to
 *	it is noticed at once.  Others are looked at each syncInterval, and on
 *	a nudge frame.  Fetches run in processes of their own, up to 16 at the
 *	same time, so that a slow server delays no other; one that brings
 *	nothing for a minute is given up.
 *
 *	A server that fails, a branch that is gone or was forced, or a
 *	repository that is empty change nothing in the mirror.  It is said
 *	once, and once when it is over; tries become rarer, up to 15 minutes
 *	apart.  A mirror is a copy: it may be deleted at any time.
 *
 *	ssh remotes go through ssh(1), with host keys always verified against
 *	spec.git.knownHostsFile, or what ssh itself uses.  With a user name and
 *	password, a redirect to another host is refused.
 * OPTIONS
 *	-1	Look at every repository once, say the heads, and exit.
 *	-b bus	Be a daemon: the directory of the inboxes.
 *	-f config
 *		The Piped config.  Without it, the slice on descriptor 3.
 *	-n	Only check the config and print what counts for us.
 *	-v	Say more.
 *	-F	Fetch one repository: how this program calls itself.
 * INPUT
 *	nudge (not with -1).  Without -1 and -b it runs until SIGTERM, with
 *	frames on standard input and output.
 * OUTPUT
 *	head.
 * EXIT STATUS
 *	0	done
 *	1	-n: the config is refused
 *	100	usage, config
 *	111	with -1: a repository could not be fetched; the heads of the
 *		others were said
 * FILES
 *	<stateDir>/mirror/<repoId>.git
 *		a bare mirror
 *	<stateDir>/mirror/.<repoId>.git.lock
 *		held by who writes it
 * PRIVILEGES
 *	Reads the git credentials (spec.git), writes the mirrors, connects to
 *	git servers, runs ssh(1).
 * BUGS
 *	Submodules and LFS objects are not fetched.  One branch per
 *	repository.  An ssh server that is reached by a user name and password
 *	is not supported: use a key.
 * SEE ALSO
 *	pipecd-plan(1), pipecd-gitwatch-checkout(1), ssh(1), piped(1)
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gitwatch.h"
#include "sandbox.h"

static const char synopsis[] = "pipecd-gitwatch [-1nv] [-b bus] [-f config]";

static int
check(const struct gitwatch *g)
{
	struct buf out = BUF_INIT;

	conf_piped_print(&out, &g->conf, WHO_GITWATCH | WHO_SHOWN, NULL);
	(void)write_all(STDOUT_FILENO, out.p, out.len);
	buf_free(&out);
	return RC_OK;
}

/* Only what this program needs; local remotes and key files are known now. */
static int
lock_down(struct gitwatch *g, const char *bus, struct err *e)
{
	const char *const files[] = { g->conf.git.ssh_key_file,
		g->conf.git.known_hosts_file, g->conf.git.password_file,
		g->conf.git.ssh_config_file_path, g->conf.git.ca_file,
		getenv("SSL_CERT_FILE"), getenv("SSL_CERT_DIR") };
	const char **more = arena_array(
	    g->a, const char *, g->conf.n_repositories + NITEMS(files) + 2);
	size_t i, n = 0;

	if (bus != NULL)
		more[n++] = arena_printf(g->a, "w:%s", bus);
	for (i = 0; i < NITEMS(files); i++)
		if (files[i] != NULL)
			more[n++] = arena_printf(g->a, "r:%s", files[i]);
	for (i = 0; i < g->conf.n_repositories; i++) {
		const char *path =
		    git_url_path(g->conf.repositories[i].remote, g->a);

		if (path != NULL)
			more[n++] = arena_printf(g->a, "r:%s", path);
	}
	return sandbox("gitwatch", g->conf.state_dir, more, e);
}

/* The program itself, once it is known what to watch. */
static int
watch_run(struct gitwatch *g, const char *bus, struct err *e)
{
	int rv = -1;

	/* The sandbox has no /proc. */
	(void)file_read("/proc/sys/kernel/random/boot_id", 64, &g->boot, e);
	if ((g->signals = signals_open(e)) == -1 ||
	    lock_down(g, bus, e) == -1 || git_open(false, e) == -1 ||
	    (g->bus = bus_open("gitwatch", bus, e)) == NULL ||
	    gitwatch_open(g, e) == -1)
		goto out;
	ready();
	rv = gitwatch_loop(g, e);
out:
	watch_free(g);
	if (g->bus != NULL)
		bus_close(g->bus);
	return rv;
}

int
main(int argc, char *argv[])
{
	struct gitwatch g = { .inotify = -1, .signals = -1, .boot = BUF_INIT };
	const char *conf = NULL, *bus = NULL;
	enum log_level least = LOG_INFO;
	bool only_check = false;
	struct err e;
	int c, rv;

	while ((c = getopt(argc, argv, "1Fb:f:nv")) != -1)
		switch (c) {
		case '1':
			g.once = true;
			break;
		case 'F':
			log_open("pipecd-gitwatch", least);
			worker_main();
		case 'b':
			bus = optarg;
			break;
		case 'f':
			conf = optarg;
			break;
		case 'n':
			only_check = true;
			break;
		case 'v':
			least = LOG_DEBUG;
			break;
		default:
			usage(synopsis);
		}
	if (optind != argc || (g.once && bus != NULL))
		usage(synopsis);
	g.piped = bus == NULL;
	log_open("pipecd-gitwatch", least);
	g.a = arena_new();
	if (conf_piped_open(&g.conf, conf, g.a, &e) == -1) {
		if (!only_check)
			die(&e);
		log_error("-", "%s", e.text);
		arena_free(g.a);
		return e.exit == RC_PERM && conf != NULL &&
			       access(conf, R_OK) == 0
			   ? RC_NO
			   : RC_PERM;
	}
	if (only_check) {
		rv = check(&g);
		arena_free(g.a);
		return rv;
	}
	if (watch_run(&g, bus, &e) == -1)
		die(&e);
	git_close();
	buf_free(&g.boot);
	arena_free(g.a);
	return RC_OK;
}
