/* The manual section on frames, made from frame.def and the descriptors. */
#include <string.h>

#include "frame.h"
#include "shape.h"

static const char *
type_name(const struct field *f)
{
	switch (f->d->type) {
	case PROTOBUF_C_TYPE_STRING:
		return "string";
	case PROTOBUF_C_TYPE_BYTES:
		return "base64";
	case PROTOBUF_C_TYPE_BOOL:
		return "bool";
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_DOUBLE:
		return "number";
	case PROTOBUF_C_TYPE_ENUM:
		return f->en->d->name;
	case PROTOBUF_C_TYPE_MESSAGE:
		return f->msg->special == RAW ? "JSON" : f->msg->d->name;
	default:
		return "integer";
	}
}

static void
print_fields(FILE *out, const struct shape *s)
{
	const struct field *f;

	for (f = s->f; f < s->f + s->n; f++) {
		fprintf(out, "\t\t%s: ", f->name[MSG_FRAME]);
		if (f->map)
			fprintf(out, "map of %s", type_name(&f->msg->f[1]));
		else
			fprintf(out, "%s%s",
			    f->d->label == PROTOBUF_C_LABEL_REPEATED
				? "list of "
				: "",
			    type_name(f));
		fprintf(out, "%s\n",
		    f->d->label == PROTOBUF_C_LABEL_REQUIRED ? ", required"
							     : "");
	}
}

void
frame_manual(FILE *out)
{
	static const struct {
		const char *kind, *from, *to, *doc;
		const ProtobufCMessageDescriptor *d;
	} row[] = {
#define FRAME(k, M, m, cls, from, to, doc) \
	{ #k, from, to, doc, &frame__##m##__descriptor },
#include "frame.def"
	};
	size_t i;

	for (i = 0; i < NITEMS(row); i++) {
		fprintf(out, "\t%s\t(%s; %s -> %s)\n\t\t%s\n", row[i].kind,
		    frame_is_ask((enum frame_kind)i) ? "ASK" : "TELL",
		    row[i].from, row[i].to, row[i].doc);
		print_fields(out, shape_of(row[i].d));
	}
}
