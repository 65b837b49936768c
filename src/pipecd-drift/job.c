#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "drift.h"

static void
job_word(struct job *j, Model__ApplicationSyncStatus status, const char *brief,
    const char *reason)
{
	j->status = status;
	j->n_targets = 1;
	buf_reset(&j->brief);
	buf_adds(&j->brief, brief);
	buf_reset(&j->reason);
	buf_adds(&j->reason, reason);
}

static void
job_over(struct drift *d, struct job *j)
{
	struct app *a = j->app;
	struct err e = { 0 };

	must(!j->over);
	j->over = true;
	j->k->n_jobs--;
	tree_release(d, j);
	if (++a->n_over == a->n_jobs && app_judge(d, a, &e) == -1)
		log_warn(a->id, "%s", e.text);
}

void
job_fail(struct drift *d, struct job *j, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	job_word(j, MODEL__APPLICATION_SYNC_STATUS__UNKNOWN, text, "");
	job_over(d, j);
}

void
job_free(struct drift *d, struct job *j)
{
	tree_release(d, j);
	buf_free(&j->objects);
	buf_free(&j->brief);
	buf_free(&j->reason);
	buf_free(&j->changed);
	if (j->out_dir != NULL)
		(void)tree_remove(j->out_dir, &(struct err){ 0 });
	free(j->out_dir);
}

/* Look at an application: one job for each platform that it is on. */
int
job_begin(struct drift *d, struct app *a, struct err *e)
{
	struct arena *ar = arena_new();
	struct frame f;
	size_t i, n;

	a->due_ms = INT64_MAX;
	if (a->line == NULL || a->gone || a->deploying || a->invalid != NULL) {
		arena_free(ar);
		return 0;
	}
	if (frame_parse(&f, a->line, a->len, ar, e) != 1 ||
	    f.kind != FRAME_app) {
		arena_free(ar);
		return -1;
	}
	n = f.u.app->n_plugins;
	if (n == 0) {
		arena_free(ar);
		return say_state(d, a, MODEL__APPLICATION_SYNC_STATUS__UNKNOWN,
		    "it names no platform of this agent", "", NULL, 0, e);
	}
	a->jobs = xcalloc(n, sizeof(*a->jobs));
	a->n_jobs = n;
	a->n_over = 0;
	a->job_gen = a->gen;
	d->n_jobs += n;
	for (i = 0; i < n; i++) {
		a->jobs[i] = (struct job){
			.app = a,
			.part = i,
			.k = platform_get(d, f.u.app->plugins[i]->plugin),
			.objects = BUF_INIT,
			.brief = BUF_INIT,
			.reason = BUF_INIT,
			.changed = BUF_INIT,
		};
		a->jobs[i].k->n_jobs++;
	}
	/* The last step of the last job frees them all. */
	for (i = 0; i < n && a->jobs != NULL; i++)
		job_step(d, &a->jobs[i]);
	arena_free(ar);
	return 0;
}

/* Put a job where it waits for its next step. */
void
job_step(struct drift *d, struct job *j)
{
	struct platform *k = j->k;

	if (!k->known && k->broken != NULL && now_ms() < k->retry_ms) {
		job_fail(d, j, "%s", k->broken);
		return;
	}
	if (!k->known) {
		TAILQ_INSERT_TAIL(&k->queue[VERB_DESCRIBE], j, next);
		return;
	}
	if (!k->source && !j->rendered && j->root == NULL)
		j->rendered = objects_there(d, j);
	if ((k->source || !j->rendered) && j->root == NULL)
		TAILQ_INSERT_TAIL(&d->trees, j, next);
	else if (!k->source && !j->rendered)
		TAILQ_INSERT_TAIL(&k->queue[VERB_RENDER], j, next);
	else
		TAILQ_INSERT_TAIL(&k->queue[VERB_LIVE], j, next);
}

/* --- asking --------------------------------------------------------------- */

static void
ask_checkout(
    const Frame__App *m, struct job *j, struct frame *f, struct arena *ar)
{
	Frame__Checkout *c = arena_new_of(ar, Frame__Checkout);
	const Model__ApplicationGitPath *g = m->application->git_path;

	frame__checkout__init(c);
	c->repo = g->repo->id;
	c->commit = j->app->commit;
	c->path = g->path;
	c->config_filename = g->config_filename;
	c->application_id = j->app->id;
	/* A platform that keeps opened values compares them too. */
	c->has_secrets = c->secrets = true;
	c->n_readers = 1;
	c->readers = arena_new_of(ar, char *);
	c->readers[0] = arena_strdup(ar, j->k->name);
	f->kind = FRAME_checkout;
	f->u.checkout = c;
}

static int
ask_render(struct drift *d, const Frame__App *m, struct job *j, struct frame *f,
    struct arena *ar, struct err *e)
{
	Frame__RenderStart *r = arena_new_of(ar, Frame__RenderStart);
	Frame__PluginPlan *p = m->plugins[j->part];

	frame__render_start__init(r);
	free(j->out_dir);
	j->out_dir = xstrdup(arena_printf(
	    ar, "%s/%llu", d->work_dir, (unsigned long long)d->asked));
	if (dir_make(j->out_dir, 0700, e) == -1 ||
	    share_all(d->work_dir, e) == -1 ||
	    share_with(j->out_dir, &(const char *const){ j->k->name }, 1, 7,
		true, e) == -1)
		return -1;
	r->application = m->application;
	r->commit = j->app->commit;
	r->app_config = p->config;
	r->root = j->root;
	r->dir = j->dir;
	r->out_dir = j->out_dir;
	r->targets = p->targets;
	r->n_targets = p->n_targets;
	r->config_filename = m->application->git_path->config_filename;
	buf_reset(&j->objects);
	f->kind = FRAME_render_start;
	f->u.render_start = r;
	return 0;
}

static void
ask_live(struct drift *d, const Frame__App *m, struct job *j, struct frame *f,
    struct arena *ar)
{
	Frame__LiveStart *l = arena_new_of(ar, Frame__LiveStart);
	Frame__PluginPlan *p = m->plugins[j->part];

	frame__live_start__init(l);
	l->application = m->application;
	l->commit = j->app->commit;
	l->app_config = p->config;
	l->root = j->root;
	l->dir = j->dir;
	l->targets = p->targets;
	l->n_targets = p->n_targets;
	l->config_filename = m->application->git_path->config_filename;
	if (j->rendered)
		l->objects = objects_path(d, j, ar);
	j->heard = false;
	j->n_targets = 0;
	buf_reset(&j->changed);
	f->kind = FRAME_live_start;
	f->u.live_start = l;
}

int
job_ask(struct drift *d, struct job *j, enum verb verb, struct buf *b,
    struct err *e)
{
	struct arena *ar = arena_new();
	struct frame app, f = { 0 };
	size_t at = b->len;
	int rv = -1;

	/* The application may have changed since the job began. */
	if (frame_parse(&app, j->app->line, j->app->len, ar, e) != 1)
		goto out;
	if (j->part >= app.u.app->n_plugins || j->app->gen != j->app->job_gen) {
		err_set(e, RC_TEMP, "its configuration changed meanwhile");
		goto out;
	}
	(void)snprintf(
	    j->id, sizeof(j->id), "d%llu", (unsigned long long)++d->asked);
	f.id = j->id;
	switch (verb) {
	case VERB_CHECKOUT:
		ask_checkout(app.u.app, j, &f, ar);
		break;
	case VERB_RENDER:
		if (ask_render(d, app.u.app, j, &f, ar, e) == -1)
			goto out;
		break;
	default:
		ask_live(d, app.u.app, j, &f, ar);
		break;
	}
	frame_write(b, &f);
	if (b->len - at > FRAME_MAX) {
		b->len = at;
		err_set(e, RC_PERM, "its configuration is too large");
		goto out;
	}
	rv = 0;
out:
	arena_free(ar);
	return rv;
}

/* --- answers -------------------------------------------------------------- */

static int
weight_of(Model__ApplicationSyncStatus s)
{
	return s == MODEL__APPLICATION_SYNC_STATUS__OUT_OF_SYNC ? 2
	       : s == MODEL__APPLICATION_SYNC_STATUS__SYNCED	? 0
								: 1;
}

/* One target's state, or the platform's over all of its targets. */
static void
hear_state(struct job *j, const Frame__AppState *m)
{
	const Model__ApplicationSyncState *s = m->sync_state;
	size_t i;

	for (i = 0; i < m->n_changed && j->changed.len < REASON_MAX; i++)
		if (strchr(m->changed[i], '\n') == NULL)
			buf_printf(&j->changed, "%s\n", m->changed[i]);
	if (!j->heard || weight_of(s->status) > weight_of(j->status)) {
		job_word(j, s->status, s->short_reason, "");
		j->n_targets = 0;
	} else if (weight_of(s->status) < weight_of(j->status)) {
		return;
	}
	j->heard = true;
	j->heard_again = j->shown;
	j->n_targets++;
	if (*s->reason == '\0' || j->reason.len >= REASON_MAX)
		return;
	if (m->target != NULL)
		buf_printf(&j->reason, "%s:\n", m->target);
	buf_adds(&j->reason, s->reason);
	if (j->reason.len > REASON_MAX) {
		for (j->reason.len = REASON_MAX;
		     j->reason.len > 0 &&
		     (j->reason.p[j->reason.len] & 0xc0) == 0x80;)
			j->reason.len--;
		j->reason.p[j->reason.len] = '\0';
		buf_adds(&j->reason, "\n... (cut)");
	}
	if (j->reason.p[j->reason.len - 1] != '\n')
		buf_addc(&j->reason, '\n');
}

static void
hear_object(struct job *j, const struct frame *f)
{
	struct frame plain = *f;

	plain.id = plain.re = NULL;
	if (j->objects.len < OBJECTS_MAX)
		frame_write(&j->objects, &plain);
}

int
job_answer(struct drift *d, struct proc *p, struct job *j,
    const struct frame *f, struct err *e)
{
	switch (f->kind) {
	case FRAME_ok:
		if (p->verb == VERB_CHECKOUT) {
			if (f->u.ok->root == NULL || f->u.ok->dir == NULL)
				return err_set(e, RC_TEMP,
				    "checkout answered without a directory");
			j->root = xstrdup(f->u.ok->root);
			j->dir = xstrdup(f->u.ok->dir);
			j->alone = f->u.ok->alone;
		}
		return 1;
	case FRAME_err:
		return err_set(e, RC_TEMP, "%s", f->u.err->text);
	case FRAME_object:
		if (p->verb == VERB_RENDER)
			hear_object(j, f);
		return 0;
	case FRAME_app_state:
		if (p->verb == VERB_LIVE)
			hear_state(j, f->u.app_state);
		return 0;
	case FRAME_live:
		if (p->verb == VERB_LIVE && !j->shown &&
		    j->app->gen == j->app->job_gen &&
		    say_live(d, j, f->u.live, e) == -1)
			return -1;
		return 0;
	default:
		return 0;
	}
}

/* A rendered application: keep its objects, forget its files. */
static int
render_done(struct drift *d, struct job *j, struct err *e)
{
	if (j->objects.len >= OBJECTS_MAX)
		return err_set(e, RC_PERM,
		    "render: more than %d MiB of object frames",
		    OBJECTS_MAX >> 20);
	if (tree_remove(j->out_dir, e) == -1)
		return -1;
	free(j->out_dir);
	j->out_dir = NULL;
	if (objects_write(d, j, e) == -1)
		return -1;
	buf_free(&j->objects);
	j->objects = (struct buf)BUF_INIT;
	j->rendered = true;
	tree_release(d, j);
	return 0;
}

/*
 * What differs is known by hashes: beside its source the platform can say in
 * which lines.
 */
static bool
lines_wanted(const struct job *j)
{
	return j->status == MODEL__APPLICATION_SYNC_STATUS__OUT_OF_SYNC &&
	       j->rendered && !j->shown && j->app->gen == j->app->job_gen;
}

static void
job_show(struct drift *d, struct job *j)
{
	j->shown = true;
	TAILQ_INSERT_TAIL(&d->trees, j, next);
}

void
job_done(struct drift *d, struct job *j, enum verb verb, const char *why)
{
	struct err e = { 0 };

	if (why == NULL && verb == VERB_RENDER && render_done(d, j, &e) == -1)
		why = e.text;
	if (why == NULL && verb == VERB_LIVE && !j->heard)
		why = "the platform said nothing about it";
	/* That it differs is known; only how could not be shown. */
	if (why != NULL && j->shown && !j->heard_again)
		job_over(d, j);
	/* A state that was said before things went wrong is not to be kept. */
	else if (why != NULL)
		job_fail(d, j, "%s%s",
		    verb == VERB_CHECKOUT ? "checkout: "
		    : verb == VERB_RENDER ? "render: "
					  : "",
		    why);
	else if (verb == VERB_LIVE && lines_wanted(j))
		job_show(d, j);
	else if (verb == VERB_LIVE)
		job_over(d, j);
	else
		job_step(d, j);
}
