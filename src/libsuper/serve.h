/*
 * serve.h - both ends of descriptor 5.  The asking end is launch.h.
 */
#ifndef PIPECD_SERVE_H
#define PIPECD_SERVE_H

#include "launch.h"
#include "super.pb-c.h"

enum {
	SUPER_MAX = 65536 /* bytes of a packet */
};

/* Send a message with its descriptors; -1 with errno. */
int super_send(int sock, const ProtobufCMessage *m, const int *fds, size_t n);
/*
 * Take a packet: 1, with its descriptors in fds (the caller closes them);
 * 0 none now, 2 the other end is gone, -1 with *e: not a valid message.
 */
int super_recv(int sock, const ProtobufCMessageDescriptor *d,
    ProtobufCMessage **m, int fds[4], size_t *n_fds, struct arena *a,
    struct err *e);

/*
 * What a request asks for, checked: 1 launch into *what, whose descriptors are
 * those of fds; 2 kill; 3 restart; -1 with *e.
 */
int super_request(const Super__Request *r, struct launch *what, const int *fds,
    size_t n_fds, struct arena *a, struct err *e);

#endif
