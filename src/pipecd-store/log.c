/*
 * Logs of stages.  In the plain map "log", where X is the stage (of the
 * deployment, SHA-256 cut to 16 bytes; of the stage, the same; the retry):
 *
 *	S X		work.Log: how it stands
 *	L X index	a LogBlock
 *	F X		it has ended, and is to become an object
 *	G X		work.Log: it is deleted, and its object is to go
 *
 * A line is there once, whatever is repeated, for its index is in its key.
 * Folding puts the object first and takes the lines away after: at any instant
 * at least one of the two is whole, and doing it twice is the same.
 */
#include <string.h>

#include "daemon.h"
#include "hash.h"
#include "json.h"
#include "msg.h"

enum {
	KEY_STAGE = 37,
	KEY_DEPLOYMENT = 17,
	PAGE = 3 * 1024 * 1024
};

static void
half_sha(uint8_t dst[16], const char *s)
{
	uint8_t raw[SHA256_DIGEST_LENGTH];
	SHA2_CTX c;

	SHA256Init(&c);
	SHA256Update(&c, (const uint8_t *)s, strlen(s));
	SHA256Final(raw, &c);
	memcpy(dst, raw, 16);
}

static void
big_endian(uint8_t *p, uint64_t v, int n)
{
	while (n-- > 0) {
		p[n] = (uint8_t)(v & 255);
		v >>= 8;
	}
}

static void
key_make(uint8_t k[LOG_KEY], char what, const char *deployment,
    const char *stage, int32_t retry)
{
	k[0] = (uint8_t)what;
	half_sha(k + 1, deployment);
	half_sha(k + 17, stage);
	big_endian(k + 33, (uint32_t)retry, 4);
	memset(k + KEY_STAGE, 0, 8);
}

static void
key_index(uint8_t k[LOG_KEY], int64_t index)
{
	big_endian(k + KEY_STAGE, (uint64_t)index ^ UINT64_C(1) << 63, 8);
}

char *
log_object(const Work__Log *l, struct arena *a)
{
	char d[SHA256_HEX], s[SHA256_HEX];

	sha256_hex(d, l->deployment_id, strlen(l->deployment_id));
	sha256_hex(s, l->stage_id, strlen(l->stage_id));
	return arena_printf(
	    a, "log/%.32s/%.32s/%d.ndjson", d, s, l->retried_count);
}

/* 1; 0 a stage that has said nothing; -1. */
static int
state_get(struct tables *t, uint8_t k[LOG_KEY], Work__Log **l, struct arena *a,
    struct err *e)
{
	const void *v;
	size_t n;
	int got;

	k[0] = 'S';
	got = plain_get(tables_plain(t, "log"), k, KEY_STAGE, &v, &n, e);
	if (got != 1)
		return got;
	*l = (Work__Log *)msg_unpack(&work__log__descriptor, v, n, a, 0, e);
	return *l == NULL ? -1 : 1;
}

static int
pack_put(struct plain *p, const uint8_t *k, size_t kn,
    const ProtobufCMessage *m, bool fresh, struct err *e)
{
	struct buf b = BUF_INIT;
	int rv;

	msg_pack(&b, m);
	rv = plain_put(p, k, kn, b.p, b.len, fresh, e);
	buf_free(&b);
	return rv;
}

void
change_log(struct change_list *cl, const Work__Log *l, bool completed)
{
	Store__Change *c = arena_new_of(cl->a, Store__Change);
	Store__Change **grown;
	Work__Log **logs;

	store__change__init(c);
	c->table = arena_strdup(cl->a, "log");
	c->id = arena_strdup(cl->a, l->deployment_id);
	c->project_id = arena_strdup(cl->a, l->project_id);
	if (cl->d.n_changes == cl->changes_cap) {
		cl->changes_cap =
		    cl->changes_cap == 0 ? 16 : cl->changes_cap * 2;
		grown = arena_array(cl->a, Store__Change *, cl->changes_cap);
		if (cl->d.n_changes > 0)
			memcpy(grown, cl->d.changes,
			    cl->d.n_changes * sizeof(*grown));
		cl->d.changes = grown;
	}
	cl->d.changes[cl->d.n_changes++] = c;
	if (!completed)
		return;
	if (cl->d.n_completed == cl->completed_cap) {
		cl->completed_cap =
		    cl->completed_cap == 0 ? 16 : cl->completed_cap * 2;
		logs = arena_array(cl->a, Work__Log *, cl->completed_cap);
		if (cl->d.n_completed > 0)
			memcpy(logs, cl->d.completed,
			    cl->d.n_completed * sizeof(*logs));
		cl->d.completed = logs;
	}
	cl->d.completed[cl->d.n_completed++] = msg_copy(l, cl->a);
}

/* The line that says why there are no more. */
static int
cut(struct plain *p, uint8_t k[LOG_KEY], Work__Log *l, int64_t index,
    int64_t now, struct err *e)
{
	Model__LogBlock b;
	char text[] = "The log is longer than 8 MiB; the rest of it was left "
		      "out.\n";

	model__log_block__init(&b);
	b.index = index;
	b.log = text;
	b.severity = MODEL__LOG_SEVERITY__ERROR;
	b.created_at = now;
	l->cut = true;
	key_index(k, index);
	return pack_put(p, k, LOG_KEY, &b.base, true, e) == -1 ? -1 : 0;
}

/* What a line takes in the object, or a little more. */
static int64_t
line_size(const Model__LogBlock *b)
{
	const unsigned char *s = (const unsigned char *)b->log;
	int64_t n = 128;

	for (; *s != '\0'; s++)
		n += *s < ' ' ? 6 : *s == '"' || *s == '\\' ? 2 : 1;
	return n;
}

static int
lines_add(struct plain *p, uint8_t k[LOG_KEY], Work__Log *l,
    const Store__LogAppend *q, int64_t now, struct err *e)
{
	const Model__LogBlock *b;
	int64_t n;
	size_t i;
	int got;

	k[0] = 'L';
	for (i = 0; i < q->n_blocks && !l->cut; i++) {
		b = q->blocks[i];
		n = line_size(b);
		if (l->bytes + n > LOG_BYTES_MAX)
			return cut(p, k, l, b->index, now, e);
		key_index(k, b->index);
		if ((got = pack_put(p, k, LOG_KEY, &b->base, true, e)) == -1)
			return -1;
		if (got == 1) {
			l->lines++;
			l->bytes += n;
		}
	}
	return 0;
}

int
do_log_append(struct tables *t, const Store__LogAppend *q,
    struct change_list *cl, struct answer *w, struct err *e)
{
	struct plain *p = tables_plain(t, "log");
	uint8_t k[LOG_KEY];
	Work__Log *l = NULL, fresh;
	int got;

	if (*q->deployment_id == '\0' || *q->stage_id == '\0') {
		answer_say(w, STORE__CODE__INVALID_ARGUMENT,
		    "log: a deployment_id and a stage_id are needed");
		return 0;
	}
	key_make(k, 'S', q->deployment_id, q->stage_id, q->retried_count);
	if ((got = state_get(t, k, &l, w->a, e)) == -1)
		return -1;
	k[0] = 'G';
	if (plain_del(p, k, KEY_STAGE, e) == -1)
		return -1; /* what is written anew is not to go */
	if (got == 0) {
		work__log__init(&fresh);
		l = &fresh;
		l->deployment_id = q->deployment_id;
		l->stage_id = q->stage_id;
		l->retried_count = q->retried_count;
		l->project_id = q->project_id;
	}
	must(l != NULL);
	if (l->completed) {
		answer_say(w, STORE__CODE__FAILED_PRECONDITION,
		    "deployment %s stage %s: its log has ended",
		    q->deployment_id, q->stage_id);
		return 0;
	}
	if (lines_add(p, k, l, q, wall_s(), e) == -1)
		return -1;
	l->updated_at = wall_s();
	l->completed = q->completed;
	k[0] = 'S';
	if (pack_put(p, k, KEY_STAGE, &l->base, false, e) == -1)
		return -1;
	k[0] = 'F';
	if (q->completed && plain_put(p, k, KEY_STAGE, "", 0, false, e) == -1)
		return -1;
	change_log(cl, l, q->completed);
	return 0;
}

static void
block_add(struct answer *w, Model__LogBlock *b, size_t *cap)
{
	Model__LogBlock **grown;

	if (w->r.n_blocks == *cap) {
		*cap = *cap == 0 ? 64 : *cap * 2;
		grown = arena_array(w->a, Model__LogBlock *, *cap);
		if (w->r.n_blocks > 0)
			memcpy(
			    grown, w->r.blocks, w->r.n_blocks * sizeof(*grown));
		w->r.blocks = grown;
	}
	w->r.blocks[w->r.n_blocks++] = b;
}

/* Whether one more would be too many; then the log goes on after them. */
static bool
full(const Store__LogRead *q, const struct answer *w, size_t size)
{
	return size > PAGE || (q->limit > 0 && w->r.n_blocks == q->limit);
}

int
do_log_read(
    struct tables *t, const Store__LogRead *q, Work__Log *l, struct answer *w)
{
	struct plain *p = tables_plain(t, "log");
	uint8_t k[LOG_KEY + 1];
	const void *key, *v;
	size_t keyn, n, cap = 0, size = 0, kn = LOG_KEY;
	Model__LogBlock *b;
	Work__Log *state = NULL;
	struct err e;
	int got;

	key_make(k, 'S', q->deployment_id, q->stage_id, q->retried_count);
	if ((got = state_get(t, k, &state, w->a, &e)) == 0) {
		answer_say(w, STORE__CODE__NOT_FOUND,
		    "deployment %s stage %s: no log", q->deployment_id,
		    q->stage_id);
		return 1;
	}
	if (got == 1 && state->folded) {
		*l = *state;
		return 0;
	}
	k[0] = 'L';
	key_index(k, q->from_index);
	while (got == 1 && (got = plain_seek(p, k, kn, KEY_STAGE, &key, &keyn,
				&v, &n, &e)) == 1) {
		if (full(q, w, size))
			return 1;
		b = (Model__LogBlock *)msg_unpack(
		    &model__log_block__descriptor, v, n, w->a, 0, &e);
		if (b == NULL) {
			got = -1;
			break;
		}
		block_add(w, b, &cap);
		size += n;
		memcpy(k, key, LOG_KEY);
		k[LOG_KEY] = 0; /* the next possible key */
		kn = LOG_KEY + 1;
	}
	if (got == -1 || state == NULL)
		answer_err(w, STORE__CODE__INTERNAL, &e);
	else
		w->r.completed = state->completed;
	return 1;
}

/* A line for each block, and a last one that says it is whole. */
int
log_text(struct tables *t, const Work__Log *l, struct buf *out, struct err *e)
{
	struct plain *p = tables_plain(t, "log");
	struct arena *a = arena_new();
	uint8_t k[LOG_KEY + 1];
	const void *key, *v;
	size_t keyn, n, kn = LOG_KEY;
	ProtobufCMessage *b;
	int got;

	key_make(k, 'L', l->deployment_id, l->stage_id, l->retried_count);
	while ((got = plain_seek(
		    p, k, kn, KEY_STAGE, &key, &keyn, &v, &n, e)) == 1) {
		b = msg_unpack(&model__log_block__descriptor, v, n, a, 0, e);
		if (b == NULL) {
			got = -1;
			break;
		}
		msg_json(out, b, MSG_API);
		buf_addc(out, '\n');
		arena_reset(a);
		memcpy(k, key, LOG_KEY);
		k[LOG_KEY] = 0;
		kn = LOG_KEY + 1;
	}
	buf_adds(out, "{\"completed\":true}\n");
	arena_free(a);
	return got;
}

void
log_parse(const Store__LogRead *q, const void *p, size_t n, struct answer *w)
{
	const char *s = p, *end = s + n, *nl;
	size_t cap = 0, size = 0;
	Model__LogBlock *b;
	struct err e;

	for (; s < end; s = nl + 1) {
		nl = memchr(s, '\n', (size_t)(end - s));
		if (nl == NULL)
			break;
		if (str_prefix(s, "{\"completed\"")) {
			w->r.completed = true;
			return;
		}
		b = (Model__LogBlock *)msg_from_json(
		    &model__log_block__descriptor, s, (size_t)(nl - s), MSG_API,
		    w->a, 0, &e);
		if (b == NULL) {
			err_wrap(&e, "the log of deployment %s stage %s",
			    q->deployment_id, q->stage_id);
			answer_err(w, STORE__CODE__INTERNAL, &e);
			return;
		}
		if (b->index < q->from_index)
			continue;
		if (full(q, w, size))
			return;
		block_add(w, b, &cap);
		size += (size_t)(nl - s);
	}
	answer_say(w, STORE__CODE__INTERNAL,
	    "the log of deployment %s stage %s is cut off", q->deployment_id,
	    q->stage_id);
}

static int
lines_drop(struct plain *p, uint8_t k[LOG_KEY], struct err *e)
{
	const void *key, *v;
	size_t keyn, n;
	int got;

	k[0] = 'F';
	if (plain_del(p, k, KEY_STAGE, e) == -1)
		return -1;
	k[0] = 'L';
	while ((got = plain_seek(
		    p, k, KEY_STAGE, KEY_STAGE, &key, &keyn, &v, &n, e)) == 1) {
		uint8_t line[LOG_KEY];

		memcpy(line, key, LOG_KEY);
		if (plain_del(p, line, LOG_KEY, e) == -1)
			return -1;
	}
	return got;
}

/* Its object is there.  Who was deleted meanwhile has an object too many. */
int
log_folded(struct tables *t, const Work__Log *l, struct err *e)
{
	struct plain *p = tables_plain(t, "log");
	struct arena *a = arena_new();
	uint8_t k[LOG_KEY];
	Work__Log *state = NULL;
	int got;

	key_make(k, 'S', l->deployment_id, l->stage_id, l->retried_count);
	if ((got = state_get(t, k, &state, a, e)) == 1) {
		state->folded = true;
		got = pack_put(p, k, KEY_STAGE, &state->base, false, e);
	} else if (got == 0) {
		k[0] = 'G';
		got = pack_put(p, k, KEY_STAGE, &l->base, false, e);
	}
	if (got != -1)
		got = lines_drop(p, k, e);
	arena_free(a);
	return got == -1 ? -1 : 0;
}

int
log_gone(struct tables *t, const Work__Log *l, struct err *e)
{
	uint8_t k[LOG_KEY];

	key_make(k, 'G', l->deployment_id, l->stage_id, l->retried_count);
	return plain_del(tables_plain(t, "log"), k, KEY_STAGE, e);
}

int
log_drop(struct tables *t, const char *deployment, struct change_list *cl,
    struct err *e)
{
	struct plain *p = tables_plain(t, "log");
	struct buf key = BUF_INIT;
	uint8_t k[LOG_KEY];
	Work__Log *l;
	int got;

	while ((got = log_next(t, deployment, &key, &l, cl->a, e)) == 1) {
		key_make(
		    k, 'G', l->deployment_id, l->stage_id, l->retried_count);
		if (l->completed &&
		    pack_put(p, k, KEY_STAGE, &l->base, false, e) == -1)
			got = -1;
		k[0] = 'S';
		if (got == -1 || plain_del(p, k, KEY_STAGE, e) == -1 ||
		    lines_drop(p, k, e) == -1) {
			got = -1;
			break;
		}
		change_log(cl, l, l->completed);
	}
	buf_free(&key);
	return got;
}

/* The next after *key of those that begin as it does in `prefix` bytes. */
static int
next(struct tables *t, struct buf *key, size_t prefix, Work__Log **l,
    struct arena *a, struct err *e)
{
	const void *k, *v;
	uint8_t at[LOG_KEY];
	size_t kn, n;
	int got;

	got = plain_seek(tables_plain(t, "log"), key->p, key->len, prefix, &k,
	    &kn, &v, &n, e);
	if (got != 1)
		return got;
	buf_reset(key);
	buf_add(key, k, kn);
	buf_addc(key, '\0');
	memset(at, 0, sizeof(at));
	memcpy(at, k, kn < sizeof(at) ? kn : sizeof(at));
	if (n == 0)
		return state_get(t, at, l, a, e);
	*l = (Work__Log *)msg_unpack(&work__log__descriptor, v, n, a, 0, e);
	return *l == NULL ? -1 : 1;
}

int
log_next_fold(struct tables *t, struct buf *key, Work__Log **l, struct arena *a,
    struct err *e)
{
	if (key->len == 0)
		buf_addc(key, 'F');
	return next(t, key, 1, l, a, e);
}

int
log_next(struct tables *t, const char *deployment, struct buf *key,
    Work__Log **l, struct arena *a, struct err *e)
{
	uint8_t k[LOG_KEY];

	if (key->len == 0) {
		key_make(k, 'S', deployment, "", 0);
		buf_add(key, k, KEY_DEPLOYMENT);
	}
	return next(t, key, KEY_DEPLOYMENT, l, a, e);
}

int
log_next_state(struct tables *t, struct buf *key, Work__Log **l,
    struct arena *a, struct err *e)
{
	if (key->len == 0)
		buf_addc(key, 'S');
	return next(t, key, 1, l, a, e);
}

int
log_next_gone(struct tables *t, struct buf *key, Work__Log **l, struct arena *a,
    struct err *e)
{
	if (key->len == 0)
		buf_addc(key, 'G');
	return next(t, key, 1, l, a, e);
}
