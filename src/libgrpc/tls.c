/* TLS contexts; what is sent over them is wire.c's. */
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

const char *
tls_error(char dst[160])
{
	unsigned long code = ERR_get_error();
	const char *s = code == 0 ? NULL : ERR_reason_error_string(code);

	ERR_clear_error();
	(void)snprintf(
	    dst, 160, "%s", s != NULL ? s : "the connection was closed");
	return dst;
}

static int
tls_fail(struct err *e, const char *what, const char *path)
{
	char why[160];

	return err_set(e, RC_PERM, "%s: %s: %s", path, what, tls_error(why));
}

/* What both sides want of a connection. */
static SSL_CTX *
tls_new(const SSL_METHOD *m)
{
	SSL_CTX *c = SSL_CTX_new(m);

	must(c != NULL);
	must(SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) == 1);
	(void)SSL_CTX_set_options(
	    c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	(void)SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS);
	return c;
}

/* Our certificate and the key to it. */
static int
tls_identity(
    SSL_CTX *c, const char *cert_file, const char *key_file, struct err *e)
{
	if (SSL_CTX_use_certificate_chain_file(c, cert_file) != 1)
		return tls_fail(e, "no certificate chain in PEM", cert_file);
	if (SSL_CTX_use_PrivateKey_file(c, key_file, SSL_FILETYPE_PEM) != 1)
		return tls_fail(e, "no private key in PEM", key_file);
	if (SSL_CTX_check_private_key(c) != 1)
		return tls_fail(e, "not the key of the certificate", key_file);
	return 0;
}

/* HTTP/2 where the other side knows it, HTTP/1.1 where that is all it knows. */
static int
choose(SSL *ssl, const unsigned char **out, unsigned char *n,
    const unsigned char *in, unsigned int in_n, void *arg)
{
	static const unsigned char ours[] = "\x02h2\x08http/1.1";
	unsigned char *p;

	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto(&p, n, ours, sizeof(ours) - 1, in, in_n) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = p;
	return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *
tls_server_new(const struct grpc_tls *t, struct err *e)
{
	SSL_CTX *c = tls_new(TLS_server_method());

	if (tls_identity(c, t->cert_file, t->key_file, e) == -1)
		goto fail;
	if (t->ca_file != NULL) {
		if (SSL_CTX_load_verify_file(c, t->ca_file) != 1) {
			tls_fail(e, "no certificates in PEM", t->ca_file);
			goto fail;
		}
		SSL_CTX_set_verify(
		    c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	}
	/* Tickets resume without memory here; one is enough. */
	(void)SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_num_tickets(c, 1);
	must(SSL_CTX_set_session_id_context(
		 c, (const unsigned char *)"pipecd", 6) == 1);
	SSL_CTX_set_alpn_select_cb(c, choose, NULL);
	return c;
fail:
	SSL_CTX_free(c);
	return NULL;
}

struct grpc_tls *
grpc_tls_open(const char *cert_file, const char *key_file, const char *ca_file,
    struct err *e)
{
	struct grpc_tls *t = xcalloc(1, sizeof(*t));

	t->refs = 1;
	t->cert_file = xstrdup(cert_file);
	t->key_file = xstrdup(key_file);
	t->ca_file = xstrdup(ca_file);
	if ((t->ctx = tls_server_new(t, e)) == NULL) {
		grpc_tls_free(t);
		return NULL;
	}
	return t;
}

int
grpc_tls_reload(struct grpc_tls *t, struct err *e)
{
	SSL_CTX *c;

	if ((c = tls_server_new(t, e)) == NULL)
		return -1;
	SSL_CTX_free(t->ctx); /* connections hold it as long as they need it */
	t->ctx = c;
	return 0;
}

void
grpc_tls_free(struct grpc_tls *t)
{
	if (t == NULL || --t->refs > 0)
		return;
	SSL_CTX_free(t->ctx);
	free(t->cert_file);
	free(t->key_file);
	free(t->ca_file);
	free(t);
}

/*
 * Whom the system believes.  A directory of hashed names is read one
 * certificate at a time, when it is needed; the bundle is megabytes at once.
 */
static int
trust_system(SSL_CTX *c, struct err *e)
{
	const char *file = getenv("SSL_CERT_FILE"),
		   *dir = getenv("SSL_CERT_DIR");
	static const char *const bundles[] = {
		"/etc/ssl/certs/ca-certificates.crt",
		"/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"
	};
	size_t i;

	if (file != NULL && file[0] != '\0') {
		if (SSL_CTX_load_verify_file(c, file) != 1)
			return tls_fail(e, "no certificates in PEM", file);
		return 0;
	}
	if (dir == NULL || dir[0] == '\0')
		dir = "/etc/ssl/certs";
	/* One that is there wherever names are hashed at all (c_rehash). */
	if (getenv("SSL_CERT_DIR") != NULL ||
	    access("/etc/ssl/certs/ca-certificates.crt", R_OK) == 0) {
		if (SSL_CTX_load_verify_dir(c, dir) == 1)
			return 0;
		return tls_fail(e, "cannot be used", dir);
	}
	for (i = 0; i < NITEMS(bundles); i++) {
		if (access(bundles[i], R_OK) == 0 &&
		    SSL_CTX_load_verify_file(c, bundles[i]) == 1)
			return 0;
	}
	return err_set(e, RC_PERM,
	    "no certificates of authorities on this system: install "
	    "ca-certificates, or name a CA file");
}

SSL_CTX *
tls_client_new(const struct grpc_client_opts *o, struct err *e)
{
	SSL_CTX *c = tls_new(TLS_client_method());

	SSL_CTX_set_verify(c, SSL_VERIFY_PEER, NULL);
	if (o->ca_file == NULL) {
		if (trust_system(c, e) == -1)
			goto fail;
	} else if (SSL_CTX_load_verify_file(c, o->ca_file) != 1) {
		tls_fail(e, "no certificates in PEM", o->ca_file);
		goto fail;
	}
	if (o->cert_file != NULL &&
	    tls_identity(c, o->cert_file,
		o->key_file != NULL ? o->key_file : o->cert_file, e) == -1)
		goto fail;
	must(SSL_CTX_set_alpn_protos(c, (const unsigned char *)"\x02h2", 3) ==
	     0);
	return c;
fail:
	SSL_CTX_free(c);
	return NULL;
}
