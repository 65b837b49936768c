/*
 * launch.h - start a program of ours that holds credentials we do not have:
 * a platform, checkout, a script.  Under a supervisor this is a message on
 * descriptor 5 and the supervisor starts it with that program's slice of the
 * config, uid and profile; in a shell pipe it happens here, from -f.
 */
#ifndef PIPECD_LAUNCH_H
#define PIPECD_LAUNCH_H

#include "base.h"

struct launcher;
struct conf_piped;

/*
 * conf is the parsed Piped config of the shell form; NULL asks the supervisor
 * (descriptor 5).  Both must outlive the launcher.
 */
struct launcher *launcher_open(const struct conf_piped *conf, struct err *e);
void launcher_close(struct launcher *l); /* does not end what it started */

struct launch {
	const char *program; /* a row of services.def ("checkout", "script") or
				a plugin of the config ("host", "acme") */
	const char *verb;    /* "stage"; NULL: none */
	const char *const *args; /* after the verb, NULL-terminated, or NULL */
	int in, out, err;	 /* pipe ends for 0, 1, 2; -1: /dev/null */
	int lock; /* becomes descriptor 6, kept by descendants; -1 */
};

/* Its pid (a group leader), or -1 with *e set: also when it cannot start. */
pid_t launch(struct launcher *l, const struct launch *what, struct err *e);

/* Readable when something started here has ended. */
int launcher_fd(const struct launcher *l);
/* 1 and which, with its wait status; 0: none now. */
int launcher_next(struct launcher *l, pid_t *pid, int *status);
/* Signal its process group, as who may do so. */
int launcher_kill(struct launcher *l, pid_t pid, int sig, struct err *e);
/*
 * Who holds the lock stateDir/run/lock/LOCK is named in `who`, and gets the
 * signal (0: none), but for those who are to be spared: who runs in a group of
 * its own was told to end by who put it there.  1: there is such a one.
 */
int launcher_holders(struct launcher *l, const char *lock, int sig, bool spare,
    struct buf *who, struct err *e);

#endif
