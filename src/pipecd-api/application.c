/* Applications: registered by people, reported on by agents. */
#include <stdlib.h>
#include <string.h>

#include "api.h"

#define PIPED(name) const Grpc__Service__Pipedservice__##name##Request
#define API(name)   const Grpc__Service__Apiservice__##name##Request

/* Read it, make sure that it is the caller's, edit, write. */
static void
app_change(struct call *c, const char *id, int (*edit)(struct call *, void *),
    void (*then)(struct call *, void *))
{
	change(
	    c, "application", id, &model__application__descriptor, edit, then);
}

bool
application_is_ours(struct call *c, const Model__Application *a)
{
	if (same(a->project_id, c->who.project) &&
	    (!c->who.piped || same(a->piped_id, c->who.id)))
		return true;
	not_yours(c, "application");
	return false;
}

/* --- for agents ------------------------------------------------------------------ */

void
piped_list_applications(struct call *c, const void *req)
{
	struct query *q = query_new(c, "application");

	(void)req;
	query_is(c, q, "project_id", c->who.project);
	query_is(c, q, "piped_id", c->who.id);
	query_is(c, q, "disabled", "false");
	reply_all(c, q, 1, 0, AGENT_MAX);
}

static int
edit_sync_state(struct call *c, void *rec)
{
	PIPED(ReportApplicationSyncState) *q = c->req;
	Model__Application *a = rec;

	if (!application_is_ours(c, a))
		return -1;
	a->sync_state = q->state;
	return CHANGED;
}

void
application_sync_state(struct call *c, const void *req)
{
	PIPED(ReportApplicationSyncState) *q = req;

	app_change(c, q->application_id, edit_sync_state, NULL);
}

static int
edit_deploying(struct call *c, void *rec)
{
	PIPED(ReportApplicationDeployingStatus) *q = c->req;
	Model__Application *a = rec;

	if (!application_is_ours(c, a))
		return -1;
	if (a->deploying == q->deploying)
		return SAME;
	a->deploying = q->deploying;
	return CHANGED;
}

void
application_deploying(struct call *c, const void *req)
{
	PIPED(ReportApplicationDeployingStatus) *q = req;

	app_change(c, q->application_id, edit_deploying, NULL);
}

static int
edit_recent(struct call *c, void *rec)
{
	PIPED(ReportApplicationMostRecentDeployment) *q = c->req;
	Model__Application *a = rec;

	if (!application_is_ours(c, a))
		return -1;
	switch (q->status) {
	case MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_PENDING:
		a->most_recently_triggered_deployment = q->deployment;
		return CHANGED;
	case MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_SUCCESS:
		a->most_recently_successful_deployment = q->deployment;
		return CHANGED;
	default:
		return SAME; /* as PipeCD does */
	}
}

void
application_report_recent(struct call *c, const void *req)
{
	PIPED(ReportApplicationMostRecentDeployment) *q = req;

	app_change(c, q->application_id, edit_recent, NULL);
}

static void
got_recent(struct call *c, const Store__Reply *r)
{
	PIPED(GetApplicationMostRecentDeployment) *q = c->req;
	Grpc__Service__Pipedservice__GetApplicationMostRecentDeploymentResponse res =
	    GRPC__SERVICE__PIPEDSERVICE__GET_APPLICATION_MOST_RECENT_DEPLOYMENT_RESPONSE__INIT;
	Model__Application *a;

	if (!went_well(c, r, "application") ||
	    (a = record(c, &model__application__descriptor, r->records[0])) ==
		NULL ||
	    !application_is_ours(c, a))
		return;
	if (q->status == MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_PENDING)
		res.deployment = a->most_recently_triggered_deployment;
	else if (q->status == MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_SUCCESS)
		res.deployment = a->most_recently_successful_deployment;
	if (res.deployment == NULL)
		refuse(c, GRPC_NOT_FOUND, "The deployment is not found");
	else
		reply(c, &res);
}

void
application_get_recent(struct call *c, const void *req)
{
	PIPED(GetApplicationMostRecentDeployment) *q = req;

	ask_get(c, "application", q->application_id, got_recent);
}

/* --- what git says of registered applications, all in one report ------------------ */

struct configurations {
	char **ids;
	size_t n;
	int tries;
};

static void configurations_read(struct call *c);

static bool
same_labels(const Model__Application *a, const Model__ApplicationInfo *i)
{
	const char *v;
	size_t k;

	if (a->n_labels != i->n_labels)
		return false;
	for (k = 0; k < i->n_labels; k++) {
		v = map_value(a->labels, a->n_labels, i->labels[k]->key);
		if (v == NULL || !same(v, i->labels[k]->value))
			return false;
	}
	return true;
}

static void
configurations_written(struct call *c, const Store__Reply *r)
{
	struct configurations *g = c->user;

	if (r->code == STORE__CODE__CONFLICT && ++g->tries < TRIES) {
		configurations_read(c);
		return;
	}
	if (went_well(c, r, "applications"))
		reply_empty(c);
}

static void
configurations_got(struct call *c, const Store__Reply *r)
{
	PIPED(UpdateApplicationConfigurations) *q = c->req;
	struct ops ops = { .n = 0 };
	Model__ApplicationInfo *info;
	Model__Application *a;
	size_t i;

	if (!went_well(c, r, "application"))
		return;
	for (i = 0; i < r->n_records && i < q->n_applications; i++) {
		info = q->applications[i];
		if (r->records[i]->version == 0) {
			refuse(c, GRPC_NOT_FOUND,
			    "The application %.60s is not found", info->id);
			return;
		}
		a = record(c, &model__application__descriptor, r->records[i]);
		if (a == NULL || !application_is_ours(c, a))
			return;
		if (same(a->name, info->name) &&
		    same(a->description, info->description) &&
		    same_labels(a, info))
			continue;
		a->name = info->name;
		a->description = info->description;
		a->n_labels = 0;
		map_merge(&model__application__labels_entry__descriptor,
		    &a->labels, &a->n_labels, info->labels, info->n_labels,
		    c->a);
		ops_add(c, &ops, STORE__OP__KIND__UPDATE, "application", a,
		    r->records[i]->version);
	}
	if (ops.n == 0)
		reply_empty(c);
	else
		ops_write(c, &ops, configurations_written);
}

static void
configurations_read(struct call *c)
{
	struct configurations *g = c->user;

	ask_many(c, "application", g->ids, g->n, configurations_got);
}

void
application_configurations(struct call *c, const void *req)
{
	PIPED(UpdateApplicationConfigurations) *q = req;
	struct configurations *g = arena_new_of(c->a, struct configurations);
	size_t i;

	g->n = q->n_applications;
	g->ids = arena_array(c->a, char *, g->n + 1);
	for (i = 0; i < g->n; i++) {
		g->ids[i] = q->applications[i]->id;
		if (empty(g->ids[i])) {
			refuse(c, GRPC_INVALID_ARGUMENT,
			    "applications[%zu].id: must not be empty", i);
			return;
		}
	}
	if ((i = twice(g->ids, g->n)) < g->n) {
		refuse(c, GRPC_INVALID_ARGUMENT,
		    "applications[%zu].id: comes twice", i);
		return;
	}
	if (g->n == 0) {
		reply_empty(c);
		return;
	}
	c->user = g;
	configurations_read(c);
}

void
unregistered_report(struct call *c, const void *req)
{
	PIPED(ReportUnregisteredApplicationConfigurations) *q = req;
	Store__Unregistered u = STORE__UNREGISTERED__INIT;
	size_t i;

	for (i = 0; i < q->n_applications; i++)
		q->applications[i]->piped_id = (char *)(uintptr_t)c->who.id;
	u.piped_id = (char *)(uintptr_t)c->who.id;
	u.project_id = (char *)(uintptr_t)c->who.project;
	u.applications = q->applications;
	u.n_applications = q->n_applications;
	ask_write(c, STORE__OP__KIND__PUT, "unregistered", &u, reply_written);
}

/* --- for people ------------------------------------------------------------------- */

static void
got(struct call *c, const Store__Reply *r)
{
	const Store__Record *rec;
	struct buf b = BUF_INIT;

	if (!went_well(c, r, "application"))
		return;
	rec = r->records[0];
	if (!wire_is(rec->value.data, rec->value.len, 5, c->who.project)) {
		not_yours(c, "application");
		return;
	}
	wire_bytes(&b, 1, rec->value.data, rec->value.len);
	grpc_reply_bytes(c->g, b.p, b.len);
	buf_free(&b);
}

void
application_get(struct call *c, const void *req)
{
	API(GetApplication) *q = req;

	ask_get(c, "application", q->application_id, got);
}

static void
listed(struct call *c, const Store__Reply *r)
{
	if (went_well(c, r, "applications"))
		reply_records(c, r, 1, 2, r->cursor);
}

void
application_list(struct call *c, const void *req)
{
	API(ListApplications) *q = req;
	struct query l;
	size_t i;
	int kind;

	query_init(&l, "application");
	query_is(c, &l, "project_id", c->who.project);
	query_is(c, &l, "disabled", q->disabled ? "true" : "false");
	if (!empty(q->name))
		query_is(c, &l, "name", q->name);
	if (!empty(q->kind)) {
		kind = msg_enum_value(
		    &model__application_kind__descriptor, q->kind);
		if (kind == -1) {
			refuse(c, GRPC_INVALID_ARGUMENT,
			    "kind: \"%.40s\" is no model.ApplicationKind",
			    q->kind);
			return;
		}
		query_is(c, &l, "kind", arena_printf(c->a, "%d", kind));
	}
	if (!empty(q->piped_id))
		query_is(c, &l, "piped_id", q->piped_id);
	if (q->n_labels > 8) {
		refuse(c, GRPC_INVALID_ARGUMENT,
		    "labels: must have at most 8, has %zu", q->n_labels);
		return;
	}
	for (i = 0; i < q->n_labels; i++)
		query_label(c, &l, q->labels[i]->key, q->labels[i]->value);
	l.list.limit = q->limit <= 0	     ? PAGE_APPLICATIONS
		       : q->limit > PAGE_MAX ? PAGE_MAX
					     : (uint32_t)q->limit;
	l.list.cursor = q->cursor;
	ask_list(c, &l, listed);
}

/* --- registering ------------------------------------------------------------------- */

/*
 * The page of a directory on the web, from a remote: https://, ssh:// and
 * git@host:path.  "" for what has none.
 */
static char *
dir_url(
    struct arena *a, const char *remote, const char *branch, const char *dir)
{
	const char *scheme = "https", *host, *path;
	size_t nhost, n;

	if (empty(branch))
		return arena_strdup(a, "");
	if ((host = strstr(remote, "://")) != NULL) {
		if (str_prefix(remote, "http://"))
			scheme = "http";
		else if (!str_prefix(remote, "https://") &&
			 !str_prefix(remote, "ssh://"))
			return arena_strdup(a, "");
		host += 3;
		nhost = strcspn(host, "/");
		path = host + nhost;
	} else {
		host = remote;
		nhost = strcspn(host, ":/");
		if (host[nhost] != ':')
			return arena_strdup(a, "");
		path = host + nhost + 1;
	}
	for (n = nhost; n > 0 && host[n - 1] != '@'; n--)
		;
	host += n;
	nhost -= n;
	path += strspn(path, "/");
	n = strlen(path);
	while (n > 0 && path[n - 1] == '/')
		n--;
	if (n > 4 && strncmp(path + n - 4, ".git", 4) == 0)
		n -= 4;
	if (nhost == 0 || n == 0)
		return arena_strdup(a, "");
	return arena_printf(a, "%s://%.*s/%.*s/%s/%s/%s", scheme, (int)nhost,
	    host, (int)n, path,
	    nhost == 13 && strncmp(host, "bitbucket.org", 13) == 0 ? "src"
								   : "tree",
	    branch, dir);
}

/* Its repository must be one of the piped's; what that says of it is kept. */
static Model__ApplicationGitPath *
git_path(struct call *c, const Model__Piped *p,
    const Model__ApplicationGitPath *want)
{
	Model__ApplicationGitPath *g = msg_copy(want, c->a);
	size_t i;

	for (i = 0; i < p->n_repositories; i++)
		if (same(p->repositories[i]->id, want->repo->id))
			break;
	if (i == p->n_repositories) {
		refuse(c, GRPC_INVALID_ARGUMENT,
		    "git_path.repo.id: the piped has no repository %.80s",
		    want->repo->id);
		return NULL;
	}
	g->repo = p->repositories[i];
	g->url = dir_url(c->a, or_empty(g->repo->remote),
	    or_empty(g->repo->branch), or_empty(g->path));
	return g;
}

/* The piped that a person named, when it is of the same project. */
static Model__Piped *
piped_named(struct call *c, const Store__Reply *r)
{
	Model__Piped *p;

	if (!went_well(c, r, "piped") ||
	    (p = record(c, &model__piped__descriptor, r->records[0])) == NULL)
		return NULL;
	if (same(p->project_id, c->who.project))
		return p;
	not_yours(c, "piped");
	return NULL;
}

static void
added(struct call *c, const Store__Reply *r)
{
	Grpc__Service__Apiservice__AddApplicationResponse res =
	    GRPC__SERVICE__APISERVICE__ADD_APPLICATION_RESPONSE__INIT;

	if (!went_well(c, r, "application"))
		return;
	res.application_id = c->user;
	reply(c, &res);
}

static void
add(struct call *c, const Store__Reply *r)
{
	API(AddApplication) *q = c->req;
	Model__Application a = MODEL__APPLICATION__INIT;
	Model__Piped *p = piped_named(c, r);

	if (p == NULL || (a.git_path = git_path(c, p, q->git_path)) == NULL)
		return;
	a.id = c->user = uuid4(c->a);
	a.name = q->name;
	a.piped_id = q->piped_id;
	a.project_id = (char *)(uintptr_t)c->who.project;
	a.kind = q->kind;
	a.cloud_provider = q->platform_provider;
	a.platform_provider = q->platform_provider;
	a.description = q->description;
	map_merge(&model__application__labels_entry__descriptor, &a.labels,
	    &a.n_labels, q->labels, q->n_labels, c->a);
	ask_write(c, STORE__OP__KIND__CREATE, "application", &a, added);
}

void
application_add(struct call *c, const void *req)
{
	API(AddApplication) *q = req;

	ask_get(c, "piped", q->piped_id, add);
}

/* Every answer of these is just the application's id, field 1. */
static void
reply_id(struct call *c, void *rec)
{
	Model__Application *a = rec;
	struct buf b = BUF_INIT;

	wire_bytes(&b, 1, a->id, strlen(a->id));
	grpc_reply_bytes(c->g, b.p, b.len);
	buf_free(&b);
}

static int
edit_update(struct call *c, void *rec)
{
	API(UpdateApplication) *q = c->req;
	Model__Application *a = rec;

	if (!application_is_ours(c, a) ||
	    (a->git_path = git_path(c, c->user, q->git_path)) == NULL)
		return -1;
	a->piped_id = q->piped_id;
	a->platform_provider = q->platform_provider;
	a->cloud_provider = q->platform_provider;
	return CHANGED;
}

static void
update(struct call *c, const Store__Reply *r)
{
	API(UpdateApplication) *q = c->req;

	if ((c->user = piped_named(c, r)) != NULL)
		app_change(c, q->application_id, edit_update, reply_id);
}

void
application_update(struct call *c, const void *req)
{
	API(UpdateApplication) *q = req;

	ask_get(c, "piped", q->piped_id, update);
}

static int
edit_enabled(struct call *c, bool disabled, Model__Application *a)
{
	if (!application_is_ours(c, a))
		return -1;
	if (a->disabled == disabled)
		return SAME;
	a->disabled = disabled;
	return CHANGED;
}

static int
edit_enable(struct call *c, void *rec)
{
	return edit_enabled(c, false, rec);
}

static int
edit_disable(struct call *c, void *rec)
{
	return edit_enabled(c, true, rec);
}

void
application_enable(struct call *c, const void *req)
{
	API(EnableApplication) *q = req;

	app_change(c, q->application_id, edit_enable, reply_id);
}

void
application_disable(struct call *c, const void *req)
{
	API(DisableApplication) *q = req;

	app_change(c, q->application_id, edit_disable, reply_id);
}

/* --- deleting: it leaves all lists ---------------------------------------------- */

static void
deleted(struct call *c, const Store__Reply *r)
{
	API(DeleteApplication) *q = c->req;
	struct buf b = BUF_INIT;

	if (!went_well(c, r, "application"))
		return;
	wire_bytes(&b, 1, q->application_id, strlen(q->application_id));
	grpc_reply_bytes(c->g, b.p, b.len);
	buf_free(&b);
}

static void delete (struct call *c, const Store__Reply *r)
{
	API(DeleteApplication) *q = c->req;
	Store__Request s = STORE__REQUEST__INIT;
	Store__Write w = STORE__WRITE__INIT;
	Store__Op op = STORE__OP__INIT, *ops[1] = { &op };
	Model__Application *a;

	if (!went_well(c, r, "application") ||
	    (a = record(c, &model__application__descriptor, r->records[0])) ==
		NULL ||
	    !application_is_ours(c, a))
		return;
	op.kind = STORE__OP__KIND__DELETE;
	op.table = (char *)(uintptr_t) "application";
	op.id = q->application_id;
	w.ops = ops;
	w.n_ops = 1;
	STORE_ASK(&s, WRITE, write, &w);
	ask(c, &s, deleted);
}

void
application_delete(struct call *c, const void *req)
{
	API(DeleteApplication) *q = req;

	ask_get(c, "application", q->application_id, delete);
}

/* --- configuration files and deploy targets --------------------------------------- */

static void rename_read(struct call *c);

static void
renamed(struct call *c, const Store__Reply *r)
{
	struct configurations *g = c->user;

	if (r->code == STORE__CODE__CONFLICT && ++g->tries < TRIES)
		rename_read(c);
	else if (went_well(c, r, "applications"))
		reply_empty(c);
}

static void
rename_got(struct call *c, const Store__Reply *r)
{
	API(RenameApplicationConfigFile) *q = c->req;
	struct ops ops = { .n = 0 };
	Model__Application *a;
	size_t i;

	if (!went_well(c, r, "application"))
		return;
	for (i = 0; i < r->n_records; i++) {
		if (r->records[i]->version == 0) {
			refuse(c, GRPC_NOT_FOUND,
			    "The application %.60s is not found",
			    q->application_ids[i]);
			return;
		}
		a = record(c, &model__application__descriptor, r->records[i]);
		if (a == NULL || !application_is_ours(c, a))
			return;
		must(a->git_path != NULL);
		a->git_path->config_filename = q->new_filename;
		ops_add(c, &ops, STORE__OP__KIND__UPDATE, "application", a,
		    r->records[i]->version);
	}
	ops_write(c, &ops, renamed);
}

static void
rename_read(struct call *c)
{
	API(RenameApplicationConfigFile) *q = c->req;

	ask_many(c, "application", q->application_ids, q->n_application_ids,
	    rename_got);
}

void
application_rename_config(struct call *c, const void *req)
{
	API(RenameApplicationConfigFile) *q = req;
	size_t i = twice(q->application_ids, q->n_application_ids);

	if (i < q->n_application_ids) {
		refuse(c, GRPC_INVALID_ARGUMENT,
		    "application_ids[%zu]: comes twice", i);
		return;
	}
	if (strchr(q->new_filename, '/') != NULL) {
		refuse(c, GRPC_INVALID_ARGUMENT,
		    "new_filename: is a name, not a path");
		return;
	}
	c->user = arena_new_of(c->a, struct configurations);
	rename_read(c);
}

static int
edit_targets(struct call *c, void *rec)
{
	API(UpdateApplicationDeployTargets) *q = c->req;
	Model__Application__DeployTargetsByPluginEntry **v;
	Model__Application *a = rec;
	size_t i;

	if (!application_is_ours(c, a))
		return -1;
	v = arena_array(c->a, Model__Application__DeployTargetsByPluginEntry *,
	    q->n_deploy_targets_by_plugin);
	for (i = 0; i < q->n_deploy_targets_by_plugin; i++) {
		v[i] = arena_new_of(
		    c->a, Model__Application__DeployTargetsByPluginEntry);
		model__application__deploy_targets_by_plugin_entry__init(v[i]);
		v[i]->key = q->deploy_targets_by_plugin[i]->key;
		v[i]->value = q->deploy_targets_by_plugin[i]->value;
	}
	a->deploy_targets_by_plugin = v;
	a->n_deploy_targets_by_plugin = i;
	return CHANGED;
}

void
application_deploy_targets(struct call *c, const void *req)
{
	API(UpdateApplicationDeployTargets) *q = req;

	app_change(c, q->application_id, edit_targets, NULL);
}
