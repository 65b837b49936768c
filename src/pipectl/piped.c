#include <stdio.h>
#include <string.h>

#include "local.h"
#include "request.h"

/* pipectl piped: the agents. */

/* The one answer that scripts read: {"id":...,"key":...} */
void
print_key(struct ctl *c, const char *id, const char *name, const char *value)
{
	struct buf b = BUF_INIT;
	struct json_out o = { .b = &b };

	json_out_object(&o);
	json_out_key(&o, "id");
	json_out_string(&o, id);
	json_out_key(&o, name);
	json_out_string(&o, value);
	json_out_end(&o);
	print_json(c, &b, id, value);
	buf_free(&b);
}

int
piped_add(struct ctl *c, struct err *e)
{
	API(RegisterPipedRequest) q;
	API(RegisterPipedResponse) * r;

	if (c->store != NULL)
		return local_piped_add(c, e);
	API_(register_piped_request__init)(&q);
	q.name = request_arg(c, "name");
	q.desc = request_arg(c, "desc");
	r = client_call(c, SERVICE_API, "RegisterPiped", &q.base,
	    &API_(register_piped_response__descriptor), e);
	if (r == NULL)
		return -1;
	print_key(c, r->id, "key", r->key);
	return RC_OK;
}

int
piped_list(struct ctl *c, struct err *e)
{
	WEB(ListPipedsRequest) q;

	if (c->store != NULL)
		return local_list(c, "piped", &model__piped__descriptor, e);
	WEB_(list_pipeds_request__init)(&q);
	q.with_status = true;
	return list_show(c, SERVICE_OPERATOR, "ListPipeds", &q.base,
	    &WEB_(list_pipeds_response__descriptor), "pipeds", e);
}

int
piped_get(struct ctl *c, struct err *e)
{
	API(GetPipedRequest) q;
	API(GetPipedResponse) * r;

	API_(get_piped_request__init)(&q);
	q.piped_id = request_arg(c, "piped-id");
	r = client_call(c, SERVICE_API, "GetPiped", &q.base,
	    &API_(get_piped_response__descriptor), e);
	if (r == NULL)
		return -1;
	if (r->piped == NULL)
		return err_set(e, RC_NO, "%s: no such piped", q.piped_id);
	print_one(c, &r->piped->base);
	return RC_OK;
}

int
piped_enable(struct ctl *c, struct err *e)
{
	API(EnablePipedRequest) q;

	API_(enable_piped_request__init)(&q);
	q.piped_id = request_arg(c, "piped-id");
	return request_told(c, "EnablePiped", &q.base,
	    &API_(enable_piped_response__descriptor), e);
}

int
piped_disable(struct ctl *c, struct err *e)
{
	API(DisablePipedRequest) q;

	API_(disable_piped_request__init)(&q);
	q.piped_id = request_arg(c, "piped-id");
	return request_told(c, "DisablePiped", &q.base,
	    &API_(disable_piped_response__descriptor), e);
}

int
piped_restart(struct ctl *c, struct err *e)
{
	WEB(RestartPipedRequest) q;
	WEB(RestartPipedResponse) * r;

	WEB_(restart_piped_request__init)(&q);
	q.piped_id = request_arg(c, "piped-id");
	r = client_call(c, SERVICE_OPERATOR, "RestartPiped", &q.base,
	    &WEB_(restart_piped_response__descriptor), e);
	return r != NULL ? command_done(c, r->command_id, e) : -1;
}

/* --- keys ------------------------------------------------------------------ */

static int
old_keys_end(struct ctl *c, struct err *e)
{
	WEB(DeleteOldPipedKeysRequest) q;

	WEB_(delete_old_piped_keys_request__init)(&q);
	q.piped_id = request_arg(c, "piped-id");
	return client_call(c, SERVICE_OPERATOR, "DeleteOldPipedKeys", &q.base,
		   &WEB_(delete_old_piped_keys_response__descriptor), e) != NULL
		   ? RC_OK
		   : -1;
}

int
piped_rotate_key(struct ctl *c, struct err *e)
{
	WEB(RecreatePipedKeyRequest) q;
	WEB(RecreatePipedKeyResponse) * r;

	if (c->store != NULL)
		return local_piped_rotate(c, e);
	if (arg_bool(c, "finish"))
		return old_keys_end(c, e);
	WEB_(recreate_piped_key_request__init)(&q);
	q.id = request_arg(c, "piped-id");
	r = client_call(c, SERVICE_OPERATOR, "RecreatePipedKey", &q.base,
	    &WEB_(recreate_piped_key_response__descriptor), e);
	if (r == NULL)
		return -1;
	print_key(c, q.id, "key", r->key);
	return RC_OK;
}
