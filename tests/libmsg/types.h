/*
 * Every message and enum of the .proto files, by name.  Included by the
 * programs of this folder.
 */
#include <string.h>

#include "frame.h"
#include "insight.pb-c.h"
#include "model/analysis_result.pb-c.h"
#include "model/notificationevent.pb-c.h"
#include "model/piped_stat.pb-c.h"
#include "model/rbac.pb-c.h"
#include "model/user.pb-c.h"
#include "service/agent.pb-c.h"
#include "service/apiservice.pb-c.h"
#include "service/operator.pb-c.h"
#include "service/pipedservice.pb-c.h"
#include "service/plugin_deployment.pb-c.h"
#include "service/plugin_livestate.pb-c.h"
#include "service/plugin_planpreview.pb-c.h"
#include "service/pluginservice.pb-c.h"
#include "service/webservice.pb-c.h"
#include "store.pb-c.h"
#include "storework.pb-c.h"
#include "super.pb-c.h"

/* What no method and no frame leads to. */
static const ProtobufCMessageDescriptor *const others[] = {
	&model__piped_stat__descriptor,
	&model__rbac__descriptor,
	&model__user__descriptor,
	&store__request__descriptor,
	&store__reply__descriptor,
	&store__unregistered__descriptor,
	&store__piped_status__descriptor,
	&store__lease__descriptor,
	&store__note__descriptor,
	&insight__chunk__descriptor,
	&insight__applications__descriptor,
	&work__key__descriptor,
	&work__proof__descriptor,
	&work__log__descriptor,
	&work__work__descriptor,
	&work__done__descriptor,
	&work__bcrypt__descriptor,
	&super__request__descriptor,
	&super__reply__descriptor,
	&super__status__descriptor,
	&model__application_live_state_snapshot__descriptor,
	&grpc__piped__service__decrypt_secret_request__descriptor,
	&grpc__piped__service__decrypt_secret_response__descriptor,
#define EVENT(name) &model__notification_event_##name##__descriptor
	EVENT(deployment_triggered),
	EVENT(deployment_planned),
	EVENT(deployment_started),
	EVENT(deployment_approved),
	EVENT(deployment_rolling_back),
	EVENT(deployment_succeeded),
	EVENT(deployment_failed),
	EVENT(deployment_cancelled),
	EVENT(deployment_wait_approval),
	EVENT(deployment_trigger_failed),
	EVENT(application_synced),
	EVENT(application_out_of_sync),
	EVENT(piped_started),
	EVENT(piped_stopped),
	EVENT(stage_started),
	EVENT(stage_skipped),
	EVENT(stage_succeeded),
	EVENT(stage_failed),
	EVENT(stage_cancelled),
#define FRAME(k, M, m, cls, from, to, doc) &frame__##m##__descriptor,
#include "frame.def"
};

static const ProtobufCServiceDescriptor *const services[] = {
	&grpc__service__pipedservice__piped_service__descriptor,
	&grpc__service__webservice__web_service__descriptor,
	&grpc__service__apiservice__apiservice__descriptor,
	&grpc__piped__service__plugin_service__descriptor,
	&grpc__plugin__deploymentapi__v1alpha1__deployment_service__descriptor,
	&grpc__plugin__livestateapi__v1alpha1__livestate_service__descriptor,
	&grpc__plugin__planpreviewapi__v1alpha1__plan_preview_service__descriptor,
	&pipecd__agent__agent_service__descriptor,
	&pipecd__operator__operator_service__descriptor,
};

static const ProtobufCMessageDescriptor *type[2000];
static size_t ntype;
static const ProtobufCEnumDescriptor *enums[200];
static size_t nenum;

static void
learn_enum(const ProtobufCEnumDescriptor *d)
{
	size_t i;

	for (i = 0; i < nenum; i++)
		if (enums[i] == d)
			return;
	must(nenum < NITEMS(enums));
	enums[nenum++] = d;
}

static void
learn(const ProtobufCMessageDescriptor *d)
{
	size_t i;

	for (i = 0; i < ntype; i++)
		if (type[i] == d)
			return;
	must(ntype < NITEMS(type));
	type[ntype++] = d;
	for (i = 0; i < d->n_fields; i++)
		if (d->fields[i].type == PROTOBUF_C_TYPE_MESSAGE)
			learn(d->fields[i].descriptor);
		else if (d->fields[i].type == PROTOBUF_C_TYPE_ENUM)
			learn_enum(d->fields[i].descriptor);
}

static void
learn_all(void)
{
	size_t i, k;

	learn_enum(&model__rollback_kind__descriptor);
	learn_enum(&model__notification_event_type__descriptor);
	for (i = 0; i < NITEMS(others); i++)
		learn(others[i]);
	for (i = 0; i < NITEMS(services); i++)
		for (k = 0; k < services[i]->n_methods; k++) {
			learn(services[i]->methods[k].input);
			learn(services[i]->methods[k].output);
		}
}

static const ProtobufCMessageDescriptor *
find(const char *name)
{
	size_t i;

	for (i = 0; i < ntype; i++)
		if (strcmp(type[i]->name, name) == 0)
			return type[i];
	usage("msg: no such type");
}
