/*
 * The event loop, seen from its callbacks.  Prints what happened, in order:
 *
 *	loop order	events, timers, tasks and frees of one turn
 *	loop timers N	N timers at random times: whether they come in order
 *	loop gone	a callback removes another that is due in the same turn
 *	loop child	a child's status
 *	loop signal	SIGTERM as a call
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loop.h"

static struct loop *l;
static struct loop_watch w1, w2;
static struct loop_timer t1, t2;
static struct loop_task k1, k2;

static void
say(void *arg)
{
	printf("%s\n", (char *)arg);
}

static void
say_again(void *arg)
{
	static int n;

	printf("%s %d\n", (char *)arg, ++n);
	if (n < 3)
		loop_soon(l, &k2, say_again, arg);
	else
		loop_stop(l);
}

static void
on_pipe(void *arg, uint32_t events)
{
	char c;

	(void)events;
	must(read(w1.fd, &c, 1) == 1);
	say(arg);
	loop_free_later(l, say, "freed");
	loop_soon(l, &k1, say, "task, asked for twice");
	loop_soon(l, &k1, say, "task, asked for twice");
	loop_soon(l, &k2, say_again, "task that comes again");
}

static void
order(void)
{
	struct err e;
	int fd[2];

	must(pipe(fd) == 0 && write(fd[1], "x", 1) == 1);
	must(loop_watch(l, &w1, fd[0], EPOLLIN, on_pipe, "event", &e) == 0);
	loop_timer(l, &t1, now_ms(), say, "timer");
	loop_timer(l, &t2, now_ms(), say, "stopped timer");
	loop_timer_stop(l, &t2);
	must(loop_run(l, &e) == 0);
	close(fd[0]);
	close(fd[1]);
}

static long left, wrong;
static int64_t last;

static void
tick(void *arg)
{
	struct loop_timer *t = arg;

	if (t->at_ms < last || now_ms() < t->at_ms)
		wrong++;
	last = t->at_ms;
	if (--left == 0)
		loop_stop(l);
}

static void
timers(long n)
{
	struct loop_timer *t = xcalloc((size_t)n, sizeof(*t));
	int64_t now = now_ms();
	struct err e;
	long i, stopped = 0;

	srand(1);
	for (i = 0; i < n; i++)
		loop_timer(l, &t[i], now + rand() % 300, tick, &t[i]);
	/* Some are moved, some stopped. */
	for (i = 0; i < n; i += 3)
		loop_timer(l, &t[i], now + rand() % 300, tick, &t[i]);
	for (i = 1; i < n; i += 3, stopped++)
		loop_timer_stop(l, &t[i]);
	left = n - stopped;
	must(loop_run(l, &e) == 0);
	printf("%ld in order, %ld not\n", n - stopped - wrong, wrong);
	free(t);
}

static void
stop(void *arg)
{
	loop_stop(arg);
}

static void
one_of_two(void *arg, uint32_t events)
{
	(void)events;
	printf("one of the two\n");
	loop_unwatch(l, arg);
	loop_soon(l, &k1, stop, l);
}

static void
gone(void)
{
	struct err e;
	int a[2], b[2];

	must(pipe(a) == 0 && write(a[1], "x", 1) == 1);
	must(pipe(b) == 0 && write(b[1], "x", 1) == 1);
	must(loop_watch(l, &w1, a[0], EPOLLIN, one_of_two, &w2, &e) == 0);
	must(loop_watch(l, &w2, b[0], EPOLLIN, one_of_two, &w1, &e) == 0);
	must(loop_run(l, &e) == 0);
}

static void
ended(void *arg, int status)
{
	char s[64];

	(void)arg;
	printf("%s\n", child_status(status, s));
	loop_stop(l);
}

static void
child(void)
{
	const char *argv[] = { "/bin/sh", "-c", "exit 7", NULL };
	struct child c = CHILD_INIT;
	struct loop_child k = { 0 };
	struct err e;
	pid_t pid;

	c.argv = argv;
	must((pid = child_start(&c, &e)) != -1);
	must(loop_child(l, &k, pid, ended, NULL, &e) == 0);
	must(loop_run(l, &e) == 0);
	must(waitpid(pid, NULL, WNOHANG) == -1);
}

static void
on_signal(void *arg, int signo)
{
	(void)arg;
	printf("signal %d\n", signo);
	loop_stop(l);
}

int
main(int argc, char *argv[])
{
	struct err e;

	log_open("loop", LOG_WARN);
	if (argc < 2)
		usage("loop order|timers N|gone|child|signal");
	must((l = loop_open(&e)) != NULL);
	if (strcmp(argv[1], "order") == 0) {
		order();
	} else if (strcmp(argv[1], "timers") == 0 && argc > 2) {
		timers(atol(argv[2]));
	} else if (strcmp(argv[1], "gone") == 0) {
		gone();
	} else if (strcmp(argv[1], "child") == 0) {
		child();
	} else if (strcmp(argv[1], "signal") == 0) {
		must(loop_signals(l, on_signal, NULL, &e) == 0);
		loop_timer(l, &t1, now_ms() + 10000, stop, l);
		must(raise(SIGTERM) == 0);
		must(loop_run(l, &e) == 0);
	}
	loop_close(l);
	return 0;
}
