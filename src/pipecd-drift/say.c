#include <stdlib.h>
#include <string.h>

#include "drift.h"

static uint64_t
hash_more(uint64_t h, const char *s, size_t n)
{
	for (; n > 0; n--)
		h = (h ^ (unsigned char)*s++) * 0x100000001b3;
	return h ^ h >> 31;
}

static uint64_t
hash_text(uint64_t h, const char *s)
{
	return hash_more(h, s, strlen(s) + 1);
}

/*
 * Say it where it is news; again after a while, for who has lost it; and each
 * time where plan is to act on it, which may have had to wait.
 */
int
say_state(struct drift *d, struct app *a, Model__ApplicationSyncStatus status,
    const char *brief, const char *reason, char **changed, size_t n_changed,
    struct err *e)
{
	Frame__AppState f = FRAME__APP_STATE__INIT;
	Model__ApplicationSyncState s = MODEL__APPLICATION_SYNC_STATE__INIT;
	uint64_t words = hash_text(hash_text(0, brief), reason);
	struct arena *ar = d->work;
	size_t i;

	for (i = 0; i < n_changed; i++)
		words = hash_text(words, changed[i]);
	if (a->said && a->status == status && a->words == words &&
	    now_ms() - a->said_ms < REFRESH_MS && !d->once &&
	    !(a->auto_sync &&
		status == MODEL__APPLICATION_SYNC_STATUS__OUT_OF_SYNC))
		return 0;
	a->said = true;
	a->status = status;
	a->words = words;
	a->said_ms = now_ms();
	s.status = status;
	s.short_reason = arena_strdup(ar, brief);
	s.reason = arena_strdup(ar, reason);
	s.head_deployment_id =
	    arena_strdup(ar, a->deployment_id != NULL ? a->deployment_id : "");
	s.timestamp = wall_s();
	f.application_id = a->id;
	f.sync_state = &s;
	f.commit = a->commit[0] != '\0' ? a->commit : NULL;
	f.changed = changed;
	f.n_changed = n_changed;
	log_debug(a->id, "%s %s",
	    msg_enum_name(
		&model__application_sync_status__descriptor, status, MSG_FRAME),
	    brief);
	return bus_tell(d->bus, FRAME_OF(app_state, &f), e);
}

static struct lived *
lived_get(struct app *a, uint64_t where)
{
	size_t i;

	for (i = 0; i < a->n_lived; i++)
		if (a->lived[i].where == where)
			return &a->lived[i];
	a->lived = xrealloc(a->lived, (a->n_lived + 1) * sizeof(*a->lived));
	a->lived[a->n_lived] = (struct lived){ .where = where };
	return &a->lived[a->n_lived++];
}

/* What a live frame says, but for its times: one may be that of the look. */
static uint64_t
live_hash(const Frame__Live *m)
{
	struct buf b = BUF_INIT;
	const Model__ApplicationLiveState *s = m->application_live_state;
	uint64_t h;
	size_t i;

	for (i = 0; i < s->n_resources; i++)
		s->resources[i]->created_at = s->resources[i]->updated_at = 0;
	msg_json(&b, &m->base, MSG_FRAME);
	h = hash_more(1, b.p, b.len);
	buf_free(&b);
	return h;
}

int
say_live(struct drift *d, struct job *j, Frame__Live *m, struct err *e)
{
	uint64_t what;
	struct lived *l =
	    lived_get(j->app, hash_text(hash_text(j->part, j->k->name),
				  m->target != NULL ? m->target : ""));
	Frame__Live *copy = msg_copy(m, d->work);
	int64_t now = now_ms();

	what = live_hash(m);
	if (l->what == what && now - l->said_ms < REFRESH_MS && !d->once)
		return 0;
	l->what = what;
	l->said_ms = now;
	return bus_tell(d->bus, FRAME_OF(live, copy), e);
}

/* What weighs more: a difference, then not knowing, then none. */
static int
weight(Model__ApplicationSyncStatus s)
{
	switch (s) {
	case MODEL__APPLICATION_SYNC_STATUS__DEPLOYING:
		return 4;
	case MODEL__APPLICATION_SYNC_STATUS__INVALID_CONFIG:
		return 3;
	case MODEL__APPLICATION_SYNC_STATUS__OUT_OF_SYNC:
		return 2;
	case MODEL__APPLICATION_SYNC_STATUS__SYNCED:
		return 0;
	default:
		return 1;
	}
}

/* The heaviest word of all platforms, with every reason of that weight. */
static const struct job *
heaviest(const struct app *a)
{
	const struct job *worst = &a->jobs[0];
	size_t i;

	for (i = 1; i < a->n_jobs; i++)
		if (weight(a->jobs[i].status) > weight(worst->status))
			worst = &a->jobs[i];
	return worst;
}

static char **
changed_keys(struct drift *d, const struct app *a, size_t *n)
{
	size_t i, cap = 0;
	char **keys, *s, *nl;

	for (i = 0; i < a->n_jobs; i++)
		for (s = a->jobs[i].changed.p; (s = strchr(s, '\n')) != NULL;
		     s++)
			cap++;
	keys = arena_array(d->work, char *, cap + 1);
	*n = 0;
	for (i = 0; i < a->n_jobs; i++) {
		s = arena_strdup(d->work, a->jobs[i].changed.p);
		for (; (nl = strchr(s, '\n')) != NULL; s = nl + 1) {
			*nl = '\0';
			keys[(*n)++] = s;
		}
	}
	return keys;
}

static void
jobs_free(struct drift *d, struct app *a)
{
	size_t i;

	for (i = 0; i < a->n_jobs; i++)
		job_free(d, &a->jobs[i]);
	d->n_jobs -= a->n_jobs;
	free(a->jobs);
	a->jobs = NULL;
	a->n_jobs = a->n_over = 0;
}

/* The shortest interval of its platforms, or the agent's. */
static int64_t
app_every(const struct drift *d, const struct app *a)
{
	int64_t every = INT64_MAX, of;
	size_t i;

	for (i = 0; i < a->n_jobs; i++) {
		of = a->jobs[i].k->every_ms > 0 ? a->jobs[i].k->every_ms
						: d->conf->sync_interval_ms;
		every = of < every ? of : every;
	}
	return every;
}

int
app_judge(struct drift *d, struct app *a, struct err *e)
{
	const struct job *worst = heaviest(a);
	struct buf reason = BUF_INIT;
	char **changed, *brief;
	size_t i, n;
	int rv = 0;

	if (a->gone) {
		jobs_free(d, a);
		app_free(d, a);
		return 0;
	}
	/* What was seen before a deployment began or ended tells nothing. */
	if (a->job_gen != a->gen) {
		jobs_free(d, a);
		if (a->due_ms == INT64_MAX && !a->deploying &&
		    a->invalid == NULL)
			app_due(d, a, now_ms() + (d->once ? 0 : QUIET_MS));
		return 0;
	}
	a->alone = true;
	for (i = 0; i < a->n_jobs; i++) {
		a->alone = a->alone && a->jobs[i].alone;
		if (weight(a->jobs[i].status) == weight(worst->status))
			buf_add(&reason, a->jobs[i].reason.p,
			    a->jobs[i].reason.len);
	}
	changed = changed_keys(d, a, &n);
	brief = arena_strdup(d->work, worst->brief.p);
	if (worst->n_targets > 1)
		brief = arena_printf(d->work, "%s (and %zu more targets)",
		    brief, worst->n_targets - 1);
	rv = say_state(d, a, worst->status, brief, reason.p, changed, n, e);
	buf_free(&reason);
	app_due(d, a, d->once ? INT64_MAX : now_ms() + app_every(d, a));
	jobs_free(d, a);
	return rv;
}
