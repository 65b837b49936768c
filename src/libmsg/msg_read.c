/* JSON to messages. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "shape.h"

struct reader {
	struct json *j;
	enum msg_mapping how;
	bool missing;	/* the mistake is an absent field */
	char path[200]; /* where it is; made while the calls return */
	const char *at; /* where the value began that is being read */
	other_fn *other;
	void *arg;
};

/* Put a step in front of the path of a mistake; returns false. */
static bool
in(struct reader *r, const char *name, long index)
{
	char tail[sizeof(r->path)], step[64];

	if (name != NULL)
		(void)snprintf(step, sizeof(step), "%.60s", name);
	else
		(void)snprintf(step, sizeof(step), "[%ld]", index);
	memcpy(tail, r->path, sizeof(tail));
	(void)snprintf(r->path, sizeof(r->path), "%s%s%.130s", step,
	    tail[0] == '\0' || tail[0] == '[' ? "" : ".", tail);
	return false;
}

static bool message(
    struct reader *r, const struct shape *s, ProtobufCMessage **m, int depth);

/* Refuse the value that began at r->at. */
static bool
refuse(struct reader *r, const char *what)
{
	if (r->j->what == NULL)
		r->j->p = r->at;
	return json_fail(r->j, what);
}

/* A number in quotes, which the API's mapping allows: look inside. */
static bool
quoted(struct reader *r, struct json *inner)
{
	const char *s;
	size_t n;

	if (r->how != MSG_API || json_peek(r->j) != JSON_STRING)
		return false;
	if (!json_raw(r->j, &s, &n))
		return false;
	json_open(inner, s + 1, n - 2, r->j->a);
	return true;
}

static bool
closed(struct reader *r, struct json *inner, bool ok)
{
	return ok && inner->p == inner->end ? true
					    : refuse(r, "wants a number");
}

static bool
whole(struct reader *r, int64_t *v)
{
	struct json k;

	if (quoted(r, &k))
		return closed(r, &k, json_int(&k, v));
	return json_int(r->j, v);
}

static bool
whole_u(struct reader *r, uint64_t *v)
{
	struct json k;

	if (quoted(r, &k))
		return closed(r, &k, json_uint(&k, v));
	return json_uint(r->j, v);
}

static bool
real(struct reader *r, double *v)
{
	static const struct {
		const char *s;
		double v;
	} odd[] = { { "\"NaN\"", (double)NAN },
		{ "\"Infinity\"", (double)INFINITY },
		{ "\"-Infinity\"", -(double)INFINITY } };
	struct json k;
	const char *s;
	size_t n, i;

	if (json_peek(r->j) != JSON_STRING)
		return json_double(r->j, v);
	k = *r->j;
	if (!json_raw(&k, &s, &n))
		return json_double(r->j, v);
	for (i = 0; i < NITEMS(odd); i++)
		if (n == strlen(odd[i].s) && memcmp(s, odd[i].s, n) == 0) {
			*v = odd[i].v;
			return json_skip(r->j);
		}
	if (quoted(r, &k))
		return closed(r, &k, json_double(&k, v));
	return refuse(r, "wants a number");
}

static bool
number32(struct reader *r, bool is_signed, void *at)
{
	uint64_t u;
	int64_t v;

	if (is_signed) {
		if (!whole(r, &v))
			return false;
		if (v < INT32_MIN || v > INT32_MAX)
			return refuse(r, "out of range");
		*(int32_t *)at = (int32_t)v;
	} else {
		if (!whole_u(r, &u))
			return false;
		if (u > UINT32_MAX)
			return refuse(r, "out of range");
		*(uint32_t *)at = (uint32_t)u;
	}
	return true;
}

static bool
choice(struct reader *r, const struct field *f, int *at)
{
	const struct enum_name *name;
	const char *s;
	int64_t v;
	size_t n;

	switch (json_peek(r->j)) {
	case JSON_STRING:
		if (!json_raw(r->j, &s, &n))
			return false;
		if ((name = enum_by_name(f->en, s + 1, n - 2)) == NULL)
			return json_fail(
			    r->j, arena_printf(r->j->a, "%.*s is no %s", (int)n,
				      s, f->en->d->name));
		*at = name->value;
		return true;
	case JSON_NUMBER:
		if (!json_int(r->j, &v))
			return false;
		if (v < INT32_MIN || v > INT32_MAX)
			return refuse(r, "out of range");
		*at = (int)v;
		return true;
	default:
		return refuse(r, "wants a name");
	}
}

/* Base64 with either alphabet, padded or not. */
static bool
bytes(struct reader *r, ProtobufCBinaryData *at)
{
	uint32_t v = 0;
	const char *s;
	uint8_t *d;
	int bits = 0, c;

	if (!json_string(r->j, &s) ||
	    (d = json_alloc(r->j, strlen(s) / 4 * 3 + 3)) == NULL)
		return false;
	at->data = d;
	for (; *s != '\0' && *s != '='; s++) {
		if (*s >= 'A' && *s <= 'Z')
			c = *s - 'A';
		else if (*s >= 'a' && *s <= 'z')
			c = *s - 'a' + 26;
		else if (*s >= '0' && *s <= '9')
			c = *s - '0' + 52;
		else if (*s == '+' || *s == '-')
			c = 62;
		else if (*s == '/' || *s == '_')
			c = 63;
		else
			return refuse(r, "wants base64");
		v = v << 6 | (uint32_t)c;
		if ((bits += 6) >= 8)
			*d++ = (uint8_t)(v >> (bits -= 8));
	}
	at->len = (size_t)(d - at->data);
	return strspn(s, "=") == strlen(s) && strlen(s) <= 2 && bits < 6
		   ? true
		   : refuse(r, "wants base64");
}

static bool
value(struct reader *r, const struct field *f, void *at, int depth)
{
	const char *s;
	uint64_t u;
	int64_t v;
	double d;
	bool b;

	(void)json_peek(r->j); /* past the blanks */
	r->at = r->j->p;
	switch (f->d->type) {
	case PROTOBUF_C_TYPE_STRING:
		if (!json_string(r->j, &s))
			return false;
		*(const char **)at = s;
		return true;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		if (!whole(r, &v))
			return false;
		*(int64_t *)at = v;
		return true;
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		if (!whole_u(r, &u))
			return false;
		*(uint64_t *)at = u;
		return true;
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		return number32(r, true, at);
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		return number32(r, false, at);
	case PROTOBUF_C_TYPE_BOOL:
		if (!json_bool(r->j, &b))
			return false;
		*(protobuf_c_boolean *)at = b;
		return true;
	case PROTOBUF_C_TYPE_ENUM:
		return choice(r, f, at);
	case PROTOBUF_C_TYPE_MESSAGE:
		return message(r, f->msg, at, depth + 1);
	case PROTOBUF_C_TYPE_BYTES:
		return bytes(r, at);
	case PROTOBUF_C_TYPE_DOUBLE:
		if (!real(r, &d))
			return false;
		*(double *)at = d;
		return true;
	default:
		if (!real(r, &d))
			return false;
		/* What would be rounded up to infinity. */
		if (isfinite(d) && fabs(d) >= 3.4028235677973366e38)
			return refuse(r, "out of range");
		*(float *)at = (float)d;
		return true;
	}
}

/* Room for one more element: doubled when full. */
static bool
room(struct reader *r, char **at, size_t n, size_t *cap, size_t size)
{
	char *p;

	if (n < *cap)
		return true;
	*cap = *cap == 0 ? 4 : *cap * 2;
	if ((p = json_alloc(r->j, *cap * size)) == NULL)
		return false;
	if (n > 0)
		memcpy(p, *at, n * size);
	*at = p;
	return true;
}

static bool
list(struct reader *r, const struct field *f, ProtobufCMessage *m, int depth)
{
	char **at = FIELD_AT(m, f->d);
	size_t *n = FIELD_QUANTITY(m, f->d, size_t), cap = 0;

	if (!json_array(r->j))
		return false;
	for (*n = 0; json_item(r->j); ++*n)
		if (!room(r, at, *n, &cap, f->size) ||
		    !value(r, f, *at + *n * f->size, depth))
			return in(r, NULL, (long)*n);
	return r->j->what == NULL;
}

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Whether no key of a map comes twice; small maps need no sorting. */
static bool
unique(struct reader *r, const struct field *key, ProtobufCMessage **entry,
    size_t n)
{
	const char **k;
	size_t i;
	bool ok = true;

	if (n < 2)
		return true;
	k = xcalloc(n, sizeof(*k));
	for (i = 0; i < n; i++)
		k[i] = *(const char **)FIELD_AT(entry[i], key->d);
	qsort(k, n, sizeof(*k), by_text);
	for (i = 1; ok && i < n; i++)
		if (strcmp(k[i - 1], k[i]) == 0)
			ok = json_fail(
			    r->j, arena_printf(r->j->a,
				      "the key %.60s is there twice", k[i]));
	free(k);
	return ok;
}

static ProtobufCMessage *
fresh(struct reader *r, const ProtobufCMessageDescriptor *d)
{
	ProtobufCMessage *m = json_alloc(r->j, d->sizeof_message);

	if (m != NULL)
		d->message_init(m);
	return m;
}

static bool
map(struct reader *r, const struct field *f, ProtobufCMessage *m, int depth)
{
	const struct field *kv = f->msg->f;
	ProtobufCMessage *entry, ***at = FIELD_AT(m, f->d);
	size_t *n = FIELD_QUANTITY(m, f->d, size_t), cap = 0;
	const char *key;

	if (!json_object(r->j))
		return false;
	for (*n = 0; json_key(r->j, &key); ++*n) {
		if (!room(r, (char **)at, *n, &cap, sizeof(**at)) ||
		    (entry = fresh(r, f->msg->d)) == NULL)
			return in(r, key, 0);
		*(const char **)FIELD_AT(entry, kv[0].d) = key;
		if (kv[1].d->label == PROTOBUF_C_LABEL_OPTIONAL &&
		    kv[1].d->type != PROTOBUF_C_TYPE_STRING &&
		    kv[1].d->type != PROTOBUF_C_TYPE_MESSAGE)
			*FIELD_QUANTITY(entry, kv[1].d, protobuf_c_boolean) = 1;
		if (!value(r, &kv[1], FIELD_AT(entry, kv[1].d), depth))
			return in(r, key, 0);
		(*at)[*n] = entry;
	}
	return r->j->what == NULL && unique(r, &kv[0], *at, *n);
}

static bool
member(struct reader *r, const struct field *f, ProtobufCMessage *m, int depth)
{
	const ProtobufCFieldDescriptor *d = f->d;
	uint32_t *which;

	if (f->map)
		return map(r, f, m, depth);
	if (d->label == PROTOBUF_C_LABEL_REPEATED)
		return list(r, f, m, depth);
	if ((d->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
		which = FIELD_QUANTITY(m, d, uint32_t);
		if (*which != 0)
			return json_fail(
			    r->j, "only one of its group may be there");
		*which = d->id;
	} else if (d->label == PROTOBUF_C_LABEL_OPTIONAL &&
		   d->type != PROTOBUF_C_TYPE_STRING &&
		   d->type != PROTOBUF_C_TYPE_MESSAGE) {
		*FIELD_QUANTITY(m, d, protobuf_c_boolean) = 1;
	}
	return value(r, f, FIELD_AT(m, d), depth);
}

static bool
complete(struct reader *r, const struct shape *s, const uint64_t *got)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if ((s->required[i / 64] & ~got[i / 64]) >> i % 64 & 1) {
			r->missing = true;
			json_fail(r->j, "is missing");
			return in(r, s->f[i].name[r->how], 0);
		}
	return true;
}

static bool
members(struct reader *r, const struct shape *s, ProtobufCMessage *m, int depth)
{
	uint64_t seen[FIELDS / 64] = { 0 }, got[FIELDS / 64] = { 0 }, bit;
	const struct field *f = s->f;
	const char *key;
	size_t n, i;

	while (json_span(r->j, &key, &n)) {
		/* Most writers keep the order of the .proto. */
		if (f == s->f + s->n || f->nname[r->how] != n ||
		    memcmp(f->name[r->how], key, n) != 0)
			f = shape_field(s, key, n);
		if (f == NULL) {
			f = s->f;
			if (depth == 0 && r->other != NULL
				? !r->other(r->j, key, n, r->arg)
				: !json_skip(r->j))
				return false;
			continue;
		}
		i = (size_t)(f - s->f);
		bit = (uint64_t)1 << i % 64;
		if ((seen[i / 64] & bit) != 0) {
			json_fail(r->j, "is there twice");
			return in(r, f->name[r->how], 0);
		}
		seen[i / 64] |= bit;
		/* null is as good as absent, where it is no value itself. */
		if (*r->j->p == 'n' &&
		    (f->msg == NULL || f->msg->special != RAW)) {
			if (!json_null(r->j))
				return in(r, f->name[r->how], 0);
		} else {
			got[i / 64] |= bit;
			if (!member(r, f, m, depth))
				return in(r, f->name[r->how], 0);
		}
		f++;
	}
	return r->j->what == NULL && complete(r, s, got);
}

static bool
raw(struct reader *r, const struct shape *s, ProtobufCMessage *m)
{
	const char *t, *p;
	char *d;
	size_t n;

	if (!json_raw(r->j, &t, &n) || (d = json_alloc(r->j, n + 1)) == NULL)
		return false;
	*(char **)FIELD_AT(m, s->f[0].d) = d;
	/* A newline can only stand between tokens; the text is one line. */
	for (p = t; p < t + n; p++)
		if (*p != '\n' && *p != '\r')
			*d++ = *p;
	return true;
}

static bool
message(
    struct reader *r, const struct shape *s, ProtobufCMessage **m, int depth)
{
	if (depth > MSG_DEPTH)
		return json_fail(r->j, "nested too deeply");
	if ((*m = fresh(r, s->d)) == NULL)
		return false;
	if (s->special == RAW)
		return raw(r, s, *m);
	if (s->special == WRAPPER)
		return member(r, &s->f[0], *m, depth);
	return json_object(r->j) && members(r, s, *m, depth);
}

ProtobufCMessage *
msg_members(struct json *j, const struct shape *s, enum msg_mapping how,
    other_fn *other, void *arg, struct err *e)
{
	struct reader r = { .j = j, .how = how, .other = other, .arg = arg };
	ProtobufCMessage *m = NULL;

	if (message(&r, s, &m, 0))
		return m;
	if (r.missing)
		err_set(e, RC_PERM, "field %s is missing", r.path);
	else if (r.path[0] != '\0')
		err_set(e, RC_PERM, "field %s: byte %zu: %s", r.path, j->at + 1,
		    j->what);
	else
		err_set(e, RC_PERM, "byte %zu: %s", j->at + 1, j->what);
	return NULL;
}

ProtobufCMessage *
msg_from_json(const ProtobufCMessageDescriptor *d, const char *s, size_t n,
    enum msg_mapping how, struct arena *a, size_t budget, struct err *e)
{
	ProtobufCMessage *m;
	struct json j;

	json_open(&j, s, n, a);
	j.left = budget == 0 ? 64u << 20 : budget;
	m = msg_members(&j, shape_of(d), how, NULL, NULL, e);
	return m == NULL || json_close(&j, e) == -1 ? NULL : m;
}
