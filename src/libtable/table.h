/*
 * table.h - tables of protobuf messages on LMDB, found by id and, in the order
 * of a time, by indexed fields.  It knows no model: what tables there are is
 * data.  It alone knows LMDB's traps:
 *
 * - A full map ends the transaction: it is made larger, and the work is done
 *   again from its start (tables_again).
 * - A reader that stays open keeps every old page alive: read transactions end
 *   with the turn in which they began.
 * - Keys are 511 bytes at most: long values stand in them as their SHA-256.
 * - Another process may grow the map (MDB_MAP_RESIZED), or die as a reader.
 * - One environment is opened once in a process, and not across a fork.
 */
#ifndef PIPECD_TABLE_H
#define PIPECD_TABLE_H

#include <protobuf-c/protobuf-c.h>

#include "base.h"

enum {
	TABLE_ID_MAX = 200,
	TABLE_PAGE_MAX = 1000,
	TABLE_PAGE_BYTES = 3 * 1024 * 1024
};

/* One row of a tables.def. */
struct table_row {
	enum table_what {
		TABLE_TABLE,
		TABLE_INDEX,
		TABLE_HIDE,
		TABLE_PRIVATE,
		TABLE_PLAIN /* a plain map, below */
	} what;
	const char *table;
	const ProtobufCMessageDescriptor *d; /* TABLE_TABLE */
	const char *id, *project;	     /* TABLE_TABLE: fields */
	const char *order, *fields;	     /* TABLE_INDEX; TABLE_HIDE */
};

struct tables; /* all of them, opened */
struct table;  /* one of them */

enum tables_flags {
	TABLES_READ = 1,   /* only look; a second process may do so */
	TABLES_CREATE = 2, /* make the directory's files when there are none */
	TABLES_UPGRADE = 4 /* an older schema, or other rows: bring it up to
			      this one */
};

/*
 * Open the environment in `dir`.  -1 when it is newer than we are, when it
 * needs an upgrade and we may not, when rows contradict the messages.
 */
struct tables *tables_open(const struct table_row *rows, size_t n,
    const char *dir, int flags, struct err *e);
void tables_close(struct tables *t);
/* The schema that this build writes, and upgrades to. */
enum {
	TABLES_SCHEMA = 1
};
/* Tests: the first size of the map of environments opened after this. */
void tables_map_start(size_t bytes);
/* Tests: how much a list may look at before its page ends. */
void tables_leaps(long n);

struct table *table_find(const struct tables *t, const char *name);
struct table *table_next(const struct tables *t, const struct table *before);
const char *table_name(const struct table *b);
const ProtobufCMessageDescriptor *table_message(const struct table *b);
bool table_private(const struct table *b);
bool table_hides(const struct table *b);

/*
 * Transactions: one at a time.  Reading: begin, look, end, within one turn.
 * Writing: commit returns when all of it is on the disk.
 */
int tables_read(struct tables *t, struct err *e);
int tables_write(struct tables *t, struct err *e);
int tables_commit(struct tables *t, struct err *e);
void tables_end(struct tables *t); /* abort; nothing when none is open */
/*
 * After a function here returned -1 in a write transaction: whether all of it
 * is to be done again from tables_write on, for the map has grown.
 */
bool tables_again(struct tables *t);
/* The disk failed or a page is damaged: only opening it anew may help. */
bool tables_broken(const struct tables *t);
/* The number of the last change, and of the next one while writing. */
uint64_t tables_version(const struct tables *t);

struct record {
	const char *id;	   /* as asked, or in the arena */
	const void *value; /* packed; the environment's until tables_end */
	size_t n;
	uint64_t version;
	bool deleted;
	bool damaged; /* its sum is wrong: there is no value */
};

/* 1; 0: no such record; -1, which a damaged one is, too. */
int table_get(struct table *b, const char *id, struct record *r, struct err *e);
/*
 * Put, with its index entries.  `m` is of the table's message, its id is in
 * it; `old` is what table_get gave for that id in this transaction, or NULL.
 * The record gets the next version, which goes to *version (may be NULL).
 */
int table_put(struct table *b, const struct record *old,
    const ProtobufCMessage *m, bool deleted, uint64_t *version, struct arena *a,
    struct err *e);
/* Make all index entries anew, after damage was put right. */
int table_reindex(struct table *b, struct err *e);
/* Remove for good. */
int table_purge(
    struct table *b, const struct record *old, struct arena *a, struct err *e);

struct table_filter {
	const char *field;
	char *const *values;
	size_t n;
};

struct table_query {
	const struct table_filter *filters;
	size_t n;
	const char *order; /* NULL or "": the first index's */
	bool ascending, deleted;
	int64_t min, max; /* 0: no bound */
	size_t limit;
	const char *cursor; /* NULL or "": from the start */
};

/*
 * The records of one page, in r[0..], at most q->limit (1 .. TABLE_PAGE_MAX)
 * and about TABLE_PAGE_BYTES.  *next is where the next page starts, NULL at the
 * end.  Their count, or -1: no index for this, a value that the field cannot
 * have, a cursor of another list (RC_PERM); trouble with the disk (RC_TEMP).
 */
ssize_t table_list(struct table *b, const struct table_query *q,
    struct record *r, const char **next, struct arena *a, struct err *e);

/*
 * Every record of a table by its id: for (after = NULL; ...; after = r.id),
 * damaged ones, too.
 */
int table_walk(struct table *b, const char *after, struct record *r,
    struct arena *a, struct err *e);

/* A string field by its path ("trigger.commit.hash"); "" where it is unset. */
const char *table_text(
    const struct table *b, const ProtobufCMessage *m, const char *field);
const char *table_id(const struct table *b, const ProtobufCMessage *m);
const char *table_project(const struct table *b, const ProtobufCMessage *m);
void table_id_set(const struct table *b, ProtobufCMessage *m, char *id);
/* created_at where it is 0, updated_at always, where the message has them. */
void table_stamp(
    const struct table *b, ProtobufCMessage *m, int64_t now, bool fresh);
/* Empty the hidden fields, for those who may not see them. */
void table_hide(const struct table *b, ProtobufCMessage *m);
/*
 * Take the hidden fields from `old`, and with them a repeated field that they
 * are in; without `old` there are none.  What is taken stays in `old`, too.
 */
void table_keep(
    const struct table *b, ProtobufCMessage *m, const ProtobufCMessage *old);

/*
 * A plain map of bytes beside the tables, for what is no record (stage logs).
 * Keys are 1 to 511 bytes.
 */
struct plain;
struct plain *tables_plain(struct tables *t, const char *name);
int plain_get(struct plain *p, const void *k, size_t kn, const void **v,
    size_t *n, struct err *e);
/* 1, or 0 when it is there and `fresh`. */
int plain_put(struct plain *p, const void *k, size_t kn, const void *v,
    size_t n, bool fresh, struct err *e);
int plain_del(struct plain *p, const void *k, size_t kn, struct err *e);
/* The first at or after k of those that begin with its first `prefix` bytes. */
int plain_seek(struct plain *p, const void *k, size_t kn, size_t prefix,
    const void **key, size_t *keyn, const void **v, size_t *n, struct err *e);

/* JSON lines: a record as jq wants it, and back.  The deleted are marked. */
int table_line(struct table *b, const struct record *r, struct buf *out,
    struct arena *a, struct err *e);
/* 0; -1 names the byte or the field. */
int table_parse(struct table *b, const char *line, size_t n,
    ProtobufCMessage **m, bool *deleted, struct arena *a, struct err *e);

/*
 * Look at everything in a table: each record readable and under its id, each
 * index entry wanted, none missing.  What is wrong is handed to `say`, a line
 * each.  The number of records, or -1.
 */
int64_t table_verify(struct table *b, void (*say)(void *arg, const char *line),
    void *arg, struct err *e);

/* A copy of the environment as it is now, compacted, into an empty dir. */
int tables_backup(struct tables *t, const char *dir, struct err *e);

struct tables_stat {
	uint64_t map_bytes, used_bytes, readers, stale_readers;
	uint64_t commits, commit_us; /* of this process */
};
void tables_stat(struct tables *t, struct tables_stat *s);
uint64_t table_count(struct table *b);
/* Free the slots of readers that died; how many. */
int tables_tidy(struct tables *t);

#endif
