/* command.c - what somebody asked for. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "plan.h"

enum {
	KEEP_MS = 600000 /* an answer is repeated that long */
};

/* A command that was answered; the command may come again. */
struct answered {
	int64_t at_ms;
	char deployment_id[UUID_LEN]; /* "" : failed */
	char *reason;		      /* owned */
};

static void
commands_expire(struct plan *p)
{
	struct answered *c;
	const char *id;
	size_t i;
	void *v;

	for (i = 0; map_next(p->commands, &i, &id, &v);) {
		c = v;
		if (now_ms() - c->at_ms < KEEP_MS)
			continue;
		map_del(p->commands, id);
		free(c->reason);
		free(c);
	}
}

void
commands_free(struct plan *p)
{
	struct answered *c;
	const char *id;
	size_t i;
	void *v;

	for (i = 0;
	     p->commands != NULL && map_next(p->commands, &i, &id, &v);) {
		c = v;
		free(c->reason);
		free(c);
	}
	map_free(p->commands);
}

static int
answer_say(
    struct plan *p, const char *id, const struct answered *c, struct err *e)
{
	Frame__CommandDone f = FRAME__COMMAND_DONE__INIT;
	Frame__CommandDone__MetadataEntry m, *list[1] = { &m };
	struct arena *a = arena_new();
	int rv;

	f.command_id = arena_strdup(a, id);
	f.status = MODEL__COMMAND_STATUS__COMMAND_FAILED;
	f.reason = arena_strdup(a, c->reason);
	frame__command_done__metadata_entry__init(&m);
	if (c->deployment_id[0] != '\0') {
		f.status = MODEL__COMMAND_STATUS__COMMAND_SUCCEEDED;
		m.key = arena_strdup(a, "TriggeredDeploymentID");
		m.value = arena_strdup(a, c->deployment_id);
		f.metadata = list;
		f.n_metadata = 1;
	}
	rv = plan_tell(p, FRAME_OF(command_done, &f), e);
	arena_free(a);
	return rv;
}

int
command_answer(struct plan *p, const char *id, const char *deployment,
    const char *reason, struct err *e)
{
	struct answered *c = xcalloc(1, sizeof(*c)), *old;

	commands_expire(p);
	c->at_ms = now_ms();
	if (deployment != NULL)
		memcpy(c->deployment_id, deployment, UUID_LEN);
	c->reason = xstrdup(reason);
	if ((old = map_put(p->commands, id, c)) != NULL) {
		free(old->reason);
		free(old);
	}
	return answer_say(p, id, c, e);
}

static int
command_sync(struct plan *p, const Model__Command *c, struct app *a,
    struct trigger *t, struct err *e)
{
	struct pass s;
	int rv;

	if (c->commander != NULL && c->commander[0] != '\0')
		t->commander = xstrdup(c->commander);
	else
		t->commander = xstrdup("a command");
	t->command = xstrdup(c->id);
	trigger_add(p, a, t);
	pass_open(&s, a->repo, a->repo->head);
	rv = deploy_next(p, &s, a, e);
	pass_close(&s);
	return rv;
}

/* The application of a command, or NULL after it was answered or left. */
static struct app *
command_app(struct plan *p, const Model__Command *c, const char *id, bool chain,
    struct err *e, int *rv)
{
	struct app *a = app_by_id(p, id);
	const char *why = NULL;

	*rv = 0;
	if (a == NULL || a->state == APP_NEW || a->state == APP_OTHER ||
	    !app_deploys(p, a)) {
		log_warn(
		    c->id, "command application=%s is not one of ours", id);
		return NULL;
	}
	if (a->state == APP_GONE)
		why = "the application is not in git any more";
	else if (a->state == APP_INVALID)
		why = "the application's configuration is invalid";
	else if (chain && !a->on_chain)
		why = "spec.trigger.onChain is disabled";
	else if (!chain && !a->on_command)
		why = "spec.trigger.onCommand is disabled";
	if (why == NULL)
		return a;
	*rv = command_answer(p, c->id, NULL, why, e);
	return NULL;
}

static int
sync_take(struct plan *p, const Model__Command *c, struct err *e)
{
	const Model__Command__SyncApplication *sync = c->sync_application;
	struct trigger *t;
	struct app *a;
	int rv;

	a = command_app(p, c,
	    sync != NULL ? sync->application_id : c->application_id, false, e,
	    &rv);
	if (a == NULL)
		return rv;
	t = trigger_new(
	    a, MODEL__TRIGGER_KIND__ON_COMMAND, a->repo->head, c->id);
	if (sync != NULL)
		t->strategy = sync->sync_strategy;
	return command_sync(p, c, a, t, e);
}

/* An earlier revision, by its commit. */
static int
rollback_take(struct plan *p, const Model__Command *c, struct err *e)
{
	const Model__Command__RollbackDeployment *back = c->rollback_deployment;
	struct trigger *t;
	struct app *a;
	int rv;

	if (back == NULL || !is_commit(back->commit_hash))
		return command_answer(p, c->id, NULL,
		    "rollback_deployment.commit_hash: not a commit", e);
	if ((a = command_app(p, c, back->application_id, false, e, &rv)) ==
	    NULL)
		return rv;
	if (back->config_filename[0] != '\0' &&
	    strcmp(back->config_filename, a->file) != 0)
		return command_answer(p, c->id, NULL,
		    "the application's configuration file had another name "
		    "then",
		    e);
	t = trigger_new(
	    a, MODEL__TRIGGER_KIND__ON_COMMAND, back->commit_hash, c->id);
	t->rollback_to = xstrdup(back->deployment_id);
	return command_sync(p, c, a, t, e);
}

static int
chain_take(struct plan *p, const Model__Command *c, struct err *e)
{
	const Model__Command__ChainSyncApplication *chain =
	    c->chain_sync_application;
	struct trigger *t;
	struct app *a;
	int rv;

	if (chain == NULL)
		return err_set(e, RC_PERM,
		    "command %s: chain_sync_application is missing", c->id);
	if ((a = command_app(p, c, chain->application_id, true, e, &rv)) ==
	    NULL)
		return rv;
	arena_reset(p->work);
	t = trigger_new(a, MODEL__TRIGGER_KIND__ON_CHAIN, a->repo->head,
	    arena_printf(p->work, "%s/%u", chain->deployment_chain_id,
		(unsigned)chain->block_index));
	t->chain = xstrdup(chain->deployment_chain_id);
	t->block = chain->block_index;
	t->strategy = chain->sync_strategy;
	return command_sync(p, c, a, t, e);
}

int
command_take(struct plan *p, const Frame__Command *f, struct err *e)
{
	const Model__Command *c = f->command;
	int (*take)(struct plan *, const Model__Command *, struct err *);
	struct answered *was;

	switch (c->type) {
	case MODEL__COMMAND__TYPE__SYNC_APPLICATION:
		take = sync_take;
		break;
	case MODEL__COMMAND__TYPE__ROLLBACK_DEPLOYMENT:
		take = rollback_take;
		break;
	case MODEL__COMMAND__TYPE__CHAIN_SYNC_APPLICATION:
		take = chain_take;
		break;
	default:
		return 0;
	}
	if ((was = map_get(p->commands, c->id)) != NULL)
		return answer_say(p, c->id, was, e);
	return take(p, c, e);
}

static int
command_line(struct plan *p, const struct frame *f, struct err *e)
{
	return f->kind == FRAME_command ? command_take(p, f->u.command, e) : 0;
}

int
commands_load(struct plan *p, struct err *e)
{
	struct reading all = { 0 };

	return lines_load(p, "commands.ndjson", &all, command_line, e);
}
