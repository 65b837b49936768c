/*
 * After a power cut.  Copies from a repository on this machine are not synced,
 * for speed: what was written last may be empty, torn or missing then.  So the
 * first writer after a start of the machine looks at all of a mirror once.
 */
#include "internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Every loose object must hash to its name, which libgit2 checks. */
static int
check_objects(struct git *g, const char *path)
{
	char dir[PATH_MAX], name[64];
	git_odb_object *o;
	struct dirent *f;
	int i, r = 1;
	git_oid id;
	DIR *d;

	for (i = 0; r == 1 && i < 256; i++) {
		(void)snprintf(dir, sizeof(dir), "%s/objects/%02x", path, i);
		if ((d = opendir(dir)) == NULL)
			continue;
		while (r == 1 && (f = readdir(d)) != NULL) {
			if (strlen(f->d_name) != GIT_OID_HEXSZ - 2)
				continue;
			(void)snprintf(
			    name, sizeof(name), "%02x%.38s", i, f->d_name);
			if (git_oid_fromstr(&id, name) < 0)
				continue;
			if (git_odb_read(&o, g->odb, &id) < 0)
				r = 0;
			else
				git_odb_object_free(o);
		}
		closedir(d);
	}
	return r;
}

/* Every branch must be readable, and lead to a tree that is all there. */
static int
check_branches(struct git *g)
{
	git_reference_iterator *it = NULL;
	git_reference *ref;
	char commit[GIT_ID];
	struct err ignored;
	int r = 1, n;

	if (git_reference_iterator_new(&it, g->repo) < 0)
		return 0;
	while (r == 1 && (n = git_reference_next(&ref, it)) != GIT_ITEROVER) {
		if (n < 0) {
			r = 0;
			break;
		}
		if (git_reference_target(ref) == NULL) {
			r = 0;
		} else {
			git_oid_tostr(
			    commit, GIT_ID, git_reference_target(ref));
			r = git_mirror_check(g, commit, &ignored) == 1;
		}
		git_reference_free(ref);
	}
	git_reference_iterator_free(it);
	return r;
}

int
git_mirror_recover(const char *path, const char *boot, struct err *e)
{
	struct buf was = BUF_INIT;
	struct git *g = NULL;
	char note[PATH_MAX];
	int rv = -1;

	if (snprintf(note, sizeof(note), "%s/boot", path) >=
	    (int)sizeof(note)) {
		err_set(e, RC_PERM, "%.80s...: path too long", path);
		goto out;
	}
	if (access(path, F_OK) == -1) {
		rv = 0;
		goto out;
	}
	if (file_read(note, 64, &was, e) == 1 && strcmp(was.p, boot) == 0) {
		rv = 0;
		goto out;
	}
	if (git_mirror_open(&g, path, false, e) == -1)
		goto out;
	rv = 0;
	if (check_objects(g, path) != 1 || check_branches(g) != 1) {
		rv = 1;
		log_warn("-",
		    "%s: damaged since this machine was started: made anew",
		    path);
		/* Under the lock, which is beside it. */
		if (tree_remove(path, e) == -1)
			rv = -1;
		goto out;
	}
	/* Lost, it only costs another look. */
	if (file_write(note, boot, strlen(boot), 0600, false, e) == -1)
		rv = -1;
out:
	git_repo_free(g);
	buf_free(&was);
	return rv;
}
