/* deploy.c - from a trigger to a planned deployment, said in frames. */
#include <stdlib.h>
#include <string.h>

#include "plan.h"

static const char *
or_else(const char *s, const char *dflt)
{
	return s != NULL && s[0] != '\0' ? s : dflt;
}

static void
model_trigger(struct work *w)
{
	struct arena *ar = w->arena;
	Model__DeploymentTrigger *t =
	    arena_new_of(ar, Model__DeploymentTrigger);
	Model__Commit *c = arena_new_of(ar, Model__Commit);

	model__deployment_trigger__init(t);
	model__commit__init(c);
	c->hash = w->t->commit;
	c->message = arena_strdup(ar, or_else(w->commit.message, "(none)"));
	c->author = arena_strdup(ar, or_else(w->commit.author, "(unknown)"));
	c->branch = arena_strdup(ar, w->app->repo->conf->branch);
	c->created_at = w->commit.created_at > 0 ? w->commit.created_at : 1;
	t->commit = c;
	t->commander = w->t->commander != NULL ? w->t->commander : t->commander;
	t->timestamp = w->t->at;
	t->sync_strategy = w->t->strategy;
	if (w->t->rollback_to != NULL)
		t->strategy_summary = arena_printf(ar,
		    "back to what deployment %s deployed, asked for by %s",
		    w->t->rollback_to, or_else(w->t->commander, "a command"));
	else if (w->t->strategy != MODEL__SYNC_STRATEGY__AUTO)
		t->strategy_summary = arena_printf(ar, "%s asked for by %s",
		    w->t->strategy == MODEL__SYNC_STRATEGY__PIPELINE
			? "pipeline"
			: "quick sync",
		    or_else(w->t->commander, "a command"));
	w->model.trigger = t;
}

/* So that it says of itself what it is, also when its trigger is forgotten. */
static void
model_rollback(struct work *w)
{
	Model__DeploymentMetadata *m =
	    arena_new_of(w->arena, Model__DeploymentMetadata);
	Model__DeploymentMetadata__KeyValues *kv =
	    arena_new_of(w->arena, Model__DeploymentMetadata__KeyValues);
	Model__DeploymentMetadata__KeyValues__KeyValuesEntry *k = arena_new_of(
	    w->arena, Model__DeploymentMetadata__KeyValues__KeyValuesEntry);

	model__deployment_metadata__init(m);
	model__deployment_metadata__key_values__init(kv);
	model__deployment_metadata__key_values__key_values_entry__init(k);
	k->key = arena_strdup(w->arena, DEPLOYMENT_ROLLBACK_TO);
	k->value = w->t->rollback_to;
	kv->keyvalues = arena_array(w->arena,
	    Model__DeploymentMetadata__KeyValues__KeyValuesEntry *, 1);
	kv->keyvalues[0] = k;
	kv->n_keyvalues = 1;
	m->shared = kv;
	w->model.metadata_v2 = m;
}

static void
model_labels(struct work *w)
{
	const struct conf_app *c = w->conf;
	Model__Deployment__LabelsEntry *l;
	size_t i;

	if (c == NULL)
		return;
	w->model.labels = arena_array(
	    w->arena, Model__Deployment__LabelsEntry *, c->n_labels);
	w->model.n_labels = c->n_labels;
	for (i = 0; i < c->n_labels; i++) {
		l = arena_new_of(w->arena, Model__Deployment__LabelsEntry);
		model__deployment__labels_entry__init(l);
		l->key = arena_strdup(w->arena, c->labels[i].key);
		l->value = arena_strdup(w->arena, c->labels[i].value);
		w->model.labels[i] = l;
	}
}

static void
model_targets(struct work *w)
{
	Model__Deployment__DeployTargetsByPluginEntry *t;
	Frame__PluginPlan *pp;
	size_t i;

	w->model.deploy_targets_by_plugin = arena_array(w->arena,
	    Model__Deployment__DeployTargetsByPluginEntry *, w->plan.n_plugins);
	w->model.n_deploy_targets_by_plugin = w->plan.n_plugins;
	for (i = 0; i < w->plan.n_plugins; i++) {
		pp = w->plan.plugins[i];
		t = arena_new_of(
		    w->arena, Model__Deployment__DeployTargetsByPluginEntry);
		model__deployment__deploy_targets_by_plugin_entry__init(t);
		t->key = pp->plugin;
		t->value = arena_new_of(w->arena, Model__DeployTargets);
		model__deploy_targets__init(t->value);
		t->value->deploy_targets = pp->targets;
		t->value->n_deploy_targets = pp->n_targets;
		w->model.deploy_targets_by_plugin[i] = t;
	}
}

static void
work_model(struct work *w)
{
	Model__Deployment *m = &w->model;
	struct app *a = w->app;

	model__deployment__init(m);
	m->id = w->t->deployment_id;
	m->application_id = a->id;
	m->application_name = a->name != NULL ? a->name : a->path;
	m->piped_id = arena_strdup(w->arena, w->p->piped_id);
	m->project_id = arena_strdup(w->arena, w->p->project_id);
	m->kind = w->conf != NULL ? app_kind(w->conf->kind) : 0;
	m->git_path = app_git_path(a, w->arena);
	m->created_at = w->t->at;
	m->updated_at = wall_s();
	m->deployment_chain_id =
	    w->t->chain != NULL ? w->t->chain : m->deployment_chain_id;
	m->deployment_chain_block_index = w->t->block;
	m->status = MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_PENDING;
	model_trigger(w);
	if (w->t->rollback_to != NULL)
		model_rollback(w);
	model_labels(w);
	frame__plan__init(&w->plan);
	w->plan.trigger_id = w->t->id;
}

/* Whether what was begun elsewhere is what would be begun here. */
static bool
same_stages(const struct work *w, const Model__Deployment *m)
{
	size_t i, k;

	for (i = 0; i < m->n_stages; i++) {
		for (k = 0; k < w->n_stages; k++)
			if (strcmp(m->stages[i]->id, w->stages[k]->id) == 0 &&
			    strcmp(m->stages[i]->name, w->stages[k]->name) == 0)
				break;
		if (k == w->n_stages)
			return false;
	}
	return true;
}

/*
 * A deployment that the control plane has got so far: with its plan, for exec
 * to go on; or how it ends, where it cannot be planned any more.
 */
static int
resume_say(struct work *w, Model__DeploymentStatus status, const char *reason,
    bool plan, struct err *e)
{
	Frame__Resume f = FRAME__RESUME__INIT;
	Model__Deployment *m = msg_copy(w->t->resume, w->arena);

	if (status == MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_PLANNED &&
	    !same_stages(w, m)) {
		status = MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_FAILURE;
		reason = "the stages planned now are others";
	}
	if (status == MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_FAILURE) {
		m->status = status;
		m->status_reason = arena_printf(w->arena,
		    "cannot be continued on this agent: %s; a person is "
		    "needed: look at what its stages left",
		    reason);
		m->completed_at = m->updated_at = wall_s();
		plan = false;
	} else if (m->n_stages == 0) {
		m->stages = w->stages;
		m->n_stages = w->n_stages;
	}
	f.deployment = m;
	f.plan = plan ? &w->plan : NULL;
	return plan_tell(w->p, FRAME_OF(resume, &f), e);
}

static int
work_say(struct work *w, Model__DeploymentStatus status, const char *reason,
    bool plan, struct err *e)
{
	Frame__Deployment f = FRAME__DEPLOYMENT__INIT;
	struct arena *ar = w->arena;

	if (w->t->resume != NULL)
		return resume_say(w, status, reason, plan, e);
	w->model.status = status;
	w->model.status_reason = arena_strdup(ar, reason);
	if (status == MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_FAILURE)
		w->model.completed_at = w->model.updated_at;
	f.deployment = &w->model;
	f.plan = plan ? &w->plan : NULL;
	return plan_tell(w->p, FRAME_OF(deployment, &f), e);
}

/* A message's first paragraph as one line: what PipeCD has of it. */
static const char *
subject(const char *message, struct arena *a)
{
	const char *from = message + strspn(message, "\r\n\t ");
	char *to = arena_alloc(a, strlen(from) + 1), *s = to;

	while (*from != '\0') {
		if (*from == '\r' && from[1] == '\n')
			from++;
		if (*from == '\n' && (from[1] == '\n' || from[1] == '\r'))
			break;
		*to++ = *from == '\n' ? ' ' : *from;
		from++;
	}
	while (to > s && to[-1] == ' ')
		to--;
	*to = '\0';
	return s;
}

/*
 * What a deployment is planned from: the commit, and the configuration there.
 * 1; 0 when the commit has vanished; -1.
 */
static int
work_open(struct work *w, struct err *e)
{
	struct repo *r = w->app->repo;
	struct config *c;
	int rv;

	w->config_path = app_config_path(w->app, w->arena);
	if ((rv = git_commit_read(
		 r->git, w->t->commit, &w->commit, w->arena, e)) != 1)
		return rv;
	w->commit.message = subject(or_else(w->commit.message, ""), w->arena);
	if ((rv = config_get(
		 &w->p->configs, r, w->t->commit, w->config_path, &c, e)) != 1)
		return rv;
	w->conf = c->bad ? NULL : &c->app;
	return 1;
}

/* The configuration of what runs, where it can still be read. */
static int
work_running(struct work *w, struct err *e)
{
	const struct past *h = &w->app->past;
	struct repo *r = w->app->repo;
	struct git_commit_info was;
	struct config *c;
	const char *file;
	char *path;
	int rv;

	if (h->running[0] == '\0')
		return 0;
	file = or_else(h->running_file, w->app->file);
	w->model.running_commit_hash = w->app->past.running;
	w->model.running_config_filename = arena_strdup(w->arena, file);
	if ((rv = git_commit_read(r->git, h->running, &was, w->arena, e)) == -1)
		return -1;
	if (rv == 0) {
		w->running_lost = true;
		return 0;
	}
	path = strcmp(w->app->path, ".") == 0
		   ? arena_strdup(w->arena, file)
		   : arena_printf(w->arena, "%s/%s", w->app->path, file);
	if ((rv = config_get(&w->p->configs, r, h->running, path, &c, e)) == -1)
		return -1;
	if (rv == 1 && !c->bad)
		w->running = &c->app;
	return 0;
}

static void
work_plugins(struct work *w)
{
	size_t i;

	w->plan.n_plugins = w->n_plugins;
	w->plan.plugins =
	    arena_array(w->arena, Frame__PluginPlan *, w->n_plugins);
	for (i = 0; i < w->n_plugins; i++)
		w->plan.plugins[i] = app_plugin_plan(
		    w->conf, w->running, w->plugins[i]->conf, w->arena);
	model_targets(w);
}

/* Without a platform's word, the version is the commit. */
static void
work_versions(struct work *w)
{
	Model__ArtifactVersion *v;

	if (w->ballot != NULL && w->ballot->n_versions > 0) {
		w->model.versions = w->ballot->versions;
		w->model.n_versions = w->ballot->n_versions;
		return;
	}
	v = arena_new_of(w->arena, Model__ArtifactVersion);
	model__artifact_version__init(v);
	v->kind = MODEL__ARTIFACT_VERSION__KIND__GIT_SOURCE;
	v->version = arena_strndup(w->arena, w->t->commit, 7);
	v->name = w->model.application_name;
	w->model.versions = arena_array(w->arena, Model__ArtifactVersion *, 1);
	w->model.versions[0] = v;
	w->model.n_versions = 1;
}

static void
work_chain(struct work *w)
{
	const struct conf_matcher *m;
	Frame__ChainBlock *b;
	size_t i, j;

	w->plan.chain =
	    arena_array(w->arena, Frame__ChainBlock *, w->conf->n_chain);
	w->plan.n_chain = w->conf->n_chain;
	for (i = 0; i < w->conf->n_chain; i++) {
		m = &w->conf->chain[i];
		b = arena_new_of(w->arena, Frame__ChainBlock);
		frame__chain_block__init(b);
		b->name = arena_strdup(w->arena, m->name);
		b->app_kind = arena_strdup(w->arena, m->kind);
		b->n_labels = m->n_labels;
		b->labels = arena_array(
		    w->arena, Frame__ChainBlock__LabelsEntry *, m->n_labels);
		for (j = 0; j < m->n_labels; j++) {
			b->labels[j] = arena_new_of(
			    w->arena, Frame__ChainBlock__LabelsEntry);
			frame__chain_block__labels_entry__init(b->labels[j]);
			b->labels[j]->key =
			    arena_strdup(w->arena, m->labels[j].key);
			b->labels[j]->value =
			    arena_strdup(w->arena, m->labels[j].value);
		}
		w->plan.chain[i] = b;
	}
}

/* What this build does not do yet is refused by its name. */
static int
refused(struct work *w, struct err *e)
{
	struct buf b = BUF_INIT;
	size_t i;

	if (w->conf->n_refused == 0)
		return 0;
	for (i = 0; i < w->conf->n_refused; i++)
		buf_printf(&b, "%s%s", i > 0 ? "; " : "", w->conf->refused[i]);
	err_set(e, RC_PERM, "%s: %s", w->config_path, b.p);
	buf_free(&b);
	return -1;
}

/* Strategy and stages; -1 is a planning failure, with the reason. */
static int
work_plan(struct work *w, struct err *e)
{
	const char *lost = "";

	if (w->conf == NULL)
		return err_set(e, RC_PERM,
		    "%s: the configuration at commit %.7s is invalid",
		    w->config_path, w->t->commit);
	if (refused(w, e) == -1 || strategy_choose(w, e) == -1)
		return -1;
	if ((w->strategy == MODEL__SYNC_STRATEGY__PIPELINE
		    ? stages_pipeline(w, e)
		    : stages_quick(w, e)) == -1 ||
	    stages_rollback(w, e) == -1)
		return -1;
	work_plugins(w);
	work_versions(w);
	work_chain(w);
	if (w->t->base_lost || w->running_lost)
		lost = arena_printf(w->arena,
		    " (base lost: commit %.7s is not in the repository any "
		    "more, its history was rewritten)",
		    w->running_lost ? w->app->past.running
				    : w->app->past.triggered);
	w->model.summary = arena_printf(w->arena, "%s%s", w->summary, lost);
	w->model.stages = w->stages;
	w->model.n_stages = w->n_stages;
	w->plan.stages = w->steps;
	w->plan.n_stages = w->n_stages;
	w->plan.has_timeout_ms = true;
	w->plan.timeout_ms = w->conf->timeout_ms;
	w->plan.config_hash = arena_strdup(w->arena, w->app->blob);
	return 0;
}

enum planned {
	PLAN_SAID,
	PLAN_HELD,
	PLAN_LATER
};

/* Plan the deployment and say PLANNED or FAILURE; an enum planned, or -1. */
static int
deploy_plan(struct work *w, struct err *e)
{
	struct trigger *t = w->t;
	struct err why;
	int rv;

	if (w->conf != NULL) {
		w->n_plugins =
		    app_plugins(w->p, w->conf, &w->plugins, w->arena);
		if ((rv = vote_ask(w, &w->ballot, e)) != 1)
			return rv == 0 ? PLAN_LATER : -1;
	}
	rv = work_plan(w, &why);
	if (rv == -1 && w->asking)
		return PLAN_LATER;
	if (rv == -1) {
		if (why.exit == RC_TEMP && !w->p->filter) {
			/* Stays PENDING, and is tried again. */
			*e = why;
			return -1;
		}
		w->model.n_stages = 0;
		log_info(t->deployment_id,
		    "deployment planning failed app=%s "
		    "commit=%.7s: %s",
		    w->model.application_name, t->commit, why.text);
		return work_say(w, MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_FAILURE,
		    why.text, true, e);
	}
	if (t->tries == 0)
		log_info(t->deployment_id,
		    "deployment planned app=%s commit=%.7s stages=%zu: %s",
		    w->model.application_name, t->commit, w->n_stages,
		    w->model.summary);
	if (work_say(w, MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_PLANNED, "planned",
		true, &why) == 0)
		return PLAN_SAID;
	if (w->p->broken) {
		*e = why;
		return -1;
	}
	/* Its configuration is too large to be told. */
	w->model.n_stages = w->model.n_deploy_targets_by_plugin = 0;
	return work_say(w, MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_FAILURE,
	    why.text, false, e);
}

static void
trigger_drop(struct plan *p, struct app *a)
{
	struct trigger *t = a->triggers;

	a->triggers = t->next;
	trigger_free(p, t);
}

/* Something unfinished, of another deployment: then ours waits. */
static bool
blocked(const struct plan *p, const struct app *a, const struct trigger *t)
{
	return !p->filter && past_unfinished(&a->past) &&
	       strcmp(a->past.deployment_id, t->deployment_id) != 0;
}

/* After saying it: forget it, or say it again until exec shows it. */
static int
deploy_said(struct plan *p, struct app *a, struct trigger *t, struct err *e)
{
	int64_t wait;

	t->planned = true;
	t->tries++;
	a->held[0] = '\0';
	if (t->command != NULL && t->tries == 1 &&
	    command_answer(p, t->command, t->deployment_id, NULL, e) == -1)
		return -1;
	if (p->filter) {
		trigger_drop(p, a);
		return 0;
	}
	if (t->tries >= TRIES_MAX) {
		log_warn(t->deployment_id,
		    "deployment said %d times, exec does not show it",
		    t->tries);
		trigger_drop(p, a);
		return 0;
	}
	wait = 2000 << (t->tries < 6 ? t->tries - 1 : 6);
	t->again_ms = now_ms() + wait;
	return 0;
}

/* Held: nothing is deployed; what was announced before has an end. */
static int
deploy_held(struct work *w, struct err *e)
{
	if (w->t->announced &&
	    work_say(w, MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_FAILURE,
		"held: it would lose too many of its files", true, e) == -1)
		return -1;
	trigger_drop(w->p, w->app);
	return 0;
}

/* A platform's answer to describe makes it due again. */
static int
deploy_later(struct trigger *t)
{
	t->asking = true;
	t->again_ms = now_ms() + 10000;
	return 0;
}

/* Its commit has vanished: say so to who waits for it. */
static int
deploy_lost(struct work *w, struct err *e)
{
	static const char why[] =
	    "its commit is not in the repository any more";
	struct trigger *t = w->t;

	log_warn(t->deployment_id,
	    "deployment dropped: commit %.8s of repo %s has vanished",
	    t->commit, w->app->repo->conf->id);
	if (t->resume != NULL &&
	    work_say(w, MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_FAILURE, why,
		false, e) == -1)
		return -1;
	if (t->command != NULL &&
	    command_answer(w->p, t->command, NULL, why, e) == -1)
		return -1;
	trigger_drop(w->p, w->app);
	return 0;
}

static int
deploy_one(struct plan *p, struct pass *s, struct app *a, struct trigger *t,
    bool first, struct err *e)
{
	struct work w = { .p = p, .pass = s, .app = a, .t = t };
	int rv;

	if (t->announced && (!first || now_ms() < t->again_ms))
		return 0;
	if (t->announced && blocked(p, a, t)) {
		/* Its predecessor's end makes it due, no clock. */
		t->again_ms = 0;
		return 0;
	}
	arena_reset(p->work);
	w.arena = p->work;
	if ((rv = work_open(&w, e)) == -1)
		return -1;
	if (rv == 0)
		return deploy_lost(&w, e);
	work_model(&w);
	if (work_running(&w, e) == -1)
		return -1;
	rv = w.conf == NULL || t->resume != NULL ? 0 : held_check(&w, e);
	if (rv == -1)
		return w.asking ? deploy_later(t) : -1;
	if (rv == 1)
		return deploy_held(&w, e);
	if (!t->announced) {
		/* A control plane makes the chain at its first deployment. */
		if (w.conf != NULL && p->conf.api_address != NULL)
			work_chain(&w);
		if (work_say(&w, MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_PENDING,
			"waiting to be planned", w.plan.n_chain > 0, e) == -1)
			return -1;
		t->announced = true;
	}
	if (!first || blocked(p, a, t))
		return 0;
	t->again_ms = now_ms() + 10000; /* should planning break off */
	if ((rv = deploy_plan(&w, e)) == -1)
		return -1;
	if (rv == PLAN_LATER && w.asking)
		return deploy_later(t);
	if (rv == PLAN_LATER) {
		/* The vote's end makes it due, or has already. */
		if (t->vote != NULL && votes_pending(p))
			t->again_ms = 0;
		return 0;
	}
	return deploy_said(p, a, t, e);
}

int
deploy_next(struct plan *p, struct pass *s, struct app *a, struct err *e)
{
	struct trigger *t, *next;
	bool first = true;

	for (t = a->triggers; t != NULL; t = next) {
		next = t->next;
		if (deploy_one(p, s, a, t, first, e) == -1)
			return -1;
		first = a->triggers == next;
	}
	return 0;
}
