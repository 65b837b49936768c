/* Answers, and the heads of messages between our processes. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "daemon.h"
#include "msg.h"

void
says_head(uint8_t head[SAYS_HEAD], int what, uint64_t id)
{
	head[0] = (uint8_t)what;
	memcpy(head + 1, &id, sizeof(id));
}

int
says_read(const uint8_t **p, size_t *n, uint64_t *id)
{
	int what;

	if (*n < SAYS_HEAD)
		return 0;
	what = **p;
	memcpy(id, *p + 1, sizeof(*id));
	*p += SAYS_HEAD, *n -= SAYS_HEAD;
	return what;
}

void
answer_init(struct answer *w, uint64_t id, struct arena *a)
{
	store__reply__init(&w->r);
	w->r.id = id;
	w->a = a;
}

void
answer_say(struct answer *w, Store__Code code, const char *fmt, ...)
{
	char text[480];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	w->r.code = code;
	w->r.error = arena_strdup(w->a, text);
}

void
answer_err(struct answer *w, Store__Code code, const struct err *e)
{
	answer_say(w, code, "%s", e->text);
}

void
answer_add(struct answer *w, Store__Record *r)
{
	size_t n = w->r.n_records;

	/* Grown by powers of two. */
	if ((n & (n - 1)) == 0) {
		Store__Record **grown =
		    arena_array(w->a, Store__Record *, n == 0 ? 1 : n * 2);

		if (n > 0)
			memcpy(grown, w->r.records, n * sizeof(*grown));
		w->r.records = grown;
	}
	w->r.records[w->r.n_records++] = r;
}

Store__Record *
record_show(const struct table *b, const struct record *r, struct arena *a,
    struct err *e)
{
	Store__Record *s = arena_new_of(a, Store__Record);
	ProtobufCMessage *m;

	store__record__init(s);
	s->id = (char *)(uintptr_t)r->id;
	s->version = r->version;
	s->deleted = r->deleted;
	s->value.data = (uint8_t *)(uintptr_t)r->value;
	s->value.len = r->n;
	if (table_hides(b) && r->value != NULL) {
		m = msg_unpack(table_message(b), r->value, r->n, a, 0, e);
		if (m == NULL) {
			err_wrap(e, "%s %s", table_name(b), r->id);
			return NULL;
		}
		table_hide(b, m);
		s->value.len = protobuf_c_message_get_packed_size(m);
		s->value.data = arena_alloc(a, s->value.len + 1);
		protobuf_c_message_pack(m, s->value.data);
	}
	return s;
}
