#include <poll.h>
#include <string.h>

#include "client.h"
#include "conf.h"
#include "grpc.h"

/*
 * One call after the other, each waited for: pipectl has nothing else to do.
 */

struct client {
	struct loop *loop;
	struct grpc_client *grpc;
	const char *address;
};

enum {
	CALL_MS = 30000,
	KEY_MAX = 4096
};

static const char *const services[] = {
	[SERVICE_API] = "/grpc.service.apiservice.APIService/",
	[SERVICE_OPERATOR] = "/pipecd.operator.OperatorService/",
};

/* "API-KEY ..." from --api-key or a file, without the file's line end. */
static int
authorization(
    struct ctl *c, const struct server *s, const char **out, struct err *e)
{
	struct buf b = BUF_INIT;
	int rv = -1;

	if (s->api_key != NULL)
		buf_adds(&b, s->api_key);
	else if (s->api_key_file == NULL) {
		err_set(e, RC_PERM,
		    "--api-key-file is needed: a file with the API key");
		goto out;
	} else if ((rv = file_read(s->api_key_file, KEY_MAX, &b, e)) != 1) {
		if (rv == 0)
			err_set(
			    e, RC_PERM, "%s: no such file", s->api_key_file);
		rv = -1;
		goto out;
	}
	while (b.len > 0 && strchr(" \t\r\n", b.p[b.len - 1]) != NULL)
		b.p[--b.len] = '\0';
	if (b.len == 0 || strpbrk(b.p, " \t\r\n") != NULL) {
		rv = err_set(e, RC_PERM, "%s: holds no API key",
		    s->api_key != NULL ? "--api-key" : s->api_key_file);
		goto out;
	}
	*out = arena_printf(c->a, "API-KEY %s", b.p);
	rv = 0;
out:
	buf_free(&b);
	return rv;
}

int
client_open(struct ctl *c, struct err *e)
{
	struct grpc_client_opts o = { .user_agent = "pipectl" };
	struct client *k;
	struct server s;

	if (server_find(c, &s, e) == -1 ||
	    authorization(c, &s, &o.authorization, e) == -1)
		return -1;
	o.address = s.address;
	o.tls = !s.insecure;
	o.ca_file = s.cert_file;
	o.connect_ms = 5000;
	o.limits.message = (size_t)64 << 20; /* a whole stage's log */
	k = arena_new_of(c->a, struct client);
	k->address = s.address;
	if ((k->loop = loop_open(e)) == NULL)
		return -1;
	if ((k->grpc = grpc_client_open(k->loop, &o, e)) == NULL) {
		loop_close(k->loop);
		return -1;
	}
	c->client = k;
	return 0;
}

void
client_close(struct client *k)
{
	if (k == NULL)
		return;
	grpc_client_close(k->grpc);
	loop_close(k->loop);
}

/* --- one call -------------------------------------------------------------- */

struct waiting {
	struct ctl *c;
	const ProtobufCMessageDescriptor *of;
	int (*take)(void *arg, const ProtobufCMessage *m);
	void *arg;
	ProtobufCMessage *answer;
	struct arena *a; /* of one message of a stream */
	struct err *e;
	int rv;		     /* -1: an error is in *e */
	int64_t deadline_ms; /* of now_ms */
	bool done;
	bool ended; /* by the server: the request is gone */
};

static int
exit_of(int code)
{
	switch (code) {
	case GRPC_NOT_FOUND:
		return RC_NO;
	case GRPC_UNAVAILABLE:
	case GRPC_DEADLINE_EXCEEDED:
	case GRPC_RESOURCE_EXHAUSTED:
	case GRPC_ABORTED:
	case GRPC_INTERNAL:
	case GRPC_UNKNOWN:
	case GRPC_CANCELLED:
		return RC_TEMP;
	default:
		return RC_PERM;
	}
}

/* What a status means for who typed the command. */
static int
refused(struct waiting *w, const struct grpc_answer *r)
{
	const char *address = w->c->client->address;

	switch (r->code) {
	case GRPC_UNAVAILABLE:
		return err_set(w->e, RC_TEMP, "%s: %s", address, r->message);
	case GRPC_UNAUTHENTICATED:
		return err_set(w->e, RC_PERM,
		    "%s does not accept this API key: %s", address, r->message);
	case GRPC_UNIMPLEMENTED:
		return err_set(w->e, RC_PERM,
		    "%s cannot do this: %s (PipeCD's own control plane has no "
		    "API for it)",
		    address, r->message);
	default:
		return err_set(w->e, exit_of(r->code), "%s: %s",
		    grpc_code_name(r->code), r->message);
	}
}

static void
on_done(void *arg, const struct grpc_answer *r)
{
	struct waiting *w = arg;

	w->done = w->ended = true;
	if (r->code != GRPC_OK)
		w->rv = refused(w, r);
	else if (w->take == NULL) {
		w->answer =
		    msg_unpack(w->of, r->bytes, r->len, w->c->a, 0, w->e);
		w->rv = w->answer != NULL ? 0 : -1;
	}
}

static void
on_message(void *arg, const void *bytes, size_t len)
{
	struct waiting *w = arg;
	ProtobufCMessage *m;

	if (w->done)
		return;
	arena_reset(w->a);
	m = msg_unpack(w->of, bytes, len, w->a, 0, w->e);
	w->rv = m != NULL ? w->take(w->arg, m) : -1;
	w->done = w->rv != 0;
}

static int
ask(struct ctl *c, enum service s, const char *method,
    const ProtobufCMessage *request, struct waiting *w, struct err *e)
{
	struct buf b = BUF_INIT;
	struct grpc_request *r;
	struct grpc_ask a = { .done = on_done, .arg = w };

	msg_pack(&b, request);
	a.path = arena_printf(c->a, "%s%s", services[s], method);
	a.bytes = b.p;
	a.len = b.len;
	if (w->take != NULL)
		a.message = on_message;
	if (w->deadline_ms != INT64_MAX)
		a.timeout_ms = w->deadline_ms - now_ms();
	r = grpc_client_call(c->client->grpc, &a);
	buf_free(&b);
	while (!w->done)
		if (loop_turn(c->client->loop, -1, e) == -1) {
			w->rv = -1;
			w->done = true;
		}
	if (!w->ended) /* a stream that we have seen enough of */
		grpc_cancel(r);
	return w->rv;
}

void *
client_call(struct ctl *c, enum service s, const char *method,
    const ProtobufCMessage *request, const ProtobufCMessageDescriptor *answer,
    struct err *e)
{
	struct waiting w = {
		.c = c, .of = answer, .deadline_ms = now_ms() + CALL_MS, .e = e
	};

	return ask(c, s, method, request, &w, e) == 0 ? w.answer : NULL;
}

int
client_stream(struct ctl *c, enum service s, const char *method,
    const ProtobufCMessage *request, const ProtobufCMessageDescriptor *answer,
    int (*take)(void *arg, const ProtobufCMessage *m), void *arg,
    int64_t deadline_ms, struct err *e)
{
	struct waiting w = { .c = c,
		.of = answer,
		.deadline_ms = deadline_ms,
		.take = take,
		.arg = arg,
		.a = arena_new(),
		.e = e };
	int rv = ask(c, s, method, request, &w, e);

	arena_free(w.a);
	return rv;
}

bool
client_wait(int64_t ms, int64_t deadline_ms)
{
	int64_t left = deadline_ms - now_ms();

	if (left <= 0)
		return false;
	(void)poll(NULL, 0, (int)(ms < left ? ms : left));
	return true;
}
