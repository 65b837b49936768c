/* Commands: what people want of agents, and what became of it. */
#include <string.h>

#include "api.h"

#define PIPED(name) const Grpc__Service__Pipedservice__##name##Request
#define API(name)   const Grpc__Service__Apiservice__##name##Request
#define WEB(name)   const Grpc__Service__Webservice__##name##Request

/* --- for agents ------------------------------------------------------------------- */

void
command_unhandled(struct call *c, const void *req)
{
	struct query *q = query_new(c, "command");

	(void)req;
	query_is(c, q, "piped_id", c->who.id);
	query_is(c, q, "status", "0");
	q->list.ascending = true;
	reply_all(c, q, 1, 0, AGENT_MAX);
}

static int
edit_handled(struct call *c, void *rec)
{
	PIPED(ReportCommandHandled) *q = c->req;
	Model__Command *m = rec;

	if (m->status == MODEL__COMMAND_STATUS__COMMAND_SUCCEEDED ||
	    m->status == MODEL__COMMAND_STATUS__COMMAND_FAILED)
		return SAME; /* said before, the answer was lost */
	m->status = q->status;
	m->handled_at = q->handled_at;
	m->n_metadata = 0;
	map_merge(&model__command__metadata_entry__descriptor, &m->metadata,
	    &m->n_metadata, q->metadata, q->n_metadata, c->a);
	return CHANGED;
}

static void
handled(struct call *c, const Store__Reply *r)
{
	PIPED(ReportCommandHandled) *q = c->req;

	if (r == NULL || went_well(c, r, "command output"))
		change(c, "command", q->command_id, &model__command__descriptor,
		    edit_handled, NULL);
}

static void
handled_whose(struct call *c, const Store__Reply *r)
{
	PIPED(ReportCommandHandled) *q = c->req;
	Model__Command *m;

	if (!went_well(c, r, "command") ||
	    (m = record(c, &model__command__descriptor, r->records[0])) == NULL)
		return;
	if (!same(m->piped_id, c->who.id)) {
		not_yours(c, "command");
		return;
	}
	if (q->output.len > 0)
		ask_object_put(c,
		    arena_printf(c->a, "command-output/%s", m->id),
		    q->output.data, q->output.len, handled);
	else
		handled(c, NULL);
}

void
command_handled(struct call *c, const void *req)
{
	PIPED(ReportCommandHandled) *q = req;

	if (q->status == MODEL__COMMAND_STATUS__COMMAND_NOT_HANDLED_YET) {
		refuse(c, GRPC_INVALID_ARGUMENT,
		    "status: COMMAND_NOT_HANDLED_YET is no result");
		return;
	}
	ask_get(c, "command", q->command_id, handled_whose);
}

/* --- for people -------------------------------------------------------------------- */

static void
got(struct call *c, const Store__Reply *r)
{
	const Store__Record *rec;
	struct buf b = BUF_INIT;

	if (!went_well(c, r, "command"))
		return;
	rec = r->records[0];
	if (!wire_is(rec->value.data, rec->value.len, 7, c->who.project)) {
		not_yours(c, "command");
		return;
	}
	wire_bytes(&b, 1, rec->value.data, rec->value.len);
	grpc_reply_bytes(c->g, b.p, b.len);
	buf_free(&b);
}

void
command_get(struct call *c, const void *req)
{
	API(GetCommand) *q = req;

	ask_get(c, "command", q->command_id, got);
}

Model__Command *
command_new(struct call *c, Model__Command__Type type, const char *piped_id,
    const char *application_id, const char *deployment_id)
{
	Model__Command *m = arena_new_of(c->a, Model__Command);

	model__command__init(m);
	m->id = uuid4(c->a);
	m->piped_id = arena_strdup(c->a, piped_id);
	m->application_id = arena_strdup(c->a, or_empty(application_id));
	m->deployment_id = arena_strdup(c->a, or_empty(deployment_id));
	m->project_id = arena_strdup(c->a, c->who.project);
	m->commander = arena_printf(c->a, "api-key:%s", c->who.name);
	m->status = MODEL__COMMAND_STATUS__COMMAND_NOT_HANDLED_YET;
	m->type = type;
	return m;
}

void
reply_command(struct call *c, const Store__Reply *r)
{
	struct buf b = BUF_INIT;

	if (!went_well(c, r, "command"))
		return;
	must(r->n_records > 0);
	wire_bytes(&b, 1, r->records[0]->id, strlen(r->records[0]->id));
	grpc_reply_bytes(c->g, b.p, b.len);
	buf_free(&b);
}

void
command_send(struct call *c, const Model__Command *m)
{
	ask_write(c, STORE__OP__KIND__CREATE, "command", m, reply_command);
}

/* --- sync an application -------------------------------------------------------------- */

static void
sync(struct call *c, const Store__Reply *r)
{
	Model__Command__SyncApplication *s;
	Model__Application *a;
	Model__Command *m;

	if (!went_well(c, r, "application") ||
	    (a = record(c, &model__application__descriptor, r->records[0])) ==
		NULL ||
	    !application_is_ours(c, a))
		return;
	if (a->disabled) {
		refuse(
		    c, GRPC_FAILED_PRECONDITION, "The application is disabled");
		return;
	}
	m = command_new(c, MODEL__COMMAND__TYPE__SYNC_APPLICATION, a->piped_id,
	    a->id, NULL);
	m->sync_application = s =
	    arena_new_of(c->a, Model__Command__SyncApplication);
	model__command__sync_application__init(s);
	s->application_id = a->id;
	s->sync_strategy = *(Model__SyncStrategy *)c->user;
	command_send(c, m);
}

static void
sync_start(struct call *c, const char *id, Model__SyncStrategy strategy)
{
	Model__SyncStrategy *s = arena_new_of(c->a, Model__SyncStrategy);

	*s = strategy;
	c->user = s;
	ask_get(c, "application", id, sync);
}

void
application_sync(struct call *c, const void *req)
{
	API(SyncApplication) *q = req;

	sync_start(c, q->application_id, MODEL__SYNC_STRATEGY__AUTO);
}

void
operator_sync(struct call *c, const void *req)
{
	WEB(SyncApplication) *q = req;

	if (protobuf_c_enum_descriptor_get_value(
		&model__sync_strategy__descriptor, (int)q->sync_strategy) ==
	    NULL) {
		refuse(c, GRPC_INVALID_ARGUMENT,
		    "sync_strategy: %d is no model.SyncStrategy",
		    (int)q->sync_strategy);
		return;
	}
	sync_start(c, q->application_id, q->sync_strategy);
}
