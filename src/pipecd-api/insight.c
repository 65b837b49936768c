/* Delivery figures, from what pipecd-ops collected. */
#include "insight.h"

#include <string.h>

#include "api.h"

struct asking {
	struct insight *insight;
	char prefix[INSIGHT_KEY];
	char **keys;
	size_t n, cap, i;
};

static void chunk_next(struct call *c);

static void
chunk(struct call *c, const Store__Reply *r)
{
	struct asking *g = c->user;
	struct err e;

	/* Retention or a new collection may have removed it meanwhile. */
	if (r->code != STORE__CODE__NOT_FOUND) {
		if (!went_well(c, r, "insight data"))
			return;
		if (insight_add(g->insight, r->data.data, r->data.len, &e) ==
		    -1) {
			refuse(
			    c, GRPC_INTERNAL, "%s: %s", g->keys[g->i], e.text);
			return;
		}
	}
	g->i++;
	chunk_next(c);
}

static void
chunk_next(struct call *c)
{
	struct asking *g = c->user;

	if (g->i < g->n)
		ask_object(c, g->keys[g->i], chunk);
	else
		reply(c, insight_answer(g->insight));
}

static void keys(struct call *c, const Store__Reply *r);

static void
keys_ask(struct call *c, const char *cursor)
{
	struct asking *g = c->user;
	Store__ObjectList l = STORE__OBJECT_LIST__INIT;
	Store__Request q = STORE__REQUEST__INIT;

	l.prefix = g->prefix;
	l.cursor = (char *)(uintptr_t)cursor;
	STORE_ASK(&q, OBJECT_LIST, object_list, &l);
	ask(c, &q, keys);
}

static void
keys(struct call *c, const Store__Reply *r)
{
	struct asking *g = c->user;
	char **more;
	size_t i;

	if (!went_well(c, r, "insight data"))
		return;
	for (i = 0; i < r->n_objects; i++) {
		if (!insight_wants(g->insight, r->objects[i]->key))
			continue;
		if (g->n == g->cap) {
			g->cap = g->cap == 0 ? 32 : g->cap * 2;
			more = arena_array(c->a, char *, g->cap);
			if (g->n > 0)
				memcpy(more, g->keys, g->n * sizeof(*more));
			g->keys = more;
		}
		g->keys[g->n++] = arena_strdup(c->a, r->objects[i]->key);
	}
	if (!empty(r->cursor))
		keys_ask(c, r->cursor);
	else
		chunk_next(c);
}

void
insight_data(struct call *c, const void *req)
{
	struct asking *g = arena_new_of(c->a, struct asking);
	struct err e;

	if ((g->insight = insight_new(req, c->a, &e)) == NULL) {
		refuse(c, GRPC_INVALID_ARGUMENT, "%s", e.text);
		return;
	}
	insight_prefix(g->prefix, c->who.project);
	c->user = g;
	keys_ask(c, "");
}
