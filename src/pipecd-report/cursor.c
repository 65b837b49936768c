/*
 * How far a journal was delivered, in files of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "door.h"

enum {
	CURSOR_MAX = 1024
};

char *
cursor_name(struct door *d, const struct follow *f, const char *suffix)
{
	return arena_printf(d->turn, "cursor/%s%s", f->id, suffix);
}

void
cursor_save(struct door *d, struct follow *f)
{
	struct buf b = BUF_INIT;
	struct err e;
	char *path;

	f->saved_at = 0;
	buf_printf(&b, "1 %" PRId64 " %" PRId64 " %" PRId64 " %s %s\n",
	    f->offset, f->seq, f->created_at, f->prev,
	    f->line != NULL ? f->line->key : "-");
	path = arena_printf(
	    d->turn, "%s/report/cursor/%s", d->conf->state_dir, f->id);
	if (file_write(path, b.p, b.len, 0600, true, &e) == -1)
		log_warn(f->id, "%s", e.text);
	buf_free(&b);
}

/* Delivered to its end: nothing but that is to be remembered. */
void
cursor_done(struct door *d, struct follow *f)
{
	int fd = openat(d->dir, cursor_name(d, f, ".done"),
	    O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd == -1) {
		log_warn(f->id, "%s/report/cursor/%s.done: %s",
		    d->conf->state_dir, f->id, strerror(errno));
		return;
	}
	if (fsync(fd) == -1)
		log_warn(f->id, "cursor: %s", strerror(errno));
	close(fd);
	(void)unlinkat(d->dir, cursor_name(d, f, ""), 0);
}

/* Its place and its application, from an earlier life of ours. */
void
cursor_load(struct door *d, struct follow *f, char key[256])
{
	char text[CURSOR_MAX], prev[128];
	int fd = openat(
	    d->dir, cursor_name(d, f, ""), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	int64_t offset, seq, created;
	ssize_t n = -1;

	key[0] = '\0';
	if (fd == -1)
		return;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return;
	text[n] = '\0';
	if (sscanf(text, "1 %" SCNd64 " %" SCNd64 " %" SCNd64 " %127s %255s",
		&offset, &seq, &created, prev, key) != 5 ||
	    strlen(prev) != SHA256_HEX - 1 || offset < 0 || seq < 0) {
		log_warn(f->id, "cursor is none: sent from the beginning");
		key[0] = '\0';
		return;
	}
	if (strcmp(key, "-") == 0)
		key[0] = '\0';
	f->offset = offset;
	f->seq = seq;
	f->created_at = created;
	memcpy(f->prev, prev, SHA256_HEX);
}
