/*
 * super.h - which programs there are, what each gets, and how one is started
 * with just that.  launch.h is for programs that want another one started;
 * this is for the one that starts it.
 */
#ifndef PIPECD_SUPER_H
#define PIPECD_SUPER_H

#include <limits.h>

#include "conf.h"
#include "launch.h"

enum run {
	RUN_DAEMON,
	RUN_CONTROL,
	RUN_DEMAND,
	RUN_PLATFORM
};

struct service { /* a row of services.def */
	const char *name, *binary;
	enum run run;
	enum conf_who who;
	int start, stop; /* orders */
	uint64_t mem_mib, nofile;
};
extern const struct service services[];
extern const size_t n_services;

/* A program that can be started: a row, and the plugin that fits its '*'. */
struct program {
	const char *name;
	const struct service *row;
	const struct conf_plugin *plugin; /* of a platform, else NULL */
};
/* By name, "checkout" or a plugin of the config; 0 or -1: nobody's name. */
int program_get(struct program *p, const struct conf_piped *conf,
    const char *name, struct err *e);
/* Whether services.def lets this program ask for that one with this verb. */
bool program_may(const char *asker, const struct program *p, const char *verb);

/*
 * Where it is: beside our own executable, or in ../libexec/pipecd from there,
 * or where its url says.  *fd is -1 for what is built in; else it is the open
 * file, checked against its pin, and what is run must be this descriptor.
 */
int program_open(
    const struct program *p, char path[PATH_MAX], int *fd, struct err *e);

/*
 * The slice of the config that a program gets, and a sealed memfd of it: no
 * write, no other size, no more seals, position 0.
 */
void program_slice(
    struct buf *out, const struct program *p, const struct conf_piped *conf);
int slice_open(const char *text, size_t n, struct err *e);

/* Its environment, NULL-terminated, made in `a`. */
const char *const *program_env(
    const struct program *p, bool ready, bool super, struct arena *a);

struct start {
	struct program program;
	const char *const *args; /* after argv[0], NULL-terminated, or NULL */
	int in, out, err, ready, super, lock; /* -1: not there */
	const char *slice;		      /* what descriptor 3 says */
	size_t slice_len;
	int death_signal; /* 0: it may outlive us */
};
/* Start it, a group leader: its pid, or -1 with *e set. */
pid_t program_start(const struct start *s, struct err *e);

#endif
