/*
 * Records as JSON lines, in the mapping of frames: what `status` is called in
 * a journal it is called here.  "_deleted" is the one name that no message has.
 */
#include <string.h>

#include "inside.h"
#include "json.h"
#include "msg.h"

#define MARK "_deleted"

int
table_line(struct table *b, const struct record *r, struct buf *out,
    struct arena *a, struct err *e)
{
	ProtobufCMessage *m = record_message(b, r, a, e);
	size_t at;

	if (m == NULL)
		return -1;
	at = out->len;
	msg_json(out, m, MSG_FRAME);
	if (r->deleted) {
		struct buf rest = BUF_INIT;

		buf_add(&rest, out->p + at + 1, out->len - at - 1);
		out->len = at;
		buf_printf(out, "{\"" MARK "\":true%s%s",
		    rest.p[0] == '}' ? "" : ",", rest.p);
		buf_free(&rest);
	}
	buf_addc(out, '\n');
	return 0;
}

/* A field with a typing error would be lost without a word. */
static int
names_check(const struct table *b, const char *line, size_t n, bool *deleted,
    struct arena *a, struct err *e)
{
	const char *key, *odd = NULL;
	struct json j;

	*deleted = false;
	json_open(&j, line, n, a);
	if (json_object(&j))
		while (json_key(&j, &key)) {
			if (strcmp(key, MARK) == 0) {
				json_bool(&j, deleted);
				continue;
			}
			if (odd == NULL &&
			    protobuf_c_message_descriptor_get_field_by_name(
				b->d, key) == NULL)
				odd = key;
			json_skip(&j);
		}
	if (json_close(&j, e) == -1)
		return -1;
	return odd == NULL ? 0
			   : err_set(e, RC_PERM, "%s: a %s has no such field",
				 odd, b->name);
}

int
table_parse(struct table *b, const char *line, size_t n, ProtobufCMessage **m,
    bool *deleted, struct arena *a, struct err *e)
{
	struct buf key = BUF_INIT;
	int rv;

	if (names_check(b, line, n, deleted, a, e) == -1)
		return -1;
	*m = msg_from_json(b->d, line, n, MSG_FRAME, a, 0, e);
	if (*m == NULL)
		return -1;
	if ((rv = id_key(&key, table_id(b, *m), e)) == -1)
		err_wrap(e, "%s", b->id.text);
	buf_free(&key);
	return rv;
}
