/*
 * Plan previews: a command for each agent that deploys from the repository,
 * and what they found.
 */
#include <string.h>

#include "api.h"

#define API(name) const Grpc__Service__Apiservice__##name##Request

enum {
	HANDLE_S = 300,	     /* an agent has so long to answer */
	FRESH_S = 24 * 3600, /* older results say nothing any more */
	COMMANDS_MAX = 500
};

/* --- asking for one ------------------------------------------------------------------- */

struct asking {
	struct query *q;
	struct ops ops;
	char **ids;
	size_t n, cap;
};

static void
asked(struct call *c, const Store__Reply *r)
{
	Grpc__Service__Apiservice__RequestPlanPreviewResponse res =
	    GRPC__SERVICE__APISERVICE__REQUEST_PLAN_PREVIEW_RESPONSE__INIT;
	struct asking *g = c->user;

	if (r != NULL && !went_well(c, r, "command"))
		return;
	res.commands = g->ids;
	res.n_commands = g->n;
	reply(c, &res);
}

static void
ask_piped(struct call *c, struct asking *g, const Model__Piped *p,
    const char *repo_id)
{
	API(RequestPlanPreview) *q = c->req;
	Model__Command__BuildPlanPreview *b =
	    arena_new_of(c->a, Model__Command__BuildPlanPreview);
	Model__Command *m = command_new(
	    c, MODEL__COMMAND__TYPE__BUILD_PLAN_PREVIEW, p->id, NULL, NULL);
	char **more;

	m->build_plan_preview = b;
	model__command__build_plan_preview__init(b);
	b->repository_id = arena_strdup(c->a, repo_id);
	b->head_branch = q->head_branch;
	b->head_commit = q->head_commit;
	b->base_branch = q->base_branch;
	b->timeout = q->timeout;
	ops_add(c, &g->ops, STORE__OP__KIND__CREATE, "command", m, 0);
	if (g->n == g->cap) {
		g->cap = g->cap == 0 ? 8 : g->cap * 2;
		more = arena_array(c->a, char *, g->cap);
		if (g->n > 0)
			memcpy(more, g->ids, g->n * sizeof(*more));
		g->ids = more;
	}
	g->ids[g->n++] = m->id;
}

static void
pipeds(struct call *c, const Store__Reply *r)
{
	API(RequestPlanPreview) *q = c->req;
	struct asking *g = c->user;
	Model__Piped *p;
	size_t i, k;

	if (!went_well(c, r, "pipeds"))
		return;
	for (i = 0; i < r->n_records; i++) {
		p = record(c, &model__piped__descriptor, r->records[i]);
		if (p == NULL)
			return;
		for (k = 0; k < p->n_repositories; k++)
			if (remote_same(p->repositories[k]->remote,
				q->repo_remote_url) &&
			    same(p->repositories[k]->branch, q->base_branch))
				break;
		if (k < p->n_repositories)
			ask_piped(c, g, p, or_empty(p->repositories[k]->id));
	}
	if (!empty(r->cursor)) {
		g->q->list.cursor = arena_strdup(c->a, r->cursor);
		ask_list(c, g->q, pipeds);
	} else if (g->n == 0) {
		asked(c, NULL);
	} else {
		ops_write(c, &g->ops, asked);
	}
}

void
preview_request(struct call *c, const void *req)
{
	struct asking *g = arena_new_of(c->a, struct asking);

	(void)req;
	g->q = query_new(c, "piped");
	query_is(c, g->q, "project_id", c->who.project);
	query_is(c, g->q, "disabled", "false");
	g->q->list.limit = 500;
	c->user = g;
	ask_list(c, g->q, pipeds);
}

/* --- reading results ---------------------------------------------------------------- */

struct results {
	Model__Command **cmd;
	Model__PlanPreviewCommandResult **v;
	Model__Piped **piped;
	int64_t *seen; /* when the agent last said that it is there */
	size_t n, i;
};

static void output_next(struct call *c);

static Model__PlanPreviewCommandResult *
result_new(struct call *c, const Model__Command *m, const char *error)
{
	Model__PlanPreviewCommandResult *p =
	    arena_new_of(c->a, Model__PlanPreviewCommandResult);

	model__plan_preview_command_result__init(p);
	p->command_id = m->id;
	p->piped_id = m->piped_id;
	p->error = arena_strdup(c->a, error);
	return p;
}

/* Links and names that only we know. */
static void
result_dress(struct call *c, const struct results *g, size_t i)
{
	Model__PlanPreviewCommandResult *p = g->v[i];
	size_t k;

	p->command_id = g->cmd[i]->id;
	p->piped_id = g->cmd[i]->piped_id;
	if (g->piped[i] != NULL)
		p->piped_name = g->piped[i]->name;
	p->piped_url = arena_printf(c->a, "%s/settings/piped", c->api->web_url);
	for (k = 0; k < p->n_results; k++)
		p->results[k]->application_url =
		    arena_printf(c->a, "%s/applications/%s", c->api->web_url,
			or_empty(p->results[k]->application_id));
}

static void
output(struct call *c, const Store__Reply *r)
{
	struct results *g = c->user;
	struct err e;

	if (r->code == STORE__CODE__NOT_FOUND) {
		g->v[g->i] =
		    result_new(c, g->cmd[g->i], "The piped has left no result");
	} else if (!went_well(c, r, "command output")) {
		return;
	} else {
		/* As Go's encoding/json writes the message: names as in the
		   .proto, numbers for enums. */
		g->v[g->i] = (Model__PlanPreviewCommandResult *)msg_from_json(
		    &model__plan_preview_command_result__descriptor,
		    (const char *)r->data.data, r->data.len, MSG_FRAME, c->a, 0,
		    &e);
		if (g->v[g->i] == NULL) {
			refuse(c, GRPC_INTERNAL,
			    "The result of command %s cannot be read: %s",
			    g->cmd[g->i]->id, e.text);
			return;
		}
	}
	result_dress(c, g, g->i);
	g->i++;
	output_next(c);
}

static void
output_next(struct call *c)
{
	Grpc__Service__Apiservice__GetPlanPreviewResultsResponse res =
	    GRPC__SERVICE__APISERVICE__GET_PLAN_PREVIEW_RESULTS_RESPONSE__INIT;
	struct results *g = c->user;

	while (g->i < g->n && g->v[g->i] != NULL) {
		result_dress(c, g, g->i);
		g->i++;
	}
	if (g->i < g->n) {
		ask_object(c,
		    arena_printf(c->a, "command-output/%s", g->cmd[g->i]->id),
		    output);
		return;
	}
	res.results = g->v;
	res.n_results = g->n;
	reply(c, &res);
}

/* All commands are known, and whose agents are there. */
static void
judge(struct call *c)
{
	API(GetPlanPreviewResults) *q = c->req;
	int64_t timeout = q->command_handle_timeout > 0
			      ? q->command_handle_timeout
			      : HANDLE_S,
		now = wall_s();
	struct results *g = c->user;
	const Model__Command *m;
	size_t i;

	for (i = 0; i < g->n; i++) {
		m = g->cmd[i];
		if (m->status !=
		    MODEL__COMMAND_STATUS__COMMAND_NOT_HANDLED_YET) {
			if (now - m->created_at > FRESH_S) {
				refuse(c, GRPC_FAILED_PRECONDITION,
				    "Command %s was handled too long ago",
				    m->id);
				return;
			}
			continue;
		}
		if (now - g->seen[i] > ONLINE_S) {
			g->v[i] = result_new(
			    c, m, "Maybe the piped is offline currently");
		} else if (now - m->created_at <= timeout) {
			refuse(c, GRPC_NOT_FOUND,
			    "Waiting for the result of command %s from piped "
			    "%s",
			    m->id, m->piped_id);
			return;
		} else {
			g->v[i] = result_new(c, m,
			    "Timed out: maybe the piped is offline currently");
		}
	}
	output_next(c);
}

static void
stats(struct call *c, const Store__Reply *r)
{
	const Store__PipedStatus *s;
	struct results *g = c->user;
	size_t i;

	if (r->code != STORE__CODE__NOT_FOUND &&
	    !went_well(c, r, "piped stats"))
		return;
	for (i = 0; i < r->n_records && i < g->n; i++) {
		if (r->records[i]->version == 0)
			continue;
		s = record(c, &store__piped_status__descriptor, r->records[i]);
		if (s == NULL)
			return;
		g->seen[i] = s->updated_at;
	}
	judge(c);
}

static char **
piped_ids(struct call *c, const struct results *g)
{
	char **ids = arena_array(c->a, char *, g->n + 1);
	size_t i;

	for (i = 0; i < g->n; i++)
		ids[i] = g->cmd[i]->piped_id;
	return ids;
}

static void
names(struct call *c, const Store__Reply *r)
{
	struct results *g = c->user;
	size_t i;

	if (r->code != STORE__CODE__NOT_FOUND && !went_well(c, r, "pipeds"))
		return;
	for (i = 0; i < r->n_records && i < g->n; i++)
		if (r->records[i]->version != 0 &&
		    (g->piped[i] = record(
			 c, &model__piped__descriptor, r->records[i])) == NULL)
			return;
	ask_many(c, "piped_stat", piped_ids(c, g), g->n, stats);
}

static void
commands(struct call *c, const Store__Reply *r)
{
	API(GetPlanPreviewResults) *q = c->req;
	struct results *g = c->user;
	size_t i;

	if (!went_well(c, r, "command"))
		return;
	for (i = 0; i < g->n; i++) {
		if (r->records[i]->version == 0) {
			refuse(c, GRPC_NOT_FOUND,
			    "The command %.60s is not found", q->commands[i]);
			return;
		}
		g->cmd[i] =
		    record(c, &model__command__descriptor, r->records[i]);
		if (g->cmd[i] == NULL)
			return;
		if (!same(g->cmd[i]->project_id, c->who.project)) {
			not_yours(c, "command");
			return;
		}
		if (g->cmd[i]->type !=
		    MODEL__COMMAND__TYPE__BUILD_PLAN_PREVIEW) {
			refuse(c, GRPC_FAILED_PRECONDITION,
			    "Command %s is not a plan preview command",
			    g->cmd[i]->id);
			return;
		}
	}
	ask_many(c, "piped", piped_ids(c, g), g->n, names);
}

void
preview_results(struct call *c, const void *req)
{
	API(GetPlanPreviewResults) *q = req;
	struct results *g = arena_new_of(c->a, struct results);
	size_t i;

	if (q->n_commands == 0 || q->n_commands > COMMANDS_MAX) {
		refuse(c, GRPC_INVALID_ARGUMENT,
		    "commands: must have 1 to %d, has %zu", COMMANDS_MAX,
		    q->n_commands);
		return;
	}
	for (i = 0; i < q->n_commands; i++)
		if (empty(q->commands[i])) {
			refuse(c, GRPC_INVALID_ARGUMENT,
			    "commands[%zu]: must not be empty", i);
			return;
		}
	g->n = q->n_commands;
	g->cmd = arena_array(c->a, Model__Command *, g->n);
	g->v = arena_array(c->a, Model__PlanPreviewCommandResult *, g->n);
	g->piped = arena_array(c->a, Model__Piped *, g->n);
	g->seen = arena_array(c->a, int64_t, g->n);
	c->user = g;
	ask_many(c, "command", q->commands, g->n, commands);
}
