#include "internal.h"

#include <string.h>
#include <strings.h>

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 32) >= 'a' && (c | 32) <= 'f')
		return (c | 32) - 'a' + 10;
	return -1;
}

void
git_url_decode(struct secret *out, const char *s, size_t n)
{
	struct buf b = BUF_INIT;
	size_t i;

	for (i = 0; i < n; i++) {
		if (s[i] == '%' && i + 2 < n && hex(s[i + 1]) >= 0 &&
		    hex(s[i + 2]) >= 0) {
			buf_addc(
			    &b, (char)(hex(s[i + 1]) << 4 | hex(s[i + 2])));
			i += 2;
		} else {
			buf_addc(&b, s[i]);
		}
	}
	secret_set(out, b.p, b.len);
	explicit_bzero(b.p, b.cap);
	buf_free(&b);
}

/* What is behind file:// may be percent-encoded; a path is not. */
static const char *
decode(const char *s, struct arena *a)
{
	struct secret d = { 0 };
	const char *path;

	git_url_decode(&d, s, strlen(s));
	path = arena_strndup(a, d.p, d.len);
	secret_free(&d);
	return path;
}

const char *
git_url_path(const char *url, struct arena *a)
{
	const char *colon, *slash;

	if (strncasecmp(url, "file://", 7) == 0) {
		url += 7;
		if (strncasecmp(url, "localhost/", 10) == 0)
			url += 9;
		return url[0] == '/' ? decode(url, a) : NULL;
	}
	if (strstr(url, "://") != NULL)
		return NULL;
	/* host:path is ssh, but ./odd:name is a path */
	colon = strchr(url, ':');
	slash = strchr(url, '/');
	if (colon != NULL && (slash == NULL || colon < slash))
		return NULL;
	return arena_strdup(a, url);
}

const char *
git_url_shown(const char *url, struct arena *a)
{
	const char *host = strstr(url, "://"), *at, *end;

	if (host == NULL)
		return arena_strdup(
		    a, url); /* user@host:path has no password */
	host += 3;
	end = host + strcspn(host, "/?#");
	for (at = end; at > host && at[-1] != '@'; at--)
		continue;
	return arena_printf(a, "%.*s%s", (int)(host - url), url, at);
}
