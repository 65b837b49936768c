#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "summary.h"

enum {
	DAY = 86400,
	BUCKETS_MAX = 1100, /* three years of days */
};

/* "30d", "2w", "36h", "90m": seconds, or -1. */
static int64_t
span(const char *s)
{
	int64_t sum = 0, n, unit;
	char *end;

	if (!isdigit((unsigned char)*s))
		return -1;
	while (*s != '\0') {
		if (!isdigit((unsigned char)*s))
			return -1;
		n = strtoll(s, &end, 10);
		unit = *end == 'w'   ? 7 * DAY
		       : *end == 'd' ? DAY
		       : *end == 'h' ? 3600
		       : *end == 'm' ? 60
		       : *end == 's' ? 1
				     : 0;
		if (unit == 0 || end - s > 6)
			return -1;
		sum += n * unit;
		s = end + 1;
	}
	return sum;
}

/* A date is its first second; `*whole` says that it was one. */
static int
instant(int64_t *t, bool *whole, const char *s, int64_t now)
{
	struct tm tm = { 0 };
	const char *end;
	int64_t ago;

	*whole = false;
	if (strcmp(s, "now") == 0) {
		*t = now + 1; /* what ended just now counts */
		return 0;
	}
	if ((ago = span(s)) >= 0) {
		*t = now - ago;
		return 0;
	}
	end = strptime(s, "%Y-%m-%d", &tm);
	*whole = end != NULL && *end == '\0';
	if (end != NULL && *end == 'T')
		end = strptime(end, "T%H:%M:%SZ", &tm);
	if (end == NULL || *end != '\0')
		return -1;
	*t = timegm(&tm);
	/* strptime takes a 31st of February; timegm makes it March. */
	return *t < 0 || tm.tm_mday != atoi(s + 8) ? -1 : 0;
}

int
range_parse(struct range *r, const char *since, const char *until,
    const char *by, int64_t now, struct err *e)
{
	static const char want[] =
	    "is neither a span (30d, 2w, 36h) nor a date (2026-11-21, "
	    "2026-11-21T08:00:00Z)";
	bool whole;
	int64_t n;

	if (strcmp(by, "day") == 0)
		r->step = DAY;
	else if (strcmp(by, "week") == 0)
		r->step = 7 * DAY;
	else
		return err_set(
		    e, RC_PERM, "--by %s: is neither day nor week", by);
	if (instant(&r->until, &whole, until, now) == -1)
		return err_set(e, RC_PERM, "--until %s: %s", until, want);
	/* A day that is named is meant to its end. */
	if (whole)
		r->until += DAY;
	if (instant(&r->since, &whole, since, r->until) == -1)
		return err_set(e, RC_PERM, "--since %s: %s", since, want);
	if (r->since < 0)
		r->since = 0;
	if (r->since >= r->until)
		return err_set(e, RC_PERM,
		    "--since %s is not before --until %s", since, until);
	/* Buckets are whole; 1970-01-01 was a Thursday, weeks are ISO's. */
	if (r->step == DAY)
		r->since -= r->since % DAY;
	else
		r->since -= (r->since + 3 * DAY) % r->step;
	n = (r->until - r->since + r->step - 1) / r->step;
	if (n > BUCKETS_MAX)
		return err_set(e, RC_PERM, "--since %s: more than %d %ss%s",
		    since, BUCKETS_MAX, by,
		    r->step == DAY ? ": use --by week" : "");
	r->n = (size_t)n;
	return 0;
}

void
range_day(char dst[11], const struct range *r, size_t bucket)
{
	char iso[21];

	time_iso(iso, r->since + (int64_t)bucket * r->step);
	memcpy(dst, iso, 10);
	dst[10] = '\0';
}
