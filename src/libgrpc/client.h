/*
 * client.h - a client's inside: requests wait in it, go over a link, and are
 * called back from the end of a turn.
 */
#ifndef PIPECD_GRPC_CLIENT_H
#define PIPECD_GRPC_CLIENT_H

#include "internal.h"

enum link_state {
	LINK_RESOLVE,
	LINK_CONNECT, /* TCP */
	LINK_SHAKE,   /* TLS */
	LINK_GREET,   /* until the server's settings are there */
	LINK_UP,
	LINK_DEAD
};

struct link {
	struct link *next; /* of those that are going */
	struct grpc_client *client;
	enum link_state state;
	struct resolve *resolve;
	struct addresses to;
	size_t n_tried;
	struct wire wire;
	nghttp2_session *h2;
	struct grpc_request *requests;
	bool going; /* the server wants no more over it */
	bool pinged, closing;
	int64_t heard_ms, pinged_ms;
	struct loop_timer timer; /* connecting; then pings */
	struct loop_task flush, more;
	char why[256];
};

struct grpc_request {
	struct grpc_request *next, *prev; /* waiting, or of a link */
	struct grpc_client *client;
	struct link *link; /* NULL: it waits */
	struct arena *a;
	const char *path;
	struct grpc_pair *pairs;
	size_t n_pairs;
	struct buf out; /* the message with its head */
	size_t off;
	int32_t id;
	bool wait, stream, sent, again, over;
	bool cancelled; /* nobody is to be called back */
	bool finished;
	int64_t deadline_ms;
	/* The answer. */
	struct frame_in in;
	int http;
	bool grpc, one, gzip;
	struct grpc_pair *got;
	size_t n_got, cap_got, got_bytes;
	int code; /* -1: not known */
	const char *message;
	struct loop_timer timer;
	void (*on_message)(void *arg, const void *bytes, size_t len);
	void (*done)(void *arg, const struct grpc_answer *r);
	void *arg;
};

struct grpc_client {
	struct loop *loop;
	struct grpc_client_opts o; /* strings owned */
	SSL_CTX *tls;
	SSL_SESSION *session; /* to take up again */
	char host[256], authority[272];
	uint16_t port;
	char *authorization;
	struct link *link, *going;
	struct grpc_request *first, *last; /* waiting */
	unsigned fails;
	bool paused; /* between two attempts */
	bool closed;
	bool up;
	struct loop_timer again;
	struct loop_task kick;
	char why[256];
};

/* client.c */
void client_kick(struct grpc_client *c);
/* The link is there; or has gone, and why. */
void client_up(struct grpc_client *c);
void client_down(struct link *k, const char *why);
/* The link takes no more requests, those on it go on. */
void client_going(struct link *k);

/* request.c */
struct grpc_request *request_new(
    struct grpc_client *c, const struct grpc_ask *ask);
void request_free(void *r);
/* Its end: told once, and forgotten. */
void request_finish(
    struct grpc_request *r, int code, const char *message, bool unsent);
void request_header(struct grpc_request *r, const char *name, size_t n_name,
    const char *value, size_t n_value);
void request_data(struct grpc_request *r, const uint8_t *p, size_t n);
/* Its stream is closed: what the answer was, or what the error means. */
void request_closed(struct grpc_request *r, uint32_t error);
void request_link(struct grpc_request **head, struct grpc_request *r);
void request_unlink(struct grpc_request *r);
void client_enqueue(struct grpc_client *c, struct grpc_request *r, bool front);

/* link.c */
struct link *link_new(struct grpc_client *c);
void link_kill(struct link *k, const char *why);
int link_submit(struct link *k, struct grpc_request *r);
void link_cancel(struct link *k, struct grpc_request *r);
void link_flush(struct link *k);
void link_doubt(struct link *k); /* is it still there? */

#endif
