/*
 * The jobs on their clocks.  One at a time, and only while we have the lease;
 * one that fails is tried again soon, and said once.
 */
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "ops.h"

enum {
	RETRY_MS = 5000,       /* after a failure; doubles ... */
	RETRY_MAX_MS = 300000, /* ... up to this */
	SOON_MS = 200,	       /* chains, after a change */
	JOBS = 32
};

struct daemon {
	struct ops *o;
	bool ready;
	struct {
		int64_t at_ms;	/* of now_ms; -1: never */
		int64_t wall_s; /* CRON: of wall_s; else 0 */
		int64_t retry_ms;
	} next[JOBS];
	size_t n, chains; /* its number */
	uint64_t watch;
};

static int64_t
cron_next(const struct conf_control *c)
{
	int64_t a = INT64_MAX, b = INT64_MAX, now = wall_s();

	if (c->insight.applications)
		(void)conf_cron(&a, c->insight.applications_at, now);
	if (c->insight.deployments)
		(void)conf_cron(&b, c->insight.deployments_at, now);
	return a < b ? a : b;
}

static void
plan_first(struct daemon *d)
{
	size_t i;

	for (i = 0; jobs[i].name != NULL; i++) {
		must(i < JOBS);
		d->next[i].at_ms = -1;
		if (jobs[i].when == WHEN_START || jobs[i].when == WHEN_EVERY)
			d->next[i].at_ms = 0;
		if (jobs[i].when == WHEN_CRON)
			d->next[i].wall_s = cron_next(d->o->conf);
		if (strcmp(jobs[i].name, "chains") == 0)
			d->chains = i;
	}
	d->n = i;
}

static bool
due(const struct daemon *d, size_t i, int64_t now)
{
	if (d->next[i].wall_s > 0 && wall_s() >= d->next[i].wall_s)
		return true;
	return d->next[i].at_ms != -1 && now >= d->next[i].at_ms;
}

static void
done(struct daemon *d, size_t i)
{
	d->next[i].retry_ms = 0;
	d->next[i].at_ms = -1;
	if (jobs[i].when == WHEN_EVERY)
		d->next[i].at_ms = now_ms() + jobs[i].every_s * 1000;
	if (jobs[i].when == WHEN_CRON)
		d->next[i].wall_s = cron_next(d->o->conf);
}

static void
failed(struct daemon *d, size_t i, const struct err *e)
{
	if (d->next[i].retry_ms == 0)
		log_warn("-", "%s: %s; tried again", jobs[i].name, e->text);
	else
		log_debug("-", "%s: %s", jobs[i].name, e->text);
	d->next[i].retry_ms =
	    d->next[i].retry_ms == 0 ? RETRY_MS : d->next[i].retry_ms * 2;
	if (d->next[i].retry_ms > RETRY_MAX_MS)
		d->next[i].retry_ms = RETRY_MAX_MS;
	d->next[i].at_ms = now_ms() + d->next[i].retry_ms;
	if (jobs[i].when == WHEN_CRON)
		d->next[i].wall_s = cron_next(d->o->conf);
}

static void
say(const struct job *j, const struct did *what)
{
	struct buf b = BUF_INIT;
	size_t i;

	for (i = 0; i < what->n; i++)
		if (what->count[i].n != 0)
			buf_printf(&b, " %s=%lld", what->count[i].name,
			    (long long)what->count[i].n);
	if (b.len > 0)
		log_debug("-", "%s%s", j->name, b.p);
	buf_free(&b);
}

static void
run(struct daemon *d, size_t i)
{
	static char *const nothing[] = { NULL, NULL };
	struct did what = { .n = 0 };
	struct err e;

	arena_reset(d->o->arena);
	if (jobs[i].fn(d->o, nothing, &what, &e) == -1) {
		if (!d->o->stop)
			failed(d, i, &e);
		return;
	}
	say(&jobs[i], &what);
	done(d, i);
}

/* A deployment changed: if it is of a chain, more may begin. */
static void
changed(void *arg, const Store__Reply *r, struct arena *a)
{
	struct daemon *d = arg;
	int64_t soon = now_ms() + SOON_MS;

	(void)a;
	if (r->code != STORE__CODE__OK) {
		d->watch = 0;
		return;
	}
	if (r->change == NULL)
		return;
	if (!d->o->chains_open && !r->change->lost &&
	    strcmp(r->change->table, "deployment_chain") != 0)
		return;
	if (d->next[d->chains].at_ms == -1 || d->next[d->chains].at_ms > soon)
		d->next[d->chains].at_ms = soon;
}

static void
watch(struct daemon *d)
{
	Store__Request q = STORE__REQUEST__INIT;
	Store__Watch w = STORE__WATCH__INIT;
	char *tables[] = { str("deployment"), str("deployment_chain") };

	w.tables = tables;
	w.n_tables = NITEMS(tables);
	STORE_ASK(&q, WATCH, watch, &w);
	d->watch = store_send(d->o->store, &q, ASK_MS, changed, d);
}

static int
wait_ms(const struct daemon *d)
{
	int64_t now = now_ms(), at = now + 60 * 1000, left;
	size_t i;

	for (i = 0; i < d->n && d->o->holder; i++) {
		if (d->next[i].at_ms != -1 && d->next[i].at_ms < at)
			at = d->next[i].at_ms;
		left = d->next[i].wall_s - wall_s();
		if (d->next[i].wall_s > 0 && now + left * 1000 < at)
			at = now + left * 1000;
	}
	if (d->o->lease_next_ms < at)
		at = d->o->lease_next_ms;
	return at > now ? (int)(at - now) : 0;
}

static void
turn(struct daemon *d)
{
	struct err e;
	size_t i;

	if (now_ms() >= d->o->lease_next_ms && lease_hold(d->o, &e) == -1) {
		/* Long enough for the store to come back, and no longer. */
		d->o->lease_next_ms = now_ms() + 1000;
		log_debug("-", "lease: %s", e.text);
	}
	for (i = 0; i < d->n && d->o->holder && !told_to_end(d->o); i++) {
		/* Who is told that we are ready finds his project there. */
		if (!due(d, i, now_ms()) ||
		    (!d->ready && jobs[i].when != WHEN_START))
			continue;
		run(d, i);
	}
	if (!d->ready) {
		d->ready = true;
		ready();
		return; /* and once more, without waiting */
	}
	if (d->watch == 0)
		watch(d);
}

int
daemon_run(struct ops *o, struct err *e)
{
	struct daemon d = { .o = o };
	struct pollfd pfd[2] = { { .events = POLLIN }, { .events = POLLIN } };

	if ((o->signals = signals_open(e)) == -1)
		return -1;
	plan_first(&d);
	while (!told_to_end(o)) {
		turn(&d);
		pfd[0].fd = o->signals;
		pfd[1].fd = store_fd(o->store);
		(void)poll_idle(pfd, 2, o->stop ? 0 : wait_ms(&d));
		store_turn(o->store);
	}
	lease_drop(o);
	return 0;
}
