/*
 * Journals, read as they grow and sent in order: of one application one after
 * the other, of several at the same time.  How far a journal was delivered
 * stands in report/cursor/<deployment>; an empty <deployment>.done is left of
 * one that was delivered to its end.
 */
#include <sys/inotify.h>
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "door.h"

enum {
	SCAN_MS = 300000, /* should inotify have missed something */
};

/* --- lines: the journals of one application ---------------------------------
 */

static struct line *
line_get(struct door *d, const char *key)
{
	struct line *l = map_get(d->by_line, key);

	if (l == NULL) {
		l = xcalloc(1, sizeof(*l));
		l->key = xstrdup(key);
		TAILQ_INIT(&l->follows);
		map_put(d->by_line, key, l);
	}
	return l;
}

static void
line_free(struct door *d, struct line *l)
{
	if (l->ready)
		TAILQ_REMOVE(&d->ready, l, next);
	map_del(d->by_line, l->key);
	free(l->key);
	free(l);
}

static void
line_ready(struct door *d, struct line *l)
{
	if (l->ready || l->busy)
		return;
	l->ready = true;
	TAILQ_INSERT_TAIL(&d->ready, l, next);
}

static void
line_add(struct door *d, struct line *l, struct follow *f)
{
	struct follow *at;

	f->line = l;
	TAILQ_FOREACH (at, &l->follows, next) {
		if (at->created_at > f->created_at)
			break;
	}
	if (at != NULL)
		TAILQ_INSERT_BEFORE(at, f, next);
	else
		TAILQ_INSERT_TAIL(&l->follows, f, next);
	line_ready(d, l);
}

/* --- opening one --------------------------------------------------------------
 */

static void
sending_free(struct door *d, struct follow *f)
{
	struct sending *s = f->s;
	struct op *o;

	if (s == NULL)
		return;
	f->s = NULL;
	d->n_open--;
	while ((o = s->ops) != NULL) {
		s->ops = o->next;
		plane_drop(d, &o->call);
		op_free(o);
	}
	journal_reader_close(&s->r);
	arena_free(s->arena);
	arena_free(s->work);
	arena_free(s->log.arena);
	free(s->log.unsent.list);
	free(s->log.unkept.list);
	free(s);
}

static void
follow_free(struct door *d, struct follow *f)
{
	struct line *l = f->line;

	sending_free(d, f);
	if (l != NULL) {
		TAILQ_REMOVE(&l->follows, f, next);
		if (TAILQ_EMPTY(&l->follows) && !l->busy)
			line_free(d, l);
	}
	map_del(d->by_id, f->id);
	free(f);
}

static struct sending *
sending_new(struct door *d, struct follow *f)
{
	struct sending *s = xcalloc(1, sizeof(*s));

	s->end = &s->ops;
	s->arena = arena_new();
	s->work = arena_new();
	s->log.arena = arena_new();
	s->door = d;
	journal_state_init(&s->s, s->arena);
	f->s = s;
	d->n_open++;
	return s;
}

/* Keep few open: a state is some kilobytes, and is read again in no time. */
static void
close_oldest(struct door *d)
{
	struct follow *f, *oldest = NULL;
	const char *id;
	size_t i = 0;
	void *v;

	while (map_next(d->by_id, &i, &id, &v)) {
		f = v;
		if (f->s == NULL || f->s->ops != NULL || f->line == NULL ||
		    f->line->busy)
			continue;
		if (oldest == NULL || f->s->used < oldest->s->used)
			oldest = f;
	}
	if (oldest != NULL)
		sending_free(d, oldest);
}

/*
 * Read what was delivered before, without sending it.  1; 0 when the journal is
 * not the one that the cursor was made for (a power cut took its end).
 */
static int
replay(struct follow *f, struct err *e)
{
	struct sending *s = f->s;
	struct frame fr;
	int rv;

	while (s->r.len < f->offset) {
		arena_reset(s->work);
		if ((rv = journal_next(&s->r, &fr, s->work, e)) == -1)
			return -1;
		if (rv == 2)
			return 0;
		if (rv == 1)
			send_record(f, &fr);
	}
	return s->r.len == f->offset &&
	       (f->offset == 0 ||
		   (s->r.seq == f->seq && strcmp(s->r.prev, f->prev) == 0));
}

static int
sending_open(struct door *d, struct follow *f, struct err *e)
{
	char name[JOURNAL_NAME];
	int fd, rv;

	if (d->n_open >= OPEN_MAX)
		close_oldest(d);
	for (;;) {
		if (journal_name(name, f->id, e) == -1)
			return -1;
		fd =
		    openat(d->journal, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		if (fd == -1)
			return err_sys(e, "journal/%s", name);
		sending_new(d, f);
		if (journal_reader_fd(&f->s->r, fd, f->id, e) == -1)
			return -1;
		f->s->skipping = true;
		if ((rv = replay(f, e)) != 0) {
			f->s->skipping = false;
			if (rv == 1)
				send_again(f);
			return rv;
		}
		log_warn(f->id,
		    "journal is not what it was: it is sent from the "
		    "beginning");
		sending_free(d, f);
		f->offset = f->seq = 0;
	}
}

/* --- sending -------------------------------------------------------------------
 */

static void
follow_give_up(struct door *d, struct follow *f, const char *why)
{
	log_warn(f->id, "journal is not sent: %s", why);
	f->done = true;
	f->dirty = false;
	sending_free(d, f);
}

static void
follow_delivered(struct door *d, struct follow *f)
{
	log_debug(f->id, "journal delivered records=%" PRId64, f->seq);
	cursor_done(d, f);
	follow_free(d, f);
}

/* The record in hand has been delivered. */
static void
advance(struct door *d, struct follow *f)
{
	struct sending *s = f->s;

	if (s->log.unsent.n > 0 || f->offset == s->r.len)
		return;
	f->offset = s->r.len;
	f->seq = s->r.seq;
	memcpy(f->prev, s->r.prev, SHA256_HEX);
	d->delivered++;
	if (f->saved_at == 0)
		f->saved_at = now_ms();
	if (d->cursors_at == 0)
		d->cursors_at = now_ms() + CURSOR_MS;
}

static void
cursors_save(struct door *d, bool all)
{
	const char *id;
	size_t i = 0;
	void *v;

	d->cursors_at = 0;
	while (map_next(d->by_id, &i, &id, &v)) {
		struct follow *f = v;

		if (f->saved_at == 0 || f->done)
			continue;
		if (all || now_ms() - f->saved_at >= CURSOR_MS)
			cursor_save(d, f);
		else if (d->cursors_at == 0)
			d->cursors_at = now_ms() + CURSOR_MS;
	}
}

static void op_done(struct door *d, struct call *c, int code, const char *text,
    const ProtobufCMessage *res, struct arena *a);

static void
op_send(struct door *d, struct follow *f)
{
	struct op *o = f->s->ops;

	o->call.done = op_done;
	o->call.owner = o;
	plane_call(d, &o->call, NULL);
}

/*
 * Read on until there is something to send.  1: there is; 0: nothing now;
 * -1 with *e.
 */
static int
read_on(struct door *d, struct follow *f, struct err *e)
{
	struct sending *s = f->s;
	struct frame fr;
	int rv;

	while (s->ops == NULL && !s->ended) {
		arena_reset(s->work);
		if ((rv = journal_next(&s->r, &fr, s->work, e)) == -1)
			return -1;
		if (rv == 2) {
			if (journal_again(&s->r, e) == -1)
				return -1;
			send_flush(f);
			break;
		}
		if (rv == 1)
			send_record(f, &fr);
		if (s->foreign)
			return 0;
		if (s->ops == NULL)
			advance(d, f);
	}
	return s->ops != NULL;
}

/* Its application, and so its line, from the first record. */
static int
follow_place(struct door *d, struct follow *f, struct err *e)
{
	struct journal_reader r;
	struct arena *a = arena_new();
	const Model__Deployment *m;
	char name[JOURNAL_NAME];
	struct frame fr;
	int fd, rv = -1;

	if (journal_name(name, f->id, e) == -1)
		goto out;
	fd = openat(d->journal, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1) {
		err_sys(e, "journal/%s", name);
		goto out;
	}
	if (journal_reader_fd(&r, fd, f->id, e) == -1)
		goto out;
	rv = journal_next(&r, &fr, a, e);
	if (rv == 1 &&
	    (fr.kind == FRAME_deployment || fr.kind == FRAME_resume)) {
		m = fr.kind == FRAME_resume ? fr.u.resume->deployment
					    : fr.u.deployment->deployment;
		f->created_at = m->created_at;
		line_add(d, line_get(d, m->application_id), f);
	} else if (rv == 2) {
		rv = 0; /* made, and nothing written yet */
	} else if (rv != -1) {
		rv = err_set(e, RC_PERM, "begins with no deployment");
	}
	journal_reader_close(&r);
out:
	arena_free(a);
	return rv;
}

static void line_step(struct door *d, struct line *l);

static void
line_idle(struct door *d, struct line *l)
{
	if (l->busy) {
		l->busy = false;
		d->n_busy--;
	}
	if (TAILQ_EMPTY(&l->follows))
		line_free(d, l);
}

/* Send the next of an application's records: its oldest journal first. */
static void
line_step(struct door *d, struct line *l)
{
	struct follow *f, *after;
	struct err e;
	int rv;

	for (f = TAILQ_FIRST(&l->follows); f != NULL; f = after) {
		after = TAILQ_NEXT(f, next);
		if (!f->dirty || f->done)
			continue;
		if (f->s == NULL && sending_open(d, f, &e) == -1) {
			follow_give_up(d, f, e.text);
			continue;
		}
		must(f->s != NULL);
		f->s->used = ++d->uses;
		f->dirty = false;
		if ((rv = read_on(d, f, &e)) == -1) {
			follow_give_up(d, f, e.text);
			continue;
		}
		if (rv == 1) {
			f->dirty = true;
			if (!l->busy) {
				l->busy = true;
				d->n_busy++;
			}
			op_send(d, f);
			return;
		}
		if (f->s->foreign) {
			log_info(f->id,
			    "journal is of an application that is not "
			    "registered app=%s: not sent",
			    f->s->s.deployment->application_name);
			sending_free(d, f);
			f->done = f->foreign = true;
		} else if (f->s->ended) {
			follow_delivered(d, f);
		}
	}
	line_idle(d, l);
}

static void
op_done(struct door *d, struct call *c, int code, const char *text,
    const ProtobufCMessage *res, struct arena *a)
{
	struct op *o = c->owner;
	struct follow *f = o->f;
	struct sending *s = f->s;
	struct line *l = f->line;

	(void)a;
	must(s->ops == o);
	if ((s->ops = o->next) == NULL)
		s->end = &s->ops;
	if (code == GRPC_NOT_FOUND && o->after == NULL && s->created &&
	    !f->rewound) {
		/* It has lost the deployment: tell it all, once. */
		log_warn(f->id,
		    "the control plane does not know this deployment (%s): "
		    "it is reported from its beginning",
		    text);
		op_free(o);
		f->rewound = true;
		f->offset = f->seq = 0;
		sending_free(d, f);
		f->dirty = true;
		line_step(d, l);
		return;
	}
	if (code != GRPC_OK && code != GRPC_ALREADY_EXISTS && o->after == NULL)
		log_warn(f->id, "%s was refused: %s: %s", c->method,
		    grpc_code_name(code), text);
	if (o->after != NULL)
		o->after(f, code, res);
	op_free(o);
	if (s->ops != NULL) {
		op_send(d, f);
		return;
	}
	advance(d, f);
	line_step(d, l);
	follow_pump(d);
}

void
follow_pump(struct door *d)
{
	struct line *l;

	/* Whose applications they are must be known first, and who listens. */
	if (!d->regs.known || !d->plane.known)
		return;
	while (d->n_busy < LINES_MAX && (l = TAILQ_FIRST(&d->ready)) != NULL) {
		TAILQ_REMOVE(&d->ready, l, next);
		l->ready = false;
		line_step(d, l);
	}
}

bool
follow_idle(const struct door *d)
{
	const char *id;
	size_t i = 0;
	void *v;

	if (d->n_busy > 0 || !TAILQ_EMPTY(&d->ready))
		return false;
	while (map_next(d->by_id, &i, &id, &v))
		if (((struct follow *)v)->dirty)
			return false;
	return true;
}

/* --- what there is ----------------------------------------------------------------
 */

/* The id in "<id>.ndjson": its length, 0 for other files. */
static size_t
id_of(const char *name)
{
	size_t n = strlen(name);

	if (n <= 7 || n - 7 >= sizeof(((struct follow *)0)->id) ||
	    strcmp(name + n - 7, ".ndjson") != 0 || name[0] == '.' ||
	    strcmp(name, "apps.ndjson") == 0)
		return 0;
	return n - 7;
}

/* There is more in it, perhaps all of it. */
static void
news(struct door *d, const char *name, bool replaced)
{
	size_t n = id_of(name);
	struct follow *f;
	char id[64], key[256];
	struct err e;

	if (n == 0)
		return;
	memcpy(id, name, n);
	id[n] = '\0';
	if ((f = map_get(d->by_id, id)) == NULL) {
		f = xcalloc(1, sizeof(*f));
		memcpy(f->id, id, n + 1);
		if (faccessat(d->dir, cursor_name(d, f, ".done"), F_OK, 0) ==
		    0) {
			free(f);
			return;
		}
		map_put(d->by_id, id, f);
		cursor_load(d, f, key);
		if (key[0] != '\0')
			line_add(d, line_get(d, key), f);
	}
	if (f->done)
		return;
	f->dirty = true;
	if (f->line == NULL) {
		if (follow_place(d, f, &e) == -1)
			follow_give_up(d, f, e.text);
		return;
	}
	if (replaced && !f->line->busy)
		sending_free(d, f); /* exec wrote it anew */
	line_ready(d, f->line);
}

static void
gone(struct door *d, const char *name)
{
	size_t n = id_of(name);
	struct follow *f, key = { 0 };

	if (n == 0)
		return;
	memcpy(key.id, name, n);
	if ((f = map_get(d->by_id, key.id)) != NULL &&
	    (f->line == NULL || !f->line->busy)) {
		if (!f->done && f->dirty)
			log_warn(key.id, "journal is gone before it was sent");
		follow_free(d, f);
	}
	(void)unlinkat(d->dir, cursor_name(d, &key, ""), 0);
	(void)unlinkat(d->dir, cursor_name(d, &key, ".done"), 0);
}

static void
notified(void *arg, uint32_t events)
{
	struct door *d = arg;
	char buf[4096] __attribute__((aligned(8)));
	const struct inotify_event *ev;
	ssize_t n, at;

	(void)events;
	while ((n = read(d->notify, buf, sizeof(buf))) > 0) {
		for (at = 0; at < n; at += (ssize_t)sizeof(*ev) + ev->len) {
			ev = (const void *)(buf + at);
			if (ev->mask & IN_Q_OVERFLOW)
				d->scan_at = now_ms();
			if (ev->len == 0)
				continue;
			if (ev->mask & IN_DELETE)
				gone(d, ev->name);
			else
				news(d, ev->name, ev->mask & IN_MOVED_TO);
		}
	}
	arena_reset(d->turn);
	follow_pump(d);
}

static DIR *
dir_of(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd == -1 ? NULL : fdopendir(fd);

	if (fd != -1 && dir == NULL)
		close(fd);
	return dir;
}

/* Cursors of journals that are gone. */
static void
cursors_sweep(struct door *d)
{
	DIR *dir = dir_of(d->dir, "cursor");
	struct dirent *f;
	char name[300];
	size_t n;

	while (dir != NULL && (f = readdir(dir)) != NULL) {
		n = strlen(f->d_name);
		if (f->d_name[0] == '.' || n > 255)
			continue;
		if (n > 5 && strcmp(f->d_name + n - 5, ".done") == 0)
			n -= 5;
		(void)snprintf(
		    name, sizeof(name), "%.*s.ndjson", (int)n, f->d_name);
		if (faccessat(d->journal, name, F_OK, 0) == -1 &&
		    errno == ENOENT)
			(void)unlinkat(dirfd(dir), f->d_name, 0);
	}
	if (dir != NULL)
		closedir(dir);
}

void
follow_scan(struct door *d)
{
	char *path = arena_printf(d->turn, "%s/journal", d->conf->state_dir);
	struct dirent *f;
	DIR *dir;

	d->scan_at = now_ms() + (d->journal == -1 ? 1000 : SCAN_MS);
	if (d->journal == -1) {
		d->journal = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (d->journal == -1)
			return; /* exec makes it */
		if (inotify_add_watch(d->notify, path,
			IN_CREATE | IN_MODIFY | IN_MOVED_TO | IN_DELETE) == -1)
			log_warn("-", "%s: %s", path, strerror(errno));
		cursors_sweep(d);
		d->scan_at = now_ms() + SCAN_MS;
	}
	if ((dir = dir_of(d->journal, ".")) == NULL)
		return;
	while ((f = readdir(dir)) != NULL)
		news(d, f->d_name, false);
	closedir(dir);
	follow_pump(d);
}

bool
follow_has(const struct door *d, const char *id)
{
	char name[JOURNAL_NAME];
	struct err e;

	return d->journal != -1 && journal_name(name, id, &e) == 0 &&
	       faccessat(d->journal, name, F_OK, 0) == 0;
}

void
follow_again(struct door *d, const char *id)
{
	struct follow key = { 0 };
	char name[JOURNAL_NAME];
	struct err e;

	if (strlen(id) >= sizeof(key.id) || journal_name(name, id, &e) == -1 ||
	    map_get(d->by_id, id) != NULL)
		return;
	memcpy(key.id, id, strlen(id) + 1);
	(void)unlinkat(d->dir, cursor_name(d, &key, ".done"), 0);
	news(d, name, false);
	follow_pump(d);
}

void
follow_registered(struct door *d)
{
	const char *id;
	size_t i = 0;
	void *v;

	while (map_next(d->by_id, &i, &id, &v)) {
		struct follow *f = v;

		if (!f->foreign)
			continue;
		f->done = f->foreign = false;
		f->dirty = true;
		line_ready(d, f->line);
	}
	follow_pump(d);
}

void
follow_tick(struct door *d)
{
	if (now_ms() >= d->scan_at)
		follow_scan(d);
	if (d->cursors_at != 0 && now_ms() >= d->cursors_at)
		cursors_save(d, false);
}

int
follow_open(struct door *d, struct err *e)
{
	char *path =
	    arena_printf(d->turn, "%s/report/cursor", d->conf->state_dir);

	TAILQ_INIT(&d->ready);
	d->by_id = map_new();
	d->by_line = map_new();
	d->journal = -1;
	if (dir_make(path, 0700, e) == -1)
		return -1;
	if ((d->notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) == -1)
		return err_sys(e, "inotify");
	return loop_watch(
	    d->loop, &d->notify_watch, d->notify, EPOLLIN, notified, d, e);
}

void
follow_close(struct door *d)
{
	const char *id;
	size_t i = 0;
	void *v;

	if (d->by_id == NULL)
		return;
	cursors_save(d, true);
	while (map_next(d->by_id, &i, &id, &v)) {
		struct follow *f = v;

		if (f->line != NULL)
			f->line->busy = false;
		follow_free(d, f);
	}
	map_free(d->by_id);
	map_free(d->by_line);
	loop_unwatch(d->loop, &d->notify_watch);
	if (d->notify > 0)
		close(d->notify);
	if (d->journal != -1)
		close(d->journal);
}
