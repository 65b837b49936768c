#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "drift.h"
#include "hash.h"

/*
 * The desired objects of an application at a commit, as `render` said them:
 * keys, hashes and paths, never contents.  A hash of a small secret can be
 * guessed, so the files are for us and that platform alone, and no frame of
 * ours carries them.
 */
static void
objects_prefix(const char *app, const char *platform, char dst[UUID_LEN])
{
	const char *parts[] = { "objects", app, platform };

	uuid5(dst, parts, NITEMS(parts));
}

char *
objects_path(const struct drift *d, const struct job *j, struct arena *a)
{
	char name[UUID_LEN];

	objects_prefix(j->app->id, j->k->name, name);
	return arena_printf(
	    a, "%s/%s-%s.ndjson", d->objects_dir, name, j->app->commit);
}

int
objects_write(struct drift *d, struct job *j, struct err *e)
{
	struct arena *a = arena_new();
	int rv = file_write(objects_path(d, j, a), j->objects.p, j->objects.len,
	    0600, false, e);

	if (rv == 0)
		rv = share_with(objects_path(d, j, a),
		    &(const char *const){ j->k->name }, 1, 4, false, e);
	arena_free(a);
	return rv;
}

/* Those of the commit that the application is leaving. */
void
objects_forget(struct drift *d, const struct app *a)
{
	struct arena *ar = arena_new();
	const char *name;
	char prefix[UUID_LEN];
	void *v;
	size_t i;

	for (i = 0;
	     a->commit[0] != '\0' && map_next(d->platforms, &i, &name, &v);) {
		objects_prefix(a->id, name, prefix);
		(void)unlink(arena_printf(
		    ar, "%s/%s-%s.ndjson", d->objects_dir, prefix, a->commit));
	}
	arena_free(ar);
}

/* Whether this build could have asked for that file today. */
static bool
objects_wanted(struct map *want, const char *name)
{
	return map_get(want, name) != NULL;
}

/* Remove what no application of now wants: an earlier run's. */
int
objects_sweep(struct drift *d, struct err *e)
{
	struct map *want = map_new();
	struct arena *ar = arena_new();
	const char *id, *platform;
	char prefix[UUID_LEN];
	struct dirent *de;
	void *v, *k;
	size_t i, n;
	DIR *dir = opendir(d->objects_dir);

	for (i = 0; map_next(d->apps, &i, &id, &v);)
		for (n = 0; map_next(d->platforms, &n, &platform, &k);) {
			objects_prefix(id, platform, prefix);
			map_put(want,
			    arena_printf(ar, "%s-%s.ndjson", prefix,
				((struct app *)v)->commit),
			    want);
			arena_reset(ar);
		}
	while (dir != NULL && (de = readdir(dir)) != NULL)
		if (de->d_name[0] != '.' && !objects_wanted(want, de->d_name))
			(void)unlinkat(dirfd(dir), de->d_name, 0);
	map_free(want);
	arena_free(ar);
	if (dir == NULL)
		return errno == ENOENT ? 0 : err_sys(e, "%s", d->objects_dir);
	closedir(dir);
	return 0;
}
