#include <string.h>

#include "summary.h"

static void
put_string(FILE *out, const char *s)
{
	fputc('"', out);
	for (; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			fprintf(out, "\\u%04x", c);
		else
			fputc(c, out);
	}
	fputc('"', out);
}

static void
put_seconds(FILE *out, const char *name, const struct nums *v)
{
	fprintf(out, ",\"%s\":{\"count\":%zu,\"median\":", name, v->n);
	if (v->n == 0) {
		fprintf(out, "null,\"p90\":null}");
		return;
	}
	fprintf(out, "%lld,\"p90\":%lld}", (long long)nums_median(v),
	    (long long)nums_p90(v));
}

static void
put_stats(FILE *out, const struct stats *s)
{
	double rate = stats_failure_rate(s);

	fprintf(out,
	    "\"deployments\":%zu,\"success\":%zu,\"failure\":%zu,"
	    "\"cancelled\":%zu,\"rolled_back\":%zu,\"superseded\":%zu,"
	    "\"failed_changes\":%zu,\"change_failure_rate\":",
	    s->deployments, s->success, s->failure, s->cancelled,
	    s->rolled_back, s->superseded, s->bad);
	if (rate < 0)
		fprintf(out, "null");
	else
		fprintf(out, "%.4f", rate);
	put_seconds(out, "lead_time_seconds", &s->lead);
	put_seconds(out, "restore_seconds", &s->restore);
}

static void
put_series(FILE *out, const struct series *x, const struct range *r)
{
	char day[11];
	size_t i;

	put_stats(out, &x->all);
	fprintf(out, ",\"not_restored\":%zu,\"deployments_per_day\":%.4f",
	    x->all.open, stats_per_day(&x->all, r->until - r->since));
	fprintf(out, ",\"buckets\":[");
	for (i = 0; i < x->n; i++) {
		range_day(day, r, i);
		fprintf(out, "%s\n{\"start\":\"%s\",", i > 0 ? "," : "", day);
		put_stats(out, &x->bucket[i]);
		fputc('}', out);
	}
	fprintf(out, "]");
}

void
write_json(FILE *out, struct summary *s, struct series *total)
{
	const struct range *r = &s->range;
	char since[21], until[21];
	struct series one;
	size_t i;

	time_iso(since, r->since);
	time_iso(until, r->until);
	fprintf(out,
	    "{\"schema\":1,\"since\":\"%s\",\"until\":\"%s\",\"by\":\"%s\","
	    "\"journals\":{\"read\":%zu,\"damaged\":%zu,\"unfinished\":%zu},\n"
	    "\"total\":{",
	    since, until, r->step == 86400 ? "day" : "week", s->journals,
	    s->damaged, s->unfinished);
	put_series(out, total, r);
	fprintf(out, "},\n\"applications\":[");
	series_init(&one, r);
	for (i = 0; i < s->n_apps; i++) {
		series_reset(&one);
		series_add(&one, s, &s->apps[i]);
		series_sort(&one);
		fprintf(out, "%s\n{\"id\":", i > 0 ? "," : "");
		put_string(out, s->apps[i].id);
		fprintf(out, ",\"name\":");
		put_string(out, s->apps[i].name);
		fputc(',', out);
		put_series(out, &one, r);
		fputc('}', out);
	}
	series_free(&one);
	fprintf(out, "]}\n");
}
