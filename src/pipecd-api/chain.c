/*
 * Deployment chains: blocks one after the other, the applications of a block
 * side by side.
 */
#include <string.h>

#include "api.h"

#define PIPED(name) const Grpc__Service__Pipedservice__##name##Request

/* --- creating ---------------------------------------------------------------------- */

struct making {
	Model__DeploymentChain *chain;
	struct ops ops;
	struct query *q;
	size_t matcher; /* in hand; its block is the next one */
};

static void match_next(struct call *c);

static void
made(struct call *c, const Store__Reply *r)
{
	if (!went_well(c, r, "deployment chain"))
		return;
	metrics_created(c->api->metrics, c->who.project);
	reply_empty(c);
}

static Model__ChainBlock *
block_new(struct call *c, struct making *g, size_t nodes)
{
	Model__ChainBlock *b = arena_new_of(c->a, Model__ChainBlock);

	model__chain_block__init(b);
	b->nodes = arena_array(c->a, Model__ChainNode *, nodes + 1);
	g->chain->blocks[g->chain->n_blocks++] = b;
	return b;
}

static Model__ChainNode *
node_new(struct call *c, Model__ChainBlock *b, const char *id, const char *name)
{
	Model__ChainNode *n = arena_new_of(c->a, Model__ChainNode);

	model__chain_node__init(n);
	n->application_ref = arena_new_of(c->a, Model__ChainApplicationRef);
	model__chain_application_ref__init(n->application_ref);
	n->application_ref->application_id = arena_strdup(c->a, id);
	n->application_ref->application_name = arena_strdup(c->a, name);
	b->nodes[b->n_nodes++] = n;
	return n;
}

static void
ref_set(struct call *c, Model__ChainNode *n, const Model__Deployment *d)
{
	if (n->deployment_ref == NULL) {
		n->deployment_ref =
		    arena_new_of(c->a, Model__ChainDeploymentRef);
		model__chain_deployment_ref__init(n->deployment_ref);
	}
	n->deployment_ref->deployment_id = arena_strdup(c->a, d->id);
	n->deployment_ref->status = d->status;
	n->deployment_ref->status_reason =
	    arena_strdup(c->a, or_empty(d->status_reason));
}

static void
chain_write(struct call *c, struct making *g)
{
	PIPED(CreateDeploymentChain) *q = c->req;
	Model__Deployment *d = q->first_deployment;

	d->deployment_chain_id = g->chain->id;
	d->deployment_chain_block_index = 0;
	ops_add(c, &g->ops, STORE__OP__KIND__CREATE, "deployment_chain",
	    g->chain, 0);
	ops_add(c, &g->ops, STORE__OP__KIND__CREATE, "deployment", d, 0);
	ops_write(c, &g->ops, made);
}

/* A command for each application of a later block; they wait for their turn. */
static void
command_add(struct call *c, struct making *g, const Model__Application *a)
{
	Model__Command__ChainSyncApplication *s =
	    arena_new_of(c->a, Model__Command__ChainSyncApplication);
	Model__Command *m =
	    command_new(c, MODEL__COMMAND__TYPE__CHAIN_SYNC_APPLICATION,
		a->piped_id, a->id, NULL);

	m->commander = g->chain->id;
	m->chain_sync_application = s;
	model__command__chain_sync_application__init(s);
	s->deployment_chain_id = g->chain->id;
	s->block_index = (uint32_t)g->chain->n_blocks - 1;
	s->application_id = a->id;
	s->sync_strategy = MODEL__SYNC_STRATEGY__AUTO;
	ops_add(c, &g->ops, STORE__OP__KIND__CREATE, "command", m, 0);
}

static void
matched(struct call *c, const Store__Reply *r)
{
	struct making *g = c->user;
	Model__ChainNode **old;
	Model__ChainBlock *b;
	Model__Application *a;
	size_t i;

	if (!went_well(c, r, "applications"))
		return;
	b = g->chain->blocks[g->chain->n_blocks - 1];
	old = b->nodes;
	b->nodes = arena_array(
	    c->a, Model__ChainNode *, b->n_nodes + r->n_records + 1);
	memcpy(b->nodes, old, b->n_nodes * sizeof(*old));
	for (i = 0; i < r->n_records; i++) {
		a = record(c, &model__application__descriptor, r->records[i]);
		if (a == NULL)
			return;
		node_new(c, b, a->id, a->name);
		command_add(c, g, a);
	}
	if (!empty(r->cursor)) {
		g->q->list.cursor = arena_strdup(c->a, r->cursor);
		ask_list(c, g->q, matched);
		return;
	}
	g->matcher++;
	match_next(c);
}

static void
match_next(struct call *c)
{
	PIPED(CreateDeploymentChain) *q = c->req;
	const Grpc__Service__Pipedservice__CreateDeploymentChainRequest__ApplicationMatcher
	    *m;
	struct making *g = c->user;
	size_t i;
	int kind;

	if (g->matcher == q->n_matchers) {
		chain_write(c, g);
		return;
	}
	m = q->matchers[g->matcher];
	g->q = query_new(c, "application");
	query_is(c, g->q, "project_id", c->who.project);
	query_is(c, g->q, "disabled", "false");
	if (!empty(m->name))
		query_is(c, g->q, "name", m->name);
	if (!empty(m->kind)) {
		kind = msg_enum_value(
		    &model__application_kind__descriptor, m->kind);
		if (kind == -1) {
			refuse(c, GRPC_INVALID_ARGUMENT,
			    "matchers[%zu].kind: \"%.40s\" is no "
			    "model.ApplicationKind",
			    g->matcher, m->kind);
			return;
		}
		query_is(c, g->q, "kind", arena_printf(c->a, "%d", kind));
	}
	/* PipeCD has labels in the message and does not look at them. */
	if (m->n_labels > 8) {
		refuse(c, GRPC_INVALID_ARGUMENT,
		    "matchers[%zu].labels: must have at most 8, has %zu",
		    g->matcher, m->n_labels);
		return;
	}
	for (i = 0; i < m->n_labels; i++)
		query_label(c, g->q, m->labels[i]->key, m->labels[i]->value);
	g->q->list.limit = 500;
	block_new(c, g, 0);
	ask_list(c, g->q, matched);
}

static void
create(struct call *c)
{
	PIPED(CreateDeploymentChain) *q = c->req;
	struct making *g = arena_new_of(c->a, struct making);
	Model__Deployment *d = q->first_deployment;

	g->chain = arena_new_of(c->a, Model__DeploymentChain);
	model__deployment_chain__init(g->chain);
	g->chain->id = uuid4(c->a);
	g->chain->project_id = arena_strdup(c->a, c->who.project);
	g->chain->blocks =
	    arena_array(c->a, Model__ChainBlock *, q->n_matchers + 1);
	ref_set(c,
	    node_new(
		c, block_new(c, g, 1), d->application_id, d->application_name),
	    d);
	c->user = g;
	match_next(c);
}

void
chain_create(struct call *c, const void *req)
{
	PIPED(CreateDeploymentChain) *q = req;

	if (q->n_matchers > 100)
		refuse(c, GRPC_INVALID_ARGUMENT,
		    "matchers: must have at most 100, has %zu", q->n_matchers);
	else if (deployment_is_ours(c, q->first_deployment))
		own_application(c, q->first_deployment->application_id, create);
}

/* --- what became of its deployments --------------------------------------------------- */

static Model__ChainBlockStatus
block_status(const Model__ChainBlock *b)
{
	bool failed = false, cancelled = false, going = false, all = true;
	size_t i;
	int s;

	for (i = 0; i < b->n_nodes; i++) {
		s = b->nodes[i]->deployment_ref == NULL
			? MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_PENDING
			: (int)b->nodes[i]->deployment_ref->status;
		all = all && s == MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_SUCCESS;
		failed =
		    failed || s == MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_FAILURE;
		cancelled = cancelled ||
			    s == MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_CANCELLED;
		going =
		    going || s != MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_PENDING;
	}
	if (all)
		return MODEL__CHAIN_BLOCK_STATUS__DEPLOYMENT_BLOCK_SUCCESS;
	if (failed)
		return MODEL__CHAIN_BLOCK_STATUS__DEPLOYMENT_BLOCK_FAILURE;
	if (cancelled)
		return MODEL__CHAIN_BLOCK_STATUS__DEPLOYMENT_BLOCK_CANCELLED;
	return going ? MODEL__CHAIN_BLOCK_STATUS__DEPLOYMENT_BLOCK_RUNNING
		     : MODEL__CHAIN_BLOCK_STATUS__DEPLOYMENT_BLOCK_PENDING;
}

static bool
block_done(const Model__ChainBlock *b)
{
	return b->status >= MODEL__CHAIN_BLOCK_STATUS__DEPLOYMENT_BLOCK_SUCCESS;
}

/* Blocks that are done stay as they are; the chain is what its blocks are. */
static void
chain_settle(Model__DeploymentChain *h, int64_t now)
{
	bool failed = false, cancelled = false, going = false, all = true;
	Model__ChainBlock *b;
	size_t i;

	for (i = 0; i < h->n_blocks; i++) {
		b = h->blocks[i];
		if (!block_done(b)) {
			b->status = block_status(b);
			if (b->started_at == 0 &&
			    b->status !=
				MODEL__CHAIN_BLOCK_STATUS__DEPLOYMENT_BLOCK_PENDING)
				b->started_at = now;
			if (block_done(b))
				b->completed_at = now;
		}
		all = all &&
		      b->status ==
			  MODEL__CHAIN_BLOCK_STATUS__DEPLOYMENT_BLOCK_SUCCESS;
		failed =
		    failed ||
		    b->status ==
			MODEL__CHAIN_BLOCK_STATUS__DEPLOYMENT_BLOCK_FAILURE;
		cancelled =
		    cancelled ||
		    b->status ==
			MODEL__CHAIN_BLOCK_STATUS__DEPLOYMENT_BLOCK_CANCELLED;
		going = going ||
			b->status !=
			    MODEL__CHAIN_BLOCK_STATUS__DEPLOYMENT_BLOCK_PENDING;
	}
	if (h->status >= MODEL__CHAIN_STATUS__DEPLOYMENT_CHAIN_SUCCESS)
		return;
	h->status = all	     ? MODEL__CHAIN_STATUS__DEPLOYMENT_CHAIN_SUCCESS
		    : failed ? MODEL__CHAIN_STATUS__DEPLOYMENT_CHAIN_FAILURE
		    : cancelled
			? MODEL__CHAIN_STATUS__DEPLOYMENT_CHAIN_CANCELLED
		    : going ? MODEL__CHAIN_STATUS__DEPLOYMENT_CHAIN_RUNNING
			    : MODEL__CHAIN_STATUS__DEPLOYMENT_CHAIN_PENDING;
	if (h->status >= MODEL__CHAIN_STATUS__DEPLOYMENT_CHAIN_SUCCESS)
		h->completed_at = now;
}

struct own_chain {
	void (*then)(struct call *c);
};

static void
chain_known(struct call *c, const Store__Reply *r)
{
	const struct own_chain *o = c->user;

	if (!went_well(c, r, "deployment chain"))
		return;
	if (wire_is(r->records[0]->value.data, r->records[0]->value.len, 2,
		c->who.project))
		o->then(c);
	else
		not_yours(c, "deployment chain");
}

void
own_chain(struct call *c, const char *id, void (*then)(struct call *c))
{
	struct own_chain *o = arena_new_of(c->a, struct own_chain);

	o->then = then;
	c->user = o;
	ask_get(c, "deployment_chain", id, chain_known);
}

struct reporting {
	unsigned block;
	const Model__Deployment *d;
};

static int
edit_report(struct call *c, void *rec)
{
	const struct reporting *g = c->user;
	Model__DeploymentChain *h = rec;
	Model__ChainBlock *b;
	size_t i;

	if (!same(h->project_id, c->who.project))
		return not_yours(c, "deployment chain");
	if (g->block >= h->n_blocks)
		return refuse(c, GRPC_INVALID_ARGUMENT,
		    "deployment_chain_block_index: the chain has %zu blocks",
		    h->n_blocks);
	b = h->blocks[g->block];
	for (i = 0; i < b->n_nodes; i++)
		if (b->nodes[i]->application_ref != NULL &&
		    same(b->nodes[i]->application_ref->application_id,
			g->d->application_id))
			break;
	if (i == b->n_nodes)
		return refuse(c, GRPC_INVALID_ARGUMENT,
		    "deployment_chain_block_index: the block has no such "
		    "application");
	ref_set(c, b->nodes[i], g->d);
	chain_settle(h, wall_s());
	return CHANGED;
}

static void
chain_whose(struct call *c, const Store__Reply *r)
{
	const struct reporting *g = c->user;

	/* Retention may have taken it; the deployment's report counts. */
	if (r->code == STORE__CODE__NOT_FOUND) {
		reply_empty(c);
		return;
	}
	if (!went_well(c, r, "deployment chain"))
		return;
	change(c, "deployment_chain", g->d->deployment_chain_id,
	    &model__deployment_chain__descriptor, edit_report, NULL);
}

void
chain_report(struct call *c, const char *chain_id, unsigned block,
    const Model__Deployment *d)
{
	struct reporting *g;

	if (empty(chain_id)) {
		reply_empty(c);
		return;
	}
	if (!same(chain_id, d->deployment_chain_id)) {
		refuse(c, GRPC_INVALID_ARGUMENT,
		    "deployment_chain_id: the deployment is not of this chain");
		return;
	}
	g = arena_new_of(c->a, struct reporting);
	g->block = block;
	g->d = d;
	c->user = g;
	ask_get(c, "deployment_chain", chain_id, chain_whose);
}

/* --- whose turn it is --------------------------------------------------------------- */

static const char *
block_word(const Model__ChainBlock *b)
{
	return msg_enum_name(
	    &model__chain_block_status__descriptor, (int)b->status, MSG_FRAME);
}

static void
plannable(struct call *c, const Store__Reply *r)
{
	PIPED(InChainDeploymentPlannable) *q = c->req;
	Grpc__Service__Pipedservice__InChainDeploymentPlannableResponse res =
	    GRPC__SERVICE__PIPEDSERVICE__IN_CHAIN_DEPLOYMENT_PLANNABLE_RESPONSE__INIT;
	const Model__ChainBlock *b;
	Model__DeploymentChain *h;
	unsigned i = q->deployment_chain_block_index;

	if (!went_well(c, r, "deployment chain") ||
	    (h = record(c, &model__deployment_chain__descriptor,
		 r->records[0])) == NULL)
		return;
	if (!same(h->project_id, c->who.project)) {
		not_yours(c, "deployment chain");
		return;
	}
	if (i >= h->n_blocks) {
		refuse(c, GRPC_INVALID_ARGUMENT,
		    "deployment_chain_block_index: the chain has %zu blocks",
		    h->n_blocks);
		return;
	}
	if (block_done(h->blocks[i])) {
		res.cancel = true;
		res.cancel_reason = arena_printf(c->a,
		    "its block of the deployment chain already ended as %s",
		    block_word(h->blocks[i]));
	} else if (i == 0) {
		res.plannable = true;
	} else if (block_done(b = h->blocks[i - 1])) {
		res.plannable =
		    b->status ==
		    MODEL__CHAIN_BLOCK_STATUS__DEPLOYMENT_BLOCK_SUCCESS;
		res.cancel = !res.plannable;
		if (res.cancel)
			res.cancel_reason = arena_printf(c->a,
			    "the block before it in the deployment chain ended "
			    "as %s",
			    block_word(b));
	}
	reply(c, &res);
}

/*
 * Whose turn it is depends on the chain alone, which is of one project: our own
 * agent asks before it has a deployment.
 */
void
chain_plannable(struct call *c, const void *req)
{
	PIPED(InChainDeploymentPlannable) *q = req;

	ask_get(c, "deployment_chain", q->deployment_chain_id, plannable);
}
