/*
 * What a hop over the bus costs, and how many asks a second go through:
 * we are report and exec, the program started again is its peer.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus.h"

enum {
	HOPS = 10000,
	ASKS = 60000,
	MANY = 64
};

static struct arena *a;
static struct err e;

static void
turn(struct bus *b)
{
	struct pollfd p = { .fd = bus_fd(b), .events = POLLIN };

	(void)poll(&p, 1, 1000);
	bus_tick(b);
}

/* The peer: tell back what is told, answer what is asked. */
static noreturn void
peer(const char *prog, const char *dir)
{
	Frame__Past past = FRAME__PAST__INIT;
	Frame__Ok ok = FRAME__OK__INIT;
	struct bus *b = bus_open(prog, dir, &e);
	struct frame f;
	int rv;

	if (b == NULL)
		die(&e);
	past.application_id = past.repo = past.path = past.config_filename =
	    xstrdup("x");
	for (;;) {
		arena_reset(a);
		if ((rv = bus_next(b, &f, a, NULL, NULL, &e)) == 0)
			turn(b);
		else if (rv == -1)
			die(&e);
		else if (f.kind == FRAME_checkout)
			rv = bus_answer(b, f.id, FRAME_OF(ok, &ok), &e);
		else
			rv = bus_tell(b, FRAME_OF(past, &past), &e);
		if (rv == -1)
			die(&e);
	}
}

static pid_t
start(const char *self, const char *prog, const char *dir)
{
	const char *const argv[] = { self, prog, dir, NULL };
	struct child c = CHILD_INIT;
	pid_t pid;

	c.argv = argv;
	c.fd[2] = 2;
	if ((pid = child_start(&c, &e)) == -1)
		die(&e);
	return pid;
}

static int
by_size(const void *x, const void *y)
{
	int64_t d = *(const int64_t *)x - *(const int64_t *)y;

	return d < 0 ? -1 : d > 0;
}

static void
hops(const char *dir)
{
	Frame__Command c = FRAME__COMMAND__INIT;
	Model__Command m = MODEL__COMMAND__INIT;
	struct bus *b = bus_open("report", dir, &e);
	static int64_t t[HOPS];
	struct frame f;
	int i;

	if (b == NULL)
		die(&e);
	m.id = m.piped_id = xstrdup("x");
	c.command = &m;
	while (bus_tell(b, FRAME_OF(command, &c), &e) == 0 &&
	       bus_next(b, &f, a, NULL, NULL, &e) != 1)
		usleep(1000); /* until the peer has its inbox */
	while (bus_next(b, &f, a, NULL, NULL, &e) == 1)
		;
	for (i = 0; i < HOPS; i++) {
		t[i] = now_us();
		if (bus_tell(b, FRAME_OF(command, &c), &e) == -1)
			die(&e);
		arena_reset(a);
		while (bus_next(b, &f, a, NULL, NULL, &e) != 1)
			turn(b);
		t[i] = now_us() - t[i];
	}
	qsort(t, HOPS, sizeof(*t), by_size);
	printf("a frame from program to program, p50 / p99: %.3f / %.3f ms\n",
	    (double)t[HOPS / 2] / 2000, (double)t[HOPS * 99 / 100] / 2000);
	free(m.id);
	bus_close(b);
}

static void
asks(const char *dir)
{
	Frame__Checkout c = FRAME__CHECKOUT__INIT;
	struct bus *b = bus_open("exec", dir, &e);
	char id[BUS_ID], *x = xstrdup("x");
	int64_t t0 = now_us();
	struct frame f;
	int sent = 0, got = 0;

	if (b == NULL)
		die(&e);
	c.repo = c.commit = c.path = c.config_filename = c.application_id = x;
	while (got < ASKS) {
		for (; sent < ASKS && sent - got < MANY; sent++)
			if (bus_ask(b, "checkout", FRAME_OF(checkout, &c),
				10000, id, &e) == -1)
				die(&e);
		arena_reset(a);
		if (bus_next(b, &f, a, NULL, NULL, &e) != 1)
			turn(b);
		else
			got += f.kind == FRAME_ok;
	}
	printf("asks answered, %d in flight: %.0f /s\n", MANY,
	    ASKS * 1e6 / (double)(now_us() - t0));
	free(x);
	bus_close(b);
}

int
main(int argc, char *argv[])
{
	char dir[] = "/tmp/pipecd-bus.XXXXXX";
	pid_t one, two;

	log_open("bench", LOG_INFO);
	a = arena_new();
	if (argc == 3)
		peer(argv[1], argv[2]);
	must(mkdtemp(dir) != NULL);
	one = start("/proc/self/exe", "exec", dir);
	two = start("/proc/self/exe", "checkout", dir);
	hops(dir);
	child_stop(one, 0);
	asks(dir);
	child_stop(two, 0);
	if (tree_remove(dir, &e) == -1)
		die(&e);
	arena_free(a);
	return 0;
}
