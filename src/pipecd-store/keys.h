/*
 * keys.h - keys of agents and of the API, passwords of projects.
 *
 * Hashes are bcrypt, as PipeCD has them, in the records themselves.  Beside
 * them, in the private table key, is the SHA-256 of a key that was found right:
 * keys are long and random, so that nothing is lost by it, and the next check
 * costs microseconds.  Passwords have no such thing.  A proof counts while the
 * record still has the hash that it belongs to: taking a key away takes it too.
 */
#ifndef PIPECD_STORE_KEYS_H
#define PIPECD_STORE_KEYS_H

#include "daemon.h"

enum {
	KEY_BYTES_MAX = 72, /* bcrypt reads no more */
	KEYS_PER_PIPED = 2,
	FAILURES = 10 /* then it is locked for a while */
};

/* Whose key it is: its id in table key, and the record that has the hashes. */
struct key_owner {
	const char *key_id;
	struct table *b;
	const char *id;
	ProtobufCMessage *m;
	const char **hashes;
	size_t n;
	bool disabled;
	uint64_t version;
};
/* 1; 0 nobody's; -1. */
int key_owner(struct key_owner *o, struct tables *t, const Store__KeyCheck *q,
    struct arena *a, struct err *e);
/* Where its records are; NULL: no such kind. */
const char *key_table(Store__KeyKind kind);
/* "piped/ID" */
char *key_id(Store__KeyKind kind, const char *id, struct arena *a);
/* The private record; a new one when there is none.  -1. */
int key_record(struct tables *t, const char *id, const char *project,
    Work__Key **k, struct record *r, struct arena *a, struct err *e);
void key_sha256(uint8_t dst[32], const char *key);

/* In the writer. */
int do_key_apply(struct tables *t, const Work__KeyApply *q,
    struct change_list *cl, struct answer *w, struct err *e);
int do_key_drop(struct tables *t, const Store__KeyDrop *q,
    struct change_list *cl, struct answer *w, struct err *e);
int do_key_proved(
    struct tables *t, const Work__KeyProved *q, struct arena *a, struct err *e);
int do_key_failed(
    struct tables *t, const Work__KeyFailed *q, struct arena *a, struct err *e);
int do_keys_used(
    struct tables *t, const Work__KeysUsed *q, struct arena *a, struct err *e);

#endif
