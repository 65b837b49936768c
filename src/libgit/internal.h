/*
 * internal.h - what the files of libgit share: the only place, with the .c
 * files beside it, that knows libgit2.
 */
#ifndef PIPECD_GIT_INTERNAL_H
#define PIPECD_GIT_INTERNAL_H

#include <git2.h>

#include "git.h"

struct git {
	git_repository *repo; /* owned */
	git_odb *odb;	      /* owned */
	char *path;	      /* owned */
	int lock;	      /* a writer's, -1: a reader */
	dev_t dev;	      /* what path was when it was opened */
	ino_t ino;
	/* The root tree asked for last: a thousand lookups in a row want it. */
	git_oid root_of; /* the commit */
	git_tree *root;	 /* owned */
};

/* "what: libgit2's words"; returns -1. */
int git_fail(struct err *e, int rc, const char *fmt, ...) PRINTF(3, 4);
/* 40 hex digits, or -1 with *e. */
int git_oid_of(git_oid *oid, const char *hash, struct err *e);
/* The root tree of a commit, borrowed until the next call. */
int git_root(struct git *g, const char *commit, git_tree **root, struct err *e);

/* refs/heads/<branch> into dst of 1024 bytes. */
int git_ref_of(char *dst, const char *branch, struct err *e);
/* Point a branch of a mirror at a commit that is there. */
int git_ref_set(
    struct git *g, const char *branch, const git_oid *id, struct err *e);

/* Percent-decoded. */
void git_url_decode(struct secret *out, const char *s, size_t n);

/* Carry ssh remotes through ssh(1); `f` must live as long as the fetch. */
int git_ssh_use(const struct git_fetch *f, struct err *e);
void git_ssh_forget(void);
/* The last words of ssh(1), "" when it had none. */
const char *git_ssh_words(void);

#endif
