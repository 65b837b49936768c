/*
 * The value rules, row by row: for each row a message is made that keeps all
 * rules, then one that breaks just this one, at its boundary.
 *	check all		every row; says how many
 *	check one TYPE		JSON of the API on stdin: "good", or what is wrong
 */
#include <stdio.h>
#include <stdlib.h>

#include "types.h"

static const struct row {
	const char *message, *field, *kind, *arg;
} rows[] = {
#define RULE(m, f, k, a) { m, f, #k, a },
#include "rules.def"
};

static bool
is(const struct row *r, const char *kind)
{
	return strcmp(r->kind, kind) == 0;
}

static const char *
rule_of(const char *message, const char *field, const char *kind)
{
	const struct row *r;

	for (r = rows; r < rows + NITEMS(rows); r++)
		if (strcmp(r->message, message) == 0 &&
		    strcmp(r->field, field) == 0 && is(r, kind))
			return r->arg;
	return NULL;
}

static void *
at(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	return (char *)m + f->offset;
}

static size_t *
count(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	return (size_t *)(void *)((char *)m + f->quantifier_offset);
}

/* --- a message that keeps every rule -------------------------------------- */

static ProtobufCMessage *good(
    const ProtobufCMessageDescriptor *d, struct arena *a, int depth);

static void
good_value(const ProtobufCMessageDescriptor *d,
    const ProtobufCFieldDescriptor *f, void *v, struct arena *a, int depth)
{
	const ProtobufCEnumDescriptor *en = f->descriptor;
	const char *in = rule_of(d->name, f->name, "IN");

	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
		if (in != NULL)
			*(char **)v = arena_strndup(a, in, strcspn(in, " "));
		else
			*(char **)v = arena_strdup(a, "vabcdef");
		break;
	case PROTOBUF_C_TYPE_ENUM:
		*(int *)v = in != NULL ? atoi(in) : en->values[0].value;
		break;
	case PROTOBUF_C_TYPE_INT64:
		*(int64_t *)v = 1;
		break;
	case PROTOBUF_C_TYPE_INT32:
		*(int32_t *)v = 1;
		break;
	case PROTOBUF_C_TYPE_UINT32:
		*(uint32_t *)v = 1;
		break;
	case PROTOBUF_C_TYPE_FLOAT:
		*(float *)v = 0.5f;
		break;
	case PROTOBUF_C_TYPE_MESSAGE:
		*(ProtobufCMessage **)v = good(f->descriptor, a, depth + 1);
		break;
	default:
		break;
	}
}

static ProtobufCMessage *
good(const ProtobufCMessageDescriptor *d, struct arena *a, int depth)
{
	ProtobufCMessage *m = arena_alloc(a, d->sizeof_message);
	const ProtobufCFieldDescriptor *f;
	void **list;

	must(depth < 20);
	d->message_init(m);
	for (f = d->fields; f < d->fields + d->n_fields; f++) {
		if (f->label != PROTOBUF_C_LABEL_REPEATED) {
			good_value(d, f, at(m, f), a, depth);
			continue;
		}
		list = arena_alloc(a, 16);
		good_value(d, f, list, a, depth);
		*(void **)at(m, f) = list;
		*count(m, f) = 1;
	}
	return m;
}

/* --- and one that does not ------------------------------------------------ */

/* A list of n times what it has one of. */
static void
repeat(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, size_t n,
    struct arena *a)
{
	void *one = **(void ***)at(m, f), **list = arena_array(a, void *, n);
	size_t i;

	for (i = 0; i < n; i++)
		list[i] = one;
	*(void ***)at(m, f) = list;
	*count(m, f) = n;
}

static char **
entry_part(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, size_t k)
{
	ProtobufCMessage *entry = **(ProtobufCMessage ***)at(m, f);

	return at(entry, &entry->descriptor->fields[k]);
}

static void
set_number(
    ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, int64_t value)
{
	if (f->type == PROTOBUF_C_TYPE_FLOAT)
		*(float *)at(m, f) = (float)value;
	else if (f->type == PROTOBUF_C_TYPE_INT64)
		*(int64_t *)at(m, f) = value;
	else
		*(int32_t *)at(m, f) = (int32_t)value;
}

static char *
letters(struct arena *a, int64_t n)
{
	struct buf b = BUF_INIT;
	char *s;

	while (n-- > 0) /* two bytes each: characters are counted */
		buf_adds(&b, "\xc3\xa9");
	s = arena_strdup(a, b.p);
	buf_free(&b);
	return s;
}

/*
 * Set the field to its n-th case; *ok says whether that keeps the rule.  False
 * when there are no more cases.
 */
static bool
set_case(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
    const struct row *r, int n, bool *ok, struct arena *a)
{
	static const struct {
		const char *pattern, *value;
		bool ok;
	} sample[] = {
		{ "^[^/].+$", "ab", true },
		{ "^[^/].+$", "a/b", true },
		{ "^[^/].+$", "", false },
		{ "^[^/].+$", "a", false },
		{ "^[^/].+$", "/ab", false },
		{ "^[^/].+$", "ab\nc", false },
		{ "^[a-zA-Z0-9]+(-[a-zA-Z0-9]+)*$", "a-B-9", true },
		{ "^[a-zA-Z0-9]+(-[a-zA-Z0-9]+)*$", "a", true },
		{ "^[a-zA-Z0-9]+(-[a-zA-Z0-9]+)*$", "", false },
		{ "^[a-zA-Z0-9]+(-[a-zA-Z0-9]+)*$", "a-", false },
		{ "^[a-zA-Z0-9]+(-[a-zA-Z0-9]+)*$", "a--b", false },
		{ "^[a-zA-Z0-9]+(-[a-zA-Z0-9]+)*$", "a_b", false },
	};
	int64_t arg = strtoll(r->arg, NULL, 10), i, seen = 0;
	const char *s = NULL;

	*ok = n == 0;
	if (n >= 2 && !is(r, "IN") && strstr(r->kind, "PATTERN") == NULL)
		return false;
	if (is(r, "REQUIRED")) {
		*(void **)at(m, f) = NULL;
		*ok = false;
		return n < 1;
	}
	if (is(r, "DEFINED")) {
		void *v = f->label == PROTOBUF_C_LABEL_REPEATED
			      ? *(void **)at(m, f)
			      : at(m, f);

		*(int *)v = n == 0 ? 777 : -1;
		*ok = false;
		return true;
	}
	if (is(r, "GT") || is(r, "GTE")) {
		set_number(m, f, arg + (is(r, "GT") ? 1 : 0) - n);
		return true;
	}
	if (is(r, "MIN_ITEMS") || is(r, "MAX_ITEMS")) {
		repeat(
		    m, f, (size_t)(is(r, "MIN_ITEMS") ? arg - n : arg + n), a);
		return true;
	}
	if (is(r, "MIN_LEN")) {
		*(char **)at(m, f) = letters(a, arg - n);
		return true;
	}
	if (is(r, "KEY_MIN_LEN") || is(r, "VALUE_MIN_LEN")) {
		if (n == 0 && rule_of(r->message, r->field, "KEY_PATTERN"))
			return true; /* what is good already */
		*entry_part(m, f, is(r, "VALUE_MIN_LEN")) = letters(a, arg - n);
		return true;
	}
	if (is(r, "PREFIX")) {
		*(char **)at(m, f) =
		    arena_printf(a, "%s%s", n == 0 ? "" : "x", r->arg);
		return true;
	}
	if (is(r, "IN")) {
		for (s = r->arg; *s != '\0' && seen < n; s++)
			seen += *s == ' ';
		*ok = *s != '\0' || n == 0;
		if (f->type == PROTOBUF_C_TYPE_ENUM)
			*(int *)at(m, f) = *ok ? atoi(s) : 0;
		else
			*(char **)at(m, f) =
			    *ok ? arena_strndup(a, s, strcspn(s, " "))
				: arena_strdup(a, "");
		return *ok || seen == n - 1;
	}
	for (i = 0; i < (int64_t)NITEMS(sample); i++)
		if (strcmp(sample[i].pattern, r->arg) == 0 && seen++ == n)
			break;
	must(seen > 0); /* a pattern without samples */
	if (i == (int64_t)NITEMS(sample))
		return false;
	*ok = sample[i].ok;
	*(is(r, "PATTERN") ? (char **)at(m, f) : entry_part(m, f, 0)) =
	    arena_strdup(a, sample[i].value);
	return true;
}

static void
check_row(const struct row *r, struct arena *a)
{
	const ProtobufCMessageDescriptor *d = find(r->message);
	const ProtobufCFieldDescriptor *f =
	    protobuf_c_message_descriptor_get_field_by_name(d, r->field);
	ProtobufCMessage *m;
	struct err e;
	int n, bad = 0, got;
	bool ok;

	if (f == NULL) {
		printf("%s has no %s\n", r->message, r->field);
		exit(1);
	}
	m = good(d, a, 0);
	if (msg_check(m, &e) == -1) {
		printf("%s is good, but %s\n", r->message, e.text);
		exit(1);
	}
	for (n = 0;; n++) {
		m = good(d, a, 0);
		if (!set_case(m, f, r, n, &ok, a))
			break;
		bad += !ok;
		got = msg_check(m, &e);
		if ((got == 0) != ok ||
		    (!ok &&
			(!str_prefix(e.text, r->field) ||
			    strchr(":[", e.text[strlen(r->field)]) == NULL))) {
			printf("%s.%s %s %s: case %d: %s\n", r->message,
			    r->field, r->kind, r->arg, n,
			    got == 0 ? "taken" : e.text);
			exit(1);
		}
	}
	must(bad > 0);
}

int
main(int argc, char *argv[])
{
	struct arena *a = arena_new();
	struct buf in = BUF_INIT;
	ProtobufCMessage *m;
	struct err e = { 0 };
	size_t i;

	log_open("check", LOG_INFO);
	learn_all();
	if (argc == 2 && strcmp(argv[1], "all") == 0) {
		for (i = 0; i < NITEMS(rows); i++) {
			check_row(&rows[i], a);
			arena_reset(a);
		}
		printf("%zu rules\n", i);
	} else if (argc == 3 && strcmp(argv[1], "one") == 0) {
		if (file_read("/dev/stdin", 64 << 20, &in, &e) == -1)
			die(&e);
		m = msg_from_json(
		    find(argv[2]), in.p, in.len, MSG_API, a, 0, &e);
		if (m == NULL)
			die(&e);
		printf("%s\n", msg_check(m, &e) == 0 ? "good" : e.text);
	} else {
		usage("check all|one TYPE");
	}
	buf_free(&in);
	arena_free(a);
	return 0;
}
