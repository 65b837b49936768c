#include "local.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/apikey.pb-c.h"
#include "model/piped.pb-c.h"
#include "model/project.pb-c.h"
#include "output.h"
#include "store.h"

enum {
	STORE_MS = 30000,
	PAGE = 200
};

int
local_open(struct ctl *c, struct err *e)
{
	const char *dir = arg_str(c, "local");
	char self[PATH_MAX], state[PATH_MAX];
	ssize_t n;

	if (realpath(dir, state) == NULL)
		return err_sys(e, "--local: %s", dir);
	if ((n = readlink("/proc/self/exe", self, sizeof(self) - 1)) == -1)
		return err_sys(e, "/proc/self/exe");
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	c->store = store_open_local(state, NULL, self, e);
	return c->store != NULL ? 0 : -1;
}

/* Ask; NULL with *e. */
static const Store__Reply *
ask(struct ctl *c, const Store__Request *q, struct err *e)
{
	const Store__Reply *r = store_call(c->store, q, STORE_MS, c->a);

	if (r->code == STORE__CODE__OK)
		return r;
	err_set(e,
	    r->code == STORE__CODE__NOT_FOUND ? RC_NO
	    : r->code == STORE__CODE__UNAVAILABLE ||
		    r->code == STORE__CODE__DEADLINE_EXCEEDED ||
		    r->code == STORE__CODE__RESOURCE_EXHAUSTED
		? RC_TEMP
		: RC_PERM,
	    "store: %s: %s", store_code(r->code), r->error);
	return NULL;
}

static char *
text(struct ctl *c, const char *option)
{
	const char *s = arg_str(c, option);

	return arena_strdup(c->a, s != NULL ? s : "");
}

/* --- lists ----------------------------------------------------------------- */

static void
print_record(struct ctl *c, const Store__Record *r,
    const ProtobufCMessageDescriptor *of, struct map *seen)
{
	struct err e;
	ProtobufCMessage *m =
	    msg_unpack(of, r->value.data, r->value.len, c->a, 0, &e);

	if (m == NULL)
		log_warn(r->id, "left out: %s", e.text);
	else
		print_message(c, m, map_len(seen) == 0);
	map_put(seen, r->id, seen);
}

int
local_list(struct ctl *c, const char *table,
    const ProtobufCMessageDescriptor *of, struct err *e)
{
	Store__Request q = STORE__REQUEST__INIT;
	Store__List l = STORE__LIST__INIT;
	Store__Filter f = STORE__FILTER__INIT, *filters[] = { &f };
	struct map *seen = map_new();
	const Store__Reply *r;
	char *project = text(c, "project");
	size_t i;

	l.table = arena_strdup(c->a, table);
	l.limit = PAGE;
	if (*project != '\0') {
		f.field = arena_strdup(c->a, "project_id");
		f.values = &project;
		f.n_values = 1;
		l.filters = filters;
		l.n_filters = 1;
	}
	STORE_ASK(&q, LIST, list, &l);
	do {
		if ((r = ask(c, &q, e)) == NULL)
			break;
		for (i = 0; i < r->n_records; i++)
			print_record(c, r->records[i], of, seen);
		l.cursor = r->cursor;
	} while (*r->cursor != '\0');
	map_free(seen);
	return r != NULL ? RC_OK : -1;
}

int
apikey_list(struct ctl *c, struct err *e)
{
	return local_list(c, "api_key", &model__apikey__descriptor, e);
}

int
project_list(struct ctl *c, struct err *e)
{
	return local_list(c, "project", &model__project__descriptor, e);
}

/* --- keys ------------------------------------------------------------------ */

/* Make one for a record that is there, or is made with it. */
static const Store__Reply *
make(struct ctl *c, Store__KeyMake *k, const ProtobufCMessage *m, struct err *e)
{
	Store__Request q = STORE__REQUEST__INIT;
	struct buf b = BUF_INIT;
	const Store__Reply *r;

	if (m != NULL) {
		msg_pack(&b, m);
		k->value.data = (uint8_t *)b.p;
		k->value.len = b.len;
	}
	k->creator = arena_printf(c->a, "local:%d", (int)getuid());
	STORE_ASK(&q, KEY_MAKE, key_make, k);
	r = ask(c, &q, e);
	buf_free(&b);
	return r;
}

static int
project_must_be(struct ctl *c, struct err *e)
{
	Store__Request q = STORE__REQUEST__INIT;
	Store__Get g = STORE__GET__INIT;
	char *id = text(c, "project");

	if (*id == '\0')
		return err_set(
		    e, RC_PERM, "--project is needed: the project's id");
	g.table = arena_strdup(c->a, "project");
	g.ids = &id;
	g.n_ids = 1;
	STORE_ASK(&q, GET, get, &g);
	if (ask(c, &q, e) != NULL)
		return 0;
	if (e->exit != RC_NO)
		return -1;
	return err_set(e, RC_PERM,
	    "--project: there is no %s; pipectl --local %s project add makes "
	    "one, and so does the control plane's configuration",
	    id, arg_str(c, "local"));
}

int
local_piped_add(struct ctl *c, struct err *e)
{
	Store__KeyMake k = STORE__KEY_MAKE__INIT;
	Model__Piped m = MODEL__PIPED__INIT;
	const Store__Reply *r;

	if (project_must_be(c, e) == -1)
		return -1;
	m.name = text(c, "name");
	m.desc = text(c, "desc");
	m.project_id = text(c, "project");
	m.status = MODEL__PIPED__CONNECTION_STATUS__OFFLINE;
	k.kind = STORE__KEY_KIND__PIPED;
	if ((r = make(c, &k, &m.base, e)) == NULL)
		return -1;
	print_key(c, r->records[0]->id, "key", r->key);
	return RC_OK;
}

int
local_piped_rotate(struct ctl *c, struct err *e)
{
	Store__Request q = STORE__REQUEST__INIT;
	Store__KeyMake k = STORE__KEY_MAKE__INIT;
	Store__KeyDrop d = STORE__KEY_DROP__INIT;
	const Store__Reply *r;

	if (arg_bool(c, "finish")) {
		d.id = text(c, "piped-id");
		STORE_ASK(&q, KEY_DROP, key_drop, &d);
		return ask(c, &q, e) != NULL ? RC_OK : -1;
	}
	k.kind = STORE__KEY_KIND__PIPED;
	k.id = text(c, "piped-id");
	if ((r = make(c, &k, NULL, e)) == NULL)
		return -1;
	print_key(c, k.id, "key", r->key);
	return RC_OK;
}

int
apikey_add(struct ctl *c, struct err *e)
{
	Store__KeyMake k = STORE__KEY_MAKE__INIT;
	Model__APIKey m = MODEL__APIKEY__INIT;
	const Store__Reply *r;

	if (project_must_be(c, e) == -1)
		return -1;
	m.name = text(c, "name");
	m.project_id = text(c, "project");
	m.role = (Model__APIKey__Role)msg_enum_value(
	    &model__apikey__role__descriptor, arg_str(c, "role"));
	k.kind = STORE__KEY_KIND__API_KEY;
	if ((r = make(c, &k, &m.base, e)) == NULL)
		return -1;
	print_key(c, r->records[0]->id, "key", r->key);
	return RC_OK;
}

/* --- records --------------------------------------------------------------- */

static int
write_one(struct ctl *c, Store__Op *op, struct err *e)
{
	Store__Request q = STORE__REQUEST__INIT;
	Store__Write w = STORE__WRITE__INIT;

	w.ops = &op;
	w.n_ops = 1;
	STORE_ASK(&q, WRITE, write, &w);
	return ask(c, &q, e) != NULL ? 0 : -1;
}

int
apikey_disable(struct ctl *c, struct err *e)
{
	Store__Request q = STORE__REQUEST__INIT;
	Store__Get g = STORE__GET__INIT;
	Store__Op op = STORE__OP__INIT;
	struct buf b = BUF_INIT;
	const Store__Reply *r;
	char *id = text(c, "id");
	Model__APIKey *m;
	int rv = -1;

	g.table = op.table = arena_strdup(c->a, "api_key");
	g.ids = &id;
	g.n_ids = 1;
	STORE_ASK(&q, GET, get, &g);
	if ((r = ask(c, &q, e)) == NULL)
		return -1;
	m = (void *)msg_unpack(&model__apikey__descriptor,
	    r->records[0]->value.data, r->records[0]->value.len, c->a, 0, e);
	if (m == NULL)
		return -1;
	m->disabled = true;
	msg_pack(&b, &m->base);
	op.kind = STORE__OP__KIND__UPDATE;
	op.value.data = (uint8_t *)b.p;
	op.value.len = b.len;
	op.version = r->records[0]->version;
	rv = write_one(c, &op, e) == 0 ? RC_OK : -1;
	buf_free(&b);
	return rv;
}

static int
admin_print(struct ctl *c, char *id, struct err *e)
{
	Store__KeyMake k = STORE__KEY_MAKE__INIT;
	struct buf b = BUF_INIT;
	struct json_out o = { .b = &b };
	const Store__Reply *r;

	k.kind = STORE__KEY_KIND__ADMIN;
	k.id = id;
	if ((r = make(c, &k, NULL, e)) == NULL)
		return -1;
	json_out_object(&o);
	json_out_key(&o, "id");
	json_out_string(&o, id);
	json_out_key(&o, "username");
	json_out_string(&o, r->username);
	json_out_key(&o, "password");
	json_out_string(&o, r->key);
	json_out_end(&o);
	print_json(c, &b, r->username, r->key);
	buf_free(&b);
	return RC_OK;
}

int
project_reset_admin(struct ctl *c, struct err *e)
{
	return admin_print(c, text(c, "id"), e);
}

int
project_add(struct ctl *c, struct err *e)
{
	Store__Op op = STORE__OP__INIT;
	Model__Project m = MODEL__PROJECT__INIT;
	struct buf b = BUF_INIT;
	int rv = -1;

	m.id = text(c, "id");
	m.desc = text(c, "desc");
	msg_pack(&b, &m.base);
	op.kind = STORE__OP__KIND__CREATE;
	op.table = arena_strdup(c->a, "project");
	op.value.data = (uint8_t *)b.p;
	op.value.len = b.len;
	if (write_one(c, &op, e) == 0)
		rv = admin_print(c, m.id, e);
	buf_free(&b);
	return rv;
}
