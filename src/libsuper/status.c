#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "msg.h"
#include "supervise.h"

enum {
	STATUS_MAX = 1 << 20
};

static const char *
state_name(const struct super *p)
{
	size_t i;

	if (p->phase == PHASE_START)
		return "starting";
	if (p->phase > PHASE_RUN)
		return "draining";
	for (i = 0; i < p->n_procs; i++)
		if (p->procs[i].wanted && p->procs[i].state != PROC_READY)
			return "degraded";
	return "ready";
}

static char *
account(const struct super *p, const char *program, struct arena *a)
{
	const struct accounts *ac = super_accounts(p);
	const struct account *u = ac != NULL ? account_of(ac, program) : NULL;

	return u != NULL ? arena_strdup(a, u->name) : NULL;
}

static Super__Program *
program(const struct super *p, struct proc *pr, struct arena *a)
{
	Super__Program *m = arena_new_of(a, Super__Program);

	super__program__init(m);
	m->name = arena_strdup(a, pr->name);
	m->state = arena_strdup(a, proc_state_name(pr->state));
	m->has_pid = m->has_start = pr->pid != 0;
	m->pid = pr->pid;
	m->start = pr->start;
	m->has_since = true;
	m->since = pr->since_s;
	m->has_restarts = true;
	m->restarts = pr->restarts;
	if (pr->last[0] != '\0')
		m->last = pr->last;
	m->account = account(p, pr->program.name, a);
	return m;
}

static Super__Launched *
launched(const struct super *p, struct launched *l, struct arena *a)
{
	Super__Launched *m = arena_new_of(a, Super__Launched);

	super__launched__init(m);
	m->program = l->program;
	if (l->verb[0] != '\0')
		m->verb = l->verb;
	m->asker = arena_strdup(a, l->asker->name);
	m->pid = l->pid;
	m->start = l->start;
	m->since = l->since_s;
	m->has_lock = l->lock;
	m->lock = l->lock;
	m->account = account(p, l->program, a);
	return m;
}

int
status_write(struct super *p, struct err *e)
{
	struct arena *a = arena_new();
	Super__Status s = SUPER__STATUS__INIT;
	struct buf b = BUF_INIT, boot = BUF_INIT;
	char *path;
	size_t i;
	int rv;

	if (file_read("/proc/sys/kernel/random/boot_id", 64, &boot, e) == 1)
		boot.p[strcspn(boot.p, "\n")] = '\0';
	s.pid = getpid();
	s.start = state_start(getpid());
	s.boot_id = boot.p;
	s.started_at = p->started_s;
	s.config = arena_strdup(a, p->path);
	s.state = arena_strdup(a, state_name(p));
	s.programs = arena_array(a, Super__Program *, p->n_procs);
	for (i = 0; i < p->n_procs; i++)
		if (p->procs[i].wanted)
			s.programs[s.n_programs++] =
			    program(p, &p->procs[i], a);
	s.listen = arena_array(a, char *, p->n_listen + 1);
	for (i = 0; i < p->n_listen; i++)
		s.listen[s.n_listen++] = arena_printf(
		    a, "%s=%s", p->listen[i].name, p->listen_at[i]);
	s.launched = arena_array(a, Super__Launched *, p->n_launched + 1);
	for (i = 0; i < p->n_launched; i++)
		if (!p->launched[i].ended)
			s.launched[s.n_launched++] =
			    launched(p, &p->launched[i], a);
	msg_json(&b, &s.base, MSG_FRAME);
	buf_addc(&b, '\n');
	path = arena_printf(a, "%s/run/status.json", p->state_dir);
	rv = file_write(path, b.p, b.len, 0600, false, e);
	buf_free(&boot);
	buf_free(&b);
	arena_free(a);
	return rv;
}

int
status_read(
    const char *state_dir, Super__Status **s, struct arena *a, struct err *e)
{
	const char *path = arena_printf(a, "%s/run/status.json", state_dir);
	struct buf b = BUF_INIT;
	int rv = file_read(path, STATUS_MAX, &b, e);

	if (rv == 1) {
		*s = (Super__Status *)msg_from_json(&super__status__descriptor,
		    b.p, b.len, MSG_FRAME, a, 8 * STATUS_MAX, e);
		if (*s == NULL)
			rv = err_wrap(e, "%s", path);
	}
	buf_free(&b);
	return rv;
}

/* Who holds the lock runs; the file alone may be of a dead one. */
static bool
runs(const struct super *p, const char *state_dir, struct arena *a)
{
	const char *path =
	    arena_printf(a, "%s/run/%s.lock", state_dir, p->how->name);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool held;

	if (fd == -1)
		return false;
	held = flock(fd, LOCK_SH | LOCK_NB) == -1;
	close(fd);
	return held;
}

static void
text(const struct super *p, const Super__Status *s)
{
	int64_t now = wall_s();
	size_t i;

	printf("%s pid %d: %s, up %lld s, config %s\n", p->how->name,
	    (int)s->pid, s->state, (long long)(now - s->started_at), s->config);
	for (i = 0; i < s->n_listen; i++)
		printf("  listens: %s\n", s->listen[i]);
	for (i = 0; i < s->n_programs; i++) {
		const Super__Program *m = s->programs[i];

		printf("%-10s %-9s", m->name, m->state);
		if (m->has_pid)
			printf(" pid %d", (int)m->pid);
		if (m->account != NULL)
			printf(" as %s", m->account);
		printf(" for %lld s", (long long)(now - m->since));
		if (m->restarts > 0)
			printf(", %u restarts", (unsigned)m->restarts);
		if (m->last != NULL)
			printf(", last ended: %s", m->last);
		printf("\n");
	}
	for (i = 0; i < s->n_launched; i++) {
		const Super__Launched *m = s->launched[i];

		printf("  %s%s%s pid %d%s%s for %s, %lld s\n", m->program,
		    m->verb != NULL ? " " : "", m->verb != NULL ? m->verb : "",
		    (int)m->pid, m->account != NULL ? " as " : "",
		    m->account != NULL ? m->account : "", m->asker,
		    (long long)(now - m->since));
	}
}

/* A process of the file that is gone by now is not what the file says. */
static void
check_alive(Super__Status *s, struct arena *a)
{
	size_t i;

	for (i = 0; i < s->n_programs; i++) {
		Super__Program *m = s->programs[i];

		if (m->has_pid && state_start(m->pid) != m->start) {
			m->state = arena_strdup(a, "ended");
			s->state = arena_strdup(a, "degraded");
		}
	}
}

int
status_print(struct super *p, const char *state_dir, bool json, struct err *e)
{
	struct arena *a = arena_new();
	struct buf b = BUF_INIT;
	Super__Status *s;
	int rv = RC_TEMP, got = 0;

	if (runs(p, state_dir, a) &&
	    (got = status_read(state_dir, &s, a, e)) == 0)
		err_set(e, RC_TEMP, "stateDir %s: no status yet", state_dir);
	else if (got == 0)
		err_set(e, RC_TEMP, "stateDir %s: %s does not run", state_dir,
		    p->how->name);
	if (got != 1) {
		log_error("-", "%s", e->text);
		goto out;
	}
	check_alive(s, a);
	if (json) {
		msg_json(&b, &s->base, MSG_FRAME);
		printf("%s\n", b.p);
	} else {
		text(p, s);
	}
	rv = strcmp(s->state, "ready") == 0 ? RC_OK : RC_NO;
	if (fflush(stdout) == EOF)
		rv = RC_TEMP;
out:
	buf_free(&b);
	arena_free(a);
	return rv;
}
