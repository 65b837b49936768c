#include "read.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Limits, as rows write them. */
#define NO	    .ranged = false
#define FROM(a)	    .ranged = true, .min = (a), .max = INT64_MAX
#define RANGE(a, b) .ranged = true, .min = (a), .max = (b)
#define ONE(v)	    .values = (v)

/* Pass one: the rows of each object. */
#define STRUCT(oname, ohow, orule, odoc) \
	static const struct key keys_##oname[] = {
#define OBJECT(oname, ohow, orule, odoc) STRUCT(oname, ohow, orule, odoc)
#define SHAPE(oname, ohow, orule, odoc)	 STRUCT(oname, ohow, orule, odoc)
#define ROW(object, ktype, key, member, ksub, kdflt, limit, kflags, kdoc) \
	{ .name = #key, \
		.type = K_##ktype, \
		.off = offsetof(struct conf_##object, member), \
		.sub = OBJ_##ksub, \
		.dflt = kdflt, \
		limit, \
		.flags = kflags, \
		.doc = kdoc },
#define CHECK(object, ktype, key, ksub, kdflt, limit, kflags, kdoc) \
	{ .name = #key, \
		.type = K_##ktype, \
		.off = K_##ktype == K_INLINE ? 0 : -1, \
		.sub = OBJ_##ksub, \
		.dflt = kdflt, \
		limit, \
		.flags = kflags, \
		.doc = kdoc },
#define NEST(object, key, ksub, kflags, kdoc) \
	{ .name = #key, \
		.type = K_OBJ, \
		.off = 0, \
		.sub = OBJ_##ksub, \
		.flags = kflags, \
		.doc = kdoc },
#define END(oname) \
	{ \
		.name = NULL \
	} \
	} \
	;
/* clang-format off */
#include "all.def"
/* clang-format on */

/* Pass two: the objects. */
#define STRUCT(oname, ohow, orule, odoc) \
	[OBJ_##oname] = { .name = #oname, \
		.keys = keys_##oname, \
		.n_keys = NITEMS(keys_##oname) - 1, \
		.size = sizeof(struct conf_##oname), \
		.how = ohow, \
		.rule = orule, \
		.doc = odoc },
#define OBJECT(oname, ohow, orule, odoc) STRUCT(oname, ohow, orule, odoc)
#define SHAPE(oname, ohow, orule, odoc) \
	[OBJ_##oname] = { .name = #oname, \
		.keys = keys_##oname, \
		.n_keys = NITEMS(keys_##oname) - 1, \
		.how = ohow, \
		.rule = orule, \
		.doc = odoc },
#define ROW(...)
#define NEST(...)
#define CHECK(...)
#define END(name)
/* clang-format off */
const struct object objects[OBJ__N] = {
	[OBJ_none] = { .name = "none", .how = TOLERATE },
#include "all.def"
};
/* clang-format on */

_Static_assert((int)OBJ_custom_sync == (int)CONF_custom_sync,
    "confdef.h and all.def number alike");

/* --- walking rows ----------------------------------------------------------
 */

void
key_walk(struct key_walk *w, const struct object *o)
{
	w->depth = 0;
	w->o[0] = o;
	w->i[0] = 0;
	w->off[0] = 0;
}

const struct key *
key_next(struct key_walk *w, int *off)
{
	const struct key *k;

	for (;;) {
		if (w->i[w->depth] == w->o[w->depth]->n_keys) {
			if (w->depth-- == 0)
				return NULL;
			continue;
		}
		k = &w->o[w->depth]->keys[w->i[w->depth]++];
		if (k->type != K_INLINE) {
			*off = w->off[w->depth];
			return k;
		}
		must(w->depth + 1 < (int)NITEMS(w->o));
		w->off[w->depth + 1] = w->off[w->depth] + k->off;
		w->depth++;
		w->o[w->depth] = &objects[k->sub];
		w->i[w->depth] = 0;
	}
}

static bool
in_form(const struct key *k, bool v1)
{
	return !(k->flags & (v1 ? V0 : V1));
}

/* Whether s is name, or its snake_case form. */
static bool
proto_name(const char *name, const char *s)
{
	for (; *name != '\0'; name++, s++) {
		if (*name == *s)
			continue;
		if (*s != '_' || (*name | 0x20) == *name ||
		    *++s != (*name | 0x20))
			return false;
	}
	return *s == '\0';
}

const struct key *
key_find(
    const struct object *o, const char *name, bool v1, int *index, int *off)
{
	const struct key *k, *found = NULL;
	struct key_walk w;
	int i, at;

	key_walk(&w, o);
	for (i = 0; (k = key_next(&w, &at)) != NULL; i++) {
		if ((k->name[0] | 0x20) != (name[0] | 0x20) ||
		    (o->how == PROTO ? !proto_name(k->name, name)
				     : strcasecmp(k->name, name) != 0) ||
		    (found != NULL && !in_form(k, v1)))
			continue;
		found = k;
		*index = i;
		*off = at;
		if (in_form(k, v1))
			break;
	}
	return found;
}

/* PipeCD reads keys in order of their bytes: the last spelling counts. */
const struct node *
key_value(const struct node *map, const char *name)
{
	const struct node *k, *found = NULL;

	if (map == NULL || map->type != NODE_MAP)
		return NULL;
	for (k = map->first; k != NULL; k = k->next->next) {
		if (strcasecmp(k->text, name) == 0 &&
		    (found == NULL || strcmp(k->text, found->text) > 0))
			found = k;
	}
	return found == NULL || found->next->type == NODE_NULL ? NULL
							       : found->next;
}

void
conf_report_end(const struct conf_report *r, const char *name, struct err *e)
{
	if (r->errors == 1)
		err_set(e, e->exit, "%s: 1 mistake", name);
}

/* --- mistakes --------------------------------------------------------------
 */

static void
path_print(struct buf *b, const struct path *at)
{
	if (at == NULL)
		return;
	path_print(b, at->up);
	if (at->name == NULL)
		buf_printf(b, "[%zu]", at->index);
	else
		buf_printf(b, "%s%s", b->len > 0 ? "." : "", at->name);
}

static void note(struct reader *r, bool is_warning, const struct node *n,
    const struct path *at, const char *fmt, va_list ap) PRINTF(5, 0);

static void
note(struct reader *r, bool is_warning, const struct node *n,
    const struct path *at, const char *fmt, va_list ap)
{
	struct mistake *m;
	struct buf b = BUF_INIT;
	char text[512];

	if (is_warning)
		r->warnings++;
	else
		r->errors++;
	/* A hostile file is not worth a report of its own size. */
	if (r->n_mistakes >= 1000)
		return;
	vsnprintf(text, sizeof(text), fmt, ap);
	path_print(&b, at);
	m = arena_new_of(r->a, struct mistake);
	m->line = n != NULL ? (int)n->line : 1;
	m->col = n != NULL ? (int)n->col : 1;
	m->warning = is_warning;
	m->order = r->n_mistakes++;
	m->text = arena_printf(r->a, "%s%s%s%s", is_warning ? "warning: " : "",
	    b.p, b.len > 0 ? ": " : "", text);
	m->next = r->mistakes;
	r->mistakes = m;
	buf_free(&b);
}

void
mistake(struct reader *r, const struct node *n, const struct path *at,
    const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	note(r, false, n, at, fmt, ap);
	va_end(ap);
}

void
warning(struct reader *r, const struct node *n, const struct path *at,
    const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	note(r, true, n, at, fmt, ap);
	va_end(ap);
}

static int
by_place(const void *a, const void *b)
{
	const struct mistake *x = *(const struct mistake *const *)a;
	const struct mistake *y = *(const struct mistake *const *)b;

	return x->line != y->line    ? x->line - y->line
	       : x->col != y->col    ? x->col - y->col
	       : x->order > y->order ? 1
				     : -1;
}

static void
print_text(struct buf *b, const char *s)
{
	for (; *s != '\0'; s++)
		buf_addc(b, (unsigned char)*s < 0x20 || *s == 0x7f ? '?' : *s);
	buf_addc(b, '\n');
}

int
reader_end(struct reader *r, struct conf_report *out, struct err *e)
{
	struct mistake **all, *m;
	unsigned i, n = r->n_mistakes;

	all = arena_array(r->a, struct mistake *, n + 1);
	for (m = r->mistakes, i = 0; m != NULL; m = m->next)
		all[i++] = m;
	if (n > 1)
		qsort(all, n, sizeof(struct mistake *), by_place);
	for (i = 0; out != NULL && out->text != NULL && i < n; i++) {
		buf_printf(out->text, "%s:%d:%d: ", r->name, all[i]->line,
		    all[i]->col);
		print_text(out->text, all[i]->text);
	}
	if (out != NULL) {
		out->errors += (int)r->errors;
		out->warnings += (int)r->warnings;
	}
	if (r->errors == 0)
		return 0;
	if (r->errors == 1 && n > 0) {
		for (i = 0; all[i]->warning; i++)
			;
		return err_set(e, RC_PERM, "%s:%d:%d: %.400s", r->name,
		    all[i]->line, all[i]->col, all[i]->text);
	}
	return err_set(e, RC_PERM, "%s: %u mistakes", r->name, r->errors);
}
