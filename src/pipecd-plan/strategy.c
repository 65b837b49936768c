/* strategy.c - quick sync or pipeline. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>

#include "plan.h"

/*
 * PipeCD's expressions are RE2, which PCRE2 reads alike: what POSIX has not
 * (\d, (?i), lazy repeats) is there.  What RE2 promises and PCRE2 does not is
 * time, so that a match has a limit.
 */
int
regex_match(const char *re, const char *text, struct err *e)
{
	pcre2_code *code = NULL;
	pcre2_match_data *data = NULL;
	pcre2_match_context *limits = NULL;
	PCRE2_UCHAR msg[120];
	PCRE2_SIZE at;
	int rv = -1, n;

	code = pcre2_compile((PCRE2_SPTR)re, PCRE2_ZERO_TERMINATED,
	    PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C, &n,
	    &at, NULL);
	if (code == NULL) {
		pcre2_get_error_message(n, msg, sizeof(msg));
		err_set(e, RC_PERM, "\"%s\" at character %zu: %s", re,
		    (size_t)at + 1, (char *)msg);
		goto out;
	}
	data = pcre2_match_data_create_from_pattern(code, NULL);
	limits = pcre2_match_context_create(NULL);
	must(data != NULL && limits != NULL);
	pcre2_set_match_limit(limits, 1000000);
	pcre2_set_heap_limit(limits, 8192);
	n = pcre2_match(
	    code, (PCRE2_SPTR)text, strlen(text), 0, 0, data, limits);
	if (n >= 0)
		rv = 1;
	else if (n == PCRE2_ERROR_NOMATCH)
		rv = 0;
	else {
		pcre2_get_error_message(n, msg, sizeof(msg));
		err_set(e, RC_PERM, "\"%s\": %s", re, (char *)msg);
	}
out:
	pcre2_match_context_free(limits);
	pcre2_match_data_free(data);
	pcre2_code_free(code);
	return rv;
}

static int
choose(struct work *w, Model__SyncStrategy s, const char *why)
{
	w->strategy = s;
	w->summary = arena_printf(w->arena, "%s: %s",
	    s == MODEL__SYNC_STRATEGY__PIPELINE ? "Pipeline" : "Quick sync",
	    why);
	return 0;
}
#define QUICK	 MODEL__SYNC_STRATEGY__QUICK_SYNC
#define PIPELINE MODEL__SYNC_STRATEGY__PIPELINE

/*
 * commitMatcher: 1 when it decided.  What is no expression fails the planning
 * of a v0 kind and is passed over in an Application, as in PipeCD.
 */
static int
by_message(struct work *w, struct err *e)
{
	const struct {
		const char *re, *key;
		Model__SyncStrategy s;
	} by[] = {
		{ w->conf->commit_pipeline, "pipeline", PIPELINE },
		{ w->conf->commit_quick_sync, "quickSync", QUICK },
	};
	size_t i;
	int rv;

	if (w->t->commander != NULL)
		return 0;
	for (i = 0; i < NITEMS(by); i++) {
		if (by[i].re == NULL || by[i].re[0] == '\0')
			continue;
		rv = regex_match(by[i].re, w->commit.message, e);
		if (rv == -1 && !w->conf->v1)
			return err_wrap(e, "%s: spec.commitMatcher.%s",
			    w->config_path, by[i].key);
		if (rv == -1)
			log_warn(w->t->deployment_id,
			    "%s: spec.commitMatcher.%s is not used: %s",
			    w->config_path, by[i].key, e->text);
		if (rv != 1)
			continue;
		choose(w, by[i].s,
		    arena_printf(w->arena,
			"the commit message matches commitMatcher.%s \"%s\"",
			by[i].key, by[i].re));
		return 1;
	}
	return 0;
}

static bool
is_kind(const struct work *w, const char *kind)
{
	return w->conf->kind != NULL && strcmp(w->conf->kind, kind) == 0;
}

/*
 * PipeCD's v1: the first platform that wants a pipeline has it, else a quick
 * sync.  Where no platform has a vote, what the user wrote is what happens.
 */
static int
by_vote(struct work *w)
{
	const struct ballot *b = w->ballot;
	const char *why;

	if (b == NULL || b->votes == 0 || b->why != NULL)
		return choose(w, PIPELINE, "a pipeline is configured");
	why = b->summary != NULL && b->summary[0] != '\0'
		  ? b->summary
		  : "the platform's vote";
	return choose(w, b->strategy == PIPELINE ? PIPELINE : QUICK, why);
}

int
strategy_choose(struct work *w, struct err *e)
{
	const struct conf_app *c = w->conf;
	bool pipeline = c->has_pipeline && c->n_stages > 0;
	int rv;

	if (w->t->strategy == PIPELINE && !pipeline)
		return err_set(e, RC_PERM,
		    "%s: spec.pipeline: missing, and the pipeline strategy "
		    "was asked for",
		    w->config_path);
	if (w->t->strategy != MODEL__SYNC_STRATEGY__AUTO)
		return choose(w, w->t->strategy,
		    arena_printf(w->arena, "asked for by %s",
			w->t->commander != NULL ? w->t->commander
						: "a command"));
	if (!pipeline)
		return choose(w, QUICK, "no pipeline is configured");
	if (c->always_use_pipeline)
		return choose(w, PIPELINE, "alwaysUsePipeline is set");
	if (c->v1 || is_kind(w, "KubernetesApp")) {
		if ((rv = by_message(w, e)) != 0)
			return rv == 1 ? 0 : -1;
	}
	if (is_kind(w, "TerraformApp"))
		return choose(w, PIPELINE, "a pipeline is configured");
	if (w->app->past.running[0] == '\0')
		return choose(w, QUICK, "this is the first deployment");
	return by_vote(w);
}
