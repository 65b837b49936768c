/* pipecd.h - what pipecd is among supervisors; private to the program. */
#ifndef PIPECD_PIPECD_H
#define PIPECD_PIPECD_H

#include "supervise.h"

/* PipeCD's ports, by its flags. */
enum {
	PORT_PIPED_API,
	PORT_WEB_API,
	PORT_API,
	PORT_HTTP,
	PORT_ADMIN,
	PORT__N
};

struct pipecd {
	struct super super; /* first: it is what the functions of it get */
	/* Options that go before what the configuration says; NULL: not given.
	 */
	const char *port[PORT__N];
	bool tls;
	const char *cert_file, *key_file;
	int64_t api_processes;	     /* 0: not given */
	char asked[LISTEN_MAX][280]; /* what each of super.listen is for */
};

/*
 * The sockets of this configuration: those that are there already stay, so
 * that nobody who waits is lost; new ones are bound before old ones close.
 */
int listen_all(struct pipecd *p, const struct conf_control *c, struct err *e);

#endif
