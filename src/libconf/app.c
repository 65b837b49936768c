#include "read.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The stages there are, and who runs them; NULL: not in this build. */
static const struct stage_row stage_rows[] = {
#define STAGE(sname, soptions, sforms, splugin) \
	{ #sname, OBJ_##soptions, sforms, splugin },
#include "stages.def"
#undef STAGE
};

/* Kinds of applications, and what of them goes to the platform. */
static const struct app_kind {
	const char *kind;
	int object, input;
	const char *plugin;
} kinds[] = {
	{ "Application", OBJ_Application, OBJ_none, NULL },
	{ "KubernetesApp", OBJ_KubernetesApp, OBJ_kubernetes_app,
	    "kubernetes" },
	{ "TerraformApp", OBJ_TerraformApp, OBJ_terraform_app, "terraform" },
	{ "CloudRunApp", OBJ_CloudRunApp, OBJ_cloudrun_app, "cloudrun" },
	{ "LambdaApp", OBJ_LambdaApp, OBJ_lambda_app, "lambda" },
	{ "ECSApp", OBJ_ECSApp, OBJ_ecs_app, "ecs" },
};

int
app_object(const char *kind)
{
	size_t i;

	for (i = 0; i < NITEMS(kinds); i++) {
		if (strcmp(kinds[i].kind, kind) == 0)
			return kinds[i].object;
	}
	return OBJ_none;
}

static const struct app_kind *
kind_of(const char *kind)
{
	size_t i;

	for (i = 0; i < NITEMS(kinds) && strcmp(kinds[i].kind, kind) != 0; i++)
		;
	return i < NITEMS(kinds) ? &kinds[i] : NULL;
}

const char *
app_plugin(const char *kind)
{
	const struct app_kind *k = kind_of(kind);

	return k != NULL ? k->plugin : NULL;
}

int
app_own(const char *kind)
{
	const struct app_kind *k = kind_of(kind);

	return k->input == OBJ_terraform_app ? OBJ_terraform_spec : k->input;
}

const struct stage_row *
stage_rows_get(size_t i)
{
	return i < NITEMS(stage_rows) ? &stage_rows[i] : NULL;
}

static const struct stage_row *
stage_row(const char *name)
{
	size_t i;

	for (i = 0; i < NITEMS(stage_rows); i++) {
		if (strcmp(stage_rows[i].name, name) == 0)
			return &stage_rows[i];
	}
	return NULL;
}

/* Options that the v0 kinds have under `with` and v1 beside it. */
static void
stage_v0(struct reader *r, struct conf_stage *s, const struct stage_row *row,
    const struct node *with)
{
	const struct node *t, *skip;
	const struct key *k;
	struct reader quiet;
	struct key dur = { .name = "timeout", .type = K_DURATION };
	int index, off;

	s->timeout_ms = 0;
	k = key_find(&objects[row->options], "timeout", false, &index, &off);
	if (k != NULL && (t = key_value(with, "timeout")) != NULL &&
	    t->type == NODE_STRING)
		(void)conf_duration(&s->timeout_ms, t->text);
	else if (k != NULL && t != NULL && t->type == NODE_NUMBER)
		s->timeout_ms = (int64_t)(strtod(t->text, NULL) / 1e6);
	(void)dur;
	k = key_find(&objects[row->options], "skipOn", false, &index, &off);
	if (k == NULL || (skip = key_value(with, "skipOn")) == NULL)
		return;
	/* Its mistakes were said when `with` was read. */
	reader_init(&quiet, r->name, r->a);
	read_object(&quiet, &objects[OBJ_skip], skip, &s->skip_on, NULL);
}

/* What a v0 pipeline may have, for who wrote something else. */
static void
stage_unknown(struct reader *r, const struct node *n, const struct path *at)
{
	struct buf b = BUF_INIT;
	size_t i;

	for (i = 0; i < NITEMS(stage_rows); i++) {
		if ((stage_rows[i].forms & V0) &&
		    (strncmp(stage_rows[i].name, n->text, 3) == 0 ||
			strchr(stage_rows[i].name, '_') == NULL))
			buf_printf(&b, ", %s", stage_rows[i].name);
	}
	mistake(r, n, at, "\"%.40s\" is no stage of this kind; there is%s ...",
	    n->text, b.len > 0 ? b.p + 1 : "");
	buf_free(&b);
}

RULE(rule_stage)
{
	const struct node *name = key_value(n, "name");
	const struct node *with = key_value(n, "with");
	struct path p = { .up = at, .name = "name" };
	const struct stage_row *row;
	struct conf_stage *s = base;

	if (s != NULL)
		s->line = (int)n->line;
	if (name == NULL || name->type != NODE_STRING)
		return;
	row = stage_row(name->text);
	if (!r->v1 && (row == NULL || !(row->forms & V0))) {
		stage_unknown(r, name, &p);
		return;
	}
	p.name = "with";
	if (row == NULL) { /* a plugin's own */
		if (with != NULL && with->type != NODE_MAP)
			mistake(
			    r, with, &p, "%s is not a map", node_kind(with));
		else if (s != NULL && with != NULL)
			s->with =
			    object_text(&objects[OBJ_none], with, r->v1, r->a);
		return;
	}
	if (with == NULL) {
		struct node none = *n;

		none.type = NODE_MAP;
		none.n = 0;
		none.first = NULL;
		read_object(r, &objects[row->options], &none, NULL, &p);
	} else
		read_object(r, &objects[row->options], with, NULL, &p);
	if (s == NULL)
		return;
	s->with = object_text(&objects[row->options], with, r->v1, r->a);
	if (!r->v1 && (with == NULL || with->type == NODE_MAP))
		stage_v0(r, s, row, with);
}

/* --- what is asked for and not there ---------------------------------------
 */

static void refuse(struct reader *r, struct conf_app *c, const char *fmt, ...)
    PRINTF(3, 4);

static void
refuse(struct reader *r, struct conf_app *c, const char *fmt, ...)
{
	const char **more = arena_array(r->a, const char *, c->n_refused + 1);
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (c->n_refused > 0)
		memcpy(more, c->refused, c->n_refused * sizeof(*more));
	more[c->n_refused++] = arena_strdup(r->a, text);
	c->refused = more;
}

static void
refusals(struct reader *r, struct conf_app *c)
{
	static const struct {
		const char *plugin, *what;
	} absent[] = {
		{ "kubernetes", "Kubernetes" },
		{ "kubernetes_multicluster", "Kubernetes" },
		{ "cloudrun", "Cloud Run" },
		{ "lambda", "Lambda" },
		{ "ecs", "ECS" },
	};
	const struct stage_row *row;
	size_t i, j;

	for (i = 0; i < c->n_plugins; i++) {
		for (j = 0; j < NITEMS(absent); j++) {
			if (strcmp(c->plugins[i].name, absent[j].plugin) != 0)
				continue;
			refuse(r, c,
			    "%s%s: this build does not deploy to %s yet",
			    c->v1 ? "plugins." : "kind ",
			    c->v1 ? absent[j].plugin : c->kind, absent[j].what);
		}
	}
	for (i = 0; i < c->n_stages; i++) {
		row = c->stages[i].name != NULL ? stage_row(c->stages[i].name)
						: NULL;
		if (row != NULL && row->plugin == NULL)
			refuse(r, c,
			    "pipeline.stages[%zu]: this build does not run "
			    "stage %s yet",
			    i, row->name);
	}
	if (c->notification != NULL)
		refuse(r, c,
		    "notification: this build does not send "
		    "messages yet");
	if (c->event_watcher != NULL && strcmp(c->event_watcher, "[]") != 0)
		refuse(r, c,
		    "eventWatcher: this build does not watch events "
		    "yet");
}

/* --- plugins ---------------------------------------------------------------
 */

static void
plugin_add(
    struct reader *r, struct conf_app *c, const char *name, const char *config)
{
	struct conf_app_plugin *k = &c->plugins[c->n_plugins++];

	k->name = arena_strdup(r->a, name);
	k->config = config;
}

/* kind Application: each entry of `plugins`; host has its part in `input`. */
static void
plugins_v1(struct reader *r, struct conf_app *c, const struct node *map)
{
	const struct object *o = &objects[OBJ_app_plugins];
	const struct node *i, *v;
	const struct key *k;
	struct path top = { .name = "plugins" }, p = { .up = &top };
	int index, off;

	if (map == NULL || map->type != NODE_MAP)
		return;
	c->plugins = arena_array(r->a, struct conf_app_plugin, map->n + 1);
	for (i = map->first; i != NULL; i = i->next->next) {
		v = i->next;
		p.name = i->text;
		k = key_find(o, i->text, true, &index, &off);
		if (k == NULL) {
			if (v->type != NODE_MAP && v->type != NODE_NULL)
				mistake(
				    r, v, &p, "%s is not a map", node_kind(v));
			plugin_add(r, c, i->text,
			    object_text(&objects[OBJ_none], v, true, r->a));
			continue;
		}
		read_object(r, &objects[k->sub], v, NULL, &p);
		if (k->sub == OBJ_host_spec)
			plugin_add(r, c, k->name,
			    object_text(&objects[OBJ_host_app],
				key_value(v, "input"), true, r->a));
		else
			plugin_add(r, c, k->name,
			    object_text(&objects[k->sub], v, true, r->a));
	}
}

static void
plugin_v0(struct reader *r, struct conf_app *c, const struct app_kind *kind,
    const struct node *spec)
{
	const struct node *input = key_value(spec, "input"), *v;
	const struct object *o;
	struct node flat = { .type = NODE_MAP };
	const struct key *k;
	struct key_walk w;
	struct buf b = BUF_INIT;
	bool more = false;
	int off;

	c->plugins = arena_array(r->a, struct conf_app_plugin, 2);
	o = &objects[kind->input];
	c->auto_rollback = kind->input != OBJ_terraform_app;
	if ((v = key_value(input, "autoRollback")) != NULL &&
	    v->type == NODE_BOOL)
		c->auto_rollback = v->text[0] == 't';
	(void)flat;
	if (kind->input == OBJ_terraform_app)
		spec = input;
	/* Only the platform's keys: the others are in conf_app. */
	buf_addc(&b, '{');
	key_walk(&w, o);
	while ((k = key_next(&w, &off)) != NULL) {
		if ((k->flags & V1) || (v = key_value(spec, k->name)) == NULL)
			continue;
		buf_adds(&b, more ? "," : "");
		more = true;
		node_quote(&b, k->name, strlen(k->name));
		buf_addc(&b, ':');
		if (k->sub != OBJ_none && k->type == K_OBJ)
			object_json(&b, &objects[k->sub], v, false);
		else
			node_print(&b, v);
	}
	buf_addc(&b, '}');
	plugin_add(r, c, kind->plugin, arena_strndup(r->a, b.p, b.len));
	buf_free(&b);
}

void
app_spec(struct reader *r, struct conf_app *c, const struct envelope *v)
{
	const struct app_kind *kind = kind_of(v->kind);
	const struct node *spec = v->spec;
	struct node none = { .type = NODE_MAP, .line = 1, .col = 1 };

	memset(c, 0, sizeof(*c));
	c->kind = kind->kind;
	c->v1 = r->v1 = kind->plugin == NULL;
	r->strict = !c->v1;
	envelope_keys(r, v);
	if (spec == NULL)
		spec = &none;
	read_object(r, &objects[kind->object], spec, c, NULL);
	c->has_pipeline =
	    key_value(spec, "pipeline") != NULL && c->n_stages > 0;
	if (c->v1)
		plugins_v1(r, c, key_value(spec, "plugins"));
	else
		plugin_v0(r, c, kind, spec);
	refusals(r, c);
}

int
conf_app_read(struct conf_app *c, const char *name, const char *text, size_t n,
    struct arena *a, struct conf_report *out, struct err *e)
{
	struct envelope v;
	struct reader r;
	struct path at = { .name = "kind" };

	memset(c, 0, sizeof(*c));
	reader_init(&r, name, a);
	if (envelope_read(&v, &r, text, n) == 0) {
		if (kind_of(v.kind) != NULL)
			app_spec(&r, c, &v);
		else
			mistake(&r, key_value(v.root, "kind"), &at,
			    "%.40s is not an application's; there is "
			    "Application, KubernetesApp, TerraformApp, "
			    "CloudRunApp, LambdaApp and ECSApp",
			    v.kind);
	}
	return reader_end(&r, out, e);
}

bool
conf_is_app_file(const char *base)
{
	return strcmp(base, ".pipe.yaml") == 0 ||
	       str_suffix(base, ".pipecd.yaml");
}
