#include "checkout.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "seal.h"

/* The mirror, kept open, and the commit in it. */
static int
repo_of(struct checkout *c, const char *id, const char *commit, struct git **gp,
    struct arena *a, struct err *e)
{
	struct git_commit_info info;
	char path[PATH_MAX];
	struct git *g;
	int r;

	if (!conf_repo_id_safe(id))
		return err_set(e, RC_PERM, "repo \"%.100s\": no such name", id);
	if ((g = map_get(c->repos, id)) == NULL) {
		snprintf(path, sizeof(path), "%s/mirror/%s.git",
		    c->conf.state_dir, id);
		if (git_repo_open(&g, path, e) == -1)
			return -1;
		if (g == NULL)
			return err_set(
			    e, RC_TEMP, "repo %s: is not mirrored yet", id);
		map_put(c->repos, id, g);
	}
	if ((r = git_commit_read(g, commit, &info, a, e)) == 0) {
		git_repo_refresh(g);
		r = git_commit_read(g, commit, &info, a, e);
	}
	if (r == 0)
		return err_set(e, RC_TEMP,
		    "repo %s commit %.8s: is not in the mirror (history "
		    "rewritten, or not fetched yet)",
		    id, commit);
	if (r == -1)
		return err_wrap(e, "repo %s", id);
	*gp = g;
	return 0;
}

static void
tree_free(struct tree *t)
{
	size_t i;

	for (i = 0; i < t->n_readers; i++)
		free(t->readers[i]);
	free(t->readers);
	free(t->key);
	free(t->root);
	free(t);
}

static void
tree_drop(struct checkout *c, struct tree *t)
{
	struct err e;

	map_del(c->trees, t->key);
	if (tree_remove(t->root, &e) == -1)
		log_warn("-", "left behind error=\"%s\"", e.text);
	tree_free(t);
}

/* Keep a few whole trees that nobody uses now: the next ask may. */
static void
trees_trim(struct checkout *c)
{
	struct tree *oldest;
	const char *key;
	size_t i, idle;
	void *v;

	do {
		oldest = NULL;
		idle = 0;
		for (i = 0; map_next(c->trees, &i, &key, &v);) {
			struct tree *t = v;

			if (t->refs > 0)
				continue;
			idle++;
			if (oldest == NULL || t->used_ms < oldest->used_ms)
				oldest = t;
		}
		if (idle > TREES_IDLE)
			tree_drop(c, oldest);
	} while (idle > TREES_IDLE + 1);
}

/* Whoever works in a tree, for any application of it. */
static int
tree_share(struct tree *t, const struct ask *q, struct err *e)
{
	size_t i, k, had = t->n_readers;

	for (i = 0; i < q->n_readers; i++) {
		for (k = 0; k < t->n_readers; k++)
			if (strcmp(t->readers[k], q->readers[i]) == 0)
				break;
		if (k < t->n_readers)
			continue;
		t->readers = xrealloc(
		    t->readers, (t->n_readers + 1) * sizeof(*t->readers));
		t->readers[t->n_readers++] = xstrdup(q->readers[i]);
	}
	if (had == t->n_readers)
		return 0;
	return share_with(t->root, (const char *const *)t->readers,
	    t->n_readers, 5, false, e);
}

/* The whole repository at a commit, shared by all who ask for it. */
static int
tree_get(struct checkout *c, struct git *g, const struct ask *q,
    struct tree **tp, struct arena *a, struct err *e)
{
	const char *key = arena_printf(a, "%s %s", q->repo, q->commit), *base;
	struct tree *t = map_get(c->trees, key);
	struct layout l = {
		.g = g, .commit = q->commit, .only = q->path, .whole = true
	};
	const char *root;
	struct err e2;

	if (t == NULL) {
		if ((base = place_dir(c, &c->disk, false, e)) == NULL)
			return -1;
		root = arena_printf(a, "%s/t%u", base, c->next++);
		if (layout(&l, root, e) == -1) {
			(void)tree_remove(root, &e2);
			return -1;
		}
		t = xcalloc(1, sizeof(*t));
		t->key = xstrdup(key);
		t->root = xstrdup(root);
		map_put(c->trees, key, t);
	}
	if (tree_share(t, q, e) == -1)
		return -1;
	t->refs++;
	t->used_ms = now_ms();
	*tp = t;
	return 0;
}

static void
given_put(struct checkout *c, const char *dir, const char *root, struct tree *t)
{
	struct given *v = map_get(c->given, dir);

	if (v == NULL) {
		v = xcalloc(1, sizeof(*v));
		v->root = xstrdup(root);
		v->tree = t;
		map_put(c->given, dir, v);
	}
	v->refs++;
}

/* The application's config, when there may be something to open in it. */
static int
config_of(struct git *g, const struct ask *q, struct conf_app *app, bool *opens,
    struct arena *a, struct err *e)
{
	const char *path =
	    strcmp(q->path, ".") == 0
		? q->config_filename
		: arena_printf(a, "%s/%s", q->path, q->config_filename);
	struct buf text = BUF_INIT, words = BUF_INIT;
	struct conf_report r = { .text = &words };
	int rv = -1, n;

	*opens = false;
	n = git_file_read(g, q->commit, path, 1 << 20, &text, e);
	if (n == 0)
		err_set(e, RC_PERM, "%s: no such file at commit %.8s", path,
		    q->commit);
	if (n != 1)
		goto out;
	rv = 0;
	if (memmem(text.p, text.len, "ncryption", 9) == NULL &&
	    memmem(text.p, text.len, "ttachment", 9) == NULL)
		goto out;
	if ((rv = conf_app_read(app, path, text.p, text.len, a, &r, e)) == 0)
		*opens = app->encryption.n_targets > 0 ||
			 app->attachment.n_targets > 0;
out:
	buf_free(&text);
	buf_free(&words);
	return rv;
}

static int
clean(struct ask *to, const struct ask *q, struct arena *a, struct err *e)
{
	char path[PATH_MAX], file[PATH_MAX];

	*to = *q;
	if (strlen(q->path) >= PATH_MAX || q->path[0] == '/' ||
	    !path_clean(path, q->path[0] == '\0' ? "." : q->path))
		return err_set(e, RC_PERM,
		    "path \"%.200s\": leaves the repository", q->path);
	if (strlen(q->config_filename) >= PATH_MAX ||
	    q->config_filename[0] == '/' ||
	    !path_clean(file, q->config_filename))
		return err_set(e, RC_PERM,
		    "config file \"%.200s\": leaves the application",
		    q->config_filename);
	to->path = arena_strdup(a, path);
	to->config_filename = arena_strdup(a, file);
	return 0;
}

/* A directory that was given, and beside it what it says not to say. */
static int
root_remove(const char *root, struct err *e)
{
	char secrets[PATH_MAX];

	if (snprintf(secrets, sizeof(secrets), "%s.secrets", root) <
	    (int)sizeof(secrets))
		(void)unlink(secrets);
	return tree_remove(root, e);
}

/* Let in who works there; what it says not to say is for them too. */
static int
root_share(
    const char *root, const struct ask *q, struct arena *a, struct err *e)
{
	const char *const *who = (const char *const *)q->readers;
	const char *secrets = arena_printf(a, "%s.secrets", root);

	if (q->into != NULL)
		return 0;
	if (access(secrets, F_OK) == 0 &&
	    share_with(secrets, who, q->n_readers, 4, false, e) == -1)
		return -1;
	return share_with(root, who, q->n_readers, 5, false, e);
}

/* A directory of its own: the application, or all of the repository. */
static int private(struct checkout *c, struct layout *l, const struct ask *q,
    const struct conf_app *app, bool opens, const char **root, struct arena *a,
    struct err *e)
{
	const char *base;
	struct err e2;

	*root = q->into;
	if (*root == NULL) {
		if ((base = place_dir(c, &c->fast, true, e)) == NULL)
			return -1;
		*root = arena_printf(a, "%s/a%u", base, c->next++);
	}
	if (layout(l, *root, e) == 0 &&
	    (!opens || (l->outside && !l->whole) ||
		secrets_apply(c, *root, q, app, a, e) == 0) &&
	    root_share(*root, q, a, e) == 0)
		return 0;
	(void)root_remove(*root, &e2);
	return -1;
}

static int
lay_out(struct checkout *c, struct git *g, const struct ask *q,
    const char **root, struct tree **t, bool *alone, struct arena *a,
    struct err *e)
{
	struct layout l = { .g = g, .commit = q->commit, .only = q->path };
	struct conf_app app;
	bool opens = false;

	*t = NULL;
	if (q->secrets && config_of(g, q, &app, &opens, a, e) == -1)
		return -1;
	if (private(c, &l, q, &app, opens, root, a, e) == -1)
		return -1;
	*alone = !l.outside || strcmp(q->path, ".") == 0;
	if (*alone)
		return 0;
	/* It looks out of its directory: what it sees has to be there. */
	if (root_remove(*root, e) == -1)
		return -1;
	if (opens || q->into != NULL) {
		l = (struct layout){ .g = g,
			.commit = q->commit,
			.only = q->path,
			.whole = true };
		return private(c, &l, q, &app, opens, root, a, e);
	}
	if (tree_get(c, g, q, t, a, e) == -1)
		return -1;
	*root = (*t)->root;
	return 0;
}

int
checkout_do(struct checkout *c, const struct ask *raw, const char **root,
    const char **dir, bool *alone, struct arena *a, struct err *e)
{
	struct tree *t = NULL;
	struct git *g = NULL;
	struct ask q = { 0 };

	if (clean(&q, raw, a, e) == -1 ||
	    repo_of(c, q.repo, q.commit, &g, a, e) == -1)
		return -1;
	if (lay_out(c, g, &q, root, &t, alone, a, e) == -1)
		return err_wrap(e, "repo %s commit %.8s", q.repo, q.commit);
	*dir = strcmp(q.path, ".") == 0
		   ? *root
		   : arena_printf(a, "%s/%s", *root, q.path);
	if (q.into == NULL)
		given_put(c, *dir, *root, t);
	return 0;
}

void
checkout_done(struct checkout *c, const char *dir)
{
	struct given *v = map_get(c->given, dir);
	struct err e;

	if (v == NULL) {
		log_debug("-", "done with what was not given dir=%.200s", dir);
		return;
	}
	if (v->tree != NULL) {
		v->tree->refs--;
		v->tree->used_ms = now_ms();
	}
	if (--v->refs > 0)
		return;
	map_del(c->given, dir);
	if (v->tree != NULL)
		trees_trim(c);
	else if (root_remove(v->root, &e) == -1)
		log_warn("-", "left behind error=\"%s\"", e.text);
	free(v->root);
	free(v);
}

void
checkout_close(struct checkout *c)
{
	const char *key;
	size_t i;
	void *v;

	place_close(&c->fast);
	place_close(&c->disk);
	for (i = 0; map_next(c->given, &i, &key, &v);) {
		free(((struct given *)v)->root);
		free(v);
	}
	for (i = 0; map_next(c->trees, &i, &key, &v);)
		tree_free(v);
	for (i = 0; map_next(c->repos, &i, &key, &v);)
		git_repo_free(v);
	map_free(c->given);
	map_free(c->trees);
	map_free(c->repos);
	seal_key_free(c->key);
}
