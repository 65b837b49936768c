/* A call of ours, from its first byte to its end. */
#include <stdlib.h>
#include <string.h>

#include "client.h"

static void
request_late(void *arg)
{
	struct grpc_request *r = arg;
	struct link *k = r->link;

	request_finish(
	    r, GRPC_DEADLINE_EXCEEDED, "the deadline has passed", !r->sent);
	if (k != NULL)
		link_doubt(k);
}

/* "-bin" values travel in base64, without padding. */
static const char *
pair_value(struct arena *a, const char *name, const char *value)
{
	struct buf b = BUF_INIT;
	const char *s;

	if (!str_suffix(name, "-bin"))
		return arena_strdup(a, value);
	base64_encode(&b, value, strlen(value));
	while (b.len > 0 && b.p[b.len - 1] == '=')
		b.len--;
	s = arena_strndup(a, b.p, b.len);
	buf_free(&b);
	return s;
}

struct grpc_request *
request_new(struct grpc_client *c, const struct grpc_ask *ask)
{
	struct grpc_request *r = xcalloc(1, sizeof(*r));
	uint8_t head[FRAME_HEAD];
	size_t i;

	r->client = c;
	r->a = arena_new();
	r->out = r->in.body = (struct buf)BUF_INIT;
	r->path = arena_strdup(r->a, ask->path);
	r->pairs = arena_array(r->a, struct grpc_pair, ask->n_pairs + 1);
	for (i = 0; i < ask->n_pairs; i++) {
		r->pairs[i].name = arena_strdup(r->a, ask->pairs[i].name);
		r->pairs[i].value =
		    pair_value(r->a, ask->pairs[i].name, ask->pairs[i].value);
	}
	r->n_pairs = ask->n_pairs;
	frame_head(head, 0, ask->len);
	buf_grow(&r->out, sizeof(head) + ask->len);
	buf_add(&r->out, head, sizeof(head));
	buf_add(&r->out, ask->bytes, ask->len);
	r->wait = ask->wait;
	r->stream = ask->message != NULL;
	r->on_message = ask->message;
	r->done = ask->done;
	r->arg = ask->arg;
	r->code = -1;
	r->deadline_ms = INT64_MAX;
	if (ask->timeout_ms > 0) {
		r->deadline_ms = loop_now(c->loop) + ask->timeout_ms;
		loop_timer(c->loop, &r->timer, r->deadline_ms, request_late, r);
	}
	return r;
}

void
request_free(void *p)
{
	struct grpc_request *r = p;

	arena_free(r->a);
	buf_free(&r->out);
	buf_free(&r->in.body);
	free(r->got);
	free(r);
}

void
request_link(struct grpc_request **head, struct grpc_request *r)
{
	r->prev = NULL;
	r->next = *head;
	if (r->next != NULL)
		r->next->prev = r;
	*head = r;
}

void
request_unlink(struct grpc_request *r)
{
	struct grpc_client *c = r->client;

	if (r->prev != NULL)
		r->prev->next = r->next;
	else if (r->link != NULL)
		r->link->requests = r->next;
	else
		c->first = r->next;
	if (r->next != NULL)
		r->next->prev = r->prev;
	else if (r->link == NULL)
		c->last = r->prev;
	r->next = r->prev = NULL;
}

void
client_enqueue(struct grpc_client *c, struct grpc_request *r, bool front)
{
	r->link = NULL;
	if (front || c->first == NULL) {
		request_link(&c->first, r);
		if (r->next == NULL)
			c->last = r;
		return;
	}
	r->prev = c->last;
	r->next = NULL;
	c->last->next = r;
	c->last = r;
}

void
request_finish(
    struct grpc_request *r, int code, const char *message, bool unsent)
{
	struct grpc_client *c = r->client;
	struct grpc_answer a = { .code = code,
		.message = message,
		.unsent = unsent,
		.pairs = r->got,
		.n_pairs = r->n_got };

	if (r->finished)
		return;
	r->finished = true;
	loop_timer_stop(c->loop, &r->timer);
	if (r->link != NULL)
		link_cancel(r->link, r);
	request_unlink(r);
	r->link = NULL;
	if (code == GRPC_OK && !r->stream) {
		a.bytes = r->in.body.p;
		a.len = r->in.body.len;
	}
	loop_free_later(c->loop, request_free, r);
	if (!r->cancelled && r->done != NULL)
		r->done(r->arg, &a);
}

void
grpc_cancel(struct grpc_request *r)
{
	r->cancelled = true;
	request_finish(r, GRPC_CANCELLED, "", false);
}

const char *
grpc_answer_get(const struct grpc_answer *r, const char *name)
{
	size_t i;

	for (i = r->n_pairs; i > 0; i--) {
		if (strcmp(r->pairs[i - 1].name, name) == 0)
			return r->pairs[i - 1].value;
	}
	return NULL;
}

/* The answer. */

static bool
is(const char *a, size_t n, const char *b)
{
	return n == strlen(b) && memcmp(a, b, n) == 0;
}

static int
number(const char *s)
{
	size_t n = strspn(s, "0123456789");

	return n == 0 || n > 3 || s[n] != '\0' ? -1 : atoi(s);
}

void
request_header(struct grpc_request *r, const char *name, size_t n_name,
    const char *value, size_t n_value)
{
	const char *v;

	if (r->finished)
		return;
	r->got_bytes += n_name + n_value + 32;
	if (r->got_bytes > r->client->o.limits.headers) {
		r->over = true;
		return;
	}
	v = arena_strndup(r->a, value, n_value);
	if (is(name, n_name, ":status")) {
		r->http = number(v);
		return;
	}
	if (is(name, n_name, "content-type"))
		r->grpc = str_prefix(v, "application/grpc");
	else if (is(name, n_name, "grpc-encoding"))
		r->gzip = strcmp(v, "gzip") == 0;
	else if (is(name, n_name, "grpc-status"))
		r->code = number(v) == -1 ? GRPC_UNKNOWN : number(v);
	else if (is(name, n_name, "grpc-message"))
		r->message = percent_decode(r->a, v);
	if (r->n_got == r->cap_got) {
		r->cap_got = r->cap_got == 0 ? 8 : r->cap_got * 2;
		r->got = xrealloc(r->got, r->cap_got * sizeof(*r->got));
	}
	r->got[r->n_got].name = arena_strndup(r->a, name, n_name);
	r->got[r->n_got++].value = v;
}

static int
inflated(struct grpc_request *r, int *code, struct err *e)
{
	struct buf b = BUF_INIT;

	if (r->in.head[0] == 0)
		return 0;
	*code = GRPC_INTERNAL;
	if (r->in.head[0] != 1 || !r->gzip)
		return err_set(e, RC_PERM,
		    "a message that is compressed in no way known here");
	if (gzip_inflate(&b, r->in.body.p, r->in.body.len,
		r->client->o.limits.message, code, e) == -1) {
		buf_free(&b);
		return -1;
	}
	buf_free(&r->in.body);
	r->in.body = b;
	return 0;
}

void
request_data(struct grpc_request *r, const uint8_t *p, size_t n)
{
	struct err e;
	int code = GRPC_INTERNAL, got;

	while (n > 0 && !r->finished && r->grpc) {
		if (r->one && !r->stream) {
			request_finish(r, GRPC_INTERNAL,
			    "more than one message in the answer", false);
			return;
		}
		got = frame_take(
		    &r->in, &p, &n, r->client->o.limits.message, &code, &e);
		if (got == FRAME_MORE)
			return;
		if (got == FRAME_REFUSED || inflated(r, &code, &e) == -1) {
			request_finish(r, code, e.text, false);
			return;
		}
		r->one = true;
		if (!r->stream)
			continue;
		r->on_message(r->arg, r->in.body.p, r->in.body.len);
		frame_again(&r->in);
	}
}

static void
request_ended(struct grpc_request *r)
{
	char text[64];

	if (r->over) {
		request_finish(r, GRPC_RESOURCE_EXHAUSTED,
		    "more metadata in the answer than is accepted", false);
	} else if (!r->grpc && r->code == -1) {
		(void)snprintf(text, sizeof(text),
		    "the answer is HTTP %d, and no gRPC", r->http);
		request_finish(r, status_of_http(r->http), text, false);
	} else if (r->code == -1) {
		request_finish(r, GRPC_INTERNAL,
		    "the answer ended without a status", false);
	} else if (r->code == GRPC_OK && !r->stream && !r->one) {
		request_finish(r, GRPC_INTERNAL,
		    frame_partial(&r->in) ? "the answer was cut off"
					  : "an answer without a message",
		    false);
	} else if (r->code == GRPC_OK && r->stream && frame_partial(&r->in)) {
		request_finish(
		    r, GRPC_INTERNAL, "the answer was cut off", false);
	} else {
		request_finish(r, r->code,
		    r->code != GRPC_OK && r->message != NULL ? r->message : "",
		    false);
	}
}

void
request_closed(struct grpc_request *r, uint32_t error)
{
	struct grpc_client *c = r->client;
	char text[96];

	if (r->finished)
		return;
	/* A server that has answered may end what it did not read. */
	if (error == NGHTTP2_NO_ERROR || r->code != -1) {
		request_ended(r);
		return;
	}
	if (error == NGHTTP2_REFUSED_STREAM && !r->again) {
		/* Nobody has looked at it: once more, over another link. */
		r->again = true;
		r->off = 0;
		r->sent = false;
		request_unlink(r);
		client_enqueue(c, r, true);
		client_kick(c);
		return;
	}
	/* A server counts too, and may be first to say so. */
	if (error == NGHTTP2_CANCEL && loop_now(c->loop) >= r->deadline_ms) {
		request_finish(r, GRPC_DEADLINE_EXCEEDED,
		    "the deadline has passed", false);
		return;
	}
	(void)snprintf(text, sizeof(text), "the server ended the call: %s",
	    nghttp2_http2_strerror(error));
	request_finish(
	    r, status_of_h2(error), text, error == NGHTTP2_REFUSED_STREAM);
}
