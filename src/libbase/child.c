#include "base.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int
signals_open(struct err *e)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	must(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	(void)signal(SIGPIPE, SIG_IGN);
	if ((fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)) == -1)
		return err_sys(e, "signalfd");
	return fd;
}

int
signals_next(int fd)
{
	struct signalfd_siginfo si;

	if (read(fd, &si, sizeof(si)) != sizeof(si))
		return 0;
	return (int)si.ssi_signo;
}

void
ready(void)
{
	if (getenv("PIPECD_READY") == NULL)
		return;
	if (write(FD_READY, "\n", 1) == -1)
		log_warn("-", "nobody waits for our readiness");
	close(FD_READY);
	unsetenv("PIPECD_READY");
}

size_t
listen_fds(struct listening l[LISTEN_MAX])
{
	const char *s = getenv("PIPECD_LISTEN");
	size_t n = 0, len;
	int fd;

	for (; s != NULL && n < LISTEN_MAX; s += len, n++) {
		s += strspn(s, " ");
		if ((len = strcspn(s, " ")) == 0)
			break;
		fd = l[n].fd = FD_LISTEN + (int)n;
		(void)snprintf(
		    l[n].name, sizeof(l[n].name), "%.*s", (int)len, s);
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
		(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	}
	return n;
}

static void
limit(int what, uint64_t n)
{
	struct rlimit r = { .rlim_cur = n, .rlim_max = n };

	if (n != 0)
		(void)setrlimit((__rlimit_resource_t)what, &r);
}

/*
 * In the child, between fork and exec: only async-signal-safe calls.  The
 * descriptors are first moved above all targets, so that none is lost when
 * one is wanted where another still is.
 */
static void
arrange(const struct child *c)
{
	int fd[NITEMS(c->fd)], i;

	for (i = 0; i < (int)NITEMS(fd); i++) {
		fd[i] = c->fd[i];
		if (fd[i] == -1 && i <= 2)
			fd[i] = open("/dev/null", i == 0 ? O_RDONLY : O_WRONLY);
		if (fd[i] != -1)
			fd[i] = fcntl(fd[i], F_DUPFD, 64);
	}
	for (i = 0; i < (int)NITEMS(fd); i++)
		if (fd[i] != -1)
			(void)dup2(fd[i], i);
		else
			(void)close(i);
}

/*
 * Become another user.  The calls themselves: those of libc would do the same
 * to all threads of the process whose memory we borrow.
 */
static int
another(const struct child *c)
{
	gid_t g = c->gid;
	uid_t u = c->uid;

	return syscall(SYS_setgroups, c->n_groups, c->groups) == -1 ||
		       syscall(SYS_setresgid, g, g, g) == -1 ||
		       syscall(SYS_setresuid, u, u, u) == -1
		   ? -1
		   : 0;
}

static noreturn void
become(const struct child *c, char *const *argv, char *const *env,
    const sigset_t *none, int report, pid_t parent)
{
	int no;

	report = fcntl(report, F_DUPFD_CLOEXEC, 128);
	arrange(c);
	(void)close_range(NITEMS(c->fd), (unsigned)report - 1, 0);
	(void)close_range((unsigned)report + 1, ~0U, 0);
	if (!c->same_group)
		(void)setpgid(0, 0);
	limit(RLIMIT_AS, c->mem_bytes);
	limit(RLIMIT_CPU, c->cpu_s);
	limit(RLIMIT_FSIZE, c->file_bytes);
	limit(RLIMIT_NOFILE, c->nofile);
	if (c->nice != 0)
		(void)setpriority(PRIO_PROCESS, 0, c->nice);
	if (c->dir != NULL && chdir(c->dir) == -1)
		goto fail;
	if (c->uid != 0 && another(c) == -1)
		goto fail;
	/* After setresuid, which clears it; the parent may be gone by now. */
	if (c->death_signal != 0) {
		(void)prctl(PR_SET_PDEATHSIG, (unsigned long)c->death_signal);
		if (getppid() != parent)
			_exit(RC_TEMP);
	}
	(void)signal(SIGPIPE, SIG_DFL);
	(void)sigprocmask(SIG_SETMASK, none, NULL);
	execvpe(c->path != NULL ? c->path : argv[0], argv, env);
fail:
	no = errno;
	(void)!write(report, &no, sizeof(no));
	_exit(RC_PERM);
}

pid_t
child_start(const struct child *c, struct err *e)
{
	static const char path[] =
	    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	static const char *const plain[] = { path, NULL };
	const char *const *env = c->env != NULL ? c->env : plain;
	char *const *argv_mut, *const *env_mut;
	int pipefd[2], no = 0;
	sigset_t all, old, none;
	pid_t pid, parent = getpid();

	/* exec takes char *const[] and does not write to it (POSIX). */
	memcpy(&argv_mut, &c->argv, sizeof(argv_mut));
	memcpy(&env_mut, &env, sizeof(env_mut));
	if (pipe2(pipefd, O_CLOEXEC) == -1)
		return err_sys(e, "pipe");
	sigfillset(&all);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &all, &old);
	/*
	 * vfork: the child borrows our memory until exec, so that a start
	 * costs the same however large we are.
	 */
	pid = vfork();
	if (pid == 0)
		become(c, argv_mut, env_mut, &none, pipefd[1], parent);
	sigprocmask(SIG_SETMASK, &old, NULL);
	close(pipefd[1]);
	if (pid == -1) {
		close(pipefd[0]);
		return err_sys(e, "start %s", c->argv[0]);
	}
	if (read(pipefd[0], &no, sizeof(no)) == sizeof(no)) {
		close(pipefd[0]);
		(void)waitpid(pid, NULL, 0);
		errno = no;
		return err_sys(e, "start %s", c->argv[0]);
	}
	close(pipefd[0]);
	return pid;
}

int
child_pidfd(pid_t pid)
{
	return pidfd_open(pid, 0);
}

const char *
child_status(int status, char dst[64])
{
	if (WIFSIGNALED(status))
		(void)snprintf(dst, 64, "signal %d (%s)", WTERMSIG(status),
		    strsignal(WTERMSIG(status)));
	else
		(void)snprintf(dst, 64, "exit %d", WEXITSTATUS(status));
	return dst;
}

int
child_stop(pid_t pid, int64_t grace_ms)
{
	struct pollfd p = { .fd = child_pidfd(pid), .events = POLLIN };
	int status = 0;

	(void)kill(-pid, SIGTERM);
	if (p.fd != -1) {
		(void)poll(&p, 1, (int)grace_ms);
		close(p.fd);
	}
	(void)kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
		;
	return status;
}

/* Keep the last `max` bytes: the end of an error output says why. */
static void
keep_tail(struct buf *b, size_t max)
{
	if (b->len <= max)
		return;
	memmove(b->p, b->p + b->len - max, max);
	b->len = max;
	b->p[max] = '\0';
}

enum {
	P_IN,
	P_OUT,
	P_ERR,
	P__N
};

/* One turn of child_run's loop over its pipes; -1 with *e when over a limit. */
static int
pump(struct pollfd *p, const struct buf *in, size_t *sent, struct buf *out,
    size_t max_out, struct buf *errout, const char *name, struct err *e)
{
	struct buf *dst[P__N] = { NULL, out, errout };
	ssize_t n;
	int i;

	if (in != NULL && p[P_IN].revents != 0) {
		n = write(p[P_IN].fd, in->p + *sent, in->len - *sent);
		if (n > 0)
			*sent += (size_t)n;
		if ((n == -1 && errno != EAGAIN) || *sent == in->len) {
			close(p[P_IN].fd);
			p[P_IN].fd = -1;
		}
	}
	for (i = P_OUT; i <= P_ERR; i++) {
		if (dst[i] == NULL || p[i].revents == 0)
			continue;
		buf_grow(dst[i], 16384);
		n = read(p[i].fd, dst[i]->p + dst[i]->len, 16384);
		if (n > 0) {
			dst[i]->len += (size_t)n;
			dst[i]->p[dst[i]->len] = '\0';
		} else if (n == 0 || errno != EAGAIN) {
			close(p[i].fd);
			p[i].fd = -1;
		}
		if (i == P_ERR)
			keep_tail(dst[i], 16384);
		else if (dst[i]->len > max_out)
			return err_set(e, RC_PERM,
			    "%s: wrote more than %zu bytes", name, max_out);
	}
	return 0;
}

int
child_run(const struct child *c0, const struct buf *in, struct buf *out,
    size_t max_out, struct buf *errout, int64_t timeout_ms, struct err *e)
{
	struct pollfd p[P__N] = { { .fd = -1, .events = POLLOUT },
		{ .fd = -1, .events = POLLIN },
		{ .fd = -1, .events = POLLIN } };
	int64_t end = now_ms() + timeout_ms, left = -1;
	bool want[P__N] = { in != NULL && in->len > 0, out != NULL,
		errout != NULL };
	int pipes[P__N][2] = { { -1, -1 }, { -1, -1 }, { -1, -1 } };
	struct child c = *c0;
	size_t sent = 0;
	pid_t pid = -1;
	int i, status, rv = -1;

	for (i = 0; i < P__N; i++) {
		if (!want[i])
			continue;
		if (pipe2(pipes[i], O_CLOEXEC) == -1) {
			err_sys(e, "pipe");
			goto out;
		}
		c.fd[i] = pipes[i][i == P_IN ? 0 : 1];
		p[i].fd = pipes[i][i == P_IN ? 1 : 0];
		(void)fcntl(p[i].fd, F_SETFL, O_NONBLOCK);
	}
	pid = child_start(&c, e);
	for (i = 0; i < P__N; i++)
		if (want[i])
			close(pipes[i][i == P_IN ? 0 : 1]);
	if (pid == -1)
		goto out;
	while (p[P_IN].fd != -1 || p[P_OUT].fd != -1 || p[P_ERR].fd != -1) {
		if (timeout_ms > 0 && (left = end - now_ms()) <= 0)
			break;
		(void)poll(p, P__N, (int)left);
		if (pump(p, in, &sent, out, max_out, errout, c.argv[0], e) ==
		    -1)
			goto out;
	}
	/* The pipes are closed, but it may still run. */
	struct pollfd end_fd = { .fd = child_pidfd(pid), .events = POLLIN };

	left = timeout_ms > 0 ? end - now_ms() : -1;
	i = poll(&end_fd, 1, left < 0 && timeout_ms > 0 ? 0 : (int)left);
	close(end_fd.fd);
	if (i != 1) {
		err_set(e, RC_TEMP, "%s: not done after %lld ms, killed",
		    c.argv[0], (long long)timeout_ms);
		goto out;
	}
	(void)kill(-pid, SIGKILL); /* whoever it left behind */
	while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
		;
	pid = -1;
	rv = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
out:
	if (pid > 0)
		(void)child_stop(pid, 0);
	for (i = 0; i < P__N; i++)
		if (p[i].fd != -1)
			close(p[i].fd);
	return rv;
}
