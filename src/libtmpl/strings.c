#include "funcs.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"

#define F(f) \
	int fn_##f(struct run *r, const char *at, struct tmpl_value *out, \
	    const struct tmpl_value *v, size_t n)
#define UNUSED (void)r, (void)at, (void)n

static const char spaces[] = " \t\r\n\v\f";

int
want_str(struct run *r, const char *at, const struct tmpl_value *v)
{
	if (v->kind == TMPL_STR)
		return 0;
	return tmpl_fail(
	    r, at, "a value of type %s is no string", tmpl_kind_name(v->kind));
}

int
give(struct run *r, const char *at, struct buf *b, struct tmpl_value *out)
{
	int rv = tmpl_spend(r, at, b->len);

	if (rv == 0)
		*out = tmpl_str(arena_strndup(r->a, b->p, b->len), b->len);
	buf_free(b);
	return rv;
}

int
as_str(struct run *r, const char *at, const struct tmpl_value *v,
    struct tmpl_value *s)
{
	struct buf b = BUF_INIT;

	if (v->kind == TMPL_STR) {
		*s = *v;
		return 0;
	}
	tmpl_print(&b, v);
	return give(r, at, &b, s);
}

F(to_string)
{
	UNUSED;
	return as_str(r, at, &v[0], out);
}

F(print)
{
	struct buf b = BUF_INIT;
	size_t i;

	for (i = 0; i < n; i++) {
		/* As Go: a space between two that are no strings. */
		if (i > 0 && v[i].kind != TMPL_STR && v[i - 1].kind != TMPL_STR)
			buf_addc(&b, ' ');
		tmpl_print(&b, &v[i]);
	}
	return give(r, at, &b, out);
}

F(println)
{
	struct buf b = BUF_INIT;
	size_t i;

	for (i = 0; i < n; i++) {
		if (i > 0)
			buf_addc(&b, ' ');
		tmpl_print(&b, &v[i]);
	}
	buf_addc(&b, '\n');
	return give(r, at, &b, out);
}

/* %[-0][width][.precision]verb, for s v d x q t. */
struct verb {
	bool left, zero;
	int width, precision; /* -1: none */
	char c;
};

static int
verb_of(struct run *r, const char *at, const char **p, const char *end,
    struct verb *d)
{
	const char *s = *p;

	*d = (struct verb){ .precision = -1 };
	for (; s < end && (*s == '-' || *s == '0'); s++) {
		d->left |= *s == '-';
		d->zero |= *s == '0';
	}
	for (; s < end && isdigit((unsigned char)*s) && d->width < 1000; s++)
		d->width = d->width * 10 + (*s - '0');
	if (s < end && *s == '.')
		for (s++, d->precision = 0;
		     s < end && isdigit((unsigned char)*s) &&
		     d->precision < 1000;
		     s++)
			d->precision = d->precision * 10 + (*s - '0');
	if (s == end || strchr("svdxqt", *s) == NULL || *s == '\0')
		return tmpl_fail(r, at,
		    "printf: only %%s %%v %%d %%x %%q %%t %%%% are supported");
	d->c = *s;
	*p = s + 1;
	return 0;
}

static int
print_verb(struct run *r, const char *at, struct buf *b, const struct verb *d,
    const struct tmpl_value *v)
{
	struct buf t = BUF_INIT;
	size_t i, len;

	if ((d->c == 'd' && v->kind != TMPL_INT) ||
	    (d->c == 't' && v->kind != TMPL_BOOL) ||
	    ((d->c == 's' || d->c == 'q') && v->kind != TMPL_STR) ||
	    (d->c == 'x' && v->kind != TMPL_STR && v->kind != TMPL_INT))
		return tmpl_fail(r, at, "printf: %%%c of a value of type %s",
		    d->c, tmpl_kind_name(v->kind));
	if (d->c == 'q')
		tmpl_quote(&t, v->s, v->len);
	else if (d->c == 'x' && v->kind == TMPL_INT)
		buf_printf(&t, "%s%llx", v->i < 0 ? "-" : "",
		    v->i < 0 ? -(unsigned long long)v->i
			     : (unsigned long long)v->i);
	else if (d->c == 'x')
		for (i = 0; i < v->len; i++)
			buf_printf(&t, "%02x", (unsigned char)v->s[i]);
	else
		tmpl_print(&t, v);
	len = t.len;
	if (d->precision >= 0 && d->c == 's' && len > (size_t)d->precision)
		len = (size_t)d->precision;
	for (i = len; !d->left && i < (size_t)d->width; i++)
		buf_addc(b, d->zero && d->c != 's' ? '0' : ' ');
	buf_add(b, t.p, len);
	for (i = len; d->left && i < (size_t)d->width; i++)
		buf_addc(b, ' ');
	buf_free(&t);
	return 0;
}

F(printf_)
{
	const char *p, *end;
	struct buf b = BUF_INIT;
	struct verb d;
	size_t k = 1;

	if (want_str(r, at, &v[0]) == -1)
		return -1;
	for (p = v[0].s, end = p + v[0].len; p < end;) {
		if (*p != '%') {
			buf_addc(&b, *p++);
			continue;
		}
		if (++p < end && *p == '%') {
			buf_addc(&b, *p++);
			continue;
		}
		if (verb_of(r, at, &p, end, &d) == -1)
			goto bad;
		if (k >= n) {
			tmpl_fail(r, at, "printf: arguments are missing");
			goto bad;
		}
		if (print_verb(r, at, &b, &d, &v[k++]) == -1)
			goto bad;
		if (b.len > TMPL_OUT_MAX)
			break;
	}
	if (k < n && b.len <= TMPL_OUT_MAX) {
		tmpl_fail(r, at, "printf: too many arguments");
		goto bad;
	}
	return give(r, at, &b, out);
bad:
	buf_free(&b);
	return -1;
}

static int
quoted(struct run *r, const char *at, struct tmpl_value *out,
    const struct tmpl_value *v, size_t n, bool single)
{
	struct buf b = BUF_INIT;
	struct tmpl_value s = { 0 };
	size_t i;

	for (i = 0; i < n; i++) {
		if (v[i].kind == TMPL_NIL)
			continue;
		if (as_str(r, at, &v[i], &s) == -1) {
			buf_free(&b);
			return -1;
		}
		if (b.len > 0)
			buf_addc(&b, ' ');
		if (!single) {
			tmpl_quote(&b, s.s, s.len);
			continue;
		}
		buf_addc(&b, '\'');
		buf_add(&b, s.s, s.len);
		buf_addc(&b, '\'');
	}
	return give(r, at, &b, out);
}

F(quote)
{
	return quoted(r, at, out, v, n, false);
}
F(squote)
{
	return quoted(r, at, out, v, n, true);
}

F(cat)
{
	struct buf b = BUF_INIT;
	size_t i;

	for (i = 0; i < n; i++) {
		if (v[i].kind == TMPL_NIL)
			continue;
		if (b.len > 0)
			buf_addc(&b, ' ');
		tmpl_print(&b, &v[i]);
	}
	return give(r, at, &b, out);
}

F(b64enc)
{
	struct buf b = BUF_INIT;

	UNUSED;
	if (want_str(r, at, &v[0]) == -1)
		return -1;
	base64_encode(&b, v[0].s, v[0].len);
	return give(r, at, &b, out);
}

F(b64dec)
{
	struct buf b = BUF_INIT;

	UNUSED;
	if (want_str(r, at, &v[0]) == -1)
		return -1;
	if (base64_decode(&b, v[0].s, v[0].len) == -1)
		return tmpl_fail(r, at, "b64dec: the value is not base64");
	return give(r, at, &b, out);
}

F(sha256sum)
{
	char hex[SHA256_HEX];

	UNUSED;
	if (want_str(r, at, &v[0]) == -1)
		return -1;
	sha256_hex(hex, v[0].s, v[0].len);
	*out = tmpl_str(arena_strdup(r->a, hex), strlen(hex));
	return 0;
}

static int
mapped(struct run *r, const char *at, struct tmpl_value *out,
    const struct tmpl_value *v, int (*f)(int))
{
	struct buf b = BUF_INIT;
	size_t i;

	if (want_str(r, at, v) == -1)
		return -1;
	for (i = 0; i < v->len; i++) {
		unsigned char c = (unsigned char)v->s[i];

		buf_addc(&b, (char)(c < 0x80 ? f(c) : c));
	}
	return give(r, at, &b, out);
}

F(upper)
{
	UNUSED;
	return mapped(r, at, out, v, toupper);
}

F(lower)
{
	UNUSED;
	return mapped(r, at, out, v, tolower);
}

F(title)
{
	struct buf b = BUF_INIT;
	bool start = true;
	size_t i;

	UNUSED;
	if (want_str(r, at, &v[0]) == -1)
		return -1;
	for (i = 0; i < v[0].len; i++) {
		unsigned char c = (unsigned char)v[0].s[i];

		buf_addc(&b, (char)(start && c < 0x80 ? toupper(c) : c));
		start = !isalnum(c) && c != '_' && c != '\'' && c < 0x80;
	}
	return give(r, at, &b, out);
}

F(nospace)
{
	struct buf b = BUF_INIT;
	size_t i;

	UNUSED;
	if (want_str(r, at, &v[0]) == -1)
		return -1;
	for (i = 0; i < v[0].len; i++)
		if (v[0].s[i] == '\0' || strchr(spaces, v[0].s[i]) == NULL)
			buf_addc(&b, v[0].s[i]);
	return give(r, at, &b, out);
}

static int
trimmed(struct run *r, const char *at, struct tmpl_value *out, const char *cut,
    size_t n_cut, const struct tmpl_value *v)
{
	if (want_str(r, at, v) == -1)
		return -1;
	*out = *v;
	while (out->len > 0 && memchr(cut, out->s[0], n_cut) != NULL)
		out->s++, out->len--;
	while (out->len > 0 && memchr(cut, out->s[out->len - 1], n_cut) != NULL)
		out->len--;
	return 0;
}

F(trim)
{
	UNUSED;
	return trimmed(r, at, out, spaces, strlen(spaces), &v[0]);
}

F(trim_all)
{
	UNUSED;
	if (want_str(r, at, &v[0]) == -1)
		return -1;
	return trimmed(r, at, out, v[0].s, v[0].len, &v[1]);
}

/* Whether s (v[1]) has v[0] at its start, or its end. */
static int
has(struct run *r, const char *at, const struct tmpl_value *v, bool end,
    bool *yes)
{
	if (want_str(r, at, &v[0]) == -1 || want_str(r, at, &v[1]) == -1)
		return -1;
	*yes = v[1].len >= v[0].len &&
	       memcmp(v[1].s + (end ? v[1].len - v[0].len : 0), v[0].s,
		   v[0].len) == 0;
	return 0;
}

F(has_prefix)
{
	UNUSED;
	out->kind = TMPL_BOOL;
	return has(r, at, v, false, &out->b);
}

F(has_suffix)
{
	UNUSED;
	out->kind = TMPL_BOOL;
	return has(r, at, v, true, &out->b);
}

F(trim_prefix)
{
	bool yes = false;

	UNUSED;
	if (has(r, at, v, false, &yes) == -1)
		return -1;
	*out = v[1];
	if (yes)
		out->s += v[0].len, out->len -= v[0].len;
	return 0;
}

F(trim_suffix)
{
	bool yes = false;

	UNUSED;
	if (has(r, at, v, true, &yes) == -1)
		return -1;
	*out = v[1];
	if (yes)
		out->len -= v[0].len;
	return 0;
}

F(contains)
{
	UNUSED;
	if (want_str(r, at, &v[0]) == -1 || want_str(r, at, &v[1]) == -1)
		return -1;
	*out = tmpl_bool(v[0].len == 0 ||
			 memmem(v[1].s, v[1].len, v[0].s, v[0].len) != NULL);
	return 0;
}

F(replace)
{
	const char *p, *q, *end;
	struct buf b = BUF_INIT;

	UNUSED;
	if (want_str(r, at, &v[0]) == -1 || want_str(r, at, &v[1]) == -1 ||
	    want_str(r, at, &v[2]) == -1)
		return -1;
	*out = v[2];
	if (v[0].len == 0)
		return tmpl_fail(r, at, "replace: nothing to look for");
	for (p = v[2].s, end = p + v[2].len; p < end; p = q + v[0].len) {
		q = memmem(p, (size_t)(end - p), v[0].s, v[0].len);
		buf_add(&b, p, (size_t)((q != NULL ? q : end) - p));
		if (q == NULL)
			break;
		buf_add(&b, v[1].s, v[1].len);
		if (b.len > TMPL_OUT_MAX)
			break;
	}
	return give(r, at, &b, out);
}

F(repeat)
{
	struct buf b = BUF_INIT;
	int64_t k = 0;

	UNUSED;
	if (want_int(r, at, &v[0], &k) == -1 || want_str(r, at, &v[1]) == -1)
		return -1;
	if (k < 0 ||
	    (v[1].len > 0 && (uint64_t)k > (uint64_t)TMPL_OUT_MAX / v[1].len))
		return tmpl_fail(r, at, "repeat: %lld times", (long long)k);
	for (; k > 0 && v[1].len > 0; k--)
		buf_add(&b, v[1].s, v[1].len);
	return give(r, at, &b, out);
}

static int
indented(struct run *r, const char *at, struct tmpl_value *out,
    const struct tmpl_value *v, bool nl)
{
	struct buf b = BUF_INIT;
	int64_t k = 0, j;
	size_t i;

	if (want_int(r, at, &v[0], &k) == -1 || want_str(r, at, &v[1]) == -1)
		return -1;
	if (k < 0 || k > 1000)
		return tmpl_fail(r, at, "indent by %lld", (long long)k);
	if (nl)
		buf_addc(&b, '\n');
	for (j = 0; j < k; j++)
		buf_addc(&b, ' ');
	for (i = 0; i < v[1].len && b.len <= TMPL_OUT_MAX; i++) {
		buf_addc(&b, v[1].s[i]);
		for (j = 0; v[1].s[i] == '\n' && j < k; j++)
			buf_addc(&b, ' ');
	}
	return give(r, at, &b, out);
}

F(indent)
{
	UNUSED;
	return indented(r, at, out, v, false);
}

F(nindent)
{
	UNUSED;
	return indented(r, at, out, v, true);
}

F(substr)
{
	int64_t a = 0, b = 0;

	UNUSED;
	if (want_int(r, at, &v[0], &a) == -1 ||
	    want_int(r, at, &v[1], &b) == -1 || want_str(r, at, &v[2]) == -1)
		return -1;
	*out = v[2];
	if (a < 0)
		a = 0;
	else if (b < 0 || b > (int64_t)v[2].len)
		b = (int64_t)v[2].len;
	if (b < a || b > (int64_t)v[2].len)
		return tmpl_fail(r, at, "substr: out of range");
	out->s += a;
	out->len = (size_t)(b - a);
	return 0;
}

F(trunc_)
{
	int64_t k = 0;

	UNUSED;
	if (want_int(r, at, &v[0], &k) == -1 || want_str(r, at, &v[1]) == -1)
		return -1;
	*out = v[1];
	if (k >= 0 && (int64_t)out->len > k) {
		out->len = (size_t)k;
	} else if (k < 0 && k > -(int64_t)out->len) {
		out->s += (int64_t)out->len + k;
		out->len = (size_t)-k;
	}
	return 0;
}

F(join)
{
	struct buf b = BUF_INIT;
	size_t i;

	UNUSED;
	if (want_str(r, at, &v[0]) == -1)
		return -1;
	if (v[1].kind != TMPL_LIST)
		return as_str(r, at, &v[1], out);
	for (i = 0; i < v[1].len && b.len <= TMPL_OUT_MAX; i++) {
		if (i > 0)
			buf_add(&b, v[0].s, v[0].len);
		tmpl_print(&b, &v[1].items[i]);
	}
	return give(r, at, &b, out);
}

F(split)
{
	const char *p, *q, *end;
	size_t cap = 0;

	UNUSED;
	if (want_str(r, at, &v[0]) == -1 || want_str(r, at, &v[1]) == -1)
		return -1;
	if (v[0].len == 0)
		return tmpl_fail(r, at, "split: by nothing");
	out->kind = TMPL_LIST;
	for (p = v[1].s, end = p + v[1].len;; p = q + v[0].len) {
		q = memmem(p, (size_t)(end - p), v[0].s, v[0].len);
		if (out->len == cap) {
			struct tmpl_value *more;

			cap = cap * 2 + 8;
			if (tmpl_spend(r, at, cap * sizeof(*more)) == -1)
				return -1;
			more = arena_array(r->a, struct tmpl_value, cap);
			if (out->len > 0)
				memcpy(
				    more, out->items, out->len * sizeof(*more));
			out->items = more;
		}
		out->items[out->len++] =
		    tmpl_str(p, (size_t)((q != NULL ? q : end) - p));
		if (q == NULL)
			return 0;
	}
}

/* sprig's split: a map with the keys _0, _1 ... */
F(split_map)
{
	struct tmpl_value parts = { 0 };
	size_t i;

	if (fn_split(r, at, &parts, v, n) == -1)
		return -1;
	if (parts.len > 1000)
		return tmpl_fail(r, at, "split: more than 1000 parts");
	*out = tmpl_map();
	for (i = 0; i < parts.len; i++)
		tmpl_put(
		    out, arena_printf(r->a, "_%zu", i), parts.items[i], r->a);
	return 0;
}
