/*
 * said.c - what the last run of a pipe said of applications that are wrong or
 * gone.  It is said each time, for who asks what is; what is the same is marked
 * as no news.  A cache: lost, all is news once more.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan.h"

enum {
	SAID_MAX = 16 * 1024 * 1024
};

static char *
said_path(const struct plan *p, const char *name, struct arena *a)
{
	return arena_printf(a, "%s/cache%s", p->conf.state_dir, name);
}

static void
said_put(struct map *m, const char *id, const char *hash)
{
	free(map_put(m, id, xstrdup(hash)));
}

void
said_open(struct plan *p)
{
	struct buf b = BUF_INIT;
	char *line, *save = NULL, *space;
	struct err e;

	if (!p->filter)
		return;
	p->said = map_new();
	p->saying = map_new();
	if (file_read(said_path(p, "/plan.said", p->conf_arena), SAID_MAX, &b,
		&e) == 1)
		for (line = strtok_r(b.p, "\n", &save); line != NULL;
		     line = strtok_r(NULL, "\n", &save))
			if ((space = strchr(line, ' ')) != NULL) {
				*space = '\0';
				said_put(p->said, line, space + 1);
			}
	buf_free(&b);
}

bool
said_before(struct plan *p, const char *id, const char *text)
{
	char hash[SHA256_HEX];
	const char *was;

	if (p->said == NULL)
		return false;
	sha256_hex(hash, text, strlen(text));
	said_put(p->saying, id, hash);
	was = map_get(p->said, id);
	return was != NULL && strcmp(was, hash) == 0;
}

static void
said_free(struct map *m)
{
	const char *id;
	size_t i = 0;
	void *v;

	while (map_next(m, &i, &id, &v))
		free(v);
	map_free(m);
}

void
said_close(struct plan *p)
{
	struct buf b = BUF_INIT;
	const char *id;
	struct err e;
	size_t i = 0, k;
	void *v;

	if (p->said == NULL)
		return;
	/* Of a repository that was not looked at, nothing was said. */
	for (k = 0; k < p->n_repos && p->repos[k].head[0] != '\0'; k++)
		;
	while (k < p->n_repos && map_next(p->said, &i, &id, &v))
		if (map_get(p->saying, id) == NULL)
			said_put(p->saying, id, v);
	i = 0;
	while (map_next(p->saying, &i, &id, &v))
		buf_printf(&b, "%s %s\n", id, (const char *)v);
	if ((map_len(p->saying) > 0 || map_len(p->said) > 0) &&
	    (dir_make(said_path(p, "", p->conf_arena), 0700, &e) == -1 ||
		file_write(said_path(p, "/plan.said", p->conf_arena), b.p,
		    b.len, 0600, false, &e) == -1))
		log_debug("-", "what was said is not remembered: %s", e.text);
	buf_free(&b);
	said_free(p->said);
	said_free(p->saying);
	p->said = p->saying = NULL;
}
