#include "request.h"

#include <stdlib.h>
#include <string.h>

char *
request_text(struct ctl *c, const char *s)
{
	return arena_strdup(c->a, s != NULL ? s : "");
}

char *
request_arg(struct ctl *c, const char *name)
{
	return request_text(c, arg_str(c, name));
}

void *
request_pairs(struct ctl *c, const char *name,
    const ProtobufCMessageDescriptor *of, size_t *n)
{
	struct pair *p = arg_pairs(c, name, n);
	ProtobufCMessage **v = arena_array(c->a, ProtobufCMessage *, *n);
	size_t i;

	must(of->n_fields == 2);
	for (i = 0; i < *n; i++) {
		v[i] = arena_alloc(c->a, of->sizeof_message);
		protobuf_c_message_init(of, v[i]);
		*(char **)(void *)((char *)v[i] + of->fields[0].offset) =
		    request_text(c, p[i].key);
		*(char **)(void *)((char *)v[i] + of->fields[1].offset) =
		    request_text(c, p[i].value);
	}
	return v;
}

char **
request_list(struct ctl *c, const char *name, size_t *n)
{
	const char **given = arg_list(c, name, n);
	char **v = arena_array(c->a, char *, *n);
	size_t i;

	for (i = 0; i < *n; i++)
		v[i] = request_text(c, given[i]);
	return v;
}

int
request_told(struct ctl *c, const char *method, const ProtobufCMessage *request,
    const ProtobufCMessageDescriptor *answer, struct err *e)
{
	return client_call(c, SERVICE_API, method, request, answer, e) != NULL
		   ? RC_OK
		   : -1;
}

/* --- lists ----------------------------------------------------------------- */

enum {
	LOOK_MS = 2000 /* --watch: between two looks at a list */
};

static int
list_watch(struct ctl *c, enum service s, const char *method,
    const ProtobufCMessage *request, const ProtobufCMessageDescriptor *answer,
    const char *field, struct err *e)
{
	struct arena *whole = c->a;
	struct map *seen = map_new();
	const char *key;
	void *r, *v;
	size_t i;

	c->a = arena_new(); /* of one look */
	do {
		arena_reset(c->a);
		r = client_call(c, s, method, request, answer, e);
		if (r != NULL)
			print_changed(c, r, field, seen);
	} while (r != NULL && client_wait(LOOK_MS, INT64_MAX));
	arena_free(c->a);
	c->a = whole;
	for (i = 0; map_next(seen, &i, &key, &v);)
		free(v);
	map_free(seen);
	return -1;
}

int
list_show(struct ctl *c, enum service s, const char *method,
    const ProtobufCMessage *request, const ProtobufCMessageDescriptor *answer,
    const char *field, struct err *e)
{
	ProtobufCMessage *r;

	if (arg_bool(c, "watch"))
		return list_watch(c, s, method, request, answer, field, e);
	if ((r = client_call(c, s, method, request, answer, e)) == NULL)
		return -1;
	print_list(c, r, field);
	return RC_OK;
}

/* --- commands: orders to a piped ------------------------------------------- */

enum {
	COMMAND_EVERY_MS = 500,
	/* PipeCD's pipeds look every 5 s, and for a restart every 30 s. */
	COMMAND_MS = 60000
};

Model__Command *
command_wait(struct ctl *c, const char *id, int64_t every_ms,
    int64_t deadline_ms, struct err *e)
{
	API(GetCommandRequest) q;
	API(GetCommandResponse) * r;

	API_(get_command_request__init)(&q);
	q.command_id = request_text(c, id);
	do {
		r = client_call(c, SERVICE_API, "GetCommand", &q.base,
		    &API_(get_command_response__descriptor), e);
		if (r == NULL)
			return NULL;
		if (r->command != NULL &&
		    r->command->status !=
			MODEL__COMMAND_STATUS__COMMAND_NOT_HANDLED_YET)
			return r->command;
	} while (client_wait(every_ms, deadline_ms));
	err_set(e, RC_TEMP,
	    "command %s: its piped has not answered yet; it will when it is "
	    "there",
	    id);
	return NULL;
}

static const char *
metadata(const Model__Command *k, const char *key)
{
	size_t i;

	for (i = 0; i < k->n_metadata; i++)
		if (strcmp(k->metadata[i]->key, key) == 0)
			return k->metadata[i]->value;
	return NULL;
}

/* What the piped says of it; 0 when it did it. */
static int
command_result(const Model__Command *k, struct err *e)
{
	const char *why = metadata(k, "Reason");

	if (k->status == MODEL__COMMAND_STATUS__COMMAND_SUCCEEDED)
		return 0;
	return err_set(e, RC_NO, "command %s: %s%s%s", k->id,
	    msg_enum_name(
		&model__command_status__descriptor, (int)k->status, MSG_FRAME),
	    why != NULL ? ": " : "", why != NULL ? why : "");
}

int
command_done(struct ctl *c, const char *id, struct err *e)
{
	Model__Command *k;

	k = command_wait(c, id, COMMAND_EVERY_MS, now_ms() + COMMAND_MS, e);
	if (k == NULL || command_result(k, e) == -1)
		return -1;
	print_one(c, &k->base);
	return RC_OK;
}

int
command_deploys(struct ctl *c, const char *id, struct err *e)
{
	int64_t deadline = now_ms() + arg_ms(c, "timeout");
	int64_t every = arg_ms(c, "check-interval");
	const char *deployment;
	Model__Command *k;
	Model__Deployment *d;

	if (!arg_given(c, "check-interval"))
		every = COMMAND_EVERY_MS;
	if ((k = command_wait(c, id, every, deadline, e)) == NULL ||
	    command_result(k, e) == -1)
		return -1;
	if ((deployment = metadata(k, "TriggeredDeploymentID")) == NULL)
		return err_set(e, RC_TEMP,
		    "command %s: the piped named no deployment", id);
	if (arg_given(c, "wait-status"))
		return deployment_wait(
		    c, deployment, "wait-status", deadline, e);
	if ((d = deployment_read(c, deployment, e)) == NULL)
		return -1;
	print_one(c, &d->base);
	return RC_OK;
}
