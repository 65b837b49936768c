#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	TAIL_MAX = 2 * 1024,
	LOG_MAX = 8 * 1024 * 1024, /* of command output kept per stage */
	LINE_LEN = 16 * 1024,	   /* a longer line is broken up */
	MEM_EVERY_MS = 50,	   /* between looks at a memory file */
};

void
env_put(struct env *env, struct arena *a, const char *key, const char *v)
{
	size_t len = strlen(key), i;
	char *kv = arena_printf(a, "%s=%s", key, v);

	for (i = 0; i < env->n; i++)
		if (strncmp(env->v[i], kv, len + 1) == 0) {
			env->v[i] = kv;
			return;
		}
	if (env->n + 2 > env->cap) {
		const char **old = env->v;

		env->cap = env->cap == 0 ? 32 : env->cap * 2;
		env->v = arena_array(a, const char *, env->cap);
		if (env->n > 0)
			memcpy(env->v, old, env->n * sizeof(*old));
	}
	env->v[env->n++] = kv;
	env->v[env->n] = NULL;
}

void
env_init(struct env *env, struct arena *a)
{
	static const char *const keep[] = { "HOME", "USER", "LOGNAME", "LANG",
		"LC_ALL", "TZ", "TMPDIR", "XDG_RUNTIME_DIR" };
	const char *v;
	size_t i;

	memset(env, 0, sizeof(*env));
	v = getenv("PATH");
	env_put(env, a, "PATH",
	    v != NULL ? v
		      : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:"
			"/sbin:/bin");
	for (i = 0; i < NITEMS(keep); i++)
		if ((v = getenv(keep[i])) != NULL)
			env_put(env, a, keep[i], v);
}

/* The children of a process, by the kernel's own list. */
static size_t
children(pid_t pid, pid_t *out, size_t max)
{
	char path[64], text[4096];
	size_t n = 0;
	char *p = text, *end;
	ssize_t len;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%ld/task/%ld/children",
	    (long)pid, (long)pid);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return 0;
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (len <= 0)
		return 0;
	text[len] = '\0';
	while (n < max) {
		long v = strtol(p, &end, 10);

		if (end == p)
			break;
		out[n++] = (pid_t)v;
		p = end;
	}
	return n;
}

/* Signal all that is below `pid` (and it, when it is not us). */
static size_t
signal_tree(pid_t pid, int sig, int depth)
{
	pid_t below[256];
	size_t n = depth < 64 ? children(pid, below, NITEMS(below)) : 0, i;
	size_t all = n;

	if (pid != getpid())
		(void)kill(pid, sig);
	for (i = 0; i < n; i++)
		all += signal_tree(below[i], sig, depth + 1);
	return all;
}

/* End what a command left behind; a daemon may stay where that is wanted. */
static void
sweep(struct run *r, const struct command *c)
{
	pid_t left[256];
	size_t n = children(getpid(), left, NITEMS(left)), i, ended = 0;
	int status;

	for (i = 0; i < n; i++) {
		if (c->keep_daemons && getsid(left[i]) != getsid(0)) {
			stage_log(r, "INFO",
			    "process %ld goes on by itself, in a session of "
			    "its own",
			    (long)left[i]);
			continue;
		}
		(void)signal_tree(left[i], SIGKILL, 0);
		if (waitpid(left[i], &status, 0) == left[i] &&
		    WIFSIGNALED(status))
			ended++;
	}
	if (ended > 0)
		stage_log(r, "INFO",
		    "ended %zu process%s that %s left behind; start a service "
		    "with a service manager, or by setsid",
		    ended, ended == 1 ? "" : "es", c->argv[0]);
}

/* An output on its way to lines. */
struct stream {
	int fd;
	bool err;
	bool mem; /* a memory file that the child fills, no pipe */
	off_t at;
	struct buf part; /* a line that is not complete */
};

static void
keep_tail(struct buf *b, const char *s, size_t n)
{
	size_t cut;

	buf_add(b, s, n);
	buf_addc(b, '\n');
	if (b->len <= TAIL_MAX * 2)
		return;
	cut = b->len - TAIL_MAX;
	memmove(b->p, b->p + cut, b->len - cut);
	b->len -= cut;
	b->p[b->len] = '\0';
}

static void
one_line(struct run *r, const struct command *c, bool err, char *s, size_t n)
{
	struct arena *a = arena_new();
	const char *text;

	while (n > 0 && (s[n - 1] == '\r' || s[n - 1] == '\n'))
		s[--n] = '\0';
	text = text_clean(a, s, n);
	if (c->tail != NULL)
		keep_tail(c->tail, text, strlen(text));
	if (c->line != NULL)
		c->line(c->arg, err, text);
	if (!c->quiet && r->stage != NULL && r->logged <= LOG_MAX) {
		r->logged += n + 64;
		stage_log(r, "INFO", "%s", text);
		if (r->logged > LOG_MAX)
			stage_log(r, "ERROR",
			    "output is over %d MiB: the rest is not kept",
			    LOG_MAX >> 20);
	}
	arena_free(a);
}

/* Read what is there; false at the end of the stream. */
static bool
drain(struct run *r, const struct command *c, struct stream *st)
{
	char *s, *nl;
	ssize_t n;
	size_t len;

	if (!st->err && c->out != NULL) {
		buf_grow(c->out, 16384);
		n = read(st->fd, c->out->p + c->out->len, 16384);
		if (n > 0 && c->out->len <= c->max_out) {
			c->out->len += (size_t)n;
			c->out->p[c->out->len] = '\0';
		}
		return n > 0 || (n == -1 && errno == EAGAIN);
	}
	buf_grow(&st->part, 16384);
	if (st->mem) {
		n = pread(st->fd, st->part.p + st->part.len, 16384, st->at);
		if (n <= 0)
			return true;
		(void)fallocate(st->fd,
		    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, st->at, n);
		st->at += n;
	} else {
		n = read(st->fd, st->part.p + st->part.len, 16384);
		if (n <= 0)
			return n == -1 && errno == EAGAIN;
	}
	st->part.len += (size_t)n;
	st->part.p[st->part.len] = '\0';
	s = st->part.p;
	len = st->part.len;
	while ((nl = memchr(s, '\n', len)) != NULL || len >= LINE_LEN) {
		size_t k = nl != NULL ? (size_t)(nl - s) : (size_t)LINE_LEN;
		char keep = s[k];

		s[k] = '\0';
		one_line(r, c, st->err, s, k);
		s[k] = keep;
		k += nl != NULL;
		s += k;
		len -= k;
	}
	memmove(st->part.p, s, len);
	st->part.len = len;
	st->part.p[len] = '\0';
	return true;
}

static void
stream_close(struct run *r, const struct command *c, struct stream *st)
{
	if (st->fd != -1) {
		struct pollfd p = { .fd = st->fd, .events = POLLIN };
		off_t was;

		/* What is still in the pipe; a daemon may hold it open. */
		for (int i = 0; i < 4096; i++) {
			was = st->at;
			if (!st->mem && poll(&p, 1, 0) != 1)
				break;
			if (!drain(r, c, st) || (st->mem && st->at == was))
				break;
		}
		close(st->fd);
		st->fd = -1;
	}
	if (st->part.len > 0)
		one_line(r, c, st->err, st->part.p, st->part.len);
	buf_free(&st->part);
}

/* Has it ended?  Its status then; also reaps what it left to us. */
static bool
ended(pid_t pid, int *status)
{
	return waitpid(pid, status, WNOHANG) == pid;
}

enum {
	P_CANCEL,
	P_END,
	P_OUT,
	P_ERR,
	P__N
};

/* Wait for its end, with cancel, timeout and grace; the reason it was ended. */
static int
watch(struct run *r, const struct command *c, pid_t pid, struct stream st[2],
    int *status)
{
	int64_t limit = now_ms() + (c->timeout_ms > 0 ? c->timeout_ms
						      : INT64_C(7) * 86400000);
	int64_t kill_at = 0, left;
	struct pollfd p[P__N] = { { .fd = cancel_fd(), .events = POLLIN },
		{ .fd = child_pidfd(pid), .events = POLLIN },
		{ .events = POLLIN }, { .events = POLLIN } };
	int why = 0, i;

	if (c->timeout_ms == 0)
		limit = now_ms() + stage_left(r, limit - now_ms());
	while (!ended(pid, status)) {
		p[P_OUT].fd = st[0].mem ? -1 : st[0].fd;
		p[P_ERR].fd = st[1].mem ? -1 : st[1].fd;
		left = (why == 0 ? limit : kill_at) - now_ms();
		if (st[1].mem && left > MEM_EVERY_MS)
			left = MEM_EVERY_MS;
		(void)poll(p, P__N,
		    left < 0	   ? 0
		    : left > 60000 ? 60000
				   : (int)left);
		for (i = 0; i < 2; i++)
			if ((st[i].mem || p[P_OUT + i].revents != 0) &&
			    !drain(r, c, &st[i])) {
				close(st[i].fd);
				st[i].fd = -1;
			}
		if (why == 0 && (stage_cancelled(r) || now_ms() >= limit)) {
			why = stage_cancelled(r) ? CMD_CANCELLED : CMD_TIMEOUT;
			kill_at =
			    now_ms() + (c->grace_ms > 0 ? c->grace_ms : 10000);
			(void)signal_tree(pid,
			    c->stop_signal != 0 ? c->stop_signal : SIGTERM, 0);
		} else if (why != 0 && now_ms() >= kill_at) {
			(void)signal_tree(pid, SIGKILL, 0);
			kill_at = now_ms() + 1000;
		}
	}
	close(p[P_END].fd);
	return why;
}

/*
 * Where an output goes.  A child that outlives us must not die of a broken
 * pipe: it writes into memory that stays with it.
 */
static int
stream_open(struct stream *st, bool mem, int *child, struct err *e)
{
	int p[2];

	if (mem) {
		st->mem = true;
		if ((st->fd = memfd_create("output", MFD_CLOEXEC)) == -1)
			return err_sys(e, "memfd");
		*child = fcntl(st->fd, F_DUPFD_CLOEXEC, 0);
		return 0;
	}
	if (pipe2(p, O_CLOEXEC) == -1)
		return err_sys(e, "pipe");
	st->fd = p[0];
	*child = p[1];
	(void)fcntl(st->fd, F_SETFL, O_NONBLOCK);
	return 0;
}

int
run_command(struct run *r, const struct command *c, struct err *e)
{
	struct stream st[2] = { { .fd = -1, .part = BUF_INIT },
		{ .fd = -1, .err = true, .part = BUF_INIT } };
	struct child ch = CHILD_INIT;
	int i, status = 0, why = -1;
	struct env env;
	pid_t pid = -1;

	if (c->env == NULL)
		env_init(&env, r->arena);
	ch.argv = c->argv;
	ch.env = c->env != NULL ? c->env : env.v;
	ch.dir = c->dir;
	ch.same_group = !c->own_group;
	/* Out of reach of who kills our group: it ends by itself. */
	if (c->own_group)
		ch.death_signal =
		    c->stop_signal != 0 ? c->stop_signal : SIGTERM;
	if (fcntl(FD_LOCK, F_GETFD) != -1)
		ch.fd[FD_LOCK] = FD_LOCK;
	if (stream_open(&st[0], c->own_group && c->out == NULL, &ch.fd[1], e) ==
		0 &&
	    stream_open(&st[1], c->own_group, &ch.fd[2], e) == 0)
		pid = child_start(&ch, e);
	for (i = 1; i <= 2; i++)
		if (ch.fd[i] != -1)
			close(ch.fd[i]);
	if (pid != -1)
		why = watch(r, c, pid, st, &status);
	for (i = 0; i < 2; i++)
		stream_close(r, c, &st[i]);
	if (pid == -1)
		return -1;
	sweep(r, c);
	if (why != 0)
		return why;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status)
				   : WEXITSTATUS(status);
}
