/* Webhooks: who was pushed to, and which agents are told to look. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "hash.h"
#include "hook.h"

struct hooks {
	struct api *api;
	struct hook {
		enum hook_type type;
		const char *project; /* of the config, NULL: all */
		struct secret secret;
	} * hook;
	size_t n;
};

static int
secret_read(struct secret *s, const struct conf_webhook *w, struct err *e)
{
	struct buf b = BUF_INIT;
	int rv = -1;

	if (w->secret_data != NULL) {
		if (base64_decode(&b, w->secret_data, strlen(w->secret_data)) ==
		    -1) {
			err_set(
			    e, RC_PERM, "webhooks: secretData is not base64");
			goto out;
		}
	} else if (w->secret_file != NULL) {
		if ((rv = file_read(w->secret_file, 4096, &b, e)) == -1)
			goto out;
		if (rv == 0) {
			rv = err_set(
			    e, RC_PERM, "%s: is not there", w->secret_file);
			goto out;
		}
		rv = -1;
		while (b.len > 0 &&
		       (b.p[b.len - 1] == '\n' || b.p[b.len - 1] == '\r'))
			b.p[--b.len] = '\0';
	}
	if (b.len == 0) {
		err_set(e, RC_PERM, "webhooks: %s has no secret", w->type);
		goto out;
	}
	secret_set(s, b.p, b.len);
	rv = 0;
out:
	explicit_bzero(b.p, b.len);
	buf_free(&b);
	return rv;
}

struct hooks *
hooks_new(struct api *api, struct err *e)
{
	const struct conf_control *c = api->conf;
	struct hooks *x = xcalloc(1, sizeof(*x));
	size_t i;

	x->api = api;
	x->hook = xcalloc(c->n_webhooks + 1, sizeof(*x->hook));
	for (i = 0; i < c->n_webhooks; i++, x->n++) {
		x->hook[i].type = hook_type(c->webhooks[i].type);
		x->hook[i].project = c->webhooks[i].project;
		if (secret_read(&x->hook[i].secret, &c->webhooks[i], e) == -1) {
			hooks_free(x);
			return NULL;
		}
	}
	return x;
}

void
hooks_free(struct hooks *x)
{
	size_t i;

	if (x == NULL)
		return;
	for (i = 0; i < x->n; i++)
		secret_free(&x->hook[i].secret);
	free(x->hook);
	free(x);
}

/* --- telling agents ------------------------------------------------------------------ */

/* A push being told of; lives until the last page of agents was read. */
struct telling {
	struct hooks *of;
	struct arena *a;
	char *project, *cursor; /* NULL: all projects */
	struct hook_push push;
};

static void tell_page(struct telling *t);

/* Other processes of ours have agents too: they hear of it from the store. */
static void
noted(void *arg, const Store__Reply *r, struct arena *a)
{
	(void)arg;
	(void)a;
	if (r->code != STORE__CODE__OK)
		log_warn("-", "webhook: the store did not take a note: %s",
		    or_empty(r->error));
}

static void
note(struct telling *t, const char *piped_id, const char *project,
    const Pipecd__Agent__Push *push)
{
	Store__Request q = STORE__REQUEST__INIT;
	Store__Write w = STORE__WRITE__INIT;
	Store__Op op = STORE__OP__INIT, *ops[] = { &op };
	Store__Note n = STORE__NOTE__INIT;
	struct buf v = BUF_INIT, rec = BUF_INIT;
	char sha[SHA256_HEX];

	sha256_hex(sha, push->repo_id, strlen(push->repo_id));
	msg_pack(&v, &push->base);
	n.id = arena_printf(t->a, "push/%s/%.16s", piped_id, sha);
	n.project_id = (char *)(uintptr_t)project;
	n.text = arena_strdup(t->a, piped_id);
	n.value.data = (uint8_t *)v.p;
	n.value.len = v.len;
	msg_pack(&rec, &n.base);
	op.kind = STORE__OP__KIND__PUT;
	op.table = (char *)(uintptr_t) "note";
	op.value.data = (uint8_t *)rec.p;
	op.value.len = rec.len;
	w.ops = ops;
	w.n_ops = 1;
	STORE_ASK(&q, WRITE, write, &w);
	store_send(t->of->api->store, &q, STORE_MS, noted, NULL);
	buf_free(&v);
	buf_free(&rec);
}

static bool
concerns(const struct hook_push *p, const Model__ApplicationGitRepository *r)
{
	size_t i;

	if (*p->branch != '\0' && !empty(r->branch) &&
	    !same(p->branch, r->branch))
		return false;
	for (i = 0; i < p->n_remotes; i++)
		if (remote_same(p->remotes[i], r->remote))
			return true;
	return false;
}

static void
tell_piped(struct telling *t, const Model__Piped *p)
{
	Pipecd__Agent__Push push;
	size_t i;

	for (i = 0; i < p->n_repositories; i++) {
		if (!concerns(&t->push, p->repositories[i]))
			continue;
		pipecd__agent__push__init(&push);
		push.repo_id =
		    (char *)(uintptr_t)or_empty(p->repositories[i]->id);
		push.remotes = (char **)(uintptr_t)t->push.remotes;
		push.n_remotes = t->push.n_remotes;
		push.branch = (char *)(uintptr_t)t->push.branch;
		push.commit = (char *)(uintptr_t)t->push.commit;
		if (t->of->api->conf->api_processes > 1)
			note(t, p->id, p->project_id, &push);
		else
			agents_push(t->of->api->agents, p->id, &push);
	}
}

static void
told(void *arg, const Store__Reply *r, struct arena *a)
{
	struct telling *t = arg;
	Model__Piped *p;
	struct err e;
	size_t i;

	for (i = 0; r->code == STORE__CODE__OK && i < r->n_records; i++) {
		p = (Model__Piped *)msg_unpack(&model__piped__descriptor,
		    r->records[i]->value.data, r->records[i]->value.len, a, 0,
		    &e);
		if (p != NULL && !p->disabled)
			tell_piped(t, p);
	}
	if (r->code != STORE__CODE__OK)
		log_warn("-", "webhook: the store did not answer: %s",
		    or_empty(r->error));
	if (r->code == STORE__CODE__OK && !empty(r->cursor)) {
		t->cursor = arena_strdup(t->a, r->cursor);
		tell_page(t);
		return;
	}
	arena_free(t->a);
}

static void
tell_page(struct telling *t)
{
	Store__Filter f = STORE__FILTER__INIT, *filters[] = { &f };
	Store__Request q = STORE__REQUEST__INIT;
	Store__List l = STORE__LIST__INIT;

	l.table = (char *)(uintptr_t) "piped";
	l.limit = 200;
	l.cursor = t->cursor;
	if (t->project != NULL) {
		f.field = (char *)(uintptr_t) "project_id";
		f.values = &t->project;
		f.n_values = 1;
		l.filters = filters;
		l.n_filters = 1;
	}
	STORE_ASK(&q, LIST, list, &l);
	store_send(t->of->api->store, &q, STORE_MS, told, t);
}

static void
tell(struct hooks *x, const char *project, const struct hook_push *p)
{
	struct arena *a = arena_new();
	struct telling *t = arena_new_of(a, struct telling);
	size_t i;

	t->of = x;
	t->a = a;
	t->project = arena_strdup(a, project);
	t->push.n_remotes = p->n_remotes;
	for (i = 0; i < p->n_remotes; i++)
		t->push.remotes[i] = arena_strdup(a, p->remotes[i]);
	t->push.branch = arena_strdup(a, p->branch);
	t->push.commit = arena_strdup(a, p->commit);
	tell_page(t);
}

/* --- what another process was told ----------------------------------------------------- */

static void
note_got(void *arg, const Store__Reply *r, struct arena *a)
{
	struct hooks *x = arg;
	Pipecd__Agent__Push *push;
	Store__Note *n;
	struct err e;

	if (r->code != STORE__CODE__OK || r->n_records != 1)
		return;
	n = (Store__Note *)msg_unpack(&store__note__descriptor,
	    r->records[0]->value.data, r->records[0]->value.len, a, 0, &e);
	if (n == NULL)
		return;
	push =
	    (Pipecd__Agent__Push *)msg_unpack(&pipecd__agent__push__descriptor,
		n->value.data, n->value.len, a, 0, &e);
	if (push != NULL)
		agents_push(x->api->agents, or_empty(n->text), push);
}

void
hooks_note(struct hooks *x, const char *note_id)
{
	char *ids[] = { (char *)(uintptr_t)note_id };
	Store__Request q = STORE__REQUEST__INIT;
	Store__Get g = STORE__GET__INIT;

	if (!str_prefix(note_id, "push/") || agents_count(x->api->agents) == 0)
		return;
	g.table = (char *)(uintptr_t) "note";
	g.ids = ids;
	g.n_ids = 1;
	STORE_ASK(&q, GET, get, &g);
	store_send(x->api->store, &q, STORE_MS, note_got, x);
}

/* --- the request ------------------------------------------------------------------------ */

static void PRINTF(4, 5) answer(
    struct hooks *x, struct http_call *h, int status, const char *fmt, ...)
{
	char text[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	metrics_http(x->api->metrics, "POST", "/webhook", status, 0);
	http_reply_text(h, status, "%s\n", text);
}

void
hooks_call(struct hooks *x, struct http_call *h)
{
	enum hook_type t = hook_type(h->path + strlen("/webhook/"));
	const struct hook *k, *end = x->hook + x->n;
	struct hook_headers headers;
	struct hook_push p;
	bool any = false, good = false;
	struct err e;
	int rv = 0;

	for (k = x->hook; k < end; k++)
		any = any || k->type == t;
	if (!any) {
		answer(x, h, 404, "no webhook of this kind is configured");
		return;
	}
	if (strcmp(h->method, "POST") != 0) {
		http_set(h, "allow", "POST");
		answer(x, h, 405, "a webhook is called with POST");
		return;
	}
	headers.event = http_call_header(h, hook_names[t].event);
	headers.signature = http_call_header(h, hook_names[t].signature);
	headers.content_type = http_call_header(h, "content-type");
	for (k = x->hook; k < end; k++) {
		if (k->type != t || !hook_verify(t, &headers, h->body, h->len,
					k->secret.p, k->secret.len))
			continue;
		if (!good)
			rv = hook_read(
			    &p, t, &headers, h->body, h->len, h->a, &e);
		good = true;
		if (rv == 1)
			tell(x, k->project, &p);
	}
	if (!good)
		answer(x, h, 401, "the signature is missing or wrong");
	else if (rv == -1)
		answer(x, h, 400, "%s", e.text);
	else
		answer(
		    x, h, 200, rv == 1 ? "ok" : "this event is none of ours");
}
