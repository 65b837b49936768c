/* One request of a client: answered here, or handed on. */
#include <string.h>

#include "front.h"
#include "msg.h"

/*
 * The kind of a request from its first bytes, so that what is handed on need
 * not be unpacked twice: the id comes first, then the only other field.  0:
 * not written in that order.
 */
static unsigned
peek(const uint8_t *p, size_t n, uint64_t *id)
{
	size_t i = 1;
	unsigned tag, shift;

	*id = 0;
	if (n < 3 || p[0] != 0x08)
		return 0;
	for (shift = 0; i < n && shift < 64; shift += 7) {
		*id |= (uint64_t)(p[i] & 127) << shift;
		if ((p[i++] & 128) == 0)
			break;
	}
	if (i >= n)
		return 0;
	tag = p[i];
	if ((tag & 128) != 0)
		tag = i + 1 < n ? (tag & 127) | (unsigned)p[i + 1] << 7 : 0;
	return (tag & 7) == 2 ? tag >> 3 : 0;
}

/* An answer of another process, as it is. */
static void
pass(struct front *f, struct job *j, const uint8_t *p, size_t n)
{
	struct answer w;

	if (p != NULL) {
		client_pass(j->c, p, n);
	} else {
		answer_init(&w, j->client_id, f->a);
		answer_say(&w, STORE__CODE__UNAVAILABLE,
		    "the process that does this has ended");
		client_answer(j->c, &w);
	}
	job_end(f, j);
}

static void
to_writer(struct client *c, uint64_t id, const uint8_t *p, size_t n)
{
	struct job *j = job_new(c->f, c, id, pass);

	writer_send(c->f, SAYS_REQUEST, j->id, p, n, NULL);
}

/* "log/" is ours; the rest of the name is checked where it becomes a path. */
static bool
objects_allowed(const Store__Request *q)
{
	switch (q->ask_case) {
	case STORE__REQUEST__ASK_OBJECT_PUT:
		return !str_prefix(q->object_put->key, "log/");
	case STORE__REQUEST__ASK_OBJECT_DELETE:
		return !str_prefix(q->object_delete->key, "log/");
	default:
		return true;
	}
}

static void
to_objects(
    struct client *c, const Store__Request *q, const uint8_t *p, size_t n)
{
	struct front *f = c->f;
	struct answer w;
	struct job *j;

	answer_init(&w, q->id, f->a);
	if (!objects_allowed(q)) {
		answer_say(&w, STORE__CODE__INVALID_ARGUMENT,
		    "objects under log/ are the store's own");
		client_answer(c, &w);
		return;
	}
	j = job_new(f, c, q->id, pass);
	if (pool_send(&f->objects, SAYS_REQUEST, j->id, p, n, NULL))
		return;
	answer_say(&w, STORE__CODE__RESOURCE_EXHAUSTED,
	    "too many objects are under way already");
	client_answer(c, &w);
	job_end(f, j);
}

static void
log_read(struct client *c, const Store__Request *q, struct answer *w)
{
	Work__Log l;

	if (do_log_read(c->f->t, q->log_read, &l, w) == 1)
		client_answer(c, w);
	else
		log_read_object(c, q, &l);
}

static void
counters(struct front *f, struct answer *w)
{
	static const struct {
		const char *name;
		size_t off;
	} v[] = {
		{ "requests", offsetof(struct front, requests) },
		{ "clients", offsetof(struct front, n_clients) },
		{ "in_flight", offsetof(struct front, busy_jobs) },
	};
	Store__Number **grown =
	    arena_array(w->a, Store__Number *, w->r.n_numbers + NITEMS(v));
	Store__Number *x;
	size_t i;

	memcpy(grown, w->r.numbers, w->r.n_numbers * sizeof(*grown));
	w->r.numbers = grown;
	for (i = 0; i < NITEMS(v); i++) {
		x = arena_new_of(w->a, Store__Number);
		store__number__init(x);
		x->name = (char *)(uintptr_t)v[i].name;
		memcpy(&x->value, (char *)f + v[i].off, sizeof(x->value));
		w->r.numbers[w->r.n_numbers++] = x;
	}
}

static void
read_only(struct client *c, const Store__Request *q)
{
	struct front *f = c->f;
	struct answer w;
	struct err e;

	answer_init(&w, q->id, f->a);
	if (!front_read(f, &e)) {
		answer_err(&w, STORE__CODE__INTERNAL, &e);
		client_answer(c, &w);
		return;
	}
	switch (q->ask_case) {
	case STORE__REQUEST__ASK_GET:
		do_get(f->t, q->get, &w);
		break;
	case STORE__REQUEST__ASK_LIST:
		do_list(f->t, q->list, &w);
		break;
	case STORE__REQUEST__ASK_LOG_READ:
		log_read(c, q, &w);
		return;
	default:
		do_stat(f->t, &w);
		counters(f, &w);
	}
	client_answer(c, &w);
}

static void
unpacked(struct client *c, const Store__Request *q, const uint8_t *p, size_t n)
{
	struct answer w;

	switch (q->ask_case) {
	case STORE__REQUEST__ASK_GET:
	case STORE__REQUEST__ASK_LIST:
	case STORE__REQUEST__ASK_LOG_READ:
	case STORE__REQUEST__ASK_STAT:
		read_only(c, q);
		break;
	case STORE__REQUEST__ASK_WRITE:
	case STORE__REQUEST__ASK_LOG_APPEND:
	case STORE__REQUEST__ASK_KEY_DROP:
	case STORE__REQUEST__ASK_LOG_DELETE:
		to_writer(c, q->id, p, n);
		break;
	case STORE__REQUEST__ASK_OBJECT_PUT:
	case STORE__REQUEST__ASK_OBJECT_GET:
	case STORE__REQUEST__ASK_OBJECT_LIST:
	case STORE__REQUEST__ASK_OBJECT_DELETE:
		to_objects(c, q, p, n);
		break;
	case STORE__REQUEST__ASK_KEY_CHECK:
		key_check(c, q);
		break;
	case STORE__REQUEST__ASK_KEY_MAKE:
		key_make(c, q);
		break;
	case STORE__REQUEST__ASK_WATCH:
		watch_add(c, q);
		break;
	default:
		answer_init(&w, q->id, c->f->a);
		answer_say(&w, STORE__CODE__INVALID_ARGUMENT,
		    "a request of no kind that is known here");
		client_answer(c, &w);
	}
}

void
dispatch(struct client *c, const uint8_t *p, size_t n)
{
	struct front *f = c->f;
	Store__Request *q;
	struct answer w;
	struct err e;
	uint64_t id;

	f->requests++;
	arena_reset(f->a);
	switch (peek(p, n, &id)) {
	case STORE__REQUEST__ASK_WRITE:
	case STORE__REQUEST__ASK_LOG_APPEND:
		to_writer(c, id, p, n);
		return;
	}
	q = (Store__Request *)msg_unpack(
	    &store__request__descriptor, p, n, f->a, 0, &e);
	if (q != NULL) {
		unpacked(c, q, p, n);
		return;
	}
	answer_init(&w, id, f->a);
	answer_err(&w, STORE__CODE__INVALID_ARGUMENT, &e);
	client_answer(c, &w);
}
