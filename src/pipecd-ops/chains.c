/*
 * Deployment chains: each block waits for the one before, and all of it is
 * decided by what this writes into the chain's record.
 */
#include <string.h>

#include "model/deployment_chain.pb-c.h"
#include "ops.h"

/* A block's and a chain's states are the same five, in the same order. */
enum state {
	PENDING,
	RUNNING,
	SUCCESS,
	FAILURE,
	CANCELLED
};
_Static_assert(
    (int)MODEL__CHAIN_STATUS__DEPLOYMENT_CHAIN_CANCELLED == (int)CANCELLED &&
	(int)MODEL__CHAIN_BLOCK_STATUS__DEPLOYMENT_BLOCK_CANCELLED ==
	    (int)CANCELLED,
    "states of chains and blocks");

struct walk {
	struct ops *o;
	struct batch b;
	int64_t now, unfinished;
};

struct chain {
	Model__DeploymentChain *m;
	struct arena *a;
	bool changed;
};

static enum state
node_state(const Model__ChainNode *n)
{
	if (n->deployment_ref == NULL)
		return PENDING;
	switch (n->deployment_ref->status) {
	case MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_PENDING:
		return PENDING;
	case MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_SUCCESS:
		return SUCCESS;
	case MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_FAILURE:
		return FAILURE;
	case MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_CANCELLED:
		return CANCELLED;
	default:
		return RUNNING;
	}
}

/* All SUCCESS, or any FAILURE, any CANCELLED, any that runs, in this order. */
static enum state
together(const size_t count[5], size_t n)
{
	if (count[SUCCESS] == n)
		return SUCCESS;
	if (count[FAILURE] > 0)
		return FAILURE;
	if (count[CANCELLED] > 0)
		return CANCELLED;
	return count[RUNNING] > 0 ? RUNNING : PENDING;
}

static void
block_set(struct chain *c, Model__ChainBlock *b, int64_t now)
{
	size_t count[5] = { 0 }, i;
	enum state s;

	if ((int)b->status >= SUCCESS)
		return; /* finished: it stays what it was */
	for (i = 0; i < b->n_nodes; i++)
		count[node_state(b->nodes[i])]++;
	s = together(count, b->n_nodes);
	if ((int)b->status == (int)s)
		return;
	b->status = (Model__ChainBlockStatus)s;
	if (s != PENDING && b->started_at == 0)
		b->started_at = now;
	if (s >= SUCCESS)
		b->completed_at = now;
	c->changed = true;
}

static void
chain_set(struct chain *c, int64_t now)
{
	size_t count[5] = { 0 }, i;
	enum state s;

	for (i = 0; i < c->m->n_blocks; i++) {
		block_set(c, c->m->blocks[i], now);
		if ((int)c->m->blocks[i]->status <= CANCELLED)
			count[c->m->blocks[i]->status]++;
	}
	s = together(count, c->m->n_blocks);
	/* Between two blocks nothing runs, and it goes on all the same. */
	if (s == PENDING && count[SUCCESS] > 0)
		s = RUNNING;
	if ((int)c->m->status == (int)s)
		return;
	c->m->status = (Model__ChainStatus)s;
	if (s >= SUCCESS)
		c->m->completed_at = now;
	c->changed = true;
}

static void
node_link(struct chain *c, Model__ChainNode *n, const Model__Deployment *d)
{
	Model__ChainDeploymentRef *r = n->deployment_ref;

	if (r != NULL && strcmp(r->deployment_id, d->id) == 0 &&
	    r->status == d->status)
		return;
	if (r == NULL) {
		r = n->deployment_ref =
		    arena_new_of(c->a, Model__ChainDeploymentRef);
		model__chain_deployment_ref__init(r);
	}
	r->deployment_id = arena_strdup(c->a, d->id);
	r->status = d->status;
	r->status_reason = arena_strdup(c->a, d->status_reason);
	c->changed = true;
}

/* A deployment of the chain: which node is it of? */
static int
one_deployment(
    void *arg, const Store__Record *r, struct arena *a, struct err *e)
{
	const Model__Deployment *d =
	    record_of(&model__deployment__descriptor, r, a, e);
	struct chain *c = arg;
	Model__ChainBlock *b;
	size_t i;

	if (d == NULL)
		return -1;
	if (d->deployment_chain_block_index >= c->m->n_blocks)
		return 0;
	b = c->m->blocks[d->deployment_chain_block_index];
	for (i = 0; i < b->n_nodes; i++)
		if (b->nodes[i]->application_ref != NULL &&
		    strcmp(b->nodes[i]->application_ref->application_id,
			d->application_id) == 0)
			node_link(c, b->nodes[i], d);
	return 0;
}

static int
one_chain(void *arg, const Store__Record *r, struct arena *a, struct err *e)
{
	struct walk *w = arg;
	struct chain c = { .a = a };
	struct list l;

	if ((c.m = record_of(&model__deployment_chain__descriptor, r, a, e)) ==
	    NULL)
		return -1;
	list_init(&l, "deployment", "updated_at", true);
	list_filter(&l, "deployment_chain_id", c.m->id);
	if (list_each(w->o, &l, one_deployment, &c, e) == -1)
		return -1;
	chain_set(&c, w->now);
	w->unfinished += (int)c.m->status < SUCCESS;
	if (!c.changed)
		return 0;
	log_debug(c.m->id, "chain status=%d", (int)c.m->status);
	return batch_add(&w->b, STORE__OP__KIND__UPDATE, "deployment_chain",
	    c.m->id, r->version, &c.m->base, e);
}

int
job_chains(struct ops *o, char *const *argv, struct did *d, struct err *e)
{
	struct walk w = { .o = o, .now = wall_s() };
	struct list l;
	int rv;

	(void)argv;
	batch_init(&w.b, o);
	list_init(&l, "deployment_chain", "updated_at", true);
	list_filter(&l, "status", "DEPLOYMENT_CHAIN_PENDING");
	list_filter(&l, "status", "DEPLOYMENT_CHAIN_RUNNING");
	rv = list_each(o, &l, one_chain, &w, e);
	rv = batch_end(&w.b, rv, e);
	o->chains_open = w.unfinished > 0;
	did(d, "changed", w.b.done);
	did(d, "unfinished", w.unfinished);
	return rv;
}
