/* Read frames from stdin and write them again; a kind not known as it came. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "frame.h"

int
main(int argc, char *argv[])
{
	struct frame_reader r = { .in = stdin, .name = "stdin" };
	struct arena *a = arena_new();
	struct err e;
	struct frame f;
	int rv;

	log_open("frames", LOG_INFO);
	if (argc > 1 && strcmp(argv[1], "manual") == 0) {
		frame_manual(stdout);
		return 0;
	}
	while ((rv = frame_next(&r, &f, a, &e)) != 2) {
		if (rv == -1)
			die(&e);
		if (rv == 0)
			rv = write_all(1, r.line, (size_t)r.len);
		else
			rv = frame_print(1, &f, &e);
		if (rv == -1)
			die(&e);
		arena_reset(a);
	}
	frame_reader_free(&r);
	arena_free(a);
	return 0;
}
