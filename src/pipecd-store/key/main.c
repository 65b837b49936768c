/*
 * NAME
 *	pipecd-store-key - compare keys with their bcrypt hashes
 * SYNOPSIS
 *	pipecd-store-key
 * DESCRIPTION
 *	pipecd-store starts it, and asks it on standard input: is this key one
 *	of these hashes, or what is the hash of this key?  bcrypt takes some 60
 *	ms of a core each time, which nobody else should wait for.
 *
 *	Hashes are $2a$, $2b$ and $2y$; new ones are $2a$10$, as PipeCD has
 *	them.  Keys of more than 72 bytes are none: bcrypt would cut them off
 *	without a word.
 * OPTIONS
 *	None: it is started by pipecd-store.
 * INPUT
 *	Messages of storework.proto (Bcrypt), each after its length.
 * OUTPUT
 *	The same, on the same socket.
 * EXIT STATUS
 *	0	nobody asks any more
 *	100	usage
 *	111	standard input is no socket of pipecd-store
 * PRIVILEGES
 *	None: no file, no network.
 * SEE ALSO
 *	pipecd-store(1)
 */
#include <crypt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "msg.h"
#include "sandbox.h"
#include "store.h"
#include "storework.pb-c.h"
#include "wire.h"

static const char synopsis[] = "pipecd-store-key";

enum {
	HEAD = 9,
	KEY_MAX = 72,
	HASH = 60
};

/* The time does not depend on where they differ. */
static bool
same(const char *a, const char *b)
{
	size_t n = strlen(a), i;
	unsigned char d = 0;

	if (n != strlen(b))
		return false;
	for (i = 0; i < n; i++)
		d |= (unsigned char)(a[i] ^ b[i]);
	return d == 0;
}

static bool
is_key(const char *key, const char *hash, struct crypt_data *c)
{
	const char *got;

	if (strlen(hash) != HASH || !str_prefix(hash, "$2"))
		return false;
	/* A failure is "*0" or "*1", which is no hash's length. */
	got = crypt_r(key, hash, c);
	return got != NULL && same(got, hash);
}

static void
answer(Work__Bcrypt *b, struct crypt_data *c, struct arena *a)
{
	char setting[64];
	const char *got;
	size_t i, n = strlen(b->key);

	b->found = -1;
	if (n == 0 || n > KEY_MAX) {
		b->hash = (char *)(uintptr_t) "";
	} else if (b->n_hashes > 0) {
		for (i = 0; i < b->n_hashes && b->found == -1; i++)
			if (is_key(b->key, b->hashes[i], c))
				b->found = (int32_t)i;
	} else if (crypt_gensalt_rn(
		       "$2a$", 10, NULL, 0, setting, sizeof(setting)) != NULL) {
		got = crypt_r(b->key, setting, c);
		if (got != NULL && strlen(got) == HASH)
			b->hash = arena_strdup(a, got);
	}
	explicit_bzero(c, sizeof(*c));
	/* What was asked need not travel back. */
	explicit_bzero(b->key, n);
	b->n_hashes = 0;
}

int
main(int argc, char *argv[])
{
	struct crypt_data *c = xcalloc(1, sizeof(*c));
	struct arena *a = arena_new();
	uint8_t head[HEAD];
	const uint8_t *p;
	Work__Bcrypt *b;
	struct wire w;
	struct err e;
	size_t n;
	int rv = RC_OK;

	(void)argv;
	if (argc != 1)
		usage(synopsis);
	log_open("pipecd-store-key", LOG_INFO);
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);
	if (sandbox("store-key", "/", NULL, &e) == -1)
		die(&e);
	wire_init(&w, STDIN_FILENO);
	while (wire_fill(&w) == 1)
		while (wire_next(&w, &p, &n) == 1) {
			if (n < HEAD) {
				rv = RC_TEMP;
				goto out;
			}
			memcpy(head, p, HEAD);
			arena_reset(a);
			b = (Work__Bcrypt *)msg_unpack(
			    &work__bcrypt__descriptor, p + HEAD, n - HEAD, a, 0,
			    &e);
			if (b == NULL) {
				log_error("-", "%s", e.text);
				rv = RC_TEMP;
				goto out;
			}
			answer(b, c, a);
			wire_put(&w, head, HEAD, &b->base);
			if (wire_drain(&w) == -1)
				goto out;
		}
out:
	wire_free(&w);
	arena_free(a);
	free(c);
	return rv;
}
