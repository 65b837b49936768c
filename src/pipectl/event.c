#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "request.h"

/* pipectl event and encrypt: what CI says. */

/* Names that become git trailers: letters and digits, single dashes between. */
static bool
trailer_name(const char *s)
{
	for (;;) {
		if (!isalnum((unsigned char)*s))
			return false;
		while (isalnum((unsigned char)*s))
			s++;
		if (*s != '-')
			return *s == '\0';
		s++;
	}
}

int
event_register(struct ctl *c, struct err *e)
{
	API(RegisterEventRequest) q;
	API(RegisterEventResponse) * r;
	size_t i;

	API_(register_event_request__init)(&q);
	q.name = request_arg(c, "name");
	q.data = request_arg(c, "data");
	q.labels = request_pairs(c, "labels",
	    &API_(register_event_request__labels_entry__descriptor),
	    &q.n_labels);
	q.contexts = request_pairs(c, "contexts",
	    &API_(register_event_request__contexts_entry__descriptor),
	    &q.n_contexts);
	for (i = 0; i < q.n_contexts; i++)
		if (!trailer_name(q.contexts[i]->key))
			return err_set(e, RC_PERM,
			    "--contexts: \"%s\" is no trailer's name: letters "
			    "and digits, with single dashes between",
			    q.contexts[i]->key);
	q.commit_hash = request_arg(c, "commit-hash");
	q.commit_url = request_arg(c, "commit-url");
	q.commit_title = request_arg(c, "commit-title");
	q.commit_message = request_arg(c, "commit-message");
	q.commit_author = request_arg(c, "commit-author");
	q.commit_timestamp = arg_int(c, "commit-timestamp");
	r = client_call(c, SERVICE_API, "RegisterEvent", &q.base,
	    &API_(register_event_response__descriptor), e);
	if (r == NULL)
		return -1;
	puts(r->event_id);
	return RC_OK;
}

/* --- encrypt --------------------------------------------------------------- */

enum {
	SECRET_MAX = 1 << 20
};

static int
secret_read(struct ctl *c, struct buf *b, struct err *e)
{
	const char *path = arg_str(c, "input-file");
	char chunk[4096];
	size_t n;
	int rv;

	if (path != NULL) {
		if ((rv = file_read(path, SECRET_MAX, b, e)) == 0)
			err_set(e, RC_PERM, "%s: no such file", path);
		if (rv != 1)
			return -1;
	} else
		while ((n = fread(chunk, 1, sizeof(chunk), stdin)) > 0) {
			buf_add(b, chunk, n);
			if (b->len > SECRET_MAX)
				return err_set(e, RC_PERM,
				    "stdin: more than 1 MiB to seal");
		}
	if (b->len == 0 || memchr(b->p, '\0', b->len) != NULL)
		return err_set(e, RC_PERM, "%s: %s",
		    path != NULL ? path : "stdin",
		    b->len == 0 ? "nothing to seal"
				: "holds a NUL: seal it in base64");
	return 0;
}

int
encrypt(struct ctl *c, struct err *e)
{
	API(EncryptRequest) q;
	API(EncryptResponse) *r = NULL;
	struct buf b = BUF_INIT;

	API_(encrypt_request__init)(&q);
	q.piped_id = request_arg(c, "piped-id");
	q.base64_encoding = arg_bool(c, "use-base64-encoding");
	if (secret_read(c, &b, e) == 0) {
		q.plaintext = b.p;
		r = client_call(c, SERVICE_API, "Encrypt", &q.base,
		    &API_(encrypt_response__descriptor), e);
	}
	explicit_bzero(b.p, b.len);
	buf_free(&b);
	if (r == NULL)
		return -1;
	puts(r->ciphertext);
	return RC_OK;
}
