/*
 * What both forms of -t share: a report on stdout, on a terminal or not, from
 * its first line to the one that sums up.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report.h"

static volatile sig_atomic_t resized;

static void
on_winch(int sig)
{
	(void)sig;
	resized = 1;
}

static bool
is_terminal(void)
{
	const char *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && term != NULL && *term != '\0' &&
	       strcmp(term, "dumb") != 0;
}

void
report_begin(struct report *r, const char *config)
{
	struct sigaction sa = { .sa_handler = on_winch };

	report_init(r, stdout);
	r->config = config;
	if (is_terminal()) {
		sigaction(SIGWINCH, &sa, NULL);
		r->live = live_open(STDOUT_FILENO, r);
	}
}

int
report_flush(struct report *r, struct err *e)
{
	return fflush(r->out) == EOF ? err_sys(e, "stdout") : 0;
}

int
report_timeout(const struct report *r)
{
	return r->live != NULL ? live_timeout(r->live) : -1;
}

void
report_turn(struct report *r)
{
	if (r->live == NULL)
		return;
	if (resized) {
		resized = 0;
		live_resize(r->live);
	}
	if (live_timeout(r->live) == 0)
		live_draw(r->live);
}

int
report_end(struct report *r, int rv, struct err *e)
{
	struct buf sum = BUF_INIT;

	if (r->live != NULL)
		live_close(r->live);
	report_sum(r, &sum);
	printf("%s\n", sum.p);
	if (fflush(stdout) == EOF && rv == 0)
		rv = err_sys(e, "stdout");
	buf_free(&sum);
	report_clear(r);
	return rv;
}
