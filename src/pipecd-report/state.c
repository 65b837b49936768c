#include <stdlib.h>
#include <string.h>

#include "report.h"

/* What has been said of an application, so that a repeat is not said again. */
struct appmark {
	char *name;  /* owned, inert */
	char *state; /* owned: status, target and reason of the last word */
};

static struct appmark *
appmark(struct report *r, const char *id)
{
	struct appmark *m = map_get(r->apps, id);

	if (m == NULL) {
		m = xcalloc(1, sizeof(*m));
		map_put(r->apps, id, m);
	}
	return m;
}

static const char *
app_name(struct report *r, const char *id)
{
	const struct appmark *m = map_get(r->apps, id);

	if (m != NULL && m->name != NULL)
		return m->name;
	return text_cut(r->arena, id, 8);
}

/* A name as one word: what greps and cuts by field stays able to. */
static const char *
word(struct report *r, const char *s)
{
	char *w = text_inert(r->arena, s, false), *p;

	for (p = w; *p != '\0'; p++)
		if (*p == ' ')
			*p = '_';
	return *w == '\0' ? "-" : w;
}

static void
appmark_name(struct report *r, const char *id, const char *name)
{
	struct appmark *m = appmark(r, id);

	free(m->name);
	m->name = xstrdup(word(r, name));
}

static void
stages_free(struct dep *d)
{
	size_t i;

	for (i = 0; i < d->n_stages; i++) {
		free(d->stages[i].id);
		free(d->stages[i].name);
	}
	free(d->stages);
	d->stages = NULL;
	d->n_stages = 0;
}

static void
tail_free(struct dep *d)
{
	while (d->n_tail > 0)
		free(d->tail[--d->n_tail]);
}

static void
tail_add(struct dep *d, const char *text)
{
	if (d->n_tail == DEP_TAIL) {
		free(d->tail[0]);
		memmove(
		    d->tail, d->tail + 1, (DEP_TAIL - 1) * sizeof(d->tail[0]));
		d->n_tail--;
	}
	d->tail[d->n_tail++] = xstrdup(text);
}

bool
dep_over(const struct dep *d)
{
	return d->status >= MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_SUCCESS;
}

const char *
dep_status(const struct dep *d)
{
	return msg_enum_name(
	    &model__deployment_status__descriptor, d->status, MSG_FRAME);
}

const struct stage *
dep_stage(const struct dep *d, const char *id)
{
	size_t i;

	for (i = 0; i < d->n_stages; i++)
		if (strcmp(d->stages[i].id, id) == 0)
			return &d->stages[i];
	return NULL;
}

static bool
stage_over(Model__StageStatus s)
{
	return s != MODEL__STAGE_STATUS__STAGE_NOT_STARTED_YET &&
	       s != MODEL__STAGE_STATUS__STAGE_RUNNING;
}

/* A deployment by its id; what only names one (a log line) makes one too. */
static struct dep *
dep_get(struct report *r, const char *id)
{
	struct dep *d = map_get(r->deps, id);

	if (d == NULL) {
		d = xcalloc(1, sizeof(*d));
		d->id = xstrdup(word(r, id));
		d->app = xstrdup("-");
		d->since_ms = now_ms();
		map_put(r->deps, id, d);
	}
	return d;
}

static const char *
approve_hint(struct report *r, const struct dep *d)
{
	return arena_printf(r->arena,
	    "waits for approval: pipecd-report -c approve %s -f %s",
	    text_cut(r->arena, d->id, 8),
	    r->config != NULL ? r->config : "piped.yaml");
}

/* A stage's new status, from whichever frame brought it first. */
static void
stage_status(struct report *r, struct dep *d, struct stage *s,
    Model__StageStatus to, const char *reason, int64_t took_ms)
{
	const char *why = text_inert(r->arena, reason, true);
	enum tone tone = TONE_PLAIN;
	char *text;

	/* A frame about something else may carry an older word. */
	if (s->status == to ||
	    to == MODEL__STAGE_STATUS__STAGE_NOT_STARTED_YET ||
	    (stage_over(s->status) && !stage_over(to)))
		return;
	s->status = to;
	if (to == MODEL__STAGE_STATUS__STAGE_FAILURE)
		tone = TONE_BAD;
	else if (to == MODEL__STAGE_STATUS__STAGE_SUCCESS)
		tone = TONE_GOOD;
	else if (to == MODEL__STAGE_STATUS__STAGE_CANCELLED)
		tone = TONE_WARN;
	text = arena_printf(r->arena, "stage %s %s%s%s%s%s", s->name,
	    msg_enum_name(&model__stage_status__descriptor, to, MSG_FRAME),
	    took_ms > 0 ? " in " : "",
	    took_ms > 0 ? text_took(r->arena, took_ms) : "",
	    *why != '\0' ? ": " : "", why);
	say(r, SAY_STEP, tone, d, NULL, text);
	if (to == MODEL__STAGE_STATUS__STAGE_RUNNING && s->approve)
		say(r, SAY_NOTE, TONE_WARN, d, NULL, approve_hint(r, d));
}

/* Take the list of stages over, keeping what is known of them. */
static void
stages_take(struct report *r, struct dep *d, const Model__Deployment *m)
{
	struct stage *now = xcalloc(m->n_stages + 1, sizeof(*now));
	size_t i;

	for (i = 0; i < m->n_stages; i++) {
		const Model__PipelineStage *p = m->stages[i];
		const struct stage *old = dep_stage(d, p->id);

		now[i].id = xstrdup(p->id);
		now[i].name = xstrdup(word(r, p->name));
		now[i].rollback = p->rollback;
		now[i].approve =
		    p->available_operation ==
			MODEL__MANUAL_OPERATION__MANUAL_OPERATION_APPROVE ||
		    strcmp(p->name, "WAIT_APPROVAL") == 0;
		if (old != NULL)
			now[i].status = old->status;
	}
	stages_free(d);
	d->stages = now;
	d->n_stages = m->n_stages;
}

/* Say which of them have ended, or (not over) begun. */
static void
stages_say(
    struct report *r, struct dep *d, const Model__Deployment *m, bool over)
{
	size_t i;

	for (i = 0; i < m->n_stages; i++)
		if (stage_over(m->stages[i]->status) == over)
			stage_status(r, d, &d->stages[i], m->stages[i]->status,
			    m->stages[i]->status_reason, 0);
}

static const char *
stage_names(struct report *r, const struct dep *d)
{
	char *s = arena_strdup(r->arena, "");
	size_t i;

	for (i = 0; i < d->n_stages; i++)
		if (!d->stages[i].rollback)
			s = arena_printf(r->arena, "%s%s%s", s,
			    *s == '\0' ? " " : " > ", d->stages[i].name);
	return s;
}

static void
dep_say(struct report *r, struct dep *d, const Model__Deployment *m)
{
	const char *reason = text_inert(r->arena, m->status_reason, true);
	const char *name = dep_status(d), *colon = *reason != '\0' ? ": " : "";
	const Model__Commit *c = m->trigger ? m->trigger->commit : NULL;
	enum tone tone = TONE_PLAIN;
	enum say what = SAY_STEP;
	char *text = NULL, *time = NULL;

	if (dep_over(d)) {
		what = SAY_END;
		if (m->completed_at == m->created_at && m->created_at > 0)
			time = arena_strdup(r->arena, "under 1s");
		else if (m->completed_at > 0 && m->created_at > 0)
			time = text_took_s(
			    r->arena, m->completed_at - m->created_at);
	}
	switch (d->status) {
	case MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_PENDING:
		if (c == NULL)
			break;
		text = arena_printf(r->arena, "%s commit %s \"%s\" by %s%s%s",
		    name, text_cut(r->arena, c->hash, 7),
		    text_inert(r->arena, c->message, false),
		    text_inert(r->arena, c->author, false), colon, reason);
		break;
	case MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_PLANNED:
		text = arena_printf(r->arena, "%s%s%s%s", name,
		    stage_names(r, d), *m->summary != '\0' ? ": " : "",
		    text_inert(r->arena, m->summary, false));
		break;
	case MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_SUCCESS:
		tone = TONE_GOOD;
		break;
	case MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_FAILURE:
		tone = TONE_BAD;
		break;
	case MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_CANCELLED:
	case MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_ROLLING_BACK:
		tone = TONE_WARN;
		break;
	default:
		break;
	}
	if (text == NULL)
		text = arena_printf(r->arena, "%s%s%s%s%s", name,
		    time != NULL ? " in " : "", time != NULL ? time : "", colon,
		    reason);
	say(r, what, tone, d, NULL, text);
}

static void
on_deployment(struct report *r, const Model__Deployment *m)
{
	struct dep *d = dep_get(r, m->id);
	bool news = !d->seen || d->status != m->status;
	int64_t at = m->completed_at > 0 ? m->completed_at
		     : m->updated_at > 0 ? m->updated_at
					 : m->created_at;

	/* A late repeat of an earlier status says nothing new. */
	if (d->seen && (dep_over(d) || m->status < d->status))
		return;
	if (at > d->at)
		d->at = at;
	if (d->at > r->at)
		r->at = d->at;
	if (d->created_at == 0)
		d->created_at = m->created_at;
	appmark_name(r, m->application_id, m->application_name);
	free(d->app);
	d->app = xstrdup(word(r, m->application_name));
	if (d->seen)
		r->n_status[d->status & 7]--;
	r->n_status[m->status & 7]++;
	d->seen = true;
	/* Stages end before their deployment does, and begin after it. */
	d->status = m->status;
	stages_take(r, d, m);
	stages_say(r, d, m, true);
	if (news)
		dep_say(r, d, m);
	stages_say(r, d, m, false);
	if (dep_over(d)) {
		stages_free(d);
		tail_free(d);
	}
}

static struct stage *
stage_get(struct dep *d, const char *id)
{
	size_t i;

	for (i = 0; i < d->n_stages; i++)
		if (strcmp(d->stages[i].id, id) == 0)
			return &d->stages[i];
	return NULL;
}

static void
on_stage_start(struct report *r, const Frame__StageStart *m)
{
	struct dep *d;
	struct stage *s;

	on_deployment(r, m->deployment);
	d = dep_get(r, m->deployment->id);
	if ((s = stage_get(d, m->stage->id)) != NULL)
		stage_status(
		    r, d, s, MODEL__STAGE_STATUS__STAGE_RUNNING, NULL, 0);
}

static void
on_stage_log(struct report *r, const Frame__StageLog *m)
{
	struct dep *d = dep_get(r, m->deployment_id);
	const struct stage *s = dep_stage(d, m->stage_id);
	const char *sev = m->severity == NULL ? "" : m->severity;
	enum tone tone = strcmp(sev, "ERROR") == 0     ? TONE_BAD
			 : strcmp(sev, "SUCCESS") == 0 ? TONE_GOOD
						       : TONE_DIM;
	char *text, *line, *next;

	if (m->has_at_ms && m->at_ms / 1000 > r->at)
		r->at = m->at_ms / 1000;
	if (m->has_at_ms && m->at_ms / 1000 > d->at)
		d->at = m->at_ms / 1000;
	text = text_inert(r->arena, m->text, true);
	for (line = text; line != NULL; line = next) {
		if ((next = strchr(line, '\n')) != NULL)
			*next++ = '\0';
		line = arena_printf(r->arena, "%s: %s%s",
		    s != NULL ? s->name : word(r, m->stage_id),
		    tone == TONE_BAD ? "ERROR: " : "", line);
		say(r, SAY_LOG, tone, d, NULL, line);
		if (!dep_over(d))
			tail_add(d, line);
	}
}

static void
on_stage_done(struct report *r, const Frame__StageDone *m)
{
	struct dep *d = dep_get(r, m->deployment_id);
	struct stage *s = stage_get(d, m->stage_id);

	if (s != NULL)
		stage_status(r, d, s, m->status, m->reason,
		    m->has_took_ms ? m->took_ms : 0);
	if (m->needs_human)
		say(r, SAY_NOTE, TONE_BAD, d, NULL,
		    arena_printf(r->arena, "a person is needed: %s",
			text_inert(r->arena, m->reason, true)));
}

/* exec's own mark: a process, or a timer, is about to work on it. */
static void
on_stage_process(struct report *r, const Frame__StageProcess *m)
{
	struct dep *d = dep_get(r, m->deployment_id);
	struct stage *s = stage_get(d, m->stage_id);

	if (s != NULL)
		stage_status(
		    r, d, s, MODEL__STAGE_STATUS__STAGE_RUNNING, NULL, 0);
}

static void
on_held(struct report *r, const Frame__Held *m)
{
	struct dep *d =
	    m->deployment_id != NULL ? dep_get(r, m->deployment_id) : NULL;
	const char *app;
	size_t i, show = m->n_objects < 10 ? m->n_objects : 10;

	if (m->application_name != NULL)
		appmark_name(r, m->application_id, m->application_name);
	app = app_name(r, m->application_id);
	r->n_held++;
	say(r, SAY_NOTE, TONE_WARN, d, app,
	    arena_printf(
		r->arena, "HELD: %s", text_inert(r->arena, m->reason, true)));
	for (i = 0; i < show; i++)
		say(r, SAY_MORE, TONE_PLAIN, d, app,
		    arena_printf(r->arena, "would be lost: %s",
			text_inert(r->arena, m->objects[i], false)));
	if (show < m->n_objects)
		say(r, SAY_MORE, TONE_PLAIN, d, app,
		    arena_printf(
			r->arena, "and %zu more", m->n_objects - show));
	say(r, SAY_MORE, TONE_PLAIN, d, app,
	    arena_printf(r->arena, "to go on: %s",
		text_inert(r->arena, m->confirm, true)));
}

/* Say an application's state unless it has been said already. */
static void
app_says(struct report *r, const char *id, enum tone tone, const char *text)
{
	struct appmark *m = appmark(r, id);

	if (m->state != NULL && strcmp(m->state, text) == 0)
		return;
	free(m->state);
	m->state = xstrdup(text);
	say(r, SAY_NOTE, tone, NULL, app_name(r, id), text);
}

static void
on_app_state(struct report *r, const Frame__AppState *m)
{
	const Model__ApplicationSyncState *s = m->sync_state;
	const char *where = m->target != NULL ? m->target : "";
	const char *brief = text_inert(r->arena, s->short_reason, false);
	const char *reason = text_inert(r->arena, s->reason, true);
	enum tone tone = s->status == MODEL__APPLICATION_SYNC_STATUS__SYNCED
			     ? TONE_GOOD
			     : TONE_WARN;

	if (s->timestamp > r->at)
		r->at = s->timestamp;
	app_says(r, m->application_id, tone,
	    arena_printf(r->arena, "%s%s%s%s%s%s%s",
		msg_enum_name(&model__application_sync_status__descriptor,
		    s->status, MSG_FRAME),
		*where != '\0' ? " on " : "",
		text_inert(r->arena, where, false), *brief != '\0' ? ": " : "",
		brief, *reason != '\0' ? "\n" : "", reason));
}

static void
on_app_invalid(struct report *r, const Frame__AppInvalid *m)
{
	appmark_name(r, m->application->id, m->application->name);
	if (m->again)
		return; /* no news */
	app_says(r, m->application->id, TONE_BAD,
	    arena_printf(r->arena, "INVALID_CONFIG at commit %s\n%s",
		text_cut(r->arena, m->commit, 7),
		text_inert(r->arena, m->reason, true)));
}

static void
on_app(struct report *r, const Frame__App *m)
{
	appmark_name(r, m->application->id, m->application->name);
	if (m->gone && !m->again)
		app_says(r, m->application->id, TONE_WARN,
		    "gone: its configuration is not found any more");
}

static void
on_command(struct report *r, const Frame__Command *m)
{
	const Model__Command *c = m->command;
	struct dep *d =
	    *c->deployment_id != '\0' ? dep_get(r, c->deployment_id) : NULL;

	say(r, SAY_STEP, TONE_PLAIN, d,
	    *c->application_id != '\0' ? app_name(r, c->application_id) : NULL,
	    arena_printf(r->arena, "%s asks for %s",
		*c->commander != '\0' ? word(r, c->commander) : "somebody",
		msg_enum_name(
		    &model__command__type__descriptor, c->type, MSG_FRAME)));
}

static void
on_command_done(struct report *r, const Frame__CommandDone *m)
{
	say(r, SAY_STEP, TONE_PLAIN, NULL, NULL,
	    arena_printf(r->arena, "command %s %s%s%s",
		text_cut(r->arena, m->command_id, 8),
		msg_enum_name(
		    &model__command_status__descriptor, m->status, MSG_FRAME),
		m->reason != NULL ? ": " : "",
		text_inert(r->arena, m->reason, true)));
}

static void
on_head(struct report *r, const Frame__Head *m)
{
	if (m->seen_at > r->at)
		r->at = m->seen_at;
	say(r, SAY_STEP, TONE_PLAIN, NULL, NULL,
	    arena_printf(r->arena, "repository %s branch %s is at %s%s",
		word(r, m->repo), word(r, m->branch),
		text_cut(r->arena, m->commit, 7),
		m->forced ? " (history was rewritten)" : ""));
}

void
report_frame(struct report *r, const struct frame *f)
{
	struct dep *d;

	switch (f->kind) {
	case FRAME_head:
		on_head(r, f->u.head);
		break;
	case FRAME_deployment:
		on_deployment(r, f->u.deployment->deployment);
		break;
	case FRAME_stage_start:
		on_stage_start(r, f->u.stage_start);
		break;
	case FRAME_stage_process:
		on_stage_process(r, f->u.stage_process);
		break;
	case FRAME_stage_log:
		on_stage_log(r, f->u.stage_log);
		break;
	case FRAME_stage_done:
		on_stage_done(r, f->u.stage_done);
		break;
	case FRAME_stage_meta:
		d = dep_get(r, f->u.stage_meta->deployment_id);
		say(r, SAY_LOG, TONE_DIM, d, NULL,
		    arena_printf(r->arena, "%s = %s",
			word(r, f->u.stage_meta->key),
			text_cut(r->arena, f->u.stage_meta->value, 200)));
		break;
	case FRAME_held:
		on_held(r, f->u.held);
		break;
	case FRAME_app:
		on_app(r, f->u.app);
		break;
	case FRAME_app_invalid:
		on_app_invalid(r, f->u.app_invalid);
		break;
	case FRAME_app_state:
		on_app_state(r, f->u.app_state);
		break;
	case FRAME_command:
		on_command(r, f->u.command);
		break;
	case FRAME_command_done:
		on_command_done(r, f->u.command_done);
		break;
	case FRAME_err:
		say(r, SAY_NOTE, TONE_BAD, NULL, NULL,
		    arena_printf(r->arena, "error: %s",
			text_inert(r->arena, f->u.err->text, true)));
		break;
	default:
		/* The rest is between programs. */
		break;
	}
}

void
report_sum(const struct report *r, struct buf *b)
{
	static const Model__DeploymentStatus order[] = {
		MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_SUCCESS,
		MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_FAILURE,
		MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_CANCELLED,
		MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_ROLLING_BACK,
		MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_RUNNING,
		MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_PLANNED,
		MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_PENDING,
	};
	size_t i, n = 0;
	const char *sep = ": ";

	for (i = 0; i < NITEMS(order); i++)
		n += r->n_status[order[i]];
	buf_printf(b, "%zu deployment%s", n, n == 1 ? "" : "s");
	for (i = 0; i < NITEMS(order); i++) {
		if (r->n_status[order[i]] == 0)
			continue;
		buf_printf(b, "%s%zu %s", sep, r->n_status[order[i]],
		    msg_enum_name(&model__deployment_status__descriptor,
			order[i], MSG_FRAME));
		sep = ", ";
	}
	if (r->n_held > 0)
		buf_printf(b, "; %zu held", r->n_held);
}

void
report_init(struct report *r, FILE *out)
{
	memset(r, 0, sizeof(*r));
	r->out = out;
	r->arena = arena_new();
	r->deps = map_new();
	r->apps = map_new();
}

void
report_clear(struct report *r)
{
	const char *key;
	size_t i;
	void *v;

	for (i = 0; map_next(r->deps, &i, &key, &v);) {
		struct dep *d = v;

		stages_free(d);
		tail_free(d);
		free(d->id);
		free(d->app);
		free(d);
	}
	for (i = 0; map_next(r->apps, &i, &key, &v);) {
		struct appmark *m = v;

		free(m->name);
		free(m->state);
		free(m);
	}
	map_free(r->deps);
	map_free(r->apps);
	arena_free(r->arena);
}
