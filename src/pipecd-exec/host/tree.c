#include "host.h"
#include "match.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	FILES_MAX = 1000000,
	DEPTH_MAX = 128
};

struct walk {
	struct tree *t;
	const struct scan *s;
	struct arena *a;
	const char *dir;
};

static bool
wanted(const struct scan *s, const char *path, const char *base)
{
	if (s->everything)
		return true;
	if (s->skip_file != NULL && strcmp(path, s->skip_file) == 0)
		return false;
	if (s->n_patterns == 0)
		return !conf_is_app_file(base);
	return git_match(s->patterns, s->n_patterns, path);
}

static struct file *
add_file(struct walk *w, const char *path, const struct stat *st)
{
	struct tree *t = w->t;
	struct file *f, *old = t->v;

	if (t->n == t->cap) {
		t->cap = t->cap == 0 ? 32 : t->cap * 2;
		t->v = arena_array(w->a, struct file, t->cap);
		if (t->n > 0)
			memcpy(t->v, old, t->n * sizeof(*old));
	}
	f = &t->v[t->n++];
	f->path = path;
	f->mode = (st->st_mode & 0100) != 0 ? 0755 : 0644;
	f->size = st->st_size;
	f->mtime_ns =
	    st->st_mtim.tv_sec * INT64_C(1000000000) + st->st_mtim.tv_nsec;
	f->ctime_ns =
	    st->st_ctim.tv_sec * INT64_C(1000000000) + st->st_ctim.tv_nsec;
	f->ino = st->st_ino;
	t->bytes += st->st_size;
	return f;
}

static int
add_link(struct walk *w, int fd, const char *base, const char *path,
    const struct stat *st, struct err *e)
{
	char target[PATH_MAX];
	struct file *f;
	ssize_t n;

	n = readlinkat(fd, base, target, sizeof(target) - 1);
	if (n == -1)
		return err_sys(e, "read link %s/%s", w->dir, path);
	target[n] = '\0';
	f = add_file(w, path, st);
	f->link = arena_strdup(w->a, target);
	f->mode = 0777;
	return 0;
}

static int walk_dir(
    struct walk *w, int fd, const char *prefix, int depth, struct err *e);

static int
walk_entry(struct walk *w, int fd, const char *base, const char *path,
    int depth, struct err *e)
{
	struct stat st;
	int sub;

	if (w->s->made != NULL && map_get(w->s->made, path) != NULL)
		return 0;
	if (fstatat(fd, base, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return errno == ENOENT ? 0 : err_sys(e, "%s/%s", w->dir, path);
	if (S_ISDIR(st.st_mode)) {
		if (depth == DEPTH_MAX)
			return err_set(e, RC_PERM,
			    "%s/%s: more than %d directories deep", w->dir,
			    path, DEPTH_MAX);
		sub = openat(
		    fd, base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub == -1)
			return err_sys(e, "open %s/%s", w->dir, path);
		return walk_dir(w, sub, path, depth + 1, e);
	}
	if (!wanted(w->s, path, base))
		return 0;
	if (w->t->n == FILES_MAX)
		return err_set(
		    e, RC_PERM, "%s: more than %d files", w->dir, FILES_MAX);
	if (S_ISLNK(st.st_mode))
		return add_link(w, fd, base, path, &st, e);
	if (!S_ISREG(st.st_mode) && !w->s->everything)
		return err_set(e, RC_PERM,
		    "%s: neither a file, a directory nor a link", path);
	(void)add_file(w, path, &st);
	return 0;
}

/* Owns fd. */
static int
walk_dir(struct walk *w, int fd, const char *prefix, int depth, struct err *e)
{
	DIR *dir = fdopendir(fd);
	struct dirent *d;
	int rv = 0;

	if (dir == NULL) {
		close(fd);
		return err_sys(e, "read %s/%s", w->dir, prefix);
	}
	while (rv == 0 && (errno = 0, d = readdir(dir)) != NULL) {
		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		rv = walk_entry(w, fd, d->d_name,
		    *prefix == '\0'
			? arena_strdup(w->a, d->d_name)
			: arena_printf(w->a, "%s/%s", prefix, d->d_name),
		    depth, e);
	}
	closedir(dir);
	return rv;
}

static int
by_path(const void *a, const void *b)
{
	const struct file *x = a, *y = b;

	return strcmp(x->path, y->path);
}

int
tree_scan(struct tree *t, const char *dir, const struct scan *s,
    struct arena *a, struct err *e)
{
	struct walk w = { .t = t, .s = s, .a = a, .dir = dir };
	int fd;

	memset(t, 0, sizeof(*t));
	if ((fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		return err_sys(e, "open %s", dir);
	if (walk_dir(&w, fd, "", 0, e) == -1)
		return -1;
	if (t->n > 1)
		qsort(t->v, t->n, sizeof(*t->v), by_path);
	return 0;
}

static int
hash_file(struct file *f, int dirfd, const char *dir, struct err *e)
{
	char content[SHA256_HEX], text[128];
	int fd, n, rv;

	if (f->link != NULL) {
		SHA2_CTX c;
		uint8_t d[SHA256_DIGEST_LENGTH];

		SHA256Init(&c);
		SHA256Update(&c, (const uint8_t *)"link ", 5);
		SHA256Update(&c, (const uint8_t *)f->link, strlen(f->link));
		SHA256Final(d, &c);
		hex_encode(f->hash, d, sizeof(d));
		return 0;
	}
	fd = openat(
	    dirfd, f->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd == -1)
		return err_sys(e, "open %s/%s", dir, f->path);
	rv = sha256_file(content, fd, f->path, e);
	close(fd);
	if (rv == -1)
		return -1;
	n = snprintf(text, sizeof(text), "file %04o %s", f->mode, content);
	sha256_hex(f->hash, text, (size_t)n);
	return 0;
}

int
tree_hash(
    struct tree *t, const char *dir, const struct map *known, struct err *e)
{
	SHA2_CTX c;
	uint8_t d[SHA256_DIGEST_LENGTH];
	int fd, rv = -1;
	size_t i;

	if ((fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		return err_sys(e, "open %s", dir);
	SHA256Init(&c);
	for (i = 0; i < t->n; i++) {
		struct file *f = &t->v[i];
		const struct file *k =
		    known != NULL ? map_get(known, f->path) : NULL;

		if (k != NULL && k->size == f->size && k->ino == f->ino &&
		    k->mtime_ns == f->mtime_ns && k->ctime_ns == f->ctime_ns)
			memcpy(f->hash, k->hash, sizeof(f->hash));
		else if (hash_file(f, fd, dir, e) == -1)
			goto out;
		SHA256Update(&c, (const uint8_t *)f->hash, SHA256_HEX - 1);
		SHA256Update(&c, (const uint8_t *)f->path, strlen(f->path) + 1);
	}
	SHA256Final(d, &c);
	hex_encode(t->hash, d, sizeof(d));
	rv = 0;
out:
	close(fd);
	return rv;
}

void
tree_diff(struct diff *d, const struct tree *want, const struct tree *have,
    struct arena *a)
{
	size_t i = 0, k = 0;

	memset(d, 0, sizeof(*d));
	d->v = arena_calloc(a, want->n + have->n + 1, sizeof(*d->v));
	while (i < want->n || k < have->n) {
		const struct file *w = i < want->n ? &want->v[i] : NULL;
		const struct file *h = k < have->n ? &have->v[k] : NULL;
		int c = w == NULL   ? 1
			: h == NULL ? -1
				    : strcmp(w->path, h->path);

		i += c <= 0;
		k += c >= 0;
		if (w != NULL && h != NULL && c == 0 &&
		    strcmp(w->hash, h->hash) == 0)
			continue;
		d->v[d->n].how = c < 0	 ? CHANGE_ADD
				 : c > 0 ? CHANGE_DELETE
					 : CHANGE_EDIT;
		d->v[d->n].want = w = c <= 0 ? w : NULL;
		d->v[d->n].have = h = c >= 0 ? h : NULL;
		d->v[d->n].path = w != NULL   ? w->path
				  : h != NULL ? h->path
					      : "";
		d->count[d->v[d->n].how]++;
		d->n++;
	}
}
