/*
 * Agents that watch: what service/agent.proto promises them, and who of two
 * with one identity may write.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"

enum {
	SLOW_MAX = 1 << 20, /* bytes that a reader may be behind */
	TICK_MS = 5000
};

struct agents;
struct agent {
	struct agents *of;
	struct call *call; /* NULL: it has ended, somebody still holds us */
	char *piped_id;	   /* owned */
	uint64_t epoch;
	bool greeted;	/* Hello was said */
	bool again;	/* something changed before that */
	unsigned holds; /* questions to the store that will come back to us */
	int64_t said_ms;
	struct agent *same, **same_at; /* of the same id */
	struct agent *next, **at;      /* of all */
};

struct agents {
	struct api *api;
	struct map *ids;    /* piped id -> agents, a list */
	struct map *epochs; /* piped id -> the highest epoch, as far as known */
	struct agent *all;
	size_t n;
};

struct agents *
agents_new(struct api *api)
{
	struct agents *x = xcalloc(1, sizeof(*x));

	x->api = api;
	x->ids = map_new();
	x->epochs = map_new();
	return x;
}

size_t
agents_count(const struct agents *x)
{
	return x->n;
}

/* --- the life of one -------------------------------------------------------------- */

static void
agent_free(void *p)
{
	struct agent *g = p;

	free(g->piped_id);
	free(g);
}

/* Whoever speaks to one may end it: its memory stays for this turn. */
static void
release(struct agent *g)
{
	if (g->call == NULL && g->holds == 0)
		loop_free_later(g->of->api->loop, agent_free, g);
}

static void
unlink_agent(struct agent *g)
{
	struct agents *x = g->of;

	*g->at = g->next;
	if (g->next != NULL)
		g->next->at = g->at;
	if (g->same_at != NULL)
		*g->same_at = g->same;
	else if (g->same != NULL)
		map_put(x->ids, g->piped_id, g->same);
	else
		map_del(x->ids, g->piped_id);
	if (g->same != NULL)
		g->same->same_at = g->same_at;
	x->n--;
}

static void
link_agent(struct agents *x, struct agent *g)
{
	g->next = x->all;
	g->at = &x->all;
	if (g->next != NULL)
		g->next->at = &g->next;
	x->all = g;
	g->same = map_put(x->ids, g->piped_id, g);
	if (g->same != NULL)
		g->same->same_at = &g->same;
	x->n++;
}

/* End its stream. */
static void
finish(struct agent *g, int code, const char *why)
{
	struct call *c = g->call;

	if (c == NULL)
		return;
	unlink_agent(g);
	g->call = NULL;
	c->g->on_gone = NULL;
	grpc_reply_status(c->g, code, "%s", why);
	release(g);
}

static void
gone(struct grpc_call *gc)
{
	struct agent *g = gc->user;

	finish(g, GRPC_CANCELLED, "the agent has gone");
}

static void
say(struct agent *g, Pipecd__Agent__WatchResponse *m)
{
	size_t behind;

	if (g->call == NULL)
		return;
	behind = grpc_send(g->call->g, &m->base);
	g->said_ms = loop_now(g->of->api->loop);
	if (behind > SLOW_MAX)
		finish(g, GRPC_UNAVAILABLE, "the agent reads too slowly");
}

static void
say_changed(struct agent *g, size_t offset)
{
	Pipecd__Agent__WatchResponse m = PIPECD__AGENT__WATCH_RESPONSE__INIT;
	Pipecd__Agent__Changed ch = PIPECD__AGENT__CHANGED__INIT;

	if (!g->greeted)
		return; /* it looks at everything after Hello */
	*(Pipecd__Agent__Changed **)(void *)((char *)&m + offset) = &ch;
	say(g, &m);
}
#define SAY(g, field) \
	say_changed((g), offsetof(Pipecd__Agent__WatchResponse, field))

/* Ask the store on behalf of an agent, who may have gone when it answers. */
static void
ask_for(struct agent *g, const Store__Request *q,
    void (*done)(void *arg, const Store__Reply *r, struct arena *a))
{
	g->holds++;
	store_send(g->of->api->store, q, STORE_MS, done, g);
}

/* Back from the store; false: it has gone, and so have we. */
static bool
back(struct agent *g)
{
	g->holds--;
	if (g->call != NULL)
		return true;
	release(g);
	return false;
}

/* --- commands ---------------------------------------------------------------------- */

static void
ask_commands(struct agent *g,
    void (*done)(void *arg, const Store__Reply *r, struct arena *a))
{
	Store__Filter id = STORE__FILTER__INIT, status = STORE__FILTER__INIT;
	Store__Filter *filters[] = { &id, &status };
	Store__Request q = STORE__REQUEST__INIT;
	Store__List l = STORE__LIST__INIT;
	char zero[] = "0", *zeros[] = { zero };

	id.field = (char *)(uintptr_t) "piped_id";
	id.values = &g->piped_id;
	id.n_values = 1;
	status.field = (char *)(uintptr_t) "status";
	status.values = zeros;
	status.n_values = 1;
	l.table = (char *)(uintptr_t) "command";
	l.filters = filters;
	l.n_filters = NITEMS(filters);
	l.ascending = true;
	l.limit = PAGE_MAX;
	STORE_ASK(&q, LIST, list, &l);
	ask_for(g, &q, done);
}

/* The commands of an answer that are still to be handled. */
static Model__Command **
commands_of(const Store__Reply *r, struct arena *a, size_t *n)
{
	Model__Command **v = arena_array(a, Model__Command *, r->n_records + 1);
	Model__Command *m;
	struct err e;
	size_t i;

	for (*n = 0, i = 0; i < r->n_records; i++) {
		m = (Model__Command *)msg_unpack(&model__command__descriptor,
		    r->records[i]->value.data, r->records[i]->value.len, a, 0,
		    &e);
		if (m != NULL &&
		    m->status == MODEL__COMMAND_STATUS__COMMAND_NOT_HANDLED_YET)
			v[(*n)++] = m;
	}
	return v;
}

static void
commands_again(void *arg, const Store__Reply *r, struct arena *a)
{
	Pipecd__Agent__WatchResponse m = PIPECD__AGENT__WATCH_RESPONSE__INIT;
	Pipecd__Agent__Commands cs = PIPECD__AGENT__COMMANDS__INIT;
	struct agent *g = arg;

	if (!back(g))
		return;
	if (r->code != STORE__CODE__OK) {
		finish(g, GRPC_UNAVAILABLE, "the store does not answer");
		return;
	}
	cs.commands = commands_of(r, a, &cs.n_commands);
	m.commands = &cs;
	if (cs.n_commands > 0)
		say(g, &m);
}

static void
greet(void *arg, const Store__Reply *r, struct arena *a)
{
	Pipecd__Agent__WatchResponse m = PIPECD__AGENT__WATCH_RESPONSE__INIT;
	Pipecd__Agent__Hello h = PIPECD__AGENT__HELLO__INIT;
	struct agent *g = arg;

	if (!back(g))
		return;
	if (r->code != STORE__CODE__OK) {
		finish(g, GRPC_UNAVAILABLE, "the store does not answer");
		return;
	}
	h.epoch = g->epoch;
	h.alive_s = ALIVE_S;
	h.server = (char *)(uintptr_t)api_version();
	h.commands = commands_of(r, a, &h.n_commands);
	m.hello = &h;
	g->greeted = true;
	say(g, &m);
	if (g->call != NULL && g->again)
		ask_commands(g, commands_again);
}

/* --- epochs --------------------------------------------------------------------------- */

static void
epoch_know(struct agents *x, const char *piped_id, uint64_t epoch)
{
	uint64_t *e = map_get(x->epochs, piped_id);

	if (e == NULL) {
		e = xcalloc(1, sizeof(*e));
		map_put(x->epochs, piped_id, e);
	}
	*e = epoch;
}

static void
epoch_forget(struct agents *x, const char *piped_id)
{
	free(map_del(x->epochs, piped_id));
}

static void
epochs_forget(struct agents *x)
{
	const char *k;
	size_t i;
	void *v;

	for (i = 0; map_next(x->epochs, &i, &k, &v);)
		epoch_forget(x, k);
}

static char *
lease_id(struct arena *a, const char *piped_id)
{
	return arena_printf(a, "piped/%s", piped_id);
}

/* 0: there is none; else the lease in the arena. */
static const Store__Lease *
lease_of(const Store__Reply *r, struct arena *a)
{
	struct err e;

	if (r->n_records == 0 || r->records[0]->version == 0)
		return NULL;
	return (const Store__Lease *)msg_unpack(&store__lease__descriptor,
	    r->records[0]->value.data, r->records[0]->value.len, a, 0, &e);
}

static const char fenced[] =
    "fenced: a newer agent with this identity has started; this one must not "
    "go on";

/* All older ones end when a newer one is there. */
static void
fence(struct agents *x, const char *piped_id, uint64_t epoch)
{
	struct agent *g = map_get(x->ids, piped_id), *next;

	for (; g != NULL; g = next) {
		next = g->same;
		if (g->epoch != 0 && g->epoch < epoch)
			finish(g, GRPC_FAILED_PRECONDITION, fenced);
	}
}

struct fencing {
	struct call *c;
	uint64_t epoch;
	void (*then)(struct call *c);
};

static void
fence_read(struct call *c, const Store__Reply *r)
{
	struct fencing *f = c->user;
	const Store__Lease *l;
	uint64_t epoch;

	if (r->code != STORE__CODE__NOT_FOUND && !went_well(c, r, "lease"))
		return;
	l = r->code == STORE__CODE__OK ? lease_of(r, c->a) : NULL;
	epoch = l == NULL ? 0 : (uint64_t)l->epoch;
	epoch_know(c->api->agents, c->who.id, epoch);
	c->user = NULL;
	if (f->epoch < epoch)
		refuse(c, GRPC_FAILED_PRECONDITION, "%s", fenced);
	else
		f->then(c);
}

void
fence_check(struct call *c, void (*then)(struct call *c))
{
	const char *s = grpc_call_header(c->g, "pipecd-epoch");
	struct fencing *f;
	uint64_t *known, epoch;
	char *end;

	if (s == NULL) { /* an agent of PipeCD */
		then(c);
		return;
	}
	epoch = strtoull(s, &end, 10);
	if (end == s || *end != '\0' || *s == '-' || epoch == 0 ||
	    epoch > INT64_MAX) {
		refuse(c, GRPC_INVALID_ARGUMENT,
		    "pipecd-epoch: \"%.40s\" is no epoch", s);
		return;
	}
	known = map_get(c->api->agents->epochs, c->who.id);
	if (known != NULL && *known == epoch) {
		then(c);
		return;
	}
	if (known != NULL && *known > epoch) {
		refuse(c, GRPC_FAILED_PRECONDITION, "%s", fenced);
		return;
	}
	f = arena_new_of(c->a, struct fencing);
	*f = (struct fencing){ c, epoch, then };
	c->user = f;
	ask_get(c, "lease", lease_id(c->a, c->who.id), fence_read);
}

/* --- Watch ----------------------------------------------------------------------------- */

struct watching {
	const Pipecd__Agent__WatchRequest *q;
	uint64_t epoch;
	uint64_t version; /* of the lease, 0: there is none */
	int tries;
};

static void
watch_open(struct call *c, uint64_t epoch)
{
	struct agents *x = c->api->agents;
	struct agent *g;

	epoch_know(x, c->who.id, epoch);
	fence(x, c->who.id, epoch);
	if (c->g->gone || c->api->draining) {
		refuse(c, GRPC_UNAVAILABLE, "the control plane is ending");
		return;
	}
	g = xcalloc(1, sizeof(*g));
	g->of = x;
	g->call = c;
	g->piped_id = xstrdup(c->who.id);
	g->epoch = epoch;
	g->said_ms = loop_now(c->api->loop);
	link_agent(x, g);
	c->g->user = g;
	c->g->on_gone = gone;
	ask_commands(g, greet);
}

static void lease_got(struct call *c, const Store__Reply *r);

static void
lease_written(struct call *c, const Store__Reply *r)
{
	struct watching *w = c->user;

	if ((r->code == STORE__CODE__CONFLICT ||
		r->code == STORE__CODE__ALREADY_EXISTS ||
		r->code == STORE__CODE__UNAVAILABLE) &&
	    ++w->tries < TRIES) {
		ask_get(c, "lease", lease_id(c->a, c->who.id), lease_got);
		return;
	}
	if (went_well(c, r, "lease"))
		watch_open(c, w->epoch);
}

static void
lease_got(struct call *c, const Store__Reply *r)
{
	struct watching *w = c->user;
	const Store__Lease *l = NULL;
	Store__Lease mine = STORE__LEASE__INIT;
	struct ops ops = { .n = 0 };

	if (r->code != STORE__CODE__NOT_FOUND && !went_well(c, r, "lease"))
		return;
	if (r->code == STORE__CODE__OK)
		l = lease_of(r, c->a);
	if (l != NULL && same(l->owner, w->q->instance)) {
		watch_open(c, (uint64_t)l->epoch);
		return;
	}
	if (w->q->epoch != 0 && l != NULL && w->q->epoch < (uint64_t)l->epoch) {
		refuse(c, GRPC_FAILED_PRECONDITION, "%s", fenced);
		return;
	}
	/* An epoch that we do not know was lost with a restored store. */
	w->epoch = w->q->epoch != 0 ? w->q->epoch
		   : l != NULL	    ? (uint64_t)l->epoch + 1
				    : 1;
	mine.id = lease_id(c->a, c->who.id);
	mine.owner = w->q->instance;
	mine.epoch = (int64_t)w->epoch;
	mine.project_id = (char *)(uintptr_t)c->who.project;
	ops_add(c, &ops,
	    l == NULL ? STORE__OP__KIND__CREATE : STORE__OP__KIND__UPDATE,
	    "lease", &mine, l == NULL ? 0 : r->records[0]->version);
	ops_write(c, &ops, lease_written);
}

void
agent_watch(struct call *c, const void *req)
{
	const Pipecd__Agent__WatchRequest *q = req;
	struct watching *w = arena_new_of(c->a, struct watching);

	if (empty(q->instance) || strlen(q->instance) > 64) {
		refuse(c, GRPC_INVALID_ARGUMENT, "instance: must be a UUID");
		return;
	}
	if (q->epoch > INT64_MAX / 2) {
		refuse(c, GRPC_INVALID_ARGUMENT, "epoch: is none of ours");
		return;
	}
	w->q = q;
	c->user = w;
	ask_get(c, "lease", lease_id(c->a, c->who.id), lease_got);
}

/* --- changes --------------------------------------------------------------------------- */

static void
command_got(void *arg, const Store__Reply *r, struct arena *a)
{
	Pipecd__Agent__WatchResponse m = PIPECD__AGENT__WATCH_RESPONSE__INIT;
	Pipecd__Agent__Commands cs = PIPECD__AGENT__COMMANDS__INIT;
	struct agent *g = arg;

	if (!back(g))
		return;
	if (r->code == STORE__CODE__NOT_FOUND)
		return;
	if (r->code != STORE__CODE__OK) {
		finish(g, GRPC_UNAVAILABLE, "the store does not answer");
		return;
	}
	cs.commands = commands_of(r, a, &cs.n_commands);
	m.commands = &cs;
	if (cs.n_commands == 0)
		return;
	if (!g->greeted)
		g->again = true;
	else
		say(g, &m);
}

static void
get_for(struct agent *g, const char *table, const char *id,
    void (*done)(void *arg, const Store__Reply *r, struct arena *a))
{
	char *ids[] = { (char *)(uintptr_t)id };
	Store__Request q = STORE__REQUEST__INIT;
	Store__Get get = STORE__GET__INIT;

	get.table = (char *)(uintptr_t)table;
	get.ids = ids;
	get.n_ids = 1;
	STORE_ASK(&q, GET, get, &get);
	ask_for(g, &q, done);
}

static void
lease_again(void *arg, const Store__Reply *r, struct arena *a)
{
	struct agent *g = arg;
	struct agents *x = g->of;
	const Store__Lease *l;
	char *id;

	if (!back(g) || r->code != STORE__CODE__OK ||
	    (l = lease_of(r, a)) == NULL)
		return;
	id = arena_strdup(a, g->piped_id);
	epoch_know(x, id, (uint64_t)l->epoch);
	fence(x, id, (uint64_t)l->epoch);
}

static void
lease_changed(struct agents *x, const char *piped_id)
{
	struct agent *g = map_get(x->ids, piped_id);
	struct buf id = BUF_INIT;

	epoch_forget(x, piped_id);
	if (g == NULL)
		return;
	buf_printf(&id, "piped/%s", piped_id);
	get_for(g, "lease", id.p, lease_again);
	buf_free(&id);
}

/* Its key may have been removed, or it may have been disabled. */
static void
still_welcome(void *arg, int code, const char *why, const struct caller *who)
{
	struct agent *g = arg;

	(void)who;
	if (!back(g))
		return;
	if (code == GRPC_OK)
		SAY(g, piped);
	else if (code == GRPC_UNAUTHENTICATED || code == GRPC_PERMISSION_DENIED)
		finish(g, code, why);
}

static void
piped_changed(struct agents *x, const char *piped_id)
{
	struct agent *g = map_get(x->ids, piped_id), *next;

	auth_forget(x->api->auth, piped_id);
	for (; g != NULL; g = next) {
		next = g->same;
		g->holds++;
		auth_check(
		    x->api->auth, g->call->g->authorization, still_welcome, g);
	}
}

static void
of_project(struct agents *x, const char *project,
    void (*what)(struct agent *g, const char *id), const char *id)
{
	struct agent *g, *next;

	for (g = x->all; g != NULL; g = next) {
		next = g->next;
		if (same(g->call->who.project, project))
			what(g, id);
	}
}

static void
say_events(struct agent *g, const char *id)
{
	(void)id;
	SAY(g, events);
}

static void
say_chain(struct agent *g, const char *id)
{
	Pipecd__Agent__WatchResponse m = PIPECD__AGENT__WATCH_RESPONSE__INIT;
	Pipecd__Agent__ChainsChanged ch = PIPECD__AGENT__CHAINS_CHANGED__INIT;
	char *ids[] = { (char *)(uintptr_t)id };

	if (!g->greeted)
		return;
	ch.ids = ids;
	ch.n_ids = 1;
	m.chains = &ch;
	say(g, &m);
}

static void
application_changed(struct agents *x, const Store__Change *ch)
{
	struct agent *g, *next;

	owners_forget(x->api->owners, ch->id);
	for (g = map_get(x->ids, or_empty(ch->piped_id)); g != NULL; g = next) {
		next = g->same;
		SAY(g, applications);
	}
}

void
agents_change(struct agents *x, const Store__Change *ch)
{
	struct agent *g, *next;

	if (same(ch->table, "command")) {
		for (g = map_get(x->ids, or_empty(ch->piped_id)); g != NULL;
		     g = next) {
			next = g->same;
			get_for(g, "command", ch->id, command_got);
		}
	} else if (same(ch->table, "application")) {
		application_changed(x, ch);
	} else if (same(ch->table, "deployment_chain")) {
		of_project(x, ch->project_id, say_chain, ch->id);
	} else if (same(ch->table, "event")) {
		of_project(x, ch->project_id, say_events, NULL);
	} else if (same(ch->table, "piped")) {
		piped_changed(x, ch->id);
	} else if (same(ch->table, "lease")) {
		if (str_prefix(ch->id, "piped/"))
			lease_changed(x, ch->id + strlen("piped/"));
	}
}

void
agents_lost(struct agents *x)
{
	struct agent *g, *next;

	epochs_forget(x);
	for (g = x->all; g != NULL; g = next) {
		next = g->next;
		if (!g->greeted) {
			g->again = true;
			continue;
		}
		ask_commands(g, commands_again);
		SAY(g, applications);
	}
	for (g = x->all; g != NULL; g = next) {
		next = g->next;
		lease_changed(x, g->piped_id);
	}
}

void
agents_push(struct agents *x, const char *piped_id, Pipecd__Agent__Push *push)
{
	Pipecd__Agent__WatchResponse m = PIPECD__AGENT__WATCH_RESPONSE__INIT;
	Pipecd__Agent__Pushes p = PIPECD__AGENT__PUSHES__INIT;
	struct agent *g, *next;

	p.pushes = &push;
	p.n_pushes = 1;
	m.pushes = &p;
	for (g = map_get(x->ids, piped_id); g != NULL; g = next) {
		next = g->same;
		if (g->greeted)
			say(g, &m);
	}
}

void
agents_tick(struct agents *x)
{
	int64_t now = loop_now(x->api->loop);
	struct agent *g, *next;

	for (g = x->all; g != NULL; g = next) {
		next = g->next;
		if (g->greeted && now - g->said_ms >= ALIVE_S * 1000 - TICK_MS)
			SAY(g, alive);
	}
}

void
agents_end(struct agents *x)
{
	while (x->all != NULL)
		finish(x->all, GRPC_UNAVAILABLE,
		    "the control plane is ending: connect again");
}

void
agents_free(struct agents *x)
{
	if (x == NULL)
		return;
	agents_end(x);
	epochs_forget(x);
	map_free(x->epochs);
	map_free(x->ids);
	free(x);
}
