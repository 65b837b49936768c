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
	const char *account, *groups;
};
extern const struct service services[];		/* of piped */
extern const struct service control_services[]; /* of pipecd; NULL ends both */
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
 * A user per program: all of services.def or none.
 */
struct account {
	char name[96];
	uid_t uid;
	gid_t gid, groups[4]; /* its own, and exactly these besides */
	size_t n_groups;
	const char *home;
};
struct accounts {
	bool on;
	const char *why; /* not on: what is missing; NULL: we are not root */
	gid_t shared;	 /* the group of all of them */
	struct account *v;
	const char **program; /* of v[i] */
	size_t n;
	struct group_of {
		const char *name; /* a GROUP row */
		gid_t gid;
	} * groups;
	const char *passed; /* PIPECD_ACCOUNTS=..., for who shares files */
};
/*
 * Look them up, in the arena.  -1 with *e: there are some that must not be
 * used as they are (two programs with one user).
 */
int accounts_open(struct accounts *ac, const char *prefix,
    const struct conf_piped *conf, struct arena *a, struct err *e);
/* Of "plan", "host"; NULL: whoever we are. */
const struct account *account_of(const struct accounts *ac, const char *name);
/* The group of a GROUP row; -1: no accounts. */
gid_t account_group(const struct accounts *ac, const char *name);

/*
 * The slice of the config that a program gets, and a sealed memfd of it: no
 * write, no other size, no more seals, position 0.
 */
void program_slice(
    struct buf *out, const struct program *p, const struct conf_piped *conf);
int slice_open(const char *text, size_t n, struct err *e);

struct start {
	struct program program;
	const struct accounts *accounts; /* NULL: as we are */
	const char *const *args; /* after argv[0], NULL-terminated, or NULL */
	int in, out, err, ready, super, lock; /* -1: not there */
	const char *slice;		      /* what descriptor 3 says */
	size_t slice_len;
	int death_signal;		/* 0: it may outlive us */
	const struct listening *listen; /* from descriptor 8 on */
	size_t n_listen;
};
/* Start it, a group leader: its pid, or -1 with *e set. */
pid_t program_start(const struct start *s, struct err *e);

#endif
