/* A server's connection: what is spoken on it, and for how long. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

enum {
	LINGER_MS = 2000
};

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

static void conn_tick(void *arg);

static int64_t
sooner(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static void
conn_unlink(struct conn *c)
{
	struct grpc_server *s = c->server;

	if (c->prev != NULL)
		c->prev->next = c->next;
	else
		s->conns = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	s->stat.conns--;
	if (s->draining && s->conns == NULL)
		loop_timer(s->loop, &s->drain, loop_now(s->loop), s->drain.fn,
		    s->drain.arg);
}

static void
conn_free(void *p)
{
	struct conn *c = p;

	if (c->h2 != NULL)
		nghttp2_session_del(c->h2);
	h1_free(c->h1);
	grpc_tls_free(c->tls);
	free(c);
}

void
conn_kill(struct conn *c, const char *why)
{
	struct grpc_server *s = c->server;
	struct xchg *x;

	if (c->state == CONN_DEAD)
		return;
	log_debug(c->peer, "closed: %s", why);
	c->state = CONN_DEAD;
	while ((x = c->xchgs) != NULL) {
		xchg_closed(x);
		if (c->xchgs == x)
			xchg_orphan(x);
	}
	s->stat.bytes_in += c->wire.in_total;
	s->stat.bytes_out += c->wire.out_total;
	wire_close(&c->wire);
	loop_timer_stop(s->loop, &c->timer);
	loop_soon_not(s->loop, &c->flush);
	loop_soon_not(s->loop, &c->more);
	conn_unlink(c);
	loop_free_later(s->loop, conn_free, c);
}

/*
 * A socket that is closed with bytes unread is reset, and takes the answer with
 * it: HTTP/1.1 waits a moment for the peer to have it.
 */
static void
conn_linger(struct conn *c)
{
	int64_t now = loop_now(c->server->loop);

	if (c->h1 == NULL || c->half || c->wire.broken) {
		conn_kill(c, "all is said");
		return;
	}
	c->state = CONN_LINGER;
	if (c->wire.ssl != NULL)
		(void)SSL_shutdown(c->wire.ssl);
	(void)shutdown(c->wire.fd, SHUT_WR);
	c->opened_ms = now;
	loop_watch_for(c->server->loop, &c->wire.watch, EPOLLIN);
	loop_timer(c->server->loop, &c->timer, now + LINGER_MS, conn_tick, c);
}

static void
conn_lingering(struct conn *c)
{
	struct grpc_server *s = c->server;
	ssize_t n;

	n = recv(c->wire.fd, s->scratch, sizeof(s->scratch), 0);
	if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR))
		conn_kill(c, "all is said");
}

/*
 * The peer sends no more.  Who waits for one answer may still read it; who
 * reads a stream of them has gone.
 */
static bool
conn_half(struct conn *c)
{
	const struct xchg *x = c->xchgs;

	c->half = true;
	return x != NULL && !x->events &&
	       (x->kind == X_PAGE || x->call.method == NULL ||
		   !x->call.method->stream);
}

/* What goes out: frames are made, sent, and what they leave is looked at. */
static void
conn_send(void *arg)
{
	struct conn *c = arg;

	if (c->state == CONN_DEAD)
		return;
	if (wire_flush(&c->wire) == -1)
		goto broken;
	if (c->h2 != NULL && h2s_make(c) == -1)
		goto broken;
	if (c->state != CONN_DEAD && c->h1 != NULL && h1_make(c) == -1)
		goto broken;
	if (c->state == CONN_DEAD)
		return;
	if (c->closing && wire_unsent(&c->wire) == 0) {
		conn_linger(c);
		return;
	}
	wire_wait(&c->wire, c->h1 == NULL || h1_reads(c));
	/* Who has been told that it sends no more need not be told again. */
	if (c->half)
		loop_watch_for(c->server->loop, &c->wire.watch,
		    c->wire.watch.events & ~(uint32_t)EPOLLRDHUP);
	return;
broken:
	conn_kill(c, c->wire.why[0] != '\0' ? c->wire.why : "gone");
}

void
conn_flush(struct conn *c)
{
	if (c->state == CONN_H2 || c->state == CONN_H1)
		loop_soon(c->server->loop, &c->flush, conn_send, c);
}

static int
conn_speak(struct conn *c, bool h2)
{
	const struct grpc_limits *l = &c->server->o.limits;

	c->state = h2 ? CONN_H2 : CONN_H1;
	loop_timer(c->server->loop, &c->timer,
	    loop_now(c->server->loop) +
		sooner(l->request_ms, h2 ? l->ping_ms : l->idle_ms),
	    conn_tick, c);
	return h2 ? h2s_open(c) : h1_open(c);
}

static int
conn_bytes(struct conn *c, const uint8_t *p, size_t n)
{
	return c->state == CONN_H2 ? h2s_read(c, p, n) : h1_read(c, p, n);
}

/* As long as it looks like the preface of HTTP/2 it may be one. */
static int
conn_sniff(struct conn *c, const uint8_t *p, size_t n)
{
	uint8_t head[sizeof(c->sniff)];
	unsigned k;

	while (n > 0 && c->n_sniff < sizeof(c->sniff)) {
		if (*p != (uint8_t)preface[c->n_sniff]) {
			k = c->n_sniff;
			memcpy(head, c->sniff, k);
			if (conn_speak(c, false) == -1)
				return -1;
			/* What was held back comes first. */
			if (k > 0 && conn_bytes(c, head, k) == -1)
				return -1;
			return conn_bytes(c, p, n);
		}
		c->sniff[c->n_sniff++] = *p++;
		n--;
	}
	if (c->n_sniff < sizeof(c->sniff))
		return 0;
	if (conn_speak(c, true) == -1 ||
	    conn_bytes(c, c->sniff, sizeof(c->sniff)) == -1)
		return -1;
	return n == 0 ? 0 : conn_bytes(c, p, n);
}

/* What OpenSSL calls "http request": a browser was told http://. */
static void
wrong_port(struct conn *c)
{
	static const char told[] = "HTTP/1.1 400 Bad Request\r\n"
				   "content-type: text/plain\r\n"
				   "connection: close\r\n\r\n"
				   "this port speaks TLS: https\n";
	struct grpc_server *s = c->server;

	if (strstr(c->wire.why, "http request") == NULL)
		return;
	(void)send(
	    c->wire.fd, told, sizeof(told) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	/* What is left unread would reset the connection before that. */
	(void)recv(c->wire.fd, s->scratch, sizeof(s->scratch), MSG_DONTWAIT);
}

static int
conn_shake(struct conn *c)
{
	const unsigned char *alpn;
	unsigned n;

	switch (wire_shake(&c->wire)) {
	case -1:
		wrong_port(c);
		return -1;
	case 0:
		wire_wait(&c->wire, true);
		return 0;
	}
	SSL_get0_alpn_selected(c->wire.ssl, &alpn, &n);
	if (n == 0) {
		c->state = CONN_SNIFF;
		return 0;
	}
	return conn_speak(c, n == 2);
}

static int
conn_read(struct conn *c)
{
	struct grpc_server *s = c->server;
	int turns = 4; /* others want their turn too */
	ssize_t n;

	do {
		if (c->h1 != NULL && !h1_reads(c))
			return 0;
		n = wire_read(&c->wire, s->scratch, sizeof(s->scratch));
		if (n == WIRE_AGAIN)
			return 0;
		if (n <= 0)
			return -1;
		c->heard_ms = loop_now(s->loop);
		if ((c->state == CONN_SNIFF
			    ? conn_sniff(c, s->scratch, (size_t)n)
			    : conn_bytes(c, s->scratch, (size_t)n)) == -1)
			return -1;
		if (c->state == CONN_DEAD)
			return 0;
	} while (--turns > 0 && (n == SCRATCH || wire_pending(&c->wire)));
	return 0;
}

static void conn_event(void *arg, uint32_t events);

static void
conn_more(void *arg)
{
	conn_event(arg, EPOLLIN);
}

static void
conn_event(void *arg, uint32_t events)
{
	struct conn *c = arg;
	const char *why = "the peer closed it";

	if (c->state == CONN_DEAD)
		return;
	if (c->state == CONN_LINGER) {
		conn_lingering(c);
		return;
	}
	if ((events & EPOLLRDHUP) != 0 && !conn_half(c))
		goto kill;
	if (c->state == CONN_SHAKE && conn_shake(c) == -1)
		goto kill;
	if (c->state == CONN_SHAKE)
		return;
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 ||
	    wire_pending(&c->wire)) {
		if (conn_read(c) == -1)
			goto kill;
		if (c->state == CONN_DEAD)
			return;
	}
	if ((events & EPOLLHUP) != 0 && c->h1 != NULL && !h1_reads(c))
		goto kill;
	/* Bytes that TLS has taken out of the socket wake nobody. */
	if (wire_pending(&c->wire) && (c->h1 == NULL || h1_reads(c)))
		loop_soon(c->server->loop, &c->more, conn_more, c);
	conn_flush(c);
	return;
kill:
	/* An answer that says why may still be on its way out. */
	if (c->h2 != NULL && !c->wire.broken)
		(void)h2_flush(c->h2, &c->wire);
	conn_kill(c, c->wire.why[0] != '\0' ? c->wire.why : why);
}

/* The clock of a connection. */

/* Requests that do not arrive, and answers that nobody reads. */
static int64_t
conn_look(struct conn *c, int64_t now)
{
	int64_t next = INT64_MAX, due, wait = c->server->o.limits.request_ms;
	struct xchg *x, *then;

	for (x = c->xchgs; x != NULL; x = then) {
		then = x->next;
		if (x->closed)
			continue;
		if (!x->in_done)
			due = x->due_ms;
		else if (xchg_unsent(x) > 0)
			due = x->moved_ms + wait;
		else
			continue;
		if (due > now) {
			next = due < next ? due : next;
			continue;
		}
		if (!x->in_done && !x->head_sent && c->h1 == NULL &&
		    x->kind != X_PAGE && x->kind != X_NONE)
			call_finish(x, GRPC_DEADLINE_EXCEEDED,
			    "the request did not arrive in time");
		else if (!x->head_sent)
			page_error(
			    x, 408, "the request did not arrive in time");
		else
			xchg_cut(x, NGHTTP2_CANCEL);
	}
	return next;
}

/* When it has been silent for long, it is asked whether it is there. */
static int64_t
conn_ping(struct conn *c, int64_t now)
{
	const struct grpc_limits *l = &c->server->o.limits;

	if (c->pinged && c->heard_ms >= c->pinged_ms)
		c->pinged = false;
	if (c->pinged) {
		if (now >= c->pinged_ms + l->pong_ms)
			return -1;
		return c->pinged_ms + l->pong_ms;
	}
	if (now < c->heard_ms + l->ping_ms)
		return c->heard_ms + l->ping_ms;
	c->pinged = true;
	c->pinged_ms = now;
	(void)nghttp2_submit_ping(c->h2, NGHTTP2_FLAG_NONE, NULL);
	conn_flush(c);
	return now + l->pong_ms;
}

/* Bytes that lie in front of a socket that takes none. */
static int64_t
conn_stall(struct conn *c, int64_t now)
{
	int64_t wait = c->server->o.limits.request_ms;

	if (wire_unsent(&c->wire) == 0 || c->wire.out_total != c->moved_bytes) {
		c->moved_bytes = c->wire.out_total;
		c->moved_ms = now;
	}
	if (wire_unsent(&c->wire) == 0)
		return INT64_MAX;
	return now >= c->moved_ms + wait ? -1 : now + wait / 4;
}

static void
conn_tick(void *arg)
{
	struct conn *c = arg;
	const struct grpc_limits *l = &c->server->o.limits;
	int64_t now = loop_now(c->server->loop), next, k;

	if (c->state == CONN_LINGER) {
		conn_kill(c, "all is said");
		return;
	}
	if (c->state == CONN_SHAKE || c->state == CONN_SNIFF) {
		next = c->opened_ms + l->handshake_ms;
		if (now >= next) {
			conn_kill(c, "said nothing that could be answered");
			return;
		}
	} else {
		next = conn_look(c, now);
		if ((k = conn_stall(c, now)) == -1) {
			conn_kill(c, "takes no bytes");
			return;
		}
		next = sooner(next, k);
		if (c->h2 != NULL) {
			if ((k = conn_ping(c, now)) == -1) {
				conn_kill(c, "does not answer");
				return;
			}
			next = sooner(next, k);
		} else if (c->xchgs == NULL) {
			if (now >= c->heard_ms + l->idle_ms) {
				conn_kill(c, "idle");
				return;
			}
			next = sooner(next, c->heard_ms + l->idle_ms);
		}
		/* Requests that began since are looked at in time too. */
		next = sooner(next, now + l->request_ms);
	}
	loop_timer(c->server->loop, &c->timer,
	    next < now + 50 ? now + 50 : next, conn_tick, c);
}

void
conn_new(struct grpc_server *s, int fd, const char *peer, struct grpc_tls *tls)
{
	struct conn *c = xcalloc(1, sizeof(*c));
	struct err e;
	SSL *ssl = NULL;

	c->server = s;
	c->state = tls != NULL ? CONN_SHAKE : CONN_SNIFF;
	c->opened_ms = c->heard_ms = c->moved_ms = loop_now(s->loop);
	(void)snprintf(c->peer, sizeof(c->peer), "%s", peer);
	if (tls != NULL) {
		must((ssl = SSL_new(tls->ctx)) != NULL);
		SSL_set_accept_state(ssl);
		c->tls = tls;
		tls->refs++;
	}
	c->next = s->conns;
	if (c->next != NULL)
		c->next->prev = c;
	s->conns = c;
	s->stat.conns++;
	s->stat.accepted++;
	if (wire_open(&c->wire, s->loop, fd, ssl, conn_event, c, &e) == -1) {
		log_warn(peer, "%s", e.text);
		conn_kill(c, e.text);
		return;
	}
	loop_timer(s->loop, &c->timer, c->opened_ms + s->o.limits.handshake_ms,
	    conn_tick, c);
}

void
conn_drain(struct conn *c)
{
	if (c->going)
		return;
	c->going = true;
	if (c->state == CONN_SHAKE || c->state == CONN_SNIFF) {
		conn_kill(c, "draining");
		return;
	}
	if (c->h2 != NULL)
		(void)nghttp2_submit_shutdown_notice(c->h2);
	else if (c->xchgs == NULL)
		c->closing = true;
	conn_flush(c);
}
