/*
 * Residents: platforms that stay up and take many stages by deployment and
 * stage id, one process per set of deploy targets.  One that dies is started
 * again, and its stages begin again in it.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exec.h"

static char *
targets_text(const Frame__PluginPlan *g, struct arena *a)
{
	struct buf b = BUF_INIT;
	char *s;
	size_t i;

	for (i = 0; g != NULL && i < g->n_targets; i++)
		buf_printf(&b, "%s%s", i > 0 ? "\n" : "", g->targets[i]);
	s = arena_strdup(a, b.p);
	buf_free(&b);
	return s;
}

static struct resident *
resident_get(struct exec *x, const char *program, const char *targets)
{
	struct resident *r;

	for (r = x->residents; r != NULL; r = r->next)
		if (strcmp(r->program, program) == 0 &&
		    strcmp(r->targets, targets) == 0)
			return r;
	r = xcalloc(1, sizeof(*r));
	r->program = xstrdup(program);
	r->targets = xstrdup(targets);
	r->in = r->out = -1;
	r->send = r->line = (struct buf)BUF_INIT;
	r->next = x->residents;
	x->residents = r;
	return r;
}

static void
pipes_close(struct resident *r)
{
	if (r->in != -1)
		close(r->in);
	if (r->out != -1)
		close(r->out);
	r->in = r->out = -1;
	buf_free(&r->send);
	buf_free(&r->line);
}

/* 1 it runs, 0 not yet, -1 it cannot. */
static int
resident_start(struct exec *x, struct resident *r, struct err *e)
{
	struct launch l = { .program = r->program,
		.verb = "stage",
		.in = -1,
		.out = -1,
		.err = STDERR_FILENO,
		.lock = -1 };
	struct buf who = BUF_INIT;
	char hash[SHA256_HEX];
	const char *lock;
	bool first;
	int rv = -1;

	if (r->pid != 0)
		return r->in != -1; /* one that is going is waited for */
	if (now_ms() < r->again_at)
		return 0;
	sha256_hex(hash, r->targets, strlen(r->targets));
	lock = arena_printf(x->turn, "resident-%s-%.16s", r->program, hash);
	if ((l.lock = lock_take(x, lock, e)) == -1) {
		/* Of a former exec: its input has ended, and so should it. */
		first = r->lock_at == 0;
		if (first)
			r->lock_at = now_ms();
		(void)lock_break(
		    x, lock, first ? 0 : now_ms() - r->lock_at, false, &who);
		buf_free(&who);
		r->again_at = now_ms() + LOCK_POLL_MS;
		return 0;
	}
	r->lock_at = 0;
	if (l.lock == -2 || pipe_new(&r->in, &l.in, true, e) == -1 ||
	    pipe_new(&r->out, &l.out, false, e) == -1 ||
	    (r->pid = launch(x->launcher, &l, e)) == -1) {
		r->pid = 0;
		pipes_close(r);
		goto out;
	}
	r->started_at = process_started_at(r->pid);
	r->bad = false;
	log_info("-", "resident started program=%s pid=%ld", r->program,
	    (long)r->pid);
	rv = 1;
out:
	if (l.in != -1)
		close(l.in);
	if (l.out != -1)
		close(l.out);
	if (l.lock >= 0)
		close(l.lock);
	return rv;
}

void
resident_begin(struct exec *x, struct deployment *d)
{
	const char *program = stage_plan(d)->program;
	struct resident *r = resident_get(
	    x, program, targets_text(plugin_of(d, program), x->turn));
	struct err e;
	enum why why;
	int rv;

	if (stage_left_ms(x, d, &why) <= 0) {
		stage_end(x, d, S_(FAILURE), d->rolling_back,
		    "timed out before %s could take it", program);
		return;
	}
	if ((rv = resident_start(x, r, &e)) == -1) {
		stage_end(x, d, S_(FAILURE), d->rolling_back,
		    "cannot start %s: %s", program, e.text);
		return;
	}
	if (rv == 0) {
		d->wake_at = now_ms() + LOCK_POLL_MS;
		return;
	}
	d->proc = xcalloc(1, sizeof(*d->proc));
	d->proc->in = d->proc->out = d->proc->err = -1;
	d->proc->send = d->proc->line = (struct buf)BUF_INIT;
	d->proc->resident = r;
	r->stages++;
	r->idle_at = now_ms() + RESIDENT_IDLE_MS;
	stage_process_record(x, d, r->pid, r->started_at);
	log_info(d->id, "stage start stage=%s resident=%s pid=%ld attempt=%d",
	    stage_model(d)->name, program, (long)r->pid,
	    d->s.stage[d->stage].attempt);
	d->phase = PH_TELL;
}

void
resident_cancel(struct exec *x, struct deployment *d)
{
	Frame__StageCancel c = FRAME__STAGE_CANCEL__INIT;
	struct resident *r = d->proc->resident;

	(void)x;
	if (!d->proc->told || r->in == -1)
		return; /* its deadline ends it */
	c.deployment_id = d->id;
	c.stage_id = stage_model(d)->id;
	frame_write(&r->send, FRAME_OF(stage_cancel, &c));
	resident_write(r);
}

void
resident_write(struct resident *r)
{
	/* What does not go waits; when it has gone, its end is told. */
	if (r->in != -1)
		(void)buf_send(&r->send, r->in);
}

/* --- what it says
 * ---------------------------------------------------------------
 */

static void
bad_line(struct resident *r, const char *what)
{
	if (!r->bad)
		log_warn("-",
		    "resident %s wrote what is no frame of a stage "
		    "in hand: %s",
		    r->program, what);
	r->bad = true;
}

static const char *
deployment_named(const struct frame *f)
{
	switch (f->kind) {
	case FRAME_stage_log:
		return f->u.stage_log->deployment_id;
	case FRAME_stage_meta:
		return f->u.stage_meta->deployment_id;
	case FRAME_stage_done:
		return f->u.stage_done->deployment_id;
	case FRAME_held:
		return f->u.held->deployment_id;
	default:
		return NULL;
	}
}

static void
line_take(struct exec *x, struct resident *r, const char *s, size_t n,
    struct arena *a)
{
	struct deployment *d;
	const char *id;
	struct frame f;
	struct err e;

	arena_reset(a);
	switch (frame_parse(&f, s, n, a, &e)) {
	case -1:
		bad_line(r, e.text);
		return;
	case 0:
		bad_line(r, "a kind that this build does not know");
		return;
	}
	id = deployment_named(&f);
	d = id != NULL ? map_get(x->by_id, id) : NULL;
	if (d == NULL || d->proc == NULL || d->proc->resident != r ||
	    d->phase != PH_RUN) {
		bad_line(r, frame_kind_name(f.kind));
		return;
	}
	stage_frame(x, d, &f, s, n);
	if (d->proc->done)
		proc_result(x, d);
}

void
resident_read(struct exec *x, struct resident *r)
{
	struct arena *a;
	char *s, *nl;
	ssize_t n;

	if (r->out == -1)
		return;
	buf_grow(&r->line, 65536);
	n = read(r->out, r->line.p + r->line.len, 65535);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		pipes_close(r);
		return;
	}
	r->line.len += (size_t)n;
	a = arena_new();
	for (s = r->line.p;
	     (nl = memchr(s, '\n', r->line.len - (size_t)(s - r->line.p))) !=
	     NULL;
	     s = nl + 1)
		line_take(x, r, s, (size_t)(nl - s), a);
	arena_free(a);
	r->line.len -= (size_t)(s - r->line.p);
	memmove(r->line.p, s, r->line.len);
	if (r->line.len > FRAME_MAX) {
		bad_line(r, "a line of more than 1 MiB");
		buf_reset(&r->line);
	}
}

/* --- its end
 * --------------------------------------------------------------------
 */

struct resident *
resident_of(const struct exec *x, pid_t pid)
{
	struct resident *r;

	for (r = x->residents; r != NULL && r->pid != pid; r = r->next)
		;
	return r;
}

/* The stage begins again in the next process, unless it was to end anyway. */
static void
stage_orphan(
    struct exec *x, struct deployment *d, struct resident *r, int status)
{
	char text[64];

	d->proc->wait_status = status;
	if (d->why != WHY_NONE) {
		proc_result(x, d);
		return;
	}
	(void)child_status(status, text);
	if (d->s.stage[d->stage].attempt >= RESIDENT_TRIES) {
		stage_end(x, d, S_(FAILURE), d->rolling_back,
		    "%s ended under it %d times: %s", r->program,
		    RESIDENT_TRIES + 1, text);
		return;
	}
	stage_say(x, d, "ERROR",
	    "%s ended (%s); the stage begins again in a new process.",
	    r->program, text);
	proc_free(d->proc);
	d->proc = NULL;
	d->s.stage[d->stage].attempt++;
	d->phase = PH_LOCK;
	d->wake_at = r->again_at;
}

void
resident_exited(struct exec *x, struct resident *r, int status)
{
	char text[64];
	size_t i;
	int k;

	for (k = 0; k < 64 && r->out != -1; k++) /* its last words */
		resident_read(x, r);
	pipes_close(r);
	log_at(r->stages > 0 ? LOG_WARN : LOG_INFO, "-",
	    "resident ended program=%s %s", r->program,
	    child_status(status, text));
	r->pid = 0;
	r->again_at = r->stages > 0 ? now_ms() + RESIDENT_AGAIN_MS : 0;
	for (i = 0; i < x->n_active; i++)
		if (x->active[i]->proc != NULL &&
		    x->active[i]->proc->resident == r)
			stage_orphan(x, x->active[i], r, status);
}

void
residents_tick(struct exec *x)
{
	struct resident *r;

	for (r = x->residents; r != NULL; r = r->next) {
		if (r->stages > 0)
			r->idle_at = now_ms() + RESIDENT_IDLE_MS;
		if (r->in == -1 || r->stages > 0 || now_ms() < r->idle_at)
			continue;
		close(r->in); /* it has nothing to do: it ends */
		r->in = -1;
	}
}

void
residents_close(struct exec *x)
{
	struct resident *r;

	while ((r = x->residents) != NULL) {
		x->residents = r->next;
		pipes_close(r);
		free(r->program);
		free(r->targets);
		free(r);
	}
}
