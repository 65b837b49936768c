#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "json.h"
#include "msg.h"
#include "wire.h"

enum {
	AGAIN_MS = 50,
	AGAIN_MAX_MS = 1000
};

struct asked {
	uint64_t id;
	struct asked *next, **prev;
	void (*done)(void *arg, const Store__Reply *r, struct arena *a);
	void *arg;
	int64_t until;
	struct buf message; /* kept for what may be said again */
	bool again;	    /* may be said again */
	bool watch, heard;  /* of a watch: it has had its first answer */
	bool sent, dead;
};

struct store {
	char *dir; /* <state_dir>/run */
	struct wire w;
	int epoll, timer;
	bool up, out; /* EPOLLOUT is asked for */
	int64_t at;   /* when to connect again */
	int64_t wait_ms;
	int64_t armed; /* what the timer is set to, 0: not */
	uint64_t next_id;
	struct asked *first, **last;
	size_t n;
	struct arena *a;
	pid_t local; /* started for us */
	bool turning;
};

/* --- what is in flight ------------------------------------------------------
 */

static struct asked *
find(const struct store *s, uint64_t id)
{
	struct asked *x;

	/* Answers come nearly in order. */
	for (x = s->first; x != NULL; x = x->next)
		if (x->id == id)
			return x;
	return NULL;
}

static void
forget(struct store *s, struct asked *x)
{
	*x->prev = x->next;
	if (x->next != NULL)
		x->next->prev = x->prev;
	else
		s->last = x->prev;
	s->n--;
	buf_free(&x->message);
	free(x);
}

static void
finish(struct store *s, struct asked *x, const Store__Reply *r)
{
	void (*done)(void *, const Store__Reply *, struct arena *) = x->done;
	void *arg = x->arg;

	forget(s, x);
	if (done != NULL)
		done(arg, r, s->a);
}

static void
give_up(struct store *s, struct asked *x, Store__Code code, const char *why)
{
	Store__Reply r;

	arena_reset(s->a);
	store__reply__init(&r);
	r.id = x->id;
	r.code = code;
	r.error = (char *)(uintptr_t)why;
	finish(s, x, &r);
}

/* --- the connection ---------------------------------------------------------
 */

static void
timer_set(struct store *s, int64_t at)
{
	struct itimerspec t = { .it_value = {
				    at / 1000, at % 1000 * 1000000 } };

	if (at == s->armed)
		return;
	s->armed = at;
	(void)timerfd_settime(s->timer, TFD_TIMER_ABSTIME, &t, NULL);
}

/* The earliest of all that has a time. */
static void
timer_next(struct store *s)
{
	int64_t at = s->up ? INT64_MAX : s->at;
	struct asked *x;

	for (x = s->first; x != NULL; x = x->next)
		if (x->until < at)
			at = x->until;
	timer_set(s, at == INT64_MAX ? 0 : at < 1 ? 1 : at);
}

static void
want_out(struct store *s, bool out)
{
	struct epoll_event ev = { .events = EPOLLIN | (out ? EPOLLOUT : 0) };

	if (!s->up || out == s->out)
		return;
	s->out = out;
	(void)epoll_ctl(s->epoll, EPOLL_CTL_MOD, s->w.fd, &ev);
}

/*
 * The connection is lost.  What may be said again waits; the rest is answered,
 * unless it never left.
 */
static void
down(struct store *s)
{
	struct asked *x;

	if (s->up)
		(void)epoll_ctl(s->epoll, EPOLL_CTL_DEL, s->w.fd, NULL);
	wire_free(&s->w);
	s->up = s->out = false;
	s->at = now_ms() + s->wait_ms;
	s->wait_ms =
	    s->wait_ms * 2 < AGAIN_MAX_MS ? s->wait_ms * 2 : AGAIN_MAX_MS;
	for (x = s->first; x != NULL; x = x->next) {
		x->dead = !x->again && x->sent;
		x->sent = false;
	}
	/* Whoever is told may cancel others, and ask anew. */
	for (;;) {
		for (x = s->first; x != NULL && !x->dead; x = x->next)
			;
		if (x == NULL)
			break;
		give_up(s, x, STORE__CODE__UNAVAILABLE,
		    "the store went away; whether this was done is not known");
	}
}

static void
flush(struct store *s)
{
	if (!s->up)
		return;
	switch (wire_drain(&s->w)) {
	case -1:
		/* The reading side finds out, in store_turn. */
		break;
	case 0:
		want_out(s, true);
		break;
	case 1:
		want_out(s, false);
		break;
	}
}

static void
say(struct store *s, struct asked *x)
{
	wire_put(&s->w, x->message.p, x->message.len, NULL);
	x->sent = true;
	if (!x->again)
		buf_free(&x->message);
}

static void
connected(struct store *s, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct asked *x;

	wire_init(&s->w, fd);
	s->up = true;
	s->wait_ms = AGAIN_MS;
	(void)epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &ev);
	for (x = s->first; x != NULL; x = x->next)
		if (!x->sent)
			say(s, x);
	flush(s);
}

static int
connect_now(struct store *s)
{
	int dir, fd;

	dir = open(s->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir == -1)
		return -1;
	fd = unix_connect(dir, "store.sock", false);
	close(dir);
	if (fd == -1)
		return -1;
	connected(s, fd);
	return 0;
}

/* Ends with the process that was started for us. */
static void
connect_again(struct store *s)
{
	if (s->local != 0 || connect_now(s) == 0)
		return;
	s->at = now_ms() + s->wait_ms;
	s->wait_ms =
	    s->wait_ms * 2 < AGAIN_MAX_MS ? s->wait_ms * 2 : AGAIN_MAX_MS;
}

/* --- asking ----------------------------------------------------------------- */

/* Looking twice, and saying twice what counts once, does no harm. */
static bool
repeatable(const Store__Request *q)
{
	switch (q->ask_case) {
	case STORE__REQUEST__ASK_WRITE:
	case STORE__REQUEST__ASK_KEY_MAKE:
	case STORE__REQUEST__ASK_KEY_DROP:
		return false;
	default:
		return true;
	}
}

uint64_t
store_send(struct store *s, const Store__Request *q, int64_t timeout_ms,
    void (*done)(void *arg, const Store__Reply *r, struct arena *a), void *arg)
{
	struct asked *x = xcalloc(1, sizeof(*x));
	static const struct buf empty = BUF_INIT;
	Store__Request copy = *q;

	copy.id = x->id = ++s->next_id;
	x->done = done;
	x->arg = arg;
	x->until = now_ms() + timeout_ms;
	x->again = repeatable(q);
	x->watch = q->ask_case == STORE__REQUEST__ASK_WATCH;
	x->message = empty;
	msg_pack(&x->message, &copy.base);
	x->prev = s->last;
	*s->last = x;
	s->last = &x->next;
	s->n++;
	if (x->message.len > STORE_MAX) {
		/* Answered from store_turn, as everything is. */
		x->until = 0;
		x->again = false;
		buf_free(&x->message);
	} else if (s->up) {
		say(s, x);
		if (!s->turning)
			flush(s);
	} else if (s->at == 0 || now_ms() >= s->at) {
		connect_again(s);
	}
	if (s->armed == 0 || x->until < s->armed)
		timer_next(s);
	return x->id;
}

void
store_cancel(struct store *s, uint64_t handle)
{
	struct asked *x = find(s, handle);

	if (x == NULL)
		return;
	x->done = NULL;
	/* What was not sent yet must still be written. */
	if (x->sent || x->again)
		forget(s, x);
}

static void
heard(struct store *s, struct asked *x, const Store__Reply *r)
{
	Store__Change lost;
	Store__Reply l;

	if (!x->watch || r->code != STORE__CODE__OK) {
		finish(s, x, r);
		return;
	}
	x->until = INT64_MAX;
	if (x->heard && r->change == NULL) {
		/* Watching again, after a connection was lost. */
		store__reply__init(&l);
		store__change__init(&lost);
		l.id = r->id;
		l.change = &lost;
		lost.lost = true;
		x->done(x->arg, &l, s->a);
		return;
	}
	x->heard = true;
	x->done(x->arg, r, s->a);
}

static void
answers(struct store *s)
{
	const uint8_t *p;
	Store__Reply *r;
	struct asked *x;
	struct err e;
	size_t n;
	int got;

	if ((got = wire_fill(&s->w)) != 1) {
		down(s);
		return;
	}
	while (s->up && (got = wire_next(&s->w, &p, &n)) == 1) {
		arena_reset(s->a);
		r = (Store__Reply *)msg_unpack(&store__reply__descriptor, p, n,
		    s->a, 4 * (size_t)STORE_MAX, &e);
		if (r == NULL) {
			log_warn("-", "the store's answer: %s", e.text);
			down(s);
			return;
		}
		if ((x = find(s, r->id)) != NULL)
			heard(s, x, r);
	}
	if (got == -1)
		down(s);
}

static void
timeouts(struct store *s)
{
	int64_t now = now_ms();
	struct asked *x;

	for (;;) {
		for (x = s->first; x != NULL && x->until > now; x = x->next)
			;
		if (x == NULL)
			return;
		if (x->until == 0)
			give_up(s, x, STORE__CODE__INVALID_ARGUMENT,
			    "the request is larger than 16 MiB");
		else
			give_up(s, x,
			    x->sent ? STORE__CODE__DEADLINE_EXCEEDED
				    : STORE__CODE__UNAVAILABLE,
			    x->sent ? "the store did not answer in time"
				    : "there is no store now");
	}
}

void
store_turn(struct store *s)
{
	struct epoll_event ev[4];
	uint64_t ticks;
	int n;

	s->turning = true;
	n = epoll_wait(s->epoll, ev, NITEMS(ev), 0);
	(void)n;
	if (read(s->timer, &ticks, sizeof(ticks)) == sizeof(ticks))
		s->armed = 0;
	if (s->up)
		answers(s);
	timeouts(s);
	if (!s->up && now_ms() >= s->at)
		connect_again(s);
	s->turning = false;
	flush(s);
	timer_next(s);
}

/* --- life ------------------------------------------------------------------- */

int
store_fd(const struct store *s)
{
	return s->epoll;
}

bool
store_up(const struct store *s)
{
	return s->up;
}

size_t
store_pending(const struct store *s)
{
	return s->n;
}

static struct store *
store_new(const char *state_dir, struct err *e)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct store *s = xcalloc(1, sizeof(*s));

	must(asprintf(&s->dir, "%s/run", state_dir) != -1);
	wire_init(&s->w, -1);
	s->last = &s->first;
	s->wait_ms = AGAIN_MS;
	s->a = arena_new();
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	s->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (s->epoll == -1 || s->timer == -1 ||
	    epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->timer, &ev) == -1) {
		err_sys(e, "the store's client");
		store_close(s);
		return NULL;
	}
	return s;
}

struct store *
store_open(const char *state_dir, struct err *e)
{
	struct store *s = store_new(state_dir, e);

	if (s != NULL) {
		connect_again(s);
		timer_next(s);
	}
	return s;
}

/* pipecd-store -1 with its standard input on a socket to us. */
static int
start_local(
    struct store *s, const char *conf, const char *bin_dir, struct err *e)
{
	char path[PATH_MAX];
	const char *argv[] = { path, "-1", "-f", conf, NULL };
	const char *const env[] = { "PATH=/usr/local/bin:/usr/bin:/bin", NULL };
	struct child c = CHILD_INIT;
	int pair[2];

	(void)snprintf(path, sizeof(path), "%s/pipecd-store", bin_dir);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == -1)
		return err_sys(e, "socketpair");
	c.argv = argv;
	c.env = env;
	c.fd[0] = pair[1];
	c.fd[1] = STDERR_FILENO;
	c.fd[2] = STDERR_FILENO;
	s->local = child_start(&c, e);
	close(pair[1]);
	if (s->local == -1) {
		s->local = 0;
		close(pair[0]);
		return -1;
	}
	(void)fcntl(pair[0], F_SETFL, O_NONBLOCK);
	connected(s, pair[0]);
	return 0;
}

/* A configuration that says nothing but where. */
static char *
plain_conf(const char *state_dir, struct err *e)
{
	char *path = xstrdup("/tmp/pipecd-local-XXXXXX");
	struct buf text = BUF_INIT;
	int fd = mkstemp(path);

	buf_adds(&text,
	    "apiVersion: pipecd.dev/v1beta1\nkind: ControlPlane\nspec:\n"
	    "  datastore:\n    type: LMDB\n  filestore:\n    type: DIR\n"
	    "  stateDir: ");
	json_quote(&text, state_dir, strlen(state_dir));
	buf_addc(&text, '\n');
	if (fd == -1 || write_all(fd, text.p, text.len) == -1) {
		err_sys(e, "%s", path);
		free(path);
		path = NULL;
	}
	if (fd != -1)
		close(fd);
	buf_free(&text);
	return path;
}

struct store *
store_open_local(
    const char *state_dir, const char *conf, const char *bin_dir, struct err *e)
{
	struct store *s = store_new(state_dir, e);
	Store__Request q;
	Store__Stat stat;
	struct arena *a;
	char *made = NULL;
	int rv = 0;

	if (s == NULL || connect_now(s) == 0)
		return s;
	if (conf == NULL && (conf = made = plain_conf(state_dir, e)) == NULL)
		rv = -1;
	if (rv == 0 && (rv = start_local(s, conf, bin_dir, e)) == 0) {
		/* Its first answer says that it has read its config. */
		a = arena_new();
		store__request__init(&q);
		store__stat__init(&stat);
		STORE_ASK(&q, STAT, stat, &stat);
		if (store_call(s, &q, 60000, a)->code != STORE__CODE__OK)
			rv = err_set(e, RC_TEMP,
			    "pipecd-store did not start on %s", state_dir);
		arena_free(a);
	}
	if (made != NULL)
		(void)unlink(made);
	free(made);
	if (rv == -1) {
		store_close(s);
		return NULL;
	}
	return s;
}

void
store_close(struct store *s)
{
	struct asked *x, *next;

	if (s == NULL)
		return;
	for (x = s->first; x != NULL; x = next) {
		next = x->next;
		buf_free(&x->message);
		free(x);
	}
	wire_free(&s->w);
	if (s->local != 0)
		(void)child_stop(s->local, 10000);
	if (s->epoll != -1)
		close(s->epoll);
	if (s->timer != -1)
		close(s->timer);
	arena_free(s->a);
	free(s->dir);
	free(s);
}

/* --- waiting ----------------------------------------------------------------
 */

struct call {
	struct arena *a;
	const Store__Reply *r;
};

static void
called(void *arg, const Store__Reply *r, struct arena *a)
{
	struct call *c = arg;

	(void)a;
	c->r = msg_copy(r, c->a);
}

const Store__Reply *
store_call(struct store *s, const Store__Request *q, int64_t timeout_ms,
    struct arena *a)
{
	struct pollfd p = { .fd = s->epoll, .events = POLLIN };
	struct call c = { .a = a };

	(void)store_send(s, q, timeout_ms, called, &c);
	while (c.r == NULL) {
		(void)poll(&p, 1, 1000);
		store_turn(s);
	}
	return c.r;
}
