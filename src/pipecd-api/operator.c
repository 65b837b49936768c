/* What an operator does with a deployment or an agent: commands for the agent. */
#include <string.h>

#include "api.h"

#define WEB(name) const Grpc__Service__Webservice__##name##Request

/* The deployment that was read, when it is of the caller's project. */
static Model__Deployment *
ours(struct call *c, const Store__Reply *r)
{
	Model__Deployment *d;

	if (!went_well(c, r, "deployment") ||
	    (d = record(c, &model__deployment__descriptor, r->records[0])) ==
		NULL)
		return NULL;
	if (same(d->project_id, c->who.project))
		return d;
	not_yours(c, "deployment");
	return NULL;
}

static void
cancel(struct call *c, const Store__Reply *r)
{
	WEB(CancelDeployment) *q = c->req;
	Model__Command__CancelDeployment *s;
	Model__Deployment *d = ours(c, r);
	Model__Command *m;

	if (d == NULL)
		return;
	if (deployment_done((int)d->status)) {
		refuse(c, GRPC_FAILED_PRECONDITION,
		    "The deployment was already completed");
		return;
	}
	m = command_new(c, MODEL__COMMAND__TYPE__CANCEL_DEPLOYMENT, d->piped_id,
	    d->application_id, d->id);
	m->cancel_deployment = s =
	    arena_new_of(c->a, Model__Command__CancelDeployment);
	model__command__cancel_deployment__init(s);
	s->deployment_id = d->id;
	s->force_rollback = q->force_rollback;
	s->force_no_rollback = q->force_no_rollback;
	command_send(c, m);
}

void
operator_cancel(struct call *c, const void *req)
{
	WEB(CancelDeployment) *q = req;

	ask_get(c, "deployment", q->deployment_id, cancel);
}

/* --- stages ------------------------------------------------------------------------- */

static const Model__PipelineStage *
stage_going(struct call *c, const Model__Deployment *d, const char *id)
{
	const Model__PipelineStage *s = NULL;
	size_t i;

	for (i = 0; i < d->n_stages; i++)
		if (same(d->stages[i]->id, id))
			s = d->stages[i];
	if (s == NULL) {
		refuse(c, GRPC_NOT_FOUND, "The stage %.60s is not found", id);
		return NULL;
	}
	if (s->status >= MODEL__STAGE_STATUS__STAGE_SUCCESS ||
	    deployment_done((int)d->status)) {
		refuse(c, GRPC_FAILED_PRECONDITION,
		    "The stage was already completed");
		return NULL;
	}
	return s;
}

/* Who may approve is in the stage, or in its metadata; nobody there: anyone. */
static bool
may_approve(const Model__PipelineStage *s, const char *who)
{
	const char *list, *p;
	size_t i, n;

	for (i = 0; i < s->n_authorized_operators; i++)
		if (same(s->authorized_operators[i], who))
			return true;
	if (s->n_authorized_operators > 0)
		return false;
	list = map_value(s->metadata, s->n_metadata, "Approvers");
	if (empty(list))
		return true;
	for (p = list; *p != '\0'; p += n + (p[n] == ',')) {
		n = strcspn(p, ",");
		if (n == strlen(who) && strncmp(p, who, n) == 0)
			return true;
	}
	return false;
}

static void
approve(struct call *c, const Store__Reply *r)
{
	WEB(ApproveStage) *q = c->req;
	Model__Command__ApproveStage *s;
	const Model__PipelineStage *stage;
	Model__Deployment *d = ours(c, r);
	Model__Command *m;

	if (d == NULL || (stage = stage_going(c, d, q->stage_id)) == NULL)
		return;
	m = command_new(c, MODEL__COMMAND__TYPE__APPROVE_STAGE, d->piped_id,
	    d->application_id, d->id);
	if (!may_approve(stage, m->commander)) {
		refuse(c, GRPC_PERMISSION_DENIED,
		    "%s is not one of those who may approve this stage",
		    m->commander);
		return;
	}
	m->stage_id = q->stage_id;
	m->approve_stage = s = arena_new_of(c->a, Model__Command__ApproveStage);
	model__command__approve_stage__init(s);
	s->deployment_id = d->id;
	s->stage_id = q->stage_id;
	command_send(c, m);
}

void
operator_approve(struct call *c, const void *req)
{
	WEB(ApproveStage) *q = req;

	ask_get(c, "deployment", q->deployment_id, approve);
}

static void
skip(struct call *c, const Store__Reply *r)
{
	WEB(SkipStage) *q = c->req;
	Model__Command__SkipStage *s;
	const Model__PipelineStage *stage;
	Model__Deployment *d = ours(c, r);
	Model__Command *m;

	if (d == NULL || (stage = stage_going(c, d, q->stage_id)) == NULL)
		return;
	if (!same(stage->name, "ANALYSIS") &&
	    stage->available_operation !=
		MODEL__MANUAL_OPERATION__MANUAL_OPERATION_SKIP) {
		refuse(c, GRPC_FAILED_PRECONDITION,
		    "The stage %s cannot be skipped", stage->name);
		return;
	}
	m = command_new(c, MODEL__COMMAND__TYPE__SKIP_STAGE, d->piped_id,
	    d->application_id, d->id);
	m->stage_id = q->stage_id;
	m->skip_stage = s = arena_new_of(c->a, Model__Command__SkipStage);
	model__command__skip_stage__init(s);
	s->deployment_id = d->id;
	s->stage_id = q->stage_id;
	command_send(c, m);
}

void
operator_skip(struct call *c, const void *req)
{
	WEB(SkipStage) *q = req;

	ask_get(c, "deployment", q->deployment_id, skip);
}

/* --- agents ------------------------------------------------------------------------- */

static void
restart(struct call *c, const Store__Reply *r)
{
	Model__Command__RestartPiped *s;
	Model__Command *m;
	Model__Piped *p;

	if (!went_well(c, r, "piped") ||
	    (p = record(c, &model__piped__descriptor, r->records[0])) == NULL)
		return;
	if (!same(p->project_id, c->who.project)) {
		not_yours(c, "piped");
		return;
	}
	m = command_new(
	    c, MODEL__COMMAND__TYPE__RESTART_PIPED, p->id, NULL, NULL);
	m->restart_piped = s = arena_new_of(c->a, Model__Command__RestartPiped);
	model__command__restart_piped__init(s);
	s->piped_id = p->id;
	command_send(c, m);
}

void
operator_restart(struct call *c, const void *req)
{
	WEB(RestartPiped) *q = req;

	ask_get(c, "piped", q->piped_id, restart);
}

/* --- an earlier revision once more ---------------------------------------------------- */

static void
rollback_app(struct call *c, const Store__Reply *r)
{
	Model__Command__RollbackDeployment *s;
	const Model__Deployment *d = c->user;
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
	/* The application may have another agent by now. */
	m = command_new(c, MODEL__COMMAND__TYPE__ROLLBACK_DEPLOYMENT,
	    a->piped_id, a->id, d->id);
	m->rollback_deployment = s =
	    arena_new_of(c->a, Model__Command__RollbackDeployment);
	model__command__rollback_deployment__init(s);
	s->application_id = a->id;
	s->deployment_id = d->id;
	s->commit_hash = d->trigger->commit->hash;
	s->config_filename =
	    d->git_path == NULL ? NULL : d->git_path->config_filename;
	command_send(c, m);
}

static void
rollback(struct call *c, const Store__Reply *r)
{
	Model__Deployment *d = ours(c, r);

	if (d == NULL)
		return;
	if (d->status != MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_SUCCESS) {
		refuse(c, GRPC_FAILED_PRECONDITION,
		    "The deployment did not end as SUCCESS: there is nothing "
		    "to go back to");
		return;
	}
	if (d->trigger == NULL || d->trigger->commit == NULL ||
	    empty(d->trigger->commit->hash)) {
		refuse(c, GRPC_FAILED_PRECONDITION,
		    "The deployment does not say of which commit it was");
		return;
	}
	c->user = d;
	ask_get(c, "application", d->application_id, rollback_app);
}

void
operator_rollback(struct call *c, const void *req)
{
	const Pipecd__Operator__RollbackDeploymentRequest *q = req;

	ask_get(c, "deployment", q->deployment_id, rollback);
}

/* --- one stage's log -------------------------------------------------------------------- */

static void
log_read(struct call *c, const Store__Reply *r)
{
	Grpc__Service__Webservice__GetStageLogResponse res =
	    GRPC__SERVICE__WEBSERVICE__GET_STAGE_LOG_RESPONSE__INIT;

	if (!went_well(c, r, "stage log"))
		return;
	res.blocks = r->blocks;
	res.n_blocks = r->n_blocks;
	res.completed = r->completed;
	reply(c, &res);
}

static void
log_whose(struct call *c, const Store__Reply *r)
{
	WEB(GetStageLog) *q = c->req;
	Store__LogRead l = STORE__LOG_READ__INIT;
	Store__Request s = STORE__REQUEST__INIT;

	if (ours(c, r) == NULL)
		return;
	l.deployment_id = q->deployment_id;
	l.stage_id = q->stage_id;
	l.retried_count = q->retried_count;
	l.from_index = q->offset_index;
	STORE_ASK(&s, LOG_READ, log_read, &l);
	ask(c, &s, log_read);
}

void
operator_stage_log(struct call *c, const void *req)
{
	WEB(GetStageLog) *q = req;

	ask_get(c, "deployment", q->deployment_id, log_whose);
}
