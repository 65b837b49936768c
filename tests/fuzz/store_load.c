/*
 * Lines of a dump: what is taken is dumped, taken again and dumped the same,
 * and what is indexed is found.  The first byte chooses the table.
 * needs: libtable libmsg libhash libbase
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/deployment.pb-c.h"
#include "model/event.pb-c.h"
#include "model/piped.pb-c.h"
#include "msg.h"
#include "store.pb-c.h"
#include "table.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static const struct table_row rows[] = {
	{ TABLE_TABLE, "d", &model__deployment__descriptor, "id",
	    "project_id" },
	{ TABLE_INDEX, "d", .order = "updated_at",
	    .fields = "project_id labels" },
	{ TABLE_INDEX, "d", .order = "updated_at", .fields = "status" },
	{ TABLE_TABLE, "p", &model__piped__descriptor, "id", "project_id" },
	{ TABLE_INDEX, "p", .order = "updated_at", .fields = "name" },
	{ TABLE_HIDE, "p", .fields = "keys.hash" },
	{ TABLE_TABLE, "e", &model__event__descriptor, "id", "project_id" },
	{ TABLE_INDEX, "e", .order = "created_at", .fields = "labels" },
	{ TABLE_TABLE, "n", &store__note__descriptor, "id", "project_id" },
};
static struct tables *t;

static void
say(void *arg, const char *line)
{
	(void)arg, (void)line;
	abort();
}

static void
open_once(void)
{
	char dir[] = "/tmp/fuzz-store-XXXXXX";
	struct err e;

	if (t != NULL)
		return;
	must(mkdtemp(dir) != NULL);
	t = tables_open(rows, NITEMS(rows), dir, TABLES_CREATE, &e);
	must(t != NULL);
	/* The files live as long as we do. */
	must(tree_remove(dir, &e) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const char *const names[] = { "d", "p", "e", "n" };
	struct arena *a = arena_new();
	struct buf one = BUF_INIT, two = BUF_INIT;
	ProtobufCMessage *m;
	struct record r;
	struct table *b;
	bool deleted;
	struct err e;

	open_once();
	if (n == 0)
		goto out;
	b = table_find(t, names[*p % 4]);
	if (table_parse(b, (const char *)p + 1, n - 1, &m, &deleted, a, &e) ==
	    -1)
		goto out;
	/* Nothing is committed: each input finds an empty store. */
	must(tables_write(t, &e) == 0);
	must(table_put(b, NULL, m, deleted, NULL, a, &e) == 0);
	must(table_get(b, table_id(b, m), &r, &e) == 1 && r.deleted == deleted);
	must(table_line(b, &r, &one, a, &e) == 0);
	must(table_verify(b, say, NULL, &e) == 1);
	must(table_parse(b, one.p, one.len - 1, &m, &deleted, a, &e) == 0);
	must(table_get(b, table_id(b, m), &r, &e) == 1);
	r.value = arena_strndup(a, r.value, r.n);
	must(table_put(b, &r, m, deleted, NULL, a, &e) == 0);
	must(table_get(b, table_id(b, m), &r, &e) == 1);
	must(table_line(b, &r, &two, a, &e) == 0);
	must(one.len == two.len && memcmp(one.p, two.p, one.len) == 0);
	must(table_verify(b, say, NULL, &e) == 1);
	r.value = arena_strndup(a, r.value, r.n);
	must(table_purge(b, &r, a, &e) == 0);
	must(table_verify(b, say, NULL, &e) == 0);
	tables_end(t);
out:
	buf_free(&one);
	buf_free(&two);
	arena_free(a);
	return 0;
}
