/* funcs.h - functions take evaluated arguments and set *out; all of one shape.
 */
#ifndef PIPECD_TMPL_FUNCS_H
#define PIPECD_TMPL_FUNCS_H

#include "internal.h"

#define FUNC(name, f, least, most) \
	int fn_##f(struct run *r, const char *at, struct tmpl_value *out, \
	    const struct tmpl_value *v, size_t n);
#include "funcs.def"

/* A string argument; anything else is an error that names the function. */
int want_str(struct run *r, const char *at, const struct tmpl_value *v);
/* A number, or a string that is one. */
int want_int(
    struct run *r, const char *at, const struct tmpl_value *v, int64_t *i);
/* A value as it prints, in the arena. */
int as_str(struct run *r, const char *at, const struct tmpl_value *v,
    struct tmpl_value *s);
/* The buffer's bytes as a value; frees it. */
int give(struct run *r, const char *at, struct buf *b, struct tmpl_value *out);

#endif
