/*
 * HTTP/1.1: one request at a time.  While one is answered nothing more is read,
 * so that who sends many fills the socket and not our memory.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "internal.h"
#include "llhttp/llhttp.h"

enum {
	URL_MOST = 8192
};

struct h1 {
	llhttp_t parser;
	llhttp_settings_t settings;
	struct conn *conn;
	struct xchg *x; /* the request in hand */
	struct buf url, name, value, left;
	bool in_value, keep, stop, busy;
	int status; /* why the head is refused, 0: it is not */
};

static int
refuse(struct h1 *h, int status)
{
	h->status = status;
	return HPE_USER;
}

static int
on_begin(llhttp_t *p)
{
	struct h1 *h = p->data;

	h->x = xchg_new(h->conn);
	/* A head is small: it has no more time than a handshake. */
	h->x->due_ms = loop_now(h->conn->server->loop) +
		       h->conn->server->o.limits.handshake_ms;
	loop_timer(h->conn->server->loop, &h->conn->timer, h->x->due_ms,
	    h->conn->timer.fn, h->conn);
	buf_reset(&h->url);
	buf_reset(&h->name);
	buf_reset(&h->value);
	h->in_value = false;
	return 0;
}

static int
on_url(llhttp_t *p, const char *s, size_t n)
{
	struct h1 *h = p->data;

	if (h->url.len + n > URL_MOST)
		return refuse(h, 414);
	buf_add(&h->url, s, n);
	return 0;
}

/* A field is whole when the next one begins. */
static int
field_done(struct h1 *h)
{
	char *s;

	if (h->name.len == 0)
		return 0;
	for (s = h->name.p; *s != '\0'; s++) {
		if (*s >= 'A' && *s <= 'Z')
			*s = (char)(*s - 'A' + 'a');
	}
	if (memchr(h->value.p, '\0', h->value.len) != NULL)
		return refuse(h, 400);
	if (!xchg_header(
		h->x, h->name.p, h->name.len, h->value.p, h->value.len) ||
	    h->x->over)
		return refuse(h, 431);
	buf_reset(&h->name);
	buf_reset(&h->value);
	return 0;
}

static int
on_field(llhttp_t *p, const char *s, size_t n)
{
	struct h1 *h = p->data;

	if (h->in_value && field_done(h) != 0)
		return HPE_USER;
	h->in_value = false;
	if (h->name.len + n > h->conn->server->o.limits.headers)
		return refuse(h, 431);
	buf_add(&h->name, s, n);
	return 0;
}

static int
on_value(llhttp_t *p, const char *s, size_t n)
{
	struct h1 *h = p->data;

	h->in_value = true;
	if (h->value.len + n > h->conn->server->o.limits.headers)
		return refuse(h, 431);
	buf_add(&h->value, s, n);
	return 0;
}

/* "http://host/path" is what proxies are asked; we take its path. */
static const char *
target(const char *url)
{
	const char *s = strstr(url, "://");

	if (url[0] == '/' || s == NULL)
		return url;
	s = strchr(s + 3, '/');
	return s == NULL ? "/" : s;
}

static int
on_head(llhttp_t *p)
{
	struct h1 *h = p->data;
	struct xchg *x = h->x;
	const char *expect;

	if (field_done(h) != 0)
		return HPE_USER;
	if (p->method == HTTP_CONNECT)
		return refuse(h, 405);
	if (p->http_major != 1)
		return refuse(h, 505);
	/* Whatever it would like to speak instead: this is what we speak. */
	p->upgrade = 0;
	x->method = llhttp_method_name((llhttp_method_t)p->method);
	x->path = arena_strdup(x->a, target(h->url.p));
	if (p->http_minor >= 1 && x->host[0] == '\0' &&
	    xchg_find(x, "host") == NULL)
		return refuse(h, 400);
	h->keep = llhttp_should_keep_alive(p) != 0;
	x->due_ms = loop_now(h->conn->server->loop) +
		    h->conn->server->o.limits.request_ms;
	x->empty = strcmp(x->method, "HEAD") == 0;
	route_begin(x);
	expect = xchg_find(x, "expect");
	if (expect != NULL && strcasecmp(expect, "100-continue") == 0 &&
	    !x->head_sent)
		(void)wire_send(
		    &h->conn->wire, "HTTP/1.1 100 Continue\r\n\r\n", 25);
	return 0;
}

static int
on_body(llhttp_t *p, const char *s, size_t n)
{
	struct h1 *h = p->data;

	if (!h->x->closed && !h->x->out_done)
		route_data(h->x, (const uint8_t *)s, n);
	/* Who was refused half way has nothing more to say. */
	return h->x->out_done ? HPE_PAUSED : 0;
}

static int
on_complete(llhttp_t *p)
{
	struct h1 *h = p->data;

	h->x->in_done = true;
	if (!h->x->closed && !h->x->out_done)
		route_end(h->x);
	return HPE_PAUSED;
}

int
h1_open(struct conn *c)
{
	struct h1 *h = xcalloc(1, sizeof(*h));

	h->conn = c;
	h->url = h->name = h->value = h->left = (struct buf)BUF_INIT;
	llhttp_settings_init(&h->settings);
	h->settings.on_message_begin = on_begin;
	h->settings.on_url = on_url;
	h->settings.on_header_field = on_field;
	h->settings.on_header_value = on_value;
	h->settings.on_headers_complete = on_head;
	h->settings.on_body = on_body;
	h->settings.on_message_complete = on_complete;
	llhttp_init(&h->parser, HTTP_REQUEST, &h->settings);
	h->parser.data = h;
	c->h1 = h;
	return 0;
}

void
h1_free(struct h1 *h)
{
	if (h == NULL)
		return;
	buf_free(&h->url);
	buf_free(&h->name);
	buf_free(&h->value);
	buf_free(&h->left);
	free(h);
}

bool
h1_reads(const struct conn *c)
{
	const struct h1 *h = c->h1;

	return !h->stop && !c->closing && h->left.len == 0 &&
	       (h->x == NULL || !h->x->in_done);
}

/* What is no HTTP gets an answer that says so, and then nothing. */
static void
h1_bad(struct h1 *h)
{
	int status = h->status != 0 ? h->status : 400;
	const char *why = h->status != 0 ? "not accepted"
					 : llhttp_get_error_reason(&h->parser);

	h->stop = true;
	h->keep = false;
	if (h->x == NULL)
		h->x = xchg_new(h->conn);
	h->x->in_done = true;
	if (h->x->head_sent || h->x->asked) {
		xchg_cut(h->x, 0);
		return;
	}
	if (h->status == 414)
		why = "the path is too long";
	else if (h->status == 431)
		why = "more header than is accepted";
	page_error(h->x, status, why != NULL ? why : "not HTTP");
}

/* Parse on; what comes behind a request waits until that is answered. */
static void
h1_parse(struct h1 *h, const char *p, size_t n)
{
	const char *stop;
	llhttp_errno_t r;

	h->busy = true;
	r = llhttp_execute(&h->parser, p, n);
	h->busy = false;
	if (r == HPE_OK)
		return;
	if (r != HPE_PAUSED) {
		h1_bad(h);
		return;
	}
	stop = llhttp_get_error_pos(&h->parser);
	if (!h->x->in_done) {
		h->stop = true; /* refused half way */
		h->keep = false;
		return;
	}
	if (stop != NULL && stop < p + n)
		buf_add(&h->left, stop, (size_t)(p + n - stop));
}

int
h1_read(struct conn *c, const uint8_t *p, size_t n)
{
	struct h1 *h = c->h1;

	if (h->stop)
		return 0;
	if (h->x != NULL && h->x->in_done)
		buf_add(&h->left, p, n);
	else
		h1_parse(h, (const char *)p, n);
	conn_flush(c);
	return 0;
}

/* Answers. */

static const char *
reason_name(int status)
{
	switch (status) {
#define REASON(n, k, s) \
	case n: \
		return #k;
		HTTP_STATUS_MAP(REASON)
#undef REASON
	}
	return "";
}

/* NOT_FOUND is written "Not Found". */
static void
reason(struct buf *b, int status)
{
	const char *s = reason_name(status);
	bool first = true;

	for (; *s != '\0'; s++) {
		if (*s == '_')
			buf_addc(b, ' ');
		else
			buf_addc(
			    b, first || status == 200 ? *s : (char)(*s | 32));
		first = *s == '_';
	}
}

static void
line(struct buf *b, const char *name, const char *value)
{
	/* A line break in a value would be a header of somebody else's. */
	if (strpbrk(name, "\r\n: ") != NULL || strpbrk(value, "\r\n") != NULL)
		return;
	buf_printf(b, "%s: %s\r\n", name, value);
}

void
h1_head(struct xchg *x, int status, const char *type, int64_t length, bool end)
{
	struct h1 *h = x->conn->h1;
	struct buf b = BUF_INIT;
	size_t i;

	/* What was not read is not skipped either. */
	if (!x->in_done || x->conn->going || h->stop)
		h->keep = false;
	x->chunked = length < 0 && !end && h->parser.http_minor >= 1;
	if (length < 0 && !end && !x->chunked)
		h->keep = false;
	buf_printf(&b, "HTTP/1.1 %d ", status);
	reason(&b, status);
	buf_adds(&b, "\r\n");
	if (type != NULL)
		line(&b, "content-type", type);
	for (i = 0; i < x->n_set; i++)
		line(&b, x->set[i].name, x->set[i].value);
	for (i = 0; i < x->n_trail && end; i++)
		line(&b, x->trail[i].name, x->trail[i].value);
	if (length >= 0)
		buf_printf(&b, "content-length: %lld\r\n", (long long)length);
	else if (end && status != 204 && status != 304)
		buf_adds(&b, "content-length: 0\r\n");
	if (x->chunked)
		buf_adds(&b, "transfer-encoding: chunked\r\n");
	line(&b, "connection", h->keep ? "keep-alive" : "close");
	buf_adds(&b, "\r\n");
	(void)wire_send(&x->conn->wire, b.p, b.len);
	buf_free(&b);
}

/* Hand on what the handler has given, as much as the socket may hold. */
static int
h1_body(struct conn *c, struct xchg *x)
{
	char head[32];
	size_t n;

	while ((n = xchg_unsent(x)) > 0) {
		if (wire_unsent(&c->wire) >= HIGH_WATER)
			return 0;
		if (n > SCRATCH)
			n = SCRATCH;
		if (x->chunked) {
			(void)snprintf(head, sizeof(head), "%zx\r\n", n);
			if (wire_send(&c->wire, head, strlen(head)) == -1)
				return -1;
		}
		if (wire_send(&c->wire, x->out.p + x->off, n) == -1 ||
		    (x->chunked && wire_send(&c->wire, "\r\n", 2) == -1))
			return -1;
		xchg_sent(x, n);
	}
	return 0;
}

/* The answer is out: the next request, or the end. */
static int
h1_next(struct conn *c)
{
	struct h1 *h = c->h1;
	struct xchg *x = h->x;
	struct buf left;

	if (x->chunked && wire_send(&c->wire, "0\r\n\r\n", 5) == -1)
		return -1;
	if (!h->keep || !x->in_done)
		c->closing = true;
	h->x = NULL;
	xchg_closed(x);
	c->heard_ms = loop_now(c->server->loop);
	if (c->closing)
		return 0;
	llhttp_resume(&h->parser);
	left = h->left;
	h->left = (struct buf)BUF_INIT;
	if (left.len > 0)
		h1_parse(h, left.p, left.len);
	buf_free(&left);
	return 0;
}

int
h1_make(struct conn *c)
{
	struct h1 *h = c->h1;
	struct xchg *x;

	while ((x = h->x) != NULL && x->head_sent && !h->busy && !c->closing) {
		if (h1_body(c, x) == -1)
			return -1;
		if (!x->out_done || xchg_unsent(x) > 0)
			break;
		if (h1_next(c) == -1)
			return -1;
	}
	return 0;
}
