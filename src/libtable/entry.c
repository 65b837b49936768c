/*
 * Index entries.  A key is
 *
 *	index number, deleted (0 or 1), the values, the order, the id
 *
 * with no data.  What all lists of one index and its values have in common is
 * thus a prefix, and behind it they are in order.
 */
#include <stdlib.h>
#include <string.h>

#include "inside.h"

struct collect {
	struct buf *b;
	struct {
		size_t off, n;
	} * v;
	size_t n, cap;
};

static void
collect(void *arg, const ProtobufCFieldDescriptor *d, const void *v)
{
	struct collect *c = arg;
	size_t off = c->b->len;

	if (!value_key(c->b, d, v))
		return;
	if (c->n == c->cap) {
		c->cap = c->cap == 0 ? 8 : c->cap * 2;
		c->v = xrealloc(c->v, c->cap * sizeof(*c->v));
	}
	c->v[c->n].off = off;
	c->v[c->n++].n = c->b->len - off;
}

static void
entry_add(struct entries *es, const void *p, size_t n)
{
	struct entry *grown;
	char *copy;

	if (es->n == es->cap) {
		es->cap = es->cap == 0 ? 32 : es->cap * 2;
		grown = arena_array(es->a, struct entry, es->cap);
		if (es->n > 0)
			memcpy(grown, es->e, es->n * sizeof(*grown));
		es->e = grown;
	}
	copy = arena_alloc(es->a, n);
	memcpy(copy, p, n);
	es->e[es->n].p = copy;
	es->e[es->n++].n = n;
}

/* Each combination of the values of the fields from `i` on. */
static void
combine(struct entries *es, struct buf *key, struct collect *c, size_t n,
    size_t i, const struct buf *tail)
{
	size_t k, mark = key->len;

	if (i == n) {
		buf_add(key, tail->p, tail->len);
		entry_add(es, key->p, key->len);
		key->len = mark;
		return;
	}
	for (k = 0; k < c[i].n; k++) {
		buf_add(key, c[i].b->p + c[i].v[k].off, c[i].v[k].n);
		combine(es, key, c, n, i + 1, tail);
		key->len = mark;
	}
}

static int
by_bytes(const void *x, const void *y)
{
	const struct entry *a = x, *b = y;
	int c = memcmp(a->p, b->p, a->n < b->n ? a->n : b->n);

	return c != 0 ? c : (a->n > b->n) - (a->n < b->n);
}

static void
index_entries(struct entries *es, const struct index *ix,
    const ProtobufCMessage *m, bool deleted, const char *id, struct buf *key,
    struct buf *tail, struct buf *values)
{
	struct collect c[INDEX_FIELDS];
	int64_t order = path_int(&ix->order, m);
	struct err e;
	size_t i;

	if (order == 0)
		return;
	memset(c, 0, sizeof(c));
	buf_reset(key);
	buf_reset(tail);
	buf_reset(values);
	buf_addc(key, (char)ix->no);
	buf_addc(key, deleted);
	order_key(tail, order);
	if (id_key(tail, id, &e) == -1)
		return;
	for (i = 0; i < ix->n; i++) {
		c[i].b = values;
		path_each(&ix->field[i], m, collect, &c[i]);
	}
	combine(es, key, c, ix->n, 0, tail);
	for (i = 0; i < ix->n; i++)
		free(c[i].v);
}

void
entries_of(struct entries *es, const struct table *b, const ProtobufCMessage *m,
    bool deleted, struct arena *a)
{
	struct buf key = BUF_INIT, tail = BUF_INIT, values = BUF_INIT;
	size_t i, k;

	memset(es, 0, sizeof(*es));
	es->a = a;
	if (m == NULL)
		return;
	for (i = 0; i < b->n_index; i++)
		index_entries(es, &b->index[i], m, deleted, table_id(b, m),
		    &key, &tail, &values);
	if (es->n > 1) {
		qsort(es->e, es->n, sizeof(*es->e), by_bytes);
		for (i = k = 1; i < es->n; i++)
			if (by_bytes(&es->e[k - 1], &es->e[i]) != 0)
				es->e[k++] = es->e[i];
		es->n = k;
	}
	buf_free(&key);
	buf_free(&tail);
	buf_free(&values);
}
