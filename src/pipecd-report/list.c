/*
 * -l: what has not ended, from the journals, and what waits for a person.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal.h"
#include "report.h"

enum {
	TAIL_MAX = 64 * 1024
};

/*
 * Whether a journal's last deployment frame, if it is in its last bytes, says
 * that it has ended: most have, and need not be read.
 */
static bool
ended_by_tail(int dir, const char *name)
{
	static const char kind[] = "\"kind\":\"deployment\"";
	struct arena *a = arena_new();
	char *tail = arena_alloc(a, TAIL_MAX + 1), *end, *line;
	bool ended = false;
	struct frame f;
	struct stat st;
	ssize_t n = -1;
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);

	if (fd != -1 && fstat(fd, &st) == 0)
		n = pread(fd, tail, TAIL_MAX,
		    st.st_size > TAIL_MAX ? st.st_size - TAIL_MAX : 0);
	if (fd != -1)
		close(fd);
	if (n <= 0)
		goto out;
	tail[n] = '\0';
	for (end = tail + n;
	     (end = memrchr(tail, '\n', (size_t)(end - tail)));) {
		line = memrchr(tail, '\n', (size_t)(end - tail));
		line = line == NULL ? tail : line + 1;
		if (memmem(line, (size_t)(end - line), kind,
			sizeof(kind) - 1) == NULL)
			continue;
		if (frame_parse(&f, line, (size_t)(end - line), a,
			&(struct err){ 0 }) == 1 &&
		    f.kind == FRAME_deployment) {
			ended = deployment_ended(
			    f.u.deployment->deployment->status);
			break;
		}
	}
out:
	arena_free(a);
	return ended;
}

static const Model__PipelineStage *
stage_now(const Model__Deployment *d, size_t *at, size_t *of)
{
	const Model__PipelineStage *now = NULL;
	size_t i;

	*at = *of = 0;
	for (i = 0; i < d->n_stages; i++) {
		*of += !d->stages[i]->rollback;
		if (d->stages[i]->status ==
		    MODEL__STAGE_STATUS__STAGE_RUNNING) {
			now = d->stages[i];
			*at = *of;
		}
	}
	return now;
}

static void
say_waiting(struct arena *a, const Model__Deployment *d,
    const Model__PipelineStage *s, const char *config)
{
	const char *by = journal_meta(s, "ApprovedBy");

	if (strcmp(s->name, "WAIT_APPROVAL") != 0)
		return;
	printf("  waits for approval%s%s: pipecd-report -c approve %s -f %s\n",
	    by != NULL ? ", approved so far by " : "", text_inert(a, by, false),
	    text_cut(a, d->id, 8), config);
}

static void
say_deployment(const struct journal_state *js, const char *config)
{
	const Model__Deployment *d = js->deployment;
	struct arena *a = js->arena;
	const Model__Commit *c = d->trigger != NULL ? d->trigger->commit : NULL;
	const Model__PipelineStage *s;
	size_t at, of;

	s = stage_now(d, &at, &of);
	printf("%s %s %s", text_cut(a, d->id, 8),
	    text_inert(a, d->application_name, false),
	    msg_enum_name(
		&model__deployment_status__descriptor, d->status, MSG_FRAME));
	if (d->created_at > 0)
		printf(" since %s", text_took_s(a, wall_s() - d->created_at));
	if (s != NULL && s->rollback)
		printf(", stage %s", text_inert(a, s->name, false));
	else if (s != NULL)
		printf(", stage %s (%zu of %zu)", text_inert(a, s->name, false),
		    at, of);
	if (c != NULL)
		printf(", commit %s \"%s\"", text_cut(a, c->hash, 7),
		    text_cut(a, c->message, 60));
	putchar('\n');
	if (s != NULL)
		say_waiting(a, d, s, config);
}

/* One journal: 1 when it is shown. */
static int
list_one(int dir, const char *name, const char *config, struct err *e)
{
	struct arena *a = arena_new();
	struct journal_reader r;
	struct journal_state js;
	int rv = -1, fd = openat(dir, name, O_RDONLY | O_CLOEXEC);

	if (fd == -1) {
		arena_free(a);
		return err_sys(e, "%s", name);
	}
	if (journal_reader_fd(&r, fd, name, e) == -1) {
		arena_free(a);
		return -1;
	}
	journal_state_init(&js, a);
	if (journal_replay(&js, &r, e) == -1)
		goto out;
	rv = js.deployment != NULL && !deployment_ended(js.deployment->status);
	if (rv == 1)
		say_deployment(&js, config);
out:
	journal_reader_close(&r);
	arena_free(a);
	return rv;
}

static int
is_journal(const struct dirent *d)
{
	return str_suffix(d->d_name, ".ndjson") &&
	       strcmp(d->d_name, "apps.ndjson") != 0;
}

int
report_list(const char *state_dir, const char *config, struct err *e)
{
	struct buf path = BUF_INIT;
	struct dirent **names = NULL;
	struct err bad = { 0 };
	int i, n, dir = -1, shown = 0, rv = -1;

	buf_printf(&path, "%s/journal", state_dir);
	n = scandir(path.p, &names, is_journal, alphasort);
	if (n == -1 && errno != ENOENT) {
		err_sys(e, "%s", path.p);
		goto out;
	}
	if (n > 0 &&
	    (dir = open(path.p, O_PATH | O_DIRECTORY | O_CLOEXEC)) == -1) {
		err_sys(e, "%s", path.p);
		goto out;
	}
	for (i = 0; i < n; i++) {
		if (ended_by_tail(dir, names[i]->d_name))
			continue;
		switch (list_one(dir, names[i]->d_name, config, &bad)) {
		case 1:
			shown++;
			break;
		case -1:
			log_warn("-", "%s: %s", path.p, bad.text);
			break;
		default:
			break;
		}
	}
	if (shown == 0)
		printf("no deployment is under way\n");
	rv = fflush(stdout) == EOF ? err_sys(e, "stdout") : RC_OK;
out:
	for (i = 0; i < n; i++)
		free(names[i]);
	free(names);
	if (dir != -1)
		close(dir);
	buf_free(&path);
	return rv;
}
