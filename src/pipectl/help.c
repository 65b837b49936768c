#include <stdio.h>
#include <string.h>

#include "ctl.h"

/* What people and shells want to know of the table of commands. */

const char synopsis[] = "pipectl [--option ...] command [--option ...]";

static void
help_opts(FILE *out, const char *title, const struct opt *o)
{
	static const char *const types[] = { [OPT_STR] = " TEXT",
		[OPT_LIST] = " A,B",
		[OPT_PAIRS] = " KEY=VALUE,...",
		[OPT_INT] = " N",
		[OPT_DURATION] = " 90s",
		[OPT_BOOL] = "" };

	if (o->name == NULL)
		return;
	fprintf(out, "\n%s\n", title);
	for (; o->name != NULL; o++) {
		fprintf(
		    out, "  --%s%s\n\t%s", o->name, types[o->type], o->about);
		if (o->values != NULL)
			fprintf(out, ": %s", o->values);
		if (o->dflt != NULL)
			fprintf(out, " (default %s)", o->dflt);
		if (o->flags & OPT_REQUIRED)
			fputs(" (needed)", out);
		fputc('\n', out);
	}
}

static void
help_command(FILE *out, const struct command *d)
{
	const struct opt *o;

	fprintf(out, "usage: pipectl %s%s%s", d->noun, *d->verb ? " " : "",
	    d->verb);
	for (o = d->opts; o->name != NULL; o++)
		if (o->flags & OPT_FIRST)
			fprintf(out, o->flags & OPT_REQUIRED ? " %s" : " [%s]",
			    o->name);
	fprintf(out, " [option ...]\n%s\n", d->about);
	help_opts(out, "Options:", d->opts);
	help_opts(out, "Options of every command:", global_opts);
}

void
help(FILE *out, const char *noun, const char *verb)
{
	const struct command *d;
	const char *last = "";

	for (d = commands; verb != NULL && d->noun != NULL; d++)
		if (strcmp(d->noun, noun) == 0 && strcmp(d->verb, verb) == 0) {
			help_command(out, d);
			return;
		}
	fprintf(out, "usage: %s\n", synopsis);
	for (d = commands; d->noun != NULL; d++) {
		if (noun != NULL && strcmp(d->noun, noun) != 0)
			continue;
		if (strcmp(d->noun, last) != 0)
			fprintf(out, "\n%s\n", d->noun);
		last = d->noun;
		fprintf(out, "  %-20s %s\n", d->verb, d->about);
	}
	help_opts(out, "Options of every command:", global_opts);
	fputs("\n`pipectl COMMAND --help` tells more of one.\n", out);
}

/* --- completion ------------------------------------------------------------ */

static void
candidate(const char *word, size_t n, const char *begun)
{
	if (n >= strlen(begun) && memcmp(word, begun, strlen(begun)) == 0)
		printf("%.*s\n", (int)n, word);
}

static void
candidate_opts(const struct opt *o, const char *begun)
{
	char name[80];
	int n;

	for (; o->name != NULL; o++) {
		n = snprintf(name, sizeof(name), "--%s", o->name);
		candidate(name, (size_t)n, begun);
	}
}

static bool
candidate_values(const struct opt *o, const char *opt, const char *begun)
{
	const char *p;
	size_t n;

	for (; o->name != NULL; o++) {
		if (strcmp(o->name, opt) != 0 || o->type == OPT_BOOL)
			continue;
		for (p = o->values; p != NULL && *p != '\0'; p += n) {
			p += *p == ' ';
			n = strcspn(p, " ");
			candidate(p, n, begun);
		}
		return true;
	}
	return false;
}

void
complete(int argc, char *const argv[])
{
	const char *begun = argc > 0 ? argv[argc - 1] : "";
	const char *before = argc > 1 ? argv[argc - 2] : "";
	const struct command *d, *of = NULL;
	const char *words[3] = { "", "", "" }, *last = "", *rest;
	size_t n = 0;
	int i;

	for (i = 0; i + 1 < argc && n < NITEMS(words); i++)
		if (argv[i][0] != '-')
			words[n++] = argv[i];
	for (d = commands; d->noun != NULL; d++)
		if (n > 0 && strcmp(d->noun, words[0]) == 0 &&
		    (*d->verb == '\0' ||
			(n > 1 && str_prefix(d->verb, words[1]) &&
			    strcspn(d->verb, " ") == strlen(words[1]))))
			of = d;
	if (str_prefix(before, "--") &&
	    (candidate_values(global_opts, before + 2, begun) ||
		(of != NULL && candidate_values(of->opts, before + 2, begun))))
		return;
	if (begun[0] == '-') {
		if (of != NULL)
			candidate_opts(of->opts, begun);
		candidate_opts(global_opts, begun);
		return;
	}
	for (d = commands; d->noun != NULL; d++) {
		rest = n == 0 ? d->noun : d->verb;
		if (n == 2 && (rest = strchr(d->verb, ' ')) != NULL &&
		    str_prefix(d->verb, words[1]))
			rest++;
		if (n > 2 || rest == NULL ||
		    (n > 0 && strcmp(d->noun, words[0]) != 0) ||
		    (n == 0 && strcmp(last, rest) == 0))
			continue;
		last = rest;
		candidate(rest, strcspn(rest, " "), begun);
	}
}
