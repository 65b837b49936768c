/*
 * journal.h - what exec writes down: one file of frames per deployment, and
 * one line per application.  Everybody may read them; exec alone writes.
 *
 * A journal line is the frame as it came with ,"seq":N,"prev":"HASH" put
 * before its closing brace: N counts from 1, HASH is the SHA-256 of the line
 * before it (without its newline), 64 zeros for the first.
 */
#ifndef PIPECD_JOURNAL_H
#define PIPECD_JOURNAL_H

#include "frame.h"
#include "hash.h"

/* --- the state directory --------------------------------------------------
 */

enum {
	STATE_FORMAT = 1
};

/*
 * Check `dir`/format: a directory written by a newer build is refused.  With
 * `create`, makes the directory (0700) and the file when they are not there.
 */
int state_format(const char *dir, bool create, struct err *e);

/* --- reading one journal --------------------------------------------------
 */

/* Fields up to `torn` may be read at any time. */
struct journal_reader {
	long n;		       /* lines read */
	int64_t seq;	       /* of the last good line, 0 before the first */
	char prev[SHA256_HEX]; /* its hash */
	int64_t len;	       /* bytes of good lines */
	int64_t torn;	       /* bytes of a last line that was cut off */
	const char *line;      /* the last line, without its newline */
	size_t line_len;
	FILE *in;
	const char *name; /* borrowed */
	char *buf;
	size_t cap;
};

int journal_reader_open(
    struct journal_reader *r, const char *path, struct err *e);
/* Takes over the descriptor. */
int journal_reader_fd(
    struct journal_reader *r, int fd, const char *name, struct err *e);
void journal_reader_close(struct journal_reader *r);

/*
 * The next record: 1; 0 for a kind this build does not know; 2 at the end (see
 * torn); -1 for a broken chain or a line that is no frame: e names the line.
 */
int journal_next(
    struct journal_reader *r, struct frame *f, struct arena *a, struct err *e);

/*
 * After the end: go on behind the last good line, where more may have been
 * written by now.  -1: it cannot be read any more.
 */
int journal_again(struct journal_reader *r, struct err *e);

/* --- what a journal amounts to --------------------------------------------
 */

struct journal_stage {
	bool started; /* ever, also in an earlier attempt */
	bool needs_human;
	bool untouched; /* it ended without changing anything */
	int64_t pid;	/* the last process, 0: a timer in exec */
	int64_t pid_started;
	int64_t at_ms, up_ms, ran_ms; /* as in stage_process */
	const char *boot;
	int attempt;
};

/* An application that a chain waits for. */
struct journal_member {
	struct journal_member *next;
	const char *command_id, *application_id;
	unsigned block;
	Model__CommandStatus status;
	const char *deployment_id; /* once known */
};

/* Everything in it lives in `arena`. */
struct journal_state {
	struct arena *arena;
	Model__Deployment *deployment; /* stage results filled in */
	Frame__Plan *plan;	       /* NULL before PLANNED */
	struct journal_stage *stage;   /* beside deployment->stages */
	size_t n_stages;
	int64_t forward_ms, rollback_ms; /* journaled running time */
	const char *cancelled_by;	 /* NULL: nobody asked */
	const char *cancel_id;
	bool force_rollback, force_no_rollback;
	struct journal_member *members;
	bool chain_over;
	long records, logs; /* all, and stage_log among them */
};

void journal_state_init(struct journal_state *s, struct arena *a);
/*
 * One more record.  What is kept is copied into the arena.  Repeated and late
 * records do no harm: a status never goes back.  -1: not about this deployment,
 * or a stage that it does not have.
 */
int journal_apply(
    struct journal_state *s, const struct frame *f, struct err *e);
/* Read a whole journal into s: -1 as journal_next; r stays open. */
int journal_replay(
    struct journal_state *s, struct journal_reader *r, struct err *e);

bool deployment_ended(Model__DeploymentStatus s);
/* Shared metadata; NULL: not there. */
const char *deployment_shared(const Model__Deployment *m, const char *key);
bool stage_ended(Model__StageStatus s);
/* The index of a stage by its id; -1. */
int journal_stage_find(const struct journal_state *s, const char *id);
const Frame__StagePlan *journal_stage_plan(
    const struct journal_state *s, const char *id);
/* A value of a stage's metadata, or NULL. */
const char *journal_meta(const Model__PipelineStage *s, const char *key);

/* --- writing one journal --------------------------------------------------
 */

/*
 * Records are added in memory, flushed to the file and synced by the caller:
 * many journals share one sync.  A flush that failed (disk full) is repeated
 * at the same place; no acknowledged byte is written over.
 */
struct journal {
	char id[64];	       /* the deployment; the file is <id>.ndjson */
	int fd;		       /* -1: opened again by the next flush */
	int64_t seq;	       /* of the last record, flushed or not */
	char prev[SHA256_HEX]; /* its hash */
	int64_t len;	       /* bytes in the file */
	struct buf wait;       /* lines that are not in the file yet */
	bool dirty;	       /* flushed, not synced */
	bool made;	       /* its directory entry is not synced */
};

enum {
	JOURNAL_NAME = 80
};
/* "<id>.ndjson"; -1 when the id cannot be a file's name. */
int journal_name(char dst[JOURNAL_NAME], const char *id, struct err *e);

void journal_init(struct journal *j, const char *id);
/* Go on where a reader ended. */
void journal_follow(struct journal *j, const struct journal_reader *r);
/* Add a frame as it came; the newline may be there or not. */
void journal_add(struct journal *j, const char *line, size_t len);
/* The same for one made here. */
void journal_add_frame(struct journal *j, const struct frame *f);
/* Write what waits; dirfd is the journal directory.  0, -1: try again. */
int journal_flush(struct journal *j, int dirfd, struct err *e);
/*
 * Make n flushed journals durable together, whichever way is cheaper, and
 * with them the file `also` (-1: none).
 */
int journal_sync(
    struct journal *const *j, size_t n, int dirfd, int also, struct err *e);
/* After a sync that failed: write the whole file anew, durably; -1: no. */
int journal_rescue(struct journal *j, int dirfd, struct err *e);
void journal_close(struct journal *j); /* the descriptor and the buffer */

/* --- journal/apps.ndjson: one `past` frame per application -----------------
 */

struct apps;

/*
 * Read `dir`/journal/apps.ndjson (dir is the state directory); absent is empty,
 * a torn last line is left out.  `write`: this is exec, which appends to it.
 */
struct apps *apps_open(const char *dir, bool write, struct err *e);
void apps_close(struct apps *x);
/* What is known of an application, in `a`; NULL: nothing. */
Frame__Past *apps_get(
    const struct apps *x, const char *application_id, struct arena *a);
/* Its line, with the newline, valid until the next put; NULL. */
const char *apps_line(
    const struct apps *x, const char *application_id, size_t *len);
/* Walk all: for (i = 0; apps_next(x, &i, &line, &len);) */
bool apps_next(const struct apps *x, size_t *i, const char **line, size_t *len);
/* A newer line, also of its tombstones; written by apps_flush. */
void apps_put(struct apps *x, const Frame__Past *p);
int apps_flush(struct apps *x, struct err *e);
/* The descriptor to sync, or -1 when nothing waits for one. */
int apps_dirty(const struct apps *x);
void apps_synced(struct apps *x);
/* Rewrite the file without what later lines replaced, if that is worth it. */
int apps_compact(struct apps *x, struct err *e);
int apps_rewrite(struct apps *x, struct err *e); /* after a failed sync */

#endif
