#include "internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* <dir>/.<name><suffix> for <dir>/<name>: beside the mirror, not in it. */
static int
beside(char *dst, const char *path, const char *suffix, struct err *e)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash != NULL ? slash + 1 : path;

	if (snprintf(dst, PATH_MAX, "%.*s.%s%s", (int)(name - path), path, name,
		suffix) >= PATH_MAX)
		return err_set(e, RC_PERM, "%.80s...: path too long", path);
	return 0;
}

static int
lock_take(const char *path, bool wait, struct err *e)
{
	char name[PATH_MAX];
	int fd;

	if (beside(name, path, ".lock", e) == -1)
		return -1;
	fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd == -1)
		return err_sys(e, "%s", name);
	if (flock(fd, LOCK_EX | (wait ? 0 : LOCK_NB)) == -1) {
		if (errno == EWOULDBLOCK)
			err_set(
			    e, RC_TEMP, "%s: another process writes it", path);
		else
			err_sys(e, "lock %s", name);
		close(fd);
		return -1;
	}
	return fd;
}

static int
make(const char *path, struct err *e)
{
	git_repository_init_options o;
	git_repository *repo = NULL;
	char tmp[PATH_MAX];

	if (beside(tmp, path, ".new", e) == -1 || tree_remove(tmp, e) == -1)
		return -1;
	git_repository_init_options_init(
	    &o, GIT_REPOSITORY_INIT_OPTIONS_VERSION);
	o.flags = GIT_REPOSITORY_INIT_BARE | GIT_REPOSITORY_INIT_MKDIR |
		  GIT_REPOSITORY_INIT_NO_REINIT;
	o.initial_head = "main";
	if (git_repository_init_ext(&repo, tmp, &o) < 0)
		return git_fail(e, RC_TEMP, "%s", tmp);
	git_repository_free(repo);
	if (rename(tmp, path) == -1)
		return err_sys(e, "rename %s", tmp);
	return 0;
}

/* The names that libgit2 gives what it has not finished. */
static bool
unfinished(const char *name, bool refs)
{
	if (refs)
		return str_suffix(name, ".lock");
	return strstr(name, "_git2_") != NULL || str_prefix(name, "tmp_") ||
	       str_suffix(name, ".lock");
}

/*
 * Remove them below a directory, under our lock: who made them is dead.
 * `deep` goes into directories (refs; objects have 256 of them and no need).
 */
static void
sweep(int dirfd, const char *path, bool deep)
{
	struct dirent *d;
	DIR *dir;
	int fd = openat(
	    dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd == -1)
		return;
	if ((dir = fdopendir(fd)) == NULL) {
		close(fd);
		return;
	}
	while ((d = readdir(dir)) != NULL) {
		if (d->d_name[0] == '.')
			continue;
		if (unfinished(d->d_name, deep))
			(void)unlinkat(fd, d->d_name, 0);
		else if (deep && d->d_type == DT_DIR)
			sweep(fd, d->d_name, true);
	}
	closedir(dir);
}

int
git_mirror_open(struct git **gp, const char *path, bool wait, struct err *e)
{
	int lock, fd, i;

	*gp = NULL;
	if ((lock = lock_take(path, wait, e)) == -1)
		return -1;
	for (i = 0; i < 2; i++) {
		if (git_repo_open(gp, path, e) == 0 && *gp != NULL)
			break;
		/*
		 * A mirror is a copy: what cannot be opened is made anew.  On a
		 * full disk that fails too, and is tried again.
		 */
		if (i == 1 || tree_remove(path, e) == -1 ||
		    make(path, e) == -1) {
			close(lock);
			return -1;
		}
	}
	(*gp)->lock = lock;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd != -1) {
		sweep(fd, ".", false);
		sweep(fd, "objects", false);
		sweep(fd, "objects/pack", false);
		sweep(fd, "refs", true);
		close(fd);
	}
	return 0;
}

int
git_ref_set(struct git *g, const char *branch, const git_oid *id, struct err *e)
{
	git_reference *ref = NULL;
	git_commit *c = NULL;
	char name[1024];
	int r;

	if (git_ref_of(name, branch, e) == -1)
		return -1;
	if (git_commit_lookup(&c, g->repo, id) < 0)
		return git_fail(e, RC_TEMP, "branch %s", branch);
	git_commit_free(c);
	r = git_reference_create(&ref, g->repo, name, id, 1, NULL);
	if (r == GIT_EDIRECTORY || r == GIT_EEXISTS) {
		/* a/b where there was a: the old branch has gone. */
		char old[1024];
		char *s;

		snprintf(old, sizeof(old), "%s", name);
		while ((s = strrchr(old, '/')) != NULL && s > old + 11) {
			*s = '\0';
			git_reference_remove(g->repo, old);
		}
		r = git_reference_create(&ref, g->repo, name, id, 1, NULL);
	}
	if (r < 0)
		return git_fail(e, RC_TEMP, "branch %s", branch);
	git_reference_free(ref);
	return 0;
}

static int
check_tree(struct git *g, const git_oid *id, int depth, struct err *e)
{
	git_tree *t = NULL;
	size_t i, n;
	int r = 1;

	if (depth > 64 || git_tree_lookup(&t, g->repo, id) < 0)
		return 0;
	n = git_tree_entrycount(t);
	for (i = 0; r == 1 && i < n; i++) {
		const git_tree_entry *te = git_tree_entry_byindex(t, i);

		if (git_tree_entry_type(te) == GIT_OBJECT_TREE)
			r = check_tree(g, git_tree_entry_id(te), depth + 1, e);
		else if (git_tree_entry_type(te) == GIT_OBJECT_BLOB &&
			 !git_odb_exists_ext(g->odb, git_tree_entry_id(te),
			     GIT_ODB_LOOKUP_NO_REFRESH))
			r = 0;
	}
	git_tree_free(t);
	return r;
}

int
git_mirror_check(struct git *g, const char *commit, struct err *e)
{
	git_tree *root = NULL;
	struct err ignored;

	if (git_root(g, commit, &root, &ignored) == -1)
		return 0;
	return check_tree(g, git_tree_id(root), 0, e);
}
