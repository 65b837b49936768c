/* Numbers for whoever watches the control plane, in Prometheus' text form. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"

/* Upper bounds in microseconds; the names say seconds. */
static const int64_t bound_us[] = { 500, 1000, 2500, 5000, 10000, 25000, 50000,
	100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000 };
/* PipeCD's of plain HTTP: 5^n milliseconds. */
static const int64_t http_bound_ms[] = { 1, 5, 25, 125, 625, 3125 };

struct counted {
	uint64_t code[GRPC__CODES];
	uint64_t bucket[NITEMS(bound_us) + 1];
	uint64_t n, sum_us;
};

enum {
	HTTP_KINDS = 64, /* of method, path and code */
	PROJECTS = 1024	 /* whose deployments are counted one by one */
};

struct http_counted {
	char method[12], path[32];
	int code;
	uint64_t bucket[NITEMS(http_bound_ms) + 1];
	uint64_t n, sum_us;
};

struct metrics {
	struct api *api;
	struct counted *method; /* by number of the row; the last: none */
	size_t n_methods;
	uint64_t via[GRPC__VIAS];
	struct http_counted http[HTTP_KINDS];
	size_t n_http;
	struct map *created; /* project -> uint64_t */
};

struct metrics *
metrics_new(struct api *api)
{
	struct metrics *m = xcalloc(1, sizeof(*m));

	m->api = api;
	m->n_methods = api->n_methods;
	m->method = xcalloc(m->n_methods + 1, sizeof(*m->method));
	m->created = map_new();
	return m;
}

void
metrics_free(struct metrics *m)
{
	const char *k;
	size_t i;
	void *v;

	if (m == NULL)
		return;
	for (i = 0; map_next(m->created, &i, &k, &v);)
		free(v);
	map_free(m->created);
	free(m->method);
	free(m);
}

void
metrics_done(void *arg, const struct grpc_method *g, enum grpc_via via,
    int code, int64_t us)
{
	struct api *api = arg;
	struct metrics *m = api->metrics;
	struct counted *c;
	size_t i;

	c = &m->method[g == NULL ? m->n_methods : method_of(g)->number];
	for (i = 0; i < NITEMS(bound_us) && us > bound_us[i]; i++)
		;
	c->bucket[i]++;
	c->n++;
	c->sum_us += (uint64_t)us;
	if (code >= 0 && code < GRPC__CODES)
		c->code[code]++;
	m->via[via]++;
}

void
metrics_http(struct metrics *m, const char *method, const char *path, int code,
    int64_t us)
{
	struct http_counted *h;
	size_t i;

	for (h = m->http; h < m->http + m->n_http; h++)
		if (h->code == code && strcmp(h->path, path) == 0 &&
		    strcmp(h->method, method) == 0)
			break;
	if (h == m->http + HTTP_KINDS)
		return;
	if (h == m->http + m->n_http) {
		m->n_http++;
		h->code = code;
		snprintf(h->method, sizeof(h->method), "%s", method);
		snprintf(h->path, sizeof(h->path), "%s", path);
	}
	for (i = 0; i < NITEMS(http_bound_ms) && us > http_bound_ms[i] * 1000;
	     i++)
		;
	h->bucket[i]++;
	h->n++;
	h->sum_us += (uint64_t)us;
}

void
metrics_created(struct metrics *m, const char *project)
{
	uint64_t *n = map_get(m->created, project);

	if (n == NULL) {
		if (map_len(m->created) >= PROJECTS)
			return;
		n = xcalloc(1, sizeof(*n));
		map_put(m->created, project, n);
	}
	++*n;
}

/* --- the page ------------------------------------------------------------------- */

/* Code names as grpc-go's metrics have them: "OK", "NotFound". */
static const char *
code_word(int code)
{
	static const char *const word[GRPC__CODES] = { "OK", "Canceled",
		"Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound",
		"AlreadyExists", "PermissionDenied", "ResourceExhausted",
		"FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented",
		"Internal", "Unavailable", "DataLoss", "Unauthenticated" };

	return word[code];
}

static void
head(struct buf *b, const char *name, const char *type, const char *help)
{
	buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

#define SERVER "pipecd_component=\"server\""

static void
gauge(struct buf *b, const char *name, const char *help, uint64_t v)
{
	head(b, name, "gauge", help);
	buf_printf(b, "%s{" SERVER "} %" PRIu64 "\n", name, v);
}

static void
counter(struct buf *b, const char *name, const char *help, uint64_t v)
{
	head(b, name, "counter", help);
	buf_printf(b, "%s{" SERVER "} %" PRIu64 "\n", name, v);
}

static void
of_method(struct buf *b, const struct method *m)
{
	buf_printf(b,
	    "grpc_method=\"%s\",grpc_service=\"%s\",grpc_type=\"%s\"," SERVER,
	    m == NULL ? "unknown" : m->name, m == NULL ? "unknown" : m->service,
	    m != NULL && m->stream ? "server_stream" : "unary");
}

static void
methods(struct buf *b, const struct metrics *m)
{
	const struct method *row;
	const struct counted *c;
	uint64_t sum;
	size_t i, k;

	head(b, "grpc_server_handled_total", "counter",
	    "Calls that were answered, by code.");
	for (i = 0; i <= m->n_methods; i++)
		for (k = 0; k < GRPC__CODES; k++) {
			if (m->method[i].code[k] == 0)
				continue;
			row = i < m->n_methods ? method_of(&m->api->methods[i])
					       : NULL;
			buf_printf(b,
			    "grpc_server_handled_total{grpc_code=\"%s\",",
			    code_word((int)k));
			of_method(b, row);
			buf_printf(b, "} %" PRIu64 "\n", m->method[i].code[k]);
		}
	head(b, "grpc_server_handling_seconds", "histogram",
	    "How long calls took here.");
	for (i = 0; i < m->n_methods; i++) {
		c = &m->method[i];
		if (c->n == 0)
			continue;
		row = method_of(&m->api->methods[i]);
		for (sum = 0, k = 0; k <= NITEMS(bound_us); k++) {
			sum += c->bucket[k];
			buf_adds(b, "grpc_server_handling_seconds_bucket{");
			of_method(b, row);
			if (k < NITEMS(bound_us))
				buf_printf(b, ",le=\"%g\"} %" PRIu64 "\n",
				    (double)bound_us[k] / 1e6, sum);
			else
				buf_printf(
				    b, ",le=\"+Inf\"} %" PRIu64 "\n", sum);
		}
		buf_adds(b, "grpc_server_handling_seconds_sum{");
		of_method(b, row);
		buf_printf(b, "} %g\n", (double)c->sum_us / 1e6);
		buf_adds(b, "grpc_server_handling_seconds_count{");
		of_method(b, row);
		buf_printf(b, "} %" PRIu64 "\n", c->n);
	}
}

static void
requests(struct buf *b, const struct metrics *m)
{
	const struct http_counted *h;
	uint64_t sum;
	size_t k;

	head(b, "http_requests_total", "counter", "Plain HTTP requests.");
	for (h = m->http; h < m->http + m->n_http; h++)
		buf_printf(b,
		    "http_requests_total{code=\"%d\",method=\"%s\",path=\"%"
		    "s\"," SERVER "} %" PRIu64 "\n",
		    h->code, h->method, h->path, h->n);
	head(b, "http_request_duration_milliseconds", "histogram",
	    "How long they took.");
	for (h = m->http; h < m->http + m->n_http; h++) {
		for (sum = 0, k = 0; k <= NITEMS(http_bound_ms); k++) {
			sum += h->bucket[k];
			buf_printf(b,
			    "http_request_duration_milliseconds_bucket{code="
			    "\"%d\",method=\"%s\",path=\"%s\"," SERVER ",le=\"",
			    h->code, h->method, h->path);
			if (k < NITEMS(http_bound_ms))
				buf_printf(b, "%" PRId64, http_bound_ms[k]);
			else
				buf_adds(b, "+Inf");
			buf_printf(b, "\"} %" PRIu64 "\n", sum);
		}
		buf_printf(b,
		    "http_request_duration_milliseconds_sum{code=\"%d\","
		    "method=\"%s\",path=\"%s\"," SERVER "} %g\n"
		    "http_request_duration_milliseconds_count{code=\"%d\","
		    "method=\"%s\",path=\"%s\"," SERVER "} %" PRIu64 "\n",
		    h->code, h->method, h->path, (double)h->sum_us / 1e3,
		    h->code, h->method, h->path, h->n);
	}
}

static void
own(struct buf *b, const struct api *api)
{
	static const char *const via[GRPC__VIAS] = { "grpc", "grpc-web",
		"json" };
	const struct metrics *m = api->metrics;
	struct grpc_server_stat s;
	const char *k;
	size_t i;
	void *v;

	grpc_server_stat(api->main, &s);
	gauge(b, "pipecd_api_connections", "Connections now.", s.conns);
	gauge(b, "pipecd_api_calls", "Calls in hand now.", s.calls);
	gauge(b, "pipecd_api_buffered_bytes", "Bytes held for connections.",
	    s.buffered);
	counter(
	    b, "pipecd_api_accepted_total", "Connections ever.", s.accepted);
	counter(b, "pipecd_api_refused_total", "Connections that were refused.",
	    s.refused);
	counter(b, "pipecd_api_received_bytes_total", "Bytes in.", s.bytes_in);
	counter(b, "pipecd_api_sent_bytes_total", "Bytes out.", s.bytes_out);
	gauge(b, "pipecd_api_watching_agents", "Agents on a Watch.",
	    agents_count(api->agents));
	gauge(b, "pipecd_api_store_up", "Whether the store answers.",
	    store_up(api->store));
	gauge(b, "pipecd_api_store_pending", "Questions to the store in hand.",
	    store_pending(api->store));
	gauge(b, "pipecd_api_keys_known", "Keys that are remembered.",
	    auth_size(api->auth));
	head(
	    b, "pipecd_api_calls_total", "counter", "Calls, by how they came.");
	for (i = 0; i < GRPC__VIAS; i++)
		buf_printf(b,
		    "pipecd_api_calls_total{via=\"%s\"," SERVER "} %" PRIu64
		    "\n",
		    via[i], m->via[i]);
	head(b, "grpcapi_create_deployment_total", "counter",
	    "Deployments that agents created.");
	for (i = 0; map_next(m->created, &i, &k, &v);) {
		buf_adds(b, "grpcapi_create_deployment_total{project=");
		/* Label values are quoted as JSON's strings are, nearly. */
		buf_addc(b, '"');
		for (; *k != '\0'; k++) {
			if (*k == '"' || *k == '\\')
				buf_addc(b, '\\');
			buf_addc(b, *k == '\n' ? ' ' : *k);
		}
		buf_printf(b, "\"," SERVER "} %" PRIu64 "\n", *(uint64_t *)v);
	}
}

struct page {
	struct api *api;
	struct http_call *h;
	int64_t from_us;
};

static void
page_end(void *arg, const Store__Reply *r, struct arena *a)
{
	struct page *p = arg;
	struct buf b = BUF_INIT;
	const char *s;
	size_t i;

	(void)a;
	methods(&b, p->api->metrics);
	requests(&b, p->api->metrics);
	own(&b, p->api);
	head(&b, "pipecd_store", "untyped", "The store's own numbers.");
	for (i = 0; r->code == STORE__CODE__OK && i < r->n_numbers; i++) {
		buf_adds(&b, "pipecd_store{name=\"");
		for (s = r->numbers[i]->name; *s != '\0'; s++)
			buf_addc(&b, *s == '"' || *s == '\\' ? '_' : *s);
		buf_printf(&b, "\"} %" PRId64 "\n", r->numbers[i]->value);
	}
	http_reply(
	    p->h, 200, "text/plain; version=0.0.4; charset=utf-8", b.p, b.len);
	metrics_http(
	    p->api->metrics, "GET", "/metrics", 200, now_us() - p->from_us);
	buf_free(&b);
}

void
metrics_page(struct api *api, struct http_call *h)
{
	struct page *p = arena_new_of(h->a, struct page);
	Store__Request q = STORE__REQUEST__INIT;
	Store__Stat s = STORE__STAT__INIT;

	p->api = api;
	p->h = h;
	p->from_us = now_us();
	STORE_ASK(&q, STAT, stat, &s);
	store_send(api->store, &q, 1000, page_end, p);
}
