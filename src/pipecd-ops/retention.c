/*
 * What may go, by its age and by how many there are.  The last deployment of
 * an application and the last successful one are never removed, nor are their
 * logs: agents compare with them, and people look there first.
 */
#include <stdio.h>
#include <string.h>

#include "model/application.pb-c.h"
#include "model/command.pb-c.h"
#include "model/deployment.pb-c.h"
#include "model/event.pb-c.h"
#include "ops.h"

struct walk {
	struct ops *o;
	struct batch b;
	const char *table;
	int64_t newest, logs, removed;
	bool whole; /* the records; else their logs only */
	/* Of the application in hand. */
	char application[64];
	bool known;
	char latest[64], success[64];
	int64_t keep;
};

static void
finals(struct list *l)
{
	list_filter(l, "status", "DEPLOYMENT_SUCCESS");
	list_filter(l, "status", "DEPLOYMENT_FAILURE");
	list_filter(l, "status", "DEPLOYMENT_CANCELLED");
}

/* --- which stay ------------------------------------------------------------
 */

static void
refs_of(struct walk *w, const Model__Application *m)
{
	*w->latest = *w->success = '\0';
	if (m->most_recently_triggered_deployment != NULL)
		(void)snprintf(w->latest, sizeof(w->latest), "%s",
		    m->most_recently_triggered_deployment->deployment_id);
	if (m->most_recently_successful_deployment != NULL)
		(void)snprintf(w->success, sizeof(w->success), "%s",
		    m->most_recently_successful_deployment->deployment_id);
}

static int
application_of(struct walk *w, const char *id, struct arena *a, struct err *e)
{
	Model__Application *m;
	uint64_t version;
	int rv;

	if (w->known && strcmp(w->application, id) == 0)
		return 0;
	*w->latest = *w->success = '\0';
	rv = ops_get(w->o, "application", id, &model__application__descriptor,
	    &m, &version, a, e);
	if (rv == -1)
		return -1;
	if (rv == 1)
		refs_of(w, m);
	(void)snprintf(w->application, sizeof(w->application), "%s", id);
	w->known = true;
	return 0;
}

static bool
stays(const struct walk *w, const char *deployment)
{
	return strcmp(w->latest, deployment) == 0 ||
	       strcmp(w->success, deployment) == 0;
}

static int
logs_delete(struct walk *w, const char *id, struct arena *a, struct err *e)
{
	Store__Request q = STORE__REQUEST__INIT;
	Store__LogDelete l = STORE__LOG_DELETE__INIT;

	l.deployment_id = str(id);
	STORE_ASK(&q, LOG_DELETE, log_delete, &l);
	if (ops_ask(w->o, &q, a, e) == NULL)
		return err_wrap(e, "logs of %s", id);
	w->logs++;
	return 0;
}

static int
remove_one(struct walk *w, const char *id, struct arena *a, struct err *e)
{
	if (stays(w, id))
		return 0;
	if (w->whole)
		return batch_add(&w->b, STORE__OP__KIND__PURGE, "deployment",
		    id, 0, NULL, e);
	return logs_delete(w, id, a, e);
}

/* --- by age ----------------------------------------------------------------
 */

static int
one_old(void *arg, const Store__Record *r, struct arena *a, struct err *e)
{
	struct walk *w = arg;
	const Model__Deployment *d =
	    record_of(&model__deployment__descriptor, r, a, e);

	if (d == NULL || application_of(w, d->application_id, a, e) == -1)
		return -1;
	if (d->completed_at > w->newest)
		w->newest = d->completed_at;
	return remove_one(w, d->id, a, e);
}

static int
deployments_old(
    struct ops *o, int64_t before, int64_t from, struct walk *w, struct err *e)
{
	struct list l;
	int rv;

	batch_init(&w->b, o);
	list_init(&l, "deployment", "completed_at", true);
	finals(&l);
	l.l.min = from;
	l.l.max = before;
	rv = list_each(o, &l, one_old, w, e);
	return batch_end(&w->b, rv, e);
}

/* --- by number -------------------------------------------------------------
 */

/* Newest first: so many are left alone. */
static int
one_of_many(void *arg, const Store__Record *r, struct arena *a, struct err *e)
{
	struct walk *w = arg;
	const Model__Deployment *d =
	    record_of(&model__deployment__descriptor, r, a, e);

	if (d == NULL)
		return -1;
	if (d->completed_at <= 0 || w->keep-- > 0)
		return 0;
	return remove_one(w, d->id, a, e);
}

struct many {
	struct ops *o;
	int64_t deployments, logs; /* to keep; 0: all */
	struct did *d;
};

static int
too_many(
    struct many *m, const Model__Application *app, bool whole, struct err *e)
{
	struct walk w = { .o = m->o, .whole = whole };
	struct list l;
	int rv;

	refs_of(&w, app);
	w.keep = whole ? m->deployments : m->logs;
	if (w.keep == 0)
		return 0;
	batch_init(&w.b, m->o);
	list_init(&l, "deployment", "completed_at", false);
	list_filter(&l, "application_id", app->id);
	l.l.min = 1;
	rv = list_each(m->o, &l, one_of_many, &w, e);
	rv = batch_end(&w.b, rv, e);
	did(m->d, "deployments", w.b.done);
	did(m->d, "logs", w.logs);
	return rv;
}

static int
one_application(
    void *arg, const Store__Record *r, struct arena *a, struct err *e)
{
	struct many *m = arg;
	const Model__Application *app =
	    record_of(&model__application__descriptor, r, a, e);

	if (app == NULL || too_many(m, app, true, e) == -1)
		return -1;
	return too_many(m, app, false, e);
}

static int
by_number(struct ops *o, struct did *d, struct err *e)
{
	struct many m = { .o = o,
		.deployments = o->conf->retention.deployments_max,
		.logs = o->conf->retention.logs_max,
		.d = d };
	struct list l;
	int rv;

	if (m.deployments == 0 && m.logs == 0)
		return 0;
	list_init(&l, "application", "updated_at", true);
	rv = list_each(o, &l, one_application, &m, e);
	l.l.deleted = true;
	return rv == 0 ? list_each(o, &l, one_application, &m, e) : rv;
}

/* --- small things ----------------------------------------------------------
 */

static int
one_command(void *arg, const Store__Record *r, struct arena *a, struct err *e)
{
	struct walk *w = arg;

	(void)a;
	return batch_add(
	    &w->b, STORE__OP__KIND__PURGE, w->table, r->id, 0, NULL, e);
}

static int
one_event(void *arg, const Store__Record *r, struct arena *a, struct err *e)
{
	const Model__Event *v = record_of(&model__event__descriptor, r, a, e);

	if (v == NULL)
		return -1;
	return v->status != MODEL__EVENT_STATUS__EVENT_NOT_HANDLED
		   ? one_command(arg, r, a, e)
		   : 0;
}

static int
small(struct ops *o, const char *table, int64_t age_ms,
    const char *const *statuses,
    int (*fn)(void *, const Store__Record *, struct arena *, struct err *),
    struct did *d, struct err *e)
{
	struct walk w = { .o = o, .table = table };
	struct list l;
	int rv;

	if (age_ms == 0)
		return 0;
	batch_init(&w.b, o);
	list_init(&l, table, "created_at", true);
	for (; *statuses != NULL; statuses++)
		list_filter(&l, "status", *statuses);
	l.l.max = wall_s() - age_ms / 1000;
	rv = list_each(o, &l, fn, &w, e);
	rv = batch_end(&w.b, rv, e);
	did(d, table, w.b.done);
	return rv;
}

/* --- all -------------------------------------------------------------------
 */

/* Logs are looked at once; a day more, for agents that were away. */
static int
logs_old(struct ops *o, struct did *d, struct err *e)
{
	int64_t age_ms = o->conf->retention.logs_ms, from;
	struct walk w = { .o = o };
	int rv = -1;

	if (age_ms == 0)
		return 0;
	if (note_get(o, "ops/retention/logs", &from, NULL, o->arena, e) == -1)
		return -1;
	rv = deployments_old(o, wall_s() - age_ms / 1000,
	    from > 86400 ? from - 86400 : 1, &w, e);
	did(d, "logs", w.logs);
	if (rv == 0 && w.newest > from)
		rv = note_put(o, "ops/retention/logs", "", w.newest, NULL, e);
	return rv;
}

int
job_retention(struct ops *o, char *const *argv, struct did *d, struct err *e)
{
	static const char *const handled[] = { "COMMAND_SUCCEEDED",
		"COMMAND_FAILED", "COMMAND_TIMEOUT", NULL };
	static const char *const any[] = { NULL };
	struct walk w = { .o = o, .whole = true };
	int64_t age_ms = o->conf->retention.deployments_ms;

	(void)argv;
	did(d, "deployments", 0);
	did(d, "logs", 0);
	if (age_ms > 0) {
		if (deployments_old(o, wall_s() - age_ms / 1000, 1, &w, e) ==
		    -1)
			return -1;
		did(d, "deployments", w.b.done);
	}
	if (logs_old(o, d, e) == -1 || by_number(o, d, e) == -1 ||
	    small(o, "command", o->conf->retention.commands_ms, handled,
		one_command, d, e) == -1)
		return -1;
	return small(
	    o, "event", o->conf->retention.events_ms, any, one_event, d, e);
}
