/*
 * What is kept as objects: live states, results of analyses, what plugins
 * share.
 */
#include <string.h>

#include "api.h"
#include "hash.h"

#define PIPED(name) const Grpc__Service__Pipedservice__##name##Request

/* A component of an object's name, whatever somebody calls it. */
static const char *
component(struct arena *a, const char *s)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	char *hex;

	if (strspn(s, plain) == strlen(s) && *s != '\0' && *s != '.' &&
	    strlen(s) <= 64 && !str_prefix(s, "sha256-"))
		return s;
	hex = arena_alloc(a, SHA256_HEX);
	sha256_hex(hex, s, strlen(s));
	return arena_printf(a, "sha256-%s", hex);
}

static const char *
live_key(struct call *c, const char *app)
{
	return arena_printf(
	    c->a, "application-live-state/%s.pb", component(c->a, app));
}

/* --- live state --------------------------------------------------------------------- */

static void
live_put(struct call *c)
{
	PIPED(ReportApplicationLiveState) *q = c->req;
	struct buf b = BUF_INIT;

	msg_pack(&b, &q->snapshot->base);
	ask_object_put(c, live_key(c, q->snapshot->application_id), b.p, b.len,
	    reply_written);
	buf_free(&b);
}

void
live_report(struct call *c, const void *req)
{
	PIPED(ReportApplicationLiveState) *q = req;

	if (!same(q->snapshot->project_id, c->who.project) ||
	    !same(q->snapshot->piped_id, c->who.id))
		not_yours(c, "application");
	else
		own_application(c, q->snapshot->application_id, live_put);
}

/*
 * Events change the resources of the snapshot that they name.  One whose
 * application or snapshot is not there is answered as failed, and the agent
 * sends a new snapshot in its time.
 */
struct patching {
	char **apps; /* different ones, in the order of their first event */
	size_t n, i;
	char **failed;
	size_t n_failed;
};

static void patch_next(struct call *c);

static void
patch_failed(struct call *c)
{
	PIPED(ReportApplicationLiveStateEvents) *q = c->req;
	struct patching *g = c->user;
	size_t i;

	for (i = 0; i < q->n_kubernetes_events; i++)
		if (same(
			q->kubernetes_events[i]->application_id, g->apps[g->i]))
			g->failed[g->n_failed++] = q->kubernetes_events[i]->id;
	g->i++;
	patch_next(c);
}

static void
patched(struct call *c, const Store__Reply *r)
{
	struct patching *g = c->user;

	if (r->code != STORE__CODE__OK) {
		patch_failed(c);
		return;
	}
	g->i++;
	patch_next(c);
}

static void
patch_one(struct call *c, Model__KubernetesApplicationLiveState *k,
    const Model__KubernetesResourceStateEvent *e)
{
	Model__KubernetesResourceState **v;
	size_t i;

	for (i = 0; i < k->n_resources; i++)
		if (same(k->resources[i]->id, e->state->id))
			break;
	if (e->type == MODEL__KUBERNETES_RESOURCE_STATE_EVENT__TYPE__DELETED) {
		if (i < k->n_resources)
			k->resources[i] = k->resources[--k->n_resources];
		return;
	}
	if (i == k->n_resources) {
		v = arena_array(c->a, Model__KubernetesResourceState *, i + 1);
		if (i > 0)
			memcpy(v, k->resources, i * sizeof(*v));
		k->resources = v;
		k->n_resources++;
	}
	k->resources[i] = e->state;
}

static void
patch(struct call *c, const Store__Reply *r)
{
	PIPED(ReportApplicationLiveStateEvents) *q = c->req;
	Model__ApplicationLiveStateSnapshot *s = NULL;
	struct patching *g = c->user;
	const Model__KubernetesResourceStateEvent *e;
	struct buf b = BUF_INIT;
	struct err err;
	bool any = false;
	size_t i;

	if (r->code == STORE__CODE__OK)
		s = (Model__ApplicationLiveStateSnapshot *)msg_unpack(
		    &model__application_live_state_snapshot__descriptor,
		    r->data.data, r->data.len, c->a, 0, &err);
	if (s == NULL || !same(s->piped_id, c->who.id) ||
	    s->kubernetes == NULL || s->version == NULL) {
		patch_failed(c);
		return;
	}
	for (i = 0; i < q->n_kubernetes_events; i++) {
		e = q->kubernetes_events[i];
		if (!same(e->application_id, g->apps[g->i]))
			continue;
		if (e->snapshot_version->timestamp != s->version->timestamp ||
		    e->snapshot_version->index < s->version->index)
			continue; /* of before this snapshot: it is in it */
		patch_one(c, s->kubernetes, e);
		s->version->index = e->snapshot_version->index;
		any = true;
	}
	if (!any) {
		g->i++;
		patch_next(c);
		return;
	}
	msg_pack(&b, &s->base);
	ask_object_put(c, live_key(c, g->apps[g->i]), b.p, b.len, patched);
	buf_free(&b);
}

static void
patch_next(struct call *c)
{
	struct patching *g = c->user;
	Grpc__Service__Pipedservice__ReportApplicationLiveStateEventsResponse res =
	    GRPC__SERVICE__PIPEDSERVICE__REPORT_APPLICATION_LIVE_STATE_EVENTS_RESPONSE__INIT;

	if (g->i < g->n) {
		/* The snapshot says whose it is. */
		ask_object(c, live_key(c, g->apps[g->i]), patch);
		return;
	}
	res.failed_ids = g->failed;
	res.n_failed_ids = g->n_failed;
	reply(c, &res);
}

void
live_events(struct call *c, const void *req)
{
	PIPED(ReportApplicationLiveStateEvents) *q = req;
	struct patching *g = arena_new_of(c->a, struct patching);
	struct map *seen = map_new();
	size_t i;

	g->apps = arena_array(c->a, char *, q->n_kubernetes_events + 1);
	g->failed = arena_array(c->a, char *, q->n_kubernetes_events + 1);
	for (i = 0; i < q->n_kubernetes_events; i++)
		if (map_put(seen, q->kubernetes_events[i]->application_id, g) ==
		    NULL)
			g->apps[g->n++] =
			    q->kubernetes_events[i]->application_id;
	map_free(seen);
	c->user = g;
	patch_next(c);
}

/* --- the latest analysis -------------------------------------------------------------- */

static const char *
analysis_key(struct call *c, const char *app)
{
	return arena_printf(
	    c->a, "latest-analysis-result/%s.pb", component(c->a, app));
}

/* Answer with an object as the message in field 1. */
static void
reply_object(struct call *c, const Store__Reply *r, const char *what)
{
	struct buf b = BUF_INIT;

	if (!went_well(c, r, what))
		return;
	wire_bytes(&b, 1, r->data.data, r->data.len);
	grpc_reply_bytes(c->g, b.p, b.len);
	buf_free(&b);
}

static void
analysis_got(struct call *c, const Store__Reply *r)
{
	reply_object(c, r, "analysis result");
}

static void
analysis_read(struct call *c)
{
	PIPED(GetLatestAnalysisResult) *q = c->req;

	ask_object(c, analysis_key(c, q->application_id), analysis_got);
}

void
analysis_get(struct call *c, const void *req)
{
	PIPED(GetLatestAnalysisResult) *q = req;

	own_application(c, q->application_id, analysis_read);
}

static void
analysis_write(struct call *c)
{
	PIPED(PutLatestAnalysisResult) *q = c->req;
	struct buf b = BUF_INIT;

	msg_pack(&b, &q->analysis_result->base);
	ask_object_put(
	    c, analysis_key(c, q->application_id), b.p, b.len, reply_written);
	buf_free(&b);
}

void
analysis_put(struct call *c, const void *req)
{
	PIPED(PutLatestAnalysisResult) *q = req;

	own_application(c, q->application_id, analysis_write);
}

/* --- what plugins share ----------------------------------------------------------------- */

static const char *
shared_key(struct call *c, const char *app, const char *plugin, const char *key)
{
	return arena_printf(c->a, "application-shared-objects/%s/%s/%s",
	    component(c->a, app), component(c->a, plugin),
	    component(c->a, key));
}

static void
shared_got(struct call *c, const Store__Reply *r)
{
	reply_object(c, r, "shared object");
}

static void
shared_read(struct call *c)
{
	PIPED(GetApplicationSharedObject) *q = c->req;

	ask_object(c, shared_key(c, q->application_id, q->plugin_name, q->key),
	    shared_got);
}

void
shared_get(struct call *c, const void *req)
{
	PIPED(GetApplicationSharedObject) *q = req;

	own_application(c, q->application_id, shared_read);
}

static void
shared_write(struct call *c)
{
	PIPED(PutApplicationSharedObject) *q = c->req;

	ask_object_put(c,
	    shared_key(c, q->application_id, q->plugin_name, q->key),
	    q->object.data, q->object.len, reply_written);
}

void
shared_put(struct call *c, const void *req)
{
	PIPED(PutApplicationSharedObject) *q = req;

	own_application(c, q->application_id, shared_write);
}
