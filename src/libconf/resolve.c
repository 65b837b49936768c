#include "node.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * YAML 1.1 as PipeCD's reader knows it, which is not quite the specification:
 * y and n are booleans, 0o17 and 017 are fifteen, 1_000 is a thousand, dates
 * and 190:20:30 are strings.
 */

#define TAG "tag:yaml.org,2002:"

static const struct word {
	const char *s;
	enum node_type type;
	const char *text;
} words[] = {
	{ "", NODE_NULL, "" },
	{ "~", NODE_NULL, "" },
	{ "null", NODE_NULL, "" },
	{ "Null", NODE_NULL, "" },
	{ "NULL", NODE_NULL, "" },
	{ "y", NODE_BOOL, "true" },
	{ "Y", NODE_BOOL, "true" },
	{ "yes", NODE_BOOL, "true" },
	{ "Yes", NODE_BOOL, "true" },
	{ "YES", NODE_BOOL, "true" },
	{ "true", NODE_BOOL, "true" },
	{ "True", NODE_BOOL, "true" },
	{ "TRUE", NODE_BOOL, "true" },
	{ "on", NODE_BOOL, "true" },
	{ "On", NODE_BOOL, "true" },
	{ "ON", NODE_BOOL, "true" },
	{ "n", NODE_BOOL, "false" },
	{ "N", NODE_BOOL, "false" },
	{ "no", NODE_BOOL, "false" },
	{ "No", NODE_BOOL, "false" },
	{ "NO", NODE_BOOL, "false" },
	{ "false", NODE_BOOL, "false" },
	{ "False", NODE_BOOL, "false" },
	{ "FALSE", NODE_BOOL, "false" },
	{ "off", NODE_BOOL, "false" },
	{ "Off", NODE_BOOL, "false" },
	{ "OFF", NODE_BOOL, "false" },
};

static bool
digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Digits of a base, all of them; fits 64 bits. */
static bool
digits(const char *s, unsigned base, uint64_t *v)
{
	unsigned d;

	if (*s == '\0')
		return false;
	for (*v = 0; *s != '\0'; s++) {
		d = digit(*s)		     ? (unsigned)(*s - '0')
		    : *s >= 'a' && *s <= 'f' ? (unsigned)(*s - 'a' + 10)
		    : *s >= 'A' && *s <= 'F' ? (unsigned)(*s - 'A' + 10)
					     : 99;
		if (d >= base || __builtin_mul_overflow(*v, base, v) ||
		    __builtin_add_overflow(*v, d, v))
			return false;
	}
	return true;
}

/* An integer in any base; its decimal digits into dst. */
static bool
integer(const char *s, char dst[32])
{
	bool minus = *s == '-', sign = minus || *s == '+';
	unsigned base = 10;
	uint64_t v;

	s += sign;
	if (s[0] == '0' && s[1] != '\0') {
		switch (s[1]) {
		case 'x':
		case 'X':
			base = 16, s += 2;
			break;
		case 'o':
		case 'O':
			base = 8, s += 2;
			break;
		case 'b':
		case 'B':
			base = 2, s += 2;
			break;
		default:
			base = 8, s += 1;
		}
	}
	if (!digits(s, base, &v) ||
	    (sign && v > (uint64_t)INT64_MAX + (minus ? 1 : 0)))
		return false;
	snprintf(dst, 32, "%s%llu", minus && v != 0 ? "-" : "",
	    (unsigned long long)v);
	return true;
}

/* [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? */
static bool
float_shape(const char *s)
{
	if (*s == '-' || *s == '+')
		s++;
	if (*s == '.') {
		if (!digit(*++s))
			return false;
	} else {
		if (!digit(*s))
			return false;
		while (digit(*s))
			s++;
		if (*s == '.')
			s++;
	}
	while (digit(*s))
		s++;
	if (*s == 'e' || *s == 'E') {
		s++;
		if (*s == '-' || *s == '+')
			s++;
		if (!digit(*s))
			return false;
		while (digit(*s))
			s++;
	}
	return *s == '\0';
}

/*
 * The shortest decimal that reads back as v, laid out as encoding/json does:
 * 1e3 is 1000, 1e21 stays 1e+21.
 */
static void
float_print(double v, char dst[64])
{
	char e[32], d[20] = "";
	const char *p;
	int prec, exp, n = 0, i, at = 0;
	double size = v < 0 ? -v : v;

	for (prec = 0; prec < 17; prec++) {
		snprintf(e, sizeof(e), "%.*e", prec, v);
		if (strtod(e, NULL) == v)
			break;
	}
	for (p = e; *p != '\0' && *p != 'e'; p++) {
		if (digit(*p) && n < (int)sizeof(d))
			d[n++] = *p;
	}
	exp = atoi(strchr(e, 'e') + 1);
	if (e[0] == '-')
		dst[at++] = '-';
	if (size != 0 && (size < 1e-6 || size >= 1e21)) {
		dst[at++] = d[0];
		if (n > 1) {
			dst[at++] = '.';
			for (i = 1; i < n; i++)
				dst[at++] = d[i];
		}
		snprintf(dst + at, 16, "e%c%d", exp < 0 ? '-' : '+', abs(exp));
		return;
	}
	if (exp < 0) {
		dst[at++] = '0';
		dst[at++] = '.';
		for (i = exp + 1; i < 0; i++)
			dst[at++] = '0';
		for (i = 0; i < n; i++)
			dst[at++] = d[i];
	}
	for (i = 0; exp >= 0 && (i < n || i <= exp); i++) {
		if (i == exp + 1)
			dst[at++] = '.';
		dst[at++] = i < n ? d[i] : '0';
	}
	dst[at] = '\0';
}

static const struct word *
word_find(const char *s)
{
	size_t i;

	for (i = 0; i < NITEMS(words); i++) {
		if (strcmp(words[i].s, s) == 0)
			return &words[i];
	}
	return NULL;
}

static bool
infinite(const char *s)
{
	static const char *const all[] = { ".nan", ".NaN", ".NAN", ".inf",
		".Inf", ".INF" };
	size_t i;

	s += *s == '-' || *s == '+';
	for (i = 0; i < NITEMS(all); i++) {
		if (strcmp(all[i], s) == 0)
			return true;
	}
	return false;
}

/* A number, as JSON text; false when it is none. */
static bool
number(const char *s, size_t n, bool dot, char dst[64])
{
	char plain[320];
	size_t i, len = 0;
	double v;

	if (n >= sizeof(plain))
		return false;
	for (i = 0; i < n; i++) {
		if (s[i] != '_' || dot)
			plain[len++] = s[i];
	}
	plain[len] = '\0';
	if (!dot && integer(plain, dst))
		return true;
	if (!float_shape(plain))
		return false;
	errno = 0;
	v = strtod(plain, NULL) + 0.0; /* no -0 */
	if (errno == ERANGE && (v > 1 || v < -1))
		return false;
	float_print(v, dst);
	return true;
}

/* JSON has no bytes: what is no text becomes U+FFFD, as in PipeCD. */
static int
binary(
    struct node *out, struct nodes *ns, const char *s, size_t n, struct err *e)
{
	struct buf bytes = BUF_INIT, text = BUF_INIT;
	const char *end;
	size_t skip;

	if (base64_decode(&bytes, s, n) == -1) {
		buf_free(&bytes);
		return err_set(e, RC_PERM, "!!binary: this is not base64");
	}
	for (end = bytes.p + bytes.len, s = bytes.p; s < end; s += skip) {
		skip = utf8_len(s, end);
		buf_add(
		    &text, skip > 0 ? s : "\xef\xbf\xbd", skip > 0 ? skip : 3);
		skip += skip == 0;
	}
	out->type = NODE_STRING;
	out->text = arena_strndup(ns->a, text.p, text.len);
	out->n = text.len;
	buf_free(&bytes);
	buf_free(&text);
	return 0;
}

static void
node_const(struct node *out, enum node_type t, const char *text)
{
	out->type = t;
	out->text = text;
	out->n = strlen(text);
}

/* What it is when only its letters count; false: a string. */
static int
by_letters(
    struct node *out, struct nodes *ns, const char *s, size_t n, struct err *e)
{
	const struct word *w;
	char num[64];
	char c = s[0];

	if (strchr("~yYnNtTfFoO", c) != NULL) { /* also the empty one */
		if (n > strlen("false") || (w = word_find(s)) == NULL)
			return 0;
		node_const(out, w->type, w->text);
		return 1;
	}
	if (c != '.' && c != '+' && c != '-' && !digit(c))
		return 0;
	if (infinite(s))
		return err_set(e, RC_PERM,
		    "%s: not a number that JSON has; quote it if it is text",
		    s);
	if (!number(s, n, c == '.', num))
		return 0;
	out->type = NODE_NUMBER;
	out->n = strlen(num);
	out->text = node_text(ns, num, out->n);
	return 1;
}

int
scalar_resolve(struct node *out, struct nodes *ns, const char *tag, bool plain,
    const char *s, size_t n, struct err *e)
{
	static const struct {
		const char *tag;
		enum node_type type;
	} tags[] = {
		{ "bool", NODE_BOOL },
		{ "int", NODE_NUMBER },
		{ "float", NODE_NUMBER },
		{ "null", NODE_NULL },
		{ "timestamp", NODE_STRING },
	};
	size_t i;
	int rv;

	out->type = NODE_STRING;
	if (tag != NULL && strcmp(tag, TAG "binary") == 0)
		return binary(out, ns, s, n, e);
	if (tag == NULL && !plain)
		goto string;
	for (i = 0; tag != NULL && i < NITEMS(tags); i++) {
		if (str_prefix(tag, TAG) &&
		    strcmp(tag + strlen(TAG), tags[i].tag) == 0)
			break;
	}
	if (tag != NULL && i == NITEMS(tags)) /* !!str, or one of theirs */
		goto string;
	if ((rv = by_letters(out, ns, s, n, e)) == -1)
		return -1;
	if (tag != NULL && (enum node_type)out->type != tags[i].type)
		return err_set(
		    e, RC_PERM, "!!%s: \"%.40s\" is not one", tags[i].tag, s);
	if (rv == 1)
		return 0;
string:
	out->text = node_text(ns, s, n);
	out->n = n;
	return 0;
}
