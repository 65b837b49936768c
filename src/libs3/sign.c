/* Signature Version 4. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hash.h"
#include "s3.h"

enum {
	BLOCK = 64,
	RAW = 32
};

static void
hmac(uint8_t dst[RAW], const void *key, size_t kn, const void *p, size_t n)
{
	uint8_t k[BLOCK] = { 0 }, inner[RAW];
	SHA2_CTX c;
	size_t i;

	if (kn > BLOCK) {
		SHA256Init(&c);
		SHA256Update(&c, key, kn);
		SHA256Final(k, &c);
	} else if (kn > 0) {
		memcpy(k, key, kn);
	}
	for (i = 0; i < BLOCK; i++)
		k[i] ^= 0x36;
	SHA256Init(&c);
	SHA256Update(&c, k, BLOCK);
	SHA256Update(&c, p, n);
	SHA256Final(inner, &c);
	for (i = 0; i < BLOCK; i++)
		k[i] ^= 0x36 ^ 0x5c;
	SHA256Init(&c);
	SHA256Update(&c, k, BLOCK);
	SHA256Update(&c, inner, RAW);
	SHA256Final(dst, &c);
	explicit_bzero(k, sizeof(k));
}

/* RFC 3986, hexadecimal digits in upper case. */
static void
encode(struct buf *b, const char *s, bool slash)
{
	for (; *s != '\0'; s++)
		if ((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
		    (*s >= '0' && *s <= '9') || strchr("-._~", *s) != NULL ||
		    (slash && *s == '/'))
			buf_addc(b, *s);
		else
			buf_printf(b, "%%%02X", (unsigned char)*s);
}

static int
by_text(const void *x, const void *y)
{
	const struct buf *a = x, *b = y;

	return strcmp(a->p, b->p);
}

/*
 * Sorted by encoded name, then value.  "a=" would sort behind "a-b=", so that
 * while they are sorted a byte below all others stands for the '='.
 */
static void
query(struct buf *b, const struct s3_request *q)
{
	struct buf *v = xcalloc(q->n_query + 1, sizeof(*v));
	static const struct buf empty = BUF_INIT;
	size_t i;

	for (i = 0; i < q->n_query; i++) {
		v[i] = empty;
		encode(&v[i], q->query[i].name, false);
		buf_addc(&v[i], '\001');
		encode(&v[i], q->query[i].value, false);
	}
	if (q->n_query > 1)
		qsort(v, q->n_query, sizeof(*v), by_text);
	for (i = 0; i < q->n_query; i++) {
		*strchr(v[i].p, '\001') = '=';
		if (i > 0)
			buf_addc(b, '&');
		buf_add(b, v[i].p, v[i].len);
		buf_free(&v[i]);
	}
	free(v);
}

void
s3_target(struct buf *out, const struct s3_request *q)
{
	encode(out, q->path, true);
	if (q->n_query > 0) {
		buf_addc(out, '?');
		query(out, q);
	}
}

void
s3_date(char dst[17], int64_t now)
{
	time_t t = (time_t)now;
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL ||
	    strftime(dst, 17, "%Y%m%dT%H%M%SZ", &tm) != 16)
		memcpy(dst, "19700101T000000Z", 17);
}

/* A header's value: without spaces at its ends, one for several inside. */
static void
trimmed(struct buf *b, const char *s)
{
	size_t mark = b->len;

	for (; *s != '\0'; s++)
		if (*s != ' ')
			buf_addc(b, *s);
		else if (b->len > mark && s[1] != ' ' && s[1] != '\0')
			buf_addc(b, ' ');
}

static int
by_name(const void *x, const void *y)
{
	const struct s3_pair *a = x, *b = y;

	return strcmp(a->name, b->name);
}

/* All that are signed, sorted: `text` as they count, `names` in a row. */
static void
headers(struct buf *text, struct buf *names, const struct s3_request *q,
    const char *hash)
{
	struct s3_pair *v = xcalloc(q->n_headers + 3, sizeof(*v));
	char date[17];
	size_t i, n = 0;

	s3_date(date, q->now);
	v[n++] = (struct s3_pair){ "host", q->host };
	v[n++] = (struct s3_pair){ "x-amz-content-sha256", hash };
	v[n++] = (struct s3_pair){ "x-amz-date", date };
	for (i = 0; i < q->n_headers; i++)
		v[n++] = q->headers[i];
	qsort(v, n, sizeof(*v), by_name);
	for (i = 0; i < n; i++) {
		if (text != NULL) {
			buf_printf(text, "%s:", v[i].name);
			trimmed(text, v[i].value);
			buf_addc(text, '\n');
		}
		if (names != NULL)
			buf_printf(names, "%s%s", i == 0 ? "" : ";", v[i].name);
	}
	free(v);
}

void
s3_canonical(struct buf *out, const struct s3_request *q)
{
	char hash[SHA256_HEX];

	sha256_hex(hash, q->body, q->n_body);
	buf_printf(out, "%s\n", q->method);
	encode(out, q->path, true);
	buf_addc(out, '\n');
	query(out, q);
	buf_addc(out, '\n');
	headers(out, NULL, q, hash);
	buf_addc(out, '\n');
	headers(NULL, out, q, hash);
	buf_printf(out, "\n%s", hash);
}

void
s3_authorization(
    struct buf *out, const struct s3_request *q, const struct s3_conf *c)
{
	struct buf text = BUF_INIT, key = BUF_INIT;
	char date[17], hash[SHA256_HEX], hex[2 * RAW + 1];
	uint8_t k[RAW];

	s3_date(date, q->now);
	s3_canonical(&text, q);
	sha256_hex(hash, text.p, text.len);
	buf_reset(&text);
	buf_printf(&text, "AWS4-HMAC-SHA256\n%s\n%.8s/%s/s3/aws4_request\n%s",
	    date, date, c->region, hash);
	buf_printf(&key, "AWS4%s", c->secret);
	hmac(k, key.p, key.len, date, 8);
	hmac(k, k, RAW, c->region, strlen(c->region));
	hmac(k, k, RAW, "s3", 2);
	hmac(k, k, RAW, "aws4_request", 12);
	hmac(k, k, RAW, text.p, text.len);
	hex_encode(hex, k, RAW);
	buf_printf(out,
	    "AWS4-HMAC-SHA256 Credential=%s/%.8s/%s/s3/aws4_request, "
	    "SignedHeaders=",
	    c->access, date, c->region);
	headers(NULL, out, q, hash);
	buf_printf(out, ", Signature=%s", hex);
	explicit_bzero(key.p, key.len);
	explicit_bzero(k, sizeof(k));
	buf_free(&key);
	buf_free(&text);
}
