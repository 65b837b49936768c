/*
 * request.h - requests from what was given.  protobuf-c's strings are not
 * const: what goes in is a copy in c->a.
 */
#ifndef PIPECTL_REQUEST_H
#define PIPECTL_REQUEST_H

#include "ctl.h"
#include "service/apiservice.pb-c.h"
#include "service/operator.pb-c.h"
#include "service/webservice.pb-c.h"

#define API(message)  Grpc__Service__Apiservice__##message
#define API_(message) grpc__service__apiservice__##message
#define WEB(message)  Grpc__Service__Webservice__##message
#define WEB_(message) grpc__service__webservice__##message

/* A copy; "" for NULL. */
char *request_text(struct ctl *c, const char *s);
/* An option's text. */
char *request_arg(struct ctl *c, const char *name);
/*
 * An option's pairs as the entries of a map of strings, whose descriptor is
 * `of`: assign the result to the message's field.
 */
void *request_pairs(struct ctl *c, const char *name,
    const ProtobufCMessageDescriptor *of, size_t *n);
char **request_list(struct ctl *c, const char *name, size_t *n);

/* Ask something whose answer says nothing. */
int request_told(struct ctl *c, const char *method,
    const ProtobufCMessage *request, const ProtobufCMessageDescriptor *answer,
    struct err *e);
/* Ask for a list and print it; with --watch go on, and print what changes. */
int list_show(struct ctl *c, enum service s, const char *method,
    const ProtobufCMessage *request, const ProtobufCMessageDescriptor *answer,
    const char *field, struct err *e);

/* What became of a command; NULL with *e, RC_TEMP when time is up. */
Model__Command *command_wait(struct ctl *c, const char *id, int64_t every_ms,
    int64_t deadline_ms, struct err *e);
/* A command is on its way: wait for it, and say what became of it. */
int command_done(struct ctl *c, const char *id, struct err *e);
/* The same of one that makes a deployment, and --wait-status of that. */
int command_deploys(struct ctl *c, const char *id, struct err *e);
Model__Deployment *deployment_read(
    struct ctl *c, const char *id, struct err *e);
/* Wait until it has one of the statuses: RC_OK; ended otherwise: RC_NO. */
int deployment_wait(struct ctl *c, const char *id, const char *option,
    int64_t deadline_ms, struct err *e);

#endif
