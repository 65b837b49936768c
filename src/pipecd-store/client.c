/* Connections of clients, and what is said to those who watch. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "front.h"

enum {
	JOBS_MAX = 8192,	    /* of one client, in flight */
	OUT_MAX = 32 * 1024 * 1024, /* not read by it: no more requests */
	WATCH_MAX = 2 * 1024 * 1024 /* no more changes */
};

static void
client_free(void *p)
{
	struct client *c = p;
	size_t i, k;

	for (i = 0; i < c->n_subs; i++) {
		for (k = 0; k < c->subs[i].n; k++)
			free(c->subs[i].tables[k]);
		free(c->subs[i].tables);
		free(c->subs[i].project);
	}
	free(c->subs);
	wire_free(&c->w);
	free(c);
}

static void
client_gone(struct client *c)
{
	struct front *f = c->f;

	if (c->gone)
		return;
	c->gone = true;
	loop_unwatch(f->l, &c->watch);
	loop_soon_not(f->l, &c->flush);
	*c->prev = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	f->n_clients--;
	if (c->jobs == 0)
		loop_free_later(f->l, client_free, c);
	if (f->once)
		front_stop(f, RC_OK);
}

void
client_drop(struct client *c)
{
	client_gone(c);
}

/* Whether it may ask more now. */
static uint32_t
wants(const struct client *c)
{
	uint32_t events = wire_waiting(&c->w) > 0 ? EPOLLOUT : 0;

	if (c->jobs < JOBS_MAX && wire_waiting(&c->w) < OUT_MAX &&
	    !c->f->stopping)
		events |= EPOLLIN;
	return events;
}

static void
lost_say(struct client *c)
{
	Store__Change lost;
	Store__Reply r;
	size_t i;

	c->lost = false;
	store__change__init(&lost);
	lost.lost = true;
	for (i = 0; i < c->n_subs; i++) {
		store__reply__init(&r);
		r.id = c->subs[i].id;
		r.change = &lost;
		wire_put(&c->w, NULL, 0, &r.base);
	}
}

static void
client_flush(void *arg)
{
	struct client *c = arg;

	if (c->gone)
		return;
	if (c->lost && wire_waiting(&c->w) < WATCH_MAX / 2)
		lost_say(c);
	if (wire_drain(&c->w) == -1) {
		client_gone(c);
		return;
	}
	loop_watch_for(c->f->l, &c->watch, wants(c));
}

static void
flush_later(struct client *c)
{
	loop_soon(c->f->l, &c->flush, client_flush, c);
}

void
client_answer(struct client *c, struct answer *w)
{
	if (c == NULL || c->gone)
		return;
	wire_put(&c->w, NULL, 0, &w->r.base);
	flush_later(c);
}

void
client_pass(struct client *c, const uint8_t *p, size_t n)
{
	if (c == NULL || c->gone)
		return;
	wire_put(&c->w, p, n, NULL);
	flush_later(c);
}

void
client_done(struct client *c)
{
	c->jobs--;
	if (c->gone && c->jobs == 0)
		loop_free_later(c->f->l, client_free, c);
	else if (!c->gone)
		flush_later(c);
}

static void
client_event(void *arg, uint32_t events)
{
	struct client *c = arg;
	const uint8_t *p;
	size_t n;
	int got = 0, i;

	if ((events & EPOLLOUT) != 0)
		flush_later(c);
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0)
		return;
	if (wire_fill(&c->w) != 1) {
		client_gone(c);
		return;
	}
	for (i = 0; !c->gone && (got = wire_next(&c->w, &p, &n)) == 1; i++)
		dispatch(c, p, n);
	if (!c->gone && got == -1) {
		log_warn("-", "a client sends more than is allowed");
		client_gone(c);
	}
}

void
client_new(struct front *f, int fd)
{
	struct client *c = xcalloc(1, sizeof(*c));
	struct err e;

	c->f = f;
	wire_init(&c->w, fd);
	if (loop_watch(f->l, &c->watch, fd, EPOLLIN, client_event, c, &e) ==
	    -1) {
		log_warn("-", "%s", e.text);
		client_free(c);
		return;
	}
	c->next = f->clients;
	c->prev = &f->clients;
	if (c->next != NULL)
		c->next->prev = &c->next;
	f->clients = c;
	f->n_clients++;
}

/* --- watching --------------------------------------------------------------
 */

void
watch_add(struct client *c, const Store__Request *q)
{
	struct subscription *s;
	struct answer w;
	size_t i;

	c->subs = xrealloc(c->subs, (c->n_subs + 1) * sizeof(*c->subs));
	s = &c->subs[c->n_subs++];
	s->id = q->id;
	s->n = q->watch->n_tables;
	s->tables = xcalloc(s->n + 1, sizeof(*s->tables));
	for (i = 0; i < s->n; i++)
		s->tables[i] = xstrdup(q->watch->tables[i]);
	s->project = xstrdup(q->watch->project_id);
	answer_init(&w, q->id, c->f->a);
	client_answer(c, &w);
}

static bool
watched(const struct subscription *s, const Store__Change *x)
{
	size_t i;

	if (*s->project != '\0' && strcmp(s->project, x->project_id) != 0)
		return false;
	for (i = 0; i < s->n; i++)
		if (strcmp(s->tables[i], x->table) == 0)
			return true;
	return s->n == 0;
}

static void
client_tell(struct client *c, const Work__Done *d)
{
	Store__Reply r;
	size_t i, k;

	for (i = 0; i < c->n_subs; i++)
		for (k = 0; k < d->n_changes; k++) {
			if (!watched(&c->subs[i], d->changes[k]))
				continue;
			if (c->lost || wire_waiting(&c->w) > WATCH_MAX) {
				c->lost = true;
				continue;
			}
			store__reply__init(&r);
			r.id = c->subs[i].id;
			r.change = d->changes[k];
			wire_put(&c->w, NULL, 0, &r.base);
			flush_later(c);
		}
}

void
clients_tell(struct front *f, const Work__Done *d)
{
	struct client *c;

	for (c = f->clients; c != NULL; c = c->next)
		client_tell(c, d);
}
