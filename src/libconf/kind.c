#include "read.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static const char API_VERSION[] = "pipecd.dev/v1beta1";

static void
twice(void *arg, const struct node *key)
{
	struct path at = { .name = key->text };

	warning(arg, key, &at, "given twice; the last one counts");
}

void
reader_init(struct reader *r, const char *name, struct arena *a)
{
	memset(r, 0, sizeof(*r));
	r->name = name;
	r->a = a;
}

/* The parser's error is "name:line:col: what" already. */
static void
parse_mistake(struct reader *r, const struct err *e)
{
	struct node at = { .type = NODE_NULL, .line = 1, .col = 1 };
	const char *p = e->text + strlen(r->name);
	unsigned line, col;
	int n = 0;

	if (str_prefix(e->text, r->name) &&
	    sscanf(p, ":%u:%u: %n", &line, &col, &n) == 2 && n > 0) {
		at.line = line;
		at.col = col < 1023 ? col : 1023;
		p += n;
	} else
		p = e->text;
	mistake(r, &at, NULL, "%s", p);
}

static const char *
envelope_text(struct reader *r, const struct node *root, const char *key)
{
	const struct node *n = key_value(root, key);
	struct path at = { .name = key };

	if (n == NULL) {
		mistake(r, root, &at, "missing%s%s",
		    strcmp(key, "apiVersion") == 0 ? ": " : "",
		    strcmp(key, "apiVersion") == 0 ? API_VERSION : "");
		return NULL;
	}
	if (n->type != NODE_STRING) {
		mistake(r, n, &at, "%s is not text", node_kind(n));
		return NULL;
	}
	return n->text;
}

int
envelope_read(struct envelope *v, struct reader *r, const char *text, size_t n)
{
	struct node_seen seen = { .twice = twice, .arg = r };
	struct path at = { .name = "apiVersion" };
	struct node *root;
	const char *version;
	struct err e;

	memset(v, 0, sizeof(*v));
	if (node_yaml(&root, r->name, text, n, &seen, r->a, &e) == -1) {
		parse_mistake(r, &e);
		return -1;
	}
	v->root = root;
	if (root->type != NODE_MAP) {
		mistake(r, root, NULL,
		    root->type == NODE_NULL
			? "empty; it takes apiVersion, kind and spec"
			: "%s; it takes apiVersion, kind and spec",
		    node_kind(root));
		return -1;
	}
	version = envelope_text(r, root, "apiVersion");
	if (version != NULL && strcmp(version, API_VERSION) != 0)
		mistake(r, key_value(root, "apiVersion"), &at,
		    "\"%.60s\" is not %s", version, API_VERSION);
	if ((v->kind = envelope_text(r, root, "kind")) == NULL)
		return -1;
	v->spec = key_value(root, "spec");
	v->slice = key_value(root, "slice");
	if (v->slice != NULL)
		r->slice = true;
	return 0;
}

void
envelope_keys(struct reader *r, const struct envelope *v)
{
	static const char *const known[] = { "apiVersion", "kind", "spec",
		"slice" };
	const struct node *k;
	struct path at = { .up = NULL };
	size_t i;

	for (k = v->root->first; k != NULL; k = k->next->next) {
		for (i = 0; i < NITEMS(known); i++) {
			if (strcasecmp(known[i], k->text) == 0)
				break;
		}
		at.name = k->text;
		if (i == NITEMS(known))
			(r->strict ? mistake : warning)(r, k, &at,
			    "no such key beside apiVersion, kind and spec");
	}
}

void
other_form(struct reader *r, const struct object *o, const struct key *k,
    const struct node *n, const struct path *at)
{
	bool stage = o->how == TOLERATE && at->up != NULL &&
		     at->up->name != NULL && strcmp(at->up->name, "with") == 0;

	if (strcmp(o->name, "piped") == 0)
		warning(r, n, at,
		    "not read where plugins is given; it belongs to the form "
		    "before them");
	else if (stage && r->v1)
		warning(r, n, at,
		    "does nothing here; in kind Application it stands beside "
		    "with");
	else if (strcmp(k->name, "skipOn") == 0)
		warning(r, n, at,
		    "does nothing here; in this kind it stands under with");
	else if (r->strict && o->how != TOLERATE)
		mistake(r, n, at, "no such key in this kind");
	else if (strcmp(k->name, "autoRollback") == 0)
		warning(r, n, at,
		    "does nothing here; in kind Application it is "
		    "planner.autoRollback");
	else
		warning(r, n, at, "no such key in this kind; it does nothing");
}

/* The slice we were started with: read in place, so that it can be again. */
static int
slice_read(struct buf *b, struct err *e)
{
	ssize_t n;

	do {
		buf_grow(b, 65536);
		n = pread(FD_CONF, b->p + b->len, 65536, (off_t)b->len);
		if (n > 0)
			b->len += (size_t)n;
	} while (n > 0 || (n == -1 && errno == EINTR));
	b->p[b->len] = '\0';
	return n == -1 ? err_sys(e, "configuration on descriptor %d", FD_CONF)
		       : 0;
}

int
conf_text(struct buf *text, const char **name, const char *path,
    const char *example, struct err *e)
{
	int rv;

	*name = path != NULL ? path : "configuration";
	if (path == NULL && getenv("PIPECD_CONF") == NULL)
		return err_set(
		    e, RC_PERM, "no configuration: give -f %s", example);
	if (path == NULL)
		return slice_read(text, e);
	if ((rv = file_read(path, NODE_TEXT_MAX, text, e)) == 0)
		rv = err_set(e, RC_PERM, "%s: no such file", path);
	return rv == -1 ? -1 : 0;
}
