/*
 * json.h - read and write JSON with no tree in between.
 *
 * A reader walks once over a text that stays where it is:
 *
 *	json_open(&j, text, len, arena);
 *	if (json_object(&j))
 *		while (json_key(&j, &key))
 *			if (strcmp(key, "name") == 0)
 *				json_string(&j, &name);
 *			else
 *				json_skip(&j);
 *	return json_close(&j, e);
 *
 * Every member's value is read or skipped, and objects and arrays are walked
 * to their end.  The first mistake sticks: from there on everything returns
 * false, so that one look at the end is enough; json_close says what was wrong
 * and at which byte (from 1).
 *
 * It reads RFC 8259 and no more: one value, UTF-8, no lone surrogates.
 * Duplicate keys are the caller's business.
 */
#ifndef PIPECD_JSON_H
#define PIPECD_JSON_H

#include "base.h"

enum {
	JSON_DEPTH = 128
}; /* nesting that is followed */

enum json_type {
	JSON_NONE, /* no value starts here */
	JSON_OBJECT,
	JSON_ARRAY,
	JSON_STRING,
	JSON_NUMBER,
	JSON_BOOL,
	JSON_NULL
};

struct json {
	const char *start, *p, *end;
	struct arena *a;  /* for strings; may be NULL where none is read */
	size_t left;	  /* bytes that may still be taken from it */
	const char *what; /* the first mistake, NULL: none yet */
	size_t at;	  /* and its offset */
	int depth;
	bool first; /* nothing was read yet of the innermost object or array */
};

void json_open(struct json *j, const char *s, size_t n, struct arena *a);
/*
 * 0 when the text was one value and all of it was read; -1 with *e set
 * ("byte 17: ..."), RC_PERM.
 */
int json_close(struct json *j, struct err *e);
/* Refuse what was read, for the caller's own reasons; returns false. */
bool json_fail(struct json *j, const char *what);
/* What the next value is; JSON_NONE at the end and after a mistake. */
enum json_type json_peek(struct json *j);

/* Enter; then json_key or json_item until it returns false. */
bool json_object(struct json *j);
bool json_array(struct json *j);
/* The next member's name, in the arena. */
bool json_key(struct json *j, const char **key);
/* The same without a copy where it has no escapes; not NUL-terminated. */
bool json_span(struct json *j, const char **key, size_t *n);
bool json_item(struct json *j);

/* Read one value of this type; strings go to the arena, without NUL inside. */
bool json_string(struct json *j, const char **s);
bool json_int(struct json *j, int64_t *v); /* 3, 3.0 and 3e0 are three */
bool json_uint(struct json *j, uint64_t *v);
bool json_double(struct json *j, double *v);
bool json_bool(struct json *j, bool *v);
bool json_null(struct json *j);
/* A number as it was written: int64 and decimals stay exact. */
bool json_number(struct json *j, const char **s, size_t *n);
/* Any value, checked; its text lies between *s and *s + *n of the input. */
bool json_raw(struct json *j, const char **s, size_t *n);
bool json_skip(struct json *j);
/* Memory from the arena, counted against `left`; NULL is a mistake. */
void *json_alloc(struct json *j, size_t n);
/* Whether these bytes are one JSON value. */
bool json_valid(const char *s, size_t n);

/*
 * A writer appends to a buf and sets the commas:
 *
 *	struct json_out o = { .b = &buf };
 *
 *	json_out_object(&o);
 *	json_out_key(&o, "name");
 *	json_out_string(&o, name);
 *	json_out_end(&o);
 *
 * gives {"name":"..."} on one line.  Invalid UTF-8 comes out as U+FFFD.
 */
struct json_out {
	struct buf *b;
	uint64_t kind[2]; /* a bit per level: 1 object, 0 array */
	int depth;
	bool more; /* a comma is due before the next value */
};

void json_out_object(struct json_out *o);
void json_out_array(struct json_out *o);
void json_out_end(struct json_out *o); /* the innermost of them */
void json_out_key(struct json_out *o, const char *key);
void json_out_string(struct json_out *o, const char *s); /* NULL: null */
void json_out_stringn(struct json_out *o, const char *s, size_t n);
void json_out_int(struct json_out *o, int64_t v);
void json_out_uint(struct json_out *o, uint64_t v);
void json_out_double(struct json_out *o, double v); /* not finite: null */
void json_out_bool(struct json_out *o, bool v);
void json_out_null(struct json_out *o);
void json_out_raw(struct json_out *o, const char *s, size_t n); /* valid */

/* Just a quoted, escaped string; just a number, the shortest that is it. */
void json_quote(struct buf *b, const char *s, size_t n);
void json_print_double(struct buf *b, double v);
void json_print_float(struct buf *b, float v);

#endif
