/*
 * The bus of daemons.  nanomsg and its traps live here and nowhere else:
 *
 * - Without timeouts and NN_DONTWAIT a send blocks for ever.
 * - A message over NN_RCVMAXSIZE vanishes: it is set, and sizes are checked
 *   on the sending side too (bus_tell).
 * - A connection comes up some time after nn_connect; until then nothing is
 *   taken.  What is not taken waits in a queue of ours.
 * - Sockets get the umask's mode, and paths of more than 107 bytes do not
 *   work: those go through /proc/self/fd.
 * - Nobody says who sent a message.  So each peer has a socket of its own,
 *   DIR/TO.FROM/tell (and ask), in a directory that only FROM may pass: its
 *   group is FROM's where programs run as different users.
 * - Its thread inherits the signal mask: all are blocked while it starts.
 * - NN_RCVFD and NN_SNDFD are polled, never read.
 */
#include <errno.h>
#include <fcntl.h>
#include <nanomsg/nn.h>
#include <nanomsg/pair.h>
#include <nanomsg/pipeline.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "inside.h"

enum {
	ADDRESS = 256,
	SOCKET_NAME = 2 * NAME_MAX_ + 8
};

/* Who is started with pipes, and has no inbox. */
static bool
piped(const char *name)
{
	return strcmp(name, "K") == 0 || strcmp(name, "*") == 0 ||
	       strcmp(name, "script") == 0;
}

/* The programs on the bus in a list of frame.def, one by one. */
bool
net_word(const char **s, char dst[NAME_MAX_])
{
	size_t n;

	while (**s != '\0') {
		n = strcspn(*s, " ");
		must(n < NAME_MAX_);
		memcpy(dst, *s, n);
		dst[n] = '\0';
		*s += n + ((*s)[n] == ' ');
		if (!piped(dst))
			return true;
	}
	return false;
}

/* Ours or root's, and nothing in it for others. */
static int
dir_open(struct bus *b, struct err *e)
{
	struct stat st;

	b->dirfd = open(b->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (b->dirfd == -1 || fstat(b->dirfd, &st) == -1)
		return err_sys(e, "bus directory %s", b->dir);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return err_set(e, RC_PERM,
		    "bus directory %s: it belongs to uid %u, not to us", b->dir,
		    (unsigned)st.st_uid);
	if ((st.st_mode & 07) != 0)
		return err_set(e, RC_PERM,
		    "bus directory %s: mode %04o lets everybody in, chmod 0700",
		    b->dir, (unsigned)st.st_mode & 07777);
	return 0;
}

static void
address(const struct bus *b, const char *name, char dst[ADDRESS])
{
	struct sockaddr_un un;

	if (strlen(b->dir) + 1 + strlen(name) < sizeof(un.sun_path))
		(void)snprintf(dst, ADDRESS, "ipc://%s/%s", b->dir, name);
	else
		(void)snprintf(
		    dst, ADDRESS, "ipc:///proc/self/fd/%d/%s", b->dirfd, name);
}

static int
set(int s, int option, int v)
{
	return nn_setsockopt(s, NN_SOL_SOCKET, option, &v, sizeof(v));
}

static int
socket_new(int protocol, bool in, bool out, struct err *e)
{
	sigset_t all, old;
	int s;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	s = nn_socket(AF_SP, protocol);
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (s == -1)
		return err_sys(e, "nanomsg socket");
	if ((in && (set(s, NN_RCVTIMEO, 100) == -1 ||
		       set(s, NN_RCVMAXSIZE, FRAME_MAX) == -1)) ||
	    (out && (set(s, NN_SNDTIMEO, 100) == -1 ||
			set(s, NN_RECONNECT_IVL, 20) == -1 ||
			set(s, NN_RECONNECT_IVL_MAX, 500) == -1))) {
		err_sys(e, "nanomsg options");
		nn_close(s);
		return -1;
	}
	return s;
}

static int
descriptor(int s, int which)
{
	int fd = -1;
	size_t n = sizeof(fd);

	return nn_getsockopt(s, NN_SOL_SOCKET, which, &fd, &n) == -1 ? -1 : fd;
}

static int
watch(struct bus *b, int fd, struct port *p, bool on)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = p };

	return epoll_ctl(b->ep, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, fd, &ev);
}

/* Whether somebody listens: nn_bind sees it too, but leaks then. */
static bool
in_use(const char *addr)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd, rv;

	must(strlen(addr) - strlen("ipc://") < sizeof(un.sun_path));
	memcpy(un.sun_path, addr + strlen("ipc://"),
	    strlen(addr + strlen("ipc://")) + 1);
	if ((fd = socket(
		 AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) == -1)
		return false;
	rv = connect(fd, (struct sockaddr *)&un, sizeof(un));
	if (rv == -1 && errno == EAGAIN)
		rv = 0; /* its backlog is full */
	close(fd);
	return rv == 0;
}

/*
 * Where one peer's sockets are: a supervisor that gives each program a user
 * has made it, ours with the peer's group; else it is for us alone.
 */
static int
pair_dir(struct bus *b, const char *from, struct err *e)
{
	char name[2 * NAME_MAX_ + 2];
	struct stat st;

	(void)snprintf(name, sizeof(name), "%s.%s", b->prog, from);
	if (mkdirat(b->dirfd, name, 0700) == -1 && errno != EEXIST)
		return err_sys(e, "mkdir %s/%s", b->dir, name);
	if (fstatat(b->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return err_sys(e, "%s/%s", b->dir, name);
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() ||
	    (st.st_mode & 027) != 0)
		return err_set(e, RC_PERM,
		    "%s/%s: it is not ours, or others may write or enter it: "
		    "remove it",
		    b->dir, name);
	return 0;
}

/* The directory says who may connect. */
static int
bind_private(int s, const char *addr)
{
	mode_t old;
	int rv;

	if (in_use(addr)) {
		errno = EADDRINUSE;
		return -1;
	}
	old = umask(007);
	rv = nn_bind(s, addr);
	umask(old);
	return rv;
}

static const struct {
	int protocol;
	bool in, out, bound;
	const char *name;
} how[] = { [INBOX] = { NN_PULL, true, false, true, "tell" },
	[PEER] = { NN_PUSH, false, true, false, "tell" },
	[ASKED] = { NN_PAIR, true, true, true, "ask" },
	[ASKING] = { NN_PAIR, true, true, false, "ask" } };

static void
socket_name(const struct bus *b, enum port_kind kind, const char *peer,
    char dst[SOCKET_NAME])
{
	(void)snprintf(dst, SOCKET_NAME, "%s.%s/%s",
	    how[kind].bound ? b->prog : peer, how[kind].bound ? peer : b->prog,
	    how[kind].name);
}

struct port *
net_port(struct bus *b, enum port_kind kind, const char *peer, struct err *e)
{
	char name[SOCKET_NAME], addr[ADDRESS];
	struct port *p = xcalloc(1, sizeof(*p));

	p->kind = kind;
	p->rcvfd = p->sndfd = -1;
	queue_init(&p->out);
	(void)snprintf(p->peer, sizeof(p->peer), "%s", peer);
	socket_name(b, kind, peer, name);
	address(b, name, addr);
	p->s = socket_new(how[kind].protocol, how[kind].in, how[kind].out, e);
	if (p->s == -1) {
		free(p);
		return NULL;
	}
	if (how[kind].in)
		p->rcvfd = descriptor(p->s, NN_RCVFD);
	if (how[kind].out)
		p->sndfd = descriptor(p->s, NN_SNDFD);
	if ((how[kind].bound ? bind_private(p->s, addr)
			     : nn_connect(p->s, addr)) == -1 ||
	    (p->rcvfd != -1 && watch(b, p->rcvfd, p, true) == -1)) {
		err_set(e, RC_TEMP, "bus %s/%s: %s", b->dir, name,
		    errno == EADDRINUSE ? "another process has this inbox"
					: nn_strerror(errno));
		nn_close(p->s);
		free(p);
		return NULL;
	}
	p->next = b->ports;
	b->ports = p;
	return p;
}

int
net_open(struct bus *b, struct err *e)
{
	enum port_kind kind;
	char from[NAME_MAX_];
	const char *s;
	int k;

	if (dir_open(b, e) == -1)
		return -1;
	for (k = 0; k < FRAME__N; k++) {
		if (!frame_addressed((enum frame_kind)k, b->prog))
			continue;
		kind = frame_is_ask((enum frame_kind)k) ? ASKED : INBOX;
		for (s = frame_from((enum frame_kind)k); net_word(&s, from);)
			if (strcmp(from, b->prog) != 0 &&
			    net_find(b, kind, from) == NULL &&
			    (pair_dir(b, from, e) == -1 ||
				net_port(b, kind, from, e) == NULL))
				return -1;
	}
	return 0;
}

struct port *
net_find(const struct bus *b, enum port_kind kind, const char *peer)
{
	struct port *p;

	for (p = b->ports; p != NULL; p = p->next)
		if (p->kind == kind && strcmp(p->peer, peer) == 0)
			return p;
	return NULL;
}

bool
net_exists(const struct bus *b, const char *peer)
{
	char name[SOCKET_NAME];

	socket_name(b, PEER, peer, name);
	return faccessat(b->dirfd, name, F_OK, 0) == 0;
}

/* Send what waits, as far as it is taken. */
static void
flush_port(struct bus *b, struct port *p)
{
	struct parcel *q;
	bool want;

	while ((q = p->out.head) != NULL) {
		if (nn_send(p->s, q->bytes, q->len, NN_DONTWAIT) == -1)
			break;
		free(queue_take(&p->out));
	}
	want = p->out.head != NULL;
	if (want != p->armed && watch(b, p->sndfd, p, want) == 0)
		p->armed = want;
}

void
net_flush(struct bus *b)
{
	struct port *p;

	for (p = b->ports; p != NULL; p = p->next)
		if (p->out.head != NULL)
			flush_port(b, p);
}

void
net_send(struct bus *b, struct port *p, const void *s, size_t n)
{
	if (p->out.head == NULL && nn_send(p->s, s, n, NN_DONTWAIT) != -1)
		return;
	queue_put(&p->out, s, n);
	for (; p->out.bytes > BACKLOG; p->dropped++) {
		if (p->dropped % 1000 == 0)
			log_warn("-", "bus peer=%s dropped=%lu", p->peer,
			    p->dropped + 1);
		free(queue_take(&p->out));
	}
	flush_port(b, p);
}

int
net_recv(struct bus *b, struct port **from, const char **s, size_t *n)
{
	struct port *p = b->turn != NULL ? b->turn : b->ports, *first = p;
	int len;

	if (b->msg != NULL)
		nn_freemsg(b->msg);
	b->msg = NULL;
	do {
		if (p->rcvfd != -1) {
			len = nn_recv(p->s, &b->msg, NN_MSG, NN_DONTWAIT);
			if (len >= 0) {
				*from = p;
				*s = b->msg;
				*n = (size_t)len;
				/* One port after the other: none waits. */
				b->turn = p->next;
				return 1;
			}
			b->msg = NULL;
		}
		p = p->next != NULL ? p->next : b->ports;
	} while (p != first);
	return 0;
}

void
net_close(struct bus *b)
{
	struct parcel *q;
	struct port *p;

	if (b->msg != NULL)
		nn_freemsg(b->msg);
	b->msg = NULL;
	while ((p = b->ports) != NULL) {
		b->ports = p->next;
		nn_close(p->s);
		while ((q = queue_take(&p->out)) != NULL)
			free(q);
		free(p);
	}
}
