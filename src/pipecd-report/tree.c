/*
 * Live state: the newest of an application, when it is news.  It is kept
 * nowhere here: drift says it again.
 */
#include <stdlib.h>
#include <string.h>

#include "door.h"

enum {
	TREES_MAX = 64,		/* on their way at once */
	TREE_AGAIN_MS = 600000, /* as often as PipeCD's agent sends all */
};

struct tree {
	struct call call;
	char *id; /* owned */
};

static void
told(struct door *d, struct call *c, int code, const char *text,
    const ProtobufCMessage *res, struct arena *a)
{
	struct tree *t = c->owner;
	struct reg *r = regs_get(d, t->id);

	(void)res;
	(void)a;
	if (code != GRPC_OK) {
		log_warn("-", "ReportApplicationLiveState of %s: %s: %s", t->id,
		    grpc_code_name(code), text);
		if (r != NULL)
			r->tree = 0;
	}
	d->n_trees--;
	free(t->id);
	free(t);
}

static int
health(int live)
{
	switch (live) {
	case MODEL__APPLICATION_LIVE_STATE__STATUS__HEALTHY:
		return MODEL__APPLICATION_LIVE_STATE_SNAPSHOT__STATUS__HEALTHY;
	case MODEL__APPLICATION_LIVE_STATE__STATUS__OTHER:
		return MODEL__APPLICATION_LIVE_STATE_SNAPSHOT__STATUS__OTHER;
	default:
		return MODEL__APPLICATION_LIVE_STATE_SNAPSHOT__STATUS__UNKNOWN;
	}
}

void
tree_live(struct door *d, const Frame__Live *f)
{
	Grpc__Service__Pipedservice__ReportApplicationLiveStateRequest m =
	    GRPC__SERVICE__PIPEDSERVICE__REPORT_APPLICATION_LIVE_STATE_REQUEST__INIT;
	Model__ApplicationLiveStateSnapshot s =
	    MODEL__APPLICATION_LIVE_STATE_SNAPSHOT__INIT;
	Model__ApplicationLiveStateVersion v =
	    MODEL__APPLICATION_LIVE_STATE_VERSION__INIT;
	struct reg *r = regs_get(d, f->application_id);
	struct buf b = BUF_INIT;
	struct tree *t;
	uint64_t h;

	if (r == NULL || !plane_ready(d) || !d->plane.known ||
	    d->plane.fenced != NULL || d->n_trees >= TREES_MAX)
		return;
	msg_pack(&b, &f->application_live_state->base);
	h = hash_more(0, b.p, b.len);
	buf_free(&b);
	if (r->tree == h && now_ms() - r->tree_at < TREE_AGAIN_MS)
		return;
	r->tree = h;
	r->tree_at = now_ms();
	s.application_id = r->id;
	s.piped_id = arena_strdup(d->turn, d->conf->piped_id);
	s.project_id = arena_strdup(d->turn, d->conf->project_id);
	s.application_live_state = f->application_live_state;
	s.health_status = (Model__ApplicationLiveStateSnapshot__Status)health(
	    (int)f->application_live_state->health_status);
	s.version = &v;
	v.timestamp = wall_s();
	m.snapshot = &s;
	t = xcalloc(1, sizeof(*t));
	t->id = xstrdup(r->id);
	t->call.method = "ReportApplicationLiveState";
	t->call.done = told;
	t->call.owner = t;
	d->n_trees++;
	plane_call(d, &t->call, &m.base);
}
