/*
 * seal.h - values sealed for a public key, as PipeCD seals them (behaviours of
 * its `encryption` section): a random key for AES-256-GCM, itself sealed with
 * RSA-OAEP (SHA-256); base64 of length, sealed key, ciphertext.
 */
#ifndef PIPECD_SEAL_H
#define PIPECD_SEAL_H

#include "base.h"

enum {
	SEAL_MAX = 1 << 20 /* bytes of plaintext */
};

struct seal_key;

/*
 * A key from PEM: "BEGIN PRIVATE KEY" (PKCS#8, also PKCS#1) to open, "BEGIN
 * PUBLIC KEY" (PKIX) to seal.  Only RSA; NULL with *e.
 */
struct seal_key *seal_private(const char *pem, size_t n, struct err *e);
struct seal_key *seal_public(const char *pem, size_t n, struct err *e);
void seal_key_free(struct seal_key *k); /* NULL is allowed */

/* Open a sealed value; white space around and in it is skipped. */
int seal_open(struct secret *plain, const struct seal_key *k, const char *text,
    size_t n, struct err *e);
/* Append the sealed value as base64. */
int seal_close(struct buf *text, const struct seal_key *k, const void *plain,
    size_t n, struct err *e);

#endif
