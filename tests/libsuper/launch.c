/*
 * Reads a Piped config from argv[1] and lines "PROGRAM VERB [ARG...]" from
 * stdin, starts each through the in-process launcher, and prints how it ended.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "conf.h"
#include "launch.h"

int
main(int argc, char *argv[])
{
	struct arena *a = arena_new();
	struct conf_piped conf;
	struct launcher *l;
	struct pollfd p = { .events = POLLIN };
	char line[4096], why[64];
	struct err e;
	int status, running = 0;
	pid_t pid;

	log_open("launch", LOG_INFO);
	if (argc != 2)
		usage("launch piped.yaml");
	if (conf_piped_open(&conf, argv[1], a, &e) == -1 ||
	    (l = launcher_open(&conf, &e)) == NULL)
		die(&e);
	p.fd = launcher_fd(l);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		const char *word[16];
		char *save = NULL, *w = strtok_r(line, " \n", &save);
		size_t n = 0;

		for (; w != NULL && n < NITEMS(word) - 1;
		     w = strtok_r(NULL, " \n", &save))
			word[n++] = w;
		word[n] = NULL;
		if (n == 0)
			continue;
		struct launch what = { .program = word[0],
			.verb = n > 1 ? word[1] : NULL,
			.args = n > 2 ? word + 2 : NULL,
			.in = -1,
			.out = STDOUT_FILENO,
			.err = STDERR_FILENO,
			.lock = -1 };

		if ((pid = launch(l, &what, &e)) == -1) {
			printf("error %d: %s\n", e.exit, e.text);
			(void)fflush(stdout);
			continue;
		}
		for (running = 1; running > 0;) {
			(void)poll(&p, 1, 10000);
			if (launcher_next(l, &pid, &status) == 1)
				running = 0;
		}
		printf("%s: %s\n", word[0], child_status(status, why));
		(void)fflush(stdout);
	}
	launcher_close(l);
	arena_free(a);
	return 0;
}
