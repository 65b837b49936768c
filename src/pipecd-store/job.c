/* The other processes, and what is asked of them. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "front.h"
#include "msg.h"

enum {
	WAITING_MAX = 4096,
	IDLE_MS = 30000,
	AGAIN_MS = 1000 /* between two starts of one that dies */
};

/* --- jobs ------------------------------------------------------------------
 */

struct job *
job_new(struct front *f, struct client *c, uint64_t client_id,
    void (*fn)(struct front *, struct job *, const uint8_t *, size_t))
{
	struct job *j = f->free_jobs;
	size_t n;

	if (j == NULL) {
		n = f->n_jobs;
		if ((n & (n - 1)) == 0)
			f->job = xrealloc(
			    f->job, (n == 0 ? 1 : n * 2) * sizeof(*f->job));
		j = xcalloc(1, sizeof(*j));
		j->id = f->n_jobs;
		f->job[f->n_jobs++] = j;
	} else {
		f->free_jobs = j->next;
	}
	/* Another generation each time: a late answer finds nobody. */
	j->id += UINT64_C(1) << 32;
	j->next = NULL;
	j->c = c;
	j->client_id = client_id;
	j->fn = fn;
	j->a = NULL;
	j->data = NULL;
	if (c != NULL)
		c->jobs++;
	f->busy_jobs++;
	return j;
}

struct job *
job_get(struct front *f, uint64_t id)
{
	size_t slot = id & UINT32_MAX;

	if (slot >= f->n_jobs || f->job[slot]->id != id ||
	    f->job[slot]->fn == NULL)
		return NULL;
	return f->job[slot];
}

void
job_end(struct front *f, struct job *j)
{
	struct client *c = j->c;

	arena_free(j->a);
	j->a = NULL;
	j->fn = NULL;
	j->c = NULL;
	j->next = f->free_jobs;
	f->free_jobs = j;
	f->busy_jobs--;
	if (c != NULL)
		client_done(c);
}

/* --- starting one of our programs ------------------------------------------
 */

/* Beside ourselves, whatever the name. */
static char *
program_path(const char *program, char dst[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", dst, PATH_MAX - 1);
	char *slash;

	if (n <= 0)
		return NULL;
	dst[n] = '\0';
	if (program == NULL)
		return dst;
	slash = strrchr(dst, '/');
	if ((size_t)(slash - dst) + strlen(program) + 2 > PATH_MAX)
		return NULL;
	memcpy(slash + 1, program, strlen(program) + 1);
	return dst;
}

static int
slice_fd(const struct conf_control *conf)
{
	struct buf text = BUF_INIT;
	int fd = memfd_create("config", MFD_CLOEXEC);

	conf_control_print(&text, conf, WHO_STORE);
	if (fd != -1 && (write_all(fd, text.p, text.len) == -1 ||
			    lseek(fd, 0, SEEK_SET) == -1)) {
		close(fd);
		fd = -1;
	}
	buf_free(&text);
	return fd;
}

/* Its end of a socket is its standard input; -1 with *e. */
static pid_t
start(struct front *f, const char *program, const char *const *argv,
    bool configured, int *fd, struct err *e)
{
	/* The last ones for whom the configuration is for. */
	static const char *const keep[] = { "ASAN_OPTIONS", "UBSAN_OPTIONS",
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
		"AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "SSL_CERT_FILE",
		"SSL_CERT_DIR", "http_proxy", "https_proxy", "no_proxy" };
	const char *env[NITEMS(keep) + 3];
	char path[PATH_MAX];
	struct child c = CHILD_INIT;
	size_t n = 0, i;
	int pair[2], slice = -1;
	pid_t pid = -1;

	env[n++] = "PATH=/usr/local/bin:/usr/bin:/bin";
	for (i = 0; i < (configured ? NITEMS(keep) : 2); i++)
		if (getenv(keep[i]) != NULL)
			env[n++] = arena_printf(
			    f->a, "%s=%s", keep[i], getenv(keep[i]));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == -1)
		return err_sys(e, "socketpair");
	if (configured && (slice = slice_fd(f->conf)) == -1) {
		err_sys(e, "memfd");
		goto out;
	}
	if (configured)
		env[n++] = "PIPECD_CONF=3";
	env[n] = NULL;
	if (program_path(program, path) == NULL) {
		err_set(e, RC_PERM, "%s: cannot find myself", program);
		goto out;
	}
	c.argv = argv;
	c.path = path;
	c.env = env;
	c.fd[0] = pair[1];
	c.fd[1] = STDERR_FILENO;
	c.fd[2] = STDERR_FILENO;
	c.fd[3] = slice;
	c.death_signal = SIGKILL;
	pid = child_start(&c, e);
out:
	close(pair[1]);
	if (slice != -1)
		close(slice);
	if (pid == -1)
		close(pair[0]);
	else
		*fd = pair[0];
	return pid;
}

static int
nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags == -1 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

/* --- the writer ------------------------------------------------------------
 */

static void
writer_gone(struct front *f)
{
	if (f->writer.fd == -1)
		return;
	loop_unwatch(f->l, &f->writer_watch);
	close(f->writer.fd);
	f->writer.fd = -1;
	if (!f->stopping)
		front_stop(f, RC_TEMP);
}

static void
writer_says(struct front *f, const uint8_t *p, size_t n)
{
	struct job *j;
	Work__Done *d;
	struct err e;
	uint64_t id;
	int what = says_read(&p, &n, &id);

	if (what == SAYS_DONE) {
		if (!f->ready) {
			f->ready = true;
			return;
		}
		arena_reset(f->a);
		d = (Work__Done *)msg_unpack(
		    &work__done__descriptor, p, n, f->a, 0, &e);
		must(d != NULL);
		clients_tell(f, d);
		if (d->n_completed > 0)
			fold_start(f);
		return;
	}
	if ((j = job_get(f, id)) != NULL)
		j->fn(f, j, p, n);
}

static void
writer_event(void *arg, uint32_t events)
{
	struct front *f = arg;
	const uint8_t *p;
	size_t n;

	if ((events & EPOLLOUT) != 0 && wire_drain(&f->writer) == 1)
		loop_watch_for(f->l, &f->writer_watch, EPOLLIN);
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0)
		return;
	if (wire_fill(&f->writer) != 1) {
		writer_gone(f);
		return;
	}
	while (f->writer.fd != -1 && wire_next(&f->writer, &p, &n) == 1)
		writer_says(f, p, n);
}

static void
writer_flush(void *arg)
{
	struct front *f = arg;

	if (f->writer.fd == -1)
		return;
	switch (wire_drain(&f->writer)) {
	case 0:
		loop_watch_for(f->l, &f->writer_watch, EPOLLIN | EPOLLOUT);
		break;
	case -1:
		writer_gone(f);
		break;
	}
}

static void
writer_ended(void *arg, int status)
{
	struct front *f = arg;
	char text[64];

	f->writer_pid = 0;
	if (!f->stopping)
		log_error(
		    "-", "the writer ended: %s", child_status(status, text));
	writer_gone(f);
}

int
writer_start(struct front *f, struct err *e)
{
	const char *const argv[] = { "pipecd-store", "-W", f->places.store,
		NULL };
	int fd = -1;

	f->writer_pid = start(f, NULL, argv, false, &fd, e);
	if (f->writer_pid == -1)
		return -1;
	wire_init(&f->writer, fd);
	if (nonblocking(fd) == -1)
		return err_sys(e, "writer");
	if (loop_watch(
		f->l, &f->writer_watch, fd, EPOLLIN, writer_event, f, e) == -1)
		return -1;
	return loop_child(
	    f->l, &f->writer_child, f->writer_pid, writer_ended, f, e);
}

void
writer_send(struct front *f, int what, uint64_t job, const uint8_t *p, size_t n,
    const ProtobufCMessage *m)
{
	struct buf head = BUF_INIT;
	uint8_t raw[SAYS_HEAD];

	says_head(raw, what, job);
	buf_add(&head, raw, sizeof(raw));
	buf_add(&head, p, n);
	wire_put(&f->writer, head.p, head.len, m);
	buf_free(&head);
	loop_soon(f->l, &f->writer_flush, writer_flush, f);
}

void
writer_stop(struct front *f)
{
	if (f->writer_pid == 0)
		return;
	loop_child_not(f->l, &f->writer_child);
	if (f->writer.fd != -1) {
		loop_unwatch(f->l, &f->writer_watch);
		wire_free(&f->writer);
	}
	/* It ends when its socket does, after what it has in hand. */
	while (waitpid(f->writer_pid, NULL, 0) == -1 && errno == EINTR)
		;
	f->writer_pid = 0;
}

/* --- pools -----------------------------------------------------------------
 */

static void pool_run(struct pool *p);

static void
worker_gone(struct worker *k)
{
	struct front *f = k->pool->f;
	struct job *j = k->job == 0 ? NULL : job_get(f, k->job);
	int64_t now = loop_now(f->l);

	if (k->w.fd != -1) {
		loop_unwatch(f->l, &k->watch);
		wire_free(&k->w);
	}
	if (now - k->since < AGAIN_MS)
		k->pool->not_before = now + AGAIN_MS;
	k->job = 0;
	if (j != NULL)
		j->fn(f, j, NULL, 0);
}

static void
worker_ended(void *arg, int status)
{
	struct worker *k = arg;
	char text[64];

	k->pid = 0;
	if (status != 0)
		log_warn("-", "%s ended: %s", k->pool->program,
		    child_status(status, text));
	worker_gone(k);
	pool_run(k->pool);
}

static void
worker_event(void *arg, uint32_t events)
{
	struct worker *k = arg;
	struct front *f = k->pool->f;
	const uint8_t *p;
	struct job *j;
	uint64_t id;
	size_t n;

	if ((events & EPOLLOUT) != 0 && wire_drain(&k->w) == 1)
		loop_watch_for(f->l, &k->watch, EPOLLIN);
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0)
		return;
	if (wire_fill(&k->w) != 1) {
		loop_unwatch(f->l, &k->watch); /* worker_ended comes */
		return;
	}
	while (k->w.fd != -1 && wire_next(&k->w, &p, &n) == 1) {
		(void)says_read(&p, &n, &id);
		k->job = 0;
		if ((j = job_get(f, id)) != NULL)
			j->fn(f, j, p, n);
	}
	pool_run(k->pool);
}

static bool
worker_start(struct worker *k)
{
	struct pool *p = k->pool;
	struct front *f = p->f;
	const char *const argv[] = { p->program, NULL };
	struct err e;
	int fd = -1;

	memset(&k->watch, 0, sizeof(k->watch));
	memset(&k->child, 0, sizeof(k->child));
	k->since = loop_now(f->l);
	k->pid = start(f, p->program, argv, p->configured, &fd, &e);
	if (k->pid == -1) {
		k->pid = 0;
		log_warn("-", "%s: %s", p->program, e.text);
		return false;
	}
	wire_init(&k->w, fd);
	if (nonblocking(fd) == -1 ||
	    loop_watch(f->l, &k->watch, fd, EPOLLIN, worker_event, k, &e) ==
		-1 ||
	    loop_child(f->l, &k->child, k->pid, worker_ended, k, &e) == -1) {
		log_warn("-", "%s: %s", p->program, e.text);
		wire_free(&k->w);
		return false;
	}
	return true;
}

static struct worker *
worker_free(struct pool *p)
{
	struct worker *none = NULL;
	size_t i;

	for (i = 0; i < p->max; i++)
		if (p->worker[i].pid == 0)
			none = &p->worker[i];
		else if (p->worker[i].job == 0 && p->worker[i].w.fd != -1)
			return &p->worker[i];
	if (none == NULL || loop_now(p->f->l) < p->not_before)
		return NULL;
	return worker_start(none) ? none : NULL;
}

/* Those that had nothing to do for a while end: they read end of file. */
static void
pool_idle(void *arg)
{
	struct pool *p = arg;
	size_t i;

	if (p->first != NULL) {
		pool_run(p);
		return;
	}
	for (i = 0; i < p->max; i++)
		if (p->worker[i].pid != 0 && p->worker[i].job == 0 &&
		    p->worker[i].w.fd != -1) {
			loop_unwatch(p->f->l, &p->worker[i].watch);
			wire_free(&p->worker[i].w);
		}
}

/* Nobody can be started: say so now, rather than never. */
static void
pool_fail(struct pool *p)
{
	struct waiting *x;
	struct job *j;

	while ((x = p->first) != NULL) {
		p->first = x->next;
		if (p->first == NULL)
			p->last = &p->first;
		p->n_waiting--;
		if ((j = job_get(p->f, x->job)) != NULL)
			j->fn(p->f, j, NULL, 0);
		buf_free(&x->message);
		free(x);
	}
}

static bool
pool_alive(const struct pool *p)
{
	size_t i;

	for (i = 0; i < p->max; i++)
		if (p->worker[i].pid != 0)
			return true;
	return false;
}

static void
pool_run(struct pool *p)
{
	struct waiting *x;
	struct worker *k;

	while (p->first != NULL && (k = worker_free(p)) != NULL) {
		x = p->first;
		p->first = x->next;
		if (p->first == NULL)
			p->last = &p->first;
		p->n_waiting--;
		k->job = x->job;
		wire_put(&k->w, x->message.p, x->message.len, NULL);
		if (wire_drain(&k->w) == 0)
			loop_watch_for(p->f->l, &k->watch, EPOLLIN | EPOLLOUT);
		buf_free(&x->message);
		free(x);
	}
	if (p->first != NULL && !pool_alive(p))
		pool_fail(p);
	if (!p->f->stopping)
		loop_timer(p->f->l, &p->idle, loop_now(p->f->l) + IDLE_MS,
		    pool_idle, p);
}

void
pool_init(struct pool *p, struct front *f, const char *program, size_t max,
    bool configured)
{
	size_t i;

	p->f = f;
	p->program = program;
	p->max = max < NITEMS(p->worker) ? max : NITEMS(p->worker);
	p->configured = configured;
	p->last = &p->first;
	for (i = 0; i < p->max; i++) {
		p->worker[i].pool = p;
		p->worker[i].w.fd = -1;
	}
}

bool
pool_send(struct pool *p, int what, uint64_t job, const uint8_t *raw, size_t n,
    const ProtobufCMessage *m)
{
	static const struct buf empty = BUF_INIT;
	uint8_t head[SAYS_HEAD];
	struct waiting *x;

	if (p->n_waiting >= WAITING_MAX)
		return false;
	x = xcalloc(1, sizeof(*x));
	x->message = empty;
	x->job = job;
	says_head(head, what, job);
	buf_add(&x->message, head, sizeof(head));
	buf_add(&x->message, raw, n);
	if (m != NULL)
		msg_pack(&x->message, m);
	*p->last = x;
	p->last = &x->next;
	p->n_waiting++;
	pool_run(p);
	return true;
}

void
pool_stop(struct pool *p)
{
	struct waiting *x;
	size_t i;

	loop_timer_stop(p->f->l, &p->idle);
	for (i = 0; i < p->max; i++) {
		if (p->worker[i].pid == 0)
			continue;
		loop_child_not(p->f->l, &p->worker[i].child);
		if (p->worker[i].w.fd != -1) {
			loop_unwatch(p->f->l, &p->worker[i].watch);
			wire_free(&p->worker[i].w);
		}
		(void)child_stop(p->worker[i].pid, 2000);
		p->worker[i].pid = 0;
	}
	while ((x = p->first) != NULL) {
		p->first = x->next;
		buf_free(&x->message);
		free(x);
	}
}
