#include <stdio.h>
#include <string.h>

#include "text.h"

/* Characters that show nothing, or change how their neighbours are shown. */
static bool
tricky(uint32_t c)
{
	static const struct {
		uint32_t from, to;
	} bad[] = {
		{ 0x80, 0x9f },	      /* C1 controls */
		{ 0xad, 0xad },	      /* soft hyphen */
		{ 0x61c, 0x61c },     /* Arabic letter mark */
		{ 0x180e, 0x180e },   /* Mongolian vowel separator */
		{ 0x200b, 0x200f },   /* zero width, direction marks */
		{ 0x2028, 0x202e },   /* line ends, bidi overrides */
		{ 0x2060, 0x206f },   /* invisible operators, bidi isolates */
		{ 0xfeff, 0xfeff },   /* byte order mark */
		{ 0xfff9, 0xfffb },   /* interlinear notes */
		{ 0xe0000, 0xe0fff }, /* tags, variation selectors */
	};
	size_t i;

	for (i = 0; i < NITEMS(bad); i++)
		if (c >= bad[i].from && c <= bad[i].to)
			return true;
	return false;
}

/* The length of a colour sequence, ESC [ digits and ; m; 0: it is none. */
static size_t
sgr(const char *s)
{
	size_t n;

	if (s[0] != '\033' || s[1] != '[')
		return 0;
	n = 2 + strspn(s + 2, "0123456789;:");
	return s[n] == 'm' ? n + 1 : 0;
}

char *
text_inert(struct arena *a, const char *s, bool lines)
{
	struct buf b = BUF_INIT;
	const char *end;
	uint32_t c;
	size_t n;
	char *out;

	if (s == NULL)
		s = "";
	for (end = s + strlen(s); s < end; s += n) {
		if ((n = sgr(s)) > 0)
			continue;
		n = utf8_len(s, end);
		c = utf8_code(s, n);
		if (n == 0) {
			buf_adds(&b, "\xef\xbf\xbd");
			n = 1;
		} else if (c == '\n' || c == '\r') {
			if (!lines)
				break;
			if (c == '\r' && s[1] == '\n')
				continue;
			buf_addc(&b, '\n');
		} else if (c == '\t') {
			buf_addc(&b, ' ');
		} else if (c < 0x20 || c == 0x7f) {
			buf_printf(&b, "\\x%02x", c);
		} else if (tricky(c)) {
			buf_printf(&b, c > 0xffff ? "\\U%08x" : "\\u%04x", c);
		} else {
			buf_add(&b, s, n);
		}
	}
	while (b.len > 0 && (b.p[b.len - 1] == '\n' || b.p[b.len - 1] == ' '))
		b.len--;
	out = arena_strndup(a, b.p, b.len);
	buf_free(&b);
	return out;
}

char *
text_cut(struct arena *a, const char *s, size_t max)
{
	char *p = text_inert(a, s, false);

	if (strlen(p) > max) {
		while (max > 0 && ((unsigned char)p[max] & 0xc0) == 0x80)
			max--;
		p[max] = '\0';
	}
	return p;
}

char *
text_took(struct arena *a, int64_t ms)
{
	if (ms < 0)
		ms = 0;
	if (ms < 1000)
		return arena_printf(a, "%lldms", (long long)ms);
	if (ms < 60000)
		return arena_printf(a, "%lld.%llds", (long long)(ms / 1000),
		    (long long)(ms % 1000 / 100));
	if (ms < 3600000)
		return arena_printf(a, "%lldm%02llds", (long long)(ms / 60000),
		    (long long)(ms / 1000 % 60));
	return arena_printf(a, "%lldh%02lldm", (long long)(ms / 3600000),
	    (long long)(ms / 60000 % 60));
}

char *
text_took_s(struct arena *a, int64_t s)
{
	if (s < 0)
		s = 0;
	return s < 60 ? arena_printf(a, "%llds", (long long)s)
		      : text_took(a, s * 1000);
}
