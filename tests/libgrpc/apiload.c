/*
 * Load on the control plane, for measuring.
 *
 *	apiload call ADDRESS SECONDS CONNECTIONS IN_FLIGHT PATH REQUEST WHO
 *	apiload logs ADDRESS SECONDS CONNECTIONS IN_FLIGHT - - WHO
 *	apiload watch ADDRESS - CONNECTIONS - - - WHO
 *
 * WHO is a file of lines "authorization<TAB>deployment id"; connection i takes
 * line i.  REQUEST is a file of packed bytes.  IN_FLIGHT is per connection.
 * `call` and `logs` (10 new lines a call) print "calls_per_s N p50_us N p99_us
 * N errors N".  `watch` keeps an agent's Watch on each, and prints "greeted N
 * in_ms N" each time that all have one; it ends with its stdin.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "grpc.h"
#include "msg.h"
#include "service/agent.pb-c.h"
#include "service/pipedservice.pb-c.h"

enum {
	BUCKETS = 200000, /* of 10 us */
	LINES = 10
};

struct conn {
	struct grpc_client *client;
	char *authorization, *deployment;
	char instance[37];
	uint64_t epoch;
	int64_t index;
	bool greeted;
	struct loop_timer again;
};
struct slot {
	struct conn *conn;
	int64_t since;
};

static struct loop *loop;
static const char *mode, *path;
static struct buf request;
static unsigned long calls, errors, took[BUCKETS];
static size_t conns, greeted;
static int64_t began;
static bool over;

static void again(struct slot *s);

static void
done(void *arg, const struct grpc_answer *r)
{
	struct slot *s = arg;
	int64_t us = (now_us() - s->since) / 10;

	if (over)
		return;
	calls++;
	took[us < BUCKETS ? us : BUCKETS - 1]++;
	if (r->code != GRPC_OK && errors++ == 0)
		fprintf(stderr, "apiload: %s: %s\n", grpc_code_name(r->code),
		    r->message);
	again(s);
}

static void
logs_request(struct conn *c, struct buf *b)
{
	Grpc__Service__Pipedservice__ReportStageLogsRequest q =
	    GRPC__SERVICE__PIPEDSERVICE__REPORT_STAGE_LOGS_REQUEST__INIT;
	Model__LogBlock block[LINES], *blocks[LINES];
	char text[LINES][64];
	int i;

	for (i = 0; i < LINES; i++) {
		model__log_block__init(&block[i]);
		block[i].index = ++c->index;
		snprintf(text[i], sizeof(text[i]),
		    "deployment.apps/web configured, line %lld",
		    (long long)c->index);
		block[i].log = text[i];
		block[i].created_at = 1700000000;
		blocks[i] = &block[i];
	}
	q.deployment_id = c->deployment;
	q.stage_id = (char *)(uintptr_t) "s1";
	q.blocks = blocks;
	q.n_blocks = LINES;
	msg_pack(b, &q.base);
}

static void
again(struct slot *s)
{
	struct grpc_ask ask = { .path = path,
		.bytes = request.p,
		.len = request.len,
		.timeout_ms = 30000,
		.wait = true,
		.done = done,
		.arg = s };
	struct buf b = BUF_INIT;

	if (strcmp(mode, "logs") == 0) {
		logs_request(s->conn, &b);
		ask.bytes = b.p;
		ask.len = b.len;
	}
	s->since = now_us();
	grpc_client_call(s->conn->client, &ask);
	buf_free(&b);
}

/* --- agents that watch ----------------------------------------------------- */

static void watch(void *arg);

static void
watched(void *arg, const void *p, size_t n)
{
	struct conn *c = arg;
	struct arena *a;
	struct err e;
	Pipecd__Agent__WatchResponse *m;

	if (c->greeted)
		return;
	a = arena_new();
	m = (Pipecd__Agent__WatchResponse *)msg_unpack(
	    &pipecd__agent__watch_response__descriptor, p, n, a, 0, &e);
	if (m != NULL && m->hello != NULL) {
		c->epoch = m->hello->epoch;
		c->greeted = true;
		if (++greeted == conns) {
			printf("greeted %zu in_ms %lld\n", greeted,
			    (long long)(now_ms() - began));
			fflush(stdout);
		}
	}
	arena_free(a);
}

static void
ended(void *arg, const struct grpc_answer *r)
{
	struct conn *c = arg;

	if (errors++ == 0)
		fprintf(stderr, "apiload: %s: %s\n", grpc_code_name(r->code),
		    r->message);
	if (c->greeted && greeted-- == conns) {
		began = now_ms();
		printf("down\n");
		fflush(stdout);
	}
	c->greeted = false;
	loop_timer(loop, &c->again, now_ms() + 50 + rand() % 200, watch, c);
}

static void
watch(void *arg)
{
	Pipecd__Agent__WatchRequest q = PIPECD__AGENT__WATCH_REQUEST__INIT;
	struct conn *c = arg;
	struct grpc_ask ask = { .path = "/pipecd.agent.AgentService/Watch",
		.wait = true,
		.message = watched,
		.done = ended,
		.arg = c };
	struct buf b = BUF_INIT;

	q.instance = c->instance;
	q.epoch = c->epoch;
	msg_pack(&b, &q.base);
	ask.bytes = b.p;
	ask.len = b.len;
	grpc_client_call(c->client, &ask);
	buf_free(&b);
}

static void
input(void *arg, uint32_t events)
{
	(void)arg;
	(void)events;
	loop_stop(loop);
}

static void
finish(void *arg)
{
	(void)arg;
	over = true;
	loop_stop(loop);
}

static unsigned long
percentile(double q)
{
	unsigned long sum = 0;
	int i;

	for (i = 0; i < BUCKETS - 1; i++)
		if ((sum += took[i]) >= (double)calls * q)
			break;
	return (unsigned long)i * 10;
}

static void
who_read(struct conn *c, FILE *f)
{
	char line[512], *tab;

	if (fgets(line, sizeof(line), f) == NULL) {
		rewind(f);
		must(fgets(line, sizeof(line), f) != NULL);
	}
	line[strcspn(line, "\n")] = '\0';
	if ((tab = strchr(line, '\t')) != NULL)
		*tab++ = '\0';
	c->authorization = xstrdup(line);
	c->deployment = xstrdup(tab == NULL ? "" : tab);
	c->index = wall_s();
}

int
main(int argc, char *argv[])
{
	struct loop_watch in = { 0 };
	struct loop_timer end = { 0 };
	struct slot *slots;
	struct conn *c;
	size_t i, in_flight;
	struct err e;
	FILE *who;

	log_open("apiload", LOG_INFO);
	if (argc != 9)
		usage("apiload mode address seconds connections in-flight path "
		      "request who");
	mode = argv[1];
	conns = (size_t)atol(argv[4]);
	in_flight = (size_t)atol(argv[5]);
	path = strcmp(mode, "logs") == 0
		   ? "/grpc.service.pipedservice.PipedService/ReportStageLogs"
		   : argv[6];
	request = (struct buf)BUF_INIT;
	if (strcmp(mode, "call") == 0 &&
	    file_read(argv[7], 1 << 20, &request, &e) == -1)
		die(&e);
	must((who = fopen(argv[8], "re")) != NULL);
	if ((loop = loop_open(&e)) == NULL)
		die(&e);
	c = xcalloc(conns, sizeof(*c));
	slots = xcalloc(conns * (in_flight + 1), sizeof(*slots));
	began = now_ms();
	for (i = 0; i < conns; i++) {
		struct grpc_client_opts o = { .address = argv[2],
			.keep = true,
			.backoff_ms = 50,
			.backoff_max_ms = 500 };

		who_read(&c[i], who);
		/* Who shares an identity is one agent, not a newer one. */
		snprintf(
		    c[i].instance, sizeof(c[i].instance), "%d", (int)getpid());
		o.authorization = c[i].authorization;
		if ((c[i].client = grpc_client_open(loop, &o, &e)) == NULL)
			die(&e);
	}
	if (strcmp(mode, "watch") == 0) {
		for (i = 0; i < conns; i++)
			watch(&c[i]);
		if (loop_watch(loop, &in, 0, EPOLLIN, input, NULL, &e) == -1)
			die(&e);
	} else {
		for (i = 0; i < conns * in_flight; i++) {
			slots[i].conn = &c[i % conns];
			again(&slots[i]);
		}
		loop_timer(
		    loop, &end, now_ms() + atol(argv[3]) * 1000, finish, NULL);
	}
	if (loop_run(loop, &e) == -1)
		die(&e);
	if (strcmp(mode, "watch") != 0)
		printf("calls_per_s %.0f p50_us %lu p99_us %lu errors %lu\n",
		    (double)calls * 1000 / (double)(now_ms() - began),
		    percentile(0.5), percentile(0.99), errors);
	return RC_OK;
}
