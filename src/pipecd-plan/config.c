/* config.c - application configurations, parsed once for each blob. */
#include <stdlib.h>
#include <string.h>

#include "plan.h"

static struct config *
config_find(struct configs *k, const char *blob, const char *path)
{
	struct config *c;
	size_t i;

	for (i = 0; i < CONFIGS; i++) {
		c = &k->at[i];
		if (c->path != NULL && strcmp(c->blob, blob) == 0 &&
		    strcmp(c->path, path) == 0)
			return c;
	}
	return NULL;
}

/* The one that was asked for longest ago, emptied. */
static struct config *
config_evict(struct configs *k)
{
	struct config *c = &k->at[0];
	size_t i;

	for (i = 1; i < CONFIGS; i++) {
		if (k->at[i].used < c->used)
			c = &k->at[i];
	}
	free(c->path);
	c->path = NULL;
	if (c->arena == NULL)
		c->arena = arena_new();
	/* One huge file must not keep its memory. */
	if (arena_size(c->arena) > CONFIG_MAX) {
		arena_free(c->arena);
		c->arena = arena_new();
	}
	arena_reset(c->arena);
	memset(&c->app, 0, sizeof(c->app));
	buf_reset(&c->notes);
	c->bad = false;
	return c;
}

int
config_get(struct configs *k, struct repo *r, const char *commit,
    const char *path, struct config **out, struct err *e)
{
	struct conf_report report = { 0 };
	struct config *c;
	struct buf text = BUF_INIT;
	struct err why;
	char blob[GIT_ID];
	int rv;

	*out = NULL;
	if ((rv = git_path_id(r->git, commit, path, blob, e)) != 1)
		return rv;
	if ((c = config_find(k, blob, path)) != NULL)
		goto out;
	c = config_evict(k);
	report.text = &c->notes;
	if ((rv = git_file_read(
		 r->git, commit, path, CONFIG_MAX, &text, &why)) == -1) {
		if (why.exit == RC_TEMP) {
			*e = why;
			buf_free(&text);
			return -1;
		}
		c->bad = true;
		buf_printf(&c->notes, "%s\n", why.text);
	} else if (rv == 1) {
		k->parsed++;
		rv = conf_app_read(
		    &c->app, path, text.p, text.len, c->arena, &report, &why);
		c->bad = rv == -1;
		if (c->bad && c->notes.len == 0)
			buf_printf(&c->notes, "%s\n", why.text);
	} else {
		c->bad = true;
		buf_printf(&c->notes, "%s: not a regular file\n", path);
	}
	memcpy(c->blob, blob, GIT_ID);
	c->path = xstrdup(path);
	buf_free(&text);
out:
	c->used = ++k->asks;
	*out = c;
	return 1;
}

void
configs_free(struct configs *k)
{
	size_t i;

	for (i = 0; i < CONFIGS; i++) {
		free(k->at[i].path);
		arena_free(k->at[i].arena);
		buf_free(&k->at[i].notes);
	}
}
