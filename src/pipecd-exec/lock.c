/*
 * Locks of applications.  A stage process inherits a locked descriptor, and
 * everything it starts inherits it again: whoever holds it is something that
 * a stage of this application left alive.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exec.h"

int
lock_take(struct exec *x, const char *application_id, struct err *e)
{
	int fd = openat(x->lock_fd, application_id,
	    O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd == -1) {
		err_sys(e, "open %s/run/lock/%s", x->state_dir, application_id);
		return -2;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	if (errno != EWOULDBLOCK) {
		err_sys(e, "lock %s/run/lock/%s", x->state_dir, application_id);
		close(fd);
		return -2;
	}
	close(fd);
	return -1;
}

/* Whether that descriptor holds the lock, and does not just name the file. */
static bool
locked(const char *pid, const char *fd, struct buf *b)
{
	char path[96];
	struct err e;

	(void)snprintf(path, sizeof(path), "/proc/%.16s/fdinfo/%.16s", pid, fd);
	buf_reset(b);
	return file_read(path, 65536, b, &e) == 1 &&
	       strstr(b->p, "FLOCK") != NULL;
}

/*
 * Whether a process holds the lock on that file.  A service that a stage
 * started for good has the file open too, but its stage gave the lock back.
 */
static bool
holds(const char *pid, const struct stat *want)
{
	struct buf b = BUF_INIT;
	char path[64];
	struct dirent *f;
	struct stat st;
	bool yes = false;
	DIR *d;

	(void)snprintf(path, sizeof(path), "/proc/%.16s/fd", pid);
	if ((d = opendir(path)) == NULL)
		return false;
	while (!yes && (f = readdir(d)) != NULL)
		if (f->d_name[0] != '.' &&
		    fstatat(dirfd(d), f->d_name, &st, 0) == 0)
			yes = st.st_dev == want->st_dev &&
			      st.st_ino == want->st_ino &&
			      locked(pid, f->d_name, &b);
	closedir(d);
	buf_free(&b);
	return yes;
}

/*
 * Whether it runs in a group but no session of its own: a platform put it
 * there (terraform), with a signal that asked it to end when its stage died.
 */
static bool
told(const char *pid)
{
	long group = 0, session = 0;
	struct buf b = BUF_INIT;
	char path[64];
	struct err e;
	char *p;

	(void)snprintf(path, sizeof(path), "/proc/%.16s/stat", pid);
	if (file_read(path, 4096, &b, &e) == 1 &&
	    (p = strrchr(b.p, ')')) != NULL && strlen(p) > 4) {
		(void)strtol(p + 4, &p, 10); /* ") S " and the parent */
		group = strtol(p, &p, 10);
		session = strtol(p, &p, 10);
	}
	buf_free(&b);
	return group != session;
}

static void
name_add(struct buf *who, const char *pid)
{
	char path[64];
	struct buf b = BUF_INIT;
	struct err e;

	(void)snprintf(path, sizeof(path), "/proc/%.16s/comm", pid);
	if (file_read(path, 64, &b, &e) != 1)
		buf_reset(&b);
	while (b.len > 0 && b.p[b.len - 1] == '\n')
		b.p[--b.len] = '\0';
	buf_printf(who, "%s%s (%s)", who->len > 0 ? ", " : "", pid, b.p);
	buf_free(&b);
}

bool
lock_break(struct exec *x, const char *application_id, int64_t waited,
    bool orderly, struct buf *who)
{
	struct dirent *p;
	struct stat st;
	bool patient = false;
	DIR *d;

	if (fstatat(x->lock_fd, application_id, &st, 0) == -1 ||
	    (d = opendir("/proc")) == NULL)
		return false;
	while ((p = readdir(d)) != NULL) {
		long pid = strtol(p->d_name, NULL, 10);

		if (pid <= 1 || pid == (long)getpid() || !holds(p->d_name, &st))
			continue;
		name_add(who, p->d_name);
		/* Asked a second time, terraform would drop what it does. */
		if (orderly && waited < LOCK_ORDER_MS && told(p->d_name))
			patient = true;
		else if (waited == 0)
			(void)kill((pid_t)pid, SIGTERM);
		else if (waited < 0 || waited >= TERM_GRACE_MS)
			(void)kill((pid_t)pid, SIGKILL);
	}
	closedir(d);
	return patient;
}

int64_t
process_started_at(int64_t pid)
{
	struct buf b = BUF_INIT;
	char path[64];
	struct err e;
	int64_t t = -1;
	char *p;
	int i;

	(void)snprintf(path, sizeof(path), "/proc/%" PRId64 "/stat", pid);
	if (file_read(path, 4096, &b, &e) == 1 &&
	    (p = strrchr(b.p, ')')) != NULL) {
		for (i = 0; i < 20 && p != NULL; i++)
			p = strchr(p + 1, ' ');
		if (p != NULL)
			t = strtoll(p + 1, NULL, 10);
	}
	buf_free(&b);
	return t;
}

void
process_kill(struct exec *x, int64_t pid, int64_t started_at)
{
	struct err e;

	if (pid <= 1 || process_started_at(pid) != started_at)
		return;
	log_info("-", "ending a stage of a former exec pid=%" PRId64, pid);
	if (launcher_kill(x->launcher, (pid_t)pid, SIGKILL, &e) == -1)
		(void)kill(-(pid_t)pid, SIGKILL);
}
