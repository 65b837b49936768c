#include "tf.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>

/*
 * A scanner for the outer shape of HCL: blocks, labels, and the simple
 * attributes of a block.  Expressions are skipped, not understood.
 */
enum {
	FILE_MAX = 4 << 20
};

struct scan {
	const char *p, *end;
	struct arena *a;
};

static bool
at_end(const struct scan *s)
{
	return s->p >= s->end;
}

static void skip_string(struct scan *s);

/* A template's ${...}, which may hold strings and braces again. */
static void
skip_interpolation(struct scan *s)
{
	int depth = 1;

	while (!at_end(s) && depth > 0) {
		char c = *s->p;

		if (c == '"') {
			skip_string(s);
			continue;
		}
		depth += (c == '{') - (c == '}');
		s->p++;
	}
}

static void
skip_string(struct scan *s)
{
	for (s->p++; !at_end(s) && *s->p != '"' && *s->p != '\n';) {
		if (*s->p == '\\' && s->p + 1 < s->end) {
			s->p += 2;
		} else if ((*s->p == '$' || *s->p == '%') &&
			   s->p + 1 < s->end && s->p[1] == '{') {
			s->p += 2;
			skip_interpolation(s);
		} else {
			s->p++;
		}
	}
	if (!at_end(s))
		s->p++;
}

static void
skip_line(struct scan *s)
{
	while (!at_end(s) && *s->p != '\n')
		s->p++;
}

/* <<EOF or <<-EOF up to a line that is just EOF. */
static void
skip_heredoc(struct scan *s)
{
	const char *id;
	size_t n;

	s->p += 2;
	if (!at_end(s) && *s->p == '-')
		s->p++;
	id = s->p;
	while (!at_end(s) && *s->p != '\n' && *s->p != '\r')
		s->p++;
	n = (size_t)(s->p - id);
	while (!at_end(s)) {
		const char *l;

		skip_line(s);
		if (at_end(s))
			return;
		l = ++s->p;
		while (l < s->end && (*l == ' ' || *l == '\t'))
			l++;
		if ((size_t)(s->end - l) >= n && memcmp(l, id, n) == 0 &&
		    (l + n == s->end || l[n] == '\n' || l[n] == '\r')) {
			s->p = l + n;
			return;
		}
	}
}

/* Blanks and comments; stops at a newline when `line`. */
static void
skip_blank(struct scan *s, bool line)
{
	while (!at_end(s)) {
		if (*s->p == '#' ||
		    (*s->p == '/' && s->p + 1 < s->end && s->p[1] == '/')) {
			skip_line(s);
		} else if (*s->p == '/' && s->p + 1 < s->end &&
			   s->p[1] == '*') {
			for (s->p += 2; !at_end(s); s->p++)
				if (*s->p == '/' && s->p[-1] == '*')
					break;
			if (!at_end(s))
				s->p++;
		} else if (isspace((unsigned char)*s->p) &&
			   !(line && *s->p == '\n')) {
			s->p++;
		} else {
			return;
		}
	}
}

/* One token that is no identifier: moves on at least one byte. */
static void
skip_token(struct scan *s)
{
	if (*s->p == '"')
		skip_string(s);
	else if (*s->p == '<' && s->p + 1 < s->end && s->p[1] == '<')
		skip_heredoc(s);
	else
		s->p++;
}

static const char *
identifier(struct scan *s)
{
	const char *b = s->p;

	while (!at_end(s) &&
	       (isalnum((unsigned char)*s->p) || *s->p == '_' || *s->p == '-'))
		s->p++;
	return s->p == b ? NULL : arena_strndup(s->a, b, (size_t)(s->p - b));
}

/* A plain quoted string, without its escapes undone. */
static const char *
quoted(struct scan *s)
{
	const char *b = s->p;

	if (at_end(s) || *b != '"')
		return NULL;
	skip_string(s);
	return s->p - b < 2
		   ? ""
		   : arena_strndup(s->a, b + 1, (size_t)(s->p - b) - 2);
}

/* An expression, up to the end of its line outside of all brackets. */
static void
skip_expression(struct scan *s)
{
	int depth = 0;

	while (!at_end(s)) {
		skip_blank(s, depth == 0);
		if (at_end(s) ||
		    (depth == 0 && (*s->p == '\n' || *s->p == '}')))
			return;
		depth += (*s->p == '{' || *s->p == '[' || *s->p == '(') -
			 (*s->p == '}' || *s->p == ']' || *s->p == ')');
		skip_token(s);
	}
}

struct block {
	const char *kind, *label;
	const char *source, *version, *type, *sensitive;
	bool backend;
};

static void scan_body(struct scan *s, struct block *b, int depth);

/* `name` was read: an attribute, or a block with labels. */
static void
scan_item(struct scan *s, const char *name, struct block *b, int depth)
{
	struct block inner = { .kind = name };
	const char *v;

	skip_blank(s, true);
	if (!at_end(s) && *s->p == '=' &&
	    (s->p + 1 == s->end || s->p[1] != '=')) {
		s->p++;
		skip_blank(s, true);
		v = !at_end(s) && *s->p == '"' ? quoted(s) : identifier(s);
		if (strcmp(name, "source") == 0)
			b->source = v;
		else if (strcmp(name, "version") == 0)
			b->version = v;
		else if (strcmp(name, "type") == 0)
			b->type = v;
		else if (strcmp(name, "sensitive") == 0)
			b->sensitive = v;
		skip_expression(s);
		return;
	}
	while ((v = quoted(s)) != NULL || (v = identifier(s)) != NULL) {
		inner.label = inner.label == NULL ? v : inner.label;
		skip_blank(s, true);
	}
	if (at_end(s) || *s->p != '{')
		return;
	s->p++;
	if (strcmp(name, "backend") == 0 || strcmp(name, "cloud") == 0)
		b->backend = true;
	scan_body(s, &inner, depth + 1);
}

static void
scan_body(struct scan *s, struct block *b, int depth)
{
	const char *name;

	while (skip_blank(s, false), !at_end(s) && *s->p != '}') {
		if (depth < 64 && (name = identifier(s)) != NULL)
			scan_item(s, name, b, depth);
		else
			skip_token(s);
	}
	if (!at_end(s))
		s->p++;
}

static void
add_module(struct hcl *h, const struct block *b, struct arena *a)
{
	struct hcl_module *old = h->modules;

	h->modules = arena_array(a, struct hcl_module, h->n_modules + 1);
	if (h->n_modules > 0)
		memcpy(h->modules, old, h->n_modules * sizeof(*old));
	h->modules[h->n_modules].name = b->label;
	h->modules[h->n_modules].source = b->source;
	h->modules[h->n_modules++].version = b->version;
}

/* Whether -var takes a value of this type as an expression. */
static bool
is_structured(const char *type)
{
	return type != NULL && strcmp(type, "string") != 0 &&
	       strcmp(type, "number") != 0 && strcmp(type, "bool") != 0 &&
	       strcmp(type, "any") != 0;
}

static void
add_variable(struct hcl *h, const struct block *b)
{
	(void)map_put(h->declared, b->label, h);
	if (is_structured(b->type))
		(void)map_put(h->structured, b->label, h);
	if (b->sensitive != NULL && strcmp(b->sensitive, "true") == 0)
		(void)map_put(h->sensitive, b->label, h);
}

void
hcl_scan_text(struct hcl *h, const char *text, size_t n, struct arena *a)
{
	struct scan s = { text, text + n, a };
	const char *name;

	while (skip_blank(&s, false), !at_end(&s)) {
		struct block b = { 0 };
		const char *v;

		if ((name = identifier(&s)) == NULL) {
			skip_token(&s);
			continue;
		}
		skip_blank(&s, true);
		while (
		    (v = quoted(&s)) != NULL || (v = identifier(&s)) != NULL) {
			b.label = b.label == NULL ? v : b.label;
			skip_blank(&s, true);
		}
		if (at_end(&s) || *s.p != '{')
			continue;
		s.p++;
		scan_body(&s, &b, 1);
		if (strcmp(name, "module") == 0 && b.label != NULL)
			add_module(h, &b, a);
		else if (strcmp(name, "variable") == 0 && b.label != NULL)
			add_variable(h, &b);
		else if (strcmp(name, "terraform") == 0)
			h->backend = h->backend || b.backend;
	}
}

void
hcl_scan(struct hcl *h, const char *dir, struct arena *a)
{
	struct buf b = BUF_INIT;
	struct dirent *d;
	struct err e;
	DIR *dp;

	memset(h, 0, sizeof(*h));
	h->structured = map_new();
	h->sensitive = map_new();
	h->declared = map_new();
	if ((dp = opendir(dir)) == NULL)
		return;
	while ((d = readdir(dp)) != NULL) {
		bool json = str_suffix(d->d_name, ".tf.json");

		if (!json && !str_suffix(d->d_name, ".tf") &&
		    !str_suffix(d->d_name, ".tofu"))
			continue;
		if (file_read(arena_printf(a, "%s/%s", dir, d->d_name),
			FILE_MAX, &b, &e) != 1)
			continue;
		if (!json)
			hcl_scan_text(h, b.p, b.len, a);
		else if (strstr(b.p, "\"backend\"") != NULL ||
			 strstr(b.p, "\"cloud\"") != NULL)
			h->backend = true;
	}
	closedir(dp);
	buf_free(&b);
}

void
hcl_free(struct hcl *h)
{
	map_free(h->structured);
	map_free(h->sensitive);
	map_free(h->declared);
}
