/*
 * seal - libseal on the command line: `seal close PUBLIC.pem` and
 * `seal open PRIVATE.pem`, from stdin to stdout.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "seal.h"

int
main(int argc, char **argv)
{
	struct buf pem = BUF_INIT, in = BUF_INIT, out = BUF_INIT;
	struct seal_key *k = NULL;
	struct secret s = { 0 };
	struct err e = { 0 };
	int rv = -1;
	ssize_t n;

	log_open("seal", LOG_INFO);
	if (argc != 3 || file_read(argv[2], 65536, &pem, &e) != 1)
		return 100;
	do {
		buf_grow(&in, 65536);
		n = read(0, in.p + in.len, 65536);
		if (n > 0)
			in.len += (size_t)n;
	} while (n > 0);
	if (strcmp(argv[1], "close") == 0) {
		if ((k = seal_public(pem.p, pem.len, &e)) != NULL &&
		    (rv = seal_close(&out, k, in.p, in.len, &e)) == 0)
			fwrite(out.p, 1, out.len, stdout);
	} else if ((k = seal_private(pem.p, pem.len, &e)) != NULL &&
		   (rv = seal_open(&s, k, in.p, in.len, &e)) == 0) {
		fwrite(s.p, 1, s.len, stdout);
	}
	seal_key_free(k);
	secret_free(&s);
	buf_free(&pem);
	buf_free(&in);
	buf_free(&out);
	if (rv == -1)
		fprintf(stderr, "%s\n", e.text);
	return rv == -1 ? e.exit : 0;
}
