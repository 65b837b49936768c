/* The bus of a shell pipeline: stdin and stdout. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "inside.h"

int
filter_open(struct bus *b, struct err *e)
{
	struct epoll_event ev = { .events = EPOLLIN };

	if (epoll_ctl(b->ep, EPOLL_CTL_ADD, STDIN_FILENO, &ev) == 0)
		return 0;
	if (errno != EPERM)
		return err_sys(e, "stdin");
	b->file = true; /* a file is always readable, and epoll refuses it */
	bell(b, true);
	return 0;
}

/* Read what is there without waiting: 1, 0 nothing now. */
static int
fill(struct bus *b, struct err *e)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
	ssize_t n;

	if (b->eof || poll(&p, 1, 0) < 1)
		return 0;
	if (b->at > 0) { /* keep the beginning of a line only */
		memmove(b->in.p, b->in.p + b->at, b->in.len - b->at);
		b->in.len -= b->at;
		b->at = 0;
	}
	buf_grow(&b->in, 65536);
	n = read(STDIN_FILENO, b->in.p + b->in.len, 65536);
	if (n == -1)
		return errno == EINTR || errno == EAGAIN ? 0
							 : err_sys(e, "stdin");
	b->eof = n == 0;
	b->in.len += (size_t)n;
	return 1;
}

static int
flush(struct bus *b, struct err *e)
{
	if (b->pass.len > 0 &&
	    write_all(STDOUT_FILENO, b->pass.p, b->pass.len) == -1)
		return err_sys(e, "stdout");
	buf_reset(&b->pass);
	return 0;
}

/* The next line that is buffered; NULL: none is complete. */
static const char *
buffered(struct bus *b, size_t *len)
{
	const char *s = b->in.p + b->at,
		   *nl = memchr(s, '\n', b->in.len - b->at);

	if (nl == NULL)
		return NULL;
	*len = (size_t)(nl + 1 - s);
	b->at += *len;
	b->line++;
	return s;
}

static int
next(struct bus *b, struct frame *f, struct arena *a, const char **line,
    size_t *len, struct err *e)
{
	const char *s;
	size_t n;
	int rv;

	for (;;) {
		if ((s = buffered(b, &n)) == NULL) {
			if (b->in.len - b->at > FRAME_MAX) {
				err_set(e, RC_PERM,
				    "a line of more than %d bytes", FRAME_MAX);
				return err_wrap(e, "stdin:%ld", b->line + 1);
			}
			if (b->eof && b->at < b->in.len) {
				err_set(e, RC_TEMP, "the last line is cut off");
				return err_wrap(e, "stdin:%ld", b->line + 1);
			}
			if (b->eof)
				return 2;
			if ((rv = fill(b, e)) <= 0)
				return rv;
			continue;
		}
		if (n > FRAME_MAX)
			rv = err_set(e, RC_PERM, "a line of more than %d bytes",
			    FRAME_MAX);
		else
			rv = frame_parse(f, s, n, a, e);
		if (rv == -1)
			return err_wrap(e, "stdin:%ld", b->line);
		if (rv == 1 && frame_addressed(f->kind, b->prog)) {
			if (line != NULL) {
				*line = s;
				*len = n;
			}
			return 1;
		}
		buf_add(&b->pass, s, n);
		if (b->pass.len >= 65536) {
			/* The caller's arena has grown, too: let it reset. */
			b->more = true;
			return 0;
		}
	}
}

int
filter_next(struct bus *b, struct frame *f, struct arena *a, const char **line,
    size_t *len, struct err *e)
{
	struct err ignored;
	int rv;

	b->more = false;
	rv = next(b, f, a, line, len, e);

	/* What came before a mistake was right and goes on. */
	if (flush(b, rv == -1 ? &ignored : e) == -1)
		rv = -1;
	bell(b, b->file || b->eof || b->more ||
		    (rv == 1 && memchr(b->in.p + b->at, '\n',
				    b->in.len - b->at) != NULL));
	return rv;
}
