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
	struct map *heard; /* ids of those who spoke: &fresh or &old */
	int64_t now;
};

static const int fresh = 1, old = 2;

/* A map keeps pointers that may be written; these are not. */
static void *
mark(const int *m)
{
	return (void *)(uintptr_t)m;
}

static int
one_heard(void *arg, const Store__Record *r, struct arena *a, struct err *e)
{
	struct walk *w = arg;
	Store__PipedStatus *s =
	    record_of(&store__piped_status__descriptor, r, a, e);

	if (s == NULL)
		return -1;
	map_put(w->heard, r->id,
	    s->updated_at > w->now - OFFLINE_S ? mark(&fresh) : mark(&old));
	return 0;
}

static int
one_piped(void *arg, const Store__Record *r, struct arena *a, struct err *e)
{
	struct walk *w = arg;
	Model__Piped *p = record_of(&model__piped__descriptor, r, a, e);
	const int *heard;

	if (p == NULL)
		return -1;
	heard = map_get(w->heard, p->id);
	/* One that has only just begun has said nothing yet. */
	if (p->status != MODEL__PIPED__CONNECTION_STATUS__ONLINE ||
	    heard == &fresh ||
	    (heard == NULL && p->updated_at > w->now - OFFLINE_S))
		return 0;
	log_info(p->id, "agent offline name=%s", p->name);
	p->status = MODEL__PIPED__CONNECTION_STATUS__OFFLINE;
	return batch_add(&w->b, STORE__OP__KIND__UPDATE, "piped", p->id,
	    r->version, &p->base, e);
}

/* Two lists, whatever their number: thousands of agents cost a few answers. */
static int
offline(struct walk *w, struct err *e)
{
	struct list l;
	int rv;

	w->heard = map_new();
	batch_init(&w->b, w->o);
	list_init(&l, "piped_stat", "updated_at", true);
	rv = list_each(w->o, &l, one_heard, w, e);
	list_init(&l, "piped", "updated_at", true);
	if (rv == 0)
		rv = list_each(w->o, &l, one_piped, w, e);
	rv = batch_end(&w->b, rv, e);
	map_free(w->heard);
	return rv;
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
	rv = offline(&w, e);
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
