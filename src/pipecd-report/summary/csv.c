#include <string.h>

#include "summary.h"
#include "text.h"

/*
 * A field that a spreadsheet would take for a formula gets an apostrophe in
 * front: names are what strangers wrote.
 */
static void
put_field(FILE *out, const char *s)
{
	struct arena *a = arena_new();

	s = text_inert(a, s, false);
	fputc('"', out);
	if (*s != '\0' && strchr("=+-@", *s) != NULL)
		fputc('\'', out);
	for (; *s != '\0'; s++) {
		if (*s == '"')
			fputc('"', out);
		fputc(*s, out);
	}
	fputc('"', out);
	arena_free(a);
}

static void
put_number(FILE *out, int64_t n)
{
	fputc(',', out);
	if (n >= 0)
		fprintf(out, "%lld", (long long)n);
}

static void
put_row(FILE *out, const struct app *app, const char *period, const char *start,
    const struct stats *s)
{
	double rate = stats_failure_rate(s);

	fprintf(out, "%s,", app == NULL ? "total" : "application");
	put_field(out, app == NULL ? "" : app->id);
	fputc(',', out);
	put_field(out, app == NULL ? "" : app->name);
	fprintf(out, ",%s,%s,%zu,%zu,%zu,%zu,%zu,%zu,%zu,", period, start,
	    s->deployments, s->success, s->failure, s->cancelled,
	    s->rolled_back, s->superseded, s->bad);
	if (rate >= 0)
		fprintf(out, "%.4f", rate);
	put_number(out, nums_median(&s->lead));
	put_number(out, nums_p90(&s->lead));
	put_number(out, nums_median(&s->restore));
	put_number(out, nums_p90(&s->restore));
	fprintf(out, "\r\n");
}

static void
put_series(FILE *out, const struct app *app, const struct series *x,
    const struct range *r)
{
	char day[11];
	size_t i;

	range_day(day, r, 0);
	put_row(out, app, "all", day, &x->all);
	for (i = 0; i < x->n; i++) {
		range_day(day, r, i);
		put_row(out, app, r->step == 86400 ? "day" : "week", day,
		    &x->bucket[i]);
	}
}

void
write_csv(FILE *out, struct summary *s, struct series *total)
{
	struct series one;
	size_t i;

	fprintf(out,
	    "scope,application_id,application,period,start,deployments,"
	    "success,failure,cancelled,rolled_back,superseded,failed_changes,"
	    "change_failure_rate,lead_median_s,lead_p90_s,restore_median_s,"
	    "restore_p90_s\r\n");
	put_series(out, NULL, total, &s->range);
	series_init(&one, &s->range);
	for (i = 0; i < s->n_apps; i++) {
		series_reset(&one);
		series_add(&one, s, &s->apps[i]);
		series_sort(&one);
		put_series(out, &s->apps[i], &one, &s->range);
	}
	series_free(&one);
}
