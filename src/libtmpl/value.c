#include "internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct tmpl_value
tmpl_str(const char *s, size_t n)
{
	return (struct tmpl_value){ .kind = TMPL_STR, .s = s, .len = n };
}

struct tmpl_value
tmpl_int(int64_t i)
{
	return (struct tmpl_value){ .kind = TMPL_INT, .i = i };
}

struct tmpl_value
tmpl_bool(bool b)
{
	return (struct tmpl_value){ .kind = TMPL_BOOL, .b = b };
}

struct tmpl_value
tmpl_map(void)
{
	return (struct tmpl_value){ .kind = TMPL_MAP };
}

/* Kept sorted: that is the order in which Go prints and ranges. */
void
tmpl_put(struct tmpl_value *map, const char *key, struct tmpl_value v,
    struct arena *a)
{
	size_t n = map->len, i;

	if ((n & (n - 1)) == 0) {
		size_t cap = n == 0 ? 1 : n * 2;
		struct tmpl_value *items =
		    arena_array(a, struct tmpl_value, cap);
		const char **keys = arena_array(a, const char *, cap);

		if (n > 0) {
			memcpy(items, map->items, n * sizeof(*items));
			memcpy(keys, map->keys, n * sizeof(*keys));
		}
		map->items = items;
		map->keys = keys;
	}
	for (i = n; i > 0 && strcmp(map->keys[i - 1], key) > 0; i--) {
		map->keys[i] = map->keys[i - 1];
		map->items[i] = map->items[i - 1];
	}
	map->keys[i] = arena_strdup(a, key);
	map->items[i] = v;
	map->len++;
}

bool
tmpl_true(const struct tmpl_value *v)
{
	switch (v->kind) {
	case TMPL_NIL:
		return false;
	case TMPL_BOOL:
		return v->b;
	case TMPL_INT:
		return v->i != 0;
	case TMPL_STR:
	case TMPL_LIST:
	case TMPL_MAP:
		return v->len > 0;
	}
	return false;
}

const char *
tmpl_kind_name(enum tmpl_kind k)
{
	static const char *const names[] = { "nil", "bool", "int", "string",
		"list", "map" };

	return names[k];
}

void
tmpl_print(struct buf *b, const struct tmpl_value *v)
{
	size_t i;

	switch (v->kind) {
	case TMPL_NIL:
		buf_adds(b, "<no value>");
		break;
	case TMPL_BOOL:
		buf_adds(b, v->b ? "true" : "false");
		break;
	case TMPL_INT:
		buf_printf(b, "%" PRId64, v->i);
		break;
	case TMPL_STR:
		buf_add(b, v->s, v->len);
		break;
	case TMPL_LIST:
	case TMPL_MAP:
		buf_adds(b, v->kind == TMPL_MAP ? "map[" : "[");
		for (i = 0; i < v->len && b->len <= TMPL_OUT_MAX; i++) {
			if (i > 0)
				buf_addc(b, ' ');
			if (v->kind == TMPL_MAP)
				buf_printf(b, "%s:", v->keys[i]);
			tmpl_print(b, &v->items[i]);
		}
		buf_addc(b, ']');
		break;
	}
}

/* As Go's %q. */
void
tmpl_quote(struct buf *b, const char *s, size_t n)
{
	static const char from[] = "\a\b\f\n\r\t\v\\\"", to[] = "abfnrtv\\\"";
	const unsigned char *p = (const unsigned char *)s;
	size_t i, len;

	buf_addc(b, '"');
	for (i = 0; i < n; i += len) {
		const char *q = p[i] == 0 ? NULL : strchr(from, p[i]);

		len = utf8_len(s + i, s + n);
		if (q != NULL) {
			buf_addc(b, '\\');
			buf_addc(b, to[q - from]);
		} else if (len == 0 || p[i] < 0x20 || p[i] == 0x7F) {
			buf_printf(b, "\\x%02x", p[i]);
			len = 1;
		} else {
			buf_add(b, s + i, len);
		}
	}
	buf_addc(b, '"');
}
