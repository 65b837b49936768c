#include "base.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char buf_empty[1];

void *
xcalloc(size_t n, size_t size)
{
	void *p = calloc(n, size);

	must(p != NULL || n == 0 || size == 0);
	return p;
}

void *
xrealloc(void *p, size_t n)
{
	must((p = realloc(p, n)) != NULL);
	return p;
}

char *
xstrdup(const char *s)
{
	char *p;

	if (s == NULL)
		return NULL;
	must((p = strdup(s)) != NULL);
	return p;
}

void
buf_grow(struct buf *b, size_t more)
{
	size_t want = b->len + more + 1, cap = b->cap < 64 ? 64 : b->cap;

	must(more < SIZE_MAX / 2 - b->len);
	if (want <= b->cap)
		return;
	while (cap < want)
		cap += cap / 2;
	b->p = xrealloc(b->p == buf_empty ? NULL : b->p, cap);
	b->p[b->len] = '\0';
	b->cap = cap;
}

void
buf_add(struct buf *b, const void *s, size_t n)
{
	buf_grow(b, n);
	if (n > 0)
		memcpy(b->p + b->len, s, n);
	b->len += n;
	b->p[b->len] = '\0';
}

void
buf_addc(struct buf *b, char c)
{
	if (b->len + 2 > b->cap)
		buf_grow(b, 1);
	b->p[b->len++] = c;
	b->p[b->len] = '\0';
}

void
buf_adds(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	must(n >= 0);
	buf_grow(b, (size_t)n);
	(void)vsnprintf(b->p + b->len, (size_t)n + 1, fmt, again);
	va_end(again);
	b->len += (size_t)n;
}

void
buf_reset(struct buf *b)
{
	b->len = 0;
	if (b->cap > 0)
		b->p[0] = '\0';
}

void
buf_free(struct buf *b)
{
	if (b->cap > 0)
		free(b->p);
	*b = (struct buf)BUF_INIT;
}

void
secret_set(struct secret *s, const void *p, size_t n)
{
	secret_free(s);
	s->p = xcalloc(1, n + 1);
	memcpy(s->p, p, n);
	s->len = n;
}

void
secret_free(struct secret *s)
{
	if (s->p != NULL)
		explicit_bzero(s->p, s->len);
	free(s->p);
	s->p = NULL;
	s->len = 0;
}

bool
str_prefix(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool
str_suffix(const char *s, const char *suffix)
{
	size_t n = strlen(s), k = strlen(suffix);

	return n >= k && memcmp(s + n - k, suffix, k) == 0;
}

void
hex_encode(char *dst, const void *src, size_t n)
{
	static const char digit[] = "0123456789abcdef";
	const unsigned char *p = src;
	size_t i;

	for (i = 0; i < n; i++) {
		dst[2 * i] = digit[p[i] >> 4];
		dst[2 * i + 1] = digit[p[i] & 15];
	}
	dst[2 * n] = '\0';
}

bool
buf_send(struct buf *b, int fd)
{
	size_t done = 0;
	ssize_t n = 0;

	while (done < b->len) {
		n = write(fd, b->p + done, b->len - done);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	if (done > 0) {
		memmove(b->p, b->p + done, b->len - done);
		b->len -= done;
		b->p[b->len] = '\0';
	}
	return n != -1 || errno == EAGAIN;
}
