/*
 * NAME
 *	pipecd-api - the control plane's door: gRPC, JSON, webhooks
 * SYNOPSIS
 *	pipecd-api [-lnv] [-f config]
 * DESCRIPTION
 *	Answers agents and people on the control plane's address: PipeCD's
 *	PipedService and APIService, and two services of our own, as gRPC,
 *	gRPC-Web and JSON over POST; webhooks of git servers under
 *	/webhook/github, gitlab, gitea and bitbucket; /healthz, /readyz and
 *	/version.  On the admin address these three and /metrics.
 *
 *	It holds no data: every question goes to pipecd-store.  Any number may
 *	run side by side.  share/doc/api.md says which methods there are, who
 *	may call them, and what the JSON looks like.
 *
 *	SIGTERM: takes no new connections, ends streams so that agents go
 *	elsewhere, finishes the calls in hand.  SIGHUP: reads the certificate
 *	again.
 * OPTIONS
 *	-f config	the ControlPlane configuration; under pipecd a part of
 *		it is on descriptor 3
 *	-l	list the methods, and who may call each
 *	-n	check the configuration only
 *	-v	more on stderr
 * INPUT
 *	Calls and webhooks on the sockets that pipecd passes (PIPECD_LISTEN),
 *	or else on address and adminAddress of the configuration.
 * OUTPUT
 *	Answers; the log on stderr.
 * EXIT STATUS
 *	0	stopped
 *	1	-n: the configuration is refused
 *	100	usage, configuration, certificate
 *	111	an address cannot be bound
 * FILES
 *	STATEDIR/run/store.sock	the store
 * PRIVILEGES
 *	Network.  Reads the TLS key and the secrets of webhooks at its start.
 *	Hashes of keys stay in the store.
 * BUGS
 *	Secrets of webhooks are read once.
 * SEE ALSO
 *	pipecd(1), pipecd-store(1), pipecd-ops(1)
 */
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "sandbox.h"

static const char synopsis[] = "pipecd-api [-lnv] [-f config]";

/* --- the store ------------------------------------------------------------------------ */

static void
store_ready(void *arg, uint32_t events)
{
	struct api *api = arg;

	(void)events;
	store_turn(api->store);
}

/* Changes may have been missed: nothing that we remember is sure. */
static void
lost(struct api *api)
{
	auth_forget(api->auth, NULL);
	owners_forget(api->owners, NULL);
	agents_lost(api->agents);
	watchers_lost(api->watchers);
}

static void
change_said(void *arg, const Store__Reply *r, struct arena *a)
{
	struct api *api = arg;
	const Store__Change *ch = r->change;

	(void)a;
	if (r->code != STORE__CODE__OK) { /* the next tick asks again */
		log_warn("-", "watching the store: %s", or_empty(r->error));
		api->changes = 0;
		return;
	}
	if (ch == NULL)
		return;
	if (ch->lost) {
		lost(api);
		return;
	}
	agents_change(api->agents, ch);
	if (same(ch->table, "api_key"))
		auth_forget(api->auth, ch->id);
	else if (same(ch->table, "deployment"))
		watchers_change(api->watchers, ch->id);
	else if (same(ch->table, "note"))
		hooks_note(api->hooks, ch->id);
}

static void
watch_store(struct api *api)
{
	static char *const tables[] = { (char *)(uintptr_t) "application",
		(char *)(uintptr_t) "command", (char *)(uintptr_t) "deployment",
		(char *)(uintptr_t) "deployment_chain",
		(char *)(uintptr_t) "event", (char *)(uintptr_t) "piped",
		(char *)(uintptr_t) "api_key", (char *)(uintptr_t) "lease",
		(char *)(uintptr_t) "note" };
	Store__Request q = STORE__REQUEST__INIT;
	Store__Watch w = STORE__WATCH__INIT;

	w.tables = (char **)(uintptr_t)tables;
	w.n_tables = NITEMS(tables);
	STORE_ASK(&q, WATCH, watch, &w);
	api->changes = store_send(api->store, &q, STORE_MS, change_said, api);
}

/* --- listening ------------------------------------------------------------------------ */

static int
listen_one(const char *name, const char *address, struct grpc_server *s,
    struct grpc_tls *tls, struct err *e)
{
	char at[128];
	int fd;

	if ((fd = grpc_listen(address, false, e)) == -1)
		return err_wrap(e, "%s", name);
	log_info("-", "listens %s=%s", name, grpc_listen_name(fd, at));
	return grpc_server_listen(s, fd, tls, e);
}

/* PipeCD's separate ports all answer everything but what is for the admin. */
static int
listen_all(struct api *api, struct err *e)
{
	struct listening l[LISTEN_MAX];
	size_t n = listen_fds(l), i;
	bool admin;

	if (n == 0 && (listen_one("main", api->conf->address, api->main,
			   api->tls, e) == -1 ||
			  listen_one("admin", api->conf->admin_address,
			      api->admin, NULL, e) == -1))
		return -1;
	for (i = 0; i < n; i++) {
		admin = strcmp(l[i].name, "admin") == 0;
		if (grpc_server_listen(admin ? api->admin : api->main, l[i].fd,
			admin ? NULL : api->tls, e) == -1)
			return err_wrap(e, "%s", l[i].name);
	}
	return 0;
}

/* --- the life of the process ------------------------------------------------------------ */

static void
tick(void *arg)
{
	struct api *api = arg;

	if (api->changes == 0) {
		watch_store(api);
		lost(api);
	}
	agents_tick(api->agents);
	loop_timer(
	    api->loop, &api->tick, loop_now(api->loop) + 5000, tick, api);
}

static void
drained(void *arg)
{
	struct api *api = arg;

	loop_stop(api->loop);
}

static void
on_signal(void *arg, int signo)
{
	struct api *api = arg;
	struct err e;

	if (signo == SIGHUP) {
		if (api->tls == NULL)
			return;
		if (grpc_tls_reload(api->tls, &e) == -1)
			log_error("-", "certificate kept: %s", e.text);
		else
			log_info("-", "certificate read again");
	} else if (signo == SIGTERM || signo == SIGINT) {
		if (api->draining) {
			loop_stop(api->loop);
			return;
		}
		api->draining = true;
		agents_end(api->agents);
		watchers_end(api->watchers);
		grpc_server_drain(api->main);
	}
}

/* Agents say how PipeCD's pages are found; without a slash at the end. */
static char *
web_url(const struct conf_control *c, struct arena *a)
{
	const char *s = c->web_address;
	size_t n;

	if (empty(s))
		return arena_printf(a, "%s://%s",
		    c->tls.cert_file != NULL ? "https" : "http", c->address);
	n = strlen(s);
	while (n > 0 && s[n - 1] == '/')
		n--;
	return arena_strndup(a, s, n);
}

static int
api_open(struct api *api, struct arena *a, struct err *e)
{
	struct grpc_server_opts o = { .http = http_main,
		.done = metrics_done,
		.drained = drained,
		.arg = api };
	const struct conf_control *c = api->conf;

	if ((api->hooks = hooks_new(api, e)) == NULL)
		return -1;
	if (c->tls.cert_file != NULL &&
	    (api->tls = grpc_tls_open(
		 c->tls.cert_file, c->tls.key_file, NULL, e)) == NULL)
		return -1;
	api->web_url = web_url(c, a);
	api->methods = methods_make(api, &api->n_methods);
	api->metrics = metrics_new(api);
	api->auth = auth_new(api);
	api->owners = owners_new();
	api->agents = agents_new(api);
	api->watchers = watchers_new(api);
	if ((api->store = store_open(c->state_dir, e)) == NULL ||
	    loop_watch(api->loop, &api->store_watch, store_fd(api->store),
		EPOLLIN, store_ready, api, e) == -1)
		return -1;
	watch_store(api);
	api->main = grpc_server_open(api->loop, &o);
	grpc_server_add(api->main, api->methods, api->n_methods);
	o = (struct grpc_server_opts){ .http = http_admin, .arg = api };
	api->admin = grpc_server_open(api->loop, &o);
	tick(api);
	return 0;
}

static void
api_close(struct api *api)
{
	/* Streams are answered while there is a server to answer with. */
	if (api->watchers != NULL)
		watchers_end(api->watchers);
	if (api->agents != NULL)
		agents_end(api->agents);
	if (api->main != NULL)
		grpc_server_close(api->main);
	if (api->admin != NULL)
		grpc_server_close(api->admin);
	if (api->store != NULL) {
		loop_unwatch(api->loop, &api->store_watch);
		store_close(api->store);
	}
	loop_timer_stop(api->loop, &api->tick);
	watchers_free(api->watchers);
	agents_free(api->agents);
	auth_free(api->auth);
	owners_free(api->owners);
	metrics_free(api->metrics);
	hooks_free(api->hooks);
	if (api->tls != NULL)
		grpc_tls_free(api->tls);
	methods_free(api->methods);
}

/*
 * A renewed certificate is another file under the same name, often behind a
 * link: what may be read is the directory of both.
 */
static size_t
dirs_of(const char *file, const char *more[], size_t n, struct arena *a)
{
	char real[PATH_MAX];
	const char *at[] = { file, realpath(file, real) };
	size_t i;

	for (i = 0; i < NITEMS(at); i++)
		if (at[i] != NULL && at[i][0] == '/')
			more[n++] = arena_printf(a, "r:%.*s",
			    (int)(strrchr(at[i], '/') - at[i] + 1), at[i]);
	return n;
}

/* The certificate is read again after we have locked ourselves in. */
static int
lock_down(const struct conf_control *c, struct arena *a, struct err *e)
{
	const char *const files[] = { c->tls.cert_file, c->tls.key_file };
	const char *more[5] = { NULL };
	size_t n = 0, i;

	for (i = 0; i < NITEMS(files); i++)
		if (files[i] != NULL)
			n = dirs_of(files[i], more, n, a);
	return sandbox("api", c->state_dir, more, e);
}

static int
run(const struct conf_control *c, struct arena *a, struct err *e)
{
	struct api api = { .conf = c };
	int rv = -1;

	if ((api.loop = loop_open(e)) == NULL)
		return -1;
	if (loop_signals(api.loop, on_signal, &api, e) == -1 ||
	    api_open(&api, a, e) == -1 || listen_all(&api, e) == -1 ||
	    lock_down(c, a, e) == -1)
		goto out;
	ready();
	rv = loop_run(api.loop, e);
out:
	api_close(&api);
	loop_close(api.loop);
	return rv;
}

int
main(int argc, char *argv[])
{
	enum log_level level = LOG_INFO;
	struct conf_control c = { 0 };
	const char *path = NULL;
	struct arena *a;
	struct err e = { 0 };
	bool check = false;
	int ch;

	log_open("pipecd-api", LOG_INFO);
	while ((ch = getopt(argc, argv, "f:lnv")) != -1)
		switch (ch) {
		case 'f':
			path = optarg;
			break;
		case 'l':
			methods_print(stdout);
			return RC_OK;
		case 'n':
			check = true;
			break;
		case 'v':
			level = LOG_DEBUG;
			break;
		default:
			usage(synopsis);
		}
	if (optind != argc)
		usage(synopsis);
	log_open("pipecd-api", level);
	a = arena_new();
	if (conf_control_open(&c, path, a, &e) == -1) {
		if (check && e.exit == RC_PERM) {
			log_error("-", "%s", e.text);
			return RC_NO;
		}
		die(&e);
	}
	if (!check && run(&c, a, &e) == -1)
		die(&e);
	arena_free(a);
	return RC_OK;
}
