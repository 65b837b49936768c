#include "base.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *progname = "?";
static enum log_level least = LOG_INFO;

int
err_set(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;

	e->exit = code;
	va_start(ap, fmt);
	(void)vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	return -1;
}

int
err_sys(struct err *e, const char *fmt, ...)
{
	int no = errno;
	va_list ap;
	size_t n;

	e->exit = no == ENOSPC || no == EAGAIN || no == EINTR || no == EDQUOT ||
			  no == ENFILE || no == EMFILE || no == EIO ||
			  no == EBUSY || no == EROFS || no == ECONNREFUSED ||
			  no == ETIMEDOUT || no == EPIPE || no == ECONNRESET
		      ? RC_TEMP
		      : RC_PERM;
	va_start(ap, fmt);
	(void)vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	n = strlen(e->text);
	(void)snprintf(e->text + n, sizeof(e->text) - n, ": %s", strerror(no));
	return -1;
}

int
err_wrap(struct err *e, const char *fmt, ...)
{
	char head[160], tail[sizeof(e->text)];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(head, sizeof(head), fmt, ap);
	va_end(ap);
	memcpy(tail, e->text, sizeof(tail));
	(void)snprintf(e->text, sizeof(e->text), "%s: %.310s", head, tail);
	return -1;
}

void
log_open(const char *prog, enum log_level l)
{
	progname = prog;
	least = l;
	(void)signal(SIGPIPE, SIG_IGN);
}

const char *
log_prog(void)
{
	return progname;
}

void
log_at(enum log_level l, const char *id, const char *fmt, ...)
{
	static const char *const label[] = { "debug: ", "",
		"warn: ", "error: ", "bug: " };
	char text[900], line[1024];
	int saved = errno;
	va_list ap;
	char *p;
	int n;

	if (l < least)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	n = snprintf(line, sizeof(line), "%s[%ld]: %s%s %s", progname,
	    (long)getpid(), label[l], id, text);
	if (n > (int)sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	for (p = line; p < line + n; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?'; /* a terminal must not act on it */
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, (size_t)n) == -1)
		errno = saved; /* nowhere left to complain */
	errno = saved;
}

void
die(const struct err *e)
{
	log_at(LOG_ERROR, "-", "%s", e->text);
	exit(e->exit);
}

void
usage(const char *synopsis)
{
	(void)dprintf(STDERR_FILENO, "usage: %s\n", synopsis);
	exit(RC_PERM);
}

void
bug(const char *file, int line, const char *what)
{
	log_at(LOG_BUG, "-", "%s:%d: %s", file, line, what);
	abort();
}
