#include "host.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the canary stage tells later ones. */
static const char meta_canary[] = "host-canary-targets";

int
host_app_conf(struct conf_host_app *c, const Frame__Json *j, struct arena *a,
    struct err *e)
{
	return conf_json_read(CONF_host_app, c, "plugins.host.input",
	    j != NULL ? j->text : "{}", a, e);
}

const char *
host_owner(const Model__ApplicationGitPath *g, struct arena *a)
{
	const char *repo = g != NULL && g->repo != NULL ? g->repo->id : "";

	return arena_printf(a, "%s:%s/%s", repo, g != NULL ? g->path : "",
	    g != NULL ? g->config_filename : "");
}

int
host_want(struct tree *t, const struct conf_host_app *c, const char *dir,
    const char *config_filename, struct arena *a, struct err *e)
{
	struct scan s = { .patterns = c->files,
		.n_patterns = c->n_files,
		.skip_file = config_filename };

	return tree_scan(t, dir, &s, a, e) == -1 ||
		       tree_hash(t, dir, NULL, e) == -1
		   ? -1
		   : 0;
}

/* Read what a commit wants; `forward`: the target commit, else the running. */
static int
job_open(struct job *j, struct run *r, bool forward, struct err *e)
{
	const Frame__StageStart *s = r->stage;
	const Model__Deployment *d = s->deployment;
	const char *file;

	memset(j, 0, sizeof(*j));
	j->r = r;
	j->forward = forward;
	j->app = d->application_name;
	j->owner = host_owner(d->git_path, r->arena);
	if (name_check(j->app, e) == -1)
		return -1;
	if (forward) {
		j->commit = d->trigger != NULL && d->trigger->commit != NULL
				? d->trigger->commit->hash
				: "";
		j->dir = s->target_dir;
		file = s->config_filename;
	} else {
		j->commit = d->running_commit_hash;
		j->dir = s->running_dir;
		file = s->running_config_filename != NULL
			   ? s->running_config_filename
			   : s->config_filename;
	}
	if (strspn(j->commit, "0123456789abcdef") != strlen(j->commit) ||
	    strlen(j->commit) < 7 || strlen(j->commit) > 64)
		return err_set(e, RC_PERM, "\"%.70s\" is no commit", j->commit);
	if (j->dir == NULL)
		return err_set(e, RC_PERM, "stage_start: field %s is missing",
		    forward ? "target_dir" : "running_dir");
	if (host_app_conf(&j->conf, forward ? s->app_config : s->running_config,
		r->arena, e) == -1)
		return -1;
	if (host_want(&j->want, &j->conf, j->dir, file, r->arena, e) == -1)
		return -1;
	/* Later on, a set that becomes empty is held. */
	if (forward && j->conf.n_files > 0 && j->want.n == 0 &&
	    *d->running_commit_hash == '\0')
		return err_set(e, RC_PERM,
		    "plugins.host.input.files: no file of commit %.7s matches",
		    j->commit);
	return 0;
}

static const char *
shorten(struct arena *a, const char *commit)
{
	return arena_strndup(a, commit, 7);
}

/*
 * A desired set that became empty, or lost a great share of what runs, is more
 * likely a mistake than a wish.  1: held, and said so.
 */
static int
hold(struct job *j, const struct place *p, struct err *e)
{
	struct arena *a = j->r->arena;
	int64_t percent = j->r->conf->prune_limit_percent;
	int64_t min = j->r->conf->prune_limit_min;
	struct scan s = { .everything = true };
	struct map *made;
	struct tree have;
	struct diff d;
	char **lost;
	size_t i, n = 0;

	if (p->current == NULL || !j->forward)
		return 0;
	made = place_made(p, p->current, a);
	s.made = made;
	i = (size_t)tree_scan(&have,
	    arena_printf(a, "%s/releases/%s", p->dir, p->current), &s, a, e);
	map_free(made);
	if (i != 0 || have.n == 0)
		return 0; /* nothing there that could be lost */
	tree_diff(&d, &j->want, &have, a);
	lost = arena_array(a, char *, d.n + 1);
	for (i = 0; i < d.n; i++)
		if (d.v[i].how == CHANGE_DELETE)
			lost[n++] = arena_strdup(a, d.v[i].path);
	if (j->want.n > 0 &&
	    ((int64_t)n < min || (int64_t)n * 100 <= percent * (int64_t)have.n))
		return 0;
	if (stage_confirmed(j->r))
		return 0;
	(void)stage_held(j->r,
	    arena_printf(a,
		"%s: commit %s takes away %zu of %zu files (limit %lld %%)",
		p->target, shorten(a, j->commit), n, have.n,
		(long long)percent),
	    lost, n,
	    "if this is wanted, set spec.confirm: true in the application's "
	    "config in this commit; otherwise restore the files");
	return 1;
}

/* Whether this deployment brought this very release here, to the end. */
static int
progress(const struct job *j, const struct place *p, const char *release)
{
	struct state s;

	if (!place_state(p, &s) || p->current == NULL ||
	    strcmp(p->current, release) != 0 ||
	    strcmp(s.release, release) != 0 ||
	    strcmp(s.hash, j->want.hash) != 0 ||
	    strcmp(s.deployment, j->r->stage->deployment->id) != 0)
		return 0;
	return strcmp(s.phase, "healthy") == 0	   ? 2
	       : strcmp(s.phase, "activated") == 0 ? 1
						   : 0;
}

static int
mark(const struct job *j, const struct place *p, const char *phase,
    const char *release, struct err *e)
{
	struct state s = { 0 };

	(void)snprintf(s.phase, sizeof(s.phase), "%s", phase);
	(void)snprintf(s.deployment, sizeof(s.deployment), "%s",
	    j->r->stage->deployment->id);
	(void)snprintf(s.release, sizeof(s.release), "%s", release);
	memcpy(s.hash, j->want.hash, sizeof(s.hash));
	return place_set_state(p, &s, e);
}

static bool
has_health(const struct job *j)
{
	return j->conf.health.http != NULL || j->conf.health.command != NULL;
}

/* Switch, activate, health: what is not done yet of it.  0, 1 or -1. */
static int
bring_up(struct job *j, struct place *p, const char *release, int done,
    struct err *e)
{
	struct arena *a = j->r->arena;
	int rc;

	stage_touches(j->r);
	if (done < 1) {
		/* What rollback looks for is there before anything changes. */
		if (mark(j, p, "switching", release, e) == -1 ||
		    release_switch(p, release, a, e) == -1)
			return -1;
		stage_log(j->r, "INFO", "%s: current -> releases/%s", p->target,
		    release);
		if ((rc = host_activate(j, p, e)) != 0)
			return rc;
		/* Nothing comes between this and "healthy" without a check. */
		if (has_health(j) && mark(j, p, "activated", release, e) == -1)
			return -1;
	}
	if ((rc = host_health(j, p, e)) != 0)
		return rc;
	if (place_save_made(p, release, &j->want, a, e) == -1)
		return -1;
	return mark(j, p, "healthy", release, e);
}

/* One target to one commit.  0; 1 cancelled or held (said then); -1. */
static int
deploy(struct job *j, const char *target, struct err *e)
{
	const struct conf_target *t = run_target(j->r, target, e);
	struct arena *a = j->r->arena;
	const char *release;
	struct place p;
	int rc, done;

	if (t == NULL || place_open(&p, t, j->app, j->owner, a, e) == -1)
		return -1;
	if ((rc = hold(j, &p, e)) != 0)
		return rc;
	if (stage_cancelled(j->r))
		return 1;
	if ((rc = release_lay(
		 &p, j->commit, &j->want, j->dir, &release, a, e)) == -1)
		return -1;
	done = rc == 1 ? progress(j, &p, release) : 0;
	if (done == 2) {
		stage_log(j->r, "INFO", "%s: already runs releases/%s", target,
		    release);
		return 0;
	}
	stage_log(j->r, "INFO", "%s: releases/%s: %s%zu files, %lld bytes",
	    target, release, rc == 1 ? "there already, " : "", j->want.n,
	    (long long)j->want.bytes);
	if (stage_cancelled(j->r))
		return 1;
	return bring_up(j, &p, release, done, e);
}

/* Old releases go when all went well; a failure here fails nothing. */
static void
prune(struct job *j, char **targets, size_t n)
{
	const Model__Deployment *d = j->r->stage->deployment;
	const char *spare[] = { j->commit, d->running_commit_hash, NULL };
	struct place p;
	struct err e;
	size_t i;

	if (*d->running_commit_hash == '\0')
		spare[1] = NULL;
	for (i = 0; i < n; i++) {
		const struct conf_target *t = run_target(j->r, targets[i], &e);

		if (t == NULL ||
		    place_look(&p, t, j->app, j->r->arena, &e) == -1 ||
		    release_prune(&p, j->conf.keep_releases, spare, j->r->arena,
			&e) == -1)
			log_warn(d->id, "old releases stay: %s", e.text);
	}
}

/* Targets v[0..n) one after the other; says stage_done unless it fails. */
static int
deploy_all(struct job *j, char **v, size_t n, struct err *e)
{
	size_t i;
	int rc;

	for (i = 0; i < n; i++) {
		rc = stage_cancelled(j->r) ? 1 : deploy(j, v[i], e);
		if (rc == -1) {
			stage_log(j->r, "ERROR", "%s", e->text);
			return -1;
		}
		if (rc == 1 && j->r->done)
			return 0;
		if (rc == 1)
			return stage_done(j->r,
			    MODEL__STAGE_STATUS__STAGE_CANCELLED,
			    "cancelled at %s, after %zu of %zu targets", v[i],
			    i, n);
	}
	prune(j, v, n);
	return stage_done(j->r, MODEL__STAGE_STATUS__STAGE_SUCCESS,
	    "%s runs on %zu target%s", shorten(j->r->arena, j->commit), n,
	    n == 1 ? "" : "s");
}

/* How many targets a canary takes, of all. */
static int
canary_size(struct run *r, size_t *n, struct err *e)
{
	struct conf_host_canary c;
	int64_t k;

	if (conf_json_read(CONF_host_canary, &c, "HOST_CANARY_ROLLOUT: with",
		r->stage->config != NULL ? r->stage->config->text : "{}",
		r->arena, e) == -1)
		return -1;
	if (conf_replicas(&k, c.targets, (int64_t)r->stage->n_targets, 1) ==
		-1 ||
	    k < 1)
		return err_set(e, RC_PERM,
		    "HOST_CANARY_ROLLOUT: with.targets: \"%s\" is not a number "
		    "or share of targets, such as 1 or 25%%",
		    c.targets);
	*n = (size_t)k < r->stage->n_targets ? (size_t)k : r->stage->n_targets;
	return 0;
}

static int
stage_sync(struct run *r, struct err *e)
{
	struct job j;

	if (job_open(&j, r, true, e) == -1)
		return -1;
	return deploy_all(&j, r->stage->targets, r->stage->n_targets, e);
}

static int
stage_canary(struct run *r, struct err *e)
{
	struct buf names = BUF_INIT;
	struct job j;
	size_t n = 0, i;
	int rv;

	if (canary_size(r, &n, e) == -1 || job_open(&j, r, true, e) == -1)
		return -1;
	for (i = 0; i < n; i++)
		buf_printf(
		    &names, "%s%s", i > 0 ? "," : "", r->stage->targets[i]);
	stage_meta(r, meta_canary, names.p, true);
	rv = deploy_all(&j, r->stage->targets, n, e);
	buf_free(&names);
	return rv;
}

/* Whether a name is in a comma list. */
static bool
listed(const char *list, const char *name)
{
	size_t len = strlen(name);
	const char *s = list;

	while (s != NULL && *s != '\0') {
		if (strncmp(s, name, len) == 0 &&
		    (s[len] == ',' || s[len] == '\0'))
			return true;
		if ((s = strchr(s, ',')) != NULL)
			s++;
	}
	return false;
}

static int
stage_primary(struct run *r, struct err *e)
{
	const char *canary = stage_meta_get(r, meta_canary);
	size_t n = r->stage->n_targets, i, k = 0;
	char **v = arena_array(r->arena, char *, n + 1);
	struct job j;

	/* The others first; the canaries then have it already, or get it. */
	for (i = 0; i < n; i++)
		if (!listed(canary, r->stage->targets[i]))
			v[k++] = r->stage->targets[i];
	for (i = 0; i < n; i++)
		if (listed(canary, r->stage->targets[i]))
			v[k++] = r->stage->targets[i];
	if (job_open(&j, r, true, e) == -1)
		return -1;
	return deploy_all(&j, v, n, e);
}

/* The application's place on one of the stage's targets. */
static int
target_look(
    struct place *p, const struct run *r, const char *target, struct err *e)
{
	const char *app = r->stage->deployment->application_name;
	const struct conf_target *t = run_target(r, target, e);

	if (t == NULL || name_check(app, e) == -1)
		return -1;
	return place_look(p, t, app, r->arena, e);
}

/* Whether this deployment has brought its commit to every target. */
static int
primary_done(struct run *r, struct err *e)
{
	const Model__Deployment *d = r->stage->deployment;
	const char *commit = d->trigger != NULL && d->trigger->commit != NULL
				 ? d->trigger->commit->hash
				 : "";
	struct place p;
	struct state s;
	size_t i;

	for (i = 0; i < r->stage->n_targets; i++) {
		if (target_look(&p, r, r->stage->targets[i], e) == -1)
			return -1;
		if (!place_state(&p, &s) || strcmp(s.phase, "healthy") != 0 ||
		    !str_prefix(s.release, commit))
			return 0;
	}
	return 1;
}

static int
stage_clean(struct run *r, struct err *e)
{
	const char *canary = stage_meta_get(r, meta_canary);
	size_t n = r->stage->n_targets, i, k = 0;
	char **v = arena_array(r->arena, char *, n + 1);
	struct job j;
	int rc;

	if ((rc = primary_done(r, e)) == -1)
		return -1;
	if (rc == 1)
		return stage_done(r, MODEL__STAGE_STATUS__STAGE_SUCCESS,
		    "all targets run the new commit: nothing to clean");
	if (canary == NULL)
		return stage_done(r, MODEL__STAGE_STATUS__STAGE_SUCCESS,
		    "no canary of this deployment: nothing to clean");
	if (*r->stage->deployment->running_commit_hash == '\0')
		return err_set(e, RC_PERM,
		    "the canary targets have no earlier commit to go back to");
	for (i = 0; i < n; i++)
		if (listed(canary, r->stage->targets[i]))
			v[k++] = r->stage->targets[i];
	if (job_open(&j, r, false, e) == -1)
		return -1;
	return deploy_all(&j, v, k, e);
}

/* The targets on which this deployment changed what runs. */
static int
touched(struct run *r, char **v, size_t *k, struct err *e)
{
	const Model__Deployment *d = r->stage->deployment;
	struct place p;
	struct state s;
	size_t i;

	*k = 0;
	for (i = 0; i < r->stage->n_targets; i++) {
		if (target_look(&p, r, r->stage->targets[i], e) == -1)
			return -1;
		if (place_state(&p, &s) && strcmp(s.deployment, d->id) == 0)
			v[(*k)++] = r->stage->targets[i];
	}
	return 0;
}

static int
stage_rollback(struct run *r, struct err *e)
{
	const Model__Deployment *d = r->stage->deployment;
	char **v = arena_array(r->arena, char *, r->stage->n_targets + 1);
	struct err first = { 0 };
	struct job j;
	size_t n, i, bad = 0;

	if (touched(r, v, &n, e) == -1)
		goto human;
	if (n == 0)
		return stage_done(r, MODEL__STAGE_STATUS__STAGE_SUCCESS,
		    "no target was changed: nothing to roll back");
	if (*d->running_commit_hash == '\0')
		return stage_needs_human(r,
		    "this was the first deployment of %s: there is no earlier "
		    "commit to go back to; look at %s on %zu target%s, from %s "
		    "on, and push a commit that works",
		    d->application_name, "current", n, n == 1 ? "" : "s", v[0]);
	if (job_open(&j, r, false, e) == -1)
		goto human;
	/* One target that cannot go back keeps no other from it. */
	for (i = 0; i < n; i++) {
		int rc = deploy(&j, v[i], e);

		if (rc == 1)
			return stage_done(r,
			    MODEL__STAGE_STATUS__STAGE_CANCELLED,
			    "cancelled at %s", v[i]);
		if (rc == 0)
			continue;
		stage_log(r, "ERROR", "%s", e->text);
		if (bad++ == 0)
			first = *e;
	}
	if (bad == 0)
		return stage_done(r, MODEL__STAGE_STATUS__STAGE_SUCCESS,
		    "back at %s on %zu target%s", shorten(r->arena, j.commit),
		    n, n == 1 ? "" : "s");
	*e = first;
human:
	return stage_needs_human(r,
	    "could not go back to commit %s: %s; look at <root>/%s/current on "
	    "each deploy target",
	    *d->running_commit_hash != '\0'
		? shorten(r->arena, d->running_commit_hash)
		: "?",
	    e->text, d->application_name);
}

int
host_stage(struct run *r, struct err *e)
{
	static const struct {
		const char *name;
		int (*run)(struct run *r, struct err *e);
	} stages[] = {
		{ "HOST_SYNC", stage_sync },
		{ "HOST_CANARY_ROLLOUT", stage_canary },
		{ "HOST_PRIMARY_ROLLOUT", stage_primary },
		{ "HOST_CANARY_CLEAN", stage_clean },
		{ "HOST_ROLLBACK", stage_rollback },
	};
	const char *name = r->stage->stage->name;
	size_t i;

	if (r->stage->n_targets == 0)
		return err_set(e, RC_PERM,
		    "no deploy target: name them in spec.deployTargets of the "
		    "application");
	for (i = 0; i < NITEMS(stages); i++)
		if (strcmp(stages[i].name, name) == 0)
			return stages[i].run(r, e);
	return err_set(e, RC_PERM, "%s: no stage of this platform", name);
}
