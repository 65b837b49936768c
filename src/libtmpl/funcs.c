#include "funcs.h"

#include <stdlib.h>
#include <string.h>

/* Lists, comparison, arithmetic; strings are in strings.c. */
#define F(f) \
	int fn_##f(struct run *r, const char *at, struct tmpl_value *out, \
	    const struct tmpl_value *v, size_t n)
#define UNUSED (void)r, (void)at, (void)out, (void)n

const struct func *
tmpl_func(const char *name)
{
	static const struct func funcs[] = {
#define FUNC(name, f, least, most) { name, least, most, fn_##f },
#include "funcs.def"
	};
	size_t lo = 0, hi = NITEMS(funcs);

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = strcmp(name, funcs[mid].name);

		if (c == 0)
			return &funcs[mid];
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}

int
want_int(struct run *r, const char *at, const struct tmpl_value *v, int64_t *i)
{
	switch (v->kind) {
	case TMPL_INT:
		*i = v->i;
		return 0;
	case TMPL_BOOL:
		*i = v->b;
		return 0;
	case TMPL_STR: {
		char t[32], *end;

		/* As sprig's cast: what is no number is 0. */
		*i = 0;
		if (v->len == 0 || v->len >= sizeof(t))
			return 0;
		memcpy(t, v->s, v->len);
		t[v->len] = '\0';
		*i = strtoll(t, &end, 10);
		if (*end != '\0')
			*i = 0;
		return 0;
	}
	default:
		return tmpl_fail(r, at, "a value of type %s is no number",
		    tmpl_kind_name(v->kind));
	}
}

static int
want_list(struct run *r, const char *at, const struct tmpl_value *v)
{
	if (v->kind == TMPL_LIST)
		return 0;
	return tmpl_fail(
	    r, at, "a value of type %s is no list", tmpl_kind_name(v->kind));
}

enum op {
	OP_ADD,
	OP_SUB,
	OP_MUL,
	OP_MAX,
	OP_MIN
};

static int
fold(struct run *r, const char *at, struct tmpl_value *out,
    const struct tmpl_value *v, size_t n, enum op op)
{
	int64_t sum = 0, i = 0;
	bool over = false;
	size_t k;

	for (k = 0; k < n; k++) {
		if (want_int(r, at, &v[k], &i) == -1)
			return -1;
		if (k == 0)
			sum = i;
		else if (op == OP_ADD)
			over |= __builtin_add_overflow(sum, i, &sum);
		else if (op == OP_SUB)
			over |= __builtin_sub_overflow(sum, i, &sum);
		else if (op == OP_MUL)
			over |= __builtin_mul_overflow(sum, i, &sum);
		else if (op == OP_MAX ? i > sum : i < sum)
			sum = i;
	}
	if (over)
		return tmpl_fail(r, at, "number is too large");
	*out = tmpl_int(sum);
	return 0;
}

F(add)
{
	return fold(r, at, out, v, n, OP_ADD);
}
F(sub)
{
	return fold(r, at, out, v, n, OP_SUB);
}
F(mul)
{
	return fold(r, at, out, v, n, OP_MUL);
}
F(largest)
{
	return fold(r, at, out, v, n, OP_MAX);
}
F(smallest)
{
	return fold(r, at, out, v, n, OP_MIN);
}

F(add1)
{
	struct tmpl_value two[2] = { v[0], tmpl_int(1) };

	UNUSED;
	return fold(r, at, out, two, 2, OP_ADD);
}

static int
divmod(struct run *r, const char *at, struct tmpl_value *out,
    const struct tmpl_value *v, bool mod)
{
	int64_t a = 0, b = 0;

	if (want_int(r, at, &v[0], &a) == -1 ||
	    want_int(r, at, &v[1], &b) == -1)
		return -1;
	if (b == 0)
		return tmpl_fail(r, at, "division by zero");
	if (b == -1 && a == INT64_MIN)
		return tmpl_fail(r, at, "number is too large");
	*out = tmpl_int(mod ? a % b : a / b);
	return 0;
}

F(divide)
{
	UNUSED;
	return divmod(r, at, out, v, false);
}

F(modulo)
{
	UNUSED;
	return divmod(r, at, out, v, true);
}

F(to_int)
{
	int64_t i = 0;

	UNUSED;
	if (want_int(r, at, &v[0], &i) == -1)
		return -1;
	*out = tmpl_int(i);
	return 0;
}

/* -1, 0, 1 into *c; only values of one basic type compare. */
static int
compare(struct run *r, const char *at, const struct tmpl_value *a,
    const struct tmpl_value *b, bool order, int *c)
{
	size_t least = a->len < b->len ? a->len : b->len;

	if (!order && (a->kind == TMPL_NIL || b->kind == TMPL_NIL)) {
		*c = a->kind != b->kind;
		return 0;
	}
	if (a->kind != b->kind || a->kind == TMPL_LIST || a->kind == TMPL_MAP ||
	    (order && a->kind == TMPL_BOOL) || a->kind == TMPL_NIL)
		return tmpl_fail(r, at, "cannot compare %s with %s",
		    tmpl_kind_name(a->kind), tmpl_kind_name(b->kind));
	if (a->kind == TMPL_INT)
		*c = (a->i > b->i) - (a->i < b->i);
	else if (a->kind == TMPL_BOOL)
		*c = a->b != b->b;
	else if ((*c = memcmp(a->s, b->s, least)) == 0)
		*c = (a->len > b->len) - (a->len < b->len);
	return 0;
}

F(eq)
{
	size_t i;
	int c = 0;

	for (i = 1; i < n; i++) {
		if (compare(r, at, &v[0], &v[i], false, &c) == -1)
			return -1;
		if (c == 0)
			break;
	}
	*out = tmpl_bool(i < n);
	return 0;
}

#define ORDER(f, order, cond) \
	F(f) \
	{ \
		int c = 0; \
\
		UNUSED; \
		if (compare(r, at, &v[0], &v[1], order, &c) == -1) \
			return -1; \
		*out = tmpl_bool(cond); \
		return 0; \
	}
ORDER(ne, false, c != 0)
ORDER(lt, true, c < 0)
ORDER(le, true, c <= 0)
ORDER(gt, true, c > 0)
ORDER(ge, true, c >= 0)

F(not_)
{
	UNUSED;
	*out = tmpl_bool(!tmpl_true(&v[0]));
	return 0;
}

F(empty)
{
	UNUSED;
	*out = tmpl_bool(!tmpl_true(&v[0]));
	return 0;
}

/* default D V: V unless it is empty. */
F(dflt)
{
	UNUSED;
	*out = n == 2 && tmpl_true(&v[1]) ? v[1] : v[0];
	return 0;
}

F(coalesce)
{
	size_t i;

	UNUSED;
	for (i = 0; i < n; i++)
		if (tmpl_true(&v[i])) {
			*out = v[i];
			break;
		}
	return 0;
}

F(ternary)
{
	UNUSED;
	if (v[2].kind != TMPL_BOOL)
		return tmpl_fail(r, at, "ternary: the last value is no bool");
	*out = v[2].b ? v[0] : v[1];
	return 0;
}

F(len)
{
	UNUSED;
	if (v[0].kind != TMPL_STR && v[0].kind != TMPL_LIST &&
	    v[0].kind != TMPL_MAP)
		return tmpl_fail(r, at, "len of a value of type %s",
		    tmpl_kind_name(v[0].kind));
	*out = tmpl_int((int64_t)v[0].len);
	return 0;
}

F(has_key)
{
	size_t i;

	UNUSED;
	if (v[0].kind != TMPL_MAP || want_str(r, at, &v[1]) == -1)
		return tmpl_fail(r, at, "hasKey: wants a map and a string");
	*out = tmpl_bool(false);
	for (i = 0; i < v[0].len; i++)
		if (strlen(v[0].keys[i]) == v[1].len &&
		    memcmp(v[0].keys[i], v[1].s, v[1].len) == 0)
			*out = tmpl_bool(true);
	return 0;
}

static int
item_of(struct run *r, const char *at, struct tmpl_value *v,
    const struct tmpl_value *key)
{
	int64_t i = 0;
	size_t k;

	if (v->kind == TMPL_MAP) {
		if (want_str(r, at, key) == -1)
			return -1;
		for (k = 0; k < v->len; k++)
			if (strlen(v->keys[k]) == key->len &&
			    memcmp(v->keys[k], key->s, key->len) == 0) {
				*v = v->items[k];
				return 0;
			}
		/* Go would give nothing here: a typo would be deployed. */
		return tmpl_fail(r, at, "index: there is no entry for key %.*s",
		    (int)(key->len > 60 ? 60 : key->len), key->s);
	}
	if (want_int(r, at, key, &i) == -1)
		return -1;
	if (v->kind != TMPL_LIST && v->kind != TMPL_STR)
		return tmpl_fail(r, at, "index of a value of type %s",
		    tmpl_kind_name(v->kind));
	if (i < 0 || (uint64_t)i >= v->len)
		return tmpl_fail(
		    r, at, "index %lld is out of range", (long long)i);
	*v = v->kind == TMPL_LIST ? v->items[i]
				  : tmpl_int((unsigned char)v->s[i]);
	return 0;
}

F(item)
{
	size_t i;

	*out = v[0];
	for (i = 1; i < n; i++)
		if (item_of(r, at, out, &v[i]) == -1)
			return -1;
	return 0;
}

F(list)
{
	size_t i;

	if (tmpl_spend(r, at, n * sizeof(*v)) == -1)
		return -1;
	out->kind = TMPL_LIST;
	out->len = n;
	out->items = arena_array(r->a, struct tmpl_value, n + 1);
	if (n > 0)
		memcpy(out->items, v, n * sizeof(*v));
	/* How deep it is: lists of lists of lists are walked when printed. */
	for (i = 0; i < n; i++)
		if (v[i].kind == TMPL_LIST && v[i].i > out->i)
			out->i = v[i].i;
	if (++out->i > TMPL_DEPTH)
		return tmpl_fail(r, at, "list: nested too deeply");
	return 0;
}

F(first)
{
	UNUSED;
	if (want_list(r, at, &v[0]) == -1)
		return -1;
	if (v[0].len > 0)
		*out = v[0].items[0];
	return 0;
}

F(last)
{
	UNUSED;
	if (want_list(r, at, &v[0]) == -1)
		return -1;
	if (v[0].len > 0)
		*out = v[0].items[v[0].len - 1];
	return 0;
}

F(rest)
{
	UNUSED;
	if (want_list(r, at, &v[0]) == -1)
		return -1;
	*out = v[0];
	if (out->len > 0) {
		out->items++;
		out->len--;
	}
	return 0;
}

F(refuse)
{
	UNUSED;
	return tmpl_fail(r, at, "%.*s",
	    v[0].kind == TMPL_STR ? (int)(v[0].len > 200 ? 200 : v[0].len) : 4,
	    v[0].kind == TMPL_STR ? v[0].s : "fail");
}
