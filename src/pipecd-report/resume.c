/*
 * Unfinished deployments that the control plane knows: asked for once, when
 * the first connection is there.  One that has a journal goes on by itself;
 * one that has none is said until it has (an empty disk).
 */
#include <stdlib.h>
#include <string.h>

#include "door.h"

enum {
	AGAIN_MS = 10000
};

struct left {
	void *p; /* owned; the packed model.Deployment */
	size_t len;
};

static void resume_ask(struct door *d);

static void
left_drop(struct door *d, const char *id)
{
	struct left *l = map_del(d->resumes.by_id, id);

	if (l == NULL)
		return;
	free(l->p);
	free(l);
}

static void
take(struct door *d, Model__Deployment *m)
{
	struct buf b = BUF_INIT;
	struct left *l;

	if (m->id[0] == '\0' || map_get(d->resumes.by_id, m->id) != NULL)
		return;
	if (follow_has(d, m->id)) {
		/* Ended here, and not there: it lost what we told it. */
		follow_again(d, m->id);
		return;
	}
	log_info(m->id,
	    "the control plane has it as %s, and there is no journal of it: "
	    "it is taken up again app=%s",
	    msg_enum_name(&model__deployment_status__descriptor, (int)m->status,
		MSG_FRAME),
	    m->application_name);
	m->updated_at = wall_s();
	msg_pack(&b, &m->base);
	l = xcalloc(1, sizeof(*l));
	l->p = xcalloc(1, b.len + 1);
	memcpy(l->p, b.p, b.len);
	l->len = b.len;
	buf_free(&b);
	map_put(d->resumes.by_id, m->id, l);
	d->resumes.due_at = now_ms();
}

static void
listed(struct door *d, struct call *c, int code, const char *text,
    const ProtobufCMessage *res, struct arena *a)
{
	const Grpc__Service__Pipedservice__ListNotCompletedDeploymentsResponse
	    *r = (const void *)res;
	size_t i;

	(void)c;
	(void)a;
	if (code != GRPC_OK) {
		log_warn("-", "ListNotCompletedDeployments: %s: %s",
		    grpc_code_name(code), text);
		return;
	}
	for (i = 0; i < r->n_deployments; i++)
		take(d, r->deployments[i]);
	free(d->resumes.cursor);
	d->resumes.cursor = NULL;
	if (r->cursor[0] != '\0' && r->n_deployments > 0) {
		d->resumes.cursor = xstrdup(r->cursor);
		resume_ask(d);
		return;
	}
	d->resumes.told = true;
}

static void
resume_ask(struct door *d)
{
	Grpc__Service__Pipedservice__ListNotCompletedDeploymentsRequest m =
	    GRPC__SERVICE__PIPEDSERVICE__LIST_NOT_COMPLETED_DEPLOYMENTS_REQUEST__INIT;
	struct call *c = &d->resumes.list;

	if (d->resumes.cursor != NULL)
		m.cursor = d->resumes.cursor;
	c->method = "ListNotCompletedDeployments";
	c->res =
	    &grpc__service__pipedservice__list_not_completed_deployments_response__descriptor;
	c->read = c->identity = true;
	c->done = listed;
	plane_call(d, c, &m.base);
}

void
resume_tick(struct door *d)
{
	Frame__Resume f = FRAME__RESUME__INIT;
	const char *id;
	struct err e;
	size_t i = 0;
	void *v;

	/* Who has journals must have been seen, and what is registered said. */
	if (!d->resumes.asked && plane_ready(d) && d->regs.fresh &&
	    d->journal != -1) {
		d->resumes.asked = true;
		resume_ask(d);
	}
	if (d->resumes.due_at == 0 || now_ms() < d->resumes.due_at)
		return;
	d->resumes.due_at = 0;
	while (map_next(d->resumes.by_id, &i, &id, &v)) {
		struct left *l = v;

		if (follow_has(d, id)) {
			left_drop(d, id);
			continue;
		}
		d->resumes.due_at = now_ms() + AGAIN_MS;
		if (d->plane.fenced != NULL)
			continue;
		f.deployment = (Model__Deployment *)(void *)msg_unpack(
		    &model__deployment__descriptor, l->p, l->len, d->turn, 0,
		    &e);
		if (f.deployment != NULL)
			door_tell(d, FRAME_OF(resume, &f));
	}
}

void
resume_open(struct door *d)
{
	d->resumes.by_id = map_new();
}

void
resume_close(struct door *d)
{
	const char *id;
	size_t i = 0;
	void *v;

	if (d->resumes.by_id == NULL)
		return;
	plane_drop(d, &d->resumes.list);
	while (map_next(d->resumes.by_id, &i, &id, &v))
		left_drop(d, id);
	map_free(d->resumes.by_id);
	free(d->resumes.cursor);
}
