/* What the methods ask of the store, and what its answers mean to callers. */
#include "api.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int
refuse(struct call *c, int code, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	grpc_reply_status(c->g, code, "%s", text);
	return -1;
}

void
reply(struct call *c, const void *msg)
{
	grpc_reply(c->g, msg);
}

void
reply_empty(struct call *c)
{
	grpc_reply_bytes(c->g, "", 0);
}

int
not_yours(struct call *c, const char *noun)
{
	if (c->who.piped)
		return refuse(c, GRPC_PERMISSION_DENIED,
		    "The requested %s does not belong to the piped", noun);
	return refuse(c, GRPC_NOT_FOUND, "The %s is not found", noun);
}

/* --- one question ---------------------------------------------------------- */

static void
answered(void *arg, const Store__Reply *r, struct arena *a)
{
	struct call *c = arg;

	(void)a;
	c->step(c, r);
}

void
ask(struct call *c, const Store__Request *q, step_fn *step)
{
	int64_t left = STORE_MS;

	c->step = step;
	if (c->g->deadline_ms != INT64_MAX && !c->m->stream) {
		int64_t until = c->g->deadline_ms - loop_now(c->api->loop);

		if (until < left)
			left = until < 1 ? 1 : until;
	}
	store_send(c->api->store, q, left, answered, c);
}

bool
went_well(struct call *c, const Store__Reply *r, const char *what)
{
	static const int code[] = {
		[STORE__CODE__INVALID_ARGUMENT] = GRPC_INVALID_ARGUMENT,
		[STORE__CODE__NOT_FOUND] = GRPC_NOT_FOUND,
		[STORE__CODE__ALREADY_EXISTS] = GRPC_ALREADY_EXISTS,
		[STORE__CODE__CONFLICT] = GRPC_ABORTED,
		[STORE__CODE__FAILED_PRECONDITION] = GRPC_FAILED_PRECONDITION,
		[STORE__CODE__RESOURCE_EXHAUSTED] = GRPC_UNAVAILABLE,
		[STORE__CODE__UNAUTHENTICATED] = GRPC_UNAUTHENTICATED,
		[STORE__CODE__PERMISSION_DENIED] = GRPC_PERMISSION_DENIED,
		[STORE__CODE__UNAVAILABLE] = GRPC_UNAVAILABLE,
		[STORE__CODE__DEADLINE_EXCEEDED] = GRPC_UNAVAILABLE,
		[STORE__CODE__INTERNAL] = GRPC_INTERNAL,
	};

	switch (r->code) {
	case STORE__CODE__OK:
		return true;
	case STORE__CODE__NOT_FOUND:
		refuse(c, GRPC_NOT_FOUND, "The %s is not found", what);
		return false;
	case STORE__CODE__ALREADY_EXISTS:
		refuse(c, GRPC_ALREADY_EXISTS, "The %s already exists", what);
		return false;
	/* Paths and the like are for the log, not for callers. */
	case STORE__CODE__RESOURCE_EXHAUSTED:
		log_debug(
		    c->m->name, "store: %s: %s", what, or_empty(r->error));
		refuse(c, GRPC_UNAVAILABLE,
		    "%s: the store cannot do this now (its disk may be full): "
		    "try again later",
		    what);
		return false;
	case STORE__CODE__INTERNAL:
		log_warn(c->m->name, "store: %s: %s", what, or_empty(r->error));
		refuse(c, GRPC_INTERNAL,
		    "%s: the store failed; its log says why", what);
		return false;
	default:
		refuse(c,
		    r->code < NITEMS(code) ? code[r->code] : GRPC_INTERNAL,
		    "%s: %s", what, or_empty(r->error));
		return false;
	}
}

void
ask_get(struct call *c, const char *table, const char *id, step_fn *step)
{
	Store__Request q = STORE__REQUEST__INIT;
	Store__Get g = STORE__GET__INIT;
	char *ids[1];

	g.table = arena_strdup(c->a, table);
	ids[0] = arena_strdup(c->a, id);
	g.ids = ids;
	g.n_ids = 1;
	STORE_ASK(&q, GET, get, &g);
	ask(c, &q, step);
}

void
ask_many(struct call *c, const char *table, char **ids, size_t n, step_fn *step)
{
	Store__Request q = STORE__REQUEST__INIT;
	Store__Get g = STORE__GET__INIT;

	g.table = (char *)(uintptr_t)table;
	g.ids = ids;
	g.n_ids = n;
	STORE_ASK(&q, GET, get, &g);
	ask(c, &q, step);
}

void *
record(
    struct call *c, const ProtobufCMessageDescriptor *d, const Store__Record *r)
{
	struct err e;
	void *m = msg_unpack(d, r->value.data, r->value.len, c->a, 0, &e);

	if (m == NULL)
		refuse(c, GRPC_INTERNAL, "%s %s: %s", d->name, or_empty(r->id),
		    e.text);
	return m;
}

/* --- writes ---------------------------------------------------------------- */

static Store__Op *
op_make(struct call *c, Store__Op__Kind kind, const char *table,
    const void *msg, uint64_t version)
{
	Store__Op *op = arena_new_of(c->a, Store__Op);
	struct buf b = BUF_INIT;

	store__op__init(op);
	op->kind = kind;
	op->table = arena_strdup(c->a, table);
	op->version = version;
	msg_pack(&b, msg);
	op->value.data = arena_alloc(c->a, b.len + 1);
	memcpy(op->value.data, b.p, b.len);
	op->value.len = b.len;
	buf_free(&b);
	return op;
}

void
ops_add(struct call *c, struct ops *o, Store__Op__Kind kind, const char *table,
    const void *msg, uint64_t version)
{
	Store__Op **more;

	if (o->n == o->cap) {
		o->cap = o->cap == 0 ? 8 : o->cap * 2;
		more = arena_array(c->a, Store__Op *, o->cap);
		if (o->n > 0)
			memcpy(more, o->op, o->n * sizeof(*more));
		o->op = more;
	}
	o->op[o->n++] = op_make(c, kind, table, msg, version);
}

void
ops_write(struct call *c, struct ops *o, step_fn *step)
{
	Store__Request q = STORE__REQUEST__INIT;
	Store__Write w = STORE__WRITE__INIT;
	size_t i, total = 0;

	/* What the store will never take is not to be tried again. */
	for (i = 0; i < o->n; i++) {
		total += o->op[i]->value.len + 64;
		if (o->op[i]->value.len > STORE_MAX / 4 || total > STORE_MAX) {
			refuse(c, GRPC_RESOURCE_EXHAUSTED,
			    "%s: a record of %zu bytes is too large",
			    o->op[i]->table, o->op[i]->value.len);
			return;
		}
	}
	w.ops = o->op;
	w.n_ops = o->n;
	STORE_ASK(&q, WRITE, write, &w);
	ask(c, &q, step);
}

void
ask_write(struct call *c, Store__Op__Kind kind, const char *table,
    const void *msg, step_fn *step)
{
	struct ops o = { .n = 0 };

	ops_add(c, &o, kind, table, msg, 0);
	ops_write(c, &o, step);
}

void
reply_written(struct call *c, const Store__Reply *r)
{
	if (went_well(c, r, c->m->name))
		reply_empty(c);
}

/* --- read, edit, write ------------------------------------------------------ */

static void changed(struct call *c, const Store__Reply *r);

static void
edit(struct call *c, const Store__Record *r)
{
	struct change *h = &c->change;
	struct ops o = { .n = 0 };
	void *rec = record(c, h->d, r);

	if (rec == NULL)
		return;
	switch (h->edit(c, rec)) {
	case SAME:
		if (h->then != NULL)
			h->then(c, rec);
		else
			reply_empty(c);
		break;
	case CHANGED:
		ops_add(
		    c, &o, STORE__OP__KIND__UPDATE, h->table, rec, r->version);
		ops_write(c, &o, changed);
		break;
	default:
		break; /* refused */
	}
}

static void
changed(struct call *c, const Store__Reply *r)
{
	struct change *h = &c->change;
	void *rec;

	if (r->code == STORE__CODE__CONFLICT && r->n_records > 0 &&
	    ++h->tries < TRIES) {
		edit(c, r->records[0]);
		return;
	}
	if (!went_well(c, r, h->what))
		return;
	if (h->then == NULL)
		reply_empty(c);
	else if (r->n_records > 0 &&
		 (rec = record(c, h->d, r->records[0])) != NULL)
		h->then(c, rec);
}

static void
change_read(struct call *c, const Store__Reply *r)
{
	if (!went_well(c, r, c->change.what))
		return;
	if (r->n_records == 0) {
		refuse(c, GRPC_INTERNAL, "the store answered nothing");
		return;
	}
	edit(c, r->records[0]);
}

void
change(struct call *c, const char *table, const char *id,
    const ProtobufCMessageDescriptor *d, int (*edit_fn)(struct call *, void *),
    void (*then)(struct call *, void *))
{
	c->change = (struct change){ .table = table,
		.id = id,
		.what = table,
		.d = d,
		.edit = edit_fn,
		.then = then };
	ask_get(c, table, id, change_read);
}

/* --- lists ------------------------------------------------------------------- */

void
query_init(struct query *q, const char *table)
{
	memset(q, 0, sizeof(*q));
	store__list__init(&q->list);
	q->list.table = (char *)(uintptr_t)table;
	q->filters = q->filter;
}

void
query_in(struct call *c, struct query *q, const char *field,
    const char *const *values, size_t n)
{
	Store__Filter *f = arena_new_of(c->a, Store__Filter);
	size_t i;

	must(q->list.n_filters < NITEMS(q->filter));
	store__filter__init(f);
	f->field = arena_strdup(c->a, field);
	f->values = arena_array(c->a, char *, n + 1);
	for (i = 0; i < n; i++)
		f->values[i] = arena_strdup(c->a, values[i]);
	f->n_values = n;
	q->filter[q->list.n_filters++] = f;
}

void
query_is(struct call *c, struct query *q, const char *field, const char *value)
{
	query_in(c, q, field, &value, 1);
}

void
query_label(struct call *c, struct query *q, const char *key, const char *value)
{
	query_is(c, q, "labels",
	    arena_printf(c->a, "%s=%s", or_empty(key), or_empty(value)));
}

void
ask_list(struct call *c, struct query *q, step_fn *step)
{
	Store__Request r = STORE__REQUEST__INIT;

	q->list.filters = q->filter;
	STORE_ASK(&r, LIST, list, &q->list);
	ask(c, &r, step);
}

struct query *
query_new(struct call *c, const char *table)
{
	struct query *q = arena_new_of(c->a, struct query);

	query_init(q, table);
	return q;
}

struct all {
	struct query *q;
	struct buf b;
	unsigned field, cursor_field;
	size_t max;
};

static void
all_page(struct call *c, const Store__Reply *r)
{
	struct all *l = c->all;
	size_t i;

	if (!went_well(c, r, l->q->list.table)) {
		buf_free(&l->b);
		return;
	}
	for (i = 0; i < r->n_records; i++)
		wire_bytes(&l->b, l->field, r->records[i]->value.data,
		    r->records[i]->value.len);
	if (!empty(r->cursor) && l->b.len < l->max) {
		l->q->list.cursor = arena_strdup(c->a, r->cursor);
		ask_list(c, l->q, all_page);
		return;
	}
	if (!empty(r->cursor) && l->cursor_field != 0)
		wire_bytes(
		    &l->b, l->cursor_field, r->cursor, strlen(r->cursor));
	grpc_reply_bytes(c->g, l->b.p, l->b.len);
	buf_free(&l->b);
}

void
reply_all(struct call *c, struct query *q, unsigned field,
    unsigned cursor_field, size_t max)
{
	struct all *l = arena_new_of(c->a, struct all);

	*l = (struct all){ .q = q,
		.b = BUF_INIT,
		.field = field,
		.cursor_field = cursor_field,
		.max = max };
	c->all = l;
	q->list.limit = 500;
	ask_list(c, q, all_page);
}

/* --- objects ------------------------------------------------------------------ */

void
ask_object(struct call *c, const char *key, step_fn *step)
{
	Store__Request q = STORE__REQUEST__INIT;
	Store__ObjectGet g = STORE__OBJECT_GET__INIT;

	g.key = (char *)(uintptr_t)key;
	STORE_ASK(&q, OBJECT_GET, object_get, &g);
	ask(c, &q, step);
}

void
ask_object_put(
    struct call *c, const char *key, const void *p, size_t n, step_fn *step)
{
	Store__Request q = STORE__REQUEST__INIT;
	Store__ObjectPut o = STORE__OBJECT_PUT__INIT;

	o.key = (char *)(uintptr_t)key;
	o.data.data = (uint8_t *)(uintptr_t)p;
	o.data.len = n;
	STORE_ASK(&q, OBJECT_PUT, object_put, &o);
	ask(c, &q, step);
}
