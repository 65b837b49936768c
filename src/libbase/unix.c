/*
 * Unix sockets by a directory and a name: a path below a state directory may
 * be longer than an address holds, one through /proc/self/fd is not.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base.h"

static int
unix_new(struct sockaddr_un *un, int dirfd, const char *name, int flags)
{
	*un = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (snprintf(un->sun_path, sizeof(un->sun_path), "/proc/self/fd/%d/%s",
		dirfd, name) >= (int)sizeof(un->sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
}

/* Keep errno, which says what went wrong. */
static int
unix_fail(int fd)
{
	int was = errno;

	if (fd != -1)
		close(fd);
	errno = was;
	return -1;
}

int
unix_listen(int dirfd, const char *name, int backlog)
{
	struct sockaddr_un un;
	int fd = unix_new(&un, dirfd, name, SOCK_NONBLOCK);

	(void)unlinkat(dirfd, name, 0);
	if (fd == -1 || bind(fd, (struct sockaddr *)&un, sizeof(un)) == -1 ||
	    listen(fd, backlog) == -1)
		return unix_fail(fd);
	return fd;
}

int
unix_connect(int dirfd, const char *name, bool wait)
{
	struct sockaddr_un un;
	int fd = unix_new(&un, dirfd, name, wait ? 0 : SOCK_NONBLOCK);

	if (fd == -1 || connect(fd, (struct sockaddr *)&un, sizeof(un)) == -1)
		return unix_fail(fd);
	return fd;
}
