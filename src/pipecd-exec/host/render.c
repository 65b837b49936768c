#include "host.h"

#include <string.h>

/*
 * The desired objects are the files.  Their content stays in the checkout:
 * `path` is below `dir`, nothing is written into out_dir, and the hash is what
 * `live` compares.
 */
int
host_render(struct run *r, struct err *e)
{
	const Frame__RenderStart *s = r->render;
	struct conf_host_app c;
	struct tree t;
	size_t i;

	if (host_app_conf(&c, s->app_config, r->arena, e) == -1 ||
	    host_want(&t, &c, s->dir, s->config_filename, r->arena, e) == -1)
		return -1;
	for (i = 0; i < t.n; i++) {
		Frame__Object o = FRAME__OBJECT__INIT;
		const struct file *f = &t.v[i];

		o.application_id = s->application->id;
		o.key = o.path = arena_strdup(
		    r->arena, text_clean(r->arena, f->path, strlen(f->path)));
		o.hash = arena_strdup(r->arena, f->hash);
		run_say(r, FRAME_OF(object, &o));
	}
	return 0;
}
