#include "host.h"

#include <dlfcn.h>
#include <string.h>

#include <curl/curl.h>

/*
 * libcurl takes longer to load than a small stage runs, so it is loaded when
 * the first health check over HTTP is due, and not before.
 */
static struct {
	void *so;
	__typeof__(curl_easy_init) *init;
	__typeof__(curl_easy_cleanup) *cleanup;
	__typeof__(curl_easy_setopt) *setopt;
	__typeof__(curl_easy_perform) *perform;
	__typeof__(curl_easy_getinfo) *getinfo;
	__typeof__(curl_easy_strerror) *strerror;
} lib;

static int
load(struct err *e)
{
	if (lib.so != NULL)
		return 0;
	lib.so = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
	if (lib.so == NULL)
		return err_set(e, RC_PERM,
		    "health.http needs libcurl (Debian: libcurl4): %s",
		    dlerror());
	*(void **)&lib.init = dlsym(lib.so, "curl_easy_init");
	*(void **)&lib.cleanup = dlsym(lib.so, "curl_easy_cleanup");
	*(void **)&lib.setopt = dlsym(lib.so, "curl_easy_setopt");
	*(void **)&lib.perform = dlsym(lib.so, "curl_easy_perform");
	*(void **)&lib.getinfo = dlsym(lib.so, "curl_easy_getinfo");
	*(void **)&lib.strerror = dlsym(lib.so, "curl_easy_strerror");
	must(lib.init != NULL && lib.cleanup != NULL && lib.setopt != NULL &&
	     lib.perform != NULL && lib.getinfo != NULL &&
	     lib.strerror != NULL);
	return 0;
}

/* The body says nothing to us; its beginning is enough to know it came. */
static size_t
discard(char *p, size_t size, size_t n, void *arg)
{
	(void)p;
	(void)arg;
	return size * n;
}

int
http_get(const char *url, int64_t timeout_ms, struct err *e)
{
	char why[CURL_ERROR_SIZE] = "";
	CURLcode rc;
	long status = 0;
	CURL *c;

	if (load(e) == -1)
		return -1;
	must((c = lib.init()) != NULL);
	lib.setopt(c, CURLOPT_URL, url);
	lib.setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	lib.setopt(c, CURLOPT_NOSIGNAL, 1L);
	lib.setopt(c, CURLOPT_NOPROXY, "*");
	lib.setopt(c, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
	lib.setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	lib.setopt(c, CURLOPT_USERAGENT, "pipecd-exec-host");
	lib.setopt(c, CURLOPT_WRITEFUNCTION, discard);
	lib.setopt(c, CURLOPT_MAXFILESIZE, 1L << 20);
	lib.setopt(c, CURLOPT_ERRORBUFFER, why);
	rc = lib.perform(c);
	lib.getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	lib.cleanup(c);
	/* A body that is too long, too slow or cut off still had a status. */
	if (rc != CURLE_OK && (status == 0 || rc == CURLE_OPERATION_TIMEDOUT))
		return err_set(
		    e, RC_TEMP, "%s", why[0] != '\0' ? why : lib.strerror(rc));
	return (int)status;
}
