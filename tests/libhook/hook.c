/*
 * Webhooks from a shell:
 *	hook verify TYPE SECRET SIGNATURE	body on stdin: "yes" or "no"
 *	hook read TYPE EVENT [CONTENT-TYPE]	body on stdin: what it says
 */
#include "hook.h"

#include <stdio.h>
#include <string.h>

int
main(int argc, char *argv[])
{
	struct hook_headers h = { 0 };
	struct arena *a = arena_new();
	struct buf body = BUF_INIT;
	struct hook_push p;
	struct err e;
	size_t i;

	log_open("hook", LOG_INFO);
	if (argc < 4 || hook_type(argv[2]) == HOOK__N)
		usage("hook verify|read type ...");
	if (file_read("/dev/stdin", 1 << 20, &body, &e) == -1)
		die(&e);
	if (strcmp(argv[1], "verify") == 0 && argc == 5) {
		h.signature = argv[4];
		puts(hook_verify(hook_type(argv[2]), &h, body.p, body.len,
			 argv[3], strlen(argv[3]))
			 ? "yes"
			 : "no");
	} else {
		h.event = argv[3];
		h.content_type = argv[4]; /* or NULL */
		switch (hook_read(
		    &p, hook_type(argv[2]), &h, body.p, body.len, a, &e)) {
		case -1:
			die(&e);
		case 0:
			puts("none of ours");
			break;
		default:
			printf("branch=%s commit=%s\n", p.branch, p.commit);
			for (i = 0; i < p.n_remotes; i++)
				puts(p.remotes[i]);
		}
	}
	buf_free(&body);
	arena_free(a);
	return RC_OK;
}
