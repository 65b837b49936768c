#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pipecd.h"

enum {
	BACKLOG = 4096 /* who waits while api is started again */
};

struct wanted {
	const char *name;
	char host[256], port[8];
};

static const char *const names[] = {
	[PORT_PIPED_API] = "piped-api",
	[PORT_WEB_API] = "web-api",
	[PORT_API] = "api",
	[PORT_HTTP] = "http",
};

/* "127.0.0.1:8080" of a bound socket, with the port that it really has. */
static void
bound_at(char dst[280], int fd)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	char host[256] = "?", port[8] = "?";

	if (getsockname(fd, (struct sockaddr *)&sa, &len) == 0)
		(void)getnameinfo((struct sockaddr *)&sa, len, host,
		    sizeof(host), port, sizeof(port),
		    NI_NUMERICHOST | NI_NUMERICSERV);
	(void)snprintf(dst, 280,
	    strchr(host, ':') != NULL ? "[%.250s]:%s" : "%.250s:%s", host,
	    port);
}

static int
bind_one(const struct addrinfo *ai)
{
	int fd, on = 1, off = 0, no;

	fd = socket(
	    ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	/* "[::]" is every address, of both kinds. */
	if (ai->ai_family == AF_INET6)
		(void)setsockopt(
		    fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 &&
	    listen(fd, BACKLOG) == 0)
		return fd;
	no = errno;
	close(fd);
	errno = no;
	return -1;
}

static int
bind_at(const struct wanted *w, struct err *e)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV };
	struct addrinfo *all = NULL, *ai;
	int fd = -1, rv;

	rv = getaddrinfo(
	    *w->host != '\0' ? w->host : NULL, w->port, &hints, &all);
	if (rv != 0)
		return err_set(e, rv == EAI_AGAIN ? RC_TEMP : RC_PERM,
		    "listen on %s:%s: %s", w->host, w->port, gai_strerror(rv));
	for (ai = all; ai != NULL && fd == -1; ai = ai->ai_next)
		fd = bind_one(ai);
	if (fd == -1) {
		err_sys(e, "listen on %s:%s", w->host, w->port);
		/* Whoever has it may go. */
		if (errno == EADDRINUSE)
			e->exit = RC_TEMP;
	}
	freeaddrinfo(all);
	return fd;
}

static int
want(struct wanted *w, const char *name, const char *address, const char *port,
    struct err *e)
{
	w->name = name;
	if (conf_address(w->host, w->port, address) == -1)
		return err_set(e, RC_PERM, "%s: not host:port", address);
	if (port != NULL)
		(void)snprintf(w->port, sizeof(w->port), "%s", port);
	return 0;
}

/* The one that is there, if it is for the same. */
static int
keep(struct pipecd *p, const struct wanted *w)
{
	struct super *s = &p->super;
	char text[sizeof(p->asked[0])];
	size_t i;

	(void)snprintf(text, sizeof(text), "%s:%s", w->host, w->port);
	for (i = 0; i < s->n_listen; i++)
		if (strcmp(s->listen[i].name, w->name) == 0 &&
		    strcmp(p->asked[i], text) == 0)
			return s->listen[i].fd;
	return -1;
}

static bool
kept(const struct listening *l, size_t n, int fd)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (l[i].fd == fd)
			return true;
	return false;
}

static void
replace(struct pipecd *p, const struct listening *l, const struct wanted *w,
    size_t n)
{
	struct super *s = &p->super;
	size_t i;

	for (i = 0; i < s->n_listen; i++)
		if (!kept(l, n, s->listen[i].fd))
			close(s->listen[i].fd);
	for (i = 0; i < n; i++) {
		bool old = kept(s->listen, s->n_listen, l[i].fd);

		(void)snprintf(p->asked[i], sizeof(p->asked[i]), "%s:%s",
		    w[i].host, w[i].port);
		bound_at(s->listen_at[i], l[i].fd);
		if (!old)
			log_info(
			    "-", "listens %s=%s", l[i].name, s->listen_at[i]);
	}
	memcpy(s->listen, l, n * sizeof(*l));
	s->n_listen = n;
	s->dirty = true;
}

int
listen_all(struct pipecd *p, const struct conf_control *c, struct err *e)
{
	struct wanted w[LISTEN_MAX] = { 0 };
	struct listening l[LISTEN_MAX] = { 0 };
	size_t n = 0, bound = 0, i;

	if (want(&w[n++], "main", c->address, NULL, e) == -1 ||
	    want(&w[n++], "admin", c->admin_address, p->port[PORT_ADMIN], e) ==
		-1)
		return -1;
	for (i = 0; i < NITEMS(names); i++)
		if (p->port[i] != NULL &&
		    want(&w[n++], names[i], c->address, p->port[i], e) == -1)
			return -1;
	for (; bound < n; bound++) {
		(void)snprintf(
		    l[bound].name, sizeof(l[bound].name), "%s", w[bound].name);
		if ((l[bound].fd = keep(p, &w[bound])) == -1 &&
		    (l[bound].fd = bind_at(&w[bound], e)) == -1)
			goto fail;
	}
	replace(p, l, w, n);
	return 0;
fail:
	for (i = 0; i < bound; i++)
		if (!kept(p->super.listen, p->super.n_listen, l[i].fd))
			close(l[i].fd);
	return -1;
}
