/*
 * The value rules on whatever unpacks: every request of agents and people, and
 * a mistake always says where.
 * needs: libmsg libbase
 */
#include <string.h>

#include "msg.h"
#include "service/agent.pb-c.h"
#include "service/apiservice.pb-c.h"
#include "service/operator.pb-c.h"
#include "service/pipedservice.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const ProtobufCServiceDescriptor *const services[] = {
		&grpc__service__pipedservice__piped_service__descriptor,
		&grpc__service__apiservice__apiservice__descriptor,
		&pipecd__operator__operator_service__descriptor,
		&pipecd__agent__agent_service__descriptor,
	};
	const ProtobufCServiceDescriptor *s;
	ProtobufCMessage *m;
	struct arena *a;
	struct err e;

	if (n < 2)
		return 0;
	s = services[p[0] % NITEMS(services)];
	a = arena_new();
	m = msg_unpack(s->methods[p[1] % s->n_methods].input, p + 2, n - 2, a,
	    1 << 20, &e);
	if (m != NULL && msg_check(m, &e) == -1)
		must(strstr(e.text, ": ") != NULL && *e.text != ':');
	arena_free(a);
	return 0;
}
