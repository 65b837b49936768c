/*
 * Writing records.  All operations of a request are checked before the first
 * of them touches anything, so a refused request leaves nothing to undo, and
 * its neighbours in the same transaction never notice.
 */
#include <string.h>
#include <sys/random.h>

#include "daemon.h"
#include "hash.h"
#include "msg.h"

struct todo {
	const Store__Op *op;
	struct table *b;
	struct record old;
	bool there;
	ProtobufCMessage *was, *m;
};

static void
uuid4(char dst[UUID_LEN])
{
	uint8_t raw[16];
	char h[33];

	must(getrandom(raw, sizeof(raw), 0) == sizeof(raw));
	raw[6] = (uint8_t)((raw[6] & 0x0f) | 0x40);
	raw[8] = (uint8_t)((raw[8] & 0x3f) | 0x80);
	hex_encode(h, raw, sizeof(raw));
	for (int i = 0, k = 0; i < 32; i++) {
		if (i == 8 || i == 12 || i == 16 || i == 20)
			dst[k++] = '-';
		dst[k++] = h[i];
	}
	dst[UUID_LEN - 1] = '\0';
}

void
change_add(struct change_list *cl, const struct table *b,
    const ProtobufCMessage *m, uint64_t version, bool deleted)
{
	Store__Change *c = arena_new_of(cl->a, Store__Change);
	Store__Change **grown;

	store__change__init(c);
	c->table = arena_strdup(cl->a, table_name(b));
	c->id = arena_strdup(cl->a, table_id(b, m));
	c->project_id = arena_strdup(cl->a, table_project(b, m));
	c->piped_id = arena_strdup(cl->a, table_text(b, m, "piped_id"));
	c->version = version;
	c->deleted = deleted;
	if (cl->d.n_changes == cl->changes_cap) {
		cl->changes_cap =
		    cl->changes_cap == 0 ? 16 : cl->changes_cap * 2;
		grown = arena_array(cl->a, Store__Change *, cl->changes_cap);
		if (cl->d.n_changes > 0)
			memcpy(grown, cl->d.changes,
			    cl->d.n_changes * sizeof(*grown));
		cl->d.changes = grown;
	}
	cl->d.changes[cl->d.n_changes++] = c;
}

static int
refuse(struct answer *w, size_t i, Store__Code code, const struct err *e)
{
	answer_err(w, code, e);
	w->r.op = (uint32_t)i;
	return 0;
}

/* The message and the id of an operation; 0: refused. */
static int
op_read(struct todo *x, size_t i, struct answer *w, const char **id)
{
	const Store__Op *op = x->op;
	struct err e;
	char *made;

	if (op->kind == STORE__OP__KIND__DELETE ||
	    op->kind == STORE__OP__KIND__PURGE) {
		*id = op->id;
		return 1;
	}
	if (op->value.len > STORE_MAX / 4) {
		err_set(&e, RC_PERM, "%s: a record of %zu bytes, at most %d",
		    op->table, op->value.len, STORE_MAX / 4);
		return refuse(w, i, STORE__CODE__RESOURCE_EXHAUSTED, &e);
	}
	x->m = msg_unpack(
	    table_message(x->b), op->value.data, op->value.len, w->a, 0, &e);
	if (x->m == NULL) {
		err_wrap(&e, "%s", op->table);
		return refuse(w, i, STORE__CODE__INVALID_ARGUMENT, &e);
	}
	*id = table_id(x->b, x->m);
	if (**id == '\0' && *op->id != '\0')
		table_id_set(x->b, x->m, op->id);
	if (**id == '\0' && op->kind == STORE__OP__KIND__CREATE) {
		made = arena_alloc(w->a, UUID_LEN);
		uuid4(made);
		table_id_set(x->b, x->m, made);
	}
	*id = table_id(x->b, x->m);
	return 1;
}

/* Against what is there; 0: refused. */
static int
op_match(struct todo *x, size_t i, struct answer *w)
{
	const Store__Op *op = x->op;
	bool alive = x->there && !x->old.deleted;
	struct err e;

	switch (op->kind) {
	case STORE__OP__KIND__CREATE:
		if (!x->there)
			return 1;
		err_set(&e, RC_PERM, "%s %s: it is there already%s", op->table,
		    x->old.id, alive ? "" : ", deleted");
		return refuse(w, i, STORE__CODE__ALREADY_EXISTS, &e);
	case STORE__OP__KIND__PUT:
		return 1;
	case STORE__OP__KIND__PURGE:
		if (x->there)
			return 1;
		break;
	default:
		if (alive)
			break;
	}
	if (!x->there || (!alive && op->kind != STORE__OP__KIND__PURGE)) {
		err_set(&e, RC_PERM, "%s %s: not there", op->table, x->old.id);
		return refuse(w, i, STORE__CODE__NOT_FOUND, &e);
	}
	if (op->version != 0 && op->version != x->old.version) {
		err_set(&e, RC_PERM,
		    "%s %s: it has changed meanwhile (version %llu, not %llu)",
		    op->table, x->old.id, (unsigned long long)x->old.version,
		    (unsigned long long)op->version);
		return refuse(w, i, STORE__CODE__CONFLICT, &e);
	}
	return 1;
}

/* What is there now helps whoever was refused for it. */
static void
show_current(struct todo *x, struct answer *w)
{
	Store__Record *s;
	struct err e;

	if (x->there && (s = record_show(x->b, &x->old, w->a, &e)) != NULL)
		answer_add(w, s);
}

static int
op_check(struct tables *t, struct todo *x, size_t i, struct answer *w)
{
	const Store__Op *op = x->op;
	const char *id;
	void *copy;
	struct err e;

	x->b = table_find(t, op->table);
	if (x->b == NULL || table_private(x->b)) {
		err_set(&e, RC_PERM, "\"%s\": no such table", op->table);
		return refuse(w, i, STORE__CODE__INVALID_ARGUMENT, &e);
	}
	if (!op_read(x, i, w, &id))
		return 0;
	switch (table_get(x->b, id, &x->old, &e)) {
	case -1:
		return refuse(w, i,
		    e.exit == RC_PERM ? STORE__CODE__INVALID_ARGUMENT
				      : STORE__CODE__INTERNAL,
		    &e);
	case 1:
		/* Pages move under a transaction that writes. */
		x->there = true;
		copy = arena_alloc(w->a, x->old.n + 1);
		memcpy(copy, x->old.value, x->old.n);
		x->old.value = copy;
		x->was = msg_unpack(
		    table_message(x->b), x->old.value, x->old.n, w->a, 0, &e);
		if (x->was == NULL)
			return refuse(w, i, STORE__CODE__INTERNAL, &e);
	}
	if (!op_match(x, i, w)) {
		show_current(x, w);
		return 0;
	}
	if (x->m == NULL)
		return 1;
	table_keep(x->b, x->m, x->was);
	if (rule_check(op->table, x->was, x->m, &e) == -1) {
		refuse(w, i, STORE__CODE__FAILED_PRECONDITION, &e);
		show_current(x, w);
		return 0;
	}
	return 1;
}

static bool
twice(const struct todo *x, size_t i)
{
	size_t k;

	for (k = 0; k < i; k++)
		if (x[k].b == x[i].b && strcmp(x[k].old.id, x[i].old.id) == 0)
			return true;
	return false;
}

/* PipeCD's models that know deletion say so themselves, too. */
static void
mark_deleted(ProtobufCMessage *m, int64_t now)
{
	const ProtobufCMessageDescriptor *d = m->descriptor;
	const ProtobufCFieldDescriptor *f =
	    protobuf_c_message_descriptor_get_field_by_name(d, "deleted");
	char *base = (char *)m;

	if (f != NULL && f->type == PROTOBUF_C_TYPE_BOOL)
		*(protobuf_c_boolean *)(void *)(base + f->offset) = 1;
	f = protobuf_c_message_descriptor_get_field_by_name(d, "deleted_at");
	if (f != NULL && f->type == PROTOBUF_C_TYPE_INT64)
		*(int64_t *)(void *)(base + f->offset) = now;
}

static int
op_apply(struct tables *t, struct todo *x, struct change_list *cl,
    struct answer *w, struct err *e)
{
	ProtobufCMessage *m = x->m != NULL ? x->m : x->was;
	bool deleted = x->op->kind == STORE__OP__KIND__DELETE;
	Store__Record *s = arena_new_of(w->a, Store__Record);
	uint64_t version = 0;

	store__record__init(s);
	if (x->op->kind == STORE__OP__KIND__PURGE) {
		deleted = true;
		if (table_purge(x->b, &x->old, w->a, e) == -1 ||
		    (strcmp(x->op->table, "deployment") == 0 &&
			log_drop(t, x->old.id, cl, e) == -1))
			return -1;
	} else {
		if (deleted)
			mark_deleted(m, wall_s());
		table_stamp(x->b, m, wall_s(), !x->there);
		if (table_put(x->b, x->there ? &x->old : NULL, m, deleted,
			&version, w->a, e) == -1)
			return -1;
		table_hide(x->b, m);
		s->value.len = protobuf_c_message_get_packed_size(m);
		s->value.data = arena_alloc(w->a, s->value.len + 1);
		protobuf_c_message_pack(m, s->value.data);
	}
	s->id = (char *)(uintptr_t)table_id(x->b, m);
	s->version = version;
	s->deleted = deleted;
	answer_add(w, s);
	change_add(cl, x->b, m, version, deleted);
	return 0;
}

int
do_write(struct tables *t, const Store__Write *q, struct change_list *cl,
    struct answer *w, struct err *e)
{
	struct todo *x = arena_array(w->a, struct todo, q->n_ops + 1);
	size_t i;

	if (q->n_ops == 0 || q->n_ops > TABLE_PAGE_MAX) {
		answer_say(w, STORE__CODE__INVALID_ARGUMENT,
		    "write: %zu operations, 1 to %d can be asked for", q->n_ops,
		    TABLE_PAGE_MAX);
		return 0;
	}
	for (i = 0; i < q->n_ops; i++) {
		x[i].op = q->ops[i];
		if (!op_check(t, &x[i], i, w))
			return 0;
		if (twice(x, i)) {
			answer_say(w, STORE__CODE__INVALID_ARGUMENT,
			    "%s %s: twice in one write", q->ops[i]->table,
			    x[i].old.id);
			w->r.op = (uint32_t)i;
			return 0;
		}
	}
	for (i = 0; i < q->n_ops; i++)
		if (op_apply(t, &x[i], cl, w, e) == -1)
			return -1;
	return 0;
}
