#include "sandbox.h"

#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine.h"

enum {
	NET_NONE,
	NET_INET,
	CHILDREN_NONE,
	CHILDREN_SUPER,
	CHILDREN_OWN,
	SECRETS_FREE,
	SECRETS_HOLDS
};

static const struct profile {
	const char *name;
	int net, children, secrets;
	const char *paths;
} profiles[] = {
#define PROFILE(name, net, children, secrets, paths) \
	{ name, NET_##net, CHILDREN_##children, SECRETS_##secrets, paths },
#include "profiles.def"
};

/* What any program opens without being asked: libc, resolver, clock. */
static const char common[] =
    "w:/dev/null r:/dev/urandom r:/dev/zero r:/etc/resolv.conf r:/etc/hosts "
    "r:/etc/host.conf r:/etc/gai.conf r:/etc/nsswitch.conf r:/etc/services "
    "r:/etc/passwd r:/etc/group r:/etc/localtime r:/usr/share/zoneinfo "
    "r:/run/systemd/resolve "
    "r:/etc/ld.so.cache r:/usr/lib r:/lib r:/lib64 r:/sys/devices/system/cpu";

/* Expand $state, $bin or $NAME at the start of a path; 0: left out. */
static int
expand(char dst[PATH_MAX], const char *path, const char *state)
{
	size_t n = strcspn(path + 1, "/") + 1;
	char name[64], bin[PATH_MAX];
	const char *value;
	ssize_t len;

	if (*path != '$')
		return snprintf(dst, PATH_MAX, "%s", path) < PATH_MAX;
	if (n >= sizeof(name))
		return 0;
	memcpy(name, path + 1, n - 1);
	name[n - 1] = '\0';
	if (strcmp(name, "state") == 0) {
		value = state;
	} else if (strcmp(name, "bin") == 0) {
		if ((len = readlink("/proc/self/exe", bin, sizeof(bin) - 1)) ==
		    -1)
			return 0;
		bin[len] = '\0';
		*strrchr(bin, '/') = '\0';
		value = bin;
	} else {
		value = getenv(name);
	}
	if (value == NULL || *value == '\0')
		return 0;
	return snprintf(dst, PATH_MAX, "%s%s", value, path + n) < PATH_MAX;
}

static int
add_rule(struct confine *c, const char *rule, const char *state, struct err *e)
{
	char path[PATH_MAX];

	must(rule[0] != '\0' && rule[1] == ':');
	if (!expand(path, rule + 2, state))
		return 0;
	if (rule[0] == 'w' && str_prefix(rule + 2, "$state/") &&
	    dir_make(path, 0700, e) == -1)
		return -1;
	return confine_path(c, rule[0], path, e);
}

static int
add_rules(
    struct confine *c, const char *rules, const char *state, struct err *e)
{
	char *copy = xstrdup(rules), *save = NULL, *r;
	int rv = 0;

	for (r = strtok_r(copy, " ", &save); r != NULL && rv == 0;
	     r = strtok_r(NULL, " ", &save))
		rv = add_rule(c, r, state, e);
	free(copy);
	return rv;
}

/*
 * Root without an account of its own keeps what files need, and gives up the
 * rest of root for itself and for what it starts.
 */
static int
drop_capabilities(struct err *e)
{
	static const unsigned kept[] = { CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH,
		CAP_FOWNER, CAP_CHOWN, CAP_KILL };
	struct __user_cap_header_struct h = { .version =
						  _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2] = { 0 };
	unsigned long cap;
	size_t i;

	for (i = 0; i < NITEMS(kept); i++)
		d[0].permitted |= 1U << kept[i];
	d[0].effective = d[0].permitted;
	for (cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
		if (cap > 31 || (d[0].permitted & (1U << cap)) == 0)
			(void)prctl(PR_CAPBSET_DROP, cap);
	if (geteuid() != 0)
		return 0;
	if (syscall(SYS_capget, &h, NULL) == -1 && errno == EPERM)
		return 0;
	h.version = _LINUX_CAPABILITY_VERSION_3;
	if (syscall(SYS_capset, &h, d) == -1)
		return err_sys(e, "drop capabilities");
	return 0;
}

/* Files and capabilities: what the profile and the config leave. */
static int
lock_files(const struct profile *p, const char *state_dir,
    const char *const *more, struct err *e)
{
	struct confine *c;
	int rv = -1;
	size_t i;

	if ((c = confine_new(e)) == NULL ||
	    add_rules(c, common, state_dir, e) == -1 ||
	    add_rules(c, p->paths, state_dir, e) == -1 ||
	    (SANITIZED && add_rules(c, "r:/proc x:/usr", state_dir, e) == -1))
		goto out;
	for (i = 0; more != NULL && more[i] != NULL; i++)
		if (add_rule(c, more[i], state_dir, e) == -1)
			goto out;
	if (drop_capabilities(e) == 0 && confine_files(c, e) == 0)
		rv = 0;
out:
	confine_free(c);
	return rv;
}

int
sandbox(const char *name, const char *state_dir, const char *const *more,
    struct err *e)
{
	const struct profile *p = NULL;
	size_t i;

	for (i = 0; i < NITEMS(profiles); i++)
		if (strcmp(profiles[i].name, name) == 0)
			p = &profiles[i];
	must(p != NULL);
	if (p->children == CHILDREN_SUPER && getenv("PIPECD_SUPER") == NULL)
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1) {
		err_sys(e, "no_new_privs");
		return err_wrap(e, "sandbox %s", name);
	}
	if (p->secrets == SECRETS_HOLDS && !SANITIZED)
		(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (lock_files(p, state_dir, more, e) == -1 ||
	    confine_calls(p->net == NET_INET, p->children == CHILDREN_OWN,
		SANITIZED, e) == -1)
		return err_wrap(e, "sandbox %s", name);
	return 0;
}
