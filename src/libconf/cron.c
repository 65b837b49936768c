#include "conf.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/*
 * Lines of cron, as PipeCD's scheduler has them: minute, hour, day, month,
 * weekday, each *, a number, a range, a step or a list of these; months and
 * weekdays also by name; @hourly and its like.  In UTC.
 */

struct cron {
	uint64_t minute, hour, day, month, weekday; /* a bit each */
	bool any_day, any_weekday;
};

static const char months[] = "janfebmaraprmayjunjulaugsepoctnovdec";
static const char weekdays[] = "sunmontuewedthufrisat";

/* A number, or one of three-letter names; -1: neither. */
static int
number(const char **s, const char *names, int base)
{
	char *end;
	size_t i;
	long n;

	if (**s >= '0' && **s <= '9') {
		n = strtol(*s, &end, 10);
		*s = end;
		return n < 100 ? (int)n : -1;
	}
	for (i = 0; names != NULL && names[i] != '\0'; i += 3)
		if (strncasecmp(*s, names + i, 3) == 0) {
			*s += 3;
			return (int)(i / 3) + base;
		}
	return -1;
}

static int
field(uint64_t *bits, const char *s, int min, int max, const char *names)
{
	int from, to, step, n;

	*bits = 0;
	for (;;) {
		step = 1;
		if (*s == '*' || *s == '?') {
			s++;
			from = min;
			to = max;
		} else {
			if ((from = number(&s, names, min)) == -1)
				return -1;
			to = from;
			if (*s == '-') {
				s++;
				if ((to = number(&s, names, min)) == -1)
					return -1;
			} else if (*s == '/')
				to = max;
		}
		if (*s == '/') {
			s++;
			if ((step = number(&s, NULL, 0)) < 1)
				return -1;
		}
		if (from < min || to > max || from > to)
			return -1;
		for (n = from; n <= to; n += step)
			*bits |= UINT64_C(1) << n;
		if (*s == '\0')
			return 0;
		if (*s++ != ',')
			return -1;
	}
}

static int
parse(struct cron *c, const char *line)
{
	static const char *const named[][2] = {
		{ "@yearly", "0 0 1 1 *" },
		{ "@annually", "0 0 1 1 *" },
		{ "@monthly", "0 0 1 * *" },
		{ "@weekly", "0 0 * * 0" },
		{ "@daily", "0 0 * * *" },
		{ "@midnight", "0 0 * * *" },
		{ "@hourly", "0 * * * *" },
	};
	char text[256], *f[6], *save = NULL, *s;
	size_t i, n = 0;

	for (i = 0; i < NITEMS(named); i++)
		if (strcmp(named[i][0], line) == 0)
			line = named[i][1];
	if (strlen(line) >= sizeof(text))
		return -1;
	strcpy(text, line);
	for (s = strtok_r(text, " \t", &save); s != NULL;
	     s = strtok_r(NULL, " \t", &save)) {
		if (n == 5)
			return -1;
		f[n++] = s;
	}
	if (n != 5 || field(&c->minute, f[0], 0, 59, NULL) == -1 ||
	    field(&c->hour, f[1], 0, 23, NULL) == -1 ||
	    field(&c->day, f[2], 1, 31, NULL) == -1 ||
	    field(&c->month, f[3], 1, 12, months) == -1 ||
	    field(&c->weekday, f[4], 0, 6, weekdays) == -1)
		return -1;
	c->any_day = *f[2] == '*' || *f[2] == '?';
	c->any_weekday = *f[4] == '*' || *f[4] == '?';
	return 0;
}

/* With a day and a weekday both named, either will do. */
static bool
right_day(const struct cron *c, const struct tm *tm)
{
	bool day = c->day >> tm->tm_mday & 1,
	     week = c->weekday >> tm->tm_wday & 1;

	if (c->any_day || c->any_weekday)
		return day && week;
	return day || week;
}

int
conf_cron(int64_t *next, const char *line, int64_t after)
{
	time_t t = (time_t)(after / 60 * 60 + 60), end = t + 8 * 366 * 86400;
	struct cron c;
	struct tm tm;

	if (parse(&c, line) == -1)
		return -1;
	while (t < end) {
		if (gmtime_r(&t, &tm) == NULL)
			return -1;
		if (!(c.month >> (tm.tm_mon + 1) & 1) || !right_day(&c, &tm))
			t += 86400 - t % 86400;
		else if (!(c.hour >> tm.tm_hour & 1))
			t += 3600 - t % 3600;
		else if (!(c.minute >> tm.tm_min & 1))
			t += 60;
		else {
			*next = t;
			return 0;
		}
	}
	return -1;
}
