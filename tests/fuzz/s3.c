/*
 * The canonical form of requests to S3: whatever is in path, query and headers,
 * it is lines of the right number and characters, and the same for the same.
 * needs: libs3 libhash libbase
 */
#include <stdlib.h>
#include <string.h>

#include "s3.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static char *
cut(char **s)
{
	char *word = *s;

	*s += strcspn(*s, "\n");
	if (**s == '\n')
		*(*s)++ = '\0';
	return word;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct s3_pair query[8], back[8];
	struct s3_request q = { .method = "GET", .host = "h", .query = query };
	const struct s3_conf c = {
		.region = "r", .access = "a", .secret = "s"
	};
	char *text = xcalloc(1, n + 1), *s = text;
	struct buf a = BUF_INIT, b = BUF_INIT, t = BUF_INIT;
	size_t i, lines = 0;

	memcpy(text, p, n);
	q.path = cut(&s);
	while (q.n_query < 8 && *s != '\0') {
		query[q.n_query].name = cut(&s);
		query[q.n_query++].value = cut(&s);
	}
	q.body = s;
	q.n_body = strlen(s);
	q.now = (int64_t)n * 1000003;
	s3_canonical(&a, &q);
	for (i = 0; i < a.len; i++)
		lines += a.p[i] == '\n';
	must(lines == 8);
	s3_target(&t, &q);
	for (i = 0; i < t.len; i++)
		must(t.p[i] > ' ' && t.p[i] < 127);
	/* The order in which parameters were given does not count. */
	for (i = 0; i < q.n_query; i++)
		back[i] = query[q.n_query - 1 - i];
	q.query = back;
	s3_canonical(&b, &q);
	must(a.len == b.len && memcmp(a.p, b.p, a.len) == 0);
	buf_reset(&b);
	s3_authorization(&b, &q, &c);
	must(strchr(b.p, '\n') == NULL);
	buf_free(&a);
	buf_free(&b);
	buf_free(&t);
	free(text);
	return 0;
}
