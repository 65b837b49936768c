#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervise.h"

enum {
	PFD_SIGNAL,
	PFD_STATE,
	PFD_READY,		     /* one per daemon */
	PFD_ASK = PFD_READY + PROCS, /* the same */
	PFD__N = PFD_ASK + PROCS
};

void
super_drain(struct super *p, int code)
{
	if (p->phase >= PHASE_STOP_1)
		return;
	p->phase = PHASE_STOP_1;
	p->phase_end_ms = 0;
	p->drain_end_ms = now_ms() + p->grace_ms;
	p->exit = code;
	p->dirty = true;
	notify("STOPPING=1\nSTATUS=draining");
}

/* Tell what stops in this order to end, once; how many still run. */
static int
stop_order(struct super *p, int order, int64_t now)
{
	int64_t grace = p->drain_end_ms - now;
	int left = 0;
	size_t i;

	if (grace > STOP_MS && order != p->how->grace_order)
		grace = STOP_MS;
	/* Whoever had all of the grace period leaves some to those after. */
	if (grace < AFTER_MS && order > p->how->grace_order &&
	    p->drain_end_ms != 0)
		grace = AFTER_MS;
	for (i = 0; i < p->n_procs; i++) {
		struct proc *pr = &p->procs[i];

		if (pr->program.row->stop != order)
			continue;
		if (pr->state == PROC_STARTING || pr->state == PROC_READY ||
		    (pr->state == PROC_STOPPING && p->phase_end_ms == 0))
			proc_stop(p, pr, grace > 0 ? grace : 0);
		left += pr->pid != 0;
	}
	return left;
}

static int
stop_leftover(struct super *p)
{
	int left = 0;
	size_t i;

	for (i = 0; i < p->n_launched; i++) {
		launched_stop(p, &p->launched[i]);
		left += !p->launched[i].ended;
	}
	return left;
}

/* One phase after the other, each when the one before has ended. */
static void
drain_turn(struct super *p, int64_t now)
{
	int left;

	while (p->phase >= PHASE_STOP_1 && p->phase < PHASE_DONE) {
		if (p->phase == PHASE_LEFTOVER)
			left = stop_leftover(p);
		else
			left = stop_order(p, p->phase - PHASE_STOP_1 + 1, now);
		p->phase_end_ms = 1; /* they have been told */
		if (left > 0)
			return;
		p->phase++;
		p->phase_end_ms = 0;
	}
}

/*
 * Everything that has ended.  A child that is not reaped yet keeps its number,
 * so that its group can be ended with it: nothing that a program left behind
 * runs on.  Whom we do not know are orphans of a container whose init we are.
 */
static void
reap(struct super *p)
{
	siginfo_t si;
	pid_t pid;
	size_t i;
	int status;

	for (;;) {
		si.si_pid = 0;
		if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) == -1 ||
		    (pid = si.si_pid) == 0)
			return;
		for (i = 0; i < p->n_procs; i++)
			if (p->procs[i].pid == pid)
				(void)kill(-pid, SIGKILL);
		for (i = 0; i < p->n_launched; i++)
			if (p->launched[i].pid == pid && !p->launched[i].ended)
				(void)kill(-pid, SIGKILL);
		if (waitpid(pid, &status, 0) != pid)
			return;
		for (i = 0; i < p->n_launched; i++)
			if (p->launched[i].pid == pid && !p->launched[i].ended)
				launched_ended(p, &p->launched[i], status);
		for (i = 0; i < p->n_procs; i++)
			if (p->procs[i].pid == pid)
				proc_ended(p, &p->procs[i], status);
	}
}

static void
signals(struct super *p)
{
	int sig;

	while ((sig = signals_next(p->signals)) != 0) {
		switch (sig) {
		case SIGCHLD:
			reap(p);
			break;
		case SIGHUP:
			if (p->phase <= PHASE_RUN)
				config_reload(p);
			break;
		default:
			if (p->phase >= PHASE_STOP_1)
				p->drain_end_ms = 0; /* twice: at once */
			log_info("-", "%s: draining", strsignal(sig));
			super_drain(p, RC_OK);
		}
	}
}

/* The first time that all are ready, and that it is time to say so. */
static void
started(struct super *p)
{
	bool failed = false;
	size_t i;

	if (p->phase != PHASE_START)
		return;
	for (i = 0; i < p->n_procs; i++) {
		if (!p->procs[i].wanted)
			continue;
		if (p->procs[i].state == PROC_FAILED)
			failed = true;
		else if (p->procs[i].state != PROC_READY)
			return;
	}
	p->phase = PHASE_RUN;
	p->dirty = true;
	notify("READY=1\nSTATUS=%s", failed ? "degraded" : "all programs run");
	log_info("-", "ready stateDir=%s", p->state_dir);
}

static int64_t
sooner(int64_t a, int64_t b)
{
	return a == -1 || b < a ? b : a;
}

/* When time itself brings something next; -1: never. */
static int64_t
next_ms(const struct super *p)
{
	int64_t at = -1;
	size_t i;

	for (i = 0; i < p->n_procs; i++) {
		const struct proc *pr = &p->procs[i];

		if (pr->state == PROC_WAITING || pr->state == PROC_STARTING ||
		    pr->state == PROC_STOPPING)
			at = sooner(at, pr->next_ms);
		if (pr->state == PROC_STARTING && p->phase == PHASE_START)
			at = sooner(at, pr->started_ms + SETTLE_MS);
	}
	for (i = 0; i < p->n_launched; i++)
		if (p->launched[i].told && !p->launched[i].ended)
			at = sooner(at, p->launched[i].next_ms);
	if (p->watchdog_ms > 0)
		at = sooner(at, p->watchdog_next_ms);
	if (p->check_ms > 0)
		at = sooner(at, p->check_ms);
	return at;
}

static bool
owes(const struct super *p, const struct proc *pr)
{
	size_t i;

	for (i = 0; i < p->n_launched; i++)
		if (p->launched[i].ended && p->launched[i].asker == pr)
			return true;
	return false;
}

static void
wait_for(struct super *p, struct pollfd *pfd)
{
	int64_t at = next_ms(p), left = -1;
	size_t i;

	for (i = 0; i < PFD__N; i++)
		pfd[i] = (struct pollfd){ .fd = -1, .events = POLLIN };
	pfd[PFD_SIGNAL].fd = p->signals;
	pfd[PFD_STATE].fd = p->inotify;
	for (i = 0; i < p->n_procs; i++) {
		pfd[PFD_READY + i].fd = p->procs[i].ready;
		pfd[PFD_ASK + i].fd = p->procs[i].sock;
		if (owes(p, &p->procs[i]))
			pfd[PFD_ASK + i].events |= POLLOUT;
	}
	if (at != -1 && (left = at - now_ms()) < 0)
		left = 0;
	if (poll(pfd, PFD__N, left > 1000000 ? 1000000 : (int)left) <= 0)
		for (i = 0; i < PFD__N; i++)
			pfd[i].revents = 0;
}

/* The state directory was removed under us. */
static void
state_anew(struct super *p)
{
	struct err e;
	size_t i;

	p->check_ms = 0;
	switch (state_check(p, &e)) {
	case -1:
		log_error("-", "%s", e.text);
		super_drain(p, e.exit);
		break;
	case 1:
		for (i = 0; i < p->n_procs; i++)
			if (p->procs[i].pid != 0 &&
			    p->procs[i].state != PROC_STOPPING)
				proc_stop(p, &p->procs[i], STOP_MS);
		p->dirty = true;
	}
}

static void
turn(struct super *p, const struct pollfd *pfd)
{
	int64_t now = now_ms();
	size_t i;

	/* Asks first: who asked and then ended has asked all the same. */
	for (i = 0; i < p->n_procs; i++) {
		if (pfd[PFD_ASK + i].revents & (POLLIN | POLLHUP) &&
		    p->procs[i].sock != -1)
			launched_asked(p, &p->procs[i]);
		if (pfd[PFD_READY + i].revents != 0 && p->procs[i].ready != -1)
			proc_ready(p, &p->procs[i]);
	}
	if (pfd[PFD_SIGNAL].revents != 0)
		signals(p);
	if (pfd[PFD_STATE].revents != 0 && p->check_ms == 0)
		p->check_ms = now + CHECK_MS;
	if (p->check_ms > 0 && now >= p->check_ms && p->phase <= PHASE_RUN)
		state_anew(p);
	procs_turn(p, now);
	launched_turn(p, now);
	drain_turn(p, now);
	started(p);
	if (p->watchdog_ms > 0 && now >= p->watchdog_next_ms) {
		notify("WATCHDOG=1");
		p->watchdog_next_ms = now + p->watchdog_ms;
	}
}

int
super_loop(struct super *p, struct err *e)
{
	struct pollfd pfd[PFD__N] = { 0 };
	bool said = false;

	while (p->phase != PHASE_DONE) {
		turn(p, pfd);
		if (p->dirty) {
			p->dirty = false;
			if (status_write(p, e) == 0)
				said = false;
			else if (!said) { /* a full disk stops no deployment */
				log_warn("-", "status: %s", e->text);
				said = true;
			}
		}
		if (p->phase != PHASE_DONE)
			wait_for(p, pfd);
	}
	return p->exit;
}
