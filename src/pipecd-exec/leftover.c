/*
 * What platforms keep between the stages of a deployment, below
 * stateDir/work/PLATFORM/DEPLOYMENT: a saved Terraform plan, say, which may
 * hold secrets.  It goes when the deployment ends; what a kill in between left
 * goes at the next start.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "exec.h"

static void
remove_below(struct exec *x, const char *platform, const char *id)
{
	struct err e;

	if (platform[0] == '.' || strchr(platform, '/') != NULL)
		return;
	/* As another user's it is for the platform, which has a limit too. */
	if (tree_remove(arena_printf(x->turn, "%s/work/%s/%s", x->state_dir,
			    platform, id),
		&e) == -1)
		log_debug(id, "work stays: %s", e.text);
}

void
leftover_remove(struct exec *x, const struct deployment *d)
{
	size_t i;

	for (i = 0; d->s.plan != NULL && i < d->s.plan->n_plugins; i++)
		remove_below(x, d->s.plan->plugins[i]->plugin, d->id);
}

static void
sweep_platform(struct exec *x, const char *platform)
{
	char name[JOURNAL_NAME];
	struct dirent *f;
	struct err e;
	DIR *dir = opendir(
	    arena_printf(x->turn, "%s/work/%s", x->state_dir, platform));

	while (dir != NULL && (f = readdir(dir)) != NULL)
		if (f->d_name[0] != '.' &&
		    map_get(x->by_id, f->d_name) == NULL &&
		    journal_name(name, f->d_name, &e) == 0 &&
		    faccessat(x->journal_fd, name, F_OK, 0) == 0)
			remove_below(x, platform, f->d_name);
	if (dir != NULL)
		closedir(dir);
}

void
leftovers_sweep(struct exec *x)
{
	struct dirent *f;
	DIR *dir = opendir(arena_printf(x->turn, "%s/work", x->state_dir));

	while (dir != NULL && (f = readdir(dir)) != NULL)
		if (f->d_name[0] != '.')
			sweep_platform(x, f->d_name);
	if (dir != NULL)
		closedir(dir);
}
