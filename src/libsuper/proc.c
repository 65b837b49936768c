/*
 * Daemons: each is a small state machine that time, its readiness and its end
 * move on.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervise.h"

const char *
proc_state_name(enum proc_state s)
{
	static const char *const names[] = { "off", "waiting", "starting",
		"ready", "stopping", "failed" };

	return names[s];
}

void
proc_state(struct super *p, struct proc *pr, enum proc_state s)
{
	pr->state = s;
	pr->since_s = wall_s();
	p->dirty = true;
}

static bool
asks(const struct super *p, const char *name)
{
	struct program any = { .row = NULL };
	size_t i;

	if (p->how->find == NULL)
		return false;
	/* The door to the control plane, for a restart. */
	if (strcmp(name, "report") == 0)
		return true;
	/* checkout is what every asker may have. */
	for (i = 0; i < n_services; i++)
		if (services[i].who == WHO_CHECKOUT)
			any.row = &services[i];
	return any.row != NULL && program_may(name, &any, NULL);
}

static struct proc *
proc_get(struct super *p, const struct service *row, unsigned index)
{
	struct proc *pr;
	size_t i;

	for (i = 0; i < p->n_procs; i++)
		if (p->procs[i].program.row == row &&
		    p->procs[i].index == index)
			return &p->procs[i];
	must(p->n_procs < PROCS);
	pr = &p->procs[p->n_procs++];
	pr->program.name = row->name;
	pr->program.row = row;
	pr->index = index;
	(void)snprintf(pr->name, sizeof(pr->name), "%s", row->name);
	if (index > 0)
		(void)snprintf(pr->name, sizeof(pr->name), "%.15s-%u",
		    row->name, index + 1);
	pr->slice = (struct buf)BUF_INIT;
	pr->ready = pr->sock = -1;
	return pr;
}

/* Which daemons there are to be, by the configuration as it is now. */
void
procs_count(struct super *p)
{
	const struct service *row;
	unsigned n;
	size_t i;

	for (i = 0; i < p->n_procs; i++)
		p->procs[i].wanted = false;
	for (i = 0; p->how->services[i].name != NULL; i++) {
		row = &p->how->services[i];
		if (row->run != RUN_DAEMON && row->run != RUN_CONTROL)
			continue;
		(void)proc_get(p, row, 0);
		for (n = 0; n < p->how->count(p, row); n++)
			proc_get(p, row, n)->wanted = true;
	}
}

static void
close_fd(int *fd)
{
	if (*fd != -1)
		close(*fd);
	*fd = -1;
}

static void
keep_slice(struct super *p, struct proc *pr)
{
	if (pr->slice.cap > 0)
		explicit_bzero(pr->slice.p, pr->slice.cap);
	buf_reset(&pr->slice);
	p->how->slice(&pr->slice, &pr->program, p->conf);
}

static void
died(struct super *p, struct proc *pr, int64_t now)
{
	int64_t lived = now - pr->started_ms;

	pr->deaths[pr->n_deaths++ % DEATHS] = now;
	pr->restarts++;
	if (lived >= STEADY_MS || pr->backoff_ms == 0)
		pr->backoff_ms = BACKOFF_MS;
	else if ((pr->backoff_ms *= 2) > BACKOFF_MAX_MS)
		pr->backoff_ms = BACKOFF_MAX_MS;
	/* The next slot of the ring is the oldest of the last DEATHS. */
	if (pr->n_deaths >= DEATHS &&
	    now - pr->deaths[pr->n_deaths % DEATHS] < DEATHS_MS) {
		log_error("-", "%s died %d times in %d s (%s): giving up",
		    pr->name, DEATHS, DEATHS_MS / 1000, pr->last);
		proc_state(p, pr, PROC_FAILED);
		super_drain(p, RC_TEMP);
		return;
	}
	log_warn("-", "%s ended: %s after %lld.%lld s; again in %lld ms",
	    pr->name, pr->last, (long long)lived / 1000,
	    (long long)lived % 1000 / 100, (long long)pr->backoff_ms);
	pr->next_ms = now + pr->backoff_ms;
	proc_state(p, pr, PROC_WAITING);
}

void
proc_start(struct super *p, struct proc *pr)
{
	const char *args[8] = { NULL };
	int ready[2] = { -1, -1 }, sock[2] = { -1, -1 };
	struct start s = { .program = pr->program,
		.accounts = super_accounts(p),
		.args = args,
		.in = -1,
		.out = -1,
		.err = STDERR_FILENO,
		.lock = -1,
		.death_signal = SIGKILL };
	struct arena *a = arena_new();
	struct err e;

	pr->started_ms = now_ms();
	pr->again = false;
	if (p->how->args(p, pr, &s, args, a, &e) == -1)
		goto fail;
	if (pipe2(ready, O_CLOEXEC | O_NONBLOCK) == -1 ||
	    (asks(p, pr->program.name) &&
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock) ==
		    -1)) {
		err_sys(&e, "start %s", pr->name);
		goto fail;
	}
	keep_slice(p, pr);
	if (p->how->before != NULL)
		p->how->before(p, pr->program.name);
	s.ready = ready[1];
	s.super = sock[1];
	s.slice = pr->slice.p;
	s.slice_len = pr->slice.len;
	if ((pr->pid = program_start(&s, &e)) == -1) {
		pr->pid = 0;
		goto fail;
	}
	close(ready[1]);
	close_fd(&sock[1]);
	arena_free(a);
	pr->ready = ready[0];
	pr->sock = sock[0];
	pr->start = state_start(pr->pid);
	pr->next_ms = pr->started_ms + READY_MS;
	proc_state(p, pr, PROC_STARTING);
	return;
fail:
	arena_free(a);
	close_fd(&ready[0]);
	close_fd(&ready[1]);
	close_fd(&sock[0]);
	close_fd(&sock[1]);
	log_error("-", "%s", e.text);
	(void)snprintf(pr->last, sizeof(pr->last), "cannot start");
	if (e.exit == RC_PERM) {
		proc_state(p, pr, PROC_FAILED);
		if (p->phase == PHASE_START)
			super_drain(p, RC_PERM);
	} else {
		/* No process, no descriptor: later there may be one. */
		died(p, pr, pr->started_ms);
	}
}

void
proc_stop(struct super *p, struct proc *pr, int64_t grace_ms)
{
	if (pr->pid == 0) {
		proc_state(p, pr, PROC_OFF);
		return;
	}
	(void)kill(-pr->pid, SIGTERM);
	pr->next_ms = now_ms() + grace_ms;
	proc_state(p, pr, PROC_STOPPING);
}

void
proc_ready(struct super *p, struct proc *pr)
{
	char c;
	ssize_t n = read(pr->ready, &c, 1);

	if (n == -1)
		return;
	close_fd(&pr->ready);
	if (n == 0 || pr->state != PROC_STARTING)
		return; /* its end comes as SIGCHLD */
	log_debug("-", "%s ready pid=%d ms=%lld", pr->name, (int)pr->pid,
	    (long long)(now_ms() - pr->started_ms));
	proc_state(p, pr, PROC_READY);
}

void
proc_ended(struct super *p, struct proc *pr, int status)
{
	bool told = pr->state == PROC_STOPPING;
	char why[64];

	(void)snprintf(
	    pr->last, sizeof(pr->last), "%s", child_status(status, why));
	pr->pid = 0;
	pr->start = 0;
	/* What it asked for just before its end is not started any more. */
	close_fd(&pr->ready);
	close_fd(&pr->sock);
	launched_asker_gone(p, pr);
	if (told || p->phase >= PHASE_STOP_1) {
		log_debug("-", "%s ended: %s", pr->name, pr->last);
		proc_state(p, pr, PROC_OFF);
		pr->next_ms = 0;
		return;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == RC_PERM) {
		log_error("-",
		    "%s ended: exit 100: it would fail again, so it is not "
		    "started again before a reload (SIGHUP)",
		    pr->name);
		proc_state(p, pr, PROC_FAILED);
		if (p->phase == PHASE_START)
			super_drain(p, RC_PERM);
		return;
	}
	died(p, pr, now_ms());
}

/* Whether all that start before it are there, or keep nobody waiting. */
static bool
its_turn(const struct super *p, const struct proc *pr, int64_t now)
{
	const struct proc *o;
	size_t i;

	for (i = 0; i < p->n_procs; i++) {
		o = &p->procs[i];
		if (!o->wanted ||
		    o->program.row->start >= pr->program.row->start)
			continue;
		if (o->state == PROC_OFF ||
		    (o->state == PROC_STARTING &&
			now - o->started_ms < SETTLE_MS))
			return false;
	}
	return true;
}

static void
turn(struct super *p, struct proc *pr, int64_t now)
{
	switch (pr->state) {
	case PROC_OFF:
		if (p->phase <= PHASE_RUN && pr->wanted && its_turn(p, pr, now))
			proc_start(p, pr);
		break;
	case PROC_WAITING:
		if (p->phase > PHASE_RUN)
			proc_state(p, pr, PROC_OFF);
		else if (now >= pr->next_ms)
			proc_start(p, pr);
		break;
	case PROC_STARTING:
		if (now >= pr->next_ms) {
			log_warn("-", "%s: not ready after %d s: killed",
			    pr->name, READY_MS / 1000);
			(void)kill(-pr->pid, SIGKILL);
			pr->next_ms = now + READY_MS;
		}
		break;
	case PROC_STOPPING:
		if (now >= pr->next_ms) {
			log_warn(
			    "-", "%s: did not end in time: killed", pr->name);
			(void)kill(-pr->pid, SIGKILL);
			pr->next_ms = now + STOP_MS;
		}
		break;
	case PROC_READY:
	case PROC_FAILED:
		break;
	}
}

void
procs_turn(struct super *p, int64_t now)
{
	size_t i;

	for (i = 0; i < p->n_procs; i++)
		turn(p, &p->procs[i], now);
}
