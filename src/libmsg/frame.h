/*
 * frame.h - frames: one typed message with an envelope, the same bytes on a
 * pipe, on the bus and in a journal.  Kinds are in frame.def, fields in
 * frame.proto.
 */
#ifndef PIPECD_FRAME_H
#define PIPECD_FRAME_H

#include <stdio.h>

#include "frame.pb-c.h"
#include "msg.h"

enum frame_kind {
#define FRAME(k, M, m, cls, from, to, doc) FRAME_##k,
#include "frame.def"
	FRAME__N
};

/* A line with its newline; what is larger travels as a file. */
#define FRAME_MAX (1024 * 1024 - 64)

struct frame {
	enum frame_kind kind;
	const char *id;	  /* of this frame, NULL: none */
	const char *re;	  /* the frame this answers, NULL: none */
	int64_t seq;	  /* in a journal, from 1; 0: none */
	const char *prev; /* in a journal: SHA-256 of the line before */
	union {
		ProtobufCMessage *msg;
#define FRAME(k, M, m, cls, from, to, doc) Frame__##M *k;
#include "frame.def"
	} u;
};

/* A frame around a message: frame_send(..., FRAME_OF(head, &h)). */
#define FRAME_OF(k, m) (&(struct frame){ .kind = FRAME_##k, .u.k = (m) })

/*
 * Read one frame from a line of JSON (the newline may be there or not).  All
 * of it lives in `a`.  Returns 1 for a frame; 0 for a kind this build does not
 * know (hand it on, byte for byte); -1 with *e set when it is none: e names
 * kind and field.
 */
int frame_parse(struct frame *f, const char *line, size_t len, struct arena *a,
    struct err *e);

/* Append it as one line with its newline; must not exceed FRAME_MAX. */
void frame_write(struct buf *b, const struct frame *f);

/*
 * Read the next line of `in` and parse it as above.  *line and *len are the
 * line as it was (valid until the next call on the same buf).  Returns as
 * frame_parse; 2 at the end of input.  A last line without newline is a frame
 * cut off: -1, RC_TEMP.  A line over FRAME_MAX: -1, RC_PERM.
 */
struct frame_reader {
	FILE *in;
	const char *name; /* for errors: "stdin" gives "stdin:3: ..." */
	long n;		  /* lines read */
	char *line;	  /* owned */
	size_t cap;
	ssize_t len;
};
int frame_next(
    struct frame_reader *r, struct frame *f, struct arena *a, struct err *e);
void frame_reader_free(struct frame_reader *r);

/* Write one frame to a descriptor in one write; -1: reader gone, disk full. */
int frame_print(int fd, const struct frame *f, struct err *e);

/*
 * Where a registered application is, and what the control plane remembers of
 * its deployments, as exec would say it; it borrows from the model.  false: the
 * model names no place in a repository.
 */
bool frame_past_of(
    Frame__Past *p, const Model__Application *m, struct arena *a);

const char *frame_kind_name(enum frame_kind k);
/* Whether frame.def lets `from` send this kind to `to` (names of programs). */
bool frame_allowed(enum frame_kind k, const char *from, const char *to);
/* Whether it is for this program, whoever said it; the row's words. */
bool frame_addressed(enum frame_kind k, const char *to);
const char *frame_from(enum frame_kind k);
const char *frame_to(enum frame_kind k);
bool frame_is_ask(enum frame_kind k);
/* Print the manual section: every kind with its fields. */
void frame_manual(FILE *out);

/*
 * The shared metadata by which a deployment says that it deploys an earlier
 * revision: of the deployment that did so first.  Such a one does not move what
 * was last triggered by a commit: the next commit is compared with the head.
 */
#define DEPLOYMENT_ROLLBACK_TO "rollback-to"

#endif
