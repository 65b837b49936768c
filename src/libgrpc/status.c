#include <stdio.h>
#include <string.h>

#include "internal.h"

/* The three faces of a status: gRPC's name, Connect's, and HTTP's number. */
static const struct {
	const char *name, *json;
	int http;
} codes[GRPC__CODES] = {
	[GRPC_OK] = { "OK", "ok", 200 },
	[GRPC_CANCELLED] = { "CANCELLED", "canceled", 499 },
	[GRPC_UNKNOWN] = { "UNKNOWN", "unknown", 500 },
	[GRPC_INVALID_ARGUMENT] = { "INVALID_ARGUMENT", "invalid_argument",
	    400 },
	[GRPC_DEADLINE_EXCEEDED] = { "DEADLINE_EXCEEDED", "deadline_exceeded",
	    504 },
	[GRPC_NOT_FOUND] = { "NOT_FOUND", "not_found", 404 },
	[GRPC_ALREADY_EXISTS] = { "ALREADY_EXISTS", "already_exists", 409 },
	[GRPC_PERMISSION_DENIED] = { "PERMISSION_DENIED", "permission_denied",
	    403 },
	[GRPC_RESOURCE_EXHAUSTED] = { "RESOURCE_EXHAUSTED",
	    "resource_exhausted", 429 },
	[GRPC_FAILED_PRECONDITION] = { "FAILED_PRECONDITION",
	    "failed_precondition", 400 },
	[GRPC_ABORTED] = { "ABORTED", "aborted", 409 },
	[GRPC_OUT_OF_RANGE] = { "OUT_OF_RANGE", "out_of_range", 400 },
	[GRPC_UNIMPLEMENTED] = { "UNIMPLEMENTED", "unimplemented", 501 },
	[GRPC_INTERNAL] = { "INTERNAL", "internal", 500 },
	[GRPC_UNAVAILABLE] = { "UNAVAILABLE", "unavailable", 503 },
	[GRPC_DATA_LOSS] = { "DATA_LOSS", "data_loss", 500 },
	[GRPC_UNAUTHENTICATED] = { "UNAUTHENTICATED", "unauthenticated", 401 },
};

static int
known(int code)
{
	return code >= 0 && code < GRPC__CODES ? code : GRPC_UNKNOWN;
}

const char *
grpc_code_name(int code)
{
	return codes[known(code)].name;
}

const char *
status_json(int code)
{
	return codes[known(code)].json;
}

int
status_http(int code)
{
	return codes[known(code)].http;
}

/* An answer that is no gRPC: a proxy's, as gRPC maps it. */
int
status_of_http(int status)
{
	switch (status) {
	case 400:
		return GRPC_INTERNAL;
	case 401:
		return GRPC_UNAUTHENTICATED;
	case 403:
		return GRPC_PERMISSION_DENIED;
	case 404:
		return GRPC_UNIMPLEMENTED;
	case 429:
	case 502:
	case 503:
	case 504:
		return GRPC_UNAVAILABLE;
	default:
		return GRPC_UNKNOWN;
	}
}

int
status_of_h2(uint32_t error)
{
	switch (error) {
	case NGHTTP2_REFUSED_STREAM:
		return GRPC_UNAVAILABLE;
	case NGHTTP2_CANCEL:
		return GRPC_CANCELLED;
	case NGHTTP2_ENHANCE_YOUR_CALM:
		return GRPC_RESOURCE_EXHAUSTED;
	case NGHTTP2_INADEQUATE_SECURITY:
		return GRPC_PERMISSION_DENIED;
	default:
		return GRPC_INTERNAL;
	}
}

/* grpc-message: printable ASCII but '%' as it is, the rest as %XX. */
void
percent_encode(struct buf *b, const char *s)
{
	for (; *s != '\0'; s++) {
		if (*s >= ' ' && *s <= '~' && *s != '%')
			buf_addc(b, *s);
		else
			buf_printf(b, "%%%02X", (unsigned char)*s);
	}
}

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* What is no valid escape stays as it is; a NUL is none. */
char *
percent_decode(struct arena *a, const char *s)
{
	char *r = arena_alloc(a, strlen(s) + 1), *p = r;

	for (; *s != '\0'; s++) {
		if (*s == '%' && hex(s[1]) != -1 && hex(s[2]) != -1 &&
		    hex(s[1]) + hex(s[2]) != 0) {
			*p++ = (char)(hex(s[1]) << 4 | hex(s[2]));
			s += 2;
		} else {
			*p++ = *s;
		}
	}
	*p = '\0';
	return r;
}

/* One to eight digits and a unit, and nothing else. */
int64_t
timeout_parse(const char *s)
{
	static const struct {
		char unit;
		int64_t ns;
	} units[] = {
		{ 'H', 3600000000000 },
		{ 'M', 60000000000 },
		{ 'S', 1000000000 },
		{ 'm', 1000000 },
		{ 'u', 1000 },
		{ 'n', 1 },
	};
	int64_t v = 0;
	size_t i, n = strspn(s, "0123456789");

	if (n == 0 || n > 8 || s[n] == '\0' || s[n + 1] != '\0')
		return -1;
	for (i = 0; i < n; i++)
		v = v * 10 + (s[i] - '0');
	for (i = 0; i < NITEMS(units); i++) {
		/* 99999999 hours are more nanoseconds than there are. */
		if (s[n] == units[i].unit)
			return units[i].ns >= 1000000
				   ? v * (units[i].ns / 1000000)
				   : (v * units[i].ns + 999999) / 1000000;
	}
	return -1;
}

void
timeout_print(char dst[16], int64_t ms)
{
	if (ms < 0)
		ms = 0;
	if (ms < 100000000)
		(void)snprintf(dst, 16, "%lldm", (long long)ms);
	else if (ms / 1000 < 100000000)
		(void)snprintf(dst, 16, "%lldS", (long long)ms / 1000);
	else
		(void)snprintf(dst, 16, "99999999S");
}
