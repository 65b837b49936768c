#include "read.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/*
 * What rows cannot say: rules over several keys of one object.  `base` is the
 * struct when there is one; rules that only look use the nodes.
 */

void
secret_file(struct reader *r, const struct node *n, const struct path *at)
{
	struct stat st;

	if (n->text[0] == '/' && stat(n->text, &st) == 0 &&
	    S_ISREG(st.st_mode) && (st.st_mode & 077) != 0)
		warning(r, n, at,
		    "%s: others may read it (mode %04o); chmod 600 it", n->text,
		    (unsigned)st.st_mode & 07777);
}

bool
given(const struct node *map, const char *key)
{
	const struct node *n = key_value(map, key);

	return n != NULL && !(n->type == NODE_STRING && n->n == 0);
}

/* How many of these two are there; both is a mistake, and none when needed. */
static void
one_of(struct reader *r, const struct node *n, const struct path *at,
    const char *a, const char *b, bool needed)
{
	bool x = given(n, a), y = given(n, b);

	if (x && y)
		mistake(r, key_value(n, b), at,
		    "%s and %s are both there; leave one out", a, b);
	else if (needed && !x && !y)
		mistake(r, n, at, "%s or %s: missing", a, b);
}

RULE(rule_health)
{
	(void)base;
	one_of(r, n, at, "http", "command", true);
}

RULE(rule_host_app)
{
	const struct node *l = key_value(n, "files"), *i;
	struct path p = { .up = at, .name = "files" }, one = { .up = &p };
	const char *s;

	(void)base;
	if (l == NULL || l->type != NODE_SEQ)
		return;
	for (i = l->first; i != NULL; i = i->next, one.index++) {
		if (i->type != NODE_STRING)
			continue;
		s = i->text + (i->text[0] == '!');
		if (s[0] == '/' || str_prefix(s, "../") ||
		    strstr(s, "/../") != NULL)
			mistake(r, i, &one,
			    "\"%.60s\" leaves the application's directory",
			    i->text);
	}
}

RULE(rule_terraform)
{
	struct path p = { .up = at, .name = "input" };

	(void)base;
	if (r->v1 && given(n, "input"))
		warning(r, key_value(n, "input"), &p,
		    "kind Application has these keys directly under "
		    "plugins.terraform");
}

RULE(rule_approval)
{
	const struct conf_wait_approval *c = base;

	if (c != NULL && c->n_approvers > 0 &&
	    c->min_approver_num > (int64_t)c->n_approvers)
		warning(r, n, at,
		    "minApproverNum is %lld, and there are only %zu approvers",
		    (long long)c->min_approver_num, c->n_approvers);
}

RULE(rule_metric)
{
	const struct node *t = key_value(n, "template");
	static const char *const need[] = { "provider", "query", "interval" };
	struct path p = { .up = at };
	size_t i;

	(void)base;
	if (given(t, "name"))
		return;
	for (i = 0; i < NITEMS(need); i++) {
		p.name = need[i];
		if (!given(n, need[i]))
			mistake(r, n, &p, "missing");
	}
}

RULE(rule_matcher)
{
	const struct node *l = key_value(n, "labels");

	(void)base;
	if (!given(n, "name") && !given(n, "kind") && (l == NULL || l->n == 0))
		mistake(r, n, at, "name, kind or labels: missing");
}

RULE(rule_chain)
{
	const struct node *l = key_value(n, "applications");
	struct path p = { .up = at, .name = "applications" };

	(void)base;
	if (l == NULL || l->n == 0)
		mistake(r, n, &p, "missing: at least one application");
}

/* A map of texts, none empty, and the list that must come with it. */
static void
sources(struct reader *r, const struct node *n, const struct path *at,
    const char *map, const char *list)
{
	const struct node *m = key_value(n, map), *l = key_value(n, list), *i;
	struct path p = { .up = at, .name = map }, one = { .up = &p };

	if (m == NULL || m->type != NODE_MAP)
		return;
	for (i = m->first; i != NULL; i = i->next->next) {
		one.name = i->text;
		if (i->n == 0)
			mistake(r, i, &p, "a name is empty");
		if (i->next->type == NODE_NULL ||
		    (i->next->type == NODE_STRING && i->next->n == 0))
			mistake(r, i->next, &one, "empty");
	}
	p.name = list;
	if (m->n > 0 && (l == NULL || l->n == 0))
		mistake(r, n, &p, "missing: the files that use %s", map);
}

RULE(rule_encryption)
{
	(void)base;
	sources(r, n, at, "encryptedSecrets", "decryptionTargets");
}

RULE(rule_attachment)
{
	(void)base;
	sources(r, n, at, "sources", "targets");
}

RULE(rule_mention)
{
	static const char *const events[] = { "DEPLOYMENT_TRIGGERED",
		"DEPLOYMENT_PLANNED", "DEPLOYMENT_APPROVED",
		"DEPLOYMENT_ROLLING_BACK", "DEPLOYMENT_SUCCEEDED",
		"DEPLOYMENT_FAILED", "DEPLOYMENT_CANCELLED",
		"DEPLOYMENT_WAIT_APPROVAL", "DEPLOYMENT_TRIGGER_FAILED",
		"DEPLOYMENT_STARTED", "APPLICATION_SYNCED",
		"APPLICATION_OUT_OF_SYNC", "APPLICATION_HEALTHY",
		"APPLICATION_UNHEALTHY", "PIPED_STARTED", "PIPED_STOPPED",
		"STAGE_STARTED", "STAGE_SKIPPED", "STAGE_SUCCEEDED",
		"STAGE_FAILED", "STAGE_CANCELLED", "*" };
	const struct node *v = key_value(n, "event");
	struct path p = { .up = at, .name = "event" };
	size_t i;

	(void)base;
	if (v != NULL && v->type != NODE_STRING)
		return;
	for (i = 0; v != NULL && i < NITEMS(events); i++) {
		if (strcmp(events[i], v->text) == 0)
			return;
	}
	mistake(r, v != NULL ? v : n, &p, "\"%.40s\" is no event; there is %s",
	    v != NULL ? v->text : "", "DEPLOYMENT_SUCCEEDED, ... and *");
}

RULE(rule_drift)
{
	const struct node *l = key_value(n, "ignoreFields"), *i;
	struct path p = { .up = at, .name = "ignoreFields" },
		    one = { .up = &p };
	const char *hash;

	(void)base;
	if (l == NULL || l->type != NODE_SEQ)
		return;
	for (i = l->first; i != NULL; i = i->next, one.index++) {
		if (i->type != NODE_STRING)
			continue;
		hash = strchr(i->text, '#');
		if (hash == NULL || strchr(hash + 1, '#') != NULL)
			mistake(r, i, &one,
			    "\"%.60s\" is not "
			    "apiVersion:kind:namespace:name#field.path",
			    i->text);
	}
}

RULE(rule_replacement)
{
	int k = given(n, "yamlField") + given(n, "jsonField") +
		given(n, "HCLField") + given(n, "regex");

	(void)base;
	/* PipeCD lets two pass, by mistake; so do we. */
	if (k == 0)
		mistake(r, n, at,
		    "yamlField, jsonField, HCLField or regex: missing");
	else if (k > 2)
		mistake(r, n, at,
		    "takes one of yamlField, jsonField, HCLField and regex");
	else if (k == 2)
		warning(r, n, at,
		    "takes one of yamlField, jsonField, HCLField and regex");
}

RULE(rule_watched)
{
	const struct node *l = key_value(n, "replacements");
	struct path p = { .up = at, .name = "replacements" };

	(void)base;
	if (l == NULL || l->n == 0)
		mistake(r, n, &p, "missing: at least one");
}

RULE(rule_git)
{
	struct path p = { .up = at, .name = "password" };
	bool password = given(n, "password") || given(n, "passwordFile");

	(void)base;
	one_of(r, n, at, "sshKeyFile", "sshKeyData", false);
	one_of(r, n, at, "password", "passwordFile", false);
	if (password && (given(n, "sshKeyFile") || given(n, "sshKeyData")))
		mistake(r, n, at,
		    "a password and an ssh key are both there; leave one out");
	if (password && !given(n, "username"))
		mistake(r, n, &p, "needs username");
}

RULE(rule_chart_repository)
{
	const struct node *t = key_value(n, "type");

	(void)base;
	if (t != NULL && t->type == NODE_STRING &&
	    strcmp(t->text, "GIT") == 0) {
		if (!given(n, "gitRemote"))
			mistake(r, n, at, "gitRemote: missing, for type GIT");
		return;
	}
	if (!given(n, "name") || !given(n, "address"))
		mistake(r, n, at, "name and address: missing, for type HTTP");
}

RULE(rule_datadog)
{
	(void)base;
	one_of(r, n, at, "apiKeyFile", "apiKeyData", true);
	one_of(r, n, at, "applicationKeyFile", "applicationKeyData", true);
}

/* Check `config` by what `type` names. */
static void
config_by_type(struct reader *r, const struct node *n, const struct path *at,
    const char *const *names, const int *objs, size_t k)
{
	const struct node *t = key_value(n, "type"),
			  *c = key_value(n, "config");
	struct path p = { .up = at, .name = "config" };
	struct node none = *n;
	size_t i;

	if (t == NULL || t->type != NODE_STRING)
		return;
	if (c == NULL) {
		none.type = NODE_MAP;
		none.n = 0;
		none.first = NULL;
		c = &none;
	}
	for (i = 0; i < k; i++) {
		if (strcmp(t->text, names[i]) == 0)
			read_object(r, &objects[objs[i]], c, NULL, &p);
	}
}

RULE(rule_analysis_provider)
{
	static const char *const names[] = { "PROMETHEUS", "DATADOG",
		"STACKDRIVER" };
	static const int objs[] = { OBJ_prometheus, OBJ_datadog,
		OBJ_stackdriver };

	(void)base;
	config_by_type(r, n, at, names, objs, NITEMS(objs));
}

RULE(rule_slack)
{
	int tokens = given(n, "oauthToken") + given(n, "oauthTokenData") +
		     given(n, "oauthTokenFile");

	(void)base;
	if (given(n, "hookURL")) {
		if (tokens > 0 || given(n, "channelID"))
			mistake(r, n, at,
			    "hookURL and a token are both there; leave one "
			    "out");
		return;
	}
	if (tokens > 1)
		mistake(r, n, at,
		    "takes one of oauthToken, oauthTokenData and "
		    "oauthTokenFile");
	if (tokens == 0)
		mistake(r, n, at,
		    "hookURL, or oauthTokenFile and channelID: "
		    "missing");
	else if (!given(n, "channelID"))
		mistake(r, n, at, "channelID: missing, for a token");
}

RULE(rule_secrets)
{
	const struct node *t = key_value(n, "type"),
			  *c = key_value(n, "config");
	struct path p = { .up = at, .name = "config" };
	struct node none = *n;

	(void)base;
	if (r->slice || t == NULL || t->type != NODE_STRING ||
	    strcmp(t->text, "KEY_PAIR") != 0)
		return;
	if (c == NULL) {
		none.first = NULL;
		c = &none;
	}
	one_of(r, c, &p, "privateKeyFile", "privateKeyData", true);
	one_of(r, c, &p, "publicKeyFile", "publicKeyData", true);
}

RULE(rule_watcher)
{
	const struct node *l = key_value(n, "gitRepos"), *i, *j, *x, *y;
	struct path p = { .up = at, .name = "gitRepos" }, one = { .up = &p };

	(void)base;
	if (l == NULL || l->type != NODE_SEQ || l->n > 1000)
		return;
	for (i = l->first; i != NULL; i = i->next, one.index++) {
		x = key_value(i, "repoId");
		for (j = l->first; x != NULL && j != i; j = j->next) {
			y = key_value(j, "repoId");
			if (y != NULL && x->type == NODE_STRING &&
			    y->type == NODE_STRING &&
			    strcmp(x->text, y->text) == 0) {
				mistake(r, x, &one,
				    "repoId %.40s is there "
				    "twice",
				    x->text);
				break;
			}
		}
	}
}
