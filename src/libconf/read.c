#include "read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a value is, to people. */
const char *
node_kind(const struct node *n)
{
	switch ((enum node_type)n->type) {
	case NODE_NULL:
		return "null";
	case NODE_BOOL:
		return "a boolean";
	case NODE_NUMBER:
		return "a number";
	case NODE_STRING:
		return "text";
	case NODE_SEQ:
		return "a list";
	case NODE_MAP:
		return "a map";
	}
	return "?";
}

/* Its beginning, for a message; secrets are not quoted. */
static const char *
shown(const struct node *n, const struct key *k, char dst[64])
{
	if (n->type == NODE_SEQ || n->type == NODE_MAP ||
	    n->type == NODE_NULL || (k->flags & SECRET))
		snprintf(dst, 64, "%s", node_kind(n));
	else if (n->type == NODE_STRING)
		snprintf(
		    dst, 64, "\"%.40s%s\"", n->text, n->n > 40 ? "..." : "");
	else
		snprintf(dst, 64, "%.40s", n->text);
	return dst;
}

static void
wrong(struct reader *r, const struct key *k, const struct node *n,
    const struct path *at, const char *want)
{
	char dst[64];

	/* y, on and off surprise everybody once. */
	if (n->type == NODE_BOOL && k->type != K_BOOL && k->type != K_OFF)
		mistake(r, n, at,
		    "%s is a boolean in YAML, and this takes %s; quote it",
		    n->text, want);
	else if (n->type == NODE_NUMBER && k->type == K_STR)
		mistake(r, n, at, "%s is a number, and this takes %s; quote it",
		    shown(n, k, dst), want);
	else
		mistake(r, n, at, "%s is not %s", shown(n, k, dst), want);
}

static bool
choice(const char *values, const char *s)
{
	size_t n = strlen(s);
	const char *p;

	for (p = values; p != NULL; p = strchr(p, '|')) {
		p += *p == '|';
		if (strncmp(p, s, n) == 0 && (p[n] == '|' || p[n] == '\0'))
			return true;
	}
	return false;
}

static const char *
choices(const char *values, char dst[128])
{
	size_t i;

	snprintf(dst, 128, "%s", values);
	for (i = 0; dst[i] != '\0'; i++) {
		if (dst[i] == '|')
			dst[i] = ',';
	}
	return dst;
}

static const char *
text_keep(struct reader *r, const struct node *n)
{
	return arena_strndup(r->a, n->text, n->n);
}

/* --- scalars ---------------------------------------------------------------
 */

static bool
is_int(const struct node *n, int64_t *v)
{
	char *end;

	if (n->type != NODE_NUMBER || strpbrk(n->text, ".eE") != NULL)
		return false;
	*v = strtoll(n->text, &end, 10);
	return *end == '\0' && n->n < 19;
}

static void
ranged(struct reader *r, const struct key *k, const struct node *n, int64_t v,
    const struct path *at)
{
	char dst[64];

	if (!k->ranged || (v >= k->min && v <= k->max))
		return;
	if (k->max != INT64_MAX)
		mistake(r, n, at, "%s is out of range, %lld to %lld",
		    shown(n, k, dst), (long long)k->min, (long long)k->max);
	else if (k->min <= 1)
		mistake(r, n, at, "%s is %s; it must be %s", shown(n, k, dst),
		    v < 0 ? "negative" : "zero",
		    k->min == 0 ? "0 or more" : "more than 0");
	else
		mistake(r, n, at, "%s is too small; at least %lld",
		    shown(n, k, dst), (long long)k->min);
}

static bool
read_duration(struct reader *r, const struct key *k, const struct node *n,
    int64_t *ms, const struct path *at)
{
	char *end;
	double ns;

	if (n->type == NODE_STRING &&
	    conf_duration_days(ms, n->text, k->type == K_DAYS) == 0)
		return true;
	if (n->type == NODE_NUMBER) {
		ns = strtod(n->text, &end);
		if (*end == '\0' && ns < 9e18 && ns > -9e18) {
			*ms = (int64_t)(ns / 1e6);
			if (ns > 0 && (double)*ms * 1e6 < ns)
				++*ms;
			return true;
		}
	}
	wrong(r, k, n, at,
	    k->type == K_DAYS ? "a duration, such as 30d, 12h or 90m"
			      : "a duration, such as 90s or 5m");
	return false;
}

static void
read_str(struct reader *r, const struct key *k, const struct node *n, char *at,
    const struct path *p)
{
	char dst[64], list[128];
	const char *s;

	if (n->type != NODE_STRING) {
		wrong(r, k, n, p, "text");
		return;
	}
	if (k->values != NULL && n->n > 0 && !choice(k->values, n->text))
		mistake(r, n, p, "%s is none of %s", shown(n, k, dst),
		    choices(k->values, list));
	s = n->n == 0 && k->dflt != NULL ? k->dflt : text_keep(r, n);
	if (at != NULL)
		*(const char **)(void *)at = s;
	if ((k->flags & SECRET_FILE) && n->n > 0 && !r->slice)
		secret_file(r, n, p);
}

static void
put_int(char *at, int64_t v)
{
	if (at != NULL)
		*(int64_t *)(void *)at = v;
}

static void
read_number(struct reader *r, const struct key *k, const struct node *n,
    char *at, const struct path *p)
{
	int64_t v = 0;
	int pc;

	switch (k->type) {
	case K_INT:
		if (!is_int(n, &v)) {
			wrong(r, k, n, p, "a whole number");
			return;
		}
		ranged(r, k, n, v, p);
		if (v == 0 && k->dflt != NULL && !(k->flags & OURS))
			v = strtoll(k->dflt, NULL, 10);
		break;
	case K_DURATION:
	case K_DAYS:
		if (!read_duration(r, k, n, &v, p))
			return;
		ranged(r, k, n, v, p);
		if (v == 0 && k->dflt != NULL && !(k->flags & OURS))
			must(conf_duration_days(&v, k->dflt, true) == 0);
		break;
	case K_PERCENT:
		if (n->type == NODE_NUMBER && is_int(n, &v))
			;
		else if (n->type == NODE_STRING &&
			 conf_percent(&pc, n->text) == 0)
			v = pc;
		else {
			wrong(r, k, n, p, "a percentage, such as 25 or 25%");
			return;
		}
		ranged(r, k, n, v, p);
		break;
	case K_REPLICAS:
		if (!is_int(n, &v) &&
		    (n->type != NODE_STRING ||
			conf_replicas(&v, n->text, 100, 1) == -1)) {
			wrong(r, k, n, p,
			    "a number or a share, such as 2 or 25%");
			return;
		}
		if (at != NULL)
			*(const char **)(void *)at =
			    n->n == 0 || strcmp(n->text, "0") == 0
				? k->dflt
				: text_keep(r, n);
		return;
	default: /* K_NUM */
		if (n->type != NODE_NUMBER)
			wrong(r, k, n, p, "a number");
		return;
	}

	put_int(at, v);
}

static void
read_bool(struct reader *r, const struct key *k, const struct node *n, char *at,
    const struct path *p)
{
	bool v;

	if (n->type != NODE_BOOL) {
		wrong(r, k, n, p, "true or false");
		return;
	}
	v = n->text[0] == 't';
	if (at != NULL)
		*(bool *)(void *)at = k->type == K_OFF ? !v : v;
}

/* --- lists and maps --------------------------------------------------------
 */

/* A pointer and the count behind it. */
static void
put_array(char *at, void *v, size_t n)
{
	if (at == NULL)
		return;
	*(void **)(void *)at = v;
	*(size_t *)(void *)(at + sizeof(void *)) = n;
}

static void
read_strs(struct reader *r, const struct key *k, const struct node *n, char *at,
    const struct path *p)
{
	struct path item = { .up = p };
	struct key one = *k;
	const struct node *i;
	const char **v;

	if (n->type != NODE_SEQ) {
		wrong(r, k, n, p, "a list");
		return;
	}
	one.type = K_STR;
	v = arena_array(r->a, const char *, n->n + 1);
	for (i = n->first; i != NULL; i = i->next) {
		v[item.index] = "";
		if (i->type == NODE_STRING)
			v[item.index] = text_keep(r, i);
		else if (i->type != NODE_NULL)
			wrong(r, &one, i, &item, "text");
		item.index++;
	}
	put_array(at, v, n->n);
}

static void
read_pairs(struct reader *r, const struct key *k, const struct node *n,
    char *at, const struct path *p)
{
	struct path item = { .up = p };
	struct key one = *k;
	struct conf_pair *v;
	const struct node *i;
	size_t m = 0;

	if (n->type != NODE_MAP) {
		wrong(r, k, n, p, "a map");
		return;
	}
	one.type = K_STR;
	v = arena_array(r->a, struct conf_pair, n->n + 1);
	for (i = n->first; i != NULL; i = i->next->next) {
		item.name = i->text;
		v[m].key = text_keep(r, i);
		v[m].value = "";
		if (i->next->type == NODE_STRING)
			v[m].value = text_keep(r, i->next);
		else if (i->next->type != NODE_NULL)
			wrong(r, &one, i->next, &item, "text");
		m++;
	}
	put_array(at, v, m);
}

static void
read_list(struct reader *r, const struct key *k, const struct node *n, char *at,
    const struct path *p)
{
	const struct object *o = &objects[k->sub];
	struct path item = { .up = p };
	const struct node *i;
	char *v = NULL;

	if (n->type != NODE_SEQ) {
		wrong(r, k, n, p, "a list");
		return;
	}
	if (at != NULL)
		v = arena_calloc(r->a, n->n + 1, o->size);
	for (i = n->first; i != NULL; i = i->next) {
		read_object(r, o, i,
		    v != NULL ? v + item.index * o->size : NULL, &item);
		item.index++;
	}
	put_array(at, v, n->n);
}

static void
read_map(struct reader *r, const struct key *k, const struct node *n, char *at,
    const struct path *p)
{
	const struct object *o = &objects[k->sub];
	struct path item = { .up = p };
	const struct node *i;
	char *v = NULL, *one;
	size_t m = 0;

	if (n->type != NODE_MAP) {
		wrong(r, k, n, p, "a map");
		return;
	}
	if (at != NULL && k->type == K_NAMED)
		v = arena_calloc(r->a, n->n + 1, o->size);
	for (i = n->first; i != NULL; i = i->next->next, m++) {
		item.name = i->text;
		one = v != NULL ? v + m * o->size : NULL;
		read_object(r, o, i->next, one, &item);
		if (one != NULL)
			*(const char **)(void *)one = text_keep(r, i);
	}
	if (v != NULL)
		put_array(at, v, m);
}

static void
read_json(struct reader *r, const struct key *k, const struct node *n, char *at,
    const struct path *p)
{
	struct buf b = BUF_INIT;
	const struct node *i;
	bool more = false;

	if (k->type == K_JSONS)
		read_list(r, k, n, NULL, p);
	else if (n->type != NODE_MAP)
		wrong(r, k, n, p, "a map");
	else if (k->sub != OBJ_none)
		read_object(r, &objects[k->sub], n, NULL, p);
	if (at == NULL)
		return;
	if (k->type == K_JSONS && n->type == NODE_SEQ) {
		buf_addc(&b, '[');
		for (i = n->first; i != NULL; i = i->next, more = true) {
			buf_adds(&b, more ? "," : "");
			object_json(&b, &objects[k->sub], i, r->v1);
		}
		buf_addc(&b, ']');
	} else if (k->sub != OBJ_none)
		object_json(&b, &objects[k->sub], n, r->v1);
	else
		node_print(&b, n);
	*(const char **)(void *)at = arena_strndup(r->a, b.p, b.len);
	buf_free(&b);
}

/* --- a key's value ---------------------------------------------------------
 */

static void
read_value(struct reader *r, const struct key *k, const struct node *n,
    char *at, const struct path *p)
{
	switch (k->type) {
	case K_STR:
		read_str(r, k, n, at, p);
		break;
	case K_BOOL:
	case K_OFF:
		read_bool(r, k, n, at, p);
		break;
	case K_INT:
	case K_NUM:
	case K_DURATION:
	case K_DAYS:
	case K_PERCENT:
	case K_REPLICAS:
		read_number(r, k, n, at, p);
		break;
	case K_STRS:
		read_strs(r, k, n, at, p);
		break;
	case K_PAIRS:
		read_pairs(r, k, n, at, p);
		break;
	case K_OBJ:
		read_object(r, &objects[k->sub], n, at, p);
		break;
	case K_LIST:
		read_list(r, k, n, at, p);
		break;
	case K_NAMED:
	case K_MAP:
		read_map(r, k, n, at, p);
		break;
	case K_MAPANY:
		if (n->type != NODE_MAP)
			wrong(r, k, n, p, "a map");
		break;
	case K_JSON:
	case K_JSONS:
		read_json(r, k, n, at, p);
		break;
	case K_ANY:
	case K_INLINE:
	case K_TYPES:
		break;
	}
}

/* The default of a key that is not there. */
static void
fill(struct reader *r, const struct key *k, char *at, const struct path *p)
{
	int64_t v;
	int pc;

	if (at == NULL)
		return;
	if (k->type == K_OBJ) {
		read_object(r, &objects[k->sub], NULL, at, p);
		return;
	}
	if (k->dflt == NULL)
		return;
	switch (k->type) {
	case K_STR:
	case K_REPLICAS:
		*(const char **)(void *)at = k->dflt;
		break;
	case K_BOOL:
		*(bool *)(void *)at = k->dflt[0] == 't';
		break;
	case K_OFF:
		*(bool *)(void *)at = k->dflt[0] != 't';
		break;
	case K_INT:
		put_int(at, strtoll(k->dflt, NULL, 10));
		break;
	case K_DURATION:
	case K_DAYS:
		must(conf_duration_days(&v, k->dflt, true) == 0);
		put_int(at, v);
		break;
	case K_PERCENT:
		must(conf_percent(&pc, k->dflt) == 0);
		put_int(at, pc);
		break;
	default:
		break;
	}
}

/* --- unknown keys ----------------------------------------------------------
 */

/* How many letters are wrong, up to 3. */
static unsigned
distance(const char *a, const char *b)
{
	unsigned row[48], i, j, left, up;
	size_t na = strlen(a), nb = strlen(b);

	if (na >= NITEMS(row) || nb >= NITEMS(row))
		return 9;
	for (j = 0; j <= nb; j++)
		row[j] = j;
	for (i = 1; i <= na; i++) {
		left = row[0];
		row[0] = i;
		for (j = 1; j <= nb; j++) {
			up = row[j];
			row[j] =
			    left + ((a[i - 1] | 0x20) != (b[j - 1] | 0x20));
			if (up + 1 < row[j])
				row[j] = up + 1;
			if (row[j - 1] + 1 < row[j])
				row[j] = row[j - 1] + 1;
			left = up;
		}
	}
	return row[nb];
}

const char *
near_key(const struct object *o, const char *name, bool v1)
{
	const struct key *k;
	struct key_walk w;
	const char *best = NULL;
	unsigned d, least = strlen(name) < 4 ? 2 : 3;
	int off;

	key_walk(&w, o);
	while ((k = key_next(&w, &off)) != NULL) {
		if (k->flags & (v1 ? V0 : V1))
			continue;
		if ((d = distance(name, k->name)) < least)
			least = d, best = k->name;
	}
	return best;
}

static void
unknown(struct reader *r, const struct object *o, const struct node *key,
    const struct path *p)
{
	struct path at = { .up = p, .name = key->text };
	const char *best = near_key(o, key->text, r->v1);
	bool refuse = r->strict && o->how != TOLERATE;

	if (best != NULL)
		(refuse ? mistake : warning)(
		    r, key, &at, "no such key; did you mean %s?", best);
	else
		(refuse ? mistake : warning)(r, key, &at,
		    refuse ? "no such key" : "no such key; it does nothing");
}

/* --- an object -------------------------------------------------------------
 */

enum {
	KEYS_MAX = 64
};

/* Which value each row gets; what is left over is said. */
static void
choose(struct reader *r, const struct object *o, const struct node *map,
    const struct node *key[KEYS_MAX], const struct path *p)
{
	const struct key *k;
	const struct node *i;
	struct path at = { .up = p };
	int index, off;

	for (i = map->first; i != NULL; i = i->next->next) {
		k = key_find(o, i->text, r->v1, &index, &off);
		at.name = i->text;
		if (k == NULL)
			unknown(r, o, i, p);
		else if (k->flags & (r->v1 ? V0 : V1))
			other_form(r, o, k, i, &at);
		else if (key[index] == NULL)
			key[index] = i;
		else {
			warning(r, i, &at, "given twice, as %s and %s",
			    key[index]->text, i->text);
			if (strcmp(i->text, key[index]->text) > 0)
				key[index] = i;
		}
	}
}

void
read_object(struct reader *r, const struct object *o, const struct node *n,
    void *base, const struct path *at)
{
	const struct node *keys[KEYS_MAX] = { NULL }, *v;
	struct path p = { .up = at };
	bool strict = r->strict, there;
	const struct key *k;
	struct key_walk w;
	char *to;
	int i, off;

	there = n != NULL && n->type != NODE_NULL;
	if (there && n->type != NODE_MAP) {
		mistake(r, n, at, "%s is not a map", node_kind(n));
		n = NULL;
		there = false;
	}
	if (o->how == TOLERATE)
		r->strict = false;
	if (there)
		choose(r, o, n, keys, at);
	key_walk(&w, o);
	for (i = 0; (k = key_next(&w, &off)) != NULL; i++) {
		must(i < KEYS_MAX);
		if (k->flags & (r->v1 ? V0 : V1))
			continue;
		to = base != NULL && k->off >= 0 ? (char *)base + off + k->off
						 : NULL;
		p.name = k->name;
		v = keys[i] != NULL ? keys[i]->next : NULL;
		if (v != NULL && v->type == NODE_NULL &&
		    k->type != K_DURATION && k->type != K_PERCENT &&
		    k->type != K_REPLICAS)
			v = NULL;
		if (v != NULL)
			read_value(r, k, v, to, &p);
		else
			fill(r, k, to, &p);
		if ((k->flags & REQ || (r->v1 && k->flags & REQ1)) && there &&
		    !r->slice &&
		    (v == NULL || (v->type == NODE_STRING && v->n == 0) ||
			(v->type == NODE_SEQ && v->n == 0)))
			mistake(
			    r, v != NULL ? v : n, &p, "missing: %s", k->doc);
	}
	if (o->rule != NULL && there)
		o->rule(r, n, base, at);
	r->strict = strict;
}
