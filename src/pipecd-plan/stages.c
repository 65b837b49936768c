/* stages.c - the stages of one deployment, forward and back. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "confdef.h"
#include "plan.h"

enum {
	STAGE_TIMEOUT_MS = 6 * 60 * 60 * 1000
}; /* PipeCD's, where none is given */

struct stage {
	Model__PipelineStage *model;
	Frame__StagePlan *step;
};

static struct stage
stage_push(struct work *w, const char *id, const char *name,
    const char *program, bool rollback)
{
	struct stage s;
	size_t cap;
	void *grown;
	size_t i;

	if (w->n_stages == w->cap_stages) {
		cap = w->cap_stages == 0 ? 8 : w->cap_stages * 2;
		grown = arena_array(w->arena, Model__PipelineStage *, cap);
		if (w->n_stages > 0)
			memcpy(
			    grown, w->stages, w->n_stages * sizeof(*w->stages));
		w->stages = grown;
		grown = arena_array(w->arena, Frame__StagePlan *, cap);
		if (w->n_stages > 0)
			memcpy(
			    grown, w->steps, w->n_stages * sizeof(*w->steps));
		w->steps = grown;
		w->cap_stages = cap;
	}
	s.model = arena_new_of(w->arena, Model__PipelineStage);
	model__pipeline_stage__init(s.model);
	s.model->id = arena_strdup(w->arena, id);
	s.model->name = arena_strdup(w->arena, name);
	s.model->index = (int32_t)w->n_stages;
	s.model->visible = !rollback;
	s.model->rollback = rollback;
	s.model->status = MODEL__STAGE_STATUS__STAGE_NOT_STARTED_YET;
	s.model->created_at = w->t->at;
	s.model->updated_at = w->t->at;
	s.model->available_operation =
	    MODEL__MANUAL_OPERATION__MANUAL_OPERATION_NONE;
	s.step = arena_new_of(w->arena, Frame__StagePlan);
	frame__stage_plan__init(s.step);
	s.step->id = s.model->id;
	s.step->program = arena_strdup(w->arena, program);
	for (i = 0; i < w->n_plugins; i++)
		if (strcmp(w->plugins[i]->conf->name, program) == 0 &&
		    w->plugins[i]->says != NULL &&
		    w->plugins[i]->says->resident)
			s.step->has_resident = s.step->resident = true;
	w->stages[w->n_stages] = s.model;
	w->steps[w->n_stages++] = s.step;
	return s;
}

static void
stage_meta(
    struct work *w, Model__PipelineStage *s, const char *key, const char *value)
{
	Model__PipelineStage__MetadataEntry **list;

	list = arena_array(
	    w->arena, Model__PipelineStage__MetadataEntry *, s->n_metadata + 1);
	if (s->n_metadata > 0)
		memcpy(list, s->metadata, s->n_metadata * sizeof(*list));
	list[s->n_metadata] =
	    arena_new_of(w->arena, Model__PipelineStage__MetadataEntry);
	model__pipeline_stage__metadata_entry__init(list[s->n_metadata]);
	list[s->n_metadata]->key = arena_strdup(w->arena, key);
	list[s->n_metadata]->value = arena_strdup(w->arena, value);
	s->metadata = list;
	s->n_metadata++;
}

static void
stage_config(struct work *w, struct stage *s, const char *json)
{
	if (json == NULL)
		return;
	s->step->config = arena_new_of(w->arena, Frame__Json);
	frame__json__init(s->step->config);
	s->step->config->text = arena_strdup(w->arena, json);
}

/* --- ids ------------------------------------------------------------------ */

/*
 * PipeCD's predefined id of a quick stage: TERRAFORM_SYNC is TerraformSync,
 * K8S_SYNC is K8sSync, and ECS_SYNC is ECSSync.
 */
static const char *
predefined_id(struct work *w, const char *name)
{
	char *id = arena_strdup(w->arena, name), *to = id;
	const char *from = name;
	bool start = true;

	if (strcmp(name, "ECS_SYNC") == 0)
		return "ECSSync";
	if (strcmp(name, "CLOUDRUN_SYNC") == 0)
		return "CloudRunSync";
	for (; *from != '\0'; from++) {
		if (*from == '_') {
			start = true;
			continue;
		}
		*to++ = (char)(start ? toupper((unsigned char)*from)
				     : tolower((unsigned char)*from));
		start = false;
	}
	*to = '\0';
	return id;
}

static bool
id_taken(const struct work *w, const char *id)
{
	size_t i;

	for (i = 0; i < w->n_stages; i++) {
		if (strcmp(w->stages[i]->id, id) == 0)
			return true;
	}
	return false;
}

/* --- quick ---------------------------------------------------------------- */

int
stages_quick(struct work *w, struct err *e)
{
	const Frame__Platform *says;
	const Frame__StageDef *def;
	struct stage s;
	const char *id;
	size_t i;

	if (w->n_plugins == 0)
		return err_set(e, RC_PERM,
		    "%s: spec.plugins: no plugin specified, and no pipeline "
		    "whose stages would say one",
		    w->config_path);
	for (i = 0; i < w->n_plugins; i++) {
		if ((says = platform_ask(w, w->plugins[i], e)) == NULL)
			return -1;
		if ((def = platform_stage(says, false, true)) == NULL)
			continue;
		id = predefined_id(w, def->name);
		if (id_taken(w, id))
			id = arena_printf(
			    w->arena, "%s-%s", id, w->plugins[i]->conf->name);
		s = stage_push(
		    w, id, def->name, w->plugins[i]->conf->name, false);
		s.model->predefined = true;
		if (def->desc != NULL)
			s.model->desc = def->desc;
		if (w->n_stages > 1) {
			s.model->requires = arena_array(w->arena, char *, 1);
			s.model->requires[0] = w->stages[w->n_stages - 2]->id;
			s.model->n_requires = 1;
		}
		s.step->has_timeout_ms = true;
		s.step->timeout_ms = STAGE_TIMEOUT_MS;
	}
	if (w->n_stages == 0)
		return err_set(e, RC_PERM,
		    "%s: plugin %s has no quick sync stage: write "
		    "spec.pipeline",
		    w->config_path, w->plugins[0]->conf->name);
	return 0;
}

/* --- pipeline ------------------------------------------------------------- */

static int
approvers(struct work *w, struct stage *s, const char *with, struct err *e)
{
	struct conf_wait_approval c = { 0 };
	struct buf b = BUF_INIT;
	size_t i;

	if (conf_json_read(CONF_wait_approval, &c, s->model->name,
		with != NULL ? with : "{}", w->arena, e) == -1)
		return -1;
	s->model->authorized_operators =
	    arena_array(w->arena, char *, c.n_approvers);
	s->model->n_authorized_operators = c.n_approvers;
	for (i = 0; i < c.n_approvers; i++) {
		buf_printf(&b, "%s%s", i > 0 ? "," : "", c.approvers[i]);
		s->model->authorized_operators[i] =
		    arena_strdup(w->arena, c.approvers[i]);
	}
	stage_meta(w, s->model, "Approvers", b.p);
	s->model->available_operation =
	    MODEL__MANUAL_OPERATION__MANUAL_OPERATION_APPROVE;
	buf_free(&b);
	return 0;
}

/* Why skipOn leaves the stage out; NULL when it does not. */
static int
skipped(
    struct work *w, const struct conf_stage *c, const char **why, struct err *e)
{
	const struct conf_skip *k = &c->skip_on;
	const char *running = w->app->past.running;
	const char *const *paths;
	size_t i, n;
	int rv;

	*why = NULL;
	/* In v0 a first deployment skips nothing. */
	if (running[0] == '\0' && !w->conf->v1)
		return 0;
	for (i = 0; i < k->n_commit_message_prefixes; i++) {
		if (!str_prefix(
			w->commit.message, k->commit_message_prefixes[i]))
			continue;
		*why = arena_printf(w->arena,
		    "skipOn: the commit message begins with \"%s\"",
		    k->commit_message_prefixes[i]);
		return 0;
	}
	if (running[0] == '\0' || k->n_paths == 0)
		return 0;
	rv = pass_changed(w->pass, running, w->t->commit, &paths, &n, e);
	if (rv != 1)
		return rv;
	for (i = 0; i < n; i++) {
		if (!git_match(k->paths, k->n_paths, paths[i]))
			return 0;
	}
	if (n > 0)
		*why = "skipOn: all changed files match its paths";
	return 0;
}

/* What there is, for who asked for what there is not. */
static int
unknown_stage(
    struct work *w, const struct conf_stage *c, size_t i, struct err *e)
{
	const Frame__Platform *says;
	struct buf b = BUF_INIT;
	size_t j, k;

	for (j = 0; j < w->n_plugins; j++) {
		says = w->plugins[j]->says;
		for (k = 0; says != NULL && k < says->n_stages; k++) {
			if (!says->stages[k]->rollback)
				buf_printf(&b, "%s, ", says->stages[k]->name);
		}
	}
	err_set(e, RC_PERM,
	    "%s:%d: spec.pipeline.stages[%zu]: %s: no such stage; there are "
	    "%sWAIT, WAIT_APPROVAL, SCRIPT_RUN, CUSTOM_SYNC",
	    w->config_path, c->line, i, c->name != NULL ? c->name : "(no name)",
	    b.p);
	buf_free(&b);
	return -1;
}

static int
pipeline_stage(
    struct work *w, const struct conf_stage *c, size_t i, struct err *e)
{
	struct platform *owner = NULL;
	const char *program, *id, *why;
	struct stage s;
	int rv;

	rv = c->name == NULL
		 ? 0
		 : platform_of_stage(w, c->name, &owner, &program, e);
	if (rv == -1)
		return -1;
	if (rv == 0)
		return unknown_stage(w, c, i, e);
	id = c->id != NULL && c->id[0] != '\0'
		 ? c->id
		 : arena_printf(w->arena, "stage-%zu", i);
	if (id_taken(w, id))
		return err_set(e, RC_PERM,
		    "%s:%d: spec.pipeline.stages[%zu]: id %s is taken by an "
		    "earlier stage",
		    w->config_path, c->line, i, id);
	s = stage_push(w, id, c->name, program, false);
	if (c->desc != NULL)
		s.model->desc = arena_strdup(w->arena, c->desc);
	if (w->n_stages > 1) {
		s.model->requires = arena_array(w->arena, char *, 1);
		s.model->requires[0] = w->stages[w->n_stages - 2]->id;
		s.model->n_requires = 1;
	}
	stage_config(w, &s, c->with);
	s.step->has_timeout_ms = true;
	s.step->timeout_ms =
	    c->timeout_ms > 0 ? c->timeout_ms : STAGE_TIMEOUT_MS;
	if (strcmp(c->name, "WAIT_APPROVAL") == 0 &&
	    approvers(w, &s, c->with, e) == -1)
		return err_wrap(e, "%s:%d", w->config_path, c->line);
	if (skipped(w, c, &why, e) == -1)
		return -1;
	if (why != NULL)
		s.step->skip = arena_strdup(w->arena, why);
	return 0;
}

int
stages_pipeline(struct work *w, struct err *e)
{
	size_t i;

	for (i = 0; i < w->conf->n_stages; i++) {
		if (pipeline_stage(w, &w->conf->stages[i], i, e) == -1)
			return -1;
	}
	return 0;
}

/* --- back ----------------------------------------------------------------- */

static const struct conf_stage *
only_custom_sync(const struct conf_app *c)
{
	if (c == NULL || c->n_stages != 1 || c->stages[0].name == NULL ||
	    strcmp(c->stages[0].name, "CUSTOM_SYNC") != 0)
		return NULL;
	return &c->stages[0];
}

static bool
has_custom_sync(const struct work *w)
{
	size_t i;

	for (i = 0; i < w->n_stages; i++) {
		if (strcmp(w->stages[i]->name, "CUSTOM_SYNC") == 0)
			return true;
	}
	return false;
}

/* The script of the commit that runs, where that was nothing but a script. */
static void
custom_sync_rollback(struct work *w)
{
	const struct conf_stage *c = only_custom_sync(w->running);
	struct stage s;

	s = stage_push(
	    w, "CustomSyncRollback", "CUSTOM_SYNC_ROLLBACK", "script", true);
	s.model->predefined = true;
	if (c != NULL)
		stage_config(w, &s, c->with);
}

static int
script_rollback(struct work *w, size_t i, struct err *e)
{
	struct conf_script_run c = { 0 };
	struct stage s;
	const char *with, *base = w->stages[i]->id;

	with = w->steps[i]->config != NULL ? w->steps[i]->config->text : "{}";
	if (conf_json_read(
		CONF_script_run, &c, "SCRIPT_RUN", with, w->arena, e) == -1)
		return -1;
	if (c.on_rollback == NULL || c.on_rollback[0] == '\0')
		return 0;
	s = stage_push(w, arena_printf(w->arena, "ScriptRunRollback-%s", base),
	    "SCRIPT_RUN_ROLLBACK", "script", true);
	s.model->predefined = true;
	stage_config(w, &s, with);
	s.step->base_stage = arena_strdup(w->arena, base);
	stage_meta(w, s.model, "baseStageId", base);
	return 0;
}

static int
platform_rollback(struct work *w, struct platform *k, struct err *e)
{
	const Frame__Platform *says = platform_ask(w, k, e);
	const Frame__StageDef *def;
	const char *id = "Rollback";
	struct stage s;

	if (says == NULL)
		return -1;
	if ((def = platform_stage(says, true, false)) == NULL)
		return 0;
	if (id_taken(w, id))
		id = arena_printf(w->arena, "Rollback-%s", k->conf->name);
	s = stage_push(w, id, def->name, k->conf->name, true);
	s.model->predefined = true;
	if (def->desc != NULL)
		s.model->desc = def->desc;
	return 0;
}

int
stages_rollback(struct work *w, struct err *e)
{
	size_t i, n = w->n_stages;

	if (!w->conf->auto_rollback)
		return 0;
	if (has_custom_sync(w))
		custom_sync_rollback(w);
	else {
		for (i = 0; i < w->n_plugins; i++) {
			if (platform_rollback(w, w->plugins[i], e) == -1)
				return -1;
		}
	}
	for (i = 0; i < n; i++) {
		if (strcmp(w->stages[i]->name, "SCRIPT_RUN") == 0 &&
		    script_rollback(w, i, e) == -1)
			return -1;
	}
	return 0;
}
