#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <unistd.h>

/* The verbs that take requests, and what each one answers when it fails. */
struct verb {
	const char *name;
	enum frame_kind kind;
	int (*run)(const struct platform *p, struct run *r, struct err *e);
};

static int
do_stage(const struct platform *p, struct run *r, struct err *e)
{
	return p->stage(r, e);
}

static int
do_render(const struct platform *p, struct run *r, struct err *e)
{
	return p->render(r, e);
}

static int
do_plan(const struct platform *p, struct run *r, struct err *e)
{
	return p->plan(r, e);
}

static int
do_preview(const struct platform *p, struct run *r, struct err *e)
{
	return p->preview(r, e);
}

static int
do_live(const struct platform *p, struct run *r, struct err *e)
{
	return p->live(r, e);
}

static const struct verb verbs[] = {
	{ "stage", FRAME_stage_start, do_stage },
	{ "render", FRAME_render_start, do_render },
	{ "plan", FRAME_plan_start, do_plan },
	{ "preview", FRAME_plan_start, do_preview },
	{ "live", FRAME_live_start, do_live },
};

static const struct verb *
verb_find(const struct platform *p, const char *name)
{
	const bool has[] = { p->stage != NULL, p->render != NULL,
		p->plan != NULL, p->preview != NULL, p->live != NULL };
	size_t i;

	for (i = 0; i < NITEMS(verbs); i++)
		if (has[i] && strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

static int
describe(const struct platform *p, struct err *e)
{
	struct arena *a = arena_new();
	Frame__Platform f = FRAME__PLATFORM__INIT;
	size_t n, i;
	int rv;

	for (n = 0; p->stages[n].name != NULL; n++)
		;
	f.name = arena_strdup(a, p->name);
	f.app_kind = arena_strdup(a, p->app_kind);
	f.files_key = arena_strdup(a, p->files_key);
	f.stages = arena_array(a, Frame__StageDef *, n + 1);
	f.n_stages = n;
	for (i = 0; i < n; i++) {
		Frame__StageDef *s = arena_new_of(a, Frame__StageDef);

		frame__stage_def__init(s);
		s->name = arena_strdup(a, p->stages[i].name);
		s->desc = arena_strdup(a, p->stages[i].desc);
		s->has_rollback = s->rollback = p->stages[i].rollback;
		s->has_quick = s->quick = p->stages[i].quick;
		f.stages[i] = s;
	}
	f.has_votes = f.votes = p->votes;
	f.has_live_source = f.live_source = p->live_source;
	f.has_live_every_ms = p->live_every_ms > 0;
	f.live_every_ms = p->live_every_ms;
	for (n = 0; p->config_keys != NULL && p->config_keys[n] != NULL; n++)
		;
	f.config_keys = arena_array(a, char *, n + 1);
	f.n_config_keys = n;
	for (i = 0; i < n; i++)
		f.config_keys[i] = arena_strdup(a, p->config_keys[i]);
	rv = frame_print(STDOUT_FILENO, FRAME_OF(platform, &f), e);
	arena_free(a);
	return rv;
}

/* Our own entry in the config: what deploy targets there are. */
static const struct conf_plugin *
plugin_find(const struct conf_piped *c, const char *name)
{
	size_t i;

	for (i = 0; c != NULL && i < c->n_plugins; i++)
		if (strcmp(c->plugins[i].name, name) == 0)
			return &c->plugins[i];
	return NULL;
}

/* Say how a request ended; a stage has said so itself. */
static void
finish(struct run *r, const struct verb *v, int rv, const struct err *e)
{
	Frame__Ok ok = FRAME__OK__INIT;
	Frame__Err err = FRAME__ERR__INIT;

	if (v->kind == FRAME_stage_start) {
		if (rv == -1 && !r->done)
			stage_done(r, MODEL__STAGE_STATUS__STAGE_FAILURE, "%s",
			    e->text);
		must(r->done);
		return;
	}
	if (rv == -1) {
		err.text = arena_strdup(r->arena, e->text);
		err.exit = e->exit;
		run_say(r, FRAME_OF(err, &err));
	} else if (r->re != NULL) {
		run_say(r, FRAME_OF(ok, &ok));
	}
	r->ok = rv != -1;
}

/*
 * The directories of a request, held while we work in them: whoever asked may
 * be killed, and checkout with it.
 */
static int
run_hold(struct run *r, struct err *e)
{
	const char *const root[] = {
		r->stage != NULL    ? r->stage->target_root
		: r->plan != NULL   ? r->plan->target_root
		: r->render != NULL ? r->render->root
		: r->live != NULL   ? r->live->root
				    : NULL,
		r->stage != NULL  ? r->stage->running_root
		: r->plan != NULL ? r->plan->running_root
				  : NULL,
	};
	size_t i;

	r->hold[0] = r->hold[1] = -1;
	for (i = 0; i < NITEMS(root); i++)
		if (root[i] != NULL && *root[i] != '\0' &&
		    (r->hold[i] = dir_hold(root[i])) == -1)
			return err_set(
			    e, RC_TEMP, "the checkout %s is gone", root[i]);
	return 0;
}

static void
run_let_go(const struct run *r)
{
	size_t i;

	for (i = 0; i < NITEMS(r->hold); i++)
		if (r->hold[i] != -1)
			close(r->hold[i]);
}

/* One request: the frame is in the arena, and so is all that comes of it. */
static bool
answer(const struct platform *p, const struct verb *v,
    const struct conf_piped *conf, const struct frame *f, struct arena *a)
{
	struct run r = { .arena = a,
		.out = STDOUT_FILENO,
		.conf = conf,
		.plugin = plugin_find(conf, p->name),
		.re = f->id,
		.platform = p,
		.began_ms = now_ms() };
	struct err e = { 0 };
	int rv;

	switch (f->kind) {
	case FRAME_stage_start:
		r.stage = f->u.stage_start;
		/* What an earlier attempt did nobody told us. */
		r.untouched = p->touches && r.stage->attempt == 0;
		/* Now, while both clocks say the same: one may jump. */
		if (r.stage->has_deadline_ms)
			r.until_ms =
			    r.began_ms + r.stage->deadline_ms - wall_ms();
		run_secrets_of(&r, r.stage->target_root);
		run_secrets_of(&r, r.stage->running_root);
		break;
	case FRAME_render_start:
		r.render = f->u.render_start;
		break;
	case FRAME_plan_start:
		r.plan = f->u.plan_start;
		run_secrets_of(&r, r.plan->target_root);
		run_secrets_of(&r, r.plan->running_root);
		break;
	default:
		r.live = f->u.live_start;
		run_secrets_of(&r, r.live->root);
		break;
	}
	if ((rv = run_hold(&r, &e)) == 0)
		rv = v->run(p, &r, &e);
	run_let_go(&r);
	finish(&r, v, rv, &e);
	return r.ok && !r.gone;
}

/* Answer requests until the end of input; a stage takes one. */
static int
serve(const struct platform *p, const struct verb *v,
    const struct conf_piped *conf, struct err *e)
{
	struct frame_reader in = { .in = stdin, .name = "stdin" };
	struct arena *a = arena_new();
	struct frame f;
	int n, rc = RC_OK, seen = 0;

	for (;;) {
		arena_reset(a);
		if ((n = frame_next(&in, &f, a, e)) == -1) {
			rc = -1;
			break;
		}
		if (n == 2)
			break;
		if (n == 0 || f.kind != v->kind) {
			if (n == 1)
				log_debug("-", "%s is not for %s",
				    frame_kind_name(f.kind), v->name);
			continue;
		}
		seen++;
		if (!answer(p, v, conf, &f, a))
			rc = RC_NO;
		if (v->kind == FRAME_stage_start)
			break;
	}
	if (rc != -1 && seen == 0)
		rc = err_set(
		    e, RC_PERM, "stdin: no %s frame", frame_kind_name(v->kind));
	frame_reader_free(&in);
	arena_free(a);
	return rc;
}

static int
run_verb(const struct platform *p, const struct verb *v, const char *path,
    struct err *e)
{
	struct arena *a = arena_new();
	struct conf_piped conf, *c = NULL;
	int fd, rc = -1;

	if (path != NULL || getenv("PIPECD_CONF") != NULL) {
		if (conf_piped_open(&conf, path, a, e) == -1)
			goto out;
		c = &conf;
	}
	if ((fd = signals_open(e)) == -1)
		goto out;
	cancel_open(fd);
	/* What a child leaves behind comes to us, so that we can end it. */
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (p->open != NULL && p->open(v->name, c, e) == -1)
		goto out;
	rc = serve(p, v, c, e);
	/*
	 * A service that a stage started may go on with our lock's descriptor:
	 * the stage is over, and so is the lock.
	 */
	if (v->kind == FRAME_stage_start && fcntl(FD_LOCK, F_GETFD) != -1)
		(void)flock(FD_LOCK, LOCK_UN);
	if (p->close != NULL)
		p->close();
out:
	arena_free(a);
	return rc;
}

int
platform_main(int argc, char *argv[], const struct platform *p)
{
	const char *path = NULL, *name;
	enum log_level level = LOG_INFO;
	static char prog[64], synopsis[128];
	const struct verb *v;
	struct err e = { 0 };
	int c, rc;

	(void)snprintf(prog, sizeof(prog), "pipecd-exec-%s", p->name);
	(void)snprintf(
	    synopsis, sizeof(synopsis), "%s [-v] [-f config] verb", prog);
	while ((c = getopt(argc, argv, "f:v")) != -1) {
		switch (c) {
		case 'f':
			path = optarg;
			break;
		case 'v':
			level = LOG_DEBUG;
			break;
		default:
			usage(synopsis);
		}
	}
	log_open(prog, level);
	if (argc - optind != 1)
		usage(synopsis);
	name = argv[optind];
	if (strcmp(name, "describe") == 0) {
		rc = describe(p, &e) == -1 ? -1 : RC_OK;
	} else if ((v = verb_find(p, name)) == NULL) {
		err_set(&e, RC_PERM,
		    "%s: no such verb here: describe, stage, "
		    "render, plan, preview, live are what a platform may have",
		    name);
		rc = -1;
	} else {
		rc = run_verb(p, v, path, &e);
	}
	if (rc == -1)
		die(&e);
	return rc;
}
