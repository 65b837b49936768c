/*
 * NAME
 *	pipecd-exec-script - the stages that run a shell command
 * SYNOPSIS
 *	pipecd-exec-script [-v] [-f config] verb
 * DESCRIPTION
 *	SCRIPT_RUN runs `run` by /bin/sh -l -c in the application's directory
 *	of the checkout; SCRIPT_RUN_ROLLBACK runs the same stage's onRollback
 *	after a failure.  CUSTOM_SYNC runs its `run`, and CUSTOM_SYNC_ROLLBACK
 *	the `run` of the running commit, in that commit's directory.  What they
 *	print becomes the stage's log; an exit code other than 0 is a failure.
 *
 *	A script runs at least once: when this program is killed before its
 *	result is known, it is run again.  Processes that it leaves behind are
 *	ended with it.
 *
 *	The verbs are describe and stage.
 * OPTIONS
 *	-f config
 *		the Piped config; nothing of it is needed
 *	-v	debug log
 * INPUT
 *	one stage_start
 * OUTPUT
 *	platform; stage_log, and one stage_done
 * ENVIRONMENT
 *	A script gets PATH, HOME, USER, LANG and the like, then
 *	SR_DEPLOYMENT_ID, SR_APPLICATION_ID, SR_APPLICATION_NAME,
 *	SR_TRIGGERED_AT (Unix seconds), SR_TRIGGERED_COMMIT_HASH,
 *	SR_TRIGGERED_COMMANDER, SR_REPOSITORY_URL, SR_SUMMARY, SR_IS_ROLLBACK,
 *	SR_LABELS_KEY for each label, SR_CONTEXT_RAW (all of these as JSON), and
 *	then the stage's own env.
 * EXIT STATUS
 *	0 done; 1 the script failed; 100 usage, not a frame; 111 input cut off.
 * PRIVILEGES
 *	Those of the user under whom it runs: it runs what is in git.
 * SEE ALSO
 *	pipecd-exec(1)
 */
#include "confdef.h"
#include "json.h"
#include "platform.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const struct stage_def stages[] = {
	{ "SCRIPT_RUN", "Run a shell command", false, false },
	{ "SCRIPT_RUN_ROLLBACK", "Run that stage's onRollback", true, false },
	{ "CUSTOM_SYNC", "Deploy by a shell command", false, false },
	{ "CUSTOM_SYNC_ROLLBACK", "Deploy the running commit by its command",
	    true, false },
	{ NULL, NULL, false, false },
};

/* What is to run, and where. */
struct script {
	const char *run, *dir;
	const struct conf_pair *env;
	size_t n_env;
	bool rollback;
};

static int
script_read(struct script *s, struct run *r, struct err *e)
{
	const Frame__StageStart *f = r->stage;
	const char *name = f->stage->name;
	const char *json = f->config != NULL ? f->config->text : "{}";
	struct conf_script_run sr;
	struct conf_custom_sync cs;

	memset(s, 0, sizeof(*s));
	s->rollback = str_suffix(name, "_ROLLBACK");
	s->dir = f->target_dir;
	if (str_prefix(name, "SCRIPT_RUN")) {
		if (conf_json_read(CONF_script_run, &sr, "SCRIPT_RUN: with",
			json, r->arena, e) == -1)
			return -1;
		s->run = s->rollback ? sr.on_rollback : sr.run;
		s->env = sr.env;
		s->n_env = sr.n_env;
	} else if (str_prefix(name, "CUSTOM_SYNC")) {
		if (conf_json_read(CONF_custom_sync, &cs, "CUSTOM_SYNC: with",
			json, r->arena, e) == -1)
			return -1;
		s->run = cs.run;
		s->env = cs.envs;
		s->n_env = cs.n_envs;
		if (s->rollback)
			s->dir = f->running_dir;
	} else {
		return err_set(
		    e, RC_PERM, "%s: no stage of this program", name);
	}
	if (s->dir == NULL)
		return err_set(e, RC_PERM, "stage_start: field %s is missing",
		    s->rollback ? "running_dir" : "target_dir");
	return 0;
}

/* A label's key as a part of a variable's name. */
static const char *
upper(struct arena *a, const char *prefix, const char *s)
{
	char *t = arena_printf(a, "%s%s", prefix, s), *p;

	for (p = t; *p != '\0'; p++)
		*p = (char)toupper((unsigned char)*p);
	return t;
}

/* One of the context's strings, which are left out when empty. */
static void
context_string(struct json_out *o, const char *key, const char *v)
{
	if (v == NULL || *v == '\0')
		return;
	json_out_key(o, key);
	json_out_string(o, v);
}

static const char *
context(struct run *r, bool rollback)
{
	const Model__Deployment *d = r->stage->deployment;
	struct buf b = BUF_INIT;
	struct json_out o = { .b = &b };
	const char *s;
	size_t i;

	json_out_object(&o);
	context_string(&o, "deploymentID", d->id);
	context_string(&o, "applicationID", d->application_id);
	context_string(&o, "applicationName", d->application_name);
	json_out_key(&o, "triggeredAt");
	json_out_int(&o, d->trigger->timestamp);
	context_string(&o, "triggeredCommitHash", d->trigger->commit->hash);
	context_string(&o, "triggeredCommander", d->trigger->commander);
	context_string(&o, "repositoryURL", d->git_path->repo->remote);
	context_string(&o, "summary", d->summary);
	if (d->n_labels > 0) {
		json_out_key(&o, "labels");
		json_out_object(&o);
		for (i = 0; i < d->n_labels; i++) {
			json_out_key(&o, d->labels[i]->key);
			json_out_string(&o, d->labels[i]->value);
		}
		json_out_end(&o);
	}
	if (rollback) {
		json_out_key(&o, "isRollback");
		json_out_bool(&o, true);
	}
	json_out_end(&o);
	s = arena_strdup(r->arena, b.p);
	buf_free(&b);
	return s;
}

static void
environment(struct env *env, struct run *r, const struct script *s)
{
	const Model__Deployment *d = r->stage->deployment;
	struct arena *a = r->arena;
	size_t i;

	env_init(env, a);
	env_put(env, a, "SR_DEPLOYMENT_ID", d->id);
	env_put(env, a, "SR_APPLICATION_ID", d->application_id);
	env_put(env, a, "SR_APPLICATION_NAME", d->application_name);
	env_put(env, a, "SR_TRIGGERED_AT",
	    arena_printf(a, "%lld", (long long)d->trigger->timestamp));
	env_put(env, a, "SR_TRIGGERED_COMMIT_HASH", d->trigger->commit->hash);
	env_put(env, a, "SR_TRIGGERED_COMMANDER", d->trigger->commander);
	env_put(env, a, "SR_REPOSITORY_URL", d->git_path->repo->remote);
	env_put(env, a, "SR_SUMMARY", d->summary);
	env_put(env, a, "SR_IS_ROLLBACK", s->rollback ? "true" : "false");
	env_put(env, a, "SR_CONTEXT_RAW", context(r, s->rollback));
	for (i = 0; i < d->n_labels; i++)
		env_put(env, a, upper(a, "SR_LABELS_", d->labels[i]->key),
		    d->labels[i]->value);
	for (i = 0; i < s->n_env; i++)
		env_put(env, a, s->env[i].key, s->env[i].value);
}

static const char *
last_line(struct run *r, const struct buf *tail)
{
	char *s = arena_strdup(r->arena, tail->p), *nl;
	size_t n = strlen(s);

	while (n > 0 && s[n - 1] == '\n')
		s[--n] = '\0';
	nl = strrchr(s, '\n');
	return n == 0 ? "it said nothing" : nl != NULL ? nl + 1 : s;
}

static int
script_stage(struct run *r, struct err *e)
{
	struct buf tail = BUF_INIT;
	struct command c = { .tail = &tail };
	const char *argv[] = { "/bin/sh", "-l", "-c", NULL, NULL };
	struct script s;
	struct env env;
	int rc, rv;

	if (r->stage->deployment->trigger == NULL ||
	    r->stage->deployment->trigger->commit == NULL ||
	    r->stage->deployment->git_path == NULL ||
	    r->stage->deployment->git_path->repo == NULL)
		return err_set(e, RC_PERM,
		    "stage_start: deployment has no trigger or git_path");
	if (script_read(&s, r, e) == -1)
		return -1;
	if (s.run == NULL || *s.run == '\0')
		return stage_done(r, MODEL__STAGE_STATUS__STAGE_SUCCESS,
		    "no command: nothing to do");
	environment(&env, r, &s);
	argv[3] = s.run;
	c.argv = argv;
	c.env = env.v;
	c.dir = s.dir;
	stage_log(r, "INFO", "run: %s", s.run);
	rc = run_command(r, &c, e);
	if (rc == -1)
		rv = -1;
	else if (rc == CMD_CANCELLED)
		rv = stage_done(
		    r, MODEL__STAGE_STATUS__STAGE_CANCELLED, "cancelled");
	else if (rc == CMD_TIMEOUT)
		rv = stage_done(r, MODEL__STAGE_STATUS__STAGE_FAILURE,
		    "not done by the stage's deadline");
	else if (rc != 0)
		rv = stage_done(r, MODEL__STAGE_STATUS__STAGE_FAILURE,
		    "the command failed, exit %d: %s", rc, last_line(r, &tail));
	else
		rv = stage_done(r, MODEL__STAGE_STATUS__STAGE_SUCCESS,
		    "the command succeeded");
	buf_free(&tail);
	return rv;
}

int
main(int argc, char *argv[])
{
	static const struct platform script = {
		.name = "script",
		.stages = stages,
		.stage = script_stage,
	};

	return platform_main(argc, argv, &script);
}
