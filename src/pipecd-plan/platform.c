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
		p->platforms[i] = (struct platform){
			.conf = &p->conf.plugins[i],
			.fd = -1,
			.out = BUF_INIT,
			.until = INT64_MAX,
		};
	return 0;
}

void
platforms_close(struct plan *p)
{
	size_t i;

	for (i = 0; i < p->n_platforms; i++) {
		if (p->platforms[i].fd != -1)
			close(p->platforms[i].fd);
		buf_free(&p->platforms[i].out);
		free(p->platforms[i].why);
	}
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

/* --- describe: asked once, the loop going on meanwhile ---------------------- */

/* The end of asking: what it says, or why there is nothing. */
static void
describe_end(struct plan *p, struct platform *k, const char *why)
{
	struct err e;

	if (k->fd != -1)
		close(k->fd);
	if (k->pid > 0)
		(void)launcher_kill(p->launcher, k->pid, SIGKILL, &e);
	k->fd = -1;
	k->pid = 0;
	buf_free(&k->out);
	k->out = (struct buf)BUF_INIT;
	k->until = INT64_MAX;
	if (why != NULL) {
		k->why = xstrdup(why);
		log_warn("-", "plugin %s describe: %s", k->conf->name, k->why);
	}
	triggers_wake(p);
}

/* Start `K describe`; what cannot be started has ended. */
static void
describe_start(struct plan *p, struct platform *k)
{
	struct launch what = { .program = k->conf->name,
		.verb = "describe",
		.in = -1,
		.err = STDERR_FILENO,
		.lock = -1 };
	struct err e;
	int fd[2];

	free(k->why);
	k->why = NULL;
	k->asked_ms = now_ms();
	k->until = k->asked_ms + DESCRIBE_MS;
	if (launcher_get(p, &e) == -1) {
		describe_end(p, k, e.text);
		return;
	}
	if (pipe2(fd, O_CLOEXEC) == -1) {
		err_sys(&e, "pipe");
		describe_end(p, k, e.text);
		return;
	}
	(void)fcntl(fd[0], F_SETFL, O_NONBLOCK);
	what.out = fd[1];
	k->fd = fd[0];
	k->pid = launch(p->launcher, &what, &e);
	close(fd[1]);
	if (k->pid == -1)
		describe_end(p, k, e.text);
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

/* Take what has come; at the end of it the process's own end is awaited. */
static void
describe_input(struct plan *p, struct platform *k)
{
	ssize_t n;

	do {
		buf_grow(&k->out, 8192);
		n = read(k->fd, k->out.p + k->out.len, 8192);
		if (n > 0)
			k->out.len += (size_t)n;
		k->out.p[k->out.len] = '\0';
	} while (n > 0 && k->out.len <= DESCRIBE_MAX);
	if (k->out.len > DESCRIBE_MAX) {
		describe_end(p, k, "the answer is too long");
	} else if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR)) {
		close(k->fd);
		k->fd = -1;
	}
}

static bool
asking(const struct platform *k)
{
	return k->until != INT64_MAX;
}

void
platforms_reap(struct plan *p)
{
	struct platform *k;
	struct err e;
	char text[64];
	int status;
	size_t i;
	pid_t pid;

	while (p->launcher != NULL &&
	       launcher_next(p->launcher, &pid, &status) == 1) {
		for (i = 0; i < p->n_platforms; i++)
			if (p->platforms[i].pid == pid)
				break;
		/* Others are votes: their output says how they ended. */
		if (i == p->n_platforms)
			continue;
		k = &p->platforms[i];
		k->pid = 0;
		if (k->fd != -1)
			describe_input(p, k);
		if (!asking(k))
			continue;
		if (status != 0)
			describe_end(p, k, child_status(status, text));
		else
			describe_end(p, k,
			    describe_read(p, k, &k->out, &e) == -1 ? e.text
								   : NULL);
	}
}

size_t
platforms_poll(const struct plan *p, struct pollfd *pfd)
{
	size_t i, n = 0;

	for (i = 0; i < p->n_platforms; i++)
		if (p->platforms[i].fd != -1)
			pfd[n++] =
			    (struct pollfd){ p->platforms[i].fd, POLLIN, 0 };
	return n;
}

int64_t
platforms_step(struct plan *p)
{
	int64_t next = INT64_MAX;
	struct platform *k;
	size_t i;

	platforms_reap(p);
	for (i = 0; i < p->n_platforms; i++) {
		k = &p->platforms[i];
		if (k->fd != -1)
			describe_input(p, k);
		if (asking(k) && now_ms() >= k->until)
			describe_end(p, k, "no answer in time");
		if (k->until < next)
			next = k->until;
	}
	return next;
}

/* A filter has nothing else to do: it waits. */
static void
platform_wait(struct plan *p, struct platform *k)
{
	struct pollfd pfd[2];
	int64_t left;

	for (;;) {
		(void)platforms_step(p);
		if (!asking(k))
			return;
		left = k->until - now_ms();
		pfd[0] = (struct pollfd){ launcher_fd(p->launcher), POLLIN, 0 };
		pfd[1] = (struct pollfd){ k->fd, POLLIN, 0 };
		(void)poll(pfd, 2, left > 0 ? (int)left : 0);
	}
}

const Frame__Platform *
platform_ask(struct work *w, struct platform *k, struct err *e)
{
	if (k->says != NULL)
		return k->says;
	if (!asking(k) &&
	    (k->why == NULL || now_ms() - k->asked_ms >= ASK_AGAIN_MS))
		describe_start(w->p, k);
	if (asking(k) && w->p->filter)
		platform_wait(w->p, k);
	if (asking(k)) {
		w->asking = true;
		err_set(e, RC_TEMP, "plugin %s is being asked what it does",
		    k->conf->name);
	} else if (k->says == NULL)
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
		if ((says = platform_ask(w, w->plugins[i], e)) == NULL)
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
		    ((says = platform_ask(w, k, e)) == NULL && !w->asking))
			continue;
		/* The first that has it: not before it is known who is. */
		if (says == NULL)
			return -1;
		if (!has_stage(says, stage))
			continue;
		*owner = k;
		*program = k->conf->name;
		return involve(w, k, e) == -1 ? -1 : 1;
	}
	return 0;
}
