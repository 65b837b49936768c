#include "internal.h"

#include <stdlib.h>
#include <string.h>

enum {
	WALK_DEPTH = 64
}; /* directories below each other; deeper is no project */

int
git_root(struct git *g, const char *commit, git_tree **root, struct err *e)
{
	git_commit *c = NULL;
	git_tree *t = NULL;
	git_oid oid;
	int r;

	if (git_oid_of(&oid, commit, e) == -1)
		return -1;
	if (g->root != NULL && git_oid_equal(&oid, &g->root_of)) {
		*root = g->root;
		return 0;
	}
	r = git_commit_lookup(&c, g->repo, &oid);
	if (r == GIT_ENOTFOUND)
		return err_set(e, RC_TEMP,
		    "commit %.8s is not in the mirror %s (history rewritten?)",
		    commit, g->path);
	if (r < 0)
		return git_fail(e, RC_TEMP, "commit %.8s", commit);
	r = git_commit_tree(&t, c);
	git_commit_free(c);
	if (r < 0)
		return git_fail(e, RC_TEMP, "tree of commit %.8s", commit);
	git_tree_free(g->root);
	g->root = t;
	git_oid_cpy(&g->root_of, &oid);
	*root = t;
	return 0;
}

/* The entry at `path`: 1, or 0 when there is nothing; "." is no entry. */
static int
entry_at(git_tree *root, const char *path, git_tree_entry **te, struct err *e)
{
	int r = git_tree_entry_bypath(te, root, path);

	if (r == GIT_ENOTFOUND || r == GIT_EINVALIDSPEC)
		return 0;
	if (r < 0)
		return git_fail(e, RC_TEMP, "%s", path);
	return 1;
}

int
git_path_id(struct git *g, const char *commit, const char *path,
    char id[GIT_ID], struct err *e)
{
	git_tree_entry *te = NULL;
	git_tree *root = NULL;
	int r;

	if (git_root(g, commit, &root, e) == -1)
		return -1;
	if (strcmp(path, ".") == 0 || path[0] == '\0') {
		git_oid_tostr(id, GIT_ID, git_tree_id(root));
		return 1;
	}
	if ((r = entry_at(root, path, &te, e)) != 1)
		return r;
	git_oid_tostr(id, GIT_ID, git_tree_entry_id(te));
	git_tree_entry_free(te);
	return 1;
}

int
git_blob_read(struct git *g, const char *blob_id, size_t max, struct buf *b,
    struct err *e)
{
	git_odb_object *o = NULL;
	git_object_t type;
	size_t len;
	git_oid oid;

	if (git_oid_of(&oid, blob_id, e) == -1)
		return -1;
	/* The size comes first: a large blob is not read to be refused. */
	if (git_odb_read_header(&len, &type, g->odb, &oid) < 0)
		return git_fail(e, RC_TEMP, "object %.8s", blob_id);
	if (type != GIT_OBJECT_BLOB)
		return err_set(e, RC_PERM, "object %.8s is no file", blob_id);
	if (len > max)
		return err_set(
		    e, RC_PERM, "%zu bytes, more than %zu allowed", len, max);
	if (git_odb_read(&o, g->odb, &oid) < 0)
		return git_fail(e, RC_TEMP, "object %.8s", blob_id);
	buf_add(b, git_odb_object_data(o), git_odb_object_size(o));
	git_odb_object_free(o);
	return 0;
}

int
git_file_read(struct git *g, const char *commit, const char *path, size_t max,
    struct buf *b, struct err *e)
{
	git_tree_entry *te = NULL;
	git_tree *root = NULL;
	char id[GIT_ID];
	git_filemode_t mode;
	int r;

	if (git_root(g, commit, &root, e) == -1)
		return -1;
	if ((r = entry_at(root, path, &te, e)) != 1)
		return r;
	mode = git_tree_entry_filemode(te);
	git_oid_tostr(id, sizeof(id), git_tree_entry_id(te));
	git_tree_entry_free(te);
	if (mode == GIT_FILEMODE_LINK)
		return err_set(e, RC_PERM, "%s: is a symbolic link", path);
	if (mode != GIT_FILEMODE_BLOB && mode != GIT_FILEMODE_BLOB_EXECUTABLE)
		return err_set(e, RC_PERM, "%s: is no file", path);
	if (git_blob_read(g, id, max, b, e) == -1)
		return err_wrap(e, "%s", path);
	return 1;
}

static int
tree_of(struct git *g, const char *commit, git_tree **t, struct err *e)
{
	git_tree *root = NULL;

	if (git_root(g, commit, &root, e) == -1)
		return -1;
	if (git_tree_dup(t, root) < 0)
		return git_fail(e, RC_TEMP, "tree of commit %.8s", commit);
	return 0;
}

int
git_changed(struct git *g, const char *from, const char *to,
    const char ***paths, size_t *n, struct arena *a, struct err *e)
{
	git_diff_options o;
	git_tree *t1 = NULL, *t2 = NULL;
	git_diff *d = NULL;
	size_t i, deltas;
	int rv = -1;

	*paths = NULL;
	*n = 0;
	git_diff_options_init(&o, GIT_DIFF_OPTIONS_VERSION);
	o.flags = GIT_DIFF_INCLUDE_TYPECHANGE | GIT_DIFF_SKIP_BINARY_CHECK;
	if (tree_of(g, from, &t1, e) == -1 || tree_of(g, to, &t2, e) == -1)
		goto out;
	if (git_diff_tree_to_tree(&d, g->repo, t1, t2, &o) < 0) {
		git_fail(e, RC_TEMP, "diff %.8s..%.8s", from, to);
		goto out;
	}
	deltas = git_diff_num_deltas(d);
	*paths = arena_array(a, const char *, 2 * deltas + 1);
	for (i = 0; i < deltas; i++) {
		const git_diff_delta *dd = git_diff_get_delta(d, i);
		const char *was = dd->old_file.path, *is = dd->new_file.path;

		if (was != NULL)
			(*paths)[(*n)++] = arena_strdup(a, was);
		if (is != NULL && (was == NULL || strcmp(was, is) != 0))
			(*paths)[(*n)++] = arena_strdup(a, is);
	}
	rv = 0;
out:
	git_diff_free(d);
	git_tree_free(t1);
	git_tree_free(t2);
	return rv;
}

struct walk {
	struct git *g;
	bool (*want)(const char *base);
	int (*found)(
	    void *arg, const char *path, const char *blob_id, struct err *e);
	void *arg;
	struct buf path;
	int depth;
};

static int
walk_tree(struct walk *w, const git_oid *id, struct err *e)
{
	git_tree *t = NULL;
	size_t i, n, at = w->path.len;
	int rv = -1;

	/* Who looks for some names has the rest of the commit to go on with. */
	if (w->depth >= WALK_DEPTH && w->want != NULL) {
		log_warn("-",
		    "%.200s: more than %d directories deep: not looked into",
		    w->path.p, WALK_DEPTH);
		return 0;
	}
	if (w->depth >= WALK_DEPTH)
		return err_set(e, RC_PERM,
		    "%.200s: more than %d directories deep", w->path.p,
		    WALK_DEPTH);
	w->depth++;
	if (git_tree_lookup(&t, w->g->repo, id) < 0) {
		git_fail(e, RC_TEMP, "%.200s", w->path.p);
		goto out;
	}
	n = git_tree_entrycount(t);
	for (i = 0; i < n; i++) {
		const git_tree_entry *te = git_tree_entry_byindex(t, i);
		git_filemode_t mode = git_tree_entry_filemode(te);
		const char *name = git_tree_entry_name(te);
		bool dir = mode == GIT_FILEMODE_TREE;
		char hex[GIT_ID];

		if (!dir && ((mode != GIT_FILEMODE_BLOB &&
				 mode != GIT_FILEMODE_BLOB_EXECUTABLE) ||
				(w->want != NULL && !w->want(name))))
			continue;
		w->path.len = at;
		if (at > 0)
			buf_addc(&w->path, '/');
		buf_adds(&w->path, name);
		if (dir) {
			if (walk_tree(w, git_tree_entry_id(te), e) == -1)
				goto out;
			continue;
		}
		git_oid_tostr(hex, sizeof(hex), git_tree_entry_id(te));
		if (w->found(w->arg, w->path.p, hex, e) == -1)
			goto out;
	}
	rv = 0;
out:
	w->depth--;
	git_tree_free(t);
	return rv;
}

int
git_walk(struct git *g, const char *commit, const char *path,
    bool (*want)(const char *base),
    int (*found)(
	void *arg, const char *path, const char *blob_id, struct err *e),
    void *arg, struct err *e)
{
	struct walk w = { .g = g,
		.want = want,
		.found = found,
		.arg = arg,
		.path = BUF_INIT };
	git_tree_entry *te = NULL;
	git_tree *root = NULL;
	git_oid id;
	int rv = -1;

	if (git_root(g, commit, &root, e) == -1)
		return -1;
	git_oid_cpy(&id, git_tree_id(root));
	if (path[0] != '\0' && strcmp(path, ".") != 0) {
		bool tree;

		if ((rv = entry_at(root, path, &te, e)) != 1)
			return rv;
		tree = git_tree_entry_type(te) == GIT_OBJECT_TREE;
		git_oid_cpy(&id, git_tree_entry_id(te));
		git_tree_entry_free(te);
		if (!tree)
			return 0;
		buf_adds(&w.path, path);
	}
	rv = walk_tree(&w, &id, e);
	buf_free(&w.path);
	return rv;
}
