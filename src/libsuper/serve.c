#include "serve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "launcher.h"
#include "msg.h"

int
super_send(int sock, const ProtobufCMessage *m, const int *fds, size_t n)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(4 * sizeof(int))];
	} control = { 0 };
	struct msghdr h = { 0 };
	struct iovec iov;
	struct cmsghdr *c;
	struct buf b = BUF_INIT;
	ssize_t rv;

	msg_pack(&b, m);
	iov = (struct iovec){ b.p, b.len };
	h.msg_iov = &iov;
	h.msg_iovlen = 1;
	if (n > 0) {
		h.msg_control = control.space;
		h.msg_controllen = CMSG_SPACE(n * sizeof(int));
		c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	}
	do
		rv = sendmsg(sock, &h, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (rv == -1 && errno == EINTR);
	buf_free(&b);
	return rv == -1 ? -1 : 0;
}

/* The descriptors of a packet; those beyond four are closed. */
static size_t
take_fds(struct msghdr *h, int fds[4])
{
	struct cmsghdr *c;
	size_t n = 0, i, count;
	int fd;

	for (c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < count; i++) {
			memcpy(
			    &fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (n < 4)
				fds[n++] = fd;
			else
				close(fd);
		}
	}
	return n;
}

int
super_recv(int sock, const ProtobufCMessageDescriptor *d, ProtobufCMessage **m,
    int fds[4], size_t *n_fds, struct arena *a, struct err *e)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(8 * sizeof(int))];
	} control;
	char *text = arena_alloc(a, SUPER_MAX);
	struct iovec iov = { text, SUPER_MAX };
	struct msghdr h = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space) };
	ssize_t n;

	*n_fds = 0;
	do
		n = recvmsg(sock, &h, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (n == -1 && errno == EINTR);
	if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	if (n <= 0)
		return 2;
	*n_fds = take_fds(&h, fds);
	if (h.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		return err_set(e, RC_PERM,
		    "a packet of more than %d bytes or 8 descriptors",
		    SUPER_MAX);
	*m = msg_unpack(d, text, (size_t)n, a, 4 * SUPER_MAX, e);
	return *m != NULL ? 1 : -1;
}

/*
 * Whoever asks may be taken over: nothing of what it says reaches argv but a
 * verb, which services.def must allow, and words that are no options.
 */
static int
check_args(
    const Super__Launch *r, struct launch *what, struct arena *a, struct err *e)
{
	const char **args;
	size_t i;

	if (r->n_args > LAUNCH_ARGS)
		return err_set(e, RC_PERM, "%s: more than %d arguments",
		    r->program, LAUNCH_ARGS);
	args = arena_array(a, const char *, r->n_args + 1);
	for (i = 0; i < r->n_args; i++) {
		if (r->args[i][0] == '-' && strcmp(r->args[i], "-v") != 0)
			return err_set(e, RC_PERM,
			    "%s: option %.40s may not be asked for", r->program,
			    r->args[i]);
		args[i] = r->args[i];
	}
	what->program = r->program;
	what->verb = r->verb;
	what->args = args;
	return 0;
}

int
super_request(const Super__Request *r, struct launch *what, const int *fds,
    size_t n_fds, struct arena *a, struct err *e)
{
	int *const slot[4] = { &what->in, &what->out, &what->err, &what->lock };
	static const int number[4] = { 0, 1, 2, FD_LOCK };
	uint32_t left;
	size_t i, n = 0;

	*what = (struct launch){ .in = -1, .out = -1, .err = -1, .lock = -1 };
	if ((r->launch != NULL) + (r->kill != NULL) + (r->restart != NULL) +
		(r->holders != NULL) !=
	    1)
		return err_set(
		    e, RC_PERM, "none of launch, kill, restart and holders");
	if (r->launch == NULL && n_fds > 0)
		return err_set(
		    e, RC_PERM, "only a launch comes with descriptors");
	if (r->launch == NULL)
		return r->kill != NULL ? 2 : r->restart != NULL ? 3 : 4;
	left = r->launch->fds;
	for (i = 0; i < NITEMS(slot); i++) {
		if ((left & (1U << number[i])) == 0)
			continue;
		left &= ~(1U << number[i]);
		if (n < n_fds)
			*slot[i] = fds[n];
		n++;
	}
	if (left != 0 || n != n_fds)
		return err_set(e, RC_PERM,
		    "%s: descriptors 0x%x announced, %zu came",
		    r->launch->program, (unsigned)r->launch->fds, n_fds);
	return check_args(r->launch, what, a, e) == -1 ? -1 : 1;
}
