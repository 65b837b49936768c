/* apps.c - one application: its configuration, its frames. */
#include <stdlib.h>
#include <string.h>

#include "plan.h"

struct app *
app_get(struct plan *p, struct repo *r, const char *path, const char *file)
{
	char id[UUID_LEN];
	struct app *a;

	uuid5(id,
	    (const char *const[]){ "application", r->conf->id, path, file }, 4);
	if ((a = map_get(p->apps, id)) != NULL)
		return a;
	a = xcalloc(1, sizeof(*a));
	memcpy(a->id, id, UUID_LEN);
	a->repo = r;
	a->path = xstrdup(path);
	a->file = xstrdup(file);
	a->state = APP_GONE;
	map_put(p->apps, id, a);
	if (r->n_apps == r->cap_apps) {
		r->cap_apps = r->cap_apps == 0 ? 16 : r->cap_apps * 2;
		r->apps = xrealloc(r->apps, r->cap_apps * sizeof(*r->apps));
	}
	r->apps[r->n_apps++] = a;
	return a;
}

void
app_free(struct plan *p, struct app *a)
{
	struct trigger *t;

	while ((t = a->triggers) != NULL) {
		a->triggers = t->next;
		trigger_free(p, t);
	}
	free(a->path);
	free(a->file);
	free(a->name);
	free(a->patterns);
	free(a->past.running_file);
	free(a);
}

char *
app_config_path(const struct app *a, struct arena *ar)
{
	if (strcmp(a->path, ".") == 0)
		return arena_strdup(ar, a->file);
	return arena_printf(ar, "%s/%s", a->path, a->file);
}

Model__ApplicationGitPath *
app_git_path(const struct app *a, struct arena *ar)
{
	Model__ApplicationGitPath *g =
	    arena_new_of(ar, Model__ApplicationGitPath);

	model__application_git_path__init(g);
	g->repo = arena_new_of(ar, Model__ApplicationGitRepository);
	model__application_git_repository__init(g->repo);
	g->repo->id = arena_strdup(ar, a->repo->conf->id);
	g->repo->remote = arena_strdup(ar, a->repo->conf->remote);
	g->repo->branch = arena_strdup(ar, a->repo->conf->branch);
	g->path = a->path;
	g->config_filename = a->file;
	return g;
}

int
app_kind(const char *kind)
{
	static const struct {
		const char *kind;
		int value;
	} kinds[] = {
		{ "KubernetesApp", MODEL__APPLICATION_KIND__KUBERNETES },
		{ "TerraformApp", MODEL__APPLICATION_KIND__TERRAFORM },
		{ "LambdaApp", MODEL__APPLICATION_KIND__LAMBDA },
		{ "CloudRunApp", MODEL__APPLICATION_KIND__CLOUDRUN },
		{ "ECSApp", MODEL__APPLICATION_KIND__ECS },
	};
	size_t i;

	for (i = 0; kind != NULL && i < NITEMS(kinds); i++) {
		if (strcmp(kinds[i].kind, kind) == 0)
			return kinds[i].value;
	}
	return MODEL__APPLICATION_KIND__KUBERNETES;
}

static const char *
target_list(const struct conf_plugin *k, struct arena *ar)
{
	struct buf b = BUF_INIT;
	char *s;
	size_t i;

	for (i = 0; i < k->n_targets && b.len < 200; i++)
		buf_printf(&b, "%s%s", i > 0 ? ", " : "", k->targets[i].name);
	if (i < k->n_targets)
		buf_printf(&b, " and %zu more", k->n_targets - i);
	s = arena_strdup(ar, b.p);
	buf_free(&b);
	return s;
}

static bool
target_known(const struct conf_plugin *k, const char *name)
{
	size_t i;

	for (i = 0; i < k->n_targets; i++) {
		if (strcmp(k->targets[i].name, name) == 0)
			return true;
	}
	return false;
}

int
app_targets(const struct conf_app *c, const struct conf_plugin *k,
    const char ***names, struct arena *ar, struct err *e)
{
	const char **list =
	    arena_array(ar, const char *, c->n_deploy_targets + 1);
	size_t i;
	int n = 0;

	*names = list;
	for (i = 0; i < c->n_deploy_targets; i++) {
		if (target_known(k, c->deploy_targets[i]))
			list[n++] = c->deploy_targets[i];
	}
	if (n > 0 || k->n_targets == 0)
		return n;
	if (c->n_deploy_targets == 0 && k->n_targets == 1) {
		list[0] = k->targets[0].name;
		return 1;
	}
	if (c->n_deploy_targets == 0)
		return err_set(e, RC_PERM,
		    "deployTargets: missing, and plugin %s has more than one: "
		    "%s",
		    k->name, target_list(k, ar));
	return err_set(e, RC_PERM,
	    "deployTargets: %s: no such deploy target of plugin %s, which has "
	    "%s",
	    c->deploy_targets[0], k->name, target_list(k, ar));
}

/* A target that none of the application's platforms has; NULL: all known. */
static const char *
target_unknown(const struct conf_app *c, struct platform *const *list, size_t n)
{
	size_t i, j;

	for (i = 0; i < c->n_deploy_targets; i++) {
		for (j = 0; j < n; j++) {
			if (target_known(list[j]->conf, c->deploy_targets[i]))
				break;
		}
		if (j == n)
			return c->deploy_targets[i];
	}
	return NULL;
}

size_t
app_plugins(struct plan *p, const struct conf_app *c, struct platform ***list,
    struct arena *ar)
{
	struct platform *k;
	size_t i, n = 0;

	*list = arena_array(ar, struct platform *, c->n_plugins + 1);
	for (i = 0; i < c->n_plugins; i++) {
		if ((k = platform_get(p, c->plugins[i].name)) != NULL)
			(*list)[n++] = k;
	}
	return n;
}

static Frame__Json *
json_of(const char *text, struct arena *ar)
{
	Frame__Json *j;

	if (text == NULL)
		return NULL;
	j = arena_new_of(ar, Frame__Json);
	frame__json__init(j);
	j->text = arena_strdup(ar, text);
	return j;
}

static const char *
plugin_config(const struct conf_app *c, const char *plugin)
{
	size_t i;

	for (i = 0; c != NULL && i < c->n_plugins; i++) {
		if (strcmp(c->plugins[i].name, plugin) == 0)
			return c->plugins[i].config;
	}
	return NULL;
}

Frame__PluginPlan *
app_plugin_plan(const struct conf_app *c, const struct conf_app *running,
    const struct conf_plugin *k, struct arena *ar)
{
	Frame__PluginPlan *pp = arena_new_of(ar, Frame__PluginPlan);
	const char **names;
	struct err e;
	int i, n;

	frame__plugin_plan__init(pp);
	pp->plugin = arena_strdup(ar, k->name);
	pp->config = json_of(plugin_config(c, k->name), ar);
	pp->running_config = json_of(plugin_config(running, k->name), ar);
	if ((n = app_targets(c, k, &names, ar, &e)) <= 0)
		return pp;
	pp->targets = arena_array(ar, char *, (size_t)n);
	pp->n_targets = (size_t)n;
	for (i = 0; i < n; i++)
		pp->targets[i] = arena_strdup(ar, names[i]);
	return pp;
}

/* --- the configuration at the head ---------------------------------------- */

static bool
selected(const struct conf_piped *piped, const struct conf_app *c)
{
	size_t i, j;

	for (i = 0; i < piped->n_app_selector; i++) {
		for (j = 0; j < c->n_labels; j++) {
			if (strcmp(piped->app_selector[i].key,
				c->labels[j].key) == 0 &&
			    strcmp(piped->app_selector[i].value,
				c->labels[j].value) == 0)
				break;
		}
		if (j == c->n_labels)
			return false;
	}
	return true;
}

/* Paths and ignores in one block: pointers first, strings behind. */
static void
patterns_keep(struct app *a, const struct conf_app *c)
{
	size_t n = c->trigger.n_paths + c->trigger.n_ignores, i, size, len;
	const char *s;
	char *at;

	free(a->patterns);
	a->patterns = NULL;
	a->n_paths = c->trigger.n_paths;
	a->n_ignores = c->trigger.n_ignores;
	if (n == 0)
		return;
	size = n * sizeof(char *);
	for (i = 0; i < n; i++) {
		s = i < a->n_paths ? c->trigger.paths[i]
				   : c->trigger.ignores[i - a->n_paths];
		size += strlen(s) + 1;
	}
	a->patterns = xcalloc(1, size);
	at = (char *)(a->patterns + n);
	for (i = 0; i < n; i++) {
		s = i < a->n_paths ? c->trigger.paths[i]
				   : c->trigger.ignores[i - a->n_paths];
		len = strlen(s) + 1;
		a->patterns[i] = memcpy(at, s, len);
		at += len;
	}
}

static void
app_become(struct app *a, enum app_state state, const char *why)
{
	if (a->state != state && state == APP_OTHER)
		log_info(a->id, "app ignored repo=%s path=%s: %s",
		    a->repo->conf->id, a->path, why);
	else if (a->state != state)
		log_debug(a->id, "app repo=%s path=%s state=%d: %s",
		    a->repo->conf->id, a->path, (int)state, why);
	a->state = state;
	a->changed = state == APP_GOOD || state == APP_INVALID;
}

/*
 * Whether it is ours, somebody else's or wrong; *why is for people, of an
 * invalid one the reason.
 */
static enum app_state
app_judge(
    struct plan *p, const struct conf_app *c, const char *path, struct buf *why)
{
	struct platform **list;
	const char **names, *unknown;
	struct err e;
	size_t i, n;

	if (c->name == NULL || c->name[0] == '\0') {
		buf_printf(why, "%s: spec.name: missing", path);
		return APP_INVALID;
	}
	if (!selected(&p->conf, c)) {
		buf_adds(why, "its labels do not match appSelector");
		return APP_OTHER;
	}
	n = app_plugins(p, c, &list, p->work);
	if (n == 0 && c->n_plugins > 0) {
		buf_printf(
		    why, "no plugin %s in this agent", c->plugins[0].name);
		return APP_OTHER;
	}
	if ((unknown = target_unknown(c, list, n)) != NULL && n > 0) {
		buf_printf(why,
		    "%s: spec.deployTargets: %s: no such deploy target; this "
		    "agent has %s",
		    path, unknown, target_list(list[0]->conf, p->work));
		return APP_INVALID;
	}
	for (i = 0; i < n; i++) {
		if (app_targets(c, list[i]->conf, &names, p->work, &e) == -1) {
			buf_printf(why, "%s: spec.%s", path, e.text);
			return APP_INVALID;
		}
	}
	return APP_GOOD;
}

int
app_load(struct plan *p, struct app *a, struct err *e)
{
	struct buf why = BUF_INIT;
	struct config *c;
	enum app_state state;
	char *path;
	int rv;

	arena_reset(p->work);
	path = app_config_path(a, p->work);
	if ((rv = config_get(
		 &p->configs, a->repo, a->repo->head, path, &c, e)) != 1)
		return rv;
	if (c->bad) {
		app_become(a, APP_INVALID, c->notes.p);
		return 1;
	}
	if (c->app.name != NULL && c->app.name[0] != '\0') {
		free(a->name);
		a->name = xstrdup(c->app.name);
	}
	a->on_commit = c->app.trigger.on_commit;
	a->on_command = c->app.trigger.on_command;
	a->on_out_of_sync = c->app.trigger.on_out_of_sync;
	a->on_chain = c->app.trigger.on_chain;
	a->min_window_ms = c->app.trigger.min_window_ms;
	patterns_keep(a, &c->app);
	state = app_judge(p, &c->app, path, &why);
	app_become(a, state, why.p);
	buf_free(&why);
	return 1;
}

/* --- frames --------------------------------------------------------------- */

Model__Application *
app_model(struct plan *p, struct app *a, const struct conf_app *c)
{
	struct arena *ar = p->work;
	Model__Application *m = arena_new_of(ar, Model__Application);
	size_t i;

	model__application__init(m);
	m->id = a->id;
	m->name = a->name != NULL ? a->name : a->path;
	m->piped_id = arena_strdup(ar, p->piped_id);
	m->project_id = arena_strdup(ar, p->project_id);
	m->git_path = app_git_path(a, ar);
	m->created_at = m->updated_at = wall_s();
	if (c == NULL)
		return m;
	m->kind = app_kind(c->kind);
	m->description =
	    arena_strdup(ar, c->description != NULL ? c->description : "");
	m->labels =
	    arena_array(ar, Model__Application__LabelsEntry *, c->n_labels);
	m->n_labels = c->n_labels;
	for (i = 0; i < c->n_labels; i++) {
		m->labels[i] =
		    arena_new_of(ar, Model__Application__LabelsEntry);
		model__application__labels_entry__init(m->labels[i]);
		m->labels[i]->key = arena_strdup(ar, c->labels[i].key);
		m->labels[i]->value = arena_strdup(ar, c->labels[i].value);
	}
	return m;
}

static void
app_model_targets(struct arena *ar, Model__Application *m,
    Frame__PluginPlan *const *plugins, size_t n)
{
	Model__Application__DeployTargetsByPluginEntry *t;
	size_t i;

	m->deploy_targets_by_plugin = arena_array(
	    ar, Model__Application__DeployTargetsByPluginEntry *, n);
	m->n_deploy_targets_by_plugin = n;
	for (i = 0; i < n; i++) {
		t = arena_new_of(
		    ar, Model__Application__DeployTargetsByPluginEntry);
		model__application__deploy_targets_by_plugin_entry__init(t);
		t->key = plugins[i]->plugin;
		t->value = arena_new_of(ar, Model__DeployTargets);
		model__deploy_targets__init(t->value);
		t->value->deploy_targets = plugins[i]->targets;
		t->value->n_deploy_targets = plugins[i]->n_targets;
		m->deploy_targets_by_plugin[i] = t;
	}
}

static int
app_say_gone(struct plan *p, struct app *a, struct err *e)
{
	Frame__App f = FRAME__APP__INIT;

	f.application = app_model(p, a, NULL);
	f.has_gone = f.has_again = true;
	f.gone = true;
	f.again = said_before(p, a->id, "gone");
	return plan_tell(p, FRAME_OF(app, &f), e);
}

static int
app_say_invalid(
    struct plan *p, struct app *a, const char *reason, struct err *e)
{
	Frame__AppInvalid f = FRAME__APP_INVALID__INIT;
	size_t n = strlen(reason);

	f.application = app_model(p, a, NULL);
	f.commit = a->repo->head;
	while (n > 0 && reason[n - 1] == '\n')
		n--;
	/* Cut between two characters. */
	if (n > REASON_MAX) {
		for (n = REASON_MAX; n > 0 && (reason[n] & 0xc0) == 0x80; n--)
			;
	}
	f.reason = arena_strndup(p->work, reason, n);
	f.has_again = f.again = said_before(p, a->id, f.reason);
	return plan_tell(p, FRAME_OF(app_invalid, &f), e);
}

/* Registered, and not in git: it is for people to say which is wrong. */
static int
app_say_lost(struct plan *p, struct app *a, struct err *e)
{
	if (app_say_gone(p, a, e) == -1)
		return -1;
	return app_say_invalid(p, a,
	    arena_printf(p->work,
		"%s: registered, and not in repository %s at this commit",
		app_config_path(a, p->work), a->repo->conf->id),
	    e);
}

int
app_say(struct plan *p, struct app *a, struct err *e)
{
	Frame__App f = FRAME__APP__INIT;
	struct buf why = BUF_INIT;
	struct platform **list;
	struct config *c;
	size_t i;
	int rv;

	arena_reset(p->work);
	a->changed = false;
	if (a->state == APP_GONE && !a->registered)
		return app_say_gone(p, a, e);
	if (a->state == APP_GONE)
		return app_say_lost(p, a, e);
	if (a->disabled)
		return app_say_gone(p, a, e);
	if (a->state != APP_GOOD && a->state != APP_INVALID)
		return 0;
	if ((rv = config_get(&p->configs, a->repo, a->repo->head,
		 app_config_path(a, p->work), &c, e)) != 1)
		return rv;
	if (a->state == APP_INVALID && !app_deploys(p, a)) {
		log_debug(a->id,
		    "app repo=%s path=%s: neither registered nor "
		    "valid",
		    a->repo->conf->id, a->path);
		return 0;
	}
	if (a->state == APP_INVALID) {
		if (!c->bad)
			app_judge(
			    p, &c->app, app_config_path(a, p->work), &why);
		rv = app_say_invalid(p, a, c->bad ? c->notes.p : why.p, e);
		buf_free(&why);
		return rv;
	}
	f.application = app_model(p, a, &c->app);
	f.commit = a->repo->head;
	f.tree = a->tree[0] != '\0' ? a->tree : NULL;
	f.n_plugins = app_plugins(p, &c->app, &list, p->work);
	f.plugins = arena_array(p->work, Frame__PluginPlan *, f.n_plugins);
	for (i = 0; i < f.n_plugins; i++)
		f.plugins[i] =
		    app_plugin_plan(&c->app, NULL, list[i]->conf, p->work);
	app_model_targets(p->work, f.application, f.plugins, f.n_plugins);
	f.has_auto_sync = f.auto_sync = a->on_out_of_sync;
	f.has_unregistered = f.unregistered = !app_deploys(p, a);
	return plan_tell(p, FRAME_OF(app, &f), e);
}
