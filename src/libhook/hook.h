/* hook.h - what a git server says about a push, and whether it was that server. */
#ifndef PIPECD_HOOK_H
#define PIPECD_HOOK_H

#include "base.h"

enum hook_type {
	HOOK_GITHUB,
	HOOK_GITLAB,
	HOOK_GITEA,
	HOOK_BITBUCKET,
	HOOK__N
};
/* "github" or "GITHUB"; HOOK__N: none of them. */
enum hook_type hook_type(const char *name);

/* The headers that count; NULL where one was not sent. */
struct hook_headers {
	const char *event;     /* X-GitHub-Event and the like */
	const char *signature; /* HMAC, or GitLab's token */
	const char *content_type;
};
/* Their names in lower case; Bitbucket and Gitea have GitHub's, too. */
struct hook_names {
	const char *event, *signature;
};
extern const struct hook_names hook_names[HOOK__N];

/* Whether who sent this knows the secret.  In constant time for its length. */
bool hook_verify(enum hook_type t, const struct hook_headers *h,
    const void *body, size_t n, const void *secret, size_t nsecret);

enum {
	HOOK_REMOTES = 8
};
struct hook_push {
	const char *remotes[HOOK_REMOTES];
	size_t n_remotes;
	const char *branch, *commit; /* "" when not known */
};
/*
 * Read a verified body: 1 a push, 0 something else that is none of ours, -1
 * with *e: it cannot be read.  Strings are in `a`.
 */
int hook_read(struct hook_push *p, enum hook_type t,
    const struct hook_headers *h, const void *body, size_t n, struct arena *a,
    struct err *e);

#endif
