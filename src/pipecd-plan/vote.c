/*
 * vote.c - a platform's opinion: both commits checked out, then `K plan`.
 * Everything here is a step that the loop comes back to; a platform that hangs
 * holds up nothing but its own deployment.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "plan.h"

enum {
	VOTE_MS = 60000,	/* for checkout, and for each platform */
	VOTE_MAX = 1024 * 1024, /* bytes of an answer */
	IDLE_MS = 30000,	/* checkout is given up after */
	TRIES = 3,		/* of a vote that fails */
};

enum vote_state {
	VOTE_QUEUED,
	VOTE_CHECKOUT,
	VOTE_RUNNING,
	VOTE_DONE
};

struct vote {
	struct vote *next;
	struct app *app;
	struct trigger *t;
	enum vote_state state;
	struct arena *arena;	/* owned; results and the strings here */
	bool wanted[2], got[2]; /* checkout of target, of what runs */
	const char *dir[2], *root[2];
	struct platform **voters; /* in the arena */
	size_t n_voters, at;
	pid_t pid;
	int fd; /* of the platform's stdout, -1 */
	struct buf out;
	int64_t until; /* queued: not before then */
	int tries;
	struct ballot result;
};

/* --- the resident checkout ------------------------------------------------ */

static int
checkout_open(struct plan *p, struct err *e)
{
	struct checkout *c = &p->checkout;
	struct launch what = {
		.program = "checkout", .err = STDERR_FILENO, .lock = -1
	};
	int in[2], out[2];

	if (c->pid > 0)
		return 0;
	if (launcher_get(p, e) == -1)
		return -1;
	if (pipe2(in, O_CLOEXEC) == -1)
		return err_sys(e, "pipe");
	if (pipe2(out, O_CLOEXEC) == -1) {
		close(in[0]);
		close(in[1]);
		return err_sys(e, "pipe");
	}
	what.in = in[0];
	what.out = out[1];
	c->pid = launch(p->launcher, &what, e);
	close(in[0]);
	close(out[1]);
	if (c->pid == -1) {
		close(in[1]);
		close(out[0]);
		return -1;
	}
	c->in = in[1];
	c->out = out[0];
	(void)fcntl(c->out, F_SETFL, O_NONBLOCK);
	return 0;
}

static void
checkout_close(struct plan *p)
{
	struct checkout *c = &p->checkout;

	if (c->pid <= 0)
		return;
	close(c->in);
	close(c->out);
	c->pid = 0;
	c->in = c->out = -1;
	buf_reset(&c->text);
}

static int
checkout_ask(struct plan *p, struct vote *v, int which, struct err *e)
{
	Frame__Checkout m = FRAME__CHECKOUT__INIT;
	struct frame f = { .kind = FRAME_checkout, .u.checkout = &m };
	struct app *a = v->app;
	char *id = arena_printf(v->arena, "%s/%d", v->t->deployment_id, which);
	size_t i;

	m.repo = arena_strdup(v->arena, a->repo->conf->id);
	m.commit = which == 0 ? v->t->commit : a->past.running;
	m.path = a->path;
	m.config_filename = which == 1 && a->past.running_file != NULL
				? a->past.running_file
				: a->file;
	m.application_id = a->id;
	m.readers = arena_array(v->arena, char *, v->n_voters);
	for (i = 0; i < v->n_voters; i++)
		m.readers[m.n_readers++] =
		    arena_strdup(v->arena, v->voters[i]->conf->name);
	f.id = id;
	return frame_print(p->checkout.in, &f, e);
}

static void
checkout_done(struct plan *p, struct vote *v)
{
	Frame__CheckoutDone m = FRAME__CHECKOUT_DONE__INIT;
	struct err e;
	int i;

	for (i = 0; i < 2; i++) {
		if (v->dir[i] == NULL || p->checkout.pid <= 0)
			continue;
		m.dir = arena_strdup(v->arena, v->dir[i]);
		if (frame_print(
			p->checkout.in, FRAME_OF(checkout_done, &m), &e) == -1)
			log_warn("-", "checkout: %s", e.text);
		v->dir[i] = NULL;
	}
	p->checkout.idle_ms = now_ms() + IDLE_MS;
}

/* --- the platform --------------------------------------------------------- */

static void
vote_stop(struct plan *p, struct vote *v)
{
	struct err e;

	if (v->fd != -1) {
		close(v->fd);
		v->fd = -1;
		/* Its end is collected by the loop. */
		if (p->launcher != NULL)
			(void)launcher_kill(p->launcher, v->pid, SIGKILL, &e);
	}
	v->pid = 0;
	buf_reset(&v->out);
}

static void
vote_end(struct plan *p, struct vote *v, const char *why)
{
	vote_stop(p, v);
	checkout_done(p, v);
	/* A filter is run again; a daemon asks once more, later. */
	if (why != NULL && !p->filter && ++v->tries < TRIES) {
		log_warn(v->t->deployment_id, "vote app=%s: %s; again in %ds",
		    v->app->name, why, 1 << (2 * v->tries - 2));
		buf_reset(&v->out);
		v->got[0] = v->got[1] = false;
		v->at = 0;
		v->result = (struct ballot){ 0 };
		v->until = now_ms() + (1000 << (2 * v->tries - 2));
		v->state = VOTE_QUEUED;
		return;
	}
	if (why != NULL) {
		log_warn(
		    v->t->deployment_id, "vote app=%s: %s", v->app->name, why);
		v->result.why = arena_strdup(v->arena, why);
	}
	v->state = VOTE_DONE;
	v->t->again_ms = now_ms();
}

static int
vote_input(struct plan *p, struct vote *v, struct buf *b, struct err *e)
{
	Frame__PlanStart m = FRAME__PLAN_START__INIT;
	Frame__PluginPlan *pp;
	struct app *a = v->app;
	struct config *target, *running = NULL;
	char *path;

	arena_reset(p->work);
	path = app_config_path(a, p->work);
	if (config_get(&p->configs, a->repo, v->t->commit, path, &target, e) !=
		1 ||
	    target->bad)
		return err_set(e, RC_TEMP, "%s cannot be read", path);
	if (v->wanted[1] && config_get(&p->configs, a->repo, a->past.running,
				path, &running, e) == -1)
		return -1;
	pp = app_plugin_plan(&target->app,
	    running != NULL && !running->bad ? &running->app : NULL,
	    v->voters[v->at]->conf, p->work);
	m.application = app_model(p, a, &target->app);
	m.commit = v->t->commit;
	m.running_commit = v->wanted[1] ? a->past.running : NULL;
	m.app_config = pp->config;
	m.running_config = pp->running_config;
	m.targets = pp->targets;
	m.n_targets = pp->n_targets;
	m.target_dir = arena_strdup(p->work, v->dir[0]);
	m.target_root = arena_strdup(p->work, v->root[0]);
	m.running_dir = arena_strdup(p->work, v->dir[1]);
	m.running_root = arena_strdup(p->work, v->root[1]);
	frame_write(b, FRAME_OF(plan_start, &m));
	return 0;
}

/* A file with no name: a platform may read it as late as it likes. */
static int
input_fd(const struct buf *b, struct err *e)
{
	int fd = memfd_create("plan_start", MFD_CLOEXEC);

	if (fd == -1)
		return err_sys(e, "memfd_create");
	if (write_all(fd, b->p, b->len) == -1 || lseek(fd, 0, SEEK_SET) == -1) {
		err_sys(e, "memfd");
		close(fd);
		return -1;
	}
	return fd;
}

static int
vote_start(struct plan *p, struct vote *v, struct err *e)
{
	struct launch what = { .program = v->voters[v->at]->conf->name,
		.verb = "plan",
		.in = -1,
		.err = STDERR_FILENO,
		.lock = -1 };
	struct buf b = BUF_INIT;
	int fd[2] = { -1, -1 }, rv = -1;

	if (vote_input(p, v, &b, e) == -1 || (what.in = input_fd(&b, e)) == -1)
		goto out;
	if (pipe2(fd, O_CLOEXEC) == -1) {
		err_sys(e, "pipe");
		goto out;
	}
	what.out = fd[1];
	if ((v->pid = launch(p->launcher, &what, e)) == -1) {
		close(fd[0]);
		goto out;
	}
	v->fd = fd[0];
	(void)fcntl(v->fd, F_SETFL, O_NONBLOCK);
	v->until = now_ms() + VOTE_MS;
	v->state = VOTE_RUNNING;
	rv = 0;
out:
	if (what.in != -1)
		close(what.in);
	if (fd[1] != -1)
		close(fd[1]);
	buf_free(&b);
	return rv;
}

/* Take one platform's vote: the first PIPELINE wins, versions add up. */
static int
vote_count(struct vote *v, struct err *e)
{
	struct ballot *r = &v->result;
	const char *line = v->out.p, *end;
	const Frame__Vote *m = NULL;
	Model__ArtifactVersion **all;
	struct frame f;
	int rv;

	while ((end = strchr(line, '\n')) != NULL) {
		if ((rv = frame_parse(
			 &f, line, (size_t)(end - line), v->arena, e)) == -1)
			return -1;
		if (rv == 1 && f.kind == FRAME_vote)
			m = f.u.vote;
		line = end + 1;
	}
	if (m == NULL)
		return err_set(e, RC_PERM, "it says no vote frame");
	r->votes++;
	if (m->has_strategy && r->strategy != MODEL__SYNC_STRATEGY__PIPELINE &&
	    m->strategy != MODEL__SYNC_STRATEGY__AUTO) {
		r->strategy = m->strategy;
		r->summary = m->summary;
	}
	if (m->n_versions == 0)
		return 0;
	all = arena_array(
	    v->arena, Model__ArtifactVersion *, r->n_versions + m->n_versions);
	if (r->n_versions > 0)
		memcpy(all, r->versions, r->n_versions * sizeof(*all));
	memcpy(all + r->n_versions, m->versions, m->n_versions * sizeof(*all));
	r->versions = all;
	r->n_versions += m->n_versions;
	return 0;
}

static void
vote_next(struct plan *p, struct vote *v)
{
	struct err e;

	if (v->at == v->n_voters)
		vote_end(p, v, NULL);
	else if (vote_start(p, v, &e) == -1)
		vote_end(p, v, e.text);
}

static void
vote_read(struct plan *p, struct vote *v)
{
	struct err e;
	ssize_t n;

	for (;;) {
		buf_grow(&v->out, 8192);
		n = read(v->fd, v->out.p + v->out.len, 8192);
		if (n <= 0)
			break;
		v->out.len += (size_t)n;
		v->out.p[v->out.len] = '\0';
		if (v->out.len > VOTE_MAX) {
			vote_end(p, v, "the answer is too long");
			return;
		}
	}
	if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
		if (now_ms() >= v->until)
			vote_end(p, v, "no answer in time");
		return;
	}
	close(v->fd);
	v->fd = -1;
	if (vote_count(v, &e) == -1) {
		err_wrap(&e, "plugin %s plan", v->voters[v->at]->conf->name);
		vote_end(p, v, e.text);
		return;
	}
	buf_reset(&v->out);
	v->at++;
	vote_next(p, v);
}

/* --- steps ---------------------------------------------------------------- */

static size_t
votes_going(const struct plan *p)
{
	const struct vote *v;
	size_t n = 0;

	for (v = p->votes; v != NULL; v = v->next)
		n += v->state == VOTE_CHECKOUT || v->state == VOTE_RUNNING;
	return n;
}

static void
vote_checkout(struct plan *p, struct vote *v)
{
	struct err e;
	int i;

	if (checkout_open(p, &e) == -1) {
		vote_end(p, v, e.text);
		return;
	}
	v->state = VOTE_CHECKOUT;
	v->until = now_ms() + VOTE_MS;
	for (i = 0; i < 2; i++) {
		if (v->wanted[i] && checkout_ask(p, v, i, &e) == -1) {
			checkout_close(p);
			vote_end(p, v, e.text);
			return;
		}
	}
}

static void
checkout_answer(struct plan *p, const struct frame *f)
{
	struct vote *v;
	size_t n = UUID_LEN - 1;
	int which;

	if (f->re == NULL || strlen(f->re) != n + 2 || f->re[n] != '/')
		return;
	which = f->re[n + 1] == '1';
	for (v = p->votes; v != NULL; v = v->next) {
		if (v->state == VOTE_CHECKOUT &&
		    strncmp(v->t->deployment_id, f->re, n) == 0)
			break;
	}
	if (v == NULL)
		return;
	if (f->kind == FRAME_err) {
		vote_end(p, v, f->u.err->text);
		return;
	}
	if (f->kind != FRAME_ok || f->u.ok->dir == NULL)
		return;
	v->got[which] = true;
	v->dir[which] = arena_strdup(v->arena, f->u.ok->dir);
	v->root[which] = arena_strdup(v->arena, f->u.ok->root);
	if (v->got[0] && (v->got[1] || !v->wanted[1]))
		vote_next(p, v);
}

static void
checkout_read(struct plan *p)
{
	struct checkout *c = &p->checkout;
	struct arena *a = arena_new();
	struct frame f;
	struct err e;
	char *end;
	ssize_t n;
	size_t used;
	struct vote *v;

	do {
		buf_grow(&c->text, 8192);
		n = read(c->out, c->text.p + c->text.len, 8192);
		if (n > 0)
			c->text.len += (size_t)n;
		c->text.p[c->text.len] = '\0';
	} while (n > 0 && c->text.len < FRAME_MAX);
	while ((end = strchr(c->text.p, '\n')) != NULL) {
		used = (size_t)(end - c->text.p) + 1;
		if (frame_parse(&f, c->text.p, used, a, &e) == 1)
			checkout_answer(p, &f);
		memmove(c->text.p, end + 1, c->text.len - used + 1);
		c->text.len -= used;
		arena_reset(a);
	}
	arena_free(a);
	if (n > 0 || (n == -1 && (errno == EAGAIN || errno == EINTR)))
		return;
	checkout_close(p);
	for (v = p->votes; v != NULL; v = v->next) {
		if (v->state == VOTE_CHECKOUT)
			vote_end(p, v, "checkout ended without an answer");
	}
}

size_t
votes_poll(const struct plan *p, struct pollfd *pfd)
{
	const struct vote *v;
	size_t n = 0;

	if (p->checkout.pid > 0)
		pfd[n++] = (struct pollfd){ p->checkout.out, POLLIN, 0 };
	for (v = p->votes; v != NULL && n < VOTES + 1; v = v->next) {
		if (v->state == VOTE_RUNNING)
			pfd[n++] = (struct pollfd){ v->fd, POLLIN, 0 };
	}
	return n;
}

int64_t
votes_step(struct plan *p)
{
	struct vote *v;
	int64_t next = INT64_MAX;

	if (p->checkout.pid > 0)
		checkout_read(p);
	for (v = p->votes; v != NULL; v = v->next) {
		if (v->state == VOTE_RUNNING)
			vote_read(p, v);
		if (v->state == VOTE_CHECKOUT && now_ms() >= v->until)
			vote_end(p, v, "no checkout in time");
		if (v->state == VOTE_QUEUED && now_ms() >= v->until &&
		    votes_going(p) < VOTES)
			vote_checkout(p, v);
		if (v->state != VOTE_DONE && v->until < next &&
		    (v->state != VOTE_QUEUED || v->until > now_ms()))
			next = v->until;
	}
	if (p->checkout.pid > 0 && votes_going(p) == 0) {
		if (now_ms() >= p->checkout.idle_ms)
			checkout_close(p);
		else if (p->checkout.idle_ms < next)
			next = p->checkout.idle_ms;
	}
	return next;
}

bool
votes_pending(const struct plan *p)
{
	const struct vote *v;

	for (v = p->votes; v != NULL; v = v->next) {
		if (v->state != VOTE_DONE)
			return true;
	}
	return false;
}

int
vote_ask(struct work *w, const struct ballot **result, struct err *e)
{
	struct trigger *t = w->t;
	const Frame__Platform *says;
	struct vote *v = t->vote;
	size_t i;

	*result = NULL;
	if (v != NULL) {
		*result = &v->result;
		return v->state == VOTE_DONE;
	}
	v = xcalloc(1, sizeof(*v));
	v->arena = arena_new();
	v->voters = arena_array(v->arena, struct platform *, w->n_plugins + 1);
	v->app = w->app;
	v->t = t;
	v->fd = -1;
	v->out = (struct buf)BUF_INIT;
	v->wanted[0] = true;
	v->wanted[1] = w->app->past.running[0] != '\0' && !w->running_lost;
	for (i = 0; i < w->n_plugins; i++) {
		if ((says = platform_ask(w, w->plugins[i], e)) != NULL &&
		    says->has_votes && says->votes)
			v->voters[v->n_voters++] = w->plugins[i];
	}
	if (v->n_voters == 0 || w->asking) {
		arena_free(v->arena);
		free(v);
		return !w->asking;
	}
	t->vote = v;
	v->next = w->p->votes;
	w->p->votes = v;
	(void)votes_step(w->p);
	*result = &v->result;
	return v->state == VOTE_DONE;
}

void
vote_free(struct plan *p, struct vote *v)
{
	struct vote **pv;

	if (v == NULL)
		return;
	vote_stop(p, v);
	checkout_done(p, v);
	for (pv = &p->votes; *pv != NULL; pv = &(*pv)->next) {
		if (*pv == v) {
			*pv = v->next;
			break;
		}
	}
	buf_free(&v->out);
	arena_free(v->arena);
	free(v);
}

void
votes_close(struct plan *p)
{
	checkout_close(p);
	buf_free(&p->checkout.text);
}
