#include "frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "shape.h"

static const struct kind {
	const char *name;
	const ProtobufCMessageDescriptor *d;
	bool ask;
	const char *from, *to, *doc;
} kinds[FRAME__N] = {
#define TELL false
#define ASK  true
#define FRAME(k, M, m, cls, from, to, doc) \
	{ #k, &frame__##m##__descriptor, cls, from, to, doc },
#include "frame.def"
#undef TELL
#undef ASK
};

/* What one line may cost: a dense map takes twelve times its text. */
enum {
	MEMORY = 32 << 20
};

/* What is made of the rows once, at first use. */
static struct ready {
	const struct shape *shape;
	char *head; /* {"v":1,"kind":"..." */
	size_t nhead;
	size_t nname;
} made[FRAME__N];

static const struct ready *
ready_of(enum frame_kind k)
{
	struct buf b = BUF_INIT;
	int i;

	must((unsigned)k < FRAME__N);
	if (made[k].shape != NULL)
		return &made[k];
	for (i = 0; i < FRAME__N; i++) {
		buf_reset(&b);
		buf_printf(&b, "{\"v\":1,\"kind\":\"%s\"", kinds[i].name);
		made[i].head = xstrdup(b.p);
		made[i].nhead = b.len;
		made[i].nname = strlen(kinds[i].name);
		made[i].shape = shape_of(kinds[i].d);
	}
	buf_free(&b);
	return &made[k];
}

const char *
frame_kind_name(enum frame_kind k)
{
	return (unsigned)k < FRAME__N ? kinds[k].name : "?";
}

bool
frame_is_ask(enum frame_kind k)
{
	return kinds[k].ask;
}

static int
kind_find(const char *s, size_t n)
{
	const struct ready *r = ready_of(0);
	int k;

	for (k = 0; k < FRAME__N; k++)
		if (r[k].nname == n && memcmp(kinds[k].name, s, n) == 0)
			return k;
	return -1;
}

/* Whether a word stands in a list of words. */
static bool
listed(const char *list, const char *word)
{
	size_t n = strlen(word);
	const char *p;

	if (strcmp(list, "*") == 0)
		return true;
	for (p = list; (p = strstr(p, word)) != NULL; p += n)
		if ((p == list || p[-1] == ' ') &&
		    (p[n] == '\0' || p[n] == ' '))
			return true;
	return false;
}

/* Whether a row's words mean this program; one that no row names is a K. */
static bool
means(const char *list, const char *prog)
{
	int k;

	if (listed(list, prog))
		return true;
	if (!listed(list, "K"))
		return false;
	for (k = 0; k < FRAME__N; k++)
		if (strcmp(kinds[k].from, "*") != 0 &&
		    (listed(kinds[k].from, prog) || listed(kinds[k].to, prog)))
			return false;
	return true;
}

bool
frame_allowed(enum frame_kind k, const char *from, const char *to)
{
	must((unsigned)k < FRAME__N);
	return means(kinds[k].from, from) && means(kinds[k].to, to);
}

bool
frame_addressed(enum frame_kind k, const char *to)
{
	must((unsigned)k < FRAME__N);
	return means(kinds[k].to, to);
}

const char *
frame_from(enum frame_kind k)
{
	must((unsigned)k < FRAME__N);
	return kinds[k].from;
}

const char *
frame_to(enum frame_kind k)
{
	must((unsigned)k < FRAME__N);
	return kinds[k].to;
}

/*
 * Reading.  The envelope usually comes first, as we write it, but jq -S or a
 * person may have moved it: the kind is looked up before anything else.
 */
struct envelope {
	struct frame *f;
	unsigned seen;
};

enum {
	SEEN_V = 1,
	SEEN_KIND = 2,
	SEEN_ID = 4,
	SEEN_RE = 8,
	SEEN_SEQ = 16,
	SEEN_PREV = 32
};

#define IS(word) (n == sizeof(word) - 1 && memcmp(key, word, n) == 0)

static bool
version(struct json *j)
{
	const char *s;
	size_t n;

	if (!json_number(j, &s, &n))
		return false;
	if (n == 1 && *s == '1')
		return true;
	return json_fail(
	    j, arena_printf(j->a, "v is %.*s, and this program knows 1",
		   n > 20 ? 20 : (int)n, s));
}

static bool
envelope(struct json *j, const char *key, size_t n, void *arg)
{
	struct envelope *env = arg;
	unsigned bit;
	bool ok;

	bit = IS("v")	   ? SEEN_V
	      : IS("kind") ? SEEN_KIND
	      : IS("id")   ? SEEN_ID
	      : IS("re")   ? SEEN_RE
	      : IS("seq")  ? SEEN_SEQ
	      : IS("prev") ? SEEN_PREV
			   : 0;
	if (bit == 0)
		return json_skip(j);
	if ((env->seen & bit) != 0)
		return json_fail(j, "a name of the envelope is there twice");
	env->seen |= bit;
	switch (bit) {
	case SEEN_V:
		ok = version(j);
		break;
	case SEEN_ID:
		ok = json_string(j, &env->f->id);
		break;
	case SEEN_RE:
		ok = json_string(j, &env->f->re);
		break;
	case SEEN_SEQ:
		ok = json_int(j, &env->f->seq);
		break;
	case SEEN_PREV:
		ok = json_string(j, &env->f->prev);
		break;
	default:
		ok = json_skip(j);
	}
	return ok;
}

/* The kind: its number, -1 for one not known, -2 for a mistake. */
static int
kind_of(const char *line, size_t len, struct arena *a, struct err *e)
{
	const char *key, *s;
	struct json j;
	bool v = false;
	int kind = -2;
	size_t n;

	json_open(&j, line, len, a);
	if (!json_object(&j))
		goto bad;
	while (json_span(&j, &key, &n)) {
		if (IS("kind") && json_peek(&j) == JSON_STRING) {
			if (!json_raw(&j, &s, &n))
				break;
			kind = kind_find(s + 1, n - 2);
		} else if (IS("kind")) {
			json_fail(&j, "kind wants a string");
		} else if (IS("v")) {
			v = version(&j);
		} else {
			json_skip(&j);
		}
		if (kind >= 0 && v)
			return kind;
	}
bad:
	if (json_close(&j, e) == -1)
		return -2;
	if (!v || kind == -2)
		err_set(e, RC_PERM, "%s is missing", v ? "kind" : "v");
	return v ? kind : -2;
}

int
frame_parse(struct frame *f, const char *line, size_t len, struct arena *a,
    struct err *e)
{
	struct envelope env = { .f = f };
	struct json j;
	int k;

	if (len > 0 && line[len - 1] == '\n')
		len--;
	if ((k = kind_of(line, len, a, e)) < 0)
		return k == -1 ? 0 : err_wrap(e, "not a frame");
	*f = (struct frame){ .kind = (enum frame_kind)k };
	json_open(&j, line, len, a);
	j.left = MEMORY;
	f->u.msg = msg_members(
	    &j, ready_of(f->kind)->shape, MSG_FRAME, envelope, &env, e);
	if (f->u.msg == NULL || json_close(&j, e) == -1)
		return err_wrap(e, "%s", kinds[k].name);
	return 1;
}

static void
put_name(struct buf *b, const char *name, const char *v)
{
	if (v == NULL)
		return;
	buf_adds(b, name);
	json_quote(b, v, strlen(v));
}

void
frame_write(struct buf *b, const struct frame *f)
{
	const struct ready *r = ready_of(f->kind);

	must(f->u.msg->descriptor == r->shape->d);
	buf_add(b, r->head, r->nhead);
	put_name(b, ",\"id\":", f->id);
	put_name(b, ",\"re\":", f->re);
	if (f->seq != 0)
		buf_printf(b, ",\"seq\":%lld", (long long)f->seq);
	put_name(b, ",\"prev\":", f->prev);
	msg_fields(b, r->shape, f->u.msg, MSG_FRAME, true);
	buf_add(b, "}\n", 2);
}

int
frame_print(int fd, const struct frame *f, struct err *e)
{
	struct buf b = BUF_INIT;
	int rv = -1;

	frame_write(&b, f);
	if (b.len > FRAME_MAX)
		err_set(e, RC_PERM, "%s: the frame has %zu bytes, more than %d",
		    frame_kind_name(f->kind), b.len, FRAME_MAX);
	else if (write_all(fd, b.p, b.len) == -1)
		err_sys(e, "write a frame");
	else
		rv = 0;
	buf_free(&b);
	return rv;
}

/* One line, at most FRAME_MAX bytes kept of it; false at the end of input. */
static bool
read_line(struct frame_reader *r)
{
	size_t n = 0;
	int c;

	while ((c = getc_unlocked(r->in)) != EOF) {
		if (n + 2 > r->cap) {
			r->cap = r->cap == 0 ? 512 : r->cap * 2;
			r->line = xrealloc(r->line, r->cap);
		}
		if (n <= FRAME_MAX)
			r->line[n++] = (char)c;
		if (c == '\n')
			break;
	}
	if (n > FRAME_MAX && c == '\n')
		r->line[n - 1] = '\n';
	r->len = (ssize_t)n;
	if (r->line != NULL)
		r->line[n] = '\0';
	return n > 0;
}

int
frame_next(
    struct frame_reader *r, struct frame *f, struct arena *a, struct err *e)
{
	int rv = 2;

	if (!read_line(r)) {
		if (ferror(r->in) == 0)
			return 2;
		return err_sys(e, "%s", r->name);
	}
	r->n++;
	if (ferror(r->in) != 0)
		rv = err_sys(e, "read");
	else if (r->len > FRAME_MAX)
		rv = err_set(
		    e, RC_PERM, "a line of more than %d bytes", FRAME_MAX);
	else if (r->line[r->len - 1] != '\n')
		rv = err_set(e, RC_TEMP, "the last line is cut off");
	else
		rv = frame_parse(f, r->line, (size_t)r->len, a, e);
	if (rv == -1)
		err_wrap(e, "%s:%ld", r->name, r->n);
	return rv;
}

void
frame_reader_free(struct frame_reader *r)
{
	free(r->line);
	r->line = NULL;
	r->cap = 0;
}
