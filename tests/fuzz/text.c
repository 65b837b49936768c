/*
 * needs: libtext
 * Whatever bytes a stranger writes, what is left commands no terminal: no
 * control character but the line ends that were asked for, and all of it is
 * UTF-8.
 */
#include <string.h>

#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static size_t
good(const unsigned char *s)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4, i;

	must(s[0] < 0x80 || (s[0] >= 0xc2 && s[0] < 0xf5));
	for (i = 1; i < n; i++)
		must((s[i] & 0xc0) == 0x80);
	/* C1 controls, and one of the bidi overrides. */
	must(!(s[0] == 0xc2 && s[1] < 0xa0));
	must(memcmp(s, "\xe2\x80\xae", 3) != 0 || n != 3);
	return n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct arena *a = arena_new();
	char *in = arena_strndup(a, (const char *)p, n), *out;
	const unsigned char *s;

	out = text_inert(a, in, true);
	for (s = (const unsigned char *)out; *s != '\0'; s += good(s))
		must(*s == '\n' || (*s >= 0x20 && *s != 0x7f));
	must(strcmp(text_inert(a, out, true), out) == 0);
	out = text_cut(a, in, n / 2);
	must(strlen(out) <= n / 2 && strchr(out, '\n') == NULL);
	for (s = (const unsigned char *)out; *s != '\0'; s += good(s))
		;
	arena_free(a);
	return 0;
}
