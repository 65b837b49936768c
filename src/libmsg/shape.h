/*
 * shape.h - message descriptors made ready for JSON: names quoted, looked up
 * by hash, short enum names cut.  Private to libmsg.
 */
#ifndef PIPECD_SHAPE_H
#define PIPECD_SHAPE_H

#include "msg.h"

enum {
	FIELDS = 128 /* the most fields a message may have */
};

struct enum_name {
	const char *full, *brief;
	size_t nfull, nbrief;
	int value;
};

struct enum_shape {
	const ProtobufCEnumDescriptor *d;
	struct enum_name *v; /* by number, as in d->values */
	size_t n;
	bool dense; /* v[i].value == v[0].value + i */
};

struct shape;
struct field {
	const ProtobufCFieldDescriptor *d;
	const struct shape *msg;
	const struct enum_shape *en;
	const char *name[2]; /* by mapping; the same pointer when equal */
	size_t nname[2];
	const char *lead[2]; /* ,"name": */
	size_t nlead[2];
	size_t size; /* of one element in memory */
	bool map;    /* repeated entries with string keys: a JSON object */
	bool always; /* a status: frames name it also when it is the first */
};

enum special {
	MESSAGE,
	RAW,	/* frame.Json: the value itself */
	WRAPPER /* google.protobuf.BoolValue and the like: a bare value */
};

struct shape {
	const ProtobufCMessageDescriptor *d;
	struct field *f; /* in d->fields' order */
	size_t n;
	enum special special;
	uint64_t required[FIELDS / 64];
	uint16_t *slot; /* number of the field + 1 by hash of its names */
	size_t mask;
	struct checks *checks; /* its value rules, NULL: not yet asked for */
};

/* The same answer for the same descriptor; kept for the process's life. */
const struct shape *shape_of(const ProtobufCMessageDescriptor *d);
struct shape *shape_get(const ProtobufCMessageDescriptor *d); /* for checks */
const struct enum_shape *enum_shape_of(const ProtobufCEnumDescriptor *d);

/* The field of this name in either spelling, NULL when there is none. */
const struct field *shape_field(
    const struct shape *s, const char *name, size_t n);
const struct enum_name *enum_by_value(const struct enum_shape *s, int value);
const struct enum_name *enum_by_name(
    const struct enum_shape *s, const char *name, size_t n);

/* Where a field and its has, case or count are. */
#define FIELD_AT(m, fd) ((void *)((char *)(uintptr_t)(m) + (fd)->offset))
#define FIELD_QUANTITY(m, fd, type) \
	((type *)(void *)((char *)(uintptr_t)(m) + (fd)->quantifier_offset))

/* Append {"a":1,...}, or with `more` only its inside, a comma first. */
void msg_fields(struct buf *b, const struct shape *s, const ProtobufCMessage *m,
    enum msg_mapping how, bool more);

/*
 * Read one object into a new message; a member that is no field of it goes to
 * `other` (NULL: all are skipped), which reads or skips the value.  NULL with
 * *e set when something is wrong.
 */
struct json;
typedef bool other_fn(struct json *j, const char *key, size_t n, void *arg);
ProtobufCMessage *msg_members(struct json *j, const struct shape *s,
    enum msg_mapping how, other_fn *other, void *arg, struct err *e);

#endif
