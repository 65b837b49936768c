#include <stdlib.h>
#include <string.h>

#include "drift.h"

/* Where in the interval an application has its place. */
static uint64_t
spread(const char *id)
{
	uint64_t h = 0xcbf29ce484222325;

	for (; *id != '\0'; id++)
		h = (h ^ (unsigned char)*id) * 0x100000001b3;
	return h ^ h >> 29;
}

struct app *
app_get(struct drift *d, const char *id)
{
	struct app *a = map_get(d->apps, id);

	if (a == NULL) {
		a = xcalloc(1, sizeof(*a));
		a->id = xstrdup(id);
		a->due_ms = INT64_MAX;
		map_put(d->apps, id, a);
	}
	return a;
}

void
app_due(struct drift *d, struct app *a, int64_t at_ms)
{
	a->due_ms = at_ms;
	if (at_ms < d->due_ms)
		d->due_ms = at_ms;
}

static void
replace(char **old, const char *now)
{
	char *copy = xstrdup(now);

	free(*old);
	*old = copy;
}

void
app_free(struct drift *d, struct app *a)
{
	map_del(d->apps, a->id);
	free(a->id);
	free(a->line);
	free(a->invalid);
	free(a->deployment_id);
	free(a);
}

static bool
is_commit(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n < COMMIT_LEN && strspn(s, "0123456789abcdef") == n;
}

/* So many new ones at once that they must not all be looked at at once. */
static int64_t
first_look(const struct drift *d, const struct app *a)
{
	uint64_t span = map_len(d->apps) * 20,
		 most = (uint64_t)d->conf->sync_interval_ms;

	if (span > most)
		span = most;
	return now_ms() + (d->once ? 0 : (int64_t)(spread(a->id) % (span + 1)));
}

/* It is looked at no more. */
static void
forget(struct drift *d, const char *id)
{
	struct app *a = map_get(d->apps, id);

	if (a == NULL)
		return;
	objects_forget(d, a, a->commit);
	objects_forget(d, a, a->inputs);
	a->gone = true;
	a->gen++;
	a->due_ms = INT64_MAX;
	if (a->jobs == NULL)
		app_free(d, a);
}

int
on_app(struct drift *d, const Frame__App *m, const char *line, size_t len,
    struct err *e)
{
	char inputs[COMMIT_LEN];
	struct app *a;
	bool news, moved;

	(void)e;
	/* Not deployed; or the control plane's words, which plan follows up. */
	if (m->unregistered || (m->commit == NULL && !m->gone))
		return 0;
	if (m->gone) {
		forget(d, m->application->id);
		return 0;
	}
	a = app_get(d, m->application->id);
	if (!is_commit(m->commit)) {
		log_warn(a->id, "app frame without a commit: not looked at");
		return 0;
	}
	objects_inputs(d, m, inputs, d->work);
	moved = strcmp(a->commit, m->commit) != 0;
	if (moved)
		objects_forget(d, a, a->commit);
	/* A commit that changes nothing of what was looked at is no news. */
	if (strcmp(a->inputs, inputs) != 0) {
		objects_forget(d, a, a->inputs);
		moved = true;
	} else if (a->alone && inputs[0] != '\0') {
		moved = false;
	}
	news = a->line == NULL || a->invalid != NULL || a->gone || moved;
	(void)snprintf(a->inputs, sizeof(a->inputs), "%s", inputs);
	(void)snprintf(a->commit, sizeof(a->commit), "%s", m->commit);
	free(a->line);
	a->line = xcalloc(1, len + 1);
	memcpy(a->line, line, len);
	a->len = len;
	a->auto_sync = m->auto_sync;
	a->gone = false;
	free(a->invalid);
	a->invalid = NULL;
	if (news) {
		a->gen++;
		if (!a->deploying)
			app_due(d, a, first_look(d, a));
	}
	return 0;
}

int
on_app_invalid(struct drift *d, const Frame__AppInvalid *m, struct err *e)
{
	struct app *a = app_get(d, m->application->id);

	replace(&a->invalid, m->reason);
	a->gen++;
	a->due_ms = INT64_MAX;
	return say_state(d, a, MODEL__APPLICATION_SYNC_STATUS__INVALID_CONFIG,
	    "the application's configuration is wrong", a->invalid, NULL, 0, e);
}

static bool
runs(const Frame__Past *m)
{
	return m->has_status &&
	       (m->status == MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_RUNNING ||
		   m->status ==
		       MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_ROLLING_BACK);
}

int
on_past(struct drift *d, const Frame__Past *m, struct err *e)
{
	struct app *a;
	bool same;
	size_t i;

	/* What it was known as before is nobody now. */
	for (i = 0; i < m->n_tombstones; i++)
		if (strcmp(m->tombstones[i], m->application_id) != 0)
			forget(d, m->tombstones[i]);
	a = app_get(d, m->application_id);
	same = a->deployment_id != NULL && m->deployment_id != NULL &&
	       strcmp(a->deployment_id, m->deployment_id) == 0;

	if (same && a->deploying == runs(m))
		return 0;
	replace(&a->deployment_id, m->deployment_id);
	a->deploying = runs(m);
	a->gen++;
	d->past_ms = now_ms();
	if (a->invalid != NULL)
		return 0;
	if (a->deploying) {
		a->due_ms = INT64_MAX;
		return say_state(d, a,
		    MODEL__APPLICATION_SYNC_STATUS__DEPLOYING, "", "", NULL, 0,
		    e);
	}
	/* It ended, or never ran: see what it left behind. */
	if (a->line != NULL)
		app_due(d, a, d->once ? now_ms() : now_ms() + QUIET_MS);
	return 0;
}

/*
 * What is due, and what will be soon, together: a platform is started for all
 * of them at once, and after a few rounds they are due at the same few times.
 */
int
apps_turn(struct drift *d, struct err *e)
{
	int64_t now = now_ms(), next = INT64_MAX, soon;
	const char *id;
	struct app *a;
	void *v;
	size_t i;

	if (now < d->due_ms)
		return 0;
	/* While deployments come and go, they have the machine. */
	if (d->hold_ms == 0)
		d->hold_ms = now;
	if (!d->once && d->past_ms != 0 && now - d->past_ms < QUIET_MS &&
	    now - d->hold_ms < HOLD_MS) {
		d->due_ms = d->past_ms + QUIET_MS;
		return 0;
	}
	d->hold_ms = 0;
	soon = now + d->conf->sync_interval_ms / 4;
	for (i = 0; map_next(d->apps, &i, &id, &v);) {
		a = v;
		if (a->due_ms <= soon && a->jobs == NULL &&
		    job_begin(d, a, e) == -1)
			return -1;
		if (a->jobs == NULL && a->due_ms < next)
			next = a->due_ms;
	}
	d->due_ms = next;
	return 0;
}
