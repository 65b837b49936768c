/*
 * Commands of people: one frame per line on stateDir/run/exec/exec.sock,
 * answered by ok or err.  Who commands is whom the kernel names, never what the
 * frame claims; who may connect is the mode and group of that directory.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "exec.h"

int
socket_open(struct exec *x, struct err *e)
{
	struct stat st;

	/* Our lock says that no other exec listens there. */
	if ((x->sock = unix_listen(x->run_fd, "exec.sock", 16)) == -1)
		return err_sys(
		    e, "listen on %s/run/exec/exec.sock", x->state_dir);
	/* Others may command if the directory lets its group in. */
	if (fstat(x->run_fd, &st) == 0 &&
	    fchownat(x->run_fd, "exec.sock", (uid_t)-1, st.st_gid, 0) == -1)
		log_warn("-", "chgrp %s/run/exec/exec.sock: %s", x->state_dir,
		    strerror(errno));
	if (fchmodat(x->run_fd, "exec.sock", 0660, 0) == -1)
		return err_sys(e, "chmod %s/run/exec/exec.sock", x->state_dir);
	/* Its old place; where run is not ours, who made it did this. */
	if (symlinkat("exec/exec.sock", x->run_fd, "../exec.sock") == -1 &&
	    errno != EEXIST)
		log_debug(
		    "-", "%s/run/exec.sock: %s", x->state_dir, strerror(errno));
	return 0;
}

static char *
user_name(uid_t uid)
{
	struct buf b = BUF_INIT;
	const struct passwd *pw = getpwuid(uid);
	char *name;

	if (pw != NULL)
		buf_adds(&b, pw->pw_name);
	else
		buf_printf(&b, "uid:%lu", (unsigned long)uid);
	name = xstrdup(b.p);
	buf_free(&b);
	return name;
}

void
socket_accept(struct exec *x)
{
	struct ucred who;
	socklen_t len = sizeof(who);
	struct client *c = NULL;
	int fd, i;

	fd = accept4(x->sock, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd == -1)
		return;
	for (i = 0; i < CLIENTS_MAX && c == NULL; i++)
		if (x->client[i].fd == -1)
			c = &x->client[i];
	if (c == NULL ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == -1) {
		close(fd);
		return;
	}
	*c = (struct client){ .fd = fd,
		.serial = ++x->client_serial,
		.user = user_name(who.uid),
		.in = BUF_INIT,
		.out = BUF_INIT };
}

void
client_close(struct client *c)
{
	close(c->fd);
	free(c->user);
	buf_free(&c->in);
	buf_free(&c->out);
	c->fd = -1;
}

void
client_write(struct client *c)
{
	ssize_t n;

	while (c->out.len > 0) {
		n = send(c->fd, c->out.p, c->out.len, MSG_NOSIGNAL);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN)
			return;
		if (n <= 0) {
			client_close(c);
			return;
		}
		memmove(c->out.p, c->out.p + n, c->out.len - (size_t)n);
		c->out.len -= (size_t)n;
	}
}

/* --- answers
 * --------------------------------------------------------------------
 */

struct asked {
	struct exec *x;
	const Model__Command *c;
	const char *re;
	int client;
};

/*
 * What became of a command from the bus; reason NULL: done.  It is said again
 * until the answer is heard, and must then not be acted upon again: a second
 * cancel, say, would kill the stage.
 */
static void
bus_answer_say(struct exec *x, const char *id, const char *reason)
{
	Frame__CommandDone *done = arena_new_of(x->turn, Frame__CommandDone);

	*done = (Frame__CommandDone)FRAME__COMMAND_DONE__INIT;
	done->command_id = arena_strdup(x->turn, id);
	done->status = reason == NULL ? MODEL__COMMAND_STATUS__COMMAND_SUCCEEDED
				      : MODEL__COMMAND_STATUS__COMMAND_FAILED;
	done->reason = arena_strdup(x->turn, reason);
	tell(x, FRAME_OF(command_done, done));
}

static void
bus_answer_keep(struct exec *x, const char *id, const char *reason)
{
	struct answered *a = &x->answered[x->n_answered++ % ANSWERED];

	free(a->id);
	free(a->reason);
	a->id = xstrdup(id);
	a->reason = xstrdup(reason);
	bus_answer_say(x, id, reason);
}

static bool
bus_answered(struct exec *x, const char *id)
{
	size_t i;

	for (i = 0; i < ANSWERED && *id != '\0'; i++) {
		if (x->answered[i].id == NULL ||
		    strcmp(x->answered[i].id, id) != 0)
			continue;
		bus_answer_say(x, id, x->answered[i].reason);
		return true;
	}
	return false;
}

static void
answer_ok(const struct asked *q, const char *text)
{
	Frame__Ok *ok = arena_new_of(q->x->turn, Frame__Ok);
	struct frame f = { .kind = FRAME_ok, .re = q->re };

	if (q->client != -1) {
		*ok = (Frame__Ok)FRAME__OK__INIT;
		ok->text = arena_strdup(q->x->turn, text);
		f.u.ok = ok;
		client_answer(q->x, q->client, &f);
		return;
	}
	must(q->c != NULL); /* who is no client has sent a command frame */
	bus_answer_keep(q->x, q->c->id, NULL);
}

static void
answer_err(const struct asked *q, int exit, const char *text)
{
	Frame__Err *r = arena_new_of(q->x->turn, Frame__Err);
	struct frame f = { .kind = FRAME_err, .re = q->re };

	if (q->client != -1) {
		*r = (Frame__Err)FRAME__ERR__INIT;
		r->text = arena_strdup(q->x->turn, text);
		r->exit = exit;
		f.u.err = r;
		client_answer(q->x, q->client, &f);
		return;
	}
	must(q->c != NULL); /* who is no client has sent a command frame */
	bus_answer_keep(q->x, q->c->id, text);
}

/* --- which deployment and stage
 * --------------------------------------------------
 */

/* By its id, or by the beginning of one. */
static struct deployment *
deployment_find(struct exec *x, const char *id, struct err *e)
{
	struct deployment *d = map_get(x->by_id, id), *found = NULL;
	const char *key;
	size_t i = 0;
	void *v;

	if (d != NULL && d->phase < PH_CHAIN)
		return d;
	if (*id == '\0') {
		err_set(e, RC_PERM, "no deployment named");
		return NULL;
	}
	while (map_next(x->by_id, &i, &key, &v)) {
		d = v;
		if (d->phase >= PH_CHAIN || !str_prefix(key, id))
			continue;
		if (found != NULL) {
			err_set(e, RC_PERM,
			    "\"%s\" is the beginning of several: %s, %s", id,
			    found->id, d->id);
			return NULL;
		}
		found = d;
	}
	if (found == NULL)
		err_set(e, RC_PERM,
		    "no unfinished deployment \"%.64s\" here: it has ended, or "
		    "never was",
		    id);
	return found;
}

static const char *
command_deployment(const Model__Command *c)
{
	if (c->deployment_id[0] != '\0')
		return c->deployment_id;
	if (c->cancel_deployment != NULL)
		return c->cancel_deployment->deployment_id;
	if (c->approve_stage != NULL)
		return c->approve_stage->deployment_id;
	if (c->skip_stage != NULL)
		return c->skip_stage->deployment_id;
	return "";
}

static const char *
command_stage(const Model__Command *c)
{
	if (c->stage_id[0] != '\0')
		return c->stage_id;
	if (c->approve_stage != NULL)
		return c->approve_stage->stage_id;
	if (c->skip_stage != NULL)
		return c->skip_stage->stage_id;
	return "";
}

/* Whether the command means the stage that the deployment is in. */
static int
stage_check(const struct deployment *d, const char *want, struct err *e)
{
	const Model__PipelineStage *m;

	if (d->phase <= PH_QUEUED || d->stage == -1)
		return err_set(
		    e, RC_PERM, "deployment %s has not started", d->id);
	m = stage_model(d);
	if (*want == '\0' || strcmp(m->id, want) == 0 ||
	    strcmp(m->name, want) == 0)
		return 0;
	return err_set(e, RC_PERM, "deployment %s is in stage %s (%s), not %s",
	    d->id, m->id, m->name, want);
}

/* --- the commands
 * ----------------------------------------------------------------
 */

static void
command_cancel(const struct asked *q, struct deployment *d)
{
	Frame__Command f = FRAME__COMMAND__INIT;
	Model__Command c = *q->c;
	struct exec *x = q->x;
	bool again = d->s.cancelled_by != NULL;
	char reason[200];
	struct err e;

	if (d->rolling_back) {
		answer_err(q, RC_PERM,
		    "it is rolling back, which cannot be cancelled");
		return;
	}
	c.deployment_id = d->id;
	f.command = &c;
	record(x, d, FRAME_OF(command, &f), true);
	if (d->phase > PH_QUEUED) {
		deployment_cancel(x, d);
		answer_ok(
		    q, again ? "cancelled a second time: the stage is killed"
			     : "cancelled: the stage in hand is asked to end");
		return;
	}
	(void)snprintf(reason, sizeof(reason),
	    "cancelled by %.64s before it "
	    "started",
	    c.commander);
	if (deployment_cancel_queued(x, d, reason, false, &e) == -1)
		answer_err(q, e.exit, e.text);
	else
		answer_ok(q, "cancelled before it started");
}

static void
command_approve(const struct asked *q, struct deployment *d)
{
	struct buf text = BUF_INIT;
	struct err e;

	if (stage_check(d, command_stage(q->c), &e) == -1)
		answer_err(q, e.exit, e.text);
	else if (d->phase != PH_APPROVAL)
		answer_err(q, RC_PERM,
		    arena_printf(q->x->turn, "stage %s waits for no approval",
			stage_model(d)->name));
	else if (approve(q->x, d, q->c, &text, &e) == -1)
		answer_err(q, e.exit, e.text);
	else
		answer_ok(q, text.p);
	buf_free(&text);
}

static void
command_skip(const struct asked *q, struct deployment *d)
{
	struct err e;

	if (stage_check(d, command_stage(q->c), &e) == -1)
		answer_err(q, e.exit, e.text);
	else
		answer_err(q, RC_PERM,
		    arena_printf(q->x->turn,
			"stage %s cannot be skipped by hand: only ANALYSIS "
			"can; use skipOn, approve, or cancel",
			stage_model(d)->name));
}

static struct app *
app_find(struct exec *x, const char *what, struct err *e)
{
	struct app *a = map_get(x->app, what), *found = NULL;
	const char *key;
	size_t i = 0;
	void *v;

	if (a != NULL && a->known)
		return a;
	while (*what != '\0' && map_next(x->app, &i, &key, &v)) {
		a = v;
		if (!a->known || a->gone ||
		    (!str_prefix(key, what) &&
			(a->name == NULL || strcmp(a->name, what) != 0)))
			continue;
		if (found != NULL) {
			err_set(e, RC_PERM, "\"%s\" may be %s (%s) or %s (%s)",
			    what, found->id, found->name, a->id, a->name);
			return NULL;
		}
		found = a;
	}
	if (found == NULL)
		err_set(e, RC_PERM, "no application \"%.64s\" is known", what);
	return found;
}

static void
command_sync(const struct asked *q)
{
	Frame__Command f = FRAME__COMMAND__INIT;
	Model__Command c = *q->c;
	Model__Command__SyncApplication s;
	const char *what = c.application_id;
	struct frame out = { .kind = FRAME_command };
	struct app *a;
	struct err e;

	if (*what == '\0' && c.sync_application != NULL)
		what = c.sync_application->application_id;
	if (!q->x->daemon) {
		answer_err(q, RC_PERM,
		    "this exec is the end of a shell pipe and has no plan to "
		    "ask: commit, or run piped");
		return;
	}
	if ((a = app_find(q->x, what, &e)) == NULL) {
		answer_err(q, e.exit, e.text);
		return;
	}
	model__command__sync_application__init(&s);
	if (c.sync_application != NULL)
		s.sync_strategy = c.sync_application->sync_strategy;
	s.application_id = c.application_id = a->id;
	c.sync_application = &s;
	f.command = &c;
	out.u.command = msg_copy(&f, q->x->turn);
	tell(q->x, &out);
	answer_ok(q, arena_printf(q->x->turn, "sync of %s asked for",
			 a->name != NULL ? a->name : a->id));
}

void
command_frame(
    struct exec *x, const Model__Command *c, const char *re, int client)
{
	struct asked q = { x, c, arena_strdup(x->turn, re), client };
	struct deployment *d;
	struct err e;

	if (client == -1 && bus_answered(x, c->id))
		return;
	switch (c->type) {
	case MODEL__COMMAND__TYPE__CANCEL_DEPLOYMENT:
	case MODEL__COMMAND__TYPE__APPROVE_STAGE:
	case MODEL__COMMAND__TYPE__SKIP_STAGE:
		d = deployment_find(x, command_deployment(c), &e);
		if (d == NULL)
			answer_err(&q, e.exit, e.text);
		else if (c->type == MODEL__COMMAND__TYPE__CANCEL_DEPLOYMENT)
			command_cancel(&q, d);
		else if (c->type == MODEL__COMMAND__TYPE__APPROVE_STAGE)
			command_approve(&q, d);
		else
			command_skip(&q, d);
		break;
	case MODEL__COMMAND__TYPE__SYNC_APPLICATION:
		if (client != -1)
			command_sync(&q);
		break;
	default:
		if (client != -1)
			answer_err(&q, RC_PERM,
			    "exec takes cancel, approve, skip and sync");
		break;
	}
}

/* --- reading a client
 * ------------------------------------------------------------
 */

static void
client_line(struct exec *x, struct client *c, const char *s, size_t n)
{
	struct arena *a = arena_new();
	struct asked q = { x, NULL, NULL, c->serial };
	Model__Command m;
	struct frame f;
	struct err e;
	const char *parts[4];
	char id[UUID_LEN];

	switch (frame_parse(&f, s, n, a, &e)) {
	case -1:
		answer_err(&q, RC_PERM, e.text);
		goto out;
	case 1:
		if (f.kind == FRAME_command && f.u.command->command != NULL)
			break;
		/* FALLTHROUGH */
	default:
		answer_err(&q, RC_PERM, "only command frames are taken here");
		goto out;
	}
	parts[0] = "command";
	parts[1] = c->user;
	parts[2] = arena_printf(a, "%" PRId64, wall_ms());
	parts[3] = arena_printf(a, "%ld.%d", (long)getpid(), c->serial);
	uuid5(id, parts, 4);
	m = *f.u.command->command;
	m.id = id;
	m.commander = c->user;
	m.created_at = m.updated_at = wall_s();
	log_info("-", "command %s from %s deployment=%.64s",
	    msg_enum_name(
		&model__command__type__descriptor, (int)m.type, MSG_FRAME),
	    c->user, command_deployment(&m));
	command_frame(x, &m, f.id, c->serial);
out:
	arena_free(a);
}

void
client_read(struct exec *x, struct client *c)
{
	char *nl;
	ssize_t n;

	buf_grow(&c->in, 4096);
	n = recv(c->fd, c->in.p + c->in.len, 4095, 0);
	if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
		client_write(c);
		return;
	}
	if (n <= 0) {
		client_close(c); /* what it asked for is done all the same */
		return;
	}
	c->in.len += (size_t)n;
	while ((nl = memchr(c->in.p, '\n', c->in.len)) != NULL) {
		client_line(x, c, c->in.p, (size_t)(nl - c->in.p));
		c->in.len -= (size_t)(nl + 1 - c->in.p);
		memmove(c->in.p, nl + 1, c->in.len);
	}
	if (c->in.len > CLIENT_LINE)
		client_close(c);
}
