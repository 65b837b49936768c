/* Plain HTTP: requests for no method of ours. */
#include <stdarg.h>
#include <string.h>

#include "internal.h"

static struct xchg *
xchg_of(const struct http_call *c)
{
	return HOLDER(struct xchg, page, (uintptr_t)c);
}

/* Refuse it before anybody has it. */
void
page_error(struct xchg *x, int status, const char *text)
{
	bool none = strcmp(x->method, "HEAD") == 0;

	x->kind = X_PAGE;
	if (!x->head_sent) {
		xchg_head(x, status, "text/plain; charset=utf-8",
		    (int64_t)strlen(text) + 1, none);
		xchg_body(x, text, strlen(text));
		xchg_body(x, "\n", 1);
		xchg_end(x);
	}
	if (!x->asked)
		xchg_answered(x, GRPC_OK);
}

void
page_begin(struct xchg *x)
{
	size_t max = x->server->o.limits.body;

	x->page.method = x->method;
	x->page.path = x->path;
	x->page.host = x->host;
	if (x->length > 0 && (uint64_t)x->length > max)
		page_error(x, 413, "more than is accepted");
}

void
page_data(struct xchg *x, const uint8_t *p, size_t n)
{
	if (x->answered)
		return;
	if (x->in.body.len + n > x->server->o.limits.body)
		page_error(x, 413, "more than is accepted");
	else if (!xchg_charge(x, n))
		page_error(x, 503, "too many bytes are under way; try again");
	else
		buf_add(&x->in.body, p, n);
}

void
page_end(struct xchg *x)
{
	struct grpc_server *s = x->server;

	x->page.body = x->in.body.p;
	x->page.len = x->in.body.len;
	if (s->o.http == NULL) {
		page_error(x, 404, "nothing here");
		return;
	}
	x->asked = true;
	s->o.http(s->o.arg, &x->page);
}

const char *
http_call_header(const struct http_call *c, const char *name)
{
	return xchg_find(xchg_of(c), name);
}

void
http_set(struct http_call *c, const char *name, const char *value)
{
	xchg_set(xchg_of(c), name, value);
}

void
http_reply(struct http_call *c, int status, const char *content_type,
    const void *p, size_t n)
{
	struct xchg *x = xchg_of(c);
	bool none = strcmp(x->method, "HEAD") == 0 || status == 204 ||
		    status == 304 || n == 0;

	xchg_head(x, status, content_type,
	    status == 204 || status == 304 ? -1 : (int64_t)n, none);
	if (!none) {
		xchg_body(x, p, n);
		xchg_end(x);
	}
	xchg_answered(x, GRPC_OK);
}

void
http_reply_text(struct http_call *c, int status, const char *fmt, ...)
{
	struct buf b = BUF_INIT;
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text) - 1, fmt, ap);
	va_end(ap);
	buf_adds(&b, text);
	buf_addc(&b, '\n');
	http_reply(c, status, "text/plain; charset=utf-8", b.p, b.len);
	buf_free(&b);
}

void
http_events(struct http_call *c)
{
	struct xchg *x = xchg_of(c);

	x->events = true;
	xchg_set(x, "cache-control", "no-store");
	/* Proxies that gather answers would hold these back for ever. */
	xchg_set(x, "x-accel-buffering", "no");
	xchg_head(x, 200, "text/event-stream", -1, false);
}

/* A field's value ends with its line. */
static void
field(struct buf *b, const char *name, const char *value)
{
	if (value == NULL)
		return;
	buf_printf(b, "%s: ", name);
	for (; *value != '\0'; value++) {
		if (*value != '\n' && *value != '\r')
			buf_addc(b, *value);
	}
	buf_addc(b, '\n');
}

size_t
http_event(struct http_call *c, const char *event, const char *id,
    const char *data, size_t n)
{
	struct xchg *x = xchg_of(c);
	struct buf b = BUF_INIT;
	const char *end = data + n, *line;

	must(x->events);
	field(&b, "event", event);
	field(&b, "id", id);
	do {
		for (line = data; data < end && *data != '\n'; data++)
			;
		buf_adds(&b, "data: ");
		buf_add(&b, line, (size_t)(data - line));
		buf_addc(&b, '\n');
	} while (data++ < end);
	buf_addc(&b, '\n');
	xchg_body(x, b.p, b.len);
	buf_free(&b);
	x->full = xchg_unsent(x) >= LOW_WATER;
	return xchg_unsent(x);
}

void
http_end(struct http_call *c)
{
	struct xchg *x = xchg_of(c);

	xchg_end(x);
	xchg_answered(x, GRPC_OK);
}
