/* What a table says of itself and of its messages; plain maps. */
#include <string.h>

#include "inside.h"
#include "msg.h"

struct table *
table_find(const struct tables *t, const char *name)
{
	struct table *b;

	for (b = t->first; b != NULL; b = b->next)
		if (strcmp(b->name, name) == 0)
			return b;
	return NULL;
}

struct table *
table_next(const struct tables *t, const struct table *before)
{
	return before == NULL ? t->first : before->next;
}

const char *
table_name(const struct table *b)
{
	return b->name;
}

const ProtobufCMessageDescriptor *
table_message(const struct table *b)
{
	return b->d;
}

bool
table_private(const struct table *b)
{
	return b->private;
}

bool
table_hides(const struct table *b)
{
	return b->n_hide > 0;
}

static void
take_text(void *arg, const ProtobufCFieldDescriptor *d, const void *v)
{
	if (d->type == PROTOBUF_C_TYPE_STRING && v != NULL)
		*(const char **)arg = v;
}

static const char *
text_of(const struct path *p, const ProtobufCMessage *m)
{
	const char *s = "";

	path_each(p, m, take_text, &s);
	return s;
}

const char *
table_text(const struct table *b, const ProtobufCMessage *m, const char *field)
{
	struct arena *a = arena_new();
	struct path p;
	struct err e;
	const char *s = "";

	if (path_compile(&p, b->d, field, a, &e) == 0)
		s = text_of(&p, m);
	arena_free(a);
	return s;
}

const char *
table_id(const struct table *b, const ProtobufCMessage *m)
{
	return text_of(&b->id, m);
}

const char *
table_project(const struct table *b, const ProtobufCMessage *m)
{
	return text_of(&b->project, m);
}

static void *
at(const ProtobufCMessage *m, unsigned offset)
{
	return (char *)(uintptr_t)m + offset;
}

void
table_id_set(const struct table *b, ProtobufCMessage *m, char *id)
{
	*(char **)at(m, b->id.step[0]->offset) = id;
}

static void
stamp(ProtobufCMessage *m, const char *field, int64_t now, bool always)
{
	const ProtobufCFieldDescriptor *f =
	    protobuf_c_message_descriptor_get_field_by_name(
		m->descriptor, field);
	int64_t *v;

	if (f == NULL || f->type != PROTOBUF_C_TYPE_INT64 ||
	    f->label == PROTOBUF_C_LABEL_REPEATED)
		return;
	v = at(m, f->offset);
	if (always || *v == 0)
		*v = now;
}

void
table_stamp(const struct table *b, ProtobufCMessage *m, int64_t now, bool fresh)
{
	(void)b;
	if (fresh)
		stamp(m, "created_at", now, false);
	stamp(m, "updated_at", now, true);
}

static void
empty(const struct path *p, size_t i, ProtobufCMessage *m)
{
	const ProtobufCFieldDescriptor *f = p->step[i];
	ProtobufCMessage **many;
	size_t n = 1, k;
	void *v;

	if (m == NULL)
		return;
	v = at(m, f->offset);
	if (f->type == PROTOBUF_C_TYPE_STRING) {
		*(char **)v = (char *)(uintptr_t)protobuf_c_empty_string;
		return;
	}
	many = v;
	if (f->label == PROTOBUF_C_LABEL_REPEATED) {
		n = *(size_t *)at(m, f->quantifier_offset);
		many = *(ProtobufCMessage ***)v;
	}
	for (k = 0; k < n; k++)
		empty(p, i + 1, many[k]);
}

void
table_hide(const struct table *b, ProtobufCMessage *m)
{
	size_t i;

	for (i = 0; i < b->n_hide; i++)
		empty(&b->hide[i], 0, m);
}

static void
keep(const struct path *p, size_t i, ProtobufCMessage *m,
    const ProtobufCMessage *old)
{
	const ProtobufCFieldDescriptor *f = p->step[i];
	size_t *n;
	void *v;

	if (m == NULL)
		return;
	v = at(m, f->offset);
	if (f->label == PROTOBUF_C_LABEL_REPEATED) {
		n = at(m, f->quantifier_offset);
		*n = old == NULL ? 0 : *(size_t *)at(old, f->quantifier_offset);
		*(void **)v = old == NULL ? NULL : *(void **)at(old, f->offset);
	} else if (f->type == PROTOBUF_C_TYPE_STRING) {
		*(char **)v = old == NULL
				  ? (char *)(uintptr_t)protobuf_c_empty_string
				  : *(char **)at(old, f->offset);
	} else {
		keep(p, i + 1, *(ProtobufCMessage **)v,
		    old == NULL ? NULL
				: *(ProtobufCMessage **)at(old, f->offset));
	}
}

void
table_keep(
    const struct table *b, ProtobufCMessage *m, const ProtobufCMessage *old)
{
	size_t i;

	for (i = 0; i < b->n_hide; i++)
		keep(&b->hide[i], 0, m, old);
}

/* --- plain maps ------------------------------------------------------------
 */

struct plain *
tables_plain(struct tables *t, const char *name)
{
	struct plain *p;

	for (p = t->plains; p != NULL; p = p->next)
		if (strcmp(p->name, name) == 0)
			return p;
	must(t->env == NULL);
	p = arena_new_of(t->a, struct plain);
	p->t = t;
	p->name = arena_strdup(t->a, name);
	p->next = t->plains;
	t->plains = p;
	return p;
}

static MDB_val
val(const void *p, size_t n)
{
	MDB_val v = { n, (void *)(uintptr_t)p };

	return v;
}

int
plain_get(struct plain *p, const void *k, size_t kn, const void **v, size_t *n,
    struct err *e)
{
	MDB_val key = val(k, kn), value;
	int rc = mdb_get(p->t->txn, p->dbi, &key, &value);

	if (rc == MDB_NOTFOUND)
		return 0;
	if (rc != 0)
		return db_err(p->t, rc, e, p->name);
	*v = value.mv_data, *n = value.mv_size;
	return 1;
}

int
plain_put(struct plain *p, const void *k, size_t kn, const void *v, size_t n,
    bool fresh, struct err *e)
{
	MDB_val key = val(k, kn), value = val(v, n);
	int rc = mdb_put(
	    p->t->txn, p->dbi, &key, &value, fresh ? MDB_NOOVERWRITE : 0);

	if (rc == MDB_KEYEXIST)
		return 0;
	return rc == 0 ? 1 : db_err(p->t, rc, e, p->name);
}

int
plain_del(struct plain *p, const void *k, size_t kn, struct err *e)
{
	MDB_val key = val(k, kn);
	int rc = mdb_del(p->t->txn, p->dbi, &key, NULL);

	return rc == 0 || rc == MDB_NOTFOUND ? 0 : db_err(p->t, rc, e, p->name);
}

int
plain_seek(struct plain *p, const void *k, size_t kn, size_t prefix,
    const void **key, size_t *keyn, const void **v, size_t *n, struct err *e)
{
	MDB_val at_key = val(k, kn), value;
	MDB_cursor *c;
	int rc = mdb_cursor_open(p->t->txn, p->dbi, &c);

	if (rc == 0) {
		rc = mdb_cursor_get(
		    c, &at_key, &value, kn == 0 ? MDB_FIRST : MDB_SET_RANGE);
		mdb_cursor_close(c);
	}
	if (rc == MDB_NOTFOUND ||
	    (rc == 0 && (at_key.mv_size < prefix ||
			    memcmp(at_key.mv_data, k, prefix) != 0)))
		return 0;
	if (rc != 0)
		return db_err(p->t, rc, e, p->name);
	*key = at_key.mv_data, *keyn = at_key.mv_size;
	*v = value.mv_data, *n = value.mv_size;
	return 1;
}
