/* read.h - what the files of the reader share. */
#ifndef PIPECD_CONF_READ_H
#define PIPECD_CONF_READ_H

#include "rows.h"

const char *node_kind(const struct node *n); /* "a list" */
/* The key of this object that is written almost so, or NULL. */
const char *near_key(const struct object *o, const char *name, bool v1);
/* A key that only the other form has: said, with what to do. */
void other_form(struct reader *r, const struct object *o, const struct key *k,
    const struct node *n, const struct path *at);
/* A path to a secret: others should not be able to read it. */
void secret_file(struct reader *r, const struct node *n, const struct path *at);
/* conf_duration, and "30d" with days. */
int conf_duration_days(int64_t *ms, const char *s, bool days);

/* Whether a map has this key, and it is not "". */
bool given(const struct node *map, const char *key);
/* Keys beside apiVersion, kind and spec. */
void envelope_keys(struct reader *r, const struct envelope *v);
/* What apps and checks read a kind of application by; OBJ_none: no such kind */
int app_object(const char *kind);
void app_spec(struct reader *r, struct conf_app *c, const struct envelope *v);
void piped_spec(
    struct reader *r, struct conf_piped *c, const struct envelope *v);
void control_spec(
    struct reader *r, struct conf_control *c, const struct envelope *v);
/*
 * The text that a program was started with: a file, or the slice on descriptor
 * 3 when path is NULL; *name is for messages.
 */
int conf_text(struct buf *text, const char **name, const char *path,
    const char *example, struct err *e);

/* A stage that there is; plugin NULL: this build does not run it. */
struct stage_row {
	const char *name;
	int options;	/* OBJ_ of its `with` */
	unsigned forms; /* V0, V1: which may have it in a pipeline */
	const char *plugin;
};
const struct stage_row *stage_rows_get(size_t i); /* NULL: no more */

/* A platform's name in both forms, and OBJ_ of its targets' config. */
struct provider_type {
	const char *type, *plugin;
	int target;
};
const struct provider_type *provider_types_get(size_t i); /* NULL: no more */
/* A plugin's type among platformProviders. */
const char *provider_type(const char *plugin);
/* OBJ_ of what a built-in plugin's targets have as config. */
int target_object(const char *plugin);

/* The platform of a v0 kind; NULL for Application and what is no kind. */
const char *app_plugin(const char *kind);
/* OBJ_ of what a v0 kind has of its own. */
int app_own(const char *kind);
/* Every kind there is, NULL at the end; OBJ_ of one's spec. */
extern const char *const conf_kinds[];
int conf_kind_object(const char *kind);

#define RULE(name) \
	void name(struct reader *r, const struct node *n, void *base, \
	    const struct path *at)
RULE(rule_health);
RULE(rule_host_app);
RULE(rule_terraform);
RULE(rule_host_target);
RULE(rule_tool);
RULE(rule_approval);
RULE(rule_metric);
RULE(rule_stage);
RULE(rule_matcher);
RULE(rule_chain);
RULE(rule_encryption);
RULE(rule_attachment);
RULE(rule_mention);
RULE(rule_drift);
RULE(rule_replacement);
RULE(rule_watched);
RULE(rule_git);
RULE(rule_plugin);
RULE(rule_provider);
RULE(rule_chart_repository);
RULE(rule_datadog);
RULE(rule_analysis_provider);
RULE(rule_slack);
RULE(rule_secrets);
RULE(rule_watcher);
RULE(rule_piped);
RULE(rule_datastore);
RULE(rule_filestore);
RULE(rule_control);
RULE(rule_control_project);
RULE(rule_static_admin);
RULE(rule_shared_sso);
RULE(rule_insight);
RULE(rule_webhook);

#endif
