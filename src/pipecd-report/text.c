#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "report.h"

/*
 * One event, one line: time, application, short deployment id, what happened.
 * What belongs to the line above is indented, so that `grep -v '^ '` and
 * `grep SITE` both give whole stories.
 */
static void
say_plain(struct report *r, enum say what, const struct dep *d, const char *app,
    const char *text)
{
	const char *in = what == SAY_LOG || what == SAY_MORE ? "  " : "";
	char time[21] = "-";
	const char *nl;

	if (d != NULL && d->at > 0)
		time_iso(time, d->at);
	else if (r->at > 0)
		time_iso(time, r->at);
	for (; text != NULL; text = nl == NULL ? NULL : nl + 1) {
		nl = strchr(text, '\n');
		fprintf(r->out, "%s %s %s %s%.*s\n", time, app,
		    d != NULL ? text_cut(r->arena, d->id, 8) : "-", in,
		    (int)(nl != NULL ? nl - text : (ptrdiff_t)strlen(text)),
		    text);
		in = "  ";
	}
}

void
say(struct report *r, enum say what, enum tone tone, const struct dep *d,
    const char *app, const char *text)
{
	if (app == NULL)
		app = d != NULL ? d->app : "-";
	if (r->live != NULL)
		live_say(r->live, what, tone, d, app, text);
	else
		say_plain(r, what, d, app, text);
}

/* Lines from a descriptor that may have nothing to read for long. */
struct input {
	int fd;
	long n;	      /* lines handed out */
	struct buf b; /* read and not yet handed out, from `at` */
	size_t at;
	bool end;
};

/* The next whole line: 1; 0: read more first; 2: the end; -1. */
static int
input_line(struct input *in, const char **line, size_t *len, struct err *e)
{
	size_t left = in->b.len - in->at;
	const char *p = in->b.p + in->at, *nl = memchr(p, '\n', left);

	if ((nl == NULL && left >= FRAME_MAX) ||
	    (nl != NULL && (size_t)(nl - p) >= FRAME_MAX))
		return err_set(e, RC_PERM,
		    "stdin:%ld: a line of more than %d bytes is no frame",
		    in->n + 1, FRAME_MAX);
	if (nl != NULL) {
		*line = p;
		*len = (size_t)(nl - p) + 1;
		in->at += *len;
		in->n++;
		return 1;
	}
	if (!in->end)
		return 0;
	if (left > 0)
		return err_set(e, RC_TEMP,
		    "stdin:%ld: the last line has no newline: a frame cut off",
		    in->n + 1);
	return 2;
}

static int
input_read(struct input *in, struct err *e)
{
	ssize_t n;

	if (in->at > 0) {
		memmove(in->b.p, in->b.p + in->at, in->b.len - in->at + 1);
		in->b.len -= in->at;
		in->at = 0;
	}
	buf_grow(&in->b, 64 * 1024);
	n = read(in->fd, in->b.p + in->b.len, 64 * 1024);
	if (n == -1 && errno != EINTR && errno != EAGAIN)
		return err_sys(e, "stdin");
	if (n == 0)
		in->end = true;
	if (n > 0)
		in->b.len += (size_t)n;
	in->b.p[in->b.len] = '\0';
	return 0;
}

/* Take every whole line that has been read. */
static int
take_lines(struct report *r, struct input *in, struct err *e)
{
	struct frame f;
	const char *line = NULL;
	size_t len = 0;
	int rv;

	while ((rv = input_line(in, &line, &len, e)) == 1) {
		arena_reset(r->arena);
		switch (frame_parse(&f, line, len, r->arena, e)) {
		case 1:
			report_frame(r, &f);
			break;
		case -1:
			return err_wrap(e, "stdin:%ld", in->n);
		default:
			/* A kind of a later build: not ours to refuse. */
			break;
		}
	}
	return rv;
}

static int
report_loop(struct report *r, struct input *in, struct err *e)
{
	struct pollfd pfd = { .fd = in->fd, .events = POLLIN };
	int n, rv;

	while ((rv = take_lines(r, in, e)) == 0) {
		n = poll(&pfd, 1, 0);
		/* Say what there is before waiting for more. */
		if (n == 0) {
			if (report_flush(r, e) == -1)
				return -1;
			n = poll(&pfd, 1, report_timeout(r));
		}
		if (n == -1 && errno != EINTR)
			return err_sys(e, "poll");
		if (n > 0 && input_read(in, e) == -1)
			return -1;
		report_turn(r);
	}
	return rv == 2 ? 0 : -1;
}

int
report_text(int fd, const char *config, struct err *e)
{
	struct input in = { .fd = fd, .b = BUF_INIT };
	struct report r;
	int rv;

	report_begin(&r, config);
	rv = report_end(&r, report_loop(&r, &in, e), e);
	buf_free(&in.b);
	return rv;
}
