/* Bytes over a socket that does not block, with TLS or without. */
#include <errno.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "internal.h"

int
wire_open(struct wire *w, struct loop *l, int fd, SSL *ssl,
    void (*fn)(void *, uint32_t), void *arg, struct err *e)
{
	*w = (struct wire){ .loop = l, .fd = fd, .ssl = ssl, .out = BUF_INIT };
	w->shaken = ssl == NULL;
	if (ssl != NULL && SSL_set_fd(ssl, fd) != 1)
		return err_set(e, RC_TEMP, "TLS: no memory");
	return loop_watch(l, &w->watch, fd, EPOLLIN, fn, arg, e);
}

void
wire_close(struct wire *w)
{
	if (w->fd == -1)
		return;
	loop_unwatch(w->loop, &w->watch);
	if (w->ssl != NULL) {
		/* The peer's reader learns that this was no cut. */
		if (w->shaken && !w->broken)
			(void)SSL_shutdown(w->ssl);
		SSL_free(w->ssl);
		ERR_clear_error();
	}
	close(w->fd);
	buf_free(&w->out);
	w->fd = -1;
	w->ssl = NULL;
	w->broken = true;
}

static void
wire_why_tls(struct wire *w, int what)
{
	long verify = SSL_get_verify_result(w->ssl);
	int sys = errno;
	char why[160];

	w->broken = true;
	if (w->why[0] != '\0')
		return;
	if (verify != X509_V_OK)
		(void)snprintf(w->why, sizeof(w->why), "TLS: certificate: %s",
		    X509_verify_cert_error_string(verify));
	else if (what == SSL_ERROR_SYSCALL && sys != 0)
		(void)snprintf(w->why, sizeof(w->why), "%s", strerror(sys));
	else
		(void)snprintf(
		    w->why, sizeof(w->why), "TLS: %.140s", tls_error(why));
}

/* What a call of TLS came to: again, or an error for good. */
static int
wire_tls(struct wire *w, int r)
{
	int what = SSL_get_error(w->ssl, r);

	w->want_write = what == SSL_ERROR_WANT_WRITE;
	if (what == SSL_ERROR_WANT_READ || what == SSL_ERROR_WANT_WRITE)
		return WIRE_AGAIN;
	if (what == SSL_ERROR_ZERO_RETURN)
		return WIRE_EOF;
	wire_why_tls(w, what);
	ERR_clear_error();
	return WIRE_ERROR;
}

int
wire_shake(struct wire *w)
{
	int r;

	if (w->shaken)
		return 1;
	ERR_clear_error();
	errno = 0;
	r = SSL_do_handshake(w->ssl);
	if (r == 1) {
		w->shaken = true;
		w->want_write = false;
		return 1;
	}
	switch (wire_tls(w, r)) {
	case WIRE_AGAIN:
		return 0;
	case WIRE_EOF:
		(void)snprintf(
		    w->why, sizeof(w->why), "TLS: the connection was closed");
		break;
	}
	w->broken = true;
	return -1;
}

ssize_t
wire_read(struct wire *w, void *p, size_t n)
{
	ssize_t r;

	if (w->ssl != NULL) {
		ERR_clear_error();
		errno = 0;
		r = SSL_read(w->ssl, p, (int)n);
		if (r <= 0)
			return wire_tls(w, (int)r);
		w->in_total += (uint64_t)r;
		return r;
	}
	while ((r = recv(w->fd, p, n, 0)) == -1 && errno == EINTR)
		;
	if (r == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return WIRE_AGAIN;
	if (r == -1) {
		(void)snprintf(w->why, sizeof(w->why), "%s", strerror(errno));
		w->broken = true;
		return WIRE_ERROR;
	}
	w->in_total += (uint64_t)r;
	return r;
}

bool
wire_pending(const struct wire *w)
{
	return w->ssl != NULL && SSL_has_pending(w->ssl);
}

size_t
wire_unsent(const struct wire *w)
{
	return w->out.len - w->off;
}

static ssize_t
put(struct wire *w, const void *p, size_t n)
{
	ssize_t r;

	if (w->ssl != NULL) {
		ERR_clear_error();
		errno = 0;
		r = SSL_write(w->ssl, p, n > 1 << 20 ? 1 << 20 : (int)n);
		if (r > 0) {
			w->want_write = false;
			return r;
		}
		return wire_tls(w, (int)r) == WIRE_AGAIN ? WIRE_AGAIN
							 : WIRE_ERROR;
	}
	while ((r = send(w->fd, p, n, MSG_NOSIGNAL)) == -1 && errno == EINTR)
		;
	if (r == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return WIRE_AGAIN;
	if (r == -1) {
		(void)snprintf(w->why, sizeof(w->why), "%s", strerror(errno));
		w->broken = true;
	}
	return r;
}

int
wire_send(struct wire *w, const void *p, size_t n)
{
	const char *s = p;
	ssize_t r;

	if (w->broken)
		return -1;
	while (n > 0 && wire_unsent(w) == 0) {
		if ((r = put(w, s, n)) == WIRE_ERROR)
			return -1;
		if (r == WIRE_AGAIN)
			break;
		w->out_total += (uint64_t)r;
		s += r;
		n -= (size_t)r;
	}
	if (n > 0)
		buf_add(&w->out, s, n);
	return 0;
}

int
wire_flush(struct wire *w)
{
	ssize_t r;

	if (w->broken)
		return -1;
	while (wire_unsent(w) > 0) {
		if ((r = put(w, w->out.p + w->off, wire_unsent(w))) ==
		    WIRE_ERROR)
			return -1;
		if (r == WIRE_AGAIN)
			return 0;
		w->out_total += (uint64_t)r;
		w->off += (size_t)r;
	}
	/* An idle connection holds no buffer. */
	buf_free(&w->out);
	w->out = (struct buf)BUF_INIT;
	w->off = 0;
	return 0;
}

void
wire_wait(struct wire *w, bool read)
{
	uint32_t events = 0;

	if (w->fd == -1)
		return;
	events |= read ? EPOLLIN : EPOLLRDHUP;
	if (w->want_write || wire_unsent(w) > 0)
		events |= EPOLLOUT;
	loop_watch_for(w->loop, &w->watch, events);
}
