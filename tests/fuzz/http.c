/*
 * Whatever comes to a port of libgrpc: HTTP/1.1, HTTP/2, gRPC, gRPC-Web and
 * JSON.  The first byte says in which pieces the rest is sent.
 * needs: libgrpc libmsg libloop libbase
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "grpc.h"
#include "model/common.pb-c.h"
#include "model/deployment.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static struct grpc_call *late;

static void
echo(void *arg, struct grpc_call *c)
{
	(void)arg;
	grpc_reply(c, c->req);
}

static void
gone(struct grpc_call *c)
{
	late = NULL;
	grpc_reply_status(c, GRPC_CANCELLED, "gone");
}

/* Answered after the bytes have come, or when its caller has gone. */
static void
keep(void *arg, struct grpc_call *c)
{
	(void)arg;
	if (late != NULL) {
		grpc_reply_status(c, GRPC_ABORTED, "one at a time");
		return;
	}
	late = c;
	c->on_gone = gone;
}

static void
count(void *arg, struct grpc_call *c)
{
	int i;

	(void)arg;
	for (i = 0; i < 3; i++)
		(void)grpc_send(c, c->req);
	grpc_reply_status(c, GRPC_OK, NULL);
}

static void
page(void *arg, struct http_call *c)
{
	(void)arg;
	if (strcmp(c->path, "/events") == 0) {
		http_events(c);
		(void)http_event(c, "e", NULL, c->query, strlen(c->query));
		http_end(c);
		return;
	}
	http_set(c, "x-path", c->path);
	http_reply(c, 200, "text/plain", c->body, c->len);
}

#define REPO &model__application_git_repository__descriptor
#define ROW(n, f, s) \
	{ \
		.service = "E", .name = n, .req = REPO, .res = REPO, \
		.call = f, .stream = s \
	}
static const struct grpc_method methods[] = {
	ROW("E", echo, false),
	ROW("K", keep, false),
	ROW("C", count, true),
	{ .service = "E",
	    .name = "M",
	    .req = &model__deployment_metadata__descriptor,
	    .res = &model__deployment_metadata__descriptor,
	    .call = echo },
};

static void
turns(struct loop *l, int fd, int n)
{
	char back[65536];
	struct err e;

	while (n-- > 0) {
		must(loop_turn(l, 0, &e) == 0);
		while (
		    fd != -1 && recv(fd, back, sizeof(back), MSG_DONTWAIT) > 0)
			;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const struct grpc_server_opts o = { .http = page,
		.limits = { .message = 65536,
		    .body = 4096,
		    .conns = 4,
		    .streams = 8 } };
	struct grpc_server *s;
	struct grpc_server_stat st;
	struct loop *l;
	size_t piece, k;
	struct err e;
	int sv[2];

	if (n < 2)
		return 0;
	log_open("fuzz", LOG_ERROR);
	piece = p[0] == 0 ? n : p[0];
	p++;
	n--;
	must((l = loop_open(&e)) != NULL);
	s = grpc_server_open(l, &o);
	grpc_server_add(s, methods, NITEMS(methods));
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
		 sv) == 0);
	must(grpc_server_take(s, sv[0], NULL, &e) == 0);
	late = NULL;
	for (; n > 0; p += k, n -= k) {
		k = n < piece ? n : piece;
		if (send(sv[1], p, k, MSG_NOSIGNAL) == -1)
			break;
		turns(l, sv[1], 1);
	}
	turns(l, sv[1], 2);
	if (late != NULL) {
		struct grpc_call *c = late;

		late = NULL;
		c->on_gone = NULL;
		grpc_reply(c, c->req);
	}
	turns(l, sv[1], 2);
	close(sv[1]);
	turns(l, -1, 3);
	/* Whatever it was, nothing of it is left. */
	grpc_server_stat(s, &st);
	must(st.calls == 0 && st.conns == 0 && st.buffered == 0);
	grpc_server_close(s);
	loop_close(l);
	return 0;
}
