/*
 * Whose a deployment or an application is.  An agent reports many times about
 * the same few, and asking the store each time would double its work.
 */
#include <stdlib.h>
#include <string.h>

#include "api.h"

enum {
	SLOTS = 2048,
	ID_MAX = 40
};

struct owners {
	struct slot {
		char id[ID_MAX], piped_id[ID_MAX];
	} slot[SLOTS];
};

struct owners *
owners_new(void)
{
	return xcalloc(1, sizeof(struct owners));
}

void
owners_free(struct owners *o)
{
	free(o);
}

static struct slot *
slot_of(const struct owners *o, const char *id)
{
	uint32_t h = 2166136261u;

	for (; *id != '\0'; id++)
		h = (h ^ (unsigned char)*id) * 16777619u;
	return (struct slot *)(uintptr_t)&o->slot[(h ^ h >> 15) % SLOTS];
}

bool
owners_know(const struct owners *o, const char *id, const char *piped_id)
{
	const struct slot *s = slot_of(o, id);

	return *s->id != '\0' && strcmp(s->id, id) == 0 &&
	       strcmp(s->piped_id, piped_id) == 0;
}

void
owners_learn(struct owners *o, const char *id, const char *piped_id)
{
	struct slot *s = slot_of(o, id);

	if (strlen(id) >= ID_MAX || strlen(piped_id) >= ID_MAX)
		return;
	strcpy(s->id, id);
	strcpy(s->piped_id, piped_id);
}

void
owners_forget(struct owners *o, const char *id)
{
	struct slot *s;

	if (id == NULL) {
		memset(o, 0, sizeof(*o));
		return;
	}
	s = slot_of(o, id);
	if (strcmp(s->id, id) == 0)
		*s->id = '\0';
}

/* --- going on only with what is one's own ------------------------------------ */

struct own {
	const char *id;
	const char *noun;
	unsigned piped_field, project_field;
	void (*then)(struct call *c);
};

static void
own_known(struct call *c, const Store__Reply *r)
{
	const struct own *o = c->own;
	const Store__Record *rec;

	if (!went_well(c, r, o->noun))
		return;
	rec = r->records[0];
	if (!wire_is(rec->value.data, rec->value.len, o->project_field,
		c->who.project) ||
	    !wire_is(
		rec->value.data, rec->value.len, o->piped_field, c->who.id)) {
		not_yours(c, o->noun);
		return;
	}
	owners_learn(c->api->owners, o->id, c->who.id);
	o->then(c);
}

static void
own(struct call *c, const char *id, const struct own *what)
{
	struct own *o;

	if (owners_know(c->api->owners, id, c->who.id)) {
		what->then(c);
		return;
	}
	c->own = o = arena_new_of(c->a, struct own);
	*o = *what;
	o->id = id;
	ask_get(c, o->noun, id, own_known);
}

void
own_deployment(struct call *c, const char *id, void (*then)(struct call *c))
{
	/* The numbers of piped_id and project_id in model.Deployment. */
	own(c, id, &(struct own){ NULL, "deployment", 5, 6, then });
}

void
own_application(struct call *c, const char *id, void (*then)(struct call *c))
{
	own(c, id, &(struct own){ NULL, "application", 4, 5, then });
}
