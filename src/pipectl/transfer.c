#include <stdio.h>
#include <string.h>

#include "json.h"
#include "request.h"

/*
 * pipectl transfer: pipeds and applications from one control plane to another.
 *	{"version":"1","created_at":N,"pipeds":[...],"applications":[...]}
 * with the models in proto3 JSON.
 */

enum {
	BACKUP_MAX = 256 << 20,
	PAGE = 100
};

/* --- backup ---------------------------------------------------------------- */

struct backup {
	struct json_out out;
	struct buf pipeds;
	struct json_out pipeds_out;
	struct map *seen; /* ids of pipeds */
	struct ctl *c;
	size_t n;
};

static int
backup_piped(struct backup *b, char *id, struct err *e)
{
	API(GetPipedRequest) q;
	API(GetPipedResponse) * r;
	struct buf text = BUF_INIT;

	if (map_put(b->seen, id, b) != NULL)
		return 0;
	API_(get_piped_request__init)(&q);
	q.piped_id = id;
	r = client_call(b->c, SERVICE_API, "GetPiped", &q.base,
	    &API_(get_piped_response__descriptor), e);
	if (r == NULL || r->piped == NULL)
		return err_wrap(e, "piped %s", id);
	msg_json(&text, &r->piped->base, MSG_API);
	json_out_raw(&b->pipeds_out, text.p, text.len);
	buf_free(&text);
	return 0;
}

static int
backup_page(struct backup *b, API(ListApplicationsResponse) * r, struct err *e)
{
	struct buf text = BUF_INIT;
	size_t i;
	int rv = 0;

	for (i = 0; i < r->n_applications && rv == 0; i++) {
		buf_reset(&text);
		msg_json(&text, &r->applications[i]->base, MSG_API);
		json_out_raw(&b->out, text.p, text.len);
		b->n++;
		rv = backup_piped(b, r->applications[i]->piped_id, e);
	}
	buf_free(&text);
	return rv;
}

/* The enabled ones, or the disabled ones: a list is of either. */
static int
backup_applications(struct backup *b, bool disabled, struct err *e)
{
	API(ListApplicationsRequest) q;
	API(ListApplicationsResponse) * r;

	API_(list_applications_request__init)(&q);
	q.disabled = disabled;
	q.limit = PAGE;
	q.labels = request_pairs(b->c, "labels",
	    &API_(list_applications_request__labels_entry__descriptor),
	    &q.n_labels);
	do {
		r = client_call(b->c, SERVICE_API, "ListApplications", &q.base,
		    &API_(list_applications_response__descriptor), e);
		if (r == NULL || backup_page(b, r, e) == -1)
			return -1;
		q.cursor = r->cursor;
	} while (*r->cursor != '\0' && r->n_applications > 0);
	return 0;
}

int
transfer_backup(struct ctl *c, struct err *e)
{
	const char *path = arg_str(c, "output-file");
	struct buf text = BUF_INIT;
	struct backup b = {
		.out.b = &text, .pipeds = BUF_INIT, .seen = map_new(), .c = c
	};
	int rv = -1;

	b.pipeds_out.b = &b.pipeds;
	json_out_object(&b.out);
	json_out_key(&b.out, "version");
	json_out_string(&b.out, "1");
	json_out_key(&b.out, "created_at");
	json_out_int(&b.out, wall_s());
	json_out_key(&b.out, "applications");
	json_out_array(&b.out);
	json_out_array(&b.pipeds_out);
	if (backup_applications(&b, false, e) == -1 ||
	    backup_applications(&b, true, e) == -1)
		goto out;
	json_out_end(&b.out);
	json_out_end(&b.pipeds_out);
	json_out_key(&b.out, "pipeds");
	json_out_raw(&b.out, b.pipeds.p, b.pipeds.len);
	json_out_end(&b.out);
	buf_addc(&text, '\n');
	if ((rv = file_write(path, text.p, text.len, 0600, true, e)) == 0)
		printf("%s: %zu applications, %zu pipeds\n", path, b.n,
		    map_len(b.seen));
out:
	map_free(b.seen);
	buf_free(&text);
	buf_free(&b.pipeds);
	return rv == 0 ? RC_OK : -1;
}

/* --- restore --------------------------------------------------------------- */

/*
 * Call `one` for each item of the array that `key` names in a file's object.
 */
static int
each(struct ctl *c, const char *option, const char *key,
    int (*one)(
	struct ctl *c, const char *json, size_t n, void *arg, struct err *e),
    void *arg, struct err *e)
{
	const char *path = arg_str(c, option), *k, *item;
	struct buf b = BUF_INIT;
	struct json j;
	size_t n;
	int rv;

	if ((rv = file_read(path, BACKUP_MAX, &b, e)) == 0)
		err_set(e, RC_PERM, "%s: no such file", path);
	if (rv != 1) {
		buf_free(&b);
		return -1;
	}
	rv = 0;
	json_open(&j, b.p, b.len, c->a);
	if (json_object(&j)) {
		while (json_key(&j, &k)) {
			if (strcmp(k, key) != 0 || !json_array(&j)) {
				json_skip(&j);
				continue;
			}
			while (json_item(&j) && json_raw(&j, &item, &n))
				if (rv == 0 && one(c, item, n, arg, e) == -1)
					rv = -1;
		}
	}
	if (rv == 0 && (rv = json_close(&j, e)) == -1)
		err_wrap(e, "%s", path);
	buf_free(&b);
	return rv;
}

static int
restore_piped(
    struct ctl *c, const char *json, size_t n, void *arg, struct err *e)
{
	struct json_out *out = arg;
	struct buf key = BUF_INIT;
	API(RegisterPipedRequest) q;
	API(RegisterPipedResponse) * r;
	Model__Piped *p;

	p = (void *)msg_from_json(
	    &model__piped__descriptor, json, n, MSG_API, c->a, 0, e);
	if (p == NULL)
		return err_wrap(e, "%s", arg_str(c, "input-file"));
	API_(register_piped_request__init)(&q);
	q.name = p->name;
	q.desc = p->desc;
	r = client_call(c, SERVICE_API, "RegisterPiped", &q.base,
	    &API_(register_piped_response__descriptor), e);
	if (r == NULL)
		return err_wrap(e, "piped %s", p->name);
	base64_encode(&key, r->key, strlen(r->key));
	json_out_object(out);
	json_out_key(out, "old_piped_id");
	json_out_string(out, p->id);
	json_out_key(out, "new_piped_id");
	json_out_string(out, r->id);
	json_out_key(out, "new_key");
	json_out_string(out, r->key);
	json_out_key(out, "new_base64_key");
	json_out_string(out, key.p);
	json_out_key(out, "piped_name");
	json_out_string(out, p->name);
	json_out_end(out);
	buf_free(&key);
	return 0;
}

/*
 * What was registered is written also when the next one is refused: its key is
 * said only once.
 */
int
transfer_restore_piped(struct ctl *c, struct err *e)
{
	const char *path = arg_str(c, "output-file");
	struct buf text = BUF_INIT;
	struct json_out out = { .b = &text };
	struct err late;
	int rv;

	json_out_object(&out);
	json_out_key(&out, "version");
	json_out_string(&out, "1");
	json_out_key(&out, "created_at");
	json_out_int(&out, wall_s());
	json_out_key(&out, "piped_mappings");
	json_out_array(&out);
	rv = each(c, "input-file", "pipeds", restore_piped, &out, e);
	json_out_end(&out);
	json_out_end(&out);
	buf_addc(&text, '\n');
	if (path == NULL)
		fputs(text.p, stdout);
	else if (file_write(path, text.p, text.len, 0600, true, &late) == -1) {
		fputs(text.p, stdout); /* better there than nowhere */
		*e = late;
		rv = -1;
	}
	explicit_bzero(text.p, text.len);
	buf_free(&text);
	return rv == 0 ? RC_OK : -1;
}

struct restore {
	struct map *ids; /* old piped to new */
	int failed, done;
};

static int
read_mapping(
    struct ctl *c, const char *json, size_t n, void *arg, struct err *e)
{
	const char *key, *old = NULL, *fresh = NULL;
	struct restore *r = arg;
	struct json j;

	json_open(&j, json, n, c->a);
	if (json_object(&j)) {
		while (json_key(&j, &key))
			if (strcmp(key, "old_piped_id") == 0)
				json_string(&j, &old);
			else if (strcmp(key, "new_piped_id") == 0)
				json_string(&j, &fresh);
			else
				json_skip(&j);
	}
	if (json_close(&j, e) == -1)
		return -1;
	if (old == NULL || fresh == NULL)
		return err_set(e, RC_PERM,
		    "%s: a mapping without old_piped_id or new_piped_id",
		    arg_str(c, "piped-id-mapping-file"));
	map_put(r->ids, old, arena_strdup(c->a, fresh));
	return 0;
}

static bool
labels_fit(struct ctl *c, const Model__Application *app)
{
	size_t i, j, n;
	struct pair *p = arg_pairs(c, "labels", &n);

	for (i = 0; i < n; i++) {
		for (j = 0; j < app->n_labels; j++)
			if (strcmp(app->labels[j]->key, p[i].key) == 0 &&
			    strcmp(app->labels[j]->value, p[i].value) == 0)
				break;
		if (j == app->n_labels)
			return false;
	}
	return true;
}

/* Give it what AddApplication cannot: its targets, and that it is off. */
static int
restore_rest(
    struct ctl *c, const Model__Application *app, char *id, struct err *e)
{
	API(UpdateApplicationDeployTargetsRequest) t;
	API(DisableApplicationRequest) d;
	size_t i, n = app->n_deploy_targets_by_plugin;

	if (n > 0) {
		API_(update_application_deploy_targets_request__init)(&t);
		t.application_id = id;
		t.n_deploy_targets_by_plugin = n;
		t.deploy_targets_by_plugin =
		    arena_alloc(c->a, n * sizeof(*t.deploy_targets_by_plugin));
		for (i = 0; i < n; i++) {
			t.deploy_targets_by_plugin[i] = arena_alloc(
			    c->a, sizeof(**t.deploy_targets_by_plugin));
			API_(
			    update_application_deploy_targets_request__deploy_targets_by_plugin_entry__init)
			(t.deploy_targets_by_plugin[i]);
			t.deploy_targets_by_plugin[i]->key =
			    app->deploy_targets_by_plugin[i]->key;
			t.deploy_targets_by_plugin[i]->value =
			    app->deploy_targets_by_plugin[i]->value;
		}
		if (request_told(c, "UpdateApplicationDeployTargets", &t.base,
			&API_(
			    update_application_deploy_targets_response__descriptor),
			e) == -1)
			return -1;
	}
	if (!app->disabled)
		return 0;
	API_(disable_application_request__init)(&d);
	d.application_id = id;
	return request_told(c, "DisableApplication", &d.base,
	    &API_(disable_application_response__descriptor), e);
}

static int
restore_one(
    struct ctl *c, const Model__Application *app, char *piped, struct err *e)
{
	API(AddApplicationRequest) q;
	API(AddApplicationResponse) * r;
	size_t i;

	API_(add_application_request__init)(&q);
	q.name = app->name;
	q.piped_id = piped;
	q.git_path = app->git_path;
	q.kind = app->kind;
	q.description = app->description;
	q.platform_provider = *app->platform_provider != '\0'
				  ? app->platform_provider
				  : app->cloud_provider;
	q.n_labels = app->n_labels;
	q.labels = arena_alloc(c->a, (q.n_labels + 1) * sizeof(*q.labels));
	for (i = 0; i < q.n_labels; i++) {
		q.labels[i] = arena_alloc(c->a, sizeof(**q.labels));
		API_(add_application_request__labels_entry__init)(q.labels[i]);
		q.labels[i]->key = app->labels[i]->key;
		q.labels[i]->value = app->labels[i]->value;
	}
	r = client_call(c, SERVICE_API, "AddApplication", &q.base,
	    &API_(add_application_response__descriptor), e);
	if (r == NULL || restore_rest(c, app, r->application_id, e) == -1)
		return -1;
	printf("%s %s\n", app->id, r->application_id);
	return 0;
}

/* One that is refused does not keep the others away. */
static int
restore_application(
    struct ctl *c, const char *json, size_t n, void *arg, struct err *e)
{
	struct restore *r = arg;
	Model__Application *app;
	char *piped;

	app = (void *)msg_from_json(
	    &model__application__descriptor, json, n, MSG_API, c->a, 0, e);
	if (app == NULL)
		return err_wrap(e, "%s", arg_str(c, "input-file"));
	if (!labels_fit(c, app))
		return 0;
	if ((piped = map_get(r->ids, app->piped_id)) == NULL)
		err_set(e, RC_PERM, "no new piped for %s", app->piped_id);
	if (piped == NULL || restore_one(c, app, piped, e) == -1) {
		log_error(app->id, "application %s: %s", app->name, e->text);
		r->failed++;
	} else
		r->done++;
	return 0;
}

int
transfer_restore_application(struct ctl *c, struct err *e)
{
	struct restore r = { .ids = map_new() };
	int rv;

	rv = each(
	    c, "piped-id-mapping-file", "piped_mappings", read_mapping, &r, e);
	if (rv == 0)
		rv = each(c, "input-file", "applications", restore_application,
		    &r, e);
	map_free(r.ids);
	if (rv == 0 && r.failed > 0)
		return RC_NO;
	return rv == 0 ? RC_OK : -1;
}
