#include "host.h"

#include <stdlib.h>
#include <string.h>

/*
 * Lines in which two small texts differ, in the manner of diff -u.  The middle
 * that remains between a common head and tail is solved exactly while that is
 * cheap, and shown whole, old then new, when it is not.
 */
enum {
	CONTEXT = 2,
	CELLS_MAX = 1 << 20 /* of the table: 1000 by 1000 lines */
};

struct lines {
	const char **s;
	size_t *len;
	size_t n;
};

static void
split(struct lines *l, const char *p, size_t n)
{
	const char *end = p + n, *nl;
	size_t cap = 0;

	memset(l, 0, sizeof(*l));
	while (p < end) {
		if ((nl = memchr(p, '\n', (size_t)(end - p))) == NULL)
			nl = end;
		if (l->n == cap) {
			cap = cap * 2 + 64;
			l->s = xrealloc(l->s, cap * sizeof(*l->s));
			l->len = xrealloc(l->len, cap * sizeof(*l->len));
		}
		l->s[l->n] = p;
		l->len[l->n++] = (size_t)(nl - p);
		p = nl + 1;
	}
}

static void
lines_free(struct lines *l)
{
	free(l->s);
	free(l->len);
}

static bool
same(const struct lines *a, size_t i, const struct lines *b, size_t k)
{
	return a->len[i] == b->len[k] &&
	       memcmp(a->s[i], b->s[k], a->len[i]) == 0;
}

struct out {
	struct buf *b;
	size_t left; /* lines that may still be shown */
	bool cut;
};

static void
put(struct out *o, char mark, const struct lines *l, size_t i)
{
	if (o->left == 0) {
		o->cut = true;
		return;
	}
	o->left--;
	buf_addc(o->b, mark);
	buf_add(o->b, l->s[i], l->len[i] > 200 ? 200 : l->len[i]);
	buf_addc(o->b, '\n');
}

/* Longest common subsequence of a[from..na) and b[from..nb), printed. */
static void
middle(struct out *o, const struct lines *a, size_t na, const struct lines *b,
    size_t nb, size_t from)
{
	size_t n = na - from, m = nb - from, i, k, w = m + 1;
	unsigned *t;

	if (n == 0 || m == 0 || (n + 1) * (m + 1) > CELLS_MAX) {
		for (i = from; i < na; i++)
			put(o, '-', a, i);
		for (k = from; k < nb; k++)
			put(o, '+', b, k);
		return;
	}
	t = xcalloc((n + 1) * w, sizeof(*t));
	for (i = n; i-- > 0;)
		for (k = m; k-- > 0;)
			t[i * w + k] = same(a, from + i, b, from + k)
					   ? t[(i + 1) * w + k + 1] + 1
				       : t[(i + 1) * w + k] > t[i * w + k + 1]
					   ? t[(i + 1) * w + k]
					   : t[i * w + k + 1];
	for (i = k = 0; i < n || k < m;) {
		if (i < n && k < m && same(a, from + i, b, from + k)) {
			put(o, ' ', a, from + i);
			i++, k++;
		} else if (k == m ||
			   (i < n && t[(i + 1) * w + k] >= t[i * w + k + 1])) {
			put(o, '-', a, from + i++);
		} else {
			put(o, '+', b, from + k++);
		}
	}
	free(t);
}

/* Text: no NUL, and small enough to show. */
static bool
is_text(const char *p, size_t n)
{
	return n <= 256 * 1024 && memchr(p, '\0', n) == NULL;
}

bool
text_diff(struct buf *b, const char *have, size_t n_have, const char *want,
    size_t n_want, size_t max_lines)
{
	struct out o = { .b = b, .left = max_lines };
	size_t head = 0, i, na, nb;
	struct lines x, y;

	if (!is_text(have, n_have) || !is_text(want, n_want))
		return false;
	split(&x, have, n_have);
	split(&y, want, n_want);
	while (head < x.n && head < y.n && same(&x, head, &y, head))
		head++;
	na = x.n;
	nb = y.n;
	while (na > head && nb > head && same(&x, na - 1, &y, nb - 1))
		na--, nb--;
	for (i = head > CONTEXT ? head - CONTEXT : 0; i < head; i++)
		put(&o, ' ', &x, i);
	middle(&o, &x, na, &y, nb, head);
	for (i = na; i < x.n && i < na + CONTEXT; i++)
		put(&o, ' ', &x, i);
	if (o.cut)
		buf_adds(b, " ...\n");
	lines_free(&x);
	lines_free(&y);
	return true;
}
