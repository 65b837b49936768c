#include "keys.h"

#include <string.h>

#include "hash.h"
#include "model/apikey.pb-c.h"
#include "model/piped.pb-c.h"
#include "model/project.pb-c.h"
#include "msg.h"

void
key_sha256(uint8_t dst[32], const char *key)
{
	SHA2_CTX c;

	SHA256Init(&c);
	SHA256Update(&c, (const uint8_t *)key, strlen(key));
	SHA256Final(dst, &c);
}

const char *
key_table(Store__KeyKind kind)
{
	switch (kind) {
	case STORE__KEY_KIND__PIPED:
		return "piped";
	case STORE__KEY_KIND__API_KEY:
		return "api_key";
	case STORE__KEY_KIND__ADMIN:
		return "project";
	default:
		return NULL;
	}
}

char *
key_id(Store__KeyKind kind, const char *id, struct arena *a)
{
	return arena_printf(a, "%s/%s", key_table(kind), id);
}

/* The record, unpacked: 1; 0 not there, or deleted; -1. */
static int
record_of(struct table *b, const char *id, struct record *r,
    ProtobufCMessage **m, struct arena *a, struct err *e)
{
	void *copy;
	int got = table_get(b, id, r, e);

	if (got != 1 || r->deleted)
		return got == -1 ? -1 : 0;
	copy = arena_alloc(a, r->n + 1);
	memcpy(copy, r->value, r->n);
	r->value = copy;
	*m = msg_unpack(table_message(b), copy, r->n, a, 0, e);
	return *m == NULL ? -1 : 1;
}

static void
hash_add(struct key_owner *o, const char *hash)
{
	if (hash != NULL && *hash != '\0')
		o->hashes[o->n++] = hash;
}

/* Its hashes, and whether it is who the asker says. */
static bool
owner_read(struct key_owner *o, const Store__KeyCheck *q, struct arena *a)
{
	Model__Project *project;
	Model__APIKey *api;
	Model__Piped *piped;
	size_t i;

	switch (q->kind) {
	case STORE__KEY_KIND__PIPED:
		piped = (Model__Piped *)o->m;
		o->hashes = arena_array(a, const char *, piped->n_keys + 1);
		for (i = 0; i < piped->n_keys; i++)
			hash_add(o, piped->keys[i]->hash);
		o->disabled = piped->disabled;
		return strcmp(piped->project_id, q->project_id) == 0;
	case STORE__KEY_KIND__API_KEY:
		api = (Model__APIKey *)o->m;
		o->hashes = arena_array(a, const char *, 1);
		hash_add(o, api->key_hash);
		o->disabled = api->disabled;
		return true;
	default:
		project = (Model__Project *)o->m;
		o->hashes = arena_array(a, const char *, 1);
		o->disabled = project->static_admin_disabled;
		if (project->static_admin == NULL)
			return false;
		hash_add(o, project->static_admin->password_hash);
		return strcmp(project->static_admin->username, q->id) == 0;
	}
}

int
key_owner(struct key_owner *o, struct tables *t, const Store__KeyCheck *q,
    struct arena *a, struct err *e)
{
	const char *table = key_table(q->kind), *id = q->id;
	struct record r;
	int got;

	memset(o, 0, sizeof(*o));
	if (table == NULL)
		return err_set(e, RC_PERM, "key: no such kind");
	if (q->kind == STORE__KEY_KIND__API_KEY)
		id = arena_strndup(a, q->key, strcspn(q->key, "."));
	else if (q->kind == STORE__KEY_KIND__ADMIN)
		id = q->project_id;
	if (*id == '\0' || strlen(id) > TABLE_ID_MAX)
		return 0;
	o->b = table_find(t, table);
	o->id = id;
	o->key_id = key_id(q->kind, id, a);
	if ((got = record_of(o->b, id, &r, &o->m, a, e)) != 1)
		return got;
	o->version = r.version;
	return owner_read(o, q, a) && o->n > 0;
}

int
key_record(struct tables *t, const char *id, const char *project, Work__Key **k,
    struct record *r, struct arena *a, struct err *e)
{
	ProtobufCMessage *m;
	int got = record_of(table_find(t, "key"), id, r, &m, a, e);

	if (got == 1) {
		*k = (Work__Key *)m;
	} else if (got == 0) {
		*k = arena_new_of(a, Work__Key);
		work__key__init(*k);
		(*k)->id = arena_strdup(a, id);
		(*k)->project_id = arena_strdup(a, project);
		r->version = 0;
	}
	return got == -1 ? -1 : 0;
}

/* --- in the writer ---------------------------------------------------------
 */

static int
key_put(struct tables *t, Work__Key *k, const struct record *r, struct arena *a,
    struct err *e)
{
	struct table *b = table_find(t, "key");

	table_stamp(b, &k->base, wall_s(), false);
	return table_put(
	    b, r->version == 0 ? NULL : r, &k->base, false, NULL, a, e);
}

/* Proofs of hashes that are there no more go; this one comes. */
static void
proof_add(Work__Key *k, Work__Proof *p, const char *const *hashes, size_t n,
    struct arena *a)
{
	Work__Proof **kept = arena_array(a, Work__Proof *, k->n_proofs + 1);
	size_t i, j, m = 0;

	for (i = 0; i < k->n_proofs; i++)
		for (j = 0; j < n; j++)
			if (strcmp(k->proofs[i]->hash, hashes[j]) == 0 &&
			    strcmp(k->proofs[i]->hash, p->hash) != 0)
				kept[m++] = k->proofs[i];
	kept[m++] = p;
	k->proofs = kept;
	k->n_proofs = m;
	k->failures = 0;
	k->until = 0;
}

static int
proof_put(struct tables *t, const char *id, const char *project, Work__Proof *p,
    const char *const *hashes, size_t n, struct arena *a, struct err *e)
{
	Work__Key *k;
	struct record r;

	if (key_record(t, id, project, &k, &r, a, e) == -1)
		return -1;
	proof_add(k, p, hashes, n, a);
	return key_put(t, k, &r, a, e);
}

/* The owner of a key id as it is now. */
static int
owner_again(struct key_owner *o, struct tables *t, const char *id,
    struct arena *a, struct err *e)
{
	const char *slash = strchr(id, '/');
	Store__KeyCheck q;
	Store__KeyKind kind;
	struct record r;
	int got;

	memset(o, 0, sizeof(*o));
	store__key_check__init(&q);
	must(slash != NULL);
	for (kind = STORE__KEY_KIND__PIPED; kind <= STORE__KEY_KIND__ADMIN;
	     kind++)
		if (str_prefix(id, key_table(kind)) &&
		    id[strlen(key_table(kind))] == '/')
			q.kind = kind;
	o->b = table_find(t, key_table(q.kind));
	if ((got = record_of(o->b, slash + 1, &r, &o->m, a, e)) == 1)
		(void)owner_read(o, &q, a);
	return got;
}

int
do_key_proved(
    struct tables *t, const Work__KeyProved *q, struct arena *a, struct err *e)
{
	struct key_owner o;
	int got = owner_again(&o, t, q->id, a, e);

	if (got != 1)
		return got;
	return proof_put(
	    t, q->id, q->project_id, q->proof, o.hashes, o.n, a, e);
}

/* Ten wrong ones, then one a minute, two minutes ... up to an hour. */
int
do_key_failed(
    struct tables *t, const Work__KeyFailed *q, struct arena *a, struct err *e)
{
	Work__Key *k;
	struct record r;
	int64_t wait;

	if (key_record(t, q->id, q->project_id, &k, &r, a, e) == -1)
		return -1;
	k->failures++;
	if (k->failures >= FAILURES) {
		wait = k->failures - FAILURES < 6
			   ? 60LL << (k->failures - FAILURES)
			   : 3600;
		k->until = wall_s() + wait;
		log_warn("-", "key locked owner=%s failures=%d for_s=%lld",
		    q->id, k->failures, (long long)wait);
	}
	return key_put(t, k, &r, a, e);
}

/* last_used_at moves nothing in a list: updated_at stays. */
int
do_keys_used(
    struct tables *t, const Work__KeysUsed *q, struct arena *a, struct err *e)
{
	struct table *b = table_find(t, "api_key");
	ProtobufCMessage *m;
	struct record r;
	size_t i;
	int got;

	for (i = 0; i < q->n_ids && i < q->n_at; i++) {
		if ((got = record_of(b, q->ids[i], &r, &m, a, e)) == -1)
			return -1;
		if (got == 0)
			continue;
		((Model__APIKey *)m)->last_used_at = q->at[i];
		if (table_put(b, &r, m, false, NULL, a, e) == -1)
			return -1;
	}
	return 0;
}

/* --- making keys ----------------------------------------------------------- */

struct making {
	const Work__KeyApply *q;
	struct table *b;
	struct record r;
	bool there;
	ProtobufCMessage *m;
	const char *hashes[KEYS_PER_PIPED];
	size_t n;
};

static bool
piped_key(struct making *k, Model__Piped *p, struct answer *w)
{
	Model__PipedKey **keys, *key;
	size_t i;

	if (p->n_keys >= KEYS_PER_PIPED) {
		answer_say(w, STORE__CODE__FAILED_PRECONDITION,
		    "piped %s: it has %zu keys already, drop the old one "
		    "first",
		    p->id, p->n_keys);
		return false;
	}
	keys = arena_array(w->a, Model__PipedKey *, p->n_keys + 1);
	for (i = 0; i < p->n_keys; i++) {
		keys[i] = p->keys[i];
		k->hashes[k->n++] = p->keys[i]->hash;
	}
	key = keys[p->n_keys] = arena_new_of(w->a, Model__PipedKey);
	model__piped_key__init(key);
	key->hash = k->q->hash;
	key->creator = k->q->make->creator;
	key->created_at = wall_s();
	p->keys = keys;
	p->n_keys++;
	return true;
}

static void
admin_key(struct making *k, Model__Project *p, struct answer *w)
{
	if (p->static_admin == NULL) {
		p->static_admin = arena_new_of(w->a, Model__ProjectStaticUser);
		model__project_static_user__init(p->static_admin);
	}
	if (*k->q->make->username != '\0')
		p->static_admin->username = k->q->make->username;
	if (*p->static_admin->username == '\0')
		p->static_admin->username = arena_strdup(w->a, "admin");
	p->static_admin->password_hash = k->q->hash;
	w->r.username = p->static_admin->username;
}

/* The record, there or new; false: answered. */
static bool
making_record(struct making *k, struct answer *w, struct err *e, int *rv)
{
	const Store__KeyMake *q = k->q->make;
	bool fresh = q->value.len > 0;

	*rv = 0;
	if (fresh) {
		k->m = msg_unpack(table_message(k->b), q->value.data,
		    q->value.len, w->a, 0, e);
		if (k->m == NULL) {
			answer_err(w, STORE__CODE__INVALID_ARGUMENT, e);
			return false;
		}
		table_keep(k->b, k->m, NULL);
		table_id_set(k->b, k->m, k->q->id);
	}
	switch (table_get(k->b, k->q->id, &k->r, e)) {
	case -1:
		*rv = -1;
		return false;
	case 1:
		k->there = true;
	}
	if (fresh && !k->there)
		return true;
	if (fresh || !k->there || k->r.deleted) {
		answer_say(w,
		    fresh ? STORE__CODE__ALREADY_EXISTS
			  : STORE__CODE__NOT_FOUND,
		    "%s %s: %s", table_name(k->b), k->q->id,
		    fresh ? "it is there already" : "not there");
		return false;
	}
	*rv = record_of(k->b, k->q->id, &k->r, &k->m, w->a, e);
	return (*rv = *rv == -1 ? -1 : 0) == 0;
}

static int
making_put(struct making *k, struct tables *t, struct change_list *cl,
    struct answer *w, struct err *e)
{
	Store__Record *s;
	struct record r = { .id = k->q->id };
	struct buf packed = BUF_INIT;
	uint64_t version;

	table_stamp(k->b, k->m, wall_s(), !k->there);
	if (table_put(k->b, k->there ? &k->r : NULL, k->m, false, &version,
		w->a, e) == -1)
		return -1;
	change_add(cl, k->b, k->m, version, false);
	msg_pack(&packed, k->m);
	r.version = version;
	r.value = arena_strndup(w->a, packed.p, packed.len);
	r.n = packed.len;
	buf_free(&packed);
	if ((s = record_show(k->b, &r, w->a, e)) == NULL)
		return -1;
	answer_add(w, s);
	(void)t;
	return 0;
}

int
do_key_apply(struct tables *t, const Work__KeyApply *q, struct change_list *cl,
    struct answer *w, struct err *e)
{
	struct making k = { .q = q,
		.b = table_find(t, key_table(q->make->kind)) };
	Work__Proof p;
	int rv;

	if (!making_record(&k, w, e, &rv))
		return rv;
	switch (q->make->kind) {
	case STORE__KEY_KIND__PIPED:
		if (!piped_key(&k, (Model__Piped *)k.m, w))
			return 0;
		break;
	case STORE__KEY_KIND__API_KEY:
		((Model__APIKey *)k.m)->key_hash = q->hash;
		if (*q->make->creator != '\0')
			((Model__APIKey *)k.m)->creator = q->make->creator;
		break;
	default:
		admin_key(&k, (Model__Project *)k.m, w);
	}
	if (making_put(&k, t, cl, w, e) == -1)
		return -1;
	if (q->sha256.len == 0 || q->make->kind == STORE__KEY_KIND__ADMIN)
		return 0;
	work__proof__init(&p);
	p.hash = q->hash;
	p.sha256 = q->sha256;
	return proof_put(t, key_id(q->make->kind, q->id, w->a),
	    table_project(k.b, k.m), &p, k.hashes, k.n, w->a, e);
}

int
do_key_drop(struct tables *t, const Store__KeyDrop *q, struct change_list *cl,
    struct answer *w, struct err *e)
{
	Work__KeyApply none;
	struct making k = { .q = &none, .b = table_find(t, "piped") };
	Model__Piped *p;
	size_t i, newest = 0;
	int got;

	work__key_apply__init(&none);
	none.id = q->id;
	if (*q->id == '\0' || strlen(q->id) > TABLE_ID_MAX)
		got = 0;
	else if ((got = record_of(k.b, q->id, &k.r, &k.m, w->a, e)) == -1)
		return -1;
	if (got == 0) {
		answer_say(
		    w, STORE__CODE__NOT_FOUND, "piped %s: not there", q->id);
		return 0;
	}
	k.there = true;
	p = (Model__Piped *)k.m;
	for (i = 1; i < p->n_keys; i++)
		if (p->keys[i]->created_at >= p->keys[newest]->created_at)
			newest = i;
	if (p->n_keys > 1) {
		p->keys[0] = p->keys[newest];
		p->n_keys = 1;
	}
	return making_put(&k, t, cl, w, e);
}
