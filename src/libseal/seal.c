#include "seal.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum {
	KEY_LEN = 32,
	TAG_LEN = 16,
	NONCE_LEN = 12
};

struct seal_key {
	EVP_PKEY *pkey; /* owned */
};

/*
 * Each value has a key of its own, so that a fixed nonce is used once per key:
 * that is PipeCD's format.
 */
static const unsigned char nonce[NONCE_LEN];

/* OpenSSL's words say where in OpenSSL: of no use to who seals a value. */
static int
fail(struct err *e, const char *what)
{
	ERR_clear_error();
	return err_set(e, RC_PERM, "%s", what);
}

static struct seal_key *
key_of(EVP_PKEY *pkey, const char *what, struct err *e)
{
	struct seal_key *k;

	if (pkey == NULL) {
		fail(e, what);
		return NULL;
	}
	if (EVP_PKEY_get_base_id(pkey) != EVP_PKEY_RSA ||
	    EVP_PKEY_get_bits(pkey) < 2048) {
		EVP_PKEY_free(pkey);
		fail(e, "is no RSA key of 2048 bits or more");
		return NULL;
	}
	k = xcalloc(1, sizeof(*k));
	k->pkey = pkey;
	return k;
}

/* A key with a passphrase is refused, not asked for on the terminal. */
static int
no_passphrase(char *buf, int size, int rw, void *arg)
{
	(void)buf;
	(void)size;
	(void)rw;
	(void)arg;
	return -1;
}

struct seal_key *
seal_private(const char *pem, size_t n, struct err *e)
{
	BIO *bio = BIO_new_mem_buf(pem, n > INT_MAX ? 0 : (int)n);
	EVP_PKEY *p;

	must(bio != NULL);
	p = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	BIO_free(bio);
	return key_of(p,
	    "is no private key: \"BEGIN PRIVATE KEY\", without a passphrase",
	    e);
}

struct seal_key *
seal_public(const char *pem, size_t n, struct err *e)
{
	BIO *bio = BIO_new_mem_buf(pem, n > INT_MAX ? 0 : (int)n);
	EVP_PKEY *p;

	must(bio != NULL);
	p = PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL);
	BIO_free(bio);
	return key_of(p, "is no public key: \"BEGIN PUBLIC KEY\"", e);
}

void
seal_key_free(struct seal_key *k)
{
	if (k == NULL)
		return;
	EVP_PKEY_free(k->pkey);
	free(k);
}

/* RSA-OAEP with SHA-256 for both hashes and no label. */
static EVP_PKEY_CTX *
oaep(const struct seal_key *k, bool seal)
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(k->pkey, NULL);

	must(c != NULL);
	if ((seal ? EVP_PKEY_encrypt_init(c) : EVP_PKEY_decrypt_init(c)) > 0 &&
	    EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_OAEP_PADDING) > 0 &&
	    EVP_PKEY_CTX_set_rsa_oaep_md(c, EVP_sha256()) > 0 &&
	    EVP_PKEY_CTX_set_rsa_mgf1_md(c, EVP_sha256()) > 0)
		return c;
	EVP_PKEY_CTX_free(c);
	return NULL;
}

static int
open_key(unsigned char key[KEY_LEN], const struct seal_key *k,
    const unsigned char *p, size_t n, struct err *e)
{
	EVP_PKEY_CTX *c = oaep(k, false);
	unsigned char out[2048];
	size_t len = sizeof(out);
	int rv = -1;

	if (c == NULL || (size_t)EVP_PKEY_get_size(k->pkey) > sizeof(out) ||
	    EVP_PKEY_decrypt(c, out, &len, p, n) <= 0 || len != KEY_LEN) {
		fail(e, "was not sealed for this key");
	} else {
		memcpy(key, out, KEY_LEN);
		rv = 0;
	}
	explicit_bzero(out, sizeof(out));
	EVP_PKEY_CTX_free(c);
	return rv;
}

static int
open_value(struct secret *plain, const unsigned char key[KEY_LEN],
    unsigned char *p, size_t n, struct err *e)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	size_t len = n - TAG_LEN;
	unsigned char *out = xcalloc(1, len + 1);
	int got = 0, last = 0, rv = -1;

	must(c != NULL);
	if (EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce) != 1 ||
	    EVP_DecryptUpdate(c, out, &got, p, (int)len) != 1 ||
	    EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG_LEN, p + len) !=
		1 ||
	    EVP_DecryptFinal_ex(c, out + got, &last) != 1) {
		fail(e, "is damaged: its seal is broken");
	} else {
		secret_set(plain, out, len);
		rv = 0;
	}
	explicit_bzero(out, len);
	free(out);
	EVP_CIPHER_CTX_free(c);
	return rv;
}

int
seal_open(struct secret *plain, const struct seal_key *k, const char *text,
    size_t n, struct err *e)
{
	struct buf raw = BUF_INIT, t = BUF_INIT;
	unsigned char key[KEY_LEN], *p;
	size_t i, rsa;
	int rv = -1;

	if (n > SEAL_MAX * 2)
		return fail(e, "is too long for a sealed value");
	for (i = 0; i < n; i++)
		if (!isspace((unsigned char)text[i]))
			buf_addc(&t, text[i]);
	if (base64_decode(&raw, t.p, t.len) == -1) {
		fail(e, "is not base64");
		goto out;
	}
	p = (unsigned char *)raw.p;
	rsa = raw.len < 2 ? 0 : (size_t)p[0] << 8 | p[1];
	if (raw.len < 2 + TAG_LEN || rsa == 0 || rsa > raw.len - 2 - TAG_LEN) {
		fail(e, "is no sealed value: too short");
		goto out;
	}
	if (open_key(key, k, p + 2, rsa, e) == -1)
		goto out;
	rv = open_value(plain, key, p + 2 + rsa, raw.len - 2 - rsa, e);
out:
	explicit_bzero(key, sizeof(key));
	buf_free(&raw);
	buf_free(&t);
	return rv;
}

static int
close_value(struct buf *raw, const unsigned char key[KEY_LEN],
    const void *plain, size_t n, struct err *e)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	unsigned char *out;
	int got = 0, last = 0, rv = -1;

	must(c != NULL);
	buf_grow(raw, n + TAG_LEN);
	out = (unsigned char *)raw->p + raw->len;
	if (EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce) != 1 ||
	    EVP_EncryptUpdate(c, out, &got, plain, (int)n) != 1 ||
	    EVP_EncryptFinal_ex(c, out + got, &last) != 1 ||
	    EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG_LEN, out + n) !=
		1) {
		fail(e, "cannot be sealed");
	} else {
		raw->len += n + TAG_LEN;
		rv = 0;
	}
	EVP_CIPHER_CTX_free(c);
	return rv;
}

int
seal_close(struct buf *text, const struct seal_key *k, const void *plain,
    size_t n, struct err *e)
{
	unsigned char key[KEY_LEN], sealed[2048];
	size_t len = sizeof(sealed);
	struct buf raw = BUF_INIT;
	EVP_PKEY_CTX *c = NULL;
	int rv = -1;

	if (n > SEAL_MAX)
		return fail(e, "is longer than 1 MiB");
	if ((size_t)EVP_PKEY_get_size(k->pkey) > sizeof(sealed) ||
	    RAND_bytes(key, sizeof(key)) != 1 || (c = oaep(k, true)) == NULL ||
	    EVP_PKEY_encrypt(c, sealed, &len, key, sizeof(key)) <= 0) {
		fail(e, "cannot be sealed with this key");
		goto out;
	}
	buf_addc(&raw, (char)(len >> 8));
	buf_addc(&raw, (char)len);
	buf_add(&raw, sealed, len);
	if (close_value(&raw, key, plain, n, e) == -1)
		goto out;
	base64_encode(text, raw.p, raw.len);
	rv = 0;
out:
	explicit_bzero(key, sizeof(key));
	EVP_PKEY_CTX_free(c);
	buf_free(&raw);
	return rv;
}
