#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "request.h"
#include "text.h"

/* pipectl logs: what the stages said, stage by stage, in their order. */

struct logs {
	struct ctl *c;
	struct map *next; /* stage id -> index behind what was printed */
	struct err *e;
	const char *last; /* the stage that the last line was of; owned */
};

static void
print_block(
    struct logs *l, const Model__PipelineStage *s, const Model__LogBlock *b)
{
	if (l->last == NULL || strcmp(l->last, s->id) != 0) {
		printf("%s== %s (%s)\n", l->last != NULL ? "\n" : "", s->name,
		    s->id);
		free((char *)(uintptr_t)l->last);
		l->last = xstrdup(s->id);
	}
	puts(text_inert(l->c->a, b->log, true));
}

/* The lines of one stage that were not printed yet; -1 with *e. */
static int
print_stage(struct logs *l, const char *deployment, Model__PipelineStage *s)
{
	WEB(GetStageLogRequest) q;
	WEB(GetStageLogResponse) * r;
	uintptr_t seen = (uintptr_t)map_get(l->next, s->id);
	size_t i;

	WEB_(get_stage_log_request__init)(&q);
	q.deployment_id = request_text(l->c, deployment);
	q.stage_id = s->id;
	q.retried_count = s->retried_count;
	q.offset_index = (int64_t)seen;
	r = client_call(l->c, SERVICE_OPERATOR, "GetStageLog", &q.base,
	    &WEB_(get_stage_log_response__descriptor), l->e);
	if (r == NULL) /* nothing said yet is no mistake */
		return l->e->exit == RC_NO ? 0 : -1;
	for (i = 0; i < r->n_blocks; i++) {
		if (r->blocks[i]->index < (int64_t)seen)
			continue;
		print_block(l, s, r->blocks[i]);
		seen = (uintptr_t)r->blocks[i]->index + 1;
	}
	map_put(l->next, s->id, (void *)seen);
	return 0;
}

static bool
wanted(struct ctl *c, const Model__PipelineStage *s)
{
	const char *only = arg_str(c, "stage-id");

	return s->status != MODEL__STAGE_STATUS__STAGE_NOT_STARTED_YET &&
	       (only == NULL || strcmp(only, s->id) == 0);
}

/* 0 go on, 1 the deployment has ended, -1 with *e. */
static int
print_new(struct logs *l, const char *id)
{
	Model__Deployment *d;
	size_t i;

	if ((d = deployment_read(l->c, id, l->e)) == NULL)
		return -1;
	for (i = 0; i < d->n_stages; i++)
		if (wanted(l->c, d->stages[i]) &&
		    print_stage(l, d->id, d->stages[i]) == -1)
			return -1;
	fflush(stdout);
	return d->status >= MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_SUCCESS;
}

/* PipeCD's control plane gives all lines of all stages, at once. */
static int
print_all(struct logs *l, const char *id)
{
	API(ListStageLogsRequest) q;
	API(ListStageLogsResponse) * r;
	Model__Deployment *d;
	API(StageLog) * log;
	size_t i, j, k;

	if ((d = deployment_read(l->c, id, l->e)) == NULL)
		return -1;
	API_(list_stage_logs_request__init)(&q);
	q.deployment_id = request_text(l->c, id);
	r = client_call(l->c, SERVICE_API, "ListStageLogs", &q.base,
	    &API_(list_stage_logs_response__descriptor), l->e);
	if (r == NULL)
		return -1;
	for (i = 0; i < d->n_stages; i++)
		for (j = 0; wanted(l->c, d->stages[i]) && j < r->n_stage_logs;
		     j++) {
			log = r->stage_logs[j]->value;
			if (strcmp(r->stage_logs[j]->key, d->stages[i]->id) !=
			    0)
				continue;
			for (k = 0; log != NULL && k < log->n_blocks; k++)
				print_block(l, d->stages[i], log->blocks[k]);
		}
	return RC_OK;
}

int
deployment_logs(struct ctl *c, struct err *e)
{
	struct logs l = { .c = c, .next = map_new(), .e = e };
	const char *id = arg_str(c, "deployment-id");
	struct arena *whole = c->a;
	int rv;

	if (!arg_bool(c, "follow"))
		rv = print_all(&l, id);
	else {
		c->a = arena_new(); /* of one look */
		do {
			arena_reset(c->a);
			rv = print_new(&l, id);
		} while (rv == 0 && client_wait(1000, INT64_MAX));
		arena_free(c->a);
		c->a = whole;
	}
	map_free(l.next);
	free((char *)(uintptr_t)l.last);
	return rv == -1 ? -1 : RC_OK;
}
