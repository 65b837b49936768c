/* The front: its socket, its transactions, its start and its end. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "front.h"

enum {
	CLIENTS_MAX = 256,
	TIDY_MS = 60000,
	DRAIN_MS = 5000,
	OPEN_MS = 600000 /* an upgrade may index a large store anew */
};

void
places_of(struct places *p, const char *state_dir, struct arena *a)
{
	p->state = arena_strdup(a, state_dir);
	p->store = arena_printf(a, "%s/store", state_dir);
	p->objects = arena_printf(a, "%s/objects", state_dir);
	p->run = arena_printf(a, "%s/run", state_dir);
}

/* --- reading --------------------------------------------------------------- */

static void
read_end(void *arg)
{
	struct front *f = arg;

	f->reading = false;
	tables_end(f->t);
}

/*
 * A read transaction for the rest of this turn.  A new one each turn: who got
 * the answer to a write sees it in whatever is asked after.
 */
bool
front_read(struct front *f, struct err *e)
{
	if (f->reading)
		return true;
	if (tables_read(f->t, e) == -1)
		return false;
	f->reading = true;
	loop_soon(f->l, &f->read_end, read_end, f);
	return true;
}

/* --- the socket ------------------------------------------------------------ */

static int
socket_bind(struct front *f, struct err *e)
{
	mode_t old;

	f->dirfd = open(f->places.run, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (f->dirfd == -1)
		return err_sys(e, "%s", f->places.run);
	/* Who may enter the directory may ask: see PRIVILEGES. */
	old = umask(0);
	f->listener = unix_listen(f->dirfd, "store.sock", 64);
	umask(old);
	if (f->listener == -1)
		return err_sys(e, "%s/store.sock", f->places.run);
	return 0;
}

static void
accept_event(void *arg, uint32_t events)
{
	struct front *f = arg;
	int fd;

	(void)events;
	while ((fd = accept4(f->listener, NULL, NULL,
		    SOCK_CLOEXEC | SOCK_NONBLOCK)) != -1) {
		if (f->n_clients >= CLIENTS_MAX) {
			log_warn("-", "more than %d clients", CLIENTS_MAX);
			close(fd);
			continue;
		}
		client_new(f, fd);
	}
}

/* --- end ------------------------------------------------------------------- */

static void
drained(void *arg)
{
	struct front *f = arg;

	loop_stop(f->l);
}

/* What is in hand is finished; what is asked now is not answered. */
static void
drain(void *arg)
{
	struct front *f = arg;
	struct client *c;
	bool busy = f->busy_jobs > 0;

	for (c = f->clients; c != NULL; c = c->next)
		busy = busy || wire_waiting(&c->w) > 0;
	if (!busy || f->writer.fd == -1)
		drained(f);
	else
		loop_timer(f->l, &f->drain, loop_now(f->l) + 10, drain, f);
}

void
front_stop(struct front *f, int code)
{
	if (f->stopping)
		return;
	keys_used_flush(f);
	f->stopping = true;
	f->exit = code;
	if (f->listener != -1)
		loop_unwatch(f->l, &f->listen);
	loop_timer_stop(f->l, &f->fold_again);
	loop_timer(f->l, &f->tidy, loop_now(f->l) + DRAIN_MS, drained, f);
	drain(f);
}

static void
signalled(void *arg, int signo)
{
	struct front *f = arg;

	if (signo == SIGTERM || signo == SIGINT)
		front_stop(f, RC_OK);
}

static void
tidy(void *arg)
{
	struct front *f = arg;
	int n = tables_tidy(f->t);

	if (n > 0)
		log_info("-", "freed the slots of %d dead readers", n);
	loop_timer(f->l, &f->tidy, loop_now(f->l) + TIDY_MS, tidy, f);
}

/* --- start ----------------------------------------------------------------- */

/* Two stores on one directory would be one too many. */
static int
lock_take(struct front *f, struct err *e)
{
	char *path = arena_printf(f->a, "%s/lock", f->places.store);

	f->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (f->lock == -1)
		return err_sys(e, "%s", path);
	if (flock(f->lock, LOCK_EX | LOCK_NB) == -1)
		return err_set(e, RC_TEMP,
		    "%s: another pipecd-store serves this directory",
		    f->places.state);
	return 0;
}

static int
places_make(struct front *f, struct err *e)
{
	const char *path = arena_printf(f->a, "%s/format", f->places.state);
	struct buf b = BUF_INIT;
	int got, rv = -1;

	if (dir_make(f->places.state, 0700, e) == -1 ||
	    (got = file_read(path, 64, &b, e)) == -1)
		goto out;
	if (got == 1 && atol(b.p) != 1) {
		err_set(e, RC_PERM,
		    "%s: \"%.*s\" is a format that this build does not know",
		    path, (int)strcspn(b.p, "\n"), b.p);
		goto out;
	}
	if (got == 0 && file_write(path, "1\n", 2, 0644, true, e) == -1)
		goto out;
	if (dir_make(f->places.store, 0700, e) == 0 &&
	    dir_make(f->places.run, 0700, e) == 0)
		rv = 0;
out:
	buf_free(&b);
	return rv;
}

/* Until the writer has opened the store, and made it if there was none. */
static int
writer_wait(struct front *f, struct err *e)
{
	int64_t until = now_ms() + OPEN_MS;

	while (!f->ready && !f->stopping && now_ms() < until)
		if (loop_turn(f->l, 1000, e) == -1)
			return -1;
	if (f->ready && !f->stopping)
		return 0;
	return err_set(e, f->exit == RC_OK ? RC_TEMP : f->exit,
	    "the writer did not open %s", f->places.store);
}

static int
front_open(struct front *f, struct err *e)
{
	if (places_make(f, e) == -1 || lock_take(f, e) == -1)
		return -1;
	if ((f->l = loop_open(e)) == NULL ||
	    loop_signals(f->l, signalled, f, e) == -1)
		return -1;
	pool_init(&f->keys, f, "pipecd-store-key", 2, false);
	pool_init(&f->objects, f, "pipecd-store-object",
	    strcmp(f->conf->filestore.type, "DIR") == 0 ? 2 : 6, true);
	if (writer_start(f, e) == -1 || writer_wait(f, e) == -1)
		return -1;
	f->t = tables_open(
	    table_rows, n_table_rows, f->places.store, TABLES_READ, e);
	if (f->t == NULL)
		return -1;
	if (f->once) {
		int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);

		if (fd == -1 ||
		    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == -1)
			return err_sys(e, "standard input");
		client_new(f, fd);
		return 0;
	}
	if (socket_bind(f, e) == -1 || loop_watch(f->l, &f->listen, f->listener,
					   EPOLLIN, accept_event, f, e) == -1)
		return -1;
	loop_timer(f->l, &f->tidy, now_ms() + TIDY_MS, tidy, f);
	return 0;
}

static void
front_close(struct front *f)
{
	struct client *c;
	size_t i;

	f->stopping = true;
	if (f->l != NULL) {
		if (f->keys.f != NULL)
			pool_stop(&f->keys);
		if (f->objects.f != NULL)
			pool_stop(&f->objects);
		writer_stop(f);
	}
	while ((c = f->clients) != NULL) {
		c->jobs = 0;
		f->once = false;
		(void)wire_drain(&c->w);
		client_drop(c);
	}
	for (i = 0; i < f->n_jobs; i++) {
		arena_free(f->job[i]->a);
		free(f->job[i]);
	}
	free(f->job);
	if (f->l != NULL)
		loop_close(f->l);
	tables_close(f->t);
	map_free(f->keys_used);
	arena_free(f->a);
	arena_free(f->kept);
}

int
front_main(const struct conf_control *conf, bool once, struct err *e)
{
	struct front f = { .conf = conf,
		.once = once,
		.listener = -1,
		.dirfd = -1,
		.lock = -1,
		.writer = { .fd = -1 } };
	int rv = -1;

	f.a = arena_new();
	f.kept = arena_new();
	places_of(&f.places, conf->state_dir, f.kept);
	if (front_open(&f, e) == -1)
		goto out;
	ready();
	log_at(once ? LOG_DEBUG : LOG_INFO, "-", "serving %s", f.places.state);
	fold_start(&f);
	rv = loop_run(f.l, e);
	if (rv == 0 && f.exit != RC_OK)
		rv = err_set(e, f.exit, "ended, to be started again");
out:
	front_close(&f);
	return rv;
}
