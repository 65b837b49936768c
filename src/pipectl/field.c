#include <stdio.h>
#include <string.h>

#include "ctl.h"
#include "output.h"
#include "text.h"

/*
 * A field of a message by its path, as text for a column, through protobuf-c's
 * descriptors.
 */

#define AT(type, p) (*(type const *)(const void *)(p))

/* The member `name` of m: its descriptor and place; NULL: not there. */
static const ProtobufCFieldDescriptor *
member(const ProtobufCMessage *m, const char *name, size_t n, const char **at)
{
	const ProtobufCFieldDescriptor *f;
	unsigned i;

	for (i = 0; i < m->descriptor->n_fields; i++) {
		f = &m->descriptor->fields[i];
		if (strlen(f->name) == n && memcmp(f->name, name, n) == 0) {
			*at = (const char *)m + f->offset;
			return f;
		}
	}
	return NULL;
}

/* Follow all of the path but its last name. */
static const ProtobufCFieldDescriptor *
walk(const ProtobufCMessage *m, const char *path, const char **at)
{
	const ProtobufCFieldDescriptor *f;
	size_t n;

	for (;;) {
		n = strcspn(path, ".");
		f = member(m, path, n, at);
		must(f != NULL); /* columns.def names what there is */
		if (path[n] == '\0')
			return f;
		m = AT(ProtobufCMessage *, *at);
		if (m == NULL)
			return NULL;
		path += n + 1;
	}
}

const ProtobufCMessage *const *
field_messages(const ProtobufCMessage *m, const char *name, size_t *n)
{
	const ProtobufCFieldDescriptor *f;
	const char *at;

	f = walk(m, name, &at);
	must(f->label == PROTOBUF_C_LABEL_REPEATED &&
	     f->type == PROTOBUF_C_TYPE_MESSAGE);
	*n = AT(size_t, (const char *)m + f->quantifier_offset);
	return AT(const ProtobufCMessage *const *, at);
}

static int64_t
number(const ProtobufCFieldDescriptor *f, const char *at)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_UINT64:
		return AT(int64_t, at);
	case PROTOBUF_C_TYPE_BOOL:
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_ENUM:
		return AT(int32_t, at);
	default:
		return 0;
	}
}

static void
one_text(struct buf *b, const char *s)
{
	struct arena *a = arena_new();

	buf_adds(b, text_inert(a, s, false));
	arena_free(a);
}

static void
list(struct buf *b, const ProtobufCMessage *m,
    const ProtobufCFieldDescriptor *f, const char *at, bool pairs)
{
	size_t i, n = AT(size_t, (const char *)m + f->quantifier_offset);
	const ProtobufCMessage *entry;

	for (i = 0; i < n; i++) {
		if (i > 0)
			buf_addc(b, ',');
		if (!pairs) {
			one_text(b, AT(char **, at)[i]);
			continue;
		}
		entry = AT(ProtobufCMessage **, at)[i];
		field_text(b, entry, "key", FORM_TEXT);
		buf_addc(b, '=');
		field_text(b, entry, "value", FORM_TEXT);
	}
}

static void
age(struct buf *b, int64_t s)
{
	if (s < 120)
		buf_printf(b, "%llds", (long long)(s < 0 ? 0 : s));
	else if (s < 7200)
		buf_printf(b, "%lldm", (long long)(s / 60));
	else if (s < 172800)
		buf_printf(b, "%lldh", (long long)(s / 3600));
	else
		buf_printf(b, "%lldd", (long long)(s / 86400));
}

void
field_text(
    struct buf *b, const ProtobufCMessage *m, const char *path, enum form form)
{
	const ProtobufCFieldDescriptor *f;
	const char *at, *s;
	char iso[21];
	int64_t v;

	if ((f = walk(m, path, &at)) == NULL)
		return;
	if (form == FORM_PAIRS || form == FORM_LIST) {
		list(b, m, f, at, form == FORM_PAIRS);
		return;
	}
	if (f->type == PROTOBUF_C_TYPE_STRING) {
		s = AT(char *, at);
		if (form == FORM_ID7)
			buf_printf(b, "%.7s", s);
		else
			one_text(b, s);
		return;
	}
	v = number(f, at);
	switch (form) {
	case FORM_ENUM:
	case FORM_NAME:
		buf_adds(b, msg_enum_name(f->descriptor, (int)v,
				form == FORM_ENUM ? MSG_FRAME : MSG_API));
		break;
	case FORM_YES:
		buf_adds(b, v != 0 ? "yes" : "");
		break;
	case FORM_AGE:
		if (v != 0)
			age(b, wall_s() - v);
		break;
	case FORM_TIME:
		if (v == 0)
			break;
		time_iso(iso, v);
		buf_adds(b, iso);
		break;
	default:
		buf_printf(b, "%lld", (long long)v);
		break;
	}
}
