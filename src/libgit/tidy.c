#include "internal.h"

#include <git2/sys/odb_backend.h>

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	PACK_SMALL = 32 << 20 /* bytes; larger packs stay as they are */
};

struct tidy {
	struct git *g;
	struct arena *a;
	const char **packs; /* names without suffix */
	size_t n_packs, n_all;
	git_oid *loose;
	size_t n_loose, cap_loose;
	git_packbuilder *pb;
};

static int
find_packs(struct tidy *t, struct err *e)
{
	char path[PATH_MAX];
	struct dirent *d;
	struct stat st;
	size_t cap = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/objects/pack", t->g->path);
	if ((dir = opendir(path)) == NULL)
		return err_sys(e, "%s", path);
	while ((d = readdir(dir)) != NULL) {
		size_t n = strlen(d->d_name);

		if (!str_suffix(d->d_name, ".idx"))
			continue;
		t->n_all++;
		if (t->n_packs == cap) {
			const char **more =
			    arena_array(t->a, const char *, cap * 2 + 64);

			if (cap > 0)
				memcpy(more, t->packs, cap * sizeof(*more));
			t->packs = more;
			cap = cap * 2 + 64;
		}
		snprintf(path, sizeof(path), "%s/objects/pack/%.*s.pack",
		    t->g->path, (int)(n - 4), d->d_name);
		if (stat(path, &st) == 0 && st.st_size <= PACK_SMALL)
			t->packs[t->n_packs++] =
			    arena_strndup(t->a, path, strlen(path) - 5);
	}
	closedir(dir);
	return 0;
}

static int
note_loose(const git_oid *id, void *arg)
{
	struct tidy *t = arg;

	if (t->n_loose == t->cap_loose) {
		t->cap_loose = t->cap_loose * 2 + 256;
		t->loose = xrealloc(t->loose, t->cap_loose * sizeof(*t->loose));
	}
	git_oid_cpy(&t->loose[t->n_loose++], id);
	return 0;
}

static int
insert(const git_oid *id, void *arg)
{
	struct tidy *t = arg;

	return git_packbuilder_insert(t->pb, id, NULL);
}

/* Call for each object that one backend alone has. */
static int
each(git_odb_backend *be, int (*f)(const git_oid *, void *), struct tidy *t)
{
	git_odb *odb = NULL;
	int r;

	if (git_odb_new(&odb) < 0)
		return -1;
	if ((r = git_odb_add_backend(odb, be, 1)) < 0)
		be->free(be);
	else
		r = git_odb_foreach(odb, f, t);
	git_odb_free(odb);
	return r;
}

static int
collect(struct tidy *t, struct err *e)
{
	char path[PATH_MAX];
	git_odb_backend *be;
	size_t i;

	if (git_packbuilder_new(&t->pb, t->g->repo) < 0)
		return git_fail(e, RC_TEMP, "%s", t->g->path);
	git_packbuilder_set_threads(t->pb, 1);
	for (i = 0; i < t->n_packs; i++) {
		snprintf(path, sizeof(path), "%s.idx", t->packs[i]);
		if (git_odb_backend_one_pack(&be, path) < 0 ||
		    each(be, insert, t) < 0)
			return git_fail(e, RC_TEMP, "%s", path);
	}
	for (i = 0; i < t->n_loose; i++)
		if (insert(&t->loose[i], t) < 0)
			return git_fail(e, RC_TEMP, "%s", t->g->path);
	return 0;
}

/* Readers that miss an object look again, and find it in the new pack. */
static void
drop(struct tidy *t, const char *keep)
{
	char path[PATH_MAX], hex[GIT_ID];
	size_t i;

	for (i = 0; i < t->n_packs; i++) {
		if (str_suffix(t->packs[i], keep))
			continue;
		snprintf(path, sizeof(path), "%s.idx", t->packs[i]);
		(void)unlink(path);
		snprintf(path, sizeof(path), "%s.pack", t->packs[i]);
		(void)unlink(path);
	}
	for (i = 0; i < t->n_loose; i++) {
		git_oid_tostr(hex, sizeof(hex), &t->loose[i]);
		snprintf(path, sizeof(path), "%s/objects/%.2s/%s", t->g->path,
		    hex, hex + 2);
		(void)unlink(path);
	}
}

int
git_mirror_tidy(
    struct git *g, size_t max_packs, size_t max_loose, struct err *e)
{
	struct tidy t = { .g = g, .a = arena_new() };
	char path[PATH_MAX];
	git_odb_backend *be;
	int rv = -1;

	if (find_packs(&t, e) == -1)
		goto out;
	snprintf(path, sizeof(path), "%s/objects", g->path);
	if (git_odb_backend_loose(&be, path, -1, 0, 0, 0) < 0 ||
	    each(be, note_loose, &t) < 0) {
		git_fail(e, RC_TEMP, "%s", path);
		goto out;
	}
	rv = 0;
	if (t.n_packs <= max_packs && t.n_loose <= max_loose)
		goto out;
	rv = -1;
	git_odb_refresh(g->odb);
	if (collect(&t, e) == -1)
		goto out;
	if (git_packbuilder_object_count(t.pb) == 0) {
		rv = 0;
		goto out;
	}
	/* The new pack is whole, and on the disk, before the old ones go. */
	git_libgit2_opts(GIT_OPT_ENABLE_FSYNC_GITDIR, 1);
	if (git_packbuilder_write(t.pb, NULL, 0444, NULL, NULL) < 0) {
		git_fail(e, RC_TEMP, "%s", g->path);
		goto out;
	}
	drop(&t, git_packbuilder_name(t.pb));
	git_odb_refresh(g->odb);
	rv = 1;
out:
	git_libgit2_opts(GIT_OPT_ENABLE_FSYNC_GITDIR, 0);
	git_packbuilder_free(t.pb);
	free(t.loose);
	arena_free(t.a);
	return rv;
}
