/*
 * drift.h - which applications there are, when each is looked at next, and
 * what is under way: jobs, one for each application and platform, that go
 * through checkout, render and live in processes which serve many of them.
 */
#ifndef PIPECD_DRIFT_H
#define PIPECD_DRIFT_H

#include <sys/queue.h>

#include "bus.h"
#include "conf.h"
#include "frame.h"
#include "launch.h"

enum {
	COMMIT_LEN = 65,     /* hex digits of an object id, and NUL */
	RENDER_WINDOW = 4,   /* jobs given to one process at a time */
	LIVE_WINDOW = 32,    /* they are answered in order, or not */
	LIVE_PROCS = 2,	     /* of a platform that looks at sources */
	TREES_MAX = 8,	     /* checkouts held at a time */
	SILENCE_MS = 10000,  /* no answer for so long, or an interval: killed */
	HEARD_MS = 1000,     /* after a state, an ok is not waited for */
	KILL_MS = 3000,	     /* from SIGTERM to SIGKILL */
	QUIET_MS = 1000,     /* after the last change of a deployment */
	HOLD_MS = 30000,     /* that wait, at most */
	REFRESH_MS = 600000, /* a state is said again */
	OBJECTS_MAX = 16 << 20, /* bytes of object frames of one application */
	REASON_MAX = 32 << 10,
	RETRY_MS = 60000, /* a platform that cannot say what it is */
};

enum verb {
	VERB_CHECKOUT,
	VERB_DESCRIBE,
	VERB_RENDER,
	VERB_LIVE,
	VERB__N
};

struct app;
struct platform;
struct proc;

TAILQ_HEAD(jobs, job);

/* One application on one platform, being looked at. */
struct job {
	TAILQ_ENTRY(job) next; /* in a queue, or in a process's list */
	struct app *app;
	struct platform *k;
	size_t part;	  /* its place in the app frame's plugins */
	char id[24];	  /* of the ask under way */
	char *root, *dir; /* owned: the checkout, NULL: none */
	char *out_dir;	  /* owned: of a render under way */
	struct buf objects;
	bool rendered;	  /* the objects are in their file */
	bool alone;	  /* from nothing but the application's directory */
	bool heard;	  /* the platform has said a state */
	bool heard_again; /* and then, too */
	bool shown;	  /* it differs: looked at again beside its source */
	bool over;
	int tries;
	/* What it comes to. */
	Model__ApplicationSyncStatus status;
	size_t n_targets; /* that have that status */
	struct buf brief, reason;
	struct buf changed; /* keys, one per line */
};

struct app {
	char *id;
	char *line; /* owned: its app frame as it came; NULL: none yet */
	size_t len;
	char commit[COMMIT_LEN];
	char inputs[COMMIT_LEN]; /* of its directory and configuration, or "" */
	bool alone; /* when last rendered, they were all that was read */
	bool auto_sync, gone;
	char *invalid;	     /* owned: INVALID_CONFIG and why; NULL */
	char *deployment_id; /* owned: the latest */
	bool deploying;
	unsigned gen; /* grows when an answer under way becomes stale */
	unsigned job_gen;
	int64_t due_ms;	  /* INT64_MAX: not by the clock */
	struct job *jobs; /* owned; NULL: nothing under way */
	size_t n_jobs, n_over;
	/* What was said last. */
	bool said;
	Model__ApplicationSyncStatus status;
	uint64_t words; /* a hash of its reasons */
	int64_t said_ms;
	struct lived *lived; /* owned: of each platform and target */
	size_t n_lived;
};

/* The live frame that was said last: a hash of where, and of what. */
struct lived {
	uint64_t where, what;
	int64_t said_ms;
};

/* A platform, by its name in the config. */
struct platform {
	char *name;
	bool known;	  /* it has described itself */
	bool source;	  /* live wants the checkout, objects are not enough */
	int64_t every_ms; /* how often to look */
	char *broken;	  /* owned: why it could not describe itself */
	int64_t retry_ms;
	struct jobs queue[VERB__N];
	int n_procs[VERB__N];
	size_t n_jobs; /* under way */
};

/* A process that was started, and the jobs it has in hand. */
struct proc {
	struct proc *next;
	enum verb verb;
	struct platform *k; /* NULL: checkout */
	pid_t pid;
	int in, out; /* -1: closed */
	struct buf send, recv;
	struct jobs jobs; /* asked and not answered, oldest first */
	size_t n_jobs, n_answered;
	int64_t heard_ms; /* its last answer, or the ask it had to answer */
	int64_t term_ms;  /* SIGTERM was sent; 0: not */
	bool killed, exited;
	bool closing; /* its input ends, or has: it gets no more */
	int status;
	char why[96]; /* we ended it */
};

struct drift {
	const struct conf_piped *conf;
	struct bus *bus;
	struct launcher *launcher;
	struct arena *work; /* of the frame in hand */
	struct map *apps, *platforms;
	struct proc *procs; /* new ones last */
	struct jobs trees;  /* jobs that wait for a checkout */
	size_t n_trees;	    /* checkouts held or asked for */
	size_t n_jobs;	    /* under way, over all applications */
	char *objects_dir, *work_dir;
	int64_t due_ms;		  /* the earliest of all applications */
	int64_t past_ms, hold_ms; /* the last change of a deployment; since */
	uint64_t asked;
	bool once;
};

/* apps.c: what the frames say there is. */
struct app *app_get(struct drift *d, const char *id);
void app_due(struct drift *d, struct app *a, int64_t at_ms);
int on_app(struct drift *d, const Frame__App *m, const char *line, size_t len,
    struct err *e);
int on_app_invalid(struct drift *d, const Frame__AppInvalid *m, struct err *e);
int on_past(struct drift *d, const Frame__Past *m, struct err *e);
void app_free(struct drift *d, struct app *a);
/* Make jobs of what is due; sets d->due_ms to when to come back. */
int apps_turn(struct drift *d, struct err *e);

/* say.c: what it comes to, and to whom that is news. */
int say_state(struct drift *d, struct app *a,
    Model__ApplicationSyncStatus status, const char *brief, const char *reason,
    char **changed, size_t n_changed, struct err *e);
/* All jobs of an application are over. */
int app_judge(struct drift *d, struct app *a, struct err *e);
int say_live(struct drift *d, struct job *j, Frame__Live *m, struct err *e);

/* job.c: from one step to the next. */
int job_begin(struct drift *d, struct app *a, struct err *e);
void job_step(struct drift *d, struct job *j);
/* It ends as UNKNOWN. */
void job_fail(struct drift *d, struct job *j, const char *fmt, ...)
    PRINTF(3, 4);
/* The ask for a job's next step, as a line in b; -1: it cannot be asked. */
int job_ask(struct drift *d, struct job *j, enum verb verb, struct buf *b,
    struct err *e);
/* An answer about a job: 1 when it has ended this step, 0 when not yet. */
int job_answer(struct drift *d, struct proc *p, struct job *j,
    const struct frame *f, struct err *e);
/* The step has ended well, or (why) not. */
void job_done(struct drift *d, struct job *j, enum verb verb, const char *why);
void job_free(struct drift *d, struct job *j);

/*
 * objects.c: desired objects, kept by application and what they were rendered
 * from: its directory and configuration, or the commit where they see more.
 */
void objects_inputs(const struct drift *d, const Frame__App *m,
    char key[COMMIT_LEN], struct arena *a);
/* Whether they are there already; sets job.alone. */
bool objects_there(const struct drift *d, struct job *j);
char *objects_path(const struct drift *d, const struct job *j, struct arena *a);
int objects_write(struct drift *d, struct job *j, struct err *e);
void objects_forget(struct drift *d, const struct app *a, const char *key);
int objects_sweep(struct drift *d, struct err *e);

/* proc.c: processes and their pipes. */
enum {
	PROC_POLL = 2
}; /* descriptors of one process */
struct pollfd;
size_t procs_poll(struct drift *d, struct pollfd *pfd, size_t max);
/* Hand waiting jobs to processes, starting what is needed. */
void procs_dispatch(struct drift *d);
void procs_io(struct drift *d, const struct pollfd *pfd, size_t n);
/* Reap, kill what is silent; milliseconds until it wants to be called. */
int procs_tick(struct drift *d);
void procs_stop(struct drift *d); /* end them all, waiting */
/* A checkout is not needed any more. */
void tree_release(struct drift *d, struct job *j);

struct platform *platform_get(struct drift *d, const char *name);
void platforms_free(struct drift *d);

/* loop.c */
int drift_loop(struct drift *d, int signals, struct err *e);

#endif
