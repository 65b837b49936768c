#include "supervise.h"

#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

int64_t
super_seconds(const char *s, const char *synopsis)
{
	char *end;
	long n = strtol(s, &end, 10);

	if (end == s || *end != '\0' || n < 0 || n > 86400)
		usage(synopsis);
	return n;
}

const struct accounts *
super_accounts(const struct super *p)
{
	const struct accounts *ac =
	    p->how->accounts != NULL ? p->how->accounts(p->conf) : NULL;

	return ac != NULL && ac->on ? ac : NULL;
}

static int
run(struct super *p, struct err *e)
{
	size_t i;
	int rv;

	/* With accounts, who may enter a directory may read what is there. */
	umask(super_accounts(p) != NULL ? 027 : 077);
	/* Orphans of our programs come to us, also where we are no init. */
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	/* Our memory holds every secret. */
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if ((p->signals = signals_open(e)) == -1 || state_open(p, e) == -1 ||
	    (p->how->prepare != NULL &&
		p->how->prepare(p, p->conf, p->arena, e) == -1))
		return -1;
	state_leftovers(p);
	procs_count(p);
	p->watchdog_ms = p->watchdog_next_ms = notify_watchdog_ms();
	p->started_s = wall_s();
	rv = super_loop(p, e);
	for (i = 0; i < p->n_procs; i++) {
		if (p->procs[i].slice.cap > 0)
			explicit_bzero(
			    p->procs[i].slice.p, p->procs[i].slice.cap);
		buf_free(&p->procs[i].slice);
	}
	free(p->launched);
	return rv;
}

int
super_main(struct super *p, enum super_mode mode)
{
	struct err e;
	int rv;

	if (p->verbose)
		log_open(p->how->name, LOG_DEBUG);
	if (mode == SUPER_CHECK)
		return config_check(p, &e);
	if (config_read(p, &e) == -1)
		die(&e);
	if (mode != SUPER_RUN)
		rv = status_print(
		    p, p->state_dir, mode == SUPER_STATUS_JSON, &e);
	else if ((rv = run(p, &e)) == -1)
		die(&e);
	arena_free(p->arena);
	return rv;
}
