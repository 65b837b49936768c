#include "tf.h"

#include <string.h>

enum {
	TEXT_MAX = 64 * 1024 /* of a plan in a frame */
};

/* From the first line that says what would be done; the rest is how it went. */
static const char *
essence(const struct run *r, const struct buf *b)
{
	struct arena *a = r->arena;
	static const char *const starts[] = { "Terraform used the selected",
		"OpenTofu used the selected", "Note: Objects have changed",
		"Changes to Outputs:", "Terraform will perform",
		"OpenTofu will perform", "No changes." };
	const char *s = NULL, *p;
	size_t i, n;

	for (i = 0; i < NITEMS(starts); i++)
		if ((p = strstr(b->p, starts[i])) != NULL &&
		    (s == NULL || p < s))
			s = p;
	if (s == NULL)
		s = b->p;
	n = strlen(s);
	s = arena_strndup(a, s, n > TEXT_MAX ? TEXT_MAX : n);
	return text_mask(r, a, text_clean(a, s, strlen(s)));
}

/* "Plan: 1 to add, 0 to change, 0 to destroy." as the tool says it. */
static const char *
summary(struct arena *a, const char *text)
{
	const char *s = strstr(text, "Plan: ");
	size_t n;

	if (s == NULL)
		return "outputs change";
	n = strcspn(s += 6, ".\n");
	return arena_strndup(a, s, n);
}

/* Look without touching: TF_OK, TF_CHANGES, TF_CANCELLED, -1. */
static int
look(struct work *w, struct buf *text, struct err *e)
{
	int rc;

	if ((rc = tf_init(w, e)) != TF_OK)
		return rc;
	return tf_plan(w, false, false, text, e);
}

static void
say_state(struct run *r, int rc, const struct buf *text, struct err *e)
{
	const Frame__LiveStart *s = r->live;
	Frame__AppState f = FRAME__APP_STATE__INIT;
	Model__ApplicationSyncState st;
	const char *body;

	model__application_sync_state__init(&st);
	st.timestamp = wall_s();
	if (rc == TF_OK) {
		st.status = MODEL__APPLICATION_SYNC_STATUS__SYNCED;
	} else if (rc == TF_CHANGES) {
		body = essence(r, text);
		st.status = MODEL__APPLICATION_SYNC_STATUS__OUT_OF_SYNC;
		st.short_reason =
		    arena_printf(r->arena, "Plan: %s", summary(r->arena, body));
		st.reason = arena_printf(r->arena,
		    "Diff between the defined state in Git at commit %.7s and "
		    "the actual state:\n\n%s",
		    s->commit, body);
	} else {
		st.short_reason =
		    arena_strdup(r->arena, "The actual state is unknown");
		st.reason =
		    arena_strdup(r->arena, rc == -1 ? e->text : "given up");
	}
	f.application_id = s->application->id;
	f.sync_state = &st;
	f.commit = s->commit;
	run_say(r, FRAME_OF(app_state, &f));
}

static void
say_live(struct run *r, struct work *w)
{
	Frame__Live f = FRAME__LIVE__INIT;
	Model__ApplicationLiveState st = MODEL__APPLICATION_LIVE_STATE__INIT;
	struct err e;

	if (tf_resources(w, &st.resources, &st.n_resources, &e) != TF_OK) {
		log_warn(r->live->application->id, "%s", e.text);
		return;
	}
	st.health_status = MODEL__APPLICATION_LIVE_STATE__STATUS__HEALTHY;
	f.application_id = r->live->application->id;
	f.application_live_state = &st;
	run_say(r, FRAME_OF(live, &f));
}

int
tf_live(struct run *r, struct err *e)
{
	const Frame__LiveStart *s = r->live;
	struct buf text = BUF_INIT;
	struct work w = { .app_id = s->application->id,
		.app = s->application->name };
	int rc;

	rc = work_open(&w, r,
	    arena_printf(r->arena, "live-%s", s->application->id),
	    s->app_config, s->targets, s->n_targets, s->root, s->dir, e);
	if (rc == 0 && !w.target.drift_detection_enabled)
		rc = err_set(e, RC_PERM,
		    "driftDetectionEnabled is false for deploy target %s",
		    w.target_name);
	if (rc == 0)
		rc = look(&w, &text, e);
	if (rc == TF_OK || rc == TF_CHANGES)
		say_live(r, &w);
	say_state(r, rc, &text, e);
	work_close(&w);
	buf_free(&text);
	return 0;
}

int
tf_preview(struct run *r, struct err *e)
{
	const Frame__PlanStart *s = r->plan;
	Frame__Preview f = FRAME__PREVIEW__INIT;
	struct buf text = BUF_INIT;
	struct work w = { .app_id = s->application->id,
		.app = s->application->name };
	int rc;

	rc = work_open(&w, r,
	    arena_printf(
		r->arena, "preview-%s-%.12s", s->application->id, s->commit),
	    s->app_config, s->targets, s->n_targets, s->target_root,
	    s->target_dir, e);
	if (rc == 0)
		rc = look(&w, &text, e);
	if (rc == TF_CANCELLED)
		rc = err_set(e, RC_TEMP, "cancelled");
	if (rc != -1) {
		const char *body = essence(r, &text);

		f.target = arena_strdup(r->arena, w.target_name);
		f.has_no_change = f.no_change = rc == TF_OK;
		f.summary = arena_strdup(r->arena,
		    rc == TF_OK ? "no changes" : summary(r->arena, body));
		f.text = arena_strdup(r->arena, body);
		f.language = arena_strdup(r->arena, "hcl");
		run_say(r, FRAME_OF(preview, &f));
	}
	work_remove(&w);
	work_close(&w);
	buf_free(&text);
	return rc == -1 ? -1 : 0;
}

/*
 * Which modules, at which versions.  Where there is a pipeline it is followed:
 * a quick sync would go around its approval of the plan.
 */
int
tf_vote(struct run *r, struct err *e)
{
	const Frame__PlanStart *s = r->plan;
	Frame__Vote f = FRAME__VOTE__INIT;
	struct hcl h;
	size_t i;

	if (s->target_dir == NULL)
		return err_set(
		    e, RC_PERM, "plan_start: field target_dir is missing");
	hcl_scan(&h, s->target_dir, r->arena);
	f.versions =
	    arena_array(r->arena, Model__ArtifactVersion *, h.n_modules + 1);
	for (i = 0; i < h.n_modules; i++) {
		Model__ArtifactVersion *v =
		    arena_new_of(r->arena, Model__ArtifactVersion);
		const struct hcl_module *m = &h.modules[i];

		/* A directory of the same commit has no version of its own. */
		if (m->source == NULL || m->source[0] == '.')
			continue;
		model__artifact_version__init(v);
		v->kind = MODEL__ARTIFACT_VERSION__KIND__TERRAFORM_MODULE;
		v->name = arena_strdup(r->arena, m->name);
		v->url = arena_strdup(r->arena, m->source);
		if (m->version != NULL)
			v->version = arena_strdup(r->arena, m->version);
		else if (strstr(m->source, "?ref=") != NULL)
			v->version = arena_strdup(
			    r->arena, strstr(m->source, "?ref=") + 5);
		f.versions[f.n_versions++] = v;
	}
	hcl_free(&h);
	f.has_strategy = true;
	f.strategy = MODEL__SYNC_STRATEGY__PIPELINE;
	f.summary =
	    arena_strdup(r->arena, "Terraform follows the pipeline always");
	run_say(r, FRAME_OF(vote, &f));
	return 0;
}
