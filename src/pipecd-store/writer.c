/*
 * The writer: one process, one transaction at a time.  Whatever has come in
 * while the last one went to the disk is in the next one, and each is answered
 * when that is on the disk.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "daemon.h"
#include "keys.h"
#include "msg.h"

enum {
	BATCH = 256 /* each keeps some 25 changed pages in memory */
};

struct writer {
	struct tables *t;
	struct wire w;
	struct arena *a;
	struct change_list cl;
	struct item {
		int what;
		uint64_t id;
		const uint8_t *p;
		size_t n;
		struct answer answer;
	} * item;
	size_t n;
};

static int
do_work(struct writer *d, struct item *x, struct err *e)
{
	Work__Work *q = (Work__Work *)msg_unpack(
	    &work__work__descriptor, x->p, x->n, d->a, 0, e);

	must(q != NULL);
	switch (q->what_case) {
	case WORK__WORK__WHAT_KEY_APPLY:
		return do_key_apply(d->t, q->key_apply, &d->cl, &x->answer, e);
	case WORK__WORK__WHAT_KEY_PROVED:
		return do_key_proved(d->t, q->key_proved, d->a, e);
	case WORK__WORK__WHAT_KEY_FAILED:
		return do_key_failed(d->t, q->key_failed, d->a, e);
	case WORK__WORK__WHAT_KEYS_USED:
		return do_keys_used(d->t, q->keys_used, d->a, e);
	case WORK__WORK__WHAT_LOG_FOLDED:
		return log_folded(d->t, q->log_folded, e);
	case WORK__WORK__WHAT_LOG_GONE:
		return log_gone(d->t, q->log_gone, e);
	default:
		bug(__FILE__, __LINE__, "work of no kind");
	}
}

static int
do_request(struct writer *d, struct item *x, struct err *e)
{
	Store__Request *q;

	q = (Store__Request *)msg_unpack(
	    &store__request__descriptor, x->p, x->n, d->a, 0, e);
	if (q == NULL) {
		answer_err(&x->answer, STORE__CODE__INVALID_ARGUMENT, e);
		return 0;
	}
	x->answer.r.id = q->id;
	switch (q->ask_case) {
	case STORE__REQUEST__ASK_WRITE:
		return do_write(d->t, q->write, &d->cl, &x->answer, e);
	case STORE__REQUEST__ASK_LOG_APPEND:
		return do_log_append(
		    d->t, q->log_append, &d->cl, &x->answer, e);
	case STORE__REQUEST__ASK_KEY_DROP:
		return do_key_drop(d->t, q->key_drop, &d->cl, &x->answer, e);
	case STORE__REQUEST__ASK_LOG_DELETE:
		return log_drop(d->t, q->log_delete->deployment_id, &d->cl, e);
	default:
		answer_say(&x->answer, STORE__CODE__INVALID_ARGUMENT,
		    "a request of no kind that is known here");
		return 0;
	}
}

/* All of the batch in one transaction; -1: none of it. */
static int
batch_try(struct writer *d, struct err *e)
{
	size_t i;
	int rv = 0;

	arena_reset(d->a);
	memset(&d->cl, 0, sizeof(d->cl));
	d->cl.a = d->a;
	work__done__init(&d->cl.d);
	for (i = 0; i < d->n; i++)
		answer_init(&d->item[i].answer, 0, d->a);
	if (tables_write(d->t, e) == -1)
		return -1;
	for (i = 0; i < d->n && rv == 0; i++)
		rv = d->item[i].what == SAYS_WORK
			 ? do_work(d, &d->item[i], e)
			 : do_request(d, &d->item[i], e);
	return rv == 0 ? tables_commit(d->t, e) : -1;
}

/* The id that a client gave, for an answer that the batch did not make. */
static void
failed(struct writer *d, const struct err *e)
{
	Store__Request *q;
	struct err ignored;
	size_t i;

	for (i = 0; i < d->n; i++) {
		q = d->item[i].what == SAYS_REQUEST
			? (Store__Request *)msg_unpack(
			      &store__request__descriptor, d->item[i].p,
			      d->item[i].n, d->a, 0, &ignored)
			: NULL;
		answer_init(&d->item[i].answer, q == NULL ? 0 : q->id, d->a);
		answer_err(&d->item[i].answer,
		    e->exit == RC_TEMP ? STORE__CODE__RESOURCE_EXHAUSTED
				       : STORE__CODE__INTERNAL,
		    e);
	}
	memset(&d->cl.d, 0, sizeof(d->cl.d));
	work__done__init(&d->cl.d);
}

static void
answers(struct writer *d)
{
	uint8_t head[SAYS_HEAD];
	size_t i;

	if (d->cl.d.n_changes > 0 || d->cl.d.n_completed > 0) {
		says_head(head, SAYS_DONE, 0);
		wire_put(&d->w, head, SAYS_HEAD, &d->cl.d.base);
	}
	for (i = 0; i < d->n; i++) {
		says_head(head, d->item[i].what, d->item[i].id);
		wire_put(&d->w, head, SAYS_HEAD, &d->item[i].answer.r.base);
	}
}

/* Answer all of the batch, in one transaction or in one for each. */
static void
batch(struct writer *d)
{
	struct item *all = d->item;
	size_t n = d->n, i;
	struct err e;

	while (batch_try(d, &e) == -1) {
		if (tables_again(d->t))
			continue;
		log_warn(
		    "-", "commit failed requests=%zu error=\"%s\"", n, e.text);
		if (n > 1 && e.exit == RC_PERM && !tables_broken(d->t)) {
			/* One of them is at fault: not its neighbours. */
			for (i = 0; i < n; i++) {
				d->item = &all[i];
				d->n = 1;
				batch(d);
			}
			d->item = all;
			return;
		}
		failed(d, &e);
		break;
	}
	answers(d);
	d->n = 0;
	if (tables_broken(d->t)) {
		/* Whoever opens it anew may find it well. */
		(void)wire_drain(&d->w);
		err_set(
		    &e, RC_TEMP, "the disk failed, or the store is damaged");
		die(&e);
	}
}

static int
collect(struct writer *d)
{
	struct item *x;
	const uint8_t *p;
	size_t n;

	while (d->n < BATCH && wire_next(&d->w, &p, &n) == 1) {
		x = &d->item[d->n++];
		x->what = says_read(&p, &n, &x->id);
		must(x->what == SAYS_REQUEST || x->what == SAYS_WORK);
		x->p = p, x->n = n;
	}
	return d->n > 0;
}

/* All that is there, up to a limit; false: the front is gone. */
static bool
fill(struct wire *w)
{
	struct pollfd p = { .fd = w->fd, .events = POLLIN };
	int tries;

	for (tries = 0; tries < 64; tries++)
		if (wire_fill(w) != 1)
			return false;
		else if (poll(&p, 1, 0) != 1)
			break;
	return true;
}

void
writer_main(const char *store_dir)
{
	struct writer d = { .a = arena_new() };
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
	struct err e;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)signal(SIGTERM, SIG_IGN); /* the front says when: it closes */
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	d.t = tables_open(table_rows, n_table_rows, store_dir,
	    TABLES_CREATE | TABLES_UPGRADE, &e);
	if (d.t == NULL)
		die(&e);
	wire_init(&d.w, STDIN_FILENO);
	d.item = xcalloc(BATCH, sizeof(*d.item));
	/* An empty Done says that the store is open. */
	{
		uint8_t head[SAYS_HEAD];

		says_head(head, SAYS_DONE, 0);
		wire_put(&d.w, head, SAYS_HEAD, NULL);
	}
	for (;;) {
		if (wire_drain(&d.w) == -1)
			break;
		(void)poll_idle(&p, 1, -1);
		if (!fill(&d.w))
			break;
		while (collect(&d))
			batch(&d);
	}
	tables_close(d.t);
	wire_free(&d.w);
	arena_free(d.a);
	free(d.item);
	exit(RC_OK);
}
