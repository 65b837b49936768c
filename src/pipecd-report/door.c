/*
 * The door's loop: frames of the agent's other programs, the control plane,
 * the journals, and a clock that ticks.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "door.h"
#include "report.h"
#include "sandbox.h"

enum {
	TICK_MS = 1000,
	FENCED_MS = 10000,	 /* said again */
	ONCE_GIVE_UP_MS = 60000, /* -1 and a pipe: without any progress */
};

void
door_tell(struct door *d, const struct frame *f)
{
	struct err e;

	if (d->filter || d->once)
		return; /* nobody is behind us */
	if (bus_tell(d->bus, f, &e) == -1)
		log_warn("-", "%s: %s", frame_kind_name(f->kind), e.text);
}

void
door_restart(struct door *d)
{
	d->restart = true;
	loop_stop(d->loop);
}

/* --- frames ------------------------------------------------------------------
 */

static void
door_frame(struct door *d, const struct frame *f)
{
	struct reg *r;

	if (d->text != NULL)
		report_frame(d->text, f);
	switch (f->kind) {
	case FRAME_app:
		regs_app(d, f->u.app);
		break;
	case FRAME_app_state:
	case FRAME_held:
		if (regs_state_news(d, f))
			outbox_put(d, f);
		break;
	case FRAME_live:
		tree_live(d, f->u.live);
		break;
	case FRAME_command_done:
		orders_done(d, f->u.command_done);
		break;
	case FRAME_deployment:
		/* What was held is deployed after all. */
		r = regs_get(d, f->u.deployment->deployment->application_id);
		if (r != NULL && r->held)
			r->held = false;
		break;
	default: /* the journals have the rest */
		break;
	}
}

static void
door_turn(struct door *d)
{
	struct err e;

	if (d->text != NULL) {
		report_turn(d->text);
		if (report_flush(d->text, &e) == -1) {
			d->why = e;
			d->rv = -1;
			loop_stop(d->loop);
		}
	}
	arena_reset(d->turn);
}

static void
frames(void *arg, uint32_t events)
{
	struct door *d = arg;
	struct arena *a = arena_new();
	struct frame f;
	struct err e;
	int n;

	(void)events;
	while ((n = bus_next(d->bus, &f, a, NULL, NULL, &e)) != 0) {
		if (n == 2) {
			d->eof = true;
			loop_unwatch(d->loop, &d->bus_watch);
			break;
		}
		if (n == -1 && d->filter) {
			d->rv = -1;
			d->why = e;
			loop_stop(d->loop);
			break;
		}
		if (n == -1)
			log_warn("-", "%s", e.text);
		else
			door_frame(d, &f);
		arena_reset(a);
	}
	arena_free(a);
	door_turn(d);
}

/* --- the clock ------------------------------------------------------------------
 */

void
door_fenced(struct door *d)
{
	Frame__Fenced f = FRAME__FENCED__INIT;

	if (d->plane.fenced == NULL || now_ms() < d->plane.fenced_at)
		return;
	d->plane.fenced_at = now_ms() + FENCED_MS;
	f.reason = d->plane.fenced;
	door_tell(d, FRAME_OF(fenced, &f));
}

/* -1, and a pipe whose input is over: everything told, or no progress. */
static void
once_over(struct door *d)
{
	if (d->plane.fenced != NULL) {
		d->rv = -1;
		err_set(&d->why, RC_TEMP, "%s", d->plane.fenced);
		loop_stop(d->loop);
		return;
	}
	if (plane_ready(d) && d->regs.fresh && d->meta.told &&
	    !d->meta.meta.busy && follow_idle(d) && outbox_idle(d) &&
	    !d->regs.infos.busy && !d->regs.unregistered.busy &&
	    d->n_trees == 0) {
		loop_stop(d->loop);
		return;
	}
	if (d->plane.good != d->give_up_good) {
		d->give_up_good = d->plane.good;
		d->give_up_at = now_ms() + ONCE_GIVE_UP_MS;
	}
	if (now_ms() < d->give_up_at)
		return;
	d->rv = -1;
	err_set(&d->why, RC_TEMP,
	    "control plane %s: no progress within %d s; what is left goes with "
	    "the next run",
	    d->conf->api_address, ONCE_GIVE_UP_MS / 1000);
	loop_stop(d->loop);
}

static void
tick(void *arg)
{
	struct door *d = arg;
	bool once = d->once || (d->filter && d->eof);

	follow_tick(d);
	regs_tick(d);
	if (!d->once && !d->filter) {
		orders_tick(d);
		resume_tick(d);
	}
	meta_tick(d);
	door_fenced(d);
	if (once)
		once_over(d);
	arena_reset(d->turn);
	loop_timer(
	    d->loop, &d->tick, now_ms() + (once ? 50 : TICK_MS), tick, d);
}

static void
on_signal(void *arg, int sig)
{
	struct door *d = arg;

	if (sig == SIGTERM || sig == SIGINT)
		loop_stop(d->loop);
}

/* --- start and end --------------------------------------------------------------
 */

static int
door_open(struct door *d, const char *bus, struct err *e)
{
	const struct conf_piped *c = d->conf;
	const char *more[4];
	char *path = arena_printf(d->turn, "%s/report", c->state_dir);
	size_t n = 0;

	if (dir_make(path, 0700, e) == -1)
		return -1;
	if ((d->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		return err_sys(e, "%s", path);
	if (meta_open(d, e) == -1)
		return -1;
	if (c->piped_key_file != NULL)
		more[n++] = arena_printf(d->turn, "r:%s", c->piped_key_file);
	if (c->api_cert_file != NULL)
		more[n++] = arena_printf(d->turn, "r:%s", c->api_cert_file);
	more[n] = NULL;
	if (plane_open(d, e) == -1 ||
	    sandbox("report", c->state_dir, more, e) == -1)
		return -1;
	if (!d->once && (d->bus = bus_open("report", bus, e)) == NULL)
		return -1;
	if (regs_open(d, e) == -1 || outbox_open(d, e) == -1 ||
	    follow_open(d, e) == -1)
		return -1;
	orders_open(d);
	resume_open(d);
	d->give_up_at = now_ms() + ONCE_GIVE_UP_MS;
	if (d->bus == NULL)
		return 0;
	return loop_watch(
	    d->loop, &d->bus_watch, bus_fd(d->bus), EPOLLIN, frames, d, e);
}

static void
door_close(struct door *d)
{
	orders_close(d);
	resume_close(d);
	follow_close(d);
	outbox_close(d);
	regs_close(d);
	meta_close(d);
	plane_close(d);
	loop_unwatch(d->loop, &d->bus_watch);
	loop_timer_stop(d->loop, &d->tick);
	if (d->bus != NULL)
		bus_close(d->bus);
	if (d->dir != -1)
		close(d->dir);
	loop_close(d->loop);
	arena_free(d->turn);
}

/* What is there to be read still: the last words of the others. */
static void
last_words(struct door *d)
{
	if (d->bus != NULL && !d->eof)
		frames(d, 0);
}

int
door_main(struct conf_piped *c, const char *bus, bool once, struct report *text,
    struct err *e)
{
	static struct door door;
	struct door *d = &door;
	int rv = -1;

	d->conf = c;
	d->dir = d->journal = -1;
	d->once = once;
	d->filter = bus == NULL && !once;
	d->text = text;
	d->turn = arena_new();
	if ((d->loop = loop_open(e)) == NULL) {
		arena_free(d->turn);
		return -1;
	}
	if (loop_signals(d->loop, on_signal, d, e) == -1 ||
	    door_open(d, bus, e) == -1)
		goto out;
	ready();
	tick(d);
	rv = loop_run(d->loop, e);
	if (rv == 0 && d->rv == -1) {
		*e = d->why;
		rv = -1;
	}
	if (rv == 0)
		last_words(d);
out:
	door_close(d);
	if (rv == 0 && d->restart)
		rv = door_end_agent(e);
	return rv;
}
