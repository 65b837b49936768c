/* Names to addresses, with c-ares: no thread and no waiting. */
#include <ares.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

enum {
	SOCKETS = 16,
	ASK_MS = 2000, /* a name server, before it is asked again */
	ASK_TRIES = 3
};

struct slot {
	struct loop_watch watch;
	struct resolve *r;
};

struct resolve {
	struct loop *loop;
	ares_channel channel;
	bool open, busy;
	struct slot slots[SOCKETS];
	struct loop_timer timer;
	struct loop_task task;
	uint16_t port;
	unsigned turn; /* of lookups: an answer to an older one is late */
	struct addresses found;
	char why[128];
	void (*done)(void *, const struct addresses *, const char *);
	void *arg;
};

struct resolve *
resolve_new(struct loop *l)
{
	struct resolve *r = xcalloc(1, sizeof(*r));

	r->loop = l;
	return r;
}

static void
report(void *arg)
{
	struct resolve *r = arg;

	r->busy = false;
	loop_timer_stop(r->loop, &r->timer);
	r->done(r->arg, &r->found, r->why);
}

static void
finish(struct resolve *r, const char *why)
{
	(void)snprintf(r->why, sizeof(r->why), "%s", why);
	loop_soon(r->loop, &r->task, report, r);
}

static void
add(struct resolve *r, const struct sockaddr *sa, socklen_t len)
{
	struct addresses *f = &r->found;
	struct sockaddr_in *v4;
	struct sockaddr_in6 *v6;

	if (f->n == NITEMS(f->at) || len > sizeof(f->at[0]))
		return;
	memcpy(&f->at[f->n], sa, len);
	f->len[f->n] = len;
	if (sa->sa_family == AF_INET) {
		v4 = (void *)&f->at[f->n];
		v4->sin_port = htons(r->port);
	} else {
		v6 = (void *)&f->at[f->n];
		v6->sin6_port = htons(r->port);
	}
	f->n++;
}

/* An address needs nobody to be asked. */
static bool
numeric(struct resolve *r, const char *host)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };

	if (inet_pton(AF_INET, host, &v4.sin_addr) == 1)
		add(r, (struct sockaddr *)&v4, sizeof(v4));
	else if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1)
		add(r, (struct sockaddr *)&v6, sizeof(v6));
	return r->found.n > 0;
}

/* c-ares' sockets in our loop. */

static void process(struct resolve *r, int in, int out);

static void
on_socket(void *arg, uint32_t events)
{
	struct slot *s = arg;
	int fd = s->watch.fd;

	process(s->r,
	    events & (EPOLLIN | EPOLLERR | EPOLLHUP) ? fd : ARES_SOCKET_BAD,
	    events & (EPOLLOUT | EPOLLERR | EPOLLHUP) ? fd : ARES_SOCKET_BAD);
}

/* c-ares says what it wants of a socket; nothing is before it closes it. */
static void
want(void *arg, ares_socket_t fd, int in, int out)
{
	struct resolve *r = arg;
	struct slot *s, *free_slot = NULL;
	uint32_t events = (in ? EPOLLIN : 0) | (out ? EPOLLOUT : 0);
	struct err e;
	size_t i;

	for (i = 0; i < SOCKETS; i++) {
		s = &r->slots[i];
		if (!s->watch.on)
			free_slot = s;
		else if (s->watch.fd == fd)
			break;
	}
	if (i < SOCKETS) {
		if (events == 0)
			loop_unwatch(r->loop, &s->watch);
		else
			loop_watch_for(r->loop, &s->watch, events);
		return;
	}
	/* One too many is helped by the timer. */
	if (events == 0 || free_slot == NULL)
		return;
	free_slot->r = r;
	if (loop_watch(r->loop, &free_slot->watch, fd, events, on_socket,
		free_slot, &e) == -1)
		log_warn("-", "%s", e.text);
}

static void
tick(void *arg)
{
	process(arg, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static void
process(struct resolve *r, int in, int out)
{
	struct timeval most = { ASK_MS / 1000, 0 }, tv, *due;

	ares_process_fd(r->channel, in, out);
	if (!r->busy || (due = ares_timeout(r->channel, &most, &tv)) == NULL)
		return;
	loop_timer(r->loop, &r->timer,
	    now_ms() + due->tv_sec * 1000 + due->tv_usec / 1000 + 1, tick, r);
}

struct lookup {
	struct resolve *r;
	unsigned turn;
};

static void
found(void *arg, int status, int timeouts, struct ares_addrinfo *list)
{
	struct lookup *k = arg;
	struct resolve *r = k->r;
	struct ares_addrinfo_node *n;

	(void)timeouts;
	/* The resolver may be gone when this is the end of its channel. */
	if (status != ARES_EDESTRUCTION && k->turn == r->turn && r->busy) {
		for (n = list != NULL ? list->nodes : NULL; n != NULL;
		     n = n->ai_next)
			add(r, n->ai_addr, (socklen_t)n->ai_addrlen);
		finish(r, status == ARES_SUCCESS ? "it has no address"
						 : ares_strerror(status));
	}
	if (list != NULL)
		ares_freeaddrinfo(list);
	free(k);
}

void
resolve_start(struct resolve *r, const char *host, uint16_t port,
    void (*done)(void *arg, const struct addresses *a, const char *why),
    void *arg)
{
	struct ares_options o = { .timeout = ASK_MS,
		.tries = ASK_TRIES,
		.sock_state_cb = want,
		.sock_state_cb_data = r };
	struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM };
	struct lookup *k;
	int status;

	r->done = done;
	r->arg = arg;
	r->port = port;
	r->found.n = 0;
	r->turn++;
	r->busy = true;
	if (numeric(r, host)) {
		finish(r, "");
		return;
	}
	if (!r->open) {
		status = ares_init_options(&r->channel, &o,
		    ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
			ARES_OPT_SOCK_STATE_CB);
		if (status != ARES_SUCCESS) {
			finish(r, ares_strerror(status));
			return;
		}
		r->open = true;
	}
	k = xcalloc(1, sizeof(*k));
	k->r = r;
	k->turn = r->turn;
	ares_getaddrinfo(r->channel, host, NULL, &hints, found, k);
	process(r, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

void
resolve_stop(struct resolve *r)
{
	r->turn++;
	r->busy = false;
	loop_soon_not(r->loop, &r->task);
	loop_timer_stop(r->loop, &r->timer);
	/* Name servers may have changed by the next time. */
	if (r->open)
		ares_destroy(r->channel);
	r->open = false;
}

void
resolve_free(struct resolve *r)
{
	if (r == NULL)
		return;
	resolve_stop(r);
	free(r);
}
