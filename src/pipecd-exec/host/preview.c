#include "host.h"

#include <string.h>

/* What a sync would change, per deploy target. */
int
host_preview(struct run *r, struct err *e)
{
	const Frame__PlanStart *s = r->plan;
	const Model__ApplicationGitPath *g = s->application->git_path;
	const char *file = g != NULL ? g->config_filename : NULL;
	struct conf_host_app c;
	struct map *hidden;
	struct tree want;
	size_t i;

	if (s->target_dir == NULL)
		return err_set(
		    e, RC_PERM, "plan_start: field target_dir is missing");
	if (host_app_conf(&c, s->app_config, r->arena, e) == -1 ||
	    host_want(&want, &c, s->target_dir, file, r->arena, e) == -1)
		return -1;
	hidden = view_hidden(s->target_dir, file);
	for (i = 0; i < s->n_targets; i++) {
		Frame__Preview f = FRAME__PREVIEW__INIT;
		struct buf b = BUF_INIT;
		struct view v;

		view_look(&v, r, s->targets[i], s->application->name, &want,
		    r->arena);
		f.target = s->targets[i];
		f.has_no_change = f.no_change =
		    v.d.n == 0 && v.unknown == NULL && v.why == NULL;
		f.summary =
		    f.no_change ? arena_strdup(r->arena, "no file changes")
		    : v.unknown != NULL
			? arena_strdup(r->arena, v.unknown)
			: arena_printf(r->arena,
			      "%zu files to add, %zu to delete, %zu to change",
			      v.d.count[CHANGE_ADD], v.d.count[CHANGE_DELETE],
			      v.d.count[CHANGE_EDIT]);
		if (!f.no_change) {
			view_text(&b, &v, 1, s->target_dir, hidden);
			f.text = arena_strdup(
			    r->arena, text_clean(r->arena, b.p, b.len));
			f.language = arena_strdup(r->arena, "diff");
		}
		run_say(r, FRAME_OF(preview, &f));
		buf_free(&b);
	}
	map_free(hidden);
	return 0;
}
