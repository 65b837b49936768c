/*
 * tmpl.h - the part of Go's text/template that PipeCD's users write: text,
 * field paths, pipelines, if, range, with, variables, and pure functions (see
 * funcs.def).  What is not here is an error that names it.  Nothing reads the
 * environment, a file or the network.
 */
#ifndef PIPECD_TMPL_H
#define PIPECD_TMPL_H

#include "base.h"

enum {
	TMPL_STEPS = 200000,	/* evaluation stops here */
	TMPL_OUT_MAX = 8 << 20, /* and here, of bytes written or made */
	TMPL_DEPTH = 50		/* nesting of blocks and parentheses */
};

enum tmpl_kind {
	TMPL_NIL,
	TMPL_BOOL,
	TMPL_INT,
	TMPL_STR,
	TMPL_LIST,
	TMPL_MAP
};

struct tmpl_value {
	enum tmpl_kind kind;
	bool b;
	int64_t i;     /* of a list: how deep it is */
	const char *s; /* not always NUL-terminated */
	size_t len;    /* of s, or of items */
	struct tmpl_value *items;
	const char **keys; /* of a map, as they were put */
};

/* Data is built in an arena that outlives the rendering. */
struct tmpl_value tmpl_str(const char *s, size_t n);
struct tmpl_value tmpl_map(void);
void tmpl_put(struct tmpl_value *map, const char *key, struct tmpl_value v,
    struct arena *a);

/*
 * Append the rendered text.  `name` is for messages: "name:line:col: what".
 * A missing key is an error.  0, or -1 with *out as it was.
 */
int tmpl_render(struct buf *out, const char *name, const char *text, size_t n,
    const struct tmpl_value *data, struct err *e);

#endif
