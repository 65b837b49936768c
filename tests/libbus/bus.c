/*
 * A program on the bus, to be two of in a test:
 *	bus say PROG DIR	tell every frame of stdin; counts drops
 *	bus flood PROG DIR N SIZE
 *				tell N stage_logs of SIZE bytes
 *	bus hear PROG DIR N	print N frames that came, errors to stderr
 *	bus answer PROG DIR MS	answer asks, those of MS together, last first
 *	bus ask PROG DIR PEER N MANY MS
 *				N asks of checkout, MANY at a time, MS each
 *	bus filter PROG		what a filter does: "got" lines go to stderr
 *	bus fds PROG DIR	descriptors that a child of ours has
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus.h"

static struct bus *b;
static struct arena *a;
static struct err e;

static void
fail(int rv)
{
	if (rv == -1)
		die(&e);
}

/* Wait for the bus, at most ms, and whatever bus_tick wants. */
static void
wait_bus(int64_t ms)
{
	struct pollfd p = { .fd = bus_fd(b), .events = POLLIN };
	int64_t tick = bus_timeout(b);

	if (tick != -1 && (ms == -1 || tick < ms))
		ms = tick;
	(void)poll(&p, 1, (int)ms);
	bus_tick(b);
}

static int
say(void)
{
	struct frame_reader r = { .in = stdin, .name = "stdin" };
	struct pollfd p[] = { { .fd = 0, .events = POLLIN },
		{ .fd = bus_fd(b), .events = POLLIN } };
	struct frame f;
	int rv = 0;

	(void)setvbuf(stdin, NULL, _IONBF, 0); /* poll sees what is left */
	while (rv != 2) {
		(void)poll(p, 2, -1);
		arena_reset(a);
		while ((rv = bus_next(b, &f, a, NULL, NULL, &e)) == 1)
			;
		if (p[0].revents == 0)
			continue;
		fail(rv = frame_next(&r, &f, a, &e));
		if (rv == 1)
			fail(bus_tell(b, &f, &e));
	}
	for (rv = 0; rv < 50; rv++) { /* until connections came up */
		wait_bus(10);
		(void)bus_next(b, &f, a, NULL, NULL, &e);
	}
	printf("dropped %lu\n", bus_dropped(b));
	frame_reader_free(&r);
	return 0;
}

static int
flood(long n, size_t size)
{
	Frame__StageLog log = FRAME__STAGE_LOG__INIT;
	char *text = xcalloc(1, size + 1);
	int64_t t0 = now_ms();
	struct frame f;
	long i;

	memset(text, 'x', size);
	log.deployment_id = log.stage_id = xstrdup("d");
	log.text = text;
	for (i = 0; i < n; i++) {
		fail(bus_tell(b, FRAME_OF(stage_log, &log), &e));
		arena_reset(a);
		while (bus_next(b, &f, a, NULL, NULL, &e) == 1)
			;
	}
	printf("dropped %lu\n", bus_dropped(b));
	must(now_ms() - t0 < 10000); /* nobody waits for a peer */
	free(log.stage_id);
	free(text);
	return 0;
}

static int
hear(long n)
{
	struct frame f;
	const char *line;
	size_t len;
	int rv;

	while (n > 0) {
		arena_reset(a);
		rv = bus_next(b, &f, a, &line, &len, &e);
		if (rv == 1 && n-- > 0)
			fail(write_all(1, line, len));
		else if (rv == -1 && n-- > 0)
			fprintf(stderr, "error: %s\n", e.text);
		else if (rv == 0)
			wait_bus(-1);
	}
	return 0;
}

static noreturn void
answer(int64_t ms)
{
	Frame__Ok ok = FRAME__OK__INIT;
	struct {
		char *id, *dir;
	} held[4096];
	struct frame f;
	int64_t due = 0;
	size_t n = 0;
	int rv;

	for (;;) {
		arena_reset(a);
		rv = bus_next(b, &f, a, NULL, NULL, &e);
		if (rv == 1 && f.kind == FRAME_checkout && n < NITEMS(held)) {
			if (n == 0)
				due = now_ms() + ms;
			held[n].id = xstrdup(f.id);
			held[n++].dir = xstrdup(f.u.checkout->commit);
		}
		if (n > 0 && (ms == 0 || now_ms() >= due))
			while (n > 0) {
				ok.dir = held[--n].dir;
				fail(bus_answer(
				    b, held[n].id, FRAME_OF(ok, &ok), &e));
				free(held[n].id);
				free(held[n].dir);
			}
		if (rv == 0)
			wait_bus(n > 0 ? 1 : -1);
	}
}

static int
ask(const char *peer, long n, long many, int64_t ms)
{
	Frame__Checkout c = FRAME__CHECKOUT__INIT;
	char(*id)[BUS_ID] = xcalloc((size_t)n, BUS_ID), commit[32];
	bool *done = xcalloc((size_t)n, sizeof(*done));
	long sent = 0, good = 0, bad = 0, wrong = 0, i;
	int64_t start = now_us();
	struct frame f;
	int rv;

	c.repo = c.path = c.config_filename = c.application_id = strdup("x");
	c.commit = commit;
	while (good + bad < n) {
		while (sent < n && sent - good - bad < many) {
			snprintf(commit, sizeof(commit), "%ld", sent);
			fail(bus_ask(
			    b, peer, FRAME_OF(checkout, &c), ms, id[sent], &e));
			sent++;
		}
		arena_reset(a);
		rv = bus_next(b, &f, a, NULL, NULL, &e);
		fail(rv);
		if (rv == 0) {
			wait_bus(-1);
			continue;
		}
		for (i = sent - 1; i >= 0 && strcmp(id[i], f.re) != 0; i--)
			;
		must(i >= 0 && !done[i]);
		done[i] = true;
		snprintf(commit, sizeof(commit), "%ld", i);
		if (f.kind == FRAME_err) {
			if (bad++ == 0)
				printf("err %d %s\n", f.u.err->exit,
				    f.u.err->text);
		} else {
			good++;
			wrong += strcmp(f.u.ok->dir, commit) != 0;
		}
	}
	printf("%ld answered, %ld not, %ld wrong\n", good, bad, wrong);
	fprintf(stderr, "%.0f asks/s\n",
	    (double)n * 1e6 / (double)(now_us() - start));
	free(c.repo);
	free(id);
	free(done);
	return 0;
}

static int
filter(void)
{
	struct frame f;
	const char *line;
	size_t len;
	int rv;

	for (;;) {
		wait_bus(-1);
		arena_reset(a);
		/* One at a time: our descriptor must say when there is more. */
		rv = bus_next(b, &f, a, &line, &len, &e);
		fail(rv);
		if (rv == 2)
			return 0;
		if (rv == 1)
			fprintf(stderr, "got %s %zu\n", frame_kind_name(f.kind),
			    len);
	}
}

static int
fds(void)
{
	const char *const argv[] = { "/bin/sh", "-c", "ls /proc/$$/fd", NULL };
	struct child c = CHILD_INIT;
	struct buf out = BUF_INIT;

	c.argv = argv;
	fail(child_run(&c, NULL, &out, 4096, NULL, 5000, &e));
	fail(write_all(1, out.p, out.len));
	buf_free(&out);
	return 0;
}

int
main(int argc, char *argv[])
{
	const char *verb = argc > 2 ? argv[1] : "";
	int rv = 0;

	log_open("bus", LOG_INFO);
	if (argc < 3)
		usage("bus verb prog [dir ...]");
	a = arena_new();
	if ((b = bus_open(argv[2], argc > 3 ? argv[3] : NULL, &e)) == NULL)
		die(&e);
	if (strcmp(verb, "say") == 0)
		rv = say();
	else if (strcmp(verb, "flood") == 0 && argc == 6)
		rv = flood(atol(argv[4]), (size_t)atol(argv[5]));
	else if (strcmp(verb, "hear") == 0 && argc == 5)
		rv = hear(atol(argv[4]));
	else if (strcmp(verb, "answer") == 0 && argc == 5)
		answer(atol(argv[4]));
	else if (strcmp(verb, "ask") == 0 && argc == 8)
		rv = ask(argv[4], atol(argv[5]), atol(argv[6]), atol(argv[7]));
	else if (strcmp(verb, "filter") == 0)
		rv = filter();
	else if (strcmp(verb, "fds") == 0)
		rv = fds();
	bus_close(b);
	arena_free(a);
	return rv;
}
