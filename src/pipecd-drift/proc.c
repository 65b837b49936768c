#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "drift.h"

static const char *const verbs[] = {
	[VERB_CHECKOUT] = NULL,
	[VERB_DESCRIBE] = "describe",
	[VERB_RENDER] = "render",
	[VERB_LIVE] = "live",
};

/* For messages: "host live", "checkout". */
static const char *
proc_name(const struct proc *p, char dst[80])
{
	if (p->k == NULL)
		return "checkout";
	(void)snprintf(dst, 80, "%.60s %s", p->k->name, verbs[p->verb]);
	return dst;
}

static void
close_fd(int *fd)
{
	if (*fd != -1)
		close(*fd);
	*fd = -1;
}

static int
pipe_ours(int *ours, int *theirs, bool we_write, struct err *e)
{
	int fd[2];

	if (pipe2(fd, O_CLOEXEC) == -1)
		return err_sys(e, "pipe");
	*ours = fd[we_write ? 1 : 0];
	*theirs = fd[we_write ? 0 : 1];
	(void)fcntl(*ours, F_SETFL, O_NONBLOCK);
	return 0;
}

static struct proc *
proc_start(struct drift *d, enum verb verb, struct platform *k, struct err *e)
{
	struct proc *p = xcalloc(1, sizeof(*p)), **at;
	struct launch l = { .program = k != NULL ? k->name : "checkout",
		.verb = verbs[verb],
		.in = -1,
		.out = -1,
		.err = STDERR_FILENO,
		.lock = -1 };

	p->verb = verb;
	p->k = k;
	p->in = p->out = -1;
	p->send = p->recv = (struct buf)BUF_INIT;
	TAILQ_INIT(&p->jobs);
	if (pipe_ours(&p->in, &l.in, true, e) == -1 ||
	    pipe_ours(&p->out, &l.out, false, e) == -1)
		goto fail;
	if ((p->pid = launch(d->launcher, &l, e)) == -1)
		goto fail;
	close_fd(&l.in);
	close_fd(&l.out);
	p->heard_ms = now_ms();
	if (verb == VERB_DESCRIBE)
		close_fd(&p->in);
	for (at = &d->procs; *at != NULL; at = &(*at)->next)
		;
	*at = p;
	if (k != NULL)
		k->n_procs[verb]++;
	return p;
fail:
	close_fd(&p->in);
	close_fd(&p->out);
	close_fd(&l.in);
	close_fd(&l.out);
	free(p);
	return NULL;
}

static void
proc_kill(struct drift *d, struct proc *p, const char *why)
{
	struct err e = { 0 };

	if (p->why[0] == '\0')
		(void)snprintf(p->why, sizeof(p->why), "%s", why);
	if (p->exited)
		return;
	if (p->term_ms == 0) {
		p->term_ms = now_ms();
		(void)launcher_kill(d->launcher, p->pid, SIGTERM, &e);
	} else if (!p->killed) {
		p->killed = true;
		(void)launcher_kill(d->launcher, p->pid, SIGKILL, &e);
	}
}

/* --- handing out ---------------------------------------------------------- */

static void
give(struct drift *d, struct proc *p, struct jobs *queue, struct job *j)
{
	struct err e = { 0 };

	TAILQ_REMOVE(queue, j, next);
	if (job_ask(d, j, p->verb, &p->send, &e) == -1) {
		job_fail(d, j, "%s", e.text);
		return;
	}
	if (p->n_jobs++ == 0)
		p->heard_ms = now_ms();
	if (p->verb == VERB_CHECKOUT)
		d->n_trees++;
	TAILQ_INSERT_TAIL(&p->jobs, j, next);
}

/* A process for that which has room, or a new one; NULL: none may start. */
static struct proc *
proc_for(struct drift *d, enum verb verb, struct platform *k, size_t window,
    int most, struct err *e)
{
	struct proc *p;
	int n = 0;

	for (p = d->procs; p != NULL; p = p->next) {
		if (p->verb != verb || p->k != k)
			continue;
		n++;
		if (!p->closing && !p->exited && p->term_ms == 0 &&
		    p->n_jobs < window)
			return p;
	}
	return n < most ? proc_start(d, verb, k, e) : NULL;
}

static void
dispatch(struct drift *d, enum verb verb, struct platform *k,
    struct jobs *queue, size_t window, int most)
{
	struct err e = { 0 };
	struct proc *p;
	struct job *j;

	while ((j = TAILQ_FIRST(queue)) != NULL) {
		if (verb == VERB_CHECKOUT && d->n_trees >= TREES_MAX)
			return;
		if ((p = proc_for(d, verb, k, window, most, &e)) != NULL) {
			give(d, p, queue, j);
			continue;
		}
		if (e.exit == 0)
			return;
		/* What cannot be started fails for all who wait for it. */
		TAILQ_REMOVE(queue, j, next);
		job_fail(d, j, "%s", e.text);
		e.exit = 0;
	}
}

static void
dispatch_platform(struct drift *d, struct platform *k)
{
	struct err e = { 0 };
	struct job *j;

	if (!TAILQ_EMPTY(&k->queue[VERB_DESCRIBE]) &&
	    k->n_procs[VERB_DESCRIBE] == 0 &&
	    proc_start(d, VERB_DESCRIBE, k, &e) == NULL) {
		free(k->broken);
		k->broken = xstrdup(e.text);
		k->retry_ms = now_ms() + RETRY_MS;
		while ((j = TAILQ_FIRST(&k->queue[VERB_DESCRIBE])) != NULL) {
			TAILQ_REMOVE(&k->queue[VERB_DESCRIBE], j, next);
			job_step(d, j);
		}
	}
	dispatch(d, VERB_RENDER, k, &k->queue[VERB_RENDER], RENDER_WINDOW, 1);
	if (k->source)
		dispatch(d, VERB_LIVE, k, &k->queue[VERB_LIVE], 1, LIVE_PROCS);
	else
		dispatch(d, VERB_LIVE, k, &k->queue[VERB_LIVE], LIVE_WINDOW, 1);
}

/* Whether a process may still be needed: it ends when its input does. */
static bool
proc_needed(const struct drift *d, const struct proc *p)
{
	if (p->n_jobs > 0 || p->verb == VERB_DESCRIBE)
		return true;
	if (p->verb == VERB_CHECKOUT)
		return d->n_jobs > 0;
	return p->k->n_jobs > 0;
}

static void
proc_close(struct proc *p)
{
	p->closing = true;
	p->heard_ms = now_ms();
	if (p->send.len == 0)
		close_fd(&p->in);
}

void
procs_dispatch(struct drift *d)
{
	const char *name;
	struct proc *p;
	void *v;
	size_t i;

	dispatch(d, VERB_CHECKOUT, NULL, &d->trees, TREES_MAX, 1);
	for (i = 0; map_next(d->platforms, &i, &name, &v);)
		dispatch_platform(d, v);
	for (p = d->procs; p != NULL; p = p->next) {
		if (!p->closing && !proc_needed(d, p))
			proc_close(p);
	}
}

void
tree_release(struct drift *d, struct job *j)
{
	Frame__CheckoutDone m = FRAME__CHECKOUT_DONE__INIT;
	struct proc *p;

	if (j->root == NULL)
		return;
	d->n_trees--;
	m.dir = j->dir;
	for (p = d->procs; p != NULL; p = p->next)
		if (p->verb == VERB_CHECKOUT && !p->exited && p->in != -1)
			frame_write(&p->send, FRAME_OF(checkout_done, &m));
	free(j->root);
	free(j->dir);
	j->root = j->dir = NULL;
}

/* --- hearing -------------------------------------------------------------- */

static void
hear_platform(struct platform *k, const Frame__Platform *m)
{
	k->known = true;
	k->source = m->live_source;
	k->every_ms = m->has_live_every_ms && m->live_every_ms >= 1000
			  ? m->live_every_ms
			  : 0;
	free(k->broken);
	k->broken = NULL;
}

/* Whom a frame is about. */
static struct job *
job_of(struct proc *p, const struct frame *f)
{
	const char *app = NULL;
	struct job *j;

	if (f->kind == FRAME_app_state)
		app = f->u.app_state->application_id;
	else if (f->kind == FRAME_live)
		app = f->u.live->application_id;
	else if (f->kind == FRAME_object)
		app = f->u.object->application_id;
	TAILQ_FOREACH (j, &p->jobs, next) {
		/* A platform speaks only about what it was asked about. */
		if (app != NULL && strcmp(app, j->app->id) != 0)
			continue;
		if (f->re == NULL || strcmp(f->re, j->id) == 0)
			return j;
	}
	return NULL;
}

static void
hear(struct drift *d, struct proc *p, const struct frame *f)
{
	struct err e = { 0 };
	struct job *j;
	char name[80];
	int n;

	if (p->verb == VERB_DESCRIBE) {
		if (f->kind == FRAME_platform)
			hear_platform(p->k, f->u.platform);
		return;
	}
	if ((j = job_of(p, f)) == NULL) {
		log_debug("-", "%s: %s about nothing that was asked",
		    proc_name(p, name), frame_kind_name(f->kind));
		return;
	}
	p->heard_ms = now_ms();
	if ((n = job_answer(d, p, j, f, &e)) == 0)
		return;
	TAILQ_REMOVE(&p->jobs, j, next);
	p->n_jobs--;
	p->n_answered++;
	if (n == -1 && p->verb == VERB_CHECKOUT)
		d->n_trees--;
	job_done(d, j, p->verb, n == -1 ? e.text : NULL);
}

static void
hear_lines(struct drift *d, struct proc *p)
{
	struct arena *a = arena_new();
	struct err e = { 0 };
	struct frame f;
	size_t at = 0;
	char *nl;

	while (p->why[0] == '\0' &&
	       (nl = memchr(p->recv.p + at, '\n', p->recv.len - at)) != NULL) {
		size_t len = (size_t)(nl + 1 - (p->recv.p + at));

		arena_reset(a);
		switch (frame_parse(&f, p->recv.p + at, len, a, &e)) {
		case 1:
			hear(d, p, &f);
			break;
		case -1:
			proc_kill(d, p, "said what is no frame");
			log_warn("-", "%s", e.text);
			break;
		default:
			break;
		}
		at += len;
	}
	if (at > 0) {
		memmove(p->recv.p, p->recv.p + at, p->recv.len - at + 1);
		p->recv.len -= at;
	}
	if (p->recv.len > FRAME_MAX)
		proc_kill(d, p, "said a line that is too long");
	arena_free(a);
}

static void
proc_read(struct drift *d, struct proc *p)
{
	ssize_t n;

	buf_grow(&p->recv, 65536);
	n = read(p->out, p->recv.p + p->recv.len, 65536);
	if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR))
		close_fd(&p->out);
	if (n <= 0)
		return;
	p->recv.len += (size_t)n;
	p->recv.p[p->recv.len] = '\0';
	hear_lines(d, p);
}

static void
proc_write(struct proc *p)
{
	ssize_t n = write(p->in, p->send.p, p->send.len);

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n == -1) {
		/* It has ended, or will; how is said when it is waited for. */
		close_fd(&p->in);
		buf_reset(&p->send);
		return;
	}
	memmove(p->send.p, p->send.p + n, p->send.len - (size_t)n + 1);
	p->send.len -= (size_t)n;
	if (p->send.len == 0 && p->closing)
		close_fd(&p->in);
}

size_t
procs_poll(struct drift *d, struct pollfd *pfd, size_t max)
{
	struct proc *p;
	size_t n = 0;

	for (p = d->procs; p != NULL; p = p->next) {
		if (n + PROC_POLL > max)
			break;
		pfd[n++] = (struct pollfd){ .fd = p->out, .events = POLLIN };
		pfd[n++] = (struct pollfd){
			.fd = p->send.len > 0 ? p->in : -1,
			.events = POLLOUT,
		};
	}
	return n;
}

void
procs_io(struct drift *d, const struct pollfd *pfd, size_t n)
{
	struct proc *p;
	size_t i = 0;

	for (p = d->procs; p != NULL; p = p->next) {
		if (i + PROC_POLL > n)
			break;
		/* New ones come behind those that were polled. */
		if (pfd[i].revents != 0 && pfd[i].fd == p->out && p->out != -1)
			proc_read(d, p);
		if (pfd[i + 1].revents != 0 && pfd[i + 1].fd == p->in &&
		    p->in != -1)
			proc_write(p);
		i += PROC_POLL;
	}
}

/* --- the end of a process ------------------------------------------------- */

static void
describe_over(struct drift *d, struct platform *k, const char *how)
{
	struct job *j;

	if (!k->known) {
		free(k->broken);
		k->broken = xcalloc(1, strlen(how) + strlen(k->name) + 64);
		(void)sprintf(k->broken,
		    "pipecd-exec-%s describe gave no answer: %s", k->name, how);
		k->retry_ms = now_ms() + RETRY_MS;
	}
	while ((j = TAILQ_FIRST(&k->queue[VERB_DESCRIBE])) != NULL) {
		TAILQ_REMOVE(&k->queue[VERB_DESCRIBE], j, next);
		job_step(d, j);
	}
}

/*
 * It ended with jobs in hand.  The oldest is what it stumbled over; the others
 * are asked again.  One that ends well after an answer simply takes one
 * request only, and nobody is to blame.
 */
static void
jobs_over(struct drift *d, struct proc *p, const char *how)
{
	bool good = p->why[0] == '\0' && WIFEXITED(p->status) &&
		    WEXITSTATUS(p->status) == 0;
	bool no_verb = p->why[0] == '\0' && p->verb == VERB_RENDER &&
		       p->n_answered == 0 && !TAILQ_EMPTY(&p->jobs) &&
		       WIFEXITED(p->status) &&
		       WEXITSTATUS(p->status) == RC_PERM;
	bool blame = !(good && p->n_answered > 0) && !no_verb;
	struct job *j;
	char name[80];

	/*
	 * It has no such verb: then its live looks at the source itself.  One
	 * that was never asked says nothing about that.
	 */
	if (no_verb && p->k != NULL)
		p->k->source = true;
	while ((j = TAILQ_FIRST(&p->jobs)) != NULL) {
		TAILQ_REMOVE(&p->jobs, j, next);
		if (p->verb == VERB_CHECKOUT)
			d->n_trees--;
		if (good && p->verb == VERB_LIVE && j->heard) {
			job_done(d, j, p->verb, NULL);
			blame = false;
		} else if (blame || j->tries++ >= 3) {
			log_warn(j->app->id, "%s: %s", proc_name(p, name), how);
			job_fail(d, j, "%s: %s", proc_name(p, name), how);
			blame = false;
		} else {
			job_step(d, j);
		}
	}
}

/* Take it from the list and forget it. */
static void
proc_free(struct drift *d, struct proc *p)
{
	struct proc **at;

	for (at = &d->procs; *at != p; at = &(*at)->next)
		;
	*at = p->next;
	close_fd(&p->in);
	close_fd(&p->out);
	buf_free(&p->send);
	buf_free(&p->recv);
	free(p);
}

static void
proc_over(struct drift *d, struct proc *p)
{
	char how[160];

	/* What it said before it ended, as far as it is there. */
	while (p->out != -1 && p->why[0] == '\0') {
		struct pollfd pfd = { .fd = p->out, .events = POLLIN };

		if (poll(&pfd, 1, 0) != 1)
			break;
		proc_read(d, p);
	}
	close_fd(&p->in);
	if (p->k != NULL)
		p->k->n_procs[p->verb]--;
	if (p->why[0] != '\0')
		(void)snprintf(how, sizeof(how), "%s", p->why);
	else
		(void)child_status(p->status, how);
	if (p->k != NULL && p->verb == VERB_DESCRIBE)
		describe_over(d, p->k, how);
	else
		jobs_over(d, p, how);
	proc_free(d, p);
}

/* Which of them have ended. */
static void
procs_mark(struct drift *d)
{
	struct proc *p;
	pid_t pid;
	int status;

	while (launcher_next(d->launcher, &pid, &status) == 1)
		for (p = d->procs; p != NULL; p = p->next)
			if (p->pid == pid) {
				p->exited = true;
				p->status = status;
			}
}

static void
procs_reap(struct drift *d)
{
	struct proc *p, *q;

	procs_mark(d);
	for (p = d->procs; p != NULL; p = q) {
		q = p->next;
		if (p->exited)
			proc_over(d, p);
	}
}

/*
 * It has said a state for all that it was asked: a platform that never says ok
 * has done its work, and ends when its input does.
 */
static bool
all_heard(const struct proc *p)
{
	const struct job *j;

	if (p->verb != VERB_LIVE || p->n_jobs == 0 || p->closing)
		return false;
	TAILQ_FOREACH (j, &p->jobs, next)
		if (!j->heard)
			return false;
	return true;
}

/* When it has been silent for too long; INT64_MAX: never. */
static int64_t
proc_deadline(const struct drift *d, const struct proc *p)
{
	int64_t silence = d->conf->sync_interval_ms;

	if (p->term_ms != 0)
		return p->killed ? INT64_MAX : p->term_ms + KILL_MS;
	if (p->closing && p->n_jobs == 0)
		return p->heard_ms + KILL_MS;
	if (all_heard(p))
		return p->heard_ms + HEARD_MS;
	if (p->n_jobs == 0 && p->verb != VERB_DESCRIBE)
		return INT64_MAX;
	if (p->k != NULL && p->k->every_ms > silence)
		silence = p->k->every_ms;
	if (silence < SILENCE_MS)
		silence = SILENCE_MS;
	return p->heard_ms + silence;
}

int
procs_tick(struct drift *d)
{
	int64_t now = now_ms(), next = INT64_MAX, at;
	struct proc *p;
	char why[64];

	procs_reap(d);
	for (p = d->procs; p != NULL; p = p->next) {
		if ((at = proc_deadline(d, p)) <= now && all_heard(p)) {
			proc_close(p);
			at = proc_deadline(d, p);
		} else if (at <= now) {
			(void)snprintf(why, sizeof(why), "no answer for %llds",
			    (long long)(now - p->heard_ms) / 1000);
			proc_kill(d, p, why);
			at = proc_deadline(d, p);
		}
		next = at < next ? at : next;
	}
	if (next == INT64_MAX)
		return -1;
	return next - now > 60000 ? 60000 : next > now ? (int)(next - now) : 0;
}

void
procs_stop(struct drift *d)
{
	int64_t until = now_ms() + 2 * KILL_MS;
	struct pollfd pfd = { .fd = launcher_fd(d->launcher),
		.events = POLLIN };
	struct proc *p, *q;

	for (p = d->procs; p != NULL; p = p->next)
		proc_kill(d, p, "we are stopping");
	while (d->procs != NULL && now_ms() < until) {
		if (now_ms() > until - KILL_MS)
			for (p = d->procs; p != NULL; p = p->next)
				proc_kill(d, p, "we are stopping");
		(void)poll(&pfd, 1, 100);
		procs_mark(d);
		for (p = d->procs; p != NULL; p = q) {
			q = p->next;
			if (p->exited)
				proc_free(d, p);
		}
	}
}

/* --- platforms ------------------------------------------------------------ */

struct platform *
platform_get(struct drift *d, const char *name)
{
	struct platform *k = map_get(d->platforms, name);
	size_t i;

	if (k == NULL) {
		k = xcalloc(1, sizeof(*k));
		k->name = xstrdup(name);
		for (i = 0; i < VERB__N; i++)
			TAILQ_INIT(&k->queue[i]);
		map_put(d->platforms, name, k);
	}
	return k;
}

void
platforms_free(struct drift *d)
{
	const char *name;
	struct platform *k;
	void *v;
	size_t i;

	for (i = 0; map_next(d->platforms, &i, &name, &v);) {
		k = v;
		free(k->name);
		free(k->broken);
		free(k);
	}
	map_free(d->platforms);
}
