/*
 * The pull reader: walking and skipping agree on what is JSON, and what is
 * written is read the same.
 * needs: libmsg libbase
 */
#include <string.h>

#include "json.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
walk(struct json *j, struct json_out *o)
{
	const char *s;
	double d;
	size_t n;
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
		if (!json_number(j, &s, &n))
			break;
		{
			struct json k;

			json_open(&k, s, n, NULL);
			if (json_double(&k, &d))
				json_out_double(o, d);
			else
				json_out_raw(o, s, n);
		}
		break;
	case JSON_BOOL:
		if (json_bool(j, &b))
			json_out_bool(o, b);
		break;
	default:
		if (json_null(j))
			json_out_null(o);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct arena *a = arena_new();
	struct buf one = BUF_INIT, two = BUF_INIT;
	struct json_out o = { .b = &one };
	struct json j;
	struct err e;
	bool ok;

	json_open(&j, (const char *)p, n, a);
	walk(&j, &o);
	ok = json_close(&j, &e) == 0;
	/* \u0000 may be skipped and not be read. */
	if (ok || strstr(e.text, "NUL") == NULL)
		must(ok == json_valid((const char *)p, n));
	if (ok) {
		must(json_valid(one.p, one.len));
		json_open(&j, one.p, one.len, a);
		o = (struct json_out){ .b = &two };
		walk(&j, &o);
		must(json_close(&j, &e) == 0);
		must(strcmp(one.p, two.p) == 0);
	}
	buf_free(&one);
	buf_free(&two);
	arena_free(a);
	return 0;
}
