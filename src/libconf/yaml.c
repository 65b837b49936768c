#include "node.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

/*
 * libyaml's events become nodes in one loop with a stack of its own, so depth
 * is a number here and not our stack.
 */

struct anchor {
	struct node *node;
	uint64_t size, bytes; /* what it is when expanded */
	unsigned height;
	bool open; /* its end has not come yet */
};

struct level {
	struct node *node, **tail;
	struct node *key; /* of a map: waits for its value */
	bool merge;	  /* that key is << */
	struct anchor *anchor;
	uint64_t size, bytes;
	unsigned height; /* of what is below, expanded */
};

struct loader {
	struct nodes ns;
	yaml_parser_t parser;
	const char *name, *text;
	size_t len;
	const struct node_seen *seen;
	struct map *anchors;
	unsigned depth;
	struct node *root;
	bool done;
	uint64_t size;	  /* nodes, aliases expanded */
	uint64_t aliased; /* of these, those that came from aliases */
	uint64_t bytes;	  /* of text, aliases expanded */
	struct node **table;
	size_t n_table;
	struct err *e;
	struct level stack[NODE_DEPTH + 1]; /* cleared level by level */
};

static int fail_at(struct loader *l, size_t line, size_t col, const char *fmt,
    ...) PRINTF(4, 5);

static int
fail_at(struct loader *l, size_t line, size_t col, const char *fmt, ...)
{
	char what[320];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return err_set(
	    l->e, RC_PERM, "%s:%zu:%zu: %s", l->name, line, col, what);
}

static int
fail_mark(struct loader *l, const yaml_mark_t *m, const char *what)
{
	return fail_at(l, m->line + 1, m->column + 1, "%s", what);
}

/* Where a byte is, as people count. */
static int
fail_byte(struct loader *l, size_t off, const char *what)
{
	size_t i, line = 1, col = 1;

	for (i = 0; i < off && i < l->len; i++) {
		if (l->text[i] == '\n')
			line++, col = 1;
		else if ((l->text[i] & 0xc0) != 0x80)
			col++;
	}
	return fail_at(l, line, col, "%s", what);
}

static bool
tab_at(const struct loader *l, const yaml_mark_t *m)
{
	const char *p = l->text, *end = l->text + l->len;
	size_t line;

	for (line = 0; line < m->line; line++) {
		if ((p = memchr(p, '\n', (size_t)(end - p))) == NULL)
			return false;
		p++;
	}
	return memchr(p, '\t',
		   strnlen(p, (size_t)(end - p)) < m->column + 1
		       ? strnlen(p, (size_t)(end - p))
		       : m->column + 1) != NULL;
}

/* What libyaml says, with where. */
static int
fail_yaml(struct loader *l)
{
	const yaml_parser_t *p = &l->parser;
	char what[256];

	if (p->error == YAML_READER_ERROR) {
		snprintf(what, sizeof(what), "%s%s",
		    p->problem_value == 0 ? "a NUL byte: this is not text"
					  : p->problem,
		    p->problem_value == 0 || p->problem_value == -1
			? ""
			: ": this is not UTF-8 text");
		return fail_byte(l, p->problem_offset, what);
	}
	if (p->error == YAML_MEMORY_ERROR)
		return fail_byte(l, l->len, "out of memory");
	if (strstr(p->problem, "cannot start any token") != NULL &&
	    tab_at(l, &p->problem_mark))
		return fail_mark(l, &p->problem_mark,
		    "a tab cannot indent in YAML; use spaces");
	if (p->context != NULL)
		snprintf(what, sizeof(what), "not YAML: %s, %s from line %zu",
		    p->problem, p->context, p->context_mark.line + 1);
	else
		snprintf(what, sizeof(what), "not YAML: %s", p->problem);
	return fail_mark(l, &p->problem_mark, what);
}

/* --- duplicate keys --------------------------------------------------------
 */

static bool
same_key(const struct node *a, const struct node *b)
{
	return a->n == b->n && memcmp(a->text, b->text, a->n) == 0;
}

static size_t
key_hash(const struct node *k)
{
	size_t i, h = 14695981039346656037u;

	for (i = 0; i < k->n; i++)
		h = (h ^ (unsigned char)k->text[i]) * 1099511628211u;
	return h ^ h >> 29;
}

/* The key's first node in this map, which is k itself when it is new. */
static struct node *
key_first(struct loader *l, struct node *first, struct node *k, size_t mask)
{
	size_t at;

	if (mask == 0) {
		while (!same_key(first, k))
			first = first->next->next;
		return first;
	}
	for (at = key_hash(k) & mask; l->table[at] != NULL;
	     at = (at + 1) & mask) {
		if (same_key(l->table[at], k))
			return l->table[at];
	}
	l->table[at] = k;
	return k;
}

/* The last value of a key counts; it moves to where the key was first. */
static void
map_unique(struct loader *l, struct level *v)
{
	struct node *k, *first, *value, *next, **tail = &v->node->first;
	size_t mask = 0, size, n = 0;

	if (v->node->n > 16) {
		for (size = 64; size < v->node->n * 2; size *= 2)
			;
		if (size > l->n_table) {
			l->table = xrealloc(l->table, size * sizeof(*l->table));
			l->n_table = size;
		}
		memset(l->table, 0, size * sizeof(*l->table));
		mask = size - 1;
	}
	for (k = v->node->first; k != NULL; k = next) {
		value = k->next;
		next = value->next;
		*tail = k;
		first = key_first(l, v->node->first, k, mask);
		if (first == k) {
			tail = &value->next;
			n++;
			continue;
		}
		if (l->seen != NULL && !first->merged && !k->merged)
			l->seen->twice(l->seen->arg, k);
		value->next = first->next->next;
		*first->next = *value;
		first->merged = k->merged;
	}
	*tail = NULL;
	v->node->n = n;
}

/* --- a node is whole -------------------------------------------------------
 */

/*
 * go-yaml's rule, so that what it takes we take: of many nodes, few may come
 * from aliases; and text must stay within reason too.
 */
static int
budget(struct loader *l, const struct node *at)
{
	double allowed;

	if (l->bytes > (16u << 20) + 4 * (uint64_t)l->len)
		return fail_at(l, at->line, at->col,
		    "aliases make this file too big: %llu bytes and more",
		    (unsigned long long)l->bytes);
	if (l->aliased <= 100 || l->size <= 1000)
		return 0;
	allowed = l->size <= 400000 ? 0.99
		  : l->size >= 4000000
		      ? 0.10
		      : 0.99 - 0.89 * ((double)(l->size - 400000) / 3600000);
	if ((double)l->aliased / (double)l->size > allowed)
		return fail_at(l, at->line, at->col,
		    "aliases make this file too big: %llu values and more",
		    (unsigned long long)l->size);
	return 0;
}

static void
append(struct level *v, struct node *n)
{
	*v->tail = n;
	v->tail = &n->next;
}

static int
merge_map(struct loader *l, struct level *v, const struct node *from)
{
	const struct node *k;
	struct node *copy;

	if (from->type != NODE_MAP)
		return fail_at(l, from->line, from->col,
		    "<<: takes a map, or a list of maps");
	l->size += 2 * from->n;
	l->aliased += 2 * from->n;
	if (budget(l, from) == -1)
		return -1;
	for (k = from->first; k != NULL; k = k->next) {
		copy = node_new(&l->ns, NODE_NULL, 1, 1);
		*copy = *k;
		copy->next = NULL;
		copy->merged = 1;
		append(v, copy);
	}
	v->node->n += from->n;
	return 0;
}

/* Of a list of maps the earlier ones win: they are put in last. */
static int
merge(struct loader *l, struct level *v, const struct node *from)
{
	const struct node **items, *i;
	size_t n = 0;
	int rv = 0;

	if (from->type != NODE_SEQ)
		return merge_map(l, v, from);
	items = xcalloc(from->n + 1, sizeof(*items));
	for (i = from->first; i != NULL; i = i->next)
		items[n++] = i;
	while (n > 0 && rv == 0)
		rv = merge_map(l, v, items[--n]);
	free(items);
	return rv;
}

/* A key becomes a string, whatever it was. */
static int
key_take(struct loader *l, struct level *v, struct node *n, bool merge_key)
{
	if (n->type == NODE_SEQ || n->type == NODE_MAP || n->type == NODE_NULL)
		return fail_at(l, n->line, n->col,
		    "a key must be text; this one is %s",
		    n->type == NODE_SEQ	  ? "a list"
		    : n->type == NODE_MAP ? "a map"
					  : "null");
	n->type = NODE_STRING;
	v->key = n;
	v->merge = merge_key;
	return 0;
}

/* Put a finished node where it belongs. */
static int
place(struct loader *l, struct node *n, uint64_t size, uint64_t bytes,
    unsigned height, bool merge_key)
{
	struct level *v;
	int rv = 0;

	if (l->depth == 0) {
		l->root = n;
		l->done = true;
		return 0;
	}
	v = &l->stack[l->depth - 1];
	v->size += size;
	v->bytes += bytes;
	if (height + 1 > v->height)
		v->height = height + 1;
	if (l->depth + height > NODE_DEPTH)
		return fail_at(
		    l, n->line, n->col, "nested more than %d deep", NODE_DEPTH);
	if (v->node->type == NODE_SEQ) {
		append(v, n);
		v->node->n++;
		return 0;
	}
	if (v->key == NULL)
		return key_take(l, v, n, merge_key);
	if (v->merge)
		rv = merge(l, v, n);
	else {
		append(v, v->key);
		append(v, n);
		v->node->n++;
	}
	v->key = NULL;
	return rv;
}

/* --- events ----------------------------------------------------------------
 */

static int
anchor_new(struct loader *l, const yaml_char_t *name, struct node *n,
    struct anchor **out)
{
	struct anchor *x;

	*out = NULL;
	if (name == NULL)
		return 0;
	if (l->anchors == NULL)
		l->anchors = map_new();
	*out = x = arena_new_of(l->ns.a, struct anchor);
	x->node = n;
	x->open = true;
	map_put(l->anchors, (const char *)name, x);
	return 0;
}

static int
on_alias(struct loader *l, const yaml_event_t *ev)
{
	const char *name = (const char *)ev->data.alias.anchor;
	struct anchor *x =
	    l->anchors != NULL ? map_get(l->anchors, name) : NULL;
	struct node *n;
	char what[200];

	if (x == NULL || x->open) {
		snprintf(what, sizeof(what),
		    x == NULL ? "*%.80s: there is no anchor &%.80s before it"
			      : "*%.80s: anchor &%.80s would contain itself",
		    name, name);
		return fail_mark(l, &ev->start_mark, what);
	}
	n = node_new(&l->ns, NODE_NULL, (int)ev->start_mark.line + 1,
	    (int)ev->start_mark.column + 1);
	n->type = x->node->type;
	n->n = x->node->n;
	n->text = x->node->text;
	l->size += x->size;
	l->aliased += x->size;
	l->bytes += x->bytes;
	if (budget(l, n) == -1)
		return -1;
	return place(l, n, x->size, x->bytes, x->height, false);
}

static int
on_scalar(struct loader *l, const yaml_event_t *ev)
{
	const char *s = (const char *)ev->data.scalar.value;
	const char *tag = (const char *)ev->data.scalar.tag;
	size_t len = ev->data.scalar.length;
	bool plain = ev->data.scalar.plain_implicit;
	struct anchor *x;
	struct node *n;
	struct err why;

	n = node_new(&l->ns, NODE_STRING, (int)ev->start_mark.line + 1,
	    (int)ev->start_mark.column + 1);
	if (scalar_resolve(n, &l->ns, tag, plain, s, len, &why) == -1)
		return fail_mark(l, &ev->start_mark, why.text);
	if (memchr(n->text, '\0', n->n) != NULL)
		return fail_mark(l, &ev->start_mark, "a NUL inside a text");
	l->size++;
	l->bytes += n->n + 1;
	anchor_new(l, ev->data.scalar.anchor, n, &x);
	if (x != NULL) {
		x->size = 1;
		x->bytes = n->n + 1;
		x->open = false;
	}
	return place(l, n, 1, n->n + 1, 0,
	    plain && tag == NULL && len == 2 && memcmp(s, "<<", 2) == 0);
}

static int
on_start(struct loader *l, const yaml_event_t *ev, enum node_type t)
{
	struct level *v;

	if (l->depth == NODE_DEPTH)
		return fail_at(l, ev->start_mark.line + 1,
		    ev->start_mark.column + 1, "nested more than %d deep",
		    NODE_DEPTH);
	v = &l->stack[l->depth++];
	memset(v, 0, sizeof(*v));
	v->node = node_new(&l->ns, t, (int)ev->start_mark.line + 1,
	    (int)ev->start_mark.column + 1);
	v->tail = &v->node->first;
	v->size = 1;
	l->size++;
	return anchor_new(l,
	    t == NODE_SEQ ? ev->data.sequence_start.anchor
			  : ev->data.mapping_start.anchor,
	    v->node, &v->anchor);
}

static int
on_end(struct loader *l)
{
	struct level *v = &l->stack[--l->depth];

	if (v->node->type == NODE_MAP && v->node->n > 1)
		map_unique(l, v);
	if (v->anchor != NULL) {
		v->anchor->size = v->size;
		v->anchor->bytes = v->bytes;
		v->anchor->height = v->height;
		v->anchor->open = false;
	}
	return place(l, v->node, v->size, v->bytes, v->height, false);
}

static int
event(struct loader *l)
{
	yaml_event_t ev;
	int rv = 0;

	if (!yaml_parser_parse(&l->parser, &ev))
		return fail_yaml(l);
	switch (ev.type) {
	case YAML_ALIAS_EVENT:
		rv = on_alias(l, &ev);
		break;
	case YAML_SCALAR_EVENT:
		rv = on_scalar(l, &ev);
		break;
	case YAML_SEQUENCE_START_EVENT:
		rv = on_start(l, &ev, NODE_SEQ);
		break;
	case YAML_MAPPING_START_EVENT:
		rv = on_start(l, &ev, NODE_MAP);
		break;
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		rv = on_end(l);
		break;
	case YAML_STREAM_END_EVENT:
	case YAML_DOCUMENT_END_EVENT:
		l->done = true; /* what follows is not read */
		break;
	default:
		break;
	}
	yaml_event_delete(&ev);
	return rv;
}

int
node_yaml(struct node **root, const char *name, const char *text, size_t n,
    const struct node_seen *seen, struct arena *a, struct err *e)
{
	struct loader *l;
	int rv = -1;

	*root = NULL;
	if (n > NODE_TEXT_MAX)
		return err_set(e, RC_PERM, "%s: %zu MiB; at most %d are read",
		    name, n >> 20, NODE_TEXT_MAX >> 20);
	l = xrealloc(NULL, sizeof(*l));
	memset(l, 0, offsetof(struct loader, stack));
	l->ns.a = a;
	l->name = name;
	l->text = text;
	l->len = n;
	l->seen = seen;
	l->e = e;
	must(yaml_parser_initialize(&l->parser));
	yaml_parser_set_input_string(
	    &l->parser, (const unsigned char *)text, n);
	do
		rv = event(l);
	while (rv == 0 && !l->done);
	if (l->root == NULL)
		l->root = node_new(&l->ns, NODE_NULL, 1, 1);
	*root = l->root;
	yaml_parser_delete(&l->parser);
	map_free(l->anchors);
	free(l->table);
	free(l);
	return rv;
}
