/*
 * plan.h - everything pipecd-plan knows: repositories and what is in them,
 * applications, and what they are about to deploy.
 */
#ifndef PIPECD_PLAN_H
#define PIPECD_PLAN_H

#include <poll.h>

#include "bus.h"
#include "conf.h"
#include "frame.h"
#include "git.h"
#include "hash.h"
#include "launch.h"

enum {
	CONFIG_MAX = 256 * 1024, /* bytes of an application's configuration */
	CONFIGS = 16,		 /* parsed ones that are kept */
	HELD_LIST = 50,		 /* lost files that a held frame names */
	REASON_MAX = 8192,	 /* bytes of mistakes in app_invalid */
	TRIES_MAX = 12,		 /* times a deployment is said unheard */
	FENCED_MS = 600000,	 /* that long after it was last said */
	VOTES = 4,		 /* platforms asked for their vote at once */
};

/* --- configurations by blob id (config.c) ---------------------------------
 */

/* One file, parsed; kept by (blob, path), a few of them. */
struct config {
	char blob[GIT_ID];
	char *path;	     /* owned; from the root, for messages */
	struct arena *arena; /* owned; what app points into */
	struct conf_app app;
	bool bad;	  /* refused; app is empty then */
	struct buf notes; /* mistakes and warnings, a line each */
	uint64_t used;	  /* when last asked for, in asks */
};

struct configs {
	struct config at[CONFIGS];
	uint64_t asks;
	uint64_t parsed; /* for the tests: how often it was not there */
};

struct repo;
/*
 * The parsed configuration at `path` of a commit: 1, valid until a few more
 * were asked for; 0 when there is no such file; -1.  A file that is refused is
 * 1 with `bad`.
 */
int config_get(struct configs *k, struct repo *r, const char *commit,
    const char *path, struct config **c, struct err *e);
void configs_free(struct configs *k);

/* --- platforms (platform.c) ------------------------------------------------
 */

/* What a plugin of the Piped config said when asked to describe itself. */
struct platform {
	const struct conf_plugin *conf;
	const Frame__Platform *says; /* NULL: not asked, or no answer */
	char *why;		     /* owned; no answer, because */
	int64_t asked_ms;
	/* While it is being asked. */
	pid_t pid; /* 0: has ended */
	int fd;	   /* of its stdout; -1: closed */
	struct buf out;
	int64_t until; /* now_ms; INT64_MAX: it is not being asked */
};

/* --- applications (apps.c) -------------------------------------------------
 */

enum app_state {
	APP_NEW,     /* found, configuration not read yet */
	APP_GOOD,    /* ours */
	APP_INVALID, /* app_invalid was said */
	APP_OTHER,   /* of another agent */
	APP_GONE,    /* exec knows it, git does not have it */
};

/* What exec said of an application; strings are owned, NULL when not said. */
struct past {
	char triggered[GIT_ID], running[GIT_ID]; /* "" : never */
	char *running_file;
	char deployment_id[UUID_LEN];
	Model__DeploymentStatus status;
	int64_t completed_at, triggered_at;
	int64_t ended_ms; /* now_ms when it ended, as far as we know */
};

/* One deployment on its way to exec, first in first planned. */
struct trigger {
	struct trigger *next;
	char deployment_id[UUID_LEN];
	char commit[GIT_ID];
	Model__TriggerKind kind;
	Model__SyncStrategy strategy;
	char *id;	   /* owned; trigger id, see uuid */
	char *commander;   /* owned; NULL: a commit */
	char *command;	   /* owned; id of the command to be answered */
	char *rollback_to; /* owned; the deployment that deployed it first */
	char *chain;	   /* owned; id of the deployment chain */
	uint32_t block;
	int64_t at;	   /* Unix seconds */
	bool announced;	   /* PENDING was said */
	bool planned;	   /* PLANNED or FAILURE was said */
	bool asking;	   /* a platform is asked first what it does */
	bool base_lost;	   /* the commit to compare with has vanished */
	struct vote *vote; /* owned; NULL: not asked for */
	/* The control plane has it so far, and exec not; or NULL. */
	Model__Deployment *resume;
	struct arena *resume_arena; /* owned; what resume points into */
	int tries;		    /* how often it was said */
	int64_t again_ms;	    /* when to say it again, now_ms */
};

struct app {
	char id[UUID_LEN];
	struct repo *repo;
	char *path, *file, *name; /* owned; name NULL: not known */
	char blob[GIT_ID];	  /* of the configuration at the head */
	char tree[GIT_ID];	  /* of the directory at the head */
	enum app_state state;
	bool on_commit, on_command, on_out_of_sync, on_chain;
	int64_t min_window_ms;
	char **patterns; /* owned, one block: paths, then ignores */
	size_t n_paths, n_ignores;
	struct past past;
	char last[GIT_ID]; /* of the last trigger by commit; "" : none */
	char running_tree[GIT_ID]; /* of the directory in what runs */
	char held[GIT_ID];	   /* commit that a safety rule stopped */
	bool changed;		   /* an app frame is due */
	bool seen;		   /* by the walk that is going on */
	bool told_gone;		   /* its disappearance was said */
	char given[UUID_LEN];	   /* the id that it is to have; "" : its own */
	bool registered;	   /* with the control plane, and enabled */
	bool disabled;		   /* registered, and not to be deployed */
	struct trigger *triggers;  /* owned */
};

/* --- repositories (index.c) ------------------------------------------------
 */

struct repo {
	const struct conf_repo *conf;
	struct git *git;   /* NULL: mirror not there yet */
	char *mirror;	   /* owned; its path */
	char head[GIT_ID]; /* last one looked at, "" : none */
	struct app **apps; /* owned list */
	size_t n_apps, cap_apps;
	size_t refresh; /* next to be said again */
	bool warned;
};

/* The resident that lays out commits for votes (vote.c). */
struct checkout {
	pid_t pid; /* 0: not running */
	int in, out;
	struct buf text;
	int64_t idle_ms; /* when to let it go, now_ms */
};

/* A file that others append to. */
struct reading {
	ino_t ino;
	off_t read; /* up to here */
};

struct plan {
	struct conf_piped conf;
	struct arena *conf_arena;
	bool filter; /* stdin to stdout, once */
	bool broken; /* our reader has gone: why */
	struct err why;
	const char *conf_path; /* from -f, or NULL: the slice */
	struct bus *bus;
	struct launcher *launcher; /* NULL: nothing was started yet */
	struct repo *repos;
	size_t n_repos;
	struct map *apps;  /* its own id -> struct app */
	struct map *given; /* an id that was given -> struct app */
	struct configs configs;
	struct platform *platforms; /* one per plugin in conf */
	size_t n_platforms;
	struct arena *platform_arena;
	struct reading past_at;	   /* apps.ndjson as it was read */
	struct map *said, *saying; /* id -> hash of what was and is said */
	struct map *commands;	   /* id -> struct answered, see command.c */
	int64_t fenced_until;	   /* trigger nothing before; 0: not at all */
	struct checkout checkout;
	struct vote *votes; /* those that are asked for */
	struct arena *work; /* reset for each application */
	const char *project_id, *piped_id;
};

/* Tell a frame; what cannot be said is an error only for a filter. */
int plan_tell(struct plan *p, const struct frame *f, struct err *e);

/* index.c */
bool is_commit(const char *s); /* 40 hex digits */
struct repo *repo_get(struct plan *p, const char *id);
/* A head frame: find what changed, trigger, plan, say. */
int repo_head(struct plan *p, const Frame__Head *h, struct err *e);
/* What is due by the clock: repeats.  Returns when to come again, now_ms. */
int64_t plan_due(struct plan *p);
void repo_free(struct plan *p, struct repo *r);

/* apps.c */
struct app *app_get(
    struct plan *p, struct repo *r, const char *path, const char *file);
void app_free(struct plan *p, struct app *a);
Model__Application *app_model(
    struct plan *p, struct app *a, const struct conf_app *c);
/* Read its configuration at the repository's head into the app. */
int app_load(struct plan *p, struct app *a, struct err *e);
/* Say app or app_invalid. */
int app_say(struct plan *p, struct app *a, struct err *e);
char *app_config_path(const struct app *a, struct arena *ar);
Model__ApplicationGitPath *app_git_path(const struct app *a, struct arena *ar);
int app_kind(const char *kind); /* of model.ApplicationKind */
/*
 * Which of a plugin's deploy targets an application goes to, by name; their
 * number, or -1 with a reason in *e.
 */
int app_targets(const struct conf_app *c, const struct conf_plugin *k,
    const char ***names, struct arena *ar, struct err *e);
/* The plugins that take part, in order: platforms of ours, by name. */
size_t app_plugins(struct plan *p, const struct conf_app *c,
    struct platform ***list, struct arena *ar);
Frame__PluginPlan *app_plugin_plan(const struct conf_app *c,
    const struct conf_app *running, const struct conf_plugin *k,
    struct arena *ar);

/* register.c: with a control plane, what that knows */
struct app *app_by_id(const struct plan *p, const char *id);
/* Whether what is found in git is to be deployed. */
bool app_deploys(const struct plan *p, const struct app *a);
/* And now, that is: no newer agent has taken our place. */
bool app_triggers(const struct plan *p, const struct app *a);
/* It gets the id it was given once nothing of it is under way. */
void app_adopt(struct plan *p, struct app *a);
void app_give(struct plan *p, struct app *a, const char *id);
int app_register(struct plan *p, const Frame__App *f, struct err *e);
int resume_take(struct plan *p, const Frame__Resume *f, struct err *e);
/* For a filter, at the end of its input: what nobody registered. */
void unregistered_warn(const struct plan *p);

/* said.c: what an earlier run of a pipe said is said again, but is no news */
void said_open(struct plan *p);
bool said_before(struct plan *p, const char *id, const char *text);
void said_close(struct plan *p);

/* past.c */
/* What is new in a file of frames below the state directory. */
int lines_load(struct plan *p, const char *name, struct reading *at,
    int (*take)(struct plan *, const struct frame *, struct err *),
    struct err *e);
/* Read what is new in apps.ndjson. */
int past_load(struct plan *p, struct err *e);
int past_take(struct plan *p, const Frame__Past *f, struct err *e);
/* PLANNED or under way: what runs may be another commit when it has ended. */
bool past_unfinished(const struct past *h);

/* trigger.c */
/*
 * What one look at a repository shares: the commits that are compared with the
 * head, each diffed at most once.
 */
struct base;
struct pass {
	struct repo *repo;
	const char *head;
	struct map *bases; /* commit -> struct base */
	struct arena *arena;
};
void pass_open(struct pass *s, struct repo *r, const char *head);
void pass_close(struct pass *s);
/* Apply onCommit to one application; may append a trigger. */
int trigger_commit(
    struct plan *p, struct pass *s, struct app *a, struct err *e);
void trigger_held(struct plan *p, struct app *a);
int trigger_out_of_sync(
    struct plan *p, const Frame__AppState *f, struct err *e);
struct trigger *trigger_new(struct app *a, Model__TriggerKind kind,
    const char *commit, const char *trigger_id);
void trigger_add(struct plan *p, struct app *a, struct trigger *t);
void trigger_free(struct plan *p, struct trigger *t);
/* Every path that differs between two commits; kept for the pass. */
int pass_changed(struct pass *s, const char *from, const char *to,
    const char *const **paths, size_t *n, struct err *e);

/* Those that waited for a platform to say what it does are due. */
void triggers_wake(struct plan *p);

/* command.c */
int command_take(struct plan *p, const Frame__Command *f, struct err *e);
/*
 * What exec left for the next run of a pipe: the next block of a chain, in
 * commands.ndjson of the state directory.
 */
int commands_load(struct plan *p, struct err *e);
void commands_free(struct plan *p);
int command_answer(struct plan *p, const char *id, const char *deployment,
    const char *reason, struct err *e);

/* deploy.c */
/*
 * Say the first trigger of an application, as far as it can be: PENDING, and
 * PLANNED when nothing of the application is unfinished.
 */
int deploy_next(struct plan *p, struct pass *s, struct app *a, struct err *e);

/* What the platforms of a deployment said to `plan`. */
struct ballot {
	int votes;
	Model__SyncStrategy strategy; /* AUTO: nobody has an opinion */
	const char *summary;
	Model__ArtifactVersion **versions;
	size_t n_versions;
	const char *why; /* there is none, because */
};

/* What planning one deployment works on. */
struct work {
	struct plan *p;
	struct pass *pass;
	struct app *app;
	struct trigger *t;
	struct arena *arena;
	struct git_commit_info commit;
	const struct conf_app *conf;	/* at the target */
	const struct conf_app *running; /* at the running commit, or NULL */
	bool running_lost;		/* that commit has vanished */
	bool asking; /* a platform needed now is asked what it does */
	const char *config_path;
	struct platform **plugins;
	size_t n_plugins;
	Frame__Plan plan;
	Model__Deployment model;
	/* Stages so far. */
	Model__PipelineStage **stages;
	Frame__StagePlan **steps;
	size_t n_stages, cap_stages;
	const struct ballot *ballot; /* NULL: nobody votes */
	Model__SyncStrategy strategy;
	const char *summary;
};

/* strategy.c */
/*
 * Quick or pipeline, and why; -1 with *e is a planning failure.
 */
int strategy_choose(struct work *w, struct err *e);
/* Whether a regular expression as in Go's RE2 matches: 1, 0, -1. */
int regex_match(const char *re, const char *text, struct err *e);

/* stages.c */
int stages_quick(struct work *w, struct err *e);
int stages_pipeline(struct work *w, struct err *e);
int stages_rollback(struct work *w, struct err *e);

/* held.c */
/*
 * Whether the application loses more of its files than pruneLimit allows: 1
 * when held (and said), 0, -1.
 */
int held_check(struct work *w, struct err *e);

/* vote.c */
/*
 * What the platforms that vote say to this change: 1, *b may be NULL; 0 when
 * the answer is under way and the deployment will be due again; -1.
 */
int vote_ask(struct work *w, const struct ballot **b, struct err *e);
void vote_free(struct plan *p, struct vote *v);
/* For the loop: descriptors to poll, VOTES + 1 at most; then a step. */
size_t votes_poll(const struct plan *p, struct pollfd *pfd);
int64_t votes_step(struct plan *p); /* when to come again, now_ms */
bool votes_pending(const struct plan *p);
void votes_close(struct plan *p);

/* platform.c */
int platforms_open(struct plan *p);
void platforms_close(struct plan *p);
/*
 * Its answer to describe, asked for at the first use; NULL with *e.  While a
 * daemon is still asking, w->asking is set: the deployment is to come again.
 */
const Frame__Platform *platform_ask(
    struct work *w, struct platform *k, struct err *e);
/* For the loop: one descriptor per platform at most; children; a step. */
size_t platforms_poll(const struct plan *p, struct pollfd *pfd);
void platforms_reap(struct plan *p);
int64_t platforms_step(struct plan *p); /* when to come again, now_ms */
struct platform *platform_get(struct plan *p, const char *name);
/* Who runs a stage of that name: 1, 0 when nobody, -1 (cannot be asked). */
int platform_of_stage(struct work *w, const char *stage,
    struct platform **owner, const char **program, struct err *e);
int launcher_get(struct plan *p, struct err *e);
const Frame__StageDef *platform_stage(
    const Frame__Platform *k, bool rollback, bool quick);

#endif
