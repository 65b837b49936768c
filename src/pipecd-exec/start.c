/*
 * What a former exec left behind, and what is kept how long.  A journal that
 * can be written to is one that is not finished.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exec.h"

static const int64_t day_ms = 24 * 3600 * 1000;

enum {
	JUMP_MS = 3600 * 1000 /* no clock is slewed that far in a day */
};

/* The id in "<id>.ndjson", in the arena; NULL for other files. */
static char *
id_of(const char *name, struct arena *a)
{
	size_t n = strlen(name);

	if (n <= 7 || n >= JOURNAL_NAME - 1 || n - 7 > 63 ||
	    strcmp(name + n - 7, ".ndjson") != 0 || name[0] == '.' ||
	    strcmp(name, "apps.ndjson") == 0)
		return NULL;
	return arena_strndup(a, name, n - 7);
}

static DIR *
journal_dir(struct exec *x, struct err *e)
{
	DIR *d = NULL;
	int fd = openat(x->journal_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd == -1 || (d = fdopendir(fd)) == NULL) {
		err_sys(e, "open %s/journal", x->state_dir);
		if (fd != -1)
			close(fd);
	}
	return d;
}

struct left {
	struct deployment *d;
	int64_t written_ns; /* its journal, last */
	int64_t committed_at, triggered_at;
};

/* When a deployment's journal was last written to, Unix ns; 0: it is gone. */
static int64_t
written_ns(const struct exec *x, const char *id)
{
	char name[JOURNAL_NAME];
	struct stat st;
	struct err e;

	if (journal_name(name, id, &e) == -1 ||
	    fstatat(x->journal_fd, name, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return 0;
	return (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
}

static int
by_number(int64_t a, int64_t b)
{
	return a < b ? -1 : a > b;
}

/*
 * What has ended comes first, in the order in which it ended: commits and
 * triggers have seconds only, and the last to end says what runs.  Then the
 * others, as they are queued.
 */
static int
older(const void *a, const void *b)
{
	const struct left *p = a, *q = b;
	bool p_over = deployment_ended(p->d->s.deployment->status);
	bool q_over = deployment_ended(q->d->s.deployment->status);
	int r;

	if (p_over != q_over)
		return p_over ? -1 : 1;
	if (!p_over &&
	    ((r = by_number(p->committed_at, q->committed_at)) != 0 ||
		(r = by_number(p->triggered_at, q->triggered_at)) != 0))
		return r;
	if ((r = by_number(p->written_ns, q->written_ns)) != 0)
		return r;
	return strcmp(p->d->id, q->d->id);
}

static void
left_load(struct exec *x, const char *id, struct left **left, size_t *n)
{
	struct deployment first = { .j.fd = -1 }, *d;
	Model__Deployment *m;
	struct err e;

	/* Its application is known only after it was read. */
	strcpy(first.id, id);
	journal_init(&first.j, id);
	if (deployment_load(x, &first, &e) == -1) {
		char name[JOURNAL_NAME], aside[JOURNAL_NAME + 8];

		arena_free(first.arena);
		(void)journal_name(name, id, &e);
		(void)snprintf(aside, sizeof(aside), "%s.broken", name);
		log_error(id,
		    "%s; it is kept as journal/%s and given up: a person has "
		    "to look at what it left",
		    e.text, aside);
		if (e.exit == RC_PERM)
			(void)renameat(
			    x->journal_fd, name, x->journal_fd, aside);
		x->failed++;
		return;
	}
	m = first.s.deployment;
	d = deployment_new(x, id, app_get(x, m->application_id));
	d->arena = first.arena;
	d->s = first.s;
	d->j = first.j;
	(void)snprintf(
	    d->commit, sizeof(d->commit), "%s", m->trigger->commit->hash);
	*left = xrealloc(*left, (*n + 1) * sizeof(**left));
	(*left)[(*n)++] = (struct left){ d, written_ns(x, id),
		m->trigger->commit->created_at, m->trigger->timestamp };
}

/* A process that runs a stage of it now would run beside the next attempt. */
static void
stages_kill(struct exec *x, const struct deployment *d)
{
	size_t i;

	for (i = 0; i < d->s.n_stages; i++)
		if (d->s.deployment->stages[i]->status == S_(RUNNING) &&
		    d->s.stage[i].pid > 0)
			process_kill(
			    x, d->s.stage[i].pid, d->s.stage[i].pid_started);
}

/* It ended, and exec was killed before all was told. */
static void
ended_again(struct exec *x, struct deployment *d)
{
	Frame__Deployment f = FRAME__DEPLOYMENT__INIT;
	struct frame said = { .kind = FRAME_deployment };
	Model__Deployment *m = d->s.deployment;
	Frame__Past *p = apps_get(x->apps, m->application_id, x->turn);

	f.deployment = m;
	said.u.deployment = msg_copy(&f, x->turn);
	tell(x, &said);
	x->ended++;
	x->failed += m->status != D_(SUCCESS) &&
		     !str_prefix(m->status_reason, "superseded by ");
	/* Unless apps.ndjson already has one that ended later. */
	if (p == NULL || p->deployment_id == NULL ||
	    !deployment_ended(p->status) ||
	    written_ns(x, p->deployment_id) <= written_ns(x, m->id))
		past_put(x, m, true);
	chain_member_ended(x, m);
	leftover_remove(x, d);
	d->phase = PH_ENDED;
	dirty_add(x, d, true);
}

void
deployment_take_up(struct exec *x, struct deployment *d)
{
	Model__Deployment *m = d->s.deployment;

	switch (m->status) {
	case D_(PENDING):
	case D_(PLANNED):
		d->phase = m->status == D_(PENDING) ? PH_PENDING : PH_QUEUED;
		d->on_commit = deployment_by_commit(m, d->s.plan);
		d->ours = d->phase == PH_QUEUED;
		if (d->ours)
			past_put(x, m, true);
		arena_free(d->arena);
		d->arena = NULL;
		memset(&d->s, 0, sizeof(d->s));
		queue_add(x, d);
		break;
	case D_(RUNNING):
	case D_(ROLLING_BACK):
		stages_kill(x, d);
		past_put(x, m, true);
		deployment_resume(x, d);
		break;
	default:
		ended_again(x, d);
		break;
	}
}

/*
 * apps.ndjson may name a deployment whose journal a power cut took: that
 * trigger was never acted upon.
 */
static void
apps_check(struct exec *x)
{
	struct arena *a = arena_new();
	const char *line;
	char name[JOURNAL_NAME];
	struct frame f;
	struct err e;
	size_t i = 0, len, n = 0, k;
	Frame__Past **lost = NULL;

	while (apps_next(x->apps, &i, &line, &len)) {
		if (frame_parse(&f, line, len, a, &e) != 1)
			continue;
		if (f.u.past->deployment_id == NULL ||
		    deployment_ended(f.u.past->status) ||
		    map_get(x->by_id, f.u.past->deployment_id) != NULL ||
		    journal_name(name, f.u.past->deployment_id, &e) == -1)
			continue;
		lost = xrealloc(lost, (n + 1) * sizeof(Frame__Past *));
		lost[n++] = f.u.past;
	}
	for (k = 0; k < n; k++) {
		log_warn(lost[k]->deployment_id,
		    "its journal is gone app=%s: it is triggered again",
		    lost[k]->name != NULL ? lost[k]->name
					  : lost[k]->application_id);
		lost[k]->triggered_commit = NULL;
		lost[k]->deployment_id = NULL;
		lost[k]->has_status = lost[k]->has_completed_at = false;
		apps_put(x->apps, lost[k]);
	}
	free(lost);
	arena_free(a);
}

void
pasts_tell(struct exec *x)
{
	const char *line;
	struct frame f;
	struct err e;
	size_t i = 0, len;

	while (apps_next(x->apps, &i, &line, &len))
		if (frame_parse(&f, line, len, x->turn, &e) == 1)
			tell(x, &f);
	x->past_at = now_ms() + PAST_REPEAT_MS;
}

int
restart(struct exec *x, struct err *e)
{
	struct left *left = NULL;
	struct dirent *f;
	struct stat st;
	size_t n = 0, i;
	char *id;
	DIR *dir;

	if ((dir = journal_dir(x, e)) == NULL)
		return -1;
	while ((f = readdir(dir)) != NULL) {
		if (str_suffix(f->d_name, ".tmp"))
			(void)unlinkat(x->journal_fd, f->d_name, 0);
		if ((id = id_of(f->d_name, x->turn)) == NULL ||
		    fstatat(x->journal_fd, f->d_name, &st,
			AT_SYMLINK_NOFOLLOW) == -1 ||
		    !S_ISREG(st.st_mode) || (st.st_mode & 0200) == 0)
			continue;
		if (st.st_size == 0) /* made, and killed before a line */
			(void)unlinkat(x->journal_fd, f->d_name, 0);
		else
			left_load(x, id, &left, &n);
	}
	closedir(dir);
	if (n > 1)
		qsort(left, n, sizeof(*left), older);
	/* Chains first, so that their members find them. */
	for (i = 0; i < n; i++)
		chain_take_up(x, left[i].d);
	for (i = 0; i < n; i++)
		if (left[i].d->phase != PH_CHAIN)
			deployment_take_up(x, left[i].d);
	free(left);
	apps_check(x);
	leftovers_sweep(x);
	if (x->daemon)
		pasts_tell(x);
	retention(x);
	return 0;
}

/* A journal that ended: nobody writes to it any more. */
static bool
ended_journal(struct exec *x, const struct dirent *f, struct stat *st)
{
	return str_suffix(f->d_name, ".ndjson") &&
	       fstatat(x->journal_fd, f->d_name, st, AT_SYMLINK_NOFOLLOW) ==
		   0 &&
	       (st->st_mode & 0200) == 0;
}

/* One that was set aside, for people to look at. */
static bool
aside_journal(struct exec *x, const struct dirent *f, struct stat *st)
{
	return (str_suffix(f->d_name, ".ndjson.behind") ||
		   str_suffix(f->d_name, ".ndjson.broken")) &&
	       fstatat(x->journal_fd, f->d_name, st, AT_SYMLINK_NOFOLLOW) ==
		   0 &&
	       S_ISREG(st->st_mode);
}

/*
 * Up to when journals may go, Unix ms; 0: none now.  A clock that jumped ahead
 * must not cost the history: journals age from the newest of them on, and a
 * jump since the last time leaves a day to mend the clock.
 */
static int64_t
retention_before(struct exec *x, DIR *dir)
{
	int64_t now = wall_ms(), clocks = now - up_ms(), newest = 0, was, ms;
	struct dirent *f;
	struct stat st;

	was = x->clocks;
	x->clocks = clocks;
	if (was != 0 && (clocks - was > JUMP_MS || was - clocks > JUMP_MS)) {
		log_warn("-",
		    "retention: the clock was set by %lld s, no journal is "
		    "removed today",
		    (long long)((clocks - was) / 1000));
		return 0;
	}
	while ((f = readdir(dir)) != NULL)
		if (ended_journal(x, f, &st) &&
		    (ms = (int64_t)st.st_mtime * 1000) > newest)
			newest = ms;
	rewinddir(dir);
	return (newest < now ? newest : now) - x->conf.journal_retention_ms;
}

void
retention(struct exec *x)
{
	struct arena *a = arena_new();
	struct map *latest = map_new();
	int64_t before;
	const char *line;
	struct dirent *f;
	struct frame r;
	struct stat st;
	struct err e;
	size_t i = 0, len;
	long n = 0;
	char *id;
	DIR *dir;

	x->sweep_at = now_ms() + day_ms;
	while (apps_next(x->apps, &i, &line, &len))
		if (frame_parse(&r, line, len, a, &e) == 1 &&
		    r.u.past->deployment_id != NULL)
			map_put(latest, r.u.past->deployment_id, x);
	if ((dir = journal_dir(x, &e)) == NULL)
		goto out;
	before = retention_before(x, dir);
	while ((f = readdir(dir)) != NULL)
		if ((aside_journal(x, f, &st) ||
			((id = id_of(f->d_name, a)) != NULL &&
			    map_get(latest, id) == NULL &&
			    ended_journal(x, f, &st))) &&
		    (int64_t)st.st_mtime * 1000 < before &&
		    unlinkat(x->journal_fd, f->d_name, 0) == 0)
			n++;
	closedir(dir);
	if (n > 0)
		log_info("-", "retention journals_removed=%ld", n);
out:
	map_free(latest);
	arena_free(a);
}
