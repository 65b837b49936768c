/*
 * Packed messages: what unpacks goes through both JSONs and a copy, and packs
 * to the same bytes.  The first byte chooses the type, the second the budget.
 * needs: libmsg libbase
 */
#include <string.h>

#include "frame.h"
#include "json.h"
#include "service/apiservice.pb-c.h"
#include "service/pipedservice.pb-c.h"
#include "service/webservice.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static const ProtobufCMessageDescriptor *const type[] = {
	&model__deployment__descriptor,
	&model__application__descriptor,
	&model__command__descriptor,
	&model__application_live_state_snapshot__descriptor,
	&frame__app__descriptor,
	&frame__stage_start__descriptor,
	&grpc__service__apiservice__list_stage_logs_response__descriptor,
	&grpc__service__webservice__list_applications_request__descriptor,
	&grpc__service__webservice__get_insight_data_response__descriptor,
	&grpc__service__webservice__get_project_response__descriptor,
	&grpc__service__pipedservice__report_deployment_completed_request__descriptor,
	&grpc__service__apiservice__get_plan_preview_results_response__descriptor,
};

static void
same(const struct buf *want, const ProtobufCMessage *m)
{
	struct buf b = BUF_INIT;

	must(m != NULL);
	msg_pack(&b, m);
	must(b.len == want->len && memcmp(b.p, want->p, b.len) == 0);
	buf_free(&b);
}

/* Embedded JSON is only checked where it comes as JSON. */
static bool
embeds(const uint8_t *p)
{
	return p[0] % NITEMS(type) == 4 || p[0] % NITEMS(type) == 5;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const ProtobufCMessageDescriptor *d;
	struct buf pack = BUF_INIT, json = BUF_INIT;
	struct arena *a;
	ProtobufCMessage *m, *k;
	struct err e;
	int how;

	if (n < 2)
		return 0;
	a = arena_new();
	d = type[p[0] % NITEMS(type)];
	m = msg_unpack(
	    d, p + 2, n - 2, a, p[1] == 0 ? 0 : (size_t)p[1] * 64, &e);
	if (m != NULL) {
		/* Without what is not in the .proto: JSON has no place for it.
		 */
		msg_pack(&pack, m);
		same(&pack, msg_copy(m, a));
		for (how = MSG_FRAME; how <= MSG_API && !embeds(p); how++) {
			buf_reset(&json);
			msg_json(&json, m, how);
			must(json_valid(json.p, json.len));
			k = msg_from_json(d, json.p, json.len, how, a, 0, &e);
			must(k != NULL);
			buf_reset(&pack);
			msg_pack(&pack, k);
			buf_reset(&json);
			msg_json(&json, k, how);
			same(&pack,
			    msg_from_json(d, json.p, json.len, how, a, 0, &e));
		}
	}
	for (how = MSG_FRAME; how <= MSG_API; how++) {
		k = msg_from_json(d, (const char *)p + 2, n - 2, how, a,
		    p[1] == 0 ? 0 : (size_t)p[1] * 64, &e);
		if (k == NULL)
			continue;
		buf_reset(&json);
		msg_json(&json, k, how);
		must(msg_from_json(d, json.p, json.len, how, a, 0, &e) != NULL);
	}
	buf_free(&pack);
	buf_free(&json);
	arena_free(a);
	return 0;
}
