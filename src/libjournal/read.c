#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "journal.h"

static const char zeros[SHA256_HEX] =
    "0000000000000000000000000000000000000000000000000000000000000000";

int
journal_reader_fd(
    struct journal_reader *r, int fd, const char *name, struct err *e)
{
	*r = (struct journal_reader){ .name = name };
	strcpy(r->prev, zeros);
	if ((r->in = fdopen(fd, "r")) == NULL) {
		err_sys(e, "open %s", name);
		close(fd);
		return -1;
	}
	return 0;
}

int
journal_reader_open(struct journal_reader *r, const char *path, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	*r = (struct journal_reader){ .name = path };
	if (fd == -1)
		return err_sys(e, "open %s", path);
	return journal_reader_fd(r, fd, path, e);
}

void
journal_reader_close(struct journal_reader *r)
{
	if (r->in != NULL)
		fclose(r->in);
	free(r->buf);
	r->in = NULL;
	r->buf = NULL;
}

/*
 * Every line ends exactly as we write it: ,"seq":N,"prev":"64 digits"}
 * Returns N, or -1.
 */
static int64_t
tail_parse(const char *s, size_t n, const char **prev)
{
	static const char seq_is[] = ",\"seq\":", prev_is[] = ",\"prev\":\"";
	const size_t fixed = sizeof(prev_is) - 1 + SHA256_HEX - 1 + 2;
	const char *p, *q;
	int64_t v = 0;

	if (n < fixed + sizeof(seq_is) || s[n - 1] != '}' || s[n - 2] != '"')
		return -1;
	p = s + n - fixed;
	if (memcmp(p, prev_is, sizeof(prev_is) - 1) != 0)
		return -1;
	*prev = p + sizeof(prev_is) - 1;
	for (q = p; q > s && q[-1] >= '0' && q[-1] <= '9'; q--)
		;
	if (q == p || p - q > 18 || q - s < (long)sizeof(seq_is) ||
	    memcmp(q - (sizeof(seq_is) - 1), seq_is, sizeof(seq_is) - 1) != 0)
		return -1;
	for (; q < p; q++)
		v = v * 10 + (*q - '0');
	return v;
}

int
journal_next(
    struct journal_reader *r, struct frame *f, struct arena *a, struct err *e)
{
	const char *prev = NULL;
	ssize_t got;
	int64_t seq;
	size_t n;
	int rv;

	errno = 0;
	if ((got = getline(&r->buf, &r->cap, r->in)) == -1) {
		if (ferror(r->in))
			return err_sys(e, "read %s", r->name);
		return 2;
	}
	n = (size_t)got;
	r->n++;
	if (r->buf[n - 1] != '\n') {
		r->torn = got;
		return 2;
	}
	r->buf[--n] = '\0';
	r->line = r->buf;
	r->line_len = n;
	if (n > FRAME_MAX + 128)
		return err_set(e, RC_PERM, "%s:%ld: a line of %zu bytes",
		    r->name, r->n, n);
	if ((seq = tail_parse(r->buf, n, &prev)) == -1)
		return err_set(e, RC_PERM,
		    "%s:%ld: does not end in seq and prev: not a line of a "
		    "journal, or changed",
		    r->name, r->n);
	if (seq != r->seq + 1)
		return err_set(e, RC_PERM,
		    "%s:%ld: chain broken: seq is %" PRId64
		    ", and should be %" PRId64,
		    r->name, r->n, seq, r->seq + 1);
	if (memcmp(prev, r->prev, SHA256_HEX - 1) != 0)
		return err_set(e, RC_PERM,
		    "%s:%ld: chain broken: prev is not the hash of line %ld, "
		    "so "
		    "that one or this was changed",
		    r->name, r->n, r->n - 1);
	if ((rv = frame_parse(f, r->buf, n, a, e)) == -1)
		return err_wrap(e, "%s:%ld", r->name, r->n);
	r->seq = seq;
	sha256_hex(r->prev, r->buf, n);
	r->len += got;
	return rv;
}

int
journal_again(struct journal_reader *r, struct err *e)
{
	if (r->torn > 0)
		r->n--;
	r->torn = 0;
	clearerr(r->in);
	return fseeko(r->in, r->len, SEEK_SET) == -1
		   ? err_sys(e, "read %s", r->name)
		   : 0;
}
