/*
 * exec.h - all structs of pipecd-exec.
 *
 * One turn of the loop: read what came, step every deployment that may step,
 * then commit: write and sync the records of this turn, and only after that
 * say them and go on.  What a record stands in front of (a stage being told to
 * start, an answer to a command) waits for the commit.
 */
#ifndef PIPECD_EXEC_H
#define PIPECD_EXEC_H

#include "bus.h"
#include "conf.h"
#include "journal.h"
#include "launch.h"

#define S_(x) MODEL__STAGE_STATUS__STAGE_##x
#define D_(x) MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_##x

enum {
	STAGE_TIMEOUT_MS = 6 * 3600 * 1000, /* PipeCD's default */
	TERM_GRACE_MS = 5000,	  /* a deadline: SIGTERM, this, SIGKILL */
	CANCEL_GRACE_MS = 120000, /* a cancel: the same */
	EXIT_GRACE_MS = 5000,	  /* between stage_done and its exit */
	STOP_GRACE_MS = 10000,	  /* our own SIGTERM: stages may end */
	LOCK_WAIT_MS = 30000,	  /* for what a former stage left behind */
	LOCK_ORDER_MS = 600000,	  /* for a terraform that ends in order */
	LOCK_POLL_MS = 50,
	DISK_RETRY_MS = 1000,
	CHECKOUT_IDLE_MS = 10000,
	CHECKOUT_TRIES = 3,
	LOG_MAX = 4 * 1024 * 1024,    /* of one stage's log */
	FLOOD_MAX = 64 * 1024 * 1024, /* of its output: then it is ended */
	TAIL_MAX = 4096,	      /* of its stderr */
	CHECK_MIN_MS = 60000,	      /* between two journaled checkpoints */
	APPS_LAZY_MS = 1000,	      /* apps.ndjson is synced this late */
	PAST_REPEAT_MS = 60000,
	RESIDENT_IDLE_MS = 60000,
	RESIDENT_AGAIN_MS = 1000,
	RESIDENT_TRIES = 3, /* of a stage whose resident dies under it */
	FENCED_MS = 600000, /* that long after it was last said */
	CHAIN_REPEAT_MS = 10000,
	CHAIN_ORPHAN_MS = 24 * 3600 * 1000,
	CLIENT_LINE = 65536,
	CLIENTS_MAX = 64,
	ANSWERED = 64, /* commands from the bus whose answer is known */
};

/* Where a deployment stands; the journal has the rest. */
enum phase {
	PH_PENDING,  /* plan is not done with it */
	PH_QUEUED,   /* waits for its application and a slot */
	PH_NEXT,     /* choose the next stage */
	PH_SLOT,     /* between stages, waits for a slot */
	PH_CHECKOUT, /* waits for its directories */
	PH_LOCK,     /* waits until no former stage is alive */
	PH_TELL,     /* launched; told after the commit */
	PH_RUN,	     /* a stage process runs */
	PH_TIMER,    /* WAIT */
	PH_APPROVAL, /* WAIT_APPROVAL */
	PH_CHAIN,    /* ended; its chain goes on */
	PH_ENDED,    /* freed by the commit */
};

struct app {
	char *id; /* owned, like all strings here */
	char *name;
	int kind;
	char **labels; /* "key=value", NULL-terminated, or NULL */
	bool known;    /* plan or report told us of it */
	bool gone;
	struct deployment *queue; /* PENDING and QUEUED, oldest first */
	struct deployment *running;
	struct app *next_ready; /* round robin over applications */
	bool in_ready;
};

/* A platform that takes many stages, of one set of deploy targets. */
struct resident {
	struct resident *next;
	char *program, *targets; /* owned */
	pid_t pid;		 /* 0: not running */
	int64_t started_at;
	int in, out;
	struct buf send, line;
	int stages;	  /* that it has in hand */
	int64_t idle_at;  /* ends it when it has none until then */
	int64_t again_at; /* after a death: not before then */
	int64_t lock_at;  /* since when a former one is in the way */
	bool bad;	  /* a bad line was said */
};

struct proc {
	struct resident *resident; /* NULL: a process of its own */
	pid_t pid;		   /* 0: ended and waited for */
	int in, out, err;
	struct buf send;
	size_t sent;
	struct buf line;
	bool skip; /* the rest of a line that is too long */
	bool cut;  /* the log's limit was said */
	bool bad;  /* a bad line was said */
	bool told; /* stage_start is on its way */
	size_t log_bytes, out_bytes, err_bytes;
	char tail[TAIL_MAX];
	size_t tail_len;
	int64_t term_at, kill_at; /* now_ms; 0: never */
	int64_t read_at;	  /* a flood is read slowly */
	bool done;		  /* stage_done came */
	bool alone;		  /* the leader ended, pipes may be open */
	int wait_status;
	Model__StageStatus status;
	char *reason; /* owned */
	bool human;
	bool untouched; /* it says that it changed nothing */
};

/* Why a stage is being ended before its time. */
enum why {
	WHY_NONE,
	WHY_CANCEL,
	WHY_STAGE_TIMEOUT,
	WHY_DEPLOYMENT_TIMEOUT,
	WHY_ROLLBACK_TIMEOUT,
	WHY_FLOOD,
	WHY_STOP, /* exec itself stops: the stage stays RUNNING */
};

struct deployment {
	char id[64];
	struct app *app;
	struct deployment *next; /* in app->queue or the slot queue */
	enum phase phase;
	bool on_commit; /* may be superseded */
	bool ours;	/* came in this run, or was taken up in it */
	bool hold;	/* records wait for a commit */
	bool sync;	/* and for its sync */
	bool queued;	/* in x->dirty */
	bool slot;
	bool broken; /* its journal cannot be read */
	char commit[41];
	struct journal j;

	/* From start to end. */
	struct arena *arena;
	struct journal_state s;
	int stage; /* index, -1: none yet */
	bool rolling_back;
	Model__DeploymentStatus result; /* what it will end as */
	char *reason;			/* owned */
	bool human;
	bool resumed; /* the current stage ran under a former exec */
	bool exited;  /* a stage said EXITED */
	enum why why;
	struct proc *proc;
	int64_t mark_at;  /* now_ms when its time was last journaled */
	int64_t check_at; /* the next checkpoint */
	int64_t lock_at;  /* since when it waits for the lock */
	int64_t wake_at;  /* 0: nothing to wait for */
	char *checkout_id[2], *dir[2], *root[2]; /* target, running */
	int kept[2]; /* keeps root from being swept; 0: nothing held */
	int checkout_tries;
	int64_t wait_ms; /* WAIT: how long in all */
	char *last_log;	 /* for a person who has to look */
	int64_t chain_at;
};

struct told {
	struct frame f;
	int client; /* the answer to a client's command; -1: to everybody */
};

struct client {
	int serial, fd; /* fd -1: free */
	char *user;
	struct buf in, out;
	bool eof;
};

struct checkout {
	pid_t pid;
	int in, out;
	struct buf send, line;
	long serial;
	int waiting;	 /* asks without an answer */
	int64_t idle_at; /* ends it when nobody asked until then */
	int64_t retry_at;
};

struct exec {
	struct conf_piped conf;
	bool daemon, eof, stop, reader_gone;
	int64_t stop_at;
	struct arena *arena; /* of the config */
	struct arena *turn;  /* of one turn */
	char *state_dir;
	int journal_fd, lock_fd, run_fd, sock;
	struct bus *bus;
	struct launcher *launcher;
	struct apps *apps;
	struct map *by_id; /* unfinished deployments */
	struct map *app;   /* applications by id */
	struct map *given; /* "repo/path/file" -> an id that was given to it */
	struct app *ready, **ready_end;
	struct deployment *slot_wait, **slot_end;
	struct deployment **active; /* started, not ended */
	size_t n_active, cap_active;
	struct deployment **dirty; /* records of this turn */
	size_t n_dirty, cap_dirty;
	struct told *told;
	size_t n_told, cap_told;
	char **finished; /* ids whose journal becomes read-only */
	size_t n_finished, cap_finished;
	bool apps_lost;	 /* a sync of apps.ndjson failed */
	int64_t apps_at; /* sync apps.ndjson then */
	int slots, slots_max;
	int64_t fenced_until; /* begin nothing new before; 0: not at all */
	int64_t disk_at;      /* the disk failed: try again then */
	bool disk_said;
	struct checkout co;
	struct resident *residents;
	struct client client[CLIENTS_MAX];
	struct answered {
		char *id, *reason; /* owned; reason NULL: done */
	} answered[ANSWERED];
	size_t n_answered;
	int client_serial;
	int64_t sweep_at;  /* retention */
	int64_t clocks;	   /* wall_ms - up_ms at the last retention */
	int64_t past_at;   /* say every past again: it may have been lost */
	int failed, ended; /* deployments of this run */
	int input_exit;	   /* what was wrong with a filter's input */
	char boot[40];
};

/* main.c, loop.c */
int exec_loop(struct exec *x, int signals, struct err *e);
/* Add a record: to its journal, to its state, and to what is said. */
void record(
    struct exec *x, struct deployment *d, const struct frame *f, bool sync);
/* The same for a line as it came (f is what it says). */
void record_line(struct exec *x, struct deployment *d, const struct frame *f,
    const char *line, size_t len, bool sync);
/* Say it after this turn's commit; messages live in x->turn or longer. */
void tell(struct exec *x, const struct frame *f);
void dirty_add(struct exec *x, struct deployment *d, bool sync);
int commit(struct exec *x, struct err *e);
/* Say it once, take nothing new, try again later; returns 0. */
int disk_failed(struct exec *x, const struct err *e);
void finished_add(struct exec *x, const char *id);
void finished_flush(struct exec *x, bool force);
int64_t up_ms(void);

/* start.c: what a former exec left behind; retention */
int restart(struct exec *x, struct err *e);
void retention(struct exec *x);
void pasts_tell(struct exec *x);
/* Go on with one whose journal was read, wherever it stands. */
void deployment_take_up(struct exec *x, struct deployment *d);
/* Fill d->s from its journal: the way of a restart and of every start. */
int deployment_load(struct exec *x, struct deployment *d, struct err *e);

/* intake.c */
int intake_frame(struct exec *x, const struct frame *f, const char *line,
    size_t len, struct err *e);
struct app *app_get(struct exec *x, const char *id);
void apps_free(struct exec *x);
struct deployment *deployment_new(
    struct exec *x, const char *id, struct app *a);
void deployment_free(struct exec *x, struct deployment *d);
/* Out of every list, with nothing loaded: as deployment_new leaves it. */
void deployment_clear(struct exec *x, struct deployment *d);
/* Whether it can be ours: its ids, what it must have, its stages in the plan. */
int deployment_check(
    const Model__Deployment *m, const Frame__Plan *plan, struct err *e);
/* It ended before it came to us: an invalid pipeline, say. */
void deployment_ended_before(
    struct exec *x, struct deployment *d, const Model__Deployment *m);
void queue_add(struct exec *x, struct deployment *d);
void queue_drop(struct deployment *d);
void app_ready(struct exec *x, struct app *a);
bool deployment_by_commit(const Model__Deployment *m, const Frame__Plan *plan);
/* End one that never started. */
int deployment_cancel_queued(struct exec *x, struct deployment *d,
    const char *reason, bool superseded, struct err *e);
/* What apps.ndjson says of its application from now on. */
void past_put(struct exec *x, const Model__Deployment *m, bool triggered);

/* leftover.c: what platforms keep between the stages of a deployment */
void leftover_remove(struct exec *x, const struct deployment *d);
void leftovers_sweep(struct exec *x); /* of those that have ended */

/* resume.c: what the control plane knows */
int intake_resume(struct exec *x, const struct frame *f, const char *line,
    size_t len, struct err *e);
/* Under which id exec knew it, and what by: so that nothing is lost. */
void app_registered(
    struct exec *x, const Model__Application *m, bool by_control_plane);
void past_said(struct exec *x, const Frame__Past *p);

/* run.c */
void active_add(struct exec *x, struct deployment *d);
/* Start what may start; whether there was something. */
bool schedule(struct exec *x);
void step(struct exec *x, struct deployment *d);
void deployment_resume(struct exec *x, struct deployment *d);
void deployment_cancel(struct exec *x, struct deployment *d);
void deployment_broken(
    struct exec *x, struct deployment *d, const struct err *why);
void stage_end(struct exec *x, struct deployment *d, Model__StageStatus st,
    bool human, const char *fmt, ...) PRINTF(5, 6);
void stage_say(struct exec *x, struct deployment *d, const char *severity,
    const char *fmt, ...) PRINTF(4, 5);
void stage_process_record(
    struct exec *x, struct deployment *d, int64_t pid, int64_t started);
Model__PipelineStage *stage_model(const struct deployment *d);
const Frame__StagePlan *stage_plan(const struct deployment *d);
/* For report: it begins; without what only its program is to see. */
void stage_start_tell(struct exec *x, struct deployment *d);
int64_t stage_ran_ms(const struct deployment *d);
/* Milliseconds that the stage may still take, and which limit that is. */
int64_t stage_left_ms(
    const struct exec *x, const struct deployment *d, enum why *why);
void slot_free(struct exec *x, struct deployment *d);
const char *deployment_ask_human(
    struct exec *x, const struct deployment *d, const char *what);
void reason_set(struct deployment *d, const char *fmt, ...) PRINTF(2, 3);

/* stage.c: stage processes */
/* What the plan has for the platform that is this program, or NULL. */
Frame__PluginPlan *plugin_of(const struct deployment *d, const char *program);
void proc_begin(struct exec *x, struct deployment *d);
void proc_tell(struct exec *x, struct deployment *d);
void proc_output(struct exec *x, struct deployment *d);
void proc_errors(struct exec *x, struct deployment *d);
void proc_send(struct exec *x, struct deployment *d);
void proc_exited(struct exec *x, struct deployment *d, int status);
void proc_timer(struct exec *x, struct deployment *d);
void proc_stop(struct exec *x, struct deployment *d, enum why why);
void proc_free(struct proc *p);
void proc_kill(struct exec *x, struct deployment *d); /* now, unrecorded */

/* One frame of a stage, as it came. */
void stage_frame(struct exec *x, struct deployment *d, const struct frame *f,
    const char *line, size_t len);
/* It is over, one way or another: record how. */
void proc_result(struct exec *x, struct deployment *d);
int pipe_new(int *ours, int *theirs, bool we_write, struct err *e);

/* resident.c */
void resident_begin(struct exec *x, struct deployment *d);
void resident_cancel(struct exec *x, struct deployment *d);
void resident_write(struct resident *r);
void resident_read(struct exec *x, struct resident *r);
struct resident *resident_of(const struct exec *x, pid_t pid);
void resident_exited(struct exec *x, struct resident *r, int status);
void residents_tick(struct exec *x);
void residents_close(struct exec *x);

/* lock.c */
/* The lock of an application: a descriptor, -1 busy, -2 with *e. */
int lock_take(struct exec *x, const char *application_id, struct err *e);
/*
 * End whoever still holds it, as far as we may: SIGTERM when we have waited
 * for 0 ms, later SIGKILL; at once when -1.  Where `orderly`, what was asked to
 * end already is left alone for LOCK_ORDER_MS; true: there is such a one.
 */
bool lock_break(struct exec *x, const char *application_id, int64_t waited,
    bool orderly, struct buf *who);
/* Kill a process group that a former exec journaled, if it is still that. */
void process_kill(struct exec *x, int64_t pid, int64_t started_at);
/* Clock ticks since boot when it started; -1: it is gone. */
int64_t process_started_at(int64_t pid);

/* wait.c */
void wait_begin(struct exec *x, struct deployment *d);
void wait_timer(struct exec *x, struct deployment *d);
void approval_begin(struct exec *x, struct deployment *d);
/* One more approver: 0 with a text for them; -1 refused. */
int approve(struct exec *x, struct deployment *d, const Model__Command *c,
    struct buf *text, struct err *e);

/* checkout.c */
/* 1 ready, 0 asked, -1 refused for good. */
int checkout_need(struct exec *x, struct deployment *d, struct err *e);
void checkout_drop(struct exec *x, struct deployment *d);
void checkout_read(struct exec *x);
void checkout_write(struct exec *x);
void checkout_exited(struct exec *x, int status);
void checkout_tick(struct exec *x);
void checkout_close(struct exec *x); /* it ends by itself */

/* command.c */
int socket_open(struct exec *x, struct err *e);
void socket_accept(struct exec *x);
void client_read(struct exec *x, struct client *c);
void client_write(struct client *c);
void client_close(struct client *c);
void client_answer(struct exec *x, int serial, const struct frame *f);
/* A command: from a client (serial), or from the bus (-1). */
void command_frame(
    struct exec *x, const Model__Command *c, const char *re, int client);

/* chain.c */
void chain_step(struct exec *x, struct deployment *d);
/* A member of a chain ended: tell the chain. */
void chain_member_ended(struct exec *x, const Model__Deployment *m);
void chain_command_done(struct exec *x, const Frame__CommandDone *c);
void chains_save(struct exec *x);
/* After a restart: whether this one began a chain that is not over. */
void chain_take_up(struct exec *x, struct deployment *d);

/* show.c */
int replay_main(const char *path);
int verify_main(char *const *paths);

#endif
