#include "insight.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "msg.h"

enum {
	RANGE_S = 2 * 366 * 86400, /* PipeCD refuses more */
	CHUNK_MAX = 64 << 20	   /* memory of one that is decoded */
};

struct bucket {
	unsigned count, failed;
	int64_t *v; /* seconds, for medians */
	size_t n, cap;
};

struct insight {
	struct arena *a;
	const Grpc__Service__Webservice__GetInsightDataRequest *q;
	bool monthly;
	int64_t from, to; /* of the first bucket; the end of the last */
	char first[8], last[8];
	struct bucket *bucket;
	size_t n;
	int64_t updated_at;
};

/* --- names -----------------------------------------------------------------
 */

void
insight_prefix(char key[INSIGHT_KEY], const char *project)
{
	(void)snprintf(key, INSIGHT_KEY,
	    "insights/%.100s/completed-deployments/", project);
}

void
insight_chunk(
    char key[INSIGHT_KEY], const char *project, const char *month, unsigned n)
{
	(void)snprintf(key, INSIGHT_KEY,
	    "insights/%.100s/completed-deployments/%s/chunk_%u", project, month,
	    n);
}

void
insight_applications(char key[INSIGHT_KEY], const char *project)
{
	(void)snprintf(
	    key, INSIGHT_KEY, "insights/%.100s/applications", project);
}

/* --- time ------------------------------------------------------------------
 */

static struct tm
utc(int64_t at)
{
	time_t t = (time_t)at;
	struct tm tm = { 0 };

	(void)gmtime_r(&t, &tm);
	return tm;
}

void
insight_month(char month[8], int64_t at)
{
	struct tm tm = utc(at);

	(void)snprintf(month, 8, "%04u-%02u",
	    (unsigned)(tm.tm_year + 1900) % 10000U,
	    (unsigned)(tm.tm_mon + 1) % 100U);
}

int64_t
insight_floor(int64_t at, bool monthly)
{
	struct tm tm = utc(at);

	tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
	if (monthly)
		tm.tm_mday = 1;
	return timegm(&tm);
}

int64_t
insight_step(int64_t floor, bool monthly)
{
	struct tm tm = utc(floor);

	if (monthly)
		tm.tm_mon++;
	else
		tm.tm_mday++;
	return timegm(&tm);
}

/* --- a question ------------------------------------------------------------
 */

static int
check(const Grpc__Service__Webservice__GetInsightDataRequest *q, struct err *e)
{
	switch (q->metrics_kind) {
	case MODEL__INSIGHT_METRICS_KIND__DEPLOYMENT_FREQUENCY:
	case MODEL__INSIGHT_METRICS_KIND__CHANGE_FAILURE_RATE:
	case MODEL__INSIGHT_METRICS_KIND__MTTR:
	case MODEL__INSIGHT_METRICS_KIND__LEAD_TIME:
		break;
	default:
		return err_set(e, RC_PERM,
		    "metrics_kind: DEPLOYMENT_FREQUENCY, CHANGE_FAILURE_RATE, "
		    "MTTR or LEAD_TIME");
	}
	if (q->range_from <= 0 || q->range_to < q->range_from)
		return err_set(e, RC_PERM,
		    "range_from: must be more than 0 and not after range_to");
	if (q->range_to - q->range_from > RANGE_S)
		return err_set(e, RC_PERM,
		    "range_to: more than two years after range_from");
	return 0;
}

struct insight *
insight_new(const Grpc__Service__Webservice__GetInsightDataRequest *q,
    struct arena *a, struct err *e)
{
	struct insight *i;
	int64_t t;

	if (check(q, e) == -1)
		return NULL;
	i = arena_new_of(a, struct insight);
	i->a = a;
	i->q = msg_copy(q, a);
	i->monthly = q->resolution == MODEL__INSIGHT_RESOLUTION__MONTHLY;
	i->from = insight_floor(q->range_from, i->monthly);
	for (t = i->from; t <= q->range_to; t = insight_step(t, i->monthly))
		i->n++;
	i->to = t;
	insight_month(i->first, i->from);
	insight_month(i->last, i->to - 1);
	i->bucket = arena_array(a, struct bucket, i->n);
	return i;
}

bool
insight_wants(const struct insight *i, const char *key)
{
	const char *month = strstr(key, "/completed-deployments/");

	if (month == NULL)
		return false;
	month += strlen("/completed-deployments/");
	return strncmp(month, i->first, 7) >= 0 &&
	       strncmp(month, i->last, 7) <= 0;
}

static bool
has_label(const Insight__Record *r, const char *key, const char *value)
{
	size_t i;

	for (i = 0; i < r->n_labels; i++)
		if (strcmp(r->labels[i]->key, key) == 0)
			return strcmp(r->labels[i]->value, value) == 0;
	return false;
}

static bool
matches(const struct insight *in, const Insight__Record *r)
{
	const Grpc__Service__Webservice__GetInsightDataRequest *q = in->q;
	size_t i;

	if (r->completed_at < in->from || r->completed_at >= in->to)
		return false;
	if (*q->application_id != '\0' &&
	    strcmp(q->application_id, r->application_id) != 0)
		return false;
	for (i = 0; i < q->n_labels; i++)
		if (!has_label(r, q->labels[i]->key, q->labels[i]->value))
			return false;
	return true;
}

static struct bucket *
bucket_of(struct insight *i, int64_t at)
{
	size_t n;

	if (!i->monthly) {
		n = (size_t)((at - i->from) / 86400);
	} else {
		struct tm a = utc(i->from), b = utc(at);

		n = (size_t)((b.tm_year - a.tm_year) * 12 + b.tm_mon -
			     a.tm_mon);
	}
	must(n < i->n);
	return &i->bucket[n];
}

static void
keep(struct insight *i, struct bucket *b, int64_t v)
{
	int64_t *more;

	if (v <= 0)
		return;
	if (b->n == b->cap) {
		b->cap = b->cap * 2 + 8;
		more = arena_array(i->a, int64_t, b->cap);
		if (b->n > 0)
			memcpy(more, b->v, b->n * sizeof(*b->v));
		b->v = more;
	}
	b->v[b->n++] = v;
}

int
insight_add(struct insight *i, const void *p, size_t n, struct err *e)
{
	struct arena *a = arena_new();
	const Insight__Chunk *c = (const Insight__Chunk *)msg_unpack(
	    &insight__chunk__descriptor, p, n, a, CHUNK_MAX, e);
	size_t k;

	for (k = 0; c != NULL && k < c->n_records; k++) {
		const Insight__Record *r = c->records[k];
		struct bucket *b;

		if (!matches(i, r))
			continue;
		b = bucket_of(i, r->completed_at);
		b->count++;
		b->failed +=
		    r->status == MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_FAILURE;
		keep(i, b,
		    i->q->metrics_kind == MODEL__INSIGHT_METRICS_KIND__MTTR
			? r->restore_s
			: r->lead_s);
	}
	if (c != NULL && c->updated_at > i->updated_at)
		i->updated_at = c->updated_at;
	arena_free(a);
	return c != NULL ? 0 : -1;
}

static int
by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static float
value(const struct insight *i, struct bucket *b)
{
	int64_t low, high;

	switch (i->q->metrics_kind) {
	case MODEL__INSIGHT_METRICS_KIND__DEPLOYMENT_FREQUENCY:
		return (float)b->count;
	case MODEL__INSIGHT_METRICS_KIND__CHANGE_FAILURE_RATE:
		return b->count > 0 ? (float)b->failed / (float)b->count : 0;
	default:
		if (b->n == 0)
			return 0;
		qsort(b->v, b->n, sizeof(*b->v), by_size);
		low = b->v[(b->n - 1) / 2];
		high = b->v[b->n / 2];
		return (float)(low + high) / 2;
	}
}

Grpc__Service__Webservice__GetInsightDataResponse *
insight_answer(struct insight *i)
{
	Grpc__Service__Webservice__GetInsightDataResponse *r = arena_new_of(
	    i->a, Grpc__Service__Webservice__GetInsightDataResponse);
	Model__InsightSampleStream *s =
	    arena_new_of(i->a, Model__InsightSampleStream);
	int64_t t = i->from;
	size_t k;

	grpc__service__webservice__get_insight_data_response__init(r);
	model__insight_sample_stream__init(s);
	s->data_points = arena_array(i->a, Model__InsightDataPoint *, i->n);
	for (k = 0; k < i->n; k++, t = insight_step(t, i->monthly)) {
		Model__InsightDataPoint *d =
		    arena_new_of(i->a, Model__InsightDataPoint);

		model__insight_data_point__init(d);
		d->timestamp = t;
		d->value = value(i, &i->bucket[k]);
		s->data_points[s->n_data_points++] = d;
	}
	r->updated_at = i->updated_at;
	r->type = MODEL__INSIGHT_RESULT_TYPE__MATRIX;
	r->n_matrix = 1;
	r->matrix = arena_array(i->a, Model__InsightSampleStream *, 1);
	r->matrix[0] = s;
	return r;
}
