#include "gitwatch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * libgit2 blocks as long as a server does and has no deadline.  So a fetch is
 * a process of its own: this program again, with -F.  It is asked on standard
 * input, NUL-terminated strings in the order of enum ask, and gets nothing of
 * the configuration but that.  It answers "head COMMIT FORCED BRANCH" or
 * "none - 0 BRANCH" on standard output.
 */
enum ask {
	ASK_MIRROR,
	ASK_URL,
	ASK_BRANCH,
	ASK_WAS, /* the head we know, to see a forced push */
	ASK_USER,
	ASK_PASSWORD,
	ASK_SSH_KEY_FILE,
	ASK_SSH_KEY,
	ASK_KNOWN_HOSTS,
	ASK_SSH_CONFIG,
	ASK_CA_FILE,
	ASK_STALL_MS,
	ASK__N
};

enum {
	ASK_MAX = 256 * 1024
};

static void
put(struct buf *b, const char *s)
{
	if (s != NULL)
		buf_adds(b, s);
	buf_addc(b, '\0');
}

static int
put_secret(struct buf *b, const char *key, const char *file, const char *data,
    struct err *e)
{
	struct buf t = BUF_INIT;
	int rv = -1, r;

	if (file != NULL) {
		if ((r = file_read(file, 65536, &t, e)) != 1) {
			if (r == 0)
				err_set(e, RC_PERM, "%s: not there", file);
			err_wrap(e, "spec.git.%sFile", key);
			goto out;
		}
		while (t.len > 0 && strchr("\r\n", t.p[t.len - 1]) != NULL)
			t.p[--t.len] = '\0';
	} else if (data != NULL) {
		if (base64_decode(&t, data, strlen(data)) == -1) {
			err_set(e, RC_PERM, "spec.git.%s: is not base64", key);
			goto out;
		}
	}
	if (memchr(t.p, '\0', t.len) != NULL) {
		err_set(e, RC_PERM, "spec.git.%s: has a NUL in it", key);
		goto out;
	}
	put(b, t.p);
	rv = 0;
out:
	explicit_bzero(t.p, t.cap);
	buf_free(&t);
	return rv;
}

static int
ask(struct buf *b, const struct gitwatch *g, const struct repo *r,
    struct err *e)
{
	bool ssh = r->path == NULL && !str_prefix(r->remote, "http");

	put(b, r->mirror);
	put(b, r->path != NULL ? r->path : r->remote);
	put(b, r->branch);
	put(b, r->head);
	put(b, g->conf.git.username);
	if (r->path != NULL || ssh) {
		put(b, NULL);
	} else if (put_secret(b, "password", g->conf.git.password_file,
		       g->conf.git.password, e) == -1) {
		return -1;
	}
	put(b, g->conf.git.ssh_key_file);
	if (!ssh || g->conf.git.ssh_key_file != NULL)
		put(b, NULL);
	else if (put_secret(
		     b, "sshKeyData", NULL, g->conf.git.ssh_key_data, e) == -1)
		return -1;
	put(b, g->conf.git.known_hosts_file);
	put(b, g->conf.git.ssh_config_file_path);
	put(b, g->conf.git.ca_file);
	buf_printf(b, "%lld", (long long)g->conf.git.stall_timeout_ms);
	buf_addc(b, '\0');
	return 0;
}

static void
close_worker(struct gitwatch *g, struct repo *r)
{
	close(r->w.pidfd);
	close(r->w.out);
	close(r->w.err);
	memset(&r->w, 0, sizeof(r->w));
	g->workers--;
}

/* What git, ssh and curl want of our environment. */
static const char **
environment(struct arena *a)
{
	static const char *const pass[] = { "PATH", "HOME", "USER", "LOGNAME",
		"SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR", "TMPDIR",
		"http_proxy", "https_proxy", "HTTPS_PROXY", "no_proxy",
		"NO_PROXY", "all_proxy", "ALL_PROXY" };
	const char **env = arena_array(a, const char *, NITEMS(pass) + 1);
	size_t i, n = 0;

	for (i = 0; i < NITEMS(pass); i++)
		if (getenv(pass[i]) != NULL)
			env[n++] =
			    arena_printf(a, "%s=%s", pass[i], getenv(pass[i]));
	env[n] = NULL;
	return env;
}

int
worker_start(struct gitwatch *g, struct repo *r, struct err *e)
{
	const char *const argv[] = { "pipecd-gitwatch", "-F", NULL };
	struct arena *a = arena_new();
	struct child c = CHILD_INIT;
	struct buf b = BUF_INIT;
	int in = -1, rv = -1;

	r->w = (struct worker){ .pidfd = -1, .out = -1, .err = -1 };
	if (ask(&b, g, r, e) == -1)
		goto out;
	in = memfd_create("ask", MFD_CLOEXEC);
	r->w.out = memfd_create("answer", MFD_CLOEXEC);
	r->w.err = memfd_create("words", MFD_CLOEXEC);
	if (in == -1 || r->w.out == -1 || r->w.err == -1 ||
	    write_all(in, b.p, b.len) == -1 || lseek(in, 0, SEEK_SET) == -1) {
		err_sys(e, "memfd");
		goto out;
	}
	c.argv = argv;
	c.path = "/proc/self/exe";
	c.env = environment(a);
	c.fd[0] = in;
	c.fd[1] = r->w.out;
	c.fd[2] = r->w.err;
	c.nice = 5;
	/* A sanitizer reserves more than any limit would allow. */
	c.mem_bytes = SANITIZED ? 0 : (uint64_t)WORKER_MIB << 20;
	c.death_signal = SIGKILL;
	if ((r->w.pid = child_start(&c, e)) == -1)
		goto out;
	if ((r->w.pidfd = child_pidfd(r->w.pid)) == -1) {
		err_sys(e, "pidfd");
		(void)child_stop(r->w.pid, 0);
		goto out;
	}
	r->w.deadline_ms = now_ms() + g->conf.git.fetch_timeout_ms;
	g->workers++;
	rv = 0;
out:
	if (in != -1)
		close(in);
	if (rv == -1) {
		if (r->w.out != -1)
			close(r->w.out);
		if (r->w.err != -1)
			close(r->w.err);
		memset(&r->w, 0, sizeof(r->w));
	}
	explicit_bzero(b.p, b.cap);
	buf_free(&b);
	arena_free(a);
	return rv;
}

void
worker_kill(struct gitwatch *g, struct repo *r)
{
	(void)child_stop(r->w.pid, 0);
	close_worker(g, r);
}

/* The last line of the log, without "pipecd-gitwatch[12]: error: - ". */
static void
last_words(char dst[480], int fd)
{
	char t[2048];
	ssize_t n;
	off_t end = lseek(fd, 0, SEEK_END);
	char *p, *s;

	n = pread(fd, t, sizeof(t) - 1,
	    end > (off_t)sizeof(t) - 1 ? end - (off_t)sizeof(t) + 1 : 0);
	if (n < 0)
		n = 0;
	while (n > 0 && t[n - 1] == '\n')
		n--;
	t[n] = '\0';
	p = strrchr(t, '\n') != NULL ? strrchr(t, '\n') + 1 : t;
	if ((s = strstr(p, "]: error: - ")) != NULL)
		p = s + 12;
	snprintf(dst, 480, "%.479s", p);
}

int
worker_end(struct gitwatch *g, struct repo *r, char branch[256],
    char commit[GIT_ID], bool *forced, struct err *e)
{
	char line[512], what[16], words[480], how[64];
	int status = 0, f = 0, rv = -1, at = 0;
	ssize_t n;

	branch[0] = '\0';
	*forced = false;
	while (waitpid(r->w.pid, &status, 0) == -1 && errno == EINTR)
		continue;
	n = pread(r->w.out, line, sizeof(line) - 1, 0);
	line[n > 0 ? n : 0] = '\0';
	last_words(words, r->w.err);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
		err_set(e, RC_TEMP,
		    "%s: brought nothing for %llds: gave up "
		    "(spec.git.stallTimeout)",
		    r->shown, (long long)g->conf.git.stall_timeout_ms / 1000);
	} else if (status != 0) {
		if (words[0] == '\0')
			err_set(e, RC_TEMP, "%s: fetch: %s", r->shown,
			    child_status(status, how));
		else
			err_set(e, RC_TEMP, "%s", words);
	} else if (sscanf(line, "%15s %40s %d %n", what, commit, &f, &at) < 3) {
		err_set(e, RC_TEMP, "%s: fetch: no answer", r->shown);
	} else {
		line[strcspn(line, "\n")] = '\0';
		snprintf(branch, 256, "%.255s", line + at);
		*forced = f == 1;
		rv = strcmp(what, "head") == 0;
		if (rv == 1) {
			mirror_note(r);
			r->copies = 0;
		}
	}
	close_worker(g, r);
	return rv;
}

/* --- the worker's side ---------------------------------------------------- */

struct pace {
	uint64_t bytes, objects;
	int64_t stall_ms;
};

/* We are killed then, unless this is said again. */
static void
stall_after(int64_t ms)
{
	const struct itimerval t = { .it_value = { .tv_sec = ms / 1000,
					 .tv_usec = ms % 1000 * 1000 } };

	must(setitimer(ITIMER_REAL, &t, NULL) == 0);
}

/*
 * The alarm kills us where no more comes.  A trickle does not count: at least
 * 64 KiB or some objects in each period.
 */
static void
keep_going(void *arg, uint64_t bytes, uint64_t objects)
{
	struct pace *p = arg;

	if (bytes < p->bytes + 65536 && objects == p->objects)
		return;
	p->bytes = bytes;
	p->objects = objects;
	stall_after(p->stall_ms);
}

static const char *
given(const char *s)
{
	return s[0] != '\0' ? s : NULL;
}

static int
fetch(const char *const *q, struct err *e)
{
	struct pace pace = { .stall_ms = atoll(q[ASK_STALL_MS]) };
	struct git_fetch f = {
		.url = q[ASK_URL],
		.branch = given(q[ASK_BRANCH]),
		.user = given(q[ASK_USER]),
		.password = given(q[ASK_PASSWORD]),
		.ssh_key_file = given(q[ASK_SSH_KEY_FILE]),
		.ssh_key = given(q[ASK_SSH_KEY]),
		.known_hosts_file = given(q[ASK_KNOWN_HOSTS]),
		.ca_file = given(q[ASK_CA_FILE]),
		.ssh_config_file = given(q[ASK_SSH_CONFIG]),
		.progress = keep_going,
		.arg = &pace,
	};
	char branch[256] = "", commit[GIT_ID] = "-", line[512];
	struct git *g = NULL;
	int forced = 0, rv = -1, r, n;
	struct err ignored;

	stall_after(pace.stall_ms);
	if (git_mirror_open(&g, q[ASK_MIRROR], true, e) == -1)
		goto out;
	if ((r = git_mirror_fetch(g, &f, branch, commit, e)) == -1)
		goto out;
	stall_after(0);
	if (r == 1 && strcmp(q[ASK_WAS], commit) != 0 &&
	    git_mirror_check(g, commit, e) != 1) {
		/* It says it has what it has not: made anew next time. */
		struct err e2;

		if (tree_remove(q[ASK_MIRROR], &e2) == -1)
			err_set(e, RC_TEMP, "damaged, and %s", e2.text);
		else
			err_set(e, RC_TEMP, "%s: damaged: cloned anew next",
			    q[ASK_MIRROR]);
		goto out;
	}
	if (r == 1 && q[ASK_WAS][0] != '\0')
		forced = git_is_ancestor(g, q[ASK_WAS], commit, &ignored) == 0;
	n = snprintf(line, sizeof(line), "%s %s %d %s\n",
	    r == 1 ? "head" : "none", r == 1 ? commit : "-", forced, branch);
	if (write_all(STDOUT_FILENO, line, (size_t)n) == -1) {
		err_sys(e, "answer");
		goto out;
	}
	if (git_mirror_tidy(g, PACKS_MAX, LOOSE_MAX, &ignored) == -1)
		log_debug("-", "tidy %s", ignored.text);
	rv = 0;
out:
	git_repo_free(g);
	return rv;
}

noreturn void
worker_main(void)
{
	const char *q[ASK__N];
	struct buf b = BUF_INIT;
	struct err e;
	ssize_t n;
	size_t i, at = 0;
	int rv;

	do {
		buf_grow(&b, 65536);
		n = read(STDIN_FILENO, b.p + b.len, 65535);
		if (n > 0)
			b.len += (size_t)n;
	} while (n > 0 && b.len <= ASK_MAX);
	buf_addc(&b, '\0');
	for (i = 0; i < ASK__N; i++) {
		if (at >= b.len - 1) {
			err_set(
			    &e, RC_PERM, "-F is how this program calls itself");
			die(&e);
		}
		q[i] = b.p + at;
		at += strlen(q[i]) + 1;
	}
	if (git_open(true, &e) == -1)
		die(&e);
	signal(SIGALRM, SIG_DFL);
	rv = fetch(q, &e);
	explicit_bzero(b.p, b.cap);
	buf_free(&b);
	if (rv == -1)
		log_error("-", "%s", e.text);
	/* At once: libgit2 1.5 leaks for each remote, and nobody is here. */
	_exit(rv == -1 ? e.exit : RC_OK);
}
