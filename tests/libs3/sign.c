/* The examples that Amazon gives for Signature Version 4, and odd names. */
#include <stdio.h>
#include <string.h>

#include "s3.h"

static const struct s3_conf conf = {
	.region = "us-east-1",
	.bucket = "examplebucket",
	.access = "AKIAIOSFODNN7EXAMPLE",
	.secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
};

static void
show(const char *name, struct s3_request *q)
{
	struct buf b = BUF_INIT;

	q->now = 1369353600; /* 20130524T000000Z */
	s3_authorization(&b, q, &conf);
	printf("%s %s\n", name, strstr(b.p, "Signature=") + 10);
	buf_free(&b);
}

int
main(void)
{
	static const struct s3_pair range[] = { { "range", "bytes=0-9" } };
	static const struct s3_pair put[] = {
		{ "date", "Fri, 24 May 2013 00:00:00 GMT" },
		{ "x-amz-storage-class", "REDUCED_REDUNDANCY" },
	};
	static const struct s3_pair lifecycle[] = { { "lifecycle", "" } };
	static const struct s3_pair list[] = { { "prefix", "J" },
		{ "max-keys", "2" } };
	static const struct s3_pair odd[] = { { "b", "x y" }, { "a-b", "1" },
		{ "a", "2" }, { "a", "1+/=" }, { "\xc3\xa4", "~" } };
	struct s3_request q = { .method = "GET",
		.host = "examplebucket.s3.amazonaws.com",
		.path = "/test.txt",
		.body = "",
		.headers = range,
		.n_headers = 1 };
	struct buf b = BUF_INIT;

	show("get", &q);
	q.method = "PUT";
	q.path = "/test$file.text";
	q.headers = put;
	q.n_headers = 2;
	q.body = "Welcome to Amazon S3.";
	q.n_body = 21;
	show("put", &q);
	q.method = "GET";
	q.path = "/";
	q.n_headers = 0;
	q.n_body = 0;
	q.query = lifecycle;
	q.n_query = 1;
	show("lifecycle", &q);
	q.query = list;
	q.n_query = 2;
	show("list", &q);
	q.path = "/b/a b+c=d/../\xc3\xa4//~";
	q.query = odd;
	q.n_query = 5;
	s3_target(&b, &q);
	printf("%s\n", b.p);
	buf_free(&b);
	return 0;
}
