/*
 * daemon.h - the parts of pipecd-store.
 *
 *	clients --+--> front --+--> writer		one, LMDB's only one
 *		  |   (reads)  +--> pipecd-store-key	bcrypt, a few
 *	clients --+	       +--> pipecd-store-object files or S3
 *
 * The front reads LMDB and never waits: a commit lasts as long as the disk
 * needs for a sync, so another process makes it, and takes all that came in
 * meanwhile into the next one.
 */
#ifndef PIPECD_STORE_DAEMON_H
#define PIPECD_STORE_DAEMON_H

#include "conf.h"
#include "loop.h"
#include "store.h"
#include "storework.pb-c.h"
#include "table.h"
#include "wire.h"

/* tables.c */
extern const struct table_row table_rows[];
extern const size_t n_table_rows;

/*
 * Messages between our processes begin with what they are and an id, which
 * comes back with the answer.
 */
enum {
	SAYS_REQUEST = 1, /* a Request of a client, or the Reply */
	SAYS_WORK,	  /* work.Work, or the Reply */
	SAYS_DONE,	  /* work.Done, of its own accord */
	SAYS_BCRYPT,
	SAYS_HEAD = 9 /* bytes */
};
void says_head(uint8_t head[SAYS_HEAD], int what, uint64_t id);
/* What it is; 0: nothing that we say.  p and n become the rest. */
int says_read(const uint8_t **p, size_t *n, uint64_t *id);

/* --- one unit of work, wherever it is done ------------------------------- */

/*
 * An answer being made: everything in `a`, the reply packed by whoever asked.
 */
struct answer {
	Store__Reply r;
	struct arena *a;
};
void answer_init(struct answer *w, uint64_t id, struct arena *a);
/* Codes of errors: RC_PERM is the asker's mistake, RC_TEMP the disk's. */
void answer_err(struct answer *w, Store__Code code, const struct err *e);
void answer_say(struct answer *w, Store__Code code, const char *fmt, ...)
    PRINTF(3, 4);
void answer_add(struct answer *w, Store__Record *r);
/* A record for outside, hidden fields emptied; NULL with *e set. */
Store__Record *record_show(const struct table *b, const struct record *r,
    struct arena *a, struct err *e);

/* read.c: what a read transaction is enough for. */
void do_get(struct tables *t, const Store__Get *q, struct answer *w);
void do_list(struct tables *t, const Store__List *q, struct answer *w);
void do_stat(struct tables *t, struct answer *w);

/* write.c, rule.c, log.c, keys.c: in the writer's transaction.  -1: all of
 * the transaction is lost, with *e; else the answer says how it went. */
struct change_list {
	struct arena *a;
	Work__Done d;
	size_t changes_cap, completed_cap;
};
void change_add(struct change_list *cl, const struct table *b,
    const ProtobufCMessage *m, uint64_t version, bool deleted);
void change_log(struct change_list *cl, const Work__Log *l, bool completed);
int do_write(struct tables *t, const Store__Write *q, struct change_list *cl,
    struct answer *w, struct err *e);
int rule_check(const char *table, const ProtobufCMessage *old,
    const ProtobufCMessage *m, struct err *e);

/* log.c */
enum {
	LOG_BYTES_MAX = 8 * 1024 * 1024 - 4096,
	LOG_KEY = 45
};
int do_log_append(struct tables *t, const Store__LogAppend *q,
    struct change_list *cl, struct answer *w, struct err *e);
/* 1 answered; 0 it is an object: *l says which. */
int do_log_read(
    struct tables *t, const Store__LogRead *q, Work__Log *l, struct answer *w);
char *log_object(const Work__Log *l, struct arena *a);
/* All lines as the object has them. */
int log_text(
    struct tables *t, const Work__Log *l, struct buf *out, struct err *e);
/* Lines of an object into an answer. */
void log_parse(
    const Store__LogRead *q, const void *p, size_t n, struct answer *w);
int log_folded(struct tables *t, const Work__Log *l, struct err *e);
/*
 * All of a deployment, at once for whoever reads; objects go later: those that
 * log_next_gone says, each forgotten by log_gone.
 */
int log_drop(struct tables *t, const char *deployment, struct change_list *cl,
    struct err *e);
int log_next_gone(struct tables *t, struct buf *key, Work__Log **l,
    struct arena *a, struct err *e);
int log_gone(struct tables *t, const Work__Log *l, struct err *e);
/* All logs of a deployment, after *key, "" first. */
int log_next(struct tables *t, const char *deployment, struct buf *key,
    Work__Log **l, struct arena *a, struct err *e);
/* Every log there is, after *key, "" first. */
int log_next_state(struct tables *t, struct buf *key, Work__Log **l,
    struct arena *a, struct err *e);
/* The logs to fold: after *key, "" first. */
int log_next_fold(struct tables *t, struct buf *key, Work__Log **l,
    struct arena *a, struct err *e);

/* writer.c: the process that writes; does not return. */
noreturn void writer_main(const char *store_dir);

/* front.c */
int front_main(const struct conf_control *conf, bool once, struct err *e);

/* tool.c: -d, -l, -b, -V.  Exit codes. */
struct places {
	const char *state, *store, *objects, *run;
};
void places_of(struct places *p, const char *state_dir, struct arena *a);
int tool_dump(const struct places *p, const char *table);
int tool_load(const struct places *p, const char *table);
int tool_backup(
    const struct conf_control *c, const struct places *p, const char *dir);
int tool_verify(const struct conf_control *c, const struct places *p);

#endif
