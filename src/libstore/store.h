/*
 * store.h - asking pipecd-store.  Asynchronous: many requests in flight, each
 * answered once, by a function of the caller.  What can be asked, and what the
 * answers say, is in store.proto.
 *
 *	struct store *s = store_open(state_dir, e);
 *	watch store_fd(s) for reading; whenever it is: store_turn(s)
 *
 *	Store__Get g = STORE__GET__INIT;
 *	Store__Request q = STORE__REQUEST__INIT;
 *	char *ids[] = { id };
 *
 *	g.table = "deployment", g.ids = ids, g.n_ids = 1;
 *	STORE_ASK(&q, GET, get, &g);
 *	store_send(s, &q, 5000, got, self);
 *
 * The store may be restarted at any time.  What only reads, and what may be
 * repeated (log_append, object_put, object_delete), is then asked again until
 * its time is over.  A write or key_make that was under way is answered
 * UNAVAILABLE: it was done or it was not; read and see.
 */
#ifndef PIPECD_STORE_H
#define PIPECD_STORE_H

#include "base.h"
#include "store.pb-c.h"

struct store;

/* The longest message, in both directions. */
#define STORE_MAX (16 * 1024 * 1024)

/*
 * Connect to the store that serves this state directory (its run/store.sock).
 * It need not be there yet.  -1 is about the directory only.
 */
struct store *store_open(const char *state_dir, struct err *e);
/*
 * The same for a command on the store's own host: where no store serves the
 * directory, one is started for us (bin_dir/pipecd-store -1) and ends with us.
 * `conf` is the control plane's configuration file, NULL: a state directory
 * with everything at its default.
 */
struct store *store_open_local(const char *state_dir, const char *conf,
    const char *bin_dir, struct err *e);
/* What is still in flight is dropped without being answered. */
void store_close(struct store *s);

/*
 * One descriptor for ever, readable when store_turn has something to do: an
 * answer, room to send, a time that is over.  store_turn calls the functions
 * of store_send, never store_send itself.
 */
int store_fd(const struct store *s);
void store_turn(struct store *s);
/* Whether it is connected now: for /readyz. */
bool store_up(const struct store *s);

/*
 * Ask.  q is packed at once and may live on the stack; its id is overwritten.
 * `done` is called once, from store_turn, in every case: r is never NULL, and
 * has code UNAVAILABLE or DEADLINE_EXCEEDED when the store did not answer.  r
 * and all in it live in `a` until `done` returns; copy what must live longer.
 * A watch's `done` is called for each change, until store_cancel; timeout_ms
 * is then for the first answer only, and after a new connection it hears
 * `lost`.
 * Returns a handle for store_cancel, never 0.
 */
uint64_t store_send(struct store *s, const Store__Request *q,
    int64_t timeout_ms,
    void (*done)(void *arg, const Store__Reply *r, struct arena *a), void *arg);
/* The asker is gone: `done` will not be called.  A write happens all the same.
 */
void store_cancel(struct store *s, uint64_t handle);
/* Ask and wait, for commands that do one thing.  The reply lives in `a`. */
const Store__Reply *store_call(struct store *s, const Store__Request *q,
    int64_t timeout_ms, struct arena *a);
/* Requests in flight, for back pressure and metrics. */
size_t store_pending(const struct store *s);

/* Fill the oneof: STORE_ASK(&q, LOG_READ, log_read, &l). */
#define STORE_ASK(q, CASE, member, v) \
	((q)->ask_case = STORE__REQUEST__ASK_##CASE, (q)->member = (v))

/* The name of a code, "CONFLICT", for logs. */
const char *store_code(Store__Code c);

#endif
