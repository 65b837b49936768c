/* Messages to JSON. */
#include <math.h>
#include <string.h>

#include "json.h"
#include "shape.h"

static void
put_uint(struct buf *b, uint64_t v, bool neg)
{
	char tmp[24], *p = tmp + sizeof(tmp);

	do
		*--p = (char)('0' + v % 10);
	while ((v /= 10) > 0);
	if (neg)
		*--p = '-';
	buf_add(b, p, (size_t)(tmp + sizeof(tmp) - p));
}

static void
put_int(struct buf *b, int64_t v)
{
	put_uint(b, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, v < 0);
}

/* The same in both mappings: JSON has no numbers for these. */
static bool
put_odd(struct buf *b, double v)
{
	if (isfinite(v))
		return false;
	buf_adds(b, isnan(v) ? "\"NaN\""
		    : v < 0  ? "\"-Infinity\""
			     : "\"Infinity\"");
	return true;
}

/* Embedded JSON: as it is, on one line. */
static void
put_raw(struct buf *b, const ProtobufCMessage *m, const struct shape *s)
{
	const char *t = *(char **)FIELD_AT(m, s->f[0].d), *p;

	/* A line must not be forged from inside; it was checked when read. */
	must(t != NULL && json_valid(t, strlen(t)));
	while ((p = strpbrk(t, "\r\n")) != NULL) {
		buf_add(b, t, (size_t)(p - t));
		t = p + 1;
	}
	buf_adds(b, t);
}

static void put_value(
    struct buf *b, const struct field *f, const void *at, enum msg_mapping how);

static void
put_message(struct buf *b, const struct shape *s, const ProtobufCMessage *m,
    enum msg_mapping how)
{
	must(s != NULL && m != NULL);
	if (s->special == RAW) {
		put_raw(b, m, s);
	} else if (s->special == WRAPPER) {
		put_value(b, &s->f[0], FIELD_AT(m, s->f[0].d), how);
	} else {
		buf_addc(b, '{');
		msg_fields(b, s, m, how, false);
		buf_addc(b, '}');
	}
}

static void
put_enum(struct buf *b, const struct field *f, int v, enum msg_mapping how)
{
	const struct enum_name *n = enum_by_value(f->en, v);

	if (n == NULL) {
		put_int(b, v);
		return;
	}
	buf_addc(b, '"');
	if (how == MSG_FRAME)
		buf_add(b, n->brief, n->nbrief);
	else
		buf_add(b, n->full, n->nfull);
	buf_addc(b, '"');
}

static void
put_value(
    struct buf *b, const struct field *f, const void *at, enum msg_mapping how)
{
	const ProtobufCBinaryData *bytes;
	const char *s;

	switch (f->d->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		put_int(b, *(const int32_t *)at);
		break;
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		put_uint(b, *(const uint32_t *)at, false);
		break;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		if (how == MSG_API)
			buf_addc(b, '"');
		if (f->d->type == PROTOBUF_C_TYPE_UINT64 ||
		    f->d->type == PROTOBUF_C_TYPE_FIXED64)
			put_uint(b, *(const uint64_t *)at, false);
		else
			put_int(b, *(const int64_t *)at);
		if (how == MSG_API)
			buf_addc(b, '"');
		break;
	case PROTOBUF_C_TYPE_FLOAT:
		if (!put_odd(b, (double)*(const float *)at))
			json_print_float(b, *(const float *)at);
		break;
	case PROTOBUF_C_TYPE_DOUBLE:
		if (!put_odd(b, *(const double *)at))
			json_print_double(b, *(const double *)at);
		break;
	case PROTOBUF_C_TYPE_BOOL:
		buf_adds(b, *(const protobuf_c_boolean *)at ? "true" : "false");
		break;
	case PROTOBUF_C_TYPE_ENUM:
		put_enum(b, f, *(const int *)at, how);
		break;
	case PROTOBUF_C_TYPE_STRING:
		s = *(char *const *)at;
		json_quote(b, s == NULL ? "" : s, s == NULL ? 0 : strlen(s));
		break;
	case PROTOBUF_C_TYPE_BYTES:
		bytes = at;
		buf_addc(b, '"');
		base64_encode(b, bytes->data, bytes->len);
		buf_addc(b, '"');
		break;
	case PROTOBUF_C_TYPE_MESSAGE:
		put_message(b, f->msg, *(ProtobufCMessage *const *)at, how);
		break;
	}
}

static void
put_list(struct buf *b, const struct field *f, const char *at, size_t n,
    enum msg_mapping how)
{
	size_t i;

	buf_addc(b, '[');
	for (i = 0; i < n; i++) {
		if (i > 0)
			buf_addc(b, ',');
		put_value(b, f, at + i * f->size, how);
	}
	buf_addc(b, ']');
}

static void
put_map(struct buf *b, const struct field *f, ProtobufCMessage *const *at,
    size_t n, enum msg_mapping how)
{
	const struct field *kv = f->msg->f;
	size_t i;

	buf_addc(b, '{');
	for (i = 0; i < n; i++) {
		if (i > 0)
			buf_addc(b, ',');
		put_value(b, &kv[0], FIELD_AT(at[i], kv[0].d), how);
		buf_addc(b, ':');
		/* An entry without a value has the empty one. */
		if (kv[1].msg != NULL &&
		    *(void **)FIELD_AT(at[i], kv[1].d) == NULL)
			buf_adds(b, "{}");
		else
			put_value(b, &kv[1], FIELD_AT(at[i], kv[1].d), how);
	}
	buf_addc(b, '}');
}

/* Whether a field of proto3 without presence has its default. */
static bool
is_default(const struct field *f, const void *at)
{
	static const char zero[8];

	switch (f->d->type) {
	case PROTOBUF_C_TYPE_STRING:
		return *(char *const *)at == NULL ||
		       **(char *const *)at == '\0';
	case PROTOBUF_C_TYPE_BYTES:
		return ((const ProtobufCBinaryData *)at)->len == 0;
	case PROTOBUF_C_TYPE_MESSAGE:
		return *(void *const *)at == NULL;
	default:
		return memcmp(at, zero, f->size) == 0;
	}
}

static bool
is_there(const struct field *f, const ProtobufCMessage *m, const void *at)
{
	const ProtobufCFieldDescriptor *d = f->d;

	if ((d->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0)
		return *FIELD_QUANTITY(m, d, uint32_t) == d->id;
	switch (d->label) {
	case PROTOBUF_C_LABEL_REQUIRED:
		return true;
	case PROTOBUF_C_LABEL_OPTIONAL:
		if (d->type == PROTOBUF_C_TYPE_STRING ||
		    d->type == PROTOBUF_C_TYPE_MESSAGE)
			return *(void *const *)at != NULL &&
			       *(void *const *)at != d->default_value;
		return *FIELD_QUANTITY(m, d, protobuf_c_boolean) != 0;
	case PROTOBUF_C_LABEL_REPEATED:
		return *FIELD_QUANTITY(m, d, size_t) > 0;
	default:
		return !is_default(f, at);
	}
}

void
msg_fields(struct buf *b, const struct shape *s, const ProtobufCMessage *m,
    enum msg_mapping how, bool more)
{
	const struct field *f;
	const void *at;
	size_t n;

	for (f = s->f; f < s->f + s->n; f++) {
		at = FIELD_AT(m, f->d);
		if (!is_there(f, m, at) && !(f->always && how == MSG_FRAME))
			continue;
		buf_add(b, f->lead[how] + !more, f->nlead[how] - !more);
		more = true;
		if (f->d->label != PROTOBUF_C_LABEL_REPEATED) {
			put_value(b, f, at, how);
			continue;
		}
		n = *FIELD_QUANTITY(m, f->d, size_t);
		if (f->map)
			put_map(b, f, *(ProtobufCMessage *const *const *)at, n,
			    how);
		else
			put_list(b, f, *(const char *const *)at, n, how);
	}
}

void
msg_json(struct buf *b, const ProtobufCMessage *m, enum msg_mapping how)
{
	put_message(b, shape_of(m->descriptor), m, how);
}
