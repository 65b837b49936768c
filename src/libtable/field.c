/* Fields of messages by their paths, and what of them stands in keys. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "inside.h"
#include "msg.h"

/* The first byte of a value in a key. */
enum {
	KEY_UUID = 1,  /* 16 bytes */
	KEY_SHORT = 2, /* a length, and that many bytes */
	KEY_LONG = 3,  /* SHA-256 */
	KEY_NUMBER = 4 /* 8 bytes */
};

static bool
is_map(const ProtobufCFieldDescriptor *f)
{
	const ProtobufCMessageDescriptor *d = f->descriptor;

	return f->type == PROTOBUF_C_TYPE_MESSAGE &&
	       f->label == PROTOBUF_C_LABEL_REPEATED && d->n_fields == 2 &&
	       str_suffix(d->name, "Entry") &&
	       d->fields[0].type == PROTOBUF_C_TYPE_STRING &&
	       d->fields[1].type == PROTOBUF_C_TYPE_STRING;
}

int
path_compile(struct path *p, const ProtobufCMessageDescriptor *d,
    const char *text, struct arena *a, struct err *e)
{
	const ProtobufCFieldDescriptor *f;
	const char *s, *dot;
	char *name;

	memset(p, 0, sizeof(*p));
	p->text = arena_strdup(a, text);
	for (s = text; d != NULL && p->n < PATH_STEPS; s = dot + 1) {
		dot = strchrnul(s, '.');
		name = arena_strndup(a, s, (size_t)(dot - s));
		f = protobuf_c_message_descriptor_get_field_by_name(d, name);
		if (f == NULL)
			break;
		p->step[p->n++] = f;
		p->many = p->many || f->label == PROTOBUF_C_LABEL_REPEATED;
		d = f->type == PROTOBUF_C_TYPE_MESSAGE && !is_map(f)
			? f->descriptor
			: NULL;
		if (*dot == '\0')
			return d != NULL ? err_set(e, RC_PERM,
					       "%s: is a message", text)
					 : 0;
	}
	return err_set(e, RC_PERM, "%s: no such field", text);
}

/* Where a field is in a message, and how many of it. */
static const void *
member(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, size_t *n)
{
	const char *base = (const char *)m;
	const void *at = base + f->offset;

	*n = 1;
	switch (f->label) {
	case PROTOBUF_C_LABEL_REPEATED:
		memcpy(n, base + f->quantifier_offset, sizeof(*n));
		return *(const void *const *)at;
	default:
		if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
			uint32_t which;

			memcpy(
			    &which, base + f->quantifier_offset, sizeof(which));
			if (which != f->id)
				*n = 0;
		}
		return at;
	}
}

static size_t
width(const ProtobufCFieldDescriptor *f)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 8;
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	default:
		return 4;
	}
}

static void
each(const struct path *p, size_t i, const ProtobufCMessage *m,
    void (*f)(void *arg, const ProtobufCFieldDescriptor *d, const void *v),
    void *arg)
{
	const ProtobufCFieldDescriptor *d = p->step[i];
	const char *at;
	const void *v;
	size_t n, k;

	if (m == NULL)
		return;
	at = member(m, d, &n);
	for (k = 0; k < n; k++, at += width(d)) {
		v = at;
		if (d->type == PROTOBUF_C_TYPE_STRING ||
		    d->type == PROTOBUF_C_TYPE_MESSAGE)
			v = *(const void *const *)v;
		if (i + 1 < p->n)
			each(p, i + 1, v, f, arg);
		else
			f(arg, d, v);
	}
}

void
path_each(const struct path *p, const ProtobufCMessage *m,
    void (*f)(void *arg, const ProtobufCFieldDescriptor *d, const void *v),
    void *arg)
{
	each(p, 0, m, f, arg);
}

static int64_t
number(const ProtobufCFieldDescriptor *d, const void *v)
{
	int64_t wide;
	int32_t narrow;

	if (width(d) == 8) {
		memcpy(&wide, v, sizeof(wide));
		return wide;
	}
	memcpy(&narrow, v, sizeof(narrow));
	if (d->type == PROTOBUF_C_TYPE_UINT32 ||
	    d->type == PROTOBUF_C_TYPE_FIXED32)
		return (int64_t)(uint32_t)narrow;
	return narrow;
}

static void
take_int(void *arg, const ProtobufCFieldDescriptor *d, const void *v)
{
	*(int64_t *)arg = number(d, v);
}

int64_t
path_int(const struct path *p, const ProtobufCMessage *m)
{
	int64_t v = 0;

	path_each(p, m, take_int, &v);
	return v;
}

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The canonical form only: another spelling is another string. */
static bool
uuid_bytes(uint8_t out[16], const char *s, size_t n)
{
	size_t i, k = 0;
	int hi, lo;

	if (n != UUID_LEN - 1)
		return false;
	for (i = 0; i < n;) {
		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (s[i++] != '-')
				return false;
			continue;
		}
		hi = hex(s[i]), lo = hex(s[i + 1]);
		if (hi < 0 || lo < 0)
			return false;
		out[k++] = (uint8_t)(hi << 4 | lo);
		i += 2;
	}
	return true;
}

static void
text_key(struct buf *b, const char *s, size_t n)
{
	uint8_t raw[SHA256_DIGEST_LENGTH];

	if (uuid_bytes(raw, s, n)) {
		buf_addc(b, KEY_UUID);
		buf_add(b, raw, 16);
	} else if (n <= VALUE_TEXT) {
		buf_addc(b, KEY_SHORT);
		buf_addc(b, (char)n);
		buf_add(b, s, n);
	} else {
		SHA2_CTX c;

		SHA256Init(&c);
		SHA256Update(&c, (const uint8_t *)s, n);
		SHA256Final(raw, &c);
		buf_addc(b, KEY_LONG);
		buf_add(b, raw, sizeof(raw));
	}
}

void
order_key(struct buf *b, int64_t order)
{
	uint64_t v = (uint64_t)order ^ (UINT64_C(1) << 63);
	char raw[8];
	int i;

	for (i = 7; i >= 0; i--, v >>= 8)
		raw[i] = (char)(v & 255);
	buf_add(b, raw, sizeof(raw));
}

static void
number_key(struct buf *b, int64_t v)
{
	buf_addc(b, KEY_NUMBER);
	order_key(b, v);
}

/* A map's entry as the text "key=value". */
static void
pair_key(struct buf *b, const ProtobufCMessage *entry)
{
	const ProtobufCMessageDescriptor *d = entry->descriptor;
	const char *at = (const char *)entry;
	struct buf text = BUF_INIT;

	buf_adds(&text, *(const char *const *)(at + d->fields[0].offset));
	buf_addc(&text, '=');
	buf_adds(&text, *(const char *const *)(at + d->fields[1].offset));
	text_key(b, text.p, text.len);
	buf_free(&text);
}

bool
value_key(struct buf *b, const ProtobufCFieldDescriptor *d, const void *v)
{
	const char *s = v;

	switch (d->type) {
	case PROTOBUF_C_TYPE_STRING:
		if (s == NULL || *s == '\0')
			return false;
		text_key(b, s, strlen(s));
		return true;
	case PROTOBUF_C_TYPE_MESSAGE:
		pair_key(b, v);
		return true;
	default:
		number_key(b, number(d, v));
		return true;
	}
}

int
value_text(struct buf *b, const struct path *p, const char *text, struct err *e)
{
	const ProtobufCFieldDescriptor *d = p->step[p->n - 1];
	char *end;
	int64_t v;

	switch (d->type) {
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		if (*text == '\0' || (d->type == PROTOBUF_C_TYPE_MESSAGE &&
					 strchr(text, '=') == NULL))
			return err_set(e, RC_PERM,
			    "filter %s: \"%s\" is no value it can have",
			    p->text, text);
		text_key(b, text, strlen(text));
		return 0;
	case PROTOBUF_C_TYPE_BOOL:
		if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
			return err_set(e, RC_PERM,
			    "filter %s: \"%s\" is not true or false", p->text,
			    text);
		number_key(b, *text == 't');
		return 0;
	default:
		errno = 0;
		v = strtoll(text, &end, 10);
		if (*text == '\0' || *end != '\0' || errno != 0) {
			v = d->type == PROTOBUF_C_TYPE_ENUM
				? msg_enum_value(d->descriptor, text)
				: -1;
			if (v == -1)
				return err_set(e, RC_PERM,
				    "filter %s: \"%s\" is no value it can have",
				    p->text, text);
		}
		number_key(b, v);
		return 0;
	}
}

int
id_key(struct buf *b, const char *id, struct err *e)
{
	size_t n = strlen(id);
	uint8_t raw[16];

	if (n == 0 || n > TABLE_ID_MAX)
		return err_set(e, RC_PERM,
		    n == 0 ? "an id is empty"
			   : "an id is longer than 200 bytes");
	if (uuid_bytes(raw, id, n)) {
		buf_addc(b, KEY_UUID);
		buf_add(b, raw, 16);
	} else {
		buf_addc(b, KEY_SHORT);
		buf_add(b, id, n);
	}
	return 0;
}

char *
id_text(const uint8_t *k, size_t n, struct arena *a)
{
	char h[33];

	if (n != 17 || k[0] != KEY_UUID)
		return n == 0 ? NULL
			      : arena_strndup(a, (const char *)k + 1, n - 1);
	hex_encode(h, k + 1, 16);
	return arena_printf(
	    a, "%.8s-%.4s-%.4s-%.4s-%.12s", h, h + 8, h + 12, h + 16, h + 20);
}
