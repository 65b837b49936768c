/* Addresses, and sockets that listen on them. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "internal.h"

enum {
	BACKLOG = 4096 /* all agents come back at once after a restart */
};

int
address_split(
    const char *address, char *host, size_t n, uint16_t *port, struct err *e)
{
	const char *colon = strrchr(address, ':'), *end = colon;
	const char *start = address;
	long p;
	char *last;

	if (colon == NULL)
		goto bad;
	p = strtol(colon + 1, &last, 10);
	if (colon[1] < '0' || colon[1] > '9' || *last != '\0' || p > 65535)
		goto bad;
	if (*start == '[') {
		start++;
		if (end == address || *--end != ']')
			goto bad;
	} else if (memchr(start, ':', (size_t)(end - start)) != NULL) {
		goto bad; /* which colon? */
	}
	if (end < start || (size_t)(end - start) >= n)
		goto bad;
	memcpy(host, start, (size_t)(end - start));
	host[end - start] = '\0';
	*port = (uint16_t)p;
	return 0;
bad:
	return err_set(e, RC_PERM,
	    "%.200s: not an address, such as 127.0.0.1:8080, [::1]:8080, :8080 "
	    "or unix:/path",
	    address);
}

int
address_unix(const char *address, struct sockaddr_storage *ss, socklen_t *len,
    struct err *e)
{
	struct sockaddr_un *un = (void *)ss;
	const char *path = address + strlen("unix:");

	memset(ss, 0, sizeof(*ss));
	un->sun_family = AF_UNIX;
	if (path[0] == '\0' || strlen(path) >= sizeof(un->sun_path))
		return err_set(e, RC_PERM,
		    "%.200s: a socket's path has 1 to %zu bytes", address,
		    sizeof(un->sun_path) - 1);
	memcpy(un->sun_path, path, strlen(path) + 1);
	*len = sizeof(*un);
	return 0;
}

/* One that nobody answers on is left of somebody who has gone. */
static int
unlink_stale(const struct sockaddr_storage *ss, socklen_t len, struct err *e)
{
	const struct sockaddr_un *un = (const void *)ss;
	struct stat st;
	int fd, r;

	if (lstat(un->sun_path, &st) == -1)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return err_set(
		    e, RC_PERM, "%s: there, and no socket", un->sun_path);
	if ((fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) == -1)
		return err_sys(e, "socket");
	r = connect(fd, (const struct sockaddr *)ss, len);
	close(fd);
	if (r == 0)
		return err_set(e, RC_TEMP, "%s: somebody listens on it already",
		    un->sun_path);
	(void)unlink(un->sun_path);
	return 0;
}

static int
listen_on(const struct sockaddr *sa, socklen_t len, bool share,
    const char *address, struct err *e)
{
	int fd, on = 1, off = 0;
	mode_t was;
	int r;

	if ((fd = socket(sa->sa_family,
		 SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) == -1)
		return err_sys(e, "%s: socket", address);
	if (sa->sa_family != AF_UNIX) {
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (share)
			(void)setsockopt(
			    fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
		if (sa->sa_family == AF_INET6)
			(void)setsockopt(
			    fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	}
	was = umask(077);
	r = bind(fd, sa, len);
	(void)umask(was);
	if (r == -1 || listen(fd, BACKLOG) == -1) {
		err_sys(e, "%s", address);
		close(fd);
		return -1;
	}
	return fd;
}

int
grpc_listen(const char *address, bool share, struct err *e)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV },
			*list, *ai;
	struct sockaddr_storage ss;
	char host[256] = "", service[8];
	socklen_t len = 0;
	uint16_t port = 0;
	int fd = -1, r;

	if (str_prefix(address, "unix:")) {
		if (address_unix(address, &ss, &len, e) == -1 ||
		    unlink_stale(&ss, len, e) == -1)
			return -1;
		return listen_on(
		    (struct sockaddr *)&ss, len, false, address, e);
	}
	if (address_split(address, host, sizeof(host), &port, e) == -1)
		return -1;
	(void)snprintf(service, sizeof(service), "%u", port);
	/* No host is all of them, on both families where there are both. */
	r = getaddrinfo(host[0] == '\0' ? NULL : host, service, &hints, &list);
	if (r != 0)
		return err_set(e, RC_TEMP, "%s: %s", address, gai_strerror(r));
	for (ai = list; ai != NULL && host[0] == '\0'; ai = ai->ai_next) {
		if (ai->ai_family == AF_INET6)
			break;
	}
	if (ai == NULL || host[0] != '\0')
		ai = list;
	for (; ai != NULL && fd == -1; ai = ai->ai_next)
		fd = listen_on(ai->ai_addr, ai->ai_addrlen, share, address, e);
	/* A machine without IPv6 has its sockets all the same. */
	if (fd == -1 && host[0] == '\0' && list != NULL)
		fd = listen_on(
		    list->ai_addr, list->ai_addrlen, share, address, e);
	freeaddrinfo(list);
	return fd;
}

const char *
grpc_listen_name(int fd, char dst[128])
{
	struct sockaddr_storage ss = { 0 };
	const struct sockaddr_in *v4 = (const void *)&ss;
	const struct sockaddr_in6 *v6 = (const void *)&ss;
	const struct sockaddr_un *un = (const void *)&ss;
	socklen_t len = sizeof(ss);
	char a[INET6_ADDRSTRLEN];

	(void)snprintf(dst, 128, "?");
	if (getsockname(fd, (struct sockaddr *)&ss, &len) == -1)
		return dst;
	if (ss.ss_family == AF_INET)
		(void)snprintf(dst, 128, "%s:%u",
		    inet_ntop(AF_INET, &v4->sin_addr, a, sizeof(a)),
		    ntohs(v4->sin_port));
	else if (ss.ss_family == AF_INET6)
		(void)snprintf(dst, 128, "[%s]:%u",
		    inet_ntop(AF_INET6, &v6->sin6_addr, a, sizeof(a)),
		    ntohs(v6->sin6_port));
	else
		(void)snprintf(dst, 128, "unix:%.100s", un->sun_path);
	return dst;
}
