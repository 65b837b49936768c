#include "read.h"

#include <stdio.h>
#include <string.h>

/*
 * The effective configuration as YAML, from the rows.  Whether a key is shown
 * is in its row; secrets are stars for people (WHO_ALL) and whole in a slice.
 */

struct printer {
	struct buf *b;
	enum conf_who who;
	const char *plugin;
	bool v1;
	bool shown; /* to people */
	int config; /* OBJ_ of the targets' config, OBJ_none: not known */
};

static const unsigned who_flag[] = {
	[WHO_GITWATCH] = FOR_GITWATCH,
	[WHO_CHECKOUT] = FOR_CHECKOUT,
	[WHO_PUSH] = FOR_PUSH,
	[WHO_PLAN] = FOR_PLAN,
	[WHO_EXEC] = FOR_EXEC,
	[WHO_DRIFT] = FOR_DRIFT,
	[WHO_REPORT] = FOR_REPORT,
	[WHO_PLATFORM] = FOR_PLATFORM,
	[WHO_SCRIPT] = FOR_SCRIPT,
	[WHO_API] = FOR_API,
	[WHO_STORE] = FOR_STORE,
	[WHO_OPS] = FOR_OPS,
};
static const char *const who_name[] = {
	[WHO_GITWATCH] = "gitwatch",
	[WHO_CHECKOUT] = "checkout",
	[WHO_PUSH] = "push",
	[WHO_PLAN] = "plan",
	[WHO_EXEC] = "exec",
	[WHO_DRIFT] = "drift",
	[WHO_REPORT] = "report",
	[WHO_PLATFORM] = "platform",
	[WHO_SCRIPT] = "script",
	[WHO_API] = "api",
	[WHO_STORE] = "store",
	[WHO_OPS] = "ops",
};

static bool
sees(const struct printer *p, const struct key *k)
{
	return p->who == WHO_ALL || (k->flags & FOR_ANY) == 0 ||
	       (k->flags & who_flag[p->who]) != 0;
}

static void
print_duration(struct buf *b, int64_t ms)
{
	if (ms != 0 && ms % 3600000 == 0)
		buf_printf(b, "%lldh", (long long)(ms / 3600000));
	else if (ms != 0 && ms % 60000 == 0)
		buf_printf(b, "%lldm", (long long)(ms / 60000));
	else if (ms % 1000 == 0)
		buf_printf(b, "%llds", (long long)(ms / 1000));
	else
		buf_printf(b, "%lldms", (long long)ms);
}

/* https://user:password@host/ without what is before the @. */
static void
print_remote(struct buf *b, const char *s)
{
	const char *from = strstr(s, "://"), *at, *end, *colon;
	struct buf t = BUF_INIT;

	if (from != NULL) {
		from += 3;
		end = from + strcspn(from, "/?#");
		at = memrchr(from, '@', (size_t)(end - from));
		colon =
		    at != NULL ? memchr(from, ':', (size_t)(at - from)) : NULL;
		if (at != NULL && (colon != NULL || !str_prefix(s, "ssh"))) {
			buf_add(&t, s, (size_t)(from - s));
			buf_adds(&t, at + 1);
			node_plain(b, t.p);
			buf_free(&t);
			return;
		}
	}
	node_plain(b, s);
}

static void print_object(struct printer *p, const struct object *o,
    const char *base, int indent, bool dash);

static void
lead(struct buf *b, int indent, bool *dash)
{
	int i;

	for (i = *dash ? 2 : 0; i < indent; i++)
		buf_addc(b, ' ');
	if (*dash)
		buf_adds(b, "- ");
	*dash = false;
}

/* Entries of a list of maps; an empty map is {}. */
static void
print_items(struct printer *p, const struct key *k, const char *items, size_t n,
    int indent)
{
	const struct object *o = &objects[k->sub];
	const struct conf_plugin *plugin;
	bool dash = false, named = k->type == K_NAMED;
	size_t i, len;

	for (i = 0; i < n; i++, items += o->size) {
		plugin = (const struct conf_plugin *)(const void *)items;
		if (k->sub == OBJ_plugin && p->who == WHO_PLATFORM &&
		    p->plugin != NULL && strcmp(plugin->name, p->plugin) != 0)
			continue;
		if (named) {
			dash = false;
			lead(p->b, indent, &dash);
			node_quote(p->b,
			    *(const char *const *)(const void *)items,
			    strlen(*(const char *const *)(const void *)items));
			buf_adds(p->b, ":\n");
		}
		if (k->sub == OBJ_plugin)
			p->config = plugin->url == NULL
					? target_object(plugin->name)
					: OBJ_none;
		len = p->b->len;
		print_object(p, o, items, indent + 2, !named);
		if (p->b->len != len)
			continue;
		if (named) {
			p->b->len--;
			buf_adds(p->b, " {}\n");
		} else {
			dash = true;
			lead(p->b, indent + 2, &dash);
			buf_adds(p->b, "{}\n");
		}
	}
}

static void
print_strs(struct buf *b, const char *const *v, size_t n)
{
	size_t i;

	buf_addc(b, '[');
	for (i = 0; i < n; i++) {
		buf_adds(b, i > 0 ? ", " : "");
		node_plain(b, v[i]);
	}
	buf_adds(b, "]\n");
}

static void
print_pairs(struct buf *b, const struct conf_pair *v, size_t n)
{
	size_t i;

	buf_addc(b, '{');
	for (i = 0; i < n; i++) {
		buf_adds(b, i > 0 ? ", " : "");
		node_quote(b, v[i].key, strlen(v[i].key));
		buf_adds(b, ": ");
		node_plain(b, v[i].value);
	}
	buf_adds(b, "}\n");
}

static void
star(struct node *v, struct arena *a)
{
	const char *eq = v->type == NODE_STRING ? strchr(v->text, '=') : NULL;
	struct node *i;

	if (v->type == NODE_SEQ) { /* name=value: the name may be seen */
		for (i = v->first; i != NULL; i = i->next)
			star(i, a);
	} else if (v->type == NODE_STRING || v->type == NODE_NUMBER) {
		v->type = NODE_STRING;
		v->text = eq == NULL ? "******"
				     : arena_printf(a, "%.*s=******",
					   (int)(eq - v->text), v->text);
		v->n = strlen(v->text);
	}
}

/*
 * Stars in place of what the rows call secret.  Without rows only a plugin
 * knows what is one: every text may be.
 */
static void
mask(struct node *n, const struct object *o, struct arena *a)
{
	const struct key *k;
	struct node *i;
	int index, off;

	if (n->type == NODE_STRING && o == NULL)
		star(n, a);
	for (i = n->type == NODE_SEQ ? n->first : NULL; i != NULL; i = i->next)
		mask(i, o, a);
	for (i = n->type == NODE_MAP ? n->first : NULL; i != NULL;
	     i = i->next->next) {
		k = o != NULL ? key_find(o, i->text, false, &index, &off)
			      : NULL;
		if (k != NULL && (k->flags & SECRET))
			star(i->next, a);
		else if (k == NULL || k->type == K_ANY || k->sub != OBJ_none)
			mask(i->next,
			    k != NULL && k->sub != OBJ_none ? &objects[k->sub]
							    : NULL,
			    a);
	}
}

/* JSON text with its secrets as stars, for people. */
static void
print_json(struct printer *p, const struct key *k, const char *text)
{
	int object = k->sub != OBJ_none ? k->sub : p->config;
	struct arena *a;
	struct node *n;
	struct err e;

	if (!p->shown) {
		buf_adds(p->b, text);
		return;
	}
	a = arena_new();
	if (node_json(&n, "", text, strlen(text), a, &e) == 0) {
		mask(n, object != OBJ_none ? &objects[object] : NULL, a);
		node_print(p->b, n);
	} else
		buf_adds(p->b, "{}");
	arena_free(a);
}

/* One scalar; false when there is nothing to show. */
static bool
print_scalar(struct printer *p, const struct key *k, const char *at)
{
	const char *s;

	switch (k->type) {
	case K_STR:
	case K_REPLICAS:
		s = *(const char *const *)(const void *)at;
		if (s == NULL)
			return false;
		if ((k->flags & SECRET) && p->shown)
			buf_adds(p->b, "\"******\"");
		else if ((k->flags & REMOTE) &&
			 (p->shown ||
			     (p->who != WHO_GITWATCH && p->who != WHO_PUSH)))
			print_remote(p->b, s);
		else
			node_plain(p->b, s);
		return true;
	case K_BOOL:
	case K_OFF:
		buf_adds(
		    p->b, *(const bool *)(const void *)at != (k->type == K_OFF)
			      ? "true"
			      : "false");
		return true;
	case K_INT:
	case K_PERCENT:
		if (k->dflt == NULL && !k->ranged &&
		    *(const int64_t *)(const void *)at == 0)
			return false;
		buf_printf(p->b, "%lld%s",
		    (long long)*(const int64_t *)(const void *)at,
		    k->type == K_PERCENT ? "%" : "");
		return true;
	case K_DURATION:
	case K_DAYS:
		print_duration(p->b, *(const int64_t *)(const void *)at);
		return true;
	case K_JSON:
	case K_JSONS:
		s = *(const char *const *)(const void *)at;
		if (s == NULL)
			return false;
		print_json(p, k, s);
		return true;
	default:
		return false;
	}
}

static void
print_key(struct printer *p, const struct key *k, const char *at, int indent,
    bool *dash)
{
	const void *v;
	size_t n, len = p->b->len;
	bool was = *dash;

	lead(p->b, indent, dash);
	buf_printf(p->b, "%s: ", k->name);
	switch (k->type) {
	case K_STRS:
	case K_PAIRS:
	case K_LIST:
	case K_NAMED:
		v = *(const void *const *)(const void *)at;
		n = *(const size_t *)(const void *)(at + sizeof(void *));
		if (v == NULL)
			goto nothing;
		if (k->type == K_STRS)
			print_strs(p->b, v, n);
		else if (k->type == K_PAIRS)
			print_pairs(p->b, v, n);
		else if (n == 0)
			buf_adds(p->b, k->type == K_LIST ? "[]\n" : "{}\n");
		else {
			p->b->p[p->b->len - 1] = '\n';
			print_items(p, k, v, n, indent + 2);
		}
		return;
	case K_OBJ:
		p->b->p[p->b->len - 1] = '\n';
		n = p->b->len;
		print_object(p, &objects[k->sub], at, indent + 2, false);
		if (p->b->len == n)
			goto nothing;
		return;
	default:
		if (!print_scalar(p, k, at))
			goto nothing;
		buf_addc(p->b, '\n');
		return;
	}
nothing:
	p->b->len = len;
	p->b->p[len] = '\0';
	*dash = was;
}

static void
print_object(struct printer *p, const struct object *o, const char *base,
    int indent, bool dash)
{
	const struct key *k;
	struct key_walk w;
	int off;

	key_walk(&w, o);
	while ((k = key_next(&w, &off)) != NULL) {
		if (k->off < 0 || (k->flags & (p->v1 ? V0 : V1)) || !sees(p, k))
			continue;
		print_key(p, k, base + off + k->off, indent, &dash);
	}
}

/* v0: plugins as the providers that they were. */
static void
print_providers(struct printer *p, const struct conf_piped *c)
{
	struct conf_provider one;
	const struct conf_plugin *k;
	const struct conf_target *t;
	size_t i, j;

	for (i = 0; i < c->n_plugins; i++) {
		k = &c->plugins[i];
		if (p->who == WHO_PLATFORM && p->plugin != NULL &&
		    strcmp(k->name, p->plugin) != 0)
			continue;
		p->config = target_object(k->name);
		for (j = 0; j < k->n_targets; j++) {
			t = &k->targets[j];
			one = (struct conf_provider){ .name = t->name,
				.type = provider_type(k->name),
				.labels = t->labels,
				.n_labels = t->n_labels,
				.config = t->config };
			print_object(p, &objects[OBJ_provider],
			    (const char *)&one, 6, true);
		}
	}
}

/* What every kind begins with. */
static void
print_head(struct printer *p, struct buf *out, enum conf_who who,
    const char *kind, const char *slice)
{
	p->b = out;
	p->shown = who == WHO_ALL || (who & WHO_SHOWN);
	p->who = (enum conf_who)(who & ~WHO_SHOWN);
	buf_printf(out, "apiVersion: pipecd.dev/v1beta1\nkind: %s\n", kind);
	if (p->who != WHO_ALL)
		slice = who_name[p->who];
	if (slice != NULL)
		buf_printf(out, "slice: %s\n", slice);
	buf_adds(out, "spec:\n");
}

void
conf_piped_print(struct buf *out, const struct conf_piped *c, enum conf_who who,
    const char *plugin)
{
	struct printer p = { .plugin = plugin, .v1 = c->v1 };
	size_t len;

	print_head(&p, out, who, "Piped", c->slice);
	print_object(&p, &objects[OBJ_piped], (const char *)c, 2, false);
	if (!c->v1 && c->n_plugins > 0) {
		buf_adds(out, "  platformProviders:\n");
		len = out->len;
		print_providers(&p, c);
		if (out->len == len) {
			out->len--;
			buf_adds(out, " []\n");
		}
	}
}

void
conf_control_print(
    struct buf *out, const struct conf_control *c, enum conf_who who)
{
	struct printer p = { .v1 = false };

	print_head(&p, out, who, "ControlPlane", c->slice);
	print_object(&p, &objects[OBJ_control], (const char *)c, 2, false);
}
