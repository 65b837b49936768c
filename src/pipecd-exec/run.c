#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec.h"

/* --- what a deployment's state says ------------------------------------------
 */

Model__PipelineStage *
stage_model(const struct deployment *d)
{
	return d->s.deployment->stages[d->stage];
}

const Frame__StagePlan *
stage_plan(const struct deployment *d)
{
	return journal_stage_plan(&d->s, stage_model(d)->id);
}

int64_t
stage_ran_ms(const struct deployment *d)
{
	return d->s.stage[d->stage].ran_ms + now_ms() - d->mark_at;
}

static bool
is_rollback(const Model__PipelineStage *m)
{
	return m->rollback || strcmp(m->name, "ROLLBACK") == 0;
}

int64_t
stage_left_ms(const struct exec *x, const struct deployment *d, enum why *why)
{
	const Frame__StagePlan *p = stage_plan(d);
	int64_t since = now_ms() - d->mark_at, left, all = INT64_MAX;

	left =
	    p != NULL && p->timeout_ms > 0 ? p->timeout_ms : STAGE_TIMEOUT_MS;
	left -= stage_ran_ms(d);
	*why = WHY_STAGE_TIMEOUT;
	if (d->rolling_back)
		all = x->conf.rollback_timeout_ms - d->s.rollback_ms - since;
	else if (d->s.plan->timeout_ms > 0)
		all = d->s.plan->timeout_ms - d->s.forward_ms - since;
	if (all < left) {
		left = all;
		*why = d->rolling_back ? WHY_ROLLBACK_TIMEOUT
				       : WHY_DEPLOYMENT_TIMEOUT;
	}
	return left;
}

void
reason_set(struct deployment *d, const char *fmt, ...)
{
	char *old = d->reason;
	va_list ap;

	va_start(ap, fmt);
	must(vasprintf(&d->reason, fmt, ap) != -1);
	va_end(ap);
	free(old);
}

/* --- records of a stage
 * -------------------------------------------------------
 */

void
stage_say(struct exec *x, struct deployment *d, const char *severity,
    const char *fmt, ...)
{
	Frame__StageLog l = FRAME__STAGE_LOG__INIT;
	char text[2048], sev[16];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)snprintf(sev, sizeof(sev), "%s", severity);
	l.deployment_id = d->id;
	l.stage_id = stage_model(d)->id;
	l.text = text;
	l.severity = sev;
	l.has_at_ms = true;
	l.at_ms = wall_ms();
	free(d->last_log);
	d->last_log = xstrdup(text);
	record(x, d, FRAME_OF(stage_log, &l), false);
}

void
stage_process_record(
    struct exec *x, struct deployment *d, int64_t pid, int64_t started)
{
	Frame__StageProcess p = FRAME__STAGE_PROCESS__INIT;
	struct journal_stage *st = &d->s.stage[d->stage];
	int64_t since = now_ms() - d->mark_at;

	p.deployment_id = d->id;
	p.stage_id = stage_model(d)->id;
	p.pid = pid;
	p.started_at = started;
	p.has_at_ms = p.has_ran_ms = p.has_total_ms = p.has_up_ms = true;
	p.at_ms = st->started ? st->at_ms : wall_ms();
	p.up_ms = st->started ? st->up_ms : up_ms();
	p.boot = x->boot;
	if (st->started && st->boot != NULL) {
		p.boot = arena_strdup(x->turn, st->boot);
	}
	p.ran_ms = st->ran_ms + since;
	p.total_ms =
	    (d->rolling_back ? d->s.rollback_ms : d->s.forward_ms) + since;
	p.has_attempt = true;
	p.attempt = st->attempt;
	d->mark_at = now_ms();
	d->check_at =
	    d->mark_at +
	    (p.ran_ms / 10 > CHECK_MIN_MS ? p.ran_ms / 10 : CHECK_MIN_MS);
	record(x, d, FRAME_OF(stage_process, &p), false);
}

void
stage_start_tell(struct exec *x, struct deployment *d)
{
	Frame__StageStart s = FRAME__STAGE_START__INIT;
	struct frame f = { .kind = FRAME_stage_start };

	s.deployment = d->s.deployment;
	s.stage = stage_model(d);
	s.has_attempt = true;
	s.attempt = d->s.stage[d->stage].attempt;
	f.u.stage_start = msg_copy(&s, x->turn);
	tell(x, &f);
}

/* One line for people, without what a terminal would obey. */
static char *
one_line(struct exec *x, const char *s)
{
	char *t = arena_strdup(x->turn, s), *p;

	if (strlen(t) > 1000)
		t[1000] = '\0';
	while (t[0] != '\0' && ((unsigned char)t[strlen(t) - 1] & 0xc0) == 0x80)
		t[strlen(t) - 1] = '\0'; /* no half of a character */
	for (p = t; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
	return t;
}

void
stage_end(struct exec *x, struct deployment *d, Model__StageStatus st,
    bool human, const char *fmt, ...)
{
	Frame__StageDone f = FRAME__STAGE_DONE__INIT;
	Model__PipelineStage *m = stage_model(d);
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	must(vasprintf(&text, fmt, ap) != -1);
	va_end(ap);
	f.deployment_id = d->id;
	f.stage_id = m->id;
	f.status = st;
	f.reason = text[0] != '\0' ? one_line(x, text) : NULL;
	f.has_took_ms = f.has_at_ms = true;
	f.took_ms = stage_ran_ms(d);
	f.at_ms = wall_ms();
	f.has_needs_human = f.needs_human = human;
	if (d->proc != NULL && d->proc->done && d->proc->untouched)
		f.has_untouched = f.untouched = true;
	free(text);
	proc_free(d->proc);
	d->proc = NULL;
	d->wake_at = 0;
	d->why = WHY_NONE;
	d->resumed = false;
	record(x, d, FRAME_OF(stage_done, &f), true);
	log_info(d->id, "stage %s stage=%s took_ms=%lld%s%s%s",
	    msg_enum_name(&model__stage_status__descriptor, (int)st, MSG_FRAME),
	    m->name, (long long)f.took_ms, f.reason != NULL ? " reason=\"" : "",
	    f.reason != NULL ? f.reason : "", f.reason != NULL ? "\"" : "");
	d->phase = PH_NEXT;
}

/* --- slots
 * --------------------------------------------------------------------
 */

void
slot_free(struct exec *x, struct deployment *d)
{
	struct deployment **at;

	if (d->slot) {
		d->slot = false;
		x->slots--;
	}
	if (d->phase != PH_SLOT && d->phase != PH_ENDED)
		return;
	for (at = &x->slot_wait; *at != NULL; at = &(*at)->next)
		if (*at == d) {
			*at = d->next;
			d->next = NULL;
			break;
		}
	for (x->slot_end = &x->slot_wait; *x->slot_end != NULL;
	     x->slot_end = &(*x->slot_end)->next)
		;
}

static bool
slot_want(struct exec *x, struct deployment *d)
{
	if (d->slot)
		return true;
	d->phase = PH_SLOT;
	d->next = NULL;
	*x->slot_end = d;
	x->slot_end = &d->next;
	return false;
}

static void
slot_give(struct exec *x, struct deployment *d)
{
	d->slot = true;
	x->slots++;
}

/* --- start and end
 * ------------------------------------------------------------
 */

void
active_add(struct exec *x, struct deployment *d)
{
	if (x->n_active == x->cap_active) {
		x->cap_active = x->cap_active * 2 + 16;
		x->active = xrealloc(
		    x->active, x->cap_active * sizeof(struct deployment *));
	}
	x->active[x->n_active++] = d;
}

/*
 * What plan took for the running commit may be out of date when its turn
 * comes; the configuration of what really runs is in that one's journal.
 */
static void
running_correct(struct exec *x, struct deployment *d)
{
	Model__Deployment *m = d->s.deployment;
	Frame__Past *p = apps_get(x->apps, m->application_id, x->turn);
	struct deployment last = { .j.fd = -1 };
	struct err e;
	size_t i, k;

	if (p == NULL || p->running_commit == NULL ||
	    strcmp(p->running_commit, m->running_commit_hash) == 0)
		return;
	log_info(d->id, "running commit is %.7s planned=%.7s",
	    p->running_commit, m->running_commit_hash);
	m->running_commit_hash = arena_strdup(d->arena, p->running_commit);
	if (p->running_config_filename != NULL)
		m->running_config_filename =
		    arena_strdup(d->arena, p->running_config_filename);
	if (!p->has_status || p->status != D_(SUCCESS) ||
	    p->deployment_id == NULL || strlen(p->deployment_id) > 63)
		return;
	journal_init(&last.j, p->deployment_id);
	strcpy(last.id, p->deployment_id);
	if (deployment_load(x, &last, &e) == 0 && last.s.plan != NULL)
		for (i = 0; i < d->s.plan->n_plugins; i++)
			for (k = 0; k < last.s.plan->n_plugins; k++) {
				Frame__PluginPlan *a = d->s.plan->plugins[i];
				Frame__PluginPlan *b = last.s.plan->plugins[k];

				if (strcmp(a->plugin, b->plugin) == 0 &&
				    b->config != NULL)
					a->running_config =
					    msg_copy(b->config, d->arena);
			}
	arena_free(last.arena);
}

static void
status_record(struct exec *x, struct deployment *d, Model__DeploymentStatus st,
    const char *reason)
{
	Frame__Deployment f = FRAME__DEPLOYMENT__INIT;
	Model__Deployment *m = d->s.deployment;

	m->status = st;
	m->status_reason = arena_strdup(d->arena, reason);
	m->updated_at = wall_s();
	if (deployment_ended(st))
		m->completed_at = m->updated_at;
	f.deployment = m;
	record(x, d, FRAME_OF(deployment, &f), true);
	past_put(x, m, true);
	log_info(d->id, "deployment %s app=%s commit=%.7s%s%s%s",
	    msg_enum_name(
		&model__deployment_status__descriptor, (int)st, MSG_FRAME),
	    m->application_name, m->trigger->commit->hash,
	    *reason != '\0' ? " reason=\"" : "", reason,
	    *reason != '\0' ? "\"" : "");
}

/*
 * A journal that cannot be read stays as evidence under another name, so that
 * its application can go on.
 */
void
deployment_broken(struct exec *x, struct deployment *d, const struct err *why)
{
	char name[JOURNAL_NAME], aside[JOURNAL_NAME + 8];
	struct err e;

	if (journal_name(name, d->id, &e) == 0) {
		(void)snprintf(aside, sizeof(aside), "%s.broken", name);
		(void)renameat(x->journal_fd, name, x->journal_fd, aside);
		log_error(d->id,
		    "%s; it is kept as journal/%s, and this deployment is "
		    "given up: a person has to look at what it left",
		    why->text, aside);
	}
	x->failed++;
	buf_reset(&d->j.wait);
	d->broken = true;
	d->phase = PH_ENDED;
	dirty_add(x, d, false); /* the commit frees it */
}

static bool
start(struct exec *x, struct deployment *d)
{
	struct err e;

	if (deployment_load(x, d, &e) == -1) {
		if (e.exit == RC_TEMP) { /* the disk, not the journal */
			disk_failed(x, &e);
			app_ready(x, d->app);
			return false;
		}
		queue_drop(d);
		deployment_broken(x, d, &e);
		return true;
	}
	queue_drop(d);
	active_add(x, d);
	d->app->running = d;
	slot_give(x, d);
	running_correct(x, d);
	d->phase = PH_NEXT;
	status_record(x, d, D_(RUNNING), "");
	return true;
}

bool
schedule(struct exec *x)
{
	struct deployment *d;
	struct app *a;
	bool any = false;

	while (x->slots < x->slots_max && x->disk_at == 0) {
		if ((d = x->slot_wait) != NULL) {
			if ((x->slot_wait = d->next) == NULL)
				x->slot_end = &x->slot_wait;
			d->next = NULL;
			slot_give(x, d);
			d->phase = PH_NEXT;
			any = true;
			continue;
		}
		if ((a = x->ready) == NULL || now_ms() < x->fenced_until)
			break;
		if ((x->ready = a->next_ready) == NULL)
			x->ready_end = &x->ready;
		a->in_ready = false;
		for (d = a->queue; d != NULL && d->phase != PH_QUEUED;
		     d = d->next)
			;
		if (d != NULL && a->running == NULL)
			any |= start(x, d);
	}
	return any;
}

const char *
deployment_ask_human(
    struct exec *x, const struct deployment *d, const char *what)
{
	return arena_printf(x->turn,
	    "%s; a person is needed: see %s/journal/%s.ndjson%s%s%s", what,
	    x->state_dir, d->id,
	    d->last_log != NULL ? "; last log line: \"" : "",
	    d->last_log != NULL ? one_line(x, d->last_log) : "",
	    d->last_log != NULL ? "\"" : "");
}

static void
finish(struct exec *x, struct deployment *d)
{
	Model__Deployment *m = d->s.deployment;
	const char *reason = d->reason != NULL ? d->reason : "";

	if (d->human)
		d->result = D_(FAILURE);
	status_record(x, d, d->result, reason);
	if (d->human)
		log_error(d->id, "%s", reason);
	if (d->ours) {
		x->ended++;
		x->failed += d->result != D_(SUCCESS);
	}
	leftover_remove(x, d);
	checkout_drop(x, d);
	slot_free(x, d);
	d->app->running = NULL;
	d->phase = PH_ENDED;
	if (d->result == D_(SUCCESS) && d->s.plan->n_chain > 0 &&
	    x->conf.api_address == NULL) {
		d->phase = PH_CHAIN;
		chain_step(x, d);
	}
	chain_member_ended(x, m);
	app_ready(x, d->app);
}

/* --- rollback
 * -----------------------------------------------------------------
 */

static int
rollback_next(const struct deployment *d)
{
	const Model__Deployment *m = d->s.deployment;
	size_t i;

	for (i = 0; i < m->n_stages; i++)
		if (is_rollback(m->stages[i]) &&
		    !stage_ended(m->stages[i]->status))
			return (int)i;
	return -1;
}

/* All rollback stages are through: say how that went. */
static void
rollback_end(struct exec *x, struct deployment *d)
{
	const Model__Deployment *m = d->s.deployment;
	const Model__PipelineStage *bad = NULL;
	size_t i;

	for (i = 0; i < m->n_stages && bad == NULL; i++)
		if (is_rollback(m->stages[i]) &&
		    (m->stages[i]->status == S_(FAILURE) ||
			m->stages[i]->status == S_(CANCELLED)))
			bad = m->stages[i];
	if (bad != NULL) {
		d->human = true;
		reason_set(d, "%s",
		    deployment_ask_human(x, d,
			arena_printf(x->turn,
			    "%s; the rollback failed too (%s: %s)", d->reason,
			    bad->name, bad->status_reason)));
	}
	finish(x, d);
}

/* A timer or an approval: it changes nothing. */
static bool
own_stage(const struct deployment *d, size_t i)
{
	const Frame__StagePlan *p =
	    journal_stage_plan(&d->s, d->s.deployment->stages[i]->id);

	return p != NULL && strcmp(p->program, "exec") == 0;
}

/* The forward stages ended badly. */
static void
fail(struct exec *x, struct deployment *d, Model__DeploymentStatus result)
{
	const Model__Deployment *m = d->s.deployment;
	bool skip = result == D_(CANCELLED) && d->s.force_no_rollback;
	bool touched = false;
	size_t i;

	d->result = result;
	for (i = 0; i < m->n_stages; i++)
		touched |= d->s.stage[i].started && !own_stage(d, i) &&
			   !(stage_ended(m->stages[i]->status) &&
			       d->s.stage[i].untouched);
	if (rollback_next(d) == -1 || skip || !touched) {
		finish(x, d);
		return;
	}
	d->rolling_back = true;
	status_record(x, d, D_(ROLLING_BACK), d->reason);
}

/* --- the next stage
 * -------------------------------------------------------------
 */

static void
begin(struct exec *x, struct deployment *d, int i)
{
	const Model__Deployment *m = d->s.deployment;
	const Frame__StagePlan *p;
	struct journal_stage *st = &d->s.stage[i];
	int base;

	d->stage = i;
	d->why = WHY_NONE;
	d->mark_at = now_ms();
	d->checkout_tries = 0;
	d->lock_at = 0;
	if ((p = stage_plan(d)) == NULL) {
		stage_end(
		    x, d, S_(FAILURE), false, "the plan has no such stage");
		return;
	}
	if (p->skip != NULL && !d->rolling_back) {
		stage_end(x, d, S_(SKIPPED), false, "%s", p->skip);
		return;
	}
	if (p->base_stage != NULL) {
		base = journal_stage_find(&d->s, p->base_stage);
		if (base == -1 || !d->s.stage[base].started ||
		    m->stages[base]->status == S_(SKIPPED)) {
			stage_end(
			    x, d, S_(SKIPPED), false, "its stage did not run");
			return;
		}
	} else if (d->rolling_back && m->running_commit_hash[0] == '\0') {
		stage_end(x, d, S_(FAILURE), true,
		    "nothing to roll back to: no commit of this application "
		    "was deployed with success before");
		return;
	}
	if (strcmp(p->program, "exec") == 0) {
		slot_free(x, d);
		checkout_drop(x, d);
		if (strcmp(m->stages[i]->name, "WAIT") == 0)
			wait_begin(x, d);
		else if (strcmp(m->stages[i]->name, "WAIT_APPROVAL") == 0)
			approval_begin(x, d);
		else
			stage_end(x, d, S_(FAILURE), false,
			    "exec itself has no stage %s", m->stages[i]->name);
		return;
	}
	if (!slot_want(x, d))
		return;
	if (st->started) {
		st->attempt++;
		d->resumed = true;
	}
	d->phase = PH_CHECKOUT;
}

/* Whether a limit over all stages is used up; ends this half if so. */
static bool
time_is_up(struct exec *x, struct deployment *d)
{
	if (d->rolling_back) {
		if (d->s.rollback_ms < x->conf.rollback_timeout_ms)
			return false;
		d->human = true;
		reason_set(d, "%s",
		    deployment_ask_human(x, d,
			arena_printf(
			    x->turn, "%s; the rollback timed out", d->reason)));
		finish(x, d);
		return true;
	}
	if (d->s.plan->timeout_ms <= 0 ||
	    d->s.forward_ms < d->s.plan->timeout_ms)
		return false;
	reason_set(d, "timed out: its stages took more than %llds",
	    (long long)(d->s.plan->timeout_ms / 1000));
	fail(x, d, D_(FAILURE));
	return true;
}

static void
next_forward(struct exec *x, struct deployment *d)
{
	const Model__Deployment *m = d->s.deployment;
	const Model__PipelineStage *st;
	size_t i;

	for (i = 0; i < m->n_stages; i++) {
		st = m->stages[i];
		if (is_rollback(st) || st->status == S_(SUCCESS) ||
		    st->status == S_(SKIPPED))
			continue;
		if (st->status == S_(EXITED))
			break;
		if (st->status == S_(FAILURE)) {
			reason_set(d, "stage %s failed: %s", st->name,
			    st->status_reason[0] != '\0' ? st->status_reason
							 : "no reason given");
			fail(x, d, D_(FAILURE));
			return;
		}
		if (st->status == S_(CANCELLED)) {
			reason_set(d, "cancelled%s%s during stage %s",
			    d->s.cancelled_by != NULL ? " by " : "",
			    d->s.cancelled_by != NULL ? d->s.cancelled_by : "",
			    st->name);
			fail(x, d, D_(CANCELLED));
			return;
		}
		if (d->s.cancelled_by != NULL) {
			reason_set(d, "cancelled by %s before stage %s",
			    d->s.cancelled_by, st->name);
			fail(x, d, D_(CANCELLED));
			return;
		}
		if (!d->hold && !x->stop && !time_is_up(x, d))
			begin(x, d, (int)i);
		return;
	}
	d->result = D_(SUCCESS);
	reason_set(d, "%s", "");
	finish(x, d);
}

static void
next(struct exec *x, struct deployment *d)
{
	int i;

	if (!d->rolling_back) {
		next_forward(x, d);
		return;
	}
	if ((i = rollback_next(d)) == -1)
		rollback_end(x, d);
	else if (!d->hold && !x->stop && !time_is_up(x, d))
		begin(x, d, i);
}

static void
checkout_wait(struct exec *x, struct deployment *d)
{
	enum why why;
	int64_t left = stage_left_ms(x, d, &why);

	if (left <= 0)
		stage_end(x, d, S_(FAILURE), d->rolling_back,
		    "timed out before its source was laid out");
	else
		d->wake_at = now_ms() + left;
}

void
step(struct exec *x, struct deployment *d)
{
	enum phase was;
	struct err e;
	int rv;

	do {
		was = d->phase;
		switch (d->phase) {
		case PH_NEXT:
			next(x, d);
			break;
		case PH_CHECKOUT:
			if ((rv = checkout_need(x, d, &e)) == 1) {
				d->phase = PH_LOCK;
				d->wake_at = 0;
			} else if (rv == -1)
				stage_end(x, d, S_(FAILURE), d->rolling_back,
				    "checkout: %s", e.text);
			else
				checkout_wait(x, d);
			break;
		case PH_LOCK:
			proc_begin(x, d);
			break;
		case PH_TELL:
			if (!d->hold)
				proc_tell(x, d);
			break;
		default:
			break;
		}
	} while (d->phase != was && d->phase != PH_ENDED);
}

void
deployment_cancel(struct exec *x, struct deployment *d)
{
	switch (d->phase) {
	case PH_TELL:
	case PH_RUN:
		proc_stop(x, d, WHY_CANCEL);
		break;
	case PH_CHECKOUT:
	case PH_LOCK:
	case PH_TIMER:
	case PH_APPROVAL:
		stage_end(x, d, S_(CANCELLED), false, "cancelled by %s",
		    d->s.cancelled_by);
		break;
	case PH_SLOT:
		slot_free(x, d);
		d->phase = PH_NEXT;
		break;
	default:
		break;
	}
}

/* One that a former exec had started. */
void
deployment_resume(struct exec *x, struct deployment *d)
{
	Model__Deployment *m = d->s.deployment;
	size_t i;

	active_add(x, d);
	d->app->running = d;
	d->ours = true;
	d->rolling_back = m->status == D_(ROLLING_BACK);
	d->phase = PH_NEXT;
	if (d->rolling_back) {
		reason_set(d, "%s", m->status_reason);
		d->result =
		    d->s.cancelled_by != NULL ? D_(CANCELLED) : D_(FAILURE);
		for (i = 0; i < m->n_stages; i++)
			if (!is_rollback(m->stages[i]) &&
			    m->stages[i]->status == S_(FAILURE))
				d->result = D_(FAILURE);
	}
	log_info(d->id, "deployment resumed app=%s status=%s",
	    m->application_name,
	    msg_enum_name(&model__deployment_status__descriptor, (int)m->status,
		MSG_FRAME));
}
