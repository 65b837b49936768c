/* Deployments: what agents report of them, and what people read. */
#include <stdlib.h>
#include <string.h>

#include "api.h"

#define PIPED(name) const Grpc__Service__Pipedservice__##name##Request
#define API(name)   const Grpc__Service__Apiservice__##name##Request

/* --- reading -------------------------------------------------------------------- */

static void
got(struct call *c, const Store__Reply *r)
{
	const Store__Record *rec;
	struct buf b = BUF_INIT;

	if (!went_well(c, r, "deployment"))
		return;
	rec = r->records[0];
	if (!wire_is(rec->value.data, rec->value.len, 6, c->who.project) ||
	    (c->who.piped &&
		!wire_is(rec->value.data, rec->value.len, 5, c->who.id))) {
		not_yours(c, "deployment");
		return;
	}
	wire_bytes(&b, 1, rec->value.data, rec->value.len);
	grpc_reply_bytes(c->g, b.p, b.len);
	buf_free(&b);
}

void
deployment_get(struct call *c, const void *req)
{
	API(GetDeployment) *q = req;

	if (empty(q->deployment_id)) {
		refuse(c, GRPC_INVALID_ARGUMENT,
		    "deployment_id: must not be empty");
		return;
	}
	ask_get(c, "deployment", q->deployment_id, got);
}

void
piped_get_deployment(struct call *c, const void *req)
{
	PIPED(GetDeployment) *q = req;

	ask_get(c, "deployment", q->id, got);
}

static void
listed(struct call *c, const Store__Reply *r)
{
	if (went_well(c, r, "deployments"))
		reply_records(c, r, 1, 2, r->cursor);
}

/*
 * Statuses and kinds are given by name.  Returns their numbers as text, NULL
 * when the caller was refused.
 */
static const char **
numbers(struct call *c, const ProtobufCEnumDescriptor *d, const char *what,
    char **names, size_t n)
{
	const char **v = arena_array(c->a, const char *, n + 1);
	size_t i;
	int value;

	for (i = 0; i < n; i++) {
		value = msg_enum_value(d, or_empty(names[i]));
		if (value == -1) {
			refuse(c, GRPC_INVALID_ARGUMENT,
			    "%s[%zu]: \"%.40s\" is no %s", what, i,
			    or_empty(names[i]), d->name);
			return NULL;
		}
		v[i] = arena_printf(c->a, "%d", value);
	}
	return v;
}

void
deployment_list(struct call *c, const void *req)
{
	API(ListDeployments) *q = req;
	const char **v;
	struct query l;
	size_t i;

	query_init(&l, "deployment");
	query_is(c, &l, "project_id", c->who.project);
	if (q->n_statuses > 0) {
		if ((v = numbers(c, &model__deployment_status__descriptor,
			 "statuses", q->statuses, q->n_statuses)) == NULL)
			return;
		query_in(c, &l, "status", v, q->n_statuses);
	}
	if (q->n_kinds > 0) {
		if ((v = numbers(c, &model__application_kind__descriptor,
			 "kinds", q->kinds, q->n_kinds)) == NULL)
			return;
		query_in(c, &l, "kind", v, q->n_kinds);
	}
	if (q->n_application_ids > 0)
		query_in(c, &l, "application_id",
		    (const char *const *)q->application_ids,
		    q->n_application_ids);
	if (!empty(q->application_name))
		query_is(c, &l, "application_name", q->application_name);
	if (q->n_labels > 8) {
		refuse(c, GRPC_INVALID_ARGUMENT,
		    "labels: must have at most 8, has %zu", q->n_labels);
		return;
	}
	for (i = 0; i < q->n_labels; i++)
		query_label(c, &l, q->labels[i]->key, q->labels[i]->value);
	l.list.limit = q->limit <= 0	     ? PAGE_DEPLOYMENTS
		       : q->limit > PAGE_MAX ? PAGE_MAX
					     : (uint32_t)q->limit;
	l.list.cursor = q->cursor;
	ask_list(c, &l, listed);
}

void
deployment_not_completed(struct call *c, const void *req)
{
	static const char *const going[] = { "0", "1", "2", "3" };
	PIPED(ListNotCompletedDeployments) *q = req;
	struct query *l = query_new(c, "deployment");

	query_is(c, l, "piped_id", c->who.id);
	query_in(c, l, "status", going, NITEMS(going));
	l->list.cursor = q->cursor;
	reply_all(c, l, 1, 2, ANSWER_MAX);
}

/* --- creating -------------------------------------------------------------------- */

static void
created(struct call *c, const Store__Reply *r)
{
	PIPED(CreateDeployment) *q = c->req;
	const Model__Deployment *d = q->deployment;

	if (!went_well(c, r, "deployment"))
		return;
	owners_learn(c->api->owners, d->id, c->who.id);
	metrics_created(c->api->metrics, c->who.project);
	chain_report(
	    c, d->deployment_chain_id, d->deployment_chain_block_index, d);
}

static void
create_now(struct call *c)
{
	PIPED(CreateDeployment) *q = c->req;

	ask_write(
	    c, STORE__OP__KIND__CREATE, "deployment", q->deployment, created);
}

static void
create(struct call *c)
{
	PIPED(CreateDeployment) *q = c->req;

	if (empty(q->deployment->deployment_chain_id))
		create_now(c);
	else
		own_chain(c, q->deployment->deployment_chain_id, create_now);
}

bool
deployment_is_ours(struct call *c, const Model__Deployment *d)
{
	if (same(d->project_id, c->who.project) && same(d->piped_id, c->who.id))
		return true;
	not_yours(c, "deployment");
	return false;
}

void
deployment_create(struct call *c, const void *req)
{
	PIPED(CreateDeployment) *q = req;

	if (deployment_is_ours(c, q->deployment))
		own_application(c, q->deployment->application_id, create);
}

/* --- reports ---------------------------------------------------------------------- */

bool
deployment_done(int status)
{
	return status >= MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_SUCCESS;
}

/* Read the deployment, make sure that it is the agent's, edit, write. */
static void
report(struct call *c, const char *id, int (*edit)(struct call *, void *),
    void (*then)(struct call *, void *))
{
	change(c, "deployment", id, &model__deployment__descriptor, edit, then);
}

static bool
mine(struct call *c, const Model__Deployment *d)
{
	return deployment_is_ours(c, d);
}

static int
edit_planned(struct call *c, void *rec)
{
	PIPED(ReportDeploymentPlanned) *q = c->req;
	Model__Deployment *d = rec;

	if (!mine(c, d))
		return -1;
	d->status = MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_PLANNED;
	d->status_reason = q->status_reason;
	d->summary = q->summary;
	d->running_commit_hash = q->running_commit_hash;
	d->running_config_filename = q->running_config_filename;
	d->versions = q->versions;
	d->n_versions = q->n_versions;
	d->stages = q->stages;
	d->n_stages = q->n_stages;
	if (q->sync_strategy != MODEL__SYNC_STRATEGY__AUTO &&
	    d->trigger != NULL)
		d->trigger->sync_strategy = q->sync_strategy;
	return CHANGED;
}

static void
planned(struct call *c, void *rec)
{
	PIPED(ReportDeploymentPlanned) *q = c->req;

	chain_report(
	    c, q->deployment_chain_id, q->deployment_chain_block_index, rec);
}

void
deployment_planned(struct call *c, const void *req)
{
	PIPED(ReportDeploymentPlanned) *q = req;

	report(c, q->deployment_id, edit_planned, planned);
}

static int
edit_status(struct call *c, void *rec)
{
	PIPED(ReportDeploymentStatusChanged) *q = c->req;
	Model__Deployment *d = rec;

	if (!mine(c, d))
		return -1;
	d->status = q->status;
	d->status_reason = q->status_reason;
	return CHANGED;
}

static void
status_changed(struct call *c, void *rec)
{
	PIPED(ReportDeploymentStatusChanged) *q = c->req;

	chain_report(
	    c, q->deployment_chain_id, q->deployment_chain_block_index, rec);
}

void
deployment_status(struct call *c, const void *req)
{
	PIPED(ReportDeploymentStatusChanged) *q = req;

	report(c, q->deployment_id, edit_status, status_changed);
}

static int
edit_completed(struct call *c, void *rec)
{
	PIPED(ReportDeploymentCompleted) *q = c->req;
	Model__Deployment *d = rec;
	size_t i, k;

	if (!mine(c, d))
		return -1;
	/* The answer to the first report may have been lost. */
	if (d->status == q->status && deployment_done((int)d->status))
		return SAME;
	d->status = q->status;
	d->status_reason = q->status_reason;
	d->completed_at = q->completed_at;
	for (i = 0; i < d->n_stages; i++)
		for (k = 0; k < q->n_stage_statuses; k++)
			if (same(d->stages[i]->id, q->stage_statuses[k]->key))
				d->stages[i]->status =
				    q->stage_statuses[k]->value;
	return CHANGED;
}

static void
completed(struct call *c, void *rec)
{
	PIPED(ReportDeploymentCompleted) *q = c->req;

	chain_report(
	    c, q->deployment_chain_id, q->deployment_chain_block_index, rec);
}

void
deployment_completed(struct call *c, const void *req)
{
	PIPED(ReportDeploymentCompleted) *q = req;
	const ProtobufCEnumDescriptor *d = &model__stage_status__descriptor;
	size_t i;

	if (!deployment_done((int)q->status)) {
		refuse(c, GRPC_INVALID_ARGUMENT,
		    "status: %s is not the status of a completed deployment",
		    msg_enum_name(&model__deployment_status__descriptor,
			(int)q->status, MSG_API));
		return;
	}
	for (i = 0; i < q->n_stage_statuses; i++)
		if (protobuf_c_enum_descriptor_get_value(
			d, (int)q->stage_statuses[i]->value) == NULL) {
			refuse(c, GRPC_INVALID_ARGUMENT,
			    "stage_statuses[\"%.40s\"]: %d is no %s",
			    or_empty(q->stage_statuses[i]->key),
			    (int)q->stage_statuses[i]->value, d->name);
			return;
		}
	report(c, q->deployment_id, edit_completed, completed);
}

/* --- metadata ---------------------------------------------------------------------- */

static int
edit_metadata(struct call *c, void *rec)
{
	PIPED(SaveDeploymentMetadata) *q = c->req;
	Model__Deployment *d = rec;

	if (!mine(c, d))
		return -1;
	map_merge(&model__deployment__metadata_entry__descriptor, &d->metadata,
	    &d->n_metadata, q->metadata, q->n_metadata, c->a);
	return CHANGED;
}

void
deployment_metadata(struct call *c, const void *req)
{
	PIPED(SaveDeploymentMetadata) *q = req;

	report(c, q->deployment_id, edit_metadata, NULL);
}

/* metadata_v2 with what is needed in it; *kv NULL: make one. */
static Model__DeploymentMetadata *
metadata_v2(struct call *c, Model__Deployment *d)
{
	if (d->metadata_v2 == NULL) {
		d->metadata_v2 = arena_new_of(c->a, Model__DeploymentMetadata);
		model__deployment_metadata__init(d->metadata_v2);
	}
	return d->metadata_v2;
}

static void
key_values(struct call *c, Model__DeploymentMetadata__KeyValues **kv, void *src,
    size_t n)
{
	if (*kv == NULL) {
		*kv = arena_new_of(c->a, Model__DeploymentMetadata__KeyValues);
		model__deployment_metadata__key_values__init(*kv);
	}
	map_merge(
	    &model__deployment_metadata__key_values__key_values_entry__descriptor,
	    &(*kv)->keyvalues, &(*kv)->n_keyvalues, src, n, c->a);
}

static int
edit_shared(struct call *c, void *rec)
{
	PIPED(SaveDeploymentSharedMetadata) *q = c->req;
	Model__Deployment *d = rec;

	if (!mine(c, d))
		return -1;
	key_values(c, &metadata_v2(c, d)->shared, q->metadata, q->n_metadata);
	return CHANGED;
}

void
deployment_shared_metadata(struct call *c, const void *req)
{
	PIPED(SaveDeploymentSharedMetadata) *q = req;

	report(c, q->deployment_id, edit_shared, NULL);
}

static int
edit_plugin(struct call *c, void *rec)
{
	PIPED(SaveDeploymentPluginMetadata) *q = c->req;
	Model__DeploymentMetadata__PluginsEntry **v, *p = NULL;
	Model__Deployment *d = rec;
	Model__DeploymentMetadata *m;
	size_t i;

	if (!mine(c, d))
		return -1;
	m = metadata_v2(c, d);
	for (i = 0; i < m->n_plugins; i++)
		if (same(m->plugins[i]->key, q->plugin_name))
			p = m->plugins[i];
	if (p == NULL) {
		p = arena_new_of(c->a, Model__DeploymentMetadata__PluginsEntry);
		model__deployment_metadata__plugins_entry__init(p);
		p->key = q->plugin_name;
		v = arena_array(c->a, Model__DeploymentMetadata__PluginsEntry *,
		    m->n_plugins + 1);
		for (i = 0; i < m->n_plugins; i++)
			v[i] = m->plugins[i];
		v[m->n_plugins++] = p;
		m->plugins = v;
	}
	key_values(c, &p->value, q->metadata, q->n_metadata);
	return CHANGED;
}

void
deployment_plugin_metadata(struct call *c, const void *req)
{
	PIPED(SaveDeploymentPluginMetadata) *q = req;

	report(c, q->deployment_id, edit_plugin, NULL);
}
