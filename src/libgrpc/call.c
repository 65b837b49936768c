/* Calls: gRPC and gRPC-Web; what JSON does otherwise is in json.c. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "msg.h"

static struct xchg *
xchg_of(const struct grpc_call *c)
{
	return HOLDER(struct xchg, call, (uintptr_t)c);
}

/* The two or three fields that end an answer, and the handler's own. */
static void
trailers(struct xchg *x, int code, const char *text)
{
	struct buf b = BUF_INIT;
	size_t n = 0;

	x->trail = arena_array(x->a, struct grpc_pair, 2 + x->n_set);
	x->trail[n].name = "grpc-status";
	x->trail[n++].value = code == 0 ? "0" : arena_printf(x->a, "%d", code);
	if (text[0] != '\0') {
		percent_encode(&b, text);
		x->trail[n].name = "grpc-message";
		x->trail[n++].value = arena_strndup(x->a, b.p, b.len);
		buf_free(&b);
	}
	if (x->kind == X_GRPC && x->n_set > 0) {
		memcpy(x->trail + n, x->set, x->n_set * sizeof(*x->set));
		n += x->n_set;
	}
	x->n_trail = n;
}

/* gRPC-Web: trailers are a last frame of the body. */
static void
web_end(struct xchg *x)
{
	uint8_t head[FRAME_HEAD];
	struct buf b = BUF_INIT;
	size_t i;

	for (i = 0; i < x->n_trail; i++)
		buf_printf(
		    &b, "%s: %s\r\n", x->trail[i].name, x->trail[i].value);
	frame_head(head, 0x80, b.len);
	xchg_body(x, head, sizeof(head));
	xchg_body(x, b.p, b.len);
	buf_free(&b);
	x->n_trail = 0;
	xchg_end(x);
}

static void
web_head(struct xchg *x)
{
	xchg_head(x, 200, "application/grpc-web+proto", -1, false);
}

/* Say how it ended; whether a handler had it or not. */
void
call_finish(struct xchg *x, int code, const char *text)
{
	if (x->kind == X_JSON) {
		json_call_finish(x, code, text);
	} else if (!x->closed && !x->out_done) {
		trailers(x, code, text);
		if (x->kind == X_WEB) {
			web_head(x);
			web_end(x);
		} else if (x->head_sent) {
			xchg_end(x);
		} else {
			xchg_head(x, 200, "application/grpc", -1, true);
		}
	}
	if (!x->asked)
		xchg_answered(x, code);
}

/* The deadline: the caller is told, and the handler that nobody waits. */
void
call_late(void *arg)
{
	struct xchg *x = arg;

	x->code = GRPC_DEADLINE_EXCEEDED;
	call_finish(x, GRPC_DEADLINE_EXCEEDED, "the deadline has passed");
	if (x->asked && !x->answered)
		route_gone(x);
}

static int64_t
deadline_of(const struct xchg *x)
{
	const char *s = x->timeout;

	/* Connect says it in milliseconds. */
	if (x->kind == X_JSON &&
	    (s = xchg_find(x, "connect-timeout-ms")) != NULL)
		return strspn(s, "0123456789") == strlen(s) && s[0] != '\0' &&
			       strlen(s) <= 10
			   ? strtoll(s, NULL, 10)
			   : -1;
	return s == NULL ? INT64_MAX : timeout_parse(s);
}

void
call_begin(struct xchg *x, const struct grpc_method *m)
{
	int64_t left;

	x->call.method = m;
	x->call.via = x->kind == X_GRPC	 ? GRPC_VIA_GRPC
		      : x->kind == X_WEB ? GRPC_VIA_WEB
					 : GRPC_VIA_JSON;
	if (x->over) {
		call_finish(x, GRPC_RESOURCE_EXHAUSTED,
		    "more metadata than is accepted");
		return;
	}
	if (m == NULL) {
		call_finish(x, GRPC_UNIMPLEMENTED,
		    arena_printf(x->a, "no method %.128s here", x->path));
		return;
	}
	if (x->encoding != NULL && strcmp(x->encoding, "identity") != 0 &&
	    strcmp(x->encoding, "gzip") != 0) {
		xchg_set(x, "grpc-accept-encoding", "gzip");
		call_finish(x, GRPC_UNIMPLEMENTED,
		    arena_printf(x->a,
			"grpc-encoding %.64s is not known; gzip "
			"is",
			x->encoding));
		return;
	}
	if ((left = deadline_of(x)) == -1) {
		call_finish(x, GRPC_INTERNAL, "the timeout is no timeout");
		return;
	}
	if (left != INT64_MAX) {
		x->call.deadline_ms = loop_now(x->server->loop) + left;
		loop_timer(x->server->loop, &x->deadline, x->call.deadline_ms,
		    call_late, x);
	}
}

static void
frames(struct xchg *x, const uint8_t *p, size_t n)
{
	struct err e;
	int code = GRPC_INTERNAL;

	while (n > 0) {
		if (x->one) {
			call_finish(x, GRPC_INTERNAL,
			    "more than one message in the request");
			return;
		}
		switch (frame_take(
		    &x->in, &p, &n, x->server->o.limits.message, &code, &e)) {
		case FRAME_MORE:
			return;
		case FRAME_REFUSED:
			call_finish(x, code, e.text);
			return;
		}
		x->one = true;
	}
}

void
call_data(struct xchg *x, const uint8_t *p, size_t n)
{
	size_t max = x->server->o.limits.message;

	if (x->answered || x->call.gone)
		return;
	if (!xchg_charge(x, n)) {
		call_finish(x, GRPC_RESOURCE_EXHAUSTED,
		    "too many bytes are under way; try again");
		return;
	}
	if (x->kind != X_JSON) {
		frames(x, p, n);
		return;
	}
	if (x->in.body.len + n > max) {
		call_finish(x, GRPC_RESOURCE_EXHAUSTED,
		    arena_printf(x->a,
			"a request of more than the %zu bytes that are "
			"accepted",
			max));
		return;
	}
	buf_add(&x->in.body, p, n);
}

/* A compressed message is inflated in its place. */
static int
plain(struct xchg *x, int *code, struct err *e)
{
	struct buf b = BUF_INIT;
	uint8_t flag = x->in.head[0];

	*code = GRPC_INTERNAL;
	if (flag == 0)
		return 0;
	if (flag != 1)
		return err_set(e, RC_PERM, "a message with the flag %u", flag);
	if (x->encoding == NULL || strcmp(x->encoding, "gzip") != 0)
		return err_set(e, RC_PERM,
		    "a compressed message, and no grpc-encoding says how");
	if (gzip_inflate(&b, x->in.body.p, x->in.body.len,
		x->server->o.limits.message, code, e) == -1) {
		buf_free(&b);
		return -1;
	}
	buf_free(&x->in.body);
	x->in.body = b;
	return 0;
}

/* The request is whole, and in x->in.body packed. */
void
call_start(struct xchg *x)
{
	const struct grpc_method *m = x->call.method;
	struct err e;

	x->call.bytes = x->in.body.p;
	x->call.len = x->in.body.len;
	if (x->call.req == NULL && !m->packed) {
		x->call.req = msg_unpack(m->req, x->in.body.p, x->in.body.len,
		    x->a, x->server->o.limits.decoded, &e);
		if (x->call.req == NULL) {
			call_finish(x, GRPC_INVALID_ARGUMENT, e.text);
			return;
		}
	}
	x->asked = true;
	x->server->stat.calls++;
	m->call(m->arg, &x->call);
}

void
call_end(struct xchg *x)
{
	struct err e;
	int code;

	if (x->call.gone)
		return;
	if (x->kind == X_JSON) {
		json_call_end(x);
		return;
	}
	if (!x->one) {
		call_finish(x, GRPC_INTERNAL,
		    frame_partial(&x->in) ? "the message was cut off"
					  : "no message in the request");
		return;
	}
	if (plain(x, &code, &e) == -1) {
		call_finish(x, code, e.text);
		return;
	}
	call_start(x);
}

/* What handlers call. */

const char *
grpc_call_header(const struct grpc_call *c, const char *name)
{
	return xchg_find(xchg_of(c), name);
}

void
grpc_call_set(struct grpc_call *c, const char *name, const char *value)
{
	xchg_set(xchg_of(c), name, value);
}

/* The handler is done; what the caller gets has been said. */
static void
answered(struct xchg *x, int code)
{
	x->server->stat.calls--;
	xchg_answered(x, x->call.gone ? x->code : code);
}

static void
message(struct xchg *x, const void *p, size_t n)
{
	uint8_t head[FRAME_HEAD];

	frame_head(head, 0, n);
	xchg_body(x, head, sizeof(head));
	xchg_body(x, p, n);
}

static void
reply(struct xchg *x, const void *p, size_t n, const ProtobufCMessage *m)
{
	must(!x->call.method->stream);
	if (x->closed || x->out_done) {
		;
	} else if (x->kind == X_JSON) {
		json_call_reply(x, p, n, m);
	} else {
		trailers(x, GRPC_OK, "");
		if (x->kind == X_WEB)
			web_head(x);
		else
			xchg_head(x, 200, "application/grpc", -1, false);
		message(x, p, n);
		if (x->kind == X_WEB)
			web_end(x);
		else
			xchg_end(x);
	}
	answered(x, GRPC_OK);
}

void
grpc_reply_bytes(struct grpc_call *c, const void *p, size_t n)
{
	reply(xchg_of(c), p, n, NULL);
}

void
grpc_reply(struct grpc_call *c, const ProtobufCMessage *m)
{
	struct xchg *x = xchg_of(c);
	struct buf b = BUF_INIT;

	if (x->kind != X_JSON && !x->closed)
		msg_pack(&b, m);
	reply(x, b.p, b.len, m);
	buf_free(&b);
}

void
grpc_reply_status(struct grpc_call *c, int code, const char *fmt, ...)
{
	struct xchg *x = xchg_of(c);
	char text[1024];
	va_list ap;

	must(code != GRPC_OK || x->call.method->stream);
	text[0] = '\0';
	if (fmt != NULL) {
		va_start(ap, fmt);
		(void)vsnprintf(text, sizeof(text), fmt, ap);
		va_end(ap);
	}
	if (code == GRPC_OK)
		text[0] = '\0';
	/* A stream that sent nothing has no head yet, which OK needs. */
	if (x->kind == X_GRPC && code == GRPC_OK)
		xchg_head(x, 200, "application/grpc", -1, false);
	call_finish(x, code, text);
	answered(x, code);
}

static size_t
more(struct xchg *x, const void *p, size_t n, const ProtobufCMessage *m)
{
	must(x->call.method->stream && !x->answered);
	if (x->closed || x->out_done)
		return 0;
	if (x->kind == X_JSON) {
		json_call_send(x, p, n, m);
	} else {
		if (x->kind == X_WEB)
			web_head(x);
		else
			xchg_head(x, 200, "application/grpc", -1, false);
		message(x, p, n);
	}
	x->full = xchg_unsent(x) >= LOW_WATER;
	return xchg_unsent(x);
}

size_t
grpc_send_bytes(struct grpc_call *c, const void *p, size_t n)
{
	return more(xchg_of(c), p, n, NULL);
}

size_t
grpc_send(struct grpc_call *c, const ProtobufCMessage *m)
{
	struct xchg *x = xchg_of(c);
	struct buf b = BUF_INIT;
	size_t left;

	if (x->kind != X_JSON)
		msg_pack(&b, m);
	left = more(x, b.p, b.len, m);
	buf_free(&b);
	return left;
}
