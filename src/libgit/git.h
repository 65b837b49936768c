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

/* What is at a path. */
enum git_what {
	GIT_FILE,
	GIT_EXEC, /* a file that may be run */
	GIT_LINK, /* symbolic; its target is its content */
	GIT_DIR,
	GIT_SUBMODULE
};
/* 1; 0 when there is nothing; "." is GIT_DIR. */
int git_entry(struct git *g, const char *commit, const char *path,
    enum git_what *what, char id[GIT_ID], struct err *e);
/*
 * All that is below a directory, and the directories before what is in them.
 * Names come as they are in the object database, which may be ".." or ".git":
 * who writes files must look.  1, 0 when there is no such directory, -1.
 */
int git_list(struct git *g, const char *commit, const char *path,
    int (*found)(void *arg, const char *path, enum git_what what,
	const char *id, struct err *e),
    void *arg, struct err *e);

/* git_match is in match.h, for programs that must not link libgit2. */

/* --- mirrors: gitwatch alone writes them -----------------------------------
 */

/*
 * Open a mirror to write, and make it when there is none: it appears whole.
 * Holds a lock beside it until git_repo_free; `wait` false gives up with
 * RC_TEMP when another process has it.  What a killed writer left behind
 * (lock files, half packs) is removed.
 */
int git_mirror_open(struct git **g, const char *path, bool wait, struct err *e);

/*
 * Once after each start of the machine: remove a mirror of which a power cut
 * left parts.  `boot` names this start.  1: it is gone, 0: it is well, or is not
 * there, -1.
 */
int git_mirror_recover(const char *path, const char *boot, struct err *e);

struct git_fetch {
	const char *url;    /* https, http, ssh, git, scp-like, file, a path */
	const char *branch; /* NULL: the remote's HEAD */
	/* HTTP basic, when the server asks; never for another host. */
	const char *user, *password;
	/* ssh(1): NULL is its own default. */
	const char *ssh_key_file, *known_hosts_file, *ssh_config_file;
	const char *ca_file; /* in place of the system's */
	const char *ssh_key; /* the key itself, in memory */
	/* Called as data comes; the fetch may take as long as it is. */
	void (*progress)(void *arg, uint64_t bytes, uint64_t objects);
	void *arg;
};
/*
 * Bring the branch into the mirror and point refs/heads/<branch> at it, in
 * that order.  `branch` gets the name (of 256 bytes).  1; 0 when the remote
 * has no such branch (the mirror keeps its own).  Blocks as long as the server
 * does: call it in a process of its own.
 */
int git_mirror_fetch(struct git *g, const struct git_fetch *f, char branch[256],
    char commit[GIT_ID], struct err *e);

/*
 * The head of a branch (NULL: HEAD's) of a repository on this machine: 1; 0
 * when it has none.
 */
int git_local_head(const char *path, const char *branch_or_null,
    char branch[256], char commit[GIT_ID], struct err *e);
/* The directory with its refs (DIR/.git, DIR ...), or NULL with *e. */
const char *git_local_dir(const char *path, struct arena *a, struct err *e);
/*
 * Copy a commit with all it needs from there and point the branch at it; files
 * before trees before commits, so that a kill leaves no gap.  1; 0 when that
 * would be more than max_objects or max_bytes: use git_mirror_fetch.
 */
int git_mirror_copy(struct git *g, const char *path, const char *branch,
    const char *commit, size_t max_objects, size_t max_bytes, struct err *e);

/*
 * Put small packs and loose objects together when there are more than these.
 * Nothing is dropped: an old commit may still run somewhere.  1: did so.
 */
int git_mirror_tidy(
    struct git *g, size_t max_packs, size_t max_loose, struct err *e);
/* Whether a head's commit and all its trees are there: 1, 0, -1. */
int git_mirror_check(struct git *g, const char *commit, struct err *e);

/*
 * What a remote is.  Its path when it is on this machine, else NULL; and the
 * URL as it may be shown, without userinfo.
 */
const char *git_url_path(const char *url, struct arena *a);
const char *git_url_shown(const char *url, struct arena *a);

#endif
