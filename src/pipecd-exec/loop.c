#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "exec.h"

enum {
	PFD_SIGNAL,
	PFD_BUS,
	PFD_LAUNCHER,
	PFD_SOCKET,
	PFD_CO_IN,
	PFD_CO_OUT,
	PFD_CLIENT,
	PFD_PROC = PFD_CLIENT + CLIENTS_MAX, /* three each */
	BURST = 256,			     /* frames read in one turn */
	WAIT_MAX = 1024 * 1024, /* records kept while the disk is full */
};

int64_t
up_ms(void)
{
	struct timespec ts;

	must(clock_gettime(CLOCK_BOOTTIME, &ts) == 0);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* --- records and what is said --------------------------------------------- */

void
tell(struct exec *x, const struct frame *f)
{
	if (x->n_told == x->cap_told) {
		x->cap_told = x->cap_told * 2 + 64;
		x->told = xrealloc(x->told, x->cap_told * sizeof(*x->told));
	}
	x->told[x->n_told++] = (struct told){ .f = *f, .client = -1 };
}

void
client_answer(struct exec *x, int serial, const struct frame *f)
{
	tell(x, f);
	x->told[x->n_told - 1].client = serial;
}

void
dirty_add(struct exec *x, struct deployment *d, bool sync)
{
	d->hold = true;
	d->sync |= sync;
	if (d->queued)
		return;
	d->queued = true;
	if (x->n_dirty == x->cap_dirty) {
		x->cap_dirty = x->cap_dirty * 2 + 64;
		x->dirty = xrealloc(
		    x->dirty, x->cap_dirty * sizeof(struct deployment *));
	}
	x->dirty[x->n_dirty++] = d;
}

static void
keep(struct exec *x, struct deployment *d, const struct frame *f, bool sync)
{
	struct frame said = *f;
	struct err e;

	if (d->s.arena != NULL && journal_apply(&d->s, f, &e) == -1)
		log_warn(d->id, "record left out of the state: %s", e.text);
	dirty_add(x, d, sync);
	/* What it borrows changes before it is said. */
	said = (struct frame){ .kind = f->kind };
	said.u.msg = msg_copy(f->u.msg, x->turn);
	/* These are for the journal; who has to hear them is told so. */
	if (f->kind != FRAME_command && f->kind != FRAME_command_done &&
	    f->kind != FRAME_resume)
		tell(x, &said);
}

void
record(struct exec *x, struct deployment *d, const struct frame *f, bool sync)
{
	journal_add_frame(&d->j, f);
	keep(x, d, f, sync);
}

void
record_line(struct exec *x, struct deployment *d, const struct frame *f,
    const char *line, size_t len, bool sync)
{
	if (f->seq != 0 || f->prev != NULL) /* out of another journal */
		journal_add_frame(&d->j, f);
	else
		journal_add(&d->j, line, len);
	keep(x, d, f, sync);
}

/* --- commit ----------------------------------------------------------------
 */

static void
say(struct exec *x)
{
	struct err e;
	size_t i;

	for (i = 0; i < x->n_told; i++) {
		struct told *t = &x->told[i];

		if (t->client != -1) {
			struct buf b = BUF_INIT;
			int c;

			frame_write(&b, &t->f);
			for (c = 0; c < CLIENTS_MAX; c++)
				if (x->client[c].fd != -1 &&
				    x->client[c].serial == t->client) {
					buf_add(&x->client[c].out, b.p, b.len);
					client_write(&x->client[c]);
				}
			buf_free(&b);
		} else if (!x->reader_gone &&
			   bus_tell(x->bus, &t->f, &e) == -1) {
			log_warn("-",
			    "nobody reads what is said any more: %s; the "
			    "journals have it",
			    e.text);
			x->reader_gone = !x->daemon;
		}
	}
	x->n_told = 0;
}

int
disk_failed(struct exec *x, const struct err *e)
{
	x->disk_at = now_ms() + DISK_RETRY_MS;
	if (!x->disk_said)
		log_error("-",
		    "state directory: %s: no new deployment is taken until "
		    "this works again",
		    e->text);
	x->disk_said = true;
	return 0;
}

static int
disk_sync(struct exec *x, struct err *e)
{
	struct journal **j;
	size_t i, n = 0;
	int also, rv;

	j = arena_array(x->turn, struct journal *, x->n_dirty + 1);
	for (i = 0; i < x->n_dirty; i++)
		if (x->dirty[i]->sync && x->dirty[i]->j.dirty)
			j[n++] = &x->dirty[i]->j;
	/* With many, one sync of the file system has this one in it. */
	also = n >= 4 && !x->apps_lost ? apps_dirty(x->apps) : -1;
	if ((rv = journal_sync(j, n, x->journal_fd, also, e)) == -1) {
		/* What the kernel dropped is written again from our copy. */
		for (i = 0; i < n; i++)
			if (journal_rescue(j[i], x->journal_fd, e) == -1)
				return -1;
		rv = 0;
		x->apps_lost |= also != -1;
	} else if (also != -1)
		apps_synced(x->apps);
	return rv;
}

/*
 * Somebody removed the state directory: what we write is lost, and our locks
 * lock nothing any more.  The stages are ended and we begin anew.
 */
static int
state_gone(struct exec *x, struct err *e)
{
	struct stat st;
	size_t i;

	if (fstat(x->journal_fd, &st) == -1 || st.st_nlink > 0)
		return 0;
	for (i = 0; i < x->n_active; i++)
		proc_kill(x, x->active[i]);
	return err_set(e, RC_TEMP,
	    "%s/journal was removed under us: running stages are ended, start "
	    "again",
	    x->state_dir);
}

int
commit(struct exec *x, struct err *e)
{
	struct deployment *d;
	size_t i, n;

	if (state_gone(x, e) == -1)
		return -1;
	if (x->disk_at != 0 && now_ms() < x->disk_at)
		return 0;
	for (i = 0; i < x->n_dirty; i++)
		if (journal_flush(&x->dirty[i]->j, x->journal_fd, e) == -1)
			return disk_failed(x, e);
	if (apps_flush(x->apps, e) == -1 || disk_sync(x, e) == -1)
		return disk_failed(x, e);
	if (x->disk_at != 0)
		log_info("-", "state directory: works again");
	x->disk_at = 0;
	x->disk_said = false;
	say(x);
	n = x->n_dirty;
	x->n_dirty = 0;
	for (i = 0; i < n; i++) {
		d = x->dirty[i];
		d->hold = d->sync = d->queued = false;
		if (!d->slot) /* a thousand that wait hold no descriptor */
			journal_close(&d->j);
		if (d->phase == PH_ENDED) {
			if (!d->broken)
				finished_add(x, d->id);
			deployment_free(x, d);
		}
	}
	arena_reset(x->turn);
	finished_flush(x, false);
	return 0;
}

/*
 * A journal whose result is in apps.ndjson, durably, becomes read-only: a
 * restart looks only into those that are not.
 */
void
finished_add(struct exec *x, const char *id)
{
	if (x->n_finished == x->cap_finished) {
		x->cap_finished = x->cap_finished * 2 + 64;
		x->finished =
		    xrealloc(x->finished, x->cap_finished * sizeof(char *));
	}
	x->finished[x->n_finished++] = xstrdup(id);
	if (x->apps_at == 0)
		x->apps_at = now_ms() + APPS_LAZY_MS;
}

void
finished_flush(struct exec *x, bool force)
{
	char name[JOURNAL_NAME];
	struct err e;
	size_t i;
	int fd;

	if (x->apps_at == 0 || (!force && now_ms() < x->apps_at))
		return;
	x->apps_at = 0;
	fd = apps_dirty(x->apps);
	/* The kernel says once that it lost something: then all is written anew. */
	if (fd != -1 && (x->apps_lost || fdatasync(fd) == -1)) {
		x->apps_lost = true;
		if (apps_rewrite(x->apps, &e) == -1) {
			x->apps_at = now_ms() + APPS_LAZY_MS;
			return;
		}
		x->apps_lost = false;
	}
	apps_synced(x->apps);
	for (i = 0; i < x->n_finished; i++) {
		if (journal_name(name, x->finished[i], &e) == 0 &&
		    fchmodat(x->journal_fd, name, 0440, 0) == -1)
			log_warn(x->finished[i], "chmod journal/%s: %s", name,
			    strerror(errno));
		free(x->finished[i]);
	}
	x->n_finished = 0;
	if (apps_compact(x->apps, &e) == -1)
		log_warn("-", "%s", e.text);
}

/* --- the loop ---------------------------------------------------------------
 */

static void
soonest(int64_t *at, int64_t t)
{
	if (t != 0 && (*at == 0 || t < *at))
		*at = t;
}

static int
poll_ms(const struct exec *x, bool more)
{
	int64_t at = 0, left, bus = bus_timeout(x->bus);
	const struct resident *r;
	size_t i;

	if (more)
		return 0;
	for (i = 0; i < x->n_active; i++)
		soonest(&at, x->active[i]->wake_at);
	soonest(&at, x->disk_at);
	soonest(&at, x->apps_at);
	soonest(&at, x->sweep_at);
	soonest(&at, x->past_at);
	soonest(&at, x->stop_at);
	soonest(&at, x->fenced_until > now_ms() ? x->fenced_until : 0);
	for (r = x->residents; r != NULL; r = r->next)
		if (r->in != -1 && r->stages == 0)
			soonest(&at, r->idle_at);
	if (x->co.pid != 0)
		soonest(&at, x->co.idle_at);
	soonest(&at, x->co.retry_at);
	if (bus >= 0)
		soonest(&at, now_ms() + bus);
	if (at == 0)
		return -1;
	left = at - now_ms();
	return left < 0 ? 0 : left > INT32_MAX ? INT32_MAX : (int)left;
}

static void
slot_set(struct pollfd *p, int fd, short events)
{
	*p = (struct pollfd){ .fd = fd, .events = events };
}

static size_t
poll_fill(struct exec *x, struct pollfd *p)
{
	bool read_bus = !x->eof && !x->stop && x->disk_at == 0;
	size_t n = PFD_PROC, i;

	slot_set(&p[PFD_BUS], read_bus ? bus_fd(x->bus) : -1, POLLIN);
	slot_set(&p[PFD_LAUNCHER], launcher_fd(x->launcher), POLLIN);
	slot_set(&p[PFD_SOCKET], x->stop ? -1 : x->sock, POLLIN);
	slot_set(&p[PFD_CO_IN], x->co.send.len > 0 ? x->co.in : -1, POLLOUT);
	slot_set(&p[PFD_CO_OUT], x->co.out, POLLIN);
	for (i = 0; i < CLIENTS_MAX; i++) {
		struct client *c = &x->client[i];

		slot_set(&p[PFD_CLIENT + i], c->fd,
		    (short)((c->eof ? 0 : POLLIN) |
			    (c->out.len > 0 ? POLLOUT : 0)));
	}
	for (i = 0; i < x->n_active; i++) {
		struct proc *r = x->active[i]->proc;
		bool full =
		    x->disk_at != 0 && x->active[i]->j.wait.len > WAIT_MAX;

		if (r == NULL)
			continue;
		if (r->read_at != 0 && now_ms() < r->read_at)
			full = true;
		slot_set(&p[n], r->send.len > r->sent ? r->in : -1, POLLOUT);
		slot_set(&p[n + 1], full ? -1 : r->out, POLLIN);
		slot_set(&p[n + 2], r->err, POLLIN);
		n += 3;
	}
	return n;
}

static size_t
poll_residents(const struct exec *x, struct pollfd *p, size_t n)
{
	const struct resident *r;

	for (r = x->residents; r != NULL; r = r->next) {
		slot_set(&p[n++], r->send.len > 0 ? r->in : -1, POLLOUT);
		slot_set(&p[n++], x->disk_at != 0 ? -1 : r->out, POLLIN);
	}
	return n;
}

static void
residents_io(struct exec *x, const struct pollfd *p)
{
	struct resident *r;

	for (r = x->residents; r != NULL; r = r->next, p += 2) {
		if (p[0].fd != -1 && p[0].revents != 0)
			resident_write(r);
		if (p[1].fd != -1 && p[1].revents != 0)
			resident_read(x, r);
	}
}

static bool
bus_read(struct exec *x)
{
	struct arena *a = arena_new();
	const char *line;
	struct frame f;
	struct err e;
	size_t len;
	int i, rv = 0;

	for (i = 0; i < BURST; i++) {
		arena_reset(a);
		rv = bus_next(x->bus, &f, a, &line, &len, &e);
		if (rv == 0)
			break;
		if (rv == 2 || (rv == -1 && !x->daemon)) {
			x->eof = true;
			if (rv == -1) {
				log_error("-",
				    "%s: what came before is run "
				    "to its end",
				    e.text);
				x->input_exit = e.exit;
			}
			break;
		}
		if (rv == -1 || intake_frame(x, &f, line, len, &e) == -1) {
			log_warn("-", "frame left out: %s", e.text);
			x->failed += !x->daemon;
		}
	}
	arena_free(a);
	return i == BURST;
}

static struct deployment *
by_pid(const struct exec *x, pid_t pid)
{
	size_t i;

	for (i = 0; i < x->n_active; i++)
		if (x->active[i]->proc != NULL &&
		    x->active[i]->proc->pid == pid)
			return x->active[i];
	return NULL;
}

static void
children(struct exec *x)
{
	struct deployment *d;
	struct resident *r;
	pid_t pid;
	int status;

	while (launcher_next(x->launcher, &pid, &status) == 1) {
		if (pid == x->co.pid)
			checkout_exited(x, status);
		else if ((r = resident_of(x, pid)) != NULL)
			resident_exited(x, r, status);
		else if ((d = by_pid(x, pid)) != NULL)
			proc_exited(x, d, status);
	}
}

static void
procs_io(
    struct exec *x, const struct pollfd *p, size_t n, struct deployment **order)
{
	size_t i, k;

	for (i = PFD_PROC, k = 0; i < n; i += 3, k++) {
		if (p[i].fd != -1 && p[i].revents != 0)
			proc_send(x, order[k]);
		if (p[i + 2].fd != -1 && p[i + 2].revents != 0)
			proc_errors(x, order[k]);
		if (p[i + 1].fd != -1 && p[i + 1].revents != 0)
			proc_output(x, order[k]);
	}
}

static void
timers(struct exec *x)
{
	int64_t now = now_ms();
	struct deployment *d;
	size_t i;

	for (i = 0; i < x->n_active; i++) {
		d = x->active[i];
		if (d->wake_at == 0 || now < d->wake_at)
			continue;
		d->wake_at = 0;
		if (d->phase == PH_RUN || d->phase == PH_TELL)
			proc_timer(x, d);
		else if (d->phase == PH_TIMER || d->phase == PH_APPROVAL)
			wait_timer(x, d);
		else if (d->phase == PH_CHAIN)
			chain_step(x, d);
	}
	checkout_tick(x);
	residents_tick(x);
	bus_tick(x->bus);
	if (x->sweep_at != 0 && now >= x->sweep_at)
		retention(x);
	if (x->past_at != 0 && now >= x->past_at)
		pasts_tell(x);
}

static void
steps(struct exec *x)
{
	size_t i;

	/* Those that end, or begin to wait, make room for others. */
	do {
		for (i = 0; i < x->n_active; i++)
			step(x, x->active[i]);
	} while (!x->stop && schedule(x));
}

static bool
stopping(struct exec *x)
{
	size_t i;

	for (i = 0; i < x->n_active; i++)
		if (x->active[i]->proc != NULL)
			return now_ms() >= x->stop_at;
	return true;
}

static void
stop_begin(struct exec *x)
{
	size_t i;

	if (x->stop)
		return;
	x->stop = true;
	x->stop_at = now_ms() + STOP_GRACE_MS;
	for (i = 0; i < x->n_active; i++) {
		struct deployment *d = x->active[i];

		if (d->proc != NULL) {
			log_info(d->id, "stop: the stage is asked to end, and "
					"resumed by the next exec");
			proc_stop(x, d, WHY_STOP);
		} else if (d->phase == PH_TIMER || d->phase == PH_APPROVAL)
			stage_process_record(x, d, 0, 0);
	}
}

/* Whether a filter has nothing left to do. */
static bool
idle(const struct exec *x)
{
	size_t i;

	if (x->daemon || !x->eof || x->ready != NULL || x->slot_wait != NULL ||
	    x->disk_at != 0 || x->n_dirty > 0)
		return false;
	for (i = 0; i < x->n_active; i++)
		if (x->active[i]->phase != PH_CHAIN)
			return false;
	return true;
}

/* The end of a filter: what it could not do is said, and remembered. */
static void
finish(struct exec *x)
{
	const char *id;
	size_t i = 0;
	void *v;

	if (!x->daemon)
		chains_save(x);
	while (map_next(x->by_id, &i, &id, &v)) {
		struct deployment *d = v;

		if (x->stop && d->phase != PH_CHAIN)
			x->failed++;
		if (x->stop || d->phase != PH_PENDING || !d->ours)
			continue;
		log_warn(id, "deployment left PENDING: an earlier one of its "
			     "application was unfinished; run the pipe again");
		x->failed++;
	}
	finished_flush(x, true);
}

static void
socket_io(struct exec *x, const struct pollfd *p)
{
	size_t i;

	if (p[PFD_SOCKET].revents != 0)
		socket_accept(x);
	for (i = 0; i < CLIENTS_MAX; i++)
		if (p[PFD_CLIENT + i].fd != -1 &&
		    p[PFD_CLIENT + i].revents != 0)
			client_read(x, &x->client[i]);
}

int
exec_loop(struct exec *x, int signals, struct err *e)
{
	struct pollfd *p = NULL;
	struct deployment **order = NULL;
	size_t n, cap = 0, i, k, procs;
	const struct resident *r;
	bool more = false;
	int sig, rv = -1;

	for (;;) {
		steps(x);
		if (commit(x, e) == -1)
			goto out;
		if (x->n_dirty == 0)
			steps(x); /* what the commit let go */
		if (x->n_dirty > 0 && x->disk_at == 0)
			more = true;
		if ((x->stop && stopping(x)) || (!more && idle(x)))
			break;
		for (k = 0, r = x->residents; r != NULL; r = r->next)
			k += 2;
		if (cap < PFD_PROC + 3 * x->n_active + k) {
			cap = PFD_PROC + 3 * x->n_active * 2 + k;
			p = xrealloc(p, cap * sizeof(*p));
			order = xrealloc(order, cap * sizeof(*order));
		}
		must(p != NULL); /* there are slots without any process */
		procs = poll_fill(x, p);
		n = poll_residents(x, p, procs);
		slot_set(&p[PFD_SIGNAL], signals, POLLIN);
		for (i = k = 0; i < x->n_active; i++)
			if (x->active[i]->proc != NULL)
				order[k++] = x->active[i];
		if (poll_idle(p, n, poll_ms(x, more)) == -1 && errno != EINTR) {
			err_sys(e, "poll");
			goto out;
		}
		while (p[PFD_SIGNAL].revents != 0 &&
		       (sig = signals_next(signals)) != 0)
			if (sig != SIGCHLD)
				stop_begin(x);
		procs_io(x, p, procs, order);
		residents_io(x, p + procs);
		if (p[PFD_CO_OUT].revents != 0)
			checkout_read(x);
		if (p[PFD_CO_IN].revents != 0)
			checkout_write(x);
		children(x);
		if (p[PFD_BUS].fd != -1 && (more || p[PFD_BUS].revents != 0))
			more = bus_read(x);
		else
			more = false;
		socket_io(x, p);
		timers(x);
	}
	finish(x);
	rv = 0;
out:
	free(p);
	free(order);
	return rv;
}
