/*
 * internal.h - the inside of libgrpc.
 *
 *	wire	bytes over a socket, with TLS or without
 *	conn	a server's connection: finds out what is spoken, and has it
 *		spoken by h1 or h2
 *	xchg	one request and its answer, whoever speaks
 *	route	what a request is: gRPC, gRPC-Web, JSON, a page; then
 *	call, json, page	each of them on an xchg
 *	client, link	calls of ours, and the connection they go over
 */
#ifndef PIPECD_GRPC_INTERNAL_H
#define PIPECD_GRPC_INTERNAL_H

#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include "grpc.h"

#define HOLDER(type, member, p) \
	((type *)(void *)((char *)(p)-offsetof(type, member)))

enum {
	FRAME_HEAD = 5,	     /* flag and length before each message */
	SCRATCH = 65536,     /* what is read or written at once */
	HIGH_WATER = 262144, /* unsent bytes above which nothing is made */
	LOW_WATER = 32768,   /* below which a handler is asked for more */
	WINDOW_STREAM = 262144,
	WINDOW_CONN = 1048576
};

/* Limits with the defaults filled in. */
void limits_fill(struct grpc_limits *l);

/* tls.c */
struct grpc_tls {
	SSL_CTX *ctx;
	char *cert_file, *key_file, *ca_file;
	int refs;
};
SSL_CTX *tls_client_new(const struct grpc_client_opts *o, struct err *e);
/* The oldest error of the library in words; empties its queue. */
const char *tls_error(char dst[160]);

/* wire.c */
struct wire {
	struct loop *loop;
	int fd;
	SSL *ssl; /* NULL: plain */
	struct loop_watch watch;
	struct buf out; /* what the socket did not take yet */
	size_t off;
	bool shaken;	 /* TLS is up */
	bool want_write; /* TLS wants to write before it goes on */
	bool broken;	 /* nothing can be sent any more */
	uint64_t in_total, out_total;
	char why[160];
};
enum {
	WIRE_EOF = 0,
	WIRE_ERROR = -1,
	WIRE_AGAIN = -2
};
int wire_open(struct wire *w, struct loop *l, int fd, SSL *ssl,
    void (*fn)(void *, uint32_t), void *arg, struct err *e);
void wire_close(struct wire *w);
/* 1 done, 0 not yet, -1 failed (w->why). */
int wire_shake(struct wire *w);
ssize_t wire_read(struct wire *w, void *p, size_t n);
/* Whether bytes wait that epoll does not know of. */
bool wire_pending(const struct wire *w);
int wire_send(struct wire *w, const void *p, size_t n);
int wire_flush(struct wire *w);
size_t wire_unsent(const struct wire *w);
/* What to wait for: reading if `read`, and writing where that is needed. */
void wire_wait(struct wire *w, bool read);

/* h2.c: what both sides do */
nghttp2_option *h2_options(void);
int h2_settings(nghttp2_session *s, const struct grpc_limits *l, bool server);
/* Let the session make frames and send them; -1: the connection is lost. */
int h2_flush(nghttp2_session *s, struct wire *w);
nghttp2_nv h2_nv(const char *name, const char *value);
/* A budget of frames that cost us and nobody needs, refilled slowly. */
struct h2_patience {
	int left;
	int64_t at_ms;
};
bool h2_patience(struct h2_patience *p, int64_t now, int cost);

/* pool.c: memory of a server's sessions */
enum {
	POOL_SLOT = 20480
};
struct h2_pool {
	nghttp2_mem mem;
	char *base; /* NULL: there is only malloc */
	size_t slots, used;
	uint32_t *free; /* a stack of slots */
	size_t n_free;
};
void h2_pool_open(struct h2_pool *p, unsigned slots);
void h2_pool_close(struct h2_pool *p);

/* frame.c: messages in frames of five bytes and the message */
struct frame_in {
	uint8_t head[FRAME_HEAD];
	unsigned n_head;
	size_t want; /* of the message in hand */
	struct buf body;
};
enum {
	FRAME_MORE,
	FRAME_WHOLE,
	FRAME_REFUSED
};
/*
 * Take bytes up to the end of one message: FRAME_WHOLE then, with *p and *n
 * moved behind it.  REFUSED with *code and e->text.
 */
int frame_take(struct frame_in *f, const uint8_t **p, size_t *n, size_t max,
    int *code, struct err *e);
bool frame_partial(const struct frame_in *f);
void frame_again(struct frame_in *f);
void frame_head(uint8_t dst[FRAME_HEAD], uint8_t flag, size_t n);
/* Inflate gzip into b: at most `max` bytes, -1 with *code otherwise. */
int gzip_inflate(struct buf *b, const void *p, size_t n, size_t max, int *code,
    struct err *e);

/* status.c */
int status_http(int code);	   /* of a JSON answer, as Connect maps it */
const char *status_json(int code); /* "not_found" */
int status_of_http(int status);	   /* what a client makes of a proxy's answer */
int status_of_h2(uint32_t error);  /* of a RST_STREAM */
void percent_encode(struct buf *b, const char *s);
char *percent_decode(struct arena *a, const char *s);
/* grpc-timeout: milliseconds, or -1 for what is none. */
int64_t timeout_parse(const char *s);
void timeout_print(char dst[16], int64_t ms);

/* A request and its answer. */
enum xchg_kind {
	X_NONE, /* not known yet, or refused */
	X_GRPC,
	X_WEB,
	X_JSON,
	X_PAGE
};

struct conn;

struct xchg {
	struct xchg *next, *prev; /* of its connection */
	struct conn *conn;	  /* NULL: it has gone */
	struct grpc_server *server;
	int32_t id; /* of the HTTP/2 stream */
	enum xchg_kind kind;
	/* What came; all in the arena. */
	struct arena *a;
	const char *method, *path, *host, *type, *encoding, *timeout;
	struct grpc_pair *h;
	size_t n_h, cap_h, head_bytes;
	bool over;	/* more header than there may be */
	int64_t length; /* content-length, -1: not said */
	int64_t started_us;
	int64_t due_ms; /* until when it has to have arrived whole */
	struct frame_in in;
	size_t charged; /* counted against the limits */
	size_t skipped; /* bytes of a request that was answered before */
	bool in_done;	/* it has arrived whole */
	bool one;	/* its one message was there */
	/* What goes out. */
	struct grpc_pair *set; /* the handler's own */
	size_t n_set, cap_set;
	struct grpc_pair *trail;
	size_t n_trail;
	struct buf out;
	size_t off;
	int64_t moved_ms; /* when bytes of it were taken last */
	bool head_sent, out_done;
	bool chunked, empty; /* HTTP/1.1: chunks; no body (HEAD) */
	bool deferred;	     /* HTTP/2 asks for no bytes until it is told */
	bool full;	     /* the handler was told to wait */
	bool answered;	     /* by its handler, or none was asked */
	bool asked;	     /* the handler has it */
	bool closed;	     /* the connection is done with it */
	bool events;	     /* a page that became a stream of events */
	int code;	     /* how it ended */
	struct loop_timer deadline;
	struct loop_task drain;
	struct grpc_call call;
	struct http_call page;
};

/* A server's connection. */
enum conn_state {
	CONN_SHAKE, /* TLS */
	CONN_SNIFF, /* which HTTP is it? */
	CONN_H2,
	CONN_H1,
	CONN_LINGER, /* all is said; what still comes is not read */
	CONN_DEAD
};
struct h1;

struct conn {
	struct conn *next, *prev; /* of the server */
	struct grpc_server *server;
	struct wire wire;
	enum conn_state state;
	uint8_t sniff[24];
	unsigned n_sniff;
	nghttp2_session *h2;
	struct h1 *h1;
	struct xchg *xchgs;
	unsigned n_xchgs; /* also those whose caller has gone */
	size_t buffered;
	int64_t opened_ms, heard_ms, pinged_ms, moved_ms;
	uint64_t moved_bytes;
	struct h2_patience patience;
	bool pinged, going, going_sent;
	bool closing; /* when all is sent */
	bool half;    /* the peer sends no more */
	struct loop_timer timer;
	struct loop_task flush, more;
	struct grpc_tls *tls;
	char peer[64];
};

struct listener {
	struct listener *next;
	struct grpc_server *server;
	struct grpc_tls *tls;
	struct loop_watch watch;
	struct loop_timer retry;
	int fd;
};

enum {
	POOL = 32
};
struct grpc_server {
	struct loop *loop;
	struct grpc_server_opts o;
	struct map *methods;	    /* by path */
	struct grpc_method **owned; /* of grpc_server_add_service */
	size_t n_owned;
	struct listener *listeners;
	struct conn *conns;
	struct xchg *pool[POOL], *orphans;
	size_t n_pool;
	struct grpc_server_stat stat;
	struct h2_pool sessions;
	bool draining, drained;
	struct loop_timer drain;
	int64_t drain_end_ms;
	int64_t told_ms; /* of a flood, and how many since */
	unsigned untold;
	uint8_t scratch[SCRATCH];
};

/* conn.c */
void conn_new(
    struct grpc_server *s, int fd, const char *peer, struct grpc_tls *tls);
void conn_kill(struct conn *c, const char *why);
/* Send what has been made, at the end of this turn. */
void conn_flush(struct conn *c);
void conn_drain(struct conn *c);

/* xchg.c */
struct xchg *xchg_new(struct conn *c);
/* A request header; false: the peer is beyond all measure. */
bool xchg_header(struct xchg *x, const char *name, size_t n_name,
    const char *value, size_t n_value);
const char *xchg_find(const struct xchg *x, const char *name);
/* The connection is done with it, well or not. */
void xchg_closed(struct xchg *x);
/* Its connection goes, its handler is still at it. */
void xchg_orphan(struct xchg *x);
/* Count bytes held for it; false: there are too many. */
bool xchg_charge(struct xchg *x, size_t bytes);
void xchg_uncharge(struct xchg *x, size_t bytes);
void xchg_free(void *x);
/* The handler's, or nobody's, part is over. */
void xchg_answered(struct xchg *x, int code);
/*
 * Answer: a head (length -1: not known; `end`: nothing follows), bytes, and
 * the end with the trailers of x->trail.
 */
void xchg_head(
    struct xchg *x, int status, const char *type, int64_t length, bool end);
void xchg_body(struct xchg *x, const void *p, size_t n);
void xchg_end(struct xchg *x);
void xchg_set(struct xchg *x, const char *name, const char *value);
size_t xchg_unsent(const struct xchg *x);
/* Bytes of it were taken: forget them, wake its handler. */
void xchg_sent(struct xchg *x, size_t n);
/* Cut what cannot be answered any more. */
void xchg_cut(struct xchg *x, uint32_t error);

/* route.c: what comes in, from h1 and h2 */
void route_begin(struct xchg *x); /* the head is there */
void route_data(struct xchg *x, const uint8_t *p, size_t n);
void route_end(struct xchg *x);
void route_gone(struct xchg *x); /* tell the handler */
const struct grpc_method *route_find(
    const struct grpc_server *s, const char *path);

/* call.c */
void call_begin(struct xchg *x, const struct grpc_method *m);
void call_data(struct xchg *x, const uint8_t *p, size_t n);
void call_end(struct xchg *x);
void call_start(struct xchg *x);
void call_finish(struct xchg *x, int code, const char *text);
void call_late(void *x); /* its deadline */

/* json.c */
void json_call_end(struct xchg *x);
void json_call_reply(
    struct xchg *x, const void *p, size_t n, const ProtobufCMessage *m);
void json_call_send(
    struct xchg *x, const void *p, size_t n, const ProtobufCMessage *m);
void json_call_finish(struct xchg *x, int code, const char *text);

/* page.c */
void page_begin(struct xchg *x);
void page_data(struct xchg *x, const uint8_t *p, size_t n);
void page_end(struct xchg *x);
void page_error(struct xchg *x, int status, const char *text);

/* h2s.c */
int h2s_open(struct conn *c);
int h2s_read(struct conn *c, const uint8_t *p, size_t n);
void h2s_head(
    struct xchg *x, int status, const char *type, int64_t length, bool end);
void h2s_wake(struct xchg *x);
void h2s_cut(struct xchg *x, uint32_t error);
int h2s_make(struct conn *c);
/* The second half of draining: no stream above those that are known. */
void h2s_last(struct conn *c);

/* h1.c */
int h1_open(struct conn *c);
void h1_free(struct h1 *h);
int h1_read(struct conn *c, const uint8_t *p, size_t n);
void h1_head(
    struct xchg *x, int status, const char *type, int64_t length, bool end);
int h1_make(struct conn *c);
/* Whether more may be read: one request at a time. */
bool h1_reads(const struct conn *c);

/* resolve.c */
struct resolve;
struct addresses {
	struct sockaddr_storage at[16];
	socklen_t len[16];
	size_t n;
};
struct resolve *resolve_new(struct loop *l);
/* `done` with what there is, or with n == 0 and why; never at once. */
void resolve_start(struct resolve *r, const char *host, uint16_t port,
    void (*done)(void *arg, const struct addresses *a, const char *why),
    void *arg);
void resolve_stop(struct resolve *r);
void resolve_free(struct resolve *r);
/* Split "host:port" or "[::1]:port": host into dst. */
int address_split(
    const char *address, char *host, size_t n, uint16_t *port, struct err *e);
int address_unix(const char *address, struct sockaddr_storage *ss,
    socklen_t *len, struct err *e);

#endif
