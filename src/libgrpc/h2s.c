/* The server's side of HTTP/2. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

enum {
	SKIP = 16u << 20,
	TELL_MS = 60000
};

/* Who floods us shall not flood the log as well. */
static void
tell(struct conn *c)
{
	struct grpc_server *s = c->server;

	if (s->told_ms != 0 && loop_now(s->loop) < s->told_ms + TELL_MS) {
		s->untold++;
		return;
	}
	log_info(c->peer,
	    "connection closed: it floods us with control frames "
	    "untold=%u",
	    s->untold);
	s->told_ms = loop_now(s->loop);
	s->untold = 0;
}

/* Too many frames that nobody needs: tell it, and go. */
static int
enough(struct conn *c, int cost)
{
	if (h2_patience(&c->patience, loop_now(c->server->loop), cost) ||
	    c->closing)
		return 0;
	tell(c);
	(void)nghttp2_session_terminate_session(
	    c->h2, NGHTTP2_ENHANCE_YOUR_CALM);
	c->closing = true;
	return 0;
}

/* Priorities and what nobody knows are skipped before they get a name. */
static int
on_begin_frame(nghttp2_session *h2, const nghttp2_frame_hd *hd, void *arg)
{
	(void)h2;
	if (hd->type == NGHTTP2_PRIORITY || hd->type > NGHTTP2_CONTINUATION)
		return enough(arg, 1);
	return 0;
}

static int
on_begin_headers(nghttp2_session *h2, const nghttp2_frame *f, void *arg)
{
	struct conn *c = arg;
	struct xchg *x;

	if (f->hd.type != NGHTTP2_HEADERS ||
	    f->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	/*
	 * Calls that were cancelled count until their handlers have let go of
	 * them: who resets quickly gets no more work out of us than others.
	 */
	if (c->n_xchgs >= c->server->o.limits.streams * 2) {
		c->server->stat.refused++;
		return nghttp2_submit_rst_stream(h2, NGHTTP2_FLAG_NONE,
		    f->hd.stream_id, NGHTTP2_REFUSED_STREAM);
	}
	x = xchg_new(c);
	x->id = f->hd.stream_id;
	return nghttp2_session_set_stream_user_data(h2, x->id, x);
}

static int
on_header(nghttp2_session *h2, const nghttp2_frame *f, const uint8_t *name,
    size_t n_name, const uint8_t *value, size_t n_value, uint8_t flags,
    void *arg)
{
	struct xchg *x =
	    nghttp2_session_get_stream_user_data(h2, f->hd.stream_id);

	(void)flags;
	(void)arg;
	/* Trailers of a request are nobody's business. */
	if (x == NULL || f->headers.cat != NGHTTP2_HCAT_REQUEST)
		return enough(arg, 1);
	if (!xchg_header(
		x, (const char *)name, n_name, (const char *)value, n_value))
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	return 0;
}

static int
on_frame(nghttp2_session *h2, const nghttp2_frame *f, void *arg)
{
	struct conn *c = arg;
	struct xchg *x;

	switch (f->hd.type) {
	case NGHTTP2_HEADERS:
	case NGHTTP2_DATA:
		break;
	case NGHTTP2_SETTINGS:
		return enough(c, (f->hd.flags & NGHTTP2_FLAG_ACK) ? 0 : 10);
	case NGHTTP2_PING:
		return enough(c, (f->hd.flags & NGHTTP2_FLAG_ACK) ? 0 : 1);
	default:
		return 0;
	}
	x = nghttp2_session_get_stream_user_data(h2, f->hd.stream_id);
	if (x == NULL || x->closed)
		return 0;
	if (f->hd.type == NGHTTP2_HEADERS &&
	    f->headers.cat == NGHTTP2_HCAT_REQUEST)
		route_begin(x);
	else if (f->hd.length == 0 && !(f->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return enough(c, 1);
	if ((f->hd.flags & NGHTTP2_FLAG_END_STREAM) && !x->in_done) {
		x->in_done = true;
		if (!x->closed)
			route_end(x);
	}
	return 0;
}

static int
on_data(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *p,
    size_t n, void *arg)
{
	struct xchg *x = nghttp2_session_get_stream_user_data(h2, id);

	(void)flags;
	(void)arg;
	if (x != NULL && !x->closed && !x->out_done)
		route_data(x, p, n);
	else if (x != NULL && !x->closed && (x->skipped += n) > SKIP)
		h2s_cut(x, NGHTTP2_NO_ERROR);
	/* What is kept is counted there; the window only keeps the pace. */
	(void)nghttp2_session_consume(h2, id, n);
	return 0;
}

static int
on_invalid(nghttp2_session *h2, const nghttp2_frame *f, int error, void *arg)
{
	(void)h2;
	(void)f;
	(void)error;
	return enough(arg, 10);
}

static int
on_sent(nghttp2_session *h2, const nghttp2_frame *f, void *arg)
{
	struct conn *c = arg;
	struct xchg *x;

	if (f->hd.type != NGHTTP2_HEADERS && f->hd.type != NGHTTP2_DATA)
		return 0;
	/* Peers measure with pings what we send: that is no abuse. */
	c->patience.at_ms = 0;
	if (!(f->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	x = nghttp2_session_get_stream_user_data(h2, f->hd.stream_id);
	/*
	 * It would go on sending what nobody reads.  Not all clients of plain
	 * HTTP take that for the answer it is: some of theirs is read.
	 */
	if (x != NULL && !x->in_done && x->kind == X_GRPC)
		return nghttp2_submit_rst_stream(
		    h2, NGHTTP2_FLAG_NONE, f->hd.stream_id, NGHTTP2_NO_ERROR);
	return 0;
}

static int
on_close(nghttp2_session *h2, int32_t id, uint32_t error, void *arg)
{
	struct xchg *x = nghttp2_session_get_stream_user_data(h2, id);

	(void)error;
	(void)arg;
	if (x == NULL)
		return 0;
	(void)nghttp2_session_set_stream_user_data(h2, id, NULL);
	xchg_closed(x);
	return 0;
}

int
h2s_open(struct conn *c)
{
	nghttp2_session_callbacks *cb;
	nghttp2_option *o = h2_options();
	int r;

	must(nghttp2_session_callbacks_new(&cb) == 0);
	nghttp2_session_callbacks_set_on_begin_frame_callback(
	    cb, on_begin_frame);
	nghttp2_session_callbacks_set_on_begin_headers_callback(
	    cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(
	    cb, on_invalid);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_sent);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
	r = nghttp2_session_server_new3(
	    &c->h2, cb, c, o, &c->server->sessions.mem);
	nghttp2_session_callbacks_del(cb);
	nghttp2_option_del(o);
	if (r != 0 || h2_settings(c->h2, &c->server->o.limits, true) != 0)
		return -1;
	conn_flush(c);
	return 0;
}

int
h2s_read(struct conn *c, const uint8_t *p, size_t n)
{
	ssize_t r = nghttp2_session_mem_recv(c->h2, p, n);

	if (r < 0 && c->wire.why[0] == '\0')
		(void)snprintf(c->wire.why, sizeof(c->wire.why), "HTTP/2: %s",
		    nghttp2_strerror((int)r));
	conn_flush(c);
	return r < 0 ? -1 : 0;
}

int
h2s_make(struct conn *c)
{
	if (h2_flush(c->h2, &c->wire) == -1)
		return -1;
	if (c->going_sent && c->xchgs == NULL)
		c->closing = true;
	if (!nghttp2_session_want_read(c->h2) &&
	    !nghttp2_session_want_write(c->h2))
		c->closing = true;
	return 0;
}

void
h2s_last(struct conn *c)
{
	if (c->going_sent)
		return;
	c->going_sent = true;
	(void)nghttp2_submit_goaway(c->h2, NGHTTP2_FLAG_NONE,
	    nghttp2_session_get_last_proc_stream_id(c->h2), NGHTTP2_NO_ERROR,
	    NULL, 0);
	conn_flush(c);
}

/* Answers. */

static ssize_t
more(nghttp2_session *h2, int32_t id, uint8_t *dst, size_t n, uint32_t *flags,
    nghttp2_data_source *src, void *arg)
{
	struct xchg *x = src->ptr;
	nghttp2_nv *nv;
	size_t i;

	(void)arg;
	if (n > xchg_unsent(x))
		n = xchg_unsent(x);
	if (n == 0 && !x->out_done) {
		x->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	if (n > 0) {
		memcpy(dst, x->out.p + x->off, n);
		xchg_sent(x, n);
	}
	if (xchg_unsent(x) > 0 || !x->out_done)
		return (ssize_t)n;
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	if (x->n_trail == 0)
		return (ssize_t)n;
	*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
	nv = arena_array(x->a, nghttp2_nv, x->n_trail);
	for (i = 0; i < x->n_trail; i++)
		nv[i] = h2_nv(x->trail[i].name, x->trail[i].value);
	if (nghttp2_submit_trailer(h2, id, nv, x->n_trail) != 0)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	return (ssize_t)n;
}

void
h2s_head(struct xchg *x, int status, const char *type, int64_t length, bool end)
{
	nghttp2_data_provider prd = { .source.ptr = x, .read_callback = more };
	size_t n = 0, i, room = 3 + x->n_set + x->n_trail;
	nghttp2_nv *nv = arena_array(x->a, nghttp2_nv, room);

	nv[n++] = h2_nv(":status",
	    status == 200 ? "200" : arena_printf(x->a, "%d", status));
	if (type != NULL)
		nv[n++] = h2_nv("content-type", type);
	if (length >= 0)
		nv[n++] = h2_nv("content-length",
		    arena_printf(x->a, "%lld", (long long)length));
	for (i = 0; i < x->n_set && x->kind != X_GRPC; i++)
		nv[n++] = h2_nv(x->set[i].name, x->set[i].value);
	for (i = 0; i < x->n_trail && end; i++)
		nv[n++] = h2_nv(x->trail[i].name, x->trail[i].value);
	if (nghttp2_submit_response(
		x->conn->h2, x->id, nv, n, end ? NULL : &prd) != 0)
		h2s_cut(x, NGHTTP2_INTERNAL_ERROR);
}

void
h2s_wake(struct xchg *x)
{
	if (!x->deferred)
		return;
	x->deferred = false;
	(void)nghttp2_session_resume_data(x->conn->h2, x->id);
}

void
h2s_cut(struct xchg *x, uint32_t error)
{
	(void)nghttp2_submit_rst_stream(
	    x->conn->h2, NGHTTP2_FLAG_NONE, x->id, error);
}
