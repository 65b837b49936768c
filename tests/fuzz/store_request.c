/*
 * What a client sends to the store, in any pieces: messages come out whole or
 * the connection is refused; a list, whatever it asks, ends.
 * needs: libtable libstore libmsg libhash libbase
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "model/deployment.pb-c.h"
#include "msg.h"
#include "store.h"
#include "table.h"
#include "wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static const struct table_row rows[] = {
	{ TABLE_TABLE, "deployment", &model__deployment__descriptor, "id",
	    "project_id" },
	{ TABLE_INDEX, "deployment", .order = "updated_at",
	    .fields = "project_id labels" },
	{ TABLE_INDEX, "deployment", .order = "updated_at",
	    .fields = "project_id status" },
	{ TABLE_INDEX, "deployment", .order = "updated_at", .fields = "" },
};
static struct tables *t;

static void
open_once(void)
{
	char dir[] = "/tmp/fuzz-store-XXXXXX", id[8];
	Model__Deployment d;
	struct arena *a;
	struct err e;
	int i;

	if (t != NULL)
		return;
	a = arena_new();
	must(mkdtemp(dir) != NULL);
	t = tables_open(rows, NITEMS(rows), dir, TABLES_CREATE, &e);
	must(t != NULL && tables_write(t, &e) == 0);
	for (i = 0; i < 40; i++) {
		model__deployment__init(&d);
		snprintf(id, sizeof(id), "d%d", i);
		d.id = id;
		d.project_id = arena_strdup(a, i % 2 ? "p1" : "p2");
		d.status = i % 7;
		d.updated_at = 1 + i / 3;
		must(table_put(table_find(t, "deployment"), NULL, &d.base,
			 false, NULL, a, &e) == 0);
	}
	must(tables_commit(t, &e) == 0);
	must(tree_remove(dir, &e) == 0);
	arena_free(a);
}

static void
list(const Store__List *l, struct arena *a)
{
	struct table_filter *f =
	    arena_array(a, struct table_filter, l->n_filters + 1);
	struct record *r = arena_array(a, struct record, TABLE_PAGE_MAX);
	struct table_query q = { .filters = f,
		.n = l->n_filters,
		.order = l->order,
		.ascending = l->ascending,
		.deleted = l->deleted,
		.min = l->min,
		.max = l->max,
		.limit = l->limit % TABLE_PAGE_MAX + 1,
		.cursor = l->cursor };
	const char *next;
	struct err e;
	size_t i, pages = 0;
	ssize_t n;

	for (i = 0; i < l->n_filters; i++) {
		f[i].field = l->filters[i]->field;
		f[i].values = l->filters[i]->values;
		f[i].n = l->filters[i]->n_values;
	}
	must(tables_read(t, &e) == 0);
	do {
		n = table_list(
		    table_find(t, "deployment"), &q, r, &next, a, &e);
		must(n <= (ssize_t)q.limit && ++pages < 100);
		q.cursor = next;
	} while (n != -1 && next != NULL);
	tables_end(t);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct arena *a = arena_new();
	const uint8_t *m;
	Store__Request *q;
	struct wire w;
	struct err e;
	size_t at, piece, len;
	int s[2], got = 0;

	open_once();
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s) == 0);
	wire_init(&w, s[0]);
	for (at = 0; at < n && got != -1; at += piece) {
		piece = n - at < 1u + p[at] ? n - at : 1u + p[at];
		must(write(s[1], p + at, piece) == (ssize_t)piece);
		must(wire_fill(&w) == 1);
		while ((got = wire_next(&w, &m, &len)) == 1) {
			must(len <= n);
			q = (Store__Request *)msg_unpack(
			    &store__request__descriptor, m, len, a, 0, &e);
			if (q != NULL &&
			    q->ask_case == STORE__REQUEST__ASK_LIST)
				list(q->list, a);
		}
	}
	wire_free(&w);
	close(s[1]);
	arena_free(a);
	return 0;
}
