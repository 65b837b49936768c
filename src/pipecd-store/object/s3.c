/* Objects in S3: who we are, and where. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "object.h"
#include "s3.h"

/* One line of a file. */
static char *
line_of(const char *path, struct arena *a, struct err *e)
{
	struct buf b = BUF_INIT;
	char *s = NULL;
	int got = file_read(path, 4096, &b, e);

	if (got == 0)
		err_set(e, RC_PERM, "%s: no such file", path);
	if (got == 1) {
		s = arena_strndup(a, b.p, strcspn(b.p, "\r\n"));
		if (*s == '\0') {
			err_set(e, RC_PERM, "%s: it is empty", path);
			s = NULL;
		}
	}
	if (b.len > 0)
		explicit_bzero(b.p, b.len);
	buf_free(&b);
	return s;
}

static char *
trim(char *s)
{
	char *end;

	s += strspn(s, " \t");
	for (end = s + strlen(s); end > s && strchr(" \t\r\n", end[-1]); end--)
		end[-1] = '\0';
	return s;
}

/* AWS's credentials file: sections of name = value. */
static int
profile_read(struct s3_conf *c, const char *path, const char *profile,
    struct arena *a, struct err *e)
{
	const char *want = arena_printf(a, "[%s]", profile);
	struct buf b = BUF_INIT;
	char *line, *save = NULL, *eq;
	bool in = false, found = false;
	int got = file_read(path, 65536, &b, e);

	if (got != 1)
		return got == -1
			   ? -1
			   : err_set(e, RC_PERM, "%s: no such file", path);
	for (line = strtok_r(b.p, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		line = trim(line);
		if (*line == '[') {
			in = strcmp(line, want) == 0;
			found = found || in;
		}
		if (!in || (eq = strchr(line, '=')) == NULL)
			continue;
		*eq = '\0';
		line = trim(line);
		if (strcmp(line, "aws_access_key_id") == 0)
			c->access = arena_strdup(a, trim(eq + 1));
		else if (strcmp(line, "aws_secret_access_key") == 0)
			c->secret = arena_strdup(a, trim(eq + 1));
		else if (strcmp(line, "aws_session_token") == 0)
			c->token = arena_strdup(a, trim(eq + 1));
	}
	explicit_bzero(b.p, b.len);
	buf_free(&b);
	if (!found || c->access == NULL || c->secret == NULL)
		return err_set(e, RC_PERM,
		    "%s: no aws_access_key_id and aws_secret_access_key in %s",
		    path, want);
	return 0;
}

static int
who(struct s3_conf *s, const struct conf_control *c, struct arena *a,
    struct err *e)
{
	if (strcmp(c->filestore.type, "MINIO") == 0) {
		s->endpoint = c->filestore.endpoint;
		s->region = c->filestore.region != NULL ? c->filestore.region
							: "us-east-1";
		s->access = line_of(c->filestore.access_key_file, a, e);
		if (s->access == NULL)
			return -1;
		s->secret = line_of(c->filestore.secret_key_file, a, e);
		return s->secret == NULL ? -1 : 0;
	}
	s->region = c->filestore.region;
	s->endpoint = getenv("AWS_ENDPOINT_URL_S3");
	if (c->filestore.credentials_file != NULL)
		return profile_read(s, c->filestore.credentials_file,
		    c->filestore.profile != NULL ? c->filestore.profile
						 : "default",
		    a, e);
	s->access = getenv("AWS_ACCESS_KEY_ID");
	s->secret = getenv("AWS_SECRET_ACCESS_KEY");
	s->token = getenv("AWS_SESSION_TOKEN");
	if (s->access == NULL || s->secret == NULL)
		return err_set(e, RC_PERM,
		    "filestore S3: no credentialsFile, and no "
		    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the "
		    "environment");
	return 0;
}

int
objects_s3_open(struct objects *o, struct arena *a, struct err *e)
{
	struct s3_conf c = { .bucket = o->conf->filestore.bucket };

	if (who(&c, o->conf, a, e) == -1 || (o->s3 = s3_open(&c, e)) == NULL)
		return -1;
	o->ops = &objects_s3;
	if (!o->conf->filestore.auto_create_bucket ||
	    s3_bucket_make(o->s3, e) == 0)
		return 0;
	if (e->exit == RC_PERM)
		return -1;
	/* Later it may be there; if it is not, each request says so. */
	log_warn("-", "%s", e->text);
	return 0;
}

static int
put(struct objects *o, const char *key, const void *p, size_t n, struct err *e)
{
	return s3_put(o->s3, key, p, n, e);
}

static int
get(struct objects *o, const char *key, struct buf *out, struct err *e)
{
	return s3_get(o->s3, key, OBJECT_MAX, out, e);
}

static int
drop(struct objects *o, const char *key, struct err *e)
{
	return s3_delete(o->s3, key, e);
}

static int
list(struct objects *o, const char *prefix, const char *after, size_t limit,
    struct object *v, size_t *n, bool *more, struct arena *a, struct err *e)
{
	struct s3_object *s = arena_array(a, struct s3_object, limit);
	size_t i;

	*more = false;
	if (s3_list(o->s3, prefix, after, limit, s, n, more, a, e) == -1)
		return -1;
	for (i = 0; i < *n; i++) {
		v[i].key = s[i].key;
		v[i].size = s[i].size;
		v[i].updated_at = s[i].updated_at;
	}
	return 0;
}

const struct objects_ops objects_s3 = { put, get, drop, list };
