/* index.c - what is where in a repository, kept from head to head. */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "plan.h"

struct repo *
repo_get(struct plan *p, const char *id)
{
	size_t i;

	for (i = 0; i < p->n_repos; i++) {
		if (strcmp(p->repos[i].conf->id, id) == 0)
			return &p->repos[i];
	}
	return NULL;
}

void
repo_free(struct plan *p, struct repo *r)
{
	size_t i;

	for (i = 0; i < r->n_apps; i++)
		app_free(p, r->apps[i]);
	free(r->apps);
	free(r->mirror);
	git_repo_free(r->git);
}

/* "a/b/app.pipecd.yaml" into "a/b" and "app.pipecd.yaml". */
static const char *
split(const char *path, struct arena *a, const char **file)
{
	const char *slash = strrchr(path, '/');

	*file = slash == NULL ? path : slash + 1;
	if (slash == NULL)
		return ".";
	return arena_strndup(a, path, (size_t)(slash - path));
}

enum {
	PATH_LIMIT = 4096
}; /* bytes of a path; longer ones no file system takes */

struct finding {
	struct plan *p;
	struct repo *r;
	struct arena *arena;
};

/* A configuration at the new head: read it again where it is another blob. */
static int
found(void *arg, const char *path, const char *blob, struct err *e)
{
	struct finding *f = arg;
	const char *dir, *file;
	struct app *a;

	(void)e;
	if (strlen(path) >= PATH_LIMIT ||
	    utf8_check(path, strlen(path)) != strlen(path)) {
		log_warn("-",
		    "app ignored repo=%s: %.80s: not UTF-8, or over %d bytes",
		    f->r->conf->id, path, PATH_LIMIT);
		return 0;
	}
	dir = split(path, f->arena, &file);
	a = app_get(f->p, f->r, dir, file);
	a->seen = true;
	a->told_gone = false;
	if (strcmp(a->blob, blob) != 0 || a->state == APP_GONE) {
		memcpy(a->blob, blob, GIT_ID);
		a->state = APP_NEW;
	}
	return 0;
}

static void
app_gone(struct plan *p, struct app *a)
{
	struct trigger **pt = &a->triggers, *t;

	while ((t = *pt) != NULL) {
		if (t->resume != NULL) { /* it has begun, and gets an end */
			pt = &t->next;
			continue;
		}
		*pt = t->next;
		trigger_free(p, t);
	}
	if (!said_before(p, a->id, "gone"))
		log_info(a->id,
		    "app gone repo=%s path=%s file=%s: what runs stays as it "
		    "is",
		    a->repo->conf->id, a->path, a->file);
	a->blob[0] = a->tree[0] = '\0';
	a->state = APP_GONE;
	a->changed = a->told_gone = true;
}

static int
index_all(struct plan *p, struct repo *r, const char *head, struct err *e)
{
	struct finding f = { p, r, arena_new() };
	size_t i;
	int rv;

	for (i = 0; i < r->n_apps; i++)
		r->apps[i]->seen = false;
	rv = git_walk(r->git, head, ".", conf_is_app_file, found, &f, e);
	for (i = 0; rv != -1 && i < r->n_apps; i++) {
		if (!r->apps[i]->seen && r->apps[i]->state != APP_GONE)
			app_gone(p, r->apps[i]);
	}
	arena_free(f.arena);
	return rv;
}

/* Only what a diff names can have become or ceased to be a configuration. */
static int
index_changed(struct plan *p, struct repo *r, struct pass *s, struct err *e)
{
	struct finding f = { p, r, s->arena };
	const char *const *paths, *base, *dir, *file;
	char blob[GIT_ID], id[UUID_LEN];
	struct app *a;
	size_t i, n;
	int rv;

	if ((rv = pass_changed(s, r->head, s->head, &paths, &n, e)) != 1)
		return rv;
	for (i = 0; i < n; i++) {
		base = strrchr(paths[i], '/');
		if (!conf_is_app_file(base == NULL ? paths[i] : base + 1))
			continue;
		rv = git_path_id(r->git, s->head, paths[i], blob, e);
		if (rv == -1)
			return -1;
		if (rv == 1) {
			found(&f, paths[i], blob, e);
			continue;
		}
		dir = split(paths[i], s->arena, &file);
		uuid5(id,
		    (const char *const[]){
			"application", r->conf->id, dir, file },
		    4);
		if ((a = map_get(p->apps, id)) != NULL)
			app_gone(p, a);
	}
	return 1;
}

/*
 * Bring the index to the new head: configurations, and each application's
 * tree.
 */
static int
index_head(struct plan *p, struct repo *r, struct pass *s, struct err *e)
{
	struct app *a;
	char tree[GIT_ID];
	size_t i;
	int rv = 0;

	if (r->head[0] != '\0' && (rv = index_changed(p, r, s, e)) == -1)
		return -1;
	if (rv == 0 && index_all(p, r, s->head, e) == -1)
		return -1;
	for (i = 0; i < r->n_apps; i++) {
		a = r->apps[i];
		if (a->state == APP_GONE)
			continue;
		if (git_path_id(r->git, s->head, a->path, tree, e) == -1)
			return -1;
		if (strcmp(tree, a->tree) != 0) {
			memcpy(a->tree, tree, GIT_ID);
			a->changed = true;
		}
		if (a->running_tree[0] == '\0' && a->past.running[0] != '\0' &&
		    git_path_id(r->git, a->past.running, a->path,
			a->running_tree, e) != 1)
			a->running_tree[0] = '\0';
	}
	memcpy(r->head, s->head, GIT_ID);
	return 0;
}

/* --- one look ------------------------------------------------------------- */

bool
is_commit(const char *s)
{
	return strlen(s) == GIT_ID - 1 &&
	       strspn(s, "0123456789abcdef") == GIT_ID - 1;
}

/*
 * Everything about one application that a look at its repository may bring.
 * What fails here holds up no other application.
 */
static int
app_turn(struct plan *p, struct pass *s, struct app *a)
{
	struct err e;

	if (a->state == APP_GONE && !a->told_gone)
		app_gone(p, a);
	app_adopt(p, a);
	if ((a->state == APP_NEW && app_load(p, a, &e) == -1) ||
	    trigger_commit(p, s, a, &e) == -1 ||
	    (a->triggers != NULL && deploy_next(p, s, a, &e) == -1) ||
	    (a->changed && app_say(p, a, &e) == -1)) {
		log_warn(a->id, "app repo=%s path=%s commit=%.8s: %s",
		    a->repo->conf->id, a->path, s->head, e.text);
		return -1;
	}
	return 0;
}

static int
repo_open(struct plan *p, struct repo *r, struct err *e)
{
	if (r->git != NULL)
		return 1;
	if (git_repo_open(&r->git, r->mirror, e) == -1)
		return -1;
	if (r->git != NULL)
		return 1;
	err_set(e, RC_TEMP, "mirror %s is not there yet", r->mirror);
	if (p->filter)
		return -1;
	if (!r->warned)
		log_warn("-", "repo %s: %s", r->conf->id, e->text);
	r->warned = true;
	return 0;
}

/* Say a part of the applications again, for whom a frame was lost to. */
static void
repo_refresh(struct plan *p, struct repo *r, struct pass *s)
{
	size_t n = r->n_apps / 5;

	if (n < 50)
		n = 50;
	if (n > r->n_apps)
		n = r->n_apps;
	while (n-- > 0) {
		if (r->refresh >= r->n_apps)
			r->refresh = 0;
		r->apps[r->refresh]->changed = true;
		trigger_held(p, r->apps[r->refresh]);
		(void)app_turn(p, s, r->apps[r->refresh++]);
	}
}

/* Its directory is another one than at its last trigger: it is in a hurry. */
static bool
app_moved(const struct repo *r, const struct app *a)
{
	char was[GIT_ID];
	struct err e;

	return a->state != APP_GONE && a->last[0] != '\0' &&
	       git_path_id(r->git, a->last, a->path, was, &e) == 1 &&
	       strcmp(was, a->tree) != 0;
}

static void
repo_turn(struct plan *p, struct repo *r, struct pass *s, bool moved)
{
	size_t i;

	for (i = 0; moved && i < r->n_apps; i++) {
		if (app_moved(r, r->apps[i]))
			(void)app_turn(p, s, r->apps[i]);
	}
	for (i = 0; i < r->n_apps; i++)
		(void)app_turn(p, s, r->apps[i]);
}

int
repo_head(struct plan *p, const Frame__Head *h, struct err *e)
{
	struct repo *r = repo_get(p, h->repo);
	struct git_commit_info c;
	struct pass s;
	bool first, moved;
	int rv;

	if (!is_commit(h->commit))
		return err_set(e, RC_PERM,
		    "head: field commit: \"%.60s\" is not a commit id",
		    h->commit);
	if (r == NULL || strcmp(r->conf->branch, h->branch) != 0) {
		log_debug("-", "head repo=%s branch=%s is not configured",
		    h->repo, h->branch);
		return 0;
	}
	if ((rv = repo_open(p, r, e)) != 1 ||
	    (p->filter && (rv = past_load(p, e)) == -1))
		return rv;
	first = r->head[0] == '\0';
	moved = strcmp(r->head, h->commit) != 0;
	pass_open(&s, r, h->commit);
	if (moved)
		git_repo_refresh(r->git);
	rv = git_commit_read(r->git, h->commit, &c, s.arena, e);
	if (rv == 0)
		rv = err_set(
		    e, RC_TEMP, "it is not in the mirror %s", r->mirror);
	if (rv != -1 && moved)
		rv = index_head(p, r, &s, e);
	if (rv != -1)
		repo_turn(p, r, &s, moved);
	if (rv != -1 && !moved && !first && !p->filter)
		repo_refresh(p, r, &s);
	pass_close(&s);
	/* A daemon keeps what it knows, not what finding it took. */
	if (moved && !p->filter)
		(void)malloc_trim(0);
	if (rv == -1)
		return err_wrap(
		    e, "repo %s commit %.8s", r->conf->id, h->commit);
	return 0;
}

static int64_t
app_due(const struct app *a)
{
	const struct trigger *t = a->triggers;

	if (t == NULL || t->again_ms == 0)
		return INT64_MAX;
	return t->again_ms;
}

int64_t
plan_due(struct plan *p)
{
	int64_t next = INT64_MAX, now = now_ms();
	struct repo *r;
	struct pass s;
	struct err e;
	size_t i, j;

	for (i = 0; i < p->n_repos; i++) {
		r = &p->repos[i];
		if (r->head[0] == '\0')
			continue;
		pass_open(&s, r, r->head);
		for (j = 0; j < r->n_apps; j++) {
			if (app_due(r->apps[j]) <= now &&
			    deploy_next(p, &s, r->apps[j], &e) == -1)
				log_warn(
				    r->apps[j]->id, "deployment: %s", e.text);
			if (app_due(r->apps[j]) < next)
				next = app_due(r->apps[j]);
		}
		pass_close(&s);
	}
	return next;
}
