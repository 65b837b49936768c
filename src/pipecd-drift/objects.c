#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "drift.h"
#include "hash.h"
#include "version.h"

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

/* A new version of us, or of a platform, renders again. */
void
objects_inputs(const struct drift *d, const Frame__App *m, char key[COMMIT_LEN],
    struct arena *a)
{
	const Frame__PluginPlan *p;
	const char **parts, *sum;
	size_t i, k, n = 0, room = 3;

	key[0] = '\0';
	if (m->tree == NULL)
		return;
	for (i = 0; i < m->n_plugins; i++)
		room += 4 + m->plugins[i]->n_targets;
	parts = arena_array(a, const char *, room);
	parts[n++] = PIPECD_VERSION;
	parts[n++] = m->tree;
	parts[n++] = m->application->name;
	for (i = 0; i < m->n_plugins; i++) {
		p = m->plugins[i];
		sum = "";
		for (k = 0; k < d->conf->n_plugins; k++)
			if (strcmp(d->conf->plugins[k].name, p->plugin) == 0 &&
			    d->conf->plugins[k].sha256 != NULL)
				sum = d->conf->plugins[k].sha256;
		parts[n++] = p->plugin;
		parts[n++] = sum;
		parts[n++] = p->config != NULL ? p->config->text : "";
		parts[n++] = "";
		for (k = 0; k < p->n_targets; k++)
			parts[n++] = p->targets[k];
	}
	uuid5(key, parts, n);
}

static char *
path_of(const struct drift *d, const struct app *app, const char *platform,
    const char *key, struct arena *a)
{
	char name[UUID_LEN];

	objects_prefix(app->id, platform, name);
	return arena_printf(a, "%s/%s-%s.ndjson", d->objects_dir, name, key);
}

char *
objects_path(const struct drift *d, const struct job *j, struct arena *a)
{
	return path_of(d, j->app, j->k->name,
	    j->alone && j->app->inputs[0] != '\0' ? j->app->inputs
						  : j->app->commit,
	    a);
}

bool
objects_there(const struct drift *d, struct job *j)
{
	struct arena *ar = arena_new();
	bool there;

	j->alone = true;
	there = access(objects_path(d, j, ar), R_OK) == 0;
	if (!there) {
		j->alone = false;
		there = access(objects_path(d, j, ar), R_OK) == 0;
	}
	arena_free(ar);
	return there;
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

/* Those of the commit, or the inputs, that the application is leaving. */
void
objects_forget(struct drift *d, const struct app *a, const char *key)
{
	struct arena *ar = arena_new();
	const char *name;
	void *v;
	size_t i;

	for (i = 0; key[0] != '\0' && map_next(d->platforms, &i, &name, &v);)
		(void)unlink(path_of(d, a, name, key, ar));
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
			map_put(want,
			    arena_printf(ar, "%s-%s.ndjson", prefix,
				((struct app *)v)->inputs),
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
