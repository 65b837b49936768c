/* gitwatch.h - all structs of pipecd-gitwatch. */
#ifndef PIPECD_GITWATCH_H
#define PIPECD_GITWATCH_H

#include <sys/stat.h>

#include "bus.h"
#include "conf.h"
#include "git.h"

enum {
	WORKERS_MAX = 16,  /* fetches at the same time */
	WORKER_MIB = 8192, /* address space of one: packs are mapped */
	BACKOFF_MAX_MS = 15 * 60000,
	NUDGE_MS = 1000,    /* one nudge per repository and second */
	COPY_OBJECTS = 600, /* more than that is fetched by a worker */
	COPY_BYTES = 8 << 20,
	COPIES = 100, /* after so many, a worker tidies up */
	PACKS_MAX = 20,
	LOOSE_MAX = 2000,
};

/* One fetch in a process of its own. */
struct worker {
	pid_t pid;	     /* 0: none */
	int pidfd, out, err; /* out and err are memfds */
	int64_t deadline_ms;
};

struct repo {
	const char *id, *remote,
	    *branch;	   /* as configured; branch may be NULL */
	const char *shown; /* the remote without userinfo */
	const char *path;  /* of a remote on this machine, NULL */
	struct stat found; /* what path was at the start; 0: nothing */
	const char *mirror;

	char at[256];	   /* the branch that head is of */
	char head[GIT_ID]; /* "" when none was seen yet */
	int64_t seen_at;
	dev_t dev; /* of the mirror when head was brought into it */
	ino_t ino;

	int64_t next_ms; /* when to look again */
	int64_t nudged_ms;
	bool due;	 /* now, or as soon as the worker has ended */
	bool looked;	 /* at least once, with whatever result */
	bool repeat;	 /* say the head even if it is the same */
	const char *dir; /* of a remote on this machine: where its refs are */
	int failures;	 /* in a row */
	char words[480]; /* of the failure that was logged */
	int copies;
	struct worker w;
};

/* A directory that is watched for a repository. */
struct watch {
	int wd;
	struct repo *repo;
	bool refs; /* all names in it count */
};

struct gitwatch {
	struct conf_piped conf;
	struct stat mirrors; /* the directory of all mirrors, as we found it */
	struct buf boot;     /* names this start of the machine */
	struct arena *a;     /* as long as we live */
	struct bus *bus;
	struct repo *repos;
	size_t n;
	int64_t every_ms;
	bool once;
	bool piped; /* frames come on stdin, not on the bus */
	bool deaf;  /* and no more of them */
	int signals, inotify;
	int workers;	       /* running */
	struct watch *watches; /* owned */
	size_t n_watches;
	unsigned int seed; /* of the jitter */
};

/* What a worker is asked on its standard input, and what it is. */
int worker_start(struct gitwatch *g, struct repo *r, struct err *e);
/* It has ended: its answer.  As look_local. */
int worker_end(struct gitwatch *g, struct repo *r, char branch[256],
    char commit[GIT_ID], bool *forced, struct err *e);
void worker_kill(struct gitwatch *g, struct repo *r);
noreturn void worker_main(void); /* pipecd-gitwatch -F */

/*
 * Look at a repository on this machine.  1: branch and commit are in the
 * mirror; 0: there is no such branch; 2: a worker must fetch it; -1.
 */
int look_local(struct repo *r, char branch[256], char commit[GIT_ID],
    bool *forced, struct err *e);
bool mirror_same(const struct repo *r); /* nobody threw it away */
void mirror_note(struct repo *r);

/*
 * Watch the refs of a repository on this machine.  Where that is not possible
 * the interval finds what is new.
 */
void watch_repo(struct gitwatch *g, struct repo *r);
/* Read what inotify has; repositories with news become due. */
void watch_read(struct gitwatch *g);
void watch_free(struct gitwatch *g);

int gitwatch_open(struct gitwatch *g, struct err *e);
int gitwatch_loop(struct gitwatch *g, struct err *e);

#endif
