/*
 * One pipecd-ops per installation does the jobs, however many run: a lease in
 * the store, renewed while it is held.  On one host and state directory the
 * lock of run/ops.lock says the same at once, so that one which is started
 * again goes on without waiting for its own lease to end.
 */
#include <string.h>

#include "ops.h"

static int
take(struct ops *o, uint64_t version, const Store__Lease *old,
    int64_t expires_at, struct err *e)
{
	Store__Lease l = STORE__LEASE__INIT;

	l.id = str("ops");
	l.owner = o->owner;
	l.epoch = old != NULL ? old->epoch : 0;
	if (old == NULL || strcmp(old->owner, o->owner) != 0)
		l.epoch++;
	l.expires_at = expires_at;
	return write_one(o,
	    old != NULL ? STORE__OP__KIND__UPDATE : STORE__OP__KIND__CREATE,
	    "lease", "ops", version, &l.base, e);
}

int
lease_hold(struct ops *o, struct err *e)
{
	struct arena *a = arena_new();
	bool was = o->holder;
	Store__Lease *l = NULL;
	uint64_t version = 0;
	int rv;

	/* What is asked here is not what a lost lease forbids. */
	o->holder = false;
	o->lease_next_ms = now_ms() + LEASE_MS;
	rv = ops_get(
	    o, "lease", "ops", &store__lease__descriptor, &l, &version, a, e);
	if (rv != -1 && l != NULL && strcmp(l->owner, o->owner) != 0 &&
	    l->expires_at > wall_s())
		rv = 0;
	else if (rv != -1)
		rv = take(o, version, l, wall_s() + LEASE_S, e);
	if (rv == -1 && e->exit == RC_TEMP && was)
		o->holder = true; /* nobody else can have taken it either */
	if (rv != -1)
		o->holder = rv == 1;
	if (rv != -1 && was != o->holder)
		log_info("-", "%s",
		    o->holder ? "lease taken"
			      : "another pipecd-ops has the "
				"lease");
	arena_free(a);
	return rv;
}

/* At our end: the next need not wait. */
void
lease_drop(struct ops *o)
{
	struct arena *a = arena_new();
	Store__Lease *l = NULL;
	uint64_t version;
	struct err e;

	if (!o->holder)
		goto out;
	o->holder = false;
	o->daemon = false; /* this is still to be asked */
	if (ops_get(o, "lease", "ops", &store__lease__descriptor, &l, &version,
		a, &e) == 1 &&
	    strcmp(l->owner, o->owner) == 0)
		(void)take(o, version, l, 1, &e);
out:
	arena_free(a);
}
