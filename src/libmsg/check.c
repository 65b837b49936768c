/* The value rules of rules.def, applied to a message and all that is in it. */
#include <inttypes.h>
#include <regex.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shape.h"

enum kind {
	REQUIRED,
	MIN_LEN,
	MIN_ITEMS,
	MAX_ITEMS,
	PATTERN,
	PREFIX,
	IN,
	DEFINED,
	GT,
	GTE,
	KEY_MIN_LEN,
	KEY_PATTERN,
	VALUE_MIN_LEN
};

static const struct row {
	const char *message, *field;
	enum kind kind;
	const char *arg;
} rows[] = {
#define RULE(m, f, k, a) { m, f, k, a },
#include "rules.def"
};

struct rule {
	enum kind kind;
	const char *arg;
	int64_t n;	/* the argument of a rule about a number or a length */
	regex_t *regex; /* of a pattern */
};

/* What is to be looked at in a message of one type. */
struct checks {
	struct checked {
		const struct field *f;
		struct rule *rule;
		size_t n;
		const struct checks *below; /* of a message, NULL: nothing */
	} * field;
	size_t n;
	bool any; /* there is a rule here or below */
};

/* Where we are: made into words only when something is wrong. */
struct place {
	const struct place *up;
	const struct field *f;
	size_t i;
	const char *key;
};

static void
rule_make(struct rule *r, const struct row *row)
{
	r->kind = row->kind;
	r->arg = row->arg;
	switch (row->kind) {
	case PATTERN:
	case KEY_PATTERN:
		r->regex = xcalloc(1, sizeof(*r->regex));
		must(
		    regcomp(r->regex, row->arg, REG_EXTENDED | REG_NOSUB) == 0);
		break;
	case MIN_LEN:
	case MIN_ITEMS:
	case MAX_ITEMS:
	case GT:
	case GTE:
	case KEY_MIN_LEN:
	case VALUE_MIN_LEN:
		r->n = strtoll(row->arg, NULL, 10);
		break;
	default:
		break;
	}
}

/* Made at the first use and kept, as the shape is. */
static const struct checks *
checks_of(const ProtobufCMessageDescriptor *d)
{
	struct shape *s = shape_get(d);
	struct checks *c = s->checks;
	const struct row *row;
	size_t i;

	if (c != NULL)
		return c;
	s->checks = c = xcalloc(1, sizeof(*c));
	c->any = true; /* a message that contains itself asks before we know */
	c->field = xcalloc(s->n, sizeof(*c->field));
	for (i = 0; i < s->n; i++) {
		struct checked *k = &c->field[c->n];

		k->f = &s->f[i];
		k->rule = xcalloc(1, sizeof(*k->rule)); /* never NULL */
		k->n = 0;
		for (row = rows; row < rows + NITEMS(rows); row++) {
			if (strcmp(row->message, s->d->name) != 0 ||
			    strcmp(row->field, k->f->d->name) != 0)
				continue;
			k->rule =
			    xrealloc(k->rule, (k->n + 1) * sizeof(*k->rule));
			memset(&k->rule[k->n], 0, sizeof(*k->rule));
			rule_make(&k->rule[k->n++], row);
		}
		k->below = NULL;
		if (k->f->msg != NULL && checks_of(k->f->msg->d)->any)
			k->below = checks_of(k->f->msg->d);
		if (k->n > 0 || k->below != NULL)
			c->n++;
		else
			free(k->rule);
	}
	c->any = c->n > 0;
	return c;
}

static void
where(struct buf *b, const struct place *p)
{
	if (p->up != NULL) {
		where(b, p->up);
		buf_addc(b, '.');
	}
	buf_adds(b, p->f->name[MSG_FRAME]);
	if (p->key != NULL)
		buf_printf(b, "[\"%.40s\"]", p->key);
	else if (p->f->d->label == PROTOBUF_C_LABEL_REPEATED &&
		 p->i != SIZE_MAX)
		buf_printf(b, "[%zu]", p->i);
}

static int PRINTF(3, 4)
    wrong(const struct place *p, struct err *e, const char *fmt, ...)
{
	struct buf b = BUF_INIT;
	char what[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	where(&b, p);
	err_set(e, RC_PERM, "%s: %s", b.p, what);
	buf_free(&b);
	return -1;
}

/* Whether s has n characters or more. */
static bool
long_enough(const char *s, int64_t n)
{
	for (; n > 0 && *s != '\0'; s++)
		n -= ((unsigned char)s[1] & 0xc0) != 0x80;
	return n <= 0;
}

static bool
listed(const char *list, const char *s)
{
	size_t n = strlen(s);

	for (; *list != '\0'; list += strspn(list, " ")) {
		size_t k = strcspn(list, " ");

		if (k == n && memcmp(list, s, n) == 0)
			return true;
		list += k;
	}
	return false;
}

static int
check_string(
    const struct rule *r, const char *s, const struct place *p, struct err *e)
{
	if (s == NULL)
		s = "";
	switch (r->kind) {
	case MIN_LEN:
	case KEY_MIN_LEN:
	case VALUE_MIN_LEN:
		if (long_enough(s, r->n))
			return 0;
		if (r->n == 1)
			return wrong(p, e, "must not be empty");
		return wrong(p, e, "must have at least %s characters", r->arg);
	case PATTERN:
	case KEY_PATTERN:
		/* A dot is any character but the end of a line. */
		if (strchr(s, '\n') == NULL &&
		    regexec(r->regex, s, 0, NULL, 0) == 0)
			return 0;
		return wrong(p, e, "\"%.60s\" does not match %s", s, r->arg);
	case PREFIX:
		if (str_prefix(s, r->arg))
			return 0;
		return wrong(
		    p, e, "\"%.60s\" does not begin with \"%s\"", s, r->arg);
	case IN:
		if (listed(r->arg, s))
			return 0;
		return wrong(p, e, "\"%.60s\" is none of %s", s, r->arg);
	default:
		return 0;
	}
}

static int64_t
whole(const struct field *f, const void *at)
{
	switch (f->d->type) {
	case PROTOBUF_C_TYPE_INT64:
		return *(const int64_t *)at;
	case PROTOBUF_C_TYPE_UINT32:
		return *(const uint32_t *)at;
	default:
		return *(const int32_t *)at;
	}
}

static int
check_number(
    const struct rule *r, const void *at, const struct place *p, struct err *e)
{
	const char *than = r->kind == GT ? "greater than" : "at least";
	int64_t v;

	if (p->f->d->type == PROTOBUF_C_TYPE_FLOAT) {
		double d = (double)*(const float *)at, n = (double)r->n;

		if (r->kind == GT ? d > n : d >= n)
			return 0;
		return wrong(p, e, "must be %s %s", than, r->arg);
	}
	v = whole(p->f, at);
	if (r->kind == GT ? v > r->n : v >= r->n)
		return 0;
	return wrong(p, e, "must be %s %s, is %" PRId64, than, r->arg, v);
}

static int
check_enum(const struct rule *r, int v, const struct place *p, struct err *e)
{
	char n[16];

	if (r->kind == DEFINED) {
		if (enum_by_value(p->f->en, v) != NULL)
			return 0;
		return wrong(p, e, "%d is no %s", v, p->f->en->d->name);
	}
	snprintf(n, sizeof(n), "%d", v);
	if (listed(r->arg, n))
		return 0;
	return wrong(p, e, "%d is none of %s", v, r->arg);
}

static int
check_value(
    const struct rule *r, const void *at, const struct place *p, struct err *e)
{
	switch (p->f->d->type) {
	case PROTOBUF_C_TYPE_STRING:
		return check_string(r, *(char *const *)at, p, e);
	case PROTOBUF_C_TYPE_ENUM:
		return check_enum(r, *(const int *)at, p, e);
	case PROTOBUF_C_TYPE_MESSAGE:
		if (r->kind == REQUIRED && *(void *const *)at == NULL)
			return wrong(p, e, "is missing");
		return 0;
	default:
		return check_number(r, at, p, e);
	}
}

/* A key or value of a map's entry. */
static int
check_entry(const struct rule *r, const ProtobufCMessage *entry,
    const struct place *p, struct err *e)
{
	const struct field *kv = p->f->msg->f;

	switch (r->kind) {
	case KEY_MIN_LEN:
	case KEY_PATTERN:
		return check_string(
		    r, *(char *const *)FIELD_AT(entry, kv[0].d), p, e);
	case VALUE_MIN_LEN:
		return check_string(
		    r, *(char *const *)FIELD_AT(entry, kv[1].d), p, e);
	default:
		return 0;
	}
}

static int check_fields(const struct checks *c, const ProtobufCMessage *m,
    const struct place *up, struct err *e);

static int
check_list(const struct checked *k, const char *at, size_t n, struct place *p,
    struct err *e)
{
	const struct rule *r;
	const ProtobufCMessage *m;

	p->i = SIZE_MAX;
	for (r = k->rule; r < k->rule + k->n; r++) {
		if (r->kind == MIN_ITEMS && n < (size_t)r->n)
			return wrong(
			    p, e, "must have at least %s, has %zu", r->arg, n);
		if (r->kind == MAX_ITEMS && n > (size_t)r->n)
			return wrong(
			    p, e, "must have at most %s, has %zu", r->arg, n);
	}
	for (p->i = 0; p->i < n; p->i++, at += k->f->size) {
		m = k->f->msg == NULL
			? NULL
			: *(ProtobufCMessage *const *)(const void *)at;
		if (k->f->map) {
			must(m != NULL); /* a map has entries of its own */
			p->key = *(char *const *)FIELD_AT(m, k->f->msg->f[0].d);
			if (p->key == NULL)
				p->key = "";
		}
		for (r = k->rule; r < k->rule + k->n; r++) {
			if (r->kind == MIN_ITEMS || r->kind == MAX_ITEMS)
				continue;
			if ((k->f->map ? check_entry(r, m, p, e)
				       : check_value(r, at, p, e)) == -1)
				return -1;
		}
		if (k->below != NULL && check_fields(k->below, m, p, e) == -1)
			return -1;
	}
	return 0;
}

static int
check_fields(const struct checks *c, const ProtobufCMessage *m,
    const struct place *up, struct err *e)
{
	const struct checked *k;
	const struct rule *r;
	const void *at;

	for (k = c->field; k < c->field + c->n; k++) {
		struct place p = { .up = up, .f = k->f };

		at = FIELD_AT(m, k->f->d);
		if (k->f->d->label == PROTOBUF_C_LABEL_REPEATED) {
			if (check_list(k, *(const char *const *)at,
				*FIELD_QUANTITY(m, k->f->d, size_t), &p,
				e) == -1)
				return -1;
			continue;
		}
		for (r = k->rule; r < k->rule + k->n; r++)
			if (check_value(r, at, &p, e) == -1)
				return -1;
		if (k->below != NULL && *(void *const *)at != NULL &&
		    check_fields(
			k->below, *(ProtobufCMessage *const *)at, &p, e) == -1)
			return -1;
	}
	return 0;
}

int
msg_check(const ProtobufCMessage *m, struct err *e)
{
	const struct checks *c = checks_of(m->descriptor);

	return c->any ? check_fields(c, m, NULL, e) : 0;
}
