#include "tf.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What TERRAFORM_PLAN tells later stages: the hash of all it would do. */
static const char meta_plan[] = "terraform-plan";
static const char meta_text[] = "terraform-plan-summary";
/* There once this deployment began to change anything. */
static const char meta_applied[] = "terraform-applied";

static int
open_side(struct work *w, struct run *r, bool forward, struct err *e)
{
	const Frame__StageStart *s = r->stage;

	w->app_id = s->deployment->application_id;
	w->app = s->deployment->application_name;
	return work_open(w, r, s->deployment->id,
	    forward ? s->app_config : s->running_config, s->targets,
	    s->n_targets, forward ? s->target_root : s->running_root,
	    forward ? s->target_dir : s->running_dir, e);
}

static int
cancelled(struct run *r, const char *doing)
{
	return stage_done(r, MODEL__STAGE_STATUS__STAGE_CANCELLED,
	    "cancelled while %s", doing);
}

/* Deletes more than a safety rule allows: 1 when it was held, and said so. */
static int
hold(struct work *w, const struct changes *c)
{
	int64_t percent = w->r->conf->prune_limit_percent;
	int64_t min = w->r->conf->prune_limit_min;
	int64_t n = (int64_t)c->n_destroyed;

	if (n == 0 || c->had == 0)
		return 0;
	if (n < c->had && (n < min || n * 100 <= percent * c->had))
		return 0;
	if (stage_confirmed(w->r))
		return 0;
	(void)stage_held(w->r,
	    arena_printf(w->r->arena,
		"the plan destroys %lld of %lld resources (limit %lld %%)",
		(long long)n, (long long)c->had, (long long)percent),
	    c->destroyed, c->n_destroyed,
	    "if this is wanted, set spec.confirm: true in the application's "
	    "config in this commit; otherwise restore the resources");
	return 1;
}

/* Plan into w->plan and read it.  TF_OK, TF_CANCELLED, or -1. */
static int
plan(struct work *w, struct changes *c, struct err *e)
{
	int rc;

	if ((rc = tf_plan(w, true, true, NULL, e)) == -1 || rc == TF_CANCELLED)
		return rc;
	if ((rc = tf_changes(w, c, e)) != TF_OK)
		return rc;
	stage_log(w->r, "INFO", "plan: %s", c->text);
	return TF_OK;
}

static int
prepare(struct work *w, struct changes *c, struct err *e)
{
	int rc = tf_init(w, e);

	return rc != TF_OK ? rc : plan(w, c, e);
}

/* Apply w->plan, having said before that things begin to change. */
static int
apply(struct work *w, bool *stale, struct err *e)
{
	stage_touches(w->r);
	stage_meta(w->r, meta_applied, "true", true);
	if (work_applied(w, e) == -1)
		return -1;
	return tf_apply(w, stale, e);
}

/* --- TERRAFORM_SYNC ---------------------------------------------------- */

static int
sync_commit(struct work *w, bool forward, struct err *e)
{
	struct changes c = { 0 };
	bool stale = false;
	int rc;

	if ((rc = prepare(w, &c, e)) == -1)
		return -1;
	if (rc == TF_CANCELLED)
		return cancelled(w->r, "planning");
	if (forward && hold(w, &c))
		return 0;
	if (c.none)
		return stage_done(w->r, MODEL__STAGE_STATUS__STAGE_SUCCESS,
		    "no changes: nothing to apply");
	if ((rc = apply(w, &stale, e)) == -1)
		return -1;
	if (rc == TF_CANCELLED)
		return cancelled(w->r, "applying");
	return stage_done(
	    w->r, MODEL__STAGE_STATUS__STAGE_SUCCESS, "applied: %s", c.text);
}

/* What brings the new commit; of its work nothing stays when it is done. */
static int
stage_forward(
    struct run *r, int (*go)(struct work *w, struct err *e), struct err *e)
{
	struct work w = { 0 };
	int rv;

	if ((rv = open_side(&w, r, true, e)) == 0)
		rv = go(&w, e);
	if (w.dir != NULL)
		(void)unlink(w.plan);
	if (rv == 0 && r->ok)
		work_remove(&w);
	work_close(&w);
	return rv;
}

static int
sync_forward(struct work *w, struct err *e)
{
	return sync_commit(w, true, e);
}

static int
stage_sync(struct run *r, struct err *e)
{
	return stage_forward(r, sync_forward, e);
}

/* --- TERRAFORM_PLAN ---------------------------------------------------- */

static int
plan_and_keep(struct work *w, bool exit_on_none, struct err *e)
{
	struct changes c = { 0 };
	int rc;

	if ((rc = prepare(w, &c, e)) == -1)
		return -1;
	if (rc == TF_CANCELLED)
		return cancelled(w->r, "planning");
	if (hold(w, &c))
		return 0;
	stage_meta(w->r, meta_plan, c.hash, true);
	stage_meta(w->r, meta_text, c.text, true);
	if (c.none && exit_on_none) {
		(void)unlink(w->plan);
		return stage_done(w->r, MODEL__STAGE_STATUS__STAGE_EXITED,
		    "no changes: the deployment ends here");
	}
	return stage_done(
	    w->r, MODEL__STAGE_STATUS__STAGE_SUCCESS, "%s", c.text);
}

static int
stage_plan(struct run *r, struct err *e)
{
	struct conf_terraform_plan c;
	struct work w = { 0 };
	int rv;

	if (conf_json_read(CONF_terraform_plan, &c, "TERRAFORM_PLAN: with",
		r->stage->config != NULL ? r->stage->config->text : "{}",
		r->arena, e) == -1)
		return -1;
	if ((rv = open_side(&w, r, true, e)) == 0)
		rv = plan_and_keep(&w, c.exit_on_no_changes, e);
	if (w.dir != NULL && (rv == -1 || !r->ok))
		(void)unlink(w.plan);
	work_close(&w);
	return rv;
}

/* --- TERRAFORM_APPLY --------------------------------------------------- */

/*
 * The saved plan is gone, or the state moved on since: what would be done now
 * must be what was shown.
 */
static int
plan_again(struct work *w, const char *why, const char *shown, struct err *e)
{
	const char *text = stage_meta_get(w->r, meta_text);
	struct changes c = { 0 };
	int rc;

	stage_log(w->r, "INFO", "%s: planning again", why);
	if ((rc = prepare(w, &c, e)) != TF_OK)
		return rc;
	if (shown == NULL)
		return hold(w, &c) ? 2 : TF_OK;
	if (strcmp(c.hash, shown) == 0) {
		stage_log(w->r, "INFO", "it is the plan that was shown");
		return TF_OK;
	}
	return err_set(e, RC_PERM,
	    "%s, and what would be done now (%s) is not what was shown (%s): "
	    "nothing was applied; start a new deployment to plan anew",
	    why, c.text, text != NULL ? text : "?");
}

static int
apply_shown(struct work *w, struct err *e)
{
	const char *shown = stage_meta_get(w->r, meta_plan);
	const char *text = stage_meta_get(w->r, meta_text);
	bool stale = false;
	int rc = TF_OK;

	if (shown == NULL)
		rc = plan_again(w, "no plan was shown before", NULL, e);
	else if (!work_has(w, "plan") || !work_has(w, "data"))
		rc = plan_again(w, "the saved plan is gone", shown, e);
	if (rc == TF_OK) {
		rc = apply(w, &stale, e);
		if (rc == -1 && stale && shown != NULL &&
		    (rc = plan_again(w, "the state changed since the plan",
			 shown, e)) == TF_OK)
			rc = apply(w, &stale, e);
	}
	if (rc == -1)
		return -1;
	if (w->r->done) /* held */
		return 0;
	if (rc == TF_CANCELLED)
		return cancelled(w->r, "applying");
	return stage_done(w->r, MODEL__STAGE_STATUS__STAGE_SUCCESS,
	    "applied: %s", text != NULL ? text : "the plan");
}

static int
stage_apply(struct run *r, struct err *e)
{
	return stage_forward(r, apply_shown, e);
}

/* --- TERRAFORM_ROLLBACK ------------------------------------------------ */

static bool
touched(struct run *r)
{
	struct err e;
	struct buf b = BUF_INIT;
	bool yes = stage_meta_get(r, meta_applied) != NULL;

	if (!yes && r->conf != NULL)
		yes = file_read(
			  arena_printf(r->arena, "%s/work/terraform/%s/applied",
			      r->conf->state_dir, r->stage->deployment->id),
			  16, &b, &e) == 1;
	buf_free(&b);
	return yes;
}

static int
stage_rollback(struct run *r, struct err *e)
{
	const Model__Deployment *d = r->stage->deployment;
	struct work w = { 0 };
	int rv;

	if (!touched(r))
		return stage_done(r, MODEL__STAGE_STATUS__STAGE_SUCCESS,
		    "nothing was applied: nothing to roll back");
	if (*d->running_commit_hash == '\0')
		return stage_needs_human(r,
		    "this was the first deployment of %s: there is no earlier "
		    "commit to go back to; look at the state, and push a "
		    "commit that works",
		    d->application_name);
	if ((rv = open_side(&w, r, false, e)) == 0)
		rv = sync_commit(&w, false, e);
	if (rv == -1)
		rv = stage_needs_human(r,
		    "could not go back to commit %.7s: %s; the state of %s is "
		    "between two commits, and may be locked",
		    d->running_commit_hash, e->text, d->application_name);
	work_remove(&w);
	work_close(&w);
	return rv;
}

int
tf_stage(struct run *r, struct err *e)
{
	static const struct {
		const char *name;
		int (*run)(struct run *r, struct err *e);
	} stages[] = {
		{ "TERRAFORM_SYNC", stage_sync },
		{ "TERRAFORM_PLAN", stage_plan },
		{ "TERRAFORM_APPLY", stage_apply },
		{ "TERRAFORM_ROLLBACK", stage_rollback },
	};
	const char *name = r->stage->stage->name;
	size_t i;

	/* v0 calls every platform's rollback so. */
	if (strcmp(name, "ROLLBACK") == 0)
		return stage_rollback(r, e);
	for (i = 0; i < NITEMS(stages); i++)
		if (strcmp(stages[i].name, name) == 0)
			return stages[i].run(r, e);
	return err_set(e, RC_PERM, "%s: no stage of this platform", name);
}
