#include "bus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "inside.h"

void
queue_init(struct queue *q)
{
	q->head = NULL;
	q->tail = &q->head;
	q->bytes = 0;
}

void
queue_put(struct queue *q, const void *s, size_t n)
{
	struct parcel *p = xcalloc(1, sizeof(*p) + n);

	p->len = n;
	memcpy(p->bytes, s, n);
	*q->tail = p;
	q->tail = &p->next;
	q->bytes += n;
}

struct parcel *
queue_take(struct queue *q)
{
	struct parcel *p = q->head;

	if (p == NULL)
		return NULL;
	if ((q->head = p->next) == NULL)
		q->tail = &q->head;
	q->bytes -= p->len;
	return p;
}

/* Make our descriptor readable though no peer said anything, or not. */
void
bell(struct bus *b, bool on)
{
	uint64_t n = 1;

	if (b->rung == on)
		return;
	must((on ? write(b->bell, &n, sizeof(n))
		 : read(b->bell, &n, sizeof(n))) == sizeof(n));
	b->rung = on;
}

struct bus *
bus_open(const char *prog, const char *dir, struct err *e)
{
	struct bus *b = xcalloc(1, sizeof(*b));
	struct epoll_event ev = { .events = EPOLLIN };

	must(strlen(prog) < sizeof(b->prog));
	memcpy(b->prog, prog, strlen(prog) + 1);
	b->dir = xstrdup(dir);
	b->dirfd = -1;
	b->in = b->pass = b->out = (struct buf)BUF_INIT;
	queue_init(&b->own);
	must(getrandom(&b->salt, sizeof(b->salt), 0) == sizeof(b->salt));
	b->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	b->ep = epoll_create1(EPOLL_CLOEXEC);
	if (b->bell == -1 || b->ep == -1 ||
	    epoll_ctl(b->ep, EPOLL_CTL_ADD, b->bell, &ev) == -1)
		err_sys(e, "bus");
	else if ((dir == NULL ? filter_open(b, e) : net_open(b, e)) == 0)
		return b;
	bus_close(b);
	return NULL;
}

void
bus_close(struct bus *b)
{
	struct parcel *p;

	if (b == NULL)
		return;
	if (b->dir != NULL)
		net_close(b);
	ask_free(b);
	while ((p = queue_take(&b->own)) != NULL)
		free(p);
	free(b->mine);
	if (b->bell != -1)
		close(b->bell);
	if (b->ep != -1)
		close(b->ep);
	if (b->dirfd != -1)
		close(b->dirfd);
	buf_free(&b->in);
	buf_free(&b->pass);
	buf_free(&b->out);
	free(b->dir);
	free(b);
}

int
bus_fd(const struct bus *b)
{
	return b->ep;
}

unsigned long
bus_dropped(const struct bus *b)
{
	const struct port *p;
	unsigned long n = b->dropped;

	for (p = b->ports; p != NULL; p = p->next)
		n += p->dropped;
	return n;
}

/* A message of a port: 1 for the caller, 0 dealt with, -1 bad. */
static int
take(struct bus *b, struct port *p, struct frame *f, struct arena *a,
    const char *s, size_t n, struct err *e)
{
	int rv = frame_parse(f, s, n, a, e);

	if (rv == -1)
		return err_wrap(e, "%s", p->peer);
	if (rv == 0) {
		b->dropped++; /* of a newer program; TELL may be lost */
		return 0;
	}
	if (p->kind == ASKING)
		return ask_answered(b, f);
	if (!frame_addressed(f->kind, b->prog) ||
	    !frame_allowed(f->kind, p->peer, b->prog))
		return err_set(e, RC_PERM, "%s may not say %s to %s", p->peer,
		    frame_kind_name(f->kind), b->prog);
	if (p->kind == ASKED)
		return ask_taken(b, p, f);
	return 1;
}

int
bus_next(struct bus *b, struct frame *f, struct arena *a, const char **line,
    size_t *len, struct err *e)
{
	struct port *p;
	const char *s;
	size_t n;
	int rv;

	if (b->dir == NULL)
		return filter_next(b, f, a, line, len, e);
	free(b->mine);
	if ((b->mine = queue_take(&b->own)) != NULL) {
		bell(b, b->own.head != NULL);
		s = b->mine->bytes;
		n = b->mine->len;
		rv = frame_parse(f, s, n, a, e);
	} else {
		net_flush(b);
		do {
			if (net_recv(b, &p, &s, &n) == 0)
				return 0;
			rv = take(b, p, f, a, s, n, e);
		} while (rv == 0);
	}
	if (line != NULL) {
		*line = s;
		*len = n;
	}
	return rv;
}

int
out_line(struct bus *b, const struct frame *f, struct err *e)
{
	buf_reset(&b->out);
	frame_write(&b->out, f);
	if (b->out.len > FRAME_MAX)
		return err_set(e, RC_PERM,
		    "%s: the frame has %zu bytes, more than %d",
		    frame_kind_name(f->kind), b->out.len, FRAME_MAX);
	return 0;
}

/* To the inbox of one peer, where there is one. */
static void
tell_peer(struct bus *b, enum frame_kind k, const char *peer)
{
	struct port *p = net_find(b, PEER, peer);
	struct err e;

	if (strcmp(peer, b->prog) == 0 || !frame_allowed(k, b->prog, peer))
		return;
	if (p == NULL && !net_exists(b, peer)) {
		b->dropped++;
		return;
	}
	if (p == NULL && (p = net_port(b, PEER, peer, &e)) == NULL) {
		log_warn("-", "bus peer=%s error=\"%s\"", peer, e.text);
		b->dropped++;
		return;
	}
	net_send(b, p, b->out.p, b->out.len);
}

int
bus_tell(struct bus *b, const struct frame *f, struct err *e)
{
	const char *s;
	char peer[NAME_MAX_];

	if (out_line(b, f, e) == -1)
		return -1;
	if (b->dir == NULL)
		return write_all(STDOUT_FILENO, b->out.p, b->out.len) == 0
			   ? 0
			   : err_sys(e, "stdout");
	for (s = frame_to(f->kind); net_word(&s, peer);)
		tell_peer(b, f->kind, peer);
	return 0;
}

int
bus_line(struct bus *b, const char *line, size_t len, struct err *e)
{
	struct arena *a;
	struct frame f;
	int rv = 0;

	if (b->dir == NULL)
		return write_all(STDOUT_FILENO, line, len) == 0
			   ? 0
			   : err_sys(e, "stdout");
	a = arena_new();
	if ((rv = frame_parse(&f, line, len, a, e)) == 1)
		rv = bus_tell(b, &f, e);
	arena_free(a);
	return rv;
}
