#include "read.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * Scalars as Go's time.ParseDuration and PipeCD's own types read them.
 */

/* Nanoseconds of a unit, and how long its name is. */
static int64_t
unit_ns(const char *s, size_t *n, bool days)
{
	static const struct {
		const char *name;
		int64_t ns;
	} units[] = {
		{ "ns", 1 },
		{ "us", 1000 },
		{ "\xc2\xb5s", 1000 },
		{ "\xce\xbcs", 1000 },
		{ "ms", 1000000 },
		{ "s", 1000000000 },
		{ "m", 60000000000 },
		{ "h", 3600000000000 },
		{ "d", 86400000000000 },
	};
	size_t i;

	for (i = 0; i < NITEMS(units) - (days ? 0 : 1); i++) {
		*n = strlen(units[i].name);
		if (strncmp(s, units[i].name, *n) == 0 &&
		    (s[*n] == '\0' || s[*n] == '.' || s[*n] == '-' ||
			(s[*n] >= '0' && s[*n] <= '9')))
			return units[i].ns;
	}
	return 0;
}

int
conf_duration_days(int64_t *ms, const char *s, bool days)
{
	bool minus = *s == '-', any;
	int64_t ns = 0, whole, unit;
	double part, scale;
	size_t n;

	s += *s == '-' || *s == '+';
	if (strcmp(s, "0") == 0) {
		*ms = 0;
		return 0;
	}
	if (*s == '\0')
		return -1;
	while (*s != '\0') {
		any = false;
		for (whole = 0; *s >= '0' && *s <= '9'; s++, any = true) {
			if (__builtin_mul_overflow(whole, 10, &whole) ||
			    __builtin_add_overflow(whole, *s - '0', &whole))
				return -1;
		}
		part = 0;
		if (*s == '.') {
			for (s++, scale = 0.1; *s >= '0' && *s <= '9';
			     s++, scale /= 10, any = true)
				part += (*s - '0') * scale;
		}
		if (!any || (unit = unit_ns(s, &n, days)) == 0 ||
		    __builtin_mul_overflow(whole, unit, &whole) ||
		    __builtin_add_overflow(ns, whole, &ns) ||
		    __builtin_add_overflow(
			ns, (int64_t)(part * (double)unit), &ns))
			return -1;
		s += n;
	}
	/* Less than a millisecond is not nothing. */
	*ms = ns / 1000000 + (ns % 1000000 != 0);
	if (minus)
		*ms = -*ms;
	return 0;
}

int
conf_duration(int64_t *ms, const char *s)
{
	return conf_duration_days(ms, s, false);
}

static int
number(int64_t *v, const char *s, const char **end)
{
	char *p;

	if (!(*s >= '0' && *s <= '9') && *s != '-' && *s != '+')
		return -1;
	errno = 0;
	*v = strtoll(s, &p, 10);
	*end = p;
	return errno != 0 || p == s || p[-1] < '0' ? -1 : 0;
}

int
conf_percent(int *percent, const char *s)
{
	const char *end;
	int64_t v;

	if (number(&v, s, &end) == -1 || v > INT32_MAX || v < INT32_MIN)
		return -1;
	if (*end == '%')
		end++;
	if (*end != '\0')
		return -1;
	*percent = (int)v;
	return 0;
}

int
conf_replicas(int64_t *n, const char *s, int64_t total, int64_t dflt)
{
	const char *end;
	int64_t v;

	if (s == NULL) {
		*n = dflt;
		return 0;
	}
	if (number(&v, s, &end) == -1)
		return -1;
	if (*end == '%' && end[1] == '\0') {
		if (__builtin_mul_overflow(v, total, n))
			return -1;
		*n = *n > 0 ? (*n + 99) / 100 : *n / 100;
		return 0;
	}
	if (*end != '\0')
		return -1;
	*n = v == 0 ? dflt : v;
	return 0;
}
