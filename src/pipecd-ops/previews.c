/*
 * What agents answered to commands, such as plan previews: large, and of no
 * use once it was read.
 */
#include "ops.h"

struct walk {
	struct ops *o;
	int64_t before, removed, kept;
};

static int
one(void *arg, const Store__Object *obj, struct err *e)
{
	struct walk *w = arg;

	if (obj->updated_at > w->before) {
		w->kept++;
		return 0;
	}
	if (object_delete(w->o, obj->key, e) == -1)
		return -1;
	w->removed++;
	return 0;
}

int
job_previews(struct ops *o, char *const *argv, struct did *d, struct err *e)
{
	struct walk w = { .o = o, .before = wall_s() - PREVIEW_S };
	int rv;

	(void)argv;
	rv = object_each(o, "command-output/", one, &w, e);
	did(d, "removed", w.removed);
	did(d, "kept", w.kept);
	return rv;
}
