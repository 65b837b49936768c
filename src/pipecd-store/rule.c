/* What a record may become, beyond being well-formed. */
#include <string.h>

#include "daemon.h"
#include "model/deployment.pb-c.h"
#include "msg.h"

static const char *
status(Model__DeploymentStatus s)
{
	return msg_enum_name(
	    &model__deployment_status__descriptor, (int)s, MSG_FRAME);
}

/*
 * A deployment goes on or ends; it never goes back, and what has ended stays.
 * Saying the same again is not going back: metadata may follow.
 */
static int
deployment(
    const Model__Deployment *old, const Model__Deployment *m, struct err *e)
{
	bool ended =
	    old->status >= MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_SUCCESS;

	if (m->status == old->status || (!ended && m->status > old->status))
		return 0;
	return err_set(e, RC_PERM, "deployment %s: its status is %s, %s %s",
	    m->id, status(old->status),
	    ended ? "which is its end; it cannot become"
		  : "it cannot go back to",
	    status(m->status));
}

int
rule_check(const char *table, const ProtobufCMessage *old,
    const ProtobufCMessage *m, struct err *e)
{
	if (old != NULL && strcmp(table, "deployment") == 0)
		return deployment((const Model__Deployment *)old,
		    (const Model__Deployment *)m, e);
	return 0;
}
