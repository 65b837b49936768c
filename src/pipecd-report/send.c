/*
 * What a record of a journal is to the control plane: which calls, with what.
 */
#include <stdlib.h>
#include <string.h>

#include "door.h"

#define D_(x)	   MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_##x
#define REQ(x)	   Grpc__Service__Pipedservice__##x##Request
#define INIT(m, x) grpc__service__pipedservice__##x##_request__init(m)

static const Model__PipelineStage *there_stage(
    const struct sending *s, const char *id);

/* --- ops --------------------------------------------------------------------
 */

void
op_free(struct op *o)
{
	buf_free(&o->call.bytes);
	free(o);
}

static struct op *
op_new(struct follow *f, const char *method, const void *req)
{
	struct op *o = xcalloc(1, sizeof(*o));

	o->f = f;
	o->call.method = method;
	o->call.bytes = (struct buf)BUF_INIT;
	msg_pack(&o->call.bytes, req);
	return o;
}

static struct op *
op_add(struct follow *f, const char *method, const void *req)
{
	struct sending *s = f->s;
	struct op *o;

	if (s->skipping)
		return NULL;
	o = op_new(f, method, req);
	*s->end = o;
	s->end = &o->next;
	return o;
}

/* Before all others: what follows from an answer. */
static struct op *
op_first(struct follow *f, const char *method, const void *req)
{
	struct sending *s = f->s;
	struct op *o = op_new(f, method, req);

	o->next = s->ops;
	if (s->ops == NULL)
		s->end = &o->next;
	s->ops = o;
	return o;
}

static int64_t
at_least_1(int64_t t)
{
	return t > 0 ? t : 1;
}

/* --- logs -------------------------------------------------------------------
 */

static void
blocks_add(struct blocks *b, Model__LogBlock *l)
{
	if (b->n == b->cap) {
		b->cap = b->cap * 2 + 64;
		b->list = xrealloc(b->list, b->cap * sizeof(*b->list));
	}
	b->list[b->n++] = l;
	b->bytes += strlen(l->log) + 32;
}

static void
blocks_reset(struct blocks *b)
{
	b->n = b->bytes = 0;
}

static void
log_forget(struct sending *s)
{
	blocks_reset(&s->log.unsent);
	blocks_reset(&s->log.unkept);
	s->log.stage = NULL;
	arena_reset(s->log.arena);
}

static void
log_live(struct follow *f)
{
	struct sending *s = f->s;
	REQ(ReportStageLogs) m;

	if (s->log.unsent.n == 0)
		return;
	INIT(&m, report_stage_logs);
	m.deployment_id = f->id;
	m.stage_id = s->log.stage;
	m.blocks = s->log.unsent.list;
	m.n_blocks = s->log.unsent.n;
	op_add(f, "ReportStageLogs", &m);
	blocks_reset(&s->log.unsent);
	if (s->log.unkept.n == 0)
		log_forget(s);
}

/* What PipeCD keeps for good; ours keeps each line as it comes. */
static void
log_checkpoint(struct follow *f, const char *stage, bool completed)
{
	struct sending *s = f->s;
	struct blocks *b =
	    s->door->plane.ours ? &s->log.unsent : &s->log.unkept;
	REQ(ReportStageLogsFromLastCheckpoint) m;

	INIT(&m, report_stage_logs_from_last_checkpoint);
	m.deployment_id = f->id;
	m.stage_id = arena_strdup(s->work, stage);
	m.blocks = b->list;
	m.n_blocks = b->n;
	m.completed = completed;
	op_add(f, "ReportStageLogsFromLastCheckpoint", &m);
	log_forget(s);
}

void
send_flush(struct follow *f)
{
	log_live(f);
}

static void
log_line(struct follow *f, const char *stage, const char *text, int severity,
    int64_t at_s)
{
	struct sending *s = f->s;
	const Model__PipelineStage *there = there_stage(s, stage);
	Model__LogBlock *b;

	if (there != NULL && stage_ended(there->status))
		return;
	if (s->log.stage != NULL && strcmp(s->log.stage, stage) != 0)
		log_checkpoint(f, s->log.stage, false);
	if (s->log.stage == NULL)
		s->log.stage = arena_strdup(s->log.arena, stage);
	b = arena_new_of(s->log.arena, Model__LogBlock);
	model__log_block__init(b);
	b->index = s->base + s->r.seq;
	b->log = arena_strdup(s->log.arena, *text != '\0' ? text : " ");
	b->severity = (Model__LogSeverity)severity;
	b->created_at = at_least_1(at_s);
	if (!s->skipping)
		blocks_add(&s->log.unsent, b);
	if (!s->door->plane.ours)
		blocks_add(&s->log.unkept, b);
	if (s->log.unkept.bytes > KEEP_BYTES)
		log_checkpoint(f, s->log.stage, false);
	else if (s->log.unsent.n >= BATCH_LINES ||
		 s->log.unsent.bytes >= BATCH_BYTES)
		log_live(f);
	if (s->skipping && s->log.unkept.n == 0)
		log_forget(s);
}

static int
severity_of(const char *name)
{
	int v = name != NULL
		    ? msg_enum_value(&model__log_severity__descriptor, name)
		    : 0;

	return v == -1 ? 0 : v;
}

static void
send_log(struct follow *f, const Frame__StageLog *l)
{
	struct sending *s = f->s;

	if (l->at_ms > 0)
		s->at_s = l->at_ms / 1000;
	log_line(f, l->stage_id, l->text, severity_of(l->severity), s->at_s);
}

static void
send_held(struct follow *f, const Frame__Held *h)
{
	struct buf b = BUF_INIT;
	size_t i;

	if (h->stage_id == NULL)
		return;
	buf_printf(&b, "HELD: %s", h->reason);
	for (i = 0; i < h->n_objects; i++)
		buf_printf(&b, "\n  %s", h->objects[i]);
	buf_printf(&b, "\nTo go on: %s", h->confirm);
	log_line(f, h->stage_id, b.p, MODEL__LOG_SEVERITY__ERROR, f->s->at_s);
	buf_free(&b);
}

/* --- stages ------------------------------------------------------------------
 */

static void
stage_status(struct follow *f, const Model__PipelineStage *st, int64_t at_s)
{
	const Model__PipelineStage *there = there_stage(f->s, st->id);
	REQ(ReportStageStatusChanged) m;

	if (there != NULL && stage_ended(there->status))
		return;
	INIT(&m, report_stage_status_changed);
	m.deployment_id = f->id;
	m.stage_id = st->id;
	m.status = st->status;
	m.status_reason = st->status_reason;
	m.requires = st->requires;
	m.n_requires = st->n_requires;
	m.visible = st->visible;
	m.completed_at = at_least_1(at_s);
	op_add(f, "ReportStageStatusChanged", &m);
}

static Model__PipelineStage *
stage_of(const struct sending *s, const char *id)
{
	int i = journal_stage_find(&s->s, id);

	return i == -1 ? NULL : s->s.deployment->stages[i];
}

static void
send_process(struct follow *f, const Frame__StageProcess *p, int before)
{
	struct sending *s = f->s;
	const Model__PipelineStage *st = stage_of(s, p->stage_id);

	if (p->at_ms > 0)
		s->at_s = p->at_ms / 1000;
	if (st == NULL || (int)st->status == before)
		return;
	stage_status(f, st, s->at_s);
}

static void
send_done(struct follow *f, const Frame__StageDone *p, int before)
{
	struct sending *s = f->s;
	const Model__PipelineStage *st = stage_of(s, p->stage_id), *there;

	if (p->at_ms > 0)
		s->at_s = p->at_ms / 1000;
	if (st == NULL || (int)st->status == before)
		return;
	there = there_stage(s, st->id);
	if (there == NULL || !stage_ended(there->status))
		log_checkpoint(f, st->id, true);
	stage_status(f, st, s->at_s);
}

/* All values, not the news alone: then it does not matter who merges. */
static void
send_meta(struct follow *f, const Frame__StageMeta *p)
{
	const Model__Deployment *d = f->s->s.deployment;
	const Model__PipelineStage *st = stage_of(f->s, p->stage_id);
	const Model__DeploymentMetadata__KeyValues *kv;
	REQ(SaveStageMetadata) m;
	REQ(SaveDeploymentSharedMetadata) sh;

	if (p->shared) {
		kv = d->metadata_v2 != NULL ? d->metadata_v2->shared : NULL;
		if (kv == NULL)
			return;
		INIT(&sh, save_deployment_shared_metadata);
		sh.deployment_id = f->id;
		sh.n_metadata = kv->n_keyvalues;
		/* Both are a map<string, string>: the same three words. */
		sh.metadata = (void *)kv->keyvalues;
		op_add(f, "SaveDeploymentSharedMetadata", &sh);
		return;
	}
	if (st == NULL)
		return;
	INIT(&m, save_stage_metadata);
	m.deployment_id = f->id;
	m.stage_id = st->id;
	m.n_metadata = st->n_metadata;
	m.metadata = (void *)st->metadata;
	op_add(f, "SaveStageMetadata", &m);
}

/* --- the deployment ----------------------------------------------------------
 */

/* As the control plane is to have it: its ids, and nothing done yet. */
static Model__Deployment *
first_model(struct follow *f, const Model__Deployment *m)
{
	struct sending *s = f->s;
	Model__Deployment *d = arena_new_of(s->work, Model__Deployment);

	*d = *m;
	d->application_id = arena_strdup(s->work, s->application_id);
	d->piped_id = arena_strdup(s->work, s->door->conf->piped_id);
	d->project_id = arena_strdup(s->work, s->door->conf->project_id);
	d->status = D_(PENDING);
	d->stages = NULL;
	d->n_stages = 0;
	d->completed_at = 0;
	d->created_at = at_least_1(m->created_at);
	d->updated_at = at_least_1(m->updated_at);
	return d;
}

static void
send_reference(struct follow *f, Model__DeploymentStatus status)
{
	struct sending *s = f->s;
	const Model__Deployment *d = s->s.deployment;
	Model__ApplicationDeploymentReference r =
	    MODEL__APPLICATION_DEPLOYMENT_REFERENCE__INIT;
	REQ(ReportApplicationMostRecentDeployment) m;

	INIT(&m, report_application_most_recent_deployment);
	m.application_id = arena_strdup(s->work, s->application_id);
	m.status = status;
	m.deployment = &r;
	r.deployment_id = f->id;
	r.trigger = d->trigger;
	r.summary = d->summary;
	r.version = d->n_versions == 1 ? d->versions[0]->version : r.version;
	r.versions = d->versions;
	r.n_versions = d->n_versions;
	r.config_filename = d->git_path->config_filename;
	r.started_at = at_least_1(d->created_at);
	r.completed_at = status == D_(SUCCESS) ? d->completed_at : 0;
	op_add(f, "ReportApplicationMostRecentDeployment", &m);
}

static void
send_deploying(struct follow *f, bool deploying)
{
	REQ(ReportApplicationDeployingStatus) m;

	INIT(&m, report_application_deploying_status);
	m.application_id = arena_strdup(f->s->work, f->s->application_id);
	m.deploying = deploying;
	op_add(f, "ReportApplicationDeployingStatus", &m);
}

static void
send_planned(struct follow *f)
{
	const Model__Deployment *d = f->s->s.deployment;
	REQ(ReportDeploymentPlanned) m;

	INIT(&m, report_deployment_planned);
	m.deployment_id = f->id;
	m.summary = d->summary;
	m.status_reason = d->status_reason;
	m.running_commit_hash = d->running_commit_hash;
	m.running_config_filename = d->running_config_filename;
	m.version = d->n_versions == 1 ? d->versions[0]->version : m.version;
	m.versions = d->versions;
	m.n_versions = d->n_versions;
	m.stages = d->stages;
	m.n_stages = d->n_stages;
	m.sync_strategy = d->trigger->sync_strategy;
	m.deployment_chain_id = d->deployment_chain_id;
	m.deployment_chain_block_index = d->deployment_chain_block_index;
	op_add(f, "ReportDeploymentPlanned", &m);
}

static void
send_changed(struct follow *f)
{
	const Model__Deployment *d = f->s->s.deployment;
	REQ(ReportDeploymentStatusChanged) m;

	INIT(&m, report_deployment_status_changed);
	m.deployment_id = f->id;
	m.status = d->status;
	m.status_reason = d->status_reason;
	m.deployment_chain_id = d->deployment_chain_id;
	m.deployment_chain_block_index = d->deployment_chain_block_index;
	op_add(f, "ReportDeploymentStatusChanged", &m);
}

static void
send_completed(struct follow *f)
{
	typedef Grpc__Service__Pipedservice__ReportDeploymentCompletedRequest__StageStatusesEntry
	    Entry;
	struct sending *s = f->s;
	const Model__Deployment *d = s->s.deployment;
	REQ(ReportDeploymentCompleted) m;
	Entry *all = arena_array(s->work, Entry, d->n_stages),
	      **list = arena_array(s->work, Entry *, d->n_stages);
	size_t i;

	INIT(&m, report_deployment_completed);
	m.deployment_id = f->id;
	m.status = d->status;
	m.status_reason = d->status_reason;
	m.completed_at =
	    at_least_1(d->completed_at > 0 ? d->completed_at : d->updated_at);
	m.deployment_chain_id = d->deployment_chain_id;
	m.deployment_chain_block_index = d->deployment_chain_block_index;
	for (i = 0; i < d->n_stages; i++) {
		grpc__service__pipedservice__report_deployment_completed_request__stage_statuses_entry__init(
		    &all[i]);
		all[i].key = d->stages[i]->id;
		all[i].value = d->stages[i]->status;
		list[i] = &all[i];
	}
	m.stage_statuses = list;
	m.n_stage_statuses = d->n_stages;
	op_add(f, "ReportDeploymentCompleted", &m);
}

/* --- what the control plane has already --------------------------------------
 */

static const Model__PipelineStage *
there_stage(const struct sending *s, const char *id)
{
	size_t i;

	for (i = 0; s->there != NULL && i < s->there->n_stages; i++)
		if (strcmp(s->there->stages[i]->id, id) == 0)
			return s->there->stages[i];
	return NULL;
}

static void
ops_forget(struct sending *s)
{
	struct op *o;

	while ((o = s->ops) != NULL) {
		s->ops = o->next;
		op_free(o);
	}
	s->end = &s->ops;
}

/*
 * It had the deployment before: nothing of it goes back.  One that has ended
 * there is over, whatever this journal says.
 */
static void
there_known(struct follow *f, int code, const ProtobufCMessage *res)
{
	const Grpc__Service__Pipedservice__GetDeploymentResponse *r =
	    (const void *)res;
	struct sending *s = f->s;

	if (code != GRPC_OK || r->deployment == NULL) {
		if (code != GRPC_NOT_FOUND)
			log_warn(
			    f->id, "GetDeployment: %s", grpc_code_name(code));
		return;
	}
	s->there = msg_copy(r->deployment, s->arena);
	if (s->there->deployment_chain_id[0] != '\0')
		s->chain_id = s->there->deployment_chain_id;
	if (s->chain_id != NULL && s->s.deployment != NULL)
		s->s.deployment->deployment_chain_id = s->chain_id;
	if (!deployment_ended(s->there->status))
		return;
	log_debug(f->id, "the control plane has it to its end already");
	ops_forget(s);
	log_forget(s);
	s->ended = true;
}

static void
there_ask(struct follow *f, bool first)
{
	REQ(GetDeployment) m;
	struct op *o;

	INIT(&m, get_deployment);
	m.id = f->id;
	o = first ? op_first(f, "GetDeployment", &m)
		  : op_add(f, "GetDeployment", &m);
	if (o == NULL)
		return;
	o->call.res =
	    &grpc__service__pipedservice__get_deployment_response__descriptor;
	o->call.read = true;
	o->after = there_known;
}

static void
created(struct follow *f, int code, const ProtobufCMessage *res)
{
	(void)res;
	if (code == GRPC_ALREADY_EXISTS)
		there_ask(f, true);
	else if (code != GRPC_OK)
		log_warn(f->id, "CreateDeployment was refused: %s",
		    grpc_code_name(code));
}

/* --- chains --------------------------------------------------------------------
 */

static void
chain_made(struct follow *f, int code, const ProtobufCMessage *res)
{
	(void)res;
	if (code != GRPC_OK && code != GRPC_ALREADY_EXISTS)
		log_warn(f->id, "CreateDeploymentChain was refused: %s",
		    grpc_code_name(code));
	there_ask(f, true); /* the server chose its id */
}

/* Made twice it would be two chains: only where there is none. */
static void
chain_create(struct follow *f, int code, const ProtobufCMessage *res)
{
	typedef Grpc__Service__Pipedservice__CreateDeploymentChainRequest__ApplicationMatcher
	    Matcher;
	struct sending *s = f->s;
	const Frame__Plan *p = s->s.plan;
	REQ(CreateDeploymentChain) m;
	Matcher *all, **list;
	struct op *o;
	size_t i;

	if (code == GRPC_OK) {
		there_known(f, code, res);
		return;
	}
	all = arena_array(s->work, Matcher, p->n_chain);
	list = arena_array(s->work, Matcher *, p->n_chain);
	for (i = 0; i < p->n_chain; i++) {
		grpc__service__pipedservice__create_deployment_chain_request__application_matcher__init(
		    &all[i]);
		if (p->chain[i]->name != NULL)
			all[i].name = p->chain[i]->name;
		if (p->chain[i]->app_kind != NULL)
			all[i].kind = p->chain[i]->app_kind;
		all[i].n_labels = p->chain[i]->n_labels;
		all[i].labels = (void *)p->chain[i]->labels;
		list[i] = &all[i];
	}
	INIT(&m, create_deployment_chain);
	m.first_deployment = first_model(f, s->s.deployment);
	m.matchers = list;
	m.n_matchers = p->n_chain;
	o = op_first(f, "CreateDeploymentChain", &m);
	o->after = chain_made;
}

/* After a restart of ours, before anything else is sent. */
void
send_again(struct follow *f)
{
	if (f->s->created && !f->s->ended)
		there_ask(f, false);
}

/* --- all of them ---------------------------------------------------------------
 */

/*
 * An id that was made without a control plane means the application that is
 * registered for the same place in git.
 */
static void
application_of(struct follow *f, const Model__Deployment *m)
{
	struct sending *s = f->s;
	const struct reg *r = regs_find(s->door, m->git_path);
	const char *parts[4] = { "application", m->git_path->repo->id,
		m->git_path->path, m->git_path->config_filename };
	char id[UUID_LEN];

	s->application_id = arena_strdup(s->arena, m->application_id);
	if (r != NULL) {
		s->application_id = arena_strdup(s->arena, r->id);
		return;
	}
	uuid5(id, parts, 4);
	s->foreign = !s->skipping && strcmp(id, m->application_id) == 0;
}

static void
send_created(struct follow *f)
{
	struct sending *s = f->s;
	const Model__Deployment *d = s->s.deployment;
	REQ(CreateDeployment) m;
	REQ(GetDeployment) g;
	struct op *o;

	s->created = true;
	if (s->s.plan != NULL && s->s.plan->n_chain > 0) {
		INIT(&g, get_deployment);
		g.id = f->id;
		if ((o = op_add(f, "GetDeployment", &g)) != NULL) {
			o->call.res =
			    &grpc__service__pipedservice__get_deployment_response__descriptor;
			o->call.read = true;
			o->after = chain_create;
		}
	} else {
		INIT(&m, create_deployment);
		m.deployment = first_model(f, d);
		if ((o = op_add(f, "CreateDeployment", &m)) != NULL)
			o->after = created;
	}
	/* Of old ones the newest counts, and that comes last. */
	send_reference(f, D_(PENDING));
	send_deploying(f, true);
}

static void
send_deployment(struct follow *f, int before, bool taken_up)
{
	struct sending *s = f->s;
	const Model__Deployment *d = s->s.deployment;

	if (d->updated_at > s->at_s)
		s->at_s = d->updated_at;
	if (before == -1) {
		s->base = d->updated_at > d->created_at ? d->updated_at
							: d->created_at;
		s->base *= 1000000;
		application_of(f, d);
		if (s->foreign)
			return;
		send_created(f);
	}
	if (s->chain_id != NULL && d->deployment_chain_id[0] == '\0')
		s->s.deployment->deployment_chain_id = s->chain_id;
	if ((int)d->status == before)
		return;
	if (s->there != NULL && !deployment_ended(d->status) &&
	    s->there->status >= d->status)
		return;
	if (taken_up)
		return; /* that is how the control plane said it */
	switch (d->status) {
	case D_(PENDING):
		break;
	case D_(PLANNED):
		send_planned(f);
		break;
	case D_(RUNNING):
	case D_(ROLLING_BACK):
		send_changed(f);
		break;
	default:
		send_completed(f);
		if (d->status == D_(SUCCESS))
			send_reference(f, D_(SUCCESS));
		send_deploying(f, false);
		s->ended = true;
		break;
	}
}

/* The status of the stage that a record is about; -1: there is none. */
static int
stage_before(const struct sending *s, const char *id)
{
	const Model__PipelineStage *st = stage_of(s, id);

	return st == NULL ? -1 : (int)st->status;
}

void
send_record(struct follow *f, const struct frame *fr)
{
	struct sending *s = f->s;
	int before = -1;
	struct err e;

	switch (fr->kind) {
	case FRAME_deployment:
	case FRAME_resume:
		if (s->s.deployment != NULL)
			before = (int)s->s.deployment->status;
		break;
	case FRAME_stage_process:
		before = stage_before(s, fr->u.stage_process->stage_id);
		break;
	case FRAME_stage_done:
		before = stage_before(s, fr->u.stage_done->stage_id);
		break;
	default:
		break;
	}
	if (journal_apply(&s->s, fr, &e) == -1) {
		log_warn(f->id, "journal: %s", e.text);
		return;
	}
	/* Lines go out before what comes after them. */
	if (fr->kind != FRAME_stage_log && fr->kind != FRAME_held &&
	    fr->kind != FRAME_stage_done)
		log_live(f);
	switch (fr->kind) {
	case FRAME_deployment:
	case FRAME_resume:
		send_deployment(f, before, fr->kind == FRAME_resume);
		break;
	case FRAME_stage_process:
		send_process(f, fr->u.stage_process, before);
		break;
	case FRAME_stage_log:
		send_log(f, fr->u.stage_log);
		break;
	case FRAME_stage_meta:
		send_meta(f, fr->u.stage_meta);
		break;
	case FRAME_stage_done:
		send_done(f, fr->u.stage_done, before);
		break;
	case FRAME_held:
		send_held(f, fr->u.held);
		break;
	default: /* command, command_done: exec's own */
		break;
	}
}
