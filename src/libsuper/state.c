#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervise.h"

static int
path_of(
    char dst[PATH_MAX], const struct super *p, const char *name, struct err *e)
{
	if (snprintf(dst, PATH_MAX, "%s/%s", p->state_dir, name) >= PATH_MAX)
		return err_set(
		    e, RC_PERM, "%.80s...: path too long", p->state_dir);
	return 0;
}

/* Whoever can write there can make us run what he likes. */
static int
check_owner(const struct super *p, struct err *e)
{
	struct stat st;

	if (stat(p->state_dir, &st) == -1)
		return err_sys(e, "stateDir %s", p->state_dir);
	if (super_accounts(p) != NULL) /* whoever's it was, it is taken over */
		return 0;
	if (st.st_uid != geteuid())
		return err_set(e, RC_PERM,
		    "stateDir %s: belongs to uid %lu, and we are %lu: run as "
		    "that user, or chown -R it",
		    p->state_dir, (unsigned long)st.st_uid,
		    (unsigned long)geteuid());
	if (st.st_mode & 022)
		return err_set(e, RC_PERM,
		    "stateDir %s: mode %04o lets others write it: chmod 700",
		    p->state_dir, (unsigned)(st.st_mode & 07777));
	if (st.st_mode & 077)
		log_warn("-", "stateDir %s: mode %04o: others can look in",
		    p->state_dir, (unsigned)(st.st_mode & 07777));
	return 0;
}

/* The layout's version: a newer one is not ours to touch. */
static int
check_format(const struct super *p, struct err *e)
{
	struct buf b = BUF_INIT;
	char path[PATH_MAX];
	char *end;
	long n = 0;
	int rv = -1, got;

	if (path_of(path, p, "format", e) == -1 ||
	    (got = file_read(path, 64, &b, e)) == -1)
		goto out;
	if (got == 1) {
		n = strtol(b.p, &end, 10);
		if (end == b.p || n < 1 || n > 1) {
			err_set(e, RC_PERM,
			    "%s: format %.20s is newer than this build, which "
			    "knows 1: not touched",
			    path, b.len > 0 ? b.p : "?");
			goto out;
		}
	} else if (file_write(path, "1\n", 2, 0644, true, e) == -1) {
		goto out;
	}
	rv = 0;
out:
	buf_free(&b);
	return rv;
}

static int
lock_path(char dst[PATH_MAX], const struct super *p, struct err *e)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "run/%s.lock", p->how->name);
	return path_of(dst, p, name, e);
}

enum {
	LOCK_MS = 1000
};

/*
 * Take it, and wait a moment: a child of one that was killed has the lock too,
 * between its fork and its exec.
 */
static bool
lock_take(int fd)
{
	int64_t until = now_ms() + LOCK_MS;

	while (flock(fd, LOCK_EX | LOCK_NB) == -1) {
		if (errno != EWOULDBLOCK || now_ms() >= until)
			return false;
		(void)poll(NULL, 0, 10);
	}
	return true;
}

/* One supervisor per state directory. */
static int
lock(struct super *p, struct err *e)
{
	char path[PATH_MAX], pid[32] = "";
	ssize_t n;
	int top;

	if (lock_path(path, p, e) == -1)
		return -1;
	top = open(p->state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (top == -1)
		return err_sys(e, "stateDir %s", p->state_dir);
	/* Another user's directory may be full of links. */
	p->lock = open_beneath(top, path + strlen(p->state_dir) + 1,
	    O_RDWR | O_CREAT | O_CLOEXEC, 0600, true);
	close(top);
	if (p->lock == -1)
		return err_sys(e, "%s", path);
	if (!lock_take(p->lock)) {
		if (errno != EWOULDBLOCK)
			return err_sys(e, "lock %s", path);
		n = read(p->lock, pid, sizeof(pid) - 1);
		pid[n > 0 ? n : 0] = '\0';
		pid[strcspn(pid, "\n")] = '\0';
		return err_set(e, RC_TEMP,
		    "stateDir %s: %s already runs there, pid %s", p->state_dir,
		    p->how->name, *pid != '\0' ? pid : "unknown");
	}
	n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(p->lock, 0) == -1 ||
	    pwrite(p->lock, pid, (size_t)n, 0) != n)
		return err_sys(e, "write %s", path);
	return 0;
}

static int
make(struct super *p, struct err *e)
{
	char path[PATH_MAX];
	size_t i;

	if (dir_make(p->state_dir, 0700, e) == -1 || check_owner(p, e) == -1 ||
	    check_format(p, e) == -1)
		return -1;
	/* With accounts, `places` makes all but the first. */
	for (i = 0;
	     p->how->dirs[i] != NULL && (i == 0 || super_accounts(p) == NULL);
	     i++)
		if (path_of(path, p, p->how->dirs[i], e) == -1 ||
		    dir_make(path, 0700, e) == -1)
			return -1;
	if (lock(p, e) == -1)
		return -1;
	return p->how->places != NULL ? p->how->places(p, e) : 0;
}

/* Tell us when run/ or what is in it goes away. */
static int
watch(struct super *p, struct err *e)
{
	char path[PATH_MAX];

	if (path_of(path, p, "run", e) == -1)
		return -1;
	if (p->inotify != -1)
		close(p->inotify);
	p->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (p->inotify == -1 ||
	    inotify_add_watch(p->inotify, path,
		IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF) == -1)
		log_warn(
		    "-", "%s: cannot be watched: %s", path, strerror(errno));
	return 0;
}

int
state_open(struct super *p, struct err *e)
{
	p->inotify = -1;
	if (make(p, e) == -1)
		return -1;
	return watch(p, e);
}

int
state_check(struct super *p, struct err *e)
{
	char path[PATH_MAX], drop[4096];
	struct stat ours, there;
	size_t i;

	while (p->inotify != -1 && read(p->inotify, drop, sizeof(drop)) > 0)
		;
	if (lock_path(path, p, e) == -1)
		return -1;
	if (fstat(p->lock, &ours) == 0 && stat(path, &there) == 0 &&
	    ours.st_ino == there.st_ino && ours.st_dev == there.st_dev) {
		for (i = 0; p->how->dirs[i] != NULL; i++)
			if (path_of(path, p, p->how->dirs[i], e) == -1 ||
			    stat(path, &there) == -1)
				break;
		if (p->how->dirs[i] == NULL)
			return 0;
	}
	log_warn("-",
	    "stateDir %s: it was removed; made anew, and every "
	    "program is started again",
	    p->state_dir);
	close(p->lock);
	if (make(p, e) == -1 || watch(p, e) == -1)
		return -1;
	return 1;
}

uint64_t
state_start(pid_t pid)
{
	struct buf b = BUF_INIT;
	unsigned long long start = 0;
	struct err e;
	char path[64];
	const char *s;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	/* Field 22, counted from the ')' that ends the name. */
	if (file_read(path, 8192, &b, &e) == 1 &&
	    (s = strrchr(b.p, ')')) != NULL)
		(void)sscanf(s + 1,
		    " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d "
		    "%*d %*d %*d %*d %*d %llu",
		    &start);
	buf_free(&b);
	return start;
}

static bool
same_boot(const Super__Status *s)
{
	struct buf b = BUF_INIT;
	struct err e;
	bool same;

	same = file_read("/proc/sys/kernel/random/boot_id", 64, &b, &e) == 1 &&
	       strncmp(b.p, s->boot_id, strlen(s->boot_id)) == 0;
	buf_free(&b);
	return same;
}

static void
end_leftover(const struct super *p, const char *name, pid_t pid, uint64_t start)
{
	struct pollfd end = { .events = POLLIN };

	if (pid <= 1 || start == 0 || (end.fd = child_pidfd(pid)) == -1)
		return;
	/* Asked after the pidfd was got: it cannot become another now. */
	if (state_start(pid) == start) {
		log_warn("-", "%s pid=%d is left from an earlier %s: killed",
		    name, (int)pid, p->how->name);
		(void)kill(-pid, SIGKILL);
		(void)kill(pid, SIGKILL);
		(void)poll(&end, 1, STOP_MS);
	}
	close(end.fd);
}

void
state_leftovers(struct super *p)
{
	struct arena *a = arena_new();
	Super__Status *s;
	struct err e;
	size_t i;
	int got = status_read(p->state_dir, &s, a, &e);

	if (got == -1)
		log_warn("-", "%s: what an earlier %s left is not known",
		    e.text, p->how->name);
	if (got == 1 && same_boot(s)) {
		for (i = 0; i < s->n_programs; i++)
			end_leftover(p, s->programs[i]->name,
			    s->programs[i]->pid, s->programs[i]->start);
		for (i = 0; i < s->n_launched; i++)
			end_leftover(p, s->launched[i]->program,
			    s->launched[i]->pid, s->launched[i]->start);
	}
	arena_free(a);
}
