/* output.h - what the files that print share. */
#ifndef PIPECTL_OUTPUT_H
#define PIPECTL_OUTPUT_H

#include "ctl.h"

enum form {
	FORM_TEXT,
	FORM_ENUM,
	FORM_NAME,
	FORM_ID7,
	FORM_AGE,
	FORM_TIME,
	FORM_PAIRS,
	FORM_LIST,
	FORM_YES
};

struct column { /* head NULL: the end */
	const char *head, *path;
	enum form form;
	bool wide;
};
struct columns { /* rows of columns.def */
	const ProtobufCMessageDescriptor *of;
	const char *name;
	const struct column *v;
};

/* "a.b.c" of a message as text for a column; nothing where nothing is set. */
void field_text(
    struct buf *b, const ProtobufCMessage *m, const char *path, enum form form);
/* The messages of a repeated field. */
const ProtobufCMessage *const *field_messages(
    const ProtobufCMessage *m, const char *name, size_t *n);

#endif
