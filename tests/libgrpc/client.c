/*
 * Calls of the server beside this file, as tests want them:
 *
 *	client [-sw] [-t] [-C ca] [-E name] [-d ms] [-k authorization]
 *	    [-H name=value]... [-n calls] [-p pause_ms] [-x cancel_ms]
 *	    [-G bytes] address method [id [remote [branch]]]
 * -t TLS, -s the answer is a stream, -w wait for a connection, -n so many calls
 * at once (-p: one after the other, with pauses), -x cancel after so many
 * milliseconds, -G a branch of so many bytes.
 * Prints "message ID REMOTE BRANCH" (long ones as their length), then "CODE
 * text" per call and "trailer x-echo VALUE" where there is one; state changes
 * go to stderr.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "grpc.h"
#include "model/common.pb-c.h"
#include "msg.h"

struct test {
	struct loop *loop;
	struct grpc_client *client;
	struct grpc_ask ask;
	struct grpc_request *last;
	struct loop_timer pause, cancel;
	long left, open, calls;
	int64_t pause_ms;
	int worst;
};
static struct test t;

static void
show(const void *p, size_t n)
{
	struct arena *a = arena_new();
	Model__ApplicationGitRepository *r;
	struct err e;

	r = (void *)msg_unpack(
	    &model__application_git_repository__descriptor, p, n, a, 0, &e);
	if (r == NULL)
		printf("unreadable: %s\n", e.text);
	else if (strlen(r->branch) > 100)
		printf("message %s %s %zu bytes\n", r->id, r->remote,
		    strlen(r->branch));
	else
		printf("message %s %s %s\n", r->id, r->remote, r->branch);
	arena_free(a);
}

static void
on_message(void *arg, const void *p, size_t n)
{
	(void)arg;
	show(p, n);
}

static void one(void *arg);

static void
done(void *arg, const struct grpc_answer *r)
{
	const char *v = grpc_answer_get(r, "x-echo");

	(void)arg;
	t.last = NULL;
	if (r->bytes != NULL)
		show(r->bytes, r->len);
	if (v != NULL)
		printf("trailer x-echo %s\n", v);
	printf("%s%s%s%s\n", grpc_code_name(r->code),
	    r->message[0] == '\0' ? "" : " ", r->message,
	    r->unsent ? " (unsent)" : "");
	if (r->code != GRPC_OK)
		t.worst = 1;
	t.open--;
	if (t.left > 0 && t.pause_ms > 0)
		loop_timer(
		    t.loop, &t.pause, loop_now(t.loop) + t.pause_ms, one, NULL);
	else if (t.open == 0)
		loop_stop(t.loop);
}

static void
one(void *arg)
{
	(void)arg;
	t.left--;
	t.open++;
	t.last = grpc_client_call(t.client, &t.ask);
}

static void
stop(void *arg)
{
	(void)arg;
	loop_stop(t.loop);
}

static void
cancel(void *arg)
{
	(void)arg;
	grpc_cancel(t.last);
	printf("cancelled\n");
	/* The server is told before we go. */
	loop_timer(t.loop, &t.pause, loop_now(t.loop) + 100, stop, NULL);
}

static void
state(void *arg, bool up, const char *why)
{
	(void)arg;
	fprintf(stderr, "%s%s\n", up ? "up" : "down: ", why);
}

int
main(int argc, char *argv[])
{
	struct grpc_client_opts o = { .state = state };
	Model__ApplicationGitRepository req =
	    MODEL__APPLICATION_GIT_REPOSITORY__INIT;
	struct grpc_pair pairs[16];
	struct buf b = BUF_INIT, big = BUF_INIT;
	char path[256];
	long cancel_ms = -1;
	char *v;
	struct err e;
	int c;

	log_open("client", LOG_WARN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	t.left = 1;
	t.ask.pairs = pairs;
	t.ask.done = done;
	o.limits.message =
	    getenv("MESSAGE") ? (size_t)atol(getenv("MESSAGE")) : 0;
	o.limits.ping_ms = getenv("PING") ? atol(getenv("PING")) : 0;
	o.limits.pong_ms = getenv("PONG") ? atol(getenv("PONG")) : 0;
	while ((c = getopt(argc, argv, "swtC:E:d:k:H:n:p:x:G:c:")) != -1) {
		switch (c) {
		case 's':
			t.ask.message = on_message;
			break;
		case 'w':
			t.ask.wait = true;
			break;
		case 't':
			o.tls = true;
			break;
		case 'C':
			o.ca_file = optarg;
			break;
		case 'c':
			o.cert_file = optarg;
			break;
		case 'E':
			o.server_name = optarg;
			break;
		case 'd':
			t.ask.timeout_ms = atol(optarg);
			break;
		case 'k':
			o.authorization = optarg;
			break;
		case 'H':
			must(t.ask.n_pairs < NITEMS(pairs));
			must((v = strchr(optarg, '=')) != NULL);
			*v++ = '\0';
			pairs[t.ask.n_pairs].name = optarg;
			pairs[t.ask.n_pairs++].value = v;
			break;
		case 'n':
			t.left = atol(optarg);
			break;
		case 'p':
			t.pause_ms = atol(optarg);
			break;
		case 'x':
			cancel_ms = atol(optarg);
			break;
		case 'G':
			big.len = 0;
			while (big.len < (size_t)atol(optarg))
				buf_addc(&big, 'x');
			req.branch = big.p;
			break;
		default:
			usage("client [-st] address method [id ...]");
		}
	}
	if (argc - optind < 2)
		usage("client [-st] address method [id ...]");
	o.address = argv[optind];
	(void)snprintf(path, sizeof(path), "%s%s",
	    argv[optind + 1][0] == '/' ? "" : "/grpc.service.echo.Echo/",
	    argv[optind + 1]);
	if (argc > optind + 2)
		req.id = argv[optind + 2];
	if (argc > optind + 3)
		req.remote = argv[optind + 3];
	if (argc > optind + 4)
		req.branch = argv[optind + 4];
	msg_pack(&b, &req.base);
	t.ask.path = path;
	t.ask.bytes = b.p;
	t.ask.len = b.len;
	if ((t.loop = loop_open(&e)) == NULL ||
	    (t.client = grpc_client_open(t.loop, &o, &e)) == NULL)
		die(&e);
	do
		one(NULL);
	while (t.pause_ms == 0 && t.left > 0);
	if (cancel_ms >= 0)
		loop_timer(
		    t.loop, &t.cancel, now_ms() + cancel_ms, cancel, NULL);
	if (loop_run(t.loop, &e) == -1)
		die(&e);
	grpc_client_close(t.client);
	loop_close(t.loop);
	buf_free(&b);
	buf_free(&big);
	return t.worst;
}
