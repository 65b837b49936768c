/* register.c - what the control plane knows: applications, deployments. */
#include <stdlib.h>
#include <string.h>

#include "plan.h"

#define PENDING MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_PENDING

struct app *
app_by_id(const struct plan *p, const char *id)
{
	struct app *a = map_get(p->given, id);

	return a != NULL ? a : map_get(p->apps, id);
}

bool
app_deploys(const struct plan *p, const struct app *a)
{
	return p->conf.api_address == NULL || a->registered;
}

bool
app_triggers(const struct plan *p, const struct app *a)
{
	return app_deploys(p, a) && now_ms() >= p->fenced_until;
}

void
app_give(struct plan *p, struct app *a, const char *id)
{
	if (strcmp(a->id, id) == 0 || strlen(id) >= sizeof(a->given))
		return;
	/* Without a control plane an application has its own id. */
	if (p->conf.api_address == NULL)
		return;
	memcpy(a->given, id, strlen(id) + 1);
	map_put(p->given, id, a);
	app_adopt(p, a);
}

void
app_adopt(struct plan *p, struct app *a)
{
	(void)p;
	if (a->given[0] == '\0' || strcmp(a->given, a->id) == 0 ||
	    past_unfinished(&a->past) || a->triggers != NULL)
		return;
	log_info(a->id, "app adopted: the control plane calls it %s", a->given);
	memcpy(a->id, a->given, sizeof(a->id));
	a->changed = true;
}

/* The application at that place; NULL: in no repository of ours. */
static struct app *
app_at(struct plan *p, const Frame__Past *where)
{
	struct repo *r = repo_get(p, where->repo);

	if (r == NULL)
		return NULL;
	return app_get(p, r, where->path, where->config_filename);
}

/* Say it as it is now, and deploy what is due. */
static int
app_look(struct plan *p, struct app *a, struct err *e)
{
	struct repo *r = a->repo;
	struct pass s;
	int rv = -1;

	if (r->head[0] == '\0' || a->state == APP_NEW)
		return 0; /* its turn comes */
	if (a->changed && app_say(p, a, e) == -1)
		return -1;
	pass_open(&s, r, r->head);
	if (trigger_commit(p, &s, a, e) == 0 &&
	    (a->triggers == NULL || deploy_next(p, &s, a, e) == 0))
		rv = 0;
	pass_close(&s);
	return rv;
}

static void
triggers_drop(struct plan *p, struct app *a)
{
	struct trigger *t;

	while ((t = a->triggers) != NULL) {
		a->triggers = t->next;
		trigger_free(p, t);
	}
}

int
app_register(struct plan *p, const Frame__App *f, struct err *e)
{
	const Model__Application *m = f->application;
	bool off = m->disabled, gone = f->gone || m->deleted;
	Frame__Past where;
	struct app *a;

	/* What plan itself says comes back to nobody but a pipe's reader. */
	if (p->conf.api_address == NULL || f->commit != NULL)
		return 0;
	arena_reset(p->work);
	if (!frame_past_of(&where, m, p->work) || m->id[0] == '\0' ||
	    strlen(m->id) >= UUID_LEN)
		return err_set(e, RC_PERM,
		    "app: application \"%.60s\" has no place in a repository, "
		    "or an id that is none",
		    m->id);
	if ((a = app_at(p, &where)) == NULL) {
		log_debug(m->id, "app repo=%s is not configured", where.repo);
		return 0;
	}
	if (a->registered == (!off && !gone) && a->disabled == off &&
	    strcmp(a->given[0] != '\0' ? a->given : a->id, m->id) == 0)
		return 0; /* again */
	a->changed |= a->registered || !gone;
	a->registered = !off && !gone;
	a->disabled = off && !gone;
	if (!a->registered) {
		triggers_drop(p, a);
		log_info(m->id, "app %s repo=%s path=%s: not deployed any more",
		    off ? "disabled" : "unregistered", where.repo, where.path);
		return app_look(p, a, e);
	}
	/* An empty disk: the control plane remembers. */
	if (a->past.deployment_id[0] == '\0' && a->past.triggered[0] == '\0' &&
	    where.triggered_commit != NULL && past_take(p, &where, e) == -1)
		return -1;
	app_give(p, a, m->id);
	return app_look(p, a, e);
}

/* --- deployments ----------------------------------------------------------- */

static Model__TriggerKind
kind_of(const Model__Deployment *m)
{
	if (m->deployment_chain_id[0] != '\0')
		return MODEL__TRIGGER_KIND__ON_CHAIN;
	if (m->trigger->commander[0] != '\0')
		return MODEL__TRIGGER_KIND__ON_COMMAND;
	return MODEL__TRIGGER_KIND__ON_COMMIT;
}

static void
resume_set(struct trigger *t, const Model__Deployment *m)
{
	t->resume_arena = arena_new();
	t->resume = msg_copy(m, t->resume_arena);
	t->announced = true;
	t->planned = false;
	t->tries = 0;
	t->again_ms = 0;
}

/* As it was triggered then; what is begun keeps all it had. */
static struct trigger *
resume_trigger(struct app *a, const Model__Deployment *m)
{
	struct trigger *t;

	t = trigger_new(
	    a, kind_of(m), m->trigger->commit->hash, m->trigger->commit->hash);
	memcpy(t->deployment_id, m->id, strlen(m->id) + 1);
	t->strategy = m->trigger->sync_strategy;
	if (m->trigger->commander[0] != '\0')
		t->commander = xstrdup(m->trigger->commander);
	if (m->deployment_chain_id[0] != '\0')
		t->chain = xstrdup(m->deployment_chain_id);
	t->block = m->deployment_chain_block_index;
	t->at = m->trigger->timestamp;
	t->announced = true;
	if (m->status != PENDING)
		resume_set(t, m);
	return t;
}

static bool
resume_good(const Model__Deployment *m)
{
	return m->status < MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_SUCCESS &&
	       m->id[0] != '\0' && strlen(m->id) < UUID_LEN &&
	       m->application_id[0] != '\0' &&
	       strlen(m->application_id) < UUID_LEN && m->trigger != NULL &&
	       m->trigger->commit != NULL &&
	       is_commit(m->trigger->commit->hash);
}

int
resume_take(struct plan *p, const Frame__Resume *f, struct err *e)
{
	const Model__Deployment *m = f->deployment;
	Model__Application at = MODEL__APPLICATION__INIT;
	Frame__Past where;
	struct trigger *t;
	struct pass s;
	struct app *a;
	int rv;

	if (f->plan != NULL)
		return 0; /* whoever planned it: exec has it */
	arena_reset(p->work);
	at.id = m->application_id;
	at.git_path = m->git_path;
	if (!resume_good(m) || !frame_past_of(&where, &at, p->work))
		return err_set(e, RC_PERM,
		    "resume: deployment \"%.60s\" is not unfinished, or lacks "
		    "its application, commit or place",
		    m->id);
	if ((a = app_at(p, &where)) == NULL) {
		log_warn(m->id, "resume: repository %s is not configured",
		    where.repo);
		return 0;
	}
	for (t = a->triggers; t != NULL; t = t->next)
		if (strcmp(t->deployment_id, m->id) == 0)
			break;
	if (t != NULL && (t->resume != NULL || m->status == PENDING))
		return 0; /* again */
	if (t != NULL) {
		/* Triggered here as if it were new: it is not. */
		resume_set(t, m);
		goto plan;
	}
	/*
	 * exec has it at least as far: it says so in past.  An end without a
	 * time is no end: exec took it from the control plane, as unfinished.
	 */
	if (strcmp(a->past.deployment_id, m->id) == 0 &&
	    a->past.status >= m->status && a->past.status != PENDING &&
	    (past_unfinished(&a->past) || a->past.completed_at > 0))
		return 0;
	app_give(p, a, m->application_id);
	memcpy(a->id, m->application_id, strlen(m->application_id) + 1);
	if (a->past.running[0] == '\0' && is_commit(m->running_commit_hash)) {
		memcpy(a->past.running, m->running_commit_hash, GIT_ID);
		free(a->past.running_file);
		a->past.running_file = xstrdup(m->running_config_filename);
	}
	if (a->last[0] == '\0')
		memcpy(a->last, m->trigger->commit->hash, GIT_ID);
	t = resume_trigger(a, m);
	t->next = a->triggers;
	a->triggers = t;
plan:
	if (a->repo->git == NULL || a->repo->head[0] == '\0')
		return 0;
	pass_open(&s, a->repo, a->repo->head);
	rv = deploy_next(p, &s, a, e);
	pass_close(&s);
	return rv;
}

void
unregistered_warn(const struct plan *p)
{
	const char *id;
	size_t i = 0, n = 0;
	void *v;

	while (map_next(p->apps, &i, &id, &v)) {
		const struct app *a = v;

		n += a->state == APP_GOOD && !a->disabled && !app_deploys(p, a);
	}
	if (n > 0)
		log_warn("-",
		    "%zu of the applications in git are not registered with "
		    "the control plane (spec.apiAddress) and not deployed; app "
		    "frames on stdin register them",
		    n);
}
