#include "match.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/*
 * A pattern becomes a row of tokens, and a path is held against all of them at
 * once, one byte after the other: the time is their product, whatever the
 * pattern.
 */
enum tok_kind {
	TOK_CHAR,  /* this byte */
	TOK_ANY,   /* ?  one character that is no '/' */
	TOK_STAR,  /* *  any number of them */
	TOK_DEEP,  /* a double star before more: nothing, or up to a '/' */
	TOK_REST,  /* a double star at the end */
	TOK_CLASS, /* [a-z], [^a-z] */
};

struct tok {
	enum tok_kind kind;
	unsigned char c;
	const char *set; /* TOK_CLASS: between the brackets */
	size_t len;
};

enum {
	PATTERN_MAX = 1024
}; /* a longer one matches nothing */

/* As Go's filepath.Clean; dst has room for strlen(s) + 2. */
static void
clean(char *dst, const char *s, size_t n)
{
	bool rooted = n > 0 && s[0] == '/';
	size_t len = 0, i = 0, up = 0; /* up: where ".." may not go back */

	if (rooted)
		dst[len++] = '/';
	up = len;
	while (i < n) {
		size_t j = i;

		while (j < n && s[j] != '/')
			j++;
		if (j == i || (j - i == 1 && s[i] == '.')) {
			;
		} else if (j - i == 2 && s[i] == '.' && s[i + 1] == '.') {
			if (len > up) {
				while (len > up && dst[len - 1] != '/')
					len--;
				if (len > up)
					len--; /* the slash itself */
			} else if (!rooted) {
				if (len > 0)
					dst[len++] = '/';
				memcpy(dst + len, "..", 2);
				len += 2;
				up = len;
			}
		} else {
			if (len > 0 && dst[len - 1] != '/')
				dst[len++] = '/';
			memcpy(dst + len, s + i, j - i);
			len += j - i;
		}
		i = j + 1;
	}
	if (len == 0)
		dst[len++] = '.';
	dst[len] = '\0';
}

/* The tokens of a cleaned pattern; -1 when there are too many. */
static int
compile(struct tok *t, const char *p)
{
	int n = 0;

	for (; *p != '\0'; p++) {
		const char *q;

		if (n == PATTERN_MAX)
			return -1;
		memset(&t[n], 0, sizeof(t[n]));
		if (p[0] == '*' && p[1] == '*') {
			p++;
			if (p[1] == '/')
				p++;
			t[n++].kind = p[1] == '\0' ? TOK_REST : TOK_DEEP;
		} else if (*p == '*') {
			t[n++].kind = TOK_STAR;
		} else if (*p == '?') {
			t[n++].kind = TOK_ANY;
		} else if (*p == '[' && p[1] != '\0' &&
			   (q = strchr(p + 2, ']')) != NULL) {
			t[n].kind = TOK_CLASS;
			t[n].set = p + 1;
			t[n++].len = (size_t)(q - p - 1);
			p = q;
		} else {
			if (*p == '\\' && p[1] != '\0')
				p++;
			t[n].kind = TOK_CHAR;
			t[n++].c = (unsigned char)*p;
		}
	}
	return n;
}

static bool
in_class(const struct tok *t, unsigned char c)
{
	const unsigned char *s = (const unsigned char *)t->set;
	size_t i = 0, n = t->len;
	bool not = false, in = false;

	if (n > 0 && s[0] == '^') {
		not = true;
		i++;
	}
	for (; i < n; i++) {
		if (i + 2 < n && s[i + 1] == '-') {
			if (c >= s[i] && c <= s[i + 2])
				in = true;
			i += 2;
		} else if (c == s[i]) {
			in = true;
		}
	}
	return in != not ;
}

/* From state i, the states that need no byte. */
static void
reach(const struct tok *t, int n, bool *at, int i)
{
	for (;; i++) {
		at[i] = true;
		if (i == n || (t[i].kind != TOK_STAR && t[i].kind != TOK_DEEP &&
				  t[i].kind != TOK_REST))
			return;
	}
}

static bool
run(const struct tok *t, int n, const char *s, size_t len)
{
	bool a[PATTERN_MAX + 1] = { 0 }, b[PATTERN_MAX + 1];
	/* Inside a TOK_DEEP that began, behind which only a '/' leads on. */
	bool deep[PATTERN_MAX + 1] = { 0 };
	size_t k;
	int i;

	reach(t, n, a, 0);
	for (k = 0; k < len; k++) {
		unsigned char c = (unsigned char)s[k];

		memset(b, 0, (size_t)n + 1);
		for (i = 0; i <= n; i++) {
			bool was = a[i] || (i < n && deep[i]);

			/* The later bytes of a character that '?' took. */
			if (a[i] && i > 0 && (c & 0xC0) == 0x80 &&
			    (t[i - 1].kind == TOK_ANY ||
				t[i - 1].kind == TOK_CLASS))
				b[i] = true;
			if (i == n || !was)
				continue;
			switch (t[i].kind) {
			case TOK_CHAR:
				if (c == t[i].c)
					reach(t, n, b, i + 1);
				break;
			case TOK_ANY:
				if (c != '/')
					reach(t, n, b, i + 1);
				break;
			case TOK_CLASS:
				if (in_class(&t[i], c))
					reach(t, n, b, i + 1);
				break;
			case TOK_STAR:
				if (c != '/')
					reach(t, n, b, i);
				break;
			case TOK_REST:
				reach(t, n, b, i);
				break;
			case TOK_DEEP:
				deep[i] = true;
				if (c == '/')
					reach(t, n, b, i + 1);
				break;
			}
		}
		memcpy(a, b, (size_t)n + 1);
	}
	return a[n];
}

static size_t
count(const char *s, char c)
{
	size_t k = 0;

	for (; (s = strchr(s, c)) != NULL; s++)
		k++;
	return k;
}

/* Whether a cleaned pattern matches the path, or its parent as deep. */
static bool
match_one(const char *pattern, const char *path, size_t len)
{
	struct tok t[PATTERN_MAX];
	size_t plen = strlen(pattern), slashes = count(pattern, '/');
	size_t parent = 0, k;
	int n;

	for (k = 0; parent < len; parent++)
		if (path[parent] == '/' && k++ == slashes)
			break;
	if (strpbrk(pattern, "*?[\\") == NULL) {
		if (plen == len)
			return memcmp(pattern, path, len) == 0;
		return plen == parent && memcmp(pattern, path, plen) == 0;
	}
	if ((n = compile(t, pattern)) == -1)
		return false;
	if (run(t, n, path, len))
		return true;
	return parent < len && run(t, n, path, parent);
}

bool
git_match(const char *const *patterns, size_t n, const char *path)
{
	size_t len = strlen(path), i;
	bool yes = false;

	for (i = 0; i < n; i++) {
		const char *s = patterns[i];
		size_t sl = strlen(s);
		char p[PATTERN_MAX + 2];

		while (sl > 0 && isspace((unsigned char)*s))
			s++, sl--;
		while (sl > 0 && isspace((unsigned char)s[sl - 1]))
			sl--;
		if (sl == 0 || sl >= PATTERN_MAX)
			continue;
		clean(p, s, sl);
		if (p[0] == '!') {
			if (p[1] != '\0' && match_one(p + 1, path, len))
				return false;
		} else if (!yes) {
			yes = match_one(p, path, len);
		}
	}
	return yes;
}
