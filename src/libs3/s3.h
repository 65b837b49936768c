/*
 * s3.h - objects in S3, or in a server that speaks it, signed by Signature
 * Version 4.  It alone knows curl's traps here: its own SigV4 does not sort
 * queries and leaves out the hash of the body, so the signature is ours.
 *
 * Calls block, up to half a minute: use it from a process of its own.
 */
#ifndef PIPECD_S3_H
#define PIPECD_S3_H

#include "base.h"

struct s3_conf {
	const char *endpoint; /* http://host:9000; NULL: Amazon's */
	const char *region, *bucket;
	const char *access, *secret, *token; /* token may be NULL */
};

struct s3;
struct s3 *s3_open(const struct s3_conf *c, struct err *e);
void s3_close(struct s3 *s);

int s3_put(
    struct s3 *s, const char *key, const void *p, size_t n, struct err *e);
/* 1; 0: there is none; -1. */
int s3_get(
    struct s3 *s, const char *key, size_t max, struct buf *out, struct err *e);
int s3_delete(struct s3 *s, const char *key, struct err *e);
/* One that is there already, and ours, is fine. */
int s3_bucket_make(struct s3 *s, struct err *e);

struct s3_object {
	const char *key;
	uint64_t size;
	int64_t updated_at;
};
/* Those of a prefix after a key (NULL: from the first), in order. */
int s3_list(struct s3 *s, const char *prefix, const char *after, size_t limit,
    struct s3_object *v, size_t *n, bool *more, struct arena *a, struct err *e);

/*
 * The signature, of decoded values: nothing is encoded yet.  Path parts are
 * joined by '/', which is kept; parameters may be in any order.
 */
struct s3_pair {
	const char *name, *value;
};
struct s3_request {
	const char *method, *host;
	const char *path; /* "/bucket/a key" */
	const struct s3_pair *query;
	size_t n_query;
	const struct s3_pair *headers; /* more x-amz-..., names in lower case */
	size_t n_headers;
	const void *body;
	size_t n_body;
	int64_t now; /* Unix seconds */
};
/* The canonical request, the path and query as they go to the server. */
void s3_canonical(struct buf *out, const struct s3_request *q);
void s3_target(struct buf *out, const struct s3_request *q);
/* The value of the header Authorization. */
void s3_authorization(
    struct buf *out, const struct s3_request *q, const struct s3_conf *c);
void s3_date(char dst[17], int64_t now); /* 20261121T090500Z */

#endif
