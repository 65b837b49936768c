/* held.c - an application that loses too much of itself is not deployed. */
#include <string.h>

#include "plan.h"

/* The files of an application at one commit, its configurations left out. */
struct files {
	struct map *at; /* path -> itself */
	struct arena *arena;
	size_t n;
};

static int
count(void *arg, const char *path, const char *blob, struct err *e)
{
	struct files *f = arg;
	const char *base = strrchr(path, '/');

	(void)blob;
	(void)e;
	if (conf_is_app_file(base == NULL ? path : base + 1))
		return 0;
	f->n++;
	if (f->at != NULL)
		map_put(f->at, path, f);
	return 0;
}

/*
 * Name what is lost.  Only when it is held: the common case counts and keeps
 * nothing.
 */
static int
list_lost(struct work *w, Frame__Held *f, struct err *e)
{
	struct files now = { map_new(), NULL, 0 }, was = { map_new(), NULL, 0 };
	struct git *g = w->app->repo->git;
	const char *path;
	size_t i;
	void *v;
	int rv = -1;

	if (git_walk(g, w->t->commit, w->app->path, NULL, count, &now, e) ==
		-1 ||
	    git_walk(g, w->app->past.running, w->app->path, NULL, count, &was,
		e) == -1)
		goto out;
	f->objects = arena_array(w->arena, char *, HELD_LIST);
	for (i = 0; map_next(was.at, &i, &path, &v);) {
		if (map_get(now.at, path) != NULL)
			continue;
		if (f->n_objects == HELD_LIST)
			break;
		f->objects[f->n_objects++] = arena_strdup(w->arena, path);
	}
	rv = 0;
out:
	map_free(now.at);
	map_free(was.at);
	return rv;
}

static int
held_say(struct work *w, size_t now, size_t was, struct err *e)
{
	Frame__Held f = FRAME__HELD__INIT;
	struct app *a = w->app;
	struct arena *ar = w->arena;

	if (list_lost(w, &f, e) == -1)
		return -1;
	f.application_id = a->id;
	f.application_name = a->name;
	f.deployment_id = w->t->deployment_id;
	f.reason = arena_printf(ar,
	    "commit %.7s leaves %zu of %zu files of %s (running: %.7s); "
	    "spec.pruneLimit of the Piped config is %lld%% and at least %lld",
	    w->t->commit, now, was, a->path, a->past.running,
	    (long long)w->p->conf.prune_limit_percent,
	    (long long)w->p->conf.prune_limit_min);
	f.confirm = arena_printf(ar,
	    "if this is meant, set spec.confirm: true in %s, or sync the "
	    "application by hand: pipecd-report -c sync %s",
	    w->config_path, a->id);
	if (strcmp(a->held, w->t->commit) != 0)
		log_warn(a->id, "app held repo=%s path=%s: %s",
		    a->repo->conf->id, a->path, f.reason);
	memcpy(a->held, w->t->commit, GIT_ID);
	return plan_tell(w->p, FRAME_OF(held, &f), e) == -1 ? -1 : 1;
}

int
held_check(struct work *w, struct err *e)
{
	struct files now = { 0 }, was = { 0 };
	struct app *a = w->app;
	const struct conf_piped *c = &w->p->conf;
	char tree[GIT_ID];
	size_t lost;

	/* A command is a confirmation; a lost base is nothing to compare. */
	if (w->t->kind == MODEL__TRIGGER_KIND__ON_COMMAND ||
	    w->conf->prune_confirmed || a->past.running[0] == '\0' ||
	    w->running_lost)
		return 0;
	if (git_path_id(a->repo->git, w->t->commit, a->path, tree, e) == -1)
		return -1;
	if (strcmp(tree, a->running_tree) == 0)
		return 0;
	if (git_walk(a->repo->git, w->t->commit, a->path, NULL, count, &now,
		e) == -1 ||
	    git_walk(a->repo->git, a->past.running, a->path, NULL, count, &was,
		e) == -1)
		return -1;
	if (now.n >= was.n)
		return 0;
	lost = was.n - now.n;
	if (now.n > 0 &&
	    (lost < (size_t)c->prune_limit_min ||
		lost * 100 <= was.n * (size_t)c->prune_limit_percent))
		return 0;
	return held_say(w, now.n, was.n, e);
}
