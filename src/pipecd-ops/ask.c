#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "ops.h"

enum {
	DECODED_MAX = 256 << 20 /* memory of one record */
};

char *
str(const char *s)
{
	return (char *)(uintptr_t)s;
}

void
did(struct did *d, const char *name, int64_t n)
{
	size_t i;

	for (i = 0; i < d->n; i++)
		if (strcmp(d->count[i].name, name) == 0) {
			d->count[i].n += n;
			return;
		}
	must(d->n < NITEMS(d->count));
	d->count[d->n].name = name;
	d->count[d->n++].n = n;
}

static bool
temporary(Store__Code c)
{
	return c == STORE__CODE__UNAVAILABLE ||
	       c == STORE__CODE__DEADLINE_EXCEEDED ||
	       c == STORE__CODE__RESOURCE_EXHAUSTED ||
	       c == STORE__CODE__INTERNAL || c == STORE__CODE__CONFLICT;
}

static int
refused(const Store__Reply *r, struct err *e)
{
	return err_set(e, temporary(r->code) ? RC_TEMP : RC_PERM,
	    "store: %s%s%.300s", store_code(r->code),
	    *r->error != '\0' ? ": " : "", r->error);
}

bool
told_to_end(struct ops *o)
{
	int sig;

	while ((sig = signals_next(o->signals)) != 0)
		if (sig != SIGCHLD && sig != SIGHUP)
			o->stop = true;
	return o->stop;
}

/* The lease is kept while a job is long; one that is lost ends the job. */
static const Store__Reply *
call(struct ops *o, const Store__Request *q, struct arena *a, struct err *e)
{
	/* A long job ends between two questions; it is done again later. */
	if (o->daemon && told_to_end(o)) {
		err_set(e, RC_TEMP, "told to end");
		return NULL;
	}
	if (o->daemon && o->holder && now_ms() >= o->lease_next_ms)
		switch (lease_hold(o, e)) {
		case 1:
			break;
		case 0:
			err_set(e, RC_TEMP, "another pipecd-ops took over");
			/* FALLTHROUGH */
		default:
			return NULL;
		}
	return store_call(o->store, q, ASK_MS, a);
}

const Store__Reply *
ops_ask(struct ops *o, const Store__Request *q, struct arena *a, struct err *e)
{
	const Store__Reply *r = call(o, q, a, e);

	if (r != NULL && r->code != STORE__CODE__OK) {
		refused(r, e);
		return NULL;
	}
	return r;
}

void *
record_of(const ProtobufCMessageDescriptor *d, const Store__Record *r,
    struct arena *a, struct err *e)
{
	void *m = msg_unpack(d, r->value.data, r->value.len, a, DECODED_MAX, e);

	if (m == NULL)
		err_wrap(e, "%s", r->id);
	return m;
}

int
ops_get(struct ops *o, const char *table, const char *id,
    const ProtobufCMessageDescriptor *d, void *m, uint64_t *version,
    struct arena *a, struct err *e)
{
	Store__Request q = STORE__REQUEST__INIT;
	Store__Get g = STORE__GET__INIT;
	const Store__Reply *r;
	char *ids[] = { str(id) };

	g.table = str(table);
	g.ids = ids;
	g.n_ids = 1;
	STORE_ASK(&q, GET, get, &g);
	if ((r = call(o, &q, a, e)) == NULL)
		return -1;
	if (r->code == STORE__CODE__NOT_FOUND)
		return 0;
	if (r->code != STORE__CODE__OK)
		return refused(r, e);
	if (r->n_records == 0 || r->records[0]->version == 0)
		return 0;
	*version = r->records[0]->version;
	*(void **)m = record_of(d, r->records[0], a, e);
	return *(void **)m != NULL ? 1 : -1;
}

/* --- lists -----------------------------------------------------------------
 */

void
list_init(struct list *l, const char *table, const char *order, bool ascending)
{
	store__list__init(&l->l);
	l->l.table = str(table);
	l->l.order = str(order);
	l->l.ascending = ascending;
	l->l.limit = PAGE;
	l->l.filters = l->filters;
}

void
list_filter(struct list *l, const char *field, const char *value)
{
	size_t i, n = l->l.n_filters;
	Store__Filter *f;

	for (i = 0; i < n; i++)
		if (strcmp(l->filter[i].field, field) == 0)
			break;
	must(i < NITEMS(l->filter));
	f = &l->filter[i];
	if (i == n) {
		store__filter__init(f);
		f->field = str(field);
		f->values = l->values[i];
		l->filters[l->l.n_filters++] = f;
	}
	must(f->n_values < NITEMS(l->values[i]));
	f->values[f->n_values++] = str(value);
}

int
list_each(struct ops *o, struct list *l,
    int (*fn)(
	void *arg, const Store__Record *r, struct arena *a, struct err *e),
    void *arg, struct err *e)
{
	Store__Request q = STORE__REQUEST__INIT;
	struct arena *a = arena_new();
	const Store__Reply *r;
	char *cursor = xstrdup("");
	int rv = 0;
	size_t i;

	STORE_ASK(&q, LIST, list, &l->l);
	do {
		arena_reset(a);
		l->l.cursor = cursor;
		if ((r = ops_ask(o, &q, a, e)) == NULL) {
			rv = err_wrap(e, "list of %s", l->l.table);
			break;
		}
		free(cursor);
		cursor = xstrdup(r->cursor);
		for (i = 0; i < r->n_records && rv == 0; i++)
			rv = fn(arg, r->records[i], a, e);
	} while (rv == 0 && *cursor != '\0');
	free(cursor);
	l->l.cursor = str("");
	arena_free(a);
	return rv;
}

struct project_walk {
	int (*fn)(void *arg, const char *project, struct err *e);
	void *arg;
};

static int
one_project(void *arg, const Store__Record *r, struct arena *a, struct err *e)
{
	struct project_walk *w = arg;

	(void)a;
	return w->fn(w->arg, r->id, e);
}

int
project_each(struct ops *o,
    int (*fn)(void *arg, const char *project, struct err *e), void *arg,
    struct err *e)
{
	struct project_walk w = { fn, arg };
	struct list l;

	list_init(&l, "project", "updated_at", true);
	return list_each(o, &l, one_project, &w, e);
}

/* --- writes ----------------------------------------------------------------
 */

void
batch_init(struct batch *b, struct ops *o)
{
	*b = (struct batch){ .o = o, .arena = arena_new() };
}

static const Store__Reply *
write_ops(struct batch *b, Store__Op **op, size_t n, struct err *e)
{
	Store__Request q = STORE__REQUEST__INIT;
	Store__Write w = STORE__WRITE__INIT;

	w.ops = op;
	w.n_ops = n;
	STORE_ASK(&q, WRITE, write, &w);
	return call(b->o, &q, b->arena, e);
}

static bool
changed_meanwhile(Store__Code c)
{
	return c == STORE__CODE__CONFLICT || c == STORE__CODE__NOT_FOUND ||
	       c == STORE__CODE__FAILED_PRECONDITION ||
	       c == STORE__CODE__ALREADY_EXISTS;
}

static int
batch_write(struct batch *b, struct err *e)
{
	const Store__Reply *r;
	size_t i;

	if (b->n == 0)
		return 0;
	if ((r = write_ops(b, b->op, b->n, e)) == NULL)
		return -1;
	if (r->code == STORE__CODE__OK) {
		b->done += (int64_t)b->n;
		return 0;
	}
	if (!changed_meanwhile(r->code))
		return refused(r, e);
	for (i = 0; i < b->n && b->n > 1; i++) {
		if ((r = write_ops(b, &b->op[i], 1, e)) == NULL)
			return -1;
		if (r->code == STORE__CODE__OK)
			b->done++;
		else if (!changed_meanwhile(r->code))
			return refused(r, e);
	}
	return 0;
}

static int
batch_flush(struct batch *b, struct err *e)
{
	int rv = batch_write(b, e);

	b->n = 0;
	arena_reset(b->arena);
	return rv;
}

int
batch_add(struct batch *b, Store__Op__Kind kind, const char *table,
    const char *id, uint64_t version, const ProtobufCMessage *m, struct err *e)
{
	Store__Op *op = arena_new_of(b->arena, Store__Op);

	store__op__init(op);
	op->kind = kind;
	op->table = arena_strdup(b->arena, table);
	if (m == NULL) /* else it is in there */
		op->id = arena_strdup(b->arena, id);
	op->version = version;
	if (m != NULL) {
		op->value.len = protobuf_c_message_get_packed_size(m);
		op->value.data = arena_alloc(b->arena, op->value.len + 1);
		protobuf_c_message_pack(m, op->value.data);
	}
	b->op[b->n++] = op;
	return b->n == NITEMS(b->op) ? batch_flush(b, e) : 0;
}

int
batch_end(struct batch *b, int rv, struct err *e)
{
	if (rv == 0)
		rv = batch_flush(b, e);
	arena_free(b->arena);
	b->arena = NULL;
	return rv;
}

int
write_one(struct ops *o, Store__Op__Kind kind, const char *table,
    const char *id, uint64_t version, const ProtobufCMessage *m, struct err *e)
{
	struct batch b;
	int rv;

	batch_init(&b, o);
	rv = batch_add(&b, kind, table, id, version, m, e);
	return batch_end(&b, rv, e) == 0 ? b.done == 1 : -1;
}

/* --- notes -----------------------------------------------------------------
 */

int
note_get(struct ops *o, const char *id, int64_t *number, const char **text,
    struct arena *a, struct err *e)
{
	Store__Note *n = NULL;
	uint64_t version;
	int rv = ops_get(
	    o, "note", id, &store__note__descriptor, &n, &version, a, e);

	if (number != NULL)
		*number = n != NULL ? n->number : 0;
	if (text != NULL)
		*text = n != NULL ? n->text : NULL;
	return rv == -1 ? -1 : 0;
}

int
note_put(struct ops *o, const char *id, const char *project, int64_t number,
    const char *text, struct err *e)
{
	Store__Note n = STORE__NOTE__INIT;

	n.id = str(id);
	n.project_id = str(project);
	n.number = number;
	n.text = str(text != NULL ? text : "");
	return write_one(o, STORE__OP__KIND__PUT, "note", id, 0, &n.base, e) ==
		       -1
		   ? -1
		   : 0;
}

/* --- objects ---------------------------------------------------------------
 */

int
object_get(struct ops *o, const char *key, ProtobufCBinaryData *data,
    struct arena *a, struct err *e)
{
	Store__Request q = STORE__REQUEST__INIT;
	Store__ObjectGet g = STORE__OBJECT_GET__INIT;
	const Store__Reply *r;

	g.key = str(key);
	STORE_ASK(&q, OBJECT_GET, object_get, &g);
	if ((r = call(o, &q, a, e)) == NULL)
		return -1;
	if (r->code == STORE__CODE__NOT_FOUND)
		return 0;
	if (r->code != STORE__CODE__OK)
		return refused(r, e);
	*data = r->data;
	return 1;
}

int
object_put(
    struct ops *o, const char *key, const ProtobufCMessage *m, struct err *e)
{
	Store__Request q = STORE__REQUEST__INIT;
	Store__ObjectPut p = STORE__OBJECT_PUT__INIT;
	struct arena *a = arena_new();
	struct buf b = BUF_INIT;
	int rv;

	msg_pack(&b, m);
	p.key = str(key);
	p.data.data = (uint8_t *)b.p;
	p.data.len = b.len;
	STORE_ASK(&q, OBJECT_PUT, object_put, &p);
	rv = ops_ask(o, &q, a, e) != NULL ? 0 : err_wrap(e, "%s", key);
	buf_free(&b);
	arena_free(a);
	return rv;
}

int
object_delete(struct ops *o, const char *key, struct err *e)
{
	Store__Request q = STORE__REQUEST__INIT;
	Store__ObjectDelete d = STORE__OBJECT_DELETE__INIT;
	struct arena *a = arena_new();
	int rv;

	d.key = str(key);
	STORE_ASK(&q, OBJECT_DELETE, object_delete, &d);
	rv = ops_ask(o, &q, a, e) != NULL ? 0 : err_wrap(e, "%s", key);
	arena_free(a);
	return rv;
}

int
object_each(struct ops *o, const char *prefix,
    int (*fn)(void *arg, const Store__Object *obj, struct err *e), void *arg,
    struct err *e)
{
	Store__Request q = STORE__REQUEST__INIT;
	Store__ObjectList l = STORE__OBJECT_LIST__INIT;
	struct arena *a = arena_new();
	const Store__Reply *r;
	char *cursor = xstrdup("");
	int rv = 0;
	size_t i;

	l.prefix = str(prefix);
	STORE_ASK(&q, OBJECT_LIST, object_list, &l);
	do {
		arena_reset(a);
		l.cursor = cursor;
		if ((r = ops_ask(o, &q, a, e)) == NULL) {
			rv = err_wrap(e, "objects %s", prefix);
			break;
		}
		free(cursor);
		cursor = xstrdup(r->cursor);
		for (i = 0; i < r->n_objects && rv == 0; i++)
			rv = fn(arg, r->objects[i], e);
	} while (rv == 0 && *cursor != '\0');
	free(cursor);
	arena_free(a);
	return rv;
}
