/*
 * launch.h as its callers see it, and the form that starts programs in this
 * very process, for a shell pipe.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher.h"
#include "super.h"

struct launcher *
launcher_open(const struct conf_piped *conf, struct err *e)
{
	struct launcher *l = xcalloc(1, sizeof(*l));

	l->conf = conf;
	l->pending = l->sock = -1;
	if ((l->epoll = epoll_create1(EPOLL_CLOEXEC)) == -1) {
		err_sys(e, "epoll_create");
	} else if (conf == NULL && ask_open(l, e) == -1) {
		ask_close(l);
		close(l->epoll);
	} else {
		return l;
	}
	free(l);
	return NULL;
}

void
launcher_close(struct launcher *l)
{
	size_t i;

	if (l == NULL)
		return;
	for (i = 0; i < l->n; i++)
		close(l->running[i].pidfd);
	free(l->running);
	if (l->conf == NULL)
		ask_close(l);
	close(l->epoll);
	free(l);
}

int
launcher_fd(const struct launcher *l)
{
	return l->epoll;
}

/* Become the one who is told when it ends. */
static int
watch(struct launcher *l, pid_t pid, struct err *e)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int fd = child_pidfd(pid);

	ev.data.u64 = (uint64_t)pid;
	if (fd == -1 || epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &ev) == -1) {
		err_sys(e, "watch pid %d", (int)pid);
		if (fd != -1)
			close(fd);
		return -1;
	}
	if (l->n == l->cap) {
		l->cap = l->cap * 2 + 16;
		l->running = xrealloc(l->running, l->cap * sizeof(*l->running));
	}
	l->running[l->n++] = (struct running){ pid, fd };
	return 0;
}

static struct running *
find(struct launcher *l, pid_t pid)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		if (l->running[i].pid == pid)
			return &l->running[i];
	return NULL;
}

static pid_t
launch_here(struct launcher *l, const struct launch *what, struct err *e)
{
	struct start s = { .in = what->in,
		.out = what->out,
		.err = what->err,
		.lock = what->lock,
		.ready = -1,
		.super = -1 };
	struct buf slice = BUF_INIT;
	const char *args[LAUNCH_ARGS + 2];
	size_t n = 0, i;
	pid_t pid = -1;

	if (what->verb != NULL)
		args[n++] = what->verb;
	for (i = 0; what->args != NULL && what->args[i] != NULL; i++) {
		if (i == LAUNCH_ARGS)
			return err_set(e, RC_PERM, "%s: more than %d arguments",
			    what->program, LAUNCH_ARGS);
		args[n++] = what->args[i];
	}
	args[n] = NULL;
	s.args = args;
	if (program_get(&s.program, l->conf, what->program, e) == -1)
		return -1;
	program_slice(&slice, &s.program, l->conf);
	s.slice = slice.p;
	s.slice_len = slice.len;
	if ((pid = program_start(&s, e)) != -1 && watch(l, pid, e) == -1) {
		(void)child_stop(pid, 0);
		pid = -1;
	}
	/* It was there in clear for as short as could be. */
	explicit_bzero(slice.p, slice.len);
	buf_free(&slice);
	return pid;
}

pid_t
launch(struct launcher *l, const struct launch *what, struct err *e)
{
	return l->conf != NULL ? launch_here(l, what, e)
			       : ask_launch(l, what, e);
}

int
launcher_next(struct launcher *l, pid_t *pid, int *status)
{
	struct epoll_event ev;
	struct running *r;
	siginfo_t si;

	if (l->conf == NULL)
		return ask_next(l, pid, status);
	while (epoll_wait(l->epoll, &ev, 1, 0) == 1) {
		*pid = (pid_t)ev.data.u64;
		r = find(l, *pid);
		must(r != NULL);
		/*
		 * Whoever it left in its group goes with it.  While it is not
		 * yet reaped nobody else can have that number.
		 */
		(void)waitid(P_PID, (id_t)*pid, &si, WEXITED | WNOWAIT);
		(void)kill(-*pid, SIGKILL);
		(void)epoll_ctl(l->epoll, EPOLL_CTL_DEL, r->pidfd, NULL);
		close(r->pidfd);
		*r = l->running[--l->n];
		if (waitpid(*pid, status, 0) == *pid)
			return 1;
		log_warn("-", "child %d was waited for elsewhere", (int)*pid);
	}
	return 0;
}

int
launcher_kill(struct launcher *l, pid_t pid, int sig, struct err *e)
{
	if (l->conf == NULL)
		return ask_kill(l, pid, sig, e);
	if (find(l, pid) == NULL)
		return err_set(
		    e, RC_PERM, "pid %d: not started here", (int)pid);
	if (kill(-pid, sig) == -1 && errno != ESRCH)
		return err_sys(e, "kill %d", (int)pid);
	return 0;
}

int
launcher_holders(struct launcher *l, const char *lock, int sig, bool spare,
    struct buf *who, struct err *e)
{
	if (l->conf == NULL)
		return ask_holders(l, lock, sig, spare, who, e);
	return holders_end(l->conf->state_dir, lock, sig, spare, 0, who, e);
}
