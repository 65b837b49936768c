/*
 * summary.h - finished deployments, read from journals, and what they amount
 * to: how often, how fast, how often wrong, how long until right again.
 */
#ifndef PIPECD_SUMMARY_H
#define PIPECD_SUMMARY_H

#include <stdio.h>

#include "base.h"

/* A finished deployment. */
struct rec {
	uint32_t app; /* index into summary.apps */
	bool success, failure, cancelled, superseded, rolled_back;
	int64_t end, commit_at; /* Unix seconds; commit_at 0: not known */
	const char *commit;
};

struct app {
	const char *id, *name;
	size_t first, n; /* its records, once they are sorted */
};

struct nums {
	int64_t *v; /* owned */
	size_t n, cap;
};

struct stats {
	size_t deployments; /* finished, without the superseded */
	size_t success, failure, cancelled, rolled_back, superseded;
	size_t bad;	     /* failed or rolled back */
	struct nums lead;    /* seconds, sorted by stats_sort */
	struct nums restore; /* seconds */
	size_t open;	     /* still failed at the end */
};

/* The whole range, and its buckets. */
struct series {
	struct stats all;
	struct stats *bucket; /* owned */
	size_t n;
};

struct range {
	int64_t since, until; /* [since, until); since starts a bucket */
	int64_t step;	      /* seconds in a bucket */
	size_t n;	      /* buckets */
};

struct summary {
	struct arena *arena; /* names, ids, commits */
	struct app *apps;    /* owned, sorted by name by summary_sort */
	size_t n_apps, cap_apps;
	struct map *by_id; /* application id -> struct app index + 1 */
	struct rec *recs;  /* owned */
	size_t n_recs, cap_recs;
	struct map *commits; /* each commit's text once */
	size_t journals, damaged, unfinished;
	const char *const *only; /* names or ids; n_only 0: all */
	size_t n_only;
	struct range range;
};

/* read.c: journals in.  A damaged one is said, counted and left out. */
void summary_read_file(struct summary *s, const char *path);
int summary_read_dir(struct summary *s, const char *dir, struct err *e);

/* count.c */
void summary_sort(struct summary *s);
/* Make room for a range's buckets; series_reset empties it again. */
void series_init(struct series *x, const struct range *r);
void series_reset(struct series *x);
void series_free(struct series *x);
/* Add what one application did. */
void series_add(
    struct series *x, const struct summary *s, const struct app *app);
void series_sort(struct series *x);
/* Of sorted numbers; -1 when there are none. */
int64_t nums_median(const struct nums *v);
int64_t nums_p90(const struct nums *v);
/* Failed or rolled back of all; -1 when there are none. */
double stats_failure_rate(const struct stats *s);
double stats_per_day(const struct stats *s, int64_t seconds);
/* The start of a bucket, "2026-11-21", into 11 bytes. */
void range_day(char dst[11], const struct range *r, size_t bucket);

/* range.c: --since, --until, --by. */
int range_parse(struct range *r, const char *since, const char *until,
    const char *by, int64_t now, struct err *e);

/* One file each; they may sort and reset x. */
void write_text(FILE *out, struct summary *s, struct series *total);
void write_json(FILE *out, struct summary *s, struct series *total);
void write_csv(FILE *out, struct summary *s, struct series *total);
void write_html(FILE *out, struct summary *s, struct series *total);

#endif
