/* Everything in a table against everything that should be. */
#include <stdlib.h>
#include <string.h>

#include "inside.h"
#include "msg.h"

struct verify {
	struct table *b;
	void (*say)(void *arg, const char *line);
	void *arg;
	uint64_t wanted; /* index entries */
	bool damaged;	 /* some records are: their entries are not known */
};

static void
wrong(struct verify *v, const char *id, const char *what)
{
	struct buf line = BUF_INIT;

	buf_printf(&line, "%s %s: %s", v->b->name, id, what);
	v->say(v->arg, line.p);
	buf_free(&line);
}

static void
damaged(struct verify *v, const char *id)
{
	v->damaged = true;
	wrong(v, id, "a damaged record: load it from a dump");
}

static int
record_verify(
    struct verify *v, const struct record *r, struct arena *a, struct err *e)
{
	struct table *b = v->b;
	struct entries es;
	ProtobufCMessage *m = record_message(b, r, a, e);
	MDB_val k, x;
	size_t i;
	int rc;

	if (m == NULL) {
		v->say(v->arg, e->text);
		return 0;
	}
	if (strcmp(table_id(b, m), r->id) != 0)
		wrong(v, r->id, "it has another id inside");
	entries_of(&es, b, m, r->deleted, a);
	v->wanted += es.n;
	for (i = 0; i < es.n; i++) {
		k.mv_size = es.e[i].n;
		k.mv_data = (void *)(uintptr_t)es.e[i].p;
		rc = mdb_get(b->t->txn, b->entries, &k, &x);
		if (rc == MDB_NOTFOUND)
			wrong(v, r->id, "an index entry is missing");
		else if (rc != 0)
			return db_err(b->t, rc, e, b->name);
	}
	return 0;
}

int64_t
table_verify(struct table *b, void (*say)(void *arg, const char *line),
    void *arg, struct err *e)
{
	struct verify v = { .b = b, .say = say, .arg = arg };
	struct arena *a = arena_new(), *ids = arena_new();
	const char *after = NULL;
	struct record r;
	MDB_stat st;
	int64_t n = 0;
	int got;

	while ((got = table_walk(b, after, &r, a, e)) == 1) {
		arena_reset(ids);
		after = arena_strdup(ids, r.id);
		if (r.damaged)
			damaged(&v, r.id);
		else if ((got = record_verify(&v, &r, a, e)) == -1)
			break;
		arena_reset(a);
		n++;
	}
	if (got == 0 && mdb_stat(b->t->txn, b->entries, &st) == 0 &&
	    st.ms_entries > v.wanted && !v.damaged)
		wrong(&v, "-", "index entries that belong to no record");
	arena_free(ids);
	arena_free(a);
	return got == -1 ? -1 : n;
}
