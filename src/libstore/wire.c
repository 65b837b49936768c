#include "wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "store.h"

enum {
	CHUNK = 64 * 1024,
	HEAD = 4
};

void
wire_init(struct wire *w, int fd)
{
	static const struct wire empty = { .in = BUF_INIT, .out = BUF_INIT };

	*w = empty;
	w->fd = fd;
}

void
wire_free(struct wire *w)
{
	if (w->fd != -1)
		close(w->fd);
	w->fd = -1;
	buf_free(&w->in);
	buf_free(&w->out);
}

/* What a large message needed is given back when it is over. */
static void
settle(struct buf *b, size_t *at)
{
	if (*at == b->len && b->cap > 4 * CHUNK) {
		buf_free(b);
		*at = 0;
	} else if (*at > 0) {
		memmove(b->p, b->p + *at, b->len - *at);
		b->len -= *at;
		*at = 0;
	}
}

int
wire_fill(struct wire *w)
{
	ssize_t n;

	settle(&w->in, &w->in_at);
	buf_grow(&w->in, CHUNK);
	n = read(w->fd, w->in.p + w->in.len, w->in.cap - w->in.len - 1);
	if (n == -1)
		return errno == EAGAIN || errno == EINTR ? 1 : -1;
	w->in.len += (size_t)n;
	return n > 0;
}

int
wire_next(struct wire *w, const uint8_t **p, size_t *n)
{
	const uint8_t *at = (const uint8_t *)w->in.p + w->in_at;
	size_t have = w->in.len - w->in_at, len;

	if (have < HEAD)
		return 0;
	len = (size_t)at[0] | (size_t)at[1] << 8 | (size_t)at[2] << 16 |
	      (size_t)at[3] << 24;
	if (len > STORE_MAX)
		return -1;
	if (have - HEAD < len) {
		/* Room for the rest at once, not chunk by chunk. */
		if (w->in_at == 0 && len > CHUNK)
			buf_grow(&w->in, len + HEAD - have);
		return 0;
	}
	*p = at + HEAD;
	*n = len;
	w->in_at += HEAD + len;
	return 1;
}

void
wire_put(struct wire *w, const void *head, size_t n, const ProtobufCMessage *m)
{
	size_t body = m == NULL ? 0 : protobuf_c_message_get_packed_size(m);
	size_t len = n + body;
	char raw[HEAD] = { (char)(len & 255), (char)(len >> 8 & 255),
		(char)(len >> 16 & 255), (char)(len >> 24 & 255) };

	if (w->out_at == w->out.len)
		settle(&w->out, &w->out_at);
	buf_grow(&w->out, HEAD + len);
	buf_add(&w->out, raw, HEAD);
	buf_add(&w->out, head, n);
	if (m != NULL) {
		protobuf_c_message_pack(m, (uint8_t *)w->out.p + w->out.len);
		w->out.len += body;
		w->out.p[w->out.len] = '\0';
	}
}

int
wire_drain(struct wire *w)
{
	ssize_t n;

	while (w->out_at < w->out.len) {
		n = send(w->fd, w->out.p + w->out_at, w->out.len - w->out_at,
		    MSG_NOSIGNAL);
		if (n == -1 && errno == ENOTSOCK)
			n = write(w->fd, w->out.p + w->out_at,
			    w->out.len - w->out_at);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return errno == EAGAIN ? 0 : -1;
		w->out_at += (size_t)n;
	}
	settle(&w->out, &w->out_at);
	return 1;
}

size_t
wire_waiting(const struct wire *w)
{
	return w->out.len - w->out_at;
}
