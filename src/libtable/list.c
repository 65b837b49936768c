/*
 * Lists.  Every filter is a term: one index, and a cursor for each of the
 * filter's values.  All cursors of a list stand in the same order, so what the
 * terms have in common is found by letting each leap to where the furthest is,
 * until all agree (a leapfrog join): the rare one leads, and nothing is sorted
 * or decoded.
 */
#include <stdlib.h>
#include <string.h>

#include "inside.h"

enum {
	TERMS = 8,
	STREAMS = 256,	 /* cursors of one list */
	LEAPS = 20000,	 /* then the page ends, and others are served */
	CURSOR_PAST = 1, /* its first byte: go on behind it, or with it */
	CURSOR_WITH = 2,
	CURSOR_HEAD = 5
};

/* The entries under one prefix. */
struct stream {
	MDB_cursor *c;
	const char *prefix;
	size_t n;
	const uint8_t *at; /* behind the prefix; NULL: at its end */
	size_t at_n;
};

struct term {
	struct stream *s;
	size_t n;
	struct stream *best; /* the nearest; NULL: at the end */
};

/* A list that leaps more often ends its page, and others are served. */
static long leaps_max = 20000;

void
tables_leaps(long n)
{
	leaps_max = n;
}

struct list {
	struct table *b;
	const struct table_query *q;
	struct arena *a;
	const struct index *order; /* any index of this order */
	struct term t[TERMS];
	size_t n, streams;
	uint32_t digest;
	long leaps;
	int broken; /* what LMDB said, if anything */
};

static int
bytes(const void *a, size_t an, const void *b, size_t bn)
{
	int c = memcmp(a, b, an < bn ? an : bn);

	return c != 0 ? c : (an > bn) - (an < bn);
}

static const struct table_filter *
filter_of(const struct list *l, const char *field, const bool *used)
{
	size_t i;

	for (i = 0; i < l->q->n; i++)
		if ((used == NULL || !used[i]) &&
		    strcmp(l->q->filters[i].field, field) == 0)
			return &l->q->filters[i];
	return NULL;
}

/* Whether all fields of an index are filtered by. */
static bool
usable(const struct list *l, const struct index *ix)
{
	size_t i;

	if (strcmp(ix->order.text, l->order->order.text) != 0)
		return false;
	for (i = 0; i < ix->n; i++)
		if (filter_of(l, ix->field[i].text, NULL) == NULL)
			return false;
	return true;
}

/* The usable index with most fields that has this one. */
static const struct index *
index_for(const struct list *l, const char *field)
{
	const struct index *best = NULL, *ix;
	size_t i, k;

	for (i = 0; i < l->b->n_index; i++) {
		ix = &l->b->index[i];
		if (!usable(l, ix) || (best != NULL && best->n >= ix->n))
			continue;
		for (k = 0; k < ix->n; k++)
			if (strcmp(ix->field[k].text, field) == 0)
				best = ix;
	}
	return best;
}

/* A stream for each combination of values, `own` standing for its field. */
static int
streams_add(struct list *l, struct term *t, const struct index *ix, size_t i,
    const struct table_filter *own, struct buf *key, struct err *e)
{
	const struct table_filter *f;
	size_t mark = key->len, k;
	struct stream *s;
	int rc;

	if (i == ix->n) {
		if (++l->streams > STREAMS)
			return err_set(e, RC_PERM,
			    "%s: filters with more than %d combinations of "
			    "values",
			    l->b->name, STREAMS);
		s = &t->s[t->n++];
		s->prefix =
		    memcpy(arena_alloc(l->a, key->len), key->p, key->len);
		s->n = key->len;
		rc = mdb_cursor_open(l->b->t->txn, l->b->entries, &s->c);
		return rc == 0 ? 0 : db_err(l->b->t, rc, e, l->b->name);
	}
	f = own != NULL && strcmp(own->field, ix->field[i].text) == 0
		? own
		: filter_of(l, ix->field[i].text, NULL);
	for (k = 0; k < f->n; k++) {
		key->len = mark;
		if (value_text(key, &ix->field[i], f->values[k], e) == -1 ||
		    streams_add(l, t, ix, i + 1, own, key, e) == -1)
			return -1;
	}
	return 0;
}

static int
term_add(struct list *l, const struct index *ix, const struct table_filter *own,
    struct err *e)
{
	struct term *t = &l->t[l->n];
	struct buf key = BUF_INIT;
	size_t i, most = 1;
	int rv;

	if (l->n == TERMS)
		return err_set(
		    e, RC_PERM, "%s: more than %d filters", l->b->name, TERMS);
	for (i = 0; i < ix->n && most <= STREAMS; i++)
		most *=
		    own != NULL && strcmp(own->field, ix->field[i].text) == 0
			? own->n
			: filter_of(l, ix->field[i].text, NULL)->n;
	if (most > STREAMS)
		most = STREAMS;
	t->s = arena_array(l->a, struct stream, most + 1);
	l->n++;
	buf_addc(&key, (char)ix->no);
	buf_addc(&key, l->q->deleted);
	rv = streams_add(l, t, ix, 0, own, &key, e);
	buf_free(&key);
	return rv;
}

static bool
has_field(const struct index *ix, const char *field)
{
	size_t i;

	for (i = 0; i < ix->n; i++)
		if (strcmp(ix->field[i].text, field) == 0)
			return true;
	return false;
}

/* Which indexes: each filter by one, and one that serves two is read once. */
static int
plan(struct list *l, struct err *e)
{
	const struct index *ix;
	const struct table_filter *f;
	bool *done = arena_array(l->a, bool, l->q->n + 1);
	size_t i, k;

	/* The ones with most fields first, for their lists are shortest. */
	for (k = INDEX_FIELDS; k > 0; k--)
		for (i = 0; i < l->q->n; i++) {
			f = &l->q->filters[i];
			if (done[i])
				continue;
			if ((ix = index_for(l, f->field)) == NULL)
				return err_set(e, RC_PERM,
				    "%s: no index for a filter on %s in the "
				    "order of %s",
				    l->b->name, f->field, l->order->order.text);
			if (ix->n != k)
				continue;
			if (term_add(l, ix, f, e) == -1)
				return -1;
			for (size_t j = 0; j < l->q->n; j++)
				if (j == i ||
				    (has_field(ix, l->q->filters[j].field) &&
					filter_of(l, l->q->filters[j].field,
					    NULL) == &l->q->filters[j] &&
					strcmp(l->q->filters[j].field,
					    f->field) != 0))
					done[j] = true;
		}
	if (l->q->n > 0)
		return 0;
	for (i = 0; i < l->b->n_index; i++)
		if (usable(l, &l->b->index[i]))
			return term_add(l, &l->b->index[i], NULL, e);
	return err_set(e, RC_PERM,
	    "%s: no index of all records in the order of "
	    "%s",
	    l->b->name, l->order->order.text);
}

static void
at_set(struct list *l, struct stream *s, int rc, const MDB_val *k)
{
	s->at = NULL;
	if (rc != 0 && rc != MDB_NOTFOUND)
		l->broken = rc;
	if (rc != 0 || k->mv_size <= s->n ||
	    memcmp(k->mv_data, s->prefix, s->n) != 0)
		return;
	s->at = (const uint8_t *)k->mv_data + s->n;
	s->at_n = k->mv_size - s->n;
}

/* To the first at `to` or beyond, in the list's direction; past it if told. */
static void
leap(struct list *l, struct stream *s, const void *to, size_t n, bool past)
{
	char raw[KEY_MAX + 16];
	MDB_val k, v;
	int rc;

	l->leaps++;
	memcpy(raw, s->prefix, s->n);
	memcpy(raw + s->n, to, n);
	k.mv_data = raw, k.mv_size = s->n + n;
	if (l->q->ascending) {
		if (past)
			raw[k.mv_size++] = '\0';
		rc = mdb_cursor_get(s->c, &k, &v, MDB_SET_RANGE);
	} else {
		rc = mdb_cursor_get(s->c, &k, &v, MDB_SET_RANGE);
		if (rc == MDB_NOTFOUND)
			rc = mdb_cursor_get(s->c, &k, &v, MDB_LAST);
		else if (rc == 0 && (past || k.mv_size != s->n + n ||
					memcmp(k.mv_data, raw, s->n + n) != 0))
			rc = mdb_cursor_get(s->c, &k, &v, MDB_PREV);
	}
	at_set(l, s, rc, &k);
}

/* The next one, which is nearer than a leap. */
static void
step(struct list *l, struct stream *s)
{
	MDB_val k, v;
	int rc =
	    mdb_cursor_get(s->c, &k, &v, l->q->ascending ? MDB_NEXT : MDB_PREV);

	at_set(l, s, rc, &k);
}

/* Negative: a comes before b in this list. */
static int
before(const struct list *l, const void *a, size_t an, const void *b, size_t bn)
{
	int c = bytes(a, an, b, bn);

	return l->q->ascending ? c : -c;
}

static void
nearest(const struct list *l, struct term *t)
{
	size_t i;

	t->best = NULL;
	for (i = 0; i < t->n; i++)
		if (t->s[i].at != NULL &&
		    (t->best == NULL || before(l, t->s[i].at, t->s[i].at_n,
					    t->best->at, t->best->at_n) < 0))
			t->best = &t->s[i];
}

static void
term_leap(struct list *l, struct term *t, const void *to, size_t n, bool first,
    bool past)
{
	struct stream *s;
	size_t i;

	for (i = 0; i < t->n; i++) {
		s = &t->s[i];
		if (first ||
		    (s->at != NULL && before(l, s->at, s->at_n, to, n) < 0))
			leap(l, s, to, n, past);
	}
	nearest(l, t);
}

/* Leave what was found just now. */
static void
term_step(struct list *l, struct term *t, const void *found, size_t n)
{
	size_t i;

	for (i = 0; i < t->n; i++)
		if (t->s[i].at != NULL &&
		    bytes(t->s[i].at, t->s[i].at_n, found, n) == 0)
			step(l, &t->s[i]);
	nearest(l, t);
}

/*
 * Until all terms stand at the same: true, or one is at its end: false.  It
 * gives up after too many leaps, with *far where the search had come to.
 */
static bool
agree(struct list *l, struct buf *far)
{
	struct stream *max;
	size_t i, same, round;

	for (round = 0;; round++) {
		max = NULL;
		for (i = 0; i < l->n; i++) {
			if (l->t[i].best == NULL)
				return false;
			if (max == NULL ||
			    before(l, l->t[i].best->at, l->t[i].best->at_n,
				max->at, max->at_n) > 0)
				max = l->t[i].best;
		}
		must(max != NULL);
		for (i = same = 0; i < l->n; i++)
			same += bytes(l->t[i].best->at, l->t[i].best->at_n,
				    max->at, max->at_n) == 0;
		buf_reset(far);
		buf_add(far, max->at, max->at_n);
		if (same == l->n)
			return true;
		/* After one round it is further on than it was. */
		if (round > 0 && l->leaps > leaps_max)
			return true;
		for (i = 0; i < l->n; i++)
			term_leap(l, &l->t[i], far->p, far->len, false, false);
	}
}

static bool
agreed(const struct list *l, const struct buf *at)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		if (bytes(l->t[i].best->at, l->t[i].best->at_n, at->p,
			at->len) != 0)
			return false;
	return true;
}

static void
mix(uint32_t *h, const char *s)
{
	do
		*h = (*h ^ (uint8_t)*s) * 16777619u;
	while (*s++ != '\0');
}

/* So that a cursor is not taken for a place in another list. */
static uint32_t
digest(const struct list *l)
{
	uint32_t h = 2166136261u;
	size_t i, k;

	mix(&h, l->b->name);
	mix(&h, l->order->order.text);
	mix(&h, l->q->ascending ? "a" : "d");
	mix(&h, l->q->deleted ? "x" : "-");
	for (i = 0; i < l->q->n; i++) {
		mix(&h, l->q->filters[i].field);
		for (k = 0; k < l->q->filters[i].n; k++)
			mix(&h, l->q->filters[i].values[k]);
	}
	return h;
}

static char *
cursor_make(const struct list *l, int form, const struct buf *at)
{
	struct buf raw = BUF_INIT, text = BUF_INIT;
	uint32_t h = l->digest;
	char *s, *c;
	int i;

	buf_addc(&raw, (char)form);
	for (i = 0; i < 4; i++, h >>= 8)
		buf_addc(&raw, (char)(h & 255));
	buf_add(&raw, at->p, at->len);
	base64_encode(&text, raw.p, raw.len);
	s = arena_strndup(l->a, text.p, text.len);
	for (c = s; *c != '\0'; c++)
		*c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
	s[strcspn(s, "=")] = '\0';
	buf_free(&raw);
	buf_free(&text);
	return s;
}

static int
cursor_read(const struct list *l, struct buf *at, bool *past, struct err *e)
{
	char *s = arena_printf(l->a, "%s===", l->q->cursor), *c;
	size_t n = strlen(l->q->cursor);
	struct buf raw = BUF_INIT;
	uint32_t h = l->digest;
	bool good = n % 4 != 1 && n < 512;
	int i;

	s[n + (4 - n % 4) % 4] = '\0';
	for (c = s; *c != '\0'; c++)
		*c = *c == '-' ? '+' : *c == '_' ? '/' : *c;
	good = good && base64_decode(&raw, s, strlen(s)) == 0 &&
	       raw.len > CURSOR_HEAD + 8 &&
	       raw.len <= CURSOR_HEAD + 8 + 1 + TABLE_ID_MAX &&
	       (raw.p[0] == CURSOR_PAST || raw.p[0] == CURSOR_WITH);
	for (i = 0; good && i < 4; i++, h >>= 8)
		good = (uint8_t)raw.p[1 + i] == (h & 255);
	if (good) {
		buf_add(at, raw.p + CURSOR_HEAD, raw.len - CURSOR_HEAD);
		*past = raw.p[0] == CURSOR_PAST;
	}
	buf_free(&raw);
	return good ? 0
		    : err_set(e, RC_PERM,
			  "%s: the cursor belongs to another list", l->b->name);
}

/* Where the list begins, and whether that one itself is left out. */
static int
start(const struct list *l, struct buf *at, bool *past, struct err *e)
{
	static const char last[16] = { -1, -1, -1, -1, -1, -1, -1, -1, -1 };

	*past = false;
	if (l->q->cursor != NULL && *l->q->cursor != '\0')
		return cursor_read(l, at, past, e);
	if (l->q->ascending) {
		order_key(at, l->q->min == 0 ? INT64_MIN : l->q->min);
		return 0;
	}
	if (l->q->max == 0)
		buf_add(at, last, sizeof(last));
	else {
		order_key(at, l->q->max);
		buf_add(at, last, sizeof(last)); /* behind all its ids */
	}
	return 0;
}

/* Whether the order of this one is still within min and max. */
static bool
within(const struct list *l, const struct buf *at)
{
	struct buf bound = BUF_INIT;
	int64_t v = l->q->ascending ? l->q->max : l->q->min;
	bool in = true;

	if (v != 0) {
		order_key(&bound, v);
		in = at->len >= 8 &&
		     (l->q->ascending ? memcmp(at->p, bound.p, 8) <= 0
				      : memcmp(at->p, bound.p, 8) >= 0);
		buf_free(&bound);
	}
	return in;
}

static int
take(struct list *l, const struct buf *at, struct record *r, struct err *e)
{
	MDB_val k, v;
	int rc;

	k.mv_data = at->p + 8, k.mv_size = at->len - 8;
	rc = mdb_get(l->b->t->txn, l->b->records, &k, &v);
	r->id = id_text(k.mv_data, k.mv_size, l->a);
	if (rc != 0 && rc != MDB_NOTFOUND)
		return db_err(l->b->t, rc, e, l->b->name);
	if (rc != 0)
		return err_set(e, RC_PERM,
		    "%s %s: an index entry without its record (pipecd-store "
		    "-V)",
		    l->b->name, r->id);
	/* One that is damaged costs itself, not the list. */
	if (!record_read(r, &v))
		log_error("-", "%s %s: a damaged record", l->b->name, r->id);
	return 0;
}

static ssize_t
page(struct list *l, struct record *r, const char **next, struct err *e)
{
	struct buf at = BUF_INIT;
	size_t n = 0, size = 0, i;
	bool past;
	ssize_t rv = -1;

	if (start(l, &at, &past, e) == -1)
		goto out;
	for (i = 0; i < l->n; i++)
		term_leap(l, &l->t[i], at.p, at.len, true, past);
	while (agree(l, &at) && within(l, &at)) {
		if (!agreed(l, &at)) { /* too many leaps */
			*next = cursor_make(l, CURSOR_WITH, &at);
			break;
		}
		if (take(l, &at, &r[n], e) == -1)
			goto out;
		size += r[n].n;
		n += !r[n].damaged;
		for (i = 0; i < l->n; i++)
			term_step(l, &l->t[i], at.p, at.len);
		if (n == l->q->limit || size > TABLE_PAGE_BYTES) {
			struct buf more = BUF_INIT;

			if (agree(l, &more) && within(l, &more))
				*next = cursor_make(l, CURSOR_PAST, &at);
			buf_free(&more);
			break;
		}
	}
	if (l->broken != 0) {
		db_err(l->b->t, l->broken, e, l->b->name);
		goto out;
	}
	rv = (ssize_t)n;
out:
	buf_free(&at);
	return rv;
}

static const struct index *
order_find(const struct table *b, const char *order)
{
	size_t i;

	for (i = 0; i < b->n_index; i++)
		if (order == NULL || *order == '\0' ||
		    strcmp(b->index[i].order.text, order) == 0)
			return &b->index[i];
	return NULL;
}

ssize_t
table_list(struct table *b, const struct table_query *q, struct record *r,
    const char **next, struct arena *a, struct err *e)
{
	struct list l = { .b = b, .q = q, .a = a };
	size_t i, k;
	ssize_t rv = -1;

	*next = NULL;
	must(q->limit > 0 && q->limit <= TABLE_PAGE_MAX);
	if ((l.order = order_find(b, q->order)) == NULL)
		return err_set(e, RC_PERM, "%s: no index in the order of %s",
		    b->name, q->order);
	for (i = 0; i < q->n; i++)
		if (q->filters[i].n == 0)
			return err_set(e, RC_PERM,
			    "%s: a filter on %s without values", b->name,
			    q->filters[i].field);
	l.digest = digest(&l);
	if (plan(&l, e) == 0)
		rv = page(&l, r, next, e);
	for (i = 0; i < l.n; i++)
		for (k = 0; k < l.t[i].n; k++)
			if (l.t[i].s[k].c != NULL)
				mdb_cursor_close(l.t[i].s[k].c);
	return rv;
}
