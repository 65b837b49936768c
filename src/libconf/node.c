#include "node.h"

#include <string.h>

#include "json.h"

struct node *
node_new(struct nodes *ns, enum node_type t, int line, int col)
{
	struct node *n;

	if (ns->n_free == 0) {
		ns->grow = ns->grow == 0     ? 32
			   : ns->grow < 4096 ? ns->grow * 2
					     : ns->grow;
		ns->free = arena_array(ns->a, struct node, ns->grow);
		ns->n_free = ns->grow;
	}
	ns->n_free--;
	n = ns->free++;
	n->type = t;
	n->line = line < (1 << 23) ? (unsigned)line : (1 << 23) - 1;
	n->col = col < (1 << 10) ? (unsigned)col : (1 << 10) - 1;
	return n;
}

const char *
node_text(struct nodes *ns, const char *s, size_t n)
{
	char *p;

	if (n + 1 > ns->n_text) {
		/* A long one gets its own, so that little is left unused. */
		if (n > 512)
			return arena_strndup(ns->a, s, n);
		ns->n_text = ns->grow > 1024 ? 16384 : 1024;
		ns->text = arena_alloc(ns->a, ns->n_text);
	}
	p = ns->text;
	must(p != NULL);
	if (n > 0)
		memcpy(p, s, n);
	p[n] = '\0';
	ns->text += n + 1;
	ns->n_text -= n + 1;
	return p;
}

/*
 * Characters that YAML would refuse or fold, or that do not show, are escaped;
 * all of them are in the first plane, so no surrogates are needed.
 */
static int
utf8_odd(const unsigned char *s, size_t n)
{
	if (s[0] == 0x7f)
		return 1;
	if (s[0] == 0xc2 && n > 1 && s[1] < 0xa0)
		return 2;
	if (s[0] == 0xe2 && n > 2 && s[1] == 0x80 &&
	    (s[2] == 0xa8 || s[2] == 0xa9))
		return 3;
	if (s[0] == 0xef && n > 2 &&
	    ((s[1] == 0xbb && s[2] == 0xbf) || (s[1] == 0xbf && s[2] >= 0xbe)))
		return 3;
	return 0;
}

void
node_quote(struct buf *b, const char *s, size_t n)
{
	const unsigned char *p = (const unsigned char *)s, *end = p + n, *from;
	unsigned code;
	int odd;

	buf_addc(b, '"');
	for (from = p; p < end; p++) {
		if (*p >= 0x20 && *p < 0x7f && *p != '"' && *p != '\\')
			continue;
		odd = *p >= 0x7f ? utf8_odd(p, (size_t)(end - p)) : 1;
		if (odd == 0)
			continue;
		buf_add(b, from, (size_t)(p - from));
		code = odd == 1	  ? *p
		       : odd == 2 ? (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu)
				  : (p[0] & 0xfu) << 12 | (p[1] & 0x3fu) << 6 |
					(p[2] & 0x3fu);
		switch (code) {
		case '"':
		case '\\':
			buf_addc(b, '\\');
			buf_addc(b, (char)code);
			break;
		case '\n':
			buf_adds(b, "\\n");
			break;
		case '\t':
			buf_adds(b, "\\t");
			break;
		case '\r':
			buf_adds(b, "\\r");
			break;
		default:
			buf_printf(b, "\\u%04x", code);
		}
		p += odd - 1;
		from = p + 1;
	}
	buf_add(b, from, (size_t)(end - from));
	buf_addc(b, '"');
}

void
node_print(struct buf *b, const struct node *n)
{
	const struct node *i;

	switch (n == NULL ? NODE_NULL : (enum node_type)n->type) {
	case NODE_NULL:
		buf_adds(b, "null");
		break;
	case NODE_BOOL:
	case NODE_NUMBER:
		buf_add(b, n->text, n->n);
		break;
	case NODE_STRING:
		node_quote(b, n->text, n->n);
		break;
	case NODE_SEQ:
		buf_addc(b, '[');
		for (i = n->first; i != NULL; i = i->next) {
			node_print(b, i);
			if (i->next != NULL)
				buf_addc(b, ',');
		}
		buf_addc(b, ']');
		break;
	case NODE_MAP:
		buf_addc(b, '{');
		for (i = n->first; i != NULL; i = i->next->next) {
			node_quote(b, i->text, i->n);
			buf_addc(b, ':');
			node_print(b, i->next);
			if (i->next->next != NULL)
				buf_addc(b, ',');
		}
		buf_addc(b, '}');
		break;
	}
}

const struct node *
node_get(const struct node *map, const char *key)
{
	const struct node *i;

	if (map == NULL || map->type != NODE_MAP)
		return NULL;
	for (i = map->first; i != NULL; i = i->next->next) {
		if (strcmp(i->text, key) == 0)
			return i->next;
	}
	return NULL;
}

/* --- JSON ------------------------------------------------------------------
 */

static struct node *json_value(struct nodes *ns, struct json *j);

static struct node *
json_items(struct nodes *ns, struct json *j, enum node_type t)
{
	struct node *n = node_new(ns, t, 1, (int)(j->p - j->start) + 1);
	struct node **tail = &n->first, *k, *v;
	const char *key;

	if (t == NODE_MAP ? !json_object(j) : !json_array(j))
		return n;
	while (t == NODE_MAP ? json_key(j, &key) : json_item(j)) {
		if (t == NODE_MAP) {
			k = node_new(
			    ns, NODE_STRING, 1, (int)(j->p - j->start) + 1);
			k->text = key;
			k->n = strlen(key);
			*tail = k;
			tail = &k->next;
		}
		v = json_value(ns, j);
		*tail = v;
		tail = &v->next;
		n->n++;
	}
	return n;
}

static struct node *
json_value(struct nodes *ns, struct json *j)
{
	struct node *n;
	const char *s;
	size_t len;
	bool yes;

	switch (json_peek(j)) {
	case JSON_OBJECT:
		return json_items(ns, j, NODE_MAP);
	case JSON_ARRAY:
		return json_items(ns, j, NODE_SEQ);
	default:
		break;
	}
	n = node_new(ns, NODE_NULL, 1, (int)(j->p - j->start) + 1);
	switch (json_peek(j)) {
	case JSON_STRING:
		n->type = NODE_STRING;
		n->text = json_string(j, &s) ? s : "";
		n->n = strlen(n->text);
		break;
	case JSON_NUMBER:
		n->type = NODE_NUMBER;
		if (!json_number(j, &s, &len))
			s = "0", len = 1;
		n->text = node_text(ns, s, len);
		n->n = len;
		break;
	case JSON_BOOL:
		n->type = NODE_BOOL;
		n->text = json_bool(j, &yes) && yes ? "true" : "false";
		n->n = strlen(n->text);
		break;
	default:
		(void)json_null(j);
	}
	return n;
}

int
node_json(struct node **root, const char *name, const char *text, size_t n,
    struct arena *a, struct err *e)
{
	struct nodes ns = { .a = a };
	struct json j;

	*root = NULL;
	if (n > NODE_TEXT_MAX)
		return err_set(e, RC_PERM, "%s: %zu MiB; at most %d are read",
		    name, n >> 20, NODE_TEXT_MAX >> 20);
	json_open(&j, text, n, a);
	*root = json_value(&ns, &j);
	return json_close(&j, e) == -1 ? err_wrap(e, "%s", name) : 0;
}
