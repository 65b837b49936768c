/*
 * WAIT and WAIT_APPROVAL: no process, a time in the journal.  A restart in the
 * same boot of the machine counts by the boot clock, so that a wall clock that
 * jumps changes nothing; after a reboot by the wall clock, and never less than
 * what the last checkpoint had counted.
 */
#include <stdlib.h>
#include <string.h>

#include "confdef.h"
#include "exec.h"

enum {
	WAIT_DEFAULT_MS = 60000
};

/* How long ago the stage first began, downtime included. */
static int64_t
since_ms(const struct exec *x, const struct deployment *d)
{
	const struct journal_stage *st = &d->s.stage[d->stage];
	int64_t ran = stage_ran_ms(d), ago;

	if (!st->started || st->at_ms == 0)
		return ran; /* not yet, or the control plane did not say */
	ago = st->boot != NULL && strcmp(st->boot, x->boot) == 0
		  ? up_ms() - st->up_ms
		  : wall_ms() - st->at_ms;
	return ago > ran ? ago : ran;
}

static void
timer_begin(struct exec *x, struct deployment *d, enum phase phase)
{
	if (d->s.stage[d->stage].started) {
		/* What passed while no exec ran counts as well. */
		d->mark_at -= since_ms(x, d) - stage_ran_ms(d);
		d->check_at = now_ms() + CHECK_MIN_MS;
	} else {
		stage_process_record(x, d, 0, 0);
		stage_start_tell(x, d);
		log_info(d->id, "stage start stage=%s", stage_model(d)->name);
	}
	d->phase = phase;
	d->wake_at = now_ms();
}

void
wait_begin(struct exec *x, struct deployment *d)
{
	const Frame__StagePlan *p = stage_plan(d);
	struct conf_wait w = { .duration_ms = 0 };
	struct err e;

	if (conf_json_read(CONF_wait, &w, "WAIT",
		p->config != NULL ? p->config->text : "{}", x->turn,
		&e) == -1) {
		stage_end(x, d, S_(FAILURE), false, "%s", e.text);
		return;
	}
	d->wait_ms = w.duration_ms > 0 ? w.duration_ms : WAIT_DEFAULT_MS;
	timer_begin(x, d, PH_TIMER);
}

void
wait_timer(struct exec *x, struct deployment *d)
{
	enum why why;
	int64_t left, ran = stage_ran_ms(d), limit;

	if (d->phase == PH_TIMER && ran >= d->wait_ms) {
		stage_end(x, d, S_(SUCCESS), false, "waited %llds",
		    (long long)(d->wait_ms / 1000));
		return;
	}
	if ((limit = stage_left_ms(x, d, &why)) <= 0) {
		stage_end(x, d, S_(FAILURE), false, "timed out after %llds%s",
		    (long long)(ran / 1000),
		    why == WHY_DEPLOYMENT_TIMEOUT
			? " (the limit of the whole deployment)"
			: "");
		return;
	}
	if (now_ms() >= d->check_at)
		stage_process_record(x, d, 0, 0);
	left = d->phase == PH_TIMER && d->wait_ms - ran < limit
		   ? d->wait_ms - ran
		   : limit;
	if (d->check_at - now_ms() < left)
		left = d->check_at - now_ms();
	d->wake_at = now_ms() + (left < 1 ? 1 : left);
}

/* --- approvals
 * ------------------------------------------------------------------
 */

static bool
listed(const char *list, const char *user)
{
	size_t n = strlen(user);
	const char *p;

	for (p = list; p != NULL && *p != '\0';
	     p = strchr(p, ',') != NULL ? strchr(p, ',') + 1 : NULL) {
		while (*p == ' ')
			p++;
		if (strncmp(p, user, n) == 0 &&
		    (p[n] == '\0' || p[n] == ',' || p[n] == ' '))
			return true;
	}
	return false;
}

static int
approval_read(struct exec *x, struct deployment *d,
    struct conf_wait_approval *w, struct err *e)
{
	const Frame__StagePlan *p = stage_plan(d);

	memset(w, 0, sizeof(*w));
	if (conf_json_read(CONF_wait_approval, w, "WAIT_APPROVAL",
		p->config != NULL ? p->config->text : "{}", x->turn, e) == -1)
		return -1;
	if (w->min_approver_num < 1)
		w->min_approver_num = 1;
	return 0;
}

/* Whom the stage lets approve: -1 not this one, and e says whom. */
static int
may_approve(const struct deployment *d, const struct conf_wait_approval *w,
    const char *user, struct err *e)
{
	const Model__PipelineStage *m = stage_model(d);
	const char *meta = journal_meta(m, "Approvers");
	struct buf b = BUF_INIT;
	bool any = true, yes = false;
	size_t i;

	for (i = 0; i < m->n_authorized_operators; i++) {
		any = false;
		yes |= strcmp(m->authorized_operators[i], user) == 0;
		buf_printf(&b, " %s", m->authorized_operators[i]);
	}
	for (i = 0; any && i < w->n_approvers; i++) {
		yes |= strcmp(w->approvers[i], user) == 0;
		buf_printf(&b, " %s", w->approvers[i]);
	}
	any &= w->n_approvers == 0;
	if (any && meta != NULL && *meta != '\0') {
		any = false;
		yes = listed(meta, user);
		buf_printf(&b, " %s", meta);
	}
	if (!any && !yes)
		err_set(e, RC_PERM,
		    "%s is not among those who may approve this stage:%s", user,
		    b.p);
	buf_free(&b);
	return any || yes ? 0 : -1;
}

static size_t
count(const char *list)
{
	size_t n = 0;

	for (; list != NULL && *list != '\0'; n++)
		list = strchr(list, ',') != NULL ? strchr(list, ',') + 1 : NULL;
	return n;
}

void
approval_begin(struct exec *x, struct deployment *d)
{
	struct conf_wait_approval w;
	struct err e;
	bool again = d->s.stage[d->stage].started;

	if (approval_read(x, d, &w, &e) == -1) {
		stage_end(x, d, S_(FAILURE), false, "%s", e.text);
		return;
	}
	timer_begin(x, d, PH_APPROVAL);
	if (!again)
		stage_say(x, d, "INFO",
		    "Waiting for %lld approval%s: pipecd-report -c approve %s",
		    (long long)w.min_approver_num,
		    w.min_approver_num == 1 ? "" : "s", d->id);
	else if (count(journal_meta(stage_model(d), "ApprovedBy")) >=
		 (size_t)w.min_approver_num)
		stage_end(x, d, S_(SUCCESS), false, "approved by %s",
		    journal_meta(stage_model(d), "ApprovedBy"));
}

int
approve(struct exec *x, struct deployment *d, const Model__Command *c,
    struct buf *text, struct err *e)
{
	Model__Command named = *c;
	Frame__Command fc = FRAME__COMMAND__INIT;
	const char *user = c->commander;
	Frame__StageMeta f = FRAME__STAGE_META__INIT;
	const char *old = journal_meta(stage_model(d), "ApprovedBy");
	struct conf_wait_approval w;
	char key[] = "ApprovedBy";
	size_t have = count(old);

	if (strchr(user, ',') != NULL)
		return err_set(e, RC_PERM, "\"%s\" is not a user", user);
	if (approval_read(x, d, &w, e) == -1 ||
	    may_approve(d, &w, user, e) == -1)
		return -1;
	if (old != NULL && listed(old, user)) {
		buf_printf(text,
		    "you have approved this stage already: %zu of "
		    "%lld",
		    have, (long long)w.min_approver_num);
		return 0;
	}
	named.deployment_id = f.deployment_id = d->id;
	named.stage_id = f.stage_id = stage_model(d)->id;
	fc.command = &named;
	record(x, d, FRAME_OF(command, &fc), true);
	f.key = key;
	f.value = old != NULL && *old != '\0'
		      ? arena_printf(x->turn, "%s,%s", old, user)
		      : arena_strdup(x->turn, user);
	record(x, d, FRAME_OF(stage_meta, &f), true);
	have++;
	stage_say(x, d, "INFO", "Approved by %s (%zu of %lld).", user, have,
	    (long long)w.min_approver_num);
	buf_printf(
	    text, "approved: %zu of %lld", have, (long long)w.min_approver_num);
	if (have >= (size_t)w.min_approver_num)
		stage_end(x, d, S_(SUCCESS), false, "approved by %s",
		    journal_meta(stage_model(d), "ApprovedBy"));
	return 0;
}
