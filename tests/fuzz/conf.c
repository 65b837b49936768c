/*
 * Configurations of strangers: every kind is read without harm; the effective
 * Piped config and each of its slices, read again, print the same.
 * needs: libconf
 */
#include <stdint.h>
#include <string.h>

#include "conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
print_again(const struct conf_piped *c, enum conf_who who, struct arena *a)
{
	struct buf one = BUF_INIT, two = BUF_INIT, said = BUF_INIT;
	struct conf_report r = { .text = &said };
	struct conf_piped d;
	struct err e;

	conf_piped_print(&one, c, who, NULL);
	if (conf_piped_read(&d, "again", one.p, one.len, a, &r, &e) == 0) {
		conf_piped_print(&two, &d, who, NULL);
		must(strcmp(one.p, two.p) == 0);
	} else if (who != WHO_ALL)
		must(strstr(said.p, "not YAML") != NULL);
	buf_free(&one);
	buf_free(&two);
	buf_free(&said);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new();
	struct buf said = BUF_INIT;
	struct conf_report r = { .text = &said };
	const char *s = (const char *)data;
	struct conf_piped p;
	struct conf_app app;
	struct err e;
	int who;

	(void)conf_check("fuzz", s, size, &r, &e);
	if (conf_app_read(&app, "fuzz", s, size, a, &r, &e) == 0)
		must(app.kind != NULL);
	if (conf_piped_read(&p, "fuzz", s, size, a, &r, &e) == 0) {
		for (who = WHO_ALL; who <= WHO_SCRIPT; who++)
			print_again(&p, (enum conf_who)who, a);
	}
	buf_free(&said);
	arena_free(a);
	return 0;
}
