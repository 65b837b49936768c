/*
 * Watch: commands and news from our own control plane as they come.  One that
 * does not know the method is PipeCD's, and is polled.
 */
#include <stdlib.h>
#include <string.h>

#include "door.h"

static void watch_call(void *arg);

enum {
	WATCH_PAUSE_MS = 1000,
	WATCH_PAUSE_MAX_MS = 30000
};

static void
watch_later(struct door *d)
{
	struct plane *w = &d->plane;
	int64_t ms;

	w->watch_pause_ms =
	    w->watch_pause_ms == 0 ? WATCH_PAUSE_MS : w->watch_pause_ms * 2;
	if (w->watch_pause_ms > WATCH_PAUSE_MAX_MS)
		w->watch_pause_ms = WATCH_PAUSE_MAX_MS;
	ms = w->watch_pause_ms;
	ms = ms / 2 + (int64_t)((uint64_t)random() % (uint64_t)ms);
	loop_timer(d->loop, &w->watch_timer, now_ms() + ms, watch_call, d);
}

static void
silence(void *arg)
{
	struct door *d = arg;

	log_warn("-", "control plane %s has been silent for %lld s",
	    d->conf->api_address, (long long)d->plane.alive_ms / 1000);
	watch_stop(d);
	watch_later(d);
}

static void
hello(struct door *d, const Pipecd__Agent__Hello *h)
{
	struct plane *w = &d->plane;

	w->hello = w->known = w->ours = true;
	w->watch_pause_ms = 0;
	w->epoch = h->epoch;
	plane_good(d);
	w->alive_ms = h->alive_s > 0 ? (int64_t)h->alive_s * 3000 : 180000;
	log_info("-", "control plane %s greets version=%s epoch=%llu",
	    d->conf->api_address, h->server, (unsigned long long)h->epoch);
	orders_take(d, h->commands, h->n_commands);
	regs_ask(d);
	plane_kick(d);
}

static void
pushed(struct door *d, const Pipecd__Agent__Pushes *p)
{
	Frame__Nudge f = FRAME__NUDGE__INIT;
	const struct conf_repo *r;
	size_t i, k, n;
	bool hit;

	for (i = 0; i < p->n_pushes; i++) {
		for (k = 0; k < d->conf->n_repositories; k++) {
			r = &d->conf->repositories[k];
			hit = strcmp(r->id, p->pushes[i]->repo_id) == 0;
			for (n = 0; n < p->pushes[i]->n_remotes && !hit; n++)
				hit = strcmp(r->remote,
					  p->pushes[i]->remotes[n]) == 0;
			if (!hit)
				continue;
			f.repo = arena_strdup(d->turn, r->id);
			door_tell(d, FRAME_OF(nudge, &f));
		}
	}
}

/* After Hello: what nobody told us while we were away. */
static void
look_at_all(struct door *d)
{
	Frame__Nudge f = FRAME__NUDGE__INIT;
	size_t k;

	for (k = 0; k < d->conf->n_repositories; k++) {
		f.repo = arena_strdup(d->turn, d->conf->repositories[k].id);
		door_tell(d, FRAME_OF(nudge, &f));
	}
}

static void
said(void *arg, const void *bytes, size_t len)
{
	struct door *d = arg;
	struct arena *a = arena_new();
	Pipecd__Agent__WatchResponse *m;
	struct err e;

	m = (Pipecd__Agent__WatchResponse *)(void *)msg_unpack(
	    &pipecd__agent__watch_response__descriptor, bytes, len, a, 0, &e);
	if (m == NULL) {
		log_warn("-", "Watch: %s", e.text);
		goto out;
	}
	if (m->hello != NULL) {
		hello(d, m->hello);
		look_at_all(d);
	}
	if (m->commands != NULL)
		orders_take(d, m->commands->commands, m->commands->n_commands);
	if (m->applications != NULL)
		regs_ask(d);
	if (m->chains != NULL)
		orders_chains(d);
	if (m->pushes != NULL)
		pushed(d, m->pushes);
	if (d->plane.alive_ms > 0)
		loop_timer(d->loop, &d->plane.watch_timer,
		    now_ms() + d->plane.alive_ms, silence, d);
	arena_reset(d->turn);
out:
	arena_free(a);
}

static void
ended(void *arg, const struct grpc_answer *r)
{
	struct door *d = arg;
	struct plane *w = &d->plane;

	w->watch = NULL;
	w->hello = false;
	loop_timer_stop(d->loop, &w->watch_timer);
	if (r->code == GRPC_UNIMPLEMENTED) {
		if (!w->known || w->ours)
			log_info("-",
			    "control plane %s is PipeCD's: asking it for "
			    "commands each 5 s",
			    d->conf->api_address);
		w->known = true;
		w->ours = false;
		plane_good(d);
		plane_kick(d);
		return;
	}
	if (r->code == GRPC_FAILED_PRECONDITION &&
	    str_prefix(r->message, "fenced: ")) {
		plane_fenced(d, r->message);
		return;
	}
	log_debug("-", "Watch: %s: %s", grpc_code_name(r->code), r->message);
	if (r->code == GRPC_UNAUTHENTICATED ||
	    r->code == GRPC_PERMISSION_DENIED) {
		plane_refused(d, r->code, r->message);
		return; /* it is called again after the pause */
	}
	if (w->up)
		watch_later(d);
}

static void
watch_call(void *arg)
{
	struct door *d = arg;
	struct plane *w = &d->plane;
	Pipecd__Agent__WatchRequest m = PIPECD__AGENT__WATCH_REQUEST__INIT;
	struct buf b = BUF_INIT;
	struct grpc_ask ask = { .path = "/pipecd.agent.AgentService/Watch",
		.message = said,
		.done = ended,
		.arg = d };

	if (w->watch != NULL || !plane_ready(d) || w->fenced != NULL)
		return;
	m.instance = w->instance;
	m.epoch = w->epoch;
	m.version = arena_strdup(d->turn, door_version());
	msg_pack(&b, &m.base);
	ask.bytes = b.p;
	ask.len = b.len;
	w->watch = grpc_client_call(w->client, &ask);
	buf_free(&b);
}

void
watch_start(struct door *d)
{
	watch_call(d);
}

void
watch_stop(struct door *d)
{
	if (d->plane.watch != NULL)
		grpc_cancel(d->plane.watch);
	d->plane.watch = NULL;
	d->plane.hello = false;
	loop_timer_stop(d->loop, &d->plane.watch_timer);
}
