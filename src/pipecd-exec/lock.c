/*
 * Locks of applications.  A stage process inherits a locked descriptor, and
 * everything it starts inherits it again: whoever holds it is something that
 * a stage of this application left alive.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
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

bool
lock_break(struct exec *x, const char *application_id, int64_t waited,
    bool orderly, struct buf *who)
{
	int sig = waited == 0				  ? SIGTERM
		  : waited < 0 || waited >= TERM_GRACE_MS ? SIGKILL
							  : 0;
	struct err e;
	int rv;

	/* Asked a second time, terraform would drop what it does. */
	rv = launcher_holders(x->launcher, application_id, sig,
	    orderly && waited < LOCK_ORDER_MS, who, &e);
	if (rv == -1)
		log_warn("-", "%s/run/lock/%s: %s", x->state_dir,
		    application_id, e.text);
	return rv == 1;
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
