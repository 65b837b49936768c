/*
 * A daemon that asks its supervisor for programs: ready at once, then a line
 * at a time from the fifo $TMPDIR/ask, answers appended to $TMPDIR/answers:
 *	launch PROGRAM [VERB [ARG...]]	"pid N" or "error RC: text"
 *	stage PROGRAM [VERB [ARG...]]	the same, with a lock on descriptor 6
 *	kill PID SIGNAL			"ok" or "error RC: text"
 *	holders LOCK SIGNAL		"held 0 17 (sleep)" or "error RC: text"
 *	exit N
 * What ends is said as "ended PID: how".
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launch.h"

static FILE *answers;

static void say(const char *fmt, ...) PRINTF(1, 2);

static void
say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vfprintf(answers, fmt, ap);
	va_end(ap);
	(void)fflush(answers);
}

static void
start(struct launcher *l, char **word, bool stage)
{
	struct launch what = { .program = word[0],
		.verb = word[1],
		.args = word[1] != NULL ? (const char *const *)word + 2 : NULL,
		.in = -1,
		.out = fileno(answers),
		.err = STDERR_FILENO,
		.lock = -1 };
	struct err e;
	pid_t pid;

	if (stage)
		what.lock = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if ((pid = launch(l, &what, &e)) == -1)
		say("error %d: %s\n", e.exit, e.text);
	else
		say("pid %d\n", (int)pid);
	if (what.lock != -1)
		close(what.lock);
}

static void
holders(struct launcher *l, const char *lock, int sig)
{
	struct buf who = BUF_INIT;
	struct err e;
	int rv = launcher_holders(l, lock, sig, false, &who, &e);

	if (rv == -1)
		say("error %d: %s\n", e.exit, e.text);
	else
		say("held %d %s\n", rv, who.p);
	buf_free(&who);
}

static void
command(struct launcher *l, char *line)
{
	char *word[16] = { NULL }, *save = NULL, *w;
	struct err e;
	size_t n = 0;

	for (w = strtok_r(line, " \n", &save); w != NULL && n < 14;
	     w = strtok_r(NULL, " \n", &save))
		word[n++] = w;
	if (n == 0)
		return;
	if (strcmp(word[0], "exit") == 0)
		_exit(atoi(word[1]));
	if (strcmp(word[0], "kill") == 0) {
		if (launcher_kill(l, atoi(word[1]), atoi(word[2]), &e) == -1)
			say("error %d: %s\n", e.exit, e.text);
		else
			say("ok\n");
	} else if (strcmp(word[0], "holders") == 0) {
		holders(l, word[1], atoi(word[2]));
	} else {
		start(l, word + 1, strcmp(word[0], "stage") == 0);
	}
}

int
main(void)
{
	const char *dir = getenv("TMPDIR");
	char path[512], line[4096], why[64];
	struct pollfd p[2] = { 0 };
	struct launcher *l;
	struct err e;
	FILE *in;
	int status;
	pid_t pid;

	log_open("asker", LOG_INFO);
	(void)snprintf(path, sizeof(path), "%s/ask", dir);
	(void)mkfifo(path, 0600);
	if ((in = fopen(path, "r+e")) == NULL)
		return RC_PERM;
	(void)snprintf(path, sizeof(path), "%s/answers", dir);
	if ((answers = fopen(path, "ae")) == NULL)
		return RC_PERM;
	setvbuf(in, NULL, _IONBF, 0);
	if ((l = launcher_open(NULL, &e)) == NULL)
		die(&e);
	ready();
	p[0] = (struct pollfd){ .fd = fileno(in), .events = POLLIN };
	p[1] = (struct pollfd){ .fd = launcher_fd(l), .events = POLLIN };
	for (;;) {
		(void)poll(p, 2, -1);
		if (p[0].revents != 0 && fgets(line, sizeof(line), in) != NULL)
			command(l, line);
		while (launcher_next(l, &pid, &status) == 1)
			say("ended %d: %s\n", (int)pid,
			    child_status(status, why));
	}
}
