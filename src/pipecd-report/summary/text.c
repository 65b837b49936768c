#include <string.h>

#include "summary.h"
#include "text.h"

/* Cells of a table, row by row; the first column is left, others right. */
struct table {
	struct arena *arena;
	const char **cell;
	size_t n, cap, cols;
};

static void
cell(struct table *t, const char *s)
{
	const char **more;

	if (t->n == t->cap) {
		t->cap = t->cap == 0 ? 256 : t->cap * 2;
		more = arena_array(t->arena, const char *, t->cap);
		if (t->n > 0)
			memcpy(more, t->cell, t->n * sizeof(*more));
		t->cell = more;
	}
	t->cell[t->n++] = s;
}

/* Columns on a terminal, near enough: characters, not bytes. */
static size_t
width(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static void
table_print(FILE *out, const struct table *t)
{
	size_t *w = arena_array(t->arena, size_t, t->cols);
	size_t i, c, n;

	for (i = 0; i < t->n; i++)
		if ((n = width(t->cell[i])) > w[i % t->cols])
			w[i % t->cols] = n;
	for (i = 0; i < t->n; i++) {
		c = i % t->cols;
		n = w[c] - width(t->cell[i]);
		if (c == 0)
			fprintf(out, "%s%*s", t->cell[i], (int)n, "");
		else
			fprintf(out, "  %*s%s", (int)n, "", t->cell[i]);
		if (c == t->cols - 1)
			fputc('\n', out);
	}
}

static const char *
cell_time(struct arena *a, int64_t s)
{
	if (s < 0)
		return "-";
	if (s >= 2 * 86400)
		return arena_printf(a, "%lldd%02lldh", (long long)(s / 86400),
		    (long long)(s % 86400 / 3600));
	return text_took_s(a, s);
}

static void
row(struct table *t, const char *name, const struct stats *s, int64_t seconds)
{
	struct arena *a = t->arena;
	double rate = stats_failure_rate(s);

	cell(t, name);
	cell(t, arena_printf(a, "%zu", s->deployments));
	if (seconds > 0)
		cell(t, arena_printf(a, "%.2f", stats_per_day(s, seconds)));
	cell(t, arena_printf(a, "%zu", s->success));
	cell(t, arena_printf(a, "%zu", s->failure));
	cell(t, arena_printf(a, "%zu", s->cancelled));
	cell(t, arena_printf(a, "%zu", s->rolled_back));
	cell(t, rate < 0 ? "-" : arena_printf(a, "%.1f%%", rate * 100));
	cell(t, cell_time(a, nums_median(&s->lead)));
	cell(t, cell_time(a, nums_p90(&s->lead)));
	cell(t, cell_time(a, nums_median(&s->restore)));
	cell(t, cell_time(a, nums_p90(&s->restore)));
}

static void
head(struct table *t, const char *first, bool per_day)
{
	static const char *const names[] = { "SUCCESS", "FAILURE", "CANCELLED",
		"ROLLED BACK", "FAILURE RATE", "LEAD p50", "LEAD p90",
		"RESTORE p50", "RESTORE p90" };
	size_t i;

	t->cols = 2 + per_day + NITEMS(names);
	cell(t, first);
	cell(t, "DEPLOYMENTS");
	if (per_day)
		cell(t, "PER DAY");
	for (i = 0; i < NITEMS(names); i++)
		cell(t, names[i]);
}

void
write_text(FILE *out, struct summary *s, struct series *total)
{
	const struct range *r = &s->range;
	struct table apps = { .arena = arena_new() };
	struct table days = { .arena = apps.arena };
	struct series one;
	char from[21], to[21], day[11];
	size_t i;

	time_iso(from, r->since);
	time_iso(to, r->until);
	fprintf(out, "From %s to %s: %zu deployments.\n", from, to,
	    total->all.deployments);
	fprintf(out,
	    "Superseded before they began: %zu.  Applications not restored: "
	    "%zu.\n",
	    total->all.superseded, total->all.open);
	fprintf(out,
	    "Journals: %zu; damaged and left out: %zu; not finished: %zu.\n\n",
	    s->journals, s->damaged, s->unfinished);
	head(&apps, "APPLICATION", true);
	series_init(&one, r);
	for (i = 0; i < s->n_apps; i++) {
		series_reset(&one);
		series_add(&one, s, &s->apps[i]);
		series_sort(&one);
		row(&apps, text_inert(apps.arena, s->apps[i].name, false),
		    &one.all, r->until - r->since);
	}
	series_free(&one);
	row(&apps, "TOTAL", &total->all, r->until - r->since);
	table_print(out, &apps);
	fputc('\n', out);
	head(&days, r->step == 86400 ? "DAY" : "WEEK OF", false);
	for (i = 0; i < total->n; i++) {
		range_day(day, r, i);
		row(&days, arena_strdup(days.arena, day), &total->bucket[i], 0);
	}
	table_print(out, &days);
	arena_free(apps.arena);
}
