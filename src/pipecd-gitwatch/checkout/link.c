#include "checkout.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

enum {
	HOPS_MAX = 32
};

/* A walk along a link: where we are, and what is left to go. */
struct walk {
	char at[PATH_MAX];   /* "" is the repository's root */
	char left[PATH_MAX]; /* the components to come */
	int hops;
};

static int
go_up(struct walk *w, struct err *e)
{
	char *slash = strrchr(w->at, '/');

	if (w->at[0] == '\0')
		return err_set(
		    e, RC_PERM, "is a link that leaves the repository");
	if (slash != NULL)
		*slash = '\0';
	else
		w->at[0] = '\0';
	return 0;
}

/* Put a link's target before what is left. */
static int
follow(struct walk *w, const char *target, struct err *e)
{
	char left[PATH_MAX];

	if (target[0] == '/')
		return err_set(
		    e, RC_PERM, "is an absolute link: %.200s", target);
	if (target[0] == '\0')
		return err_set(e, RC_PERM, "is an empty link");
	if (++w->hops > HOPS_MAX)
		return err_set(e, RC_PERM, "is a link in a loop");
	if (snprintf(left, sizeof(left), "%s/%s", target, w->left) >=
	    (int)sizeof(left))
		return err_set(e, RC_PERM, "is a link that is too long");
	memcpy(w->left, left, sizeof(left));
	return 0;
}

/* One component.  1: done with it. */
static int
enter(
    struct layout *l, struct walk *w, const char *name, size_t n, struct err *e)
{
	size_t len = strlen(w->at);
	struct buf target = BUF_INIT;
	enum git_what what;
	char id[GIT_ID];
	int r;

	if (name_bad(name, n))
		return err_set(e, RC_PERM, "is a link into %.*s", (int)n, name);
	if (len + n + 2 > sizeof(w->at))
		return err_set(e, RC_PERM, "is a link that is too long");
	if (len > 0)
		w->at[len] = '/';
	memcpy(w->at + len + (len > 0), name, n);
	w->at[len + (len > 0) + n] = '\0';
	if ((r = git_entry(l->g, l->commit, w->at, &what, id, e)) == -1)
		return -1;
	if (r == 0)
		return err_set(
		    e, RC_PERM, "is a link to nothing: %.200s", w->at);
	if (what == GIT_SUBMODULE)
		return err_set(
		    e, RC_PERM, "is a link into a submodule: %.200s", w->at);
	if (what != GIT_LINK) {
		if (what != GIT_DIR && w->left[0] != '\0')
			return err_set(e, RC_PERM,
			    "is a link to nothing: %.200s is no directory",
			    w->at);
		return 0;
	}
	r = git_blob_read(l->g, id, PATH_MAX - 1, &target, e);
	if (r == 0 && memchr(target.p, '\0', target.len) != NULL)
		r = err_set(e, RC_PERM, "is a link with a NUL in it");
	if (r == 0)
		r = go_up(w, e);
	if (r == 0)
		r = follow(w, target.p, e);
	buf_free(&target);
	return r;
}

int
link_check(struct layout *l, const char *path, const char *target,
    bool *outside, struct err *e)
{
	struct walk w = { .hops = 0 };
	size_t n;

	*outside = false;
	snprintf(w.at, sizeof(w.at), "%s", path);
	if (go_up(&w, e) == -1 || follow(&w, target, e) == -1)
		return -1;
	while (w.left[0] != '\0') {
		char name[PATH_MAX];

		n = strcspn(w.left, "/");
		memcpy(name, w.left, n);
		name[n] = '\0';
		n += strspn(w.left + n, "/");
		memmove(w.left, w.left + n, strlen(w.left + n) + 1);
		if (name[0] == '\0' || strcmp(name, ".") == 0)
			continue;
		if (strcmp(name, "..") == 0) {
			if (go_up(&w, e) == -1)
				return -1;
		} else if (enter(l, &w, name, strlen(name), e) == -1) {
			return -1;
		}
		/* Above the application there are only its parents. */
		if (!within(l->only, w.at[0] == '\0' ? "." : w.at) &&
		    w.at[0] != '\0' && !within(w.at, l->only))
			*outside = true;
	}
	/* A parent as a whole is more than what we lay out of it. */
	if (!within(l->only, w.at[0] == '\0' ? "." : w.at))
		*outside = true;
	return 0;
}
