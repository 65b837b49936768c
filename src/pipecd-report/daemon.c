/*
 * -t -b: the same text, of what a running agent says on its bus.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>

#include "bus.h"
#include "report.h"

enum {
	PFD_SIGNAL,
	PFD_BUS,
	PFD__N
};

static void
take_frames(struct report *r, struct bus *b)
{
	struct frame f;
	struct err e;
	int n;

	while (arena_reset(r->arena),
	    (n = bus_next(b, &f, r->arena, NULL, NULL, &e)) != 0) {
		if (n == -1) { /* one bad frame is no reason to be silent */
			log_warn("-", "%s", e.text);
			continue;
		}
		report_frame(r, &f);
	}
}

int
report_daemon(const char *dir, struct err *e)
{
	struct pollfd pfd[PFD__N] = { { .events = POLLIN },
		{ .events = POLLIN } };
	struct bus *b = NULL;
	struct report r;
	bool stop = false;
	int rv = -1, sig;

	if ((pfd[PFD_SIGNAL].fd = signals_open(e)) == -1 ||
	    (b = bus_open("report", dir, e)) == NULL)
		return -1;
	pfd[PFD_BUS].fd = bus_fd(b);
	report_begin(&r, NULL);
	ready();
	while (!stop) {
		take_frames(&r, b);
		report_turn(&r);
		if (report_flush(&r, e) == -1)
			goto out;
		if (poll(pfd, PFD__N, report_timeout(&r)) == -1 &&
		    errno != EINTR) {
			err_sys(e, "poll");
			goto out;
		}
		while ((sig = signals_next(pfd[PFD_SIGNAL].fd)) != 0)
			stop |= sig == SIGTERM || sig == SIGINT;
	}
	take_frames(&r, b); /* the last words of the others */
	rv = 0;
out:
	bus_close(b);
	return report_end(&r, rv, e);
}
