/* Packed bytes, copies, enum names. */
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "shape.h"

void
msg_pack(struct buf *b, const ProtobufCMessage *m)
{
	size_t n = protobuf_c_message_get_packed_size(m);

	buf_grow(b, n);
	protobuf_c_message_pack(m, (uint8_t *)b->p + b->len);
	b->len += n;
	b->p[b->len] = '\0';
}

/*
 * What protobuf-c does not check, looked at in the packed bytes: strings are
 * UTF-8 without NUL (it would cut them there), and nesting is bounded.
 */
static bool
varint(const uint8_t **p, const uint8_t *end, uint64_t *v)
{
	int shift;

	*v = 0;
	for (shift = 0; shift < 64 && *p < end; shift += 7) {
		*v |= (uint64_t)(**p & 127) << shift;
		if ((*(*p)++ & 128) == 0)
			return true;
	}
	return false;
}

/* One field's bytes: false at a malformed one. */
static bool
field_next(const uint8_t **p, const uint8_t *end, uint64_t *tag,
    const uint8_t **s, size_t *n)
{
	uint64_t v;

	*n = 0;
	if (!varint(p, end, tag))
		return false;
	switch (*tag & 7) {
	case PROTOBUF_C_WIRE_TYPE_VARINT:
		return varint(p, end, &v);
	case PROTOBUF_C_WIRE_TYPE_64BIT:
		v = 8;
		break;
	case PROTOBUF_C_WIRE_TYPE_32BIT:
		v = 4;
		break;
	case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
		if (!varint(p, end, &v))
			return false;
		break;
	default:
		return false;
	}
	if (v > (size_t)(end - *p))
		return false;
	*s = *p;
	*n = (size_t)v;
	*p += v;
	return true;
}

static int
check(const ProtobufCMessageDescriptor *d, const uint8_t *p, size_t len,
    int depth, struct err *e)
{
	const ProtobufCFieldDescriptor *f;
	const uint8_t *end = p + len, *s = p;
	uint64_t tag;
	size_t n;

	if (depth > MSG_DEPTH)
		return err_set(e, RC_PERM, "nested too deeply");
	while (p < end) {
		if (!field_next(&p, end, &tag, &s, &n))
			return err_set(e, RC_PERM, "not a packed %s", d->name);
		if ((tag & 7) != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED ||
		    tag >> 3 > UINT32_MAX ||
		    (f = protobuf_c_message_descriptor_get_field(
			 d, (unsigned)(tag >> 3))) == NULL)
			continue;
		if (f->type == PROTOBUF_C_TYPE_STRING) {
			if (utf8_check((const char *)s, n) < n)
				return err_set(
				    e, RC_PERM, "field %s: not UTF-8", f->name);
			if (memchr(s, '\0', n) != NULL)
				return err_set(e, RC_PERM,
				    "field %s: a NUL in a string", f->name);
		} else if (f->type == PROTOBUF_C_TYPE_MESSAGE &&
			   check(f->descriptor, s, n, depth + 1, e) == -1) {
			return err_wrap(e, "%s", f->name);
		}
	}
	return 0;
}

struct budget {
	struct arena *a;
	size_t left;
	bool spent;
};

static void *
budget_alloc(void *arg, size_t n)
{
	struct budget *b = arg;

	if (n > b->left) {
		b->spent = true;
		return NULL;
	}
	b->left -= n;
	return arena_alloc(b->a, n);
}

static void
budget_free(void *arg, void *p)
{
	(void)arg, (void)p; /* the arena's owner frees */
}

/*
 * Maps, as their readers expect them: the last entry of a key wins, and every
 * entry has a value.  Packed bytes promise neither.
 */
struct place {
	const char *key;
	size_t i;
};

static int
by_key(const void *x, const void *y)
{
	const struct place *a = x, *b = y;
	int d = strcmp(a->key, b->key);

	return d != 0 ? d : (a->i > b->i) - (a->i < b->i);
}

static void
map_unique(const struct shape *entry, ProtobufCMessage **at, size_t *n)
{
	struct place *p = xcalloc(*n, sizeof(*p));
	size_t i, k;

	for (i = 0; i < *n; i++) {
		p[i].key = *(char **)FIELD_AT(at[i], entry->f[0].d);
		p[i].i = i;
	}
	qsort(p, *n, sizeof(*p), by_key);
	for (i = 1; i < *n; i++)
		if (strcmp(p[i - 1].key, p[i].key) == 0)
			at[p[i - 1].i] = NULL;
	for (i = k = 0; i < *n; i++)
		if (at[i] != NULL)
			at[k++] = at[i];
	*n = k;
	free(p);
}

static bool
entry_value(const struct shape *entry, ProtobufCMessage *m, struct budget *b)
{
	const struct field *f = &entry->f[1];
	ProtobufCMessage **at = FIELD_AT(m, f->d);

	if (f->msg == NULL || *at != NULL)
		return true;
	if ((*at = budget_alloc(b, f->msg->d->sizeof_message)) == NULL)
		return false;
	f->msg->d->message_init(*at);
	return true;
}

static bool
settle(const struct shape *s, ProtobufCMessage *m, struct budget *b)
{
	const struct field *f;
	ProtobufCMessage **at;
	size_t n, i;

	for (f = s->f; f < s->f + s->n; f++) {
		if (f->msg == NULL)
			continue;
		if (f->d->label != PROTOBUF_C_LABEL_REPEATED) {
			at = FIELD_AT(m, f->d);
			if ((f->d->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0 &&
			    *at != NULL && !settle(f->msg, *at, b))
				return false;
			continue;
		}
		at = *(ProtobufCMessage ***)FIELD_AT(m, f->d);
		if (f->map && *FIELD_QUANTITY(m, f->d, size_t) > 1)
			map_unique(f->msg, at, FIELD_QUANTITY(m, f->d, size_t));
		n = *FIELD_QUANTITY(m, f->d, size_t);
		for (i = 0; i < n; i++)
			if ((f->map && !entry_value(f->msg, at[i], b)) ||
			    !settle(f->msg, at[i], b))
				return false;
	}
	return true;
}

ProtobufCMessage *
msg_unpack(const ProtobufCMessageDescriptor *d, const void *p, size_t n,
    struct arena *a, size_t budget, struct err *e)
{
	struct budget b = { a, budget == 0 ? 64u << 20 : budget, false };
	ProtobufCAllocator alloc = { budget_alloc, budget_free, &b };
	ProtobufCMessage *m;

	if (check(d, p, n, 0, e) == -1)
		return NULL;
	m = protobuf_c_message_unpack(d, &alloc, n, p);
	if (m != NULL && !settle(shape_of(d), m, &b))
		m = NULL;
	if (m == NULL)
		err_set(e, RC_PERM,
		    b.spent ? "%s: it takes more memory than it may"
			    : "not a packed %s, or a required field is missing",
		    d->name);
	return m;
}

static void *copy(const void *from, struct arena *a);

static void
copy_value(const ProtobufCFieldDescriptor *f, void *at, struct arena *a)
{
	ProtobufCBinaryData *bytes = at;
	char **s = at;
	void **m = at;

	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
		if (*s != NULL && *s != f->default_value)
			*s = arena_strdup(a, *s);
		break;
	case PROTOBUF_C_TYPE_BYTES:
		if (bytes->len > 0)
			bytes->data = memcpy(arena_alloc(a, bytes->len),
			    bytes->data, bytes->len);
		break;
	case PROTOBUF_C_TYPE_MESSAGE:
		*m = copy(*m, a);
		break;
	default:
		break;
	}
}

static void
copy_field(const struct field *f, ProtobufCMessage *m, struct arena *a)
{
	const ProtobufCFieldDescriptor *d = f->d;
	void *at = FIELD_AT(m, d);
	size_t n, i;
	char *list;

	if ((d->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0 &&
	    *FIELD_QUANTITY(m, d, uint32_t) != d->id)
		return;
	if (d->label != PROTOBUF_C_LABEL_REPEATED) {
		copy_value(d, at, a);
		return;
	}
	if ((n = *FIELD_QUANTITY(m, d, size_t)) == 0)
		return;
	list = memcpy(arena_calloc(a, n, f->size), *(void **)at, n * f->size);
	*(void **)at = list;
	for (i = 0; i < n; i++)
		copy_value(d, list + i * f->size, a);
}

static void *
copy(const void *from, struct arena *a)
{
	const struct shape *s;
	ProtobufCMessageUnknownField *u;
	ProtobufCMessage *m;
	size_t i;

	if (from == NULL)
		return NULL;
	s = shape_of(((const ProtobufCMessage *)from)->descriptor);
	m = memcpy(
	    arena_alloc(a, s->d->sizeof_message), from, s->d->sizeof_message);
	for (i = 0; i < s->n; i++)
		copy_field(&s->f[i], m, a);
	if (m->n_unknown_fields == 0)
		return m;
	u = arena_array(a, ProtobufCMessageUnknownField, m->n_unknown_fields);
	for (i = 0; i < m->n_unknown_fields; i++) {
		u[i] = m->unknown_fields[i];
		u[i].data =
		    memcpy(arena_alloc(a, u[i].len), u[i].data, u[i].len);
	}
	m->unknown_fields = u;
	return m;
}

void *
msg_copy(const void *m, struct arena *a)
{
	return copy(m, a);
}

const char *
msg_enum_name(const ProtobufCEnumDescriptor *d, int v, enum msg_mapping how)
{
	const struct enum_name *n = enum_by_value(enum_shape_of(d), v);

	return n == NULL ? "?" : how == MSG_FRAME ? n->brief : n->full;
}

int
msg_enum_value(const ProtobufCEnumDescriptor *d, const char *name)
{
	const struct enum_name *n =
	    enum_by_name(enum_shape_of(d), name, strlen(name));

	return n == NULL ? -1 : n->value;
}
