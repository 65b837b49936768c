#include <stdio.h>
#include <string.h>
#include <time.h>

#include "output.h"
#include "request.h"

/* pipectl insight: one figure over time. */

enum {
	DAY = 86400
};

/* "30d", "12w" before `until`, or a date: UTC, in Unix seconds. */
static int
time_of(
    const char *option, const char *s, int64_t until, int64_t *t, struct err *e)
{
	struct tm tm = { .tm_mday = 1 };
	char unit = '\0', rest = '\0';
	long long n;
	const char *end;

	if (sscanf(s, "%lld%c%c", &n, &unit, &rest) == 2 && n >= 0 &&
	    n < 10000 && (unit == 'd' || unit == 'w')) {
		*t = until - n * (unit == 'w' ? 7 : 1) * DAY;
		return 0;
	}
	end = strptime(s, "%Y-%m-%d", &tm);
	if (end == NULL || *end != '\0')
		return err_set(e, RC_PERM,
		    "--%s: \"%s\" is neither a span (30d, 12w) nor a date "
		    "(2026-11-21)",
		    option, s);
	*t = timegm(&tm);
	return 0;
}

static void
print_points(struct ctl *c, const WEB(GetInsightDataResponse) * r)
{
	const Model__InsightDataPoint *p;
	char iso[21];
	size_t i, j;

	if (format_of(c) == FORMAT_JSON || format_of(c) == FORMAT_YAML) {
		print_one(c, &r->base);
		return;
	}
	printf("%-12s%s\n", "DATE", arg_str(c, "metric"));
	for (i = 0; i < r->n_matrix; i++)
		for (j = 0; j < r->matrix[i]->n_data_points; j++) {
			p = r->matrix[i]->data_points[j];
			time_iso(iso, p->timestamp);
			printf("%-12.10s%g\n", iso, (double)p->value);
		}
}

int
insight(struct ctl *c, struct err *e)
{
	WEB(GetInsightDataRequest) q;
	WEB(GetInsightDataResponse) * r;

	WEB_(get_insight_data_request__init)(&q);
	q.range_to = wall_s();
	if ((arg_given(c, "until") && time_of("until", arg_str(c, "until"),
					  q.range_to, &q.range_to, e) == -1) ||
	    time_of("since", arg_str(c, "since"), q.range_to, &q.range_from,
		e) == -1)
		return -1;
	q.metrics_kind = (Model__InsightMetricsKind)msg_enum_value(
	    &model__insight_metrics_kind__descriptor, arg_str(c, "metric"));
	q.resolution = (Model__InsightResolution)msg_enum_value(
	    &model__insight_resolution__descriptor, arg_str(c, "resolution"));
	q.application_id = request_arg(c, "app-id");
	q.labels = request_pairs(c, "label",
	    &WEB_(get_insight_data_request__labels_entry__descriptor),
	    &q.n_labels);
	r = client_call(c, SERVICE_OPERATOR, "GetInsightData", &q.base,
	    &WEB_(get_insight_data_response__descriptor), e);
	if (r == NULL)
		return -1;
	print_points(c, r);
	return RC_OK;
}
