/* platform.c - the platforms of this agent, and what they say of themselves. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plan.h"

enum {
	DESCRIBE_MS = 10000,
	DESCRIBE_MAX = 256 * 1024,
	ASK_AGAIN_MS = 30000 /* after a failure */
};

int
platforms_open(struct plan *p)
{
	size_t i;

	p->n_platforms = p->conf.n_plugins;
	p->platforms = xcalloc(p->n_platforms + 1, sizeof(*p->platforms));
	p->platform_arena = arena_new();
	for (i = 0; i < p->n_platforms; i++)
		p->platforms[i].conf = &p->conf.plugins[i];
	return 0;
}

void
platforms_close(struct plan *p)
{
	size_t i;

	for (i = 0; i < p->n_platforms; i++)
		free(p->platforms[i].why);
	free(p->platforms);
	arena_free(p->platform_arena);
	launcher_close(p->launcher);
}

struct platform *
platform_get(struct plan *p, const char *name)
{
	size_t i;

	for (i = 0; i < p->n_platforms; i++) {
		if (strcmp(p->platforms[i].conf->name, name) == 0)
			return &p->platforms[i];
	}
	return NULL;
}

const Frame__StageDef *
platform_stage(const Frame__Platform *k, bool rollback, bool quick)
{
	const Frame__StageDef *s;
	size_t i;

	for (i = 0; i < k->n_stages; i++) {
		s = k->stages[i];
		if (rollback ? s->has_rollback && s->rollback
			     : quick && s->has_quick && s->quick)
			return s;
	}
	return NULL;
}

int
launcher_get(struct plan *p, struct err *e)
{
	if (p->launcher == NULL)
		p->launcher =
		    launcher_open(p->conf_path != NULL ? &p->conf : NULL, e);
	return p->launcher == NULL ? -1 : 0;
}

/* All that a child writes, until it closes its end or is late. */
static int
read_all(int fd, struct buf *out, int64_t until, struct err *e)
{
	struct pollfd pfd = { fd, POLLIN, 0 };
	ssize_t n;
	int64_t left;

	for (;;) {
		if ((left = until - now_ms()) <= 0)
			return err_set(e, RC_TEMP, "no answer in time");
		if (poll(&pfd, 1, (int)left) == -1 && errno != EINTR)
			return err_sys(e, "poll");
		if (pfd.revents == 0)
			continue;
		if (out->len > DESCRIBE_MAX)
			return err_set(e, RC_PERM, "the answer is too long");
		buf_grow(out, 8192);
		n = read(fd, out->p + out->len, 8192);
		if (n == -1 && errno != EINTR && errno != EAGAIN)
			return err_sys(e, "read");
		if (n == 0)
			return 0;
		if (n > 0) {
			out->len += (size_t)n;
			out->p[out->len] = '\0';
		}
	}
}

/* Wait for one child of the launcher; what else ended meanwhile is ours too. */
static int
wait_for(struct plan *p, pid_t pid, int64_t until)
{
	struct pollfd pfd = { launcher_fd(p->launcher), POLLIN, 0 };
	struct err e;
	int status = -1;
	pid_t who;

	for (;;) {
		while (launcher_next(p->launcher, &who, &status) == 1) {
			if (who == pid)
				return status;
		}
		if (now_ms() >= until)
			(void)launcher_kill(p->launcher, pid, SIGKILL, &e);
		if (now_ms() >= until + 2000)
			return -1;
		(void)poll(
		    &pfd, 1, until > now_ms() ? (int)(until - now_ms()) : 200);
	}
}

/* Run `K describe` and keep its frame in the platforms' arena. */
static int
describe(struct plan *p, struct platform *k, struct buf *out, struct err *e)
{
	struct launch what = { .program = k->conf->name,
		.verb = "describe",
		.in = -1,
		.err = STDERR_FILENO,
		.lock = -1 };
	int64_t until = now_ms() + DESCRIBE_MS;
	int fd[2], rv, status;
	char text[64];
	pid_t pid;

	if (launcher_get(p, e) == -1)
		return -1;
	if (pipe2(fd, O_CLOEXEC) == -1)
		return err_sys(e, "pipe");
	what.out = fd[1];
	pid = launch(p->launcher, &what, e);
	close(fd[1]);
	if (pid == -1) {
		close(fd[0]);
		return -1;
	}
	rv = read_all(fd[0], out, until, e);
	close(fd[0]);
	if (rv == -1)
		until = now_ms();
	status = wait_for(p, pid, until);
	if (rv == 0 && status != 0)
		rv = err_set(e, RC_PERM, "%s", child_status(status, text));
	return rv;
}

static int
describe_read(
    struct plan *p, struct platform *k, const struct buf *out, struct err *e)
{
	struct frame f;
	const char *line = out->p, *end;
	int rv;

	while ((end = strchr(line, '\n')) != NULL) {
		rv = frame_parse(
		    &f, line, (size_t)(end - line), p->platform_arena, e);
		if (rv == -1)
			return -1;
		if (rv == 1 && f.kind == FRAME_platform) {
			k->says = f.u.platform;
			return 0;
		}
		line = end + 1;
	}
	return err_set(e, RC_PERM, "it says no platform frame");
}

const Frame__Platform *
platform_ask(struct plan *p, struct platform *k, struct err *e)
{
	struct buf out = BUF_INIT;

	if (k->says != NULL)
		return k->says;
	if (k->why == NULL || now_ms() - k->asked_ms >= ASK_AGAIN_MS) {
		free(k->why);
		k->why = NULL;
		k->asked_ms = now_ms();
		if (describe(p, k, &out, e) == -1 ||
		    describe_read(p, k, &out, e) == -1) {
			k->why = xstrdup(e->text);
			k->exit = e->exit;
			log_warn("-", "plugin %s describe: %s", k->conf->name,
			    k->why);
		}
		buf_free(&out);
	}
	if (k->says == NULL)
		err_set(e, RC_TEMP,
		    "plugin %s cannot be asked what it does: %s", k->conf->name,
		    k->why);
	return k->says;
}

static bool
has_stage(const Frame__Platform *k, const char *stage)
{
	size_t i;

	for (i = 0; i < k->n_stages; i++) {
		if (strcmp(k->stages[i]->name, stage) == 0 &&
		    !(k->stages[i]->has_rollback && k->stages[i]->rollback))
			return true;
	}
	return false;
}

static bool
involved(const struct work *w, const struct platform *k)
{
	size_t i;

	for (i = 0; i < w->n_plugins; i++) {
		if (w->plugins[i] == k)
			return true;
	}
	return false;
}

/* A platform that the application does not name, but whose stage it uses. */
static int
involve(struct work *w, struct platform *k, struct err *e)
{
	struct platform **list;
	const char **names;

	if (app_targets(w->conf, k->conf, &names, w->arena, e) == -1)
		return err_wrap(e, "%s", w->config_path);
	list = arena_array(w->arena, struct platform *, w->n_plugins + 1);
	if (w->n_plugins > 0)
		memcpy(list, w->plugins, w->n_plugins * sizeof(*list));
	list[w->n_plugins++] = k;
	w->plugins = list;
	return 0;
}

int
platform_of_stage(struct work *w, const char *stage, struct platform **owner,
    const char **program, struct err *e)
{
	static const struct {
		const char *stage, *program;
	} own[] = {
		{ "WAIT", "exec" },
		{ "WAIT_APPROVAL", "exec" },
		{ "SCRIPT_RUN", "script" },
		{ "CUSTOM_SYNC", "script" },
	};
	const Frame__Platform *says;
	struct platform *k;
	size_t i;

	*owner = NULL;
	for (i = 0; i < NITEMS(own); i++) {
		if (strcmp(own[i].stage, stage) == 0) {
			*program = own[i].program;
			return 1;
		}
	}
	for (i = 0; i < w->n_plugins; i++) {
		if ((says = platform_ask(w->p, w->plugins[i], e)) == NULL)
			return -1;
		if (has_stage(says, stage)) {
			*owner = w->plugins[i];
			*program = (*owner)->conf->name;
			return 1;
		}
	}
	/* An Application's plugins are the owners of its stages. */
	for (i = 0; w->conf->v1 && i < w->p->n_platforms; i++) {
		k = &w->p->platforms[i];
		if (involved(w, k) ||
		    (says = platform_ask(w->p, k, e)) == NULL ||
		    !has_stage(says, stage))
			continue;
		*owner = k;
		*program = k->conf->name;
		return involve(w, k, e) == -1 ? -1 : 1;
	}
	return 0;
}
