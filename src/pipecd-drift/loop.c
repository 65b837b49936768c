#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "drift.h"

enum {
	PFD_SIGNAL,
	PFD_BUS,
	PFD_LAUNCHER,
	PFD__N,
	PFD_MAX = PFD__N + 64,
	SWEEP_MS = 3600000,
};

static int
take(struct drift *d, const struct frame *f, const char *line, size_t len,
    struct err *e)
{
	switch (f->kind) {
	case FRAME_app:
		/* In a pipe, who reads our states wants the names too. */
		if (d->once && bus_tell(d->bus, f, e) == -1)
			return -1;
		return on_app(d, f->u.app, line, len, e);
	case FRAME_app_invalid:
		if (d->once && bus_tell(d->bus, f, e) == -1)
			return -1;
		return on_app_invalid(d, f->u.app_invalid, e);
	case FRAME_past:
		return on_past(d, f->u.past, e);
	default:
		return 0;
	}
}

/* All frames that are there now: 0; 2: the input is over. */
static int
take_all(struct drift *d, struct err *e)
{
	struct frame f;
	const char *line;
	size_t len;
	int n;

	for (;;) {
		arena_reset(d->work);
		n = bus_next(d->bus, &f, d->work, &line, &len, e);
		if (n == 1)
			n = take(d, &f, line, len, e);
		else if (n == 0 || n == 2)
			return n;
		if (n == -1 && d->once)
			return -1;
		/* One bad frame of a peer is no reason to go. */
		if (n == -1)
			log_warn("-", "%s", e->text);
	}
}

static bool
stopped(int signals)
{
	int sig;

	while ((sig = signals_next(signals)) != 0)
		if (sig == SIGTERM || sig == SIGINT || sig == SIGHUP)
			return true;
	return false;
}

static int
sooner(int a, int64_t b)
{
	if (b < 0)
		b = 0;
	if (b > 60000)
		b = 60000;
	return a == -1 || b < a ? (int)b : a;
}

int
drift_loop(struct drift *d, int signals, struct err *e)
{
	struct pollfd pfd[PFD_MAX];
	int64_t sweep_ms = now_ms() + SWEEP_MS;
	bool over = false;
	int wait, n;
	size_t procs;

	for (;;) {
		if (!over && (n = take_all(d, e)) == -1)
			return -1;
		else if (!over)
			over = n == 2;
		arena_reset(d->work);
		/* In a pipe all applications are known when it ends. */
		if ((!d->once || over) && apps_turn(d, e) == -1)
			return -1;
		procs_dispatch(d);
		wait = procs_tick(d);
		procs_dispatch(d);
		if (over && d->n_jobs == 0 && d->due_ms == INT64_MAX &&
		    d->procs == NULL)
			return 0;
		if (!d->once && now_ms() >= sweep_ms) {
			if (objects_sweep(d, e) == -1)
				log_warn("-", "%s", e->text);
			sweep_ms = now_ms() + SWEEP_MS;
		}
		if (d->due_ms != INT64_MAX && (!d->once || over))
			wait = sooner(wait, d->due_ms - now_ms());
		if (bus_timeout(d->bus) >= 0)
			wait = sooner(wait, bus_timeout(d->bus));
		pfd[PFD_SIGNAL] =
		    (struct pollfd){ .fd = signals, .events = POLLIN };
		pfd[PFD_BUS] =
		    (struct pollfd){ .fd = over ? -1 : bus_fd(d->bus),
			    .events = POLLIN };
		pfd[PFD_LAUNCHER] =
		    (struct pollfd){ .fd = launcher_fd(d->launcher),
			    .events = POLLIN };
		procs = procs_poll(d, pfd + PFD__N, PFD_MAX - PFD__N);
		if (poll_idle(pfd, PFD__N + procs, wait) == -1 &&
		    errno != EINTR)
			return err_sys(e, "poll");
		if (stopped(signals))
			return 0;
		bus_tick(d->bus);
		procs_io(d, pfd + PFD__N, procs);
	}
}
