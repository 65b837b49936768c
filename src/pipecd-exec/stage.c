#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exec.h"

enum {
	READ_MAX = 65536,
	STDERR_MAX = 256 * 1024, /* of a stage's own log, handed on */
};

void
proc_free(struct proc *p)
{
	if (p == NULL)
		return;
	if (p->in != -1)
		close(p->in);
	if (p->out != -1)
		close(p->out);
	if (p->err != -1)
		close(p->err);
	if (p->resident != NULL)
		p->resident->stages--;
	buf_free(&p->send);
	buf_free(&p->line);
	free(p->reason);
	free(p);
}

/* --- beginning
 * ------------------------------------------------------------------
 */

/* A pipe whose one end is ours: close-on-exec, not blocking. */
int
pipe_new(int *ours, int *theirs, bool we_write, struct err *e)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC) == -1)
		return err_sys(e, "pipe");
	*ours = p[we_write ? 1 : 0];
	*theirs = p[we_write ? 0 : 1];
	(void)fcntl(*ours, F_SETFL, O_NONBLOCK);
	return 0;
}

static struct proc *
proc_start(struct exec *x, const char *program, int lock, struct err *e)
{
	struct proc *r = xcalloc(1, sizeof(*r));
	struct launch l = { .program = program,
		.verb = "stage",
		.in = -1,
		.out = -1,
		.err = -1,
		.lock = lock };
	bool ok = false;

	r->in = r->out = r->err = -1;
	r->send = r->line = (struct buf)BUF_INIT;
	if (pipe_new(&r->in, &l.in, true, e) == -1 ||
	    pipe_new(&r->out, &l.out, false, e) == -1 ||
	    pipe_new(&r->err, &l.err, false, e) == -1)
		goto out;
	if ((r->pid = launch(x->launcher, &l, e)) == -1)
		goto out;
	ok = true;
out:
	if (l.in != -1)
		close(l.in);
	if (l.out != -1)
		close(l.out);
	if (l.err != -1)
		close(l.err);
	if (ok)
		return r;
	proc_free(r);
	return NULL;
}

/*
 * What a former stage left alive is ended; terraform may first write down what
 * it did.  Who stays is named.
 */
static void
lock_wait(struct exec *x, struct deployment *d)
{
	bool first = d->lock_at == 0, patient;
	struct buf who = BUF_INIT;
	int64_t waited;

	if (first)
		d->lock_at = now_ms();
	waited = first ? 0 : now_ms() - d->lock_at;
	patient = lock_break(x, d->app->id, waited, true, &who);
	if (first && who.len > 0)
		stage_say(x, d, "INFO",
		    "Waits for the end of what an earlier stage left: %s.",
		    who.p);
	if (waited >= LOCK_WAIT_MS && !patient)
		stage_end(x, d, S_(FAILURE), true,
		    "something that an earlier stage started still holds "
		    "%s/run/lock/%s%s%s: end it, then sync again",
		    x->state_dir, d->app->id, who.len > 0 ? ": " : "", who.p);
	else
		d->wake_at = now_ms() + LOCK_POLL_MS;
	buf_free(&who);
}

/* No process or descriptor left just now: that may pass. */
static bool
start_again(struct deployment *d, const struct err *e)
{
	if (d->lock_at == 0)
		d->lock_at = now_ms();
	if (e->exit != RC_TEMP || now_ms() - d->lock_at >= LOCK_WAIT_MS)
		return false;
	log_warn(d->id, "stage not started, again in 1s: %s", e->text);
	d->wake_at = now_ms() + 1000;
	return true;
}

void
proc_begin(struct exec *x, struct deployment *d)
{
	const Frame__StagePlan *p = stage_plan(d);
	struct err e;
	int lock;

	if (now_ms() < d->wake_at)
		return;
	if (p->resident) {
		resident_begin(x, d);
		return;
	}
	if ((lock = lock_take(x, d->app->id, &e)) == -1) {
		lock_wait(x, d);
		return;
	}
	if (lock == -2 ||
	    (d->proc = proc_start(x, p->program, lock, &e)) == NULL) {
		if (!start_again(d, &e))
			stage_end(x, d, S_(FAILURE), d->rolling_back,
			    "cannot start %s: %s", p->program, e.text);
		goto out;
	}
	stage_process_record(
	    x, d, d->proc->pid, process_started_at(d->proc->pid));
	log_info(d->id, "stage start stage=%s program=%s pid=%ld attempt=%d",
	    stage_model(d)->name, p->program, (long)d->proc->pid,
	    d->s.stage[d->stage].attempt);
	if (d->resumed)
		stage_say(x, d, "INFO",
		    "This stage was interrupted and runs again (attempt %d).",
		    d->s.stage[d->stage].attempt);
	d->phase = PH_TELL;
out:
	if (lock >= 0) /* the process and what it starts hold it now */
		close(lock);
}

Frame__PluginPlan *
plugin_of(const struct deployment *d, const char *program)
{
	size_t i;

	for (i = 0; i < d->s.plan->n_plugins; i++)
		if (strcmp(d->s.plan->plugins[i]->plugin, program) == 0)
			return d->s.plan->plugins[i];
	return NULL;
}

static void
proc_wake(struct exec *x, struct deployment *d)
{
	struct proc *r = d->proc;
	int64_t at = d->check_at;
	enum why why;

	if (d->why == WHY_NONE && !r->done &&
	    now_ms() + stage_left_ms(x, d, &why) < at)
		at = now_ms() + stage_left_ms(x, d, &why);
	if (r->kill_at != 0 && r->kill_at < at)
		at = r->kill_at;
	if (r->read_at != 0 && r->read_at < at)
		at = r->read_at;
	d->wake_at = at;
}

void
proc_tell(struct exec *x, struct deployment *d)
{
	Frame__StageStart s = FRAME__STAGE_START__INIT;
	Model__Deployment *m = d->s.deployment;
	const Frame__StagePlan *p = stage_plan(d);
	Frame__PluginPlan *g = plugin_of(d, p->program);
	struct frame f = { .kind = FRAME_stage_start, .u.stage_start = &s };
	enum why why;

	s.deployment = m;
	s.stage = stage_model(d);
	s.config = p->config;
	if (g != NULL) {
		s.app_config = g->config;
		s.running_config = g->running_config;
		s.targets = g->targets;
		s.n_targets = g->n_targets;
	}
	s.target_root = d->root[0];
	s.target_dir = d->dir[0];
	if (d->dir[1] != NULL && d->dir[1][0] != '\0') {
		s.running_root = d->root[1];
		s.running_dir = d->dir[1];
	}
	s.has_deadline_ms = s.has_attempt = true;
	s.deadline_ms = wall_ms() + stage_left_ms(x, d, &why);
	s.config_filename = m->git_path->config_filename;
	s.running_config_filename = m->running_config_filename;
	s.attempt = d->s.stage[d->stage].attempt;
	frame_write(d->proc->resident != NULL ? &d->proc->resident->send
					      : &d->proc->send,
	    &f);
	stage_start_tell(x, d);
	d->proc->told = true;
	d->phase = PH_RUN;
	if (d->proc->resident != NULL)
		resident_write(d->proc->resident);
	else
		proc_send(x, d);
	proc_wake(x, d);
}

void
proc_send(struct exec *x, struct deployment *d)
{
	struct proc *r = d->proc;
	ssize_t n;

	(void)x;
	if (r == NULL || r->in == -1)
		return;
	while (r->sent < r->send.len) {
		n = write(r->in, r->send.p + r->sent, r->send.len - r->sent);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN)
			return;
		if (n == -1)
			break; /* it has gone; its end says why */
		r->sent += (size_t)n;
	}
	buf_free(&r->send);
	r->sent = 0;
	close(r->in); /* one stage, one line */
	r->in = -1;
}

/* --- what a stage says
 * ----------------------------------------------------------
 */

static void
bad_line(struct exec *x, struct deployment *d, const char *what)
{
	if (d->proc->bad)
		return;
	d->proc->bad = true;
	stage_say(x, d, "ERROR",
	    "%s wrote what is no frame of a stage, and it is left out: %s",
	    stage_plan(d)->program, what);
}

static bool
ours(struct exec *x, struct deployment *d, const char *deployment_id,
    const char *stage_id)
{
	if (strcmp(deployment_id, d->id) == 0 &&
	    strcmp(stage_id, stage_model(d)->id) == 0)
		return true;
	bad_line(x, d, "it is about another deployment or stage");
	return false;
}

/* Whether the stage may still write that much into the journal. */
static bool
within(struct exec *x, struct deployment *d, size_t len)
{
	struct proc *r = d->proc;

	r->log_bytes += len + 100; /* seq and prev come to it */
	if (r->log_bytes <= LOG_MAX)
		return true;
	if (!r->cut)
		stage_say(x, d, "ERROR",
		    "The log of this stage is larger than %d MiB: the rest is "
		    "cut off.",
		    LOG_MAX / 1024 / 1024);
	r->cut = true;
	return false;
}

static void
stage_said_done(struct exec *x, struct deployment *d, const Frame__StageDone *f)
{
	struct proc *r = d->proc;

	if (r->done) {
		bad_line(x, d, "a second stage_done");
		return;
	}
	if (!stage_ended(f->status)) {
		bad_line(x, d, "a stage_done whose status is not an end");
		return;
	}
	r->done = true;
	r->status = f->status;
	r->human = f->needs_human;
	r->untouched = f->untouched;
	if (f->reason != NULL)
		r->reason = xstrdup(f->reason);
	/* It has said all; now it has to end. */
	if (r->kill_at == 0 || r->kill_at > now_ms() + EXIT_GRACE_MS)
		r->kill_at = now_ms() + EXIT_GRACE_MS;
	proc_wake(x, d);
}

void
stage_frame(struct exec *x, struct deployment *d, const struct frame *f,
    const char *line, size_t len)
{
	switch (f->kind) {
	case FRAME_stage_log:
		if (!ours(x, d, f->u.stage_log->deployment_id,
			f->u.stage_log->stage_id) ||
		    !within(x, d, len))
			return;
		free(d->last_log);
		d->last_log = xstrdup(f->u.stage_log->text);
		record_line(x, d, f, line, len, false);
		break;
	case FRAME_stage_meta:
		if (!ours(x, d, f->u.stage_meta->deployment_id,
			f->u.stage_meta->stage_id))
			return;
		if (within(x, d, len))
			record_line(x, d, f, line, len, false);
		break;
	case FRAME_held:
		if (within(x, d, len))
			record_line(x, d, f, line, len, true);
		break;
	case FRAME_stage_done:
		if (ours(x, d, f->u.stage_done->deployment_id,
			f->u.stage_done->stage_id))
			stage_said_done(x, d, f->u.stage_done);
		break;
	default:
		bad_line(x, d, frame_kind_name(f->kind));
		break;
	}
}

static void
stage_line(struct exec *x, struct deployment *d, const char *line, size_t len,
    struct arena *a)
{
	struct frame f;
	struct err e;

	while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == ' '))
		len--;
	if (len == 0)
		return;
	arena_reset(a);
	switch (frame_parse(&f, line, len, a, &e)) {
	case -1:
		bad_line(x, d, e.text);
		break;
	case 0:
		bad_line(x, d, "a kind that this build does not know");
		break;
	default:
		stage_frame(x, d, &f, line, len);
		break;
	}
}

/* Cut what was read into lines; what is longer than a frame is left out. */
static void
stage_bytes(struct exec *x, struct deployment *d, const char *s, size_t n)
{
	struct proc *r = d->proc;
	struct arena *a = arena_new();
	const char *nl;
	size_t part;

	for (; n > 0; s += part, n -= part) {
		nl = memchr(s, '\n', n);
		part = nl != NULL ? (size_t)(nl - s) + 1 : n;
		if (!r->skip && r->line.len + part > FRAME_MAX) {
			bad_line(x, d, "a line of more than 1 MiB");
			r->skip = true;
			buf_free(&r->line);
		}
		if (nl == NULL) {
			if (!r->skip)
				buf_add(&r->line, s, part);
			continue;
		}
		if (!r->skip && r->line.len == 0)
			stage_line(x, d, s, part - 1, a);
		else if (!r->skip) {
			buf_add(&r->line, s, part - 1);
			stage_line(x, d, r->line.p, r->line.len, a);
		}
		r->skip = false;
		buf_reset(&r->line);
	}
	arena_free(a);
}

/* One read; false when there is nothing more now. */
static bool
output_read(struct exec *x, struct deployment *d)
{
	static char chunk[READ_MAX];
	struct proc *r = d->proc;
	ssize_t n;

	if (r->out == -1)
		return false;
	n = read(r->out, chunk, sizeof(chunk));
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		if (r->line.len > 0)
			bad_line(x, d, "a last line without its newline");
		close(r->out);
		r->out = -1;
		return false;
	}
	r->out_bytes += (size_t)n;
	stage_bytes(x, d, chunk, (size_t)n);
	return true;
}

void
proc_output(struct exec *x, struct deployment *d)
{
	struct proc *r = d->proc;

	if (r == NULL || !output_read(x, d))
		return;
	if (r->out_bytes > FLOOD_MAX && d->why == WHY_NONE)
		proc_stop(x, d, WHY_FLOOD);
	if (r->cut || r->out_bytes > FLOOD_MAX) {
		r->read_at = now_ms() + 10;
		proc_wake(x, d);
	}
}

void
proc_errors(struct exec *x, struct deployment *d)
{
	static char chunk[READ_MAX];
	struct proc *r = d->proc;
	size_t keep;
	ssize_t n;

	(void)x;
	if (r == NULL || r->err == -1)
		return;
	n = read(r->err, chunk, sizeof(chunk));
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		close(r->err);
		r->err = -1;
		return;
	}
	/* Its log is ours to hand on; its end is kept, it may say why. */
	if (r->err_bytes < STDERR_MAX)
		(void)write_all(STDERR_FILENO, chunk, (size_t)n);
	if (r->err_bytes < STDERR_MAX && r->err_bytes + (size_t)n >= STDERR_MAX)
		log_warn(d->id, "the rest of this stage's stderr is left out");
	r->err_bytes += (size_t)n;
	if ((size_t)n >= TAIL_MAX) {
		memcpy(r->tail, chunk + n - TAIL_MAX, TAIL_MAX);
		r->tail_len = TAIL_MAX;
		return;
	}
	keep = r->tail_len + (size_t)n > TAIL_MAX ? TAIL_MAX - (size_t)n
						  : r->tail_len;
	memmove(r->tail, r->tail + r->tail_len - keep, keep);
	memcpy(r->tail + keep, chunk, (size_t)n);
	r->tail_len = keep + (size_t)n;
}

/* --- its end
 * --------------------------------------------------------------------
 */

/* The end of its stderr goes to the log; the last line is the reason. */
static const char *
tail_say(struct exec *x, struct deployment *d)
{
	struct proc *r = d->proc;
	char *text = arena_strndup(x->turn, r->tail, r->tail_len);
	char *line, *save = NULL, *last = NULL, *p;

	for (p = text; p < text + r->tail_len; p++)
		if (*p == '\0' || ((unsigned char)*p < ' ' && *p != '\n') ||
		    (unsigned char)*p >= 0x7f)
			*p = '?';
	for (line = strtok_r(text, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		stage_say(x, d, "ERROR", "%s", line);
		last = line;
	}
	return last;
}

static void
silent_end(struct exec *x, struct deployment *d)
{
	char status[64];
	const char *why = tail_say(x, d);

	stage_end(x, d, S_(FAILURE), d->rolling_back,
	    "%s ended without a result: %s%s%s", stage_plan(d)->program,
	    child_status(d->proc->wait_status, status), why != NULL ? ": " : "",
	    why != NULL ? why : "");
}

/*
 * Killed by somebody else (the kernel out of memory, a person): as after a
 * crash of the machine, the stage runs again, a few times.
 */
static bool
killed_again(struct exec *x, struct deployment *d)
{
	struct proc *r = d->proc;

	if (!WIFSIGNALED(r->wait_status) ||
	    WTERMSIG(r->wait_status) != SIGKILL ||
	    d->s.stage[d->stage].attempt >= RESIDENT_TRIES)
		return false;
	stage_say(x, d, "ERROR",
	    "%s was killed from outside before it had a result.",
	    stage_plan(d)->program);
	proc_free(r);
	d->proc = NULL;
	d->s.stage[d->stage].attempt++;
	d->resumed = true;
	d->lock_at = 0;
	d->wake_at = 0;
	d->phase = PH_LOCK;
	return true;
}

static bool
good(const struct proc *r)
{
	return r->done &&
	       (r->status == S_(SUCCESS) || r->status == S_(SKIPPED) ||
		   r->status == S_(EXITED));
}

void
proc_result(struct exec *x, struct deployment *d)
{
	struct proc *r = d->proc;
	char *said = arena_strdup(x->turn, r->reason != NULL ? r->reason : "");
	long long ran = (stage_ran_ms(d) + 500) / 1000;
	char status[64];

	switch (d->why) {
	case WHY_STOP:
		if (good(r))
			break;
		/* It stays RUNNING: the next exec resumes it. */
		stage_process_record(x, d, 0, 0);
		proc_free(r);
		d->proc = NULL;
		d->wake_at = 0;
		return;
	case WHY_CANCEL:
		if (good(r))
			break;
		stage_end(x, d, S_(CANCELLED), false, "cancelled by %s%s%s",
		    d->s.cancelled_by, *said != '\0' ? ": " : "",
		    *said != '\0' ? said
		    : r->done	  ? ""
				  : child_status(r->wait_status, status));
		return;
	case WHY_STAGE_TIMEOUT:
	case WHY_ROLLBACK_TIMEOUT:
	case WHY_DEPLOYMENT_TIMEOUT:
		stage_end(x, d, S_(FAILURE), d->rolling_back,
		    "timed out after %llds%s%s%s", ran,
		    d->why == WHY_DEPLOYMENT_TIMEOUT
			? " (the limit of the whole deployment)"
		    : d->why == WHY_ROLLBACK_TIMEOUT
			? " (the limit of the whole rollback)"
			: "",
		    *said != '\0' ? ": " : "", said);
		return;
	case WHY_FLOOD:
		stage_end(x, d, S_(FAILURE), d->rolling_back,
		    "ended: it wrote more than %d MiB of output",
		    FLOOD_MAX / 1024 / 1024);
		return;
	case WHY_NONE:
		break;
	}
	if (!r->done) {
		if (!killed_again(x, d))
			silent_end(x, d);
		return;
	}
	stage_end(x, d, r->status, r->human || (d->rolling_back && !good(r)),
	    "%s", said);
}

static void
group_kill(struct exec *x, pid_t pid, int sig)
{
	struct err e;

	if (launcher_kill(x->launcher, pid, sig, &e) == -1)
		(void)kill(-pid, sig);
}

static void
proc_signal(struct exec *x, struct deployment *d, int sig)
{
	const struct proc *r = d->proc;

	if (r->resident == NULL)
		group_kill(x, r->pid, sig);
	else if (sig == SIGTERM)
		resident_cancel(x, d);
	else if (r->resident->pid != 0) /* all its stages begin again */
		group_kill(x, r->resident->pid, sig);
}

void
proc_kill(struct exec *x, struct deployment *d)
{
	if (d->proc != NULL)
		proc_signal(x, d, SIGKILL);
}

void
proc_exited(struct exec *x, struct deployment *d, int status)
{
	struct proc *r = d->proc;
	struct buf who = BUF_INIT;
	int lock, i;
	struct err e;

	r->wait_status = status;
	/* Whoever it left in its group, or with its lock, goes with it. */
	group_kill(x, r->pid, SIGKILL);
	if ((lock = lock_take(x, d->app->id, &e)) >= 0)
		close(lock);
	else if (lock == -1)
		(void)lock_break(x, d->app->id, -1, true, &who);
	if (who.len > 0)
		stage_say(x, d, "INFO",
		    "Processes that outlived the stage were told to end: %s.",
		    who.p);
	buf_free(&who);
	r->pid = 0;
	for (i = 0; i < FLOOD_MAX / READ_MAX && output_read(x, d); i++)
		;
	for (i = 0; i < STDERR_MAX / READ_MAX && r->err != -1; i++) {
		struct pollfd p = { .fd = r->err, .events = POLLIN };

		if (poll(&p, 1, 0) != 1)
			break;
		proc_errors(x, d);
	}
	proc_result(x, d);
}

void
proc_stop(struct exec *x, struct deployment *d, enum why why)
{
	static const int64_t grace[] = {
		[WHY_NONE] = 0,
		[WHY_CANCEL] = CANCEL_GRACE_MS,
		[WHY_STAGE_TIMEOUT] = TERM_GRACE_MS,
		[WHY_DEPLOYMENT_TIMEOUT] = TERM_GRACE_MS,
		[WHY_ROLLBACK_TIMEOUT] = TERM_GRACE_MS,
		[WHY_FLOOD] = 0,
		[WHY_STOP] = STOP_GRACE_MS,
	};
	struct proc *r = d->proc;

	if (r == NULL || (r->pid == 0 && r->resident == NULL))
		return;
	if (d->why == WHY_CANCEL && why == WHY_CANCEL) {
		r->kill_at = now_ms(); /* asked twice: not gently any more */
	} else if (d->why == WHY_NONE || why == WHY_STOP) {
		d->why = d->why == WHY_NONE ? why : d->why;
		proc_signal(x, d, SIGTERM);
		if (r->kill_at == 0 || r->kill_at > now_ms() + grace[why])
			r->kill_at = now_ms() + grace[why];
	}
	proc_wake(x, d);
}

void
proc_timer(struct exec *x, struct deployment *d)
{
	struct proc *r = d->proc;
	int64_t now = now_ms();
	enum why why;

	if (r == NULL)
		return;
	if (r->read_at != 0 && now >= r->read_at)
		r->read_at = 0;
	if (r->kill_at != 0 && now >= r->kill_at) {
		if (r->done && d->why == WHY_NONE)
			stage_say(x, d, "INFO",
			    "The stage did not end after its result, and was "
			    "killed.");
		proc_signal(x, d, SIGKILL);
		r->kill_at = now + TERM_GRACE_MS;
	} else if (d->why == WHY_NONE && !r->done &&
		   stage_left_ms(x, d, &why) <= 0)
		proc_stop(x, d, why);
	if (now >= d->check_at)
		stage_process_record(x, d,
		    r->resident != NULL ? r->resident->pid : r->pid,
		    d->s.stage[d->stage].pid_started);
	proc_wake(x, d);
}
