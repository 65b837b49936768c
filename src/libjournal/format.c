#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "journal.h"

int
state_format(const char *dir, bool create, struct err *e)
{
	char path[PATH_MAX];
	struct buf b = BUF_INIT;
	int rv = -1, found;
	long n;
	char *end;

	if (snprintf(path, sizeof(path), "%s/format", dir) >= (int)sizeof(path))
		return err_set(e, RC_PERM, "%.80s...: path too long", dir);
	if (create && dir_make(dir, 0700, e) == -1)
		return -1;
	if ((found = file_read(path, 64, &b, e)) == -1)
		goto out;
	if (found == 0) {
		char text[16];
		int len = snprintf(text, sizeof(text), "%d\n", STATE_FORMAT);

		rv = !create
			 ? 0
			 : file_write(path, text, (size_t)len, 0644, true, e);
		goto out;
	}
	errno = 0;
	n = strtol(b.p, &end, 10);
	if (end == b.p || errno != 0 || strspn(end, " \n") != strlen(end) ||
	    n < 1) {
		err_set(e, RC_PERM,
		    "%s: not the number of a format; this build writes %d",
		    path, STATE_FORMAT);
		goto out;
	}
	if (n > STATE_FORMAT) {
		err_set(e, RC_PERM,
		    "%s: format %ld was written by a newer build; this one "
		    "knows "
		    "%d: use the newer build, or another stateDir",
		    path, n, STATE_FORMAT);
		goto out;
	}
	rv = 0;
out:
	buf_free(&b);
	return rv;
}
