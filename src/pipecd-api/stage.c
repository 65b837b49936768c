/* Stages of deployments and their logs. */
#include <string.h>

#include "api.h"

#define PIPED(name) const Grpc__Service__Pipedservice__##name##Request
#define API(name)   const Grpc__Service__Apiservice__##name##Request

static Model__PipelineStage *
stage_find(struct call *c, Model__Deployment *d, const char *id)
{
	size_t i;

	for (i = 0; i < d->n_stages; i++)
		if (same(d->stages[i]->id, id))
			return d->stages[i];
	refuse(c, GRPC_NOT_FOUND, "The stage %.60s is not found", id);
	return NULL;
}

static int
edit_status(struct call *c, void *rec)
{
	PIPED(ReportStageStatusChanged) *q = c->req;
	Model__Deployment *d = rec;
	Model__PipelineStage *s;

	if (!deployment_is_ours(c, d) ||
	    (s = stage_find(c, d, q->stage_id)) == NULL)
		return -1;
	s->status = q->status;
	s->status_reason = q->status_reason;
	if (q->n_requires > 0) {
		s->requires = q->requires;
		s->n_requires = q->n_requires;
	}
	s->visible = q->visible;
	s->retried_count = q->retried_count;
	s->completed_at = q->completed_at;
	s->updated_at = wall_s();
	return CHANGED;
}

void
stage_status(struct call *c, const void *req)
{
	PIPED(ReportStageStatusChanged) *q = req;

	change(c, "deployment", q->deployment_id,
	    &model__deployment__descriptor, edit_status, NULL);
}

static int
edit_metadata(struct call *c, void *rec)
{
	PIPED(SaveStageMetadata) *q = c->req;
	Model__Deployment *d = rec;
	Model__PipelineStage *s;

	if (!deployment_is_ours(c, d) ||
	    (s = stage_find(c, d, q->stage_id)) == NULL)
		return -1;
	map_merge(&model__pipeline_stage__metadata_entry__descriptor,
	    &s->metadata, &s->n_metadata, q->metadata, q->n_metadata, c->a);
	return CHANGED;
}

void
stage_metadata(struct call *c, const void *req)
{
	PIPED(SaveStageMetadata) *q = req;

	change(c, "deployment", q->deployment_id,
	    &model__deployment__descriptor, edit_metadata, NULL);
}

/* --- logs ---------------------------------------------------------------------- */

static void
appended(struct call *c, const Store__Reply *r)
{
	if (r->code == STORE__CODE__FAILED_PRECONDITION)
		refuse(c, GRPC_FAILED_PRECONDITION,
		    "Could not append the logs because the stage was already "
		    "completed");
	else if (went_well(c, r, "stage log"))
		reply_empty(c);
}

static void
append(struct call *c)
{
	/* Both requests begin alike; only the second has `completed`. */
	PIPED(ReportStageLogsFromLastCheckpoint) *q = c->req;
	Store__LogAppend l = STORE__LOG_APPEND__INIT;
	Store__Request r = STORE__REQUEST__INIT;

	l.project_id = (char *)(uintptr_t)c->who.project;
	l.deployment_id = q->deployment_id;
	l.stage_id = q->stage_id;
	l.retried_count = q->retried_count;
	l.blocks = q->blocks;
	l.n_blocks = q->n_blocks;
	l.completed = c->user != NULL;
	STORE_ASK(&r, LOG_APPEND, log_append, &l);
	ask(c, &r, appended);
}

_Static_assert(
    offsetof(Grpc__Service__Pipedservice__ReportStageLogsRequest, blocks) ==
	offsetof(
	    Grpc__Service__Pipedservice__ReportStageLogsFromLastCheckpointRequest,
	    blocks),
    "the two requests of logs begin alike");

void
stage_logs(struct call *c, const void *req)
{
	PIPED(ReportStageLogs) *q = req;

	own_deployment(c, q->deployment_id, append);
}

void
stage_logs_checkpoint(struct call *c, const void *req)
{
	PIPED(ReportStageLogsFromLastCheckpoint) *q = req;

	c->user = q->completed ? c : NULL;
	own_deployment(c, q->deployment_id, append);
}

/* --- reading them: stage by stage ------------------------------------------------ */

struct reading {
	Model__Deployment *d;
	size_t i; /* the stage in hand */
	int64_t from;
	struct buf out, blocks;
	bool completed;
};

static void logs_next(struct call *c);

/* One entry of the map: stage id to StageLog. */
static void
logs_entry(struct reading *g)
{
	struct buf entry = BUF_INIT;
	const char *id = g->d->stages[g->i]->id;

	wire_bytes(&entry, 1, id, strlen(id));
	if (g->completed) {
		buf_addc(&g->blocks, 2 << 3);
		buf_addc(&g->blocks, 1);
	}
	wire_bytes(&entry, 2, g->blocks.p, g->blocks.len);
	wire_bytes(&g->out, 1, entry.p, entry.len);
	buf_free(&entry);
}

static void
logs_part(struct call *c, const Store__Reply *r)
{
	struct reading *g = c->user;
	struct buf one = BUF_INIT;
	size_t i;

	if (r->code != STORE__CODE__NOT_FOUND &&
	    !went_well(c, r, "stage log")) {
		buf_free(&g->out);
		buf_free(&g->blocks);
		return;
	}
	for (i = 0; i < r->n_blocks; i++) {
		buf_reset(&one);
		msg_pack(&one, &r->blocks[i]->base);
		wire_bytes(&g->blocks, 1, one.p, one.len);
		g->from = r->blocks[i]->index + 1;
	}
	g->completed = r->completed;
	buf_free(&one);
	if (r->n_blocks > 0 && g->out.len + g->blocks.len < ANSWER_MAX) {
		logs_next(c);
		return;
	}
	if (r->code == STORE__CODE__OK)
		logs_entry(g);
	g->i++;
	g->from = 0;
	buf_reset(&g->blocks);
	g->completed = false;
	logs_next(c);
}

static void
logs_next(struct call *c)
{
	struct reading *g = c->user;
	Store__LogRead l = STORE__LOG_READ__INIT;
	Store__Request q = STORE__REQUEST__INIT;

	while (g->i < g->d->n_stages && empty(g->d->stages[g->i]->id))
		g->i++;
	if (g->i == g->d->n_stages || g->out.len >= ANSWER_MAX) {
		grpc_reply_bytes(c->g, g->out.p, g->out.len);
		buf_free(&g->out);
		buf_free(&g->blocks);
		return;
	}
	l.deployment_id = g->d->id;
	l.stage_id = g->d->stages[g->i]->id;
	l.retried_count = g->d->stages[g->i]->retried_count;
	l.from_index = g->from;
	STORE_ASK(&q, LOG_READ, log_read, &l);
	ask(c, &q, logs_part);
}

static void
logs_of(struct call *c, const Store__Reply *r)
{
	struct reading *g;
	Model__Deployment *d;

	if (!went_well(c, r, "deployment"))
		return;
	d = record(c, &model__deployment__descriptor, r->records[0]);
	if (d == NULL)
		return;
	if (!same(d->project_id, c->who.project)) {
		not_yours(c, "deployment");
		return;
	}
	c->user = g = arena_new_of(c->a, struct reading);
	g->d = d;
	g->out = (struct buf)BUF_INIT;
	g->blocks = (struct buf)BUF_INIT;
	logs_next(c);
}

void
stage_list_logs(struct call *c, const void *req)
{
	API(ListStageLogs) *q = req;

	ask_get(c, "deployment", q->deployment_id, logs_of);
}
