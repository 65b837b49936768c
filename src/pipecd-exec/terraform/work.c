#include "tf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum {
	STALE_S = 7 * 86400 /* work of a deployment that never came back */
};

/* --- the tool ---------------------------------------------------- */

static const struct conf_tool *
tool_conf(const struct conf_piped *c, const char *name)
{
	size_t i;

	for (i = 0; c != NULL && i < c->n_tools; i++)
		if (strcmp(c->tools[i].name, name) == 0)
			return &c->tools[i];
	return NULL;
}

static const char *
on_path(const char *name, struct arena *a)
{
	const char *path = getenv("PATH"), *s, *colon;

	for (s = path; s != NULL && *s != '\0';
	     s = *colon ? colon + 1 : colon) {
		const char *p;

		colon = strchrnul(s, ':');
		p = arena_printf(a, "%.*s/%s", (int)(colon - s), s, name);
		if (*s == '/' && access(p, X_OK) == 0)
			return p;
	}
	return NULL;
}

/*
 * Hashing 100 MB takes a while: what a file with these times and this inode
 * had is kept beside, as a symlink.
 */
static int
tool_hash(const struct work *w, const struct conf_tool *t, struct err *e)
{
	struct arena *a = w->r->arena;
	char was[PATH_MAX], hash[SHA256_HEX];
	char *record, *now;
	struct stat st;
	ssize_t n;
	int fd, rv;

	if ((fd = open(t->path, O_RDONLY | O_CLOEXEC)) == -1 ||
	    fstat(fd, &st) == -1) {
		err_sys(e, "tools.%s.path: %s", t->name, t->path);
		if (fd != -1)
			close(fd);
		return -1;
	}
	record = arena_printf(
	    a, "%s/cache/terraform/tool-%s", w->r->conf->state_dir, t->name);
	now = arena_printf(a, "%s:%lld:%lld.%ld:%lld.%ld:%llu", t->sha256,
	    (long long)st.st_size, (long long)st.st_mtim.tv_sec,
	    st.st_mtim.tv_nsec, (long long)st.st_ctim.tv_sec,
	    st.st_ctim.tv_nsec, (unsigned long long)st.st_ino);
	n = readlink(record, was, sizeof(was) - 1);
	if (n > 0 && (size_t)n == strlen(now) &&
	    memcmp(was, now, (size_t)n) == 0) {
		close(fd);
		return 0;
	}
	rv = sha256_file(hash, fd, t->path, e);
	close(fd);
	if (rv == -1)
		return -1;
	if (strcasecmp(hash, t->sha256) != 0)
		return err_set(e, RC_PERM,
		    "tools.%s: %s has SHA-256 %s, not the configured %s",
		    t->name, t->path, hash, t->sha256);
	(void)unlink(record);
	if (symlink(now, record) == -1)
		log_debug("-", "%s: %s", record, strerror(errno));
	return 0;
}

int
tool_find(struct work *w, struct err *e)
{
	static const char *const names[] = { "terraform", "tofu" };
	const struct conf_tool *t;
	size_t i;

	for (i = 0; i < NITEMS(names); i++) {
		t = tool_conf(w->r->conf, names[i]);
		if (t == NULL || t->path == NULL)
			continue;
		w->tool = t->path;
		w->tool_name = names[i];
		if (access(t->path, X_OK) == -1)
			return err_sys(
			    e, "tools.%s.path: %s", names[i], t->path);
		return t->sha256 != NULL ? tool_hash(w, t, e) : 0;
	}
	for (i = 0; i < NITEMS(names); i++)
		if ((w->tool = on_path(names[i], w->r->arena)) != NULL) {
			w->tool_name = names[i];
			return 0;
		}
	return err_set(e, RC_PERM,
	    "neither terraform nor tofu is on PATH: install one, or set "
	    "spec.tools.terraform.path (or tools.tofu.path) in the Piped "
	    "config");
}

/* --- the directory ----------------------------------------------- */

bool
work_has(const struct work *w, const char *name)
{
	return access(arena_printf(w->r->arena, "%s/%s", w->dir, name), F_OK) ==
	       0;
}

int
work_applied(struct work *w, struct err *e)
{
	return file_write(arena_printf(w->r->arena, "%s/applied", w->dir), "",
	    0, 0600, true, e);
}

void
work_remove(struct work *w)
{
	struct err e;

	if (w->dir != NULL && tree_remove(w->dir, &e) == -1)
		log_warn("-", "work stays: %s", e.text);
}

/* Work that a deployment left behind when it ended between two stages. */
static void
sweep(const char *dir)
{
	char path[PATH_MAX];
	struct dirent *d;
	struct stat st;
	struct err e;
	DIR *dp;

	if ((dp = opendir(dir)) == NULL)
		return;
	while ((d = readdir(dp)) != NULL) {
		if (d->d_name[0] == '.' ||
		    fstatat(dirfd(dp), d->d_name, &st, AT_SYMLINK_NOFOLLOW) ==
			-1 ||
		    st.st_mtim.tv_sec > wall_s() - STALE_S)
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", dir, d->d_name);
		if (tree_remove(path, &e) == -1)
			log_warn("-", "%s", e.text);
	}
	closedir(dp);
}

/* Link all entries of `from` into `to`, but for one. */
static int
link_entries(const char *from, const char *to, const char *but, struct err *e)
{
	char a[PATH_MAX], b[PATH_MAX];
	struct dirent *d;
	DIR *dp;
	int rv = 0;

	if ((dp = opendir(from)) == NULL)
		return err_sys(e, "open %s", from);
	while (rv == 0 && (d = readdir(dp)) != NULL) {
		if (strcmp(d->d_name, ".") == 0 ||
		    strcmp(d->d_name, "..") == 0 ||
		    (but != NULL && strcmp(d->d_name, but) == 0))
			continue;
		if (snprintf(a, sizeof(a), "%s/%s", from, d->d_name) >=
			(int)sizeof(a) ||
		    snprintf(b, sizeof(b), "%s/%s", to, d->d_name) >=
			(int)sizeof(b)) {
			rv = err_set(e, RC_PERM, "%s: path too long", from);
			break;
		}
		if (symlink(a, b) == -1)
			rv = err_sys(e, "link %s", b);
	}
	closedir(dp);
	return rv;
}

/*
 * The checkout is not ours to write: mirror it by symlinks, with real
 * directories on the way to the application's own, so that relative paths
 * (../modules) lead where they do in git.
 */
static int
mirror(struct work *w, const char *root, const char *dir, struct err *e)
{
	struct arena *a = w->r->arena;
	const char *rel = dir + strlen(root), *from = root, *slash;
	const char *to = arena_printf(a, "%s/src", w->dir);

	if (strncmp(dir, root, strlen(root)) != 0 ||
	    (*rel != '\0' && *rel != '/'))
		return err_set(e, RC_PERM, "%s is not below %s", dir, root);
	if (tree_remove(to, e) == -1 || dir_make(to, 0700, e) == -1)
		return -1;
	while (*rel == '/')
		rel++;
	while (*rel != '\0') {
		const char *name;

		slash = strchrnul(rel, '/');
		name = arena_strndup(a, rel, (size_t)(slash - rel));
		if (link_entries(from, to, name, e) == -1)
			return -1;
		from = arena_printf(a, "%s/%s", from, name);
		to = arena_printf(a, "%s/%s", to, name);
		if (mkdir(to, 0700) == -1)
			return err_sys(e, "mkdir %s", to);
		for (rel = slash; *rel == '/'; rel++)
			;
	}
	w->cwd = to;
	return link_entries(from, to, ".terraform", e);
}

/* --- what the tool is given -------------------------------------------- */

static void
hcl_quote(struct buf *b, const char *s)
{
	buf_addc(b, '"');
	for (; *s != '\0'; s++) {
		if (*s == '"' || *s == '\\')
			buf_printf(b, "\\%c", *s);
		else if (*s == '\n')
			buf_adds(b, "\\n");
		else if (*s == '\r')
			buf_adds(b, "\\r");
		else if (*s == '\t')
			buf_adds(b, "\\t");
		else if ((*s == '$' || *s == '%') && s[1] == '{')
			buf_printf(b, "%c%c", *s, *s);
		else
			buf_addc(b, *s);
	}
	buf_addc(b, '"');
}

/* "name=value" as a line of a var file: text, or an expression by its type. */
static int
add_var(struct buf *b, const struct work *w, const char *kv, struct err *e)
{
	const char *eq = strchr(kv, '=');
	char *name;

	if (eq == NULL || eq == kv)
		return err_set(e, RC_PERM,
		    "vars: an entry without \"=\": it must be name=value");
	name = arena_strndup(w->r->arena, kv, (size_t)(eq - kv));
	buf_printf(b, "%s = ", name);
	if (map_get(w->hcl.structured, name) != NULL)
		buf_adds(b, eq + 1);
	else
		hcl_quote(b, eq + 1);
	buf_addc(b, '\n');
	return 0;
}

/*
 * Terraform masks sensitive values, but not everywhere (what a resource copies
 * from one of them is shown): those that came through us are masked here too.
 * A variable that this commit does not declare may have been one: what its
 * value was copied to is shown when it is destroyed.
 */
static void
add_secret(struct work *w, const char *kv, bool env)
{
	struct run *r = w->r;
	size_t n = strcspn(kv, "=");
	char *name = arena_strndup(r->arena, kv, n);

	if (str_prefix(name, "TF_VAR_"))
		name += strlen("TF_VAR_");
	else if (env)
		return;
	if (kv[n] == '=' && (map_get(w->hcl.sensitive, name) != NULL ||
				map_get(w->hcl.declared, name) == NULL))
		run_secret(r, kv + n + 1);
}

/*
 * Values may be secret and argv is everybody's to read: they go through a
 * file, in the place and with the precedence of -var.  The deploy target's
 * come first; of two of one name the later counts.
 */
static int
write_vars(struct work *w, struct err *e)
{
	struct map *last = map_new();
	struct buf b = BUF_INIT;
	const char **lists[] = { w->target.vars, w->conf.vars };
	size_t n[] = { w->target.n_vars, w->conf.n_vars }, i, k, at = 0;
	const char *key;
	void *v;
	int rv = 0;

	for (i = 0; i < NITEMS(lists); i++)
		for (k = 0; k < n[i]; k++) {
			char *name = arena_strndup(w->r->arena, lists[i][k],
			    strcspn(lists[i][k], "="));

			add_secret(w, lists[i][k], false);
			(void)map_put(
			    last, name, arena_strdup(w->r->arena, lists[i][k]));
		}
	while (rv == 0 && map_next(last, &at, &key, &v))
		rv = add_var(&b, w, v, e);
	if (rv == 0)
		rv = file_write(
		    arena_printf(w->r->arena, "%s/vars.tfvars", w->dir), b.p,
		    b.len, 0600, false, e);
	map_free(last);
	buf_free(&b);
	return rv;
}

static void
put_pairs(struct work *w, const char *const *v, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		const char *eq = strchr(v[i], '=');

		add_secret(w, v[i], true);
		if (eq != NULL && eq != v[i])
			env_put(&w->env, w->r->arena,
			    arena_strndup(
				w->r->arena, v[i], (size_t)(eq - v[i])),
			    eq + 1);
	}
}

/*
 * Providers find their credentials in the environment: all of ours is passed
 * on (a supervisor gave us a clean one), but for what is between programs.
 */
static void
environment(struct work *w)
{
	struct arena *a = w->r->arena;
	char *const *v;

	env_init(&w->env, a);
	for (v = environ; *v != NULL; v++) {
		const char *eq = strchr(*v, '=');

		if (eq != NULL && !str_prefix(*v, "PIPECD_") &&
		    !str_prefix(*v, "TF_DATA_DIR") &&
		    !str_prefix(*v, "TF_WORKSPACE"))
			env_put(&w->env, a,
			    arena_strndup(a, *v, (size_t)(eq - *v)), eq + 1);
	}
	env_put(&w->env, a, "TF_DATA_DIR", arena_printf(a, "%s/data", w->dir));
	env_put(&w->env, a, "TF_IN_AUTOMATION", "1");
	env_put(&w->env, a, "TF_INPUT", "0");
	env_put(&w->env, a, "CHECKPOINT_DISABLE", "1");
	if (getenv("TF_PLUGIN_CACHE_DIR") == NULL)
		env_put(&w->env, a, "TF_PLUGIN_CACHE_DIR",
		    arena_printf(a, "%s/cache/terraform/plugins",
			w->r->conf->state_dir));
	put_pairs(
	    w, w->conf.command_envs.shared, w->conf.command_envs.n_shared);
}

/*
 * Without a backend terraform keeps the state beside the configuration, here
 * in a checkout that is removed: keep it in the state directory instead.
 */
static int
keep_state(struct work *w, struct err *e)
{
	struct arena *a = w->r->arena;
	struct buf b = BUF_INIT;
	char *dir = arena_printf(
	    a, "%s/terraform/%s", w->r->conf->state_dir, w->app_id);
	int rv;

	if (w->hcl.backend)
		return 0;
	if (dir_make(dir, 0700, e) == -1)
		return -1;
	stage_log(w->r, "INFO",
	    "no backend is configured: the state is kept in %s", dir);
	buf_adds(&b, "terraform {\n  backend \"local\" {\n    path = ");
	hcl_quote(&b, arena_printf(a, "%s/terraform.tfstate", dir));
	buf_adds(&b, "\n    workspace_dir = ");
	hcl_quote(&b, arena_printf(a, "%s/workspaces", dir));
	buf_adds(&b, "\n  }\n}\n");
	rv =
	    file_write(arena_printf(a, "%s/pipecd_backend_override.tf", w->cwd),
		b.p, b.len, 0600, false, e);
	buf_free(&b);
	return rv;
}

static int
read_conf(struct work *w, const Frame__Json *conf, char *const *targets,
    size_t n_targets, struct err *e)
{
	const struct conf_target *t;

	if (w->r->conf == NULL)
		return err_set(e, RC_PERM,
		    "no Piped config: give one with -f, for its stateDir");
	if (conf_json_read(CONF_terraform_app, &w->conf, "plugins.terraform",
		conf != NULL ? conf->text : "{}", w->r->arena, e) == -1)
		return -1;
	w->target_name = n_targets > 0 ? targets[0] : "";
	if (n_targets == 0)
		return conf_json_read(CONF_terraform_target, &w->target, "-",
		    "{}", w->r->arena, e);
	if (n_targets > 1)
		return err_set(e, RC_PERM,
		    "%zu deploy targets (%s, %s ...): a Terraform application "
		    "has one state, and so takes one",
		    n_targets, targets[0], targets[1]);
	if ((t = run_target(w->r, targets[0], e)) == NULL)
		return -1;
	return conf_json_read(CONF_terraform_target, &w->target, t->name,
	    t->config != NULL ? t->config : "{}", w->r->arena, e);
}

int
work_open(struct work *w, struct run *r, const char *key,
    const Frame__Json *conf, char *const *targets, size_t n_targets,
    const char *root, const char *dir, struct err *e)
{
	struct arena *a = r->arena;
	char abs[PATH_MAX], *base;

	w->r = r;
	if (read_conf(w, conf, targets, n_targets, e) == -1)
		return -1;
	if (dir == NULL)
		return err_set(e, RC_PERM, "no directory of the application");
	base = arena_printf(a, "%s/work/terraform", r->conf->state_dir);
	if (dir_make(base, 0700, e) == -1 ||
	    dir_make(arena_printf(
			 a, "%s/cache/terraform/plugins", r->conf->state_dir),
		0700, e) == -1)
		return -1;
	sweep(base);
	if (realpath(base, abs) == NULL)
		return err_sys(e, "%s", base);
	w->dir = arena_printf(a, "%s/%s", abs, key);
	w->plan = arena_printf(a, "%s/plan", w->dir);
	if (dir_make(w->dir, 0700, e) == -1 || tool_find(w, e) == -1 ||
	    mirror(w, root != NULL ? root : dir, dir, e) == -1)
		return -1;
	hcl_scan(&w->hcl, w->cwd, a);
	if (keep_state(w, e) == -1 || write_vars(w, e) == -1)
		return -1;
	environment(w);
	return 0;
}

void
work_close(struct work *w)
{
	/* It may hold secrets, and the next stage writes its own. */
	if (w->dir != NULL)
		(void)unlink(
		    arena_printf(w->r->arena, "%s/vars.tfvars", w->dir));
	hcl_free(&w->hcl);
}
