/*
 * Show libconf to tests:
 *	conf json FILE		the tree of a YAML file as JSON
 *	conf node FILE		read it, and no more
 *	conf app FILE		what an application's config says
 *	conf piped FILE		the effective config
 *	conf slice WHO PLUGIN FILE	what one program sees of it
 *	conf control WHO FILE	the same of a control plane's
 *	conf cron LINE TIME, conf address TEXT
 *	conf schema KIND, conf man PAGE
 *	conf open		the same of the slice on descriptor 3
 *	conf check FILE...	what -n FILE... does
 *	conf read WHAT JSON	a platform's struct
 *	conf duration|percent TEXT, conf replicas TEXT TOTAL
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confdef.h"
#include "node.h"

static void
pairs(const char *what, const struct conf_pair *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		printf("%s.%s: %s\n", what, p[i].key, p[i].value);
}

static void
strs(const char *what, const char *const *s, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		printf("%s: %s\n", what, s[i]);
}

static void
str(const char *what, const char *s)
{
	if (s != NULL)
		printf("%s: %s\n", what, s);
}

static void
yes(const char *what, bool v)
{
	printf("%s: %s\n", what, v ? "true" : "false");
}

static void
app_show(const struct conf_app *c)
{
	const struct conf_stage *s;
	size_t i;

	printf("kind: %s\nv1: %s\n", c->kind, c->v1 ? "true" : "false");
	str("name", c->name);
	str("description", c->description);
	pairs("label", c->labels, c->n_labels);
	strs("deploy_target", c->deploy_targets, c->n_deploy_targets);
	yes("always_use_pipeline", c->always_use_pipeline);
	yes("auto_rollback", c->auto_rollback);
	str("commit_quick_sync", c->commit_quick_sync);
	str("commit_pipeline", c->commit_pipeline);
	yes("has_pipeline", c->has_pipeline);
	for (i = 0; i < c->n_stages; i++) {
		s = &c->stages[i];
		printf("stage: %s id=%s line=%d timeout=%lld with=%s\n",
		    s->name, s->id != NULL ? s->id : "-", s->line,
		    (long long)s->timeout_ms, s->with != NULL ? s->with : "-");
		strs("  skip prefix", s->skip_on.commit_message_prefixes,
		    s->skip_on.n_commit_message_prefixes);
		strs("  skip path", s->skip_on.paths, s->skip_on.n_paths);
	}
	printf("trigger: commit=%d command=%d out_of_sync=%d chain=%d "
	       "window=%lld\n",
	    c->trigger.on_commit, c->trigger.on_command,
	    c->trigger.on_out_of_sync, c->trigger.on_chain,
	    (long long)c->trigger.min_window_ms);
	strs("trigger path", c->trigger.paths, c->trigger.n_paths);
	strs("trigger ignore", c->trigger.ignores, c->trigger.n_ignores);
	for (i = 0; i < c->n_chain; i++) {
		printf("chain: %s %s\n",
		    c->chain[i].name != NULL ? c->chain[i].name : "-",
		    c->chain[i].kind != NULL ? c->chain[i].kind : "-");
		pairs("  label", c->chain[i].labels, c->chain[i].n_labels);
	}
	printf("timeout: %lld\n", (long long)c->timeout_ms);
	pairs("secret", c->encryption.secrets, c->encryption.n_secrets);
	strs("secret target", c->encryption.targets, c->encryption.n_targets);
	pairs("attach", c->attachment.sources, c->attachment.n_sources);
	strs("attach target", c->attachment.targets, c->attachment.n_targets);
	for (i = 0; i < c->n_plugins; i++)
		printf("plugin: %s %s\n", c->plugins[i].name,
		    c->plugins[i].config);
	yes("prune_confirmed", c->prune_confirmed);
	str("notification", c->notification);
	str("event_watcher", c->event_watcher);
	str("drift_detection", c->drift_detection);
	strs("refused", c->refused, c->n_refused);
}

static int
read_struct(const char *what, const char *json, struct arena *a, struct err *e)
{
	struct conf_host_app h;
	struct conf_host_target t;
	struct conf_host_canary n;
	struct conf_terraform_app f;
	struct conf_wait w;
	struct conf_script_run s;

	if (strcmp(what, "host_app") == 0) {
		if (conf_json_read(CONF_host_app, &h, what, json, a, e) == -1)
			return -1;
		strs("files", h.files, h.n_files);
		str("activate", h.activate);
		str("http", h.health.http);
		str("command", h.health.command);
		printf("interval %lld timeout %lld success %lld keep %lld\n",
		    (long long)h.health.interval_ms,
		    (long long)h.health.timeout_ms,
		    (long long)h.health.success_count,
		    (long long)h.keep_releases);
	} else if (strcmp(what, "host_target") == 0) {
		if (conf_json_read(CONF_host_target, &t, what, json, a, e) ==
		    -1)
			return -1;
		str("root", t.root);
	} else if (strcmp(what, "host_canary") == 0) {
		if (conf_json_read(CONF_host_canary, &n, what, json, a, e) ==
		    -1)
			return -1;
		str("targets", n.targets);
	} else if (strcmp(what, "terraform_app") == 0) {
		if (conf_json_read(CONF_terraform_app, &f, what, json, a, e) ==
		    -1)
			return -1;
		str("workspace", f.workspace);
		strs("var", f.vars, f.n_vars);
		strs("shared flag", f.command_flags.shared,
		    f.command_flags.n_shared);
		strs("plan env", f.command_envs.plan, f.command_envs.n_plan);
	} else if (strcmp(what, "wait") == 0) {
		if (conf_json_read(CONF_wait, &w, what, json, a, e) == -1)
			return -1;
		printf("duration %lld\n", (long long)w.duration_ms);
	} else {
		if (conf_json_read(CONF_script_run, &s, what, json, a, e) == -1)
			return -1;
		str("run", s.run);
		pairs("env", s.env, s.n_env);
		str("on_rollback", s.on_rollback);
	}
	return 0;
}

static int
who_of(const char *s)
{
	static const char *const names[] = { "all", "gitwatch", "checkout",
		"push", "plan", "exec", "drift", "report", "platform", "script",
		"api", "store", "ops" };
	int i;

	if (strcmp(s, "gitwatch-shown") == 0)
		return WHO_GITWATCH | WHO_SHOWN;
	for (i = 0; i < (int)NITEMS(names); i++) {
		if (strcmp(names[i], s) == 0)
			return i;
	}
	return WHO_ALL;
}

static int
piped_show(const char *who, const char *plugin, const char *path,
    struct arena *a, struct err *e)
{
	struct buf out = BUF_INIT;
	struct conf_piped c;

	if (conf_piped_open(&c, path, a, e) == -1)
		return -1;
	conf_piped_print(
	    &out, &c, (enum conf_who)who_of(who), plugin[0] ? plugin : NULL);
	fputs(out.p, stdout);
	buf_free(&out);
	return 0;
}

static int
control_show(const char *who, const char *path, struct arena *a, struct err *e)
{
	struct buf out = BUF_INIT;
	struct conf_control c;

	if (conf_control_open(&c, path, a, e) == -1)
		return -1;
	conf_control_print(&out, &c, (enum conf_who)who_of(who));
	fputs(out.p, stdout);
	buf_free(&out);
	return 0;
}

static int
cron_show(const char *line, const char *after)
{
	char text[21];
	int64_t next;

	if (conf_cron(&next, line, atoll(after)) == -1)
		return 1;
	time_iso(text, next);
	printf("%s\n", text);
	return 0;
}

static int
address_show(const char *s)
{
	char host[256], port[8];

	if (conf_address(host, port, s) == -1)
		return 1;
	printf("%s %s\n", host, port);
	return 0;
}

static int
scalar_show(const char *what, char *argv[])
{
	int64_t v;
	int pc;

	if (strcmp(what, "duration") == 0) {
		if (conf_duration(&v, argv[0]) == -1)
			return 1;
	} else if (strcmp(what, "percent") == 0) {
		if (conf_percent(&pc, argv[0]) == -1)
			return 1;
		v = pc;
	} else if (conf_replicas(&v, argv[0][0] ? argv[0] : NULL,
		       atoll(argv[1]), 1) == -1)
		return 1;
	printf("%lld\n", (long long)v);
	return 0;
}

int
main(int argc, char *argv[])
{
	struct buf text = BUF_INIT, said = BUF_INIT, out = BUF_INIT;
	struct conf_report rep = { .text = &said };
	struct arena *a = arena_new();
	const char *what = argc > 1 ? argv[1] : "";
	struct node *n;
	struct conf_app app;
	struct err e;
	int rv = 0;

	log_open("conf", LOG_INFO);
	if (strcmp(what, "check") == 0)
		rv = conf_check_main(argv + 2);
	else if (strcmp(what, "open") == 0)
		rv = piped_show("all", "", NULL, a, &e);
	else if (strcmp(what, "piped") == 0)
		rv = piped_show("all", "", argv[2], a, &e);
	else if (strcmp(what, "slice") == 0)
		rv = piped_show(argv[2], argv[3], argv[4], a, &e);
	else if (strcmp(what, "control") == 0)
		rv = control_show(argv[2], argv[3], a, &e);
	else if (strcmp(what, "cron") == 0)
		rv = cron_show(argv[2], argv[3]);
	else if (strcmp(what, "address") == 0)
		rv = address_show(argv[2]);
	else if (strcmp(what, "read") == 0)
		rv = read_struct(argv[2], argv[3], a, &e);
	else if (strcmp(what, "schema") == 0)
		conf_schema(stdout, argv[2]);
	else if (strcmp(what, "man") == 0)
		conf_manual(stdout, argv[2]);
	else if (strcmp(what, "duration") == 0 ||
		 strcmp(what, "percent") == 0 || strcmp(what, "replicas") == 0)
		rv = scalar_show(what, argv + 2);
	else if ((rv = file_read(argv[2], SIZE_MAX / 4, &text, &e)) == 1) {
		if (strcmp(what, "app") != 0) {
			rv = node_yaml(
			    &n, argv[2], text.p, text.len, NULL, a, &e);
			if (rv == 0 && strcmp(what, "json") == 0) {
				node_print(&out, n);
				puts(out.p);
			}
		} else {
			rv = conf_app_read(
			    &app, argv[2], text.p, text.len, a, &rep, &e);
			fputs(said.p, stderr);
			if (rv == 0)
				app_show(&app);
		}
	}
	if (rv == -1)
		fprintf(stderr, "%s\n", e.text);
	buf_free(&text);
	buf_free(&said);
	buf_free(&out);
	arena_free(a);
	return rv == -1 ? 1 : rv;
}
