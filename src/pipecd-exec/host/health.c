#include "host.h"

#include <stdio.h>
#include <string.h>

enum {
	QUOTE = 600 /* bytes of an output in a reason */
};

static void
environment(struct env *env, const struct job *j, const struct place *p)
{
	struct arena *a = j->r->arena;
	const Model__Deployment *d = j->r->stage->deployment;

	env_init(env, a);
	env_put(env, a, "PIPECD_APPLICATION", j->app);
	env_put(env, a, "PIPECD_APPLICATION_ID", d->application_id);
	env_put(env, a, "PIPECD_DEPLOYMENT_ID", d->id);
	env_put(env, a, "PIPECD_STAGE", j->r->stage->stage->name);
	env_put(env, a, "PIPECD_COMMIT", j->commit);
	env_put(env, a, "PIPECD_TARGET", p->target);
	env_put(env, a, "PIPECD_ROOT", p->root);
	env_put(env, a, "PIPECD_DIR", p->dir);
	env_put(env, a, "PIPECD_RELEASE",
	    arena_printf(a, "%s/releases/%s", p->dir, p->current));
	env_put(env, a, "PIPECD_ROLLBACK", j->forward ? "false" : "true");
}

/* The end of an output, as one line. */
static const char *
quote(struct arena *a, const struct buf *tail)
{
	const char *s = tail->p;
	char *q, *c;

	if (tail->len == 0)
		return "it said nothing";
	if (tail->len > QUOTE)
		s += tail->len - QUOTE;
	while (((unsigned char)*s & 0xC0) == 0x80)
		s++;
	q = arena_strdup(a, s);
	for (c = q; *c != '\0'; c++)
		if (*c == '\n')
			*c = c[1] == '\0' ? '\0' : '|';
	return q;
}

/* Run a command of the application's; as run_command, and what it said. */
static int
shell(struct job *j, const struct place *p, const char *text, bool quiet,
    int64_t timeout_ms, struct buf *tail, struct err *e)
{
	struct arena *a = j->r->arena;
	const char *argv[] = { "/bin/sh", "-c", text, NULL };
	struct env env;
	struct command c = { .argv = argv,
		.dir = arena_printf(a, "%s/current", p->dir),
		.timeout_ms = timeout_ms,
		.quiet = quiet,
		.keep_daemons = !quiet,
		.tail = tail };

	environment(&env, j, p);
	c.env = env.v;
	return run_command(j->r, &c, e);
}

int
host_activate(struct job *j, const struct place *p, struct err *e)
{
	struct buf tail = BUF_INIT;
	int rc;

	if (j->conf.activate == NULL || *j->conf.activate == '\0')
		return 0;
	stage_log(
	    j->r, "INFO", "%s: activate: %s", p->target, j->conf.activate);
	rc = shell(j, p, j->conf.activate, false, 0, &tail, e);
	if (rc == -1)
		err_wrap(e, "%s: activate", p->target);
	else if (rc == CMD_TIMEOUT)
		rc = err_set(e, RC_PERM,
		    "%s: activate was not done by the stage's deadline: %s",
		    p->target, quote(j->r->arena, &tail));
	else if (rc > 0)
		rc = err_set(e, RC_PERM, "%s: activate failed, exit %d: %s",
		    p->target, rc, quote(j->r->arena, &tail));
	else if (rc == CMD_CANCELLED)
		rc = 1;
	buf_free(&tail);
	return rc;
}

/* One check: 1 healthy, 0 not with the reason in `why`, -1 with *e. */
static int
check(struct job *j, const struct place *p, int64_t left, const char **why,
    struct err *e)
{
	const struct conf_host_app *c = &j->conf;
	struct buf tail = BUF_INIT;
	int rc;

	if (c->health.http != NULL) {
		rc = http_get(c->health.http, left, e);
		*why = rc == -1
			   ? arena_strdup(j->r->arena, e->text)
			   : arena_printf(j->r->arena, "HTTP status %d", rc);
		return rc == -1 && e->exit == RC_PERM ? -1
						      : rc >= 200 && rc < 300;
	}
	rc = shell(j, p, c->health.command, true, left, &tail, e);
	if (rc == CMD_TIMEOUT)
		*why = arena_printf(j->r->arena, "not done in %lld ms: %s",
		    (long long)left, quote(j->r->arena, &tail));
	else if (rc >= 0)
		*why = arena_printf(
		    j->r->arena, "exit %d: %s", rc, quote(j->r->arena, &tail));
	buf_free(&tail);
	return rc == -1 ? -1 : rc == 0;
}

int
host_health(struct job *j, const struct place *p, struct err *e)
{
	const struct conf_host_app *c = &j->conf;
	const char *what =
	    c->health.http != NULL ? c->health.http : c->health.command;
	const char *why = "", *said = "";
	int64_t end, left, good = 0;
	int ok;

	if (what == NULL)
		return 0;
	end = now_ms() + stage_left(j->r, c->health.timeout_ms);
	for (;;) {
		left = end - now_ms();
		if (left <= 0)
			return err_set(e, RC_PERM,
			    "%s: not healthy after %lld ms: %s: %s", p->target,
			    (long long)c->health.timeout_ms, what, why);
		if ((ok = check(j, p, left, &why, e)) == -1)
			return err_wrap(e, "%s: health", p->target);
		if (stage_cancelled(j->r))
			return 1;
		good = ok ? good + 1 : 0;
		if (good >= c->health.success_count)
			break;
		/* A check that the end of the time cut off is not the cause. */
		if (!ok && *said != '\0' && strcmp(why, said) != 0 &&
		    now_ms() >= end)
			why =
			    arena_printf(j->r->arena, "%s, then %s", said, why);
		else if (!ok && strcmp(why, said) != 0)
			stage_log(j->r, "INFO", "%s: not healthy yet: %s",
			    p->target, said = why);
		left = end - now_ms();
		if (!stage_sleep(j->r, c->health.interval_ms < left
					   ? c->health.interval_ms
				       : left > 0 ? left
						  : 0))
			return 1;
	}
	stage_log(j->r, "INFO", "%s: healthy: %s", p->target, what);
	return 0;
}
