/*
 * report.h - what pipecd-report knows of the deployments whose frames went by,
 * and how it says what happened: as plain lines, or live on a terminal.
 */
#ifndef PIPECD_REPORT_H
#define PIPECD_REPORT_H

#include "frame.h"
#include "text.h"

/* What a line means, for its colour. */
enum tone {
	TONE_PLAIN,
	TONE_GOOD,
	TONE_BAD,
	TONE_WARN,
	TONE_DIM
};

/* What kind of line it is: a terminal shows only some of them for good. */
enum say {
	SAY_STEP, /* a deployment or a stage went on */
	SAY_LOG,  /* a stage's log, indented */
	SAY_NOTE, /* people should see it: drift, held, a wrong configuration */
	SAY_MORE, /* the rest of a note */
	SAY_END	  /* a deployment has ended */
};

struct stage {
	char *id, *name; /* owned */
	Model__StageStatus status;
	bool rollback;
	bool approve; /* waits for a person */
};

enum {
	DEP_TAIL = 5
}; /* log lines kept, to be shown if it fails */

struct dep {
	char *id, *app; /* owned; app is inert */
	Model__DeploymentStatus status;
	bool seen; /* a status has been said */
	int64_t created_at, at;
	int64_t since_ms;     /* seen first, on our clock */
	struct stage *stages; /* owned */
	size_t n_stages;
	char *tail[DEP_TAIL]; /* owned, the newest at tail[n_tail - 1] */
	size_t n_tail;
};

struct report {
	FILE *out;
	struct arena *arena; /* of the frame in hand */
	struct map *deps;    /* id -> struct dep */
	struct map *apps;    /* application id -> struct appmark */
	int64_t at;	     /* the latest time that a frame has named */
	size_t n_status[8];  /* deployments by status */
	size_t n_held;
	struct live *live;  /* NULL: plain lines */
	const char *config; /* -f, for hints; NULL: not given */
};

void report_init(struct report *r, FILE *out);
void report_clear(struct report *r);
/* Take one frame in and say what it means. */
void report_frame(struct report *r, const struct frame *f);
/* The last line: "3 deployments: 2 SUCCESS, 1 FAILURE". */
void report_sum(const struct report *r, struct buf *b);

bool dep_over(const struct dep *d);
const char *dep_status(const struct dep *d);
const struct stage *dep_stage(const struct dep *d, const char *id);

/* Say one line, and more when `text` (inert) has more than one. */
void say(struct report *r, enum say what, enum tone tone, const struct dep *d,
    const char *app, const char *text);

/*
 * A terminal: deployments that run have a line each at the bottom, drawn again
 * in place; what is over goes up for good.
 */
struct live *live_open(int fd, struct report *r);
void live_close(struct live *l); /* draws once more, with the last line */
void live_resize(struct live *l);
/* Milliseconds until live_draw wants to be called; -1: not at all. */
int live_timeout(const struct live *l);
void live_draw(struct live *l);
void live_say(struct live *l, enum say what, enum tone tone,
    const struct dep *d, const char *app, const char *text);

/* A report on stdout: begin, turn after each wait, end with the sum. */
void report_begin(struct report *r, const char *config);
int report_flush(struct report *r, struct err *e);
int report_timeout(const struct report *r); /* for poll */
void report_turn(struct report *r);
int report_end(struct report *r, int rv, struct err *e); /* rv, or -1 */

/* -t: frames from `in` to text on stdout; 0 or -1. */
int report_text(int in, const char *config, struct err *e);
/* -t -b: frames from the bus, until SIGTERM; 0 or -1. */
int report_daemon(const char *dir, struct err *e);

/* -c: ask exec; RC_OK done, RC_NO refused, -1 with *e. */
int report_command(
    const char *order, char *const *args, const char *state_dir, struct err *e);
/* -l: what has not ended; RC_OK, -1. */
int report_list(const char *state_dir, const char *config, struct err *e);

#endif
