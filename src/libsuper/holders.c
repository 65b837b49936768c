/*
 * Who holds a lock: a stage process inherits a locked descriptor, and
 * everything it starts inherits it again.  Only root, or the same user, sees
 * the descriptors of a process, so a supervisor looks for those who ask it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher.h"

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

/* The lock's file: one of that directory, of whoever made it there. */
static int
lock_file(
    struct stat *st, const char *state_dir, const char *name, struct err *e)
{
	struct stat dir;
	char path[PATH_MAX];
	size_t n;

	if (*name == '\0' || name[strspn(name, "0123456789abcdefghijklmnopqrst"
					       "uvwxyzABCDEFGHIJKLMNOPQRSTU"
					       "VWXYZ_-")] != '\0')
		return err_set(e, RC_PERM, "lock %.80s: no such name", name);
	n = (size_t)snprintf(path, sizeof(path), "%s/run/lock", state_dir);
	if (n + strlen(name) + 2 > sizeof(path))
		return err_set(e, RC_PERM, "%.80s...: path too long", path);
	if (stat(path, &dir) == -1)
		return err_sys(e, "%s", path);
	path[n] = '/';
	strcpy(path + n + 1, name);
	if (lstat(path, st) == -1)
		return err_sys(e, "%s", path);
	if (!S_ISREG(st->st_mode) || st->st_nlink != 1 ||
	    st->st_uid != dir.st_uid)
		return err_set(e, RC_PERM, "%s: is no lock", path);
	return 0;
}

int
holders_end(const char *state_dir, const char *name, int sig, bool spare,
    pid_t but, struct buf *who, struct err *e)
{
	struct dirent *p;
	struct stat st = { 0 };
	int spared = 0;
	DIR *d;

	if (sig != 0 && sig != SIGTERM && sig != SIGKILL)
		return err_set(e, RC_PERM, "signal %d: not for holders", sig);
	if (lock_file(&st, state_dir, name, e) == -1)
		return -1;
	if ((d = opendir("/proc")) == NULL)
		return err_sys(e, "/proc");
	while ((p = readdir(d)) != NULL) {
		long pid = strtol(p->d_name, NULL, 10);

		if (pid <= 1 || pid == (long)getpid() || pid == (long)but ||
		    !holds(p->d_name, &st))
			continue;
		name_add(who, p->d_name);
		if (spare && told(p->d_name))
			spared = 1;
		else if (sig != 0)
			(void)kill((pid_t)pid, sig);
	}
	closedir(d);
	return spared;
}
