/*
 * git.h - libgit2, wrapped: bare mirrors read by many, written by gitwatch.
 * No libgit2 type leaves this library.  Object ids are 40 hex digits.
 */
#ifndef PIPECD_GIT_H
#define PIPECD_GIT_H

#include "base.h"
#include "match.h"

enum {
	GIT_ID = 41
}; /* hex digits and NUL */

/*
 * Call once.  `network` false (plan, checkout) leaves out what libgit2 loads
 * for TLS: it is most of its memory and of its start.
 */
int git_open(bool network, struct err *e);
void git_close(void);

struct git; /* one bare repository */

/* Open a mirror to read; 0 with *g NULL when it is not there yet. */
int git_repo_open(struct git **g, const char *path, struct err *e);
void git_repo_free(struct git *g);
/* Forget cached packs, so that what gitwatch fetched since is seen. */
void git_repo_refresh(struct git *g);

/* A branch's head as the mirror has it: 1, or 0 when there is none. */
int git_head(
    struct git *g, const char *branch, char commit[GIT_ID], struct err *e);

struct git_commit_info {
	char hash[GIT_ID];
	const char *message, *author; /* in the arena */
	int64_t created_at;	      /* committer time, Unix seconds */
};
/* 1; 0 when that commit is not in the mirror (history rewritten). */
int git_commit_read(struct git *g, const char *hash, struct git_commit_info *c,
    struct arena *a, struct err *e);
/* Whether `old` is an ancestor of (or is) `new`: 1, 0, -1. */
int git_is_ancestor(
    struct git *g, const char *old, const char *newer, struct err *e);

/*
 * The object id of `path` in a commit's tree ("." is the root): 1, or 0 when
 * there is nothing.  Half a microsecond when the trees are cached.
 */
int git_path_id(struct git *g, const char *commit, const char *path,
    char id[GIT_ID], struct err *e);
/* The bytes of a file at a commit; links are not followed: 1, 0, -1. */
int git_file_read(struct git *g, const char *commit, const char *path,
    size_t max, struct buf *b, struct err *e);

/* The bytes of a blob, as git_walk names it: 0, -1. */
int git_blob_read(struct git *g, const char *blob_id, size_t max, struct buf *b,
    struct err *e);

/* Every path of the diff between two commits, old and new names. */
int git_changed(struct git *g, const char *from, const char *to,
    const char ***paths, size_t *n, struct arena *a, struct err *e);

/*
 * Walk the files below `path` ("." is the root) of a commit whose base name
 * `want` accepts (NULL: all of them); links and submodules are no files.  The
 * path told is from the root.  Nothing there: 0 and no call.  Return -1 from
 * found to stop with its *e.
 */
int git_walk(struct git *g, const char *commit, const char *path,
    bool (*want)(const char *base),
    int (*found)(
	void *arg, const char *path, const char *blob_id, struct err *e),
    void *arg, struct err *e);

/* git_match is in match.h, for programs that must not link libgit2. */

#endif
