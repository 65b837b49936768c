#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "json.h"

/*
 * Servers by name, in one file of the user's:
 *	{"use":"prod","contexts":{"prod":{"address":"...","insecure":false,
 *	"apiKeyFile":"...","certFile":"..."}}}
 * It holds no key, only where one is.
 */

enum {
	CONTEXTS_MAX = 1 << 20
};

struct context {
	const char *name;
	struct server server;
};
struct contexts {
	const char *path, *use;
	struct context *v;
	size_t n;
};

static int
path_of(struct ctl *c, const char **dir, const char **path, struct err *e)
{
	const char *home = getenv("XDG_CONFIG_HOME");

	if (home == NULL || home[0] != '/') {
		if ((home = getenv("HOME")) == NULL || home[0] != '/')
			return err_set(e, RC_PERM,
			    "HOME is not set: no place for contexts");
		home = arena_printf(c->a, "%s/.config", home);
	}
	*dir = arena_printf(c->a, "%s/pipectl", home);
	*path = arena_printf(c->a, "%s/contexts.json", *dir);
	return 0;
}

static void
read_server(struct json *j, struct server *s)
{
	const char *key;

	if (!json_object(j))
		return;
	while (json_key(j, &key))
		if (strcmp(key, "address") == 0)
			json_string(j, &s->address);
		else if (strcmp(key, "apiKeyFile") == 0)
			json_string(j, &s->api_key_file);
		else if (strcmp(key, "certFile") == 0)
			json_string(j, &s->cert_file);
		else if (strcmp(key, "insecure") == 0)
			json_bool(j, &s->insecure);
		else
			json_skip(j);
}

static void
read_contexts(struct json *j, struct contexts *k)
{
	if (!json_object(j))
		return;
	while (json_key(j, &k->v[k->n].name))
		read_server(j, &k->v[k->n++].server);
}

static int
contexts_read(struct ctl *c, struct contexts *k, struct err *e)
{
	struct buf b = BUF_INIT;
	const char *key, *dir;
	struct json j;
	size_t most;
	int rv = -1;

	if (path_of(c, &dir, &k->path, e) == -1)
		return -1;
	if ((rv = file_read(k->path, CONTEXTS_MAX, &b, e)) != 1)
		goto out;
	most = b.len / 4 + 1; /* each takes more than four bytes */
	k->v = arena_array(c->a, struct context, most);
	json_open(&j, b.p, b.len, c->a);
	if (json_object(&j)) {
		while (json_key(&j, &key))
			if (strcmp(key, "use") == 0)
				json_string(&j, &k->use);
			else if (strcmp(key, "contexts") == 0)
				read_contexts(&j, k);
			else
				json_skip(&j);
	}
	if ((rv = json_close(&j, e)) == -1)
		err_wrap(e, "%s", k->path);
out:
	buf_free(&b);
	return rv;
}

static int
contexts_write(struct ctl *c, const struct contexts *k, struct err *e)
{
	struct buf b = BUF_INIT;
	struct json_out o = { .b = &b };
	const struct server *s;
	const char *dir = "", *path = "";
	size_t i;
	int rv = -1;

	if (path_of(c, &dir, &path, e) == -1 || dir_make(dir, 0700, e) == -1)
		return -1;
	json_out_object(&o);
	if (k->use != NULL) {
		json_out_key(&o, "use");
		json_out_string(&o, k->use);
	}
	json_out_key(&o, "contexts");
	json_out_object(&o);
	for (i = 0; i < k->n; i++) {
		s = &k->v[i].server;
		json_out_key(&o, k->v[i].name);
		json_out_object(&o);
		json_out_key(&o, "address");
		json_out_string(&o, s->address);
		json_out_key(&o, "insecure");
		json_out_bool(&o, s->insecure);
		if (s->api_key_file != NULL) {
			json_out_key(&o, "apiKeyFile");
			json_out_string(&o, s->api_key_file);
		}
		if (s->cert_file != NULL) {
			json_out_key(&o, "certFile");
			json_out_string(&o, s->cert_file);
		}
		json_out_end(&o);
	}
	json_out_end(&o);
	json_out_end(&o);
	buf_addc(&b, '\n');
	rv = file_write(path, b.p, b.len, 0600, true, e);
	buf_free(&b);
	return rv;
}

static struct context *
context_get(struct contexts *k, const char *name)
{
	size_t i;

	for (i = 0; name != NULL && i < k->n; i++)
		if (strcmp(k->v[i].name, name) == 0)
			return &k->v[i];
	return NULL;
}

/* --- which server ---------------------------------------------------------- */

static const char *
either(const struct ctl *c, const char *opt, const char *env, const char *kept)
{
	const char *v = arg_str(c, opt);

	if (v == NULL)
		v = getenv(env);
	return v != NULL && *v != '\0' ? v : kept;
}

int
server_find(struct ctl *c, struct server *s, struct err *e)
{
	struct contexts k = { .n = 0 };
	struct context *one;
	const char *name = either(c, "context", "PIPECTL_CONTEXT", NULL);

	*s = (struct server){ .address = NULL };
	if ((name != NULL ||
		either(c, "address", "PIPECTL_ADDRESS", NULL) == NULL) &&
	    contexts_read(c, &k, e) == -1)
		return -1;
	one = context_get(&k, name != NULL ? name : k.use);
	if (one == NULL && name != NULL)
		return err_set(e, RC_PERM,
		    "--context: there is no %s; see pipectl context list",
		    name);
	/* Another address is another server: its company does not go along. */
	if (one != NULL &&
	    either(c, "address", "PIPECTL_ADDRESS", NULL) == NULL)
		*s = one->server;
	s->address = either(c, "address", "PIPECTL_ADDRESS", s->address);
	s->api_key = either(c, "api-key", "PIPECTL_API_KEY", NULL);
	s->api_key_file =
	    either(c, "api-key-file", "PIPECTL_API_KEY_FILE", s->api_key_file);
	if (arg_str(c, "api-key") == NULL && arg_given(c, "api-key-file"))
		s->api_key = NULL;
	s->cert_file =
	    either(c, "cert-file", "PIPECTL_CERT_FILE", s->cert_file);
	if (arg_given(c, "insecure"))
		s->insecure = arg_bool(c, "insecure");
	if (s->address == NULL)
		return err_set(e, RC_PERM,
		    "which control plane?  --address host:port, or --context; "
		    "pipectl context add remembers one");
	return 0;
}

/* --- commands -------------------------------------------------------------- */

/* A path that holds wherever the next pipectl is started. */
static int
absolute(struct ctl *c, const char *opt, const char **out, struct err *e)
{
	const char *v = arg_str(c, opt);
	char real[PATH_MAX];

	*out = NULL;
	if (v == NULL)
		return 0;
	if (realpath(v, real) == NULL)
		return err_sys(e, "--%s: %s", opt, v);
	*out = arena_strdup(c->a, real);
	return 0;
}

int
context_add(struct ctl *c, struct err *e)
{
	struct contexts k = { .n = 0 };
	struct context *one;
	struct server s = { .address = arg_str(c, "address"),
		.insecure = arg_bool(c, "insecure") };

	if (s.address == NULL)
		return err_set(e, RC_PERM, "--address is needed: host:port");
	if (arg_given(c, "api-key"))
		return err_set(e, RC_PERM,
		    "--api-key: a context keeps no key; put it in a file and "
		    "give --api-key-file");
	if (absolute(c, "api-key-file", &s.api_key_file, e) == -1 ||
	    absolute(c, "cert-file", &s.cert_file, e) == -1 ||
	    contexts_read(c, &k, e) == -1)
		return -1;
	if ((one = context_get(&k, arg_str(c, "name"))) == NULL) {
		one = arena_array(c->a, struct context, k.n + 1);
		if (k.n > 0)
			memcpy(one, k.v, k.n * sizeof(*one));
		k.v = one;
		one = &k.v[k.n++];
		one->name = arg_str(c, "name");
	}
	one->server = s;
	if (k.use == NULL)
		k.use = one->name;
	return contexts_write(c, &k, e);
}

int
context_use(struct ctl *c, struct err *e)
{
	struct contexts k = { .n = 0 };

	if (contexts_read(c, &k, e) == -1)
		return -1;
	if (context_get(&k, arg_str(c, "name")) == NULL)
		return err_set(
		    e, RC_NO, "%s: no such context", arg_str(c, "name"));
	k.use = arg_str(c, "name");
	return contexts_write(c, &k, e);
}

int
context_delete(struct ctl *c, struct err *e)
{
	struct contexts k = { .n = 0 };
	struct context *one;

	if (contexts_read(c, &k, e) == -1)
		return -1;
	if ((one = context_get(&k, arg_str(c, "name"))) == NULL)
		return err_set(
		    e, RC_NO, "%s: no such context", arg_str(c, "name"));
	memmove(one, one + 1, (size_t)(&k.v[k.n] - (one + 1)) * sizeof(*one));
	k.n--;
	if (k.use != NULL && strcmp(k.use, arg_str(c, "name")) == 0)
		k.use = NULL;
	return contexts_write(c, &k, e);
}

int
context_list(struct ctl *c, struct err *e)
{
	struct contexts k = { .n = 0 };
	size_t i;

	if (contexts_read(c, &k, e) == -1)
		return -1;
	for (i = 0; i < k.n; i++)
		printf("%s %-16s %s%s\n",
		    k.use != NULL && strcmp(k.use, k.v[i].name) == 0 ? "*"
								     : " ",
		    k.v[i].name, k.v[i].server.address,
		    k.v[i].server.insecure ? " insecure" : "");
	return RC_OK;
}
