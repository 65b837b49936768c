/*
 * node.h - YAML and JSON text as one lean tree.  24 bytes a node: a manifest of
 * 50 MB stays within a few times its size.  Lists are chains; a map is a chain
 * of key, value, key, value.  Keys and strings are NUL-terminated, and have no
 * NUL inside.
 */
#ifndef PIPECD_NODE_H
#define PIPECD_NODE_H

#include "base.h"

enum node_type {
	NODE_NULL,
	NODE_BOOL,   /* text is "true" or "false" */
	NODE_NUMBER, /* text is the number as JSON has it: 017 is "15" */
	NODE_STRING,
	NODE_SEQ,
	NODE_MAP,
};

enum {
	NODE_DEPTH = 64,	   /* nesting; libyaml is quadratic in it */
	NODE_TEXT_MAX = 100 << 20, /* bytes of a file */
};

struct node {
	union {
		const char *text;
		struct node *first;
	};
	struct node *next;
	uint64_t type : 3;
	uint64_t merged : 1; /* came in by `<<` */
	uint64_t n : 27;     /* bytes of text, items, or pairs */
	uint64_t line : 23;  /* from 1 */
	uint64_t col : 10;   /* from 1; 1023: there or further right */
};

/* Where nodes of one tree come from: many share an allocation. */
struct nodes {
	struct arena *a;
	struct node *free;
	size_t n_free, grow;
	char *text;
	size_t n_text;
};

struct node *node_new(struct nodes *ns, enum node_type t, int line, int col);
/* Copy n bytes into the tree's memory, and a NUL behind them. */
const char *node_text(struct nodes *ns, const char *s, size_t n);

/*
 * Read the first document of a YAML text: YAML 1.1 scalars, `<<` merged,
 * duplicate keys resolved (the last one counts), keys made strings.  An alias
 * shares what its anchor has, so a bomb is refused by what it would be, not by
 * what it takes.  Errors are "name:line:col: what".  `seen` (may be NULL) gets
 * each key that was given twice.
 */
struct node_seen {
	void (*twice)(void *arg, const struct node *key);
	void *arg;
};
int node_yaml(struct node **root, const char *name, const char *text, size_t n,
    const struct node_seen *seen, struct arena *a, struct err *e);
/* Read one JSON value. */
int node_json(struct node **root, const char *name, const char *text, size_t n,
    struct arena *a, struct err *e);

/* Append it as JSON on one line; NULL is null. */
void node_print(struct buf *b, const struct node *n);
/*
 * Append it as YAML in blocks, each line after `indent` blanks and ended.  Keys
 * keep their order; text is plain where nobody can take it for something else.
 */
void node_print_yaml(struct buf *b, const struct node *n, int indent);
/* Text as a YAML scalar on the line that b ends with. */
void node_plain(struct buf *b, const char *s);
/* The value of a key, NULL when a map does not have it (or it is no map). */
const struct node *node_get(const struct node *map, const char *key);

/* A string in JSON, which is also a string in YAML. */
void node_quote(struct buf *b, const char *s, size_t n);

/*
 * What a plain scalar means in YAML 1.1, as PipeCD's reader has it.  `tag` is
 * NULL or "tag:yaml.org,2002:int"; fills type, text and n of the node.
 */
int scalar_resolve(struct node *out, struct nodes *ns, const char *tag,
    bool plain, const char *s, size_t n, struct err *e);

#endif
