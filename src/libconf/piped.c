#include "read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Names of platforms in the two forms, and what their targets say. */
static const struct provider_type types[] = {
	{ "KUBERNETES", "kubernetes", OBJ_kubernetes_target },
	{ "KUBERNETES", "kubernetes_multicluster", OBJ_kubernetes_target },
	{ "TERRAFORM", "terraform", OBJ_terraform_target },
	{ "CLOUDRUN", "cloudrun", OBJ_cloudrun_target },
	{ "LAMBDA", "lambda", OBJ_lambda_target },
	{ "ECS", "ecs", OBJ_ecs_target },
	{ "HOST", "host", OBJ_host_target },
};

const char *
provider_type(const char *plugin)
{
	size_t i;

	for (i = 0; i < NITEMS(types); i++) {
		if (strcmp(types[i].plugin, plugin) == 0)
			return types[i].type;
	}
	return plugin;
}

int
target_object(const char *plugin)
{
	size_t i;

	for (i = 0; i < NITEMS(types); i++) {
		if (strcmp(types[i].plugin, plugin) == 0)
			return types[i].target;
	}
	return OBJ_none;
}

bool
conf_plugin_known(const char *name)
{
	size_t i;

	for (i = 0; i < NITEMS(types); i++)
		if (strcmp(types[i].plugin, name) == 0)
			return true;
	return false;
}

const struct provider_type *
provider_types_get(size_t i)
{
	return i < NITEMS(types) ? &types[i] : NULL;
}

static const struct provider_type *
type_of(const char *type)
{
	size_t i;

	for (i = 0; i < NITEMS(types); i++) {
		if (strcmp(types[i].type, type) == 0)
			return &types[i];
	}
	return NULL;
}

bool
conf_repo_id_safe(const char *id)
{
	size_t n = strlen(id);

	return n > 0 && n <= 100 && id[0] != '.' && id[0] != '-' &&
	       strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
			  "0123456789._-") == n;
}

static bool
hex64(const char *s)
{
	return strlen(s) == 64 && strspn(s, "0123456789abcdefABCDEF") == 64;
}

/* --- rules -----------------------------------------------------------------
 */

RULE(rule_provider)
{
	const struct node *type = key_value(n, "type");
	const struct node *conf = key_value(n, "config");
	struct path p = { .up = at, .name = "config" };
	const struct provider_type *t;
	struct conf_provider *c = base;

	if (type == NULL || type->type != NODE_STRING ||
	    (t = type_of(type->text)) == NULL || r->slice)
		return;
	if (conf != NULL)
		read_object(r, &objects[t->target], conf, NULL, &p);
	if (c != NULL && (conf == NULL || conf->type == NODE_MAP))
		c->config = object_text(&objects[t->target], conf, false, r->a);
}

/* An earlier entry of a list whose `key` has the same text. */
static bool
seen_before(const struct node *list, const struct node *entry, const char *key)
{
	const struct node *a = key_value(entry, key), *b, *i;

	if (a == NULL || a->type != NODE_STRING || a->n == 0)
		return false;
	for (i = list->first; i != entry; i = i->next)
		if ((b = key_value(i, key)) != NULL && b->type == NODE_STRING &&
		    strcmp(a->text, b->text) == 0)
			return true;
	return false;
}

/* Targets of built-in platforms are checked here; others by their plugin. */
static void
targets(struct reader *r, struct conf_plugin *c, const struct node *n,
    const struct path *at, int object)
{
	struct path all = { .up = at, .name = "deployTargets" };
	struct path one = { .up = &all }, p = { .up = &one, .name = "config" };
	const struct node *list = key_value(n, "deployTargets"), *i, *conf;
	struct path name = { .up = &one, .name = "name" };
	struct node none;

	if (list == NULL || list->type != NODE_SEQ)
		return;
	for (i = list->first; i != NULL; i = i->next, one.index++) {
		if (seen_before(list, i, "name"))
			mistake(r, key_value(i, "name"), &name,
			    "%.40s is there twice", key_value(i, "name")->text);
		if ((conf = key_value(i, "config")) == NULL) {
			none = *i;
			none.type = NODE_MAP;
			none.n = 0;
			none.first = NULL;
			conf = &none;
		}
		read_object(r, &objects[object], conf, NULL, &p);
		if (c != NULL && one.index < c->n_targets)
			c->targets[one.index].config =
			    object_text(&objects[object], conf, true, r->a);
	}
}

static void
check_hash(struct reader *r, const struct node *n, const struct path *at)
{
	const struct node *sha = key_value(n, "sha256");
	struct path p = { .up = at, .name = "sha256" };

	if (sha != NULL && sha->type == NODE_STRING && sha->n > 0 &&
	    !hex64(sha->text))
		mistake(r, sha, &p, "not 64 hex digits");
}

RULE(rule_host_target)
{
	const struct node *root = key_value(n, "root");
	struct path p = { .up = at, .name = "root" };

	(void)base;
	if (root != NULL && root->type == NODE_STRING && root->n > 0 &&
	    root->text[0] != '/')
		mistake(r, root, &p, "\"%.40s\" is not an absolute path",
		    root->text);
}

RULE(rule_tool)
{
	(void)base;
	check_hash(r, n, at);
}

RULE(rule_plugin)
{
	static const char *const schemes[] = { "file://", "http://", "https://",
		"oci://" };
	const struct node *name = key_value(n, "name");
	const struct node *url = key_value(n, "url");
	struct path p = { .up = at };
	struct conf_plugin *c = base;
	size_t i;

	check_hash(r, n, at);
	p.name = "url";
	if (url != NULL && url->type == NODE_STRING && url->n > 0) {
		for (i = 0; i < NITEMS(schemes); i++) {
			if (str_prefix(url->text, schemes[i]))
				break;
		}
		if (i == NITEMS(schemes))
			warning(r, url, &p,
			    "takes file://, http://, https:// or oci://");
		return;
	}
	if (name == NULL || name->type != NODE_STRING || r->slice)
		return;
	for (i = 0; i < NITEMS(types); i++) {
		if (strcmp(types[i].plugin, name->text) == 0)
			targets(r, c, n, at, types[i].target);
	}
}

/* A mirror is named by it.  PipeCD, whose rules hold with an apiAddress, takes any. */
static void
check_repositories(
    struct reader *r, const struct node *n, const struct path *at)
{
	struct path all = { .up = at, .name = "repositories" };
	struct path one = { .up = &all }, p = { .up = &one, .name = "repoId" };
	const struct node *list = key_value(n, "repositories"), *i, *id;

	if (list == NULL || list->type != NODE_SEQ)
		return;
	for (i = list->first; i != NULL; i = i->next, one.index++) {
		id = key_value(i, "repoId");
		if (id == NULL || id->type != NODE_STRING || id->n == 0)
			continue;
		if (!conf_repo_id_safe(id->text))
			mistake(r, id, &p,
			    "\"%.40s\" cannot name a directory; use letters, "
			    "digits, . _ -",
			    id->text);
		else if (seen_before(list, i, "repoId"))
			mistake(r, id, &p, "%.40s is there twice", id->text);
	}
}

/* With a control plane, who we are must be there. */
RULE(rule_piped)
{
	static const char *const need[] = { "projectID", "pipedID" };
	const struct node *d = key_value(n, "pipedKeyData");
	const struct node *dir = key_value(n, "stateDir");
	struct path p = { .up = at };
	size_t i;

	(void)base;
	if (r->slice)
		return;
	/* Programs run elsewhere than where the file was written. */
	p.name = "stateDir";
	if (dir != NULL && dir->type == NODE_STRING && dir->n > 0 &&
	    dir->text[0] != '/')
		mistake(
		    r, dir, &p, "\"%.40s\" is not an absolute path", dir->text);
	p.name = "pipedKeyData";
	if (given(n, "pipedKeyFile") && given(n, "pipedKeyData"))
		mistake(r, d, &p, "pipedKeyFile is there too; leave one out");
	if (!given(n, "apiAddress")) {
		check_repositories(r, n, at);
		return;
	}
	for (i = 0; i < NITEMS(need); i++) {
		p.name = need[i];
		if (!given(n, need[i]))
			mistake(r, n, &p, "missing, with apiAddress");
	}
	p.name = "pipedKeyFile";
	if (!given(n, "pipedKeyFile") && !given(n, "pipedKeyData"))
		mistake(r, n, &p,
		    "pipedKeyFile or pipedKeyData: missing, with apiAddress");
}

/* --- v0: providers become plugins ------------------------------------------
 */

static struct conf_plugin *
plugin_of(struct conf_piped *c, const char *name)
{
	size_t i;

	for (i = 0; i < c->n_plugins; i++) {
		if (strcmp(c->plugins[i].name, name) == 0)
			return &c->plugins[i];
	}
	c->plugins[c->n_plugins].name = name;
	return &c->plugins[c->n_plugins++];
}

static void
provider_add(
    struct reader *r, struct conf_piped *c, const struct node *n, size_t room)
{
	const struct provider_type *t;
	struct conf_provider p = { 0 };
	struct conf_plugin *k;
	struct reader quiet;

	reader_init(&quiet, r->name, r->a);
	quiet.slice = r->slice;
	read_object(&quiet, &objects[OBJ_provider], n, &p, NULL);
	if (p.type == NULL || (t = type_of(p.type)) == NULL)
		return;
	k = plugin_of(c, t->plugin);
	if (k->targets == NULL)
		k->targets = arena_array(r->a, struct conf_target, room);
	k->targets[k->n_targets++] = (struct conf_target){
		.name = p.name != NULL ? p.name : "",
		.labels = p.labels,
		.n_labels = p.n_labels,
		.config = p.config,
	};
}

static void
providers(struct reader *r, struct conf_piped *c, const struct node *spec)
{
	static const char *const keys[] = { "platformProviders",
		"cloudProviders" };
	const struct node *list, *i;
	size_t j, room = 0;

	for (j = 0; j < NITEMS(keys); j++) {
		list = key_value(spec, keys[j]);
		if (list != NULL && list->type == NODE_SEQ)
			room += list->n;
	}
	if (room == 0)
		return;
	c->plugins = arena_array(r->a, struct conf_plugin, NITEMS(types));
	for (j = 0; j < NITEMS(keys); j++) {
		list = key_value(spec, keys[j]);
		if (list == NULL || list->type != NODE_SEQ)
			continue;
		for (i = list->first; i != NULL; i = i->next)
			provider_add(r, c, i, room);
	}
}

/* --- the whole -------------------------------------------------------------
 */

void
piped_spec(struct reader *r, struct conf_piped *c, const struct envelope *v)
{
	struct node none = { .type = NODE_MAP, .line = 1, .col = 1 };
	const struct node *spec = v->spec != NULL ? v->spec : &none;
	const struct node *plugins = key_value(spec, "plugins");
	long cpus;

	memset(c, 0, sizeof(*c));
	r->v1 = c->v1 = plugins != NULL;
	r->strict = false;
	envelope_keys(r, v);
	if (v->slice != NULL && v->slice->type == NODE_STRING)
		c->slice = arena_strdup(r->a, v->slice->text);
	read_object(r, &objects[OBJ_piped], spec, c, NULL);
	if (!c->v1)
		providers(r, c, spec);
	if (c->git.host_name == NULL)
		c->git.host_name = c->git.host;
	if (c->max_concurrent_deployments == 0) {
		cpus = sysconf(_SC_NPROCESSORS_ONLN);
		c->max_concurrent_deployments = cpus > 2 ? 2 * cpus : 4;
	}
}

int
conf_piped_read(struct conf_piped *c, const char *name, const char *text,
    size_t n, struct arena *a, struct conf_report *out, struct err *e)
{
	struct envelope v;
	struct reader r;
	struct path at = { .name = "kind" };

	memset(c, 0, sizeof(*c));
	reader_init(&r, name, a);
	if (envelope_read(&v, &r, text, n) == 0) {
		if (strcmp(v.kind, "Piped") == 0)
			piped_spec(&r, c, &v);
		else
			mistake(&r, key_value(v.root, "kind"), &at,
			    "%.40s is not Piped", v.kind);
	}
	return reader_end(&r, out, e);
}

int
conf_piped_open(
    struct conf_piped *c, const char *path, struct arena *a, struct err *e)
{
	struct buf text = BUF_INIT, said = BUF_INIT;
	struct conf_report rep = { .text = &said };
	const char *name;
	int rv = conf_text(&text, &name, path, "piped.yaml", e);

	if (rv == 0)
		rv = conf_piped_read(c, name, text.p, text.len, a, &rep, e);
	if (said.len > 0)
		fputs(said.p, stderr);
	if (rv == -1)
		conf_report_end(&rep, name, e);
	buf_free(&text);
	buf_free(&said);
	return rv;
}
