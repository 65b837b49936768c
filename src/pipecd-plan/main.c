/*
 * NAME
 *	pipecd-plan - turn branch heads into planned deployments
 * SYNOPSIS
 *	pipecd-plan [-v] [-b dir] [-f config] | -n file ...
 * DESCRIPTION
 *	Finds the applications of each configured repository (files named
 *	app.pipecd.yaml, *.pipecd.yaml or .pipe.yaml), decides which of them a
 *	new head, a command or a drift deploys, by which strategy and through
 *	which stages, and says so.  It reads git objects only and checks
 *	nothing out: an application whose directory has the same tree as when
 *	it was last triggered was not touched.
 *
 *	Without -b it is a filter: frames from stdin, frames to stdout, what is
 *	not for it byte for byte.  It then knows from journal/apps.ndjson in
 *	the state directory what was deployed before.
 *
 *	With a control plane (spec.apiAddress) it deploys what is registered
 *	there (app frames from report) and nothing else, under the ids given
 *	there; of what else it finds it says that it is unregistered.  An
 *	unfinished deployment that the control plane knows (resume) is planned
 *	again, for exec, where that does not know it.
 *
 *	An application that lost more of its files than spec.pruneLimit of the
 *	Piped config allows, or all of them, is held and not deployed until
 *	spec.confirm in its configuration or a sync command says that this is
 *	meant.  Those files count that are deployed: a platform may say
 *	(describe, files_key) which key of an application's config selects
 *	them.
 * OPTIONS
 *	-b dir	Be a daemon on the bus in dir.
 *	-f config
 *		The Piped config.  Without it, the slice on descriptor 3.
 *	-n file ...
 *		Check configurations of any kind; mistakes go to stderr.
 *	-v	Log what is only interesting to who looks for a mistake.
 * INPUT
 *	head, past, command, app_state, app, resume on stdin or the bus; ok,
 *	err from checkout; platform, vote from platforms.
 * OUTPUT
 *	deployment (PENDING, then PLANNED or FAILURE), app, app_invalid, held,
 *	resume, command_done; what is for others passes through.
 * EXIT STATUS
 *	0 the input has ended (-n: every file is good); 1 -n: a file was
 *	refused; 100 wrong usage, config, or a line that is no frame; 111 try
 *	again: a mirror or commit is not there, the reader has gone.
 * FILES
 *	stateDir/mirror/REPO.git, stateDir/journal/apps.ndjson and, at the end
 *	of a pipe's input, stateDir/commands.ndjson (chains); all read only.
 *	stateDir/cache/plan.said: what the last run of a pipe said of wrong and
 *	vanished applications, so that only news is shown.
 * PRIVILEGES
 *	Reads the state directory and its slice of the configuration.  No
 *	network, no secrets.  Has platforms (verbs describe and plan) and
 *	pipecd-gitwatch-checkout started, under piped by the supervisor; it is
 *	then locked down to that.
 * BUGS
 *	A commit that did not touch an application is remembered as compared
 *	only while the program runs.
 * SEE ALSO
 *	pipecd-gitwatch(1), pipecd-exec(1), piped(1)
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plan.h"
#include "sandbox.h"

#define SYNOPSIS "pipecd-plan [-v] [-b dir] [-f config] | -n file ..."

int
plan_tell(struct plan *p, const struct frame *f, struct err *e)
{
	struct err why;

	if (bus_tell(p->bus, f, &why) == 0)
		return 0;
	/* Too long for a frame: that is this application's own trouble. */
	if (why.exit == RC_PERM) {
		*e = why;
		return -1;
	}
	/* A daemon says it again; the reader of a pipe is gone. */
	if (!p->filter) {
		log_warn("-", "%s: %s", frame_kind_name(f->kind), why.text);
		return 0;
	}
	p->broken = true;
	*e = why;
	p->why = why;
	return -1;
}

static int
past_then_deploy(struct plan *p, const Frame__Past *f, struct err *e)
{
	struct app *a;
	struct pass s;
	int rv;

	if (past_take(p, f, e) == -1)
		return -1;
	a = app_by_id(p, f->application_id);
	if (a == NULL || a->triggers == NULL || a->repo->head[0] == '\0')
		return 0;
	pass_open(&s, a->repo, a->repo->head);
	rv = deploy_next(p, &s, a, e);
	pass_close(&s);
	return rv;
}

static int
plan_frame(struct plan *p, const struct frame *f, struct err *e)
{
	switch (f->kind) {
	case FRAME_head:
		return repo_head(p, f->u.head, e);
	case FRAME_past:
		return past_then_deploy(p, f->u.past, e);
	case FRAME_command:
		return command_take(p, f->u.command, e);
	case FRAME_app:
		return app_register(p, f->u.app, e);
	case FRAME_fenced:
		if (now_ms() >= p->fenced_until)
			log_error("-", "nothing is deployed any more: %s",
			    f->u.fenced->reason);
		p->fenced_until = now_ms() + FENCED_MS;
		return 0;
	case FRAME_resume:
		return resume_take(p, f->u.resume, e);
	case FRAME_app_state:
		return trigger_out_of_sync(p, f->u.app_state, e);
	default:
		return 0;
	}
}

/* All frames there are now: 1 at the end of input, 0, or -1. */
static int
plan_take(struct plan *p, struct err *e)
{
	struct arena *a = arena_new();
	struct frame f;
	const char *line;
	size_t len;
	int rv;

	while ((rv = bus_next(p->bus, &f, a, &line, &len, e)) != 0) {
		if (rv == 2)
			break;
		/* Others down the line want to know of them, too. */
		if (rv == 1 && p->filter &&
		    (f.kind == FRAME_app || f.kind == FRAME_resume ||
			f.kind == FRAME_fenced))
			rv = bus_line(p->bus, line, len, e) == -1 ? -1 : 1;
		if (rv == 1)
			rv = plan_frame(p, &f, e);
		if (p->broken) {
			*e = p->why;
			rv = -1;
			break;
		}
		if (rv == -1 && p->filter)
			break;
		if (rv == -1)
			log_warn("-", "%s", e->text);
		arena_reset(a);
	}
	arena_free(a);
	return rv == 2 ? 1 : rv;
}

static int64_t
sooner(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* Until when poll may sleep. */
static int
plan_wait(struct plan *p)
{
	int64_t asks = platforms_step(p), tick;
	int64_t due = sooner(sooner(asks, plan_due(p)), votes_step(p));

	if (due != INT64_MAX)
		due = due > now_ms() ? due - now_ms() : 0;
	if ((tick = bus_timeout(p->bus)) != -1)
		due = sooner(due, tick);
	return due == INT64_MAX ? -1 : (int)sooner(due, 3600000);
}

static int
plan_loop(struct plan *p, int sig, struct err *e)
{
	enum {
		PFD_SIGNAL,
		PFD_BUS,
		PFD_CHILD,
		PFD_VOTE,
		PFD_ASK = PFD_VOTE + VOTES + 1
	};
	struct pollfd *pfd =
	    arena_array(p->conf_arena, struct pollfd, PFD_ASK + p->n_platforms);
	bool end = false;
	int status, rv, wait;
	nfds_t n;

	for (;;) {
		if (!end && (rv = plan_take(p, e)) == -1)
			return -1;
		/* By now all applications are known. */
		if (!end && rv == 1 && p->filter) {
			if (commands_load(p, e) == -1)
				return -1;
			unregistered_warn(p);
		}
		end = end || rv == 1;
		wait = plan_wait(p);
		if (p->broken) {
			*e = p->why;
			return -1;
		}
		if (end && !votes_pending(p) && wait != 0)
			return 0;
		pfd[PFD_SIGNAL] = (struct pollfd){ sig, POLLIN, 0 };
		pfd[PFD_BUS] =
		    (struct pollfd){ end ? -1 : bus_fd(p->bus), POLLIN, 0 };
		pfd[PFD_CHILD] = (struct pollfd){
			p->launcher == NULL ? -1 : launcher_fd(p->launcher),
			POLLIN, 0
		};
		n = PFD_VOTE + votes_poll(p, pfd + PFD_VOTE);
		n += platforms_poll(p, pfd + n);
		if (poll_idle(pfd, n, wait) == -1 && errno != EINTR)
			return err_sys(e, "poll");
		bus_tick(p->bus);
		platforms_reap(p);
		if (sig == -1)
			continue;
		while ((status = signals_next(sig)) != 0) {
			if (status == SIGTERM || status == SIGINT)
				return 0;
		}
	}
}

static void
plan_open(struct plan *p)
{
	struct repo *r;
	size_t i;

	p->apps = map_new();
	p->given = map_new();
	p->commands = map_new();
	p->work = arena_new();
	p->project_id =
	    p->conf.project_id != NULL ? p->conf.project_id : "standalone";
	p->piped_id =
	    p->conf.piped_id != NULL ? p->conf.piped_id : "standalone";
	p->n_repos = p->conf.n_repositories;
	p->repos = xcalloc(p->n_repos + 1, sizeof(*p->repos));
	for (i = 0; i < p->n_repos; i++) {
		struct buf b = BUF_INIT;

		r = &p->repos[i];
		r->conf = &p->conf.repositories[i];
		buf_printf(
		    &b, "%s/mirror/%s.git", p->conf.state_dir, r->conf->id);
		r->mirror = b.p;
	}
	platforms_open(p);
	said_open(p);
}

static void
plan_close(struct plan *p)
{
	size_t i;

	for (i = 0; i < p->n_repos; i++)
		repo_free(p, &p->repos[i]);
	free(p->repos);
	votes_close(p);
	platforms_close(p);
	configs_free(&p->configs);
	commands_free(p);
	map_free(p->apps);
	map_free(p->given);
	arena_free(p->work);
	arena_free(p->conf_arena);
	bus_close(p->bus);
	git_close();
}

int
main(int argc, char *argv[])
{
	static struct plan p;
	const char *bus = NULL;
	bool check = false;
	enum log_level level = LOG_INFO;
	struct err e;
	int c, rv, sig = -1;

	log_open("pipecd-plan", level);
	while ((c = getopt(argc, argv, "b:f:nv")) != -1) {
		switch (c) {
		case 'b':
			bus = optarg;
			break;
		case 'f':
			p.conf_path = optarg;
			break;
		case 'n':
			check = true;
			break;
		case 'v':
			level = LOG_DEBUG;
			break;
		default:
			usage(SYNOPSIS);
		}
	}
	if (check == (optind == argc))
		usage(SYNOPSIS);
	log_open("pipecd-plan", level);
	if (check)
		return conf_check_main(argv + optind);
	p.filter = bus == NULL;
	p.conf_arena = arena_new();
	if (conf_piped_open(&p.conf, p.conf_path, p.conf_arena, &e) == -1)
		die(&e);
	plan_open(&p);
	if ((bus != NULL &&
		((sig = signals_open(&e)) == -1 ||
		    sandbox("plan", p.conf.state_dir, NULL, &e) == -1)) ||
	    git_open(false, &e) == -1 ||
	    (p.bus = bus_open("plan", bus, &e)) == NULL ||
	    past_load(&p, &e) == -1)
		die(&e);
	ready();
	rv = plan_loop(&p, sig, &e);
	said_close(&p);
	plan_close(&p);
	if (rv == -1)
		die(&e);
	return RC_OK;
}
