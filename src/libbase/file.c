#include "base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int
dir_make(const char *path, mode_t mode, struct err *e)
{
	char p[PATH_MAX];
	char *s;

	if (strlen(path) >= sizeof(p))
		return err_set(e, RC_PERM, "%.80s...: path too long", path);
	strcpy(p, path);
	for (s = p + 1;; s++) {
		if (*s != '/' && *s != '\0')
			continue;
		char c = *s;

		*s = '\0';
		if (mkdir(p, mode) == -1 && errno != EEXIST)
			return err_sys(e, "mkdir %s", p);
		if ((*s = c) == '\0')
			return 0;
	}
}

static int
remove_at(int dirfd, const char *name)
{
	struct dirent *d;
	DIR *dir;
	int fd, rv = 0;

	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -1;
	if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0)
		return 0;
	fd = openat(
	    dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1 && errno == EACCES) { /* a mode that locks us out */
		if (fchmodat(dirfd, name, 0700, 0) == -1)
			return -1;
		fd = openat(dirfd, name,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	}
	if (fd == -1)
		return -1;
	(void)fchmod(fd, 0700);
	if ((dir = fdopendir(fd)) == NULL) {
		close(fd);
		return -1;
	}
	while ((d = readdir(dir)) != NULL)
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			rv |= remove_at(fd, d->d_name);
	closedir(dir);
	if (rv == 0 && unlinkat(dirfd, name, AT_REMOVEDIR) == -1)
		rv = -1;
	return rv;
}

int
tree_remove(const char *path, struct err *e)
{
	if (remove_at(AT_FDCWD, path) == -1)
		return err_sys(e, "remove %s", path);
	return 0;
}

int
file_read(const char *path, size_t max, struct buf *b, struct err *e)
{
	ssize_t n;
	int fd;

	buf_reset(b);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return errno == ENOENT ? 0 : err_sys(e, "open %s", path);
	for (;;) {
		buf_grow(b, 16384);
		n = read(fd, b->p + b->len, b->cap - b->len - 1);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		b->len += (size_t)n;
		if (b->len > max) {
			close(fd);
			return err_set(
			    e, RC_PERM, "%s: larger than %zu bytes", path, max);
		}
	}
	b->p[b->len] = '\0';
	if (n == -1)
		err_sys(e, "read %s", path);
	close(fd);
	return n == -1 ? -1 : 1;
}

int
write_all(int fd, const void *p, size_t n)
{
	const char *s = p;
	ssize_t k;

	while (n > 0) {
		if ((k = write(fd, s, n)) == -1) {
			if (errno == EINTR)
				continue;
			return -1;
		}
		s += k;
		n -= (size_t)k;
	}
	return 0;
}

int
dir_sync(const char *path, struct err *e)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd == -1 || fsync(fd) == -1) {
		err_sys(e, "sync %s", path);
		if (fd != -1)
			close(fd);
		return -1;
	}
	close(fd);
	return 0;
}

int
file_write(const char *path, const void *p, size_t n, mode_t mode, bool sync,
    struct err *e)
{
	char tmp[PATH_MAX], dir[PATH_MAX];
	char *slash;
	int fd;

	if (snprintf(tmp, sizeof(tmp), "%s.%ld.tmp", path, (long)getpid()) >=
	    (int)sizeof(tmp))
		return err_set(e, RC_PERM, "%.80s...: path too long", path);
	fd = open(
	    tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd == -1)
		return err_sys(e, "create %s", tmp);
	if (write_all(fd, p, n) == -1 || (sync && fdatasync(fd) == -1)) {
		err_sys(e, "write %s", tmp);
		close(fd);
		unlink(tmp);
		return -1;
	}
	close(fd);
	if (rename(tmp, path) == -1) {
		err_sys(e, "rename %s to %s", tmp, path);
		unlink(tmp);
		return -1;
	}
	if (!sync)
		return 0;
	strcpy(dir, path);
	if ((slash = strrchr(dir, '/')) == NULL)
		strcpy(dir, ".");
	else
		*(slash == dir ? slash + 1 : slash) = '\0';
	return dir_sync(dir, e);
}

int
open_beneath(int dirfd, const char *path, int flags, mode_t mode, bool nolinks)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_CLOEXEC),
		.mode = flags & (O_CREAT | O_TMPFILE) ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS |
			   (nolinks ? RESOLVE_NO_SYMLINKS : 0),
	};
	long fd;

	do
		fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
	while (fd == -1 && (errno == EINTR || errno == EAGAIN));
	return (int)fd;
}

int
dir_hold(const char *dir)
{
	char lock[PATH_MAX];
	const char *slash = strrchr(dir, '/');
	int fd = -1;

	if (slash != NULL && slash != dir &&
	    snprintf(lock, sizeof(lock), "%.*s.lock", (int)(slash - dir), dir) <
		(int)sizeof(lock))
		fd = open(lock, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd == -1)
		return open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	while (flock(fd, LOCK_SH) == -1 && errno == EINTR)
		;
	if (access(dir, F_OK) == -1) {
		close(fd);
		return -1;
	}
	return fd;
}

bool
path_clean(char *dst, const char *path)
{
	size_t len = 0;

	if (*path == '/' || strlen(path) >= PATH_MAX)
		return false;
	while (*path != '\0') {
		size_t n = strcspn(path, "/");

		if (n == 2 && path[0] == '.' && path[1] == '.') {
			if (len == 0)
				return false; /* above the root */
			while (len > 0 && dst[len - 1] != '/')
				len--;
			if (len > 0)
				len--;
		} else if (n > 0 && !(n == 1 && path[0] == '.')) {
			if (len > 0)
				dst[len++] = '/';
			memcpy(dst + len, path, n);
			len += n;
		}
		path += n;
		path += *path == '/';
	}
	if (len == 0)
		dst[len++] = '.';
	dst[len] = '\0';
	return true;
}
