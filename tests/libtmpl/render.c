/*
 * render - libtmpl on the command line: `render K=V...` with the template on
 * stdin; the data is a map with those and .m, .l as samples.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tmpl.h"

int
main(int argc, char **argv)
{
	struct buf in = BUF_INIT, out = BUF_INIT;
	struct tmpl_value data = tmpl_map(), m = tmpl_map(), l = { 0 };
	struct arena *a = arena_new();
	struct err e = { 0 };
	ssize_t n;
	int i, rv;

	log_open("render", LOG_INFO);
	for (i = 1; i < argc; i++) {
		char *v = strchr(argv[i], '=');

		*v++ = '\0';
		tmpl_put(&data, argv[i], tmpl_str(v, strlen(v)), a);
	}
	tmpl_put(&m, "x", tmpl_str("1", 1), a);
	tmpl_put(&m, "a", tmpl_str("two", 3), a);
	l.kind = TMPL_LIST;
	l.items = arena_array(a, struct tmpl_value, 3);
	l.len = 3;
	l.items[0] = tmpl_str("p", 1);
	l.items[1] = tmpl_str("q", 1);
	l.items[2] = tmpl_str("r", 1);
	tmpl_put(&data, "m", m, a);
	tmpl_put(&data, "l", l, a);
	do {
		buf_grow(&in, 65536);
		n = read(0, in.p + in.len, 65536);
		if (n > 0)
			in.len += (size_t)n;
	} while (n > 0);
	rv = tmpl_render(&out, "t", in.p, in.len, &data, &e);
	if (rv == 0)
		fwrite(out.p, 1, out.len, stdout);
	else
		fprintf(stderr, "%s\n", e.text);
	buf_free(&in);
	buf_free(&out);
	arena_free(a);
	return rv == 0 ? 0 : e.exit;
}
