#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* The branch that HEAD names, also when it has no commit yet. */
static int
head_branch(git_repository *repo, char branch[256], struct err *e)
{
	git_reference *ref = NULL;
	const char *name;
	int rv = -1;

	if (git_reference_lookup(&ref, repo, "HEAD") < 0)
		return git_fail(e, RC_TEMP, "HEAD");
	name = git_reference_symbolic_target(ref);
	if (name == NULL)
		err_set(
		    e, RC_PERM, "HEAD is on no branch: name one in `branch`");
	else if (!str_prefix(name, "refs/heads/") || strlen(name) - 11 > 255)
		err_set(e, RC_PERM, "HEAD is %.100s, no branch", name);
	else {
		strcpy(branch, name + 11);
		rv = 0;
	}
	git_reference_free(ref);
	return rv;
}

int
git_local_head(const char *path, const char *want, char branch[256],
    char commit[GIT_ID], struct err *e)
{
	git_repository *repo = NULL;
	char name[1024];
	git_oid oid;
	int r;

	branch[0] = '\0';
	if (git_repository_open_ext(
		&repo, path, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL) < 0)
		return git_fail(e, RC_TEMP, "%s", path);
	if (want == NULL || want[0] == '\0') {
		if (head_branch(repo, branch, e) == -1) {
			r = err_wrap(e, "%s", path);
			goto out;
		}
	} else if (strlen(want) > 255) {
		r = err_set(e, RC_PERM, "branch %.60s...: too long", want);
		goto out;
	} else {
		strcpy(branch, want);
	}
	if ((r = git_ref_of(name, branch, e)) == -1)
		goto out;
	r = git_reference_name_to_id(&oid, repo, name);
	if (r == GIT_ENOTFOUND) {
		r = 0;
	} else if (r == GIT_EINVALIDSPEC) {
		r = err_set(e, RC_PERM, "\"%s\" is no branch name", branch);
	} else if (r < 0) {
		r = git_fail(e, RC_TEMP, "%s: branch %s", path, branch);
	} else {
		git_oid_tostr(commit, GIT_ID, &oid);
		r = 1;
	}
out:
	git_repository_free(repo);
	return r;
}

const char *
git_local_dir(const char *path, struct arena *a, struct err *e)
{
	git_repository *repo = NULL;
	const char *dir;

	if (git_repository_open_ext(
		&repo, path, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL) < 0) {
		git_fail(e, RC_TEMP, "%s", path);
		return NULL;
	}
	dir = arena_strdup(a, git_repository_commondir(repo));
	git_repository_free(repo);
	return dir;
}

struct copy {
	git_repository *src;
	git_odb *from, *to;
	size_t objects, bytes; /* left */
	size_t max_objects;
	int depth;
};

static bool
has(struct copy *c, const git_oid *id)
{
	return git_odb_exists_ext(c->to, id, GIT_ODB_LOOKUP_NO_REFRESH);
}

/* 1, 0 when there is too much, -1. */
static int
copy_one(struct copy *c, const git_oid *id, struct err *e)
{
	git_odb_object *o = NULL;
	git_object_t type;
	git_oid got;
	size_t len;
	int rv = -1;

	if (git_odb_read_header(&len, &type, c->from, id) < 0)
		return git_fail(e, RC_TEMP, "object %.8s", git_oid_tostr_s(id));
	if (c->objects == 0 || len > c->bytes)
		return 0;
	c->objects--;
	c->bytes -= len;
	if (git_odb_read(&o, c->from, id) < 0) {
		git_fail(e, RC_TEMP, "object %.8s", git_oid_tostr_s(id));
	} else if (git_odb_write(&got, c->to, git_odb_object_data(o),
		       git_odb_object_size(o), git_odb_object_type(o)) < 0) {
		git_fail(e, RC_TEMP, "object %.8s", git_oid_tostr_s(id));
	} else if (!git_oid_equal(&got, id)) {
		err_set(
		    e, RC_TEMP, "object %.8s: damaged", git_oid_tostr_s(id));
	} else {
		rv = 1;
	}
	git_odb_object_free(o);
	return rv;
}

/*
 * A tree that is there is there with all below it, and so is a commit: that is
 * why a copy goes from the leaves up.  `old` is the same directory in a tree
 * that is there, or NULL: what has not changed costs no look.
 */
static int
copy_tree(struct copy *c, const git_oid *id, git_tree *old, struct err *e)
{
	git_tree *t = NULL;
	size_t i, n;
	int r = 1;

	if (has(c, id))
		return 1;
	if (++c->depth > 64)
		return err_set(e, RC_PERM, "more than 64 directories deep");
	if (git_tree_lookup(&t, c->src, id) < 0)
		return git_fail(e, RC_TEMP, "tree %.8s", git_oid_tostr_s(id));
	n = git_tree_entrycount(t);
	for (i = 0; r == 1 && i < n; i++) {
		const git_tree_entry *te = git_tree_entry_byindex(t, i), *was;
		const git_oid *child = git_tree_entry_id(te);
		git_tree *sub = NULL;

		if (git_tree_entry_type(te) == GIT_OBJECT_COMMIT)
			continue; /* a submodule is somewhere else */
		was = old == NULL
			  ? NULL
			  : git_tree_entry_byname(old, git_tree_entry_name(te));
		if (was != NULL && git_oid_equal(git_tree_entry_id(was), child))
			continue;
		if (git_tree_entry_type(te) == GIT_OBJECT_BLOB) {
			if (!has(c, child))
				r = copy_one(c, child, e);
			continue;
		}
		if (was != NULL && git_tree_entry_type(was) == GIT_OBJECT_TREE)
			(void)git_tree_lookup(
			    &sub, git_tree_owner(old), git_tree_entry_id(was));
		r = copy_tree(c, child, sub, e);
		git_tree_free(sub);
	}
	git_tree_free(t);
	c->depth--;
	return r == 1 ? copy_one(c, id, e) : r;
}

static int
copy_commit(
    struct copy *c, const git_oid *id, git_tree *old, int depth, struct err *e)
{
	git_commit *gc = NULL;
	unsigned int i, n;
	int r = 1;

	if (has(c, id))
		return 1;
	if ((size_t)depth > c->max_objects)
		return 0;
	if (git_commit_lookup(&gc, c->src, id) < 0)
		return git_fail(e, RC_TEMP, "commit %.8s", git_oid_tostr_s(id));
	n = git_commit_parentcount(gc);
	for (i = 0; r == 1 && i < n; i++)
		r = copy_commit(
		    c, git_commit_parent_id(gc, i), old, depth + 1, e);
	if (r == 1)
		r = copy_tree(c, git_commit_tree_id(gc), old, e);
	if (r == 1)
		r = copy_one(c, id, e);
	git_commit_free(gc);
	return r;
}

int
git_mirror_copy(struct git *g, const char *path, const char *branch,
    const char *commit, size_t max_objects, size_t max_bytes, struct err *e)
{
	struct copy c = { .to = g->odb,
		.objects = max_objects,
		.bytes = max_bytes,
		.max_objects = max_objects };
	char was[GIT_ID];
	struct err ignored;
	git_tree *old = NULL;
	git_oid oid;
	int r = -1;

	if (git_oid_of(&oid, commit, e) == -1)
		return -1;
	if (git_repository_open_ext(
		&c.src, path, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL) < 0 ||
	    git_repository_odb(&c.from, c.src) < 0) {
		git_fail(e, RC_TEMP, "%s", path);
		goto out;
	}
	if (git_repository_is_shallow(c.src)) {
		err_set(e, RC_PERM,
		    "%s: is a shallow clone; run git fetch --unshallow there",
		    path);
		goto out;
	}
	if (git_head(g, branch, was, &ignored) != 1 ||
	    git_root(g, was, &old, &ignored) == -1)
		old = NULL;
	git_odb_refresh(c.to);
	r = copy_commit(&c, &oid, old, 0, e);
	if (r == 1 && git_ref_set(g, branch, &oid, e) == -1)
		r = -1;
	if (r == -1)
		err_wrap(e, "%s", path);
out:
	git_odb_free(c.from);
	git_repository_free(c.src);
	return r;
}
