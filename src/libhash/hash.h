/* hash.h - SHA-256 and name-based UUIDs; libmd does the arithmetic. */
#ifndef PIPECD_HASH_H
#define PIPECD_HASH_H

#include <sha2.h>

#include "base.h"

enum {
	SHA256_HEX = 65,
	UUID_LEN = 37
}; /* with their NUL */

/* The SHA-256 of n bytes, as 64 lower-case hex digits. */
void sha256_hex(char dst[SHA256_HEX], const void *p, size_t n);
/* The same of a file's content; -1 with *e set. */
int sha256_file(char dst[SHA256_HEX], int fd, const char *name, struct err *e);

/* HMAC-SHA256 (RFC 2104). */
void hmac_sha256(uint8_t dst[SHA256_DIGEST_LENGTH], const void *key,
    size_t nkey, const void *p, size_t n);

/*
 * A UUID version 5 (RFC 9562, 5.5): SHA-1 over the namespace's 16 bytes and
 * the name.  Our namespace is UUIDv5(DNS, "pipecd.dev"); name parts are joined
 * by a NUL, so that ("a","bc") and ("ab","c") differ.
 */
void uuid5(char dst[UUID_LEN], const char *const *parts, size_t n);

#endif
