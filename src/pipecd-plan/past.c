/* past.c - what exec knows of an application. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "plan.h"

static void
id_set(char *dst, size_t size, const char *s)
{
	if (s == NULL || strlen(s) >= size)
		s = "";
	memcpy(dst, s, strlen(s) + 1);
}

static void
commit_set(char dst[GIT_ID], const char *s)
{
	id_set(dst, GIT_ID, s != NULL && is_commit(s) ? s : NULL);
}

bool
past_unfinished(const struct past *h)
{
	return h->deployment_id[0] != '\0' &&
	       h->status < MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_SUCCESS;
}

/* Drop what exec has taken over: it repeats itself from here on. */
static void
past_settle(struct plan *p, struct app *a)
{
	struct trigger **pt = &a->triggers, *t;

	while ((t = *pt) != NULL) {
		if (t->planned &&
		    strcmp(t->deployment_id, a->past.deployment_id) == 0 &&
		    a->past.status !=
			MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_PENDING) {
			*pt = t->next;
			trigger_free(p, t);
			continue;
		}
		pt = &t->next;
	}
}

/* From here on its age is counted by the clock that does not jump. */
static int64_t
ended_ms(int64_t completed_at)
{
	int64_t ago = wall_s() - completed_at;

	return now_ms() - (ago > 0 ? ago * 1000 : 0);
}

int
past_take(struct plan *p, const Frame__Past *f, struct err *e)
{
	struct repo *r = repo_get(p, f->repo);
	struct app *a;
	struct past *h;
	char was[GIT_ID], triggered[GIT_ID];

	if (r == NULL) {
		log_debug(f->application_id, "past repo=%s is not configured",
		    f->repo);
		return 0;
	}
	a = app_get(p, r, f->path, f->config_filename);
	h = &a->past;
	memcpy(was, h->running, GIT_ID);
	memcpy(triggered, h->triggered, GIT_ID);
	commit_set(h->triggered, f->triggered_commit);
	commit_set(h->running, f->running_commit);
	free(h->running_file);
	h->running_file = xstrdup(f->running_config_filename);
	id_set(h->deployment_id, sizeof(h->deployment_id), f->deployment_id);
	h->status = f->has_status
			? f->status
			: MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_SUCCESS;
	if (h->completed_at != f->completed_at)
		h->ended_ms = ended_ms(f->completed_at);
	h->completed_at = f->completed_at;
	h->triggered_at = f->triggered_at;
	if (a->name == NULL)
		a->name = xstrdup(f->name);
	/*
	 * The last line of apps.ndjson counts, unless we have looked further
	 * since.  Nothing triggered: exec lost what it had, so it starts anew.
	 */
	if (a->last[0] == '\0' || strcmp(a->last, triggered) == 0 ||
	    (h->triggered[0] == '\0' && h->deployment_id[0] == '\0'))
		memcpy(a->last, h->triggered, GIT_ID);
	/* That tree is remembered when its commit has vanished. */
	if (strcmp(was, h->running) != 0)
		a->running_tree[0] = '\0';
	if (a->running_tree[0] == '\0' && r->git != NULL &&
	    h->running[0] != '\0' &&
	    git_path_id(r->git, h->running, a->path, a->running_tree, e) != 1)
		a->running_tree[0] = '\0';
	past_settle(p, a);
	app_give(p, a, f->application_id);
	return 0;
}

int
lines_load(struct plan *p, const char *name, struct reading *at,
    int (*take)(struct plan *, const struct frame *, struct err *),
    struct err *e)
{
	struct frame_reader in = { 0 };
	struct arena *a = arena_new();
	struct frame f;
	struct stat st;
	struct buf path = BUF_INIT;
	int rv = -1, got;

	buf_printf(&path, "%s/%s", p->conf.state_dir, name);
	in.name = path.p;
	if ((in.in = fopen(path.p, "re")) == NULL) {
		/* Frames of exec tell a daemon the same. */
		if (errno == ENOENT || (errno == EACCES && !p->filter))
			rv = 0;
		else
			err_sys(e, "%s", path.p);
		goto out;
	}
	if (fstat(fileno(in.in), &st) == -1) {
		err_sys(e, "%s", path.p);
		goto out;
	}
	/* exec appends; what it compacted is another file. */
	if (st.st_ino != at->ino || st.st_size < at->read)
		at->read = 0;
	at->ino = st.st_ino;
	if (fseeko(in.in, at->read, SEEK_SET) == -1) {
		err_sys(e, "%s", path.p);
		goto out;
	}
	while ((got = frame_next(&in, &f, a, e)) != 2) {
		if (got == -1) {
			/* exec may be in the middle of its last line. */
			if (e->exit != RC_TEMP)
				goto out;
			break;
		}
		at->read += in.len;
		if (got == 1 && take(p, &f, e) == -1)
			goto out;
		arena_reset(a);
	}
	rv = 0;
out:
	if (in.in != NULL)
		fclose(in.in);
	frame_reader_free(&in);
	buf_free(&path);
	arena_free(a);
	return rv;
}

static int
past_line(struct plan *p, const struct frame *f, struct err *e)
{
	return f->kind == FRAME_past ? past_take(p, f->u.past, e) : 0;
}

int
past_load(struct plan *p, struct err *e)
{
	return lines_load(p, "journal/apps.ndjson", &p->past_at, past_line, e);
}
