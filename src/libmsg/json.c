#include "json.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void
json_open(struct json *j, const char *s, size_t n, struct arena *a)
{
	*j = (struct json){
		.start = s, .p = s, .end = s + n, .a = a, .left = SIZE_MAX
	};
}

bool
json_fail(struct json *j, const char *what)
{
	if (j->what == NULL) {
		j->what = what;
		j->at = (size_t)(j->p - j->start);
	}
	j->p = j->end;
	return false;
}

/* A mistake of something that was read already: where it began. */
static bool
fail_at(struct json *j, const char *at, const char *what)
{
	if (j->what == NULL)
		j->p = at;
	return json_fail(j, what);
}

static inline void
blank(struct json *j)
{
	while (j->p < j->end && (*j->p == ' ' || *j->p == '\n' ||
				    *j->p == '\t' || *j->p == '\r'))
		j->p++;
}

int
json_close(struct json *j, struct err *e)
{
	if (j->what == NULL) {
		blank(j);
		if (j->p < j->end)
			json_fail(j, "there is more after the value");
		else if (j->depth > 0)
			json_fail(j, "it was not read to its end");
	}
	if (j->what == NULL)
		return 0;
	return err_set(e, RC_PERM, "byte %zu: %s", j->at + 1, j->what);
}

void *
json_alloc(struct json *j, size_t n)
{
	if (n > j->left) {
		json_fail(j, "it takes more memory than it may");
		return NULL;
	}
	j->left -= n;
	return arena_alloc(j->a, n);
}

enum json_type
json_peek(struct json *j)
{
	blank(j);
	if (j->p == j->end)
		return JSON_NONE;
	switch (*j->p) {
	case '{':
		return JSON_OBJECT;
	case '[':
		return JSON_ARRAY;
	case '"':
		return JSON_STRING;
	case 't':
	case 'f':
		return JSON_BOOL;
	case 'n':
		return JSON_NULL;
	case '-':
		return JSON_NUMBER;
	default:
		return *j->p >= '0' && *j->p <= '9' ? JSON_NUMBER : JSON_NONE;
	}
}

static bool
enter(struct json *j, char c, const char *what)
{
	blank(j);
	if (j->p == j->end || *j->p != c)
		return json_fail(j, j->p == j->end ? "the text ends" : what);
	if (j->depth == JSON_DEPTH)
		return json_fail(j, "nested too deeply");
	j->p++;
	j->depth++;
	j->first = true;
	return true;
}

bool
json_object(struct json *j)
{
	return enter(j, '{', "wants an object");
}

bool
json_array(struct json *j)
{
	return enter(j, '[', "wants an array");
}

/* At the next member or item: past the comma, or past the end. */
static bool
next(struct json *j, char close, const char *what)
{
	blank(j);
	if (j->p == j->end)
		return json_fail(j, "the text ends");
	if (*j->p == close) {
		j->p++;
		j->depth--;
		j->first = false;
		return false;
	}
	if (!j->first) {
		if (*j->p != ',')
			return json_fail(j, what);
		j->p++;
		blank(j);
	}
	j->first = false;
	return true;
}

bool
json_item(struct json *j)
{
	if (!next(j, ']', "wants a comma or ]"))
		return false;
	if (json_peek(j) == JSON_NONE)
		return json_fail(j, "wants a value");
	return true;
}

static int
hex4(const char *p)
{
	int i, d, v = 0;

	for (i = 0; i < 4; i++) {
		if (p[i] >= '0' && p[i] <= '9')
			d = p[i] - '0';
		else if ((p[i] | 32) >= 'a' && (p[i] | 32) <= 'f')
			d = (p[i] | 32) - 'a' + 10;
		else
			return -1;
		v = v * 16 + d;
	}
	return v;
}

/* What may stand in a string as it is, and is one byte. */
static const bool plain[256] = { [' '] = 1,
	['!'] = 1, /* no quote */
#define ROW(c) \
	[(c)] = 1, [(c) + 1] = 1, [(c) + 2] = 1, [(c) + 3] = 1, [(c) + 4] = 1, \
	[(c) + 5] = 1, [(c) + 6] = 1, [(c) + 7] = 1
	['#'] = 1,
	['$'] = 1,
	['%'] = 1,
	['&'] = 1,
	['\''] = 1,
	ROW(0x28),
	ROW(0x30),
	ROW(0x38),
	ROW(0x40),
	ROW(0x48),
	ROW(0x50),
	[0x58] = 1,
	[0x59] = 1,
	[0x5a] = 1,
	[0x5b] = 1,
	[0x5d] = 1,
	[0x5e] = 1,
	[0x5f] = 1,
	ROW(0x60),
	ROW(0x68),
	ROW(0x70),
	ROW(0x78)
#undef ROW
};

/* Check the escape at j->p; moves past it, also past a pair's second half. */
static bool
escape(struct json *j)
{
	int v;

	if (j->end - j->p < 2)
		return json_fail(j, "the text ends in a string");
	if (j->p[1] != 'u') {
		if (j->p[1] == '\0' || strchr("\"\\/bfnrt", j->p[1]) == NULL)
			return json_fail(j, "there is no such escape");
		j->p += 2;
		return true;
	}
	if (j->end - j->p < 6 || (v = hex4(j->p + 2)) == -1)
		return json_fail(j, "\\u wants four hex digits");
	if (v >= 0xdc00 && v <= 0xdfff)
		return json_fail(j, "a lone surrogate");
	if (v >= 0xd800 && v <= 0xdbff) {
		if (j->end - j->p < 12 || j->p[6] != '\\' || j->p[7] != 'u' ||
		    (v = hex4(j->p + 8)) < 0xdc00 || v > 0xdfff)
			return json_fail(j, "a lone surrogate");
		j->p += 6;
	}
	j->p += 6;
	return true;
}

/* Check the string at j->p; its inside is *s .. j->p - 1. */
static bool
scan(struct json *j, const char **s, size_t *n, bool *escaped)
{
	const char *p, *end = j->end;
	size_t k;

	if (j->p == end || *j->p != '"')
		return json_fail(j, "wants a string");
	*s = ++j->p;
	*escaped = false;
	for (;;) {
		for (p = j->p; p < end && plain[(unsigned char)*p]; p++)
			;
		j->p = p;
		if (p == end)
			return json_fail(j, "the text ends in a string");
		if (*p == '"')
			break;
		if (*p == '\\') {
			*escaped = true;
			if (!escape(j))
				return false;
		} else if ((unsigned char)*p < 0x20) {
			return json_fail(j, "a control character in a string");
		} else if ((k = utf8_len(p, end)) == 0) {
			return json_fail(j, "not UTF-8");
		} else {
			j->p += k;
		}
	}
	*n = (size_t)(j->p - *s);
	j->p++;
	return true;
}

static char *
utf8_put(char *d, int v)
{
	if (v < 0x80) {
		*d++ = (char)v;
		return d;
	}
	if (v < 0x800) {
		*d++ = (char)(0xc0 | v >> 6);
	} else {
		if (v < 0x10000) {
			*d++ = (char)(0xe0 | v >> 12);
		} else {
			*d++ = (char)(0xf0 | v >> 18);
			*d++ = (char)(0x80 | (v >> 12 & 63));
		}
		*d++ = (char)(0x80 | (v >> 6 & 63));
	}
	*d++ = (char)(0x80 | (v & 63));
	return d;
}

/* Undo the escapes of what scan has checked; never longer than it was. */
static size_t
unescape(char *dst, const char *s, size_t n)
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	const char *end = s + n, *c;
	char *d = dst;
	int v;

	while (s < end) {
		if (*s != '\\') {
			*d++ = *s++;
		} else if (s[1] != 'u') {
			c = strchr(from, s[1]);
			*d++ = c == NULL ? s[1] : to[c - from];
			s += 2;
		} else {
			v = hex4(s + 2);
			s += 6;
			if (v >= 0xd800 && v <= 0xdbff) {
				v = 0x10000 + (v - 0xd800) * 1024 +
				    (hex4(s + 2) - 0xdc00);
				s += 6;
			}
			d = utf8_put(d, v);
		}
	}
	return (size_t)(d - dst);
}

static bool
text(struct json *j, const char **s)
{
	const char *p, *at = j->p;
	bool escaped;
	char *d;
	size_t n;

	if (!scan(j, &p, &n, &escaped) || (d = json_alloc(j, n + 1)) == NULL)
		return false;
	*s = d;
	if (!escaped) {
		memcpy(d, p, n);
		return true;
	}
	n = unescape(d, p, n);
	if (memchr(d, '\0', n) != NULL) {
		return fail_at(j, at, "a NUL in a string");
	}
	memset(d + n, 0, 1);
	return true;
}

bool
json_string(struct json *j, const char **s)
{
	blank(j);
	return text(j, s);
}

static bool
colon(struct json *j)
{
	blank(j);
	if (j->p == j->end || *j->p != ':')
		return json_fail(j, "wants a colon");
	j->p++;
	if (json_peek(j) == JSON_NONE)
		return json_fail(j, "wants a value");
	return true;
}

bool
json_key(struct json *j, const char **key)
{
	return next(j, '}', "wants a comma or }") && text(j, key) && colon(j);
}

bool
json_span(struct json *j, const char **key, size_t *n)
{
	bool escaped;
	char *d;

	if (!next(j, '}', "wants a comma or }") || !scan(j, key, n, &escaped))
		return false;
	if (escaped) {
		if ((d = json_alloc(j, *n + 1)) == NULL)
			return false;
		*n = unescape(d, *key, *n);
		*key = d;
	}
	return colon(j);
}

static bool
digits(struct json *j)
{
	const char *p = j->p;

	while (j->p < j->end && *j->p >= '0' && *j->p <= '9')
		j->p++;
	return j->p > p;
}

bool
json_number(struct json *j, const char **s, size_t *n)
{
	blank(j);
	*s = j->p;
	if (j->p < j->end && *j->p == '-')
		j->p++;
	if (j->p < j->end && *j->p == '0')
		j->p++;
	else if (!digits(j))
		return json_fail(j, "wants a number");
	if (j->p < j->end && *j->p == '.') {
		j->p++;
		if (!digits(j))
			return json_fail(j, "wants a digit");
	}
	if (j->p < j->end && (*j->p == 'e' || *j->p == 'E')) {
		j->p++;
		if (j->p < j->end && (*j->p == '+' || *j->p == '-'))
			j->p++;
		if (!digits(j))
			return json_fail(j, "wants a digit");
	}
	*n = (size_t)(j->p - *s);
	return true;
}

/* The number at s as a double; the text is bounded by what JSON allows. */
static double
to_double(const char *s, size_t n)
{
	char tmp[64], *p = tmp;
	double v;

	if (n >= sizeof(tmp))
		p = xcalloc(1, n + 1);
	memcpy(p, s, n);
	p[n] = '\0';
	v = strtod(p, NULL);
	if (p != tmp)
		free(p);
	return v;
}

/* |number| and its sign, when it is integral and fits. */
static bool
integral(struct json *j, uint64_t *v, bool *neg)
{
	const char *s, *p, *at;
	size_t n;
	double d;

	blank(j);
	at = j->p;
	if (!json_number(j, &s, &n))
		return false;
	*neg = *s == '-';
	*v = 0;
	for (p = s + *neg; p < s + n && *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(*v, 10u, v) ||
		    __builtin_add_overflow(*v, (uint64_t)(*p - '0'), v))
			return fail_at(j, at, "out of range");
	if (p == s + n)
		return true;
	d = fabs(to_double(s, n));
	if (!(d <= 9007199254740992.0) || d != (double)(uint64_t)d)
		return fail_at(j, at, "wants a whole number");
	*v = (uint64_t)d;
	return true;
}

bool
json_int(struct json *j, int64_t *v)
{
	const char *at;
	uint64_t u;
	bool neg;

	blank(j);
	at = j->p;
	if (!integral(j, &u, &neg))
		return false;
	if (u > (uint64_t)INT64_MAX + neg)
		return fail_at(j, at, "out of range");
	*v = neg ? (int64_t)(0 - u) : (int64_t)u;
	return true;
}

bool
json_uint(struct json *j, uint64_t *v)
{
	const char *at;
	bool neg;

	blank(j);
	at = j->p;
	if (!integral(j, v, &neg))
		return false;
	return neg && *v != 0 ? fail_at(j, at, "out of range") : true;
}

bool
json_double(struct json *j, double *v)
{
	const char *s;
	size_t n;

	if (!json_number(j, &s, &n))
		return false;
	*v = to_double(s, n);
	return isfinite(*v) ? true : fail_at(j, s, "out of range");
}

static bool
word(struct json *j, const char *w, size_t n, const char *what)
{
	if ((size_t)(j->end - j->p) < n || memcmp(j->p, w, n) != 0)
		return json_fail(j, what);
	j->p += n;
	return true;
}

bool
json_bool(struct json *j, bool *v)
{
	blank(j);
	*v = j->p < j->end && *j->p == 't';
	return *v ? word(j, "true", 4, "wants true or false")
		  : word(j, "false", 5, "wants true or false");
}

bool
json_null(struct json *j)
{
	blank(j);
	return word(j, "null", 4, "wants null");
}

/* One value that is no object and no array. */
static bool
scalar(struct json *j)
{
	const char *s;
	bool b;
	size_t n;

	switch (json_peek(j)) {
	case JSON_STRING:
		return scan(j, &s, &n, &b);
	case JSON_NUMBER:
		return json_number(j, &s, &n);
	case JSON_BOOL:
		return json_bool(j, &b);
	case JSON_NULL:
		return json_null(j);
	default:
		return json_fail(
		    j, j->p == j->end ? "the text ends" : "wants a value");
	}
}

/* Without recursion: a bit per level says whether it is an object. */
bool
json_skip(struct json *j)
{
	int base = j->depth;
	uint64_t is[JSON_DEPTH / 64] = { 0 }, bit;
	bool b;
	const char *s;
	size_t n;
	int d;

	j->depth = 0;
	for (;;) {
		switch (json_peek(j)) {
		case JSON_OBJECT:
			bit = (uint64_t)1 << j->depth % 64;
			if (!json_object(j))
				return false;
			is[(j->depth - 1) / 64] |= bit;
			break;
		case JSON_ARRAY:
			bit = (uint64_t)1 << j->depth % 64;
			if (!json_array(j))
				return false;
			is[(j->depth - 1) / 64] &= ~bit;
			break;
		default:
			if (!scalar(j))
				return false;
		}
		/* To the next value, out of as many levels as end here. */
		for (;;) {
			if ((d = j->depth) == 0) {
				j->depth = base;
				return true;
			}
			if ((is[(d - 1) / 64] >> (d - 1) % 64 & 1) != 0
				? next(j, '}', "wants a comma or }") &&
				      scan(j, &s, &n, &b) && colon(j)
				: json_item(j))
				break;
			if (j->what != NULL)
				return false;
		}
	}
}

bool
json_raw(struct json *j, const char **s, size_t *n)
{
	blank(j);
	*s = j->p;
	if (!json_skip(j))
		return false;
	*n = (size_t)(j->p - *s);
	return true;
}

bool
json_valid(const char *s, size_t n)
{
	struct json j;

	json_open(&j, s, n, NULL);
	if (!json_skip(&j))
		return false;
	blank(&j);
	return j.p == j.end;
}
