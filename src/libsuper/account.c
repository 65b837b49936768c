/*
 * Who runs as whom.  Root alone can start programs as others, and it does so
 * for all of them or for none: half of a scheme would protect nothing, and
 * nobody could say what it protects.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "launcher.h"
#include "super.h"

static const struct {
	const char *name;
} groups[] = {
#define SERVICE(n, bin, run, who, start, stop, mem, nofile, account, groups)
#define GROUP(name, members) { name },
#define ASK(asker, program, verbs)
#define ENV(program, patterns)
#include "services.def"
};

/* 1, 0: there is none; -1 the user database cannot be asked. */
static int
user_get(struct account *u, struct arena *a, struct err *e)
{
	struct passwd *pw;

	errno = 0;
	if ((pw = getpwnam(u->name)) == NULL)
		return errno == 0 || errno == ENOENT || errno == ESRCH
			   ? 0
			   : err_sys(e, "user %s", u->name);
	u->uid = pw->pw_uid;
	u->gid = pw->pw_gid;
	u->home = arena_strdup(a, pw->pw_dir);
	return 1;
}

static int
group_get(const char *name, gid_t *gid, struct err *e)
{
	struct group *g;

	errno = 0;
	if ((g = getgrnam(name)) == NULL)
		return errno == 0 || errno == ENOENT || errno == ESRCH
			   ? 0
			   : err_sys(e, "group %s", name);
	*gid = g->gr_gid;
	return 1;
}

/* One user for two programs, or root, would be no wall between them. */
static int
distinct(const struct accounts *ac, const struct account *u, struct err *e)
{
	size_t i;

	if (u->uid == 0 || u->gid == 0)
		return err_set(e, RC_PERM,
		    "user %s: it is root or in root's group: a program's "
		    "account must be neither",
		    u->name);
	for (i = 0; i < ac->n; i++)
		if (ac->v[i].uid == u->uid || ac->v[i].gid == u->gid)
			return err_set(e, RC_PERM,
			    "users %s and %s: the same %s: each program needs "
			    "its own",
			    ac->v[i].name, u->name,
			    ac->v[i].uid == u->uid ? "uid" : "group");
	for (i = 0; i < NITEMS(groups); i++)
		if (ac->groups[i].gid == u->gid || ac->shared == u->gid)
			return err_set(e, RC_PERM,
			    "user %s: its own group is one that several "
			    "programs share",
			    u->name);
	return 0;
}

static int
add(struct accounts *ac, const char *prefix, const char *program,
    const char *account, const char *in, struct buf *missing, struct arena *a,
    struct err *e)
{
	struct account *u = &ac->v[ac->n];
	size_t n = strcspn(account, "?"), i;
	int rv;

	if ((size_t)snprintf(u->name, sizeof(u->name), "%s-%.*s", prefix,
		(int)n, account) >= sizeof(u->name))
		return err_set(
		    e, RC_PERM, "user %s-%s: too long a name", prefix, account);
	if ((rv = user_get(u, a, e)) == -1)
		return -1;
	if (rv == 0) {
		if (account[n] != '?')
			buf_printf(missing, " %s", u->name);
		return 0;
	}
	if (distinct(ac, u, e) == -1)
		return -1;
	u->groups[u->n_groups++] = ac->shared;
	for (i = 0; i < NITEMS(groups); i++)
		if (list_has(in, groups[i].name)) {
			must(u->n_groups < NITEMS(u->groups));
			u->groups[u->n_groups++] = ac->groups[i].gid;
		}
	ac->program[ac->n++] = arena_strdup(a, program);
	return 0;
}

static const struct account *
find(const struct accounts *ac, const char *name)
{
	size_t i;

	for (i = 0; i < ac->n; i++)
		if (strcmp(ac->program[i], name) == 0)
			return &ac->v[i];
	return NULL;
}

static int
groups_get(struct accounts *ac, const char *prefix, struct buf *missing,
    struct arena *a, struct err *e)
{
	size_t i;
	int rv;

	ac->groups = arena_array(a, struct group_of, NITEMS(groups));
	ac->shared = (gid_t)-1;
	if ((rv = group_get(prefix, &ac->shared, e)) == 0)
		buf_printf(missing, " %s (group)", prefix);
	for (i = 0; i < NITEMS(groups) && rv != -1; i++) {
		const char *name =
		    arena_printf(a, "%s-%s", prefix, groups[i].name);

		ac->groups[i] = (struct group_of){ groups[i].name, (gid_t)-1 };
		if ((rv = group_get(name, &ac->groups[i].gid, e)) == 0)
			buf_printf(missing, " %s (group)", name);
	}
	return rv == -1 ? -1 : 0;
}

/* PIPECD_ACCOUNTS=_piped=990 host=991 script=992: with whom to share what. */
static const char *
passed(const struct accounts *ac, struct arena *a)
{
	struct buf b = BUF_INIT;
	const char *rv;
	size_t i;

	buf_printf(&b, "PIPECD_ACCOUNTS=*=%lu", (unsigned long)ac->shared);
	for (i = 0; i < ac->n; i++)
		buf_printf(
		    &b, " %s=%lu", ac->program[i], (unsigned long)ac->v[i].uid);
	rv = arena_strdup(a, b.p);
	buf_free(&b);
	return rv;
}

int
accounts_open(struct accounts *ac, const char *prefix,
    const struct conf_piped *conf, struct arena *a, struct err *e)
{
	size_t max = n_services + conf->n_plugins, i;
	const char *platform = NULL;
	struct buf missing = BUF_INIT;
	int rv = -1;

	*ac = (struct accounts){ .on = false };
	if (geteuid() != 0)
		return 0;
	ac->v = arena_array(a, struct account, max);
	ac->program = arena_array(a, const char *, max);
	if (groups_get(ac, prefix, &missing, a, e) == -1)
		goto out;
	for (i = 0; i < n_services; i++)
		if (services[i].run == RUN_PLATFORM)
			platform = services[i].account;
		else if (add(ac, prefix, services[i].name, services[i].account,
			     services[i].groups, &missing, a, e) == -1)
			goto out;
	for (i = 0; platform != NULL && i < conf->n_plugins; i++) {
		const char *name = conf->plugins[i].name;

		must(*platform == '*');
		if (find(ac, name) == NULL &&
		    add(ac, prefix, name,
			arena_printf(a, "%s%s", name, platform + 1), "",
			&missing, a, e) == -1)
			goto out;
	}
	ac->on = missing.len == 0;
	ac->why = ac->on ? NULL : arena_strdup(a, missing.p + 1);
	ac->passed = passed(ac, a);
	rv = 0;
out:
	buf_free(&missing);
	return rv;
}

const struct account *
account_of(const struct accounts *ac, const char *name)
{
	return ac->on ? find(ac, name) : NULL;
}

gid_t
account_group(const struct accounts *ac, const char *name)
{
	size_t i;

	for (i = 0; ac->on && i < NITEMS(groups); i++)
		if (strcmp(groups[i].name, name) == 0)
			return ac->groups[i].gid;
	return (gid_t)-1;
}
