#include "base.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct chunk {
	struct chunk *next;
	size_t used, size;
	_Alignas(max_align_t) char mem[];
};

struct arena {
	struct chunk *head;
};

enum {
	CHUNK = 8192 - sizeof(struct chunk) - 16
};

struct arena *
arena_new(void)
{
	return xcalloc(1, sizeof(struct arena));
}

void *
arena_alloc(struct arena *a, size_t n)
{
	struct chunk *c = a->head;
	size_t size;
	void *p;

	must(n < SIZE_MAX / 2);
	n = (n + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
	if (c == NULL || c->size - c->used < n) {
		/* Grow with use: many arenas are small, some are not. */
		size = c == NULL	      ? CHUNK
		       : c->size * 2 < 262144 ? c->size * 2
					      : c->size;
		if (size < n)
			size = n;
		c = malloc(sizeof(*c) + size);
		must(c != NULL);
		c->next = a->head;
		c->used = 0;
		c->size = size;
		a->head = c;
	}
	p = c->mem + c->used;
	c->used += n;
	return memset(p, 0, n);
}

void *
arena_calloc(struct arena *a, size_t n, size_t size)
{
	must(size == 0 || n < SIZE_MAX / 2 / size);
	return arena_alloc(a, n * size);
}

char *
arena_strndup(struct arena *a, const char *s, size_t n)
{
	char *p = arena_alloc(a, n + 1);

	if (n > 0)
		memcpy(p, s, n);
	return p;
}

char *
arena_strdup(struct arena *a, const char *s)
{
	return s == NULL ? NULL : arena_strndup(a, s, strlen(s));
}

char *
arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap, again;
	char *p;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	must(n >= 0);
	p = arena_alloc(a, (size_t)n + 1);
	(void)vsnprintf(p, (size_t)n + 1, fmt, again);
	va_end(again);
	return p;
}

size_t
arena_size(const struct arena *a)
{
	const struct chunk *c;
	size_t n = 0;

	for (c = a->head; c != NULL; c = c->next)
		n += sizeof(*c) + c->size;
	return n;
}

void
arena_reset(struct arena *a)
{
	struct chunk *c, *next, *keep = NULL;

	for (c = a->head; c != NULL; c = next) {
		next = c->next;
		if (next == NULL && c->size <= 65536)
			keep = c;
		else
			free(c);
	}
	if (keep != NULL)
		keep->used = 0;
	a->head = keep;
}

void
arena_free(struct arena *a)
{
	struct chunk *c;

	if (a == NULL)
		return;
	while ((c = a->head) != NULL) {
		a->head = c->next;
		free(c);
	}
	free(a);
}
