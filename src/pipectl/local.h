/*
 * local.h - --local: what the control plane's own host may do without a key,
 * by asking the store there.
 */
#ifndef PIPECTL_LOCAL_H
#define PIPECTL_LOCAL_H

#include "ctl.h"
#include "json.h"

/* Open c->store for --local. */
int local_open(struct ctl *c, struct err *e);
int local_piped_add(struct ctl *c, struct err *e);
int local_piped_rotate(struct ctl *c, struct err *e);
/* All records of a table, of --project where that is given. */
int local_list(struct ctl *c, const char *table,
    const ProtobufCMessageDescriptor *of, struct err *e);
/* {"id":...,NAME:...}: a secret that is said this once. */
void print_key(
    struct ctl *c, const char *id, const char *name, const char *value);

#endif
