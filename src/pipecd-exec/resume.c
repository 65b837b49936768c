/*
 * What the control plane knows and we may not: a deployment that another disk,
 * or none, had the journal of; an application's id and its latest deployments.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exec.h"
#include "hash.h"

/* --- deployments ----------------------------------------------------------- */

/* Whether they have seen more of it than our journal has. */
static bool
ahead(const Model__Deployment *theirs, const struct journal_state *s)
{
	const Model__Deployment *ours = s->deployment;
	size_t i;
	int k;

	if (theirs->status != ours->status)
		return theirs->status > ours->status &&
		       !deployment_ended(ours->status);
	for (i = 0; i < theirs->n_stages; i++) {
		k = journal_stage_find(s, theirs->stages[i]->id);
		if (k != -1 && stage_ended(theirs->stages[i]->status) &&
		    !stage_ended(ours->stages[k]->status))
			return true;
	}
	return false;
}

/* Our journal stays as evidence; what it had running is ended. */
static int
set_aside(struct exec *x, struct deployment *d, struct err *e)
{
	char name[JOURNAL_NAME], aside[JOURNAL_NAME + 8];

	if (journal_name(name, d->id, e) == -1)
		return -1;
	if (d->proc != NULL && d->proc->resident != NULL)
		resident_cancel(x, d);
	else
		proc_kill(x, d);
	(void)snprintf(aside, sizeof(aside), "%s.behind", name);
	if (renameat(x->journal_fd, name, x->journal_fd, aside) == -1)
		return err_sys(e, "rename journal/%s", name);
	deployment_clear(x, d);
	log_warn(d->id,
	    "the control plane has seen more of this deployment than its "
	    "journal: that is kept as journal/%s, and it goes on from what the "
	    "control plane knows",
	    aside);
	return 0;
}

static void
said(struct exec *x, const Model__Deployment *m)
{
	Frame__Deployment f = FRAME__DEPLOYMENT__INIT;
	struct frame out = { .kind = FRAME_deployment };

	f.deployment = msg_copy(m, x->turn);
	out.u.deployment = msg_copy(&f, x->turn);
	tell(x, &out);
}

/* What ran before it, for an application that we know nothing of. */
static void
running_take(struct exec *x, const Model__Deployment *m)
{
	Frame__Past p = FRAME__PAST__INIT;

	if (m->running_commit_hash[0] == '\0' ||
	    apps_line(x->apps, m->application_id, &(size_t){ 0 }) != NULL)
		return;
	p.application_id = m->application_id;
	p.repo = m->git_path->repo->id;
	p.path = m->git_path->path;
	p.config_filename = m->git_path->config_filename;
	p.running_commit = m->running_commit_hash;
	p.running_config_filename = m->running_config_filename;
	apps_put(x->apps, &p);
}

static int
take_over(struct exec *x, struct deployment *d, const struct frame *f,
    const char *line, size_t len, struct err *e)
{
	const Model__Deployment *m = f->u.resume->deployment;
	char name[JOURNAL_NAME];
	struct err ignored;

	d->ours = true;
	(void)snprintf(
	    d->commit, sizeof(d->commit), "%s", m->trigger->commit->hash);
	d->phase = PH_PENDING;
	running_take(x, m);
	record_line(x, d, f, line, len, true);
	said(x, m);
	if (deployment_ended(m->status)) {
		deployment_ended_before(x, d, m);
		return 0;
	}
	if (deployment_load(x, d, e) == -1) {
		/* It is offered again. */
		if (journal_name(name, d->id, &ignored) == 0)
			(void)unlinkat(x->journal_fd, name, 0);
		deployment_clear(x, d);
		d->broken = true;
		d->phase = PH_ENDED;
		return -1;
	}
	log_info(d->id,
	    "deployment taken over app=%s status=%s: the control plane knows "
	    "it, and no journal here has as much of it",
	    m->application_name,
	    msg_enum_name(&model__deployment_status__descriptor, (int)m->status,
		MSG_FRAME));
	deployment_take_up(x, d);
	return 0;
}

int
intake_resume(struct exec *x, const struct frame *f, const char *line,
    size_t len, struct err *e)
{
	const Model__Deployment *m = f->u.resume->deployment;
	const Frame__Plan *plan = f->u.resume->plan;
	struct frame both = { .kind = FRAME_resume };
	struct buf text = BUF_INIT;
	char name[JOURNAL_NAME];
	Frame__Resume with;
	struct deployment *d;
	struct app *a;
	int rv = -1;

	if (deployment_check(m, plan, e) == -1)
		return err_wrap(e, "resume %s", m->id);
	a = app_get(x, m->application_id);
	d = map_get(x->by_id, m->id);
	if (!deployment_ended(m->status) &&
	    (m->status == D_(PENDING) || (plan == NULL && d == NULL))) {
		log_debug(m->id, "resume without a plan: plan makes it");
		return 0;
	}
	if (d == NULL) {
		(void)journal_name(name, m->id, e);
		if (faccessat(x->journal_fd, name, F_OK, 0) == 0) {
			log_debug(m->id, "resume: our journal has its end");
			return 0;
		}
		if (a->running != NULL) {
			log_info(m->id, "resume waits for deployment %s",
			    a->running->id);
			return 0;
		}
		d = deployment_new(x, m->id, a);
	} else {
		if (d->arena == NULL && deployment_load(x, d, e) == -1)
			return -1;
		if (d->phase == PH_ENDED || d->phase == PH_CHAIN ||
		    !ahead(m, &d->s))
			return 0;
		if (plan == NULL && d->s.plan != NULL) {
			/* The plan is the same; how far it came is not. */
			with = *f->u.resume;
			with.plan = msg_copy(d->s.plan, x->turn);
			both.u.resume = &with;
			frame_write(&text, &both);
			f = &both;
			line = text.p;
			len = text.len;
		} else if (plan == NULL && !deployment_ended(m->status))
			return 0;
		if (set_aside(x, d, e) == -1) {
			err_wrap(e, "resume %s", m->id);
			goto out;
		}
	}
	rv = take_over(x, d, f, line, len, e);
out:
	buf_free(&text);
	return rv;
}

/* --- applications ---------------------------------------------------------- */

static char *
key_of(struct exec *x, const Frame__Past *p)
{
	return arena_printf(
	    x->turn, "%s/%s/%s", p->repo, p->path, p->config_filename);
}

/* Its id where no control plane gives one. */
static void
own_id(char id[UUID_LEN], const Frame__Past *p)
{
	const char *parts[4] = { "application", p->repo, p->path,
		p->config_filename };

	uuid5(id, parts, 4);
}

/* The ids that were given, by what they were given to. */
static void
given_load(struct exec *x)
{
	struct arena *a = arena_new();
	const char *line;
	char id[UUID_LEN];
	struct frame f;
	struct err e;
	size_t i = 0, len;

	x->given = map_new();
	while (apps_next(x->apps, &i, &line, &len)) {
		arena_reset(a);
		if (frame_parse(&f, line, len, a, &e) != 1)
			continue;
		own_id(id, f.u.past);
		if (strcmp(id, f.u.past->application_id) != 0)
			free(map_put(x->given, key_of(x, f.u.past),
			    xstrdup(f.u.past->application_id)));
	}
	arena_free(a);
}

/* What is known of that application under another id; NULL. */
static Frame__Past *
known_as(struct exec *x, const Frame__Past *now)
{
	const char *was;
	char id[UUID_LEN];
	Frame__Past *p;

	own_id(id, now);
	if (strcmp(id, now->application_id) != 0 &&
	    (p = apps_get(x->apps, id, x->turn)) != NULL)
		return p;
	if (x->given == NULL)
		given_load(x);
	was = map_get(x->given, key_of(x, now));
	return was == NULL || strcmp(was, now->application_id) == 0
		   ? NULL
		   : apps_get(x->apps, was, x->turn);
}

static void
given_put(struct exec *x, const Frame__Past *p)
{
	if (x->given != NULL)
		free(map_put(
		    x->given, key_of(x, p), xstrdup(p->application_id)));
}

void
app_registered(
    struct exec *x, const Model__Application *m, bool by_control_plane)
{
	Frame__Past *was, now;
	struct app *old;
	char **tombs;

	if (apps_line(x->apps, m->id, &(size_t){ 0 }) != NULL ||
	    !frame_past_of(&now, m, x->turn))
		return;
	if ((was = known_as(x, &now)) == NULL) {
		/* An empty disk: the control plane remembers. */
		if (!by_control_plane || now.triggered_commit == NULL)
			return;
		log_info(
		    m->id, "app known from the control plane: %s", m->name);
		past_said(x, &now);
		given_put(x, &now);
		return;
	}
	old = map_get(x->app, was->application_id);
	if (old != NULL && (old->running != NULL || old->queue != NULL))
		return; /* it goes on under the old id; then */
	log_info(m->id, "app adopted: it was known as %s", was->application_id);
	tombs = arena_array(x->turn, char *, was->n_tombstones + 1);
	if (was->n_tombstones > 0)
		memcpy(
		    tombs, was->tombstones, was->n_tombstones * sizeof(*tombs));
	tombs[was->n_tombstones++] = was->application_id;
	was->tombstones = tombs;
	was->application_id = arena_strdup(x->turn, m->id);
	past_said(x, was);
	given_put(x, was);
	if (old != NULL)
		old->known = false;
}
