/*
 * NAME
 *	pipecd-exec-terraform - Terraform and OpenTofu
 * SYNOPSIS
 *	pipecd-exec-terraform [-v] [-f config] verb
 * DESCRIPTION
 *	A platform for pipecd-plan, pipecd-exec and pipecd-drift that runs
 *	terraform or tofu: tools.terraform.path or tools.tofu.path of the Piped
 *	config (with its sha256 checked), else the first of the two on PATH.
 *
 *	The checkout is mirrored by symlinks into a directory of the
 *	deployment; init, workspace select, plan and apply run there.  A
 *	workspace that does not exist is a failure.  Without a backend the
 *	state is kept below the state directory, and the log says so.
 *
 *	TERRAFORM_SYNC plans and applies that plan.  TERRAFORM_PLAN saves its
 *	plan, and TERRAFORM_APPLY applies just that.  When it is gone (we were
 *	restarted) or stale, it is planned again: what would be done must be
 *	the same as was shown, or the stage fails and nothing is applied.
 *	TERRAFORM_ROLLBACK applies the running commit, if this deployment
 *	began to apply anything.
 *
 *	A plan that destroys all resources, or more of them than pruneLimit
 *	allows, is held until spec.confirm is true in the commit.
 *
 *	Values of `vars` are given in a file, never in argv; they rank like
 *	-var, and come before varFiles.  live is plan -detailed-exitcode
 *	-lock=false; preview the same with its text; plan reports the versions
 *	of modules.
 * OPTIONS
 *	-f config
 *		the Piped config; under a supervisor its slice comes on
 *		descriptor 3
 *	-v	debug log
 * INPUT
 *	stage: one stage_start.  live: live_start, plan and preview:
 *	plan_start, each any number of times.
 * OUTPUT
 *	platform; stage_log, stage_meta, held and one stage_done; live and
 *	app_state; vote; preview.
 * ENVIRONMENT
 *	All of ours but PIPECD_*, then TF_DATA_DIR, TF_IN_AUTOMATION,
 *	CHECKPOINT_DISABLE, TF_PLUGIN_CACHE_DIR, and commandEnvs.
 * EXIT STATUS
 *	0 done; 1 the stage failed, or a request did; 100 usage, config, not a
 *	frame; 111 input cut off.
 * FILES
 *	stateDir/work/terraform/DEPLOYMENT
 *		one deployment's work, with its saved plan (0600: plans hold
 *		secrets); removed at its end, by exec where no stage does it,
 *		and a week later at the latest
 *	stateDir/terraform/APPLICATION
 *		the state of an application without a backend
 *	stateDir/cache/terraform/plugins
 *		providers
 * PRIVILEGES
 *	Those of the user under whom it runs; the network; the credentials
 *	that providers find in the environment.
 * BUGS
 *	One deploy target per application.  -target and the like in
 *	commandFlags.plan are not part of what is compared when a plan is made
 *	again.
 * SEE ALSO
 *	pipecd-exec(1), pipecd-drift(1)
 */
#include "tf.h"

static const struct stage_def stages[] = {
	{ "TERRAFORM_SYNC", "Plan, and apply that plan", false, true },
	{ "TERRAFORM_PLAN", "Plan, and show it", false, false },
	{ "TERRAFORM_APPLY", "Apply the plan that was shown", false, false },
	{ "TERRAFORM_ROLLBACK", "Apply the running commit", true, false },
	{ NULL, NULL, false, false },
};

static const char *const keys[] = { "workspace", "terraformVersion", "vars",
	"varFiles", "commandFlags", "commandEnvs", NULL };

int
main(int argc, char *argv[])
{
	static const struct platform terraform = {
		.name = "terraform",
		.stages = stages,
		.votes = true,
		.touches = true,
		.config_keys = keys,
		.app_kind = "TERRAFORM",
		.live_source = true,
		.live_every_ms = 10 * 60 * 1000,
		.stage = tf_stage,
		.plan = tf_vote,
		.live = tf_live,
		.preview = tf_preview,
	};

	return platform_main(argc, argv, &terraform);
}
