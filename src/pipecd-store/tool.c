/* -d, -l, -b, -V: one thing with the store, whoever else has it open. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon.h"

enum {
	DUMP_PAGE = 256,
	LINE_MAX_BYTES = STORE_MAX
};

static int
failed(struct err *e)
{
	log_error("-", "%s", e->text);
	return e->exit;
}

static int
no_table(const struct tables *t, const char *name, struct err *e)
{
	struct buf all = BUF_INIT;
	struct table *b;

	for (b = table_next(t, NULL); b != NULL; b = table_next(t, b))
		buf_printf(
		    &all, "%s%s", all.len == 0 ? "" : ", ", table_name(b));
	err_set(e, RC_PERM, "\"%s\": no such table; there are %s", name, all.p);
	buf_free(&all);
	return -1;
}

/*
 * A page of lines for each reading: a reader may be slow, and what is read
 * meanwhile must not be kept from being written over.  1: there may be more.
 */
static int
dump_page(struct tables *t, struct table *b, struct buf *after, struct buf *out,
    bool *damaged, struct err *e)
{
	struct arena *a = arena_new();
	struct record r;
	int got = -1, i;

	if (tables_read(t, e) == -1)
		goto out;
	for (i = 0; i < DUMP_PAGE; i++) {
		got =
		    table_walk(b, after->len == 0 ? NULL : after->p, &r, a, e);
		if (got != 1)
			break;
		if (r.damaged) {
			log_error("-", "%s %s: a damaged record, left out",
			    table_name(b), r.id);
			*damaged = true;
		} else if (table_line(b, &r, out, a, e) == -1) {
			got = -1;
			break;
		}
		buf_reset(after);
		buf_adds(after, r.id);
	}
	tables_end(t);
out:
	arena_free(a);
	return got;
}

int
tool_dump(const struct places *p, const char *table)
{
	struct buf after = BUF_INIT, out = BUF_INIT;
	struct tables *t;
	struct table *b;
	bool damaged = false;
	struct err e;
	int got = -1;

	t = tables_open(table_rows, n_table_rows, p->store, TABLES_READ, &e);
	if (t == NULL)
		return failed(&e);
	if ((b = table_find(t, table)) == NULL)
		no_table(t, table, &e);
	else
		do {
			buf_reset(&out);
			got = dump_page(t, b, &after, &out, &damaged, &e);
			if (got != -1 &&
			    write_all(STDOUT_FILENO, out.p, out.len) == -1)
				got = err_sys(&e, "standard output");
		} while (got == 1);
	tables_close(t);
	buf_free(&after);
	buf_free(&out);
	return got == -1 ? failed(&e) : damaged ? RC_NO : RC_OK;
}

/* Standard input as a file that can be read twice. */
static FILE *
spool(const char *dir, struct err *e)
{
	char chunk[65536];
	struct stat st;
	FILE *f = NULL;
	ssize_t n;
	int fd;

	if (fstat(STDIN_FILENO, &st) == 0 && S_ISREG(st.st_mode) &&
	    lseek(STDIN_FILENO, 0, SEEK_CUR) == 0)
		return stdin;
	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd == -1) {
		err_sys(e, "%s", dir);
		return NULL;
	}
	while ((n = read(STDIN_FILENO, chunk, sizeof(chunk))) > 0)
		if (write_all(fd, chunk, (size_t)n) == -1) {
			n = -1;
			break;
		}
	if (n == -1 || (f = fdopen(fd, "r")) == NULL) {
		err_sys(e, "standard input");
		close(fd);
	}
	return f;
}

struct loading {
	struct tables *t;
	struct table *b;
	FILE *in;
	char *line;
	size_t cap;
	long n;
	bool put;     /* else only looked at */
	bool mending; /* one took the place of a damaged record */
};

/* One line: 0, or -1. */
static int
load_line(struct loading *l, size_t len, struct arena *a, struct err *e)
{
	ProtobufCMessage *m;
	struct record old;
	void *copy;
	bool deleted;
	int got;

	if (table_parse(l->b, l->line, len, &m, &deleted, a, e) == -1)
		return err_wrap(e, "stdin:%ld", l->n);
	if (!l->put)
		return 0;
	got = table_get(l->b, table_id(l->b, m), &old, e);
	if (got == -1 && !old.damaged)
		return -1;
	l->mending = l->mending || got == -1;
	if (got == 1) {
		copy = arena_alloc(a, old.n + 1);
		memcpy(copy, old.value, old.n);
		old.value = copy;
	}
	return table_put(l->b, got == 1 ? &old : NULL, m, deleted, NULL, a, e);
}

static int
load_all(struct loading *l, struct err *e)
{
	struct arena *a = arena_new();
	ssize_t len;
	int rv = -1;

	rewind(l->in);
	l->n = 0;
	while ((len = getline(&l->line, &l->cap, l->in)) != -1) {
		l->n++;
		arena_reset(a);
		if (len > 0 && l->line[len - 1] == '\n')
			len--;
		else {
			err_set(e, RC_TEMP,
			    "stdin:%ld: the last line is cut off: it has no "
			    "newline",
			    l->n);
			goto out;
		}
		if (len > LINE_MAX_BYTES) {
			err_set(e, RC_PERM, "stdin:%ld: a line of %zd bytes",
			    l->n, len);
			goto out;
		}
		if (load_line(l, (size_t)len, a, e) == -1)
			goto out;
	}
	rv = ferror(l->in) ? err_sys(e, "standard input") : 0;
out:
	arena_free(a);
	return rv;
}

/* All lines are looked at before the first is put; then all in one go. */
static int
load(struct loading *l, struct err *e)
{
	if (load_all(l, e) == -1)
		return -1;
	l->put = true;
	do {
		if (tables_write(l->t, e) == -1)
			return -1;
		/* What a damaged record was found by is not known. */
		if (load_all(l, e) == 0 &&
		    (!l->mending || table_reindex(l->b, e) == 0) &&
		    tables_commit(l->t, e) == 0)
			return 0;
	} while (tables_again(l->t));
	return -1;
}

int
tool_load(const struct places *p, const char *table)
{
	struct loading l = { 0 };
	struct err e;
	int rv = -1;

	if (dir_make(p->store, 0700, &e) == -1)
		return failed(&e);
	l.t = tables_open(table_rows, n_table_rows, p->store,
	    TABLES_CREATE | TABLES_UPGRADE, &e);
	if (l.t == NULL)
		return failed(&e);
	if ((l.b = table_find(l.t, table)) == NULL)
		no_table(l.t, table, &e);
	else if ((l.in = spool(p->store, &e)) != NULL)
		rv = load(&l, &e);
	tables_close(l.t);
	free(l.line);
	if (l.in != NULL && l.in != stdin)
		fclose(l.in);
	if (rv == -1)
		return failed(&e);
	log_info("-", "loaded %ld records into %s", l.n, table);
	return RC_OK;
}

/* --- backup ---------------------------------------------------------------- */

static int
copy_file(int from, const char *name, int to, struct err *e)
{
	char chunk[65536];
	int in, out = -1, rv = -1;
	ssize_t n;

	in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (in == -1)
		return errno == ENOENT ? 0 : err_sys(e, "%s", name);
	out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (out == -1)
		goto out;
	while ((n = read(in, chunk, sizeof(chunk))) > 0)
		if (write_all(out, chunk, (size_t)n) == -1)
			goto out;
	if (n == 0 && fsync(out) == 0)
		rv = 0;
out:
	if (rv == -1)
		err_sys(e, "%s", name);
	close(in);
	if (out != -1)
		close(out);
	return rv;
}

/* A tree of plain files; temporary names stay behind. */
static int
copy_tree(int from, int to, struct err *e)
{
	struct dirent *d;
	int fd = dup(from), sub, made, rv = 0;
	DIR *dir = fd == -1 ? NULL : fdopendir(fd);

	if (dir == NULL)
		return err_sys(e, "objects");
	while (rv == 0 && (d = readdir(dir)) != NULL) {
		if (d->d_name[0] == '.')
			continue;
		sub = openat(from, d->d_name,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub == -1) {
			rv = copy_file(from, d->d_name, to, e);
			continue;
		}
		if (mkdirat(to, d->d_name, 0700) == -1 ||
		    (made = openat(to, d->d_name,
			 O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
			rv = err_sys(e, "%s", d->d_name);
		else {
			rv = copy_tree(sub, made, e);
			close(made);
		}
		close(sub);
	}
	closedir(dir);
	if (rv == 0 && fsync(to) == -1)
		rv = err_sys(e, "objects");
	return rv;
}

static int
backup_objects(const struct places *p, const char *dir, struct err *e)
{
	int from = open(p->objects, O_RDONLY | O_DIRECTORY | O_CLOEXEC), to;
	char *path = NULL;
	int rv;

	if (from == -1)
		return errno == ENOENT ? 0 : err_sys(e, "%s", p->objects);
	must(asprintf(&path, "%s/objects", dir) != -1);
	if (mkdir(path, 0700) == -1 ||
	    (to = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1) {
		rv = err_sys(e, "%s", path);
	} else {
		rv = copy_tree(from, to, e);
		close(to);
	}
	free(path);
	close(from);
	return rv;
}

/*
 * Records first, then objects: a log that becomes an object in between is in
 * both, and is folded again.  The other way round it would be in neither.
 */
int
tool_backup(
    const struct conf_control *c, const struct places *p, const char *dir)
{
	struct arena *a = arena_new();
	const char *store = arena_printf(a, "%s/store", dir);
	struct tables *t = NULL;
	struct err e;
	int rv = -1;

	if (mkdir(dir, 0700) == -1) {
		err_sys(&e, "%s", dir);
		e.exit = errno == EEXIST ? RC_PERM : e.exit;
		goto out;
	}
	if (mkdir(store, 0700) == -1) {
		err_sys(&e, "%s", store);
		goto out;
	}
	t = tables_open(table_rows, n_table_rows, p->store, TABLES_READ, &e);
	if (t == NULL || tables_backup(t, store, &e) == -1)
		goto out;
	if (strcmp(c->filestore.type, "DIR") == 0 &&
	    backup_objects(p, dir, &e) == -1)
		goto out;
	if (file_write(arena_printf(a, "%s/format", dir), "1\n", 2, 0644, true,
		&e) == -1 ||
	    dir_sync(store, &e) == -1 || dir_sync(dir, &e) == -1)
		goto out;
	rv = 0;
out:
	tables_close(t);
	arena_free(a);
	return rv == -1 ? failed(&e) : RC_OK;
}

/* --- verify ---------------------------------------------------------------- */

static void
say(void *arg, const char *line)
{
	++*(long *)arg;
	printf("%s\n", line);
}

static int
verify_logs(const struct conf_control *c, const struct places *p,
    struct tables *t, long *wrong, struct err *e)
{
	struct arena *a = arena_new();
	struct buf key = BUF_INIT, path = BUF_INIT;
	Work__Log *l;
	int got;

	while ((got = log_next_state(t, &key, &l, a, e)) == 1) {
		if (l->folded && strcmp(c->filestore.type, "DIR") == 0) {
			buf_reset(&path);
			buf_printf(
			    &path, "%s/%s", p->objects, log_object(l, a));
			if (access(path.p, R_OK) == -1) {
				printf("log of deployment %s stage %s: its "
				       "object %s is missing\n",
				    l->deployment_id, l->stage_id, path.p);
				++*wrong;
			}
		}
		arena_reset(a);
	}
	buf_free(&key);
	buf_free(&path);
	arena_free(a);
	return got;
}

int
tool_verify(const struct conf_control *c, const struct places *p)
{
	struct tables *t;
	struct table *b;
	struct err e;
	long wrong = 0;
	int64_t n = 0, all = 0;

	t = tables_open(table_rows, n_table_rows, p->store, TABLES_READ, &e);
	if (t == NULL)
		return failed(&e);
	if (tables_read(t, &e) == -1)
		n = -1;
	for (b = table_next(t, NULL); n != -1 && b != NULL;
	     b = table_next(t, b)) {
		n = table_verify(b, say, &wrong, &e);
		all += n;
	}
	if (n != -1 && verify_logs(c, p, t, &wrong, &e) == -1)
		n = -1;
	tables_end(t);
	tables_close(t);
	if (n == -1)
		return failed(&e);
	log_info(
	    "-", "verified %lld records, %ld wrong", (long long)all, wrong);
	return wrong == 0 ? RC_OK : RC_NO;
}
