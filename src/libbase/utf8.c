#include "base.h"

size_t
utf8_len(const char *s, const char *end)
{
	const unsigned char *p = (const unsigned char *)s;
	ptrdiff_t n = end - s;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || n < 2 || (p[1] & 0xc0) != 0x80)
		return 0;
	if (p[0] < 0xe0)
		return 2;
	if (n < 3 || (p[2] & 0xc0) != 0x80)
		return 0;
	if (p[0] < 0xf0) {
		if ((p[0] == 0xe0 && p[1] < 0xa0) ||
		    (p[0] == 0xed && p[1] > 0x9f))
			return 0; /* overlong; a surrogate */
		return 3;
	}
	if (p[0] > 0xf4 || n < 4 || (p[3] & 0xc0) != 0x80 ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return 4;
}

size_t
utf8_check(const char *s, size_t n)
{
	const char *p, *end = s + n;
	size_t k;

	for (p = s; p < end; p += k)
		if ((k = utf8_len(p, end)) == 0)
			break;
	return (size_t)(p - s);
}

uint32_t
utf8_code(const char *s, size_t n)
{
	uint32_t c = (unsigned char)s[0];
	size_t i;

	if (n > 1)
		c &= 0x7fu >> n;
	for (i = 1; i < n; i++)
		c = c << 6 | ((unsigned char)s[i] & 0x3fu);
	return c;
}
