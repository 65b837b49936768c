#include "checkout.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "seal.h"
#include "tmpl.h"

static int
key_load(struct checkout *c, struct err *e)
{
	const char *file = c->conf.secret_management.private_key_file;
	const char *data = c->conf.secret_management.private_key_data;
	struct buf pem = BUF_INIT;
	int rv = -1, r;

	if (c->key != NULL)
		return 0;
	if (c->conf.secret_management.type == NULL)
		return err_set(e, RC_PERM,
		    "the application has sealed values, but the Piped config "
		    "has no spec.secretManagement");
	if (strcmp(c->conf.secret_management.type, "KEY_PAIR") != 0)
		return err_set(e, RC_PERM,
		    "spec.secretManagement.type %s is not supported: use "
		    "KEY_PAIR",
		    c->conf.secret_management.type);
	if (file != NULL) {
		if ((r = file_read(file, 65536, &pem, e)) == 0)
			err_set(e, RC_PERM, "%s: not there", file);
		if (r != 1)
			goto out;
	} else if (data == NULL ||
		   base64_decode(&pem, data, strlen(data)) == -1) {
		err_set(e, RC_PERM, "privateKeyData is not base64");
		goto out;
	}
	c->key = seal_private(pem.p, pem.len, e);
	rv = c->key != NULL ? 0 : err_wrap(e, "private key");
out:
	explicit_bzero(pem.p, pem.cap);
	buf_free(&pem);
	return rv == 0 ? 0 : err_wrap(e, "spec.secretManagement");
}

/* A file below a directory, by a path that may not trick us out of it. */
static int
open_target(int dirfd, const char *path, bool nolinks, int flags, struct err *e)
{
	struct stat st;
	int fd = open_beneath(dirfd, path, flags | O_CLOEXEC, 0, nolinks);

	if (fd == -1) {
		if (errno == EXDEV || errno == ELOOP)
			return err_set(e, RC_PERM,
			    "%.200s: leaves its directory, or is a link", path);
		if (errno == ENOENT)
			return err_set(
			    e, RC_PERM, "%.200s: no such file", path);
		return err_sys(e, "%.200s", path);
	}
	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode)) {
		close(fd);
		return err_set(e, RC_PERM, "%.200s: is no file", path);
	}
	return fd;
}

static int
read_fd(int fd, const char *path, struct buf *b, struct err *e)
{
	ssize_t n;

	do {
		buf_grow(b, 65536);
		n = read(fd, b->p + b->len, 65536);
		if (n > 0)
			b->len += (size_t)n;
		if (b->len > TARGET_MAX)
			return err_set(e, RC_PERM, "%.200s: larger than %d MiB",
			    path, TARGET_MAX >> 20);
	} while (n > 0);
	b->p[b->len] = '\0';
	return n == -1 ? err_sys(e, "%.200s", path) : 0;
}

/* Render one file in place. */
static int
render(
    int appfd, const char *path, const struct tmpl_value *data, struct err *e)
{
	struct buf in = BUF_INIT, out = BUF_INIT;
	char p[PATH_MAX];
	int fd = -1, rv = -1;

	if (strlen(path) >= PATH_MAX || path[0] == '/' || !path_clean(p, path))
		return err_set(e, RC_PERM,
		    "%.200s: leaves the application's directory", path);
	if ((fd = open_target(appfd, p, true, O_RDWR, e)) == -1)
		return -1;
	if (read_fd(fd, p, &in, e) == -1 ||
	    tmpl_render(&out, p, in.p, in.len, data, e) == -1)
		goto out;
	if (ftruncate(fd, 0) == -1 || lseek(fd, 0, SEEK_SET) == -1 ||
	    write_all(fd, out.p, out.len) == -1) {
		err_sys(e, "%s", p);
		goto out;
	}
	rv = 0;
out:
	close(fd);
	explicit_bzero(in.p, in.cap);
	explicit_bzero(out.p, out.cap);
	buf_free(&in);
	buf_free(&out);
	return rv;
}

/*
 * Whoever works in the checkout must be able to keep what was opened out of
 * what it says: ROOT.secrets, a base64 line for each value, and for each line
 * of a value that has several, because logs come in lines.
 */
static int
name_values(const char *root, const struct secret *s, size_t n, struct arena *a,
    struct err *e)
{
	struct buf b = BUF_INIT;
	const char *p, *nl, *end;
	size_t i;
	int rv;

	for (i = 0; i < n; i++) {
		base64_encode(&b, s[i].p, s[i].len);
		buf_addc(&b, '\n');
		end = s[i].p + s[i].len;
		for (p = s[i].p;
		     (nl = memchr(p, '\n', (size_t)(end - p))) != NULL;
		     p = nl + 1) {
			base64_encode(&b, p, (size_t)(nl - p));
			buf_addc(&b, '\n');
		}
		if (p != s[i].p && p < end) {
			base64_encode(&b, p, (size_t)(end - p));
			buf_addc(&b, '\n');
		}
	}
	rv = file_write(
	    arena_printf(a, "%s.secrets", root), b.p, b.len, 0600, false, e);
	if (b.cap > 0)
		explicit_bzero(b.p, b.cap);
	buf_free(&b);
	return rv;
}

static int
open_values(struct checkout *c, const char *root, int appfd,
    const struct conf_app *app, struct arena *a, struct err *e)
{
	struct tmpl_value data = tmpl_map(), values = tmpl_map();
	size_t n = app->encryption.n_secrets, i;
	struct secret *s = xcalloc(n + 1, sizeof(*s));
	int rv = -1;

	if (n > 0 && key_load(c, e) == -1)
		goto out;
	for (i = 0; i < n; i++) {
		const struct conf_pair *p = &app->encryption.secrets[i];

		if (seal_open(&s[i], c->key, p->value, strlen(p->value), e) ==
		    -1) {
			err_wrap(e, "encryption.encryptedSecrets.%s", p->key);
			goto out;
		}
		tmpl_put(&values, p->key, tmpl_str(s[i].p, s[i].len), a);
	}
	if (root != NULL && n > 0 && name_values(root, s, n, a, e) == -1)
		goto out;
	tmpl_put(&data, "encryptedSecrets", values, a);
	for (i = 0; i < app->encryption.n_targets; i++)
		if (render(appfd, app->encryption.targets[i], &data, e) == -1) {
			err_wrap(e, "encryption.decryptionTargets");
			goto out;
		}
	rv = 0;
out:
	for (i = 0; i < n; i++)
		secret_free(&s[i]);
	free(s);
	return rv;
}

/* A source is relative to the application, and may be beside it. */
static int
read_source(int rootfd, const char *app_path, const char *source, struct buf *b,
    struct arena *a, struct err *e)
{
	char p[PATH_MAX];
	int fd, rv;

	if (source[0] == '/' || strlen(source) + strlen(app_path) > 2048 ||
	    !path_clean(p, arena_printf(a, "%s/%s", app_path, source)))
		return err_set(
		    e, RC_PERM, "%.200s: leaves the repository", source);
	if ((fd = open_target(rootfd, p, false, O_RDONLY, e)) == -1)
		return -1;
	rv = read_fd(fd, p, b, e);
	close(fd);
	return rv;
}

static int
attach(int rootfd, int appfd, const struct ask *q, const struct conf_app *app,
    struct arena *a, struct err *e)
{
	struct tmpl_value data = tmpl_map(), values = tmpl_map();
	size_t n = app->attachment.n_sources, i;
	struct buf *b = xcalloc(n + 1, sizeof(*b));
	int rv = -1;

	for (i = 0; i < n; i++)
		b[i] = (struct buf)BUF_INIT;
	for (i = 0; i < n; i++) {
		const struct conf_pair *p = &app->attachment.sources[i];

		if (read_source(rootfd, q->path, p->value, &b[i], a, e) == -1) {
			err_wrap(e, "attachment.sources.%s", p->key);
			goto out;
		}
		tmpl_put(&values, p->key, tmpl_str(b[i].p, b[i].len), a);
	}
	tmpl_put(&data, "attachment", values, a);
	for (i = 0; i < app->attachment.n_targets; i++)
		if (render(appfd, app->attachment.targets[i], &data, e) == -1) {
			err_wrap(e, "attachment.targets");
			goto out;
		}
	rv = 0;
out:
	for (i = 0; i < n; i++) {
		explicit_bzero(b[i].p, b[i].cap);
		buf_free(&b[i]);
	}
	free(b);
	return rv;
}

int
secrets_apply(struct checkout *c, const char *root, const struct ask *q,
    const struct conf_app *app, struct arena *a, struct err *e)
{
	int rootfd = -1, appfd = -1, rv = -1;

	rootfd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (rootfd == -1) {
		err_sys(e, "%s", root);
		goto out;
	}
	appfd = open_beneath(
	    rootfd, q->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, true);
	if (appfd == -1) {
		err_sys(e, "%s", q->path);
		goto out;
	}
	/* As PipeCD: values first, so that an attachment may hold them. */
	if (app->encryption.n_targets > 0 &&
	    open_values(c, q->into == NULL ? root : NULL, appfd, app, a, e) ==
		-1)
		goto out;
	if (app->attachment.n_targets > 0 &&
	    attach(rootfd, appfd, q, app, a, e) == -1)
		goto out;
	rv = 0;
out:
	if (appfd != -1)
		close(appfd);
	if (rootfd != -1)
		close(rootfd);
	return rv;
}
