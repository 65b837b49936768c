/* launcher.h - what both forms of a launcher share; private to libsuper. */
#ifndef PIPECD_LAUNCHER_H
#define PIPECD_LAUNCHER_H

#include "launch.h"

enum {
	LAUNCH_ARGS = 32
};

struct launcher {
	const struct conf_piped *conf; /* NULL: ask the supervisor */
	int epoll;		       /* what launcher_fd shows */
	struct running {
		pid_t pid;
		int pidfd;
	} * running; /* owned; of the form that starts here */
	size_t n, cap;
};

#endif
