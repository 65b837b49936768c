/*
 * table DIR list SEED N	random records and lists, against a brute force;
 *				pages that end early, with an even seed
 * table DIR grow		a map that starts small, and a second process' view
 * table DIR upgrade		other rows than those it was indexed by
 * table DIR newer		a store of a schema to come
 * table DIR readers		a killed reader's slot
 * table DIR damage		an index entry too many, and one too few
 */
#include <lmdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model/deployment.pb-c.h"
#include "msg.h"
#include "table.h"

static const struct table_row rows[] = {
	{ TABLE_TABLE, "t", &model__deployment__descriptor, "id", "project_id",
	    NULL, NULL },
	{ TABLE_INDEX, "t", NULL, NULL, NULL, "updated_at", "project_id" },
	{ TABLE_INDEX, "t", NULL, NULL, NULL, "updated_at",
	    "project_id status" },
	{ TABLE_INDEX, "t", NULL, NULL, NULL, "updated_at",
	    "project_id labels" },
	{ TABLE_INDEX, "t", NULL, NULL, NULL, "updated_at",
	    "trigger.commit.hash" },
	{ TABLE_INDEX, "t", NULL, NULL, NULL, "updated_at", "" },
	{ TABLE_INDEX, "t", NULL, NULL, NULL, "created_at", "project_id" },
	{ TABLE_PLAIN, "p", NULL, NULL, NULL, NULL, NULL },
};

static struct tables *
open_or_die(const char *dir, const struct table_row *r, size_t n, int flags)
{
	struct tables *t;
	struct err e;

	if ((t = tables_open(r, n, dir, flags, &e)) == NULL)
		die(&e);
	return t;
}

/* --- lists against a brute force --------------------------------------------
 */

enum {
	LABELS = 3
};

static struct truth {
	bool there, deleted;
	char id[48], project[8], hash[80];
	int status, labels[2];
	int64_t updated, created;
} * truth;
static long n_truth;

static Model__Deployment *
message(const struct truth *x, struct arena *a)
{
	Model__Deployment *d = arena_new_of(a, Model__Deployment);
	Model__Deployment__LabelsEntry *l;
	int i;

	model__deployment__init(d);
	d->id = arena_strdup(a, x->id);
	d->project_id = arena_strdup(a, x->project);
	d->status = (Model__DeploymentStatus)x->status;
	d->updated_at = x->updated;
	d->created_at = x->created;
	d->trigger = arena_new_of(a, Model__DeploymentTrigger);
	model__deployment_trigger__init(d->trigger);
	d->trigger->commit = arena_new_of(a, Model__Commit);
	model__commit__init(d->trigger->commit);
	d->trigger->commit->hash = arena_strdup(a, x->hash);
	d->labels = arena_array(a, Model__Deployment__LabelsEntry *, 2);
	for (i = 0; i < 2; i++) {
		l = d->labels[i] =
		    arena_new_of(a, Model__Deployment__LabelsEntry);
		model__deployment__labels_entry__init(l);
		l->key = arena_printf(a, "k%d", i);
		l->value = arena_printf(a, "v%d", x->labels[i]);
	}
	d->n_labels = 2;
	return d;
}

static void
shake(struct truth *x, long i)
{
	x->there = true;
	x->deleted = rand() % 10 == 0;
	if (i % 2 == 0)
		(void)snprintf(x->id, sizeof(x->id),
		    "%08x-0000-4000-8000-%012lx", (unsigned)(i * 77777), i);
	else
		(void)snprintf(x->id, sizeof(x->id), "name-%ld", i);
	(void)snprintf(x->project, sizeof(x->project), "p%d", rand() % 2);
	/* Longer than what stands in a key as it is. */
	(void)snprintf(x->hash, sizeof(x->hash), "%070d", rand() % 5);
	x->status = rand() % 4;
	x->labels[0] = rand() % LABELS;
	x->labels[1] = rand() % LABELS;
	x->updated = 1 + rand() % 40; /* many at the same instant */
	x->created = rand() % 3 == 0 ? 0 : 1 + rand() % 1000;
}

static void
change_some(struct tables *t, long n)
{
	struct table *b = table_find(t, "t");
	struct arena *a = arena_new();
	struct record old;
	struct err e;
	void *copy;
	long i, k;
	int got;

	do {
		if (tables_write(t, &e) == -1)
			die(&e);
		for (k = 0; k < n; k++) {
			i = rand() % n_truth;
			got = table_get(
			    b, truth[i].there ? truth[i].id : "none", &old, &e);
			must(got == truth[i].there);
			if (got == 1) {
				copy = arena_alloc(a, old.n + 1);
				memcpy(copy, old.value, old.n);
				old.value = copy;
			}
			if (got == 1 && rand() % 8 == 0) {
				must(table_purge(b, &old, a, &e) == 0);
				truth[i].there = false;
				continue;
			}
			shake(&truth[i], i);
			must(table_put(b, got == 1 ? &old : NULL,
				 &message(&truth[i], a)->base, truth[i].deleted,
				 NULL, a, &e) == 0);
		}
	} while (tables_commit(t, &e) == -1);
	arena_free(a);
}

struct want {
	int project, statuses, label[2], hash;
	bool by_created, ascending, deleted;
	int64_t min, max;
};

static bool
wanted(const struct truth *x, const struct want *w)
{
	char p[8], h[80];
	int64_t order = w->by_created ? x->created : x->updated;

	(void)snprintf(p, sizeof(p), "p%d", w->project);
	(void)snprintf(h, sizeof(h), "%070d", w->hash);
	return x->there && x->deleted == w->deleted && order != 0 &&
	       (w->project < 0 || strcmp(x->project, p) == 0) &&
	       (w->statuses == 0 || (w->statuses & 1 << x->status) != 0) &&
	       (w->label[0] < 0 || x->labels[0] == w->label[0]) &&
	       (w->label[1] < 0 || x->labels[1] == w->label[1]) &&
	       (w->hash < 0 || strcmp(x->hash, h) == 0) &&
	       (w->min == 0 || order >= w->min) &&
	       (w->max == 0 || order <= w->max);
}

static void
filter(struct table_query *q, const char *field, struct arena *a,
    const char *v1, const char *v2, const char *v3)
{
	struct table_filter *f =
	    (struct table_filter *)(uintptr_t)&q->filters[q->n++];
	char **v = arena_array(a, char *, 3);

	f->field = field;
	f->values = v;
	if (v1 != NULL)
		v[f->n++] = arena_strdup(a, v1);
	if (v2 != NULL)
		v[f->n++] = arena_strdup(a, v2);
	if (v3 != NULL)
		v[f->n++] = arena_strdup(a, v3);
}

static void
one_list(struct tables *t)
{
	struct arena *a = arena_new();
	struct table_query q = { 0 };
	struct want w = {
		.project = rand() % 2, .label = { -1, -1 }, .hash = -1
	};
	struct record *r = arena_array(a, struct record, 1000);
	bool *seen = arena_array(a, bool, (size_t)n_truth);
	const char *next = NULL;
	int64_t before = 0, order;
	long i, found = 0, want = 0;
	ssize_t n, k;
	struct err e;

	q.filters = arena_array(a, struct table_filter, 8);
	w.ascending = q.ascending = rand() % 2;
	w.deleted = q.deleted = rand() % 5 == 0;
	w.by_created = rand() % 4 == 0;
	q.order = w.by_created ? "created_at" : "updated_at";
	q.limit = 1 + (size_t)(rand() % 40);
	if (rand() % 2)
		w.min = q.min = 1 + rand() % 30;
	if (rand() % 2)
		w.max = q.max = 10 + rand() % 30;
	if (rand() % 10 == 0 && !w.by_created)
		w.project = -1;
	else
		filter(
		    &q, "project_id", a, w.project ? "p1" : "p0", NULL, NULL);
	if (w.project >= 0 && !w.by_created) {
		if (rand() % 2) {
			w.statuses = 1 << 1 | 1 << 2;
			filter(
			    &q, "status", a, "1", "DEPLOYMENT_RUNNING", NULL);
		}
		for (i = 0; i < 2; i++)
			if (rand() % 2) {
				w.label[i] = rand() % LABELS;
				filter(&q, "labels", a,
				    arena_printf(a, "k%ld=v%d", i, w.label[i]),
				    NULL, NULL);
			}
	}
	if (!w.by_created && rand() % 2) {
		w.hash = rand() % 5;
		filter(&q, "trigger.commit.hash", a,
		    arena_printf(a, "%070d", w.hash), NULL, NULL);
	}
	do {
		if (tables_read(t, &e) == -1)
			die(&e);
		q.cursor = next;
		n = table_list(table_find(t, "t"), &q, r, &next, a, &e);
		if (n == -1)
			die(&e);
		must((size_t)n <= q.limit);
		for (k = 0; k < n; k++) {
			for (i = 0; i < n_truth; i++)
				if (truth[i].there &&
				    strcmp(truth[i].id, r[k].id) == 0)
					break;
			must(i < n_truth && wanted(&truth[i], &w) && !seen[i]);
			order =
			    w.by_created ? truth[i].created : truth[i].updated;
			must(found == 0 ||
			     (w.ascending ? order >= before : order <= before));
			before = order;
			seen[i] = true;
			found++;
		}
		tables_end(t);
	} while (next != NULL);
	for (i = 0; i < n_truth; i++)
		want += wanted(&truth[i], &w);
	must(found == want);
	arena_free(a);
}

static void
say(void *arg, const char *line)
{
	(void)arg;
	printf("%s\n", line);
}

static int64_t
verify(struct tables *t)
{
	struct err e;
	int64_t n;

	if (tables_read(t, &e) == -1)
		die(&e);
	n = table_verify(table_find(t, "t"), say, NULL, &e);
	if (n == -1)
		die(&e);
	tables_end(t);
	return n;
}

static void
lists(const char *dir, unsigned seed, long n)
{
	struct tables *t = open_or_die(dir, rows, NITEMS(rows), TABLES_CREATE);
	int i, k;

	srand(seed);
	if (seed % 2 == 0)
		tables_leaps(3);
	n_truth = n;
	truth = xcalloc((size_t)n, sizeof(*truth));
	for (i = 0; i < 20; i++) {
		change_some(t, n / 2);
		for (k = 0; k < 60; k++)
			one_list(t);
	}
	printf("%lld records\n", (long long)verify(t));
	tables_close(t);
	free(truth);
}

/* --- the environment -------------------------------------------------------- */

static void
fill(struct tables *t, long from, long n)
{
	struct arena *a = arena_new();
	struct truth x;
	struct err e;
	long i;
	int rv;

	do {
		rv = tables_write(t, &e);
		for (i = from; rv == 0 && i < from + n; i++) {
			shake(&x, i);
			rv = table_put(table_find(t, "t"), NULL,
			    &message(&x, a)->base, false, NULL, a, &e);
		}
		if (rv == 0)
			rv = tables_commit(t, &e);
	} while (rv == -1 && tables_again(t));
	if (rv == -1)
		die(&e);
	arena_free(a);
}

static uint64_t
records(struct tables *t)
{
	struct err e;
	uint64_t n;

	if (tables_read(t, &e) == -1)
		die(&e);
	n = table_count(table_find(t, "t"));
	tables_end(t);
	return n;
}

/* A second process reads on while the first one's map grows. */
static void
grow(const char *dir)
{
	struct tables *t;
	int to[2], back[2], status;
	char c;
	pid_t pid;

	tables_map_start(1 << 20);
	t = open_or_die(dir, rows, NITEMS(rows), TABLES_CREATE);
	fill(t, 0, 10);
	tables_close(t);
	must(pipe(to) == 0 && pipe(back) == 0);
	if ((pid = fork()) == 0) {
		t = open_or_die(dir, rows, NITEMS(rows), TABLES_READ);
		must(records(t) == 10);
		must(write(back[1], "r", 1) == 1 && read(to[0], &c, 1) == 1);
		printf(
		    "the reader sees %llu\n", (unsigned long long)records(t));
		tables_close(t);
		fflush(stdout);
		_exit(0);
	}
	must(read(back[0], &c, 1) == 1);
	t = open_or_die(dir, rows, NITEMS(rows), 0);
	fill(t, 10, 20000);
	must(write(to[1], "g", 1) == 1);
	must(waitpid(pid, &status, 0) == pid && status == 0);
	printf("%llu records, %lld verified\n", (unsigned long long)records(t),
	    (long long)verify(t));
	tables_close(t);
}

static void
upgrade(const char *dir)
{
	struct tables *t = open_or_die(dir, rows, 3, TABLES_CREATE);
	struct err e;

	fill(t, 0, 500);
	tables_close(t);
	if (tables_open(rows, NITEMS(rows), dir, TABLES_READ, &e) != NULL)
		abort();
	printf("%s\n", e.text);
	t = open_or_die(
	    dir, rows, NITEMS(rows), TABLES_CREATE | TABLES_UPGRADE);
	printf("%lld verified\n", (long long)verify(t));
	tables_close(t);
	t = open_or_die(dir, rows, NITEMS(rows), TABLES_READ);
	tables_close(t);
}

/* Around libtable: what another build might have left there. */
static void
meddle(const char *dir, const char *db, const char *key, size_t n,
    const char *value, bool drop)
{
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	MDB_val k = { n, (void *)(uintptr_t)key }, v = { 0, NULL };
	MDB_cursor *c;

	if (value != NULL)
		v = (MDB_val){ strlen(value), (void *)(uintptr_t)value };
	must(mdb_env_create(&env) == 0 && mdb_env_set_maxdbs(env, 96) == 0 &&
	     mdb_env_set_mapsize(env, 64 << 20) == 0 &&
	     mdb_env_open(env, dir, 0, 0600) == 0 &&
	     mdb_txn_begin(env, NULL, 0, &txn) == 0 &&
	     mdb_dbi_open(txn, db, 0, &dbi) == 0);
	if (drop) {
		must(mdb_cursor_open(txn, dbi, &c) == 0 &&
		     mdb_cursor_get(c, &k, &v, MDB_FIRST) == 0 &&
		     mdb_cursor_del(c, 0) == 0);
		mdb_cursor_close(c);
	} else {
		must(mdb_put(txn, dbi, &k, &v, 0) == 0);
	}
	must(mdb_txn_commit(txn) == 0);
	mdb_env_close(env);
}

static void
newer(const char *dir)
{
	struct tables *t = open_or_die(dir, rows, NITEMS(rows), TABLES_CREATE);
	struct err e;

	tables_close(t);
	meddle(dir, "meta", "schema", 6, "99", false);
	must(tables_open(rows, NITEMS(rows), dir,
		 TABLES_CREATE | TABLES_UPGRADE, &e) == NULL);
	printf("%d %s\n", e.exit, e.text);
}

static void
readers(const char *dir)
{
	struct tables *t = open_or_die(dir, rows, NITEMS(rows), TABLES_CREATE);
	int p[2];
	struct err e;
	char c;
	pid_t pid;

	tables_close(t);
	must(pipe(p) == 0);
	if ((pid = fork()) == 0) {
		t = open_or_die(dir, rows, NITEMS(rows), TABLES_READ);
		must(tables_read(t, &e) == 0 && write(p[1], "r", 1) == 1);
		for (;;)
			pause();
	}
	must(read(p[0], &c, 1) == 1);
	t = open_or_die(dir, rows, NITEMS(rows), TABLES_READ);
	must(tables_tidy(t) == 0); /* it lives */
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	printf("%d freed\n", tables_tidy(t));
	tables_close(t);
}

static void
damage(const char *dir)
{
	struct tables *t = open_or_die(dir, rows, NITEMS(rows), TABLES_CREATE);

	fill(t, 0, 5);
	tables_close(t);
	meddle(dir, "t.by", "", 0, NULL, true);
	t = open_or_die(dir, rows, NITEMS(rows), TABLES_READ);
	verify(t);
	tables_close(t);
	meddle(dir, "t.by", "\001zz", 3, "", false);
	meddle(dir, "t.by", "\001zzz", 4, "", false);
	t = open_or_die(dir, rows, NITEMS(rows), TABLES_READ);
	verify(t);
	tables_close(t);
}

int
main(int argc, char *argv[])
{
	log_open("table", LOG_WARN);
	if (argc < 3)
		usage("table dir what ...");
	(void)mkdir(argv[1], 0700);
	if (strcmp(argv[2], "list") == 0)
		lists(argv[1], (unsigned)atol(argv[3]), atol(argv[4]));
	else if (strcmp(argv[2], "grow") == 0)
		grow(argv[1]);
	else if (strcmp(argv[2], "upgrade") == 0)
		upgrade(argv[1]);
	else if (strcmp(argv[2], "newer") == 0)
		newer(argv[1]);
	else if (strcmp(argv[2], "readers") == 0)
		readers(argv[1]);
	else if (strcmp(argv[2], "damage") == 0)
		damage(argv[1]);
	return 0;
}
