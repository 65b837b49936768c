/* What a request is, and who has it. */
#include <string.h>

#include "internal.h"

static const char older[] = "/pipe.api.service.", newer[] = "/grpc.service.";

const struct grpc_method *
route_find(const struct grpc_server *s, const char *path)
{
	char name[256];
	int n;

	if (str_prefix(path, older)) {
		n = snprintf(name, sizeof(name), "%s%s", newer,
		    path + sizeof(older) - 1);
		if (n < 0 || (size_t)n >= sizeof(name))
			return NULL;
		path = name;
	}
	return map_get(s->methods, path);
}

/* "application/json; charset=utf-8" is application/json. */
static bool
type_is(const char *type, const char *want)
{
	size_t n = strlen(want);

	return strncasecmp(type, want, n) == 0 &&
	       (type[n] == '\0' || type[n] == ';' || type[n] == ' ');
}

static enum xchg_kind
kind_of(const struct xchg *x)
{
	if (strcmp(x->method, "POST") != 0)
		return X_PAGE;
	if (type_is(x->type, "application/grpc") ||
	    type_is(x->type, "application/grpc+proto"))
		return X_GRPC;
	if (type_is(x->type, "application/grpc-web") ||
	    type_is(x->type, "application/grpc-web+proto"))
		return X_WEB;
	if (type_is(x->type, "application/json") &&
	    route_find(x->server, x->path) != NULL)
		return X_JSON;
	return X_PAGE;
}

/* A path that only looks like one of ours is explained, not just unknown. */
static bool
route_hint(struct xchg *x)
{
	if (x->kind == X_GRPC && x->conn->h1 != NULL) {
		page_error(x, 415,
		    "gRPC is spoken over HTTP/2; over HTTP/1.1 send "
		    "application/grpc-web+proto or application/json");
		return true;
	}
	if (x->kind != X_PAGE || route_find(x->server, x->path) == NULL)
		return false;
	if (strcmp(x->method, "POST") != 0) {
		xchg_set(x, "allow", "POST");
		page_error(x, 405, "this is a method: POST it");
		return true;
	}
	page_error(x, 415,
	    "content-type is none of application/json, application/grpc, "
	    "application/grpc-web+proto");
	return true;
}

void
route_begin(struct xchg *x)
{
	char *q = strchr(x->path, '?');

	x->page.query = "";
	if (q != NULL) {
		x->page.query = q + 1;
		x->path = arena_strndup(x->a, x->path, (size_t)(q - x->path));
	}
	x->kind = kind_of(x);
	if (x->over && x->kind != X_GRPC) {
		page_error(x, 431, "more header than is accepted");
		return;
	}
	if (route_hint(x))
		return;
	if (x->kind == X_PAGE)
		page_begin(x);
	else
		call_begin(x, route_find(x->server, x->path));
}

void
route_data(struct xchg *x, const uint8_t *p, size_t n)
{
	if (x->kind == X_PAGE)
		page_data(x, p, n);
	else if (x->kind != X_NONE)
		call_data(x, p, n);
}

void
route_end(struct xchg *x)
{
	if (x->answered)
		return;
	if (x->kind == X_PAGE)
		page_end(x);
	else if (x->kind != X_NONE)
		call_end(x);
}

void
route_gone(struct xchg *x)
{
	if (x->call.gone || x->page.gone)
		return;
	x->call.gone = x->page.gone = true;
	if (x->code == GRPC_OK)
		x->code = GRPC_CANCELLED;
	if (x->kind == X_PAGE && x->page.on_gone != NULL)
		x->page.on_gone(&x->page);
	else if (x->kind != X_PAGE && x->call.on_gone != NULL)
		x->call.on_gone(&x->call);
}
