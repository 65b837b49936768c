/*
 * Applications.  What the control plane has registered is said to the others,
 * again and again, and kept in report/apps.ndjson for a start without it; what
 * plan finds in git goes the other way: changed names and labels, and
 * applications that nobody registered.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "door.h"

enum {
	LIST_MS = 60000,
	LIST_WATCHED_MS = 300000,
	RETELL_MS = 10000, /* all of them are said again this often */
	RETELL_N = 100,	   /* at a time */
	FOUND_MS = 2000,   /* let a scan of plan come to its end */
	FOUND_AGAIN_MS = 600000,
};

uint64_t
hash_more(uint64_t h, const void *p, size_t n)
{
	const unsigned char *s = p;
	size_t i;

	if (h == 0)
		h = 14695981039346656037ULL;
	for (i = 0; i < n; i++)
		h = (h ^ s[i]) * 1099511628211ULL;
	return h == 0 ? 1 : h;
}

static uint64_t
hash_str(uint64_t h, const char *s)
{
	return hash_more(h, s, strlen(s) + 1);
}

uint64_t
state_hash(const Model__ApplicationSyncState *s)
{
	uint64_t h = hash_more(0, &s->status, sizeof(s->status));

	h = hash_str(h, s->short_reason);
	return hash_str(h, s->reason);
}

static char *
key_of(struct arena *a, const Model__ApplicationGitPath *p)
{
	const char *path, *file;

	if (p == NULL || p->repo == NULL)
		return arena_strdup(a, "");
	path = p->path[0] != '\0' ? p->path : ".";
	file =
	    p->config_filename[0] != '\0' ? p->config_filename : ".pipe.yaml";
	return arena_printf(a, "%s\n%s\n%s", p->repo->id, path, file);
}

/* --- what is registered -------------------------------------------------------
 */

struct reg *
regs_get(const struct door *d, const char *id)
{
	return map_get(d->regs.by_id, id);
}

struct reg *
regs_find(const struct door *d, const Model__ApplicationGitPath *p)
{
	struct arena *a = arena_new();
	struct reg *r = map_get(d->regs.by_key, key_of(a, p));

	arena_free(a);
	return r;
}

static void
reg_free(struct door *d, struct reg *r)
{
	if (map_get(d->regs.by_key, r->key) == r)
		map_del(d->regs.by_key, r->key);
	map_del(d->regs.by_id, r->id);
	free(r->key);
	free(r->id);
	free(r);
}

/* Labels in any order are the same labels. */
static uint64_t
info_hash(const char *name, const char *description, const char *const *keys,
    const char *const *values, size_t n)
{
	uint64_t h = hash_str(hash_str(0, name), description), sum = 0;
	size_t i;

	for (i = 0; i < n; i++)
		sum += hash_str(hash_str(0, keys[i]), values[i]);
	return hash_more(h, &sum, sizeof(sum));
}

static uint64_t
app_hash(struct arena *a, const Model__Application *m)
{
	const char **k = arena_array(a, const char *, m->n_labels + 1),
		   **v = arena_array(a, const char *, m->n_labels + 1);
	size_t i;

	for (i = 0; i < m->n_labels; i++) {
		k[i] = m->labels[i]->key;
		v[i] = m->labels[i]->value;
	}
	return info_hash(m->name, m->description, k, v, m->n_labels);
}

static void
reg_take(struct door *d, const Model__Application *m)
{
	struct regs *x = &d->regs;
	struct arena *a = arena_new();
	const char *key = key_of(a, m->git_path);
	struct reg *r = map_get(x->by_id, m->id);

	if (r != NULL && strcmp(r->key, key) != 0) {
		reg_free(d, r);
		r = NULL;
	}
	if (r == NULL) {
		r = xcalloc(1, sizeof(*r));
		r->id = xstrdup(m->id);
		r->key = xstrdup(key);
		map_put(x->by_id, r->id, r);
		map_put(x->by_key, r->key, r);
	}
	r->seen = true;
	r->info = app_hash(a, m);
	if (m->sync_state != NULL && m->sync_state->timestamp > 0)
		r->state = state_hash(m->sync_state);
	arena_free(a);
}

static bool
wanted(const struct door *d, const Model__Application *m)
{
	return m->id[0] != '\0' && !m->disabled && !m->deleted &&
	       m->git_path != NULL && m->git_path->repo != NULL &&
	       (m->piped_id[0] == '\0' ||
		   strcmp(m->piped_id, d->conf->piped_id) == 0);
}

/* Said once, when it stops to be ours; who starts later never heard of it. */
static void
say_gone(struct door *d, const struct reg *r)
{
	Frame__App f = FRAME__APP__INIT;
	Model__Application m = MODEL__APPLICATION__INIT;
	Model__ApplicationGitPath p = MODEL__APPLICATION_GIT_PATH__INIT;
	Model__ApplicationGitRepository repo =
	    MODEL__APPLICATION_GIT_REPOSITORY__INIT;
	char *key = arena_strdup(d->turn, r->key), *path, *file;

	if ((path = strchr(key, '\n')) == NULL ||
	    (file = strchr(path + 1, '\n')) == NULL)
		return;
	*path++ = *file++ = '\0';
	repo.id = key;
	p.repo = &repo;
	p.path = path;
	p.config_filename = file;
	m.id = r->id;
	m.git_path = &p;
	f.application = &m;
	f.has_gone = f.gone = true;
	door_tell(d, FRAME_OF(app, &f));
}

static void
list_save(struct door *d, Model__Application *const *list, size_t n)
{
	char *path =
	    arena_printf(d->turn, "%s/report/apps.ndjson", d->conf->state_dir);
	Frame__App f = FRAME__APP__INIT;
	struct buf b = BUF_INIT;
	struct err e;
	size_t i;

	for (i = 0; i < n; i++) {
		if (!wanted(d, list[i]))
			continue;
		f.application = list[i];
		frame_write(&b, FRAME_OF(app, &f));
	}
	if (file_write(path, b.p, b.len, 0600, true, &e) == -1)
		log_warn("-", "%s", e.text);
	buf_free(&b);
}

static void
retell_again(struct door *d)
{
	if (d->regs.retell != NULL)
		fclose(d->regs.retell);
	d->regs.retell = NULL;
	d->regs.retell_at = now_ms();
	regs_retell(d);
}

static void
list_take(struct door *d, Model__Application *const *list, size_t n)
{
	struct regs *x = &d->regs;
	const char *id;
	size_t i, had = map_len(x->by_id);
	void *v;

	for (i = 0; i < n; i++)
		if (wanted(d, list[i]))
			reg_take(d, list[i]);
	for (i = 0; map_next(x->by_id, &i, &id, &v);) {
		struct reg *r = v;

		if (!r->seen) {
			log_info(r->id, "application is not registered any "
					"more: not deployed");
			say_gone(d, r);
			reg_free(d, r);
			continue;
		}
		r->seen = false;
	}
	if (!x->known || !x->fresh || map_len(x->by_id) != had)
		log_info("-", "applications registered=%zu", map_len(x->by_id));
	x->known = x->fresh = true;
	list_save(d, list, n);
	retell_again(d);
	follow_registered(d);
	if (x->found_at == 0)
		x->found_at = now_ms() + FOUND_MS;
}

static void
listed(struct door *d, struct call *c, int code, const char *text,
    const ProtobufCMessage *res, struct arena *a)
{
	const Grpc__Service__Pipedservice__ListApplicationsResponse *r =
	    (const void *)res;
	struct buf b = BUF_INIT;
	uint64_t h;

	(void)c;
	(void)a;
	if (code != GRPC_OK) {
		log_warn("-", "ListApplications: %s: %s", grpc_code_name(code),
		    text);
		return;
	}
	msg_pack(&b, res);
	h = hash_more(0, b.p, b.len);
	buf_free(&b);
	if (h == d->regs.list_hash)
		return;
	d->regs.list_hash = h;
	list_take(d, r->applications, r->n_applications);
}

void
regs_ask(struct door *d)
{
	Grpc__Service__Pipedservice__ListApplicationsRequest m =
	    GRPC__SERVICE__PIPEDSERVICE__LIST_APPLICATIONS_REQUEST__INIT;
	struct call *c = &d->regs.list;

	d->regs.list_at =
	    now_ms() + (d->plane.hello ? LIST_WATCHED_MS : LIST_MS);
	if (c->busy)
		return;
	c->method = "ListApplications";
	c->res =
	    &grpc__service__pipedservice__list_applications_response__descriptor;
	c->read = c->identity = true;
	c->done = listed;
	plane_call(d, c, &m.base);
}

/* Say the next few of what is registered: a frame may have been lost. */
void
regs_retell(struct door *d)
{
	struct regs *x = &d->regs;
	struct arena *a = arena_new();
	char *line = NULL;
	size_t cap = 0;
	struct frame f;
	struct err e;
	ssize_t n;
	int i, fd;

	if (x->retell == NULL) {
		fd = openat(d->dir, "apps.ndjson", O_RDONLY | O_CLOEXEC);
		if (fd == -1 || (x->retell = fdopen(fd, "r")) == NULL) {
			if (fd != -1)
				close(fd);
			x->retell_at = now_ms() + RETELL_MS;
			goto out;
		}
	}
	for (i = 0; i < RETELL_N; i++) {
		if ((n = getline(&line, &cap, x->retell)) == -1) {
			fclose(x->retell);
			x->retell = NULL;
			break;
		}
		arena_reset(a);
		if (frame_parse(&f, line, (size_t)n, a, &e) == 1 &&
		    f.kind == FRAME_app)
			door_tell(d, &f);
	}
	x->retell_at = now_ms() + (x->retell == NULL ? RETELL_MS : 50);
out:
	free(line);
	arena_free(a);
}

/* --- what is in git -------------------------------------------------------------
 */

static void
info_put(
    struct map *m, const char *key, const ProtobufCMessage *msg, int64_t *at)
{
	struct info *i = map_get(m, key);
	struct buf b = BUF_INIT;

	msg_pack(&b, msg);
	if (i != NULL && i->len == b.len && memcmp(i->p, b.p, b.len) == 0) {
		buf_free(&b);
		return;
	}
	if (i == NULL) {
		i = xcalloc(1, sizeof(*i));
		map_put(m, key, i);
	}
	free(i->p);
	i->p = xcalloc(1, b.len + 1);
	memcpy(i->p, b.p, b.len);
	i->len = b.len;
	buf_free(&b);
	*at = now_ms() + FOUND_MS;
}

static void
info_del(struct map *m, const char *key)
{
	struct info *i = map_del(m, key);

	if (i == NULL)
		return;
	free(i->p);
	free(i);
}

static void
infos_free(struct map *m)
{
	const char *key;
	size_t i = 0;
	void *v;

	if (m == NULL)
		return;
	while (map_next(m, &i, &key, &v))
		info_del(m, key);
	map_free(m);
}

static Model__ApplicationInfo **
infos_list(struct door *d, struct map *m, size_t *n)
{
	Model__ApplicationInfo **list =
	    arena_array(d->turn, Model__ApplicationInfo *, map_len(m) + 1);
	const char *key;
	struct err e;
	size_t i = 0;
	void *v;

	*n = 0;
	while (map_next(m, &i, &key, &v)) {
		struct info *x = v;

		list[*n] = (Model__ApplicationInfo *)(void *)msg_unpack(
		    &model__application_info__descriptor, x->p, x->len, d->turn,
		    0, &e);
		if (list[*n] != NULL)
			(*n)++;
	}
	return list;
}

/* Only what carries the labels of appSelector is ours to suggest. */
static bool
selected(const struct door *d, const Model__Application *m)
{
	size_t i, k;

	for (i = 0; i < d->conf->n_app_selector; i++) {
		for (k = 0; k < m->n_labels; k++)
			if (strcmp(m->labels[k]->key,
				d->conf->app_selector[i].key) == 0 &&
			    strcmp(m->labels[k]->value,
				d->conf->app_selector[i].value) == 0)
				break;
		if (k == m->n_labels)
			return false;
	}
	return true;
}

static void
info_of(struct door *d, Model__ApplicationInfo *i, const Model__Application *m)
{
	model__application_info__init(i);
	i->name = m->name;
	i->kind = m->kind;
	i->labels = (void *)m->labels;
	i->n_labels = m->n_labels;
	i->repo_id = m->git_path->repo->id;
	i->path = m->git_path->path;
	i->config_filename = m->git_path->config_filename;
	i->piped_id = arena_strdup(d->turn, d->conf->piped_id);
	i->description = m->description;
}

void
regs_app(struct door *d, const Frame__App *f)
{
	struct regs *x = &d->regs;
	const Model__Application *m = f->application;
	Model__ApplicationInfo i;
	const char *key;
	struct reg *r;

	if (m->git_path == NULL || m->git_path->repo == NULL)
		return;
	key = key_of(d->turn, m->git_path);
	r = map_get(x->by_key, key);
	if (f->gone || !f->unregistered || r != NULL || !selected(d, m)) {
		if (map_get(x->found, key) != NULL) {
			info_del(x->found, key);
			x->found_at = now_ms() + FOUND_MS;
		}
	}
	if (f->gone || m->name[0] == '\0')
		return;
	if (r == NULL) {
		if (!f->unregistered || !selected(d, m))
			return;
		info_of(d, &i, m);
		info_put(x->found, key, &i.base, &x->found_at);
		return;
	}
	if (f->unregistered || f->commit == NULL)
		return;
	if (app_hash(d->turn, m) == r->info) {
		info_del(x->changed, r->id);
		return;
	}
	info_of(d, &i, m);
	i.id = r->id;
	info_put(x->changed, r->id, &i.base, &x->changed_at);
}

static void
infos_told(struct door *d, struct call *c, int code, const char *text,
    const ProtobufCMessage *res, struct arena *a)
{
	(void)res;
	(void)a;
	if (code != GRPC_OK)
		log_warn(
		    "-", "%s: %s: %s", c->method, grpc_code_name(code), text);
	else if (c == &d->regs.infos)
		regs_ask(d); /* with what we have told it now */
}

static void
tell_changed(struct door *d)
{
	Grpc__Service__Pipedservice__UpdateApplicationConfigurationsRequest m =
	    GRPC__SERVICE__PIPEDSERVICE__UPDATE_APPLICATION_CONFIGURATIONS_REQUEST__INIT;
	struct call *c = &d->regs.infos;
	const char *key;
	size_t i = 0;
	void *v;

	if (c->busy)
		return;
	d->regs.changed_at = 0;
	m.applications = infos_list(d, d->regs.changed, &m.n_applications);
	if (m.n_applications == 0)
		return;
	c->method = "UpdateApplicationConfigurations";
	c->done = infos_told;
	plane_call(d, c, &m.base);
	/* plan says them again if that was not enough. */
	while (map_next(d->regs.changed, &i, &key, &v))
		info_del(d->regs.changed, key);
}

static void
tell_found(struct door *d)
{
	Grpc__Service__Pipedservice__ReportUnregisteredApplicationConfigurationsRequest
	    m = GRPC__SERVICE__PIPEDSERVICE__REPORT_UNREGISTERED_APPLICATION_CONFIGURATIONS_REQUEST__INIT;
	struct call *c = &d->regs.unregistered;

	if (c->busy)
		return;
	d->regs.found_at = now_ms() + FOUND_AGAIN_MS;
	m.applications = infos_list(d, d->regs.found, &m.n_applications);
	c->method = "ReportUnregisteredApplicationConfigurations";
	c->done = infos_told;
	plane_call(d, c, &m.base);
}

bool
regs_state_news(struct door *d, const struct frame *f)
{
	const Frame__AppState *s = f->u.app_state;
	struct reg *r;
	uint64_t h;

	if (f->kind == FRAME_held) {
		if (f->u.held->deployment_id != NULL)
			return false; /* stands in its log */
		r = regs_get(d, f->u.held->application_id);
		h = hash_str(hash_str(0, f->u.held->reason), "held");
	} else {
		/* One target's own state is a part of the whole. */
		if (s->target != NULL)
			return false;
		r = regs_get(d, s->application_id);
		if (r != NULL && r->held &&
		    s->sync_state->status !=
			MODEL__APPLICATION_SYNC_STATUS__INVALID_CONFIG)
			return false;
		h = state_hash(s->sync_state);
	}
	if (r == NULL || r->state == h)
		return false;
	r->state = h;
	r->held = f->kind == FRAME_held;
	return true;
}

/* --- start and end ------------------------------------------------------------
 */

void
regs_tick(struct door *d)
{
	struct regs *x = &d->regs;
	int64_t now = now_ms();

	if (now >= x->list_at)
		regs_ask(d);
	if (now >= x->retell_at && d->plane.fenced == NULL)
		regs_retell(d);
	if (x->changed_at != 0 && now >= x->changed_at)
		tell_changed(d);
	if (x->fresh && x->found_at != 0 && now >= x->found_at)
		tell_found(d);
}

/* What was registered when we last heard of it. */
static void
list_load(struct door *d)
{
	struct frame_reader r = { .name = "apps.ndjson" };
	struct arena *a = arena_new();
	struct frame f;
	struct err e;
	int got, fd = openat(d->dir, "apps.ndjson", O_RDONLY | O_CLOEXEC);

	if (fd == -1 || (r.in = fdopen(fd, "r")) == NULL) {
		if (fd != -1)
			close(fd);
		goto out;
	}
	while ((got = frame_next(&r, &f, a, &e)) == 1) {
		if (f.kind == FRAME_app && wanted(d, f.u.app->application)) {
			reg_take(d, f.u.app->application);
			regs_get(d, f.u.app->application->id)->seen = false;
		}
		arena_reset(a);
	}
	d->regs.known = got == 2;
	fclose(r.in);
out:
	frame_reader_free(&r);
	arena_free(a);
}

int
regs_open(struct door *d, struct err *e)
{
	struct regs *x = &d->regs;

	(void)e;
	x->by_id = map_new();
	x->by_key = map_new();
	x->found = map_new();
	x->changed = map_new();
	list_load(d);
	return 0;
}

void
regs_close(struct door *d)
{
	struct regs *x = &d->regs;
	const char *id;
	size_t i = 0;
	void *v;

	if (x->by_id == NULL)
		return;
	plane_drop(d, &x->list);
	plane_drop(d, &x->infos);
	plane_drop(d, &x->unregistered);
	if (x->retell != NULL)
		fclose(x->retell);
	while (map_next(x->by_id, &i, &id, &v))
		reg_free(d, v);
	map_free(x->by_id);
	map_free(x->by_key);
	infos_free(x->found);
	infos_free(x->changed);
}
