/*
 * api.h - what the files of pipecd-api share.
 *
 * A call goes through three hands: methods.c finds out who calls and whether
 * they may, and checks the request; a function of a noun's file (deployment.c
 * ...) does it, in steps, each of which is an answer of the store; ask.c is
 * between these functions and the store.
 */
#ifndef PIPECD_API_H
#define PIPECD_API_H

#include <stdio.h>

#include "conf.h"
#include "grpc.h"
#include "msg.h"
#include "service/agent.pb-c.h"
#include "service/apiservice.pb-c.h"
#include "service/operator.pb-c.h"
#include "service/pipedservice.pb-c.h"
#include "service/webservice.pb-c.h"
#include "store.h"

enum {
	STORE_MS = 10000,   /* how long the store may take */
	ONLINE_S = 120,	    /* an agent that was silent longer is offline */
	STAT_S = 60,	    /* how often an agent says that it is there */
	ALIVE_S = 60,	    /* and we to it, on its Watch */
	AUTH_MS = 30000,    /* a key that was right is not asked about again */
	AUTH_BAD_MS = 5000, /* nor one that was wrong */
	PAGE_APPLICATIONS = 10,
	PAGE_DEPLOYMENTS = 10,
	PAGE_MAX = 1000,
	ANSWER_MAX = 3 * 1024 * 1024, /* clients take 4 MiB */
	AGENT_MAX = 9 * 1024 * 1024,  /* and PipeCD's agents 10 MB */
	TRIES = 16 /* of a write that others get in the way of */
};

/* Who may call a method; in the order of what one may. */
enum may {
	MAY_PIPED_READ,	 /* an agent */
	MAY_PIPED_WRITE, /* an agent that is not fenced off */
	MAY_KEY_READ,	 /* any API key */
	MAY_KEY_WRITE,	 /* a READ_WRITE one */
	MAY__N
};

struct caller {
	bool piped;	     /* an agent; else an API key */
	bool write;	     /* of an API key: READ_WRITE */
	const char *project; /* whose */
	const char *id;	     /* of the agent or the key */
	const char *name;    /* of the key, for people */
};

struct method;
struct call;
typedef void handler_fn(struct call *c, const void *req);

/* A row of methods.def. */
struct method {
	const char *service, *name;
	enum may may;
	handler_fn *handler;
	bool stream;
	size_t number; /* of the row, from 0 */
};

struct api {
	struct loop *loop;
	struct grpc_server *main, *admin;
	struct grpc_tls *tls; /* NULL: plain */
	struct store *store;
	struct loop_watch store_watch;
	const struct conf_control *conf;
	const char *web_url; /* of the pages, without a slash at its end */
	struct auth *auth;
	struct agents *agents;
	struct watchers *watchers;
	struct owners *owners;
	struct metrics *metrics;
	struct hooks *hooks;
	struct grpc_method *methods; /* the rows of methods.def */
	size_t n_methods;
	uint64_t changes; /* the watch of the store's changes */
	struct loop_timer tick;
	bool draining;
};

/*
 * One call in hand.  It lives in the call's arena and ends with its answer;
 * a handler keeps what it needs between two steps in `user`.
 */
typedef void step_fn(struct call *c, const Store__Reply *r);
struct change {
	const char *table, *id, *what;
	const ProtobufCMessageDescriptor *d;
	int (*edit)(struct call *c, void *rec);
	void (*then)(struct call *c, void *rec);
	uint64_t version;
	int tries;
};
struct call {
	struct api *api;
	struct grpc_call *g;
	struct arena *a; /* of the call */
	const struct method *m;
	struct caller who;
	step_fn *step; /* what the store's next answer is for */
	struct change change;
	struct own *own; /* of owners.c */
	struct all *all; /* of reply_all */
	void *user;
	const void *req;
};

/* --- methods.c ------------------------------------------------------------ */

/* The rows of methods.def; made once, and kept as long as the server. */
struct grpc_method *methods_make(struct api *api, size_t *n);
void methods_free(struct grpc_method *m);
/* What a row of these is. */
const struct method *method_of(const struct grpc_method *m);
const char *may_name(enum may may);
/* Print them for a person: service, method, who may call. */
void methods_print(FILE *out);

/* --- answers -------------------------------------------------------------- */

/* Answer with a status; for `return refuse(...)` in functions of type int. */
int refuse(struct call *c, int code, const char *fmt, ...) PRINTF(3, 4);
void reply(struct call *c, const void *msg);
/* The empty message of the method. */
void reply_empty(struct call *c);
/* An id that is no caller's, in PipeCD's words. */
int not_yours(struct call *c, const char *noun);

/* --- ask.c: the store ----------------------------------------------------- */

/* Ask; `step` gets the answer. */
void ask(struct call *c, const Store__Request *q, step_fn *step);
/* Whether it went well; otherwise the caller has been answered. */
bool went_well(struct call *c, const Store__Reply *r, const char *what);
void ask_get(struct call *c, const char *table, const char *id, step_fn *step);
/* A record of an answer, in the call's arena; NULL: answered INTERNAL. */
void *record(struct call *c, const ProtobufCMessageDescriptor *d,
    const Store__Record *r);
/* Create or replace one record. */
void ask_write(struct call *c, Store__Op__Kind kind, const char *table,
    const void *msg, step_fn *step);
/* A step: the empty message when it went well. */
void reply_written(struct call *c, const Store__Reply *r);
/* A write of several in one transaction; starts zeroed. */
struct ops {
	Store__Op **op; /* of the call's arena */
	size_t n, cap;
};
void ops_add(struct call *c, struct ops *o, Store__Op__Kind kind,
    const char *table, const void *msg, uint64_t version);
void ops_write(struct call *c, struct ops *o, step_fn *step);
/* Several records by id: records of the answer, version 0 where none is. */
void ask_many(
    struct call *c, const char *table, char **ids, size_t n, step_fn *step);

/* A list being asked for. */
struct query {
	Store__List list;
	Store__Filter *filter[16], **filters;
};
void query_init(struct query *q, const char *table);
void query_is(
    struct call *c, struct query *q, const char *field, const char *value);
void query_in(struct call *c, struct query *q, const char *field,
    const char *const *values, size_t n);
void query_label(
    struct call *c, struct query *q, const char *key, const char *value);
void ask_list(struct call *c, struct query *q, step_fn *step);
/*
 * Answer with all records, page by page put together: PipeCD's agents do not
 * ask for a second page.  q lives in the call's arena.  Beyond so many bytes
 * there is a cursor (where the answer has a field for it) or an end.
 */
void reply_all(struct call *c, struct query *q, unsigned field,
    unsigned cursor_field, size_t max);
struct query *query_new(struct call *c, const char *table);

/*
 * Read a record, edit it, write it; again when somebody else wrote it in
 * between.  `edit` returns CHANGED, SAME (nothing to write), or -1 after it
 * has answered; it may be called more than once.  `then` answers; NULL: with
 * the method's empty message.
 */
enum {
	SAME,
	CHANGED
};
void change(struct call *c, const char *table, const char *id,
    const ProtobufCMessageDescriptor *d, int (*edit)(struct call *c, void *rec),
    void (*then)(struct call *c, void *rec));

/* Objects. */
void ask_object(struct call *c, const char *key, step_fn *step);
void ask_object_put(
    struct call *c, const char *key, const void *p, size_t n, step_fn *step);

/* --- small things --------------------------------------------------------- */

/* A new random UUID, in the arena. */
char *uuid4(struct arena *a);
/* "" for NULL: proto3's strings. */
const char *or_empty(const char *s);
bool empty(const char *s);
bool same(const char *a, const char *b);
/*
 * Put the pairs of one map of strings into another (the addresses of its field
 * and count), whose entries are of type `entry`: what is there is replaced.
 */
void map_merge(const ProtobufCMessageDescriptor *entry, void *dst,
    size_t *n_dst, void *src, size_t n_src, struct arena *a);
/* NULL: it has no such key. */
const char *map_value(void *map, size_t n, const char *key);

/* Whether two remotes of git name the same repository, however reached. */
bool remote_same(const char *a, const char *b);
/* The first that is in the list twice; n: none is. */
size_t twice(char *const *ids, size_t n);

/* wire.c: packed messages without unpacking them. */
void wire_bytes(struct buf *b, unsigned field, const void *p, size_t n);
/* A string field; false: not there. */
bool wire_string(
    const void *p, size_t n, unsigned field, const char **s, size_t *len);
bool wire_is(const void *p, size_t n, unsigned field, const char *s);
/* Answer {field: records..., cursor_field: cursor} without decoding any. */
void reply_records(struct call *c, const Store__Reply *r, unsigned field,
    unsigned cursor_field, const char *cursor);

/* --- auth.c --------------------------------------------------------------- */

struct auth *auth_new(struct api *api);
void auth_free(struct auth *a);
/*
 * Who says this?  `then` is called once, now or later, with code GRPC_OK, or
 * why not; *who lives until it returns.
 */
void auth_check(struct auth *a, const char *authorization,
    void (*then)(
	void *arg, int code, const char *why, const struct caller *who),
    void *arg);
/* Something changed about this agent or key; NULL: about anybody. */
void auth_forget(struct auth *a, const char *id);
/* What is waiting for the store of who has gone. */
size_t auth_size(const struct auth *a);

/* --- agent.c: agents that watch ------------------------------------------- */

struct agents *agents_new(struct api *api);
void agents_free(struct agents *x);
void agents_change(struct agents *x, const Store__Change *ch);
/* Say at once that it should look again at everything. */
void agents_lost(struct agents *x);
/* Every five seconds: whoever has heard nothing for long hears something. */
void agents_tick(struct agents *x);
/* Drain: end all streams, so that they go elsewhere. */
void agents_end(struct agents *x);
/* A push that concerns this agent. */
void agents_push(
    struct agents *x, const char *piped_id, Pipecd__Agent__Push *push);
size_t agents_count(const struct agents *x);
/*
 * Whether this call is of an agent that was fenced off; `then` goes on when it
 * is not, else the caller has been answered.
 */
void fence_check(struct call *c, void (*then)(struct call *c));

/* --- watch.c: people who watch a deployment --------------------------------- */

struct watchers *watchers_new(struct api *api);
void watchers_free(struct watchers *x);
void watchers_change(struct watchers *x, const char *deployment_id);
void watchers_lost(struct watchers *x);
void watchers_end(struct watchers *x);

/* --- application.c -------------------------------------------------------- */

/* The caller's; otherwise it is refused. */
bool application_is_ours(struct call *c, const Model__Application *a);

/* --- deployment.c --------------------------------------------------------- */

/* Of the calling agent; otherwise it is refused. */
bool deployment_is_ours(struct call *c, const Model__Deployment *d);
bool deployment_done(int status);

/* --- command.c ------------------------------------------------------------ */

/* A command of the caller's, not yet complete: id, project, commander. */
Model__Command *command_new(struct call *c, Model__Command__Type type,
    const char *piped_id, const char *application_id,
    const char *deployment_id);
/* Create it, and answer with its id in field 1. */
void command_send(struct call *c, const Model__Command *m);
void reply_command(struct call *c, const Store__Reply *r);

/* --- chain.c -------------------------------------------------------------- */

/* Go on when the chain is of the caller's project, else refuse. */
void own_chain(struct call *c, const char *id, void (*then)(struct call *c));
/* Say in its chain what became of a deployment, then answer. */
void chain_report(struct call *c, const char *chain_id, unsigned block,
    const Model__Deployment *d);

/* --- owners.c: whose a deployment or application is ----------------------- */

struct owners *owners_new(void);
void owners_free(struct owners *o);
/* Whether it is known to be of this agent. */
bool owners_know(const struct owners *o, const char *id, const char *piped_id);
void owners_learn(struct owners *o, const char *id, const char *piped_id);
void owners_forget(struct owners *o, const char *id);
/* Go on when the deployment is the calling agent's, else refuse. */
void own_deployment(
    struct call *c, const char *id, void (*then)(struct call *c));
void own_application(
    struct call *c, const char *id, void (*then)(struct call *c));

/* --- http.c, metrics.c, webhook.c ----------------------------------------- */

const char *api_version(void);
void http_main(void *arg, struct http_call *h);
void http_admin(void *arg, struct http_call *h);
struct metrics *metrics_new(struct api *api);
void metrics_free(struct metrics *m);
void metrics_done(void *arg, const struct grpc_method *m, enum grpc_via via,
    int code, int64_t us);
void metrics_http(struct metrics *m, const char *method, const char *path,
    int code, int64_t us);
void metrics_created(struct metrics *m, const char *project);
/* The page; done in steps, because the store has numbers too. */
void metrics_page(struct api *api, struct http_call *h);

struct hooks *hooks_new(struct api *api, struct err *e);
void hooks_free(struct hooks *h);
void hooks_call(struct hooks *x, struct http_call *h);
/* A push that another api process was told of. */
void hooks_note(struct hooks *x, const char *note_id);

/* --- handlers: a function per row of methods.def -------------------------- */
#define METHOD(service, name, type, may, kind, fn) handler_fn fn;
#include "methods.def"

#endif
