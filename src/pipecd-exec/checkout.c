/*
 * The resident that lays out commits: started when it is first needed, asked
 * by id, ended when nobody has asked for a while, started again when it dies.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exec.h"

static int
child_open(struct exec *x, struct err *e)
{
	struct checkout *c = &x->co;
	struct launch l = { .program = "checkout",
		.in = -1,
		.out = -1,
		.err = STDERR_FILENO,
		.lock = -1 };
	int in[2], out[2];

	if (c->pid != 0)
		return 0;
	if (pipe2(in, O_CLOEXEC) == -1)
		return err_sys(e, "pipe");
	if (pipe2(out, O_CLOEXEC) == -1) {
		err_sys(e, "pipe");
		close(in[0]);
		close(in[1]);
		return -1;
	}
	l.in = in[0];
	l.out = out[1];
	c->pid = launch(x->launcher, &l, e);
	close(in[0]);
	close(out[1]);
	if (c->pid == -1) {
		c->pid = 0;
		close(in[1]);
		close(out[0]);
		return -1;
	}
	c->in = in[1];
	c->out = out[0];
	(void)fcntl(c->in, F_SETFL, O_NONBLOCK);
	(void)fcntl(c->out, F_SETFL, O_NONBLOCK);
	log_debug("-", "checkout started pid=%ld", (long)c->pid);
	return 0;
}

static void
child_close(struct checkout *c)
{
	if (c->in != -1)
		close(c->in);
	if (c->out != -1)
		close(c->out);
	c->in = c->out = -1;
	buf_free(&c->send);
	buf_free(&c->line);
}

void
checkout_write(struct exec *x)
{
	struct checkout *c = &x->co;

	/* What does not go waits; when it has gone, its end is told. */
	if (c->in != -1)
		(void)buf_send(&c->send, c->in);
}

/* Whoever runs a stage of it. */
static void
readers(struct exec *x, const struct deployment *d, Frame__Checkout *q)
{
	const Frame__Plan *p = d->s.plan;
	size_t i;

	q->readers = arena_array(x->turn, char *, p->n_stages + p->n_plugins);
	for (i = 0; i < p->n_stages; i++)
		q->readers[q->n_readers++] = p->stages[i]->program;
	for (i = 0; i < p->n_plugins; i++)
		q->readers[q->n_readers++] = p->plugins[i]->plugin;
}

static void
ask(struct exec *x, struct deployment *d, int which)
{
	Frame__Checkout q = FRAME__CHECKOUT__INIT;
	Model__Deployment *m = d->s.deployment;
	struct frame f = { .kind = FRAME_checkout, .u.checkout = &q };
	char id[80];

	(void)snprintf(id, sizeof(id), "exec-%ld", ++x->co.serial);
	q.repo = m->git_path->repo->id;
	q.path = m->git_path->path;
	q.application_id = m->application_id;
	q.commit = m->trigger->commit->hash;
	q.config_filename = m->git_path->config_filename;
	if (which == 1) {
		q.commit = m->running_commit_hash;
		if (m->running_config_filename[0] != '\0')
			q.config_filename = m->running_config_filename;
	}
	q.has_secrets = q.secrets = true;
	readers(x, d, &q);
	f.id = d->checkout_id[which] = xstrdup(id);
	frame_write(&x->co.send, &f);
	x->co.waiting++;
}

static void
forget(struct deployment *d, int which)
{
	free(d->checkout_id[which]);
	d->checkout_id[which] = NULL;
}

int
checkout_need(struct exec *x, struct deployment *d, struct err *e)
{
	bool want[2] = { true,
		d->s.deployment->running_commit_hash[0] != '\0' };
	int i, left = 0;

	if (d->checkout_tries > CHECKOUT_TRIES) {
		err_set(e, RC_TEMP, "%s",
		    d->reason != NULL ? d->reason : "it does not answer");
		return -1;
	}
	if (x->co.retry_at != 0 || (x->co.pid != 0 && x->co.in == -1))
		return 0; /* it is going, and starts again */
	if (child_open(x, e) == -1)
		return -1;
	for (i = 0; i < 2; i++) {
		if (!want[i] || d->dir[i] != NULL)
			continue;
		if (d->checkout_id[i] == NULL)
			ask(x, d, i);
		left++;
	}
	checkout_write(x);
	x->co.idle_at = now_ms() + CHECKOUT_IDLE_MS;
	return left == 0;
}

/* What is laid out may hold opened secrets: it goes when it is not needed. */
void
checkout_drop(struct exec *x, struct deployment *d)
{
	Frame__CheckoutDone q = FRAME__CHECKOUT_DONE__INIT;
	int i;

	for (i = 0; i < 2; i++) {
		if (d->checkout_id[i] != NULL)
			x->co.waiting--;
		forget(d, i);
		if (d->dir[i] != NULL && d->dir[i][0] != '\0' &&
		    x->co.in != -1) {
			q.dir = d->dir[i];
			frame_write(&x->co.send, FRAME_OF(checkout_done, &q));
		}
		if (d->dir[i] != NULL && d->kept[i] > 0)
			close(d->kept[i]);
		free(d->dir[i]);
		free(d->root[i]);
		d->dir[i] = d->root[i] = NULL;
		d->kept[i] = 0;
	}
	checkout_write(x);
	x->co.idle_at = now_ms() + CHECKOUT_IDLE_MS;
}

static struct deployment *
asker(struct exec *x, const char *re, int *which)
{
	struct deployment *d;
	size_t i;

	for (i = 0; re != NULL && i < x->n_active; i++) {
		d = x->active[i];
		for (*which = 0; *which < 2; ++*which)
			if (d->checkout_id[*which] != NULL &&
			    strcmp(d->checkout_id[*which], re) == 0)
				return d;
	}
	return NULL;
}

/* It could not: say why; once more if that may help. */
static void
refused(struct exec *x, struct deployment *d, int which, const Frame__Err *r)
{
	bool running = which == 1;

	if (r->exit != RC_PERM && d->checkout_tries++ < CHECKOUT_TRIES) {
		log_warn(d->id, "checkout: %s; again in 1s", r->text);
		x->co.retry_at = now_ms() + 1000;
		return;
	}
	if (!running) {
		stage_end(x, d, S_(FAILURE), d->rolling_back, "checkout: %s",
		    r->text);
		return;
	}
	/* A history that was rewritten: what runs may still be rolled back. */
	stage_say(x, d, "ERROR",
	    "The commit that runs now cannot be laid out, the stage goes on "
	    "without it: %s",
	    r->text);
	d->dir[1] = xstrdup("");
}

/*
 * Hold what we got: checkout may die, and the one after it sweeps what nobody
 * holds.  If that was faster, it is asked again.
 */
static void
given(struct deployment *d, int which, const Frame__Ok *ok)
{
	const char *root = ok->root != NULL ? ok->root : ok->dir;

	if ((d->kept[which] = dir_hold(root)) == -1) {
		d->kept[which] = 0;
		d->checkout_tries++;
		return;
	}
	d->dir[which] = xstrdup(ok->dir);
	d->root[which] = xstrdup(root);
}

static void
answer(struct exec *x, const struct frame *f)
{
	struct deployment *d;
	int which;

	if ((d = asker(x, f->re, &which)) == NULL) {
		Frame__CheckoutDone q = FRAME__CHECKOUT_DONE__INIT;

		/* Who asked does not need it any more. */
		if (f->kind == FRAME_ok && f->u.ok->dir != NULL) {
			q.dir = f->u.ok->dir;
			frame_write(&x->co.send, FRAME_OF(checkout_done, &q));
			checkout_write(x);
		}
		return;
	}
	forget(d, which);
	x->co.waiting--;
	if (f->kind == FRAME_err)
		refused(x, d, which, f->u.err);
	else if (f->u.ok->dir == NULL) {
		d->checkout_tries++;
	} else {
		given(d, which, f->u.ok);
	}
}

void
checkout_read(struct exec *x)
{
	struct checkout *c = &x->co;
	struct arena *a;
	struct frame f;
	struct err e;
	char *nl, *s;
	ssize_t n;

	if (c->out == -1)
		return;
	buf_grow(&c->line, 65536);
	n = read(c->out, c->line.p + c->line.len, 65536);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		child_close(c);
		return;
	}
	c->line.len += (size_t)n;
	c->line.p[c->line.len] = '\0';
	a = arena_new();
	for (s = c->line.p;
	     (nl = memchr(s, '\n', c->line.len - (size_t)(s - c->line.p))) !=
	     NULL;
	     s = nl + 1) {
		arena_reset(a);
		if (frame_parse(&f, s, (size_t)(nl - s), a, &e) == 1 &&
		    (f.kind == FRAME_ok || f.kind == FRAME_err))
			answer(x, &f);
		else
			log_warn("-", "checkout wrote what is no answer");
	}
	arena_free(a);
	c->line.len -= (size_t)(s - c->line.p);
	memmove(c->line.p, s, c->line.len);
	if (c->line.len > FRAME_MAX) {
		log_warn("-", "checkout wrote a line of more than 1 MiB");
		child_close(c);
	}
}

void
checkout_exited(struct exec *x, int status)
{
	struct checkout *c = &x->co;
	bool wanted = c->waiting > 0;
	struct deployment *d;
	char text[64];
	size_t i;
	int k;

	for (k = 0; k < 64 && c->out != -1; k++) /* its last answers */
		checkout_read(x);
	c->pid = 0;
	c->waiting = 0;
	child_close(c);
	if (wanted)
		log_warn("-",
		    "checkout ended with questions open: %s; it is "
		    "started again",
		    child_status(status, text));
	for (i = 0; i < x->n_active; i++) {
		d = x->active[i];
		for (k = 0; k < 2; k++) {
			if (d->checkout_id[k] == NULL)
				continue;
			forget(d, k);
			d->checkout_tries++;
		}
	}
	if (wanted)
		c->retry_at = now_ms() + 500;
}

void
checkout_tick(struct exec *x)
{
	struct checkout *c = &x->co;
	size_t i;

	if (c->retry_at != 0 && now_ms() >= c->retry_at)
		c->retry_at = 0;
	if (c->pid == 0 || c->waiting > 0 || c->in == -1 ||
	    now_ms() < c->idle_at)
		return;
	for (i = 0; i < x->n_active; i++)
		if (x->active[i]->dir[0] != NULL)
			return;
	close(c->in); /* it ends by itself, clearing up */
	c->in = -1;
	c->idle_at = 0;
}

void
checkout_close(struct exec *x)
{
	child_close(&x->co);
}
