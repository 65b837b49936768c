/*
 * Objects as files.  A put writes a temporary file (".put-..."), syncs it, and
 * renames it: readers see the old or the new one, and so does who comes after a
 * power cut.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "object.h"

static char *
path_of(const struct objects *o, const char *key)
{
	size_t n = strlen(o->dir) + strlen(key) + 2;
	char *path = xcalloc(1, n);

	(void)snprintf(path, n, "%s/%s", o->dir, key);
	return path;
}

/* The directories down to a key; each new one synced into its parent. */
static int
parents_make(const struct objects *o, char *path, struct err *e)
{
	size_t base = strlen(o->dir);
	char *slash, *above;
	int rv = 0;

	for (slash = path + base; rv == 0 && slash != NULL;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(path, 0700) == 0) {
			above = xstrdup(path);
			*strrchr(above, '/') = '\0';
			rv = dir_sync(above, e);
			free(above);
		} else if (errno != EEXIST) {
			rv = err_sys(e, "%s", path);
		}
		*slash = '/';
	}
	return rv;
}

static int
dir_put(
    struct objects *o, const char *key, const void *p, size_t n, struct err *e)
{
	char *path = path_of(o, key);
	int rv = -1;

	if (parents_make(o, path, e) == 0)
		rv = file_write(path, p, n, 0600, true, e);
	free(path);
	return rv;
}

static int
dir_get(struct objects *o, const char *key, struct buf *out, struct err *e)
{
	char *path = path_of(o, key);
	int rv = file_read(path, OBJECT_MAX, out, e);

	free(path);
	return rv;
}

static int
dir_drop(struct objects *o, const char *key, struct err *e)
{
	char *path = path_of(o, key), *slash;
	int rv = 0;

	if (unlink(path) == -1 && errno != ENOENT && errno != ENOTDIR)
		rv = err_sys(e, "%s", path);
	/* Empty directories go with the last of their objects. */
	while (rv == 0 && (slash = strrchr(path, '/')) != NULL &&
	       (size_t)(slash - path) > strlen(o->dir)) {
		*slash = '\0';
		if (rmdir(path) == -1)
			break;
	}
	free(path);
	return rv;
}

struct found {
	struct object *v;
	size_t n, cap;
	struct arena *a;
	const char *prefix, *after;
};

/* Directories that cannot hold one of this prefix are passed by. */
static bool
on_the_way(const char *path, const char *prefix)
{
	size_t n = strlen(path), m = strlen(prefix);

	return strncmp(path, prefix, n < m ? n : m) == 0;
}

static int
walk(int dirfd, const char *at, struct found *f, struct err *e)
{
	struct dirent *d;
	struct stat st;
	char *key;
	int fd = dup(dirfd), sub, rv = 0;
	DIR *dir = fd == -1 ? NULL : fdopendir(fd);

	if (dir == NULL)
		return err_sys(e, "objects/%s", at);
	while (rv == 0 && (d = readdir(dir)) != NULL) {
		if (d->d_name[0] == '.')
			continue;
		key = arena_printf(f->a, "%s%s", at, d->d_name);
		if (!on_the_way(key, f->prefix) ||
		    fstatat(dirfd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) == -1)
			continue;
		if (S_ISDIR(st.st_mode)) {
			sub = openat(dirfd, d->d_name,
			    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			if (sub != -1) {
				rv = walk(
				    sub, arena_printf(f->a, "%s/", key), f, e);
				close(sub);
			}
			continue;
		}
		if (!str_prefix(key, f->prefix) ||
		    (f->after != NULL && strcmp(key, f->after) <= 0))
			continue;
		if (f->n == f->cap) {
			f->cap = f->cap == 0 ? 256 : f->cap * 2;
			f->v = xrealloc(f->v, f->cap * sizeof(*f->v));
		}
		f->v[f->n].key = key;
		f->v[f->n].size = (uint64_t)st.st_size;
		f->v[f->n++].updated_at = st.st_mtim.tv_sec;
	}
	closedir(dir);
	return rv;
}

static int
by_key(const void *x, const void *y)
{
	const struct object *a = x, *b = y;

	return strcmp(a->key, b->key);
}

static int
dir_list(struct objects *o, const char *prefix, const char *after, size_t limit,
    struct object *v, size_t *n, bool *more, struct arena *a, struct err *e)
{
	struct found f = { .a = a, .prefix = prefix, .after = after };
	int fd = open(o->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rv;

	*n = 0;
	*more = false;
	if (fd == -1)
		return errno == ENOENT ? 0 : err_sys(e, "%s", o->dir);
	rv = walk(fd, "", &f, e);
	close(fd);
	if (rv == 0 && f.n > 0) {
		qsort(f.v, f.n, sizeof(*f.v), by_key);
		*more = f.n > limit;
		*n = *more ? limit : f.n;
		memcpy(v, f.v, *n * sizeof(*v));
	}
	free(f.v);
	return rv;
}

const struct objects_ops objects_dir = { dir_put, dir_get, dir_drop, dir_list };
