#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "super.h"

static const struct env {
	const char *program, *patterns;
} envs[] = {
#define SERVICE(n, bin, run, who, start, stop, mem, nofile, account, groups)
#define GROUP(name, members)
#define ASK(asker, program, verbs)
#define ENV(program, patterns) { program, patterns },
#include "services.def"
#define SERVICE(n, bin, run, who, start, stop, mem, nofile, account, groups)
#define ENV(program, patterns) { program, patterns },
#include "control.def"
	{ SANITIZED ? "*" : "", "ASAN_OPTIONS UBSAN_OPTIONS LSAN_OPTIONS" },
};

void
program_slice(
    struct buf *out, const struct program *p, const struct conf_piped *conf)
{
	conf_piped_print(
	    out, conf, p->row->who, p->plugin != NULL ? p->plugin->name : NULL);
}

int
slice_open(const char *text, size_t n, struct err *e)
{
	int fd = memfd_create("pipecd-conf", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd == -1)
		return err_sys(e, "memfd_create");
	if (write_all(fd, text, n) == -1 || lseek(fd, 0, SEEK_SET) == -1 ||
	    fcntl(fd, F_ADD_SEALS,
		F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) ==
		-1) {
		err_sys(e, "memfd");
		close(fd);
		return -1;
	}
	return fd;
}

/* Whether NAME of "NAME=value" is in a list of patterns. */
static bool
wanted(const char *var, const char *patterns, struct arena *a)
{
	char *name = arena_strndup(a, var, strcspn(var, "="));
	char *list = arena_strdup(a, patterns), *save = NULL, *p;

	for (p = strtok_r(list, " ", &save); p != NULL;
	     p = strtok_r(NULL, " ", &save))
		if (fnmatch(p, name, 0) == 0)
			return true;
	return false;
}

static bool
passes(const char *var, const struct program *p, struct arena *a)
{
	size_t i;

	if (str_prefix(var, "PIPECD_"))
		return false;
	for (i = 0; i < NITEMS(envs); i++)
		if ((strcmp(envs[i].program, "*") == 0 ||
			strcmp(envs[i].program, p->name) == 0) &&
		    wanted(var, envs[i].patterns, a))
			return true;
	return false;
}

/* What names the user of the environment, whom another account is not. */
static bool
personal(const char *var)
{
	return str_prefix(var, "USER=") || str_prefix(var, "LOGNAME=") ||
	       str_prefix(var, "XDG_RUNTIME_DIR=") ||
	       str_prefix(var, "DBUS_SESSION_BUS_ADDRESS=") ||
	       str_prefix(var, "SSH_AUTH_SOCK=");
}

static const char *
listen_env(const struct start *s, struct arena *a)
{
	const char *rv = "PIPECD_LISTEN=";
	size_t i;

	for (i = 0; i < s->n_listen; i++)
		rv = arena_printf(
		    a, "%s%s%s", rv, i > 0 ? " " : "", s->listen[i].name);
	return rv;
}

/* Its environment, NULL-terminated. */
static const char *const *
env_make(const struct start *s, const struct account *who, struct arena *a)
{
	const char *path = getenv("PATH"), *home = getenv("HOME"), **env;
	size_t n = 0, i, max = 12;

	for (i = 0; environ[i] != NULL; i++)
		max++;
	env = arena_array(a, const char *, max);
	if (path == NULL)
		path = "/usr/local/sbin:/usr/local/bin:"
		       "/usr/sbin:/usr/bin:/sbin:/bin";
	if (who != NULL)
		home = who->home;
	if (home == NULL)
		home = "/";
	env[n++] = arena_printf(a, "PATH=%s", path);
	env[n++] = arena_printf(a, "HOME=%s", home);
	env[n++] = "LANG=C.UTF-8";
	env[n++] = "PIPECD_CONF=3";
	if (s->ready != -1)
		env[n++] = "PIPECD_READY=4";
	if (s->super != -1)
		env[n++] = "PIPECD_SUPER=5";
	if (s->n_listen > 0)
		env[n++] = listen_env(s, a);
	if (who != NULL) {
		env[n++] = s->accounts->passed;
		env[n++] = arena_printf(a, "USER=%s", who->name);
		env[n++] = arena_printf(a, "LOGNAME=%s", who->name);
	}
	for (i = 0; environ[i] != NULL; i++)
		if (passes(environ[i], &s->program, a) &&
		    (who == NULL || !personal(environ[i])))
			env[n++] = environ[i];
	return env;
}

static const char *const *
argv_make(const struct start *s, const char *path, struct arena *a)
{
	const char **argv;
	size_t n = 0, i;

	while (s->args != NULL && s->args[n] != NULL)
		n++;
	argv = arena_array(a, const char *, n + 2);
	argv[0] = path;
	for (i = 0; i < n; i++)
		argv[i + 1] = s->args[i];
	return argv;
}

pid_t
program_start(const struct start *s, struct err *e)
{
	const struct account *who =
	    s->accounts != NULL ? account_of(s->accounts, s->program.name)
				: NULL;
	struct child c = CHILD_INIT;
	struct arena *a = arena_new();
	size_t i;
	char path[PATH_MAX];
	int exe = -1, conf = -1;
	pid_t pid = -1;

	if (program_open(&s->program, path, &exe, e) == -1 ||
	    (conf = slice_open(s->slice, s->slice_len, e)) == -1)
		goto out;
	c.argv = argv_make(s, path, a);
	c.path = exe != -1 ? "/proc/self/fd/7" : path;
	c.env = env_make(s, who, a);
	if (who != NULL) {
		c.uid = who->uid;
		c.gid = who->gid;
		c.groups = who->groups;
		c.n_groups = who->n_groups;
	}
	c.fd[0] = s->in;
	c.fd[1] = s->out;
	c.fd[2] = s->err;
	c.fd[FD_CONF] = conf;
	c.fd[FD_READY] = s->ready;
	c.fd[FD_SUPER] = s->super;
	c.fd[FD_LOCK] = s->lock;
	/*
	 * Not closed by exec: the interpreter of a script opens it by name.
	 */
	c.fd[7] = exe;
	for (i = 0; i < s->n_listen && i < LISTEN_MAX; i++)
		c.fd[FD_LISTEN + i] = s->listen[i].fd;
	c.mem_bytes = SANITIZED ? 0 : s->program.row->mem_mib << 20;
	c.nofile = s->program.row->nofile;
	c.death_signal = s->death_signal;
	pid = child_start(&c, e);
out:
	if (pid == -1)
		err_wrap(e, "%s", s->program.name);
	if (conf != -1)
		close(conf);
	if (exe != -1)
		close(exe);
	arena_free(a);
	return pid;
}
