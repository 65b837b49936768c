/* Any bytes as a template over fixed data.  needs: libtmpl */
#include <stdlib.h>
#include <string.h>

#include "tmpl.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct arena *a = arena_new();
	struct tmpl_value data = tmpl_map(), m = tmpl_map(), l = { 0 };
	struct buf out = BUF_INIT;
	struct err e;

	l.kind = TMPL_LIST;
	l.len = 2;
	l.items = arena_array(a, struct tmpl_value, 2);
	l.items[0] = tmpl_str("p", 1);
	l.items[1] = tmpl_str("q\xff\0r", 4);
	tmpl_put(&m, "b", tmpl_str("sEcret", 6), a);
	tmpl_put(&data, "a", m, a);
	tmpl_put(&data, "l", l, a);
	if (n < 4096)
		(void)tmpl_render(&out, "t", (const char *)p, n, &data, &e);
	buf_free(&out);
	arena_free(a);
	return 0;
}
