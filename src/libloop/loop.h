/*
 * loop.h - one thread's event loop: descriptors, timers, work for later,
 * signals and children, on epoll.
 *
 * Everything is embedded in the caller's own structs and costs no allocation.
 * A function that is called back may add and remove whatever it likes, itself
 * too; what it frees goes through loop_free_later, because somebody further up
 * the stack may still be looking at it.
 */
#ifndef PIPECD_LOOP_H
#define PIPECD_LOOP_H

#include <sys/epoll.h>

#include "base.h"

struct loop;
struct loop *loop_open(struct err *e);
void loop_close(struct loop *l); /* runs what is left to be freed */

/*
 * Turn until loop_stop.  When nothing has happened for a second, memory that a
 * burst left behind is given back to the system, once.
 */
int loop_run(struct loop *l, struct err *e);
void loop_stop(struct loop *l);
/*
 * One turn, for callers with a loop of their own: waits at most timeout_ms (-1:
 * until something happens).  For a poll set of somebody else's: loop_fd is
 * readable when a turn has something to do, and loop_timeout says how long
 * until the next timer (-1: none).
 */
int loop_turn(struct loop *l, int timeout_ms, struct err *e);
int loop_fd(const struct loop *l);
int loop_timeout(const struct loop *l);
/* now_ms, read once per turn. */
int64_t loop_now(const struct loop *l);

/*
 * Watch a descriptor, level-triggered.  `fn` gets the EPOLL bits; EPOLLERR and
 * EPOLLHUP come unasked.  The struct is zeroed by the owner before its first
 * use, and stays where it is until loop_unwatch.
 */
struct loop_watch {
	void (*fn)(void *arg, uint32_t events);
	void *arg;
	int fd;
	uint32_t events; /* what is asked for now */
	bool on;
};
int loop_watch(struct loop *l, struct loop_watch *w, int fd, uint32_t events,
    void (*fn)(void *, uint32_t), void *arg, struct err *e);
/* Ask for other events; nothing happens when they are the same. */
void loop_watch_for(struct loop *l, struct loop_watch *w, uint32_t events);
/* Before the descriptor is closed.  One that is not watched is left alone. */
void loop_unwatch(struct loop *l, struct loop_watch *w);

/* A timer runs once, at or after `at_ms` of now_ms; setting it again moves it. */
struct loop_timer {
	void (*fn)(void *arg);
	void *arg;
	int64_t at_ms;
	size_t slot; /* in the heap, from 1; 0: not set */
};
void loop_timer(struct loop *l, struct loop_timer *t, int64_t at_ms,
    void (*fn)(void *), void *arg);
void loop_timer_stop(struct loop *l, struct loop_timer *t);

/*
 * Do something once, at the end of this turn and before anything is waited for:
 * what many callbacks ask for (flush this connection) is then done once.
 */
struct loop_task {
	void (*fn)(void *arg);
	void *arg;
	struct loop_task *next, *prev; /* of a list; NULL: not due */
};
void loop_soon(
    struct loop *l, struct loop_task *t, void (*fn)(void *), void *arg);
void loop_soon_not(struct loop *l, struct loop_task *t);

/* free_fn(p) at the end of this turn, after the tasks. */
void loop_free_later(struct loop *l, void (*free_fn)(void *), void *p);

/*
 * SIGTERM, SIGINT, SIGHUP and SIGCHLD as calls of `fn`.  Once per process, and
 * before the first thread (see signals_open).
 */
int loop_signals(
    struct loop *l, void (*fn)(void *arg, int signo), void *arg, struct err *e);

/*
 * Wait for a child that the caller started: `fn` gets its wait status once, and
 * the child is reaped by then.  The struct is zeroed before its first use.
 */
struct loop_child {
	struct loop_watch watch;
	struct loop *loop;
	void (*fn)(void *arg, int status);
	void *arg;
	pid_t pid;
};
int loop_child(struct loop *l, struct loop_child *c, pid_t pid,
    void (*fn)(void *arg, int status), void *arg, struct err *e);
/* Forget it; the caller reaps it. */
void loop_child_not(struct loop *l, struct loop_child *c);

#endif
