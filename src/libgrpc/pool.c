/*
 * Memory of HTTP/2 sessions.  Each has a buffer of 16 KiB for the frame that it
 * sends, of which an idle agent's uses a few hundred bytes; from malloc it would
 * lie where its TLS handshake has just touched every page.  Here it lies on
 * pages of its own, which cost nothing until they are used, and nothing again
 * when it is freed.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "internal.h"

enum {
	LARGE = 16384 /* what is meant: nothing else of it is that large */
};

static void *
pool_take(struct h2_pool *p, size_t n)
{
	char *at;

	if (n < LARGE || n > POOL_SLOT)
		return NULL;
	if (p->n_free > 0)
		return p->base + (size_t)p->free[--p->n_free] * POOL_SLOT;
	if (p->base == NULL || p->used == p->slots)
		return NULL;
	at = p->base + p->used++ * POOL_SLOT;
	return at;
}

static bool
pool_has(const struct h2_pool *p, const void *at)
{
	return p->base != NULL && (const char *)at >= p->base &&
	       (const char *)at < p->base + p->slots * POOL_SLOT;
}

static void *
pool_malloc(size_t n, void *arg)
{
	void *at = pool_take(arg, n);

	return at != NULL ? at : malloc(n);
}

static void
pool_free(void *at, void *arg)
{
	struct h2_pool *p = arg;

	if (!pool_has(p, at)) {
		free(at);
		return;
	}
	(void)madvise(at, POOL_SLOT, MADV_DONTNEED);
	p->free[p->n_free++] =
	    (uint32_t)((size_t)((char *)at - p->base) / POOL_SLOT);
}

static void *
pool_calloc(size_t n, size_t size, void *arg)
{
	(void)arg;
	return calloc(n, size);
}

static void *
pool_realloc(void *at, size_t n, void *arg)
{
	void *to;

	if (at == NULL)
		return pool_malloc(n, arg);
	if (!pool_has(arg, at))
		return realloc(at, n);
	if (n <= POOL_SLOT)
		return at;
	if ((to = malloc(n)) == NULL)
		return NULL;
	memcpy(to, at, POOL_SLOT);
	pool_free(at, arg);
	return to;
}

void
h2_pool_open(struct h2_pool *p, unsigned slots)
{
	void *at = mmap(NULL, (size_t)slots * POOL_SLOT, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	p->mem = (nghttp2_mem){ p, pool_malloc, pool_free, pool_calloc,
		pool_realloc };
	/* Where address space is short, malloc does it. */
	if (at == MAP_FAILED)
		return;
	(void)madvise(at, (size_t)slots * POOL_SLOT, MADV_NOHUGEPAGE);
	p->base = at;
	p->slots = slots;
	p->free = xcalloc(slots, sizeof(*p->free));
}

void
h2_pool_close(struct h2_pool *p)
{
	if (p->base != NULL)
		(void)munmap(p->base, p->slots * POOL_SLOT);
	free(p->free);
}
