/*
 * What this agent is, once per start and connection; and how it is, each
 * minute, as PipeCD's agents do.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "door.h"
#include "version.h"

enum {
	STAT_MS = 60000,
	KEY_MAX = 65536
};

const char *
door_version(void)
{
	return PIPECD_VERSION;
}

static void
meta_told(struct door *d, struct call *c, int code, const char *text,
    const ProtobufCMessage *res, struct arena *a)
{
	const Grpc__Service__Pipedservice__ReportPipedMetaResponse *r =
	    (const void *)res;

	(void)c;
	(void)a;
	if (code != GRPC_OK) {
		log_warn("-", "ReportPipedMeta was refused: %s: %s",
		    grpc_code_name(code), text);
		return;
	}
	log_info("-", "known to the control plane as %s web=%s", r->name,
	    r->web_base_url);
	(void)d;
}

static Model__Piped__PlatformProvider **
providers(struct door *d, size_t *n)
{
	const struct conf_piped *c = d->conf;
	Model__Piped__PlatformProvider **list = NULL, *p;
	size_t i, k;

	*n = 0;
	for (i = 0; i < c->n_plugins; i++)
		*n += c->plugins[i].n_targets;
	list = arena_array(d->turn, Model__Piped__PlatformProvider *, *n + 1);
	*n = 0;
	for (i = 0; i < c->n_plugins; i++) {
		for (k = 0; k < c->plugins[i].n_targets; k++) {
			if (c->plugins[i].targets[k].name == NULL ||
			    c->plugins[i].targets[k].name[0] == '\0')
				continue;
			p = list[(*n)++] = arena_new_of(
			    d->turn, Model__Piped__PlatformProvider);
			model__piped__platform_provider__init(p);
			p->name = arena_strdup(
			    d->turn, c->plugins[i].targets[k].name);
			p->type = arena_strdup(d->turn, c->plugins[i].name);
		}
	}
	return list;
}

static Model__Piped__Plugin **
plugins(struct door *d, size_t *n)
{
	const struct conf_piped *c = d->conf;
	Model__Piped__Plugin **list =
	    arena_array(d->turn, Model__Piped__Plugin *, c->n_plugins + 1);
	size_t i, k;

	*n = c->n_plugins;
	for (i = 0; i < c->n_plugins; i++) {
		list[i] = arena_new_of(d->turn, Model__Piped__Plugin);
		model__piped__plugin__init(list[i]);
		list[i]->name = arena_strdup(d->turn, c->plugins[i].name);
		list[i]->n_deploy_targets = c->plugins[i].n_targets;
		list[i]->deploy_targets =
		    arena_array(d->turn, char *, c->plugins[i].n_targets + 1);
		for (k = 0; k < c->plugins[i].n_targets; k++)
			list[i]->deploy_targets[k] = arena_strdup(
			    d->turn, c->plugins[i].targets[k].name);
	}
	return list;
}

static Model__ApplicationGitRepository **
repositories(struct door *d, size_t *n)
{
	const struct conf_piped *c = d->conf;
	Model__ApplicationGitRepository **list = arena_array(
	    d->turn, Model__ApplicationGitRepository *, c->n_repositories + 1);
	size_t i;

	*n = c->n_repositories;
	for (i = 0; i < *n; i++) {
		list[i] =
		    arena_new_of(d->turn, Model__ApplicationGitRepository);
		model__application_git_repository__init(list[i]);
		list[i]->id = arena_strdup(d->turn, c->repositories[i].id);
		list[i]->remote =
		    arena_strdup(d->turn, c->repositories[i].remote);
		list[i]->branch =
		    arena_strdup(d->turn, c->repositories[i].branch);
	}
	return list;
}

static void
meta_tell(struct door *d)
{
	Grpc__Service__Pipedservice__ReportPipedMetaRequest m =
	    GRPC__SERVICE__PIPEDSERVICE__REPORT_PIPED_META_REQUEST__INIT;
	Model__Piped__SecretEncryption enc =
	    MODEL__PIPED__SECRET_ENCRYPTION__INIT;
	const struct conf_piped *c = d->conf;
	struct call *call = &d->meta.meta;
	struct buf config = BUF_INIT;

	if (call->busy)
		return;
	d->meta.told = true;
	m.version = arena_strdup(d->turn, door_version());
	m.repositories = repositories(d, &m.n_repositories);
	if (c->v1)
		m.plugins = plugins(d, &m.n_plugins);
	else
		m.platform_providers = providers(d, &m.n_platform_providers);
	enc.type = arena_strdup(d->turn, c->secret_management.type != NULL
					     ? c->secret_management.type
					     : "NONE");
	enc.public_key = d->meta.public_key.p;
	m.secret_encryption = &enc;
	conf_piped_print(&config, c, WHO_ALL, NULL);
	m.config = config.p;
	call->method = "ReportPipedMeta";
	call->res =
	    &grpc__service__pipedservice__report_piped_meta_response__descriptor;
	call->identity = true;
	call->done = meta_told;
	plane_call(d, call, &m.base);
	buf_free(&config);
}

static void
stat_told(struct door *d, struct call *c, int code, const char *text,
    const ProtobufCMessage *res, struct arena *a)
{
	const Grpc__Service__Pipedservice__ReportStatResponse *r =
	    (const void *)res;

	(void)c;
	(void)a;
	if (code != GRPC_OK) {
		log_warn("-", "ReportStat: %s: %s", grpc_code_name(code), text);
		return;
	}
	if (r->report_interval > 0 && r->report_interval <= 3600)
		d->meta.every_ms = r->report_interval * 1000;
}

static void
gauge(struct buf *b, const char *name, const char *type, const char *help,
    unsigned long long v)
{
	buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", name, help, name,
	    type, name, v);
}

/* The metrics as text, which is what PipeCD keeps of an agent. */
static void
stat_text(struct door *d, struct buf *b)
{
	struct rusage u;

	buf_printf(b,
	    "# HELP piped_info What it is.\n# TYPE piped_info gauge\n"
	    "piped_info{version=\"%s\"} 1\n",
	    door_version());
	gauge(b, "process_start_time_seconds", "gauge",
	    "When the agent's door started.",
	    (unsigned long long)d->meta.started_at);
	if (getrusage(RUSAGE_SELF, &u) == 0)
		gauge(b, "process_resident_memory_peak_bytes", "gauge",
		    "Of the agent's door.",
		    (unsigned long long)u.ru_maxrss * 1024);
	gauge(b, "piped_applications", "gauge", "Registered for this agent.",
	    map_len(d->regs.by_id));
	gauge(b, "piped_journals_unsent", "gauge",
	    "Deployments that are not reported to their end.",
	    map_len(d->by_id));
	gauge(b, "piped_facts_unsent", "gauge", "Facts in the outbox.",
	    map_len(d->outbox.by_key));
	gauge(b, "piped_records_delivered_total", "counter", "Journal records.",
	    d->delivered);
	gauge(b, "piped_calls_answered_total", "counter",
	    "By the control plane.", d->plane.good);
	gauge(b, "piped_calls_failed_total", "counter",
	    "Tries that found nobody, or were put off.", d->plane.bad);
	gauge(b, "piped_frames_dropped_total", "counter",
	    "That another program of the agent did not take.",
	    d->bus != NULL ? bus_dropped(d->bus) : 0);
}

static void
stat_tell(struct door *d)
{
	Grpc__Service__Pipedservice__ReportStatRequest m =
	    GRPC__SERVICE__PIPEDSERVICE__REPORT_STAT_REQUEST__INIT;
	struct call *c = &d->meta.stat;
	struct buf b = BUF_INIT;

	d->meta.stat_at = now_ms() + d->meta.every_ms;
	if (c->busy)
		return;
	stat_text(d, &b);
	m.piped_stats.data = (uint8_t *)b.p;
	m.piped_stats.len = b.len;
	c->method = "ReportStat";
	c->res = &grpc__service__pipedservice__report_stat_response__descriptor;
	c->identity = true;
	c->done = stat_told;
	plane_call(d, c, &m.base);
	buf_free(&b);
}

void
meta_tick(struct door *d)
{
	if (!plane_ready(d) || !d->plane.known || d->plane.fenced != NULL)
		return;
	if (!d->meta.told)
		meta_tell(d);
	if (now_ms() >= d->meta.stat_at)
		stat_tell(d);
}

int
meta_open(struct door *d, struct err *e)
{
	const struct conf_piped *c = d->conf;
	struct meta *m = &d->meta;

	m->every_ms = STAT_MS;
	m->started_at = wall_s();
	m->public_key = (struct buf)BUF_INIT;
	if (c->secret_management.public_key_data != NULL) {
		if (base64_decode(&m->public_key,
			c->secret_management.public_key_data,
			strlen(c->secret_management.public_key_data)) == -1)
			return err_set(e, RC_PERM,
			    "spec.secretManagement.config.publicKeyData: is "
			    "no base64");
	} else if (c->secret_management.public_key_file != NULL) {
		switch (file_read(c->secret_management.public_key_file, KEY_MAX,
		    &m->public_key, e)) {
		case -1:
			return -1;
		case 0:
			return err_set(e, RC_PERM,
			    "spec.secretManagement.config.publicKeyFile: %s: "
			    "not there",
			    c->secret_management.public_key_file);
		default:
			break;
		}
	}
	return 0;
}

void
meta_close(struct door *d)
{
	plane_drop(d, &d->meta.meta);
	plane_drop(d, &d->meta.stat);
	buf_free(&d->meta.public_key);
}
