#include "internal.h"

#include <stdlib.h>
#include <string.h>

struct list {
	struct git *g;
	int (*found)(void *arg, const char *path, enum git_what what,
	    const char *id, struct err *e);
	void *arg;
	struct buf path;
	int depth;
};

static enum git_what
what_of(const git_tree_entry *te)
{
	switch (git_tree_entry_filemode(te)) {
	case GIT_FILEMODE_TREE:
		return GIT_DIR;
	case GIT_FILEMODE_LINK:
		return GIT_LINK;
	case GIT_FILEMODE_COMMIT:
		return GIT_SUBMODULE;
	case GIT_FILEMODE_BLOB_EXECUTABLE:
		return GIT_EXEC;
	default:
		return GIT_FILE;
	}
}

int
git_entry(struct git *g, const char *commit, const char *path,
    enum git_what *what, char id[GIT_ID], struct err *e)
{
	git_tree_entry *te = NULL;
	git_tree *root = NULL;
	int r;

	if (git_root(g, commit, &root, e) == -1)
		return -1;
	if (path[0] == '\0' || strcmp(path, ".") == 0) {
		*what = GIT_DIR;
		git_oid_tostr(id, GIT_ID, git_tree_id(root));
		return 1;
	}
	r = git_tree_entry_bypath(&te, root, path);
	if (r == GIT_ENOTFOUND || r == GIT_EINVALIDSPEC)
		return 0;
	if (r < 0)
		return git_fail(e, RC_TEMP, "%s", path);
	*what = what_of(te);
	git_oid_tostr(id, GIT_ID, git_tree_entry_id(te));
	git_tree_entry_free(te);
	return 1;
}

static int
list_tree(struct list *l, const git_oid *id, struct err *e)
{
	git_tree *t = NULL;
	size_t i, n, at = l->path.len;
	char hex[GIT_ID];
	int rv = -1;

	if (l->depth >= 64)
		return err_set(e, RC_PERM,
		    "%.200s: more than 64 directories deep", l->path.p);
	l->depth++;
	if (git_tree_lookup(&t, l->g->repo, id) < 0) {
		git_fail(e, RC_TEMP, "%.200s", l->path.p);
		goto out;
	}
	n = git_tree_entrycount(t);
	for (i = 0; i < n; i++) {
		const git_tree_entry *te = git_tree_entry_byindex(t, i);
		enum git_what what = what_of(te);

		l->path.len = at;
		if (at > 0)
			buf_addc(&l->path, '/');
		buf_adds(&l->path, git_tree_entry_name(te));
		git_oid_tostr(hex, sizeof(hex), git_tree_entry_id(te));
		if (l->found(l->arg, l->path.p, what, hex, e) == -1 ||
		    (what == GIT_DIR &&
			list_tree(l, git_tree_entry_id(te), e) == -1))
			goto out;
	}
	rv = 0;
out:
	l->depth--;
	git_tree_free(t);
	return rv;
}

int
git_list(struct git *g, const char *commit, const char *path,
    int (*found)(void *arg, const char *path, enum git_what what,
	const char *id, struct err *e),
    void *arg, struct err *e)
{
	struct list l = {
		.g = g, .found = found, .arg = arg, .path = BUF_INIT
	};
	enum git_what what = GIT_FILE;
	char hex[GIT_ID];
	git_oid id = { { 0 } };
	int r;

	if ((r = git_entry(g, commit, path, &what, hex, e)) != 1)
		return r;
	if (what != GIT_DIR || git_oid_of(&id, hex, e) == -1)
		return 0;
	if (strcmp(path, ".") != 0)
		buf_adds(&l.path, path);
	r = list_tree(&l, &id, e) == -1 ? -1 : 1;
	buf_free(&l.path);
	return r;
}
