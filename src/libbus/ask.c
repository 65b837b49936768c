/* Asks and answers: ids, repetition, time limits, on both sides. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inside.h"

int
bus_ask(struct bus *b, const char *peer, const struct frame *f,
    int64_t timeout_ms, char id[BUS_ID], struct err *e)
{
	struct frame g = *f;
	struct port *p;
	struct ask *q;

	if (b->dir == NULL)
		return err_set(e, RC_PERM, "%s: a filter has nobody to ask %s",
		    b->prog, frame_kind_name(f->kind));
	if (!frame_is_ask(f->kind) || !frame_allowed(f->kind, b->prog, peer))
		return err_set(e, RC_PERM, "%s may not ask %s: %s", b->prog,
		    peer, frame_kind_name(f->kind));
	if ((p = net_find(b, ASKING, peer)) == NULL &&
	    (p = net_port(b, ASKING, peer, e)) == NULL)
		return -1;
	(void)snprintf(id, BUS_ID, "%016llx%016llx",
	    (unsigned long long)b->salt, (unsigned long long)++b->count);
	g.id = id;
	if (out_line(b, &g, e) == -1)
		return -1;
	q = xcalloc(1, sizeof(*q) + b->out.len);
	memcpy(q->id, id, BUS_ID);
	q->port = p;
	q->timeout_ms = timeout_ms;
	q->end_at = now_ms() + timeout_ms;
	q->retry_at = now_ms() + RETRY_MS;
	q->len = b->out.len;
	memcpy(q->bytes, b->out.p, b->out.len);
	q->next = b->asks;
	b->asks = q;
	net_send(b, p, q->bytes, q->len);
	return 0;
}

int
ask_answered(struct bus *b, const struct frame *f)
{
	struct ask **q, *done;

	if (f->re != NULL && (f->kind == FRAME_ok || f->kind == FRAME_err))
		for (q = &b->asks; *q != NULL; q = &(*q)->next)
			if (strcmp((*q)->id, f->re) == 0) {
				done = *q;
				*q = done->next;
				free(done);
				return 1;
			}
	b->dropped++; /* late, or twice: it was repeated */
	return 0;
}

int64_t
bus_timeout(const struct bus *b)
{
	const struct ask *q;
	int64_t at = INT64_MAX, now;

	for (q = b->asks; q != NULL; q = q->next) {
		if (q->retry_at < at)
			at = q->retry_at;
		if (q->end_at < at)
			at = q->end_at;
	}
	if (at == INT64_MAX)
		return -1;
	now = now_ms();
	return at > now ? at - now : 0;
}

/* No answer in time is an answer too. */
static void
give_up(struct bus *b, const struct ask *q)
{
	Frame__Err err = FRAME__ERR__INIT;
	struct frame f = { .kind = FRAME_err, .re = q->id, .u.err = &err };
	char text[128];

	(void)snprintf(text, sizeof(text), "%s: no answer within %lld ms",
	    q->port->peer, (long long)q->timeout_ms);
	err.text = text;
	err.exit = RC_TEMP;
	buf_reset(&b->out);
	frame_write(&b->out, &f);
	queue_put(&b->own, b->out.p, b->out.len);
	bell(b, true);
}

void
bus_tick(struct bus *b)
{
	struct ask **q = &b->asks, *over;
	int64_t now = now_ms();

	while (*q != NULL) {
		if ((*q)->end_at <= now) {
			over = *q;
			*q = over->next;
			give_up(b, over);
			free(over);
			continue;
		}
		if ((*q)->retry_at <= now) {
			(*q)->retry_at = now + RETRY_MS;
			/* What still waits to be sent need not be repeated. */
			if ((*q)->port->out.head == NULL)
				net_send(b, (*q)->port, (*q)->bytes, (*q)->len);
		}
		q = &(*q)->next;
	}
}

static void
work_free(struct bus *b, struct work **at)
{
	struct work *w = *at;

	*at = w->next;
	free(w->id);
	free(w->answer);
	free(w);
	b->nwork--;
}

/*
 * A repeated ask is not handed out again: its answer is repeated, or it is
 * still being worked on.  So a slow answer costs its work once.
 */
int
ask_taken(struct bus *b, struct port *p, const struct frame *f)
{
	struct work **at, *w;
	size_t answered = 0, bytes = 0, n = 0;

	if (f->id == NULL) {
		b->dropped++; /* nobody could match the answer */
		return 0;
	}
	for (at = &b->works; (w = *at) != NULL; at = &w->next) {
		if (w->port != p || strcmp(w->id, f->id) != 0)
			continue;
		if (w->answer != NULL)
			net_send(b, p, w->answer->bytes, w->answer->len);
		return 0;
	}
	w = xcalloc(1, sizeof(*w));
	w->id = xstrdup(f->id);
	w->port = p;
	w->next = b->works;
	b->works = w;
	b->nwork++;
	for (at = &b->works; *at != NULL;) { /* newest first */
		if ((*at)->answer != NULL) {
			answered++;
			bytes += (*at)->answer->len;
		}
		if (++n > WORK_MAX ||
		    ((*at)->answer != NULL &&
			(answered > ANSWER_MAX || bytes > ANSWER_BYTES)))
			work_free(b, at);
		else
			at = &(*at)->next;
	}
	return 1;
}

int
bus_answer(struct bus *b, const char *re, const struct frame *f, struct err *e)
{
	struct frame g = *f;
	struct work *w;

	g.re = re;
	if (out_line(b, &g, e) == -1)
		return -1;
	if (b->dir == NULL)
		return write_all(STDOUT_FILENO, b->out.p, b->out.len) == 0
			   ? 0
			   : err_sys(e, "stdout");
	for (w = b->works; w != NULL; w = w->next)
		if (w->answer == NULL && strcmp(w->id, re) == 0)
			break;
	if (w == NULL)
		return err_set(e, RC_PERM, "no ask has the id %.40s", re);
	w->answer = xcalloc(1, sizeof(*w->answer) + b->out.len);
	w->answer->len = b->out.len;
	memcpy(w->answer->bytes, b->out.p, b->out.len);
	net_send(b, w->port, w->answer->bytes, w->answer->len);
	return 0;
}

void
ask_free(struct bus *b)
{
	struct ask *q;

	while ((q = b->asks) != NULL) {
		b->asks = q->next;
		free(q);
	}
	while (b->works != NULL)
		work_free(b, &b->works);
}
