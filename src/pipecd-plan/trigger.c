/* trigger.c - whether an application deploys. */
#include <stdlib.h>
#include <string.h>

#include "plan.h"
#include <sys/stat.h>

/* A commit that the head is compared with. */
struct base {
	bool lost; /* not in the mirror any more */
	bool diffed;
	const char **paths;
	size_t n_paths;
};

void
pass_open(struct pass *s, struct repo *r, const char *head)
{
	s->repo = r;
	s->head = head;
	s->bases = map_new();
	s->arena = arena_new();
}

void
pass_close(struct pass *s)
{
	map_free(s->bases);
	arena_free(s->arena);
}

static struct base *
pass_base(struct pass *s, const char *from, const char *to, struct err *e)
{
	char *key = arena_printf(s->arena, "%s %s", from, to);
	struct base *b = map_get(s->bases, key);
	struct git_commit_info c;
	int rv;

	if (b != NULL)
		return b;
	b = arena_new_of(s->arena, struct base);
	if ((rv = git_commit_read(s->repo->git, from, &c, s->arena, e)) == -1)
		return NULL;
	b->lost = rv == 0;
	map_put(s->bases, key, b);
	return b;
}

static int
base_diff(struct pass *s, struct base *b, const char *from, const char *to,
    struct err *e)
{
	if (b->diffed || b->lost)
		return 0;
	if (git_changed(s->repo->git, from, to, &b->paths, &b->n_paths,
		s->arena, e) == -1)
		return err_wrap(e, "diff %.8s..%.8s", from, to);
	b->diffed = true;
	return 0;
}

int
pass_changed(struct pass *s, const char *from, const char *to,
    const char *const **paths, size_t *n, struct err *e)
{
	struct base *b = pass_base(s, from, to, e);

	*paths = NULL;
	*n = 0;
	if (b == NULL || base_diff(s, b, from, to, e) == -1)
		return -1;
	if (b->lost)
		return 0;
	*paths = (const char *const *)b->paths;
	*n = b->n_paths;
	return 1;
}

static bool
any_match(char *const *patterns, size_t n_patterns, const char *const *paths,
    size_t n)
{
	size_t i;

	if (n_patterns == 0)
		return false;
	for (i = 0; i < n; i++) {
		if (git_match(
			(const char *const *)patterns, n_patterns, paths[i]))
			return true;
	}
	return false;
}

/* Whether the commits from..head touch the application, by PipeCD's rule. */
static int
touched_since(struct pass *s, struct app *a, struct base *b, const char *from,
    struct err *e)
{
	const char *const *paths;
	char was[GIT_ID];
	int rv;

	if (a->n_paths + a->n_ignores > 0) {
		if (base_diff(s, b, from, s->head, e) == -1)
			return -1;
		paths = (const char *const *)b->paths;
		/* One ignored file hides all other changes. */
		if (any_match(a->patterns + a->n_paths, a->n_ignores, paths,
			b->n_paths))
			return 0;
		if (any_match(a->patterns, a->n_paths, paths, b->n_paths))
			return 1;
	}
	if ((rv = git_path_id(s->repo->git, from, a->path, was, e)) == -1)
		return -1;
	return rv == 0 || strcmp(was, a->tree) != 0;
}

/*
 * Whether the head touches the application: 1, 0, -1.  Where the commit it was
 * last triggered by has vanished, what runs decides, by commit or by the tree
 * that was seen; *lost says so.
 */
static int
touched(struct pass *s, struct app *a, bool *lost, struct err *e)
{
	const char *from = a->last;
	struct base *b;

	*lost = false;
	if ((b = pass_base(s, from, s->head, e)) == NULL)
		return -1;
	if (!b->lost)
		return touched_since(s, a, b, from, e);
	*lost = true;
	from = a->past.running;
	if (from[0] != '\0') {
		if ((b = pass_base(s, from, s->head, e)) == NULL)
			return -1;
		if (!b->lost)
			return touched_since(s, a, b, from, e);
	}
	if (a->running_tree[0] != '\0')
		return strcmp(a->running_tree, a->tree) != 0;
	/* Nothing tells what runs: the head is what should. */
	return 1;
}

struct trigger *
trigger_new(struct app *a, Model__TriggerKind kind, const char *commit,
    const char *trigger_id)
{
	struct trigger *t = xcalloc(1, sizeof(*t));

	t->kind = kind;
	t->strategy = MODEL__SYNC_STRATEGY__AUTO;
	memcpy(t->commit, commit, GIT_ID);
	t->id = xstrdup(trigger_id);
	t->at = wall_s();
	uuid5(t->deployment_id,
	    (const char *const[]){ "deployment", a->id, commit, trigger_id },
	    4);
	return t;
}

void
trigger_free(struct plan *p, struct trigger *t)
{
	vote_free(p, t->vote);
	arena_free(t->resume_arena);
	free(t->id);
	free(t->commander);
	free(t->command);
	free(t->rollback_to);
	free(t->chain);
	free(t);
}

/*
 * Append; the same deployment is there once.  A newer commit takes the place
 * of older ones: exec supersedes what it has of them.
 */
void
trigger_add(struct plan *p, struct app *a, struct trigger *t)
{
	struct trigger **pt = &a->triggers, *old;

	while ((old = *pt) != NULL) {
		if (strcmp(old->deployment_id, t->deployment_id) == 0) {
			trigger_free(p, t);
			return;
		}
		if (old->kind == MODEL__TRIGGER_KIND__ON_COMMIT &&
		    t->kind == MODEL__TRIGGER_KIND__ON_COMMIT) {
			*pt = old->next;
			trigger_free(p, old);
			continue;
		}
		pt = &old->next;
	}
	*pt = t;
}

/* Whether exec ended it: its journal is read-only then. */
static bool
ended(const struct plan *p, const char *id)
{
	struct stat st;

	return stat(arena_printf(
			p->work, "%s/journal/%s.ndjson", p->conf.state_dir, id),
		   &st) == 0 &&
	       (st.st_mode & S_IWUSR) == 0;
}

/*
 * A commit is deployed once, but a branch that is forced may come back to it:
 * what ended before the latest deployment was another one.
 */
static void
commit_id(
    struct plan *p, const struct app *a, const char *commit, char id[UUID_LEN])
{
	const char *trigger = commit;
	int n;

	for (n = 1;; n++) {
		uuid5(id,
		    (const char *const[]){
			"deployment", a->id, commit, trigger },
		    4);
		if (strcmp(id, a->past.deployment_id) == 0 || !ended(p, id))
			return;
		trigger = arena_printf(p->work, "%s/%d", commit, n);
	}
}

/*
 * exec took a deployment as PENDING and has not seen it planned: planning it
 * was cut short (a restart, the end of a pipe).
 */
static bool
left_pending(struct plan *p, const struct app *a)
{
	const struct past *h = &a->past;
	char id[UUID_LEN];

	if (a->triggers != NULL || h->deployment_id[0] == '\0' ||
	    h->status != MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_PENDING)
		return false;
	commit_id(p, a, h->triggered, id);
	return strcmp(id, h->deployment_id) == 0;
}

static void
trigger_at(struct plan *p, struct app *a, const char *commit, bool lost)
{
	struct trigger *t =
	    trigger_new(a, MODEL__TRIGGER_KIND__ON_COMMIT, commit, commit);

	commit_id(p, a, commit, t->deployment_id);
	t->base_lost = lost;
	trigger_add(p, a, t);
}

/* What a safety rule stopped is looked at, and said, again. */
void
trigger_held(struct plan *p, struct app *a)
{
	if (a->held[0] != '\0' && a->triggers == NULL && a->state == APP_GOOD &&
	    app_triggers(p, a))
		trigger_at(p, a, a->held, false);
}

int
trigger_commit(struct plan *p, struct pass *s, struct app *a, struct err *e)
{
	bool lost = false;
	int yes;

	if (a->state != APP_GOOD || !app_triggers(p, a))
		return 0;
	if (strcmp(a->last, s->head) != 0 && a->on_commit) {
		yes = 1;
		if (a->last[0] != '\0' && (yes = touched(s, a, &lost, e)) == -1)
			return -1;
		memcpy(a->last, s->head, GIT_ID);
		if (yes) {
			trigger_at(p, a, s->head, lost);
			return 0;
		}
	}
	if (left_pending(p, a))
		trigger_at(p, a, a->past.triggered, false);
	return 0;
}

/*
 * What was seen before the last deployment ended says nothing.  drift names
 * the deployment that it knew of; times would be wrong after a clock went back.
 */
static bool
seen_before(const Model__ApplicationSyncState *s, const struct past *h)
{
	return s->head_deployment_id[0] != '\0'
		   ? strcmp(s->head_deployment_id, h->deployment_id) != 0
		   : s->timestamp <= h->completed_at;
}

int
trigger_out_of_sync(struct plan *p, const Frame__AppState *f, struct err *e)
{
	struct app *a = app_by_id(p, f->application_id);
	const struct past *h;
	struct trigger *t;
	struct pass s;
	char *id;
	int rv;

	if (f->sync_state->status !=
		MODEL__APPLICATION_SYNC_STATUS__OUT_OF_SYNC ||
	    f->target != NULL || a == NULL || a->state != APP_GOOD ||
	    !app_triggers(p, a) || !a->on_out_of_sync ||
	    a->repo->head[0] == '\0')
		return 0;
	h = &a->past;
	if (a->triggers != NULL || past_unfinished(h))
		return 0;
	if (h->completed_at != 0 &&
	    (seen_before(f->sync_state, h) ||
		now_ms() - h->ended_ms < a->min_window_ms))
		return 0;
	arena_reset(p->work);
	id = arena_printf(p->work, "%s/out-of-sync/%lld", a->repo->head,
	    (long long)h->completed_at);
	t = trigger_new(
	    a, MODEL__TRIGGER_KIND__ON_OUT_OF_SYNC, a->repo->head, id);
	trigger_add(p, a, t);
	pass_open(&s, a->repo, a->repo->head);
	rv = deploy_next(p, &s, a, e);
	pass_close(&s);
	return rv;
}

void
triggers_wake(struct plan *p)
{
	struct trigger *t;
	struct app *a;
	const char *id;
	size_t i;
	void *v;

	for (i = 0; map_next(p->apps, &i, &id, &v);) {
		a = v;
		for (t = a->triggers; t != NULL; t = t->next) {
			if (!t->asking)
				continue;
			t->asking = false;
			/* The first one is whom the clock looks at. */
			t->again_ms = a->triggers->again_ms = now_ms();
		}
	}
}
