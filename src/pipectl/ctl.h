/*
 * ctl.h - pipectl: a table of commands, what was given to one, who it asks and
 * how it prints the answer.
 */
#ifndef PIPECTL_H
#define PIPECTL_H

#include <stdio.h>

#include "msg.h"

/* --- the table: commands.def ----------------------------------------------- */

enum opt_type {
	OPT_STR,
	OPT_LIST,     /* repeated, or separated by commas */
	OPT_PAIRS,    /* the same of key=value or key:value */
	OPT_INT,      /* at least 0 */
	OPT_DURATION, /* 90s, 5m; milliseconds here */
	OPT_BOOL
};
enum {
	OPT_REQUIRED = 1,
	OPT_FIRST = 2 /* may also be given as the word after the verb */
};

struct opt { /* name NULL: the end of a list */
	const char *name;
	enum opt_type type;
	unsigned flags;
	const char *dflt, *values, *about; /* values: "A B C", or NULL */
};

enum target {
	TARGET_SERVER, /* the API of a control plane */
	TARGET_STORE,  /* the store of this host: --local */
	TARGET_EITHER,
	TARGET_NONE /* files only */
};

struct ctl;
struct command { /* noun NULL: the end */
	const char *noun, *verb;
	int (*run)(struct ctl *c, struct err *e); /* RC_OK, RC_NO, or -1 */
	enum target target;
	const char *about;
	const struct opt *opts;
};
extern const struct command commands[];
extern const struct opt global_opts[];

/* --- what was given: args.c ------------------------------------------------ */

struct given {
	const struct opt *opt;
	const char *value;
};

struct ctl {
	struct arena *a; /* of the whole run */
	const struct command *command;
	struct given *given;
	size_t n_given;
	const char **words; /* after the verb, beside an OPT_FIRST */
	size_t n_words;
	struct client *client; /* open where the command has a server */
	struct store *store;   /* the same of --local */
};

/* Fill c->command and what was given; -1 says what is wrong and what is. */
int args_parse(struct ctl *c, int argc, char *const argv[], struct err *e);
/* Of an option in the table; NULL, 0, false where there is none. */
const char *arg_str(const struct ctl *c, const char *name);
const char **arg_list(const struct ctl *c, const char *name, size_t *n);
bool arg_bool(const struct ctl *c, const char *name);
bool arg_given(const struct ctl *c, const char *name);
int64_t arg_int(const struct ctl *c, const char *name);
int64_t arg_ms(const struct ctl *c, const char *name);
/* Pairs as protobuf-c map entries of string to string. */
struct pair {
	const char *key, *value;
};
struct pair *arg_pairs(const struct ctl *c, const char *name, size_t *n);

/* The word of `words`, by the names in a table, that `s` was meant to be. */
struct near {
	const char *word;
	size_t distance;
};
void near_try(struct near *n, const char *given, const char *candidate);

extern const char synopsis[]; /* for usage */
void help(FILE *out, const char *noun, const char *verb);
/* The candidates for the last of these words, one per line. */
void complete(int argc, char *const argv[]);

/* --- whom it asks: client.c ------------------------------------------------ */

enum service {
	SERVICE_API,	 /* PipeCD's APIService */
	SERVICE_OPERATOR /* ours beside it */
};
int client_open(struct ctl *c, struct err *e);
void client_close(struct client *k);
/*
 * Call and wait.  The answer in c->a; NULL with *e, whose exit says what kind
 * of refusal: RC_NO nothing of that id, RC_PERM wrong or not allowed, RC_TEMP
 * may work later.
 */
void *client_call(struct ctl *c, enum service s, const char *method,
    const ProtobufCMessage *request, const ProtobufCMessageDescriptor *answer,
    struct err *e);
/*
 * Take messages of a stream until `take` returns other than 0, which is
 * returned, or the stream ends: 0; -1 with *e, RC_TEMP also when deadline_ms of
 * now_ms has come.
 */
int client_stream(struct ctl *c, enum service s, const char *method,
    const ProtobufCMessage *request, const ProtobufCMessageDescriptor *answer,
    int (*take)(void *arg, const ProtobufCMessage *m), void *arg,
    int64_t deadline_ms, struct err *e);
/* Sleep this long, or less when `deadline` (now_ms) is nearer: false then. */
bool client_wait(int64_t ms, int64_t deadline_ms);

/* --- how it prints: output.c ----------------------------------------------- */

enum format {
	FORMAT_TABLE,
	FORMAT_WIDE,
	FORMAT_JSON,
	FORMAT_YAML,
	FORMAT_NAME
};
enum format format_of(const struct ctl *c);
/*
 * One message, or the messages of a list answer (its repeated field `field`,
 * whose cursor, if it has one, goes with json and yaml).
 */
void print_one(struct ctl *c, const ProtobufCMessage *m);
/* One of several that come one by one; the first has the table's head. */
void print_message(struct ctl *c, const ProtobufCMessage *m, bool first);
/* A JSON object as the format asks; table and wide: `id value`; name: id. */
void print_json(
    struct ctl *c, const struct buf *json, const char *id, const char *value);
void print_list(
    struct ctl *c, const ProtobufCMessage *answer, const char *field);
/* --watch: the rows that changed since the last call; the first has a head. */
struct map;
void print_changed(struct ctl *c, const ProtobufCMessage *answer,
    const char *field, struct map *seen);

/* --- commands ---------------------------------------------------------------- */

#define CMD(noun, verb, fn, target, about, opts) \
	int fn(struct ctl *c, struct err *e);
#define OPT(...)
#include "commands.def"

#endif
