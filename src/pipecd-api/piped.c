/* Agents: what they say of themselves, and what people do with them. */
#include <string.h>

#include "api.h"
#include "seal.h"

#define PIPED(name) const Grpc__Service__Pipedservice__##name##Request
#define API(name)   const Grpc__Service__Apiservice__##name##Request
#define WEB(name)   const Grpc__Service__Webservice__##name##Request

static void
piped_change(struct call *c, const char *id, int (*edit)(struct call *, void *),
    void (*then)(struct call *, void *))
{
	change(c, "piped", id, &model__piped__descriptor, edit, then);
}

static bool
piped_is_ours(struct call *c, const Model__Piped *p)
{
	if (same(p->project_id, c->who.project))
		return true;
	not_yours(c, "piped");
	return false;
}

/* --- what it says ----------------------------------------------------------------- */

static void
stat_taken(struct call *c, const Store__Reply *r)
{
	Grpc__Service__Pipedservice__ReportStatResponse res =
	    GRPC__SERVICE__PIPEDSERVICE__REPORT_STAT_RESPONSE__INIT;

	if (!went_well(c, r, "piped stat"))
		return;
	res.report_interval = STAT_S;
	reply(c, &res);
}

void
piped_report_stat(struct call *c, const void *req)
{
	PIPED(ReportStat) *q = req;
	Store__PipedStatus s = STORE__PIPED_STATUS__INIT;

	s.piped_id = (char *)(uintptr_t)c->who.id;
	s.project_id = (char *)(uintptr_t)c->who.project;
	s.metrics = q->piped_stats;
	ask_write(c, STORE__OP__KIND__PUT, "piped_stat", &s, stat_taken);
}

static int
edit_meta(struct call *c, void *rec)
{
	PIPED(ReportPipedMeta) *q = c->req;
	Model__Piped *p = rec;

	p->version = q->version;
	p->config = q->config;
	p->cloud_providers = q->cloud_providers;
	p->n_cloud_providers = q->n_cloud_providers;
	p->platform_providers = q->platform_providers;
	p->n_platform_providers = q->n_platform_providers;
	p->repositories = q->repositories;
	p->n_repositories = q->n_repositories;
	p->plugins = q->plugins;
	p->n_plugins = q->n_plugins;
	p->secret_encryption = q->secret_encryption;
	p->status = MODEL__PIPED__CONNECTION_STATUS__ONLINE;
	p->started_at = wall_s();
	return CHANGED;
}

static void
meta_taken(struct call *c, void *rec)
{
	Grpc__Service__Pipedservice__ReportPipedMetaResponse res =
	    GRPC__SERVICE__PIPEDSERVICE__REPORT_PIPED_META_RESPONSE__INIT;
	Model__Piped *p = rec;

	res.name = p->name;
	res.web_base_url = (char *)(uintptr_t)c->api->web_url;
	reply(c, &res);
}

void
piped_report_meta(struct call *c, const void *req)
{
	(void)req;
	piped_change(c, c->who.id, edit_meta, meta_taken);
}

static void
got_desired(struct call *c, const Store__Reply *r)
{
	Grpc__Service__Pipedservice__GetDesiredVersionResponse res =
	    GRPC__SERVICE__PIPEDSERVICE__GET_DESIRED_VERSION_RESPONSE__INIT;
	Model__Piped *p;

	if (!went_well(c, r, "piped") ||
	    (p = record(c, &model__piped__descriptor, r->records[0])) == NULL)
		return;
	res.version = p->desired_version;
	reply(c, &res);
}

void
piped_desired_version(struct call *c, const void *req)
{
	(void)req;
	ask_get(c, "piped", c->who.id, got_desired);
}

/* --- for people -------------------------------------------------------------------- */

/* It is there when it said so lately. */
static int
status_now(const Store__Record *stat)
{
	const Store__PipedStatus *s;
	struct arena *a;
	struct err e;
	int64_t at = 0;

	if (stat->version == 0)
		return MODEL__PIPED__CONNECTION_STATUS__UNKNOWN;
	a = arena_new();
	s = (const Store__PipedStatus *)msg_unpack(
	    &store__piped_status__descriptor, stat->value.data, stat->value.len,
	    a, 0, &e);
	if (s != NULL)
		at = s->updated_at;
	arena_free(a);
	return wall_s() - at <= ONLINE_S
		   ? MODEL__PIPED__CONNECTION_STATUS__ONLINE
		   : MODEL__PIPED__CONNECTION_STATUS__OFFLINE;
}

static void
got_status(struct call *c, const Store__Reply *r)
{
	Grpc__Service__Apiservice__GetPipedResponse res =
	    GRPC__SERVICE__APISERVICE__GET_PIPED_RESPONSE__INIT;
	Model__Piped *p = c->user;

	if (r->code != STORE__CODE__NOT_FOUND && !went_well(c, r, "piped stat"))
		return;
	p->status =
	    r->code == STORE__CODE__OK
		? (Model__Piped__ConnectionStatus)status_now(r->records[0])
		: MODEL__PIPED__CONNECTION_STATUS__UNKNOWN;
	res.piped = p;
	reply(c, &res);
}

static void
got(struct call *c, const Store__Reply *r)
{
	Model__Piped *p;

	if (!went_well(c, r, "piped") ||
	    (p = record(c, &model__piped__descriptor, r->records[0])) == NULL ||
	    !piped_is_ours(c, p))
		return;
	c->user = p;
	ask_get(c, "piped_stat", p->id, got_status);
}

void
piped_get(struct call *c, const void *req)
{
	API(GetPiped) *q = req;

	ask_get(c, "piped", q->piped_id, got);
}

static void
registered(struct call *c, const Store__Reply *r)
{
	Grpc__Service__Apiservice__RegisterPipedResponse res =
	    GRPC__SERVICE__APISERVICE__REGISTER_PIPED_RESPONSE__INIT;

	if (!went_well(c, r, "piped"))
		return;
	res.id = c->user;
	res.key = r->key;
	reply(c, &res);
}

void
piped_register(struct call *c, const void *req)
{
	API(RegisterPiped) *q = req;
	Store__Request r = STORE__REQUEST__INIT;
	Store__KeyMake k = STORE__KEY_MAKE__INIT;
	Model__Piped p = MODEL__PIPED__INIT;
	struct buf b = BUF_INIT;

	p.id = c->user = uuid4(c->a);
	p.name = q->name;
	p.desc = q->desc;
	p.project_id = (char *)(uintptr_t)c->who.project;
	p.status = MODEL__PIPED__CONNECTION_STATUS__OFFLINE;
	msg_pack(&b, &p.base);
	k.kind = STORE__KEY_KIND__PIPED;
	k.id = p.id;
	k.value.data = (uint8_t *)b.p;
	k.value.len = b.len;
	k.creator = (char *)(uintptr_t)c->who.id;
	STORE_ASK(&r, KEY_MAKE, key_make, &k);
	ask(c, &r, registered);
	buf_free(&b);
}

static int
edit_update(struct call *c, void *rec)
{
	API(UpdatePiped) *q = c->req;
	Model__Piped *p = rec;

	if (!piped_is_ours(c, p))
		return -1;
	p->name = q->name;
	p->desc = q->desc;
	return CHANGED;
}

void
piped_update(struct call *c, const void *req)
{
	API(UpdatePiped) *q = req;

	piped_change(c, q->piped_id, edit_update, NULL);
}

static int
edit_enabled(struct call *c, bool disabled, Model__Piped *p)
{
	if (!piped_is_ours(c, p))
		return -1;
	if (p->disabled == disabled)
		return SAME;
	p->disabled = disabled;
	return CHANGED;
}

static int
edit_enable(struct call *c, void *rec)
{
	return edit_enabled(c, false, rec);
}

static int
edit_disable(struct call *c, void *rec)
{
	return edit_enabled(c, true, rec);
}

void
piped_enable(struct call *c, const void *req)
{
	API(EnablePiped) *q = req;

	piped_change(c, q->piped_id, edit_enable, NULL);
}

void
piped_disable(struct call *c, const void *req)
{
	API(DisablePiped) *q = req;

	piped_change(c, q->piped_id, edit_disable, NULL);
}

/* --- sealing a value for it --------------------------------------------------------- */

static void
encrypt(struct call *c, const Store__Reply *r)
{
	API(Encrypt) *q = c->req;
	Grpc__Service__Apiservice__EncryptResponse res =
	    GRPC__SERVICE__APISERVICE__ENCRYPT_RESPONSE__INIT;
	struct buf pem = BUF_INIT, plain = BUF_INIT, text = BUF_INIT;
	struct seal_key *key = NULL;
	Model__Piped *p;
	struct err e;

	if (!went_well(c, r, "piped") ||
	    (p = record(c, &model__piped__descriptor, r->records[0])) == NULL ||
	    !piped_is_ours(c, p))
		return;
	if (p->secret_encryption == NULL ||
	    !same(p->secret_encryption->type, "KEY_PAIR")) {
		refuse(c, GRPC_FAILED_PRECONDITION,
		    "The piped has no key pair to encrypt for");
		return;
	}
	if (strstr(or_empty(p->secret_encryption->public_key), "-----BEGIN") !=
	    NULL)
		buf_adds(&pem, p->secret_encryption->public_key);
	else if (base64_decode(&pem, or_empty(p->secret_encryption->public_key),
		     strlen(or_empty(p->secret_encryption->public_key))) == -1)
		buf_reset(&pem);
	if (q->base64_encoding)
		base64_encode(&plain, q->plaintext, strlen(q->plaintext));
	else
		buf_adds(&plain, q->plaintext);
	if ((key = seal_public(pem.p, pem.len, &e)) == NULL) {
		refuse(c, GRPC_FAILED_PRECONDITION,
		    "The piped's public key is not good: %s", e.text);
	} else if (seal_close(&text, key, plain.p, plain.len, &e) == -1) {
		refuse(c, GRPC_INVALID_ARGUMENT, "plaintext: %s", e.text);
	} else {
		res.ciphertext = text.p;
		reply(c, &res);
	}
	seal_key_free(key);
	explicit_bzero(plain.p, plain.len);
	buf_free(&plain);
	buf_free(&text);
	buf_free(&pem);
}

void
piped_encrypt(struct call *c, const void *req)
{
	API(Encrypt) *q = req;

	ask_get(c, "piped", q->piped_id, encrypt);
}

/* --- by operators: lists and keys --------------------------------------------------- */

struct pipeds {
	Model__Piped **v;
	size_t n;
	struct query *q;
};

static void pipeds_page(struct call *c, const Store__Reply *r);

static void
pipeds_reply(struct call *c, const struct pipeds *l)
{
	Grpc__Service__Webservice__ListPipedsResponse res =
	    GRPC__SERVICE__WEBSERVICE__LIST_PIPEDS_RESPONSE__INIT;

	res.pipeds = l->v;
	res.n_pipeds = l->n;
	reply(c, &res);
}

static void
pipeds_status(struct call *c, const Store__Reply *r)
{
	struct pipeds *l = c->user;
	size_t i;

	if (r->code != STORE__CODE__NOT_FOUND &&
	    !went_well(c, r, "piped stats"))
		return;
	for (i = 0; i < l->n && i < r->n_records; i++)
		l->v[i]->status =
		    (Model__Piped__ConnectionStatus)status_now(r->records[i]);
	pipeds_reply(c, l);
}

static void
pipeds_page(struct call *c, const Store__Reply *r)
{
	WEB(ListPipeds) *q = c->req;
	struct pipeds *l = c->user;
	Model__Piped **v;
	char **ids;
	size_t i;

	if (!went_well(c, r, "pipeds"))
		return;
	v = arena_array(c->a, Model__Piped *, l->n + r->n_records + 1);
	if (l->n > 0)
		memcpy(v, l->v, l->n * sizeof(*v));
	l->v = v;
	for (i = 0; i < r->n_records; i++, l->n++)
		if ((v[l->n] = record(
			 c, &model__piped__descriptor, r->records[i])) == NULL)
			return;
	if (!empty(r->cursor)) {
		l->q->list.cursor = arena_strdup(c->a, r->cursor);
		ask_list(c, l->q, pipeds_page);
		return;
	}
	if (!q->with_status || l->n == 0) {
		pipeds_reply(c, l);
		return;
	}
	ids = arena_array(c->a, char *, l->n);
	for (i = 0; i < l->n; i++)
		ids[i] = l->v[i]->id;
	ask_many(c, "piped_stat", ids, l->n, pipeds_status);
}

void
operator_list_pipeds(struct call *c, const void *req)
{
	WEB(ListPipeds) *q = req;
	struct pipeds *l = arena_new_of(c->a, struct pipeds);

	l->q = query_new(c, "piped");
	query_is(c, l->q, "project_id", c->who.project);
	if (q->options != NULL && q->options->enabled != NULL)
		query_is(c, l->q, "disabled",
		    q->options->enabled->value ? "false" : "true");
	l->q->list.limit = 500;
	c->user = l;
	ask_list(c, l->q, pipeds_page);
}

static void
key_made(struct call *c, const Store__Reply *r)
{
	Grpc__Service__Webservice__RecreatePipedKeyResponse res =
	    GRPC__SERVICE__WEBSERVICE__RECREATE_PIPED_KEY_RESPONSE__INIT;

	if (!went_well(c, r, "piped"))
		return;
	res.key = r->key;
	reply(c, &res);
}

static void
make_key(struct call *c, const Store__Reply *r)
{
	WEB(RecreatePipedKey) *q = c->req;
	Store__Request s = STORE__REQUEST__INIT;
	Store__KeyMake k = STORE__KEY_MAKE__INIT;
	Model__Piped *p;

	if (!went_well(c, r, "piped") ||
	    (p = record(c, &model__piped__descriptor, r->records[0])) == NULL ||
	    !piped_is_ours(c, p))
		return;
	k.kind = STORE__KEY_KIND__PIPED;
	k.id = q->id;
	k.creator = (char *)(uintptr_t)c->who.id;
	STORE_ASK(&s, KEY_MAKE, key_make, &k);
	ask(c, &s, key_made);
}

void
operator_new_key(struct call *c, const void *req)
{
	WEB(RecreatePipedKey) *q = req;

	if (empty(q->id)) {
		refuse(c, GRPC_INVALID_ARGUMENT, "id: must not be empty");
		return;
	}
	ask_get(c, "piped", q->id, make_key);
}

static void
drop_keys(struct call *c, const Store__Reply *r)
{
	WEB(DeleteOldPipedKeys) *q = c->req;
	Store__Request s = STORE__REQUEST__INIT;
	Store__KeyDrop k = STORE__KEY_DROP__INIT;
	Model__Piped *p;

	if (!went_well(c, r, "piped") ||
	    (p = record(c, &model__piped__descriptor, r->records[0])) == NULL ||
	    !piped_is_ours(c, p))
		return;
	k.id = q->piped_id;
	STORE_ASK(&s, KEY_DROP, key_drop, &k);
	ask(c, &s, reply_written);
}

void
operator_drop_keys(struct call *c, const void *req)
{
	WEB(DeleteOldPipedKeys) *q = req;

	ask_get(c, "piped", q->piped_id, drop_keys);
}
