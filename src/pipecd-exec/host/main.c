/*
 * NAME
 *	pipecd-exec-host - plain hosts: directories with a current release
 * SYNOPSIS
 *	pipecd-exec-host [-v] [-f config] verb
 * DESCRIPTION
 *	A platform for pipecd-plan, pipecd-exec and pipecd-drift.  A deploy
 *	target is a directory on this host (config.root), which must be there:
 *	a root that is missing may be a mount that is, and is never made.
 *	Below it an application has a directory of its name:
 *
 *	root/APPLICATION/releases/COMMIT/ holds the files of one commit, and
 *	root/APPLICATION/current is a symlink to one of them.  Files are laid
 *	out beside, synced, and put in place whole; then the symlink is
 *	replaced in one step.  Whatever is killed when, current leads to a
 *	complete release.
 *
 *	After the switch `activate` runs, and `health` decides whether the
 *	stage succeeds.  Old releases are kept (keepReleases) and reused by a
 *	rollback when their files are unchanged.
 *
 *	The verbs are describe, stage, live, preview and render.  HOST_SYNC
 *	brings a commit to all deploy targets, one after the other.
 *	HOST_CANARY_ROLLOUT (with.targets: a number or 25%, rounded up) brings
 *	it to the first ones, HOST_PRIMARY_ROLLOUT to the rest and then to all,
 *	HOST_CANARY_CLEAN takes it back from the canaries when no primary
 *	rollout followed.  HOST_ROLLBACK brings the running commit back to every
 *	target that the deployment touched.
 * OPTIONS
 *	-f config
 *		the Piped config; under a supervisor its slice comes on
 *		descriptor 3
 *	-v	debug log
 * INPUT
 *	stage: one stage_start.  live: live_start, render: render_start,
 *	preview: plan_start, each any number of times.
 * OUTPUT
 *	platform; stage_log, stage_meta, held and one stage_done; live and
 *	app_state; object; preview.
 * ENVIRONMENT
 *	activate and health.command run by /bin/sh -c in the current release
 *	with PATH, HOME, USER, LANG and the like, and
 *
 *	PIPECD_APPLICATION, PIPECD_APPLICATION_ID, PIPECD_DEPLOYMENT_ID,
 *	PIPECD_STAGE, PIPECD_COMMIT, PIPECD_TARGET (the deploy target's name),
 *	PIPECD_ROOT (its root), PIPECD_DIR (root/APPLICATION), PIPECD_RELEASE
 *	(the release's own path), PIPECD_ROLLBACK (true when going back).
 *
 *	activate runs at least once per deployment and target: it is repeated
 *	when we were killed before its end was recorded.  What it leaves
 *	running is ended with it, but for a service in a session of its own
 *	(setsid, or a service manager's).
 * EXIT STATUS
 *	0 done; 1 the stage failed, or a request did; 100 usage, config, not a
 *	frame; 111 input cut off.
 * FILES
 *	root/APPLICATION/.pipecd/owner
 *		which application this is; another one of its name is refused
 *	root/APPLICATION/.pipecd/state
 *		how far which deployment came here
 *	root/APPLICATION/.pipecd/made/COMMIT
 *		what activate made in a release: no drift
 *	root/APPLICATION/.pipecd/stat
 *		hashes of files by size, times and inode
 * PRIVILEGES
 *	Writes below the roots.  The network only for health.http.  activate
 *	and health.command may do what the user may under whom this runs.
 * BUGS
 *	Empty directories are not placed.  A change of mode other than the
 *	execute bit is no drift.  What an application writes into its release
 *	after it was healthy is drift: let it write elsewhere.
 * SEE ALSO
 *	pipecd-exec(1), pipecd-drift(1)
 */
#include "host.h"

#include <sys/stat.h>

static const struct stage_def stages[] = {
	{ "HOST_SYNC", "Bring the commit to all deploy targets", false, true },
	{ "HOST_CANARY_ROLLOUT", "Bring the commit to the first targets", false,
	    false },
	{ "HOST_PRIMARY_ROLLOUT", "Bring the commit to the other targets",
	    false, false },
	{ "HOST_CANARY_CLEAN", "Take the commit back from the first targets",
	    false, false },
	{ "HOST_ROLLBACK", "Bring the running commit back", true, false },
	{ NULL, NULL, false, false },
};

static const char *const keys[] = { "files", "activate", "health",
	"keepReleases", NULL };

int
main(int argc, char *argv[])
{
	static const struct platform host = {
		.name = "host",
		.stages = stages,
		.touches = true,
		.config_keys = keys,
		.files_key = "files",
		.stage = host_stage,
		.render = host_render,
		.live = host_live,
		.preview = host_preview,
	};

	/* A server of another user reads what is placed. */
	(void)umask(022);
	return platform_main(argc, argv, &host);
}
