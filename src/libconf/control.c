#include "read.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * kind: ControlPlane.  A file of PipeCD's own is read as it is; what it asks
 * for and this build does not do is a warning where the file is only checked,
 * and a mistake where it is to be run.
 */

static void not_yet(struct reader *r, const struct node *n,
    const struct path *at, const char *fmt, ...) PRINTF(4, 5);

static void
not_yet(struct reader *r, const struct node *n, const struct path *at,
    const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(r->run ? mistake : warning)(r, n, at, "%s", text);
}

/* The text of a key, NULL when it is absent, empty or no text. */
static const struct node *
text_of(const struct node *map, const char *key)
{
	const struct node *n = key_value(map, key);

	return n != NULL && n->type == NODE_STRING && n->n > 0 ? n : NULL;
}

int
conf_address(char host[256], char port[8], const char *s)
{
	const char *colon = strrchr(s, ':'), *from = s, *to = colon;
	char *end;
	long n;

	if (colon == NULL || colon[1] < '0' || colon[1] > '9')
		return -1;
	n = strtol(colon + 1, &end, 10);
	if (*end != '\0' || n > 65535)
		return -1;
	if (*s == '[') {
		from++;
		to = colon - 1;
		if (colon == s || *to != ']')
			return -1;
	} else if (memchr(s, ':', (size_t)(colon - s)) != NULL)
		return -1;
	if (to - from > 255 ||
	    strspn(from, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			 "0123456789.-_:%") < (size_t)(to - from))
		return -1;
	(void)snprintf(host, 256, "%.*s", (int)(to - from), from);
	(void)snprintf(port, 8, "%u", (unsigned)(uint16_t)n);
	return 0;
}

static bool
is_url(const char *s)
{
	return str_prefix(s, "http://") || str_prefix(s, "https://");
}

static void
check_address(struct reader *r, const struct node *n, const struct path *at,
    const char *key)
{
	const struct node *v = text_of(n, key);
	struct path p = { .up = at, .name = key };
	char host[256], port[8];

	if (v != NULL && conf_address(host, port, v->text) == -1)
		mistake(r, v, &p,
		    "\"%.60s\" is not host:port, such as 127.0.0.1:8080, "
		    "[::1]:8080 or :8080",
		    v->text);
}

/* PipeCD's address is a URL: where people find us, not where we listen. */
static void
addresses(struct reader *r, struct conf_control *c, const struct node *n,
    const struct path *at)
{
	const struct node *a = text_of(n, "address"),
			  *w = text_of(n, "webAddress");
	struct path p = { .up = at, .name = "webAddress" };

	check_address(r, n, at, "adminAddress");
	if (w != NULL && !is_url(w->text))
		mistake(
		    r, w, &p, "\"%.60s\" is not a URL, https://...", w->text);
	if (a == NULL || !is_url(a->text)) {
		check_address(r, n, at, "address");
		return;
	}
	c->address = "127.0.0.1:8080";
	if (c->web_address == NULL)
		c->web_address = arena_strndup(r->a, a->text, a->n);
}

static void
check_projects(struct reader *r, const struct node *n, const struct path *at)
{
	struct path all = { .up = at, .name = "projects" };
	struct path one = { .up = &all }, p = { .up = &one, .name = "id" };
	const struct node *list = key_value(n, "projects"), *i, *j, *a, *b;

	if (list == NULL || list->type != NODE_SEQ || list->n > 10000)
		return;
	for (i = list->first; i != NULL; i = i->next, one.index++) {
		a = text_of(i, "id");
		for (j = list->first; a != NULL && j != i; j = j->next)
			if ((b = text_of(j, "id")) != NULL &&
			    strcmp(a->text, b->text) == 0) {
				mistake(
				    r, a, &p, "%.40s is there twice", a->text);
				break;
			}
	}
}

RULE(rule_control)
{
	const struct node *dir = text_of(n, "stateDir");
	struct path p = { .up = at, .name = "stateDir" };

	if (r->slice)
		return;
	if (dir != NULL && dir->text[0] != '/')
		mistake(
		    r, dir, &p, "\"%.60s\" is not an absolute path", dir->text);
	addresses(r, base, n, at);
	check_projects(r, n, at);
}

/* A project's id is part of an agent's token and of objects' names. */
RULE(rule_control_project)
{
	const struct node *id = text_of(n, "id");
	struct path p = { .up = at, .name = "id" };

	(void)base;
	if (id == NULL)
		not_yet(r, n, &p, "missing: its id");
	else if (!conf_repo_id_safe(id->text))
		not_yet(r, id, &p,
		    "\"%.40s\" cannot be a project's id; use up to 100 "
		    "letters, digits, . _ -",
		    id->text);
	p.name = "sharedSsoName";
	if (given(n, p.name))
		not_yet(r, key_value(n, p.name), &p,
		    "this build cannot sign people in elsewhere yet; leave it "
		    "out, and give the project a staticAdmin");
}

/* $2a$10$ and 53 characters. */
static bool
is_bcrypt(const char *s)
{
	static const char alphabet[] = "./ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				       "abcdefghijklmnopqrstuvwxyz0123456789";

	return strlen(s) == 60 && str_prefix(s, "$2") &&
	       strchr("aby", s[2]) != NULL && s[3] == '$' && s[6] == '$' &&
	       strspn(s + 4, "0123456789") == 2 &&
	       strspn(s + 7, alphabet) == 53;
}

RULE(rule_static_admin)
{
	const struct node *hash = key_value(n, "passwordHash");
	struct path p = { .up = at, .name = "passwordHash" };

	(void)base;
	if (hash == NULL)
		hash = key_value(n, "password_hash");
	if (hash == NULL || (hash->type == NODE_STRING && hash->n == 0))
		not_yet(r, n, &p, "missing: a bcrypt hash");
	else if (hash->type == NODE_STRING && !is_bcrypt(hash->text))
		not_yet(r, hash, &p,
		    "not a bcrypt hash ($2a$10$...); make one with "
		    "htpasswd -nBC 10 NAME");
	p.name = "username";
	if (!given(n, p.name))
		not_yet(r, n, &p, "missing: the name");
}

RULE(rule_shared_sso)
{
	(void)base;
	not_yet(r, n, at,
	    "this build cannot sign people in with GitHub, Google or OpenID "
	    "Connect yet; leave it out, and give projects a staticAdmin");
}

RULE(rule_datastore)
{
	const struct node *t = text_of(n, "type");
	struct path p = { .up = at, .name = "type" };

	(void)base;
	if (t == NULL || strcmp(t->text, "LMDB") == 0)
		return;
	if (strcmp(t->text, "MYSQL") == 0 || strcmp(t->text, "FIRESTORE") == 0)
		not_yet(r, t, &p,
		    "%s: this build keeps records in stateDir only; leave "
		    "datastore out, or say type: LMDB",
		    t->text);
	else
		not_yet(
		    r, t, &p, "\"%.40s\" is no type; there is LMDB", t->text);
}

static const struct files_type {
	const char *type, *keys, *needs;
} files_types[] = {
	{ "DIR", "", "" },
	{ "S3", "bucket region profile credentialsFile roleARN tokenFile",
	    "bucket region" },
	{ "MINIO",
	    "endpoint bucket region accessKeyFile secretKeyFile "
	    "autoCreateBucket",
	    "endpoint bucket accessKeyFile secretKeyFile" },
	{ "GCS", "bucket credentialsFile", "" },
};

static bool
listed(const char *list, const char *word)
{
	size_t n = strlen(word);
	const char *s;

	for (s = list; (s = strcasestr(s, word)) != NULL; s += n)
		if ((s == list || s[-1] == ' ') &&
		    (s[n] == ' ' || s[n] == '\0'))
			return true;
	return false;
}

/* Keys of another type, and those that this one needs. */
static void
files_keys(struct reader *r, const struct files_type *t, const struct node *n,
    const struct path *at)
{
	const struct node *c = key_value(n, "config"), *i;
	struct path conf = { .up = at, .name = "config" };
	struct path p = { .up = &conf };
	const struct key *k;
	char *list, *save = NULL;
	int index, off;

	for (i = c != NULL && c->type == NODE_MAP ? c->first : NULL; i != NULL;
	     i = i->next->next) {
		k = key_find(
		    &objects[OBJ_files_config], i->text, false, &index, &off);
		p.name = i->text;
		if (k != NULL && !listed(t->keys, k->name))
			warning(r, i, &p,
			    "type %s has no such key; it does "
			    "nothing",
			    t->type);
	}
	list = arena_strdup(r->a, t->needs);
	for (p.name = strtok_r(list, " ", &save); p.name != NULL;
	     p.name = strtok_r(NULL, " ", &save))
		if (!given(c, p.name))
			not_yet(r, c != NULL ? c : n, &p,
			    "missing, for type %s", t->type);
}

RULE(rule_filestore)
{
	static const char *const later[] = { "roleARN", "tokenFile" };
	const struct node *t = text_of(n, "type"), *c = key_value(n, "config");
	struct path p = { .up = at, .name = "type" };
	struct path conf = { .up = at, .name = "config" };
	size_t i;

	(void)base;
	if (r->slice)
		return;
	for (i = 0; i < NITEMS(files_types); i++)
		if (strcmp(t != NULL ? t->text : "DIR", files_types[i].type) ==
		    0)
			files_keys(r, &files_types[i], n, at);
	if (t == NULL)
		return;
	if (strcmp(t->text, "GCS") == 0)
		not_yet(r, t, &p,
		    "GCS: this build cannot use it yet; S3 and MINIO (any "
		    "server that speaks S3, Google's too) it can, and DIR");
	else if (strcmp(t->text, "DIR") != 0 && strcmp(t->text, "S3") != 0 &&
		 strcmp(t->text, "MINIO") != 0)
		not_yet(r, t, &p,
		    "\"%.40s\" is no type; there is DIR, S3 and MINIO",
		    t->text);
	p.up = &conf;
	for (i = 0; i < NITEMS(later); i++) {
		p.name = later[i];
		if (strcmp(t->text, "S3") == 0 && given(c, later[i]))
			not_yet(r, key_value(c, later[i]), &p,
			    "this build takes no roles yet; name a "
			    "credentialsFile with keys of its own");
	}
}

RULE(rule_insight)
{
	const struct node *s = text_of(n, "schedule");
	struct path p = { .up = at, .name = "schedule" };
	int64_t next;

	(void)base;
	if (s != NULL && conf_cron(&next, s->text, 0) == -1)
		mistake(r, s, &p,
		    "\"%.40s\" is not a cron line of five fields: minute hour "
		    "day month weekday",
		    s->text);
}

RULE(rule_webhook)
{
	const struct node *d = text_of(n, "secretData");
	struct path p = { .up = at, .name = "secretData" };
	struct buf b = BUF_INIT;
	int file = given(n, "secretFile"), data = given(n, "secretData");

	(void)base;
	if (r->slice)
		return;
	if (file == data)
		mistake(r, n, at,
		    file ? "secretFile and secretData are both there; leave "
			   "one out"
			 : "secretFile or secretData: missing; nobody unsigned "
			   "is listened to");
	if (d != NULL && base64_decode(&b, d->text, d->n) == -1)
		mistake(r, d, &p, "not base64");
	buf_free(&b);
}

/* --- the whole -------------------------------------------------------------
 */

void
control_spec(struct reader *r, struct conf_control *c, const struct envelope *v)
{
	struct node none = { .type = NODE_MAP, .line = 1, .col = 1 };

	memset(c, 0, sizeof(*c));
	r->strict = true;
	envelope_keys(r, v);
	if (v->slice != NULL && v->slice->type == NODE_STRING)
		c->slice = arena_strdup(r->a, v->slice->text);
	read_object(r, &objects[OBJ_control], v->spec != NULL ? v->spec : &none,
	    c, NULL);
	if (c->web_address == NULL)
		c->web_address = arena_printf(r->a, "http%s://%s",
		    c->tls.cert_file != NULL ? "s" : "", c->address);
}

int
conf_control_read(struct conf_control *c, const char *name, const char *text,
    size_t n, struct arena *a, struct conf_report *out, struct err *e)
{
	struct path at = { .name = "kind" };
	struct envelope v;
	struct reader r;

	memset(c, 0, sizeof(*c));
	reader_init(&r, name, a);
	r.run = true;
	if (envelope_read(&v, &r, text, n) == 0) {
		if (strcmp(v.kind, "ControlPlane") == 0)
			control_spec(&r, c, &v);
		else
			mistake(&r, key_value(v.root, "kind"), &at,
			    "%.40s is not ControlPlane", v.kind);
	}
	return reader_end(&r, out, e);
}

int
conf_control_open(
    struct conf_control *c, const char *path, struct arena *a, struct err *e)
{
	struct buf text = BUF_INIT, said = BUF_INIT;
	struct conf_report rep = { .text = &said };
	const char *name;
	int rv = conf_text(&text, &name, path, "control-plane.yaml", e);

	if (rv == 0)
		rv = conf_control_read(c, name, text.p, text.len, a, &rep, e);
	if (said.len > 0)
		fputs(said.p, stderr);
	if (rv == -1)
		conf_report_end(&rep, name, e);
	buf_free(&text);
	buf_free(&said);
	return rv;
}
