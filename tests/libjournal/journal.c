/*
 * What libjournal does, for tests: frames on stdin.
 *	journal add DIR ID	append them, one flush and sync each
 *	journal lose DIR ID	the same, as if the sync of the last one failed
 *	journal apps DIR	put every past frame, compact, say the lines
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "journal.h"

static int
add(const char *dir, const char *id, bool lose)
{
	struct frame_reader in = { .in = stdin, .name = "stdin" };
	struct journal_reader r;
	struct journal j, *list[1] = { &j };
	struct arena *a = arena_new();
	struct frame f;
	struct err e;
	char name[JOURNAL_NAME];
	int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd;

	if (journal_name(name, id, &e) == -1)
		die(&e);
	journal_init(&j, id);
	if ((fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC)) != -1) {
		if (journal_reader_fd(&r, fd, name, &e) == -1)
			die(&e);
		while ((fd = journal_next(&r, &f, a, &e)) != 2)
			if (fd == -1)
				die(&e);
		journal_follow(&j, &r);
		journal_reader_close(&r);
	}
	while (frame_next(&in, &f, a, &e) != 2) {
		journal_add(&j, in.line, (size_t)in.len);
		if (journal_flush(&j, dirfd, &e) == -1 ||
		    journal_sync(list, 1, dirfd, -1, &e) == -1)
			die(&e);
	}
	if (lose && journal_rescue(&j, dirfd, &e) == -1)
		die(&e);
	printf("%lld %s\n", (long long)j.seq, j.prev);
	journal_close(&j);
	frame_reader_free(&in);
	arena_free(a);
	return 0;
}

static int
apps(const char *dir)
{
	struct frame_reader in = { .in = stdin, .name = "stdin" };
	struct arena *a = arena_new();
	struct apps *x;
	struct frame f;
	struct err e;
	const char *line;
	size_t i = 0, len;
	int rv;

	if ((x = apps_open(dir, true, &e)) == NULL)
		die(&e);
	while ((rv = frame_next(&in, &f, a, &e)) != 2) {
		if (rv == -1)
			die(&e);
		apps_put(x, f.u.past);
		if (apps_flush(x, &e) == -1 || apps_compact(x, &e) == -1)
			die(&e);
		arena_reset(a);
	}
	while (apps_next(x, &i, &line, &len))
		fwrite(line, 1, len, stdout);
	apps_close(x);
	frame_reader_free(&in);
	arena_free(a);
	return 0;
}

int
main(int argc, char *argv[])
{
	log_open("journal", LOG_INFO);
	if (argc == 4 && strcmp(argv[1], "add") == 0)
		return add(argv[2], argv[3], false);
	if (argc == 4 && strcmp(argv[1], "lose") == 0)
		return add(argv[2], argv[3], true);
	if (argc == 3 && strcmp(argv[1], "apps") == 0)
		return apps(argv[2]);
	usage("journal add|lose DIR ID | apps DIR");
}
