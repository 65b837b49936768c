/*
 * insight REQUEST CHUNK...: answer a GetInsightDataRequest from chunks, all of
 * them JSON; "KEY wanted|not" first for arguments that begin with insights/.
 */
#include "insight.h"

#include <stdio.h>
#include <string.h>

#include "msg.h"

int
main(int argc, char *argv[])
{
	struct arena *a = arena_new();
	struct buf b = BUF_INIT;
	const void *q;
	struct insight *in = NULL;
	ProtobufCMessage *m;
	struct err e;
	int i;

	log_open("insight", LOG_INFO);
	if ((q = msg_from_json(
		 &grpc__service__webservice__get_insight_data_request__descriptor,
		 argv[1], strlen(argv[1]), MSG_API, a, 0, &e)) == NULL ||
	    (in = insight_new(q, a, &e)) == NULL)
		die(&e);
	for (i = 2; i < argc; i++) {
		if (str_prefix(argv[i], "insights/")) {
			printf("%s %s\n", argv[i],
			    insight_wants(in, argv[i]) ? "wanted" : "not");
			continue;
		}
		if ((m = msg_from_json(&insight__chunk__descriptor, argv[i],
			 strlen(argv[i]), MSG_API, a, 0, &e)) == NULL)
			die(&e);
		buf_reset(&b);
		msg_pack(&b, m);
		if (insight_add(in, b.p, b.len, &e) == -1)
			die(&e);
	}
	buf_reset(&b);
	msg_json(&b, &insight_answer(in)->base, MSG_FRAME);
	puts(b.p);
	buf_free(&b);
	arena_free(a);
	return 0;
}
