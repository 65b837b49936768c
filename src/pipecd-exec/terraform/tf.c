#include "tf.h"
#include "json.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	QUOTE = 1500, /* bytes of an error in a reason */
	SHOW_MAX = 256 << 20,
	GRACE_MS = 10 * 1000,
	APPLY_GRACE_MS = 10 * 60 * 1000, /* it finishes what it began */
};

/* --- running it -------------------------------------------------------- */

struct words {
	const char **v;
	size_t n;
};

static void
add(struct words *w, struct arena *a, const char *s)
{
	const char **old = w->v;

	if (w->n % 16 == 0) {
		w->v = arena_array(a, const char *, w->n + 18);
		if (w->n > 0)
			memcpy(w->v, old, w->n * sizeof(*old));
	}
	w->v[w->n++] = s;
	w->v[w->n] = NULL;
}

static void
add_all(struct words *w, struct arena *a, const char *const *v, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		add(w, a, v[i]);
}

static struct words
command(struct work *w, const char *verb)
{
	struct words c = { 0 };

	add(&c, w->r->arena, w->tool);
	add(&c, w->r->arena, verb);
	return c;
}

/* The tool's own words: from its first "Error:" on, in one line. */
static const char *
quote(struct arena *a, const struct buf *tail)
{
	const char *s = strstr(tail->p, "Error:");
	size_t n, i, k = 0;
	char *q;

	if (s == NULL)
		s = tail->p;
	n = strlen(s);
	if (n > QUOTE)
		n = QUOTE;
	q = arena_alloc(a, n + 1);
	for (i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];

		/* The box that it draws around an error says nothing. */
		if (c == 0xE2 && i + 2 < n) {
			i += 2;
			continue;
		}
		if (c <= ' ' && (k == 0 || q[k - 1] == ' '))
			continue;
		q[k++] = c <= ' ' ? ' ' : (char)c;
	}
	q[k] = '\0';
	return k == 0 ? "it said nothing" : q;
}

/*
 * Run it: TF_OK, TF_CANCELLED, TF_CHANGES (exit 2 where `detailed`), or -1.
 * In a group of its own: who kills us lets it end in order, with SIGINT, and
 * the lock stays taken until it has.
 */
static int
run(struct work *w, const struct words *c, const struct env *env, bool detailed,
    struct buf *out, bool quiet, struct err *e)
{
	struct buf tail = BUF_INIT;
	bool apply = c->n > 1 && strcmp(c->v[1], "apply") == 0;
	struct command cmd = { .argv = c->v,
		.env = env->v,
		.dir = w->cwd,
		.stop_signal = SIGINT,
		.grace_ms = apply ? APPLY_GRACE_MS : GRACE_MS,
		.own_group = true,
		.quiet = quiet,
		.tail = &tail,
		.out = out,
		.max_out = SHOW_MAX };
	int rc = run_command(w->r, &cmd, e);

	if (rc == CMD_CANCELLED)
		rc = TF_CANCELLED;
	else if (rc == CMD_TIMEOUT)
		rc = err_set(e, RC_TEMP, "%s %s: not done by the deadline",
		    w->tool_name, c->v[1]);
	else if (rc == 2 && detailed)
		rc = TF_CHANGES;
	else if (rc > 0)
		rc = err_set(e, RC_PERM, "%s %s failed, exit %d: %s",
		    w->tool_name, c->v[1], rc, quote(w->r->arena, &tail));
	buf_free(&tail);
	return rc;
}

/* The JSON in an output: warnings may stand before it. */
static void
open_json(struct json *j, const struct buf *out, struct arena *a)
{
	const char *s = out->p, *end = out->p + out->len;

	while (s < end && *s != '{') {
		s = memchr(s, '\n', (size_t)(end - s));
		s = s == NULL ? end : s + 1;
	}
	json_open(j, s, (size_t)(end - s), a);
}

/* --- init -------------------------------------------------------------- */

/* Two at a time would tread on each other in the providers' cache. */
static int
cache_lock(struct work *w)
{
	int fd =
	    open(arena_printf(w->r->arena, "%s/cache/terraform/plugins.lock",
		     w->r->conf->state_dir),
		O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	while (fd != -1 && flock(fd, LOCK_EX | LOCK_NB) == -1)
		if (errno != EWOULDBLOCK || !stage_sleep(w->r, 100)) {
			close(fd);
			return -1;
		}
	return fd;
}

static int
check_version(struct work *w, struct err *e)
{
	struct words c = command(w, "version");
	const char *want = w->conf.terraform_version, *key, *is = "?";
	struct buf out = BUF_INIT;
	struct json j;
	int rc;

	add(&c, w->r->arena, "-json");
	if ((rc = run(w, &c, &w->env, false, &out, true, e)) != TF_OK)
		goto out;
	open_json(&j, &out, w->r->arena);
	if (json_object(&j))
		while (json_key(&j, &key)) {
			if (strcmp(key, "terraform_version") == 0)
				json_string(&j, &is);
			else
				json_skip(&j);
		}
	if ((rc = json_close(&j, e)) == 0 && strcmp(is, want) != 0)
		rc = err_set(e, RC_PERM,
		    "terraformVersion %s is asked for, and %s is %s: set "
		    "tools.%s.path in the Piped config, or drop the key",
		    want, w->tool, is, w->tool_name);
out:
	buf_free(&out);
	return rc;
}

int
tf_init(struct work *w, struct err *e)
{
	struct arena *a = w->r->arena;
	struct words c = command(w, "init");
	struct env env = { 0 };
	size_t i;
	int rc, lock;

	if (w->conf.terraform_version != NULL &&
	    *w->conf.terraform_version != '\0' &&
	    (rc = check_version(w, e)) != TF_OK)
		return rc;
	add(&c, a, "-no-color");
	add(&c, a, "-input=false");
	add_all(&c, a, w->conf.command_flags.shared,
	    w->conf.command_flags.n_shared);
	add_all(
	    &c, a, w->conf.command_flags.init, w->conf.command_flags.n_init);
	for (i = 0; i < w->env.n; i++) {
		const char *eq = strchr(w->env.v[i], '=');

		env_put(&env, a,
		    arena_strndup(a, w->env.v[i], (size_t)(eq - w->env.v[i])),
		    eq + 1);
	}
	for (i = 0; i < w->conf.command_envs.n_init; i++) {
		const char *kv = w->conf.command_envs.init[i];
		size_t n = strcspn(kv, "=");

		if (kv[n] == '=')
			env_put(&env, a, arena_strndup(a, kv, n), kv + n + 1);
	}
	lock = cache_lock(w);
	rc = run(w, &c, &env, false, NULL, false, e);
	if (lock != -1)
		close(lock);
	if (rc != TF_OK || w->conf.workspace == NULL ||
	    *w->conf.workspace == '\0')
		return rc;
	c = command(w, "workspace");
	add(&c, a, "select");
	add(&c, a, w->conf.workspace);
	rc = run(w, &c, &w->env, false, NULL, false, e);
	if (rc == -1)
		err_wrap(e, "workspace %s (it is never created here)",
		    w->conf.workspace);
	return rc;
}

/* --- plan -------------------------------------------------------------- */

static void
with_envs(struct env *env, struct work *w, const char *const *v, size_t n)
{
	struct arena *a = w->r->arena;
	size_t i;

	*env = w->env;
	env->v = arena_array(a, const char *, w->env.n + n + 2);
	env->cap = w->env.n + n + 2;
	memcpy(env->v, w->env.v, w->env.n * sizeof(*env->v));
	for (i = 0; i < n; i++) {
		size_t k = strcspn(v[i], "=");

		if (v[i][k] == '=')
			env_put(
			    env, a, arena_strndup(a, v[i], k), v[i] + k + 1);
	}
}

int
tf_plan(struct work *w, bool save, bool lock, struct buf *text, struct err *e)
{
	struct arena *a = w->r->arena;
	struct words c = command(w, "plan");
	struct env env;
	size_t i;
	int rc;

	add(&c, a, "-no-color");
	add(&c, a, "-input=false");
	add(&c, a, "-detailed-exitcode");
	if (!lock)
		add(&c, a, "-lock=false");
	if (save)
		add(&c, a, arena_printf(a, "-out=%s", w->plan));
	add(&c, a, arena_printf(a, "-var-file=%s/vars.tfvars", w->dir));
	for (i = 0; i < w->conf.n_var_files; i++)
		add(&c, a,
		    arena_printf(a, "-var-file=%s", w->conf.var_files[i]));
	add_all(&c, a, w->conf.command_flags.shared,
	    w->conf.command_flags.n_shared);
	add_all(
	    &c, a, w->conf.command_flags.plan, w->conf.command_flags.n_plan);
	with_envs(
	    &env, w, w->conf.command_envs.plan, w->conf.command_envs.n_plan);
	rc = run(w, &c, &env, true, text, text != NULL, e);
	if (save && rc != -1)
		(void)chmod(w->plan, 0600);
	return rc;
}

/* --- what a plan would do ---------------------------------------------- */

static bool
has(const char *const *v, size_t n, const char *s)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (strcmp(v[i], s) == 0)
			return true;
	return false;
}

/* "change": {"actions": [...], "importing": {...}, ...} */
static void
read_change(struct json *j, const char **act, size_t *n, bool *import)
{
	const char *key;

	if (!json_object(j))
		return;
	while (json_key(j, &key)) {
		if (strcmp(key, "actions") == 0) {
			if (json_array(j))
				while (json_item(j)) {
					const char *s = "";

					json_string(j, &s);
					if (*n < 4)
						act[(*n)++] = s;
				}
		} else {
			if (strcmp(key, "importing") == 0 &&
			    json_peek(j) == JSON_OBJECT)
				*import = true;
			json_skip(j);
		}
	}
}

static void
count_change(struct changes *c, const char *address, const char *const *act,
    size_t n, bool import)
{
	bool create = has(act, n, "create"), gone = has(act, n, "delete");

	c->import += import;
	c->add += create;
	c->destroy += gone;
	c->replace += create && gone;
	c->change += has(act, n, "update");
	c->had += !create || gone;
	if (gone && !create && address != NULL)
		c->destroyed[c->n_destroyed++] = (char *)(uintptr_t)address;
}

static void
read_resources(struct json *j, struct changes *c, struct arena *a)
{
	size_t cap = 0;

	if (!json_array(j))
		return;
	while (json_item(j)) {
		const char *key, *address = NULL, *mode = "managed";
		const char *act[4];
		bool import = false;
		size_t n = 0;

		if (!json_object(j))
			return;
		while (json_key(j, &key))
			if (strcmp(key, "address") == 0)
				json_string(j, &address);
			else if (strcmp(key, "mode") == 0)
				json_string(j, &mode);
			else if (strcmp(key, "change") == 0)
				read_change(j, act, &n, &import);
			else
				json_skip(j);
		if (c->n_destroyed == cap) {
			char **old = c->destroyed;

			cap = cap * 2 + 64;
			c->destroyed = arena_array(a, char *, cap);
			if (c->n_destroyed > 0)
				memcpy(c->destroyed, old,
				    c->n_destroyed * sizeof(*old));
		}
		if (strcmp(mode, "managed") == 0)
			count_change(c, address, act, n, import);
	}
}

static void
read_outputs(struct json *j, struct changes *c)
{
	const char *key;

	if (!json_object(j))
		return;
	while (json_key(j, &key)) {
		const char *act[4];
		bool import = false;
		size_t n = 0;

		read_change(j, act, &n, &import);
		c->outputs += n > 0 && !has(act, n, "no-op");
	}
}

/* Twice over the same text: once for its hash, once for what is in it. */
static int
parse_changes(
    struct changes *c, const struct buf *b, struct arena *a, struct err *e)
{
	SHA2_CTX h;
	uint8_t d[SHA256_DIGEST_LENGTH];
	const char *key, *raw;
	struct json j, sub;
	size_t n;

	SHA256Init(&h);
	open_json(&j, b, a);
	if (json_object(&j))
		while (json_key(&j, &key)) {
			bool res = strcmp(key, "resource_changes") == 0;
			bool out = strcmp(key, "output_changes") == 0;

			if (!res && !out) {
				json_skip(&j);
				continue;
			}
			if (!json_raw(&j, &raw, &n))
				break;
			SHA256Update(&h, (const uint8_t *)key, strlen(key));
			SHA256Update(&h, (const uint8_t *)raw, n);
			json_open(&sub, raw, n, a);
			if (res)
				read_resources(&sub, c, a);
			else
				read_outputs(&sub, c);
			if (json_close(&sub, e) == -1)
				return -1;
		}
	SHA256Final(d, &h);
	hex_encode(c->hash, d, sizeof(d));
	return json_close(&j, e);
}

int
tf_changes(struct work *w, struct changes *c, struct err *e)
{
	struct arena *a = w->r->arena;
	struct words cmd = command(w, "show");
	struct buf b = BUF_INIT;
	int rc;

	memset(c, 0, sizeof(*c));
	add(&cmd, a, "-no-color");
	add(&cmd, a, "-json");
	add(&cmd, a, w->plan);
	rc = run(w, &cmd, &w->env, false, &b, true, e);
	if (rc == TF_OK && (rc = parse_changes(c, &b, a, e)) == -1)
		err_wrap(e, "%s show -json", w->tool_name);
	if (b.len > 0)
		explicit_bzero(b.p, b.len); /* values in clear */
	buf_free(&b);
	c->none = c->add + c->change + c->destroy + c->import + c->outputs == 0;
	c->text = c->none
		      ? "no changes"
		      : arena_printf(a,
			    "%s%lld to add, %lld to change, %lld to destroy%s",
			    c->import > 0 ? arena_printf(a, "%lld to import, ",
						(long long)c->import)
					  : "",
			    (long long)c->add, (long long)c->change,
			    (long long)c->destroy,
			    c->add + c->change + c->destroy + c->import == 0
				? ", outputs change"
				: "");
	return rc;
}

/* --- apply ------------------------------------------------------------- */

int
tf_apply(struct work *w, bool *stale, struct err *e)
{
	struct arena *a = w->r->arena;
	struct words c = command(w, "apply");
	struct env env;
	int rc;

	*stale = false;
	add(&c, a, "-no-color");
	add(&c, a, "-input=false");
	add_all(&c, a, w->conf.command_flags.shared,
	    w->conf.command_flags.n_shared);
	add_all(
	    &c, a, w->conf.command_flags.apply, w->conf.command_flags.n_apply);
	add(&c, a, w->plan);
	with_envs(
	    &env, w, w->conf.command_envs.apply, w->conf.command_envs.n_apply);
	rc = run(w, &c, &env, false, NULL, false, e);
	if (rc == -1 && strstr(e->text, "plan is stale") != NULL)
		*stale = true;
	return rc;
}

/* --- the state, as resources ------------------------------------------- */

static void
read_module(struct json *j, struct work *w, Model__ResourceState ***v,
    size_t *n, int depth)
{
	struct arena *a = w->r->arena;
	const char *key, *k;

	if (!json_object(j))
		return;
	while (json_key(j, &key)) {
		bool child = strcmp(key, "child_modules") == 0;

		if ((!child && strcmp(key, "resources") != 0) || depth > 32) {
			json_skip(j);
			continue;
		}
		if (!json_array(j))
			return;
		while (json_item(j)) {
			Model__ResourceState *s;

			if (child) {
				read_module(j, w, v, n, depth + 1);
				continue;
			}
			const char *address = "?", *type = "";

			if (!json_object(j))
				return;
			while (json_key(j, &k))
				if (strcmp(k, "address") == 0)
					json_string(j, &address);
				else if (strcmp(k, "type") == 0)
					json_string(j, &type);
				else
					json_skip(j);
			if (*n == 500)
				continue;
			s = arena_new_of(a, Model__ResourceState);
			model__resource_state__init(s);
			s->id = s->name = arena_strdup(a, address);
			s->resource_type = arena_strdup(a, type);
			s->health_status =
			    MODEL__RESOURCE_STATE__HEALTH_STATUS__HEALTHY;
			s->deploy_target = arena_strdup(a, w->target_name);
			s->plugin_name = arena_strdup(a, "terraform");
			s->created_at = s->updated_at = wall_s();
			(*v)[(*n)++] = s;
		}
	}
}

int
tf_resources(
    struct work *w, Model__ResourceState ***v, size_t *n, struct err *e)
{
	struct arena *a = w->r->arena;
	struct words c = command(w, "show");
	struct buf b = BUF_INIT;
	const char *key, *k;
	struct json j;
	int rc;

	*n = 0;
	*v = arena_array(a, Model__ResourceState *, 500);
	add(&c, a, "-no-color");
	add(&c, a, "-json");
	if ((rc = run(w, &c, &w->env, false, &b, true, e)) != TF_OK)
		goto out;
	open_json(&j, &b, a);
	if (json_object(&j))
		while (json_key(&j, &key)) {
			if (strcmp(key, "values") != 0 || !json_object(&j)) {
				json_skip(&j);
				continue;
			}
			while (json_key(&j, &k))
				if (strcmp(k, "root_module") == 0)
					read_module(&j, w, v, n, 0);
				else
					json_skip(&j);
		}
	rc = json_close(&j, e);
out:
	if (b.len > 0)
		explicit_bzero(b.p, b.len);
	buf_free(&b);
	return rc;
}
