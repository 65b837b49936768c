#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "request.h"

/* pipectl application: what is deployed, and from where. */

/* v1: PLUGIN=TARGET,PLUGIN=TARGET as a map of lists. */
static void
targets_set(struct ctl *c, API(UpdateApplicationDeployTargetsRequest) * q)
{
	typedef API(
	    UpdateApplicationDeployTargetsRequest__DeployTargetsByPluginEntry)
	    entry;
	size_t i, j, n;
	struct pair *p = arg_pairs(c, "deploy-target", &n);
	entry *k;

	q->deploy_targets_by_plugin = arena_array(c->a, entry *, n);
	for (i = 0; i < n; i++) {
		for (j = 0; j < q->n_deploy_targets_by_plugin; j++)
			if (strcmp(q->deploy_targets_by_plugin[j]->key,
				p[i].key) == 0)
				break;
		if (j == q->n_deploy_targets_by_plugin) {
			k = arena_new_of(c->a, entry);
			API_(
			    update_application_deploy_targets_request__deploy_targets_by_plugin_entry__init)
			(k);
			k->key = request_text(c, p[i].key);
			k->value = arena_new_of(c->a, Model__DeployTargets);
			model__deploy_targets__init(k->value);
			k->value->deploy_targets = arena_array(c->a, char *, n);
			q->deploy_targets_by_plugin[j] = k;
			q->n_deploy_targets_by_plugin++;
		}
		k = q->deploy_targets_by_plugin[j];
		k->value->deploy_targets[k->value->n_deploy_targets++] =
		    request_text(c, p[i].value);
	}
}

static int
add_targets(struct ctl *c, const char *id, struct err *e)
{
	API(UpdateApplicationDeployTargetsRequest) q;

	API_(update_application_deploy_targets_request__init)(&q);
	q.application_id = request_text(c, id);
	targets_set(c, &q);
	if (client_call(c, SERVICE_API, "UpdateApplicationDeployTargets",
		&q.base,
		&API_(update_application_deploy_targets_response__descriptor),
		e) == NULL)
		return err_wrap(
		    e, "application %s is registered, its targets are not", id);
	return 0;
}

int
application_add(struct ctl *c, struct err *e)
{
	API(AddApplicationRequest) q;
	API(AddApplicationResponse) * r;
	Model__ApplicationGitPath at;
	Model__ApplicationGitRepository repo;

	API_(add_application_request__init)(&q);
	model__application_git_path__init(&at);
	model__application_git_repository__init(&repo);
	if (!arg_given(c, "deploy-target") &&
	    !arg_given(c, "platform-provider"))
		return err_set(e, RC_PERM,
		    "--platform-provider (v0) or --deploy-target (v1) is "
		    "needed: where it is deployed to");
	repo.id = request_arg(c, "repo-id");
	at.repo = &repo;
	at.path = request_arg(c, "app-dir");
	at.config_filename = request_arg(c, "config-file-name");
	q.git_path = &at;
	q.name = request_arg(c, "app-name");
	q.piped_id = request_arg(c, "piped-id");
	q.kind = (Model__ApplicationKind)msg_enum_value(
	    &model__application_kind__descriptor, arg_str(c, "app-kind"));
	q.description = request_arg(c, "description");
	q.platform_provider = request_arg(c, "platform-provider");
	q.labels = request_pairs(c, "labels",
	    &API_(add_application_request__labels_entry__descriptor),
	    &q.n_labels);
	r = client_call(c, SERVICE_API, "AddApplication", &q.base,
	    &API_(add_application_response__descriptor), e);
	if (r == NULL)
		return -1;
	if (arg_given(c, "deploy-target") &&
	    add_targets(c, r->application_id, e) == -1)
		return -1;
	puts(r->application_id);
	return RC_OK;
}

int
application_get(struct ctl *c, struct err *e)
{
	API(GetApplicationRequest) q;
	API(GetApplicationResponse) * r;

	API_(get_application_request__init)(&q);
	q.application_id = request_arg(c, "app-id");
	r = client_call(c, SERVICE_API, "GetApplication", &q.base,
	    &API_(get_application_response__descriptor), e);
	if (r == NULL)
		return -1;
	if (r->application == NULL)
		return err_set(
		    e, RC_NO, "%s: no such application", q.application_id);
	print_one(c, &r->application->base);
	return RC_OK;
}

/* --- list ------------------------------------------------------------------ */

static void
list_request(struct ctl *c, API(ListApplicationsRequest) * q)
{
	API_(list_applications_request__init)(q);
	q->name = request_arg(c, "app-name");
	q->kind = request_arg(c, "app-kind");
	q->piped_id = request_arg(c, "piped-id");
	q->disabled = arg_bool(c, "disabled");
	q->labels = request_pairs(c, "label",
	    &API_(list_applications_request__labels_entry__descriptor),
	    &q->n_labels);
	q->limit = (int32_t)arg_int(c, "limit");
	q->cursor = request_arg(c, "cursor");
}

int
application_list(struct ctl *c, struct err *e)
{
	API(ListApplicationsRequest) q;

	list_request(c, &q);
	return list_show(c, SERVICE_API, "ListApplications", &q.base,
	    &API_(list_applications_response__descriptor), "applications", e);
}

/* --- one of them ----------------------------------------------------------- */

int
application_enable(struct ctl *c, struct err *e)
{
	API(EnableApplicationRequest) q;

	API_(enable_application_request__init)(&q);
	q.application_id = request_arg(c, "app-id");
	return request_told(c, "EnableApplication", &q.base,
	    &API_(enable_application_response__descriptor), e);
}

int
application_disable(struct ctl *c, struct err *e)
{
	API(DisableApplicationRequest) q;

	API_(disable_application_request__init)(&q);
	q.application_id = request_arg(c, "app-id");
	return request_told(c, "DisableApplication", &q.base,
	    &API_(disable_application_response__descriptor), e);
}

int
application_delete(struct ctl *c, struct err *e)
{
	API(DeleteApplicationRequest) q;

	API_(delete_application_request__init)(&q);
	q.application_id = request_arg(c, "app-id");
	return request_told(c, "DeleteApplication", &q.base,
	    &API_(delete_application_response__descriptor), e);
}

static const char *
sync_with_strategy(struct ctl *c, struct err *e)
{
	WEB(SyncApplicationRequest) q;
	WEB(SyncApplicationResponse) * r;

	WEB_(sync_application_request__init)(&q);
	q.application_id = request_arg(c, "app-id");
	q.sync_strategy = (Model__SyncStrategy)msg_enum_value(
	    &model__sync_strategy__descriptor, arg_str(c, "strategy"));
	r = client_call(c, SERVICE_OPERATOR, "SyncApplication", &q.base,
	    &WEB_(sync_application_response__descriptor), e);
	return r != NULL ? r->command_id : NULL;
}

int
application_sync(struct ctl *c, struct err *e)
{
	API(SyncApplicationRequest) q;
	API(SyncApplicationResponse) * r;
	const char *id = NULL;

	if (arg_given(c, "strategy"))
		id = sync_with_strategy(c, e);
	else {
		API_(sync_application_request__init)(&q);
		q.application_id = request_arg(c, "app-id");
		r = client_call(c, SERVICE_API, "SyncApplication", &q.base,
		    &API_(sync_application_response__descriptor), e);
		if (r != NULL)
			id = r->command_id;
	}
	return id != NULL ? command_deploys(c, id, e) : -1;
}
