/*
 * Which program runs as which user, and what that means for the keys that the
 * configuration names by file.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "piped.h"

enum {
	KEY_MAX = 1 << 16
};

/*
 * A key file that root alone can read, for a program that is not root: its
 * slice holds what is in it.
 */
static int
inline_file(const char **file, const char **data, bool line, struct arena *a,
    struct err *e)
{
	struct buf b = BUF_INIT, text = BUF_INIT;
	int got;

	if (*file == NULL)
		return 0;
	if ((got = file_read(*file, KEY_MAX, &b, e)) == 0)
		err_set(e, RC_PERM, "%s: %s", *file, strerror(ENOENT));
	if (got == 1) {
		while (
		    line && b.len > 0 && strchr("\r\n", b.p[b.len - 1]) != NULL)
			b.len--;
		base64_encode(&text, b.p, b.len);
		*data = arena_strdup(a, text.p);
		*file = NULL;
	}
	if (b.cap > 0)
		explicit_bzero(b.p, b.cap);
	if (text.cap > 0)
		explicit_bzero(text.p, text.cap);
	buf_free(&b);
	buf_free(&text);
	return got == 1 ? 0 : -1;
}

static int
keys(struct conf_piped *c, struct arena *a, struct err *e)
{
	if (inline_file(&c->git.ssh_key_file, &c->git.ssh_key_data, false, a,
		e) == -1 ||
	    inline_file(&c->git.password_file, &c->git.password, true, a, e) ==
		-1 ||
	    inline_file(&c->secret_management.private_key_file,
		&c->secret_management.private_key_data, false, a, e) == -1)
		return -1;
	return inline_file(&c->piped_key_file, &c->piped_key_data, false, a, e);
}

int
who_open(struct piped *p, struct agent *g, struct arena *a, struct err *e)
{
	if (accounts_open(&g->accounts, p->prefix, &g->conf, a, e) == -1)
		return -1;
	return p->mode == SUPER_RUN && g->accounts.on ? keys(&g->conf, a, e)
						      : 0;
}

/* Who would run as whom, as comments below the config. */
void
who_print(struct buf *out, const struct agent *g)
{
	const struct accounts *ac = &g->accounts;
	const struct conf_piped *c = &g->conf;
	size_t i;

	if (!ac->on) {
		buf_printf(out, "# All programs run as uid %lu.\n",
		    (unsigned long)geteuid());
		if (ac->n > 0)
			buf_printf(
			    out, "# Accounts are missing: %s\n", ac->why);
		return;
	}
	for (i = 0; i < ac->n; i++)
		buf_printf(out, "# %s runs as %s, uid %lu.\n", ac->program[i],
		    ac->v[i].name, (unsigned long)ac->v[i].uid);
	if (account_of(ac, "script") == NULL)
		buf_adds(out, "# script runs as root.\n");
	for (i = 0; i < c->n_plugins; i++)
		if (account_of(ac, c->plugins[i].name) == NULL)
			buf_printf(
			    out, "# %s runs as root.\n", c->plugins[i].name);
}

/* Said once: what an operator decides by making accounts. */
void
who_say(const struct piped *p, const struct agent *g)
{
	const struct accounts *ac = &g->accounts;
	size_t i;

	if (geteuid() != 0)
		return;
	if (!ac->on && ac->n > 0)
		log_warn("-",
		    "running as root, and so do all programs: of the accounts "
		    "these are missing: %s",
		    ac->why);
	else if (!ac->on)
		log_warn("-",
		    "running as root: so do all programs, platforms, scripts "
		    "and what they start; make the accounts %s-*, or run as a "
		    "user of its own (piped(1))",
		    p->prefix);
	for (i = 0; ac->on && i < g->conf.n_plugins; i++)
		if (account_of(ac, g->conf.plugins[i].name) == NULL)
			log_info("-",
			    "platform %s runs as root: there is no user %s-%s",
			    g->conf.plugins[i].name, p->prefix,
			    g->conf.plugins[i].name);
	if (ac->on && account_of(ac, "script") == NULL)
		log_info("-", "scripts run as root: there is no user %s-script",
		    p->prefix);
}
