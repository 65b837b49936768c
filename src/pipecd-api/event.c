/* Events: something was built; agents write it into git. */
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "hash.h"

#define PIPED(name) const Grpc__Service__Pipedservice__##name##Request
#define API(name)   const Grpc__Service__Apiservice__##name##Request

struct label {
	const char *key, *value;
};

static int
label_order(const void *a, const void *b)
{
	return strcmp(
	    ((const struct label *)a)->key, ((const struct label *)b)->key);
}

/*
 * The events of one name and the same labels have one key: the SHA-256 of the
 * name and "/key:value" for each label, sorted.
 */
static char *
event_key(struct arena *a, const char *name, const struct label *l, size_t n)
{
	struct label *v = arena_array(a, struct label, n + 1);
	struct buf b = BUF_INIT;
	char *hex = arena_alloc(a, SHA256_HEX);
	size_t i;

	if (n > 0)
		memcpy(v, l, n * sizeof(*v));
	qsort(v, n, sizeof(*v), label_order);
	buf_adds(&b, name);
	for (i = 0; i < n; i++)
		buf_printf(&b, "/%s:%s", v[i].key, v[i].value);
	sha256_hex(hex, b.p, b.len);
	buf_free(&b);
	return hex;
}

#define LABELS(a, q, v) \
	do { \
		size_t i_; \
		(v) = arena_array((a), struct label, (q)->n_labels + 1); \
		for (i_ = 0; i_ < (q)->n_labels; i_++) { \
			(v)[i_].key = or_empty((q)->labels[i_]->key); \
			(v)[i_].value = or_empty((q)->labels[i_]->value); \
		} \
	} while (0)

/* --- registering ------------------------------------------------------------------- */

static void
registered(struct call *c, const Store__Reply *r)
{
	Grpc__Service__Apiservice__RegisterEventResponse res =
	    GRPC__SERVICE__APISERVICE__REGISTER_EVENT_RESPONSE__INIT;

	if (!went_well(c, r, "event"))
		return;
	res.event_id = c->user;
	reply(c, &res);
}

static void
trace_make(struct call *c,
    const Grpc__Service__Apiservice__RegisterEventRequest *q,
    Model__DeploymentTrace *t)
{
	model__deployment_trace__init(t);
	t->id = uuid4(c->a);
	t->project_id = (char *)(uintptr_t)c->who.project;
	t->title = q->commit_title;
	t->commit_message = q->commit_message;
	t->commit_hash = q->commit_hash;
	t->commit_url = q->commit_url;
	t->commit_timestamp = q->commit_timestamp;
	t->author = q->commit_author;
}

void
event_register(struct call *c, const void *req)
{
	API(RegisterEvent) *q = req;
	Model__Event e = MODEL__EVENT__INIT;
	Model__DeploymentTrace t;
	struct ops ops = { .n = 0 };
	struct label *l;

	if (q->commit_timestamp < 0) {
		refuse(c, GRPC_INVALID_ARGUMENT,
		    "commit_timestamp: must be at least 0");
		return;
	}
	LABELS(c->a, q, l);
	e.id = c->user = uuid4(c->a);
	e.name = q->name;
	e.data = q->data;
	e.project_id = (char *)(uintptr_t)c->who.project;
	map_merge(&model__event__labels_entry__descriptor, &e.labels,
	    &e.n_labels, q->labels, q->n_labels, c->a);
	map_merge(&model__event__contexts_entry__descriptor, &e.contexts,
	    &e.n_contexts, q->contexts, q->n_contexts, c->a);
	e.event_key = event_key(c->a, q->name, l, q->n_labels);
	e.status = MODEL__EVENT_STATUS__EVENT_NOT_HANDLED;
	e.status_description =
	    arena_printf(c->a, "It is going to be replaced by %.200s", q->data);
	e.trigger_commit_hash = q->commit_hash;
	ops_add(c, &ops, STORE__OP__KIND__CREATE, "event", &e, 0);
	if (!empty(q->commit_hash) && !empty(q->commit_url)) {
		trace_make(c, q, &t);
		ops_add(c, &ops, STORE__OP__KIND__CREATE, "deployment_trace",
		    &t, 0);
	}
	ops_write(c, &ops, registered);
}

/* --- for agents --------------------------------------------------------------------- */

static void
latest(struct call *c, const Store__Reply *r)
{
	if (!went_well(c, r, "event"))
		return;
	if (r->n_records == 0)
		refuse(c, GRPC_NOT_FOUND, "The event is not found");
	else
		reply_records(c, r, 1, 0, NULL);
}

void
event_latest(struct call *c, const void *req)
{
	PIPED(GetLatestEvent) *q = req;
	struct label *l;
	struct query s;

	LABELS(c->a, q, l);
	query_init(&s, "event");
	query_is(c, &s, "project_id", c->who.project);
	query_is(c, &s, "event_key", event_key(c->a, q->name, l, q->n_labels));
	s.list.order = (char *)(uintptr_t) "created_at";
	s.list.limit = 1;
	ask_list(c, &s, latest);
}

void
event_list(struct call *c, const void *req)
{
	PIPED(ListEvents) *q = req;
	struct query *s = query_new(c, "event");

	if (q->from < 0 || q->to < 0) {
		refuse(
		    c, GRPC_INVALID_ARGUMENT, "from, to: must be at least 0");
		return;
	}
	query_is(c, s, "project_id", c->who.project);
	if (q->status !=
	    GRPC__SERVICE__PIPEDSERVICE__LIST_EVENTS_REQUEST__STATUS__ALL)
		query_is(c, s, "status",
		    arena_printf(c->a, "%d", (int)q->status - 1));
	s->list.order = (char *)(uintptr_t) "created_at";
	s->list.ascending =
	    q->order != GRPC__SERVICE__PIPEDSERVICE__LIST_ORDER__DESC;
	s->list.min = q->from;
	s->list.max = q->to > 0 ? q->to - 1 : 0; /* `to` is not in it */
	reply_all(c, s, 1, 0, AGENT_MAX);
}

struct statuses {
	char **ids;
	size_t n;
	int tries;
};

static void statuses_read(struct call *c);

static void
statuses_written(struct call *c, const Store__Reply *r)
{
	struct statuses *s = c->user;

	if (r->code == STORE__CODE__CONFLICT && ++s->tries < TRIES)
		statuses_read(c);
	else if (went_well(c, r, "events"))
		reply_empty(c);
}

static void
statuses_got(struct call *c, const Store__Reply *r)
{
	PIPED(ReportEventStatuses) *q = c->req;
	struct ops ops = { .n = 0 };
	Model__Event *e;
	size_t i;

	if (!went_well(c, r, "event"))
		return;
	for (i = 0; i < r->n_records && i < q->n_events; i++) {
		if (r->records[i]->version == 0) {
			refuse(c, GRPC_NOT_FOUND,
			    "The event %.60s is not found", q->events[i]->id);
			return;
		}
		e = record(c, &model__event__descriptor, r->records[i]);
		if (e == NULL)
			return;
		if (!same(e->project_id, c->who.project)) {
			not_yours(c, "event");
			return;
		}
		e->status = q->events[i]->status;
		e->status_description = q->events[i]->status_description;
		e->handled_at = wall_s();
		ops_add(c, &ops, STORE__OP__KIND__UPDATE, "event", e,
		    r->records[i]->version);
	}
	ops_write(c, &ops, statuses_written);
}

static void
statuses_read(struct call *c)
{
	struct statuses *s = c->user;

	ask_many(c, "event", s->ids, s->n, statuses_got);
}

void
event_statuses(struct call *c, const void *req)
{
	PIPED(ReportEventStatuses) *q = req;
	struct statuses *s = arena_new_of(c->a, struct statuses);
	size_t i;

	s->n = q->n_events;
	s->ids = arena_array(c->a, char *, s->n + 1);
	for (i = 0; i < s->n; i++)
		s->ids[i] = q->events[i]->id;
	if ((i = twice(s->ids, s->n)) < s->n) {
		refuse(
		    c, GRPC_INVALID_ARGUMENT, "events[%zu].id: comes twice", i);
		return;
	}
	c->user = s;
	if (s->n == 0)
		reply_empty(c);
	else
		statuses_read(c);
}
