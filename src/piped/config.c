#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "piped.h"

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

/* 0; -1 cannot be read; 1 refused. */
static int
read_one(struct conf_piped *c, const char *path, struct arena *a, struct err *e)
{
	struct buf file = BUF_INIT, text = BUF_INIT;
	struct conf_report r = { .text = &text };
	int rv = -1, got;

	if ((got = file_read(path, CONFIG_MAX, &file, e)) == 0)
		err_set(e, RC_PERM, "%s: %s", path, strerror(ENOENT));
	if (got != 1)
		goto out;
	rv = conf_piped_read(c, path, file.p, file.len, a, &r, e) == -1;
	say(&text);
out:
	if (file.cap > 0)
		explicit_bzero(file.p, file.cap);
	buf_free(&file);
	buf_free(&text);
	return rv;
}

/* What the file may say, and this build cannot do. */
static int
check(const struct conf_piped *c, const char *path, struct err *e)
{
	if (c->api_address != NULL)
		return err_set(e, RC_PERM,
		    "%s: apiAddress: this build does not speak to a control "
		    "plane yet; without that key it runs standalone",
		    path);
	return 0;
}

int
config_read(
    struct conf_piped *c, const char *path, struct arena *a, struct err *e)
{
	return read_one(c, path, a, e) == 0 ? check(c, path, e) : -1;
}

int
config_check(const char *path, struct err *e)
{
	struct arena *a = arena_new();
	struct buf out = BUF_INIT;
	struct conf_piped c;
	int rv = RC_PERM;

	switch (read_one(&c, path, a, e)) {
	case 0:
		conf_piped_print(&out, &c, WHO_ALL, NULL);
		if (write_all(STDOUT_FILENO, out.p, out.len) == -1) {
			err_sys(e, "stdout");
			log_error("-", "%s", e->text);
			rv = e->exit;
			break;
		}
		rv = RC_OK;
		break;
	case 1:
		rv = RC_NO;
		/* FALLTHROUGH */
	default:
		log_error("-", "%s", e->text);
	}
	buf_free(&out);
	arena_free(a);
	return rv;
}

static bool
changed(struct piped *p, struct proc *pr)
{
	struct buf b = BUF_INIT;
	bool rv;

	program_slice(&b, &pr->program, &p->conf);
	rv = b.len != pr->slice.len || memcmp(b.p, pr->slice.p, b.len) != 0;
	if (b.cap > 0)
		explicit_bzero(b.p, b.cap);
	buf_free(&b);
	return rv;
}

static void
apply(struct piped *p)
{
	struct proc *pr;
	size_t i;

	for (i = 0; i < p->n_procs; i++) {
		pr = &p->procs[i];
		if (pr->state == PROC_FAILED) { /* it may be mended now */
			pr->backoff_ms = 0;
			pr->n_deaths = 0;
			proc_state(p, pr, PROC_OFF);
		} else if (pr->pid != 0 && changed(p, pr)) {
			log_info("-", "%s restart: its configuration changed",
			    pr->program.name);
			proc_stop(p, pr,
			    pr->program.row->stop == 2 ? p->grace_ms : STOP_MS);
		}
	}
	launched_reload(p);
}

/* Parse anew; a config that is wrong changes nothing. */
void
config_reload(struct piped *p)
{
	struct arena *a = arena_new();
	struct conf_piped c;
	struct err e;

	notify("RELOADING=1\nMONOTONIC_USEC=%lld", (long long)now_us());
	if (config_read(&c, p->path, a, &e) == -1) {
		log_error(
		    "-", "reload refused, the old config stays: %s", e.text);
		arena_free(a);
	} else if (strcmp(c.state_dir, p->state_dir) != 0) {
		log_error("-",
		    "reload refused, the old config stays: stateDir cannot "
		    "change from %s to %s in a running agent: restart it",
		    p->state_dir, c.state_dir);
		arena_free(a);
	} else {
		arena_free(p->arena);
		p->arena = a;
		p->conf = c;
		apply(p);
		log_info("-", "reloaded %s", p->path);
	}
	notify("READY=1");
}
