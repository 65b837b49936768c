/*
 * Who calls.  The store says whose key it is; what it said is kept for half a
 * minute and dropped when it tells of a change, so that a key that was revoked
 * ends at once.  Of a key we keep the SHA-256 only.
 */
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "hash.h"

enum {
	ENTRIES = 16384, /* more than these are forgotten all at once */
	PENDING = 4096	 /* keys that are being asked about */
};

struct waiter {
	void (*then)(
	    void *arg, int code, const char *why, const struct caller *who);
	void *arg;
	struct waiter *next;
};

/* A credential, as it was sent. */
struct entry {
	struct auth *auth;
	char sha[SHA256_HEX];
	struct caller who; /* strings owned */
	int code;
	char why[160];
	int64_t until_ms;
	bool pending, stale; /* stale: changed while it was asked about */
	struct waiter *waiters;
	struct entry *next; /* of the same id */
};

struct auth {
	struct api *api;
	struct map *ids; /* id of agent or key -> its entries, a list */
	size_t n, pending;
};

struct auth *
auth_new(struct api *api)
{
	struct auth *a = xcalloc(1, sizeof(*a));

	a->api = api;
	a->ids = map_new();
	return a;
}

static void
entry_free(void *p)
{
	struct entry *e = p;

	free((void *)(uintptr_t)e->who.project);
	free((void *)(uintptr_t)e->who.id);
	free((void *)(uintptr_t)e->who.name);
	free(e);
}

/*
 * Entries that are being asked about stay: somebody waits.  Others may just
 * be looked at further up the stack.
 */
static void
forget_list(struct auth *a, const char *id, struct entry *list)
{
	struct entry *e, *keep = NULL, *next;

	for (e = list; e != NULL; e = next) {
		next = e->next;
		if (e->pending) {
			e->stale = true;
			e->next = keep;
			keep = e;
		} else {
			loop_free_later(a->api->loop, entry_free, e);
			a->n--;
		}
	}
	if (keep == NULL)
		map_del(a->ids, id);
	else
		map_put(a->ids, id, keep);
}

void
auth_forget(struct auth *a, const char *id)
{
	struct entry *e;
	const char *k;
	size_t i;
	void *v;

	if (id != NULL) {
		if ((e = map_get(a->ids, id)) != NULL)
			forget_list(a, id, e);
		return;
	}
	for (i = 0; map_next(a->ids, &i, &k, &v);)
		forget_list(a, k, v);
}

size_t
auth_size(const struct auth *a)
{
	return a->n;
}

void
auth_free(struct auth *a)
{
	struct waiter *w, *next;
	struct entry *e;
	const char *k;
	size_t i;
	void *v;

	if (a == NULL)
		return;
	for (i = 0; map_next(a->ids, &i, &k, &v);)
		for (e = v; e != NULL; e = e->next) {
			for (w = e->waiters; w != NULL; w = next) {
				next = w->next;
				free(w);
			}
			e->waiters = NULL;
			e->pending = false;
		}
	auth_forget(a, NULL);
	map_free(a->ids);
	free(a);
}

/* --- asking ------------------------------------------------------------------ */

/* The words that callers see; which part was wrong is not said. */
static void
verdict(struct entry *e, const Store__Reply *r)
{
	const char *what = e->who.piped ? "piped token" : "API key";

	switch (r->code) {
	case STORE__CODE__UNAUTHENTICATED:
	case STORE__CODE__NOT_FOUND:
	case STORE__CODE__INVALID_ARGUMENT:
		e->code = GRPC_UNAUTHENTICATED;
		snprintf(e->why, sizeof(e->why), "The %s is not valid", what);
		break;
	case STORE__CODE__PERMISSION_DENIED:
		e->code = GRPC_PERMISSION_DENIED;
		snprintf(e->why, sizeof(e->why), "%s",
		    e->who.piped ? "The piped is disabled"
				 : "The API key is disabled");
		break;
	case STORE__CODE__RESOURCE_EXHAUSTED:
		e->code = GRPC_RESOURCE_EXHAUSTED;
		snprintf(e->why, sizeof(e->why),
		    "Too many wrong keys for this id: try again later");
		break;
	default:
		e->code = GRPC_UNAVAILABLE;
		snprintf(e->why, sizeof(e->why),
		    "The store does not answer: %s", or_empty(r->error));
		break;
	}
}

/* What the store knows of who has this key; NULL: it said nonsense. */
static void
learn(struct entry *e, const Store__Reply *r)
{
	struct arena *a = arena_new();
	struct err err;
	void *m = NULL;

	e->code = GRPC_INTERNAL;
	snprintf(e->why, sizeof(e->why), "The store's answer makes no sense");
	if (r->n_records == 1)
		m = msg_unpack(e->who.piped ? &model__piped__descriptor
					    : &model__apikey__descriptor,
		    r->records[0]->value.data, r->records[0]->value.len, a, 0,
		    &err);
	if (m != NULL && e->who.piped) {
		const Model__Piped *p = m;

		if (same(p->project_id, e->who.project) &&
		    same(p->id, e->who.id))
			e->code = GRPC_OK;
		e->who.name = xstrdup(or_empty(p->name));
	} else if (m != NULL) {
		const Model__APIKey *k = m;

		if (same(k->id, e->who.id) && !empty(k->project_id))
			e->code = GRPC_OK;
		e->who.project = xstrdup(or_empty(k->project_id));
		e->who.name = xstrdup(or_empty(k->name));
		e->who.write = k->role == MODEL__APIKEY__ROLE__READ_WRITE;
	}
	arena_free(a);
}

static void
told(void *arg, const Store__Reply *r, struct arena *arena)
{
	struct entry *e = arg, *k;
	struct auth *a = e->auth;
	struct waiter *w, *next;
	bool keep;

	(void)arena;
	if (r->code == STORE__CODE__OK)
		learn(e, r);
	else
		verdict(e, r);
	a->pending--;
	e->pending = false;
	/* Being out of reach is nobody's property. */
	keep = !e->stale && e->code != GRPC_UNAVAILABLE &&
	       e->code != GRPC_INTERNAL && e->code != GRPC_RESOURCE_EXHAUSTED;
	e->until_ms = loop_now(a->api->loop) +
		      (e->code == GRPC_OK ? AUTH_MS : AUTH_BAD_MS);
	w = e->waiters;
	e->waiters = NULL;
	if (!keep) {
		k = map_get(a->ids, e->who.id);
		if (k == e) {
			if (e->next == NULL)
				map_del(a->ids, e->who.id);
			else
				map_put(a->ids, e->who.id, e->next);
		}
		for (; k != NULL; k = k->next)
			if (k->next == e)
				k->next = e->next;
		a->n--;
		loop_free_later(a->api->loop, entry_free, e);
	}
	for (; w != NULL; w = next) {
		next = w->next;
		w->then(w->arg, e->code, e->why, &e->who);
		free(w);
	}
}

static void
inquire(struct auth *a, struct entry *e, const char *key)
{
	Store__Request q = STORE__REQUEST__INIT;
	Store__KeyCheck k = STORE__KEY_CHECK__INIT;

	k.kind =
	    e->who.piped ? STORE__KEY_KIND__PIPED : STORE__KEY_KIND__API_KEY;
	k.project_id = (char *)(uintptr_t)(e->who.piped ? e->who.project : "");
	k.id = (char *)(uintptr_t)(e->who.piped ? e->who.id : "");
	k.key = (char *)(uintptr_t)key;
	STORE_ASK(&q, KEY_CHECK, key_check, &k);
	e->pending = true;
	a->pending++;
	store_send(a->api->store, &q, STORE_MS, told, e);
}

/* --- credentials --------------------------------------------------------------- */

struct credential {
	bool piped;
	char project[128], id[128];
	const char *key;
};

static bool
part(char dst[128], const char *s, const char *end)
{
	size_t n = (size_t)(end - s);

	if (n == 0 || n >= 128)
		return false;
	memcpy(dst, s, n);
	dst[n] = '\0';
	return true;
}

/*
 * "PIPED-TOKEN project,piped,key": exactly three parts, none empty.
 * "API-KEY id.secret".
 */
static bool
credential_read(struct credential *c, const char *s)
{
	const char *p, *q;

	if (strlen(s) > 1024)
		return false;
	if (str_prefix(s, "PIPED-TOKEN ")) {
		s += strlen("PIPED-TOKEN ");
		c->piped = true;
		if ((p = strchr(s, ',')) == NULL ||
		    (q = strchr(p + 1, ',')) == NULL ||
		    strchr(q + 1, ',') != NULL || q[1] == '\0')
			return false;
		c->key = q + 1;
		return part(c->project, s, p) && part(c->id, p + 1, q);
	}
	if (str_prefix(s, "API-KEY ")) {
		s += strlen("API-KEY ");
		c->piped = false;
		c->project[0] = '\0';
		if ((p = strchr(s, '.')) == NULL || p[1] == '\0')
			return false;
		c->key = s;
		return part(c->id, s, p);
	}
	return false;
}

void
auth_check(struct auth *a, const char *authorization,
    void (*then)(
	void *arg, int code, const char *why, const struct caller *who),
    void *arg)
{
	int64_t now = loop_now(a->api->loop);
	struct credential c;
	char sha[SHA256_HEX];
	struct entry *e, *list;
	struct waiter *w;

	if (authorization == NULL) {
		then(arg, GRPC_UNAUTHENTICATED, "There is no authorization",
		    NULL);
		return;
	}
	if (!credential_read(&c, authorization)) {
		then(arg, GRPC_UNAUTHENTICATED,
		    "The authorization is neither \"PIPED-TOKEN "
		    "PROJECT,PIPED,KEY\" nor \"API-KEY KEY\"",
		    NULL);
		return;
	}
	sha256_hex(sha, authorization, strlen(authorization));
	list = map_get(a->ids, c.id);
	for (e = list; e != NULL; e = e->next)
		if (strcmp(e->sha, sha) == 0)
			break;
	if (e != NULL && !e->pending && now < e->until_ms) {
		then(arg, e->code, e->why, &e->who);
		return;
	}
	if (e != NULL && !e->pending) { /* too old: ask again */
		forget_list(a, c.id, list);
		list = map_get(a->ids, c.id);
		e = NULL;
	}
	if (e == NULL) {
		if (a->pending >= PENDING) {
			then(arg, GRPC_UNAVAILABLE, "Too many keys to check",
			    NULL);
			return;
		}
		if (a->n >= ENTRIES) {
			auth_forget(a, NULL);
			list = map_get(a->ids, c.id);
		}
		e = xcalloc(1, sizeof(*e));
		e->auth = a;
		memcpy(e->sha, sha, sizeof(sha));
		e->who.piped = c.piped;
		e->who.id = xstrdup(c.id);
		if (c.piped)
			e->who.project = xstrdup(c.project);
		e->next = list;
		map_put(a->ids, c.id, e);
		a->n++;
		inquire(a, e, c.key);
	}
	w = xcalloc(1, sizeof(*w));
	w->then = then;
	w->arg = arg;
	w->next = e->waiters;
	e->waiters = w;
}
