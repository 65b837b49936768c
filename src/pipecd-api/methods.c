/* Every call comes through here: who is it, may they, is the request good. */
#include <stdlib.h>
#include <string.h>

#include "api.h"

/* --- the table -------------------------------------------------------------- */

struct row {
	const ProtobufCServiceDescriptor *service;
	const char *name;
	size_t req, res; /* sizes, so that a wrong type in the row is noticed */
	enum may may;
	bool stream;
	handler_fn *handler;
};

enum {
	UNARY,
	STREAM
};

static const struct row rows[] = {
#define METHOD(service, name, type, may, kind, fn) \
	{ &service##__descriptor, #name, sizeof(type##Request), \
		sizeof(type##Response), MAY_##may, (kind) == STREAM, fn },
#include "methods.def"
};

const char *
may_name(enum may may)
{
	static const char *const name[MAY__N] = {
		[MAY_PIPED_READ] = "piped-read",
		[MAY_PIPED_WRITE] = "piped-write",
		[MAY_KEY_READ] = "key-read",
		[MAY_KEY_WRITE] = "key-write",
	};

	return name[may];
}

void
methods_print(FILE *out)
{
	size_t i;

	for (i = 0; i < NITEMS(rows); i++)
		fprintf(out, "%s\t%s\t%s\t%s\n", rows[i].service->name,
		    rows[i].name, may_name(rows[i].may),
		    rows[i].stream ? "stream" : "unary");
}

const struct method *
method_of(const struct grpc_method *m)
{
	return m == NULL ? NULL : m->user;
}

/* --- a call ------------------------------------------------------------------ */

static void
run(struct call *c)
{
	struct err e;

	if (msg_check(c->g->req, &e) == -1) {
		refuse(c, GRPC_INVALID_ARGUMENT, "%s", e.text);
		return;
	}
	c->m->handler(c, c->g->req);
}

static void
known(void *arg, int code, const char *why, const struct caller *who)
{
	struct call *c = arg;
	bool piped = c->m->may <= MAY_PIPED_WRITE;

	if (code != GRPC_OK) {
		refuse(c, code, "%s", why);
		return;
	}
	if (who->piped != piped) {
		refuse(c, GRPC_UNAUTHENTICATED,
		    piped ? "%s is for agents: authorization: PIPED-TOKEN "
			    "PROJECT,PIPED,KEY"
			  : "%s is for API keys: authorization: API-KEY KEY",
		    c->m->name);
		return;
	}
	if (c->m->may == MAY_KEY_WRITE && !who->write) {
		refuse(c, GRPC_PERMISSION_DENIED,
		    "%s needs an API key with the role READ_WRITE", c->m->name);
		return;
	}
	c->who = (struct caller){ .piped = who->piped,
		.write = who->write,
		.project = arena_strdup(c->a, who->project),
		.id = arena_strdup(c->a, who->id),
		.name = arena_strdup(c->a, who->name) };
	if (c->m->may == MAY_PIPED_WRITE)
		fence_check(c, run);
	else
		run(c);
}

static void
start(void *arg, struct grpc_call *g)
{
	struct call *c = arena_new_of(g->a, struct call);

	c->api = arg;
	c->g = g;
	c->a = g->a;
	c->m = method_of(g->method);
	c->req = g->req;
	auth_check(c->api->auth, g->authorization, known, c);
}

struct grpc_method *
methods_make(struct api *api, size_t *n)
{
	struct grpc_method *g = xcalloc(NITEMS(rows), sizeof(*g));
	struct method *m = xcalloc(NITEMS(rows), sizeof(*m));
	const ProtobufCMethodDescriptor *d;
	size_t i;

	for (i = 0; i < NITEMS(rows); i++) {
		d = protobuf_c_service_descriptor_get_method_by_name(
		    rows[i].service, rows[i].name);
		must(d != NULL && d->input->sizeof_message == rows[i].req &&
		     d->output->sizeof_message == rows[i].res);
		m[i] = (struct method){ .service = rows[i].service->name,
			.name = rows[i].name,
			.may = rows[i].may,
			.handler = rows[i].handler,
			.stream = rows[i].stream,
			.number = i };
		g[i] = (struct grpc_method){ .service = rows[i].service->name,
			.name = rows[i].name,
			.req = d->input,
			.res = d->output,
			.call = start,
			.arg = api,
			.user = &m[i],
			.stream = rows[i].stream };
	}
	*n = NITEMS(rows);
	return g;
}

void
methods_free(struct grpc_method *g)
{
	if (g != NULL)
		free((void *)(uintptr_t)g[0].user);
	free(g);
}
