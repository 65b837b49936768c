#include "host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/fs.h>
#include <linux/magic.h>

enum {
	NAME_LEN = 200, /* of an application */
	SYNC_EACH = 32, /* more files than this: one syncfs */
	COPY_BLOCK = 128 * 1024,
};

static const char releases[] = "releases";

int
name_check(const char *name, struct err *e)
{
	const unsigned char *s = (const unsigned char *)name;
	const char *why = NULL;

	if (*name == '\0')
		why = "is empty";
	else if (strlen(name) > NAME_LEN)
		why = "is longer than 200 bytes";
	else if (*name == '.')
		why = "begins with a dot";
	else if (strchr(name, '/') != NULL)
		why = "holds a '/'";
	for (; why == NULL && *s != '\0'; s++)
		if (*s < 0x20 || *s == 0x7f)
			why = "holds a control character";
	if (why == NULL)
		return 0;
	return err_set(e, RC_PERM,
	    "application name \"%.80s\" %s: it becomes a directory's name on "
	    "the deploy target; change spec.name",
	    name, why);
}

/* Read a record: a symlink's target in dst; false when it is not there. */
static bool
record_read(const char *path, char *dst, size_t cap)
{
	ssize_t n = readlink(path, dst, cap - 1);

	if (n == -1)
		return false;
	dst[n] = '\0';
	return true;
}

/* Replace a symlink in one step. */
static int
record_write(const char *path, const char *target, struct err *e)
{
	char tmp[PATH_MAX];
	const char *base = strrchr(path, '/') + 1;

	if (snprintf(tmp, sizeof(tmp), "%.*s.%s.tmp", (int)(base - path), path,
		base) >= (int)sizeof(tmp))
		return err_set(e, RC_PERM, "%.80s...: path too long", path);
	if (unlink(tmp) == -1 && errno != ENOENT)
		return err_sys(e, "remove %s", tmp);
	if (symlink(target, tmp) == -1)
		return err_sys(e, "link %s", tmp);
	if (rename(tmp, path) == -1) {
		err_sys(e, "rename %s", path);
		(void)unlink(tmp);
		return -1;
	}
	return 0;
}

/* Where current points: a release's name, or NULL with *e clear or set. */
static int
look_current(struct place *p, struct arena *a, struct err *e)
{
	char *path = arena_printf(a, "%s/current", p->dir);
	char to[PATH_MAX];

	p->current = p->odd = NULL;
	if (!record_read(path, to, sizeof(to))) {
		if (errno == ENOENT || errno == ENOTDIR)
			return 0;
		if (errno == EINVAL)
			return err_set(e, RC_PERM,
			    "%s is not a symlink of ours: move it away", path);
		return err_sys(e, "%s", path);
	}
	if (str_prefix(to, "releases/") && strchr(to + 9, '/') == NULL)
		p->current = arena_strdup(a, to + 9);
	else
		p->odd = arena_strdup(a, to);
	return 0;
}

static int
place_init(struct place *p, const struct conf_target *t, const char *app,
    struct arena *a, struct err *e)
{
	struct conf_host_target c;

	memset(p, 0, sizeof(*p));
	if (conf_json_read(CONF_host_target, &c, t->name,
		t->config != NULL ? t->config : "{}", a, e) == -1)
		return err_wrap(e, "deploy target %s", t->name);
	if (c.root == NULL || c.root[0] != '/')
		return err_set(e, RC_PERM,
		    "deploy target %s: config.root: must be an absolute path",
		    t->name);
	p->target = t->name;
	p->root = c.root;
	p->dir = arena_printf(a, "%s/%s", c.root, app);
	if (strlen(p->dir) > PATH_MAX - 512)
		return err_set(e, RC_PERM, "%.80s...: path too long", p->dir);
	return 0;
}

int
place_look(struct place *p, const struct conf_target *t, const char *app,
    struct arena *a, struct err *e)
{
	if (place_init(p, t, app, a, e) == -1)
		return -1;
	return look_current(p, a, e);
}

/* Never its parents: a root that went away meanwhile is not made anew. */
static int
make_dir(const char *path, mode_t mode, struct err *e)
{
	if (mkdir(path, mode) == 0 || errno == EEXIST)
		return 0;
	return err_sys(e, "mkdir %s", path);
}

/* Remove what ends in .tmp: nobody but a killed stage left it. */
static int
clear_tmp(const char *dir, struct err *e)
{
	char path[PATH_MAX];
	struct dirent *d;
	DIR *dp;
	int rv = 0;

	if ((dp = opendir(dir)) == NULL)
		return err_sys(e, "open %s", dir);
	while (rv == 0 && (d = readdir(dp)) != NULL) {
		if (d->d_name[0] != '.' || !str_suffix(d->d_name, ".tmp"))
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", dir, d->d_name);
		rv = tree_remove(path, e);
	}
	closedir(dp);
	return rv;
}

static int
own(const struct place *p, const char *owner, struct arena *a, struct err *e)
{
	char *path = arena_printf(a, "%s/.pipecd/owner", p->dir);
	char is[PATH_MAX];

	if (symlink(owner, path) == 0)
		return 0;
	if (errno != EEXIST)
		return err_sys(e, "%s", path);
	if (!record_read(path, is, sizeof(is)))
		return err_sys(e, "%s", path);
	if (strcmp(is, owner) == 0)
		return 0;
	return err_set(e, RC_PERM,
	    "%s belongs to another application of this name (%s, not %s): "
	    "rename one of them, or remove %s if that one is no more",
	    p->dir, is, owner, path);
}

int
place_open(struct place *p, const struct conf_target *t, const char *app,
    const char *owner, struct arena *a, struct err *e)
{
	struct stat st;
	char *path;

	if (place_init(p, t, app, a, e) == -1)
		return -1;
	/* One that is not there may be a mount that is missing: not ours. */
	if (stat(p->root, &st) == -1 && errno == ENOENT)
		return err_set(e, RC_PERM,
		    "deploy target %s: its root %s does not exist: make the "
		    "directory, or mount what belongs there; nothing was "
		    "touched",
		    t->name, p->root);
	if (make_dir(p->dir, 0755, e) == -1 ||
	    make_dir(arena_printf(a, "%s/%s", p->dir, releases), 0755, e) ==
		-1 ||
	    make_dir(arena_printf(a, "%s/.pipecd", p->dir), 0700, e) == -1)
		return -1;
	if (own(p, owner, a, e) == -1)
		return -1;
	path = arena_printf(a, "%s/%s", p->dir, releases);
	if (clear_tmp(path, e) == -1 || clear_tmp(p->dir, e) == -1)
		return -1;
	return look_current(p, a, e);
}

bool
place_state(const struct place *p, struct state *s)
{
	char path[PATH_MAX], text[512];

	memset(s, 0, sizeof(*s));
	(void)snprintf(path, sizeof(path), "%s/.pipecd/state", p->dir);
	if (!record_read(path, text, sizeof(text)))
		return false;
	return sscanf(text, "%15[^:]:%63[^:]:%63[^:]:%64[^:]", s->phase,
		   s->deployment, s->release, s->hash) == 4;
}

int
place_set_state(const struct place *p, const struct state *s, struct err *e)
{
	char path[PATH_MAX], text[512];

	(void)snprintf(path, sizeof(path), "%s/.pipecd/state", p->dir);
	(void)snprintf(text, sizeof(text), "%s:%s:%s:%s", s->phase,
	    s->deployment, s->release, s->hash);
	return record_write(path, text, e);
}

struct map *
place_made(const struct place *p, const char *release, struct arena *a)
{
	char *path = arena_printf(a, "%s/.pipecd/made/%s", p->dir, release);
	struct map *m = map_new();
	struct buf b = BUF_INIT;
	struct err e;
	char *s, *nl;

	if (file_read(path, 4 << 20, &b, &e) == 1)
		for (s = b.p; (nl = strchr(s, '\n')) != NULL; s = nl + 1) {
			*nl = '\0';
			(void)map_put(m, s, m);
		}
	buf_free(&b);
	return m;
}

/* The top-most directory of a path in which nothing is wanted, or itself. */
static const char *
topmost(const struct tree *want, const char *path, struct arena *a)
{
	const char *slash = path;
	size_t i;

	while ((slash = strchr(slash, '/')) != NULL) {
		size_t len = (size_t)(slash - path) + 1;

		for (i = 0; i < want->n; i++)
			if (strncmp(want->v[i].path, path, len) == 0)
				break;
		if (i == want->n)
			return arena_strndup(a, path, len - 1);
		slash++;
	}
	return path;
}

int
place_save_made(const struct place *p, const char *release,
    const struct tree *want, struct arena *a, struct err *e)
{
	char *dir = arena_printf(a, "%s/%s/%s", p->dir, releases, release);
	char *path = arena_printf(a, "%s/.pipecd/made/%s", p->dir, release);
	struct scan all = { .everything = true };
	struct map *seen = map_new();
	struct buf b = BUF_INIT;
	struct tree have;
	size_t i, k = 0;
	int rv = -1;

	if (tree_scan(&have, dir, &all, a, e) == -1)
		goto out;
	for (i = 0; i < have.n; i++) {
		const char *top;

		while (
		    k < want->n && strcmp(want->v[k].path, have.v[i].path) < 0)
			k++;
		if (k < want->n && strcmp(want->v[k].path, have.v[i].path) == 0)
			continue;
		top = topmost(want, have.v[i].path, a);
		if (strchr(top, '\n') == NULL &&
		    map_put(seen, top, seen) == NULL)
			buf_printf(&b, "%s\n", top);
	}
	if (b.len > 0 &&
	    make_dir(arena_printf(a, "%s/.pipecd/made", p->dir), 0700, e) == -1)
		goto out;
	if (b.len > 0)
		rv = file_write(path, b.p, b.len, 0600, false, e);
	else
		rv = unlink(path) == -1 && errno != ENOENT && errno != ENOTDIR
			 ? err_sys(e, "%s", path)
			 : 0;
out:
	map_free(seen);
	buf_free(&b);
	return rv;
}

/* --- laying out -------------------------------------------------- */

static int
copy_file(const struct file *f, int from, int to, bool sync, struct err *e)
{
	static char block[COPY_BLOCK];
	int in, out = -1, rv = -1;
	int64_t size = 0;
	ssize_t n;

	in = openat(from, f->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (in == -1)
		return err_sys(e, "open %s", f->path);
	out =
	    openat(to, f->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (out == -1) {
		err_sys(e, "create %s", f->path);
		goto out;
	}
	while ((n = read(in, block, sizeof(block))) != 0) {
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1) {
			err_sys(e, "read %s", f->path);
			goto out;
		}
		if (write_all(out, block, (size_t)n) == -1) {
			err_sys(e, "write %s", f->path);
			goto out;
		}
		size += n;
	}
	if (size != f->size) {
		err_set(e, RC_TEMP, "%s changed while it was read", f->path);
		goto out;
	}
	if (fchmod(out, f->mode) == -1 || (sync && fdatasync(out) == -1)) {
		err_sys(e, "write %s", f->path);
		goto out;
	}
	rv = 0;
out:
	close(in);
	if (out != -1 && close(out) == -1 && rv == 0)
		rv = err_sys(e, "close %s", f->path);
	return rv;
}

/* The directories above a path; `last` is the one made before. */
static int
make_parents(int dirfd, const char *path, char *last, struct err *e)
{
	char p[PATH_MAX];
	char *s = p;

	(void)snprintf(p, sizeof(p), "%s", path);
	while ((s = strchr(s, '/')) != NULL) {
		*s = '\0';
		if (strcmp(last, p) != 0 && mkdirat(dirfd, p, 0755) == -1 &&
		    errno != EEXIST)
			return err_sys(e, "mkdir %s", p);
		*s++ = '/';
	}
	if ((s = strrchr(p, '/')) != NULL)
		*s = '\0';
	else
		*p = '\0';
	strcpy(last, p);
	return 0;
}

/* Every link must lead to somewhere within the release, or to nothing there. */
static int
links_check(const struct tree *t, int dirfd, struct err *e)
{
	size_t i;
	int fd;

	for (i = 0; i < t->n; i++) {
		if (t->v[i].link == NULL)
			continue;
		fd = open_beneath(
		    dirfd, t->v[i].path, O_PATH | O_CLOEXEC, 0, false);
		if (fd != -1)
			close(fd);
		else if (errno != ENOENT && errno != ENOTDIR)
			return err_set(e, RC_PERM,
			    "%s: a link to %.100s, which leaves the release: "
			    "links must stay inside",
			    t->v[i].path, t->v[i].link);
	}
	return 0;
}

static bool
link_is_inside(const struct file *f)
{
	char up[PATH_MAX], clean[PATH_MAX];
	const char *slash = strrchr(f->path, '/');

	if (f->link[0] == '/' || f->link[0] == '\0')
		return false;
	if (snprintf(up, sizeof(up), "%.*s/%s",
		slash == NULL ? 1 : (int)(slash - f->path),
		slash == NULL ? "." : f->path, f->link) >= (int)sizeof(up))
		return false;
	return path_clean(clean, up);
}

static int
lay(const struct tree *want, const char *src, const char *tmp, struct err *e)
{
	int from = -1, to = -1, rv = -1;
	bool each = want->n <= SYNC_EACH;
	char last[PATH_MAX] = "";
	size_t i;

	if (mkdir(tmp, 0755) == -1) {
		err_sys(e, "mkdir %s", tmp);
		goto out;
	}
	from = open(src, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	to = open(tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (from == -1 || to == -1) {
		err_sys(e, "open %s", from == -1 ? src : tmp);
		goto out;
	}
	for (i = 0; i < want->n; i++) {
		const struct file *f = &want->v[i];

		if (make_parents(to, f->path, last, e) == -1)
			goto out;
		if (f->link == NULL) {
			if (copy_file(f, from, to, each, e) == -1)
				goto out;
		} else if (!link_is_inside(f)) {
			err_set(e, RC_PERM,
			    "%s: a link to %.100s, which leaves the release: "
			    "links must stay inside",
			    f->path, f->link);
			goto out;
		} else if (symlinkat(f->link, to, f->path) == -1) {
			err_sys(e, "link %s", f->path);
			goto out;
		}
	}
	if (links_check(want, to, e) == -1)
		goto out;
	if (!each && syncfs(to) == -1) {
		err_sys(e, "sync %s", tmp);
		goto out;
	}
	rv = 0;
out:
	if (from != -1)
		close(from);
	if (to != -1)
		close(to);
	return rv;
}

/* Whether a release holds these files and no others but what activate made. */
static bool
is_complete(const struct place *p, const char *name, const struct tree *want,
    struct arena *a)
{
	char *dir = arena_printf(a, "%s/%s/%s", p->dir, releases, name);
	struct map *made = place_made(p, name, a);
	struct scan s = { .everything = true, .made = made };
	struct tree have;
	struct err e;
	bool yes;

	yes = tree_scan(&have, dir, &s, a, &e) == 0 && have.n == want->n &&
	      have.bytes == want->bytes &&
	      tree_hash(&have, dir, NULL, &e) == 0 &&
	      strcmp(have.hash, want->hash) == 0;
	map_free(made);
	return yes;
}

/* Put tmp where `to` is, or swap them: nobody ever sees a part of either. */
static int
move_in(const struct place *p, const char *tmp, const char *commit,
    const char **name, struct arena *a, struct err *e)
{
	char *to = arena_printf(a, "%s/%s/%s", p->dir, releases, commit);
	int i;

	*name = commit;
	if (renameat2(AT_FDCWD, tmp, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno == EINVAL && access(to, F_OK) == -1 && rename(tmp, to) == 0)
		return 0;
	if (renameat2(AT_FDCWD, tmp, AT_FDCWD, to, RENAME_EXCHANGE) == 0)
		return tree_remove(tmp, e);
	/* A file system that cannot swap: another name does as well. */
	for (i = 2; i < 1000; i++) {
		*name = arena_printf(a, "%s.%d", commit, i);
		to = arena_printf(a, "%s/%s/%s", p->dir, releases, *name);
		if (access(to, F_OK) == -1 && errno == ENOENT)
			return rename(tmp, to) == 0 ? 0 : err_sys(e, "%s", to);
	}
	return err_set(e, RC_PERM, "%s: no free name", to);
}

int
release_lay(const struct place *p, const char *commit, const struct tree *want,
    const char *src, const char **name, struct arena *a, struct err *e)
{
	char *tmp = arena_printf(a, "%s/%s/.%s.tmp", p->dir, releases, commit);
	struct err ignored;

	*name = commit;
	/* What current points to may be the same commit under another name. */
	if (p->current != NULL && str_prefix(p->current, commit))
		*name = p->current;
	if (is_complete(p, *name, want, a))
		return 1;
	if (tree_remove(tmp, e) == -1)
		return -1;
	if (lay(want, src, tmp, e) == -1 ||
	    move_in(p, tmp, commit, name, a, e) == -1) {
		(void)tree_remove(tmp, &ignored);
		return err_wrap(e, "%s: lay out %s", p->target, tmp);
	}
	(void)unlink(arena_printf(a, "%s/.pipecd/made/%s", p->dir, *name));
	return 0;
}

/*
 * Whether a power cut cannot keep a later rename and lose an earlier one: the
 * journals of ext4 and XFS are one sequence.
 */
static bool
in_order(const char *dir)
{
	struct statfs st;

	return statfs(dir, &st) == 0 &&
	       (st.f_type == EXT4_SUPER_MAGIC || st.f_type == XFS_SUPER_MAGIC);
}

int
release_switch(
    struct place *p, const char *name, struct arena *a, struct err *e)
{
	char *path = arena_printf(a, "%s/current", p->dir);

	/* The release is on the disk before anything points to it. */
	if ((!in_order(p->dir) &&
		dir_sync(arena_printf(a, "%s/%s", p->dir, releases), e) ==
		    -1) ||
	    record_write(path, arena_printf(a, "releases/%s", name), e) == -1 ||
	    dir_sync(p->dir, e) == -1)
		return -1;
	p->current = name;
	return 0;
}

/* --- old releases ------------------------------------------------ */

struct old {
	const char *name;
	int64_t at;
};

static int
newest_first(const void *a, const void *b)
{
	const struct old *x = a, *y = b;

	return x->at < y->at   ? 1
	       : x->at > y->at ? -1
			       : strcmp(x->name, y->name);
}

/* Only what we made: a commit, perhaps with a number. */
static bool
is_release(const char *name)
{
	size_t n = strspn(name, "0123456789abcdef");

	return n >= 7 && n <= 64 &&
	       (name[n] == '\0' ||
		   (name[n] == '.' &&
		       name[n + 1 + strspn(name + n + 1, "0123456789")] ==
			   '\0'));
}

static bool
is_spared(const struct place *p, const char *name, const char *const *spare)
{
	if (p->current != NULL && strcmp(name, p->current) == 0)
		return true;
	for (; *spare != NULL; spare++)
		if (strncmp(name, *spare, strlen(*spare)) == 0)
			return true;
	return false;
}

static int
drop(const struct place *p, const char *name, struct arena *a, struct err *e)
{
	char *path = arena_printf(a, "%s/%s/%s", p->dir, releases, name);
	char *tmp = arena_printf(a, "%s/%s/.%s.tmp", p->dir, releases, name);

	/* Under its name a release is whole, until it is gone. */
	if (rename(path, tmp) == -1)
		return err_sys(e, "rename %s", path);
	(void)unlink(arena_printf(a, "%s/.pipecd/made/%s", p->dir, name));
	return tree_remove(tmp, e);
}

int
release_prune(const struct place *p, int64_t keep, const char *const *spare,
    struct arena *a, struct err *e)
{
	char *dir = arena_printf(a, "%s/%s", p->dir, releases);
	struct old *v = NULL;
	size_t n = 0, cap = 0, i;
	struct dirent *d;
	struct stat st;
	DIR *dp;
	int rv = 0;

	if ((dp = opendir(dir)) == NULL)
		return err_sys(e, "open %s", dir);
	while ((d = readdir(dp)) != NULL) {
		if (!is_release(d->d_name) || is_spared(p, d->d_name, spare) ||
		    fstatat(dirfd(dp), d->d_name, &st, AT_SYMLINK_NOFOLLOW) ==
			-1 ||
		    !S_ISDIR(st.st_mode))
			continue;
		if (n == cap)
			v = xrealloc(v, (cap = cap * 2 + 16) * sizeof(*v));
		v[n].name = arena_strdup(a, d->d_name);
		v[n++].at = st.st_ctim.tv_sec * INT64_C(1000000000) +
			    st.st_ctim.tv_nsec;
	}
	closedir(dp);
	if (n > 1)
		qsort(v, n, sizeof(*v), newest_first);
	for (i = keep < 0 ? 0 : (size_t)keep; i < n && rv == 0; i++)
		rv = drop(p, v[i].name, a, e);
	free(v);
	return rv;
}
