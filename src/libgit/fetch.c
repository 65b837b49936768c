#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* One fetch: what its callbacks know. */
struct fetching {
	const struct git_fetch *f;
	const char *url;   /* without userinfo */
	bool wanted;	   /* the server asked for credentials */
	struct buf header; /* Authorization, once it has asked */
	char *headers[1];
	struct secret user, password;
	uint64_t talk; /* a server that counts says so while it sends none */
	git_indexer_progress last;
};

/*
 * libgit2 1.5 stumbles over a 401 that has a body and a connection that stays
 * open.  So it is only told that there are none; we then connect again, with
 * the header from the start.
 */
static int
credentials(git_credential **out, const char *url, const char *user,
    unsigned int allowed, void *arg)
{
	struct fetching *n = arg;

	(void)out;
	(void)url;
	(void)user;
	(void)allowed;
	n->wanted = true;
	return GIT_EUSER;
}

/* user:password@ of an http URL, which go before what the config has. */
static void
userinfo(struct fetching *n, struct arena *a)
{
	const char *url = n->f->url, *host = strstr(url, "://"), *at, *colon;

	n->url = url;
	if (n->f->user != NULL && n->f->password != NULL) {
		secret_set(&n->user, n->f->user, strlen(n->f->user));
		secret_set(
		    &n->password, n->f->password, strlen(n->f->password));
	}
	if (strncasecmp(url, "http", 4) != 0 || host == NULL)
		return;
	n->url = git_url_shown(url, a);
	host += 3;
	at = host + strcspn(host, "/?#");
	while (at > host && *at != '@')
		at--;
	if (at == host)
		return;
	colon = memchr(host, ':', (size_t)(at - host));
	if (colon == NULL) /* a token alone, as GitHub takes it */
		colon = at;
	secret_free(&n->user);
	secret_free(&n->password);
	git_url_decode(&n->user, host, (size_t)(colon - host));
	git_url_decode(&n->password, colon < at ? colon + 1 : at,
	    colon < at ? (size_t)(at - colon - 1) : 0);
}

static void
authorize(struct fetching *n)
{
	struct buf t = BUF_INIT;

	buf_add(&t, n->user.p, n->user.len);
	buf_addc(&t, ':');
	buf_add(&t, n->password.p, n->password.len);
	buf_adds(&n->header, "Authorization: Basic ");
	base64_encode(&n->header, t.p, t.len);
	explicit_bzero(t.p, t.cap);
	buf_free(&t);
	n->headers[0] = n->header.p;
}

static int
progress(const git_indexer_progress *p, void *arg)
{
	struct fetching *n = arg;

	n->last = *p;
	if (n->f->progress != NULL)
		n->f->progress(n->f->arg, p->received_bytes,
		    p->indexed_objects + p->indexed_deltas + n->talk);
	return 0;
}

static int
talk(const char *s, int len, void *arg)
{
	struct fetching *n = arg;
	git_indexer_progress p = n->last;

	(void)s;
	(void)len;
	n->talk++;
	return progress(&p, n);
}

/* Of the server's refs: the branch's head. 1, 0, -1. */
static int
pick(git_remote *remote, const char *want, char branch[256], git_oid *oid,
    struct err *e)
{
	const git_remote_head **heads;
	char name[1024];
	size_t i, n;

	if (git_remote_ls(&heads, &n, remote) < 0)
		return git_fail(e, RC_TEMP, "list of branches");
	if (want == NULL || want[0] == '\0') {
		for (i = 0; i < n; i++) {
			const char *to = heads[i]->symref_target;

			if (strcmp(heads[i]->name, "HEAD") == 0 && to != NULL &&
			    str_prefix(to, "refs/heads/"))
				want = to + 11;
		}
		if (want == NULL || want[0] == '\0')
			return n == 0 ? 0
				      : err_set(e, RC_PERM,
					    "HEAD is on no branch: name one in "
					    "`branch`");
	}
	if (strlen(want) > 255)
		return err_set(e, RC_PERM, "branch %.60s...: too long", want);
	strcpy(branch, want);
	if (git_ref_of(name, want, e) == -1)
		return -1;
	for (i = 0; i < n; i++)
		if (strcmp(heads[i]->name, name) == 0) {
			git_oid_cpy(oid, &heads[i]->oid);
			return 1;
		}
	return 0;
}

/* A server's words, ours, or both. */
static int
fail(const struct fetching *n, const char *shown, struct err *e)
{
	const git_error *ge = git_error_last();
	const char *said = ge != NULL && ge->message != NULL ? ge->message : "";
	const char *ssh = git_ssh_words();

	if (ssh[0] != '\0')
		return err_set(e, RC_TEMP, "%s: ssh: %s", shown, ssh);
	if (n->wanted && n->header.len > 0)
		return err_set(e, RC_TEMP,
		    "%s: refuses the user name and password in spec.git",
		    shown);
	if (n->wanted)
		return err_set(e, RC_TEMP,
		    "%s: wants a user name and password: set spec.git.username "
		    "and passwordFile",
		    shown);
	if (strcasestr(said, "redirect") != NULL)
		return err_set(e, RC_TEMP,
		    "%s: redirects to another host, which must not get the "
		    "credentials: write the final URL as `remote`",
		    shown);
	return err_set(e, RC_TEMP, "%s: %s", shown, said);
}

static void
options(git_remote_connect_options *o, struct fetching *n)
{
	git_remote_connect_options_init(o, GIT_REMOTE_CONNECT_OPTIONS_VERSION);
	o->callbacks.credentials = credentials;
	o->callbacks.transfer_progress = progress;
	o->callbacks.sideband_progress = talk;
	o->callbacks.payload = n;
	o->proxy_opts.type = GIT_PROXY_AUTO;
	/*
	 * The header goes along with a redirect: with credentials at hand
	 * only those are followed that stay on this host (and on https).
	 */
	o->follow_redirects = n->user.p != NULL ? GIT_REMOTE_REDIRECT_NONE
						: GIT_REMOTE_REDIRECT_INITIAL;
	if (n->header.len > 0) {
		o->custom_headers.strings = n->headers;
		o->custom_headers.count = 1;
	}
}

static int
download(
    git_remote *remote, struct fetching *n, const char *branch, struct err *e)
{
	git_fetch_options o;
	char spec[2100], name[1024];
	char *specs[1] = { spec };
	git_strarray list = { .strings = specs, .count = 1 };
	git_remote_connect_options c;

	if (git_ref_of(name, branch, e) == -1)
		return -1;
	snprintf(spec, sizeof(spec), "+%s:%s", name, name);
	options(&c, n);
	git_fetch_options_init(&o, GIT_FETCH_OPTIONS_VERSION);
	o.callbacks = c.callbacks;
	o.proxy_opts = c.proxy_opts;
	o.follow_redirects = c.follow_redirects;
	o.custom_headers = c.custom_headers;
	o.prune = GIT_FETCH_NO_PRUNE;
	o.download_tags = GIT_REMOTE_DOWNLOAD_TAGS_NONE;
	o.update_fetchhead = 0;
	if (git_remote_download(remote, &list, &o) < 0)
		return fail(n, "transfer", e);
	return 0;
}

/* Once as anybody; again, with credentials, when the server wants them. */
static int
reach(struct git *g, struct fetching *n, git_remote **remote, const char *shown,
    struct err *e)
{
	git_remote_connect_options o;

	for (;;) {
		git_error_clear();
		n->wanted = false;
		options(&o, n);
		if (git_remote_create_anonymous(remote, g->repo, n->url) < 0)
			return fail(n, shown, e);
		if (git_remote_connect_ext(*remote, GIT_DIRECTION_FETCH, &o) ==
		    0)
			return 0;
		if (!n->wanted || n->header.len > 0 || n->user.p == NULL)
			return fail(n, shown, e);
		git_remote_free(*remote);
		*remote = NULL;
		authorize(n);
	}
}

/*
 * Who vouches for servers, in place of those whom the system trusts.  Debian's
 * libgit2 is made with a TLS library that does not look at the environment.
 */
static int
authorities(const char *file, struct err *e)
{
	const char *what = "spec.git.caFile", *dir = NULL;

	if (file == NULL) {
		what = "SSL_CERT_FILE, SSL_CERT_DIR";
		file = getenv("SSL_CERT_FILE");
		dir = getenv("SSL_CERT_DIR");
	}
	if (file == NULL && dir == NULL)
		return 0;
	if (git_libgit2_opts(GIT_OPT_SET_SSL_CERT_LOCATIONS, file, dir) < 0)
		return err_set(e, RC_TEMP, "%s: %s: no certificates there",
		    what, file != NULL ? file : dir);
	return 0;
}

int
git_mirror_fetch(struct git *g, const struct git_fetch *f, char branch[256],
    char commit[GIT_ID], struct err *e)
{
	struct fetching n = { .f = f, .header = BUF_INIT };
	struct arena *a = arena_new();
	const char *shown = git_url_shown(f->url, a);
	git_remote *remote = NULL;
	git_oid oid;
	int rv = -1, r;

	branch[0] = '\0';
	userinfo(&n, a);
	/* A fetch over the network is slow anyhow: let it survive a power cut.
	 */
	git_libgit2_opts(GIT_OPT_ENABLE_FSYNC_GITDIR, 1);
	if (authorities(f->ca_file, e) == -1)
		goto out;
	if (git_ssh_use(f, e) == -1 || reach(g, &n, &remote, shown, e) == -1)
		goto out;
	if ((r = pick(remote, f->branch, branch, &oid, e)) != 1) {
		if ((rv = r) == -1)
			err_wrap(e, "%s", shown);
		goto out;
	}
	if (!git_odb_exists(g->odb, &oid)) {
		if (download(remote, &n, branch, e) == -1) {
			err_wrap(e, "%s", shown);
			goto out;
		}
		git_odb_refresh(g->odb);
	}
	if (git_ref_set(g, branch, &oid, e) == -1) {
		err_wrap(e, "%s", shown);
		goto out;
	}
	git_oid_tostr(commit, GIT_ID, &oid);
	rv = 1;
out:
	git_remote_free(remote);
	git_ssh_forget();
	git_libgit2_opts(GIT_OPT_ENABLE_FSYNC_GITDIR, 0);
	secret_free(&n.user);
	secret_free(&n.password);
	explicit_bzero(n.header.p, n.header.cap);
	buf_free(&n.header);
	arena_free(a);
	return rv;
}
