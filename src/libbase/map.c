#include "base.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/*
 * Entries in insertion order, and an open-addressed table of their numbers.
 * Hashing is FNV-1a (64 bit, offset basis and prime as published by its
 * authors) with a per-process seed: keys come from repositories, and nobody
 * outside may choose collisions.
 */
struct entry {
	char *key; /* owned; NULL: deleted */
	void *v;
	uint64_t hash;
};

struct map {
	struct entry *e;
	size_t n, cap, live;
	uint32_t *slot; /* entry number + 1; 0: free */
	size_t nslot;	/* a power of two */
};

static uint64_t
hash(const char *s)
{
	static uint64_t seed;
	uint64_t h;

	if (seed == 0) {
		must(getrandom(&seed, sizeof(seed), 0) == sizeof(seed));
		seed |= 1;
	}
	for (h = 0xcbf29ce484222325u ^ seed; *s != '\0'; s++)
		h = (h ^ (unsigned char)*s) * 0x100000001b3u;
	return h ^ h >> 29;
}

struct map *
map_new(void)
{
	return xcalloc(1, sizeof(struct map));
}

void
map_free(struct map *m)
{
	size_t i;

	if (m == NULL)
		return;
	for (i = 0; i < m->n; i++)
		free(m->e[i].key);
	free(m->e);
	free(m->slot);
	free(m);
}

static struct entry *
find(const struct map *m, const char *key, uint64_t h)
{
	struct entry *e;
	size_t i;

	if (m->nslot == 0)
		return NULL;
	for (i = h & (m->nslot - 1); m->slot[i] != 0;
	     i = (i + 1) & (m->nslot - 1)) {
		e = &m->e[m->slot[i] - 1];
		if (e->key != NULL && e->hash == h && strcmp(e->key, key) == 0)
			return e;
	}
	return NULL;
}

/* Drop deleted entries and build the table anew, at most half full. */
static void
rebuild(struct map *m)
{
	size_t i, j, k;

	for (i = j = 0; i < m->n; i++)
		if (m->e[i].key != NULL)
			m->e[j++] = m->e[i];
	m->n = j;
	if (m->n * 2 >= m->cap) {
		m->cap = m->cap == 0 ? 16 : m->cap * 2;
		m->e = xrealloc(m->e, m->cap * sizeof(*m->e));
	}
	m->nslot = m->cap * 2;
	free(m->slot);
	m->slot = xcalloc(m->nslot, sizeof(*m->slot));
	for (i = 0; i < m->n; i++) {
		for (k = m->e[i].hash & (m->nslot - 1); m->slot[k] != 0;)
			k = (k + 1) & (m->nslot - 1);
		m->slot[k] = (uint32_t)i + 1;
	}
}

void *
map_get(const struct map *m, const char *key)
{
	struct entry *e = find(m, key, hash(key));

	return e == NULL ? NULL : e->v;
}

void *
map_put(struct map *m, const char *key, void *v)
{
	uint64_t h = hash(key);
	struct entry *e = find(m, key, h);
	void *old;
	size_t k;

	if (e != NULL) {
		old = e->v;
		e->v = v;
		return old;
	}
	if (m->n == m->cap)
		rebuild(m);
	m->e[m->n] = (struct entry){ xstrdup(key), v, h };
	for (k = h & (m->nslot - 1); m->slot[k] != 0;)
		k = (k + 1) & (m->nslot - 1);
	m->slot[k] = (uint32_t)++m->n;
	m->live++;
	return NULL;
}

void *
map_del(struct map *m, const char *key)
{
	struct entry *e = find(m, key, hash(key));
	void *old;

	if (e == NULL)
		return NULL;
	old = e->v;
	free(e->key);
	e->key = NULL;
	e->v = NULL;
	m->live--;
	return old;
}

size_t
map_len(const struct map *m)
{
	return m->live;
}

bool
map_next(const struct map *m, size_t *i, const char **key, void **v)
{
	while (*i < m->n && m->e[*i].key == NULL)
		++*i;
	if (*i >= m->n)
		return false;
	if (key != NULL)
		*key = m->e[*i].key;
	if (v != NULL)
		*v = m->e[*i].v;
	++*i;
	return true;
}
