/* A client's connection: made, spoken HTTP/2 over, and watched. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"

static void link_event(void *arg, uint32_t events);
static void link_try(struct link *k);

static void
link_free(void *p)
{
	struct link *k = p;

	if (k->h2 != NULL)
		nghttp2_session_del(k->h2);
	resolve_free(k->resolve);
	free(k);
}

void
link_kill(struct link *k, const char *why)
{
	struct grpc_client *c = k->client;
	char text[256];

	if (k->state == LINK_DEAD)
		return;
	(void)snprintf(text, sizeof(text), "%s", why);
	if (k->state != LINK_UP)
		k->heard_ms = 0;
	loop_timer_stop(c->loop, &k->timer);
	loop_soon_not(c->loop, &k->flush);
	loop_soon_not(c->loop, &k->more);
	if (k->resolve != NULL)
		resolve_stop(k->resolve);
	k->closing = true;
	client_down(k, text);
	k->state = LINK_DEAD;
	loop_soon_not(c->loop, &k->flush);
	wire_close(&k->wire);
	loop_free_later(c->loop, link_free, k);
}

/* An attempt has failed: the next address, or the end of it. */
static void
link_failed(struct link *k)
{
	if (k->wire.why[0] != '\0')
		(void)snprintf(k->why, sizeof(k->why), "%s", k->wire.why);
	wire_close(&k->wire);
	if (k->n_tried < k->to.n && k->state <= LINK_CONNECT)
		link_try(k);
	else
		link_kill(k, k->why);
}

static void
link_late(void *arg)
{
	struct link *k = arg;

	link_kill(k, k->state == LINK_RESOLVE ? "the name servers do not answer"
		     : k->state == LINK_GREET
			 ? "connected, but it does not speak "
			   "HTTP/2"
			 : "no connection in time");
}

/* HTTP/2. */

static int
on_header(nghttp2_session *h2, const nghttp2_frame *f, const uint8_t *name,
    size_t n_name, const uint8_t *value, size_t n_value, uint8_t flags,
    void *arg)
{
	struct grpc_request *r =
	    nghttp2_session_get_stream_user_data(h2, f->hd.stream_id);

	(void)flags;
	(void)arg;
	if (r != NULL)
		request_header(r, (const char *)name, n_name,
		    (const char *)value, n_value);
	return 0;
}

static int
on_data(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *p,
    size_t n, void *arg)
{
	struct grpc_request *r = nghttp2_session_get_stream_user_data(h2, id);

	(void)flags;
	(void)arg;
	if (r != NULL)
		request_data(r, p, n);
	(void)nghttp2_session_consume(h2, id, n);
	return 0;
}

static int
on_frame(nghttp2_session *h2, const nghttp2_frame *f, void *arg)
{
	struct link *k = arg;

	(void)h2;
	switch (f->hd.type) {
	case NGHTTP2_SETTINGS:
		if (k->state != LINK_GREET || (f->hd.flags & NGHTTP2_FLAG_ACK))
			break;
		k->state = LINK_UP;
		client_up(k->client);
		break;
	case NGHTTP2_GOAWAY:
		/* "too_many_pings": then less often, as grpc-go does it. */
		if (f->goaway.error_code == NGHTTP2_ENHANCE_YOUR_CALM)
			k->client->o.limits.ping_ms *= 2;
		client_going(k);
		break;
	}
	return 0;
}

static int
on_sent(nghttp2_session *h2, const nghttp2_frame *f, void *arg)
{
	struct grpc_request *r;

	(void)arg;
	if (f->hd.type != NGHTTP2_HEADERS)
		return 0;
	r = nghttp2_session_get_stream_user_data(h2, f->hd.stream_id);
	if (r != NULL)
		r->sent = true;
	return 0;
}

static int
on_close(nghttp2_session *h2, int32_t id, uint32_t error, void *arg)
{
	struct grpc_request *r = nghttp2_session_get_stream_user_data(h2, id);

	(void)arg;
	if (r == NULL)
		return 0;
	(void)nghttp2_session_set_stream_user_data(h2, id, NULL);
	r->id = 0;
	request_closed(r, error);
	return 0;
}

static int
link_greet(struct link *k)
{
	nghttp2_session_callbacks *cb;
	nghttp2_option *o = h2_options();
	int r;

	must(nghttp2_session_callbacks_new(&cb) == 0);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_sent);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
	r = nghttp2_session_client_new2(&k->h2, cb, k, o);
	nghttp2_session_callbacks_del(cb);
	nghttp2_option_del(o);
	if (r != 0 || h2_settings(k->h2, &k->client->o.limits, false) != 0)
		return -1;
	k->state = LINK_GREET;
	link_flush(k);
	return 0;
}

/* Sending. */

static void
link_send(void *arg)
{
	struct link *k = arg;

	if (k->state == LINK_DEAD || k->h2 == NULL)
		return;
	if (wire_flush(&k->wire) == -1 || h2_flush(k->h2, &k->wire) == -1) {
		link_kill(k, k->wire.why[0] != '\0' ? k->wire.why : "gone");
		return;
	}
	if ((k->going && k->requests == NULL) ||
	    (!nghttp2_session_want_read(k->h2) &&
		!nghttp2_session_want_write(k->h2))) {
		link_kill(k, "the server has closed the connection");
		return;
	}
	wire_wait(&k->wire, true);
}

void
link_flush(struct link *k)
{
	if (k->h2 != NULL && k->state != LINK_DEAD && !k->closing)
		loop_soon(k->client->loop, &k->flush, link_send, k);
}

static ssize_t
more(nghttp2_session *h2, int32_t id, uint8_t *dst, size_t n, uint32_t *flags,
    nghttp2_data_source *src, void *arg)
{
	struct grpc_request *r = src->ptr;

	(void)h2;
	(void)id;
	(void)arg;
	if (n > r->out.len - r->off)
		n = r->out.len - r->off;
	memcpy(dst, r->out.p + r->off, n);
	r->off += n;
	if (r->off == r->out.len)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

int
link_submit(struct link *k, struct grpc_request *r)
{
	struct grpc_client *c = k->client;
	nghttp2_data_provider prd = { .source.ptr = r, .read_callback = more };
	nghttp2_nv *nv = arena_array(r->a, nghttp2_nv, 10 + r->n_pairs);
	char timeout[16];
	size_t n = 0, i;
	int32_t id;

	nv[n++] = h2_nv(":method", "POST");
	nv[n++] = h2_nv(":scheme", c->tls != NULL ? "https" : "http");
	nv[n++] = h2_nv(":path", r->path);
	nv[n++] = h2_nv(":authority", c->authority);
	nv[n++] = h2_nv("content-type", "application/grpc");
	nv[n++] = h2_nv("te", "trailers");
	nv[n++] = h2_nv("user-agent", c->o.user_agent);
	nv[n++] = h2_nv("grpc-accept-encoding", "gzip");
	if (r->deadline_ms != INT64_MAX) {
		timeout_print(timeout, r->deadline_ms - loop_now(c->loop));
		nv[n++] = h2_nv("grpc-timeout", timeout);
	}
	if (c->authorization != NULL)
		nv[n++] = h2_nv("authorization", c->authorization);
	for (i = 0; i < r->n_pairs; i++)
		nv[n++] = h2_nv(r->pairs[i].name, r->pairs[i].value);
	id = nghttp2_submit_request(k->h2, NULL, nv, n, &prd, r);
	if (id < 0)
		return -1;
	r->id = id;
	r->link = k;
	request_link(&k->requests, r);
	link_flush(k);
	return 0;
}

/* Nobody waits for it any more. */
void
link_cancel(struct link *k, struct grpc_request *r)
{
	if (r->id <= 0 || k->h2 == NULL)
		return;
	(void)nghttp2_session_set_stream_user_data(k->h2, r->id, NULL);
	(void)nghttp2_submit_rst_stream(
	    k->h2, NGHTTP2_FLAG_NONE, r->id, NGHTTP2_CANCEL);
	r->id = 0;
	link_flush(k);
}

/* Watching it. */

static void link_tick(void *arg);

static void
link_ping(struct link *k)
{
	if (k->pinged || k->h2 == NULL)
		return;
	k->pinged = true;
	k->pinged_ms = loop_now(k->client->loop);
	(void)nghttp2_submit_ping(k->h2, NGHTTP2_FLAG_NONE, NULL);
	link_flush(k);
	loop_timer(k->client->loop, &k->timer,
	    k->pinged_ms + k->client->o.limits.pong_ms, link_tick, k);
}

static void
link_tick(void *arg)
{
	struct link *k = arg;
	struct grpc_client *c = k->client;
	const struct grpc_limits *l = &c->o.limits;
	int64_t now = loop_now(c->loop);

	if (k->pinged && k->heard_ms >= k->pinged_ms)
		k->pinged = false;
	if (k->pinged && now >= k->pinged_ms + l->pong_ms) {
		link_kill(k, "the server does not answer");
		return;
	}
	if (!k->pinged && now >= k->heard_ms + l->ping_ms) {
		/*
		 * Where nobody waits for an answer, a broken connection harms
		 * nobody, and servers of grpc-go send away who pings then.
		 */
		if (k->requests != NULL)
			link_ping(k);
		else
			loop_timer(
			    c->loop, &k->timer, now + l->ping_ms, link_tick, k);
		return;
	}
	loop_timer(c->loop, &k->timer,
	    k->pinged ? k->pinged_ms + l->pong_ms : k->heard_ms + l->ping_ms,
	    link_tick, k);
}

/* A call got no answer in time: is it the call, or the connection? */
void
link_doubt(struct link *k)
{
	if (k->state == LINK_UP &&
	    loop_now(k->client->loop) - k->heard_ms > 1000)
		link_ping(k);
}

static int
link_read(struct link *k)
{
	static uint8_t in[SCRATCH];
	int turns = 4;
	ssize_t n, r;

	do {
		n = wire_read(&k->wire, in, sizeof(in));
		if (n == WIRE_AGAIN)
			return 0;
		if (n <= 0)
			return -1;
		k->heard_ms = loop_now(k->client->loop);
		r = nghttp2_session_mem_recv(k->h2, in, (size_t)n);
		if (r < 0) {
			(void)snprintf(k->wire.why, sizeof(k->wire.why),
			    "HTTP/2: %s", nghttp2_strerror((int)r));
			return -1;
		}
		if (k->state == LINK_DEAD)
			return 0;
	} while (--turns > 0 && (n == SCRATCH || wire_pending(&k->wire)));
	return 0;
}

static void
link_more(void *arg)
{
	link_event(arg, EPOLLIN);
}

static void
link_up(struct link *k, uint32_t events)
{
	if (((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 ||
		wire_pending(&k->wire)) &&
	    link_read(k) == -1) {
		link_kill(k, k->wire.why[0] != '\0'
				 ? k->wire.why
				 : "the server has closed the connection");
		return;
	}
	if (k->state == LINK_DEAD)
		return;
	if (k->state == LINK_UP && k->timer.fn != link_tick)
		loop_timer(k->client->loop, &k->timer,
		    k->heard_ms + k->client->o.limits.ping_ms, link_tick, k);
	if (wire_pending(&k->wire))
		loop_soon(k->client->loop, &k->more, link_more, k);
	link_flush(k);
}

/* Connecting. */

static int
link_shake(struct link *k)
{
	const unsigned char *alpn;
	unsigned n;
	int r = wire_shake(&k->wire);

	if (r != 1) {
		wire_wait(&k->wire, true);
		return r;
	}
	if (k->wire.ssl != NULL) {
		SSL_get0_alpn_selected(k->wire.ssl, &alpn, &n);
		if (n != 2 || memcmp(alpn, "h2", 2) != 0) {
			(void)snprintf(k->wire.why, sizeof(k->wire.why),
			    "TLS: the server does not speak HTTP/2");
			return -1;
		}
	}
	return link_greet(k) == -1 ? -1 : 1;
}

static void
link_event(void *arg, uint32_t events)
{
	struct link *k = arg;
	socklen_t len = sizeof(int);
	int error = 0;

	if (k->state == LINK_DEAD)
		return;
	if (k->state == LINK_CONNECT) {
		if (getsockopt(
			k->wire.fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1)
			error = errno;
		if (error != 0) {
			(void)snprintf(k->wire.why, sizeof(k->wire.why), "%s",
			    strerror(error));
			link_failed(k);
			return;
		}
		k->state = LINK_SHAKE;
	}
	if (k->state == LINK_SHAKE) {
		if (link_shake(k) == -1) {
			link_failed(k);
			return;
		}
		if (k->state == LINK_SHAKE)
			return;
	}
	link_up(k, events);
}

/* A session to take up again costs the server no signature. */
static int
on_session(SSL *ssl, SSL_SESSION *session)
{
	struct link *k = SSL_get_app_data(ssl);

	SSL_SESSION_free(k->client->session);
	k->client->session = session;
	return 1;
}

static SSL *
link_tls(struct link *k)
{
	struct grpc_client *c = k->client;
	const char *name = c->o.server_name;
	unsigned char a[16];
	SSL *ssl;

	if (c->tls == NULL)
		return NULL;
	must((ssl = SSL_new(c->tls)) != NULL);
	SSL_set_connect_state(ssl);
	SSL_set_app_data(ssl, k);
	SSL_CTX_set_session_cache_mode(
	    c->tls, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
	SSL_CTX_sess_set_new_cb(c->tls, on_session);
	/* An address is looked for among addresses, and is no server name. */
	if (inet_pton(AF_INET, name, a) == 1 ||
	    inet_pton(AF_INET6, name, a) == 1) {
		must(X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) ==
		     1);
	} else {
		(void)SSL_set_tlsext_host_name(ssl, (char *)(uintptr_t)name);
		must(SSL_set1_host(ssl, name) == 1);
	}
	if (c->session != NULL)
		(void)SSL_set_session(ssl, c->session);
	return ssl;
}

static int
link_socket(struct link *k, const struct sockaddr_storage *ss, socklen_t len)
{
	int fd, on = 1, ms = 20000;

	fd = socket(
	    ss->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		goto fail;
	if (ss->ss_family != AF_UNIX) {
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		/* What was sent and nobody confirms: the way is cut. */
		(void)setsockopt(
		    fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
	}
	if (connect(fd, (const struct sockaddr *)ss, len) == 0 ||
	    errno == EINPROGRESS)
		return fd;
fail:
	(void)snprintf(k->why, sizeof(k->why), "%s", strerror(errno));
	if (fd != -1)
		close(fd);
	return -1;
}

/* The next address; a failure that is known at once is told from here. */
static void
link_try(struct link *k)
{
	struct err e;
	size_t i;
	int fd;

	k->state = LINK_CONNECT;
	while (k->n_tried < k->to.n) {
		i = k->n_tried++;
		if ((fd = link_socket(k, &k->to.at[i], k->to.len[i])) == -1)
			continue;
		if (wire_open(&k->wire, k->client->loop, fd, link_tls(k),
			link_event, k, &e) == -1) {
			(void)snprintf(
			    k->why, sizeof(k->why), "%.200s", e.text);
			wire_close(&k->wire);
			continue;
		}
		loop_watch_for(k->client->loop, &k->wire.watch, EPOLLOUT);
		return;
	}
	link_kill(k, k->why);
}

static void
link_resolved(void *arg, const struct addresses *to, const char *why)
{
	struct link *k = arg;

	k->to = *to;
	if (k->to.n == 0)
		(void)snprintf(k->why, sizeof(k->why), "%s", why);
	link_try(k);
}

static void
link_start(void *arg)
{
	link_try(arg);
}

struct link *
link_new(struct grpc_client *c)
{
	struct link *k = xcalloc(1, sizeof(*k));
	struct err e;

	k->client = c;
	k->wire.fd = -1;
	k->resolve = resolve_new(c->loop);
	loop_timer(c->loop, &k->timer, loop_now(c->loop) + c->o.connect_ms,
	    link_late, k);
	if (!str_prefix(c->o.address, "unix:")) {
		resolve_start(k->resolve, c->host, c->port, link_resolved, k);
		return k;
	}
	if (address_unix(c->o.address, &k->to.at[0], &k->to.len[0], &e) == 0)
		k->to.n = 1;
	else
		(void)snprintf(k->why, sizeof(k->why), "%.200s", e.text);
	/* From a task: link_new's caller has yet to know of it. */
	loop_soon(c->loop, &k->more, link_start, k);
	return k;
}
