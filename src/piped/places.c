/*
 * Make the state directory what places.def says, or one user's again.  Root
 * works here where others wrote before: everything goes through descriptors,
 * no symlink is followed, and a directory is ours while we are in it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "frame.h"
#include "piped.h"

enum found {
	KEEP,
	GIVE,
	DROP,
	TEMP
};

static const struct place {
	const char *path, *owner, *group;
	mode_t mode;
	enum found found;
} places[] = {
#define PLACE(path, owner, group, mode, found) \
	{ path, owner, group, mode, found },
#include "places.def"
};

/* What one directory is to be. */
struct want {
	uid_t uid;
	gid_t gid;
	mode_t mode;
	enum found found;
};

/* --- what is in a directory of another owner ---------------------- */

static int
each(int fd,
    int (*f)(int fd, const char *name, const struct want *w, struct err *e),
    const struct want *w, struct err *e)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rv = 0;
	struct dirent *d;
	DIR *dir;

	if (copy == -1 || (dir = fdopendir(copy)) == NULL) {
		if (copy != -1)
			close(copy);
		return err_sys(e, "open");
	}
	while (rv == 0 && (d = readdir(dir)) != NULL)
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			rv = f(fd, d->d_name, w, e);
	closedir(dir);
	return rv;
}

static int
drop(int fd, const char *name, const struct want *w, struct err *e)
{
	char path[64 + NAME_MAX];

	(void)w;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", fd, name);
	return tree_remove(path, e);
}

/*
 * Give one entry to its new owner; who may read the directory may read what is
 * in it.  A file with another name elsewhere may be anybody's: it stays.
 */
static int
give(int dir, const char *name, const struct want *w, struct err *e)
{
	mode_t shared = (w->mode & 040) != 0 ? 0700 : 0, mode;
	struct stat st;
	int fd, rv = -1;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return errno == ENOENT ? 0 : err_sys(e, "%s", name);
	if (S_ISLNK(st.st_mode))
		return fchownat(
			   dir, name, w->uid, w->gid, AT_SYMLINK_NOFOLLOW) == 0
			   ? 0
			   : err_sys(e, "chown %s", name);
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return unlinkat(dir, name, 0) == 0
			   ? 0
			   : err_sys(e, "remove %s", name);
	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd == -1 || fstat(fd, &st) == -1) {
		err_sys(e, "%s", name);
		goto out;
	}
	if (S_ISREG(st.st_mode) && st.st_nlink > 1) {
		log_warn("-",
		    "%s: has another name elsewhere: it stays uid %lu's", name,
		    (unsigned long)st.st_uid);
		rv = 0;
		goto out;
	}
	mode = st.st_mode & 0700;
	mode |= (mode & shared & 0500) >> 3;
	if (S_ISDIR(st.st_mode)) {
		if (fchown(fd, 0, 0) == -1 || each(fd, give, w, e) == -1) {
			err_wrap(e, "%s", name);
			goto out;
		}
		mode |= w->mode & 02000;
	}
	if (fchown(fd, w->uid, w->gid) == -1 || fchmod(fd, mode) == -1)
		err_sys(e, "chown %s", name);
	else
		rv = 0;
out:
	if (fd != -1)
		close(fd);
	return rv;
}

/* --- a directory --------------------------------------------------- */

static int
open_place(
    struct super *p, int top, const char *path, bool *made, struct err *e)
{
	int fd;

	if (*path == '\0')
		path = ".";
	fd = open_beneath(
	    top, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, true);
	if (fd == -1 && errno == ENOENT) {
		*made = mkdirat(top, path, 0700) == 0;
		if (!*made && errno != EEXIST)
			return err_sys(e, "mkdir %s/%s", p->state_dir, path);
		fd = open_beneath(
		    top, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, true);
	}
	return fd != -1 ? fd : err_sys(e, "%s/%s", p->state_dir, path);
}

static int
place(struct super *p, int top, const char *path, const struct want *w,
    struct buf *taken, struct err *e)
{
	bool made = false;
	int fd = open_place(p, top, path, &made, e), rv = -1;
	struct stat st;

	if (fd == -1)
		return -1;
	if (fstat(fd, &st) == -1) {
		err_sys(e, "%s/%s", p->state_dir, path);
		goto out;
	}
	rv = 0;
	if (st.st_uid == w->uid && st.st_gid == w->gid &&
	    (st.st_mode & 07777) == w->mode)
		goto out;
	if (st.st_uid != w->uid && w->found != KEEP && !made) {
		rv = fchown(fd, 0, 0) == -1 ? err_sys(e, "chown")
		     : w->found == GIVE	    ? each(fd, give, w, e)
					    : each(fd, drop, w, e);
		buf_printf(taken, " %s", path);
	}
	if (rv == 0 &&
	    (fchown(fd, w->uid, w->gid) == -1 || fchmod(fd, w->mode) == -1))
		rv = err_sys(e, "chown");
	if (rv == -1)
		err_wrap(e, "%s/%s", p->state_dir, path);
out:
	close(fd);
	return rv;
}

/* --- all of them --------------------------------------------------- */

static int
want_of(struct want *w, const struct agent *g, const struct place *pl,
    const char *owner)
{
	const struct account *u = account_of(&g->accounts, owner);

	if (u == NULL && *owner != '\0')
		return 0; /* it runs as root, and makes its own */
	w->uid = u != NULL ? u->uid : 0;
	w->gid = strcmp(pl->group, "+") == 0 ? g->accounts.shared
		 : *pl->group != '\0' ? account_group(&g->accounts, pl->group)
		 : u != NULL	      ? u->gid
				      : 0;
	w->mode = pl->mode;
	w->found = pl->found;
	return 1;
}

static int
place_row(struct super *p, const struct agent *g, int top,
    const struct place *pl, struct buf *taken, struct err *e)
{
	size_t n = strcspn(pl->path, "*"), i;
	char path[PATH_MAX];
	struct want w;
	int rv = 0;

	if (strcmp(pl->owner, "*") != 0)
		return want_of(&w, g, pl, pl->owner)
			   ? place(p, top, pl->path, &w, taken, e)
			   : 0;
	for (i = 0; rv == 0 && i < g->conf.n_plugins; i++) {
		const char *name = g->conf.plugins[i].name;

		if (!want_of(&w, g, pl, name))
			continue;
		(void)snprintf(
		    path, sizeof(path), "%.*s%s", (int)n, pl->path, name);
		rv = place(p, top, path, &w, taken, e);
	}
	return rv;
}

/* Who may say anything to whom by frame.def has a directory for it. */
static bool
speaks(const char *from, const char *to)
{
	int k;

	for (k = 0; k < FRAME__N; k++)
		if (strcmp(frame_from((enum frame_kind)k), "*") != 0 &&
		    frame_allowed((enum frame_kind)k, from, to))
			return true;
	return false;
}

static bool
daemon_row(const struct service *s)
{
	return s->run == RUN_DAEMON || s->run == RUN_CONTROL;
}

static int
place_bus(struct super *p, const struct agent *g, int top, struct err *e)
{
	struct buf taken = BUF_INIT; /* a dozen: said by the others */
	const struct account *to, *from;
	char path[128];
	size_t i, k;

	for (i = 0; i < n_services; i++)
		for (k = 0; k < n_services; k++) {
			const char *t = services[i].name, *f = services[k].name;

			if (i == k || !daemon_row(&services[i]) ||
			    !daemon_row(&services[k]) || !speaks(f, t))
				continue;
			to = account_of(&g->accounts, t);
			from = account_of(&g->accounts, f);
			must(to != NULL && from != NULL);
			(void)snprintf(
			    path, sizeof(path), "run/bus/%s.%s", t, f);
			if (place(p, top, path,
				&(struct want){
				    to->uid, from->gid, 02710, DROP },
				&taken, e) == -1) {
				buf_free(&taken);
				return -1;
			}
		}
	buf_free(&taken);
	return 0;
}

/* Who passes stateDir's parents must be everybody: our programs are. */
static int
reachable(const char *path, struct err *e)
{
	char dir[PATH_MAX];
	struct stat st;
	char *slash;

	if (realpath(path, dir) == NULL)
		return err_sys(e, "stateDir %s", path);
	while ((slash = strrchr(dir, '/')) != NULL && slash != dir) {
		*slash = '\0';
		if (stat(dir, &st) == -1)
			return err_sys(e, "%s", dir);
		if ((st.st_mode & 01) == 0)
			return err_set(e, RC_PERM,
			    "stateDir %s: %s has mode %04o, and our programs "
			    "are other users: chmod o+x, or another stateDir",
			    path, dir, (unsigned)(st.st_mode & 07777));
	}
	return 0;
}

static void
say_taken(const struct super *p, const struct buf *taken, bool many)
{
	if (taken->len > 0)
		log_info("-", "stateDir %s: taken over:%s: now %s",
		    p->state_dir, taken->p,
		    many ? "each program's own" : "root's alone");
}

int
places_make(struct super *p, const struct agent *g, struct err *e)
{
	struct buf taken = BUF_INIT;
	int top, rv = 0;
	size_t i;

	if (!g->accounts.on)
		return 0;
	if (reachable(p->state_dir, e) == -1)
		return -1;
	top = open(p->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (top == -1)
		return err_sys(e, "stateDir %s", p->state_dir);
	for (i = 0; rv == 0 && i < NITEMS(places); i++)
		rv = place_row(p, g, top, &places[i], &taken, e);
	if (rv == 0)
		rv = place_bus(p, g, top, e);
	if (rv == 0 && fchmodat(top, "format", 0644, 0) == -1)
		rv = err_sys(e, "chmod %s/format", p->state_dir);
	if (rv == 0 &&
	    symlinkat("exec/exec.sock", top, "run/exec.sock") == -1 &&
	    errno != EEXIST)
		rv = err_sys(e, "%s/run/exec.sock", p->state_dir);
	close(top);
	say_taken(p, &taken, true);
	buf_free(&taken);
	return rv;
}

void
places_empty(struct super *p, const struct agent *g, const char *owner)
{
	struct err e;
	size_t i;
	int fd;

	for (i = 0; g->accounts.on && i < NITEMS(places); i++) {
		const struct place *pl = &places[i];
		char path[PATH_MAX];

		if (pl->found != TEMP || strcmp(pl->owner, owner) != 0)
			continue;
		if (snprintf(path, sizeof(path), "%s/%s", p->state_dir,
			pl->path) >= (int)sizeof(path))
			continue;
		fd =
		    open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd == -1)
			continue;
		if (each(fd, drop, NULL, &e) == -1)
			log_warn("-", "left behind: %s", e.text);
		close(fd);
	}
}

/* Whether programs of their own users worked here before. */
static bool
others(int top)
{
	struct stat st;
	size_t i;

	for (i = 0; i < NITEMS(places); i++)
		if (*places[i].owner != '\0' && *places[i].owner != '*' &&
		    fstatat(top, places[i].path, &st, AT_SYMLINK_NOFOLLOW) ==
			0 &&
		    st.st_uid != 0)
			return true;
	return false;
}

int
places_unmake(struct super *p, struct err *e)
{
	struct want w = { .uid = 0, .gid = 0, .mode = 0700, .found = GIVE };
	struct buf taken = BUF_INIT;
	int top, rv = 0;

	if (geteuid() != 0)
		return 0;
	top = open(p->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (top == -1)
		return err_sys(e, "stateDir %s", p->state_dir);
	if (others(top)) {
		if ((rv = each(top, give, &w, e)) == 0 &&
		    fchmod(top, w.mode) == -1)
			rv = err_sys(e, "chmod");
		buf_adds(&taken, " all of it");
		if (rv == 0)
			say_taken(p, &taken, false);
		else
			err_wrap(e, "stateDir %s", p->state_dir);
	}
	close(top);
	buf_free(&taken);
	return rv;
}
