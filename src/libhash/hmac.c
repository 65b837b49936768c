#include <string.h>

#include "hash.h"

void
hmac_sha256(uint8_t dst[SHA256_DIGEST_LENGTH], const void *key, size_t nkey,
    const void *p, size_t n)
{
	uint8_t pad[SHA256_BLOCK_LENGTH] = { 0 };
	SHA2_CTX c;
	size_t i;

	if (nkey > sizeof(pad)) {
		SHA256Init(&c);
		SHA256Update(&c, key, nkey);
		SHA256Final(pad, &c);
	} else if (nkey > 0) {
		memcpy(pad, key, nkey);
	}
	for (i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36;
	SHA256Init(&c);
	SHA256Update(&c, pad, sizeof(pad));
	SHA256Update(&c, p, n);
	SHA256Final(dst, &c);
	for (i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36 ^ 0x5c;
	SHA256Init(&c);
	SHA256Update(&c, pad, sizeof(pad));
	SHA256Update(&c, dst, SHA256_DIGEST_LENGTH);
	SHA256Final(dst, &c);
	explicit_bzero(pad, sizeof(pad));
	explicit_bzero(&c, sizeof(c));
}
