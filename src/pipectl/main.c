/*
 * NAME
 *	pipectl - steer deployments from a shell
 * SYNOPSIS
 *	pipectl [--option ...] command [--option ...]
 * DESCRIPTION
 *	Asks a control plane of PipeCD, this one or PipeCD's own, what is
 *	deployed where, and says what should happen: deploy, wait, approve,
 *	cancel, roll back, register applications and pipeds.
 *	`pipectl --help` lists the commands, `pipectl COMMAND --help` the
 *	options of one.  An id may stand behind the command as it is:
 *	`pipectl deployment get ID`.
 *
 *	Which control plane: --address, or PIPECTL_ADDRESS, or the context that
 *	--context or PIPECTL_CONTEXT names, or the one in use.  `pipectl context
 *	add prod --address cd.example.com:443 --api-key-file ~/.cd-key`
 *	remembers one.
 *
 *	With --local the store of a control plane on this host is asked instead,
 *	without a key, whether the control plane runs or not: that is how its
 *	first project, piped and API key are made.
 *
 *	deployment rollback deploys again what an earlier deployment, which
 *	ended as SUCCESS, deployed.  git is not touched: the next commit of the
 *	application deploys as ever, and until then it is out of sync.
 *
 *	What PipeCD's pipectl takes is taken here: commands, options, their
 *	defaults.  plan-preview and plugin push are not in this version.
 * OPTIONS
 *	--address A	host:port
 *	--api-key-file F	a file with an API key; --api-key KEY shows it to
 *		everybody on this host
 *	--insecure	no TLS; --cert-file F: who signed the server's certificate
 *	--context NAME	a server remembered before
 *	--local DIR	the state directory of a control plane on this host
 *	-o FORM, --output FORM	table, wide, json, yaml or name (ids, one per
 *		line).  Without it table on a terminal, json otherwise.  Columns
 *		keep their names and places; new ones come at the end.
 *	-v, --verbose	more on stderr
 *	-h, --help
 * INPUT
 *	encrypt without --input-file: what to seal, from stdin.
 * OUTPUT
 *	What was asked for.  json is the proto3 JSON of PipeCD's messages.
 *	With --watch a line for each change.
 * EXIT STATUS
 *	0	done; the answer is yes
 *	1	no: there is none of that id, the deployment ended otherwise than
 *		wanted, the piped refused
 *	100	wrong usage, a key that is not accepted or may not do this
 *	111	the control plane or the piped does not answer, or not in time
 * FILES
 *	~/.config/pipectl/contexts.json	servers; no keys
 * PRIVILEGES
 *	Reads the API key.  Network to the control plane.
 * SEE ALSO
 *	pipecd(1), pipecd-api(1), pipecd-store(1)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "local.h"
#include "store.h"
#include "version.h"

int
later(struct ctl *c, struct err *e)
{
	return err_set(e, RC_PERM,
	    "%s%s%s is not in this version; PipeCD's own pipectl does it",
	    c->command->noun, *c->command->verb != '\0' ? " " : "",
	    c->command->verb);
}

int
version(struct ctl *c, struct err *e)
{
	(void)c, (void)e;
	puts("pipectl " PIPECD_VERSION);
	return RC_OK;
}

/* Open what the command asks. */
static int
peer_open(struct ctl *c, struct err *e)
{
	bool local = arg_given(c, "local");

	switch (c->command->target) {
	case TARGET_NONE:
		return 0;
	case TARGET_STORE:
		if (!local)
			return err_set(e, RC_PERM,
			    "%s %s: only on the control plane's own host, with "
			    "--local STATEDIR",
			    c->command->noun, c->command->verb);
		return local_open(c, e);
	case TARGET_EITHER:
		return local ? local_open(c, e) : client_open(c, e);
	default:
		if (local)
			return err_set(e, RC_PERM,
			    "--local: %s%s%s asks a server; give --address",
			    c->command->noun,
			    *c->command->verb != '\0' ? " " : "",
			    c->command->verb);
		return client_open(c, e);
	}
}

static int
run(struct ctl *c, struct err *e)
{
	int rv = -1;

	if (peer_open(c, e) == 0)
		rv = c->command->run(c, e);
	if (fflush(stdout) == EOF && rv != -1)
		rv = err_set(e, RC_TEMP, "stdout: cannot be written");
	client_close(c->client);
	if (c->store != NULL)
		store_close(c->store);
	return rv;
}

int
main(int argc, char *argv[])
{
	struct ctl c = { .a = arena_new() };
	struct err e = { .exit = RC_PERM };
	int rv = RC_OK;

	log_open("pipectl", LOG_WARN);
	if (argc > 1 && strcmp(argv[1], "__complete") == 0) {
		complete(argc - 2, argv + 2);
		goto out;
	}
	if (args_parse(&c, argc, argv, &e) == -1)
		die(&e);
	if (arg_bool(&c, "verbose") ||
	    (arg_given(&c, "log-level") &&
		strcmp(arg_str(&c, "log-level"), "debug") == 0))
		log_open("pipectl", LOG_DEBUG);
	if (arg_bool(&c, "help"))
		help(stdout,
		    c.command != NULL ? c.command->noun
		    : c.n_words > 0   ? c.words[0]
				      : NULL,
		    c.command != NULL ? c.command->verb : NULL);
	else if ((rv = run(&c, &e)) == -1)
		die(&e);
out:
	arena_free(c.a);
	return rv;
}
