/*
 * grpc.h - a server and a client of gRPC in one thread, on libloop.
 *
 * The server's port answers gRPC, gRPC-Web (binary), the same methods as JSON
 * over POST, and plain HTTP (pages, server-sent events) over HTTP/1.1 and
 * HTTP/2, with TLS or without.  No other library names nghttp2 or TLS.
 *
 * All of it is asynchronous: nothing here blocks but what says so.
 */
#ifndef PIPECD_GRPC_H
#define PIPECD_GRPC_H

#include <protobuf-c/protobuf-c.h>

#include "loop.h"

/* Status codes, as every gRPC has them. */
enum grpc_code {
	GRPC_OK,
	GRPC_CANCELLED,
	GRPC_UNKNOWN,
	GRPC_INVALID_ARGUMENT,
	GRPC_DEADLINE_EXCEEDED,
	GRPC_NOT_FOUND,
	GRPC_ALREADY_EXISTS,
	GRPC_PERMISSION_DENIED,
	GRPC_RESOURCE_EXHAUSTED,
	GRPC_FAILED_PRECONDITION,
	GRPC_ABORTED,
	GRPC_OUT_OF_RANGE,
	GRPC_UNIMPLEMENTED,
	GRPC_INTERNAL,
	GRPC_UNAVAILABLE,
	GRPC_DATA_LOSS,
	GRPC_UNAUTHENTICATED,
	GRPC__CODES
};
/* "OK", "NOT_FOUND" ...; "UNKNOWN" for what is none. */
const char *grpc_code_name(int code);

/*
 * What a server or client takes at most; a 0 is the default behind it.  What is
 * over a limit is refused with RESOURCE_EXHAUSTED, 413 or 431, or its
 * connection is closed; others are served.
 */
struct grpc_limits {
	size_t message;	      /* a message received, inflated: 4 MiB */
	size_t decoded;	      /* the same as structs in memory: 32 MiB */
	size_t body;	      /* of a plain HTTP request: 1 MiB */
	size_t headers;	      /* all header fields of a request: 16 KiB */
	size_t conn_bytes;    /* buffered for one connection: 16 MiB */
	size_t bytes;	      /* buffered for all of them: 64 MiB */
	unsigned conns;	      /* connections: 8192 */
	unsigned streams;     /* calls at once on a connection: 256 */
	int64_t handshake_ms; /* until TLS and the preface are done: 10 s */
	int64_t request_ms;   /* until a request has arrived whole: 60 s */
	int64_t ping_ms;      /* silence before a connection is pinged: 60 s */
	int64_t pong_ms;      /* and how long its answer may take: 20 s */
	int64_t idle_ms;      /* HTTP/1.1 without a request: 60 s */
	int64_t drain_ms;     /* grpc_server_drain, until what is left is cut:
				 30 s */
};

/*
 * Server.
 */
struct grpc_server;
struct grpc_call;
struct http_call;

/* How a call came. */
enum grpc_via {
	GRPC_VIA_GRPC,
	GRPC_VIA_WEB,
	GRPC_VIA_JSON,
	GRPC__VIAS
};

struct grpc_method {
	const char *service; /* "grpc.service.pipedservice.PipedService" */
	const char *name;    /* "GetDeployment" */
	const ProtobufCMessageDescriptor *req, *res;
	/* Starts the call; answers now or later. */
	void (*call)(void *arg, struct grpc_call *c);
	void *arg;	  /* for `call` */
	const void *user; /* whatever the owner of the table wants to find */
	bool stream;	  /* the answer is any number of messages */
	bool packed; /* `req` of the call is not decoded: bytes are enough */
};

struct grpc_server_opts {
	struct grpc_limits limits;
	/* Requests that are for no method.  NULL: 404. */
	void (*http)(void *arg, struct http_call *c);
	/*
	 * A call has ended: how long it took here and its code (m NULL: of no
	 * known method).  For /metrics; may be NULL.
	 */
	void (*done)(void *arg, const struct grpc_method *m, enum grpc_via via,
	    int code, int64_t us);
	/* The last connection of a draining server has gone; may be NULL. */
	void (*drained)(void *arg);
	void *arg; /* for these three */
};

struct grpc_server *grpc_server_open(
    struct loop *l, const struct grpc_server_opts *o);
/* Cut everything.  Calls in hand get `gone`, and are not to be answered. */
void grpc_server_close(struct grpc_server *s);
/*
 * Add methods; the rows are borrowed.  /pipe.api.service.X/ is answered as
 * /grpc.service.X/ is: PipeCD's older agents say so.
 */
void grpc_server_add(
    struct grpc_server *s, const struct grpc_method *m, size_t n);
/* All methods of a service to one function; which one is in c->method. */
void grpc_server_add_service(struct grpc_server *s,
    const ProtobufCServiceDescriptor *d,
    void (*call)(void *arg, struct grpc_call *c), void *arg);

/*
 * TLS of a server: certificate chain and key as PEM files.  ca_file, if any:
 * who connects must show a certificate of these.  Connections that are there
 * keep what they have; grpc_tls_reload reads the files again, and leaves all
 * as it was when they are not good.
 */
struct grpc_tls;
struct grpc_tls *grpc_tls_open(const char *cert_file, const char *key_file,
    const char *ca_file, struct err *e);
int grpc_tls_reload(struct grpc_tls *t, struct err *e);
void grpc_tls_free(struct grpc_tls *t); /* connections keep it while needed */

/*
 * Accept on a listening socket, which it takes: bound here, or passed in by the
 * supervisor (several servers may accept from one).  tls NULL: plain.
 */
int grpc_server_listen(
    struct grpc_server *s, int fd, struct grpc_tls *tls, struct err *e);
/* As if one had been accepted (tests, socketpair); takes fd. */
int grpc_server_take(
    struct grpc_server *s, int fd, struct grpc_tls *tls, struct err *e);
/*
 * A listening socket, CLOEXEC and not blocking: "host:port", ":port", "[::1]:0"
 * or "unix:/path" (for its user alone; replaced when nobody listens on it).
 * `share`: others may bind the same port, and the kernel deals connections out
 * (SO_REUSEPORT).  Blocks for host names; for addresses it does not.
 */
int grpc_listen(const char *address, bool share, struct err *e);
/* The address a socket is bound to, as "127.0.0.1:4711" or "unix:/path". */
const char *grpc_listen_name(int fd, char dst[128]);

/*
 * Accept no more, tell clients to go elsewhere (GOAWAY), finish what is in
 * hand; after drain_ms cut it.  Then `drained` is called.
 */
void grpc_server_drain(struct grpc_server *s);

struct grpc_server_stat {
	unsigned conns, calls; /* now */
	unsigned long long accepted, refused, bytes_in, bytes_out;
	size_t buffered; /* bytes, as counted for limits.bytes */
};
void grpc_server_stat(const struct grpc_server *s, struct grpc_server_stat *st);

/*
 * A call, as its handler sees it.  It stays valid until the handler has
 * answered, which it does exactly once, also when the caller has gone in the
 * meantime: the answer then goes nowhere.
 */
struct grpc_call {
	const struct grpc_method *method;
	struct arena *a;       /* lives as long as the call */
	ProtobufCMessage *req; /* decoded into `a`; NULL: method->packed */
	const void *bytes;     /* the same, packed */
	size_t len;
	const char *authorization; /* as it was sent, NULL: none */
	const char *peer;	   /* "127.0.0.1:4711", "unix" */
	int64_t deadline_ms;	   /* of now_ms; INT64_MAX: none */
	enum grpc_via via;
	bool tls;
	bool gone; /* nobody waits any more: cancelled, deadline, closed */
	/*
	 * For the handler: its own, what to call when `gone` becomes true
	 * before it has answered (it then answers, or stops what it waits for
	 * and answers), and when a slow reader has taken what was sent.
	 */
	void *user;
	void (*on_gone)(struct grpc_call *c);
	void (*on_drain)(struct grpc_call *c);
};
/* A request header, by its lower-case name; NULL: none.  A -bin one is still in base64. */
const char *grpc_call_header(const struct grpc_call *c, const char *name);
/* A field of the answer's trailers (JSON: of its headers), before answering. */
void grpc_call_set(struct grpc_call *c, const char *name, const char *value);

/* Answer, once.  What is passed is copied or sent by the time it returns. */
void grpc_reply(struct grpc_call *c, const ProtobufCMessage *m);
/* The same with a message already packed: from disk to the wire as it is. */
void grpc_reply_bytes(struct grpc_call *c, const void *p, size_t n);
/* Any status but OK; `text` may be UTF-8 and is for people. */
void grpc_reply_status(struct grpc_call *c, int code, const char *fmt, ...)
    PRINTF(3, 4);

/*
 * A streaming method sends any number of messages and then answers with
 * grpc_reply_status, where GRPC_OK is allowed too.  Returns the bytes that wait
 * for the caller to read; when that is too many (any number above 32 KiB), stop
 * until on_drain, which comes when there are fewer than that.
 */
size_t grpc_send(struct grpc_call *c, const ProtobufCMessage *m);
size_t grpc_send_bytes(struct grpc_call *c, const void *p, size_t n);

/*
 * A plain HTTP request, whole.  The same rule: answered exactly once.
 */
struct http_call {
	struct arena *a;
	const char *method; /* "GET" */
	const char *path;   /* as it was sent, without the query */
	const char *query;  /* behind the "?", "" for none */
	const char *host;   /* "" when there is none */
	const void *body;
	size_t len;
	const char *peer;
	bool tls;
	bool gone;
	void *user;
	void (*on_gone)(struct http_call *c);
	void (*on_drain)(struct http_call *c);
};
const char *http_call_header(const struct http_call *c, const char *name);
/* A header of the answer, before answering; name in lower case. */
void http_set(struct http_call *c, const char *name, const char *value);
/* HEAD gets the length and no body. */
void http_reply(struct http_call *c, int status, const char *content_type,
    const void *p, size_t n);
void http_reply_text(struct http_call *c, int status, const char *fmt, ...)
    PRINTF(3, 4);
/*
 * Server-sent events: http_events once, then http_event any number of times
 * (event and id may be NULL; data is split at its line ends), then http_end.
 * Also returned: bytes that wait to be read.
 */
void http_events(struct http_call *c);
size_t http_event(struct http_call *c, const char *event, const char *id,
    const char *data, size_t n);
void http_end(struct http_call *c);

/*
 * Client: one address, one connection at a time, made when it is needed and
 * made again (with backoff and jitter) while calls wait for it.
 */
struct grpc_client;
struct grpc_client_opts {
	const char *address; /* "host:port", "unix:/path" */
	bool tls;
	const char *ca_file;   /* whom to believe; NULL: the system's */
	const char *cert_file; /* our own, NULL: none */
	const char *key_file;
	const char *server_name;   /* in the certificate; NULL: the host */
	const char *authorization; /* "Bearer ..." with every call, or NULL */
	const char *user_agent;	   /* NULL: "pipecd" */
	int64_t connect_ms;	   /* for one attempt: 20 s */
	int64_t backoff_ms;	   /* before the second one: 200 ms */
	int64_t backoff_max_ms;	   /* and at most: 30 s */
	bool keep;		   /* connected also while there is no call */
	/* message, headers, ping_ms (while a call is open), pong_ms count. */
	struct grpc_limits limits;
	/* The connection came up, or went (with why); may be NULL. */
	void (*state)(void *arg, bool up, const char *why);
	void *arg;
};
struct grpc_client *grpc_client_open(
    struct loop *l, const struct grpc_client_opts *o, struct err *e);
/* Ends; calls in hand are forgotten, and not called back. */
void grpc_client_close(struct grpc_client *c);
/* A new key, from the next call on. */
void grpc_client_authorization(struct grpc_client *c, const char *s);

struct grpc_pair {
	const char *name, *value; /* "-bin" values are encoded */
};

/* How a call went; what it points to is valid during the call-back. */
struct grpc_answer {
	int code;
	const char *message; /* "" for OK; else for people */
	const void *bytes;   /* the packed answer, unary and OK only */
	size_t len;
	bool unsent; /* the server has not seen it: safe to repeat */
	/* Trailers and headers of the answer. */
	const struct grpc_pair *pairs;
	size_t n_pairs;
};
/* A header or trailer of the answer; NULL: none. */
const char *grpc_answer_get(const struct grpc_answer *r, const char *name);

struct grpc_request; /* valid until `done` is called, or it is cancelled */
struct grpc_ask {
	const char *path;  /* "/grpc.service.apiservice.APIService/GetPiped" */
	const void *bytes; /* the packed request; copied */
	size_t len;
	int64_t timeout_ms; /* 0: none; sent as grpc-timeout */
	/*
	 * Wait for a connection until the deadline.  Otherwise a call that
	 * cannot be sent fails with UNAVAILABLE when the attempt to connect in
	 * hand has failed, or at once in the pause between two.
	 */
	bool wait;
	const struct grpc_pair *pairs; /* metadata */
	size_t n_pairs;
	/* A streaming answer: each message.  NULL: unary. */
	void (*message)(void *arg, const void *bytes, size_t len);
	/* The end: called once, never from inside grpc_client_call. */
	void (*done)(void *arg, const struct grpc_answer *r);
	void *arg;
};
struct grpc_request *grpc_client_call(
    struct grpc_client *c, const struct grpc_ask *ask);
/* Not called back any more; the server is told. */
void grpc_cancel(struct grpc_request *r);

#endif
