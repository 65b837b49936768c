#include "host.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum {
	CACHE_MAX = 64 << 20,
	/*
	 * A file that changed this shortly before it was hashed may change
	 * again with the same times: its hash is not kept.
	 */
	RACY_NS = 50 * 1000 * 1000,
	SHOW_FILES = 3,	 /* with their lines */
	SHOW_NAMES = 50, /* by name */
	SHOW_LINES = 40, /* of one file */
};

/* --- hashes kept by size, times and inode ------------------------ */

static struct map *
cache_read(const struct place *p, struct arena *a)
{
	char *path = arena_printf(a, "%s/.pipecd/stat", p->dir);
	struct map *m = map_new();
	struct buf b = BUF_INIT;
	char *line, *nl;
	struct err e;
	int at;

	if (file_read(path, CACHE_MAX, &b, &e) != 1)
		goto out;
	for (line = b.p; (nl = strchr(line, '\n')) != NULL; line = nl + 1) {
		struct file *f = arena_new_of(a, struct file);
		long long size, mtime, ctim;
		unsigned long long ino;

		*nl = '\0';
		if (sscanf(line, "%64[0-9a-f] %lld %lld %lld %llu %n", f->hash,
			&size, &mtime, &ctim, &ino, &at) != 5)
			break;
		f->size = size;
		f->mtime_ns = mtime;
		f->ctime_ns = ctim;
		f->ino = ino;
		(void)map_put(m, line + at, f);
	}
out:
	buf_free(&b);
	return m;
}

static void
cache_write(const struct place *p, const struct tree *t, int64_t began_ns,
    struct arena *a)
{
	struct buf b = BUF_INIT;
	struct err e;
	size_t i;

	for (i = 0; i < t->n; i++) {
		const struct file *f = &t->v[i];

		if (f->link != NULL || f->ctime_ns > began_ns - RACY_NS ||
		    strchr(f->path, '\n') != NULL)
			continue;
		buf_printf(&b, "%s %lld %lld %lld %llu %s\n", f->hash,
		    (long long)f->size, (long long)f->mtime_ns,
		    (long long)f->ctime_ns, (unsigned long long)f->ino,
		    f->path);
	}
	/* Without it the next look reads the files again, and no more. */
	if (file_write(arena_printf(a, "%s/.pipecd/stat", p->dir), b.p, b.len,
		0600, false, &e) == -1)
		log_debug("-", "%s", e.text);
	buf_free(&b);
}

/* Hash a release, reading only what changed since the last time. */
static int
hash_cached(const struct place *p, struct tree *t, const char *dir,
    struct arena *a, struct err *e)
{
	struct map *known = cache_read(p, a);
	struct timespec now;
	size_t i, hits = 0;
	int rv;

	clock_gettime(CLOCK_REALTIME, &now);
	for (i = 0; i < t->n; i++) {
		const struct file *k = map_get(known, t->v[i].path);

		hits += t->v[i].link != NULL ||
			(k != NULL && k->ctime_ns == t->v[i].ctime_ns);
	}
	rv = tree_hash(t, dir, known, e);
	if (rv == 0 && hits < t->n)
		cache_write(
		    p, t, now.tv_sec * INT64_C(1000000000) + now.tv_nsec, a);
	map_free(known);
	return rv;
}

/* --- looking ----------------------------------------------------- */

static void
look_release(struct view *v, const struct tree *want, struct arena *a)
{
	char *dir = arena_printf(a, "%s/releases/%s", v->p.dir, v->p.current);
	struct map *made = place_made(&v->p, v->p.current, a);
	struct scan s = { .everything = true, .made = made };
	struct err e;

	if (tree_scan(&v->have, dir, &s, a, &e) == -1 ||
	    hash_cached(&v->p, &v->have, dir, a, &e) == -1) {
		struct stat st;

		memset(&v->have, 0, sizeof(v->have));
		if (lstat(dir, &st) == -1 && errno == ENOENT)
			v->why = arena_printf(a,
			    "current leads to releases/%s, which is gone",
			    v->p.current);
		else
			v->unknown = arena_strdup(a, e.text);
	}
	map_free(made);
	tree_diff(&v->d, want, &v->have, a);
}

void
view_look(struct view *v, const struct run *r, const char *target,
    const char *app, const struct tree *want, struct arena *a)
{
	const struct conf_target *t;
	struct stat st;
	struct err e;

	memset(v, 0, sizeof(*v));
	v->target = target;
	if ((t = run_target(r, target, &e)) == NULL ||
	    name_check(app, &e) == -1 ||
	    place_look(&v->p, t, app, a, &e) == -1) {
		v->unknown = arena_strdup(a, e.text);
		return;
	}
	v->has_state = place_state(&v->p, &v->state);
	if (lstat(arena_printf(a, "%s/current", v->p.dir), &st) == 0)
		v->since = st.st_mtim.tv_sec;
	if (v->p.current != NULL) {
		look_release(v, want, a);
		return;
	}
	if (v->p.odd != NULL)
		v->why = arena_printf(a,
		    "current leads to %s, which is no release of ours",
		    v->p.odd);
	else if (lstat(v->p.root, &st) == -1)
		v->why = arena_printf(a, "root %s is not there", v->p.root);
	else
		v->why = "nothing is deployed";
	tree_diff(&v->d, want, &v->have, a);
}

void
view_count(const struct view *v, size_t n, size_t count[3])
{
	size_t i, k;

	memset(count, 0, 3 * sizeof(count[0]));
	for (i = 0; i < n; i++)
		for (k = 0; k < 3; k++)
			count[k] += v[i].d.count[k];
}

/* --- in words ---------------------------------------------------- */

struct map *
view_hidden(const char *dir, const char *config_filename)
{
	struct buf text = BUF_INIT, said = BUF_INIT;
	struct conf_report rep = { .text = &said };
	struct arena *a = arena_new();
	struct map *m = NULL;
	char path[PATH_MAX];
	struct conf_app c;
	struct err e;
	size_t i;

	if (dir == NULL || config_filename == NULL ||
	    file_read(arena_printf(a, "%s/%s", dir, config_filename), 1 << 20,
		&text, &e) != 1 ||
	    conf_app_read(&c, config_filename, text.p, text.len, a, &rep, &e) ==
		-1)
		goto out;
	m = map_new();
	for (i = 0; i < c.encryption.n_targets; i++)
		if (path_clean(path, c.encryption.targets[i]))
			(void)map_put(m, path, m);
	for (i = 0; i < c.attachment.n_targets; i++)
		if (path_clean(path, c.attachment.targets[i]))
			(void)map_put(m, path, m);
out:
	arena_free(a);
	buf_free(&text);
	buf_free(&said);
	return m;
}

/* Append the lines in which a file differs; false when they are not shown. */
static bool
show_lines(struct buf *b, const struct view *v, const struct file *have,
    const struct file *want, const char *dir)
{
	struct buf x = BUF_INIT, y = BUF_INIT;
	char path[PATH_MAX];
	bool shown = false;
	struct err e;

	if (have->link != NULL || want->link != NULL || dir == NULL ||
	    snprintf(path, sizeof(path), "%s/releases/%s/%s", v->p.dir,
		v->p.current, have->path) >= (int)sizeof(path) ||
	    file_read(path, 256 * 1024, &x, &e) != 1 ||
	    snprintf(path, sizeof(path), "%s/%s", dir, want->path) >=
		(int)sizeof(path) ||
	    file_read(path, 256 * 1024, &y, &e) != 1)
		goto out;
	if (x.len == y.len && memcmp(x.p, y.p, x.len) == 0)
		goto out; /* the mode */
	shown = text_diff(b, x.p, x.len, y.p, y.len, SHOW_LINES);
out:
	buf_free(&x);
	buf_free(&y);
	return shown;
}

static void
show_change(struct buf *b, const struct view *v, size_t i, size_t number,
    const char *dir, const struct map *hidden)
{
	static const char mark[] = { '+', '-', '#' };
	const char *path = v->d.v[i].path;
	/* From object frames we know a hash, and neither mode nor content. */
	const struct file *want = v->d.v[i].want, *have = v->d.v[i].have;

	buf_printf(
	    b, "%c %zu. %s: %s", mark[v->d.v[i].how], number, v->target, path);
	if (v->d.v[i].how != CHANGE_EDIT) {
		buf_adds(b, "\n\n");
		return;
	}
	if (want->mode != 0 && want->mode != have->mode)
		buf_printf(
		    b, " (mode %04o, expected %04o)", have->mode, want->mode);
	if (dir != NULL && (hidden == NULL || map_get(hidden, path) != NULL)) {
		buf_adds(b, " changed (content hidden)\n\n");
		return;
	}
	buf_addc(b, '\n');
	if (number <= SHOW_FILES && !show_lines(b, v, have, want, dir) &&
	    (want->mode == 0 || want->mode == have->mode))
		buf_adds(b, dir == NULL
				? "  contents differ\n"
				: "  contents differ: a binary, or too large "
				  "to show\n");
	buf_addc(b, '\n');
}

void
view_text(struct buf *b, const struct view *v, size_t n, const char *dir,
    const struct map *hidden)
{
	size_t i, k, number = 0;

	buf_adds(b, "--- Actual   (LiveState)\n+++ Expected (Git)\n\n");
	for (i = 0; i < n; i++) {
		if (v[i].unknown != NULL)
			buf_printf(
			    b, "! %s: %s\n\n", v[i].target, v[i].unknown);
		if (v[i].why != NULL)
			buf_printf(b, "! %s: %s\n\n", v[i].target, v[i].why);
		for (k = 0; k < v[i].d.n; k++)
			if (++number <= SHOW_NAMES)
				show_change(b, &v[i], k, number, dir, hidden);
	}
	if (number > SHOW_NAMES)
		buf_printf(b, "... and %zu more\n", number - SHOW_NAMES);
}
