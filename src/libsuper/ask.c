/*
 * The form of a launcher that asks its supervisor: one request at a time, one
 * reply; what ended meanwhile is kept for launcher_next.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "launcher.h"
#include "serve.h"

enum {
	ASK_MS = 30000 /* a supervisor that does not answer is stuck */
};

int
ask_open(struct launcher *l, struct err *e)
{
	struct epoll_event ev = { .events = EPOLLIN };

	if (getenv("PIPECD_SUPER") == NULL)
		return err_set(e, RC_PERM,
		    "no supervisor to start programs, and no config: use -f");
	l->sock = FD_SUPER;
	(void)fcntl(l->sock, F_SETFD, FD_CLOEXEC);
	l->arena = arena_new();
	if ((l->pending = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) == -1 ||
	    epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->pending, &ev) == -1 ||
	    epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->sock, &ev) == -1)
		return err_sys(e, "supervisor");
	return 0;
}

void
ask_close(struct launcher *l)
{
	if (l->pending != -1)
		close(l->pending);
	free(l->ended);
	arena_free(l->arena);
}

static void
keep(struct launcher *l, const Super__Ended *ended)
{
	uint64_t one = 1;

	if (l->n_ended == l->cap_ended) {
		l->cap_ended = l->cap_ended * 2 + 16;
		l->ended = xrealloc(l->ended, l->cap_ended * sizeof(*l->ended));
	}
	l->ended[l->n_ended++] = (struct ended){ ended->pid, ended->status };
	(void)!write(l->pending, &one, sizeof(one));
}

/*
 * Who was left alone ends at once, as if it had been killed with its
 * supervisor: the next one starts it anew.  Anything else would turn "nobody
 * to start it" into the failure of a deployment.
 */
static noreturn void
orphaned(void)
{
	log_error("-", "the supervisor is gone");
	_exit(RC_TEMP);
}

/* One packet: 1 a reply, 0 none now or an end that was kept, -1 with *e. */
static int
take(struct launcher *l, Super__Reply **r, struct err *e)
{
	ProtobufCMessage *m = NULL;
	size_t n, i;
	int fds[4];

	switch (super_recv(
	    l->sock, &super__reply__descriptor, &m, fds, &n, l->arena, e)) {
	case 0:
		return 0;
	case 1:
		break;
	case 2:
		orphaned();
	default:
		return err_wrap(e, "supervisor");
	}
	for (i = 0; i < n; i++)
		close(fds[i]);
	*r = (Super__Reply *)m;
	if ((*r)->ended == NULL)
		return 1;
	keep(l, (*r)->ended);
	return 0;
}

static int
ask(struct launcher *l, const Super__Request *q, const int *fds, size_t n,
    Super__Reply **r, struct err *e)
{
	struct pollfd p = { .fd = l->sock, .events = POLLIN };
	int64_t end = now_ms() + ASK_MS, left;
	int rv;

	*r = NULL;
	arena_reset(l->arena);
	while (super_send(l->sock, &q->base, fds, n) == -1) {
		struct pollfd out = { .fd = l->sock, .events = POLLOUT };

		if (errno == EPIPE || errno == ECONNRESET)
			orphaned();
		if (errno != EAGAIN)
			return err_sys(e, "supervisor");
		if ((left = end - now_ms()) <= 0)
			return err_set(e, RC_TEMP, "the supervisor is stuck");
		(void)poll(&out, 1, (int)left);
	}
	while ((rv = take(l, r, e)) == 0) {
		if ((left = end - now_ms()) <= 0)
			return err_set(e, RC_TEMP,
			    "the supervisor did not answer in %d s",
			    ASK_MS / 1000);
		(void)poll(&p, 1, (int)left);
	}
	if (rv == -1)
		return -1;
	must(*r != NULL);
	if ((*r)->failure != NULL)
		return err_set(e,
		    (*r)->failure->exit == RC_TEMP ? RC_TEMP : RC_PERM, "%s",
		    (*r)->failure->text);
	return 0;
}

pid_t
ask_launch(struct launcher *l, const struct launch *what, struct err *e)
{
	const int given[4] = { what->in, what->out, what->err, what->lock };
	static const int number[4] = { 0, 1, 2, FD_LOCK };
	Super__Request q = SUPER__REQUEST__INIT;
	Super__Launch m = SUPER__LAUNCH__INIT;
	Super__Reply *r;
	size_t n = 0, i;
	int fds[4];

	/* protobuf-c has no const; nothing is written to these. */
	memcpy(&m.program, &what->program, sizeof(m.program));
	memcpy(&m.verb, &what->verb, sizeof(m.verb));
	memcpy(&m.args, &what->args, sizeof(m.args));
	while (what->args != NULL && what->args[m.n_args] != NULL)
		m.n_args++;
	for (i = 0; i < NITEMS(given); i++)
		if (given[i] != -1) {
			m.fds |= 1U << number[i];
			fds[n++] = given[i];
		}
	q.launch = &m;
	if (ask(l, &q, fds, n, &r, e) == -1)
		return -1;
	if (!r->has_pid || r->pid <= 0)
		return err_set(e, RC_TEMP, "%s: the supervisor says no pid",
		    what->program);
	return r->pid;
}

int
ask_next(struct launcher *l, pid_t *pid, int *status)
{
	uint64_t count;
	Super__Reply *r;
	struct err e;
	int rv;

	arena_reset(l->arena);
	while (l->n_ended == 0 && (rv = take(l, &r, &e)) != 0)
		if (rv == -1) {
			/* Level-triggered: do not ask for it again. */
			(void)epoll_ctl(l->epoll, EPOLL_CTL_DEL, l->sock, NULL);
			log_warn("-", "%s", e.text);
			break;
		}
	if (l->n_ended == 0)
		return 0;
	*pid = l->ended[0].pid;
	*status = l->ended[0].status;
	memmove(l->ended, l->ended + 1, --l->n_ended * sizeof(*l->ended));
	if (l->n_ended == 0)
		(void)!read(l->pending, &count, sizeof(count));
	return 1;
}

int
ask_kill(struct launcher *l, pid_t pid, int sig, struct err *e)
{
	Super__Request q = SUPER__REQUEST__INIT;
	Super__Kill m = SUPER__KILL__INIT;
	Super__Reply *r;

	m.pid = pid;
	m.signal = sig;
	q.kill = &m;
	return ask(l, &q, NULL, 0, &r, e);
}

int
ask_holders(struct launcher *l, const char *lock, int sig, bool spare,
    struct buf *who, struct err *e)
{
	Super__Request q = SUPER__REQUEST__INIT;
	Super__Holders m = SUPER__HOLDERS__INIT;
	Super__Reply *r = NULL;

	/* protobuf-c has no const; nothing is written to it. */
	memcpy(&m.lock, &lock, sizeof(m.lock));
	m.signal = sig;
	m.has_spare = m.spare = spare;
	q.holders = &m;
	if (ask(l, &q, NULL, 0, &r, e) == -1)
		return -1;
	must(r != NULL);
	if (r->holders != NULL)
		buf_adds(who, r->holders);
	return r->spared;
}
