#include "internal.h"

#include <git2/sys/transport.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * ssh remotes go through ssh(1): libgit2's own libssh2 in Debian 12 signs with
 * RSA keys only as servers of today refuse (no rsa-sha2), and knows neither
 * ~/.ssh/config nor certificates.  Host keys are always verified.
 *
 * libgit2 hands a transport no argument per fetch that would reach us, and
 * there is one fetch at a time in a process: hence one of this.
 */
static struct {
	const struct git_fetch *f; /* NULL: not in a fetch */
	int key;		   /* a memfd with the key, -1 */
	int said;		   /* a memfd with ssh's words, -1 */
	char words[400];
} ssh = { .key = -1, .said = -1 };

struct ssh_stream {
	git_smart_subtransport_stream base;
	int in, out; /* of the child, -1 */
	pid_t pid;
};

struct ssh_transport {
	git_smart_subtransport base;
	struct ssh_stream *stream; /* the one there is, or NULL */
};

static int
ssh_read(git_smart_subtransport_stream *base, char *p, size_t n, size_t *got)
{
	struct ssh_stream *s = (struct ssh_stream *)base;
	ssize_t r;

	do
		r = read(s->out, p, n);
	while (r == -1 && errno == EINTR);
	if (r == -1) {
		git_error_set_str(GIT_ERROR_SSH, strerror(errno));
		return -1;
	}
	*got = (size_t)r;
	return 0;
}

static int
ssh_write(git_smart_subtransport_stream *base, const char *p, size_t n)
{
	struct ssh_stream *s = (struct ssh_stream *)base;

	if (write_all(s->in, p, n) == 0)
		return 0;
	git_error_set_str(GIT_ERROR_SSH, "ssh has ended");
	return -1;
}

/* What ssh said, its end first of all, as one line. */
static void
keep_words(void)
{
	off_t end = lseek(ssh.said, 0, SEEK_END), at = 0;
	ssize_t n;
	char *p;

	if (end > (off_t)sizeof(ssh.words) - 1)
		at = end - (off_t)sizeof(ssh.words) + 1;
	if ((n = pread(ssh.said, ssh.words, sizeof(ssh.words) - 1, at)) <= 0)
		n = 0;
	while (n > 0 && strchr("\r\n ", ssh.words[n - 1]) != NULL)
		n--;
	ssh.words[n] = '\0';
	for (p = ssh.words; *p != '\0'; p++)
		if (*p == '\n' || *p == '\r')
			*p = ' ';
}

static void
ssh_end(git_smart_subtransport_stream *base)
{
	struct ssh_stream *s = (struct ssh_stream *)base;
	struct timespec ms = { .tv_nsec = 5000000 };
	int status = 0, i;

	close(s->in);
	close(s->out);
	/* It ends by itself; if it failed, its words are worth a moment. */
	for (i = 0; i < 40 && waitpid(s->pid, &status, WNOHANG) == 0; i++)
		nanosleep(&ms, NULL);
	if (i == 40)
		status = child_stop(s->pid, 100);
	if (status != 0)
		keep_words();
	free(s);
}

static void
ssh_stream_free(git_smart_subtransport_stream *base)
{
	/* The transport ends it: LS and the fetch share one connection. */
	(void)base;
}

/* user@host:port and path out of both spellings of an ssh remote. */
static int
split(const char *url, struct arena *a, const char **dest, const char **port,
    const char **path)
{
	const char *at, *colon, *slash;

	*port = NULL;
	if (strncasecmp(url, "ssh://", 6) == 0 ||
	    strncasecmp(url, "git+ssh://", 10) == 0) {
		url = strstr(url, "://") + 3;
		if ((slash = strchr(url, '/')) == NULL)
			return -1;
		*path = slash;
		if (str_prefix(slash, "/~"))
			(*path)++;
		*dest = arena_strndup(a, url, (size_t)(slash - url));
		at = strrchr(*dest, '@');
		colon = strchr(at != NULL ? at : *dest, ']');
		colon = strchr(
		    colon != NULL ? colon : (at != NULL ? at : *dest), ':');
		if (colon != NULL) {
			*port = colon + 1;
			*dest =
			    arena_strndup(a, *dest, (size_t)(colon - *dest));
		}
	} else {
		if ((colon = strchr(url, ':')) == NULL)
			return -1;
		*dest = arena_strndup(a, url, (size_t)(colon - url));
		*path = colon + 1;
	}
	/* A name that ssh would take for an option is none. */
	if ((*dest)[0] == '-' || (*dest)[0] == '\0' || (*path)[0] == '\0')
		return -1;
	return *port != NULL && strspn(*port, "0123456789") != strlen(*port)
		   ? -1
		   : 0;
}

/* 'path' as the other side's shell reads it. */
static const char *
command(const char *path, struct arena *a)
{
	struct buf b = BUF_INIT;
	char *s;

	buf_adds(&b, "git-upload-pack '");
	for (; *path != '\0'; path++) {
		if (*path == '\'' || *path == '!')
			buf_printf(&b, "'\\%c'", *path);
		else
			buf_addc(&b, *path);
	}
	buf_addc(&b, '\'');
	s = arena_strdup(a, b.p);
	buf_free(&b);
	return s;
}

static const char *
env_of(const char *name, struct arena *a)
{
	const char *v = getenv(name);

	return arena_printf(a, "%s=%s", name, v != NULL ? v : "");
}

enum {
	ARGS_MAX = 24
};

/* ssh's arguments for a remote: nothing is asked, and nothing forwarded. */
static int
arguments(
    const char *argv[ARGS_MAX], const char *url, struct arena *a, struct err *e)
{
	const char *dest, *port, *path;
	int n = 0;

	if (split(url, a, &dest, &port, &path) == -1)
		return err_set(e, RC_PERM, "no ssh remote");
	argv[n++] = "ssh";
	if (ssh.f->ssh_config_file != NULL) {
		argv[n++] = "-F";
		argv[n++] = ssh.f->ssh_config_file;
	}
	argv[n++] = "-oBatchMode=yes";
	argv[n++] = "-oStrictHostKeyChecking=yes";
	argv[n++] = "-oConnectTimeout=30";
	argv[n++] = "-oServerAliveInterval=20";
	argv[n++] = "-oForwardAgent=no";
	argv[n++] = "-oClearAllForwardings=yes";
	argv[n++] = "-oPermitLocalCommand=no";
	if (ssh.f->known_hosts_file != NULL) {
		argv[n++] = arena_printf(
		    a, "-oUserKnownHostsFile=%s", ssh.f->known_hosts_file);
		argv[n++] = "-oGlobalKnownHostsFile=/dev/null";
	}
	if (ssh.key != -1 || ssh.f->ssh_key_file != NULL) {
		argv[n++] = "-oIdentitiesOnly=yes";
		argv[n++] = "-i";
		argv[n++] = ssh.key == -1 ? ssh.f->ssh_key_file
					  : arena_printf(a, "/proc/%ld/fd/%d",
						(long)getpid(), ssh.key);
	}
	if (port != NULL) {
		argv[n++] = "-p";
		argv[n++] = port;
	}
	argv[n++] = "--";
	argv[n++] = dest;
	argv[n++] = command(path, a);
	argv[n] = NULL;
	return 0;
}

static int
start(struct ssh_stream *s, const char *url, struct err *e)
{
	static const char *const pass[] = { "PATH", "HOME", "USER", "LOGNAME",
		"SSH_AUTH_SOCK" };
	struct arena *a = arena_new();
	const char *argv[ARGS_MAX], *env[NITEMS(pass) + 1];
	int in[2] = { -1, -1 }, out[2] = { -1, -1 }, rv = -1;
	size_t i, ne = 0;
	struct child c = CHILD_INIT;

	if (arguments(argv, url, a, e) == -1)
		goto out;
	for (i = 0; i < NITEMS(pass); i++)
		if (getenv(pass[i]) != NULL)
			env[ne++] = env_of(pass[i], a);
	env[ne] = NULL;
	if (pipe2(in, O_CLOEXEC) == -1 || pipe2(out, O_CLOEXEC) == -1) {
		err_sys(e, "pipe");
		goto out;
	}
	c.argv = argv;
	c.env = env;
	c.fd[0] = in[0];
	c.fd[1] = out[1];
	c.fd[2] = ssh.said;
	c.death_signal = SIGKILL;
	if ((s->pid = child_start(&c, e)) == -1)
		goto out;
	s->in = in[1];
	s->out = out[0];
	in[1] = out[0] = -1;
	rv = 0;
out:
	for (i = 0; i < 2; i++) {
		if (in[i] != -1)
			close(in[i]);
		if (out[i] != -1)
			close(out[i]);
	}
	arena_free(a);
	return rv;
}

static int
ssh_action(git_smart_subtransport_stream **out, git_smart_subtransport *base,
    const char *url, git_smart_service_t action)
{
	struct ssh_transport *t = (struct ssh_transport *)base;
	struct err e;

	if (action == GIT_SERVICE_UPLOADPACK && t->stream != NULL) {
		*out = &t->stream->base;
		return 0;
	}
	if (action != GIT_SERVICE_UPLOADPACK_LS || ssh.f == NULL) {
		git_error_set_str(GIT_ERROR_SSH, "only fetches here");
		return -1;
	}
	t->stream = xcalloc(1, sizeof(*t->stream));
	t->stream->base.subtransport = base;
	t->stream->base.read = ssh_read;
	t->stream->base.write = ssh_write;
	t->stream->base.free = ssh_stream_free;
	if (start(t->stream, url, &e) == -1) {
		git_error_set_str(GIT_ERROR_SSH, e.text);
		free(t->stream);
		t->stream = NULL;
		return -1;
	}
	*out = &t->stream->base;
	return 0;
}

static int
ssh_close(git_smart_subtransport *base)
{
	struct ssh_transport *t = (struct ssh_transport *)base;

	if (t->stream != NULL)
		ssh_end(&t->stream->base);
	t->stream = NULL;
	return 0;
}

static void
ssh_free(git_smart_subtransport *base)
{
	ssh_close(base);
	free(base);
}

static int
ssh_new(git_smart_subtransport **out, git_transport *owner, void *arg)
{
	struct ssh_transport *t = xcalloc(1, sizeof(*t));

	(void)owner;
	(void)arg;
	t->base.action = ssh_action;
	t->base.close = ssh_close;
	t->base.free = ssh_free;
	*out = &t->base;
	return 0;
}

static int
transport_new(git_transport **out, git_remote *owner, void *arg)
{
	git_smart_subtransport_definition d = { .callback = ssh_new };

	(void)arg;
	return git_transport_smart(out, owner, &d);
}

int
git_ssh_use(const struct git_fetch *f, struct err *e)
{
	static const char *const schemes[] = { "ssh", "git+ssh", "ssh+git" };
	size_t i, n;

	for (i = 0; i < NITEMS(schemes); i++) {
		git_transport_unregister(schemes[i]);
		if (git_transport_register(schemes[i], transport_new, NULL) < 0)
			return git_fail(e, RC_TEMP, "%s", schemes[i]);
	}
	ssh.f = f;
	ssh.words[0] = '\0';
	if ((ssh.said = memfd_create("ssh", MFD_CLOEXEC)) == -1)
		return err_sys(e, "memfd");
	if (f->ssh_key == NULL)
		return 0;
	/* ssh closes what it inherits, but opens /proc/<us>/fd/<n>. */
	n = strlen(f->ssh_key);
	if ((ssh.key = memfd_create("key", MFD_CLOEXEC)) == -1 ||
	    fchmod(ssh.key, 0600) == -1 ||
	    write_all(ssh.key, f->ssh_key, n) == -1 ||
	    (n > 0 && f->ssh_key[n - 1] != '\n' &&
		write_all(ssh.key, "\n", 1) == -1))
		return err_sys(e, "memfd");
	return 0;
}

void
git_ssh_forget(void)
{
	if (ssh.said != -1)
		close(ssh.said);
	if (ssh.key != -1)
		close(ssh.key);
	ssh.said = ssh.key = -1;
	ssh.f = NULL;
}

const char *
git_ssh_words(void)
{
	return ssh.words;
}
