#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exec.h"

/* --- applications and their queues ------------------------------------------
 */

struct app *
app_get(struct exec *x, const char *id)
{
	struct app *a = map_get(x->app, id);

	if (a == NULL) {
		a = xcalloc(1, sizeof(*a));
		a->id = xstrdup(id);
		map_put(x->app, id, a);
	}
	return a;
}

static struct deployment *
app_next(const struct app *a)
{
	struct deployment *d;

	for (d = a->queue; d != NULL && d->phase != PH_QUEUED; d = d->next)
		;
	return d;
}

/* Into the ring of those that have something to start, at its end. */
void
app_ready(struct exec *x, struct app *a)
{
	if (a->in_ready || a->running != NULL || app_next(a) == NULL)
		return;
	a->in_ready = true;
	a->next_ready = NULL;
	*x->ready_end = a;
	x->ready_end = &a->next_ready;
}

void
queue_add(struct exec *x, struct deployment *d)
{
	struct deployment **at = &d->app->queue;

	while (*at != NULL)
		at = &(*at)->next;
	d->next = NULL;
	*at = d;
	app_ready(x, d->app);
}

void
queue_drop(struct deployment *d)
{
	struct deployment **at = &d->app->queue;

	while (*at != NULL && *at != d)
		at = &(*at)->next;
	if (*at == d)
		*at = d->next;
	d->next = NULL;
}

struct deployment *
deployment_new(struct exec *x, const char *id, struct app *a)
{
	struct deployment *d = xcalloc(1, sizeof(*d));

	must(strlen(id) < sizeof(d->id));
	strcpy(d->id, id);
	d->app = a;
	d->stage = -1;
	journal_init(&d->j, id);
	map_put(x->by_id, id, d);
	return d;
}

void
deployment_clear(struct exec *x, struct deployment *d)
{
	size_t i;

	queue_drop(d);
	if (d->app->running == d)
		d->app->running = NULL;
	slot_free(x, d);
	for (i = 0; i < x->n_active; i++)
		if (x->active[i] == d) {
			x->active[i] = x->active[--x->n_active];
			break;
		}
	checkout_drop(x, d);
	journal_close(&d->j);
	journal_init(&d->j, d->id);
	arena_free(d->arena);
	d->arena = NULL;
	memset(&d->s, 0, sizeof(d->s));
	proc_free(d->proc);
	d->proc = NULL;
	free(d->reason);
	free(d->last_log);
	d->reason = d->last_log = NULL;
	d->stage = -1;
	d->why = WHY_NONE;
	d->human = d->rolling_back = d->resumed = d->exited = false;
	d->wake_at = 0;
}

void
deployment_free(struct exec *x, struct deployment *d)
{
	struct app *a = d->app;

	map_del(x->by_id, d->id);
	deployment_clear(x, d);
	journal_close(&d->j);
	free(d);
	app_ready(x, a);
}

int
deployment_load(struct exec *x, struct deployment *d, struct err *e)
{
	struct journal_reader r;
	char name[JOURNAL_NAME];
	int fd, rv = -1;

	if (journal_name(name, d->id, e) == -1 ||
	    journal_flush(&d->j, x->journal_fd, e) == -1)
		return -1;
	fd = openat(x->journal_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1)
		return err_sys(e, "open journal/%s", name);
	if (journal_reader_fd(&r, fd, name, e) == -1)
		return -1;
	arena_free(d->arena);
	d->arena = arena_new();
	journal_state_init(&d->s, d->arena);
	if (journal_replay(&d->s, &r, e) == -1)
		goto out;
	if (r.torn > 0)
		log_warn(d->id, "journal cut off line=%ld bytes=%lld", r.n,
		    (long long)r.torn);
	if (d->s.deployment == NULL || d->s.deployment->trigger == NULL ||
	    d->s.deployment->trigger->commit == NULL ||
	    d->s.deployment->git_path == NULL ||
	    d->s.deployment->git_path->repo == NULL) {
		err_set(e, RC_PERM, "journal/%s: holds no deployment", name);
		goto out;
	}
	journal_follow(&d->j, &r);
	rv = 0;
out:
	journal_reader_close(&r);
	return rv;
}

/* --- what is known of an application ----------------------------------------
 */

void
past_put(struct exec *x, const Model__Deployment *m, bool triggered)
{
	Frame__Past *p = apps_get(x->apps, m->application_id, x->turn);
	Frame__Past fresh = FRAME__PAST__INIT;

	if (p == NULL) {
		p = arena_new_of(x->turn, Frame__Past);
		*p = fresh;
	}
	p->application_id = m->application_id;
	p->repo = m->git_path->repo->id;
	p->path = m->git_path->path;
	p->config_filename = m->git_path->config_filename;
	p->name = m->application_name;
	if (triggered && deployment_shared(m, DEPLOYMENT_ROLLBACK_TO) == NULL) {
		p->triggered_commit = m->trigger->commit->hash;
		p->has_triggered_at = true;
		p->triggered_at = m->trigger->timestamp;
	}
	p->deployment_id = m->id;
	p->has_status = true;
	p->status = m->status;
	p->has_completed_at = true;
	p->completed_at = deployment_ended(m->status) ? m->completed_at : 0;
	if (m->status == D_(SUCCESS)) {
		p->running_commit = m->trigger->commit->hash;
		p->running_config_filename = m->git_path->config_filename;
	}
	past_said(x, p);
}

/* It is so from now on, here and for others. */
void
past_said(struct exec *x, const Frame__Past *p)
{
	struct frame f = { .kind = FRAME_past };

	apps_put(x->apps, p);
	f.u.past = msg_copy(p, x->turn);
	tell(x, &f);
	if (x->apps_at == 0)
		x->apps_at = now_ms() + APPS_LAZY_MS;
}

/* --- deployments that come ---------------------------------------------------
 */

bool
deployment_by_commit(const Model__Deployment *m, const Frame__Plan *plan)
{
	const char *hash = m->trigger->commit->hash;
	const char *parts[4];
	char id[UUID_LEN];

	if (m->deployment_chain_id[0] != '\0')
		return false;
	if (plan != NULL && plan->trigger_id != NULL)
		return strcmp(plan->trigger_id, hash) == 0;
	parts[0] = "deployment";
	parts[1] = m->application_id;
	parts[2] = parts[3] = hash;
	uuid5(id, parts, 4);
	return strcmp(id, m->id) == 0;
}

static void
ended_count(struct exec *x, const struct deployment *d,
    Model__DeploymentStatus st, bool superseded)
{
	if (!d->ours)
		return;
	x->ended++;
	x->failed += st != D_(SUCCESS) && !superseded;
}

int
deployment_cancel_queued(struct exec *x, struct deployment *d,
    const char *reason, bool superseded, struct err *e)
{
	Frame__Deployment fd = FRAME__DEPLOYMENT__INIT;
	Model__Deployment *m;
	Frame__Past *p;

	if (d->arena == NULL && deployment_load(x, d, e) == -1)
		return -1;
	m = fd.deployment = d->s.deployment;
	m->status = D_(CANCELLED);
	m->status_reason = arena_strdup(d->arena, reason);
	m->completed_at = m->updated_at = wall_s();
	record(x, d, FRAME_OF(deployment, &fd), true);
	log_info(d->id, "deployment CANCELLED app=%s reason=\"%s\"",
	    m->application_name, reason);
	p = apps_get(x->apps, m->application_id, x->turn);
	if (!superseded || (p != NULL && p->deployment_id != NULL &&
			       strcmp(p->deployment_id, m->id) == 0))
		past_put(x, m, !superseded);
	queue_drop(d);
	d->phase = PH_ENDED;
	ended_count(x, d, m->status, superseded);
	chain_member_ended(x, m);
	return 0;
}

/* What a newer commit makes needless ends here. */
static void
supersede(struct exec *x, struct app *a, const Model__Deployment *newer)
{
	struct deployment *d, *next;
	char reason[160];
	struct err e;

	for (d = a->queue; d != NULL; d = next) {
		next = d->next;
		if (!d->on_commit || d->phase > PH_QUEUED ||
		    strcmp(d->commit, newer->trigger->commit->hash) == 0)
			continue;
		(void)snprintf(reason, sizeof(reason),
		    "superseded by deployment %s (commit %.7s)", newer->id,
		    newer->trigger->commit->hash);
		if (deployment_cancel_queued(x, d, reason, true, &e) == -1)
			log_warn(d->id, "cannot supersede it: %s", e.text);
	}
}

int
deployment_check(
    const Model__Deployment *m, const Frame__Plan *plan, struct err *e)
{
	char name[JOURNAL_NAME];
	size_t i, k;

	if (journal_name(name, m->id, e) == -1)
		return -1;
	if (m->application_id[0] == '\0' ||
	    strchr(m->application_id, '/') != NULL ||
	    m->application_id[0] == '.' || strlen(m->application_id) > 200)
		return err_set(e, RC_PERM,
		    "application_id \"%.80s\" cannot be a file name",
		    m->application_id);
	if (m->trigger == NULL || m->trigger->commit == NULL ||
	    m->git_path == NULL || m->git_path->repo == NULL)
		return err_set(
		    e, RC_PERM, "trigger, commit or git_path is missing");
	if (m->status == D_(PLANNED) && plan == NULL)
		return err_set(e, RC_PERM, "PLANNED without a plan");
	if (plan == NULL || deployment_ended(m->status))
		return 0;
	for (i = 0; i < m->n_stages; i++) {
		for (k = 0; k < plan->n_stages; k++)
			if (strcmp(plan->stages[k]->id, m->stages[i]->id) == 0)
				break;
		if (k == plan->n_stages)
			return err_set(e, RC_PERM,
			    "stage %s is not in the plan", m->stages[i]->id);
		for (k = 0; k < i; k++)
			if (strcmp(m->stages[k]->id, m->stages[i]->id) == 0)
				return err_set(e, RC_PERM,
				    "two stages have the id %s",
				    m->stages[i]->id);
	}
	return 0;
}

void
deployment_ended_before(
    struct exec *x, struct deployment *d, const Model__Deployment *m)
{
	log_info(d->id, "deployment %s app=%s reason=\"%s\"",
	    msg_enum_name(&model__deployment_status__descriptor, (int)m->status,
		MSG_FRAME),
	    m->application_name, m->status_reason);
	past_put(x, m, true);
	queue_drop(d);
	d->phase = PH_ENDED;
	ended_count(x, d, m->status, false);
	chain_member_ended(x, m);
}

static struct deployment *
take(struct exec *x, const Model__Deployment *m, const Frame__Plan *plan)
{
	struct app *a = app_get(x, m->application_id);
	struct deployment *d = deployment_new(x, m->id, a);

	d->ours = true;
	(void)snprintf(
	    d->commit, sizeof(d->commit), "%s", m->trigger->commit->hash);
	d->on_commit = deployment_by_commit(m, plan);
	if (d->on_commit)
		supersede(x, a, m);
	queue_add(x, d);
	return d;
}

static int
intake_deployment(struct exec *x, const struct frame *f, const char *line,
    size_t len, struct err *e)
{
	const Model__Deployment *m = f->u.deployment->deployment;
	struct deployment *d;
	char name[JOURNAL_NAME];

	if (deployment_check(m, f->u.deployment->plan, e) == -1)
		return err_wrap(e, "deployment %s", m->id);
	if (m->status == D_(RUNNING) || m->status == D_(ROLLING_BACK))
		return 0; /* nobody but us says that */
	(void)journal_name(name, m->id, e);
	d = map_get(x->by_id, m->id);
	if (d == NULL) {
		if (faccessat(x->journal_fd, name, F_OK, 0) == 0) {
			log_debug(m->id, "deployment known already");
			return 0;
		}
		d = take(x, m, f->u.deployment->plan);
	} else if (d->phase != PH_PENDING || m->status == D_(PENDING)) {
		d->ours = true;
		return 0; /* a repetition */
	}
	record_line(x, d, f, line, len, true);
	if (m->status == D_(PENDING))
		return 0;
	if (deployment_ended(m->status)) {
		deployment_ended_before(x, d, m);
		return 0;
	}
	d->phase = PH_QUEUED;
	past_put(x, m, true);
	app_ready(x, d->app);
	return 0;
}

/* --- applications that come --------------------------------------------------
 */

static void
strings_free(char **s)
{
	size_t i;

	for (i = 0; s != NULL && s[i] != NULL; i++)
		free(s[i]);
	free(s);
}

void
apps_free(struct exec *x)
{
	const char *id;
	size_t i = 0;
	void *v;

	while (map_next(x->app, &i, &id, &v)) {
		struct app *a = v;

		strings_free(a->labels);
		free(a->name);
		free(a->id);
		free(a);
	}
	map_free(x->app);
	for (i = 0; x->given != NULL && map_next(x->given, &i, &id, &v);)
		free(v);
	map_free(x->given);
}

static void
intake_app(struct exec *x, const Frame__App *f)
{
	const Model__Application *m = f->application;
	struct deployment *d, *next;
	struct buf b = BUF_INIT;
	struct app *a;
	struct err e;
	size_t i;

	if (f->unregistered || m->id[0] == '\0')
		return; /* what nobody registered is none of ours */
	app_registered(x, m, f->commit == NULL && !f->gone);
	a = app_get(x, m->id);
	if (a->name == NULL || strcmp(a->name, m->name) != 0) {
		free(a->name);
		a->name = xstrdup(m->name);
	}
	a->kind = (int)m->kind;
	a->known = true;
	a->gone = f->gone || m->disabled || m->deleted;
	strings_free(a->labels);
	a->labels = NULL;
	if (m->n_labels > 0)
		a->labels = xcalloc(m->n_labels + 1, sizeof(*a->labels));
	for (i = 0; i < m->n_labels; i++) {
		buf_reset(&b);
		buf_printf(&b, "%s=%s", m->labels[i]->key, m->labels[i]->value);
		a->labels[i] = xstrdup(b.p);
	}
	buf_free(&b);
	for (d = a->gone ? a->queue : NULL; d != NULL; d = next) {
		next = d->next;
		if (deployment_cancel_queued(x, d,
			f->gone ? "the application is gone from its repository"
				: "the application was disabled",
			false, &e) == -1)
			log_warn(d->id, "cannot cancel it: %s", e.text);
	}
}

int
intake_frame(struct exec *x, const struct frame *f, const char *line,
    size_t len, struct err *e)
{
	struct frame copy = *f;

	switch (f->kind) {
	case FRAME_deployment:
		return intake_deployment(x, f, line, len, e);
	case FRAME_app:
		intake_app(x, f->u.app);
		break;
	case FRAME_command:
		command_frame(x, f->u.command->command, f->id, -1);
		return 0;
	case FRAME_command_done:
		chain_command_done(x, f->u.command_done);
		break;
	case FRAME_fenced:
		if (now_ms() >= x->fenced_until)
			log_error("-", "no new deployment is begun: %s",
			    f->u.fenced->reason);
		x->fenced_until = now_ms() + FENCED_MS;
		break;
	case FRAME_resume:
		return intake_resume(x, f, line, len, e);
	default: /* held is for report */
		break;
	}
	if (x->daemon)
		return 0;
	/* A filter hands on what others want to read too. */
	copy.u.msg = msg_copy(f->u.msg, x->turn);
	tell(x, &copy);
	return 0;
}
