#include <string.h>

#include "read.h"

/*
 * A v0 application file as kind Application: what every kind has stays, what
 * only the platform understands goes to plugins.<platform>.
 */

/* Append key and a value that may also stand elsewhere: children are shared. */
static void
put(struct nodes *ns, struct node *map, const char *key, const struct node *v)
{
	struct node **end = &map->first;
	struct node *k = node_new(ns, NODE_STRING, 0, 0);
	struct node *copy = node_new(ns, NODE_NULL, 0, 0);

	while (*end != NULL)
		end = &(*end)->next;
	k->text = node_text(ns, key, strlen(key));
	k->n = strlen(key) & ((1u << 27) - 1);
	*copy = *v;
	copy->next = NULL;
	k->next = copy;
	*end = k;
	map->n++;
}

static struct node *
map_new_node(struct nodes *ns)
{
	return node_new(ns, NODE_MAP, 0, 0);
}

/* The same entries, without one. */
static struct node *
copy_without(struct nodes *ns, const struct node *map, const char *leave)
{
	struct node *m = map_new_node(ns);
	const struct node *k;

	for (k = map != NULL && map->type == NODE_MAP ? map->first : NULL;
	     k != NULL; k = k->next->next)
		if (leave == NULL || strcmp(k->text, leave) != 0)
			put(ns, m, k->text, k->next);
	return m;
}

/* A stage: timeout and skipOn stand beside `with` from now on. */
static struct node *
stage(struct nodes *ns, const struct node *old)
{
	const struct node *k, *with = key_value(old, "with");
	struct node *s, *rest = map_new_node(ns);

	s = copy_without(ns, old, with != NULL ? "with" : NULL);
	if (with == NULL || with->type != NODE_MAP)
		return copy_without(ns, old, NULL);
	for (k = with->first; k != NULL; k = k->next->next)
		put(ns,
		    strcasecmp(k->text, "timeout") == 0 ||
			    strcasecmp(k->text, "skipOn") == 0
			? s
			: rest,
		    k->text, k->next);
	if (rest->n > 0)
		put(ns, s, "with", rest);
	return s;
}

static struct node *
pipeline(struct nodes *ns, const struct node *old)
{
	struct node *p = copy_without(ns, old, "stages");
	struct node *list = node_new(ns, NODE_SEQ, 0, 0), **end = &list->first;
	const struct node *stages = key_value(old, "stages"), *i;

	if (stages == NULL || stages->type != NODE_SEQ)
		return copy_without(ns, old, NULL);
	for (i = stages->first; i != NULL; i = i->next) {
		*end = stage(ns, i);
		end = &(*end)->next;
		list->n++;
	}
	put(ns, p, "stages", list);
	return p;
}

/*
 * planner with the rollback that the v0 kinds have under input, where they say
 * so; Terraform's default is none, which Application must be told.
 */
static struct node *
planner(struct nodes *ns, const struct node *spec, const char *plugin)
{
	const struct node *rollback =
	    key_value(key_value(spec, "input"), "autoRollback");
	struct node *p = copy_without(ns, key_value(spec, "planner"), NULL);
	struct node none = { .type = NODE_BOOL, .text = "false", .n = 5 };

	if (rollback != NULL)
		put(ns, p, "autoRollback", rollback);
	else if (strcmp(plugin, "terraform") == 0)
		put(ns, p, "autoRollback", &none);
	return p;
}

/*
 * What is the platform's own.  Terraform's plugin has it without `input`
 * around; the others keep that.
 */
static struct node *
own(struct nodes *ns, const struct node *spec, const char *plugin)
{
	struct node *m = map_new_node(ns);
	const struct node *k;
	int index, off;

	if (strcmp(plugin, "terraform") == 0)
		return copy_without(
		    ns, key_value(spec, "input"), "autoRollback");
	for (k = spec->first; k != NULL; k = k->next->next)
		if (key_find(&objects[OBJ_app], k->text, false, &index, &off) ==
		    NULL)
			put(ns, m, k->text,
			    strcasecmp(k->text, "input") == 0
				? copy_without(ns, k->next, "autoRollback")
				: k->next);
	return m;
}

static bool
has_stage(const struct node *spec, const char *name)
{
	const struct node *s = key_value(key_value(spec, "pipeline"), "stages");
	const struct node *i, *n;

	for (i = s != NULL && s->type == NODE_SEQ ? s->first : NULL; i != NULL;
	     i = i->next)
		if ((n = key_value(i, "name")) != NULL &&
		    n->type == NODE_STRING && strcmp(n->text, name) == 0)
			return true;
	return false;
}

/* Queries of ANALYSIS know the namespace by this name. */
static void
analysis(struct nodes *ns, struct node *plugins, const struct node *spec)
{
	const struct node *n = key_value(key_value(spec, "input"), "namespace");
	struct node dflt = { .type = NODE_STRING, .text = "default", .n = 7 };
	struct node *args = map_new_node(ns), *a = map_new_node(ns);

	put(ns, args, "k8sNamespace", n != NULL ? n : &dflt);
	put(ns, a, "appCustomArgs", args);
	put(ns, plugins, "analysis", a);
}

static struct node *
spec_new(struct nodes *ns, const struct node *old, const char *plugin)
{
	struct node *spec = map_new_node(ns), *plugins = map_new_node(ns);
	struct node *p = planner(ns, old, plugin);
	const struct node *k;
	int index, off;

	for (k = old->first; k != NULL; k = k->next->next) {
		if (key_find(&objects[OBJ_app], k->text, false, &index, &off) ==
			NULL ||
		    strcasecmp(k->text, "planner") == 0)
			continue;
		put(ns, spec, k->text,
		    strcasecmp(k->text, "pipeline") == 0 ? pipeline(ns, k->next)
							 : k->next);
	}
	if (p->n > 0)
		put(ns, spec, "planner", p);
	put(ns, plugins, plugin, own(ns, old, plugin));
	if (strcmp(plugin, "kubernetes") == 0 && has_stage(old, "ANALYSIS"))
		analysis(ns, plugins, old);
	put(ns, spec, "plugins", plugins);
	return spec;
}

static int
good(const char *name, const char *text, size_t n, struct err *e)
{
	struct buf b = BUF_INIT;
	struct conf_report r = { .text = &b };
	int rv = conf_check(name, text, n, &r, e);
	const char *line, *end;

	/* The first of them that is no warning. */
	for (line = b.p; rv == -1 && *line != '\0'; line = end + 1) {
		end = strchrnul(line, '\n');
		if (memmem(line, (size_t)(end - line), ": warning: ", 11) ==
		    NULL) {
			err_set(e, RC_PERM, "%.*s", (int)(end - line), line);
			break;
		}
		if (*end == '\0')
			break;
	}
	buf_free(&b);
	return rv;
}

int
conf_migrate(struct buf *out, const char *name, const char *text, size_t n,
    struct err *e)
{
	struct arena *a = arena_new();
	struct nodes ns = { .a = a };
	struct node *root, *fresh,
	    kind = { .type = NODE_STRING, .text = "Application", .n = 11 };
	const struct node *k, *spec;
	const char *plugin;
	int rv = -1;

	if (node_yaml(&root, name, text, n, NULL, a, e) == -1)
		goto out;
	k = key_value(root, "kind");
	if (k == NULL || k->type != NODE_STRING ||
	    (plugin = app_plugin(k->text)) == NULL) {
		rv = err_set(e, RC_PERM,
		    "%s: kind %s is not a v0 application: nothing to migrate",
		    name,
		    k != NULL && k->type == NODE_STRING ? k->text : "missing");
		goto out;
	}
	if (good(name, text, n, e) == -1) {
		err_wrap(e, "not migrated, it has mistakes");
		goto out;
	}
	spec = key_value(root, "spec");
	fresh = map_new_node(&ns);
	for (k = root->first; k != NULL; k = k->next->next)
		put(&ns, fresh, k->text,
		    strcasecmp(k->text, "kind") == 0 ? &kind
		    : strcasecmp(k->text, "spec") == 0
			? spec_new(&ns, spec, plugin)
			: k->next);
	node_print_yaml(out, fresh, 0);
	if ((rv = good(name, out->p, out->len, e)) == -1)
		err_wrap(e, "what came of it is refused");
out:
	arena_free(a);
	return rv;
}
