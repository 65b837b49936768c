#include <string.h>

#include "node.h"

/* Trees and text as YAML. */

void
node_plain(struct buf *b, const char *s)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "/._-";
	struct node n = { .type = NODE_STRING };
	struct nodes ns = { .a = NULL };
	struct err e;
	bool safe;

	safe = strlen(s) > 0 && strspn(s, plain) == strlen(s) &&
	       strchr("0123456789-.", s[0]) == NULL;
	if (safe && strlen(s) < 6) { /* true, null, off ... */
		ns.a = arena_new();
		safe = scalar_resolve(&n, &ns, NULL, true, s, strlen(s), &e) ==
			   0 &&
		       n.type == NODE_STRING;
		arena_free(ns.a);
	}
	if (safe)
		buf_adds(b, s);
	else
		node_quote(b, s, strlen(s));
}

static void
text(struct buf *b, const struct node *n, int indent)
{
	const char *s = n->text, *end;

	/* Lines as a block, where it says them as they are. */
	if (strchr(s, '\n') == NULL || s[0] == ' ' || s[0] == '\n' ||
	    !str_suffix(s, "\n") || str_suffix(s, "\n\n") ||
	    strpbrk(s, "\r\t\x7f") != NULL) {
		node_plain(b, s);
		buf_addc(b, '\n');
		return;
	}
	buf_adds(b, "|\n");
	for (; *s != '\0'; s = end + 1) {
		end = s + strcspn(s, "\n");
		if (end > s)
			buf_printf(b, "%*s", indent, "");
		buf_add(b, s, (size_t)(end - s) + 1);
	}
}

/* What follows "key:" or "-": on the same line, or below. */
static void
value(struct buf *b, const struct node *n, int indent, bool item)
{
	size_t len;

	if ((n->type == NODE_MAP || n->type == NODE_SEQ) && n->n > 0) {
		if (!item) {
			buf_addc(b, '\n');
			node_print_yaml(
			    b, n, n->type == NODE_SEQ ? indent : indent + 2);
			return;
		}
		/* "- key: value": the first line moves up beside the dash. */
		buf_addc(b, ' ');
		len = b->len;
		node_print_yaml(b, n, indent + 2);
		memmove(b->p + len, b->p + len + indent + 2,
		    b->len - len - (size_t)indent - 2 + 1);
		b->len -= (size_t)indent + 2;
		return;
	}
	buf_addc(b, ' ');
	node_print_yaml(b, n, indent + 2);
}

void
node_print_yaml(struct buf *b, const struct node *n, int indent)
{
	const struct node *i;

	switch (n->type) {
	case NODE_NULL:
		buf_adds(b, "null\n");
		break;
	case NODE_BOOL:
	case NODE_NUMBER:
		buf_printf(b, "%s\n", n->text);
		break;
	case NODE_STRING:
		text(b, n, indent);
		break;
	case NODE_SEQ:
		if (n->n == 0)
			buf_adds(b, "[]\n");
		for (i = n->n > 0 ? n->first : NULL; i != NULL; i = i->next) {
			buf_printf(b, "%*s-", indent, "");
			value(b, i, indent, true);
		}
		break;
	case NODE_MAP:
		if (n->n == 0)
			buf_adds(b, "{}\n");
		for (i = n->n > 0 ? n->first : NULL; i != NULL;
		     i = i->next->next) {
			buf_printf(b, "%*s", indent, "");
			node_plain(b, i->text);
			buf_addc(b, ':');
			value(b, i->next, indent, false);
		}
		break;
	}
}
