#include <stdlib.h>
#include <string.h>

#include "summary.h"

static void
nums_add(struct nums *v, int64_t n)
{
	if (v->n == v->cap) {
		v->cap = v->cap == 0 ? 8 : v->cap * 2;
		v->v = xrealloc(v->v, v->cap * sizeof(*v->v));
	}
	v->v[v->n++] = n;
}

static int
num_order(const void *x, const void *y)
{
	int64_t a = *(const int64_t *)x, b = *(const int64_t *)y;

	return (a > b) - (a < b);
}

int64_t
nums_median(const struct nums *v)
{
	if (v->n == 0)
		return -1;
	if (v->n % 2 == 1)
		return v->v[v->n / 2];
	return (v->v[v->n / 2 - 1] + v->v[v->n / 2]) / 2;
}

/* The nearest rank: the smallest that nine tenths do not exceed. */
int64_t
nums_p90(const struct nums *v)
{
	return v->n == 0 ? -1 : v->v[(v->n * 9 + 9) / 10 - 1];
}

double
stats_failure_rate(const struct stats *s)
{
	if (s->deployments == 0)
		return -1;
	return (double)s->bad / (double)s->deployments;
}

double
stats_per_day(const struct stats *s, int64_t seconds)
{
	return (double)s->deployments * 86400 / (double)seconds;
}

static int
rec_order(const void *x, const void *y)
{
	const struct rec *a = x, *b = y;

	if (a->app != b->app)
		return a->app < b->app ? -1 : 1;
	if (a->end != b->end)
		return a->end < b->end ? -1 : 1;
	/* In the same second: what went wrong came first. */
	return (int)a->success - (int)b->success;
}

static int
app_order(const void *x, const void *y)
{
	const struct app *a = x, *b = y;
	int c = strcmp(a->name, b->name);

	return c != 0 ? c : strcmp(a->id, b->id);
}

void
summary_sort(struct summary *s)
{
	size_t i;
	struct app *a;

	if (s->n_recs > 0)
		qsort(s->recs, s->n_recs, sizeof(*s->recs), rec_order);
	for (i = 0; i < s->n_recs; i++) {
		a = &s->apps[s->recs[i].app];
		if (a->n++ == 0)
			a->first = i;
	}
	if (s->n_apps > 0)
		qsort(s->apps, s->n_apps, sizeof(*s->apps), app_order);
}

void
series_init(struct series *x, const struct range *r)
{
	memset(x, 0, sizeof(*x));
	x->bucket = xcalloc(r->n, sizeof(*x->bucket));
	x->n = r->n;
}

static void
stats_reset(struct stats *s)
{
	struct nums lead = s->lead, restore = s->restore;

	memset(s, 0, sizeof(*s));
	lead.n = restore.n = 0;
	s->lead = lead;
	s->restore = restore;
}

void
series_reset(struct series *x)
{
	size_t i;

	stats_reset(&x->all);
	for (i = 0; i < x->n; i++)
		stats_reset(&x->bucket[i]);
}

void
series_free(struct series *x)
{
	size_t i;

	free(x->all.lead.v);
	free(x->all.restore.v);
	for (i = 0; i < x->n; i++) {
		free(x->bucket[i].lead.v);
		free(x->bucket[i].restore.v);
	}
	free(x->bucket);
}

static void
stats_add(struct stats *s, const struct rec *r, int64_t lead, int64_t restore)
{
	if (r->superseded) {
		s->superseded++;
		return;
	}
	s->deployments++;
	s->success += r->success;
	s->failure += r->failure;
	s->cancelled += r->cancelled;
	s->rolled_back += r->rolled_back;
	s->bad += r->failure || r->rolled_back;
	if (lead >= 0)
		nums_add(&s->lead, lead);
	if (restore >= 0)
		nums_add(&s->restore, restore);
}

/*
 * Walk an application's deployments from its first, also those before the
 * range: a failure of last month may be restored, and a commit of last month
 * deployed again, in this one.
 */
void
series_add(struct series *x, const struct summary *s, const struct app *app)
{
	const struct range *rg = &s->range;
	struct map *done = map_new();
	int64_t failed_at = -1, lead, restore;
	size_t i;

	for (i = app->first; i < app->first + app->n; i++) {
		const struct rec *r = &s->recs[i];

		if (r->end >= rg->until)
			break;
		lead = restore = -1;
		if (r->success) {
			/* A commit is delivered once, by its first success. */
			if (r->commit_at > 0 &&
			    map_put(done, r->commit, done) == NULL)
				lead = r->end > r->commit_at
					   ? r->end - r->commit_at
					   : 0;
			if (failed_at >= 0)
				restore = r->end - failed_at;
			failed_at = -1;
		} else if ((r->failure || r->rolled_back) && failed_at < 0) {
			failed_at = r->end;
		}
		if (r->end < rg->since)
			continue;
		stats_add(&x->all, r, lead, restore);
		stats_add(&x->bucket[(r->end - rg->since) / rg->step], r, lead,
		    restore);
	}
	x->all.open += failed_at >= 0;
	map_free(done);
}

static void
stats_sort(struct stats *s)
{
	if (s->lead.n > 1)
		qsort(s->lead.v, s->lead.n, sizeof(int64_t), num_order);
	if (s->restore.n > 1)
		qsort(s->restore.v, s->restore.n, sizeof(int64_t), num_order);
}

void
series_sort(struct series *x)
{
	size_t i;

	stats_sort(&x->all);
	for (i = 0; i < x->n; i++)
		stats_sort(&x->bucket[i]);
}
