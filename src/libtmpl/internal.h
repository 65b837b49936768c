/* internal.h - what parser, evaluator and functions share. */
#ifndef PIPECD_TMPL_INTERNAL_H
#define PIPECD_TMPL_INTERNAL_H

#include "tmpl.h"

struct node;

enum node_kind {
	NODE_TEXT,
	NODE_ACTION, /* its pipeline's value is written */
	NODE_IF,
	NODE_WITH,
	NODE_RANGE,
};

enum arg_kind {
	ARG_VALUE, /* a literal */
	ARG_DOT,   /* . or .a.b */
	ARG_VAR,   /* $, $x, $x.a */
	ARG_PIPE,  /* (...), (...).a */
	ARG_FUNC,  /* a name; only first, or alone */
};

struct arg {
	enum arg_kind kind;
	const char *at;		 /* where in the text */
	struct tmpl_value value; /* ARG_VALUE */
	const char *name;	 /* ARG_VAR without $, ARG_FUNC */
	struct pipe *pipe;	 /* ARG_PIPE */
	const char **fields;
	size_t n_fields;
};

/* One command of a pipeline: a function with arguments, or one operand. */
struct cmd {
	struct arg *args;
	size_t n;
	struct cmd *next;
};

struct pipe {
	const char *var[2]; /* declared or assigned; NULL */
	bool assign;	    /* = and not := */
	struct cmd *first;
	const char *at;
};

struct node {
	enum node_kind kind;
	const char *s; /* NODE_TEXT */
	size_t len;
	struct pipe *pipe;
	struct node *body, *other; /* lists; other is else */
	struct node *next;
};

struct var {
	const char *name;
	struct tmpl_value v;
};

/* One rendering. */
struct run {
	const char *name, *text, *end; /* for messages */
	struct arena *a;
	struct buf *out;
	struct err *e;
	const struct tmpl_value *root;
	struct tmpl_value dot;
	struct var *vars; /* owned, a stack */
	size_t n_vars, cap_vars;
	int steps, depth;
	size_t made; /* bytes of strings made on the way */
};

struct node *tmpl_parse(struct run *r);
int tmpl_exec(struct run *r, const struct node *list);

/* "name:line:col: what"; returns -1. */
int tmpl_fail(struct run *r, const char *at, const char *fmt, ...) PRINTF(3, 4);

/* Count bytes about to be made; -1 when they are too many. */
int tmpl_spend(struct run *r, const char *at, size_t n);

/* How a value prints, and whether it is true. */
void tmpl_print(struct buf *b, const struct tmpl_value *v);
bool tmpl_true(const struct tmpl_value *v);
const char *tmpl_kind_name(enum tmpl_kind k);
void tmpl_quote(struct buf *b, const char *s, size_t n);
struct tmpl_value tmpl_int(int64_t i);
struct tmpl_value tmpl_bool(bool b);

/* A function of funcs.def, or NULL. */
struct func {
	const char *name;
	int least, most; /* arguments; most -1: any number */
	int (*call)(struct run *r, const char *at, struct tmpl_value *out,
	    const struct tmpl_value *v, size_t n);
};
const struct func *tmpl_func(const char *name);

#endif
