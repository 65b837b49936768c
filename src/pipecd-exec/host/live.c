#include "host.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int
by_path(const void *a, const void *b)
{
	const struct file *x = a, *y = b;

	return strcmp(x->path, y->path);
}

/* The desired files from a file of object frames, as `render` says them. */
static int
read_objects(struct tree *t, const char *path, struct arena *a, struct err *e)
{
	struct frame_reader in = { .name = path };
	struct frame f;
	int rc, rv = -1;

	memset(t, 0, sizeof(*t));
	if ((in.in = fopen(path, "re")) == NULL)
		return err_sys(e, "open %s", path);
	while ((rc = frame_next(&in, &f, a, e)) != 2) {
		struct file *old = t->v, *n;

		if (rc == -1)
			goto out;
		if (rc != 1 || f.kind != FRAME_object)
			continue;
		if (t->n == t->cap) {
			t->cap = t->cap == 0 ? 32 : t->cap * 2;
			t->v = arena_array(a, struct file, t->cap);
			if (t->n > 0)
				memcpy(t->v, old, t->n * sizeof(*old));
		}
		n = &t->v[t->n++];
		n->path = f.u.object->key;
		(void)snprintf(
		    n->hash, sizeof(n->hash), "%s", f.u.object->hash);
	}
	if (t->n > 1)
		qsort(t->v, t->n, sizeof(*t->v), by_path);
	rv = 0;
out:
	frame_reader_free(&in);
	fclose(in.in);
	return rv;
}

/* One release on one target, as a resource. */
static Model__ResourceState *
resource(const struct view *v, const char *app, struct arena *a)
{
	Model__ResourceState *r = arena_new_of(a, Model__ResourceState);
	const struct {
		const char *key;
		char *value;
	} meta[] = {
		{ "release",
		    arena_strdup(a, v->p.current != NULL ? v->p.current : "") },
		{ "path", arena_strdup(a, v->p.dir != NULL ? v->p.dir : "") },
		{ "files", arena_printf(a, "%zu", v->have.n) },
		{ "adds", arena_printf(a, "%zu", v->d.count[CHANGE_ADD]) },
		{ "deletes",
		    arena_printf(a, "%zu", v->d.count[CHANGE_DELETE]) },
		{ "changes", arena_printf(a, "%zu", v->d.count[CHANGE_EDIT]) },
	};
	size_t i;

	model__resource_state__init(r);
	r->id = arena_printf(a, "%s/%s", v->target, app);
	r->name = arena_strdup(a, app);
	r->resource_type = arena_strdup(a, "Release");
	r->deploy_target = arena_strdup(a, v->target);
	r->plugin_name = arena_strdup(a, "host");
	r->created_at = r->updated_at = v->since > 0 ? v->since : wall_s();
	r->resource_metadata = arena_array(
	    a, Model__ResourceState__ResourceMetadataEntry *, NITEMS(meta));
	for (i = 0; i < NITEMS(meta); i++) {
		Model__ResourceState__ResourceMetadataEntry *m = arena_new_of(
		    a, Model__ResourceState__ResourceMetadataEntry);

		model__resource_state__resource_metadata_entry__init(m);
		m->key = arena_strdup(a, meta[i].key);
		m->value = meta[i].value;
		r->resource_metadata[r->n_resource_metadata++] = m;
	}
	if (v->unknown != NULL) {
		r->health_description = arena_strdup(a, v->unknown);
	} else if (v->has_state && strcmp(v->state.phase, "healthy") == 0 &&
		   v->have.n > 0) {
		r->health_status =
		    MODEL__RESOURCE_STATE__HEALTH_STATUS__HEALTHY;
	} else {
		r->health_status =
		    MODEL__RESOURCE_STATE__HEALTH_STATUS__UNHEALTHY;
		r->health_description = arena_strdup(
		    a, v->why != NULL ? v->why
				      : "its activation was never completed");
	}
	return r;
}

static void
say_live(struct run *r, const struct view *v, size_t n)
{
	const Frame__LiveStart *s = r->live;
	Frame__Live f = FRAME__LIVE__INIT;
	Model__ApplicationLiveState st = MODEL__APPLICATION_LIVE_STATE__INIT;
	bool healthy = n > 0;
	size_t i;

	st.resources = arena_array(r->arena, Model__ResourceState *, n + 1);
	for (i = 0; i < n; i++) {
		st.resources[i] =
		    resource(&v[i], s->application->name, r->arena);
		healthy = healthy &&
			  st.resources[i]->health_status ==
			      MODEL__RESOURCE_STATE__HEALTH_STATUS__HEALTHY;
	}
	st.n_resources = n;
	st.health_status = healthy
			       ? MODEL__APPLICATION_LIVE_STATE__STATUS__HEALTHY
			       : MODEL__APPLICATION_LIVE_STATE__STATUS__OTHER;
	f.application_id = s->application->id;
	f.application_live_state = &st;
	run_say(r, FRAME_OF(live, &f));
}

/* Names of what differs, each once, at most as many as a frame should hold. */
static void
fill_changed(
    Frame__AppState *f, const struct view *v, size_t n, struct arena *a)
{
	struct map *seen = map_new();
	size_t i, k;

	f->changed = arena_array(a, char *, 200);
	for (i = 0; i < n; i++)
		for (k = 0; k < v[i].d.n && f->n_changed < 200; k++) {
			const char *path = v[i].d.v[k].path;

			if (map_put(seen, path, seen) == NULL)
				f->changed[f->n_changed++] = arena_strdup(
				    a, text_clean(a, path, strlen(path)));
		}
	map_free(seen);
}

static void
say_state(struct run *r, const struct view *v, size_t n)
{
	const Frame__LiveStart *s = r->live;
	Frame__AppState f = FRAME__APP_STATE__INIT;
	Model__ApplicationSyncState st;
	const char *unknown = NULL, *wrong = NULL;
	struct buf b = BUF_INIT;
	struct map *hidden;
	size_t count[3], all, i;

	model__application_sync_state__init(&st);
	view_count(v, n, count);
	all = count[0] + count[1] + count[2];
	for (i = 0; i < n; i++) {
		unknown = unknown == NULL ? v[i].unknown : unknown;
		wrong = wrong == NULL ? v[i].why : wrong;
	}
	st.timestamp = wall_s();
	st.status = all > 0 || wrong != NULL
			? MODEL__APPLICATION_SYNC_STATUS__OUT_OF_SYNC
		    : unknown != NULL ? MODEL__APPLICATION_SYNC_STATUS__UNKNOWN
				      : MODEL__APPLICATION_SYNC_STATUS__SYNCED;
	if (st.status == MODEL__APPLICATION_SYNC_STATUS__OUT_OF_SYNC) {
		st.short_reason = arena_printf(r->arena,
		    "There are %zu files not synced (%zu adds, %zu deletes, "
		    "%zu changes)",
		    all, count[CHANGE_ADD], count[CHANGE_DELETE],
		    count[CHANGE_EDIT]);
		buf_printf(&b,
		    "Diff between the defined state in Git at commit %.7s and "
		    "actual state on the deploy targets:\n\n",
		    s->commit);
		hidden = view_hidden(s->dir, s->config_filename);
		view_text(&b, v, n, s->dir, hidden);
		map_free(hidden);
		st.reason =
		    arena_strdup(r->arena, text_clean(r->arena, b.p, b.len));
	} else if (unknown != NULL) {
		st.short_reason = arena_strdup(
		    r->arena, "The state of a deploy target is unknown");
		st.reason = arena_strdup(r->arena, unknown);
	}
	f.application_id = s->application->id;
	f.sync_state = &st;
	f.commit = s->commit;
	fill_changed(&f, v, n, r->arena);
	run_say(r, FRAME_OF(app_state, &f));
	buf_free(&b);
}

int
host_live(struct run *r, struct err *e)
{
	const Frame__LiveStart *s = r->live;
	struct conf_host_app c;
	struct tree want;
	struct view *v;
	size_t i;

	if (s->objects != NULL) {
		if (read_objects(&want, s->objects, r->arena, e) == -1)
			return -1;
	} else if (s->dir == NULL) {
		return err_set(e, RC_PERM,
		    "live_start: one of dir and objects must be there");
	} else if (host_app_conf(&c, s->app_config, r->arena, e) == -1 ||
		   host_want(&want, &c, s->dir, s->config_filename, r->arena,
		       e) == -1) {
		return -1;
	}
	v = arena_array(r->arena, struct view, s->n_targets + 1);
	for (i = 0; i < s->n_targets; i++)
		view_look(&v[i], r, s->targets[i], s->application->name, &want,
		    r->arena);
	say_live(r, v, s->n_targets);
	say_state(r, v, s->n_targets);
	return 0;
}
