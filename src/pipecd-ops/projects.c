/*
 * Projects and their admins: those of the configuration, which are always
 * there and are what it says, and those that people add.
 */
#include <string.h>

#include "hash.h"
#include "model/project.pb-c.h"
#include "ops.h"

static int
key_make(struct ops *o, const char *project, const char *username,
    const char *hash, const Store__Reply **r, struct arena *a, struct err *e)
{
	Store__Request q = STORE__REQUEST__INIT;
	Store__KeyMake k = STORE__KEY_MAKE__INIT;

	k.kind = STORE__KEY_KIND__ADMIN;
	k.id = str(project);
	k.username = str(username != NULL ? username : "");
	k.hash = str(hash != NULL ? hash : "");
	k.creator = str("pipecd-ops");
	STORE_ASK(&q, KEY_MAKE, key_make, &k);
	*r = ops_ask(o, &q, a, e);
	return *r != NULL ? 0 : err_wrap(e, "project %s", project);
}

/* 1, or 0: it is there already. */
static int
create(struct ops *o, const char *id, const char *desc, const char *username,
    bool no_admin, struct err *e)
{
	Model__Project p = MODEL__PROJECT__INIT;
	Model__ProjectStaticUser u = MODEL__PROJECT_STATIC_USER__INIT;

	u.username = str(username != NULL ? username : "admin");
	p.id = str(id);
	p.desc = str(desc != NULL ? desc : "");
	p.static_admin = &u;
	p.static_admin_disabled = no_admin;
	return write_one(
	    o, STORE__OP__KIND__CREATE, "project", id, 0, &p.base, e);
}

/* What the configuration says of it, in short. */
static const char *
fingerprint(const struct conf_control_project *c, struct arena *a)
{
	const char *part[] = { c->desc, c->admin_username,
		c->admin_password_hash };
	char *hex = arena_alloc(a, SHA256_HEX);
	struct buf b = BUF_INIT;
	size_t i;

	for (i = 0; i < NITEMS(part); i++) {
		buf_adds(&b, part[i] != NULL ? part[i] : "");
		buf_addc(&b, '\0');
	}
	sha256_hex(hex, b.p, b.len);
	buf_free(&b);
	return hex;
}

static int
update(struct ops *o, const struct conf_control_project *c, Model__Project *p,
    uint64_t version, struct err *e)
{
	p->desc = str(c->desc != NULL ? c->desc : "");
	p->static_admin_disabled = c->admin_username == NULL;
	return write_one(
	    o, STORE__OP__KIND__UPDATE, "project", c->id, version, &p->base, e);
}

static int
one(struct ops *o, const struct conf_control_project *c, struct did *d,
    struct err *e)
{
	struct arena *a = arena_new();
	const char *id = arena_printf(a, "ops/project/%s", c->id);
	const char *now = fingerprint(c, a), *then;
	const Store__Reply *r;
	Model__Project *p;
	uint64_t version;
	int rv, got = ops_get(o, "project", c->id, &model__project__descriptor,
		    &p, &version, a, e);

	if ((rv = got) == -1 || (rv = note_get(o, id, NULL, &then, a, e)) == -1)
		goto out;
	did(d, "projects", 1);
	if (got == 1 && then != NULL && strcmp(now, then) == 0)
		goto out;
	rv = got == 1 ? update(o, c, p, version, e)
		      : create(o, c->id, c->desc, c->admin_username,
			    c->admin_username == NULL, e);
	if (rv == 0)
		rv = err_set(e, RC_TEMP, "project %s: changed meanwhile%s",
		    c->id, got == 1 ? "" : ", or it was deleted");
	if (rv == 1 && c->admin_username != NULL)
		rv = key_make(o, c->id, c->admin_username,
		    c->admin_password_hash, &r, a, e);
	if (rv != -1 && (rv = note_put(o, id, c->id, 0, now, e)) == 0)
		did(d, got == 1 ? "changed" : "added", 1);
out:
	arena_free(a);
	return rv;
}

int
job_projects(struct ops *o, char *const *argv, struct did *d, struct err *e)
{
	size_t i;

	(void)argv;
	did(d, "projects", 0);
	for (i = 0; i < o->conf->n_projects; i++)
		if (one(o, &o->conf->projects[i], d, e) == -1)
			return -1;
	return 0;
}

/* Of those in the configuration the file decides. */
static int
not_configured(struct ops *o, const char *id, struct err *e)
{
	size_t i;

	for (i = 0; i < o->conf->n_projects; i++)
		if (strcmp(o->conf->projects[i].id, id) == 0)
			return err_set(e, RC_PERM,
			    "project %s: it is in the configuration; change it "
			    "there",
			    id);
	return 0;
}

static void
say(struct ops *o, const char *id, const Store__Reply *r, struct did *d)
{
	struct buf b = BUF_INIT;

	/* Names that were checked, and letters and digits. */
	buf_printf(&b,
	    "{\"project\":\"%s\",\"username\":\"%s\",\"password\":\"%s\"}", id,
	    r->username, r->key);
	d->text = arena_strdup(o->arena, b.p);
	explicit_bzero(b.p, b.len);
	buf_free(&b);
}

int
job_project_add(struct ops *o, char *const *argv, struct did *d, struct err *e)
{
	const Store__Reply *r;
	int rv;

	if (!conf_repo_id_safe(argv[0]))
		return err_set(e, RC_PERM,
		    "\"%.40s\" cannot be a project's id; use up to 100 "
		    "letters, digits, . _ -",
		    argv[0]);
	if (not_configured(o, argv[0], e) == -1)
		return -1;
	if ((rv = create(o, argv[0], argv[1], NULL, false, e)) == 0)
		return err_set(
		    e, RC_PERM, "project %s: it is there already", argv[0]);
	if (rv == -1 || key_make(o, argv[0], NULL, NULL, &r, o->arena, e) == -1)
		return -1;
	say(o, argv[0], r, d);
	return 0;
}

int
job_project_reset(
    struct ops *o, char *const *argv, struct did *d, struct err *e)
{
	const Store__Reply *r;
	Model__Project *p;
	uint64_t version;
	int rv;

	if (argv[1] != NULL && !conf_repo_id_safe(argv[1]))
		return err_set(e, RC_PERM,
		    "\"%.40s\" cannot be a name; use letters, digits, . _ -",
		    argv[1]);
	if (not_configured(o, argv[0], e) == -1)
		return -1;
	if ((rv = ops_get(o, "project", argv[0], &model__project__descriptor,
		 &p, &version, o->arena, e)) == 0)
		return err_set(
		    e, RC_PERM, "project %s: there is none", argv[0]);
	if (rv == -1 ||
	    key_make(o, argv[0], argv[1], NULL, &r, o->arena, e) == -1)
		return -1;
	say(o, argv[0], r, d);
	return 0;
}
