#include "gitwatch.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

enum {
	PFD_SIGNAL,
	PFD_INBOX,
	PFD_INOTIFY,
	PFD_WORKER, /* and more of them */
	PFD__N = PFD_WORKER + WORKERS_MAX
};

/* What the mirror has from before, so that a forced push is seen as one. */
static void
remember(const struct gitwatch *w, struct repo *r)
{
	struct git *g = NULL;
	struct err e;

	/* One that another process writes is in good hands. */
	if (w->boot.len > 0 &&
	    git_mirror_recover(r->mirror, w->boot.p, &e) == -1)
		log_debug("-", "repo %s recover: %s", r->id, e.text);
	if (git_repo_open(&g, r->mirror, &e) == -1 || g == NULL)
		return;
	if (r->branch != NULL && git_head(g, r->branch, r->head, &e) == 1) {
		snprintf(r->at, sizeof(r->at), "%.255s", r->branch);
		if (git_mirror_check(g, r->head, &e) == 1)
			mirror_note(r);
		else /* after a power cut: fetched anew */
			r->head[0] = '\0';
	}
	git_repo_free(g);
}

int
gitwatch_open(struct gitwatch *g, struct err *e)
{
	struct map *seen = map_new();
	const char *dir;
	int rv = -1;
	size_t i;

	g->every_ms = g->conf.sync_interval_ms;
	g->n = g->conf.n_repositories;
	g->repos = arena_array(g->a, struct repo, g->n);
	g->seed = (unsigned int)now_us() ^ (unsigned int)getpid();
	dir = arena_printf(g->a, "%s/mirror", g->conf.state_dir);
	if (dir_make(dir, 0700, e) == -1)
		goto out;
	if (stat(dir, &g->mirrors) == -1) {
		err_sys(e, "%s", dir);
		goto out;
	}
	for (i = 0; i < g->n; i++) {
		const struct conf_repo *c = &g->conf.repositories[i];
		struct repo *r = &g->repos[i];

		if (!conf_repo_id_safe(c->id)) {
			err_set(e, RC_PERM,
			    "spec.repositories: repoId \"%.100s\" is no name "
			    "for a directory: use letters, digits, . _ -",
			    c->id);
			goto out;
		}
		if (map_put(seen, c->id, r) != NULL) {
			err_set(e, RC_PERM,
			    "spec.repositories: repoId %s is there twice",
			    c->id);
			goto out;
		}
		r->id = c->id;
		r->remote = c->remote;
		r->branch = c->branch != NULL && c->branch[0] != '\0'
				? c->branch
				: NULL;
		r->shown = git_url_shown(c->remote, g->a);
		r->path = git_url_path(c->remote, g->a);
		r->mirror = arena_printf(
		    g->a, "%s/mirror/%s.git", g->conf.state_dir, c->id);
		r->due = true;
		if (r->path != NULL && stat(r->path, &r->found) == -1)
			memset(&r->found, 0, sizeof(r->found));
		remember(g, r);
	}
	g->inotify = g->once ? -1 : inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	rv = 0;
out:
	map_free(seen);
	return rv;
}

static int
tell(struct gitwatch *g, struct repo *r, bool forced, struct err *e)
{
	Frame__Head h = FRAME__HEAD__INIT;

	memcpy(&h.repo, &r->id, sizeof(h.repo));
	h.branch = r->at;
	h.commit = r->head;
	h.seen_at = r->seen_at;
	memcpy(&h.remote, &r->shown, sizeof(h.remote));
	h.has_forced = forced;
	h.forced = forced;
	return bus_tell(g->bus, FRAME_OF(head, &h), e);
}

/* Doubled each time, spread by a fifth: a server comes back unstormed. */
static int64_t
backoff(struct gitwatch *g, const struct repo *r)
{
	int64_t ms = g->every_ms > 1000 ? g->every_ms : 1000;
	int i;

	for (i = 1; i < r->failures && ms < BACKOFF_MAX_MS; i++)
		ms *= 2;
	if (ms > BACKOFF_MAX_MS)
		ms = BACKOFF_MAX_MS;
	return ms - ms / 5 +
	       (int64_t)(rand_r(&g->seed) % (unsigned)(ms / 5 * 2 + 1));
}

/* Say it once; what is said again and again is not read. */
static void
failed(struct gitwatch *g, struct repo *r, const char *words)
{
	r->failures++;
	r->next_ms = now_ms() + backoff(g, r);
	if (strcmp(r->words, words) == 0) {
		log_debug("-", "repo %s fetch error=\"%s\" tries=%d", r->id,
		    words, r->failures);
		return;
	}
	snprintf(r->words, sizeof(r->words), "%s", words);
	if (r->head[0] != '\0')
		log_warn("-", "repo %s fetch error=\"%s\" keeping=%.8s", r->id,
		    words, r->head);
	else
		log_warn("-", "repo %s fetch error=\"%s\"", r->id, words);
}

/* What became of a look: heads are told, failures said, both repeated. */
static int
result(struct gitwatch *g, struct repo *r, int rv, const char *branch,
    const char *commit, bool forced, const struct err *why, struct err *e)
{
	/* What we look at in between does not put the repetition off. */
	if (r->repeat || !r->looked || r->failures > 0 || rv != 1)
		r->next_ms = now_ms() + g->every_ms;
	r->looked = true;
	if (rv != 1) {
		char words[400];

		snprintf(words, sizeof(words), "%s: has no branch %s", r->shown,
		    branch[0] != '\0' ? branch : "at all");
		failed(g, r, rv == 0 ? words : why->text);
		if (rv == 0) /* the server is well: no need to spare it */
			r->next_ms = now_ms() + g->every_ms;
		/* The last one seen is repeated, with the time of then. */
		if (r->seen_at != 0 && tell(g, r, false, e) == -1)
			return -1;
		return 0;
	}
	if (r->failures > 0)
		log_info("-", "repo %s fetch is well again head=%.8s after=%d",
		    r->id, commit, r->failures);
	r->failures = 0;
	r->words[0] = '\0';
	if (strcmp(r->head, commit) == 0 && strcmp(r->at, branch) == 0 &&
	    r->seen_at != 0 && !r->repeat) {
		r->seen_at = wall_s(); /* a ref changed that is not ours */
		return 0;
	}
	r->repeat = false;
	if (forced)
		log_warn("-", "repo %s branch %s was forced from=%.8s to=%.8s",
		    r->id, branch, r->head, commit);
	snprintf(r->at, sizeof(r->at), "%s", branch);
	snprintf(r->head, sizeof(r->head), "%s", commit);
	r->seen_at = wall_s();
	return tell(g, r, forced, e);
}

static bool
same(const char *path, const struct stat *was)
{
	struct stat st;

	return stat(path, &st) == 0 && st.st_ino == was->st_ino &&
	       st.st_dev == was->st_dev;
}

/*
 * The sandbox lets us into what was there when we started: a state directory
 * or a repository that was made anew since wants us to be started anew.
 */
static int
still_there(const struct gitwatch *g, const struct repo *r, struct err *e)
{
	char path[PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "%s/mirror", g->conf.state_dir);
	if (!same(path, &g->mirrors))
		return err_set(e, RC_TEMP,
		    "%s: has been replaced: to be started anew", path);
	if (r->path != NULL && stat(r->path, &st) == 0 &&
	    !same(r->path, &r->found))
		return err_set(e, RC_TEMP,
		    "repo %s: %s: has been made anew: to be started anew",
		    r->id, r->path);
	return 0;
}

static int
look(struct gitwatch *g, struct repo *r, struct err *e)
{
	char branch[256] = "", commit[GIT_ID] = "";
	bool forced = false;
	struct err why;
	int rv = 2;

	if (still_there(g, r, e) == -1)
		return -1;
	if (r->path != NULL) {
		/* First the watch: what comes while we look is seen then. */
		watch_repo(g, r);
		rv = look_local(r, branch, commit, &forced, &why);
		if (rv == 1 && r->copies >= COPIES)
			rv = 2;
	}
	if (rv == 2) {
		if (g->workers >= WORKERS_MAX)
			return 0; /* still due */
		r->due = false;
		if (worker_start(g, r, &why) == 0)
			return 0;
		rv = -1;
	}
	r->due = false;
	return result(g, r, rv, branch, commit, forced, &why, e);
}

static int
reap(struct gitwatch *g, struct repo *r, struct err *e)
{
	char branch[256], commit[GIT_ID];
	struct err why;
	bool forced;
	int rv = worker_end(g, r, branch, commit, &forced, &why);

	return result(g, r, rv, branch, commit, forced, &why, e);
}

static void
nudge(struct gitwatch *g, const char *id)
{
	int64_t now = now_ms();
	size_t i;

	for (i = 0; i < g->n; i++) {
		struct repo *r = &g->repos[i];

		if (strcmp(r->id, id) != 0)
			continue;
		if (r->nudged_ms + NUDGE_MS > now) {
			/* A storm is one look a second. */
			if (r->next_ms > r->nudged_ms + NUDGE_MS)
				r->next_ms = r->nudged_ms + NUDGE_MS;
			return;
		}
		r->nudged_ms = now;
		r->due = r->repeat = true;
		return;
	}
	log_debug("-", "nudge for no repository of ours repo=%.100s", id);
}

static int
inbox(struct gitwatch *g, struct arena *a, struct err *e)
{
	struct frame f;
	int r;

	for (;;) {
		arena_reset(a);
		r = bus_next(g->bus, &f, a, NULL, NULL, e);
		if (r == 2)
			g->deaf = true;
		if (r == 0 || r == 2)
			return 0;
		if (r == -1)
			log_warn("-", "frame %s", e->text);
		if (r == -1 && g->piped) {
			g->deaf = true; /* the rest means nothing */
			return 0;
		}
		if (r == 1 && f.kind == FRAME_nudge)
			nudge(g, f.u.nudge->repo);
	}
}

/* Look at all that is due; milliseconds until the next one is, or -1. */
static int64_t
turn(struct gitwatch *g, struct err *e)
{
	int64_t now = now_ms(), next = -1, left;
	size_t i;

	for (i = 0; i < g->n; i++) {
		struct repo *r = &g->repos[i];

		if (r->w.pid != 0) {
			if (now >= r->w.deadline_ms) {
				struct err why;

				worker_kill(g, r);
				err_set(&why, RC_TEMP,
				    "%s: took more than %llds: gave up "
				    "(spec.git.fetchTimeout)",
				    r->shown,
				    (long long)g->conf.git.fetch_timeout_ms /
					1000);
				if (result(g, r, -1, "", "", false, &why, e) ==
				    -1)
					return -2;
			}
			left = r->w.deadline_ms - now;
		} else {
			if (!g->once && now >= r->next_ms && r->looked)
				r->due = r->repeat = true;
			if (r->due && look(g, r, e) == -1)
				return -2;
			if (r->due)
				continue; /* all workers are busy */
			if (g->once && r->looked)
				continue;
			left = r->next_ms - now_ms();
		}
		if (left < 0)
			left = 0;
		if (next == -1 || left < next)
			next = left;
	}
	return next;
}

static bool
all_done(const struct gitwatch *g)
{
	size_t i;

	for (i = 0; i < g->n; i++)
		if (!g->repos[i].looked || g->repos[i].w.pid != 0)
			return false;
	return true;
}

static int
outcome(const struct gitwatch *g, struct err *e)
{
	size_t i, bad = 0;

	for (i = 0; i < g->n; i++)
		bad += g->repos[i].failures > 0;
	if (bad > 0)
		return err_set(
		    e, RC_TEMP, "%zu of %zu repositories failed", bad, g->n);
	return 0;
}

static size_t
fill(const struct gitwatch *g, struct pollfd *pfd, struct repo **of)
{
	size_t i, n = PFD_WORKER;

	pfd[PFD_SIGNAL].fd = g->signals;
	/* Once, we are a source: what is on stdin is for nobody. */
	pfd[PFD_INBOX].fd = g->once || g->deaf ? -1 : bus_fd(g->bus);
	pfd[PFD_INOTIFY].fd = g->inotify;
	for (i = 0; i < g->n && n < PFD__N; i++)
		if (g->repos[i].w.pid != 0) {
			of[n] = &g->repos[i];
			pfd[n++].fd = g->repos[i].w.pidfd;
		}
	for (i = 0; i < n; i++) {
		pfd[i].events = POLLIN;
		pfd[i].revents = 0;
	}
	return n;
}

static bool
stopped(const struct gitwatch *g)
{
	int s;

	while ((s = signals_next(g->signals)) != 0)
		if (s == SIGTERM || s == SIGINT || s == SIGHUP)
			return true;
	return false;
}

int
gitwatch_loop(struct gitwatch *g, struct err *e)
{
	struct arena *a = arena_new();
	struct pollfd pfd[PFD__N];
	struct repo *of[PFD__N];
	int64_t left, tick;
	size_t i, n;
	int rv = -1;

	for (;;) {
		if ((left = turn(g, e)) == -2)
			goto out;
		if (g->once && all_done(g)) {
			rv = outcome(g, e);
			goto out;
		}
		bus_tick(g->bus);
		tick = bus_timeout(g->bus);
		if (tick != -1 && (left == -1 || tick < left))
			left = tick;
		n = fill(g, pfd, of);
		if (poll_idle(pfd, n,
			left > INT32_MAX ? INT32_MAX : (int)left) == -1 &&
		    errno != EINTR) {
			err_sys(e, "poll");
			goto out;
		}
		if (pfd[PFD_SIGNAL].revents != 0 && stopped(g))
			break;
		if (pfd[PFD_INOTIFY].revents != 0)
			watch_read(g);
		if (pfd[PFD_INBOX].revents != 0 && inbox(g, a, e) == -1)
			goto out;
		for (i = PFD_WORKER; i < n; i++)
			if (pfd[i].revents != 0 && reap(g, of[i], e) == -1)
				goto out;
	}
	rv = 0;
out:
	for (i = 0; i < g->n; i++)
		if (g->repos[i].w.pid != 0)
			worker_kill(g, &g->repos[i]);
	arena_free(a);
	return rv;
}
