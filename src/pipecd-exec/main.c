/*
 * NAME
 *	pipecd-exec - run deployments, stage by stage, and keep their journal
 * SYNOPSIS
 *	pipecd-exec [-v] [-f config] [-b dir] | -r journal | -V journal ...
 * DESCRIPTION
 *	Takes planned deployments, queues them (one running per application,
 *	in turn over applications, spec.maxConcurrentDeployments stages over
 *	all), and runs their stages in order: a stage is a process of its
 *	platform (pipecd-exec-NAME stage) or of pipecd-exec-script; WAIT and
 *	WAIT_APPROVAL are timers in here.  A failure or a cancel is followed
 *	by the rollback stages of the plan.
 *
 *	Everything that happens is first a line of the deployment's journal,
 *	synced before the next stage starts and before anybody is told.
 *	Killed at any moment and started again, it goes on with the first
 *	stage that is not done; what a former run left alive is ended first.
 *	A stage that was interrupted runs again: it is done at least once.  So
 *	does one whose process somebody kills with SIGKILL, four times at most;
 *	any other end without a result is a FAILURE.
 *
 *	A deployment that was triggered by a commit and has not started when
 *	a newer commit of its application comes ends as CANCELLED.
 *
 *	A chain (postSync.chain) goes on block by block: when a block is all
 *	SUCCESS the applications of the next one are triggered by commands to
 *	plan.  In a shell pipe nobody is there to take them: they are kept in
 *	commands.ndjson, and the same pipe run again goes on with the chain.
 *
 *	A platform whose describe says `resident` gets one process per set of
 *	deploy targets, which takes many stages; a stage whose resident dies
 *	begins again in the next one, four times at most.
 *
 *	A cancel asks the stage to end with SIGTERM and kills it after two
 *	minutes, or at a second cancel; a deadline kills after five seconds.
 *	A rollback cannot be cancelled.  Only WAIT_APPROVAL is approved, by
 *	any user or those it lists; each user counts once.  No stage of this
 *	build can be skipped by hand.
 *
 *	An unfinished deployment that the control plane knows (resume) and we do
 *	not, for the disk is a new one, is taken over: it goes on with the first
 *	stage that is not done.  Where our journal has as much of it, nothing
 *	happens; where it has less, it is set aside as DEPLOYMENT.ndjson.behind.
 *	Of an application that the control plane registered under another id
 *	than ours, what we know is kept under the new one.
 * OPTIONS
 *	-b dir	Be a daemon on the bus in dir.
 *	-f config
 *		The Piped config.  Without it, the slice on descriptor 3.
 *	-r journal
 *		Replay: print what a journal amounts to; nothing is touched.
 *	-V journal ...
 *		Verify the hash chain of journals.
 *	-v	Log what is only interesting to who looks for a mistake.
 * INPUT
 *	deployment, app, command, command_done, resume on stdin or the bus;
 *	ok, err from checkout; stage_log, stage_meta, stage_done, held from
 *	stages; command on the socket.
 * OUTPUT
 *	deployment, past, stage_start, stage_process, stage_log, stage_meta,
 *	stage_done, held, command, command_done; what is for others passes
 *	through.
 * EXIT STATUS
 *	0 every deployment of this run ended as SUCCESS (-r: that one did; -V:
 *	all are whole); 1 one did not; 100 wrong usage, config or input; 111
 *	try again: another exec works on this state directory, or the input
 *	was cut off.  What came before bad input is run to its end.
 * FILES
 *	stateDir/journal/DEPLOYMENT.ndjson, read-only once it is finished and
 *	removed after spec.journalRetention; stateDir/journal/apps.ndjson;
 *	stateDir/commands.ndjson; stateDir/run/exec/exec.sock, for the group of
 *	that directory (run/exec.sock leads there); stateDir/run/lock/APPLICATION.
 * PRIVILEGES
 *	No secrets, no network.  Asks the supervisor to start platforms,
 *	scripts and checkout; with -f starts them itself.  Kills what still
 *	holds the lock of an application, as far as it may.
 * BUGS
 *	What a stage started in a session of its own and under another user
 *	than ours can only be ended where piped is root: else the next stage
 *	waits for its lock half a minute, and fails naming the process.
 * SEE ALSO
 *	pipecd-plan(1), pipecd-report(1), pipecd-exec-host(1), pipecd-journal(5)
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exec.h"
#include "sandbox.h"

static const char synopsis[] =
    "pipecd-exec [-v] [-f config] [-b dir] | -r journal | -V journal ...";

static char *
path_of(struct exec *x, const char *name)
{
	return arena_printf(x->arena, "%s/%s", x->state_dir, name);
}

static int
dir_open(struct exec *x, const char *name, int *fd, struct err *e)
{
	const char *path = path_of(x, name);

	if (dir_make(path, 0700, e) == -1)
		return -1;
	if ((*fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		return err_sys(e, "open %s", path);
	return 0;
}

/* The directories, and the lock that makes us the only exec on them. */
static int
state_open(struct exec *x, struct err *e)
{
	if (state_format(x->state_dir, true, e) == -1 ||
	    dir_open(x, "journal", &x->journal_fd, e) == -1 ||
	    dir_open(x, "run/exec", &x->run_fd, e) == -1 ||
	    dir_open(x, "run/lock", &x->lock_fd, e) == -1)
		return -1;
	if (flock(x->journal_fd, LOCK_EX | LOCK_NB) == -1) {
		if (errno != EWOULDBLOCK)
			return err_sys(e, "lock %s/journal", x->state_dir);
		return err_set(e, RC_TEMP,
		    "%s is in use by another pipecd-exec (a supervised agent, "
		    "or another pipe): wait for it, or use another stateDir",
		    x->state_dir);
	}
	if ((x->apps = apps_open(x->state_dir, true, e)) == NULL)
		return -1;
	return 0;
}

static void
boot_read(struct exec *x)
{
	struct buf b = BUF_INIT;
	struct err e;

	if (file_read("/proc/sys/kernel/random/boot_id", 64, &b, &e) == 1 &&
	    b.len > 36)
		memcpy(x->boot, b.p, 36);
	buf_free(&b);
}

static void
state_close(struct exec *x)
{
	const char *id;
	size_t i = 0;
	void *d;
	int c;

	while (map_next(x->by_id, &i, &id, &d))
		deployment_free(x, d);
	for (c = 0; c < CLIENTS_MAX; c++)
		if (x->client[c].fd != -1)
			client_close(&x->client[c]);
	for (c = 0; c < ANSWERED; c++) {
		free(x->answered[c].id);
		free(x->answered[c].reason);
	}
	if (x->sock != -1)
		(void)unlinkat(x->run_fd, "exec.sock", 0);
	checkout_close(x);
	residents_close(x);
	if (x->bus != NULL)
		bus_close(x->bus);
	if (x->launcher != NULL)
		launcher_close(x->launcher);
	apps_close(x->apps);
	apps_free(x);
	map_free(x->by_id);
	free(x->active);
	free(x->dirty);
	free(x->told);
	free(x->finished);
	arena_free(x->turn);
	arena_free(x->arena);
}

static int
run(struct exec *x, const char *config, const char *dir, struct err *e)
{
	int signals, rv = -1;

	x->arena = arena_new();
	x->turn = arena_new();
	x->by_id = map_new();
	x->app = map_new();
	x->ready_end = &x->ready;
	x->slot_end = &x->slot_wait;
	x->daemon = dir != NULL;
	if (conf_piped_open(&x->conf, config, x->arena, e) == -1)
		goto out;
	x->state_dir = arena_strdup(x->arena, x->conf.state_dir);
	x->slots_max = (int)x->conf.max_concurrent_deployments;
	boot_read(x);
	if ((signals = signals_open(e)) == -1 || state_open(x, e) == -1 ||
	    sandbox("exec", x->state_dir, NULL, e) == -1)
		goto out;
	x->launcher = launcher_open(config != NULL ? &x->conf : NULL, e);
	if (x->launcher == NULL || socket_open(x, e) == -1 ||
	    (x->bus = bus_open("exec", dir, e)) == NULL || restart(x, e) == -1)
		goto out;
	ready();
	rv = exec_loop(x, signals, e);
out:
	state_close(x);
	return rv;
}

int
main(int argc, char *argv[])
{
	struct exec x = { .journal_fd = -1,
		.lock_fd = -1,
		.run_fd = -1,
		.sock = -1,
		.co = { .in = -1, .out = -1 } };
	const char *config = NULL, *dir = NULL, *replay = NULL;
	bool verify = false;
	struct err e;
	int c;

	log_open("pipecd-exec", LOG_INFO);
	while ((c = getopt(argc, argv, "b:f:r:vV")) != -1)
		switch (c) {
		case 'b':
			dir = optarg;
			break;
		case 'f':
			config = optarg;
			break;
		case 'r':
			replay = optarg;
			break;
		case 'v':
			log_open("pipecd-exec", LOG_DEBUG);
			break;
		case 'V':
			verify = true;
			break;
		default:
			usage(synopsis);
		}
	argc -= optind;
	argv += optind;
	if (verify && argc > 0)
		return verify_main(argv);
	if (verify || argc > 0)
		usage(synopsis);
	if (replay != NULL)
		return replay_main(replay);
	for (c = 0; c < CLIENTS_MAX; c++)
		x.client[c].fd = -1;
	if (run(&x, config, dir, &e) == -1)
		die(&e);
	if (x.failed > 0)
		log_info("-", "end deployments=%d not_success=%d", x.ended,
		    x.failed);
	if (x.input_exit != 0)
		return x.input_exit;
	return x.failed > 0 ? RC_NO : RC_OK;
}
