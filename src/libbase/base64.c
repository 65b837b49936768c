#include "base.h"

static const char digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
base64_encode(struct buf *b, const void *p, size_t n)
{
	const unsigned char *s = p;

	buf_grow(b, (n + 2) / 3 * 4);
	for (; n > 0; s += 3) {
		unsigned int v = (unsigned int)s[0] << 16;
		size_t have = n < 3 ? n : 3;

		if (have > 1)
			v |= (unsigned int)s[1] << 8;
		if (have > 2)
			v |= s[2];
		buf_addc(b, digits[v >> 18]);
		buf_addc(b, digits[v >> 12 & 63]);
		buf_addc(b, have > 1 ? digits[v >> 6 & 63] : '=');
		buf_addc(b, have > 2 ? digits[v & 63] : '=');
		n -= have;
	}
}

static int
digit(unsigned char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int
base64_decode(struct buf *b, const char *s, size_t n)
{
	unsigned int v = 0;
	size_t i, k = 0, pad = 0, was = b->len;

	for (i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];
		int d = digit(c);

		if (c == '\n' || c == '\r')
			continue;
		if (c == '=' && k % 4 >= 2 && pad < 2) {
			pad++;
			k++;
			v <<= 6;
		} else if (d == -1 || pad > 0) {
			goto bad;
		} else {
			k++;
			v = v << 6 | (unsigned int)d;
		}
		if (k % 4 == 0) {
			buf_addc(b, (char)(v >> 16));
			if (pad < 2)
				buf_addc(b, (char)(v >> 8));
			if (pad < 1)
				buf_addc(b, (char)v);
			v = 0;
		}
	}
	if (k % 4 == 0)
		return 0;
bad:
	b->len = was;
	if (b->cap > 0)
		b->p[was] = '\0';
	return -1;
}
