#include <limits.h>
#include <string.h>

#include "frame.h"

static const char *
hash_of(const Model__ApplicationDeploymentReference *r)
{
	return r->trigger != NULL && r->trigger->commit != NULL
		   ? r->trigger->commit->hash
		   : "";
}

bool
frame_past_of(Frame__Past *p, const Model__Application *m, struct arena *a)
{
	const Model__ApplicationDeploymentReference *last =
	    m->most_recently_triggered_deployment;
	const Model__ApplicationDeploymentReference *good =
	    m->most_recently_successful_deployment;
	const Model__ApplicationGitPath *g = m->git_path;
	char path[PATH_MAX];

	frame__past__init(p);
	if (g == NULL || g->repo == NULL || g->repo->id[0] == '\0' ||
	    !path_clean(path, g->path[0] != '\0' ? g->path : "."))
		return false;
	p->application_id = m->id;
	p->repo = g->repo->id;
	p->path = arena_strdup(a, path);
	p->config_filename = g->config_filename;
	if (p->config_filename[0] == '\0')
		p->config_filename = arena_strdup(a, "app.pipecd.yaml");
	p->name = m->name;
	if (last == NULL)
		last = good;
	if (last == NULL || hash_of(last)[0] == '\0')
		return true;
	p->triggered_commit = arena_strdup(a, hash_of(last));
	p->deployment_id = last->deployment_id;
	p->has_triggered_at = p->has_completed_at = p->has_status = true;
	p->triggered_at = last->trigger->timestamp;
	p->completed_at = last->completed_at;
	/* What is not finished comes as a resume of its own. */
	p->status = MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_FAILURE;
	if (good == NULL || hash_of(good)[0] == '\0')
		return true;
	if (strcmp(good->deployment_id, last->deployment_id) == 0)
		p->status = MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_SUCCESS;
	p->running_commit = arena_strdup(a, hash_of(good));
	p->running_config_filename = good->config_filename[0] != '\0'
					 ? good->config_filename
					 : p->config_filename;
	return true;
}
