/*
 * The environment: opening it, its schema, its transactions, its map.
 *
 * The database "meta" holds `schema` (a number; a newer one is not opened),
 * `version` (of the last change) and, for each table, `rows/TABLE`: the rows by
 * which it was indexed.  Where those are not ours the table is indexed anew, in
 * one transaction: it is then as before or as after.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inside.h"
#include "msg.h"

enum {
	DATABASES = 96,
	READERS = 64
};
#define MAP_STEP ((size_t)64 << 20)

static size_t map_start = MAP_STEP;

void
tables_map_start(size_t bytes)
{
	map_start = bytes;
}

/*
 * The disk is full, or fails: that may pass.  A full map is made larger by
 * tables_again, a map that another process has made larger is taken over.
 */
int
db_err(struct tables *t, int rc, struct err *e, const char *what)
{
	t->full = t->full || rc == MDB_MAP_FULL || rc == MDB_MAP_RESIZED;
	t->broken = t->broken || rc == EIO || rc == MDB_PANIC ||
		    rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND;
	if (rc > 0) {
		errno = rc;
		return err_sys(e, "%s/data.mdb: %s", t->dir, what);
	}
	return err_set(e,
	    rc == MDB_MAP_FULL || rc == MDB_MAP_RESIZED ||
		    rc == MDB_READERS_FULL
		? RC_TEMP
		: RC_PERM,
	    "%s/data.mdb: %s: %s", t->dir, what, mdb_strerror(rc));
}

static struct table *
table_add(struct tables *t, const struct table_row *r, struct err *e)
{
	struct table *b = arena_new_of(t->a, struct table);

	b->t = t;
	b->name = r->table;
	b->d = r->d;
	if (path_compile(&b->id, r->d, r->id, t->a, e) == -1 ||
	    path_compile(&b->project, r->d, r->project, t->a, e) == -1)
		return NULL;
	if (t->last == NULL)
		t->first = b;
	else
		t->last->next = b;
	t->last = b;
	return b;
}

static int
index_add(struct table *b, const struct table_row *r, struct err *e)
{
	struct index *ix = &b->index[b->n_index];
	char *copy, *save = NULL, *s;
	bool many = false;

	must(b->n_index < 128);
	ix->no = (int)b->n_index++;
	if (path_compile(&ix->order, b->d, r->order, b->t->a, e) == -1)
		return -1;
	if (ix->order.many ||
	    ix->order.step[ix->order.n - 1]->type != PROTOBUF_C_TYPE_INT64)
		return err_set(e, RC_PERM, "%s: is no order", r->order);
	copy = arena_strdup(b->t->a, r->fields);
	for (s = strtok_r(copy, " ", &save); s != NULL;
	     s = strtok_r(NULL, " ", &save)) {
		must(ix->n < INDEX_FIELDS);
		if (path_compile(&ix->field[ix->n], b->d, s, b->t->a, e) == -1)
			return -1;
		if (ix->field[ix->n].many && many)
			return err_set(e, RC_PERM,
			    "%s: two repeated fields in one index", r->fields);
		many = many || ix->field[ix->n++].many;
	}
	return 0;
}

static size_t
count(const struct table_row *rows, size_t n, enum table_what what,
    const char *table)
{
	size_t i, k = 0;

	for (i = 0; i < n; i++)
		k += rows[i].what == what && strcmp(rows[i].table, table) == 0;
	return k;
}

static int
compile(struct tables *t, const struct table_row *rows, size_t n, struct err *e)
{
	const struct table_row *r;
	struct table *b;
	int rv;

	for (r = rows; r < rows + n; r++) {
		rv = 0;
		if (r->what == TABLE_PLAIN) {
			(void)tables_plain(t, r->table);
			continue;
		}
		b = r->what == TABLE_TABLE ? table_add(t, r, e)
					   : table_find(t, r->table);
		if (b == NULL)
			return err_wrap(e, "table %s", r->table);
		switch (r->what) {
		case TABLE_TABLE:
			b->index = arena_array(t->a, struct index,
			    count(rows, n, TABLE_INDEX, r->table) + 1);
			b->hide = arena_array(t->a, struct path,
			    count(rows, n, TABLE_HIDE, r->table) + 1);
			break;
		case TABLE_INDEX:
			rv = index_add(b, r, e);
			break;
		case TABLE_HIDE:
			rv = path_compile(
			    &b->hide[b->n_hide++], b->d, r->fields, t->a, e);
			break;
		case TABLE_PRIVATE:
			b->private = true;
			break;
		case TABLE_PLAIN:
			break;
		}
		if (rv == -1)
			return err_wrap(e, "table %s", r->table);
	}
	return 0;
}

/* --- transactions --------------------------------------------------------- */

/* Another process has made the map larger: take its size over. */
static int
resized(struct tables *t)
{
	if (t->reader != NULL) {
		mdb_txn_abort(t->reader);
		t->reader = NULL;
	}
	return mdb_env_set_mapsize(t->env, 0);
}

int
tables_read(struct tables *t, struct err *e)
{
	int rc, tries;

	must(t->txn == NULL);
	for (tries = 0;; tries++) {
		rc = t->reader == NULL
			 ? mdb_txn_begin(t->env, NULL, MDB_RDONLY, &t->reader)
			 : mdb_txn_renew(t->reader);
		if (rc == MDB_MAP_RESIZED && tries < 10)
			rc = resized(t);
		else
			break;
		if (rc != 0)
			break;
	}
	if (rc != 0) {
		t->reader = NULL;
		return db_err(t, rc, e, "begin");
	}
	t->txn = t->reader;
	t->writing = false;
	return 0;
}

static int
version_read(struct tables *t)
{
	MDB_val k = { 7, (void *)(uintptr_t) "version" }, v;
	int rc = mdb_get(t->txn, t->meta, &k, &v);

	if (rc == 0 && v.mv_size == sizeof(t->version))
		memcpy(&t->version, v.mv_data, sizeof(t->version));
	return rc == MDB_NOTFOUND ? 0 : rc;
}

int
tables_write(struct tables *t, struct err *e)
{
	int rc, tries;

	must(t->txn == NULL && (t->flags & TABLES_READ) == 0);
	for (tries = 0;; tries++) {
		rc = mdb_txn_begin(t->env, NULL, 0, &t->txn);
		if (rc != MDB_MAP_RESIZED || tries == 10 ||
		    (rc = resized(t)) != 0)
			break;
	}
	t->writing = true;
	t->full = false;
	if (rc == 0 && (rc = version_read(t)) != 0)
		tables_end(t);
	return rc == 0 ? 0 : db_err(t, rc, e, "begin");
}

void
tables_end(struct tables *t)
{
	if (t->txn == NULL)
		return;
	if (t->writing)
		mdb_txn_abort(t->txn);
	else
		mdb_txn_reset(t->reader);
	t->txn = NULL;
}

int
tables_commit(struct tables *t, struct err *e)
{
	MDB_val k = { 7, (void *)(uintptr_t) "version" };
	MDB_val v = { sizeof(t->version), &t->version };
	int64_t from = now_us();
	int rc;

	if ((rc = mdb_put(t->txn, t->meta, &k, &v, 0)) == 0) {
		rc = mdb_txn_commit(t->txn);
		t->txn = NULL;
	}
	if (rc != 0) {
		tables_end(t);
		return db_err(t, rc, e, "commit");
	}
	t->commits++;
	t->commit_us += (uint64_t)(now_us() - from);
	return 0;
}

bool
tables_again(struct tables *t)
{
	MDB_envinfo info;

	tables_end(t);
	if (!t->full)
		return false;
	t->full = false;
	mdb_env_info(t->env, &info);
	if (t->reader != NULL) {
		mdb_txn_abort(t->reader);
		t->reader = NULL;
	}
	return mdb_env_set_mapsize(t->env, info.me_mapsize * 2) == 0;
}

bool
tables_broken(const struct tables *t)
{
	return t->broken;
}

uint64_t
tables_version(const struct tables *t)
{
	return t->version;
}

/* --- schema --------------------------------------------------------------- */

static struct buf
rows_text(const struct table *b)
{
	struct buf s = BUF_INIT;
	size_t i, k;

	for (i = 0; i < b->n_index; i++) {
		buf_printf(&s, "%s:", b->index[i].order.text);
		for (k = 0; k < b->index[i].n; k++)
			buf_printf(&s, " %s", b->index[i].field[k].text);
		buf_addc(&s, '\n');
	}
	return s;
}

static int
meta_put(
    struct tables *t, const char *key, const void *p, size_t n, struct err *e)
{
	MDB_val k = { strlen(key), (void *)(uintptr_t)key };
	MDB_val v = { n, (void *)(uintptr_t)p };
	int rc = mdb_put(t->txn, t->meta, &k, &v, 0);

	return rc == 0 ? 0 : db_err(t, rc, e, key);
}

/* Make all index entries of a table anew. */
int
table_reindex(struct table *b, struct err *e)
{
	struct arena *a = arena_new(), *ids = arena_new();
	struct tables *t = b->t;
	struct entries es;
	struct record r;
	ProtobufCMessage *m;
	MDB_val k, v = { 0, NULL };
	const char *after = NULL;
	size_t i, n = 0;
	int rc, got = -1;

	if ((rc = mdb_drop(t->txn, b->entries, 0)) != 0) {
		db_err(t, rc, e, b->name);
		goto out;
	}
	while ((got = table_walk(b, after, &r, a, e)) == 1) {
		arena_reset(ids);
		after = arena_strdup(ids, r.id);
		got = -1;
		if (r.damaged) {
			log_error(
			    "-", "%s %s: a damaged record", b->name, r.id);
			continue;
		}
		if ((m = record_message(b, &r, a, e)) == NULL)
			goto out;
		entries_of(&es, b, m, r.deleted, a);
		for (i = 0; i < es.n; i++) {
			k.mv_size = es.e[i].n;
			k.mv_data = (void *)(uintptr_t)es.e[i].p;
			rc = mdb_put(t->txn, b->entries, &k, &v, 0);
			if (rc != 0) {
				db_err(t, rc, e, b->name);
				goto out;
			}
		}
		arena_reset(a);
		n++;
	}
	if (got == 0 && n > 0)
		log_info("-", "indexed anew table=%s records=%zu", b->name, n);
out:
	arena_free(ids);
	arena_free(a);
	return got;
}

/* One table's rows against those it was indexed by; 1: they differ. */
static int
rows_check(struct table *b, bool write, struct err *e)
{
	char key[80];
	struct buf text = rows_text(b);
	MDB_val k, v;
	int rc, rv = 0;

	(void)snprintf(key, sizeof(key), "rows/%s", b->name);
	k.mv_data = key, k.mv_size = strlen(key);
	rc = mdb_get(b->t->txn, b->t->meta, &k, &v);
	if (rc != 0 && rc != MDB_NOTFOUND)
		rv = db_err(b->t, rc, e, key);
	else if (rc != 0 || v.mv_size != text.len ||
		 memcmp(v.mv_data, text.p, text.len) != 0)
		rv = 1;
	if (rv == 1 && write)
		rv = table_reindex(b, e) == -1
			 ? -1
			 : meta_put(b->t, key, text.p, text.len, e);
	buf_free(&text);
	return rv;
}

/* The schema found: 0 none (a new store), -1 with *e set. */
static int64_t
schema_read(struct tables *t, struct err *e)
{
	MDB_val k = { 6, (void *)(uintptr_t) "schema" }, v;
	int rc = mdb_get(t->txn, t->meta, &k, &v);
	char text[24];

	if (rc == MDB_NOTFOUND)
		return 0;
	if (rc != 0)
		return db_err(t, rc, e, "schema");
	(void)snprintf(text, sizeof(text), "%.*s",
	    (int)(v.mv_size < 20 ? v.mv_size : 20), (const char *)v.mv_data);
	if (atol(text) < 1)
		return err_set(e, RC_PERM,
		    "%s: the schema is \"%s\", which is no number", t->dir,
		    text);
	if (atol(text) > TABLES_SCHEMA)
		return err_set(e, RC_PERM,
		    "%s: written by a newer pipecd-store (schema %s, this one "
		    "knows %d): use that one, or load a dump of it",
		    t->dir, text, TABLES_SCHEMA);
	return atol(text);
}

/*
 * Steps from one schema to the next, each in the one transaction of the
 * upgrade.  There is one schema yet; what changes with every build are rows.
 */
static int
upgrade(struct tables *t, int64_t from, struct err *e)
{
	struct table *b;
	char text[16];

	if (from > 0 && from != TABLES_SCHEMA)
		log_info("-", "upgrade schema=%lld to=%d", (long long)from,
		    TABLES_SCHEMA);
	for (b = t->first; b != NULL; b = b->next)
		if (rows_check(b, true, e) == -1)
			return -1;
	(void)snprintf(text, sizeof(text), "%d", TABLES_SCHEMA);
	return meta_put(t, "schema", text, strlen(text), e);
}

static int
current(struct tables *t, struct err *e)
{
	struct table *b;
	int64_t schema;
	int rv = 1;

	if (tables_read(t, e) == -1)
		return -1;
	schema = schema_read(t, e);
	if (schema != TABLES_SCHEMA)
		rv = schema == -1 ? -1 : 0;
	for (b = t->first; rv == 1 && b != NULL; b = b->next)
		switch (rows_check(b, false, e)) {
		case -1:
			rv = -1;
			break;
		case 1:
			rv = 0;
			break;
		}
	tables_end(t);
	return rv;
}

static int
older(const struct tables *t, struct err *e)
{
	return err_set(e, RC_PERM,
	    "%s: written by an older pipecd-store: start the control plane "
	    "once, it brings it up to date",
	    t->dir);
}

static int
bring_up(struct tables *t, struct err *e)
{
	int64_t schema;
	int rv = current(t, e);

	if (rv != 0)
		return rv == -1 ? -1 : 0;
	if ((t->flags & (TABLES_UPGRADE | TABLES_CREATE)) == 0)
		return older(t, e);
	do {
		if (tables_write(t, e) == -1)
			return -1;
		if ((schema = schema_read(t, e)) != -1 &&
		    upgrade(t, schema, e) == 0 && tables_commit(t, e) == 0)
			return 0;
	} while (tables_again(t));
	return -1;
}

/* --- opening -------------------------------------------------------------- */

static int
databases(struct tables *t, struct err *e)
{
	unsigned make = (t->flags & TABLES_READ) != 0 ? 0 : MDB_CREATE;
	struct table *b;
	struct plain *p;
	char name[80];
	int rc;

	rc = mdb_txn_begin(t->env, NULL, make == 0 ? MDB_RDONLY : 0, &t->txn);
	t->writing = make != 0;
	if (rc == 0)
		rc = mdb_dbi_open(t->txn, "meta", make, &t->meta);
	for (b = t->first; rc == 0 && b != NULL; b = b->next) {
		(void)snprintf(name, sizeof(name), "%s", b->name);
		rc = mdb_dbi_open(t->txn, name, make, &b->records);
		(void)snprintf(name, sizeof(name), "%s.by", b->name);
		if (rc == 0)
			rc = mdb_dbi_open(t->txn, name, make, &b->entries);
	}
	for (p = t->plains; rc == 0 && p != NULL; p = p->next)
		rc = mdb_dbi_open(t->txn, p->name, make, &p->dbi);
	if (rc != 0) {
		mdb_txn_abort(t->txn);
		t->txn = NULL;
		return rc == MDB_NOTFOUND ? older(t, e)
					  : db_err(t, rc, e, "databases");
	}
	/* A read transaction hands its databases on by a commit, too. */
	rc = mdb_txn_commit(t->txn);
	t->txn = NULL;
	return rc == 0 ? 0 : db_err(t, rc, e, "databases");
}

/*
 * The map starts at twice what is there and grows by doubling: it is an
 * ordinary event, and no number in a configuration has to be right.
 */
static size_t
map_size(const char *dir)
{
	char *path = NULL;
	struct stat st;
	size_t want = map_start;

	must(asprintf(&path, "%s/data.mdb", dir) != -1);
	if (stat(path, &st) == 0)
		while (want < (size_t)st.st_size * 2)
			want *= 2;
	free(path);
	return want;
}

static int
env_open(struct tables *t, struct err *e)
{
	unsigned flags = MDB_NOTLS | MDB_NORDAHEAD;
	char *path;
	int rc;

	path = arena_printf(t->a, "%s/data.mdb", t->dir);
	if ((t->flags & TABLES_CREATE) == 0 && access(path, F_OK) == -1)
		return err_set(e, RC_PERM, "%s: there is no store", t->dir);
	if ((rc = mdb_env_create(&t->env)) != 0)
		return db_err(t, rc, e, "create");
	if ((rc = mdb_env_set_maxdbs(t->env, DATABASES)) != 0 ||
	    (rc = mdb_env_set_maxreaders(t->env, READERS)) != 0 ||
	    (rc = mdb_env_set_mapsize(t->env, map_size(t->dir))) != 0 ||
	    (rc = mdb_env_open(t->env, t->dir, flags, 0600)) != 0)
		return db_err(t, rc, e, "open");
	tables_tidy(t);
	return 0;
}

struct tables *
tables_open(const struct table_row *rows, size_t n, const char *dir, int flags,
    struct err *e)
{
	struct arena *a = arena_new();
	struct tables *t = arena_new_of(a, struct tables);

	t->a = a;
	t->dir = arena_strdup(a, dir);
	t->flags = flags;
	if (compile(t, rows, n, e) == -1 || env_open(t, e) == -1)
		goto fail;
	if (databases(t, e) == -1 &&
	    (!tables_again(t) || databases(t, e) == -1))
		goto fail;
	if (bring_up(t, e) == -1)
		goto fail;
	return t;
fail:
	tables_close(t);
	return NULL;
}

void
tables_close(struct tables *t)
{
	if (t == NULL)
		return;
	tables_end(t);
	if (t->reader != NULL)
		mdb_txn_abort(t->reader);
	if (t->env != NULL)
		mdb_env_close(t->env);
	arena_free(t->a);
}

int
tables_tidy(struct tables *t)
{
	int dead = 0;

	(void)mdb_reader_check(t->env, &dead);
	return dead;
}

int
tables_backup(struct tables *t, const char *dir, struct err *e)
{
	int rc = mdb_env_copy2(t->env, dir, MDB_CP_COMPACT);

	if (rc > 0) {
		errno = rc;
		return err_sys(e, "%s", dir);
	}
	return rc == 0 ? 0 : db_err(t, rc, e, "backup");
}

static int
reader_line(const char *line, void *arg)
{
	++*(uint64_t *)arg;
	(void)line;
	return 0;
}

void
tables_stat(struct tables *t, struct tables_stat *s)
{
	MDB_envinfo info;
	MDB_stat st;

	memset(s, 0, sizeof(*s));
	mdb_env_info(t->env, &info);
	mdb_env_stat(t->env, &st);
	s->map_bytes = info.me_mapsize;
	s->used_bytes = (info.me_last_pgno + 1) * st.ms_psize;
	mdb_reader_list(t->env, reader_line, &s->readers);
	s->readers = s->readers > 0 ? s->readers - 1 : 0; /* a heading */
	s->commits = t->commits;
	s->commit_us = t->commit_us;
}

uint64_t
table_count(struct table *b)
{
	MDB_stat st;

	return mdb_stat(b->t->txn, b->records, &st) == 0 ? st.ms_entries : 0;
}
