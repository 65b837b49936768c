/*
 * supervise.h - a supervisor: what piped and pipecd have in common.  What they
 * differ in is struct super_how; main fills it and struct super, and calls
 * super_main.
 */
#ifndef PIPECD_SUPERVISE_H
#define PIPECD_SUPERVISE_H

#include <limits.h>

#include "serve.h"
#include "super.h"

enum {
	PROCS = 80,		/* daemons, at most */
	DEATHS = 8,		/* so many deaths of one program ... */
	DEATHS_MS = 60 * 1000,	/* ... within this: we give up */
	BACKOFF_MS = 100,	/* doubles up to ... */
	BACKOFF_MAX_MS = 30000, /* ... this */
	STEADY_MS = 60 * 1000,	/* ran so long: backoff starts anew */
	SETTLE_MS = 5000,	/* the next order does not wait longer */
	READY_MS = 30 * 1000,	/* not ready after that: killed */
	STOP_MS = 5000,		/* SIGTERM to SIGKILL, but for exec */
	AFTER_MS = 2000,	/* at least, for those who stop last */
	LEFTOVER_MS = 2000,	/* the same for what programs asked for */
	CHECK_MS = 30,		/* an rm -r is given time to go on */
	GRACE_S = 30
};

enum proc_state {
	PROC_OFF,      /* not wanted, or not started yet */
	PROC_WAITING,  /* died; again at next_ms */
	PROC_STARTING, /* not ready yet */
	PROC_READY,
	PROC_STOPPING, /* told to end; killed at next_ms */
	PROC_FAILED    /* ended with 100: not started again */
};

struct proc { /* a daemon */
	struct program program;
	char name[32];	/* the program's, "api-2" for the second of it */
	unsigned index; /* of it, from 0 */
	enum proc_state state;
	struct buf slice;   /* what it was started with; owned, wiped */
	pid_t pid;	    /* 0: none */
	uint64_t start;	    /* of the process, clock ticks */
	int ready, sock;    /* our ends of 4 and 5; -1 */
	bool wanted, again; /* again: stopped in order to be started */
	int64_t started_ms, since_s, next_ms, backoff_ms;
	int64_t deaths[DEATHS]; /* a ring of now_ms */
	unsigned n_deaths, restarts;
	char last[64];
};

struct launched { /* what a program had started */
	char program[72], verb[16];
	struct proc *asker;
	bool mine;  /* asked for by the asker that runs now */
	bool lock;  /* a stage: outlives its asker */
	bool ended; /* reaped, and not yet said */
	bool told;  /* SIGTERM was sent; killed at next_ms */
	pid_t pid;
	uint64_t start;
	int64_t since_s, next_ms;
	int status;
	uint64_t slice; /* hash of what it was started with */
};

enum phase {
	PHASE_START,
	PHASE_RUN,
	PHASE_STOP_1,	/* draining: what brings work in is told to end */
	PHASE_STOP_2,	/* then what does it, and finishes or gives up */
	PHASE_STOP_3,	/* then who has heard it all */
	PHASE_LEFTOVER, /* then what still runs of what they started */
	PHASE_DONE
};

struct super;

struct super_how {
	const char *name; /* "piped": its lock is run/piped.lock */
	const char *what; /* "agent", in messages */
	const struct service *services; /* NULL at the end */
	const char *const
	    *dirs;	 /* below the state directory; NULL at the end */
	int grace_order; /* the stop order that gets the grace period */
	/*
	 * The configuration of p->path and its stateDir, in `a`.  NULL with
	 * *refused: it could be read, and is wrong.
	 */
	void *(*read)(struct super *p, const char **state_dir, bool *refused,
	    struct arena *a, struct err *e);
	void (*print)(struct buf *out, const void *conf); /* for people */
	/* What a program gets of it on descriptor 3. */
	void (*slice)(
	    struct buf *out, const struct program *p, const void *conf);
	/* How many of a daemon there are to be. */
	unsigned (*count)(const struct super *p, const struct service *row);
	/* Its arguments, and what else start needs; args are NULL after. */
	int (*args)(struct super *p, const struct proc *pr, struct start *s,
	    const char *args[8], struct arena *a, struct err *e);
	/* Before the first start and with each new configuration; may be NULL.
	 */
	int (*prepare)(
	    struct super *p, void *conf, struct arena *a, struct err *e);
	/* After a reload, for those who go on; may be NULL. */
	void (*reloaded)(struct super *p);
	/*
	 * Who runs as whom, of the configuration; may be NULL, as what it
	 * returns.
	 */
	const struct accounts *(*accounts)(const void *conf);
	/* Whose the state directory is, when it is locked; may be NULL. */
	int (*places)(struct super *p, struct err *e);
	/* Before each start of a daemon; may be NULL. */
	void (*before)(struct super *p, const char *program);
	/* What -n refuses beside what the file says; may be NULL. */
	int (*check)(struct super *p, const void *conf, struct err *e);
	/* Of what programs ask for; NULL: they ask for nothing. */
	int (*find)(struct program *out, const void *conf, const char *name,
	    struct err *e);
};

struct super {
	const struct super_how *how;
	const char *path; /* of the config */
	bool verbose;
	int64_t grace_ms;
	struct arena *arena; /* of conf */
	void *conf;
	char state_dir[PATH_MAX];
	struct listening listen[LISTEN_MAX]; /* for those who serve */
	char listen_at[LISTEN_MAX][280];     /* "127.0.0.1:8080" */
	size_t n_listen;
	int signals, lock, inotify;
	struct proc procs[PROCS];
	size_t n_procs;
	struct launched *launched; /* owned */
	size_t n_launched, cap_launched;
	enum phase phase;
	int64_t phase_end_ms, drain_end_ms;
	int64_t started_s;
	int exit;
	bool dirty;	  /* the status file is old */
	int64_t check_ms; /* look whether the state directory is there; 0 */
	int64_t watchdog_ms, watchdog_next_ms; /* 0: nobody wants it */
};

enum super_mode {
	SUPER_RUN,
	SUPER_CHECK,	  /* -n */
	SUPER_STATUS,	  /* -s */
	SUPER_STATUS_JSON /* -s --json */
};
/* Everything after the options: an exit code. */
int super_main(struct super *p, enum super_mode mode);
/* The value of -g, or usage. */
int64_t super_seconds(const char *s, const char *synopsis);
/* Read a file and have it parsed; mistakes and warnings go to stderr. */
int super_read(const char *path,
    int (*parse)(void *conf, const char *name, const char *text, size_t n,
	struct arena *a, struct conf_report *r, struct err *e),
    void *conf, bool *refused, struct arena *a, struct err *e);

/* --- the rest is between the files of libsuper -----------------------------
 */

/* NULL: all run as we do. */
const struct accounts *super_accounts(const struct super *p);

/* reload.c: reading it, and doing so again. */
int config_check(struct super *p, struct err *e); /* -n: an exit code */
int config_read(struct super *p, struct err *e);
void config_reload(struct super *p);
/* All programs, for the one that may ask: 0, or -1 with *e. */
int all_restart(struct super *p, const struct proc *asker, struct err *e);

/* state.c: the state directory, and what an earlier supervisor left. */
int state_open(struct super *p, struct err *e);
int state_check(struct super *p, struct err *e); /* 1: it was made anew */
void state_leftovers(struct super *p);
/* Start time of a process in clock ticks since boot, 0: there is none. */
uint64_t state_start(pid_t pid);

/* proc.c: daemons. */
void procs_count(struct super *p);
void proc_start(struct super *p, struct proc *pr);
void proc_stop(struct super *p, struct proc *pr, int64_t grace_ms);
void proc_ended(struct super *p, struct proc *pr, int status);
void proc_ready(struct super *p, struct proc *pr);
void procs_turn(struct super *p, int64_t now); /* what time brings */
void proc_state(struct super *p, struct proc *pr, enum proc_state s);
const char *proc_state_name(enum proc_state s);

/* launched.c: what they ask for. */
void launched_asked(struct super *p, struct proc *pr);
void launched_asker_gone(struct super *p, struct proc *pr);
void launched_ended(struct super *p, struct launched *l, int status);
void launched_turn(struct super *p, int64_t now);
void launched_stop(struct super *p, struct launched *l);
void launched_reload(struct super *p);

/* loop.c */
int super_loop(struct super *p, struct err *e);
void super_drain(struct super *p, int exit);

/* status.c */
int status_write(struct super *p, struct err *e);
/* What the file says; 1, or 0: no such file. */
int status_read(
    const char *state_dir, Super__Status **s, struct arena *a, struct err *e);
int status_print(
    struct super *p, const char *state_dir, bool json, struct err *e);

/* notify.c: what systemd wants to hear. */
void notify(const char *fmt, ...) PRINTF(1, 2);
int64_t notify_watchdog_ms(void); /* how often, 0: never */

#endif
