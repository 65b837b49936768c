/*
 * What daemons have started through descriptor 5.
 *
 * Who asked is told how it ended.  When an asker dies, what it had started
 * without a lock (checkout, describe, render, live) is of no use to anybody
 * and is ended; what holds a lock is a running stage: it outlives its asker,
 * whose successor finds pid and lock in its journal, and may still have it
 * killed through us.  When we drain, all of it ends with us.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher.h"
#include "msg.h"
#include "supervise.h"

/* FNV-1a, to see that a slice is another one without keeping it. */
static uint64_t
hash_of(const struct buf *b)
{
	uint64_t h = 14695981039346656037ULL;
	size_t i;

	for (i = 0; i < b->len; i++)
		h = (h ^ (unsigned char)b->p[i]) * 1099511628211ULL;
	return h;
}

static uint64_t
slice_hash(struct super *p, const struct program *prog, struct buf *b)
{
	buf_reset(b);
	p->how->slice(b, prog, p->conf);
	return hash_of(b);
}

static void
wipe(struct buf *b)
{
	if (b->cap > 0)
		explicit_bzero(b->p, b->cap);
	buf_free(b);
}

static struct launched *
add(struct super *p)
{
	if (p->n_launched == p->cap_launched) {
		p->cap_launched = p->cap_launched * 2 + 16;
		p->launched = xrealloc(
		    p->launched, p->cap_launched * sizeof(*p->launched));
	}
	return &p->launched[p->n_launched++];
}

static pid_t
start(
    struct super *p, struct proc *pr, const struct launch *what, struct err *e)
{
	const char *args[34] = { what->verb };
	struct start s = { .args = args,
		.accounts = super_accounts(p),
		.in = what->in,
		.out = what->out,
		.err = what->err,
		.lock = what->lock,
		.ready = -1,
		.super = -1 };
	size_t n = what->verb != NULL ? 1 : 0, i;
	struct buf slice = BUF_INIT;
	struct launched *l;
	uint64_t hash;
	pid_t pid = -1;

	if (p->phase > PHASE_STOP_2)
		return err_set(e, RC_TEMP, "%s: %s is ending", what->program,
		    p->how->name);
	if (p->how->find(&s.program, p->conf, what->program, e) == -1)
		return -1;
	if (!program_may(pr->program.name, &s.program, what->verb))
		return err_set(e, RC_PERM, "%s may not have %s %s started",
		    pr->program.name, what->program,
		    what->verb != NULL ? what->verb : "without a verb");
	for (i = 0; what->args[i] != NULL; i++)
		args[n++] = what->args[i];
	args[n] = NULL;
	hash = slice_hash(p, &s.program, &slice);
	s.slice = slice.p;
	s.slice_len = slice.len;
	/* A stage survives us too: the next of us finds and ends it. */
	s.death_signal = what->lock == -1 ? SIGKILL : 0;
	if ((pid = program_start(&s, e)) == -1)
		goto out;
	l = add(p);
	*l = (struct launched){ .asker = pr,
		.mine = true,
		.lock = what->lock != -1,
		.pid = pid,
		.start = state_start(pid),
		.since_s = wall_s(),
		.slice = hash };
	(void)snprintf(l->program, sizeof(l->program), "%s", what->program);
	(void)snprintf(l->verb, sizeof(l->verb), "%s",
	    what->verb != NULL ? what->verb : "");
	p->dirty = true;
	log_debug("-", "%s started %s %s pid=%d", pr->program.name, l->program,
	    l->verb, (int)pid);
out:
	wipe(&slice);
	return pid;
}

static int
signal_it(struct super *p, struct proc *pr, const Super__Kill *k, struct err *e)
{
	size_t i;

	if (k->signal < 0 || k->signal > SIGSYS)
		return err_set(
		    e, RC_PERM, "signal %d: no such signal", (int)k->signal);
	for (i = 0; i < p->n_launched; i++) {
		struct launched *l = &p->launched[i];

		if (l->pid != k->pid || l->asker != pr)
			continue;
		if (!l->ended && kill(-l->pid, k->signal) == -1 &&
		    errno != ESRCH)
			return err_sys(e, "kill %d", (int)k->pid);
		return 0;
	}
	/* Ended, and said so: whoever asks has not read that yet. */
	if (k->pid > 1 && kill(-k->pid, 0) == -1 && errno == ESRCH)
		return 0;
	return err_set(e, RC_PERM, "pid %d: not started for %s", (int)k->pid,
	    pr->program.name);
}

/* For who starts stages, that is, who has locks. */
static int
holders(struct super *p, struct proc *pr, const Super__Holders *h,
    struct buf *who, struct err *e)
{
	struct program any = { .row = NULL };
	const struct service *row;

	for (row = p->how->services; row->name != NULL; row++)
		if (row->run == RUN_PLATFORM)
			any.row = row;
	if (any.row == NULL || !program_may(pr->program.name, &any, "stage"))
		return err_set(e, RC_PERM, "%s has no locks", pr->program.name);
	return holders_end(
	    p->state_dir, h->lock, h->signal, h->spare, pr->pid, who, e);
}

static void
reply(struct proc *pr, pid_t pid, struct buf *who, bool spared,
    const struct err *e)
{
	Super__Reply r = SUPER__REPLY__INIT;
	Super__Failure f = SUPER__FAILURE__INIT;
	struct err text;

	if (e != NULL) {
		text = *e;
		f.exit = e->exit;
		f.text = text.text;
		r.failure = &f;
	} else {
		r.has_pid = true;
		r.pid = pid;
		r.has_spared = r.spared = spared;
		if (who->len > 0)
			r.holders = who->p;
	}
	if (super_send(pr->sock, &r.base, NULL, 0) == -1)
		log_warn("-", "%s does not read its answers: %s",
		    pr->program.name, strerror(errno));
}

void
launched_asked(struct super *p, struct proc *pr)
{
	struct arena *a = arena_new();
	ProtobufCMessage *m = NULL;
	struct launch what;
	size_t n = 0, i;
	struct buf who = BUF_INIT;
	bool spared = false;
	struct err e;
	int fds[4], rv;
	pid_t pid;

	rv = super_recv(
	    pr->sock, &super__request__descriptor, &m, fds, &n, a, &e);
	if (rv == 0)
		goto out;
	if (rv == 2) { /* it ends, or has closed it: nothing more to say */
		close(pr->sock);
		pr->sock = -1;
		goto out;
	}
	if (rv == 1)
		rv = super_request(
		    (const Super__Request *)m, &what, fds, n, a, &e);
	if (rv == 1)
		rv = (pid = start(p, pr, &what, &e)) == -1 ? -1 : pid;
	else if (rv == 2)
		rv = signal_it(p, pr, ((Super__Request *)m)->kill, &e);
	else if (rv == 3)
		rv = all_restart(p, pr, &e);
	else if (rv == 4) {
		rv = holders(p, pr, ((Super__Request *)m)->holders, &who, &e);
		spared = rv == 1;
	}
	if (rv == -1)
		log_debug("-", "%s: refused: %s", pr->program.name, e.text);
	if (who.len > SUPER_MAX / 2) /* a fork bomb; some names will do */
		who.p[SUPER_MAX / 2] = '\0';
	reply(pr, rv, &who, spared, rv == -1 ? &e : NULL);
out:
	buf_free(&who);
	for (i = 0; i < n; i++)
		close(fds[i]);
	arena_free(a);
}

void
launched_stop(struct super *p, struct launched *l)
{
	(void)p;
	if (l->ended || l->told)
		return;
	(void)kill(-l->pid, SIGTERM);
	l->told = true;
	l->next_ms = now_ms() + LEFTOVER_MS;
}

void
launched_asker_gone(struct super *p, struct proc *pr)
{
	size_t i;

	for (i = 0; i < p->n_launched; i++) {
		struct launched *l = &p->launched[i];

		if (l->asker != pr)
			continue;
		l->mine = false;
		if (!l->lock)
			launched_stop(p, l);
	}
}

void
launched_ended(struct super *p, struct launched *l, int status)
{
	char why[64];

	log_debug("-", "%s %s pid=%d ended: %s", l->program, l->verb,
	    (int)l->pid, child_status(status, why));
	l->ended = true;
	l->status = status;
	p->dirty = true;
}

/* Say how it ended; 0 when its asker's socket is full: later. */
static int
tell(struct launched *l)
{
	Super__Reply r = SUPER__REPLY__INIT;
	Super__Ended ended = SUPER__ENDED__INIT;

	if (!l->mine || l->asker->sock == -1)
		return 1;
	ended.pid = l->pid;
	ended.status = l->status;
	r.ended = &ended;
	return super_send(l->asker->sock, &r.base, NULL, 0) == 0 ||
	       errno != EAGAIN;
}

void
launched_turn(struct super *p, int64_t now)
{
	size_t i = 0;

	while (i < p->n_launched) {
		struct launched *l = &p->launched[i];

		if (l->ended && tell(l)) {
			*l = p->launched[--p->n_launched];
			continue;
		}
		if (!l->ended && l->told && now >= l->next_ms) {
			(void)kill(-l->pid, SIGKILL);
			l->next_ms = now + LEFTOVER_MS;
		}
		i++;
	}
}

/*
 * After a reload: a resident with another slice is ended, and its asker starts
 * it again.  A running stage goes on with what it was started with.
 */
void
launched_reload(struct super *p)
{
	struct buf b = BUF_INIT;
	struct program prog;
	struct err e;
	size_t i;

	for (i = 0; i < p->n_launched; i++) {
		struct launched *l = &p->launched[i];

		if (l->ended || l->lock)
			continue;
		if (p->how->find(&prog, p->conf, l->program, &e) == -1 ||
		    slice_hash(p, &prog, &b) != l->slice)
			launched_stop(p, l);
	}
	wipe(&b);
}
