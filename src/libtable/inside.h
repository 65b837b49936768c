/* inside.h - what the files of libtable share. */
#ifndef PIPECD_TABLE_INSIDE_H
#define PIPECD_TABLE_INSIDE_H

#include <lmdb.h>

#include "table.h"

enum {
	PATH_STEPS = 4,
	INDEX_FIELDS = 3,
	KEY_MAX = 511,
	VALUE_TEXT = 64, /* longer ones stand in keys as their hash */
	HEAD = 16	 /* of a record: form, flags, 2 spare, version, sum */
};

/* A field by its path, down from the table's message. */
struct path {
	const char *text; /* as in tables.def */
	const ProtobufCFieldDescriptor *step[PATH_STEPS];
	size_t n;
	bool many; /* a step is repeated */
};

struct index {
	int no; /* position among the table's, and in keys */
	struct path order;
	struct path field[INDEX_FIELDS];
	size_t n;
};

struct table {
	struct tables *t;
	struct table *next;
	const char *name;
	const ProtobufCMessageDescriptor *d;
	struct path id, project;
	struct index *index;
	size_t n_index;
	struct path *hide;
	size_t n_hide;
	bool private;
	MDB_dbi records, entries;
};

struct plain {
	struct tables *t;
	struct plain *next;
	const char *name;
	MDB_dbi dbi;
};

struct tables {
	struct arena *a; /* names, paths, indexes */
	MDB_env *env;
	MDB_dbi meta;
	MDB_txn *txn, *reader; /* open now; kept for the next reading */
	struct table *first, *last;
	struct plain *plains;
	const char *dir;
	int flags;
	bool writing, full, broken;
	uint64_t version;
	uint64_t commits, commit_us;
};

int db_err(struct tables *t, int rc, struct err *e, const char *what);

/* field.c */
int path_compile(struct path *p, const ProtobufCMessageDescriptor *d,
    const char *text, struct arena *a, struct err *e);
/* Call f for each value of the field; NULL: the field is in none. */
void path_each(const struct path *p, const ProtobufCMessage *m,
    void (*f)(void *arg, const ProtobufCFieldDescriptor *d, const void *v),
    void *arg);
int64_t path_int(const struct path *p, const ProtobufCMessage *m);
/* A value as it stands in a key; false: not indexed (an empty string). */
bool value_key(struct buf *b, const ProtobufCFieldDescriptor *d, const void *v);
/* The same from the text of a filter. */
int value_text(
    struct buf *b, const struct path *p, const char *text, struct err *e);
void order_key(struct buf *b, int64_t order);
/* An id in a key, and back. */
int id_key(struct buf *b, const char *id, struct err *e);
char *id_text(const uint8_t *k, size_t n, struct arena *a);

/* entry.c: the index entries of a message, sorted. */
struct entries {
	struct entry {
		const char *p;
		size_t n;
	} * e;
	size_t n, cap;
	struct arena *a;
};
void entries_of(struct entries *es, const struct table *b,
    const ProtobufCMessage *m, bool deleted, struct arena *a);

ProtobufCMessage *record_message(const struct table *b, const struct record *r,
    struct arena *a, struct err *e);
/* false: damaged, which it then says. */
bool record_read(struct record *r, const MDB_val *v);

#endif
