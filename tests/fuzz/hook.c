/*
 * Webhook bodies: the first byte picks the server, the second the form.
 * needs: libhook libhash libbase
 */
#include <string.h>

#include "hook.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const char *const events[HOOK__N] = { "push", "System Hook",
		"push", "repo:push" };
	struct hook_headers h = { 0 };
	struct hook_push push;
	struct arena *a;
	enum hook_type t;
	struct err e;
	size_t i;

	if (n < 2)
		return 0;
	t = (enum hook_type)(p[0] % HOOK__N);
	h.event = events[t];
	h.content_type =
	    p[1] & 1 ? "application/x-www-form-urlencoded" : "application/json";
	h.signature = "sha256=0000";
	a = arena_new();
	must(!hook_verify(t, &h, p + 2, n - 2, "k", 1));
	if (hook_read(&push, t, &h, p + 2, n - 2, a, &e) == 1) {
		must(push.n_remotes > 0 && push.n_remotes <= HOOK_REMOTES);
		for (i = 0; i < push.n_remotes; i++)
			must(*push.remotes[i] != '\0');
		must(push.branch != NULL && push.commit != NULL);
	}
	arena_free(a);
	return 0;
}
