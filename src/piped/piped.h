/* piped.h - the supervisor's state; private to the program. */
#ifndef PIPED_H
#define PIPED_H

#include <limits.h>

#include "serve.h"
#include "super.h"

enum {
	PROCS = 8,		/* daemons in services.def, at most */
	DEATHS = 8,		/* so many deaths of one program ... */
	DEATHS_MS = 60 * 1000,	/* ... within this: we give up */
	BACKOFF_MS = 100,	/* doubles up to ... */
	BACKOFF_MAX_MS = 30000, /* ... this */
	STEADY_MS = 60 * 1000,	/* ran so long: backoff starts anew */
	SETTLE_MS = 5000,	/* the next order does not wait longer */
	READY_MS = 30 * 1000,	/* not ready after that: killed */
	STOP_MS = 5000,		/* SIGTERM to SIGKILL, but for exec */
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
	PHASE_INTAKE,	/* draining: what brings work in is told to end */
	PHASE_EXEC,	/* then exec, which finishes or gives up */
	PHASE_REPORT,	/* then report, which has heard it all */
	PHASE_LEFTOVER, /* then what still runs of what they started */
	PHASE_DONE
};

struct piped {
	const char *path; /* of the config */
	bool verbose;
	bool text; /* -t: report says on stdout what happens */
	int64_t grace_ms;
	struct arena *arena; /* of conf */
	struct conf_piped conf;
	char state_dir[PATH_MAX];
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

/* config.c: reading it, and doing so again. */
int config_check(const char *path, struct err *e); /* -n: an exit code */
int config_read(
    struct conf_piped *c, const char *path, struct arena *a, struct err *e);
void config_reload(struct piped *p);

/* state.c: the state directory, and what an earlier piped left. */
int state_open(struct piped *p, struct err *e);
int state_check(struct piped *p, struct err *e); /* 1: it was made anew */
void state_leftovers(struct piped *p);
/* Start time of a process in clock ticks since boot, 0: there is none. */
uint64_t state_start(pid_t pid);

/* proc.c: daemons. */
void procs_init(struct piped *p);
void proc_start(struct piped *p, struct proc *pr);
void proc_stop(struct piped *p, struct proc *pr, int64_t grace_ms);
void proc_ended(struct piped *p, struct proc *pr, int status);
void proc_ready(struct piped *p, struct proc *pr);
void procs_turn(struct piped *p, int64_t now); /* what time brings */
void proc_state(struct piped *p, struct proc *pr, enum proc_state s);
const char *proc_state_name(enum proc_state s);

/* launched.c: what they ask for. */
void asked(struct piped *p, struct proc *pr);
void asker_gone(struct piped *p, struct proc *pr);
void launched_ended(struct piped *p, struct launched *l, int status);
void launched_turn(struct piped *p, int64_t now);
void launched_stop(struct piped *p, struct launched *l);
void launched_reload(struct piped *p);

/* loop.c */
int loop(struct piped *p, struct err *e);
void drain(struct piped *p, int exit);

/* status.c */
int status_write(struct piped *p, struct err *e);
/* What the file says; 1, or 0: no such file. */
int status_read(
    const char *state_dir, Super__Status **s, struct arena *a, struct err *e);
int status_print(const char *state_dir, bool json, struct err *e);

/* notify.c: what systemd wants to hear. */
void notify(const char *fmt, ...) PRINTF(1, 2);
int64_t notify_watchdog_ms(void); /* how often, 0: never */

#endif
