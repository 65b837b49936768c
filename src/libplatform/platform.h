/*
 * platform.h - what a program under src/pipecd-exec/ is made of: a table of
 * verbs.  platform_main owns options, config, the lock, frames and signals;
 * the program does one stage at a time and says how it went.
 *
 * The contract, for a platform in any language (share/examples/platforms has
 * one in ten lines of shell):
 *
 *	pipecd-exec-NAME [-v] [-f config] VERB
 *
 * One frame per line; requests on 0, answers on 1, a log for people on 2, the
 * platform's slice of the Piped config on 3 where PIPECD_CONF is set, and on 6
 * the lock of the stage: it stays open, in every child too, until all is over.
 *
 *	describe	nothing -> platform
 *	stage		one stage_start -> stage_log, stage_meta, held ...,
 *			exactly one stage_done
 *	render		render_start ... -> object ...
 *	plan		plan_start ... -> vote
 *	preview		plan_start ... -> preview, one per deploy target
 *	live		live_start ... -> live, app_state
 *
 * All but `describe` and `stage` take any number of requests, until the end of
 * input.  A request with an `id` is closed by ok or err whose `re` is that id;
 * one without an id only by err, when it failed.  Every answer carries the
 *`re`. SIGTERM gives a stage up (CANCELLED when nothing is half done); SIGKILL
 * comes at deadline_ms.  The stage_done decides; an end without one is a
 * failure.  A platform whose `describe` says `resident` is started once: it
 * reads stage_start and stage_cancel until the end of input, runs the stages
 * side by side, and names deployment_id and stage_id in each answer.
 */
#ifndef PIPECD_PLATFORM_H
#define PIPECD_PLATFORM_H

#include "conf.h"
#include "frame.h"

struct stage_def {
	const char *name, *desc;
	bool rollback; /* exec starts it after a failure */
	bool quick;    /* it is the quick sync */
};

/* One invocation of a verb, owned by platform_main. */
struct run {
	struct arena *arena;		  /* freed when the verb returns */
	int out;			  /* frames for whoever started us */
	const struct conf_piped *conf;	  /* our slice; NULL: none was given */
	const struct conf_plugin *plugin; /* our entry in it, or NULL */
	const char *re;			  /* of what we answer, or NULL */
	/* The one that this verb got, others NULL. */
	const Frame__StageStart *stage;
	const Frame__RenderStart *render;
	const Frame__PlanStart *plan;
	const Frame__LiveStart *live;
	/* Values that come out as *** in logs and reasons (text_mask). */
	const char *const *secrets;
	size_t n_secrets;
	/*
	 * Of a platform that says when it begins to change something, with
	 * stage_touches: it has not yet.  A stage that ends like this needs no
	 * rollback.
	 */
	bool untouched;
	/* platform_main's own. */
	const struct platform *platform;
	int64_t began_ms;
	int64_t until_ms; /* now_ms of the stage's deadline; 0: none */
	size_t logged;	  /* bytes of command output sent as stage_log */
	bool done;	  /* stage_done was said */
	bool ok;	  /* and it was no failure */
	bool gone;	  /* nobody reads our answers any more */
	int hold[2];	  /* of the directories that it works in */
};

struct platform {
	const char *name;
	const struct stage_def *stages; /* ends with a NULL name */
	bool votes;
	bool touches;			/* its stages call stage_touches */
	const char *const *config_keys; /* NULL-terminated, or NULL */
	const char *app_kind;
	/* The key of patterns that select what is deployed, or NULL: all. */
	const char *files_key;
	/* live looks at the source itself: it gets root and dir, no objects. */
	bool live_source;
	int64_t live_every_ms; /* how often to look; 0: each syncInterval */
	/*
	 * A stage's end is stage_done(): 0 when it was said, whatever it was;
	 * -1 with *e becomes FAILURE with that reason.
	 */
	int (*stage)(struct run *r, struct err *e);
	/* Of the same files and config the same objects, at any commit. */
	int (*render)(struct run *r, struct err *e);
	int (*plan)(struct run *r, struct err *e);
	int (*live)(struct run *r, struct err *e); /* once per live_start */
	int (*preview)(struct run *r, struct err *e);
	/* Before the first request of any verb but describe, or NULL. */
	int (*open)(
	    const char *verb, const struct conf_piped *c, struct err *e);
	/* After the last one, or NULL. */
	void (*close)(void);
};

/* Parse options and verb, run it, answer in frames; returns an RC_ code. */
int platform_main(int argc, char *argv[], const struct platform *p);

/* Send one frame as an answer (`re` is filled in). */
void run_say(struct run *r, const struct frame *f);

/* From here on the stage changes what runs: what failed has to be undone. */
void stage_touches(struct run *r);

/* What a stage says while it runs. */
void stage_log(struct run *r, const char *severity, const char *fmt, ...)
    PRINTF(3, 4);
void stage_meta(struct run *r, const char *key, const char *value, bool shared);
int stage_done(struct run *r, Model__StageStatus status, const char *fmt, ...)
    PRINTF(3, 4);
/* The failed end of a rollback: a person has to look; reason says at what. */
int stage_needs_human(struct run *r, const char *fmt, ...) PRINTF(2, 3);
/* A safety rule stopped it: says held, then FAILURE with the same reason. */
int stage_held(struct run *r, const char *reason, char **objects, size_t n,
    const char *confirm);
/*
 * Whether spec.confirm is set in the commit's own config: it may take away
 * more than the safety rules allow.
 */
bool stage_confirmed(const struct run *r);
/* What earlier stages of this deployment kept with stage_meta(shared). */
const char *stage_meta_get(const struct run *r, const char *key);

/*
 * True once SIGTERM came (cancel), or nobody listens any more: a stage asks at
 * every point where it can stop with nothing half done, and then ends as
 * CANCELLED.
 */
bool stage_cancelled(struct run *r);
/* Sleep that a cancel ends; false when cancelled. */
bool stage_sleep(struct run *r, int64_t ms);
/* Milliseconds until the stage's deadline, at most `most`. */
int64_t stage_left(const struct run *r, int64_t most);

/* The deploy target of that name; NULL with *e set when there is none. */
const struct conf_target *run_target(
    const struct run *r, const char *name, struct err *e);

/* An environment being built, in an arena; NULL-terminated at `v`. */
struct env {
	const char **v;
	size_t n, cap;
};
/* PATH, HOME, USER, LOGNAME, LANG, TZ, TMPDIR as we have them, no more. */
void env_init(struct env *env, struct arena *a);
void env_put(struct env *env, struct arena *a, const char *key, const char *v);

/*
 * A child of a stage.  It shares our process group, so that whoever kills us
 * kills it, and holds the lock.  Its lines become stage_log as they come.
 * A cancel (or the timeout) sends stop_signal to it and all below it, and
 * SIGKILL after grace_ms.
 */
struct command {
	const char *const *argv;
	const char *const *env; /* NULL: as env_init */
	const char *dir;
	int64_t timeout_ms; /* 0: the stage's deadline */
	int64_t grace_ms;   /* 0: 10 s */
	int stop_signal;    /* 0: SIGTERM */
	bool own_group;	    /* outlives our kill: it must end by itself */
	bool quiet;	    /* no stage_log */
	bool keep_daemons;  /* what it left behind in a session of its own */
	/* Called for each line (err: of stderr), beside stage_log. */
	void (*line)(void *arg, bool err, const char *line);
	void *arg;
	struct buf *tail; /* the last lines of both outputs, or NULL */
	struct buf *out;  /* all of stdout, which then is not logged, or NULL */
	size_t max_out;
};
enum {
	CMD_CANCELLED = -2,
	CMD_TIMEOUT = -3
};
/* Exit code, 128 + signal, CMD_..., or -1 with *e set: it cannot start. */
int run_command(struct run *r, const struct command *c, struct err *e);

/* Remember a value (borrowed) that is never to be said. */
void run_secret(struct run *r, const char *value);
/* Replace each of r->secrets by ***; returns s or a copy in the arena. */
const char *text_mask(const struct run *r, struct arena *a, const char *s);
/* Replace what is not UTF-8 and NUL; returns s or a copy in the arena. */
const char *text_clean(struct arena *a, const char *s, size_t n);

#endif
