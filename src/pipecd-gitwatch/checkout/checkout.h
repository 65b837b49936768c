/* checkout.h - all structs of pipecd-gitwatch-checkout. */
#ifndef PIPECD_CHECKOUT_H
#define PIPECD_CHECKOUT_H

#include "conf.h"
#include "frame.h"
#include "git.h"

enum {
	FILES_MAX = 20000,	 /* of one application */
	TREE_FILES_MAX = 200000, /* of a whole repository */
	FILE_MAX = 256 << 20,	 /* bytes of one file */
	SCAN_MAX = 1 << 20,	 /* larger files mention no paths */
	TARGET_MAX = 4 << 20,	 /* of a file with opened values */
	TREES_IDLE = 2,		 /* whole trees kept while unused */
};
#define BYTES_MAX      ((uint64_t)512 << 20) /* of one application */
#define TREE_BYTES_MAX ((uint64_t)4 << 30)   /* of a whole repository */

/* Where directories are made: one of ours, gone when we are. */
struct place {
	char *dir; /* owned; NULL: not made yet */
	int lock;  /* held as long as we live; a dead one's is free */
};

/* The whole of a repository at one commit, for who looks out of its own. */
struct tree {
	char *key, *root; /* owned */
	char **readers;	  /* owned: of all who asked for it */
	size_t n_readers;
	int refs;
	int64_t used_ms;
};

/* What an ask got, by the directory that was answered. */
struct given {
	char *root;	   /* owned: to be removed; NULL: it is of a tree */
	struct tree *tree; /* one reference */
	int refs;
};

struct checkout {
	struct conf_piped conf;
	struct arena *a; /* as long as we live */
	struct map *repos, *trees, *given;
	struct place fast, disk; /* tmpfs where there is one; stateDir/work */
	struct seal_key *key;
	unsigned int next;
};

/* One ask, cleaned. */
struct ask {
	const char *repo, *commit, *path, *config_filename;
	bool secrets;
	char *const *readers; /* who works there, besides us */
	size_t n_readers;
	const char *into; /* one shot: here, and for good; NULL */
};

/* Make it if it is not; what dead ones left behind is removed. */
const char *place_dir(
    struct checkout *c, struct place *p, bool fast, struct err *e);
void place_close(struct place *p);

/*
 * Write a directory of a commit below `root` (made here), at its own path.
 * `outside` is set when something in it mentions a path beyond `only`.
 */
struct layout {
	struct git *g;
	const char *commit;
	const char *only; /* the application's directory */
	bool whole;	  /* the whole repository, leniently outside `only` */
	bool outside;
	/* Inside. */
	struct arena *a;
	int rootfd;
	size_t files;
	uint64_t bytes;
	struct buf blob;
	struct link {
		const char *path, *target;
		struct link *next;
	} * links;
};
int layout(struct layout *l, const char *root, struct err *e);

/*
 * Where a link leads, by the commit's own objects: it must stay in the
 * repository and arrive at something.
 */
int link_check(struct layout *l, const char *path, const char *target,
    bool *outside, struct err *e);
/* Whether a path is the directory or below it. */
bool within(const char *dir, const char *path);
/* A name that git itself would not check out. */
bool name_bad(const char *name, size_t n);

/*
 * Open the sealed values of an application and place its attachments, in the
 * files that its config names.  `root` is the checkout.
 */
int secrets_apply(struct checkout *c, const char *root, const struct ask *q,
    const struct conf_app *app, struct arena *a, struct err *e);

/* `alone`: the application's directory is all that is there. */
int checkout_do(struct checkout *c, const struct ask *q, const char **root,
    const char **dir, bool *alone, struct arena *a, struct err *e);
void checkout_done(struct checkout *c, const char *dir);
void checkout_close(struct checkout *c);

#endif
