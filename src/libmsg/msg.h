/*
 * msg.h - protobuf messages as C structs, packed bytes and JSON, all from the
 * descriptors that protobuf-c makes out of the .proto files.  No message has a
 * codec of its own.
 */
#ifndef PIPECD_MSG_H
#define PIPECD_MSG_H

#include <protobuf-c/protobuf-c.h>

#include "base.h"

/*
 * The two JSON mappings.
 * MSG_FRAME  names as in the .proto, 64-bit integers as numbers, short enum
 *	names (without the prefix their values share), absent when default
 *	(but for a `status`, which people select by);
 *	frame.Json is embedded as it is.
 * MSG_API  the proto3 JSON mapping: camelCase, 64-bit integers as strings,
 *	full enum names, bytes as base64; both spellings are read.
 */
enum msg_mapping {
	MSG_FRAME,
	MSG_API
};

enum {
	MSG_DEPTH = 32
}; /* nesting that readers accept */

/* Append one JSON value; no newline. */
void msg_json(struct buf *b, const ProtobufCMessage *m, enum msg_mapping how);

/*
 * Read a message from a JSON object.  Everything lives in `a`, is never more
 * than `budget` bytes (0: 64 MiB), and lines borrow nothing from `s`.
 * Unknown fields are skipped; a missing required field, a wrong type, a number
 * out of range, invalid UTF-8, NUL in a string are errors that name the field
 * and, where it helps, the byte.
 */
ProtobufCMessage *msg_from_json(const ProtobufCMessageDescriptor *d,
    const char *s, size_t n, enum msg_mapping how, struct arena *a,
    size_t budget, struct err *e);

/* Append the packed bytes. */
void msg_pack(struct buf *b, const ProtobufCMessage *m);

/*
 * The reverse, with the same ownership and budget: small inputs can ask for
 * much memory (x24 was measured), so what is decoded is counted.
 */
ProtobufCMessage *msg_unpack(const ProtobufCMessageDescriptor *d, const void *p,
    size_t n, struct arena *a, size_t budget, struct err *e);

/* A deep copy into `a`. */
void *msg_copy(const void *m, struct arena *a);

/*
 * Whether the message and all that is in it keeps the value rules of rules.def
 * (strings that must not be empty, bounds of numbers, ...).  -1 with *e set at
 * the first that is broken: "deployment.stages[1].id: must not be empty".
 */
int msg_check(const ProtobufCMessage *m, struct err *e);

/* An enum value's name, short or full; "?" for a number not in it. */
const char *msg_enum_name(
    const ProtobufCEnumDescriptor *d, int value, enum msg_mapping how);
/* The value of a name in either form; -1 when there is none. */
int msg_enum_value(const ProtobufCEnumDescriptor *d, const char *name);

#endif
