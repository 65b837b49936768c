/* client.h - which server, and what opens it: context.c for client.c. */
#ifndef PIPECTL_CLIENT_H
#define PIPECTL_CLIENT_H

#include "ctl.h"

struct server {
	const char *address, *api_key, *api_key_file, *cert_file;
	bool insecure;
};
/*
 * The server of this run: options, over PIPECTL_ADDRESS and its company in the
 * environment, over the context that --context names or that is in use.
 */
int server_find(struct ctl *c, struct server *s, struct err *e);

#endif
