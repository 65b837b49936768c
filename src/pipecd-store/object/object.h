/* object.h - what can be done with objects, in a directory or in S3. */
#ifndef PIPECD_STORE_OBJECT_H
#define PIPECD_STORE_OBJECT_H

#include "conf.h"
#include "store.h"

enum {
	OBJECT_KEY_MAX = 512,
	OBJECT_MAX = 8 * 1024 * 1024
};

struct s3;

struct object {
	const char *key;
	uint64_t size;
	int64_t updated_at;
};

struct objects {
	const struct objects_ops *ops;
	const struct conf_control *conf;
	const char *dir; /* DIR */
	struct s3 *s3;	 /* S3, MINIO */
};

/*
 * All return 0 or -1 with *e: RC_PERM will fail again, RC_TEMP may work later.
 * get: 1, or 0 when there is none; the data goes to *out.
 * list: the objects of this prefix after `after` (NULL: from the first) in the
 * order of their keys, at most limit; *more when there are others.
 */
struct objects_ops {
	int (*put)(struct objects *o, const char *key, const void *p, size_t n,
	    struct err *e);
	int (*get)(
	    struct objects *o, const char *key, struct buf *out, struct err *e);
	int (*drop)(struct objects *o, const char *key, struct err *e);
	int (*list)(struct objects *o, const char *prefix, const char *after,
	    size_t limit, struct object *v, size_t *n, bool *more,
	    struct arena *a, struct err *e);
};
extern const struct objects_ops objects_dir, objects_s3;
int objects_s3_open(struct objects *o, struct arena *a, struct err *e);
int object_key_check(const char *key, struct err *e);

#endif
