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
	/* The form that asks. */
	int sock, pending;   /* pending: readable while something is in ended */
	struct arena *arena; /* of the packet in hand */
	struct ended {
		pid_t pid;
		int status;
	} * ended; /* owned */
	size_t n_ended, cap_ended;
};

/* Whether a word is in a list, separated by blanks; "" is in "". */
bool list_has(const char *list, const char *word);

int ask_open(struct launcher *l, struct err *e);
void ask_close(struct launcher *l);
pid_t ask_launch(struct launcher *l, const struct launch *what, struct err *e);
int ask_next(struct launcher *l, pid_t *pid, int *status);
int ask_holders(struct launcher *l, const char *lock, int sig, bool spare,
    struct buf *who, struct err *e);
/* launcher_holders, as we are ourselves; `but` that process. */
int holders_end(const char *state_dir, const char *name, int sig, bool spare,
    pid_t but, struct buf *who, struct err *e);
int ask_kill(struct launcher *l, pid_t pid, int sig, struct err *e);

#endif
