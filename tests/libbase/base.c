/* base VERB ARGS...: libbase from a shell, for base.bats. */
#include "base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int
t_clean(char *argv[])
{
	char dst[4097];

	if (!path_clean(dst, argv[0]))
		return RC_NO;
	puts(dst);
	return RC_OK;
}

static int
t_beneath(char *argv[])
{
	int dir = open(argv[0], O_RDONLY | O_DIRECTORY);
	int fd = open_beneath(dir, argv[1], O_RDONLY, 0, argv[2] != NULL);

	if (fd == -1) {
		puts(strerror(errno));
		return RC_NO;
	}
	puts("opened");
	return RC_OK;
}

/* Put, delete and walk many keys against what must be there. */
static int
t_map(char *argv[])
{
	long n = strtol(argv[0], NULL, 10), k, seen = 0;
	struct map *m = map_new();
	char key[32];
	size_t i = 0;
	void *v;

	for (k = 0; k < n; k++) {
		(void)snprintf(key, sizeof(key), "key-%ld", k);
		must(map_put(m, key, &seen) == NULL);
	}
	for (k = 0; k < n; k += 3) {
		(void)snprintf(key, sizeof(key), "key-%ld", k);
		must(map_del(m, key) == &seen && map_get(m, key) == NULL);
	}
	for (k = 0; k < n; k += 6) {
		(void)snprintf(key, sizeof(key), "key-%ld", k);
		must(map_put(m, key, key) == NULL && map_get(m, key) == key);
	}
	while (map_next(m, &i, NULL, &v))
		seen++;
	printf("%ld %zu\n", seen, map_len(m));
	map_free(m);
	return RC_OK;
}

static int
t_run(char *argv[])
{
	struct child c = CHILD_INIT;
	struct buf in = BUF_INIT, out = BUF_INIT, text = BUF_INIT;
	struct err e;
	int rv;

	const char *const *args;

	memcpy(&args, &(char *const *){ argv + 2 }, sizeof(args));
	c.argv = args;
	buf_adds(&in, "to stdin\n");
	rv = child_run(
	    &c, &in, &out, (size_t)atol(argv[1]), &text, atol(argv[0]), &e);
	printf("%d out=%s err=%s%s%s\n", rv, out.p, text.p,
	    rv == -1 ? " why=" : "", rv == -1 ? e.text : "");
	buf_free(&in);
	buf_free(&out);
	buf_free(&text);
	return RC_OK;
}

static int
t_fds(char *argv[])
{
	const char *const args[] = { "ls", "/proc/self/fd", NULL };
	struct child c = CHILD_INIT;
	struct buf out = BUF_INIT;
	struct err e;

	(void)argv;
	c.argv = args;
	c.fd[6] = open("/dev/null", O_RDONLY);
	must(dup2(c.fd[6], 77) == 77); /* must not reach the child */
	if (child_run(&c, NULL, &out, 1000, NULL, 5000, &e) == -1)
		die(&e);
	fputs(out.p, stdout);
	buf_free(&out);
	return RC_OK;
}

static int
t_write(char *argv[])
{
	struct buf b = BUF_INIT;
	struct err e;

	if (file_write(argv[0], argv[1], strlen(argv[1]), 0600, true, &e) == -1)
		die(&e);
	if (file_read(argv[0], 10, &b, &e) == -1)
		die(&e);
	puts(b.p);
	buf_free(&b);
	return RC_OK;
}

static int
t_remove(char *argv[])
{
	struct err e;

	if (tree_remove(argv[0], &e) == -1)
		die(&e);
	return RC_OK;
}

static int
t_log(char *argv[])
{
	log_warn("id", "%s", argv[0]);
	return RC_OK;
}

int
main(int argc, char *argv[])
{
	static const struct {
		const char *name;
		int (*fn)(char *argv[]);
	} verbs[] = { { "clean", t_clean }, { "beneath", t_beneath },
		{ "map", t_map }, { "run", t_run }, { "fds", t_fds },
		{ "write", t_write }, { "remove", t_remove },
		{ "log", t_log } };
	size_t i;

	log_open("base", LOG_INFO);
	for (i = 0; argc >= 2 && i < NITEMS(verbs); i++)
		if (strcmp(verbs[i].name, argv[1]) == 0)
			return verbs[i].fn(argv + 2);
	usage("base verb [arg ...]");
}
