/*
 * Messages of every type that is in the .proto files:
 *	msg list			their names
 *	msg all ROUNDS			fill each with values, and every way
 *					there and back gives the same bytes
 *	msg convert TYPE FROM TO [BUDGET]
 *					stdin to stdout; FROM and TO are
 *					frame, api or pack
 *	msg enum NAME			numbers, short and full names
 *	msg flood TYPE TAG BYTES BUDGET	so many empty entries of a field
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "json.h"
#include "types.h"

/* --- values --------------------------------------------------------------- */

static uint64_t seed = 1;

static uint64_t
dice(uint64_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % n;
}

static char *
some_text(struct arena *a)
{
	static const char *const part[] = { "", "web", "\"\\/", "\b\f\n\r\t",
		"\x01\x1f\x7f", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
		"a b", "\xef\xbf\xbf", "</script>" };

	return arena_printf(
	    a, "%s%s", part[dice(NITEMS(part))], part[dice(NITEMS(part))]);
}

static ProtobufCMessage *fill(
    const ProtobufCMessageDescriptor *d, struct arena *a, int depth);

static void
some_value(
    const ProtobufCFieldDescriptor *f, void *at, struct arena *a, int depth)
{
	static const int64_t whole[] = { 0, 1, -1, 1700000000, INT64_MAX,
		INT64_MIN, ((int64_t)1 << 53) + 1 };
	static const int32_t small[] = { 0, 1, -1, INT32_MAX, INT32_MIN };
	static const double real[] = { 0, -0.0, 0.1, 1e300, -5e-324, 3,
		(double)NAN, (double)INFINITY, -(double)INFINITY };
	const ProtobufCEnumDescriptor *e = f->descriptor;
	ProtobufCBinaryData *bytes = at;

	switch (f->type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_UINT64:
		*(int64_t *)at = whole[dice(NITEMS(whole))];
		break;
	case PROTOBUF_C_TYPE_DOUBLE:
		*(double *)at = real[dice(NITEMS(real))];
		break;
	case PROTOBUF_C_TYPE_FLOAT:
		*(float *)at = dice(3) == 0 ? 0.1f : (float)dice(100) / 7;
		break;
	case PROTOBUF_C_TYPE_BOOL:
		*(protobuf_c_boolean *)at = (int)dice(2);
		break;
	case PROTOBUF_C_TYPE_ENUM:
		*(int *)at =
		    dice(9) == 0 ? 777 : e->values[dice(e->n_values)].value;
		break;
	case PROTOBUF_C_TYPE_STRING:
		*(char **)at = some_text(a);
		break;
	case PROTOBUF_C_TYPE_BYTES:
		bytes->len = dice(6);
		bytes->data = arena_alloc(a, 8);
		memcpy(bytes->data, &seed, bytes->len);
		break;
	case PROTOBUF_C_TYPE_MESSAGE:
		*(ProtobufCMessage **)at = fill(f->descriptor, a, depth + 1);
		break;
	default:
		*(int32_t *)at = small[dice(NITEMS(small))];
		break;
	}
}

static void
some_list(const ProtobufCFieldDescriptor *f, ProtobufCMessage *m,
    struct arena *a, int depth)
{
	size_t n = dice(depth > 3 ? 2 : 4), i, size = 8;
	char *p, **key;

	if (f->type == PROTOBUF_C_TYPE_ENUM || f->type == PROTOBUF_C_TYPE_INT32)
		size = 4;
	if (n == 0)
		return;
	p = arena_calloc(a, n, 16);
	*(size_t *)(void *)((char *)m + f->quantifier_offset) = n;
	*(char **)(void *)((char *)m + f->offset) = p;
	for (i = 0; i < n; i++) {
		some_value(f, p + i * size, a, depth);
		if (f->type == PROTOBUF_C_TYPE_MESSAGE &&
		    str_suffix(
			((const ProtobufCMessageDescriptor *)f->descriptor)
			    ->name,
			"Entry")) { /* keys are different */
			ProtobufCMessage *e =
			    ((ProtobufCMessage **)(void *)p)[i];

			key =
			    (char **)(void *)((char *)e +
					      e->descriptor->fields[0].offset);
			*key = arena_printf(a, "%zu%s", i, *key);
		}
	}
}

static ProtobufCMessage *
fill(const ProtobufCMessageDescriptor *d, struct arena *a, int depth)
{
	ProtobufCMessage *m = arena_alloc(a, d->sizeof_message);
	const ProtobufCFieldDescriptor *f;
	bool entry = str_suffix(d->name, "Entry");

	d->message_init(m);
	for (f = d->fields; f < d->fields + d->n_fields; f++) {
		if (strcmp(d->name, "frame.Json") == 0) {
			*(char **)(void *)((char *)m + f->offset) =
			    arena_strdup(a, "{ \"a\":[1,2.50,\"\\u0041\"]}");
		} else if (f->label == PROTOBUF_C_LABEL_REPEATED) {
			some_list(f, m, a, depth);
		} else if (f->label == PROTOBUF_C_LABEL_REQUIRED || entry ||
			   (depth < 6 && dice(3) > 0)) {
			some_value(f, (char *)m + f->offset, a, depth);
			if (f->label == PROTOBUF_C_LABEL_OPTIONAL &&
			    f->type != PROTOBUF_C_TYPE_STRING &&
			    f->type != PROTOBUF_C_TYPE_MESSAGE)
				*(protobuf_c_boolean *)(void
					*)((char *)m + f->quantifier_offset) =
				    1;
		}
	}
	return m;
}

/* --- ways there and back -------------------------------------------------- */

static void
same(const struct buf *want, const ProtobufCMessage *m, const char *how,
    const struct err *e)
{
	struct buf got = BUF_INIT;

	if (m == NULL)
		die(e);
	msg_pack(&got, m);
	if (got.len != want->len || memcmp(got.p, want->p, got.len) != 0) {
		struct buf j = BUF_INIT;

		msg_json(&j, m, MSG_FRAME);
		fprintf(stderr, "%s: %s differs: %s\n", m->descriptor->name,
		    how, j.p);
		exit(1);
	}
	buf_free(&got);
}

static void
there_and_back(const ProtobufCMessageDescriptor *d, struct arena *a)
{
	struct buf pack = BUF_INIT, json[2] = { BUF_INIT, BUF_INIT },
		   again = BUF_INIT;
	ProtobufCMessage *m = fill(d, a, 0), *k;
	struct err e = { 0 };
	int how;

	msg_pack(&pack, m);
	same(&pack, msg_copy(m, a), "a copy", &e);
	k = msg_unpack(d, pack.p, pack.len, a, 0, &e);
	same(&pack, k, "unpack", &e);
	for (how = MSG_FRAME; how <= MSG_API; how++) {
		msg_json(&json[how], m, how);
		must(json_valid(json[how].p, json[how].len));
		must(strpbrk(json[how].p, "\r\n") == NULL);
		k = msg_from_json(d, json[how].p, json[how].len, how, a, 0, &e);
		same(
		    &pack, k, how == MSG_FRAME ? "frame JSON" : "API JSON", &e);
		buf_reset(&again);
		msg_json(&again, k, how);
		must(strcmp(again.p, json[how].p) == 0);
	}
	buf_free(&pack);
	buf_free(&json[0]);
	buf_free(&json[1]);
	buf_free(&again);
}

static int
convert(const char *name, const char *from, const char *to, size_t budget)
{
	const ProtobufCMessageDescriptor *d = find(name);
	struct buf in = BUF_INIT, out = BUF_INIT;
	struct arena *a = arena_new();
	ProtobufCMessage *m;
	struct err e;

	if (file_read("/dev/stdin", 64 << 20, &in, &e) == -1)
		die(&e);
	if (strcmp(from, "pack") == 0)
		m = msg_unpack(d, in.p, in.len, a, budget, &e);
	else
		m = msg_from_json(d, in.p, in.len,
		    strcmp(from, "api") == 0 ? MSG_API : MSG_FRAME, a, budget,
		    &e);
	if (m == NULL)
		die(&e);
	if (strcmp(to, "pack") == 0)
		msg_pack(&out, m);
	else
		msg_json(&out, m, strcmp(to, "api") == 0 ? MSG_API : MSG_FRAME);
	if (strcmp(to, "pack") != 0)
		buf_addc(&out, '\n');
	if (write_all(1, out.p, out.len) == -1)
		return 1;
	buf_free(&in);
	buf_free(&out);
	arena_free(a);
	return 0;
}

static int
flood(const char *name, unsigned tag, size_t n, size_t budget)
{
	struct arena *a = arena_new();
	struct buf b = BUF_INIT;
	ProtobufCMessage *m;
	struct err e = { 0 };

	while (b.len < n) {
		for (unsigned t = tag << 3 | 2;; t >>= 7) {
			buf_addc(&b, (char)(t > 127 ? (t & 127) | 128 : t));
			if (t <= 127)
				break;
		}
		buf_addc(&b, 0);
	}
	m = msg_unpack(find(name), b.p, b.len, a, budget, &e);
	printf("%s\n", m != NULL ? "taken" : e.text);
	must(arena_size(a) < budget + (1 << 20));
	buf_free(&b);
	arena_free(a);
	return 0;
}

int
main(int argc, char *argv[])
{
	struct arena *a;
	size_t i, k;

	log_open("msg", LOG_INFO);
	learn_all();
	if (argc == 2 && strcmp(argv[1], "list") == 0) {
		for (i = 0; i < ntype; i++)
			printf("%s\n", type[i]->name);
	} else if (argc == 3 && strcmp(argv[1], "all") == 0) {
		a = arena_new();
		for (k = (size_t)atol(argv[2]); k > 0; k--)
			for (i = 0; i < ntype; i++) {
				if (str_suffix(type[i]->name, "Entry"))
					continue;
				there_and_back(type[i], a);
				arena_reset(a);
			}
		arena_free(a);
	} else if (argc == 3 && strcmp(argv[1], "enum") == 0) {
		for (i = 0; i < nenum; i++)
			for (k = 0; strcmp(enums[i]->name, argv[2]) == 0 &&
				    k < enums[i]->n_values;
			     k++)
				printf("%d %s %s\n", enums[i]->values[k].value,
				    msg_enum_name(enums[i],
					enums[i]->values[k].value, MSG_FRAME),
				    msg_enum_name(enums[i],
					enums[i]->values[k].value, MSG_API));
	} else if (argc == 6 && strcmp(argv[1], "flood") == 0) {
		return flood(argv[2], (unsigned)atoi(argv[3]),
		    (size_t)atol(argv[4]), (size_t)atol(argv[5]));
	} else if (argc >= 5 && strcmp(argv[1], "convert") == 0) {
		return convert(argv[2], argv[3], argv[4],
		    argc > 5 ? (size_t)atol(argv[5]) : 0);
	} else {
		usage("msg list|all|convert|enum|flood ...");
	}
	return 0;
}
