/*
 * rows.h - the tables that the *.def files make, and the reader over them.
 *
 * A .def file is a list of objects, each a list of rows, a row per key:
 *
 *	OBJECT(name, HOW, rule, doc)	over struct conf_<name>
 *	STRUCT(name, HOW, rule, doc)	the same, and makes that struct
 *(confdef.h)
 *	SHAPE(name, HOW, rule, doc)	over no struct, or that of what it is in
 *	ROW(object, TYPE, key, member, sub, default, LIMIT, FLAGS, doc)
 *	NEST(object, key, sub, FLAGS, doc)	a map whose rows fill our struct
 *	CHECK(object, TYPE, key, sub, default, LIMIT, FLAGS, doc)   not kept
 *	END(name)
 *
 * The default is text in the syntax of the file, or NULL.
 */
#ifndef PIPECD_CONF_ROWS_H
#define PIPECD_CONF_ROWS_H

#include "conf.h"
#include "confdef.h"
#include "node.h"

enum key_type {
	K_STR,
	K_BOOL,
	K_INT,
	K_NUM,	    /* any number; not kept */
	K_DURATION, /* int64_t milliseconds */
	K_DAYS,	    /* the same, and "30d" is taken */
	K_PERCENT,  /* 10, "10", "10%"; int64_t */
	K_REPLICAS, /* the same, kept as text */
	K_STRS,	    /* const char **, and its size_t n behind it */
	K_PAIRS,    /* struct conf_pair *, the same */
	K_OFF,	    /* bool, the other way round: disabled -> on */
	K_OBJ,	    /* sub, in place */
	K_LIST,	    /* array of sub, size_t n behind it */
	K_NAMED,    /* the same as a map; its first member is the name */
	K_MAP,	    /* names to sub; not kept */
	K_MAPANY,   /* any map; not kept */
	K_JSON,	    /* const char *: sub (or any map) as JSON text */
	K_JSONS,    /* const char *: a list of sub */
	K_ANY,	    /* any value; not kept */
	K_INLINE,   /* the rows of sub are rows here */
	K_TYPES
};

enum {
	REQ = 1 << 0,	      /* missing is a mistake */
	REQ1 = 1 << 1,	      /* the same in the v1 form */
	V0 = 1 << 2,	      /* only the v0 form has it */
	V1 = 1 << 3,	      /* only the v1 form has it */
	OURS = 1 << 4,	      /* PipeCD does not have it */
	SECRET = 1 << 5,      /* shown as ****** */
	SECRET_FILE = 1 << 6, /* a path whose mode is looked at */
	REMOTE = 1 << 7,      /* a URL that may have a password in it */
	/* Which programs see it; none of these: all. */
	FOR_GITWATCH = 1 << 16,
	FOR_CHECKOUT = 1 << 17,
	FOR_PUSH = 1 << 18,
	FOR_PLAN = 1 << 19,
	FOR_EXEC = 1 << 20,
	FOR_DRIFT = 1 << 21,
	FOR_REPORT = 1 << 22,
	FOR_PLATFORM = 1 << 23,
	FOR_SCRIPT = 1 << 24,
	FOR_NONE = 1 << 25, /* programs of later days */
	FOR_API = 1 << 26,
	FOR_STORE = 1 << 27,
	FOR_OPS = 1 << 28,
	FOR_ANY = 0x1fff << 16,
};

/* How an object takes keys that it does not know. */
enum object_how {
	REFUSE,	  /* a mistake in v0 application kinds, else a warning */
	TOLERATE, /* PipeCD decodes it leniently everywhere: a warning */
	PROTO	  /* as REFUSE; a_key is aKey, and letters' case counts */
};

struct reader;
struct path;
struct object;

typedef void conf_rule(
    struct reader *r, const struct node *n, void *base, const struct path *at);

/* An entry of platformProviders; they become plugins. */
struct conf_provider {
	const char *name, *type;
	struct conf_pair *labels;
	size_t n_labels;
	const char *config;
};

struct key {
	const char *name;
	enum key_type type;
	int off; /* of the member, -1: none */
	int sub; /* OBJ_ of objects, 0: none */
	const char *dflt;
	int64_t min, max;
	bool ranged;
	const char *values; /* "A|B": a choice */
	unsigned flags;
	const char *doc;
};

struct object {
	const char *name;
	const struct key *keys;
	size_t n_keys, size;
	enum object_how how;
	conf_rule *rule;
	const char *doc;
};

enum object_id {
	OBJ_none,
#define STRUCT(name, how, rule, doc) OBJ_##name,
#define OBJECT(name, how, rule, doc) OBJ_##name,
#define SHAPE(name, how, rule, doc)  OBJ_##name,
#define ROW(...)
#define NEST(...)
#define CHECK(...)
#define END(name)
#include "all.def"
	OBJ__N
};
extern const struct object objects[OBJ__N];

/* Where in the file we are, for messages: a chain on the stack. */
struct path {
	const struct path *up;
	const char *name; /* NULL: an item */
	size_t index;
};

struct mistake {
	struct mistake *next;
	int line, col;
	bool warning;
	const char *text;
	unsigned order;
};

struct reader {
	const char *name; /* of the file */
	struct arena *a;
	bool v1;     /* the form being read: plugins, or the kinds of before */
	bool strict; /* unknown keys are mistakes */
	bool slice;  /* a part of a config that was checked before */
	bool run;    /* it is to be done now: what we cannot is a mistake */
	struct mistake *mistakes;
	unsigned n_mistakes, errors, warnings;
};

/* Note a mistake, or a warning, about the value at `n` (NULL: of `at`). */
void mistake(struct reader *r, const struct node *n, const struct path *at,
    const char *fmt, ...) PRINTF(4, 5);
void warning(struct reader *r, const struct node *n, const struct path *at,
    const char *fmt, ...) PRINTF(4, 5);
/* Sort them by line into the report; 0, or -1 with *e "name: 3 mistakes". */
int reader_end(struct reader *r, struct conf_report *out, struct err *e);

/*
 * Read a map (NULL or null: an empty one) by the rows of an object into its
 * struct; base may be NULL: then it is only checked.
 */
void read_object(struct reader *r, const struct object *o, const struct node *n,
    void *base, const struct path *at);
/* The same map as JSON: keys as we spell them, defaults filled in. */
void object_json(
    struct buf *b, const struct object *o, const struct node *n, bool v1);
const char *object_text(
    const struct object *o, const struct node *n, bool v1, struct arena *a);

/*
 * The row of a key, letters' case aside: that of this form if there is one.
 * *index is its place in a walk; *off is added to its member's.
 */
const struct key *key_find(
    const struct object *o, const char *name, bool v1, int *index, int *off);
/* The value of a key as PipeCD would pick it, NULL when absent or null. */
const struct node *key_value(const struct node *map, const char *name);
/* Walk the rows of an object, those of K_INLINE in their place. */
struct key_walk {
	const struct object *o[3];
	size_t i[3];
	int off[3];
	int depth;
};
void key_walk(struct key_walk *w, const struct object *o);
const struct key *key_next(struct key_walk *w, int *off);

/* --- envelopes and kinds (kind.c) ------------------------------------------
 */

struct envelope {
	const char *kind;
	const struct node *spec, *root, *slice;
};
/* Parse the text and its envelope: -1 when there is nothing to go on with. */
int envelope_read(
    struct envelope *v, struct reader *r, const char *text, size_t n);
void reader_init(struct reader *r, const char *name, struct arena *a);

#endif
