/* Requests to S3. */
#include "s3.h"

#include <curl/curl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "hash.h"

enum {
	TRIES = 3,
	LIST_MAX = 8 * 1024 * 1024
};

struct s3 {
	struct s3_conf c;
	CURL *curl;
	char *scheme, *host; /* host:port */
	char *prefix;	     /* "/bucket", or nothing: it is in the host */
	int64_t skew;	     /* what the server's clock is ahead by */
};

/* One request, and what came of it. */
struct s3_call {
	struct s3_request q;
	struct buf answer;
	size_t max, sent;
	bool too_much;
	long status;
	int64_t date; /* of the server, 0: not said */
};

static char *format(const char *fmt, ...) PRINTF(1, 2);

static char *
format(const char *fmt, ...)
{
	va_list ap;
	char *s = NULL;

	va_start(ap, fmt);
	must(vasprintf(&s, fmt, ap) != -1);
	va_end(ap);
	return s;
}

static int
place(struct s3 *s, struct err *e)
{
	const char *u = s->c.endpoint, *host;
	size_t n;

	if (u == NULL) {
		/* A dot in a bucket's name fits no certificate. */
		bool dotted = strchr(s->c.bucket, '.') != NULL;

		s->scheme = xstrdup("https");
		s->host = dotted ? format("s3.%s.amazonaws.com", s->c.region)
				 : format("%s.s3.%s.amazonaws.com", s->c.bucket,
				       s->c.region);
		s->prefix = dotted ? format("/%s", s->c.bucket) : xstrdup("");
		return 0;
	}
	if (!str_prefix(u, "http://") && !str_prefix(u, "https://"))
		return err_set(e, RC_PERM,
		    "%s: an endpoint is http://host:port or https://host", u);
	host = strstr(u, "://") + 3;
	n = strcspn(host, "/");
	if (n == 0 || (host[n] == '/' && host[n + 1] != '\0'))
		return err_set(
		    e, RC_PERM, "%s: an endpoint has a host, and no path", u);
	s->scheme = format("%.*s", (int)(host - u - 3), u);
	s->host = format("%.*s", (int)n, host);
	/* A port that is the scheme's own is not said. */
	if (strcmp(s->scheme, "http") == 0 && str_suffix(s->host, ":80"))
		s->host[strlen(s->host) - 3] = '\0';
	if (strcmp(s->scheme, "https") == 0 && str_suffix(s->host, ":443"))
		s->host[strlen(s->host) - 4] = '\0';
	s->prefix = format("/%s", s->c.bucket);
	return 0;
}

struct s3 *
s3_open(const struct s3_conf *c, struct err *e)
{
	struct s3 *s = xcalloc(1, sizeof(*s));

	s->c = *c;
	if (place(s, e) == -1) {
		s3_close(s);
		return NULL;
	}
	(void)curl_global_init(CURL_GLOBAL_DEFAULT);
	must((s->curl = curl_easy_init()) != NULL);
	return s;
}

void
s3_close(struct s3 *s)
{
	if (s == NULL)
		return;
	if (s->curl != NULL)
		curl_easy_cleanup(s->curl);
	free(s->scheme);
	free(s->host);
	free(s->prefix);
	free(s);
}

static size_t
take(char *p, size_t size, size_t n, void *arg)
{
	struct s3_call *k = arg;

	if (k->answer.len + size * n > k->max) {
		k->too_much = true;
		return 0;
	}
	buf_add(&k->answer, p, size * n);
	return size * n;
}

static size_t
give(char *p, size_t size, size_t n, void *arg)
{
	struct s3_call *k = arg;
	size_t left = k->q.n_body - k->sent;

	n *= size;
	n = n < left ? n : left;
	if (n > 0)
		memcpy(p, (const char *)k->q.body + k->sent, n);
	k->sent += n;
	return n;
}

static size_t
header(char *p, size_t size, size_t n, void *arg)
{
	struct s3_call *k = arg;
	char text[64];
	time_t t;

	if (n * size > 6 && strncasecmp(p, "date:", 5) == 0) {
		(void)snprintf(
		    text, sizeof(text), "%.*s", (int)(n * size - 5), p + 5);
		if ((t = curl_getdate(text, NULL)) != -1)
			k->date = t;
	}
	return n * size;
}

static void
header_add(struct curl_slist **l, const char *name, const char *value)
{
	char *s = format("%s: %s", name, value);

	must((*l = curl_slist_append(*l, s)) != NULL);
	free(s);
}

static struct curl_slist *
headers(const struct s3 *s, const struct s3_request *q)
{
	struct buf auth = BUF_INIT;
	struct curl_slist *l = NULL;
	char hash[SHA256_HEX], date[17];
	size_t i;

	sha256_hex(hash, q->body, q->n_body);
	s3_date(date, q->now);
	s3_authorization(&auth, q, &s->c);
	header_add(&l, "Host", q->host);
	header_add(&l, "x-amz-content-sha256", hash);
	header_add(&l, "x-amz-date", date);
	for (i = 0; i < q->n_headers; i++)
		header_add(&l, q->headers[i].name, q->headers[i].value);
	header_add(&l, "Authorization", auth.p);
	must((l = curl_slist_append(l, "Expect:")) != NULL);
	must((l = curl_slist_append(l, "Content-Type:")) != NULL);
	buf_free(&auth);
	return l;
}

static CURLcode
perform(struct s3 *s, struct s3_call *k)
{
	struct curl_slist *l = headers(s, &k->q);
	struct buf url = BUF_INIT;
	CURL *c = s->curl;
	CURLcode rc;

	buf_printf(&url, "%s://%s", s->scheme, s->host);
	s3_target(&url, &k->q);
	curl_easy_reset(c);
	curl_easy_setopt(c, CURLOPT_URL, url.p);
	curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, 5L);
	curl_easy_setopt(c, CURLOPT_TIMEOUT, 30L);
	curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, k->q.method);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, l);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, k);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, header);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, k);
	if (strcmp(k->q.method, "PUT") == 0) {
		/* Of an empty body the length is said, too. */
		curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(
		    c, CURLOPT_INFILESIZE_LARGE, (curl_off_t)k->q.n_body);
		curl_easy_setopt(c, CURLOPT_READFUNCTION, give);
		curl_easy_setopt(c, CURLOPT_READDATA, k);
	}
	rc = curl_easy_perform(c);
	(void)curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &k->status);
	curl_slist_free_all(l);
	buf_free(&url);
	return rc;
}

/* The text of an XML element, plain; "" when it is not there. */
static char *
element(const char *xml, const char *name, struct arena *a)
{
	char *open = arena_printf(a, "<%s>", name);
	const char *s = strstr(xml, open), *end;

	if (s == NULL)
		return arena_strdup(a, "");
	s += strlen(open);
	end = strchr(s, '<');
	return arena_strndup(a, s, end == NULL ? 0 : (size_t)(end - s));
}

/* Whether to try again: 1; 0 done; -1 *e. */
static int
outcome(struct s3 *s, struct s3_call *k, CURLcode rc, const char *what,
    struct err *e)
{
	struct arena *a;
	int rv;

	if (k->too_much)
		return err_set(
		    e, RC_PERM, "%s: more than %zu bytes", what, k->max);
	if (rc != CURLE_OK) {
		err_set(e, RC_TEMP, "%s: %s: %s", what, s->host,
		    curl_easy_strerror(rc));
		return 1;
	}
	if (k->status < 300 || k->status == 404)
		return 0;
	a = arena_new();
	err_set(e, k->status >= 500 ? RC_TEMP : RC_PERM,
	    "%s: %s answers %ld %.60s %.200s", what, s->host, k->status,
	    element(k->answer.p, "Code", a),
	    element(k->answer.p, "Message", a));
	rv = k->status >= 500 || k->status == 429 ? 1 : -1;
	if (strcmp(element(k->answer.p, "Code", a), "RequestTimeTooSkewed") ==
		0 &&
	    k->date != 0 && s->skew == 0) {
		s->skew = k->date - wall_s();
		rv = 1;
	}
	arena_free(a);
	return rv;
}

static int
call(struct s3 *s, struct s3_call *k, const char *what, struct err *e)
{
	struct s3_pair token = { "x-amz-security-token", s->c.token };
	int tries, got = -1;

	k->q.host = s->host;
	if (s->c.token != NULL) {
		k->q.headers = &token;
		k->q.n_headers = 1;
	}
	for (tries = 0; tries < TRIES; tries++) {
		if (tries > 0)
			usleep(100000u << tries);
		buf_reset(&k->answer);
		k->sent = 0;
		k->q.now = wall_s() + s->skew;
		got = outcome(s, k, perform(s, k), what, e);
		if (got != 1)
			break;
	}
	return got == 0 ? 0 : -1;
}

static void
call_init(struct s3_call *k, const char *method, char *path, size_t max)
{
	static const struct s3_call empty = { .answer = BUF_INIT };

	*k = empty;
	k->q.method = method;
	k->q.path = path;
	k->q.body = "";
	k->max = max;
}

/* 0; 1: there is no such thing; -1. */
static int
simple(struct s3 *s, const char *method, const char *key, const void *p,
    size_t n, size_t max, struct buf *out, struct err *e)
{
	char *path = key == NULL ? format("%s", s->prefix)
				 : format("%s/%s", s->prefix, key);
	char *what = format("%s object %s", method, key == NULL ? "" : key);
	struct s3_call k;
	int rv;

	if (*path == '\0') {
		free(path);
		path = xstrdup("/");
	}
	call_init(&k, method, path, max);
	if (n > 0) {
		k.q.body = p;
		k.q.n_body = n;
	}
	rv = call(s, &k, what, e);
	if (rv == 0 && k.status == 404)
		rv = 1;
	if (rv == 0 && out != NULL)
		buf_add(out, k.answer.p, k.answer.len);
	if (rv == 1 && strstr(k.answer.p, "NoSuchBucket") != NULL)
		rv = err_set(e, RC_PERM, "%s: there is no bucket %s at %s",
		    what, s->c.bucket, s->host);
	buf_free(&k.answer);
	free(path);
	free(what);
	return rv;
}

int
s3_put(struct s3 *s, const char *key, const void *p, size_t n, struct err *e)
{
	int rv = simple(s, "PUT", key, p, n, 65536, NULL, e);

	return rv == 1 ? err_set(e, RC_TEMP, "PUT object %s: %s answers 404",
			     key, s->host)
		       : rv;
}

int
s3_get(
    struct s3 *s, const char *key, size_t max, struct buf *out, struct err *e)
{
	int rv = simple(s, "GET", key, NULL, 0, max, out, e);

	return rv == -1 ? -1 : rv == 0;
}

int
s3_delete(struct s3 *s, const char *key, struct err *e)
{
	return simple(s, "DELETE", key, NULL, 0, 65536, NULL, e) == -1 ? -1 : 0;
}

int
s3_bucket_make(struct s3 *s, struct err *e)
{
	int rv = simple(s, "PUT", NULL, NULL, 0, 65536, NULL, e);

	if (rv == -1 && strstr(e->text, "BucketAlreadyOwnedByYou") != NULL)
		return 0;
	return rv == -1 ? -1 : 0;
}

static int64_t
iso_time(const char *s)
{
	struct tm tm = { 0 };

	return strptime(s, "%Y-%m-%dT%H:%M:%S", &tm) == NULL ? 0 : timegm(&tm);
}

int
s3_list(struct s3 *s, const char *prefix, const char *after, size_t limit,
    struct s3_object *v, size_t *n, bool *more, struct arena *a, struct err *e)
{
	struct s3_pair q[4];
	char max[24];
	struct s3_call k;
	const char *at;
	int rv;

	*n = 0;
	call_init(&k, "GET",
	    *s->prefix == '\0' ? arena_strdup(a, "/") : s->prefix, LIST_MAX);
	(void)snprintf(max, sizeof(max), "%zu", limit);
	q[k.q.n_query++] = (struct s3_pair){ "list-type", "2" };
	q[k.q.n_query++] = (struct s3_pair){ "max-keys", max };
	q[k.q.n_query++] = (struct s3_pair){ "prefix", prefix };
	if (after != NULL)
		q[k.q.n_query++] = (struct s3_pair){ "start-after", after };
	k.q.query = q;
	rv = call(s, &k, "list objects", e);
	if (rv == 0 && k.status == 404)
		rv = err_set(e, RC_PERM, "there is no bucket %s at %s",
		    s->c.bucket, s->host);
	if (rv == 0)
		*more =
		    strcmp(element(k.answer.p, "IsTruncated", a), "true") == 0;
	for (at = k.answer.p;
	     rv == 0 && *n < limit && (at = strstr(at, "<Contents>")) != NULL;
	     at++) {
		const char *end = strstr(at, "</Contents>");
		char *one = arena_strndup(
		    a, at, end == NULL ? strlen(at) : (size_t)(end - at));

		v[*n].key = element(one, "Key", a);
		v[*n].size =
		    (uint64_t)strtoull(element(one, "Size", a), NULL, 10);
		v[*n].updated_at = iso_time(element(one, "LastModified", a));
		++*n;
	}
	buf_free(&k.answer);
	return rv;
}
