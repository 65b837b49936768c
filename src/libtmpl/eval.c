#include "internal.h"

#include <stdlib.h>
#include <string.h>

static int pipe_value(
    struct run *r, const struct pipe *p, struct tmpl_value *v);

int
tmpl_spend(struct run *r, const char *at, size_t n)
{
	if (n > TMPL_OUT_MAX || r->made + n > TMPL_OUT_MAX)
		return tmpl_fail(
		    r, at, "makes more than %d bytes", TMPL_OUT_MAX);
	r->made += n;
	return 0;
}

static int
step(struct run *r, const char *at)
{
	if (++r->steps > TMPL_STEPS)
		return tmpl_fail(r, at, "takes more than %d steps", TMPL_STEPS);
	return 0;
}

static int
fields(struct run *r, const struct arg *arg, struct tmpl_value *v)
{
	size_t i, k;

	for (i = 0; i < arg->n_fields; i++) {
		const char *f = arg->fields[i];

		if (v->kind != TMPL_MAP)
			return tmpl_fail(r, arg->at,
			    "field %.60s of a value of type %s", f,
			    tmpl_kind_name(v->kind));
		for (k = 0; k < v->len; k++)
			if (strcmp(v->keys[k], f) == 0)
				break;
		if (k == v->len)
			return tmpl_fail(
			    r, arg->at, "there is no entry for key %.60s", f);
		*v = v->items[k];
	}
	return 0;
}

static int
variable(struct run *r, const struct arg *arg, struct tmpl_value *v)
{
	size_t i;

	if (arg->name[0] == '\0') {
		*v = *r->root;
		return 0;
	}
	for (i = r->n_vars; i > 0; i--)
		if (strcmp(r->vars[i - 1].name, arg->name) == 0) {
			*v = r->vars[i - 1].v;
			return 0;
		}
	return tmpl_fail(r, arg->at, "undefined variable $%.60s", arg->name);
}

static int call(struct run *r, const struct cmd *c,
    const struct tmpl_value *last, struct tmpl_value *v);

static int
operand(struct run *r, const struct arg *arg, struct tmpl_value *v)
{
	struct cmd alone = { .n = 1 };

	switch (arg->kind) {
	case ARG_VALUE:
		*v = arg->value;
		break;
	case ARG_DOT:
		*v = r->dot;
		break;
	case ARG_VAR:
		if (variable(r, arg, v) == -1)
			return -1;
		break;
	case ARG_PIPE:
		if (pipe_value(r, arg->pipe, v) == -1)
			return -1;
		break;
	case ARG_FUNC: {
		struct arg copy = *arg;

		alone.args = &copy;
		return call(r, &alone, NULL, v);
	}
	}
	return fields(r, arg, v);
}

/* and, or: the first that decides is the value, the rest is not looked at. */
static int
logic(struct run *r, const struct cmd *c, const struct tmpl_value *last,
    bool until, struct tmpl_value *v)
{
	size_t i;

	if (c->n == 1 && last == NULL)
		return tmpl_fail(r, c->args[0].at, "%s: arguments are missing",
		    c->args[0].name);
	for (i = 1; i < c->n; i++) {
		if (operand(r, &c->args[i], v) == -1)
			return -1;
		if (tmpl_true(v) == until)
			return 0;
	}
	if (last != NULL)
		*v = *last;
	return 0;
}

static int
call(struct run *r, const struct cmd *c, const struct tmpl_value *last,
    struct tmpl_value *v)
{
	const struct arg *fa = &c->args[0];
	const struct func *f = tmpl_func(fa->name);
	struct tmpl_value *args;
	size_t i, n = c->n - 1 + (last != NULL);

	if (step(r, fa->at) == -1)
		return -1;
	if (f == NULL)
		return logic(r, c, last, fa->name[0] == 'o', v);
	if (n < (size_t)f->least || (f->most >= 0 && n > (size_t)f->most))
		return tmpl_fail(r, fa->at,
		    "%s: wrong number of arguments: %zu", f->name, n);
	args = arena_array(r->a, struct tmpl_value, n + 1);
	for (i = 1; i < c->n; i++)
		if (operand(r, &c->args[i], &args[i - 1]) == -1)
			return -1;
	if (last != NULL)
		args[n - 1] = *last;
	memset(v, 0, sizeof(*v));
	return f->call(r, fa->at, v, args, n);
}

static int
pipe_value(struct run *r, const struct pipe *p, struct tmpl_value *v)
{
	const struct cmd *c;
	struct tmpl_value last = { 0 };

	for (c = p->first; c != NULL; c = c->next) {
		if (step(r, c->args[0].at) == -1)
			return -1;
		if (c->args[0].kind == ARG_FUNC) {
			if (call(r, c, c == p->first ? NULL : &last, v) == -1)
				return -1;
		} else if (operand(r, &c->args[0], v) == -1) {
			return -1;
		}
		last = *v;
	}
	return 0;
}

static void
push(struct run *r, const char *name, const struct tmpl_value *v)
{
	if (r->n_vars == r->cap_vars) {
		r->cap_vars = r->cap_vars * 2 + 8;
		r->vars = xrealloc(r->vars, r->cap_vars * sizeof(*r->vars));
	}
	r->vars[r->n_vars++] = (struct var){ .name = name, .v = *v };
}

static int
declare(struct run *r, const struct pipe *p, const struct tmpl_value *v)
{
	size_t i;

	if (p->var[0] == NULL)
		return 0;
	if (!p->assign) {
		push(r, p->var[0], v);
		return 0;
	}
	for (i = r->n_vars; i > 0; i--)
		if (strcmp(r->vars[i - 1].name, p->var[0]) == 0) {
			r->vars[i - 1].v = *v;
			return 0;
		}
	return tmpl_fail(r, p->at, "undefined variable $%.60s", p->var[0]);
}

static int
range(struct run *r, const struct node *n)
{
	size_t vars = r->n_vars, i;
	struct tmpl_value v = { 0 }, dot = r->dot;

	if (pipe_value(r, n->pipe, &v) == -1)
		return -1;
	if (v.kind != TMPL_LIST && v.kind != TMPL_MAP && v.kind != TMPL_NIL)
		return tmpl_fail(r, n->pipe->at,
		    "range over a value of type %s", tmpl_kind_name(v.kind));
	if (v.kind == TMPL_NIL || v.len == 0)
		return tmpl_exec(r, n->other);
	for (i = 0; i < v.len; i++) {
		struct tmpl_value key =
		    v.kind == TMPL_MAP ? tmpl_str(v.keys[i], strlen(v.keys[i]))
				       : tmpl_int((int64_t)i);

		r->dot = v.items[i];
		if (n->pipe->var[1] != NULL) {
			push(r, n->pipe->var[0], &key);
			push(r, n->pipe->var[1], &v.items[i]);
		} else if (n->pipe->var[0] != NULL) {
			push(r, n->pipe->var[0], &v.items[i]);
		}
		if (step(r, n->pipe->at) == -1 || tmpl_exec(r, n->body) == -1)
			return -1;
		r->n_vars = vars;
	}
	r->dot = dot;
	return 0;
}

static int
branch(struct run *r, const struct node *n)
{
	size_t vars = r->n_vars;
	struct tmpl_value v = { 0 }, dot = r->dot;
	int rv;

	if (pipe_value(r, n->pipe, &v) == -1 || declare(r, n->pipe, &v) == -1)
		return -1;
	if (tmpl_true(&v)) {
		if (n->kind == NODE_WITH)
			r->dot = v;
		rv = tmpl_exec(r, n->body);
	} else {
		rv = tmpl_exec(r, n->other);
	}
	r->dot = dot;
	r->n_vars = vars;
	return rv;
}

static int
write_value(struct run *r, const struct node *n)
{
	struct tmpl_value v = { 0 };
	size_t was = r->out->len;

	if (pipe_value(r, n->pipe, &v) == -1 || declare(r, n->pipe, &v) == -1)
		return -1;
	if (n->pipe->var[0] != NULL)
		return 0;
	if (v.kind == TMPL_STR && tmpl_spend(r, n->pipe->at, v.len) == -1)
		return -1;
	tmpl_print(r->out, &v);
	if (v.kind == TMPL_STR)
		return 0;
	return tmpl_spend(r, n->pipe->at, r->out->len - was);
}

int
tmpl_exec(struct run *r, const struct node *n)
{
	int rv = 0;

	for (; n != NULL && rv == 0; n = n->next)
		switch (n->kind) {
		case NODE_TEXT:
			if ((rv = tmpl_spend(r, n->s, n->len)) == 0)
				buf_add(r->out, n->s, n->len);
			break;
		case NODE_ACTION:
			rv = write_value(r, n);
			break;
		case NODE_IF:
		case NODE_WITH:
			rv = branch(r, n);
			break;
		case NODE_RANGE:
			rv = range(r, n);
			break;
		}
	return rv;
}

int
tmpl_render(struct buf *out, const char *name, const char *text, size_t n,
    const struct tmpl_value *data, struct err *e)
{
	struct run r = { .name = name,
		.text = text,
		.end = text + n,
		.a = arena_new(),
		.out = out,
		.e = e,
		.root = data,
		.dot = *data };
	size_t was = out->len;
	struct node *list;
	int rv = -1;

	if (n > TMPL_OUT_MAX)
		err_set(
		    e, RC_PERM, "%s: more than %d bytes", name, TMPL_OUT_MAX);
	else if ((list = tmpl_parse(&r)) != NULL)
		rv = tmpl_exec(&r, list);
	if (rv == -1 && out->cap > 0) {
		out->len = was;
		out->p[was] = '\0';
	}
	free(r.vars);
	arena_free(r.a);
	return rv;
}
