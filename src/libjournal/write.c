#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal.h"

enum {
	/* From here on one syncfs costs less than a sync each (measured). */
	SYNC_ALL = 6
};

int
journal_name(char dst[JOURNAL_NAME], const char *id, struct err *e)
{
	size_t n = strspn(id, "abcdefghijklmnopqrstuvwxyz"
			      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");

	if (n == 0 || id[n] != '\0' || n > 63 || id[0] == '.')
		return err_set(e, RC_PERM,
		    "deployment id \"%.80s\" cannot be a file name: letters, "
		    "digits, - and _, at most 63",
		    id);
	memcpy(dst, id, n);
	strcpy(dst + n, ".ndjson");
	return 0;
}

void
journal_init(struct journal *j, const char *id)
{
	*j = (struct journal){ .fd = -1, .wait = BUF_INIT };
	must(strlen(id) < sizeof(j->id));
	strcpy(j->id, id);
	memset(j->prev, '0', SHA256_HEX - 1);
}

void
journal_follow(struct journal *j, const struct journal_reader *r)
{
	j->seq = r->seq;
	memcpy(j->prev, r->prev, sizeof(j->prev));
	j->len = r->len;
}

void
journal_add(struct journal *j, const char *line, size_t len)
{
	size_t start = j->wait.len;

	while (len > 0 && line[len - 1] != '}')
		len--;
	must(len > 1);
	buf_add(&j->wait, line, len - 1);
	buf_printf(&j->wait, ",\"seq\":%" PRId64 ",\"prev\":\"%s\"}", ++j->seq,
	    j->prev);
	sha256_hex(j->prev, j->wait.p + start, j->wait.len - start);
	buf_addc(&j->wait, '\n');
}

void
journal_add_frame(struct journal *j, const struct frame *f)
{
	struct frame plain = *f;
	struct buf b = BUF_INIT;

	plain.seq = 0;
	plain.prev = NULL;
	frame_write(&b, &plain);
	journal_add(j, b.p, b.len);
	buf_free(&b);
}

static int
open_at(struct journal *j, int dirfd, struct err *e)
{
	char name[JOURNAL_NAME];
	struct stat st;

	if (journal_name(name, j->id, e) == -1)
		return -1;
	if (j->len == 0) {
		j->fd = openat(dirfd, name,
		    O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640);
		j->made = true;
	} else
		j->fd = openat(dirfd, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	if (j->fd == -1)
		return err_sys(e, "open journal/%s", name);
	/* What is behind our end is a line cut off by a crash. */
	if (fstat(j->fd, &st) == -1 ||
	    (st.st_size > j->len && ftruncate(j->fd, j->len) == -1)) {
		err_sys(e, "cut journal/%s", name);
		close(j->fd);
		j->fd = -1;
		return -1;
	}
	if (st.st_size < j->len) {
		close(j->fd);
		j->fd = -1;
		return err_set(e, RC_PERM,
		    "journal/%s: %" PRId64 " bytes of it are gone", name,
		    j->len - (int64_t)st.st_size);
	}
	return 0;
}

int
journal_flush(struct journal *j, int dirfd, struct err *e)
{
	size_t done = 0;
	ssize_t n;

	if (j->wait.len == 0)
		return 0;
	if (j->fd == -1 && open_at(j, dirfd, e) == -1)
		return -1;
	while (done < j->wait.len) {
		n = pwrite(j->fd, j->wait.p + done, j->wait.len - done,
		    (off_t)j->len + (off_t)done);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0) {
			if (n == 0)
				errno = ENOSPC;
			return err_sys(e, "write journal/%s.ndjson", j->id);
		}
		done += (size_t)n;
	}
	j->len += (int64_t)done;
	j->dirty = true;
	if (j->wait.cap > 65536)
		buf_free(&j->wait);
	else
		buf_reset(&j->wait);
	return 0;
}

static int
sync_each(struct journal *const *j, size_t n, int dirfd, int also, bool made,
    struct err *e)
{
	size_t i;

	for (i = 0; i < n && n > 1; i++)
		(void)sync_file_range(j[i]->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	for (i = 0; i < n; i++)
		if (fdatasync(j[i]->fd) == -1)
			return err_sys(e, "sync journal/%s.ndjson", j[i]->id);
	if (made && fsync(dirfd) == -1)
		return err_sys(e, "sync journal");
	if (also != -1 && fdatasync(also) == -1)
		return err_sys(e, "sync apps.ndjson");
	return 0;
}

int
journal_sync(
    struct journal *const *j, size_t n, int dirfd, int also, struct err *e)
{
	bool made = false;
	size_t i;

	if (n == 0 && also == -1)
		return 0;
	for (i = 0; i < n; i++) {
		must(j[i]->fd != -1);
		made |= j[i]->made;
	}
	if (n + made + (also != -1) >= SYNC_ALL) {
		if (syncfs(dirfd) == -1)
			return err_sys(e, "sync journal");
	} else if (sync_each(j, n, dirfd, also, made, e) == -1)
		return -1;
	for (i = 0; i < n; i++)
		j[i]->dirty = j[i]->made = false;
	return 0;
}

void
journal_close(struct journal *j)
{
	if (j->fd != -1)
		close(j->fd);
	j->fd = -1;
	buf_free(&j->wait);
}

/*
 * After a sync that failed the kernel may have dropped pages and said so only
 * once.  What is still readable, and hashes to our end, becomes a new file.
 */
int
journal_rescue(struct journal *j, int dirfd, struct err *e)
{
	char name[JOURNAL_NAME], tmp[JOURNAL_NAME + 8], hash[SHA256_HEX];
	struct buf b = BUF_INIT;
	int in = -1, out = -1, rv = -1;
	size_t from, len = (size_t)j->len;
	ssize_t n;

	if (journal_name(name, j->id, e) == -1)
		return -1;
	strcpy(tmp, name);
	strcat(tmp, ".tmp");
	in = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (in == -1) {
		err_sys(e, "open journal/%s", name);
		goto out;
	}
	buf_grow(&b, len + 1);
	while (b.len < len &&
	       (n = pread(in, b.p + b.len, len - b.len, (off_t)b.len)) > 0)
		b.len += (size_t)n;
	for (from = b.len; from > 1 && b.p[from - 2] != '\n'; from--)
		;
	if (b.len == len && len > 0)
		sha256_hex(hash, b.p + from - 1, len - from);
	if (b.len != len || len == 0 || strcmp(hash, j->prev) != 0) {
		err_set(e, RC_TEMP,
		    "journal/%s: the disk lost what was written", name);
		goto out;
	}
	out = openat(dirfd, tmp,
	    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (out == -1 || write_all(out, b.p, b.len) == -1 ||
	    fdatasync(out) == -1 || renameat(dirfd, tmp, dirfd, name) == -1 ||
	    fsync(dirfd) == -1) {
		err_sys(e, "write journal/%s", tmp);
		goto out;
	}
	if (j->fd != -1)
		close(j->fd);
	j->fd = out;
	out = -1;
	j->dirty = j->made = false;
	rv = 0;
out:
	if (in != -1)
		close(in);
	if (out != -1)
		close(out);
	buf_free(&b);
	return rv;
}
