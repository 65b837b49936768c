#include "gitwatch.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

/* A ref is replaced by renaming a lock file over it. */
enum {
	REF_EVENTS = IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_DELETE_SELF |
		     IN_MOVE_SELF | IN_ONLYDIR
};

static void
add(struct gitwatch *g, struct repo *r, const char *dir, bool refs)
{
	int wd = inotify_add_watch(g->inotify, dir, REF_EVENTS);
	size_t i;

	if (wd == -1)
		return; /* the interval finds it */
	for (i = 0; i < g->n_watches; i++)
		if (g->watches[i].wd == wd && g->watches[i].repo == r)
			return;
	if ((g->n_watches & (g->n_watches - 1)) == 0)
		g->watches = xrealloc(
		    g->watches, (g->n_watches == 0 ? 1 : g->n_watches * 2) *
				    sizeof(*g->watches));
	g->watches[g->n_watches++] =
	    (struct watch){ .wd = wd, .repo = r, .refs = refs };
}

void
watch_repo(struct gitwatch *g, struct repo *r)
{
	const char *branch = r->branch != NULL ? r->branch : r->at, *s;
	struct arena *a;
	struct err e;

	if (g->inotify == -1 || r->path == NULL)
		return;
	if (r->dir == NULL &&
	    (r->dir = git_local_dir(r->path, g->a, &e)) == NULL)
		return;
	a = arena_new();
	add(g, r, r->dir, false);
	add(g, r, arena_printf(a, "%s/refs", r->dir), true);
	add(g, r, arena_printf(a, "%s/refs/heads", r->dir), true);
	/* A branch a/b is a file in a directory. */
	for (s = strchr(branch, '/'); s != NULL; s = strchr(s + 1, '/'))
		add(g, r,
		    arena_printf(a, "%s/refs/heads/%.*s", r->dir,
			(int)(s - branch), branch),
		    true);
	arena_free(a);
}

static bool
counts(const struct watch *w, const struct inotify_event *ev)
{
	if (ev->len == 0)
		return true; /* the directory itself */
	if (str_suffix(ev->name, ".lock"))
		return false;
	return w->refs || strcmp(ev->name, "packed-refs") == 0 ||
	       strcmp(ev->name, "HEAD") == 0 || strcmp(ev->name, "refs") == 0;
}

static void
event(struct gitwatch *g, const struct inotify_event *ev)
{
	size_t i;

	for (i = 0; i < g->n_watches; i++) {
		struct watch *w = &g->watches[i];

		if ((ev->mask & IN_Q_OVERFLOW) != 0 ||
		    (w->wd == ev->wd && counts(w, ev)))
			w->repo->due = true;
	}
	if ((ev->mask & IN_IGNORED) == 0)
		return;
	for (i = 0; i < g->n_watches;)
		if (g->watches[i].wd == ev->wd)
			g->watches[i] = g->watches[--g->n_watches];
		else
			i++;
}

void
watch_read(struct gitwatch *g)
{
	_Alignas(struct inotify_event) char buf[16384];
	const char *p;
	ssize_t n;

	while ((n = read(g->inotify, buf, sizeof(buf))) > 0)
		for (p = buf; p < buf + n;) {
			const struct inotify_event *ev = (const void *)p;

			event(g, ev);
			p += sizeof(*ev) + ev->len;
		}
}

void
watch_free(struct gitwatch *g)
{
	free(g->watches);
	if (g->inotify != -1)
		close(g->inotify);
}
