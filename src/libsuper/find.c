/*
 * Where programs are, and whether what lies there may be run.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hash.h"
#include "super.h"

/* The directory of our own executable. */
static int
own_dir(char dst[PATH_MAX], struct err *e)
{
	ssize_t n = readlink("/proc/self/exe", dst, PATH_MAX - 1);
	char *slash;

	if (n == -1)
		return err_sys(e, "/proc/self/exe");
	dst[n] = '\0';
	if ((slash = strrchr(dst, '/')) == NULL)
		return err_set(e, RC_PERM, "/proc/self/exe: %s", dst);
	*slash = '\0';
	return 0;
}

static int
join(char dst[PATH_MAX], const char *dir, const char *more, const char *name,
    struct err *e)
{
	if (snprintf(dst, PATH_MAX, "%s%s/%s", dir, more, name) >= PATH_MAX)
		return err_set(e, RC_PERM, "%.80s...: path too long", dir);
	return 0;
}

/* Only root or we ourselves can have put it there, or can change it. */
static int
only_ours(const char *path, const struct stat *st, struct err *e)
{
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return err_set(e, RC_PERM,
		    "%s: belongs to uid %lu, neither root nor us: not run",
		    path, (unsigned long)st->st_uid);
	if (st->st_mode & 022)
		return err_set(e, RC_PERM,
		    "%s: mode %04o lets others write it: not run; chmod go-w",
		    path, (unsigned)(st->st_mode & 07777));
	return 0;
}

static int
check_dir(const char *path, struct err *e)
{
	char dir[PATH_MAX];
	struct stat st;

	strcpy(dir, path);
	*strrchr(dir, '/') = '\0';
	if (stat(*dir != '\0' ? dir : "/", &st) == -1)
		return err_sys(e, "%s", dir);
	return only_ours(dir, &st, e);
}

static int
check_pin(int fd, const char *path, const char *want, struct err *e)
{
	char got[SHA256_HEX];

	if (sha256_file(got, fd, path, e) == -1)
		return -1;
	if (strcasecmp(got, want) == 0)
		return 0;
	return err_set(e, RC_PERM,
	    "%s: its sha256 is %s, and the Piped config pins %s: not run", path,
	    got, want);
}

/*
 * Open what is not ours to trust by its place.  A pin is checked on the open
 * file, which is what is then run, so that nothing can be put in its place in
 * between; nobody else may be able to write into it either.
 */
static int
open_checked(const char *path, const char *pin, int *fd, struct err *e)
{
	struct stat st;

	if ((*fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return err_sys(e, "%s", path);
	if (fstat(*fd, &st) == -1)
		err_sys(e, "%s", path);
	else if (!S_ISREG(st.st_mode) || (st.st_mode & 0111) == 0)
		err_set(e, RC_PERM, "%s: not an executable file", path);
	else if (only_ours(path, &st, e) == 0 &&
		 (pin != NULL ? check_pin(*fd, path, pin, e)
			      : check_dir(path, e)) == 0)
		return 0;
	close(*fd);
	*fd = -1;
	return -1;
}

static int
open_url(const struct conf_plugin *pl, const char *url, char path[PATH_MAX],
    int *fd, struct err *e)
{
	const char *file = url + strlen("file://");

	if (!str_prefix(url, "file://"))
		return err_set(e, RC_PERM,
		    "url %s: only file:// is supported yet: fetch it, and name "
		    "the file, or put it on the libexec path without a url",
		    url);
	if (*file != '/')
		return err_set(e, RC_PERM,
		    "url %s: the path must be absolute: file:///...", url);
	if (pl->sha256 == NULL)
		return err_set(e, RC_PERM,
		    "url %s: sha256 is missing: a file outside of the libexec "
		    "path is only run when it is pinned (sha256sum %s)",
		    url, file);
	if (join(path, "", "", file + 1, e) == -1)
		return -1;
	return open_checked(path, pl->sha256, fd, e);
}

int
program_open(
    const struct program *p, char path[PATH_MAX], int *fd, struct err *e)
{
	const char *url = p->plugin != NULL ? p->plugin->url : NULL;
	const char *pin = p->plugin != NULL ? p->plugin->sha256 : NULL;
	char dir[PATH_MAX], name[128];

	*fd = -1;
	if (url != NULL)
		return open_url(p->plugin, url, path, fd, e);
	if (p->plugin != NULL)
		(void)snprintf(name, sizeof(name), "pipecd-exec-%s", p->name);
	else
		strcpy(name, p->row->binary);
	if (own_dir(dir, e) == -1 || join(path, dir, "", name, e) == -1)
		return -1;
	if (access(path, X_OK) == 0)
		return pin != NULL ? open_checked(path, pin, fd, e) : 0;
	if (join(path, dir, "/../libexec/pipecd", name, e) == -1)
		return -1;
	if (access(path, F_OK) == -1 && errno == ENOENT)
		return err_set(e, RC_PERM,
		    "%s: not found in %s, nor in %s/../libexec/pipecd", name,
		    dir, dir);
	return open_checked(path, pin, fd, e);
}
