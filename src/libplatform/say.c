#include "internal.h"

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	LINE_LEN = 32 * 1024,  /* of a stage_log */
	REASON_MAX = 4 * 1024, /* of a stage_done */
	SECRET_MIN = 4,
	SECRETS_FILE_MAX = 16 << 20,
};

static int cancel_signals = -1;
static bool cancelled;

void
cancel_open(int fd)
{
	cancel_signals = fd;
}

int
cancel_fd(void)
{
	return cancel_signals;
}

bool
cancel_seen(void)
{
	int sig;

	while (
	    cancel_signals != -1 && (sig = signals_next(cancel_signals)) != 0)
		if (sig == SIGTERM || sig == SIGINT)
			cancelled = true;
	return cancelled;
}

bool
stage_cancelled(struct run *r)
{
	return cancel_seen() || r->gone;
}

bool
stage_sleep(struct run *r, int64_t ms)
{
	int64_t end = now_ms() + ms, left;
	struct pollfd p = { .fd = cancel_signals, .events = POLLIN };

	while (!stage_cancelled(r) && (left = end - now_ms()) > 0)
		(void)poll(&p, 1, left > 3600000 ? 3600000 : (int)left);
	return !stage_cancelled(r);
}

int64_t
stage_left(const struct run *r, int64_t most)
{
	int64_t left;

	if (r->until_ms == 0)
		return most;
	left = r->until_ms - now_ms();
	return left < 0 ? 0 : left > most ? most : left;
}

/* The length of the character at s; 0: it is none, or NUL. */
static size_t
sequence(const char *s, size_t n)
{
	return *s == '\0' ? 0 : utf8_len(s, s + n);
}

const char *
text_clean(struct arena *a, const char *s, size_t n)
{
	size_t i = 0, k, len = 0;
	char *dst;

	while (i < n && (k = sequence(s + i, n - i)) != 0)
		i += k;
	if (i == n && s[n] == '\0')
		return s;
	dst = arena_alloc(a, n + 1);
	for (i = 0; i < n; i += k) {
		if ((k = sequence(s + i, n - i)) == 0) {
			dst[len++] = '?';
			k = 1;
			continue;
		}
		memcpy(dst + len, s + i, k);
		len += k;
	}
	dst[len] = '\0';
	return dst;
}

void
run_secret(struct run *r, const char *value)
{
	const char **v;

	if (strlen(value) < SECRET_MIN)
		return; /* would only make text unreadable */
	v = arena_array(r->arena, const char *, r->n_secrets + 1);
	if (r->n_secrets > 0)
		memcpy(v, r->secrets, r->n_secrets * sizeof(*v));
	v[r->n_secrets++] = value;
	r->secrets = v;
}

void
run_secrets_of(struct run *r, const char *root)
{
	struct buf file = BUF_INIT, value = BUF_INIT;
	char *line, *rest;
	struct err e;

	if (root == NULL ||
	    file_read(arena_printf(r->arena, "%s.secrets", root),
		SECRETS_FILE_MAX, &file, &e) != 1)
		goto out;
	for (rest = file.p; (line = strsep(&rest, "\n")) != NULL;) {
		buf_reset(&value);
		if (base64_decode(&value, line, strlen(line)) == 0)
			run_secret(
			    r, arena_strndup(r->arena, value.p, value.len));
	}
out:
	must(file.p != NULL && value.p != NULL);
	explicit_bzero(file.p, file.cap);
	explicit_bzero(value.p, value.cap);
	buf_free(&file);
	buf_free(&value);
}

const char *
text_mask(const struct run *r, struct arena *a, const char *s)
{
	size_t i;

	for (i = 0; i < r->n_secrets; i++) {
		const char *secret = r->secrets[i], *at;
		struct buf b = BUF_INIT;

		if (*secret == '\0' || strstr(s, secret) == NULL)
			continue;
		for (; (at = strstr(s, secret)) != NULL;
		     s = at + strlen(secret)) {
			buf_add(&b, s, (size_t)(at - s));
			buf_adds(&b, "***");
		}
		buf_adds(&b, s);
		s = arena_strdup(a, b.p);
		buf_free(&b);
	}
	return s;
}

/* Format, bound, clean and mask what goes into a frame. */
static char *text_of(const struct run *r, struct arena *a, size_t max,
    const char *fmt, va_list ap) PRINTF(4, 0);
static char *
text_of(const struct run *r, struct arena *a, size_t max, const char *fmt,
    va_list ap)
{
	char *s, *clean;
	size_t n;

	must(vasprintf(&s, fmt, ap) != -1);
	n = strlen(s);
	if (n > max)
		n = max;
	clean = arena_strndup(a, s, n);
	free(s);
	return arena_strdup(a, text_mask(r, a, text_clean(a, clean, n)));
}

void
run_say(struct run *r, const struct frame *f0)
{
	struct frame f = *f0;
	struct err e;

	f.re = r->re;
	if (r->gone)
		return;
	if (frame_print(r->out, &f, &e) == -1) {
		/* Nobody hears us: stop where it is safe. */
		log_warn("-", "answer lost: %s", e.text);
		r->gone = true;
	}
}

static char *
dep_id(const struct run *r)
{
	return r->stage->deployment->id;
}

static void
say_log(struct run *r, const char *severity, char *text, struct arena *a)
{
	Frame__StageLog l = FRAME__STAGE_LOG__INIT;

	l.deployment_id = dep_id(r);
	l.stage_id = r->stage->stage->id;
	l.text = text;
	l.severity = arena_strdup(a, severity);
	l.has_at_ms = true;
	l.at_ms = wall_ms();
	run_say(r, FRAME_OF(stage_log, &l));
}

void
stage_log(struct run *r, const char *severity, const char *fmt, ...)
{
	struct arena *a;
	va_list ap;

	if (r->stage == NULL)
		return;
	a = arena_new();
	va_start(ap, fmt);
	say_log(r, severity, text_of(r, a, LINE_LEN, fmt, ap), a);
	va_end(ap);
	arena_free(a);
}

void
stage_meta(struct run *r, const char *key, const char *value, bool shared)
{
	struct arena *a = arena_new();
	Frame__StageMeta m = FRAME__STAGE_META__INIT;

	m.deployment_id = dep_id(r);
	m.stage_id = r->stage->stage->id;
	m.key = arena_strdup(a, key);
	m.value = arena_strdup(a, value);
	m.has_shared = m.shared = shared;
	run_say(r, FRAME_OF(stage_meta, &m));
	arena_free(a);
}

const char *
stage_meta_get(const struct run *r, const char *key)
{
	const Model__DeploymentMetadata *m = r->stage->deployment->metadata_v2;
	size_t i;

	if (m == NULL || m->shared == NULL)
		return NULL;
	for (i = 0; i < m->shared->n_keyvalues; i++)
		if (strcmp(m->shared->keyvalues[i]->key, key) == 0)
			return m->shared->keyvalues[i]->value;
	return NULL;
}

void
stage_touches(struct run *r)
{
	r->untouched = false;
}

static int
say_done(struct run *r, Model__StageStatus status, char *reason, bool human)
{
	Frame__StageDone d = FRAME__STAGE_DONE__INIT;

	must(!r->done);
	d.deployment_id = dep_id(r);
	d.stage_id = r->stage->stage->id;
	d.status = status;
	d.reason = reason;
	d.has_took_ms = true;
	d.took_ms = now_ms() - r->began_ms;
	d.has_needs_human = d.needs_human = human;
	d.has_untouched = d.untouched = r->untouched;
	run_say(r, FRAME_OF(stage_done, &d));
	r->done = true;
	r->ok = status != MODEL__STAGE_STATUS__STAGE_FAILURE &&
		status != MODEL__STAGE_STATUS__STAGE_CANCELLED;
	return 0;
}

int
stage_done(struct run *r, Model__StageStatus status, const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	s = text_of(r, r->arena, REASON_MAX, fmt, ap);
	va_end(ap);
	return say_done(r, status, s, false);
}

int
stage_needs_human(struct run *r, const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	s = text_of(r, r->arena, REASON_MAX, fmt, ap);
	va_end(ap);
	return say_done(r, MODEL__STAGE_STATUS__STAGE_FAILURE, s, true);
}

int
stage_held(struct run *r, const char *reason, char **objects, size_t n,
    const char *confirm)
{
	Frame__Held h = FRAME__HELD__INIT;

	h.application_id = r->stage->deployment->application_id;
	h.application_name = r->stage->deployment->application_name;
	h.deployment_id = dep_id(r);
	h.stage_id = r->stage->stage->id;
	h.reason = arena_strdup(r->arena, reason);
	h.objects = objects;
	h.n_objects = n > 200 ? 200 : n;
	h.confirm = arena_strdup(r->arena, confirm);
	run_say(r, FRAME_OF(held, &h));
	stage_log(r, "ERROR", "held: %s; %s", reason, confirm);
	return stage_done(r, MODEL__STAGE_STATUS__STAGE_FAILURE, "held: %s; %s",
	    reason, confirm);
}

bool
stage_confirmed(const struct run *r)
{
	const Frame__StageStart *s = r->stage;
	struct buf text = BUF_INIT, said = BUF_INIT;
	struct conf_report rep = { .text = &said };
	struct conf_app c;
	struct err e;
	bool yes = false;

	if (s->config_filename != NULL && s->target_dir != NULL &&
	    file_read(arena_printf(
			  r->arena, "%s/%s", s->target_dir, s->config_filename),
		1 << 20, &text, &e) == 1 &&
	    conf_app_read(&c, s->config_filename, text.p, text.len, r->arena,
		&rep, &e) == 0)
		yes = c.prune_confirmed;
	buf_free(&text);
	buf_free(&said);
	return yes;
}

const struct conf_target *
run_target(const struct run *r, const char *name, struct err *e)
{
	size_t i;

	if (r->conf == NULL) {
		err_set(e, RC_PERM,
		    "no Piped config (-f): deploy target %s is unknown", name);
		return NULL;
	}
	for (i = 0; r->plugin != NULL && i < r->plugin->n_targets; i++)
		if (strcmp(r->plugin->targets[i].name, name) == 0)
			return &r->plugin->targets[i];
	err_set(e, RC_PERM,
	    "deploy target %s is not among those of plugin %s in the Piped "
	    "config",
	    name, r->platform->name);
	return NULL;
}
