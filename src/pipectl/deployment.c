#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "request.h"

/* pipectl deployment: what happened, what happens, and stepping in. */

Model__Deployment *
deployment_read(struct ctl *c, const char *id, struct err *e)
{
	API(GetDeploymentRequest) q;
	API(GetDeploymentResponse) * r;

	API_(get_deployment_request__init)(&q);
	q.deployment_id = request_text(c, id);
	r = client_call(c, SERVICE_API, "GetDeployment", &q.base,
	    &API_(get_deployment_response__descriptor), e);
	if (r == NULL)
		return NULL;
	if (r->deployment == NULL)
		err_set(e, RC_NO, "%s: no such deployment", id);
	return r->deployment;
}

static bool
ended(const Model__Deployment *d)
{
	return d->status >= MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_SUCCESS;
}

/* --- following one --------------------------------------------------------- */

struct following {
	struct ctl *c;
	int (*see)(void *arg, const Model__Deployment *d); /* not 0: enough */
	void *arg;
	int64_t deadline_ms;
};

static int
on_state(void *arg, const ProtobufCMessage *m)
{
	const API(GetDeploymentResponse) *r = (const void *)m;
	struct following *f = arg;

	return r->deployment != NULL ? f->see(f->arg, r->deployment) : 0;
}

/*
 * A server that tells nothing by itself is asked again and again: PipeCD's, or
 * ours while it is restarted.
 */
static int
follow_by_asking(struct following *f, const char *id, struct err *e)
{
	struct ctl *c = f->c;
	struct arena *whole = c->a;
	int64_t every =
	    arg_given(c, "check-interval") ? arg_ms(c, "check-interval") : 2000;
	Model__Deployment *d;
	int rv = 0;

	c->a = arena_new(); /* of one look */
	while (rv == 0) {
		arena_reset(c->a);
		if ((d = deployment_read(c, id, e)) != NULL)
			rv = f->see(f->arg, d);
		else if (e->exit != RC_TEMP)
			rv = -1;
		if (rv == 0 && !client_wait(every, f->deadline_ms)) {
			rv = err_set(e, RC_TEMP,
			    "deployment %s: not there yet when time was up",
			    id);
		}
	}
	arena_free(c->a);
	c->a = whole;
	return rv;
}

static int
follow(struct ctl *c, const char *id, int64_t deadline_ms,
    int (*see)(void *, const Model__Deployment *), void *arg, struct err *e)
{
	struct following f = { c, see, arg, deadline_ms };
	API(GetDeploymentRequest) q;
	struct err quiet;
	int rv;

	API_(get_deployment_request__init)(&q);
	q.deployment_id = request_text(c, id);
	if (!arg_given(c, "check-interval")) {
		rv = client_stream(c, SERVICE_OPERATOR, "WatchDeployment",
		    &q.base, &API_(get_deployment_response__descriptor),
		    on_state, &f, deadline_ms, &quiet);
		if (rv > 0)
			return rv;
		if (rv == -1 && quiet.exit == RC_NO) {
			*e = quiet;
			return -1;
		}
	}
	return follow_by_asking(&f, id, e);
}

/* --- get, list, wait-status ------------------------------------------------ */

static void
print_deployment(struct ctl *c, const Model__Deployment *d)
{
	enum format f = format_of(c);

	print_one(c, &d->base);
	if ((f == FORMAT_TABLE || f == FORMAT_WIDE) && d->n_stages > 0) {
		putchar('\n');
		print_list(c, &d->base, "stages");
	}
	fflush(stdout);
}

static int
see_print(void *arg, const Model__Deployment *d)
{
	print_deployment(arg, d);
	return ended(d);
}

int
deployment_get(struct ctl *c, struct err *e)
{
	Model__Deployment *d;
	int rv;

	if (arg_bool(c, "watch")) {
		rv = follow(
		    c, arg_str(c, "deployment-id"), INT64_MAX, see_print, c, e);
		return rv == -1 ? -1 : RC_OK;
	}
	d = deployment_read(c, arg_str(c, "deployment-id"), e);
	if (d == NULL)
		return -1;
	print_deployment(c, d);
	return RC_OK;
}

int
deployment_list(struct ctl *c, struct err *e)
{
	API(ListDeploymentsRequest) q;

	API_(list_deployments_request__init)(&q);
	q.statuses = request_list(c, "status", &q.n_statuses);
	q.kinds = request_list(c, "app-kind", &q.n_kinds);
	q.application_ids = request_list(c, "app-id", &q.n_application_ids);
	q.application_name = request_arg(c, "app-name");
	q.labels = request_pairs(c, "label",
	    &API_(list_deployments_request__labels_entry__descriptor),
	    &q.n_labels);
	q.limit = (int32_t)arg_int(c, "limit");
	q.cursor = request_arg(c, "cursor");
	return list_show(c, SERVICE_API, "ListDeployments", &q.base,
	    &API_(list_deployments_response__descriptor), "deployments", e);
}

struct wanted {
	struct ctl *c;
	const char *option;
	bool met;
};

static int
see_status(void *arg, const Model__Deployment *d)
{
	struct wanted *w = arg;
	const char *status = msg_enum_name(
	    &model__deployment_status__descriptor, (int)d->status, MSG_FRAME);
	const char **v;
	size_t i, n;

	v = arg_list(w->c, w->option, &n);
	for (i = 0; i < n && !w->met; i++)
		w->met = strcmp(v[i], status) == 0;
	if (!w->met && !ended(d))
		return 0;
	print_deployment(w->c, d);
	return 1;
}

int
deployment_wait(struct ctl *c, const char *id, const char *option,
    int64_t deadline_ms, struct err *e)
{
	struct wanted w = { c, option, false };

	if (follow(c, id, deadline_ms, see_status, &w, e) == -1)
		return -1;
	return w.met ? RC_OK : RC_NO;
}

int
deployment_wait_status(struct ctl *c, struct err *e)
{
	return deployment_wait(c, arg_str(c, "deployment-id"), "status",
	    now_ms() + arg_ms(c, "timeout"), e);
}

/* --- stepping in ----------------------------------------------------------- */

/* --stage-id, or the one stage that runs. */
static char *
stage_meant(struct ctl *c, struct err *e)
{
	Model__PipelineStage *found = NULL, *s;
	Model__Deployment *d;
	size_t i;

	if (arg_given(c, "stage-id"))
		return request_arg(c, "stage-id");
	d = deployment_read(c, arg_str(c, "deployment-id"), e);
	if (d == NULL)
		return NULL;
	for (i = 0; i < d->n_stages; i++) {
		s = d->stages[i];
		if (s->status != MODEL__STAGE_STATUS__STAGE_RUNNING)
			continue;
		if (found != NULL) {
			err_set(e, RC_PERM,
			    "--stage-id is needed: %s and %s both run",
			    found->id, s->id);
			return NULL;
		}
		found = s;
	}
	if (found == NULL) {
		err_set(e, RC_NO, "no stage of deployment %s runs now", d->id);
		return NULL;
	}
	return found->id;
}

int
deployment_cancel(struct ctl *c, struct err *e)
{
	WEB(CancelDeploymentRequest) q;
	WEB(CancelDeploymentResponse) * r;

	if (arg_bool(c, "rollback") && arg_bool(c, "no-rollback"))
		return err_set(
		    e, RC_PERM, "--rollback and --no-rollback: one of them");
	WEB_(cancel_deployment_request__init)(&q);
	q.deployment_id = request_arg(c, "deployment-id");
	q.force_rollback = arg_bool(c, "rollback");
	q.force_no_rollback = arg_bool(c, "no-rollback");
	r = client_call(c, SERVICE_OPERATOR, "CancelDeployment", &q.base,
	    &WEB_(cancel_deployment_response__descriptor), e);
	return r != NULL ? command_done(c, r->command_id, e) : -1;
}

int
deployment_approve(struct ctl *c, struct err *e)
{
	WEB(ApproveStageRequest) q;
	WEB(ApproveStageResponse) * r;

	WEB_(approve_stage_request__init)(&q);
	q.deployment_id = request_arg(c, "deployment-id");
	if ((q.stage_id = stage_meant(c, e)) == NULL)
		return -1;
	r = client_call(c, SERVICE_OPERATOR, "ApproveStage", &q.base,
	    &WEB_(approve_stage_response__descriptor), e);
	return r != NULL ? command_done(c, r->command_id, e) : -1;
}

int
deployment_skip(struct ctl *c, struct err *e)
{
	WEB(SkipStageRequest) q;
	WEB(SkipStageResponse) * r;

	WEB_(skip_stage_request__init)(&q);
	q.deployment_id = request_arg(c, "deployment-id");
	if ((q.stage_id = stage_meant(c, e)) == NULL)
		return -1;
	r = client_call(c, SERVICE_OPERATOR, "SkipStage", &q.base,
	    &WEB_(skip_stage_response__descriptor), e);
	return r != NULL ? command_done(c, r->command_id, e) : -1;
}

int
deployment_rollback(struct ctl *c, struct err *e)
{
	Pipecd__Operator__RollbackDeploymentRequest q;
	Pipecd__Operator__RollbackDeploymentResponse *r;

	pipecd__operator__rollback_deployment_request__init(&q);
	q.deployment_id = request_arg(c, "deployment-id");
	r = client_call(c, SERVICE_OPERATOR, "RollbackDeployment", &q.base,
	    &pipecd__operator__rollback_deployment_response__descriptor, e);
	return r != NULL ? command_deploys(c, r->command_id, e) : -1;
}
