/*
 * A server to talk to, of the service grpc.service.echo.Echo, whose messages
 * are all model.ApplicationGitRepository (id, remote, branch: three strings):
 *
 *	Echo	the request, never decoded
 *	Get	the request, decoded and packed anew
 *	Fail	status `remote` with the text `branch`
 *	Slow	the request after `remote` milliseconds
 *	Header	the value of the request header `remote`, in `remote`; and the
 *		same as a trailer x-echo
 *	Count	a stream: `remote` messages with id 1, 2, ..., branch as it came
 *	CountFail	the same, then status 9
 *	Tick	a stream: a message at once, and then none
 *	Meta	the request, a model.DeploymentMetadata (maps), decoded
 *
 *	server [-a address]... [-t address]... [-c cert] [-k key] [-C ca]
 *	    [-L limit=value]...
 * -a plain, -t with TLS.  One line per address on stdout, "a 127.0.0.1:4711";
 * then one line per call.  SIGTERM drains, SIGHUP reads the certificate again,
 * SIGINT ends at once.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "grpc.h"
#include "model/common.pb-c.h"
#include "model/deployment.pb-c.h"
#include "msg.h"

typedef Model__ApplicationGitRepository Repo;

struct slow {
	struct loop_timer timer;
	struct grpc_call *call;
};

struct counting {
	long next, last;
	int code;
	struct grpc_call *call;
};

struct test {
	struct loop *loop;
	struct grpc_server *server;
	struct grpc_tls *tls;
	struct loop_timer ticks;
};
static struct test t;

static void
echo(void *arg, struct grpc_call *c)
{
	(void)arg;
	grpc_reply_bytes(c, c->bytes, c->len);
}

static void
get(void *arg, struct grpc_call *c)
{
	(void)arg;
	grpc_reply(c, c->req);
}

static void
fail(void *arg, struct grpc_call *c)
{
	const Repo *r = (const Repo *)(const void *)c->req;

	(void)arg;
	grpc_reply_status(c, atoi(r->remote), "%s", r->branch);
}

static void
slow_done(void *arg)
{
	struct slow *s = arg;

	grpc_reply_bytes(s->call, s->call->bytes, s->call->len);
}

static void
slow_gone(struct grpc_call *c)
{
	struct slow *s = c->user;

	printf("gone %s\n", c->method->name);
	loop_timer_stop(t.loop, &s->timer);
	grpc_reply_status(c, GRPC_CANCELLED, "never read");
}

static void
slow(void *arg, struct grpc_call *c)
{
	const Repo *r = (const Repo *)(const void *)c->req;
	struct slow *s = arena_new_of(c->a, struct slow);

	(void)arg;
	s->call = c;
	c->user = s;
	c->on_gone = slow_gone;
	loop_timer(t.loop, &s->timer, loop_now(t.loop) + atoi(r->remote),
	    slow_done, s);
}

static void
header(void *arg, struct grpc_call *c)
{
	Repo *r = (Repo *)(void *)c->req;
	const char *v = strcmp(r->remote, "authorization") == 0
			    ? c->authorization
			    : grpc_call_header(c, r->remote);

	(void)arg;
	r->remote = arena_strdup(c->a, v == NULL ? "" : v);
	if (v != NULL)
		grpc_call_set(c, "x-echo", v);
	grpc_reply(c, c->req);
}

static void
count_more(struct grpc_call *c)
{
	struct counting *k = c->user;
	Repo r = *(const Repo *)(const void *)c->req;
	char id[24];

	for (; k->next <= k->last; k->next++) {
		(void)snprintf(id, sizeof(id), "%ld", k->next);
		r.id = id;
		if (grpc_send(c, &r.base) > 65536 && !c->gone) {
			k->next++;
			return;
		}
		if (c->gone)
			return;
	}
	if (k->code == GRPC_OK)
		grpc_reply_status(c, GRPC_OK, NULL);
	else
		grpc_reply_status(c, k->code, "counted to %ld", k->last);
}

static void
count_gone(struct grpc_call *c)
{
	struct counting *k = c->user;

	printf("gone %s at %ld\n", c->method->name, k->next);
	grpc_reply_status(c, GRPC_CANCELLED, "never read");
}

static void
count(void *arg, struct grpc_call *c)
{
	const Repo *r = (const Repo *)(const void *)c->req;
	struct counting *k = arena_new_of(c->a, struct counting);

	(void)arg;
	k->call = c;
	k->next = 1;
	k->last = atol(r->remote);
	k->code = strcmp(c->method->name, "Count") == 0
		      ? GRPC_OK
		      : GRPC_FAILED_PRECONDITION;
	c->user = k;
	c->on_gone = count_gone;
	c->on_drain = count_more;
	if (strcmp(c->method->name, "Tick") == 0)
		(void)grpc_send(c, c->req);
	else
		count_more(c);
}

#define REPO &model__application_git_repository__descriptor
#define ROW(n, f, s, p) \
	{ \
		.service = "grpc.service.echo.Echo", .name = n, .req = REPO, \
		.res = REPO, .call = f, .stream = s, .packed = p \
	}
static const struct grpc_method methods[] = {
	ROW("Echo", echo, false, true),
	ROW("Get", get, false, false),
	ROW("Fail", fail, false, false),
	ROW("Slow", slow, false, false),
	ROW("Header", header, false, false),
	ROW("Count", count, true, false),
	ROW("CountFail", count, true, false),
	ROW("Tick", count, true, false),
	{ .service = "grpc.service.echo.Echo",
	    .name = "Meta",
	    .req = &model__deployment_metadata__descriptor,
	    .res = &model__deployment_metadata__descriptor,
	    .call = get },
};

static void
events_gone(struct http_call *c)
{
	printf("gone %s\n", c->path);
	http_end(c);
}

static void
page(void *arg, struct http_call *c)
{
	static char big[1 << 20];
	char n[16];
	int i;

	(void)arg;
	if (strcmp(c->path, "/healthz") == 0) {
		http_reply_text(c, 200, "ok");
	} else if (strcmp(c->path, "/echo") == 0) {
		http_set(c, "x-method", c->method);
		http_set(c, "x-query", c->query);
		http_reply(c, 200, "application/octet-stream", c->body, c->len);
	} else if (strcmp(c->path, "/big") == 0) {
		memset(big, 'b', sizeof(big));
		http_reply(c, 200, "text/plain", big, sizeof(big));
	} else if (strcmp(c->path, "/empty") == 0) {
		http_reply(c, 204, NULL, NULL, 0);
	} else if (strcmp(c->path, "/events") == 0) {
		http_events(c);
		for (i = 1; i <= 3; i++) {
			(void)snprintf(n, sizeof(n), "%d", i);
			(void)http_event(c, "tick", n, "one\ntwo", 7);
		}
		if (strcmp(c->query, "stay") == 0)
			c->on_gone = events_gone;
		else
			http_end(c);
	} else if (strcmp(c->path, "/stat") == 0) {
		struct grpc_server_stat st;

		grpc_server_stat(t.server, &st);
		http_reply_text(c, 200,
		    "conns %u calls %u accepted %llu refused %llu buffered %zu",
		    st.conns, st.calls, st.accepted, st.refused, st.buffered);
	} else {
		http_reply_text(c, 404, "no %s here", c->path);
	}
}

static void
done(void *arg, const struct grpc_method *m, enum grpc_via via, int code,
    int64_t us)
{
	static const char *const vias[] = { "grpc", "web", "json" };

	(void)arg;
	must(us >= 0);
	printf("call %s %s %s\n", m == NULL ? "?" : m->name, vias[via],
	    grpc_code_name(code));
}

static void
drained(void *arg)
{
	(void)arg;
	printf("drained\n");
	loop_stop(t.loop);
}

static void
on_signal(void *arg, int signo)
{
	struct err e;

	(void)arg;
	if (signo == SIGHUP && t.tls != NULL) {
		if (grpc_tls_reload(t.tls, &e) == -1)
			printf("reload: %s\n", e.text);
		else
			printf("reloaded\n");
	} else if (signo == SIGTERM) {
		grpc_server_drain(t.server);
	} else {
		loop_stop(t.loop);
	}
}

static void
limit(struct grpc_limits *l, char *s)
{
	char *v = strchr(s, '=');
	long n;

	if (v == NULL)
		usage("server [-L limit=value]");
	*v++ = '\0';
	n = atol(v);
#define LIMIT(f) \
	if (strcmp(s, #f) == 0) \
		l->f = (__typeof__(l->f))n;
	LIMIT(message)
	LIMIT(decoded)
	LIMIT(body)
	LIMIT(headers)
	LIMIT(conn_bytes)
	LIMIT(bytes)
	LIMIT(conns)
	LIMIT(streams)
	LIMIT(handshake_ms)
	LIMIT(request_ms)
	LIMIT(ping_ms)
	LIMIT(pong_ms)
	LIMIT(idle_ms)
	LIMIT(drain_ms)
}

int
main(int argc, char *argv[])
{
	struct grpc_server_opts o = { .http = page,
		.done = getenv("QUIET") == NULL ? done : NULL,
		.drained = drained };
	const char *cert = NULL, *key = NULL, *ca = NULL, *at[16];
	bool tls[16];
	char name[128];
	struct err e;
	int c, fd;
	size_t i, n = 0;

	log_open("server", getenv("DEBUG") != NULL ? LOG_DEBUG : LOG_WARN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	while ((c = getopt(argc, argv, "a:t:c:k:C:L:")) != -1) {
		switch (c) {
		case 'a':
		case 't':
			must(n < NITEMS(at));
			tls[n] = c == 't';
			at[n++] = optarg;
			break;
		case 'c':
			cert = optarg;
			break;
		case 'k':
			key = optarg;
			break;
		case 'C':
			ca = optarg;
			break;
		case 'L':
			limit(&o.limits, optarg);
			break;
		default:
			usage("server [-a address] [-t address] ...");
		}
	}
	if ((t.loop = loop_open(&e)) == NULL ||
	    loop_signals(t.loop, on_signal, NULL, &e) == -1)
		die(&e);
	t.server = grpc_server_open(t.loop, &o);
	grpc_server_add(t.server, methods, NITEMS(methods));
	if (cert != NULL && (t.tls = grpc_tls_open(cert, key, ca, &e)) == NULL)
		die(&e);
	for (i = 0; i < n; i++) {
		if ((fd = grpc_listen(at[i], true, &e)) == -1 ||
		    grpc_server_listen(
			t.server, fd, tls[i] ? t.tls : NULL, &e) == -1)
			die(&e);
		printf(
		    "%c %s\n", tls[i] ? 't' : 'a', grpc_listen_name(fd, name));
	}
	if (loop_run(t.loop, &e) == -1)
		die(&e);
	grpc_server_close(t.server);
	grpc_tls_free(t.tls);
	loop_close(t.loop);
	return 0;
}
