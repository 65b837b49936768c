/*
 * Commands: each is handed to plan or exec until one of them says what became
 * of it, and that is then reported.  A lost frame costs a repetition; a
 * command is known by its id, so a repetition costs nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "door.h"

enum {
	POLL_MS = 5000,
	POLL_WATCHED_MS = 300000,
	AGAIN_MS = 5000,  /* a command that nobody has answered */
	GATE_MS = 5000,	  /* between two looks at a chain */
	KEEP_MS = 600000, /* an answered one is known that long */
};

struct order {
	char *id;     /* owned */
	void *packed; /* owned; the model.Command */
	size_t len;
	int type;
	bool answered; /* reported, or about to be */
	bool gated;    /* its turn in the chain has come */
	int64_t due_at;
	struct call gate;
};

static void
answer(struct door *d, struct order *o, bool ok, const char *reason)
{
	Frame__CommandDone f = FRAME__COMMAND_DONE__INIT;

	f.command_id = o->id;
	f.status = ok ? MODEL__COMMAND_STATUS__COMMAND_SUCCEEDED
		      : MODEL__COMMAND_STATUS__COMMAND_FAILED;
	f.reason = arena_strdup(d->turn, reason);
	orders_done(d, &f);
}

static Model__Command *
command_of(struct door *d, const struct order *o)
{
	struct err e;

	return (Model__Command *)(void *)msg_unpack(
	    &model__command__descriptor, o->packed, o->len, d->turn, 0, &e);
}

static void gate_ask(struct door *d, struct order *o, const Model__Command *c);

static void
hand_over(struct door *d, struct order *o)
{
	Frame__Command f = FRAME__COMMAND__INIT;
	Model__Command *c = command_of(d, o);

	o->due_at = now_ms() + AGAIN_MS;
	if (c == NULL)
		return;
	switch (c->type) {
	case MODEL__COMMAND__TYPE__RESTART_PIPED:
		log_info(o->id, "restart asked for by %s", c->commander);
		answer(d, o, true, NULL);
		return;
	case MODEL__COMMAND__TYPE__CHAIN_SYNC_APPLICATION:
		if (!o->gated) {
			gate_ask(d, o, c);
			return;
		}
		break;
	case MODEL__COMMAND__TYPE__SYNC_APPLICATION:
	case MODEL__COMMAND__TYPE__CANCEL_DEPLOYMENT:
	case MODEL__COMMAND__TYPE__APPROVE_STAGE:
	case MODEL__COMMAND__TYPE__SKIP_STAGE:
	case MODEL__COMMAND__TYPE__ROLLBACK_DEPLOYMENT:
		break;
	default:
		answer(d, o, false,
		    arena_printf(d->turn,
			"%s: this agent does not know that command yet",
			msg_enum_name(&model__command__type__descriptor,
			    (int)c->type, MSG_FRAME)));
		return;
	}
	f.command = c;
	door_tell(d, FRAME_OF(command, &f));
}

/* --- chains: a block begins when the one before is done -----------------------
 */

static void
gated(struct door *d, struct call *call, int code, const char *text,
    const ProtobufCMessage *res, struct arena *a)
{
	const Grpc__Service__Pipedservice__InChainDeploymentPlannableResponse
	    *r = (const void *)res;
	struct order *o = call->owner;

	(void)a;
	o->due_at = now_ms() + GATE_MS;
	if (code != GRPC_OK) {
		answer(d, o, false,
		    arena_printf(
			d->turn, "its chain cannot be asked for: %s", text));
	} else if (r->cancel) {
		answer(d, o, false, r->cancel_reason);
	} else if (r->plannable) {
		o->gated = true;
		hand_over(d, o);
	}
}

static void
gate_ask(struct door *d, struct order *o, const Model__Command *c)
{
	Grpc__Service__Pipedservice__InChainDeploymentPlannableRequest m =
	    GRPC__SERVICE__PIPEDSERVICE__IN_CHAIN_DEPLOYMENT_PLANNABLE_REQUEST__INIT;
	const Model__Command__ChainSyncApplication *s =
	    c->chain_sync_application;

	if (o->gate.busy)
		return;
	if (s == NULL) {
		answer(d, o, false, "chain_sync_application is missing");
		return;
	}
	/* There is no deployment yet; the answer does not depend on it. */
	m.deployment_id = o->id;
	m.deployment_chain_id = s->deployment_chain_id;
	m.deployment_chain_block_index = s->block_index;
	o->gate.method = "InChainDeploymentPlannable";
	o->gate.res =
	    &grpc__service__pipedservice__in_chain_deployment_plannable_response__descriptor;
	o->gate.read = true;
	o->gate.done = gated;
	o->gate.owner = o;
	plane_call(d, &o->gate, &m.base);
}

void
orders_chains(struct door *d)
{
	const char *id;
	size_t i = 0;
	void *v;

	while (map_next(d->orders.by_id, &i, &id, &v)) {
		struct order *o = v;

		if (o->type == MODEL__COMMAND__TYPE__CHAIN_SYNC_APPLICATION &&
		    !o->answered && !o->gated)
			hand_over(d, o);
	}
}

/* --- what there is ---------------------------------------------------------------
 */

static void
order_free(struct door *d, struct order *o)
{
	plane_drop(d, &o->gate);
	map_del(d->orders.by_id, o->id);
	free(o->id);
	free(o->packed);
	free(o);
}

void
orders_take(struct door *d, Model__Command *const *list, size_t n)
{
	struct order *o;
	struct buf b = BUF_INIT;
	size_t i;

	for (i = 0; i < n; i++) {
		if (list[i]->id[0] == '\0' ||
		    (list[i]->piped_id[0] != '\0' &&
			strcmp(list[i]->piped_id, d->conf->piped_id) != 0) ||
		    map_get(d->orders.by_id, list[i]->id) != NULL ||
		    outbox_has(
			d, arena_printf(d->turn, "command/%s", list[i]->id)))
			continue;
		o = xcalloc(1, sizeof(*o));
		o->id = xstrdup(list[i]->id);
		o->type = (int)list[i]->type;
		buf_reset(&b);
		msg_pack(&b, &list[i]->base);
		o->packed = xcalloc(1, b.len + 1);
		memcpy(o->packed, b.p, b.len);
		o->len = b.len;
		map_put(d->orders.by_id, o->id, o);
		log_info(o->id, "command %s by %s",
		    msg_enum_name(
			&model__command__type__descriptor, o->type, MSG_FRAME),
		    list[i]->commander);
		hand_over(d, o);
	}
	buf_free(&b);
}

void
orders_done(struct door *d, const Frame__CommandDone *f)
{
	struct order *o = map_get(d->orders.by_id, f->command_id);
	Frame__CommandDone copy = *f;

	if (o == NULL || o->answered)
		return; /* somebody's on this host, or said twice */
	o->answered = true;
	o->due_at = now_ms() + KEEP_MS;
	if (f->status == MODEL__COMMAND_STATUS__COMMAND_SUCCEEDED)
		log_info(o->id, "command done");
	else
		log_info(o->id, "command failed: %s",
		    f->reason != NULL ? f->reason : "");
	outbox_put(d, FRAME_OF(command_done, &copy));
}

void
orders_reported(struct door *d, const char *id)
{
	struct order *o = map_get(d->orders.by_id, id);

	if (o == NULL)
		return;
	free(o->packed);
	o->packed = NULL;
	o->len = 0;
	if (o->type == MODEL__COMMAND__TYPE__RESTART_PIPED)
		door_restart(d);
}

static void
listed(struct door *d, struct call *c, int code, const char *text,
    const ProtobufCMessage *res, struct arena *a)
{
	const Grpc__Service__Pipedservice__ListUnhandledCommandsResponse *r =
	    (const void *)res;

	(void)c;
	(void)a;
	if (code == GRPC_OK)
		orders_take(d, r->commands, r->n_commands);
	else
		log_warn("-", "ListUnhandledCommands: %s: %s",
		    grpc_code_name(code), text);
}

void
orders_ask(struct door *d)
{
	Grpc__Service__Pipedservice__ListUnhandledCommandsRequest m =
	    GRPC__SERVICE__PIPEDSERVICE__LIST_UNHANDLED_COMMANDS_REQUEST__INIT;
	struct call *c = &d->orders.list;

	d->orders.list_at =
	    now_ms() + (d->plane.hello ? POLL_WATCHED_MS : POLL_MS);
	if (c->busy || d->plane.fenced != NULL)
		return;
	c->method = "ListUnhandledCommands";
	c->res =
	    &grpc__service__pipedservice__list_unhandled_commands_response__descriptor;
	c->read = c->identity = true;
	c->done = listed;
	plane_call(d, c, &m.base);
}

void
orders_tick(struct door *d)
{
	int64_t now = now_ms();
	const char *id;
	size_t i = 0;
	void *v;

	if (now >= d->orders.list_at)
		orders_ask(d);
	while (map_next(d->orders.by_id, &i, &id, &v)) {
		struct order *o = v;

		if (now < o->due_at)
			continue;
		if (o->answered && o->packed == NULL)
			order_free(d, o);
		else if (!o->answered && d->plane.fenced == NULL)
			hand_over(d, o);
	}
}

void
orders_open(struct door *d)
{
	d->orders.by_id = map_new();
}

void
orders_close(struct door *d)
{
	const char *id;
	size_t i = 0;
	void *v;

	if (d->orders.by_id == NULL)
		return;
	plane_drop(d, &d->orders.list);
	while (map_next(d->orders.by_id, &i, &id, &v))
		order_free(d, v);
	map_free(d->orders.by_id);
}
