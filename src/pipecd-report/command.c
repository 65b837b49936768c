/*
 * What people want of exec: one command frame on its socket, one answer.
 */
#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "report.h"

enum {
	ANSWER_MS = 15000
};

static const struct order {
	const char *name;
	Model__Command__Type type;
	bool stage; /* takes one, which may be left out */
} orders[] = {
	{ "approve", MODEL__COMMAND__TYPE__APPROVE_STAGE, true },
	{ "cancel", MODEL__COMMAND__TYPE__CANCEL_DEPLOYMENT, false },
	{ "skip", MODEL__COMMAND__TYPE__SKIP_STAGE, true },
	{ "sync", MODEL__COMMAND__TYPE__SYNC_APPLICATION, false },
};

static const struct order *
order_find(const char *name)
{
	size_t i;

	for (i = 0; i < NITEMS(orders); i++)
		if (strcmp(orders[i].name, name) == 0)
			return &orders[i];
	return NULL;
}

static int
connect_exec(const char *state_dir, struct arena *a, struct err *e)
{
	const char *run = arena_printf(a, "%s/run/exec", state_dir);
	int dir, fd = -1, rv = -1;

	dir = open(run, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir == -1 && errno == ENOENT)
		return err_set(e, RC_TEMP,
		    "%s: is not there: no pipecd-exec has run on this state "
		    "directory",
		    run);
	if (dir == -1)
		return err_sys(e, "%s", run);
	if ((fd = unix_connect(dir, "exec.sock", true)) != -1) {
		rv = fd;
	} else if (errno == ENOENT || errno == ECONNREFUSED) {
		err_set(e, RC_TEMP,
		    "%s/exec.sock: nobody is there: neither piped nor a shell "
		    "pipe with pipecd-exec runs on this state directory",
		    run);
	} else {
		err_sys(e, "%s/exec.sock", run);
	}
	if (rv == -1 && fd != -1)
		close(fd);
	close(dir);
	return rv;
}

static int
read_answer(int fd, struct buf *b, struct err *e)
{
	int64_t until = now_ms() + ANSWER_MS, left;
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	ssize_t n;

	while (memchr(b->p, '\n', b->len) == NULL) {
		if ((left = until - now_ms()) <= 0)
			return err_set(e, RC_TEMP,
			    "pipecd-exec did not answer within %ds; whether "
			    "it heard is not known",
			    ANSWER_MS / 1000);
		if (poll(&pfd, 1, (int)left) != 1)
			continue;
		buf_grow(b, 4096);
		n = read(fd, b->p + b->len, 4096);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return err_sys(e, "exec.sock");
		if (n == 0 || b->len > FRAME_MAX)
			return err_set(e, RC_TEMP,
			    "pipecd-exec hung up without an answer; whether it "
			    "heard is not known");
		b->len += (size_t)n;
		b->p[b->len] = '\0';
	}
	return 0;
}

/* The command as a line: what it names twice is for readers of either. */
static void
write_command(struct buf *b, const struct order *o, char *id, char *stage)
{
	Frame__Command f = FRAME__COMMAND__INIT;
	Model__Command c = MODEL__COMMAND__INIT;
	Model__Command__SyncApplication sync =
	    MODEL__COMMAND__SYNC_APPLICATION__INIT;
	Model__Command__CancelDeployment cancel =
	    MODEL__COMMAND__CANCEL_DEPLOYMENT__INIT;
	Model__Command__ApproveStage approve =
	    MODEL__COMMAND__APPROVE_STAGE__INIT;
	Model__Command__SkipStage skip = MODEL__COMMAND__SKIP_STAGE__INIT;

	c.type = o->type;
	c.created_at = c.updated_at = wall_s();
	if (stage != NULL)
		c.stage_id = stage;
	if (o->type == MODEL__COMMAND__TYPE__SYNC_APPLICATION)
		c.application_id = id;
	else
		c.deployment_id = id;
	switch (o->type) {
	case MODEL__COMMAND__TYPE__APPROVE_STAGE:
		approve.deployment_id = id;
		approve.stage_id = c.stage_id;
		c.approve_stage = &approve;
		break;
	case MODEL__COMMAND__TYPE__SKIP_STAGE:
		skip.deployment_id = id;
		skip.stage_id = c.stage_id;
		c.skip_stage = &skip;
		break;
	case MODEL__COMMAND__TYPE__CANCEL_DEPLOYMENT:
		cancel.deployment_id = id;
		c.cancel_deployment = &cancel;
		break;
	default:
		sync.application_id = id;
		c.sync_application = &sync;
		break;
	}
	f.command = &c;
	frame_write(b, FRAME_OF(command, &f));
}

int
report_command(
    const char *order, char *const *args, const char *state_dir, struct err *e)
{
	const struct order *o = order_find(order);
	struct arena *a = arena_new();
	struct buf b = BUF_INIT;
	struct frame f;
	size_t n;
	int fd = -1, rv = -1;

	for (n = 0; args[n] != NULL; n++)
		;
	if (o == NULL) {
		err_set(e, RC_PERM,
		    "-c %s: is none of approve, cancel, skip, sync", order);
		goto out;
	}
	if (n < 1 || n > (o->stage ? 2u : 1u)) {
		err_set(e, RC_PERM, "-c %s: wants %s", order,
		    o->type == MODEL__COMMAND__TYPE__SYNC_APPLICATION
			? "an application's id or name"
		    : o->stage ? "a deployment's id, and a stage if you like"
			       : "a deployment's id");
		goto out;
	}
	if ((fd = connect_exec(state_dir, a, e)) == -1)
		goto out;
	write_command(&b, o, args[0], args[1]);
	if (write_all(fd, b.p, b.len) == -1) {
		err_sys(e, "exec.sock");
		goto out;
	}
	buf_reset(&b);
	if (read_answer(fd, &b, e) == -1)
		goto out;
	if (frame_parse(&f, b.p, b.len, a, e) != 1 ||
	    (f.kind != FRAME_ok && f.kind != FRAME_err)) {
		err_set(e, RC_TEMP, "pipecd-exec answered what is no answer");
		goto out;
	}
	rv = f.kind == FRAME_ok ? RC_OK : RC_NO;
	if (f.kind == FRAME_ok)
		printf("%s\n", f.u.ok->text != NULL
				   ? text_inert(a, f.u.ok->text, true)
				   : "done");
	else
		log_error("-", "%s", f.u.err->text);
	if (fflush(stdout) == EOF)
		rv = err_sys(e, "stdout");
out:
	if (fd != -1)
		close(fd);
	buf_free(&b);
	arena_free(a);
	return rv;
}
