#include "internal.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int
tmpl_fail(struct run *r, const char *at, const char *fmt, ...)
{
	const char *s, *line = r->text;
	char what[300];
	long n = 1;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	for (s = r->text; s < at; s++)
		if (*s == '\n') {
			n++;
			line = s + 1;
		}
	return err_set(r->e, RC_PERM, "%s:%ld:%ld: %s", r->name, n,
	    (long)(at - line) + 1, what);
}

/*
 * The parser walks the text once.  Within an action, `p` is at the next byte
 * that is not white space.
 */
struct parse {
	struct run *r;
	const char *p;	  /* next */
	const char *open; /* the {{ of the action we are in */
	bool trim;	  /* a -}} came before this text */
	int depth;
	bool bad;
};

/* What ended a list of nodes. */
enum stop {
	STOP_EOF,
	STOP_END,
	STOP_ELSE,    /* {{else}} */
	STOP_ELSE_IF, /* {{else if: the pipeline follows */
	STOP_BAD
};

static struct pipe *pipeline(struct parse *p, char until, bool ranging);
static enum stop nodes(struct parse *p, struct node **out);

static bool
is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_' || (c & 0x80) != 0;
}

static void
space(struct parse *p)
{
	while (p->p < p->r->end && strchr(" \t\r\n", *p->p) != NULL &&
	       *p->p != '\0')
		p->p++;
}

static char
peek(const struct parse *p)
{
	return p->p < p->r->end ? *p->p : '\0';
}

static bool
at(const struct parse *p, const char *s)
{
	size_t n = strlen(s);

	return (size_t)(p->r->end - p->p) >= n && memcmp(p->p, s, n) == 0;
}

static void *
bad(struct parse *p, const char *where, const char *what)
{
	if (!p->bad)
		tmpl_fail(p->r, where, "%s", what);
	p->bad = true;
	return NULL;
}

/* The end of an action, with its trim marker: takes it. */
static bool
action_end(struct parse *p)
{
	const char *was = p->p;

	space(p);
	if (at(p, "}}")) {
		p->p += 2;
		p->trim = false;
		return true;
	}
	if (p->p > was && at(p, "-}}")) {
		p->p += 3;
		p->trim = true;
		return true;
	}
	return false;
}

static bool
at_end(struct parse *p)
{
	struct parse copy = *p;

	return action_end(&copy);
}

static const char *
name(struct parse *p)
{
	const char *s = p->p;

	while (p->p < p->r->end && is_name(*p->p))
		p->p++;
	return arena_strndup(p->r->a, s, (size_t)(p->p - s));
}

static bool
word(struct parse *p, const char *w)
{
	size_t n = strlen(w);

	if (!at(p, w) || (p->p + n < p->r->end && is_name(p->p[n])))
		return false;
	p->p += n;
	return true;
}

static void
put_rune(struct buf *b, unsigned long c)
{
	if (c < 0x80) {
		buf_addc(b, (char)c);
	} else if (c < 0x800) {
		buf_addc(b, (char)(0xC0 | c >> 6));
		buf_addc(b, (char)(0x80 | (c & 63)));
	} else if (c < 0x10000) {
		buf_addc(b, (char)(0xE0 | c >> 12));
		buf_addc(b, (char)(0x80 | (c >> 6 & 63)));
		buf_addc(b, (char)(0x80 | (c & 63)));
	} else {
		buf_addc(b, (char)(0xF0 | c >> 18));
		buf_addc(b, (char)(0x80 | (c >> 12 & 63)));
		buf_addc(b, (char)(0x80 | (c >> 6 & 63)));
		buf_addc(b, (char)(0x80 | (c & 63)));
	}
}

/* n digits of a base behind a backslash; -1. */
static long
digits(struct parse *p, int n, int base)
{
	char s[9] = { 0 }, *end;
	long v;
	int i;

	for (i = 0; i < n && p->p < p->r->end; i++)
		s[i] = *p->p++;
	if (!isxdigit((unsigned char)s[0]))
		return -1;
	v = strtol(s, &end, base);
	return *end != '\0' || end - s != n ? -1 : v;
}

static bool
escape(struct parse *p, struct buf *b)
{
	static const char from[] = "abfnrtv\\\"", to[] = "\a\b\f\n\r\t\v\\\"";
	char c = peek(p);
	const char *q;
	long v;

	if (c >= '0' && c <= '7') {
		if ((v = digits(p, 3, 8)) < 0 || v > 255)
			return false;
		buf_addc(b, (char)v);
		return true;
	}
	if (p->p >= p->r->end || c == '\0')
		return false;
	p->p++;
	if (c == 'x') {
		if ((v = digits(p, 2, 16)) < 0)
			return false;
		buf_addc(b, (char)v);
	} else if (c == 'u' || c == 'U') {
		v = digits(p, c == 'u' ? 4 : 8, 16);
		if (v < 0 || v > 0x10FFFF || (v >= 0xD800 && v <= 0xDFFF))
			return false;
		put_rune(b, (unsigned long)v);
	} else if ((q = strchr(from, c)) != NULL) {
		buf_addc(b, to[q - from]);
	} else {
		return false;
	}
	return true;
}

static bool
string(struct parse *p, struct tmpl_value *v)
{
	const char *start = p->p++, *s;
	struct buf b = BUF_INIT;

	if (*start == '`') {
		s = memchr(p->p, '`', (size_t)(p->r->end - p->p));
		if (s == NULL) {
			bad(p, start, "raw string is not closed");
			return false;
		}
		*v = tmpl_str(p->p, (size_t)(s - p->p));
		p->p = s + 1;
		return true;
	}
	while (p->p < p->r->end && *p->p != '"' && *p->p != '\n') {
		if (*p->p != '\\') {
			buf_addc(&b, *p->p++);
			continue;
		}
		p->p++;
		if (!escape(p, &b)) {
			buf_free(&b);
			bad(p, start, "bad escape in string");
			return false;
		}
	}
	*v = tmpl_str(arena_strndup(p->r->a, b.p, b.len), b.len);
	buf_free(&b);
	if (peek(p) != '"') {
		bad(p, start, "string is not closed");
		return false;
	}
	p->p++;
	return true;
}

static bool
number(struct parse *p, struct tmpl_value *v)
{
	const char *start = p->p;
	char s[32], *end;
	size_t n = 0;

	if (*p->p == '-' || *p->p == '+')
		s[n++] = *p->p++;
	while (p->p < p->r->end && (is_name(*p->p) || *p->p == '.')) {
		if (n == sizeof(s) - 1) {
			bad(p, start, "number is too long");
			return false;
		}
		if (*p->p != '_')
			s[n++] = *p->p;
		p->p++;
	}
	s[n] = '\0';
	errno = 0;
	*v = tmpl_int(strtoll(s, &end, 0));
	if (*end != '\0' || end == s || errno != 0) {
		bad(p, start, "only whole numbers are supported");
		return false;
	}
	return true;
}

/* .a.b behind an operand. */
static bool
fields(struct parse *p, struct arg *arg)
{
	size_t cap = 0;

	while (peek(p) == '.' && p->p + 1 < p->r->end && is_name(p->p[1])) {
		p->p++;
		if (arg->n_fields == cap) {
			const char **more =
			    arena_array(p->r->a, const char *, cap * 2 + 4);

			if (cap > 0)
				memcpy(more, arg->fields, cap * sizeof(*more));
			arg->fields = more;
			cap = cap * 2 + 4;
		}
		arg->fields[arg->n_fields++] = name(p);
	}
	return true;
}

static bool
operand(struct parse *p, struct arg *arg)
{
	char c = peek(p);

	memset(arg, 0, sizeof(*arg));
	arg->at = p->p;
	if (c == '"' || c == '`')
		return string(p, &arg->value);
	if (isdigit((unsigned char)c) || c == '-' || c == '+')
		return number(p, &arg->value);
	if (c == '(') {
		p->p++;
		arg->kind = ARG_PIPE;
		if (++p->depth > TMPL_DEPTH)
			return bad(p, arg->at, "nested too deeply") != NULL;
		arg->pipe = pipeline(p, ')', false);
		p->depth--;
		return arg->pipe != NULL && fields(p, arg);
	}
	if (c == '$') {
		p->p++;
		arg->kind = ARG_VAR;
		arg->name = name(p);
		return fields(p, arg);
	}
	if (c == '.') {
		arg->kind = ARG_DOT;
		if (p->p + 1 < p->r->end && is_name(p->p[1]))
			return fields(p, arg);
		p->p++;
		return true;
	}
	if (word(p, "true") || word(p, "false")) {
		arg->value = tmpl_bool(arg->at[0] == 't');
		return true;
	}
	if (word(p, "nil"))
		return true;
	if (isalpha((unsigned char)c) || c == '_') {
		arg->kind = ARG_FUNC;
		arg->name = name(p);
		if (tmpl_func(arg->name) == NULL &&
		    strcmp(arg->name, "and") != 0 &&
		    strcmp(arg->name, "or") != 0) {
			if (!p->bad)
				tmpl_fail(p->r, arg->at,
				    "function %.60s is not supported",
				    arg->name);
			p->bad = true;
			return false;
		}
		return true;
	}
	if (c == '\'')
		bad(p, p->p, "character constants are not supported");
	else
		bad(p, p->p, "unexpected character in an action");
	return false;
}

static struct cmd *
command(struct parse *p, char until)
{
	struct cmd *c = arena_new_of(p->r->a, struct cmd);
	size_t cap = 0;

	for (;;) {
		struct arg a;

		space(p);
		if (peek(p) == '|' || (until != '\0' && peek(p) == until) ||
		    p->p >= p->r->end)
			break;
		/* The end needs its space before a minus, so step back. */
		if (at(p, "}}") || (at(p, "-}}") && p->p[-1] != '}' &&
				       strchr(" \t\r\n", p->p[-1]) != NULL))
			break;
		if (!operand(p, &a))
			return NULL;
		if (p->p < p->r->end && peek(p) != ')' && peek(p) != '|' &&
		    !at(p, "}}") && strchr(" \t\r\n", peek(p)) == NULL)
			return bad(p, p->p, "unexpected character");
		if (c->n == cap) {
			struct arg *more =
			    arena_array(p->r->a, struct arg, cap * 2 + 4);

			if (cap > 0)
				memcpy(more, c->args, cap * sizeof(*more));
			c->args = more;
			cap = cap * 2 + 4;
		}
		c->args[c->n++] = a;
	}
	if (c->n == 0)
		return bad(p, p->p, "value is missing");
	if (c->n > 1 && c->args[0].kind != ARG_FUNC)
		return bad(
		    p, c->args[0].at, "is no function, but has arguments");
	return c;
}

/* $x := or $i, $x := before a pipeline. */
static bool
declaration(struct parse *p, struct pipe *pipe, bool ranging)
{
	struct parse save = *p;
	size_t n = 0;

	while (peek(p) == '$' && n < 2) {
		p->p++;
		pipe->var[n++] = name(p);
		space(p);
		if (peek(p) != ',' || !ranging)
			break;
		p->p++;
		space(p);
	}
	if (n > 0 && at(p, ":=")) {
		p->p += 2;
		return true;
	}
	if (n == 1 && peek(p) == '=' && !at(p, "==")) {
		p->p++;
		pipe->assign = true;
		return true;
	}
	if (n == 2) {
		bad(p, save.p, ":= is missing");
		return false;
	}
	pipe->var[0] = pipe->var[1] = NULL;
	*p = save;
	return true;
}

static struct pipe *
pipeline(struct parse *p, char until, bool ranging)
{
	struct pipe *pipe = arena_new_of(p->r->a, struct pipe);
	struct cmd **tail = &pipe->first;

	space(p);
	pipe->at = p->p;
	if (until == '\0' && !declaration(p, pipe, ranging))
		return NULL;
	for (;;) {
		if ((*tail = command(p, until)) == NULL)
			return NULL;
		if (tail != &pipe->first && (*tail)->args[0].kind != ARG_FUNC)
			return bad(p, (*tail)->args[0].at,
			    "is no function, but stands behind a |");
		tail = &(*tail)->next;
		if (peek(p) != '|')
			break;
		p->p++;
	}
	if (until != '\0') {
		if (peek(p) != until)
			return bad(p, pipe->at, "parenthesis is not closed");
		p->p++;
		return pipe;
	}
	/* A minus needs its space, which was skipped. */
	if (p->p > pipe->at && strchr(" \t\r\n", p->p[-1]) != NULL)
		p->p--;
	if (!action_end(p))
		return bad(p, p->open, "action is not closed");
	return pipe;
}

static struct node *
branch(struct parse *p, enum node_kind kind)
{
	struct node *n = arena_new_of(p->r->a, struct node);
	const char *open = p->open;
	enum stop s;

	n->kind = kind;
	if (++p->depth > TMPL_DEPTH)
		return bad(p, open, "nested too deeply");
	if ((n->pipe = pipeline(p, '\0', kind == NODE_RANGE)) == NULL)
		return NULL;
	s = nodes(p, &n->body);
	if (s == STOP_ELSE_IF) {
		if (kind != NODE_IF)
			return bad(p, p->open, "else if without if");
		if ((n->other = branch(p, NODE_IF)) == NULL)
			return NULL;
		s = STOP_END; /* the inner one took it */
	} else if (s == STOP_ELSE) {
		s = nodes(p, &n->other);
	}
	if (s == STOP_ELSE || s == STOP_ELSE_IF)
		return bad(p, p->open, "second else");
	if (s == STOP_EOF)
		return bad(p, open, "end is missing");
	p->depth--;
	return s == STOP_BAD ? NULL : n;
}

static bool
comment(struct parse *p)
{
	const char *s = p->p + 2;

	for (; s + 1 < p->r->end; s++)
		if (s[0] == '*' && s[1] == '/') {
			p->p = s + 2;
			if (action_end(p))
				return true;
			break;
		}
	bad(p, p->open, "comment is not closed");
	return false;
}

/* Text up to the next {{, with what trim markers take away. */
static struct node *
text(struct parse *p)
{
	const char *s = p->p, *t, *end = p->r->end;
	struct node *n = arena_new_of(p->r->a, struct node);
	static const char ws[] = " \t\r\n";

	for (t = s; t < end; t++)
		if (t + 1 < end && t[0] == '{' && t[1] == '{')
			break;
	p->p = t;
	if (p->trim)
		while (s < t && *s != '\0' && strchr(ws, *s) != NULL)
			s++;
	if (t + 3 < end && t[2] == '-' && t[3] != '\0' &&
	    strchr(ws, t[3]) != NULL)
		while (t > s && t[-1] != '\0' && strchr(ws, t[-1]) != NULL)
			t--;
	p->trim = false;
	n->kind = NODE_TEXT;
	n->s = s;
	n->len = (size_t)(t - s);
	return n;
}

static struct node *
action(struct parse *p, enum stop *stop)
{
	static const char *const not_here[] = { "define", "template", "block",
		"break", "continue" };
	struct node *n;
	size_t i;

	if (word(p, "if"))
		return branch(p, NODE_IF);
	if (word(p, "with"))
		return branch(p, NODE_WITH);
	if (word(p, "range"))
		return branch(p, NODE_RANGE);
	if (word(p, "end")) {
		*stop = STOP_END;
		return action_end(p) ? NULL : bad(p, p->open, "bad end");
	}
	if (word(p, "else")) {
		if (action_end(p)) {
			*stop = STOP_ELSE;
			return NULL;
		}
		space(p);
		*stop = STOP_ELSE_IF;
		return word(p, "if") ? NULL : bad(p, p->open, "bad else");
	}
	for (i = 0; i < NITEMS(not_here); i++)
		if (word(p, not_here[i])) {
			if (!p->bad)
				tmpl_fail(p->r, p->open, "%s is not supported",
				    not_here[i]);
			p->bad = true;
			return NULL;
		}
	n = arena_new_of(p->r->a, struct node);
	n->kind = NODE_ACTION;
	n->pipe = pipeline(p, '\0', false);
	return n->pipe == NULL ? NULL : n;
}

static enum stop
nodes(struct parse *p, struct node **out)
{
	enum stop stop = STOP_EOF;
	struct node *n;

	while (!p->bad) {
		n = text(p);
		if (n->len > 0) {
			*out = n;
			out = &n->next;
		}
		if (p->p >= p->r->end)
			return STOP_EOF;
		p->open = p->p;
		p->p += 2;
		if (p->p + 1 < p->r->end && p->p[0] == '-' &&
		    strchr(" \t\r\n", p->p[1]) != NULL && p->p[1] != '\0')
			p->p++;
		space(p);
		if (at(p, "/*")) {
			if (!comment(p))
				return STOP_BAD;
			continue;
		}
		if (at_end(p)) {
			bad(p, p->open, "empty action");
			return STOP_BAD;
		}
		n = action(p, &stop);
		if (p->bad)
			return STOP_BAD;
		if (n == NULL)
			return stop;
		*out = n;
		out = &n->next;
	}
	return STOP_BAD;
}

struct node *
tmpl_parse(struct run *r)
{
	struct parse p = { .r = r, .p = r->text };
	/* An empty template is a list of no nodes, so there is one first. */
	struct node *first = arena_new_of(r->a, struct node);

	first->kind = NODE_TEXT;
	first->s = "";
	switch (nodes(&p, &first->next)) {
	case STOP_EOF:
		return first;
	case STOP_END:
		tmpl_fail(r, p.open, "end without if, range or with");
		return NULL;
	case STOP_ELSE:
	case STOP_ELSE_IF:
		tmpl_fail(r, p.open, "else without if, range or with");
		return NULL;
	case STOP_BAD:
		break;
	}
	return NULL;
}
