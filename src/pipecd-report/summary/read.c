#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "journal.h"
#include "summary.h"

/* The last word on a deployment, and whether it was ever rolled back. */
struct found {
	struct arena *arena;
	const Model__Deployment *last; /* in arena */
	bool rolled_back;
};

static bool
wanted(const struct summary *s, const Model__Deployment *d)
{
	size_t i;

	for (i = 0; i < s->n_only; i++)
		if (strcmp(s->only[i], d->application_name) == 0 ||
		    strcmp(s->only[i], d->application_id) == 0)
			return true;
	return s->n_only == 0;
}

static uint32_t
app_index(struct summary *s, const Model__Deployment *d)
{
	uintptr_t i = (uintptr_t)map_get(s->by_id, d->application_id);

	if (i == 0) {
		if (s->n_apps == s->cap_apps) {
			s->cap_apps = s->cap_apps == 0 ? 64 : s->cap_apps * 2;
			s->apps =
			    xrealloc(s->apps, s->cap_apps * sizeof(*s->apps));
		}
		s->apps[s->n_apps] = (struct app){
			.id = arena_strdup(s->arena, d->application_id),
			.name = arena_strdup(s->arena, d->application_name),
		};
		i = ++s->n_apps;
		map_put(s->by_id, d->application_id, (void *)i);
	}
	return (uint32_t)i - 1;
}

static const char *
commit_text(struct summary *s, const char *hash)
{
	const char *known = map_get(s->commits, hash);
	char *text;

	if (known != NULL)
		return known;
	text = arena_strdup(s->arena, hash);
	map_put(s->commits, hash, text);
	return text;
}

static void
rec_add(struct summary *s, const struct found *f)
{
	const Model__Deployment *d = f->last;
	const Model__Commit *c = d->trigger != NULL ? d->trigger->commit : NULL;
	struct rec *r;

	if (s->n_recs == s->cap_recs) {
		s->cap_recs = s->cap_recs == 0 ? 1024 : s->cap_recs * 2;
		s->recs = xrealloc(s->recs, s->cap_recs * sizeof(*s->recs));
	}
	r = &s->recs[s->n_recs++];
	*r = (struct rec){
		.app = app_index(s, d),
		.success =
		    d->status == MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_SUCCESS,
		.failure =
		    d->status == MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_FAILURE,
		.cancelled =
		    d->status == MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_CANCELLED,
		.rolled_back = f->rolled_back,
		.end = d->completed_at > 0 ? d->completed_at : d->updated_at,
		.commit = "",
	};
	r->superseded =
	    r->cancelled && str_prefix(d->status_reason, "superseded by ");
	if (c != NULL) {
		r->commit = commit_text(s, c->hash);
		r->commit_at = c->created_at;
	}
}

static int
journal_last(struct found *f, struct journal_reader *r, struct err *e)
{
	struct arena *a = arena_new(), *spare;
	struct frame fr;
	int n;

	while ((n = journal_next(r, &fr, a, e)) == 0 || n == 1) {
		if (n == 1 && fr.kind == FRAME_deployment) {
			f->last = fr.u.deployment->deployment;
			f->rolled_back |=
			    f->last->status ==
			    MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_ROLLING_BACK;
			/* Keep this frame's memory until there is a later. */
			spare = f->arena;
			f->arena = a;
			a = spare;
		}
		arena_reset(a);
	}
	arena_free(a);
	return n == 2 ? 0 : -1;
}

void
summary_read_file(struct summary *s, const char *path)
{
	struct journal_reader r;
	struct found f = { 0 };
	struct err e = { 0 };

	s->journals++;
	if (journal_reader_open(&r, path, &e) == -1) {
		s->damaged++;
		log_warn("-", "left out: %s", e.text);
		return;
	}
	f.arena = arena_new();
	if (journal_last(&f, &r, &e) == -1) {
		s->damaged++;
		log_warn("-", "left out: %s", e.text);
	} else if (f.last == NULL ||
		   f.last->status <
		       MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_SUCCESS) {
		s->unfinished++;
	} else if (wanted(s, f.last)) {
		rec_add(s, &f);
	}
	journal_reader_close(&r);
	arena_free(f.arena);
}

static int
is_journal(const struct dirent *d)
{
	return str_suffix(d->d_name, ".ndjson") &&
	       strcmp(d->d_name, "apps.ndjson") != 0;
}

int
summary_read_dir(struct summary *s, const char *dir, struct err *e)
{
	struct dirent **names = NULL;
	struct buf path = BUF_INIT;
	int i, n = scandir(dir, &names, is_journal, alphasort);

	/* No journal yet is no error: cron began before the first push. */
	if (n == -1 && errno == ENOENT)
		return 0;
	if (n == -1)
		return err_sys(e, "%s", dir);
	for (i = 0; i < n; i++) {
		buf_reset(&path);
		buf_printf(&path, "%s/%s", dir, names[i]->d_name);
		summary_read_file(s, path.p);
		free(names[i]);
	}
	free(names);
	buf_free(&path);
	return 0;
}
