/*
 * YAML of strangers, and JSON: what is read prints as JSON, which both readers
 * read as the same again.
 * needs: libconf
 */
#include <stdint.h>
#include <string.h>

#include "node.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
again(const struct buf *b, struct arena *a)
{
	struct buf c = BUF_INIT;
	struct node *n;
	struct err e;

	must(node_json(&n, "json", b->p, b->len, a, &e) == 0);
	node_print(&c, n);
	must(c.len == b->len && memcmp(c.p, b->p, c.len) == 0);
	buf_reset(&c);
	/* libyaml takes no key of more than 1024 characters. */
	if (b->len < 1024) {
		must(node_yaml(&n, "yaml", b->p, b->len, NULL, a, &e) == 0);
		node_print(&c, n);
		must(c.len == b->len && memcmp(c.p, b->p, c.len) == 0);
	}
	buf_free(&c);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new();
	struct buf b = BUF_INIT;
	struct node *n;
	struct err e;

	if (node_yaml(&n, "fuzz", (const char *)data, size, NULL, a, &e) == 0) {
		node_print(&b, n);
		again(&b, a);
	} else
		must(e.text[0] != '\0');
	if (node_json(&n, "fuzz", (const char *)data, size, a, &e) == 0) {
		buf_reset(&b);
		node_print(&b, n);
	}
	buf_free(&b);
	arena_free(a);
	return 0;
}
