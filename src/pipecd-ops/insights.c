/*
 * Delivery figures (insight.proto): finished deployments become short records,
 * in a chunk of their month, each once however often it is looked at, so that
 * an agent that was away for a day is counted where its deployments ended.
 */
#include <stdlib.h>
#include <string.h>

#include "figures.h"

static bool
superseded(const Model__Deployment *d)
{
	return d->status == MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_CANCELLED &&
	       str_prefix(d->status_reason, "superseded by deployment");
}

/* --- what came before it ---------------------------------------------------
 */

struct past {
	const Model__Deployment *d;
	int64_t failed_at; /* of the first failure since the last success */
	bool delivered;	   /* this commit was there before */
	bool success;	   /* we have seen the last success */
	unsigned left;
};

static const char *
commit_of(const Model__Deployment *d)
{
	return d->trigger != NULL && d->trigger->commit != NULL
		   ? d->trigger->commit->hash
		   : "";
}

/* Newest first; 1 when enough was seen. */
static int
one_past(void *arg, const Store__Record *r, struct arena *a, struct err *e)
{
	struct past *p = arg;
	const Model__Deployment *d =
	    record_of(&model__deployment__descriptor, r, a, e);

	if (d == NULL)
		return -1;
	if (strcmp(d->id, p->d->id) == 0 ||
	    d->completed_at > p->d->completed_at)
		return 0;
	if (d->status == MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_SUCCESS) {
		p->delivered |= strcmp(commit_of(d), commit_of(p->d)) == 0;
		p->success = true;
	} else if (!p->success &&
		   d->status == MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_FAILURE)
		p->failed_at = d->completed_at;
	return (p->success && p->delivered) || --p->left == 0;
}

static int
look_back(
    struct ops *o, const Model__Deployment *d, struct past *p, struct err *e)
{
	struct list l;

	*p = (struct past){ .d = d, .left = 20 };
	list_init(&l, "deployment", "completed_at", false);
	list_filter(&l, "application_id", d->application_id);
	l.l.max = d->completed_at;
	l.l.limit = 10;
	return list_each(o, &l, one_past, p, e) == -1 ? -1 : 0;
}

/* --- records ---------------------------------------------------------------
 */

static Insight__Record *
record_make(const Model__Deployment *d, const struct past *p, struct arena *a)
{
	Insight__Record *r = arena_new_of(a, Insight__Record);
	int64_t commit_at;
	size_t i;

	insight__record__init(r);
	r->id = arena_strdup(a, d->id);
	r->application_id = arena_strdup(a, d->application_id);
	r->status = d->status;
	r->completed_at = d->completed_at;
	r->labels =
	    arena_array(a, Insight__Record__LabelsEntry *, d->n_labels + 1);
	for (i = 0; i < d->n_labels; i++) {
		Insight__Record__LabelsEntry *l =
		    arena_new_of(a, Insight__Record__LabelsEntry);

		insight__record__labels_entry__init(l);
		l->key = arena_strdup(a, d->labels[i]->key);
		l->value = arena_strdup(a, d->labels[i]->value);
		r->labels[r->n_labels++] = l;
	}
	if (d->status != MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_SUCCESS)
		return r;
	commit_at = d->trigger != NULL && d->trigger->commit != NULL
			? d->trigger->commit->created_at
			: 0;
	if (!p->delivered && commit_at > 0)
		r->lead_s = d->completed_at > commit_at
				? d->completed_at - commit_at
				: 1;
	if (p->failed_at > 0)
		r->restore_s = d->completed_at > p->failed_at
				   ? d->completed_at - p->failed_at
				   : 1;
	return r;
}

struct collect {
	struct ops *o;
	struct figures f;
	int64_t newest; /* updated_at */
};

static int
one_deployment(
    void *arg, const Store__Record *r, struct arena *a, struct err *e)
{
	struct collect *c = arg;
	const Model__Deployment *d =
	    record_of(&model__deployment__descriptor, r, a, e);
	struct past p;

	if (d == NULL)
		return -1;
	if (d->updated_at > c->newest)
		c->newest = d->updated_at;
	if (superseded(d) || d->completed_at <= 0)
		return 0;
	if (look_back(c->o, d, &p, e) == -1)
		return -1;
	return figures_add(&c->f, record_make(d, &p, c->f.arena), e);
}

/* --- projects --------------------------------------------------------------
 */

struct walk {
	struct ops *o;
	struct did *d;
};

static int
deployments(struct ops *o, const char *project, struct did *d, struct err *e)
{
	struct collect c = { .o = o };
	struct arena *a = arena_new();
	const char *note = arena_printf(a, "insights/%s", project);
	struct list l;
	int64_t from;
	int rv = -1;

	figures_init(&c.f, o, project);
	if (note_get(o, note, &from, NULL, a, e) == -1)
		goto out;
	list_init(&l, "deployment", "updated_at", true);
	list_filter(&l, "project_id", project);
	list_filter(&l, "status", "DEPLOYMENT_SUCCESS");
	list_filter(&l, "status", "DEPLOYMENT_FAILURE");
	list_filter(&l, "status", "DEPLOYMENT_CANCELLED");
	/* Those of the last second again: there may be more of it. */
	l.l.min = from;
	c.newest = from;
	if (list_each(o, &l, one_deployment, &c, e) == -1 ||
	    figures_flush(&c.f, e) == -1)
		goto out;
	did(d, "deployments", c.f.added);
	rv =
	    c.newest > from ? note_put(o, note, project, c.newest, NULL, e) : 0;
out:
	figures_free(&c.f);
	arena_free(a);
	return rv;
}

static int
one_project(void *arg, const char *project, struct err *e)
{
	struct walk *w = arg;
	const struct conf_control *c = w->o->conf;

	if (c->insight.applications &&
	    applications_count(w->o, project, w->d, e) == -1)
		return err_wrap(e, "project %s", project);
	if (c->insight.deployments && deployments(w->o, project, w->d, e) == -1)
		return err_wrap(e, "project %s", project);
	return 0;
}

int
job_insights(struct ops *o, char *const *argv, struct did *d, struct err *e)
{
	struct walk w = { o, d };

	(void)argv;
	did(d, "applications", 0);
	did(d, "deployments", 0);
	return project_each(o, one_project, &w, e);
}
