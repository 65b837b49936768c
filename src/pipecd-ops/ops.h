/* ops.h - the jobs of pipecd-ops and how they ask; private to the program. */
#ifndef PIPECD_OPS_H
#define PIPECD_OPS_H

#include "conf.h"
#include "msg.h"
#include "store.h"

enum {
	PAGE = 200,	       /* records of a list at a time */
	ASK_MS = 10 * 1000,    /* how long an answer may take */
	LEASE_S = 30,	       /* a holder that says nothing is gone */
	LEASE_MS = 10 * 1000,  /* how often the holder says something */
	OFFLINE_S = 120,       /* of agents, as PipeCD has it */
	FORGET_STAT_S = 86400, /* what they said of themselves */
	ORPHAN_S = 86400,      /* of commands */
	PREVIEW_S = 48 * 3600  /* of outputs */
};

struct did { /* what a job did, for its one line of JSON */
	struct {
		const char *name;
		int64_t n;
	} count[8];
	size_t n;
	const char *text; /* instead; in the arena of the job */
};
void did(struct did *d, const char *name, int64_t n); /* adds up */

struct ops {
	struct store *store;
	const struct conf_control *conf;
	struct arena *arena; /* of the job that runs */
	bool daemon, stop;   /* stop: a signal said so */
	int signals;	     /* of a daemon */
	bool chains_open;    /* some chain was unfinished when last looked */
	/* The lease. */
	char owner[200];
	bool holder;
	int64_t lease_next_ms;
};

enum when {
	WHEN_START,
	WHEN_EVERY,
	WHEN_CRON,
	WHEN_PEOPLE
};

struct job {
	int (*fn)(
	    struct ops *o, char *const *args, struct did *d, struct err *e);
	const char *name;
	enum when when;
	int64_t every_s;
	const char *args, *doc;
};
extern const struct job jobs[]; /* .name is NULL at the end */
#define JOB(function, name, when, every, args, doc) \
	int job_##function( \
	    struct ops *o, char *const *argv, struct did *d, struct err *e);
#include "jobs.def"

/* --- asking (ask.c) --------------------------------------------------------
 *
 * One thing at a time: jobs are in no hurry, and others are served meanwhile.
 */

/* Whether SIGTERM or SIGINT came; a daemon asks nothing more then. */
bool told_to_end(struct ops *o);
/* NULL with *e, unless the answer is OK. */
const Store__Reply *ops_ask(
    struct ops *o, const Store__Request *q, struct arena *a, struct err *e);
/* Of a string that is only read. */
char *str(const char *s);

/* 1 with the message and its version, 0: there is none. */
int ops_get(struct ops *o, const char *table, const char *id,
    const ProtobufCMessageDescriptor *d, void *m, uint64_t *version,
    struct arena *a, struct err *e);
void *record_of(const ProtobufCMessageDescriptor *d, const Store__Record *r,
    struct arena *a, struct err *e);

struct list {
	Store__List l;
	Store__Filter filter[4], *filters[4];
	char *values[4][8];
};
void list_init(
    struct list *l, const char *table, const char *order, bool ascending);
/* The same field again: or that value. */
void list_filter(struct list *l, const char *field, const char *value);
/*
 * Call fn with each record, in an arena of its page; 0, or what fn returned
 * when that was not 0.
 */
int list_each(struct ops *o, struct list *l,
    int (*fn)(
	void *arg, const Store__Record *r, struct arena *a, struct err *e),
    void *arg, struct err *e);

/*
 * Writes that are each good by themselves, sent together.  One whose record
 * was changed meanwhile is left out: the next run looks again.
 */
struct batch {
	struct ops *o;
	struct arena *arena; /* owned */
	Store__Op *op[100];
	size_t n;
	int64_t done;
};
void batch_init(struct batch *b, struct ops *o);
int batch_add(struct batch *b, Store__Op__Kind kind, const char *table,
    const char *id, uint64_t version, const ProtobufCMessage *m, struct err *e);
/* Write the rest, where all went well so far (rv is 0), and free; rv. */
int batch_end(struct batch *b, int rv, struct err *e);

/* Notes: what a job remembers. 0 and NULL when there is none. */
int note_get(struct ops *o, const char *id, int64_t *number, const char **text,
    struct arena *a, struct err *e);
int note_put(struct ops *o, const char *id, const char *project, int64_t number,
    const char *text, struct err *e);

/* Objects: 1 with the bytes, 0: there is none. */
int object_get(struct ops *o, const char *key, ProtobufCBinaryData *data,
    struct arena *a, struct err *e);
int object_put(
    struct ops *o, const char *key, const ProtobufCMessage *m, struct err *e);
int object_delete(struct ops *o, const char *key, struct err *e);
int object_each(struct ops *o, const char *prefix,
    int (*fn)(void *arg, const Store__Object *obj, struct err *e), void *arg,
    struct err *e);

/* One write, now: 1, or 0 when it was changed meanwhile, or is there. */
int write_one(struct ops *o, Store__Op__Kind kind, const char *table,
    const char *id, uint64_t version, const ProtobufCMessage *m, struct err *e);

/* Every project's id. */
int project_each(struct ops *o,
    int (*fn)(void *arg, const char *project, struct err *e), void *arg,
    struct err *e);

/* lease.c: whether we are the one; -1 the store cannot be asked. */
int lease_hold(struct ops *o, struct err *e);
void lease_drop(struct ops *o);

/* daemon.c */
int daemon_run(struct ops *o, struct err *e);

#endif
