/*
 * NAME
 *	pipecd-report-summary - how often, how fast and how well was deployed
 * SYNOPSIS
 *	pipecd-report-summary [-v] [-f config] [--option ...] [journal ...]
 * DESCRIPTION
 *	Reads the journals of deployments, of the state directory that -f names
 *	or those given, and prints the four numbers by which delivery is
 *	measured, for each application and in total, over the whole range and
 *	for each of its days or weeks (UTC; a week begins on Monday; one
 *	without a deployment is there, with zeros).
 *
 *	Deployments are counted where they finished, each once: SUCCESS,
 *	FAILURE and CANCELLED.  One that a newer commit superseded before it
 *	began changed nothing: it is counted apart and in no rate.
 *
 *	Lead time is from the commit to the end of the first deployment that
 *	delivered it with SUCCESS; deploying the same commit again, by command
 *	or to correct drift, is none.
 *
 *	Change failure rate is the share of deployments that ended as FAILURE
 *	or were rolled back, whatever they ended as.  CANCELLED ones are in
 *	the denominator.
 *
 *	Time to restore is from the end of the first such deployment of an
 *	application to the end of its next SUCCESS; failures in between belong
 *	to the same outage.  It counts where it ends.  What began before the
 *	range is taken into account as far as there are journals.
 *
 *	The median of an even count is the mean of the middle two; p90 is the
 *	nearest rank.
 * OPTIONS
 *	-f config	the Piped configuration, for its stateDir
 *	-v	more on stderr
 *	--since WHEN	default 30d: a span (30d, 2w, 36h) before the end, or a
 *		date (2026-11-21, 2026-11-21T08:00:00Z); the first day or week
 *		is taken whole
 *	--until WHEN	default now; a date without time is meant to its end
 *	--by day|week	default day
 *	--format F	default text: aligned columns; json; csv (RFC 4180);
 *		html, one page with charts that needs nothing else: no script,
 *		no network
 *	--app NAME	only this application, by name or id; may be repeated
 * INPUT
 *	Journals, as pipecd-exec writes them.  One that is damaged is said on
 *	stderr, counted and left out.
 * OUTPUT
 *	JSON, schema 1: since, until, by, journals {read, damaged, unfinished},
 *	total and applications [{id, name, ...}].  Each of these has the counts
 *	deployments, success, failure, cancelled, rolled_back, superseded,
 *	failed_changes; change_failure_rate (0 to 1, null without deployments);
 *	lead_time_seconds and restore_seconds {count, median, p90} (null
 *	without one); not_restored, deployments_per_day, and buckets
 *	[{start, ...}] with the same.  Names may be added, none is changed.
 *
 *	CSV: a header and one row per scope (total, application) and period
 *	(all, then each day or week by its first day), the same numbers; a
 *	number that there is none of is empty.  A name that begins like a
 *	formula has an apostrophe in front.
 * EXIT STATUS
 *	0	a report was written, be it empty
 *	100	usage, a configuration that cannot be read
 *	111	stdout is gone, the journals cannot be listed
 * FILES
 *	STATEDIR/journal/DEPLOYMENT.ndjson
 * PRIVILEGES
 *	Reads journals.  No network, no secrets.
 * SEE ALSO
 *	pipecd-report(1), pipecd-exec(1)
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"
#include "summary.h"

static const char synopsis[] =
    "pipecd-report-summary [-v] [-f config] [--option ...] [journal ...]";

static const struct format {
	const char *name;
	void (*write)(FILE *out, struct summary *s, struct series *total);
} formats[] = {
	{ "text", write_text },
	{ "json", write_json },
	{ "csv", write_csv },
	{ "html", write_html },
};

struct options {
	const char *config, *since, *until, *by, *format;
	const char **apps;
	size_t n_apps;
	char *const *files; /* ends with NULL */
};

static void
options_parse(struct options *o, int argc, char *argv[])
{
	static const struct option names[] = {
		{ "since", required_argument, NULL, 's' },
		{ "until", required_argument, NULL, 'u' },
		{ "by", required_argument, NULL, 'B' },
		{ "format", required_argument, NULL, 'F' },
		{ "app", required_argument, NULL, 'a' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "f:v", names, NULL)) != -1) {
		switch (c) {
		case 'f':
			o->config = optarg;
			break;
		case 's':
			o->since = optarg;
			break;
		case 'u':
			o->until = optarg;
			break;
		case 'B':
			o->by = optarg;
			break;
		case 'F':
			o->format = optarg;
			break;
		case 'a':
			o->apps[o->n_apps++] = optarg;
			break;
		case 'v':
			log_open("pipecd-report-summary", LOG_DEBUG);
			break;
		default:
			usage(synopsis);
		}
	}
	o->files = argv + optind;
	if (*o->files == NULL && o->config == NULL)
		usage(synopsis);
}

static int
read_all(struct summary *s, const struct options *o, struct err *e)
{
	struct arena *a = arena_new();
	struct conf_piped conf;
	char *const *f;
	int rv = -1;

	for (f = o->files; *f != NULL; f++)
		summary_read_file(s, *f);
	if (f == o->files) {
		if (conf_piped_open(&conf, o->config, a, e) == -1)
			goto out;
		if (summary_read_dir(s,
			arena_printf(a, "%s/journal", conf.state_dir), e) == -1)
			goto out;
	}
	rv = 0;
out:
	arena_free(a);
	return rv;
}

static int
summary_print(struct summary *s, const struct format *format, struct err *e)
{
	struct series total;
	size_t i;

	summary_sort(s);
	series_init(&total, &s->range);
	for (i = 0; i < s->n_apps; i++)
		series_add(&total, s, &s->apps[i]);
	series_sort(&total);
	format->write(stdout, s, &total);
	series_free(&total);
	if (fflush(stdout) == EOF || ferror(stdout))
		return err_sys(e, "stdout");
	return 0;
}

static const struct format *
format_find(const char *name)
{
	size_t i;

	for (i = 0; i < NITEMS(formats); i++)
		if (strcmp(formats[i].name, name) == 0)
			return &formats[i];
	return NULL;
}

int
main(int argc, char *argv[])
{
	struct options o = {
		.since = "30d", .until = "now", .by = "day", .format = "text"
	};
	struct summary s = { 0 };
	const struct format *format;
	struct err e = { 0 };
	int rv = -1;

	log_open("pipecd-report-summary", LOG_INFO);
	o.apps = xcalloc((size_t)argc + 1, sizeof(*o.apps));
	options_parse(&o, argc, argv);
	s.arena = arena_new();
	s.by_id = map_new();
	s.commits = map_new();
	s.only = o.apps;
	s.n_only = o.n_apps;
	if ((format = format_find(o.format)) == NULL) {
		err_set(&e, RC_PERM,
		    "--format %s: is none of text, json, csv, html", o.format);
		goto out;
	}
	if (range_parse(&s.range, o.since, o.until, o.by, wall_s(), &e) == -1)
		goto out;
	if (read_all(&s, &o, &e) == -1)
		goto out;
	rv = summary_print(&s, format, &e);
out:
	free(s.apps);
	free(s.recs);
	map_free(s.by_id);
	map_free(s.commits);
	arena_free(s.arena);
	free(o.apps);
	if (rv == -1)
		die(&e);
	return RC_OK;
}
