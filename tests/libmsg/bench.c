/*
 * Small frames per second, JSON in and out, on one core: by processor time,
 * so that others on the machine do not count.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "frame.h"

static const char head[] =
    "{\"v\":1,\"kind\":\"head\",\"repo\":\"web\",\"branch\":\"main\","
    "\"commit\":\"c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00\","
    "\"seen_at\":1700000000,\"remote\":\"https://git.example.com/web.git\"}\n";

static int64_t
cpu_us(void)
{
	struct timespec t;

	must(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int
main(int argc, char *argv[])
{
	long n = argc > 1 ? atol(argv[1]) : 1000000, i;
	struct arena *a = arena_new();
	struct buf b = BUF_INIT;
	int64_t t0, best = INT64_MAX, t;
	struct frame f;
	struct err e;
	int round;

	log_open("bench", LOG_INFO);
	for (round = 0; round < 3; round++) {
		t0 = cpu_us();
		for (i = 0; i < n; i++) {
			arena_reset(a);
			buf_reset(&b);
			if (frame_parse(&f, head, sizeof(head) - 1, a, &e) != 1)
				die(&e);
			frame_write(&b, &f);
		}
		if ((t = cpu_us() - t0) < best)
			best = t;
	}
	must(strcmp(b.p, head) == 0);
	printf("frames of %zu bytes, JSON in and out: %.0f /s\n", b.len,
	    (double)n * 1e6 / (double)best);
	buf_free(&b);
	arena_free(a);
	return 0;
}
