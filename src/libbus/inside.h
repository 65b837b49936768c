/*
 * inside.h - the parts of a bus.  Private to libbus.
 */
#ifndef PIPECD_BUS_INSIDE_H
#define PIPECD_BUS_INSIDE_H

#include "bus.h"

enum {
	BACKLOG = 16 << 20, /* bytes kept for a peer that does not take them */
	RETRY_MS = 1000,
	WORK_MAX = 4096,	/* asks taken and not answered */
	ANSWER_MAX = 256,	/* answers kept for a repeated ask, */
	ANSWER_BYTES = 1 << 20, /* and bytes of them */
	NAME_MAX_ = 32
};

/* A message that waits. */
struct parcel {
	struct parcel *next;
	size_t len;
	char bytes[];
};

struct queue {
	struct parcel *head, **tail;
	size_t bytes;
};

/* A nanomsg socket, and what it could not send yet. */
struct port {
	struct port *next;
	enum port_kind {
		INBOX, /* PULL, bound: tells to us */
		PEER,  /* PUSH, connected: our tells to a peer */
		ASKED, /* PAIR, bound: asks of one peer, and our answers */
		ASKING /* PAIR, connected: our asks to a peer */
	} kind;
	char peer[NAME_MAX_];
	int s; /* nanomsg's number, no descriptor */
	int rcvfd, sndfd;
	bool armed; /* sndfd is in the poll set */
	struct queue out;
	unsigned long dropped;
};

/* An ask of ours, until its answer or its end. */
struct ask {
	struct ask *next;
	char id[BUS_ID];
	struct port *port;
	int64_t retry_at, end_at, timeout_ms;
	size_t len;
	char bytes[];
};

/* An ask to us: taken, then answered; the answer is kept for a repetition. */
struct work {
	struct work *next;
	char *id;
	struct port *port;
	struct parcel *answer; /* NULL: not yet */
};

struct bus {
	char prog[NAME_MAX_];
	char *dir; /* NULL: a filter */
	int dirfd; /* O_PATH */
	int ep, bell;
	bool rung;

	/* Filter. */
	struct buf in, pass;
	size_t at; /* of the next line in `in` */
	long line;
	bool eof, file; /* stdin ended; stdin is a file, always readable */
	bool more;	/* bus_next stopped before there was nothing */

	/* Daemon. */
	struct port *ports, *turn;
	struct ask *asks;
	struct work *works;
	size_t nwork;
	struct queue own; /* frames we say to ourselves */
	void *msg;	  /* nanomsg's, of the latest bus_next */
	struct parcel *mine;
	uint64_t salt, count;
	unsigned long dropped;
	struct buf out;
};

/* bus.c: the frame as one line in b->out, not too long */
int out_line(struct bus *b, const struct frame *f, struct err *e);

/* filter.c */
int filter_open(struct bus *b, struct err *e);
int filter_next(struct bus *b, struct frame *f, struct arena *a,
    const char **line, size_t *len, struct err *e);

/* net.c: nanomsg and nothing else */
int net_open(struct bus *b, struct err *e);
void net_close(struct bus *b);
struct port *net_port(
    struct bus *b, enum port_kind kind, const char *peer, struct err *e);
struct port *net_find(
    const struct bus *b, enum port_kind kind, const char *peer);
bool net_exists(const struct bus *b, const char *peer);
bool net_word(const char **s, char dst[NAME_MAX_]);
/* Send now or keep; the oldest are dropped beyond BACKLOG. */
void net_send(struct bus *b, struct port *p, const void *s, size_t n);
void net_flush(struct bus *b);
/* The next message of any port: 1, 0 none; freed by the next call. */
int net_recv(struct bus *b, struct port **p, const char **s, size_t *n);

/* ask.c */
int ask_answered(struct bus *b, const struct frame *f); /* 1: it is awaited */
int ask_taken(struct bus *b, struct port *p, const struct frame *f);
void ask_free(struct bus *b);

/* bus.c */
void bell(struct bus *b, bool on);
void queue_init(struct queue *q);
void queue_put(struct queue *q, const void *s, size_t n);
struct parcel *queue_take(struct queue *q);

#endif
