/*
 * Is this key right?  What was found right before is answered at once, by its
 * SHA-256; all else asks pipecd-store-key, for bcrypt takes 60 ms of a core.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "front.h"
#include "hash.h"
#include "keys.h"
#include "msg.h"

enum {
	CHECKS_PER_OWNER = 4, /* wrong ones under way count for the lock, too */
	USED_EVERY_MS = 30000
};

/* What a check keeps while bcrypt runs. */
struct checking {
	struct answer w;
	const char *key_id, *project_id, *id;
	const char *key;
	const char **hashes;
	size_t n;
	bool disabled, password, api;
};

static void
end(struct job *j, struct front *f, struct answer *w)
{
	client_answer(j->c, w);
	job_end(f, j);
}

static void
used(struct front *f, const char *id)
{
	if (f->keys_used == NULL)
		f->keys_used = map_new();
	(void)map_put(f->keys_used, id, (void *)(uintptr_t)(uint64_t)wall_s());
	if (f->used.slot == 0)
		loop_timer(f->l, &f->used, loop_now(f->l) + USED_EVERY_MS,
		    (void (*)(void *))(void *)keys_used_flush, f);
}

static void
nothing(struct front *f, struct job *j, const uint8_t *p, size_t n)
{
	(void)p, (void)n;
	job_end(f, j);
}

/* Work for the writer that nobody waits for. */
static void
tell_writer(struct front *f, const Work__Work *q)
{
	struct job *j = job_new(f, NULL, 0, nothing);

	writer_send(f, SAYS_WORK, j->id, NULL, 0, &q->base);
}

void
keys_used_flush(struct front *f)
{
	size_t n = f->keys_used == NULL ? 0 : map_len(f->keys_used), i = 0;
	Work__KeysUsed u;
	Work__Work q;
	const char *id;
	void *at;

	if (n == 0 || f->writer.fd == -1)
		return;
	work__keys_used__init(&u);
	work__work__init(&q);
	u.ids = xcalloc(n, sizeof(*u.ids));
	u.at = xcalloc(n, sizeof(*u.at));
	while (map_next(f->keys_used, &i, &id, &at)) {
		u.ids[u.n_ids++] = (char *)(uintptr_t)id;
		u.at[u.n_at++] = (int64_t)(uintptr_t)at;
	}
	q.what_case = WORK__WORK__WHAT_KEYS_USED;
	q.keys_used = &u;
	tell_writer(f, &q);
	free(u.ids);
	free(u.at);
	map_free(f->keys_used);
	f->keys_used = NULL;
}

/* The key is right: who it is, unless that one is disabled. */
static void
right(struct front *f, const struct checking *k, struct answer *w)
{
	if (k->disabled)
		answer_say(w, STORE__CODE__PERMISSION_DENIED, "%s is disabled",
		    k->key_id);
	else if (k->api)
		used(f, k->id);
}

static void
wrong(struct answer *w)
{
	w->r.n_records = 0;
	answer_say(w, STORE__CODE__UNAUTHENTICATED, "no such key");
}

static void
proved(struct front *f, const struct checking *k, const char *hash)
{
	uint8_t sha[32];
	Work__KeyProved p;
	Work__Proof proof;
	Work__Work q;

	work__key_proved__init(&p);
	work__proof__init(&proof);
	work__work__init(&q);
	key_sha256(sha, k->key);
	proof.hash = (char *)(uintptr_t)hash;
	proof.sha256.data = sha;
	proof.sha256.len = sizeof(sha);
	p.id = (char *)(uintptr_t)k->key_id;
	p.project_id = (char *)(uintptr_t)k->project_id;
	p.proof = &proof;
	q.what_case = WORK__WORK__WHAT_KEY_PROVED;
	q.key_proved = &p;
	tell_writer(f, &q);
}

/* The failure is on the disk: who asks again at once is counted right. */
static void
failure_kept(struct front *f, struct job *j, const uint8_t *p, size_t n)
{
	struct checking *k = j->data;

	(void)p, (void)n;
	end(j, f, &k->w);
}

static void
failed(struct front *f, struct job *j)
{
	struct checking *k = j->data;
	Work__KeyFailed p;
	Work__Work q;

	work__key_failed__init(&p);
	work__work__init(&q);
	p.id = (char *)(uintptr_t)k->key_id;
	p.project_id = (char *)(uintptr_t)k->project_id;
	q.what_case = WORK__WORK__WHAT_KEY_FAILED;
	q.key_failed = &p;
	j->fn = failure_kept;
	writer_send(f, SAYS_WORK, j->id, NULL, 0, &q.base);
}

static void
checked(struct front *f, struct job *j, const uint8_t *p, size_t n)
{
	struct checking *k = j->data;
	Work__Bcrypt *b;
	struct err e;

	arena_reset(f->a);
	b = p == NULL ? NULL
		      : (Work__Bcrypt *)msg_unpack(
			    &work__bcrypt__descriptor, p, n, f->a, 0, &e);
	if (b == NULL) {
		k->w.r.n_records = 0;
		answer_say(&k->w, STORE__CODE__UNAVAILABLE,
		    "the process that checks keys has ended");
	} else if (b->found >= 0 && (size_t)b->found < k->n) {
		/* A password is too short for a plain hash beside it. */
		if (!k->password)
			proved(f, k, k->hashes[b->found]);
		right(f, k, &k->w);
	} else {
		wrong(&k->w);
		explicit_bzero((void *)(uintptr_t)k->key, strlen(k->key));
		failed(f, j);
		return;
	}
	explicit_bzero((void *)(uintptr_t)k->key, strlen(k->key));
	end(j, f, &k->w);
}

static bool
same(const void *a, const void *b, size_t n)
{
	const volatile uint8_t *x = a, *y = b;
	uint8_t d = 0;

	while (n-- > 0)
		d |= *x++ ^ *y++;
	return d == 0;
}

static bool
proof_match(const struct key_owner *o, const Work__Key *k, const char *key)
{
	uint8_t sha[32];
	size_t i, h;

	key_sha256(sha, key);
	for (i = 0; i < k->n_proofs; i++)
		for (h = 0; h < o->n; h++)
			if (k->proofs[i]->sha256.len == sizeof(sha) &&
			    strcmp(k->proofs[i]->hash, o->hashes[h]) == 0 &&
			    same(k->proofs[i]->sha256.data, sha, sizeof(sha)))
				return true;
	return false;
}

/* How many checks of this owner are with bcrypt now. */
static size_t
under_way(struct front *f, const char *key_id)
{
	size_t i, n = 0;

	for (i = 0; i < f->n_jobs; i++)
		if (f->job[i]->fn == checked &&
		    strcmp(((struct checking *)f->job[i]->data)->key_id,
			key_id) == 0)
			n++;
	return n;
}

static void
bcrypt_ask(struct client *c, const Store__Request *q, const struct key_owner *o,
    struct answer *w)
{
	struct front *f = c->f;
	struct arena *a = arena_new();
	struct checking *k = arena_new_of(a, struct checking);
	struct job *j = job_new(f, c, q->id, checked);
	Work__Bcrypt b;
	Store__Record *r;
	size_t i;

	j->a = a;
	j->data = k;
	answer_init(&k->w, q->id, a);
	r = msg_copy(w->r.records[0], a);
	answer_add(&k->w, r);
	k->key_id = arena_strdup(a, o->key_id);
	k->id = arena_strdup(a, o->id);
	k->project_id = arena_strdup(a, table_project(o->b, o->m));
	k->key = arena_strdup(a, q->key_check->key);
	k->hashes = arena_array(a, const char *, o->n + 1);
	for (i = 0; i < o->n; i++)
		k->hashes[i] = arena_strdup(a, o->hashes[i]);
	k->n = o->n;
	k->disabled = o->disabled;
	k->password = q->key_check->kind == STORE__KEY_KIND__ADMIN;
	k->api = q->key_check->kind == STORE__KEY_KIND__API_KEY;
	work__bcrypt__init(&b);
	b.key = q->key_check->key;
	b.hashes = (char **)(uintptr_t)k->hashes;
	b.n_hashes = k->n;
	if (!pool_send(&f->keys, SAYS_BCRYPT, j->id, NULL, 0, &b.base)) {
		answer_say(&k->w, STORE__CODE__RESOURCE_EXHAUSTED,
		    "too many keys are being checked already");
		k->w.r.n_records = 0;
		end(j, f, &k->w);
	}
}

/* 1: answered in *w; 0: for bcrypt. */
static int
check_now(struct front *f, const Store__Request *q, struct key_owner *o,
    struct answer *w, struct err *e)
{
	const char *key = q->key_check->key;
	struct checking right_now = { 0 };
	struct record r = { 0 };
	Store__Record *s;
	Work__Key *k;
	int got;

	if (!front_read(f, e))
		return -1;
	if (*key == '\0' || strlen(key) > KEY_BYTES_MAX ||
	    (got = key_owner(o, f->t, q->key_check, f->a, e)) == 0) {
		wrong(w);
		return 1;
	}
	if (got == -1 || table_get(o->b, o->id, &r, e) != 1 ||
	    (s = record_show(o->b, &r, f->a, e)) == NULL ||
	    key_record(f->t, o->key_id, "", &k, &r, f->a, e) == -1)
		return -1;
	answer_add(w, s);
	if (q->key_check->kind != STORE__KEY_KIND__ADMIN &&
	    proof_match(o, k, key)) {
		right_now.key_id = o->key_id;
		right_now.id = o->id;
		right_now.disabled = o->disabled;
		right_now.api = q->key_check->kind == STORE__KEY_KIND__API_KEY;
		right(f, &right_now, w);
		return 1;
	}
	if (k->until > wall_s() ||
	    under_way(f, o->key_id) >= CHECKS_PER_OWNER) {
		w->r.n_records = 0;
		answer_say(w, STORE__CODE__RESOURCE_EXHAUSTED,
		    "%s: too many wrong keys, try again later", o->key_id);
		return 1;
	}
	return 0;
}

void
key_check(struct client *c, const Store__Request *q)
{
	struct front *f = c->f;
	struct key_owner o;
	struct answer w;
	struct err e;

	answer_init(&w, q->id, f->a);
	switch (check_now(f, q, &o, &w, &e)) {
	case -1:
		w.r.n_records = 0;
		answer_err(&w, STORE__CODE__INTERNAL, &e);
		break;
	case 0:
		bcrypt_ask(c, q, &o, &w);
		return;
	}
	if (w.r.code != STORE__CODE__OK)
		w.r.n_records = 0;
	client_answer(c, &w);
}

/* --- making ---------------------------------------------------------------
 */

struct making {
	struct answer w;
	Store__KeyMake *q;
	char *id, *secret;
};

static void
random_text(char *dst, size_t n, const char *alphabet)
{
	size_t k = strlen(alphabet), i;
	uint8_t b;

	for (i = 0; i < n; i++) {
		do /* without a bias */
			must(getrandom(&b, 1, 0) == 1);
		while (b >= 256 / k * k);
		dst[i] = alphabet[b % k];
	}
	dst[n] = '\0';
}

/* In PipeCD's forms. */
static char *
secret_make(const struct making *m, struct arena *a)
{
	static const char lower[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	char text[64];

	switch (m->q->kind) {
	case STORE__KEY_KIND__PIPED:
		random_text(text, 50, lower);
		return arena_strdup(a, text);
	case STORE__KEY_KIND__API_KEY:
		random_text(text, 32, lower);
		return arena_printf(a, "%s.%s", m->id, text);
	default:
		random_text(text, 30, lower);
		return arena_strdup(a, text);
	}
}

static void
made(struct front *f, struct job *j, const uint8_t *p, size_t n)
{
	struct making *m = j->data;
	Store__Reply *r;
	struct err e;

	if (p == NULL) {
		answer_say(&m->w, STORE__CODE__UNAVAILABLE,
		    "the process that writes has ended");
		end(j, f, &m->w);
		return;
	}
	r = (Store__Reply *)msg_unpack(
	    &store__reply__descriptor, p, n, j->a, 0, &e);
	must(r != NULL);
	r->id = j->client_id;
	if (r->code == STORE__CODE__OK && m->secret != NULL)
		r->key = m->secret;
	m->w.r = *r;
	end(j, f, &m->w);
}

static void
apply(struct front *f, struct job *j, const char *hash)
{
	struct making *m = j->data;
	uint8_t sha[32];
	Work__KeyApply k;
	Work__Work q;

	work__key_apply__init(&k);
	work__work__init(&q);
	k.make = m->q;
	k.id = m->id;
	k.hash = (char *)(uintptr_t)hash;
	if (m->secret != NULL) {
		key_sha256(sha, m->secret);
		k.sha256.data = sha;
		k.sha256.len = sizeof(sha);
	}
	q.what_case = WORK__WORK__WHAT_KEY_APPLY;
	q.key_apply = &k;
	j->fn = made;
	writer_send(f, SAYS_WORK, j->id, NULL, 0, &q.base);
}

static void
hashed(struct front *f, struct job *j, const uint8_t *p, size_t n)
{
	struct making *m = j->data;
	Work__Bcrypt *b;
	struct err e;

	b = p == NULL ? NULL
		      : (Work__Bcrypt *)msg_unpack(
			    &work__bcrypt__descriptor, p, n, j->a, 0, &e);
	if (b != NULL && *b->hash != '\0') {
		apply(f, j, b->hash);
		return;
	}
	answer_say(&m->w, STORE__CODE__UNAVAILABLE,
	    "the process that hashes keys has ended");
	end(j, f, &m->w);
}

static const char *
make_mistake(const Store__KeyMake *q)
{
	if (q->kind > STORE__KEY_KIND__ADMIN)
		return "no such kind of key";
	if (q->kind == STORE__KEY_KIND__API_KEY && q->value.len == 0)
		return "an API key is made with its record";
	if (*q->id == '\0' && q->value.len == 0)
		return "an id is needed";
	if (strlen(q->id) > TABLE_ID_MAX)
		return "the id is longer than 200 bytes";
	if (strlen(q->secret) > KEY_BYTES_MAX)
		return "a secret has at most 72 bytes";
	if (*q->hash != '\0' &&
	    (strlen(q->hash) != 60 || !str_prefix(q->hash, "$2")))
		return "the hash is not of bcrypt";
	if (*q->secret != '\0' && q->kind == STORE__KEY_KIND__API_KEY)
		return "an API key's secret holds its id, it is made here";
	return NULL;
}

/* The id that the record has in it; "" when it has none. */
static const char *
value_id(struct front *f, const Store__KeyMake *q, struct arena *a)
{
	struct table *b = table_find(f->t, key_table(q->kind));
	ProtobufCMessage *m;
	struct err e;

	/* What cannot be read is refused later, where it is put. */
	m = q->value.len == 0 ? NULL
			      : msg_unpack(table_message(b), q->value.data,
				    q->value.len, a, 0, &e);
	return m == NULL ? "" : table_id(b, m);
}

/* The id of a record that is made with its key. */
static char *
make_id(struct front *f, const Store__KeyMake *q, struct arena *a)
{
	const char *there = *q->id != '\0' ? q->id : value_id(f, q, a);
	uint8_t raw[16];
	char h[33], *id;

	if (*there != '\0')
		return arena_strdup(a, there);
	must(getrandom(raw, sizeof(raw), 0) == sizeof(raw));
	raw[6] = (uint8_t)((raw[6] & 0x0f) | 0x40);
	raw[8] = (uint8_t)((raw[8] & 0x3f) | 0x80);
	hex_encode(h, raw, sizeof(raw));
	id = arena_printf(
	    a, "%.8s-%.4s-%.4s-%.4s-%.12s", h, h + 8, h + 12, h + 16, h + 20);
	return id;
}

void
key_make(struct client *c, const Store__Request *q)
{
	const char *mistake = make_mistake(q->key_make);
	struct front *f = c->f;
	struct making *m;
	struct answer w;
	Work__Bcrypt b;
	struct job *j;

	if (mistake != NULL) {
		answer_init(&w, q->id, f->a);
		answer_say(&w, STORE__CODE__INVALID_ARGUMENT, "%s", mistake);
		client_answer(c, &w);
		return;
	}
	j = job_new(f, c, q->id, hashed);
	j->a = arena_new();
	j->data = m = arena_new_of(j->a, struct making);
	answer_init(&m->w, q->id, j->a);
	m->q = msg_copy(q->key_make, j->a);
	m->id = make_id(f, m->q, j->a);
	if (*m->q->hash != '\0') {
		apply(f, j, m->q->hash);
		return;
	}
	m->secret = *m->q->secret != '\0' ? m->q->secret : secret_make(m, j->a);
	work__bcrypt__init(&b);
	b.key = m->secret;
	if (pool_send(&f->keys, SAYS_BCRYPT, j->id, NULL, 0, &b.base))
		return;
	answer_say(&m->w, STORE__CODE__RESOURCE_EXHAUSTED,
	    "too many keys are being checked already");
	end(j, f, &m->w);
}
