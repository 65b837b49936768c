/*
 * wire.h - messages on a stream socket: a length (4 bytes, little endian) and
 * that many bytes.  Both ends of the store's socket, and its own processes, use
 * it.
 */
#ifndef PIPECD_WIRE_H
#define PIPECD_WIRE_H

#include <protobuf-c/protobuf-c.h>

#include "base.h"

struct wire {
	int fd;
	struct buf in, out;
	size_t in_at, out_at; /* what is done with */
};

void wire_init(struct wire *w, int fd);
void wire_free(struct wire *w); /* and close */
/* Read what is there: 1; 0 the other end is gone; -1 errno. */
int wire_fill(struct wire *w);
/*
 * The next whole message, which stays until the next wire_fill: 1; 0 not
 * yet; -1 one that is longer than STORE_MAX, and the connection is useless.
 */
int wire_next(struct wire *w, const uint8_t **p, size_t *n);
/*
 * Append a message made of `head` and the packed bytes of m (either may be
 * nothing).
 */
void wire_put(
    struct wire *w, const void *head, size_t n, const ProtobufCMessage *m);
/* Send what can be sent: 1 all of it; 0 the rest later; -1 gone. */
int wire_drain(struct wire *w);
size_t wire_waiting(const struct wire *w); /* bytes not sent yet */

#endif
