/*
 * Load for measuring: calls as fast as the server answers them, or connections
 * that are there and say nothing.
 *
 *	load [-t] [-C ca] [-k authorization] [-c connections] [-w in_flight]
 *	    [-s seconds] [-n method] [-i] address [id [remote [branch]]]
 * -w is in all.  Prints "calls_per_s N p50_us N p99_us N errors N".
 * -i: connect, print "connected N in_ms N", and stay until stdin ends; a line
 * "down N" or "up N" for what changes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "grpc.h"
#include "model/common.pb-c.h"
#include "msg.h"

enum {
	BUCKETS = 100000 /* of 10 us */
};

struct one {
	struct grpc_client *client;
	int64_t since;
};

static struct loop *loop;
static struct grpc_ask ask;
static unsigned long calls, errors, took[BUCKETS];
static long up, conns = 1;
static bool idle, over;
static int64_t began;

static void
state(void *arg, bool is_up, const char *why)
{
	(void)arg;
	up += is_up ? 1 : -1;
	if (!is_up)
		fprintf(stderr, "down: %s\n", why);
	if (idle && up == conns) {
		printf("connected %ld in_ms %lld\n", up,
		    (long long)(now_ms() - began));
		began = now_ms();
	} else if (idle && !is_up) {
		if (up == conns - 1)
			began = now_ms();
		printf("down %ld\n", up);
	}
}

static void again(struct one *o);

static void
done(void *arg, const struct grpc_answer *r)
{
	struct one *o = arg;
	int64_t us = now_us() - o->since;

	if (over)
		return;
	calls++;
	if (r->code != GRPC_OK)
		errors++;
	us /= 10;
	took[us < BUCKETS ? us : BUCKETS - 1]++;
	again(o);
}

static void
again(struct one *o)
{
	o->since = now_us();
	ask.arg = o;
	(void)grpc_client_call(o->client, &ask);
}

static long
percentile(double p)
{
	unsigned long n = 0;
	long i;

	for (i = 0; i < BUCKETS; i++) {
		if ((double)(n += took[i]) >= p * (double)calls)
			break;
	}
	return i * 10;
}

static void
stop(void *arg)
{
	(void)arg;
	over = true;
	loop_stop(loop);
}

static void
on_stdin(void *arg, uint32_t events)
{
	char c;

	(void)events;
	if (read(0, &c, 1) <= 0)
		stop(arg);
}

int
main(int argc, char *argv[])
{
	struct grpc_client_opts o = { .state = state };
	Model__ApplicationGitRepository req =
	    MODEL__APPLICATION_GIT_REPOSITORY__INIT;
	struct grpc_client **clients;
	struct loop_watch in = { 0 };
	struct loop_timer end = { 0 };
	struct buf b = BUF_INIT;
	struct one *ones;
	long in_flight = 1, s = 2, i;
	const char *name = "Echo";
	char path[256];
	struct err e;
	int c;

	log_open("load", LOG_WARN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	while ((c = getopt(argc, argv, "tC:k:c:w:s:n:i")) != -1) {
		switch (c) {
		case 't':
			o.tls = true;
			break;
		case 'C':
			o.ca_file = optarg;
			break;
		case 'k':
			o.authorization = optarg;
			break;
		case 'c':
			conns = atol(optarg);
			break;
		case 'w':
			in_flight = atol(optarg);
			break;
		case 's':
			s = atol(optarg);
			break;
		case 'n':
			name = optarg;
			break;
		case 'i':
			idle = o.keep = true;
			break;
		default:
			usage("load [-ti] ... address [id [remote [branch]]]");
		}
	}
	if (argc - optind < 1)
		usage("load [-ti] ... address [id [remote [branch]]]");
	o.address = argv[optind];
	o.server_name = "localhost";
	req.id = argc > optind + 1 ? argv[optind + 1] : req.id;
	req.remote = argc > optind + 2 ? argv[optind + 2] : req.remote;
	req.branch = argc > optind + 3 ? argv[optind + 3] : req.branch;
	(void)snprintf(path, sizeof(path), "%s%s",
	    name[0] == '/' ? "" : "/grpc.service.echo.Echo/", name);
	msg_pack(&b, &req.base);
	ask = (struct grpc_ask){ .path = path,
		.bytes = b.p,
		.len = b.len,
		.timeout_ms = 30000,
		.wait = true,
		.done = done };
	if ((loop = loop_open(&e)) == NULL)
		die(&e);
	began = now_ms();
	clients = xcalloc((size_t)conns, sizeof(struct grpc_client *));
	ones = xcalloc((size_t)in_flight, sizeof(*ones));
	for (i = 0; i < conns; i++) {
		if ((clients[i] = grpc_client_open(loop, &o, &e)) == NULL)
			die(&e);
	}
	for (i = 0; !idle && i < in_flight; i++) {
		ones[i].client = clients[i % conns];
		again(&ones[i]);
	}
	if (idle && loop_watch(loop, &in, 0, EPOLLIN, on_stdin, NULL, &e) == -1)
		die(&e);
	if (!idle)
		loop_timer(loop, &end, now_ms() + s * 1000, stop, NULL);
	/* What comes before is our own: a context of TLS for each. */
	began = now_ms();
	if (loop_run(loop, &e) == -1)
		die(&e);
	if (!idle)
		printf("calls_per_s %.0f p50_us %ld p99_us %ld errors %lu\n",
		    (double)calls * 1000 / (double)(now_ms() - began),
		    percentile(0.5), percentile(0.99), errors);
	over = true;
	for (i = 0; i < conns; i++)
		grpc_client_close(clients[i]);
	loop_close(loop);
	free(clients);
	free(ones);
	buf_free(&b);
	return errors == 0 ? 0 : 1;
}
