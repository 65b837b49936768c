#include "base.h"

#include <malloc.h>
#include <poll.h>
#include <time.h>

static int64_t
read_us(clockid_t id)
{
	struct timespec ts;

	must(clock_gettime(id, &ts) == 0);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t
now_us(void)
{
	return read_us(CLOCK_MONOTONIC);
}

int64_t
now_ms(void)
{
	return now_us() / 1000;
}

int64_t
wall_ms(void)
{
	return read_us(CLOCK_REALTIME) / 1000;
}

int64_t
wall_s(void)
{
	return read_us(CLOCK_REALTIME) / 1000000;
}

void
time_iso(char dst[21], int64_t unix_s)
{
	time_t t = (time_t)unix_s;
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL ||
	    strftime(dst, 21, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		dst[0] = '\0';
}

int
poll_idle(struct pollfd *p, unsigned long n, int timeout_ms)
{
	enum {
		CALM_MS = 1000
	};
	static bool trimmed;
	int r;

	if (!trimmed && (timeout_ms < 0 || timeout_ms > CALM_MS)) {
		if ((r = poll(p, n, CALM_MS)) != 0)
			return r;
		(void)malloc_trim(0);
		trimmed = true;
		if (timeout_ms > 0)
			timeout_ms -= CALM_MS;
	}
	if ((r = poll(p, n, timeout_ms)) > 0)
		trimmed = false;
	return r;
}
