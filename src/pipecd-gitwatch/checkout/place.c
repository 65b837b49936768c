#include "checkout.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "hash.h"

enum {
	FREE_MIN = 64 << 20 /* bytes that a tmpfs should have left */
};

/* A tmpfs that we may run programs from, with room. */
static bool
suits(const char *dir)
{
	struct statvfs v;
	struct statfs f;

	return statfs(dir, &f) == 0 && f.f_type == TMPFS_MAGIC &&
	       statvfs(dir, &v) == 0 && (v.f_flag & ST_NOEXEC) == 0 &&
	       (uint64_t)v.f_bavail * v.f_frsize >= FREE_MIN &&
	       access(dir, W_OK | X_OK) == 0;
}

/* Ours alone, and no link that somebody put there. */
static int
own(const char *dir, struct err *e)
{
	struct stat st;

	if (mkdir(dir, 0700) == -1 && errno != EEXIST)
		return err_sys(e, "mkdir %s", dir);
	if (lstat(dir, &st) == -1)
		return err_sys(e, "%s", dir);
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() ||
	    (st.st_mode & 022) != 0)
		return err_set(e, RC_PERM,
		    "%s: is no directory of ours that others cannot write",
		    dir);
	return 0;
}

/*
 * Who removes has it exclusively; we, and whoever works in what we gave
 * (dir_hold), share it.  -1 also when the file that we locked has just been
 * removed.
 */
static int
lock_of(const char *path, int how)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct stat a, b;

	if (fd != -1 &&
	    (flock(fd, how | LOCK_NB) == -1 || fstat(fd, &a) == -1 ||
		stat(path, &b) == -1 || a.st_ino != b.st_ino)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Remove c-* whose lock nobody holds: a checkout that was killed. */
static void
sweep(const char *base)
{
	char path[PATH_MAX], lock[PATH_MAX];
	struct dirent *d;
	struct err e;
	DIR *dir;
	int fd;

	if ((dir = opendir(base)) == NULL)
		return;
	while ((d = readdir(dir)) != NULL) {
		int n = (int)strlen(d->d_name);

		if (!str_prefix(d->d_name, "c-") || n > 200)
			continue;
		if (str_suffix(d->d_name, ".lock"))
			n -= 5;
		snprintf(path, sizeof(path), "%s/%.*s", base, n, d->d_name);
		snprintf(
		    lock, sizeof(lock), "%s/%.*s.lock", base, n, d->d_name);
		if ((fd = lock_of(lock, LOCK_EX)) == -1)
			continue;
		if (tree_remove(path, &e) == -1)
			log_warn("-", "left behind error=\"%s\"", e.text);
		else
			(void)unlink(lock);
		close(fd);
	}
	closedir(dir);
}

/*
 * Each state directory has a base of its own, so that what is found there is
 * known to be ours.  Bases of others are swept too: their state directory may
 * be gone for good.
 */
static void
sweep_others(const char *dir, const char *prefix)
{
	char path[PATH_MAX];
	struct dirent *d;
	struct stat st;
	DIR *dp;

	if ((dp = opendir(dir)) == NULL)
		return;
	while ((d = readdir(dp)) != NULL) {
		if (!str_prefix(d->d_name, prefix))
			continue;
		snprintf(path, sizeof(path), "%s/%.200s", dir, d->d_name);
		if (lstat(path, &st) == -1 || !S_ISDIR(st.st_mode) ||
		    st.st_uid != geteuid())
			continue;
		sweep(path);
		(void)rmdir(path); /* only when it is empty */
	}
	closedir(dp);
}

static const char *
base_of(struct checkout *c, bool fast, struct err *e)
{
	const char *run = getenv("XDG_RUNTIME_DIR"), *dir, *prefix;
	char hex[SHA256_HEX];

	sha256_hex(hex, c->conf.state_dir, strlen(c->conf.state_dir));
	if (fast && run != NULL && run[0] == '/' && suits(run)) {
		sweep_others(run, "pipecd-");
		dir = arena_printf(c->a, "%s/pipecd-%.8s", run, hex);
		if (own(dir, e) == 0)
			return dir;
	}
	if (fast && suits("/dev/shm")) {
		prefix =
		    arena_printf(c->a, "pipecd-%u-", (unsigned int)geteuid());
		sweep_others("/dev/shm", prefix);
		dir = arena_printf(c->a, "/dev/shm/%s%.8s", prefix, hex);
		if (own(dir, e) == 0 && share_all(dir, e) == 0)
			return dir;
	}
	dir = arena_printf(c->a, "%s/work/checkout", c->conf.state_dir);
	return dir_make(dir, 0700, e) == -1 ? NULL : dir;
}

const char *
place_dir(struct checkout *c, struct place *p, bool fast, struct err *e)
{
	const char *base;
	char *lock = NULL;
	int tries;

	if (p->dir != NULL)
		return p->dir;
	p->lock = -1;
	/* Another one that ends may take the empty base away: once more. */
	for (tries = 0; tries < 5 && p->lock == -1; tries++) {
		if ((base = base_of(c, fast, e)) == NULL)
			return NULL;
		sweep(base);
		/* The lock is there before the directory is. */
		lock = arena_printf(c->a, "%s/c-%ld-%c.lock", base,
		    (long)getpid(), fast ? 'f' : 'd');
		p->lock = lock_of(lock, LOCK_SH);
	}
	if (p->lock == -1) {
		err_sys(e, "%s", lock);
		return NULL;
	}
	p->dir = xstrdup(lock);
	p->dir[strlen(lock) - 5] = '\0';
	if (tree_remove(p->dir, e) == -1)
		goto fail;
	if (mkdir(p->dir, 0700) == -1) {
		err_sys(e, "mkdir %s", p->dir);
		goto fail;
	}
	/* Who asked holds the lock, and who works there passes through. */
	if (share_all(p->dir, e) == 0 && share_all(lock, e) == 0)
		return p->dir;
fail:
	place_close(p);
	return NULL;
}

void
place_close(struct place *p)
{
	char lock[PATH_MAX], *slash;
	struct err e;

	if (p->dir == NULL)
		return;
	snprintf(lock, sizeof(lock), "%s.lock", p->dir);
	/* Somebody may still work there: then it is the next one's to sweep. */
	if (flock(p->lock, LOCK_EX | LOCK_NB) == 0) {
		if (tree_remove(p->dir, &e) == -1)
			log_warn("-", "left behind error=\"%s\"", e.text);
		(void)unlink(lock);
	}
	close(p->lock);
	if ((slash = strrchr(p->dir, '/')) != NULL) {
		*slash = '\0';
		if (!str_suffix(p->dir, "/work/checkout"))
			(void)rmdir(p->dir);
	}
	free(p->dir);
	p->dir = NULL;
}
