#include "loop.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	BATCH = 128,
	CALM_MS = 1000
};

struct dead {
	void (*free_fn)(void *);
	void *p;
};

struct loop {
	int epfd;
	bool stop, trimmed;
	int64_t now;
	struct epoll_event batch[BATCH];
	int at, n; /* the batch in hand */
	struct loop_timer **heap;
	size_t heap_len, heap_cap;
	struct loop_task tasks; /* the head of a ring */
	struct dead *dead;
	size_t dead_len, dead_cap;
	struct loop_watch signals;
	void (*on_signal)(void *, int);
	void *signal_arg;
};

struct loop *
loop_open(struct err *e)
{
	struct loop *l;
	int fd;

	if ((fd = epoll_create1(EPOLL_CLOEXEC)) == -1) {
		err_sys(e, "epoll_create1");
		return NULL;
	}
	l = xcalloc(1, sizeof(*l));
	l->epfd = fd;
	l->tasks.next = l->tasks.prev = &l->tasks;
	l->now = now_ms();
	return l;
}

/* Freeing one may have others freed. */
static void
reap(struct loop *l)
{
	size_t i;

	for (i = 0; i < l->dead_len; i++)
		l->dead[i].free_fn(l->dead[i].p);
	l->dead_len = 0;
}

void
loop_close(struct loop *l)
{
	if (l == NULL)
		return;
	reap(l);
	if (l->signals.on)
		close(l->signals.fd);
	close(l->epfd);
	free(l->heap);
	free(l->dead);
	free(l);
}

int
loop_fd(const struct loop *l)
{
	return l->epfd;
}

int64_t
loop_now(const struct loop *l)
{
	return l->now;
}

void
loop_stop(struct loop *l)
{
	l->stop = true;
}

/* Descriptors. */

int
loop_watch(struct loop *l, struct loop_watch *w, int fd, uint32_t events,
    void (*fn)(void *, uint32_t), void *arg, struct err *e)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };

	must(!w->on);
	if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, fd, &ev) == -1)
		return err_sys(e, "epoll_ctl");
	*w = (struct loop_watch){ fn, arg, fd, events, true };
	return 0;
}

void
loop_watch_for(struct loop *l, struct loop_watch *w, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };

	if (!w->on || w->events == events)
		return;
	must(epoll_ctl(l->epfd, EPOLL_CTL_MOD, w->fd, &ev) == 0);
	w->events = events;
}

void
loop_unwatch(struct loop *l, struct loop_watch *w)
{
	int i;

	if (!w->on)
		return;
	(void)epoll_ctl(l->epfd, EPOLL_CTL_DEL, w->fd, NULL);
	w->on = false;
	/* What the kernel has already said of it is no longer true. */
	for (i = l->at; i < l->n; i++) {
		if (l->batch[i].data.ptr == w)
			l->batch[i].data.ptr = NULL;
	}
}

/* Timers: a binary heap; slots count from 1. */

static void
heap_put(struct loop *l, size_t slot, struct loop_timer *t)
{
	l->heap[slot] = t;
	t->slot = slot;
}

static void
heap_up(struct loop *l, size_t slot, struct loop_timer *t)
{
	for (; slot > 1 && t->at_ms < l->heap[slot / 2]->at_ms; slot /= 2)
		heap_put(l, slot, l->heap[slot / 2]);
	heap_put(l, slot, t);
}

static void
heap_down(struct loop *l, size_t slot, struct loop_timer *t)
{
	size_t child;

	while ((child = slot * 2) <= l->heap_len) {
		if (child < l->heap_len &&
		    l->heap[child + 1]->at_ms < l->heap[child]->at_ms)
			child++;
		if (t->at_ms <= l->heap[child]->at_ms)
			break;
		heap_put(l, slot, l->heap[child]);
		slot = child;
	}
	heap_put(l, slot, t);
}

void
loop_timer(struct loop *l, struct loop_timer *t, int64_t at_ms,
    void (*fn)(void *), void *arg)
{
	int64_t was = t->at_ms;

	t->fn = fn;
	t->arg = arg;
	t->at_ms = at_ms;
	if (t->slot != 0) {
		if (at_ms < was)
			heap_up(l, t->slot, t);
		else
			heap_down(l, t->slot, t);
		return;
	}
	if (l->heap_len + 2 > l->heap_cap) {
		l->heap_cap = l->heap_cap == 0 ? 32 : l->heap_cap * 2;
		l->heap = xrealloc(l->heap, l->heap_cap * sizeof(*l->heap));
	}
	heap_up(l, ++l->heap_len, t);
}

void
loop_timer_stop(struct loop *l, struct loop_timer *t)
{
	struct loop_timer *last;
	size_t slot = t->slot;

	if (slot == 0)
		return;
	t->slot = 0;
	last = l->heap[l->heap_len--];
	if (last == t)
		return;
	if (slot > 1 && last->at_ms < l->heap[slot / 2]->at_ms)
		heap_up(l, slot, last);
	else
		heap_down(l, slot, last);
}

int
loop_timeout(const struct loop *l)
{
	int64_t left;

	if (l->tasks.next != &l->tasks || l->dead_len != 0)
		return 0;
	if (l->heap_len == 0)
		return -1;
	left = l->heap[1]->at_ms - now_ms();
	if (left < 0)
		return 0;
	return left > 3600000 ? 3600000 : (int)left;
}

/* Those that were due when it began: one that sets itself again has a turn. */
static void
run_timers(struct loop *l)
{
	struct loop_timer *t;
	size_t most = l->heap_len;

	while (most-- > 0 && l->heap_len > 0 &&
	       (t = l->heap[1])->at_ms <= l->now) {
		loop_timer_stop(l, t);
		t->fn(t->arg);
	}
}

/* Work for later. */

void
loop_soon(struct loop *l, struct loop_task *t, void (*fn)(void *), void *arg)
{
	t->fn = fn;
	t->arg = arg;
	if (t->next != NULL)
		return;
	t->prev = l->tasks.prev;
	t->next = &l->tasks;
	t->prev->next = t;
	l->tasks.prev = t;
}

void
loop_soon_not(struct loop *l, struct loop_task *t)
{
	(void)l;
	if (t->next == NULL)
		return;
	t->prev->next = t->next;
	t->next->prev = t->prev;
	t->next = t->prev = NULL;
}

void
loop_free_later(struct loop *l, void (*free_fn)(void *), void *p)
{
	if (l->dead_len == l->dead_cap) {
		l->dead_cap = l->dead_cap == 0 ? 16 : l->dead_cap * 2;
		l->dead = xrealloc(l->dead, l->dead_cap * sizeof(*l->dead));
	}
	l->dead[l->dead_len++] = (struct dead){ free_fn, p };
}

/*
 * A task that has itself done again waits for the next turn, so that the
 * descriptors are looked at in between.
 */
static void
run_tasks(struct loop *l)
{
	struct loop_task todo, *t;

	if (l->tasks.next == &l->tasks)
		return;
	todo.next = l->tasks.next;
	todo.prev = l->tasks.prev;
	todo.next->prev = todo.prev->next = &todo;
	l->tasks.next = l->tasks.prev = &l->tasks;
	while ((t = todo.next) != &todo) {
		loop_soon_not(l, t);
		t->fn(t->arg);
	}
}

/* Turning. */

static int
wait_events(struct loop *l, int timeout_ms)
{
	int n;

	if (l->trimmed || (timeout_ms >= 0 && timeout_ms <= CALM_MS))
		return epoll_wait(l->epfd, l->batch, BATCH, timeout_ms);
	if ((n = epoll_wait(l->epfd, l->batch, BATCH, CALM_MS)) != 0)
		return n;
	(void)malloc_trim(0);
	l->trimmed = true;
	if (timeout_ms > 0)
		timeout_ms -= CALM_MS;
	return epoll_wait(l->epfd, l->batch, BATCH, timeout_ms);
}

int
loop_turn(struct loop *l, int timeout_ms, struct err *e)
{
	int due = loop_timeout(l), n;
	struct loop_watch *w;

	if (due != -1 && (timeout_ms == -1 || due < timeout_ms))
		timeout_ms = due;
	n = wait_events(l, timeout_ms);
	if (n == -1 && errno != EINTR)
		return err_sys(e, "epoll_wait");
	if (n > 0)
		l->trimmed = false;
	l->now = now_ms();
	l->n = n > 0 ? n : 0;
	for (l->at = 0; l->at < l->n;) {
		n = l->at++;
		if ((w = l->batch[n].data.ptr) != NULL)
			w->fn(w->arg, l->batch[n].events);
	}
	l->n = 0;
	run_timers(l);
	run_tasks(l);
	reap(l);
	return 0;
}

int
loop_run(struct loop *l, struct err *e)
{
	for (l->stop = false; !l->stop;) {
		if (loop_turn(l, -1, e) == -1)
			return -1;
	}
	return 0;
}

/* Signals and children. */

static void
got_signal(void *arg, uint32_t events)
{
	struct loop *l = arg;
	int signo;

	(void)events;
	while ((signo = signals_next(l->signals.fd)) != 0)
		l->on_signal(l->signal_arg, signo);
}

int
loop_signals(
    struct loop *l, void (*fn)(void *arg, int signo), void *arg, struct err *e)
{
	int fd;

	if ((fd = signals_open(e)) == -1)
		return -1;
	l->on_signal = fn;
	l->signal_arg = arg;
	if (loop_watch(l, &l->signals, fd, EPOLLIN, got_signal, l, e) == -1) {
		close(fd);
		return -1;
	}
	return 0;
}

static void
child_ended(void *arg, uint32_t events)
{
	struct loop_child *c = arg;
	int status;
	pid_t r;

	(void)events;
	while ((r = waitpid(c->pid, &status, WNOHANG)) == -1 && errno == EINTR)
		;
	if (r == 0)
		return;
	/* Somebody else has reaped it: how it ended is not to be known. */
	if (r == -1)
		status = 0;
	loop_child_not(c->loop, c);
	c->fn(c->arg, status);
}

int
loop_child(struct loop *l, struct loop_child *c, pid_t pid,
    void (*fn)(void *arg, int status), void *arg, struct err *e)
{
	int fd;

	if ((fd = child_pidfd(pid)) == -1)
		return err_sys(e, "pidfd_open %ld", (long)pid);
	*c = (struct loop_child){ .loop = l, .fn = fn, .arg = arg, .pid = pid };
	if (loop_watch(l, &c->watch, fd, EPOLLIN, child_ended, c, e) == -1) {
		close(fd);
		return -1;
	}
	return 0;
}

void
loop_child_not(struct loop *l, struct loop_child *c)
{
	if (!c->watch.on)
		return;
	loop_unwatch(l, &c->watch);
	close(c->watch.fd);
}
