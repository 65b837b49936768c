/* Small things about strings, ids and maps. */
#include <string.h>
#include <sys/random.h>

#include "api.h"

char *
uuid4(struct arena *a)
{
	uint8_t b[16];
	char hex[33];

	must(getrandom(b, sizeof(b), 0) == (ssize_t)sizeof(b));
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	hex_encode(hex, b, sizeof(b));
	return arena_printf(a, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8,
	    hex + 12, hex + 16, hex + 20);
}

const char *
or_empty(const char *s)
{
	return s == NULL ? "" : s;
}

bool
empty(const char *s)
{
	return s == NULL || *s == '\0';
}

bool
same(const char *a, const char *b)
{
	return strcmp(or_empty(a), or_empty(b)) == 0;
}

/* Entries of maps are messages of key and value; only their order is known. */
static char **
part(const void *entry, size_t k)
{
	const ProtobufCMessage *m = entry;

	return (char **)(void *)((char *)(uintptr_t)m +
				 m->descriptor->fields[k].offset);
}

void
map_merge(const ProtobufCMessageDescriptor *d, void *dst, size_t *n_dst,
    void *src, size_t n_src, struct arena *a)
{
	void **v = arena_array(a, void *, *n_dst + n_src + 1), **at, *entry;
	void **old = *(void ***)dst, **add = src;
	struct map *where = map_new();
	size_t n, i;

	for (n = 0; n < *n_dst; n++) {
		v[n] = old[n];
		map_put(where, or_empty(*part(v[n], 0)), &v[n]);
	}
	for (i = 0; i < n_src; i++) {
		at = map_get(where, or_empty(*part(add[i], 0)));
		if (at == NULL) {
			at = &v[n++];
			map_put(where, or_empty(*part(add[i], 0)), at);
		}
		/* The two messages have entries of two types. */
		*at = entry = arena_alloc(a, d->sizeof_message);
		d->message_init(entry);
		*part(entry, 0) = *part(add[i], 0);
		*part(entry, 1) = *part(add[i], 1);
	}
	map_free(where);
	*(void ***)dst = v;
	*n_dst = n;
}

const char *
map_value(void *map, size_t n, const char *key)
{
	void **v = map;
	size_t i;

	for (i = 0; i < n; i++)
		if (same(*part(v[i], 0), key))
			return or_empty(*part(v[i], 1));
	return NULL;
}

size_t
twice(char *const *ids, size_t n)
{
	struct map *seen = map_new();
	size_t i;

	for (i = 0; i < n; i++)
		if (map_put(seen, or_empty(ids[i]), seen) != NULL)
			break;
	map_free(seen);
	return i;
}

/* "git@Host:a/b.git", "https://u@host:443/a/b/": host and path, "host/a/b". */
static void
remote_plain(struct buf *b, const char *s)
{
	const char *p, *path;
	size_t n;

	if ((p = strstr(s, "://")) != NULL) {
		if (str_prefix(s, "file://")) {
			s = p + 3;
			n = 0;
		} else {
			s = p + 3;
			n = strcspn(s, "/");
		}
		path = s + n;
	} else if (*s != '/' && *s != '.' && s[n = strcspn(s, ":/")] == ':') {
		path = s + n + 1;
	} else {
		n = 0;
		path = s;
	}
	if (n > 0 && (p = memchr(s, '@', n)) != NULL) {
		n -= (size_t)(p + 1 - s);
		s = p + 1;
	}
	if (n > 0 && (p = memchr(s, ':', n)) != NULL)
		n = (size_t)(p - s);
	for (; n > 0; n--, s++)
		buf_addc(b, (char)(*s >= 'A' && *s <= 'Z' ? *s + 32 : *s));
	path += strspn(path, "/");
	buf_addc(b, '/');
	buf_adds(b, path);
	while (b->len > 1 && b->p[b->len - 1] == '/')
		b->p[--b->len] = '\0';
	if (str_suffix(b->p, ".git"))
		b->p[b->len -= 4] = '\0';
}

bool
remote_same(const char *x, const char *y)
{
	struct buf a = BUF_INIT, b = BUF_INIT;
	bool is;

	if (empty(x) || empty(y))
		return false;
	remote_plain(&a, x);
	remote_plain(&b, y);
	is = strcmp(a.p, b.p) == 0 && a.len > 1;
	buf_free(&a);
	buf_free(&b);
	return is;
}
