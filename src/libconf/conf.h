/*
 * conf.h - configuration files as checked structs.  Every key stands once, in
 * a row of a *.def beside this file: type, default, range, meaning.  Checker,
 * effective print, JSON schema and manual are made from the rows.
 *
 * Everything read lives in the caller's arena.  Lists are arrays with a count
 * n_<name>; maps are arrays of struct conf_pair; what only a platform
 * understands stays JSON text.  Durations are milliseconds.
 */
#ifndef PIPECD_CONF_H
#define PIPECD_CONF_H

#include <stdio.h>

#include "base.h"

/*
 * Where mistakes go: every one of a file, not the first, as
 * "file:line:col: key: what, and what would be right".
 */
struct conf_report {
	struct buf *text; /* one mistake or warning per line */
	int errors, warnings;
};

/* Once its lines were shown: *e as what is left to say, and nothing twice. */
void conf_report_end(
    const struct conf_report *r, const char *name, struct err *e);

struct conf_pair {
	const char *key, *value;
};

/* --- kind: Piped --------------------------------------------------------- */

struct conf_repo {
	const char *id, *remote, *branch;
};

struct conf_target {
	const char *name;
	struct conf_pair *labels;
	size_t n_labels;
	const char *config; /* JSON object */
};

/* A platform: an entry of v1 `plugins`, or of v0 `platformProviders`. */
struct conf_plugin {
	const char *name;   /* "host"; v0: kubernetes, terraform, ... */
	const char *url;    /* NULL: built in */
	const char *sha256; /* of the executable, or NULL */
	int port;
	const char *config;	     /* JSON object */
	struct conf_target *targets; /* v0: the providers of that type */
	size_t n_targets;
};

struct conf_tool {
	const char *name, *path, *sha256;
};

struct conf_piped {
	const char *slice; /* whose part this is; NULL: the whole */
	const char *project_id, *piped_id, *api_address; /* NULL: standalone */
	const char *piped_key_file, *piped_key_data;
	const char *api_cert_file; /* NULL: the system's */
	bool api_insecure;
	const char *name, *web_address;
	const char *state_dir;
	int64_t sync_interval_ms, app_config_sync_interval_ms;
	struct {
		const char *username, *email, *ssh_config_file_path, *host,
		    *host_name, *ssh_key_file, *ssh_key_data, *password,
		    *password_file, *known_hosts_file, *ca_file;
		int64_t stall_timeout_ms, fetch_timeout_ms;
	} git;
	struct conf_repo *repositories;
	size_t n_repositories;
	bool v1; /* `plugins` is there */
	struct conf_plugin *plugins;
	size_t n_plugins;
	struct conf_pair *app_selector;
	size_t n_app_selector;
	struct {
		const char *type; /* NULL, KEY_PAIR, GCP_KMS */
		const char *private_key_file, *private_key_data;
		const char *public_key_file, *public_key_data;
		const char *key_name, *decrypt_service_account_file,
		    *encrypt_service_account_file; /* of GCP_KMS */
	} secret_management;
	int64_t max_concurrent_deployments;
	int64_t prune_limit_percent, prune_limit_min;
	int64_t journal_retention_ms, rollback_timeout_ms;
	struct conf_tool *tools;
	size_t n_tools;
	/* Parsed and checked, used by later programs, as JSON text. */
	const char *notifications, *event_watcher, *analysis_providers,
	    *chart_repositories, *chart_registries, *plan_preview;
};

/*
 * Which keys a program may see.  A slice is the effective configuration with
 * the other keys left out, in the syntax of the file: who reads it uses
 * conf_piped_read.  `slice` beside `spec` says so: what must be there in a
 * whole configuration may be missing then.  For people (WHO_ALL, and any with
 * WHO_SHOWN) secrets are shown as ******.
 */
enum conf_who {
	WHO_ALL = 0, /* everything, for -n */
	WHO_GITWATCH,
	WHO_CHECKOUT,
	WHO_PUSH,
	WHO_PLAN,
	WHO_EXEC,
	WHO_DRIFT,
	WHO_REPORT,
	WHO_PLATFORM, /* one plugin's entry, with `plugin` */
	WHO_SCRIPT,
	WHO_API, /* those of the control plane */
	WHO_STORE,
	WHO_OPS,
	WHO_SHOWN = 0x100, /* or-ed in: for people, secrets as ****** */
};

/*
 * Read a Piped config.  `name` is for messages.  0, or -1 with *e "name: 3
 * mistakes" and the report filled (warnings are reported in both cases).
 */
int conf_piped_read(struct conf_piped *c, const char *name, const char *text,
    size_t n, struct arena *a, struct conf_report *r, struct err *e);
/*
 * The same from what a program was started with: `path` from -f, or the slice
 * on descriptor 3 when path is NULL and PIPECD_CONF is in the environment.
 * Mistakes go to stderr.
 */
int conf_piped_open(
    struct conf_piped *c, const char *path, struct arena *a, struct err *e);
/* A repository's id names a directory: one component, of plain characters. */
bool conf_repo_id_safe(const char *id);
/* Append the effective config as YAML; reading that gives the same. */
void conf_piped_print(struct buf *out, const struct conf_piped *c,
    enum conf_who who, const char *plugin);

/* --- kind: ControlPlane --------------------------------------------------
 */

struct conf_control_project {
	const char *id, *desc;
	const char *admin_username, *admin_password_hash; /* NULL: none */
	const char *shared_sso_name;			  /* refused for now */
};

struct conf_webhook {	     /* who may say that something was pushed */
	const char *type;    /* GITHUB, GITLAB, GITEA, BITBUCKET */
	const char *project; /* whose agents are told; NULL: all */
	const char *secret_file, *secret_data; /* data: base64 */
};

struct conf_control {
	const char *slice;		     /* whose part this is; NULL: all */
	const char *address, *admin_address; /* host:port to listen on */
	const char *web_address; /* URL that people and agents are told */
	const char *state_dir, *state_key;
	int64_t api_processes;
	struct {
		const char *cert_file, *key_file; /* NULL: plain */
	} tls;
	struct {
		const char *type; /* LMDB */
	} datastore;
	struct {
		const char *type; /* DIR (<stateDir>/objects), S3, MINIO */
		const char *bucket, *region, *profile, *credentials_file,
		    *role_arn, *token_file; /* S3 */
		const char *endpoint, *access_key_file, *secret_key_file;
		bool auto_create_bucket; /* MINIO */
	} filestore;
	struct {
		bool applications, deployments; /* collect their numbers */
		const char *applications_at, *deployments_at; /* cron, UTC */
		int64_t chunk_max;
	} insight;
	struct { /* 0: for ever, or any number */
		int64_t deployments_ms, deployments_max; /* per application */
		int64_t logs_ms, logs_max; /* deployments with logs, the same */
		int64_t commands_ms, events_ms;
	} retention;
	struct conf_control_project *projects;
	size_t n_projects;
	struct conf_webhook *webhooks;
	size_t n_webhooks;
};

/*
 * As conf_piped_read, _open and _print.  What PipeCD's control plane has and
 * this build has not is a mistake, by name; conf_check only warns of it.
 */
int conf_control_read(struct conf_control *c, const char *name,
    const char *text, size_t n, struct arena *a, struct conf_report *r,
    struct err *e);
int conf_control_open(
    struct conf_control *c, const char *path, struct arena *a, struct err *e);
void conf_control_print(
    struct buf *out, const struct conf_control *c, enum conf_who who);
/* host:port ("[::1]:80", ":80" is every address) into its parts; -1: is none */
int conf_address(char host[256], char port[8], const char *s);
/*
 * The first minute after `after` (Unix seconds) that a cron line of five
 * fields names, in UTC: 0, or -1: no such line, or never in eight years.
 */
int conf_cron(int64_t *next, const char *line, int64_t after);

/* --- applications: every kind, v0 and v1, in one shape ---------------------
 */

struct conf_skip {
	const char **commit_message_prefixes;
	size_t n_commit_message_prefixes;
	const char **paths;
	size_t n_paths;
};

struct conf_stage {
	const char *id; /* NULL: not given */
	const char *name, *desc;
	int64_t timeout_ms; /* 0: the default of its kind (6 h) */
	const char *with;   /* JSON object, defaults filled in where known */
	struct conf_skip skip_on;
	int line; /* in the file */
};

struct conf_app_plugin {
	const char *name; /* v0 kinds: kubernetes, terraform, ... */
	/*
	 * Its part as JSON, defaults filled in: of host what is under
	 * plugins.host.input, else what is under plugins.NAME; the v0 kinds
	 * in the v1 form.
	 */
	const char *config;
};

struct conf_matcher {
	const char *name, *kind;
	struct conf_pair *labels;
	size_t n_labels;
};

struct conf_app {
	const char *kind; /* KubernetesApp ... Application */
	bool v1;	  /* kind Application */
	const char *name, *description;
	struct conf_pair *labels;
	size_t n_labels;
	const char **deploy_targets; /* ours: which of the agent's targets */
	size_t n_deploy_targets;
	bool always_use_pipeline;
	bool auto_rollback; /* v0: from input; v1: from planner */
	const char *commit_quick_sync, *commit_pipeline; /* regexes or NULL */
	bool has_pipeline;
	struct conf_stage *stages;
	size_t n_stages;
	struct {
		bool on_commit, on_command, on_out_of_sync, on_chain;
		const char **paths;
		size_t n_paths;
		const char **ignores;
		size_t n_ignores;
		int64_t min_window_ms;
	} trigger;
	struct conf_matcher *chain; /* postSync.chain.applications */
	size_t n_chain;
	int64_t timeout_ms;
	struct {
		struct conf_pair *secrets; /* name -> ciphertext */
		size_t n_secrets;
		const char **targets;
		size_t n_targets;
	} encryption;
	struct {
		struct conf_pair *sources; /* name -> path */
		size_t n_sources;
		const char **targets;
		size_t n_targets;
	} attachment;
	struct conf_app_plugin *plugins;
	size_t n_plugins;
	bool prune_confirmed; /* spec.confirm: this commit may empty the app */
	/* Parsed and checked, for later programs, as JSON text or NULL. */
	const char *notification, *event_watcher, *drift_detection;
	/*
	 * What this file asks for and this build does not do, by name: refused
	 * when a deployment is planned, not when the file is read.
	 */
	const char **refused;
	size_t n_refused;
};

int conf_app_read(struct conf_app *c, const char *name, const char *text,
    size_t n, struct arena *a, struct conf_report *r, struct err *e);

/* Any kind there is, only checked: 0 good, -1 refused. */
int conf_check(const char *name, const char *text, size_t n,
    struct conf_report *r, struct err *e);
/* `-n FILE...`: check each, mistakes to stderr; RC_OK, RC_NO or RC_PERM. */
int conf_check_main(char *const *files);
/* Whether a plugin has the name of one of PipeCD's own platforms. */
bool conf_plugin_known(const char *name);

/*
 * A v0 application file as kind Application, which PipeCD v1 and we read the
 * same from.  Comments do not survive.  -1: it is none, or has mistakes.
 */
int conf_migrate(struct buf *out, const char *name, const char *text, size_t n,
    struct err *e);

/* Whether a file of this base name is an application's config. */
bool conf_is_app_file(const char *base);

/* --- what platforms use to read their JSON ---------------------------------
 */

/*
 * Read a JSON object by the rows of a built-in platform's .def into its struct
 * (struct conf_host_app, conf_host_target, conf_terraform_app, conf_wait ...,
 * declared in confdef.h).  `what` names the struct: CONF_host_app.
 */
int conf_json_read(int what, void *out, const char *name, const char *json,
    struct arena *a, struct err *e);

/* JSON Schema (draft 2020-12) of one kind, from the rows. */
void conf_schema(FILE *out, const char *kind);
/* The manual page of a file format: "piped.yaml", "app.pipecd.yaml" ... */
void conf_manual(FILE *out, const char *page);

/* Scalars, as PipeCD reads them; -1 with no message. */
int conf_duration(int64_t *ms, const char *s); /* "1h30m"; number = ns */
int conf_percent(int *percent, const char *s);
/* "25%" of total rounded up, or a number; `dflt` for NULL. */
int conf_replicas(int64_t *n, const char *s, int64_t total, int64_t dflt);

#endif
