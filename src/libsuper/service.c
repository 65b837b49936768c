#include "super.h"

#include <string.h>

#include "launcher.h"

const struct service services[] = {
#define SERVICE(n, bin, run, who, start, stop, mem, nofile, account, groups) \
	{ n, bin, RUN_##run, who, start, stop, mem, nofile, account, groups },
#define GROUP(name, members)
#define ASK(asker, program, verbs)
#define ENV(program, patterns)
#include "services.def"
	{ .name = NULL },
};
const size_t n_services = NITEMS(services) - 1;

const struct service control_services[] = {
#define SERVICE(n, bin, run, who, start, stop, mem, nofile, account, groups) \
	{ n, bin, RUN_##run, who, start, stop, mem, nofile, account, groups },
#define ENV(program, patterns)
#include "control.def"
	{ .name = NULL },
};

static const struct ask {
	const char *asker, *program, *verbs;
} asks[] = {
#define SERVICE(n, bin, run, who, start, stop, mem, nofile, account, groups)
#define GROUP(name, members)
#define ASK(asker, program, verbs) { asker, program, verbs },
#define ENV(program, patterns)
#include "services.def"
};

/* A plugin's name becomes part of a path. */
static bool
plain(const char *name)
{
	return *name != '\0' && strlen(name) <= 64 &&
	       name[strspn(name, "abcdefghijklmnopqrstuvwxyz"
				 "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")] ==
		   '\0';
}

int
program_get(struct program *p, const struct conf_piped *conf, const char *name,
    struct err *e)
{
	size_t i;

	*p = (struct program){ .name = name };
	for (i = 0; i < n_services; i++)
		if (services[i].run != RUN_PLATFORM &&
		    strcmp(services[i].name, name) == 0) {
			p->row = &services[i];
			return 0;
		}
	for (i = 0; i < conf->n_plugins; i++)
		if (strcmp(conf->plugins[i].name, name) == 0)
			p->plugin = &conf->plugins[i];
	if (p->plugin == NULL)
		return err_set(
		    e, RC_PERM, "%s: no such plugin in the Piped config", name);
	if (!plain(name))
		return err_set(e, RC_PERM,
		    "plugin %.80s: its name must be letters, digits, - and _",
		    name);
	for (i = 0; i < n_services; i++)
		if (services[i].run == RUN_PLATFORM)
			p->row = &services[i];
	return 0;
}

bool
list_has(const char *list, const char *word)
{
	size_t n = strlen(word);
	const char *s;

	if (n == 0)
		return *list == '\0';
	for (s = list; (s = strstr(s, word)) != NULL; s += n)
		if ((s == list || s[-1] == ' ') &&
		    (s[n] == ' ' || s[n] == '\0'))
			return true;
	return false;
}

bool
program_may(const char *asker, const struct program *p, const char *verb)
{
	size_t i;

	for (i = 0; i < NITEMS(asks); i++)
		if (strcmp(asks[i].asker, asker) == 0 &&
		    strcmp(asks[i].program, p->row->name) == 0 &&
		    list_has(asks[i].verbs, verb != NULL ? verb : ""))
			return true;
	return false;
}
