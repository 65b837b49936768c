/* piped.h - piped among supervisors; private to the program. */
#ifndef PIPED_H
#define PIPED_H

#include "supervise.h"

struct agent { /* what is configured, and who there is to run it */
	struct conf_piped conf;
	struct accounts accounts;
};

struct piped {
	struct super super; /* first: it is what super_how's functions get */
	bool text;	    /* -t: report says on stdout what happens */
	const char *prefix; /* of accounts, -a */
	enum super_mode mode;
};

/* who.c: a user for each program. */
/* Look them up; what they cannot read of key files goes into the config. */
int who_open(struct piped *p, struct agent *g, struct arena *a, struct err *e);
void who_print(struct buf *out, const struct agent *g); /* for -n */
void who_say(const struct piped *p, const struct agent *g);

/* places.c: whose the state directory is, with accounts and without. */
int places_make(struct super *p, const struct agent *g, struct err *e);
int places_unmake(struct super *p, struct err *e);
/* What a program that ended left, and could not remove (TEMP). */
void places_empty(struct super *p, const struct agent *g, const char *owner);

#endif
