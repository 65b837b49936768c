/*
 * Calls as JSON over POST: proto3's mapping, errors as Connect writes them,
 * streams as server-sent events.
 */
#include <string.h>

#include "internal.h"
#include "json.h"
#include "msg.h"

void
json_call_end(struct xchg *x)
{
	const struct grpc_method *m = x->call.method;
	const struct buf *b = &x->in.body;
	struct err e;

	x->call.req = msg_from_json(m->req, b->len == 0 ? "{}" : b->p,
	    b->len == 0 ? 2 : b->len, MSG_API, x->a,
	    x->server->o.limits.decoded, &e);
	if (x->call.req == NULL) {
		call_finish(x, GRPC_INVALID_ARGUMENT, e.text);
		return;
	}
	buf_reset(&x->in.body);
	msg_pack(&x->in.body, x->call.req);
	if (m->packed)
		x->call.req = NULL;
	call_start(x);
}

/* The answer's JSON; a packed one has to be read for it. */
static int
to_json(struct xchg *x, struct buf *b, const void *p, size_t n,
    const ProtobufCMessage *m)
{
	struct err e;

	if (m == NULL && (m = msg_unpack(x->call.method->res, p, n, x->a,
			      x->server->o.limits.decoded, &e)) == NULL) {
		log_warn("-", "%s: an answer cannot be read: %s",
		    x->call.method->name, e.text);
		return -1;
	}
	msg_json(b, m, MSG_API);
	return 0;
}

void
json_call_reply(
    struct xchg *x, const void *p, size_t n, const ProtobufCMessage *m)
{
	struct buf b = BUF_INIT;

	if (to_json(x, &b, p, n, m) == -1) {
		json_call_finish(x, GRPC_INTERNAL, "the answer is unreadable");
	} else {
		xchg_head(
		    x, 200, "application/json", (int64_t)b.len, b.len == 0);
		xchg_body(x, b.p, b.len);
		xchg_end(x);
	}
	buf_free(&b);
}

/* {"code":"not_found","message":"..."} */
static void
json_error(struct buf *b, int code, const char *text)
{
	struct json_out o = { .b = b };

	json_out_object(&o);
	json_out_key(&o, "code");
	json_out_string(&o, status_json(code));
	json_out_key(&o, "message");
	json_out_string(&o, text);
	json_out_end(&o);
}

static void
event(struct xchg *x, const char *name, const struct buf *json)
{
	struct buf b = BUF_INIT;

	if (name != NULL)
		buf_printf(&b, "event: %s\n", name);
	buf_adds(&b, "data: ");
	buf_add(&b, json->p, json->len);
	buf_adds(&b, "\n\n");
	xchg_body(x, b.p, b.len);
	buf_free(&b);
}

static void
stream_head(struct xchg *x)
{
	if (x->head_sent)
		return;
	xchg_set(x, "cache-control", "no-store");
	xchg_head(x, 200, "text/event-stream", -1, false);
}

void
json_call_send(
    struct xchg *x, const void *p, size_t n, const ProtobufCMessage *m)
{
	struct buf b = BUF_INIT;

	stream_head(x);
	if (to_json(x, &b, p, n, m) == 0)
		event(x, NULL, &b);
	buf_free(&b);
}

void
json_call_finish(struct xchg *x, int code, const char *text)
{
	struct buf b = BUF_INIT;

	if (x->closed || x->out_done)
		return;
	if (code == GRPC_OK)
		stream_head(x);
	if (code == GRPC_OK)
		buf_adds(&b, "{}");
	else
		json_error(&b, code, text);
	if (x->head_sent) {
		event(x, code == GRPC_OK ? "end" : "error", &b);
	} else {
		xchg_head(x, status_http(code), "application/json",
		    (int64_t)b.len, false);
		xchg_body(x, b.p, b.len);
	}
	xchg_end(x);
	buf_free(&b);
}
