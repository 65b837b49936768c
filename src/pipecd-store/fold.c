/*
 * Logs of stages that have ended become objects, one after another; objects of
 * logs that were deleted go.  LMDB says what is to be done, so that a restart
 * forgets nothing.
 */
#include <string.h>

#include "front.h"
#include "msg.h"

enum {
	AGAIN_MS = 5000
};

static void fold_next(struct front *f);

static void
fold_timer(void *arg)
{
	fold_start(arg);
}

/* It stays in LMDB as it is; nothing is lost by waiting. */
static void
fold_later(struct front *f, const char *why)
{
	f->folding = false;
	if (f->stopping)
		return;
	log_warn("-", "a log could not become an object, later again: %s", why);
	loop_timer(
	    f->l, &f->fold_again, loop_now(f->l) + AGAIN_MS, fold_timer, f);
}

static void
done(struct front *f, struct job *j, const uint8_t *p, size_t n)
{
	bool good = p != NULL;

	(void)n;
	job_end(f, j);
	if (good && !f->stopping)
		fold_next(f);
	else
		f->folding = false;
}

static void
stored(struct front *f, struct job *j, const uint8_t *p, size_t n)
{
	Work__Work q;
	Store__Reply *r = NULL;
	struct err e;

	if (p != NULL)
		r = (Store__Reply *)msg_unpack(
		    &store__reply__descriptor, p, n, j->a, 0, &e);
	if (r == NULL || r->code != STORE__CODE__OK) {
		fold_later(f, r == NULL ? "no answer" : r->error);
		job_end(f, j);
		return;
	}
	work__work__init(&q);
	q.what_case = WORK__WORK__WHAT_LOG_FOLDED;
	q.log_folded = j->data;
	j->fn = done;
	writer_send(f, SAYS_WORK, j->id, NULL, 0, &q.base);
}

static void
fold_put(struct front *f, Work__Log *l)
{
	struct job *j = job_new(f, NULL, 0, stored);
	struct buf text = BUF_INIT;
	Store__ObjectPut put;
	Store__Request q;
	struct err e;

	j->a = arena_new();
	j->data = msg_copy(l, j->a);
	store__object_put__init(&put);
	store__request__init(&q);
	put.key = log_object(l, j->a);
	if (log_text(f->t, l, &text, &e) == -1) {
		fold_later(f, e.text);
		job_end(f, j);
	} else {
		put.data.data = (uint8_t *)text.p;
		put.data.len = text.len;
		STORE_ASK(&q, OBJECT_PUT, object_put, &put);
		if (!pool_send(
			&f->objects, SAYS_REQUEST, j->id, NULL, 0, &q.base)) {
			fold_later(f, "too many objects are under way");
			job_end(f, j);
		}
	}
	buf_free(&text);
}

static bool
object_ask(struct front *f, struct job *j, const char *key, bool drop)
{
	Store__ObjectDelete d;
	Store__ObjectGet g;
	Store__Request q;

	store__request__init(&q);
	store__object_get__init(&g);
	store__object_delete__init(&d);
	g.key = d.key = (char *)(uintptr_t)key;
	if (drop)
		STORE_ASK(&q, OBJECT_DELETE, object_delete, &d);
	else
		STORE_ASK(&q, OBJECT_GET, object_get, &g);
	return pool_send(&f->objects, SAYS_REQUEST, j->id, NULL, 0, &q.base);
}

static void
removed(struct front *f, struct job *j, const uint8_t *p, size_t n)
{
	Work__Work q;
	Store__Reply *r = NULL;
	struct err e;

	if (p != NULL)
		r = (Store__Reply *)msg_unpack(
		    &store__reply__descriptor, p, n, j->a, 0, &e);
	if (r == NULL || r->code != STORE__CODE__OK) {
		fold_later(f, r == NULL ? "no answer" : r->error);
		job_end(f, j);
		return;
	}
	work__work__init(&q);
	q.what_case = WORK__WORK__WHAT_LOG_GONE;
	q.log_gone = j->data;
	j->fn = done;
	writer_send(f, SAYS_WORK, j->id, NULL, 0, &q.base);
}

static void
fold_remove(struct front *f, Work__Log *l)
{
	struct job *j = job_new(f, NULL, 0, removed);

	j->a = arena_new();
	j->data = msg_copy(l, j->a);
	if (!object_ask(f, j, log_object(l, j->a), true)) {
		fold_later(f, "too many objects are under way");
		job_end(f, j);
	}
}

static void
fold_next(struct front *f)
{
	struct arena *a = arena_new();
	struct buf key = BUF_INIT;
	Work__Log *l;
	struct err e;
	int got;

	f->folding = true;
	got = front_read(f, &e) ? log_next_fold(f->t, &key, &l, a, &e) : -1;
	if (got == 1) {
		fold_put(f, l);
	} else if (got == 0) {
		buf_reset(&key);
		got = log_next_gone(f->t, &key, &l, a, &e);
		if (got == 1)
			fold_remove(f, l);
	}
	if (got == -1)
		fold_later(f, e.text);
	else if (got == 0)
		f->folding = false;
	buf_free(&key);
	arena_free(a);
}

/* Not with -1, whose configuration may not say where objects are. */
void
fold_start(struct front *f)
{
	if (!f->once && !f->folding && !f->stopping)
		fold_next(f);
}

/* --- reading one that is an object ----------------------------------------
 */

static void
got_object(struct front *f, struct job *j, const uint8_t *p, size_t n)
{
	Store__LogRead *q = j->data;
	Store__Reply *r = NULL;
	struct answer w;
	struct err e;

	arena_reset(f->a);
	answer_init(&w, j->client_id, f->a);
	if (p != NULL)
		r = (Store__Reply *)msg_unpack(
		    &store__reply__descriptor, p, n, f->a, 0, &e);
	if (r == NULL)
		answer_say(&w, STORE__CODE__UNAVAILABLE,
		    "the process that keeps objects has ended");
	else if (r->code != STORE__CODE__OK)
		answer_say(&w, r->code, "%s", r->error);
	else
		log_parse(q, r->data.data, r->data.len, &w);
	client_answer(j->c, &w);
	job_end(f, j);
}

static void
busy(struct front *f, struct job *j)
{
	struct answer w;

	answer_init(&w, j->client_id, f->a);
	answer_say(&w, STORE__CODE__RESOURCE_EXHAUSTED,
	    "too many objects are under way already");
	client_answer(j->c, &w);
	job_end(f, j);
}

void
log_read_object(struct client *c, const Store__Request *q, const Work__Log *l)
{
	struct job *j = job_new(c->f, c, q->id, got_object);

	j->a = arena_new();
	j->data = msg_copy(q->log_read, j->a);
	if (!object_ask(c->f, j, log_object(l, j->a), false))
		busy(c->f, j);
}
