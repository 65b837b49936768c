#include <stdlib.h>
#include <string.h>

#include "journal.h"

bool
deployment_ended(Model__DeploymentStatus s)
{
	return s >= MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_SUCCESS;
}

bool
stage_ended(Model__StageStatus s)
{
	return s >= MODEL__STAGE_STATUS__STAGE_SUCCESS;
}

void
journal_state_init(struct journal_state *s, struct arena *a)
{
	*s = (struct journal_state){ .arena = a };
}

int
journal_stage_find(const struct journal_state *s, const char *id)
{
	size_t i;

	if (s->deployment == NULL)
		return -1;
	for (i = 0; i < s->n_stages; i++)
		if (strcmp(s->deployment->stages[i]->id, id) == 0)
			return (int)i;
	return -1;
}

const Frame__StagePlan *
journal_stage_plan(const struct journal_state *s, const char *id)
{
	size_t i;

	for (i = 0; s->plan != NULL && i < s->plan->n_stages; i++)
		if (strcmp(s->plan->stages[i]->id, id) == 0)
			return s->plan->stages[i];
	return NULL;
}

const char *
journal_meta(const Model__PipelineStage *s, const char *key)
{
	size_t i;

	for (i = 0; i < s->n_metadata; i++)
		if (strcmp(s->metadata[i]->key, key) == 0)
			return s->metadata[i]->value;
	return NULL;
}

/* Append an entry to a protobuf map field, whose array lives in the arena. */
#define MAP_PUT(a, entries, n, k, v, type, desc) \
	do { \
		size_t i_; \
		type **new_; \
\
		for (i_ = 0; i_ < (n); i_++) \
			if (strcmp((entries)[i_]->key, (k)) == 0) \
				break; \
		if (i_ == (n)) { \
			new_ = arena_array((a), type *, (n) + 1); \
			if ((n) > 0) \
				memcpy(new_, (entries), (n) * sizeof(*new_)); \
			new_[n] = arena_new_of((a), type); \
			protobuf_c_message_init(&(desc), new_[n]); \
			new_[n]->key = arena_strdup((a), (k)); \
			(entries) = new_; \
			(n)++; \
		} \
		(entries)[i_]->value = arena_strdup((a), (v)); \
	} while (0)

static void
meta_put(struct journal_state *s, Model__PipelineStage *st, const char *key,
    const char *value)
{
	MAP_PUT(s->arena, st->metadata, st->n_metadata, key, value,
	    Model__PipelineStage__MetadataEntry,
	    model__pipeline_stage__metadata_entry__descriptor);
}

const char *
deployment_shared(const Model__Deployment *m, const char *key)
{
	const Model__DeploymentMetadata__KeyValues *kv;
	size_t i;

	if (m->metadata_v2 == NULL || (kv = m->metadata_v2->shared) == NULL)
		return NULL;
	for (i = 0; i < kv->n_keyvalues; i++)
		if (strcmp(kv->keyvalues[i]->key, key) == 0)
			return kv->keyvalues[i]->value;
	return NULL;
}

static void
shared_put(struct journal_state *s, const char *key, const char *value)
{
	Model__Deployment *d = s->deployment;
	Model__DeploymentMetadata__KeyValues *kv;

	if (d->metadata_v2 == NULL) {
		d->metadata_v2 =
		    arena_new_of(s->arena, Model__DeploymentMetadata);
		model__deployment_metadata__init(d->metadata_v2);
	}
	if ((kv = d->metadata_v2->shared) == NULL) {
		kv = arena_new_of(
		    s->arena, Model__DeploymentMetadata__KeyValues);
		model__deployment_metadata__key_values__init(kv);
		d->metadata_v2->shared = kv;
	}
	MAP_PUT(s->arena, kv->keyvalues, kv->n_keyvalues, key, value,
	    Model__DeploymentMetadata__KeyValues__KeyValuesEntry,
	    model__deployment_metadata__key_values__key_values_entry__descriptor);
}

/*
 * A newer model replaces the old one, except for results of stages that it
 * does not know yet: those come from their own records.
 */
static void
model_take(struct journal_state *s, const Model__Deployment *m,
    const Frame__Plan *plan)
{
	Model__Deployment *d = msg_copy(m, s->arena);
	struct journal_stage *stage = NULL;
	size_t i;
	int old;

	if (d->n_stages > 0)
		stage =
		    arena_array(s->arena, struct journal_stage, d->n_stages);
	for (i = 0; i < d->n_stages; i++) {
		old = journal_stage_find(s, d->stages[i]->id);
		if (old == -1)
			continue;
		must(s->deployment != NULL); /* that is where it was found */
		stage[i] = s->stage[old];
		if (s->deployment->stages[old]->status > d->stages[i]->status)
			d->stages[i] = s->deployment->stages[old];
	}
	if (s->deployment != NULL && d->metadata_v2 == NULL)
		d->metadata_v2 = s->deployment->metadata_v2;
	s->deployment = d;
	s->stage = stage;
	s->n_stages = d->n_stages;
	if (plan != NULL)
		s->plan = msg_copy(plan, s->arena);
}

static int
apply_deployment(struct journal_state *s, const Model__Deployment *m,
    const Frame__Plan *plan, struct err *e)
{
	if (m == s->deployment)
		return 0; /* exec's own: the record of what is here already */
	if (s->deployment != NULL) {
		if (strcmp(m->id, s->deployment->id) != 0)
			return err_set(e, RC_PERM,
			    "deployment %s in the journal of %s", m->id,
			    s->deployment->id);
		if (m->status < s->deployment->status ||
		    deployment_ended(s->deployment->status))
			return 0;
	}
	model_take(s, m, plan);
	return 0;
}

/* The stage that a record is about, checked against the deployment. */
static int
stage_of(const struct journal_state *s, const char *deployment_id,
    const char *stage_id, struct err *e)
{
	int i;

	if (s->deployment == NULL)
		return err_set(e, RC_PERM, "comes before the deployment");
	if (strcmp(s->deployment->id, deployment_id) != 0)
		return err_set(e, RC_PERM, "is about deployment %s, not %s",
		    deployment_id, s->deployment->id);
	if ((i = journal_stage_find(s, stage_id)) == -1)
		return err_set(e, RC_PERM,
		    "deployment %s has no stage \"%.80s\"", deployment_id,
		    stage_id);
	return i;
}

static int
apply_process(
    struct journal_state *s, const Frame__StageProcess *p, struct err *e)
{
	int i = stage_of(s, p->deployment_id, p->stage_id, e);
	Model__PipelineStage *m;
	struct journal_stage *st;

	if (i == -1)
		return -1;
	m = s->deployment->stages[i];
	must(s->stage != NULL); /* as many as the deployment has */
	st = &s->stage[i];
	if (stage_ended(m->status))
		return 0;
	m->status = MODEL__STAGE_STATUS__STAGE_RUNNING;
	st->started = true;
	st->pid = p->pid;
	st->pid_started = p->started_at;
	st->at_ms = p->at_ms;
	st->up_ms = p->up_ms;
	st->ran_ms = p->ran_ms;
	st->attempt = p->attempt;
	m->retried_count = p->attempt;
	if (p->boot != NULL &&
	    (st->boot == NULL || strcmp(st->boot, p->boot) != 0))
		st->boot = arena_strdup(s->arena, p->boot);
	if (m->rollback)
		s->rollback_ms = p->total_ms;
	else
		s->forward_ms = p->total_ms;
	return 0;
}

static int
apply_done(struct journal_state *s, const Frame__StageDone *p, struct err *e)
{
	int i = stage_of(s, p->deployment_id, p->stage_id, e);
	Model__PipelineStage *m;
	int64_t late; /* what no stage_process has counted */

	if (i == -1)
		return -1;
	if (!stage_ended(p->status))
		return err_set(e, RC_PERM, "status %s is not an end",
		    msg_enum_name(&model__stage_status__descriptor,
			(int)p->status, MSG_FRAME));
	must(s->stage != NULL);
	m = s->deployment->stages[i];
	if (stage_ended(m->status))
		return 0;
	m->status = p->status;
	if (p->reason != NULL)
		m->status_reason = arena_strdup(s->arena, p->reason);
	if (p->at_ms > 0)
		m->completed_at = m->updated_at = p->at_ms / 1000;
	s->stage[i].needs_human = p->needs_human;
	s->stage[i].untouched = p->untouched;
	late = p->took_ms > s->stage[i].ran_ms ? p->took_ms - s->stage[i].ran_ms
					       : 0;
	if (m->rollback)
		s->rollback_ms += late;
	else
		s->forward_ms += late;
	return 0;
}

static int
apply_meta(struct journal_state *s, const Frame__StageMeta *p, struct err *e)
{
	int i = stage_of(s, p->deployment_id, p->stage_id, e);

	if (i == -1)
		return -1;
	if (p->shared)
		shared_put(s, p->key, p->value);
	else
		meta_put(s, s->deployment->stages[i], p->key, p->value);
	return 0;
}

static void
member_add(struct journal_state *s, const Model__Command *c)
{
	struct journal_member *m, **at = &s->members;

	for (; *at != NULL; at = &(*at)->next)
		if (strcmp((*at)->command_id, c->id) == 0)
			return;
	m = arena_new_of(s->arena, struct journal_member);
	m->command_id = arena_strdup(s->arena, c->id);
	m->application_id =
	    arena_strdup(s->arena, c->chain_sync_application->application_id);
	m->block = c->chain_sync_application->block_index;
	*at = m;
}

static void
apply_command(struct journal_state *s, const Model__Command *c)
{
	switch (c->type) {
	case MODEL__COMMAND__TYPE__CANCEL_DEPLOYMENT:
		if (s->cancelled_by != NULL)
			break;
		s->cancelled_by = arena_strdup(s->arena,
		    c->commander[0] != '\0' ? c->commander : "somebody");
		s->cancel_id = arena_strdup(s->arena, c->id);
		if (c->cancel_deployment != NULL) {
			s->force_rollback =
			    c->cancel_deployment->force_rollback;
			s->force_no_rollback =
			    c->cancel_deployment->force_no_rollback;
		}
		break;
	case MODEL__COMMAND__TYPE__CHAIN_SYNC_APPLICATION:
		if (c->chain_sync_application != NULL)
			member_add(s, c);
		break;
	default: /* approvals and skips leave a value or a result behind */
		break;
	}
}

static void
apply_command_done(struct journal_state *s, const Frame__CommandDone *p)
{
	struct journal_member *m;
	size_t i;

	if (s->deployment != NULL &&
	    strcmp(p->command_id, s->deployment->id) == 0)
		s->chain_over = true;
	for (m = s->members; m != NULL; m = m->next) {
		if (strcmp(m->command_id, p->command_id) != 0)
			continue;
		m->status = p->status;
		for (i = 0; i < p->n_metadata; i++)
			if (strcmp(p->metadata[i]->key, "deployment") == 0)
				m->deployment_id = arena_strdup(
				    s->arena, p->metadata[i]->value);
	}
}

/*
 * Taken over from the control plane: its stages may have run where we were not.
 */
static int
apply_resume(struct journal_state *s, const Frame__Resume *p, struct err *e)
{
	const Model__PipelineStage *m;
	size_t i;

	if (apply_deployment(s, p->deployment, p->plan, e) == -1)
		return -1;
	for (i = 0; i < s->n_stages; i++) {
		m = s->deployment->stages[i];
		if (m->status == MODEL__STAGE_STATUS__STAGE_NOT_STARTED_YET ||
		    m->status == MODEL__STAGE_STATUS__STAGE_SKIPPED ||
		    s->stage[i].started)
			continue;
		s->stage[i].started = true;
		s->stage[i].at_ms = m->updated_at * 1000;
		s->stage[i].attempt = m->retried_count;
	}
	return 0;
}

int
journal_apply(struct journal_state *s, const struct frame *f, struct err *e)
{
	int rv = 0;

	s->records++;
	switch (f->kind) {
	case FRAME_deployment:
		rv = apply_deployment(
		    s, f->u.deployment->deployment, f->u.deployment->plan, e);
		break;
	case FRAME_resume:
		rv = apply_resume(s, f->u.resume, e);
		break;
	case FRAME_stage_process:
		rv = apply_process(s, f->u.stage_process, e);
		break;
	case FRAME_stage_done:
		rv = apply_done(s, f->u.stage_done, e);
		break;
	case FRAME_stage_meta:
		rv = apply_meta(s, f->u.stage_meta, e);
		break;
	case FRAME_stage_log:
		s->logs++;
		break;
	case FRAME_command:
		apply_command(s, f->u.command->command);
		break;
	case FRAME_command_done:
		apply_command_done(s, f->u.command_done);
		break;
	default: /* held and what later builds add: for readers */
		break;
	}
	return rv == -1 ? err_wrap(e, "%s", frame_kind_name(f->kind)) : 0;
}

int
journal_replay(struct journal_state *s, struct journal_reader *r, struct err *e)
{
	struct arena *a = arena_new();
	struct frame f;
	int rv;

	while ((rv = journal_next(r, &f, a, e)) != 2) {
		if (rv == -1)
			break;
		if (rv == 1 && journal_apply(s, &f, e) == -1) {
			err_wrap(e, "%s:%ld", r->name, r->n);
			rv = -1;
			break;
		}
		if (rv == 0)
			s->records++;
		arena_reset(a);
	}
	arena_free(a);
	return rv == 2 ? 0 : -1;
}
