#include "hash.h"

#include <errno.h>
#include <sha1.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void
sha256_hex(char dst[SHA256_HEX], const void *p, size_t n)
{
	uint8_t sum[SHA256_DIGEST_LENGTH];
	SHA2_CTX c;

	SHA256Init(&c);
	SHA256Update(&c, p, n);
	SHA256Final(sum, &c);
	hex_encode(dst, sum, sizeof(sum));
}

int
sha256_file(char dst[SHA256_HEX], int fd, const char *name, struct err *e)
{
	uint8_t sum[SHA256_DIGEST_LENGTH], block[65536];
	SHA2_CTX c;
	ssize_t n;

	SHA256Init(&c);
	while ((n = read(fd, block, sizeof(block))) != 0) {
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return err_sys(e, "read %s", name);
		SHA256Update(&c, block, (size_t)n);
	}
	SHA256Final(sum, &c);
	hex_encode(dst, sum, sizeof(sum));
	return 0;
}

static void
uuid5_in(
    uint8_t out[16], const uint8_t ns[16], const char *const *parts, size_t n)
{
	uint8_t sum[SHA1_DIGEST_LENGTH];
	SHA1_CTX c;
	size_t i;

	SHA1Init(&c);
	SHA1Update(&c, ns, 16);
	for (i = 0; i < n; i++)
		SHA1Update(&c, (const uint8_t *)parts[i],
		    strlen(parts[i]) + (i + 1 < n));
	SHA1Final(sum, &c);
	memcpy(out, sum, 16);
	out[6] = (uint8_t)((out[6] & 0x0f) | 0x50); /* version 5 */
	out[8] = (uint8_t)((out[8] & 0x3f) | 0x80); /* variant */
}

void
uuid5(char dst[UUID_LEN], const char *const *parts, size_t n)
{
	/* RFC 9562, 6.6: the namespace of DNS names. */
	static const uint8_t dns[16] = { 0x6b, 0xa7, 0xb8, 0x10, 0x9d, 0xad,
		0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8 };
	static const char *const ours[] = { "pipecd.dev" };
	uint8_t ns[16], u[16];
	char h[33];

	uuid5_in(ns, dns, ours, 1);
	uuid5_in(u, ns, parts, n);
	hex_encode(h, u, sizeof(u));
	(void)snprintf(dst, UUID_LEN, "%.8s-%.4s-%.4s-%.4s-%.12s", h, h + 8,
	    h + 12, h + 16, h + 20);
}
