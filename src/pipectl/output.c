#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/apikey.pb-c.h"
#include "model/application.pb-c.h"
#include "model/command.pb-c.h"
#include "model/deployment.pb-c.h"
#include "model/piped.pb-c.h"
#include "model/project.pb-c.h"
#include "node.h"
#include "output.h"

#define COL(head, path, form, wide) { head, path, FORM_##form, wide },
#define ROWS(m, name, cols) \
	{ &m##__descriptor, name, \
		(const struct column[]){ \
		    cols{ NULL, NULL, FORM_TEXT, false } } },
static const struct columns tables[] = {
#include "columns.def"
};

enum {
	CELL_MAX = 60 /* characters that one cell may push others aside by */
};

enum format
format_of(const struct ctl *c)
{
	static const char *const names[] = { "table", "wide", "json", "yaml",
		"name" };
	const char *o = arg_str(c, "output");
	size_t i;

	if (o == NULL)
		return isatty(STDOUT_FILENO) ? FORMAT_TABLE : FORMAT_JSON;
	for (i = 0; strcmp(names[i], o) != 0; i++)
		;
	return (enum format)i;
}

static const struct columns *
columns_of(const ProtobufCMessageDescriptor *d)
{
	size_t i;

	for (i = 0; i < NITEMS(tables) && tables[i].of != d; i++)
		;
	must(i < NITEMS(tables));
	return &tables[i];
}

/* --- tables ---------------------------------------------------------------- */

/* Characters, as a terminal counts them for most scripts. */
static int
width_of(const char *s)
{
	int n = 0;

	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

/*
 * Every cell as text, and how wide each column is.  The last cell of a row is
 * not filled up, nor are cells cut: what is longer pushes.
 */
struct grid {
	char **cell;
	int *width;
	size_t cols, rows;
};

static size_t
shown(const struct columns *t, bool wide)
{
	const struct column *v;
	size_t n = 0;

	for (v = t->v; v->head != NULL; v++)
		n += wide || !v->wide;
	return n;
}

static void
grid_fill(struct grid *g, const struct columns *t, bool wide,
    const ProtobufCMessage *const *m, size_t n, struct arena *a)
{
	struct buf b = BUF_INIT;
	const struct column *v;
	size_t row, col;
	char *s;

	g->cols = shown(t, wide);
	g->rows = n + 1;
	g->cell = arena_array(a, char *, g->cols * g->rows);
	g->width = arena_array(a, int, g->cols);
	for (row = 0; row < g->rows; row++)
		for (col = 0, v = t->v; v->head != NULL; v++) {
			if (v->wide && !wide)
				continue;
			buf_reset(&b);
			if (row == 0)
				buf_adds(&b, v->head);
			else
				field_text(&b, m[row - 1], v->path, v->form);
			s = arena_strdup(a, b.len > 0 ? b.p : "-");
			if (width_of(s) > g->width[col] &&
			    width_of(s) <= CELL_MAX)
				g->width[col] = width_of(s);
			g->cell[row * g->cols + col++] = s;
		}
	buf_free(&b);
}

static void
grid_row(const struct grid *g, size_t row)
{
	size_t col;
	char *s;

	for (col = 0; col < g->cols; col++) {
		s = g->cell[row * g->cols + col];
		if (col + 1 == g->cols)
			puts(s);
		else
			printf("%s%*s  ", s,
			    g->width[col] > width_of(s)
				? g->width[col] - width_of(s)
				: 0,
			    "");
	}
}

static void
print_table(struct ctl *c, const struct columns *t,
    const ProtobufCMessage *const *m, size_t n, bool head)
{
	struct grid g;
	size_t row;

	grid_fill(&g, t, format_of(c) == FORMAT_WIDE, m, n, c->a);
	for (row = head ? 0 : 1; row < g.rows; row++)
		grid_row(&g, row);
}

/* --- all forms ------------------------------------------------------------- */

static void
print_yaml(struct ctl *c, const struct buf *json)
{
	struct buf y = BUF_INIT;
	struct node *root;
	struct err e;

	must(node_json(&root, "", json->p, json->len, c->a, &e) == 0);
	node_print_yaml(&y, root, 0);
	printf("---\n%s", y.p);
	buf_free(&y);
}

static void
print_text(struct ctl *c, const ProtobufCMessage *m)
{
	struct buf b = BUF_INIT;

	msg_json(&b, m, MSG_API);
	print_json(c, &b, NULL, NULL);
	buf_free(&b);
}

void
print_json(
    struct ctl *c, const struct buf *json, const char *id, const char *value)
{
	enum format f = format_of(c);

	if (f == FORMAT_YAML)
		print_yaml(c, json);
	else if (f == FORMAT_JSON || id == NULL)
		puts(json->p);
	else if (f == FORMAT_NAME)
		puts(id);
	else
		printf("%s %s\n", id, value);
}

static void
print_names(const struct columns *t, const ProtobufCMessage *const *m, size_t n)
{
	struct buf b = BUF_INIT;
	size_t i;

	for (i = 0; i < n; i++) {
		buf_reset(&b);
		field_text(&b, m[i], t->name, FORM_TEXT);
		puts(b.p);
	}
	buf_free(&b);
}

static void
print_rows(struct ctl *c, const ProtobufCMessage *const *m, size_t n, bool head)
{
	const struct columns *t;

	if (n == 0)
		return;
	t = columns_of(m[0]->descriptor);
	if (format_of(c) == FORMAT_NAME)
		print_names(t, m, n);
	else
		print_table(c, t, m, n, head);
}

void
print_message(struct ctl *c, const ProtobufCMessage *m, bool first)
{
	enum format f = format_of(c);

	if (f == FORMAT_JSON || f == FORMAT_YAML)
		print_text(c, m);
	else
		print_rows(c, &m, 1, first);
}

void
print_one(struct ctl *c, const ProtobufCMessage *m)
{
	print_message(c, m, true);
}

void
print_list(struct ctl *c, const ProtobufCMessage *answer, const char *field)
{
	const ProtobufCMessage *const *m;
	enum format f = format_of(c);
	size_t n;

	if (f == FORMAT_JSON || f == FORMAT_YAML) {
		print_text(c, answer);
		return;
	}
	m = field_messages(answer, field, &n);
	print_rows(c, m, n, true);
}

/* Whether it differs from what was seen of its id; remembered from now on. */
static bool
is_new(struct map *seen, const ProtobufCMessage *m)
{
	struct buf b = BUF_INIT, id = BUF_INIT;
	char *old;
	bool rv;

	msg_json(&b, m, MSG_API);
	field_text(&id, m, "id", FORM_TEXT);
	old = map_get(seen, id.p);
	rv = old == NULL || strcmp(old, b.p) != 0;
	if (rv)
		free(map_put(seen, id.p, xstrdup(b.p)));
	buf_free(&b);
	buf_free(&id);
	return rv;
}

void
print_changed(struct ctl *c, const ProtobufCMessage *answer, const char *field,
    struct map *seen)
{
	const ProtobufCMessage *const *m, **changed;
	enum format f = format_of(c);
	bool first = map_len(seen) == 0;
	size_t i, n, n_changed = 0;

	m = field_messages(answer, field, &n);
	changed = arena_array(c->a, const ProtobufCMessage *, n);
	for (i = n; i-- > 0;) /* oldest first, so that the newest is last */
		if (is_new(seen, m[i]))
			changed[n_changed++] = m[i];
	if (f == FORMAT_JSON || f == FORMAT_YAML)
		for (i = 0; i < n_changed; i++)
			print_text(c, changed[i]);
	else
		print_rows(c, changed, n_changed, first);
	fflush(stdout);
}
