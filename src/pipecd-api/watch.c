/* WatchDeployment: its state, again each time that it changes, to its end. */
#include <stdlib.h>
#include <string.h>

#include "api.h"

#define API(name) const Grpc__Service__Apiservice__##name##Request

enum {
	SLOW_MAX = 1 << 20
};

struct watcher {
	struct watchers *of;
	struct call *call; /* NULL: it has ended, the store will come back */
	char *id;	   /* owned */
	uint64_t version;  /* that was said last */
	bool asking, again;
	struct watcher *next, **at;
};

struct watchers {
	struct api *api;
	struct map *ids; /* deployment id -> watchers, a list */
};

struct watchers *
watchers_new(struct api *api)
{
	struct watchers *x = xcalloc(1, sizeof(*x));

	x->api = api;
	x->ids = map_new();
	return x;
}

static void
finish(struct watcher *w, int code, const char *why)
{
	struct call *c = w->call;

	if (c == NULL)
		return;
	if (w->at != NULL)
		*w->at = w->next;
	else if (w->next != NULL)
		map_put(w->of->ids, w->id, w->next);
	else
		map_del(w->of->ids, w->id);
	if (w->next != NULL)
		w->next->at = w->at;
	w->call = NULL;
	c->g->on_gone = NULL;
	grpc_reply_status(c->g, code, "%s", why);
	if (w->asking)
		return; /* freed when the store is back */
	free(w->id);
	free(w);
}

static void
gone(struct grpc_call *g)
{
	finish(g->user, GRPC_CANCELLED, "nobody watches any more");
}

static void look(struct watcher *w);

static void
looked(void *arg, const Store__Reply *r, struct arena *a)
{
	struct watcher *w = arg;
	const Store__Record *rec;
	Model__Deployment *d;
	struct buf b = BUF_INIT;
	struct err e;
	size_t behind;

	w->asking = false;
	if (w->call == NULL) {
		free(w->id);
		free(w);
		return;
	}
	if (r->code == STORE__CODE__NOT_FOUND) {
		finish(w, GRPC_NOT_FOUND, "The deployment is not found");
		return;
	}
	if (r->code != STORE__CODE__OK || r->n_records != 1) {
		finish(w, GRPC_UNAVAILABLE, "the store does not answer");
		return;
	}
	rec = r->records[0];
	d = (Model__Deployment *)msg_unpack(&model__deployment__descriptor,
	    rec->value.data, rec->value.len, a, 0, &e);
	if (d == NULL || !same(d->project_id, w->call->who.project)) {
		finish(w, GRPC_NOT_FOUND, "The deployment is not found");
		return;
	}
	if (rec->version != w->version) {
		w->version = rec->version;
		wire_bytes(&b, 1, rec->value.data, rec->value.len);
		behind = grpc_send_bytes(w->call->g, b.p, b.len);
		buf_free(&b);
		if (behind > SLOW_MAX) {
			finish(w, GRPC_UNAVAILABLE, "too slow a reader");
			return;
		}
	}
	if (deployment_done((int)d->status))
		finish(w, GRPC_OK, "");
	else if (w->again)
		look(w);
}

static void
look(struct watcher *w)
{
	Store__Request q = STORE__REQUEST__INIT;
	Store__Get g = STORE__GET__INIT;

	w->again = w->asking;
	if (w->asking)
		return;
	g.table = (char *)(uintptr_t) "deployment";
	g.ids = &w->id;
	g.n_ids = 1;
	STORE_ASK(&q, GET, get, &g);
	w->asking = true;
	store_send(w->of->api->store, &q, STORE_MS, looked, w);
}

void
watch_deployment(struct call *c, const void *req)
{
	API(GetDeployment) *q = req;
	struct watchers *x = c->api->watchers;
	struct watcher *w;

	if (empty(q->deployment_id)) {
		refuse(c, GRPC_INVALID_ARGUMENT,
		    "deployment_id: must not be empty");
		return;
	}
	if (c->g->gone || c->api->draining) {
		refuse(c, GRPC_UNAVAILABLE, "the control plane is ending");
		return;
	}
	w = xcalloc(1, sizeof(*w));
	w->of = x;
	w->call = c;
	w->id = xstrdup(q->deployment_id);
	w->next = map_put(x->ids, w->id, w);
	if (w->next != NULL)
		w->next->at = &w->next;
	c->g->user = w;
	c->g->on_gone = gone;
	look(w);
}

void
watchers_change(struct watchers *x, const char *id)
{
	struct watcher *w, *next;

	for (w = map_get(x->ids, id); w != NULL; w = next) {
		next = w->next;
		look(w);
	}
}

void
watchers_lost(struct watchers *x)
{
	struct watcher *w;
	const char *k;
	size_t i;
	void *v;

	for (i = 0; map_next(x->ids, &i, &k, &v);)
		for (w = v; w != NULL; w = w->next)
			look(w);
}

void
watchers_end(struct watchers *x)
{
	const char *k;
	size_t i;
	void *v;

	for (i = 0; map_next(x->ids, &i, &k, &v);)
		while ((v = map_get(x->ids, k)) != NULL &&
		       ((struct watcher *)v)->next != NULL)
			finish(
			    v, GRPC_UNAVAILABLE, "the control plane is ending");
	for (i = 0; map_next(x->ids, &i, &k, &v);)
		finish(v, GRPC_UNAVAILABLE, "the control plane is ending");
}

void
watchers_free(struct watchers *x)
{
	if (x == NULL)
		return;
	watchers_end(x);
	map_free(x->ids);
	free(x);
}
