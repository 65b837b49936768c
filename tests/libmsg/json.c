/*
 * The pull reader and the writer: JSON from stdin, walked value by value and
 * written again; "skip" only checks it; "people" reads a list of objects.
 */
#include <stdio.h>
#include <string.h>

#include "json.h"

static void
walk(struct json *j, struct json_out *o)
{
	const char *s, *n;
	size_t len;
	bool b;

	switch (json_peek(j)) {
	case JSON_OBJECT:
		if (!json_object(j))
			break;
		for (json_out_object(o); json_key(j, &s); walk(j, o))
			json_out_key(o, s);
		json_out_end(o);
		break;
	case JSON_ARRAY:
		if (!json_array(j))
			break;
		for (json_out_array(o); json_item(j);)
			walk(j, o);
		json_out_end(o);
		break;
	case JSON_STRING:
		if (json_string(j, &s))
			json_out_string(o, s);
		break;
	case JSON_NUMBER:
		if (json_number(j, &n, &len))
			json_out_raw(o, n, len);
		break;
	case JSON_BOOL:
		if (json_bool(j, &b))
			json_out_bool(o, b);
		break;
	case JSON_NULL:
		if (json_null(j))
			json_out_null(o);
		break;
	default:
		json_fail(j, "wants a value");
	}
}

/* [{"name":"x","age":3,"height":1.5}, ...]: what a caller usually writes. */
static void
people(struct json *j)
{
	const char *key, *name;
	uint64_t big;
	double height;
	int64_t age;

	if (!json_array(j))
		return;
	while (json_item(j)) {
		name = "?";
		age = 0;
		height = 0;
		big = 0;
		if (json_object(j)) {
			while (json_key(j, &key))
				if (strcmp(key, "name") == 0)
					json_string(j, &name);
				else if (strcmp(key, "age") == 0)
					json_int(j, &age);
				else if (strcmp(key, "height") == 0)
					json_double(j, &height);
				else if (strcmp(key, "big") == 0)
					json_uint(j, &big);
				else
					json_skip(j);
		}
		if (j->what == NULL)
			printf("%s %lld %g %llu\n", name, (long long)age,
			    height, (unsigned long long)big);
	}
}

int
main(int argc, char *argv[])
{
	struct buf in = BUF_INIT, out = BUF_INIT;
	struct json_out o = { .b = &out };
	struct arena *a = arena_new();
	struct json j;
	struct err e;

	log_open("json", LOG_INFO);
	if (file_read("/dev/stdin", 64 << 20, &in, &e) == -1)
		die(&e);
	json_open(&j, in.p, in.len, a);
	if (argc > 1 && strcmp(argv[1], "skip") == 0)
		json_skip(&j);
	else if (argc > 1)
		people(&j);
	else
		walk(&j, &o);
	if (json_close(&j, &e) == -1)
		die(&e);
	printf("%s\n", out.p);
	buf_free(&in);
	buf_free(&out);
	arena_free(a);
	return 0;
}
