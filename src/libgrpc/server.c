/* The server: its methods, who connects, and how it ends. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "internal.h"

enum {
	ACCEPTS = 64,	   /* at once */
	RETRY_MS = 100,	   /* when there is no descriptor to be had */
	FAREWELL_MS = 500, /* between the two halves of draining */
};

void
limits_fill(struct grpc_limits *l)
{
	static const struct grpc_limits usual = {
		.message = 4u << 20,
		.decoded = 32u << 20,
		.body = 1u << 20,
		.headers = 16384,
		.conn_bytes = 16u << 20,
		.bytes = 64u << 20,
		.conns = 8192,
		.streams = 256,
		.handshake_ms = 10000,
		.request_ms = 60000,
		.ping_ms = 60000,
		.pong_ms = 20000,
		.idle_ms = 60000,
		.drain_ms = 30000,
	};

#define FILL(f) \
	if (l->f == 0) \
	l->f = usual.f
	FILL(message);
	FILL(decoded);
	FILL(body);
	FILL(headers);
	FILL(conn_bytes);
	FILL(bytes);
	FILL(conns);
	FILL(streams);
	FILL(handshake_ms);
	FILL(request_ms);
	FILL(ping_ms);
	FILL(pong_ms);
	FILL(idle_ms);
	FILL(drain_ms);
#undef FILL
}

static void drain_step(void *arg);

struct grpc_server *
grpc_server_open(struct loop *l, const struct grpc_server_opts *o)
{
	struct grpc_server *s = xcalloc(1, sizeof(*s));

	s->loop = l;
	s->o = *o;
	limits_fill(&s->o.limits);
	s->methods = map_new();
	h2_pool_open(&s->sessions, s->o.limits.conns);
	return s;
}

static void
listeners_close(struct grpc_server *s)
{
	struct listener *k;

	while ((k = s->listeners) != NULL) {
		s->listeners = k->next;
		loop_unwatch(s->loop, &k->watch);
		loop_timer_stop(s->loop, &k->retry);
		close(k->fd);
		grpc_tls_free(k->tls);
		free(k);
	}
}

static void
server_free(void *p)
{
	struct grpc_server *s = p;
	struct xchg *x;
	size_t i;

	for (i = 0; i < s->n_pool; i++) {
		x = s->pool[i];
		arena_free(x->a);
		buf_free(&x->in.body);
		buf_free(&x->out);
		free(x->h);
		free(x);
	}
	for (i = 0; i < s->n_owned; i++)
		free(s->owned[i]);
	free(s->owned);
	map_free(s->methods);
	h2_pool_close(&s->sessions);
	free(s);
}

void
grpc_server_close(struct grpc_server *s)
{
	struct xchg *x, *next;

	if (s == NULL)
		return;
	listeners_close(s);
	s->draining = false;
	while (s->conns != NULL)
		conn_kill(s->conns, "the server ends");
	for (x = s->orphans; x != NULL; x = next) {
		next = x->next;
		loop_timer_stop(s->loop, &x->deadline);
		loop_soon_not(s->loop, &x->drain);
		loop_free_later(s->loop, xchg_free, x);
	}
	loop_timer_stop(s->loop, &s->drain);
	loop_free_later(s->loop, server_free, s);
}

void
grpc_server_add(struct grpc_server *s, const struct grpc_method *m, size_t n)
{
	char path[256];
	size_t i;
	int k;

	for (i = 0; i < n; i++) {
		k = snprintf(
		    path, sizeof(path), "/%s/%s", m[i].service, m[i].name);
		must(k > 0 && (size_t)k < sizeof(path));
		(void)map_put(s->methods, path, (void *)(uintptr_t)&m[i]);
	}
}

void
grpc_server_add_service(struct grpc_server *s,
    const ProtobufCServiceDescriptor *d,
    void (*call)(void *arg, struct grpc_call *c), void *arg)
{
	struct grpc_method *m = xcalloc(d->n_methods + 1, sizeof(*m));
	unsigned i;

	for (i = 0; i < d->n_methods; i++)
		m[i] = (struct grpc_method){ .service = d->name,
			.name = d->methods[i].name,
			.req = d->methods[i].input,
			.res = d->methods[i].output,
			.call = call,
			.arg = arg };
	s->owned =
	    xrealloc(s->owned, (s->n_owned + 1) * sizeof(struct grpc_method *));
	s->owned[s->n_owned++] = m;
	grpc_server_add(s, m, d->n_methods);
}

void
grpc_server_stat(const struct grpc_server *s, struct grpc_server_stat *st)
{
	const struct conn *c;

	*st = s->stat;
	for (c = s->conns; c != NULL; c = c->next) {
		st->bytes_in += c->wire.in_total;
		st->bytes_out += c->wire.out_total;
	}
}

/* Accepting. */

static void
peer_name(char dst[64], const struct sockaddr_storage *ss)
{
	const struct sockaddr_in *v4 = (const void *)ss;
	const struct sockaddr_in6 *v6 = (const void *)ss;
	char a[INET6_ADDRSTRLEN];

	if (ss->ss_family == AF_INET)
		(void)snprintf(dst, 64, "%s:%u",
		    inet_ntop(AF_INET, &v4->sin_addr, a, sizeof(a)),
		    ntohs(v4->sin_port));
	else if (ss->ss_family == AF_INET6)
		(void)snprintf(dst, 64, "[%s]:%u",
		    inet_ntop(AF_INET6, &v6->sin6_addr, a, sizeof(a)),
		    ntohs(v6->sin6_port));
	else
		(void)snprintf(dst, 64, "unix");
}

/*
 * Small frames go at once; and a peer that vanished while it read a stream of
 * events is noticed by the kernel, for HTTP/1.1 has no ping.
 */
static void
tcp_opts(int fd)
{
	static const struct {
		int level, name, value;
	} opts[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, 60 },
		{ IPPROTO_TCP, TCP_KEEPINTVL, 15 },
		{ IPPROTO_TCP, TCP_KEEPCNT, 4 },
	};
	size_t i;

	for (i = 0; i < NITEMS(opts); i++)
		(void)setsockopt(fd, opts[i].level, opts[i].name,
		    &opts[i].value, sizeof(int));
}

static void
server_conn(struct grpc_server *s, int fd, const struct sockaddr_storage *ss,
    struct grpc_tls *tls)
{
	char peer[64];

	if (s->stat.conns >= s->o.limits.conns) {
		s->stat.refused++;
		close(fd);
		return;
	}
	peer_name(peer, ss);
	if (ss->ss_family == AF_INET || ss->ss_family == AF_INET6)
		tcp_opts(fd);
	conn_new(s, fd, peer, tls);
}

static void
listener_again(void *arg)
{
	struct listener *k = arg;

	loop_watch_for(k->server->loop, &k->watch, EPOLLIN);
}

static void
listener_event(void *arg, uint32_t events)
{
	struct listener *k = arg;
	struct grpc_server *s = k->server;
	struct sockaddr_storage ss;
	socklen_t len;
	int fd, i;

	(void)events;
	for (i = 0; i < ACCEPTS; i++) {
		len = sizeof(ss);
		memset(&ss, 0, sizeof(ss));
		fd = accept4(k->fd, (struct sockaddr *)&ss, &len,
		    SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd != -1) {
			server_conn(s, fd, &ss, k->tls);
			continue;
		}
		/* Others accept from it as well; some left before. */
		if (errno == EAGAIN)
			return;
		if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS &&
		    errno != ENOMEM)
			continue;
		s->stat.refused++;
		loop_watch_for(s->loop, &k->watch, 0);
		loop_timer(s->loop, &k->retry, loop_now(s->loop) + RETRY_MS,
		    listener_again, k);
		return;
	}
}

int
grpc_server_listen(
    struct grpc_server *s, int fd, struct grpc_tls *tls, struct err *e)
{
	struct listener *k = xcalloc(1, sizeof(*k));

	k->server = s;
	k->fd = fd;
	if (loop_watch(s->loop, &k->watch, fd, EPOLLIN, listener_event, k, e) ==
	    -1) {
		free(k);
		return -1;
	}
	if ((k->tls = tls) != NULL)
		tls->refs++;
	k->next = s->listeners;
	s->listeners = k;
	return 0;
}

int
grpc_server_take(
    struct grpc_server *s, int fd, struct grpc_tls *tls, struct err *e)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t len = sizeof(ss);

	if (getpeername(fd, (struct sockaddr *)&ss, &len) == -1) {
		err_sys(e, "getpeername");
		close(fd);
		return -1;
	}
	server_conn(s, fd, &ss, tls);
	return 0;
}

/* Draining. */

/* Streams have no end of their own: their readers come back elsewhere. */
static void
drain_streams(struct conn *c)
{
	struct xchg *x, *next;

	for (x = c->xchgs; x != NULL; x = next) {
		next = x->next;
		if (x->closed || x->answered || !x->asked)
			continue;
		if (x->kind == X_PAGE && x->events)
			xchg_end(x);
		else if (x->kind != X_PAGE && x->call.method->stream)
			call_finish(x, GRPC_UNAVAILABLE,
			    "the server is going; come again");
		else
			continue;
		x->code = GRPC_UNAVAILABLE;
		route_gone(x);
	}
}

static void
drain_step(void *arg)
{
	struct grpc_server *s = arg;
	struct conn *c, *next;
	int64_t end = s->drain.at_ms;

	if (s->conns == NULL) {
		if (!s->drained && s->o.drained != NULL) {
			s->drained = true;
			s->o.drained(s->o.arg);
		}
		return;
	}
	if (end >= s->drain_end_ms) {
		while (s->conns != NULL)
			conn_kill(s->conns, "drained for too long");
		loop_timer(
		    s->loop, &s->drain, loop_now(s->loop), drain_step, s);
		return;
	}
	for (c = s->conns; c != NULL; c = next) {
		next = c->next;
		drain_streams(c);
		if (c->h2 != NULL)
			h2s_last(c);
	}
	loop_timer(s->loop, &s->drain, s->drain_end_ms, drain_step, s);
}

void
grpc_server_drain(struct grpc_server *s)
{
	int64_t now = loop_now(s->loop), wait = s->o.limits.drain_ms;
	struct conn *c, *next;

	if (s->draining)
		return;
	s->draining = true;
	s->drain_end_ms = now + wait;
	listeners_close(s);
	for (c = s->conns; c != NULL; c = next) {
		next = c->next;
		conn_drain(c);
	}
	loop_timer(s->loop, &s->drain,
	    s->conns == NULL ? now
			     : now + (wait < FAREWELL_MS ? wait : FAREWELL_MS),
	    drain_step, s);
}
