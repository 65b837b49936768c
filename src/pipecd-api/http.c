/* Plain HTTP: health, version, metrics, webhooks. */
#include <stdarg.h>
#include <string.h>

#include "api.h"
#include "version.h"

/* --- answers, counted ---------------------------------------------------------- */

static void PRINTF(5, 6) answer(struct api *api, struct http_call *h,
    const char *path, int status, const char *fmt, ...)
{
	va_list ap;
	char text[400];

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	metrics_http(api->metrics,
	    strcmp(h->method, "GET") == 0    ? "GET"
	    : strcmp(h->method, "HEAD") == 0 ? "HEAD"
	    : strcmp(h->method, "POST") == 0 ? "POST"
					     : "other",
	    path, status, 0);
	http_reply_text(h, status, "%s", text);
}

static bool
reads(struct api *api, struct http_call *h, const char *path)
{
	if (strcmp(h->method, "GET") == 0 || strcmp(h->method, "HEAD") == 0)
		return true;
	http_set(h, "allow", "GET, HEAD");
	answer(api, h, path, 405, "%s is read with GET\n", path);
	return false;
}

static void
ready_page(struct api *api, struct http_call *h)
{
	if (api->draining)
		answer(api, h, "/readyz", 503, "draining\n");
	else if (!store_up(api->store))
		answer(api, h, "/readyz", 503, "the store does not answer\n");
	else
		answer(api, h, "/readyz", 200, "ok\n");
}

/* What both addresses answer; false: it was none of these. */
static bool
health(struct api *api, struct http_call *h)
{
	if (strcmp(h->path, "/readyz") == 0) {
		if (reads(api, h, "/readyz"))
			ready_page(api, h);
	} else if (strcmp(h->path, "/healthz") == 0) {
		if (reads(api, h, "/healthz"))
			answer(api, h, "/healthz", 200, "ok");
	} else if (strcmp(h->path, "/version") == 0) {
		if (reads(api, h, "/version"))
			answer(api, h, "/version", 200, "%s\n", PIPECD_VERSION);
	} else {
		return false;
	}
	return true;
}

const char *
api_version(void)
{
	return PIPECD_VERSION;
}

void
http_main(void *arg, struct http_call *h)
{
	struct api *api = arg;

	if (health(api, h))
		return;
	if (str_prefix(h->path, "/webhook/")) {
		hooks_call(api->hooks, h);
		return;
	}
	answer(api, h, "other", 404,
	    "nothing is at this path: methods are called with POST "
	    "/SERVICE/METHOD\n");
}

void
http_admin(void *arg, struct http_call *h)
{
	struct api *api = arg;

	if (health(api, h))
		return;
	if (strcmp(h->path, "/metrics") == 0) {
		if (reads(api, h, "/metrics"))
			metrics_page(api, h);
		return;
	}
	answer(api, h, "other", 404,
	    "there are /healthz, /readyz, /metrics and /version\n");
}
