#include "internal.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	TREE_MAX = 4 << 20,	/* a tree larger than that is not cached */
	CACHE_MAX = 6 << 20,	/* all cached objects of a process */
	WINDOW = 1 << 20,	/* bytes of a pack mapped at a time */
	WINDOWS_MAX = 256 << 20 /* address space for packs */
};

static bool want_tls;

/*
 * libgit2 loads the CA bundle and starts libssh2 when it is initialised: 5 ms
 * and most of its memory, in programs that never open a connection.  A symbol
 * of the executable comes before a library's, so these two are asked instead:
 * the bundle is read by who wants the network, and libssh2 by nobody (ssh
 * remotes go through ssh(1), see ssh.c).
 */
int mbedtls_x509_crt_parse_file(void *chain, const char *path);
int
mbedtls_x509_crt_parse_file(void *chain, const char *path)
{
	int (*parse)(void *, const char *);

	if (!want_tls)
		return -1;
	*(void **)&parse = dlsym(RTLD_NEXT, "mbedtls_x509_crt_parse_file");
	return parse == NULL ? -1 : parse(chain, path);
}

int libssh2_init(int flags);
int
libssh2_init(int flags)
{
	(void)flags;
	return 0;
}

int
git_fail(struct err *e, int rc, const char *fmt, ...)
{
	const git_error *ge = git_error_last();
	char what[320];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (ge == NULL || ge->message == NULL)
		return err_set(e, rc, "%s: libgit2 error without words", what);
	return err_set(e, rc, "%s: %s", what, ge->message);
}

int
git_open(bool network, struct err *e)
{
	want_tls = network;
	if (git_libgit2_init() < 0)
		return git_fail(e, RC_TEMP, "libgit2");
	/*
	 * Who writes a mirror and who reads it may be different users, and
	 * nothing that a repository's config can name is run from here.
	 */
	git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
	git_libgit2_opts(
	    GIT_OPT_SET_SEARCH_PATH, GIT_CONFIG_LEVEL_SYSTEM, "/dev/null");
	git_libgit2_opts(
	    GIT_OPT_SET_SEARCH_PATH, GIT_CONFIG_LEVEL_GLOBAL, "/dev/null");
	git_libgit2_opts(
	    GIT_OPT_SET_SEARCH_PATH, GIT_CONFIG_LEVEL_XDG, "/dev/null");
	git_libgit2_opts(
	    GIT_OPT_SET_SEARCH_PATH, GIT_CONFIG_LEVEL_PROGRAMDATA, "/dev/null");
	/* By default trees over 4 KB are parsed anew each time. */
	git_libgit2_opts(
	    GIT_OPT_SET_CACHE_OBJECT_LIMIT, GIT_OBJECT_TREE, (size_t)TREE_MAX);
	git_libgit2_opts(GIT_OPT_SET_CACHE_MAX_SIZE, (ssize_t)CACHE_MAX);
	git_libgit2_opts(GIT_OPT_SET_MWINDOW_SIZE, (size_t)WINDOW);
	git_libgit2_opts(GIT_OPT_SET_MWINDOW_MAPPED_LIMIT, (size_t)WINDOWS_MAX);
	/* One descriptor per pack, and there is a limit on descriptors. */
	git_libgit2_opts(GIT_OPT_SET_MWINDOW_FILE_LIMIT, (size_t)128);
	if (!network)
		malloc_trim(0);
	return 0;
}

void
git_close(void)
{
	git_libgit2_shutdown();
}

int
git_oid_of(git_oid *oid, const char *hash, struct err *e)
{
	if (strlen(hash) != GIT_OID_HEXSZ || git_oid_fromstr(oid, hash) < 0)
		return err_set(e, RC_PERM, "\"%.50s\" is no object id", hash);
	return 0;
}

static int
open_at(struct git *g, struct err *e)
{
	struct stat st;

	if (stat(g->path, &st) == -1) {
		if (errno == ENOENT || errno == ENOTDIR)
			return 0;
		return err_sys(e, "%s", g->path);
	}
	if (git_repository_open_ext(
		&g->repo, g->path, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL) < 0)
		return git_fail(e, RC_TEMP, "%s", g->path);
	if (git_repository_odb(&g->odb, g->repo) < 0)
		return git_fail(e, RC_TEMP, "%s", g->path);
	g->dev = st.st_dev;
	g->ino = st.st_ino;
	return 1;
}

static void
close_at(struct git *g)
{
	git_tree_free(g->root);
	git_odb_free(g->odb);
	git_repository_free(g->repo);
	g->root = NULL;
	g->odb = NULL;
	g->repo = NULL;
	memset(&g->root_of, 0, sizeof(g->root_of));
}

int
git_repo_open(struct git **gp, const char *path, struct err *e)
{
	struct git *g = xcalloc(1, sizeof(*g));
	int r;

	*gp = NULL;
	g->path = xstrdup(path);
	g->lock = -1;
	if ((r = open_at(g, e)) == 1) {
		*gp = g;
		return 0;
	}
	git_repo_free(g);
	return r;
}

void
git_repo_free(struct git *g)
{
	if (g == NULL)
		return;
	close_at(g);
	if (g->lock != -1)
		close(g->lock);
	free(g->path);
	free(g);
}

void
git_repo_refresh(struct git *g)
{
	struct stat st;
	struct err e;

	/* The mirror may have been thrown away and made anew. */
	if (stat(g->path, &st) == 0 &&
	    (st.st_dev != g->dev || st.st_ino != g->ino)) {
		struct git old = *g;

		g->repo = NULL;
		g->odb = NULL;
		g->root = NULL;
		memset(&g->root_of, 0, sizeof(g->root_of));
		if (open_at(g, &e) == 1) {
			close_at(&old);
			return;
		}
		close_at(g);
		*g = old;
		return;
	}
	git_odb_refresh(g->odb);
}

int
git_ref_of(char *dst, const char *branch, struct err *e)
{
	if (snprintf(dst, 1024, "refs/heads/%s", branch) >= 1024)
		return err_set(e, RC_PERM, "branch %.60s...: too long", branch);
	return 0;
}

int
git_head(struct git *g, const char *branch, char commit[GIT_ID], struct err *e)
{
	char name[1024];
	git_oid oid;
	int r;

	if (git_ref_of(name, branch, e) == -1)
		return -1;
	r = git_reference_name_to_id(&oid, g->repo, name);
	if (r == GIT_ENOTFOUND)
		return 0;
	if (r == GIT_EINVALIDSPEC)
		return err_set(e, RC_PERM, "\"%s\" is no branch name", branch);
	if (r < 0)
		return git_fail(e, RC_TEMP, "branch %s", branch);
	git_oid_tostr(commit, GIT_ID, &oid);
	return 1;
}

int
git_commit_read(struct git *g, const char *hash, struct git_commit_info *c,
    struct arena *a, struct err *e)
{
	git_commit *gc = NULL;
	git_oid oid;
	int r;

	if (git_oid_of(&oid, hash, e) == -1)
		return -1;
	r = git_commit_lookup(&gc, g->repo, &oid);
	if (r == GIT_ENOTFOUND)
		return 0;
	if (r < 0)
		return git_fail(e, RC_TEMP, "commit %.8s", hash);
	memset(c, 0, sizeof(*c));
	git_oid_tostr(c->hash, sizeof(c->hash), &oid);
	c->message = arena_strdup(a, git_commit_message(gc));
	if (c->message == NULL)
		c->message = "";
	c->author = arena_strdup(a, git_commit_author(gc)->name);
	if (c->author == NULL)
		c->author = "";
	c->created_at = git_commit_time(gc);
	git_commit_free(gc);
	return 1;
}

int
git_is_ancestor(
    struct git *g, const char *old, const char *newer, struct err *e)
{
	git_oid o, n;
	int r;

	if (git_oid_of(&o, old, e) == -1 || git_oid_of(&n, newer, e) == -1)
		return -1;
	if (git_oid_equal(&o, &n))
		return 1;
	if (!git_odb_exists(g->odb, &o))
		return 0;
	r = git_graph_descendant_of(g->repo, &n, &o);
	if (r == GIT_ENOTFOUND)
		return 0;
	if (r < 0)
		return git_fail(e, RC_TEMP, "commits %.8s..%.8s", old, newer);
	return r;
}
