#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal.h"

enum {
	/* Lines that may be out of date before a rewrite is worth it. */
	STALE_MIN = 1000,
};

struct apps {
	char *path;
	int dirfd;
	int fd;		  /* to append to, -1 for readers */
	struct map *line; /* application id -> its line, owned */
	int64_t len;	  /* bytes of whole lines in the file */
	long lines;
	struct buf wait; /* lines not in the file yet */
	bool dirty;
};

static void
line_put(struct apps *x, const char *id, const char *line, size_t len)
{
	char *copy = xcalloc(1, len + 1);

	memcpy(copy, line, len);
	free(map_put(x->line, id, copy));
	x->lines++;
}

/* What was known under another id is known under this one now. */
static void
line_take(struct apps *x, const Frame__Past *p, const char *line, size_t len)
{
	size_t i;

	line_put(x, p->application_id, line, len);
	for (i = 0; i < p->n_tombstones; i++)
		if (strcmp(p->tombstones[i], p->application_id) != 0)
			free(map_del(x->line, p->tombstones[i]));
}

static int
load(struct apps *x, struct err *e)
{
	struct arena *a = arena_new();
	struct frame f;
	FILE *in = NULL;
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	long at = 0;
	int rv = -1;

	if ((in = fopen(x->path, "re")) == NULL) {
		rv = errno == ENOENT ? 0 : err_sys(e, "open %s", x->path);
		goto out;
	}
	while ((n = getline(&line, &cap, in)) != -1) {
		at++;
		if (line[n - 1] != '\n')
			break; /* cut off by a crash: the line before holds */
		arena_reset(a);
		switch (frame_parse(&f, line, (size_t)n, a, e)) {
		case -1:
			/*
			 * One bad line costs one application's memory, not
			 * all: its journals still say what happened.
			 */
			log_warn(
			    "-", "%s:%ld: left out: %s", x->path, at, e->text);
			break;
		case 1:
			if (f.kind == FRAME_past)
				line_take(x, f.u.past, line, (size_t)n);
			break;
		}
		x->len += n;
	}
	if (ferror(in)) {
		err_sys(e, "read %s", x->path);
		goto out;
	}
	rv = 0;
out:
	free(line);
	if (in != NULL)
		fclose(in);
	arena_free(a);
	return rv;
}

static int
open_write(struct apps *x, const char *dir, struct err *e)
{
	char path[PATH_MAX];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/journal", dir);
	if (x->dirfd == -1 &&
	    (x->dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		return err_sys(e, "open %s", path);
	x->fd = openat(x->dirfd, "apps.ndjson",
	    O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (x->fd == -1)
		return err_sys(e, "open %s", x->path);
	if (fstat(x->fd, &st) == -1 ||
	    (st.st_size > x->len && ftruncate(x->fd, x->len) == -1))
		return err_sys(e, "cut %s", x->path);
	return 0;
}

struct apps *
apps_open(const char *dir, bool write, struct err *e)
{
	struct apps *x = xcalloc(1, sizeof(*x));
	char path[PATH_MAX];

	x->dirfd = x->fd = -1;
	x->line = map_new();
	x->wait = (struct buf)BUF_INIT;
	if (snprintf(path, sizeof(path), "%s/journal/apps.ndjson", dir) >=
	    (int)sizeof(path)) {
		err_set(e, RC_PERM, "%.80s...: path too long", dir);
		goto fail;
	}
	x->path = xstrdup(path);
	if (load(x, e) == -1 || (write && open_write(x, dir, e) == -1))
		goto fail;
	return x;
fail:
	apps_close(x);
	return NULL;
}

void
apps_close(struct apps *x)
{
	const char *k;
	size_t i = 0;
	void *v;

	if (x == NULL)
		return;
	while (map_next(x->line, &i, &k, &v))
		free(v);
	map_free(x->line);
	if (x->fd != -1)
		close(x->fd);
	if (x->dirfd != -1)
		close(x->dirfd);
	buf_free(&x->wait);
	free(x->path);
	free(x);
}

const char *
apps_line(const struct apps *x, const char *application_id, size_t *len)
{
	const char *line = map_get(x->line, application_id);

	if (line != NULL)
		*len = strlen(line);
	return line;
}

Frame__Past *
apps_get(const struct apps *x, const char *application_id, struct arena *a)
{
	const char *line = map_get(x->line, application_id);
	struct frame f;
	struct err e;

	if (line == NULL)
		return NULL;
	must(frame_parse(&f, line, strlen(line), a, &e) == 1);
	return f.u.past;
}

bool
apps_next(const struct apps *x, size_t *i, const char **line, size_t *len)
{
	const char *k;
	void *v;

	if (!map_next(x->line, i, &k, &v))
		return false;
	*line = v;
	*len = strlen(v);
	return true;
}

void
apps_put(struct apps *x, const Frame__Past *p)
{
	size_t start = x->wait.len;
	struct frame f = { .kind = FRAME_past };

	memcpy(&f.u.past, &p, sizeof(p));
	frame_write(&x->wait, &f);
	line_take(x, p, x->wait.p + start, x->wait.len - start);
}

int
apps_flush(struct apps *x, struct err *e)
{
	size_t done = 0;
	ssize_t n;

	while (done < x->wait.len) {
		n = pwrite(x->fd, x->wait.p + done, x->wait.len - done,
		    (off_t)x->len + (off_t)done);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0) {
			if (n == 0)
				errno = ENOSPC;
			return err_sys(e, "write %s", x->path);
		}
		done += (size_t)n;
	}
	if (done == 0)
		return 0;
	x->len += (int64_t)done;
	x->dirty = true;
	buf_reset(&x->wait);
	return 0;
}

int
apps_dirty(const struct apps *x)
{
	return x->dirty ? x->fd : -1;
}

void
apps_synced(struct apps *x)
{
	x->dirty = false;
}

int
apps_rewrite(struct apps *x, struct err *e)
{
	struct buf all = BUF_INIT;
	const char *line;
	size_t i = 0, len;
	int rv = -1;

	while (apps_next(x, &i, &line, &len))
		buf_add(&all, line, len);
	if (file_write(x->path, all.p, all.len, 0640, true, e) == -1)
		goto out;
	close(x->fd);
	x->len = (int64_t)all.len;
	x->lines = (long)map_len(x->line);
	buf_reset(&x->wait); /* it is in there */
	x->dirty = false;
	rv = open_write(x, "", e);
out:
	buf_free(&all);
	return rv;
}

int
apps_compact(struct apps *x, struct err *e)
{
	return x->lines <= (long)map_len(x->line) * 2 + STALE_MIN
		   ? 0
		   : apps_rewrite(x, e);
}
