/*
 * front.h - the process that clients talk to.  It looks into LMDB itself, and
 * hands everything else on; a job is what it waits for meanwhile.
 */
#ifndef PIPECD_STORE_FRONT_H
#define PIPECD_STORE_FRONT_H

#include "daemon.h"

struct front;

/* A connection of a client. */
struct client {
	struct front *f;
	struct client *next, **prev;
	struct wire w;
	struct loop_watch watch;
	struct loop_task flush;
	size_t jobs; /* of its, in flight */
	bool gone;   /* freed when its last job ends */
	struct subscription {
		uint64_t id;
		char **tables; /* owned, as all here */
		size_t n;
		char *project;
	} * subs;
	size_t n_subs;
	bool lost; /* changes were left out: say so when there is room */
};

/* Waiting for another process.  p is NULL: it died, or cannot be started. */
struct job {
	uint64_t id; /* slot and generation */
	struct job *next;
	struct client *c; /* NULL: our own */
	uint64_t client_id;
	void (*fn)(struct front *f, struct job *j, const uint8_t *p, size_t n);
	struct arena *a; /* of what it keeps, or NULL */
	void *data;
};

/* Workers of one kind, started when there is work, ended when there is none. */
struct pool {
	struct front *f;
	const char *program;
	bool configured; /* gets our slice of the config */
	size_t max;
	struct worker {
		struct pool *pool;
		pid_t pid; /* 0: none */
		struct wire w;
		struct loop_watch watch;
		struct loop_child child;
		uint64_t job; /* in hand, 0: idle */
		int64_t since;
	} worker[8];
	struct waiting {
		struct waiting *next;
		uint64_t job;
		struct buf message;
	} * first, **last;
	size_t n_waiting;
	struct loop_timer idle;
	int64_t not_before;
};

struct front {
	struct loop *l;
	struct tables *t;
	const struct conf_control *conf;
	struct places places;
	struct arena *a, *kept; /* of one request; of all */
	int dirfd, lock, listener;
	bool once, stopping, reading, ready;
	struct loop_watch listen;
	struct loop_task read_end;
	struct client *clients;
	size_t n_clients;

	struct wire writer;
	struct loop_watch writer_watch;
	struct loop_task writer_flush;
	struct loop_child writer_child;
	pid_t writer_pid;

	struct pool keys, objects;
	struct job **job;
	struct job *free_jobs;
	size_t n_jobs, busy_jobs;

	struct loop_timer tidy, used, fold_again, drain;
	bool folding;
	struct map *keys_used; /* of API keys: id to when, in used_at */
	uint64_t requests, conflicts;
	int exit;
};

/* job.c */
struct job *job_new(struct front *f, struct client *c, uint64_t client_id,
    void (*fn)(struct front *, struct job *, const uint8_t *, size_t));
struct job *job_get(struct front *f, uint64_t id); /* NULL: ended */
void job_end(struct front *f, struct job *j);
int writer_start(struct front *f, struct err *e);
void writer_send(struct front *f, int what, uint64_t job, const uint8_t *p,
    size_t n, const ProtobufCMessage *m);
void writer_stop(struct front *f);
void pool_init(struct pool *p, struct front *f, const char *program, size_t max,
    bool configured);
/* false: too much is waiting already. */
bool pool_send(struct pool *p, int what, uint64_t job, const uint8_t *raw,
    size_t n, const ProtobufCMessage *m);
void pool_stop(struct pool *p);

/* client.c */
void client_new(struct front *f, int fd);
void client_answer(struct client *c, struct answer *w);
/* The packed reply as another process made it. */
void client_pass(struct client *c, const uint8_t *p, size_t n);
void client_done(struct client *c); /* one job fewer */
void clients_tell(struct front *f, const Work__Done *d);
void client_drop(struct client *c); /* at our end */
bool front_read(struct front *f, struct err *e);
void front_stop(struct front *f, int code);

/* dispatch.c: one request */
void dispatch(struct client *c, const uint8_t *p, size_t n);
/* check.c */
void key_check(struct client *c, const Store__Request *q);
void key_make(struct client *c, const Store__Request *q);
void keys_used_flush(struct front *f);
/* fold.c */
void fold_start(struct front *f);
void log_read_object(
    struct client *c, const Store__Request *q, const Work__Log *l);
void watch_add(struct client *c, const Store__Request *q);

#endif
