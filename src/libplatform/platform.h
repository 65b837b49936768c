/*
 * platform.h - what a program under src/pipecd-exec/ is made of: a table of
 * verbs.  platform_main owns options, config, the lock, frames and signals;
 * the program does one stage at a time and says how it went.
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
	const struct conf_piped *conf;	  /* our slice */
	const struct conf_plugin *plugin; /* our entry in it */
	/* The one that this verb got, others NULL. */
	const Frame__StageStart *stage;
	const Frame__RenderStart *render;
	const Frame__PlanStart *plan;
	const Frame__LiveStart *live;
};

struct platform {
	const char *name;
	const struct stage_def *stages; /* ends with a NULL name */
	bool votes;
	const char *const *config_keys;
	const char *app_kind;
	/*
	 * A stage's end is stage_done(): 0 when it was said, whatever it was;
	 * -1 with *e becomes FAILURE with that reason.
	 */
	int (*stage)(struct run *r, struct err *e);
	int (*render)(struct run *r, struct err *e);
	int (*plan)(struct run *r, struct err *e);
	int (*live)(struct run *r, struct err *e); /* once per live_start */
	int (*preview)(struct run *r, struct err *e);
};

/* Parse options and verb, run it, answer in frames; exits with an RC_ code. */
int platform_main(int argc, char *argv[], const struct platform *p);

/* What a stage says while it runs. */
void stage_log(struct run *r, const char *severity, const char *fmt, ...)
    PRINTF(3, 4);
void stage_meta(struct run *r, const char *key, const char *value, bool shared);
int stage_done(struct run *r, Model__StageStatus status, const char *fmt, ...)
    PRINTF(3, 4);

/*
 * True once SIGTERM came (cancel): a stage asks at every point where it can
 * stop with nothing half done, and then ends as CANCELLED.
 */
bool stage_cancelled(void);
/* Sleep that a cancel ends; false when cancelled. */
bool stage_sleep(int64_t ms);

const struct conf_target *run_target(const struct run *r, const char *name);

#endif
