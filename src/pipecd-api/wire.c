/*
 * Packed messages without unpacking them: what is listed goes from the store
 * to the caller as it is.
 */
#include <string.h>

#include "api.h"

static void
put_varint(struct buf *b, uint64_t v)
{
	for (; v > 127; v >>= 7)
		buf_addc(b, (char)((v & 127) | 128));
	buf_addc(b, (char)v);
}

void
wire_bytes(struct buf *b, unsigned field, const void *p, size_t n)
{
	put_varint(b, (uint64_t)field << 3 | 2);
	put_varint(b, n);
	buf_add(b, p, n);
}

static bool
get_varint(const uint8_t **p, const uint8_t *end, uint64_t *v)
{
	int shift;

	for (*v = 0, shift = 0; *p < end && shift < 64; shift += 7) {
		*v |= (uint64_t)(**p & 127) << shift;
		if ((*(*p)++ & 128) == 0)
			return true;
	}
	return false;
}

bool
wire_string(
    const void *m, size_t n, unsigned field, const char **s, size_t *len)
{
	const uint8_t *p = m, *end = p + n;
	bool found = false;
	uint64_t tag, v;

	while (p < end && get_varint(&p, end, &tag)) {
		switch (tag & 7) {
		case 0:
			if (!get_varint(&p, end, &v))
				return found;
			continue;
		case 1:
			v = 8;
			break;
		case 5:
			v = 4;
			break;
		case 2:
			if (!get_varint(&p, end, &v))
				return found;
			break;
		default:
			return found;
		}
		if (v > (uint64_t)(end - p))
			return found;
		if (tag ==
		    ((uint64_t)field << 3 | 2)) { /* the last one counts */
			*s = (const char *)p;
			*len = (size_t)v;
			found = true;
		}
		p += v;
	}
	return found;
}

bool
wire_is(const void *m, size_t n, unsigned field, const char *s)
{
	const char *v;
	size_t len;

	return wire_string(m, n, field, &v, &len) && strlen(s) == len &&
	       memcmp(v, s, len) == 0;
}

void
reply_records(struct call *c, const Store__Reply *r, unsigned field,
    unsigned cursor_field, const char *cursor)
{
	struct buf b = BUF_INIT;
	size_t i, n = 0;

	for (i = 0; i < r->n_records; i++)
		n += r->records[i]->value.len + 16;
	buf_grow(&b, n + 256);
	for (i = 0; i < r->n_records; i++)
		wire_bytes(&b, field, r->records[i]->value.data,
		    r->records[i]->value.len);
	if (cursor_field != 0 && !empty(cursor))
		wire_bytes(&b, cursor_field, cursor, strlen(cursor));
	grpc_reply_bytes(c->g, b.p, b.len);
	buf_free(&b);
}
