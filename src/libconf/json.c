#include "read.h"

#include <string.h>

/*
 * A map as JSON the way we would have written it: our spelling of keys, the
 * defaults filled in, what is unknown left as it is.
 */

static void
default_json(struct buf *b, const struct key *k)
{
	switch (k->type) {
	case K_BOOL:
	case K_OFF:
	case K_INT:
	case K_PERCENT:
		buf_adds(b, k->dflt);
		break;
	default:
		node_quote(b, k->dflt, strlen(k->dflt));
	}
}

static bool
is_zero(const struct node *n)
{
	return (n->type == NODE_STRING && n->n == 0) ||
	       (n->type == NODE_NUMBER && strcmp(n->text, "0") == 0);
}

static void
value_json(struct buf *b, const struct key *k, const struct node *n, bool v1)
{
	const struct node *i;
	bool more = false;

	if (k->sub == OBJ_none ||
	    (n->type != NODE_SEQ && n->type != NODE_MAP)) {
		node_print(b, n);
		return;
	}
	if ((k->type == K_LIST || k->type == K_JSONS) && n->type == NODE_SEQ) {
		buf_addc(b, '[');
		for (i = n->first; i != NULL; i = i->next, more = true) {
			buf_adds(b, more ? "," : "");
			object_json(b, &objects[k->sub], i, v1);
		}
		buf_addc(b, ']');
	} else if ((k->type == K_MAP || k->type == K_NAMED) &&
		   n->type == NODE_MAP) {
		buf_addc(b, '{');
		for (i = n->first; i != NULL; i = i->next->next, more = true) {
			buf_adds(b, more ? "," : "");
			node_quote(b, i->text, i->n);
			buf_addc(b, ':');
			object_json(b, &objects[k->sub], i->next, v1);
		}
		buf_addc(b, '}');
	} else
		object_json(b, &objects[k->sub], n, v1);
}

void
object_json(
    struct buf *b, const struct object *o, const struct node *n, bool v1)
{
	const struct key *k;
	const struct node *i, *v;
	struct key_walk w;
	bool more = false;
	int index, off;

	if (n != NULL && n->type != NODE_MAP && n->type != NODE_NULL) {
		node_print(b, n);
		return;
	}
	buf_addc(b, '{');
	key_walk(&w, o);
	while ((k = key_next(&w, &off)) != NULL) {
		if (k->flags & (v1 ? V0 : V1))
			continue;
		v = key_value(n, k->name);
		if (v != NULL && k->dflt != NULL && is_zero(v))
			v = NULL;
		if (v == NULL && k->dflt == NULL)
			continue;
		buf_adds(b, more ? "," : "");
		more = true;
		node_quote(b, k->name, strlen(k->name));
		buf_addc(b, ':');
		if (v != NULL)
			value_json(b, k, v, v1);
		else
			default_json(b, k);
	}
	for (i = n != NULL && n->type == NODE_MAP ? n->first : NULL; i != NULL;
	     i = i->next->next) {
		k = key_find(o, i->text, v1, &index, &off);
		if (k != NULL && !(k->flags & (v1 ? V0 : V1)))
			continue;
		buf_adds(b, more ? "," : "");
		more = true;
		node_quote(b, i->text, i->n);
		buf_addc(b, ':');
		node_print(b, i->next);
	}
	buf_addc(b, '}');
}

const char *
object_text(
    const struct object *o, const struct node *n, bool v1, struct arena *a)
{
	struct buf b = BUF_INIT;
	const char *s;

	object_json(&b, o, n, v1);
	s = arena_strndup(a, b.p, b.len);
	buf_free(&b);
	return s;
}
