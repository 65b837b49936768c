/*
 * Frames: what is taken is written, taken again and written the same.
 * needs: libmsg libbase
 */
#include <string.h>

#include "frame.h"
#include "json.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct arena *a = arena_new();
	struct buf one = BUF_INIT, two = BUF_INIT;
	struct frame f;
	struct err e;
	int rv;

	rv = frame_parse(&f, (const char *)p, n, a, &e);
	if (rv == 1) {
		frame_write(&one, &f);
		must(one.len == strlen(one.p) && one.p[one.len - 1] == '\n');
		must(strchr(one.p, '\n') == one.p + one.len - 1);
		must(json_valid(one.p, one.len));
		must(frame_parse(&f, one.p, one.len, a, &e) == 1);
		frame_write(&two, &f);
		must(one.len == two.len && strcmp(one.p, two.p) == 0);
	} else if (rv == 0) {
		must(json_valid((const char *)p, n));
	}
	buf_free(&one);
	buf_free(&two);
	arena_free(a);
	return 0;
}
