/* One request and its answer, whatever speaks. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

enum {
	KEEP = 16384 /* of a buffer, for the next request */
};

struct xchg *
xchg_new(struct conn *c)
{
	struct grpc_server *s = c->server;
	struct xchg *x;

	if (s->n_pool > 0) {
		x = s->pool[--s->n_pool];
	} else {
		x = xcalloc(1, sizeof(*x));
		x->a = arena_new();
		x->in.body = x->out = (struct buf)BUF_INIT;
	}
	x->server = s;
	x->conn = c;
	x->length = -1;
	x->started_us = now_us();
	x->due_ms = loop_now(s->loop) + s->o.limits.request_ms;
	x->moved_ms = loop_now(s->loop);
	x->method = x->path = x->host = x->type = "";
	x->call.a = x->page.a = x->a;
	x->call.peer = x->page.peer = c->peer;
	x->call.tls = x->page.tls = c->wire.ssl != NULL;
	x->call.deadline_ms = INT64_MAX;
	x->next = c->xchgs;
	if (x->next != NULL)
		x->next->prev = x;
	c->xchgs = x;
	c->n_xchgs++;
	return x;
}

static void
buf_keep(struct buf *b)
{
	if (b->cap > KEEP) {
		buf_free(b);
		*b = (struct buf)BUF_INIT;
	}
	buf_reset(b);
}

static void
xchg_unlink(struct xchg *x)
{
	struct xchg **head =
	    x->conn != NULL ? &x->conn->xchgs : &x->server->orphans;

	if (x->prev != NULL)
		x->prev->next = x->next;
	else
		*head = x->next;
	if (x->next != NULL)
		x->next->prev = x->prev;
	x->next = x->prev = NULL;
}

/* Back to the pool; nobody knows it any more. */
void
xchg_free(void *p)
{
	struct xchg *x = p;
	struct grpc_server *s = x->server;
	struct arena *a = x->a;
	struct buf in = x->in.body, out = x->out;
	struct grpc_pair *h = x->h;
	size_t cap = x->cap_h;

	if (arena_size(a) > KEEP || s->n_pool == POOL) {
		arena_free(a);
		a = arena_new();
	} else {
		arena_reset(a);
	}
	if (s->n_pool == POOL) {
		arena_free(a);
		buf_free(&in);
		buf_free(&out);
		free(h);
		free(x);
		return;
	}
	buf_keep(&in);
	buf_keep(&out);
	memset(x, 0, sizeof(*x));
	x->a = a;
	x->in.body = in;
	x->out = out;
	x->h = h;
	x->cap_h = cap;
	s->pool[s->n_pool++] = x;
}

/* Both the handler and the connection are done with it. */
static void
xchg_done(struct xchg *x)
{
	struct grpc_server *s = x->server;

	loop_timer_stop(s->loop, &x->deadline);
	loop_soon_not(s->loop, &x->drain);
	xchg_uncharge(x, x->charged);
	xchg_unlink(x);
	if (x->conn != NULL)
		x->conn->n_xchgs--;
	loop_free_later(s->loop, xchg_free, x);
}

void
xchg_closed(struct xchg *x)
{
	if (x->closed)
		return;
	x->closed = true;
	/* Its bytes will not be read any more. */
	buf_keep(&x->out);
	x->off = 0;
	if (!x->asked)
		x->answered = true;
	if (x->answered) {
		xchg_done(x);
		return;
	}
	route_gone(x);
}

/* A call that its handler still has outlives its connection. */
void
xchg_orphan(struct xchg *x)
{
	struct conn *c = x->conn;

	xchg_uncharge(x, x->charged);
	xchg_unlink(x);
	c->n_xchgs--;
	x->conn = NULL;
	x->call.peer = x->page.peer = arena_strdup(x->a, c->peer);
	x->next = x->server->orphans;
	if (x->next != NULL)
		x->next->prev = x;
	x->server->orphans = x;
}

void
xchg_answered(struct xchg *x, int code)
{
	struct grpc_server *s = x->server;

	must(!x->answered);
	x->answered = true;
	x->code = code;
	loop_timer_stop(s->loop, &x->deadline);
	if (x->kind != X_PAGE && s->o.done != NULL)
		s->o.done(s->o.arg, x->call.method, x->call.via, code,
		    now_us() - x->started_us);
	if (x->closed)
		xchg_done(x);
}

bool
xchg_charge(struct xchg *x, size_t bytes)
{
	struct grpc_server *s = x->server;
	struct conn *c = x->conn;

	if (c == NULL)
		return true;
	if (c->buffered + bytes > s->o.limits.conn_bytes ||
	    s->stat.buffered + bytes > s->o.limits.bytes)
		return false;
	x->charged += bytes;
	c->buffered += bytes;
	s->stat.buffered += bytes;
	return true;
}

void
xchg_uncharge(struct xchg *x, size_t bytes)
{
	if (bytes > x->charged)
		bytes = x->charged;
	x->charged -= bytes;
	x->server->stat.buffered -= bytes;
	if (x->conn != NULL)
		x->conn->buffered -= bytes;
}

/* Headers of the request. */

static bool
is(const char *a, size_t n, const char *b)
{
	return n == strlen(b) && memcmp(a, b, n) == 0;
}

static void
xchg_length(struct xchg *x, const char *v)
{
	size_t i;

	x->length = 0;
	for (i = 0; v[i] >= '0' && v[i] <= '9' && i < 15; i++)
		x->length = x->length * 10 + (v[i] - '0');
	if (v[i] != '\0' || i == 0)
		x->length = INT64_MAX;
}

/* Those that we look at ourselves; the rest is for handlers. */
static void
xchg_note(struct xchg *x, const char *name, size_t n, const char *v)
{
	if (is(name, n, "content-type"))
		x->type = v;
	else if (is(name, n, "host") && x->host[0] == '\0')
		x->host = v;
	else if (is(name, n, "content-length"))
		xchg_length(x, v);
	else if (is(name, n, "grpc-encoding"))
		x->encoding = v;
	else if (is(name, n, "grpc-timeout"))
		x->timeout = v;
	else if (is(name, n, "authorization"))
		x->call.authorization = v;
}

bool
xchg_header(struct xchg *x, const char *name, size_t n_name, const char *value,
    size_t n_value)
{
	size_t most = x->server->o.limits.headers;
	struct grpc_pair *p;

	/* As HPACK counts, so that many empty ones are not free. */
	x->head_bytes += n_name + n_value + 32;
	if (x->head_bytes > most) {
		x->over = true;
		/* What is in a head matters to how it is refused. */
		if (is(name, n_name, "content-type") && n_value < 128)
			x->type = arena_strndup(x->a, value, n_value);
		return x->head_bytes < most * 16;
	}
	if (n_name > 0 && name[0] == ':') {
		value = arena_strndup(x->a, value, n_value);
		if (is(name, n_name, ":path"))
			x->path = value;
		else if (is(name, n_name, ":method"))
			x->method = value;
		else if (is(name, n_name, ":authority"))
			x->host = value;
		return true;
	}
	if (x->n_h == x->cap_h) {
		x->cap_h = x->cap_h == 0 ? 16 : x->cap_h * 2;
		x->h = xrealloc(x->h, x->cap_h * sizeof(*x->h));
	}
	p = &x->h[x->n_h++];
	p->name = arena_strndup(x->a, name, n_name);
	p->value = arena_strndup(x->a, value, n_value);
	xchg_note(x, p->name, n_name, p->value);
	return true;
}

const char *
xchg_find(const struct xchg *x, const char *name)
{
	size_t i;

	for (i = 0; i < x->n_h; i++) {
		if (strcmp(x->h[i].name, name) == 0)
			return x->h[i].value;
	}
	return NULL;
}

/* The answer. */

void
xchg_set(struct xchg *x, const char *name, const char *value)
{
	struct grpc_pair *more;

	if (x->n_set == x->cap_set) {
		more = arena_array(x->a, struct grpc_pair, x->cap_set + 8);
		if (x->n_set > 0)
			memcpy(more, x->set, x->n_set * sizeof(*more));
		x->set = more;
		x->cap_set += 8;
	}
	x->set[x->n_set].name = arena_strdup(x->a, name);
	x->set[x->n_set++].value = arena_strdup(x->a, value);
}

size_t
xchg_unsent(const struct xchg *x)
{
	return x->out.len - x->off;
}

void
xchg_head(
    struct xchg *x, int status, const char *type, int64_t length, bool end)
{
	if (x->closed || x->conn == NULL || x->head_sent)
		return;
	x->head_sent = true;
	x->out_done = end;
	x->moved_ms = loop_now(x->server->loop);
	if (x->conn->h1 != NULL)
		h1_head(x, status, type, length, end);
	else
		h2s_head(x, status, type, length, end);
	conn_flush(x->conn);
}

static void
xchg_wake(struct xchg *x)
{
	if (x->conn->h1 == NULL)
		h2s_wake(x);
	conn_flush(x->conn);
}

void
xchg_body(struct xchg *x, const void *p, size_t n)
{
	if (x->closed || x->conn == NULL || x->out_done || n == 0)
		return;
	if (xchg_unsent(x) == 0)
		x->moved_ms = loop_now(x->server->loop);
	if (!xchg_charge(x, n)) {
		/* Who does not read cannot have us keep it all. */
		xchg_cut(x, NGHTTP2_ENHANCE_YOUR_CALM);
		return;
	}
	if (!x->empty)
		buf_add(&x->out, p, n);
	xchg_wake(x);
}

void
xchg_end(struct xchg *x)
{
	if (x->closed || x->conn == NULL || x->out_done)
		return;
	x->out_done = true;
	xchg_wake(x);
}

static void
xchg_drained(void *arg)
{
	struct xchg *x = arg;

	if (x->answered || x->closed)
		return;
	if (x->kind == X_PAGE && x->page.on_drain != NULL)
		x->page.on_drain(&x->page);
	else if (x->kind != X_PAGE && x->call.on_drain != NULL)
		x->call.on_drain(&x->call);
}

void
xchg_sent(struct xchg *x, size_t n)
{
	if (x->full && xchg_unsent(x) - n < LOW_WATER) {
		x->full = false;
		loop_soon(x->server->loop, &x->drain, xchg_drained, x);
	}
	x->off += n;
	x->moved_ms = loop_now(x->server->loop);
	xchg_uncharge(x, n);
	if (x->off == x->out.len) {
		buf_keep(&x->out);
		x->off = 0;
	} else if (x->off > HIGH_WATER && x->off > x->out.len / 2) {
		memmove(x->out.p, x->out.p + x->off, x->out.len - x->off);
		x->out.len -= x->off;
		x->off = 0;
	}
}

void
xchg_cut(struct xchg *x, uint32_t error)
{
	if (x->closed || x->conn == NULL)
		return;
	if (x->conn->h1 != NULL) {
		x->conn->closing = true;
		x->out_done = true;
		conn_flush(x->conn);
		return;
	}
	h2s_cut(x, error);
	conn_flush(x->conn);
}
