#include "shape.h"

#include <stdlib.h>
#include <string.h>

/*
 * Descriptors are constants of the program, and so is what is derived from
 * them: it is made once, at first use, and never freed.
 */
static struct table {
	const void **key;
	void **v;
	size_t n, cap;
} table;

static size_t
place(const struct table *t, const void *key)
{
	size_t i = ((uintptr_t)key >> 4) * 0x9e3779b97f4a7c15u >> 20;

	for (i &= t->cap - 1; t->key[i] != NULL && t->key[i] != key;)
		i = (i + 1) & (t->cap - 1);
	return i;
}

static void *
known(const void *key)
{
	return table.cap == 0 ? NULL : table.v[place(&table, key)];
}

static void
keep(const void *key, void *v)
{
	struct table old = table;
	size_t i;

	if (table.n * 2 >= table.cap) {
		table.cap = old.cap == 0 ? 256 : old.cap * 2;
		table.key = xcalloc(table.cap, sizeof(*table.key));
		table.v = xcalloc(table.cap, sizeof(*table.v));
		for (i = 0; i < old.cap; i++)
			if (old.key[i] != NULL) {
				size_t k = place(&table, old.key[i]);

				table.key[k] = old.key[i];
				table.v[k] = old.v[i];
			}
		free(old.key);
		free(old.v);
	}
	i = place(&table, key);
	table.key[i] = key;
	table.v[i] = v;
	table.n++;
}

/* "keyValues" and "key_values" give "keyValues". */
static char *
camel(const char *s)
{
	char *r = xcalloc(1, strlen(s) + 1), *d = r;
	bool up = false;

	for (; *s != '\0'; s++) {
		if (*s == '_') {
			up = true;
			continue;
		}
		*d++ = (char)(up && *s >= 'a' && *s <= 'z' ? *s - 32 : *s);
		up = false;
	}
	return r;
}

static size_t
size_of(const ProtobufCFieldDescriptor *d)
{
	switch (d->type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 8;
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	default:
		return 4;
	}
}

/*
 * protobuf-c does not say which message is a map's entry, but protoc names
 * them after the field: labels in model.Event is model.Event.LabelsEntry.
 */
static bool
is_map(const ProtobufCMessageDescriptor *of, const ProtobufCFieldDescriptor *f)
{
	const ProtobufCMessageDescriptor *d = f->descriptor;
	struct buf want = BUF_INIT;
	bool is;
	char *c;

	if (f->label != PROTOBUF_C_LABEL_REPEATED ||
	    f->type != PROTOBUF_C_TYPE_MESSAGE || d->n_fields != 2 ||
	    strcmp(d->fields[0].name, "key") != 0 ||
	    strcmp(d->fields[1].name, "value") != 0 ||
	    d->fields[0].type != PROTOBUF_C_TYPE_STRING)
		return false;
	c = camel(f->name);
	if (*c >= 'a' && *c <= 'z')
		*c = (char)(*c - 32);
	buf_printf(&want, "%s.%sEntry", of->name, c);
	is = strcmp(want.p, d->name) == 0;
	buf_free(&want);
	free(c);
	return is;
}

static size_t
hash(const char *s, size_t n)
{
	uint32_t h = 2166136261u;

	while (n-- > 0)
		h = (h ^ (unsigned char)*s++) * 16777619u;
	return h ^ h >> 15;
}

static void
slot_put(struct shape *s, const char *name, size_t number)
{
	size_t i = hash(name, strlen(name)) & s->mask;

	while (s->slot[i] != 0)
		i = (i + 1) & s->mask;
	s->slot[i] = (uint16_t)(number + 1);
}

static void
field_make(
    struct field *f, const struct shape *s, const ProtobufCFieldDescriptor *d)
{
	struct buf b = BUF_INIT;
	char *c = camel(d->name);
	int i;

	f->d = d;
	f->name[MSG_FRAME] = d->name;
	f->name[MSG_API] = strcmp(c, d->name) == 0 ? d->name : c;
	if (f->name[MSG_API] != c)
		free(c);
	for (i = 0; i < 2; i++) {
		f->nname[i] = strlen(f->name[i]);
		buf_reset(&b);
		buf_printf(&b, ",\"%s\":", f->name[i]);
		f->lead[i] = xstrdup(b.p);
		f->nlead[i] = b.len;
	}
	buf_free(&b);
	f->size = size_of(d);
	if (d->type == PROTOBUF_C_TYPE_MESSAGE) {
		f->map = is_map(s->d, d);
		f->msg = shape_of(d->descriptor);
	} else if (d->type == PROTOBUF_C_TYPE_ENUM) {
		f->en = enum_shape_of(d->descriptor);
		f->always = d->label == PROTOBUF_C_LABEL_NONE &&
			    strcmp(d->name, "status") == 0;
	}
}

struct shape *
shape_get(const ProtobufCMessageDescriptor *d)
{
	struct shape *s = known(d);
	size_t i;

	if (s != NULL)
		return s;
	must(d->n_fields <= FIELDS && d->message_init != NULL);
	s = xcalloc(1, sizeof(*s));
	keep(d, s); /* before its fields: a message may contain itself */
	s->d = d;
	s->n = d->n_fields;
	s->f = xcalloc(s->n, sizeof(*s->f));
	for (s->mask = 4; s->mask < s->n * 4; s->mask *= 2)
		;
	s->slot = xcalloc(s->mask, sizeof(*s->slot));
	s->mask--;
	if (strcmp(d->name, "frame.Json") == 0)
		s->special = RAW;
	else if (str_prefix(d->name, "google.protobuf.") &&
		 str_suffix(d->name, "Value") && s->n == 1)
		s->special = WRAPPER;
	for (i = 0; i < s->n; i++) {
		field_make(&s->f[i], s, &d->fields[i]);
		slot_put(s, s->f[i].name[0], i);
		if (s->f[i].name[1] != s->f[i].name[0])
			slot_put(s, s->f[i].name[1], i);
		if (d->fields[i].label == PROTOBUF_C_LABEL_REQUIRED)
			s->required[i / 64] |= (uint64_t)1 << i % 64;
	}
	return s;
}

const struct shape *
shape_of(const ProtobufCMessageDescriptor *d)
{
	return shape_get(d);
}

const struct field *
shape_field(const struct shape *s, const char *name, size_t n)
{
	const struct field *f;
	size_t i;
	int k;

	for (i = hash(name, n) & s->mask; s->slot[i] != 0;
	     i = (i + 1) & s->mask) {
		f = &s->f[s->slot[i] - 1];
		for (k = 0; k < 2; k++)
			if (f->nname[k] == n &&
			    memcmp(f->name[k], name, n) == 0)
				return f;
	}
	return NULL;
}

/*
 * The bytes that all names of an enum share, up to an underscore, so that no
 * name becomes empty or begins with a digit.
 */
static size_t
shared(const ProtobufCEnumDescriptor *d)
{
	const char *a = d->values[0].name;
	size_t n = strlen(a), i, k;

	for (i = 1; i < d->n_values; i++) {
		for (k = 0; k < n && d->values[i].name[k] == a[k]; k++)
			;
		n = k;
	}
	for (; n > 0; n--) {
		if (a[n - 1] != '_')
			continue;
		for (i = 0; i < d->n_values; i++)
			if (d->values[i].name[n] == '\0' ||
			    (d->values[i].name[n] >= '0' &&
				d->values[i].name[n] <= '9'))
				break;
		if (i == d->n_values)
			break;
	}
	return n;
}

const struct enum_shape *
enum_shape_of(const ProtobufCEnumDescriptor *d)
{
	struct enum_shape *s = known(d);
	size_t i, skip;

	if (s != NULL)
		return s;
	s = xcalloc(1, sizeof(*s));
	keep(d, s);
	s->d = d;
	s->n = d->n_values;
	s->v = xcalloc(s->n, sizeof(*s->v));
	s->dense = true;
	skip = shared(d);
	for (i = 0; i < s->n; i++) {
		s->v[i].full = d->values[i].name;
		s->v[i].nfull = strlen(s->v[i].full);
		s->v[i].brief = s->v[i].full + skip;
		s->v[i].nbrief = s->v[i].nfull - skip;
		s->v[i].value = d->values[i].value;
		if (s->v[i].value != s->v[0].value + (int)i)
			s->dense = false;
	}
	return s;
}

const struct enum_name *
enum_by_value(const struct enum_shape *s, int value)
{
	int64_t k = (int64_t)value - s->v[0].value;
	size_t i;

	if (s->dense)
		return k >= 0 && k < (int64_t)s->n ? &s->v[k] : NULL;
	for (i = 0; i < s->n; i++)
		if (s->v[i].value == value)
			return &s->v[i];
	return NULL;
}

const struct enum_name *
enum_by_name(const struct enum_shape *s, const char *name, size_t n)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (s->v[i].nbrief == n && memcmp(s->v[i].brief, name, n) == 0)
			return &s->v[i];
	for (i = 0; i < s->n; i++)
		if (s->v[i].nfull == n && memcmp(s->v[i].full, name, n) == 0)
			return &s->v[i];
	return NULL;
}
