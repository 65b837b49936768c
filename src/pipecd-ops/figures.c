#include "figures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/application.pb-c.h"

enum {
	KEEP = 20000,		 /* records in hand before they are written */
	DECODED_MAX = 256 << 20, /* memory of one chunk */
	CHUNKS_MAX = 4096	 /* of a month; the last takes the rest */
};

void
figures_init(struct figures *f, struct ops *o, const char *project)
{
	*f = (struct figures){ .o = o, .project = project };
	f->arena = arena_new();
}

void
figures_free(struct figures *f)
{
	free(f->record);
	arena_free(f->arena);
}

int
figures_add(struct figures *f, Insight__Record *r, struct err *e)
{
	if (f->n == f->cap) {
		f->cap = f->cap * 2 + 64;
		f->record =
		    xrealloc(f->record, f->cap * sizeof(Insight__Record *));
	}
	f->record[f->n++] = r;
	return f->n >= KEEP ? figures_flush(f, e) : 0;
}

/* --- a month ---------------------------------------------------------------
 */

struct month {
	struct figures *f;
	const char *name;
	struct arena *a;
	struct map *seen; /* id: where it is */
	struct chunk {
		Insight__Chunk *m;
		size_t cap;
		bool changed;
	} * chunk; /* CHUNKS_MAX, in the arena */
	size_t n;
};

struct place {
	unsigned chunk;
	size_t record;
};

static struct chunk *
chunk_new(struct month *m)
{
	must(m->n < CHUNKS_MAX);
	m->chunk[m->n] = (struct chunk){ .m = NULL };
	return &m->chunk[m->n++];
}

static void
remember(struct month *m, const char *id, size_t chunk, size_t record)
{
	struct place *p = arena_new_of(m->a, struct place);

	p->chunk = (unsigned)chunk;
	p->record = record;
	map_put(m->seen, id, p);
}

/* What is there already.  Chunks are numbered without a gap. */
static int
month_read(struct month *m, struct err *e)
{
	ProtobufCBinaryData data;
	char key[INSIGHT_KEY];
	struct chunk *c;
	size_t i;
	int rv;

	while (m->n < CHUNKS_MAX) {
		insight_chunk(key, m->f->project, m->name, (unsigned)m->n);
		if ((rv = object_get(m->f->o, key, &data, m->a, e)) != 1)
			return rv;
		c = chunk_new(m);
		c->m = (Insight__Chunk *)msg_unpack(&insight__chunk__descriptor,
		    data.data, data.len, m->a, DECODED_MAX, e);
		if (c->m == NULL)
			return err_wrap(e, "%s", key);
		c->cap = c->m->n_records;
		for (i = 0; i < c->m->n_records; i++)
			remember(m, c->m->records[i]->id, m->n - 1, i);
	}
	return 0;
}

static bool
same(const Insight__Record *a, const Insight__Record *b)
{
	return a->status == b->status && a->completed_at == b->completed_at &&
	       a->lead_s == b->lead_s && a->restore_s == b->restore_s;
}

static void
append(struct chunk *c, Insight__Record *r, struct arena *a)
{
	Insight__Record **more;

	if (c->m->n_records == c->cap) {
		c->cap = c->cap * 2 + 16;
		more = arena_array(a, Insight__Record *, c->cap);
		if (c->m->n_records > 0)
			memcpy(more, c->m->records,
			    c->m->n_records * sizeof(Insight__Record *));
		c->m->records = more;
	}
	c->m->records[c->m->n_records++] = r;
	c->changed = true;
}

static void
month_add(struct month *m, Insight__Record *r)
{
	const struct place *p = map_get(m->seen, r->id);
	int64_t max = m->f->o->conf->insight.chunk_max;
	struct chunk *c;

	if (p != NULL) {
		c = &m->chunk[p->chunk];
		c->changed |= !same(c->m->records[p->record], r);
		c->m->records[p->record] = r;
		return;
	}
	if (m->n == 0 || (max > 0 && m->n < CHUNKS_MAX &&
			     (int64_t)m->chunk[m->n - 1].m->n_records >= max)) {
		c = chunk_new(m);
		c->m = arena_new_of(m->a, Insight__Chunk);
		insight__chunk__init(c->m);
	} else
		c = &m->chunk[m->n - 1];
	append(c, r, m->a);
	remember(m, r->id, m->n - 1, c->m->n_records - 1);
	m->f->added++;
}

static int
month_write(struct month *m, struct err *e)
{
	char key[INSIGHT_KEY];
	size_t i;

	for (i = 0; i < m->n; i++) {
		if (!m->chunk[i].changed)
			continue;
		m->chunk[i].m->updated_at = wall_s();
		insight_chunk(key, m->f->project, m->name, (unsigned)i);
		if (object_put(m->f->o, key, &m->chunk[i].m->base, e) == -1)
			return -1;
	}
	return 0;
}

static int
month(struct figures *f, const char *name, Insight__Record **r, size_t n,
    struct err *e)
{
	struct month m = { .f = f, .name = name };
	size_t i;
	int rv = -1;

	m.a = arena_new();
	m.chunk = arena_array(m.a, struct chunk, CHUNKS_MAX);
	m.seen = map_new();
	if (month_read(&m, e) == -1)
		goto out;
	for (i = 0; i < n; i++)
		month_add(&m, r[i]);
	rv = month_write(&m, e);
out:
	map_free(m.seen);
	arena_free(m.a);
	return rv;
}

static int
by_end(const void *a, const void *b)
{
	const Insight__Record *x = *(Insight__Record *const *)a;
	const Insight__Record *y = *(Insight__Record *const *)b;

	return x->completed_at < y->completed_at   ? -1
	       : x->completed_at > y->completed_at ? 1
						   : strcmp(x->id, y->id);
}

int
figures_flush(struct figures *f, struct err *e)
{
	char name[8], next[8];
	size_t i, j;
	int rv = 0;

	if (f->n > 1)
		qsort(f->record, f->n, sizeof(Insight__Record *), by_end);
	for (i = 0; i < f->n && rv == 0; i = j) {
		insight_month(name, f->record[i]->completed_at);
		for (j = i + 1; j < f->n; j++) {
			insight_month(next, f->record[j]->completed_at);
			if (strcmp(name, next) != 0)
				break;
		}
		rv = month(f, name, f->record + i, j - i, e);
	}
	f->n = 0;
	arena_reset(f->arena);
	return rv;
}

/* --- applications ----------------------------------------------------------
 */

struct count {
	struct arena *a;
	Insight__Applications out;
	Model__InsightApplicationCount *count[64];
	int64_t n;
	bool deleted;
};

static void
label(struct count *c, Model__InsightApplicationCount *n, const char *key,
    const char *value)
{
	Model__InsightApplicationCount__LabelsEntry *l =
	    arena_new_of(c->a, Model__InsightApplicationCount__LabelsEntry);

	model__insight_application_count__labels_entry__init(l);
	l->key = str(key);
	l->value = arena_strdup(c->a, value);
	n->labels[n->n_labels++] = l;
}

static void
count_one(struct count *c, const char *kind, const char *status)
{
	Model__InsightApplicationCount *n;
	size_t i;

	for (i = 0; i < c->out.n_counts; i++) {
		n = c->count[i];
		if (strcmp(n->labels[0]->value, kind) == 0 &&
		    strcmp(n->labels[1]->value, status) == 0) {
			n->count++;
			return;
		}
	}
	if (c->out.n_counts == NITEMS(c->count))
		return; /* more kinds than there are */
	n = c->count[c->out.n_counts++] =
	    arena_new_of(c->a, Model__InsightApplicationCount);
	model__insight_application_count__init(n);
	n->labels =
	    arena_array(c->a, Model__InsightApplicationCount__LabelsEntry *, 2);
	label(c, n, "KIND", kind);
	label(c, n, "ACTIVE_STATUS", status);
	n->count = 1;
}

static int
one_application(
    void *arg, const Store__Record *r, struct arena *a, struct err *e)
{
	struct count *c = arg;
	const Model__Application *m =
	    record_of(&model__application__descriptor, r, a, e);

	if (m == NULL)
		return -1;
	c->n++;
	count_one(c,
	    msg_enum_name(
		&model__application_kind__descriptor, (int)m->kind, MSG_API),
	    c->deleted	  ? "DELETED"
	    : m->disabled ? "DISABLED"
			  : "ENABLED");
	return 0;
}

int
applications_count(
    struct ops *o, const char *project, struct did *d, struct err *e)
{
	struct count c = { .a = arena_new() };
	char key[INSIGHT_KEY];
	struct list l;
	int rv;

	insight__applications__init(&c.out);
	c.out.counts = c.count;
	list_init(&l, "application", "updated_at", true);
	list_filter(&l, "project_id", project);
	rv = list_each(o, &l, one_application, &c, e);
	c.deleted = true;
	l.l.deleted = true;
	if (rv == 0)
		rv = list_each(o, &l, one_application, &c, e);
	c.out.updated_at = wall_s();
	insight_applications(key, project);
	if (rv == 0)
		rv = object_put(o, key, &c.out.base, e);
	did(d, "applications", c.n);
	arena_free(c.a);
	return rv;
}
