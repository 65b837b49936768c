/*
 * Journal lines of somebody's disk: the reader, and what they amount to.
 * needs: libjournal
 *
 * The input is lines without seq and prev, so that most of it gets past the
 * chain; a first byte of '!' hands it over as it is.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static int
file_of(const void *p, size_t n)
{
	int fd = memfd_create("journal", MFD_CLOEXEC);

	must(fd != -1 && write_all(fd, p, n) == 0 &&
	     lseek(fd, 0, SEEK_SET) == 0);
	return fd;
}

static void
replay(int fd)
{
	struct arena *a = arena_new();
	struct journal_reader r;
	struct journal_state s;
	struct err e;
	size_t i;

	journal_state_init(&s, a);
	must(journal_reader_fd(&r, fd, "journal", &e) == 0);
	if (journal_replay(&s, &r, &e) == 0 && s.deployment != NULL)
		for (i = 0; i < s.n_stages; i++) {
			(void)journal_stage_plan(
			    &s, s.deployment->stages[i]->id);
			(void)journal_meta(s.deployment->stages[i], "k");
		}
	journal_reader_close(&r);
	arena_free(a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const char *s = (const char *)p, *nl;
	struct journal j;

	if (n > 0 && *s == '!') {
		replay(file_of(s + 1, n - 1));
		return 0;
	}
	journal_init(&j, "d");
	for (; n > 0; n -= (size_t)(nl - s) + 1, s = nl + 1) {
		if ((nl = memchr(s, '\n', n)) == NULL)
			break;
		if (nl - s > 1 && nl[-1] == '}')
			journal_add(&j, s, (size_t)(nl - s));
	}
	if (j.wait.len > 0)
		replay(file_of(j.wait.p, j.wait.len));
	journal_close(&j);
	return 0;
}
