/*
 * bus.h - how a program's frames come and go.  The same program is a filter
 * (stdin, stdout) and a daemon (-b DIR: an inbox and its peers on nanomsg);
 * only this library knows which, and it alone knows nanomsg's traps.
 *
 * A TELL may be lost: who sends it repeats it, or its reader looks in a
 * journal.  An ASK is retried here and answered once.
 */
#ifndef PIPECD_BUS_H
#define PIPECD_BUS_H

#include "frame.h"

struct bus;

/*
 * `prog` is the short name in frame.def ("plan").  dir NULL: stdin and stdout.
 * Otherwise binds DIR/<prog>.<from>/tell (and ask) for each program that may
 * say something to this one: by frame.def, which also says what; another kind
 * of frame is refused.  DIR must be ours or root's, and not for everybody.  Block signals first: nanomsg starts a thread.
 */
struct bus *bus_open(const char *prog, const char *dir, struct err *e);
void bus_close(struct bus *b);

/*
 * For poll: readable when bus_next may have something, also when lines are
 * buffered.  Call bus_next until it returns 0; it sends what peers did not
 * take before, too.
 */
int bus_fd(const struct bus *b);

/*
 * The next frame: 1; 0 none now; 2 end of input (filter); -1 with *e, which
 * for a daemon's inbox is one bad frame (go on), for a filter the end.
 * A filter copies what is not for `prog` through to stdout, byte for byte, and
 * does not return it; reset the arena before each call, for it is parsed too.
 * *line (may be NULL) is the frame as it came, valid until the next call.
 */
int bus_next(struct bus *b, struct frame *f, struct arena *a, const char **line,
    size_t *len, struct err *e);

/*
 * A filter's rule in full: what frame.def addresses to `prog` is returned and
 * goes no further by itself.  Where a program further down the line wants it
 * too (deployment: exec and report), it is for `prog` to say it again, as it
 * came (*line, bus_line) or as it is then.
 */
int bus_line(struct bus *b, const char *line, size_t len, struct err *e);

/*
 * Tell: to every program that frame.def names for this kind and that has an
 * inbox; to stdout when we are a filter.  Never blocks a daemon: what a
 * peer does not take within its buffer is dropped and counted.
 */
int bus_tell(struct bus *b, const struct frame *f, struct err *e);

/*
 * Ask a peer, and get the answer later from bus_next as a frame whose `re` is
 * the id written into id[] here.  Repeated every second until the answer or
 * timeout_ms, then answered by an err frame of ours (111).  The peer's bus_next
 * returns it once, however often it was repeated, unless that peer restarted.
 * Only daemons ask; a filter has nobody to ask.
 */
enum {
	BUS_ID = 33
};
int bus_ask(struct bus *b, const char *peer, const struct frame *f,
    int64_t timeout_ms, char id[BUS_ID], struct err *e);
/* Answer the ask whose id is `re` with ok or err (its kind decides). */
int bus_answer(
    struct bus *b, const char *re, const struct frame *f, struct err *e);
/* Milliseconds until bus_tick wants to be called; -1: not at all. */
int64_t bus_timeout(const struct bus *b);
void bus_tick(struct bus *b); /* retries and timeouts of asks */
/* Frames that were not taken by a peer, or that nobody expected. */
unsigned long bus_dropped(const struct bus *b);

#endif
