#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf.h"
#include "request.h"

/* pipectl migrate: from v0 to v1. */

enum {
	CONFIG_MAX = 16 << 20,
	DEPTH_MAX = 64
};

/* FILE becomes FILE.old, and the new text is FILE. */
static int
replace(const char *path, const struct buf *text, struct err *e)
{
	struct buf old = BUF_INIT;
	struct stat st;
	int rv = -1;

	buf_printf(&old, "%s.old", path);
	if (stat(path, &st) == -1 || link(path, old.p) == -1) {
		err_sys(e, "%s: keeping it as %s", path, old.p);
		goto out;
	}
	rv = file_write(path, text->p, text->len, st.st_mode & 0777, true, e);
	if (rv == -1)
		(void)unlink(old.p);
out:
	buf_free(&old);
	return rv;
}

static int
migrate_file(const char *path, struct err *e)
{
	struct buf in = BUF_INIT, out = BUF_INIT;
	int rv;

	if ((rv = file_read(path, CONFIG_MAX, &in, e)) == 0)
		err_set(e, RC_PERM, "%s: no such file", path);
	if (rv == 1)
		rv = conf_migrate(&out, path, in.p, in.len, e);
	else
		rv = -1;
	if (rv == 0 && (rv = replace(path, &out, e)) == 0)
		printf("%s\n", path);
	buf_free(&in);
	buf_free(&out);
	return rv;
}

/* All application files below; what cannot be migrated is said and left. */
static void
migrate_dir(const char *path, int depth, int *failed)
{
	DIR *d = opendir(path);
	struct buf one = BUF_INIT;
	struct dirent *f;
	struct stat st;
	struct err e;

	if (d == NULL) {
		err_sys(&e, "%s", path);
		log_error("-", "%s", e.text);
		(*failed)++;
		return;
	}
	while ((f = readdir(d)) != NULL) {
		if (strcmp(f->d_name, ".") == 0 ||
		    strcmp(f->d_name, "..") == 0 ||
		    strcmp(f->d_name, ".git") == 0)
			continue;
		buf_reset(&one);
		buf_printf(&one, "%s/%s", path, f->d_name);
		if (lstat(one.p, &st) == -1)
			continue;
		if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX)
			migrate_dir(one.p, depth + 1, failed);
		else if (S_ISREG(st.st_mode) && conf_is_app_file(f->d_name) &&
			 migrate_file(one.p, &e) == -1) {
			log_warn("-", "%s", e.text);
			(*failed)++;
		}
	}
	closedir(d);
	buf_free(&one);
}

int
migrate_application_config(struct ctl *c, struct err *e)
{
	size_t i, n_files, n_dirs;
	const char **files = arg_list(c, "config-files", &n_files);
	const char **dirs = arg_list(c, "dirs", &n_dirs);
	int failed = 0;

	if (n_files + n_dirs == 0)
		return err_set(
		    e, RC_PERM, "--config-files or --dirs is needed: which");
	for (i = 0; i < n_files; i++)
		if (migrate_file(files[i], e) == -1)
			return -1;
	for (i = 0; i < n_dirs; i++)
		migrate_dir(dirs[i], 0, &failed);
	return failed > 0 ? RC_NO : RC_OK;
}

/* --- database -------------------------------------------------------------- */

static const char *
plugin_of(Model__ApplicationKind kind)
{
	switch (kind) {
	case MODEL__APPLICATION_KIND__TERRAFORM:
		return "terraform";
	case MODEL__APPLICATION_KIND__LAMBDA:
		return "lambda";
	case MODEL__APPLICATION_KIND__CLOUDRUN:
		return "cloudrun";
	case MODEL__APPLICATION_KIND__ECS:
		return "ecs";
	default:
		return "kubernetes";
	}
}

/* Its provider becomes its one target, unless it has targets. */
static int
give_targets(struct ctl *c, const Model__Application *app, struct err *e)
{
	API(UpdateApplicationDeployTargetsRequest) q;
	API(UpdateApplicationDeployTargetsRequest__DeployTargetsByPluginEntry)
	entry, *entries[] = { &entry };
	Model__DeployTargets targets;
	char *target = app->platform_provider;

	if (app->n_deploy_targets_by_plugin > 0)
		return 0;
	if (*target == '\0')
		target = app->cloud_provider;
	if (*target == '\0')
		return err_set(e, RC_PERM,
		    "application %s names no platform provider", app->id);
	API_(update_application_deploy_targets_request__init)(&q);
	API_(
	    update_application_deploy_targets_request__deploy_targets_by_plugin_entry__init)
	(&entry);
	model__deploy_targets__init(&targets);
	targets.deploy_targets = &target;
	targets.n_deploy_targets = 1;
	entry.key = request_text(c, plugin_of(app->kind));
	entry.value = &targets;
	q.application_id = app->id;
	q.deploy_targets_by_plugin = entries;
	q.n_deploy_targets_by_plugin = 1;
	if (client_call(c, SERVICE_API, "UpdateApplicationDeployTargets",
		&q.base,
		&API_(update_application_deploy_targets_response__descriptor),
		e) == NULL)
		return err_wrap(e, "application %s", app->id);
	printf("%s %s=%s\n", app->id, entry.key, target);
	return 0;
}

int
migrate_database(struct ctl *c, struct err *e)
{
	API(GetApplicationRequest) q;
	API(GetApplicationResponse) * r;
	size_t i, n;
	const char **ids = arg_list(c, "applications", &n);

	for (i = 0; i < n; i++) {
		API_(get_application_request__init)(&q);
		q.application_id = request_text(c, ids[i]);
		r = client_call(c, SERVICE_API, "GetApplication", &q.base,
		    &API_(get_application_response__descriptor), e);
		if (r == NULL || r->application == NULL)
			return err_wrap(e, "application %s", ids[i]);
		if (give_targets(c, r->application, e) == -1)
			return -1;
	}
	return RC_OK;
}
