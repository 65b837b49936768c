/*
 * The scanner of *.tf: what users wrote, in any state of repair.
 * needs: libplatform libhash
 */
#include <stdlib.h>

#include "../../src/pipecd-exec/terraform/hcl.c"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct hcl h = { .structured = map_new(),
		.sensitive = map_new(),
		.declared = map_new() };
	struct arena *a = arena_new();
	char *text = xcalloc(n == 0 ? 1 : n, 1);

	/* Just the bytes: reading past them is found. */
	memcpy(text, p, n);
	hcl_scan_text(&h, text, n, a);
	free(text);
	hcl_free(&h);
	arena_free(a);
	return 0;
}
