/*
 * Commands that no agent took: whoever waits for them is told.
 */
#include "model/command.pb-c.h"
#include "ops.h"

struct walk {
	struct batch b;
	int64_t now;
};

static int
one(void *arg, const Store__Record *r, struct arena *a, struct err *e)
{
	struct walk *w = arg;
	Model__Command *c = record_of(&model__command__descriptor, r, a, e);

	if (c == NULL)
		return -1;
	c->status = MODEL__COMMAND_STATUS__COMMAND_TIMEOUT;
	c->handled_at = w->now;
	return batch_add(&w->b, STORE__OP__KIND__UPDATE, "command", c->id,
	    r->version, &c->base, e);
}

int
job_commands(struct ops *o, char *const *argv, struct did *d, struct err *e)
{
	struct walk w = { .now = wall_s() };
	struct list l;
	int rv;

	(void)argv;
	batch_init(&w.b, o);
	list_init(&l, "command", "created_at", true);
	list_filter(&l, "status", "COMMAND_NOT_HANDLED_YET");
	l.l.max = w.now - ORPHAN_S;
	rv = list_each(o, &l, one, &w, e);
	rv = batch_end(&w.b, rv, e);
	did(d, "timed_out", w.b.done);
	return rv;
}
