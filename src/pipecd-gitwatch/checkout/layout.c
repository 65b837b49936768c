#include "checkout.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

bool
within(const char *dir, const char *path)
{
	size_t n = strlen(dir);

	if (strcmp(dir, ".") == 0)
		return true;
	return strncmp(dir, path, n) == 0 &&
	       (path[n] == '/' || path[n] == '\0');
}

bool
name_bad(const char *name, size_t n)
{
	return n == 0 || (n == 1 && name[0] == '.') ||
	       (n == 2 && name[0] == '.' && name[1] == '.') ||
	       (n == 4 && strncasecmp(name, ".git", 4) == 0) ||
	       (n == 5 && strncasecmp(name, "git~1", 5) == 0) ||
	       memchr(name, '/', n) != NULL || n > NAME_MAX;
}

/* What is wrong with a path: of this application an error, else left out. */
static int
refuse(struct layout *l, const char *path, const char *why, struct err *e)
{
	if (!l->whole || within(l->only, path))
		return err_set(e, RC_PERM, "%s: %s", path, why);
	log_debug("-", "checkout leaves out path=%s why=\"%s\"", path, why);
	return 0;
}

/* "../" in a text is how a file names another directory. */
static bool
mentions_parent(const struct buf *b)
{
	if (b->len > SCAN_MAX ||
	    memchr(b->p, '\0', b->len < 8000 ? b->len : 8000) != NULL)
		return false;
	return memmem(b->p, b->len, "../", 3) != NULL ||
	       memmem(b->p, b->len, "..\"", 3) != NULL;
}

static int
count(struct layout *l, size_t n, struct err *e)
{
	l->files++;
	l->bytes += n;
	if (l->files > (l->whole ? TREE_FILES_MAX : FILES_MAX))
		return err_set(e, RC_PERM, "%s: more than %d files", l->only,
		    l->whole ? TREE_FILES_MAX : FILES_MAX);
	if (l->bytes > (l->whole ? TREE_BYTES_MAX : BYTES_MAX))
		return err_set(e, RC_PERM, "%s: more than %llu MiB", l->only,
		    (unsigned long long)(l->whole ? TREE_BYTES_MAX
						  : BYTES_MAX) >>
			20);
	return 0;
}

static int
put_file(struct layout *l, const char *path, const char *id, bool exec,
    struct err *e)
{
	int fd, rv = -1;

	buf_reset(&l->blob);
	if (git_blob_read(l->g, id, FILE_MAX, &l->blob, e) == -1)
		return err_wrap(e, "%s", path);
	if (count(l, l->blob.len, e) == -1)
		return -1;
	if (!l->whole && !l->outside)
		l->outside = mentions_parent(&l->blob);
	fd = openat(l->rootfd, path,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
	    exec ? 0755 : 0644);
	if (fd == -1)
		return err_sys(e, "%s", path);
	if (write_all(fd, l->blob.p, l->blob.len) == -1)
		err_sys(e, "%s", path);
	else
		rv = 0;
	if (close(fd) == -1 && rv == 0)
		rv = err_sys(e, "%s", path);
	return rv;
}

/* Links come last, so that no file is ever written through one. */
static int
note_link(struct layout *l, const char *path, const char *id, struct err *e)
{
	struct link *k = arena_new_of(l->a, struct link);

	buf_reset(&l->blob);
	if (git_blob_read(l->g, id, PATH_MAX - 1, &l->blob, e) == -1)
		return err_wrap(e, "%s", path);
	if (memchr(l->blob.p, '\0', l->blob.len) != NULL)
		return refuse(l, path, "is a link with a NUL in it", e);
	k->path = arena_strdup(l->a, path);
	k->target = arena_strndup(l->a, l->blob.p, l->blob.len);
	k->next = l->links;
	l->links = k;
	return count(l, 0, e);
}

static int
found(void *arg, const char *path, enum git_what what, const char *id,
    struct err *e)
{
	struct layout *l = arg;
	const char *base = strrchr(path, '/');

	base = base != NULL ? base + 1 : path;
	if (strlen(path) >= PATH_MAX - 256)
		return err_set(e, RC_PERM, "%.100s...: path too long", path);
	if (name_bad(base, strlen(base)))
		return err_set(
		    e, RC_PERM, "%.200s: no name for a file in git", path);
	switch (what) {
	case GIT_DIR:
		if (mkdirat(l->rootfd, path, 0755) == -1)
			return err_sys(e, "mkdir %s", path);
		return 0;
	case GIT_LINK:
		return note_link(l, path, id, e);
	case GIT_SUBMODULE:
		return refuse(l, path, "is a submodule: not supported", e);
	case GIT_FILE:
	case GIT_EXEC:
		return put_file(l, path, id, what == GIT_EXEC, e);
	}
	return 0;
}

static int
put_links(struct layout *l, struct err *e)
{
	const struct link *k;
	bool outside;

	for (k = l->links; k != NULL; k = k->next) {
		struct err why;

		if (link_check(l, k->path, k->target, &outside, &why) == -1) {
			if (refuse(l, k->path, why.text, e) == -1)
				return -1;
			continue;
		}
		l->outside |= outside;
		if (symlinkat(k->target, l->rootfd, k->path) == -1)
			return err_sys(e, "%s", k->path);
	}
	return 0;
}

/* The directories above the application's. */
static int
put_parents(struct layout *l, struct err *e)
{
	char path[PATH_MAX], *s;

	if (strcmp(l->only, ".") == 0)
		return 0;
	snprintf(path, sizeof(path), "%s", l->only);
	for (s = path; s != NULL;) {
		if ((s = strchr(s, '/')) != NULL)
			*s = '\0';
		if (mkdirat(l->rootfd, path, 0755) == -1)
			return err_sys(e, "mkdir %s", path);
		if (s != NULL)
			*s++ = '/';
	}
	return 0;
}

int
layout(struct layout *l, const char *root, struct err *e)
{
	mode_t mask;
	int rv = -1, r;

	l->a = arena_new();
	l->blob = (struct buf)BUF_INIT;
	if (mkdir(root, 0700) == -1 && errno != EEXIST) {
		err_sys(e, "mkdir %s", root);
		goto none;
	}
	l->rootfd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (l->rootfd == -1) {
		err_sys(e, "%s", root);
		goto none;
	}
	mask = umask(022); /* what git would give; the root itself is 0700 */
	if (!l->whole && put_parents(l, e) == -1)
		goto out;
	r = git_list(l->g, l->commit, l->whole ? "." : l->only, found, l, e);
	if (r == 0)
		err_set(e, RC_PERM, "%s: no such directory at commit %.8s",
		    l->only, l->commit);
	if (r == 1)
		rv = put_links(l, e);
out:
	umask(mask);
	close(l->rootfd);
none:
	buf_free(&l->blob);
	arena_free(l->a);
	return rv;
}
