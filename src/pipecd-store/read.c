/* Requests that only look. */
#include <string.h>

#include "daemon.h"

/* A table that clients may name; NULL: answered. */
static struct table *
table_of(struct tables *t, const char *name, struct answer *w)
{
	struct table *b = table_find(t, name);

	if (b != NULL && !table_private(b))
		return b;
	answer_say(
	    w, STORE__CODE__INVALID_ARGUMENT, "\"%s\": no such table", name);
	return NULL;
}

/* What is asked for wrongly is the asker's, all else is ours. */
static Store__Code
code_of(const struct err *e)
{
	return e->exit == RC_PERM ? STORE__CODE__INVALID_ARGUMENT
				  : STORE__CODE__INTERNAL;
}

void
do_get(struct tables *t, const Store__Get *q, struct answer *w)
{
	struct table *b = table_of(t, q->table, w);
	Store__Record *s;
	struct record r;
	struct err e;
	size_t i, size = 0;

	if (b == NULL)
		return;
	if (q->n_ids == 0 || q->n_ids > TABLE_PAGE_MAX) {
		answer_say(w, STORE__CODE__INVALID_ARGUMENT,
		    "get: %zu ids, 1 to %d can be asked for", q->n_ids,
		    TABLE_PAGE_MAX);
		return;
	}
	for (i = 0; i < q->n_ids; i++) {
		switch (table_get(b, q->ids[i], &r, &e)) {
		case -1:
			answer_err(w, code_of(&e), &e);
			return;
		case 1:
			if (!r.deleted || q->deleted)
				break;
			/* FALLTHROUGH */
		default:
			memset(&r, 0, sizeof(r));
			r.id = q->ids[i];
		}
		if ((s = record_show(b, &r, w->a, &e)) == NULL) {
			answer_err(w, STORE__CODE__INTERNAL, &e);
			return;
		}
		size += r.n;
		if (size > STORE_MAX / 2) {
			answer_say(w, STORE__CODE__RESOURCE_EXHAUSTED,
			    "get: the records are more than 8 MiB, ask for "
			    "fewer");
			return;
		}
		answer_add(w, s);
	}
	if (q->n_ids == 1 && w->r.records[0]->version == 0)
		answer_say(w, STORE__CODE__NOT_FOUND, "%s %s: not there",
		    q->table, q->ids[0]);
}

void
do_list(struct tables *t, const Store__List *q, struct answer *w)
{
	struct table_filter *f =
	    arena_array(w->a, struct table_filter, q->n_filters + 1);
	struct table_query query = { .filters = f,
		.n = q->n_filters,
		.order = q->order,
		.ascending = q->ascending,
		.deleted = q->deleted,
		.min = q->min,
		.max = q->max,
		.limit = q->limit == 0 ? 20 : q->limit,
		.cursor = q->cursor };
	struct table *b = table_of(t, q->table, w);
	const char *next;
	struct record *r;
	Store__Record *s;
	struct err e;
	ssize_t n, i;

	if (b == NULL)
		return;
	if (query.limit > TABLE_PAGE_MAX)
		query.limit = TABLE_PAGE_MAX;
	for (i = 0; i < (ssize_t)q->n_filters; i++) {
		f[i].field = q->filters[i]->field;
		f[i].values = q->filters[i]->values;
		f[i].n = q->filters[i]->n_values;
	}
	r = arena_array(w->a, struct record, query.limit);
	if ((n = table_list(b, &query, r, &next, w->a, &e)) == -1) {
		answer_err(w, code_of(&e), &e);
		return;
	}
	for (i = 0; i < n; i++) {
		if ((s = record_show(b, &r[i], w->a, &e)) == NULL) {
			answer_err(w, STORE__CODE__INTERNAL, &e);
			return;
		}
		answer_add(w, s);
	}
	if (next != NULL)
		w->r.cursor = (char *)(uintptr_t)next;
}

struct numbers {
	struct answer *w;
	size_t cap;
};

static void
number(struct numbers *s, const char *name, uint64_t v)
{
	Store__Number *x = arena_new_of(s->w->a, Store__Number);

	must(s->w->r.n_numbers < s->cap);
	store__number__init(x);
	x->name = arena_strdup(s->w->a, name);
	x->value = (int64_t)v;
	s->w->r.numbers[s->w->r.n_numbers++] = x;
}

void
do_stat(struct tables *t, struct answer *w)
{
	struct numbers s = { .w = w, .cap = 128 };
	struct tables_stat st;
	struct table *b;

	w->r.numbers = arena_array(w->a, Store__Number *, s.cap);
	tables_stat(t, &st);
	number(&s, "schema", TABLES_SCHEMA);
	number(&s, "map_bytes", st.map_bytes);
	number(&s, "used_bytes", st.used_bytes);
	number(&s, "readers", st.readers);
	for (b = table_next(t, NULL); b != NULL; b = table_next(t, b))
		number(&s, arena_printf(w->a, "records.%s", table_name(b)),
		    table_count(b));
}
