#include "gitwatch.h"

#include <string.h>

bool
mirror_same(const struct repo *r)
{
	struct stat st;

	return stat(r->mirror, &st) == 0 && st.st_dev == r->dev &&
	       st.st_ino == r->ino;
}

void
mirror_note(struct repo *r)
{
	struct stat st;

	if (stat(r->mirror, &st) == -1)
		memset(&st, 0, sizeof(st));
	r->dev = st.st_dev;
	r->ino = st.st_ino;
}

int
look_local(struct repo *r, char branch[256], char commit[GIT_ID], bool *forced,
    struct err *e)
{
	struct git *g = NULL;
	int rv;

	*forced = false;
	if ((rv = git_local_head(r->path, r->branch, branch, commit, e)) != 1)
		return rv;
	if (strcmp(r->head, commit) == 0 && strcmp(r->at, branch) == 0 &&
	    mirror_same(r))
		return 1;
	/* Somebody else writes it: wait for that in a worker, not here. */
	if (git_mirror_open(&g, r->mirror, false, e) == -1)
		return 2;
	rv = git_mirror_copy(
	    g, r->path, branch, commit, COPY_OBJECTS, COPY_BYTES, e);
	if (rv == 1) {
		r->copies++;
		if (r->head[0] != '\0' && strcmp(r->at, branch) == 0)
			*forced = git_is_ancestor(g, r->head, commit, e) == 0;
		mirror_note(r);
	} else if (rv == 0) {
		rv = 2;
	}
	git_repo_free(g);
	return rv;
}
