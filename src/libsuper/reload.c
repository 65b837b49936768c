/*
 * The supervisor's configuration: read, checked for people, and read anew.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "supervise.h"

enum {
	CONFIG_MAX = 8 << 20
};

/* Mistakes and warnings, a line each, as they are. */
static void
say(const struct buf *text)
{
	const char *s = text->p, *nl;

	for (; (nl = strchr(s, '\n')) != NULL; s = nl + 1)
		if (nl > s)
			(void)fprintf(stderr, "%.*s\n", (int)(nl - s), s);
	if (*s != '\0')
		(void)fprintf(stderr, "%s\n", s);
}

int
super_read(const char *path,
    int (*parse)(void *conf, const char *name, const char *text, size_t n,
	struct arena *a, struct conf_report *r, struct err *e),
    void *conf, bool *refused, struct arena *a, struct err *e)
{
	struct buf file = BUF_INIT, text = BUF_INIT;
	struct conf_report r = { .text = &text };
	int rv = -1, got;

	*refused = false;
	if ((got = file_read(path, CONFIG_MAX, &file, e)) == 0)
		err_set(e, RC_PERM, "%s: %s", path, strerror(ENOENT));
	if (got != 1)
		goto out;
	rv = parse(conf, path, file.p, file.len, a, &r, e);
	*refused = rv == -1;
	say(&text);
	if (rv == -1)
		conf_report_end(&r, path, e);
out:
	if (file.cap > 0)
		explicit_bzero(file.p, file.cap);
	buf_free(&file);
	buf_free(&text);
	return rv;
}

int
config_read(struct super *p, struct err *e)
{
	const char *state_dir;
	bool refused;

	p->arena = arena_new();
	p->conf = p->how->read(p, &state_dir, &refused, p->arena, e);
	if (p->conf == NULL)
		return -1;
	if (strlen(state_dir) >= sizeof(p->state_dir))
		return err_set(e, RC_PERM, "stateDir: path too long");
	strcpy(p->state_dir, state_dir);
	return 0;
}

int
config_check(struct super *p, struct err *e)
{
	struct arena *a = arena_new();
	struct buf out = BUF_INIT;
	const char *state_dir;
	bool refused;
	void *conf = p->how->read(p, &state_dir, &refused, a, e);
	int rv = refused ? RC_NO : RC_PERM;

	if (conf != NULL && p->how->check != NULL &&
	    p->how->check(p, conf, e) == -1)
		rv = RC_NO;
	else if (conf != NULL) {
		rv = RC_OK;
		p->how->print(&out, conf);
		if (write_all(STDOUT_FILENO, out.p, out.len) == -1) {
			err_sys(e, "stdout");
			rv = e->exit;
		}
	}
	if (rv != RC_OK)
		log_error("-", "%s", e->text);
	buf_free(&out);
	arena_free(a);
	return rv;
}

static bool
changed(struct super *p, struct proc *pr)
{
	struct buf b = BUF_INIT;
	bool rv;

	p->how->slice(&b, &pr->program, p->conf);
	rv = b.len != pr->slice.len || memcmp(b.p, pr->slice.p, b.len) != 0;
	if (b.cap > 0)
		explicit_bzero(b.p, b.cap);
	buf_free(&b);
	return rv;
}

static void
apply(struct super *p)
{
	struct proc *pr;
	size_t i;

	procs_count(p);
	for (i = 0; i < p->n_procs; i++) {
		pr = &p->procs[i];
		if (pr->state == PROC_FAILED) { /* it may be mended now */
			pr->backoff_ms = 0;
			pr->n_deaths = 0;
			proc_state(p, pr, PROC_OFF);
		} else if (pr->pid != 0 && (!pr->wanted || changed(p, pr))) {
			log_info("-", "%s %s: its configuration changed",
			    pr->name, pr->wanted ? "restart" : "stop");
			proc_stop(p, pr,
			    pr->program.row->stop == p->how->grace_order
				? p->grace_ms
				: STOP_MS);
		}
	}
	launched_reload(p);
}

static int
reload(struct super *p, void **conf, struct arena *a, struct err *e)
{
	const char *state_dir;
	bool refused;

	if ((*conf = p->how->read(p, &state_dir, &refused, a, e)) == NULL)
		return -1;
	if (strcmp(state_dir, p->state_dir) != 0)
		return err_set(e, RC_PERM,
		    "stateDir cannot change from %s to %s in a running %s: "
		    "restart it",
		    p->state_dir, state_dir, p->how->what);
	return p->how->prepare != NULL ? p->how->prepare(p, *conf, a, e) : 0;
}

/* Parse anew; a config that is wrong changes nothing. */
void
config_reload(struct super *p)
{
	struct arena *a = arena_new();
	void *conf;
	struct err e;

	notify("RELOADING=1\nMONOTONIC_USEC=%lld", (long long)now_us());
	if (reload(p, &conf, a, &e) == -1) {
		log_error(
		    "-", "reload refused, the old config stays: %s", e.text);
		arena_free(a);
	} else {
		arena_free(p->arena);
		p->arena = a;
		p->conf = conf;
		apply(p);
		if (p->how->reloaded != NULL)
			p->how->reloaded(p);
		log_info("-", "reloaded %s", p->path);
	}
	notify("READY=1");
}

int
all_restart(struct super *p, const struct proc *asker, struct err *e)
{
	struct proc *pr;
	size_t i;

	if (strcmp(asker->program.name, "report") != 0)
		return err_set(e, RC_PERM, "%s may not ask for a restart",
		    asker->program.name);
	log_info("-", "restart: asked for at the control plane");
	config_reload(p);
	for (i = 0; i < p->n_procs; i++) {
		pr = &p->procs[i];
		if (pr->pid != 0 && pr->wanted && pr->state != PROC_STOPPING)
			proc_stop(p, pr,
			    pr->program.row->stop == p->how->grace_order
				? p->grace_ms
				: STOP_MS);
	}
	return 0;
}
