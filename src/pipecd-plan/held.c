/* held.c - an application that loses too much of itself is not deployed. */
#include <string.h>

#include "json.h"
#include "plan.h"

/* What one platform deploys of an application's directory. */
struct selects {
	const char **patterns; /* below the directory; NULL: all of it */
	size_t n;
};

/* The deployed files of an application at one commit, no configurations. */
struct files {
	struct map *at; /* path -> itself */
	size_t n;
	size_t skip;	  /* bytes of the directory's name before a path */
	const char *file; /* the configuration's name */
	const struct selects *by;
	size_t n_by;
};

static bool
deployed(const struct files *f, const char *path)
{
	const char *below = path + f->skip, *base = strrchr(path, '/');
	size_t i;

	for (i = 0; i < f->n_by; i++) {
		if (f->by[i].patterns == NULL
			? !conf_is_app_file(base == NULL ? path : base + 1)
			: strcmp(below, f->file) != 0 &&
			      git_match(f->by[i].patterns, f->by[i].n, below))
			return true;
	}
	return false;
}

static int
count(void *arg, const char *path, const char *blob, struct err *e)
{
	struct files *f = arg;

	(void)blob;
	(void)e;
	if (!deployed(f, path))
		return 0;
	f->n++;
	if (f->at != NULL)
		map_put(f->at, path, f);
	return 0;
}

/* The strings under `key` of a config in JSON; none there: all files. */
static void
selects_read(
    struct selects *s, const char *text, const char *key, struct arena *ar)
{
	struct json j;
	const char *k;
	size_t cap = 0, len = text == NULL ? 0 : strlen(text);
	struct err e;

	*s = (struct selects){ 0 };
	if (text == NULL || key == NULL)
		return;
	/* No more strings than that fit in: each is quoted, and has a comma. */
	cap = len / 3 + 1;
	json_open(&j, text, len, ar);
	for (json_object(&j); json_key(&j, &k);) {
		if (strcmp(k, key) != 0 || json_peek(&j) != JSON_ARRAY) {
			json_skip(&j);
			continue;
		}
		s->patterns = arena_array(ar, const char *, cap);
		s->n = 0;
		for (json_array(&j); json_item(&j);)
			if (s->n < cap && json_string(&j, &s->patterns[s->n]))
				s->n++;
	}
	/* What is wrong with it is the platform's to say. */
	if (json_close(&j, &e) == -1 || s->n == 0)
		s->patterns = NULL;
}

/*
 * What counts at a commit, by its own configuration: 0; -1 while a platform is
 * being asked.  One that cannot be asked is taken to deploy all files.
 */
static int
files_open(struct files *f, struct work *w, const struct conf_app *c,
    const char *file, struct err *e)
{
	const Frame__Platform *says;
	const Frame__PluginPlan *pp;
	struct selects *by;
	size_t i;

	*f = (struct files){ .file = file };
	if (strcmp(w->app->path, ".") != 0)
		f->skip = strlen(w->app->path) + 1;
	f->by = by = arena_calloc(w->arena, w->n_plugins + 1, sizeof(*by));
	f->n_by = w->n_plugins > 0 ? w->n_plugins : 1;
	for (i = 0; i < w->n_plugins; i++) {
		if ((says = platform_ask(w, w->plugins[i], e)) == NULL &&
		    w->asking)
			return -1;
		if (says == NULL || says->files_key == NULL || c == NULL)
			continue;
		pp = app_plugin_plan(c, NULL, w->plugins[i]->conf, w->arena);
		if (pp->config != NULL)
			selects_read(&by[i], pp->config->text, says->files_key,
			    w->arena);
	}
	return 0;
}

static int
files_count(struct files *f, struct work *w, const char *commit, struct err *e)
{
	f->n = 0;
	return git_walk(
	    w->app->repo->git, commit, w->app->path, NULL, count, f, e);
}

/*
 * Name what is lost.  Only when it is held: the common case counts and keeps
 * nothing.
 */
static int
list_lost(struct work *w, struct files *now, struct files *was, Frame__Held *f,
    struct err *e)
{
	const char *path;
	size_t i;
	void *v;
	int rv = -1;

	now->at = map_new();
	was->at = map_new();
	if (files_count(now, w, w->t->commit, e) == -1 ||
	    files_count(was, w, w->app->past.running, e) == -1)
		goto out;
	f->objects = arena_array(w->arena, char *, HELD_LIST);
	for (i = 0; map_next(was->at, &i, &path, &v);) {
		if (map_get(now->at, path) != NULL)
			continue;
		if (f->n_objects == HELD_LIST)
			break;
		f->objects[f->n_objects++] = arena_strdup(w->arena, path);
	}
	rv = 0;
out:
	map_free(now->at);
	map_free(was->at);
	return rv;
}

static int
held_say(struct work *w, struct files *now, struct files *was, struct err *e)
{
	Frame__Held f = FRAME__HELD__INIT;
	struct app *a = w->app;
	struct arena *ar = w->arena;

	if (list_lost(w, now, was, &f, e) == -1)
		return -1;
	f.application_id = a->id;
	f.application_name = a->name;
	f.deployment_id = w->t->deployment_id;
	f.reason = arena_printf(ar,
	    "commit %.7s leaves %zu of %zu files of %s (running: %.7s); "
	    "spec.pruneLimit of the Piped config is %lld%% and at least %lld",
	    w->t->commit, now->n, was->n, a->path, a->past.running,
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
	struct files now, was;
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
	w->n_plugins = app_plugins(w->p, w->conf, &w->plugins, w->arena);
	if (files_open(&now, w, w->conf, a->file, e) == -1 ||
	    files_open(&was, w, w->running,
		a->past.running_file != NULL ? a->past.running_file : a->file,
		e) == -1 ||
	    files_count(&now, w, w->t->commit, e) == -1 ||
	    files_count(&was, w, a->past.running, e) == -1)
		return -1;
	if (now.n >= was.n)
		return 0;
	lost = was.n - now.n;
	if (now.n > 0 &&
	    (lost < (size_t)c->prune_limit_min ||
		lost * 100 <= was.n * (size_t)c->prune_limit_percent))
		return 0;
	return held_say(w, &now, &was, e);
}
