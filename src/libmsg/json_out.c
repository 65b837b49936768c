#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

/* What needs no look: printable ASCII without the quote and the backslash. */
static inline bool
plain(char c)
{
	return (unsigned char)c >= 0x20 && (unsigned char)c < 0x80 &&
	       c != '"' && c != '\\';
}

void
json_quote(struct buf *b, const char *s, size_t n)
{
	static const char from[] = "\b\f\n\r\t\"\\", to[] = "bfnrt\"\\";
	const char *p, *c, *end = s + n;
	size_t k;

	buf_grow(b, n + 2);
	buf_addc(b, '"');
	while (s < end) {
		for (p = s; p < end && plain(*p); p++)
			;
		buf_add(b, s, (size_t)(p - s));
		if ((s = p) == end)
			break;
		if ((unsigned char)*s >= 0x80) {
			if ((k = utf8_len(s, end)) > 0) {
				buf_add(b, s, k);
				s += k;
			} else {
				buf_adds(b, "\xef\xbf\xbd");
				s++;
			}
			continue;
		}
		if (*s != '\0' && (c = strchr(from, *s)) != NULL) {
			buf_addc(b, '\\');
			buf_addc(b, to[c - from]);
		} else {
			buf_printf(b, "\\u%04x", (unsigned)*s);
		}
		s++;
	}
	buf_addc(b, '"');
}

void
json_print_double(struct buf *b, double v)
{
	char tmp[40];
	int prec;

	for (prec = 15; prec <= 17; prec++) {
		(void)snprintf(tmp, sizeof(tmp), "%.*g", prec, v);
		if (strtod(tmp, NULL) == v)
			break;
	}
	buf_adds(b, tmp);
}

void
json_print_float(struct buf *b, float v)
{
	char tmp[40];
	int prec;

	for (prec = 6; prec <= 9; prec++) {
		(void)snprintf(tmp, sizeof(tmp), "%.*g", prec, (double)v);
		if (strtof(tmp, NULL) == v)
			break;
	}
	buf_adds(b, tmp);
}

static void
comma(struct json_out *o)
{
	if (o->more)
		buf_addc(o->b, ',');
	o->more = true;
}

static void
open(struct json_out *o, char c)
{
	uint64_t bit = (uint64_t)1 << o->depth % 64;

	must(o->depth < JSON_DEPTH);
	comma(o);
	buf_addc(o->b, c);
	if (c == '{')
		o->kind[o->depth / 64] |= bit;
	else
		o->kind[o->depth / 64] &= ~bit;
	o->depth++;
	o->more = false;
}

void
json_out_object(struct json_out *o)
{
	open(o, '{');
}

void
json_out_array(struct json_out *o)
{
	open(o, '[');
}

void
json_out_end(struct json_out *o)
{
	must(o->depth > 0);
	o->depth--;
	buf_addc(o->b, o->kind[o->depth / 64] >> o->depth % 64 & 1 ? '}' : ']');
	o->more = true;
}

void
json_out_key(struct json_out *o, const char *key)
{
	comma(o);
	json_quote(o->b, key, strlen(key));
	buf_addc(o->b, ':');
	o->more = false;
}

void
json_out_stringn(struct json_out *o, const char *s, size_t n)
{
	comma(o);
	json_quote(o->b, s, n);
}

void
json_out_string(struct json_out *o, const char *s)
{
	if (s == NULL)
		json_out_null(o);
	else
		json_out_stringn(o, s, strlen(s));
}

void
json_out_raw(struct json_out *o, const char *s, size_t n)
{
	comma(o);
	buf_add(o->b, s, n);
}

void
json_out_int(struct json_out *o, int64_t v)
{
	comma(o);
	buf_printf(o->b, "%lld", (long long)v);
}

void
json_out_uint(struct json_out *o, uint64_t v)
{
	comma(o);
	buf_printf(o->b, "%llu", (unsigned long long)v);
}

void
json_out_double(struct json_out *o, double v)
{
	if (!isfinite(v)) {
		json_out_null(o);
		return;
	}
	comma(o);
	json_print_double(o->b, v);
}

void
json_out_bool(struct json_out *o, bool v)
{
	json_out_raw(o, v ? "true" : "false", v ? 4 : 5);
}

void
json_out_null(struct json_out *o)
{
	json_out_raw(o, "null", 4);
}
