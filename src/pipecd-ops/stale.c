/*
 * Agents that said nothing for a while are offline.  pipecd-api knows that
 * too, when it is asked; here it becomes a change that others can see.
 */
#include <string.h>

#include "model/piped.pb-c.h"
#include "ops.h"

struct walk {
	struct ops *o;
	struct batch b;
	int64_t now;
};

static int64_t
last_heard(struct walk *w, const Model__Piped *p, struct arena *a, int64_t *at,
    struct err *e)
{
	Store__PipedStatus *s;
	uint64_t version;
	int rv = ops_get(w->o, "piped_stat", p->id,
	    &store__piped_status__descriptor, &s, &version, a, e);

	*at = rv == 1 ? s->updated_at : p->updated_at;
	return rv;
}

static int
one_piped(void *arg, const Store__Record *r, struct arena *a, struct err *e)
{
	struct walk *w = arg;
	Model__Piped *p = record_of(&model__piped__descriptor, r, a, e);
	int64_t at;

	if (p == NULL)
		return -1;
	if (p->status != MODEL__PIPED__CONNECTION_STATUS__ONLINE)
		return 0;
	if (last_heard(w, p, a, &at, e) == -1)
		return -1;
	if (at > w->now - OFFLINE_S)
		return 0;
	log_info(p->id, "agent offline name=%s silent_s=%lld", p->name,
	    (long long)(w->now - at));
	p->status = MODEL__PIPED__CONNECTION_STATUS__OFFLINE;
	return batch_add(&w->b, STORE__OP__KIND__UPDATE, "piped", p->id,
	    r->version, &p->base, e);
}

static int
one_stat(void *arg, const Store__Record *r, struct arena *a, struct err *e)
{
	struct walk *w = arg;

	(void)a;
	return batch_add(
	    &w->b, STORE__OP__KIND__PURGE, "piped_stat", r->id, 0, NULL, e);
}

int
job_stale(struct ops *o, char *const *argv, struct did *d, struct err *e)
{
	struct walk w = { .o = o, .now = wall_s() };
	struct list l;
	int rv;

	(void)argv;
	batch_init(&w.b, o);
	list_init(&l, "piped", "updated_at", true);
	rv = list_each(o, &l, one_piped, &w, e);
	rv = batch_end(&w.b, rv, e);
	did(d, "offline", w.b.done);
	if (rv == -1)
		return -1;
	batch_init(&w.b, o);
	list_init(&l, "piped_stat", "updated_at", true);
	l.l.max = w.now - FORGET_STAT_S;
	rv = list_each(o, &l, one_stat, &w, e);
	rv = batch_end(&w.b, rv, e);
	did(d, "forgotten", w.b.done);
	return rv;
}
