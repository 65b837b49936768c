/*
 * Deployment chains without a control plane.  The deployment that began one
 * keeps its journal open until the chain is over: a command for every
 * application of the block in hand, and what became of it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exec.h"

static const char *
kind_name(int kind)
{
	return msg_enum_name(
	    &model__application_kind__descriptor, kind, MSG_FRAME);
}

/* Whether a matcher of postSync.chain means this application. */
static bool
matches(const Frame__ChainBlock *b, const struct app *a)
{
	struct buf want = BUF_INIT;
	bool yes = true, has;
	size_t i, k;

	if (!a->known || a->gone)
		return false;
	if (b->name != NULL && *b->name != '\0' &&
	    (a->name == NULL || strcmp(b->name, a->name) != 0))
		return false;
	if (b->app_kind != NULL && *b->app_kind != '\0' &&
	    strcasecmp(b->app_kind, kind_name(a->kind)) != 0)
		return false;
	for (i = 0; yes && i < b->n_labels; i++) {
		buf_reset(&want);
		buf_printf(
		    &want, "%s=%s", b->labels[i]->key, b->labels[i]->value);
		for (k = 0, has = false;
		     a->labels != NULL && a->labels[k] != NULL && !has; k++)
			has = strcmp(a->labels[k], want.p) == 0;
		yes = has;
	}
	buf_free(&want);
	return yes;
}

static void
command_make(struct exec *x, const struct deployment *d,
    const char *application_id, unsigned block, Frame__Command *f)
{
	Model__Command *c = arena_new_of(x->turn, Model__Command);
	Model__Command__ChainSyncApplication *s =
	    arena_new_of(x->turn, Model__Command__ChainSyncApplication);
	const char *parts[4];
	char id[UUID_LEN], number[16];

	(void)snprintf(number, sizeof(number), "%u", block);
	parts[0] = "chain";
	parts[1] = d->id;
	parts[2] = number;
	parts[3] = application_id;
	uuid5(id, parts, 4);
	model__command__chain_sync_application__init(s);
	s->deployment_chain_id = arena_strdup(x->turn, d->id);
	s->block_index = block;
	s->application_id = arena_strdup(x->turn, application_id);
	model__command__init(c);
	c->id = arena_strdup(x->turn, id);
	c->application_id = s->application_id;
	c->commander = arena_strdup(x->turn, d->id);
	c->type = MODEL__COMMAND__TYPE__CHAIN_SYNC_APPLICATION;
	c->chain_sync_application = s;
	c->created_at = c->updated_at = wall_s();
	*f = (Frame__Command)FRAME__COMMAND__INIT;
	f->command = c;
}

static void
done_record(struct exec *x, struct deployment *d, const char *command_id,
    bool ok, const char *reason)
{
	Frame__CommandDone f = FRAME__COMMAND_DONE__INIT;

	f.command_id = arena_strdup(x->turn, command_id);
	f.status = ok ? MODEL__COMMAND_STATUS__COMMAND_SUCCEEDED
		      : MODEL__COMMAND_STATUS__COMMAND_FAILED;
	f.reason = reason != NULL ? arena_strdup(x->turn, reason) : NULL;
	record(x, d, FRAME_OF(command_done, &f), true);
}

static void
over(struct exec *x, struct deployment *d, bool ok, const char *reason)
{
	done_record(x, d, d->id, ok, reason);
	if (ok)
		log_info(d->id, "chain SUCCESS");
	else
		log_warn(d->id, "chain ends: %s", reason);
	d->phase = PH_ENDED;
	d->wake_at = 0;
}

/* Trigger the applications of one block. */
static void
block_begin(struct exec *x, struct deployment *d, unsigned block)
{
	const Frame__ChainBlock *b = d->s.plan->chain[block - 1];
	const char *id, *name = b->name != NULL ? b->name : "";
	Frame__Command f;
	struct frame out = { .kind = FRAME_command };
	size_t i = 0, n = 0;
	void *v;

	while (map_next(x->app, &i, &id, &v)) {
		if (!matches(b, v))
			continue;
		command_make(x, d, id, block, &f);
		record(x, d, FRAME_OF(command, &f), true);
		out.u.command = msg_copy(&f, x->turn);
		if (x->daemon)
			tell(x, &out);
		n++;
	}
	if (n == 0) {
		over(x, d, false,
		    arena_printf(x->turn,
			"no known application matches block %u (name \"%s\")",
			block, name));
		return;
	}
	log_info(d->id, "chain block=%u applications=%zu", block, n);
	d->chain_at = now_ms() + CHAIN_ORPHAN_MS;
	d->wake_at = now_ms() + CHAIN_REPEAT_MS;
}

/* Say the commands again that nobody has answered by a deployment. */
static void
block_repeat(struct exec *x, struct deployment *d, unsigned block)
{
	struct journal_member *m;
	struct frame out = { .kind = FRAME_command };
	Frame__Command f;

	if (d->chain_at == 0)
		d->chain_at = now_ms() + CHAIN_ORPHAN_MS;
	for (m = d->s.members; m != NULL; m = m->next) {
		if (m->block != block || m->deployment_id != NULL ||
		    m->status != MODEL__COMMAND_STATUS__COMMAND_NOT_HANDLED_YET)
			continue;
		if (now_ms() >= d->chain_at) {
			done_record(x, d, m->command_id, false,
			    "nobody took the command for a day");
			continue;
		}
		if (!x->daemon)
			continue;
		command_make(x, d, m->application_id, block, &f);
		out.u.command =
		    f.command != NULL ? msg_copy(&f, x->turn) : NULL;
		tell(x, &out);
	}
	d->wake_at = now_ms() + CHAIN_REPEAT_MS;
}

void
chain_step(struct exec *x, struct deployment *d)
{
	const struct journal_member *m, *bad = NULL;
	unsigned block = 0;
	bool open = false;

	if (d->phase != PH_CHAIN || (!x->daemon && !x->eof))
		return; /* a filter first hears of all applications */
	if (d->s.chain_over) {
		d->phase = PH_ENDED;
		dirty_add(x, d, false);
		return;
	}
	for (m = d->s.members; m != NULL; m = m->next)
		if (m->block > block)
			block = m->block;
	for (m = d->s.members; m != NULL; m = m->next) {
		if (m->status == MODEL__COMMAND_STATUS__COMMAND_NOT_HANDLED_YET)
			open = true;
		else if (m->status != MODEL__COMMAND_STATUS__COMMAND_SUCCEEDED)
			bad = m;
	}
	if (open)
		block_repeat(x, d, block);
	else if (bad != NULL)
		over(x, d, false,
		    arena_printf(x->turn,
			"application %s of block %u did not succeed; later "
			"blocks are not deployed",
			bad->application_id, bad->block));
	else if (block == d->s.plan->n_chain)
		over(x, d, true, NULL);
	else
		block_begin(x, d, block + 1);
}

void
chain_take_up(struct exec *x, struct deployment *d)
{
	if (d->s.deployment->status != D_(SUCCESS) || d->s.plan == NULL ||
	    d->s.plan->n_chain == 0 || d->s.chain_over ||
	    x->conf.api_address != NULL)
		return;
	active_add(x, d);
	d->phase = PH_CHAIN;
	d->wake_at = now_ms();
}

void
chain_member_ended(struct exec *x, const Model__Deployment *m)
{
	struct journal_member *k;
	struct deployment *d;
	const char *status = msg_enum_name(
	    &model__deployment_status__descriptor, (int)m->status, MSG_FRAME);

	if (m->deployment_chain_id[0] == '\0' ||
	    m->deployment_chain_block_index == 0)
		return;
	d = map_get(x->by_id, m->deployment_chain_id);
	if (d == NULL || d->phase != PH_CHAIN)
		return;
	for (k = d->s.members; k != NULL; k = k->next) {
		if (k->block != m->deployment_chain_block_index ||
		    strcmp(k->application_id, m->application_id) != 0 ||
		    k->status != MODEL__COMMAND_STATUS__COMMAND_NOT_HANDLED_YET)
			continue;
		done_record(x, d, k->command_id, m->status == D_(SUCCESS),
		    arena_printf(
			x->turn, "deployment %s ended %s", m->id, status));
		d->wake_at = now_ms();
		return;
	}
}

/* plan says that it will not do what a chain asked for. */
void
chain_command_done(struct exec *x, const Frame__CommandDone *c)
{
	struct journal_member *k;
	size_t i;

	if (c->status == MODEL__COMMAND_STATUS__COMMAND_SUCCEEDED)
		return; /* its deployment says how it ended */
	for (i = 0; i < x->n_active; i++) {
		struct deployment *d = x->active[i];

		for (k = d->phase == PH_CHAIN ? d->s.members : NULL; k != NULL;
		     k = k->next) {
			if (strcmp(k->command_id, c->command_id) != 0 ||
			    k->status !=
				MODEL__COMMAND_STATUS__COMMAND_NOT_HANDLED_YET)
				continue;
			done_record(x, d, k->command_id, false, c->reason);
			d->wake_at = now_ms();
		}
	}
}

/*
 * The end of a filter: nobody is left to ask, so the commands of open blocks
 * go into a file that the plan of the next run reads.
 */
void
chains_save(struct exec *x)
{
	struct journal_member *m;
	struct buf all = BUF_INIT;
	char *path = arena_printf(x->arena, "%s/commands.ndjson", x->state_dir);
	Frame__Command f;
	struct err e;
	size_t i;
	long n = 0;

	for (i = 0; i < x->n_active; i++)
		chain_step(x, x->active[i]);
	for (i = 0; i < x->n_active; i++) {
		struct deployment *d = x->active[i];

		if (d->phase != PH_CHAIN)
			continue;
		for (m = d->s.members; m != NULL; m = m->next) {
			if (m->status !=
			    MODEL__COMMAND_STATUS__COMMAND_NOT_HANDLED_YET)
				continue;
			command_make(x, d, m->application_id, m->block, &f);
			frame_write(&all, FRAME_OF(command, &f));
			n++;
		}
	}
	if (commit(x, &e) == -1)
		log_warn("-", "%s", e.text);
	if (n == 0)
		(void)unlink(path);
	else if (file_write(path, all.p, all.len, 0600, true, &e) == -1)
		log_error("-", "%s", e.text);
	else
		log_info("-",
		    "chain: %ld application%s of the next block wait%s; run "
		    "the same pipe again to go on",
		    n, n == 1 ? "" : "s", n == 1 ? "s" : "");
	buf_free(&all);
}
