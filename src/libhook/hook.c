/*
 * What a git server says about a push.  The body is checked before it is
 * parsed, and all that is taken from it is where to look.
 */
#include "hook.h"

#include <jansson.h>
#include <string.h>

#include "hash.h"

const struct hook_names hook_names[HOOK__N] = {
	[HOOK_GITHUB] = { "x-github-event", "x-hub-signature-256" },
	[HOOK_GITLAB] = { "x-gitlab-event", "x-gitlab-token" },
	[HOOK_GITEA] = { "x-gitea-event", "x-gitea-signature" },
	[HOOK_BITBUCKET] = { "x-event-key", "x-hub-signature" },
};

enum hook_type
hook_type(const char *name)
{
	static const char *const names[HOOK__N] = { "github", "gitlab", "gitea",
		"bitbucket" };
	int t;

	for (t = 0; t < HOOK__N; t++)
		if (strcasecmp(names[t], name) == 0)
			break;
	return (enum hook_type)t;
}

/* --- is it who it says ------------------------------------------------------------ */

static bool
equal(const char *a, const char *b, size_t n)
{
	unsigned char diff = 0;
	size_t i;

	for (i = 0; i < n; i++)
		diff |= (unsigned char)(a[i] ^ b[i]);
	return diff == 0;
}

bool
hook_verify(enum hook_type t, const struct hook_headers *h, const void *body,
    size_t n, const void *secret, size_t nsecret)
{
	uint8_t mac[SHA256_DIGEST_LENGTH];
	char hex[2 * SHA256_DIGEST_LENGTH + 1];
	const char *s = h->signature;

	if (s == NULL || nsecret == 0)
		return false;
	if (t == HOOK_GITLAB) /* a token, not a signature */
		return strlen(s) == nsecret && equal(s, secret, nsecret);
	if (str_prefix(s, "sha256="))
		s += strlen("sha256=");
	else if (t != HOOK_GITEA)
		return false;
	hmac_sha256(mac, secret, nsecret, body, n);
	hex_encode(hex, mac, sizeof(mac));
	return strlen(s) == strlen(hex) && equal(s, hex, strlen(hex));
}

/* --- what it says ----------------------------------------------------------------- */

static const char *
text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s == NULL ? "" : s;
}

static void
remote_add(struct hook_push *p, struct arena *a, const char *s)
{
	if (*s != '\0' && p->n_remotes < HOOK_REMOTES && strlen(s) < 2048)
		p->remotes[p->n_remotes++] = arena_strdup(a, s);
}

/* "refs/heads/main": its branch; anything else has none. */
static void
ref_take(struct hook_push *p, struct arena *a, const char *ref)
{
	if (str_prefix(ref, "refs/heads/"))
		p->branch = arena_strdup(a, ref + strlen("refs/heads/"));
}

/* GitHub and those who do as it does. */
static void
read_github(struct hook_push *p, const json_t *j, struct arena *a)
{
	static const char *const urls[] = { "clone_url", "ssh_url", "git_url",
		"html_url" };
	const json_t *repo = json_object_get(j, "repository");
	size_t i;

	for (i = 0; i < NITEMS(urls); i++)
		remote_add(p, a, text(repo, urls[i]));
	ref_take(p, a, text(j, "ref"));
	p->commit = arena_strdup(a, text(j, "after"));
}

static void
read_gitlab(struct hook_push *p, const json_t *j, struct arena *a)
{
	static const char *const urls[] = { "git_http_url", "git_ssh_url",
		"http_url", "ssh_url", "web_url", "url" };
	const json_t *where[] = { json_object_get(j, "project"),
		json_object_get(j, "repository") };
	size_t i, k;

	for (k = 0; k < NITEMS(where); k++)
		for (i = 0; i < NITEMS(urls); i++)
			remote_add(p, a, text(where[k], urls[i]));
	ref_take(p, a, text(j, "ref"));
	p->commit = arena_strdup(a, text(j, "after"));
}

/*
 * The cloud says push.changes[].new and one page of the repository; a server
 * of one's own says changes[].ref and how to clone.
 */
static void
read_bitbucket(struct hook_push *p, const json_t *j, struct arena *a)
{
	const json_t *repo = json_object_get(j, "repository"),
		     *links = json_object_get(repo, "links"),
		     *clone = json_object_get(links, "clone"), *change, *to;
	const char *page = text(json_object_get(links, "html"), "href");
	size_t i;

	remote_add(p, a, page);
	for (i = 0; i < json_array_size(clone); i++)
		remote_add(p, a, text(json_array_get(clone, i), "href"));
	change = json_array_get(
	    json_object_get(json_object_get(j, "push"), "changes"), 0);
	to = json_object_get(change, "new");
	if (strcmp(text(to, "type"), "branch") == 0) {
		p->branch = arena_strdup(a, text(to, "name"));
		p->commit = arena_strdup(
		    a, text(json_object_get(to, "target"), "hash"));
	}
	change = json_array_get(json_object_get(j, "changes"), 0);
	to = json_object_get(change, "ref");
	if (strcmp(text(to, "type"), "BRANCH") == 0) {
		p->branch = arena_strdup(a, text(to, "displayId"));
		p->commit = arena_strdup(a, text(change, "toHash"));
	}
}

static int
digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 32;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* GitHub's other form: payload=..., with %XX and +. */
static bool
form_payload(struct buf *out, const char *p, size_t n)
{
	static const char key[] = "payload=";
	const char *end = p + n;

	while (p < end) {
		const char *stop = memchr(p, '&', (size_t)(end - p));

		if (stop == NULL)
			stop = end;
		if ((size_t)(stop - p) >= sizeof(key) - 1 &&
		    memcmp(p, key, sizeof(key) - 1) == 0) {
			for (p += sizeof(key) - 1; p < stop; p++) {
				if (*p == '%' && stop - p > 2 &&
				    digit(p[1]) != -1 && digit(p[2]) != -1) {
					buf_addc(out, (char)(digit(p[1]) * 16 +
							     digit(p[2])));
					p += 2;
				} else {
					buf_addc(out, *p == '+' ? ' ' : *p);
				}
			}
			return true;
		}
		p = stop + 1;
	}
	return false;
}

static bool
is_push(enum hook_type t, const char *event)
{
	if (event == NULL)
		return false;
	switch (t) {
	case HOOK_GITHUB:
	case HOOK_GITEA:
		return strcmp(event, "push") == 0 ||
		       strcmp(event, "create") == 0;
	case HOOK_GITLAB:
		return strcmp(event, "Push Hook") == 0 ||
		       strcmp(event, "System Hook") == 0;
	default:
		return strcmp(event, "repo:push") == 0 ||
		       strcmp(event, "repo:refs_changed") == 0;
	}
}

int
hook_read(struct hook_push *p, enum hook_type t, const struct hook_headers *h,
    const void *body, size_t n, struct arena *a, struct err *e)
{
	struct buf form = BUF_INIT;
	json_error_t je;
	json_t *j = NULL;
	int rv = -1;

	memset(p, 0, sizeof(*p));
	p->branch = p->commit = "";
	if (!is_push(t, h->event))
		return 0;
	if (h->content_type != NULL &&
	    str_prefix(h->content_type, "application/x-www-form-urlencoded")) {
		if (!form_payload(&form, body, n)) {
			err_set(e, RC_PERM, "the form has no payload");
			goto out;
		}
		body = form.p;
		n = form.len;
	}
	if ((j = json_loadb(body, n, JSON_REJECT_DUPLICATES, &je)) == NULL) {
		err_set(e, RC_PERM, "the body is no JSON: %s", je.text);
		goto out;
	}
	/* A system hook says many things. */
	if (t == HOOK_GITLAB && *text(j, "event_name") != '\0' &&
	    strcmp(text(j, "event_name"), "push") != 0) {
		rv = 0;
		goto out;
	}
	if (t == HOOK_GITLAB)
		read_gitlab(p, j, a);
	else if (t == HOOK_BITBUCKET)
		read_bitbucket(p, j, a);
	else
		read_github(p, j, a);
	if (p->n_remotes == 0) {
		err_set(
		    e, RC_PERM, "the push does not say of which repository");
		goto out;
	}
	rv = 1;
out:
	json_decref(j);
	buf_free(&form);
	return rv;
}
