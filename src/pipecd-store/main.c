/*
 * NAME
 *	pipecd-store - keep the records and objects of a control plane
 * SYNOPSIS
 *	pipecd-store [-1nvV] [-b dir] [-d table] [-f config] [-l table]
 * DESCRIPTION
 *	Serves the store of a control plane to pipecd-api, pipecd-ops and
 *	pipectl on <stateDir>/run/store.sock.  Records are in LMDB, a table per
 *	model with the indexes that its lists need; stage logs too, until their
 *	stage ends and they become objects; objects are files, or in S3.
 *
 *	What is answered is on the disk.  Writes that come in while one goes to
 *	the disk share the next one, so the more is asked at the same time, the
 *	more is done.  When the disk is full, writes are refused and reads go
 *	on; when there is room, so do writes.
 *
 *	With -d, -l, -b or -V it does one thing with the store and ends,
 *	whether another pipecd-store serves it at that time or not.
 * OPTIONS
 *	-1	Answer one client, on standard input, and end with it: how
 *		pipectl --local asks where no store runs.
 *	-b dir	Back the store up into a new directory, as it is at one
 *		instant: copy it back as the state directory to restore it.
 *	-d table
 *		Dump a table as JSON lines, in the mapping of frames: names as
 *		in the models, numbers as numbers.  Records that are deleted
 *		have "_deleted":true.
 *	-f config
 *		The ControlPlane config.  Without it, the slice on descriptor 3.
 *	-l table
 *		Load JSON lines, all or none: records with the same id are
 *		replaced.  Dumped again it is the same, byte by byte.
 *	-n	Only check the config and print what counts for us.
 *	-v	Say more.
 *	-V	Verify: every record readable, every index entry in its place.
 *	-W dir	Write: how this program calls itself.
 * INPUT
 *	-l: JSON lines.  Else messages of store.proto, on a socket.
 * OUTPUT
 *	-d: JSON lines.  -V: what is wrong, a line each.
 * EXIT STATUS
 *	0	done
 *	1	-n: the config is refused; -V: something is wrong; -d: records
 *		that are damaged were left out
 *	100	usage, config, a line that cannot be loaded, a store of a newer
 *		version
 *	111	no room, or another pipecd-store serves the directory
 * FILES
 *	<stateDir>/store/data.mdb
 *		LMDB; it grows by doubling its map, and is never shrunk: a
 *		backup is compact
 *	<stateDir>/store/lock
 *		held by the one that serves
 *	<stateDir>/objects/
 *		with filestore.type DIR
 *	<stateDir>/run/store.sock
 *		who may enter this directory may ask
 * PRIVILEGES
 *	Reads and writes the state directory.  Starts pipecd-store-key, which
 *	sees keys and nothing else, and pipecd-store-object, which alone has
 *	the network and the credentials of S3.  Hashes of keys leave it in
 *	dumps and backups only.
 * BUGS
 *	LMDB needs a local file system.
 * SEE ALSO
 *	pipecd-store-object(1), pipecd-store-key(1), pipecd-api(1), jq(1)
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon.h"

static const char synopsis[] =
    "pipecd-store [-1nvV] [-b dir] [-d table] [-f config] [-l table]";

static int
check(const struct conf_control *c)
{
	struct buf out = BUF_INIT;

	conf_control_print(&out, c, WHO_STORE | WHO_SHOWN);
	(void)write_all(STDOUT_FILENO, out.p, out.len);
	buf_free(&out);
	return RC_OK;
}

static int
refused(const char *conf, const struct err *e)
{
	log_error("-", "%s", e->text);
	return e->exit == RC_PERM && conf != NULL && access(conf, R_OK) == 0
		   ? RC_NO
		   : e->exit;
}

int
main(int argc, char *argv[])
{
	const char *conf = NULL, *dump = NULL, *load = NULL, *backup = NULL;
	bool once = false, only_check = false, verify = false;
	enum log_level least = LOG_INFO;
	struct arena *a = arena_new();
	struct conf_control c;
	struct places p;
	struct err e;
	int o, rv;

	while ((o = getopt(argc, argv, "1b:d:f:l:nvVW:")) != -1)
		switch (o) {
		case '1':
			once = true;
			break;
		case 'b':
			backup = optarg;
			break;
		case 'd':
			dump = optarg;
			break;
		case 'f':
			conf = optarg;
			break;
		case 'l':
			load = optarg;
			break;
		case 'n':
			only_check = true;
			break;
		case 'v':
			least = LOG_DEBUG;
			break;
		case 'V':
			verify = true;
			break;
		case 'W':
			log_open("pipecd-store", least);
			writer_main(optarg);
		default:
			usage(synopsis);
		}
	if (optind != argc || once + only_check + verify + (dump != NULL) +
				      (load != NULL) + (backup != NULL) >
				  1)
		usage(synopsis);
	log_open("pipecd-store", least);
	if (conf_control_open(&c, conf, a, &e) == -1) {
		rv = only_check ? refused(conf, &e) : -1;
		if (rv == -1)
			die(&e);
		arena_free(a);
		return rv;
	}
	places_of(&p, c.state_dir, a);
	if (only_check)
		rv = check(&c);
	else if (dump != NULL)
		rv = tool_dump(&p, dump);
	else if (load != NULL)
		rv = tool_load(&p, load);
	else if (backup != NULL)
		rv = tool_backup(&c, &p, backup);
	else if (verify)
		rv = tool_verify(&c, &p);
	else if (front_main(&c, once, &e) == -1)
		die(&e);
	else
		rv = RC_OK;
	arena_free(a);
	return rv;
}
